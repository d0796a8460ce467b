// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Shared memory regions, and the device type that has one: persistent memory. */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define PMEM		27
#define MIB		(1u << 20)
#define SHM_SIZE	(8u * MIB)
#define FLUSH		0

static struct driver d;
static struct managed m, other;

static void up(void)
{
	struct tvq_options opt;

	client_options(&opt);
	opt.shm_size = SHM_SIZE;
	driver_init(&d, &opt);
}

static int create_pmem(const char *name, uint64_t size, struct managed *to)
{
	struct {
		struct virtio_tvq_create req;
		struct virtio_tvq_config_init init;
	} create_req = {
		.req = { .type = PMEM, .num_config = 1 },
		.init = { .offset = 8, .length = 8 },
	};

	memcpy(create_req.init.data, &size, 8);
	snprintf((char *)create_req.req.name, sizeof(create_req.req.name), "%s", name);
	return create(&d, &create_req.req, to);
}

static int get_shm(uint64_t id, uint8_t shm_id, struct virtio_tvq_shm *shm)
{
	struct virtio_tvq_shm_req req = { .shm_id = shm_id };
	struct reply reply;
	int ret;

	ret = command(&d, id, DEVICE(GET_SHM), &req, sizeof(req), sizeof(*shm), &reply);
	if (ret)
		return ret;
	CHECK_EQ(reply.in_len, sizeof(*shm));
	memcpy(shm, reply.in, sizeof(*shm));
	return 0;
}

static int destroy(struct managed *which)
{
	return command(&d, which->id, MGMT(DESTROY), NULL, 0, 0, NULL);
}

/* A request. Return: its result, or 0x100 without an answer. */
static uint32_t pmem_request(struct ring *ring, void (*kick)(void), uint32_t type)
{
	uint64_t gpa = guest_alloc(ring->c, 8, 8);
	struct seg seg[2] = { { gpa, 4, false }, { gpa + 4, 4, true } };
	uint32_t used, *buf = guest(ring->c, gpa);

	buf[0] = type;
	buf[1] = 0xffffffff;
	ring_put(ring, seg, 2);
	kick();
	return ring_wait(ring, NULL, &used) && used == 4 ? buf[1] : 0x100;
}

static void kick_managed(void)
{
	doorbell(&m, 0);
}

/* What the client is told of a BAR, and the file that comes with it, or -1. */
static int region_file(struct client *c, uint32_t index, struct vfu_region_info *info)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_region_info info;
	} msg = {
		.hdr = { .id = 0x7777, .command = VFU_GET_REGION_INFO, .size = sizeof(msg) },
		.info = { .argsz = sizeof(msg.info), .index = index },
	};
	struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr in = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int fd = -1;

	client_send(c, &msg, sizeof(msg), NULL, 0);
	CHECK(client_poll(c, DEADLINE) > 0);
	CHECK_EQ(recvmsg(c->fd, &in, MSG_CMSG_CLOEXEC | MSG_WAITALL), sizeof(msg));
	CHECK_EQ(msg.hdr.id, 0x7777);
	CHECK_EQ(msg.hdr.flags, VFU_F_REPLY);
	cmsg = CMSG_FIRSTHDR(&in);
	if (cmsg)
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	*info = msg.info;
	return fd;
}

TEST(pmem_is_absent_by_default)
{
	struct virtio_tvq_limits limits;
	struct reply reply;

	driver_init(&d, NULL);
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, sizeof(limits), &reply), 0);
	memcpy(&limits, reply.in, sizeof(limits));
	CHECK(!(limits.types[0] & BIT64(PMEM)));
	CHECK_EQ(create_simple(&d, PMEM, "", 0, NULL), ERR(ENXIO, TYPE));
	driver_exit(&d);
}

TEST(shm_bar_can_be_mapped)
{
	struct vfu_region_info info;
	struct virtio_tvq_shm shm;
	uint8_t *map, byte = 0;
	int fd;

	up();
	region_put(&d.c, VFU_CONFIG, PCI_BASE_ADDRESS_4, 0xffffffff, 4);
	CHECK_EQ(region_get(&d.c, VFU_CONFIG, PCI_BASE_ADDRESS_4, 4), 0xff80000c);
	region_put(&d.c, VFU_CONFIG, PCI_BASE_ADDRESS_5, 0xffffffff, 4);
	CHECK_EQ(region_get(&d.c, VFU_CONFIG, PCI_BASE_ADDRESS_5, 4), 0xffffffff);
	CHECK_EQ(region_file(&d.c, BAR_MSIX, &info), -1);
	CHECK_EQ(info.flags, VFU_REGION_F_READ | VFU_REGION_F_WRITE);
	fd = region_file(&d.c, BAR_SHM, &info);
	CHECK(fd >= 0);
	CHECK_EQ(info.size, SHM_SIZE);
	CHECK_EQ(info.flags, VFU_REGION_F_READ | VFU_REGION_F_WRITE | VFU_REGION_F_MMAP);
	CHECK_EQ(create_pmem("", 2 * MIB, &m), 0);
	CHECK_EQ(get_shm(m.id, 0, &shm), 0);
	CHECK_EQ(shm.bar, BAR_SHM);

	/* By message and by map, it is the same. */
	map = mmap(NULL, SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	region_put(&d.c, BAR_SHM, shm.offset + 4090, 0x1122334455667788ull, 8);
	CHECK_EQ(map[shm.offset + 4090], 0x88);
	map[shm.offset + shm.length - 1] = 0x5a;
	CHECK_EQ(region_read(&d.c, BAR_SHM, shm.offset + shm.length - 1, &byte, 1), 0);
	CHECK_EQ(byte, 0x5a);
	CHECK(region_read(&d.c, BAR_SHM, SHM_SIZE - 1, &byte, 2) != 0);
	/* The client cannot take it from under the device. */
	CHECK(ftruncate(fd, 0) != 0);
	munmap(map, SHM_SIZE);
	close(fd);
	driver_exit(&d);
}

TEST(shm_command)
{
	struct virtio_tvq_shm_req req = { 0 };
	struct virtio_tvq_shm shm = { 0 };

	up();
	CHECK_EQ(create_pmem("a", 2 * MIB, &m), 0);
	CHECK_EQ(create_simple(&d, 4, "", 0, &other), 0);
	CHECK_EQ(get_shm(m.id, 0, &shm), 0);
	CHECK_EQ(shm.length, 2 * MIB);
	CHECK_EQ(shm.reserved[0] | shm.reserved[6], 0);
	CHECK_EQ(get_shm(m.id, 1, &shm), ERR(ENXIO, SHM));
	CHECK_EQ(get_shm(m.id, 255, &shm), ERR(ENXIO, SHM));
	CHECK_EQ(get_shm(other.id, 0, &shm), ERR(ENXIO, SHM));
	CHECK_EQ(get_shm(99, 0, &shm), ERR(ENXIO, DEVICE_ID));
	CHECK_EQ(get_shm(0, 0, &shm), ERR(ENXIO, DEVICE_ID));
	CHECK_EQ(command(&d, m.id, DEVICE(GET_SHM), &req, sizeof(req) - 1, 24, NULL),
		 ERR(EINVAL, LENGTH));
	CHECK_EQ(command(&d, m.id, DEVICE(GET_SHM), &req, sizeof(req), 23, NULL),
		 ERR(EINVAL, LENGTH));
	req.reserved[6] = 1;
	CHECK_EQ(command(&d, m.id, DEVICE(GET_SHM), &req, sizeof(req), 24, NULL),
		 ERR(EINVAL, RESERVED));
	driver_exit(&d);
}

TEST(pmem_is_provisioned)
{
	struct virtio_tvq_create req = {
		.type = PMEM,
		.flags = VIRTIO_TVQ_CREATE_F_FEATURES,
		.features = { BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) },
	};
	struct virtio_tvq_limits limits;
	struct virtio_tvq_shm a, b;
	struct reply reply;
	uint8_t status;

	up();
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, sizeof(limits), &reply), 0);
	memcpy(&limits, reply.in, sizeof(limits));
	CHECK(limits.types[0] & BIT64(PMEM));
	CHECK_EQ(create_pmem("", 0, NULL), ERR(EINVAL, CONFIG));
	CHECK_EQ(create_pmem("", MIB, NULL), ERR(EINVAL, CONFIG));
	CHECK_EQ(create_pmem("", 2 * MIB + 1, NULL), ERR(EINVAL, CONFIG));
	CHECK_EQ(create_pmem("", 1ull << 63, NULL), ERR(EINVAL, CONFIG));
	CHECK_EQ(create_pmem("", SHM_SIZE + 2 * MIB, NULL), ERR(ENOSPC, SHM));
	CHECK_EQ(create_simple(&d, PMEM, "", 2, NULL), ERR(EINVAL, VQS));
	CHECK_EQ(create(&d, &req, NULL), ERR(EINVAL, FEATURES));

	/* Two do not overlap, and a third has no room until one is gone. */
	CHECK_EQ(create_pmem("a", 4 * MIB, &m), 0);
	CHECK_EQ(m.info.num_vqs, 1);
	CHECK_EQ(m.info.config_len, 16);
	CHECK_EQ(memcmp(m.config, "\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\0\0", 16), 0);
	CHECK_EQ(create_pmem("b", 4 * MIB, &other), 0);
	CHECK_EQ(get_shm(m.id, 0, &a), 0);
	CHECK_EQ(get_shm(other.id, 0, &b), 0);
	CHECK_EQ(a.length, 4 * MIB);
	CHECK(a.offset + a.length <= b.offset || b.offset + b.length <= a.offset);
	CHECK_EQ(create_pmem("c", 2 * MIB, NULL), ERR(ENOSPC, SHM));
	CHECK_EQ(destroy(&m), 0);
	CHECK_EQ(create_pmem("c", 2 * MIB, &m), 0);
	CHECK_EQ(get_shm(m.id, 0, &a), 0);
	CHECK_EQ(get_shm(other.id, 0, &b), 0);
	CHECK(a.offset + a.length <= b.offset || b.offset + b.length <= a.offset);

	/* A driver that does not look for the region has nothing. */
	CHECK_EQ(negotiate(&m, m.info.features[0] & ~BIT64(0), &status), 0);
	CHECK(!(status & S_FEATURES_OK));
	driver_exit(&d);
}

TEST(pmem_keeps_what_was_written)
{
	struct virtio_tvq_shm shm;
	uint64_t end;

	up();
	CHECK_EQ(create_pmem("kept", 4 * MIB, &m), 0);
	CHECK_EQ(get_shm(m.id, 0, &shm), 0);
	end = shm.offset + shm.length - 8;
	CHECK_EQ(region_get(&d.c, BAR_SHM, shm.offset, 8), 0);
	CHECK(bring_up(&m, 1, 16, BIT64(F_RING_EVENT_IDX)));
	region_put(&d.c, BAR_SHM, shm.offset, 0x1234, 8);
	CHECK_EQ(pmem_request(&m.ring[0], kick_managed, FLUSH), 0);
	CHECK_EQ(pmem_request(&m.ring[0], kick_managed, 1), 1);
	region_put(&d.c, BAR_SHM, end, 0x5678, 8);
	CHECK_EQ(pmem_request(&m.ring[0], kick_managed, FLUSH), 0);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(region_get(&d.c, BAR_SHM, shm.offset, 8), 0x1234);

	/* By name alone: who else gets the memory finds nothing in it. */
	CHECK_EQ(destroy(&m), 0);
	CHECK_EQ(create_pmem("another", 4 * MIB, &m), 0);
	CHECK_EQ(get_shm(m.id, 0, &shm), 0);
	CHECK_EQ(region_get(&d.c, BAR_SHM, shm.offset, 8), 0);
	CHECK_EQ(region_get(&d.c, BAR_SHM, shm.offset + shm.length - 8, 8), 0);
	CHECK_EQ(create_pmem("kept", 4 * MIB, &other), 0);
	CHECK_EQ(get_shm(other.id, 0, &shm), 0);
	CHECK_EQ(region_get(&d.c, BAR_SHM, shm.offset, 8), 0x1234);
	CHECK_EQ(region_get(&d.c, BAR_SHM, shm.offset + shm.length - 8, 8), 0x5678);
	driver_exit(&d);
}

/* Its parts are those of its queue: what is in memory stays there. */
TEST(memory_is_carried_over)
{
	struct virtio_tvq_shm shm;
	struct tvq_options opt;
	static uint8_t parts[4096];
	uint32_t len = sizeof(parts);

	client_options(&opt);
	opt.shm_size = SHM_SIZE;
	admin_init(&d, &opt, 1);
	CHECK_EQ(create_pmem("kept", 2 * MIB, &m), 0);
	CHECK_EQ(get_shm(m.id, 0, &shm), 0);
	CHECK(bring_up(&m, 1, 16, BIT64(F_RING_EVENT_IDX)));
	region_put(&d.c, BAR_SHM, shm.offset, 0x1234, 8);
	CHECK_EQ(pmem_request(&m.ring[0], kick_managed, FLUSH), 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(admin_mode(&d, MANAGED_GROUP, m.id, true), 0);
	CHECK_EQ(parts_get(&d, MANAGED_GROUP, m.id, parts, &len), 0);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(parts_set(&d, MANAGED_GROUP, m.id, parts, len), 0);
	CHECK_EQ(admin_mode(&d, MANAGED_GROUP, m.id, false), 0);
	CHECK_EQ(pmem_request(&m.ring[0], kick_managed, FLUSH), 0);
	CHECK_EQ(region_get(&d.c, BAR_SHM, shm.offset, 8), 0x1234);
	driver_exit(&d);
}

TEST(pmem_requests_that_are_none)
{
	uint64_t gpa;
	struct seg seg[2];
	uint32_t used;

	up();
	CHECK_EQ(create_pmem("", 2 * MIB, &m), 0);
	CHECK(bring_up(&m, 1, 16, BIT64(F_RING_EVENT_IDX)));
	gpa = guest_alloc(&d.c, 8, 8);
	/* Nothing to read: there is an answer. Nothing to write it to: there is none. */
	seg[0] = (struct seg){ gpa + 4, 4, true };
	ring_put(&m.ring[0], seg, 1);
	kick_managed();
	CHECK(ring_wait(&m.ring[0], NULL, &used));
	CHECK_EQ(used, 4);
	CHECK_EQ(*(uint32_t *)guest(&d.c, gpa + 4), 1);
	seg[0] = (struct seg){ gpa, 4, false };
	seg[1] = (struct seg){ gpa + 4, 3, true };
	ring_put(&m.ring[0], seg, 2);
	kick_managed();
	CHECK(ring_wait(&m.ring[0], NULL, &used));
	CHECK_EQ(used, 0);
	CHECK_EQ(pmem_request(&m.ring[0], kick_managed, FLUSH), 0);
	driver_exit(&d);
}

/*
 * As a function of its own
 */

static struct plain_driver p;
static struct plain_options options;
static char socket_path[96];

static void kick_plain(void)
{
	plain_doorbell(&p, 0);
}

TEST(pmem_as_a_plain_function)
{
	struct virtio_pci_cap64 cap = { 0 };
	struct vfu_region_info info;
	struct tvq_options opt;
	uint8_t config[256];
	unsigned int at, n;
	int fd;

	client_options(&opt);
	memset(&options, 0, sizeof(options));
	snprintf(socket_path, sizeof(socket_path), "/tmp/tvq-check-pmem-%d", getpid());
	options.socket = socket_path;
	options.params.type = PMEM;
	options.params.have_capacity = true;
	options.params.capacity = 6 * MIB / 512;
	snprintf(options.params.name, sizeof(options.params.name), "plain");
	opt.pci = &options;
	opt.num_pci = 1;
	driver_init(&d, &opt);
	plain_attach(&p, socket_path);

	CHECK_EQ(region_read(&p.c, VFU_CONFIG, 0, config, sizeof(config)), 0);
	CHECK_EQ(config[2] | config[3] << 8, 0x105b);
	for (at = config[PCI_CAPABILITY_LIST], n = 0; at && n < 32; at = config[at + 1], n++) {
		if (config[at] == PCI_CAP_ID_VNDR && config[at + 3] == 8)
			memcpy(&cap, &config[at], sizeof(cap));
	}
	CHECK(n < 32);
	CHECK_EQ(cap.cap.cap_len, sizeof(cap));
	CHECK_EQ(cap.cap.bar, BAR_SHM);
	CHECK_EQ(cap.cap.id, 0);
	CHECK_EQ(cap.cap.offset | (uint64_t)cap.offset_hi << 32, 0);
	CHECK_EQ(cap.cap.length | (uint64_t)cap.length_hi << 32, 6 * MIB);
	fd = region_file(&p.c, BAR_SHM, &info);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(info.size, 8 * MIB);
	CHECK(plain_bring_up(&p, 1, 16, BIT64(F_RING_EVENT_IDX)));
	region_put(&p.c, BAR_SHM, 6 * MIB - 8, 0x9abc, 8);
	CHECK_EQ(pmem_request(&p.ring[0], kick_plain, FLUSH), 0);
	/* A client that goes takes nothing with it. */
	plain_detach(&p);
	plain_attach(&p, socket_path);
	CHECK_EQ(region_get(&p.c, BAR_SHM, 6 * MIB - 8, 8), 0x9abc);
	plain_detach(&p);
	driver_exit(&d);
}
