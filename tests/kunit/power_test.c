// SPDX-License-Identifier: GPL-2.0
/*
 * Sleep and reset of a management device: what becomes of its managed devices
 * where something fails half way. The function is a fake link, the personality
 * is the real one, and above it stands a virtio driver of the test's.
 */
#include <linux/bitops.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/irqdomain.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/unaligned.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_tvq.h>
#include <linux/workqueue.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/bus.h"
#include "../../drivers/virtio_tvq/compat.h"
#include "../../drivers/virtio_tvq/irq.h"
#include "../../drivers/virtio_tvq/mgmt.h"

#define DEADLINE_MS	1000
#define DEVICES		3
#define NEW		4
#define VQ_SIZE		4

/* A type that no other driver wants. */
#define TYPE		99

#define FEATURES	(BIT_ULL(VIRTIO_F_VERSION_1) |		\
			 BIT_ULL(VIRTIO_F_ACCESS_PLATFORM))

/**
 * struct one - a managed device, and what its virtio driver is asked
 * @exists: on the other side
 * @vqs: how many queues it says it has
 * @freeze_err: what freeze and reset_prepare return
 * @wants_vq: restore sets a queue up, for which there is no interrupt
 * @vq: that queue
 * @vq_broken: it was broken from the start
 * @probes: calls of the driver's probe
 * @removes: of remove
 * @freezes: of freeze
 * @restores: of restore
 * @prepares: of reset_prepare
 * @dones: of reset_done
 * @resets: commands RESET for it
 * @begun: calls of probe, as soon as they begin
 * @slow: if set, what probe waits for
 * @stuck: if set, what the driver waits for before it lets go, in any way
 * @removing: if set, what remove waits for
 * @probe_ms: how long probe takes
 * @mute: RESET is not answered
 * @denials: so many of the next RESETs are refused
 * @denial: with this status
 * @was_cut_off: how often the function had been cut off when remove was called
 */
struct one {
	bool exists;
	u16 vqs;
	int freeze_err;
	bool wants_vq;
	struct virtqueue *vq;
	bool vq_broken;
	unsigned int probes;
	unsigned int removes;
	unsigned int freezes;
	unsigned int restores;
	unsigned int prepares;
	unsigned int dones;
	unsigned int resets;
	unsigned int begun;
	struct completion *slow;
	struct completion *stuck;
	struct completion *removing;
	unsigned int probe_ms;
	bool mute;
	unsigned int denials;
	u16 denial;
	unsigned int was_cut_off;
};

/**
 * struct bed - a management device without a function
 * @link: the device
 * @parent: in place of the function
 * @dma_mask: its
 * @mgmt: the management device
 * @one: by device_id
 * @absent: the function is away
 * @cut_offs: how often the function was cut off
 * @mute: no command is answered
 * @no_memory: the next LIST (bit 0) and DESCRIBE (bit 1) are refused for want of memory
 * @lists: how often it was listed so far
 * @lists_refused: so many of the next times are refused, and not for want of memory
 * @slow_ms: how long DESCRIBE takes
 * @slow_now: it does just now
 * @limits_refused: LIMITS is
 * @features_refused: NEGOTIATE gives no FEATURES_OK
 * @wrong_features: bits of an offer that are not as they should be
 * @wrong_type: by how much the type of a device is not as it should be
 * @wrong_used: CREATE is answered with more than there is room for
 * @admin_link: its admin virtqueue
 * @admin_mute: no command is answered there
 * @stop_denied: a device that stops says that it doesn't
 * @admin_log: the commands that it got, see ADMIN
 * @admin_num: how many
 * @stops: by device_id, how often the device was stopped
 * @resumes: and let go on
 * @resets_before: of device 1, when one of them was let go on
 */
struct bed {
	struct fake_link *link;
	struct fake_link *admin_link;
	struct device *parent;
	u64 dma_mask;
	struct tvq_mgmt *mgmt;
	struct one one[NEW + 1];
	bool absent;
	unsigned int cut_offs;
	bool mute;
	unsigned long no_memory;
	unsigned int lists;
	unsigned int lists_refused;
	unsigned int slow_ms;
	bool slow_now;
	bool limits_refused;
	bool features_refused;
	u64 wrong_features;
	unsigned int wrong_type;
	bool wrong_used;
	bool admin_mute;
	bool stop_denied;
	u32 admin_log[64];
	unsigned int admin_num;
	unsigned int stops[NEW + 1];
	unsigned int resumes[NEW + 1];
	unsigned int resets_before;
};

/* The driver's callbacks have no other way to find it. */
static struct bed *the_bed;

#define CMD(class, command)	((class) << 8 | (command))

static int refuse_with(const struct fake_cmd *cmd, u16 status)
{
	*(__le32 *)cmd->in = cpu_to_le32(VIRTIO_TVQ_ERR);
	*(__le16 *)(cmd->in + sizeof(__le32)) = cpu_to_le16(status);
	return 8;
}

static int refuse(const struct fake_cmd *cmd)
{
	return refuse_with(cmd, VIRTIO_TVQ_STATUS_ENXIO);
}

static int put_limits(u8 *in)
{
	struct virtio_tvq_limits *limits = (void *)in;

	limits->devices_max = cpu_to_le32(NEW);
	limits->device_vqs_max = cpu_to_le16(4);
	limits->device_vectors_max = cpu_to_le16(4);
	limits->config_max = cpu_to_le16(4);
	limits->command_out_max = cpu_to_le32(4096);
	limits->command_in_max = cpu_to_le32(4096);
	limits->types[TYPE / 64] = cpu_to_le64(BIT_ULL(TYPE % 64));
	return sizeof(__le32) + sizeof(*limits);
}

static int put_list(struct bed *bed, u64 after, u8 *in)
{
	struct virtio_tvq_list_entry *entry = (void *)(in + sizeof(struct virtio_tvq_list));
	struct virtio_tvq_list *list = (void *)in;
	unsigned int total = 0, count = 0;
	u64 id;

	for (id = 1; id <= NEW; id++) {
		if (!bed->one[id].exists)
			continue;
		total++;
		if (id <= after)
			continue;
		entry[count].device_id = cpu_to_le64(id);
		entry[count++].type = cpu_to_le32(TYPE);
	}
	list->total = cpu_to_le32(total);
	list->count = cpu_to_le32(count);
	return sizeof(__le32) + sizeof(*list) + count * sizeof(*entry);
}

static int put_info(struct bed *bed, u64 id, u8 *in)
{
	struct virtio_tvq_device_info *info = (void *)in;
	u16 vqs = bed->one[id].vqs, i;
	__le16 *size = (void *)(info + 1);

	info->device_id = cpu_to_le64(id);
	info->type = cpu_to_le32(TYPE + bed->wrong_type);
	info->features[0] = cpu_to_le64(FEATURES ^ bed->wrong_features);
	info->name[0] = 'a' + id;
	info->num_vqs = cpu_to_le16(vqs);
	info->num_vectors = cpu_to_le16(1);
	for (i = 0; i < vqs; i++)
		size[i] = cpu_to_le16(VQ_SIZE);
	return sizeof(__le32) + sizeof(*info) + vqs * sizeof(*size);
}

static int answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	const struct virtio_tvq_hdr *hdr = cmd->out;
	u16 which = CMD(le16_to_cpu(hdr->class), le16_to_cpu(hdr->command));
	const u8 *out = cmd->out + sizeof(*hdr);
	u8 *in = cmd->in + sizeof(__le32);
	struct bed *bed = link->priv;
	u64 id = le64_to_cpu(hdr->device_id);

	if (bed->mute)
		return -1;
	memset(cmd->in, 0, cmd->in_len);
	if (id > NEW || (id && !bed->one[id].exists))
		return refuse(cmd);
	if ((which == CMD(0, 2) && test_and_clear_bit(0, &bed->no_memory)) ||
	    (which == CMD(1, 0) && test_and_clear_bit(1, &bed->no_memory)))
		return refuse_with(cmd, VIRTIO_TVQ_STATUS_ENOMEM);
	/* The first page. */
	if (which == CMD(0, 2) && !get_unaligned_le64(out)) {
		bed->lists++;
		if (bed->lists_refused) {
			bed->lists_refused--;
			return refuse_with(cmd, VIRTIO_TVQ_STATUS_EBUSY);
		}
	}
	switch (which) {
	case CMD(0, 1):
		return bed->limits_refused ? refuse(cmd) : put_limits(in);
	case CMD(0, 2):
		return put_list(bed, le64_to_cpu(*(const __le64 *)out), in);
	case CMD(0, 3):
		bed->one[NEW].exists = true;
		if (bed->wrong_used)
			return cmd->in_len + 1;
		return put_info(bed, NEW, in);
	case CMD(0, 4):
		bed->one[id].exists = false;
		return 4;
	case CMD(1, 0):
		if (bed->slow_ms)
			bed->slow_now = true;
		return put_info(bed, id, in);
	case CMD(1, 1):
		in[0] = out[16];
		if (bed->features_refused)
			in[0] &= ~VIRTIO_CONFIG_S_FEATURES_OK;
		return 8;
	case CMD(1, 2):
		in[0] = out[0];
		return 8;
	case CMD(1, 4):
		if (bed->one[id].mute)
			return -1;
		if (bed->one[id].denials) {
			bed->one[id].denials--;
			return refuse_with(cmd, bed->one[id].denial);
		}
		bed->one[id].resets++;
		return 8;
	case CMD(1, 5):
		/* A configuration of no bytes. */
		return sizeof(__le32) + sizeof(struct virtio_tvq_config);
	default:
		return 4;
	}
}

/* An admin command: its number, and its group. */
#define ADMIN(opcode, group)	((opcode) << 16 | (group))
#define SELF			VIRTIO_ADMIN_GROUP_TYPE_SELF
#define MANAGED			VIRTIO_TVQ_ADMIN_GROUP_MANAGED

/* Lists with all commands, no capabilities, and yes to everything else. */
static int admin_answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	u16 opcode = get_unaligned_le16(cmd->out);
	u16 group = get_unaligned_le16(cmd->out + 2);
	u64 id = get_unaligned_le64(cmd->out + 16);
	struct bed *bed = link->priv;

	if (bed->admin_mute)
		return -1;
	if (bed->admin_num < ARRAY_SIZE(bed->admin_log))
		bed->admin_log[bed->admin_num++] = ADMIN(opcode, group);
	memset(cmd->in, 0, cmd->in_len);
	switch (opcode) {
	case VIRTIO_ADMIN_CMD_LIST_QUERY:
		memset(cmd->in + 8, 0xff, cmd->in_len - 8);
		return cmd->in_len;
	case VIRTIO_ADMIN_CMD_DEV_MODE_SET:
		if (*(const u8 *)(cmd->out + 24)) {
			bed->stops[id]++;
			if (bed->stop_denied)
				put_unaligned_le16(VIRTIO_TVQ_ADMIN_STATUS_EBUSY, cmd->in);
		} else {
			bed->resumes[id]++;
			bed->resets_before = bed->one[1].resets;
		}
		return 8;
	case VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET:
		put_unaligned_le32(id, cmd->in + 8);
		return 12;
	default:
		return 8;
	}
}

static void admin_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_admin_interrupt(bed->mgmt->admin, 0);
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	if (bed->slow_now) {
		bed->slow_now = false;
		msleep(bed->slow_ms);
	}
	tvq_mgmt_interrupt(bed->mgmt);
}

/* --- the virtio driver ---------------------------------------------------- */

static struct one *to_one(struct virtio_device *vdev)
{
	return &the_bed->one[to_tvq_device(vdev->dev.parent)->id];
}

static int test_probe(struct virtio_device *vdev)
{
	struct one *one = to_one(vdev);

	WRITE_ONCE(one->begun, one->begun + 1);
	if (one->slow)
		wait_for_completion(one->slow);
	msleep(one->probe_ms);
	one->probes++;
	return 0;
}

static void test_remove(struct virtio_device *vdev)
{
	struct one *one = to_one(vdev);

	one->was_cut_off = READ_ONCE(the_bed->cut_offs);
	if (one->stuck)
		wait_for_completion(one->stuck);
	if (one->removing)
		wait_for_completion(one->removing);
	one->removes++;
	virtio_reset_device(vdev);
	if (one->vq)
		vdev->config->del_vqs(vdev);
	one->vq = NULL;
}

static int test_freeze(struct virtio_device *vdev)
{
	struct one *one = to_one(vdev);

	if (one->stuck)
		wait_for_completion(one->stuck);
	one->freezes++;
	if (!one->freeze_err)
		virtio_reset_device(vdev);
	return one->freeze_err;
}

static void test_callback(struct virtqueue *vq)
{
}

static int test_take_up(struct virtio_device *vdev)
{
	struct one *one = to_one(vdev);
	struct virtqueue *vq;

	if (!one->wants_vq)
		return 0;
	vq = virtio_find_single_vq(vdev, test_callback, "queue");
	if (IS_ERR(vq))
		return PTR_ERR(vq);
	one->vq = vq;
	one->vq_broken = virtqueue_is_broken(vq);
	return 0;
}

static int test_restore(struct virtio_device *vdev)
{
	to_one(vdev)->restores++;
	return test_take_up(vdev);
}

static int __maybe_unused test_reset_prepare(struct virtio_device *vdev)
{
	struct one *one = to_one(vdev);

	if (one->stuck)
		wait_for_completion(one->stuck);
	one->prepares++;
	if (!one->freeze_err)
		virtio_reset_device(vdev);
	return one->freeze_err;
}

static int __maybe_unused test_reset_done(struct virtio_device *vdev)
{
	to_one(vdev)->dones++;
	return test_take_up(vdev);
}

static const struct virtio_device_id test_ids[] = {
	{ TYPE, VIRTIO_DEV_ANY_ID },
	{}
};

static struct virtio_driver test_driver = {
	.driver.name = "tvq_kunit_power",
	.id_table = test_ids,
	.probe = test_probe,
	.remove = test_remove,
	.freeze = test_freeze,
	.restore = test_restore,
	TVQ_VIRTIO_RESET_OPS(test_reset_prepare, test_reset_done)
};

/* --- the management device ------------------------------------------------ */

static bool mgmt_present(void *link)
{
	return !the_bed->absent;
}

static bool mgmt_needs_reset(void *link)
{
	return false;
}

static void mgmt_cut_off(void *link)
{
	the_bed->cut_offs++;
}

static unsigned int mgmt_num_vfs(void *link)
{
	return 0;
}

static const struct tvq_mgmt_ops mgmt_ops = {
	.present = mgmt_present,
	.needs_reset = mgmt_needs_reset,
	.cut_off = mgmt_cut_off,
	.num_vfs = mgmt_num_vfs,
};

/* There is none, and tvq_irq_alloc() says so. */
static struct irq_domain *no_domain(struct device *parent)
{
	return NULL;
}

static int power_init(struct kunit *test)
{
	struct tvq_queue admin = { .slots = 64 };
	struct tvq_mgmt_params params = {
		.admin = &admin,
		.num_admin = 1,
		.link_ops = &fake_link_ops,
		.ops = &mgmt_ops,
		.queue.slots = 64,
		.timeout_ms = DEADLINE_MS,
	};
	struct bed *bed;
	unsigned int id;

	bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bed);
	test->priv = bed;
	the_bed = bed;
	for (id = 1; id <= NEW; id++) {
		bed->one[id].exists = id != NEW;
		bed->one[id].vqs = 1;
	}
	bed->link = fake_link_create(test, 64);
	bed->link->answer = answer;
	bed->link->interrupt = on_interrupt;
	bed->link->priv = bed;
	bed->admin_link = fake_link_create(test, 64);
	bed->admin_link->answer = admin_answer;
	bed->admin_link->interrupt = admin_interrupt;
	bed->admin_link->priv = bed;
	admin.link = bed->admin_link;
	bed->parent = root_device_register("tvq_kunit_power");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->parent);
	bed->dma_mask = DMA_BIT_MASK(64);
	bed->parent->dma_mask = &bed->dma_mask;
	bed->parent->coherent_dma_mask = DMA_BIT_MASK(64);
	KUNIT_ASSERT_EQ(test, register_virtio_driver(&test_driver), 0);
	params.parent = bed->parent;
	params.queue.link = bed->link;
	params.link = bed->link;
	kunit_activate_static_stub(test, tvq_irq_domain_create, no_domain);
	bed->mgmt = tvq_mgmt_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->mgmt);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_start(bed->mgmt), 0);
	for (id = 1; id <= DEVICES; id++)
		KUNIT_ASSERT_EQ(test, bed->one[id].probes, 1);
	return 0;
}

static void power_exit(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int id;

	if (!bed || IS_ERR_OR_NULL(bed->mgmt))
		return;
	tvq_mgmt_stop(bed->mgmt);
	for (id = 1; id <= NEW; id++)
		KUNIT_EXPECT_EQ_MSG(test, bed->one[id].removes, bed->one[id].probes,
				    "device %u", id);
	fake_link_shut(bed->link);
	fake_link_shut(bed->admin_link);
	tvq_mgmt_destroy(bed->mgmt);
	unregister_virtio_driver(&test_driver);
	root_device_unregister(bed->parent);
	the_bed = NULL;
}

static struct tvq_device *device(struct bed *bed, unsigned int id)
{
	return xa_load(&bed->mgmt->devices, id);
}

/* Does the device's driver go on? */
static void expect_runs(struct kunit *test, unsigned int id)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, id);

	KUNIT_ASSERT_NOT_NULL(test, tdev);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_FROZEN, &tdev->flags));
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_THAWING, &tdev->flags));
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(tdev));
	KUNIT_EXPECT_NOT_NULL(test, tdev->dev.driver);
	/* Commands for it go through. */
	KUNIT_EXPECT_EQ(test, tvq_device_post_status(tdev, 15), 0);
}

/* What the PCI function does between freeze and thaw. */
static void reset_function(struct bed *bed)
{
	tvq_mgmt_link_down(bed->mgmt);
	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->stops = 0;
	scoped_guard(spinlock_irqsave, &bed->admin_link->lock)
		bed->admin_link->stops = 0;
	bed->admin_num = 0;
}

/* And at the end; an error is one of its own. */
static int thaw(struct bed *bed, int err)
{
	if (!err)
		err = tvq_mgmt_link_up(bed->mgmt);
	if (err)
		tvq_mgmt_link_down(bed->mgmt);
	tvq_mgmt_thaw(bed->mgmt, err);
	return err;
}

/* What thaw leaves to work items. */
static void settle(struct bed *bed)
{
	struct tvq_device *tdev;
	unsigned long id;

	xa_for_each(&bed->mgmt->devices, id, tdev)
		flush_work(&tdev->recover_work);
	tvq_mgmt_flush(bed->mgmt);
	/* A device that goes may make room for another one with its id. */
	flush_workqueue(bed->mgmt->leave_wq);
	tvq_mgmt_flush(bed->mgmt);
}

static void sleeps(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int id;

	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	for (id = 1; id <= DEVICES; id++)
		KUNIT_EXPECT_TRUE(test, test_bit(TVQ_DEVICE_FROZEN, &device(bed, id)->flags));
	reset_function(bed);
	/* What fails meanwhile fails because there is no function. */
	tvq_device_fail(device(bed, 1));
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (id = 1; id <= DEVICES; id++) {
		expect_runs(test, id);
		KUNIT_EXPECT_EQ(test, bed->one[id].freezes, 1);
		KUNIT_EXPECT_EQ(test, bed->one[id].restores, 1);
		KUNIT_EXPECT_EQ(test, bed->one[id].prepares, 0);
	}
}

static void is_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int id;

	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (id = 1; id <= DEVICES; id++) {
		expect_runs(test, id);
		/* By the pair that the driver has for this, where it may. */
		KUNIT_EXPECT_EQ(test, bed->one[id].prepares + bed->one[id].freezes, 1);
		KUNIT_EXPECT_EQ(test, bed->one[id].dones, bed->one[id].prepares);
		KUNIT_EXPECT_EQ(test, bed->one[id].restores, bed->one[id].freezes);
	}
}

/* One driver does not let the system sleep: those that did go on. */
static void sleep_refused(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->one[2].freeze_err = -EBUSY;
	KUNIT_EXPECT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), -EBUSY);
	settle(bed);
	expect_runs(test, 1);
	expect_runs(test, 2);
	expect_runs(test, 3);
	KUNIT_EXPECT_EQ(test, bed->one[1].restores, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].restores, 0);
	KUNIT_EXPECT_EQ(test, bed->one[3].freezes, 0);
	KUNIT_EXPECT_EQ(test, bed->one[3].restores, 0);
	/* The gate is open, for another attempt as well. */
	bed->one[2].freeze_err = 0;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 2);
}

/* A reset does not ask: the driver that can't is unbound, and bound again. */
static void reset_refused(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->one[2].freeze_err = -EBUSY;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 1);
	expect_runs(test, 2);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 2);
	KUNIT_EXPECT_EQ(test, bed->one[1].probes, 1);
}

/* One that had failed is not asked before, and comes back afterwards. */
static void failed_is_reset(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_device_fail(device(bed, 2));
	set_bit(TVQ_DEVICE_NEEDS_RESET, &device(bed, 3)->flags);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	KUNIT_EXPECT_EQ(test, bed->one[2].prepares + bed->one[2].freezes, 0);
	KUNIT_EXPECT_EQ(test, bed->one[3].prepares + bed->one[3].freezes, 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 2);
	expect_runs(test, 3);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_NEEDS_RESET, &device(bed, 3)->flags));
	KUNIT_EXPECT_EQ(test, bed->one[2].prepares + bed->one[2].freezes, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].dones + bed->one[2].restores, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 1);
}

/* Not even then can its driver let go. */
static void failed_is_bound_again(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_device_fail(device(bed, 2));
	bed->one[2].freeze_err = -EBUSY;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 2);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 2);
}

/* Its driver is stuck without a queue, so it gets one that is broken. */
static void not_restored(struct kunit *test, unsigned int restores)
{
	struct bed *bed = test->priv;

	KUNIT_EXPECT_EQ(test, bed->one[2].restores, restores);
	KUNIT_ASSERT_NOT_NULL(test, bed->one[2].vq);
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(bed->one[2].vq));
	/* From the start, where its restore may wait for an answer. */
	KUNIT_EXPECT_TRUE(test, bed->one[2].vq_broken);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_FROZEN, &device(bed, 2)->flags));
	expect_runs(test, 1);
	expect_runs(test, 3);
}

/* The driver's restore fails: here there is no interrupt for its queue. */
static void restore_fails(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->one[2].wants_vq = true;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	not_restored(test, 2);
}

/* The device does not take what it had taken before. */
static void negotiation_refused(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->one[2].wants_vq = true;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	bed->features_refused = true;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	bed->features_refused = false;
	settle(bed);
	not_restored(test, 1);
}

/* The other side has destroyed one meanwhile. */
static void gone_meanwhile(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->one[2].wants_vq = true;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	bed->one[2].exists = false;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	KUNIT_EXPECT_NULL(test, device(bed, 2));
	KUNIT_EXPECT_EQ(test, bed->one[2].restores, 1);
	KUNIT_EXPECT_TRUE(test, bed->one[2].vq_broken);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	expect_runs(test, 1);
	expect_runs(test, 3);
}

/* And this has another one's id. */
static void changed_meanwhile(struct kunit *test)
{
	struct bed *bed = test->priv;

	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	bed->one[2].vqs = 2;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	/* The old one goes with the first scan, the new one comes with the second. */
	settle(bed);
	tvq_mgmt_flush(bed->mgmt);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 2);
	expect_runs(test, 2);
	KUNIT_EXPECT_EQ(test, device(bed, 2)->num_vqs, 2);
}

static const int thaw_errors[] = { -ENODEV, 0 };

static void thaw_desc(const int *err, char *desc)
{
	strscpy(desc, *err ? "the function is gone" : "LIMITS is refused",
		KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(thaw_error, thaw_errors, thaw_desc);

/* The function does not come back. Another reset may help, or removal. */
static void no_way_back(struct kunit *test)
{
	const int *err = test->param_value;
	struct bed *bed = test->priv;
	struct tvq_limits limits;
	unsigned int id;

	bed->one[2].wants_vq = true;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	bed->limits_refused = true;
	KUNIT_EXPECT_EQ(test, thaw(bed, *err), *err ? *err : -ENXIO);
	/* Nobody waits at the gate, nor for a device: users get errors. */
	KUNIT_EXPECT_EQ(test, tvq_mgmt_limits(bed->mgmt, &limits), -EIO);
	for (id = 1; id <= DEVICES; id++) {
		KUNIT_EXPECT_EQ(test, bed->one[id].restores, 1);
		KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_FROZEN,
						  &device(bed, id)->flags));
		KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(device(bed, id)));
	}
	KUNIT_EXPECT_TRUE(test, bed->one[2].vq_broken);

	/* The same once more, and then it does. */
	bed->limits_refused = false;
	bed->one[2].wants_vq = false;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_EXPECT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (id = 1; id <= DEVICES; id++) {
		expect_runs(test, id);
		KUNIT_EXPECT_EQ(test, bed->one[id].prepares, 1);
		KUNIT_EXPECT_EQ(test, bed->one[id].dones, 1);
		KUNIT_EXPECT_EQ(test, bed->one[id].restores, 1);
	}
}

/* Removed while asleep: drivers let go of what has no other end. */
static void removed_asleep(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int id;

	bed->one[2].wants_vq = true;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	KUNIT_EXPECT_EQ(test, thaw(bed, -ENODEV), -ENODEV);
	tvq_mgmt_stop(bed->mgmt);
	for (id = 1; id <= DEVICES; id++) {
		KUNIT_EXPECT_EQ(test, bed->one[id].restores, 1);
		KUNIT_EXPECT_EQ(test, bed->one[id].removes, 1);
	}
	KUNIT_EXPECT_TRUE(test, bed->one[2].vq_broken);
}

static int bind_result;

static void unbind_asleep(struct work_struct *work)
{
	device_release_driver(&device(the_bed, 2)->dev);
}

/* Who unbinds a device that is frozen waits. */
static void unbound_asleep(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, unbind_asleep);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	schedule_work(&work);
	/* It is the lock of the device that shows it is under way. */
	while (!mutex_is_locked(&device(bed, 2)->dev.mutex))
		usleep_range(1000, 2000);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 0);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	flush_work(&work);
	destroy_work_on_stack(&work);
	settle(bed);
	KUNIT_EXPECT_EQ(test, bed->one[2].restores, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	KUNIT_EXPECT_NULL(test, device(bed, 2)->dev.driver);
	expect_runs(test, 1);
}

static void bind_asleep(struct work_struct *work)
{
	bind_result = device_attach(&device(the_bed, 2)->dev);
}

/* Who binds one that had no personality waits, too, and is not thawed. */
static void bound_asleep(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, bind_asleep);
	device_release_driver(&device(bed, 2)->dev);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), 0);
	reset_function(bed);
	schedule_work(&work);
	/* From then on it is known to the driver core, and before that it is locked. */
	while (!READ_ONCE(device(bed, 2)->dev.driver))
		usleep_range(1000, 2000);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 1);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	flush_work(&work);
	destroy_work_on_stack(&work);
	settle(bed);
	KUNIT_EXPECT_EQ(test, bind_result, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 2);
	KUNIT_EXPECT_EQ(test, bed->one[2].restores, 0);
	expect_runs(test, 2);
	expect_runs(test, 1);
}

static int created;

static void create_another(struct work_struct *work)
{
	static const struct tvq_create create = {
		.type = TYPE,
		.name = { 'a' + NEW },
	};

	created = tvq_mgmt_create_device(the_bed->mgmt, &create);
}

static int freeze_result;

static void freeze_all(struct work_struct *work)
{
	freeze_result = tvq_mgmt_freeze(the_bed->mgmt, true);
}

/*
 * A device is being created, and its driver takes longer than anybody waits: that
 * keeps the system awake.
 */
static void busy(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct work_struct work;
	struct completion go_on;

	init_completion(&go_on);
	INIT_WORK_ONSTACK(&work, create_another);
	bed->one[NEW].slow = &go_on;
	schedule_work(&work);
	while (!READ_ONCE(bed->one[NEW].begun))
		usleep_range(1000, 2000);
	KUNIT_EXPECT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), -EBUSY);
	KUNIT_EXPECT_EQ(test, bed->one[1].freezes, 0);
	complete(&go_on);
	flush_work(&work);
	destroy_work_on_stack(&work);
	KUNIT_EXPECT_EQ(test, created, 0);
	expect_runs(test, NEW);
	expect_runs(test, 1);
}

/*
 * A device without what it must offer, or with what makes no sense of a managed
 * device, is none: it is destroyed again.
 */
static void wrong_offers(struct kunit *test)
{
	static const unsigned int bits[] = {
		VIRTIO_F_VERSION_1, VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_SR_IOV,
		VIRTIO_F_NOTIF_CONFIG_DATA, VIRTIO_F_ADMIN_VQ, 42, 44, 49,
	};
	static const struct tvq_create create = {
		.type = TYPE,
		.name = { 'a' + NEW },
	};
	struct bed *bed = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		bed->wrong_features = BIT_ULL(bits[i]);
		KUNIT_EXPECT_EQ(test, tvq_mgmt_create_device(bed->mgmt, &create),
				-EPROTO);
		KUNIT_EXPECT_FALSE(test, bed->one[NEW].exists);
		KUNIT_EXPECT_EQ(test, bed->one[NEW].probes, 0);
	}
	bed->wrong_features = 0;
	KUNIT_EXPECT_EQ(test, tvq_mgmt_create_device(bed->mgmt, &create), 0);
	expect_runs(test, NEW);
}

/* A device of another type or name than was asked for is destroyed again. */
static void wrong_devices(struct kunit *test)
{
	static const struct tvq_create creates[] = {
		{ .type = TYPE, .name = { 'a' + NEW } },
		{ .type = TYPE, .name = { 'a' + NEW, 'x' } },
		{ .type = TYPE },
	};
	struct bed *bed = test->priv;
	unsigned int i;

	bed->wrong_type = 1;
	for (i = 0; i < ARRAY_SIZE(creates); i++) {
		KUNIT_EXPECT_EQ(test, tvq_mgmt_create_device(bed->mgmt, &creates[i]),
				-EPROTO);
		KUNIT_EXPECT_FALSE(test, bed->one[NEW].exists);
		bed->wrong_type = 0;
	}
	tvq_mgmt_flush(bed->mgmt);
	KUNIT_EXPECT_EQ(test, bed->one[NEW].probes, 0);
	KUNIT_EXPECT_EQ(test, tvq_mgmt_create_device(bed->mgmt, &creates[0]), 0);
	expect_runs(test, NEW);
}

/* One that exists, though nobody can say which it is, is found. */
static void wrong_answer(struct kunit *test)
{
	static const struct tvq_create create = {
		.type = TYPE,
		.name = { 'a' + NEW },
	};
	struct bed *bed = test->priv;

	bed->wrong_used = true;
	KUNIT_EXPECT_EQ(test, tvq_mgmt_create_device(bed->mgmt, &create), -EPROTO);
	tvq_mgmt_flush(bed->mgmt);
	expect_runs(test, NEW);
}

/* The transport virtqueue is mute before the reset, and works after it. */
static void mute_is_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_limits limits;
	unsigned int id, cut_offs;

	bed->mute = true;
	KUNIT_EXPECT_EQ(test, tvq_mgmt_limits(bed->mgmt, &limits), -ETIMEDOUT);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	cut_offs = bed->cut_offs;
	bed->mute = false;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (id = 1; id <= DEVICES; id++)
		expect_runs(test, id);
	/* What was found broken is not dealt with when it works again. */
	KUNIT_EXPECT_EQ(test, bed->cut_offs, cut_offs);
}

/* The other side takes a device away whose driver can't let go yet. */
static void leaves_slowly(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;

	bed->one[2].stuck = &go;
	bed->one[2].exists = false;
	bed->one[NEW].exists = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	tvq_mgmt_flush(bed->mgmt);
	KUNIT_EXPECT_NOT_NULL(test, device(bed, 2));
	KUNIT_ASSERT_NOT_NULL(test, device(bed, NEW));
	KUNIT_EXPECT_EQ(test, bed->one[NEW].probes, 1);
	/* Nor does a reset wait for it. */
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	expect_runs(test, NEW);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 0);
	complete_all(&go);
	settle(bed);
	KUNIT_EXPECT_NULL(test, device(bed, 2));
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	bed->one[2].stuck = NULL;
}

/* One that had failed can't let go yet when the next reset comes. */
static void recovers_slowly(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;

	bed->one[2].stuck = &go;
	tvq_device_fail(device(bed, 2));
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	/* It is the lock of the device that shows it is under way. */
	while (!mutex_is_locked(&device(bed, 2)->dev.mutex))
		usleep_range(1000, 2000);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	expect_runs(test, 1);
	expect_runs(test, 3);
	KUNIT_EXPECT_EQ(test, bed->one[2].prepares + bed->one[2].freezes, 0);
	complete_all(&go);
	settle(bed);
	expect_runs(test, 2);
	KUNIT_EXPECT_EQ(test, bed->one[2].prepares, 2);
	KUNIT_EXPECT_EQ(test, bed->one[2].dones, 2);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 1);
	bed->one[2].stuck = NULL;
}

static void unbind_driver(struct work_struct *work)
{
	struct device *vdev = device_find_any_child(&device(the_bed, 2)->dev);

	device_release_driver(vdev);
	put_device(vdev);
}

/* A virtio driver that has let go of its device is asked to leave. */
static void driver_unbound_in_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct work_struct work;
	struct device *vdev;

	INIT_WORK_ONSTACK(&work, unbind_driver);
	vdev = device_find_any_child(&device(bed, 2)->dev);
	KUNIT_ASSERT_NOT_NULL(test, vdev);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	schedule_work(&work);
	while (!mutex_is_locked(&vdev->mutex))
		usleep_range(1000, 2000);
	/* Time enough to go too far. */
	usleep_range(20000, 30000);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 0);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	flush_work(&work);
	destroy_work_on_stack(&work);
	settle(bed);
	KUNIT_EXPECT_EQ(test, bed->one[2].dones, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	KUNIT_EXPECT_NULL(test, vdev->driver);
	/* And may come back. */
	KUNIT_EXPECT_EQ(test, device_attach(vdev), 1);
	put_device(vdev);
	expect_runs(test, 2);
}

static void bind_driver(struct work_struct *work)
{
	struct device *vdev = device_find_any_child(&device(the_bed, 2)->dev);

	bind_result = device_attach(vdev);
	put_device(vdev);
}

/* A device without a driver is frozen, and gets one. */
static void driver_bound_in_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct work_struct work;
	struct device *vdev;

	INIT_WORK_ONSTACK(&work, bind_driver);
	vdev = device_find_any_child(&device(bed, 2)->dev);
	KUNIT_ASSERT_NOT_NULL(test, vdev);
	device_release_driver(vdev);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	schedule_work(&work);
	while (!mutex_is_locked(&vdev->mutex))
		usleep_range(1000, 2000);
	/* Time enough to go too far. */
	usleep_range(20000, 30000);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 1);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	flush_work(&work);
	destroy_work_on_stack(&work);
	settle(bed);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 2);
	KUNIT_EXPECT_EQ(test, bind_result, 1);
	KUNIT_EXPECT_EQ(test, bed->one[2].dones + bed->one[2].restores, 0);
	put_device(vdev);
	expect_runs(test, 2);
}

/* One that was given up may be alive: its memory is not freed before a RESET. */
static void failed_is_told_to_stop(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->one[2].resets = 0;
	tvq_device_fail(device(bed, 2));
	flush_work(&device(bed, 2)->fail_work);
	device_release_driver(&device(bed, 2)->dev);
	KUNIT_EXPECT_GT(test, bed->one[2].resets, 0);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
}

/* Without a command: nobody may have a reason to send one. */
static void absence_is_noticed(struct kunit *test)
{
	struct bed *bed = test->priv;

	mod_delayed_work(system_freezable_wq, &bed->mgmt->presence_work, 0);
	flush_delayed_work(&bed->mgmt->presence_work);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(device(bed, 2)));
	KUNIT_EXPECT_TRUE(test, delayed_work_pending(&bed->mgmt->presence_work));
	/* Once a second, together with others that wake up for as much. */
	KUNIT_EXPECT_TRUE(test, time_before(bed->mgmt->presence_work.timer.expires,
					    jiffies + 2 * HZ));
	bed->absent = true;
	/* During a reset it may be away. */
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	mod_delayed_work(system_freezable_wq, &bed->mgmt->presence_work, 0);
	flush_delayed_work(&bed->mgmt->presence_work);
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	mod_delayed_work(system_freezable_wq, &bed->mgmt->presence_work, 0);
	flush_delayed_work(&bed->mgmt->presence_work);
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 1);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(device(bed, 2)));
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&bed->mgmt->presence_work));
	/* It is looked for again when it has come back. */
	bed->absent = false;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	KUNIT_EXPECT_TRUE(test, delayed_work_pending(&bed->mgmt->presence_work));
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(device(bed, 2)));
}

/*
 * What a driver that is being bound has agreed upon with its device is void when the
 * function is reset: its commands fail at once, the device does not, and it is bound
 * anew.
 */
static void reset_in_recovery(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);
	DECLARE_COMPLETION_ONSTACK(go_on);

	/* One that can't be frozen is bound again. */
	bed->one[2].freeze_err = -EBUSY;
	tvq_device_fail(tdev);
	flush_work(&tdev->fail_work);
	flush_work(&tdev->quiet_work);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	bed->one[2].slow = &go_on;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	while (READ_ONCE(bed->one[2].begun) < 2)
		usleep_range(1000, 2000);

	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_EXPECT_TRUE(test, test_bit(TVQ_DEVICE_LAPSED, &tdev->flags));
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	KUNIT_EXPECT_EQ(test, tvq_device_post_status(tdev, 15), -EIO);
	KUNIT_EXPECT_EQ(test, tvq_device_reset_vq(tdev, 0), -EIO);
	bed->one[2].slow = NULL;
	complete(&go_on);
	settle(bed);
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 3);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 2);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_LAPSED, &tdev->flags));
	expect_runs(test, 2);
}

/* --- the admin virtqueue -------------------------------------------------- */

static int get_member(struct bed *bed, unsigned int id)
{
	union tvq_member_value value;
	int err;

	err = tvq_member_get(device(bed, id), VIRTIO_TVQ_MEMBER_VQS, &value);
	return err ?: value.number != id ? -EBADMSG : 0;
}

/* What is used is agreed upon anew, before anything else is sent. */
static void expect_lists(struct kunit *test)
{
	static const u32 lists[] = {
		ADMIN(VIRTIO_ADMIN_CMD_LIST_QUERY, SELF),
		ADMIN(VIRTIO_ADMIN_CMD_LIST_USE, SELF),
		ADMIN(VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY, SELF),
		ADMIN(VIRTIO_ADMIN_CMD_LIST_QUERY, MANAGED),
		ADMIN(VIRTIO_ADMIN_CMD_LIST_USE, MANAGED),
	};
	struct bed *bed = test->priv;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, bed->admin_num, ARRAY_SIZE(lists));
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		KUNIT_EXPECT_EQ_MSG(test, bed->admin_log[i], lists[i], "command %u", i);
}

static const bool kinds[] = { true, false };

static void kind_desc(const bool *sleep, char *desc)
{
	strscpy(desc, *sleep ? "sleep" : "reset", KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kind, kinds, kind_desc);

static void admin_lists_come_again(struct kunit *test)
{
	const bool *sleep = test->param_value;
	struct bed *bed = test->priv;

	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, *sleep), 0);
	reset_function(bed);
	KUNIT_EXPECT_EQ(test, get_member(bed, 1), -EAGAIN);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_lists(test);
	KUNIT_EXPECT_EQ(test, get_member(bed, 1), 0);
}

/* A driver may wait for its device before it lets go of it. */
static void admin_stopped_goes_on(struct kunit *test)
{
	const bool *sleep = test->param_value;
	struct bed *bed = test->priv;

	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 2), true), 0);
	tvq_device_fail(device(bed, 3));
	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 3), true), 0);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, *sleep), 0);
	KUNIT_EXPECT_EQ(test, bed->resumes[1], 0);
	KUNIT_EXPECT_EQ(test, bed->resumes[2], 1);
	/* One that is let go of after the reset, too. */
	KUNIT_EXPECT_EQ(test, bed->resumes[3], 1);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 2);
	expect_runs(test, 3);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(device(bed, 2)));
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(device(bed, 3)));
	KUNIT_EXPECT_EQ(test, bed->stops[2] + bed->stops[3], 2);
}

/* The driver of another one may wait for that of the device that was stopped. */
static void admin_stopped_holds_up_nobody(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int resets = bed->one[1].resets;

	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 3), true), 0);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	KUNIT_EXPECT_EQ(test, bed->resumes[3], 1);
	KUNIT_EXPECT_EQ(test, bed->resets_before, resets);
	KUNIT_EXPECT_GT(test, bed->one[1].resets, resets);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	resets = bed->one[1].resets;
	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 3), true), 0);
	tvq_mgmt_stop(bed->mgmt);
	KUNIT_EXPECT_EQ(test, bed->resumes[3], 2);
	KUNIT_EXPECT_EQ(test, bed->resets_before, resets);
	KUNIT_EXPECT_GT(test, bed->one[1].resets, resets);
}

/* It has said that it would not stop, and yet it may have. */
static void admin_stop_denied(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->stop_denied = true;
	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 2), true), -EBUSY);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(device(bed, 2)));
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	KUNIT_EXPECT_EQ(test, bed->resumes[1], 0);
	KUNIT_EXPECT_EQ(test, bed->resumes[2], 1);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 2);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	KUNIT_EXPECT_EQ(test, bed->resumes[2], 1);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
}

/* The device that was stopped can't be told: it is given up, and is back afterwards. */
static void admin_stopped_and_mute(struct kunit *test)
{
	struct bed *bed = test->priv;

	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 2), true), 0);
	bed->admin_mute = true;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	KUNIT_EXPECT_EQ(test, bed->one[2].prepares + bed->one[2].freezes, 0);
	KUNIT_EXPECT_EQ(test, bed->one[1].prepares + bed->one[1].freezes, 1);
	reset_function(bed);
	bed->admin_mute = false;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_lists(test);
	expect_runs(test, 2);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(device(bed, 2)));
	KUNIT_EXPECT_EQ(test, bed->one[2].probes, 1);
	KUNIT_EXPECT_EQ(test, get_member(bed, 2), 0);
}

/* Devices do not need it. */
static void admin_mute_after_a_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int id;

	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	bed->admin_mute = true;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (id = 1; id <= DEVICES; id++)
		expect_runs(test, id);
	KUNIT_EXPECT_EQ(test, get_member(bed, 1), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(device(bed, 1), true), -EOPNOTSUPP);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(device(bed, 1)));
	/* Another reset brings it back. */
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	bed->admin_mute = false;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_lists(test);
	KUNIT_EXPECT_EQ(test, get_member(bed, 1), 0);
}

/* The function does not come back: nothing is sent, and nobody waits. */
static void admin_no_way_back(struct kunit *test)
{
	struct bed *bed = test->priv;

	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_EXPECT_EQ(test, thaw(bed, -ENODEV), -ENODEV);
	KUNIT_EXPECT_EQ(test, get_member(bed, 1), -EIO);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(device(bed, 1), true), -EIO);
	KUNIT_EXPECT_EQ(test, bed->admin_num, 0);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_lists(test);
	KUNIT_EXPECT_EQ(test, get_member(bed, 1), 0);
}

static int admin_result[DEVICES + 1];

static void ask_admin(struct work_struct *work)
{
	unsigned int id;

	for (id = 1; id <= DEVICES; id++)
		admin_result[id] = get_member(the_bed, id);
}

/* The function is dead: what is outstanding fails at once, long before its deadline. */
static void admin_outstanding_at_a_dead_function(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct work_struct work;
	unsigned int posts, id;

	INIT_WORK_ONSTACK(&work, ask_admin);
	bed->admin_mute = true;
	posts = READ_ONCE(bed->admin_link->posts);
	schedule_work(&work);
	while (READ_ONCE(bed->admin_link->posts) == posts)
		usleep_range(100, 200);
	tvq_mgmt_fail(bed->mgmt, "the test says so");
	flush_work(&work);
	destroy_work_on_stack(&work);
	/* Not -ETIMEDOUT. */
	for (id = 1; id <= DEVICES; id++)
		KUNIT_EXPECT_EQ(test, admin_result[id], -EIO);
	KUNIT_EXPECT_EQ(test, bed->admin_link->posts, posts + 1);
	bed->admin_mute = false;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (id = 1; id <= DEVICES; id++)
		KUNIT_EXPECT_EQ(test, get_member(bed, id), 0);
}

/* The other side takes one away that is stopped, and whose driver can't let go yet. */
static void admin_stopped_leaves_slowly(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;

	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 2), true), 0);
	bed->one[2].stuck = &go;
	bed->one[2].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	tvq_mgmt_flush(bed->mgmt);
	KUNIT_ASSERT_NOT_NULL(test, device(bed, 2));
	/* Its id may be that of another device by now. */
	KUNIT_EXPECT_EQ(test, get_member(bed, 2), -ENODEV);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	expect_lists(test);
	/* When it was found to be gone, and not once more. */
	KUNIT_EXPECT_EQ(test, bed->resumes[2], 1);
	complete_all(&go);
	settle(bed);
	KUNIT_EXPECT_NULL(test, device(bed, 2));
	bed->one[2].stuck = NULL;
}

/* Two go at once. Who waits for one does not wait for what is asked about the other. */
static void gone_at_once(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);
	unsigned int posts;

	KUNIT_ASSERT_EQ(test, tvq_member_set_mode(device(bed, 1), true), 0);
	bed->admin_mute = true;
	bed->one[1].exists = false;
	bed->one[2].exists = false;
	get_device(&tdev->dev);
	posts = READ_ONCE(bed->admin_link->posts);
	tvq_mgmt_config_interrupt(bed->mgmt);
	/* The first is told to go on, and does not answer. */
	while (READ_ONCE(bed->admin_link->posts) == posts)
		usleep_range(100, 200);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	put_device(&tdev->dev);
	settle(bed);
	KUNIT_EXPECT_NULL(test, device(bed, 1));
	KUNIT_EXPECT_NULL(test, device(bed, 2));
	bed->admin_mute = false;
}

/* A new device is announced once, and twice there is no memory to look for it. */
static void scan_lacks_memory(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int i;

	bed->one[NEW].exists = true;
	bed->no_memory = 3;
	tvq_mgmt_config_interrupt(bed->mgmt);
	for (i = 0; i < 100 && !device(bed, NEW); i++) {
		msleep(20);
		tvq_mgmt_flush(bed->mgmt);
	}
	KUNIT_EXPECT_EQ(test, bed->no_memory, 0);
	tvq_mgmt_flush(bed->mgmt);
	expect_runs(test, NEW);
}

/* Nobody announces a second time what could not be listed. */
static void scan_refused(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int i;

	bed->one[NEW].exists = true;
	bed->lists_refused = 2;
	tvq_mgmt_config_interrupt(bed->mgmt);
	for (i = 0; i < 200 && !READ_ONCE(bed->one[NEW].probes); i++)
		msleep(50);
	KUNIT_EXPECT_EQ(test, bed->lists_refused, 0);
	settle(bed);
	expect_runs(test, NEW);
}

/* Nor is a device asked for ever that refuses to say. */
static void scan_refused_for_ever(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int i, before = bed->lists;

	bed->one[NEW].exists = true;
	bed->lists_refused = UINT_MAX;
	tvq_mgmt_config_interrupt(bed->mgmt);
	for (i = 0; i < 10; i++) {
		tvq_mgmt_flush(bed->mgmt);
		if (!delayed_work_pending(&bed->mgmt->scan_work))
			break;
	}
	KUNIT_EXPECT_EQ(test, bed->lists - before, 5);
	/* The next change is looked at as ever. */
	bed->lists_refused = 1;
	tvq_mgmt_config_interrupt(bed->mgmt);
	tvq_mgmt_flush(bed->mgmt);
	tvq_mgmt_flush(bed->mgmt);
	expect_runs(test, NEW);
}

/* Interrupts without end make no lists without end. */
static void scan_storm(struct kunit *test)
{
	unsigned long start = jiffies, end = start + HZ;
	struct bed *bed = test->priv;
	unsigned int before = bed->lists;

	while (time_before(jiffies, end)) {
		tvq_mgmt_config_interrupt(bed->mgmt);
		usleep_range(500, 1000);
	}
	tvq_mgmt_flush(bed->mgmt);
	KUNIT_EXPECT_GE(test, bed->lists - before, 2);
	KUNIT_EXPECT_LE(test, bed->lists - before, (jiffies - start) / (HZ / 10) + 2);
}

/* It does not take longer than its time, and goes on afterwards. */
static void scan_is_slow(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int id, i, found = 0;

	bed->one[2].exists = false;
	bed->one[3].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	settle(bed);
	KUNIT_ASSERT_NULL(test, device(bed, 2));
	KUNIT_ASSERT_NULL(test, device(bed, 3));

	bed->mgmt->scan_time = HZ / 2;
	bed->slow_ms = DEADLINE_MS - 100;
	for (id = 2; id <= NEW; id++)
		bed->one[id].exists = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	tvq_mgmt_flush(bed->mgmt);
	for (id = 2; id <= NEW; id++)
		found += !!device(bed, id);
	/* The first answer may be seen by the interrupt before it. */
	KUNIT_EXPECT_GE(test, found, 1);
	KUNIT_EXPECT_LE(test, found, 2);
	for (i = 0; i < 200 && !READ_ONCE(bed->one[NEW].probes); i++)
		msleep(50);
	bed->slow_ms = 0;
	settle(bed);
	for (id = 2; id <= NEW; id++)
		expect_runs(test, id);
}

/* A list that was asked for long before a reset says that a device is to go. */
static void leaves_while_frozen(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);
	struct work_struct work;
	unsigned int i;

	INIT_WORK_ONSTACK(&work, freeze_all);
	bed->one[2].stuck = &go;
	schedule_work(&work);
	while (!mutex_is_locked(&tdev->dev.mutex))
		usleep_range(1000, 2000);
	/* What tvq_mgmt_scan() does, which is not let in any more. */
	set_bit(TVQ_DEVICE_GONE, &tdev->flags);
	set_bit(TVQ_DEVICE_LEAVING, &tdev->flags);
	sysfs_remove_link(bed->mgmt->by_name, tdev->name);
	queue_work(bed->mgmt->leave_wq, &tdev->leave_work);
	while (!(work_busy(&tdev->leave_work) & WORK_BUSY_RUNNING))
		usleep_range(1000, 2000);
	msleep(50);
	complete_all(&go);
	flush_work(&work);
	destroy_work_on_stack(&work);
	KUNIT_ASSERT_EQ(test, freeze_result, 0);
	for (i = 0; i < 200 && device(bed, 2); i++)
		msleep(50);
	KUNIT_EXPECT_NULL(test, device(bed, 2));
	bed->one[2].stuck = NULL;
	bed->one[2].exists = false;
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 1);
	expect_runs(test, 3);
}

/* Whoever uses a device that is another after a reset need not wait for a list. */
static void changed_and_no_list(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);
	unsigned int i;

	bed->one[2].wants_vq = true;
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	bed->one[2].vqs = 2;
	bed->lists_refused = 1;
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_FROZEN, &tdev->flags));
	KUNIT_EXPECT_TRUE(test, bed->one[2].vq_broken);
	bed->one[2].wants_vq = false;
	for (i = 0; i < 200 && READ_ONCE(bed->one[2].probes) < 2; i++)
		msleep(50);
	settle(bed);
	expect_runs(test, 2);
	KUNIT_EXPECT_EQ(test, device(bed, 2)->num_vqs, 2);
}

/* Its driver is told, whoever has just begun to wait for it. */
static void gone_while_coming(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go_on);
	struct bed *bed = test->priv;
	struct tvq_device *tdev;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, create_another);
	bed->one[NEW].slow = &go_on;
	schedule_work(&work);
	while (!READ_ONCE(bed->one[NEW].begun))
		usleep_range(1000, 2000);
	tdev = device(bed, NEW);
	bed->one[NEW].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	flush_delayed_work(&bed->mgmt->scan_work);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	complete(&go_on);
	flush_work(&work);
	destroy_work_on_stack(&work);
	KUNIT_EXPECT_EQ(test, created, 0);
	settle(bed);
	KUNIT_EXPECT_NULL(test, device(bed, NEW));
}

/* Nor does it matter that it was the other side that had made it. */
static void gone_while_found(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go_on);
	struct bed *bed = test->priv;
	struct tvq_device *tdev;

	bed->one[NEW].slow = &go_on;
	bed->one[NEW].exists = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	while (!READ_ONCE(bed->one[NEW].begun))
		usleep_range(1000, 2000);
	tdev = device(bed, NEW);
	bed->one[NEW].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	flush_delayed_work(&bed->mgmt->scan_work);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	bed->one[NEW].slow = NULL;
	complete(&go_on);
	flush_work(&bed->mgmt->publish_work);
	settle(bed);
	settle(bed);
	KUNIT_EXPECT_NULL(test, device(bed, NEW));
}

/* One goes, and another one with its id comes, while yet another is put on the bus. */
static void replaced_while_found(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go_on);
	struct bed *bed = test->priv;
	unsigned int i;

	bed->one[3].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	settle(bed);
	KUNIT_ASSERT_NULL(test, device(bed, 3));
	bed->one[NEW].slow = &go_on;
	bed->one[NEW].exists = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	while (!READ_ONCE(bed->one[NEW].begun))
		usleep_range(1000, 2000);
	for (i = 0; i < 3; i++) {
		bed->one[3].exists = i != 1;
		tvq_mgmt_config_interrupt(bed->mgmt);
		flush_delayed_work(&bed->mgmt->scan_work);
		KUNIT_EXPECT_NOT_NULL(test, device(bed, 3));
	}
	bed->one[NEW].slow = NULL;
	complete(&go_on);
	flush_work(&bed->mgmt->publish_work);
	settle(bed);
	expect_runs(test, NEW);
	expect_runs(test, 3);
}

static void stop_all(struct work_struct *work)
{
	tvq_mgmt_stop(the_bed->mgmt);
}

/* The function is let go of while a driver waits for a device that has just come. */
static void stopped_while_found(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go_on);
	struct bed *bed = test->priv;
	struct work_struct work;
	struct tvq_device *tdev;
	unsigned int i;

	INIT_WORK_ONSTACK(&work, stop_all);
	bed->one[NEW].slow = &go_on;
	bed->one[NEW].exists = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	while (!READ_ONCE(bed->one[NEW].begun))
		usleep_range(1000, 2000);
	tdev = device(bed, NEW);
	schedule_work(&work);
	for (i = 0; i < 200 && !tvq_device_is_dead(tdev); i++)
		msleep(50);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	complete(&go_on);
	flush_work(&work);
	destroy_work_on_stack(&work);
	bed->one[NEW].slow = NULL;
	KUNIT_EXPECT_TRUE(test, xa_empty(&bed->mgmt->devices));
}

/*
 * The function is reset, after all the time that there is for those who create, under a
 * driver that is just being bound for the first time. It goes on before or after that is over.
 */
static void reset_while_coming(struct kunit *test)
{
	const bool *late = test->param_value;
	DECLARE_COMPLETION_ONSTACK(go_on);
	struct bed *bed = test->priv;
	struct tvq_device *tdev;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, create_another);
	bed->one[NEW].slow = &go_on;
	schedule_work(&work);
	while (!READ_ONCE(bed->one[NEW].begun))
		usleep_range(1000, 2000);
	tdev = device(bed, NEW);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_EXPECT_TRUE(test, test_bit(TVQ_DEVICE_LAPSED, &tdev->flags));
	bed->one[NEW].slow = NULL;
	if (!*late) {
		complete(&go_on);
		while (!test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags))
			usleep_range(1000, 2000);
	}
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	if (*late)
		complete(&go_on);
	flush_work(&work);
	destroy_work_on_stack(&work);
	KUNIT_EXPECT_EQ(test, created, 0);
	/* Not bound for what it was before, and that before create returns. */
	KUNIT_EXPECT_EQ(test, bed->one[NEW].probes, 2);
	KUNIT_EXPECT_EQ(test, bed->one[NEW].removes, 1);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_LAPSED, &tdev->flags));
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_AGAIN, &tdev->flags));
	expect_runs(test, NEW);
	settle(bed);
	expect_runs(test, NEW);
	expect_runs(test, 1);
}

static const bool late[] = { false, true };

static void late_desc(const bool *late, char *desc)
{
	strscpy(desc, *late ? "after" : "before", KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(late, late, late_desc);

/* A device that has been taken into use since the reset is not as that has left it. */
static void came_since_the_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int resets = bed->one[2].resets;

	tvq_device_thaw(device(bed, 2), true);
	settle(bed);
	KUNIT_EXPECT_GT(test, bed->one[2].resets, resets);
	expect_runs(test, 2);
}

/* --- a driver does not let go ---------------------------------------------- */

static void let_go_all(struct work_struct *work)
{
	tvq_mgmt_freeze(the_bed->mgmt, false);
}

static bool dies(struct tvq_device *tdev)
{
	unsigned int i;

	for (i = 0; i < 200 && !tvq_device_is_dead(tdev); i++)
		msleep(50);
	return tvq_device_is_dead(tdev);
}

static bool is_cut_off(struct bed *bed)
{
	unsigned int i;

	for (i = 0; i < 200 && !READ_ONCE(bed->cut_offs); i++)
		msleep(50);
	return READ_ONCE(bed->cut_offs);
}

/* Its device answers RESET, so it alone fails, and comes back with the others. */
static void expect_back(struct kunit *test, struct work_struct *work,
			struct completion *go)
{
	struct bed *bed = test->priv;
	unsigned int id;

	complete_all(go);
	flush_work(work);
	destroy_work_on_stack(work);
	bed->one[2].stuck = NULL;
	bed->one[2].removing = NULL;
	bed->one[2].mute = false;
	bed->absent = false;
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (id = 1; id <= DEVICES; id++)
		expect_runs(test, id);
}

/* It holds up a reset, or the system that is to sleep, in its freeze. */
static void freeze_is_stuck(struct kunit *test)
{
	const bool *sleep = test->param_value;
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, *sleep ? freeze_all : let_go_all);
	bed->one[2].stuck = &go;
	device(bed, 2)->let_go_time = HZ / 10;
	schedule_work(&work);
	KUNIT_EXPECT_TRUE(test, dies(device(bed, 2)));
	expect_back(test, &work, &go);
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 0);
}

/* Its driver waits for something else: at most for a driver that spins, which fails, too. */
static void stuck_and_stopped(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct tvq_device *net, *other;
	struct work_struct work;

	bed->one[NEW].exists = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	settle(bed);
	net = device(bed, 3);
	other = device(bed, NEW);
	KUNIT_ASSERT_NOT_NULL(test, other);
	net->type = VIRTIO_ID_NET;
	INIT_WORK_ONSTACK(&work, let_go_all);
	bed->one[2].stuck = &go;
	device(bed, 2)->let_go_time = HZ / 10;
	bed->mgmt->await_time = HZ / 2;
	schedule_work(&work);
	KUNIT_EXPECT_TRUE(test, dies(net));
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(device(bed, 1)));
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(other));
	net->type = TYPE;
	expect_back(test, &work, &go);
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 0);
	bed->mgmt->await_time = 60 * HZ;
}

/* What is to come is taken up after a reset that it failed before. */
static void failed_while_coming(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, let_go_all);
	bed->one[2].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	settle(bed);
	KUNIT_ASSERT_NULL(test, device(bed, 2));
	bed->one[2].slow = &go;
	bed->one[2].exists = true;
	bed->one[NEW].exists = true;
	tvq_mgmt_config_interrupt(bed->mgmt);
	while (READ_ONCE(bed->one[2].begun) < 2)
		usleep_range(1000, 2000);
	KUNIT_ASSERT_NOT_NULL(test, device(bed, NEW));
	schedule_work(&work);
	while (!READ_ONCE(bed->mgmt->frozen))
		usleep_range(1000, 2000);
	tvq_mgmt_fail(bed->mgmt, "the test");
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(device(bed, NEW)));
	complete_all(&go);
	flush_work(&work);
	destroy_work_on_stack(&work);
	bed->one[2].slow = NULL;
	KUNIT_EXPECT_EQ(test, bed->one[NEW].begun, 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	expect_runs(test, 1);
	expect_runs(test, 2);
	expect_runs(test, NEW);
}

/* Or in its remove, since it has no freeze. */
static void release_is_stuck(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, let_go_all);
	bed->one[2].freeze_err = -EOPNOTSUPP;
	bed->one[2].removing = &go;
	device(bed, 2)->let_go_time = HZ / 10;
	schedule_work(&work);
	KUNIT_EXPECT_TRUE(test, dies(device(bed, 2)));
	expect_back(test, &work, &go);
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 0);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
}

/* Not even the failure of its device helps. */
static void stuck_for_good(struct kunit *test)
{
	const bool *sleep = test->param_value;
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, *sleep ? freeze_all : let_go_all);
	bed->one[2].stuck = &go;
	bed->one[2].mute = true;
	device(bed, 2)->let_go_time = HZ / 10;
	bed->mgmt->await_time = HZ / 2;
	schedule_work(&work);
	KUNIT_EXPECT_TRUE(test, is_cut_off(bed));
	KUNIT_EXPECT_TRUE(test, dies(device(bed, 3)));
	expect_back(test, &work, &go);
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 1);
	KUNIT_EXPECT_EQ(test, bed->one[1].freezes + bed->one[1].prepares, 1);
	bed->mgmt->await_time = 60 * HZ;
}

/* The function goes while somebody waits for a driver that waits for it. */
static void absent_while_frozen(struct kunit *test)
{
	const bool *sleep = test->param_value;
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, *sleep ? freeze_all : let_go_all);
	bed->one[2].stuck = &go;
	schedule_work(&work);
	while (!READ_ONCE(bed->one[1].freezes) && !READ_ONCE(bed->one[1].prepares))
		usleep_range(1000, 2000);
	WRITE_ONCE(bed->absent, true);
	KUNIT_EXPECT_TRUE(test, is_cut_off(bed));
	KUNIT_EXPECT_TRUE(test, dies(device(bed, 2)));
	expect_back(test, &work, &go);
}

static const bool sleeps_or_not[] = { false, true };

static void sleeps_or_not_desc(const bool *sleep, char *desc)
{
	strscpy(desc, *sleep ? "sleep" : "reset", KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(sleeps_or_not, sleeps_or_not, sleeps_or_not_desc);

/* Nobody is failed as long as the device gives something back. */
static void stop_is_stuck(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);
	struct work_struct work;
	unsigned int i;

	INIT_WORK_ONSTACK(&work, stop_all);
	bed->one[2].stuck = &go;
	tdev->let_go_time = 4 * HZ;
	bed->mgmt->await_time = 4 * HZ;
	schedule_work(&work);
	for (i = 0; i < 600; i++) {
		tvq_device_is_alive(tdev);
		usleep_range(10000, 11000);
	}
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(tdev));
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 0);
	KUNIT_EXPECT_TRUE(test, dies(tdev));
	complete_all(&go);
	flush_work(&work);
	destroy_work_on_stack(&work);
	bed->one[2].stuck = NULL;
	KUNIT_EXPECT_TRUE(test, xa_empty(&bed->mgmt->devices));
}

static void fails_or_not_desc(const bool *needs_reset, char *desc)
{
	strscpy(desc, *needs_reset ? "needs a reset" : "has failed", KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(fails_or_not, sleeps_or_not, fails_or_not_desc);

/* The function is kept from memory before the driver of a device that did not stop frees some. */
static void stop_of_the_mute(struct kunit *test)
{
	const bool *needs_reset = test->param_value;
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);

	bed->one[2].mute = true;
	if (*needs_reset)
		tvq_device_needs_reset(tdev);
	else
		tvq_device_fail(tdev);
	/* It is being asked to stop just now. */
	tvq_mgmt_stop(bed->mgmt);
	KUNIT_EXPECT_EQ(test, bed->cut_offs, 1);
	KUNIT_EXPECT_EQ(test, bed->one[1].was_cut_off, 0);
	KUNIT_EXPECT_EQ(test, bed->one[2].was_cut_off, 1);
	KUNIT_EXPECT_EQ(test, bed->one[3].was_cut_off, 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&bed->mgmt->devices));
}

static int destroyed;

static void destroy_second(struct work_struct *work)
{
	destroyed = tvq_mgmt_destroy_device(the_bed->mgmt, 2, NULL);
}

/* Who destroys a device may wait for what it has taken away with it. */
static void gone_while_destroyed(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(go);
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, destroy_second);
	bed->one[2].stuck = &go;
	schedule_work(&work);
	while (!test_bit(TVQ_DEVICE_LEAVING, &tdev->flags))
		usleep_range(1000, 2000);
	bed->one[2].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	KUNIT_EXPECT_TRUE(test, dies(tdev));
	complete_all(&go);
	flush_work(&work);
	destroy_work_on_stack(&work);
	bed->one[2].stuck = NULL;
	KUNIT_EXPECT_EQ(test, destroyed, 0);
	settle(bed);
	KUNIT_EXPECT_NULL(test, device(bed, 2));
}

/* A device that refuses to be reset has failed, and is asked once more. */
static void reset_is_denied(struct kunit *test)
{
	const unsigned int *denials = test->param_value;
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);

	bed->one[2].denials = *denials;
	bed->one[2].denial = VIRTIO_TVQ_STATUS_EBUSY;
	tdev->pristine = false;
	KUNIT_EXPECT_LT(test, tvq_device_reset(tdev), 0);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	flush_work(&tdev->fail_work);
	flush_work(&tdev->quiet_work);
	KUNIT_EXPECT_EQ(test, bed->one[2].denials, 0);
	KUNIT_EXPECT_EQ(test, test_bit(TVQ_DEVICE_MUTE, &tdev->flags), *denials == 2);
	expect_runs(test, 1);
}

static const unsigned int denials[] = { 1, 2 };

static void denials_desc(const unsigned int *num, char *desc)
{
	strscpy(desc, *num == 1 ? "once" : "twice", KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(denials, denials, denials_desc);

/* One that says it is not there leaves, and comes anew if that is not so. */
static void gone_by_its_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = device(bed, 2);
	unsigned int i;

	bed->one[2].denials = 1;
	bed->one[2].denial = VIRTIO_TVQ_STATUS_ENXIO;
	tdev->pristine = false;
	KUNIT_EXPECT_EQ(test, tvq_device_reset(tdev), 0);
	for (i = 0; i < 200 && READ_ONCE(bed->one[2].probes) < 2; i++)
		msleep(50);
	settle(bed);
	KUNIT_EXPECT_EQ(test, bed->one[2].removes, 1);
	expect_runs(test, 2);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_GONE, &device(bed, 2)->flags));
}

static void lose_all(struct work_struct *work)
{
	reset_function(the_bed);
}

/* All are told that they are lost, even where the driver of one is busy. */
static void lost_at_once(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *last = device(bed, DEVICES);
	struct work_struct work;
	unsigned int i;

	INIT_WORK_ONSTACK(&work, lose_all);
	/* None of them is frozen. */
	for (i = 1; i <= DEVICES; i++)
		set_bit(TVQ_DEVICE_NEEDS_RESET, &device(bed, i)->flags);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	mutex_lock(&device(bed, 1)->drv_lock);
	schedule_work(&work);
	for (i = 0; i < 200 && !test_bit(TVQ_DEVICE_LAPSED, &last->flags); i++)
		msleep(50);
	KUNIT_EXPECT_TRUE(test, test_bit(TVQ_DEVICE_LAPSED, &last->flags));
	flush_work(&last->fail_work);
	mutex_unlock(&device(bed, 1)->drv_lock);
	flush_work(&work);
	destroy_work_on_stack(&work);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	for (i = 1; i <= DEVICES; i++)
		expect_runs(test, i);
}

/* A sleep that comes to nothing resets no device. */
static void sleep_refused_and_not_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct device *vdev = device_find_any_child(&device(bed, 1)->dev);
	unsigned int resets;

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	device_release_driver(vdev);
	device(bed, 1)->pristine = false;
	bed->one[2].freeze_err = -EBUSY;
	resets = bed->one[1].resets;
	KUNIT_EXPECT_EQ(test, tvq_mgmt_freeze(bed->mgmt, true), -EBUSY);
	settle(bed);
	KUNIT_EXPECT_EQ(test, tvq_device_reset(device(bed, 1)), 0);
	KUNIT_EXPECT_EQ(test, bed->one[1].resets, resets + 1);
	KUNIT_EXPECT_EQ(test, device_attach(vdev), 1);
	put_device(vdev);
}

/* A device without a driver does not keep the queues that are broken from its next one. */
static void idle_and_no_way_back(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct device *vdev = device_find_any_child(&device(bed, 1)->dev);

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	device_release_driver(vdev);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_EXPECT_EQ(test, thaw(bed, -ENODEV), -ENODEV);
	KUNIT_ASSERT_EQ(test, tvq_mgmt_freeze(bed->mgmt, false), 0);
	reset_function(bed);
	KUNIT_ASSERT_EQ(test, thaw(bed, 0), 0);
	settle(bed);
	/* There are no interrupts here, but for queues that are broken from the start. */
	KUNIT_EXPECT_EQ(test, device_attach(vdev), 1);
	bed->one[1].wants_vq = true;
	KUNIT_EXPECT_LT(test, test_take_up(dev_to_virtio(vdev)), 0);
	bed->one[1].wants_vq = false;
	put_device(vdev);
}

/* Who waits for the first list does not wait for all drivers. */
static void drivers_are_slow(struct kunit *test)
{
	struct bed *bed = test->priv;
	unsigned int id, i, found = 0;

	bed->one[2].exists = false;
	bed->one[3].exists = false;
	tvq_mgmt_config_interrupt(bed->mgmt);
	settle(bed);
	bed->mgmt->scan_time = HZ / 2;
	for (id = 2; id <= NEW; id++) {
		bed->one[id].exists = true;
		bed->one[id].probe_ms = 1000;
	}
	tvq_mgmt_config_interrupt(bed->mgmt);
	tvq_mgmt_flush(bed->mgmt);
	for (id = 2; id <= NEW; id++)
		found += READ_ONCE(bed->one[id].begun) - (id != NEW);
	/* It may have been begun again when somebody came to wait for it. */
	KUNIT_EXPECT_GE(test, found, 1);
	KUNIT_EXPECT_LE(test, found, 2);
	for (i = 0; i < 200 && !READ_ONCE(bed->one[NEW].probes); i++)
		msleep(50);
	settle(bed);
	for (id = 2; id <= NEW; id++)
		expect_runs(test, id);
}

static struct kunit_case power_cases[] = {
	KUNIT_CASE_PARAM(admin_lists_come_again, kind_gen_params),
	KUNIT_CASE_PARAM(admin_stopped_goes_on, kind_gen_params),
	KUNIT_CASE(admin_stopped_holds_up_nobody),
	KUNIT_CASE(admin_stop_denied),
	KUNIT_CASE(admin_stopped_and_mute),
	KUNIT_CASE(admin_mute_after_a_reset),
	KUNIT_CASE(admin_no_way_back),
	KUNIT_CASE(admin_outstanding_at_a_dead_function),
	KUNIT_CASE(admin_stopped_leaves_slowly),
	KUNIT_CASE(gone_at_once),
	KUNIT_CASE(sleeps),
	KUNIT_CASE(is_reset),
	KUNIT_CASE(sleep_refused),
	KUNIT_CASE(reset_refused),
	KUNIT_CASE(failed_is_reset),
	KUNIT_CASE(failed_is_bound_again),
	KUNIT_CASE(restore_fails),
	KUNIT_CASE(negotiation_refused),
	KUNIT_CASE(gone_meanwhile),
	KUNIT_CASE(changed_meanwhile),
	KUNIT_CASE_PARAM(no_way_back, thaw_error_gen_params),
	KUNIT_CASE(removed_asleep),
	KUNIT_CASE(leaves_slowly),
	KUNIT_CASE(recovers_slowly),
	KUNIT_CASE(driver_unbound_in_reset),
	KUNIT_CASE(driver_bound_in_reset),
	KUNIT_CASE(failed_is_told_to_stop),
	KUNIT_CASE(absence_is_noticed),
	KUNIT_CASE(reset_in_recovery),
	KUNIT_CASE(unbound_asleep),
	KUNIT_CASE(bound_asleep),
	KUNIT_CASE(mute_is_reset),
	KUNIT_CASE(wrong_offers),
	KUNIT_CASE(wrong_devices),
	KUNIT_CASE(wrong_answer),
	KUNIT_CASE(scan_lacks_memory),
	KUNIT_CASE(scan_refused),
	KUNIT_CASE(scan_refused_for_ever),
	KUNIT_CASE(scan_storm),
	KUNIT_CASE_SLOW(scan_is_slow),
	KUNIT_CASE_SLOW(drivers_are_slow),
	KUNIT_CASE_PARAM(freeze_is_stuck, sleeps_or_not_gen_params),
	KUNIT_CASE(release_is_stuck),
	KUNIT_CASE_SLOW(stuck_and_stopped),
	KUNIT_CASE(failed_while_coming),
	KUNIT_CASE_PARAM_ATTR(stuck_for_good, sleeps_or_not_gen_params,
			      {.speed = KUNIT_SPEED_SLOW}),
	KUNIT_CASE_PARAM_ATTR(absent_while_frozen, sleeps_or_not_gen_params,
			      {.speed = KUNIT_SPEED_SLOW}),
	KUNIT_CASE_SLOW(stop_is_stuck),
	KUNIT_CASE_PARAM(stop_of_the_mute, fails_or_not_gen_params),
	KUNIT_CASE(gone_while_destroyed),
	KUNIT_CASE_PARAM(reset_is_denied, denials_gen_params),
	KUNIT_CASE(gone_by_its_reset),
	KUNIT_CASE(lost_at_once),
	KUNIT_CASE(sleep_refused_and_not_reset),
	KUNIT_CASE(idle_and_no_way_back),
	KUNIT_CASE(leaves_while_frozen),
	KUNIT_CASE(changed_and_no_list),
	KUNIT_CASE(gone_while_coming),
	KUNIT_CASE(gone_while_found),
	KUNIT_CASE(replaced_while_found),
	KUNIT_CASE(stopped_while_found),
	KUNIT_CASE(came_since_the_reset),
	KUNIT_CASE_PARAM_ATTR(reset_while_coming, late_gen_params, {.speed = KUNIT_SPEED_SLOW}),
	KUNIT_CASE_SLOW(busy),
	{}
};

static struct kunit_suite power_suite = {
	.name = "tvq_power",
	.init = power_init,
	.exit = power_exit,
	.test_cases = power_cases,
};

kunit_test_suites(&power_suite);
