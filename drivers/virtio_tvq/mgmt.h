/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A management device and what it manages.
 */
#ifndef _VIRTIO_TVQ_MGMT_H
#define _VIRTIO_TVQ_MGMT_H

#include <linux/device.h>
#include <linux/io.h>
#include <linux/irqdomain.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "cmd.h"

/**
 * struct tvq_mgmt - a management device
 * @parent: the function: parent of every managed device, and what does DMA
 * @index: the N of tvq<N>-<device_id>
 * @cmdq: its transport virtqueue
 * @domain: parent interrupt domain of its managed devices, or NULL
 * @limits: what the device said at probe; only the maxima are of use
 * @doorbells: mapping of the doorbell pages
 * @doorbells_len: its length in bytes
 * @lock: serialises creation, destruction and discovery; guards @devices and
 *	@closing. Never taken by a managed device's driver
 * @devices: managed devices by device_id
 * @by_name: the directory of links by name
 * @closing: no device may be created any more
 * @scan_work: looks what the other side has changed
 * @dead: the transport virtqueue is broken
 */
struct tvq_mgmt {
	struct device *parent;
	int index;
	struct tvq_cmdq *cmdq;
	struct irq_domain *domain;
	struct tvq_limits limits;
	void __iomem *doorbells;
	u64 doorbells_len;
	struct mutex lock;
	struct xarray devices;
	struct kobject *by_name;
	bool closing;
	bool dead;
	struct work_struct scan_work;
};

/**
 * struct tvq_mgmt_params - what the function's driver brings
 * @parent: the function
 * @ops: link of the transport virtqueue
 * @link: its argument
 * @slots: commands that fit into the ring
 * @timeout_ms: default deadline of a command
 * @doorbells: mapping of the doorbell pages, or NULL
 * @doorbells_len: its length in bytes
 */
struct tvq_mgmt_params {
	struct device *parent;
	const struct tvq_link_ops *ops;
	void *link;
	unsigned int slots;
	unsigned int timeout_ms;
	void __iomem *doorbells;
	u64 doorbells_len;
};

struct tvq_mgmt *tvq_mgmt_create(const struct tvq_mgmt_params *params);
int tvq_mgmt_start(struct tvq_mgmt *mgmt);
void tvq_mgmt_stop(struct tvq_mgmt *mgmt);
void tvq_mgmt_destroy(struct tvq_mgmt *mgmt);
void tvq_mgmt_interrupt(struct tvq_mgmt *mgmt);
void tvq_mgmt_config_interrupt(struct tvq_mgmt *mgmt);

int tvq_mgmt_create_device(struct tvq_mgmt *mgmt, const struct tvq_create *create);
int tvq_mgmt_destroy_device(struct tvq_mgmt *mgmt, u64 id, const char *name);

/* create.c: what is written to the attribute create */
int tvq_create_parse(const char *buf, size_t len, struct tvq_create *create,
		     const char **reason);

#endif /* _VIRTIO_TVQ_MGMT_H */
