/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bus, for mgmt.c, sysfs.c and irq.c. What a personality may call is in
 * <linux/virtio_tvq.h>.
 */
#ifndef _VIRTIO_TVQ_BUS_H
#define _VIRTIO_TVQ_BUS_H

#include <linux/virtio_tvq.h>

#include "cmd.h"

/* More than a disk takes for a request, however slow. */
#define TVQ_LET_GO_TIME		(30 * HZ)

extern const struct bus_type tvq_bus_type;
extern struct workqueue_struct *tvq_wq;

struct tvq_device *tvq_device_alloc(struct tvq_mgmt *mgmt,
				    struct device *parent, int index,
				    struct tvq_cmdq *cmdq,
				    const struct tvq_info *info,
				    void __iomem *doorbell);
int tvq_device_add(struct tvq_device *tdev);
void tvq_device_remove(struct tvq_device *tdev);
void tvq_device_put(struct tvq_device *tdev);
void tvq_device_redescribe(struct tvq_device *tdev, const struct tvq_info *info);
bool tvq_device_is_as(struct tvq_device *tdev, const struct tvq_info *info);
void tvq_device_not_reset(struct tvq_device *tdev);
void tvq_device_state_set(struct tvq_device *tdev);
int tvq_device_freeze(struct tvq_device *tdev, bool sleep);
void tvq_device_thaw(struct tvq_device *tdev, bool was_reset);
void tvq_device_abandon(struct tvq_device *tdev);
void tvq_device_cut_off(struct tvq_device *tdev);
void tvq_device_bind_again(struct tvq_device *tdev);
void tvq_device_lost(struct tvq_device *tdev);
void tvq_device_lost_wait(struct tvq_device *tdev);

int tvq_bus_init(void);
void tvq_bus_exit(void);

/* Objects of this module that have not been released yet; unloading waits. */
void tvq_live_get(void);
void tvq_live_put(void);
void tvq_live_wait(void);

/* sysfs.c */
extern const struct attribute_group *tvq_device_groups[];

/* virtio.c */
int tvq_virtio_init(void);
void tvq_virtio_exit(void);

#endif /* _VIRTIO_TVQ_BUS_H */
