// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Managed devices: creation and removal, the worker, reset, interrupts. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mdev.h"

static const struct mdev_type * const types[] = { &net_type, &blk_type, &rng_type };

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

bool mdev_has(const struct mdev *mdev, unsigned int bit)
{
	return mdev->driver_features & BIT64(bit);
}

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

struct mdev *mdev_find(struct tvq *tvq, uint64_t id)
{
	uint32_t i = table_index(tvq, id);

	return i < tvq->num_devices && tvq->devices[i]->id == id ? tvq->devices[i] : NULL;
}

struct mdev *mdev_find_name(struct tvq *tvq, const char *name)
{
	uint32_t i;

	for (i = 0; i < tvq->num_devices; i++) {
		if (!strcmp(tvq->devices[i]->params.name, name))
			return tvq->devices[i];
	}
	return NULL;
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

static void table_remove(struct tvq *tvq, struct mdev *mdev)
{
	uint32_t i = table_index(tvq, mdev->id);

	tvq->num_devices--;
	memmove(&tvq->devices[i], &tvq->devices[i + 1],
		(tvq->num_devices - i) * sizeof(*tvq->devices));
	tvq->slots[mdev->slot] = NULL;
	tvq->vqs_used -= mdev->num_vqs;
	tvq->vectors_used -= mdev->num_vectors;
	tvq->generation++;
}

/*
 * Interrupts
 */

/*
 * Send an entry's message. With msi_lock, in a section. What cannot be sent, for
 * the function is not bus master or the client is gone, is pending.
 */
static void msi_send(struct mdev *mdev, uint16_t vector)
{
	struct msi_entry *entry = &mdev->msi[vector];
	struct mem *mem = &mdev->tvq->mem;
	uint32_t data = htole32(entry->data);
	int id;

	if (!mem->bus_master) {
		entry->pending = true;
		return;
	}
	/* A message may be meant for memory; interrupt controllers are not in a window. */
	if (mem_ptr(mem, entry->address, sizeof(data), MEM_WRITE)) {
		mem_write(mem, entry->address, &data, sizeof(data));
		return;
	}
	id = vfu_dma_write(&mdev->tvq->vfu, entry->address, &data, sizeof(data),
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
void mdev_written(void *dev, uint16_t id, uint64_t cookie)
{
	struct tvq *tvq = dev;
	uint16_t vector = cookie;
	struct msi_entry *entry;
	struct mdev *mdev;

	/* The socket thread is the one that ends epochs: what it sees now is a section. */
	pthread_mutex_lock(&tvq->lock);
	mdev = mdev_find(tvq, cookie >> 16);
	if (mdev) {
		pthread_mutex_lock(&mdev->msi_lock);
		entry = &mdev->msi[vector];
		if (entry->in_flight && entry->flight_id == id) {
			entry->in_flight = false;
			if (entry->again && mdev->msi_epoch == tvq->mem.epoch) {
				entry->again = false;
				msi_event(mdev, vector);
			}
		}
		pthread_mutex_unlock(&mdev->msi_lock);
	}
	pthread_mutex_unlock(&tvq->lock);
}

/* Send what became pending while the function was not bus master. In the worker. */
static void send_pending(struct mdev *mdev)
{
	uint16_t i;

	if (!atomic_exchange(&mdev->send_pending, false))
		return;
	if (!mem_enter(&mdev->tvq->mem, mdev->epoch))
		return;
	pthread_mutex_lock(&mdev->msi_lock);
	for (i = 0; i < mdev->num_vectors; i++) {
		if (mdev->msi[i].pending && mdev->msi[i].active && !mdev->msi[i].masked) {
			mdev->msi[i].pending = false;
			msi_event(mdev, i);
		}
	}
	pthread_mutex_unlock(&mdev->msi_lock);
	mem_leave(&mdev->tvq->mem);
}

/* In a section. The entries have been checked. */
void mdev_msi_set(struct mdev *mdev, uint16_t first, uint16_t count,
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

void mdev_msi_get(struct mdev *mdev, uint16_t first, uint16_t count,
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

/* Tell the driver of used buffers, if it wants to know. In a section. */
void mdev_notify(struct mdev *mdev, struct virtq *vq)
{
	if (vq_should_notify(vq))
		raise_vector(mdev, vq->vector);
}

/*
 * Status and configuration
 */

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

static void config_interrupt(struct mdev *mdev)
{
	if (mem_enter_quiet(&mdev->tvq->mem, mdev->epoch)) {
		raise_vector(mdev, mdev->config_vector);
		mem_leave(&mdev->tvq->mem);
	}
}

/* Configuration, or DEVICE_NEEDS_RESET, has changed without the driver's doing. */
void mdev_config_changed(struct mdev *mdev)
{
	pthread_mutex_lock(&mdev->lock);
	mdev->generation++;
	pthread_mutex_unlock(&mdev->lock);
	config_interrupt(mdev);
}

/* Behind this, changes are announced; and so is one that the driver cannot know of. */
void mdev_set_config_vector(struct mdev *mdev, uint16_t vector)
{
	mdev->config_vector = vector;
	if (mdev->generation != mdev->given_generation)
		config_interrupt(mdev);
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

uint32_t mdev_info_len(const struct mdev *mdev)
{
	return sizeof(struct virtio_tvq_device_info) + mdev->config_len +
	       mdev->num_vqs * sizeof(uint16_t);
}

/* The reply of CREATE and DESCRIBE. */
void mdev_info(struct mdev *mdev, void *buf)
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

/*
 * The worker
 */

void mdev_kick_queue(struct mdev *mdev, uint16_t index)
{
	atomic_fetch_or(&mdev->kicked[index / 64], BIT64(index % 64));
}

/* Have the worker look at everything. With tvq.lock. */
void mdev_kick(struct mdev *mdev)
{
	uint16_t i;

	for (i = 0; i < mdev->num_vqs; i++)
		mdev_kick_queue(mdev, i);
	atomic_store(&mdev->send_pending, true);
	mailbox_wake(&mdev->mbox);
}

/* In the socket thread. */
void mdev_doorbell(struct tvq *tvq, uint64_t slot, uint32_t value, uint32_t len)
{
	struct mdev *mdev;

	/* Only NOTIFICATION_DATA, which no device here offers, makes it 4 bytes. */
	if (len != 2)
		return;
	pthread_mutex_lock(&tvq->lock);
	mdev = slot < tvq->opt.devices_max ? tvq->slots[slot] : NULL;
	if (mdev && value < mdev->num_vqs) {
		mdev_kick_queue(mdev, value);
		mailbox_wake(&mdev->mbox);
	}
	pthread_mutex_unlock(&tvq->lock);
}

/*
 * Take the device back to what is provisioned. In the worker, so nothing else of
 * this device is going on.
 */
void mdev_reset(struct mdev *mdev)
{
	uint64_t epoch = mem_epoch(&mdev->tvq->mem);
	uint16_t i;

	/* Behind this, mdev_written() sends nothing of what was there before. */
	pthread_mutex_lock(&mdev->msi_lock);
	memset(mdev->msi, 0, mdev->num_vectors * sizeof(*mdev->msi));
	mdev->msi_epoch = epoch;
	pthread_mutex_unlock(&mdev->msi_lock);
	for (i = 0; i < mdev->num_vqs; i++) {
		vq_disable(&mdev->vqs[i]);
		mdev->vqs[i].vector = VIRTIO_TVQ_NO_VECTOR;
	}
	mdev->driver_features = 0;
	mdev->config_vector = VIRTIO_TVQ_NO_VECTOR;
	mdev->epoch = epoch;
	mdev_set_status(mdev, 0);
	mdev->type->reset(mdev);
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
			if (!(mdev->status & S_DRIVER_OK) || (mdev->status & S_NEEDS_RESET) ||
			    !mdev->vqs[i].enabled)
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

static void mdev_free(struct mdev *mdev)
{
	mailbox_exit(&mdev->mbox);
	pthread_mutex_destroy(&mdev->lock);
	pthread_mutex_destroy(&mdev->msi_lock);
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
		if (mem_epoch(&tvq->mem) != mdev->epoch)
			mdev_reset(mdev);
		if (job)
			job->run(job);
		if (mdev->dying || stop)
			break;
		send_pending(mdev);
		busy = serve(mdev);
	}

	/* The process ends, and the device stays provisioned. */
	if (!mdev->dying) {
		mdev_reset(mdev);
		mdev->type->destroy(mdev);
		pthread_mutex_lock(&tvq->lock);
		table_remove(tvq, mdev);
		pthread_mutex_unlock(&tvq->lock);
	}
	/* Nobody finds the device any more, so no further job comes. */
	while ((job = mailbox_take(&mdev->mbox, true, &stop)))
		job->cancel(job);
	mdev_free(mdev);

	pthread_mutex_lock(&tvq->lock);
	tvq->num_workers--;
	pthread_cond_broadcast(&tvq->gone);
	pthread_mutex_unlock(&tvq->lock);
	return NULL;
}

/* The end of a device, in its worker. Its name and what it took are free behind this. */
void mdev_remove(struct mdev *mdev, bool announce)
{
	struct tvq *tvq = mdev->tvq;

	mdev->dying = true;
	mdev_reset(mdev);
	mdev->type->destroy(mdev);
	pthread_mutex_lock(&tvq->lock);
	table_remove(tvq, mdev);
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

/* All that can be refused before anything is done. With create_lock. */
static int check_params(struct tvq *tvq, struct mdev_params *params, uint64_t *features,
			uint32_t *num_vqs, uint32_t *num_vectors)
{
	const struct mdev_type *type = mdev_type_by_id(params->type);
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	const char *p;
	int err = 0;

	if (!type)
		return CMD_ERR(ENXIO, TYPE);
	if (!params->have_features) {
		params->features[0] = type->default_features(params);
		params->features[1] = 0;
	}
	*features = params->features[0];

	if (!params->vqs)
		params->vqs = 1;
	*num_vqs = type->num_vqs(params);
	if (*num_vqs > tvq->opt.device_vqs_max || *num_vqs > tvq->opt.vqs_max)
		return CMD_ERR(EINVAL, VQS);
	if (params->num_vectors > tvq->opt.device_vectors_max)
		return CMD_ERR(EINVAL, VECTORS);

	pthread_mutex_lock(&tvq->lock);
	*num_vectors = params->num_vectors;
	if (!*num_vectors) {
		*num_vectors = *num_vqs + type->has_config_interrupt;
		if (*num_vectors > tvq->opt.device_vectors_max)
			*num_vectors = tvq->opt.device_vectors_max;
		if (*num_vectors > tvq->opt.vectors_max - tvq->vectors_used)
			*num_vectors = tvq->opt.vectors_max - tvq->vectors_used;
		if (!*num_vectors)
			err = CMD_ERR(ENOSPC, VECTORS);
	}
	if (*num_vqs > tvq->opt.vqs_max - tvq->vqs_used)
		err = CMD_ERR(ENOSPC, VQS);
	else if (*num_vectors > tvq->opt.vectors_max - tvq->vectors_used)
		err = CMD_ERR(ENOSPC, VECTORS);
	pthread_mutex_unlock(&tvq->lock);
	if (err)
		return err;

	if ((*features & ~type->features) || params->features[1] ||
	    (*features & needed) != needed || !type->features_ok(*features))
		return CMD_ERR(EINVAL, FEATURES);
	if (params->bad_name || (params->name[0] && !mdev_name_ok(params->name)))
		return CMD_ERR(EINVAL, NAME);
	pthread_mutex_lock(&tvq->lock);
	if (params->name[0] && mdev_find_name(tvq, params->name))
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
	if (params->bad_config || !type->params_ok(params, *features))
		return CMD_ERR(EINVAL, CONFIG);
	return 0;
}

static struct mdev *mdev_alloc(struct tvq *tvq, const struct mdev_params *params,
			       uint64_t features, uint32_t num_vqs, uint32_t num_vectors)
{
	struct mdev *mdev = calloc(1, sizeof(*mdev));
	uint16_t i;

	if (!mdev)
		return NULL;
	mdev->tvq = tvq;
	mdev->type = mdev_type_by_id(params->type);
	mdev->params = *params;
	mdev->params.have_features = true;
	mdev->params.num_vectors = num_vectors;
	mdev->features = features;
	mdev->num_vqs = num_vqs;
	mdev->num_vectors = num_vectors;
	mdev->config_len = mdev->type->config_len;
	mdev->config_vector = VIRTIO_TVQ_NO_VECTOR;
	mdev->epoch = mem_epoch(&tvq->mem);
	mdev->msi_epoch = mdev->epoch;
	mailbox_init(&mdev->mbox);
	pthread_mutex_init(&mdev->lock, NULL);
	pthread_mutex_init(&mdev->msi_lock, NULL);
	mdev->vqs = calloc(num_vqs, sizeof(*mdev->vqs));
	mdev->msi = calloc(num_vectors, sizeof(*mdev->msi));
	if (!mdev->vqs || !mdev->msi) {
		mdev_free(mdev);
		return NULL;
	}
	for (i = 0; i < num_vqs; i++)
		vq_init(&mdev->vqs[i], &tvq->mem, i);
	return mdev;
}

static int start_worker(struct mdev *mdev)
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

/**
 * mdev_create - create a managed device
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
int mdev_create(struct tvq *tvq, const struct mdev_params *wanted, uint64_t id, bool announce,
		struct mdev_reply *reply, uint64_t *new_id)
{
	struct mdev_params params = *wanted;
	uint32_t num_vqs, num_vectors;
	struct mdev *mdev = NULL;
	uint64_t features;
	int err;

	pthread_mutex_lock(&tvq->create_lock);
	err = check_params(tvq, &params, &features, &num_vqs, &num_vectors);
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

	mdev = mdev_alloc(tvq, &params, features, num_vqs, num_vectors);
	if (!mdev) {
		err = CMD_ERR(ENOMEM, NONE);
		goto out;
	}
	mdev->id = id;
	if (reply) {
		reply->len = mdev_info_len(mdev);
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
	/* Before the worker runs: behind that, the device may be gone at any time. */
	if (reply)
		mdev_info(mdev, reply->buf);
	if (state_save(tvq))
		err = CMD_ERR(EINVAL, BACKEND);
	else if (start_worker(mdev))
		err = CMD_ERR(ENOMEM, NONE);
	if (err) {
		pthread_mutex_lock(&tvq->lock);
		table_remove(tvq, mdev);
		tvq->num_workers--;
		pthread_mutex_unlock(&tvq->lock);
		state_save(tvq);
		mdev->type->destroy(mdev);
		goto out;
	}
	log_info("device %llu: %s%s%s, %u queues, %u vectors", (unsigned long long)id,
		 mdev->type->name, params.name[0] ? " " : "", params.name, num_vqs, num_vectors);
	mdev = NULL;
	if (new_id)
		*new_id = id;
	if (announce)
		tvq_announce(tvq);
out:
	pthread_mutex_unlock(&tvq->create_lock);
	if (mdev) {
		struct job *job;
		bool stop;

		while ((job = mailbox_take(&mdev->mbox, true, &stop)))
			job->cancel(job);
		mdev_free(mdev);
	}
	return err;
}
