/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command engine: many commands in flight on one ring, a deadline on each.
 *
 * It knows nothing of what the bytes mean. Only cmd.c and admin.c call it.
 */
#ifndef _VIRTIO_TVQ_XFER_H
#define _VIRTIO_TVQ_XFER_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/types.h>

#include "link.h"

struct device;
struct seq_file;
struct tvq_xfer;

/**
 * struct tvq_msg - one command on its way
 * @out: what the device reads, filled in by the caller before it submits
 * @out_len: its length in bytes
 * @in: what the device writes; valid once @done was called, if @err is 0
 * @in_len: the room in @in in bytes
 * @timeout_ms: deadline, from tvq_xfer_submit() on; 0 is the engine's default
 * @done: called exactly once for each submitted message, in any context
 *	up to hard interrupt, without locks of the engine; may be NULL
 * @priv: the caller's
 * @err: the result: 0 when the device returned the buffer (which says nothing
 *	of the ack in it), -ETIMEDOUT, -EPROTO when the device says that it
 *	wrote more than @in_len, -EIO when the ring is broken, or the error of
 *	the link's post
 * @used: number of bytes that the device wrote, never above @in_len, and 0
 *	unless @err is 0; what a reply that is too short means is the caller's
 *	to say
 * @submitted: when it was submitted
 *
 * Allocated with tvq_msg_alloc(). Both sides hold a reference: a message whose
 * deadline has passed stays with the engine until the device gives its buffer
 * back or is reset. A message whose @err is 0 may be submitted again: after
 * tvq_xfer_exec(), or from @done on otherwise.
 */
struct tvq_msg {
	void *out;
	size_t out_len;
	void *in;
	size_t in_len;
	unsigned int timeout_ms;
	void (*done)(struct tvq_msg *msg);
	void *priv;

	int err;
	u32 used;
	ktime_t submitted;

	/* private: the engine's */
	struct kref ref;
	struct list_head node;
	struct completion completion;
	ktime_t deadline;
	unsigned int slot;
	bool wait;
};

/**
 * struct tvq_xfer_params - what an engine is made of
 * @ops: the link
 * @link: its argument
 * @slots: the number of commands that may be in the ring at once, 1 to 32768
 * @timeout_ms: default deadline of a message, above 0
 * @noop: a command that has no effect, to see whether the device still answers
 * @noop_len: its length
 * @noop_in_len: the room for its answer
 * @broken: called once at most, from process context, after the engine found
 *	out that the queue is broken and all its messages have failed; not for
 *	tvq_xfer_break() and not once tvq_xfer_destroy() has returned; must
 *	not call tvq_xfer_destroy(); may be NULL
 * @priv: argument of @broken
 * @dev: for messages
 */
struct tvq_xfer_params {
	const struct tvq_link_ops *ops;
	void *link;
	unsigned int slots;
	unsigned int timeout_ms;
	const void *noop;
	size_t noop_len;
	size_t noop_in_len;
	void (*broken)(void *priv);
	void *priv;
	struct device *dev;
};

/**
 * struct tvq_xfer_stats - counts of one engine
 * @in_flight: messages in the ring whose deadline has not passed
 * @waiting: messages that wait for room in the ring
 * @quarantined: slots whose message has failed and whose buffer the device
 *	still has: the deadline has passed, or the queue was declared broken
 * @expired: messages whose deadline has passed
 * @late: replies that came after the deadline and were dropped
 * @stray: completions with a tag that is not in use
 */
struct tvq_xfer_stats {
	unsigned int in_flight;
	unsigned int waiting;
	unsigned int quarantined;
	u64 expired;
	u64 late;
	u64 stray;
};

struct tvq_msg *tvq_msg_alloc(size_t out_len, size_t in_len, gfp_t gfp);
void tvq_msg_put(struct tvq_msg *msg);

struct tvq_xfer *tvq_xfer_create(const struct tvq_xfer_params *params);
void tvq_xfer_destroy(struct tvq_xfer *x);
int tvq_xfer_submit(struct tvq_xfer *x, struct tvq_msg *msg);
int tvq_xfer_exec(struct tvq_xfer *x, struct tvq_msg *msg);
void tvq_xfer_interrupt(struct tvq_xfer *x);
void tvq_xfer_break(struct tvq_xfer *x);
void tvq_xfer_halt(struct tvq_xfer *x);
void tvq_xfer_revive(struct tvq_xfer *x);
bool tvq_xfer_is_broken(struct tvq_xfer *x);
void tvq_xfer_stats(struct tvq_xfer *x, struct tvq_xfer_stats *stats);
void tvq_xfer_show(struct tvq_xfer *x, struct seq_file *m);

#endif /* _VIRTIO_TVQ_XFER_H */
