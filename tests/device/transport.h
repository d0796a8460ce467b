/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * The transport virtqueue: takes commands, hands each to the thread that executes
 * it, and gives back the answers in whatever order they come.
 */
#ifndef TVQ_TRANSPORT_H
#define TVQ_TRANSPORT_H

#include <pthread.h>

#include "cmdq.h"
#include "job.h"

struct tvq;

struct command {
	struct job job;
	struct tvq *tvq;
	struct mdev *mdev;		/* the target, NULL for the management device */
	const struct command_desc *desc;
	uint64_t epoch;			/* in which it was taken from the ring */
	struct vq_chain chain;
	uint64_t device_id;
	struct fault *fault;		/* what is to be wrong with the answer, or NULL */
	uint8_t *out;			/* out-data */
	uint32_t out_len;
	uint32_t in_len;		/* room for in-data */
};

struct transport {
	struct tvq *tvq;
	struct cmdq q;
	pthread_t mgmt_thread;
	struct mailbox mgmt;		/* commands of the management device */
};

int transport_start(struct transport *transport, struct tvq *tvq);
void transport_stop(struct transport *transport);

void command_ok(struct command *cmd, const void *data, uint32_t len);
void command_error(struct command *cmd, int err);

#endif
