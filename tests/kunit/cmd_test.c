// SPDX-License-Identifier: GPL-2.0
/*
 * The typed commands against bytes that are written down here, so that a
 * mistake in a wire structure is one in this file or it is found.
 */
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio_tvq.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/cmd.h"

#define SHORT_MS	50
#define LONG_MS		120000
#define WAIT_MS		60000

#define ROOM		8192

#define ID		0x0102030405060708ull

struct bytes {
	const u8 *p;
	size_t len;
};

#define BYTES(...)					\
	((struct bytes){				\
		.p = (const u8 []){ __VA_ARGS__ },	\
		.len = sizeof((const u8 []){ __VA_ARGS__ }), \
	})

#define ALL(array)	((struct bytes){ .p = (array), .len = sizeof(array) })

/* Devices 2 of 3, queues 1024 of 4096, vectors 1025 of 4097, and so on. */
static const u8 limits_reply[] = {
	0, 0, 0, 0,
	3, 0, 0, 0,	2, 0, 0, 0,
	0, 16, 0, 0,	0, 4, 0, 0,
	1, 16, 0, 0,	1, 4, 0, 0,
	64, 0,		66, 0,		64, 0,		0xff, 0xff,
	0, 32, 0, 0,	4, 16, 1, 0,
	0x06, 0, 0, 0, 0, 0, 0, 0x80,	0x01, 0, 0, 0, 0, 0, 0, 0x40,
};

/* A device with 7 bytes of configuration and 3 queues. */
static const u8 info_reply[] = {
	0, 0, 0, 0,
	8, 7, 6, 5, 4, 3, 2, 1,
	2, 0, 0, 0,	0x54, 0x56, 0x51, 0x01,
	0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
	0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
	'd', 'i', 's', 'k', '-', '1', '.', '_',
	0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
	3, 0,		4, 0,
	0x0b,		0x01,		0, 0,
	0, 0x30, 0, 0, 0x02, 0, 0, 0,
	5, 6, 7, 8,	7, 0, 0, 0,
	0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6,
	0, 1,		0x40, 0,	0, 0x80,
};

/* Where its fields are. */
#define INFO_ID			4
#define INFO_TYPE		12
#define INFO_NAME		36
#define INFO_NUM_VQS		68
#define INFO_NUM_VECTORS	70
#define INFO_FLAGS		73
#define INFO_CONFIG_LEN		88
#define INFO_CONFIG		92
#define INFO_VQ_SIZE		99

/**
 * struct bed - the commands on a device that answers by rote
 * @link: the device
 * @q: the commands
 * @reply: what it answers, and then says it has written
 * @reply_len: the length of that; what does not fit is cut off
 * @used: what it says it has written
 * @mute: it does not answer
 * @num: commands that it got
 * @out: the last one
 * @out_len: its length
 * @in_len: room for its answer
 * @posted: the result of a posted command
 * @posts: how many such there were
 * @done: for each of them
 */
struct bed {
	struct fake_link *link;
	struct tvq_cmdq *q;
	u8 reply[ROOM];
	size_t reply_len;
	u32 used;
	bool mute;
	unsigned int num;
	u8 out[ROOM];
	size_t out_len;
	size_t in_len;
	int posted;
	atomic_t posts;
	struct completion done;
};

static int answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	struct bed *bed = link->priv;

	bed->num++;
	bed->out_len = cmd->out_len;
	bed->in_len = cmd->in_len;
	memcpy(bed->out, cmd->out, min(cmd->out_len, sizeof(bed->out)));
	memcpy(cmd->in, bed->reply, min(cmd->in_len, bed->reply_len));
	return bed->mute ? -1 : bed->used;
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_cmdq_interrupt(bed->q);
}

static void on_posted(void *ctx, int err)
{
	struct bed *bed = ctx;

	bed->posted = err;
	atomic_inc(&bed->posts);
	complete(&bed->done);
}

static void reply_with(struct bed *bed, struct bytes bytes)
{
	memcpy(bed->reply, bytes.p, bytes.len);
	bed->reply_len = bytes.len;
	bed->used = bytes.len;
}

static void release(void *priv)
{
	struct bed *bed = priv;

	fake_link_shut(bed->link);
	tvq_cmdq_destroy(bed->q);
}

static struct bed *start(struct kunit *test, unsigned int timeout_ms)
{
	struct bed *bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bed);
	init_completion(&bed->done);
	bed->link = fake_link_create(test, 16);
	bed->link->answer = answer;
	bed->link->interrupt = on_interrupt;
	bed->link->priv = bed;
	bed->q = tvq_cmdq_create(&fake_link_ops, bed->link, 16, timeout_ms,
				 bed->link->dev, NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->q);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, release, bed), 0);
	return bed;
}

/* As above, and the device's limits are known. */
static struct bed *start_limits(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	struct tvq_limits limits;

	reply_with(bed, ALL(limits_reply));
	KUNIT_ASSERT_EQ(test, tvq_cmd_limits(bed->q, &limits), 0);
	bed->num = 0;
	return bed;
}

static void expect_out(struct kunit *test, struct bed *bed, struct bytes bytes)
{
	KUNIT_EXPECT_EQ(test, bed->num, 1);
	KUNIT_ASSERT_EQ(test, bed->out_len, bytes.len);
	KUNIT_EXPECT_MEMEQ(test, bed->out, bytes.p, bytes.len);
	/* Room for the ack and, in any case, for the reason of an error. */
	KUNIT_EXPECT_GE(test, bed->in_len, 8);
	bed->num = 0;
}

static void expect_posted(struct kunit *test, struct bed *bed, int err)
{
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&bed->done,
							  msecs_to_jiffies(WAIT_MS)), 0);
	KUNIT_EXPECT_EQ(test, bed->posted, err);
}

static void free_info(struct tvq_info *info)
{
	kfree(info->config);
	kfree(info->vq_size);
}

/* Management */

static void no_op(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_nop(bed->q), 0);
	expect_out(test, bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

static void limits(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	struct tvq_limits l;

	reply_with(bed, ALL(limits_reply));
	KUNIT_EXPECT_EQ(test, tvq_cmd_limits(bed->q, &l), 0);
	expect_out(test, bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
	KUNIT_EXPECT_EQ(test, bed->in_len, sizeof(limits_reply));
	KUNIT_EXPECT_EQ(test, l.devices_max, 3);
	KUNIT_EXPECT_EQ(test, l.devices_used, 2);
	KUNIT_EXPECT_EQ(test, l.vqs_max, 4096);
	KUNIT_EXPECT_EQ(test, l.vqs_free, 1024);
	KUNIT_EXPECT_EQ(test, l.vectors_max, 4097);
	KUNIT_EXPECT_EQ(test, l.vectors_free, 1025);
	KUNIT_EXPECT_EQ(test, l.device_vqs_max, 64);
	KUNIT_EXPECT_EQ(test, l.device_vectors_max, 66);
	KUNIT_EXPECT_EQ(test, l.config_max, 64);
	KUNIT_EXPECT_EQ(test, l.command_out_max, 8192);
	KUNIT_EXPECT_EQ(test, l.command_in_max, 0x11004);
	KUNIT_EXPECT_EQ(test, l.types[0], 0x8000000000000006ull);
	KUNIT_EXPECT_EQ(test, l.types[1], 0x4000000000000001ull);
}

/* The maxima do not change: what the device says later is not believed. */
static void limits_again(struct kunit *test)
{
	struct bed *bed = start_limits(test);
	struct tvq_info info = { };
	struct tvq_limits l;

	reply_with(bed, ALL(limits_reply));
	put_unaligned_le16(1024, bed->reply + 28);
	put_unaligned_le16(4096, bed->reply + 32);
	KUNIT_EXPECT_EQ(test, tvq_cmd_limits(bed->q, &l), 0);
	KUNIT_EXPECT_EQ(test, l.device_vqs_max, 1024);

	reply_with(bed, ALL(info_reply));
	KUNIT_ASSERT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), 0);
	free_info(&info);
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 88 + 64 + 64 * 2);
}

/**
 * struct patch - a good reply with one thing changed
 * @name: of the case
 * @at: where
 * @len: how many bytes, up to 8
 * @value: to what
 * @cut: bytes at the end that the device does not own up to
 * @err: what comes of it
 */
struct patch {
	const char *name;
	unsigned int at;
	unsigned int len;
	u64 value;
	unsigned int cut;
	int err;
};

static void reply_patched(struct bed *bed, struct bytes bytes, const struct patch *p)
{
	u8 value[8];

	reply_with(bed, bytes);
	put_unaligned_le64(p->value, value);
	memcpy(bed->reply + p->at, value, p->len);
	bed->used -= p->cut;
}

static const struct patch limits_patches[] = {
	{ "as it is", 0, 0, 0, 0, 0 },
	{ "one byte short", 0, 0, 0, 1, -EPROTO },
	{ "the ack alone", 0, 0, 0, sizeof(limits_reply) - 4, -EPROTO },
	{ "three bytes", 0, 0, 0, sizeof(limits_reply) - 3, -EPROTO },
	{ "nothing", 0, 0, 0, sizeof(limits_reply), -EPROTO },
	{ "devices_max 0", 4, 8, 0, 0, -EPROTO },
	{ "all devices used", 8, 4, 3, 0, 0 },
	{ "more devices used than there are", 8, 4, 4, 0, -EPROTO },
	{ "more queues free than there are", 16, 4, 4097, 0, -EPROTO },
	{ "more vectors free than there are", 24, 4, 4098, 0, -EPROTO },
	{ "device_vqs_max 0", 28, 2, 0, 0, -EPROTO },
	{ "device_vqs_max 1024", 28, 2, 1024, 0, 0 },
	{ "device_vqs_max 1025", 28, 2, 1025, 0, -EPROTO },
	{ "device_vectors_max 0", 30, 2, 0, 0, -EPROTO },
	{ "device_vectors_max 2048", 30, 2, 2048, 0, 0 },
	{ "device_vectors_max 2049", 30, 2, 2049, 0, -EPROTO },
	{ "config_max 0", 32, 2, 0, 0, 0 },
	{ "config_max 4096", 32, 2, 4096, 0, 0 },
	{ "config_max 4097", 32, 2, 4097, 0, -EPROTO },
	{ "command_out_max 4095", 36, 4, 4095, 0, -EPROTO },
	{ "command_out_max 4096", 36, 4, 4096, 0, 0 },
	{ "command_in_max 4095", 40, 4, 4095, 0, -EPROTO },
	{ "command_in_max 4096", 40, 4, 4096, 0, 0 },
};

KUNIT_ARRAY_PARAM_DESC(limits_patched, limits_patches, name);

static void limits_patched(struct kunit *test)
{
	const struct patch *p = test->param_value;
	struct bed *bed = start(test, LONG_MS);
	struct tvq_limits l;

	reply_patched(bed, ALL(limits_reply), p);
	KUNIT_EXPECT_EQ(test, tvq_cmd_limits(bed->q, &l), p->err);
}

/* Two of seven devices. */
static const u8 list_reply[] = {
	0, 0, 0, 0,
	1, 2, 3, 4, 5, 6, 7, 8,
	7, 0, 0, 0,	2, 0, 0, 0,
	0x10, 0, 0, 0, 0, 0, 0, 0x01,	1, 0, 0, 0,	0xff, 0xff, 0xff, 0xff,
	0x11, 0, 0, 0, 0, 0, 0, 0x01,	2, 3, 0, 0,	0, 0, 0, 0,
};

static void list(struct kunit *test)
{
	struct bed *bed = start_limits(test);
	struct tvq_list_entry e[3] = { };
	u32 total = 0;

	reply_with(bed, ALL(list_reply));
	KUNIT_EXPECT_EQ(test, tvq_cmd_list(bed->q, 0xff00000000000aull, e, 3, &total), 2);
	expect_out(test, bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0,
				    0x0a, 0, 0, 0, 0, 0, 0xff, 0));
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 16 + 3 * 16);
	KUNIT_EXPECT_EQ(test, total, 7);
	KUNIT_EXPECT_EQ(test, e[0].id, 0x0100000000000010ull);
	KUNIT_EXPECT_EQ(test, e[0].type, 1);
	KUNIT_EXPECT_EQ(test, e[1].id, 0x0100000000000011ull);
	KUNIT_EXPECT_EQ(test, e[1].type, 0x302);
	KUNIT_EXPECT_EQ(test, e[2].id, 0);

	reply_with(bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_list(bed->q, 0, e, 3, &total), 0);
	KUNIT_EXPECT_EQ(test, total, 0);
}

static const struct patch list_patches[] = {
	{ "as it is", 0, 0, 0, 0, 2 },
	{ "count 1", 16, 4, 1, 0, 1 },
	{ "count above what was asked for", 16, 4, 4, 0, -EPROTO },
	{ "count above what was written", 16, 4, 3, 0, -EPROTO },
	{ "count that overflows", 16, 4, 0x10000000, 0, -EPROTO },
	{ "highest count", 16, 4, U32_MAX, 0, -EPROTO },
	{ "last entry cut", 0, 0, 0, 1, -EPROTO },
	{ "header cut", 0, 0, 0, 33, -EPROTO },
	{ "id as asked for", 20, 8, 5, 0, -EPROTO },
	{ "id below", 20, 8, 4, 0, -EPROTO },
	{ "id 0", 20, 8, 0, 0, -EPROTO },
	{ "same id twice", 36, 8, 0x0100000000000010ull, 0, -EPROTO },
	{ "falling ids", 36, 8, 6, 0, -EPROTO },
	{ "lowest ids", 20, 8, 6, 0, 2 },
	{ "highest id", 36, 8, U64_MAX, 0, 2 },
};

KUNIT_ARRAY_PARAM_DESC(list_patched, list_patches, name);

static void list_patched(struct kunit *test)
{
	const struct patch *p = test->param_value;
	struct bed *bed = start_limits(test);
	struct tvq_list_entry *e = kunit_kcalloc(test, 3, sizeof(*e), GFP_KERNEL);
	u32 total;

	KUNIT_ASSERT_NOT_NULL(test, e);
	reply_patched(bed, ALL(list_reply), p);
	KUNIT_EXPECT_EQ(test, tvq_cmd_list(bed->q, 5, e, 3, &total), p->err);
}

/* No more is asked for than what fits into a reply: 4096 bytes before LIMITS. */
static void list_room(struct kunit *test)
{
	struct tvq_list_entry *e = kunit_kcalloc(test, 10000, sizeof(*e), GFP_KERNEL);
	struct bed *bed = start(test, LONG_MS);
	u32 total;

	KUNIT_ASSERT_NOT_NULL(test, e);
	reply_with(bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_list(bed->q, 0, e, 10000, &total), 0);
	KUNIT_EXPECT_LE(test, bed->in_len, 4096);
	KUNIT_EXPECT_GT(test, bed->in_len, 4096 - 16);
}

static void expect_info(struct kunit *test, const struct tvq_info *info)
{
	KUNIT_EXPECT_EQ(test, info->id, ID);
	KUNIT_EXPECT_EQ(test, info->type, 2);
	KUNIT_EXPECT_EQ(test, info->vendor, 0x01515654);
	KUNIT_EXPECT_EQ(test, info->features[0], 0x1817161514131211ull);
	KUNIT_EXPECT_EQ(test, info->features[1], 0x2827262524232221ull);
	KUNIT_EXPECT_STREQ(test, info->name, "disk-1._");
	KUNIT_EXPECT_EQ(test, info->num_vqs, 3);
	KUNIT_EXPECT_EQ(test, info->num_vectors, 4);
	KUNIT_EXPECT_EQ(test, info->status, 0x0b);
	KUNIT_EXPECT_TRUE(test, info->has_doorbell);
	KUNIT_EXPECT_EQ(test, info->doorbell_offset, 0x200003000ull);
	KUNIT_EXPECT_EQ(test, info->config_generation, 0x08070605);
	KUNIT_ASSERT_EQ(test, info->config_len, 7);
	KUNIT_EXPECT_MEMEQ(test, info->config, info_reply + INFO_CONFIG, 7);
	KUNIT_EXPECT_EQ(test, info->vq_size[0], 256);
	KUNIT_EXPECT_EQ(test, info->vq_size[1], 64);
	KUNIT_EXPECT_EQ(test, info->vq_size[2], 32768);
}

static void create(struct kunit *test)
{
	struct bed *bed = start_limits(test);
	struct tvq_create c = {
		.type = 2,
		.vqs = 0x0304,
		.num_vectors = 0x0506,
		.has_features = true,
		.features = { 0x1817161514131211ull, 0x2827262524232221ull },
		.name = "disk-1._",
		.serial = "serial",
		.num_config = 2,
		.config = {
			{ .offset = 0, .length = 8, .data = { 1, 2, 3, 4, 5, 6, 7, 8 } },
			{ .offset = 0x010a, .length = 2, .data = { 0xdc, 0x05 } },
		},
	};
	struct tvq_cmd_error error = { };
	struct tvq_info info = { };

	reply_with(bed, ALL(info_reply));
	KUNIT_ASSERT_EQ(test, tvq_cmd_create(bed->q, &c, &info, &error), 0);
	expect_out(test, bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0,
				    2, 0, 0, 0,		1, 0, 0, 0,
				    4, 3,	6, 5,	2, 0,	0, 0,
				    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
				    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
				    'd', 'i', 's', 'k', '-', '1', '.', '_',
				    0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0,
				    's', 'e', 'r', 'i', 'a', 'l', 0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0,
				    0, 0, 0, 0,
				    0, 0,	8, 0,	0, 0, 0, 0,	1, 2, 3, 4, 5, 6, 7, 8,
				    0x0a, 1,	2, 0,	0, 0, 0, 0,	0xdc, 5, 0, 0, 0, 0, 0, 0));
	/* The longest reply within the limits has room. */
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 88 + 64 + 64 * 2);
	expect_info(test, &info);
	free_info(&info);
}

/* All that can be left out is, and all that can be long is. */
static void create_bounds(struct kunit *test)
{
	struct bed *bed = start_limits(test);
	struct tvq_create c = { .type = 0x01020304 };
	struct tvq_info info = { };

	reply_with(bed, ALL(info_reply));
	KUNIT_ASSERT_EQ(test, tvq_cmd_create(bed->q, &c, &info, NULL), 0);
	free_info(&info);
	expect_out(test, bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0,
				    4, 3, 2, 1,		0, 0, 0, 0,
				    0, 0,	0, 0,	0, 0,	0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				    0, 0, 0, 0));

	strscpy(c.name, "abcdefghijklmnopqrstuvwxyz01234", sizeof(c.name));
	strscpy(c.serial, "ABCDEFGHIJKLMNOPQRST", sizeof(c.serial));
	KUNIT_ASSERT_EQ(test, tvq_cmd_create(bed->q, &c, &info, NULL), 0);
	free_info(&info);
	KUNIT_EXPECT_EQ(test, bed->out_len, 12 + 88);
	KUNIT_EXPECT_MEMEQ(test, bed->out + 12 + 32, "abcdefghijklmnopqrstuvwxyz01234", 32);
	KUNIT_EXPECT_MEMEQ(test, bed->out + 12 + 64, "ABCDEFGHIJKLMNOPQRST\0\0\0", 24);
}

static void describe(struct kunit *test)
{
	struct bed *bed = start_limits(test);
	struct tvq_info info = { };

	reply_with(bed, ALL(info_reply));
	KUNIT_ASSERT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 88 + 64 + 64 * 2);
	expect_info(test, &info);
	free_info(&info);

	/* Somebody else's. */
	KUNIT_EXPECT_EQ(test, tvq_cmd_describe(bed->q, ID + 1, &info), -EPROTO);
}

static const struct patch info_patches[] = {
	{ "as it is", 0, 0, 0, 0, 0 },
	{ "last queue size cut", 0, 0, 0, 1, -EPROTO },
	{ "queue sizes missing", 0, 0, 0, 6, -EPROTO },
	{ "configuration cut", 0, 0, 0, 7, -EPROTO },
	{ "structure alone", 0, 0, 0, 13, -EPROTO },
	{ "structure cut", 0, 0, 0, 14, -EPROTO },
	{ "the ack alone", 0, 0, 0, sizeof(info_reply) - 4, -EPROTO },
	{ "id 0", INFO_ID, 8, 0, 0, -EPROTO },
	{ "type 0", INFO_TYPE, 4, 0, 0, -EPROTO },
	{ "no name", INFO_NAME, 8, 0, 0, 0 },
	{ "leading dot", INFO_NAME, 1, '.', 0, -EPROTO },
	{ "slash", INFO_NAME + 1, 1, '/', 0, -EPROTO },
	{ "newline", INFO_NAME + 7, 1, '\n', 0, -EPROTO },
	{ "not ASCII", INFO_NAME + 3, 1, 0xe4, 0, -EPROTO },
	{ "no queue", INFO_NUM_VQS, 2, 0, 0, -EPROTO },
	{ "2 queues", INFO_NUM_VQS, 2, 2, 0, 0 },
	{ "4 queues", INFO_NUM_VQS, 2, 4, 0, -EPROTO },
	{ "more queues than any", INFO_NUM_VQS, 2, 65, 0, -EPROTO },
	{ "65535 queues", INFO_NUM_VQS, 2, 0xffff, 0, -EPROTO },
	{ "66 vectors", INFO_NUM_VECTORS, 2, 66, 0, 0 },
	{ "67 vectors", INFO_NUM_VECTORS, 2, 67, 0, -EPROTO },
	{ "no doorbell", INFO_FLAGS, 1, 0, 0, 0 },
	{ "configuration one longer", INFO_CONFIG_LEN, 4, 8, 0, -EPROTO },
	{ "configuration above the limit", INFO_CONFIG_LEN, 4, 65, 0, -EPROTO },
	{ "configuration that overflows", INFO_CONFIG_LEN, 4, U32_MAX - 80, 0, -EPROTO },
	{ "longest configuration", INFO_CONFIG_LEN, 4, U32_MAX, 0, -EPROTO },
	{ "queue size 0", INFO_VQ_SIZE, 2, 0, 0, -EPROTO },
	{ "last queue size 0", INFO_VQ_SIZE + 4, 2, 0, 0, -EPROTO },
	{ "queue size 32769", INFO_VQ_SIZE + 2, 2, 32769, 0, -EPROTO },
};

KUNIT_ARRAY_PARAM_DESC(info_patched, info_patches, name);

static void info_patched(struct kunit *test)
{
	const struct patch *p = test->param_value;
	struct bed *bed = start_limits(test);
	struct tvq_create c = { .type = 2 };
	struct tvq_info info = { };
	int err;

	reply_patched(bed, ALL(info_reply), p);
	err = tvq_cmd_create(bed->q, &c, &info, NULL);
	KUNIT_EXPECT_EQ(test, err, p->err);
	if (err)
		return;
	if (p->at == INFO_FLAGS)
		KUNIT_EXPECT_FALSE(test, info.has_doorbell);
	free_info(&info);
}

/* All that LIMITS allows is taken, and no more, though the reply has it all. */
static void info_bounds(struct kunit *test)
{
	struct bed *bed = start_limits(test);
	struct tvq_info info = { };

	reply_with(bed, ALL(info_reply));
	bed->reply_len = 4 + 88 + 64 + 64 * 2;
	bed->used = bed->reply_len;
	memset(bed->reply + INFO_CONFIG, 1, bed->reply_len - INFO_CONFIG);

	put_unaligned_le16(65, bed->reply + INFO_NUM_VQS);
	KUNIT_EXPECT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), -EPROTO);
	put_unaligned_le16(64, bed->reply + INFO_NUM_VQS);
	put_unaligned_le32(65, bed->reply + INFO_CONFIG_LEN);
	KUNIT_EXPECT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), -EPROTO);
	put_unaligned_le16(1, bed->reply + INFO_NUM_VQS);
	KUNIT_EXPECT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), -EPROTO);

	put_unaligned_le16(64, bed->reply + INFO_NUM_VQS);
	put_unaligned_le32(64, bed->reply + INFO_CONFIG_LEN);
	KUNIT_ASSERT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), 0);
	KUNIT_EXPECT_EQ(test, info.vq_size[63], 257);
	free_info(&info);
}

/* 32 bytes without an end, and 31 with one. */
static void info_name_end(struct kunit *test)
{
	struct bed *bed = start_limits(test);
	struct tvq_info info = { };

	reply_with(bed, ALL(info_reply));
	memset(bed->reply + INFO_NAME, 'x', 32);
	KUNIT_EXPECT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), -EPROTO);

	bed->reply[INFO_NAME + 31] = 0;
	KUNIT_ASSERT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), 0);
	KUNIT_EXPECT_EQ(test, strlen(info.name), 31);
	free_info(&info);
}

/* Nothing can be taken in before the limits are known. */
static void info_without_limits(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	struct tvq_info info = { };

	reply_with(bed, ALL(info_reply));
	KUNIT_EXPECT_LT(test, tvq_cmd_describe(bed->q, ID, &info), 0);
}

static void destroy(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_destroy(bed->q, ID), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 4, 0));
}

/* A device */

static void negotiate(struct kunit *test)
{
	const u64 features[] = { 0x1817161514131211ull, 0x2827262524232221ull };
	struct bed *bed = start(test, LONG_MS);
	u8 status = 0;

	reply_with(bed, BYTES(0, 0, 0, 0, 0x03, 0xff, 0xff, 0xff));
	KUNIT_EXPECT_EQ(test, tvq_cmd_negotiate(bed->q, ID, features, 0x0b, &status), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 1, 0,
				    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
				    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
				    0x0b, 0, 0, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, status, 0x03);

	reply_with(bed, BYTES(0, 0, 0, 0, 0x0b, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_negotiate(bed->q, ID, features, 0x0b, &status), -EPROTO);
}

static void get_status(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	u8 status = 0;

	reply_with(bed, BYTES(0, 0, 0, 0, 0x4f, 0xff, 0xff, 0xff));
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_status(bed->q, ID, &status), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 3, 0));
	KUNIT_EXPECT_EQ(test, status, 0x4f);

	reply_with(bed, BYTES(0, 0, 0, 0, 0x4f, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_status(bed->q, ID, &status), -EPROTO);
}

static void reset(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_reset(bed->q, ID), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 4, 0));

	reply_with(bed, BYTES(0, 0, 0, 0, 1, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_reset(bed->q, ID), -EPROTO);
	reply_with(bed, BYTES(0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_reset(bed->q, ID), -EPROTO);
}

/* 5 bytes of configuration. */
static const u8 config_reply[] = {
	0, 0, 0, 0,
	1, 2, 3, 4,	5, 0, 0, 0,	0x4f,	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xc0, 0xc1, 0xc2, 0xc3, 0xc4,
};

static void get_config(struct kunit *test)
{
	struct tvq_config *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct bed *bed = start_limits(test);

	KUNIT_ASSERT_NOT_NULL(test, c);
	reply_with(bed, ALL(config_reply));
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_config(bed->q, ID, c), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 5, 0));
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 16 + 64);
	KUNIT_EXPECT_EQ(test, c->generation, 0x04030201);
	KUNIT_EXPECT_EQ(test, c->length, 5);
	KUNIT_EXPECT_EQ(test, c->status, 0x4f);
	KUNIT_EXPECT_MEMEQ(test, c->data, config_reply + 20, 5);
	KUNIT_EXPECT_EQ(test, c->data[5], 0);
}

static void set_config(struct kunit *test)
{
	struct tvq_config *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct bed *bed = start_limits(test);

	KUNIT_ASSERT_NOT_NULL(test, c);
	reply_with(bed, ALL(config_reply));
	KUNIT_EXPECT_EQ(test, tvq_cmd_set_config(bed->q, ID, 0x10a, "\x01\x02\x03", 3, c), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 6, 0,
				    0x0a, 1, 0, 0,	3, 0, 0, 0,	1, 2, 3));
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 16 + 64);
	KUNIT_EXPECT_EQ(test, c->generation, 0x04030201);
	KUNIT_EXPECT_EQ(test, c->length, 5);
	KUNIT_EXPECT_EQ(test, c->status, 0x4f);
	KUNIT_EXPECT_MEMEQ(test, c->data, config_reply + 20, 5);
}

static const struct patch config_patches[] = {
	{ "as it is", 0, 0, 0, 0, 0 },
	{ "length 0", 8, 4, 0, 0, 0 },
	{ "length 4", 8, 4, 4, 0, 0 },
	{ "last byte cut", 0, 0, 0, 1, -EPROTO },
	{ "structure cut", 0, 0, 0, 6, -EPROTO },
	{ "length beyond the reply", 8, 4, 6, 0, -EPROTO },
	{ "length above the limit", 8, 4, 65, 0, -EPROTO },
	{ "length that overflows", 8, 4, U32_MAX - 15, 0, -EPROTO },
	{ "highest length", 8, 4, U32_MAX, 0, -EPROTO },
};

KUNIT_ARRAY_PARAM_DESC(config_patched, config_patches, name);

static void config_patched(struct kunit *test)
{
	const struct patch *p = test->param_value;
	struct tvq_config *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct bed *bed = start_limits(test);

	KUNIT_ASSERT_NOT_NULL(test, c);
	reply_patched(bed, ALL(config_reply), p);
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_config(bed->q, ID, c), p->err);
	KUNIT_EXPECT_EQ(test, tvq_cmd_set_config(bed->q, ID, 0, "x", 1, c), p->err);
}

static const u8 shm_reply[] = {
	0, 0, 0, 0,
	4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0, 0x10, 0, 3, 2, 1, 0, 0,
	0, 0x20, 0, 6, 5, 4, 0, 0,
};

/* Where its fields are. */
#define SHM_BAR			4
#define SHM_OFFSET		12
#define SHM_LENGTH		20

static void get_shm(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	struct tvq_shm shm;

	reply_with(bed, ALL(shm_reply));
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_shm(bed->q, ID, 0xa5, &shm), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 7, 0,
				    0xa5, 0, 0, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 24);
	KUNIT_EXPECT_EQ(test, shm.bar, 4);
	KUNIT_EXPECT_EQ(test, shm.offset, 0x010203001000ull);
	KUNIT_EXPECT_EQ(test, shm.length, 0x040506002000ull);

	reply_with(bed, BYTES(1, 0, 0, 0, 6, 0, 17, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_shm(bed->q, ID, 0, &shm), -ENXIO);
}

static const struct patch shm_patches[] = {
	{ "as it is", 0, 0, 0, 0, 0 },
	{ "one byte short", 0, 0, 0, 1, -EPROTO },
	{ "the ack alone", 0, 0, 0, sizeof(shm_reply) - 4, -EPROTO },
	{ "nothing", 0, 0, 0, sizeof(shm_reply), -EPROTO },
	{ "bar 0", SHM_BAR, 1, 0, 0, 0 },
	{ "bar 5", SHM_BAR, 1, 5, 0, 0 },
	{ "bar 6", SHM_BAR, 1, 6, 0, -EPROTO },
	{ "bar 255", SHM_BAR, 1, 255, 0, -EPROTO },
	{ "offset 0", SHM_OFFSET, 8, 0, 0, 0 },
	{ "offset 2048", SHM_OFFSET, 8, 2048, 0, -EPROTO },
	{ "offset 4097", SHM_OFFSET, 8, 4097, 0, -EPROTO },
	{ "length 0", SHM_LENGTH, 8, 0, 0, -EPROTO },
	{ "length 1", SHM_LENGTH, 8, 1, 0, -EPROTO },
	{ "length 4095", SHM_LENGTH, 8, 4095, 0, -EPROTO },
	{ "length 4096", SHM_LENGTH, 8, 4096, 0, 0 },
	{ "length to the end", SHM_LENGTH, 8, 0xfffffefdfcffe000ull, 0, 0 },
	{ "length that overflows", SHM_LENGTH, 8, 0xfffffefdfcfff000ull, 0, -EPROTO },
	{ "highest offset", SHM_OFFSET, 8, 0xfffffffffffff000ull, 0, -EPROTO },
};

KUNIT_ARRAY_PARAM_DESC(shm_patched, shm_patches, name);

static void shm_patched(struct kunit *test)
{
	const struct patch *p = test->param_value;
	struct bed *bed = start(test, LONG_MS);
	struct tvq_shm shm;

	reply_patched(bed, ALL(shm_reply), p);
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_shm(bed->q, ID, 0, &shm), p->err);
}

/* Queues */

static void setup(struct kunit *test)
{
	const struct tvq_vq_setup vqs[] = {
		{ 0, 0x100, 1, 0x1122334455667000ull, 0x1122334455668000ull, 0x9000 },
		{ 0x0102, 0x40, 0xffff, 0xa000, 0xb000, 0xc000 },
	};
	const struct tvq_msi msis[] = {
		{ 0xfee01000, 0x4021, 0 },
		{ 0x11223344fee02000ull, 0x55667788, 1 },
	};
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_setup(bed->q, ID, vqs, 2, msis, 2, 0x0304), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 0, 0,
				    2, 0,	2, 0,	4, 3,	0, 0,
				    0, 0,	0, 1,	1, 0,	0, 0,
				    0, 0x70, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
				    0, 0x80, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
				    0, 0x90, 0, 0, 0, 0, 0, 0,
				    2, 1,	0x40, 0,	0xff, 0xff,	0, 0,
				    0, 0xa0, 0, 0, 0, 0, 0, 0,
				    0, 0xb0, 0, 0, 0, 0, 0, 0,
				    0, 0xc0, 0, 0, 0, 0, 0, 0,
				    0, 0x10, 0xe0, 0xfe, 0, 0, 0, 0,
				    0x21, 0x40, 0, 0,	0, 0, 0, 0,
				    0, 0x20, 0xe0, 0xfe, 0x44, 0x33, 0x22, 0x11,
				    0x88, 0x77, 0x66, 0x55,	1, 0, 0, 0));

	KUNIT_EXPECT_EQ(test, tvq_cmd_setup(bed->q, ID, NULL, 0, NULL, 0, 0xffff), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 0, 0,
				    0, 0, 0, 0, 0xff, 0xff, 0, 0));
}

/* More than the device takes is refused here, and not posted. */
static void setup_too_long(struct kunit *test)
{
	struct tvq_vq_setup *vqs = kunit_kcalloc(test, 128, sizeof(*vqs), GFP_KERNEL);
	struct bed *bed = start(test, LONG_MS);
	struct tvq_limits l;

	KUNIT_ASSERT_NOT_NULL(test, vqs);
	reply_with(bed, BYTES(0, 0, 0, 0));
	/* 12 + 8 + 127 * 32 = 4084. */
	KUNIT_EXPECT_EQ(test, tvq_cmd_setup(bed->q, ID, vqs, 127, NULL, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, bed->num, 1);
	KUNIT_EXPECT_EQ(test, tvq_cmd_setup(bed->q, ID, vqs, 128, NULL, 0, 0), -EMSGSIZE);
	KUNIT_EXPECT_EQ(test, bed->num, 1);

	/* LIMITS has the word from then on: 8192. */
	reply_with(bed, ALL(limits_reply));
	KUNIT_ASSERT_EQ(test, tvq_cmd_limits(bed->q, &l), 0);
	reply_with(bed, BYTES(0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_setup(bed->q, ID, vqs, 128, NULL, 0, 0), 0);
}

static void reset_vq(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_reset_vq(bed->q, ID, 0x0203), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 1, 0, 3, 2, 0, 0));
}

/* Interrupts */

static void msi_get(struct kunit *test)
{
	struct tvq_msi msis[3] = { };
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0,
			      0, 0x20, 0xe0, 0xfe, 0x44, 0x33, 0x22, 0x11,
			      0x88, 0x77, 0x66, 0x55,	3, 0xff, 0xff, 0xff,
			      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,	1, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, tvq_cmd_msi_get(bed->q, ID, 0x0102, 2, msis), 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 1, 0, 2, 1, 2, 0, 0, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, bed->in_len, 4 + 32);
	KUNIT_EXPECT_EQ(test, msis[0].address, 0x11223344fee02000ull);
	KUNIT_EXPECT_EQ(test, msis[0].data, 0x55667788);
	KUNIT_EXPECT_EQ(test, msis[0].flags, 3);
	KUNIT_EXPECT_EQ(test, msis[1].address, 0);
	KUNIT_EXPECT_EQ(test, msis[1].data, 0);
	KUNIT_EXPECT_EQ(test, msis[1].flags, 1);

	bed->used--;
	KUNIT_EXPECT_EQ(test, tvq_cmd_msi_get(bed->q, ID, 0, 2, msis), -EPROTO);
	bed->used += 2;
	KUNIT_EXPECT_EQ(test, tvq_cmd_msi_get(bed->q, ID, 0, 2, msis), -EPROTO);
}

/* Posted commands */

static void post_status(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0, 0x0f, 0, 0, 0));
	KUNIT_ASSERT_EQ(test, tvq_cmd_post_status(bed->q, ID, 0x0f, GFP_KERNEL,
						  on_posted, bed), 0);
	expect_posted(test, bed, 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 2, 0, 0x0f, 0, 0, 0));

	reply_with(bed, BYTES(1, 0, 0, 0, 22, 0, 11, 0));
	KUNIT_ASSERT_EQ(test, tvq_cmd_post_status(bed->q, ID, 0x0f, GFP_KERNEL,
						  on_posted, bed), 0);
	expect_posted(test, bed, -EINVAL);

	/* Nobody needs to ask. */
	KUNIT_ASSERT_EQ(test, tvq_cmd_post_status(bed->q, ID, 0x0f, GFP_KERNEL,
						  NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, tvq_cmd_nop(bed->q), -EINVAL);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->posts), 2);
}

static void post_notify(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	reply_with(bed, BYTES(0, 0, 0, 0));
	KUNIT_ASSERT_EQ(test, tvq_cmd_post_notify(bed->q, ID, 0x01020304, GFP_KERNEL,
						  on_posted, bed), 0);
	expect_posted(test, bed, 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 2, 0, 4, 3, 2, 1));
}

static void post_msi(struct kunit *test)
{
	const struct tvq_msi msis[] = {
		{ 0xfee01000, 0x4021, 0 },
		{ 0x11223344fee02000ull, 0x55667788, 1 },
	};
	struct bed *bed = start(test, LONG_MS);
	unsigned long flags;
	int err;

	reply_with(bed, BYTES(0, 0, 0, 0));
	local_irq_save(flags);
	err = tvq_cmd_post_msi(bed->q, ID, 0x0102, 2, msis, GFP_ATOMIC, on_posted, bed);
	local_irq_restore(flags);
	KUNIT_ASSERT_EQ(test, err, 0);
	expect_posted(test, bed, 0);
	expect_out(test, bed, BYTES(8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0,
				    2, 1,	2, 0,	0, 0, 0, 0,
				    0, 0x10, 0xe0, 0xfe, 0, 0, 0, 0,
				    0x21, 0x40, 0, 0,	0, 0, 0, 0,
				    0, 0x20, 0xe0, 0xfe, 0x44, 0x33, 0x22, 0x11,
				    0x88, 0x77, 0x66, 0x55,	1, 0, 0, 0));
}

static void post_refused(struct kunit *test)
{
	const struct tvq_msi msi = { };
	struct bed *bed = start(test, LONG_MS);

	bed->link->post_err = -EINVAL;
	KUNIT_EXPECT_EQ(test, tvq_cmd_post_notify(bed->q, ID, 0, GFP_KERNEL, on_posted,
						  bed), -EINVAL);
	tvq_cmdq_break(bed->q);
	KUNIT_EXPECT_EQ(test, tvq_cmd_post_notify(bed->q, ID, 0, GFP_KERNEL, on_posted,
						  bed), -EIO);
	KUNIT_EXPECT_EQ(test, tvq_cmd_post_status(bed->q, ID, 1, GFP_KERNEL, on_posted, bed), -EIO);
	KUNIT_EXPECT_EQ(test, tvq_cmd_post_msi(bed->q, ID, 0, 1, &msi, GFP_KERNEL,
					       on_posted, bed), -EIO);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->posts), 0);
}

/* Errors */

struct status_case {
	const char *name;
	u16 status;
	int err;
};

static const struct status_case status_cases[] = {
	{ "OK in an error", 0, -EREMOTEIO },
	{ "EPERM", 1, -EREMOTEIO },
	{ "EIO", 5, -EREMOTEIO },
	{ "ENXIO", 6, -ENXIO },
	{ "EAGAIN", 11, -EAGAIN },
	{ "ENOMEM", 12, -ENOMEM },
	{ "EBUSY", 16, -EBUSY },
	{ "EEXIST", 17, -EEXIST },
	{ "ENODEV", 19, -EREMOTEIO },
	{ "EINVAL", 22, -EINVAL },
	{ "ENOSPC", 28, -ENOSPC },
	{ "ESPIPE", 29, -EREMOTEIO },
	{ "EINVAL in the other byte", 22 << 8, -EREMOTEIO },
	{ "highest", 0xffff, -EREMOTEIO },
};

KUNIT_ARRAY_PARAM_DESC(status, status_cases, name);

static void status(struct kunit *test)
{
	const struct status_case *c = test->param_value;
	struct bed *bed = start_limits(test);
	struct tvq_cmd_error error = { .status = 0xaaaa, .qualifier = 0xaaaa };
	struct tvq_create create = { .type = 1 };
	struct tvq_info info = { };
	u8 result = 0xaa;

	reply_with(bed, BYTES(1, 0, 0, 0, c->status & 0xff, c->status >> 8, 0x0b, 0x01));
	KUNIT_EXPECT_EQ(test, tvq_cmd_nop(bed->q), c->err);
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_status(bed->q, ID, &result), c->err);
	KUNIT_EXPECT_EQ(test, result, 0xaa);
	KUNIT_EXPECT_EQ(test, tvq_cmd_create(bed->q, &create, &info, &error), c->err);
	KUNIT_EXPECT_EQ(test, error.status, c->status);
	KUNIT_EXPECT_EQ(test, error.qualifier, 0x010b);
	KUNIT_EXPECT_NULL(test, info.config);
}

struct ack_case {
	const char *name;
	u8 ack[4];
	u32 used;
	int err;
	u16 status;
};

/* The bytes behind the ack are always there; used says whether they count. */
static const struct ack_case ack_cases[] = {
	{ "OK", { 0, 0, 0, 0 }, 8, 0, 0xaaaa },
	{ "OK, nothing behind it", { 0, 0, 0, 0 }, 4, 0, 0xaaaa },
	{ "OK cut", { 0, 0, 0, 0 }, 3, -EPROTO, 0xaaaa },
	{ "OK, nothing written", { 0, 0, 0, 0 }, 0, -EPROTO, 0xaaaa },
	{ "OK, more than there is room", { 0, 0, 0, 0 }, 0x10000, -EPROTO, 0xaaaa },
	{ "ERR", { 1, 0, 0, 0 }, 8, -EINVAL, 22 },
	{ "ERR without a reason", { 1, 0, 0, 0 }, 4, -EREMOTEIO, 0 },
	{ "ERR with half a reason", { 1, 0, 0, 0 }, 6, -EREMOTEIO, 0 },
	{ "ERR with most of a reason", { 1, 0, 0, 0 }, 7, -EREMOTEIO, 0 },
	{ "ERR cut", { 1, 0, 0, 0 }, 3, -EPROTO, 0xaaaa },
	{ "2", { 2, 0, 0, 0 }, 8, -EINVAL, 22 },
	{ "2 without a reason", { 2, 0, 0, 0 }, 4, -EREMOTEIO, 0 },
	{ "256", { 0, 1, 0, 0 }, 8, -EINVAL, 22 },
	{ "highest bit", { 0, 0, 0, 0x80 }, 8, -EINVAL, 22 },
	{ "highest", { 0xff, 0xff, 0xff, 0xff }, 8, -EINVAL, 22 },
};

KUNIT_ARRAY_PARAM_DESC(ack, ack_cases, name);

static void ack(struct kunit *test)
{
	const struct ack_case *c = test->param_value;
	struct tvq_cmd_error error = { .status = 0xaaaa, .qualifier = 0xaaaa };
	struct tvq_create create = { .type = 1 };
	struct bed *bed = start(test, LONG_MS);
	struct tvq_info info = { };

	reply_with(bed, BYTES(c->ack[0], c->ack[1], c->ack[2], c->ack[3], 22, 0, 8, 0));
	bed->used = c->used;
	KUNIT_EXPECT_EQ(test, tvq_cmd_nop(bed->q), c->err);

	/* An OK without what CREATE answers is a lie. */
	KUNIT_EXPECT_EQ(test, tvq_cmd_create(bed->q, &create, &info, &error),
			c->err ?: -EPROTO);
	KUNIT_EXPECT_EQ(test, error.status, c->status);
}

/* A buffer that is given back as it was is no OK, whatever length it is said to have. */
static void unwritten(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);
	struct tvq_info info = { };
	unsigned int used;

	bed->link->silent = true;
	for (used = 4; used <= 8; used += 4) {
		bed->used = used;
		KUNIT_EXPECT_EQ(test, tvq_cmd_reset(bed->q, ID), -EREMOTEIO);
		KUNIT_EXPECT_EQ(test, tvq_cmd_destroy(bed->q, ID), -EREMOTEIO);
		KUNIT_EXPECT_EQ(test, tvq_cmd_describe(bed->q, ID, &info), -EREMOTEIO);
	}
}

static void unanswered(struct kunit *test)
{
	struct bed *bed = start(test, SHORT_MS);
	unsigned int ms;
	u8 result;

	bed->mute = true;
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_status(bed->q, ID, &result), -ETIMEDOUT);
	/* The no-op that follows is not answered either. */
	for (ms = 0; ms < WAIT_MS && !tvq_cmdq_is_broken(bed->q); ms += SHORT_MS)
		msleep(SHORT_MS);
	KUNIT_EXPECT_EQ(test, tvq_cmd_get_status(bed->q, ID, &result), -EIO);
	KUNIT_EXPECT_MEMEQ(test, bed->out, (BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).p, 12);
}

static void broken(struct kunit *test)
{
	struct bed *bed = start(test, LONG_MS);

	KUNIT_EXPECT_FALSE(test, tvq_cmdq_is_broken(bed->q));
	tvq_cmdq_break(bed->q);
	KUNIT_EXPECT_TRUE(test, tvq_cmdq_is_broken(bed->q));
	KUNIT_EXPECT_EQ(test, tvq_cmd_nop(bed->q), -EIO);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

/* Names */

struct name_case {
	const char *name;
	bool valid;
};

static const struct name_case name_cases[] = {
	{ "a", true },
	{ "0", true },
	{ "-", true },
	{ "_", true },
	{ "a.", true },
	{ "a.b-c_d", true },
	{ "AZaz09", true },
	{ "abcdefghijklmnopqrstuvwxyz01234", true },
	{ "abcdefghijklmnopqrstuvwxyz012345", false },
	{ "", false },
	{ ".", false },
	{ "..", false },
	{ ".a", false },
	{ "a/b", false },
	{ "a b", false },
	{ "a,b", false },
	{ "a\n", false },
	{ "a\x7f", false },
	{ "\xe4", false },
	{ "a@", false },
	{ "a:b", false },
};

KUNIT_ARRAY_PARAM_DESC(name_valid, name_cases, name);

static void name_valid(struct kunit *test)
{
	const struct name_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, tvq_name_valid(c->name), c->valid);
}

/* A deadline that was chosen is that of all commands. */
static void deadlines(struct kunit *test)
{
	struct bed *bed = start(test, 0), *chosen = start(test, 123456);
	u16 class;

	KUNIT_EXPECT_EQ(test, tvq_cmdq_timeout_ms(bed->q, VIRTIO_TVQ_CLASS_MGMT), 30000);
	for (class = VIRTIO_TVQ_CLASS_DEVICE; class <= VIRTIO_TVQ_CLASS_MSI; class++)
		KUNIT_EXPECT_EQ(test, tvq_cmdq_timeout_ms(bed->q, class), 10000);
	for (class = VIRTIO_TVQ_CLASS_MGMT; class <= VIRTIO_TVQ_CLASS_MSI; class++)
		KUNIT_EXPECT_EQ(test, tvq_cmdq_timeout_ms(chosen->q, class), 123456);
}

static struct kunit_case cmd_cases[] = {
	KUNIT_CASE(no_op),
	KUNIT_CASE(deadlines),
	KUNIT_CASE(limits),
	KUNIT_CASE(limits_again),
	KUNIT_CASE_PARAM(limits_patched, limits_patched_gen_params),
	KUNIT_CASE(list),
	KUNIT_CASE_PARAM(list_patched, list_patched_gen_params),
	KUNIT_CASE(list_room),
	KUNIT_CASE(create),
	KUNIT_CASE(create_bounds),
	KUNIT_CASE(describe),
	KUNIT_CASE_PARAM(info_patched, info_patched_gen_params),
	KUNIT_CASE(info_bounds),
	KUNIT_CASE(info_name_end),
	KUNIT_CASE(info_without_limits),
	KUNIT_CASE(destroy),
	KUNIT_CASE(negotiate),
	KUNIT_CASE(get_status),
	KUNIT_CASE(reset),
	KUNIT_CASE(get_config),
	KUNIT_CASE(set_config),
	KUNIT_CASE_PARAM(config_patched, config_patched_gen_params),
	KUNIT_CASE(get_shm),
	KUNIT_CASE_PARAM(shm_patched, shm_patched_gen_params),
	KUNIT_CASE(setup),
	KUNIT_CASE(setup_too_long),
	KUNIT_CASE(reset_vq),
	KUNIT_CASE(msi_get),
	KUNIT_CASE(post_status),
	KUNIT_CASE(post_notify),
	KUNIT_CASE(post_msi),
	KUNIT_CASE(post_refused),
	KUNIT_CASE_PARAM(status, status_gen_params),
	KUNIT_CASE_PARAM(ack, ack_gen_params),
	KUNIT_CASE(unwritten),
	KUNIT_CASE(unanswered),
	KUNIT_CASE(broken),
	KUNIT_CASE_PARAM(name_valid, name_valid_gen_params),
	{}
};

static struct kunit_suite cmd_suite = {
	.name = "tvq_cmd",
	.test_cases = cmd_cases,
};

kunit_test_suite(cmd_suite);
