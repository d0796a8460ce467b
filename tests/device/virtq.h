/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * The device's side of a virtqueue, split or packed.
 *
 * Everything here runs in a section of guest memory (mem.h). Nothing that the
 * driver writes in a ring is believed: vq_pop() answers -1 for a ring that makes
 * no sense, and the queue is broken from then on, until it is set up again.
 */
#ifndef TVQ_VIRTQ_H
#define TVQ_VIRTQ_H

#include "hostile.h"
#include "mem.h"

#define VQ_SIZE_MAX	32768
#define VQ_INDIRECT_MAX	1024		/* descriptors in an indirect table */

/* One of the three areas of a ring, with a pointer for each page of it. */
struct vq_area {
	uint64_t gpa;
	uint32_t len;
	uint32_t pages;
	uint8_t **page;
};

struct virtq {
	struct mem *mem;
	uint16_t index;
	uint16_t size;
	uint16_t vector;
	bool enabled;
	bool broken;
	bool packed;
	bool event_idx;
	bool indirect;
	struct vq_area desc;
	struct vq_area driver;
	struct vq_area device;
	uint64_t generation;		/* of guest memory when the areas were looked up */
	uint16_t avail_idx;		/* next to take */
	uint16_t used_idx;		/* next to give back */
	uint16_t fill;			/* given back, and not yet shown to the driver */
	uint16_t held;			/* chains taken and not given back */
	struct hostile_queue hostile;
	uint32_t unsignalled;		/* shown since vq_should_notify(); size + 1: too many */

	/*
	 * Of a packed ring, where the two indices above are places in the ring, and
	 * everything is counted in descriptors.
	 */
	bool avail_wrap;
	bool used_wrap;
	uint16_t taken;			/* and not yet given back */
	uint16_t fill_flags;		/* of the first that was given back, to be written last */
};

/* A chain of descriptors: readable segments first, then writable ones. */
struct vq_chain {
	uint16_t id;			/* the head's index, or of a packed ring the buffer id */
	uint16_t num_desc;		/* that it takes in the ring */
	unsigned int num_out;
	unsigned int num_in;
	uint64_t out_len;
	uint64_t in_len;
	struct mem_seg *seg;
	unsigned int room;
};

/* How a driver sets a queue up. */
struct vq_setup {
	uint16_t size;
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
	uint64_t features;		/* negotiated */
};

void vq_init(struct virtq *vq, struct mem *mem, uint16_t index);
bool vq_size_ok(uint32_t size, uint32_t max, uint64_t features);
bool vq_addresses_ok(const struct vq_setup *setup);
int vq_enable(struct virtq *vq, const struct vq_setup *setup);
void vq_disable(struct virtq *vq);
void vq_get_state(const struct virtq *vq, uint16_t *next_avail, uint16_t *next_used);
bool vq_state_ok(const struct vq_setup *setup, uint16_t next_avail, uint16_t next_used);
void vq_set_state(struct virtq *vq, uint16_t next);

int vq_pop(struct virtq *vq, struct vq_chain *chain);
void vq_unpop(struct virtq *vq, const struct vq_chain *chains, unsigned int num);
void vq_fill(struct virtq *vq, const struct vq_chain *chain, uint32_t written);
void vq_flush(struct virtq *vq);
void vq_push(struct virtq *vq, const struct vq_chain *chain, uint32_t written);
bool vq_should_notify(struct virtq *vq);
void vq_disable_notify(struct virtq *vq);
bool vq_enable_notify(struct virtq *vq);

void vq_chain_free(struct vq_chain *chain);
int vq_chain_copy(struct vq_chain *to, const struct vq_chain *from);
int vq_read(struct mem *mem, const struct vq_chain *chain, uint64_t offset, void *buf,
	    uint64_t len);
int vq_read_back(struct mem *mem, const struct vq_chain *chain, uint64_t offset, void *buf,
		 uint64_t len);
int vq_write(struct mem *mem, const struct vq_chain *chain, uint64_t offset, const void *buf,
	     uint64_t len);

#endif
