// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of the transport virtqueue: numbers to bytes and back.
 *
 * The only place, with admin.c, that knows the wire's byte order. What a
 * device answers is checked here, once, so that no layer above has to ask
 * whether a length or a count can be true.
 */
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/overflow.h>
#include <linux/pci_regs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio_tvq.h>
#include <kunit/static_stub.h>
#include <kunit/visibility.h>

#include "cmd.h"
#include "xfer.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Deadline of commands that change what is there already, in milliseconds. */
#define TVQ_CMD_TIMEOUT_MS	10000

/* Every device takes and gives this much (LIMITS, command_*_max). */
#define TVQ_CMD_MIN_MAX		4096u

/* So many devices can be had of one function: what a list may grow to. */
#define TVQ_DEVICES_MAX		65536u

/*
 * How to allocate what nobody takes an error for: the virtio core has none for most of
 * what it asks, and whoever gives a device back counts on it that the device has stopped,
 * or is gone. All of this is small.
 */
#define TVQ_CMD_GFP_SURE	(GFP_KERNEL | __GFP_NOFAIL)

static_assert(sizeof(struct virtio_tvq_hdr) +
	      sizeof(struct virtio_tvq_msi_range) +
	      TVQ_CMD_MSI_MAX * sizeof(struct virtio_tvq_msi_entry) <=
	      TVQ_CMD_MIN_MAX);

/*
 * Deadlines by class, in milliseconds: creation may have to make what a disk is kept
 * in, and the others are about what is there.
 */
static const unsigned int tvq_cmd_timeout_ms[] = {
	[VIRTIO_TVQ_CLASS_MGMT] = 30000,
	[VIRTIO_TVQ_CLASS_DEVICE] = TVQ_CMD_TIMEOUT_MS,
	[VIRTIO_TVQ_CLASS_VQ] = TVQ_CMD_TIMEOUT_MS,
	[VIRTIO_TVQ_CLASS_MSI] = TVQ_CMD_TIMEOUT_MS,
};

struct tvq_cmdq {
	struct tvq_xfer *x;
	struct device *dev;
	unsigned int timeout_ms;
	/* Room for a reply; written by the first tvq_cmd_limits() after a reset. */
	u32 in_max;
	u32 out_max;
	u32 config_max;
	u32 vqs_max;
	u32 vectors_max;
};

/* A posted command's owner, to be told how it ended. */
struct tvq_cmd_post {
	struct tvq_cmdq *q;
	tvq_cmd_done_t done;
	void *ctx;
};

/*
 * virtio 1.4's admin status to errno. Not an errno itself, whatever the
 * numbers look like: what is not named here is no reason that we know.
 */
static const int tvq_status_errno[] = {
	[VIRTIO_TVQ_STATUS_ENXIO] = -ENXIO,
	[VIRTIO_TVQ_STATUS_EAGAIN] = -EAGAIN,
	[VIRTIO_TVQ_STATUS_ENOMEM] = -ENOMEM,
	[VIRTIO_TVQ_STATUS_EBUSY] = -EBUSY,
	[VIRTIO_TVQ_STATUS_EEXIST] = -EEXIST,
	[VIRTIO_TVQ_STATUS_EINVAL] = -EINVAL,
	[VIRTIO_TVQ_STATUS_ENOSPC] = -ENOSPC,
};

static int tvq_status_to_errno(u16 status)
{
	if (status >= ARRAY_SIZE(tvq_status_errno) || !tvq_status_errno[status])
		return -EREMOTEIO;
	return tvq_status_errno[status];
}

/**
 * tvq_name_valid() - is this a name that CREATE takes
 * @name: a terminated string
 *
 * Context: any.
 * Return: true for ``[A-Za-z0-9._-]{1,31}`` without a leading dot.
 */
bool tvq_name_valid(const char *name)
{
	size_t len = strlen(name);
	size_t i;

	if (!len || len >= VIRTIO_TVQ_NAME_LEN || name[0] == '.')
		return false;
	for (i = 0; i < len; i++)
		if (!isascii(name[i]) ||
		    !(isalnum(name[i]) || strchr("._-", name[i])))
			return false;
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_name_valid);

static void tvq_cmd_trace_done(struct tvq_cmdq *q, struct tvq_msg *msg)
{
	const struct virtio_tvq_hdr *hdr = msg->out;
	u32 ack = U32_MAX;

	if (!trace_tvq_cmd_done_enabled())
		return;
	if (!msg->err && msg->used >= sizeof(__le32))
		ack = le32_to_cpup(msg->in);
	trace_tvq_cmd_done(q->dev, le64_to_cpu(hdr->device_id),
			   le16_to_cpu(hdr->class), le16_to_cpu(hdr->command),
			   msg->err, msg->used, ack,
			   ktime_to_ns(ktime_sub(ktime_get(), msg->submitted)));
}

static void tvq_cmd_trace_post(struct tvq_cmdq *q, struct tvq_msg *msg,
			       bool wait)
{
	const struct virtio_tvq_hdr *hdr = msg->out;

	trace_tvq_cmd_post(q->dev, le64_to_cpu(hdr->device_id),
			   le16_to_cpu(hdr->class), le16_to_cpu(hdr->command),
			   msg->out_len, msg->in_len, wait);
}

/* A message with its header, room for @out bytes behind it and @in behind the ack. */
static struct tvq_msg *tvq_cmd_alloc(u64 id, u16 class, u16 command, size_t out,
				     size_t in, gfp_t gfp)
{
	/* Any command may be answered with an error, which has to fit. */
	size_t in_data = max(in, sizeof(struct virtio_tvq_error));
	struct virtio_tvq_hdr *hdr;
	struct tvq_msg *msg;

	msg = tvq_msg_alloc(sizeof(*hdr) + out, sizeof(__le32) + in_data, gfp);
	if (!msg)
		return NULL;
	hdr = msg->out;
	hdr->device_id = cpu_to_le64(id);
	hdr->class = cpu_to_le16(class);
	hdr->command = cpu_to_le16(command);
	/*
	 * OK is 0: a device that gives back what it has not written, because it
	 * gave back twice what was there before, is not to have said it.
	 */
	*(__le32 *)msg->in = cpu_to_le32(VIRTIO_TVQ_ERR);
	return msg;
}

static void *tvq_cmd_out(struct tvq_msg *msg)
{
	return msg->out + sizeof(struct virtio_tvq_hdr);
}

static void *tvq_cmd_in(struct tvq_msg *msg)
{
	return msg->in + sizeof(__le32);
}

/* Bytes of in-data; only of a message whose reply was checked. */
static size_t tvq_cmd_in_len(struct tvq_msg *msg)
{
	return msg->used - sizeof(__le32);
}

/* What the device said; at least @in_min bytes of in-data if it is 0. */
static int tvq_cmd_result(struct tvq_cmdq *q, struct tvq_msg *msg,
			  size_t in_min, struct tvq_cmd_error *error)
{
	const struct virtio_tvq_error *e = tvq_cmd_in(msg);
	const struct virtio_tvq_hdr *hdr = msg->out;
	u16 status = 0, qualifier = 0;

	if (msg->err)
		return msg->err;
	if (msg->used < sizeof(__le32))
		goto lie;
	if (le32_to_cpup(msg->in) == VIRTIO_TVQ_OK) {
		if (tvq_cmd_in_len(msg) < in_min)
			goto lie;
		return 0;
	}
	if (tvq_cmd_in_len(msg) >= sizeof(*e)) {
		status = le16_to_cpu(e->status);
		qualifier = le16_to_cpu(e->qualifier);
	}
	if (error) {
		error->status = status;
		error->qualifier = qualifier;
	}
	dev_dbg(q->dev, "device %llu, class %u, command %u: status %u, qualifier %u\n",
		le64_to_cpu(hdr->device_id), le16_to_cpu(hdr->class),
		le16_to_cpu(hdr->command), status, qualifier);
	return tvq_status_to_errno(status);

lie:
	dev_warn_ratelimited(q->dev,
			     "device %llu, class %u, command %u: a reply of %u bytes is too short\n",
			     le64_to_cpu(hdr->device_id),
			     le16_to_cpu(hdr->class), le16_to_cpu(hdr->command),
			     msg->used);
	return -EPROTO;
}

/**
 * tvq_cmdq_timeout_ms() - the deadline of a command
 * @q: the queue
 * @class: its class
 *
 * Context: any.
 * Return: milliseconds.
 */
VISIBLE_IF_KUNIT unsigned int tvq_cmdq_timeout_ms(const struct tvq_cmdq *q,
						  u16 class)
{
	return q->timeout_ms ?: tvq_cmd_timeout_ms[class];
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_timeout_ms);

static void tvq_cmd_deadline(struct tvq_cmdq *q, struct tvq_msg *msg)
{
	const struct virtio_tvq_hdr *hdr = msg->out;

	msg->timeout_ms = tvq_cmdq_timeout_ms(q, le16_to_cpu(hdr->class));
}

static void tvq_cmd_exec_done(struct tvq_msg *msg)
{
	tvq_cmd_trace_done(msg->priv, msg);
}

/* Execute and wait; @msg stays the caller's to put. */
static int tvq_cmd_exec(struct tvq_cmdq *q, struct tvq_msg *msg, size_t in_min,
			struct tvq_cmd_error *error)
{
	int err;

	if (msg->out_len > q->out_max || msg->in_len > q->in_max)
		return -EMSGSIZE;
	msg->priv = q;
	msg->done = tvq_cmd_exec_done;
	tvq_cmd_deadline(q, msg);
	tvq_cmd_trace_post(q, msg, true);
	err = tvq_xfer_exec(q->x, msg);
	if (err)
		return err;
	return tvq_cmd_result(q, msg, in_min, error);
}

static void tvq_cmd_post_done(struct tvq_msg *msg)
{
	struct tvq_cmd_post *post = msg->priv;

	tvq_cmd_trace_done(post->q, msg);
	if (post->done)
		post->done(post->ctx, tvq_cmd_result(post->q, msg, 0, NULL));
	kfree(post);
}

/* Post and go on; takes the caller's reference to @msg, which may be NULL. */
static int tvq_cmd_post(struct tvq_cmdq *q, struct tvq_msg *msg, gfp_t gfp,
			tvq_cmd_done_t done, void *ctx)
{
	struct tvq_cmd_post *post;
	int err = -ENOMEM;

	if (!msg)
		return -ENOMEM;
	post = kzalloc_obj(*post, gfp);
	if (!post)
		goto out;
	post->q = q;
	post->done = done;
	post->ctx = ctx;
	msg->priv = post;
	msg->done = tvq_cmd_post_done;
	tvq_cmd_deadline(q, msg);
	tvq_cmd_trace_post(q, msg, false);
	err = tvq_xfer_submit(q->x, msg);
	if (err)
		kfree(post);
out:
	tvq_msg_put(msg);
	return err;
}

/**
 * tvq_cmdq_create() - make the transport virtqueue usable for commands
 * @ops: what carries them
 * @link: argument of @ops
 * @slots: commands that the ring holds
 * @timeout_ms: deadline of a command, or 0 for that of its class
 * @dev: for messages and traces
 * @broken: called once, in process context, when the queue was declared broken
 * @priv: argument of @broken
 *
 * Context: process, may sleep.
 * Return: the queue, or an ERR_PTR.
 */
struct tvq_cmdq *tvq_cmdq_create(const struct tvq_link_ops *ops, void *link,
				 unsigned int slots, unsigned int timeout_ms,
				 struct device *dev,
				 void (*broken)(void *priv), void *priv)
{
	const struct virtio_tvq_hdr noop = {
		.class = cpu_to_le16(VIRTIO_TVQ_CLASS_MGMT),
		.command = cpu_to_le16(VIRTIO_TVQ_MGMT_NOP),
	};
	const struct tvq_xfer_params params = {
		.ops = ops,
		.link = link,
		.slots = slots,
		.timeout_ms = timeout_ms ?: TVQ_CMD_TIMEOUT_MS,
		.noop = &noop,
		.noop_len = sizeof(noop),
		.noop_in_len = sizeof(__le32) + sizeof(struct virtio_tvq_error),
		.broken = broken,
		.priv = priv,
		.dev = dev,
	};
	struct tvq_cmdq *q = kzalloc_obj(*q);

	if (!q)
		return ERR_PTR(-ENOMEM);
	q->dev = dev;
	q->timeout_ms = timeout_ms;
	q->in_max = TVQ_CMD_MIN_MAX;
	q->out_max = TVQ_CMD_MIN_MAX;
	q->x = tvq_xfer_create(&params);
	if (IS_ERR(q->x)) {
		int err = PTR_ERR(q->x);

		kfree(q);
		return ERR_PTR(err);
	}
	return q;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_create);

/**
 * tvq_cmdq_destroy() - give the queue back
 * @q: the queue; the device was reset and does not interrupt any more
 *
 * Context: process, may sleep.
 */
void tvq_cmdq_destroy(struct tvq_cmdq *q)
{
	tvq_xfer_destroy(q->x);
	kfree(q);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_destroy);

/**
 * tvq_cmdq_interrupt() - take in what the device has finished
 * @q: the queue
 *
 * Context: any up to hard interrupt.
 */
void tvq_cmdq_interrupt(struct tvq_cmdq *q)
{
	tvq_xfer_interrupt(q->x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_interrupt);

/**
 * tvq_cmdq_break() - fail all commands, now and later
 * @q: the queue
 *
 * Context: process, may sleep.
 */
void tvq_cmdq_break(struct tvq_cmdq *q)
{
	tvq_xfer_break(q->x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_break);

/**
 * tvq_cmdq_halt() - fail all commands, now and later; the device was reset
 * @q: the queue, see tvq_xfer_halt() for what has to be so
 *
 * Nobody is told that the queue is broken, from now on.
 *
 * Context: process, may sleep.
 */
void tvq_cmdq_halt(struct tvq_cmdq *q)
{
	tvq_xfer_halt(q->x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_halt);

/**
 * tvq_cmdq_revive() - commands again, after the device was reset
 * @q: the queue, see tvq_xfer_revive() for what has to be so
 *
 * The limits are to be read first, as after tvq_cmdq_create().
 *
 * Context: process, may sleep.
 */
void tvq_cmdq_revive(struct tvq_cmdq *q)
{
	q->in_max = TVQ_CMD_MIN_MAX;
	q->out_max = TVQ_CMD_MIN_MAX;
	q->config_max = 0;
	q->vqs_max = 0;
	q->vectors_max = 0;
	tvq_xfer_revive(q->x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_revive);

/**
 * tvq_cmdq_is_broken() - will no command succeed any more
 * @q: the queue
 *
 * Context: any.
 * Return: true if so.
 */
bool tvq_cmdq_is_broken(struct tvq_cmdq *q)
{
	return tvq_xfer_is_broken(q->x);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_is_broken);

/**
 * tvq_cmdq_show() - how the queue is doing, in words
 * @q: the queue
 * @m: where to
 *
 * Context: process.
 */
void tvq_cmdq_show(struct tvq_cmdq *q, struct seq_file *m)
{
	seq_puts(m, "transport ");
	tvq_xfer_show(q->x, m);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmdq_show);

/**
 * tvq_cmd_nop() - MGMT NOP
 * @q: the queue
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_nop(struct tvq_cmdq *q)
{
	struct tvq_msg *msg = tvq_cmd_alloc(0, VIRTIO_TVQ_CLASS_MGMT,
					    VIRTIO_TVQ_MGMT_NOP, 0, 0,
					    GFP_KERNEL);
	int err;

	if (!msg)
		return -ENOMEM;
	err = tvq_cmd_exec(q, msg, 0, NULL);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_nop);

static int tvq_limits_check(const struct tvq_limits *l)
{
	if (!l->devices_max || l->devices_max > TVQ_DEVICES_MAX ||
	    !l->device_vqs_max ||
	    l->device_vqs_max > VIRTIO_TVQ_DEVICE_VQS_MAX ||
	    !l->device_vectors_max || l->device_vectors_max > 2048 ||
	    l->config_max > VIRTIO_TVQ_CONFIG_MAX ||
	    l->command_out_max < TVQ_CMD_MIN_MAX ||
	    l->command_in_max < TVQ_CMD_MIN_MAX ||
	    l->devices_used > l->devices_max || l->vqs_free > l->vqs_max ||
	    l->vectors_free > l->vectors_max)
		return -EPROTO;
	return 0;
}

/**
 * tvq_cmd_limits() - MGMT LIMITS
 * @q: the queue, which from then on asks for replies of the size that these
 *	limits allow
 * @limits: what the device said; within the ranges of the protocol
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_limits(struct tvq_cmdq *q, struct tvq_limits *limits)
{
	const struct virtio_tvq_limits *in;
	struct tvq_msg *msg;
	int err;

	msg = tvq_cmd_alloc(0, VIRTIO_TVQ_CLASS_MGMT, VIRTIO_TVQ_MGMT_LIMITS, 0,
			    sizeof(*in), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	err = tvq_cmd_exec(q, msg, sizeof(*in), NULL);
	if (err)
		goto out;

	in = tvq_cmd_in(msg);
	limits->devices_max = le32_to_cpu(in->devices_max);
	limits->devices_used = le32_to_cpu(in->devices_used);
	limits->vqs_max = le32_to_cpu(in->vqs_max);
	limits->vqs_free = le32_to_cpu(in->vqs_free);
	limits->vectors_max = le32_to_cpu(in->vectors_max);
	limits->vectors_free = le32_to_cpu(in->vectors_free);
	limits->device_vqs_max = le16_to_cpu(in->device_vqs_max);
	limits->device_vectors_max = le16_to_cpu(in->device_vectors_max);
	limits->config_max = le16_to_cpu(in->config_max);
	limits->command_out_max = le32_to_cpu(in->command_out_max);
	limits->command_in_max = le32_to_cpu(in->command_in_max);
	limits->types[0] = le64_to_cpu(in->types[0]);
	limits->types[1] = le64_to_cpu(in->types[1]);
	err = tvq_limits_check(limits);
	if (err)
		goto out;

	/* The maxima do not change: a device that lies later is not believed. */
	if (q->vqs_max)
		goto out;
	q->in_max = limits->command_in_max;
	q->out_max = limits->command_out_max;
	q->config_max = limits->config_max;
	q->vqs_max = limits->device_vqs_max;
	q->vectors_max = limits->device_vectors_max;
out:
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_limits);

/**
 * tvq_cmd_list() - MGMT LIST, one page
 * @q: the queue
 * @after: list ids above this one
 * @entries: room for @max, filled in by rising id
 * @max: 1 or more; may be cut to what a reply can hold
 * @total: number of managed devices
 *
 * Context: process, may sleep, until the deadline.
 * Return: the number of entries, which is 0 at the end, or see cmd.h.
 */
int tvq_cmd_list(struct tvq_cmdq *q, u64 after, struct tvq_list_entry *entries,
		 unsigned int max, u32 *total)
{
	const struct virtio_tvq_list_entry *e;
	struct virtio_tvq_list_req *out;
	const struct virtio_tvq_list *in;
	struct tvq_msg *msg;
	u32 count, i;
	int err;

	max = min_t(size_t, max,
		    (q->in_max - sizeof(__le32) - sizeof(*in)) / sizeof(*e));
	msg = tvq_cmd_alloc(0, VIRTIO_TVQ_CLASS_MGMT, VIRTIO_TVQ_MGMT_LIST,
			    sizeof(*out), sizeof(*in) + max * sizeof(*e),
			    GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	out = tvq_cmd_out(msg);
	out->after = cpu_to_le64(after);
	err = tvq_cmd_exec(q, msg, sizeof(*in), NULL);
	if (err)
		goto out;

	in = tvq_cmd_in(msg);
	e = (const void *)(in + 1);
	count = le32_to_cpu(in->count);
	*total = le32_to_cpu(in->total);
	err = -EPROTO;
	if (count > max ||
	    sizeof(*in) + count * sizeof(*e) > tvq_cmd_in_len(msg))
		goto out;
	for (i = 0; i < count; i++) {
		entries[i].id = le64_to_cpu(e[i].device_id);
		entries[i].type = le32_to_cpu(e[i].type);
		/* Rising ids are what makes a list end. */
		if (entries[i].id <= after)
			goto out;
		after = entries[i].id;
	}
	err = count;
out:
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_list);

/* The longest reply of CREATE and DESCRIBE within the device's limits. */
static size_t tvq_info_in_max(struct tvq_cmdq *q)
{
	return sizeof(struct virtio_tvq_device_info) + q->config_max +
	       q->vqs_max * sizeof(__le16);
}

static int tvq_info_decode(struct tvq_cmdq *q, struct tvq_msg *msg,
			   struct tvq_info *info)
{
	const struct virtio_tvq_device_info *in = tvq_cmd_in(msg);
	size_t len = tvq_cmd_in_len(msg);
	const __le16 *size;
	unsigned int i;

	info->id = le64_to_cpu(in->device_id);
	info->type = le32_to_cpu(in->type);
	info->vendor = le32_to_cpu(in->vendor);
	for (i = 0; i < VIRTIO_TVQ_FEATURES_U64S; i++)
		info->features[i] = le64_to_cpu(in->features[i]);
	memcpy(info->name, in->name, sizeof(info->name));
	info->num_vqs = le16_to_cpu(in->num_vqs);
	info->num_vectors = le16_to_cpu(in->num_vectors);
	info->status = in->status;
	info->has_doorbell = in->flags & VIRTIO_TVQ_DEVICE_F_DOORBELL;
	info->doorbell_offset = le64_to_cpu(in->doorbell_offset);
	info->config_generation = le32_to_cpu(in->config_generation);
	info->config_len = le32_to_cpu(in->config_len);

	if (!info->id || !info->type || !info->num_vqs ||
	    info->num_vqs > q->vqs_max || info->num_vectors > q->vectors_max ||
	    info->config_len > q->config_max ||
	    sizeof(*in) + info->config_len +
	    info->num_vqs * sizeof(*size) > len)
		return -EPROTO;
	if (strnlen(info->name, sizeof(info->name)) == sizeof(info->name) ||
	    (info->name[0] && !tvq_name_valid(info->name)))
		return -EPROTO;

	info->vq_size = kcalloc(info->num_vqs, sizeof(u16), GFP_KERNEL);
	/* One byte more: a configuration space may be empty. */
	info->config = kzalloc(info->config_len + 1, GFP_KERNEL);
	if (!info->vq_size || !info->config)
		goto nomem;
	memcpy(info->config, in + 1, info->config_len);

	size = (const void *)(in + 1) + info->config_len;
	for (i = 0; i < info->num_vqs; i++) {
		info->vq_size[i] = get_unaligned_le16(size + i);
		if (!info->vq_size[i] || info->vq_size[i] > 32768)
			goto lie;
	}
	return 0;

lie:
	kfree(info->config);
	kfree(info->vq_size);
	return -EPROTO;
nomem:
	kfree(info->config);
	kfree(info->vq_size);
	return -ENOMEM;
}

/**
 * tvq_cmd_create() - MGMT CREATE
 * @q: the queue
 * @create: what is wanted
 * @info: the new device; the caller frees info->config and info->vq_size
 * @error: the device's words when it refuses
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h. After -EPROTO, -ENOMEM, -ETIMEDOUT and -EIO the device may
 * have been created all the same.
 */
int tvq_cmd_create(struct tvq_cmdq *q, const struct tvq_create *create,
		   struct tvq_info *info, struct tvq_cmd_error *error)
{
	struct virtio_tvq_config_init *config;
	struct virtio_tvq_create *out;
	struct tvq_msg *msg;
	unsigned int i;
	int err;

	msg = tvq_cmd_alloc(0, VIRTIO_TVQ_CLASS_MGMT, VIRTIO_TVQ_MGMT_CREATE,
			    sizeof(*out) + create->num_config * sizeof(*config),
			    tvq_info_in_max(q), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	out = tvq_cmd_out(msg);
	out->type = cpu_to_le32(create->type);
	out->flags = cpu_to_le32(create->has_features ?
				 VIRTIO_TVQ_CREATE_F_FEATURES : 0);
	out->vqs = cpu_to_le16(create->vqs);
	out->num_vectors = cpu_to_le16(create->num_vectors);
	out->num_config = cpu_to_le16(create->num_config);
	for (i = 0; i < VIRTIO_TVQ_FEATURES_U64S; i++)
		out->features[i] = cpu_to_le64(create->features[i]);
	memcpy(out->name, create->name, strnlen(create->name, sizeof(out->name)));
	memcpy(out->serial, create->serial,
	       strnlen(create->serial, sizeof(out->serial)));
	config = (void *)(out + 1);
	for (i = 0; i < create->num_config; i++) {
		config[i].offset = cpu_to_le16(create->config[i].offset);
		config[i].length = cpu_to_le16(create->config[i].length);
		memcpy(config[i].data, create->config[i].data,
		       create->config[i].length);
	}
	err = tvq_cmd_exec(q, msg, sizeof(struct virtio_tvq_device_info), error);
	if (!err)
		err = tvq_info_decode(q, msg, info);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_create);

/* A command for one device with nothing but @in_min bytes of answer. */
static int tvq_cmd_simple(struct tvq_cmdq *q, u64 id, u16 class, u16 command,
			  struct virtio_tvq_status *status)
{
	struct tvq_msg *msg;
	int err;

	msg = tvq_cmd_alloc(id, class, command, 0,
			    status ? sizeof(*status) : 0, TVQ_CMD_GFP_SURE);
	err = tvq_cmd_exec(q, msg, status ? sizeof(*status) : 0, NULL);
	if (!err && status)
		memcpy(status, tvq_cmd_in(msg), sizeof(*status));
	tvq_msg_put(msg);
	return err;
}

/**
 * tvq_cmd_destroy() - MGMT DESTROY
 * @q: the queue
 * @id: the device
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_destroy(struct tvq_cmdq *q, u64 id)
{
	return tvq_cmd_simple(q, id, VIRTIO_TVQ_CLASS_MGMT,
			      VIRTIO_TVQ_MGMT_DESTROY, NULL);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_destroy);

/**
 * tvq_cmd_describe() - DEVICE DESCRIBE
 * @q: the queue
 * @id: the device
 * @info: the device; the caller frees info->config and info->vq_size
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h; -EPROTO also when the answer is of another device.
 */
int tvq_cmd_describe(struct tvq_cmdq *q, u64 id, struct tvq_info *info)
{
	struct tvq_msg *msg;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_DEVICE,
			    VIRTIO_TVQ_DEVICE_DESCRIBE, 0, tvq_info_in_max(q),
			    GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	err = tvq_cmd_exec(q, msg, sizeof(struct virtio_tvq_device_info), NULL);
	if (!err)
		err = tvq_info_decode(q, msg, info);
	if (!err && info->id != id) {
		kfree(info->config);
		kfree(info->vq_size);
		err = -EPROTO;
	}
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_describe);

/**
 * tvq_cmd_negotiate() - DEVICE NEGOTIATE
 * @q: the queue
 * @id: the device
 * @features: VIRTIO_TVQ_FEATURES_U64S words of driver features
 * @status: with FEATURES_OK
 * @result: the status that the device took, without FEATURES_OK where it does
 *	not want these features
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_negotiate(struct tvq_cmdq *q, u64 id, const u64 *features,
		      u8 status, u8 *result)
{
	const struct virtio_tvq_status *in;
	struct virtio_tvq_negotiate *out;
	struct tvq_msg *msg;
	unsigned int i;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_DEVICE,
			    VIRTIO_TVQ_DEVICE_NEGOTIATE, sizeof(*out),
			    sizeof(*in), TVQ_CMD_GFP_SURE);
	out = tvq_cmd_out(msg);
	for (i = 0; i < VIRTIO_TVQ_FEATURES_U64S; i++)
		out->features[i] = cpu_to_le64(features[i]);
	out->status = status;
	err = tvq_cmd_exec(q, msg, sizeof(*in), NULL);
	if (!err) {
		in = tvq_cmd_in(msg);
		*result = in->status;
	}
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_negotiate);

/**
 * tvq_cmd_get_status() - DEVICE GET_STATUS
 * @q: the queue
 * @id: the device
 * @result: its status
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_get_status(struct tvq_cmdq *q, u64 id, u8 *result)
{
	struct virtio_tvq_status status;
	int err;

	err = tvq_cmd_simple(q, id, VIRTIO_TVQ_CLASS_DEVICE,
			     VIRTIO_TVQ_DEVICE_GET_STATUS, &status);
	if (!err)
		*result = status.status;
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_get_status);

/**
 * tvq_cmd_reset() - DEVICE RESET
 * @q: the queue
 * @id: the device
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h; -EPROTO also when the device says that it is reset and its
 * status is not 0.
 */
int tvq_cmd_reset(struct tvq_cmdq *q, u64 id)
{
	struct virtio_tvq_status status;
	int err;

	err = tvq_cmd_simple(q, id, VIRTIO_TVQ_CLASS_DEVICE,
			     VIRTIO_TVQ_DEVICE_RESET, &status);
	if (!err && status.status)
		err = -EPROTO;
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_reset);

static int tvq_config_decode(struct tvq_cmdq *q, struct tvq_msg *msg,
			     struct tvq_config *config)
{
	const struct virtio_tvq_config *in = tvq_cmd_in(msg);
	u32 length = le32_to_cpu(in->length);

	if (length > q->config_max ||
	    sizeof(*in) + length > tvq_cmd_in_len(msg))
		return -EPROTO;
	config->generation = le32_to_cpu(in->generation);
	config->length = length;
	config->status = in->status;
	memcpy(config->data, in + 1, length);
	return 0;
}

/**
 * tvq_cmd_get_config() - DEVICE GET_CONFIG
 * @q: the queue
 * @id: the device
 * @config: all of its configuration space, of one moment
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_get_config(struct tvq_cmdq *q, u64 id, struct tvq_config *config)
{
	struct tvq_msg *msg;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_DEVICE,
			    VIRTIO_TVQ_DEVICE_GET_CONFIG, 0,
			    sizeof(struct virtio_tvq_config) + q->config_max,
			    TVQ_CMD_GFP_SURE);
	err = tvq_cmd_exec(q, msg, sizeof(struct virtio_tvq_config), NULL);
	if (!err)
		err = tvq_config_decode(q, msg, config);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_get_config);

/**
 * tvq_cmd_set_config() - DEVICE SET_CONFIG
 * @q: the queue
 * @id: the device
 * @offset: in configuration space
 * @data: what is written there
 * @len: its length in bytes, 1 or more
 * @config: all of configuration space, after that
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_set_config(struct tvq_cmdq *q, u64 id, u32 offset,
		       const void *data, u32 len, struct tvq_config *config)
{
	struct virtio_tvq_config_write *out;
	struct tvq_msg *msg;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_DEVICE,
			    VIRTIO_TVQ_DEVICE_SET_CONFIG, sizeof(*out) + len,
			    sizeof(struct virtio_tvq_config) + q->config_max,
			    TVQ_CMD_GFP_SURE);
	out = tvq_cmd_out(msg);
	out->offset = cpu_to_le32(offset);
	out->length = cpu_to_le32(len);
	memcpy(out + 1, data, len);
	err = tvq_cmd_exec(q, msg, sizeof(struct virtio_tvq_config), NULL);
	if (!err)
		err = tvq_config_decode(q, msg, config);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_set_config);

/**
 * tvq_cmd_get_shm() - DEVICE GET_SHM
 * @q: the queue
 * @id: the device
 * @shm_id: which of its shared memory regions
 * @shm: where that is
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h; -ENXIO when the device has no such region.
 */
int tvq_cmd_get_shm(struct tvq_cmdq *q, u64 id, u8 shm_id, struct tvq_shm *shm)
{
	const struct virtio_tvq_shm *in;
	struct virtio_tvq_shm_req *out;
	struct tvq_msg *msg;
	u64 end;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_DEVICE,
			    VIRTIO_TVQ_DEVICE_GET_SHM, sizeof(*out),
			    sizeof(*in), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	out = tvq_cmd_out(msg);
	out->shm_id = shm_id;
	err = tvq_cmd_exec(q, msg, sizeof(*in), NULL);
	if (err)
		goto out;
	in = tvq_cmd_in(msg);
	shm->bar = in->bar;
	shm->offset = le64_to_cpu(in->offset);
	shm->length = le64_to_cpu(in->length);
	if (shm->bar >= PCI_STD_NUM_BARS || !shm->length ||
	    !IS_ALIGNED(shm->offset, VIRTIO_TVQ_SHM_ALIGN) ||
	    !IS_ALIGNED(shm->length, VIRTIO_TVQ_SHM_ALIGN) ||
	    check_add_overflow(shm->offset, shm->length, &end))
		err = -EPROTO;
out:
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_get_shm);

static void tvq_msi_encode(struct virtio_tvq_msi_entry *out,
			   const struct tvq_msi *msis, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		out[i].address = cpu_to_le64(msis[i].address);
		out[i].data = cpu_to_le32(msis[i].data);
		out[i].flags = msis[i].flags;
	}
}

/**
 * tvq_cmd_setup() - VQ SETUP
 * @q: the queue
 * @id: the device
 * @vqs: the queues to set up and enable
 * @num_vqs: how many
 * @msis: what to set the interrupt table to, from its entry 0 on
 * @num_msi: how many, may be 0
 * @config_vector: entry for the configuration interrupt
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_setup(struct tvq_cmdq *q, u64 id, const struct tvq_vq_setup *vqs,
		  unsigned int num_vqs, const struct tvq_msi *msis,
		  unsigned int num_msi, u16 config_vector)
{
	struct virtio_tvq_setup *out;
	struct virtio_tvq_vq *vq;
	struct tvq_msg *msg;
	unsigned int i;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_SETUP,
			    sizeof(*out) + num_vqs * sizeof(*vq) +
			    num_msi * sizeof(struct virtio_tvq_msi_entry), 0,
			    GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	out = tvq_cmd_out(msg);
	out->num_vqs = cpu_to_le16(num_vqs);
	out->num_msi = cpu_to_le16(num_msi);
	out->config_vector = cpu_to_le16(config_vector);
	vq = (void *)(out + 1);
	for (i = 0; i < num_vqs; i++, vq++) {
		vq->index = cpu_to_le16(vqs[i].index);
		vq->size = cpu_to_le16(vqs[i].size);
		vq->vector = cpu_to_le16(vqs[i].vector);
		vq->desc = cpu_to_le64(vqs[i].desc);
		vq->driver = cpu_to_le64(vqs[i].driver);
		vq->device = cpu_to_le64(vqs[i].device);
	}
	tvq_msi_encode((void *)vq, msis, num_msi);
	err = tvq_cmd_exec(q, msg, 0, NULL);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_setup);

/**
 * tvq_cmd_reset_vq() - VQ RESET
 * @q: the queue
 * @id: the device
 * @index: the device's queue to reset
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_reset_vq(struct tvq_cmdq *q, u64 id, u16 index)
{
	struct virtio_tvq_vq_reset *out;
	struct tvq_msg *msg;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_RESET,
			    sizeof(*out), 0, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	out = tvq_cmd_out(msg);
	out->index = cpu_to_le16(index);
	err = tvq_cmd_exec(q, msg, 0, NULL);
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_reset_vq);

/**
 * tvq_cmd_msi_get() - MSI GET
 * @q: the queue
 * @id: the device
 * @first: entry of its interrupt table
 * @count: how many from there on, 1 or more
 * @msis: room for @count
 *
 * Context: process, may sleep, until the deadline.
 * Return: see cmd.h.
 */
int tvq_cmd_msi_get(struct tvq_cmdq *q, u64 id, u16 first, u16 count,
		    struct tvq_msi *msis)
{
	const struct virtio_tvq_msi_entry *in;
	struct virtio_tvq_msi_range *out;
	struct tvq_msg *msg;
	unsigned int i;
	int err;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_MSI, VIRTIO_TVQ_MSI_GET,
			    sizeof(*out), count * sizeof(*in), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	out = tvq_cmd_out(msg);
	out->first = cpu_to_le16(first);
	out->count = cpu_to_le16(count);
	err = tvq_cmd_exec(q, msg, count * sizeof(*in), NULL);
	if (err)
		goto out;
	in = tvq_cmd_in(msg);
	for (i = 0; i < count; i++) {
		msis[i].address = le64_to_cpu(in[i].address);
		msis[i].data = le32_to_cpu(in[i].data);
		msis[i].flags = in[i].flags;
	}
out:
	tvq_msg_put(msg);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_msi_get);

/**
 * tvq_cmd_post_status() - DEVICE SET_STATUS, posted
 * @q: the queue
 * @id: the device
 * @status: not 0, which is RESET
 * @gfp: how to allocate
 * @done: told how it ended, in any context up to hard interrupt
 * @ctx: its argument
 *
 * Context: any that @gfp allows, up to hard interrupt.
 * Return: 0 and @done will be called, once; or an error and it will not.
 */
int tvq_cmd_post_status(struct tvq_cmdq *q, u64 id, u8 status, gfp_t gfp,
			tvq_cmd_done_t done, void *ctx)
{
	struct virtio_tvq_status *out;
	struct tvq_msg *msg;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_DEVICE,
			    VIRTIO_TVQ_DEVICE_SET_STATUS, sizeof(*out),
			    sizeof(*out), gfp);
	if (msg) {
		out = tvq_cmd_out(msg);
		out->status = status;
	}
	return tvq_cmd_post(q, msg, gfp, done, ctx);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_post_status);

/**
 * tvq_cmd_post_notify() - VQ NOTIFY, posted
 * @q: the queue
 * @id: the device
 * @data: what a doorbell would get
 * @gfp: how to allocate
 * @done: told how it ended, in any context up to hard interrupt
 * @ctx: its argument
 *
 * Context: any that @gfp allows, up to hard interrupt.
 * Return: 0 and @done will be called, once; or an error and it will not.
 */
int tvq_cmd_post_notify(struct tvq_cmdq *q, u64 id, u32 data, gfp_t gfp,
			tvq_cmd_done_t done, void *ctx)
{
	struct virtio_tvq_notify *out;
	struct tvq_msg *msg;

	KUNIT_STATIC_STUB_REDIRECT(tvq_cmd_post_notify, q, id, data, gfp, done,
				   ctx);
	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_NOTIFY,
			    sizeof(*out), 0, gfp);
	if (msg) {
		out = tvq_cmd_out(msg);
		out->data = cpu_to_le32(data);
	}
	return tvq_cmd_post(q, msg, gfp, done, ctx);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_post_notify);

/**
 * tvq_cmd_post_msi() - MSI SET, posted
 * @q: the queue
 * @id: the device
 * @first: entry of its interrupt table
 * @count: how many from there on, 1 or more
 * @msis: what to set them to
 * @gfp: how to allocate
 * @done: told how it ended, in any context up to hard interrupt
 * @ctx: its argument
 *
 * Context: any that @gfp allows, up to hard interrupt; not under a raw lock.
 * Return: 0 and @done will be called, once; or an error and it will not.
 */
int tvq_cmd_post_msi(struct tvq_cmdq *q, u64 id, u16 first, u16 count,
		     const struct tvq_msi *msis, gfp_t gfp,
		     tvq_cmd_done_t done, void *ctx)
{
	struct virtio_tvq_msi_range *out;
	struct tvq_msg *msg;

	msg = tvq_cmd_alloc(id, VIRTIO_TVQ_CLASS_MSI, VIRTIO_TVQ_MSI_SET,
			    sizeof(*out) +
			    count * sizeof(struct virtio_tvq_msi_entry), 0, gfp);
	if (msg) {
		out = tvq_cmd_out(msg);
		out->first = cpu_to_le16(first);
		out->count = cpu_to_le16(count);
		tvq_msi_encode((void *)(out + 1), msis, count);
	}
	return tvq_cmd_post(q, msg, gfp, done, ctx);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_cmd_post_msi);
