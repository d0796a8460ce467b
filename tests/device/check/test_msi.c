// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Interrupts of managed devices, and what must not wait for them. */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static struct driver d;
static struct managed m;

/* An entropy source with one queue on vector 0. */
static void rng_up(void)
{
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK_EQ(m.info.num_vectors, 1);
	CHECK(bring_up(&m, 1, 64, BIT64(F_RING_EVENT_IDX)));
}

/* Have one buffer used. */
static void event(void)
{
	struct seg seg = { guest_alloc(&d.c, 16, 16), 16, true };

	ring_put(&m.ring[0], &seg, 1);
	doorbell(&m, 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
}

static int set_msi(uint64_t address, uint32_t data, uint8_t flags)
{
	struct {
		struct virtio_tvq_msi_range r;
		struct virtio_tvq_msi_entry e;
	} s = { .r = { .count = 1 }, .e = { .address = address, .data = data, .flags = flags } };

	return command(&d, m.id, MSI(SET), &s, sizeof(s), 0, NULL);
}

static uint8_t msi_flags(void)
{
	struct virtio_tvq_msi_range r = { .count = 1 };
	struct reply reply;

	CHECK_EQ(command(&d, m.id, MSI(GET), &r, sizeof(r), 16, &reply), 0);
	return ((struct virtio_tvq_msi_entry *)reply.in)->flags;
}

TEST(a_used_buffer_interrupts)
{
	driver_init(&d, NULL);
	rng_up();
	event();
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
	event();
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 2));
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 2);
	driver_exit(&d);
}

TEST(an_inactive_entry_is_pending)
{
	struct virtio_tvq_setup none = { .config_vector = 0xffff };
	struct virtio_tvq_vq vq = { 0 };
	uint8_t buf[sizeof(none) + sizeof(vq)];

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK_EQ(negotiate(&m, m.info.features[0] & ~BIT64(F_RING_EVENT_IDX), NULL), 0);
	ring_init(&m.ring[0], &d.c, 16, false);
	none.num_vqs = 1;
	vq.size = 16;
	vq.desc = m.ring[0].desc;
	vq.driver = m.ring[0].driver;
	vq.device = m.ring[0].device;
	memcpy(buf, &none, sizeof(none));
	memcpy(buf + sizeof(none), &vq, sizeof(vq));
	CHECK_EQ(command(&d, m.id, VQ(SETUP), buf, sizeof(buf), 0, NULL), 0);
	CHECK_EQ(set_status(&m, 0x0f), 0);
	event();
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 0);
	CHECK_EQ(msi_flags(), VIRTIO_TVQ_MSI_F_MASK);
	/* Set unmasked, what was pending is sent. */
	CHECK_EQ(set_msi(MSI_BASE, 42, 0), 0);
	CHECK(wait_msi(&d.c, MSI_BASE, 42, 1));
	CHECK_EQ(msi_flags(), 0);
	driver_exit(&d);
}

TEST(a_masked_entry_is_pending)
{
	uint64_t address;

	driver_init(&d, NULL);
	rng_up();
	address = msi_address(&m, 0);
	CHECK_EQ(set_msi(address, 0, VIRTIO_TVQ_MSI_F_MASK), 0);
	CHECK_EQ(msi_flags(), VIRTIO_TVQ_MSI_F_MASK);
	event();
	event();
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 0);
	CHECK_EQ(msi_flags(), VIRTIO_TVQ_MSI_F_MASK | VIRTIO_TVQ_MSI_F_PENDING);
	/* Written masked again, it stays so; PENDING cannot be cleared. */
	CHECK_EQ(set_msi(address, 0, VIRTIO_TVQ_MSI_F_MASK), 0);
	CHECK_EQ(msi_flags(), VIRTIO_TVQ_MSI_F_MASK | VIRTIO_TVQ_MSI_F_PENDING);
	CHECK_EQ(set_msi(address, 7, 0), 0);
	CHECK(wait_msi(&d.c, address, 7, 1));
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 1);
	CHECK_EQ(msi_flags(), 0);
	driver_exit(&d);
}

TEST(a_change_sends_one)
{
	uint64_t address;

	driver_init(&d, NULL);
	rng_up();
	address = msi_address(&m, 0);
	/* What it holds already is no change. */
	CHECK_EQ(set_msi(address, 0, 0), 0);
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 0);
	CHECK_EQ(set_msi(address, 1, 0), 0);
	CHECK(wait_msi(&d.c, address, 1, 1));
	CHECK_EQ(set_msi(address + 4, 1, 0), 0);
	CHECK(wait_msi(&d.c, address + 4, 1, 1));
	CHECK_EQ(d.c.num_msi, 2);
	/* A masked one that changes sends nothing when it is unmasked without an event. */
	CHECK_EQ(set_msi(address + 4, 1, VIRTIO_TVQ_MSI_F_MASK), 0);
	CHECK_EQ(set_msi(address, 2, VIRTIO_TVQ_MSI_F_MASK), 0);
	CHECK_EQ(set_msi(address, 2, 0), 0);
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 2);
	/* Changed while the client has not answered the last one */
	d.c.withhold = true;
	event();
	CHECK(wait_msi(&d.c, address, 2, 1));
	CHECK_EQ(set_msi(address + 8, 3, 0), 0);
	CHECK(wait_msi(&d.c, address + 8, 3, 1));
	driver_exit(&d);
}

TEST(bus_master_enable_gates_messages)
{
	struct client *c = &d.c;
	uint64_t address;
	struct seg seg;

	driver_init(&d, NULL);
	rng_up();
	address = msi_address(&m, 0);
	region_put(c, VFU_CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	seg = (struct seg){ guest_alloc(c, 16, 16), 16, true };
	ring_put(&m.ring[0], &seg, 1);
	doorbell(&m, 0);
	settle(c, 0.05);
	CHECK_EQ(ring_used_idx(&m.ring[0]), 0);
	CHECK_EQ(c->num_msi, 0);
	/* The doorbell that came meanwhile is not forgotten. */
	region_put(c, VFU_CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	CHECK(wait_msi(c, address, 0, 1));
	driver_exit(&d);
}

/* MSI-X Enable of the function does not matter to managed devices. */
TEST(msix_enable_does_not_gate_messages)
{
	driver_init(&d, NULL);
	rng_up();
	region_put(&d.c, VFU_CONFIG, 0x48 + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_MASKALL, 2);
	event();
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
	driver_exit(&d);
}

TEST(messages_may_go_to_memory)
{
	uint32_t *written;
	uint64_t gpa;

	driver_init(&d, NULL);
	rng_up();
	gpa = guest_alloc(&d.c, 4, 4);
	CHECK_EQ(set_msi(gpa, 0x12345678, 0), 0);
	CHECK_EQ(*(uint32_t *)guest(&d.c, gpa), 0x12345678);
	*(uint32_t *)guest(&d.c, gpa) = 0;
	event();
	written = guest(&d.c, gpa);
	SOON(&d.c, __atomic_load_n(written, __ATOMIC_ACQUIRE) == 0x12345678);
	CHECK_EQ(d.c.num_msi, 0);
	driver_exit(&d);
}

TEST(notification_suppression)
{
	uint16_t *driver;

	driver_init(&d, NULL);
	rng_up();
	driver = guest(&d.c, m.ring[0].driver);
	driver[0] = VRING_AVAIL_F_NO_INTERRUPT;
	event();
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 0);
	driver[0] = 0;
	event();
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
	/* With an event index: at the third buffer */
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	d.c.num_msi = 0;
	CHECK(bring_up(&m, 1, 64, 0));
	driver = guest(&d.c, m.ring[0].driver);
	driver[2 + 64] = 2;
	event();
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));	/* the first is always told */
	d.c.num_msi = 0;
	event();
	settle(&d.c, 0.01);
	CHECK_EQ(d.c.num_msi, 0);
	event();
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
	event();
	settle(&d.c, 0.01);
	CHECK_EQ(d.c.num_msi, 1);
	/* And the device says from where on it wants a doorbell. */
	CHECK_EQ(*(uint16_t *)guest(&d.c, m.ring[0].device + 4 + 8 * 64), 4);
	driver_exit(&d);
}

TEST(events_while_a_message_is_on_its_way)
{
	struct client *c = &d.c;
	uint64_t address;
	struct vfu_hdr answer = { .command = VFU_DMA_WRITE, .size = sizeof(answer),
				  .flags = VFU_F_REPLY };
	int i;

	driver_init(&d, NULL);
	rng_up();
	address = msi_address(&m, 0);
	c->withhold = true;
	event();
	CHECK(wait_msi(c, address, 0, 1));
	for (i = 0; i < 5; i++)
		event();
	settle(c, 0.02);
	CHECK_EQ(count_msi(c, address, 0), 1);
	/* When it has arrived, what came behind it is told, once. */
	c->withhold = false;
	client_send(c, &answer, sizeof(answer), NULL, 0);
	CHECK(wait_msi(c, address, 0, 2));
	settle(c, 0.02);
	CHECK_EQ(count_msi(c, address, 0), 2);
	driver_exit(&d);
}

/* The client refuses the message: there is no going wrong further than that. */
TEST(messages_that_are_refused)
{
	struct client *c = &d.c;
	struct vfu_hdr answer = { .command = VFU_DMA_WRITE, .size = sizeof(answer),
				  .flags = VFU_F_REPLY | VFU_F_ERROR, .error = 14 };

	driver_init(&d, NULL);
	rng_up();
	c->withhold = true;
	event();
	CHECK(wait_msi(c, msi_address(&m, 0), 0, 1));
	client_send(c, &answer, sizeof(answer), NULL, 0);
	event();
	CHECK(wait_msi(c, msi_address(&m, 0), 0, 2));
	driver_exit(&d);
}

/*
 * The client answers none of the device's messages, as one does that holds a lock
 * while it reads a register. Whatever it asks must be answered all the same, and
 * soon: registers, doorbells, maps and unmaps, resets.
 */
TEST(interrupts_while_registers_are_read_and_memory_is_unmapped)
{
	struct client *c = &d.c;
	struct managed dev[16];
	struct seg seg;
	unsigned int i, round;
	double start, worst = 0;
	struct tvq_options opt;

	client_options(&opt);
	opt.queue_size = 128;
	driver_init(&d, &opt);
	for (i = 0; i < 16; i++) {
		CHECK_EQ(create_simple(&d, 4, "", 0, &dev[i]), 0);
		CHECK(bring_up(&dev[i], 1, 128, BIT64(F_RING_EVENT_IDX)));
	}
	CHECK_EQ(client_map(c, 1ull << 32, GUEST_SIZE, 0), 0);
	c->withhold = true;
	for (round = 0; round < 100; round++) {
		for (i = 0; i < 16; i++) {
			/* Buffers in the window that is about to be unmapped */
			seg = (struct seg){ (1ull << 32) + (16 << 20) + (i << 16), 65536, true };
			ring_put(&dev[i].ring[0], &seg, 1);
			start = test_now();
			doorbell(&dev[i], 0);
			region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1);
			if (test_now() - start > worst)
				worst = test_now() - start;
		}
		start = test_now();
		CHECK_EQ(client_unmap(c, 1ull << 32, GUEST_SIZE), 0);
		/* Behind the answer the window is not written any more. */
		memset(c->mem + (16 << 20), 0, 16 << 16);
		CHECK_EQ(client_map(c, 2ull << 32, 4096, 0), 0);
		CHECK_EQ(client_unmap(c, 2ull << 32, 4096), 0);
		region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1);
		for (i = 0; i < 16 << 16; i++) {
			if (c->mem[(16 << 20) + i]) {
				test_failed(__FILE__, __LINE__, "a write behind an unmap");
				break;
			}
		}
		CHECK_EQ(client_map(c, 1ull << 32, GUEST_SIZE, 0), 0);
		if (test_now() - start > worst)
			worst = test_now() - start;
	}
	CHECK(worst < DEADLINE);
	for (i = 0; i < 16; i++)
		SOON(c, ring_used_idx(&dev[i].ring[0]) == 100);
	/* Each device has sent its first, none of which was answered. */
	CHECK(c->withheld >= 16);
	start = test_now();
	CHECK_EQ(client_request(c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL, NULL), 0);
	CHECK(test_now() - start < DEADLINE);
	driver_exit(&d);
}

/* device_status is 0 only when no message of before can arrive any more. */
TEST(the_status_waits_for_messages)
{
	struct client *c = &d.c;
	struct vfu_hdr answer = { .command = VFU_DMA_WRITE, .size = sizeof(answer),
				  .flags = VFU_F_REPLY };
	double start;

	driver_init(&d, NULL);
	rng_up();
	c->withhold = true;
	event();
	CHECK(wait_msi(c, msi_address(&m, 0), 0, 1));
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	CHECK(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1) != 0);
	client_send(c, &answer, sizeof(answer), NULL, 0);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	/* But not for ever. */
	driver_setup(&d);
	c->num_msi = 0;
	rng_up();
	event();
	CHECK(wait_msi(c, msi_address(&m, 0), 0, 1));
	start = test_now();
	driver_reset(&d);
	CHECK(test_now() - start < DEADLINE);
	driver_exit(&d);
}

/* A device with queues set up and work to do is quiet when a reset is complete. */
static void check_quiet(unsigned int how)
{
	struct client *c = &d.c;
	struct seg seg;
	unsigned int i, n;
	uint16_t used;

	driver_init(&d, NULL);
	rng_up();
	/* Much work, so that the reset comes in the middle of it */
	for (i = 0; i < 60; i++) {
		seg = (struct seg){ GUEST_BASE + (32 << 20), 65536, true };
		ring_put(&m.ring[0], &seg, 1);
	}
	doorbell(&m, 0);
	switch (how) {
	case 0:
		CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
		break;
	case 1:
		CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
		break;
	case 2:
		driver_reset(&d);
		break;
	case 3:
		CHECK_EQ(client_request(c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL, NULL), 0);
		break;
	case 4:
		client_flr(c);
		break;
	}
	used = ring_used_idx(&m.ring[0]);
	memset(c->mem + (32 << 20), 0, 65536);
	if (how < 3)		/* of the others the messages of before may be under way */
		settle(c, 0.005);
	n = c->num_msi;
	doorbell(&m, 0);
	usleep(20000);
	doorbell(&m, 0);
	if (how < 3) {
		settle(c, 0.02);
		CHECK_EQ(c->num_msi, n);
	}
	CHECK_EQ(ring_used_idx(&m.ring[0]), used);
	for (i = 0; i < 65536 && !c->mem[(32 << 20) + i]; i++)
		;
	CHECK_EQ(i, 65536);
	driver_exit(&d);
}

TEST(quiet_after_a_reset)
{
	unsigned int how, i;

	for (how = 0; how < 5; how++) {
		for (i = 0; i < 5; i++)
			check_quiet(how);
	}
}
