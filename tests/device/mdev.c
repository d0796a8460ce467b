// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Devices, however a driver reaches them: what is asked for, the worker, reset. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "mdev.h"

/*
 * Features of rings that each type can have and that are offered to those who ask
 * for them: as with QEMU's devices, what is offered by default is the split ring
 * that most drivers are tested with. Linux takes whatever it is offered. With
 * ORDER_PLATFORM a driver has more barriers than this process, a CPU like its own, needs.
 */
#define RING_ON_REQUEST	(BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER) | \
			 BIT64(F_ORDER_PLATFORM) | BIT64(F_NOTIFICATION_DATA))

static const struct mdev_type * const types[] = {
	&net_type, &blk_type, &console_type, &rng_type, &pmem_type,
};

const struct mdev_type *mdev_type_at(unsigned int i)
{
	return i < sizeof(types) / sizeof(types[0]) ? types[i] : NULL;
}

const struct mdev_type *mdev_type_by_id(uint32_t type)
{
	unsigned int i;

	for (i = 0; mdev_type_at(i); i++) {
		if (types[i]->type == type)
			return types[i];
	}
	return NULL;
}

const struct mdev_type *mdev_type_by_name(const char *name)
{
	unsigned int i;

	for (i = 0; mdev_type_at(i); i++) {
		if (!strcmp(types[i]->name, name))
			return types[i];
	}
	return NULL;
}

bool mdev_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len < VIRTIO_TVQ_NAME_LEN && name[0] != '.' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
	       len;
}

/* All that the device could be provisioned with. */
uint64_t mdev_possible_features(const struct mdev *mdev)
{
	return mdev->type->features | RING_ON_REQUEST;
}

bool mdev_has(const struct mdev *mdev, unsigned int bit)
{
	return mdev->driver_features & BIT64(bit);
}

struct mdev *mdev_find_name(struct tvq *tvq, const char *name)
{
	uint32_t i;

	for (i = 0; i < tvq->num_devices; i++) {
		if (!strcmp(tvq->devices[i]->params.name, name))
			return tvq->devices[i];
	}
	return plain_find_name(tvq, name);
}

/* Tell the driver of used buffers, if it wants to know. In a section. */
void mdev_notify(struct mdev *mdev, struct virtq *vq)
{
	if (vq_should_notify(vq))
		mdev->access->interrupt(mdev, vq);
}

/*
 * Status and configuration
 */

/* What the driver has negotiated. */
void mdev_set_features(struct mdev *mdev, uint64_t features)
{
	pthread_mutex_lock(&mdev->lock);
	mdev->driver_features = features;
	pthread_mutex_unlock(&mdev->lock);
	atomic_store(&mdev->notification_data, features & BIT64(F_NOTIFICATION_DATA));
}

void mdev_set_status(struct mdev *mdev, uint8_t status)
{
	bool start = (status & ~mdev->status) & S_DRIVER_OK;
	uint16_t i;

	pthread_mutex_lock(&mdev->lock);
	mdev->status = status;
	pthread_mutex_unlock(&mdev->lock);
	log_debug("device %llu: status %02x", (unsigned long long)mdev->id, status);
	if (!start)
		return;
	if (mdev->type->start)
		mdev->type->start(mdev);
	for (i = 0; i < mdev->num_vqs; i++)
		mdev_kick_queue(mdev, i);
}

/* Configuration, or DEVICE_NEEDS_RESET, has changed without the driver's doing. */
void mdev_config_changed(struct mdev *mdev)
{
	pthread_mutex_lock(&mdev->lock);
	mdev->generation++;
	pthread_mutex_unlock(&mdev->lock);
	mdev->access->config_changed(mdev);
}

/* The driver has done something that there is no going on after. Not in a section. */
void mdev_needs_reset(struct mdev *mdev)
{
	if (mdev->status & S_NEEDS_RESET)
		return;
	log_warn("device %llu needs a reset", (unsigned long long)mdev->id);
	mdev_set_status(mdev, mdev->status | S_NEEDS_RESET);
	mdev_config_changed(mdev);
}

/*
 * The worker
 */

void mdev_kick_queue(struct mdev *mdev, uint16_t index)
{
	atomic_fetch_or(&mdev->kicked[index / 64], BIT64(index % 64));
}

/*
 * A driver has written to a doorbell: a queue's index, or with NOTIFICATION_DATA
 * that and, in the upper half of 32 bits, how far the queue is filled. What it says
 * there is no news: the device looks into the ring. For any thread, as mdev_kick().
 */
void mdev_doorbell(struct mdev *mdev, uint32_t value, uint32_t len)
{
	uint16_t index = value;

	if (len != (atomic_load(&mdev->notification_data) ? 4 : 2) || index >= mdev->num_vqs)
		return;
	mdev_kick_queue(mdev, index);
	mailbox_wake(&mdev->mbox);
}

/* Have the worker look at everything. For any thread that keeps the device from going. */
void mdev_kick(struct mdev *mdev)
{
	uint16_t i;

	for (i = 0; i < mdev->num_vqs; i++)
		mdev_kick_queue(mdev, i);
	atomic_store(&mdev->bus_master, true);
	mailbox_wake(&mdev->mbox);
}

/*
 * Take the device back to what is provisioned. In the worker, so nothing else of
 * this device is going on.
 */
void mdev_reset(struct mdev *mdev)
{
	uint64_t epoch = mem_epoch(mdev->mem);
	uint16_t i;

	mdev->access->reset(mdev, epoch);
	for (i = 0; i < mdev->num_vqs; i++)
		vq_disable(&mdev->vqs[i]);
	mdev_set_features(mdev, 0);
	/* One of the function makes the device go on; another one leaves it as it is. */
	if (epoch != mdev->epoch && mdev->stopped) {
		mdev->epoch = epoch;
		mdev_resume(mdev);
	}
	mdev->epoch = epoch;
	mdev_set_status(mdev, 0);
	mdev->type->reset(mdev);
}

/* Behind this, nothing is read, written or sent until the device goes on. In the worker. */
void mdev_stop(struct mdev *mdev)
{
	if (mdev->stopped)
		return;
	if (mdev->type->stop)
		mdev->type->stop(mdev);
	mdev->access->stop(mdev);
	pthread_mutex_lock(&mdev->lock);
	mdev->stopped = true;
	pthread_mutex_unlock(&mdev->lock);
	log_debug("device %llu: stopped", (unsigned long long)mdev->id);
}

/* Whatever has come meanwhile is looked for, in all queues. In the worker. */
void mdev_resume(struct mdev *mdev)
{
	uint16_t i;

	if (!mdev->stopped)
		return;
	pthread_mutex_lock(&mdev->lock);
	mdev->stopped = false;
	pthread_mutex_unlock(&mdev->lock);
	log_debug("device %llu: goes on", (unsigned long long)mdev->id);
	mdev->access->resume(mdev);
	if (mdev->type->resume)
		mdev->type->resume(mdev);
	for (i = 0; i < mdev->num_vqs; i++)
		mdev_kick_queue(mdev, i);
}

/* Disable one queue: behind this, the device uses none of its buffers. In the worker. */
void mdev_stop_queue(struct mdev *mdev, uint16_t index)
{
	vq_disable(&mdev->vqs[index]);
	mdev->vqs[index].vector = VIRTIO_TVQ_NO_VECTOR;
	if (mdev->type->stop_queue)
		mdev->type->stop_queue(mdev, &mdev->vqs[index]);
}

static bool serve(struct mdev *mdev)
{
	uint64_t bits;
	uint16_t i;
	unsigned int word;
	bool more = false;

	for (word = 0; word * 64 < mdev->num_vqs; word++) {
		bits = atomic_exchange(&mdev->kicked[word], 0);
		while (bits) {
			i = word * 64 + __builtin_ctzll(bits);
			bits &= bits - 1;
			/* A type may have one in mind that the device does not have. */
			if (i >= mdev->num_vqs || !(mdev->status & S_DRIVER_OK) ||
			    (mdev->status & S_NEEDS_RESET) || !mdev->vqs[i].enabled)
				continue;
			if (mdev->type->serve(mdev, &mdev->vqs[i])) {
				mdev_kick_queue(mdev, i);
				more = true;
			}
			if (mdev->vqs[i].broken)
				mdev_needs_reset(mdev);
		}
	}
	return more;
}

/* One without a worker, or in it at its end. What waits in the mailbox is cancelled. */
void mdev_free(struct mdev *mdev)
{
	struct job *job;
	bool stop;

	while ((job = mailbox_take(&mdev->mbox, true, &stop)))
		job->cancel(job);
	mailbox_exit(&mdev->mbox);
	pthread_mutex_destroy(&mdev->lock);
	pthread_mutex_destroy(&mdev->msi_lock);
	pthread_cond_destroy(&mdev->msi_cond);
	vq_chain_free(&mdev->chain);
	free(mdev->vqs);
	free(mdev->msi);
	free(mdev);
}

static void *worker(void *arg)
{
	struct mdev *mdev = arg;
	struct tvq *tvq = mdev->tvq;
	bool busy = false, stop;
	struct job *job;

	for (;;) {
		job = mailbox_take(&mdev->mbox, busy, &stop);
		if (mem_epoch(mdev->mem) != mdev->epoch)
			mdev_reset(mdev);
		if (job)
			job->run(job);
		if (mdev->dying || stop)
			break;
		if (atomic_exchange(&mdev->bus_master, false) && mdev->access->bus_master)
			mdev->access->bus_master(mdev);
		busy = !mdev->stopped && serve(mdev);
	}

	/* The process ends, and the device stays provisioned. */
	if (!mdev->dying) {
		mdev_reset(mdev);
		mdev->type->destroy(mdev);
		pthread_mutex_lock(&tvq->lock);
		mdev->access->forget(mdev);
		pthread_mutex_unlock(&tvq->lock);
	}
	/* Nobody finds the device any more, so no further job comes. */
	mdev_free(mdev);

	pthread_mutex_lock(&tvq->lock);
	tvq->num_workers--;
	pthread_cond_broadcast(&tvq->gone);
	pthread_mutex_unlock(&tvq->lock);
	return NULL;
}

/*
 * Creation
 */

/*
 * Whether there can be so many queues, and the number of vectors: as many as are
 * asked for or, for a managed device, as it would use and are left. now is what the
 * device has already. With tvq.lock.
 */
static int check_counts(struct tvq *tvq, struct mdev_params *params, bool managed,
			uint32_t num_vqs, const struct mdev *now)
{
	uint32_t left = tvq->opt.vectors_max - tvq->vectors_used + (now ? now->num_vectors : 0);
	uint32_t vqs_left = tvq->opt.vqs_max - tvq->vqs_used + (now ? now->num_vqs : 0);
	uint32_t num = params->num_vectors;

	if (num_vqs > tvq->opt.device_vqs_max || (managed && num_vqs > tvq->opt.vqs_max))
		return CMD_ERR(EINVAL, VQS);
	if (managed && num_vqs > vqs_left)
		return CMD_ERR(ENOSPC, VQS);
	if (num > tvq->opt.device_vectors_max)
		return CMD_ERR(EINVAL, VECTORS);
	if (!managed) {
		/* One for each queue, and one for the configuration */
		if (!num)
			params->num_vectors = num_vqs + 1;
		return 0;
	}
	if (!num) {
		params->auto_vectors = true;
		num = num_vqs + mdev_type_by_id(params->type)->has_config_interrupt;
		if (num > tvq->opt.device_vectors_max)
			num = tvq->opt.device_vectors_max;
		if (num > left)
			num = left;
		params->num_vectors = num;
	}
	return !num || num > left ? CMD_ERR(ENOSPC, VECTORS) : 0;
}

/* Whether there can be managed devices of a type. */
bool mdev_type_possible(const struct tvq *tvq, const struct mdev_type *type)
{
	return !type->shm_length || tvq->opt.shm_size;
}

/* The end of a region that overlaps this one, or 0. With tvq.lock. */
static uint64_t overlapped(struct mdev *mdev, uint64_t offset, uint64_t length)
{
	struct tvq *tvq = mdev->tvq;
	const struct mdev *other;
	uint32_t i;

	for (i = 0; i < tvq->num_devices; i++) {
		other = tvq->devices[i];
		if (other->pci == mdev->pci && offset < other->shm_offset + other->shm_length &&
		    other->shm_offset < offset + length)
			return other->shm_offset + other->shm_length;
	}
	return 0;
}

/*
 * Take a region of the function's memory, both in multiples of unit: the first place
 * where there is room. With create_lock, before the device is in the table. Return: 0
 * or -1.
 */
int mdev_take_shm(struct mdev *mdev, uint64_t length, uint64_t unit)
{
	uint64_t offset = 0, end, size = mdev->pci->bar_size[BAR_SHM];

	pthread_mutex_lock(&mdev->tvq->lock);
	while (length <= size && offset <= size - length &&
	       (end = overlapped(mdev, offset, length)))
		offset = (end + unit - 1) / unit * unit;
	pthread_mutex_unlock(&mdev->tvq->lock);
	if (length > size || offset > size - length)
		return -1;
	mdev->shm_offset = offset;
	mdev->shm_length = length;
	return 0;
}

/**
 * mdev_check - all that can be refused before anything is done
 * @tvq: the management device
 * @params: what a device is to be; completed
 * @managed: it counts for the limits of managed devices
 * @now: the device that is to be it, or NULL for a new one
 * @num_vqs: filled in
 *
 * With create_lock.
 *
 * Return: 0 or CMD_ERR.
 */
int mdev_check(struct tvq *tvq, struct mdev_params *params, bool managed, const struct mdev *now,
	       uint32_t *num_vqs)
{
	const struct mdev_type *type = mdev_type_by_id(params->type);
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	const struct mdev *same;
	uint64_t features;
	const char *p;
	int err;

	if (!type || (managed && !mdev_type_possible(tvq, type)))
		return CMD_ERR(ENXIO, TYPE);
	if (!params->have_features) {
		params->auto_features = true;
		params->have_features = true;
		params->features[0] = type->default_features(params);
		params->features[1] = 0;
	}
	features = params->features[0];

	if (!params->vqs)
		params->vqs = 1;
	*num_vqs = type->num_vqs(params);
	pthread_mutex_lock(&tvq->lock);
	err = check_counts(tvq, params, managed, *num_vqs, now);
	pthread_mutex_unlock(&tvq->lock);
	if (err)
		return err;

	if ((features & ~(type->features | RING_ON_REQUEST)) || params->features[1] ||
	    (features & needed) != needed || !type->features_ok(features))
		return CMD_ERR(EINVAL, FEATURES);
	if (params->bad_name || (params->name[0] && !mdev_name_ok(params->name)))
		return CMD_ERR(EINVAL, NAME);
	pthread_mutex_lock(&tvq->lock);
	same = params->name[0] ? mdev_find_name(tvq, params->name) : NULL;
	if (same && same != now)
		err = CMD_ERR(EEXIST, NAME);
	pthread_mutex_unlock(&tvq->lock);
	if (err)
		return err;
	if (params->bad_serial || (params->serial[0] && !type->has_serial))
		return CMD_ERR(EINVAL, SERIAL);
	for (p = params->serial; *p; p++) {
		if (!isascii(*p) || !isprint(*p))
			return CMD_ERR(EINVAL, SERIAL);
	}
	if (params->bad_config || !type->params_ok(params, features))
		return CMD_ERR(EINVAL, CONFIG);
	return 0;
}

/**
 * mdev_prepare - make a device as far as it can be unmade without a trace
 * @tvq: the management device
 * @wanted: what it is to be
 * @managed: it counts for the limits of managed devices
 * @out: filled in with the device: no backend, no worker, no access
 *
 * With create_lock.
 *
 * Return: 0 or CMD_ERR.
 */
int mdev_prepare(struct tvq *tvq, const struct mdev_params *wanted, bool managed,
		 struct mdev **out)
{
	struct mdev_params params = *wanted;
	pthread_condattr_t attr;
	struct mdev *mdev;
	uint32_t num_vqs;
	int err;

	err = mdev_check(tvq, &params, managed, NULL, &num_vqs);
	if (err)
		return err;
	mdev = calloc(1, sizeof(*mdev));
	if (!mdev)
		return CMD_ERR(ENOMEM, NONE);
	mdev->tvq = tvq;
	mdev->type = mdev_type_by_id(params.type);
	mdev->params = params;
	mdev->features = params.features[0];
	mdev->num_vqs = num_vqs;
	mdev->num_vectors = params.num_vectors;
	mdev->config_len = mdev->type->config_len;
	mdev->config_vector = VIRTIO_TVQ_NO_VECTOR;
	mailbox_init(&mdev->mbox);
	pthread_mutex_init(&mdev->lock, NULL);
	pthread_mutex_init(&mdev->msi_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&mdev->msi_cond, &attr);
	pthread_condattr_destroy(&attr);
	mdev->vqs = calloc(num_vqs, sizeof(*mdev->vqs));
	mdev->msi = calloc(mdev->num_vectors, sizeof(*mdev->msi));
	if (!mdev->vqs || !mdev->msi) {
		mdev_free(mdev);
		return CMD_ERR(ENOMEM, NONE);
	}
	*out = mdev;
	return 0;
}

/* Say how a driver reaches the device. */
void mdev_set_access(struct mdev *mdev, const struct mdev_access *access, struct pci *pci)
{
	uint16_t i;

	mdev->access = access;
	mdev->pci = pci;
	mdev->mem = &pci->mem;
	mdev->epoch = mem_epoch(mdev->mem);
	mdev->msi_epoch = mdev->epoch;
	for (i = 0; i < mdev->num_vqs; i++)
		vq_init(&mdev->vqs[i], mdev->mem, i);
}

/* Behind this, the device is the worker's, which tvq.num_workers counts already. */
int mdev_start_worker(struct mdev *mdev)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attr, worker, mdev);
	pthread_attr_destroy(&attr);
	return ret;
}
