/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * The transport virtqueue: takes commands, hands each to the thread that executes
 * it, and gives back the answers in whatever order they come.
 */
#ifndef TVQ_TRANSPORT_H
#define TVQ_TRANSPORT_H

#include <pthread.h>

#include "job.h"
#include "virtq.h"

struct tvq;

struct command {
	struct job job;
	struct tvq *tvq;
	struct mdev *mdev;		/* the target, NULL for the management device */
	const struct command_desc *desc;
	uint64_t epoch;			/* in which it was taken from the ring */
	struct vq_chain chain;
	uint64_t device_id;
	uint8_t *out;			/* out-data */
	uint32_t out_len;
	uint32_t in_len;		/* room for in-data */
};

struct transport {
	struct tvq *tvq;
	pthread_t thread;
	pthread_t mgmt_thread;
	struct mailbox mgmt;		/* commands of the management device */

	/* wake_lock guards these. */
	pthread_mutex_t wake_lock;
	pthread_cond_t wake_cond;
	bool kicked;
	bool stop;

	/*
	 * lock guards the queue: enabling and disabling it, and its used side. The
	 * available side belongs to the transport thread, in a section.
	 */
	pthread_mutex_t lock;
	struct virtq vq;
	uint64_t epoch;			/* in which the queue was enabled */
	bool failed;			/* the driver has been told that it is broken */
};

int transport_start(struct transport *transport, struct tvq *tvq);
void transport_stop(struct transport *transport);
void transport_kick(struct transport *transport);
int transport_enable(struct transport *transport, const struct vq_setup *setup, uint16_t vector);
void transport_disable(struct transport *transport);

void command_ok(struct command *cmd, const void *data, uint32_t len);
void command_error(struct command *cmd, int err);

#endif
