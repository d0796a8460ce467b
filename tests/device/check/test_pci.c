// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The PCI function: configuration space, the virtio structures, resets. */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static struct driver d;

TEST(capabilities_are_laid_out)
{
	struct virtio_tvq_pci_cap cap = { 0 };
	unsigned int seen[16] = { 0 }, at, n = 0;
	bool msix = false, express = false;
	uint8_t config[256];
	struct client *c = &d.c;

	driver_init(&d, NULL);
	CHECK_EQ(region_read(c, VFU_CONFIG, 0, config, sizeof(config)), 0);
	CHECK_EQ(config[0] | config[1] << 8, TVQ_VENDOR);
	CHECK_EQ(config[2] | config[3] << 8, VIRTIO_TVQ_PCI_DEVICE_ID);
	CHECK(config[PCI_STATUS] & PCI_STATUS_CAP_LIST);
	for (at = config[PCI_CAPABILITY_LIST]; at && n < 32; at = config[at + 1], n++) {
		CHECK_EQ(at % 4, 0);
		msix |= config[at] == PCI_CAP_ID_MSIX;
		express |= config[at] == PCI_CAP_ID_EXP;
		if (config[at] != PCI_CAP_ID_VNDR)
			continue;
		seen[config[at + 3] & 15]++;
		if (config[at + 3] == 9)
			memcpy(&cap, &config[at], sizeof(cap));
	}
	CHECK(msix && express && n < 32);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_COMMON_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_NOTIFY_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_ISR_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_PCI_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_DEVICE_CFG], 0);
	CHECK_EQ(seen[9], 1);
	CHECK(cap.cap_len >= 36);
	CHECK_EQ(cap.vendor_id, TVQ_VENDOR);
	CHECK_EQ(cap.version, 1);
	CHECK_EQ(cap.magic, VIRTIO_TVQ_CAP_MAGIC);
	CHECK(cap.transport_queue_index >= region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_NUMQ, 2));
	CHECK_EQ(cap.admin_queue_num, 2);
	CHECK(cap.transport_queue_index < cap.admin_queue_index);
	CHECK_EQ(cap.doorbell_bar, BAR_DOORBELL);
	CHECK_EQ(cap.doorbell_offset % 4096, 0);
	CHECK_EQ(cap.doorbell_length, 256 * 4096);
	driver_exit(&d);
}

TEST(bars_can_be_sized)
{
	struct client *c = &d.c;

	driver_init(&d, NULL);
	region_put(c, VFU_CONFIG, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	CHECK_EQ(region_get(c, VFU_CONFIG, PCI_BASE_ADDRESS_0, 4), 0xffffc000);
	region_put(c, VFU_CONFIG, PCI_BASE_ADDRESS_2, 0xffffffff, 4);
	CHECK_EQ(region_get(c, VFU_CONFIG, PCI_BASE_ADDRESS_2, 4), 0xfff0000c);
	region_put(c, VFU_CONFIG, PCI_BASE_ADDRESS_3, 0xffffffff, 4);
	CHECK_EQ(region_get(c, VFU_CONFIG, PCI_BASE_ADDRESS_3, 4), 0xffffffff);
	region_put(c, VFU_CONFIG, PCI_BASE_ADDRESS_4, 0xffffffff, 4);
	CHECK_EQ(region_get(c, VFU_CONFIG, PCI_BASE_ADDRESS_4, 4), 0);
	/* Read-only fields are that. */
	region_put(c, VFU_CONFIG, PCI_VENDOR_ID, 0, 4);
	CHECK_EQ(region_get(c, VFU_CONFIG, PCI_VENDOR_ID, 2), TVQ_VENDOR);
	driver_exit(&d);
}

/* Offer features as given, and see whether FEATURES_OK stays. */
static bool features_accepted(uint64_t features, uint32_t high)
{
	struct client *c = &d.c;
	uint8_t status;

	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, S_ACKNOWLEDGE | S_DRIVER, 1);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_GF, features & 0xffffffff, 4);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_GF, features >> 32, 4);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_GFSELECT, 2, 4);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_GF, high, 4);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS,
		   S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK, 1);
	status = region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1);
	return status & S_FEATURES_OK;
}

TEST(features_of_the_function)
{
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) |
				BIT64(VIRTIO_F_TRANSPT_VQ);
	struct client *c = &d.c;
	uint64_t offered;

	driver_init(&d, NULL);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	offered = region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DF, 4);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	offered |= region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DF, 4) << 32;
	CHECK_EQ(offered & needed, needed);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DFSELECT, 2, 4);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DF, 4), 0);
	CHECK(features_accepted(offered, 0));
	CHECK(features_accepted(needed, 0));
	CHECK(!features_accepted(needed & ~BIT64(F_VERSION_1), 0));
	CHECK(!features_accepted(needed & ~BIT64(F_ACCESS_PLATFORM), 0));
	CHECK(!features_accepted(needed & ~BIT64(VIRTIO_F_TRANSPT_VQ), 0));
	CHECK(!features_accepted(needed | BIT64(5), 0));
	CHECK(!features_accepted(needed, 1));
	driver_exit(&d);
}

TEST(window_of_the_configuration_space)
{
	struct client *c = &d.c;
	unsigned int at = 0x88;

	driver_init(&d, NULL);
	CHECK_EQ(region_get(c, VFU_CONFIG, at + 3, 1), VIRTIO_PCI_CAP_PCI_CFG);
	region_put(c, VFU_CONFIG, at + 4, BAR_VIRTIO, 1);
	region_put(c, VFU_CONFIG, at + 8, VIRTIO_PCI_COMMON_STATUS, 4);
	region_put(c, VFU_CONFIG, at + 12, 1, 4);
	CHECK_EQ(region_get(c, VFU_CONFIG, at + 16, 1), S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK |
		 S_DRIVER_OK);
	region_put(c, VFU_CONFIG, at + 16, 0, 1);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	/* Windows into nothing */
	region_put(c, VFU_CONFIG, at + 8, 0xfffffffc, 4);
	region_put(c, VFU_CONFIG, at + 12, 4, 4);
	region_get(c, VFU_CONFIG, at + 16, 4);
	region_put(c, VFU_CONFIG, at + 16, 0xffffffff, 4);
	region_put(c, VFU_CONFIG, at + 4, 9, 1);
	region_get(c, VFU_CONFIG, at + 16, 4);
	driver_exit(&d);
}

/* The transport virtqueue and two admin virtqueues, and none below or above. */
TEST(queues_of_the_function)
{
	struct client *c = &d.c;
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_NUMQ, 2), 0);
	for (i = 0; i < 5; i++) {
		region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
		CHECK_EQ(!region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_SIZE, 2),
			 i < TRANSPORT_QUEUE || i > TRANSPORT_QUEUE + 2);
	}
	/* What is enabled is not changed. */
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_SELECT, TRANSPORT_QUEUE, 2);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_SIZE, 4, 2);
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_DESCLO, 0, 8);
	CHECK(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_SIZE, 2) != 4);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_DESCLO, 8), d.ring.desc);
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, NULL), 0);
	/* A vector that there is not becomes none. */
	region_put(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_MSIX, MGMT_VECTORS, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	driver_exit(&d);
}

TEST(answers_are_announced)
{
	driver_init(&d, NULL);
	CHECK(quiet_fd(d.c.irq_fd[1]));
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, NULL), 0);
	CHECK(signalled(&d.c, d.c.irq_fd[1]));
	CHECK(quiet_fd(d.c.irq_fd[0]));
	driver_exit(&d);
}

/* Every kind of reset: provisioned stays, state goes, the function works again. */
static void check_reset(void (*reset)(void), bool of_function)
{
	struct managed m;
	struct reply reply;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "disk", 2, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	reset();
	CHECK_EQ(region_get(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	if (of_function)
		CHECK(!(region_get(&d.c, VFU_CONFIG, PCI_COMMAND, 2) & PCI_COMMAND_MASTER));
	driver_setup(&d);
	CHECK_EQ(command(&d, m.id, DEVICE(DESCRIBE), NULL, 0, 4096, &reply), 0);
	CHECK_EQ(((struct virtio_tvq_device_info *)reply.in)->status, 0);
	CHECK_EQ(((struct virtio_tvq_device_info *)reply.in)->num_vqs, 2);
	CHECK(bring_up(&m, 2, 16, 0));
	driver_exit(&d);
}

static void reset_by_status(void)
{
	driver_reset(&d);
}

static void reset_by_client(void)
{
	CHECK_EQ(client_request(&d.c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL, NULL), 0);
}

static void reset_by_flr(void)
{
	client_flr(&d.c);
}

static void reset_by_disconnect(void)
{
	client_disconnect(&d.c);
	client_connect(&d.c);
	CHECK(client_negotiate(&d.c));
	CHECK_EQ(client_map(&d.c, GUEST_BASE, GUEST_SIZE, 0), 0);
}

TEST(status_0_resets)
{
	check_reset(reset_by_status, false);
}

TEST(the_client_resets)
{
	check_reset(reset_by_client, true);
}

TEST(function_level_reset)
{
	check_reset(reset_by_flr, true);
}

TEST(a_disconnect_resets)
{
	check_reset(reset_by_disconnect, true);
}

TEST(a_power_state_stops_the_function)
{
	driver_init(&d, NULL);
	region_put(&d.c, VFU_CONFIG, 0x44, 3, 2);
	post(&d, 0, MGMT(NOP), NULL, 0, 0);
	driver_kick(&d);
	settle(&d.c, 0.05);
	CHECK_EQ(ring_used_idx(&d.ring), 0);
	region_put(&d.c, VFU_CONFIG, 0x44, 0, 2);
	CHECK(ring_wait(&d.ring, NULL, NULL));
	driver_exit(&d);
}

TEST(a_transport_ring_that_makes_no_sense)
{
	struct client *c = &d.c;

	driver_init(&d, NULL);
	ring_desc(&d.ring, 0, GUEST_BASE, 12, 1, 0);	/* its own successor */
	ring_avail(&d.ring, 0);
	driver_kick(&d);
	SOON(c, region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1) & S_NEEDS_RESET);
	CHECK(signalled(c, c->irq_fd[0]));
	driver_reset(&d);
	driver_setup(&d);
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, NULL), 0);
	driver_exit(&d);
}
