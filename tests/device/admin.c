// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Admin virtqueues and their commands.
 *
 * A command is run with tvq.lock, in the order of checks of Documentation/admin.rst;
 * it changes nothing before the last check. What it leaves to the worker of a managed
 * device (admin_command.work) is waited for without the lock.
 */
#include <endian.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "log.h"
#include "mdev.h"
#include "tvq.h"

#define LIST_WORDS	(VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET / 64 + 1)
#define SELF_WORDS	1
/* Zeroes behind command specific data: a structure can be read without looking */
#define DATA_SLACK	(8 * LIST_WORDS)
#define DATA_MAX	(131072 - sizeof(struct virtio_admin_cmd_hdr))

#define SELF		(1u << ADMIN_SELF)
#define SRIOV		(1u << ADMIN_SRIOV)
#define MANAGED		(1u << ADMIN_MANAGED)

struct admin_desc {
	uint16_t opcode;
	const char *name;
	uint32_t groups;
	bool member;			/* group_member_id is used */
	uint32_t result_len;		/* that is written with an error, too */
	int (*run)(struct admin_command *cmd);
};

/* The status and the qualifier for an error of provisioning. */
static int admin_error(int cmd_err)
{
	switch (cmd_err >> 16) {
	case VIRTIO_TVQ_STATUS_OK:
		return 0;
	case VIRTIO_TVQ_STATUS_ENOSPC:
		return ADMIN_ERR(ENOSPC, NORESOURCE);
	case VIRTIO_TVQ_STATUS_EBUSY:
		return ADMIN_ERR(EBUSY, INVALID_COMMAND);
	case VIRTIO_TVQ_STATUS_ENOMEM:
		return ADMIN_ERR(ENOMEM, NORESOURCE);
	default:
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	}
}

/* Keep a result for the answer. Return: 0 or ADMIN_ERR. */
static int set_result(struct admin_command *cmd, const void *result, uint32_t len)
{
	cmd->result = malloc(len ? len : 1);
	if (!cmd->result)
		return ADMIN_ERR(ENOMEM, NORESOURCE);
	memcpy(cmd->result, result, len);
	cmd->result_len = len;
	return 0;
}

/* The room for a result. */
static uint64_t result_room(const struct admin_command *cmd)
{
	const uint64_t status_len = sizeof(struct virtio_admin_cmd_status);

	return cmd->chain.in_len > status_len ? cmd->chain.in_len - status_len : 0;
}

/*
 * Lists of commands
 */

static const struct admin_desc *desc_at(unsigned int i);

static enum admin_group group_of(uint16_t type)
{
	switch (type) {
	case VIRTIO_ADMIN_GROUP_TYPE_SELF:
		return ADMIN_SELF;
	case VIRTIO_ADMIN_GROUP_TYPE_SRIOV:
		return ADMIN_SRIOV;
	case VIRTIO_TVQ_ADMIN_GROUP_MANAGED:
		return ADMIN_MANAGED;
	default:
		return ADMIN_GROUPS;
	}
}

static uint32_t list_len(enum admin_group group)
{
	return 8 * (group == ADMIN_SELF ? SELF_WORDS : LIST_WORDS);
}

static int cmd_list_query(struct admin_command *cmd)
{
	enum admin_group group = group_of(cmd->group_type);
	uint64_t list[LIST_WORDS] = { 0 };
	const struct admin_desc *desc;
	unsigned int i;

	for (i = 0; (desc = desc_at(i)); i++) {
		if (desc->groups & 1u << group)
			list[desc->opcode / 64] |= htole64(BIT64(desc->opcode % 64));
	}
	return set_result(cmd, list, list_len(group));
}

static int cmd_list_use(struct admin_command *cmd)
{
	enum admin_group group = group_of(cmd->group_type);
	uint64_t list[LIST_WORDS];
	const struct admin_desc *desc;
	uint32_t used = 0;
	unsigned int i;

	/* What is behind the length of the list is ignored. */
	memcpy(list, cmd->data, list_len(group));
	for (i = 0; (desc = desc_at(i)); i++) {
		uint64_t *word = &list[desc->opcode / 64];
		uint64_t bit = htole64(BIT64(desc->opcode % 64));

		if (desc->opcode / 64 >= list_len(group) / 8 || !(*word & bit) ||
		    !(desc->groups & 1u << group))
			continue;
		used |= 1u << i;
		*word &= ~bit;
	}
	for (i = 0; i < list_len(group) / 8; i++) {
		if (list[i])
			return ADMIN_ERR(EINVAL, INVALID_FIELD);
	}
	cmd->tvq->admin.used[group] = used;
	return 0;
}

/*
 * Capabilities
 */

static int cmd_cap_id_list_query(struct admin_command *cmd)
{
	const uint64_t caps = htole64(BIT64(VIRTIO_DEV_PARTS_CAP));

	return set_result(cmd, &caps, sizeof(caps));
}

static int cmd_device_cap_get(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_cap_get_data *req = (void *)cmd->data;
	const struct virtio_dev_parts_cap cap = {
		.get_parts_resource_objects_limit = ADMIN_GET_OBJECTS,
		.set_parts_resource_objects_limit = ADMIN_SET_OBJECTS,
	};

	if (le16toh(req->id) != VIRTIO_DEV_PARTS_CAP)
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	return set_result(cmd, &cap, sizeof(cap));
}

static int cmd_driver_cap_set(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_cap_set_data *req = (void *)cmd->data;
	const struct virtio_dev_parts_cap *cap = (void *)req->cap_specific_data;
	struct admin *admin = &cmd->tvq->admin;

	if (le16toh(req->id) != VIRTIO_DEV_PARTS_CAP)
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	if (cap->get_parts_resource_objects_limit > ADMIN_GET_OBJECTS ||
	    cap->set_parts_resource_objects_limit > ADMIN_SET_OBJECTS)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	if (admin->num_objects)
		return ADMIN_ERR(EBUSY, INVALID_COMMAND);
	admin->get_limit = cap->get_parts_resource_objects_limit;
	admin->set_limit = cap->set_parts_resource_objects_limit;
	return 0;
}

/*
 * Resource objects
 */

/* Those of the member: the kind + 1 of each, or 0. */
static uint8_t *objects_of(struct admin_command *cmd)
{
	return cmd->mdev ? cmd->mdev->objects : vf_objects(cmd->vf);
}

/* The header of a command for an object. Return: 0 or ADMIN_ERR. */
static int check_header(struct admin_command *cmd, uint32_t *id)
{
	const struct virtio_admin_cmd_resource_obj_cmd_hdr *hdr = (void *)cmd->data;
	const struct admin *admin = &cmd->tvq->admin;

	*id = le32toh(hdr->id);
	if (le16toh(hdr->type) != VIRTIO_RESOURCE_OBJ_DEV_PARTS)
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	if (*id >= (uint32_t)admin->get_limit + admin->set_limit)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	return 0;
}

/* Whether the member can have another object of a kind, but for the one with an id. */
static bool has_room(struct admin_command *cmd, uint8_t kind, uint32_t id)
{
	const struct admin *admin = &cmd->tvq->admin;
	const uint8_t *objects = objects_of(cmd);
	uint32_t num = 0, i;

	for (i = 0; i < ADMIN_OBJECTS; i++)
		num += i != id && objects[i] == kind + 1;
	return num < (kind == VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET ? admin->get_limit :
								       admin->set_limit);
}

static int create_or_modify(struct admin_command *cmd, bool create)
{
	const struct virtio_admin_cmd_resource_obj_create_data *req = (void *)cmd->data;
	const struct virtio_resource_obj_dev_parts *obj = (void *)req->resource_obj_specific_data;
	uint8_t *objects = objects_of(cmd);
	uint32_t id;
	int err;

	err = check_header(cmd, &id);
	if (err)
		return err;
	if (req->flags || obj->type > VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	if (create && objects[id])
		return ADMIN_ERR(EEXIST, INVALID_FIELD);
	if (!create && !objects[id])
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	if (!has_room(cmd, obj->type, id))
		return ADMIN_ERR(ENOSPC, NORESOURCE);
	objects[id] = obj->type + 1;
	cmd->tvq->admin.num_objects += create;
	return 0;
}

static int cmd_obj_create(struct admin_command *cmd)
{
	return create_or_modify(cmd, true);
}

static int cmd_obj_modify(struct admin_command *cmd)
{
	return create_or_modify(cmd, false);
}

static int cmd_obj_query(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_resource_obj_create_data *req = (void *)cmd->data;
	struct virtio_resource_obj_dev_parts obj = { 0 };
	uint32_t id;
	int err;

	err = check_header(cmd, &id);
	if (err)
		return err;
	if (req->flags)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	if (!objects_of(cmd)[id])
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	obj.type = objects_of(cmd)[id] - 1;
	return set_result(cmd, &obj, sizeof(obj));
}

static int cmd_obj_destroy(struct admin_command *cmd)
{
	uint32_t id;
	int err;

	err = check_header(cmd, &id);
	if (err)
		return err;
	if (!objects_of(cmd)[id])
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	objects_of(cmd)[id] = 0;
	cmd->tvq->admin.num_objects--;
	return 0;
}

/* An object of the kind that a command needs. */
static int need_object(struct admin_command *cmd, uint32_t id, uint8_t kind)
{
	if (!objects_of(cmd)[id])
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	return objects_of(cmd)[id] == kind + 1 ? 0 : ADMIN_ERR(EINVAL, INVALID_FIELD);
}

void admin_drop_objects(struct tvq *tvq, uint8_t *objects)
{
	unsigned int i;

	for (i = 0; i < ADMIN_OBJECTS; i++) {
		tvq->admin.num_objects -= !!objects[i];
		objects[i] = 0;
	}
}

/*
 * Device parts: the second half is done in the worker of a managed device
 */

static int get_parts(struct admin_command *cmd, struct parts *parts)
{
	if (cmd->mdev)
		return mstate_get(cmd->mdev, parts);
	vf_get(cmd->vf, parts);
	return parts->failed ? ADMIN_ERR(ENOMEM, NORESOURCE) : 0;
}

static bool is_stopped(const struct admin_command *cmd)
{
	return cmd->mdev ? cmd->mdev->stopped : vf_stopped(cmd->vf);
}

/* A count or a size, and the headers where those are asked for */
static int metadata_result(struct admin_command *cmd, uint32_t number, const void *hdrs,
			   uint32_t len)
{
	uint32_t head[2] = { htole32(number) };

	if (result_room(cmd) < sizeof(head) + len)
		return ADMIN_ERR(ENOMEM, INVALID_COMMAND);
	cmd->result = malloc(sizeof(head) + len);
	if (!cmd->result)
		return ADMIN_ERR(ENOMEM, NORESOURCE);
	memcpy(cmd->result, head, sizeof(head));
	if (len)
		memcpy((uint8_t *)cmd->result + sizeof(head), hdrs, len);
	cmd->result_len = sizeof(head) + len;
	return 0;
}

static int work_metadata_get(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_dev_parts_metadata_data *req = (void *)cmd->data;
	struct parts parts = { 0 };
	uint32_t len;
	void *hdrs;
	int err;

	err = get_parts(cmd, &parts);
	if (!err && req->type == VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_SIZE) {
		len = cmd->mdev ? mstate_max(cmd->mdev, parts.len) : parts.len;
		err = metadata_result(cmd, len, NULL, 0);
	} else if (!err && req->type == VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_COUNT) {
		err = metadata_result(cmd, parts.count, NULL, 0);
	} else if (!err) {
		hdrs = parts_headers(&parts, &len);
		err = hdrs ? metadata_result(cmd, parts.count, hdrs, len) :
			     ADMIN_ERR(ENOMEM, NORESOURCE);
		free(hdrs);
	}
	parts_free(&parts);
	return err;
}

static int work_parts_get(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_dev_parts_get_data *req = (void *)cmd->data;
	struct parts parts = { 0 };
	int err;

	err = get_parts(cmd, &parts);
	if (!err && req->type == VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_SELECTED)
		parts_select(&parts, req->hdr_list,
			     cmd->data_len > sizeof(*req) ? cmd->data_len - sizeof(*req) : 0);
	if (err) {
		parts_free(&parts);
	} else {
		cmd->result = parts.data;
		cmd->result_len = parts.len;
	}
	return err;
}

static int work_parts_set(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_dev_parts_set_data *req = (void *)cmd->data;
	struct parts_reader reader = {
		.data = (const uint8_t *)req->parts,
		.len = cmd->data_len > sizeof(*req) ? cmd->data_len - sizeof(*req) : 0,
	};

	if (!is_stopped(cmd))
		return ADMIN_ERR(EBUSY, INVALID_COMMAND);
	return cmd->mdev ? mstate_set(cmd->mdev, &reader) : vf_set(cmd->vf, &reader);
}

static int work_mode_set(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_dev_mode_set_data *req = (void *)cmd->data;
	bool stop = req->flags & 1u << VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED;

	if (!cmd->mdev)
		vf_set_stopped(cmd->vf, stop);
	else if (stop)
		mdev_stop(cmd->mdev);
	else
		mdev_resume(cmd->mdev);
	return 0;
}

static int cmd_parts_metadata_get(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_dev_parts_metadata_data *req = (void *)cmd->data;
	uint32_t id;
	int err;

	err = check_header(cmd, &id);
	if (err)
		return err;
	if (req->type > VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_LIST)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	cmd->work = work_metadata_get;
	return need_object(cmd, id, VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET);
}

static int cmd_parts_get(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_dev_parts_get_data *req = (void *)cmd->data;
	uint32_t id;
	int err;

	err = check_header(cmd, &id);
	if (err)
		return err;
	if (req->type > VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_ALL)
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	cmd->work = work_parts_get;
	return need_object(cmd, id, VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET);
}

static int cmd_parts_set(struct admin_command *cmd)
{
	uint32_t id;
	int err;

	err = check_header(cmd, &id);
	if (err)
		return err;
	cmd->work = work_parts_set;
	return need_object(cmd, id, VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET);
}

static int cmd_mode_set(struct admin_command *cmd)
{
	const struct virtio_admin_cmd_dev_mode_set_data *req = (void *)cmd->data;

	if (req->flags & ~(1u << VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED))
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	cmd->work = work_mode_set;
	return 0;
}

/*
 * Management of members
 */

static bool is_net(const struct mdev *mdev)
{
	return mdev->type == &net_type;
}

/* The worker writes what is read here with tvq.lock. */
static int mdev_get_attribute(struct mdev *mdev, uint16_t attribute, uint8_t *value)
{
	uint64_t number;

	switch (attribute) {
	case VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE:
		number = mdev_possible_features(mdev);
		break;
	case VIRTIO_TVQ_MEMBER_FEATURES:
		number = mdev->features;
		break;
	case VIRTIO_TVQ_MEMBER_MAC:
		if (!is_net(mdev))
			return ADMIN_ERR(ENXIO, INVALID_FIELD);
		memcpy(value, mdev->params.mac, 6);
		return 0;
	case VIRTIO_TVQ_MEMBER_MTU:
		if (!is_net(mdev))
			return ADMIN_ERR(ENXIO, INVALID_FIELD);
		number = mdev->params.mtu;
		break;
	case VIRTIO_TVQ_MEMBER_VQS:
		number = mdev->params.vqs;
		break;
	case VIRTIO_TVQ_MEMBER_VECTORS:
		number = mdev->num_vectors;
		break;
	default:
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	}
	number = htole64(number);
	memcpy(value, &number, sizeof(number));
	return 0;
}

/* In the worker. What the device had chosen itself, it chooses again. */
static int work_member_set(struct admin_command *cmd)
{
	const struct virtio_tvq_admin_member_set_data *req = (void *)cmd->data;
	struct mdev *mdev = cmd->mdev;
	struct mdev_params params = mdev->params;
	uint16_t half = req->value[0] | req->value[1] << 8;
	uint64_t features[2];

	if (params.auto_features)
		params.have_features = false;
	if (params.auto_vectors)
		params.num_vectors = 0;
	switch (le16toh(req->attribute)) {
	case VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE:
		return ADMIN_ERR(EINVAL, INVALID_FIELD);
	case VIRTIO_TVQ_MEMBER_FEATURES:
		memcpy(features, req->value, sizeof(features));
		params.features[0] = le64toh(features[0]);
		params.features[1] = le64toh(features[1]);
		params.have_features = true;
		params.auto_features = false;
		break;
	case VIRTIO_TVQ_MEMBER_MAC:
		if (!is_net(mdev))
			return ADMIN_ERR(ENXIO, INVALID_FIELD);
		memcpy(params.mac, req->value, 6);
		params.have_mac = true;
		break;
	case VIRTIO_TVQ_MEMBER_MTU:
		if (!is_net(mdev))
			return ADMIN_ERR(ENXIO, INVALID_FIELD);
		params.mtu = half;
		params.have_mtu = true;
		break;
	case VIRTIO_TVQ_MEMBER_VQS:
		params.vqs = half;
		break;
	case VIRTIO_TVQ_MEMBER_VECTORS:
		params.num_vectors = half;
		params.auto_vectors = false;
		break;
	default:
		return ADMIN_ERR(ENXIO, INVALID_FIELD);
	}
	return admin_error(managed_provision(mdev, &params));
}

static int cmd_member_get(struct admin_command *cmd)
{
	const struct virtio_tvq_admin_member_get_data *req = (void *)cmd->data;
	uint16_t attribute = le16toh(req->attribute);
	uint8_t value[16] = { 0 };
	int err;

	if (cmd->mdev)
		err = mdev_get_attribute(cmd->mdev, attribute, value);
	else
		err = vf_get_attribute(cmd->tvq, cmd->vf, attribute, value);
	return err ? err : set_result(cmd, value, sizeof(value));
}

static int cmd_member_set(struct admin_command *cmd)
{
	const struct virtio_tvq_admin_member_set_data *req = (void *)cmd->data;

	if (cmd->vf)
		return vf_set_attribute(cmd->tvq, cmd->vf, le16toh(req->attribute), req->value);
	cmd->work = work_member_set;
	return 0;
}

/*
 * The table
 */

#define CMD(c)		.opcode = VIRTIO_ADMIN_CMD_##c, .name = #c
#define ALL		(SELF | SRIOV | MANAGED)
#define MEMBERS		(SRIOV | MANAGED)

static const struct admin_desc commands[] = {
	{ CMD(LIST_QUERY), .groups = ALL, .run = cmd_list_query },
	{ CMD(LIST_USE), .groups = ALL, .run = cmd_list_use },
	{ CMD(CAP_ID_LIST_QUERY), .groups = SELF, .member = true, .result_len = 8,
	  .run = cmd_cap_id_list_query },
	{ CMD(DEVICE_CAP_GET), .groups = SELF, .member = true, .run = cmd_device_cap_get },
	{ CMD(DRIVER_CAP_SET), .groups = SELF, .member = true, .run = cmd_driver_cap_set },
	{ CMD(RESOURCE_OBJ_CREATE), .groups = MEMBERS, .member = true, .run = cmd_obj_create },
	{ CMD(RESOURCE_OBJ_MODIFY), .groups = MEMBERS, .member = true, .run = cmd_obj_modify },
	{ CMD(RESOURCE_OBJ_QUERY), .groups = MEMBERS, .member = true,
	  .result_len = sizeof(struct virtio_resource_obj_dev_parts), .run = cmd_obj_query },
	{ CMD(RESOURCE_OBJ_DESTROY), .groups = MEMBERS, .member = true, .run = cmd_obj_destroy },
	{ CMD(DEV_PARTS_METADATA_GET), .groups = MEMBERS, .member = true, .result_len = 8,
	  .run = cmd_parts_metadata_get },
	{ CMD(DEV_PARTS_GET), .groups = MEMBERS, .member = true, .run = cmd_parts_get },
	{ CMD(DEV_PARTS_SET), .groups = MEMBERS, .member = true, .run = cmd_parts_set },
	{ CMD(DEV_MODE_SET), .groups = MEMBERS, .member = true, .run = cmd_mode_set },
	{ .opcode = VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET, .name = "MEMBER_GET", .groups = MEMBERS,
	  .member = true, .result_len = 16, .run = cmd_member_get },
	{ .opcode = VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET, .name = "MEMBER_SET", .groups = MEMBERS,
	  .member = true, .run = cmd_member_set },
};

#define NUM_COMMANDS	(sizeof(commands) / sizeof(commands[0]))
/* LIST_QUERY and LIST_USE */
#define USED_AT_FIRST	3u

static const struct admin_desc *desc_at(unsigned int i)
{
	return i < NUM_COMMANDS ? &commands[i] : NULL;
}

bool admin_knows(const char *name)
{
	unsigned int i;

	for (i = 0; i < NUM_COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return true;
	}
	return false;
}

static unsigned int desc_index(const struct admin_desc *desc)
{
	return desc - commands;
}

static const struct admin_desc *desc_find(uint16_t opcode)
{
	unsigned int i;

	for (i = 0; i < NUM_COMMANDS; i++) {
		if (commands[i].opcode == opcode)
			return &commands[i];
	}
	return NULL;
}

/*
 * Execution: in the thread of a queue
 */

static void work_done(struct admin_command *cmd, int err)
{
	struct admin_queue *queue = cmd->queue;

	cmd->err = err;
	pthread_mutex_lock(&queue->lock);
	queue->done = true;
	pthread_cond_signal(&queue->cond);
	pthread_mutex_unlock(&queue->lock);
}

static void run_work(struct job *job)
{
	struct admin_command *cmd = container_of(job, struct admin_command, job);

	/* One of before a reset has no effect behind it, and nobody gets the answer. */
	if (cmd->epoch != cmd->mdev->epoch)
		work_done(cmd, ADMIN_ERR(EAGAIN, TRYAGAIN));
	else
		work_done(cmd, cmd->work(cmd));
}

/* The device has gone in the meantime. */
static void cancel_work(struct job *job)
{
	work_done(container_of(job, struct admin_command, job),
		  ADMIN_ERR(EINVAL, INVALID_MEMBER));
}

static bool find_member(struct admin_command *cmd, enum admin_group group)
{
	struct admin *admin = &cmd->tvq->admin;

	switch (group) {
	case ADMIN_SRIOV:
		if (!cmd->member || cmd->member > admin->num_vfs)
			return false;
		cmd->vf = vf_at(admin->vfs, cmd->member - 1);
		return true;
	case ADMIN_MANAGED:
		cmd->mdev = managed_find(cmd->tvq, cmd->member);
		return cmd->mdev;
	default:
		return !cmd->member;
	}
}

/* The checks that all commands share, and the first half of the command. With tvq.lock. */
static int begin(struct admin_command *cmd)
{
	struct admin *admin = &cmd->tvq->admin;
	enum admin_group group = group_of(cmd->group_type);

	if (group == ADMIN_GROUPS || (group == ADMIN_SRIOV && !admin->vfs_enabled))
		return ADMIN_ERR(EINVAL, INVALID_GROUP);
	cmd->desc = desc_find(cmd->opcode);
	if (!cmd->desc || !(admin->used[group] & 1u << desc_index(cmd->desc)))
		return ADMIN_ERR(EINVAL, INVALID_OPCODE);
	if (cmd->desc->member && !find_member(cmd, group))
		return ADMIN_ERR(EINVAL, INVALID_MEMBER);
	log_debug("admin command %s, group %#x, member %llu", cmd->desc->name, cmd->group_type,
		  (unsigned long long)cmd->member);
	return cmd->desc->run(cmd);
}

static void execute(struct admin_command *cmd)
{
	struct admin_queue *queue = cmd->queue;
	struct tvq *tvq = cmd->tvq;
	bool posted = false;

	pthread_mutex_lock(&tvq->lock);
	/* A reset takes this lock behind having begun its epoch. */
	if (mem_epoch(&tvq->pci.mem) == cmd->epoch)
		cmd->err = begin(cmd);
	else
		cmd->err = ADMIN_ERR(EAGAIN, TRYAGAIN);
	if (!cmd->err && cmd->work && cmd->vf) {
		cmd->err = cmd->work(cmd);
	} else if (!cmd->err && cmd->work) {
		queue->done = false;
		cmd->job.run = run_work;
		cmd->job.cancel = cancel_work;
		mailbox_post(&cmd->mdev->mbox, &cmd->job);
		posted = true;
	}
	pthread_mutex_unlock(&tvq->lock);
	if (!posted)
		return;
	pthread_mutex_lock(&queue->lock);
	while (!queue->done)
		pthread_cond_wait(&queue->cond, &queue->lock);
	pthread_mutex_unlock(&queue->lock);
}

/* Execute it, unless a fault prevents that. */
static void execute_unless(struct admin_command *cmd)
{
	const struct admin_desc *desc = desc_find(cmd->opcode);

	cmd->fault = fault_for(&cmd->tvq->faults, true, desc ? desc->name : "unknown");
	if (!fault_prevents(cmd->fault)) {
		execute(cmd);
		return;
	}
	cmd->desc = desc;
	cmd->err = ADMIN_ERR(EINVAL, INVALID_FIELD);
}

/*
 * As much of the answer as there is room for: status, result, and, but for parts,
 * zeroes up to the next 64 bits.
 */
static void make_answer(struct admin_command *cmd, struct answer *answer)
{
	const struct virtio_admin_cmd_status status = {
		.status = htole16(cmd->err >> 16),
		.status_qualifier = htole16(cmd->err & 0xffff),
	};
	uint64_t room = result_room(cmd), head = cmd->chain.in_len, len = cmd->result_len, pad;

	if (head > sizeof(status))
		head = sizeof(status);
	/* A result that failed has the length of one that did not, where that is known. */
	pad = cmd->desc && cmd->err ? cmd->desc->result_len : -len % 8;
	if (cmd->opcode == VIRTIO_ADMIN_CMD_DEV_PARTS_GET)
		pad = 0;
	if (len > room)
		len = room;
	if (pad > room - len)
		pad = room - len;
	answer->data = calloc(1, sizeof(status) + len + pad);
	if (!answer->data)
		return;
	memcpy(answer->data, &status, head);
	if (len)
		memcpy(answer->data + head, cmd->result, len);
	answer->len = head + len + pad;
	answer->written = answer->len;
}

static void command_free(struct admin_command *cmd)
{
	vq_chain_free(&cmd->chain);
	free(cmd->data);
	free(cmd->result);
	free(cmd);
}

/* Give the chain back. The command is gone then. */
static void answer(struct admin_command *cmd, bool readable)
{
	struct answer answer = { .chain = cmd->chain, .epoch = cmd->epoch };

	if (cmd->desc)
		answer.command = cmd->desc->name;
	if (cmd->err)
		log_debug("admin command %#x: status %d, qualifier %d", cmd->opcode,
			  cmd->err >> 16, cmd->err & 0xffff);
	if (readable)
		make_answer(cmd, &answer);
	memset(&cmd->chain, 0, sizeof(cmd->chain));
	fault_answer(&cmd->tvq->faults, cmd->fault, &cmd->queue->q, &answer);
	command_free(cmd);
}

/* Read a command that was taken; what is missing is 0. In a section. Return: 0 or -1. */
static int read_command(struct admin_command *cmd)
{
	struct mem *mem = &cmd->tvq->pci.mem;
	struct virtio_admin_cmd_hdr hdr = { 0 };
	uint64_t len = cmd->chain.out_len, slack = DATA_SLACK;

	if (vq_read(mem, &cmd->chain, 0, &hdr, len < sizeof(hdr) ? len : sizeof(hdr)))
		return -1;
	cmd->opcode = le16toh(hdr.opcode);
	cmd->group_type = le16toh(hdr.group_type);
	cmd->member = le64toh(hdr.group_member_id);
	len = len > sizeof(hdr) ? len - sizeof(hdr) : 0;
	if (len > DATA_MAX)
		len = DATA_MAX;
	if (cmd->opcode == VIRTIO_ADMIN_CMD_DEV_PARTS_SET)
		slack = PARTS_SLACK;
	cmd->data = calloc(1, len + slack);
	cmd->data_len = len;
	return cmd->data && !vq_read(mem, &cmd->chain, sizeof(hdr), cmd->data, len) ? 0 : -1;
}

static bool take_command(struct cmdq *q)
{
	struct admin_queue *queue = container_of(q, struct admin_queue, q);
	struct tvq *tvq = queue->tvq;
	uint64_t epoch = mem_epoch(&tvq->pci.mem);
	struct admin_command *cmd;
	int ret, err = 0;

	cmd = calloc(1, sizeof(*cmd));
	if (!cmd)
		return false;
	cmd->tvq = tvq;
	cmd->queue = queue;
	cmd->epoch = epoch;
	if (!mem_enter(&tvq->pci.mem, epoch)) {
		command_free(cmd);
		return mem_epoch(&tvq->pci.mem) != epoch;
	}
	ret = cmdq_pop(q, &cmd->chain, epoch);
	if (ret)
		err = read_command(cmd);
	mem_leave(&tvq->pci.mem);
	if (!ret) {
		command_free(cmd);
		return false;
	}
	/* What is not in memory that the device reaches cannot be answered. */
	if (!err)
		execute_unless(cmd);
	answer(cmd, !err);
	return true;
}

/*
 * Start, reset, end
 */

void admin_kick(struct tvq *tvq)
{
	unsigned int i;

	for (i = 0; i < tvq->admin.num_queues; i++)
		cmdq_kick(&tvq->admin.queue[i].q);
}

/* Let commands pile up, until a reset, or go on with them. */
void admin_hold(struct tvq *tvq, bool held)
{
	unsigned int i;

	for (i = 0; i < tvq->admin.num_queues; i++)
		cmdq_hold(&tvq->admin.queue[i].q, held);
}

/* In a new epoch. */
void admin_disable(struct tvq *tvq)
{
	unsigned int i;

	for (i = 0; i < tvq->admin.num_queues; i++)
		cmdq_disable(&tvq->admin.queue[i].q);
}

/* What the driver has set is forgotten, and all members go on. */
void admin_reset(struct tvq *tvq)
{
	struct admin *admin = &tvq->admin;
	uint32_t i;

	for (i = 0; i < ADMIN_GROUPS; i++)
		admin->used[i] = USED_AT_FIRST;
	admin->get_limit = 0;
	admin->set_limit = 0;
	for (i = 0; i < tvq->num_devices; i++)
		admin_drop_objects(tvq, tvq->devices[i]->objects);
	for (i = 0; i < tvq->opt.sriov; i++) {
		admin_drop_objects(tvq, vf_objects(vf_at(admin->vfs, i)));
		vf_set_stopped(vf_at(admin->vfs, i), false);
	}
}

void admin_sriov(struct tvq *tvq, bool enabled, uint16_t num_vfs)
{
	struct admin *admin = &tvq->admin;
	uint32_t i;

	pthread_mutex_lock(&tvq->lock);
	for (i = 0; i < tvq->opt.sriov; i++)
		admin_drop_objects(tvq, vf_objects(vf_at(admin->vfs, i)));
	vfs_reset(admin->vfs, tvq->opt.sriov);
	admin->vfs_enabled = enabled;
	admin->num_vfs = num_vfs;
	pthread_mutex_unlock(&tvq->lock);
}

int admin_start(struct tvq *tvq)
{
	struct admin *admin = &tvq->admin;
	struct admin_queue *queue;

	admin->vfs = vfs_alloc(tvq->opt.sriov);
	if (!admin->vfs)
		return -1;
	admin_reset(tvq);
	for (; admin->num_queues < tvq->opt.admin_queues; admin->num_queues++) {
		queue = &admin->queue[admin->num_queues];
		queue->tvq = tvq;
		pthread_mutex_init(&queue->lock, NULL);
		pthread_cond_init(&queue->cond, NULL);
		if (cmdq_start(&queue->q, &tvq->pci, ADMIN_QUEUE + admin->num_queues,
			       take_command))
			return -1;
	}
	return 0;
}

/* In a new epoch, while workers still run. */
void admin_stop(struct tvq *tvq)
{
	struct admin *admin = &tvq->admin;

	while (admin->num_queues) {
		struct admin_queue *queue = &admin->queue[--admin->num_queues];

		cmdq_stop(&queue->q);
		pthread_cond_destroy(&queue->cond);
		pthread_mutex_destroy(&queue->lock);
	}
	free(admin->vfs);
	admin->vfs = NULL;
}
