/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Message signalled interrupts of managed devices. What a personality may
 * call of it is in <linux/virtio_tvq.h>.
 */
#ifndef _VIRTIO_TVQ_IRQ_H
#define _VIRTIO_TVQ_IRQ_H

#include <linux/irqdomain.h>
#include <linux/types.h>

#include "cmd.h"

struct tvq_device;

struct irq_domain *tvq_irq_domain_create(struct device *parent);
void tvq_irq_domain_remove(struct irq_domain *domain);
unsigned int tvq_irq_collect(struct tvq_device *tdev, struct tvq_msi *msis);
void tvq_irq_live(struct tvq_device *tdev, bool live);

/* irq_x86.c: how the parent domain is asked for a vector */
void tvq_irq_arch_alloc_info(struct device *parent, void *info);
size_t tvq_irq_arch_alloc_info_size(void);

#endif /* _VIRTIO_TVQ_IRQ_H */
