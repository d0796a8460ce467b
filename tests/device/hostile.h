/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * A device that lies, to see what a driver makes of it: replies to commands, used
 * rings and data of all queues, registers, interrupts. By a seed, from which each
 * queue has random numbers of its own, so that what it does depends on that and on
 * what it is asked, and not on other queues.
 *
 * It lies in what it writes, and not in where: only into what the driver has made
 * available and not got back. So a queue in which a driver may take something for given
 * back that was not, or the other way round, ends with that lie: nothing more is taken
 * from it, nor given back, until it is enabled anew.
 */
#ifndef TVQ_HOSTILE_H
#define TVQ_HOSTILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct answer;
struct cmdq;
struct pci;
struct virtq;
struct vq_chain;

/* What it lies in */
#define HOSTILE_REPLIES		1u	/* to transport and admin commands */
#define HOSTILE_RINGS		2u	/* used rings of the function's queues */
#define HOSTILE_QUEUES		4u	/* used rings and data of managed devices */
#define HOSTILE_INTERRUPTS	8u
#define HOSTILE_FUNCTION	16u	/* registers, virtio's capabilities */
#define HOSTILE_ALL		31u

/* More than there are, of both kinds */
#define HOSTILE_COMMANDS	48

struct hostile_options {
	bool on;
	uint64_t seed;
	uint32_t rate;		/* of 1000 chances to lie */
	uint32_t what;
};

/* Random numbers of one queue, or whatever else is served by one thread at a time. */
struct hostile_numbers {
	uint64_t state;
	uint32_t run;		/* whose seed they are from */
};

struct hostile_counts {
	_Atomic uint64_t replies;	/* to commands, honest or not, while it is on */
	_Atomic uint64_t reply_lies;
	/* Of these, by command; one is entered when it is met, and stays. With count_lock. */
	struct hostile_command {
		const char *name;
		uint64_t replies;
		uint64_t lies;
	} commands[HOSTILE_COMMANDS];
	_Atomic uint64_t ring_lies;	/* in used rings of the function */
	_Atomic uint64_t used;		/* buffers of managed devices given back */
	_Atomic uint64_t used_lies;
	_Atomic uint64_t packed;	/* of these, in packed rings */
	_Atomic uint64_t packed_lies;
	_Atomic uint64_t interrupts;	/* for nothing */
	_Atomic uint64_t reads;		/* of registers */
	_Atomic uint64_t read_lies;
	_Atomic uint64_t use_lies;	/* of these, while the driver was in use */
};

struct hostile {
	struct pci *pci;
	_Atomic uint32_t run;		/* 0: off; moves each time it is switched on */
	_Atomic uint64_t seed;
	_Atomic uint32_t rate;
	_Atomic uint32_t what;
	_Atomic uint32_t runs;
	struct hostile_counts count;
	pthread_mutex_t count_lock;
	struct hostile_numbers function;	/* the socket thread's */
	pthread_t thread;
	bool started;

	/* lock guards stop, and the wait for it. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
};

/* Numbers of one queue of a managed device, or of the function. */
struct hostile_queue {
	struct hostile *hostile;	/* NULL: never */
	uint64_t id;
	struct hostile_numbers numbers;
	uint32_t type;			/* of the managed device; 0: the function's queue */
	uint16_t jump;			/* of the used index, that is to come */
	/* With the next buffers that are shown, and the interrupt behind it, it ends. */
	enum { HOSTILE_GOES_ON, HOSTILE_ENDS, HOSTILE_LAST, HOSTILE_SILENT } end;
};

const char *hostile_parse(struct hostile_options *opt, char *text);
int hostile_start(struct hostile *h, struct pci *pci);
void hostile_stop(struct hostile *h);
/* For any thread */
void hostile_set(struct hostile *h, const struct hostile_options *opt);
bool hostile_was_on(struct hostile *h);
/* What is known of the i-th command that was met. Return: false if there were not so many. */
bool hostile_command(struct hostile *h, unsigned int i, struct hostile_command *command);

void hostile_queue_init(struct hostile_queue *hq, struct hostile *h, uint64_t device_id,
			uint32_t type, uint16_t index);

/*
 * An answer to a command is about to be given: lie in it, or about its length. In a
 * section. Return: false if it is to be forgotten, for its queue has ended.
 */
bool hostile_answer(struct cmdq *q, struct answer *answer);

/*
 * A chain is given back, in a section. Changes what is said of it, and, for managed
 * devices, what is in it. Return: how often it is given back.
 */
unsigned int hostile_used(struct virtq *vq, const struct vq_chain *chain, uint32_t *id,
			  uint32_t *written);

/* A vector of num that interrupts, too, or -1. */
int hostile_vector(struct hostile_queue *hq, uint16_t num);
/* Whether the configuration has changed once more, for nothing. */
bool hostile_config_changed(struct hostile_queue *hq);

/*
 * In the socket thread: something was read; of a register, before or while the driver is
 * in use.
 */
void hostile_register(struct hostile *h, bool in_use, void *buf, uint32_t len);
void hostile_config(struct hostile *h, uint64_t offset, void *buf, uint32_t len, unsigned int cap,
		    unsigned int caps_end);

#endif
