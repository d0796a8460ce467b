// SPDX-License-Identifier: GPL-2.0
/*
 * The shadow of an interrupt table on a link without a device.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/virtio_tvq.h>
#include <linux/workqueue.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/cmd.h"
#include "../../drivers/virtio_tvq/irq.h"

#define SHORT_MS	50
#define LONG_MS		120000
#define WAIT_MS		60000
#define QUIET_MS	20

#define ID		0x1122334455667788ull
#define VECTORS		8
#define MANY		600
#define ADDRESS(i)	(0x1fee00000ull + ((u64)(i) << 12))
#define DATA(i)		(0x4000u + (i))

/**
 * struct bed - a shadow under test
 * @link: the device
 * @q: its commands
 * @irqs: the shadow, NULL once destroyed
 * @num: its entries
 * @fails: how often it gave the device up
 * @cmd: the command that the device holds back
 * @later: gives it back
 * @answered: @later has done so
 * @table: the device's table, where a test keeps one
 * @sets: commands that wrote to it
 */
struct bed {
	struct fake_link *link;
	struct tvq_cmdq *q;
	struct tvq_irqs *irqs;
	unsigned int num;
	atomic_t fails;
	struct fake_cmd cmd;
	struct delayed_work later;
	bool answered;
	struct tvq_msi table[MANY];
	unsigned int sets;
};

static void on_fail(void *ctx)
{
	struct bed *bed = ctx;

	atomic_inc(&bed->fails);
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_cmdq_interrupt(bed->q);
}

static void release(void *priv)
{
	struct bed *bed = priv;

	fake_link_shut(bed->link);
	tvq_cmdq_break(bed->q);
	tvq_irqs_destroy(bed->irqs);
	tvq_cmdq_destroy(bed->q);
}

static struct bed *start(struct kunit *test, unsigned int num,
			 unsigned int timeout_ms)
{
	struct bed *bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bed);
	bed->num = num;
	bed->link = fake_link_create(test, 16);
	bed->link->interrupt = on_interrupt;
	bed->link->priv = bed;
	bed->q = tvq_cmdq_create(&fake_link_ops, bed->link, 16, timeout_ms,
				 bed->link->dev, NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->q);
	bed->irqs = tvq_irqs_create(bed->q, ID, num, on_fail, bed);
	if (!bed->irqs)
		tvq_cmdq_destroy(bed->q);
	KUNIT_ASSERT_NOT_NULL(test, bed->irqs);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, release, bed), 0);
	return bed;
}

/* As after a SETUP: all entries are active, unmasked and known. */
static struct bed *start_live(struct kunit *test, unsigned int num,
			      unsigned int timeout_ms)
{
	struct bed *bed = start(test, num, timeout_ms);
	unsigned int i;

	for (i = 0; i < num; i++) {
		tvq_irqs_set_message(bed->irqs, i, ADDRESS(i), DATA(i));
		tvq_irqs_set_masked(bed->irqs, i, false);
	}
	KUNIT_ASSERT_EQ(test, tvq_irqs_collect(bed->irqs, bed->table), num);
	tvq_irqs_live(bed->irqs, true);
	return bed;
}

/* The device gives a command back; without a status it took it. */
static void answer(struct bed *bed, const struct fake_cmd *cmd, u16 status)
{
	struct virtio_tvq_error *error = cmd->in + sizeof(__le32);

	memset(cmd->in, 0, cmd->in_len);
	*(__le32 *)cmd->in = cpu_to_le32(status ? VIRTIO_TVQ_ERR : VIRTIO_TVQ_OK);
	error->status = cpu_to_le16(status);
	fake_link_return(bed->link, cmd,
			 sizeof(__le32) + (status ? sizeof(*error) : 0));
	tvq_cmdq_interrupt(bed->q);
}

static const struct virtio_tvq_msi_entry *entries(const struct fake_cmd *cmd)
{
	return cmd->out + sizeof(struct virtio_tvq_hdr) +
	       sizeof(struct virtio_tvq_msi_range);
}

/* The next command, which is to set entries @first to @first + @count - 1. */
static void expect_set(struct kunit *test, struct bed *bed,
		       struct fake_cmd *cmd, unsigned int first,
		       unsigned int count)
{
	const struct virtio_tvq_msi_range *range;
	const struct virtio_tvq_hdr *hdr;

	KUNIT_ASSERT_TRUE(test, fake_link_wait(bed->link, cmd, WAIT_MS));
	hdr = cmd->out;
	range = cmd->out + sizeof(*hdr);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(hdr->device_id), ID);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(hdr->class), VIRTIO_TVQ_CLASS_MSI);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(hdr->command), VIRTIO_TVQ_MSI_SET);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(range->first), first);
	KUNIT_ASSERT_EQ(test, le16_to_cpu(range->count), count);
	KUNIT_ASSERT_EQ(test, cmd->out_len, sizeof(*hdr) + sizeof(*range) +
			count * sizeof(struct virtio_tvq_msi_entry));
}

static void expect_entry(struct kunit *test, const struct fake_cmd *cmd,
			 unsigned int i, u64 address, u32 data, bool masked)
{
	const struct virtio_tvq_msi_entry *entry = entries(cmd) + i;

	KUNIT_EXPECT_EQ(test, le64_to_cpu(entry->address), address);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(entry->data), data);
	KUNIT_EXPECT_EQ(test, entry->flags, masked ? VIRTIO_TVQ_MSI_F_MASK : 0);
}

/* There is no command, and there comes none. */
static void expect_quiet(struct kunit *test, struct bed *bed)
{
	struct fake_cmd cmd;

	msleep(QUIET_MS);
	KUNIT_EXPECT_FALSE(test, fake_link_take(bed->link, &cmd));
}

static void masked_at_first(struct kunit *test)
{
	struct bed *bed = start(test, VECTORS, LONG_MS);
	unsigned int i;

	KUNIT_ASSERT_EQ(test, tvq_irqs_collect(bed->irqs, bed->table), VECTORS);
	for (i = 0; i < VECTORS; i++) {
		KUNIT_EXPECT_EQ(test, bed->table[i].address, 0);
		KUNIT_EXPECT_EQ(test, bed->table[i].data, 0);
		KUNIT_EXPECT_EQ(test, bed->table[i].flags, VIRTIO_TVQ_MSI_F_MASK);
	}
}

static void not_live(struct kunit *test)
{
	struct bed *bed = start(test, VECTORS, LONG_MS);

	tvq_irqs_set_message(bed->irqs, 0, ADDRESS(0), DATA(0));
	tvq_irqs_set_masked(bed->irqs, 0, false);
	expect_quiet(test, bed);

	KUNIT_ASSERT_EQ(test, tvq_irqs_collect(bed->irqs, bed->table), VECTORS);
	KUNIT_EXPECT_EQ(test, bed->table[0].address, ADDRESS(0));
	KUNIT_EXPECT_EQ(test, bed->table[0].data, DATA(0));
	KUNIT_EXPECT_EQ(test, bed->table[0].flags, 0);
	expect_quiet(test, bed);
}

static void live_posts(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;

	expect_quiet(test, bed);
	tvq_irqs_set_message(bed->irqs, 3, ADDRESS(9), DATA(9));
	expect_set(test, bed, &cmd, 3, 1);
	expect_entry(test, &cmd, 0, ADDRESS(9), DATA(9), false);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);

	tvq_irqs_set_masked(bed->irqs, 7, true);
	expect_set(test, bed, &cmd, 7, 1);
	expect_entry(test, &cmd, 0, ADDRESS(7), DATA(7), true);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
}

/* What changes between collect and live is posted then, and not before. */
static void changed_during_setup(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;

	tvq_irqs_collect(bed->irqs, bed->table);
	tvq_irqs_set_message(bed->irqs, 5, ADDRESS(1), DATA(1));
	expect_quiet(test, bed);
	tvq_irqs_live(bed->irqs, true);
	expect_set(test, bed, &cmd, 5, 1);
	expect_entry(test, &cmd, 0, ADDRESS(1), DATA(1), false);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
}

static void one_in_flight(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;

	tvq_irqs_set_message(bed->irqs, 1, ADDRESS(10), DATA(10));
	expect_set(test, bed, &cmd, 1, 1);

	/* What happens meanwhile becomes one command, with the last of each. */
	tvq_irqs_set_message(bed->irqs, 2, ADDRESS(11), DATA(11));
	tvq_irqs_set_message(bed->irqs, 4, ADDRESS(12), DATA(12));
	tvq_irqs_set_message(bed->irqs, 4, ADDRESS(13), DATA(13));
	tvq_irqs_set_message(bed->irqs, 1, ADDRESS(14), DATA(14));
	expect_quiet(test, bed);
	answer(bed, &cmd, 0);
	expect_set(test, bed, &cmd, 1, 4);
	expect_entry(test, &cmd, 0, ADDRESS(14), DATA(14), false);
	expect_entry(test, &cmd, 1, ADDRESS(11), DATA(11), false);
	expect_entry(test, &cmd, 2, ADDRESS(3), DATA(3), false);
	expect_entry(test, &cmd, 3, ADDRESS(13), DATA(13), false);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
}

static void no_change_costs_nothing(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	static DEFINE_RAW_SPINLOCK(lock);
	struct fake_cmd cmd;
	unsigned long flags;
	unsigned int i;

	/* As the interrupt core does it: under a raw lock, without interrupts. */
	raw_spin_lock_irqsave(&lock, flags);
	for (i = 0; i < VECTORS; i++) {
		tvq_irqs_set_masked(bed->irqs, i, true);
		tvq_irqs_set_masked(bed->irqs, i, false);
		tvq_irqs_set_message(bed->irqs, i, ADDRESS(i), DATA(i));
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	expect_quiet(test, bed);

	/* Nor while a command is on its way. */
	tvq_irqs_set_masked(bed->irqs, 0, true);
	expect_set(test, bed, &cmd, 0, 1);
	for (i = 1; i < VECTORS; i++) {
		tvq_irqs_set_masked(bed->irqs, i, true);
		tvq_irqs_set_masked(bed->irqs, i, false);
	}
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
}

static void reset_forgets(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;
	unsigned int i;

	tvq_irqs_live(bed->irqs, false);
	tvq_irqs_set_masked(bed->irqs, 2, true);
	expect_quiet(test, bed);

	/* Nothing was collected: the device is told of all. */
	tvq_irqs_live(bed->irqs, true);
	expect_set(test, bed, &cmd, 0, VECTORS);
	for (i = 0; i < VECTORS; i++)
		expect_entry(test, &cmd, i, ADDRESS(i), DATA(i), i == 2);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
}

/* A command from before the reset says nothing of what was sent after it. */
static void reset_while_in_flight(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;

	tvq_irqs_set_message(bed->irqs, 6, ADDRESS(20), DATA(20));
	expect_set(test, bed, &cmd, 6, 1);
	tvq_irqs_live(bed->irqs, false);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
	tvq_irqs_live(bed->irqs, true);
	expect_set(test, bed, &cmd, 0, VECTORS);
	expect_entry(test, &cmd, 6, ADDRESS(20), DATA(20), false);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
}

/* Everything dirty, and more of it than one command takes. */
static void long_table(struct kunit *test)
{
	struct bed *bed = start(test, MANY, LONG_MS);
	unsigned int next = 0, commands = 0;
	const struct virtio_tvq_msi_range *range;
	struct fake_cmd cmd;
	unsigned int i;

	for (i = 0; i < MANY; i++)
		tvq_irqs_set_message(bed->irqs, i, ADDRESS(i), DATA(i));
	tvq_irqs_live(bed->irqs, true);
	while (next < MANY) {
		KUNIT_ASSERT_TRUE(test, fake_link_wait(bed->link, &cmd, WAIT_MS));
		KUNIT_ASSERT_LE(test, cmd.out_len, 4096);
		range = cmd.out + sizeof(struct virtio_tvq_hdr);
		KUNIT_ASSERT_EQ(test, le16_to_cpu(range->first), next);
		for (i = 0; i < le16_to_cpu(range->count); i++)
			expect_entry(test, &cmd, i, ADDRESS(next + i),
				     DATA(next + i), true);
		next += i;
		commands++;
		answer(bed, &cmd, 0);
	}
	KUNIT_EXPECT_EQ(test, next, MANY);
	KUNIT_EXPECT_EQ(test, commands, 3);
	expect_quiet(test, bed);
}

static void post_fails(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;

	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = -EAGAIN;
	tvq_irqs_set_message(bed->irqs, 3, ADDRESS(9), DATA(9));
	expect_quiet(test, bed);
	/*
	 * A change in between joins the next attempt. One that was being made
	 * when it came has to fail, too, before any may succeed.
	 */
	tvq_irqs_set_message(bed->irqs, 4, ADDRESS(8), DATA(8));
	expect_quiet(test, bed);
	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = 0;
	expect_set(test, bed, &cmd, 3, 2);
	expect_entry(test, &cmd, 0, ADDRESS(9), DATA(9), false);
	expect_entry(test, &cmd, 1, ADDRESS(8), DATA(8), false);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->fails), 0);
}

struct refusal {
	const char *name;
	u16 status;
	bool transient;
};

static const struct refusal refusals[] = {
	{ "ENXIO", VIRTIO_TVQ_STATUS_ENXIO, false },
	{ "EAGAIN", VIRTIO_TVQ_STATUS_EAGAIN, true },
	{ "ENOMEM", VIRTIO_TVQ_STATUS_ENOMEM, true },
	{ "EBUSY", VIRTIO_TVQ_STATUS_EBUSY, true },
	{ "EINVAL", VIRTIO_TVQ_STATUS_EINVAL, false },
	{ "ENOSPC", VIRTIO_TVQ_STATUS_ENOSPC, true },
	{ "unknown", 77, false },
};

KUNIT_ARRAY_PARAM_DESC(refused, refusals, name);

static void refused(struct kunit *test)
{
	const struct refusal *refusal = test->param_value;
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;

	tvq_irqs_set_masked(bed->irqs, 1, true);
	expect_set(test, bed, &cmd, 1, 1);
	answer(bed, &cmd, refusal->status);
	if (refusal->transient) {
		expect_set(test, bed, &cmd, 1, 1);
		expect_entry(test, &cmd, 0, ADDRESS(1), DATA(1), true);
		answer(bed, &cmd, 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&bed->fails), 0);
	} else {
		KUNIT_EXPECT_EQ(test, atomic_read(&bed->fails), 1);
		tvq_irqs_set_masked(bed->irqs, 2, true);
	}
	expect_quiet(test, bed);
}

static void refused_for_ever(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	unsigned int attempts = 0;
	struct fake_cmd cmd;

	tvq_irqs_set_masked(bed->irqs, 1, true);
	while (!atomic_read(&bed->fails) && attempts < 100) {
		expect_set(test, bed, &cmd, 1, 1);
		attempts++;
		answer(bed, &cmd, VIRTIO_TVQ_STATUS_EBUSY);
	}
	KUNIT_EXPECT_EQ(test, attempts, 16);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->fails), 1);
	expect_quiet(test, bed);
}

static void unanswered(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, SHORT_MS);
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);

	tvq_irqs_set_masked(bed->irqs, 1, true);
	while (!atomic_read(&bed->fails) && time_before(jiffies, end))
		msleep(QUIET_MS);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->fails), 1);
	tvq_irqs_set_masked(bed->irqs, 2, true);
	msleep(QUIET_MS);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->fails), 1);
}

static void answer_later(struct work_struct *work)
{
	struct bed *bed = container_of(to_delayed_work(work), struct bed, later);

	bed->answered = true;
	answer(bed, &bed->cmd, 0);
}

static void stop_waits(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);

	INIT_DELAYED_WORK(&bed->later, answer_later);
	tvq_irqs_set_masked(bed->irqs, 1, true);
	expect_set(test, bed, &bed->cmd, 1, 1);
	tvq_irqs_set_masked(bed->irqs, 2, true);
	schedule_delayed_work(&bed->later, msecs_to_jiffies(QUIET_MS));
	tvq_irqs_stop(bed->irqs);
	KUNIT_EXPECT_TRUE(test, bed->answered);

	/* The interrupt core may go on to store. */
	tvq_irqs_set_masked(bed->irqs, 3, true);
	tvq_irqs_set_message(bed->irqs, 3, 0, 0);
	tvq_irqs_live(bed->irqs, true);
	expect_quiet(test, bed);
	flush_delayed_work(&bed->later);
	tvq_irqs_destroy(bed->irqs);
	bed->irqs = NULL;
}

/* Destroyed while a retry is scheduled. */
static void stop_while_retrying(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);

	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = -EAGAIN;
	tvq_irqs_set_masked(bed->irqs, 1, true);
	msleep(QUIET_MS);
	tvq_irqs_destroy(bed->irqs);
	bed->irqs = NULL;
	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = 0;
	expect_quiet(test, bed);
}

/* A device that does what it is told. Called under the engine's lock. */
static int obey(struct fake_link *link, const struct fake_cmd *cmd)
{
	const struct virtio_tvq_msi_range *range;
	struct bed *bed = link->priv;
	unsigned int first, i;

	range = cmd->out + sizeof(struct virtio_tvq_hdr);
	first = le16_to_cpu(range->first);
	for (i = 0; i < le16_to_cpu(range->count) && first + i < bed->num; i++) {
		bed->table[first + i].address = le64_to_cpu(entries(cmd)[i].address);
		bed->table[first + i].data = le32_to_cpu(entries(cmd)[i].data);
		bed->table[first + i].flags = entries(cmd)[i].flags;
	}
	bed->sets++;
	memset(cmd->in, 0, cmd->in_len);
	return sizeof(__le32);
}

#define WRITERS		3
#define CHANGES		20000

struct writer {
	struct bed *bed;
	struct task_struct *task;
	unsigned int first;
};

static int write_changes(void *data)
{
	struct writer *writer = data;
	struct bed *bed = writer->bed;
	unsigned int i, v;

	for (i = 0; i < CHANGES; i++) {
		v = (writer->first + i * WRITERS) % bed->num;
		tvq_irqs_set_message(bed->irqs, v, ADDRESS(i), DATA(i));
		tvq_irqs_set_masked(bed->irqs, v, i & 1);
		if (i % 64 == 0)
			usleep_range(10, 50);
	}
	while (!kthread_should_stop())
		msleep(QUIET_MS);
	return 0;
}

/* Each writer has entries of its own, and the device ends with the last of each. */
static void concurrent(struct kunit *test)
{
	const unsigned int num = 4 * WRITERS;
	struct bed *bed = start_live(test, num, LONG_MS);
	struct writer writers[WRITERS];
	unsigned int i, tries;
	struct tvq_msi *wanted;
	bool same = false;

	wanted = kunit_kcalloc(test, num, sizeof(*wanted), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, wanted);
	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->answer = obey;
	for (i = 0; i < WRITERS; i++) {
		writers[i].bed = bed;
		writers[i].first = i;
		writers[i].task = kthread_run(write_changes, &writers[i],
					      "tvq-irq-%u", i);
	}
	for (i = 0; i < WRITERS; i++) {
		if (IS_ERR(writers[i].task))
			KUNIT_FAIL(test, "no thread");
		else
			kthread_stop(writers[i].task);
	}
	for (tries = 0; tries < WAIT_MS / QUIET_MS && !same; tries++) {
		msleep(QUIET_MS);
		same = true;
		guard(spinlock_irqsave)(&bed->link->lock);
		for (i = 0; i < num; i++) {
			/* The last change that its writer made to it. */
			unsigned int last = CHANGES - 1;

			while ((i % WRITERS + last * WRITERS) % num != i)
				last--;
			wanted[i].address = ADDRESS(last);
			wanted[i].data = DATA(last);
			wanted[i].flags = last & 1 ? VIRTIO_TVQ_MSI_F_MASK : 0;
			same &= wanted[i].address == bed->table[i].address &&
				wanted[i].data == bed->table[i].data &&
				wanted[i].flags == bed->table[i].flags;
		}
	}
	KUNIT_EXPECT_TRUE(test, same);
	KUNIT_EXPECT_GT(test, bed->sets, 0);
	KUNIT_EXPECT_LE(test, bed->sets, 2 * WRITERS * CHANGES);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->fails), 0);
}

static void spread(struct kunit *test)
{
	unsigned int num, got, i, cpu, count;
	struct cpumask *masks;

	masks = kunit_kcalloc(test, 64, sizeof(*masks), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, masks);
	for (num = 1; num <= 64; num = num < 8 ? num + 1 : num * 2) {
		got = tvq_irq_spread(masks, num);
		KUNIT_ASSERT_GT(test, got, 0);
		KUNIT_ASSERT_EQ(test, got, min(num, num_present_cpus()));
		for_each_possible_cpu(cpu) {
			count = 0;
			for (i = 0; i < got; i++)
				count += cpumask_test_cpu(cpu, &masks[i]);
			KUNIT_EXPECT_EQ(test, count, 1);
		}
		for (i = 0; i < got; i++)
			KUNIT_EXPECT_TRUE(test, cpumask_intersects(&masks[i],
								   cpu_present_mask));
	}
}

static void spread_nothing(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, tvq_irq_spread(NULL, 0), 0);
}

/* Somebody else has written the device's table: all of it is sent again. */
static void resend(struct kunit *test)
{
	struct bed *bed = start_live(test, VECTORS, LONG_MS);
	struct fake_cmd cmd;
	unsigned int i;

	tvq_irqs_resend(bed->irqs);
	expect_set(test, bed, &cmd, 0, VECTORS);
	for (i = 0; i < VECTORS; i++)
		expect_entry(test, &cmd, i, ADDRESS(i), DATA(i), false);
	/* And once more, if that happens before the device has taken it. */
	tvq_irqs_resend(bed->irqs);
	answer(bed, &cmd, 0);
	expect_set(test, bed, &cmd, 0, VECTORS);
	answer(bed, &cmd, 0);
	expect_quiet(test, bed);

	tvq_irqs_live(bed->irqs, false);
	tvq_irqs_resend(bed->irqs);
	expect_quiet(test, bed);
}

static struct kunit_case irq_cases[] = {
	KUNIT_CASE(masked_at_first),
	KUNIT_CASE(not_live),
	KUNIT_CASE(live_posts),
	KUNIT_CASE(changed_during_setup),
	KUNIT_CASE(one_in_flight),
	KUNIT_CASE(no_change_costs_nothing),
	KUNIT_CASE(reset_forgets),
	KUNIT_CASE(reset_while_in_flight),
	KUNIT_CASE(resend),
	KUNIT_CASE(long_table),
	KUNIT_CASE(post_fails),
	KUNIT_CASE_PARAM(refused, refused_gen_params),
	KUNIT_CASE_SLOW(refused_for_ever),
	KUNIT_CASE(unanswered),
	KUNIT_CASE(stop_waits),
	KUNIT_CASE(stop_while_retrying),
	KUNIT_CASE_SLOW(concurrent),
	KUNIT_CASE(spread),
	KUNIT_CASE(spread_nothing),
	{}
};

static struct kunit_suite irq_suite = {
	.name = "tvq_irq",
	.test_cases = irq_cases,
};

kunit_test_suite(irq_suite);
