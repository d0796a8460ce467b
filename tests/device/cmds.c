// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * The commands of the transport virtqueue.
 *
 * A handler runs in the worker of the target, or in the management thread. It
 * checks in the order of Documentation/protocol.rst and changes nothing before
 * the last check. It returns 0 when it has answered, or CMD_ERR.
 *
 * Commands that change what the driver's memory or interrupts see do it in a
 * section, so that a reset cannot come in the middle.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "cmds.h"
#include "log.h"
#include "mdev.h"
#include "transport.h"

struct command_desc {
	uint16_t class;
	uint16_t command;
	const char *name;
	bool for_mdev;
	bool more;			/* out-data goes on behind out_len */
	uint32_t out_len;
	uint32_t in_len;		/* at least */
	int (*run)(struct command *cmd);
};

/* The length of out-data, when its counts are known. */
static bool out_is(const struct command *cmd, uint64_t len)
{
	return cmd->out_len == len;
}

static bool all_zero(const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len--) {
		if (*p++)
			return false;
	}
	return true;
}

/*
 * Class 0: management
 */

static int cmd_nop(struct command *cmd)
{
	command_ok(cmd, NULL, 0);
	return 0;
}

static int cmd_limits(struct command *cmd)
{
	struct tvq *tvq = cmd->tvq;
	struct virtio_tvq_limits limits = {
		.devices_max = htole32(tvq->opt.devices_max),
		.vqs_max = htole32(tvq->opt.vqs_max),
		.vectors_max = htole32(tvq->opt.vectors_max),
		.device_vqs_max = htole16(tvq->opt.device_vqs_max),
		.device_vectors_max = htole16(tvq->opt.device_vectors_max),
		.config_max = htole16(TVQ_CONFIG_MAX),
		.command_out_max = htole32(TVQ_COMMAND_MAX),
		.command_in_max = htole32(TVQ_COMMAND_MAX),
	};
	const struct mdev_type *type;
	uint64_t mask = 0;
	unsigned int i;

	for (i = 0; (type = mdev_type_at(i)); i++) {
		if (mdev_type_possible(tvq, type))
			mask |= BIT64(type->type);
	}
	limits.types[0] = htole64(mask);
	pthread_mutex_lock(&tvq->lock);
	limits.devices_used = htole32(tvq->num_devices);
	limits.vqs_free = htole32(tvq->opt.vqs_max - tvq->vqs_used);
	limits.vectors_free = htole32(tvq->opt.vectors_max - tvq->vectors_used);
	pthread_mutex_unlock(&tvq->lock);
	command_ok(cmd, &limits, sizeof(limits));
	return 0;
}

static int cmd_list(struct command *cmd)
{
	const struct virtio_tvq_list_req *req = (void *)cmd->out;
	struct tvq *tvq = cmd->tvq;
	struct virtio_tvq_list *list;
	struct virtio_tvq_list_entry *entry;
	uint64_t after = le64toh(req->after);
	uint32_t i, room, count = 0;

	room = (cmd->in_len - sizeof(*list)) / sizeof(*entry);
	if (room > tvq->opt.devices_max)
		room = tvq->opt.devices_max;
	list = calloc(1, sizeof(*list) + room * sizeof(*entry));
	if (!list)
		return CMD_ERR(ENOMEM, NONE);
	entry = (void *)(list + 1);
	pthread_mutex_lock(&tvq->lock);
	for (i = 0; i < tvq->num_devices && count < room; i++) {
		if (tvq->devices[i]->id <= after)
			continue;
		entry[count].device_id = htole64(tvq->devices[i]->id);
		entry[count].type = htole32(tvq->devices[i]->type->type);
		count++;
	}
	list->generation = htole64(tvq->generation);
	list->total = htole32(tvq->num_devices);
	list->count = htole32(count);
	pthread_mutex_unlock(&tvq->lock);
	command_ok(cmd, list, sizeof(*list) + count * sizeof(*entry));
	free(list);
	return 0;
}

/* A string of at most len - 1 (or len) bytes, and nothing but NUL behind it. */
static bool get_string(char *to, const uint8_t *from, size_t len, bool terminated)
{
	size_t n = strnlen((const char *)from, len);

	if ((terminated && n == len) || !all_zero(from + n, len - n))
		return false;
	memcpy(to, from, n);
	to[n] = '\0';
	return true;
}

static int cmd_create(struct command *cmd)
{
	const struct virtio_tvq_create *req = (void *)cmd->out;
	const struct virtio_tvq_config_init *init = (void *)(req + 1);
	const struct mdev_type *type = mdev_type_by_id(le32toh(req->type));
	uint32_t flags = le32toh(req->flags);
	uint16_t num_config = le16toh(req->num_config), offset, len, i, j;
	struct mdev_params params = {
		.type = le32toh(req->type),
		.vqs = le16toh(req->vqs),
		.num_vectors = le16toh(req->num_vectors),
		.have_features = flags & VIRTIO_TVQ_CREATE_F_FEATURES,
	};
	struct mdev_reply reply = { .room = cmd->in_len };
	int err;

	if (!out_is(cmd, sizeof(*req) + (uint64_t)num_config * sizeof(*init)))
		return CMD_ERR(EINVAL, LENGTH);
	if ((flags & ~VIRTIO_TVQ_CREATE_F_FEATURES) || req->reserved || req->reserved2)
		return CMD_ERR(EINVAL, RESERVED);
	for (i = 0; i < num_config; i++) {
		if (init[i].reserved)
			return CMD_ERR(EINVAL, RESERVED);
	}
	if (!type)
		return CMD_ERR(ENXIO, TYPE);
	if (params.have_features) {
		params.features[0] = le64toh(req->features[0]);
		params.features[1] = le64toh(req->features[1]);
	}
	/* What is malformed here is refused where it is its turn. */
	params.bad_name = !get_string(params.name, req->name, sizeof(req->name), true);
	params.bad_serial = !get_string(params.serial, req->serial, sizeof(req->serial), false);
	for (i = 0; i < num_config && !params.bad_config; i++) {
		offset = le16toh(init[i].offset);
		len = le16toh(init[i].length);
		params.bad_config = !len || len > sizeof(init[i].data) ||
				    !all_zero(init[i].data + len, sizeof(init[i].data) - len) ||
				    !type->init_field(&params, offset, len, init[i].data);
		for (j = 0; j < i; j++)
			params.bad_config |= init[j].offset == init[i].offset;
	}
	err = managed_create(cmd->tvq, &params, 0, false, &reply, NULL);
	if (!err)
		command_ok(cmd, reply.buf, reply.len);
	free(reply.buf);
	return err;
}

static int cmd_destroy(struct command *cmd)
{
	managed_remove(cmd->mdev, false);
	command_ok(cmd, NULL, 0);
	return 0;
}

/*
 * Class 1: device
 */

static int cmd_describe(struct command *cmd)
{
	uint32_t len = managed_info_len(cmd->mdev);
	void *info;

	if (cmd->in_len < len)
		return CMD_ERR(EINVAL, LENGTH);
	info = malloc(len);
	if (!info)
		return CMD_ERR(ENOMEM, NONE);
	managed_info(cmd->mdev, info);
	command_ok(cmd, info, len);
	free(info);
	return 0;
}

static void reply_status(struct command *cmd)
{
	struct virtio_tvq_status status = { .status = cmd->mdev->status };

	command_ok(cmd, &status, sizeof(status));
}

/* The bits of the status that are the driver's. */
static uint8_t driver_bits(uint8_t status)
{
	return status & ~S_NEEDS_RESET;
}

static int cmd_negotiate(struct command *cmd)
{
	const struct virtio_tvq_negotiate *req = (void *)cmd->out;
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	struct mdev *mdev = cmd->mdev;
	uint64_t features = le64toh(req->features[0]);
	uint8_t status = req->status;

	if (!all_zero(req->reserved, sizeof(req->reserved)))
		return CMD_ERR(EINVAL, RESERVED);
	if (!(status & S_FEATURES_OK) || (status & (S_DRIVER_OK | S_NEEDS_RESET)))
		return CMD_ERR(EINVAL, STATE);
	if (mdev->status & S_FEATURES_OK)
		return CMD_ERR(EBUSY, STATE);
	if (driver_bits(mdev->status) & ~status)
		return CMD_ERR(EINVAL, STATE);

	if ((features & ~mdev->features) || req->features[1] || (features & needed) != needed ||
	    !mdev->type->features_ok(features))
		status &= ~S_FEATURES_OK;
	else
		mdev_set_features(mdev, features);
	mdev_set_status(mdev, status | (mdev->status & S_NEEDS_RESET));
	reply_status(cmd);
	return 0;
}

static int cmd_set_status(struct command *cmd)
{
	const struct virtio_tvq_status *req = (void *)cmd->out;
	struct mdev *mdev = cmd->mdev;
	uint8_t status = req->status, set = status & ~mdev->status;

	if (!all_zero(req->reserved, sizeof(req->reserved)))
		return CMD_ERR(EINVAL, RESERVED);
	if (!status || (driver_bits(mdev->status) & ~status) ||
	    (set & (S_NEEDS_RESET | S_FEATURES_OK)) ||
	    ((set & S_DRIVER_OK) && !(mdev->status & S_FEATURES_OK)))
		return CMD_ERR(EINVAL, STATE);
	mdev_set_status(mdev, status | (mdev->status & S_NEEDS_RESET));
	reply_status(cmd);
	return 0;
}

static int cmd_get_status(struct command *cmd)
{
	reply_status(cmd);
	return 0;
}

static int cmd_reset(struct command *cmd)
{
	mdev_reset(cmd->mdev);
	reply_status(cmd);
	return 0;
}

static void reply_config(struct command *cmd)
{
	struct {
		struct virtio_tvq_config hdr;
		uint8_t data[MDEV_CONFIG_MAX];
	} reply = { 0 };
	struct mdev *mdev = cmd->mdev;

	pthread_mutex_lock(&mdev->lock);
	reply.hdr.generation = htole32(mdev->generation);
	mdev->given_generation = mdev->generation;
	reply.hdr.length = htole32(mdev->config_len);
	reply.hdr.status = mdev->status;
	memcpy(reply.data, mdev->config, mdev->config_len);
	pthread_mutex_unlock(&mdev->lock);
	command_ok(cmd, &reply, sizeof(reply.hdr) + mdev->config_len);
}

static int cmd_get_config(struct command *cmd)
{
	if (cmd->in_len < sizeof(struct virtio_tvq_config) + cmd->mdev->config_len)
		return CMD_ERR(EINVAL, LENGTH);
	reply_config(cmd);
	return 0;
}

static int cmd_set_config(struct command *cmd)
{
	const struct virtio_tvq_config_write *req = (void *)cmd->out;
	struct mdev *mdev = cmd->mdev;
	uint32_t offset = le32toh(req->offset), len = le32toh(req->length);

	if (!out_is(cmd, sizeof(*req) + (uint64_t)len) ||
	    cmd->in_len < sizeof(struct virtio_tvq_config) + mdev->config_len)
		return CMD_ERR(EINVAL, LENGTH);
	if (!len || offset > mdev->config_len || len > mdev->config_len - offset)
		return CMD_ERR(EINVAL, CONFIG);
	if (!(mdev->status & S_FEATURES_OK))
		return CMD_ERR(EINVAL, STATE);
	if (mdev->type->config_write &&
	    mdev->type->config_write(mdev, offset, (const uint8_t *)(req + 1), len)) {
		pthread_mutex_lock(&mdev->lock);
		mdev->generation++;
		pthread_mutex_unlock(&mdev->lock);
	}
	reply_config(cmd);
	return 0;
}

/* A device has one region at most, with shmid 0. */
static int cmd_get_shm(struct command *cmd)
{
	const struct virtio_tvq_shm_req *req = (void *)cmd->out;
	const struct mdev *mdev = cmd->mdev;
	struct virtio_tvq_shm shm = {
		.bar = BAR_SHM,
		.offset = htole64(mdev->shm_offset),
		.length = htole64(mdev->shm_length),
	};

	if (!all_zero(req->reserved, sizeof(req->reserved)))
		return CMD_ERR(EINVAL, RESERVED);
	if (req->shm_id || !mdev->shm_length)
		return CMD_ERR(ENXIO, SHM);
	command_ok(cmd, &shm, sizeof(shm));
	return 0;
}

/*
 * Class 2: virtqueues
 */

static int check_msi(const struct virtio_tvq_msi_entry *entry, uint32_t count)
{
	for (; count; count--, entry++) {
		if ((entry->flags & ~(VIRTIO_TVQ_MSI_F_MASK | VIRTIO_TVQ_MSI_F_PENDING)) ||
		    !all_zero(entry->reserved, sizeof(entry->reserved)))
			return CMD_ERR(EINVAL, RESERVED);
	}
	return 0;
}

static bool vector_ok(const struct mdev *mdev, uint16_t vector)
{
	return vector < mdev->num_vectors || vector == VIRTIO_TVQ_NO_VECTOR;
}

static void vq_setup(const struct mdev *mdev, const struct virtio_tvq_vq *vq,
		     struct vq_setup *setup)
{
	*setup = (struct vq_setup){
		.size = le16toh(vq->size),
		.desc = le64toh(vq->desc),
		.driver = le64toh(vq->driver),
		.device = le64toh(vq->device),
		.features = mdev->driver_features,
	};
}

static int check_vq(struct mdev *mdev, const struct virtio_tvq_vq *vqs, uint16_t i)
{
	const struct virtio_tvq_vq *vq = &vqs[i];
	struct vq_setup setup;
	uint16_t index = le16toh(vq->index), size = le16toh(vq->size), j;

	if (index >= mdev->num_vqs)
		return CMD_ERR(ENXIO, QUEUE);
	for (j = 0; j < i; j++) {
		if (vqs[j].index == vq->index)
			return CMD_ERR(EINVAL, QUEUE);
	}
	if (!vq_size_ok(size, mdev->type->queue_size(mdev, index), mdev->driver_features))
		return CMD_ERR(EINVAL, QUEUE);
	if (!vector_ok(mdev, le16toh(vq->vector)))
		return CMD_ERR(EINVAL, VECTORS);
	vq_setup(mdev, vq, &setup);
	if (!vq_addresses_ok(&setup))
		return CMD_ERR(EINVAL, ADDRESS);
	return 0;
}

static int cmd_setup(struct command *cmd)
{
	const struct virtio_tvq_setup *req = (void *)cmd->out;
	const struct virtio_tvq_vq *vqs = (void *)(req + 1);
	uint16_t num_vqs = le16toh(req->num_vqs), num_msi = le16toh(req->num_msi), index, i;
	const struct virtio_tvq_msi_entry *msi = (void *)(vqs + num_vqs);
	struct mdev *mdev = cmd->mdev;
	struct mem *mem = &cmd->tvq->pci.mem;
	int err;

	if (!out_is(cmd, sizeof(*req) + (uint64_t)num_vqs * sizeof(*vqs) +
		    (uint64_t)num_msi * sizeof(*msi)))
		return CMD_ERR(EINVAL, LENGTH);
	if (req->reserved)
		return CMD_ERR(EINVAL, RESERVED);
	for (i = 0; i < num_vqs; i++) {
		if (vqs[i].reserved)
			return CMD_ERR(EINVAL, RESERVED);
	}
	err = check_msi(msi, num_msi);
	if (err)
		return err;
	if (num_msi > mdev->num_vectors || !vector_ok(mdev, le16toh(req->config_vector)))
		return CMD_ERR(EINVAL, VECTORS);
	for (i = 0; i < num_vqs; i++) {
		err = check_vq(mdev, vqs, i);
		if (err)
			return err;
	}
	if (!(mdev->status & S_FEATURES_OK))
		return CMD_ERR(EINVAL, STATE);
	for (i = 0; i < num_vqs; i++) {
		if (mdev->vqs[le16toh(vqs[i].index)].enabled)
			return CMD_ERR(EBUSY, QUEUE);
	}

	for (i = 0; i < num_vqs && !err; i++) {
		struct virtq *vq = &mdev->vqs[le16toh(vqs[i].index)];
		struct vq_setup layout;

		vq_setup(mdev, &vqs[i], &layout);
		if (vq_enable(vq, &layout))
			err = CMD_ERR(ENOMEM, NONE);
		hostile_queue_init(&vq->hostile, &cmd->tvq->hostile, mdev->id, mdev->type->type,
				   vq->index);
		vq->vector = le16toh(vqs[i].vector);
	}
	if (err) {
		while (i--)
			vq_disable(&mdev->vqs[le16toh(vqs[i].index)]);
		return err;
	}
	if (mem_enter_quiet(mem, mdev->epoch)) {
		managed_msi_set(mdev, 0, num_msi, msi);
		mem_leave(mem);
	}
	managed_set_config_vector(mdev, le16toh(req->config_vector));
	for (i = 0; i < num_vqs; i++) {
		index = le16toh(vqs[i].index);
		mdev_kick_queue(mdev, index);
	}
	command_ok(cmd, NULL, 0);
	return 0;
}

static int cmd_vq_reset(struct command *cmd)
{
	const struct virtio_tvq_vq_reset *req = (void *)cmd->out;
	uint16_t index = le16toh(req->index);
	struct mdev *mdev = cmd->mdev;

	if (req->reserved)
		return CMD_ERR(EINVAL, RESERVED);
	if (index >= mdev->num_vqs)
		return CMD_ERR(ENXIO, QUEUE);
	if (!mdev_has(mdev, F_RING_RESET))
		return CMD_ERR(EINVAL, STATE);
	if (!mdev->vqs[index].enabled)
		return CMD_ERR(ENXIO, QUEUE);
	mdev_stop_queue(mdev, index);
	command_ok(cmd, NULL, 0);
	return 0;
}

static int cmd_notify(struct command *cmd)
{
	const struct virtio_tvq_notify *req = (void *)cmd->out;
	uint32_t data = le32toh(req->data);
	struct mdev *mdev = cmd->mdev;
	uint16_t index = data;

	if ((data >> 16) && !mdev_has(mdev, F_NOTIFICATION_DATA))
		return CMD_ERR(EINVAL, RESERVED);
	if (index >= mdev->num_vqs)
		return CMD_ERR(ENXIO, QUEUE);
	mdev_kick_queue(mdev, index);
	command_ok(cmd, NULL, 0);
	return 0;
}

/*
 * Class 3: interrupts
 */

static int check_range(struct mdev *mdev, const struct virtio_tvq_msi_range *range)
{
	uint32_t first = le16toh(range->first), count = le16toh(range->count);

	return count && first + count <= mdev->num_vectors ? 0 : CMD_ERR(EINVAL, VECTORS);
}

static int cmd_msi_set(struct command *cmd)
{
	const struct virtio_tvq_msi_range *range = (void *)cmd->out;
	const struct virtio_tvq_msi_entry *entries = (void *)(range + 1);
	uint16_t count = le16toh(range->count);
	struct mdev *mdev = cmd->mdev;
	struct mem *mem = &cmd->tvq->pci.mem;
	int err;

	if (!out_is(cmd, sizeof(*range) + (uint64_t)count * sizeof(*entries)))
		return CMD_ERR(EINVAL, LENGTH);
	if (range->reserved)
		return CMD_ERR(EINVAL, RESERVED);
	err = check_msi(entries, count);
	if (!err)
		err = check_range(mdev, range);
	if (err)
		return err;
	if (mem_enter_quiet(mem, mdev->epoch)) {
		managed_msi_set(mdev, le16toh(range->first), count, entries);
		mem_leave(mem);
	}
	command_ok(cmd, NULL, 0);
	return 0;
}

static int cmd_msi_get(struct command *cmd)
{
	const struct virtio_tvq_msi_range *range = (void *)cmd->out;
	uint16_t count = le16toh(range->count);
	struct virtio_tvq_msi_entry *entries;
	int err;

	if (cmd->in_len < (uint64_t)count * sizeof(*entries))
		return CMD_ERR(EINVAL, LENGTH);
	if (range->reserved)
		return CMD_ERR(EINVAL, RESERVED);
	err = check_range(cmd->mdev, range);
	if (err)
		return err;
	entries = malloc(count * sizeof(*entries));
	if (!entries)
		return CMD_ERR(ENOMEM, NONE);
	managed_msi_get(cmd->mdev, le16toh(range->first), count, entries);
	command_ok(cmd, entries, count * sizeof(*entries));
	free(entries);
	return 0;
}

#define MGMT(c)		.class = VIRTIO_TVQ_CLASS_MGMT, .command = VIRTIO_TVQ_MGMT_##c, .name = #c
#define DEVICE(c)	.class = VIRTIO_TVQ_CLASS_DEVICE, .command = VIRTIO_TVQ_DEVICE_##c, \
			.name = #c, .for_mdev = true
#define VQ(c)		.class = VIRTIO_TVQ_CLASS_VQ, .command = VIRTIO_TVQ_VQ_##c, \
			.name = "VQ_" #c, .for_mdev = true
#define MSI(c)		.class = VIRTIO_TVQ_CLASS_MSI, .command = VIRTIO_TVQ_MSI_##c, \
			.name = "MSI_" #c, .for_mdev = true
#define OUT(type)	.out_len = sizeof(struct virtio_tvq_##type)
#define IN(type)	.in_len = sizeof(struct virtio_tvq_##type)

static const struct command_desc commands[] = {
	{ MGMT(NOP), .run = cmd_nop },
	{ MGMT(LIMITS), IN(limits), .run = cmd_limits },
	{ MGMT(LIST), OUT(list_req), .in_len = sizeof(struct virtio_tvq_list) +
	  sizeof(struct virtio_tvq_list_entry), .run = cmd_list },
	{ MGMT(CREATE), OUT(create), .more = true, IN(device_info), .run = cmd_create },
	{ MGMT(DESTROY), .for_mdev = true, .run = cmd_destroy },
	{ DEVICE(DESCRIBE), IN(device_info), .run = cmd_describe },
	{ DEVICE(NEGOTIATE), OUT(negotiate), IN(status), .run = cmd_negotiate },
	{ DEVICE(SET_STATUS), OUT(status), IN(status), .run = cmd_set_status },
	{ DEVICE(GET_STATUS), IN(status), .run = cmd_get_status },
	{ DEVICE(RESET), IN(status), .run = cmd_reset },
	{ DEVICE(GET_CONFIG), IN(config), .run = cmd_get_config },
	{ DEVICE(SET_CONFIG), OUT(config_write), .more = true, IN(config), .run = cmd_set_config },
	{ DEVICE(GET_SHM), OUT(shm_req), IN(shm), .run = cmd_get_shm },
	{ VQ(SETUP), OUT(setup), .more = true, .run = cmd_setup },
	{ VQ(RESET), OUT(vq_reset), .run = cmd_vq_reset },
	{ VQ(NOTIFY), OUT(notify), .run = cmd_notify },
	{ MSI(SET), OUT(msi_range), .more = true, .run = cmd_msi_set },
	{ MSI(GET), OUT(msi_range), .run = cmd_msi_get },
};

const struct command_desc *cmds_find(uint16_t class, uint16_t command)
{
	unsigned int i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (commands[i].class == class && commands[i].command == command)
			return &commands[i];
	}
	return NULL;
}

const char *cmds_name(const struct command_desc *desc)
{
	return desc->name;
}

bool cmds_knows(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(commands[i].name, name))
			return true;
	}
	return false;
}

bool cmds_for_mdev(const struct command_desc *desc)
{
	return desc->for_mdev;
}

/* Execute a command and answer it. */
void cmds_run(struct job *job)
{
	struct command *cmd = container_of(job, struct command, job);
	const struct command_desc *desc = cmd->desc;
	struct mdev *mdev = cmd->mdev;
	int err;

	/* One of before a reset is forgotten, and so has no effect behind it. */
	if (cmd->epoch != (cmd->mdev ? cmd->mdev->epoch : mem_epoch(&cmd->tvq->pci.mem)))
		err = CMD_ERR(EAGAIN, NONE);
	else if (cmd->out_len < desc->out_len || (!desc->more && cmd->out_len > desc->out_len) ||
		 cmd->in_len < desc->in_len)
		err = CMD_ERR(EINVAL, LENGTH);
	else
		err = desc->run(cmd);
	if (err)
		command_error(cmd, err);
	/* Without end, if what comes of it is a command. */
	if (mdev && !mdev->dying && hostile_config_changed(&mdev->vqs[0].hostile))
		mdev_config_changed(mdev);
}
