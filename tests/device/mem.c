// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Guest memory: windows by address, the files behind them, sections and epochs.
 *
 * A file is mapped once and whole, however many windows show parts of it: with
 * an IOMMU in the guest there is a window for each page that a driver maps.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "log.h"
#include "mem.h"

#define MEM_WINDOWS_MAX	65535

struct mem_file {
	struct mem_file *next;
	dev_t dev;
	ino_t ino;
	uint64_t size;
	uint8_t *base;
	bool writable;
	unsigned int windows;		/* that show this file */
};

struct mem_window {
	uint64_t gpa;
	uint64_t size;
	struct mem_file *file;		/* NULL: no access but by message */
	uint64_t offset;
	unsigned int flags;
};

/*
 * A client that shortens the file behind a window makes accesses to it fail with
 * SIGBUS, and so does one whose file is of huge pages when there are none left. They
 * are let through to memory that nobody sees: a page of it or, where a page is larger
 * than that, all of the file. The thread that is hit
 * is in a section, or the socket thread, so the list of files does not change. It
 * works on the memory of one client at a time, this one.
 */
static __thread struct mem *mine;

static bool replace(void *at, uint64_t size)
{
	return mmap(at, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void handle_sigbus(int sig, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr, *page = (uint8_t *)((uintptr_t)at & ~4095ul);
	struct mem_file *file;

	for (file = mine ? mine->files : NULL; file; file = file->next) {
		if (at < file->base || at >= file->base + file->size)
			continue;
		if (replace(page, 4096) || replace(file->base, file->size))
			return;
	}
	/* Nothing of ours: the access is repeated, and ends the process. */
	signal(sig, SIG_DFL);
}

void mem_init(struct mem *mem)
{
	struct sigaction action = { .sa_sigaction = handle_sigbus, .sa_flags = SA_SIGINFO };
	pthread_rwlockattr_t attr;

	memset(mem, 0, sizeof(*mem));
	/* An unmap is not to wait for sections that begin after it. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&mem->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&mem->wait_lock, NULL);
	pthread_cond_init(&mem->wait_cond, NULL);
	mem->epoch = 1;
	sigaction(SIGBUS, &action, NULL);
}

void mem_exit(struct mem *mem)
{
	mem_unmap_all(mem);
	free(mem->windows);
	pthread_cond_destroy(&mem->wait_cond);
	pthread_mutex_destroy(&mem->wait_lock);
	pthread_rwlock_destroy(&mem->lock);
}

/* The file behind fd, mapped as far as end. */
static struct mem_file *file_get(struct mem *mem, int fd, uint64_t end, int *err)
{
	struct mem_file *file;
	struct stat st;
	void *base;

	if (fstat(fd, &st)) {
		*err = -errno;
		return NULL;
	}
	for (file = mem->files; file; file = file->next) {
		if (file->dev == st.st_dev && file->ino == st.st_ino && file->size >= end) {
			file->windows++;
			return file;
		}
	}
	/* Behind the end of the file an access would be a SIGBUS. */
	if (st.st_size <= 0 || (uint64_t)st.st_size < end) {
		*err = -EINVAL;
		return NULL;
	}
	file = calloc(1, sizeof(*file));
	if (!file) {
		*err = -ENOMEM;
		return NULL;
	}
	file->writable = true;
	base = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED && errno == EACCES) {
		file->writable = false;
		base = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	}
	if (base == MAP_FAILED) {
		*err = -errno;
		free(file);
		return NULL;
	}
	file->base = base;
	file->size = st.st_size;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->windows = 1;
	file->next = mem->files;
	mem->files = file;
	return file;
}

static void file_put(struct mem *mem, struct mem_file *file)
{
	struct mem_file **p;

	if (!file || --file->windows)
		return;
	for (p = &mem->files; *p != file; p = &(*p)->next)
		;
	*p = file->next;
	munmap(file->base, file->size);
	free(file);
}

/* The index of the first window that ends behind gpa. */
static size_t window_find(struct mem *mem, uint64_t gpa)
{
	size_t low = 0, high = mem->num_windows, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (mem->windows[mid].gpa + (mem->windows[mid].size - 1) < gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int windows_grow(struct mem *mem)
{
	size_t room = mem->room ? 2 * mem->room : 64;
	struct mem_window *windows;

	if (mem->num_windows < mem->room)
		return 0;
	windows = realloc(mem->windows, room * sizeof(*windows));
	if (!windows)
		return -ENOMEM;
	mem->windows = windows;
	mem->room = room;
	return 0;
}

static void window_insert(struct mem *mem, size_t i, const struct mem_window *window)
{
	memmove(&mem->windows[i + 1], &mem->windows[i],
		(mem->num_windows - i) * sizeof(*mem->windows));
	mem->windows[i] = *window;
	mem->num_windows++;
}

int mem_map(struct mem *mem, uint64_t gpa, uint64_t size, uint64_t offset, unsigned int flags,
	    int fd)
{
	struct mem_window window = { .gpa = gpa, .size = size, .offset = offset, .flags = flags };
	int ret = 0;
	size_t i;

	if (!size || gpa + (size - 1) < gpa || offset + size < offset)
		return -EINVAL;

	mine = mem;
	pthread_rwlock_wrlock(&mem->lock);
	i = window_find(mem, gpa);
	if (i < mem->num_windows && mem->windows[i].gpa <= gpa + (size - 1)) {
		ret = -EEXIST;
	} else if (mem->num_windows >= MEM_WINDOWS_MAX) {
		ret = -ENOSPC;
	} else {
		ret = windows_grow(mem);
		if (!ret && fd >= 0) {
			window.file = file_get(mem, fd, offset + size, &ret);
			if (window.file && !window.file->writable)
				window.flags &= ~MEM_WRITE;
		}
		if (!ret) {
			window_insert(mem, i, &window);
			mem->generation++;
		}
	}
	pthread_rwlock_unlock(&mem->lock);
	return ret;
}

/*
 * Unmap whatever is mapped of a range. A window that is only touched keeps what
 * lies outside. That nothing is mapped there is no error: a guest's IOMMU
 * invalidates more than it has mapped.
 */
void mem_unmap(struct mem *mem, uint64_t gpa, uint64_t size)
{
	uint64_t last = gpa + (size - 1);
	size_t i;

	if (!size || last < gpa)
		return;

	pthread_rwlock_wrlock(&mem->lock);
	i = window_find(mem, gpa);
	while (i < mem->num_windows && mem->windows[i].gpa <= last) {
		struct mem_window *w = &mem->windows[i];
		uint64_t w_last = w->gpa + (w->size - 1);

		if (w->gpa < gpa && w_last > last) {
			struct mem_window tail = *w;

			/* Without memory for the second half, that is unmapped too. */
			w->size = gpa - w->gpa;
			if (!windows_grow(mem)) {
				tail.gpa = last + 1;
				tail.size = w_last - last;
				tail.offset += tail.gpa - mem->windows[i].gpa;
				if (tail.file)
					tail.file->windows++;
				window_insert(mem, i + 1, &tail);
			}
			break;
		}
		if (w->gpa < gpa) {
			w->size = gpa - w->gpa;
			i++;
		} else if (w_last > last) {
			w->offset += last + 1 - w->gpa;
			w->size = w_last - last;
			w->gpa = last + 1;
			i++;
		} else {
			file_put(mem, w->file);
			mem->num_windows--;
			memmove(w, w + 1, (mem->num_windows - i) * sizeof(*w));
		}
	}
	mem->generation++;
	pthread_rwlock_unlock(&mem->lock);
}

void mem_unmap_all(struct mem *mem)
{
	size_t i;

	pthread_rwlock_wrlock(&mem->lock);
	for (i = 0; i < mem->num_windows; i++)
		file_put(mem, mem->windows[i].file);
	mem->num_windows = 0;
	mem->generation++;
	pthread_rwlock_unlock(&mem->lock);
}

static void wake_waiters(struct mem *mem)
{
	pthread_mutex_lock(&mem->wait_lock);
	pthread_cond_broadcast(&mem->wait_cond);
	pthread_mutex_unlock(&mem->wait_lock);
}

/* When this returns, nothing that was begun before it touches guest memory. */
void mem_new_epoch(struct mem *mem)
{
	pthread_rwlock_wrlock(&mem->lock);
	__atomic_add_fetch(&mem->epoch, 1, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&mem->lock);
	wake_waiters(mem);
}

void mem_set_bus_master(struct mem *mem, bool on)
{
	pthread_rwlock_wrlock(&mem->lock);
	__atomic_store_n(&mem->bus_master, on, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&mem->lock);
	wake_waiters(mem);
}

uint64_t mem_epoch(struct mem *mem)
{
	return __atomic_load_n(&mem->epoch, __ATOMIC_ACQUIRE);
}

bool mem_enter_quiet(struct mem *mem, uint64_t epoch)
{
	mine = mem;
	pthread_rwlock_rdlock(&mem->lock);
	if (mem->epoch == epoch)
		return true;
	pthread_rwlock_unlock(&mem->lock);
	return false;
}

bool mem_enter(struct mem *mem, uint64_t epoch)
{
	mine = mem;
	pthread_rwlock_rdlock(&mem->lock);
	if (mem->epoch == epoch && mem->bus_master)
		return true;
	pthread_rwlock_unlock(&mem->lock);
	return false;
}

bool mem_enter_wait(struct mem *mem, uint64_t epoch)
{
	while (!mem_enter(mem, epoch)) {
		if (mem_epoch(mem) != epoch)
			return false;
		pthread_mutex_lock(&mem->wait_lock);
		while (mem_epoch(mem) == epoch &&
		       !__atomic_load_n(&mem->bus_master, __ATOMIC_ACQUIRE))
			pthread_cond_wait(&mem->wait_cond, &mem->wait_lock);
		pthread_mutex_unlock(&mem->wait_lock);
	}
	return true;
}

void mem_leave(struct mem *mem)
{
	pthread_rwlock_unlock(&mem->lock);
}

/* How much of gpa..gpa+len is in one piece, and where. */
static void *mem_piece(struct mem *mem, uint64_t gpa, uint64_t *len, unsigned int access)
{
	size_t i = window_find(mem, gpa);
	struct mem_window *w;
	uint64_t skip;

	if (i >= mem->num_windows)
		return NULL;
	w = &mem->windows[i];
	if (w->gpa > gpa || !w->file || (w->flags & access) != access)
		return NULL;
	skip = gpa - w->gpa;
	if (*len > w->size - skip)
		*len = w->size - skip;
	return w->file->base + w->offset + skip;
}

/* The range in one piece, or NULL. Neighbouring windows may make up the piece. */
void *mem_ptr(struct mem *mem, uint64_t gpa, uint64_t len, unsigned int access)
{
	uint64_t piece = len, done;
	uint8_t *start, *p;

	if (!len || gpa + (len - 1) < gpa)
		return NULL;
	start = mem_piece(mem, gpa, &piece, access);
	if (!start)
		return NULL;
	for (done = piece; done < len; done += piece) {
		piece = len - done;
		p = mem_piece(mem, gpa + done, &piece, access);
		if (p != start + done)
			return NULL;
	}
	return start;
}

int mem_read(struct mem *mem, uint64_t gpa, void *buf, uint64_t len)
{
	uint64_t piece;
	void *p;

	if (len && gpa + (len - 1) < gpa)
		return -EFAULT;
	for (; len; len -= piece, gpa += piece, buf = (uint8_t *)buf + piece) {
		piece = len;
		p = mem_piece(mem, gpa, &piece, MEM_READ);
		if (!p)
			return -EFAULT;
		memcpy(buf, p, piece);
	}
	return 0;
}

int mem_write(struct mem *mem, uint64_t gpa, const void *buf, uint64_t len)
{
	uint64_t piece;
	void *p;

	if (len && gpa + (len - 1) < gpa)
		return -EFAULT;
	for (; len; len -= piece, gpa += piece, buf = (const uint8_t *)buf + piece) {
		piece = len;
		p = mem_piece(mem, gpa, &piece, MEM_WRITE);
		if (!p)
			return -EFAULT;
		memcpy(p, buf, piece);
	}
	return 0;
}
