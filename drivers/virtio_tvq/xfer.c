// SPDX-License-Identifier: GPL-2.0
/*
 * The command engine: many commands in flight on one ring, a deadline on each.
 */
#include <linux/bits.h>
#include <linux/container_of.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/lockdep.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <kunit/visibility.h>

#include "xfer.h"

/**
 * DOC: ownership of a buffer whose deadline has passed
 *
 * From tvq_link_ops.post on, the buffers of a message belong to the device: it
 * may read the one and write the other at any time until it returns them, or
 * until it is reset. That the driver has lost its patience changes nothing of
 * it. So a message has two owners, each with a reference:
 *
 * - who allocated it, until tvq_msg_put();
 * - the engine, from tvq_xfer_submit() until @done was called.
 *
 * When a deadline passes while the message is in the ring, the engine takes
 * another reference, on behalf of the device, before it fails the message with
 * -ETIMEDOUT. The slot is then *quarantined*: it stays taken, and nobody frees
 * or reuses the buffers, whatever the caller does with its own reference. A
 * reply that arrives later is recognised by its tag, counted and dropped, and
 * the slot is free again; the message itself is not touched, for its owner may
 * be looking at it. What never comes back is freed by tvq_xfer_destroy(), which
 * is called after the device was reset.
 *
 * A message that fails while it waits for room was never seen by the device,
 * and is not quarantined.
 *
 * A tag names a slot and the use of it: the number of the slot in the lower 16
 * bits, counted from 1, and above them a generation that moves with each use.
 * A completion for a slot that is free, was used again since, or does not exist
 * is a stray: counted, and otherwise ignored.
 *
 * One deadline is the trouble of one managed device. To tell it from that of
 * the whole queue, a deadline is followed by a no-op. The queue is declared
 * broken when
 *
 * - the no-op fails or has no answer by its own deadline (it need not queue up
 *   behind others; where it finds no room for all that time, nothing else was
 *   answered either), or
 * - a quarter of the slots, rounded up, is quarantined, or
 * - the device returns nothing but strays, %TVQ_BATCH of them in a row, or
 * - the link says that it is broken: its post or its poll returns -EIO.
 *
 * Then the link is stopped, all messages fail with -EIO, those in the ring are
 * quarantined, and the queue stays so until the device was reset: then
 * tvq_xfer_halt() frees them.
 */

#define TVQ_SLOTS_MAX		32768
#define TVQ_NO_SLOT		UINT_MAX

#define TVQ_TAG_SLOT		GENMASK(15, 0)
#define TVQ_TAG_GENERATION	BIT(16)

/* How long to wait for memory or a mapping that the link lacked. */
#define TVQ_POST_RETRY_MS	10

/* The most completions taken in one go, with interrupts disabled. */
#define TVQ_BATCH		64U

/**
 * struct tvq_slot - a place in the ring
 * @msg: who has it; NULL when it is free
 * @tag: the tag of its present or last use
 * @next: the next free slot, while it is free
 * @quarantined: @msg has failed, and the device still has its buffers
 */
struct tvq_slot {
	struct tvq_msg *msg;
	unsigned long tag;
	unsigned int next;
	bool quarantined;
};

/**
 * struct tvq_xfer - the engine
 * @params: what it was made of
 * @lock: serialises everything below and all calls of the link
 * @slots: the places in the ring
 * @free: the first free one
 * @flying: messages in the ring, oldest first, without those in quarantine
 * @waiting: messages that wait for room in it, oldest first
 * @stats: counts of the above
 * @noop: the no-op; the engine holds its reference as long as it lives
 * @probing: the no-op is in the ring or waits for room
 * @broken: the queue is broken; written under @lock
 * @why: it is to be declared so by @deadline
 * @armed: @deadline is queued, for @deadline_at or earlier
 * @deadline_at: see @armed
 * @deadline: looks for messages whose deadline has passed
 * @wq: runs @deadline and @broken_work; commands may stand in the way of memory reclaim,
 *	and a driver that spins for the device in that of other work on its CPU
 * @broken_work: calls params.broken
 */
struct tvq_xfer {
	struct tvq_xfer_params params;
	spinlock_t lock;	/* as above */
	struct tvq_slot *slots;
	unsigned int free;
	struct list_head flying;
	struct list_head waiting;
	struct tvq_xfer_stats stats;
	struct tvq_msg *noop;
	bool probing;
	bool broken;
	const char *why;
	bool armed;
	ktime_t deadline_at;
	struct delayed_work deadline;
	struct workqueue_struct *wq;
	struct work_struct broken_work;
};

/**
 * struct tvq_batch - what is left to do when the lock was dropped
 * @done: messages that are finished, in the order in which that was found out
 * @stray: number of stray completions seen
 * @lies: number of replies that were longer than their room
 * @expired: number of messages whose deadline has passed
 * @why: why the queue is broken, or NULL
 *
 * Callbacks must find the engine unlocked, and so must the console, which may
 * be a device that is notified by commands.
 */
struct tvq_batch {
	struct list_head done;
	unsigned int stray;
	unsigned int lies;
	unsigned int expired;
	const char *why;
};

#define TVQ_BATCH_INIT(name) { .done = LIST_HEAD_INIT((name).done) }

static void tvq_msg_release(struct kref *ref)
{
	struct tvq_msg *msg = container_of(ref, struct tvq_msg, ref);

	kfree(msg->in);
	kfree(msg->out);
	kfree(msg);
}

/**
 * tvq_msg_alloc() - make a message
 * @out_len: bytes for the device to read, above 0
 * @in_len: bytes for the device to write, above 0
 * @gfp: as for kmalloc()
 *
 * Both buffers are zeroed and fit for DMA: neither shares a cache line with
 * anything else.
 *
 * Context: as @gfp allows.
 * Return: the message with one reference, which is the caller's, or NULL.
 */
struct tvq_msg *tvq_msg_alloc(size_t out_len, size_t in_len, gfp_t gfp)
{
	struct tvq_msg *msg;

	if (!out_len || !in_len)
		return NULL;

	msg = kzalloc_obj(*msg, gfp);
	if (!msg)
		return NULL;

	kref_init(&msg->ref);
	INIT_LIST_HEAD(&msg->node);
	init_completion(&msg->completion);
	msg->slot = TVQ_NO_SLOT;
	msg->out_len = out_len;
	msg->in_len = in_len;
	msg->out = kzalloc(out_len, gfp);
	msg->in = kzalloc(in_len, gfp);
	if (!msg->out || !msg->in) {
		tvq_msg_put(msg);
		return NULL;
	}

	return msg;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_msg_alloc);

/**
 * tvq_msg_put() - give up the caller's reference
 * @msg: the message, or NULL
 *
 * Context: Any but NMI.
 */
void tvq_msg_put(struct tvq_msg *msg)
{
	if (msg)
		kref_put(&msg->ref, tvq_msg_release);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_msg_put);

/* Not by jiffies: where ticks come late, they jump, and deadlines pass early. */
static bool tvq_msg_expired(const struct tvq_msg *msg)
{
	return !ktime_before(ktime_get(), msg->deadline);
}

/* The message has its result: out of its list, and to those to be told. */
static void tvq_msg_finish(struct tvq_xfer *x, struct tvq_msg *msg, int err,
			   struct tvq_batch *batch)
{
	lockdep_assert_held(&x->lock);

	msg->err = err;
	if (msg == x->noop) {
		list_del_init(&msg->node);
		x->probing = false;
		if (err && !batch->why)
			batch->why = "a no-op failed";
		return;
	}
	list_move_tail(&msg->node, &batch->done);
}

/* Have the deadlines looked at when this one passes. */
static void tvq_xfer_arm(struct tvq_xfer *x, ktime_t deadline)
{
	s64 ns;

	lockdep_assert_held(&x->lock);

	if (x->armed && !ktime_before(deadline, x->deadline_at))
		return;
	x->armed = true;
	x->deadline_at = deadline;
	ns = ktime_to_ns(ktime_sub(deadline, ktime_get()));
	/* The present jiffy has partly passed. */
	mod_delayed_work(x->wq, &x->deadline, ns > 0 ? nsecs_to_jiffies(ns) + 1 : 0);
}

/* -ENOSPC: it has to wait. */
static int tvq_slot_post(struct tvq_xfer *x, struct tvq_msg *msg)
{
	struct tvq_slot *slot;
	int err;

	lockdep_assert_held(&x->lock);

	if (x->free == TVQ_NO_SLOT)
		return -ENOSPC;

	slot = &x->slots[x->free];
	slot->tag += TVQ_TAG_GENERATION;
	err = x->params.ops->post(x->params.link, msg->out, msg->out_len,
				  msg->in, msg->in_len, (void *)slot->tag);
	if (err == -EIO && !x->why) {
		x->why = "the ring is broken";
		mod_delayed_work(x->wq, &x->deadline, 0);
	}
	if (err == -ENOMEM) {
		/* Nothing may be under way whose completion would tell. */
		tvq_xfer_arm(x, ktime_add_ms(ktime_get(), TVQ_POST_RETRY_MS));
		return -ENOSPC;
	}
	if (err)
		return err;

	msg->slot = x->free;
	x->free = slot->next;
	slot->msg = msg;
	list_move_tail(&msg->node, &x->flying);
	x->stats.in_flight++;
	return 0;
}

static struct tvq_slot *tvq_slot_find(struct tvq_xfer *x, unsigned long tag)
{
	unsigned long i = (tag & TVQ_TAG_SLOT) - 1;

	lockdep_assert_held(&x->lock);

	if (i >= x->params.slots || !x->slots[i].msg || x->slots[i].tag != tag)
		return NULL;
	return &x->slots[i];
}

static void tvq_slot_free(struct tvq_xfer *x, struct tvq_slot *slot)
{
	lockdep_assert_held(&x->lock);

	slot->msg->slot = TVQ_NO_SLOT;
	slot->msg = NULL;
	slot->next = x->free;
	x->free = slot - x->slots;
}

/* The message fails, and the device keeps its buffers. */
static void tvq_slot_quarantine(struct tvq_xfer *x, struct tvq_msg *msg, int err,
				struct tvq_batch *batch)
{
	lockdep_assert_held(&x->lock);

	kref_get(&msg->ref);	/* dropped by tvq_slot_late(), tvq_xfer_destroy() */
	x->slots[msg->slot].quarantined = true;
	x->stats.quarantined++;
	x->stats.in_flight--;
	tvq_msg_finish(x, msg, err, batch);
}

/*
 * The device has given back a quarantined buffer. The message's node may be in
 * the list of someone who is about to tell its owner: only the slot is ours,
 * and a reference, which is put here and now for want of a list.
 */
static void tvq_slot_late(struct tvq_xfer *x, struct tvq_slot *slot)
{
	struct tvq_msg *msg = slot->msg;

	lockdep_assert_held(&x->lock);

	slot->quarantined = false;
	x->stats.quarantined--;
	x->stats.late++;
	tvq_slot_free(x, slot);
	tvq_msg_put(msg);
}

/* Returns whether the device was right to return @tag. */
static bool tvq_slot_complete(struct tvq_xfer *x, unsigned long tag, u32 used,
			      struct tvq_batch *batch)
{
	struct tvq_slot *slot = tvq_slot_find(x, tag);
	struct tvq_msg *msg;
	int err = 0;

	if (!slot) {
		x->stats.stray++;
		batch->stray++;
		return false;
	}
	if (slot->quarantined) {
		tvq_slot_late(x, slot);
		return true;
	}

	msg = slot->msg;
	tvq_slot_free(x, slot);
	x->stats.in_flight--;
	if (used <= msg->in_len) {
		msg->used = used;
	} else {
		batch->lies++;
		err = -EPROTO;
	}
	tvq_msg_finish(x, msg, err, batch);
	return true;
}

/* Returns whether there may be more to take. */
static bool tvq_xfer_poll(struct tvq_xfer *x, struct tvq_batch *batch)
{
	unsigned int n, good = 0;

	lockdep_assert_held(&x->lock);

	for (n = 0; n < TVQ_BATCH; n++) {
		u32 used = 0;
		void *tag = x->params.ops->poll(x->params.link, &used);

		if (!tag)
			return false;
		if (tag == ERR_PTR(-EIO)) {
			batch->why = "the ring is broken";
			return false;
		}
		if (tvq_slot_complete(x, (unsigned long)tag, used, batch))
			good++;
	}
	if (!good)
		batch->why = "stray completions only";
	return true;
}

static void tvq_xfer_break_locked(struct tvq_xfer *x, struct tvq_batch *batch)
{
	struct tvq_msg *msg, *next;

	lockdep_assert_held(&x->lock);

	WRITE_ONCE(x->broken, true);
	x->params.ops->stop(x->params.link);
	list_for_each_entry_safe(msg, next, &x->flying, node)
		tvq_slot_quarantine(x, msg, -EIO, batch);
	list_for_each_entry_safe(msg, next, &x->waiting, node)
		tvq_msg_finish(x, msg, -EIO, batch);
	x->stats.waiting = 0;
}

/*
 * Post what waits, as far as there is room; or draw the line. What is too late
 * already would only go to quarantine.
 */
static void tvq_xfer_advance(struct tvq_xfer *x, struct tvq_batch *batch)
{
	struct tvq_msg *msg, *next;
	int err;

	lockdep_assert_held(&x->lock);

	list_for_each_entry_safe(msg, next, &x->waiting, node) {
		if (batch->why)
			break;
		if (tvq_msg_expired(msg)) {
			batch->expired++;
			x->stats.expired++;
			err = -ETIMEDOUT;
		} else {
			err = tvq_slot_post(x, msg);
		}
		if (err == -ENOSPC)
			break;
		x->stats.waiting--;
		if (err)
			tvq_msg_finish(x, msg, err, batch);
	}
	if (batch->why)
		tvq_xfer_break_locked(x, batch);
}

/* Tell everyone. The last of it is the callback of a broken queue. */
static void tvq_xfer_finish(struct tvq_xfer *x, struct tvq_batch *batch)
{
	struct tvq_msg *msg, *next;

	list_for_each_entry_safe(msg, next, &batch->done, node) {
		/* @done may submit it again, unless somebody waits for it. */
		bool wait = msg->wait;

		list_del_init(&msg->node);
		if (msg->done)
			msg->done(msg);
		if (wait)
			complete(&msg->completion);
		tvq_msg_put(msg);	/* taken by tvq_xfer_send() */
	}

	if (batch->stray)
		dev_warn_ratelimited(x->params.dev, "%u stray completions ignored\n",
				     batch->stray);
	if (batch->lies)
		dev_warn_ratelimited(x->params.dev, "%u replies longer than their buffer refused\n",
				     batch->lies);
	if (batch->expired)
		dev_warn_ratelimited(x->params.dev, "%u commands not answered in time\n",
				     batch->expired);
	if (batch->why) {
		dev_err(x->params.dev, "command queue broken: %s\n", batch->why);
		if (x->params.broken)
			queue_work(x->wq, &x->broken_work);
	}
}

static void tvq_xfer_start(struct tvq_xfer *x, struct tvq_msg *msg)
{
	unsigned int ms = msg->timeout_ms ?: x->params.timeout_ms;

	msg->err = 0;
	msg->used = 0;
	msg->submitted = ktime_get();
	msg->deadline = ktime_add_ms(msg->submitted, ms);
}

/* Ask whether the device still answers. A no-op may overtake: it has no effect. */
static void tvq_xfer_probe(struct tvq_xfer *x)
{
	lockdep_assert_held(&x->lock);

	if (x->probing)
		return;
	x->probing = true;
	tvq_xfer_start(x, x->noop);
	list_add(&x->noop->node, &x->waiting);
	x->stats.waiting++;
}

static void tvq_xfer_expire(struct tvq_xfer *x, struct tvq_batch *batch)
{
	struct tvq_msg *msg, *next;
	bool quarantined = false;

	lockdep_assert_held(&x->lock);

	list_for_each_entry_safe(msg, next, &x->flying, node) {
		if (!tvq_msg_expired(msg))
			continue;
		batch->expired++;
		x->stats.expired++;
		quarantined = true;
		tvq_slot_quarantine(x, msg, -ETIMEDOUT, batch);
	}
	list_for_each_entry_safe(msg, next, &x->waiting, node) {
		if (!tvq_msg_expired(msg))
			continue;
		batch->expired++;
		x->stats.expired++;
		x->stats.waiting--;
		tvq_msg_finish(x, msg, -ETIMEDOUT, batch);
	}

	if (x->stats.quarantined >= DIV_ROUND_UP(x->params.slots, 4))
		batch->why = "too many commands not answered";
	else if (quarantined && !batch->why)
		tvq_xfer_probe(x);
}

static void tvq_xfer_deadline(struct work_struct *work)
{
	struct tvq_xfer *x = container_of(work, struct tvq_xfer, deadline.work);
	struct tvq_batch batch = TVQ_BATCH_INIT(batch);
	struct tvq_msg *msg;

	/* What is missing may be no more than an interrupt. */
	tvq_xfer_interrupt(x);

	spin_lock_irq(&x->lock);
	x->armed = false;
	if (!x->broken) {
		batch.why = x->why;
		tvq_xfer_expire(x, &batch);
		tvq_xfer_advance(x, &batch);
		list_for_each_entry(msg, &x->flying, node)
			tvq_xfer_arm(x, msg->deadline);
		list_for_each_entry(msg, &x->waiting, node)
			tvq_xfer_arm(x, msg->deadline);
	}
	spin_unlock_irq(&x->lock);

	tvq_xfer_finish(x, &batch);
}

static void tvq_xfer_broken(struct work_struct *work)
{
	struct tvq_xfer *x = container_of(work, struct tvq_xfer, broken_work);

	x->params.broken(x->params.priv);
}

static void tvq_xfer_free(struct tvq_xfer *x)
{
	if (x->wq)
		destroy_workqueue(x->wq);
	tvq_msg_put(x->noop);
	kvfree(x->slots);
	kfree(x);
}

/**
 * tvq_xfer_create() - make an engine
 * @params: what it is made of; copied, the no-op included
 *
 * Context: Process context. Sleeps.
 * Return: the engine, or an ERR_PTR: -EINVAL for parameters that make no sense,
 * -ENOMEM.
 */
struct tvq_xfer *tvq_xfer_create(const struct tvq_xfer_params *params)
{
	struct tvq_xfer *x;
	unsigned int i;

	if (!params->slots || params->slots > TVQ_SLOTS_MAX ||
	    !params->timeout_ms || !params->noop_len || !params->noop_in_len)
		return ERR_PTR(-EINVAL);

	x = kzalloc_obj(*x);
	if (!x)
		return ERR_PTR(-ENOMEM);

	x->params = *params;
	spin_lock_init(&x->lock);
	INIT_LIST_HEAD(&x->flying);
	INIT_LIST_HEAD(&x->waiting);
	INIT_DELAYED_WORK(&x->deadline, tvq_xfer_deadline);
	INIT_WORK(&x->broken_work, tvq_xfer_broken);
	x->slots = kvcalloc(params->slots, sizeof(*x->slots), GFP_KERNEL);
	x->noop = tvq_msg_alloc(params->noop_len, params->noop_in_len, GFP_KERNEL);
	x->wq = alloc_workqueue("tvq_xfer", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!x->slots || !x->noop || !x->wq) {
		tvq_xfer_free(x);
		return ERR_PTR(-ENOMEM);
	}

	memcpy(x->noop->out, params->noop, params->noop_len);
	x->params.noop = x->noop->out;
	for (i = 0; i < params->slots; i++) {
		x->slots[i].tag = i + 1;
		x->slots[i].next = i + 1 < params->slots ? i + 1 : TVQ_NO_SLOT;
	}

	return x;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_create);

/**
 * tvq_xfer_halt() - the device was reset: it gives nothing back
 * @x: the engine
 *
 * Fails what is still under way with -EIO and frees what is in quarantine;
 * params.broken does not come any more. The caller makes sure first that the
 * device was reset, so that it writes to no buffer any more, and that nobody is in
 * tvq_xfer_interrupt().
 *
 * Context: Process context. Sleeps. Not from @done or params.broken.
 */
void tvq_xfer_halt(struct tvq_xfer *x)
{
	unsigned int i;

	tvq_xfer_break(x);
	cancel_delayed_work_sync(&x->deadline);
	cancel_work_sync(&x->broken_work);
	spin_lock_irq(&x->lock);
	x->params.ops->forget(x->params.link);
	for (i = 0; i < x->params.slots; i++) {
		struct tvq_slot *slot = &x->slots[i];
		struct tvq_msg *msg = slot->msg;

		if (!msg)
			continue;
		slot->quarantined = false;
		x->stats.quarantined--;
		tvq_slot_free(x, slot);
		tvq_msg_put(msg);	/* tvq_slot_quarantine() */
	}
	spin_unlock_irq(&x->lock);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_halt);

/**
 * tvq_xfer_revive() - begin anew on a link that was reset
 * @x: the engine
 *
 * As tvq_xfer_halt(); then messages may be submitted again, because the link
 * carries them.
 *
 * Context: Process context. Sleeps. Not from @done or params.broken.
 */
void tvq_xfer_revive(struct tvq_xfer *x)
{
	tvq_xfer_halt(x);
	spin_lock_irq(&x->lock);
	x->armed = false;
	x->why = NULL;
	WRITE_ONCE(x->broken, false);
	spin_unlock_irq(&x->lock);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_revive);

/**
 * tvq_xfer_destroy() - end an engine
 * @x: the engine, or NULL or an ERR_PTR
 *
 * Fails what is still under way with -EIO and frees what is in quarantine.
 *
 * The caller makes sure first that the device was reset, so that it writes to
 * no buffer any more; that nobody is in tvq_xfer_interrupt() or comes there
 * (interrupts freed, or disabled and synchronised); and that nobody submits any
 * more. So no @done callback runs on another CPU when this returns.
 *
 * Context: Process context. Sleeps. Not from @done or params.broken.
 */
void tvq_xfer_destroy(struct tvq_xfer *x)
{
	if (IS_ERR_OR_NULL(x))
		return;

	tvq_xfer_halt(x);
	tvq_xfer_free(x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_destroy);

static int tvq_xfer_send(struct tvq_xfer *x, struct tvq_msg *msg, bool wait)
{
	unsigned long flags;
	int err;

	spin_lock_irqsave(&x->lock, flags);
	if (x->broken) {
		err = -EIO;
		goto unlock;
	}
	if (msg->slot != TVQ_NO_SLOT || !list_empty(&msg->node)) {
		err = -EBUSY;
		goto unlock;
	}

	tvq_xfer_start(x, msg);
	msg->wait = wait;
	reinit_completion(&msg->completion);
	err = list_empty(&x->waiting) ? tvq_slot_post(x, msg) : -ENOSPC;
	if (err == -ENOSPC) {
		list_add_tail(&msg->node, &x->waiting);
		x->stats.waiting++;
		err = 0;
	}
	if (!err) {
		kref_get(&msg->ref);	/* dropped by tvq_xfer_finish() */
		tvq_xfer_arm(x, msg->deadline);
	}
unlock:
	spin_unlock_irqrestore(&x->lock, flags);
	return err;
}

/**
 * tvq_xfer_submit() - send a message
 * @x: the engine
 * @msg: the message
 *
 * Messages are given to the link in the order in which they are submitted. Where
 * the ring has no room, or the link no memory, the message waits for it, with its
 * deadline running.
 *
 * When this returns 0, tvq_msg.done is called once, and perhaps before this
 * returns; the calls come in the order in which the results were found, as far
 * as they were found by the same CPU. Otherwise it is not called, and the
 * message is the caller's alone.
 *
 * Does not allocate.
 *
 * Context: Any context, hard interrupts with interrupts disabled included,
 * except with PREEMPT_RT, where spinlocks sleep and handlers of interrupts are
 * threads; not NMI, and not with a raw spinlock held.
 * Return: 0; -EIO when the queue is broken; -EBUSY when the message is still
 * with the engine, in quarantine for example; or the error of the link's post,
 * where it was tried at once.
 */
int tvq_xfer_submit(struct tvq_xfer *x, struct tvq_msg *msg)
{
	return tvq_xfer_send(x, msg, false);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_submit);

/**
 * tvq_xfer_exec() - send a message and wait for its result
 * @x: the engine
 * @msg: the message
 *
 * The wait cannot be interrupted, and ends with the message's deadline. Where
 * the message has a callback, it has returned when this does.
 *
 * Context: Process context. Sleeps.
 * Return: what tvq_xfer_submit() would return where that is not 0, otherwise
 * @msg->err.
 */
int tvq_xfer_exec(struct tvq_xfer *x, struct tvq_msg *msg)
{
	int err;

	err = tvq_xfer_send(x, msg, true);
	if (err)
		return err;

	wait_for_completion(&msg->completion);
	return msg->err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_exec);

/**
 * tvq_xfer_interrupt() - the device has finished something
 * @x: the engine
 *
 * Takes all there is and posts what waited for room. A call that finds nothing
 * does no harm.
 *
 * Context: Any context, hard interrupts with interrupts disabled included,
 * except with PREEMPT_RT, where spinlocks sleep and handlers of interrupts are
 * threads; not NMI, and not with a raw spinlock held. Calls tvq_msg.done.
 */
void tvq_xfer_interrupt(struct tvq_xfer *x)
{
	unsigned long flags;
	bool more;

	do {
		struct tvq_batch batch = TVQ_BATCH_INIT(batch);

		more = false;
		spin_lock_irqsave(&x->lock, flags);
		if (!x->broken) {
			more = tvq_xfer_poll(x, &batch);
			tvq_xfer_advance(x, &batch);
		}
		spin_unlock_irqrestore(&x->lock, flags);

		tvq_xfer_finish(x, &batch);
	} while (more);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_interrupt);

/**
 * tvq_xfer_break() - declare the queue broken
 * @x: the engine
 *
 * For a caller who knows more: the function is gone, or is about to be reset.
 * Everything under way has failed with -EIO when this returns, unless another
 * CPU is just doing the same; params.broken is not called. The second call and
 * one for a queue that broke by itself do nothing.
 *
 * Context: Any context but NMI, without raw spinlocks. Calls tvq_msg.done.
 */
void tvq_xfer_break(struct tvq_xfer *x)
{
	struct tvq_batch batch = TVQ_BATCH_INIT(batch);
	unsigned long flags;

	spin_lock_irqsave(&x->lock, flags);
	if (!x->broken) {
		tvq_xfer_break_locked(x, &batch);
		batch.why = NULL;	/* the no-op is no news to the caller */
	}
	spin_unlock_irqrestore(&x->lock, flags);

	tvq_xfer_finish(x, &batch);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_break);

/**
 * tvq_xfer_is_broken() - whether tvq_xfer_submit() would return -EIO
 * @x: the engine
 *
 * Context: Any context.
 * Return: true from the moment on in which the queue was declared broken.
 */
bool tvq_xfer_is_broken(struct tvq_xfer *x)
{
	return READ_ONCE(x->broken);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_is_broken);

/**
 * tvq_xfer_stats() - how the engine is doing
 * @x: the engine
 * @stats: written: the counts of one moment
 *
 * Context: Any context but NMI, without raw spinlocks.
 */
void tvq_xfer_stats(struct tvq_xfer *x, struct tvq_xfer_stats *stats)
{
	unsigned long flags;

	spin_lock_irqsave(&x->lock, flags);
	*stats = x->stats;
	spin_unlock_irqrestore(&x->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_stats);

/**
 * tvq_xfer_show() - how the engine is doing, in words
 * @x: the engine
 * @m: where to
 *
 * Context: Any context but NMI, without raw spinlocks.
 */
void tvq_xfer_show(struct tvq_xfer *x, struct seq_file *m)
{
	struct tvq_xfer_stats stats;

	tvq_xfer_stats(x, &stats);
	seq_printf(m, "slots=%u in_flight=%u waiting=%u quarantined=%u expired=%llu late=%llu stray=%llu broken=%u\n",
		   x->params.slots, stats.in_flight, stats.waiting,
		   stats.quarantined, stats.expired, stats.late, stats.stray,
		   tvq_xfer_is_broken(x));
}
EXPORT_SYMBOL_IF_KUNIT(tvq_xfer_show);
