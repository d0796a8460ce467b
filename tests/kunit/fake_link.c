// SPDX-License-Identifier: GPL-2.0
/*
 * A link without a device: a ring in memory whose other end is the test.
 */
#include <linux/atomic.h>
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/string.h>
#include <kunit/test.h>

#include "fake_link.h"

/**
 * fake_link_push() - be the device: give something back, from fake_link.answer
 * @link: the link, locked
 * @tag: what to return
 * @used: bytes that the device says it wrote
 * @room: @tag is that of a command that was not given back before
 *
 * Context: Any.
 */
void fake_link_push(struct fake_link *link, void *tag, u32 used, bool room)
{
	lockdep_assert_held(&link->lock);

	link->used[link->used_tail++ % FAKE_LINK_RING] = (struct fake_used){
		.tag = tag, .used = used, .room = room,
	};
}

static int fake_link_post(void *priv, const void *out, size_t out_len,
			  void *in, size_t in_len, void *tag)
{
	struct fake_link *link = priv;
	struct fake_cmd cmd = {
		.out = out, .out_len = out_len,
		.in = in, .in_len = in_len,
		.tag = tag,
	};
	int used;

	guard(spinlock_irqsave)(&link->lock);

	if (link->post_err)
		return link->post_err;
	if (!link->room || link->avail_tail - link->avail_head == FAKE_LINK_RING)
		return -ENOSPC;

	link->room--;
	link->posts++;
	/* OK, unless the device says otherwise */
	if (!link->silent)
		memset(in, 0, min(in_len, sizeof(__le32)));
	if (link->answer) {
		used = link->answer(link, &cmd);
		if (used >= 0) {
			fake_link_push(link, tag, used, true);
			if (!link->shut)
				schedule_work(&link->irq);
		}
		return 0;
	}
	link->avail[link->avail_tail++ % FAKE_LINK_RING] = cmd;
	wake_up(&link->wait);
	return 0;
}

static void *fake_link_poll(void *priv, u32 *used)
{
	struct fake_link *link = priv;
	struct fake_used *u;

	guard(spinlock_irqsave)(&link->lock);

	link->polls++;
	if (link->stops)
		return NULL;
	if (link->flood)
		return link->flood;
	if (link->used_head == link->used_tail)
		return NULL;
	u = &link->used[link->used_head++ % FAKE_LINK_RING];
	if (u->room)
		link->room++;
	*used = u->used;
	return u->tag;
}

static void fake_link_stop(void *priv)
{
	struct fake_link *link = priv;

	guard(spinlock_irqsave)(&link->lock);
	link->stops++;
}

static void fake_link_forget(void *priv)
{
	struct fake_link *link = priv;

	guard(spinlock_irqsave)(&link->lock);
	link->forgets++;
	/* It is still there: KASAN sees otherwise. */
	if (link->held)
		memset(link->held->in, 0, link->held->in_len);
}

const struct tvq_link_ops fake_link_ops = {
	.post = fake_link_post,
	.poll = fake_link_poll,
	.stop = fake_link_stop,
	.forget = fake_link_forget,
};

static void fake_link_irq(struct work_struct *work)
{
	struct fake_link *link = container_of(work, struct fake_link, irq);

	link->interrupt(link);
}

KUNIT_DEFINE_ACTION_WRAPPER(fake_link_unregister, root_device_unregister, struct device *);

/**
 * fake_link_create() - make a link that lives as long as the test
 * @test: the test
 * @room: the number of commands that the ring takes
 *
 * Context: Process context.
 * Return: the link; the test ends when there is none.
 */
struct fake_link *fake_link_create(struct kunit *test, unsigned int room)
{
	static atomic_t number = ATOMIC_INIT(0);
	struct fake_link *link = kunit_kzalloc(test, sizeof(*link), GFP_KERNEL);
	char name[32];

	KUNIT_ASSERT_NOT_NULL(test, link);
	spin_lock_init(&link->lock);
	init_waitqueue_head(&link->wait);
	INIT_WORK(&link->irq, fake_link_irq);
	link->room = room;
	/* Not kunit_device_register(): its driver's name may not be free yet. */
	snprintf(name, sizeof(name), "fake-link-%d", atomic_inc_return(&number));
	link->dev = root_device_register(name);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, link->dev);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, fake_link_unregister, link->dev), 0);
	return link;
}

/**
 * fake_link_shut() - no interrupt from now on
 * @link: the link
 *
 * To be called before the engine is destroyed.
 *
 * Context: Process context. Sleeps.
 */
void fake_link_shut(struct fake_link *link)
{
	scoped_guard(spinlock_irqsave, &link->lock)
		link->shut = true;
	cancel_work_sync(&link->irq);
}

/**
 * fake_link_take() - be the device: take the next command
 * @link: the link
 * @cmd: written: the command
 *
 * Context: Any.
 * Return: whether there was one.
 */
bool fake_link_take(struct fake_link *link, struct fake_cmd *cmd)
{
	guard(spinlock_irqsave)(&link->lock);

	if (link->avail_head == link->avail_tail)
		return false;
	*cmd = link->avail[link->avail_head++ % FAKE_LINK_RING];
	return true;
}

/**
 * fake_link_wait() - be the device: wait for the next command and take it
 * @link: the link
 * @cmd: written: the command
 * @timeout_ms: how long to wait
 *
 * Context: Process context. Sleeps.
 * Return: whether there was one.
 */
bool fake_link_wait(struct fake_link *link, struct fake_cmd *cmd,
		    unsigned int timeout_ms)
{
	return wait_event_timeout(link->wait, fake_link_take(link, cmd),
				  msecs_to_jiffies(timeout_ms));
}

/**
 * fake_link_return() - be the device: give a command back, without an interrupt
 * @link: the link
 * @cmd: the command
 * @used: bytes that were written
 *
 * Context: Any.
 */
void fake_link_return(struct fake_link *link, const struct fake_cmd *cmd, u32 used)
{
	guard(spinlock_irqsave)(&link->lock);
	fake_link_push(link, cmd->tag, used, true);
}

/**
 * fake_link_stray() - be the device: give back what is not its own to give
 * @link: the link
 * @tag: what to return
 * @used: bytes that were written
 *
 * Context: Any.
 */
void fake_link_stray(struct fake_link *link, void *tag, u32 used)
{
	guard(spinlock_irqsave)(&link->lock);
	fake_link_push(link, tag, used, false);
}
