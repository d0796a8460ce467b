/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * The control socket: what happens to managed devices from outside of the guest.
 *
 * A line is a request; the reply ends with a line "ok" or "error: REASON".
 */
#ifndef TVQ_CONTROL_H
#define TVQ_CONTROL_H

#include <pthread.h>

struct tvq;

struct control {
	struct tvq *tvq;
	const char *path;
	int listen_fd;
	int stop_fd;
	pthread_t thread;
};

int control_start(struct control *control, struct tvq *tvq, const char *path);
void control_stop(struct control *control);

#endif
