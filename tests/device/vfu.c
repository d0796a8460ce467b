// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* vfio-user: framing, negotiation, requests, interrupts, and our own messages. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "sock.h"
#include "vfu.h"
#include "vfu_proto.h"

#define MAX_XFER	(1u << 20)
#define MAP_PAGE	4096ul		/* of the address, the size and the offset of a window */
#define MAX_MESSAGE	(MAX_XFER + 4096)
#define MAX_FDS		16
/* With this much unsent, no further request is read. */
#define OUT_HIGH	(8u << 20)

static const char * const command_names[] = {
	[VFU_VERSION] = "VERSION", [VFU_DMA_MAP] = "DMA_MAP", [VFU_DMA_UNMAP] = "DMA_UNMAP",
	[VFU_GET_INFO] = "GET_INFO", [VFU_GET_REGION_INFO] = "GET_REGION_INFO",
	[VFU_GET_REGION_IO_FDS] = "GET_REGION_IO_FDS", [VFU_GET_IRQ_INFO] = "GET_IRQ_INFO",
	[VFU_SET_IRQS] = "SET_IRQS", [VFU_REGION_READ] = "REGION_READ",
	[VFU_REGION_WRITE] = "REGION_WRITE", [VFU_DMA_READ] = "DMA_READ",
	[VFU_DMA_WRITE] = "DMA_WRITE", [VFU_DEVICE_RESET] = "DEVICE_RESET",
	[VFU_REGION_WRITE_MULTI] = "REGION_WRITE_MULTI",
};

static const char *command_name(unsigned int command)
{
	if (command < sizeof(command_names) / sizeof(command_names[0]) && command_names[command])
		return command_names[command];
	return "unknown";
}

int vfu_init(struct vfu *vfu, const struct vfu_ops *ops, void *dev, unsigned int num_irqs)
{
	unsigned int i;

	memset(vfu, 0, sizeof(*vfu));
	vfu->ops = ops;
	vfu->dev = dev;
	vfu->num_irqs = num_irqs;
	vfu->listen_fd = -1;
	vfu->fd = -1;
	pthread_mutex_init(&vfu->send_lock, NULL);
	pthread_mutex_init(&vfu->irq_lock, NULL);
	vfu->irq = calloc(num_irqs, sizeof(*vfu->irq));
	vfu->pending = calloc(65536, sizeof(*vfu->pending));
	vfu->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!vfu->irq || !vfu->pending || vfu->wake_fd < 0) {
		vfu_exit(vfu);
		return -ENOMEM;
	}
	for (i = 0; i < num_irqs; i++)
		vfu->irq[i].fd = -1;
	return 0;
}

void vfu_exit(struct vfu *vfu)
{
	if (vfu->listen_fd >= 0)
		close(vfu->listen_fd);
	if (vfu->wake_fd >= 0)
		close(vfu->wake_fd);
	free(vfu->in);
	free(vfu->out);
	free(vfu->pending);
	free(vfu->irq);
	pthread_mutex_destroy(&vfu->send_lock);
	pthread_mutex_destroy(&vfu->irq_lock);
}

int vfu_listen(struct vfu *vfu, const char *path)
{
	int fd = sock_listen(path);

	if (fd < 0)
		return fd;
	vfu->listen_fd = fd;
	return 0;
}

static void wake(struct vfu *vfu)
{
	uint64_t one = 1;

	if (write(vfu->wake_fd, &one, sizeof(one)) < 0)
		return;		/* it is awake already */
}

/* Send what is queued, as far as the socket takes it. With send_lock. */
static void flush_out(struct vfu *vfu)
{
	ssize_t n;

	while (vfu->out_start < vfu->out_end) {
		n = send(vfu->fd, vfu->out + vfu->out_start, vfu->out_end - vfu->out_start,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				vfu->dead = true;
			return;
		}
		vfu->out_start += n;
	}
	vfu->out_start = 0;
	vfu->out_end = 0;
}

/* Queue one message and try to send it. Never blocks. With send_lock. */
static int queue_message(struct vfu *vfu, const struct vfu_hdr *hdr, const void *a, size_t a_len,
			 const void *b, size_t b_len)
{
	size_t len = sizeof(*hdr) + a_len + b_len, room;
	bool idle = vfu->out_start == vfu->out_end;
	uint8_t *out;

	if (vfu->fd < 0 || vfu->dead)
		return -ENOTCONN;
	if (vfu->out_start && vfu->out_end + len > vfu->out_room) {
		memmove(vfu->out, vfu->out + vfu->out_start, vfu->out_end - vfu->out_start);
		vfu->out_end -= vfu->out_start;
		vfu->out_start = 0;
	}
	if (vfu->out_end + len > vfu->out_room) {
		room = vfu->out_room ? 2 * vfu->out_room : 65536;
		while (room < vfu->out_end + len)
			room *= 2;
		out = realloc(vfu->out, room);
		if (!out) {
			vfu->dead = true;	/* half a stream is none */
			return -ENOMEM;
		}
		vfu->out = out;
		vfu->out_room = room;
	}
	memcpy(vfu->out + vfu->out_end, hdr, sizeof(*hdr));
	vfu->out_end += sizeof(*hdr);
	if (a_len)
		memcpy(vfu->out + vfu->out_end, a, a_len);
	vfu->out_end += a_len;
	if (b_len)
		memcpy(vfu->out + vfu->out_end, b, b_len);
	vfu->out_end += b_len;
	if (idle)
		flush_out(vfu);
	if (vfu->dead || vfu->out_start != vfu->out_end)
		wake(vfu);
	return 0;
}

static void reply_parts(struct vfu *vfu, const struct vfu_hdr *req, const void *a, size_t a_len,
			const void *b, size_t b_len)
{
	struct vfu_hdr hdr = {
		.id = req->id,
		.command = req->command,
		.size = sizeof(hdr) + a_len + b_len,
		.flags = VFU_F_REPLY,
	};

	if (req->flags & VFU_F_NO_REPLY)
		return;
	pthread_mutex_lock(&vfu->send_lock);
	queue_message(vfu, &hdr, a, a_len, b, b_len);
	pthread_mutex_unlock(&vfu->send_lock);
}

static void reply(struct vfu *vfu, const struct vfu_hdr *req, const void *data, size_t len)
{
	reply_parts(vfu, req, data, len, NULL, 0);
}

/*
 * A reply with a file. Return: whether it was sent; it is not where other messages
 * are waiting, for the file has to go with the bytes of its own.
 */
static bool reply_with_fd(struct vfu *vfu, const struct vfu_hdr *req, const void *data, size_t len,
			  int fd)
{
	struct vfu_hdr hdr = {
		.id = req->id,
		.command = req->command,
		.size = sizeof(hdr) + len,
		.flags = VFU_F_REPLY,
	};
	struct iovec iov[] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)data, .iov_len = len },
	};
	union {
		char buf[CMSG_SPACE(sizeof(fd))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t n = -1;

	memset(&control, 0, sizeof(control));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	pthread_mutex_lock(&vfu->send_lock);
	if (vfu->fd >= 0 && !vfu->dead && vfu->out_start == vfu->out_end)
		n = sendmsg(vfu->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0 && n != hdr.size)
		vfu->dead = true;	/* half a message is none */
	pthread_mutex_unlock(&vfu->send_lock);
	return n > 0;
}

static void reply_error(struct vfu *vfu, const struct vfu_hdr *req, int err)
{
	struct vfu_hdr hdr = {
		.id = req->id,
		.command = req->command,
		.size = sizeof(hdr),
		.flags = VFU_F_REPLY | VFU_F_ERROR,
		.error = err < 0 ? -err : err,
	};

	log_debug("vfio-user: %s is refused: %s", command_name(req->command), strerror(hdr.error));
	if (req->flags & VFU_F_NO_REPLY)
		return;
	pthread_mutex_lock(&vfu->send_lock);
	queue_message(vfu, &hdr, NULL, 0, NULL, 0);
	pthread_mutex_unlock(&vfu->send_lock);
}

/*
 * Our own messages
 */

/**
 * vfu_dma_write - have the client write to guest memory
 *
 * Only queues the message, for any thread. ops->written() is called with the
 * cookie when the client has answered.
 *
 * Return: the message's id, or a negative error when there is nobody to ask.
 */
int vfu_dma_write(struct vfu *vfu, uint64_t gpa, const void *buf, uint32_t len, uint64_t cookie)
{
	struct vfu_dma_rw rw = { .address = gpa, .count = len };
	struct vfu_hdr hdr = {
		.command = VFU_DMA_WRITE,
		.size = sizeof(hdr) + sizeof(rw) + len,
	};
	int ret = -EAGAIN;

	pthread_mutex_lock(&vfu->send_lock);
	if (vfu->outstanding < 65536) {
		while (vfu->pending[vfu->next_id].used)
			vfu->next_id++;
		hdr.id = vfu->next_id;
		ret = queue_message(vfu, &hdr, &rw, sizeof(rw), buf, len);
		if (!ret) {
			vfu->pending[hdr.id].used = true;
			vfu->pending[hdr.id].stale = false;
			vfu->pending[hdr.id].cookie = cookie;
			vfu->outstanding++;
			vfu->next_id++;
			ret = hdr.id;
		}
	}
	pthread_mutex_unlock(&vfu->send_lock);
	return ret;
}

/* What was sent so far was sent before a reset. */
void vfu_mark_stale(struct vfu *vfu)
{
	unsigned int i;

	pthread_mutex_lock(&vfu->send_lock);
	if (vfu->outstanding) {
		for (i = 0; i < 65536; i++)
			vfu->pending[i].stale = vfu->pending[i].used;
	}
	vfu->num_stale = vfu->outstanding;
	pthread_mutex_unlock(&vfu->send_lock);
}

/* How many messages from before the last reset the client has not answered. */
unsigned int vfu_stale(struct vfu *vfu)
{
	unsigned int n;

	pthread_mutex_lock(&vfu->send_lock);
	n = vfu->num_stale;
	pthread_mutex_unlock(&vfu->send_lock);
	return n;
}

static void handle_reply(struct vfu *vfu, const struct vfu_hdr *hdr)
{
	bool known, stale = false;
	uint64_t cookie = 0;

	pthread_mutex_lock(&vfu->send_lock);
	known = vfu->pending[hdr->id].used && hdr->command == VFU_DMA_WRITE;
	if (known) {
		cookie = vfu->pending[hdr->id].cookie;
		stale = vfu->pending[hdr->id].stale;
		vfu->pending[hdr->id].used = false;
		vfu->outstanding--;
		if (stale)
			vfu->num_stale--;
	}
	pthread_mutex_unlock(&vfu->send_lock);
	if (!known) {
		log_warn("vfio-user: a reply to nothing, id %u", hdr->id);
		return;
	}
	if (hdr->flags & VFU_F_ERROR)
		log_debug("vfio-user: the client refused a write: %s", strerror(hdr->error));
	if (!stale)
		vfu->ops->written(vfu->dev, hdr->id, cookie);
}

/*
 * Interrupts of the function
 */

static void irq_signal(struct vfu_irq *irq)
{
	uint64_t one = 1;

	if (irq->masked)
		irq->pending = true;
	else if (irq->fd >= 0 && write(irq->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("vfio-user: an interrupt's eventfd: %s", strerror(errno));
}

void vfu_irq_raise(struct vfu *vfu, unsigned int vector)
{
	if (vector >= vfu->num_irqs)
		return;
	pthread_mutex_lock(&vfu->irq_lock);
	irq_signal(&vfu->irq[vector]);
	pthread_mutex_unlock(&vfu->irq_lock);
}

/*
 * An eventfd that nobody reads gets full. Who sends an interrupt holds locks, and must not
 * wait for a client.
 */
static void irq_set_fd(struct vfu_irq *irq, int fd)
{
	if (irq->fd >= 0)
		close(irq->fd);
	irq->fd = fd;
	if (fd >= 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
		log_warn("vfio-user: an interrupt's eventfd: %s", strerror(errno));
}

static void irqs_drop(struct vfu *vfu)
{
	unsigned int i;

	pthread_mutex_lock(&vfu->irq_lock);
	for (i = 0; i < vfu->num_irqs; i++) {
		irq_set_fd(&vfu->irq[i], -1);
		vfu->irq[i].masked = false;
		vfu->irq[i].pending = false;
	}
	pthread_mutex_unlock(&vfu->irq_lock);
}

static int set_irqs(struct vfu *vfu, const struct vfu_irq_set *set, const uint8_t *data,
		    size_t len)
{
	uint32_t what = set->flags & VFU_IRQ_DATA_MASK, action = set->flags & VFU_IRQ_ACTION_MASK;
	unsigned int i, count;
	struct vfu_irq *irq;

	if (set->index >= VFU_IRQ_TYPES ||
	    (set->flags & ~(VFU_IRQ_DATA_MASK | VFU_IRQ_ACTION_MASK)))
		return -EINVAL;
	if (what != VFU_IRQ_DATA_NONE && what != VFU_IRQ_DATA_BOOL && what != VFU_IRQ_DATA_EVENTFD)
		return -EINVAL;
	if (action != VFU_IRQ_ACTION_MASKING && action != VFU_IRQ_ACTION_UNMASK &&
	    action != VFU_IRQ_ACTION_TRIGGER)
		return -EINVAL;
	count = set->index == VFU_MSIX ? vfu->num_irqs : 0;
	if (set->start > count || set->count > count - set->start)
		return -EINVAL;
	if (what == VFU_IRQ_DATA_EVENTFD && action != VFU_IRQ_ACTION_TRIGGER)
		return -EINVAL;
	if (what == VFU_IRQ_DATA_EVENTFD && vfu->num_in_fds && vfu->num_in_fds != set->count)
		return -EINVAL;
	if (what == VFU_IRQ_DATA_BOOL && len < set->count)
		return -EINVAL;

	if (what == VFU_IRQ_DATA_NONE && action == VFU_IRQ_ACTION_TRIGGER && !set->count) {
		if (set->index == VFU_MSIX)
			irqs_drop(vfu);
		return 0;
	}
	pthread_mutex_lock(&vfu->irq_lock);
	for (i = 0; i < set->count; i++) {
		irq = &vfu->irq[set->start + i];
		if (what == VFU_IRQ_DATA_EVENTFD) {
			irq_set_fd(irq, vfu->num_in_fds ? vfu->in_fds[i] : -1);
			continue;
		}
		if (what == VFU_IRQ_DATA_BOOL && !data[i])
			continue;
		if (action == VFU_IRQ_ACTION_MASKING) {
			irq->masked = true;
		} else if (action == VFU_IRQ_ACTION_UNMASK) {
			irq->masked = false;
			if (irq->pending) {
				irq->pending = false;
				irq_signal(irq);
			}
		} else {
			irq_signal(irq);
		}
	}
	pthread_mutex_unlock(&vfu->irq_lock);
	if (what == VFU_IRQ_DATA_EVENTFD)
		vfu->num_in_fds = 0;	/* they are kept */
	return 0;
}

/*
 * Requests. Each handler gets the payload, and answers.
 */

static int handle_version(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			  size_t len)
{
	static const struct {
		const char *key;
		unsigned long value;
	} caps[] = {
		{ "max_msg_fds", MAX_FDS },
		{ "max_data_xfer_size", MAX_XFER },
		{ "pgsizes", MAP_PAGE },
		{ "max_dma_maps", 65535 },
	};
	struct vfu_version version;
	const char *json = "";
	char text[256];
	size_t n, i;
	bool first = true;

	if (vfu->negotiated || len < sizeof(version))
		return -EINVAL;
	memcpy(&version, data, sizeof(version));
	if (len > sizeof(version)) {
		json = (const char *)data + sizeof(version);
		if (data[len - 1])
			return -EINVAL;
	}
	if (version.major != 0) {
		log_error("vfio-user: the client speaks version %u.%u, not 0.x", version.major,
			  version.minor);
		return -ENOTSUP;
	}

	/* The reply holds a part of what the client proposed, and is no longer. */
	n = snprintf(text, sizeof(text), "{\"capabilities\":{");
	for (i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		if (!strstr(json, caps[i].key))
			continue;
		n += snprintf(text + n, sizeof(text) - n, "%s\"%s\":%lu", first ? "" : ",",
			      caps[i].key, caps[i].value);
		first = false;
	}
	n += snprintf(text + n, sizeof(text) - n, "}}");
	version.minor = VFU_MINOR;	/* the lowest there is */
	vfu->negotiated = true;
	log_debug("vfio-user: version 0.%u, %s", version.minor, json);
	reply_parts(vfu, hdr, &version, sizeof(version), text, n + 1);
	return 0;
}

static int handle_dma_map(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			  size_t len)
{
	struct vfu_dma_map map;
	int ret;

	if (len < sizeof(map) || vfu->num_in_fds > 1)
		return -EINVAL;
	memcpy(&map, data, sizeof(map));
	if (map.argsz < sizeof(map) || (map.flags & ~3u) ||
	    (map.address | map.size | map.offset) % MAP_PAGE)
		return -EINVAL;
	ret = vfu->ops->dma_map(vfu->dev, map.address, map.size, map.offset, map.flags,
				vfu->num_in_fds ? vfu->in_fds[0] : -1);
	if (!ret)
		reply(vfu, hdr, NULL, 0);
	return ret;
}

static int handle_dma_unmap(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			    size_t len)
{
	struct vfu_dma_unmap unmap;
	bool all;

	if (len < sizeof(unmap))
		return -EINVAL;
	memcpy(&unmap, data, sizeof(unmap));
	all = unmap.flags & VFU_DMA_UNMAP_ALL;
	if (unmap.argsz < sizeof(unmap) || (unmap.flags & ~VFU_DMA_UNMAP_ALL) ||
	    (!all && (unmap.address | unmap.size) % MAP_PAGE))
		return -EINVAL;
	vfu->ops->dma_unmap(vfu->dev, unmap.address, unmap.size, all);
	reply(vfu, hdr, &unmap, sizeof(unmap));
	return 0;
}

static int handle_get_info(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			   size_t len)
{
	struct vfu_device_info info;

	if (len < sizeof(info))
		return -EINVAL;
	memcpy(&info, data, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI;
	info.num_regions = VFU_REGIONS;
	info.num_irqs = VFU_IRQ_TYPES;
	reply(vfu, hdr, &info, sizeof(info));
	return 0;
}

static int handle_get_region_info(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
				  size_t len)
{
	struct vfu_region_info info;
	int fd;

	if (len < sizeof(info))
		return -EINVAL;
	memcpy(&info, data, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFU_REGIONS)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.size = vfu->ops->region_size(vfu->dev, info.index);
	info.flags = info.size ? VFU_REGION_F_READ | VFU_REGION_F_WRITE : 0;
	info.cap_offset = 0;
	info.offset = 0;
	fd = vfu->ops->region_fd(vfu->dev, info.index);
	if (fd >= 0) {
		info.flags |= VFU_REGION_F_MMAP;
		if ((hdr->flags & VFU_F_NO_REPLY) ||
		    reply_with_fd(vfu, hdr, &info, sizeof(info), fd))
			return 0;
		/* It can still be read and written by message. */
		info.flags &= ~VFU_REGION_F_MMAP;
	}
	reply(vfu, hdr, &info, sizeof(info));
	return 0;
}

static int handle_get_irq_info(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			       size_t len)
{
	struct vfu_irq_info info;

	if (len < sizeof(info))
		return -EINVAL;
	memcpy(&info, data, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFU_IRQ_TYPES)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.count = info.index == VFU_MSIX ? vfu->num_irqs : 0;
	info.flags = info.count ? VFU_IRQ_F_EVENTFD : 0;
	reply(vfu, hdr, &info, sizeof(info));
	return 0;
}

static int handle_set_irqs(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			   size_t len)
{
	struct vfu_irq_set set;
	int ret;

	if (len < sizeof(set))
		return -EINVAL;
	memcpy(&set, data, sizeof(set));
	if (set.argsz < sizeof(set))
		return -EINVAL;
	ret = set_irqs(vfu, &set, data + sizeof(set), len - sizeof(set));
	if (!ret)
		reply(vfu, hdr, NULL, 0);
	return ret;
}

static int region_check(struct vfu *vfu, const struct vfu_region_rw *rw)
{
	uint64_t size;

	if (rw->region >= VFU_REGIONS || rw->count > MAX_XFER)
		return -EINVAL;
	size = vfu->ops->region_size(vfu->dev, rw->region);
	if (rw->offset > size || rw->count > size - rw->offset)
		return -EINVAL;
	return 0;
}

static int handle_region_read(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			      size_t len)
{
	struct vfu_region_rw rw;
	uint8_t small[64], *buf = small;

	if (len < sizeof(rw))
		return -EINVAL;
	memcpy(&rw, data, sizeof(rw));
	if (region_check(vfu, &rw))
		return -EINVAL;
	if (rw.count > sizeof(small)) {
		buf = malloc(rw.count);
		if (!buf)
			return -ENOMEM;
	}
	if (rw.count)
		vfu->ops->region_read(vfu->dev, rw.region, rw.offset, buf, rw.count);
	reply_parts(vfu, hdr, &rw, sizeof(rw), buf, rw.count);
	if (buf != small)
		free(buf);
	return 0;
}

static int handle_region_write(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			       size_t len)
{
	struct vfu_region_rw rw;

	if (len < sizeof(rw))
		return -EINVAL;
	memcpy(&rw, data, sizeof(rw));
	if (region_check(vfu, &rw) || len - sizeof(rw) != rw.count)
		return -EINVAL;
	if (rw.count)
		vfu->ops->region_write(vfu->dev, rw.region, rw.offset, data + sizeof(rw), rw.count);
	reply(vfu, hdr, &rw, sizeof(rw));
	return 0;
}

static int handle_reset(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
			size_t len)
{
	vfu->ops->reset(vfu->dev);
	reply(vfu, hdr, NULL, 0);
	return 0;
}

static int (* const handlers[])(struct vfu *vfu, const struct vfu_hdr *hdr, const uint8_t *data,
				size_t len) = {
	[VFU_VERSION] = handle_version,
	[VFU_DMA_MAP] = handle_dma_map,
	[VFU_DMA_UNMAP] = handle_dma_unmap,
	[VFU_GET_INFO] = handle_get_info,
	[VFU_GET_REGION_INFO] = handle_get_region_info,
	[VFU_GET_IRQ_INFO] = handle_get_irq_info,
	[VFU_SET_IRQS] = handle_set_irqs,
	[VFU_REGION_READ] = handle_region_read,
	[VFU_REGION_WRITE] = handle_region_write,
	[VFU_DEVICE_RESET] = handle_reset,
};

static void drop_fds(struct vfu *vfu)
{
	while (vfu->num_in_fds)
		close(vfu->in_fds[--vfu->num_in_fds]);
}

/* One whole message. Return: -1 if there is no going on with this client. */
static int handle_message(struct vfu *vfu)
{
	const uint8_t *data = vfu->in + sizeof(struct vfu_hdr);
	size_t len = vfu->in_len - sizeof(struct vfu_hdr);
	struct vfu_hdr hdr;
	int ret = -ENOSYS;

	memcpy(&hdr, vfu->in, sizeof(hdr));
	if ((hdr.flags & VFU_F_TYPE) == VFU_F_REPLY) {
		handle_reply(vfu, &hdr);
		drop_fds(vfu);
		return 0;
	}
	if ((hdr.flags & VFU_F_TYPE) != VFU_F_COMMAND) {
		log_error("vfio-user: a message that is neither command nor reply");
		return -1;
	}
	if (!vfu->negotiated && hdr.command != VFU_VERSION) {
		log_error("vfio-user: %s before the version is agreed on",
			  command_name(hdr.command));
		return -1;
	}
	if (hdr.command < sizeof(handlers) / sizeof(handlers[0]) && handlers[hdr.command])
		ret = handlers[hdr.command](vfu, &hdr, data, len);
	if (ret)
		reply_error(vfu, &hdr, ret);
	drop_fds(vfu);
	return !vfu->negotiated ? -1 : 0;
}

static void take_fds(struct vfu *vfu, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	unsigned int i, num;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		num = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < num; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (vfu->num_in_fds < sizeof(vfu->in_fds) / sizeof(vfu->in_fds[0]))
				vfu->in_fds[vfu->num_in_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* Read what there is. Return: 0 to go on, -1 when the client is gone or talks nonsense. */
static int receive(struct vfu *vfu)
{
	union {
		char buf[CMSG_SPACE(64 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct vfu_hdr hdr;
	struct msghdr msg;
	struct iovec iov;
	unsigned int budget;
	size_t want;
	uint8_t *in;
	ssize_t n;

	for (budget = 64; budget; ) {
		want = sizeof(hdr);
		if (vfu->in_len >= sizeof(hdr)) {
			memcpy(&hdr, vfu->in, sizeof(hdr));
			want = hdr.size;
		}
		if (want > vfu->in_room) {
			in = realloc(vfu->in, want < 4096 ? 4096 : want);
			if (!in)
				return -1;
			vfu->in = in;
			vfu->in_room = want < 4096 ? 4096 : want;
		}
		if (vfu->in_len < want) {
			iov.iov_base = vfu->in + vfu->in_len;
			iov.iov_len = want - vfu->in_len;
			memset(&msg, 0, sizeof(msg));
			msg.msg_iov = &iov;
			msg.msg_iovlen = 1;
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control);
			n = recvmsg(vfu->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
			if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
				return 0;
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return -1;
			take_fds(vfu, &msg);
			vfu->in_len += n;
			if (vfu->in_len == sizeof(hdr) && want == sizeof(hdr)) {
				memcpy(&hdr, vfu->in, sizeof(hdr));
				if (hdr.size < sizeof(hdr) || hdr.size > MAX_MESSAGE) {
					log_error("vfio-user: a message of %u bytes", hdr.size);
					return -1;
				}
				want = hdr.size;
			}
		}
		if (vfu->in_len < sizeof(hdr) || vfu->in_len < want)
			continue;
		if (handle_message(vfu))
			return -1;
		vfu->in_len = 0;
		budget--;
	}
	return 0;
}

static void connected(struct vfu *vfu, int fd)
{
	pthread_mutex_lock(&vfu->send_lock);
	vfu->fd = fd;
	vfu->dead = false;
	vfu->out_start = 0;
	vfu->out_end = 0;
	pthread_mutex_unlock(&vfu->send_lock);
	vfu->negotiated = false;
	vfu->in_len = 0;
	log_info("vfio-user: a client has connected");
}

static void disconnect(struct vfu *vfu)
{
	int fd;

	pthread_mutex_lock(&vfu->send_lock);
	fd = vfu->fd;
	vfu->fd = -1;
	/* A megabyte, most of which was never touched. */
	if (vfu->outstanding)
		memset(vfu->pending, 0, 65536 * sizeof(*vfu->pending));
	vfu->outstanding = 0;
	vfu->num_stale = 0;
	pthread_mutex_unlock(&vfu->send_lock);
	vfu->ops->disconnected(vfu->dev);
	irqs_drop(vfu);
	drop_fds(vfu);
	close(fd);
	log_info("vfio-user: the client is gone");
}

/* The socket thread: serve clients, one after the other, until stop_fd is readable. */
int vfu_run(struct vfu *vfu, int stop_fd)
{
	struct pollfd fds[3];
	size_t unsent;
	uint64_t drain;
	bool gone;
	int fd;

	for (;;) {
		pthread_mutex_lock(&vfu->send_lock);
		unsent = vfu->out_end - vfu->out_start;
		gone = vfu->fd >= 0 && vfu->dead;
		pthread_mutex_unlock(&vfu->send_lock);
		if (gone) {
			disconnect(vfu);
			continue;
		}

		fds[0] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = vfu->wake_fd, .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = vfu->fd >= 0 ? vfu->fd : vfu->listen_fd };
		if (vfu->fd < 0 || unsent < OUT_HIGH)
			fds[2].events |= POLLIN;
		if (vfu->fd >= 0 && unsent)
			fds[2].events |= POLLOUT;
		if (poll(fds, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (fds[0].revents)
			break;
		if (fds[1].revents && read(vfu->wake_fd, &drain, sizeof(drain)) < 0)
			log_debug("vfio-user: woken for nothing");
		if (!fds[2].revents)
			continue;
		if (vfu->fd < 0) {
			fd = accept4(vfu->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			if (fd >= 0)
				connected(vfu, fd);
			continue;
		}
		if (fds[2].revents & POLLOUT) {
			pthread_mutex_lock(&vfu->send_lock);
			flush_out(vfu);
			pthread_mutex_unlock(&vfu->send_lock);
		}
		if ((fds[2].revents & (POLLIN | POLLHUP | POLLERR)) && receive(vfu))
			disconnect(vfu);
	}
	if (vfu->fd >= 0)
		disconnect(vfu);
	return 0;
}
