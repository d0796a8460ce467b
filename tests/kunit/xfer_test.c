// SPDX-License-Identifier: GPL-2.0
/*
 * The command engine on a link without a device.
 *
 * Deadlines that are to pass are short, those that are not are longer than any
 * test, so that little here depends on the speed of the machine.
 */
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/xfer.h"

#define SHORT_MS	50
#define LONG_MS		120000
#define WAIT_MS		60000

#define OUT_LEN		16
#define IN_LEN		32
#define RECORDS		256

static const u8 noop[] = { 0x6e, 0x6f, 0x6f, 0x70, 0, 0, 0, 0, 0, 0, 0, 1 };

struct bed;

/**
 * struct record - a message and what became of it
 * @bed: where it belongs
 * @msg: the message
 * @id: its number, which its out buffer begins with
 * @submitted: tvq_xfer_submit() took it
 * @calls: how often its done was called
 * @order: the how-many-th message of the bed it was, from 1
 * @err: its result
 * @used: its used length
 * @ms: how long it took
 * @done: for each call of its done
 */
struct record {
	struct bed *bed;
	struct tvq_msg *msg;
	unsigned int id;
	bool submitted;
	atomic_t calls;
	unsigned int order;
	int err;
	u32 used;
	s64 ms;
	struct completion done;
};

/**
 * struct bed - an engine under test
 * @link: what it talks to
 * @x: the engine, NULL once destroyed
 * @done: number of calls of done
 * @broken_calls: number of calls of the callback of a broken queue
 * @broken_early: messages that had no result then
 * @broken_atomic: it was not called from process context
 * @broken: for each call
 * @records: the messages
 * @num: number of messages made
 */
struct bed {
	struct fake_link *link;
	struct tvq_xfer *x;
	atomic_t done;
	atomic_t broken_calls;
	unsigned int broken_early;
	bool broken_atomic;
	struct completion broken;
	struct record records[RECORDS];
	unsigned int num;
};

static void on_broken(void *priv)
{
	struct bed *bed = priv;
	unsigned int i;

	if (!in_task() || irqs_disabled())
		bed->broken_atomic = true;
	for (i = 0; i < bed->num; i++)
		if (bed->records[i].submitted && !atomic_read(&bed->records[i].calls))
			bed->broken_early++;
	atomic_inc(&bed->broken_calls);
	complete(&bed->broken);
}

static void on_done(struct tvq_msg *msg)
{
	struct record *rec = msg->priv;
	struct tvq_xfer_stats stats;

	/* Would not return with the engine's lock held. */
	tvq_xfer_stats(rec->bed->x, &stats);

	rec->err = msg->err;
	rec->used = msg->used;
	rec->ms = ktime_ms_delta(ktime_get(), msg->submitted);
	rec->order = atomic_inc_return(&rec->bed->done);
	atomic_inc(&rec->calls);
	complete(&rec->done);
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_xfer_interrupt(bed->x);
}

static void destroy(struct bed *bed)
{
	fake_link_shut(bed->link);
	tvq_xfer_destroy(bed->x);
	bed->x = NULL;
}

static void release(void *priv)
{
	struct bed *bed = priv;
	unsigned int i;

	if (bed->x)
		destroy(bed);
	for (i = 0; i < bed->num; i++)
		tvq_msg_put(bed->records[i].msg);
}

/* Make the engine. Whatever happens, it ends before its messages and its link. */
static struct bed *start(struct kunit *test, unsigned int slots, unsigned int timeout_ms)
{
	struct bed *bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	struct tvq_xfer_params params = {
		.ops = &fake_link_ops,
		.slots = slots,
		.timeout_ms = timeout_ms,
		.noop = noop,
		.noop_len = sizeof(noop),
		.noop_in_len = 4,
		.broken = on_broken,
	};

	KUNIT_ASSERT_NOT_NULL(test, bed);
	init_completion(&bed->broken);
	bed->link = fake_link_create(test, slots);
	params.link = bed->link;
	params.priv = bed;
	params.dev = bed->link->dev;
	bed->x = tvq_xfer_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->x);
	bed->link->interrupt = on_interrupt;
	bed->link->priv = bed;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, release, bed), 0);
	return bed;
}

static struct record *make(struct kunit *test, struct bed *bed, unsigned int timeout_ms)
{
	struct record *rec;

	KUNIT_ASSERT_LT(test, bed->num, RECORDS);
	rec = &bed->records[bed->num];
	rec->bed = bed;
	rec->id = bed->num;
	init_completion(&rec->done);
	rec->msg = tvq_msg_alloc(OUT_LEN, IN_LEN, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, rec->msg);
	bed->num++;
	rec->msg->priv = rec;
	rec->msg->done = on_done;
	rec->msg->timeout_ms = timeout_ms;
	put_unaligned_le32(rec->id, rec->msg->out);
	return rec;
}

static struct record *send(struct kunit *test, struct bed *bed, unsigned int timeout_ms)
{
	struct record *rec = make(test, bed, timeout_ms);

	rec->submitted = true;
	KUNIT_ASSERT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), 0);
	return rec;
}

/* The device takes the next command, which must be that of @rec. */
static void take(struct kunit *test, struct bed *bed, struct record *rec, struct fake_cmd *cmd)
{
	KUNIT_ASSERT_TRUE(test, fake_link_take(bed->link, cmd));
	KUNIT_ASSERT_EQ(test, cmd->out_len, OUT_LEN);
	KUNIT_ASSERT_EQ(test, cmd->in_len, IN_LEN);
	KUNIT_ASSERT_NOT_NULL(test, cmd->tag);
	KUNIT_ASSERT_EQ(test, get_unaligned_le32(cmd->out), rec->id);
}

static void take_noop(struct kunit *test, struct bed *bed, struct fake_cmd *cmd)
{
	KUNIT_ASSERT_TRUE(test, fake_link_wait(bed->link, cmd, WAIT_MS));
	KUNIT_ASSERT_EQ(test, cmd->out_len, sizeof(noop));
	KUNIT_ASSERT_EQ(test, cmd->in_len, 4);
	KUNIT_ASSERT_MEMEQ(test, cmd->out, noop, sizeof(noop));
}

static void answer(struct bed *bed, const struct fake_cmd *cmd, u32 used)
{
	fake_link_return(bed->link, cmd, used);
	tvq_xfer_interrupt(bed->x);
}

static void expect_result(struct kunit *test, struct record *rec, int err)
{
	KUNIT_ASSERT_NE_MSG(test,
			    wait_for_completion_timeout(&rec->done, msecs_to_jiffies(WAIT_MS)),
			    0, "message %u has no result", rec->id);
	KUNIT_EXPECT_EQ_MSG(test, rec->err, err, "message %u", rec->id);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&rec->calls), 1, "message %u", rec->id);
}

static void expect_stats(struct kunit *test, struct bed *bed, unsigned int in_flight,
			 unsigned int waiting, unsigned int quarantined)
{
	struct tvq_xfer_stats stats;

	tvq_xfer_stats(bed->x, &stats);
	KUNIT_EXPECT_EQ(test, stats.in_flight, in_flight);
	KUNIT_EXPECT_EQ(test, stats.waiting, waiting);
	KUNIT_EXPECT_EQ(test, stats.quarantined, quarantined);
}

static void expect_counts(struct kunit *test, struct bed *bed, u64 late, u64 stray)
{
	struct tvq_xfer_stats stats;

	tvq_xfer_stats(bed->x, &stats);
	KUNIT_EXPECT_EQ(test, stats.late, late);
	KUNIT_EXPECT_EQ(test, stats.stray, stray);
}

static void expect_shown(struct kunit *test, struct bed *bed, const char *line)
{
	char text[128] = "";
	struct seq_file m = { .buf = text, .size = sizeof(text) };

	tvq_xfer_show(bed->x, &m);
	KUNIT_EXPECT_STREQ(test, text, line);
}

static void expect_broken(struct kunit *test, struct bed *bed)
{
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&bed->broken,
							  msecs_to_jiffies(WAIT_MS)), 0);
	KUNIT_EXPECT_TRUE(test, tvq_xfer_is_broken(bed->x));
	KUNIT_EXPECT_EQ(test, bed->link->stops, 1);
	KUNIT_EXPECT_EQ(test, bed->broken_early, 0);
	KUNIT_EXPECT_FALSE(test, bed->broken_atomic);
}

static void expect_whole(struct kunit *test, struct bed *bed)
{
	KUNIT_EXPECT_FALSE(test, tvq_xfer_is_broken(bed->x));
	KUNIT_EXPECT_EQ(test, bed->link->stops, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->broken_calls), 0);
}

/* The engine gives up its reference after it has called done. */
static void expect_refs(struct kunit *test, struct record *rec, unsigned int refs)
{
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);

	while (kref_read(&rec->msg->ref) != refs && time_before(jiffies, end))
		usleep_range(1000, 2000);
	KUNIT_EXPECT_EQ_MSG(test, kref_read(&rec->msg->ref), refs, "message %u", rec->id);
}

/* Making messages and engines */

static void msg_buffers(struct kunit *test)
{
	struct tvq_msg *msg = tvq_msg_alloc(100, 4096, GFP_ATOMIC);

	KUNIT_ASSERT_NOT_NULL(test, msg);
	KUNIT_EXPECT_EQ(test, msg->out_len, 100);
	KUNIT_EXPECT_EQ(test, msg->in_len, 4096);
	KUNIT_EXPECT_NULL(test, memchr_inv(msg->out, 0, 100));
	KUNIT_EXPECT_NULL(test, memchr_inv(msg->in, 0, 4096));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)msg->in, ARCH_KMALLOC_MINALIGN));
	memset(msg->out, 0xff, 100);
	memset(msg->in, 0xff, 4096);
	tvq_msg_put(msg);

	KUNIT_EXPECT_NULL(test, tvq_msg_alloc(0, 4, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, tvq_msg_alloc(12, 0, GFP_KERNEL));
	tvq_msg_put(NULL);
}

static void create_invalid(struct kunit *test)
{
	const struct tvq_xfer_params good = {
		.ops = &fake_link_ops,
		.link = fake_link_create(test, 1),
		.slots = 1,
		.timeout_ms = LONG_MS,
		.noop = noop,
		.noop_len = sizeof(noop),
		.noop_in_len = 4,
	};
	struct tvq_xfer_params params;
	struct tvq_xfer *x;

	params = good;
	params.slots = 0;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(tvq_xfer_create(&params)), -EINVAL);
	params.slots = 32769;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(tvq_xfer_create(&params)), -EINVAL);
	params = good;
	params.timeout_ms = 0;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(tvq_xfer_create(&params)), -EINVAL);
	params = good;
	params.noop_len = 0;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(tvq_xfer_create(&params)), -EINVAL);
	params = good;
	params.noop_in_len = 0;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(tvq_xfer_create(&params)), -EINVAL);

	params = good;
	params.slots = 32768;
	x = tvq_xfer_create(&params);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, x);
	tvq_xfer_destroy(x);
	tvq_xfer_destroy(NULL);
	tvq_xfer_destroy(ERR_PTR(-ENOMEM));
}

/* Commands and answers */

static int answer_echo(struct fake_link *link, const struct fake_cmd *cmd)
{
	size_t len = min(cmd->out_len, cmd->in_len);

	memcpy(cmd->in, cmd->out, len);
	return len;
}

static void exec_answered(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct tvq_msg *msg = make(test, bed, 0)->msg;
	int i;

	bed->link->answer = answer_echo;
	msg->done = NULL;
	for (i = 1; i <= 10; i++) {
		memset(msg->out, i, OUT_LEN);
		KUNIT_EXPECT_EQ(test, tvq_xfer_exec(bed->x, msg), 0);
		KUNIT_EXPECT_EQ(test, msg->err, 0);
		KUNIT_EXPECT_EQ(test, msg->used, OUT_LEN);
		KUNIT_EXPECT_MEMEQ(test, msg->in, msg->out, OUT_LEN);
	}
	KUNIT_EXPECT_EQ(test, bed->link->posts, 10);
	expect_stats(test, bed, 0, 0, 0);
}

static void exec_with_done(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *rec = make(test, bed, 0);
	int i;

	bed->link->answer = answer_echo;
	for (i = 1; i <= 10; i++) {
		KUNIT_EXPECT_EQ(test, tvq_xfer_exec(bed->x, rec->msg), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), i);
	}
}

static void exec_unanswered(struct kunit *test)
{
	struct bed *bed = start(test, 32, LONG_MS);
	struct tvq_msg *msg = make(test, bed, SHORT_MS)->msg;

	msg->done = NULL;
	KUNIT_EXPECT_EQ(test, tvq_xfer_exec(bed->x, msg), -ETIMEDOUT);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), msg->submitted), SHORT_MS);
}

/* More than the engine takes in one go, answered at once and in reverse. */
static void many_in_flight(struct kunit *test)
{
	struct bed *bed = start(test, 200, LONG_MS);
	struct fake_cmd *cmd = kunit_kcalloc(test, 200, sizeof(*cmd), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, cmd);
	for (i = 0; i < 200; i++)
		send(test, bed, 0);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 200);
	expect_stats(test, bed, 200, 0, 0);
	for (i = 0; i < 200; i++)
		take(test, bed, &bed->records[i], &cmd[i]);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->done), 0);

	for (i = 199; i >= 0; i--) {
		put_unaligned_le32(i, cmd[i].in);
		fake_link_return(bed->link, &cmd[i], 4);
	}
	tvq_xfer_interrupt(bed->x);
	for (i = 0; i < 200; i++) {
		struct record *rec = &bed->records[i];

		expect_result(test, rec, 0);
		KUNIT_EXPECT_EQ(test, rec->used, 4);
		KUNIT_EXPECT_EQ(test, get_unaligned_le32(rec->msg->in), i);
		KUNIT_EXPECT_EQ(test, rec->order, 200 - i);
		expect_refs(test, rec, 1);
	}
	expect_stats(test, bed, 0, 0, 0);
	expect_counts(test, bed, 0, 0);
	expect_whole(test, bed);
}

static void out_of_order(struct kunit *test)
{
	static const int order[] = { 3, 0, 6, 5, 1, 7, 2, 4 };
	struct bed *bed = start(test, 8, LONG_MS);
	struct fake_cmd cmd[8];
	int i, round;

	for (round = 0; round < 4; round++) {
		struct record *rec = &bed->records[8 * round];

		for (i = 0; i < 8; i++)
			take(test, bed, send(test, bed, 0), &cmd[i]);
		for (i = 0; i < 8; i++) {
			struct record *now = &rec[order[i]];

			memset(cmd[order[i]].in, now->id, IN_LEN);
			answer(bed, &cmd[order[i]], order[i] + 1);
			expect_result(test, now, 0);
			KUNIT_EXPECT_EQ(test, now->used, order[i] + 1);
			KUNIT_EXPECT_EQ(test, now->order, 8 * round + i + 1);
			KUNIT_EXPECT_EQ(test, *(u8 *)now->msg->in, now->id);
			expect_stats(test, bed, 7 - i, 0, 0);
		}
	}
}

static void default_deadline(struct kunit *test)
{
	struct bed *bed = start(test, 32, SHORT_MS);

	expect_result(test, send(test, bed, 0), -ETIMEDOUT);
}

struct used_case {
	const char *name;
	u32 used;
	int err;
	u32 seen;
};

static const struct used_case used_cases[] = {
	{ "zero", 0, 0, 0 },
	{ "short", 1, 0, 1 },
	{ "full", IN_LEN, 0, IN_LEN },
	{ "one too long", IN_LEN + 1, -EPROTO, 0 },
	{ "longest", U32_MAX, -EPROTO, 0 },
};

KUNIT_ARRAY_PARAM_DESC(used_length, used_cases, name);

static void used_length(struct kunit *test)
{
	const struct used_case *c = test->param_value;
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *rec = send(test, bed, 0), *next = send(test, bed, 0);
	struct fake_cmd cmd;

	take(test, bed, rec, &cmd);
	answer(bed, &cmd, c->used);
	expect_result(test, rec, c->err);
	KUNIT_EXPECT_EQ(test, rec->used, c->seen);
	expect_refs(test, rec, 1);

	/* The others do not suffer from it. */
	take(test, bed, next, &cmd);
	answer(bed, &cmd, 8);
	expect_result(test, next, 0);
	expect_stats(test, bed, 0, 0, 0);
	expect_whole(test, bed);
}

/* A full ring */

static void full_ring(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct fake_cmd cmd[24];
	int i;

	for (i = 0; i < 24; i++)
		send(test, bed, 0);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 8);
	expect_stats(test, bed, 8, 16, 0);

	for (i = 0; i < 8; i++)
		take(test, bed, &bed->records[i], &cmd[i]);
	for (i = 0; i < 24; i++) {
		answer(bed, &cmd[i], 4);
		expect_result(test, &bed->records[i], 0);
		if (i + 8 < 24)
			take(test, bed, &bed->records[i + 8], &cmd[i + 8]);
		KUNIT_EXPECT_EQ(test, bed->link->posts, min(i + 9, 24));
		expect_stats(test, bed, min(8, 23 - i), max(0, 15 - i), 0);
	}
}

/* The link has less room than the engine has slots, and knows better. */
static void full_link(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct fake_cmd cmd[3];
	int i;

	bed->link->room = 2;
	for (i = 0; i < 3; i++)
		send(test, bed, 0);
	expect_stats(test, bed, 2, 1, 0);

	/* Room that appears without an interrupt is for who waits for it. */
	bed->link->room++;
	send(test, bed, 0);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 2);
	expect_stats(test, bed, 2, 2, 0);

	tvq_xfer_interrupt(bed->x);
	expect_stats(test, bed, 3, 1, 0);
	for (i = 0; i < 3; i++)
		take(test, bed, &bed->records[i], &cmd[i]);
	answer(bed, &cmd[1], 4);
	take(test, bed, &bed->records[3], &cmd[1]);
	expect_stats(test, bed, 3, 0, 0);
}

static void waiting_deadline(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *late[2], *left[2];
	struct fake_cmd cmd[4];
	int i;

	for (i = 0; i < 4; i++)
		take(test, bed, send(test, bed, 0), &cmd[i]);
	for (i = 0; i < 2; i++) {
		late[i] = send(test, bed, SHORT_MS);
		left[i] = send(test, bed, 0);
	}
	expect_stats(test, bed, 4, 4, 0);

	for (i = 0; i < 2; i++) {
		expect_result(test, late[i], -ETIMEDOUT);
		KUNIT_EXPECT_GE(test, late[i]->ms, SHORT_MS);
		expect_refs(test, late[i], 1);
	}
	expect_stats(test, bed, 4, 2, 0);

	/* The device never saw them: neither they nor a no-op come. */
	for (i = 0; i < 2; i++) {
		answer(bed, &cmd[i], 4);
		take(test, bed, left[i], &cmd[i]);
	}
	KUNIT_EXPECT_EQ(test, bed->link->posts, 6);
	expect_whole(test, bed);
}

/* A message that has waited past its deadline is not posted only to expire. */
static void waiting_too_long(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	unsigned int tries, posts;
	struct record *late;
	struct fake_cmd cmd;

	for (tries = 0; tries < 5; tries++) {
		posts = bed->link->posts;
		bed->link->room = 0;
		late = send(test, bed, SHORT_MS);
		bed->link->room = 8;
		expect_result(test, late, -ETIMEDOUT);
		if (bed->link->posts == posts)
			break;
		/*
		 * Where ticks come late, jiffies jump, and a timer is early: then it was
		 * posted before its deadline, and a no-op after that.
		 */
		for (posts = 0; posts < 2; posts++) {
			KUNIT_ASSERT_TRUE(test, fake_link_wait(bed->link, &cmd, LONG_MS));
			answer(bed, &cmd, 4);
		}
	}
	KUNIT_EXPECT_LT(test, tries, 5);
	expect_stats(test, bed, 0, 0, 0);
	expect_whole(test, bed);
}

/* Posting fails */

static void post_fails(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *rec = make(test, bed, 0);
	struct fake_cmd cmd;

	bed->link->post_err = -EINVAL;
	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), -EINVAL);
	expect_refs(test, rec, 1);
	expect_stats(test, bed, 0, 0, 0);

	bed->link->post_err = 0;
	KUNIT_ASSERT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 0);
	take(test, bed, rec, &cmd);
	answer(bed, &cmd, 4);
	expect_result(test, rec, 0);
}

static void post_fails_later(struct kunit *test)
{
	struct bed *bed = start(test, 1, LONG_MS);
	struct record *rec[3];
	struct fake_cmd cmd;
	int i;

	for (i = 0; i < 3; i++)
		rec[i] = send(test, bed, 0);
	take(test, bed, rec[0], &cmd);
	bed->link->post_err = -EINVAL;
	answer(bed, &cmd, 4);
	expect_result(test, rec[0], 0);
	expect_result(test, rec[1], -EINVAL);
	expect_result(test, rec[2], -EINVAL);
	expect_refs(test, rec[2], 1);
	expect_stats(test, bed, 0, 0, 0);
	expect_whole(test, bed);
}

/* For want of memory: it is tried again, though nothing is under way. */
static void post_lacks_memory(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *rec[2];
	struct fake_cmd cmd;
	int i;

	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = -ENOMEM;
	for (i = 0; i < 2; i++)
		rec[i] = send(test, bed, 0);
	msleep(SHORT_MS);
	expect_stats(test, bed, 0, 2, 0);
	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = 0;
	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_TRUE(test, fake_link_wait(bed->link, &cmd, WAIT_MS));
		KUNIT_EXPECT_EQ(test, get_unaligned_le32(cmd.out), rec[i]->id);
		answer(bed, &cmd, 4);
		expect_result(test, rec[i], 0);
	}
	expect_stats(test, bed, 0, 0, 0);
}

/* And there is none until its deadline: the device has not seen it. */
static void post_lacks_memory_too_long(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *late;

	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = -ENOMEM;
	late = send(test, bed, SHORT_MS);
	expect_result(test, late, -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 0);
	expect_stats(test, bed, 0, 0, 0);
	scoped_guard(spinlock_irqsave, &bed->link->lock)
		bed->link->post_err = 0;
	expect_whole(test, bed);
}

static void submit_twice(struct kunit *test)
{
	struct bed *bed = start(test, 32, LONG_MS);
	struct record *rec = send(test, bed, SHORT_MS), *waiting;
	struct fake_cmd cmd, ping;

	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), -EBUSY);
	take(test, bed, rec, &cmd);
	expect_result(test, rec, -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), -EBUSY);
	take_noop(test, bed, &ping);
	answer(bed, &ping, 4);

	bed->link->room = 0;
	waiting = send(test, bed, 0);
	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, waiting->msg), -EBUSY);
	expect_refs(test, waiting, 2);

	/* Once the late reply is there, the buffer is free. */
	bed->link->room = 1;
	answer(bed, &cmd, 4);
	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), 0);
	expect_stats(test, bed, 2, 0, 0);
}

static void again(struct tvq_msg *msg)
{
	struct record *rec = msg->priv;

	if (atomic_inc_return(&rec->calls) < 10)
		rec->err = tvq_xfer_submit(rec->bed->x, msg);
	else
		complete(&rec->done);
}

static void submit_from_done(struct kunit *test)
{
	struct bed *bed = start(test, 2, LONG_MS);
	struct record *rec = make(test, bed, 0);

	bed->link->answer = answer_echo;
	rec->msg->done = again;
	KUNIT_ASSERT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), 0);
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&rec->done,
							  msecs_to_jiffies(WAIT_MS)), 0);
	KUNIT_EXPECT_EQ(test, rec->err, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 10);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 10);
	expect_stats(test, bed, 0, 0, 0);
}

/* Hard interrupt context */

struct hardirq {
	struct irq_work work;
	struct bed *bed;
	struct record *rec[12];
	int err;
	bool hard;
};

static void hardirq_submit(struct irq_work *work)
{
	struct hardirq *h = container_of(work, struct hardirq, work);
	int i;

	h->hard = in_hardirq() && irqs_disabled();
	for (i = 0; i < ARRAY_SIZE(h->rec); i++)
		h->err = h->err ?: tvq_xfer_submit(h->bed->x, h->rec[i]->msg);
}

static void hardirq_interrupt(struct irq_work *work)
{
	struct hardirq *h = container_of(work, struct hardirq, work);

	h->hard = in_hardirq() && irqs_disabled();
	tvq_xfer_interrupt(h->bed->x);
}

static void from_hardirq(struct kunit *test)
{
	struct hardirq *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	struct bed *bed = start(test, 8, LONG_MS);
	struct fake_cmd cmd;
	int i;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		kunit_skip(test, "irq_work runs in a thread");

	KUNIT_ASSERT_NOT_NULL(test, h);
	h->bed = bed;
	for (i = 0; i < ARRAY_SIZE(h->rec); i++)
		h->rec[i] = make(test, bed, i ? LONG_MS - i : 0);

	init_irq_work(&h->work, hardirq_submit);
	irq_work_queue(&h->work);
	irq_work_sync(&h->work);
	KUNIT_EXPECT_TRUE(test, h->hard);
	KUNIT_EXPECT_EQ(test, h->err, 0);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 8);
	expect_stats(test, bed, 8, 4, 0);

	for (i = 0; i < 8; i++) {
		take(test, bed, h->rec[i], &cmd);
		fake_link_return(bed->link, &cmd, 4);
	}
	h->hard = false;
	init_irq_work(&h->work, hardirq_interrupt);
	irq_work_queue(&h->work);
	irq_work_sync(&h->work);
	KUNIT_EXPECT_TRUE(test, h->hard);
	for (i = 0; i < 8; i++)
		expect_result(test, h->rec[i], 0);
	expect_stats(test, bed, 4, 0, 0);
}

/* Completions that are none */

static void stray_tag(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *rec = send(test, bed, 0);
	unsigned long tag;
	struct fake_cmd cmd;
	int i;

	take(test, bed, rec, &cmd);
	tag = (unsigned long)cmd.tag;
	{
		void *const tags[] = {
			(void *)~0UL, (void *)1, (void *)4, (void *)5, (void *)0xffff,
			(void *)0x8000, (void *)0x10000, (void *)LONG_MIN, rec, rec->msg,
			(void *)(tag + 1), (void *)(tag - 1), (void *)(tag + 0x10000),
			(void *)(tag | BIT(BITS_PER_LONG - 1)),
		};

		for (i = 0; i < ARRAY_SIZE(tags); i++) {
			fake_link_stray(bed->link, tags[i], 4);
			tvq_xfer_interrupt(bed->x);
			expect_counts(test, bed, 0, i + 1);
			expect_stats(test, bed, 1, 0, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 0);

	answer(bed, &cmd, 4);
	expect_result(test, rec, 0);
	expect_whole(test, bed);
}

static void stale_generation(struct kunit *test)
{
	struct bed *bed = start(test, 1, LONG_MS);
	struct record *old = send(test, bed, 0), *now;
	struct fake_cmd cmd[2];

	take(test, bed, old, &cmd[0]);
	answer(bed, &cmd[0], 4);
	expect_result(test, old, 0);

	now = send(test, bed, 0);
	take(test, bed, now, &cmd[1]);
	KUNIT_EXPECT_PTR_NE(test, cmd[0].tag, cmd[1].tag);
	fake_link_stray(bed->link, cmd[0].tag, 4);
	tvq_xfer_interrupt(bed->x);
	KUNIT_EXPECT_EQ(test, atomic_read(&now->calls), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&old->calls), 1);
	expect_counts(test, bed, 0, 1);

	answer(bed, &cmd[1], 4);
	expect_result(test, now, 0);
}

static void double_completion(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *rec = send(test, bed, 0);
	struct fake_cmd cmd;

	take(test, bed, rec, &cmd);
	fake_link_return(bed->link, &cmd, 4);
	fake_link_stray(bed->link, cmd.tag, 8);
	tvq_xfer_interrupt(bed->x);
	expect_result(test, rec, 0);
	KUNIT_EXPECT_EQ(test, rec->used, 4);
	expect_counts(test, bed, 0, 1);

	fake_link_stray(bed->link, cmd.tag, 8);
	tvq_xfer_interrupt(bed->x);
	KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 1);
	expect_refs(test, rec, 1);
	expect_counts(test, bed, 0, 2);
	expect_whole(test, bed);
}

/* It ends, and the owner of the queue is told in another context than this. */
static void stray_flood(struct kunit *test)
{
	struct hardirq *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *rec = send(test, bed, 0);

	KUNIT_ASSERT_NOT_NULL(test, h);
	bed->link->flood = (void *)~0UL;
	h->bed = bed;
	init_irq_work(&h->work, hardirq_interrupt);
	irq_work_queue(&h->work);
	irq_work_sync(&h->work);
	expect_broken(test, bed);
	expect_result(test, rec, -EIO);
}

/* The link has found out by itself, and nobody has to wait for a deadline. */
static void poll_fails(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *rec = send(test, bed, 0);

	bed->link->flood = ERR_PTR(-EIO);
	tvq_xfer_interrupt(bed->x);
	expect_broken(test, bed);
	expect_result(test, rec, -EIO);
}

/* Deadlines */

static void deadline(struct kunit *test)
{
	struct bed *bed = start(test, 32, LONG_MS);
	struct record *other = send(test, bed, 0), *rec = send(test, bed, SHORT_MS);
	struct fake_cmd cmd[2], ping;
	int i;

	take(test, bed, other, &cmd[0]);
	take(test, bed, rec, &cmd[1]);
	expect_result(test, rec, -ETIMEDOUT);
	KUNIT_EXPECT_GE(test, rec->ms, SHORT_MS);
	expect_refs(test, rec, 2);

	/* One no-op a deadline, each of which is answered. */
	for (i = 1; i <= 3; i++) {
		take_noop(test, bed, &ping);
		expect_stats(test, bed, 2, 0, i);
		answer(bed, &ping, i == 1 ? 0 : 4);
		expect_stats(test, bed, 1, 0, i);
		KUNIT_EXPECT_FALSE(test, fake_link_take(bed->link, &ping));
		rec = send(test, bed, SHORT_MS);
		take(test, bed, rec, &cmd[1]);
		expect_result(test, rec, -ETIMEDOUT);
	}

	answer(bed, &cmd[0], 4);
	expect_result(test, other, 0);
	expect_whole(test, bed);
}

/* The owner is gone when the device writes to the buffer: KASAN looks on. */
static void late_reply(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *rec = send(test, bed, SHORT_MS);
	struct fake_cmd cmd, ping;
	struct tvq_msg *msg = rec->msg;
	int i;

	take(test, bed, rec, &cmd);
	expect_result(test, rec, -ETIMEDOUT);
	take_noop(test, bed, &ping);
	answer(bed, &ping, 4);
	expect_stats(test, bed, 0, 0, 1);

	/* While it is away, its slot is taken. */
	for (i = 0; i < 8; i++)
		send(test, bed, 0);
	expect_stats(test, bed, 7, 1, 1);

	kref_get(&msg->ref);
	tvq_msg_put(msg);
	expect_refs(test, rec, 2);
	memset(cmd.in, 0x5a, cmd.in_len);
	answer(bed, &cmd, cmd.in_len);
	expect_refs(test, rec, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 1);
	KUNIT_EXPECT_EQ(test, msg->err, -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, msg->used, 0);
	expect_counts(test, bed, 1, 0);
	expect_stats(test, bed, 8, 0, 0);
	expect_shown(test, bed,
		     "slots=8 in_flight=8 waiting=0 quarantined=0 expired=1 late=1 stray=0 broken=0\n");

	/* The tag was good for one reply. */
	fake_link_stray(bed->link, cmd.tag, 4);
	tvq_xfer_interrupt(bed->x);
	expect_counts(test, bed, 1, 1);
	expect_refs(test, rec, 1);
	expect_whole(test, bed);
}

/* As above, and nobody else has a reference: KASAN and kmemleak look on. */
static void late_reply_frees(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *rec = send(test, bed, SHORT_MS);
	struct fake_cmd cmd;

	take(test, bed, rec, &cmd);
	expect_result(test, rec, -ETIMEDOUT);
	tvq_msg_put(rec->msg);
	rec->msg = NULL;
	memset(cmd.in, 0x5a, cmd.in_len);
	KUNIT_EXPECT_EQ(test, get_unaligned_le32(cmd.out), rec->id);
	answer(bed, &cmd, cmd.in_len);
	expect_counts(test, bed, 1, 0);
}

static void missed_interrupt(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *rec;

	bed->link->answer = answer_echo;
	bed->link->shut = true;
	rec = send(test, bed, SHORT_MS);
	KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 0);
	expect_result(test, rec, 0);
	KUNIT_EXPECT_EQ(test, rec->used, OUT_LEN);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 1);
	expect_stats(test, bed, 0, 0, 0);
	expect_whole(test, bed);
}

/* Deadlines do not pass in the order in which the messages were sent. */
static void deadline_order(struct kunit *test)
{
	struct bed *bed = start(test, 64, LONG_MS);
	struct record *slow = send(test, bed, 30 * SHORT_MS);
	struct record *fast = send(test, bed, SHORT_MS);
	struct record *middle = send(test, bed, 10 * SHORT_MS);

	expect_result(test, slow, -ETIMEDOUT);
	expect_result(test, fast, -ETIMEDOUT);
	expect_result(test, middle, -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, fast->order, 1);
	KUNIT_EXPECT_EQ(test, middle->order, 2);
	KUNIT_EXPECT_EQ(test, slow->order, 3);
	KUNIT_EXPECT_GE(test, fast->ms, SHORT_MS);
	KUNIT_EXPECT_GE(test, middle->ms, 10 * SHORT_MS);
	KUNIT_EXPECT_GE(test, slow->ms, 30 * SHORT_MS);
}

/* The no-op goes before those who wait. */
static void noop_overtakes(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *late = send(test, bed, SHORT_MS), *waiting;
	struct fake_cmd cmd[8], ping;
	int i;

	take(test, bed, late, &cmd[0]);
	for (i = 1; i < 8; i++)
		take(test, bed, send(test, bed, 0), &cmd[i]);
	waiting = send(test, bed, 0);
	expect_result(test, late, -ETIMEDOUT);
	expect_stats(test, bed, 7, 2, 1);

	answer(bed, &cmd[1], 4);
	take_noop(test, bed, &ping);
	expect_stats(test, bed, 7, 1, 1);
	answer(bed, &ping, 4);
	take(test, bed, waiting, &cmd[1]);
	expect_stats(test, bed, 7, 0, 1);
	expect_whole(test, bed);
}

/* A broken queue */

static void noop_unanswered(struct kunit *test)
{
	struct bed *bed = start(test, 32, SHORT_MS);
	struct record *late = send(test, bed, 0), *other = send(test, bed, LONG_MS);
	struct fake_cmd cmd;

	take(test, bed, late, &cmd);
	take(test, bed, other, &cmd);
	expect_result(test, late, -ETIMEDOUT);
	take_noop(test, bed, &cmd);
	expect_result(test, other, -EIO);
	expect_broken(test, bed);
	KUNIT_EXPECT_GE(test, other->ms, 2 * SHORT_MS);
	expect_refs(test, other, 2);
	expect_stats(test, bed, 0, 0, 3);
}

/* Where there is no room for the no-op until its deadline, the device is dead. */
static void noop_without_room(struct kunit *test)
{
	struct bed *bed = start(test, 8, SHORT_MS);
	struct record *late = send(test, bed, 0), *waiting;
	int i;

	for (i = 1; i < 8; i++)
		send(test, bed, LONG_MS);
	waiting = send(test, bed, LONG_MS);
	expect_result(test, late, -ETIMEDOUT);
	expect_result(test, waiting, -EIO);
	expect_broken(test, bed);
	KUNIT_EXPECT_EQ(test, bed->link->posts, 8);
	expect_stats(test, bed, 0, 0, 8);
}

static void noop_not_posted(struct kunit *test)
{
	struct bed *bed = start(test, 32, LONG_MS);
	struct record *late = send(test, bed, SHORT_MS);

	bed->link->post_err = -EIO;
	expect_result(test, late, -ETIMEDOUT);
	expect_broken(test, bed);
}

/* The link finds out, with nothing under way that could miss its deadline. */
static void ring_is_broken(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);

	bed->link->post_err = -EIO;
	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, make(test, bed, 0)->msg), -EIO);
	expect_broken(test, bed);
}

struct quarter_case {
	const char *name;
	unsigned int slots;
	unsigned int enough;
};

static const struct quarter_case quarter_cases[] = {
	{ "1 of 1", 1, 1 },
	{ "1 of 4", 4, 1 },
	{ "2 of 5", 5, 2 },
	{ "2 of 8", 8, 2 },
	{ "3 of 9", 9, 3 },
	{ "16 of 64", 64, 16 },
};

KUNIT_ARRAY_PARAM_DESC(quarter, quarter_cases, name);

static void quarter(struct kunit *test)
{
	const struct quarter_case *c = test->param_value;
	struct bed *bed = start(test, c->slots, LONG_MS);
	struct record *rec, *other = NULL;
	struct fake_cmd ping;
	unsigned int i;

	if (c->slots > c->enough) {
		other = send(test, bed, 0);
		take(test, bed, other, &ping);
	}
	for (i = 1; i < c->enough; i++) {
		rec = send(test, bed, SHORT_MS);
		take(test, bed, rec, &ping);
		expect_result(test, rec, -ETIMEDOUT);
		take_noop(test, bed, &ping);
		answer(bed, &ping, 4);
		expect_whole(test, bed);
	}
	rec = send(test, bed, SHORT_MS);
	take(test, bed, rec, &ping);
	expect_result(test, rec, -ETIMEDOUT);
	expect_broken(test, bed);
	KUNIT_EXPECT_FALSE(test, fake_link_take(bed->link, &ping));
	if (other) {
		expect_result(test, other, -EIO);
		expect_stats(test, bed, 0, 0, c->enough + 1);
	}
}

static void broken_once(struct kunit *test)
{
	struct bed *bed = start(test, 4, LONG_MS);
	struct record *late = send(test, bed, SHORT_MS), *rec;
	struct fake_cmd cmd;
	int i;

	take(test, bed, late, &cmd);
	expect_result(test, late, -ETIMEDOUT);
	expect_broken(test, bed);

	for (i = 0; i < 3; i++) {
		fake_link_return(bed->link, &cmd, 4);
		tvq_xfer_interrupt(bed->x);
		tvq_xfer_break(bed->x);
	}
	rec = make(test, bed, 0);
	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, rec->msg), -EIO);
	expect_refs(test, rec, 1);
	rec->msg->done = NULL;
	KUNIT_EXPECT_EQ(test, tvq_xfer_exec(bed->x, rec->msg), -EIO);

	/* For the call that must not come. */
	msleep(2 * SHORT_MS);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->broken_calls), 1);
	KUNIT_EXPECT_EQ(test, bed->link->stops, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&late->calls), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 0);
}

static void break_by_caller(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct fake_cmd cmd;
	int i;

	for (i = 0; i < 12; i++)
		send(test, bed, 0);
	take(test, bed, &bed->records[0], &cmd);
	KUNIT_EXPECT_FALSE(test, tvq_xfer_is_broken(bed->x));
	tvq_xfer_break(bed->x);
	KUNIT_EXPECT_TRUE(test, tvq_xfer_is_broken(bed->x));
	KUNIT_EXPECT_EQ(test, bed->link->stops, 1);
	for (i = 0; i < 12; i++) {
		struct record *rec = &bed->records[i];

		KUNIT_EXPECT_EQ(test, atomic_read(&rec->calls), 1);
		KUNIT_EXPECT_EQ(test, rec->err, -EIO);
		KUNIT_EXPECT_EQ(test, rec->order, i + 1);
		expect_refs(test, rec, i < 8 ? 2 : 1);
	}
	expect_stats(test, bed, 0, 0, 8);

	tvq_xfer_break(bed->x);
	answer(bed, &cmd, 4);
	KUNIT_EXPECT_EQ(test, bed->link->stops, 1);
	expect_refs(test, &bed->records[0], 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->done), 12);
	KUNIT_EXPECT_EQ(test, tvq_xfer_submit(bed->x, make(test, bed, 0)->msg), -EIO);

	msleep(2 * SHORT_MS);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->broken_calls), 0);
}

static void break_while_probing(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *late = send(test, bed, SHORT_MS);
	struct fake_cmd cmd;

	take(test, bed, late, &cmd);
	expect_result(test, late, -ETIMEDOUT);
	take_noop(test, bed, &cmd);
	tvq_xfer_break(bed->x);
	expect_stats(test, bed, 0, 0, 2);
	destroy(bed);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->broken_calls), 0);
}

/* As above, where the no-op waits for room. */
static void break_before_probing(struct kunit *test)
{
	struct bed *bed = start(test, 8, LONG_MS);
	struct record *late = send(test, bed, SHORT_MS);
	int i;

	for (i = 1; i < 8; i++)
		send(test, bed, 0);
	expect_result(test, late, -ETIMEDOUT);
	expect_stats(test, bed, 7, 1, 1);
	tvq_xfer_break(bed->x);
	expect_stats(test, bed, 0, 0, 8);
	destroy(bed);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->broken_calls), 0);
}

static void destroy_frees(struct kunit *test)
{
	struct bed *bed = start(test, 16, LONG_MS);
	struct record *late = send(test, bed, SHORT_MS);
	struct fake_cmd cmd;
	int i;

	take(test, bed, late, &cmd);
	expect_result(test, late, -ETIMEDOUT);
	take_noop(test, bed, &cmd);
	answer(bed, &cmd, 4);
	for (i = 1; i < 20; i++)
		send(test, bed, 0);
	expect_stats(test, bed, 15, 4, 1);

	destroy(bed);
	KUNIT_EXPECT_EQ(test, bed->link->stops, 1);
	expect_refs(test, late, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&late->calls), 1);
	for (i = 1; i < 20; i++) {
		KUNIT_EXPECT_EQ(test, atomic_read(&bed->records[i].calls), 1);
		KUNIT_EXPECT_EQ(test, bed->records[i].err, -EIO);
		expect_refs(test, &bed->records[i], 1);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->broken_calls), 0);
}

/* What the device was given is taken back from it, and then freed. */
static void forgotten_before_freed(struct kunit *test)
{
	struct bed *bed = start(test, 16, LONG_MS);
	struct tvq_msg *msg = tvq_msg_alloc(8, 8, GFP_KERNEL);
	struct fake_cmd cmd;

	KUNIT_ASSERT_NOT_NULL(test, msg);
	KUNIT_ASSERT_EQ(test, tvq_xfer_submit(bed->x, msg), 0);
	KUNIT_ASSERT_TRUE(test, fake_link_wait(bed->link, &cmd, WAIT_MS));
	/* The last reference is the engine's. */
	tvq_msg_put(msg);
	bed->link->held = &cmd;
	destroy(bed);
	KUNIT_EXPECT_EQ(test, bed->link->forgets, 1);
}

/* Many at once */

#define CROWD		4
#define CROWD_MSGS	200
#define CROWD_SLOTS	16

/**
 * struct crowd - several senders and a device
 * @bed: the engine
 * @good: messages with the right answer
 * @bad: messages with another result, or with two
 * @disorder: commands of one sender that came in another order
 * @left: messages without a result
 * @all: when there are none
 * @sender: one for each of those who send
 * @device: answers, in any order
 */
struct crowd {
	struct bed *bed;
	atomic_t good;
	atomic_t bad;
	atomic_t disorder;
	atomic_t left;
	struct completion all;
	struct crowd_sender {
		struct crowd *crowd;
		u32 id;
		struct task_struct *task;
	} sender[CROWD];
	struct task_struct *device;
};

static void crowd_result(struct crowd *crowd, struct tvq_msg *msg)
{
	if (!msg->err && msg->used == OUT_LEN && !memcmp(msg->in, msg->out, OUT_LEN))
		atomic_inc(&crowd->good);
	else
		atomic_inc(&crowd->bad);
	/* So that a second result is a bad one. */
	memset(msg->in, 0, IN_LEN);
	if (atomic_dec_and_test(&crowd->left))
		complete(&crowd->all);
}

static void crowd_done(struct tvq_msg *msg)
{
	crowd_result(msg->priv, msg);
	tvq_msg_put(msg);
}

static int crowd_send(void *priv)
{
	struct crowd_sender *me = priv;
	struct crowd *crowd = me->crowd;
	struct tvq_msg *msg;
	u32 i;

	for (i = 1; i <= CROWD_MSGS; i++) {
		bool wait = i % 8 == 0;
		int err;

		msg = tvq_msg_alloc(OUT_LEN, IN_LEN, GFP_KERNEL);
		if (!msg) {
			atomic_inc(&crowd->bad);
			break;
		}
		put_unaligned_le32(me->id, msg->out);
		put_unaligned_le32(i, msg->out + 4);
		msg->priv = crowd;
		msg->done = wait ? NULL : crowd_done;
		if (!wait) {
			err = tvq_xfer_submit(crowd->bed->x, msg);
		} else {
			err = tvq_xfer_exec(crowd->bed->x, msg);
			crowd_result(crowd, msg);
		}
		if (err)
			atomic_inc(&crowd->bad);
		if (err || wait)
			tvq_msg_put(msg);
	}

	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int crowd_device(void *priv)
{
	struct crowd *crowd = priv;
	struct fake_cmd cmd[CROWD_SLOTS];
	u32 last[CROWD] = { };
	unsigned int i, n = 0;

	while (!kthread_should_stop()) {
		while (n < CROWD_SLOTS && fake_link_take(crowd->bed->link, &cmd[n])) {
			u32 id = get_unaligned_le32(cmd[n].out);

			if (id >= CROWD || get_unaligned_le32(cmd[n].out + 4) != ++last[id])
				atomic_inc(&crowd->disorder);
			n++;
		}
		if (!n) {
			schedule_timeout_interruptible(1);
			continue;
		}
		i = get_random_u32_below(n);
		memcpy(cmd[i].in, cmd[i].out, OUT_LEN);
		fake_link_return(crowd->bed->link, &cmd[i], OUT_LEN);
		cmd[i] = cmd[--n];
		if (!n || get_random_u32_below(3) == 0)
			tvq_xfer_interrupt(crowd->bed->x);
	}
	return 0;
}

static void concurrent(struct kunit *test)
{
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	struct bed *bed = start(test, CROWD_SLOTS, LONG_MS);
	unsigned long left;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	crowd->bed = bed;
	atomic_set(&crowd->left, CROWD * CROWD_MSGS);
	init_completion(&crowd->all);
	crowd->device = kthread_run(crowd_device, crowd, "tvq-device");
	for (i = 0; i < CROWD; i++) {
		crowd->sender[i].crowd = crowd;
		crowd->sender[i].id = i;
		crowd->sender[i].task = kthread_run(crowd_send, &crowd->sender[i],
						    "tvq-sender/%d", i);
	}

	left = wait_for_completion_timeout(&crowd->all, msecs_to_jiffies(WAIT_MS));
	KUNIT_EXPECT_NE(test, left, 0);
	/* Ends those who wait if the above has failed. */
	if (!left)
		tvq_xfer_break(bed->x);
	for (i = 0; i < CROWD; i++)
		if (!IS_ERR(crowd->sender[i].task))
			kthread_stop(crowd->sender[i].task);
	if (!IS_ERR(crowd->device))
		kthread_stop(crowd->device);

	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->good), CROWD * CROWD_MSGS);
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->bad), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->disorder), 0);
	KUNIT_EXPECT_EQ(test, bed->link->posts, CROWD * CROWD_MSGS);
	expect_stats(test, bed, 0, 0, 0);
	expect_counts(test, bed, 0, 0);
	expect_whole(test, bed);
}

static struct kunit_case xfer_cases[] = {
	KUNIT_CASE(msg_buffers),
	KUNIT_CASE(create_invalid),
	KUNIT_CASE(exec_answered),
	KUNIT_CASE(exec_with_done),
	KUNIT_CASE(exec_unanswered),
	KUNIT_CASE(many_in_flight),
	KUNIT_CASE(out_of_order),
	KUNIT_CASE(default_deadline),
	KUNIT_CASE_PARAM(used_length, used_length_gen_params),
	KUNIT_CASE(full_ring),
	KUNIT_CASE(full_link),
	KUNIT_CASE(waiting_deadline),
	KUNIT_CASE(waiting_too_long),
	KUNIT_CASE(post_fails),
	KUNIT_CASE(post_fails_later),
	KUNIT_CASE(post_lacks_memory),
	KUNIT_CASE(post_lacks_memory_too_long),
	KUNIT_CASE(submit_twice),
	KUNIT_CASE(submit_from_done),
	KUNIT_CASE(from_hardirq),
	KUNIT_CASE(stray_tag),
	KUNIT_CASE(stale_generation),
	KUNIT_CASE(double_completion),
	KUNIT_CASE(stray_flood),
	KUNIT_CASE(poll_fails),
	KUNIT_CASE(deadline),
	KUNIT_CASE(late_reply),
	KUNIT_CASE(late_reply_frees),
	KUNIT_CASE(missed_interrupt),
	KUNIT_CASE(deadline_order),
	KUNIT_CASE(noop_overtakes),
	KUNIT_CASE(noop_unanswered),
	KUNIT_CASE(noop_without_room),
	KUNIT_CASE(noop_not_posted),
	KUNIT_CASE(ring_is_broken),
	KUNIT_CASE_PARAM(quarter, quarter_gen_params),
	KUNIT_CASE(broken_once),
	KUNIT_CASE(break_by_caller),
	KUNIT_CASE(break_while_probing),
	KUNIT_CASE(break_before_probing),
	KUNIT_CASE(destroy_frees),
	KUNIT_CASE(forgotten_before_freed),
	KUNIT_CASE_SLOW(concurrent),
	{}
};

static struct kunit_suite xfer_suite = {
	.name = "tvq_xfer",
	.test_cases = xfer_cases,
};

kunit_test_suite(xfer_suite);

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_DESCRIPTION("KUnit tests of virtio_tvq");
MODULE_LICENSE("GPL");
