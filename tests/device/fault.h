/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * Faults on demand: the device fails, delays, drops, duplicates or corrupts the answer
 * to a command, as it was told by --fault or on the control socket.
 */
#ifndef TVQ_FAULT_H
#define TVQ_FAULT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmdq.h"

#define FAULT_BYTES	64
#define FAULT_ALL	UINT64_MAX	/* times: from nth on */

enum fault_kind {
	FAULT_NONE, FAULT_FAIL, FAULT_DELAY, FAULT_DROP, FAULT_DUPLICATE, FAULT_CORRUPT,
	FAULT_LENGTH,
};

/* What the number of a length counts from. */
enum fault_base { FAULT_SAID, FAULT_CUT, FAULT_OVER };

/* What the device was told, and what is done to a command that is hit. */
struct fault {
	enum fault_kind kind;
	bool admin;			/* on an admin virtqueue */
	char command[32];		/* of this name alone, or empty */
	uint64_t nth;			/* from 1 */
	uint64_t times;
	/* FAULT_FAIL */
	bool effect;			/* executed all the same */
	bool no_reason;
	uint16_t status;
	uint16_t qualifier;
	/* FAULT_DELAY */
	uint32_t ms;
	/* FAULT_CORRUPT */
	uint32_t offset;
	uint32_t num_bytes;
	uint8_t bytes[FAULT_BYTES];
	bool is_xor;
	bool random;
	uint64_t seed;
	/* FAULT_LENGTH */
	enum fault_base base;
	uint32_t length;
	unsigned int given;		/* keys, as bits */
};

struct late_answer;

/* lock guards this. */
struct faults {
	pthread_mutex_t lock;
	struct fault told;
	uint64_t seen;			/* commands that were counted since */
	uint64_t hits;			/* answers that were not what they would have been */
	char last[32];			/* the name of the last command that was hit */

	/* Answers that are delayed, and the thread that gives them. */
	pthread_cond_t cond;
	pthread_t thread;
	struct late_answer *late;
	bool stop;
};

int faults_start(struct faults *faults);
void faults_stop(struct faults *faults);
void faults_exit(struct faults *faults);

const char *fault_add_key(struct fault *fault, char *word);
const char *fault_check(const struct fault *fault);
void faults_tell(struct faults *faults, const struct fault *fault);
void faults_describe(struct faults *faults, char *text, size_t size);

struct fault *fault_for(struct faults *faults, bool admin, const char *command);
bool fault_prevents(const struct fault *fault);
void fault_answer(struct faults *faults, struct fault *fault, struct cmdq *q,
		  struct answer *answer);

#endif
