// SPDX-License-Identifier: GPL-2.0
/*
 * A device that lies: whatever it may write is random, or nearly right, by a seed.
 * The layers above the link are the real ones. What they return is checked against
 * what their headers promise; what they do to memory is KASAN's to find.
 *
 * The seed is printed. With one thread at work, as for the commands, the same seed does
 * the same thing again; the managed devices have work items and interrupts of their
 * own, whose order is not the seed's.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_tvq.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/admin.h"
#include "../../drivers/virtio_tvq/bus.h"
#include "../../drivers/virtio_tvq/cmd.h"
#include "../../drivers/virtio_tvq/irq.h"
#include "../../drivers/virtio_tvq/mgmt.h"

static ulong hostile_seed;
module_param(hostile_seed, ulong, 0444);
MODULE_PARM_DESC(hostile_seed, "Seed of the device that lies; 0 for one of its own");

static uint hostile_replies = 34000;
module_param(hostile_replies, uint, 0444);
MODULE_PARM_DESC(hostile_replies,
		 "Replies to transport commands for each seed, and half as many to admin commands");

#define DEADLINE_MS	20
#define SLOTS		64
#define TAGS		8	/* that are remembered, to be given back again */
#define TYPE		98	/* of no driver but the one here */
#define CONFIG_LEN	16
#define VQS		3
#define VECTORS		4
#define DOORBELLS	8
#define BUFFERS		4	/* that the driver puts into each of its rings */
#define BUFFER		64
#define FEATURES	(BIT_ULL(VIRTIO_F_VERSION_1) |		\
			 BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |	\
			 BIT_ULL(VIRTIO_F_RING_RESET))

/* What a reply is. */
enum kind {
	HONEST,
	ONE_FIELD,
	FIELDS,
	NOISE,
	SHORT,
	LONG,
	STRAY,
	TWICE,
	LATE,
	FLOOD,
	KINDS
};

static const char * const kind_name[KINDS] = {
	"honest", "one field", "several fields", "noise", "too short", "too long",
	"with a stray", "twice", "late", "in a flood of strays",
};

/* In 8192 replies. What is late costs the time until the deadline. */
static const unsigned int kind_share[KINDS] = {
	2600, 3000, 800, 800, 400, 200, 200, 180, 8, 4,
};

/**
 * struct liar - one queue of the device
 * @link: the link
 * @state: of its random numbers
 * @honest: it tells the truth while this is set
 * @silent: it does not answer DESCRIBE
 * @silences: how often it did not
 * @plausible: writes a good reply, and returns its length, at most in_len; or 0, and
 *	there is no reply
 * @interrupt: what follows a reply
 * @irq: calls that, from an interrupt
 * @tags: of the last commands
 * @num_tags: how many there were
 * @held: a command that is not answered yet
 * @count: how many replies of each kind there were
 * @replies: how many in all
 * @first: the lowest id that is listed
 * @last: the highest, that of the device that was created last
 * @priv: for @interrupt
 */
struct liar {
	struct fake_link *link;
	u64 state;
	bool honest;
	bool silent;
	unsigned int silences;
	u32 (*plausible)(struct liar *liar, const struct fake_cmd *cmd);
	void (*interrupt)(struct liar *liar);
	struct irq_work irq;
	void *tags[TAGS];
	unsigned int num_tags;
	struct fake_cmd held;
	unsigned int count[KINDS];
	unsigned int replies;
	u64 first;
	u64 last;
	void *priv;
};

/* splitmix64 */
static u64 next(u64 *state)
{
	u64 z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static u32 below(u64 *state, u32 end)
{
	return (next(state) >> 32) * end >> 32;
}

/* A number that somebody may have forgotten. */
static u64 odd_number(u64 *state, u64 now)
{
	switch (below(state, 8)) {
	case 0:
		return 0;
	case 1:
		return now + 1;
	case 2:
		return now - 1;
	case 3:
		return ~0ull >> below(state, 64);
	case 4:
		return BIT_ULL(below(state, 64));
	case 5:
		return now ^ BIT_ULL(below(state, 64));
	case 6:
		return below(state, 256);
	default:
		return next(state);
	}
}

static void mutate(u64 *state, u8 *in, u32 len)
{
	u32 width = 1u << below(state, 4), at;
	u8 value[8] = { };

	if (width > len)
		width = 1;
	/* What is at the beginning is looked at by more of the code. */
	at = below(state, below(state, 2) ? len : min(len, 128u));
	at = min(at, len - width);
	/* Fields are where they are aligned, but those behind the ack of 4 bytes. */
	if (below(state, 4))
		at -= at % width;
	memcpy(value, in + at, width);
	put_unaligned_le64(odd_number(state, get_unaligned_le64(value)), value);
	memcpy(in + at, value, width);
}

static enum kind choose(struct liar *liar)
{
	u32 n = below(&liar->state, 8192);
	enum kind kind;

	if (liar->honest)
		return HONEST;
	for (kind = 0; kind < KINDS - 1 && n >= kind_share[kind]; kind++)
		n -= kind_share[kind];
	return kind;
}

static void fill(u64 *state, u8 *in, u32 len)
{
	while (len--)
		*in++ = next(state);
}

static int liar_answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	struct liar *liar = link->priv;
	enum kind kind = choose(liar);
	u64 *state = &liar->state;
	u32 used, i;

	memset(cmd->in, 0, cmd->in_len);
	used = liar->plausible(liar, cmd);
	if (!used)
		return -1;
	liar->replies++;
	switch (kind) {
	case ONE_FIELD:
		mutate(state, cmd->in, used);
		break;
	case FIELDS:
		for (i = 2 + below(state, 8); i; i--)
			mutate(state, cmd->in, used);
		break;
	case NOISE:
		/* Half of it in what would be taken for a success. */
		i = below(state, 2) ? 0 : min_t(u32, 4, cmd->in_len);
		fill(state, cmd->in + i, cmd->in_len - i);
		used = cmd->in_len;
		break;
	case SHORT:
		used = below(state, used + 1);
		break;
	case LONG:
		used = cmd->in_len + 1 + below(state, below(state, 2) ? 8 : U32_MAX / 2);
		break;
	case STRAY:
		fake_link_push(link, liar->num_tags && below(state, 2) ?
			       liar->tags[below(state, min(liar->num_tags, TAGS))] :
			       (void *)(unsigned long)(next(state) | 1), used, false);
		break;
	case LATE:
		if (liar->held.tag)
			break;
		liar->held = *cmd;
		liar->count[kind]++;
		return -1;
	case FLOOD:
		for (i = 0; i < 128; i++)
			fake_link_push(link, (void *)0x10001ul, 0, false);
		break;
	default:
		break;
	}
	liar->count[kind]++;
	liar->tags[liar->num_tags++ % TAGS] = cmd->tag;
	fake_link_push(link, cmd->tag, used, true);
	if (kind == TWICE)
		fake_link_push(link, cmd->tag, used, false);
	/* Now and then, what is late comes, and it is still the device's to write to. */
	if (liar->held.tag && !below(state, 16)) {
		fill(state, liar->held.in, liar->held.in_len);
		fake_link_push(link, liar->held.tag, liar->held.in_len, true);
		liar->held.tag = NULL;
	}
	if (!link->shut)
		irq_work_queue(&liar->irq);
	return -1;
}

static void liar_irq(struct irq_work *work)
{
	struct liar *liar = container_of(work, struct liar, irq);

	liar->interrupt(liar);
}

static struct liar *liar_create(struct kunit *test, u64 seed, void *priv)
{
	struct liar *liar = kunit_kzalloc(test, sizeof(*liar), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, liar);
	liar->state = seed;
	liar->first = 3;
	liar->last = 7;
	liar->priv = priv;
	init_irq_work(&liar->irq, liar_irq);
	liar->link = fake_link_create(test, SLOTS);
	liar->link->answer = liar_answer;
	liar->link->priv = liar;
	return liar;
}

/* As the function behind its reset: what it had, it has forgotten. Commands are halted. */
static void liar_reset(struct liar *liar)
{
	struct fake_link *link = liar->link;

	irq_work_sync(&liar->irq);
	guard(spinlock_irqsave)(&link->lock);
	liar->held.tag = NULL;
	link->stops = 0;
	link->room = SLOTS;
	link->used_head = link->used_tail;
}

static void liar_shut(struct liar *liar)
{
	fake_link_shut(liar->link);
	irq_work_sync(&liar->irq);
}

static void liar_tell(struct kunit *test, const char *who, struct liar *liar)
{
	enum kind kind;

	kunit_info(test, "%s: %u replies", who, liar->replies);
	for (kind = 0; kind < KINDS; kind++)
		kunit_info(test, "%8u %s", liar->count[kind], kind_name[kind]);
}

/* One of the driver's own, so that what it does not choose depends on nothing else. */
static u64 seed_of(struct kunit *test, u64 fixed)
{
	u64 seed = fixed ?: hostile_seed ?: get_random_u64();

	kunit_info(test, "hostile_seed=%llu", seed);
	return seed;
}

static const u64 seeds[] = { 0, 1 };

static void seed_desc(const u64 *seed, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, *seed ? "seed %llu" : "a seed of its own", *seed);
}

KUNIT_ARRAY_PARAM(seed, seeds, seed_desc);

/*
 * Transport commands
 */

static u32 put_limits(u8 *in)
{
	struct virtio_tvq_limits *limits = (void *)in;

	limits->devices_max = cpu_to_le32(8);
	limits->vqs_max = cpu_to_le32(64);
	limits->vectors_max = cpu_to_le32(64);
	limits->device_vqs_max = cpu_to_le16(VQS);
	limits->device_vectors_max = cpu_to_le16(VECTORS);
	limits->config_max = cpu_to_le16(CONFIG_LEN);
	limits->command_out_max = cpu_to_le32(4096);
	limits->command_in_max = cpu_to_le32(4096);
	limits->types[TYPE / 64] = cpu_to_le64(BIT_ULL(TYPE % 64));
	return sizeof(*limits);
}

static u32 put_list(u8 *in, u32 room, u64 after, u64 from, u64 to)
{
	struct virtio_tvq_list *list = (void *)in;
	struct virtio_tvq_list_entry *entry = (void *)(list + 1);
	u32 count = 0;
	u64 id;

	for (id = max(from, after + 1); id <= to; id++) {
		if (sizeof(*list) + (count + 1) * sizeof(*entry) > room)
			break;
		entry[count].device_id = cpu_to_le64(id);
		entry[count++].type = cpu_to_le32(TYPE);
	}
	list->total = cpu_to_le32(to - from + 1);
	list->count = cpu_to_le32(count);
	return sizeof(*list) + count * sizeof(*entry);
}

static u32 put_info(u8 *in, u64 id, const u8 *name)
{
	struct virtio_tvq_device_info *info = (void *)in;
	u8 *p = in + sizeof(*info);
	unsigned int i;

	info->device_id = cpu_to_le64(id);
	info->type = cpu_to_le32(TYPE);
	info->features[0] = cpu_to_le64(FEATURES);
	memcpy(info->name, name, VIRTIO_TVQ_NAME_LEN);
	info->num_vqs = cpu_to_le16(VQS);
	info->num_vectors = cpu_to_le16(VECTORS);
	info->flags = VIRTIO_TVQ_DEVICE_F_DOORBELL;
	info->doorbell_offset = cpu_to_le64(id % DOORBELLS * VIRTIO_TVQ_DOORBELL_SIZE);
	info->config_generation = cpu_to_le32(1);
	info->config_len = cpu_to_le32(CONFIG_LEN);
	p += CONFIG_LEN;
	for (i = 0; i < VQS; i++, p += sizeof(__le16))
		put_unaligned_le16(16, p);
	return p - in;
}

static const u8 no_name[VIRTIO_TVQ_NAME_LEN];

static u32 put_config(struct liar *liar, u8 *in)
{
	struct virtio_tvq_config *config = (void *)in;

	config->generation = cpu_to_le32(liar->replies);
	config->length = cpu_to_le32(CONFIG_LEN);
	config->status = liar->honest ? 0 : 15;
	return sizeof(*config) + CONFIG_LEN;
}

/*
 * As if it had any device that it is asked for. What it creates has the highest id; when
 * it lists too many, the oldest is gone.
 */
static u32 plausible(struct liar *liar, const struct fake_cmd *cmd)
{
	const struct virtio_tvq_hdr *hdr = cmd->out;
	u64 id = le64_to_cpu(hdr->device_id);
	const u8 *out = cmd->out + sizeof(*hdr);
	u32 room = cmd->in_len - sizeof(__le32), len = 0;
	u8 *in = cmd->in + sizeof(__le32);

	switch (le16_to_cpu(hdr->class) << 8 | le16_to_cpu(hdr->command)) {
	case VIRTIO_TVQ_CLASS_MGMT << 8 | VIRTIO_TVQ_MGMT_LIMITS:
		len = put_limits(in);
		break;
	case VIRTIO_TVQ_CLASS_MGMT << 8 | VIRTIO_TVQ_MGMT_LIST:
		len = put_list(in, room, get_unaligned_le64(out), liar->first,
			       liar->last);
		break;
	case VIRTIO_TVQ_CLASS_MGMT << 8 | VIRTIO_TVQ_MGMT_CREATE:
		if (room >= sizeof(struct virtio_tvq_device_info) + CONFIG_LEN + 2 * VQS)
			len = put_info(in, ++liar->last,
				       out + offsetof(struct virtio_tvq_create, name));
		if (liar->last - liar->first >= DOORBELLS - 1)
			liar->first++;
		break;
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_DESCRIBE:
		if (liar->silent) {
			liar->silences++;
			return 0;
		}
		if (room >= sizeof(struct virtio_tvq_device_info) + CONFIG_LEN + 2 * VQS)
			len = put_info(in, id, no_name);
		break;
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_NEGOTIATE:
		in[0] = out[16];
		len = sizeof(struct virtio_tvq_status);
		break;
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_SET_STATUS:
		in[0] = out[0];
		len = sizeof(struct virtio_tvq_status);
		break;
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_GET_STATUS:
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_RESET:
		len = sizeof(struct virtio_tvq_status);
		break;
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_GET_CONFIG:
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_SET_CONFIG:
		if (room >= sizeof(struct virtio_tvq_config) + CONFIG_LEN)
			len = put_config(liar, in);
		break;
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_GET_SHM:
		in[0] = 4;
		put_unaligned_le64(2 * VIRTIO_TVQ_SHM_ALIGN, in + 8);
		put_unaligned_le64(VIRTIO_TVQ_SHM_ALIGN, in + 16);
		len = sizeof(struct virtio_tvq_shm);
		break;
	case VIRTIO_TVQ_CLASS_MSI << 8 | VIRTIO_TVQ_MSI_GET:
		len = get_unaligned_le16(out + 2) * sizeof(struct virtio_tvq_msi_entry);
		break;
	}
	return sizeof(__le32) + len;
}

/**
 * struct cmd_bed - transport commands, and a driver that sends any of them
 * @liar: the device
 * @q: the commands
 * @state: of the driver's random numbers
 * @posted: commands that were posted
 * @ended: of these, those that have ended
 * @good: commands with a result of 0 or more
 * @bad: the others
 */
struct cmd_bed {
	struct liar *liar;
	struct tvq_cmdq *q;
	u64 state;
	unsigned int posted;
	atomic_t ended;
	unsigned int good;
	unsigned int bad;
};

static void cmd_interrupt(struct liar *liar)
{
	struct cmd_bed *bed = liar->priv;

	tvq_cmdq_interrupt(bed->q);
}

static void cmd_posted(void *ctx, int err)
{
	struct cmd_bed *bed = ctx;

	atomic_inc(&bed->ended);
}

/* The errors of cmd.h and admin.h. */
static bool error_is_known(int err)
{
	switch (err) {
	case -ENXIO:
	case -EAGAIN:
	case -ENOMEM:
	case -EBUSY:
	case -EEXIST:
	case -EINVAL:
	case -ENOSPC:
	case -EREMOTEIO:
	case -EPROTO:
	case -ETIMEDOUT:
	case -EIO:
	case -EMSGSIZE:
	case -EOPNOTSUPP:
		return true;
	default:
		return err >= 0;
	}
}

static void check_info(struct kunit *test, const struct tvq_info *info)
{
	unsigned int i;

	KUNIT_EXPECT_NE(test, info->id, 0);
	KUNIT_EXPECT_LT(test, strnlen(info->name, sizeof(info->name)), sizeof(info->name));
	KUNIT_EXPECT_TRUE(test, !info->name[0] || tvq_name_valid(info->name));
	KUNIT_EXPECT_NE(test, info->num_vqs, 0);
	KUNIT_EXPECT_LE(test, info->num_vqs, VIRTIO_TVQ_DEVICE_VQS_MAX);
	KUNIT_EXPECT_LE(test, info->num_vectors, 2048);
	KUNIT_EXPECT_LE(test, info->config_len, VIRTIO_TVQ_CONFIG_MAX);
	for (i = 0; i < info->num_vqs; i++)
		KUNIT_EXPECT_TRUE(test, info->vq_size[i] && info->vq_size[i] <= 32768);
	/* All of it can be read. */
	KUNIT_EXPECT_FALSE(test, memchr_inv(info->config, 0, info->config_len) &&
			   !info->config_len);
	kfree(info->config);
	kfree(info->vq_size);
}

static int do_create(struct kunit *test, struct cmd_bed *bed)
{
	struct tvq_create create = { .type = TYPE, .num_config = below(&bed->state, 3) };
	struct tvq_cmd_error error;
	struct tvq_info info;
	int err;

	err = tvq_cmd_create(bed->q, &create, &info, &error);
	if (!err)
		check_info(test, &info);
	return err;
}

static int do_describe(struct kunit *test, struct cmd_bed *bed, u64 id)
{
	struct tvq_info info;
	int err;

	err = tvq_cmd_describe(bed->q, id, &info);
	if (!err) {
		KUNIT_EXPECT_EQ(test, info.id, id);
		check_info(test, &info);
	}
	return err;
}

static int do_limits(struct kunit *test, struct cmd_bed *bed)
{
	struct tvq_limits l;
	int err;

	err = tvq_cmd_limits(bed->q, &l);
	if (err)
		return err;
	KUNIT_EXPECT_LE(test, l.devices_used, l.devices_max);
	KUNIT_EXPECT_LE(test, l.devices_max, 65536);
	KUNIT_EXPECT_LE(test, l.config_max, VIRTIO_TVQ_CONFIG_MAX);
	KUNIT_EXPECT_LE(test, l.device_vqs_max, VIRTIO_TVQ_DEVICE_VQS_MAX);
	KUNIT_EXPECT_LE(test, l.vqs_free, l.vqs_max);
	KUNIT_EXPECT_LE(test, l.vectors_free, l.vectors_max);
	return 0;
}

static int do_list(struct kunit *test, struct cmd_bed *bed)
{
	u64 after = below(&bed->state, 8);
	unsigned int max = 1 + below(&bed->state, 32);
	struct tvq_list_entry *entries;
	u32 total;
	int n, i;

	entries = kcalloc(max, sizeof(*entries), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, entries);
	n = tvq_cmd_list(bed->q, after, entries, max, &total);
	KUNIT_EXPECT_LE(test, n, (int)max);
	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_GT(test, entries[i].id, after);
		after = entries[i].id;
	}
	kfree(entries);
	return n;
}

static int do_config(struct kunit *test, struct cmd_bed *bed, u64 id, bool write)
{
	struct tvq_config *config = kmalloc_obj(*config);
	int err;

	KUNIT_ASSERT_NOT_NULL(test, config);
	if (write)
		err = tvq_cmd_set_config(bed->q, id, 4, "abcd", 4, config);
	else
		err = tvq_cmd_get_config(bed->q, id, config);
	if (!err)
		KUNIT_EXPECT_LE(test, config->length, VIRTIO_TVQ_CONFIG_MAX);
	kfree(config);
	return err;
}

static int do_shm(struct kunit *test, struct cmd_bed *bed, u64 id)
{
	struct tvq_shm shm;
	int err;

	err = tvq_cmd_get_shm(bed->q, id, 0, &shm);
	if (err)
		return err;
	KUNIT_EXPECT_LT(test, shm.bar, PCI_STD_NUM_BARS);
	KUNIT_EXPECT_GT(test, shm.length, 0);
	KUNIT_EXPECT_GT(test, shm.offset + shm.length, shm.offset);
	return 0;
}

static int do_setup(struct cmd_bed *bed, u64 id)
{
	struct tvq_vq_setup vqs[VQS] = { };
	struct tvq_msi msis[VECTORS] = { };

	return tvq_cmd_setup(bed->q, id, vqs, VQS, msis, VECTORS, 0);
}

static int do_msi_get(struct kunit *test, struct cmd_bed *bed, u64 id)
{
	u16 count = 1 + below(&bed->state, VECTORS);
	struct tvq_msi *msis = kcalloc(count, sizeof(*msis), GFP_KERNEL);
	int err;

	KUNIT_ASSERT_NOT_NULL(test, msis);
	err = tvq_cmd_msi_get(bed->q, id, 0, count, msis);
	kfree(msis);
	return err;
}

static int do_post(struct cmd_bed *bed, u64 id)
{
	struct tvq_msi msi = { };
	int err;

	switch (below(&bed->state, 3)) {
	case 0:
		err = tvq_cmd_post_status(bed->q, id, 15, GFP_KERNEL, cmd_posted, bed);
		break;
	case 1:
		err = tvq_cmd_post_notify(bed->q, id, 1, GFP_KERNEL, cmd_posted, bed);
		break;
	default:
		err = tvq_cmd_post_msi(bed->q, id, 0, 1, &msi, GFP_KERNEL, cmd_posted, bed);
		break;
	}
	if (!err)
		bed->posted++;
	return err;
}

static int do_command(struct kunit *test, struct cmd_bed *bed)
{
	u64 id = 1 + below(&bed->state, 8);
	u8 status;

	switch (below(&bed->state, 16)) {
	case 0:
		return tvq_cmd_nop(bed->q);
	case 1:
		return do_limits(test, bed);
	case 2:
	case 3:
		return do_list(test, bed);
	case 4:
		return do_create(test, bed);
	case 5:
		return tvq_cmd_destroy(bed->q, id);
	case 6:
		return do_describe(test, bed, id);
	case 7:
		return tvq_cmd_negotiate(bed->q, id, (u64 []){ FEATURES, 0 }, 11, &status);
	case 8:
		return tvq_cmd_get_status(bed->q, id, &status);
	case 9:
		return tvq_cmd_reset(bed->q, id);
	case 10:
		return do_config(test, bed, id, false);
	case 11:
		return do_config(test, bed, id, true);
	case 12:
		return do_shm(test, bed, id);
	case 13:
		return do_setup(bed, id);
	case 14:
		return below(&bed->state, 2) ? tvq_cmd_reset_vq(bed->q, id, 0) :
					       do_msi_get(test, bed, id);
	default:
		return do_post(bed, id);
	}
}

/* Behind a reset, its limits are read; what it says then is what counts. */
static void cmd_reset(struct kunit *test, struct cmd_bed *bed)
{
	unsigned int i;

	tvq_cmdq_halt(bed->q);
	liar_reset(bed->liar);
	tvq_cmdq_revive(bed->q);
	for (i = 0; i < 4; i++)
		if (!do_limits(test, bed))
			return;
}

static void commands(struct kunit *test)
{
	u64 seed = seed_of(test, *(const u64 *)test->param_value);
	struct cmd_bed *bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	unsigned int resets = 0, n, before;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, bed);
	bed->state = ~seed;
	bed->liar = liar_create(test, seed, bed);
	bed->liar->plausible = plausible;
	bed->liar->interrupt = cmd_interrupt;
	bed->q = tvq_cmdq_create(&fake_link_ops, bed->liar->link, SLOTS, DEADLINE_MS,
				 bed->liar->link->dev, NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->q);

	cmd_reset(test, bed);
	while (bed->liar->replies < hostile_replies) {
		err = do_command(test, bed);
		KUNIT_EXPECT_TRUE_MSG(test, error_is_known(err), "error %d", err);
		if (err >= 0)
			bed->good++;
		else
			bed->bad++;
		if (tvq_cmdq_is_broken(bed->q) || !below(&bed->state, 4096)) {
			resets++;
			cmd_reset(test, bed);
		}
	}

	/* When it ends, everything works, whatever was said before. */
	bed->liar->honest = true;
	cmd_reset(test, bed);
	before = bed->bad;
	for (n = 0; n < 256; n++) {
		err = do_command(test, bed);
		KUNIT_EXPECT_GE(test, err, 0);
	}
	tvq_cmdq_halt(bed->q);
	KUNIT_EXPECT_EQ(test, (unsigned int)atomic_read(&bed->ended), bed->posted);
	kunit_info(test, "%u good, %u bad, %u resets", bed->good, before, resets);
	liar_tell(test, "transport virtqueue", bed->liar);
	KUNIT_EXPECT_GT(test, bed->good, hostile_replies / 8);
	KUNIT_EXPECT_GT(test, bed->bad, hostile_replies / 8);
	liar_shut(bed->liar);
	tvq_cmdq_destroy(bed->q);
}

/*
 * Admin commands
 */

#define SELF		VIRTIO_ADMIN_GROUP_TYPE_SELF
#define MANAGED		VIRTIO_TVQ_ADMIN_GROUP_MANAGED

static u8 *put_part(u8 *p, u16 type, u16 selector, u32 length)
{
	put_unaligned_le16(type, p);
	put_unaligned_le64(selector, p + offsetof(struct virtio_dev_part_hdr, selector));
	put_unaligned_le32(length, p + offsetof(struct virtio_dev_part_hdr, length));
	return p + sizeof(struct virtio_dev_part_hdr);
}

/* Parts of a device, or their headers alone; the one of configuration names its length. */
static u32 put_parts(u8 *in, bool values)
{
	u8 *p = in;

	p = put_part(p, VIRTIO_TVQ_DEV_PART_DEV_FEATURES, 0, 16) + values * 16;
	p = put_part(p, VIRTIO_TVQ_DEV_PART_DEVICE_STATUS, 0, 1) + values * 1;
	p = put_part(p, VIRTIO_TVQ_DEV_PART_VQ_CFG, 0, 32) + values * 32;
	p = put_part(p, VIRTIO_TVQ_DEV_PART_VQ_CFG, 1, 32) + values * 32;
	p = put_part(p, VIRTIO_TVQ_DEV_PART_CONFIG, 0, 8 + CONFIG_LEN);
	if (values) {
		put_unaligned_le32(CONFIG_LEN, p + 4);
		p += 8 + CONFIG_LEN;
	}
	return p - in;
}

/* Those that do_parts_get() selects. */
static u32 put_selected(u8 *in)
{
	u8 *p = in;

	p = put_part(p, VIRTIO_TVQ_DEV_PART_DEVICE_STATUS, 0, 1) + 1;
	p = put_part(p, VIRTIO_TVQ_DEV_PART_VQ_CFG, 1, 32) + 32;
	return p - in;
}

#define PARTS		5
#define PARTS_LEN	(PARTS * 20 + 16 + 1 + 32 + 32 + 8 + CONFIG_LEN)

static u32 plausible_admin(struct liar *liar, const struct fake_cmd *cmd)
{
	const u8 *out = cmd->out;
	u8 *in = cmd->in + sizeof(struct virtio_admin_cmd_status);
	u32 room = cmd->in_len - sizeof(struct virtio_admin_cmd_status), len = 0;

	switch (get_unaligned_le16(out)) {
	case VIRTIO_ADMIN_CMD_LIST_QUERY:
		memset(in, 0xff, room);
		len = room;
		break;
	case VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY:
		in[0] = 1;
		len = 8;
		break;
	case VIRTIO_ADMIN_CMD_DEVICE_CAP_GET:
		memset(in, 1, min(room, 2u));
		len = min(room, 8u);
		break;
	case VIRTIO_ADMIN_CMD_RESOURCE_OBJ_QUERY:
		len = min(room, 8u);
		break;
	case VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_GET:
		/* The type stands behind the header of the object. */
		if (out[32] == VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_LIST) {
			put_unaligned_le32(PARTS, in);
			len = room >= 8 + PARTS * 20 ? 8 + put_parts(in + 8, false) : 0;
		} else {
			put_unaligned_le32(out[32] ? PARTS : PARTS_LEN, in);
			len = 8;
		}
		break;
	case VIRTIO_ADMIN_CMD_DEV_PARTS_GET:
		if (room >= PARTS_LEN)
			len = out[32] == VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_ALL ?
			      put_parts(in, true) : put_selected(in);
		break;
	case VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET:
		put_unaligned_le16(2, in);
		len = 16;
		break;
	}
	return sizeof(struct virtio_admin_cmd_status) + len;
}

/**
 * struct admin_bed - admin commands, and a driver that sends any of them
 * @liar: the device
 * @admin: the commands
 * @state: of the driver's random numbers
 * @parts: the parts that it got last
 * @parts_len: their length
 */
struct admin_bed {
	struct liar *liar;
	struct tvq_admin *admin;
	u64 state;
	u8 *parts;
	u32 parts_len;
};

static void admin_interrupt(struct liar *liar)
{
	struct admin_bed *bed = liar->priv;

	tvq_admin_interrupt(bed->admin, 0);
}

static int do_parts_list(struct kunit *test, struct admin_bed *bed,
			 const struct tvq_member *member)
{
	struct tvq_part *parts;
	u32 count, max;
	int n, i;

	n = tvq_admin_parts_count(bed->admin, member, 0, &count);
	if (n)
		return n;
	max = min(count, 256u);
	parts = kcalloc(max + 1, sizeof(*parts), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, parts);
	n = tvq_admin_parts_list(bed->admin, member, 0, parts, max);
	KUNIT_EXPECT_LE(test, n, (int)max);
	for (i = 1; i < n; i++)
		KUNIT_EXPECT_TRUE(test, parts[i - 1].type < parts[i].type ||
				  (parts[i - 1].type == parts[i].type &&
				   parts[i - 1].selector < parts[i].selector));
	kfree(parts);
	return n;
}

/* What comes back is something that can be set again. */
static int do_parts_get(struct kunit *test, struct admin_bed *bed,
			const struct tvq_member *member)
{
	const struct tvq_part selected[] = {
		{ .type = VIRTIO_TVQ_DEV_PART_DEVICE_STATUS },
		{ .type = VIRTIO_TVQ_DEV_PART_VQ_CFG, .selector = 1 },
	};
	bool some = below(&bed->state, 2);
	void *parts;
	u32 size;
	int len;

	len = tvq_admin_parts_size(bed->admin, member, 0, &size);
	if (len)
		return len;
	KUNIT_EXPECT_LE(test, size, TVQ_ADMIN_PARTS_MAX);
	size = min(size, 4096u);
	parts = kmalloc(size + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, parts);
	len = tvq_admin_parts_get(bed->admin, member, 0, some ? selected : NULL,
				  some ? ARRAY_SIZE(selected) : 0, parts, size);
	if (len < 0) {
		kfree(parts);
		return len;
	}
	KUNIT_EXPECT_LE(test, (u32)len, size);
	KUNIT_EXPECT_EQ(test, tvq_admin_parts_check(parts, len), 0);
	kfree(bed->parts);
	bed->parts = parts;
	bed->parts_len = len;
	return len;
}

static int do_admin(struct kunit *test, struct admin_bed *bed)
{
	const struct tvq_member member = {
		.group = MANAGED,
		.id = 1 + below(&bed->state, 8),
	};
	union tvq_member_value value = { };
	DECLARE_BITMAP(caps, TVQ_ADMIN_CAPS);
	struct tvq_admin_list list;
	u8 data[8];

	switch (below(&bed->state, 16)) {
	case 0:
		return tvq_admin_use(bed->admin, below(&bed->state, 2) ? MANAGED : SELF);
	case 1:
		return tvq_admin_list_query(bed->admin, SELF, &list);
	case 2:
		return tvq_admin_cap_list(bed->admin, caps);
	case 3:
		return tvq_admin_device_cap(bed->admin, VIRTIO_DEV_PARTS_CAP, data, 2);
	case 4:
		return tvq_admin_driver_cap(bed->admin, VIRTIO_DEV_PARTS_CAP, "\1\1", 2);
	case 5:
		return tvq_admin_obj_create(bed->admin, &member, 0, 0, "\0\0\0\0\0\0\0", 8);
	case 6:
		return tvq_admin_obj_query(bed->admin, &member, 0, 0, data, sizeof(data));
	case 7:
		return tvq_admin_obj_destroy(bed->admin, &member, 0, 0);
	case 8:
	case 9:
		return do_parts_list(test, bed, &member);
	case 10:
	case 11:
		return do_parts_get(test, bed, &member);
	case 12:
		return tvq_admin_parts_set(bed->admin, &member, 1, bed->parts,
					   bed->parts_len);
	case 13:
		return tvq_admin_mode_set(bed->admin, &member, below(&bed->state, 2));
	case 14:
		return tvq_admin_member_set(bed->admin, &member, VIRTIO_TVQ_MEMBER_VQS,
					    &value);
	default:
		return tvq_admin_member_get(bed->admin, &member, below(&bed->state, 7),
					    &value);
	}
}

/* Behind a reset the device is asked what it has, until it says so. */
static void admin_reset(struct kunit *test, struct admin_bed *bed)
{
	unsigned int i;

	tvq_admin_halt(bed->admin);
	liar_reset(bed->liar);
	tvq_admin_revive(bed->admin);
	for (i = 0; i < 4; i++) {
		if (!tvq_admin_use(bed->admin, SELF) &&
		    !tvq_admin_use(bed->admin, MANAGED))
			return;
	}
}

static void admin_commands(struct kunit *test)
{
	u64 seed = seed_of(test, *(const u64 *)test->param_value);
	struct admin_bed *bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	struct tvq_queue queue = { .slots = SLOTS };
	struct tvq_admin_params params = {
		.ops = &fake_link_ops,
		.queues = &queue,
		.num_queues = 1,
		.timeout_ms = DEADLINE_MS,
	};
	unsigned int good = 0, bad = 0, resets = 0, n;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, bed);
	bed->state = ~seed;
	bed->liar = liar_create(test, seed, bed);
	bed->liar->plausible = plausible_admin;
	bed->liar->interrupt = admin_interrupt;
	queue.link = bed->liar->link;
	params.dev = bed->liar->link->dev;
	bed->admin = tvq_admin_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->admin);

	admin_reset(test, bed);
	while (bed->liar->replies < hostile_replies / 2) {
		err = do_admin(test, bed);
		KUNIT_EXPECT_TRUE_MSG(test, error_is_known(err), "error %d", err);
		if (err >= 0)
			good++;
		else
			bad++;
		/* Nobody else notices that the queue is broken, or has no commands. */
		if (err == -EIO || !below(&bed->state, 256)) {
			resets++;
			admin_reset(test, bed);
		}
	}

	bed->liar->honest = true;
	admin_reset(test, bed);
	for (n = 0; n < 256; n++) {
		err = do_admin(test, bed);
		KUNIT_EXPECT_GE(test, err, 0);
	}
	kunit_info(test, "%u good, %u bad, %u resets", good, bad, resets);
	liar_tell(test, "admin virtqueue", bed->liar);
	KUNIT_EXPECT_GT(test, good, hostile_replies / 16);
	KUNIT_EXPECT_GT(test, bad, hostile_replies / 16);
	tvq_admin_halt(bed->admin);
	liar_shut(bed->liar);
	tvq_admin_destroy(bed->admin);
	kfree(bed->parts);
}

/*
 * Managed devices, with a virtio driver
 */

/**
 * struct mgmt_bed - a management device, and what is done with it
 * @liar: its transport virtqueue
 * @admin_liar: its admin virtqueue
 * @mgmt: the management device
 * @parent: in place of the function
 * @doorbells: memory in place of its doorbell pages
 * @state: of the test's random numbers
 * @driver_state: of those of the virtio driver; its callbacks come one at a time, or
 *	nearly so, which makes no difference to what is random
 * @probes: calls of the driver's probe
 * @bound: of these, those that succeeded
 * @removes: calls of remove
 */
struct mgmt_bed {
	struct liar *liar;
	struct liar *admin_liar;
	struct tvq_mgmt *mgmt;
	struct device *parent;
	u8 *doorbells;
	u64 state;
	u64 driver_state;
	atomic_t probes;
	atomic_t bound;
	atomic_t removes;
};

/* The driver's callbacks have no other way to find it. */
static struct mgmt_bed *the_bed;

static void liar_callback(struct virtqueue *vq)
{
	unsigned int len;

	while (virtqueue_get_buf(vq, &len))
		;
}

/* The device's side of a ring: indices, ids and lengths as they come. */
static void scribble(struct virtqueue *vq, u64 *state)
{
	struct vring_used *used = phys_to_virt(virtqueue_get_used_addr(vq));
	unsigned int size = virtqueue_get_vring_size(vq), i;

	for (i = 0; i < size; i++) {
		used->ring[i].id = cpu_to_virtio32(vq->vdev, below(state, 8) ?
						   below(state, 4) : next(state));
		used->ring[i].len = cpu_to_virtio32(vq->vdev, odd_number(state, 64));
	}
	used->flags = cpu_to_virtio16(vq->vdev, next(state));
	/* As a device: the entries before the index */
	smp_wmb();
	used->idx = cpu_to_virtio16(vq->vdev, below(state, 2) ? below(state, 6) : next(state));
}

static int liar_probe(struct virtio_device *vdev)
{
	struct virtqueue_info info[VQS] = {
		{ "a", liar_callback }, { "b", liar_callback }, { "c", liar_callback },
	};
	struct tvq_device *tdev = to_tvq_device(vdev->dev.parent);
	u64 state = next(&the_bed->driver_state);
	union tvq_member_value value;
	struct virtqueue *vqs[VQS];
	struct scatterlist sg;
	void *parts;
	u8 byte[4], *buffer;
	int err, i, j;

	atomic_inc(&the_bed->probes);
	err = virtio_find_vqs(vdev, VQS, vqs, info, NULL);
	if (err)
		return err;
	buffer = kcalloc(VQS * BUFFERS, BUFFER, GFP_KERNEL);
	if (!buffer) {
		vdev->config->del_vqs(vdev);
		return -ENOMEM;
	}
	vdev->priv = buffer;
	virtio_device_ready(vdev);
	virtio_cread_bytes(vdev, below(&state, CONFIG_LEN), byte, sizeof(byte));
	if (below(&state, 2))
		vdev->config->set(vdev, 0, byte, sizeof(byte));
	for (i = 0; i < VQS; i++) {
		for (j = 0; j < BUFFERS; j++) {
			sg_init_one(&sg, buffer, BUFFER);
			virtqueue_add_inbuf(vqs[i], &sg, 1, buffer, GFP_KERNEL);
			buffer += BUFFER;
		}
		virtqueue_kick(vqs[i]);
		/* A packed ring, which it may have offered, is laid out otherwise. */
		if (!the_bed->liar->honest && !virtio_has_feature(vdev, VIRTIO_F_RING_PACKED))
			scribble(vqs[i], &state);
		local_irq_disable();
		vring_interrupt(0, vqs[i]);
		local_irq_enable();
	}
	tvq_config_interrupt(tdev);
	switch (below(&state, 4)) {
	case 0:
		tvq_member_get(tdev, VIRTIO_TVQ_MEMBER_FEATURES, &value);
		break;
	case 1:
		tvq_member_set_mode(tdev, true);
		break;
	case 2:
		if (tvq_member_get_parts(tdev, &parts) >= 0)
			kvfree(parts);
		break;
	}
	atomic_inc(&the_bed->bound);
	return 0;
}

static void liar_remove(struct virtio_device *vdev)
{
	atomic_inc(&the_bed->removes);
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	kfree(vdev->priv);
}

static void liar_changed(struct virtio_device *vdev)
{
}

static const struct virtio_device_id liar_ids[] = {
	{ TYPE, VIRTIO_DEV_ANY_ID },
	{}
};

static struct virtio_driver liar_driver = {
	.driver.name = "tvq_kunit_hostile",
	.id_table = liar_ids,
	.probe = liar_probe,
	.remove = liar_remove,
	.config_changed = liar_changed,
};

static void mgmt_interrupt(struct liar *liar)
{
	struct mgmt_bed *bed = liar->priv;

	tvq_mgmt_interrupt(bed->mgmt);
}

static void mgmt_admin_interrupt(struct liar *liar)
{
	struct mgmt_bed *bed = liar->priv;

	tvq_mgmt_admin_interrupt(bed->mgmt, 0);
}

static bool is_present(void *link)
{
	return true;
}

static bool needs_no_reset(void *link)
{
	return false;
}

static void cut_off(void *link)
{
}

static unsigned int no_vfs(void *link)
{
	return 0;
}

static const struct tvq_mgmt_ops mgmt_ops = {
	.present = is_present,
	.needs_reset = needs_no_reset,
	.cut_off = cut_off,
	.num_vfs = no_vfs,
};

/* Two devices never have the same doorbell, and none has one that is not ours. */
static void check_devices(struct kunit *test, struct mgmt_bed *bed)
{
	u8 *page[DOORBELLS] = { };
	struct tvq_device *tdev;
	unsigned long id, i;

	xa_lock(&bed->mgmt->devices);
	xa_for_each(&bed->mgmt->devices, id, tdev) {
		if (!tdev->doorbell || !test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags) ||
		    test_bit(TVQ_DEVICE_LEAVING, &tdev->flags))
			continue;
		i = (u8 __force *)tdev->doorbell - bed->doorbells;
		KUNIT_EXPECT_EQ(test, i % VIRTIO_TVQ_DOORBELL_SIZE, 0);
		i /= VIRTIO_TVQ_DOORBELL_SIZE;
		KUNIT_EXPECT_LT(test, i, DOORBELLS);
		if (i >= DOORBELLS)
			continue;
		KUNIT_EXPECT_PTR_EQ(test, page[i], NULL);
		page[i] = (u8 __force *)tdev->doorbell;
	}
	xa_unlock(&bed->mgmt->devices);
}

/* What the PCI function does in a reset. */
static void mgmt_reset(struct kunit *test, struct mgmt_bed *bed)
{
	int err;

	KUNIT_EXPECT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	tvq_mgmt_link_down(bed->mgmt);
	liar_reset(bed->liar);
	liar_reset(bed->admin_liar);
	err = tvq_mgmt_link_up(bed->mgmt);
	if (err)
		tvq_mgmt_link_down(bed->mgmt);
	tvq_mgmt_thaw(bed->mgmt, err);
}

static void mgmt_step(struct kunit *test, struct mgmt_bed *bed)
{
	struct tvq_create create = { .type = TYPE };
	struct tvq_limits limits;

	switch (below(&bed->state, 8)) {
	case 0:
	case 1:
		tvq_mgmt_create_device(bed->mgmt, &create);
		break;
	case 2:
	case 3:
		tvq_mgmt_destroy_device(bed->mgmt, bed->liar->first +
					below(&bed->state, DOORBELLS), NULL);
		break;
	case 4:
		tvq_mgmt_config_interrupt(bed->mgmt);
		tvq_mgmt_flush(bed->mgmt);
		break;
	case 5:
		tvq_mgmt_config_interrupt(bed->mgmt);
		break;
	case 6:
		tvq_mgmt_limits(bed->mgmt, &limits);
		break;
	default:
		if (!below(&bed->state, 4))
			mgmt_reset(test, bed);
		break;
	}
	check_devices(test, bed);
	if (READ_ONCE(bed->mgmt->failed) || tvq_cmdq_is_broken(bed->mgmt->cmdq))
		mgmt_reset(test, bed);
}

static struct irq_domain *some_domain(void)
{
	struct irq_domain *domain = NULL;
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		domain = dev_get_msi_domain(&pdev->dev);
		if (domain)
			break;
	}
	pci_dev_put(pdev);
	return domain;
}

/* A management device with a few managed ones, that does not lie yet. */
static struct mgmt_bed *mgmt_begin(struct kunit *test, u64 seed)
{
	struct mgmt_bed *bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	struct tvq_queue admin = { .slots = SLOTS };
	struct tvq_mgmt_params params = {
		.link_ops = &fake_link_ops,
		.queue.slots = SLOTS,
		.admin = &admin,
		.num_admin = 1,
		.ops = &mgmt_ops,
		.timeout_ms = DEADLINE_MS,
		.doorbells_len = DOORBELLS * VIRTIO_TVQ_DOORBELL_SIZE,
	};

	KUNIT_ASSERT_NOT_NULL(test, bed);
	the_bed = bed;
	bed->state = ~seed;
	bed->driver_state = seed ^ BIT_ULL(63);
	bed->doorbells = kunit_kzalloc(test, params.doorbells_len, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bed->doorbells);
	bed->liar = liar_create(test, seed, bed);
	bed->liar->plausible = plausible;
	bed->liar->interrupt = mgmt_interrupt;
	bed->admin_liar = liar_create(test, seed + 1, bed);
	bed->admin_liar->plausible = plausible_admin;
	bed->admin_liar->interrupt = mgmt_admin_interrupt;
	bed->parent = root_device_register("tvq_kunit_hostile");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->parent);
	KUNIT_ASSERT_EQ(test, dma_coerce_mask_and_coherent(bed->parent, DMA_BIT_MASK(64)), 0);
	dev_set_msi_domain(bed->parent, some_domain());
	KUNIT_ASSERT_EQ(test, register_virtio_driver(&liar_driver), 0);
	params.parent = bed->parent;
	params.doorbells = (void __iomem __force *)bed->doorbells;
	params.queue.link = bed->liar->link;
	admin.link = bed->admin_liar->link;
	bed->mgmt = tvq_mgmt_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->mgmt);

	bed->liar->honest = true;
	bed->admin_liar->honest = true;
	KUNIT_EXPECT_EQ(test, tvq_mgmt_start(bed->mgmt), 0);
	return bed;
}

static void mgmt_end(struct mgmt_bed *bed)
{
	tvq_mgmt_stop(bed->mgmt);
	liar_shut(bed->liar);
	liar_shut(bed->admin_liar);
	tvq_mgmt_destroy(bed->mgmt);
	unregister_virtio_driver(&liar_driver);
	root_device_unregister(bed->parent);
	the_bed = NULL;
}

static void settle(struct mgmt_bed *bed)
{
	tvq_mgmt_flush(bed->mgmt);
	flush_workqueue(bed->mgmt->leave_wq);
	tvq_mgmt_flush(bed->mgmt);
}

static void managed_devices(struct kunit *test)
{
	struct mgmt_bed *bed = mgmt_begin(test, seed_of(test, 0));
	struct tvq_create create = { .type = TYPE };
	int bound;

	bed->liar->honest = false;
	bed->admin_liar->honest = false;
	while (bed->liar->replies < hostile_replies / 16)
		mgmt_step(test, bed);

	/* When it ends, everything works, whatever was said before. */
	bed->liar->honest = true;
	bed->admin_liar->honest = true;
	bed->liar->first = bed->liar->last + 1;
	mgmt_reset(test, bed);
	settle(bed);
	KUNIT_EXPECT_TRUE(test, xa_empty(&bed->mgmt->devices));
	KUNIT_EXPECT_FALSE(test, bed->mgmt->failed);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->bound), atomic_read(&bed->removes));
	bound = atomic_read(&bed->bound);
	KUNIT_EXPECT_EQ(test, tvq_mgmt_create_device(bed->mgmt, &create), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->bound), bound + 1);
	KUNIT_EXPECT_EQ(test, tvq_mgmt_destroy_device(bed->mgmt, bed->liar->last, NULL), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->removes), bound + 1);

	kunit_info(test, "%d times bound, of %d", bound, atomic_read(&bed->probes) - 1);
	liar_tell(test, "transport virtqueue", bed->liar);
	liar_tell(test, "admin virtqueue", bed->admin_liar);
	KUNIT_EXPECT_GT(test, bound, 8);
	mgmt_end(bed);
}

/* It lists what it does not describe, and answers everything else. */
static void list_of_the_silent(struct kunit *test)
{
	struct mgmt_bed *bed = mgmt_begin(test, 1);

	bed->liar->first = 8;
	bed->liar->last = 100;
	bed->liar->silent = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	tvq_mgmt_flush(bed->mgmt);
	KUNIT_EXPECT_GT(test, bed->liar->silences, 0);
	KUNIT_EXPECT_LT(test, bed->liar->silences, 8);
	KUNIT_EXPECT_FALSE(test, bed->mgmt->failed);
	/* It is found when it is asked for the next time. */
	bed->liar->silent = false;
	bed->liar->last = 9;
	tvq_mgmt_config_interrupt(bed->mgmt);
	settle(bed);
	KUNIT_EXPECT_NOT_NULL(test, xa_load(&bed->mgmt->devices, 9));
	mgmt_end(bed);
}

static struct kunit_case hostile_cases[] = {
	KUNIT_CASE_PARAM_ATTR(commands, seed_gen_params, { .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE_PARAM_ATTR(admin_commands, seed_gen_params, { .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE(list_of_the_silent),
	KUNIT_CASE_SLOW(managed_devices),
	{}
};

static struct kunit_suite hostile_suite = {
	.name = "tvq_hostile",
	.test_cases = hostile_cases,
};

kunit_test_suite(hostile_suite);
