/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* The state directory: what is provisioned, for the next process. */
#ifndef TVQ_STATE_H
#define TVQ_STATE_H

#include <pthread.h>
#include <stdbool.h>

struct tvq;

struct state {
	pthread_mutex_t lock;	/* one writer at a time */
	char *path;		/* NULL: nothing is kept */
	char *tmp_path;
	int dir_fd;		/* locked */
	bool loading;
};

int state_init(struct state *state, const char *dir);
void state_exit(struct state *state);
int state_load(struct tvq *tvq);
int state_save(struct tvq *tvq);

#endif
