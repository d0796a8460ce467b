// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Faults on demand.
 *
 * Whoever takes a command asks fault_for() whether it is the one, once, in the order
 * of the ring; whoever has its answer gives that to fault_answer(). In between the
 * command goes its way, unless fault_prevents() says that it is not to be executed.
 * The device itself stays right: a chain is given back once, unless that is the fault;
 * what is given back late, or never, was taken in an epoch and ends with it.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_tvq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin.h"
#include "cmds.h"
#include "fault.h"
#include "log.h"

struct late_answer {
	struct late_answer *next;
	struct cmdq *q;
	struct answer answer;
	struct timespec due;
};

/*
 * What is told
 */

enum {
	GIVEN_STATUS, GIVEN_EFFECT, GIVEN_MS, GIVEN_BYTES, GIVEN_OFFSET, GIVEN_SEED, GIVEN_LENGTH,
};

static const struct {
	const char *name;
	unsigned int needs;		/* keys, as bits */
	unsigned int takes;
	const char *error;		/* for those that it lacks */
} kinds[] = {
	[FAULT_FAIL] = { "fail", 0, 1u << GIVEN_STATUS | 1u << GIVEN_EFFECT, NULL },
	[FAULT_DELAY] = { "delay", 1u << GIVEN_MS, 0, "ms is missing" },
	[FAULT_DROP] = { "drop", 0, 0, NULL },
	[FAULT_DUPLICATE] = { "duplicate", 0, 0, NULL },
	[FAULT_CORRUPT] = { "corrupt", 0, 1u << GIVEN_BYTES | 1u << GIVEN_OFFSET | 1u << GIVEN_SEED,
			    NULL },
	[FAULT_LENGTH] = { "length", 1u << GIVEN_LENGTH, 0, "length, cut or over is missing" },
};

#define NUM_KINDS	(sizeof(kinds) / sizeof(kinds[0]))

static bool get_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	return !errno && end != text && !*end && !strchr(text, '-') && *value >= min &&
	       *value <= max;
}

/* Pairs of hexadecimal digits. */
static bool get_bytes(const char *text, struct fault *fault)
{
	size_t len = strlen(text), i;
	char pair[3] = "";

	if (!len || len % 2 || len / 2 > FAULT_BYTES ||
	    strspn(text, "0123456789abcdefABCDEF") != len)
		return false;
	for (i = 0; i < len / 2; i++) {
		memcpy(pair, text + 2 * i, 2);
		fault->bytes[i] = strtoul(pair, NULL, 16);
	}
	fault->num_bytes = len / 2;
	return true;
}

static const char *set_kind(struct fault *fault, const char *value)
{
	unsigned int i;

	for (i = 1; i < NUM_KINDS; i++) {
		if (!strcmp(value, kinds[i].name)) {
			fault->kind = i;
			return NULL;
		}
	}
	return "kind is not fail, delay, drop, duplicate, corrupt or length";
}

/* Whose command, and which. Return: NULL, what is wrong, or "" for another key. */
static const char *set_which(struct fault *fault, const char *key, const char *value)
{
	if (!strcmp(key, "kind"))
		return set_kind(fault, value);
	if (!strcmp(key, "queue")) {
		fault->admin = !strcmp(value, "admin");
		return fault->admin || !strcmp(value, "transport") ?
		       NULL : "queue is not transport or admin";
	}
	if (!strcmp(key, "command"))
		return *value && snprintf(fault->command, sizeof(fault->command), "%s", value) <
				 (int)sizeof(fault->command) ? NULL : "no such command";
	if (!strcmp(key, "nth"))
		return get_number(value, 1, UINT32_MAX, &fault->nth) ?
		       NULL : "nth is not a number from 1 on";
	if (!strcmp(key, "times")) {
		if (strcmp(value, "all"))
			return get_number(value, 1, UINT32_MAX, &fault->times) ?
			       NULL : "times is not a number from 1 on, nor all";
		fault->times = FAULT_ALL;
		return NULL;
	}
	return "";
}

/* What is done to it. Return: as above. */
static const char *set_what(struct fault *fault, const char *key, const char *value)
{
	static const struct {
		const char *name;
		enum fault_base base;
	} bases[] = { { "length", FAULT_SAID }, { "cut", FAULT_CUT }, { "over", FAULT_OVER } };
	uint64_t n = 0;
	unsigned int i;

	if (!strcmp(key, "status")) {
		fault->no_reason = !strcmp(value, "none");
		if (!fault->no_reason && !get_number(value, 0, UINT16_MAX, &n))
			return "status is not a number of 16 bits, nor none";
		fault->status = n;
		fault->given |= 1u << GIVEN_STATUS;
		return NULL;
	}
	if (!strcmp(key, "qualifier")) {
		if (!get_number(value, 0, UINT16_MAX, &n))
			return "qualifier is not a number of 16 bits";
		fault->qualifier = n;
		fault->given |= 1u << GIVEN_STATUS;
		return NULL;
	}
	if (!strcmp(key, "effect")) {
		fault->effect = !strcmp(value, "yes");
		fault->given |= 1u << GIVEN_EFFECT;
		return fault->effect || !strcmp(value, "no") ? NULL : "effect is not yes or no";
	}
	if (!strcmp(key, "ms")) {
		if (!get_number(value, 1, 3600000, &n))
			return "ms is not a number from 1 to 3600000";
		fault->ms = n;
		fault->given |= 1u << GIVEN_MS;
		return NULL;
	}
	if (!strcmp(key, "offset")) {
		if (!get_number(value, 0, UINT32_MAX, &n))
			return "offset is not a number";
		fault->offset = n;
		fault->given |= 1u << GIVEN_OFFSET;
		return NULL;
	}
	if (!strcmp(key, "with") || !strcmp(key, "xor")) {
		if (fault->num_bytes)
			return "with and xor, or one of them twice";
		if (!get_bytes(value, fault))
			return "not 1 to 64 bytes in hexadecimal";
		fault->is_xor = !strcmp(key, "xor");
		fault->given |= 1u << GIVEN_BYTES;
		return NULL;
	}
	if (!strcmp(key, "seed")) {
		if (!get_number(value, 0, UINT64_MAX, &fault->seed))
			return "seed is not a number";
		fault->random = true;
		fault->given |= 1u << GIVEN_SEED;
		return NULL;
	}
	for (i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		if (strcmp(key, bases[i].name))
			continue;
		if (fault->given & 1u << GIVEN_LENGTH)
			return "length, cut and over are for one another's place";
		if (!get_number(value, 0, UINT32_MAX, &n))
			return "a length that is not a number";
		fault->length = n;
		fault->base = bases[i].base;
		fault->given |= 1u << GIVEN_LENGTH;
		return NULL;
	}
	return "no such key";
}

/* One KEY=VALUE, for a fault that began as zeroes. Return: NULL or what is wrong. */
const char *fault_add_key(struct fault *fault, char *word)
{
	char *value = strchr(word, '=');
	const char *error;

	if (!value)
		return "not KEY=VALUE";
	*value++ = '\0';
	error = set_which(fault, word, value);
	return error && !*error ? set_what(fault, word, value) : error;
}

/* Do all keys together make sense? Return: NULL or what is wrong. */
const char *fault_check(const struct fault *fault)
{
	bool bytes = fault->given & 1u << GIVEN_BYTES, at = fault->given & 1u << GIVEN_OFFSET;

	if (!fault->kind)
		return "kind is missing";
	if (fault->command[0] && !(fault->admin ? admin_knows(fault->command) :
						 cmds_knows(fault->command)))
		return "no such command on this queue";
	if (fault->given & ~(kinds[fault->kind].needs | kinds[fault->kind].takes))
		return "a key that is not for this kind";
	if (kinds[fault->kind].needs & ~fault->given)
		return kinds[fault->kind].error;
	if (fault->admin && fault->no_reason)
		return "status=none is not for an admin command, which has one";
	if (fault->kind == FAULT_CORRUPT && (fault->random ? bytes || at : !bytes || !at))
		return "either seed, or offset and one of with and xor";
	return NULL;
}

/* What was told before is forgotten, and counting begins anew. NULL: nothing is wrong. */
void faults_tell(struct faults *faults, const struct fault *fault)
{
	pthread_mutex_lock(&faults->lock);
	memset(&faults->told, 0, sizeof(faults->told));
	if (fault)
		faults->told = *fault;
	if (!faults->told.nth)
		faults->told.nth = 1;
	if (!faults->told.times)
		faults->told.times = 1;
	if (!(faults->told.given & 1u << GIVEN_STATUS))
		faults->told.status = VIRTIO_TVQ_STATUS_EINVAL;
	faults->seen = 0;
	faults->hits = 0;
	faults->last[0] = '\0';
	pthread_mutex_unlock(&faults->lock);
}

/* In one line: what was told, and what came of it. */
void faults_describe(struct faults *faults, char *text, size_t size)
{
	const struct fault *told = &faults->told;

	pthread_mutex_lock(&faults->lock);
	if (told->kind)
		snprintf(text, size, "kind=%s queue=%s%s%s nth=%" PRIu64 " seen=%" PRIu64
			 " hits=%" PRIu64 "%s%s\n", kinds[told->kind].name,
			 told->admin ? "admin" : "transport", told->command[0] ? " command=" : "",
			 told->command, told->nth, faults->seen, faults->hits,
			 faults->last[0] ? " last=" : "", faults->last);
	else
		snprintf(text, size, "none\n");
	pthread_mutex_unlock(&faults->lock);
}

/*
 * What is done
 */

/* A command was taken. Return: what is to be done to it, or NULL. */
struct fault *fault_for(struct faults *faults, bool admin, const char *command)
{
	struct fault *told = &faults->told, *fault = NULL;

	pthread_mutex_lock(&faults->lock);
	if (told->kind && told->admin == admin &&
	    (!told->command[0] || !strcmp(told->command, command))) {
		faults->seen++;
		if (faults->seen >= told->nth && faults->seen - told->nth < told->times)
			fault = malloc(sizeof(*fault));
		if (fault) {
			*fault = *told;
			/* Another one for each, and the same ones again for the same seed. */
			fault->seed += faults->seen;
			snprintf(faults->last, sizeof(faults->last), "%s", command);
		}
	}
	pthread_mutex_unlock(&faults->lock);
	if (fault)
		log_info("fault: %s, %s", kinds[fault->kind].name, command);
	return fault;
}

/* Whether the command is not to be executed. */
bool fault_prevents(const struct fault *fault)
{
	return fault && fault->kind == FAULT_FAIL && !fault->effect;
}

/* ERR instead of what it is, with the reason where there is room. */
static void make_error(const struct fault *fault, struct answer *answer)
{
	const uint16_t reason[2] = { htole16(fault->status), htole16(fault->qualifier) };
	const uint32_t ack = htole32(VIRTIO_TVQ_ERR);
	uint32_t len;
	uint8_t *data;

	/* An admin command has no other place for it, and its result keeps its length. */
	if (fault->admin) {
		if (answer->len >= sizeof(reason))
			memcpy(answer->data, reason, sizeof(reason));
		return;
	}
	len = sizeof(ack) + (fault->no_reason ? 0 : sizeof(struct virtio_tvq_error));
	if (answer->chain.in_len < len)
		len = sizeof(ack);
	data = calloc(1, sizeof(ack) + sizeof(struct virtio_tvq_error));
	if (!data || answer->chain.in_len < len) {
		free(data);
		return;
	}
	memcpy(data, &ack, sizeof(ack));
	if (len > sizeof(ack))
		memcpy(data + sizeof(ack), reason, sizeof(reason));
	free(answer->data);
	answer->data = data;
	answer->len = len;
	answer->written = len;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* The length stays. Return: whether the fault is within it. */
static bool corrupt(struct fault *fault, struct answer *answer)
{
	bool hit = false;
	uint32_t i;

	for (i = 0; fault->random && i < answer->len; i++) {
		answer->data[i] = next_random(&fault->seed);
		hit = true;
	}
	for (i = 0; i < fault->num_bytes; i++) {
		uint64_t at = (uint64_t)fault->offset + i;

		if (at >= answer->len)
			break;
		if (fault->is_xor)
			answer->data[at] ^= fault->bytes[i];
		else
			answer->data[at] = fault->bytes[i];
		hit = true;
	}
	return hit;
}

/* What is said to be written; and no more than that is. Return: whether that is another. */
static bool set_length(const struct fault *fault, struct answer *answer)
{
	uint32_t before = answer->written;

	switch (fault->base) {
	case FAULT_SAID:
		answer->written = fault->length;
		break;
	case FAULT_CUT:
		answer->written -= fault->length < before ? fault->length : before;
		break;
	case FAULT_OVER:
		answer->written = answer->chain.in_len + fault->length;
		break;
	}
	if (answer->len > answer->written)
		answer->len = answer->written;
	return answer->written != before;
}

static void free_answer(struct answer *answer)
{
	vq_chain_free(&answer->chain);
	free(answer->data);
}

static bool later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static bool postpone(struct faults *faults, const struct fault *fault, struct cmdq *q,
		     const struct answer *answer)
{
	struct late_answer *late = malloc(sizeof(*late));

	if (!late)
		return false;
	late->q = q;
	late->answer = *answer;
	clock_gettime(CLOCK_MONOTONIC, &late->due);
	late->due.tv_sec += fault->ms / 1000;
	late->due.tv_nsec += fault->ms % 1000 * 1000000;
	if (late->due.tv_nsec >= 1000000000) {
		late->due.tv_nsec -= 1000000000;
		late->due.tv_sec++;
	}
	pthread_mutex_lock(&faults->lock);
	late->next = faults->late;
	faults->late = late;
	pthread_cond_signal(&faults->cond);
	pthread_mutex_unlock(&faults->lock);
	return true;
}

/*
 * Answer a command; fault is what is wrong with the answer, or NULL. Both are freed. For
 * any thread, without locks: it waits until the function is bus master.
 */
void fault_answer(struct faults *faults, struct fault *fault, struct cmdq *q,
		  struct answer *answer)
{
	bool hit = true, give = true;

	switch (fault ? fault->kind : FAULT_NONE) {
	case FAULT_NONE:
		hit = false;
		break;
	case FAULT_FAIL:
		make_error(fault, answer);
		break;
	case FAULT_DELAY:
		give = !postpone(faults, fault, q, answer);
		hit = !give;
		break;
	case FAULT_DROP:
		free_answer(answer);
		give = false;
		break;
	case FAULT_DUPLICATE:
		answer->twice = true;
		break;
	case FAULT_CORRUPT:
		hit = corrupt(fault, answer);
		break;
	case FAULT_LENGTH:
		hit = set_length(fault, answer);
		break;
	}
	free(fault);
	/* Before the driver can know of it. */
	if (hit) {
		pthread_mutex_lock(&faults->lock);
		faults->hits++;
		pthread_mutex_unlock(&faults->lock);
	}
	if (give)
		cmdq_answer(q, answer);
}

static void *late_thread(void *arg)
{
	struct faults *faults = arg;
	struct late_answer **link, **next, *late;
	struct timespec now;

	pthread_mutex_lock(&faults->lock);
	while (!faults->stop) {
		next = &faults->late;
		if (!*next) {
			pthread_cond_wait(&faults->cond, &faults->lock);
			continue;
		}
		for (link = next; *link; link = &(*link)->next) {
			if (later(&(*next)->due, &(*link)->due))
				next = link;
		}
		late = *next;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (later(&late->due, &now)) {
			pthread_cond_timedwait(&faults->cond, &faults->lock, &late->due);
			continue;
		}
		*next = late->next;
		pthread_mutex_unlock(&faults->lock);
		cmdq_answer(late->q, &late->answer);
		free(late);
		pthread_mutex_lock(&faults->lock);
	}
	pthread_mutex_unlock(&faults->lock);
	return NULL;
}

/*
 * Start, end
 */

/* Return: 0, and both of the below are to be called, or -1. */
int faults_start(struct faults *faults)
{
	pthread_condattr_t attr;

	memset(faults, 0, sizeof(*faults));
	pthread_mutex_init(&faults->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&faults->cond, &attr);
	pthread_condattr_destroy(&attr);
	return pthread_create(&faults->thread, NULL, late_thread, faults) ? -1 : 0;
}

/* In a new epoch, in which what is late is not given any more; while the queues are there. */
void faults_stop(struct faults *faults)
{
	pthread_mutex_lock(&faults->lock);
	faults->stop = true;
	pthread_cond_signal(&faults->cond);
	pthread_mutex_unlock(&faults->lock);
	pthread_join(faults->thread, NULL);
}

/* When nobody answers commands any more. */
void faults_exit(struct faults *faults)
{
	struct late_answer *late;

	while ((late = faults->late)) {
		faults->late = late->next;
		free_answer(&late->answer);
		free(late);
	}
	pthread_cond_destroy(&faults->cond);
	pthread_mutex_destroy(&faults->lock);
}
