// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Rings of all kinds that do their work, and packed ones that a driver must not write. */
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE
#define IND	VRING_DESC_F_INDIRECT

static struct driver d;
static struct managed m, other;
static struct ring *ring;

static void kick(void *arg)
{
	doorbell(arg, 0);
}

/* Every combination of what a driver can negotiate, for longer than a ring is. */
TEST(rings_of_all_kinds)
{
	static const unsigned int bits[] = { F_RING_INDIRECT, F_RING_EVENT_IDX, F_RING_PACKED,
					     F_IN_ORDER, F_NOTIFICATION_DATA, F_ORDER_PLATFORM };
	const uint64_t extra = BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER) |
			       BIT64(F_NOTIFICATION_DATA) | BIT64(F_ORDER_PLATFORM);
	unsigned int i, k, seed = test_seed(7);
	uint8_t out[1536], in[1536];
	uint64_t without;
	uint16_t size;

	driver_init(&d, NULL);
	CHECK_EQ(create_with(&d, 2, extra, &m), 0);
	CHECK_EQ(m.info.features[0] & extra, extra);
	for (i = 0; i < 64; i++) {
		without = 0;
		for (k = 0; k < 6; k++)
			without |= i & 1u << k ? 0 : BIT64(bits[k]);
		/* A packed ring has any size. */
		size = without & BIT64(F_RING_PACKED) ? 8 : 7;
		CHECK(bring_up(&m, 1, size, without));
		for (k = 0; k < 20; k++) {
			memset(out, rand_r(&seed), sizeof(out));
			CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_OUT, k, out,
					     sizeof(out), (i & 1) && k % 3), VIRTIO_BLK_S_OK);
			CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, k, in,
					     sizeof(in), (i & 1) && k % 2), VIRTIO_BLK_S_OK);
			CHECK(!memcmp(in, out, sizeof(in)));
		}
		CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	}
	driver_exit(&d);
}

/* The doorbell of the feature that was not negotiated is none. */
TEST(doorbells_of_the_other_size)
{
	struct seg seg = { 0, 16, true };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		driver_init(&d, NULL);
		seg.gpa = guest_alloc(&d.c, 16, 16);
		CHECK_EQ(create_with(&d, 4, BIT64(F_NOTIFICATION_DATA), &m), 0);
		CHECK(bring_up(&m, 1, 16, i ? 0 : BIT64(F_NOTIFICATION_DATA)));
		/* The look that follows DRIVER_OK is over. */
		ring_put(&m.ring[0], &seg, 1);
		doorbell(&m, 0);
		CHECK(ring_wait(&m.ring[0], NULL, NULL));
		settle(&d.c, 0.02);
		ring_put(&m.ring[0], &seg, 1);
		region_put(&d.c, BAR_DOORBELL, m.doorbell, 0, i ? 2 : 4);
		settle(&d.c, 0.05);
		CHECK_EQ(ring_used_idx(&m.ring[0]), 1);
		/* And the other half says nothing about which queue it is. */
		if (i)
			region_put(&d.c, BAR_DOORBELL, m.doorbell, 0xffff0000, 4);
		else
			doorbell(&m, 0);
		CHECK(ring_wait(&m.ring[0], NULL, NULL));
		driver_exit(&d);
	}
}

TEST(notify_with_data)
{
	struct virtio_tvq_notify req = { .data = 0x00010000 };
	struct seg seg = { 0, 16, true };

	driver_init(&d, NULL);
	seg.gpa = guest_alloc(&d.c, 16, 16);
	CHECK_EQ(create_with(&d, 4, BIT64(F_NOTIFICATION_DATA), &m), 0);
	CHECK(bring_up(&m, 1, 16, BIT64(F_NOTIFICATION_DATA)));
	CHECK_EQ(command(&d, m.id, VQ(NOTIFY), &req, sizeof(req), 0, NULL), ERR(EINVAL, RESERVED));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	ring_put(&m.ring[0], &seg, 1);
	CHECK_EQ(command(&d, m.id, VQ(NOTIFY), &req, sizeof(req), 0, NULL), 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	req.data = 0x00010001;
	CHECK_EQ(command(&d, m.id, VQ(NOTIFY), &req, sizeof(req), 0, NULL), ERR(ENXIO, QUEUE));
	driver_exit(&d);
}

/* A disk with a packed ring of 16, and a second device that must not notice anything. */
static void up(uint64_t without)
{
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &other), 0);
	CHECK(bring_up(&other, 1, 16, 0));
	CHECK_EQ(create_with(&d, 2, BIT64(F_RING_PACKED), &m), 0);
	CHECK(bring_up(&m, 1, 16, without));
	ring = &m.ring[0];
}

/* Interrupts of a packed ring: when they are wanted, and never without. */
TEST(interrupts_of_a_packed_ring)
{
	uint16_t *event;
	unsigned int i;
	uint8_t data[512];

	up(0);
	event = guest(&d.c, ring->driver);
	event[1] = VRING_PACKED_EVENT_FLAG_DISABLE;
	for (i = 0; i < 3; i++)
		CHECK_EQ(blk_request(ring, kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
	settle(&d.c, 0.02);
	CHECK_EQ(count_msi(&d.c, msi_address(&m, 1), 1), 0);
	event[1] = VRING_PACKED_EVENT_FLAG_ENABLE;
	CHECK_EQ(blk_request(ring, kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
	CHECK(wait_msi(&d.c, msi_address(&m, 1), 1, 1));
	/* At the descriptor with index 2 of the next round, that is the 15th from here. */
	event[0] = 2;
	event[1] = VRING_PACKED_EVENT_FLAG_DESC;
	/* The first is asked for nothing: the device has not counted in the other modes. */
	CHECK_EQ(blk_request(ring, kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
	settle(&d.c, 0.02);
	d.c.num_msi = 0;
	for (i = 5; i < 18; i++) {
		CHECK_EQ(blk_request(ring, kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
		settle(&d.c, 0.002);
		CHECK_EQ(count_msi(&d.c, msi_address(&m, 1), 1), 0);
	}
	CHECK_EQ(blk_request(ring, kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
	CHECK(wait_msi(&d.c, msi_address(&m, 1), 1, 1));
	CHECK_EQ(blk_request(ring, kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
	settle(&d.c, 0.02);
	CHECK_EQ(count_msi(&d.c, msi_address(&m, 1), 1), 1);
	driver_exit(&d);
}

/* What the device says about doorbells, when it has nothing to do */
TEST(doorbells_of_a_packed_ring)
{
	uint16_t *event;
	uint8_t data[512];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		up(i ? BIT64(F_RING_EVENT_IDX) : 0);
		event = guest(&d.c, ring->device);
		CHECK_EQ(blk_request(ring, kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
		if (i) {
			SOON(&d.c, event[1] == VRING_PACKED_EVENT_FLAG_ENABLE);
		} else {
			SOON(&d.c, event[1] == VRING_PACKED_EVENT_FLAG_DESC);
			CHECK_EQ(event[0], 1 | 1 << VRING_PACKED_EVENT_F_WRAP_CTR);
		}
		driver_exit(&d);
	}
}

static uint8_t status_of(struct managed *dev)
{
	struct reply reply;

	CHECK_EQ(command(&d, dev->id, DEVICE(GET_STATUS), NULL, 0, 4, &reply), 0);
	return reply.in[0];
}

/* After a doorbell the device needs a reset and has said so; a reset makes it well. */
static void broken_at(int line)
{
	struct seg seg = { guest_alloc(&d.c, 16, 16), 16, true };
	uint8_t data[512];

	doorbell(&m, 0);
	if (!wait_msi(&d.c, msi_address(&m, 0), 0, 1))
		test_failed(__FILE__, line, "no interrupt");
	if (!(status_of(&m) & S_NEEDS_RESET))
		test_failed(__FILE__, line, "no reset is asked for");
	CHECK(!(status_of(&other) & S_NEEDS_RESET));
	ring_put(&other.ring[0], &seg, 1);
	doorbell(&other, 0);
	CHECK(ring_wait(&other.ring[0], NULL, NULL));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	if (blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, false))
		test_failed(__FILE__, line, "not well after a reset");
	driver_exit(&d);
}

#define BROKEN()	broken_at(__LINE__)

/* A descriptor that is available, in the first round */
static void put(uint16_t i, uint64_t gpa, uint32_t len, uint16_t flags)
{
	packed_desc(ring, i, gpa, len, i, packed_flags(flags, true));
}

TEST(packed_chains)
{
	unsigned int i;

	/* Without an end */
	up(0);
	for (i = 16; i--; )
		put(i, GUEST_BASE, 16, NEXT);
	BROKEN();
	/* Into what is not available, and into what was in the round before */
	up(0);
	put(0, GUEST_BASE, 16, NEXT);
	BROKEN();
	up(0);
	packed_desc(ring, 1, GUEST_BASE, 16, 1, packed_flags(0, false));
	put(0, GUEST_BASE, 16, NEXT);
	BROKEN();
	up(0);
	put(1, GUEST_BASE, 16, 0);
	put(0, GUEST_BASE, 16, NEXT | WRITE);
	BROKEN();
	up(0);
	for (i = 3; i--; )
		put(i, GUEST_BASE, 0x80000000, i < 2 ? NEXT : 0);
	BROKEN();
	/* Of nothing: a request without a header */
	up(0);
	put(0, GUEST_BASE, 0, 0);
	BROKEN();
	up(0);
	put(0, GUEST_BASE, 0, WRITE);
	BROKEN();
}

TEST(packed_indirect_tables)
{
	struct vring_packed_desc *table;
	uint64_t gpa;
	unsigned int i;

	up(BIT64(F_RING_INDIRECT));
	put(0, GUEST_BASE, 16, IND);
	BROKEN();
	for (i = 0; i < 6; i++) {
		static const struct {
			uint64_t gpa;
			uint32_t len;
		} bad[] = {
			{ GUEST_BASE, 0 }, { GUEST_BASE, 17 }, { GUEST_BASE, 0xfffffff0 },
			{ 64, 16 }, { UINT64_MAX - 7, 16 }, { GUEST_BASE, 16 * 1025 },
		};

		up(0);
		put(0, bad[i].gpa, bad[i].len, IND);
		BROKEN();
	}
	/* In a chain of others: first, and second */
	up(0);
	put(1, GUEST_BASE, 16, 0);
	put(0, GUEST_BASE, 16, IND | NEXT);
	BROKEN();
	up(0);
	put(1, GUEST_BASE, 16, IND);
	put(0, GUEST_BASE, 16, NEXT);
	BROKEN();
	/* Inside: one in another, and a readable one behind a writable one */
	for (i = 0; i < 2; i++) {
		up(0);
		gpa = guest_alloc(&d.c, 32, 16);
		table = guest(&d.c, gpa);
		table[0] = (struct vring_packed_desc){ gpa, 16, 0, i ? WRITE : IND };
		table[1] = (struct vring_packed_desc){ gpa, 16, 0, 0 };
		put(0, gpa, 32, IND);
		BROKEN();
	}
}

/* A counter that lies makes nothing available; and then it does. */
TEST(packed_wrap_counters)
{
	uint64_t gpa;

	driver_init(&d, NULL);
	CHECK_EQ(create_with(&d, 4, BIT64(F_RING_PACKED), &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	ring = &m.ring[0];
	gpa = guest_alloc(&d.c, 16, 16);
	packed_desc(ring, 0, gpa, 16, 7, packed_flags(WRITE, false));
	doorbell(&m, 0);
	packed_desc(ring, 0, gpa, 16, 7, WRITE | 1 << VRING_PACKED_DESC_F_AVAIL |
		    1 << VRING_PACKED_DESC_F_USED);
	doorbell(&m, 0);
	settle(&d.c, 0.02);
	CHECK_EQ(count_msi(&d.c, msi_address(&m, 0), 0) + count_msi(&d.c, msi_address(&m, 1), 1),
		 0);
	CHECK(!(status_of(&m) & S_NEEDS_RESET));
	ring->num[0xffff % 64] = 1;
	packed_desc(ring, 0, gpa, 16, 0xffff, packed_flags(WRITE, true));
	doorbell(&m, 0);
	SOON(&d.c, *(uint32_t *)(guest(&d.c, ring->desc) + 8) == 16 &&
	     *(uint16_t *)(guest(&d.c, ring->desc) + 12) == 0xffff);
	driver_exit(&d);
}

/* What is taken and not given back is made available once more: the device's ring alone. */
TEST(packed_descriptors_twice)
{
	struct vq_setup setup = { .size = 8, .features = BIT64(F_RING_PACKED) };
	struct vq_chain chain = { 0 };
	struct virtq vq;
	unsigned int i;

	driver_init(&d, NULL);
	ring = &m.ring[0];
	ring_init(ring, &d.c, 8, true);
	setup.desc = ring->desc;
	setup.driver = ring->driver;
	setup.device = ring->device;
	vq_init(&vq, &d.c.tvq.pci.mem, 0);
	CHECK_EQ(vq_enable(&vq, &setup), 0);
	CHECK(mem_enter_quiet(vq.mem, mem_epoch(vq.mem)));
	for (i = 0; i < 8; i++)
		put(i, GUEST_BASE, 16, 0);
	for (i = 0; i < 8; i++)
		CHECK_EQ(vq_pop(&vq, &chain), 1);
	CHECK_EQ(vq_pop(&vq, &chain), 0);
	/* One comes back, and two are available: the second is not the driver's. */
	vq_push(&vq, &chain, 0);
	packed_desc(ring, 1, GUEST_BASE, 16, 1, packed_flags(0, false));
	packed_desc(ring, 0, GUEST_BASE, 16, 0, packed_flags(0, false));
	CHECK_EQ(vq_pop(&vq, &chain), 1);
	CHECK_EQ(vq_pop(&vq, &chain), -1);
	CHECK(vq.broken);
	mem_leave(vq.mem);
	vq_disable(&vq);
	vq_chain_free(&chain);
	driver_exit(&d);
}

/* Taken and put back across the end of the ring: they come again, the same. */
TEST(packed_chains_put_back)
{
	struct vq_setup setup = { .size = 5, .features = BIT64(F_RING_PACKED) };
	const struct seg seg[2] = { { GUEST_BASE, 16, true }, { GUEST_BASE, 16, true } };
	struct vq_chain chain[2] = { 0 };
	struct virtq vq;
	unsigned int i, k;
	uint16_t id;

	driver_init(&d, NULL);
	ring = &m.ring[0];
	ring_init(ring, &d.c, 5, true);
	setup.desc = ring->desc;
	setup.driver = ring->driver;
	setup.device = ring->device;
	vq_init(&vq, &d.c.tvq.pci.mem, 0);
	CHECK_EQ(vq_enable(&vq, &setup), 0);
	CHECK(mem_enter_quiet(vq.mem, mem_epoch(vq.mem)));
	for (i = 0; i < 20; i++) {
		id = ring_put(ring, seg, 2);
		ring_put(ring, seg, 2);
		for (k = 0; k < 2; k++) {
			CHECK_EQ(vq_pop(&vq, &chain[0]), 1);
			CHECK_EQ(vq_pop(&vq, &chain[1]), 1);
			CHECK_EQ(chain[0].id, id);
			if (!k)
				vq_unpop(&vq, chain, 2);
		}
		/* Both are seen at once. */
		vq_fill(&vq, &chain[0], 1);
		vq_fill(&vq, &chain[1], 2);
		CHECK(!ring_has_used(ring));
		vq_flush(&vq);
		for (k = 0; k < 2; k++) {
			uint16_t used_id = 0;
			uint32_t len = 0;

			CHECK(ring_wait(ring, &used_id, &len));
			CHECK_EQ(used_id, (uint16_t)(id + k));
			CHECK_EQ(len, k + 1);
		}
	}
	mem_leave(vq.mem);
	vq_disable(&vq);
	vq_chain_free(&chain[0]);
	vq_chain_free(&chain[1]);
	driver_exit(&d);
}

TEST(packed_rings_in_memory)
{
	struct {
		struct virtio_tvq_setup req;
		struct virtio_tvq_vq vq;
		struct virtio_tvq_msi_entry msi;
	} s = { .req = { .num_vqs = 1, .num_msi = 1 }, .vq = { .size = 100, .vector = 0 } };
	const uint64_t features = BIT64(F_RING_PACKED);

	driver_init(&d, NULL);
	CHECK_EQ(create_with(&d, 2, features, &m), 0);
	s.vq.desc = guest_alloc(&d.c, 4096, 4096);
	s.vq.driver = guest_alloc(&d.c, 4, 4);
	s.vq.device = guest_alloc(&d.c, 4, 4);
	/* Sizes and alignments are those of the format that is negotiated. */
	CHECK_EQ(negotiate(&m, m.info.features[0] & ~features, NULL), 0);
	CHECK_EQ(command(&d, m.id, VQ(SETUP), &s, sizeof(s), 0, NULL), ERR(EINVAL, QUEUE));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(negotiate(&m, m.info.features[0], NULL), 0);
	s.vq.driver += 2;
	CHECK_EQ(command(&d, m.id, VQ(SETUP), &s, sizeof(s), 0, NULL), ERR(EINVAL, ADDRESS));
	s.vq.driver -= 2;
	s.vq.size = 257;
	CHECK_EQ(command(&d, m.id, VQ(SETUP), &s, sizeof(s), 0, NULL), ERR(EINVAL, QUEUE));
	s.vq.size = 100;
	CHECK_EQ(command(&d, m.id, VQ(SETUP), &s, sizeof(s), 0, NULL), 0);
	CHECK_EQ(set_status(&m, 0x0f), 0);
	CHECK(!(status_of(&m) & S_NEEDS_RESET));
	/* Unmapped in use */
	CHECK_EQ(client_unmap(&d.c, s.vq.desc, 4096), 0);
	doorbell(&m, 0);
	SOON(&d.c, status_of(&m) & S_NEEDS_RESET);
	driver_exit(&d);
}

/* Descriptors and tables at random, for every type of device */
TEST(random_packed_rings)
{
	static const uint32_t types[] = { 1, 2, 4 };
	unsigned int seed = test_seed(12), i, k, q;
	struct virtio_tvq_create req = { .flags = VIRTIO_TVQ_CREATE_F_FEATURES };
	uint64_t features[3];
	uint8_t *p;

	driver_init(&d, NULL);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(create_with(&d, types[i], BIT64(F_RING_PACKED), &m), 0);
		features[i] = m.info.features[0];
		CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	}
	for (i = 0; i < 300; i++) {
		d.c.alloc = GUEST_BASE + (8 << 20);
		if (d.ring.avail != d.ring.used)
			break;
		req.type = types[i % 3];
		req.features[0] = features[i % 3];
		CHECK_EQ(create(&d, &req, &m), 0);
		CHECK(bring_up(&m, m.info.num_vqs, 16, 0));
		for (q = 0; q < m.info.num_vqs; q++) {
			for (k = 0; k < 16; k++)
				packed_desc(&m.ring[q], k, (rand_r(&seed) % 4 ? GUEST_BASE : 0) +
					    (32 << 20) + rand_r(&seed) % 100000,
					    rand_r(&seed) % 3 ? rand_r(&seed) % 200 : rand_r(&seed),
					    rand_r(&seed), rand_r(&seed) % 5 ?
					    packed_flags(rand_r(&seed) % 8, rand_r(&seed) % 4) :
					    rand_r(&seed));
			doorbell(&m, q);
		}
		p = d.c.mem + (32 << 20);
		for (k = 0; k < 2000; k++)
			p[rand_r(&seed) % 100000] = rand_r(&seed) % 6;
		settle(&d.c, 0.001);
		d.c.num_msi = 0;
		CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	}
	CHECK_EQ(i, 300);
	driver_exit(&d);
}
