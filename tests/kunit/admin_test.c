// SPDX-License-Identifier: GPL-2.0
/*
 * The admin commands against bytes that are written down here, and against a
 * device that refuses, lies, or does not answer.
 */
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio_config.h>
#include <uapi/linux/virtio_tvq.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/admin.h"
#include "../../drivers/virtio_tvq/mgmt.h"

#define SHORT_MS	100
#define LONG_MS		120000
#define WAIT		(60 * HZ)

#define QUEUES		2
#define SLOTS		16
#define LIST_LEN	4072
#define HDR		24
#define OUT_ROOM	(HDR + LIST_LEN)

#define SELF		VIRTIO_ADMIN_GROUP_TYPE_SELF
#define SRIOV		VIRTIO_ADMIN_GROUP_TYPE_SRIOV
#define MANAGED		VIRTIO_TVQ_ADMIN_GROUP_MANAGED

struct bytes {
	const u8 *p;
	size_t len;
};

#define BYTES(...)					\
	((struct bytes){				\
		.p = (const u8 []){ __VA_ARGS__ },	\
		.len = sizeof((const u8 []){ __VA_ARGS__ }), \
	})

/**
 * struct bed - the admin commands on a device that answers by rote
 * @link: the device's queues
 * @admin: the commands
 * @list: what LIST_QUERY gives: words 0 and 508
 * @list_status: status of LIST_QUERY
 * @use_status: status of LIST_USE
 * @reply: what any other command gives, with the status
 * @reply_len: its length
 * @used: how many bytes the device says it wrote
 * @retries: as often it says EAGAIN before that
 * @mute: it does not answer
 * @echo: MEMBER_GET gives the lower 16 bits of the member id
 * @num: commands that it got
 * @queue: the queue of the last one
 * @out: the last one
 * @out_len: its length
 * @in_len: room for its answer
 */
struct bed {
	struct fake_link *link[QUEUES];
	struct tvq_admin *admin;
	u64 list[2];
	u16 list_status;
	u16 use_status;
	u8 reply[1024];
	size_t reply_len;
	u32 used;
	unsigned int retries;
	bool mute;
	bool echo;
	unsigned int num;
	unsigned int queue;
	u8 out[OUT_ROOM];
	size_t out_len;
	size_t in_len;
};

static int answer_list(struct bed *bed, const struct fake_cmd *cmd)
{
	put_unaligned_le16(bed->list_status, cmd->in);
	if (bed->list_status)
		return 8;
	put_unaligned_le64(bed->list[0], cmd->in + 8);
	/* As the engine's no-op, which has room for the status alone. */
	if (cmd->in_len < 8 + LIST_LEN)
		return 8;
	put_unaligned_le64(bed->list[1], cmd->in + LIST_LEN);
	return 8 + LIST_LEN;
}

static int answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	struct bed *bed = link->priv;
	u16 opcode = get_unaligned_le16(cmd->out);

	bed->num++;
	bed->queue = link != bed->link[0];
	bed->out_len = cmd->out_len;
	bed->in_len = cmd->in_len;
	memcpy(bed->out, cmd->out, min(cmd->out_len, sizeof(bed->out)));
	if (bed->mute)
		return -1;
	if (opcode == 0 && cmd->in_len > 8)
		return answer_list(bed, cmd);
	if (opcode <= 1) {
		put_unaligned_le16(bed->use_status, cmd->in);
		return 8;
	}
	if (bed->retries) {
		bed->retries--;
		put_unaligned_le16(11, cmd->in);
		put_unaligned_le16(7, cmd->in + 2);
		return 8;
	}
	if (bed->echo) {
		memset(cmd->in, 0, 8);
		memcpy(cmd->in + 8, cmd->out + 16, 2);
		return 10;
	}
	memcpy(cmd->in, bed->reply, min(cmd->in_len, bed->reply_len));
	return bed->used;
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_admin_interrupt(bed->admin, link != bed->link[0]);
}

static void reply_with(struct bed *bed, struct bytes bytes)
{
	memcpy(bed->reply, bytes.p, bytes.len);
	bed->reply_len = bytes.len;
	bed->used = bytes.len;
}

static void reply_ok(struct bed *bed)
{
	reply_with(bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0));
}

static void release(void *priv)
{
	struct bed *bed = priv;
	unsigned int i;

	for (i = 0; i < QUEUES; i++)
		fake_link_shut(bed->link[i]);
	tvq_admin_destroy(bed->admin);
}

static struct bed *start(struct kunit *test, unsigned int timeout_ms)
{
	struct bed *bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	struct tvq_queue queues[QUEUES];
	struct tvq_admin_params params = {
		.ops = &fake_link_ops,
		.queues = queues,
		.num_queues = QUEUES,
		.timeout_ms = timeout_ms,
	};
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, bed);
	for (i = 0; i < QUEUES; i++) {
		bed->link[i] = fake_link_create(test, SLOTS);
		bed->link[i]->answer = answer;
		bed->link[i]->interrupt = on_interrupt;
		bed->link[i]->priv = bed;
		queues[i].link = bed->link[i];
		queues[i].slots = SLOTS;
	}
	params.dev = bed->link[0]->dev;
	bed->list[0] = U64_MAX;
	bed->list[1] = U64_MAX;
	reply_ok(bed);
	bed->admin = tvq_admin_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->admin);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, release, bed), 0);
	return bed;
}

/* As above, and all groups can be used. */
static struct bed *start_used(struct kunit *test, unsigned int timeout_ms)
{
	struct bed *bed = start(test, timeout_ms);

	KUNIT_ASSERT_EQ(test, tvq_admin_use(bed->admin, SELF), 0);
	KUNIT_ASSERT_EQ(test, tvq_admin_use(bed->admin, SRIOV), 0);
	KUNIT_ASSERT_EQ(test, tvq_admin_use(bed->admin, MANAGED), 0);
	bed->num = 0;
	return bed;
}

static void expect_out(struct kunit *test, struct bed *bed, struct bytes bytes,
		       size_t in_len)
{
	KUNIT_EXPECT_EQ(test, bed->num, 1);
	KUNIT_ASSERT_EQ(test, bed->out_len, bytes.len);
	KUNIT_EXPECT_MEMEQ(test, bed->out, bytes.p, bytes.len);
	KUNIT_EXPECT_EQ(test, bed->in_len, in_len);
	bed->num = 0;
}

static const struct tvq_member dev5 = { .group = MANAGED, .id = 0x0102030405060705ull };
static const struct tvq_member vf3 = { .group = SRIOV, .id = 3 };

/* The header of a command for dev5. */
#define H(opcode)	(opcode) & 0xff, (opcode) >> 8, 0x00, 0xff,	\
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,		\
			5, 7, 6, 5, 4, 3, 2, 1

/* The same for the self group, and for vf3. */
#define HS(opcode)	(opcode) & 0xff, (opcode) >> 8, 0, 0,		\
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,		\
			0, 0, 0, 0, 0, 0, 0, 0
#define HV(opcode)	(opcode) & 0xff, (opcode) >> 8, 1, 0,		\
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,		\
			3, 0, 0, 0, 0, 0, 0, 0

/* A header of a resource object, of device parts where the type is 0. */
#define O(type, id)	(type) & 0xff, (type) >> 8, 0, 0,		\
			(id) & 0xff, (id) >> 8 & 0xff, (id) >> 16 & 0xff, \
			(id) >> 24
#define Z8		0, 0, 0, 0, 0, 0, 0, 0
#define OK		Z8

/* A header of a part with an 8 bit selector. */
#define P(type, flags, selector, len)					\
			(type) & 0xff, (type) >> 8, flags, 0,		\
			selector, 0, 0, 0, 0, 0, 0, 0,			\
			(len) & 0xff, (len) >> 8, 0, 0

/* Lists */

static void list_query_bytes(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	struct tvq_admin_list list;

	bed->list[0] = 0x8000000000000103ull;
	bed->list[1] = 0x4000000000000001ull;
	KUNIT_EXPECT_EQ(test, tvq_admin_list_query(bed->admin, MANAGED, &list), 0);
	expect_out(test, bed, BYTES(0, 0, 0x00, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, Z8), 8 + LIST_LEN);
	KUNIT_EXPECT_EQ(test, list.standard, bed->list[0]);
	KUNIT_EXPECT_EQ(test, list.own, bed->list[1]);
	KUNIT_EXPECT_EQ(test, tvq_admin_list_query(bed->admin, SELF, &list), 0);
	expect_out(test, bed, BYTES(HS(0)), 8 + LIST_LEN);
}

static void list_use_bytes(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	struct tvq_admin_list list = { .standard = 0x83 };
	u8 *expected = kunit_kzalloc(test, HDR + LIST_LEN, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, expected);
	KUNIT_EXPECT_EQ(test, tvq_admin_list_use(bed->admin, SELF, &list), 0);
	expect_out(test, bed, BYTES(HS(1), 0x83, 0, 0, 0, 0, 0, 0, 0), 8);

	list.standard = 0x3ff83;
	list.own = 3;
	expected[0] = 1;
	expected[3] = 0xff;
	put_unaligned_le64(0x3ff83, expected + HDR);
	expected[HDR + 0x7f00 / 8] = 3;
	KUNIT_EXPECT_EQ(test, tvq_admin_list_use(bed->admin, MANAGED, &list), 0);
	expect_out(test, bed, ((struct bytes){ expected, HDR + LIST_LEN }), 8);
}

/* All that is known, and nothing of the legacy interface nor of the future. */
static void use_what_is_known(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, MANAGED), 0);
	KUNIT_EXPECT_EQ(test, bed->num, 2);
	KUNIT_EXPECT_EQ(test, bed->out_len, HDR + LIST_LEN);
	KUNIT_EXPECT_EQ(test, get_unaligned_le64(bed->out + HDR), 0x3ff83ull);
	KUNIT_EXPECT_EQ(test, get_unaligned_le64(bed->out + HDR + 0x7f00 / 8), 3ull);
	KUNIT_EXPECT_TRUE(test, tvq_admin_can(bed->admin, MANAGED, 0x11));
	KUNIT_EXPECT_TRUE(test, tvq_admin_can(bed->admin, MANAGED, 0x7f01));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, MANAGED, 2));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, MANAGED, 0x12));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, MANAGED, 0x7f02));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, MANAGED, 0x7eff));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, MANAGED, 0x8000));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, SELF, 7));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, 2, 7));
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(NULL, MANAGED, 0x11));
}

/* A part of what the device has, never more. */
static void use_what_is_offered(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	bed->list[0] = BIT(0) | BIT(1) | BIT(0x11) | BIT(3);
	bed->list[1] = 0;
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, MANAGED), 0);
	KUNIT_EXPECT_EQ(test, bed->out_len, HDR + 8);
	KUNIT_EXPECT_EQ(test, get_unaligned_le64(bed->out + HDR), 0x20003ull);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_obj_destroy(bed->admin, &dev5, 0, 0),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, bed->num, 1);
}

static void no_such_group(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	bed->list_status = 22;
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, SRIOV), -EINVAL);
	KUNIT_EXPECT_EQ(test, bed->num, 1);
	KUNIT_EXPECT_FALSE(test, tvq_admin_can(bed->admin, SRIOV, 0));
}

static void list_refused(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	bed->use_status = 22;
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, MANAGED), -EINVAL);
	KUNIT_EXPECT_EQ(test, bed->num, 2);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, bed->num, 2);
}

static void list_without_lists(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	bed->list[0] = ~BIT_ULL(1);
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, SELF), -EPROTO);
	bed->list[0] = ~BIT_ULL(0);
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, SELF), -EPROTO);
	KUNIT_EXPECT_EQ(test, bed->num, 2);
}

/* Nothing is sent for a group before LIST_USE, and after a reset again. */
static void nothing_before_use(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, SELF), 0);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, MANAGED), 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), 0);

	tvq_admin_break(bed->admin);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), -EIO);
	bed->link[0]->stops = 0;
	bed->link[1]->stops = 0;
	tvq_admin_revive(bed->admin);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, MANAGED), 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), 0);
}

/* Capabilities and resource objects */

static void cap_list(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	DECLARE_BITMAP(caps, TVQ_ADMIN_CAPS);

	reply_with(bed, BYTES(OK, 0x81, 0, 0, 0, 0, 0, 0, 0x80, 2));
	KUNIT_EXPECT_EQ(test, tvq_admin_cap_list(bed->admin, caps), 0);
	expect_out(test, bed, BYTES(HS(7)), 8 + TVQ_ADMIN_CAPS / 8);
	KUNIT_EXPECT_EQ(test, bitmap_weight(caps, TVQ_ADMIN_CAPS), 4);
	KUNIT_EXPECT_TRUE(test, test_bit(0, caps));
	KUNIT_EXPECT_TRUE(test, test_bit(7, caps));
	KUNIT_EXPECT_TRUE(test, test_bit(63, caps));
	KUNIT_EXPECT_TRUE(test, test_bit(65, caps));
}

static void device_cap(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	u8 cap[4] = { 9, 9, 9, 9 };

	reply_with(bed, BYTES(OK, 3, 4));
	KUNIT_EXPECT_EQ(test, tvq_admin_device_cap(bed->admin, 0x0102, cap, 4), 0);
	expect_out(test, bed, BYTES(HS(8), 2, 1, 0, 0, 0, 0, 0, 0), 16);
	KUNIT_EXPECT_MEMEQ(test, cap, "\3\4\0\0", 4);
	KUNIT_EXPECT_EQ(test, tvq_admin_device_cap(bed->admin, 0, cap,
						   TVQ_ADMIN_DATA_MAX + 1),
			-EMSGSIZE);
}

static void driver_cap(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);

	KUNIT_EXPECT_EQ(test, tvq_admin_driver_cap(bed->admin, 0x0102, "\3\4", 2), 0);
	expect_out(test, bed, BYTES(HS(9), 2, 1, 0, 0, 0, 0, 0, 0,
				    3, 4, 0, 0, 0, 0, 0, 0), 8);
	KUNIT_EXPECT_EQ(test, tvq_admin_driver_cap(bed->admin, 0, "",
						   TVQ_ADMIN_DATA_MAX + 1),
			-EMSGSIZE);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

static void objects(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	u8 data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	KUNIT_EXPECT_EQ(test, tvq_admin_obj_create(bed->admin, &dev5, 0x0102,
						   0x03040506, data, 8), 0);
	expect_out(test, bed, BYTES(H(0xa), O(0x0102, 0x03040506), Z8,
				    1, 2, 3, 4, 5, 6, 7, 8), 8);
	KUNIT_EXPECT_EQ(test, tvq_admin_obj_modify(bed->admin, &vf3, 0, 1, data,
						   3), 0);
	expect_out(test, bed, BYTES(HV(0xb), O(0, 1), Z8,
				    1, 2, 3, 0, 0, 0, 0, 0), 8);
	reply_with(bed, BYTES(OK, 8, 7, 6, 5, 4));
	KUNIT_EXPECT_EQ(test, tvq_admin_obj_query(bed->admin, &dev5, 0, 2, data,
						  8), 0);
	expect_out(test, bed, BYTES(H(0xc), O(0, 2), Z8), 16);
	KUNIT_EXPECT_MEMEQ(test, data, "\10\7\6\5\4\0\0\0", 8);
	reply_ok(bed);
	KUNIT_EXPECT_EQ(test, tvq_admin_obj_destroy(bed->admin, &dev5, 0, 2), 0);
	expect_out(test, bed, BYTES(H(0xd), O(0, 2)), 8);
	KUNIT_EXPECT_EQ(test, tvq_admin_obj_create(bed->admin, &dev5, 0, 0, data,
						   TVQ_ADMIN_DATA_MAX + 1),
			-EMSGSIZE);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

/* Device parts */

static void parts_size(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	u32 size = 0;

	reply_with(bed, BYTES(OK, 0xe0, 0xff, 1, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_size(bed->admin, &dev5, 1, &size), 0);
	expect_out(test, bed, BYTES(H(0xe), O(0, 1), 0, 0, 0, 0, 0, 0, 0, 0), 16);
	KUNIT_EXPECT_EQ(test, size, TVQ_ADMIN_PARTS_MAX);
	bed->reply[8]++;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_size(bed->admin, &dev5, 1, &size),
			-EPROTO);
	/* What was not written is 0. */
	bed->used = 8;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_size(bed->admin, &dev5, 1, &size), 0);
	KUNIT_EXPECT_EQ(test, size, 0);
}

static void parts_count(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	u32 count = 0;

	reply_with(bed, BYTES(OK, 0xfe, 0x1f, 0, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_count(bed->admin, &dev5, 1, &count), 0);
	expect_out(test, bed, BYTES(H(0xe), O(0, 1), 1, 0, 0, 0, 0, 0, 0, 0), 16);
	KUNIT_EXPECT_EQ(test, count, TVQ_ADMIN_PARTS_MAX / 16);
	bed->reply[8]++;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_count(bed->admin, &dev5, 1, &count),
			-EPROTO);
}

static void parts_list(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	struct tvq_part parts[4];

	reply_with(bed, BYTES(OK, 3, 0, 0, 0, 0, 0, 0, 0,
			      P(0x100, 1, 0xee, 16), P(0x104, 0, 1, 32),
			      P(0x104, 0, 2, 32)));
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_list(bed->admin, &dev5, 1, parts, 4), 3);
	expect_out(test, bed, BYTES(H(0xe), O(0, 1), 2, 0, 0, 0, 0, 0, 0, 0),
		   16 + 4 * 16);
	KUNIT_EXPECT_EQ(test, parts[0].type, 0x100);
	KUNIT_EXPECT_EQ(test, parts[0].flags, 1);
	KUNIT_EXPECT_EQ(test, parts[0].selector, 0);	/* has none */
	KUNIT_EXPECT_EQ(test, parts[0].length, 16);
	KUNIT_EXPECT_EQ(test, parts[2].type, 0x104);
	KUNIT_EXPECT_EQ(test, parts[2].selector, 2);
	KUNIT_EXPECT_EQ(test, parts[2].length, 32);
	/* One more than it lists, and than there is room for. */
	bed->reply[8] = 4;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_list(bed->admin, &dev5, 1, parts, 4),
			-EPROTO);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_list(bed->admin, &dev5, 1, parts, 2),
			-EPROTO);
	bed->reply[8] = 3;
	bed->reply[11] = 0x80;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_list(bed->admin, &dev5, 1, parts, 4),
			-EPROTO);
	bed->reply[11] = 0;
	bed->reply[36] = 2;	/* the same part twice */
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_list(bed->admin, &dev5, 1, parts, 4),
			-EPROTO);
	bed->used = 8;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_list(bed->admin, &dev5, 1, parts, 4), 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_list(bed->admin, &dev5, 1, parts,
						   TVQ_ADMIN_PARTS_MAX / 16 + 1),
			-EMSGSIZE);
}

/* The status, as a part. */
#define STATUS	P(0x103, 0, 0, 1), 15
#define VQ(i)	P(0xff01, 0, i, 8), 1, 0, 2, 0, 0, 0, 0, 0

static void parts_get(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	const struct tvq_part selected[] = {
		{ .type = 0x103, .length = 1 },
		{ .type = 0xff01, .selector = 0x0102, .length = 8 },
	};
	u8 parts[64];

	reply_with(bed, BYTES(OK, STATUS, VQ(2)));
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, NULL, 0,
						  parts, 64), 41);
	expect_out(test, bed, BYTES(H(0xf), O(0, 1), 1, 0, 0, 0, 0, 0, 0, 0), 72);
	KUNIT_EXPECT_MEMEQ(test, parts, bed->reply + 8, 41);

	bed->used = 8 + 17;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, selected,
						  2, parts, 50), 17);
	expect_out(test, bed, BYTES(H(0xf), O(0, 1), 0, 0, 0, 0, 0, 0, 0, 0,
				    P(0x103, 0, 0, 1),
				    0x01, 0xff, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0,
				    8, 0, 0, 0), 64);
	/* A part that was not asked for. */
	bed->used = 8 + 41;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, selected,
						  2, parts, 50), -EPROTO);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, selected,
						  1, parts, 50), -EPROTO);
	/* More than there is room for, into what fills up to a multiple of 8. */
	reply_with(bed, BYTES(OK, STATUS, P(0x7ff, 0, 0, 7), 1, 2, 3, 4, 5, 6, 7));
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, NULL, 0,
						  parts, 40), 40);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, NULL, 0,
						  parts, 37), -EPROTO);
	bed->used = 8;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, NULL, 0,
						  parts, 64), 0);
}

static void parts_get_nonsense(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	const struct tvq_part selected[] = {
		{ .type = 0x104, .selector = 1 },
		{ .type = 0x104, .selector = 0 },
		{ .type = 0x103 },
	};
	u8 parts[8];

	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, selected,
						  0, parts, 8), -EINVAL);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, selected,
						  2, parts, 8), -EINVAL);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1,
						  selected + 1, 2, parts, 8),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, NULL, 0,
						  parts, TVQ_ADMIN_PARTS_MAX + 1),
			-EMSGSIZE);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, selected,
						  TVQ_ADMIN_PARTS_MAX / 16 + 1,
						  parts, 8), -EMSGSIZE);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

static void parts_set(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	struct bytes parts = BYTES(STATUS, VQ(1));
	u8 *big = kunit_kzalloc(test, TVQ_ADMIN_PARTS_MAX + 1, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, big);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_set(bed->admin, &dev5, 2, parts.p,
						  parts.len), 0);
	/* 41 bytes, and zeros up to a multiple of 8. */
	expect_out(test, bed, BYTES(H(0x10), O(0, 2), STATUS, VQ(1),
				    0, 0, 0, 0, 0, 0, 0), 8);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_set(bed->admin, &dev5, 2, parts.p,
						  parts.len - 1), -EINVAL);
	put_unaligned_le32(TVQ_ADMIN_PARTS_MAX - 16, big + 12);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_set(bed->admin, &dev5, 2, big,
						  TVQ_ADMIN_PARTS_MAX), 0);
	KUNIT_EXPECT_EQ(test, bed->out_len, TVQ_ADMIN_LEN_MAX);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_set(bed->admin, &dev5, 2, big,
						  TVQ_ADMIN_PARTS_MAX + 1), -EFBIG);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

struct parts_case {
	const char *name;
	struct bytes bytes;
	bool good;
};

#define Z16	Z8, Z8
#define Z32	Z16, Z16

static const u8 parts_of_all[] = {
	P(0x100, 1, 0, 16), Z16, P(0x101, 0, 0, 16), Z16, STATUS,
	P(0x104, 0, 0, 32), Z32, P(0x104, 0, 7, 32), Z32,
	P(0xff00, 0, 0, 10), 1, 0, 0, 0, 2, 0, 0, 0, 1, 2, VQ(0), VQ(7),
	P(0xff02, 0, 0, 40), 0, 0, 2, 0, 0, 0, 0, 0, Z32,
	P(0xff03, 0, 0, 3), 1, 2, 3,
};

static const u8 parts_of_vf[] = {
	P(0x102, 0, 4, 2), 1, 2, P(0x102, 0, 18, 1), 1,
	P(0x105, 0, 1, 8), Z8, P(0x200, 0, 3, 0), P(0x200, 0, 4, 0),
};

#define CASE(_name, _good, ...)						\
	{ .name = _name, .good = _good,					\
	  .bytes = { (const u8 []){ __VA_ARGS__ },			\
		     sizeof((const u8 []){ __VA_ARGS__ }) } }

static const struct parts_case parts_cases[] = {
	{ "none", { NULL, 0 }, true },
	{ "all that a managed device has",
	  { parts_of_all, sizeof(parts_of_all) }, true },
	{ "what only a virtual function has",
	  { parts_of_vf, sizeof(parts_of_vf) }, true },
	CASE("half a header", false, STATUS, 1, 2, 3, 4),
	CASE("zeros up to a multiple of 8", false, STATUS, 0, 0, 0, 0, 0, 0, 0),
	CASE("a value that ends behind the end", false, P(0x103, 0, 0, 1)),
	CASE("a length of 4 GiB", false,
	     3, 1, 0, 0, Z8, 0xff, 0xff, 0xff, 0xff, 1),
	CASE("the wrong order", false, VQ(0), STATUS),
	CASE("the wrong order of queues", false, VQ(1), VQ(0)),
	CASE("a part twice", false, STATUS, STATUS),
	CASE("a queue twice", false, VQ(3), VQ(3)),
	CASE("a selector where there is none", false, STATUS,
	     P(0x103, 0, 1, 1), 15),
	CASE("an unknown flag", false, P(0x103, 2, 0, 1), 15),
	CASE("a status of 2 bytes", false, P(0x103, 0, 0, 2), 1, 0),
	CASE("a status of none", false, P(0x103, 0, 0, 0)),
	CASE("features of none", false, P(0x101, 0, 0, 0)),
	CASE("features of 7 bytes", false, P(0x101, 0, 0, 7), 1, 2, 3, 4, 5, 6, 7),
	CASE("a queue that is too short", false, P(0x104, 0, 0, 8), Z8),
	CASE("a queue's state that is too long", false, P(0xff01, 0, 0, 16), Z16),
	CASE("notifications that are too short", false, P(0x105, 0, 0, 4), 0, 0, 0, 0),
	CASE("a configuration of 7 bytes", false, P(0xff00, 0, 0, 7), 0, 0, 0, 0, 0, 0, 0),
	CASE("a configuration that says that it is longer", false,
	     P(0xff00, 0, 0, 8), 0, 0, 0, 0, 1, 0, 0, 0),
	CASE("a configuration of 4 GiB", false,
	     P(0xff00, 0, 0, 8), 0, 0, 0, 0, 0xf8, 0xff, 0xff, 0xff),
	CASE("a table that says that it is longer", false,
	     P(0xff02, 0, 0, 8), 0, 0, 1, 0, 0, 0, 0, 0),
	CASE("a table with half an entry", false,
	     P(0xff02, 0, 0, 16), 0, 0, 0, 0, 0, 0, 0, 0, Z8),
	CASE("an unknown type", true, P(0x7ff, 0, 0, 2), 1, 2),
};

KUNIT_ARRAY_PARAM_DESC(parts, parts_cases, name);

static void parts_checked(struct kunit *test)
{
	const struct parts_case *c = test->param_value;
	struct bed *bed = start_used(test, LONG_MS);
	u8 *parts = kunit_kzalloc(test, sizeof(bed->reply), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, parts);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_check(c->bytes.p, c->bytes.len),
			c->good ? 0 : -EINVAL);
	memcpy(bed->reply + 8, c->bytes.p, c->bytes.len);
	bed->reply_len = 8 + c->bytes.len;
	bed->used = bed->reply_len;
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_get(bed->admin, &dev5, 1, NULL, 0,
						  parts, sizeof(bed->reply) - 8),
			c->good ? (int)c->bytes.len : -EPROTO);
	if (!c->good)
		KUNIT_EXPECT_TRUE(test, mem_is_zero(parts, sizeof(bed->reply)));
}

static void mode_set(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);

	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), 0);
	expect_out(test, bed, BYTES(H(0x11), 1, 0, 0, 0, 0, 0, 0, 0), 8);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &vf3, false), 0);
	expect_out(test, bed, BYTES(HV(0x11), Z8), 8);
}

/* Management of members */

static void member_get(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	union tvq_member_value v;

	reply_with(bed, BYTES(OK, 1, 2, 3, 4, 5, 6, 7, 8,
			      9, 10, 11, 12, 13, 14, 15, 16));
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &dev5, 0, &v), 0);
	expect_out(test, bed, BYTES(H(0x7f00), 0, 0, 0, 0, 0, 0, 0, 0), 24);
	KUNIT_EXPECT_EQ(test, v.features[0], 0x0807060504030201ull);
	KUNIT_EXPECT_EQ(test, v.features[1], 0x100f0e0d0c0b0a09ull);
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &dev5, 1, &v), 0);
	KUNIT_EXPECT_EQ(test, v.features[1], 0x100f0e0d0c0b0a09ull);
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &dev5, 2, &v), 0);
	KUNIT_EXPECT_MEMEQ(test, v.mac, "\1\2\3\4\5\6", 6);
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &dev5, 3, &v), 0);
	KUNIT_EXPECT_EQ(test, v.number, 0x0201);
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &dev5, 4, &v), 0);
	KUNIT_EXPECT_EQ(test, v.number, 0x0201);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &vf3, 5, &v), 0);
	expect_out(test, bed, BYTES(HV(0x7f00), 5, 0, 0, 0, 0, 0, 0, 0), 24);
	KUNIT_EXPECT_EQ(test, v.number, 0x0201);
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &vf3, 6, &v), 0);
	KUNIT_EXPECT_EQ(test, v.number, 0x04030201);
	/* What lies behind the end, as far as the device says, is not there. */
	bed->used = 8 + 10;
	KUNIT_EXPECT_EQ(test, tvq_admin_member_get(bed->admin, &dev5, 1, &v), 0);
	KUNIT_EXPECT_EQ(test, v.features[1], 0x0a09ull);
}

static void member_set(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	union tvq_member_value v = { .features = { 0x0102030405060708ull, 9 } };

	KUNIT_EXPECT_EQ(test, tvq_admin_member_set(bed->admin, &dev5, 1, &v), 0);
	expect_out(test, bed, BYTES(H(0x7f01), 1, 0, 0, 0, 0, 0, 0, 0,
				    8, 7, 6, 5, 4, 3, 2, 1,
				    9, 0, 0, 0, 0, 0, 0, 0), 8);
	KUNIT_EXPECT_EQ(test, tvq_admin_member_set(bed->admin, &dev5, 2, &v), 0);
	expect_out(test, bed, BYTES(H(0x7f01), 2, 0, 0, 0, 0, 0, 0, 0,
				    8, 7, 6, 5, 4, 3, 0, 0, Z8), 8);
	v.number = 0x1234;
	KUNIT_EXPECT_EQ(test, tvq_admin_member_set(bed->admin, &vf3, 5, &v), 0);
	expect_out(test, bed, BYTES(HV(0x7f01), 5, 0, 0, 0, 0, 0, 0, 0,
				    0x34, 0x12, 0, 0, 0, 0, 0, 0, Z8), 8);
	v.number = 65536;
	KUNIT_EXPECT_EQ(test, tvq_admin_member_set(bed->admin, &vf3, 5, &v), -ERANGE);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

/* What a device says */

struct status_case {
	const char *name;
	u16 status;
	int err;
};

static const struct status_case status_cases[] = {
	{ "OK", 0, 0 }, { "ENXIO", 6, -ENXIO },
	{ "ENOMEM", 12, -ENOMEM }, { "EBUSY", 16, -EBUSY },
	{ "EEXIST", 17, -EEXIST }, { "EINVAL", 22, -EINVAL },
	{ "ENOSPC", 28, -ENOSPC },
	/* Reserved ones are as EINVAL, whatever they mean to Linux. */
	{ "unknown", 1, -EINVAL }, { "unknown", 5, -EINVAL },
	{ "unknown", 29, -EINVAL }, { "unknown", 110, -EINVAL },
	{ "unknown", 0xffff, -EINVAL },
};

static void status_desc(const struct status_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s %u", c->name, c->status);
}

KUNIT_ARRAY_PARAM(status, status_cases, status_desc);

static void status(struct kunit *test)
{
	const struct status_case *c = test->param_value;
	struct bed *bed = start_used(test, LONG_MS);

	put_unaligned_le16(c->status, bed->reply);
	put_unaligned_le16(c->status ? 1 : 0, bed->reply + 2);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), c->err);
	KUNIT_EXPECT_EQ(test, bed->num, 1);
	KUNIT_EXPECT_STREQ(test, tvq_admin_status_name(c->status), c->name);
}

static const char * const qualifier_names[] = {
	"OK", "INVALID_COMMAND", "INVALID_OPCODE", "INVALID_FIELD",
	"INVALID_GROUP", "INVALID_MEMBER", "NORESOURCE", "TRYAGAIN", "unknown",
};

/* They are for the log alone; those that nobody knows change nothing. */
static void qualifier(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	unsigned int i;

	put_unaligned_le16(28, bed->reply);
	for (i = 0; i < ARRAY_SIZE(qualifier_names); i++) {
		put_unaligned_le16(i, bed->reply + 2);
		KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true),
				-ENOSPC);
		KUNIT_EXPECT_STREQ(test, tvq_admin_qualifier_name(i),
				   qualifier_names[i]);
	}
	put_unaligned_le16(0xffff, bed->reply + 2);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), -ENOSPC);
	KUNIT_EXPECT_STREQ(test, tvq_admin_qualifier_name(0xffff), "unknown");
}

/* Status and qualifier have to be there, and nothing behind them. */
static void short_reply(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	unsigned int i;

	for (i = 0; i < 4; i++) {
		bed->used = i;
		KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true),
				-EPROTO);
	}
	bed->used = 4;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), 0);
	bed->used = 9;	/* longer than its room */
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), -EPROTO);
	KUNIT_EXPECT_EQ(test, bed->num, 6);
}

static void try_again(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);

	bed->retries = 3;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), 0);
	KUNIT_EXPECT_EQ(test, bed->num, 4);
	KUNIT_EXPECT_EQ(test, bed->out[HDR], 1);
}

/* Not for ever. */
static void try_again_in_vain(struct kunit *test)
{
	struct bed *bed = start_used(test, SHORT_MS);
	ktime_t begin = ktime_get();

	bed->retries = UINT_MAX;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), -EAGAIN);
	KUNIT_EXPECT_GT(test, bed->num, 1);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), begin), SHORT_MS);
}

/* Queues */

static void queue_of_member(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	struct tvq_member member = { .group = MANAGED };
	unsigned int i;

	for (i = 1; i < 9; i++) {
		member.id = i;
		KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &member, true), 0);
		KUNIT_EXPECT_EQ(test, bed->queue, i % QUEUES);
	}
}

/*
 * A queue that does not answer fails its own commands. While the device still has
 * one of them, LIST_USE may not be sent.
 */
static void one_queue_broken(struct kunit *test)
{
	const struct tvq_member even = { .group = MANAGED, .id = 2 };
	struct bed *bed = start_used(test, SHORT_MS);
	unsigned long end = jiffies + WAIT;

	bed->mute = true;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), -ETIMEDOUT);
	/* The no-op follows: LIST_QUERY of the self group. */
	while (READ_ONCE(bed->num) < 2 && time_before(jiffies, end))
		fsleep(1000);
	KUNIT_EXPECT_EQ(test, bed->num, 2);
	KUNIT_EXPECT_EQ(test, bed->queue, 1);
	bed->num = 1;
	expect_out(test, bed, BYTES(HS(0)), 8);
	while (!READ_ONCE(bed->link[1]->stops) && time_before(jiffies, end))
		fsleep(1000);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), -EIO);
	KUNIT_EXPECT_EQ(test, bed->num, 0);

	bed->mute = false;
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &even, true), 0);
	KUNIT_EXPECT_EQ(test, bed->link[0]->stops, 0);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, MANAGED), -EBUSY);
	KUNIT_EXPECT_EQ(test, bed->num, 1);	/* the query */

	tvq_admin_break(bed->admin);
	bed->link[0]->stops = 0;
	bed->link[1]->stops = 0;
	tvq_admin_revive(bed->admin);
	KUNIT_EXPECT_EQ(test, tvq_admin_use(bed->admin, MANAGED), 0);
	KUNIT_EXPECT_EQ(test, tvq_admin_mode_set(bed->admin, &dev5, true), 0);
}

static void no_queues(struct kunit *test)
{
	const struct tvq_admin_params params = {
		.ops = &fake_link_ops,
		.timeout_ms = LONG_MS,
	};

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(tvq_admin_create(&params)), -EINVAL);
	tvq_admin_destroy(NULL);
	tvq_admin_break(NULL);
	tvq_admin_halt(NULL);
	tvq_admin_revive(NULL);
}

/* Many at once */

#define CROWD		200

/**
 * struct caller - somebody with a command of his own
 * @task: he
 * @admin: the commands
 * @id: his member
 * @list: he asks for the list instead
 * @err: what came of it
 * @number: the answer
 */
struct caller {
	struct task_struct *task;
	struct tvq_admin *admin;
	unsigned int id;
	bool list;
	int err;
	u32 number;
};

static int call(void *data)
{
	struct caller *c = data;
	const struct tvq_member member = { .group = MANAGED, .id = c->id };
	union tvq_member_value value = {};

	if (c->list)
		c->err = tvq_admin_use(c->admin, SRIOV);
	else
		c->err = tvq_admin_member_get(c->admin, &member,
					      VIRTIO_TVQ_MEMBER_VQS, &value);
	c->number = value.number;
	return 0;
}

static void call_begin(struct kunit *test, struct caller *c, struct bed *bed)
{
	c->admin = bed->admin;
	c->err = 1;
	c->task = kthread_create(call, c, "tvq-admin");
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->task));
	get_task_struct(c->task);
	wake_up_process(c->task);
}

/* Waits for the command to have ended. */
static void call_end(struct caller *c)
{
	kthread_stop_put(c->task);
}

static bool queues_full(struct bed *bed)
{
	return READ_ONCE(bed->link[0]->posts) == SLOTS &&
	       READ_ONCE(bed->link[1]->posts) == SLOTS;
}

/* Be the device: answer all there is. */
static unsigned int serve(struct bed *bed)
{
	struct fake_cmd cmd;
	unsigned int i, n = 0;

	for (i = 0; i < QUEUES; i++) {
		while (fake_link_take(bed->link[i], &cmd)) {
			fake_link_return(bed->link[i], &cmd, answer(bed->link[i], &cmd));
			n++;
		}
		tvq_admin_interrupt(bed->admin, i);
	}
	return n;
}

/* Far more than the rings hold: each waits for its turn, and gets its own answer. */
static void crowd(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	struct caller *callers = kunit_kcalloc(test, CROWD, sizeof(*callers),
					       GFP_KERNEL);
	unsigned long end = jiffies + WAIT;
	unsigned int i, served = 0;

	KUNIT_ASSERT_NOT_NULL(test, callers);
	bed->echo = true;
	for (i = 0; i < QUEUES; i++) {
		bed->link[i]->answer = NULL;
		bed->link[i]->posts = 0;
	}
	for (i = 0; i < CROWD; i++) {
		callers[i].id = 1000 + i;
		call_begin(test, &callers[i], bed);
	}
	while (!queues_full(bed) && time_before(jiffies, end))
		fsleep(1000);
	KUNIT_EXPECT_TRUE(test, queues_full(bed));
	while (served < CROWD && time_before(jiffies, end)) {
		served += serve(bed);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, served, CROWD);
	for (i = 0; i < CROWD; i++) {
		call_end(&callers[i]);
		KUNIT_EXPECT_EQ(test, callers[i].err, 0);
		KUNIT_EXPECT_EQ(test, callers[i].number, 1000 + i);
	}
}

/* LIST_USE is not sent while another command is with the device. */
static void list_use_alone(struct kunit *test)
{
	struct bed *bed = start_used(test, LONG_MS);
	struct caller busy = { .id = 1 }, list = { .list = true };
	struct fake_cmd held, cmd;

	bed->echo = true;
	bed->link[0]->answer = NULL;
	bed->link[1]->answer = NULL;
	call_begin(test, &busy, bed);
	KUNIT_EXPECT_TRUE(test, fake_link_wait(bed->link[1], &held, 60000));
	call_begin(test, &list, bed);
	KUNIT_EXPECT_TRUE(test, fake_link_wait(bed->link[0], &cmd, 60000));
	KUNIT_EXPECT_EQ(test, get_unaligned_le16(cmd.out), 0);
	fake_link_return(bed->link[0], &cmd, answer(bed->link[0], &cmd));
	tvq_admin_interrupt(bed->admin, 0);
	/* It has all the time that it would take, if it did not wait. */
	KUNIT_EXPECT_FALSE(test, fake_link_wait(bed->link[0], &cmd, SHORT_MS));
	fake_link_return(bed->link[1], &held, answer(bed->link[1], &held));
	tvq_admin_interrupt(bed->admin, 1);
	KUNIT_EXPECT_TRUE(test, fake_link_wait(bed->link[0], &cmd, 60000));
	KUNIT_EXPECT_EQ(test, get_unaligned_le16(cmd.out), 1);
	fake_link_return(bed->link[0], &cmd, answer(bed->link[0], &cmd));
	tvq_admin_interrupt(bed->admin, 0);
	call_end(&busy);
	call_end(&list);
	KUNIT_EXPECT_EQ(test, busy.err, 0);
	KUNIT_EXPECT_EQ(test, busy.number, 1);
	KUNIT_EXPECT_EQ(test, list.err, 0);
}

struct place {
	const char *name;
	u16 index;
	u16 num;
	u16 num_queues;
	u16 transport;
	bool fits;
};

static const struct place places[] = {
	{ "behind the transport virtqueue", 1, 8, 0, 0, true },
	{ "before it", 3, 4, 3, 7, true },
	{ "the last queues that there can be", 65534, 2, 0, 0, true },
	{ "none", 1, 0, 0, 0, false },
	{ "beyond the last queue that there can be", 65535, 2, 0, 0, false },
	{ "among the other queues", 2, 1, 3, 9, false },
	{ "the transport virtqueue is the first", 4, 4, 0, 4, false },
	{ "it is the last", 4, 4, 0, 7, false },
};

KUNIT_ARRAY_PARAM_DESC(place, places, name);

static void placement(struct kunit *test)
{
	const struct place *p = test->param_value;

	KUNIT_EXPECT_EQ(test, tvq_pci_admin_fits(p->index, p->num, p->num_queues,
						 p->transport), p->fits);
}

/* The common configuration counts where it is long enough, and is not contradicted. */
static void two_places(struct kunit *test)
{
	const struct tvq_pci_place common = { 2, 8 }, same = { 2, 8 };
	const struct tvq_pci_place none = {}, less = { 2, 7 }, other = { 3, 8 };

	KUNIT_EXPECT_PTR_EQ(test, tvq_pci_admin_place(&common, &same), &common);
	KUNIT_EXPECT_PTR_EQ(test, tvq_pci_admin_place(&common, &none), &common);
	KUNIT_EXPECT_PTR_EQ(test, tvq_pci_admin_place(NULL, &other), &other);
	KUNIT_EXPECT_NULL(test, tvq_pci_admin_place(&common, &less));
	KUNIT_EXPECT_NULL(test, tvq_pci_admin_place(&common, &other));
	KUNIT_EXPECT_NULL(test, tvq_pci_admin_place(&none, &other));
}

/* Virtual functions are negotiated with a function that has them, and with no other. */
static void sriov_feature(struct kunit *test)
{
	const u64 needed = BIT_ULL(VIRTIO_F_TRANSPT_VQ) |
			   BIT_ULL(VIRTIO_F_VERSION_1) |
			   BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	const u64 admin = needed | BIT_ULL(VIRTIO_F_ADMIN_VQ);
	const u64 all = admin | BIT_ULL(VIRTIO_F_SR_IOV);

	KUNIT_EXPECT_EQ(test, tvq_pci_wanted(all, true), all);
	KUNIT_EXPECT_EQ(test, tvq_pci_wanted(all, false), admin);
	KUNIT_EXPECT_EQ(test, tvq_pci_wanted(admin, true), admin);
	KUNIT_EXPECT_EQ(test, tvq_pci_wanted(all | BIT_ULL(5), true), all);
	KUNIT_EXPECT_EQ(test, tvq_pci_wanted(all & ~BIT_ULL(VIRTIO_F_VERSION_1), true), 0);
}

static struct kunit_case admin_cases[] = {
	KUNIT_CASE(two_places),
	KUNIT_CASE(sriov_feature),
	KUNIT_CASE_PARAM(placement, place_gen_params),
	KUNIT_CASE(list_query_bytes),
	KUNIT_CASE(list_use_bytes),
	KUNIT_CASE(use_what_is_known),
	KUNIT_CASE(use_what_is_offered),
	KUNIT_CASE(no_such_group),
	KUNIT_CASE(list_refused),
	KUNIT_CASE(list_without_lists),
	KUNIT_CASE(nothing_before_use),
	KUNIT_CASE(cap_list),
	KUNIT_CASE(device_cap),
	KUNIT_CASE(driver_cap),
	KUNIT_CASE(objects),
	KUNIT_CASE(parts_size),
	KUNIT_CASE(parts_count),
	KUNIT_CASE(parts_list),
	KUNIT_CASE(parts_get),
	KUNIT_CASE(parts_get_nonsense),
	KUNIT_CASE(parts_set),
	KUNIT_CASE_PARAM(parts_checked, parts_gen_params),
	KUNIT_CASE(mode_set),
	KUNIT_CASE(member_get),
	KUNIT_CASE(member_set),
	KUNIT_CASE_PARAM(status, status_gen_params),
	KUNIT_CASE(qualifier),
	KUNIT_CASE(short_reply),
	KUNIT_CASE(try_again),
	KUNIT_CASE(try_again_in_vain),
	KUNIT_CASE(queue_of_member),
	KUNIT_CASE(one_queue_broken),
	KUNIT_CASE(no_queues),
	KUNIT_CASE(crowd),
	KUNIT_CASE(list_use_alone),
	{}
};

static struct kunit_suite admin_suite = {
	.name = "tvq_admin",
	.test_cases = admin_cases,
};

kunit_test_suite(admin_suite);
