/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* Work that one thread gives to another, and the queue that it waits in. */
#ifndef TVQ_JOB_H
#define TVQ_JOB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct job {
	struct job *next;
	void (*run)(struct job *job);
	/* Instead of run(), when the thread that was to run it is gone. */
	void (*cancel)(struct job *job);
};

#define container_of(ptr, type, member)	((type *)((char *)(ptr) - offsetof(type, member)))

struct mailbox {
	pthread_mutex_t lock;	/* guards all of this */
	pthread_cond_t cond;
	struct job *first;
	struct job **last;
	bool wake;
	bool stop;
};

static inline void mailbox_init(struct mailbox *mbox)
{
	pthread_mutex_init(&mbox->lock, NULL);
	pthread_cond_init(&mbox->cond, NULL);
	mbox->first = NULL;
	mbox->last = &mbox->first;
	mbox->wake = false;
	mbox->stop = false;
}

static inline void mailbox_exit(struct mailbox *mbox)
{
	pthread_mutex_destroy(&mbox->lock);
	pthread_cond_destroy(&mbox->cond);
}

static inline void mailbox_post(struct mailbox *mbox, struct job *job)
{
	pthread_mutex_lock(&mbox->lock);
	job->next = NULL;
	*mbox->last = job;
	mbox->last = &job->next;
	pthread_cond_signal(&mbox->cond);
	pthread_mutex_unlock(&mbox->lock);
}

static inline void mailbox_wake(struct mailbox *mbox)
{
	pthread_mutex_lock(&mbox->lock);
	mbox->wake = true;
	pthread_cond_signal(&mbox->cond);
	pthread_mutex_unlock(&mbox->lock);
}

static inline void mailbox_stop(struct mailbox *mbox)
{
	pthread_mutex_lock(&mbox->lock);
	mbox->stop = true;
	pthread_cond_signal(&mbox->cond);
	pthread_mutex_unlock(&mbox->lock);
}

/*
 * The next job, or NULL. Unless busy, wait for one, for a wake, or for the end.
 * The jobs that are there come before the end.
 */
static inline struct job *mailbox_take(struct mailbox *mbox, bool busy, bool *stop)
{
	struct job *job;

	pthread_mutex_lock(&mbox->lock);
	while (!busy && !mbox->first && !mbox->wake && !mbox->stop)
		pthread_cond_wait(&mbox->cond, &mbox->lock);
	mbox->wake = false;
	job = mbox->first;
	if (job) {
		mbox->first = job->next;
		if (!mbox->first)
			mbox->last = &mbox->first;
	}
	*stop = mbox->stop && !job;
	pthread_mutex_unlock(&mbox->lock);
	return job;
}

#endif
