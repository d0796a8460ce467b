/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The seam between the command engine and what carries its commands.
 */
#ifndef _VIRTIO_TVQ_LINK_H
#define _VIRTIO_TVQ_LINK_H

#include <linux/types.h>

/**
 * struct tvq_link_ops - what carries the commands of one engine
 * @post: make one command available to the device: @out_len bytes at @out for
 *	it to read, @in_len bytes at @in for it to write, both from kmalloc().
 *	@tag, never NULL, comes back from @poll. Return 0, -ENOSPC when the ring
 *	is full (the engine waits for a completion), -ENOMEM for want of memory or
 *	a mapping (it tries again soon), -EIO when the ring is broken, and so is the
 *	queue from then on, or another negative error, with which the command fails.
 * @poll: take one command that the device has finished. Return its tag and
 *	in @used the number of bytes that the device says it wrote; or NULL when
 *	there is none: then the link makes sure that the next one interrupts; or
 *	ERR_PTR(-EIO) when the ring is broken, and so is the queue from then on.
 * @stop: post nothing more; @poll returns NULL from now on. The device may
 *	still write to what it was given. Called once at most.
 * @forget: the device was reset: what it was given and has not given back is not
 *	its any more, and is unmapped. Called after @stop, before any of it is freed.
 *
 * A link may not print from these: where the console is a device that is
 * notified by commands, the message would come back to the engine's lock.
 *
 * Context: all are called with the engine's spinlock held and interrupts
 * disabled, so a link needs no lock of its own for them.
 */
struct tvq_link_ops {
	int (*post)(void *link, const void *out, size_t out_len,
		    void *in, size_t in_len, void *tag);
	void *(*poll)(void *link, u32 *used);
	void (*stop)(void *link);
	void (*forget)(void *link);
};

/**
 * struct tvq_queue - a virtqueue of the function that carries commands
 * @link: argument of the link's functions
 * @slots: commands that its ring holds
 */
struct tvq_queue {
	void *link;
	unsigned int slots;
};

#endif /* _VIRTIO_TVQ_LINK_H */
