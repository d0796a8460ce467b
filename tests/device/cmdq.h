/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * A virtqueue of the management device, on which commands come: the transport
 * virtqueue, or an admin virtqueue. A thread of the queue takes them; whoever has
 * executed one gives it back.
 */
#ifndef TVQ_CMDQ_H
#define TVQ_CMDQ_H

#include <pthread.h>

#include "virtq.h"

struct pci;

struct cmdq {
	struct pci *pci;
	pthread_t thread;
	/* Take one command. In the queue's thread. Return: whether there may be another. */
	bool (*take)(struct cmdq *q);

	/* wake_lock guards these. */
	pthread_mutex_t wake_lock;
	pthread_cond_t wake_cond;
	bool kicked;
	bool stop;

	/*
	 * lock guards the queue: enabling and disabling it, and its used side. The
	 * available side belongs to the queue's thread, in a section.
	 */
	pthread_mutex_t lock;
	struct virtq vq;
	uint64_t epoch;			/* in which the queue was enabled */
	bool failed;			/* the driver has been told that it is broken */
	bool held;			/* nothing is taken from it */
	uint16_t taken;			/* and not yet given back */
};

/* What goes back to the driver for a command. Its memory is freed with it. */
struct answer {
	struct vq_chain chain;
	uint64_t epoch;			/* in which the command was taken */
	const char *command;		/* its name, for ever, or NULL */
	uint8_t *data;
	uint32_t len;			/* of data, within the chain */
	uint32_t written;		/* that the driver is told */
	bool twice;			/* the chain is given back twice */
};

int cmdq_start(struct cmdq *q, struct pci *pci, uint16_t index, bool (*take)(struct cmdq *q));
void cmdq_stop(struct cmdq *q);
void cmdq_kick(struct cmdq *q);
void cmdq_hold(struct cmdq *q, bool held);
int cmdq_enable(struct cmdq *q, const struct vq_setup *setup, uint16_t vector);
void cmdq_disable(struct cmdq *q);
int cmdq_pop(struct cmdq *q, struct vq_chain *chain, uint64_t epoch);
void cmdq_answer(struct cmdq *q, struct answer *answer);

#endif
