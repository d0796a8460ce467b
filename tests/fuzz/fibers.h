/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * Threads for a fuzzer: all of them in one thread of the system.
 *
 * The compiler includes this before each file of the reference device. What that
 * uses of POSIX threads, of clocks, and of what waits, is replaced by fibers, which
 * give way to each other where a thread would wait and, when fibers_seed() has asked
 * for that, where it takes or leaves a lock. Which one goes on depends on nothing but
 * the input, and so does the time: an execution can be repeated. A deadlock is seen
 * as such, and so is a lock that is used in a way that POSIX does not define.
 */
#ifndef FUZZ_FIBERS_H
#define FUZZ_FIBERS_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct fiber;

struct fiber_mutex {
	struct fiber *owner;
};

struct fiber_cond {
	char none;
};

struct fiber_rwlock {
	struct fiber *writer;
	unsigned int readers;
};

int fiber_create(struct fiber **fiber, const pthread_attr_t *attr, void *(*run)(void *arg),
		 void *arg);
int fiber_join(struct fiber *fiber, void **value);
int fiber_mutex_init(struct fiber_mutex *mutex, const void *attr);
int fiber_mutex_destroy(struct fiber_mutex *mutex);
int fiber_mutex_lock(struct fiber_mutex *mutex);
int fiber_mutex_unlock(struct fiber_mutex *mutex);
int fiber_cond_init(struct fiber_cond *cond, const pthread_condattr_t *attr);
int fiber_cond_destroy(struct fiber_cond *cond);
int fiber_cond_wait(struct fiber_cond *cond, struct fiber_mutex *mutex);
int fiber_cond_timedwait(struct fiber_cond *cond, struct fiber_mutex *mutex,
			 const struct timespec *deadline);
int fiber_cond_signal(struct fiber_cond *cond);
int fiber_cond_broadcast(struct fiber_cond *cond);
int fiber_rwlock_init(struct fiber_rwlock *lock, const pthread_rwlockattr_t *attr);
int fiber_rwlock_destroy(struct fiber_rwlock *lock);
int fiber_rwlock_rdlock(struct fiber_rwlock *lock);
int fiber_rwlock_wrlock(struct fiber_rwlock *lock);
int fiber_rwlock_unlock(struct fiber_rwlock *lock);
int fiber_poll(struct pollfd *fds, nfds_t num, int timeout);
int fiber_clock_gettime(clockid_t clock, struct timespec *now);
ssize_t fiber_getrandom(void *buf, size_t len, unsigned int flags);
int fiber_fallocate(int fd, int mode, off_t offset, off_t len);
int fiber_fdatasync(int fd);
ssize_t fiber_write(int fd, const void *buf, size_t len);
void fiber_signal(int sig, void (*handler)(int sig));

/* Saves the stack pointer, and goes on with another one. */
void fiber_switch(void **save, void *sp);

/* Of the device's variables that are one for each thread */
extern char fiber_tls_start[] __asm__("__start_fiber_tls");
extern char fiber_tls_end[] __asm__("__stop_fiber_tls");

/* For the fuzzer, which is a fiber, too */
void fibers_begin(void);
void fibers_end(void);
void fibers_settle(void);
void fibers_pass(unsigned int milliseconds);
void fibers_seed(unsigned int seed);

#ifndef FIBERS_IMPLEMENTATION
#define pthread_t			struct fiber *
#define pthread_mutex_t			struct fiber_mutex
#define pthread_cond_t			struct fiber_cond
#define pthread_rwlock_t		struct fiber_rwlock
#define pthread_create(...)		fiber_create(__VA_ARGS__)
#define pthread_join(...)		fiber_join(__VA_ARGS__)
#define pthread_mutex_init(...)		fiber_mutex_init(__VA_ARGS__)
#define pthread_mutex_destroy(...)	fiber_mutex_destroy(__VA_ARGS__)
#define pthread_mutex_lock(...)		fiber_mutex_lock(__VA_ARGS__)
#define pthread_mutex_unlock(...)	fiber_mutex_unlock(__VA_ARGS__)
#define pthread_cond_init(...)		fiber_cond_init(__VA_ARGS__)
#define pthread_cond_destroy(...)	fiber_cond_destroy(__VA_ARGS__)
#define pthread_cond_wait(...)		fiber_cond_wait(__VA_ARGS__)
#define pthread_cond_timedwait(...)	fiber_cond_timedwait(__VA_ARGS__)
#define pthread_cond_signal(...)	fiber_cond_signal(__VA_ARGS__)
#define pthread_cond_broadcast(...)	fiber_cond_broadcast(__VA_ARGS__)
#define pthread_rwlock_init(...)	fiber_rwlock_init(__VA_ARGS__)
#define pthread_rwlock_destroy(...)	fiber_rwlock_destroy(__VA_ARGS__)
#define pthread_rwlock_rdlock(...)	fiber_rwlock_rdlock(__VA_ARGS__)
#define pthread_rwlock_wrlock(...)	fiber_rwlock_wrlock(__VA_ARGS__)
#define pthread_rwlock_unlock(...)	fiber_rwlock_unlock(__VA_ARGS__)
#define poll(...)			fiber_poll(__VA_ARGS__)
#define clock_gettime(...)		fiber_clock_gettime(__VA_ARGS__)
#define getrandom(...)			fiber_getrandom(__VA_ARGS__)
#define fallocate(...)			fiber_fallocate(__VA_ARGS__)
#define fdatasync(...)			fiber_fdatasync(__VA_ARGS__)
#define write(...)			fiber_write(__VA_ARGS__)
#define signal(...)			fiber_signal(__VA_ARGS__)
/* A copy for each fiber is kept by those who switch. */
#define __thread			__attribute__((section("fiber_tls")))
#endif

#endif
