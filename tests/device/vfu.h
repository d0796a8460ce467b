/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * The vfio-user protocol, server side.
 *
 * One thread, the socket thread, runs vfu_run(): it reads the client's requests
 * and answers each at once. Nothing in it waits for the client: a client may
 * hold a lock, while it waits for an answer, that it needs to answer us. What the
 * device itself asks of the client (VFIO_USER_DMA_WRITE, to send an interrupt
 * message) is only queued; the reply is matched by its id when it comes.
 */
#ifndef TVQ_VFU_H
#define TVQ_VFU_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFU_REGIONS	9	/* 6 BARs, ROM, configuration space, VGA */
#define VFU_CONFIG	7
#define VFU_IRQ_TYPES	5
#define VFU_MSIX	2

struct vfu;

/* What a device answers. All are called in the socket thread. */
struct vfu_ops {
	uint64_t (*region_size)(void *dev, unsigned int region);
	/* A file that is the region, which the client may map, or -1. Stays the device's. */
	int (*region_fd)(void *dev, unsigned int region);
	/* Offset and length lie inside the region. */
	void (*region_read)(void *dev, unsigned int region, uint64_t offset, void *buf,
			    uint32_t len);
	void (*region_write)(void *dev, unsigned int region, uint64_t offset, const void *buf,
			     uint32_t len);
	int (*dma_map)(void *dev, uint64_t gpa, uint64_t size, uint64_t offset, unsigned int flags,
		       int fd);
	void (*dma_unmap)(void *dev, uint64_t gpa, uint64_t size, bool all);
	void (*reset)(void *dev);
	void (*disconnected)(void *dev);
	/* The client has carried out, or refused, a vfu_dma_write(). */
	void (*written)(void *dev, uint16_t id, uint64_t cookie);
};

struct vfu_irq {
	int fd;
	bool masked;
	bool pending;
};

struct vfu {
	const struct vfu_ops *ops;
	void *dev;
	unsigned int num_irqs;		/* MSI-X vectors */

	/* Used by the socket thread alone */
	int listen_fd;
	int wake_fd;			/* written by any thread: there is something to send */
	bool negotiated;
	uint8_t *in;
	size_t in_len;
	size_t in_room;
	int in_fds[64];
	unsigned int num_in_fds;

	/* send_lock guards these. The innermost lock of all. */
	pthread_mutex_t send_lock;
	int fd;				/* the client, or -1 */
	bool dead;			/* it does not take what we send */
	uint8_t *out;
	size_t out_start;
	size_t out_end;
	size_t out_room;
	uint16_t next_id;
	unsigned int outstanding;
	struct vfu_pending {
		uint64_t cookie;
		bool used;
		bool stale;		/* sent before the last reset */
	} *pending;			/* by id */
	unsigned int num_stale;

	/* irq_lock guards these. Innermost too. */
	pthread_mutex_t irq_lock;
	struct vfu_irq *irq;		/* num_irqs of them */
};

int vfu_init(struct vfu *vfu, const struct vfu_ops *ops, void *dev, unsigned int num_irqs);
void vfu_exit(struct vfu *vfu);
int vfu_listen(struct vfu *vfu, const char *path);
int vfu_run(struct vfu *vfu, int stop_fd);

void vfu_irq_raise(struct vfu *vfu, unsigned int vector);
int vfu_dma_write(struct vfu *vfu, uint64_t gpa, const void *buf, uint32_t len, uint64_t cookie);
void vfu_mark_stale(struct vfu *vfu);
unsigned int vfu_stale(struct vfu *vfu);

#endif
