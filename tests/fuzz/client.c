// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The virtual machine monitor's half: start of the device, socket, memory. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"

#define IN_MAX		(2u << 20)
static uint8_t in[IN_MAX];
#define FDS_MAX		32u

void fuzz_bug(const char *what)
{
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

static void *run_device(void *arg)
{
	struct fuzz *f = arg;

	tvq_run(&f->tvq, f->stop_fd);
	return NULL;
}

/* Everything is as it was before the last execution: the same memory, full of zeroes. */
static void make_memory(struct fuzz *f)
{
	f->memfd = memfd_create("guest", MFD_CLOEXEC);
	if (f->memfd < 0 || ftruncate(f->memfd, GUEST_SIZE))
		fuzz_bug("no guest memory");
	f->mem = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->memfd, 0);
	if (f->mem == MAP_FAILED)
		fuzz_bug("no guest memory");
	f->short_fd = memfd_create("short", MFD_CLOEXEC);
	if (f->short_fd < 0 || ftruncate(f->short_fd, SHORT_SIZE))
		fuzz_bug("no guest memory");
	f->arena = ARENA;
}

void fuzz_start(struct fuzz *f, const struct tvq_options *opt, bool plain)
{
	f->plain = plain;
	f->fd = -1;
	f->peer = -1;
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	make_memory(f);
	if (f->stop_fd < 0 || tvq_start(&f->tvq, opt) ||
	    pthread_create(&f->thread, NULL, run_device, f))
		fuzz_bug("the device does not start");
	fuzz_connect(f);
}

void fuzz_end(struct fuzz *f)
{
	uint64_t one = 1;

	fuzz_disconnect(f);
	if (f->peer >= 0)
		close(f->peer);
	if (write(f->stop_fd, &one, sizeof(one)) != sizeof(one))
		fuzz_bug("the device cannot be stopped");
	pthread_join(f->thread, NULL);
	tvq_stop(&f->tvq);
	fibers_seed(0);
	fibers_settle();
	munmap(f->mem, GUEST_SIZE);
	close(f->memfd);
	close(f->short_fd);
	close(f->stop_fd);
}

void fuzz_connect(struct fuzz *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (f->fd >= 0)
		return;
	strcpy(addr.sun_path, f->plain ? f->plain_socket : f->socket);
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || connect(f->fd, (struct sockaddr *)&addr, sizeof(addr)))
		fuzz_bug("the device does not listen");
	f->in_len = 0;
	f->clean = true;
	f->num_withheld = 0;
	fibers_settle();
}

void fuzz_disconnect(struct fuzz *f)
{
	f->hurry = 0;
	if (f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
	fibers_settle();
}

/* A message of the device's own, or a reply. Return: whether it was answered. */
static bool take_message(struct fuzz *f, const struct vfu_hdr *hdr, const uint8_t *data)
{
	struct vfu_hdr reply = {
		.id = hdr->id,
		.command = hdr->command,
		.size = sizeof(reply),
		.flags = VFU_F_REPLY,
	};

	if ((hdr->flags & VFU_F_TYPE) == VFU_F_REPLY) {
		if (hdr->id == (uint16_t)(f->next_id - 1)) {
			f->replied = true;
			f->error = hdr->flags & VFU_F_ERROR ? hdr->error : 0;
			f->reply_len = hdr->size - sizeof(*hdr);
			if (f->reply_len > sizeof(f->reply))
				f->reply_len = sizeof(f->reply);
			memcpy(f->reply, data, f->reply_len);
		}
		return false;
	}
	if (hdr->command != VFU_DMA_WRITE)
		fuzz_bug("a command that devices do not send");
	if (f->answers == ANSWER_NOT) {
		if (f->num_withheld < sizeof(f->withheld) / sizeof(f->withheld[0]))
			f->withheld[f->num_withheld++] = hdr->id;
		return false;
	}
	if (f->answers == ANSWER_ERROR) {
		reply.flags |= VFU_F_ERROR;
		reply.error = EFAULT;
	} else if (f->answers == ANSWER_WRONG) {
		reply.id ^= 1;
	}
	return send(f->fd, &reply, sizeof(reply), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(reply);
}

static void close_fds(struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t i;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		for (i = CMSG_LEN(0); i < cmsg->cmsg_len; i += sizeof(fd)) {
			memcpy(&fd, (uint8_t *)cmsg + i, sizeof(fd));
			close(fd);
		}
	}
}

/* Whether the device has not been able to send all that it has to say. */
static bool unsent(const struct fuzz *f)
{
	const struct vfu *vfu = f->plain ? &plain_mdev(f->tvq.plain[0])->pci->vfu :
					   &f->tvq.pci.vfu;

	return vfu->out_start != vfu->out_end;
}

/* Read what the device has sent. Return: whether it can go on with something. */
static bool drain(struct fuzz *f)
{
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct vfu_hdr hdr;
	struct msghdr msg;
	struct iovec iov;
	bool any = false, more = true;
	size_t at;
	ssize_t n;

	while (f->fd >= 0 && more) {
		iov.iov_base = in + f->in_len;
		iov.iov_len = IN_MAX - f->in_len;
		msg = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				       .msg_controllen = sizeof(control) };
		n = recvmsg(f->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			close(f->fd);
			f->fd = -1;
			return false;
		}
		/* What does not fill the room, and has no file to end it, is all there is. */
		any |= unsent(f);
		more = (size_t)n == iov.iov_len || msg.msg_controllen;
		close_fds(&msg);
		f->in_len += n;
		for (at = 0; f->in_len - at >= sizeof(hdr); at += hdr.size) {
			memcpy(&hdr, in + at, sizeof(hdr));
			if (hdr.size < sizeof(hdr) || hdr.size > IN_MAX)
				fuzz_bug("a message of the device without sense");
			if (f->in_len - at < hdr.size)
				break;
			any |= take_message(f, &hdr, in + at + sizeof(hdr));
		}
		f->in_len -= at;
		memmove(in, in + at, f->in_len);
	}
	return any;
}

/* Until the device has nothing to do, and nothing to say. */
void fuzz_pump(struct fuzz *f)
{
	do {
		fibers_settle();
	} while (drain(f));
}

void fuzz_send(struct fuzz *f, const void *data, size_t len, const int *fds, unsigned int num_fds)
{
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned int stuck = 0;
	struct cmsghdr *cmsg;
	ssize_t n;

	if (num_fds > FDS_MAX)
		num_fds = FDS_MAX;
	if (num_fds) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, num_fds * sizeof(int));
	}
	while (iov.iov_len && f->fd >= 0 && stuck < 8) {
		n = sendmsg(f->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			stuck++;
			fuzz_pump(f);
			continue;
		}
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= n;
		msg.msg_controllen = 0;
	}
	if (!f->hurry)
		fuzz_pump(f);
}

/* Answer what was not answered when it came. */
void fuzz_answer(struct fuzz *f)
{
	struct vfu_hdr reply = {
		.command = VFU_DMA_WRITE,
		.size = sizeof(reply),
		.flags = VFU_F_REPLY,
	};
	unsigned int num = f->num_withheld, i;

	f->num_withheld = 0;
	for (i = 0; i < num && f->fd >= 0; i++) {
		reply.id = f->withheld[i];
		fuzz_send(f, &reply, sizeof(reply), NULL, 0);
	}
}

/*
 * A message that is one, whatever is in it. There is an answer, sooner or later, or
 * the device hangs up. Return: whether the answer is not an error.
 */
bool fuzz_request(struct fuzz *f, uint16_t command, uint32_t flags, const void *data, size_t len,
		  const int *fds, unsigned int num_fds)
{
	uint8_t buf[4096];
	struct vfu_hdr hdr = {
		.id = f->next_id++,
		.command = command,
		.size = sizeof(hdr) + len,
		.flags = flags,
	};

	if (f->fd < 0 || len > sizeof(buf) - sizeof(hdr))
		return false;
	memcpy(buf, &hdr, sizeof(hdr));
	if (len)
		memcpy(buf + sizeof(hdr), data, len);
	f->replied = false;
	fuzz_send(f, buf, hdr.size, fds, num_fds);
	if (f->hurry) {
		/* The last of them is the one that waits, for what the others have begun. */
		if (!--f->hurry)
			fuzz_pump(f);
		return false;
	}
	if (f->fd < 0 || !f->clean || (flags & (VFU_F_TYPE | VFU_F_NO_REPLY)))
		return f->fd >= 0;
	if (!f->replied) {
		/* The device may wait for its own worker, or for the driver, so long. */
		fibers_pass(2000);
		fuzz_pump(f);
	}
	if (!f->replied && f->fd >= 0)
		fuzz_bug("no answer");
	return f->replied && !f->error;
}

void fuzz_read(struct fuzz *f, unsigned int region, uint64_t offset, uint32_t len)
{
	const struct vfu_region_rw rw = { .offset = offset, .region = region, .count = len };

	fuzz_request(f, VFU_REGION_READ, 0, &rw, sizeof(rw), NULL, 0);
}

void fuzz_write(struct fuzz *f, unsigned int region, uint64_t offset, const void *data,
		uint32_t len)
{
	struct {
		struct vfu_region_rw rw;
		uint8_t data[1024];
	} req = { .rw = { .offset = offset, .region = region, .count = len } };

	if (len > sizeof(req.data))
		return;
	memcpy(req.data, data, len);
	fuzz_request(f, VFU_REGION_WRITE, 0, &req, sizeof(req.rw) + len, NULL, 0);
}

void fuzz_put(struct fuzz *f, unsigned int region, uint64_t offset, uint64_t value, uint32_t len)
{
	fuzz_write(f, region, offset, &value, len);
}

uint64_t fuzz_get(struct fuzz *f, unsigned int region, uint64_t offset, uint32_t len)
{
	uint64_t value = 0;

	f->reply_len = 0;
	fuzz_read(f, region, offset, len);
	if (f->reply_len >= sizeof(struct vfu_region_rw) + len)
		memcpy(&value, f->reply + sizeof(struct vfu_region_rw), len);
	return value;
}

void fuzz_negotiate(struct fuzz *f)
{
	static const char text[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}";

	fuzz_request(f, VFU_VERSION, 0, text, sizeof(text), NULL, 0);
}

void fuzz_map(struct fuzz *f)
{
	struct vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = MEM_READ | MEM_WRITE,
		.address = GUEST_BASE,
		.size = GUEST_SIZE,
	};

	fuzz_request(f, VFU_DMA_MAP, 0, &map, sizeof(map), &f->memfd, 1);
	/* Whoever has made it shorter made it as long as it was. */
	map.address = SHORT_BASE;
	map.size = SHORT_SIZE;
	if (ftruncate(f->short_fd, SHORT_SIZE))
		fuzz_bug("no guest memory");
	fuzz_request(f, VFU_DMA_MAP, 0, &map, sizeof(map), &f->short_fd, 1);
}
