// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Persistent memory: a shared memory region that the driver reads and writes, and
 * one queue, with requests to make lasting what was written.
 *
 * The region is in the BAR of the function. What lasts is a file: NAME.pmem of the
 * disk directory for a device with a name, where the next one of that name finds
 * it. One without a name keeps nothing that its region does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "log.h"
#include "mdev.h"

#define F_SHMEM_REGION		0
#define REQ_FLUSH		0
#define SECTOR			512u
/* Linux maps persistent memory in units of this. */
#define UNIT			(2u << 20)
#define DEFAULT_CAPACITY	((16u << 20) / SECTOR)
#define MAX_CAPACITY		(1ull << 41)

/* struct virtio_pmem_config: le64 start, which the region takes the place of; le64 size */
#define CONFIG_SIZE_AT		8
#define CONFIG_LEN		16

struct pmem {
	int fd;				/* the file, or -1 */
};

static uint64_t pmem_default_features(const struct mdev_params *params)
{
	return pmem_type.features;
}

/* Without the region nobody could say where the memory is. */
static bool pmem_features_ok(uint64_t features)
{
	return features & BIT64(F_SHMEM_REGION);
}

static bool pmem_init_field(struct mdev_params *params, uint16_t offset, uint16_t len,
			    const uint8_t *data)
{
	uint64_t size;

	if (offset != CONFIG_SIZE_AT || len != sizeof(size))
		return false;
	memcpy(&size, data, sizeof(size));
	size = le64toh(size);
	params->capacity = size / SECTOR;
	params->have_capacity = true;
	return !(size % SECTOR);
}

static bool pmem_params_ok(const struct mdev_params *params, uint64_t features)
{
	if (params->have_mac || params->have_mtu)
		return false;
	return !params->have_capacity ||
	       (params->capacity && params->capacity <= MAX_CAPACITY &&
		!(params->capacity % (UNIT / SECTOR)));
}

static uint32_t pmem_num_vqs(const struct mdev_params *params)
{
	return params->vqs;
}

static uint16_t pmem_queue_size(struct mdev *mdev, uint16_t index)
{
	return mdev->tvq->opt.queue_size ? mdev->tvq->opt.queue_size : 64;
}

static uint64_t pmem_shm_length(const struct mdev_params *params)
{
	return (params->have_capacity ? params->capacity : DEFAULT_CAPACITY) * SECTOR;
}

static uint8_t *region(struct mdev *mdev)
{
	return mdev->pci->shm + mdev->shm_offset;
}

/* Write what the driver has put into the region to the file. Return: 0 or a negative error. */
static int save(struct mdev *mdev)
{
	struct pmem *pmem = mdev->priv;
	off_t start = mdev->shm_offset, end = start + mdev->shm_length, data, hole;
	ssize_t n;

	if (pmem->fd < 0)
		return 0;
	for (data = start; data < end; data = hole) {
		/* What was never written since the file was read takes no memory. */
		data = lseek(mdev->pci->shm_fd, data, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return -errno;
		if (data < 0 || data >= end)
			break;
		hole = lseek(mdev->pci->shm_fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if (hole > end)
			hole = end;
		for (; data < hole; data += n) {
			n = pwrite(pmem->fd, mdev->pci->shm + data, hole - data, data - start);
			if (n < 0)
				return -errno;
		}
	}
	return fdatasync(pmem->fd) ? -errno : 0;
}

/* Fill the region, which is empty, from the file. Return: 0 or a negative error. */
static int load(struct mdev *mdev)
{
	struct pmem *pmem = mdev->priv;
	off_t data, hole, end = mdev->shm_length;
	ssize_t n;

	for (data = 0; data < end; data = hole) {
		data = lseek(pmem->fd, data, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return -errno;
		if (data < 0 || data >= end)
			break;
		hole = lseek(pmem->fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if (hole > end)
			hole = end;
		for (; data < hole; data += n) {
			n = pread(pmem->fd, region(mdev) + data, hole - data, data);
			if (n <= 0)
				return n ? -errno : -EIO;
		}
	}
	return 0;
}

static int open_file(struct mdev *mdev)
{
	struct pmem *pmem = mdev->priv;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.pmem", mdev->tvq->disk_dir, mdev->params.name);
	pmem->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Another process may have a device of the same name. */
	if (pmem->fd < 0 || flock(pmem->fd, LOCK_EX | LOCK_NB))
		return -errno;
	return load(mdev);
}

static void release(struct mdev *mdev)
{
	struct pmem *pmem = mdev->priv;

	if (pmem->fd >= 0)
		close(pmem->fd);
	free(pmem);
	mdev->priv = NULL;
}

static int pmem_create(struct mdev *mdev)
{
	struct pmem *pmem;
	uint64_t size;
	int ret = 0;

	/* There is one, says the specification. */
	if (mdev->num_vqs != 1)
		return CMD_ERR(EINVAL, VQS);
	if (mdev_take_shm(mdev, pmem_shm_length(&mdev->params), UNIT))
		return CMD_ERR(ENOSPC, SHM);
	pmem = malloc(sizeof(*pmem));
	if (!pmem)
		return CMD_ERR(ENOMEM, NONE);
	pmem->fd = -1;
	mdev->priv = pmem;
	/* The device that had this part of the BAR before is gone, and what it held, too. */
	if (fallocate(mdev->pci->shm_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      mdev->shm_offset, mdev->shm_length))
		ret = -errno;
	if (!ret && mdev->params.name[0])
		ret = open_file(mdev);
	if (ret) {
		log_error("memory of device %llu: %s", (unsigned long long)mdev->id,
			  strerror(-ret));
		release(mdev);
		return CMD_ERR(EINVAL, BACKEND);
	}
	size = htole64(mdev->shm_length);
	memcpy(&mdev->config[CONFIG_SIZE_AT], &size, sizeof(size));
	return 0;
}

static void pmem_destroy(struct mdev *mdev)
{
	int ret = save(mdev);

	if (ret)
		log_error("memory of device %llu: %s", (unsigned long long)mdev->id,
			  strerror(-ret));
	release(mdev);
}

/* Memory keeps its content. */
static void pmem_reset(struct mdev *mdev)
{
}

/* Return: what the driver gets, 0 for success. */
static uint32_t execute(struct mdev *mdev, uint32_t type)
{
	int ret = type == REQ_FLUSH ? save(mdev) : -EOPNOTSUPP;

	if (ret)
		log_warn("device %llu: request %u: %s", (unsigned long long)mdev->id, type,
			 strerror(-ret));
	return ret ? 1 : 0;
}

static bool pmem_serve(struct mdev *mdev, struct virtq *vq)
{
	struct mem *mem = mdev->mem;
	unsigned int budget;
	uint32_t type, done;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!mem_enter(mem, mdev->epoch))
			return false;
		ret = vq_pop(vq, &mdev->chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mem);
			if (!ret)
				return false;
			continue;
		}
		ret = vq_read(mem, &mdev->chain, 0, &type, sizeof(type));
		mem_leave(mem);

		/* The file is not waited for in a section. */
		done = htole32(ret ? 1 : execute(mdev, le32toh(type)));
		if (!mem_enter_wait(mem, mdev->epoch))
			return false;
		ret = vq_write(mem, &mdev->chain, 0, &done, sizeof(done));
		vq_push(vq, &mdev->chain, ret ? 0 : sizeof(done));
		mdev_notify(mdev, vq);
		mem_leave(mem);
	}
	return true;
}

const struct mdev_type pmem_type = {
	.type = 27,
	.name = "pmem",
	.features = BIT64(F_SHMEM_REGION) | BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) |
		    BIT64(F_RING_INDIRECT) | BIT64(F_RING_EVENT_IDX) | BIT64(F_RING_RESET),
	.config_len = CONFIG_LEN,
	.default_features = pmem_default_features,
	.features_ok = pmem_features_ok,
	.init_field = pmem_init_field,
	.params_ok = pmem_params_ok,
	.num_vqs = pmem_num_vqs,
	.queue_size = pmem_queue_size,
	.shm_length = pmem_shm_length,
	.create = pmem_create,
	.destroy = pmem_destroy,
	.reset = pmem_reset,
	.serve = pmem_serve,
};
