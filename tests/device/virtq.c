// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Virtqueues, split and packed, as the device sees them. */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tvq.h"
#include "virtq.h"

#define PAGE		4096u

/* Offsets in the driver area (available ring) and the device area (used ring). */
#define AVAIL_FLAGS	0
#define AVAIL_IDX	2
#define AVAIL_RING(i)	(4 + 2 * (uint32_t)(i))
#define USED_FLAGS	0
#define USED_IDX	2
#define USED_RING(i)	(4 + 8 * (uint32_t)(i))

/* Offsets in a descriptor of a packed ring, and in its two event suppression areas. */
#define PACKED_LEN	8
#define PACKED_ID	12
#define PACKED_FLAGS	14
#define EVENT_OFF_WRAP	0
#define EVENT_FLAGS	2
#define EVENT_LEN	4

#define F_AVAIL		(1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED		(1u << VRING_PACKED_DESC_F_USED)

void vq_init(struct virtq *vq, struct mem *mem, uint16_t index)
{
	memset(vq, 0, sizeof(*vq));
	vq->mem = mem;
	vq->index = index;
	vq->vector = 0xffff;
}

bool vq_size_ok(uint32_t size, uint32_t max, uint64_t features)
{
	return size && size <= max &&
	       ((features & BIT64(F_RING_PACKED)) || !(size & (size - 1)));
}

static uint32_t desc_len(uint16_t size)
{
	return 16u * size;
}

static uint32_t driver_len(const struct vq_setup *setup)
{
	if (setup->features & BIT64(F_RING_PACKED))
		return EVENT_LEN;
	return AVAIL_RING(setup->size) + 2;	/* with used_event */
}

static uint32_t device_len(const struct vq_setup *setup)
{
	if (setup->features & BIT64(F_RING_PACKED))
		return EVENT_LEN;
	return USED_RING(setup->size) + 2;	/* with avail_event */
}

static bool address_ok(uint64_t gpa, uint32_t align, uint32_t len)
{
	return !(gpa & (align - 1)) && gpa + len > gpa;
}

bool vq_addresses_ok(const struct vq_setup *setup)
{
	bool packed = setup->features & BIT64(F_RING_PACKED);

	return address_ok(setup->desc, 16, desc_len(setup->size)) &&
	       address_ok(setup->driver, packed ? 4 : 2, driver_len(setup)) &&
	       address_ok(setup->device, 4, device_len(setup));
}

static int area_init(struct vq_area *area, uint64_t gpa, uint32_t len)
{
	area->gpa = gpa;
	area->len = len;
	area->pages = ((gpa & (PAGE - 1)) + len + PAGE - 1) / PAGE;
	area->page = calloc(area->pages, sizeof(*area->page));
	return area->page ? 0 : -ENOMEM;
}

static void area_exit(struct vq_area *area)
{
	free(area->page);
	memset(area, 0, sizeof(*area));
}

/* Look the pages up. A ring need not lie in one piece in the device's own memory. */
static int area_lookup(struct mem *mem, struct vq_area *area, unsigned int access)
{
	uint64_t gpa = area->gpa, end = area->gpa + area->len, next;
	uint32_t i;
	uint8_t *p;

	for (i = 0; i < area->pages; i++, gpa = next) {
		next = (gpa & ~(uint64_t)(PAGE - 1)) + PAGE;
		if (next > end || next < gpa)
			next = end;
		p = mem_ptr(mem, gpa, next - gpa, access);
		if (!p)
			return -EFAULT;
		area->page[i] = p - (gpa & (PAGE - 1));
	}
	return 0;
}

static void *area_at(struct vq_area *area, uint32_t offset)
{
	uint32_t at = (area->gpa & (PAGE - 1)) + offset;

	return area->page[at / PAGE] + at % PAGE;
}

static uint16_t get16(struct vq_area *area, uint32_t offset)
{
	return le16toh(__atomic_load_n((uint16_t *)area_at(area, offset), __ATOMIC_ACQUIRE));
}

static void put16(struct vq_area *area, uint32_t offset, uint16_t value)
{
	__atomic_store_n((uint16_t *)area_at(area, offset), htole16(value), __ATOMIC_RELEASE);
}

static void put32(struct vq_area *area, uint32_t offset, uint32_t value)
{
	__atomic_store_n((uint32_t *)area_at(area, offset), htole32(value), __ATOMIC_RELAXED);
}

/* The size and the addresses have been checked. */
int vq_enable(struct virtq *vq, const struct vq_setup *setup)
{
	uint16_t size = setup->size;

	vq->size = size;
	vq->packed = setup->features & BIT64(F_RING_PACKED);
	vq->event_idx = setup->features & BIT64(F_RING_EVENT_IDX);
	vq->indirect = setup->features & BIT64(F_RING_INDIRECT);
	vq->avail_idx = 0;
	vq->used_idx = 0;
	vq->fill = 0;
	vq->held = 0;
	vq->hostile.end = HOSTILE_GOES_ON;
	vq->hostile.jump = 0;
	vq->unsignalled = size + 1;	/* the driver has never been asked */
	vq->avail_wrap = true;
	vq->used_wrap = true;
	vq->taken = 0;
	vq->broken = false;
	vq->generation = 0;
	if (area_init(&vq->desc, setup->desc, desc_len(size)) ||
	    area_init(&vq->driver, setup->driver, driver_len(setup)) ||
	    area_init(&vq->device, setup->device, device_len(setup))) {
		vq_disable(vq);
		return -ENOMEM;
	}
	vq->enabled = true;
	return 0;
}

void vq_disable(struct virtq *vq)
{
	vq->enabled = false;
	vq->broken = false;
	area_exit(&vq->desc);
	area_exit(&vq->driver);
	area_exit(&vq->device);
}

/*
 * Where the device is in the ring: the indices of a split ring as they count, and
 * places in a packed one, with the wrap counter in bit 15.
 */
void vq_get_state(const struct virtq *vq, uint16_t *next_avail, uint16_t *next_used)
{
	*next_avail = vq->avail_idx;
	*next_used = vq->used_idx;
	if (vq->packed) {
		*next_avail |= vq->avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR;
		*next_used |= vq->used_wrap << VRING_PACKED_EVENT_F_WRAP_CTR;
	}
}

/* Whether a queue that holds no buffer of the driver's can be there. */
bool vq_state_ok(const struct vq_setup *setup, uint16_t next_avail, uint16_t next_used)
{
	if (next_avail != next_used)
		return false;
	return !(setup->features & BIT64(F_RING_PACKED)) ||
	       (next_avail & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR)) < setup->size;
}

/*
 * Go on in a queue that has just been enabled. What was signalled last is not known,
 * and vq_enable() has seen to it that the driver is told of the next buffer, wanted
 * or not.
 */
void vq_set_state(struct virtq *vq, uint16_t next)
{
	if (vq->packed) {
		vq->avail_wrap = next >> VRING_PACKED_EVENT_F_WRAP_CTR;
		vq->used_wrap = vq->avail_wrap;
		next &= ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	}
	vq->avail_idx = next;
	vq->used_idx = next;
}

static int vq_break(struct virtq *vq, const char *why)
{
	log_warn("queue %u: %s", vq->index, why);
	vq->broken = true;
	return -1;
}

/* Before any access to the ring: it may lie elsewhere since the last section. */
static int vq_ready(struct virtq *vq)
{
	if (!vq->enabled || vq->broken || vq->hostile.end == HOSTILE_SILENT)
		return -1;
	if (vq->generation == vq->mem->generation + 1)
		return 0;
	/* Used descriptors are written where the available ones were. */
	if (area_lookup(vq->mem, &vq->desc, vq->packed ? MEM_READ | MEM_WRITE : MEM_READ) ||
	    area_lookup(vq->mem, &vq->driver, MEM_READ) ||
	    area_lookup(vq->mem, &vq->device, MEM_READ | MEM_WRITE))
		return vq_break(vq, "the ring is not in memory that the device can reach");
	/* 0 is never looked up. */
	vq->generation = vq->mem->generation + 1;
	return 0;
}

static void chain_clear(struct vq_chain *chain)
{
	chain->num_out = 0;
	chain->num_in = 0;
	chain->out_len = 0;
	chain->in_len = 0;
}

static int chain_add(struct vq_chain *chain, uint64_t gpa, uint32_t len, uint16_t flags)
{
	unsigned int num = chain->num_out + chain->num_in;
	struct mem_seg *seg;

	if (num == chain->room) {
		seg = realloc(chain->seg, (num ? 2 * num : 16) * sizeof(*seg));
		if (!seg)
			return -1;
		chain->seg = seg;
		chain->room = num ? 2 * num : 16;
	}
	chain->seg[num].gpa = gpa;
	chain->seg[num].len = len;
	if (flags & VRING_DESC_F_WRITE) {
		chain->num_in++;
		chain->in_len += len;
	} else {
		if (chain->num_in)
			return -1;	/* readable behind writable */
		chain->num_out++;
		chain->out_len += len;
	}
	return 0;
}

/*
 * An indirect table. That of a split ring is a chain of descriptors as the ring's;
 * in that of a packed ring all are used, one behind the other.
 */
static int walk_indirect(struct virtq *vq, struct vq_chain *chain, uint64_t gpa, uint32_t len)
{
	uint32_t num = len / sizeof(struct vring_desc), i = 0, n;
	struct vring_desc desc;
	uint16_t flags;

	/* For both kinds of rings; a packed one's has an id where flags are, and the reverse. */
	static_assert(sizeof(struct vring_packed_desc) == sizeof(desc) &&
		      offsetof(struct vring_packed_desc, flags) ==
		      offsetof(struct vring_desc, next),
		      "descriptors of both kinds");
	if (!vq->indirect)
		return vq_break(vq, "an indirect descriptor that was not negotiated");
	if (!len || len % sizeof(desc) || num > VQ_INDIRECT_MAX)
		return vq_break(vq, "the length of an indirect table");
	for (n = 0; n < num; n++) {
		if (mem_read(vq->mem, gpa + 16ull * i, &desc, sizeof(desc)))
			return vq_break(vq, "an indirect table that is not in memory");
		flags = le16toh(vq->packed ? desc.next : desc.flags);
		if (flags & VRING_DESC_F_INDIRECT)
			return vq_break(vq, "an indirect descriptor in an indirect table");
		if (chain_add(chain, le64toh(desc.addr), le32toh(desc.len), flags))
			return vq_break(vq, "a readable descriptor behind a writable one");
		if (vq->packed) {
			i++;
			continue;
		}
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		i = le16toh(desc.next);
		if (i >= num)
			return vq_break(vq, "a descriptor index outside an indirect table");
	}
	return vq->packed ? 0 : vq_break(vq, "a loop in an indirect table");
}

/* One descriptor of the ring. Return: 1 if another one follows, 0, or -1. */
static int walk_desc(struct virtq *vq, struct vq_chain *chain, uint64_t gpa, uint32_t len,
		     uint16_t flags)
{
	if (flags & VRING_DESC_F_INDIRECT) {
		if ((flags & VRING_DESC_F_NEXT) || chain->num_out || chain->num_in)
			return vq_break(vq, "an indirect descriptor in a chain of others");
		return walk_indirect(vq, chain, gpa, len);
	}
	if (chain_add(chain, gpa, len, flags))
		return vq_break(vq, "a readable descriptor behind a writable one");
	return flags & VRING_DESC_F_NEXT ? 1 : 0;
}

static int pop_split(struct virtq *vq, struct vq_chain *chain)
{
	struct vring_desc desc;
	uint16_t avail, i, n;
	int ret;

	avail = get16(&vq->driver, AVAIL_IDX) - vq->avail_idx;
	if (!avail)
		return 0;
	if (avail > vq->size)
		return vq_break(vq, "more buffers are available than the ring holds");
	i = get16(&vq->driver, AVAIL_RING(vq->avail_idx & (vq->size - 1)));
	chain->id = i;
	chain->num_desc = 1;
	for (n = 0; ; n++) {
		if (i >= vq->size)
			return vq_break(vq, "a descriptor index outside the ring");
		if (n == vq->size)
			return vq_break(vq, "a loop of descriptors");
		memcpy(&desc, area_at(&vq->desc, 16u * i), sizeof(desc));
		ret = walk_desc(vq, chain, le64toh(desc.addr), le32toh(desc.len),
				le16toh(desc.flags));
		if (ret < 0)
			return -1;
		if (!ret)
			break;
		i = le16toh(desc.next);
	}
	vq->avail_idx++;
	return 1;
}

/* Whether a packed ring's descriptor with these flags is available to the device. */
static bool packed_avail(uint16_t flags, bool wrap)
{
	return !!(flags & F_AVAIL) == wrap && !!(flags & F_USED) != wrap;
}

static int pop_packed(struct virtq *vq, struct vq_chain *chain)
{
	struct vring_packed_desc desc;
	uint16_t i = vq->avail_idx, n = 0;
	bool wrap = vq->avail_wrap;
	int ret;

	if (!packed_avail(get16(&vq->desc, 16u * i + PACKED_FLAGS), wrap))
		return 0;
	do {
		/* That includes what was taken before, and what this would be read for again. */
		if (vq->taken + n >= vq->size)
			return vq_break(vq, "more descriptors are available than the ring holds");
		memcpy(&desc, area_at(&vq->desc, 16u * i), sizeof(desc));
		if (!packed_avail(le16toh(desc.flags), wrap))
			return vq_break(vq, "a chain with a descriptor that is not available");
		ret = walk_desc(vq, chain, le64toh(desc.addr), le32toh(desc.len),
				le16toh(desc.flags));
		if (ret < 0)
			return -1;
		n++;
		if (++i == vq->size) {
			i = 0;
			wrap = !wrap;
		}
	} while (ret);
	chain->id = le16toh(desc.id);
	chain->num_desc = n;
	vq->avail_idx = i;
	vq->avail_wrap = wrap;
	vq->taken += n;
	return 1;
}

/**
 * vq_pop - take the next available chain
 * @vq: the queue
 * @chain: filled in; what it holds is used again
 *
 * Return: 1 if there was one, 0 if not, -1 if the queue is or now became broken.
 */
int vq_pop(struct virtq *vq, struct vq_chain *chain)
{
	int ret;

	if (vq_ready(vq))
		return -1;
	chain_clear(chain);
	ret = vq->packed ? pop_packed(vq, chain) : pop_split(vq, chain);
	/* A used length has 32 bits. */
	if (ret > 0 && (chain->in_len > UINT32_MAX || chain->out_len > UINT32_MAX))
		return vq_break(vq, "a chain of 4 GiB or more");
	if (ret > 0)
		vq->held++;
	return ret;
}

/* Undo the last num vq_pop(), which gave these: the chains will be taken again. */
void vq_unpop(struct virtq *vq, const struct vq_chain *chains, unsigned int num)
{
	vq->held -= num;
	if (!vq->packed) {
		vq->avail_idx -= num;
		return;
	}
	while (num--) {
		vq->taken -= chains[num].num_desc;
		if (vq->avail_idx < chains[num].num_desc) {
			vq->avail_idx += vq->size;
			vq->avail_wrap = !vq->avail_wrap;
		}
		vq->avail_idx -= chains[num].num_desc;
	}
}

static void fill_packed(struct virtq *vq, const struct vq_chain *chain, uint32_t id,
			uint32_t written)
{
	uint32_t at = (uint32_t)vq->used_idx + vq->fill;
	bool wrap = vq->used_wrap;
	uint16_t flags = written ? VRING_DESC_F_WRITE : 0;

	if (at >= vq->size) {
		at -= vq->size;
		wrap = !wrap;
	}
	if (wrap)
		flags |= F_AVAIL | F_USED;
	put32(&vq->desc, 16 * at + PACKED_LEN, written);
	__atomic_store_n((uint16_t *)area_at(&vq->desc, 16 * at + PACKED_ID), htole16(id),
			 __ATOMIC_RELAXED);
	/* The driver looks at the first: that is shown when all others can be seen. */
	if (vq->fill)
		put16(&vq->desc, 16 * at + PACKED_FLAGS, flags);
	else
		vq->fill_flags = flags;
	vq->fill += chain->num_desc;
	vq->taken -= chain->num_desc;
}

/* Give a chain back; the driver sees it after vq_flush(). */
void vq_fill(struct virtq *vq, const struct vq_chain *chain, uint32_t written)
{
	uint32_t at, id = chain->id;
	unsigned int times;

	if (vq_ready(vq))
		return;
	vq->held--;
	times = hostile_used(vq, chain, &id, &written);
	if (vq->packed) {
		fill_packed(vq, chain, id, written);
		return;
	}
	for (; times; times--) {
		at = USED_RING((vq->used_idx + vq->fill) & (vq->size - 1));
		put32(&vq->device, at, id);
		put32(&vq->device, at + 4, written);
		vq->fill++;
	}
}

void vq_flush(struct virtq *vq)
{
	if (vq_ready(vq) || !vq->fill)
		return;
	vq->unsignalled += vq->fill;
	if (vq->unsignalled > vq->size)
		vq->unsignalled = vq->size + 1;
	if (vq->packed) {
		put16(&vq->desc, 16u * vq->used_idx + PACKED_FLAGS, vq->fill_flags);
		if ((uint32_t)vq->used_idx + vq->fill >= vq->size) {
			vq->used_idx -= vq->size;
			vq->used_wrap = !vq->used_wrap;
		}
		vq->used_idx += vq->fill;
	} else {
		vq->used_idx += vq->fill;
		put16(&vq->device, USED_IDX, vq->used_idx + vq->hostile.jump);
	}
	vq->fill = 0;
	if (vq->hostile.end == HOSTILE_ENDS)
		vq->hostile.end = HOSTILE_LAST;
}

void vq_push(struct virtq *vq, const struct vq_chain *chain, uint32_t written)
{
	vq_fill(vq, chain, written);
	vq_flush(vq);
}

/* The place in a packed ring at which the driver wants to be told, in terms of used_idx. */
static uint16_t packed_event(struct virtq *vq)
{
	uint16_t off_wrap = get16(&vq->driver, EVENT_OFF_WRAP);
	uint16_t off = off_wrap & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);

	if (!!(off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR) != vq->used_wrap)
		off -= vq->size;
	return off;
}

/* Whether the driver wants to hear of what was flushed since it was asked last. */
bool vq_should_notify(struct virtq *vq)
{
	uint16_t event, flags;
	uint32_t num = vq->unsignalled;

	if (vq_ready(vq))
		return false;
	if (vq->hostile.end == HOSTILE_LAST) {
		vq->hostile.end = HOSTILE_SILENT;
		return true;
	}
	/* Pairs with the driver's barrier between asking and looking again. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->packed) {
		flags = get16(&vq->driver, EVENT_FLAGS);
		if (!vq->event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC)
			return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
		event = packed_event(vq);
	} else {
		if (!vq->event_idx)
			return !(get16(&vq->driver, AVAIL_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
		event = get16(&vq->driver, AVAIL_RING(vq->size));
	}
	vq->unsignalled = 0;
	/* In more than a whole ring the place that the driver named is, wherever that was. */
	return num > vq->size || vring_need_event(event, vq->used_idx, vq->used_idx - num);
}

/* Ask for no doorbell while the queue is being worked on. */
void vq_disable_notify(struct virtq *vq)
{
	if (vq_ready(vq))
		return;
	if (vq->packed)
		put16(&vq->device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DISABLE);
	else if (!vq->event_idx)
		put16(&vq->device, USED_FLAGS, VRING_USED_F_NO_NOTIFY);
}

/* Ask for a doorbell. Return: whether a buffer came in the meantime. */
bool vq_enable_notify(struct virtq *vq)
{
	if (vq_ready(vq))
		return false;
	if (vq->packed && vq->event_idx) {
		put16(&vq->device, EVENT_OFF_WRAP,
		      vq->avail_idx | vq->avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
		put16(&vq->device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DESC);
	} else if (vq->packed) {
		put16(&vq->device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_ENABLE);
	} else if (vq->event_idx) {
		put16(&vq->device, USED_RING(vq->size), vq->avail_idx);
	} else {
		put16(&vq->device, USED_FLAGS, 0);
	}
	/* Pairs with the driver's barrier between making available and looking. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->packed)
		return packed_avail(get16(&vq->desc, 16u * vq->avail_idx + PACKED_FLAGS),
				    vq->avail_wrap);
	return get16(&vq->driver, AVAIL_IDX) != vq->avail_idx;
}

void vq_chain_free(struct vq_chain *chain)
{
	free(chain->seg);
	memset(chain, 0, sizeof(*chain));
}

int vq_chain_copy(struct vq_chain *to, const struct vq_chain *from)
{
	unsigned int num = from->num_out + from->num_in;

	*to = *from;
	to->room = num;
	to->seg = malloc((num ? num : 1) * sizeof(*to->seg));
	if (!to->seg)
		return -ENOMEM;
	if (num)
		memcpy(to->seg, from->seg, num * sizeof(*to->seg));
	return 0;
}

static int segs_copy(struct mem *mem, const struct mem_seg *seg, unsigned int num,
		     uint64_t offset, void *buf, uint64_t len, bool write)
{
	uint64_t part;
	int ret;

	for (; num && len; num--, seg++) {
		if (offset >= seg->len) {
			offset -= seg->len;
			continue;
		}
		part = seg->len - offset;
		if (part > len)
			part = len;
		if (write)
			ret = mem_write(mem, seg->gpa + offset, buf, part);
		else
			ret = mem_read(mem, seg->gpa + offset, buf, part);
		if (ret)
			return ret;
		buf = (uint8_t *)buf + part;
		len -= part;
		offset = 0;
	}
	return len ? -EFAULT : 0;
}

/* Read from the readable part of a chain, all of it or -EFAULT. */
int vq_read(struct mem *mem, const struct vq_chain *chain, uint64_t offset, void *buf,
	    uint64_t len)
{
	return segs_copy(mem, chain->seg, chain->num_out, offset, buf, len, false);
}

/* Read what was written to a chain, all of it or -EFAULT: it may not be readable. */
int vq_read_back(struct mem *mem, const struct vq_chain *chain, uint64_t offset, void *buf,
		 uint64_t len)
{
	return segs_copy(mem, chain->seg + chain->num_out, chain->num_in, offset, buf, len,
			 false);
}

/* Write to the writable part of a chain, all of it or -EFAULT. */
int vq_write(struct mem *mem, const struct vq_chain *chain, uint64_t offset, const void *buf,
	     uint64_t len)
{
	return segs_copy(mem, chain->seg + chain->num_out, chain->num_in, offset, (void *)buf, len,
			 true);
}
