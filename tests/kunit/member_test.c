// SPDX-License-Identifier: GPL-2.0
/*
 * Members of device groups: what is agreed upon at the start, and what stopping a managed
 * device, its parts and what it is provisioned with take. The device is a fake
 * link; there are no virtual functions, but the commands for them.
 */
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio_tvq.h>
#include <linux/workqueue.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/bus.h"
#include "../../drivers/virtio_tvq/mgmt.h"

#define DEADLINE_MS	100
#define ID		7

/* A command as the device saw it: its number, and the lower part of its group. */
#define CMD(opcode, group)	((opcode) << 8 | ((group) & 0xff))
#define SELF_CMD(opcode)	CMD(opcode, 0x80)
#define VF_CMD(opcode)		CMD(opcode, 0x01)
#define MANAGED_CMD(opcode)	CMD(opcode, 0x00)

/**
 * struct bed - a management device, as far as its members need one
 * @mgmt: it
 * @tdev: a managed device
 * @admin_link: its admin virtqueue
 * @link: its transport virtqueue
 * @parent: the function
 * @commands: the admin commands that it got, see CMD
 * @num: how many
 * @fail_opcode: this one is refused, @fail_times times
 * @fail_status: with this status
 * @fail_times: see above
 * @absent: this group is not there
 * @caps: the capability ids that it has
 * @limits: the limits of device parts
 * @num_vfs: virtual functions that are enabled
 * @member: the member of the last command
 * @data: the first bytes of the last command's data
 * @vqs: how many queues DESCRIBE says
 * @no_memory: so many DESCRIBEs are refused for want of memory
 * @mute: nothing is answered
 * @first: a command that follows now is the first one after a reset
 * @after: the first one after a reset
 */
struct bed {
	struct tvq_mgmt *mgmt;
	struct tvq_device *tdev;
	struct fake_link *admin_link;
	struct fake_link *link;
	struct device *parent;
	u32 commands[64];
	unsigned int num;
	u16 fail_opcode;
	u16 fail_status;
	unsigned int fail_times;
	u16 absent;
	u8 caps;
	u8 limits[2];
	unsigned int num_vfs;
	u64 member;
	u8 data[32];
	u8 vqs;
	unsigned int no_memory;
	bool mute;
	bool first;
	u32 after;
};

static const u8 status_part[] = {
	3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 15
};

static int admin_answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	struct bed *bed = link->priv;
	u16 opcode = get_unaligned_le16(cmd->out);
	u16 group = get_unaligned_le16(cmd->out + 2);
	u8 *result = cmd->in + 8;

	if (bed->mute)
		return -1;
	if (bed->first)
		bed->after = group ? CMD(opcode, group) : SELF_CMD(opcode);
	bed->first = false;
	if (bed->num < ARRAY_SIZE(bed->commands))
		bed->commands[bed->num++] =
			group ? CMD(opcode, group) : SELF_CMD(opcode);
	bed->member = get_unaligned_le64(cmd->out + 16);
	memset(bed->data, 0, sizeof(bed->data));
	memcpy(bed->data, cmd->out + 24,
	       min(cmd->out_len - 24, sizeof(bed->data)));
	if (group == bed->absent) {
		put_unaligned_le16(22, cmd->in);
		put_unaligned_le16(4, cmd->in + 2);
		return 8;
	}
	if (bed->fail_times && opcode == bed->fail_opcode) {
		bed->fail_times--;
		put_unaligned_le16(bed->fail_status, cmd->in);
		put_unaligned_le16(1, cmd->in + 2);
		return 8;
	}
	switch (opcode) {
	case 0:
		put_unaligned_le64(U64_MAX, result);
		put_unaligned_le64(U64_MAX, cmd->in + 4072);
		return 8 + 4072;
	case 7:
		result[0] = bed->caps;
		return 9;
	case 8:
		memcpy(result, bed->limits, 2);
		return 10;
	case 0xe:
		result[0] = sizeof(status_part);
		return 9;
	case 0xf:
		memcpy(result, status_part, sizeof(status_part));
		return 8 + sizeof(status_part);
	case 0x7f00:
		put_unaligned_le32(0x00010203, result);
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

/* LIMITS and DESCRIBE, and yes to everything else. */
static int answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	const struct virtio_tvq_hdr *hdr = cmd->out;
	u8 *in = cmd->in + sizeof(__le32);
	struct bed *bed = link->priv;
	struct virtio_tvq_device_info *info = (void *)in;
	struct virtio_tvq_limits *limits = (void *)in;
	unsigned int i;

	switch (le16_to_cpu(hdr->class) << 8 | le16_to_cpu(hdr->command)) {
	case 0x0001:
		limits->devices_max = cpu_to_le32(1);
		limits->device_vqs_max = cpu_to_le16(4);
		limits->device_vectors_max = cpu_to_le16(4);
		limits->config_max = cpu_to_le16(4);
		limits->command_out_max = cpu_to_le32(4096);
		limits->command_in_max = cpu_to_le32(4096);
		return sizeof(__le32) + sizeof(*limits);
	case 0x0100:
		if (bed->no_memory) {
			bed->no_memory--;
			put_unaligned_le32(VIRTIO_TVQ_ERR, cmd->in);
			put_unaligned_le16(VIRTIO_TVQ_STATUS_ENOMEM, in);
			return sizeof(__le32) + sizeof(struct virtio_tvq_error);
		}
		info->device_id = cpu_to_le64(ID);
		info->type = cpu_to_le32(99);
		info->features[0] = cpu_to_le64(0x300000000ull);
		info->num_vqs = cpu_to_le16(bed->vqs);
		for (i = 0; i < bed->vqs; i++)
			put_unaligned_le16(16, in + sizeof(*info) + 2 * i);
		return sizeof(__le32) + sizeof(*info) + 2 * bed->vqs;
	default:
		return sizeof(__le32) + 8;
	}
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_cmdq_interrupt(bed->mgmt->cmdq);
}

static unsigned int num_vfs(void *link)
{
	struct bed *bed = link;

	return bed->num_vfs;
}

static const struct tvq_mgmt_ops mgmt_ops = {
	.num_vfs = num_vfs,
};

static void new_device(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_info info = { .id = ID, .type = 99, .num_vqs = 1 };

	info.config = kzalloc(1, GFP_KERNEL);
	info.vq_size = kcalloc(1, sizeof(u16), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, info.config);
	KUNIT_ASSERT_NOT_NULL(test, info.vq_size);
	bed->tdev = tvq_device_alloc(bed->mgmt, bed->parent, 4712,
				     bed->mgmt->cmdq, &info, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->tdev);
}

static int member_init(struct kunit *test)
{
	struct tvq_limits limits;
	struct tvq_queue queue;
	const struct tvq_admin_params params = {
		.ops = &fake_link_ops,
		.queues = &queue,
		.num_queues = 1,
		.timeout_ms = DEADLINE_MS,
	};
	struct tvq_admin_params with_dev = params;
	struct bed *bed;

	bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bed);
	test->priv = bed;
	bed->absent = 0xffff;
	bed->caps = 1;
	memset(bed->limits, 4, sizeof(bed->limits));
	bed->vqs = 1;
	bed->mgmt = kunit_kzalloc(test, sizeof(*bed->mgmt), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bed->mgmt);
	bed->admin_link = fake_link_create(test, 16);
	bed->admin_link->answer = admin_answer;
	bed->admin_link->interrupt = admin_interrupt;
	bed->admin_link->priv = bed;
	bed->link = fake_link_create(test, 16);
	bed->link->answer = answer;
	bed->link->interrupt = on_interrupt;
	bed->link->priv = bed;
	bed->parent = root_device_register("tvq_kunit_member");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->parent);

	queue.link = bed->admin_link;
	queue.slots = 16;
	with_dev.dev = bed->parent;
	bed->mgmt->parent = bed->parent;
	bed->mgmt->ops = &mgmt_ops;
	bed->mgmt->link = bed;
	spin_lock_init(&bed->mgmt->gate_lock);
	init_waitqueue_head(&bed->mgmt->gate_queue);
	bed->mgmt->admin = tvq_admin_create(&with_dev);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->mgmt->admin);
	bed->mgmt->cmdq = tvq_cmdq_create(&fake_link_ops, bed->link, 16,
					  DEADLINE_MS, bed->parent, NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->mgmt->cmdq);
	KUNIT_ASSERT_EQ(test, tvq_cmd_limits(bed->mgmt->cmdq, &limits), 0);
	new_device(test);
	return 0;
}

static void member_exit(struct kunit *test)
{
	struct bed *bed = test->priv;

	if (!bed || !bed->tdev)
		return;
	fake_link_shut(bed->link);
	fake_link_shut(bed->admin_link);
	cancel_delayed_work_sync(&bed->tdev->config_work);
	tvq_device_put(bed->tdev);
	tvq_admin_destroy(bed->mgmt->admin);
	tvq_cmdq_destroy(bed->mgmt->cmdq);
	root_device_unregister(bed->parent);
}

static void expect_commands(struct kunit *test, const u32 *commands,
			    unsigned int num)
{
	struct bed *bed = test->priv;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, bed->num, num);
	for (i = 0; i < min(num, bed->num); i++)
		KUNIT_EXPECT_EQ_MSG(test, bed->commands[i], commands[i],
				    "command %u", i);
	bed->num = 0;
}

#define EXPECT_COMMANDS(test, ...)					\
	expect_commands(test, (const u32 []){ __VA_ARGS__ },		\
			sizeof((const u32 []){ __VA_ARGS__ }) / sizeof(u32))

/* Lists first, and the capability before anything that depends on it. */
static void start_order(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	EXPECT_COMMANDS(test, SELF_CMD(0), SELF_CMD(1), SELF_CMD(7), SELF_CMD(8),
			SELF_CMD(9), MANAGED_CMD(0), MANAGED_CMD(1));
	KUNIT_EXPECT_TRUE(test, bed->mgmt->parts);
	KUNIT_EXPECT_TRUE(test, tvq_member_can(bed->tdev, 0x11));
	KUNIT_EXPECT_TRUE(test, tvq_member_can(bed->tdev, 0x7f01));
}

/* After a reset all of it comes again, and the virtual functions with it. */
static void start_again(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	bed->num_vfs = 3;
	tvq_admin_break(bed->mgmt->admin);
	bed->admin_link->stops = 0;
	tvq_admin_revive(bed->mgmt->admin);
	KUNIT_EXPECT_FALSE(test, tvq_member_can(bed->tdev, 0x11));
	bed->num = 0;
	tvq_member_start(bed->mgmt);
	EXPECT_COMMANDS(test, SELF_CMD(0), SELF_CMD(1), SELF_CMD(7), SELF_CMD(8),
			SELF_CMD(9), MANAGED_CMD(0), MANAGED_CMD(1), VF_CMD(0),
			VF_CMD(1));
	KUNIT_EXPECT_TRUE(test, tvq_member_can(bed->tdev, 0x11));
}

static void start_without_admin(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_admin *admin = bed->mgmt->admin;
	u32 total;

	bed->mgmt->admin = NULL;
	tvq_member_start(bed->mgmt);
	KUNIT_EXPECT_FALSE(test, tvq_member_can(bed->tdev, 0x11));
	KUNIT_EXPECT_EQ(test, tvq_member_use_vfs(bed->mgmt), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, tvq_member_vf_vectors_total(bed->mgmt, &total),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, tvq_member_set_vf_vectors(bed->mgmt, 1, 1),
			-EOPNOTSUPP);
	bed->mgmt->admin = admin;
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

/* A device that does not know the self group is not asked for more. */
static void start_without_self(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->absent = 0;
	tvq_member_start(bed->mgmt);
	EXPECT_COMMANDS(test, SELF_CMD(0));
	KUNIT_EXPECT_FALSE(test, tvq_member_can(bed->tdev, 0x11));
}

static void start_without_managed(struct kunit *test)
{
	struct bed *bed = test->priv;
	void *parts;

	bed->absent = VIRTIO_TVQ_ADMIN_GROUP_MANAGED;
	tvq_member_start(bed->mgmt);
	KUNIT_EXPECT_FALSE(test, tvq_member_can(bed->tdev, 0x11));
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

struct parts_case {
	const char *name;
	u8 caps;
	u8 get_limit;
	u8 set_limit;
	u16 fail_opcode;
};

static const struct parts_case parts_cases[] = {
	{ "no such capability", 2, 4, 4, 0xffff },
	{ "nothing can be got", 1, 0, 4, 0xffff },
	{ "nothing can be set", 1, 4, 0, 0xffff },
	{ "no list of capabilities", 1, 4, 4, 7 },
	{ "the capability is not told", 1, 4, 4, 8 },
	{ "the capability is refused", 1, 4, 4, 9 },
};

KUNIT_ARRAY_PARAM_DESC(parts, parts_cases, name);

/* The device can be stopped all the same. */
static void start_without_parts(struct kunit *test)
{
	const struct parts_case *c = test->param_value;
	struct bed *bed = test->priv;
	void *parts;

	bed->caps = c->caps;
	bed->limits[0] = c->get_limit;
	bed->limits[1] = c->set_limit;
	bed->fail_opcode = c->fail_opcode;
	bed->fail_status = 6;
	bed->fail_times = 1;
	tvq_member_start(bed->mgmt);
	KUNIT_EXPECT_FALSE(test, bed->mgmt->parts);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(bed->tdev, status_part, 17),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), 0);
}

/* No more objects than are used, whatever the device could have. */
static void capability(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->fail_opcode = 9;
	bed->fail_status = 16;
	bed->fail_times = 1;
	bed->absent = VIRTIO_TVQ_ADMIN_GROUP_MANAGED;
	tvq_member_start(bed->mgmt);
	/* The list of the managed group came last, and has no data. */
	KUNIT_EXPECT_EQ(test, bed->commands[4], SELF_CMD(9));
	KUNIT_EXPECT_FALSE(test, bed->mgmt->parts);
	KUNIT_EXPECT_EQ(test, tvq_admin_driver_cap(bed->mgmt->admin, 0, "\1\1", 2), 0);
	KUNIT_EXPECT_MEMEQ(test, bed->data, "\0\0\0\0\0\0\0\0\1\1\0", 11);
}

static void mode(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	bed->num = 0;
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
	tvq_member_resume(bed->tdev);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), 0);
	KUNIT_EXPECT_EQ(test, bed->member, ID);
	KUNIT_EXPECT_EQ(test, bed->data[0], 1);
	KUNIT_EXPECT_TRUE(test, tvq_member_stopped(bed->tdev));
	tvq_member_resume(bed->tdev);
	KUNIT_EXPECT_EQ(test, bed->data[0], 0);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(bed->tdev));
	EXPECT_COMMANDS(test, MANAGED_CMD(0x11), MANAGED_CMD(0x11));

	bed->fail_opcode = 0x11;
	bed->fail_status = 22;
	bed->fail_times = 1;
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), -EINVAL);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
}

/* Whoever would wait for a device that stays stopped has to see that it does. */
static void resume_fails(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), 0);
	bed->fail_opcode = 0x11;
	bed->fail_status = 22;
	bed->fail_times = 1;
	tvq_member_resume(bed->tdev);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(bed->tdev));
}

static void resume_without_answer(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), 0);
	bed->mute = true;
	tvq_member_resume(bed->tdev);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(bed->tdev));
}

/* The list may be wrong, and the device is found again: it is not left as it was stopped. */
static void gone_is_resumed(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), 0);
	bed->num = 0;
	set_bit(TVQ_DEVICE_GONE, &bed->tdev->flags);
	tvq_member_resume(bed->tdev);
	EXPECT_COMMANDS(test, MANAGED_CMD(0x11));
	KUNIT_EXPECT_EQ(test, bed->data[0], 0);
}

/* It need not be there. */
static void gone_and_resume_fails(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), 0);
	set_bit(TVQ_DEVICE_GONE, &bed->tdev->flags);
	bed->fail_opcode = 0x11;
	bed->fail_status = 6;
	bed->fail_times = 1;
	tvq_member_resume(bed->tdev);
	KUNIT_EXPECT_EQ(test, bed->fail_times, 0);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(bed->tdev));
}

/* It may have been stopped, so it is let go on before somebody waits for it. */
static void stop_without_answer(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	bed->mute = true;
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), -ETIMEDOUT);
	KUNIT_EXPECT_TRUE(test, tvq_member_stopped(bed->tdev));
	bed->mute = false;
	bed->num = 0;
	tvq_member_resume(bed->tdev);
	EXPECT_COMMANDS(test, MANAGED_CMD(0x11));
	KUNIT_EXPECT_EQ(test, bed->data[0], 0);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(bed->tdev));
}

/**
 * struct someone - who uses a member beside the test
 * @work: he
 * @bed: where
 * @err: what came of it
 */
struct someone {
	struct work_struct work;
	struct bed *bed;
	int err;
};

static void stop_it(struct work_struct *work)
{
	struct someone *who = container_of(work, struct someone, work);

	who->err = tvq_member_set_mode(who->bed->tdev, true);
}

/* It may have been stopped, and nobody can let it go on: nobody is to wait for it. */
static void stop_and_the_queue_breaks(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct someone who = { .bed = bed };
	unsigned int posts;

	INIT_WORK_ONSTACK(&who.work, stop_it);
	tvq_member_start(bed->mgmt);
	bed->mute = true;
	posts = bed->admin_link->posts;
	schedule_work(&who.work);
	while (READ_ONCE(bed->admin_link->posts) == posts)
		usleep_range(100, 200);
	tvq_admin_break(bed->mgmt->admin);
	flush_work(&who.work);
	destroy_work_on_stack(&who.work);
	KUNIT_EXPECT_EQ(test, who.err, -ETIMEDOUT);
	KUNIT_EXPECT_TRUE(test, tvq_member_stopped(bed->tdev));
	tvq_member_resume(bed->tdev);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(bed->tdev));
}

/* What was not sent stops nobody, and who goes on is not given up for it. */
static void stop_on_a_broken_queue(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_member_start(bed->mgmt);
	tvq_admin_break(bed->mgmt->admin);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), -EIO);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
	tvq_member_resume(bed->tdev);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(bed->tdev));
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

/* Who resets the function waits, but not for ever: then it is too late to stop one. */
static void stop_comes_too_late(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct someone who = { .bed = bed };

	INIT_WORK_ONSTACK(&who.work, stop_it);
	tvq_member_start(bed->mgmt);
	bed->num = 0;
	mutex_lock(&bed->tdev->member_lock);
	schedule_work(&who.work);
	while (!READ_ONCE(bed->mgmt->busy))
		usleep_range(1000, 2000);
	WRITE_ONCE(bed->mgmt->frozen, true);
	mutex_unlock(&bed->tdev->member_lock);
	flush_work(&who.work);
	destroy_work_on_stack(&who.work);
	KUNIT_EXPECT_EQ(test, who.err, -EAGAIN);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_FALSE(test, tvq_member_stopped(bed->tdev));
}

static void get_it(struct work_struct *work)
{
	struct someone *who = container_of(work, struct someone, work);
	union tvq_member_value value;

	who->err = tvq_member_get(who->bed->tdev, VIRTIO_TVQ_MEMBER_VQS, &value);
}

/* A command that is tried again and again is not what a device sees first of all. */
static void retry_ends_with_a_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct someone who = { .bed = bed };

	INIT_WORK_ONSTACK(&who.work, get_it);
	tvq_member_start(bed->mgmt);
	bed->fail_opcode = VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET;
	bed->fail_status = 11;
	bed->fail_times = UINT_MAX;
	bed->num = 0;
	schedule_work(&who.work);
	while (!READ_ONCE(bed->num))
		usleep_range(100, 200);
	tvq_admin_halt(bed->mgmt->admin);
	scoped_guard(spinlock_irqsave, &bed->admin_link->lock) {
		bed->admin_link->stops = 0;
		bed->first = true;
	}
	tvq_admin_revive(bed->mgmt->admin);
	tvq_member_start(bed->mgmt);
	flush_work(&who.work);
	destroy_work_on_stack(&who.work);
	KUNIT_EXPECT_EQ(test, who.err, -EIO);
	KUNIT_EXPECT_EQ(test, bed->after, SELF_CMD(0));
}

/* Its id may be another's by now, which is not to be changed in its place. */
static void gone_is_left_alone(struct kunit *test)
{
	union tvq_member_value value = { .number = 3 };
	struct bed *bed = test->priv;
	struct tvq_device *tdev = bed->tdev;
	void *parts;

	tvq_member_start(bed->mgmt);
	bed->num = 0;
	set_bit(TVQ_DEVICE_GONE, &tdev->flags);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(tdev, true), -ENODEV);
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(tdev, &parts), -ENODEV);
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(tdev, status_part, 17), -ENODEV);
	KUNIT_EXPECT_EQ(test, tvq_member_get(tdev, 4, &value), -ENODEV);
	KUNIT_EXPECT_EQ(test, tvq_member_set(tdev, 4, &value), -ENODEV);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, bed->mgmt->busy, 0);
}

static void get_parts(struct kunit *test)
{
	struct bed *bed = test->priv;
	void *parts = NULL;

	tvq_member_start(bed->mgmt);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), 17);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa), MANAGED_CMD(0xe),
			MANAGED_CMD(0xf), MANAGED_CMD(0xd));
	KUNIT_ASSERT_NOT_NULL(test, parts);
	KUNIT_EXPECT_MEMEQ(test, parts, status_part, 17);
	kvfree(parts);

	/* The object is destroyed, whatever fails. */
	bed->fail_opcode = 0xe;
	bed->fail_status = 12;
	bed->fail_times = 1;
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), -ENOMEM);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa), MANAGED_CMD(0xe), MANAGED_CMD(0xd));
	bed->fail_opcode = 0xf;
	bed->fail_times = 1;
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), -ENOMEM);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa), MANAGED_CMD(0xe),
			MANAGED_CMD(0xf), MANAGED_CMD(0xd));
	bed->fail_opcode = 0xa;
	bed->fail_status = 28;
	bed->fail_times = 1;
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), -ENOSPC);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa));
}

/* Of an object that could not be destroyed the last time. */
static void object_left(struct kunit *test)
{
	struct bed *bed = test->priv;
	void *parts;

	tvq_member_start(bed->mgmt);
	bed->num = 0;
	bed->fail_opcode = 0xa;
	bed->fail_status = 17;
	bed->fail_times = 1;
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), 17);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa), MANAGED_CMD(0xd),
			MANAGED_CMD(0xa), MANAGED_CMD(0xe), MANAGED_CMD(0xf),
			MANAGED_CMD(0xd));
	kvfree(parts);
	/* Once, not for ever. */
	bed->fail_times = 2;
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(bed->tdev, &parts), -EEXIST);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa), MANAGED_CMD(0xd), MANAGED_CMD(0xa));
}

static void set_parts(struct kunit *test)
{
	struct bed *bed = test->priv;
	u8 *big = kunit_kzalloc(test, TVQ_ADMIN_PARTS_MAX + 1, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, big);
	tvq_member_start(bed->mgmt);
	bed->num = 0;
	/* Nothing of that is sent. */
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(bed->tdev, status_part, 17),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(bed->tdev, status_part, 16),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(bed->tdev, big,
						   TVQ_ADMIN_PARTS_MAX + 1),
			-EFBIG);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(bed->tdev, true), 0);
	bed->num = 0;
	KUNIT_EXPECT_TRUE(test, bed->tdev->pristine);
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(bed->tdev, status_part, 17), 0);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa), MANAGED_CMD(0x10), MANAGED_CMD(0xd));
	/* A driver that is bound now does not leave out its reset. */
	KUNIT_EXPECT_FALSE(test, bed->tdev->pristine);
	bed->fail_opcode = 0x10;
	bed->fail_status = 22;
	bed->fail_times = 1;
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(bed->tdev, status_part, 17),
			-EINVAL);
	EXPECT_COMMANDS(test, MANAGED_CMD(0xa), MANAGED_CMD(0x10), MANAGED_CMD(0xd));
}

static void provision(struct kunit *test)
{
	union tvq_member_value value = { .number = 3 };
	struct bed *bed = test->priv;
	struct tvq_device *tdev = bed->tdev;

	tvq_member_start(bed->mgmt);
	bed->num = 0;
	bed->vqs = 3;
	KUNIT_EXPECT_EQ(test, tvq_member_set(tdev, VIRTIO_TVQ_MEMBER_VQS, &value), 0);
	EXPECT_COMMANDS(test, MANAGED_CMD(0x7f01));
	KUNIT_EXPECT_EQ(test, bed->member, ID);
	KUNIT_EXPECT_MEMEQ(test, bed->data, "\4\0\0\0\0\0\0\0\3\0\0", 11);
	KUNIT_EXPECT_EQ(test, tdev->num_vqs, 3);
	KUNIT_EXPECT_EQ(test, tdev->features[0], 0x300000000ull);
	/* Refused: the description is the old one. */
	bed->vqs = 4;
	bed->fail_opcode = 0x7f01;
	bed->fail_status = 28;
	bed->fail_times = 1;
	KUNIT_EXPECT_EQ(test, tvq_member_set(tdev, VIRTIO_TVQ_MEMBER_VQS, &value),
			-ENOSPC);
	KUNIT_EXPECT_EQ(test, tdev->num_vqs, 3);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(tdev));
	/* Set, and no memory, twice, to describe it. */
	bed->no_memory = 2;
	KUNIT_EXPECT_EQ(test, tvq_member_set(tdev, VIRTIO_TVQ_MEMBER_VQS, &value), 0);
	KUNIT_EXPECT_EQ(test, tdev->num_vqs, 4);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(tdev));
	/* Set, and then a description that can't be true: nobody may bind to that. */
	bed->vqs = 5;
	KUNIT_EXPECT_EQ(test, tvq_member_set(tdev, VIRTIO_TVQ_MEMBER_VQS, &value),
			-EPROTO);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	/* Nor is it provisioned any more. */
	bed->num = 0;
	bed->vqs = 3;
	KUNIT_EXPECT_EQ(test, tvq_member_set(tdev, VIRTIO_TVQ_MEMBER_VQS, &value), -EIO);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
}

/* Who resets the function asks whether it is the same, and may not take the device lock. */
static void same_device(struct kunit *test)
{
	struct tvq_info info = { .id = ID, .type = 99, .num_vqs = 1 };
	struct bed *bed = test->priv;
	u16 size = 0;

	info.vq_size = &size;
	device_lock(&bed->tdev->dev);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_as(bed->tdev, &info));
	device_unlock(&bed->tdev->dev);
	size = 16;
	KUNIT_EXPECT_FALSE(test, tvq_device_is_as(bed->tdev, &info));
	size = 0;
	info.num_vectors = 1;
	KUNIT_EXPECT_FALSE(test, tvq_device_is_as(bed->tdev, &info));
	info.num_vectors = 0;
	info.features[1] = 1;
	KUNIT_EXPECT_FALSE(test, tvq_device_is_as(bed->tdev, &info));
	info.features[1] = 0;
	info.config_len = 4;
	KUNIT_EXPECT_FALSE(test, tvq_device_is_as(bed->tdev, &info));
	info.config_len = 0;
	strscpy(info.name, "x");
	KUNIT_EXPECT_FALSE(test, tvq_device_is_as(bed->tdev, &info));
}

/* Nobody waits while the function is reset: it may be the reset that waits for him. */
static void frozen(struct kunit *test)
{
	union tvq_member_value value = { .number = 3 };
	struct bed *bed = test->priv;
	struct tvq_device *tdev = bed->tdev;
	void *parts;

	tvq_member_start(bed->mgmt);
	bed->num = 0;
	bed->mgmt->frozen = true;
	KUNIT_EXPECT_EQ(test, tvq_member_set_mode(tdev, true), -EAGAIN);
	KUNIT_EXPECT_EQ(test, tvq_member_get_parts(tdev, &parts), -EAGAIN);
	KUNIT_EXPECT_EQ(test, tvq_member_set_parts(tdev, status_part, 17), -EAGAIN);
	KUNIT_EXPECT_EQ(test, tvq_member_get(tdev, 4, &value), -EAGAIN);
	KUNIT_EXPECT_EQ(test, tvq_member_set(tdev, 4, &value), -EAGAIN);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, bed->mgmt->busy, 0);
	bed->mgmt->frozen = false;
	KUNIT_EXPECT_EQ(test, tvq_member_get(tdev, 4, &value), 0);
	KUNIT_EXPECT_EQ(test, value.number, 0x0203);
	KUNIT_EXPECT_EQ(test, bed->mgmt->busy, 0);
}

static void virtual_functions(struct kunit *test)
{
	struct bed *bed = test->priv;
	u32 total = 0;

	tvq_member_start(bed->mgmt);
	bed->num = 0;
	KUNIT_EXPECT_EQ(test, tvq_member_set_vf_vectors(bed->mgmt, 3, 9), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, bed->num, 0);
	KUNIT_EXPECT_EQ(test, tvq_member_use_vfs(bed->mgmt), 0);
	KUNIT_EXPECT_EQ(test, tvq_member_vf_vectors_total(bed->mgmt, &total), 0);
	KUNIT_EXPECT_EQ(test, bed->member, 1);
	KUNIT_EXPECT_EQ(test, bed->data[0], VIRTIO_TVQ_MEMBER_VECTORS_TOTAL);
	KUNIT_EXPECT_EQ(test, total, 0x00010203);
	KUNIT_EXPECT_EQ(test, tvq_member_set_vf_vectors(bed->mgmt, 3, 9), 0);
	KUNIT_EXPECT_EQ(test, bed->member, 3);
	KUNIT_EXPECT_MEMEQ(test, bed->data, "\5\0\0\0\0\0\0\0\11\0\0", 11);
	KUNIT_EXPECT_EQ(test, tvq_member_set_vf_vectors(bed->mgmt, 3, 65536), -ERANGE);
	EXPECT_COMMANDS(test, VF_CMD(0), VF_CMD(1), VF_CMD(0x7f00), VF_CMD(0x7f01));
}

static struct kunit_case member_cases[] = {
	KUNIT_CASE(start_order),
	KUNIT_CASE(start_again),
	KUNIT_CASE(start_without_admin),
	KUNIT_CASE(start_without_self),
	KUNIT_CASE(start_without_managed),
	KUNIT_CASE_PARAM(start_without_parts, parts_gen_params),
	KUNIT_CASE(capability),
	KUNIT_CASE(mode),
	KUNIT_CASE(resume_fails),
	KUNIT_CASE(resume_without_answer),
	KUNIT_CASE(gone_is_resumed),
	KUNIT_CASE(gone_and_resume_fails),
	KUNIT_CASE(gone_is_left_alone),
	KUNIT_CASE(stop_without_answer),
	KUNIT_CASE(stop_and_the_queue_breaks),
	KUNIT_CASE(stop_on_a_broken_queue),
	KUNIT_CASE(stop_comes_too_late),
	KUNIT_CASE(retry_ends_with_a_reset),
	KUNIT_CASE(get_parts),
	KUNIT_CASE(object_left),
	KUNIT_CASE(set_parts),
	KUNIT_CASE(provision),
	KUNIT_CASE(same_device),
	KUNIT_CASE(frozen),
	KUNIT_CASE(virtual_functions),
	{}
};

static struct kunit_suite member_suite = {
	.name = "tvq_member",
	.init = member_init,
	.exit = member_exit,
	.test_cases = member_cases,
};

kunit_test_suite(member_suite);
