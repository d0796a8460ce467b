// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of the admin virtqueues: numbers to bytes and back.
 *
 * The second user of the engine, beside cmd.c, and as there the only place that
 * knows the wire's byte order, and the one where a device's answers are checked.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/ktime.h>
#include <linux/rwsem.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio_tvq.h>
#include <kunit/visibility.h>

#include "admin.h"
#include "trace.h"
#include "xfer.h"

/* Both parts of a command have to be multiples of this. */
#define TVQ_ADMIN_ALIGN		8

/* Pause before a command is tried again, because the device asks for that. */
#define TVQ_ADMIN_RETRY_MS	10

/*
 * Deadlines in milliseconds. Who stops a device waits for what it has taken from its
 * queues; the command that asks whether a queue still works waits for nothing.
 */
#define TVQ_ADMIN_TIMEOUT_MS	30000
#define TVQ_ADMIN_NOOP_MS	10000

/* Where a list of commands ends that has our own opcodes. */
#define TVQ_ADMIN_OWN		VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET
#define TVQ_ADMIN_LIST_WORDS	(TVQ_ADMIN_OWN / 64 + 1)

/* What is known here; commands of the legacy interface are not. */
#define TVQ_ADMIN_KNOWN							\
	(BIT_ULL(VIRTIO_ADMIN_CMD_LIST_QUERY) |				\
	 BIT_ULL(VIRTIO_ADMIN_CMD_LIST_USE) |				\
	 GENMASK_ULL(VIRTIO_ADMIN_CMD_DEV_MODE_SET,			\
		     VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY))
#define TVQ_ADMIN_KNOWN_OWN						\
	(BIT_ULL(VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET - TVQ_ADMIN_OWN) |	\
	 BIT_ULL(VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET - TVQ_ADMIN_OWN))

static_assert(TVQ_ADMIN_OWN % 64 == 0);
static_assert(sizeof(struct virtio_admin_cmd_hdr) +
	      sizeof(struct virtio_admin_cmd_dev_parts_set_data) +
	      TVQ_ADMIN_PARTS_MAX <= TVQ_ADMIN_LEN_MAX);

static const struct {
	u16 type;
	const char *name;
} tvq_admin_groups[] = {
	{ VIRTIO_ADMIN_GROUP_TYPE_SELF, "self" },
	{ VIRTIO_ADMIN_GROUP_TYPE_SRIOV, "SR-IOV" },
	{ VIRTIO_TVQ_ADMIN_GROUP_MANAGED, "managed" },
};

/**
 * struct tvq_admin_vq - an admin virtqueue and who uses it
 * @admin: the commands
 * @x: its engine
 */
struct tvq_admin_vq {
	struct tvq_admin *admin;
	struct tvq_xfer *x;
};

/**
 * struct tvq_admin - the commands of a function's admin virtqueues
 * @dev: for messages and traces
 * @timeout_ms: deadline of a command
 * @lock: held for reading while a command is under way, for writing by LIST_USE,
 *	which may not be sent beside another; guards @used
 * @used: for each of tvq_admin_groups, the commands that the device lets us use
 * @num_vqs: number of queues
 * @vqs: the queues
 */
struct tvq_admin {
	struct device *dev;
	unsigned int timeout_ms;
	struct rw_semaphore lock;
	struct tvq_admin_list used[ARRAY_SIZE(tvq_admin_groups)];
	unsigned int num_vqs;
	struct tvq_admin_vq vqs[] __counted_by(num_vqs);
};

static const struct {
	int err;
	const char *name;
} tvq_admin_status[] = {
	[VIRTIO_ADMIN_STATUS_OK] = { 0, "OK" },
	[VIRTIO_TVQ_ADMIN_STATUS_ENXIO] = { -ENXIO, "ENXIO" },
	[VIRTIO_TVQ_ADMIN_STATUS_EAGAIN] = { -EAGAIN, "EAGAIN" },
	[VIRTIO_TVQ_ADMIN_STATUS_ENOMEM] = { -ENOMEM, "ENOMEM" },
	[VIRTIO_TVQ_ADMIN_STATUS_EBUSY] = { -EBUSY, "EBUSY" },
	[VIRTIO_TVQ_ADMIN_STATUS_EEXIST] = { -EEXIST, "EEXIST" },
	[VIRTIO_TVQ_ADMIN_STATUS_EINVAL] = { -EINVAL, "EINVAL" },
	[VIRTIO_TVQ_ADMIN_STATUS_ENOSPC] = { -ENOSPC, "ENOSPC" },
};

static const char * const tvq_admin_qualifier[] = {
	[VIRTIO_TVQ_ADMIN_Q_OK] = "OK",
	[VIRTIO_TVQ_ADMIN_Q_INVALID_COMMAND] = "INVALID_COMMAND",
	[VIRTIO_TVQ_ADMIN_Q_INVALID_OPCODE] = "INVALID_OPCODE",
	[VIRTIO_TVQ_ADMIN_Q_INVALID_FIELD] = "INVALID_FIELD",
	[VIRTIO_TVQ_ADMIN_Q_INVALID_GROUP] = "INVALID_GROUP",
	[VIRTIO_TVQ_ADMIN_Q_INVALID_MEMBER] = "INVALID_MEMBER",
	[VIRTIO_TVQ_ADMIN_Q_NORESOURCE] = "NORESOURCE",
	[VIRTIO_TVQ_ADMIN_Q_TRYAGAIN] = "TRYAGAIN",
};

static const char * const tvq_admin_command[] = {
	[VIRTIO_ADMIN_CMD_LIST_QUERY] = "LIST_QUERY",
	[VIRTIO_ADMIN_CMD_LIST_USE] = "LIST_USE",
	[VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY] = "CAP_ID_LIST_QUERY",
	[VIRTIO_ADMIN_CMD_DEVICE_CAP_GET] = "DEVICE_CAP_GET",
	[VIRTIO_ADMIN_CMD_DRIVER_CAP_SET] = "DRIVER_CAP_SET",
	[VIRTIO_ADMIN_CMD_RESOURCE_OBJ_CREATE] = "RESOURCE_OBJ_CREATE",
	[VIRTIO_ADMIN_CMD_RESOURCE_OBJ_MODIFY] = "RESOURCE_OBJ_MODIFY",
	[VIRTIO_ADMIN_CMD_RESOURCE_OBJ_QUERY] = "RESOURCE_OBJ_QUERY",
	[VIRTIO_ADMIN_CMD_RESOURCE_OBJ_DESTROY] = "RESOURCE_OBJ_DESTROY",
	[VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_GET] = "DEV_PARTS_METADATA_GET",
	[VIRTIO_ADMIN_CMD_DEV_PARTS_GET] = "DEV_PARTS_GET",
	[VIRTIO_ADMIN_CMD_DEV_PARTS_SET] = "DEV_PARTS_SET",
	[VIRTIO_ADMIN_CMD_DEV_MODE_SET] = "DEV_MODE_SET",
};

static const char *tvq_admin_command_name(u16 opcode)
{
	if (opcode == VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET)
		return "MEMBER_GET";
	if (opcode == VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET)
		return "MEMBER_SET";
	return tvq_admin_command[opcode];
}

/**
 * tvq_admin_status_name() - the specification's name for a status
 * @status: as the device gave it
 *
 * Context: any.
 * Return: the name, without its prefix.
 */
VISIBLE_IF_KUNIT const char *tvq_admin_status_name(u16 status)
{
	if (status >= ARRAY_SIZE(tvq_admin_status) ||
	    !tvq_admin_status[status].name)
		return "unknown";
	return tvq_admin_status[status].name;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_status_name);

/**
 * tvq_admin_qualifier_name() - the specification's name for a qualifier
 * @qualifier: as the device gave it
 *
 * Context: any.
 * Return: the name, without its prefix.
 */
VISIBLE_IF_KUNIT const char *tvq_admin_qualifier_name(u16 qualifier)
{
	if (qualifier >= ARRAY_SIZE(tvq_admin_qualifier))
		return "unknown";
	return tvq_admin_qualifier[qualifier];
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_qualifier_name);

/* The group's place in tvq_admin_groups, or -1. */
static int tvq_admin_group(u16 type)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tvq_admin_groups); i++)
		if (tvq_admin_groups[i].type == type)
			return i;
	return -1;
}

/* A command with its header, room for @out bytes behind it and @in behind the status. */
static struct tvq_msg *tvq_admin_alloc_gfp(const struct tvq_member *member,
					   u16 opcode, size_t out, size_t in,
					   gfp_t gfp)
{
	struct virtio_admin_cmd_status *status;
	struct virtio_admin_cmd_hdr *hdr;
	struct tvq_msg *msg;

	out = round_up(sizeof(*hdr) + out, TVQ_ADMIN_ALIGN);
	in = round_up(sizeof(struct virtio_admin_cmd_status) + in,
		      TVQ_ADMIN_ALIGN);
	if (out > TVQ_ADMIN_LEN_MAX || in > TVQ_ADMIN_LEN_MAX)
		return ERR_PTR(-EMSGSIZE);
	msg = tvq_msg_alloc(out, in, gfp);
	if (!msg)
		return ERR_PTR(-ENOMEM);
	hdr = msg->out;
	hdr->opcode = cpu_to_le16(opcode);
	hdr->group_type = cpu_to_le16(member->group);
	hdr->group_member_id = cpu_to_le64(member->id);
	/* OK is 0, and not to be read where the device has not written. */
	status = msg->in;
	status->status = cpu_to_le16(U16_MAX);
	return msg;
}

static struct tvq_msg *tvq_admin_alloc(const struct tvq_member *member,
				       u16 opcode, size_t out, size_t in)
{
	return tvq_admin_alloc_gfp(member, opcode, out, in,
				   GFP_KERNEL | __GFP_NOWARN);
}

static void *tvq_admin_out(struct tvq_msg *msg)
{
	return msg->out + sizeof(struct virtio_admin_cmd_hdr);
}

static void *tvq_admin_in(struct tvq_msg *msg)
{
	return msg->in + sizeof(struct virtio_admin_cmd_status);
}

/* Bytes of result; only of a command that has succeeded. */
static size_t tvq_admin_in_len(struct tvq_msg *msg)
{
	const size_t status = sizeof(struct virtio_admin_cmd_status);

	return msg->used > status ? msg->used - status : 0;
}

static struct tvq_admin_vq *tvq_admin_choose(struct tvq_admin *admin,
					     const struct virtio_admin_cmd_hdr *hdr)
{
	u64 member = le64_to_cpu(hdr->group_member_id);

	return &admin->vqs[lower_32_bits(member) % admin->num_vqs];
}

static void tvq_admin_exec_done(struct tvq_msg *msg)
{
	const struct virtio_admin_cmd_hdr *hdr = msg->out;
	const struct virtio_admin_cmd_status *in = msg->in;
	struct tvq_admin_vq *vq = msg->priv;
	u32 status = U32_MAX, qualifier = U32_MAX;

	if (!trace_tvq_admin_done_enabled())
		return;
	if (!msg->err && msg->used >= offsetof(typeof(*in), reserved2)) {
		status = le16_to_cpu(in->status);
		qualifier = le16_to_cpu(in->status_qualifier);
	}
	trace_tvq_admin_done(vq->admin->dev, vq - vq->admin->vqs,
			     le16_to_cpu(hdr->group_type),
			     le64_to_cpu(hdr->group_member_id),
			     le16_to_cpu(hdr->opcode), msg->err, msg->used,
			     status, qualifier,
			     ktime_to_ns(ktime_sub(ktime_get(), msg->submitted)));
}

/*
 * What the device said. A result that is shorter than its room is as if there were
 * zeros behind it; only status and qualifier have to be there.
 */
static int tvq_admin_result(struct tvq_admin *admin, struct tvq_msg *msg)
{
	const struct virtio_admin_cmd_hdr *hdr = msg->out;
	const struct virtio_admin_cmd_status *in = msg->in;
	u16 opcode = le16_to_cpu(hdr->opcode);
	u16 group = le16_to_cpu(hdr->group_type);
	u16 status, qualifier;
	int err = -EINVAL;	/* what a status is that nobody knows */

	if (msg->used < offsetof(typeof(*in), reserved2)) {
		dev_warn_ratelimited(admin->dev, "admin command %s: no status\n",
				     tvq_admin_command_name(opcode));
		return -EPROTO;
	}
	memset(msg->in + msg->used, 0, msg->in_len - msg->used);
	status = le16_to_cpu(in->status);
	qualifier = le16_to_cpu(in->status_qualifier);
	if (status == VIRTIO_ADMIN_STATUS_OK)
		return 0;

	if (status < ARRAY_SIZE(tvq_admin_status) &&
	    tvq_admin_status[status].name)
		err = tvq_admin_status[status].err;
	/* Whether a group is there, and when to try again, are questions. */
	if (opcode == VIRTIO_ADMIN_CMD_LIST_QUERY || err == -EAGAIN)
		dev_dbg(admin->dev,
			"admin command %s, group %#x, member %llu: status %s (%u), qualifier %s (%u)\n",
			tvq_admin_command_name(opcode), group,
			le64_to_cpu(hdr->group_member_id),
			tvq_admin_status_name(status), status,
			tvq_admin_qualifier_name(qualifier), qualifier);
	else
		dev_err_ratelimited(admin->dev,
				    "admin command %s, group %#x, member %llu: status %s (%u), qualifier %s (%u)\n",
				    tvq_admin_command_name(opcode), group,
				    le64_to_cpu(hdr->group_member_id),
				    tvq_admin_status_name(status), status,
				    tvq_admin_qualifier_name(qualifier),
				    qualifier);
	return err;
}

static int tvq_admin_exec_locked(struct tvq_admin *admin, struct tvq_msg *msg)
{
	const ktime_t end = ktime_add_ms(ktime_get(), admin->timeout_ms);
	const struct virtio_admin_cmd_hdr *hdr = msg->out;
	struct tvq_admin_vq *vq = tvq_admin_choose(admin, hdr);
	int err;

	lockdep_assert_held(&admin->lock);

	msg->priv = vq;
	msg->done = tvq_admin_exec_done;
	msg->timeout_ms = admin->timeout_ms;
	for (;;) {
		trace_tvq_admin_post(admin->dev, vq - admin->vqs,
				     le16_to_cpu(hdr->group_type),
				     le64_to_cpu(hdr->group_member_id),
				     le16_to_cpu(hdr->opcode), msg->out_len,
				     msg->in_len);
		err = tvq_xfer_exec(vq->x, msg);
		if (err)
			return err;
		err = tvq_admin_result(admin, msg);
		if (err != -EAGAIN || !ktime_before(ktime_get(), end))
			return err;
		memset(msg->in, 0, msg->in_len);
		msleep(TVQ_ADMIN_RETRY_MS);
	}
}

static bool tvq_admin_can_locked(struct tvq_admin *admin, u16 group, u16 opcode)
{
	int i = tvq_admin_group(group);

	lockdep_assert_held(&admin->lock);

	if (i < 0)
		return false;
	if (opcode < 64)
		return admin->used[i].standard & BIT_ULL(opcode);
	return opcode >= TVQ_ADMIN_OWN && opcode - TVQ_ADMIN_OWN < 64 &&
	       admin->used[i].own & BIT_ULL(opcode - TVQ_ADMIN_OWN);
}

/* Execute and wait; @msg stays the caller's to put. */
static int tvq_admin_exec(struct tvq_admin *admin, struct tvq_msg *msg)
{
	const struct virtio_admin_cmd_hdr *hdr = msg->out;
	u16 opcode = le16_to_cpu(hdr->opcode);

	guard(rwsem_read)(&admin->lock);
	if (opcode != VIRTIO_ADMIN_CMD_LIST_QUERY &&
	    !tvq_admin_can_locked(admin, le16_to_cpu(hdr->group_type), opcode))
		return -EOPNOTSUPP;
	return tvq_admin_exec_locked(admin, msg);
}

/* The engine has declared one of the queues broken. */
static void tvq_admin_broken(void *priv)
{
	struct tvq_admin_vq *vq = priv;

	dev_err(vq->admin->dev,
		"admin virtqueue %zd does not answer, its commands fail\n",
		vq - vq->admin->vqs);
}

/**
 * tvq_admin_create() - make the admin virtqueues usable for commands
 * @params: what they are made of; copied
 *
 * No group can be used until tvq_admin_use().
 *
 * Context: process, may sleep.
 * Return: the commands, or an ERR_PTR.
 */
struct tvq_admin *tvq_admin_create(const struct tvq_admin_params *params)
{
	/* LIST_QUERY of the self group, of whose answer only the status fits. */
	const struct virtio_admin_cmd_hdr noop = {};
	struct tvq_xfer_params xfer = {
		.ops = params->ops,
		.timeout_ms = params->timeout_ms ?: TVQ_ADMIN_NOOP_MS,
		.noop = &noop,
		.noop_len = sizeof(noop),
		.noop_in_len = sizeof(struct virtio_admin_cmd_status),
		.broken = tvq_admin_broken,
		.dev = params->dev,
	};
	struct tvq_admin *admin;
	unsigned int i;
	int err;

	static_assert(VIRTIO_ADMIN_CMD_LIST_QUERY == 0 &&
		      VIRTIO_ADMIN_GROUP_TYPE_SELF == 0);
	if (!params->num_queues)
		return ERR_PTR(-EINVAL);
	admin = kzalloc(struct_size(admin, vqs, params->num_queues),
			GFP_KERNEL);
	if (!admin)
		return ERR_PTR(-ENOMEM);
	admin->num_vqs = params->num_queues;
	admin->dev = params->dev;
	admin->timeout_ms = params->timeout_ms ?: TVQ_ADMIN_TIMEOUT_MS;
	init_rwsem(&admin->lock);
	for (i = 0; i < admin->num_vqs; i++) {
		struct tvq_admin_vq *vq = &admin->vqs[i];

		vq->admin = admin;
		xfer.link = params->queues[i].link;
		xfer.slots = params->queues[i].slots;
		xfer.priv = vq;
		vq->x = tvq_xfer_create(&xfer);
		if (IS_ERR(vq->x)) {
			err = PTR_ERR(vq->x);
			tvq_admin_destroy(admin);
			return ERR_PTR(err);
		}
	}
	return admin;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_create);

/**
 * tvq_admin_destroy() - give the queues back
 * @admin: the commands, or NULL; the device was reset and does not interrupt any
 *	more, and nobody sends a command
 *
 * Context: process, may sleep.
 */
void tvq_admin_destroy(struct tvq_admin *admin)
{
	unsigned int i;

	if (!admin)
		return;
	for (i = 0; i < admin->num_vqs; i++)
		tvq_xfer_destroy(admin->vqs[i].x);
	kfree(admin);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_destroy);

/**
 * tvq_admin_interrupt() - take in what the device has finished
 * @admin: the commands
 * @queue: number of the queue, from 0
 *
 * Context: any up to hard interrupt.
 */
void tvq_admin_interrupt(struct tvq_admin *admin, unsigned int queue)
{
	tvq_xfer_interrupt(admin->vqs[queue].x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_interrupt);

/**
 * tvq_admin_break() - fail all commands, now and later
 * @admin: the commands, or NULL
 *
 * Context: process, may sleep.
 */
void tvq_admin_break(struct tvq_admin *admin)
{
	unsigned int i;

	for (i = 0; admin && i < admin->num_vqs; i++)
		tvq_xfer_break(admin->vqs[i].x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_break);

/**
 * tvq_admin_halt() - the device was reset: it answers nothing that it was asked
 * @admin: the commands, or NULL; see tvq_xfer_halt() for what has to be so
 *
 * Context: process, may sleep.
 */
void tvq_admin_halt(struct tvq_admin *admin)
{
	unsigned int i;

	for (i = 0; admin && i < admin->num_vqs; i++)
		tvq_xfer_halt(admin->vqs[i].x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_halt);

/**
 * tvq_admin_revive() - commands again, after the device was reset
 * @admin: the commands, or NULL, halted; see tvq_xfer_revive() for what has to be so
 *
 * The device has forgotten what commands are used: tvq_admin_use() comes first, as
 * after tvq_admin_create().
 *
 * Context: process, may sleep.
 */
void tvq_admin_revive(struct tvq_admin *admin)
{
	unsigned int i;

	if (!admin)
		return;
	/*
	 * Whoever still waits to try again, as the device had asked him, does so on queues
	 * that are halted: no command from before comes between.
	 */
	guard(rwsem_write)(&admin->lock);
	memset(admin->used, 0, sizeof(admin->used));
	for (i = 0; i < admin->num_vqs; i++)
		tvq_xfer_revive(admin->vqs[i].x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_revive);

/**
 * tvq_admin_show() - how the queues are doing, in words: a line for each
 * @admin: the commands, or NULL
 * @m: where to
 *
 * Context: process.
 */
void tvq_admin_show(struct tvq_admin *admin, struct seq_file *m)
{
	unsigned int i;

	for (i = 0; admin && i < admin->num_vqs; i++) {
		seq_printf(m, "admin%u ", i);
		tvq_xfer_show(admin->vqs[i].x, m);
	}
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_show);

/**
 * tvq_admin_list_query() - LIST_QUERY
 * @admin: the commands
 * @group: group type
 * @list: what the device has for it
 *
 * A device without this group says -EINVAL, which is not logged.
 *
 * Context: see admin.h.
 * Return: see admin.h; -EPROTO also where the list is without the commands for lists.
 */
int tvq_admin_list_query(struct tvq_admin *admin, u16 group,
			 struct tvq_admin_list *list)
{
	const u64 lists = BIT_ULL(VIRTIO_ADMIN_CMD_LIST_QUERY) |
			  BIT_ULL(VIRTIO_ADMIN_CMD_LIST_USE);
	const struct tvq_member member = { .group = group };
	const __le64 *in;
	struct tvq_msg *msg;
	int err;

	msg = tvq_admin_alloc(&member, VIRTIO_ADMIN_CMD_LIST_QUERY, 0,
			      TVQ_ADMIN_LIST_WORDS * sizeof(*in));
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	err = tvq_admin_exec(admin, msg);
	if (!err) {
		in = tvq_admin_in(msg);
		list->standard = le64_to_cpu(in[0]);
		list->own = le64_to_cpu(in[TVQ_ADMIN_LIST_WORDS - 1]);
		if ((list->standard & lists) != lists)
			err = -EPROTO;
	}
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_list_query);

/* Does the device have a command, be it one that was given up on? */
static bool tvq_admin_idle(struct tvq_admin *admin)
{
	struct tvq_xfer_stats stats;
	unsigned int i;

	for (i = 0; i < admin->num_vqs; i++) {
		tvq_xfer_stats(admin->vqs[i].x, &stats);
		if (stats.in_flight || stats.waiting || stats.quarantined)
			return false;
	}
	return true;
}

/**
 * tvq_admin_list_use() - LIST_USE
 * @admin: the commands
 * @group: group type
 * @list: what we want to use, a part of what tvq_admin_list_query() has found
 *
 * Waits until no other command is under way, and keeps others waiting.
 *
 * Context: see admin.h.
 * Return: see admin.h; -EBUSY also while the device still has a command whose
 * deadline has passed.
 */
int tvq_admin_list_use(struct tvq_admin *admin, u16 group,
		       const struct tvq_admin_list *list)
{
	const struct tvq_member member = { .group = group };
	int i = tvq_admin_group(group);
	struct tvq_msg *msg;
	__le64 *out;
	int err;

	if (i < 0)
		return -EINVAL;
	msg = tvq_admin_alloc(&member, VIRTIO_ADMIN_CMD_LIST_USE,
			      (list->own ? TVQ_ADMIN_LIST_WORDS : 1) * sizeof(*out),
			      0);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	out[0] = cpu_to_le64(list->standard);
	if (list->own)
		out[TVQ_ADMIN_LIST_WORDS - 1] = cpu_to_le64(list->own);

	down_write(&admin->lock);
	err = tvq_admin_idle(admin) ? tvq_admin_exec_locked(admin, msg) : -EBUSY;
	if (!err)
		admin->used[i] = *list;
	up_write(&admin->lock);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_list_use);

/**
 * tvq_admin_use() - agree with the device on the commands of a group
 * @admin: the commands
 * @group: group type
 *
 * To be called before any other command for a member of the group, and again after
 * each reset of the device. All is used that is known on both sides.
 *
 * Context: see admin.h.
 * Return: see admin.h; -EINVAL where the device has no such group.
 */
int tvq_admin_use(struct tvq_admin *admin, u16 group)
{
	struct tvq_admin_list list;
	int err;

	err = tvq_admin_list_query(admin, group, &list);
	if (err)
		return err;
	list.standard &= TVQ_ADMIN_KNOWN;
	list.own &= TVQ_ADMIN_KNOWN_OWN;
	return tvq_admin_list_use(admin, group, &list);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_use);

/**
 * tvq_admin_can() - may a command be used
 * @admin: the commands, or NULL
 * @group: group type
 * @opcode: VIRTIO_ADMIN_CMD_*
 *
 * Context: process, may sleep, while a list is agreed upon.
 * Return: true if tvq_admin_use() has found it.
 */
bool tvq_admin_can(struct tvq_admin *admin, u16 group, u16 opcode)
{
	if (!admin)
		return false;
	guard(rwsem_read)(&admin->lock);
	return tvq_admin_can_locked(admin, group, opcode);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_can);

static const struct tvq_member tvq_admin_self = {
	.group = VIRTIO_ADMIN_GROUP_TYPE_SELF,
};

/**
 * tvq_admin_cap_list() - CAP_ID_LIST_QUERY
 * @admin: the commands
 * @caps: a bitmap of TVQ_ADMIN_CAPS bits: bit n for capability n
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_cap_list(struct tvq_admin *admin, unsigned long *caps)
{
	const unsigned int words = TVQ_ADMIN_CAPS / 64;
	const __le64 *in;
	struct tvq_msg *msg;
	unsigned int i;
	u64 word;
	int err;

	msg = tvq_admin_alloc(&tvq_admin_self, VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY,
			      0, words * sizeof(*in));
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	err = tvq_admin_exec(admin, msg);
	in = tvq_admin_in(msg);
	for (i = 0; !err && i < words; i++) {
		word = le64_to_cpu(in[i]);
		bitmap_from_arr64(caps + i * BITS_TO_LONGS(64), &word, 64);
	}
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_cap_list);

/**
 * tvq_admin_device_cap() - DEVICE_CAP_GET
 * @admin: the commands
 * @id: of the capability
 * @data: what the device is capable of; zeros behind what it says
 * @len: bytes of @data, up to TVQ_ADMIN_DATA_MAX
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_device_cap(struct tvq_admin *admin, u16 id, void *data,
			 size_t len)
{
	struct virtio_admin_cmd_cap_get_data *out;
	struct tvq_msg *msg;
	int err;

	if (len > TVQ_ADMIN_DATA_MAX)
		return -EMSGSIZE;
	msg = tvq_admin_alloc(&tvq_admin_self, VIRTIO_ADMIN_CMD_DEVICE_CAP_GET,
			      sizeof(*out), len);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	out->id = cpu_to_le16(id);
	err = tvq_admin_exec(admin, msg);
	if (!err)
		memcpy(data, tvq_admin_in(msg), len);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_device_cap);

/**
 * tvq_admin_driver_cap() - DRIVER_CAP_SET
 * @admin: the commands
 * @id: of the capability
 * @data: what we are going to use, within tvq_admin_device_cap(); not to be changed
 *	while there are resource objects that depend on it
 * @len: bytes of @data, up to TVQ_ADMIN_DATA_MAX
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_driver_cap(struct tvq_admin *admin, u16 id, const void *data,
			 size_t len)
{
	struct virtio_admin_cmd_cap_set_data *out;
	struct tvq_msg *msg;
	int err;

	if (len > TVQ_ADMIN_DATA_MAX)
		return -EMSGSIZE;
	msg = tvq_admin_alloc(&tvq_admin_self, VIRTIO_ADMIN_CMD_DRIVER_CAP_SET,
			      sizeof(*out) + len, 0);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	out->id = cpu_to_le16(id);
	memcpy(out + 1, data, len);
	err = tvq_admin_exec(admin, msg);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_driver_cap);

/* A command for a resource object: its header, and room for @out bytes behind that. */
static struct tvq_msg *tvq_admin_obj(const struct tvq_member *member,
				     u16 opcode, u16 type, u32 id, size_t out,
				     size_t in)
{
	struct virtio_admin_cmd_resource_obj_cmd_hdr *hdr;
	struct tvq_msg *msg;

	msg = tvq_admin_alloc(member, opcode, sizeof(*hdr) + out, in);
	if (IS_ERR(msg))
		return msg;
	hdr = tvq_admin_out(msg);
	hdr->type = cpu_to_le16(type);
	hdr->id = cpu_to_le32(id);
	return msg;
}

/* The same layout for both. */
static int tvq_admin_obj_write(struct tvq_admin *admin,
			       const struct tvq_member *member, u16 opcode,
			       u16 type, u32 id, const void *data, size_t len)
{
	struct virtio_admin_cmd_resource_obj_create_data *out;
	struct tvq_msg *msg;
	int err;

	if (len > TVQ_ADMIN_DATA_MAX)
		return -EMSGSIZE;
	msg = tvq_admin_obj(member, opcode, type, id,
			    sizeof(*out) - sizeof(out->hdr) + len, 0);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	memcpy(out->resource_obj_specific_data, data, len);
	err = tvq_admin_exec(admin, msg);
	tvq_msg_put(msg);
	return err;
}

/**
 * tvq_admin_obj_create() - RESOURCE_OBJ_CREATE
 * @admin: the commands
 * @member: whose object
 * @type: VIRTIO_RESOURCE_OBJ_*
 * @id: not in use for another object of this type
 * @data: its attributes, as the type lays them out
 * @len: bytes of @data, up to TVQ_ADMIN_DATA_MAX
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_obj_create(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 type, u32 id,
			 const void *data, size_t len)
{
	return tvq_admin_obj_write(admin, member,
				   VIRTIO_ADMIN_CMD_RESOURCE_OBJ_CREATE, type,
				   id, data, len);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_obj_create);

/**
 * tvq_admin_obj_modify() - RESOURCE_OBJ_MODIFY
 * @admin: the commands
 * @member: whose object
 * @type: VIRTIO_RESOURCE_OBJ_*
 * @id: the object
 * @data: its new attributes, as the type lays them out
 * @len: bytes of @data, up to TVQ_ADMIN_DATA_MAX
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_obj_modify(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 type, u32 id,
			 const void *data, size_t len)
{
	return tvq_admin_obj_write(admin, member,
				   VIRTIO_ADMIN_CMD_RESOURCE_OBJ_MODIFY, type,
				   id, data, len);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_obj_modify);

/**
 * tvq_admin_obj_query() - RESOURCE_OBJ_QUERY
 * @admin: the commands
 * @member: whose object
 * @type: VIRTIO_RESOURCE_OBJ_*
 * @id: the object
 * @data: its attributes, as the type lays them out; zeros behind what the device says
 * @len: bytes of @data, up to TVQ_ADMIN_DATA_MAX
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_obj_query(struct tvq_admin *admin,
			const struct tvq_member *member, u16 type, u32 id,
			void *data, size_t len)
{
	struct tvq_msg *msg;
	int err;

	if (len > TVQ_ADMIN_DATA_MAX)
		return -EMSGSIZE;
	/* Behind the header are flags, of which there are none. */
	msg = tvq_admin_obj(member, VIRTIO_ADMIN_CMD_RESOURCE_OBJ_QUERY, type,
			    id, sizeof(__le64), len);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	err = tvq_admin_exec(admin, msg);
	if (!err)
		memcpy(data, tvq_admin_in(msg), len);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_obj_query);

/**
 * tvq_admin_obj_destroy() - RESOURCE_OBJ_DESTROY
 * @admin: the commands
 * @member: whose object
 * @type: VIRTIO_RESOURCE_OBJ_*
 * @id: the object
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_obj_destroy(struct tvq_admin *admin,
			  const struct tvq_member *member, u16 type, u32 id)
{
	struct tvq_msg *msg;
	int err;

	msg = tvq_admin_obj(member, VIRTIO_ADMIN_CMD_RESOURCE_OBJ_DESTROY, type,
			    id, 0, 0);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	err = tvq_admin_exec(admin, msg);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_obj_destroy);

#define TVQ_PART_HDR	sizeof(struct virtio_dev_part_hdr)

/* Parts have any length: nothing behind the first one is aligned. */
static void tvq_part_decode(const u8 *in, struct tvq_part *part)
{
	const u8 *selector = in + offsetof(struct virtio_dev_part_hdr, selector);

	part->type = get_unaligned_le16(in);
	part->flags = in[offsetof(struct virtio_dev_part_hdr, flags)];
	part->length = get_unaligned_le32(in + offsetof(struct virtio_dev_part_hdr,
							length));
	switch (part->type) {
	case VIRTIO_TVQ_DEV_PART_PCI_COMMON_CFG:
		part->selector = get_unaligned_le32(selector);
		break;
	case VIRTIO_TVQ_DEV_PART_VQ_CFG:
	case VIRTIO_TVQ_DEV_PART_VQ_NOTIFY_CFG:
	case VIRTIO_TVQ_DEV_PART_VQ_STATE:
		part->selector = get_unaligned_le16(selector);
		break;
	case 0x200 ... 0x5ff:
		part->selector = get_unaligned_le64(selector);
		break;
	default:
		part->selector = 0;
		break;
	}
}

static void tvq_part_encode(u8 *out, const struct tvq_part *part)
{
	put_unaligned_le16(part->type, out);
	out[offsetof(struct virtio_dev_part_hdr, flags)] = part->flags;
	put_unaligned_le64(part->selector,
			   out + offsetof(struct virtio_dev_part_hdr, selector));
	put_unaligned_le32(part->length,
			   out + offsetof(struct virtio_dev_part_hdr, length));
}

static int tvq_part_compare(const struct tvq_part *a, const struct tvq_part *b)
{
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->selector != b->selector)
		return a->selector < b->selector ? -1 : 1;
	return 0;
}

/* Can a part have this length? What is in it, where that says so, is not looked at. */
static bool tvq_part_length_valid(const struct tvq_part *part)
{
	switch (part->type) {
	case VIRTIO_TVQ_DEV_PART_DEV_FEATURES:
	case VIRTIO_TVQ_DEV_PART_DRV_FEATURES:
		return part->length && part->length % sizeof(__le64) == 0;
	case VIRTIO_TVQ_DEV_PART_DEVICE_STATUS:
		return part->length == 1;
	case VIRTIO_TVQ_DEV_PART_VQ_CFG:
		return part->length == sizeof(struct virtio_tvq_dev_part_vq_cfg);
	case VIRTIO_TVQ_DEV_PART_VQ_NOTIFY_CFG:
		return part->length == 8;
	case VIRTIO_TVQ_DEV_PART_CONFIG:
		return part->length >= sizeof(struct virtio_tvq_dev_part_config) &&
		       part->length - sizeof(struct virtio_tvq_dev_part_config) <=
		       VIRTIO_TVQ_CONFIG_MAX;
	case VIRTIO_TVQ_DEV_PART_VQ_STATE:
		return part->length == sizeof(struct virtio_tvq_dev_part_vq_state);
	case VIRTIO_TVQ_DEV_PART_MSI:
		return part->length >= sizeof(struct virtio_tvq_dev_part_msi) &&
		       (part->length - sizeof(struct virtio_tvq_dev_part_msi)) %
		       sizeof(struct virtio_tvq_dev_part_msi_entry) == 0;
	default:
		return part->length <= TVQ_ADMIN_PARTS_MAX;
	}
}

/* Is a header of the form that it may have, and behind @prev, which may be NULL? */
static bool tvq_part_valid(const struct tvq_part *part,
			   const struct tvq_part *prev)
{
	return !(part->flags & ~BIT(VIRTIO_DEV_PART_F_OPTIONAL)) &&
	       tvq_part_length_valid(part) &&
	       (!prev || tvq_part_compare(prev, part) < 0);
}

/* Does a part's value say of itself what its header says? */
static bool tvq_part_value_valid(const struct tvq_part *part, const u8 *value)
{
	u32 length;

	switch (part->type) {
	case VIRTIO_TVQ_DEV_PART_CONFIG:
		length = get_unaligned_le32(value +
					    offsetof(struct virtio_tvq_dev_part_config,
						     length));
		return part->length ==
		       sizeof(struct virtio_tvq_dev_part_config) + (u64)length;
	case VIRTIO_TVQ_DEV_PART_MSI:
		length = get_unaligned_le16(value +
					    offsetof(struct virtio_tvq_dev_part_msi,
						     count));
		return part->length ==
		       sizeof(struct virtio_tvq_dev_part_msi) +
		       length * sizeof(struct virtio_tvq_dev_part_msi_entry);
	default:
		return true;
	}
}

/*
 * Walk parts that lie one behind the other. Where @selected is not NULL, each has to be
 * one of these, which are in order, too.
 */
static bool tvq_parts_valid(const u8 *parts, size_t len,
			    const struct tvq_part *selected, u32 num_selected)
{
	struct tvq_part part, prev;
	bool first = true;

	while (len) {
		if (len < TVQ_PART_HDR)
			return false;
		tvq_part_decode(parts, &part);
		parts += TVQ_PART_HDR;
		len -= TVQ_PART_HDR;
		if (part.length > len ||
		    !tvq_part_valid(&part, first ? NULL : &prev) ||
		    !tvq_part_value_valid(&part, parts))
			return false;
		parts += part.length;
		len -= part.length;
		prev = part;
		first = false;
		if (!selected)
			continue;
		while (num_selected && tvq_part_compare(selected, &part) < 0) {
			selected++;
			num_selected--;
		}
		if (!num_selected || tvq_part_compare(selected, &part))
			return false;
	}
	return true;
}

/**
 * tvq_admin_parts_check() - are these device parts
 * @parts: headers and values, one behind the other
 * @len: their length
 *
 * Looks at headers, their order and their lengths, not at values.
 *
 * Context: any.
 * Return: 0; -EINVAL; -EFBIG for more than a member can have.
 */
int tvq_admin_parts_check(const void *parts, u32 len)
{
	if (len > TVQ_ADMIN_PARTS_MAX)
		return -EFBIG;
	return tvq_parts_valid(parts, len, NULL, 0) ? 0 : -EINVAL;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_parts_check);

static struct tvq_msg *tvq_admin_metadata(const struct tvq_member *member,
					  u32 id, u8 type, size_t in)
{
	struct virtio_admin_cmd_dev_parts_metadata_data *out;
	struct tvq_msg *msg;

	msg = tvq_admin_obj(member, VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_GET,
			    VIRTIO_RESOURCE_OBJ_DEV_PARTS, id,
			    sizeof(*out) - sizeof(out->hdr), in);
	if (IS_ERR(msg))
		return msg;
	out = tvq_admin_out(msg);
	out->type = type;
	return msg;
}

static int tvq_admin_metadata_number(struct tvq_admin *admin,
				     const struct tvq_member *member, u32 id,
				     u8 type, u32 *number)
{
	struct tvq_msg *msg;
	int err;

	msg = tvq_admin_metadata(member, id, type, sizeof(__le64));
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	err = tvq_admin_exec(admin, msg);
	if (!err)
		*number = le32_to_cpup(tvq_admin_in(msg));
	tvq_msg_put(msg);
	return err;
}

/**
 * tvq_admin_parts_size() - DEV_PARTS_METADATA_GET, size
 * @admin: the commands
 * @member: whose parts
 * @id: an object for getting parts
 * @size: bytes that all parts take at most, with their headers
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_parts_size(struct tvq_admin *admin,
			 const struct tvq_member *member, u32 id, u32 *size)
{
	int err;

	err = tvq_admin_metadata_number(admin, member, id,
					VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_SIZE,
					size);
	if (!err && *size > TVQ_ADMIN_PARTS_MAX)
		err = -EPROTO;
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_parts_size);

/**
 * tvq_admin_parts_count() - DEV_PARTS_METADATA_GET, count
 * @admin: the commands
 * @member: whose parts
 * @id: an object for getting parts
 * @count: how many parts there are
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_parts_count(struct tvq_admin *admin,
			  const struct tvq_member *member, u32 id, u32 *count)
{
	int err;

	err = tvq_admin_metadata_number(admin, member, id,
					VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_COUNT,
					count);
	if (!err && *count > TVQ_ADMIN_PARTS_MAX / TVQ_PART_HDR)
		err = -EPROTO;
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_parts_count);

/**
 * tvq_admin_parts_list() - DEV_PARTS_METADATA_GET, list
 * @admin: the commands
 * @member: whose parts
 * @id: an object for getting parts
 * @parts: the parts that there are, in order
 * @max: room in @parts, from tvq_admin_parts_count()
 *
 * Context: see admin.h.
 * Return: the number of parts, or see admin.h; -ENOMEM also when there are more than
 * @max.
 */
int tvq_admin_parts_list(struct tvq_admin *admin,
			 const struct tvq_member *member, u32 id,
			 struct tvq_part *parts, u32 max)
{
	const size_t head = sizeof(__le64);
	struct tvq_msg *msg;
	const u8 *in;
	u32 count, i;
	int err;

	if (max > TVQ_ADMIN_PARTS_MAX / TVQ_PART_HDR)
		return -EMSGSIZE;
	msg = tvq_admin_metadata(member, id,
				 VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_LIST,
				 head + max * TVQ_PART_HDR);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	err = tvq_admin_exec(admin, msg);
	if (err)
		goto out;
	in = tvq_admin_in(msg);
	count = get_unaligned_le32(in);
	err = -EPROTO;
	if (count > max ||
	    (count && tvq_admin_in_len(msg) < head + count * TVQ_PART_HDR))
		goto out;
	for (i = 0; i < count; i++) {
		tvq_part_decode(in + head + i * TVQ_PART_HDR, &parts[i]);
		if (!tvq_part_valid(&parts[i], i ? &parts[i - 1] : NULL))
			goto out;
	}
	err = count;
out:
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_parts_list);

/**
 * tvq_admin_parts_get() - DEV_PARTS_GET
 * @admin: the commands
 * @member: whose parts
 * @id: an object for getting parts
 * @selected: the parts that are wanted, in order, or NULL for all
 * @num_selected: how many, 1 or more
 * @parts: the parts that there are, headers and values, one behind the other; checked
 *	as by tvq_admin_parts_check(), and to be among those @selected
 * @room: bytes of @parts, from tvq_admin_parts_size()
 *
 * Context: see admin.h.
 * Return: the length of the parts in bytes, or see admin.h; -EPROTO also when the device
 * has cut them off, for want of @room; -EINVAL also when those selected are not in order.
 */
int tvq_admin_parts_get(struct tvq_admin *admin,
			const struct tvq_member *member, u32 id,
			const struct tvq_part *selected, u32 num_selected,
			void *parts, u32 room)
{
	struct virtio_admin_cmd_dev_parts_get_data *out;
	struct tvq_msg *msg;
	size_t len;
	u32 i;
	int err;

	if (!selected)
		num_selected = 0;
	else if (!num_selected)
		return -EINVAL;
	if (num_selected > TVQ_ADMIN_PARTS_MAX / TVQ_PART_HDR ||
	    room > TVQ_ADMIN_PARTS_MAX)
		return -EMSGSIZE;
	for (i = 1; i < num_selected; i++)
		if (tvq_part_compare(&selected[i - 1], &selected[i]) >= 0)
			return -EINVAL;
	msg = tvq_admin_obj(member, VIRTIO_ADMIN_CMD_DEV_PARTS_GET,
			    VIRTIO_RESOURCE_OBJ_DEV_PARTS, id,
			    sizeof(*out) - sizeof(out->hdr) +
			    num_selected * TVQ_PART_HDR, room);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	out->type = selected ? VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_SELECTED :
			       VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_ALL;
	for (i = 0; i < num_selected; i++)
		tvq_part_encode((u8 *)(out + 1) + i * TVQ_PART_HDR, &selected[i]);
	err = tvq_admin_exec(admin, msg);
	if (err)
		goto out;
	len = tvq_admin_in_len(msg);
	if (len <= room &&
	    tvq_parts_valid(tvq_admin_in(msg), len, selected, num_selected)) {
		memcpy(parts, tvq_admin_in(msg), len);
		err = len;
	} else {
		err = -EPROTO;
	}
out:
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_parts_get);

/**
 * tvq_admin_parts_set() - DEV_PARTS_SET
 * @admin: the commands
 * @member: whose parts; stopped
 * @id: an object for setting parts
 * @parts: headers and values, one behind the other
 * @len: their length
 *
 * Context: see admin.h.
 * Return: see admin.h, and tvq_admin_parts_check().
 */
int tvq_admin_parts_set(struct tvq_admin *admin,
			const struct tvq_member *member, u32 id,
			const void *parts, u32 len)
{
	struct virtio_admin_cmd_dev_parts_set_data *out;
	struct tvq_msg *msg;
	int err;

	err = tvq_admin_parts_check(parts, len);
	if (err)
		return err;
	msg = tvq_admin_obj(member, VIRTIO_ADMIN_CMD_DEV_PARTS_SET,
			    VIRTIO_RESOURCE_OBJ_DEV_PARTS, id, len, 0);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	memcpy((u8 *)out + sizeof(out->hdr), parts, len);
	err = tvq_admin_exec(admin, msg);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_parts_set);

/**
 * tvq_admin_mode_set() - DEV_MODE_SET
 * @admin: the commands
 * @member: whom to stop
 * @stopped: or to let go on
 *
 * Context: see admin.h.
 * Return: see admin.h; -ETIMEDOUT also when the queue has broken before the answer came,
 * and -EIO only when nothing was sent.
 */
int tvq_admin_mode_set(struct tvq_admin *admin,
		       const struct tvq_member *member, bool stopped)
{
	struct virtio_admin_cmd_dev_mode_set_data *out;
	struct tvq_msg *msg;
	int err;

	/* Who lets a device go on is about to wait for it. */
	msg = tvq_admin_alloc_gfp(member, VIRTIO_ADMIN_CMD_DEV_MODE_SET,
				  sizeof(*out), 0, GFP_KERNEL |
				  (stopped ? __GFP_NOWARN : __GFP_NOFAIL));
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	out->flags = stopped ? BIT(VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED) : 0;
	err = tvq_admin_exec(admin, msg);
	/* Whoever waits for the device has to know whether it may be stopped. */
	if (err == -EIO && msg->submitted)
		err = -ETIMEDOUT;
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_mode_set);

/**
 * tvq_admin_member_get() - MEMBER_GET
 * @admin: the commands
 * @member: whose attribute
 * @attribute: VIRTIO_TVQ_MEMBER_*
 * @value: what it is
 *
 * Context: see admin.h.
 * Return: see admin.h.
 */
int tvq_admin_member_get(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 attribute,
			 union tvq_member_value *value)
{
	struct virtio_tvq_admin_member_get_data *out;
	struct tvq_msg *msg;
	const u8 *in;
	int err;

	msg = tvq_admin_alloc(member, VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET,
			      sizeof(*out), 16);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	out->attribute = cpu_to_le16(attribute);
	err = tvq_admin_exec(admin, msg);
	if (err)
		goto out;
	in = tvq_admin_in(msg);
	memset(value, 0, sizeof(*value));
	switch (attribute) {
	case VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE:
	case VIRTIO_TVQ_MEMBER_FEATURES:
		value->features[0] = get_unaligned_le64(in);
		value->features[1] = get_unaligned_le64(in + 8);
		break;
	case VIRTIO_TVQ_MEMBER_MAC:
		memcpy(value->mac, in, sizeof(value->mac));
		break;
	case VIRTIO_TVQ_MEMBER_VECTORS_TOTAL:
		value->number = get_unaligned_le32(in);
		break;
	default:
		value->number = get_unaligned_le16(in);
		break;
	}
out:
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_member_get);

/**
 * tvq_admin_member_set() - MEMBER_SET
 * @admin: the commands
 * @member: whose attribute
 * @attribute: VIRTIO_TVQ_MEMBER_*, but those that can only be read
 * @value: what it is to be
 *
 * Context: see admin.h.
 * Return: see admin.h; -ERANGE for a number that the attribute cannot hold.
 */
int tvq_admin_member_set(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 attribute,
			 const union tvq_member_value *value)
{
	struct virtio_tvq_admin_member_set_data *out;
	struct tvq_msg *msg;
	int err = 0;

	msg = tvq_admin_alloc(member, VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET,
			      sizeof(*out), 0);
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	out = tvq_admin_out(msg);
	out->attribute = cpu_to_le16(attribute);
	switch (attribute) {
	case VIRTIO_TVQ_MEMBER_FEATURES:
		put_unaligned_le64(value->features[0], out->value);
		put_unaligned_le64(value->features[1], out->value + 8);
		break;
	case VIRTIO_TVQ_MEMBER_MAC:
		memcpy(out->value, value->mac, sizeof(value->mac));
		break;
	default:
		if (value->number > U16_MAX)
			err = -ERANGE;
		put_unaligned_le16(value->number, out->value);
		break;
	}
	if (!err)
		err = tvq_admin_exec(admin, msg);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_admin_member_set);
