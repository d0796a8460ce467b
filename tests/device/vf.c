// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Virtual functions on paper.
 *
 * QEMU does not show a guest the SR-IOV capability of a vfio-user function, and a
 * socket carries one function. So the members of the SR-IOV group have no registers
 * and no driver: they are what admin commands say about them, and nothing but that.
 * All with tvq.lock.
 */
#include <stdlib.h>
#include <string.h>

#include "mdev.h"

#define VF_QUEUES		2
#define VF_QUEUE_SIZE		256
#define VF_VECTORS		4	/* by default, ... */
#define VF_VECTORS_EACH		8	/* ... of so many for each in all */
#define VF_VECTORS_MAX		2048

#define VF_POSSIBLE	(BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) |		\
			 BIT64(F_RING_INDIRECT) | BIT64(F_RING_EVENT_IDX) |		\
			 BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER) | BIT64(F_RING_RESET))
#define VF_NEEDED	(BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM))

/* What a driver would have set. */
struct vf_state {
	uint64_t features;
	uint8_t status;
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t msix_config;
	uint16_t queue_select;
	struct virtio_tvq_dev_part_vq_cfg vq[VF_QUEUES];
};

struct vf {
	uint64_t features;		/* offered */
	uint16_t vectors;
	bool stopped;
	uint8_t objects[ADMIN_OBJECTS];
	struct vf_state state;
};

/* Of struct virtio_pci_common_cfg, what of it is a part */
static const struct {
	uint32_t offset;
	uint32_t len;
	size_t at;
} fields[] = {
	{ 0, 4, offsetof(struct vf_state, device_feature_select) },
	{ 8, 4, offsetof(struct vf_state, driver_feature_select) },
	{ 16, 2, offsetof(struct vf_state, msix_config) },
	{ 22, 2, offsetof(struct vf_state, queue_select) },
};

/* queue_notify_off, and data that is not offered */
struct vf_notify {
	uint16_t off;
	uint16_t data;
	uint32_t reserved;
};

static void reset_state(struct vf_state *state)
{
	unsigned int i;

	memset(state, 0, sizeof(*state));
	state->msix_config = VIRTIO_TVQ_NO_VECTOR;
	for (i = 0; i < VF_QUEUES; i++)
		state->vq[i].vector = htole16(VIRTIO_TVQ_NO_VECTOR);
}

void vfs_reset(struct vf *vfs, unsigned int num)
{
	while (num--) {
		memset(&vfs[num], 0, sizeof(vfs[num]));
		vfs[num].features = VF_POSSIBLE & ~(BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER));
		vfs[num].vectors = VF_VECTORS;
		reset_state(&vfs[num].state);
	}
}

struct vf *vfs_alloc(unsigned int num)
{
	struct vf *vfs = calloc(num + 1, sizeof(*vfs));

	if (vfs)
		vfs_reset(vfs, num);
	return vfs;
}

struct vf *vf_at(struct vf *vfs, unsigned int i)
{
	return &vfs[i];
}

uint8_t *vf_objects(struct vf *vf)
{
	return vf->objects;
}

void vf_set_stopped(struct vf *vf, bool stopped)
{
	vf->stopped = stopped;
}

bool vf_stopped(const struct vf *vf)
{
	return vf->stopped;
}

/*
 * Parts
 */

void vf_get(const struct vf *vf, struct parts *parts)
{
	const struct vf_state *state = &vf->state;
	uint64_t features[2] = { htole64(vf->features) };
	uint32_t value;
	uint16_t i;

	parts_add(parts, VIRTIO_TVQ_DEV_PART_DEV_FEATURES, 0, features, sizeof(features));
	features[0] = htole64(state->features);
	parts_add(parts, VIRTIO_TVQ_DEV_PART_DRV_FEATURES, 0, features, sizeof(features));
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		value = 0;
		memcpy(&value, (const uint8_t *)state + fields[i].at, fields[i].len);
		value = fields[i].len == 2 ? htole16(value) : htole32(value);
		parts_add(parts, VIRTIO_TVQ_DEV_PART_PCI_COMMON_CFG, fields[i].offset, &value,
			  fields[i].len);
	}
	parts_add(parts, VIRTIO_TVQ_DEV_PART_DEVICE_STATUS, 0, &state->status, 1);
	for (i = 0; i < VF_QUEUES; i++)
		parts_add(parts, VIRTIO_TVQ_DEV_PART_VQ_CFG, i, &state->vq[i],
			  sizeof(state->vq[i]));
	for (i = 0; i < VF_QUEUES; i++) {
		const struct vf_notify notify = { .off = htole16(i) };

		parts_add(parts, VIRTIO_TVQ_DEV_PART_VQ_NOTIFY_CFG, i, &notify, sizeof(notify));
	}
}

static bool set_common(struct vf_state *state, const struct part *part)
{
	uint32_t value = 0;
	unsigned int i;
	uint16_t half;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].offset != part->selector || fields[i].len != part->len)
			continue;
		memcpy(&value, part->value, part->len);
		value = le32toh(value);
		half = value;
		if (part->len == 2)
			memcpy((uint8_t *)state + fields[i].at, &half, 2);
		else
			memcpy((uint8_t *)state + fields[i].at, &value, 4);
		return true;
	}
	return false;
}

/* Return: whether the part is one of the device's, and of its length. */
static bool set_part(const struct vf *vf, struct vf_state *state, const struct part *part)
{
	struct vf_notify notify;
	uint64_t features[2];

	switch (part->type) {
	case VIRTIO_TVQ_DEV_PART_DEV_FEATURES:
	case VIRTIO_TVQ_DEV_PART_DRV_FEATURES:
		if (part->len != sizeof(features))
			return false;
		memcpy(features, part->value, sizeof(features));
		if (features[1])
			return false;
		if (part->type == VIRTIO_TVQ_DEV_PART_DEV_FEATURES)
			return le64toh(features[0]) == vf->features;
		state->features = le64toh(features[0]);
		return true;
	case VIRTIO_TVQ_DEV_PART_PCI_COMMON_CFG:
		return set_common(state, part);
	case VIRTIO_TVQ_DEV_PART_DEVICE_STATUS:
		if (part->len != 1)
			return false;
		state->status = part->value[0];
		return true;
	case VIRTIO_TVQ_DEV_PART_VQ_CFG:
		if (part->selector >= VF_QUEUES || part->len != sizeof(state->vq[0]))
			return false;
		memcpy(&state->vq[part->selector], part->value, sizeof(state->vq[0]));
		state->vq[part->selector].reserved = 0;
		return true;
	case VIRTIO_TVQ_DEV_PART_VQ_NOTIFY_CFG:
		if (part->selector >= VF_QUEUES || part->len != sizeof(notify))
			return false;
		memcpy(&notify, part->value, sizeof(notify));
		return le16toh(notify.off) == part->selector && !notify.data;
	default:
		return false;
	}
}

static bool vector_ok(const struct vf *vf, uint16_t vector)
{
	return vector < vf->vectors || vector == VIRTIO_TVQ_NO_VECTOR;
}

static bool state_ok(const struct vf *vf, const struct vf_state *state)
{
	bool features_ok = state->status & S_FEATURES_OK;
	struct vq_setup setup;
	unsigned int i;

	if (features_ok && ((state->features & ~vf->features) ||
			    (state->features & VF_NEEDED) != VF_NEEDED))
		return false;
	if (!features_ok && (state->features || (state->status & S_DRIVER_OK)))
		return false;
	if (!vector_ok(vf, state->msix_config))
		return false;
	for (i = 0; i < VF_QUEUES; i++) {
		const struct virtio_tvq_dev_part_vq_cfg *cfg = &state->vq[i];

		setup = (struct vq_setup){
			.size = le16toh(cfg->queue_size),
			.desc = le64toh(cfg->queue_desc),
			.driver = le64toh(cfg->queue_driver),
			.device = le64toh(cfg->queue_device),
			.features = state->features,
		};
		if (le16toh(cfg->enabled) > 1 || !vector_ok(vf, le16toh(cfg->vector)))
			return false;
		if (!cfg->enabled) {
			if (setup.size || setup.desc || setup.driver || setup.device ||
			    le16toh(cfg->vector) != VIRTIO_TVQ_NO_VECTOR)
				return false;
			continue;
		}
		if (!features_ok || !vq_size_ok(setup.size, VF_QUEUE_SIZE, setup.features) ||
		    !vq_addresses_ok(&setup))
			return false;
	}
	return true;
}

int vf_set(struct vf *vf, struct parts_reader *reader)
{
	struct vf_state state = vf->state;
	struct part part;

	while (parts_next(reader, &part)) {
		if ((part.flags & ~(1u << VIRTIO_DEV_PART_F_OPTIONAL)) ||
		    !set_part(vf, &state, &part))
			return ADMIN_ERR(EINVAL, INVALID_FIELD);
	}
	if (reader->wrong || !state_ok(vf, &state))
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	vf->state = state;
	return 0;
}

/*
 * Attributes
 */

static uint32_t vectors_total(const struct tvq *tvq)
{
	return VF_VECTORS_EACH * tvq->opt.sriov;
}

int vf_get_attribute(struct tvq *tvq, const struct vf *vf, uint16_t attribute, uint8_t *value)
{
	uint64_t number;

	switch (attribute) {
	case VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE:
		number = VF_POSSIBLE;
		break;
	case VIRTIO_TVQ_MEMBER_FEATURES:
		number = vf->features;
		break;
	case VIRTIO_TVQ_MEMBER_VECTORS:
		number = vf->vectors;
		break;
	case VIRTIO_TVQ_MEMBER_VECTORS_TOTAL:
		number = vectors_total(tvq);
		break;
	default:
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	}
	number = htole64(number);
	memcpy(value, &number, sizeof(number));
	return 0;
}

static int set_vectors(struct tvq *tvq, struct vf *vf, uint16_t vectors)
{
	uint32_t used = 0, i;

	if (!vectors)
		vectors = VF_VECTORS;
	if (vectors > VF_VECTORS_MAX)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	if (vf->state.status)
		return ADMIN_ERR(EBUSY, INVALID_COMMAND);
	for (i = 0; i < tvq->opt.sriov; i++)
		used += &tvq->admin.vfs[i] == vf ? 0 : tvq->admin.vfs[i].vectors;
	if (vectors > vectors_total(tvq) - used)
		return ADMIN_ERR(ENOSPC, NORESOURCE);
	vf->vectors = vectors;
	if (!vector_ok(vf, vf->state.msix_config))
		vf->state.msix_config = VIRTIO_TVQ_NO_VECTOR;
	return 0;
}

static int set_features(struct vf *vf, const uint8_t *value)
{
	uint64_t features[2];

	memcpy(features, value, sizeof(features));
	features[0] = le64toh(features[0]);
	if (features[1] || (features[0] & ~VF_POSSIBLE) || (features[0] & VF_NEEDED) != VF_NEEDED)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	if (vf->state.status)
		return ADMIN_ERR(EBUSY, INVALID_COMMAND);
	vf->features = features[0];
	return 0;
}

int vf_set_attribute(struct tvq *tvq, struct vf *vf, uint16_t attribute, const uint8_t *value)
{
	switch (attribute) {
	case VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE:
	case VIRTIO_TVQ_MEMBER_VECTORS_TOTAL:
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	case VIRTIO_TVQ_MEMBER_FEATURES:
		return set_features(vf, value);
	case VIRTIO_TVQ_MEMBER_VECTORS:
		return set_vectors(tvq, vf, value[0] | value[1] << 8);
	default:
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	}
}
