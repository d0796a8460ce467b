// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The virtual machine monitor's half of the tests: vfio-user and guest memory. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

static void *run_device(void *arg)
{
	struct client *c = arg;

	tvq_run(&c->tvq, c->stop_fd);
	return NULL;
}

void client_options(struct tvq_options *opt)
{
	tvq_default_options(opt);
}

static void die(const char *what)
{
	perror(what);
	abort();
}

static void make_memory(struct client *c)
{
	c->memfd = memfd_create("guest", MFD_CLOEXEC);
	if (c->memfd < 0 || ftruncate(c->memfd, GUEST_SIZE))
		die("guest memory");
	c->mem = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->memfd, 0);
	if (c->mem == MAP_FAILED)
		die("guest memory");
}

/* Connect to another function of a device that a client has started. */
void client_attach(struct client *c, const char *socket)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->socket, sizeof(c->socket), "%s", socket);
	make_memory(c);
	client_connect(c);
}

/* Start a device of its own, and connect to it. */
void client_init(struct client *c, const struct tvq_options *opt)
{
	struct tvq_options options;

	memset(c, 0, sizeof(*c));
	strcpy(c->dir, "/tmp/tvq-check-XXXXXX");
	if (!mkdtemp(c->dir))
		die("mkdtemp");
	snprintf(c->socket, sizeof(c->socket), "%s/socket", c->dir);
	if (opt)
		options = *opt;
	else
		client_options(&options);
	options.socket = c->socket;
	c->fd = -1;
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (c->stop_fd < 0)
		die("eventfd");
	make_memory(c);
	if (tvq_start(&c->tvq, &options) ||
	    pthread_create(&c->thread, NULL, run_device, c))
		die("device");
	c->running = true;
	client_connect(c);
}

void client_exit(struct client *c)
{
	uint64_t one = 1;

	client_disconnect(c);
	munmap(c->mem, GUEST_SIZE);
	close(c->memfd);
	if (!c->running)
		return;
	if (write(c->stop_fd, &one, sizeof(one)) != sizeof(one))
		die("stop");
	pthread_join(c->thread, NULL);
	tvq_stop(&c->tvq);
	CHECK(access(c->socket, F_OK) != 0);
	close(c->stop_fd);
	rmdir(c->dir);
}

void client_connect(struct client *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	strcpy(addr.sun_path, c->socket);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("connect");
	c->alloc = GUEST_BASE;
	c->num_msi = 0;
	c->withhold = false;
	c->withheld = 0;
}

void client_disconnect(struct client *c)
{
	int i;

	for (i = 0; i < MGMT_VECTORS; i++) {
		if (c->irq_fd[i] > 0)
			close(c->irq_fd[i]);
		c->irq_fd[i] = 0;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

void client_send(struct client *c, const void *buf, size_t len, const int *fds, int num_fds)
{
	union {
		char buf[CMSG_SPACE(32 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;

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
	while (iov.iov_len) {
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		if (n < 0)
			return;	/* the device has hung up; the test will see */
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= n;
		msg.msg_controllen = 0;
	}
}

int client_poll(struct client *c, double seconds)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };

	return poll(&pfd, 1, seconds <= 0 ? 0 : (int)(seconds * 1000) + 1);
}

/* Read so much within the deadline. */
bool client_read(struct client *c, void *buf, size_t len)
{
	double end = test_now() + DEADLINE;
	ssize_t n;

	for (; len; len -= n, buf = (char *)buf + n) {
		if (client_poll(c, end - test_now()) <= 0)
			return false;
		n = recv(c->fd, buf, len, 0);
		if (n <= 0)
			return false;
	}
	return true;
}

/* Whether the device has hung up. What it still says is thrown away. */
bool client_closed(struct client *c)
{
	double end = test_now() + DEADLINE;
	char buf[256];

	while (client_poll(c, end - test_now()) > 0) {
		if (recv(c->fd, buf, sizeof(buf), 0) <= 0)
			return true;
	}
	return false;
}

/* The device writes to guest memory, which is how it interrupts. */
static void take_write(struct client *c, const struct vfu_hdr *hdr, const uint8_t *data)
{
	struct vfu_hdr answer = { .id = hdr->id, .command = hdr->command,
				  .size = sizeof(answer), .flags = VFU_F_REPLY };
	struct vfu_dma_rw rw;

	memcpy(&rw, data, sizeof(rw));
	if (hdr->command != VFU_DMA_WRITE || rw.count != 4 ||
	    hdr->size != sizeof(*hdr) + sizeof(rw) + 4) {
		test_failed(__FILE__, __LINE__, "message %u of %u bytes", hdr->command, hdr->size);
		return;
	}
	if (c->num_msi < sizeof(c->msi) / sizeof(c->msi[0])) {
		c->msi[c->num_msi].address = rw.address;
		memcpy(&c->msi[c->num_msi].data, data + sizeof(rw), 4);
		c->num_msi++;
	}
	if (c->withhold)
		c->withheld++;
	else
		client_send(c, &answer, sizeof(answer), NULL, 0);
}

/* One message from the device. Return: whether it is the reply to id. */
static bool take_message(struct client *c, uint16_t id, struct vfu_hdr *hdr, void *in,
			 size_t room, size_t *len, bool *fail)
{
	static uint8_t data[1 << 21];

	*fail = true;
	if (!client_read(c, hdr, sizeof(*hdr)))
		return false;
	if (hdr->size < sizeof(*hdr) || hdr->size > sizeof(data) ||
	    !client_read(c, data, hdr->size - sizeof(*hdr)))
		return false;
	*fail = false;
	if ((hdr->flags & VFU_F_TYPE) == VFU_F_COMMAND) {
		take_write(c, hdr, data);
		return false;
	}
	if (hdr->id != id)
		return false;
	*len = hdr->size - sizeof(*hdr);
	memcpy(in, data, *len < room ? *len : room);
	return true;
}

/*
 * A request and its reply, within the deadline. in_len: the room, and what came.
 * Return: 0, the error of the reply, or -1 without one.
 */
int client_request(struct client *c, uint16_t command, const void *out, size_t out_len,
		   const int *fds, int num_fds, void *in, size_t *in_len)
{
	struct vfu_hdr hdr = { .id = c->next_id++, .command = command,
			       .size = sizeof(hdr) + out_len };
	uint8_t *msg = malloc(sizeof(hdr) + out_len), dummy[64];
	size_t room = in_len ? *in_len : sizeof(dummy), len = 0;
	double end = test_now() + DEADLINE;
	uint16_t id = hdr.id;
	bool fail;

	memcpy(msg, &hdr, sizeof(hdr));
	if (out_len)
		memcpy(msg + sizeof(hdr), out, out_len);
	client_send(c, msg, sizeof(hdr) + out_len, fds, num_fds);
	free(msg);
	while (test_now() < end) {
		if (take_message(c, id, &hdr, in_len ? in : dummy, room, &len, &fail)) {
			if (in_len)
				*in_len = len;
			if (hdr.command != command)
				return -1;
			return hdr.flags & VFU_F_ERROR ? (int)hdr.error : 0;
		}
		if (fail)
			return -1;
	}
	return -1;
}

/* Look at what the device says for so long, and at all that it has said by then. */
void settle(struct client *c, double seconds)
{
	double end = test_now() + seconds;
	struct vfu_hdr hdr;
	size_t len;
	bool fail;

	for (;;) {
		if (client_poll(c, end - test_now()) > 0) {
			take_message(c, 0xffff, &hdr, NULL, 0, &len, &fail);
			if (fail)
				return;
		} else if (test_now() >= end) {
			return;
		}
	}
}

/* Whether an eventfd is written within the deadline; and takes what is in it. */
bool signalled(struct client *c, int fd)
{
	double end = test_now() + DEADLINE;

	while (quiet_fd(fd)) {
		if (test_now() > end)
			return false;
		settle(c, 0.001);
	}
	return true;
}

/* Whether nothing has been written to it. */
bool quiet_fd(int fd)
{
	uint64_t value;

	return read(fd, &value, sizeof(value)) != sizeof(value);
}

unsigned int count_msi(struct client *c, uint64_t address, uint32_t data)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->num_msi; i++)
		n += c->msi[i].address == address && c->msi[i].data == data;
	return n;
}

/* Wait until the device has sent a message at least count times. */
bool wait_msi(struct client *c, uint64_t address, uint32_t data, unsigned int count)
{
	double end = test_now() + DEADLINE;

	while (count_msi(c, address, data) < count) {
		if (test_now() > end)
			return false;
		settle(c, 0.001);
	}
	return true;
}

bool client_negotiate(struct client *c)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":16,"
		"\"max_data_xfer_size\":1048576,\"pgsizes\":4096,\"max_dma_maps\":65535}}";
	uint8_t out[4 + sizeof(json)] = { 0 }, in[512];
	size_t len = sizeof(in);

	memcpy(out + 4, json, sizeof(json));
	return !client_request(c, VFU_VERSION, out, sizeof(out), NULL, 0, in, &len) && len > 4 &&
	       len <= sizeof(out) && !in[len - 1];
}

int client_map(struct client *c, uint64_t gpa, uint64_t size, uint64_t offset)
{
	struct vfu_dma_map map = { .argsz = sizeof(map), .flags = MEM_READ | MEM_WRITE,
				   .offset = offset, .address = gpa, .size = size };

	return client_request(c, VFU_DMA_MAP, &map, sizeof(map), &c->memfd, 1, NULL, NULL);
}

int client_unmap(struct client *c, uint64_t gpa, uint64_t size)
{
	struct vfu_dma_unmap unmap = { .argsz = sizeof(unmap), .address = gpa, .size = size };

	return client_request(c, VFU_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0, NULL, NULL);
}

int region_read(struct client *c, unsigned int region, uint64_t offset, void *buf, uint32_t len)
{
	struct vfu_region_rw rw = { .offset = offset, .region = region, .count = len };
	size_t in_len = sizeof(rw) + len;
	uint8_t *in = malloc(in_len);
	int ret;

	ret = client_request(c, VFU_REGION_READ, &rw, sizeof(rw), NULL, 0, in, &in_len);
	if (!ret && in_len != sizeof(rw) + len)
		ret = -1;
	if (!ret)
		memcpy(buf, in + sizeof(rw), len);
	free(in);
	return ret;
}

int region_write(struct client *c, unsigned int region, uint64_t offset, const void *buf,
		 uint32_t len)
{
	struct vfu_region_rw rw = { .offset = offset, .region = region, .count = len };
	uint8_t *out = malloc(sizeof(rw) + len);
	int ret;

	memcpy(out, &rw, sizeof(rw));
	memcpy(out + sizeof(rw), buf, len);
	ret = client_request(c, VFU_REGION_WRITE, out, sizeof(rw) + len, NULL, 0, NULL, NULL);
	free(out);
	return ret;
}

uint64_t region_get(struct client *c, unsigned int region, uint64_t offset, uint32_t len)
{
	uint64_t value = 0;

	CHECK_EQ(region_read(c, region, offset, &value, len), 0);
	return value;
}

void region_put(struct client *c, unsigned int region, uint64_t offset, uint64_t value,
		uint32_t len)
{
	CHECK_EQ(region_write(c, region, offset, &value, len), 0);
}

/* Reset the function by its PCI Express capability, wherever that is. */
void client_flr(struct client *c)
{
	uint64_t pos = region_get(c, VFU_CONFIG, PCI_CAPABILITY_LIST, 1);

	while (pos && region_get(c, VFU_CONFIG, pos + PCI_CAP_LIST_ID, 1) != PCI_CAP_ID_EXP)
		pos = region_get(c, VFU_CONFIG, pos + PCI_CAP_LIST_NEXT, 1);
	CHECK(pos);
	region_put(c, VFU_CONFIG, pos + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2);
}

uint64_t guest_alloc(struct client *c, uint64_t size, uint64_t align)
{
	uint64_t gpa = (c->alloc + align - 1) & ~(align - 1);

	c->alloc = gpa + size;
	if (c->alloc > GUEST_BASE + GUEST_SIZE)
		die("guest memory is used up");
	memset(guest(c, gpa), 0, size);
	return gpa;
}

void *guest(struct client *c, uint64_t gpa)
{
	return c->mem + (gpa - GUEST_BASE);
}
