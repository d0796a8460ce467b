/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * A PCI function: its client, guest memory as the client gives it, configuration
 * space, BARs, the modern virtio-pci layout. What stands behind it, the management
 * device or a device that is a function of its own, is a struct pci_ops. All of it
 * runs in the function's socket thread, but for what says otherwise.
 */
#ifndef TVQ_PCI_H
#define TVQ_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "mem.h"
#include "vfu.h"

#define PCI_CONFIG_SIZE		4096

#define BAR_VIRTIO		0	/* common configuration, ISR, device's own, notifications */
#define BAR_MSIX		1	/* MSI-X table and PBA */
#define BAR_DOORBELL		2	/* and 3: a page for each managed device */
#define BAR_SHM			4	/* and 5: shared memory regions */

#define PCI_NOTIFY_OFFSET	0x3000	/* in BAR_VIRTIO */
#define PCI_NOTIFY_MULTIPLIER	4
#define PCI_QUEUES_MAX		1024	/* for whose notifications there is room */
#define PCI_DEVICE_CONFIG_MAX	256

struct hostile;
struct pci;
struct vq_setup;

struct pci_ops {
	/* Whether the driver may have these of the features that are offered. */
	bool (*features_ok)(struct pci *pci, uint64_t features);
	/* The driver has set bits of the status, which is what pci->status says now. */
	void (*status)(struct pci *pci, uint8_t set);
	/* The device was reset: a new epoch has begun. */
	void (*reset)(struct pci *pci);
	/* The function has become bus master: look at everything. */
	void (*kick)(struct pci *pci);
	/* pci->queue says how. Return: whether the queue could be enabled. */
	bool (*enable)(struct pci *pci, uint16_t index);
	/* Begin a reset of a queue; pci_queue_is_reset() ends it. NULL without F_RING_RESET. */
	void (*reset_queue)(struct pci *pci, uint16_t index);
	/* The driver has written so many bytes to a queue's notification address. */
	void (*notify)(struct pci *pci, uint16_t index, uint32_t data, uint32_t len);
	/* Bring config and config_generation up to date. NULL without a configuration. */
	void (*refresh)(struct pci *pci);
	void (*config_write)(struct pci *pci, uint32_t offset, const void *buf, uint32_t len);
	/* A write to BAR_DOORBELL. NULL without that. */
	void (*doorbell)(struct pci *pci, uint64_t offset, uint32_t value, uint32_t len);
	/* The client has carried out, or refused, a vfu_dma_write(). NULL if there are none. */
	void (*written)(struct pci *pci, uint16_t id, uint64_t cookie);
	/* VF Enable or NumVFs has changed. NULL without total_vfs. */
	void (*sriov)(struct pci *pci, bool enabled, uint16_t num_vfs);
};

/* What a function is made from, and what it is called in the log. */
struct pci_setup {
	const char *name;
	const struct pci_ops *ops;
	uint16_t device_id;
	uint16_t subsystem_id;
	uint32_t class;
	uint64_t features;
	uint16_t num_vectors;
	uint16_t first_queue;
	uint16_t num_queues;		/* from first_queue on */
	bool hidden_queues;		/* not counted in the common configuration */
	uint16_t admin_index;		/* admin virtqueues among those */
	uint16_t admin_num;
	bool short_common;		/* the common configuration does not say so */
	uint16_t total_vfs;		/* 0: no SR-IOV capability */
	uint32_t config_len;
	uint64_t doorbell_length;
	uint64_t shm_length;		/* room for shared memory regions */
	const void *vendor_cap;		/* stays the caller's */
	uint8_t vendor_cap_len;
};

struct pci_queue {
	uint16_t size_max;
	uint16_t size;
	uint16_t vector;		/* read by other threads too */
	uint16_t enable;
	uint16_t reset;			/* a reset is going on */
	uint32_t addr[6];		/* desc, driver, device; low and high */
};

struct pci {
	const struct pci_ops *ops;
	struct pci_setup setup;
	struct mem mem;
	struct vfu vfu;
	struct hostile *hostile;	/* NULL: it never lies */
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[320];		/* bits that a client may write */
	uint64_t bar_size[6];
	int shm_fd;			/* BAR_SHM, or -1 */
	uint8_t *shm;			/* all of it, that the client may have mapped, too */
	uint32_t pba_offset;
	uint8_t *msix_table;		/* 16 bytes for each vector */
	bool vfs_enabled;
	uint16_t num_vfs;

	/* The common configuration, as the driver has set it */
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint64_t driver_features;
	uint32_t driver_features_hi[2];	/* bits 64 to 127 */
	uint8_t status;
	uint8_t isr;
	uint8_t config_generation;
	uint16_t msix_config;		/* read by other threads too */
	uint16_t queue_select;
	struct pci_queue *queue;	/* the queue first_queue, and those behind it */
	uint8_t device_config[PCI_DEVICE_CONFIG_MAX];

	/* A reset is over when the client has answered all that was sent before. */
	bool resetting;
	uint8_t status_before;
	struct timespec reset_deadline;
};

int pci_init(struct pci *pci, const struct pci_setup *setup);
void pci_exit(struct pci *pci);
void pci_set_queue_size(struct pci *pci, uint16_t index, uint16_t size);
void pci_queue_setup(struct pci *pci, uint16_t index, struct vq_setup *setup);

/* For any thread */
void pci_config_interrupt(struct pci *pci);
void pci_needs_reset(struct pci *pci);
void pci_queue_interrupt(struct pci *pci, uint16_t vector);
bool pci_running(struct pci *pci);
uint16_t pci_queue_vector(struct pci *pci, uint16_t index);
/* In a section of the epoch in which the reset was begun */
void pci_queue_is_reset(struct pci *pci, uint16_t index);

#endif
