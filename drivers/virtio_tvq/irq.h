/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Message signalled interrupts of managed devices. What a personality may
 * call of it is in <linux/virtio_tvq.h>.
 */
#ifndef _VIRTIO_TVQ_IRQ_H
#define _VIRTIO_TVQ_IRQ_H

#include <linux/irqdomain.h>
#include <linux/msi.h>
#include <linux/types.h>

#include "cmd.h"

struct tvq_device;
struct tvq_irqs;

/* What mgmt.c calls: one parent domain for all devices of a function. */
struct irq_domain *tvq_irq_domain_create(struct device *parent);
void tvq_irq_domain_remove(struct irq_domain *domain);

/* What bus.c calls, with the lock of @tdev held. */
unsigned int tvq_irq_collect(struct tvq_device *tdev, struct tvq_msi *msis);
void tvq_irq_live(struct tvq_device *tdev, bool live);
void tvq_irq_resend(struct tvq_device *tdev);

/*
 * The shadow of one interrupt table, which knows nothing of interrupt domains:
 * used by irq.c and its tests only.
 */
struct tvq_irqs *tvq_irqs_create(struct tvq_cmdq *cmdq, u64 id,
				 unsigned int num, void (*fail)(void *ctx),
				 void *ctx);
void tvq_irqs_destroy(struct tvq_irqs *irqs);
void tvq_irqs_stop(struct tvq_irqs *irqs);
void tvq_irqs_set_message(struct tvq_irqs *irqs, unsigned int index,
			  u64 address, u32 data);
void tvq_irqs_set_masked(struct tvq_irqs *irqs, unsigned int index, bool masked);
unsigned int tvq_irqs_collect(struct tvq_irqs *irqs, struct tvq_msi *msis);
void tvq_irqs_live(struct tvq_irqs *irqs, bool live);
void tvq_irqs_resend(struct tvq_irqs *irqs);

/* How the function's own MSI-X messages are prepared by its MSI controller. */
typedef int (*tvq_msi_prepare_t)(struct irq_domain *domain, struct device *dev,
				 int nvec, msi_alloc_info_t *arg);

/*
 * The part that differs between architectures: may messages of the function's
 * children come from this MSI controller, and what it has to be told before
 * it is asked for vectors.
 */
#ifdef CONFIG_X86
bool tvq_irq_arch_supported(const struct irq_domain *parent);
int tvq_irq_arch_prepare(tvq_msi_prepare_t prepare, struct irq_domain *domain,
			 struct device *function, int nvec,
			 msi_alloc_info_t *arg);
#else
static inline bool tvq_irq_arch_supported(const struct irq_domain *parent)
{
	return true;
}

static inline int tvq_irq_arch_prepare(tvq_msi_prepare_t prepare,
				       struct irq_domain *domain,
				       struct device *function, int nvec,
				       msi_alloc_info_t *arg)
{
	if (!prepare)
		return -EOPNOTSUPP;
	return prepare(domain, function, nvec, arg);
}
#endif

#endif /* _VIRTIO_TVQ_IRQ_H */
