// SPDX-License-Identifier: GPL-2.0
/*
 * Managed devices on the bus: binding, failing, leaving, and what a personality
 * gets of them. The device is a fake link, the personality is the test's.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_tvq.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/bus.h"
#include "../../drivers/virtio_tvq/cmd.h"

#define DRIVER		"tvq_kunit"
#define DEADLINE_MS	100
#define WAIT		(60 * HZ)
#define CONFIG_LEN	4

/**
 * struct bed - a managed device and what happens to it
 * @link: the device
 * @q: its transport virtqueue
 * @parent: the function
 * @tdev: the managed device
 * @mute: commands are not answered
 * @hold: SET_STATUS alone is not answered, but left to the test
 * @gone: commands are answered with ENXIO
 * @status: device status in a configuration reply
 * @generation: of the configuration
 * @config: the configuration
 * @shm: its shared memory regions by id; length 0: there is none
 * @commands: the commands that the device got, in order, as class and command
 * @num_commands: how many
 * @probe_err: what the personality's probe returns
 * @probes: calls of it
 * @removes: calls of remove
 * @fails: calls of failed
 * @quiets: calls of quiet
 * @changes: calls of config_changed
 * @changed: completed by each of these
 * @failed: completed by failed
 * @told_status: what config_changed got
 */
struct bed {
	struct fake_link *link;
	struct tvq_cmdq *q;
	struct device *parent;
	struct tvq_device *tdev;
	bool mute;
	bool hold;
	bool gone;
	u8 status;
	u32 generation;
	u8 config[CONFIG_LEN];
	struct tvq_shm shm[2];
	u16 commands[64];
	unsigned int num_commands;
	int probe_err;
	unsigned int probes;
	unsigned int removes;
	unsigned int fails;
	unsigned int quiets;
	unsigned int changes;
	struct completion changed;
	struct completion failed;
	u8 told_status;
};

/* The personality's callbacks have no other way to find it. */
static struct bed *the_bed;

#define CMD(class, command)	((class) << 8 | (command))
#define CMD_NEGOTIATE		CMD(1, 1)
#define CMD_SET_STATUS		CMD(1, 2)
#define CMD_RESET		CMD(1, 4)
#define CMD_GET_CONFIG		CMD(1, 5)
#define CMD_SET_CONFIG		CMD(1, 6)
#define CMD_GET_SHM		CMD(1, 7)

static int put_config(struct bed *bed, u8 *in)
{
	struct virtio_tvq_config *reply = (void *)in;

	reply->generation = cpu_to_le32(bed->generation);
	reply->length = cpu_to_le32(CONFIG_LEN);
	reply->status = bed->status;
	memcpy(reply + 1, bed->config, CONFIG_LEN);
	return sizeof(__le32) + sizeof(*reply) + CONFIG_LEN;
}

static int answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	struct bed *bed = link->priv;
	const struct virtio_tvq_hdr *hdr = cmd->out;
	u16 which = CMD(le16_to_cpu(hdr->class), le16_to_cpu(hdr->command));
	const u8 *out = cmd->out + sizeof(*hdr);
	u8 *in = cmd->in + sizeof(__le32);

	if (bed->num_commands < ARRAY_SIZE(bed->commands))
		bed->commands[bed->num_commands++] = which;
	if (bed->mute || (bed->hold && which == CMD_SET_STATUS))
		return -1;
	if (bed->gone) {
		*(__le32 *)cmd->in = cpu_to_le32(VIRTIO_TVQ_ERR);
		*(__le16 *)in = cpu_to_le16(VIRTIO_TVQ_STATUS_ENXIO);
		return 8;
	}
	*(__le32 *)cmd->in = 0;
	switch (which) {
	case CMD_NEGOTIATE:
		in[0] = out[16];
		return 8;
	case CMD_SET_STATUS:
		in[0] = out[0];
		return 8;
	case CMD_RESET:
		in[0] = 0;
		return 8;
	case CMD_GET_CONFIG:
		return put_config(bed, in);
	case CMD_SET_CONFIG:
		bed->config[out[0]] = out[8];
		bed->generation++;
		return put_config(bed, in);
	case CMD_GET_SHM: {
		const struct tvq_shm *shm = &bed->shm[out[0]];
		struct virtio_tvq_shm *reply = (void *)in;

		if (!shm->length) {
			*(__le32 *)cmd->in = cpu_to_le32(VIRTIO_TVQ_ERR);
			*(__le16 *)in = cpu_to_le16(VIRTIO_TVQ_STATUS_ENXIO);
			return 8;
		}
		reply->bar = shm->bar;
		reply->offset = cpu_to_le64(shm->offset);
		reply->length = cpu_to_le64(shm->length);
		return sizeof(__le32) + sizeof(*reply);
	}
	case CMD(0, 1): {
		struct virtio_tvq_limits *limits = (void *)in;

		limits->devices_max = cpu_to_le32(1);
		limits->device_vqs_max = cpu_to_le16(4);
		limits->device_vectors_max = cpu_to_le16(4);
		limits->config_max = cpu_to_le16(CONFIG_LEN);
		limits->command_out_max = cpu_to_le32(4096);
		limits->command_in_max = cpu_to_le32(4096);
		return sizeof(__le32) + sizeof(*limits);
	}
	default:
		return 4;
	}
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_cmdq_interrupt(bed->q);
}

static int test_probe(struct tvq_device *tdev)
{
	the_bed->probes++;
	tvq_device_attach(tdev);
	if (the_bed->probe_err)
		tvq_device_detach(tdev);
	return the_bed->probe_err;
}

static void test_remove(struct tvq_device *tdev)
{
	the_bed->removes++;
	tvq_device_detach(tdev);
}

static void test_config_changed(struct tvq_device *tdev, u8 status)
{
	the_bed->changes++;
	the_bed->told_status = status;
	complete(&the_bed->changed);
}

static void test_failed(struct tvq_device *tdev)
{
	the_bed->fails++;
	complete(&the_bed->failed);
}

static void test_quiet(struct tvq_device *tdev)
{
	the_bed->quiets++;
}

static struct tvq_driver test_driver = {
	.driver = { .name = DRIVER },
	.probe = test_probe,
	.remove = test_remove,
	.config_changed = test_config_changed,
	.failed = test_failed,
	.quiet = test_quiet,
};

static struct tvq_device *new_device(struct kunit *test, u8 status,
				     const char *override)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev;
	struct tvq_info info = {
		.id = 7,
		.type = 99,
		.name = "kunit",
		.num_vqs = 1,
		.status = status,
		.config_len = CONFIG_LEN,
		.config_generation = bed->generation,
	};

	info.config = kmemdup(bed->config, CONFIG_LEN, GFP_KERNEL);
	info.vq_size = kcalloc(1, sizeof(u16), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, info.config);
	KUNIT_ASSERT_NOT_NULL(test, info.vq_size);
	tdev = tvq_device_alloc(NULL, bed->parent, 4711, bed->q, &info, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, tdev);
	KUNIT_ASSERT_EQ(test, device_set_driver_override(&tdev->dev, override),
			0);
	bed->tdev = tdev;
	return tdev;
}

static void drop(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_device_remove(bed->tdev);
	tvq_device_put(bed->tdev);
	bed->tdev = NULL;
}

static int bus_init(struct kunit *test)
{
	struct tvq_limits limits;
	struct bed *bed;

	bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bed);
	init_completion(&bed->changed);
	init_completion(&bed->failed);
	memcpy(bed->config, "\1\2\3\4", CONFIG_LEN);
	bed->generation = 5;
	test->priv = bed;
	bed->link = fake_link_create(test, 64);
	bed->link->answer = answer;
	bed->link->interrupt = on_interrupt;
	bed->link->priv = bed;
	bed->parent = root_device_register("tvq_kunit");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->parent);
	bed->q = tvq_cmdq_create(&fake_link_ops, bed->link, 64, DEADLINE_MS,
				 bed->parent, NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->q);
	KUNIT_ASSERT_EQ(test, tvq_cmd_limits(bed->q, &limits), 0);
	bed->num_commands = 0;
	the_bed = bed;
	return tvq_driver_register(&test_driver);
}

static void bus_exit(struct kunit *test)
{
	struct bed *bed = test->priv;

	if (!bed)
		return;
	if (bed->tdev)
		drop(test);
	tvq_driver_unregister(&test_driver);
	fake_link_shut(bed->link);
	tvq_cmdq_destroy(bed->q);
	root_device_unregister(bed->parent);
	the_bed = NULL;
}

static void bind_and_leave(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);

	KUNIT_EXPECT_STREQ(test, dev_name(&tdev->dev), "tvq4711-7");
	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, bed->probes, 1);
	KUNIT_EXPECT_PTR_EQ(test, tdev->dev.driver, &test_driver.driver);
	drop(test);
	KUNIT_EXPECT_EQ(test, bed->removes, 1);
	KUNIT_EXPECT_EQ(test, bed->fails, 0);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);
}

/* A reference keeps the structure, not the device on the bus. */
static void reference_outlives(struct kunit *test)
{
	struct tvq_device *tdev = new_device(test, 0, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	get_device(&tdev->dev);
	drop(test);
	KUNIT_EXPECT_FALSE(test, device_is_registered(&tdev->dev));
	KUNIT_EXPECT_EQ(test, tdev->id, 7);
	KUNIT_EXPECT_STREQ(test, tdev->name, "kunit");
	put_device(&tdev->dev);
}

static void override_keeps_away(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, "nobody");

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, bed->probes, 0);
	KUNIT_EXPECT_NULL(test, tdev->dev.driver);
}

/* Provisioned otherwise: what a driver then finds is the new description. */
static void redescribed(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, "nobody");
	struct tvq_info info = {
		.id = 7,
		.type = 99,
		.name = "kunit",
		.features = { 0x300000001, 2 },
		.num_vqs = 3,
		.num_vectors = 4,
		.config_len = 2,
		.config_generation = 77,
	};
	u8 config[3];

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	info.config = kmemdup("\10\11", 2, GFP_KERNEL);
	info.vq_size = kcalloc(3, sizeof(u16), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, info.config);
	KUNIT_ASSERT_NOT_NULL(test, info.vq_size);
	info.vq_size[2] = 64;
	device_lock(&tdev->dev);
	tvq_device_redescribe(tdev, &info);
	device_unlock(&tdev->dev);
	KUNIT_EXPECT_EQ(test, tdev->features[0], 0x300000001ull);
	KUNIT_EXPECT_EQ(test, tdev->features[1], 2ull);
	KUNIT_EXPECT_EQ(test, tdev->num_vqs, 3);
	KUNIT_EXPECT_EQ(test, tdev->num_vectors, 4);
	KUNIT_EXPECT_EQ(test, tdev->vq_size[2], 64);
	KUNIT_EXPECT_EQ(test, tvq_config_generation(tdev), 77);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 0, config, 2), 0);
	KUNIT_EXPECT_MEMEQ(test, config, "\10\11", 2);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 0, config, 3), -EINVAL);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);
}

static void probe_fails(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);

	bed->probe_err = -ENOSPC;
	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, bed->probes, 1);
	KUNIT_EXPECT_NULL(test, tdev->dev.driver);
	KUNIT_EXPECT_TRUE(test, device_is_registered(&tdev->dev));
	tvq_device_fail(tdev);
	drop(test);
	KUNIT_EXPECT_EQ(test, bed->removes, 0);
	KUNIT_EXPECT_EQ(test, bed->fails, 0);
}

static void fails_once(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);
	u64 features[2] = {};
	u8 result;

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(tdev));
	tvq_device_fail(tdev);
	tvq_device_fail(tdev);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&bed->failed, WAIT), 0);
	/* A dead device is not asked any more. */
	KUNIT_EXPECT_EQ(test, tvq_device_negotiate(tdev, features, 11, &result),
			-EIO);
	KUNIT_EXPECT_EQ(test, tvq_device_post_status(tdev, 15), -EIO);
	KUNIT_EXPECT_EQ(test, tvq_device_reset_vq(tdev, 0), -EIO);
	KUNIT_EXPECT_EQ(test, tvq_device_post_notify(tdev, 0, GFP_KERNEL), -EIO);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);
	drop(test);
	KUNIT_EXPECT_EQ(test, bed->fails, 1);
}

/* What came of a failure, or of DEVICE_NEEDS_RESET. */
static void settle(struct tvq_device *tdev)
{
	flush_delayed_work(&tdev->config_work);
	flush_work(&tdev->fail_work);
	flush_work(&tdev->quiet_work);
}

/* The personality learns when it is certain that a device has stopped. */
static void failed_is_quiet_after_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	tvq_device_fail(tdev);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->fails, 1);
	KUNIT_EXPECT_EQ(test, bed->quiets, 1);
	KUNIT_ASSERT_EQ(test, bed->num_commands, 1);
	KUNIT_EXPECT_EQ(test, bed->commands[0], CMD_RESET);
}

static void mute_is_not_quiet(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	bed->mute = true;
	tvq_device_fail(tdev);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->fails, 1);
	KUNIT_EXPECT_EQ(test, bed->quiets, 0);
	/* Before its function can't access memory any more. */
	tvq_device_cut_off(tdev);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->fails, 1);
	KUNIT_EXPECT_EQ(test, bed->quiets, 1);
}

static void cut_off_is_quiet(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	tvq_device_cut_off(tdev);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->fails, 1);
	KUNIT_EXPECT_EQ(test, bed->quiets, 1);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);
}

/*
 * A driver may spin with a spinlock held, until it is told that the device has failed: that
 * must not wait for its CPU.
 */
static void fails_beside_a_spinner(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);
	unsigned int ms;

	if (num_online_cpus() < 2)
		kunit_skip(test, "there is one CPU");
	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	preempt_disable();
	tvq_device_fail(tdev);
	/* Less than the watchdogs have patience for. */
	for (ms = 0; ms < 8000 && !completion_done(&bed->failed); ms++)
		mdelay(1);
	preempt_enable();
	KUNIT_EXPECT_LT(test, ms, 8000);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->fails, 1);
}

static void gone_is_quiet(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	set_bit(TVQ_DEVICE_GONE, &tdev->flags);
	tvq_device_fail(tdev);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->quiets, 1);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);
}

static void needs_reset_is_quiet(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	bed->status = 15 | VIRTIO_CONFIG_S_NEEDS_RESET;
	tvq_config_interrupt(tdev);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->told_status, bed->status);
	KUNIT_EXPECT_EQ(test, bed->fails, 0);
	KUNIT_EXPECT_EQ(test, bed->quiets, 1);
	/* It is reset once, also if its driver does so first. */
	bed->quiets = 0;
	schedule_work(&tdev->quiet_work);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->quiets, 0);
	KUNIT_ASSERT_EQ(test, bed->num_commands, 2);
	KUNIT_EXPECT_EQ(test, bed->commands[0], CMD_GET_CONFIG);
	KUNIT_EXPECT_EQ(test, bed->commands[1], CMD_RESET);
}

static void dead_does_not_bind(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);

	tvq_device_fail(tdev);
	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, device_driver_attach(&test_driver.driver, &tdev->dev), -EIO);
	KUNIT_EXPECT_EQ(test, bed->probes, 0);
}

/* Whoever binds it just then has lost a race, and is told so. */
static void gone_does_not_bind(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);

	set_bit(TVQ_DEVICE_GONE, &tdev->flags);
	tvq_device_fail(tdev);
	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, device_driver_attach(&test_driver.driver, &tdev->dev), -ENODEV);
	KUNIT_EXPECT_EQ(test, bed->probes, 0);
}

static void reset_when_needed(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);
	u64 features[2] = { BIT_ULL(32) };
	u8 result = 0;

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, tvq_device_reset(tdev), 0);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);
	KUNIT_EXPECT_EQ(test, tvq_device_negotiate(tdev, features, 11, &result),
			0);
	KUNIT_EXPECT_EQ(test, result, 11);
	KUNIT_EXPECT_EQ(test, tvq_device_reset(tdev), 0);
	KUNIT_EXPECT_EQ(test, tvq_device_reset(tdev), 0);
	KUNIT_ASSERT_EQ(test, bed->num_commands, 2);
	KUNIT_EXPECT_EQ(test, bed->commands[0], CMD_NEGOTIATE);
	KUNIT_EXPECT_EQ(test, bed->commands[1], CMD_RESET);
}

static void found_in_use_is_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, tvq_device_reset(tdev), 0);
	KUNIT_ASSERT_EQ(test, bed->num_commands, 1);
	KUNIT_EXPECT_EQ(test, bed->commands[0], CMD_RESET);
}

/* One that was destroyed on the other side does nothing any more. */
static void gone_is_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	bed->gone = true;
	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, tvq_device_reset(tdev), 0);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(tdev));
}

static void mute_is_failed(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	bed->mute = true;
	KUNIT_EXPECT_EQ(test, tvq_device_reset(tdev), -ETIMEDOUT);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&bed->failed, WAIT), 0);
}

static void refused_post_fails_it(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	bed->gone = true;
	KUNIT_EXPECT_EQ(test, tvq_device_post_status(tdev, 15), 0);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&bed->failed, WAIT), 0);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
}

/* Removal waits for what was posted: its end may not touch a freed device. */
static void leaving_waits_for_posted(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	bed->hold = true;
	KUNIT_ASSERT_EQ(test, tvq_device_post_status(tdev, 15), 0);
	KUNIT_ASSERT_EQ(test, tdev->posted, 1);
	get_device(&tdev->dev);
	/* Nobody answers: the deadline ends the command, and that the wait. */
	drop(test);
	KUNIT_EXPECT_EQ(test, tdev->posted, 0);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(tdev));
	put_device(&tdev->dev);
}

static void config_is_cached(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);
	u8 buf[8];

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 1, buf, 3), 0);
	KUNIT_EXPECT_MEMEQ(test, buf, "\2\3\4", 3);
	KUNIT_EXPECT_EQ(test, tvq_config_generation(tdev), 5);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);

	memset(buf, 0xff, sizeof(buf));
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 1, buf, 4), -EINVAL);
	KUNIT_EXPECT_MEMEQ(test, buf, "\0\0\0\0\xff", 5);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 5, buf, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, U32_MAX, buf, 2), -EINVAL);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 4, buf, 0), 0);
}

static void config_is_written(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);
	u8 buf[4], nine = 9;

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_EXPECT_EQ(test, tvq_config_write(tdev, 2, &nine, 1), 0);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 0, buf, 4), 0);
	KUNIT_EXPECT_MEMEQ(test, buf, "\1\2\x9\4", 4);
	KUNIT_EXPECT_EQ(test, tvq_config_generation(tdev), 6);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 1);
	KUNIT_EXPECT_EQ(test, tvq_config_write(tdev, 4, &nine, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, tvq_config_write(tdev, 0, &nine, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 1);
}

/* What a reset took back is read again; what can't be read stays as it was. */
static void config_after_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);
	u8 buf[4];

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	KUNIT_ASSERT_EQ(test, tvq_device_reset(tdev), 0);
	bed->gone = true;
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 0, buf, 4), -ENXIO);
	KUNIT_EXPECT_MEMEQ(test, buf, "\1\2\3\4", 4);
	bed->gone = false;
	memcpy(bed->config, "\5\6\7\x8", 4);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 0, buf, 4), 0);
	KUNIT_EXPECT_MEMEQ(test, buf, "\5\6\7\x8", 4);
	bed->num_commands = 0;
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 0, buf, 4), 0);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 0);
}

static void config_interrupt(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);
	u8 buf[4];

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	memcpy(bed->config, "\5\6\7\x8", 4);
	bed->generation++;
	tvq_config_interrupt(tdev);
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&bed->changed, WAIT), 0);
	KUNIT_EXPECT_EQ(test, tvq_config_read(tdev, 0, buf, 4), 0);
	KUNIT_EXPECT_MEMEQ(test, buf, "\5\6\7\x8", 4);

	/* Spurious: nothing has changed, and nobody is told. */
	tvq_config_interrupt(tdev);
	flush_delayed_work(&tdev->config_work);
	KUNIT_EXPECT_EQ(test, bed->changes, 1);

	bed->status = VIRTIO_CONFIG_S_NEEDS_RESET;
	tvq_config_poll(tdev);
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&bed->changed, WAIT), 0);
	KUNIT_EXPECT_EQ(test, bed->told_status, VIRTIO_CONFIG_S_NEEDS_RESET);
	KUNIT_EXPECT_EQ(test, bed->changes, 2);
}

/* Interrupts without end, and each time another generation. */
static void config_interrupts_without_end(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 0, DRIVER);
	unsigned long begin = jiffies;

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	while (time_before(jiffies, begin + HZ / 2)) {
		bed->generation++;
		tvq_config_interrupt(tdev);
		usleep_range(500, 1000);
	}
	flush_delayed_work(&tdev->config_work);
	KUNIT_EXPECT_GE(test, bed->changes, 2);
	/* The first and the last do not wait. */
	KUNIT_EXPECT_LE(test, bed->changes, (jiffies - begin) / (HZ / 10) + 2);
}

/* The driver has found out, and the device has not said so. */
static void found_to_need_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev = new_device(test, 15, DRIVER);

	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	bed->status = 15;
	tvq_device_needs_reset(tdev);
	settle(tdev);
	KUNIT_EXPECT_EQ(test, bed->told_status, VIRTIO_CONFIG_S_NEEDS_RESET);
	KUNIT_EXPECT_EQ(test, bed->changes, 1);
	KUNIT_EXPECT_EQ(test, bed->fails, 0);
	KUNIT_EXPECT_EQ(test, bed->quiets, 1);
	KUNIT_ASSERT_EQ(test, bed->num_commands, 1);
	KUNIT_EXPECT_EQ(test, bed->commands[0], CMD_RESET);
	KUNIT_EXPECT_FALSE(test, test_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags));
}

/* BAR 4 alone may have shared memory, and all of its second page is taken. */
#define BAR_START	0x2000000000ull
#define BAR_SIZE	0x8000

struct shm_bed {
	struct resource bar;
	struct resource taken;
	struct resource *bars[6];
	struct tvq_device *tdev;
};

static struct shm_bed *new_shm_device(struct kunit *test)
{
	struct shm_bed *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->bar = DEFINE_RES_MEM_NAMED(BAR_START, BAR_SIZE, "bar");
	s->taken = DEFINE_RES_MEM_NAMED(BAR_START + 0x1000, 0x1000, "taken");
	KUNIT_ASSERT_EQ(test, request_resource(&s->bar, &s->taken), 0);
	s->bars[4] = &s->bar;
	s->tdev = new_device(test, 0, DRIVER);
	s->tdev->shm_bars = s->bars;
	KUNIT_ASSERT_EQ(test, tvq_device_add(s->tdev), 0);
	return s;
}

static void shm_is_found(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct shm_bed *s = new_shm_device(test);
	struct virtio_shm_region region;

	bed->shm[0] = (struct tvq_shm){ 4, 0x2000, 0x3000 };
	bed->shm[1] = (struct tvq_shm){ 4, 0x5000, 0x3000 };
	KUNIT_ASSERT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), 0);
	KUNIT_EXPECT_EQ(test, region.addr, BAR_START + 0x2000);
	KUNIT_EXPECT_EQ(test, region.len, 0x3000);
	KUNIT_ASSERT_EQ(test, tvq_device_get_shm(s->tdev, 1, &region), 0);
	KUNIT_EXPECT_EQ(test, region.addr, BAR_START + 0x5000);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 2);

	/* It stays where it is, whatever the device says later, or does not. */
	bed->shm[0].offset = 0;
	tvq_device_fail(s->tdev);
	KUNIT_ASSERT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), 0);
	KUNIT_EXPECT_EQ(test, region.addr, BAR_START + 0x2000);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 2);

	/* A driver can request it, for it is not busy. */
	KUNIT_ASSERT_PTR_EQ(test, s->taken.sibling->parent, &s->bar);
	KUNIT_EXPECT_EQ(test, s->taken.sibling->flags & IORESOURCE_BUSY, 0);
	drop(test);
	KUNIT_EXPECT_NULL(test, s->taken.sibling);
}

/* Asked again each time, and no reason to give up on the device. */
static void shm_is_not_there(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct shm_bed *s = new_shm_device(test);
	struct virtio_shm_region region;

	KUNIT_EXPECT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), -ENXIO);
	KUNIT_EXPECT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), -ENXIO);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 2);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(s->tdev));
	bed->shm[0] = (struct tvq_shm){ 4, 0, 0x1000 };
	tvq_device_fail(s->tdev);
	KUNIT_EXPECT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), -EIO);
	KUNIT_EXPECT_EQ(test, bed->num_commands, 2);
}

struct shm_lie {
	const char *name;
	struct tvq_shm shm;
};

static const struct shm_lie shm_lies[] = {
	{ "a BAR that is not for this", { 3, 0, 0x1000 } },
	{ "longer than the BAR", { 4, 0, 0x9000 } },
	{ "over the end of the BAR", { 4, 0x7000, 0x2000 } },
	{ "behind the BAR", { 4, 0x8000, 0x1000 } },
	{ "what is taken", { 4, 0x1000, 0x1000 } },
	{ "into what is taken", { 4, 0, 0x2000 } },
	{ "around what is taken", { 4, 0, 0x8000 } },
	{ "the device's other region", { 4, 0x4000, 0x1000 } },
};

KUNIT_ARRAY_PARAM_DESC(shm_lie, shm_lies, name);

static void shm_lie(struct kunit *test)
{
	const struct shm_lie *lie = test->param_value;
	struct bed *bed = test->priv;
	struct shm_bed *s = new_shm_device(test);
	struct virtio_shm_region region;

	bed->shm[1] = (struct tvq_shm){ 4, 0x4000, 0x1000 };
	KUNIT_ASSERT_EQ(test, tvq_device_get_shm(s->tdev, 1, &region), 0);
	bed->shm[0] = lie->shm;
	KUNIT_EXPECT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), -EPROTO);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(s->tdev));
	/* Nothing stays reserved. */
	bed->shm[0] = (struct tvq_shm){ 4, 0, 0x1000 };
	KUNIT_EXPECT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), 0);
}

/* What can't even be a region is a device that does not speak the protocol. */
static void shm_nonsense(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct shm_bed *s = new_shm_device(test);
	struct virtio_shm_region region;

	bed->shm[0] = (struct tvq_shm){ 6, 0, 0x1000 };
	KUNIT_EXPECT_EQ(test, tvq_device_get_shm(s->tdev, 0, &region), -EPROTO);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(s->tdev));
}

static struct kunit_case bus_cases[] = {
	KUNIT_CASE(bind_and_leave),
	KUNIT_CASE(reference_outlives),
	KUNIT_CASE(override_keeps_away),
	KUNIT_CASE(redescribed),
	KUNIT_CASE(probe_fails),
	KUNIT_CASE(fails_once),
	KUNIT_CASE(failed_is_quiet_after_reset),
	KUNIT_CASE(mute_is_not_quiet),
	KUNIT_CASE(cut_off_is_quiet),
	KUNIT_CASE(fails_beside_a_spinner),
	KUNIT_CASE(gone_is_quiet),
	KUNIT_CASE(needs_reset_is_quiet),
	KUNIT_CASE(dead_does_not_bind),
	KUNIT_CASE(gone_does_not_bind),
	KUNIT_CASE(reset_when_needed),
	KUNIT_CASE(found_in_use_is_reset),
	KUNIT_CASE(gone_is_reset),
	KUNIT_CASE(mute_is_failed),
	KUNIT_CASE(refused_post_fails_it),
	KUNIT_CASE(leaving_waits_for_posted),
	KUNIT_CASE(config_is_cached),
	KUNIT_CASE(config_is_written),
	KUNIT_CASE(config_after_reset),
	KUNIT_CASE(config_interrupt),
	KUNIT_CASE(config_interrupts_without_end),
	KUNIT_CASE(found_to_need_reset),
	KUNIT_CASE(shm_is_found),
	KUNIT_CASE(shm_is_not_there),
	KUNIT_CASE_PARAM(shm_lie, shm_lie_gen_params),
	KUNIT_CASE(shm_nonsense),
	{}
};

static struct kunit_suite bus_suite = {
	.name = "tvq_bus",
	.init = bus_init,
	.exit = bus_exit,
	.test_cases = bus_cases,
};

kunit_test_suite(bus_suite);
