// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Devices that are PCI functions of their own, beside managed ones. */
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define CONFIG_AT	0x2000		/* the device's configuration, in BAR_VIRTIO */
#define COMMON(at)	VIRTIO_PCI_COMMON_##at

static struct driver d;
static struct plain_driver p;
static struct plain_options options[2];
static char sockets[2][96];

static void kick(void *arg)
{
	plain_doorbell(&p, 0);
}

/* The device with one disk of two queues and one interface, and a client at each. */
static void up(uint64_t features)
{
	struct tvq_options opt;
	unsigned int i;

	client_options(&opt);
	memset(options, 0, sizeof(options));
	for (i = 0; i < 2; i++) {
		snprintf(sockets[i], sizeof(sockets[i]), "/tmp/tvq-check-plain%u-%d", i, getpid());
		options[i].socket = sockets[i];
		snprintf(options[i].params.name, sizeof(options[i].params.name), "plain%u", i);
	}
	options[0].params.type = 2;
	options[0].params.vqs = 2;
	options[0].params.features[0] = features;
	options[0].params.have_features = features;
	options[1].params.type = 1;
	opt.pci = options;
	opt.num_pci = 2;
	driver_init(&d, &opt);
	plain_attach(&p, sockets[0]);
}

static void down(void)
{
	plain_detach(&p);
	driver_exit(&d);
	CHECK(access(sockets[0], F_OK) != 0);
}

static bool works(void)
{
	uint8_t out[1024], in[1024] = { 0 };

	memset(out, 0x5a, sizeof(out));
	return !blk_request(&p.ring[0], kick, NULL, VIRTIO_BLK_T_OUT, 3, out, 1024, false) &&
	       !blk_request(&p.ring[0], kick, NULL, VIRTIO_BLK_T_IN, 3, in, 1024, false) &&
	       !memcmp(in, out, 1024);
}

TEST(plain_layout)
{
	unsigned int seen[16] = { 0 }, at, n = 0;
	struct client *c = &p.c;
	uint8_t config[256];

	up(0);
	CHECK_EQ(region_read(c, VFU_CONFIG, 0, config, sizeof(config)), 0);
	CHECK_EQ(config[0] | config[1] << 8, 0x1af4);
	CHECK_EQ(config[2] | config[3] << 8, 0x1042);
	CHECK_EQ(config[PCI_CLASS_DEVICE] | config[PCI_CLASS_DEVICE + 1] << 8, 0x0100);
	for (at = config[PCI_CAPABILITY_LIST]; at && n < 32; at = config[at + 1], n++) {
		if (config[at] == PCI_CAP_ID_VNDR)
			seen[config[at + 3] & 15]++;
		if (config[at] == PCI_CAP_ID_MSIX)
			CHECK_EQ(config[at + 2] | config[at + 3] << 8, 2);
	}
	CHECK(n < 32);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_COMMON_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_NOTIFY_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_ISR_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_DEVICE_CFG], 1);
	CHECK_EQ(seen[VIRTIO_PCI_CAP_PCI_CFG], 1);
	CHECK_EQ(seen[9], 0);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(NUMQ), 2), 2);
	/* There are no doorbells of managed devices here. */
	region_put(c, VFU_CONFIG, PCI_BASE_ADDRESS_2, 0xffffffff, 4);
	CHECK_EQ(region_get(c, VFU_CONFIG, PCI_BASE_ADDRESS_2, 4), 0);
	/* Queues that there are not, registers that are none, and notifications of neither */
	region_put(c, BAR_VIRTIO, COMMON(Q_SELECT), 2, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_SIZE), 2), 0);
	region_put(c, BAR_VIRTIO, COMMON(Q_ENABLE), 1, 2);
	region_put(c, BAR_VIRTIO, COMMON(Q_RESET), 1, 2);
	region_put(c, BAR_VIRTIO, CONFIG_AT + 256, 1, 4);
	region_put(c, BAR_VIRTIO, PCI_NOTIFY_OFFSET + 8, 2, 2);
	region_put(c, BAR_VIRTIO, 0x3ffe, 0xffff, 2);
	CHECK_EQ(plain_get_status(&p), 0);
	down();
}

TEST(plain_disk)
{
	struct client *c = &p.c;

	/* The driver of these tests never asks for an interrupt at a place in the ring. */
	up(0);
	CHECK(plain_bring_up(&p, 2, 16, BIT64(F_RING_EVENT_IDX)));
	CHECK(works());
	CHECK(signalled(c, c->irq_fd[1]));
	CHECK(quiet_fd(c->irq_fd[0]));
	CHECK(quiet_fd(c->irq_fd[2]));
	CHECK_EQ(region_get(c, BAR_VIRTIO, 0x1000, 1), 1);
	CHECK_EQ(region_get(c, BAR_VIRTIO, 0x1000, 1), 0);
	/* A vector may change at any time. */
	region_put(c, BAR_VIRTIO, COMMON(Q_SELECT), 0, 2);
	region_put(c, BAR_VIRTIO, COMMON(Q_MSIX), 2, 2);
	CHECK(works());
	CHECK(signalled(c, c->irq_fd[2]));
	region_put(c, BAR_VIRTIO, COMMON(Q_MSIX), 3, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_MSIX), 2), 0xffff);
	CHECK(works());
	down();
}

TEST(plain_packed)
{
	struct client *c = &p.c;
	uint64_t offered;

	up(0);
	offered = p.offered;
	down();
	up(offered | BIT64(F_RING_PACKED) | BIT64(F_NOTIFICATION_DATA) | BIT64(F_IN_ORDER));
	CHECK(plain_bring_up(&p, 1, 11, 0));
	CHECK(works() && works() && works());
	/* The other kind of doorbell is none. */
	region_put(c, BAR_VIRTIO, PCI_NOTIFY_OFFSET, 0, 2);
	CHECK(plain_bring_up(&p, 1, 16, BIT64(F_RING_PACKED) | BIT64(F_NOTIFICATION_DATA)));
	CHECK(works());
	down();
}

TEST(plain_features)
{
	up(0);
	CHECK_EQ(p.offered & (BIT64(F_RING_PACKED) | BIT64(F_NOTIFICATION_DATA)), 0);
	CHECK(plain_negotiate(&p, p.offered));
	CHECK(!plain_negotiate(&p, p.offered | BIT64(F_RING_PACKED)));
	CHECK(!plain_negotiate(&p, p.offered & ~BIT64(F_VERSION_1)));
	CHECK(!plain_negotiate(&p, p.offered & ~BIT64(F_ACCESS_PLATFORM)));
	/* Without FEATURES_OK no queue, no DRIVER_OK, no configuration */
	region_put(&p.c, BAR_VIRTIO, COMMON(Q_SELECT), 0, 2);
	region_put(&p.c, BAR_VIRTIO, COMMON(Q_ENABLE), 1, 2);
	CHECK_EQ(region_get(&p.c, BAR_VIRTIO, COMMON(Q_ENABLE), 2), 0);
	region_put(&p.c, BAR_VIRTIO, COMMON(STATUS), 0x07, 1);
	CHECK_EQ(plain_get_status(&p), 3);
	region_put(&p.c, BAR_VIRTIO, CONFIG_AT + 32, 0, 1);
	CHECK_EQ(region_get(&p.c, BAR_VIRTIO, CONFIG_AT + 32, 1), 1);
	down();
}

/* Configuration: what is written is read, and what changes is announced with a generation. */
TEST(plain_configuration)
{
	struct client *c = &p.c;
	struct mdev *mdev;
	uint8_t before;

	up(0);
	CHECK(plain_bring_up(&p, 1, 16, 0));
	CHECK_EQ(region_get(c, BAR_VIRTIO, CONFIG_AT, 8), 131072);
	before = region_get(c, BAR_VIRTIO, COMMON(CFGGENERATION), 1);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(CFGGENERATION), 1), before);
	region_put(c, BAR_VIRTIO, CONFIG_AT + 32, 0, 1);
	CHECK_EQ(region_get(c, BAR_VIRTIO, CONFIG_AT + 32, 1), 0);
	/* A field that is not the driver's, and beyond the end */
	region_put(c, BAR_VIRTIO, CONFIG_AT, 1, 8);
	CHECK_EQ(region_get(c, BAR_VIRTIO, CONFIG_AT, 8), 131072);
	region_put(c, BAR_VIRTIO, CONFIG_AT + 58, 0xffffffff, 4);
	CHECK(quiet_fd(c->irq_fd[0]));
	/* As the worker would for a resize */
	before = region_get(c, BAR_VIRTIO, COMMON(CFGGENERATION), 1);
	mdev = plain_mdev(d.c.tvq.plain[0]);
	pthread_mutex_lock(&mdev->lock);
	mdev->config[0] ^= 8;
	pthread_mutex_unlock(&mdev->lock);
	CHECK(region_get(c, BAR_VIRTIO, COMMON(CFGGENERATION), 1) != before);
	CHECK_EQ(region_get(c, BAR_VIRTIO, CONFIG_AT, 8), 131080);
	/* A reset takes it back. */
	CHECK(plain_bring_up(&p, 1, 16, 0));
	CHECK(works());
	CHECK_EQ(region_get(c, BAR_VIRTIO, CONFIG_AT, 8), 131072);
	CHECK_EQ(region_get(c, BAR_VIRTIO, CONFIG_AT + 32, 1), 1);
	down();
}

static void reset_by_client(void)
{
	CHECK_EQ(client_request(&p.c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL, NULL), 0);
}

static void reset_by_flr(void)
{
	client_flr(&p.c);
}

static void reset_by_status(void)
{
	region_put(&p.c, BAR_VIRTIO, COMMON(STATUS), 0, 1);
}

static void reset_by_disconnect(void)
{
	plain_detach(&p);
	plain_attach(&p, sockets[0]);
}

/* A reset of one function, whatever it comes from, is none of another. */
TEST(plain_resets)
{
	static void (* const resets[])(void) = {
		reset_by_client, reset_by_flr, reset_by_status, reset_by_disconnect,
	};
	struct managed m;
	struct seg seg = { 0, 16, true };
	unsigned int i;

	up(0);
	seg.gpa = guest_alloc(&d.c, 16, 16);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	for (i = 0; i < 4; i++) {
		CHECK(plain_bring_up(&p, 2, 16, 0));
		CHECK(works());
		resets[i]();
		CHECK_EQ(plain_get_status(&p), 0);
		ring_put(&m.ring[0], &seg, 1);
		doorbell(&m, 0);
		CHECK(ring_wait(&m.ring[0], NULL, NULL));
	}
	/* And the other way round */
	CHECK(plain_bring_up(&p, 2, 16, 0));
	driver_reset(&d);
	CHECK_EQ(plain_get_status(&p), 0x0f);
	CHECK(works());
	client_disconnect(&d.c);
	CHECK(works());
	client_connect(&d.c);
	CHECK(client_negotiate(&d.c));
	down();
}

TEST(plain_queue_reset)
{
	struct client *c = &p.c;

	up(0);
	CHECK(plain_bring_up(&p, 2, 16, 0));
	CHECK(works());
	region_put(c, BAR_VIRTIO, COMMON(Q_SELECT), 0, 2);
	region_put(c, BAR_VIRTIO, COMMON(Q_RESET), 1, 2);
	SOON(c, !region_get(c, BAR_VIRTIO, COMMON(Q_RESET), 2));
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_ENABLE), 2), 0);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_MSIX), 2), 0xffff);
	region_put(c, BAR_VIRTIO, COMMON(Q_SELECT), 1, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_ENABLE), 2), 1);
	plain_queue(&p, 0, 8);
	CHECK(works());
	/* Not negotiated */
	CHECK(plain_bring_up(&p, 1, 16, BIT64(F_RING_RESET)));
	region_put(c, BAR_VIRTIO, COMMON(Q_SELECT), 0, 2);
	region_put(c, BAR_VIRTIO, COMMON(Q_RESET), 1, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_ENABLE), 2), 1);
	CHECK(works());
	down();
}

/* A ring that makes no sense: the function asks for a reset, and no other device does. */
TEST(plain_broken_ring)
{
	struct client *c = &p.c;

	up(0);
	CHECK(plain_bring_up(&p, 1, 16, 0));
	CHECK(works());
	ring_desc(&p.ring[0], 0, GUEST_BASE, 16, VRING_DESC_F_NEXT, 0);
	ring_avail(&p.ring[0], 0);
	plain_doorbell(&p, 0);
	SOON(c, plain_get_status(&p) & S_NEEDS_RESET);
	CHECK(signalled(c, c->irq_fd[0]));
	CHECK(region_get(c, BAR_VIRTIO, 0x1000, 1) & VIRTIO_PCI_ISR_CONFIG);
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, NULL), 0);
	CHECK(!(region_get(&d.c, BAR_VIRTIO, COMMON(STATUS), 1) & S_NEEDS_RESET));
	CHECK(plain_bring_up(&p, 1, 16, 0));
	CHECK(works());
	/* A ring outside of the memory of this client, though inside of the other's */
	CHECK_EQ(client_unmap(c, GUEST_BASE, GUEST_SIZE), 0);
	plain_doorbell(&p, 0);
	SOON(c, plain_get_status(&p) & S_NEEDS_RESET);
	down();
}

/* Addresses that cannot be a ring */
TEST(plain_addresses)
{
	struct client *c = &p.c;

	up(0);
	CHECK(plain_negotiate(&p, p.offered));
	region_put(c, BAR_VIRTIO, COMMON(Q_SELECT), 0, 2);
	region_put(c, BAR_VIRTIO, COMMON(Q_DESCLO), GUEST_BASE + 8, 8);
	region_put(c, BAR_VIRTIO, COMMON(Q_AVAILLO), GUEST_BASE, 8);
	region_put(c, BAR_VIRTIO, COMMON(Q_USEDLO), GUEST_BASE, 8);
	region_put(c, BAR_VIRTIO, COMMON(Q_ENABLE), 1, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_ENABLE), 2), 0);
	region_put(c, BAR_VIRTIO, COMMON(Q_DESCLO), UINT64_MAX - 15, 8);
	region_put(c, BAR_VIRTIO, COMMON(Q_ENABLE), 1, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_ENABLE), 2), 0);
	/* A size that is no power of 2 */
	region_put(c, BAR_VIRTIO, COMMON(Q_SIZE), 5, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, COMMON(Q_SIZE), 2), 256);
	down();
}

/* Names are those of one device, however it is reached; and it is no managed device. */
TEST(plain_names)
{
	struct virtio_tvq_limits limits;
	struct reply reply;
	struct managed m;

	up(0);
	CHECK_EQ(create_simple(&d, 2, "plain0", 0, &m), ERR(EEXIST, NAME));
	CHECK_EQ(command(&d, plain_mdev(d.c.tvq.plain[0])->id, DEVICE(GET_STATUS), NULL, 0, 4,
			 NULL), ERR(ENXIO, DEVICE_ID));
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, sizeof(limits), &reply), 0);
	memcpy(&limits, reply.in, sizeof(limits));
	CHECK_EQ(limits.vqs_free, d.c.tvq.opt.vqs_max);
	CHECK_EQ(create_simple(&d, 2, "other", 0, &m), 0);
	down();
}

/* Registers at random */
TEST(plain_random_registers)
{
	unsigned int seed = test_seed(13), i;
	struct client *c = &p.c;
	uint64_t at, value;
	uint32_t len;

	up(0);
	for (i = 0; i < 3000; i++) {
		at = rand_r(&seed) % 4 ? rand_r(&seed) % 64 : rand_r(&seed) % 0x4000;
		len = 1u << rand_r(&seed) % 4;
		if (at + len > 0x4000)
			continue;
		value = rand_r(&seed) % 3 ? rand_r(&seed) % 17 : rand_r(&seed);
		if (rand_r(&seed) % 3)
			region_put(c, BAR_VIRTIO, at, value, len);
		else
			region_get(c, BAR_VIRTIO, at, len);
	}
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, NULL), 0);
	CHECK(plain_bring_up(&p, 2, 16, 0));
	CHECK(works());
	down();
}
