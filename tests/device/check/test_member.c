// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Attributes of members: MEMBER_GET and MEMBER_SET. */
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static struct driver d;
static struct managed m, other;

#define ATTR(name)	VIRTIO_TVQ_MEMBER_##name
#define BAD_FIELD	ADMIN_ERR(EINVAL, INVALID_FIELD)
#define NO_FIELD	ADMIN_ERR(ENXIO, INVALID_FIELD)

static int get_of(uint16_t group, uint64_t id, uint16_t attribute, uint64_t *value)
{
	struct virtio_tvq_admin_member_get_data req = { .attribute = attribute };
	struct admin_reply reply;
	int ret;

	value[0] = 0;
	value[1] = 0;
	ret = admin(&d, MEMBER_GET, group, id, &req, sizeof(req), 64, &reply);
	CHECK_EQ(reply.len, 16);
	if (reply.len == 16)
		memcpy(value, reply.result, 16);
	return ret;
}

/* Of m. UINT64_MAX: it could not be got. */
static uint64_t get(uint16_t attribute)
{
	uint64_t value[2];

	if (get_of(MANAGED_GROUP, m.id, attribute, value))
		return UINT64_MAX;
	CHECK_EQ(value[1], 0);
	return value[0];
}

static int set_of(uint16_t group, uint64_t id, uint16_t attribute, const void *value, uint32_t len)
{
	struct virtio_tvq_admin_member_set_data req = { .attribute = attribute };

	memcpy(req.value, value, len);
	return admin(&d, MEMBER_SET, group, id, &req, sizeof(req), 0, NULL);
}

static int set(uint16_t attribute, uint64_t value)
{
	return set_of(MANAGED_GROUP, m.id, attribute, &value, sizeof(value));
}

/* As DESCRIBE says now */
static void describe(struct managed *member)
{
	struct reply reply;

	CHECK_EQ(command(&d, member->id, DEVICE(DESCRIBE), NULL, 0, 4096, &reply), 0);
	memcpy(&member->info, reply.in, sizeof(member->info));
	memcpy(member->config, reply.in + sizeof(member->info), member->info.config_len);
}

static void up(const struct tvq_options *opt, uint32_t type, uint16_t vqs)
{
	admin_init(&d, opt, 1);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(create_simple(&d, type, "it", vqs, &m), 0);
}

static uint32_t free_vqs(void)
{
	struct virtio_tvq_limits limits;
	struct reply reply;

	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, sizeof(limits), &reply), 0);
	memcpy(&limits, reply.in, sizeof(limits));
	return limits.vqs_free;
}

static uint32_t free_vectors(void)
{
	struct virtio_tvq_limits limits;
	struct reply reply;

	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, sizeof(limits), &reply), 0);
	memcpy(&limits, reply.in, sizeof(limits));
	return limits.vectors_free;
}

TEST(member_attributes_are_those_of_create)
{
	static const uint16_t numbers[] = { 7, 8, 0xff, 0x8000, 0xffff };
	unsigned int i;
	uint64_t value, both[2];
	uint8_t mac[8] = { 0 };

	up(NULL, 1, 3);
	CHECK_EQ(get(ATTR(FEATURES)), m.info.features[0]);
	CHECK_EQ(get(ATTR(FEATURES_POSSIBLE)) & m.info.features[0], m.info.features[0]);
	CHECK(get(ATTR(FEATURES_POSSIBLE)) & BIT64(F_RING_PACKED));
	CHECK_EQ(get(ATTR(VQS)), 3);
	CHECK_EQ(get(ATTR(VECTORS)), m.info.num_vectors);
	CHECK_EQ(get(ATTR(MTU)), 0);
	value = get(ATTR(MAC));
	memcpy(mac, &value, 8);
	CHECK(!memcmp(mac, m.config, 6) && !mac[6] && !mac[7]);
	CHECK_EQ(get_of(MANAGED_GROUP, m.id, ATTR(VECTORS_TOTAL), both), NO_FIELD);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		CHECK_EQ(get(numbers[i]), UINT64_MAX);
		CHECK_EQ(set(numbers[i], 1), NO_FIELD);
	}
	/* Those of a network device */
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK_EQ(get(ATTR(MAC)), UINT64_MAX);
	CHECK_EQ(get(ATTR(MTU)), UINT64_MAX);
	CHECK_EQ(set(ATTR(MAC), 2), NO_FIELD);
	CHECK_EQ(set(ATTR(MTU), 1500), NO_FIELD);
	CHECK_EQ(set(ATTR(VECTORS_TOTAL), 1), NO_FIELD);
	driver_exit(&d);
}

/* What a device had chosen itself, it chooses again. */
TEST(member_queues_of_an_interface)
{
	uint32_t vqs, vectors;

	up(NULL, 1, 0);
	vqs = free_vqs();
	vectors = free_vectors();
	CHECK(!(m.info.features[0] & BIT64(VIRTIO_NET_F_MQ)));
	CHECK_EQ(set(ATTR(VQS), 4), 0);
	CHECK_EQ(get(ATTR(VQS)), 4);
	describe(&m);
	CHECK_EQ(m.info.num_vqs, 9);
	CHECK_EQ(m.info.num_vectors, 10);
	CHECK(m.info.features[0] & BIT64(VIRTIO_NET_F_MQ));
	CHECK_EQ(m.config[8], 4);
	CHECK_EQ(free_vqs(), vqs - 6);
	CHECK_EQ(free_vectors(), vectors - 6);
	CHECK(bring_up(&m, 9, 16, 0));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	/* 0 is the device's choice. */
	CHECK_EQ(set(ATTR(VQS), 0), 0);
	CHECK_EQ(get(ATTR(VQS)), 1);
	CHECK_EQ(free_vqs(), vqs);
	CHECK_EQ(free_vectors(), vectors);
	describe(&m);
	CHECK_EQ(m.info.num_vqs, 3);
	CHECK(bring_up(&m, 3, 16, 0));
	driver_exit(&d);
}

static void kick(void *arg)
{
	doorbell(arg, 0);
}

/* The disk keeps what is on it. */
TEST(member_queues_of_a_disk)
{
	uint8_t out[512], in[512];
	unsigned int i, q;

	up(NULL, 2, 0);
	memset(out, 0x77, sizeof(out));
	CHECK(bring_up(&m, 1, 16, 0));
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_OUT, 5, out, 512, false), 0);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	for (i = 8; i; i /= 2) {
		CHECK_EQ(set(ATTR(VQS), i), 0);
		describe(&m);
		CHECK_EQ(m.info.num_vqs, i);
		CHECK_EQ(m.config[34], i);
		CHECK(bring_up(&m, i, 16, 0));
		for (q = 0; q < i; q++)
			doorbell(&m, q);
		CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 5, in, 512, false), 0);
		CHECK(!memcmp(out, in, sizeof(in)));
		CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	}
	driver_exit(&d);
}

TEST(member_queues_of_others)
{
	struct seg seg = { 0, 64, true };

	up(NULL, 3, 2);
	CHECK_EQ(set(ATTR(VQS), 5), 0);
	describe(&m);
	CHECK_EQ(m.info.num_vqs, 12);
	CHECK_EQ(m.config[4], 5);
	CHECK(bring_up(&m, 12, 16, 0));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(set(ATTR(VQS), 1), 0);
	describe(&m);
	CHECK(bring_up(&m, 4, 16, 0));
	/* An entropy source has one queue. */
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK_EQ(set(ATTR(VQS), 2), BAD_FIELD);
	CHECK_EQ(set(ATTR(VQS), 1), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	seg.gpa = guest_alloc(&d.c, 64, 16);
	ring_put(&m.ring[0], &seg, 1);
	doorbell(&m, 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	driver_exit(&d);
}

TEST(member_vectors)
{
	up(NULL, 1, 2);
	CHECK_EQ(set(ATTR(VECTORS), 2), 0);
	CHECK_EQ(get(ATTR(VECTORS)), 2);
	describe(&m);
	CHECK_EQ(m.info.num_vectors, 2);
	CHECK(bring_up(&m, m.info.num_vqs, 16, 0));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	/* What was asked for, stays with other queues; the device's choice does not. */
	CHECK_EQ(set(ATTR(VQS), 3), 0);
	CHECK_EQ(get(ATTR(VECTORS)), 2);
	CHECK_EQ(set(ATTR(VECTORS), 0), 0);
	CHECK_EQ(get(ATTR(VECTORS)), 8);
	CHECK_EQ(set(ATTR(VQS), 2), 0);
	CHECK_EQ(get(ATTR(VECTORS)), 6);
	CHECK_EQ(set(ATTR(VECTORS), 130), BAD_FIELD);
	CHECK_EQ(get(ATTR(VECTORS)), 6);
	driver_exit(&d);
}

TEST(member_features)
{
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	uint64_t possible, high[2] = { needed, 1 };
	uint8_t status = 0;

	up(NULL, 2, 2);
	possible = get(ATTR(FEATURES_POSSIBLE));
	CHECK_EQ(set(ATTR(FEATURES), possible), 0);
	CHECK_EQ(get(ATTR(FEATURES)), possible);
	describe(&m);
	CHECK_EQ(m.info.features[0], possible);
	CHECK_EQ(set(ATTR(FEATURES), needed | BIT64(F_RING_PACKED)), 0);
	describe(&m);
	CHECK(bring_up(&m, 2, 7, 0));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	/* What is offered no longer cannot be had, whatever the queues become. */
	CHECK_EQ(set(ATTR(VQS), 3), 0);
	CHECK_EQ(get(ATTR(FEATURES)), needed | BIT64(F_RING_PACKED));
	CHECK_EQ(negotiate(&m, possible, &status), 0);
	CHECK(!(status & S_FEATURES_OK));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(set(ATTR(FEATURES), 0), BAD_FIELD);
	CHECK_EQ(set(ATTR(FEATURES), BIT64(F_VERSION_1)), BAD_FIELD);
	CHECK_EQ(set(ATTR(FEATURES), needed | BIT64(63)), BAD_FIELD);
	CHECK_EQ(set(ATTR(FEATURES), needed | BIT64(F_ADMIN_VQ)), BAD_FIELD);
	CHECK_EQ(set_of(MANAGED_GROUP, m.id, ATTR(FEATURES), high, 16), BAD_FIELD);
	CHECK_EQ(set(ATTR(FEATURES_POSSIBLE), possible), BAD_FIELD);
	CHECK_EQ(get(ATTR(FEATURES)), needed | BIT64(F_RING_PACKED));
	driver_exit(&d);
}

TEST(member_mac_and_mtu)
{
	const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 }, group[6] = { 3 }, zero[6] = { 0 };
	uint32_t generation;

	up(NULL, 1, 0);
	generation = m.info.config_generation;
	CHECK_EQ(set_of(MANAGED_GROUP, m.id, ATTR(MAC), mac, 6), 0);
	describe(&m);
	CHECK(!memcmp(m.config, mac, 6));
	CHECK(m.info.config_generation != generation);
	CHECK_EQ(set_of(MANAGED_GROUP, m.id, ATTR(MAC), group, 6), BAD_FIELD);
	CHECK_EQ(set_of(MANAGED_GROUP, m.id, ATTR(MAC), zero, 6), BAD_FIELD);
	/* The feature comes with the first MTU. */
	CHECK(!(m.info.features[0] & BIT64(VIRTIO_NET_F_MTU)));
	CHECK_EQ(set(ATTR(MTU), 9000), 0);
	CHECK_EQ(get(ATTR(MTU)), 9000);
	describe(&m);
	CHECK(m.info.features[0] & BIT64(VIRTIO_NET_F_MTU));
	CHECK_EQ(m.config[10] | m.config[11] << 8, 9000);
	CHECK_EQ(set(ATTR(MTU), 67), BAD_FIELD);
	CHECK_EQ(set(ATTR(MTU), 0), BAD_FIELD);
	CHECK_EQ(get(ATTR(MTU)), 9000);
	CHECK(!memcmp(m.config, mac, 6));
	/* Not where features were asked for without them */
	CHECK_EQ(set(ATTR(FEATURES), BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM)), BAD_FIELD);
	CHECK_EQ(create_with(&d, 1, 0, &m), 0);
	CHECK_EQ(set(ATTR(MTU), 9000), BAD_FIELD);
	driver_exit(&d);
}

/* Not while a driver is there; and EINVAL comes before that. */
TEST(member_set_needs_status_0)
{
	uint64_t before;
	uint16_t i;

	up(NULL, 1, 2);
	before = get(ATTR(VQS));
	CHECK_EQ(set_status(&m, S_ACKNOWLEDGE), 0);
	for (i = ATTR(FEATURES); i <= ATTR(VECTORS); i++)
		CHECK_EQ(set(i, i == ATTR(FEATURES) ? m.info.features[0] :
			     i == ATTR(MAC) ? 2 : i == ATTR(MTU) ? 1500 : 1),
			 ADMIN_ERR(EBUSY, INVALID_COMMAND));
	CHECK_EQ(set(ATTR(VQS), 1000), BAD_FIELD);
	CHECK_EQ(set(ATTR(MTU), 1), BAD_FIELD);
	CHECK_EQ(get(ATTR(VQS)), before);
	CHECK_EQ(get(ATTR(MTU)), 0);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(set(ATTR(VQS), 1), 0);
	driver_exit(&d);
}

/* Limits count what the device has already as free for it. */
TEST(member_set_keeps_the_limits)
{
	struct tvq_options opt;

	client_options(&opt);
	opt.vqs_max = 12;
	opt.vectors_max = 16;
	up(&opt, 1, 2);
	CHECK_EQ(create_simple(&d, 2, "", 3, &other), 0);
	/* 12 - 3 are left: 4 pairs and the control queue */
	CHECK_EQ(set(ATTR(VQS), 5), ADMIN_ERR(ENOSPC, NORESOURCE));
	CHECK_EQ(set(ATTR(VQS), 4), 0);
	CHECK_EQ(free_vqs(), 0);
	CHECK_EQ(set(ATTR(VECTORS), 13), ADMIN_ERR(ENOSPC, NORESOURCE));
	CHECK_EQ(set(ATTR(VECTORS), 12), 0);
	CHECK_EQ(free_vectors(), 0);
	CHECK_EQ(set(ATTR(VECTORS), 17), ADMIN_ERR(ENOSPC, NORESOURCE));
	CHECK_EQ(set(ATTR(VQS), 1), 0);
	CHECK_EQ(free_vqs(), 6);
	/* What it has, it gives back as it is. */
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK_EQ(free_vqs(), 9);
	CHECK_EQ(free_vectors(), 12);
	driver_exit(&d);
}

/* It is provisioned: no reset takes it back, and the next process finds it. */
TEST(member_set_lasts)
{
	char dir[] = "/tmp/tvq-check-state-XXXXXX", text[128];
	struct tvq_options opt;

	client_options(&opt);
	CHECK(mkdtemp(dir));
	opt.state_dir = dir;
	up(&opt, 1, 0);
	CHECK_EQ(set(ATTR(VQS), 3), 0);
	CHECK_EQ(set(ATTR(MTU), 4000), 0);
	driver_reset(&d);
	d.c.alloc = GUEST_BASE;
	driver_setup(&d);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(get(ATTR(VQS)), 3);
	driver_exit(&d);
	admin_init(&d, &opt, 1);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(get(ATTR(VQS)), 3);
	CHECK_EQ(get(ATTR(MTU)), 4000);
	/* Still the device's own choice */
	CHECK_EQ(set(ATTR(VQS), 1), 0);
	describe(&m);
	CHECK(!(m.info.features[0] & BIT64(VIRTIO_NET_F_MQ)));
	CHECK_EQ(m.info.num_vectors, 4);
	driver_exit(&d);
	snprintf(text, sizeof(text), "rm -r %s", dir);
	CHECK_EQ(system(text), 0);
}

/*
 * Virtual functions, on paper
 */

TEST(member_attributes_of_virtual_functions)
{
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	uint8_t parts[4096], *part;
	uint64_t value[2], n;
	struct tvq_options opt;
	uint32_t len = sizeof(parts) - 64;

	client_options(&opt);
	opt.sriov = 3;
	admin_init(&d, &opt, 1);
	region_put(&d.c, VFU_CONFIG, 0x100 + PCI_SRIOV_NUM_VF, 3, 2);
	region_put(&d.c, VFU_CONFIG, 0x100 + PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, 2);
	parts_ready(&d, SRIOV_GROUP, 1);
	CHECK_EQ(get_of(SRIOV_GROUP, 1, ATTR(VECTORS), value), 0);
	CHECK_EQ(value[0], 4);
	CHECK_EQ(get_of(SRIOV_GROUP, 1, ATTR(VECTORS_TOTAL), value), 0);
	CHECK_EQ(value[0], 24);
	CHECK_EQ(get_of(SRIOV_GROUP, 1, ATTR(FEATURES_POSSIBLE), value), 0);
	n = value[0];
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(FEATURES), &n, 8), 0);
	CHECK_EQ(get_of(SRIOV_GROUP, 1, ATTR(FEATURES), value), 0);
	CHECK_EQ(value[0], n);
	/* 4 each are taken by the others. */
	n = 17;
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(VECTORS), &n, 8), ADMIN_ERR(ENOSPC, NORESOURCE));
	n = 16;
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(VECTORS), &n, 8), 0);
	n = 5;
	CHECK_EQ(set_of(SRIOV_GROUP, 2, ATTR(VECTORS), &n, 8), ADMIN_ERR(ENOSPC, NORESOURCE));
	n = 0;
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(VECTORS), &n, 8), 0);
	CHECK_EQ(get_of(SRIOV_GROUP, 1, ATTR(VECTORS), value), 0);
	CHECK_EQ(value[0], 4);
	n = 4000;
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(VECTORS), &n, 8), BAD_FIELD);
	n = 5;
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(VECTORS_TOTAL), &n, 8), BAD_FIELD);
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(FEATURES_POSSIBLE), &n, 8), BAD_FIELD);
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(FEATURES), &n, 8), BAD_FIELD);
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(VQS), &n, 8), NO_FIELD);
	CHECK_EQ(get_of(SRIOV_GROUP, 1, ATTR(MAC), value), NO_FIELD);
	/* A driver, as far as there can be one on paper */
	CHECK_EQ(parts_get(&d, SRIOV_GROUP, 1, parts, &len), 0);
	part = part_find(parts, len, VIRTIO_TVQ_DEV_PART_DRV_FEATURES, 0);
	memcpy(part + 16, &needed, 8);
	part = part_find(parts, len, VIRTIO_TVQ_DEV_PART_DEVICE_STATUS, 0);
	part[16] = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK;
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), 0);
	CHECK_EQ(parts_set(&d, SRIOV_GROUP, 1, parts, len), 0);
	n = 5;
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(VECTORS), &n, 8), ADMIN_ERR(EBUSY, INVALID_COMMAND));
	CHECK_EQ(set_of(SRIOV_GROUP, 1, ATTR(FEATURES), &needed, 8),
		 ADMIN_ERR(EBUSY, INVALID_COMMAND));
	driver_exit(&d);
}
