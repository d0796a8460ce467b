// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Managed devices: those that a driver reaches by commands on the transport
 * virtqueue. Their table, interrupt messages, doorbells, creation and removal.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "mdev.h"

#define STOP_SECONDS	1	/* for a client to take the messages that were sent */

/*
 * The table. With tvq.lock.
 */

/* The index of the first device with an id of at least id. */
static uint32_t table_index(struct tvq *tvq, uint64_t id)
{
	uint32_t low = 0, high = tvq->num_devices, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (tvq->devices[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct mdev *managed_find(struct tvq *tvq, uint64_t id)
{
	uint32_t i = table_index(tvq, id);

	return i < tvq->num_devices && tvq->devices[i]->id == id ? tvq->devices[i] : NULL;
}

static void table_insert(struct tvq *tvq, struct mdev *mdev)
{
	uint32_t i = table_index(tvq, mdev->id), slot;

	memmove(&tvq->devices[i + 1], &tvq->devices[i],
		(tvq->num_devices - i) * sizeof(*tvq->devices));
	tvq->devices[i] = mdev;
	tvq->num_devices++;
	for (slot = 0; tvq->slots[slot]; slot++)
		;
	tvq->slots[slot] = mdev;
	mdev->slot = slot;
	tvq->vqs_used += mdev->num_vqs;
	tvq->vectors_used += mdev->num_vectors;
	tvq->generation++;
}

static void table_remove(struct mdev *mdev)
{
	struct tvq *tvq = mdev->tvq;
	uint32_t i = table_index(tvq, mdev->id);

	tvq->num_devices--;
	memmove(&tvq->devices[i], &tvq->devices[i + 1],
		(tvq->num_devices - i) * sizeof(*tvq->devices));
	tvq->slots[mdev->slot] = NULL;
	tvq->vqs_used -= mdev->num_vqs;
	tvq->vectors_used -= mdev->num_vectors;
	tvq->generation++;
	admin_drop_objects(tvq, mdev->objects);
}

/*
 * Interrupts
 */

/*
 * Send an entry's message. With msi_lock, in a section. What cannot be sent, for
 * the function is not bus master, the device is stopped or the client is gone, is
 * pending.
 */
static void msi_send(struct mdev *mdev, uint16_t vector)
{
	struct msi_entry *entry = &mdev->msi[vector];
	struct mem *mem = mdev->mem;
	uint32_t data = htole32(entry->data);
	int id;

	if (!mem->bus_master || mdev->msi_stopped) {
		entry->pending = true;
		return;
	}
	/* A message may be meant for memory; interrupt controllers are not in a window. */
	if (mem_ptr(mem, entry->address, sizeof(data), MEM_WRITE)) {
		mem_write(mem, entry->address, &data, sizeof(data));
		return;
	}
	id = vfu_dma_write(&mdev->pci->vfu, entry->address, &data, sizeof(data),
			   mdev->id << 16 | vector);
	if (id < 0) {
		entry->pending = true;
		return;
	}
	entry->in_flight = true;
	entry->flight_id = id;
	entry->again = false;
}

/* An event for a vector. With msi_lock, in a section. */
static void msi_event(struct mdev *mdev, uint16_t vector)
{
	struct msi_entry *entry = &mdev->msi[vector];

	if (!entry->active || entry->masked)
		entry->pending = true;
	else if (entry->in_flight)
		entry->again = true;
	else
		msi_send(mdev, vector);
}

/* In the worker, in a section. */
static void raise_vector(struct mdev *mdev, uint16_t vector)
{
	if (vector >= mdev->num_vectors)
		return;
	pthread_mutex_lock(&mdev->msi_lock);
	msi_event(mdev, vector);
	pthread_mutex_unlock(&mdev->msi_lock);
}

/* The client has written a message: in the socket thread. */
void managed_written(struct tvq *tvq, uint16_t id, uint64_t cookie)
{
	uint16_t vector = cookie;
	struct msi_entry *entry;
	struct mdev *mdev;

	/* The socket thread is the one that ends epochs: what it sees now is a section. */
	pthread_mutex_lock(&tvq->lock);
	mdev = managed_find(tvq, cookie >> 16);
	if (mdev) {
		pthread_mutex_lock(&mdev->msi_lock);
		/* The table may have become shorter. */
		entry = vector < mdev->num_vectors ? &mdev->msi[vector] : NULL;
		if (entry && entry->in_flight && entry->flight_id == id) {
			entry->in_flight = false;
			pthread_cond_signal(&mdev->msi_cond);
			if (entry->again && mdev->msi_epoch == mdev->mem->epoch) {
				entry->again = false;
				msi_event(mdev, vector);
			}
		}
		pthread_mutex_unlock(&mdev->msi_lock);
	}
	pthread_mutex_unlock(&tvq->lock);
}

static bool in_flight(const struct mdev *mdev)
{
	uint16_t i;

	for (i = 0; i < mdev->num_vectors; i++) {
		if (mdev->msi[i].in_flight)
			return true;
	}
	return false;
}

/* Wait for the messages that are on their way, and send no further ones. In the worker. */
static void managed_stop(struct mdev *mdev)
{
	struct timespec deadline;
	uint16_t i;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += STOP_SECONDS;
	pthread_mutex_lock(&mdev->msi_lock);
	mdev->msi_stopped = true;
	/* A client that does not answer is not waited for; it has all that was sent. */
	while (in_flight(mdev) && !pthread_cond_timedwait(&mdev->msi_cond, &mdev->msi_lock,
							  &deadline))
		;
	for (i = 0; i < mdev->num_vectors; i++) {
		if (mdev->msi[i].again)
			mdev->msi[i].pending = true;
		mdev->msi[i].again = false;
	}
	pthread_mutex_unlock(&mdev->msi_lock);
}

/* Send what became pending while it could not be sent. In the worker. */
static void managed_bus_master(struct mdev *mdev)
{
	uint16_t i;

	if (!mem_enter(mdev->mem, mdev->epoch))
		return;
	pthread_mutex_lock(&mdev->msi_lock);
	for (i = 0; i < mdev->num_vectors; i++) {
		if (mdev->msi[i].pending && mdev->msi[i].active && !mdev->msi[i].masked) {
			mdev->msi[i].pending = false;
			msi_event(mdev, i);
		}
	}
	pthread_mutex_unlock(&mdev->msi_lock);
	mem_leave(mdev->mem);
}

static void managed_resume(struct mdev *mdev)
{
	pthread_mutex_lock(&mdev->msi_lock);
	mdev->msi_stopped = false;
	pthread_mutex_unlock(&mdev->msi_lock);
	managed_bus_master(mdev);
}

/* In a section. The entries have been checked. */
void managed_msi_set(struct mdev *mdev, uint16_t first, uint16_t count,
		     const struct virtio_tvq_msi_entry *entries)
{
	struct msi_entry *entry;
	uint64_t address;
	uint32_t data;
	bool changed;
	uint16_t i;

	pthread_mutex_lock(&mdev->msi_lock);
	mdev->msi_epoch = mdev->epoch;
	for (i = 0; i < count; i++) {
		entry = &mdev->msi[first + i];
		address = le64toh(entries[i].address);
		data = le32toh(entries[i].data);
		/* A message to the old address may have come too late to be seen there. */
		changed = entry->active && !entry->masked &&
			  (entry->address != address || entry->data != data);
		entry->address = address;
		entry->data = data;
		entry->masked = entries[i].flags & VIRTIO_TVQ_MSI_F_MASK;
		entry->active = true;
		if (entry->masked) {
			entry->pending |= changed || entry->again;
		} else if (changed || entry->pending) {
			entry->pending = false;
			msi_send(mdev, first + i);
		}
	}
	pthread_mutex_unlock(&mdev->msi_lock);
}

void managed_msi_get(struct mdev *mdev, uint16_t first, uint16_t count,
		     struct virtio_tvq_msi_entry *entries)
{
	const struct msi_entry *entry;
	uint16_t i;

	memset(entries, 0, count * sizeof(*entries));
	pthread_mutex_lock(&mdev->msi_lock);
	for (i = 0; i < count; i++) {
		entry = &mdev->msi[first + i];
		if (!entry->active) {
			entries[i].flags = VIRTIO_TVQ_MSI_F_MASK;
			continue;
		}
		entries[i].address = htole64(entry->address);
		entries[i].data = htole32(entry->data);
		entries[i].flags = (entry->masked ? VIRTIO_TVQ_MSI_F_MASK : 0) |
				   (entry->pending ? VIRTIO_TVQ_MSI_F_PENDING : 0);
	}
	pthread_mutex_unlock(&mdev->msi_lock);
}

static void managed_interrupt(struct mdev *mdev, struct virtq *vq)
{
	int vector = hostile_vector(&vq->hostile, mdev->num_vectors);

	raise_vector(mdev, vq->vector);
	if (vector >= 0)
		raise_vector(mdev, vector);
}

static void managed_config_changed(struct mdev *mdev)
{
	if (mem_enter_quiet(mdev->mem, mdev->epoch)) {
		raise_vector(mdev, mdev->config_vector);
		mem_leave(mdev->mem);
	}
}

/* Behind this, managed_written() sends nothing of what was there before. */
static void managed_reset(struct mdev *mdev, uint64_t epoch)
{
	uint16_t i;

	pthread_mutex_lock(&mdev->msi_lock);
	memset(mdev->msi, 0, mdev->num_vectors * sizeof(*mdev->msi));
	mdev->msi_epoch = epoch;
	pthread_mutex_unlock(&mdev->msi_lock);
	for (i = 0; i < mdev->num_vqs; i++)
		mdev->vqs[i].vector = VIRTIO_TVQ_NO_VECTOR;
	mdev->config_vector = VIRTIO_TVQ_NO_VECTOR;
}

static const struct mdev_access managed_access = {
	.interrupt = managed_interrupt,
	.config_changed = managed_config_changed,
	.reset = managed_reset,
	.bus_master = managed_bus_master,
	.stop = managed_stop,
	.resume = managed_resume,
	.forget = table_remove,
};

/* Behind this, changes are announced; and so is one that the driver cannot know of. */
void managed_set_config_vector(struct mdev *mdev, uint16_t vector)
{
	mdev->config_vector = vector;
	if (mdev->generation != mdev->given_generation)
		managed_config_changed(mdev);
}

uint32_t managed_info_len(const struct mdev *mdev)
{
	return sizeof(struct virtio_tvq_device_info) + mdev->config_len +
	       mdev->num_vqs * sizeof(uint16_t);
}

/* The reply of CREATE and DESCRIBE. */
void managed_info(struct mdev *mdev, void *buf)
{
	struct virtio_tvq_device_info *info = buf;
	uint8_t *p = buf;
	uint16_t i, size;

	memset(info, 0, sizeof(*info));
	pthread_mutex_lock(&mdev->lock);
	info->device_id = htole64(mdev->id);
	info->type = htole32(mdev->type->type);
	info->vendor = htole32(TVQ_VENDOR);
	info->features[0] = htole64(mdev->features);
	memcpy(info->name, mdev->params.name, strlen(mdev->params.name));
	info->num_vqs = htole16(mdev->num_vqs);
	info->num_vectors = htole16(mdev->num_vectors);
	info->status = mdev->status;
	info->flags = VIRTIO_TVQ_DEVICE_F_DOORBELL;
	info->doorbell_offset = htole64((uint64_t)mdev->slot * VIRTIO_TVQ_DOORBELL_SIZE);
	info->config_generation = htole32(mdev->generation);
	mdev->given_generation = mdev->generation;
	info->config_len = htole32(mdev->config_len);
	memcpy(p + sizeof(*info), mdev->config, mdev->config_len);
	pthread_mutex_unlock(&mdev->lock);
	p += sizeof(*info) + mdev->config_len;
	for (i = 0; i < mdev->num_vqs; i++, p += sizeof(size)) {
		size = htole16(mdev->type->queue_size(mdev, i));
		memcpy(p, &size, sizeof(size));
	}
}

/* In the socket thread. */
void managed_doorbell(struct tvq *tvq, uint64_t slot, uint32_t value, uint32_t len)
{
	struct mdev *mdev;
	uint32_t i;

	pthread_mutex_lock(&tvq->lock);
	mdev = slot < tvq->opt.devices_max ? tvq->slots[slot] : NULL;
	if (mdev)
		mdev_doorbell(mdev, value, len);
	/* Who knows whose it was meant to be. */
	for (i = 0; hostile_was_on(&tvq->hostile) && i < tvq->num_devices; i++)
		mdev_kick(tvq->devices[i]);
	pthread_mutex_unlock(&tvq->lock);
}

/* The end of a device, in its worker. Its name and what it took are free behind this. */
void managed_remove(struct mdev *mdev, bool announce)
{
	struct tvq *tvq = mdev->tvq;

	mdev->dying = true;
	mdev_reset(mdev);
	mdev->type->destroy(mdev);
	pthread_mutex_lock(&tvq->lock);
	table_remove(mdev);
	pthread_mutex_unlock(&tvq->lock);
	log_info("device %llu (%s%s%s) is gone", (unsigned long long)mdev->id, mdev->type->name,
		 mdev->params.name[0] ? " " : "", mdev->params.name);
	state_save(tvq);
	if (announce)
		tvq_announce(tvq);
}

/*
 * Creation
 */

/**
 * managed_create - create a managed device
 * @tvq: the management device
 * @params: what it is to be
 * @id: its id, or 0 for the next one
 * @announce: tell the driver, who did not ask for it
 * @reply: for the device's description: filled in, if there is room, or NULL
 * @new_id: filled in with the id, or NULL
 *
 * For any thread that holds no lock.
 *
 * Return: 0 or CMD_ERR; then nothing has changed.
 */
int managed_create(struct tvq *tvq, const struct mdev_params *params, uint64_t id, bool announce,
		   struct mdev_reply *reply, uint64_t *new_id)
{
	struct mdev *mdev = NULL;
	int err;

	pthread_mutex_lock(&tvq->create_lock);
	err = mdev_prepare(tvq, params, true, &mdev);
	if (err)
		goto out;

	pthread_mutex_lock(&tvq->lock);
	if (tvq->num_devices >= tvq->opt.devices_max)
		err = CMD_ERR(ENOSPC, DEVICES);
	else if (!id)
		id = tvq->next_id;
	pthread_mutex_unlock(&tvq->lock);
	if (err)
		goto out;

	mdev->id = id;
	mdev_set_access(mdev, &managed_access, &tvq->pci);
	if (reply) {
		reply->len = managed_info_len(mdev);
		reply->buf = malloc(reply->len);
		if (reply->len > reply->room)
			err = CMD_ERR(EINVAL, LENGTH);
		else if (!reply->buf)
			err = CMD_ERR(ENOMEM, NONE);
		if (err)
			goto out;
	}
	err = mdev->type->create(mdev);
	if (err)
		goto out;

	/* Only creators, one at a time, take; so what was checked still holds. */
	pthread_mutex_lock(&tvq->lock);
	table_insert(tvq, mdev);
	if (id >= tvq->next_id)
		tvq->next_id = id + 1;
	tvq->num_workers++;
	pthread_mutex_unlock(&tvq->lock);
	log_info("device %llu: %s%s%s, %u queues, %u vectors", (unsigned long long)id,
		 mdev->type->name, params->name[0] ? " " : "", params->name, mdev->num_vqs,
		 mdev->num_vectors);
	/* Before the worker runs: behind that, the device may be gone at any time. */
	if (reply)
		managed_info(mdev, reply->buf);
	if (state_save(tvq))
		err = CMD_ERR(EINVAL, BACKEND);
	else if (mdev_start_worker(mdev))
		err = CMD_ERR(ENOMEM, NONE);
	if (err) {
		pthread_mutex_lock(&tvq->lock);
		table_remove(mdev);
		tvq->num_workers--;
		pthread_mutex_unlock(&tvq->lock);
		state_save(tvq);
		mdev->type->destroy(mdev);
		goto out;
	}
	mdev = NULL;
	if (new_id)
		*new_id = id;
	if (announce)
		tvq_announce(tvq);
out:
	pthread_mutex_unlock(&tvq->create_lock);
	if (mdev)
		mdev_free(mdev);
	return err;
}

/*
 * Provisioning
 */

/* Take what is provisioned anew. Nobody finds half of it. */
static void take_provision(struct mdev *mdev, const struct mdev_params *params, uint32_t num_vqs,
			   struct virtq *vqs, struct msi_entry *msi)
{
	struct tvq *tvq = mdev->tvq;
	struct virtq *old_vqs = mdev->vqs;
	struct msi_entry *old_msi = mdev->msi;
	uint32_t i;

	for (i = 0; i < num_vqs; i++)
		vq_init(&vqs[i], mdev->mem, i);
	pthread_mutex_lock(&tvq->lock);
	pthread_mutex_lock(&mdev->lock);
	pthread_mutex_lock(&mdev->msi_lock);
	tvq->vqs_used += num_vqs - mdev->num_vqs;
	tvq->vectors_used += params->num_vectors - mdev->num_vectors;
	mdev->params = *params;
	mdev->features = params->features[0];
	mdev->vqs = vqs;
	mdev->num_vqs = num_vqs;
	mdev->msi = msi;
	mdev->num_vectors = params->num_vectors;
	pthread_mutex_unlock(&mdev->msi_lock);
	pthread_mutex_unlock(&mdev->lock);
	pthread_mutex_unlock(&tvq->lock);
	free(old_vqs);
	free(old_msi);
}

/**
 * managed_provision - make a device another one, as if it had been created so
 * @mdev: the device
 * @wanted: what it is to be; of the same type and name
 *
 * In the worker, which holds no lock.
 *
 * Return: 0 or CMD_ERR; then nothing has changed.
 */
int managed_provision(struct mdev *mdev, const struct mdev_params *wanted)
{
	struct mdev_params params = *wanted;
	struct tvq *tvq = mdev->tvq;
	struct msi_entry *msi = NULL;
	struct virtq *vqs = NULL;
	uint32_t num_vqs;
	int err;

	pthread_mutex_lock(&tvq->create_lock);
	err = mdev_check(tvq, &params, true, mdev, &num_vqs);
	/* What is wrong in any state comes before the state. */
	if (mdev->status && (!err || err >> 16 == VIRTIO_TVQ_STATUS_ENOSPC))
		err = CMD_ERR(EBUSY, STATE);
	if (!err) {
		vqs = calloc(num_vqs, sizeof(*vqs));
		msi = calloc(params.num_vectors, sizeof(*msi));
		if (!vqs || !msi)
			err = CMD_ERR(ENOMEM, NONE);
	}
	if (!err && mdev->type->provision)
		err = mdev->type->provision(mdev, &params, num_vqs);
	else if (!err && num_vqs != mdev->num_vqs)
		err = CMD_ERR(EINVAL, VQS);
	if (err) {
		free(vqs);
		free(msi);
	} else {
		take_provision(mdev, &params, num_vqs, vqs, msi);
		mdev->type->reset(mdev);
	}
	pthread_mutex_unlock(&tvq->create_lock);
	if (!err)
		state_save(tvq);
	return err;
}
