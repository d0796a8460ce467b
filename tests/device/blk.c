// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Block device over a sparse file.
 *
 * A device with a name keeps its data in NAME.img of the disk directory, where
 * the next device of that name finds it. One without has a file that is gone
 * with it. A file grows with the capacity, and is never cut off.
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
#define DISCARD_MAX_SECTORS	(1u << 22)
#define DISCARD_MAX_SEG		16

/* struct virtio_blk_config, to write_zeroes_may_unmap and its padding */
#define CONFIG_LEN		60
#define CONFIG(field)		offsetof(struct virtio_blk_config, field)
static_assert(CONFIG(write_zeroes_may_unmap) + 4 == CONFIG_LEN, "virtio_blk_config");

struct blk {
	int fd;
	uint8_t *bounce;
	struct vq_chain chain;
};

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

static void config_put(struct mdev *mdev, unsigned int at, uint64_t value, unsigned int len)
{
	value = htole64(value);
	memcpy(&mdev->config[at], &value, len);
}

static uint64_t blk_default_features(const struct mdev_params *params)
{
	uint64_t features = blk_type.features;

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

static int blk_create(struct mdev *mdev)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	struct stat st;
	int ret;

	if (!blk)
		return CMD_ERR(ENOMEM, NONE);
	blk->bounce = malloc(BOUNCE);
	if (!blk->bounce) {
		free(blk);
		return CMD_ERR(ENOMEM, NONE);
	}
	blk->fd = open_file(mdev);
	ret = blk->fd;
	if (ret >= 0) {
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
		if (blk->fd >= 0)
			close(blk->fd);
		free(blk->bounce);
		free(blk);
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
	close(blk->fd);
	if (mdev->dying && !mdev->params.name[0] && mdev->tvq->opt.state_dir) {
		snprintf(path, sizeof(path), "%s/.device-%llu.img", mdev->tvq->disk_dir,
			 (unsigned long long)mdev->id);
		unlink(path);
	}
	vq_chain_free(&blk->chain);
	free(blk->bounce);
	free(blk);
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
	pthread_mutex_lock(&mdev->lock);
	memcpy(old, mdev->config, sizeof(old));
	memset(mdev->config, 0, sizeof(mdev->config));
	config_put(mdev, CONFIG(capacity), mdev->params.capacity, 8);
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

static bool range_ok(struct mdev *mdev, uint64_t sector, uint64_t num)
{
	uint64_t capacity = mdev->params.capacity;

	return sector <= capacity && num <= capacity - sector;
}

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

/* -ECANCELED: the device was reset in the meantime. */
static int do_read(struct mdev *mdev, uint64_t sector, uint64_t len)
{
	struct blk *blk = mdev->priv;
	uint64_t done, part;
	int ret;

	if (len % SECTOR || !range_ok(mdev, sector, len / SECTOR))
		return -EINVAL;
	for (done = 0; done < len; done += part) {
		part = len - done < BOUNCE ? len - done : BOUNCE;
		ret = full_pread(blk->fd, blk->bounce, part, sector * SECTOR + done);
		if (ret)
			return ret;
		if (!mem_enter_wait(&mdev->tvq->mem, mdev->epoch))
			return -ECANCELED;
		ret = vq_write(&mdev->tvq->mem, &blk->chain, done, blk->bounce, part);
		mem_leave(&mdev->tvq->mem);
		if (ret)
			return ret;
	}
	return 0;
}

static int do_write(struct mdev *mdev, uint64_t sector, uint64_t len)
{
	struct blk *blk = mdev->priv;
	uint64_t done, part;
	int ret;

	if (len % SECTOR || !range_ok(mdev, sector, len / SECTOR))
		return -EINVAL;
	for (done = 0; done < len; done += part) {
		part = len - done < BOUNCE ? len - done : BOUNCE;
		if (!mem_enter_wait(&mdev->tvq->mem, mdev->epoch))
			return -ECANCELED;
		ret = vq_read(&mdev->tvq->mem, &blk->chain, sizeof(struct blk_hdr) + done,
			      blk->bounce, part);
		mem_leave(&mdev->tvq->mem);
		if (ret)
			return ret;
		ret = full_pwrite(blk->fd, blk->bounce, part, sector * SECTOR + done);
		if (ret)
			return ret;
	}
	return write_through(mdev) && fdatasync(blk->fd) ? -errno : 0;
}

static int zero_range(struct mdev *mdev, uint64_t at, uint64_t len, bool unmap)
{
	struct blk *blk = mdev->priv;
	uint64_t part;
	int mode, ret;

	mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE :
		       FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	if (!len || !fallocate(blk->fd, mode, at, len))
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	/* The filesystem cannot. */
	memset(blk->bounce, 0, BOUNCE);
	for (; len; len -= part, at += part) {
		part = len < BOUNCE ? len : BOUNCE;
		ret = full_pwrite(blk->fd, blk->bounce, part, at);
		if (ret)
			return ret;
	}
	return 0;
}

/* DISCARD and WRITE_ZEROES: all ranges are checked before one is touched. */
static int do_ranges(struct mdev *mdev, uint64_t len, bool discard)
{
	struct blk_range range[DISCARD_MAX_SEG];
	struct blk *blk = mdev->priv;
	unsigned int i, num = len / sizeof(range[0]);
	uint32_t flags;
	int ret;

	if (len % sizeof(range[0]) || !num || num > DISCARD_MAX_SEG)
		return -EINVAL;
	if (!mem_enter_wait(&mdev->tvq->mem, mdev->epoch))
		return -ECANCELED;
	ret = vq_read(&mdev->tvq->mem, &blk->chain, sizeof(struct blk_hdr), range, len);
	mem_leave(&mdev->tvq->mem);
	if (ret)
		return ret;
	for (i = 0; i < num; i++) {
		flags = le32toh(range[i].flags);
		/* Only write-zeroes has a flag, the one that allows to unmap. */
		if (flags & ~(discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
			return -EOPNOTSUPP;
		if (le32toh(range[i].num) > DISCARD_MAX_SECTORS ||
		    !range_ok(mdev, le64toh(range[i].sector), le32toh(range[i].num)))
			return -EINVAL;
	}
	for (i = 0; i < num; i++) {
		ret = zero_range(mdev, le64toh(range[i].sector) * SECTOR,
				 (uint64_t)le32toh(range[i].num) * SECTOR,
				 discard || le32toh(range[i].flags));
		if (ret)
			return ret;
	}
	return write_through(mdev) && fdatasync(blk->fd) ? -errno : 0;
}

static int do_get_id(struct mdev *mdev, uint64_t len)
{
	uint8_t id[VIRTIO_BLK_ID_BYTES] = { 0 };
	struct blk *blk = mdev->priv;
	int ret;

	memcpy(id, mdev->params.serial, strnlen(mdev->params.serial, sizeof(id)));
	if (len > sizeof(id))
		len = sizeof(id);
	if (!mem_enter_wait(&mdev->tvq->mem, mdev->epoch))
		return -ECANCELED;
	ret = vq_write(&mdev->tvq->mem, &blk->chain, 0, id, len);
	mem_leave(&mdev->tvq->mem);
	return ret;
}

/* One request. Return: 0, -EOPNOTSUPP, -ECANCELED or another error; bytes written in *in. */
static int do_request(struct mdev *mdev, const struct blk_hdr *hdr, uint64_t *in)
{
	struct blk *blk = mdev->priv;
	uint64_t out_len = blk->chain.out_len - sizeof(*hdr), in_len = blk->chain.in_len - 1;
	int ret;

	*in = 0;
	switch (le32toh(hdr->type)) {
	case VIRTIO_BLK_T_IN:
		ret = do_read(mdev, le64toh(hdr->sector), in_len);
		*in = ret ? 0 : in_len;
		return ret;
	case VIRTIO_BLK_T_OUT:
		return do_write(mdev, le64toh(hdr->sector), out_len);
	case VIRTIO_BLK_T_FLUSH:
		if (!mdev_has(mdev, VIRTIO_BLK_F_FLUSH))
			return -EOPNOTSUPP;
		return fdatasync(blk->fd) ? -errno : 0;
	case VIRTIO_BLK_T_GET_ID:
		ret = do_get_id(mdev, in_len);
		*in = ret ? 0 : in_len < VIRTIO_BLK_ID_BYTES ? in_len : VIRTIO_BLK_ID_BYTES;
		return ret;
	case VIRTIO_BLK_T_DISCARD:
		if (!mdev_has(mdev, VIRTIO_BLK_F_DISCARD))
			return -EOPNOTSUPP;
		return do_ranges(mdev, out_len, true);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		if (!mdev_has(mdev, VIRTIO_BLK_F_WRITE_ZEROES))
			return -EOPNOTSUPP;
		return do_ranges(mdev, out_len, false);
	default:
		return -EOPNOTSUPP;
	}
}

static bool blk_serve(struct mdev *mdev, struct virtq *vq)
{
	struct mem *mem = &mdev->tvq->mem;
	struct blk *blk = mdev->priv;
	struct blk_hdr hdr;
	unsigned int budget;
	uint64_t in;
	uint8_t status;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!mem_enter(mem, mdev->epoch))
			return false;
		ret = vq_pop(vq, &blk->chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mem);
			if (!ret)
				return false;
			continue;
		}
		vq_disable_notify(vq);
		/* Without a header there is no request, without a status byte no answer. */
		if (blk->chain.out_len < sizeof(hdr) || !blk->chain.in_len) {
			vq->broken = true;
			mem_leave(mem);
			log_warn("device %llu: a request without header or status",
				 (unsigned long long)mdev->id);
			return false;
		}
		ret = vq_read(mem, &blk->chain, 0, &hdr, sizeof(hdr));
		mem_leave(mem);

		in = 0;
		if (!ret)
			ret = do_request(mdev, &hdr, &in);
		if (ret == -ECANCELED || !mem_enter_wait(mem, mdev->epoch))
			return false;
		status = !ret ? VIRTIO_BLK_S_OK :
			 ret == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
		/* The status is the last byte. */
		if (!vq_write(mem, &blk->chain, blk->chain.in_len - 1, &status, 1))
			in++;
		vq_push(vq, &blk->chain, in);
		mdev_notify(mdev, vq);
		mem_leave(mem);
	}
	return true;
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
		    BIT64(F_RING_EVENT_IDX) | BIT64(F_RING_RESET) | BIT64(VIRTIO_BLK_F_SEG_MAX) |
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
	.config_write = blk_config_write,
	.serve = blk_serve,
	.resize = blk_resize,
	.describe = blk_describe,
};
