// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * What an input means: a list of operations, each one byte of kind, two of length,
 * and so many bytes of arguments. What an operation does not find there is 0.
 */
#include <errno.h>
#include <fcntl.h>
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

struct args {
	const uint8_t *at;
	size_t left;
};

static uint64_t get(struct args *a, unsigned int len)
{
	uint64_t value = 0;

	if (len > a->left)
		len = a->left;
	memcpy(&value, a->at, len);
	a->at += len;
	a->left -= len;
	return value;
}

/*
 * Messages
 */

/* Files of all kinds, that a client can send. Return: how many; the caller closes them. */
static unsigned int make_files(struct fuzz *f, uint8_t what, int *fds)
{
	static const unsigned int counts[] = { 0, 1, 2, 7, 10, 16, 30 };
	unsigned int num = counts[what / 16 % 7], i;
	const uint64_t full = UINT64_MAX - 1;
	int pipe_fds[2];

	for (i = 0; i < num; i++) {
		fds[i] = -1;
		switch ((what + i / 4) % 16) {
		case 0:
			fds[i] = dup(f->memfd);
			break;
		case 1:
			fds[i] = dup(f->short_fd);
			break;
		case 2:
			fds[i] = memfd_create("small", MFD_CLOEXEC);
			if (fds[i] >= 0 && ftruncate(fds[i], 5000))
				fuzz_bug("no file");
			break;
		case 3:
			fds[i] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
			break;
		case 4:
		case 5:
			fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
			break;
		case 6:
			fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
			break;
		case 7:
			/* The end that is read, and nobody to write */
			if (!pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK)) {
				close(pipe_fds[1]);
				fds[i] = pipe_fds[0];
			}
			break;
		case 8:
			/* As full as it can be, and whoever writes waits */
			fds[i] = eventfd(0, EFD_CLOEXEC);
			if (fds[i] >= 0 && write(fds[i], &full, sizeof(full)) < 0)
				fuzz_bug("no file");
			break;
		case 9:
			/* Of pages that there may be none of */
			fds[i] = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
			if (fds[i] < 0)
				fds[i] = dup(f->memfd);
			else if (ftruncate(fds[i], 2u << 20))
				fuzz_bug("no file");
			break;
		default:
			fds[i] = eventfd(0, EFD_CLOEXEC);
			break;
		}
		if (fds[i] < 0)
			fuzz_bug("no file");
	}
	return num;
}

static void close_files(const int *fds, unsigned int num)
{
	while (num)
		close(fds[--num]);
}

/* Bytes, whatever they are. From here on nobody knows where a message begins. */
static void op_raw(struct fuzz *f, struct args *a)
{
	int fds[32];
	unsigned int num = make_files(f, get(a, 1), fds);

	f->clean = false;
	if (a->left)
		fuzz_send(f, a->at, a->left, fds, num);
	close_files(fds, num);
}

/* A message with a header that is right, or nearly. */
static void op_message(struct fuzz *f, struct args *a)
{
	uint16_t command = get(a, 1), flags = get(a, 1);
	uint8_t files = get(a, 1);
	unsigned int num;
	int fds[32];

	num = make_files(f, files, fds);
	fuzz_request(f, command, flags & 0x3f, a->at, a->left, fds, num);
	close_files(fds, num);
}

/* A map, near the guest's memory: in pages, unless a flag says otherwise. */
static void op_map(struct fuzz *f, struct args *a)
{
	uint8_t flags = get(a, 1), files = get(a, 1);
	unsigned int shift = flags & 4 ? 0 : 12, num;
	struct vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags & 3,
	};
	int fds[32];

	map.offset = get(a, 2) << shift;
	map.address = (flags & 8 ? 0 : GUEST_BASE) + (get(a, 2) << shift);
	map.size = get(a, 2) << shift;
	num = make_files(f, files, fds);
	fuzz_request(f, VFU_DMA_MAP, 0, &map, sizeof(map), fds, num);
	close_files(fds, num);
}

static void op_unmap(struct fuzz *f, struct args *a)
{
	uint8_t flags = get(a, 1);
	unsigned int shift = flags & 4 ? 0 : 12;
	struct vfu_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags & 2,
	};

	unmap.address = GUEST_BASE + (get(a, 2) << shift);
	unmap.size = get(a, 2) << shift;
	fuzz_request(f, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
}

/* Interrupts of the function: eventfds, or not */
static void op_irqs(struct fuzz *f, struct args *a)
{
	struct {
		struct vfu_irq_set set;
		uint8_t data[32];
	} req = { .set.argsz = sizeof(req.set) };
	unsigned int num;
	int fds[32];

	req.set.flags = 1u << get(a, 1) % 3;
	req.set.flags |= 8u << get(a, 1) % 3;
	req.set.index = VFU_MSIX;
	req.set.start = get(a, 1);
	req.set.count = get(a, 1);
	num = make_files(f, get(a, 1), fds);
	if (a->left > sizeof(req.data))
		a->left = sizeof(req.data);
	memcpy(req.data, a->at, a->left);
	fuzz_request(f, VFU_SET_IRQS, 0, &req, sizeof(req.set) + a->left, fds, num);
	close_files(fds, num);
}

/*
 * Registers
 */

static void access_region(struct fuzz *f, unsigned int region, uint64_t offset, uint8_t how,
			  struct args *a)
{
	static const uint16_t lens[] = { 1, 2, 4, 8, 3, 16, 64, 300 };
	uint32_t len = lens[how / 2 % 8];
	uint8_t data[300] = { 0 };

	if (how % 2) {
		fuzz_read(f, region, offset, len);
		return;
	}
	memcpy(data, a->at, a->left < len ? a->left : len);
	fuzz_write(f, region, offset, data, len);
}

static void op_config(struct fuzz *f, struct args *a)
{
	uint8_t how = get(a, 1);
	uint16_t offset = get(a, 2);

	access_region(f, VFU_CONFIG, offset % (PCI_CONFIG_SIZE + 16), how, a);
}

static void op_bar(struct fuzz *f, struct args *a)
{
	uint8_t how = get(a, 1), bar = get(a, 1);
	uint32_t offset = get(a, 4);

	access_region(f, bar % 8, offset, how, a);
}

/* One register of the common configuration, as wide as it should be or not. */
static void op_common(struct fuzz *f, struct args *a)
{
	uint8_t how = get(a, 1), offset = get(a, 1);

	access_region(f, BAR_VIRTIO, offset % 72, how, a);
}

static void op_notify(struct fuzz *f, struct args *a)
{
	uint8_t queue = get(a, 1), len = get(a, 1) % 2 ? 4 : 2;

	fuzz_put(f, BAR_VIRTIO, PCI_NOTIFY_OFFSET + PCI_NOTIFY_MULTIPLIER * queue,
		 a->left ? get(a, 4) : queue, len);
}

static void op_doorbell(struct fuzz *f, struct args *a)
{
	uint8_t page = get(a, 1), how = get(a, 1);

	fuzz_put(f, BAR_DOORBELL, (uint64_t)page * VIRTIO_TVQ_DOORBELL_SIZE + how / 16, get(a, 4),
		 how % 2 ? 4 : 2);
}

/*
 * Guest memory
 */

static void op_memory(struct fuzz *f, struct args *a)
{
	uint32_t at = get(a, 3) % GUEST_SIZE;

	memcpy(f->mem + at, a->at, a->left < GUEST_SIZE - at ? a->left : GUEST_SIZE - at);
}

/* The file behind a part of guest memory gets shorter, or as long as it was. */
static void op_truncate(struct fuzz *f, struct args *a)
{
	uint32_t size = get(a, 2);

	if (ftruncate(f->short_fd, size % (SHORT_SIZE + 1)))
		fuzz_bug("the size of guest memory");
}

/* A descriptor as it is, at any place of a ring. */
static void op_descriptor(struct fuzz *f, struct args *a)
{
	uint8_t ring = get(a, 1) % RINGS, i = get(a, 1), how = get(a, 1);
	uint64_t gpa = get(a, 4);
	uint32_t len = get(a, 4);
	uint16_t words[2];

	if (!(how & 1))
		gpa = GUEST_BASE + gpa % GUEST_SIZE;
	if (!(how & 2))
		len &= 0xffff;
	if (how & 4)
		gpa = fuzz_ring_area(ring, how >> 4 & 3);
	words[0] = get(a, 2);
	words[1] = get(a, 2);
	memcpy(fuzz_guest(f, fuzz_ring_area(ring, 0) + 16 * i), &gpa, 8);
	memcpy(fuzz_guest(f, fuzz_ring_area(ring, 0) + 16 * i + 8), &len, 4);
	memcpy(fuzz_guest(f, fuzz_ring_area(ring, 0) + 16 * i + 12), words, 4);
}

/* Two bytes somewhere in the areas that a driver and a device write. */
static void op_index(struct fuzz *f, struct args *a)
{
	uint8_t ring = get(a, 1) % RINGS, area = get(a, 1) % 3, at = get(a, 1);
	uint16_t value = get(a, 2);

	memcpy(fuzz_guest(f, fuzz_ring_area(ring, area) + 2 * at), &value, 2);
	if (area == 1 && at == 1 && ring < RINGS)
		f->ring[ring].avail = value;
}

/* A chain with what it holds, and a notification. */
static void op_chain(struct fuzz *f, struct args *a)
{
	uint8_t ring = get(a, 1) % RINGS, how = get(a, 1);
	unsigned int num = how % 8, i, n;
	struct seg seg[8];
	uint16_t word;

	for (i = 0; i < num; i++) {
		word = get(a, 2);
		seg[i].in = word & 0x8000;
		seg[i].len = word & 0x3fff;
		seg[i].gpa = fuzz_alloc(f, seg[i].len + 1);
		/* Behind the end, or across it; or where the file may be shorter */
		if ((word & 0x6000) == 0x4000)
			seg[i].gpa = GUEST_BASE + GUEST_SIZE - (word & 0xff);
		else if (word & 0x4000)
			seg[i].gpa = SHORT_BASE;
	}
	for (i = 0; i < num; i++) {
		if (seg[i].in || seg[i].gpa + seg[i].len > GUEST_BASE + GUEST_SIZE)
			continue;
		n = a->left < seg[i].len ? a->left : seg[i].len;
		memcpy(fuzz_guest(f, seg[i].gpa), a->at, n);
		a->at += n;
		a->left -= n;
	}
	if (num)
		fuzz_chain(f, RING_DEVICE + ring % (RINGS - RING_DEVICE), seg, num, how & 8);
	if (!(how & 16))
		fuzz_bell(f, RING_DEVICE + ring % (RINGS - RING_DEVICE));
}

/*
 * Commands
 */

static uint64_t get_id(struct args *a)
{
	uint8_t id = get(a, 1);

	return id < 255 ? id : ~0ull;
}

static void op_command(struct fuzz *f, struct args *a)
{
	uint64_t id = get_id(a);
	uint8_t what = get(a, 1), how = get(a, 1);
	uint16_t in_len = get(a, 2) % 8192;

	fuzz_command(f, id, what >> 4, what & 15, a->at, a->left, in_len, how);
}

static void op_create(struct fuzz *f, struct args *a)
{
	static const uint8_t types[] = { 1, 2, 3, 4, 27, 0, 9, 63 };
	struct {
		struct virtio_tvq_create hdr;
		struct virtio_tvq_config_init init[4];
	} __attribute__((packed)) req = { 0 };
	uint8_t how, num, name, i;

	req.hdr.type = types[get(a, 1) % 8];
	how = get(a, 1);
	req.hdr.vqs = get(a, 1);
	req.hdr.num_vectors = get(a, 1);
	if (how & 1) {
		req.hdr.flags = VIRTIO_TVQ_CREATE_F_FEATURES;
		req.hdr.features[0] = get(a, 8);
		if (how & 2)
			req.hdr.features[0] |= BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	}
	name = get(a, 1) % 4;
	if (name)
		req.hdr.name[0] = "?abc"[name];
	if (how & 4)
		memcpy(req.hdr.serial, "0123456789abcdefghijklm", VIRTIO_TVQ_SERIAL_LEN);
	num = how >> 3 & 3;
	for (i = 0; i < num; i++) {
		req.init[i].offset = get(a, 1);
		req.init[i].length = get(a, 1);
		*(uint64_t *)req.init[i].data = get(a, req.init[i].length > 8 ? 8 :
						    req.init[i].length);
	}
	req.hdr.num_config = num;
	fuzz_command(f, 0, VIRTIO_TVQ_CLASS_MGMT, VIRTIO_TVQ_MGMT_CREATE, &req,
		     sizeof(req.hdr) + num * sizeof(req.init[0]), 1024, how >> 5 & 3);
}

/* Bring a device up, as a driver does. */
static void op_up(struct fuzz *f, struct args *a)
{
	uint64_t id = get(a, 1);
	uint8_t num = get(a, 1), log_size = get(a, 1);
	uint64_t features = get(a, 8);

	if (f->plain)
		fuzz_plain_up(f, features, num, 1u << log_size % 8);
	else
		fuzz_device_up(f, id, features, num, 1u << log_size % 8);
}

static uint16_t get_group(struct args *a)
{
	static const uint16_t groups[] = { VIRTIO_TVQ_ADMIN_GROUP_MANAGED,
		VIRTIO_ADMIN_GROUP_TYPE_SELF, VIRTIO_ADMIN_GROUP_TYPE_SRIOV, 7 };

	return groups[get(a, 1) % 4];
}

static uint16_t get_opcode(struct args *a)
{
	uint8_t code = get(a, 1);

	return code < 0x40 ? code : VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET + (code & 3);
}

static void op_admin(struct fuzz *f, struct args *a)
{
	uint8_t queue = get(a, 1);
	uint16_t opcode = get_opcode(a), group = get_group(a);
	uint64_t id = get_id(a);
	uint8_t how = get(a, 1);
	uint16_t in_len = get(a, 2) % 8192;

	fuzz_admin(f, queue, opcode, group, id, a->at, a->left, in_len, how);
}

/* All parts of a member, which come back as they are, or nearly. */
static void op_parts(struct fuzz *f, struct args *a)
{
	struct {
		struct virtio_admin_cmd_resource_obj_cmd_hdr hdr;
		uint8_t rest[sizeof(f->last)];
	} req = { .hdr.id = 0 };
	uint16_t group = get_group(a), at, len;
	uint64_t from = get_id(a), to = get_id(a);
	uint8_t how = get(a, 1);
	const uint8_t mode = 1 << VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED;
	const uint8_t none = 0;

	/* A member is stopped for that. */
	if (how & 1)
		fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_DEV_MODE_SET, group, from, &mode, 1, 8, 0);
	req.rest[0] = VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_ALL;
	f->last_len = 0;
	fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_DEV_PARTS_GET, group, from, &req, sizeof(req.hdr) + 8,
		   4096, 0);
	memcpy(req.rest, f->last, f->last_len);
	/* What was not written is no part. */
	for (len = f->last_len; len && req.rest[len - 1] == 0xee; len--)
		;
	while (a->left > 2) {
		at = get(a, 2);
		if (len)
			req.rest[at % len] ^= get(a, 1);
	}
	if (how & 2)
		fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_DEV_MODE_SET, group, to, &mode, 1, 8, 0);
	if (how & 8)
		fuzz_command(f, to, VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_RESET, NULL, 0, 8,
			     0);
	req.hdr.id = 1;
	fuzz_admin(f, how >> 4, VIRTIO_ADMIN_CMD_DEV_PARTS_SET, group, to, &req,
		   sizeof(req.hdr) + len, 8, how >> 5 & 3);
	if (how & 4)
		fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_DEV_MODE_SET, group, to, &none, 1, 8, 0);
}

static void op_admin_ready(struct fuzz *f, struct args *a)
{
	uint16_t group = get_group(a);

	fuzz_admin_ready(f, group, get_id(a));
}

/*
 * The rest of the world
 */

static void op_reset(struct fuzz *f, struct args *a)
{
	switch (get(a, 1) % 8) {
	case 0:
		fuzz_put(f, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 0, 1);
		break;
	case 1:
		fuzz_request(f, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
		break;
	case 2:
		/* Bus Master Enable */
		fuzz_put(f, VFU_CONFIG, PCI_COMMAND, get(a, 1) % 2 ? PCI_COMMAND_MASTER : 0, 2);
		break;
	case 3:
		fuzz_disconnect(f);
		fuzz_connect(f);
		break;
	case 4:
		fuzz_disconnect(f);
		fuzz_connect(f);
		fuzz_negotiate(f);
		fuzz_map(f);
		break;
	case 5:
	case 6:
		if (f->plain)
			fuzz_plain_up(f, ~0ull, 4, 16);
		else
			fuzz_function_up(f, 2, get(a, 8));
		break;
	default:
		/* VF Enable */
		fuzz_put(f, VFU_CONFIG, 0x100 + PCI_SRIOV_NUM_VF, get(a, 1), 2);
		fuzz_put(f, VFU_CONFIG, 0x100 + PCI_SRIOV_CTRL, get(a, 1), 2);
		break;
	}
}

/* Who is at the other end of a console's port: comes, speaks, listens, and goes. */
static void op_peer(struct fuzz *f, struct args *a)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	uint8_t port = get(a, 1), how = get(a, 1);
	uint8_t buf[4096];

	if (f->peer < 0) {
		if (f->plain)
			snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/plain.%u", f->dir,
				 port % 4);
		else
			snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%u.%u", f->dir,
				 1 + port / 4 % 4, port % 4);
		f->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (f->peer < 0 || connect(f->peer, (struct sockaddr *)&addr, sizeof(addr)))
			how = 1;
	}
	if (a->left && send(f->peer, a->at, a->left, MSG_NOSIGNAL) < 0)
		how |= 1;
	fuzz_pump(f);
	while (how & 2 && recv(f->peer, buf, sizeof(buf), 0) > 0)
		fuzz_pump(f);
	if (how & 1) {
		close(f->peer);
		f->peer = -1;
		fuzz_pump(f);
	}
}

static void op_time(struct fuzz *f, struct args *a)
{
	fibers_pass(get(a, 2));
	fuzz_pump(f);
}

static void op_seed(struct fuzz *f, struct args *a)
{
	fibers_seed(get(a, 2));
}

/* What follows is not waited for: the device finds several requests at once. */
static void op_hurry(struct fuzz *f, struct args *a)
{
	f->hurry = 1 + get(a, 1) % 16;
}

static void op_answers(struct fuzz *f, struct args *a)
{
	f->answers = get(a, 1) % ANSWERS;
	if (f->answers != ANSWER_NOT)
		fuzz_answer(f);
}

static void (* const operations[])(struct fuzz *f, struct args *a) = {
	op_raw, op_message, op_map, op_unmap, op_irqs,
	op_config, op_bar, op_common, op_notify, op_doorbell,
	op_memory, op_truncate, op_descriptor, op_index, op_chain,
	op_command, op_create, op_up, op_admin, op_parts, op_admin_ready,
	op_reset, op_time, op_seed, op_answers, op_peer, op_hurry,
};

static_assert(sizeof(operations) / sizeof(operations[0]) == FUZZ_OPERATIONS, "operations");

void fuzz_operations(struct fuzz *f, const uint8_t *data, size_t len)
{
	struct args all = { data, len }, a;
	uint8_t kind;
	uint16_t n;

	while (all.left) {
		kind = get(&all, 1);
		n = get(&all, 2);
		a = (struct args){ all.at, n < all.left ? n : all.left };
		all.at += a.left;
		all.left -= a.left;
		operations[kind % FUZZ_OPERATIONS](f, &a);
	}
}
