// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Block device over a sparse file.
 *
 * A device with a name keeps its data in NAME.img of the disk directory, where
 * the next device of that name finds it. One without has a file that is gone
 * with it. A file grows with the capacity, and is never cut off.
 *
 * The worker of the device takes requests from the queues and gives them back.
 * What is between, reading and writing guest memory and the file, is done by up
 * to THREADS threads of the device, so that a slow request holds nothing up: not
 * the requests behind it, and not commands. They are started when there is work
 * for them, and end with a reset, which waits for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mdev.h"

#define SECTOR			512u
#define DEFAULT_CAPACITY	((64ull << 20) / SECTOR)
#define MAX_CAPACITY		(1ull << 41)
#define BOUNCE			(256u << 10)
#define SEG_MAX			126
#define SIZE_MAX_SEG		(1u << 20)
#define THREADS			4
#define DISCARD_MAX_SECTORS	(1u << 22)
#define DISCARD_MAX_SEG		16

/* struct virtio_blk_config, to write_zeroes_may_unmap and its padding */
#define CONFIG_LEN		60
#define CONFIG(field)		offsetof(struct virtio_blk_config, field)
static_assert(CONFIG(write_zeroes_may_unmap) + 4 == CONFIG_LEN, "virtio_blk_config");

/* The header that begins every request. */
struct blk_hdr {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

struct blk_range {
	uint64_t sector;
	uint32_t num;
	uint32_t flags;
};

/* A request, from when the worker takes it to when it gives it back. */
struct blk_req {
	struct blk_req *next;		/* of its queue, in the order in which they were taken */
	struct blk_req *next_todo;
	struct mdev *mdev;
	struct virtq *vq;
	struct vq_chain chain;
	struct blk_hdr hdr;
	/* As they were when it was taken */
	uint64_t epoch;
	uint64_t capacity;
	uint64_t features;
	bool write_through;
	/* What came of it */
	bool done;			/* under blk.lock */
	int ret;			/* -ECANCELED: a reset came, and nobody asks */
	uint64_t in;			/* bytes written, without the status */
};

struct blk_queue {
	struct blk_req *first;
	struct blk_req **last;
	uint32_t num;
};

struct blk_thread {
	pthread_t thread;
	struct blk *blk;
	uint8_t *bounce;
};

struct blk {
	int fd;
	struct blk_thread threads[THREADS];
	unsigned int num_threads;
	struct blk_thread self;		/* the worker, where there can be no other */
	struct blk_req *unused;

	/* lock guards the rest. */
	pthread_mutex_t lock;
	pthread_cond_t work;		/* todo has grown, or stop is set */
	pthread_cond_t finished;	/* a request is done */
	struct blk_queue *queues;
	struct blk_req *todo;
	struct blk_req **last_todo;
	unsigned int num_todo;
	unsigned int num_waiting;	/* threads without work */
	bool stop;
};

static void config_put(struct mdev *mdev, unsigned int at, uint64_t value, unsigned int len)
{
	value = htole64(value);
	memcpy(&mdev->config[at], &value, len);
}

static uint64_t blk_default_features(const struct mdev_params *params)
{
	/* Who wants a disk that cannot be written asks for it. */
	uint64_t features = blk_type.features & ~BIT64(VIRTIO_BLK_F_RO);

	return params->vqs > 1 ? features : features & ~BIT64(VIRTIO_BLK_F_MQ);
}

static bool blk_features_ok(uint64_t features)
{
	return true;
}

static bool blk_init_field(struct mdev_params *params, uint16_t offset, uint16_t len,
			   const uint8_t *data)
{
	uint64_t value;

	if (offset != CONFIG(capacity) || len != sizeof(value))
		return false;
	memcpy(&value, data, sizeof(value));
	params->capacity = le64toh(value);
	params->have_capacity = true;
	return true;
}

static bool blk_params_ok(const struct mdev_params *params, uint64_t features)
{
	if (params->have_mac || params->have_mtu)
		return false;
	return !params->have_capacity || (params->capacity && params->capacity <= MAX_CAPACITY);
}

static uint32_t blk_num_vqs(const struct mdev_params *params)
{
	return params->vqs;
}

static uint16_t blk_queue_size(struct mdev *mdev, uint16_t index)
{
	return mdev->tvq->opt.queue_size ? mdev->tvq->opt.queue_size : 256;
}

/* Make the file as long as sectors, if it is shorter. */
static int grow(int fd, uint64_t sectors)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size < sectors * SECTOR && ftruncate(fd, sectors * SECTOR))
		return -errno;
	return 0;
}

static int open_file(struct mdev *mdev)
{
	char path[4096];
	int fd, ret;

	if (mdev->params.name[0]) {
		snprintf(path, sizeof(path), "%s/%s.img", mdev->tvq->disk_dir, mdev->params.name);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	} else if (mdev->tvq->opt.state_dir) {
		/* It has to be found again by the next process. */
		snprintf(path, sizeof(path), "%s/.device-%llu.img", mdev->tvq->disk_dir,
			 (unsigned long long)mdev->id);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	} else {
		snprintf(path, sizeof(path), "%s/.anonymous-XXXXXX", mdev->tvq->disk_dir);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	/* Another process may have a device of the same name. */
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		fd = -1;
	}
	if (fd < 0) {
		ret = -errno;
		log_error("disk file %s: %s", path, strerror(errno));
		return ret;
	}
	return fd;
}

static int backend_error(int err)
{
	return err == -ENOSPC || err == -EFBIG || err == -EDQUOT ? CMD_ERR(ENOSPC, BACKEND) :
								   CMD_ERR(EINVAL, BACKEND);
}

static void blk_free(struct blk *blk)
{
	if (blk->fd >= 0)
		close(blk->fd);
	pthread_mutex_destroy(&blk->lock);
	pthread_cond_destroy(&blk->work);
	pthread_cond_destroy(&blk->finished);
	free(blk->queues);
	free(blk->self.bounce);
	free(blk);
}

static struct blk *blk_alloc(uint16_t num_vqs)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	uint16_t i;

	if (!blk)
		return NULL;
	blk->fd = -1;
	pthread_mutex_init(&blk->lock, NULL);
	pthread_cond_init(&blk->work, NULL);
	pthread_cond_init(&blk->finished, NULL);
	blk->last_todo = &blk->todo;
	blk->self.blk = blk;
	blk->self.bounce = malloc(BOUNCE);
	blk->queues = calloc(num_vqs, sizeof(*blk->queues));
	if (!blk->self.bounce || !blk->queues) {
		blk_free(blk);
		return NULL;
	}
	for (i = 0; i < num_vqs; i++)
		blk->queues[i].last = &blk->queues[i].first;
	return blk;
}

static int blk_create(struct mdev *mdev)
{
	struct blk *blk = blk_alloc(mdev->num_vqs);
	struct stat st;
	int ret;

	if (!blk)
		return CMD_ERR(ENOMEM, NONE);
	ret = open_file(mdev);
	if (ret >= 0) {
		blk->fd = ret;
		ret = fstat(blk->fd, &st) ? -errno : 0;
		if (!ret && !S_ISREG(st.st_mode))
			ret = -EINVAL;
	}
	/* Without a capacity it is what it was, if there is anything yet. */
	if (!ret && !mdev->params.have_capacity) {
		mdev->params.have_capacity = true;
		mdev->params.capacity = st.st_size / SECTOR;
		if (!mdev->params.capacity)
			mdev->params.capacity = DEFAULT_CAPACITY;
		if (mdev->params.capacity > MAX_CAPACITY)
			mdev->params.capacity = MAX_CAPACITY;
	}
	if (!ret)
		ret = grow(blk->fd, mdev->params.capacity);
	if (ret) {
		log_error("disk of device %llu: %s", (unsigned long long)mdev->id, strerror(-ret));
		blk_free(blk);
		return backend_error(ret);
	}
	mdev->priv = blk;
	blk_type.reset(mdev);
	return 0;
}

static void blk_destroy(struct mdev *mdev)
{
	struct blk *blk = mdev->priv;
	char path[4096];

	if (fdatasync(blk->fd))
		log_error("disk of device %llu: %s", (unsigned long long)mdev->id, strerror(errno));
	if (mdev->dying && !mdev->params.name[0] && mdev->tvq->opt.state_dir) {
		snprintf(path, sizeof(path), "%s/.device-%llu.img", mdev->tvq->disk_dir,
			 (unsigned long long)mdev->id);
		unlink(path);
	}
	blk_free(blk);
}

static void req_free(struct blk_req *req)
{
	vq_chain_free(&req->chain);
	free(req);
}

/* Forget the requests of a queue. None of them is at work any more. With lock. */
static void drop_requests(struct blk_queue *queue)
{
	struct blk_req *req;

	while ((req = queue->first)) {
		queue->first = req->next;
		req_free(req);
	}
	queue->last = &queue->first;
	queue->num = 0;
}

/* Wait for what the threads are doing, and forget what they have not begun. */
static void quiesce(struct mdev *mdev)
{
	struct blk *blk = mdev->priv;
	struct blk_req *req;
	unsigned int i;

	pthread_mutex_lock(&blk->lock);
	blk->stop = true;
	pthread_cond_broadcast(&blk->work);
	pthread_mutex_unlock(&blk->lock);
	for (i = 0; i < blk->num_threads; i++) {
		pthread_join(blk->threads[i].thread, NULL);
		free(blk->threads[i].bounce);
	}
	pthread_mutex_lock(&blk->lock);
	blk->num_threads = 0;
	blk->stop = false;
	blk->todo = NULL;
	blk->last_todo = &blk->todo;
	blk->num_todo = 0;
	for (i = 0; i < mdev->num_vqs; i++)
		drop_requests(&blk->queues[i]);
	pthread_mutex_unlock(&blk->lock);
	while ((req = blk->unused)) {
		blk->unused = req->next;
		req_free(req);
	}
}

/* The queue is reset: behind this, nobody uses its buffers. */
static void blk_stop_queue(struct mdev *mdev, struct virtq *vq)
{
	struct blk *blk = mdev->priv;
	struct blk_queue *queue = &blk->queues[vq->index];
	struct blk_req **p, *req;

	pthread_mutex_lock(&blk->lock);
	for (p = &blk->todo; (req = *p); ) {
		if (req->vq == vq) {
			*p = req->next_todo;
			blk->num_todo--;
			req->done = true;
		} else {
			p = &req->next_todo;
		}
	}
	blk->last_todo = p;
	for (req = queue->first; req; ) {
		if (req->done)
			req = req->next;
		else
			pthread_cond_wait(&blk->finished, &blk->lock);
	}
	drop_requests(queue);
	pthread_mutex_unlock(&blk->lock);
}

static bool blk_config_ok(struct mdev *mdev, uint64_t features, const uint8_t *config)
{
	uint8_t wce = config[CONFIG(wce)];

	return wce == 1 || (!wce && (features & BIT64(VIRTIO_BLK_F_CONFIG_WCE)));
}

/* Queues, which are empty, in another number */
static int blk_provision(struct mdev *mdev, struct mdev_params *params, uint32_t num_vqs)
{
	struct blk_queue *queues = calloc(num_vqs, sizeof(*queues));
	struct blk *blk = mdev->priv;
	uint32_t i;

	if (!queues)
		return CMD_ERR(ENOMEM, NONE);
	for (i = 0; i < num_vqs; i++)
		queues[i].last = &queues[i].first;
	pthread_mutex_lock(&blk->lock);
	free(blk->queues);
	blk->queues = queues;
	pthread_mutex_unlock(&blk->lock);
	return 0;
}

/* Configuration as it was provisioned. The generation tells if that is a change. */
static void blk_reset(struct mdev *mdev)
{
	uint32_t seg_max = blk_queue_size(mdev, 0) - 2;	/* with header and status */
	uint8_t old[MDEV_CONFIG_MAX];

	if (!seg_max)
		seg_max = 1;	/* that takes an indirect descriptor */
	if (seg_max > SEG_MAX)
		seg_max = SEG_MAX;
	quiesce(mdev);
	pthread_mutex_lock(&mdev->lock);
	memcpy(old, mdev->config, sizeof(old));
	memset(mdev->config, 0, sizeof(mdev->config));
	config_put(mdev, CONFIG(capacity), mdev->params.capacity, 8);
	config_put(mdev, CONFIG(size_max), SIZE_MAX_SEG, 4);
	config_put(mdev, CONFIG(seg_max), seg_max, 4);
	config_put(mdev, CONFIG(blk_size), SECTOR, 4);
	config_put(mdev, CONFIG(physical_block_exp), 3, 1);
	config_put(mdev, CONFIG(opt_io_size), BOUNCE / SECTOR, 4);
	config_put(mdev, CONFIG(wce), 1, 1);
	config_put(mdev, CONFIG(num_queues), mdev->num_vqs, 2);
	config_put(mdev, CONFIG(max_discard_sectors), DISCARD_MAX_SECTORS, 4);
	config_put(mdev, CONFIG(max_discard_seg), DISCARD_MAX_SEG, 4);
	config_put(mdev, CONFIG(discard_sector_alignment), 4096 / SECTOR, 4);
	config_put(mdev, CONFIG(max_write_zeroes_sectors), DISCARD_MAX_SECTORS, 4);
	config_put(mdev, CONFIG(max_write_zeroes_seg), DISCARD_MAX_SEG, 4);
	config_put(mdev, CONFIG(write_zeroes_may_unmap), 1, 1);
	if (memcmp(old, mdev->config, sizeof(old)))
		mdev->generation++;
	pthread_mutex_unlock(&mdev->lock);
}

static bool blk_config_write(struct mdev *mdev, uint32_t offset, const uint8_t *data,
			     uint32_t len)
{
	uint8_t wce;

	if (!mdev_has(mdev, VIRTIO_BLK_F_CONFIG_WCE) || offset > CONFIG(wce) ||
	    len <= CONFIG(wce) - offset)
		return false;
	wce = data[CONFIG(wce) - offset] & 1;
	if (wce == mdev->config[CONFIG(wce)])
		return false;
	pthread_mutex_lock(&mdev->lock);
	mdev->config[CONFIG(wce)] = wce;
	pthread_mutex_unlock(&mdev->lock);
	return true;
}

/* Whether data must be stable when a write is answered. */
static bool write_through(struct mdev *mdev)
{
	return !mdev_has(mdev, VIRTIO_BLK_F_FLUSH) ||
	       (mdev_has(mdev, VIRTIO_BLK_F_CONFIG_WCE) && !mdev->config[CONFIG(wce)]);
}

static bool range_ok(const struct blk_req *req, uint64_t sector, uint64_t num)
{
	return sector <= req->capacity && num <= req->capacity - sector;
}

/*
 * Requests, in any thread. -ECANCELED: the device was reset in the meantime.
 */

static int full_pread(int fd, uint8_t *buf, size_t len, off_t at)
{
	ssize_t n;

	for (; len; len -= n, buf += n, at += n) {
		n = pread(fd, buf, len, at);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0) {
			n = 0;
		} else if (!n) {
			/* Somebody else has cut the file off: what is not there reads as zeroes. */
			memset(buf, 0, len);
			n = len;
		}
	}
	return 0;
}

static int full_pwrite(int fd, const uint8_t *buf, size_t len, off_t at)
{
	ssize_t n;

	for (; len; len -= n, buf += n, at += n) {
		n = pwrite(fd, buf, len, at);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -errno;
	}
	return 0;
}

static int do_read(struct blk_thread *self, struct blk_req *req, uint64_t sector, uint64_t len)
{
	struct mem *mem = req->mdev->mem;
	uint64_t done, part;
	int ret;

	if (len % SECTOR || !range_ok(req, sector, len / SECTOR))
		return -EINVAL;
	for (done = 0; done < len; done += part) {
		part = len - done < BOUNCE ? len - done : BOUNCE;
		ret = full_pread(self->blk->fd, self->bounce, part, sector * SECTOR + done);
		if (ret)
			return ret;
		if (!mem_enter_wait(mem, req->epoch))
			return -ECANCELED;
		ret = vq_write(mem, &req->chain, done, self->bounce, part);
		mem_leave(mem);
		if (ret)
			return ret;
	}
	return 0;
}

/* Whatever is not in the file for good is, when this returns. */
static int stable(struct blk *blk)
{
	return fdatasync(blk->fd) ? -errno : 0;
}

static int do_write(struct blk_thread *self, struct blk_req *req, uint64_t sector, uint64_t len)
{
	struct mem *mem = req->mdev->mem;
	uint64_t done, part;
	int ret;

	if (len % SECTOR || !range_ok(req, sector, len / SECTOR))
		return -EINVAL;
	for (done = 0; done < len; done += part) {
		part = len - done < BOUNCE ? len - done : BOUNCE;
		if (!mem_enter_wait(mem, req->epoch))
			return -ECANCELED;
		ret = vq_read(mem, &req->chain, sizeof(struct blk_hdr) + done, self->bounce, part);
		mem_leave(mem);
		if (ret)
			return ret;
		ret = full_pwrite(self->blk->fd, self->bounce, part, sector * SECTOR + done);
		if (ret)
			return ret;
	}
	return req->write_through ? stable(self->blk) : 0;
}

static int zero_range(struct blk_thread *self, uint64_t at, uint64_t len, bool unmap)
{
	int fd = self->blk->fd, mode, ret;
	uint64_t part;

	mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE :
		       FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	if (!len || !fallocate(fd, mode, at, len))
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	/* The filesystem cannot. */
	memset(self->bounce, 0, BOUNCE);
	for (; len; len -= part, at += part) {
		part = len < BOUNCE ? len : BOUNCE;
		ret = full_pwrite(fd, self->bounce, part, at);
		if (ret)
			return ret;
	}
	return 0;
}

/* DISCARD and WRITE_ZEROES: all ranges are checked before one is touched. */
static int do_ranges(struct blk_thread *self, struct blk_req *req, uint64_t len, bool discard)
{
	struct mem *mem = req->mdev->mem;
	struct blk_range range[DISCARD_MAX_SEG];
	unsigned int i, num = len / sizeof(range[0]);
	uint32_t flags;
	int ret;

	if (len % sizeof(range[0]) || !num || num > DISCARD_MAX_SEG)
		return -EINVAL;
	if (!mem_enter_wait(mem, req->epoch))
		return -ECANCELED;
	ret = vq_read(mem, &req->chain, sizeof(struct blk_hdr), range, len);
	mem_leave(mem);
	if (ret)
		return ret;
	for (i = 0; i < num; i++) {
		flags = le32toh(range[i].flags);
		/* Only write-zeroes has a flag, the one that allows to unmap. */
		if (flags & ~(discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
			return -EOPNOTSUPP;
		if (le32toh(range[i].num) > DISCARD_MAX_SECTORS ||
		    !range_ok(req, le64toh(range[i].sector), le32toh(range[i].num)))
			return -EINVAL;
	}
	for (i = 0; i < num; i++) {
		ret = zero_range(self, le64toh(range[i].sector) * SECTOR,
				 (uint64_t)le32toh(range[i].num) * SECTOR,
				 discard || le32toh(range[i].flags));
		if (ret)
			return ret;
	}
	return req->write_through ? stable(self->blk) : 0;
}

static int do_get_id(struct blk_req *req, uint64_t len)
{
	const char *serial = req->mdev->params.serial;
	struct mem *mem = req->mdev->mem;
	uint8_t id[VIRTIO_BLK_ID_BYTES] = { 0 };
	int ret;

	memcpy(id, serial, strnlen(serial, sizeof(id)));
	if (len > sizeof(id))
		len = sizeof(id);
	if (!mem_enter_wait(mem, req->epoch))
		return -ECANCELED;
	ret = vq_write(mem, &req->chain, 0, id, len);
	mem_leave(mem);
	return ret;
}

static int do_request(struct blk_thread *self, struct blk_req *req)
{
	uint64_t out_len = req->chain.out_len - sizeof(req->hdr), in_len = req->chain.in_len - 1;
	uint64_t sector = le64toh(req->hdr.sector);
	uint32_t type = le32toh(req->hdr.type);
	int ret;

	if ((req->mdev->features & BIT64(VIRTIO_BLK_F_RO)) &&
	    (type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD ||
	     type == VIRTIO_BLK_T_WRITE_ZEROES))
		return -EROFS;
	switch (type) {
	case VIRTIO_BLK_T_IN:
		ret = do_read(self, req, sector, in_len);
		req->in = ret ? 0 : in_len;
		return ret;
	case VIRTIO_BLK_T_OUT:
		return do_write(self, req, sector, out_len);
	case VIRTIO_BLK_T_FLUSH:
		return req->features & BIT64(VIRTIO_BLK_F_FLUSH) ? stable(self->blk) : -EOPNOTSUPP;
	case VIRTIO_BLK_T_GET_ID:
		ret = do_get_id(req, in_len);
		req->in = ret ? 0 : in_len < VIRTIO_BLK_ID_BYTES ? in_len : VIRTIO_BLK_ID_BYTES;
		return ret;
	case VIRTIO_BLK_T_DISCARD:
		return req->features & BIT64(VIRTIO_BLK_F_DISCARD) ?
		       do_ranges(self, req, out_len, true) : -EOPNOTSUPP;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return req->features & BIT64(VIRTIO_BLK_F_WRITE_ZEROES) ?
		       do_ranges(self, req, out_len, false) : -EOPNOTSUPP;
	default:
		return -EOPNOTSUPP;
	}
}

static struct blk_req *take_todo(struct blk *blk)
{
	struct blk_req *req = blk->todo;

	if (req) {
		blk->todo = req->next_todo;
		if (!blk->todo)
			blk->last_todo = &blk->todo;
		blk->num_todo--;
	}
	return req;
}

/* With lock; without it meanwhile. */
static void run(struct blk_thread *self, struct blk_req *req)
{
	struct blk *blk = self->blk;
	struct mdev *mdev = req->mdev;
	uint16_t index = req->vq->index;

	pthread_mutex_unlock(&blk->lock);
	/* ret is not 0 where the header could not be read. */
	if (!req->ret)
		req->ret = do_request(self, req);
	pthread_mutex_lock(&blk->lock);
	req->done = true;
	pthread_cond_broadcast(&blk->finished);
	mdev_kick_queue(mdev, index);
}

static void *blk_thread(void *arg)
{
	struct blk_thread *self = arg;
	struct blk *blk = self->blk;
	struct blk_req *req;

	pthread_mutex_lock(&blk->lock);
	while (!blk->stop) {
		req = take_todo(blk);
		if (req) {
			run(self, req);
			mailbox_wake(&req->mdev->mbox);
		} else {
			blk->num_waiting++;
			pthread_cond_wait(&blk->work, &blk->lock);
			blk->num_waiting--;
		}
	}
	pthread_mutex_unlock(&blk->lock);
	return NULL;
}

/* Have the requests of todo done. In the worker, with lock. */
static void start_work(struct blk *blk)
{
	struct blk_thread *t = &blk->threads[blk->num_threads];
	struct blk_req *req;
	unsigned int i;

	while (blk->num_todo > blk->num_waiting && blk->num_threads < THREADS) {
		t->blk = blk;
		t->bounce = malloc(BOUNCE);
		if (!t->bounce || pthread_create(&t->thread, NULL, blk_thread, t)) {
			free(t->bounce);
			break;
		}
		blk->num_threads++;
		t++;
	}
	if (blk->num_threads) {
		for (i = 0; i < blk->num_todo && i < blk->num_waiting; i++)
			pthread_cond_signal(&blk->work);
		return;
	}
	while ((req = take_todo(blk))) {
		run(&blk->self, req);
		mailbox_wake(&req->mdev->mbox);
	}
}

/*
 * Queues, in the worker
 */

/*
 * Take one request off a queue: 1, or 0 without one. In a section. A driver that
 * makes available more than the ring holds, by not waiting for what it gets back,
 * waits.
 */
static int take_request(struct mdev *mdev, struct virtq *vq)
{
	struct blk *blk = mdev->priv;
	struct blk_queue *queue = &blk->queues[vq->index];
	struct blk_req *req = blk->unused;

	if (queue->num >= vq->size)
		return 0;
	if (req)
		blk->unused = req->next;
	else
		req = calloc(1, sizeof(*req));
	if (!req) {
		vq->broken = true;
		return 0;
	}
	if (vq_pop(vq, &req->chain) <= 0) {
		req->next = blk->unused;
		blk->unused = req;
		return 0;
	}
	/* Without a header there is no request, without a status byte no answer. */
	if (req->chain.out_len < sizeof(req->hdr) || !req->chain.in_len) {
		vq->broken = true;
		req_free(req);
		log_warn("device %llu: a request without header or status",
			 (unsigned long long)mdev->id);
		return 0;
	}
	req->next = NULL;
	req->next_todo = NULL;
	req->mdev = mdev;
	req->vq = vq;
	req->epoch = mdev->epoch;
	req->capacity = mdev->params.capacity;
	req->features = mdev->driver_features;
	req->write_through = write_through(mdev);
	req->done = false;
	req->in = 0;
	req->ret = vq_read(mdev->mem, &req->chain, 0, &req->hdr, sizeof(req->hdr));

	pthread_mutex_lock(&blk->lock);
	*queue->last = req;
	queue->last = &req->next;
	queue->num++;
	*blk->last_todo = req;
	blk->last_todo = &req->next_todo;
	blk->num_todo++;
	pthread_mutex_unlock(&blk->lock);
	return 1;
}

/* Give a request back. In a section. */
static void give_back(struct mdev *mdev, struct virtq *vq, struct blk_req *req)
{
	uint8_t status = !req->ret ? VIRTIO_BLK_S_OK :
			 req->ret == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;

	/* The status is the last byte. */
	if (!vq_write(mdev->mem, &req->chain, req->chain.in_len - 1, &status, 1))
		req->in++;
	vq_fill(vq, &req->chain, req->in);
}

/* Give back what is done. In a section. */
static void finish_requests(struct mdev *mdev, struct virtq *vq)
{
	struct blk *blk = mdev->priv;
	struct blk_queue *queue = &blk->queues[vq->index];
	struct blk_req **p = &queue->first, *req, *done = NULL, **last = &done;

	pthread_mutex_lock(&blk->lock);
	while ((req = *p)) {
		if (!req->done) {
			if (mdev_has(mdev, F_IN_ORDER))
				break;
			p = &req->next;
			continue;
		}
		*p = req->next;
		queue->num--;
		*last = req;
		last = &req->next;
	}
	if (!*p)
		queue->last = p;
	pthread_mutex_unlock(&blk->lock);
	*last = NULL;
	if (!done)
		return;
	for (req = done; req; req = req->next)
		give_back(mdev, vq, req);
	vq_flush(vq);
	mdev_notify(mdev, vq);
	*last = blk->unused;
	blk->unused = done;
}

/*
 * Have all requests done that were taken, and give them back. What the threads have
 * not begun, they begin: a queue is not left in the middle of what was taken.
 */
static void blk_stop(struct mdev *mdev)
{
	struct blk *blk = mdev->priv;
	struct blk_req *req;
	uint16_t i;

	pthread_mutex_lock(&blk->lock);
	for (i = 0; i < mdev->num_vqs; i++) {
		for (req = blk->queues[i].first; req; ) {
			if (req->done)
				req = req->next;
			else
				pthread_cond_wait(&blk->finished, &blk->lock);
		}
	}
	pthread_mutex_unlock(&blk->lock);
	for (i = 0; i < mdev->num_vqs; i++) {
		/* Behind a reset there is nobody to give them to. */
		if (blk->queues[i].first && mem_enter_wait(mdev->mem, mdev->epoch)) {
			finish_requests(mdev, &mdev->vqs[i]);
			mem_leave(mdev->mem);
		}
	}
}

static bool blk_serve(struct mdev *mdev, struct virtq *vq)
{
	struct mem *mem = mdev->mem;
	struct blk *blk = mdev->priv;
	unsigned int budget;
	bool more = true;

	/* Refused before a reset, or while the function is not bus master: kicked behind it. */
	if (!mem_enter(mem, mdev->epoch))
		return false;
	finish_requests(mdev, vq);
	for (budget = MDEV_BUDGET; budget && more; ) {
		vq_disable_notify(vq);
		while (budget && take_request(mdev, vq))
			budget--;
		if (!budget)
			break;
		/* A queue that is full is looked at again when something is done. */
		more = !vq->broken && blk->queues[vq->index].num < vq->size &&
		       vq_enable_notify(vq);
	}
	mem_leave(mem);
	pthread_mutex_lock(&blk->lock);
	start_work(blk);
	pthread_mutex_unlock(&blk->lock);
	return more;
}

static int blk_resize(struct mdev *mdev, uint64_t sectors)
{
	struct blk *blk = mdev->priv;
	int ret;

	if (!sectors || sectors > MAX_CAPACITY)
		return -EINVAL;
	ret = grow(blk->fd, sectors);
	if (ret)
		return ret;
	pthread_mutex_lock(&mdev->lock);
	mdev->params.capacity = sectors;
	config_put(mdev, CONFIG(capacity), sectors, 8);
	pthread_mutex_unlock(&mdev->lock);
	mdev_config_changed(mdev);
	return 0;
}

static void blk_describe(struct mdev *mdev, char *text, size_t size)
{
	unsigned long long capacity = mdev->params.capacity;

	snprintf(text, size, "capacity=%llu%s%s", capacity * SECTOR,
		 mdev->params.serial[0] ? " serial=" : "", mdev->params.serial);
}

const struct mdev_type blk_type = {
	.type = 2,
	.name = "blk",
	.has_config_interrupt = true,
	.config_len = CONFIG_LEN,
	.has_serial = true,
	.features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) | BIT64(F_RING_INDIRECT) |
		    BIT64(F_RING_EVENT_IDX) | BIT64(F_RING_RESET) | BIT64(VIRTIO_BLK_F_SIZE_MAX) |
		    BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_RO) |
		    BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_FLUSH) |
		    BIT64(VIRTIO_BLK_F_TOPOLOGY) | BIT64(VIRTIO_BLK_F_CONFIG_WCE) |
		    BIT64(VIRTIO_BLK_F_MQ) | BIT64(VIRTIO_BLK_F_DISCARD) |
		    BIT64(VIRTIO_BLK_F_WRITE_ZEROES),
	.default_features = blk_default_features,
	.features_ok = blk_features_ok,
	.init_field = blk_init_field,
	.params_ok = blk_params_ok,
	.num_vqs = blk_num_vqs,
	.queue_size = blk_queue_size,
	.create = blk_create,
	.destroy = blk_destroy,
	.reset = blk_reset,
	.stop_queue = blk_stop_queue,
	.config_write = blk_config_write,
	.serve = blk_serve,
	.stop = blk_stop,
	.config_driver = { CONFIG(wce), 1 },
	.config_live = { CONFIG(capacity), 8 },
	.config_ok = blk_config_ok,
	.provision = blk_provision,
	.resize = blk_resize,
	.describe = blk_describe,
};
