// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Rings that a driver must not write: the device asks for a reset, and no more. */
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static struct driver d;
static struct managed m, other;
static struct ring *ring;

#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE
#define IND	VRING_DESC_F_INDIRECT

/* A block device with one queue, and a second device that must not notice anything. */
static void up(uint64_t without)
{
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &other), 0);
	CHECK(bring_up(&other, 1, 16, 0));
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 16, without));
	ring = &m.ring[0];
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
	struct req { uint32_t type, reserved; uint64_t sector; } hdr = { VIRTIO_BLK_T_FLUSH, 0, 0 };
	struct seg seg[2];
	uint64_t gpa;

	doorbell(&m, 0);
	if (!wait_msi(&d.c, msi_address(&m, 0), 0, 1))
		test_failed(__FILE__, line, "no interrupt");
	if (!(status_of(&m) & S_NEEDS_RESET))
		test_failed(__FILE__, line, "no reset is asked for");
	CHECK(!(status_of(&other) & S_NEEDS_RESET));
	seg[0] = (struct seg){ guest_alloc(&d.c, 16, 16), 16, true };
	ring_put(&other.ring[0], seg, 1);
	doorbell(&other, 0);
	CHECK(ring_wait(&other.ring[0], NULL, NULL));
	doorbell(&m, 0);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	gpa = guest_alloc(&d.c, 32, 16);
	memcpy(guest(&d.c, gpa), &hdr, 16);
	seg[0] = (struct seg){ gpa, 16, false };
	seg[1] = (struct seg){ gpa + 16, 1, true };
	ring_put(&m.ring[0], seg, 2);
	doorbell(&m, 0);
	if (!ring_wait(&m.ring[0], NULL, NULL))
		test_failed(__FILE__, line, "not well after a reset");
	driver_exit(&d);
}

#define BROKEN()	broken_at(__LINE__)

TEST(chains_that_loop)
{
	unsigned int i;

	up(0);
	ring_desc(ring, 0, GUEST_BASE, 16, NEXT, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	for (i = 0; i < 16; i++)
		ring_desc(ring, i, GUEST_BASE, 16, NEXT, (i + 1) % 16);
	ring_avail(ring, 3);
	BROKEN();
}

TEST(indices_out_of_range)
{
	up(0);
	ring_avail(ring, 16);
	BROKEN();
	up(0);
	ring_avail(ring, 0xffff);
	BROKEN();
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 16, NEXT, 16);
	ring_avail(ring, 0);
	BROKEN();
	/* More available than there are */
	up(0);
	ring->avail = 16;
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring->avail = 0xfffe;
	ring_avail(ring, 0);
	BROKEN();
}

TEST(order_of_descriptors)
{
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 16, NEXT | WRITE, 1);
	ring_desc(ring, 1, GUEST_BASE, 16, 0, 0);
	ring_avail(ring, 0);
	BROKEN();
}

TEST(chains_that_are_too_long)
{
	unsigned int i;

	up(0);
	for (i = 0; i < 3; i++)
		ring_desc(ring, i, GUEST_BASE, 0x80000000, i < 2 ? NEXT : 0, i + 1);
	ring_avail(ring, 0);
	BROKEN();
}

TEST(requests_without_header_or_status)
{
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 16, 0, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 15, NEXT, 1);
	ring_desc(ring, 1, GUEST_BASE, 1, WRITE, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 0, WRITE, 0);
	ring_avail(ring, 0);
	BROKEN();
}

TEST(indirect_tables)
{
	struct vring_desc *table;
	uint64_t gpa;
	unsigned int i;

	up(BIT64(F_RING_INDIRECT));
	ring_desc(ring, 0, GUEST_BASE, 16, IND, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 0, IND, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 17, IND, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 0xfffffff0, IND, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, GUEST_BASE, 16, IND | NEXT, 1);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, 64, 16, IND, 0);
	ring_avail(ring, 0);
	BROKEN();
	up(0);
	ring_desc(ring, 0, UINT64_MAX - 7, 16, IND, 0);
	ring_avail(ring, 0);
	BROKEN();
	/* Inside: one in another, a loop, an index outside */
	for (i = 0; i < 3; i++) {
		up(0);
		gpa = guest_alloc(&d.c, 64, 16);
		table = guest(&d.c, gpa);
		table[0] = (struct vring_desc){ gpa, 16, i == 0 ? IND : NEXT, i == 2 ? 4 : 0 };
		ring_desc(ring, 0, gpa, 64, IND, 0);
		ring_avail(ring, 0);
		BROKEN();
	}
}

TEST(rings_that_are_not_in_memory)
{
	struct {
		struct virtio_tvq_setup req;
		struct virtio_tvq_vq vq;
		struct virtio_tvq_msi_entry msi;
	} s = { 0 };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		up(0);
		CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
		CHECK_EQ(negotiate(&m, m.info.features[0], NULL), 0);
		s.req.num_vqs = 1;
		s.req.num_msi = 1;
		s.vq.size = 256;
		s.vq.vector = 1;
		s.vq.desc = i == 0 ? 0x40000000 : GUEST_BASE;
		s.vq.driver = i == 1 ? GUEST_BASE + GUEST_SIZE - 4 : GUEST_BASE;
		s.vq.device = i == 2 ? GUEST_BASE - 4096 : GUEST_BASE;
		s.msi.address = msi_address(&m, 0);
		CHECK_EQ(command(&d, m.id, VQ(SETUP), &s, sizeof(s), 0, NULL), 0);
		/* At DRIVER_OK the device looks into the ring by itself. */
		CHECK_EQ(set_status(&m, 0x0f), 0);
		BROKEN();
	}
	/* A ring that is unmapped in use */
	up(0);
	CHECK_EQ(client_unmap(&d.c, m.ring[0].desc, 4096), 0);
	CHECK_EQ(client_map(&d.c, m.ring[0].desc, 4096, 0), 0);
	CHECK_EQ(client_unmap(&d.c, m.ring[0].desc, 4096), 0);
	doorbell(&m, 0);
	SOON(&d.c, status_of(&m) & S_NEEDS_RESET);
	driver_exit(&d);
}

/* Descriptors, tables and indices at random, for every type of device */
TEST(random_rings)
{
	static const uint32_t types[] = { 1, 2, 4 };
	unsigned int seed = test_seed(11), i, k, t, queues, q;
	uint16_t *driver;
	uint8_t *p;

	driver_init(&d, NULL);
	for (i = 0; i < 300; i++) {
		t = types[i % 3];
		d.c.alloc = GUEST_BASE + (8 << 20);
		if (d.ring.avail != d.ring.used)
			break;
		CHECK_EQ(create_simple(&d, t, "", 0, &m), 0);
		queues = m.info.num_vqs;
		CHECK(bring_up(&m, queues, 16, 0));
		for (q = 0; q < queues; q++) {
			p = guest(&d.c, m.ring[q].desc);
			for (k = 0; k < 256; k++)
				p[k] = rand_r(&seed) % 2 ? 0 : rand_r(&seed) % 20;
			for (k = 0; k < 16; k++) {
				/* Most of them in memory */
				if (rand_r(&seed) % 4)
					*(uint64_t *)(p + 16 * k) = GUEST_BASE + (32 << 20) +
								    rand_r(&seed) % 100000;
				*(uint16_t *)(p + 16 * k + 12) = rand_r(&seed) % 8;
			}
			driver = guest(&d.c, m.ring[q].driver);
			for (k = 0; k < 16; k++)
				driver[2 + k] = rand_r(&seed) % 17;
			driver[1] = rand_r(&seed) % 18;
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
