// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Virtqueues on which the management device gets commands. */
#include <stdlib.h>
#include <string.h>

#include "cmdq.h"
#include "pci.h"

/*
 * Take the next chain off the ring. In the queue's thread, in a section of epoch. A
 * driver that makes available more than the ring holds, by not waiting for what it
 * gets back, waits. Return: 1 if there was one, or 0.
 */
int cmdq_pop(struct cmdq *q, struct vq_chain *chain, uint64_t epoch)
{
	int ret = 0;

	pthread_mutex_lock(&q->lock);
	if (q->epoch == epoch && !q->held && q->taken < q->vq.size && pci_running(q->pci)) {
		ret = vq_pop(&q->vq, chain);
		if (!ret && vq_enable_notify(&q->vq))
			ret = vq_pop(&q->vq, chain);
		if (ret < 0 && q->vq.broken && !q->failed) {
			q->failed = true;
			pci_needs_reset(q->pci);
		}
		if (ret > 0)
			q->taken++;
	}
	pthread_mutex_unlock(&q->lock);
	return ret > 0;
}

/* Give a chain back that was taken in an epoch. In a section of that. For any thread. */
static void cmdq_push(struct cmdq *q, const struct answer *answer)
{
	bool full = false;

	pthread_mutex_lock(&q->lock);
	if (q->epoch == answer->epoch) {
		full = q->taken-- == q->vq.size;
		vq_push(&q->vq, &answer->chain, answer->written);
		if (answer->twice)
			vq_push(&q->vq, &answer->chain, answer->written);
		if (vq_should_notify(&q->vq))
			pci_queue_interrupt(q->pci, q->vq.vector);
		if (q->vq.broken)
			pci_needs_reset(q->pci);
	}
	pthread_mutex_unlock(&q->lock);
	if (full)
		cmdq_kick(q);
}

/*
 * Write an answer, give the chain back, and free both. For any thread, without locks:
 * it waits until the function is bus master.
 */
void cmdq_answer(struct cmdq *q, struct answer *answer)
{
	struct mem *mem = &q->pci->mem;

	/* A command of before the last reset is forgotten. */
	if (mem_enter_wait(mem, answer->epoch)) {
		if (!hostile_answer(q, answer))
			goto leave;
		/* One that cannot be answered is given back all the same. */
		if (vq_write(mem, &answer->chain, 0, answer->data, answer->len))
			answer->written = 0;
		cmdq_push(q, answer);
leave:
		mem_leave(mem);
	}
	vq_chain_free(&answer->chain);
	free(answer->data);
}

static void *cmdq_thread(void *arg)
{
	struct cmdq *q = arg;

	pthread_mutex_lock(&q->wake_lock);
	while (!q->stop) {
		if (!q->kicked) {
			pthread_cond_wait(&q->wake_cond, &q->wake_lock);
			continue;
		}
		q->kicked = false;
		pthread_mutex_unlock(&q->wake_lock);
		while (q->take(q))
			;
		pthread_mutex_lock(&q->wake_lock);
	}
	pthread_mutex_unlock(&q->wake_lock);
	return NULL;
}

/* For any thread. */
void cmdq_kick(struct cmdq *q)
{
	pthread_mutex_lock(&q->wake_lock);
	q->kicked = true;
	pthread_cond_signal(&q->wake_cond);
	pthread_mutex_unlock(&q->wake_lock);
}

/*
 * Leave what comes in the queue, until it is enabled anew, or go on. What was taken
 * ends. For any thread.
 */
void cmdq_hold(struct cmdq *q, bool held)
{
	pthread_mutex_lock(&q->lock);
	q->held = held;
	pthread_mutex_unlock(&q->lock);
	cmdq_kick(q);
}

/* In the socket thread. */
int cmdq_enable(struct cmdq *q, const struct vq_setup *setup, uint16_t vector)
{
	int ret = -1;

	pthread_mutex_lock(&q->lock);
	if (vq_addresses_ok(setup) && !vq_enable(&q->vq, setup)) {
		q->vq.vector = vector;
		q->epoch = mem_epoch(&q->pci->mem);
		q->taken = 0;
		q->failed = false;
		q->held = false;
		ret = 0;
	}
	pthread_mutex_unlock(&q->lock);
	return ret;
}

/* In the socket thread, in a new epoch: nobody is in the queue any more. */
void cmdq_disable(struct cmdq *q)
{
	pthread_mutex_lock(&q->lock);
	vq_disable(&q->vq);
	pthread_mutex_unlock(&q->lock);
}

int cmdq_start(struct cmdq *q, struct pci *pci, uint16_t index, bool (*take)(struct cmdq *q))
{
	memset(q, 0, sizeof(*q));
	q->pci = pci;
	q->take = take;
	pthread_mutex_init(&q->wake_lock, NULL);
	pthread_cond_init(&q->wake_cond, NULL);
	pthread_mutex_init(&q->lock, NULL);
	vq_init(&q->vq, &pci->mem, index);
	hostile_queue_init(&q->vq.hostile, pci->hostile, 0, 0, index);
	return pthread_create(&q->thread, NULL, cmdq_thread, q) ? -1 : 0;
}

/* What the thread is at, ends; one that waits for others has to be able to. */
void cmdq_stop(struct cmdq *q)
{
	pthread_mutex_lock(&q->wake_lock);
	q->stop = true;
	pthread_cond_signal(&q->wake_cond);
	pthread_mutex_unlock(&q->wake_lock);
	pthread_join(q->thread, NULL);
	vq_disable(&q->vq);
	pthread_cond_destroy(&q->wake_cond);
	pthread_mutex_destroy(&q->wake_lock);
	pthread_mutex_destroy(&q->lock);
}
