// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Admin virtqueues: where they are, groups, lists of commands, capabilities, resource
 * objects, buffers of any length. Documentation/admin-conformance.rst says which
 * requirement of the specification each test is for.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static struct driver d;
static struct managed m, other;

#define SRIOV_CAP	0x100
#define KIND_GET	VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET
#define KIND_SET	VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET

/* A device with so many admin queues and VFs, and with a managed device. */
static void up(unsigned int queues, uint16_t vfs)
{
	struct tvq_options opt;

	client_options(&opt);
	opt.sriov = vfs;
	if (queues > opt.admin_queues)
		opt.admin_queues = queues;
	admin_init(&d, &opt, queues);
	CHECK_EQ(create_simple(&d, 2, "disk", 2, &m), 0);
}

static void enable_vfs(uint16_t num)
{
	region_put(&d.c, VFU_CONFIG, SRIOV_CAP + PCI_SRIOV_NUM_VF, num, 2);
	region_put(&d.c, VFU_CONFIG, SRIOV_CAP + PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, 2);
}

static void disable_vfs(void)
{
	region_put(&d.c, VFU_CONFIG, SRIOV_CAP + PCI_SRIOV_CTRL, 0, 2);
}

static int get_caps(uint16_t group)
{
	uint8_t req[8] = { 0 };

	return admin(&d, ADMIN(DEVICE_CAP_GET), group, 0, req, 8, 8, NULL);
}

static int get_attribute(uint64_t id, uint16_t attribute)
{
	struct virtio_tvq_admin_member_get_data req = { .attribute = attribute };

	return admin(&d, MEMBER_GET, MANAGED_GROUP, id, &req, sizeof(req), 16, NULL);
}

/*
 * Where they are
 */

static void check_place(bool short_common, unsigned int queues)
{
	struct virtio_tvq_pci_cap cap = { 0 };
	uint32_t common_len = 0;
	uint8_t config[256];
	struct tvq_options opt;
	uint16_t index, num;
	unsigned int at;

	client_options(&opt);
	opt.admin_queues = queues;
	opt.short_common_cfg = short_common;
	admin_init(&d, &opt, queues);
	CHECK_EQ(region_read(&d.c, VFU_CONFIG, 0, config, sizeof(config)), 0);
	for (at = config[PCI_CAPABILITY_LIST]; at; at = config[at + 1]) {
		if (config[at] != PCI_CAP_ID_VNDR)
			continue;
		if (config[at + 3] == VIRTIO_PCI_CAP_COMMON_CFG)
			memcpy(&common_len, &config[at + 12], 4);
		if (config[at + 3] == 9)
			memcpy(&cap, &config[at], sizeof(cap));
	}
	CHECK_EQ(common_len, short_common ? 60 : 64);
	index = region_get(&d.c, BAR_VIRTIO, 60, 2);
	num = region_get(&d.c, BAR_VIRTIO, 62, 2);
	CHECK_EQ(num, short_common ? 0 : queues);
	if (!short_common) {
		CHECK_EQ(index, cap.admin_queue_index);
		CHECK_EQ(num, cap.admin_queue_num);
	}
	CHECK_EQ(cap.admin_queue_num, queues);
	region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	CHECK_EQ(!!(region_get(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DF, 4) & 1u << (41 - 32)),
		 !!queues);
	if (queues) {
		CHECK(cap.admin_queue_index >=
		      region_get(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_NUMQ, 2));
		CHECK(cap.admin_queue_num <= 0x10000 - cap.admin_queue_index);
		CHECK(cap.transport_queue_index < cap.admin_queue_index ||
		      cap.transport_queue_index >= cap.admin_queue_index + queues);
	}
	for (at = 0; at < queues; at++)
		CHECK_EQ(admin_on(&d, at, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, NULL), 0);
	/* The transport virtqueue is there as ever. */
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, NULL), 0);
	driver_exit(&d);
}

TEST(admin_queues_are_where_both_structures_say)
{
	check_place(false, 2);
	check_place(false, ADMIN_QUEUES_MAX);
	check_place(false, 0);
}

TEST(admin_queues_with_a_short_common_configuration)
{
	check_place(true, 1);
	check_place(true, 0);
}

/* Without VIRTIO_F_ADMIN_VQ negotiated there are none. */
TEST(admin_queues_need_the_feature)
{
	struct ring ring;

	driver_start(&d, NULL);
	driver_setup(&d);
	region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_SELECT, ADMIN_QUEUE, 2);
	ring_init(&ring, &d.c, 16, false);
	region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_SIZE, 16, 2);
	region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_DESCLO, ring.desc, 8);
	region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_AVAILLO, ring.driver, 8);
	region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_USEDLO, ring.device, 8);
	region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	CHECK_EQ(region_get(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	driver_exit(&d);
}

TEST(admin_queue_interrupts)
{
	up(2, 0);
	quiet_fd(d.c.irq_fd[2]);
	quiet_fd(d.c.irq_fd[3]);
	CHECK_EQ(admin_on(&d, 1, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, NULL), 0);
	CHECK(signalled(&d.c, d.c.irq_fd[3]));
	CHECK(quiet_fd(d.c.irq_fd[2]));
	driver_exit(&d);
}

/*
 * Validation
 */

TEST(admin_invalid_group)
{
	static const uint16_t groups[] = { 2, 3, 0x7fff, 0xfeff, 0xff01, 0xffff };
	unsigned int i;

	up(1, 0);
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), groups[i], 0, NULL, 0, 4096, NULL),
			 ADMIN_ERR(EINVAL, INVALID_GROUP));
		/* Before the opcode, and before the member */
		CHECK_EQ(admin(&d, 0x7777, groups[i], 99, NULL, 0, 0, NULL),
			 ADMIN_ERR(EINVAL, INVALID_GROUP));
	}
	/* A function without the capability does not have that one. */
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SRIOV_GROUP, 0, NULL, 0, 4096, NULL),
		 ADMIN_ERR(EINVAL, INVALID_GROUP));
	driver_exit(&d);
}

TEST(admin_invalid_opcode)
{
	static const uint16_t opcodes[] = { 2, 3, 4, 5, 6, 0x12, 0x13, 0x7eff, 0x7f02, 0x8000,
					    0xffff };
	unsigned int i;

	up(1, 0);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	for (i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		CHECK_EQ(admin(&d, opcodes[i], SELF_GROUP, 0, NULL, 0, 0, NULL),
			 ADMIN_ERR(EINVAL, INVALID_OPCODE));
		/* Before the member */
		CHECK_EQ(admin(&d, opcodes[i], MANAGED_GROUP, 999, NULL, 0, 0, NULL),
			 ADMIN_ERR(EINVAL, INVALID_OPCODE));
	}
	/* Those of the other group */
	CHECK_EQ(admin(&d, ADMIN(DEV_MODE_SET), SELF_GROUP, 0, NULL, 0, 0, NULL),
		 ADMIN_ERR(EINVAL, INVALID_OPCODE));
	driver_exit(&d);
}

TEST(admin_invalid_member)
{
	uint8_t bad[8] = { 0xff, 0xff, 0xff };

	up(1, 0);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(admin(&d, ADMIN(DEVICE_CAP_GET), SELF_GROUP, 1, NULL, 0, 8, NULL),
		 ADMIN_ERR(EINVAL, INVALID_MEMBER));
	/* Before what the command says */
	CHECK_EQ(admin(&d, MEMBER_GET, MANAGED_GROUP, 0, bad, 8, 16, NULL),
		 ADMIN_ERR(EINVAL, INVALID_MEMBER));
	CHECK_EQ(admin(&d, MEMBER_GET, MANAGED_GROUP, m.id + 1, bad, 8, 16, NULL),
		 ADMIN_ERR(EINVAL, INVALID_MEMBER));
	CHECK_EQ(admin(&d, MEMBER_GET, MANAGED_GROUP, m.id, bad, 8, 16, NULL),
		 ADMIN_ERR(ENXIO, INVALID_FIELD));
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK_EQ(admin(&d, ADMIN(DEV_MODE_SET), MANAGED_GROUP, m.id, bad, 8, 0, NULL),
		 ADMIN_ERR(EINVAL, INVALID_MEMBER));
	/* One that does not use it does not look at it. */
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), MANAGED_GROUP, 12345, NULL, 0, 4096, NULL), 0);
	driver_exit(&d);
}

/* The specification has OK with no qualifier, and anything else for what has failed. */
TEST(admin_status_tells_success_from_failure)
{
	struct admin_reply reply;

	up(1, 0);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &reply), 0);
	CHECK_EQ(reply.status, VIRTIO_ADMIN_STATUS_OK);
	CHECK_EQ(reply.qualifier, 0);
	admin(&d, ADMIN(LIST_QUERY), 5, 0, NULL, 0, 8, &reply);
	CHECK(reply.came && reply.status != VIRTIO_ADMIN_STATUS_OK && reply.qualifier);
	driver_exit(&d);
}

/*
 * Lists of commands
 */

TEST(admin_lists_say_what_is_supported)
{
	const uint64_t members = 0x3fc03;	/* LIST_*, 0xa to 0x11 */
	struct admin_reply reply;
	uint64_t list[512];
	unsigned int i;
	uint16_t group;

	up(1, 1);
	enable_vfs(1);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 4096, &reply), 0);
	CHECK_EQ(reply.len, 8);
	memcpy(list, reply.result, 8);
	CHECK_EQ(list[0], 0x383);
	for (group = 0; group < 2; group++) {
		CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), group ? SRIOV_GROUP : MANAGED_GROUP, 0, NULL,
			       0, 4096, &reply), 0);
		CHECK_EQ(reply.len, 4072);
		memcpy(list, reply.result, reply.len);
		CHECK_EQ(list[0], members);
		for (i = 1; i < 508; i++)
			CHECK_EQ(list[i], 0);
		CHECK_EQ(list[508], 3);
	}
	driver_exit(&d);
}

/* All of the commands for parts, or none */
TEST(admin_parts_commands_come_together)
{
	const uint64_t parts = 0x3fc00;
	struct admin_reply reply;
	uint64_t word;

	up(1, 1);
	enable_vfs(1);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), MANAGED_GROUP, 0, NULL, 0, 8, &reply), 0);
	memcpy(&word, reply.result, 8);
	CHECK_EQ(word & parts, parts);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SRIOV_GROUP, 0, NULL, 0, 8, &reply), 0);
	memcpy(&word, reply.result, 8);
	CHECK_EQ(word & parts, parts);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &reply), 0);
	memcpy(&word, reply.result, 8);
	CHECK_EQ(word & parts, 0);
	driver_exit(&d);
}

/* Whatever the state, only two commands are there before the list is used. */
static void only_lists(void)
{
	uint16_t opcode;

	for (opcode = 2; opcode < 0x40; opcode++) {
		CHECK_EQ(admin(&d, opcode, SELF_GROUP, 0, NULL, 0, 8, NULL),
			 ADMIN_ERR(EINVAL, INVALID_OPCODE));
		CHECK_EQ(admin(&d, opcode, MANAGED_GROUP, m.id, NULL, 0, 8, NULL),
			 ADMIN_ERR(EINVAL, INVALID_OPCODE));
	}
	CHECK_EQ(get_attribute(m.id, VIRTIO_TVQ_MEMBER_VQS), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, NULL), 0);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), MANAGED_GROUP, 0, NULL, 0, 4096, NULL), 0);
}

TEST(admin_only_list_commands_after_a_reset)
{
	up(1, 0);
	only_lists();
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(get_caps(SELF_GROUP), 0);
	driver_reset(&d);
	driver_setup(&d);
	only_lists();
	/* A function-level reset */
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	client_flr(&d.c);
	driver_setup(&d);
	only_lists();
	driver_exit(&d);
}

TEST(admin_list_use_says_what_may_be_used)
{
	uint64_t list[509] = { 0 };

	up(1, 0);
	/* The capabilities without setting them */
	list[0] = 0x183;
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), SELF_GROUP, 0, list, 8, 0, NULL), 0);
	CHECK_EQ(get_caps(SELF_GROUP), 0);
	CHECK_EQ(admin_set_caps(&d, 1, 1), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	/* Another list takes its place, and is not added. */
	list[0] = 0x203;
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), SELF_GROUP, 0, list, 8, 0, NULL), 0);
	CHECK_EQ(get_caps(SELF_GROUP), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	CHECK_EQ(admin_set_caps(&d, 1, 1), 0);
	/* Far up in the list */
	list[0] = 3;
	list[508] = 1;
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, list, sizeof(list), 0, NULL), 0);
	CHECK_EQ(get_attribute(m.id, VIRTIO_TVQ_MEMBER_VQS), 0);
	CHECK_EQ(admin_mode(&d, MANAGED_GROUP, m.id, true), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	/* A driver may even block the two, until a reset. */
	list[0] = 0;
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, list, sizeof(list), 0, NULL), 0);
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, list, sizeof(list), 0, NULL),
		 ADMIN_ERR(EINVAL, INVALID_OPCODE));
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), MANAGED_GROUP, 0, NULL, 0, 8, NULL),
		 ADMIN_ERR(EINVAL, INVALID_OPCODE));
	CHECK_EQ(get_attribute(m.id, VIRTIO_TVQ_MEMBER_VQS), 0);
	driver_exit(&d);
}

/* A list with something that is not there changes nothing. */
TEST(admin_list_use_refuses_what_is_not_supported)
{
	uint64_t list[509] = { 0 };
	unsigned int bit;

	up(1, 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	for (bit = 2; bit < 32; bit++) {
		list[0] = 3 | 1u << bit;
		CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, list, sizeof(list), 0, NULL),
			 bit >= 0xa && bit <= 0x11 ? 0 : ADMIN_ERR(EINVAL, INVALID_FIELD));
	}
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	list[0] = 3;
	list[508] = 4;
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, list, sizeof(list), 0, NULL),
		 ADMIN_ERR(EINVAL, INVALID_FIELD));
	list[508] = 0;
	list[300] = 1;
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, list, sizeof(list), 0, NULL),
		 ADMIN_ERR(EINVAL, INVALID_FIELD));
	CHECK_EQ(admin_mode(&d, MANAGED_GROUP, m.id, true), 0);
	CHECK_EQ(get_attribute(m.id, VIRTIO_TVQ_MEMBER_VQS), 0);
	driver_exit(&d);
}

TEST(admin_groups_are_independent)
{
	up(1, 2);
	enable_vfs(2);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(get_attribute(m.id, VIRTIO_TVQ_MEMBER_VQS), 0);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	CHECK_EQ(get_caps(SELF_GROUP), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	CHECK_EQ(admin_use_all(&d, SRIOV_GROUP), 0);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), 0);
	CHECK_EQ(get_caps(SELF_GROUP), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	/* One VF is stopped, and so the managed device of the same number is not. */
	CHECK_EQ(m.id, 1);
	CHECK(!managed_find(&d.c.tvq, 1)->stopped);
	driver_exit(&d);
}

/* What is reported once is reported for good, and a list that was used can be used again. */
TEST(admin_lists_do_not_shrink)
{
	struct admin_reply reply;
	uint8_t before[4072];
	unsigned int i;

	up(1, 1);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), MANAGED_GROUP, 0, NULL, 0, 4096, &reply), 0);
	memcpy(before, reply.result, sizeof(before));
	for (i = 0; i < 4; i++) {
		CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, before, sizeof(before), 0,
			       NULL), 0);
		if (i == 1)
			CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
		if (i == 2)
			enable_vfs(1);
		driver_reset(&d);
		driver_setup(&d);
		CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), MANAGED_GROUP, 0, NULL, 0, 4096, &reply), 0);
		CHECK(reply.len == sizeof(before) && !memcmp(before, reply.result, sizeof(before)));
	}
	driver_exit(&d);
}

/*
 * SR-IOV
 */

/* VIRTIO_F_SR_IOV is offered with the capability, and not without. */
TEST(admin_sriov_feature)
{
	unsigned int vfs;

	for (vfs = 0; vfs < 2; vfs++) {
		up(1, vfs);
		region_put(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
		CHECK_EQ(region_get(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DF, 4) >> (37 - 32) & 1,
			 vfs);
		CHECK_EQ(!!region_get(&d.c, VFU_CONFIG, SRIOV_CAP, 4), vfs);
		driver_exit(&d);
	}
}

TEST(admin_sriov_group_exists_with_vf_enable)
{
	up(1, 4);
	CHECK_EQ(region_get(&d.c, VFU_CONFIG, SRIOV_CAP, 2), PCI_EXT_CAP_ID_SRIOV);
	CHECK_EQ(region_get(&d.c, VFU_CONFIG, SRIOV_CAP + PCI_SRIOV_TOTAL_VF, 2), 4);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SRIOV_GROUP, 0, NULL, 0, 8, NULL),
		 ADMIN_ERR(EINVAL, INVALID_GROUP));
	enable_vfs(3);
	CHECK_EQ(admin_use_all(&d, SRIOV_GROUP), 0);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), 0);
	disable_vfs();
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), ADMIN_ERR(EINVAL, INVALID_GROUP));
	CHECK_EQ(admin(&d, 0x7777, SRIOV_GROUP, 99, NULL, 0, 8, NULL),
		 ADMIN_ERR(EINVAL, INVALID_GROUP));
	enable_vfs(3);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 3, true), 0);
	client_flr(&d.c);
	driver_setup(&d);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SRIOV_GROUP, 0, NULL, 0, 8, NULL),
		 ADMIN_ERR(EINVAL, INVALID_GROUP));
	driver_exit(&d);
}

TEST(admin_sriov_members_are_1_to_numvfs)
{
	up(1, 4);
	/* More than there are: none. NumVFs does not change while they are enabled. */
	enable_vfs(5);
	CHECK_EQ(admin_use_all(&d, SRIOV_GROUP), 0);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), ADMIN_ERR(EINVAL, INVALID_MEMBER));
	disable_vfs();
	enable_vfs(3);
	region_put(&d.c, VFU_CONFIG, SRIOV_CAP + PCI_SRIOV_NUM_VF, 4, 2);
	CHECK_EQ(region_get(&d.c, VFU_CONFIG, SRIOV_CAP + PCI_SRIOV_NUM_VF, 2), 3);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 0, true), ADMIN_ERR(EINVAL, INVALID_MEMBER));
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), 0);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 3, true), 0);
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 4, true), ADMIN_ERR(EINVAL, INVALID_MEMBER));
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, UINT64_MAX, true), ADMIN_ERR(EINVAL, INVALID_MEMBER));
	driver_exit(&d);
}

/*
 * Capabilities
 */

TEST(admin_capability_commands)
{
	struct virtio_dev_parts_cap cap;
	struct admin_reply reply;
	uint8_t req[8] = { 0 };
	uint64_t word;

	up(1, 0);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin(&d, ADMIN(CAP_ID_LIST_QUERY), SELF_GROUP, 0, NULL, 0, 64, &reply), 0);
	CHECK_EQ(reply.len, 8);
	memcpy(&word, reply.result, 8);
	CHECK_EQ(word, 1);
	CHECK_EQ(admin(&d, ADMIN(DEVICE_CAP_GET), SELF_GROUP, 0, req, 8, 64, &reply), 0);
	/* 2 bytes, and zeroes to the next 64 bits */
	CHECK_EQ(reply.len, 8);
	memcpy(&cap, reply.result, sizeof(cap));
	CHECK(cap.get_parts_resource_objects_limit && cap.set_parts_resource_objects_limit);
	memcpy(&word, reply.result, 8);
	CHECK_EQ(word >> 16, 0);
	driver_exit(&d);
}

TEST(admin_capability_limits)
{
	struct virtio_dev_parts_cap cap;
	struct admin_reply reply;
	uint8_t req[16] = { 0 };

	up(1, 0);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin(&d, ADMIN(DEVICE_CAP_GET), SELF_GROUP, 0, req, 8, 8, &reply), 0);
	memcpy(&cap, reply.result, sizeof(cap));
	/* The same, or anything below */
	CHECK_EQ(admin_set_caps(&d, cap.get_parts_resource_objects_limit,
				cap.set_parts_resource_objects_limit), 0);
	CHECK_EQ(admin_set_caps(&d, 1, 2), 0);
	CHECK_EQ(admin_set_caps(&d, 0, 0), 0);
	CHECK_EQ(admin_set_caps(&d, cap.get_parts_resource_objects_limit + 1, 0),
		 ADMIN_ERR(EINVAL, INVALID_FIELD));
	CHECK_EQ(admin_set_caps(&d, 0, cap.set_parts_resource_objects_limit + 1),
		 ADMIN_ERR(EINVAL, INVALID_FIELD));
	/* Another capability */
	req[0] = 1;
	CHECK_EQ(admin(&d, ADMIN(DEVICE_CAP_GET), SELF_GROUP, 0, req, 8, 8, NULL),
		 ADMIN_ERR(ENXIO, INVALID_FIELD));
	CHECK_EQ(admin(&d, ADMIN(DRIVER_CAP_SET), SELF_GROUP, 0, req, 16, 8, NULL),
		 ADMIN_ERR(ENXIO, INVALID_FIELD));
	driver_exit(&d);
}

TEST(admin_capabilities_are_for_the_self_group)
{
	uint16_t opcode;

	up(1, 1);
	enable_vfs(1);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, SRIOV_GROUP), 0);
	for (opcode = ADMIN(CAP_ID_LIST_QUERY); opcode <= ADMIN(DRIVER_CAP_SET); opcode++) {
		CHECK_EQ(admin(&d, opcode, MANAGED_GROUP, m.id, NULL, 0, 8, NULL) >> 16,
			 VIRTIO_TVQ_ADMIN_STATUS_EINVAL);
		CHECK_EQ(admin(&d, opcode, SRIOV_GROUP, 1, NULL, 0, 8, NULL) >> 16,
			 VIRTIO_TVQ_ADMIN_STATUS_EINVAL);
	}
	driver_exit(&d);
}

TEST(admin_capabilities_are_reset)
{
	up(1, 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	driver_reset(&d);
	driver_setup(&d);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	/* Without the capability there is no object. */
	CHECK_EQ(admin_object(&d, ADMIN(RESOURCE_OBJ_CREATE), MANAGED_GROUP, m.id, 0, KIND_GET),
		 ADMIN_ERR(EINVAL, INVALID_FIELD));
	driver_exit(&d);
}

/*
 * Resource objects
 */

static int object(uint16_t opcode, uint32_t id, uint8_t kind)
{
	return admin_object(&d, opcode, MANAGED_GROUP, m.id, id, kind);
}

static int kind_of(uint32_t id)
{
	struct virtio_admin_cmd_resource_obj_create_data req = { .hdr.id = id };
	struct admin_reply reply;
	int ret;

	ret = admin(&d, ADMIN(RESOURCE_OBJ_QUERY), MANAGED_GROUP, m.id, &req, sizeof(req), 8,
		    &reply);
	if (ret)
		return -1;
	CHECK_EQ(reply.len, 8);
	return reply.result[0];
}

static void ready(uint8_t get, uint8_t set)
{
	up(1, 0);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(admin_set_caps(&d, get, set), 0);
}

TEST(admin_objects_are_made_and_made_again)
{
	unsigned int turn;

	ready(2, 1);
	for (turn = 0; turn < 3; turn++) {
		CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 2, KIND_GET), 0);
		CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 0, KIND_GET), 0);
		CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 1, KIND_SET), 0);
		CHECK_EQ(object(ADMIN(RESOURCE_OBJ_DESTROY), 0, 0), 0);
		CHECK_EQ(object(ADMIN(RESOURCE_OBJ_DESTROY), 1, 0), 0);
		CHECK_EQ(object(ADMIN(RESOURCE_OBJ_DESTROY), 2, 0), 0);
	}
	driver_exit(&d);
}

/* Each status and qualifier of the table, and the order of them */
TEST(admin_object_errors)
{
	struct {
		struct virtio_admin_cmd_resource_obj_create_data req;
		struct virtio_resource_obj_dev_parts obj;
	} bad = { .req.hdr = { .type = 1, .id = 99 }, .req.flags = 1, .obj.type = 2 };
	uint16_t opcode;

	ready(2, 1);
	CHECK_EQ(create_simple(&d, 4, "", 0, &other), 0);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 0, KIND_GET), 0);
	for (opcode = ADMIN(RESOURCE_OBJ_CREATE); opcode <= ADMIN(DEV_PARTS_SET); opcode++) {
		bad.req.hdr.type = 1;
		CHECK_EQ(admin(&d, opcode, MANAGED_GROUP, m.id, &bad, sizeof(bad), 8, NULL),
			 ADMIN_ERR(ENXIO, INVALID_FIELD));
		bad.req.hdr.type = 0;
		CHECK_EQ(admin(&d, opcode, MANAGED_GROUP, m.id, &bad, sizeof(bad), 8, NULL),
			 ADMIN_ERR(EINVAL, INVALID_FIELD));
	}
	/* An id that is not below the sum of both limits */
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 3, KIND_GET), ADMIN_ERR(EINVAL, INVALID_FIELD));
	bad.req.hdr.id = 1;
	CHECK_EQ(admin(&d, ADMIN(RESOURCE_OBJ_CREATE), MANAGED_GROUP, m.id, &bad, sizeof(bad), 0,
		       NULL), ADMIN_ERR(EINVAL, INVALID_FIELD));
	bad.obj.type = 0;
	CHECK_EQ(admin(&d, ADMIN(RESOURCE_OBJ_CREATE), MANAGED_GROUP, m.id, &bad, sizeof(bad), 0,
		       NULL), ADMIN_ERR(EINVAL, INVALID_FIELD));
	CHECK_EQ(admin(&d, ADMIN(RESOURCE_OBJ_QUERY), MANAGED_GROUP, m.id, &bad, sizeof(bad), 8,
		       NULL), ADMIN_ERR(EINVAL, INVALID_FIELD));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 1, 2), ADMIN_ERR(EINVAL, INVALID_FIELD));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 0, 2), ADMIN_ERR(EINVAL, INVALID_FIELD));
	/* There, and not there */
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 0, KIND_GET), ADMIN_ERR(EEXIST, INVALID_FIELD));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 1, KIND_GET), ADMIN_ERR(ENXIO, INVALID_FIELD));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_QUERY), 1, 0), ADMIN_ERR(ENXIO, INVALID_FIELD));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_DESTROY), 1, 0), ADMIN_ERR(ENXIO, INVALID_FIELD));
	/* Objects are those of a member. */
	CHECK_EQ(admin_object(&d, ADMIN(RESOURCE_OBJ_DESTROY), MANAGED_GROUP, other.id, 0, 0),
		 ADMIN_ERR(ENXIO, INVALID_FIELD));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 1, KIND_SET), 0);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 2, KIND_SET), ADMIN_ERR(ENOSPC, NORESOURCE));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 0, KIND_SET), ADMIN_ERR(ENOSPC, NORESOURCE));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 2, KIND_GET), 0);
	driver_exit(&d);
}

TEST(admin_object_query_says_what_was_set_last)
{
	ready(2, 2);
	CHECK_EQ(kind_of(0), -1);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 0, KIND_SET), 0);
	CHECK_EQ(kind_of(0), KIND_SET);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 0, KIND_GET), 0);
	CHECK_EQ(kind_of(0), KIND_GET);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 0, KIND_GET), 0);
	CHECK_EQ(kind_of(0), KIND_GET);
	driver_exit(&d);
}

TEST(admin_object_modify_that_fails_changes_nothing)
{
	ready(1, 1);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 0, KIND_GET), 0);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 1, KIND_SET), 0);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 0, KIND_SET), ADMIN_ERR(ENOSPC, NORESOURCE));
	CHECK_EQ(kind_of(0), KIND_GET);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 0, 7), ADMIN_ERR(EINVAL, INVALID_FIELD));
	CHECK_EQ(kind_of(0), KIND_GET);
	driver_exit(&d);
}

TEST(admin_objects_hold_the_capability)
{
	up(1, 1);
	enable_vfs(1);
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(admin_set_caps(&d, 0, 0), ADMIN_ERR(EBUSY, INVALID_COMMAND));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_DESTROY), 0, 0), 0);
	CHECK_EQ(admin_set_caps(&d, 0, 0), ADMIN_ERR(EBUSY, INVALID_COMMAND));
	/* They go with their member. */
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK_EQ(admin_set_caps(&d, 1, 0), 0);
	CHECK_EQ(admin_use_all(&d, SRIOV_GROUP), 0);
	CHECK_EQ(admin_object(&d, ADMIN(RESOURCE_OBJ_CREATE), SRIOV_GROUP, 1, 0, KIND_GET), 0);
	CHECK_EQ(admin_set_caps(&d, 0, 0), ADMIN_ERR(EBUSY, INVALID_COMMAND));
	disable_vfs();
	CHECK_EQ(admin_set_caps(&d, 0, 0), 0);
	driver_exit(&d);
}

TEST(admin_objects_are_destroyed_by_a_reset)
{
	up(1, 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	driver_reset(&d);
	driver_setup(&d);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(admin_set_caps(&d, 1, 1), 0);
	CHECK_EQ(kind_of(0), -1);
	CHECK_EQ(kind_of(1), -1);
	driver_exit(&d);
}

/*
 * Buffers
 */

/* A whole command, and beginnings of it: what is missing is 0. */
TEST(admin_short_readable_buffers)
{
	struct virtio_admin_cmd_hdr hdr = { .opcode = ADMIN(LIST_QUERY) };
	struct admin_reply reply;
	uint8_t out[32] = { 0 };
	uint32_t len;

	up(1, 0);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	/* All zeroes is LIST_QUERY for the self group. */
	for (len = 0; len <= sizeof(hdr); len++) {
		admin_post_raw(&d, 0, out, len, 16);
		admin_ring_bell(&d, 0);
		admin_collect(&d, 0, &reply);
		CHECK(reply.came);
		CHECK_EQ(reply.used, 16);
		CHECK_EQ(reply.status, 0);
	}
	/* An opcode that is cut off behind its first byte, a capability id that is not there */
	out[0] = ADMIN(DEVICE_CAP_GET);
	for (len = 1; len <= 32; len++) {
		admin_post_raw(&d, 0, out, len, 16);
		admin_ring_bell(&d, 0);
		admin_collect(&d, 0, &reply);
		CHECK(reply.came);
		CHECK_EQ(reply.status, 0);
		CHECK_EQ(reply.len, 8);
	}
	/* Limits that are missing are 0. */
	CHECK_EQ(admin_set_caps(&d, 1, 1), 0);
	CHECK_EQ(admin(&d, ADMIN(DRIVER_CAP_SET), SELF_GROUP, 0, NULL, 0, 0, NULL), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 0, KIND_GET), ADMIN_ERR(EINVAL, INVALID_FIELD));
	/* The list of a group that has a long one: all behind it is not used. */
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), MANAGED_GROUP, 0, "\x03\x04", 2, 0, NULL), 0);
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_MODIFY), 0, 0), ADMIN_ERR(EINVAL, INVALID_OPCODE));
	CHECK_EQ(object(ADMIN(RESOURCE_OBJ_CREATE), 0, 0), ADMIN_ERR(EINVAL, INVALID_FIELD));
	driver_exit(&d);
}

/* What has no room is dropped, and the command takes effect. */
TEST(admin_short_writable_buffers)
{
	const uint8_t whole[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x83, 0x03 };
	struct admin_reply reply;
	uint8_t out[24] = { 0 };
	uint32_t len;

	up(1, 0);
	for (len = 0; len <= 16; len++) {
		admin_post_raw(&d, 0, out, sizeof(out), len);
		admin_ring_bell(&d, 0);
		CHECK(admin_collect(&d, 0, &reply) != UINT16_MAX);
		CHECK_EQ(reply.used, len);
		CHECK(!memcmp(reply.result - (len < 8 ? len : 8), whole, len));
	}
	/* An error in two bytes */
	out[2] = 9;
	admin_post_raw(&d, 0, out, sizeof(out), 2);
	admin_ring_bell(&d, 0);
	CHECK(admin_collect(&d, 0, &reply) != UINT16_MAX);
	CHECK_EQ(reply.used, 2);
	CHECK_EQ(reply.status, VIRTIO_TVQ_ADMIN_STATUS_EINVAL);
	driver_exit(&d);
}

TEST(admin_long_buffers)
{
	uint8_t out[4096];
	struct admin_reply reply;

	up(1, 0);
	memset(out, 0xff, sizeof(out));
	/* No data is expected here, ... */
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, out, sizeof(out), 8192, &reply), 0);
	/* ... and so much is written, and said to be. */
	CHECK_EQ(reply.used, 16);
	out[0] = 0x83;
	out[1] = 0x03;
	memset(out + 2, 0, 6);
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), SELF_GROUP, 0, out, sizeof(out), 8192, &reply), 0);
	CHECK_EQ(reply.used, 8);
	out[0] = 0;
	out[1] = 0;
	CHECK_EQ(admin(&d, ADMIN(DEVICE_CAP_GET), SELF_GROUP, 0, out, sizeof(out), 8192, &reply),
		 0);
	CHECK_EQ(reply.used, 16);
	/* A megabyte of it */
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, d.c.mem, 1 << 20, 1 << 20, &reply), 0);
	CHECK_EQ(reply.used, 16);
	driver_exit(&d);
}

/* Whatever the outcome: status, qualifier and what is reserved, up to 64 bits */
TEST(admin_answers_are_initialized)
{
	struct admin_reply reply;
	uint16_t opcode, group;

	ready(1, 1);
	for (opcode = 0; opcode < 0x14; opcode++) {
		if (opcode == ADMIN(LIST_USE))
			continue;
		for (group = 0; group < 3; group++) {
			admin(&d, opcode, group == 2 ? MANAGED_GROUP : group, m.id, NULL, 0, 4096,
			      &reply);
			CHECK(reply.came);
			CHECK(reply.used >= 8);
			CHECK_EQ(reply.used % 8, 0);
			/* The reserved bytes are looked at with each answer. */
			CHECK_EQ(!reply.status, !reply.qualifier);
		}
	}
	driver_exit(&d);
}

/* Memory that is not there: given back without an answer, and the queue goes on. */
TEST(admin_command_that_cannot_be_read)
{
	struct seg seg[2] = { { 16, 24, false }, { 0, 16, true } };
	uint32_t used;

	up(1, 0);
	seg[1].gpa = guest_alloc(&d.c, 16, 16);
	ring_put(&d.admin[0].ring, seg, 2);
	admin_ring_bell(&d, 0);
	CHECK(ring_wait(&d.admin[0].ring, NULL, &used));
	CHECK_EQ(used, 0);
	seg[0].gpa = guest_alloc(&d.c, 24, 16);
	seg[1].gpa = 16;
	ring_put(&d.admin[0].ring, seg, 2);
	admin_ring_bell(&d, 0);
	CHECK(ring_wait(&d.admin[0].ring, NULL, &used));
	CHECK_EQ(used, 0);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, NULL), 0);
	driver_exit(&d);
}

/* A ring that makes no sense: the function asks for a reset, which makes it well. */
TEST(admin_ring_that_makes_no_sense)
{
	double end;

	up(2, 0);
	quiet_fd(d.c.irq_fd[0]);
	ring_avail(&d.admin[1].ring, 0x7fff);
	admin_ring_bell(&d, 1);
	CHECK(signalled(&d.c, d.c.irq_fd[0]));
	end = test_now() + DEADLINE;
	while (!(region_get(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1) & S_NEEDS_RESET) &&
	       test_now() < end)
		;
	CHECK(region_get(&d.c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1) & S_NEEDS_RESET);
	driver_reset(&d);
	driver_setup(&d);
	CHECK_EQ(admin_on(&d, 1, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, NULL), 0);
	driver_exit(&d);
}

/*
 * Order, and many at once
 */

/* Each depends on the one before it: as many as the ring has room for. */
TEST(admin_commands_of_a_queue_are_in_order)
{
	struct {
		struct virtio_admin_cmd_resource_obj_create_data req;
		struct virtio_resource_obj_dev_parts obj;
	} req = { .obj.type = KIND_GET };
	struct admin_reply reply;
	uint16_t head[60];
	unsigned int i, turn;

	ready(1, 1);
	for (turn = 0; turn < 20; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
		/* In a wrong order each of them fails. */
		for (i = 0; i < 30; i++)
			head[i] = admin_post(&d, 0, i % 3 == 0 ? ADMIN(RESOURCE_OBJ_CREATE) :
						    i % 3 == 1 ? ADMIN(RESOURCE_OBJ_QUERY) :
								 ADMIN(RESOURCE_OBJ_DESTROY),
					     MANAGED_GROUP, m.id, &req, sizeof(req), 8);
		admin_ring_bell(&d, 0);
		for (i = 0; i < 30; i++) {
			CHECK_EQ(admin_collect(&d, 0, &reply), head[i]);
			CHECK_EQ(reply.status, 0);
		}
	}
	driver_exit(&d);
}

TEST(admin_hundreds_of_commands_on_several_queues)
{
	struct virtio_tvq_admin_member_get_data req = { .attribute = VIRTIO_TVQ_MEMBER_VECTORS };
	struct managed members[16];
	struct admin_reply reply;
	unsigned int i, q, turn, n = 0;

	up(8, 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	for (i = 0; i < 16; i++)
		CHECK_EQ(create_simple(&d, i % 4 + 1, "", 0, &members[i]), 0);
	for (turn = 0; turn < 5; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
		for (i = 0; i < 40; i++) {
			for (q = 0; q < 8; q++)
				admin_post(&d, q, i % 4 == 3 ? ADMIN(DEV_MODE_SET) : MEMBER_GET,
					   MANAGED_GROUP, members[(i + q) % 16].id, &req,
					   sizeof(req), 16);
		}
		for (q = 0; q < 8; q++)
			admin_ring_bell(&d, q);
		/* And the transport virtqueue at the same time */
		for (i = 0; i < 16; i++)
			CHECK_EQ(command(&d, members[i].id, DEVICE(GET_STATUS), NULL, 0, 4, NULL),
				 0);
		for (q = 0; q < 8; q++) {
			for (i = 0; i < 40; i++, n++) {
				admin_collect(&d, q, &reply);
				CHECK(reply.came);
				/* MODE_SET has flags that there are not. */
				CHECK_EQ(reply.status << 16 | reply.qualifier,
					 i % 4 == 3 ? ADMIN_ERR(EINVAL, INVALID_FIELD) : 0);
			}
		}
	}
	CHECK_EQ(n, 1600);
	driver_exit(&d);
}

/* A reset with commands outstanding: they are forgotten, and the next ones are answered. */
TEST(admin_reset_with_commands_outstanding)
{
	struct virtio_tvq_admin_member_get_data req = { .attribute = VIRTIO_TVQ_MEMBER_VECTORS };
	unsigned int i, q, turn;
	uint16_t used[4];

	up(4, 0);
	for (turn = 0; turn < 10; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
		CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
		for (q = 0; q < 4; q++) {
			for (i = 0; i < 40; i++)
				admin_post(&d, q, MEMBER_GET, MANAGED_GROUP, m.id, &req,
					   sizeof(req), 16);
			admin_ring_bell(&d, q);
		}
		driver_reset(&d);
		for (q = 0; q < 4; q++)
			used[q] = ring_used_idx(&d.admin[q].ring);
		settle(&d.c, 0.005);
		for (q = 0; q < 4; q++)
			CHECK_EQ(ring_used_idx(&d.admin[q].ring), used[q]);
		d.c.alloc = GUEST_BASE;
		driver_setup(&d);
	}
	driver_exit(&d);
}

/* Members that are destroyed while commands for them are on their way, on all queues */
TEST(admin_members_come_and_go)
{
	const uint8_t flags[2][8] = { { 0 }, { 1 } };
	struct virtio_tvq_admin_member_set_data set = { .attribute = VIRTIO_TVQ_MEMBER_VECTORS };
	struct managed members[8];
	struct admin_reply reply;
	unsigned int i, q, turn, gone = 0, n = 0;
	struct reply destroyed;
	int ret;

	up(4, 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	for (turn = 0; turn < 40; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
		for (i = 0; i < 8; i++) {
			CHECK_EQ(create_simple(&d, i % 4 + 1, "", 0, &members[i]), 0);
			/* One that is in use, and one that a worker is slow with */
			if (i == 1)
				CHECK(bring_up(&members[i], 1, 16, 0));
		}
		for (i = 0; i < 8; i++) {
			for (q = 0; q < 4; q++) {
				set.value[0] = i + q;
				admin_post(&d, q, ADMIN(DEV_MODE_SET), MANAGED_GROUP, members[i].id,
					   flags[(i + q) % 2], 8, 0);
				admin_post(&d, q, MEMBER_SET, MANAGED_GROUP, members[i].id, &set,
					   sizeof(set), 0);
			}
		}
		for (q = 0; q < 4; q++)
			admin_ring_bell(&d, q);
		for (i = 0; i < 8; i++)
			post(&d, members[(i * 3 + turn) % 8].id, MGMT(DESTROY), NULL, 0, 4);
		driver_kick(&d);
		for (i = 0; i < 8; i++) {
			CHECK(collect(&d, &destroyed) != UINT16_MAX);
			CHECK_EQ(destroyed.ack, 0);
		}
		for (q = 0; q < 4; q++) {
			for (i = 0; i < 16; i++, n++) {
				admin_collect(&d, q, &reply);
				CHECK(reply.came);
				ret = reply.status << 16 | reply.qualifier;
				CHECK(!ret || ret == ADMIN_ERR(EINVAL, INVALID_MEMBER) ||
				      ret == ADMIN_ERR(EBUSY, INVALID_COMMAND));
				gone += ret == ADMIN_ERR(EINVAL, INVALID_MEMBER);
			}
		}
	}
	/* Some were there, and some not. */
	CHECK(gone && gone < n);
	driver_exit(&d);
}

/*
 * Whatever comes: an answer, and no harm. The opcodes and groups are mostly such
 * that there are, so that it gets to the commands.
 */
TEST(admin_random_commands_do_no_harm)
{
	unsigned int seed = test_seed(17), i, k, q;
	struct managed members[4];
	uint32_t len, room;
	struct admin_reply reply;
	uint8_t data[2048];
	uint16_t opcode, group, real_group;
	uint64_t member;

	printf("    seed %u\n", seed);
	up(2, 2);
	enable_vfs(2);
	for (i = 0; i < 4; i++)
		CHECK_EQ(create_simple(&d, i + 1, "", 0, &members[i]), 0);
	CHECK(bring_up(&members[1], 1, 16, 0));
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK_EQ(admin_use_all(&d, SRIOV_GROUP), 0);
	CHECK_EQ(admin_set_caps(&d, 4, 4), 0);
	for (i = 0; i < 6000; i++) {
		q = rand_r(&seed) % 2;
		d.c.alloc = GUEST_BASE + (2 + q) * GUEST_SIZE / 4;
		opcode = rand_r(&seed) % 8 ? 7 + rand_r(&seed) % 11 : rand_r(&seed);
		if (rand_r(&seed) % 6 == 0)
			opcode = MEMBER_GET + rand_r(&seed) % 2;
		group = rand_r(&seed) % 3;
		real_group = group == 2 ? MANAGED_GROUP : group;
		member = group ? 1u + rand_r(&seed) % 2 : 0;
		if (group == 2)
			member = members[rand_r(&seed) % 4].id;
		if (rand_r(&seed) % 50 == 0)
			real_group = rand_r(&seed);
		if (rand_r(&seed) % 50 == 0)
			member = rand_r(&seed);
		len = rand_r(&seed) % (rand_r(&seed) % 4 ? 64 : sizeof(data));
		for (k = 0; k < len; k++)
			data[k] = rand_r(&seed) % 3 ? 0 : rand_r(&seed);
		if (len > 24 && rand_r(&seed) % 2) {
			memset(data, 0, 8);
			data[4] = rand_r(&seed) % 8;
			if (opcode == ADMIN(DEV_PARTS_SET)) {
				data[8] = rand_r(&seed) % 6;
				data[9] = rand_r(&seed) % 4 ? 1 : 0xff;
				memset(data + 10, 0, 14);
				data[20] = rand_r(&seed) % 40;
			}
		}
		room = rand_r(&seed) % 4 ? 4096 : rand_r(&seed) % 64;
		admin_post(&d, q, opcode, real_group, member, data, len, room);
		admin_ring_bell(&d, q);
		admin_collect(&d, q, &reply);
		if (!reply.came) {
			test_failed(__FILE__, __LINE__, "no answer to %#x", opcode);
			break;
		}
	}
	for (i = 0; i < 4; i++)
		CHECK_EQ(command(&d, members[i].id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	driver_exit(&d);
}
