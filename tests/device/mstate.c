// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * The state of a managed device as device parts.
 *
 * Setting parts makes a state out of what the device has now and what the parts say,
 * looks whether a device can be in that, resets the device, and puts all of it in.
 * What can fail comes before the reset.
 */
#include <stdlib.h>
#include <string.h>

#include "mdev.h"

struct vq_state {
	bool enabled;
	bool have_next;			/* and it is not where a queue begins */
	uint16_t vector;
	uint16_t next_avail;
	uint16_t next_used;
	struct vq_setup setup;
};

struct mdev_state {
	uint8_t status;
	uint64_t features;
	struct vq_state *vqs;
	uint16_t config_vector;
	struct msi_entry *msi;
	uint32_t generation;
	uint8_t config[MDEV_CONFIG_MAX];
	bool have_config;
	/* Of the type */
	uint8_t *type_state;		/* NULL if it has none */
	uint32_t type_len;
	bool have_type;
	uint8_t *type_old;		/* as it was read, to be freed */
};

static void state_free(struct mdev_state *state)
{
	free(state->vqs);
	free(state->msi);
	free(state->type_old);
}

/* What the device has now. Return: 0 or ADMIN_ERR. */
static int state_read(struct mdev *mdev, struct mdev_state *state)
{
	uint16_t i;

	memset(state, 0, sizeof(*state));
	state->status = mdev->status;
	state->features = mdev->driver_features;
	state->vqs = calloc(mdev->num_vqs, sizeof(*state->vqs));
	state->msi = calloc(mdev->num_vectors, sizeof(*state->msi));
	if (mdev->type->get_state) {
		state->type_len = mdev->type->get_state(mdev, &state->type_old);
		state->type_state = state->type_old;
	}
	if (!state->vqs || !state->msi || (mdev->type->get_state && !state->type_state)) {
		state_free(state);
		return ADMIN_ERR(ENOMEM, NORESOURCE);
	}
	for (i = 0; i < mdev->num_vqs; i++) {
		const struct virtq *vq = &mdev->vqs[i];
		struct vq_state *one = &state->vqs[i];

		one->vector = VIRTIO_TVQ_NO_VECTOR;
		if (!vq->enabled)
			continue;
		one->enabled = true;
		one->have_next = true;
		one->vector = vq->vector;
		one->setup.size = vq->size;
		one->setup.desc = vq->desc.gpa;
		one->setup.driver = vq->driver.gpa;
		one->setup.device = vq->device.gpa;
		vq_get_state(vq, &one->next_avail, &one->next_used);
	}
	state->config_vector = mdev->config_vector;
	pthread_mutex_lock(&mdev->msi_lock);
	memcpy(state->msi, mdev->msi, mdev->num_vectors * sizeof(*state->msi));
	pthread_mutex_unlock(&mdev->msi_lock);
	pthread_mutex_lock(&mdev->lock);
	state->generation = mdev->generation;
	memcpy(state->config, mdev->config, mdev->config_len);
	pthread_mutex_unlock(&mdev->lock);
	return 0;
}

/*
 * From the device
 */

static void add_config(struct mdev *mdev, const struct mdev_state *state, struct parts *parts)
{
	uint8_t value[sizeof(struct virtio_tvq_dev_part_config) + MDEV_CONFIG_MAX];
	struct virtio_tvq_dev_part_config config = {
		.generation = htole32(state->generation),
		.length = htole32(mdev->config_len),
	};

	memcpy(value, &config, sizeof(config));
	memcpy(value + sizeof(config), state->config, mdev->config_len);
	parts_add(parts, VIRTIO_TVQ_DEV_PART_CONFIG, 0, value, sizeof(config) + mdev->config_len);
}

static uint32_t msi_len(const struct mdev *mdev)
{
	return sizeof(struct virtio_tvq_dev_part_msi) +
	       mdev->num_vectors * sizeof(struct virtio_tvq_dev_part_msi_entry);
}

static void add_msi(struct mdev *mdev, const struct mdev_state *state, struct parts *parts)
{
	struct virtio_tvq_dev_part_msi *part = calloc(1, msi_len(mdev));
	struct virtio_tvq_dev_part_msi_entry *entry;
	const struct msi_entry *from;
	uint16_t i;

	if (!part) {
		parts->failed = true;
		return;
	}
	entry = part->entries;
	part->config_vector = htole16(state->config_vector);
	part->count = htole16(mdev->num_vectors);
	for (i = 0; i < mdev->num_vectors; i++) {
		from = &state->msi[i];
		entry[i].address = htole64(from->address);
		entry[i].data = htole32(from->data);
		entry[i].flags = (from->masked ? VIRTIO_TVQ_DEV_PART_MSI_F_MASK : 0) |
				 (from->pending ? VIRTIO_TVQ_DEV_PART_MSI_F_PENDING : 0) |
				 (from->active ? VIRTIO_TVQ_DEV_PART_MSI_F_ACTIVE : 0);
	}
	parts_add(parts, VIRTIO_TVQ_DEV_PART_MSI, 0, part, msi_len(mdev));
	free(part);
}

/* All parts of the device. Return: 0 or ADMIN_ERR. */
int mstate_get(struct mdev *mdev, struct parts *parts)
{
	uint64_t features[2] = { htole64(mdev->features) };
	struct mdev_state state;
	uint16_t i;
	int err;

	err = state_read(mdev, &state);
	if (err)
		return err;
	parts_add(parts, VIRTIO_TVQ_DEV_PART_DEV_FEATURES, 0, features, sizeof(features));
	features[0] = htole64(state.features);
	parts_add(parts, VIRTIO_TVQ_DEV_PART_DRV_FEATURES, 0, features, sizeof(features));
	parts_add(parts, VIRTIO_TVQ_DEV_PART_DEVICE_STATUS, 0, &state.status, 1);
	for (i = 0; i < mdev->num_vqs; i++) {
		const struct virtio_tvq_dev_part_vq_cfg cfg = {
			.queue_size = htole16(state.vqs[i].setup.size),
			.vector = htole16(state.vqs[i].vector),
			.enabled = htole16(state.vqs[i].enabled),
			.queue_desc = htole64(state.vqs[i].setup.desc),
			.queue_driver = htole64(state.vqs[i].setup.driver),
			.queue_device = htole64(state.vqs[i].setup.device),
		};

		parts_add(parts, VIRTIO_TVQ_DEV_PART_VQ_CFG, i, &cfg, sizeof(cfg));
	}
	add_config(mdev, &state, parts);
	for (i = 0; i < mdev->num_vqs; i++) {
		const struct virtio_tvq_dev_part_vq_state next = {
			.next_avail = htole16(state.vqs[i].next_avail),
			.next_used = htole16(state.vqs[i].next_used),
		};

		if (state.vqs[i].enabled)
			parts_add(parts, VIRTIO_TVQ_DEV_PART_VQ_STATE, i, &next, sizeof(next));
	}
	add_msi(mdev, &state, parts);
	if (state.type_state)
		parts_add(parts, VIRTIO_TVQ_DEV_PART_TYPE_STATE, 0, state.type_state,
			  state.type_len);
	state_free(&state);
	return parts->failed ? ADMIN_ERR(ENOMEM, NORESOURCE) : 0;
}

/* As long as all parts can become, if they are so long now: they stay that in a stopped device. */
uint32_t mstate_max(struct mdev *mdev, uint32_t now)
{
	const uint32_t header = sizeof(struct virtio_dev_part_hdr);
	uint32_t len;

	if (mdev->stopped)
		return now;
	len = 5 * header + 2 * 2 * sizeof(uint64_t) + 1 +
	      mdev->num_vqs * (2 * header + sizeof(struct virtio_tvq_dev_part_vq_cfg) +
			       sizeof(struct virtio_tvq_dev_part_vq_state)) +
	      sizeof(struct virtio_tvq_dev_part_config) + mdev->config_len + msi_len(mdev);
	if (mdev->type->get_state)
		len += header + mdev->type->state_max(mdev);
	return len;
}

/*
 * To the device
 */

static bool set_features(struct mdev *mdev, struct mdev_state *state, const struct part *part)
{
	uint64_t features[2];

	if (part->len != sizeof(features))
		return false;
	memcpy(features, part->value, sizeof(features));
	if (features[1])
		return false;
	if (part->type == VIRTIO_TVQ_DEV_PART_DEV_FEATURES)
		return le64toh(features[0]) == mdev->features;
	state->features = le64toh(features[0]);
	return true;
}

static bool set_vq_cfg(struct mdev *mdev, struct mdev_state *state, const struct part *part)
{
	struct virtio_tvq_dev_part_vq_cfg cfg;
	struct vq_state *vq;

	if (part->selector >= mdev->num_vqs || part->len != sizeof(cfg))
		return false;
	vq = &state->vqs[part->selector];
	memcpy(&cfg, part->value, sizeof(cfg));
	if (le16toh(cfg.enabled) > 1)
		return false;
	vq->enabled = cfg.enabled;
	vq->vector = le16toh(cfg.vector);
	vq->setup.size = le16toh(cfg.queue_size);
	vq->setup.desc = le64toh(cfg.queue_desc);
	vq->setup.driver = le64toh(cfg.queue_driver);
	vq->setup.device = le64toh(cfg.queue_device);
	return vq->enabled || (!vq->setup.size && !vq->setup.desc && !vq->setup.driver &&
			       !vq->setup.device && vq->vector == VIRTIO_TVQ_NO_VECTOR);
}

static bool set_config(struct mdev *mdev, struct mdev_state *state, const struct part *part)
{
	struct virtio_tvq_dev_part_config config;

	if (part->len != sizeof(config) + mdev->config_len)
		return false;
	memcpy(&config, part->value, sizeof(config));
	memcpy(state->config, part->value + sizeof(config), mdev->config_len);
	state->generation = le32toh(config.generation);
	state->have_config = true;
	return le32toh(config.length) == mdev->config_len;
}

static bool set_vq_state(struct mdev *mdev, struct mdev_state *state, const struct part *part)
{
	struct virtio_tvq_dev_part_vq_state next;
	struct vq_state *vq;

	if (part->selector >= mdev->num_vqs || part->len != sizeof(next))
		return false;
	vq = &state->vqs[part->selector];
	memcpy(&next, part->value, sizeof(next));
	vq->next_avail = le16toh(next.next_avail);
	vq->next_used = le16toh(next.next_used);
	vq->have_next = true;
	/* Those of queues stand before it. */
	return vq->enabled;
}

static bool set_msi(struct mdev *mdev, struct mdev_state *state, const struct part *part)
{
	const uint8_t all = VIRTIO_TVQ_DEV_PART_MSI_F_MASK | VIRTIO_TVQ_DEV_PART_MSI_F_PENDING |
			    VIRTIO_TVQ_DEV_PART_MSI_F_ACTIVE;
	struct virtio_tvq_dev_part_msi_entry entry;
	struct virtio_tvq_dev_part_msi head;
	uint16_t i;

	if (part->len != msi_len(mdev))
		return false;
	memcpy(&head, part->value, sizeof(head));
	if (le16toh(head.count) != mdev->num_vectors)
		return false;
	state->config_vector = le16toh(head.config_vector);
	for (i = 0; i < mdev->num_vectors; i++) {
		memcpy(&entry, part->value + sizeof(head) + i * sizeof(entry), sizeof(entry));
		if (entry.flags & ~all)
			return false;
		state->msi[i] = (struct msi_entry){
			.address = le64toh(entry.address),
			.data = le32toh(entry.data),
			.active = entry.flags & VIRTIO_TVQ_DEV_PART_MSI_F_ACTIVE,
			.masked = entry.flags & VIRTIO_TVQ_DEV_PART_MSI_F_MASK,
			.pending = entry.flags & VIRTIO_TVQ_DEV_PART_MSI_F_PENDING,
		};
	}
	return true;
}

/* Return: whether the part is one of the device's, and of its length. */
static bool set_part(struct mdev *mdev, struct mdev_state *state, const struct part *part)
{
	if (part->flags & ~(1u << VIRTIO_DEV_PART_F_OPTIONAL))
		return false;
	switch (part->type) {
	case VIRTIO_TVQ_DEV_PART_DEV_FEATURES:
	case VIRTIO_TVQ_DEV_PART_DRV_FEATURES:
		return set_features(mdev, state, part);
	case VIRTIO_TVQ_DEV_PART_DEVICE_STATUS:
		if (part->len != 1)
			return false;
		state->status = part->value[0];
		return true;
	case VIRTIO_TVQ_DEV_PART_VQ_CFG:
		return set_vq_cfg(mdev, state, part);
	case VIRTIO_TVQ_DEV_PART_CONFIG:
		return set_config(mdev, state, part);
	case VIRTIO_TVQ_DEV_PART_VQ_STATE:
		return set_vq_state(mdev, state, part);
	case VIRTIO_TVQ_DEV_PART_MSI:
		return set_msi(mdev, state, part);
	case VIRTIO_TVQ_DEV_PART_TYPE_STATE:
		if (!mdev->type->get_state)
			return false;
		state->type_state = (uint8_t *)part->value;
		state->type_len = part->len;
		state->have_type = true;
		return true;
	default:
		return false;
	}
}

static bool vector_ok(const struct mdev *mdev, uint16_t vector)
{
	return vector < mdev->num_vectors || vector == VIRTIO_TVQ_NO_VECTOR;
}

static bool vq_ok(struct mdev *mdev, struct mdev_state *state, uint16_t index)
{
	struct vq_state *vq = &state->vqs[index];
	uint16_t max = mdev->type->queue_size(mdev, index);

	if (!vector_ok(mdev, vq->vector))
		return false;
	if (!vq->enabled)
		return true;
	vq->setup.features = state->features;
	/* Where a queue begins */
	if (!vq->have_next) {
		vq->next_avail = state->features & BIT64(F_RING_PACKED) ? 1u << 15 : 0;
		vq->next_used = vq->next_avail;
	}
	return (state->status & S_FEATURES_OK) &&
	       vq_size_ok(vq->setup.size, max, state->features) &&
	       vq_addresses_ok(&vq->setup) &&
	       vq_state_ok(&vq->setup, vq->next_avail, vq->next_used);
}

static bool in_range(struct config_range range, uint32_t i)
{
	return i >= range.offset && i - range.offset < range.len;
}

/* What a driver cannot change is compared: with another value it is another device. */
static bool config_ok(struct mdev *mdev, const struct mdev_state *state)
{
	uint32_t i;

	for (i = 0; i < mdev->config_len; i++) {
		if (state->config[i] != mdev->config[i] &&
		    !in_range(mdev->type->config_driver, i) &&
		    !in_range(mdev->type->config_live, i))
			return false;
	}
	return !mdev->type->config_ok ||
	       mdev->type->config_ok(mdev, state->features, state->config);
}

/* Whether the device can be in a state. */
static bool state_ok(struct mdev *mdev, struct mdev_state *state)
{
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	uint16_t i;

	if (state->status & S_FEATURES_OK) {
		if ((state->features & ~mdev->features) || (state->features & needed) != needed ||
		    !mdev->type->features_ok(state->features))
			return false;
	} else if (state->features || (state->status & S_DRIVER_OK)) {
		return false;
	}
	for (i = 0; i < mdev->num_vqs; i++) {
		if (!vq_ok(mdev, state, i))
			return false;
	}
	if (!vector_ok(mdev, state->config_vector) || !config_ok(mdev, state))
		return false;
	/* One that begins with DRIVER_OK begins as the type does. */
	if (!(mdev->status & S_DRIVER_OK) && !state->have_type)
		state->type_state = NULL;
	return !state->type_state ||
	       mdev->type->state_ok(mdev, state->features, state->type_state, state->type_len);
}

static void free_vqs(struct virtq *vqs, uint16_t num)
{
	while (num--)
		vq_disable(&vqs[num]);
	free(vqs);
}

/* Queues as a state wants them. NULL without memory. */
static struct virtq *make_vqs(struct mdev *mdev, const struct mdev_state *state)
{
	struct virtq *vqs = calloc(mdev->num_vqs, sizeof(*vqs));
	uint16_t i;

	for (i = 0; vqs && i < mdev->num_vqs; i++) {
		vq_init(&vqs[i], mdev->mem, i);
		if (!state->vqs[i].enabled)
			continue;
		if (vq_enable(&vqs[i], &state->vqs[i].setup)) {
			free_vqs(vqs, i);
			return NULL;
		}
		vqs[i].vector = state->vqs[i].vector;
		vq_set_state(&vqs[i], state->vqs[i].next_avail);
	}
	return vqs;
}

/* Put a state in that is good. It frees what the queues were. */
static void state_write(struct mdev *mdev, const struct mdev_state *state, struct virtq *vqs)
{
	struct config_range range = mdev->type->config_driver;
	uint32_t generation = state->generation;
	uint16_t i;

	mdev->type->reset(mdev);
	for (i = 0; i < mdev->num_vqs; i++) {
		vq_disable(&mdev->vqs[i]);
		mdev->vqs[i] = vqs[i];
	}
	mdev_set_features(mdev, state->features);
	pthread_mutex_lock(&mdev->lock);
	mdev->status = state->status;
	memcpy(&mdev->config[range.offset], &state->config[range.offset], range.len);
	pthread_mutex_unlock(&mdev->lock);
	if ((state->status & S_DRIVER_OK) && mdev->type->start)
		mdev->type->start(mdev);
	if (state->type_state)
		mdev->type->set_state(mdev, state->type_state);

	mdev->config_vector = state->config_vector;
	pthread_mutex_lock(&mdev->msi_lock);
	mdev->msi_epoch = mdev->epoch;
	for (i = 0; i < mdev->num_vectors; i++) {
		mdev->msi[i] = state->msi[i];
		mdev->msi[i].in_flight = false;
		mdev->msi[i].again = false;
	}
	pthread_mutex_unlock(&mdev->msi_lock);

	pthread_mutex_lock(&mdev->lock);
	mdev->generation = generation;
	if (state->have_config)
		mdev->given_generation = generation;
	pthread_mutex_unlock(&mdev->lock);
	/* What the device has changed since is announced when it goes on. */
	if (memcmp(mdev->config, state->config, mdev->config_len))
		mdev_config_changed(mdev);
}

/* Set parts: all or none. The device is stopped. Return: 0 or ADMIN_ERR. */
int mstate_set(struct mdev *mdev, struct parts_reader *reader)
{
	struct mdev_state state;
	struct virtq *vqs = NULL;
	struct part part;
	bool ok = true;
	int err;

	err = state_read(mdev, &state);
	if (err)
		return err;
	while (ok && parts_next(reader, &part))
		ok = set_part(mdev, &state, &part);
	if (!ok || reader->wrong || !state_ok(mdev, &state))
		err = ADMIN_ERR(EINVAL, INVALID_FIELD);
	if (!err) {
		vqs = make_vqs(mdev, &state);
		if (!vqs)
			err = ADMIN_ERR(ENOMEM, NORESOURCE);
	}
	if (!err) {
		state_write(mdev, &state, vqs);
		free(vqs);
	}
	state_free(&state);
	return err;
}
