/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* What the files of the fuzzer share: the client and driver that it is. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../device/mdev.h"
#include "../device/tvq.h"
#include "../device/vfu_proto.h"

#define GUEST_BASE	0x100000ull
#define GUEST_SIZE	0x80000u
#define SHORT_BASE	0x200000ull	/* memory whose file gets shorter */
#define SHORT_SIZE	0x4000u
#define MSI_BASE	0xfee00000ull

#define RING_SPACE	0x3000u		/* of a ring: a page for each of its areas */
#define RING_SIZE	128u		/* entries at most */
#define RINGS_EACH	8u		/* queues of a device that are used */
#define DEVICES		2u		/* that have queues here */
#define RINGS		(1 + 2 + RINGS_EACH * DEVICES)
#define RING_TRANSPORT	0u
#define RING_ADMIN	1u
#define RING_DEVICE	3u
#define ARENA		(RINGS * RING_SPACE)
static_assert(GUEST_SIZE / 2 > ARENA, "there is room for buffers");

struct ring {
	uint16_t size;			/* 0: not in use */
	uint16_t queue;
	bool packed;
	bool wrap;
	uint16_t free;			/* next descriptor, round and round */
	uint16_t avail;
	uint16_t id;
	uint32_t doorbell;		/* in BAR_DOORBELL; of the function: in BAR_VIRTIO */
	bool function;
};

struct seg {
	uint64_t gpa;
	uint32_t len;
	bool in;
};

/* How the device's own messages are answered. */
enum answers { ANSWER_OK, ANSWER_ERROR, ANSWER_WRONG, ANSWER_NOT, ANSWERS };

struct fuzz {
	struct tvq tvq;
	struct fiber *thread;
	int stop_fd;
	bool plain;			/* the client is that of a plain function */
	char dir[64];
	char socket[96];
	char plain_socket[96];

	int fd;				/* -1: the device has hung up */
	bool clean;			/* what was sent so far were whole messages */
	uint16_t next_id;
	unsigned int hurry;		/* so many requests more do not wait for an answer */
	enum answers answers;
	uint16_t withheld[64];		/* of what was not answered, the ids */
	unsigned int num_withheld;
	size_t in_len;			/* of what the device has sent, the last message's */
	bool replied;			/* to the last request */
	uint32_t error;
	uint8_t reply[4096];		/* its payload */
	uint32_t reply_len;

	int peer;			/* of a console's port, or -1 */
	int memfd;
	int short_fd;
	uint8_t *mem;
	uint32_t arena;			/* next free byte */
	struct ring ring[RINGS];
	uint32_t features;		/* of the management device's rings */
	uint8_t last[8192];		/* what the last command has brought */
	uint32_t last_len;
};

/* What libFuzzer calls, and what it gives */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
				 uint8_t *out, size_t max, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max);
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/* In client.c */
void fuzz_bug(const char *what) __attribute__((noreturn));
void fuzz_start(struct fuzz *f, const struct tvq_options *opt, bool plain);
void fuzz_end(struct fuzz *f);
void fuzz_connect(struct fuzz *f);
void fuzz_disconnect(struct fuzz *f);
void fuzz_pump(struct fuzz *f);
void fuzz_answer(struct fuzz *f);
void fuzz_send(struct fuzz *f, const void *data, size_t len, const int *fds, unsigned int num_fds);
bool fuzz_request(struct fuzz *f, uint16_t command, uint32_t flags, const void *data, size_t len,
		  const int *fds, unsigned int num_fds);
void fuzz_read(struct fuzz *f, unsigned int region, uint64_t offset, uint32_t len);
void fuzz_write(struct fuzz *f, unsigned int region, uint64_t offset, const void *data,
		uint32_t len);
void fuzz_put(struct fuzz *f, unsigned int region, uint64_t offset, uint64_t value, uint32_t len);
uint64_t fuzz_get(struct fuzz *f, unsigned int region, uint64_t offset, uint32_t len);
void fuzz_negotiate(struct fuzz *f);
void fuzz_map(struct fuzz *f);

/* In driver.c */
void *fuzz_guest(struct fuzz *f, uint64_t gpa);
uint64_t fuzz_alloc(struct fuzz *f, uint32_t len);
uint64_t fuzz_ring_area(unsigned int ring, unsigned int area);
void fuzz_ring_reset(struct ring *ring, uint16_t queue, uint16_t size, uint64_t features);
void fuzz_chain(struct fuzz *f, unsigned int ring, const struct seg *seg, unsigned int num,
		bool indirect);
void fuzz_bell(struct fuzz *f, unsigned int ring);
bool fuzz_function_up(struct fuzz *f, unsigned int admin_queues, uint64_t without);
bool fuzz_plain_up(struct fuzz *f, uint64_t with, unsigned int num, uint16_t size);
uint32_t fuzz_command(struct fuzz *f, uint64_t id, uint16_t class, uint16_t command,
		      const void *out, uint32_t out_len, uint32_t in_len, unsigned int how);
void fuzz_device_up(struct fuzz *f, uint64_t id, uint64_t with, unsigned int num, uint16_t size);
void fuzz_admin(struct fuzz *f, unsigned int queue, uint16_t opcode, uint16_t group,
		uint64_t member, const void *out, uint32_t out_len, uint32_t in_len,
		unsigned int how);
void fuzz_admin_ready(struct fuzz *f, uint16_t group, uint64_t member);

/* How a command is put into a ring */
#define HOW_INDIRECT	1u
#define HOW_PIECES	2u
#define HOW_SILENT	4u		/* without a notification */

/* In operations.c */
#define FUZZ_OPERATIONS	27u		/* kinds */
#define FUZZ_SEED	23u		/* the one that orders threads */
#define FUZZ_HEAD	2u		/* bytes before the operations: what the device is */
void fuzz_operations(struct fuzz *f, const uint8_t *data, size_t len);

#endif
