/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A link without a device: a ring in memory whose other end is the test.
 */
#ifndef _TVQ_FAKE_LINK_H
#define _TVQ_FAKE_LINK_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../../drivers/virtio_tvq/link.h"

struct device;
struct kunit;

#define FAKE_LINK_RING	1024

/**
 * struct fake_cmd - a command as the device sees it
 * @out: what it may read
 * @out_len: length of that
 * @in: what it may write
 * @in_len: length of that
 * @tag: what it returns
 */
struct fake_cmd {
	const void *out;
	size_t out_len;
	void *in;
	size_t in_len;
	void *tag;
};

/**
 * struct fake_used - a completion on its way to the engine
 * @tag: of the command
 * @used: bytes that the device says it wrote
 * @room: gives back a place in the ring
 */
struct fake_used {
	void *tag;
	u32 used;
	bool room;
};

/**
 * struct fake_link - the link
 * @lock: serialises everything below between the engine and the test
 * @room: places in the ring that are free
 * @post_err: if not 0, what posting returns
 * @posts: number of commands posted
 * @polls: number of calls of poll
 * @stops: number of calls of stop
 * @forgets: calls of forget
 * @held: if set, a command that forget is to find where it was
 * @flood: if set, poll returns this tag without end
 * @avail: commands that the device has not taken yet
 * @avail_head: the next one to be taken, modulo FAKE_LINK_RING
 * @avail_tail: where the next one goes
 * @used: completions that the engine has not taken yet
 * @used_head: the next one to be taken, modulo FAKE_LINK_RING
 * @used_tail: where the next one goes
 * @wait: woken for each command posted
 * @answer: if set, the device: called for each command in place of queueing it;
 *	writes the answer and returns the used length, or a negative number to
 *	leave the command unanswered. Called under the engine's lock
 * @silent: answers are not OK unless the device writes so
 * @interrupt: the interrupt that follows @answer, in a work item
 * @priv: for both
 * @shut: no interrupt follows any more
 * @irq: calls @interrupt
 * @dev: a device, for messages
 */
struct fake_link {
	spinlock_t lock;	/* as above */
	unsigned int room;
	int post_err;
	unsigned int posts;
	unsigned int polls;
	unsigned int stops;
	unsigned int forgets;
	const struct fake_cmd *held;
	void *flood;
	struct fake_cmd avail[FAKE_LINK_RING];
	unsigned int avail_head;
	unsigned int avail_tail;
	struct fake_used used[FAKE_LINK_RING];
	unsigned int used_head;
	unsigned int used_tail;
	wait_queue_head_t wait;
	int (*answer)(struct fake_link *link, const struct fake_cmd *cmd);
	bool silent;
	void (*interrupt)(struct fake_link *link);
	void *priv;
	bool shut;
	struct work_struct irq;
	struct device *dev;
};

extern const struct tvq_link_ops fake_link_ops;

struct fake_link *fake_link_create(struct kunit *test, unsigned int room);
void fake_link_shut(struct fake_link *link);
bool fake_link_take(struct fake_link *link, struct fake_cmd *cmd);
bool fake_link_wait(struct fake_link *link, struct fake_cmd *cmd,
		    unsigned int timeout_ms);
void fake_link_push(struct fake_link *link, void *tag, u32 used, bool room);
void fake_link_return(struct fake_link *link, const struct fake_cmd *cmd, u32 used);
void fake_link_stray(struct fake_link *link, void *tag, u32 used);

#endif /* _TVQ_FAKE_LINK_H */
