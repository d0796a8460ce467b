// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Fibers: who runs, who waits, and for what. x86-64 with the address sanitizer. */
#define FIBERS_IMPLEMENTATION
#include "fibers.h"

#include <errno.h>
#include <linux/falloc.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_SIZE	(256u << 10)
#define FIBERS_MAX	1024
#define TLS_MAX		64

enum state { READY, WAITS, POLLS, SETTLES, OVER };

struct fiber {
	enum state state;
	bool used;
	bool joined;			/* or nobody will */
	bool timed_out;
	const void *what;		/* it waits for, by address */
	const char *why;
	uint64_t deadline;		/* ns, or UINT64_MAX */
	struct pollfd *fds;
	nfds_t num_fds;
	void *(*run)(void *arg);
	void *arg;
	void *sp;
	char *stack;			/* kept for the next fiber; NULL: the fuzzer's own */
	const void *bottom;
	size_t size;
	char tls[TLS_MAX];
};

static struct fiber fibers[FIBERS_MAX];
static unsigned int num_fibers;		/* that were ever used in this execution */
static struct fiber *self;
static uint64_t now;			/* ns */
static uint32_t seed;
static uint32_t random_state;

static void __attribute__((noreturn)) bug(const char *what)
{
	unsigned int i;

	fprintf(stderr, "fibers: %s\n", what);
	for (i = 0; i < num_fibers; i++) {
		if (fibers[i].used && fibers[i].state != OVER)
			fprintf(stderr, "  fiber %u: %s\n", i,
				fibers[i].state == READY ? "runs" : fibers[i].why);
	}
	abort();
}

/*
 * Switching
 */

/* What a function has to preserve is on the stack, meanwhile. */
__asm__("	.text\n"
"	.globl	fiber_switch\n"
"	.type	fiber_switch, @function\n"
"fiber_switch:\n"
"	pushq	%rbp\n"
"	pushq	%rbx\n"
"	pushq	%r12\n"
"	pushq	%r13\n"
"	pushq	%r14\n"
"	pushq	%r15\n"
"	movq	%rsp, (%rdi)\n"
"	movq	%rsi, %rsp\n"
"	popq	%r15\n"
"	popq	%r14\n"
"	popq	%r13\n"
"	popq	%r12\n"
"	popq	%rbx\n"
"	popq	%rbp\n"
"	ret\n"
"	.size	fiber_switch, .-fiber_switch\n");

static void switch_to(struct fiber *to)
{
	struct fiber *from = self;
	void *fake = NULL;

	if (to == from)
		return;
	memcpy(from->tls, fiber_tls_start, fiber_tls_end - fiber_tls_start);
	memcpy(fiber_tls_start, to->tls, fiber_tls_end - fiber_tls_start);
	self = to;
	__sanitizer_start_switch_fiber(from->state == OVER ? NULL : &fake, to->bottom, to->size);
	fiber_switch(&from->sp, to->sp);
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static uint32_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* The next one that can go on, behind this one; with a seed, any one. */
static struct fiber *find_ready(void)
{
	unsigned int start = self - fibers + 1, i;

	if (seed)
		start = next_random() % num_fibers;
	for (i = 0; i < num_fibers; i++) {
		struct fiber *fiber = &fibers[(start + i) % num_fibers];

		if (fiber->used && fiber->state == READY)
			return fiber;
	}
	return NULL;
}

static bool look_at_files(void)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < num_fibers; i++) {
		if (fibers[i].used && fibers[i].state == POLLS &&
		    poll(fibers[i].fds, fibers[i].num_fds, 0)) {
			fibers[i].state = READY;
			any = true;
		}
	}
	return any;
}

/* Wake those whose time is over. */
static void expire(void)
{
	unsigned int i;

	for (i = 0; i < num_fibers; i++) {
		if (fibers[i].used && fibers[i].state == WAITS && fibers[i].deadline <= now) {
			fibers[i].timed_out = true;
			fibers[i].state = READY;
		}
	}
}

/* Nobody can go on: the next thing to happen is that somebody's time is over. */
static void skip_time(void)
{
	uint64_t first = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < num_fibers; i++) {
		if (fibers[i].used && fibers[i].state == WAITS && fibers[i].deadline < first)
			first = fibers[i].deadline;
	}
	if (first == UINT64_MAX)
		bug("deadlock");
	if (now < first)
		now = first;
	expire();
}

/* Let others run, and come back when this one is ready. */
static void schedule(void)
{
	struct fiber *next;

	for (;;) {
		next = find_ready();
		if (next) {
			switch_to(next);
			return;
		}
		if (look_at_files())
			continue;
		if (fibers[0].state == SETTLES)
			fibers[0].state = READY;
		else
			skip_time();
	}
}

static void wait_for(const void *what, const char *why, uint64_t deadline)
{
	self->what = what;
	self->why = why;
	self->deadline = deadline;
	self->timed_out = false;
	self->state = WAITS;
	schedule();
}

static void wake(const void *what, bool all)
{
	unsigned int start = seed ? next_random() % num_fibers : 0, i;

	for (i = 0; i < num_fibers; i++) {
		struct fiber *fiber = &fibers[(start + i) % num_fibers];

		if (!fiber->used || fiber->state != WAITS || fiber->what != what)
			continue;
		fiber->state = READY;
		if (!all)
			return;
	}
}

/* Where a thread could be interrupted by another one. */
static void give_way(void)
{
	if (seed && !(next_random() % 4))
		schedule();
}

/*
 * What the fuzzer does
 */

void fibers_begin(void)
{
	if (fiber_tls_end - fiber_tls_start > TLS_MAX)
		bug("too many variables of threads");
	num_fibers = 1;
	self = &fibers[0];
	self->used = true;
	self->state = READY;
	now = 1000000000;
	seed = 0;
	random_state = 1;
	memset(fiber_tls_start, 0, fiber_tls_end - fiber_tls_start);
}

void fibers_end(void)
{
	unsigned int i;

	for (i = 1; i < num_fibers; i++) {
		if (fibers[i].used && fibers[i].state != OVER)
			bug("a thread that has not ended");
		fibers[i].used = false;
	}
}

/* Until nobody else has anything to do. */
void fibers_settle(void)
{
	self->state = SETTLES;
	self->why = "settles";
	schedule();
}

void fibers_pass(unsigned int milliseconds)
{
	now += 1000000ull * milliseconds;
	expire();
	fibers_settle();
}

/* 0: others run when one waits; else also in between, as the seed says. */
void fibers_seed(unsigned int value)
{
	seed = value;
	random_state = value ? value * 2654435761u | 1 : 1;
}

/*
 * Threads
 */

static void __attribute__((noreturn)) begin(void)
{
	const void *bottom;
	size_t size;

	/* The first is begun from the fuzzer's own stack. */
	__sanitizer_finish_switch_fiber(NULL, &bottom, &size);
	if (!fibers[0].bottom) {
		fibers[0].bottom = bottom;
		fibers[0].size = size;
	}
	self->run(self->arg);
	self->state = OVER;
	wake(self, true);
	schedule();
	bug("a thread that has ended runs");
}

int fiber_create(struct fiber **out, const pthread_attr_t *attr, void *(*run)(void *arg),
		 void *arg)
{
	int detached = PTHREAD_CREATE_JOINABLE;
	struct fiber *fiber;
	unsigned int i;
	void **sp;

	for (i = 1; i < num_fibers; i++) {
		if (!fibers[i].used || (fibers[i].state == OVER && fibers[i].joined))
			break;
	}
	if (i == FIBERS_MAX)
		return EAGAIN;
	fiber = &fibers[i];
	if (i == num_fibers)
		num_fibers++;
	if (!fiber->stack) {
		fiber->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (fiber->stack == MAP_FAILED)
			bug("no memory");
		/* A stack that overflows shall not be another one's. */
		if (mprotect(fiber->stack, 4096, PROT_NONE))
			bug("no guard");
	}
	__asan_unpoison_memory_region(fiber->stack + 4096, STACK_SIZE - 4096);
	fiber->bottom = fiber->stack + 4096;
	fiber->size = STACK_SIZE - 4096;
	fiber->run = run;
	fiber->arg = arg;
	if (attr)
		pthread_attr_getdetachstate(attr, &detached);
	fiber->joined = detached == PTHREAD_CREATE_DETACHED;
	memset(fiber->tls, 0, sizeof(fiber->tls));
	sp = (void **)(fiber->stack + STACK_SIZE - 64);
	*--sp = NULL;		/* begin() does not return */
	*--sp = (void *)begin;
	sp -= 6;
	memset(sp, 0, 6 * sizeof(*sp));
	fiber->sp = sp;
	fiber->used = true;
	fiber->state = READY;
	*out = fiber;
	give_way();
	return 0;
}

int fiber_join(struct fiber *fiber, void **value)
{
	if (!fiber->used || fiber->joined)
		bug("a thread is joined that there is not");
	while (fiber->state != OVER)
		wait_for(fiber, "joins", UINT64_MAX);
	fiber->joined = true;
	return 0;
}

/*
 * Locks
 */

int fiber_mutex_init(struct fiber_mutex *mutex, const void *attr)
{
	mutex->owner = NULL;
	return 0;
}

int fiber_mutex_destroy(struct fiber_mutex *mutex)
{
	if (mutex->owner)
		bug("a mutex is destroyed that is locked");
	return 0;
}

int fiber_mutex_lock(struct fiber_mutex *mutex)
{
	give_way();
	if (mutex->owner == self)
		bug("a mutex is locked twice");
	while (mutex->owner)
		wait_for(mutex, "waits for a mutex", UINT64_MAX);
	mutex->owner = self;
	return 0;
}

static void mutex_release(struct fiber_mutex *mutex)
{
	if (mutex->owner != self)
		bug("a mutex is unlocked by another one");
	mutex->owner = NULL;
	wake(mutex, true);
}

int fiber_mutex_unlock(struct fiber_mutex *mutex)
{
	mutex_release(mutex);
	give_way();
	return 0;
}

int fiber_cond_init(struct fiber_cond *cond, const pthread_condattr_t *attr)
{
	return 0;
}

int fiber_cond_destroy(struct fiber_cond *cond)
{
	unsigned int i;

	for (i = 0; i < num_fibers; i++) {
		if (fibers[i].used && fibers[i].state == WAITS && fibers[i].what == cond)
			bug("a condition is destroyed that is waited for");
	}
	return 0;
}

static int cond_wait(struct fiber_cond *cond, struct fiber_mutex *mutex, uint64_t deadline)
{
	bool timed_out;

	mutex_release(mutex);
	wait_for(cond, "waits for a condition", deadline);
	timed_out = self->timed_out;
	while (mutex->owner)
		wait_for(mutex, "waits for a mutex, behind a condition", UINT64_MAX);
	mutex->owner = self;
	return timed_out ? ETIMEDOUT : 0;
}

int fiber_cond_wait(struct fiber_cond *cond, struct fiber_mutex *mutex)
{
	return cond_wait(cond, mutex, UINT64_MAX);
}

int fiber_cond_timedwait(struct fiber_cond *cond, struct fiber_mutex *mutex,
			 const struct timespec *deadline)
{
	return cond_wait(cond, mutex, deadline->tv_sec * 1000000000ull + deadline->tv_nsec);
}

int fiber_cond_signal(struct fiber_cond *cond)
{
	wake(cond, false);
	return 0;
}

int fiber_cond_broadcast(struct fiber_cond *cond)
{
	wake(cond, true);
	return 0;
}

int fiber_rwlock_init(struct fiber_rwlock *lock, const pthread_rwlockattr_t *attr)
{
	lock->writer = NULL;
	lock->readers = 0;
	return 0;
}

int fiber_rwlock_destroy(struct fiber_rwlock *lock)
{
	if (lock->writer || lock->readers)
		bug("a lock is destroyed that is held");
	return 0;
}

int fiber_rwlock_rdlock(struct fiber_rwlock *lock)
{
	give_way();
	if (lock->writer == self)
		bug("a lock is locked twice");
	while (lock->writer)
		wait_for(lock, "waits to read", UINT64_MAX);
	lock->readers++;
	return 0;
}

int fiber_rwlock_wrlock(struct fiber_rwlock *lock)
{
	give_way();
	if (lock->writer == self)
		bug("a lock is locked twice");
	while (lock->writer || lock->readers)
		wait_for(lock, "waits to write", UINT64_MAX);
	lock->writer = self;
	return 0;
}

int fiber_rwlock_unlock(struct fiber_rwlock *lock)
{
	if (lock->writer == self)
		lock->writer = NULL;
	else if (!lock->writer && lock->readers)
		lock->readers--;
	else
		bug("a lock is unlocked that is not held");
	wake(lock, true);
	give_way();
	return 0;
}

/*
 * What waits, and what differs from one run to the next
 */

int fiber_poll(struct pollfd *fds, nfds_t num, int timeout)
{
	int ret = poll(fds, num, 0);

	if (ret || !timeout)
		return ret;
	self->fds = fds;
	self->num_fds = num;
	self->why = "polls";
	self->state = POLLS;
	schedule();
	return poll(fds, num, 0);
}

int fiber_clock_gettime(clockid_t clock, struct timespec *time)
{
	time->tv_sec = now / 1000000000;
	time->tv_nsec = now % 1000000000;
	return 0;
}

ssize_t fiber_getrandom(void *buf, size_t len, unsigned int flags)
{
	memset(buf, 0x5a, len);
	return len;
}

/* A filesystem in memory has no ranges of zeroes; what is written instead would fill it. */
int fiber_fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (mode & FALLOC_FL_ZERO_RANGE)
		mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return fallocate(fd, mode, offset, len);
}

int fiber_fdatasync(int fd)
{
	return 0;
}

/* A thread that waits in here for somebody else to read would wait with its locks. */
ssize_t fiber_write(int fd, const void *buf, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	if (!poll(&pfd, 1, 0) && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
		bug("a write that has to wait");
	return write(fd, buf, len);
}

/* What the device cannot handle would end the process, and the fuzzer would not know why. */
void fiber_signal(int sig, void (*handler)(int sig))
{
	bug("an access to memory that is not there");
}
