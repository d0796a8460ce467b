/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * Guest memory: that of one client, as it is seen by one PCI function.
 *
 * The client gives windows of guest memory (VFIO_USER_DMA_MAP) and takes them
 * back. All that the device reads and writes there, it reads and writes in a
 * section: between mem_enter() and mem_leave(). A section is short: it copies,
 * and never waits for a file, a socket or another thread. So two things that a
 * device must be able to promise cost one lock:
 *
 *  - a window that was unmapped is not accessed any more: mem_unmap() waits for
 *    the sections that are open;
 *  - a device that was reset neither reads, writes nor interrupts: every
 *    section names the epoch in which its work was begun, a reset begins
 *    another one, and a section of an old epoch is refused.
 *
 * What a backend needs longer than a section goes through its own buffer.
 */
#ifndef TVQ_MEM_H
#define TVQ_MEM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of guest memory that a descriptor names. */
struct mem_seg {
	uint64_t gpa;
	uint32_t len;
};

struct mem_file;
struct mem_window;

struct mem {
	/*
	 * Guards everything below. Held for reading by sections, for writing by
	 * the socket thread alone when it maps, unmaps, resets, or changes
	 * bus_master. The outermost of all locks but tvq.h says otherwise.
	 */
	pthread_rwlock_t lock;
	struct mem_window *windows;	/* by rising address, not overlapping */
	size_t num_windows;
	size_t room;
	struct mem_file *files;
	uint64_t generation;		/* moves with every map and unmap */
	uint64_t epoch;			/* moves with every reset; read without the lock too */
	bool bus_master;

	/* To wait for bus_master or another epoch. wait_lock guards nothing else. */
	pthread_mutex_t wait_lock;
	pthread_cond_t wait_cond;
};

#define MEM_READ	1u
#define MEM_WRITE	2u

void mem_init(struct mem *mem);
void mem_exit(struct mem *mem);

/* For the socket thread. The fd stays the caller's; -1 for a window without one. */
int mem_map(struct mem *mem, uint64_t gpa, uint64_t size, uint64_t offset, unsigned int flags,
	    int fd);
void mem_unmap(struct mem *mem, uint64_t gpa, uint64_t size);
void mem_unmap_all(struct mem *mem);
void mem_new_epoch(struct mem *mem);
void mem_set_bus_master(struct mem *mem, bool on);

uint64_t mem_epoch(struct mem *mem);

/*
 * mem_enter() refuses while the function is not bus master; mem_enter_wait()
 * waits for that; mem_enter_quiet() is for what only decides whether to send an
 * interrupt, and does not care. All refuse an epoch that is over.
 */
bool mem_enter(struct mem *mem, uint64_t epoch);
bool mem_enter_wait(struct mem *mem, uint64_t epoch);
bool mem_enter_quiet(struct mem *mem, uint64_t epoch);
void mem_leave(struct mem *mem);

/* In a section (or in the socket thread, which is the only one that changes the windows). */
void *mem_ptr(struct mem *mem, uint64_t gpa, uint64_t len, unsigned int access);
int mem_read(struct mem *mem, uint64_t gpa, void *buf, uint64_t len);
int mem_write(struct mem *mem, uint64_t gpa, const void *buf, uint64_t len);

#endif
