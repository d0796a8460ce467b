// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Device parts: getting, setting, stopping a device and having it go on.
 * Documentation/admin-conformance.rst says which requirement each test is for.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static struct driver d;
static struct managed m, other;
static uint8_t parts[131072], again[131072];
static uint32_t parts_len, again_len;

#define HDR_LEN		sizeof(struct virtio_dev_part_hdr)
#define PART(name)	VIRTIO_TVQ_DEV_PART_##name
#define BAD_FIELD	ADMIN_ERR(EINVAL, INVALID_FIELD)

static void up(const struct tvq_options *opt)
{
	admin_init(&d, opt, 2);
}

static int get(struct managed *member, uint8_t *buf, uint32_t *len)
{
	*len = sizeof(parts) - 64;
	return parts_get(&d, MANAGED_GROUP, member->id, buf, len);
}

static int set(struct managed *member, const void *buf, uint32_t len)
{
	return parts_set(&d, MANAGED_GROUP, member->id, buf, len);
}

static int stop(struct managed *member)
{
	return admin_mode(&d, MANAGED_GROUP, member->id, true);
}

static int resume(struct managed *member)
{
	return admin_mode(&d, MANAGED_GROUP, member->id, false);
}

/* The device's own reset of a managed device. */
struct reset_job {
	struct job job;
	struct mdev *mdev;
	bool done;
};

static void run_reset(struct job *job)
{
	struct reset_job *reset = container_of(job, struct reset_job, job);

	mdev_reset(reset->mdev);
	__atomic_store_n(&reset->done, true, __ATOMIC_RELEASE);
}

static void own_reset(struct managed *member)
{
	struct reset_job reset = { .job.run = run_reset };

	pthread_mutex_lock(&d.c.tvq.lock);
	reset.mdev = managed_find(&d.c.tvq, member->id);
	mailbox_post(&reset.mdev->mbox, &reset.job);
	pthread_mutex_unlock(&d.c.tvq.lock);
	/* The job is on this stack: there is no giving up. */
	while (!__atomic_load_n(&reset.done, __ATOMIC_ACQUIRE))
		settle(&d.c, 0.0005);
}

static uint8_t status_of(struct managed *member)
{
	struct reply reply;

	CHECK_EQ(command(&d, member->id, DEVICE(GET_STATUS), NULL, 0, 4, &reply), 0);
	return reply.in[0];
}

/* One more of the next buffer's interrupts, whatever was signalled before. */
static void want_interrupt(struct managed *member, unsigned int q)
{
	struct ring *ring = &member->ring[q];
	uint16_t *driver = guest(&d.c, ring->driver);

	if (ring->packed) {
		driver[0] = ring->used | ring->used_wrap << 15;
		driver[1] = member->features & BIT64(F_RING_EVENT_IDX) ?
			    VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
	} else {
		driver[2 + ring->size] = ring->used;
	}
}

/* The queue's vector, as setup() gives them */
static unsigned int interrupts(struct managed *member, unsigned int q)
{
	return count_msi(&d.c, msi_address(member, q + 1), q + 1);
}

/*
 * Requests to a disk that are not waited for
 */

struct io {
	uint64_t gpa;			/* header, status at 16, data at 4096 */
	uint16_t id;
	uint32_t len;
};

static void post_io(struct managed *member, unsigned int q, struct io *io, uint32_t type,
		    uint64_t sector, uint32_t len)
{
	struct { uint32_t type, reserved; uint64_t sector; } hdr = { type, 0, sector };
	struct seg seg[3];

	io->gpa = guest_alloc(&d.c, 4096 + len, 4096);
	io->len = len;
	seg[0] = (struct seg){ io->gpa, 16, false };
	seg[1] = (struct seg){ io->gpa + 4096, len, type == VIRTIO_BLK_T_IN };
	seg[2] = (struct seg){ io->gpa + 16, 1, true };
	memcpy(guest(&d.c, io->gpa), &hdr, 16);
	*(uint8_t *)guest(&d.c, io->gpa + 16) = 0xff;
	io->id = ring_put(&member->ring[q], seg, 3);
}

static uint8_t io_status(const struct io *io)
{
	return *(uint8_t *)guest(&d.c, io->gpa + 16);
}

static void kick(void *arg)
{
	doorbell(arg, 0);
}

/*
 * Getting
 */

/* All parts there are, by headers: they rise, and end where the list ends. */
static unsigned int count_parts(const uint8_t *list, uint32_t len)
{
	struct virtio_dev_part_hdr hdr;
	uint64_t last = 0, place;
	unsigned int n = 0;
	uint32_t at;

	for (at = 0; at < len; at += HDR_LEN + hdr.length, n++) {
		memcpy(&hdr, list + at, HDR_LEN);
		place = (uint64_t)hdr.part_type << 32 | hdr.selector.pci_common_cfg.offset;
		CHECK(!n || place > last);
		last = place;
		CHECK(hdr.length <= len - at - HDR_LEN);
		CHECK_EQ(hdr.reserved, 0);
		CHECK_EQ(hdr.flags, hdr.part_type == PART(DEV_FEATURES));
		/* The features that are offered come first. */
		CHECK_EQ(n == 0, hdr.part_type == PART(DEV_FEATURES));
	}
	CHECK_EQ(at, len);
	return n;
}

static uint32_t metadata(uint16_t group, uint64_t member, uint8_t type, uint32_t room,
			 struct admin_reply *reply)
{
	struct virtio_admin_cmd_dev_parts_metadata_data req = {
		.hdr.id = GET_OBJECT,
		.type = type,
	};
	uint32_t number[2] = { 0, 1 };

	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_METADATA_GET), group, member, &req, sizeof(req), room,
		       reply), 0);
	CHECK(reply->len >= 8);
	memcpy(number, reply->result, 8);
	CHECK_EQ(number[1], 0);
	return number[0];
}

/* What metadata says is what there is. */
static void check_metadata(uint16_t group, uint64_t member, bool stopped)
{
	unsigned int n = count_parts(parts, parts_len), i;
	struct virtio_dev_part_hdr hdr, one;
	struct admin_reply reply;
	uint32_t at, size;

	size = metadata(group, member, VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_SIZE, 8, &reply);
	CHECK(stopped ? size == parts_len : size >= parts_len);
	CHECK_EQ(metadata(group, member, VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_COUNT, 64,
			  &reply), n);
	CHECK_EQ(reply.len, 8);
	CHECK_EQ(metadata(group, member, VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_LIST, 8192,
			  &reply), n);
	CHECK_EQ(reply.len, 8 + n * HDR_LEN);
	for (i = 0, at = 0; i < n; i++, at += HDR_LEN + hdr.length) {
		memcpy(&hdr, parts + at, HDR_LEN);
		memcpy(&one, reply.result + 8 + i * HDR_LEN, HDR_LEN);
		CHECK(!memcmp(&hdr, &one, HDR_LEN));
	}
}

TEST(parts_are_listed_in_order)
{
	static const uint32_t types[] = { 1, 2, 3, 4 };
	unsigned int i, pass;
	uint64_t id;

	up(NULL);
	for (i = 0; i < 4; i++) {
		CHECK_EQ(create_simple(&d, types[i], "", 0, &m), 0);
		id = m.id;
		parts_ready(&d, MANAGED_GROUP, id);
		for (pass = 0; pass < 3; pass++) {
			CHECK_EQ(get(&m, parts, &parts_len), 0);
			check_metadata(MANAGED_GROUP, id, pass == 2);
			/* Again, the same */
			CHECK_EQ(get(&m, again, &again_len), 0);
			CHECK(parts_len == again_len && !memcmp(parts, again, parts_len));
			CHECK_EQ(!!part_find(parts, parts_len, PART(VQ_STATE), 0), pass > 0);
			CHECK_EQ(!!part_find(parts, parts_len, PART(TYPE_STATE), 0),
				 types[i] == 1 || types[i] == 3);
			if (!pass)
				CHECK(bring_up(&m, m.info.num_vqs, 16, 0));
			else
				CHECK_EQ(stop(&m), 0);
		}
		CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	}
	driver_exit(&d);
}

/* The largest device of each type: all its parts fit in one command. */
TEST(parts_fit_in_one_command)
{
	static const struct {
		const char *type;
		uint16_t vqs;
	} devices[] = { { "net", 511 }, { "blk", 1024 }, { "console", 511 }, { "console", 128 },
			{ "console", 1 }, { "rng", 1 } };
	struct mdev_params params;
	struct admin_reply reply;
	struct tvq_options opt;
	unsigned int i;
	uint32_t size;
	uint64_t id;

	client_options(&opt);
	opt.device_vqs_max = 1024;
	opt.vqs_max = 10000;
	opt.device_vectors_max = 2048;
	opt.vectors_max = 20000;
	up(&opt);
	for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		params = (struct mdev_params){
			.type = mdev_type_by_name(devices[i].type)->type,
			.vqs = devices[i].vqs,
			.num_vectors = 2048,
		};
		CHECK_EQ(managed_create(&d.c.tvq, &params, 0, true, NULL, &id), 0);
		/* Objects hold the capability. */
		if (!i)
			parts_ready(&d, MANAGED_GROUP, id);
		else
			CHECK_EQ(admin_object(&d, ADMIN(RESOURCE_OBJ_CREATE), MANAGED_GROUP, id,
					      GET_OBJECT, 0), 0);
		size = metadata(MANAGED_GROUP, id, VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_SIZE,
				8, &reply);
		CHECK(size <= 131040);
		parts_len = 131072 - 8;
		CHECK_EQ(parts_get(&d, MANAGED_GROUP, id, parts, &parts_len), 0);
		CHECK(parts_len <= size);
		count_parts(parts, parts_len);
	}
	driver_exit(&d);
}

TEST(parts_of_a_virtual_function)
{
	struct virtio_tvq_dev_part_vq_cfg cfg = { .queue_size = 64, .vector = 1, .enabled = 1,
		.queue_desc = 0x10000, .queue_driver = 0x20000, .queue_device = 0x30000 };
	const uint64_t features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	struct tvq_options opt;
	uint8_t *part;

	client_options(&opt);
	opt.sriov = 2;
	up(&opt);
	region_put(&d.c, VFU_CONFIG, 0x100 + PCI_SRIOV_NUM_VF, 2, 2);
	region_put(&d.c, VFU_CONFIG, 0x100 + PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, 2);
	parts_ready(&d, SRIOV_GROUP, 1);
	parts_len = sizeof(parts) - 64;
	CHECK_EQ(parts_get(&d, SRIOV_GROUP, 1, parts, &parts_len), 0);
	check_metadata(SRIOV_GROUP, 1, true);
	/* As a driver would have left it */
	CHECK_EQ(parts_set(&d, SRIOV_GROUP, 1, parts, parts_len),
		 ADMIN_ERR(EBUSY, INVALID_COMMAND));
	CHECK_EQ(admin_mode(&d, SRIOV_GROUP, 1, true), 0);
	part = part_find(parts, parts_len, PART(DRV_FEATURES), 0);
	memcpy(part + HDR_LEN, &features, 8);
	part = part_find(parts, parts_len, PART(DEVICE_STATUS), 0);
	part[HDR_LEN] = 15;
	part = part_find(parts, parts_len, PART(VQ_CFG), 1);
	memcpy(part + HDR_LEN, &cfg, sizeof(cfg));
	CHECK_EQ(parts_set(&d, SRIOV_GROUP, 1, parts, parts_len), 0);
	again_len = sizeof(again) - 64;
	CHECK_EQ(parts_get(&d, SRIOV_GROUP, 1, again, &again_len), 0);
	CHECK(parts_len == again_len && !memcmp(parts, again, parts_len));
	/* The other one is as it was, and a value that cannot be, changes nothing. */
	part[HDR_LEN] = 65;
	CHECK_EQ(parts_set(&d, SRIOV_GROUP, 1, parts, parts_len), BAD_FIELD);
	again_len = sizeof(again) - 64;
	CHECK_EQ(parts_get(&d, SRIOV_GROUP, 1, again, &again_len), 0);
	CHECK_EQ(again[(part - parts) + HDR_LEN], 64);
	/* Disabled and enabled they are others. */
	region_put(&d.c, VFU_CONFIG, 0x100 + PCI_SRIOV_CTRL, 0, 2);
	region_put(&d.c, VFU_CONFIG, 0x100 + PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, 2);
	CHECK_EQ(admin_object(&d, ADMIN(RESOURCE_OBJ_CREATE), SRIOV_GROUP, 1, GET_OBJECT, 0), 0);
	again_len = sizeof(again) - 64;
	CHECK_EQ(parts_get(&d, SRIOV_GROUP, 1, again, &again_len), 0);
	part = part_find(again, again_len, PART(DEVICE_STATUS), 0);
	CHECK_EQ(part[HDR_LEN], 0);
	driver_exit(&d);
}

TEST(parts_that_are_selected)
{
	struct {
		struct virtio_admin_cmd_dev_parts_get_data req;
		struct virtio_dev_part_hdr hdr[6];
	} req = {
		.req.hdr.id = GET_OBJECT,
		.req.type = VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_SELECTED,
		/* In no order, one twice, two that are not there */
		.hdr = {
			{ .part_type = PART(MSI) },
			{ .part_type = PART(VQ_CFG), .selector.vq_index.index = 1 },
			{ .part_type = 0x7777 },
			{ .part_type = PART(DRV_FEATURES), .length = 99 },
			{ .part_type = PART(VQ_CFG), .selector.vq_index.index = 7 },
			{ .part_type = PART(VQ_CFG), .selector.vq_index.index = 1 },
		},
	};
	struct virtio_dev_part_hdr hdr[3];
	struct admin_reply reply;
	uint32_t at = 0;
	unsigned int i;

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 2, &m), 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_GET), MANAGED_GROUP, m.id, &req, sizeof(req), 8192,
		       &reply), 0);
	for (i = 0; i < 3 && at + HDR_LEN <= reply.len; i++) {
		memcpy(&hdr[i], reply.result + at, HDR_LEN);
		at += HDR_LEN + hdr[i].length;
	}
	CHECK_EQ(at, reply.len);
	CHECK_EQ(i, 3);
	CHECK_EQ(hdr[0].part_type, PART(DRV_FEATURES));
	CHECK_EQ(hdr[0].length, 16);
	CHECK_EQ(hdr[1].part_type, PART(VQ_CFG));
	CHECK_EQ(hdr[1].selector.vq_index.index, 1);
	CHECK_EQ(hdr[2].part_type, PART(MSI));
	/* None at all */
	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_GET), MANAGED_GROUP, m.id, &req, sizeof(req.req), 8192,
		       &reply), 0);
	CHECK_EQ(reply.len, 0);
	/* A part is cut off where there is no room; that is no error. */
	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_GET), MANAGED_GROUP, m.id, &req, sizeof(req), 24,
		       &reply), 0);
	CHECK_EQ(reply.len, 24);
	driver_exit(&d);
}

TEST(parts_metadata_without_room)
{
	struct virtio_admin_cmd_dev_parts_metadata_data req = { .hdr.id = GET_OBJECT };
	unsigned int n;

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 2, &m), 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(get(&m, parts, &parts_len), 0);
	n = count_parts(parts, parts_len);
	for (req.type = 0; req.type < 3; req.type++) {
		CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_METADATA_GET), MANAGED_GROUP, m.id, &req,
			       sizeof(req), 7, NULL), ADMIN_ERR(ENOMEM, INVALID_COMMAND));
		CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_METADATA_GET), MANAGED_GROUP, m.id, &req,
			       sizeof(req), 8, NULL),
			 req.type == VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_LIST ?
			 ADMIN_ERR(ENOMEM, INVALID_COMMAND) : 0);
	}
	req.type = VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_LIST;
	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_METADATA_GET), MANAGED_GROUP, m.id, &req, sizeof(req),
		       7 + n * HDR_LEN, NULL), ADMIN_ERR(ENOMEM, INVALID_COMMAND));
	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_METADATA_GET), MANAGED_GROUP, m.id, &req, sizeof(req),
		       8 + n * HDR_LEN, NULL), 0);
	driver_exit(&d);
}

TEST(parts_need_an_object)
{
	struct virtio_admin_cmd_dev_parts_get_data req = { .hdr.id = GET_OBJECT, .type = 1 };
	uint16_t opcode;

	up(NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK_EQ(create_simple(&d, 4, "", 0, &other), 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(stop(&m), 0);
	for (opcode = ADMIN(DEV_PARTS_METADATA_GET); opcode <= ADMIN(DEV_PARTS_SET); opcode++) {
		/* That of the other kind, one that is not there, one of another member */
		req.hdr.id = opcode == ADMIN(DEV_PARTS_SET) ? GET_OBJECT : SET_OBJECT;
		CHECK_EQ(admin(&d, opcode, MANAGED_GROUP, m.id, &req, sizeof(req), 4096, NULL),
			 BAD_FIELD);
		CHECK_EQ(admin(&d, opcode, MANAGED_GROUP, other.id, &req, sizeof(req), 4096, NULL),
			 ADMIN_ERR(ENXIO, INVALID_FIELD));
		req.hdr.id = 2;
		CHECK_EQ(admin(&d, opcode, MANAGED_GROUP, m.id, &req, sizeof(req), 4096, NULL),
			 BAD_FIELD);
	}
	/* Kinds of asking that there are not, before the object */
	req.hdr.id = SET_OBJECT;
	req.type = 2;
	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_GET), MANAGED_GROUP, m.id, &req, sizeof(req), 64, NULL),
		 BAD_FIELD);
	req.type = 3;
	CHECK_EQ(admin(&d, ADMIN(DEV_PARTS_METADATA_GET), MANAGED_GROUP, m.id, &req, sizeof(req),
		       64, NULL), BAD_FIELD);
	driver_exit(&d);
}

/*
 * Setting
 */

/* A disk that is up, stopped, and its parts */
static void stopped_disk(uint64_t extra)
{
	up(NULL);
	CHECK_EQ(create_with(&d, 2, extra, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(stop(&m), 0);
	CHECK_EQ(get(&m, parts, &parts_len), 0);
}

/* The device has still what is in parts. */
static void unchanged(int line)
{
	CHECK_EQ(get(&m, again, &again_len), 0);
	if (parts_len != again_len || memcmp(parts, again, parts_len))
		test_failed(__FILE__, line, "the parts have changed");
}

#define UNCHANGED()	unchanged(__LINE__)

TEST(parts_set_needs_a_stopped_device)
{
	stopped_disk(0);
	CHECK_EQ(resume(&m), 0);
	CHECK_EQ(set(&m, parts, parts_len), ADMIN_ERR(EBUSY, INVALID_COMMAND));
	CHECK_EQ(set(&m, parts, 0), ADMIN_ERR(EBUSY, INVALID_COMMAND));
	CHECK_EQ(stop(&m), 0);
	CHECK_EQ(set(&m, parts, parts_len), 0);
	CHECK_EQ(set(&m, parts, 0), 0);
	driver_exit(&d);
}

TEST(parts_are_set_many_times)
{
	uint8_t data[512], *part;
	unsigned int i;

	stopped_disk(0);
	for (i = 0; i < 5; i++)
		CHECK_EQ(set(&m, parts, parts_len), 0);
	UNCHANGED();
	/* One by one, in whatever order the commands come */
	for (i = 0; i < 3; i++) {
		part = part_find(parts, parts_len, PART(MSI), 0);
		CHECK_EQ(set(&m, part, part_size(part)), 0);
		part = part_find(parts, parts_len, PART(DEVICE_STATUS), 0);
		CHECK_EQ(set(&m, part, part_size(part)), 0);
		part = part_find(parts, parts_len, PART(VQ_CFG), 0);
		CHECK_EQ(set(&m, part, part_size(part)), 0);
	}
	UNCHANGED();
	CHECK_EQ(resume(&m), 0);
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, false), 0);
	driver_exit(&d);
}

TEST(parts_of_another_length_are_refused)
{
	struct virtio_dev_part_hdr hdr;
	uint8_t one[8192] = { 0 };
	uint32_t at;

	stopped_disk(0);
	for (at = 0; at < parts_len; at += HDR_LEN + hdr.length) {
		memcpy(&hdr, parts + at, HDR_LEN);
		memcpy(one, parts + at, HDR_LEN + hdr.length);
		CHECK_EQ(set(&m, one, HDR_LEN + hdr.length), 0);
		hdr.length++;
		memcpy(one, &hdr, HDR_LEN);
		CHECK_EQ(set(&m, one, HDR_LEN + hdr.length), BAD_FIELD);
		hdr.length -= 2;
		memcpy(one, &hdr, HDR_LEN);
		CHECK_EQ(set(&m, one, HDR_LEN + hdr.length), BAD_FIELD);
		hdr.length = UINT32_MAX;
		memcpy(one, &hdr, HDR_LEN);
		CHECK_EQ(set(&m, one, HDR_LEN + 64), BAD_FIELD);
		memcpy(&hdr, parts + at, HDR_LEN);
	}
	UNCHANGED();
	driver_exit(&d);
}

/* They are compared, and not set. */
TEST(parts_device_features_are_verified)
{
	uint64_t features[2];
	uint8_t *part;

	stopped_disk(0);
	memcpy(again, parts, parts_len);
	part = part_find(again, parts_len, PART(DEV_FEATURES), 0);
	memcpy(features, part + HDR_LEN, sizeof(features));
	CHECK_EQ(features[0], m.info.features[0]);
	features[0] ^= BIT64(F_IN_ORDER);
	memcpy(part + HDR_LEN, features, sizeof(features));
	CHECK_EQ(set(&m, again, parts_len), BAD_FIELD);
	features[0] = m.info.features[0];
	features[1] = 1;
	memcpy(part + HDR_LEN, features, sizeof(features));
	CHECK_EQ(set(&m, again, parts_len), BAD_FIELD);
	UNCHANGED();
	driver_exit(&d);
}

TEST(parts_out_of_order_are_refused)
{
	uint8_t two[8192] = { 0 }, *part;
	struct virtio_dev_part_hdr bad;
	uint32_t first;

	stopped_disk(0);
	part = part_find(parts, parts_len, PART(MSI), 0);
	first = part_size(part);
	memcpy(two, part, first);
	/* Twice, and one that belongs before it */
	memcpy(two + first, part, first);
	CHECK_EQ(set(&m, two, 2 * first), BAD_FIELD);
	part = part_find(parts, parts_len, PART(DRV_FEATURES), 0);
	memcpy(two + first, part, part_size(part));
	CHECK_EQ(set(&m, two, first + part_size(part)), BAD_FIELD);
	/* A part that the device does not have, a flag that there is not */
	bad = (struct virtio_dev_part_hdr){ .part_type = PART(PCI_COMMON_CFG), .length = 4 };
	memcpy(two, &bad, HDR_LEN);
	CHECK_EQ(set(&m, two, HDR_LEN + 4), BAD_FIELD);
	bad.part_type = PART(TYPE_STATE);
	memcpy(two, &bad, HDR_LEN);
	CHECK_EQ(set(&m, two, HDR_LEN + 4), BAD_FIELD);
	part = part_find(parts, parts_len, PART(DEVICE_STATUS), 0);
	memcpy(two, part, HDR_LEN + 1);
	two[2] = 2;
	CHECK_EQ(set(&m, two, HDR_LEN + 1), BAD_FIELD);
	/* Optional, and what fills up to 64 bits */
	two[2] = 1;
	memset(two + HDR_LEN + 1, 0, 7);
	CHECK_EQ(set(&m, two, HDR_LEN + 8), 0);
	UNCHANGED();
	driver_exit(&d);
}

/* One value of one part, in all parts: the whole command is refused, and nothing changed. */
static void refused_at(int line, uint16_t type, uint32_t offset, const void *value, uint32_t len)
{
	uint8_t *part;

	memcpy(again, parts, parts_len);
	part = part_find(again, parts_len, type, 0);
	memcpy(part + HDR_LEN + offset, value, len);
	if (set(&m, again, parts_len) != BAD_FIELD)
		test_failed(__FILE__, line, "part %#x is not refused", type);
	unchanged(line);
}

#define REFUSED(type, offset, value) \
	do { \
		const __typeof__(value) v_ = (value); \
		refused_at(__LINE__, PART(type), offset, &v_, sizeof(v_)); \
	} while (0)

TEST(parts_with_values_that_cannot_be)
{
	const uint64_t all = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);

	stopped_disk(BIT64(F_RING_PACKED));
	/* Features: none, without what is needed, more than is offered */
	REFUSED(DRV_FEATURES, 0, (uint64_t)0);
	REFUSED(DRV_FEATURES, 0, (uint64_t)BIT64(F_VERSION_1));
	REFUSED(DRV_FEATURES, 0, (uint64_t)(all | BIT64(F_IN_ORDER)));
	REFUSED(DRV_FEATURES, 8, (uint64_t)1);
	/* A status without FEATURES_OK */
	REFUSED(DEVICE_STATUS, 0, (uint8_t)0);
	REFUSED(DEVICE_STATUS, 0, (uint8_t)7);
	REFUSED(DEVICE_STATUS, 0, (uint8_t)3);
	/* Queues: size, vector, enabled, addresses */
	REFUSED(VQ_CFG, 0, (uint16_t)0);
	REFUSED(VQ_CFG, 0, (uint16_t)257);
	REFUSED(VQ_CFG, 0, (uint16_t)0xffff);
	REFUSED(VQ_CFG, 2, (uint16_t)2);
	REFUSED(VQ_CFG, 2, (uint16_t)0xfffe);
	REFUSED(VQ_CFG, 4, (uint16_t)2);
	REFUSED(VQ_CFG, 4, (uint16_t)0);
	REFUSED(VQ_CFG, 8, (uint64_t)8);
	REFUSED(VQ_CFG, 8, (uint64_t)0xfffffffffffffff0);
	REFUSED(VQ_CFG, 16, (uint64_t)2);
	REFUSED(VQ_CFG, 24, (uint64_t)0xfffffffffffffffe);
	/* Indices: apart, behind the end of a packed ring */
	REFUSED(VQ_STATE, 0, (uint16_t)5);
	REFUSED(VQ_STATE, 2, (uint16_t)5);
	REFUSED(VQ_STATE, 0, (uint32_t)0x00400040);
	REFUSED(VQ_STATE, 0, (uint32_t)0xffffffff);
	/* Interrupts */
	REFUSED(MSI, 0, (uint16_t)2);
	REFUSED(MSI, 2, (uint16_t)1);
	REFUSED(MSI, 2, (uint16_t)3);
	REFUSED(MSI, 8 + 12, (uint8_t)8);
	REFUSED(MSI, 8 + 16 + 12, (uint8_t)0x80);
	/* Configuration: its length, what is constant, a switch with a third position */
	REFUSED(CONFIG, 4, (uint32_t)59);
	REFUSED(CONFIG, 8 + 34, (uint16_t)2);
	REFUSED(CONFIG, 8 + 20, (uint32_t)4096);
	REFUSED(CONFIG, 8 + 32, (uint8_t)2);
	driver_exit(&d);
}

TEST(parts_of_a_split_ring_that_cannot_be)
{
	stopped_disk(0);
	REFUSED(VQ_CFG, 0, (uint16_t)63);
	REFUSED(VQ_STATE, 0, (uint16_t)1);
	REFUSED(VQ_STATE, 0, (uint32_t)0x00010000);
	driver_exit(&d);
}

static void disable_queue(uint8_t *list, uint32_t len)
{
	uint8_t *part = part_find(list, len, PART(VQ_CFG), 0);
	const uint16_t none = VIRTIO_TVQ_NO_VECTOR;

	memset(part + HDR_LEN, 0, 32);
	memcpy(part + HDR_LEN + 2, &none, 2);
}

/* State of a queue that is not enabled; without that, the queue is gone. */
TEST(parts_disable_a_queue)
{
	uint8_t *part;

	stopped_disk(0);
	memcpy(again, parts, parts_len);
	disable_queue(again, parts_len);
	CHECK_EQ(set(&m, again, parts_len), BAD_FIELD);
	UNCHANGED();
	memcpy(again, parts, parts_len);
	disable_queue(again, parts_len);
	part = part_find(again, parts_len, PART(VQ_CFG), 0);
	CHECK_EQ(set(&m, part, part_size(part)), 0);
	CHECK_EQ(get(&m, again, &again_len), 0);
	CHECK(!part_find(again, again_len, PART(VQ_STATE), 0));
	CHECK_EQ(resume(&m), 0);
	driver_exit(&d);
}

/*
 * Stopping
 */

TEST(stopping_twice_and_going_on_twice)
{
	uint8_t data[512];
	unsigned int i;

	stopped_disk(0);
	for (i = 0; i < 3; i++)
		CHECK_EQ(stop(&m), 0);
	for (i = 0; i < 3; i++)
		CHECK_EQ(resume(&m), 0);
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, false), 0);
	driver_exit(&d);
}

TEST(stopping_with_flags_that_there_are_not)
{
	uint8_t flags[8] = { 2 };

	stopped_disk(0);
	CHECK_EQ(resume(&m), 0);
	for (flags[0] = 2; flags[0]; flags[0] *= 2)
		CHECK_EQ(admin(&d, ADMIN(DEV_MODE_SET), MANAGED_GROUP, m.id, flags, 8, 0, NULL),
			 BAD_FIELD);
	CHECK(!managed_find(&d.c.tvq, m.id)->stopped);
	driver_exit(&d);
}

/* Doorbells are taken, and nothing comes of them until the device goes on: without another. */
static void nothing_moves(uint64_t extra, uint64_t without)
{
	struct io io;

	up(NULL);
	CHECK_EQ(create_with(&d, 2, extra, &m), 0);
	CHECK(bring_up(&m, 1, 64, without));
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(stop(&m), 0);
	memset(again, 0xee, 64);
	post_io(&m, 0, &io, VIRTIO_BLK_T_IN, 0, 4096);
	memset(guest(&d.c, io.gpa + 4096), 0x5a, 4096);
	want_interrupt(&m, 0);
	doorbell(&m, 0);
	settle(&d.c, 0.03);
	CHECK(!ring_has_used(&m.ring[0]));
	CHECK_EQ(io_status(&io), 0xff);
	CHECK_EQ(*(uint8_t *)guest(&d.c, io.gpa + 4096), 0x5a);
	CHECK_EQ(interrupts(&m, 0), 0);
	/* Commands are taken. */
	CHECK(status_of(&m) & S_DRIVER_OK);
	CHECK_EQ(resume(&m), 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	CHECK_EQ(io_status(&io), 0);
	CHECK(wait_msi(&d.c, msi_address(&m, 1), 1, 1));
	/* And what is made available without a doorbell is found, too. */
	CHECK_EQ(stop(&m), 0);
	post_io(&m, 0, &io, VIRTIO_BLK_T_IN, 0, 4096);
	settle(&d.c, 0.01);
	CHECK(!ring_has_used(&m.ring[0]));
	CHECK_EQ(resume(&m), 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	driver_exit(&d);
}

TEST(stopped_device_does_not_touch_its_queues)
{
	nothing_moves(0, BIT64(F_RING_EVENT_IDX));
	nothing_moves(0, 0);
	nothing_moves(BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER), BIT64(F_RING_EVENT_IDX));
	nothing_moves(BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER), 0);
	nothing_moves(BIT64(F_NOTIFICATION_DATA), 0);
}

static int resize(struct mdev *mdev, uint64_t sectors);

struct resize_job {
	struct job job;
	struct mdev *mdev;
	uint64_t sectors;
	bool done;
};

static void run_resize(struct job *job)
{
	struct resize_job *r = container_of(job, struct resize_job, job);

	r->mdev->type->resize(r->mdev, r->sectors);
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
}

/* As the control socket does it */
static int resize(struct mdev *mdev, uint64_t sectors)
{
	struct resize_job r = { .job.run = run_resize, .mdev = mdev, .sectors = sectors };

	mailbox_post(&mdev->mbox, &r.job);
	while (!__atomic_load_n(&r.done, __ATOMIC_ACQUIRE))
		settle(&d.c, 0.0005);
	return 0;
}

/* A change while it is stopped is announced when it goes on, and not before. */
TEST(stopped_device_does_not_announce_a_change)
{
	unsigned int pass;
	uint64_t capacity;
	uint8_t *part;

	for (pass = 0; pass < 3; pass++) {
		stopped_disk(0);
		d.c.num_msi = 0;
		resize(managed_find(&d.c.tvq, m.id), 4096 + pass);
		settle(&d.c, 0.02);
		CHECK_EQ(count_msi(&d.c, msi_address(&m, 0), 0), 0);
		/* The parts of before, or a reset and those: the disk has its new size. */
		if (pass == 2)
			own_reset(&m);
		if (pass)
			CHECK_EQ(set(&m, parts, parts_len), 0);
		CHECK_EQ(count_msi(&d.c, msi_address(&m, 0), 0), 0);
		CHECK_EQ(resume(&m), 0);
		CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
		CHECK_EQ(get(&m, again, &again_len), 0);
		part = part_find(again, again_len, PART(CONFIG), 0);
		memcpy(&capacity, part + HDR_LEN + 8, 8);
		CHECK_EQ(capacity, 4096 + pass);
		/* The generation is another one than the driver has seen. */
		CHECK(memcmp(part + HDR_LEN,
			     part_find(parts, parts_len, PART(CONFIG), 0) + HDR_LEN, 4));
		driver_exit(&d);
	}
}

/* A driver that goes on sets an interrupt's message: it is sent when the device goes on. */
TEST(stopped_device_keeps_what_is_pending)
{
	struct {
		struct virtio_tvq_msi_range range;
		struct virtio_tvq_msi_entry entry;
	} req = { .range = { .first = 1, .count = 1 } };
	uint8_t data[512], *part;

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, BIT64(F_RING_EVENT_IDX)));
	parts_ready(&d, MANAGED_GROUP, m.id);
	req.entry.address = msi_address(&m, 1);
	req.entry.data = 1;
	req.entry.flags = VIRTIO_TVQ_MSI_F_MASK;
	CHECK_EQ(command(&d, m.id, MSI(SET), &req, sizeof(req), 0, NULL), 0);
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, false), 0);
	settle(&d.c, 0.01);
	CHECK_EQ(interrupts(&m, 0), 0);
	CHECK_EQ(stop(&m), 0);
	CHECK_EQ(get(&m, parts, &parts_len), 0);
	part = part_find(parts, parts_len, PART(MSI), 0);
	CHECK_EQ(part[HDR_LEN + 8 + 16 + 12], VIRTIO_TVQ_DEV_PART_MSI_F_MASK |
		 VIRTIO_TVQ_DEV_PART_MSI_F_PENDING | VIRTIO_TVQ_DEV_PART_MSI_F_ACTIVE);
	own_reset(&m);
	CHECK_EQ(set(&m, parts, parts_len), 0);
	UNCHANGED();
	req.entry.flags = 0;
	CHECK_EQ(command(&d, m.id, MSI(SET), &req, sizeof(req), 0, NULL), 0);
	settle(&d.c, 0.01);
	CHECK_EQ(interrupts(&m, 0), 0);
	CHECK_EQ(resume(&m), 0);
	CHECK(wait_msi(&d.c, msi_address(&m, 1), 1, 1));
	driver_exit(&d);
}

/* A stop waits for the messages that were sent; meanwhile the other queue goes on. */
TEST(stopping_waits_for_messages_and_holds_nobody_up)
{
	const uint8_t flags[8] = { 1 };
	struct admin_reply reply;
	unsigned int i;
	double start;

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK_EQ(create_simple(&d, 4, "", 0, &other), 0);
	CHECK(bring_up(&m, 1, 64, BIT64(F_RING_EVENT_IDX)));
	parts_ready(&d, MANAGED_GROUP, m.id);
	d.c.withhold = true;
	doorbell(&m, 0);
	resize(managed_find(&d.c.tvq, m.id), 4096);
	SOON(&d.c, d.c.withheld);
	start = test_now();
	admin_post(&d, 0, ADMIN(DEV_MODE_SET), MANAGED_GROUP, m.id, flags, 8, 0);
	admin_ring_bell(&d, 0);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(admin_on(&d, 1, ADMIN(LIST_QUERY), MANAGED_GROUP, 0, NULL, 0, 8, NULL), 0);
		CHECK_EQ(admin_on(&d, 1, ADMIN(DEV_MODE_SET), MANAGED_GROUP, other.id, flags, 8, 0,
				  NULL), 0);
	}
	if (test_now() - start < 0.5)
		CHECK(!ring_has_used(&d.admin[0].ring));
	/* Nobody waits for ever for a client that does not answer. */
	admin_collect(&d, 0, &reply);
	CHECK(reply.came);
	CHECK_EQ(reply.status, 0);
	driver_exit(&d);
}

/* A reset by its driver leaves it stopped, with parts as after a reset. */
TEST(stopped_device_stays_that_when_it_is_reset)
{
	struct io io;
	uint8_t *part;

	stopped_disk(0);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(get(&m, again, &again_len), 0);
	part = part_find(again, again_len, PART(DEVICE_STATUS), 0);
	CHECK_EQ(part[HDR_LEN], 0);
	CHECK(!part_find(again, again_len, PART(VQ_STATE), 0));
	/* Its driver brings it up as it wants, and waits. */
	CHECK(bring_up(&m, 1, 64, BIT64(F_RING_EVENT_IDX)));
	post_io(&m, 0, &io, VIRTIO_BLK_T_IN, 0, 512);
	doorbell(&m, 0);
	settle(&d.c, 0.02);
	CHECK(!ring_has_used(&m.ring[0]));
	CHECK_EQ(resume(&m), 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	driver_exit(&d);
}

struct slow_reset {
	struct job job;
	struct mdev *mdev;
	bool begun;
	bool go_on;
	bool done;
};

/* A reset that has begun, and takes as long as it is told to. */
static void run_slow_reset(struct job *job)
{
	struct slow_reset *reset = container_of(job, struct slow_reset, job);

	__atomic_store_n(&reset->begun, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&reset->go_on, __ATOMIC_ACQUIRE))
		usleep(100);
	mdev_reset(reset->mdev);
	__atomic_store_n(&reset->done, true, __ATOMIC_RELEASE);
}

/* Stopping a device, and setting its parts, while it is being reset: both come behind that. */
TEST(commands_wait_for_a_reset_in_progress)
{
	const struct virtio_admin_cmd_resource_obj_cmd_hdr no_parts = { .id = SET_OBJECT };
	const uint8_t flags[8] = { 1 };
	struct admin_reply reply;
	unsigned int pass;

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	for (pass = 0; pass < 2; pass++) {
		struct slow_reset reset = {
			.job.run = run_slow_reset,
			.mdev = managed_find(&d.c.tvq, m.id),
		};

		CHECK(bring_up(&m, 1, 64, 0));
		mailbox_post(&reset.mdev->mbox, &reset.job);
		while (!__atomic_load_n(&reset.begun, __ATOMIC_ACQUIRE))
			settle(&d.c, 0.0005);
		if (pass)
			admin_post(&d, 0, ADMIN(DEV_PARTS_SET), MANAGED_GROUP, m.id, &no_parts,
				   sizeof(no_parts), 0);
		else
			admin_post(&d, 0, ADMIN(DEV_MODE_SET), MANAGED_GROUP, m.id, flags, 8, 0);
		admin_ring_bell(&d, 0);
		settle(&d.c, 0.02);
		CHECK(!ring_has_used(&d.admin[0].ring));
		__atomic_store_n(&reset.go_on, true, __ATOMIC_RELEASE);
		admin_collect(&d, 0, &reply);
		CHECK(reply.came);
		CHECK_EQ(reply.status, 0);
		CHECK(__atomic_load_n(&reset.done, __ATOMIC_ACQUIRE));
		CHECK_EQ(status_of(&m), 0);
	}
	CHECK(managed_find(&d.c.tvq, m.id)->stopped);
	driver_exit(&d);
}

/* By its status, or at function level */
TEST(function_reset_makes_members_go_on)
{
	uint8_t data[512];
	unsigned int pass;

	for (pass = 0; pass < 2; pass++) {
		stopped_disk(0);
		if (pass)
			client_flr(&d.c);
		else
			driver_reset(&d);
		d.c.alloc = GUEST_BASE;
		driver_setup(&d);
		CHECK(bring_up(&m, 1, 64, 0));
		CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, false),
			 0);
		driver_exit(&d);
	}
}

TEST(stopped_device_can_be_destroyed)
{
	stopped_disk(0);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK_EQ(stop(&m), ADMIN_ERR(EINVAL, INVALID_MEMBER));
	driver_exit(&d);
}

/*
 * Carrying a disk over, with requests of which some are done, some are at work, and
 * some have not been looked at
 */

#define IOS	20
#define IO_LEN	65536

static void fill(uint8_t *buf, size_t len, unsigned int seed)
{
	while (len--)
		*buf++ = rand_r(&seed) >> 3;
}

static void carry_over(uint64_t extra, uint64_t without, unsigned int turns)
{
	static uint8_t want[IOS][IO_LEN];
	struct io io[2][IOS];
	unsigned int q, i, turn, done;
	uint16_t id;

	up(NULL);
	CHECK_EQ(create_with(&d, 2, extra, &m), 0);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	{
		struct virtio_tvq_create req = { .type = 2, .vqs = 2,
						 .flags = VIRTIO_TVQ_CREATE_F_FEATURES,
						 .features = { m.info.features[0] } };

		CHECK_EQ(create(&d, &req, &m), 0);
	}
	CHECK(bring_up(&m, 2, 64, without));
	parts_ready(&d, MANAGED_GROUP, m.id);
	for (turn = 0; turn < turns; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 4;
		d.c.num_msi = 0;
		for (q = 0; q < 2; q++) {
			want_interrupt(&m, q);
			for (i = 0; i < IOS; i++) {
				post_io(&m, q, &io[q][i], VIRTIO_BLK_T_OUT,
					(q * IOS + i) * IO_LEN / 512, IO_LEN);
				fill(want[i], IO_LEN, turn * 1000 + q * IOS + i);
				memcpy(guest(&d.c, io[q][i].gpa + 4096), want[i], IO_LEN);
			}
			doorbell(&m, q);
		}
		settle(&d.c, 0.0003 * (turn % 8));
		CHECK_EQ(stop(&m), 0);
		CHECK_EQ(get(&m, parts, &parts_len), 0);
		/* What is not given back is as it was. */
		own_reset(&m);
		CHECK_EQ(status_of(&m), 0);
		for (q = 0, done = 0; q < 2; q++) {
			for (i = 0; i < IOS; i++)
				done += io_status(&io[q][i]) == 0;
			doorbell(&m, q);
		}
		settle(&d.c, 0.003);
		for (q = 0; q < 2; q++) {
			for (i = 0; i < IOS; i++)
				done -= io_status(&io[q][i]) == 0;
		}
		CHECK_EQ(done, 0);
		CHECK_EQ(set(&m, parts, parts_len), 0);
		UNCHANGED();
		CHECK_EQ(resume(&m), 0);
		for (q = 0; q < 2; q++) {
			for (i = 0; i < IOS; i++) {
				CHECK(ring_wait(&m.ring[q], &id, NULL));
				if (m.features & BIT64(F_IN_ORDER))
					CHECK_EQ(id, io[q][i].id);
			}
			CHECK(!ring_has_used(&m.ring[q]));
			CHECK(wait_msi(&d.c, msi_address(&m, q + 1), q + 1, 1));
		}
		/* All of it is on the disk, and is read again. */
		for (q = 0; q < 2; q++) {
			for (i = 0; i < IOS; i++) {
				CHECK_EQ(io_status(&io[q][i]), 0);
				post_io(&m, 1 - q, &io[q][i], VIRTIO_BLK_T_IN,
					(q * IOS + i) * IO_LEN / 512, IO_LEN);
			}
			doorbell(&m, 1 - q);
			for (i = 0; i < IOS; i++)
				CHECK(ring_wait(&m.ring[1 - q], NULL, NULL));
			for (i = 0; i < IOS; i++) {
				fill(want[i], IO_LEN, turn * 1000 + q * IOS + i);
				CHECK(!memcmp(guest(&d.c, io[q][i].gpa + 4096), want[i], IO_LEN));
			}
			/* There is no room for all of them at once. */
			d.c.alloc = GUEST_BASE + GUEST_SIZE / 4;
		}
	}
	driver_exit(&d);
}

TEST(disk_is_carried_over_split)
{
	carry_over(0, BIT64(F_RING_EVENT_IDX), 6);
}

TEST(disk_is_carried_over_split_event_idx)
{
	carry_over(0, 0, 6);
}

TEST(disk_is_carried_over_split_in_order)
{
	carry_over(BIT64(F_IN_ORDER) | BIT64(F_NOTIFICATION_DATA), 0, 4);
}

TEST(disk_is_carried_over_packed)
{
	carry_over(BIT64(F_RING_PACKED), BIT64(F_RING_EVENT_IDX), 6);
}

TEST(disk_is_carried_over_packed_event_idx)
{
	carry_over(BIT64(F_RING_PACKED) | BIT64(F_NOTIFICATION_DATA), 0, 6);
}

TEST(disk_is_carried_over_packed_in_order)
{
	carry_over(BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER), 0, 4);
}

/*
 * With EVENT_IDX, the next used buffer behind setting parts is told, whatever place
 * the driver has named: what was signalled before is not known.
 */
static void signalled_once(uint64_t extra)
{
	uint8_t data[512];
	uint16_t *driver;
	unsigned int i;

	up(NULL);
	CHECK_EQ(create_with(&d, 2, extra, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK(m.features & BIT64(F_RING_EVENT_IDX));
	parts_ready(&d, MANAGED_GROUP, m.id);
	driver = guest(&d.c, m.ring[0].driver);
	if (extra) {
		driver[0] = 50 | 1 << 15;
		driver[1] = VRING_PACKED_EVENT_FLAG_DESC;
	} else {
		driver[2 + 64] = 50;
	}
	/* The first one of a queue is told, too. */
	for (i = 0; i < 3; i++) {
		CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
		settle(&d.c, 0.005);
	}
	CHECK_EQ(interrupts(&m, 0), 1);
	CHECK_EQ(stop(&m), 0);
	CHECK_EQ(get(&m, parts, &parts_len), 0);
	own_reset(&m);
	CHECK_EQ(set(&m, parts, parts_len), 0);
	CHECK_EQ(resume(&m), 0);
	settle(&d.c, 0.005);
	CHECK_EQ(interrupts(&m, 0), 1);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, data, 512, true), 0);
		settle(&d.c, 0.005);
	}
	CHECK_EQ(interrupts(&m, 0), 2);
	driver_exit(&d);
}

TEST(parts_that_were_set_signal_the_next_buffer)
{
	signalled_once(0);
	signalled_once(BIT64(F_RING_PACKED));
}

/* Stop and go on, without anything in between, under load */
TEST(disk_pauses)
{
	struct io io[IOS];
	unsigned int i, turn;

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	for (turn = 0; turn < 20; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
		for (i = 0; i < IOS; i++)
			post_io(&m, 0, &io[i], VIRTIO_BLK_T_IN, 64 * i, IO_LEN);
		doorbell(&m, 0);
		CHECK_EQ(stop(&m), 0);
		CHECK_EQ(resume(&m), 0);
		for (i = 0; i < IOS; i++)
			CHECK(ring_wait(&m.ring[0], NULL, NULL));
	}
	driver_exit(&d);
}

/* WCE is the driver's, and is carried over. */
TEST(disk_keeps_its_write_cache)
{
	struct {
		struct virtio_tvq_config_write hdr;
		uint8_t wce;
	} w = { .hdr = { .offset = 32, .length = 1 } };
	uint8_t *part;

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(command(&d, m.id, DEVICE(SET_CONFIG), &w, sizeof(w), 76, NULL), 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(stop(&m), 0);
	CHECK_EQ(get(&m, parts, &parts_len), 0);
	own_reset(&m);
	CHECK_EQ(set(&m, parts, parts_len), 0);
	UNCHANGED();
	part = part_find(again, again_len, PART(CONFIG), 0);
	CHECK_EQ(part[HDR_LEN + 8 + 32], 0);
	driver_exit(&d);
}

/* Another device of the same provisioning takes it over. */
TEST(parts_of_another_device)
{
	uint8_t out[512], in[512];

	up(NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK_EQ(create_simple(&d, 2, "", 0, &other), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	memset(out, 0x11, sizeof(out));
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_OUT, 0, out, 512, false), 0);
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(stop(&m), 0);
	CHECK_EQ(get(&m, parts, &parts_len), 0);
	CHECK_EQ(admin_object(&d, ADMIN(RESOURCE_OBJ_CREATE), MANAGED_GROUP, other.id, SET_OBJECT,
			      1), 0);
	CHECK_EQ(stop(&other), 0);
	CHECK_EQ(set(&other, parts, parts_len), 0);
	CHECK_EQ(resume(&other), 0);
	/* The same rings, and the other one's doorbell and disk */
	m.doorbell = other.doorbell;
	memset(in, 0xff, sizeof(in));
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, in, 512, false), 0);
	CHECK_EQ(in[0], 0);
	driver_exit(&d);
}

/*
 * Other types
 */

static uint8_t ctrl(struct managed *member, uint8_t class, uint8_t cmd, const void *data,
		    uint32_t len)
{
	uint64_t gpa = guest_alloc(&d.c, 3 + len, 16);
	struct seg seg[2] = { { gpa, 2 + len, false }, { gpa + 2 + len, 1, true } };
	unsigned int q = member->info.num_vqs - 1;
	uint8_t *p = guest(&d.c, gpa);

	p[0] = class;
	p[1] = cmd;
	memcpy(p + 2, data, len);
	p[2 + len] = 0xff;
	ring_put(&member->ring[q], seg, 2);
	doorbell(member, q);
	CHECK(ring_wait(&member->ring[q], NULL, NULL));
	return p[2 + len];
}

static void send_frame(struct managed *from, const uint8_t *to, const uint8_t *mac)
{
	uint64_t gpa = guest_alloc(&d.c, 12 + 100, 16);
	struct seg seg = { gpa, 112, false };
	uint8_t *p = guest(&d.c, gpa);

	memset(p, 0, 12);
	memset(p + 12, 0x42, 100);
	memcpy(p + 12, to, 6);
	memcpy(p + 18, mac, 6);
	p[24] = 0x88;
	p[25] = 0xb5;
	ring_put(&from->ring[1], &seg, 1);
	doorbell(from, 1);
	CHECK(ring_wait(&from->ring[1], NULL, NULL));
}

static bool arrives(struct managed *at)
{
	settle(&d.c, 0.02);
	return ring_has_used(&at->ring[0]) && ring_wait(&at->ring[0], NULL, NULL);
}

/* Filters, queue pairs, offloads, an own address: a driver sets them once. */
TEST(interface_is_carried_over)
{
	static const uint8_t listed[6] = { 2, 9, 9, 9, 9, 1 }, own[6] = { 2, 9, 9, 9, 9, 2 };
	static const uint8_t unknown[6] = { 2, 9, 9, 9, 9, 3 }, from[6] = { 2, 9, 9, 9, 9, 4 };
	uint8_t off = 0, table[4 + 6 + 4] = { 1 };
	uint16_t pairs = 2, vlan = 7;
	uint64_t offloads = BIT64(VIRTIO_NET_F_GUEST_CSUM);
	struct seg seg = { 0, 2048, true };
	unsigned int i;

	up(NULL);
	CHECK_EQ(create_simple(&d, 1, "", 2, &m), 0);
	CHECK_EQ(create_simple(&d, 1, "", 0, &other), 0);
	CHECK(bring_up(&m, m.info.num_vqs, 64, BIT64(F_RING_EVENT_IDX)));
	CHECK(bring_up(&other, other.info.num_vqs, 64, BIT64(F_RING_EVENT_IDX)));
	parts_ready(&d, MANAGED_GROUP, m.id);
	memcpy(table + 4, listed, 6);
	CHECK_EQ(ctrl(&m, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), 0);
	CHECK_EQ(ctrl(&m, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
		      sizeof(table)), 0);
	CHECK_EQ(ctrl(&m, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, own, 6), 0);
	CHECK_EQ(ctrl(&m, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &vlan, 2), 0);
	CHECK_EQ(ctrl(&m, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, 2), 0);
	CHECK_EQ(ctrl(&m, VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
		      &offloads, 8), 0);
	pairs = 1;
	CHECK_EQ(ctrl(&m, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, 2), 0);
	for (i = 0; i < 16; i++) {
		seg.gpa = guest_alloc(&d.c, 2048, 16);
		ring_put(&m.ring[0], &seg, 1);
	}
	doorbell(&m, 0);
	for (i = 0; i < 3; i++) {
		send_frame(&other, unknown, from);
		CHECK(!arrives(&m));
		send_frame(&other, listed, from);
		CHECK(arrives(&m));
		send_frame(&other, own, from);
		CHECK(arrives(&m));
		send_frame(&m, from, own);
		CHECK_EQ(stop(&m), 0);
		CHECK_EQ(get(&m, parts, &parts_len), 0);
		own_reset(&m);
		CHECK_EQ(get(&m, again, &again_len), 0);
		CHECK(again_len != parts_len || memcmp(again, parts, parts_len));
		CHECK_EQ(set(&m, parts, parts_len), 0);
		UNCHANGED();
		/* What comes now, waits. */
		if (i) {
			send_frame(&other, listed, from);
			CHECK(!arrives(&m));
		}
		CHECK_EQ(resume(&m), 0);
		if (i)
			CHECK(arrives(&m));
	}
	driver_exit(&d);
}

/* Bytes of a console that are on their way, in both directions, and half a buffer */
TEST(console_is_carried_over)
{
	struct virtio_console_control msg = { .id = 1, .event = VIRTIO_CONSOLE_PORT_OPEN,
					      .value = 1 };
	const uint32_t len = 20000;
	uint8_t bytes[20000], *p;
	uint32_t got = 0, n;
	struct seg seg;
	unsigned int i;

	up(NULL);
	CHECK_EQ(create_simple(&d, 3, "", 2, &m), 0);
	CHECK(bring_up(&m, m.info.num_vqs, 64, BIT64(F_RING_EVENT_IDX)));
	parts_ready(&d, MANAGED_GROUP, m.id);
	seg = (struct seg){ guest_alloc(&d.c, sizeof(msg), 16), sizeof(msg), false };
	memcpy(guest(&d.c, seg.gpa), &msg, sizeof(msg));
	ring_put(&m.ring[3], &seg, 1);
	doorbell(&m, 3);
	CHECK(ring_wait(&m.ring[3], NULL, NULL));
	/* More than the device keeps; it comes back, and nobody gives a buffer for it. */
	fill(bytes, len, 5);
	seg = (struct seg){ guest_alloc(&d.c, len, 16), len, false };
	memcpy(guest(&d.c, seg.gpa), bytes, len);
	ring_put(&m.ring[5], &seg, 1);
	doorbell(&m, 5);
	settle(&d.c, 0.05);
	CHECK(!ring_has_used(&m.ring[5]));
	for (i = 0; i < 3; i++) {
		CHECK_EQ(stop(&m), 0);
		CHECK_EQ(get(&m, parts, &parts_len), 0);
		CHECK(parts_len > 12288);
		if (i) {
			own_reset(&m);
			CHECK_EQ(set(&m, parts, parts_len), 0);
			UNCHANGED();
		}
		CHECK_EQ(resume(&m), 0);
	}
	while (got < len) {
		seg = (struct seg){ guest_alloc(&d.c, 1000, 16), 1000, true };
		ring_put(&m.ring[4], &seg, 1);
		doorbell(&m, 4);
		if (!ring_wait(&m.ring[4], NULL, &n))
			break;
		p = guest(&d.c, seg.gpa);
		CHECK(n <= len - got && !memcmp(p, bytes + got, n));
		got += n;
	}
	CHECK_EQ(got, len);
	CHECK(ring_wait(&m.ring[5], NULL, NULL));
	driver_exit(&d);
}

TEST(entropy_source_is_carried_over)
{
	struct seg seg = { 0, 64, true };
	unsigned int i;

	up(NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	parts_ready(&d, MANAGED_GROUP, m.id);
	for (i = 0; i < 40; i++) {
		seg.gpa = guest_alloc(&d.c, 64, 16);
		CHECK_EQ(stop(&m), 0);
		ring_put(&m.ring[0], &seg, 1);
		doorbell(&m, 0);
		CHECK_EQ(get(&m, parts, &parts_len), 0);
		own_reset(&m);
		CHECK_EQ(set(&m, parts, parts_len), 0);
		CHECK(!ring_has_used(&m.ring[0]));
		CHECK_EQ(resume(&m), 0);
		CHECK(ring_wait(&m.ring[0], NULL, NULL));
	}
	driver_exit(&d);
}

/* Values of TYPE_STATE that a control queue would not take */
TEST(parts_of_a_type_that_cannot_be)
{
	unsigned int i;

	up(NULL);
	CHECK_EQ(create_simple(&d, 1, "", 2, &m), 0);
	CHECK(bring_up(&m, m.info.num_vqs, 64, BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA) |
		       BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT64(VIRTIO_NET_F_RSS) |
		       BIT64(VIRTIO_NET_F_CTRL_VLAN)));
	parts_ready(&d, MANAGED_GROUP, m.id);
	CHECK_EQ(stop(&m), 0);
	CHECK_EQ(get(&m, parts, &parts_len), 0);
	/* Version, flags of features that there are not, pairs, addresses, offloads */
	REFUSED(TYPE_STATE, 0, (uint8_t)0);
	REFUSED(TYPE_STATE, 0, (uint8_t)2);
	for (i = 2; i < 8; i++)
		REFUSED(TYPE_STATE, 1, (uint8_t)(1u << i | 1));
	REFUSED(TYPE_STATE, 2, (uint16_t)0);
	REFUSED(TYPE_STATE, 2, (uint16_t)3);
	REFUSED(TYPE_STATE, 4, (uint16_t)65);
	REFUSED(TYPE_STATE, 6, (uint16_t)0xfffe);
	REFUSED(TYPE_STATE, 8, (uint64_t)1);
	/* VLANs; RSS that does not steer with a table, hash types, a pair that there is not */
	REFUSED(TYPE_STATE, 16 + 768, (uint64_t)1);
	REFUSED(TYPE_STATE, 16 + 768 + 512, (uint32_t)0x80);
	REFUSED(TYPE_STATE, 16 + 768 + 512 + 4, (uint16_t)1);
	REFUSED(TYPE_STATE, 16 + 768 + 512 + 6, (uint16_t)2);
	/* A multicast address of its own */
	REFUSED(CONFIG, 8, (uint8_t)1);
	driver_exit(&d);
}

/* Parts of each type with bytes that are not theirs: refused or not, no harm is done. */
TEST(parts_at_random_do_no_harm)
{
	unsigned int seed = test_seed(23), i, k, type, n;
	struct virtio_dev_part_hdr hdr;
	uint32_t at, pick;
	struct seg seg;

	printf("    seed %u\n", seed);
	for (type = 1; type <= 4; type++) {
		up(NULL);
		CHECK_EQ(create_with(&d, type, BIT64(F_RING_PACKED) | BIT64(F_IN_ORDER), &m), 0);
		CHECK(bring_up(&m, m.info.num_vqs, 16, rand_r(&seed) % 2 ? 0 :
			       BIT64(F_RING_PACKED)));
		parts_ready(&d, MANAGED_GROUP, m.id);
		for (i = 0; i < m.info.num_vqs; i++) {
			seg = (struct seg){ guest_alloc(&d.c, 64, 16), 64, !(i % 2) };
			ring_put(&m.ring[i], &seg, 1);
		}
		CHECK_EQ(stop(&m), 0);
		CHECK_EQ(get(&m, parts, &parts_len), 0);
		n = count_parts(parts, parts_len);
		for (i = 0; i < 400; i++) {
			d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
			memcpy(again, parts, parts_len);
			/* Mostly in values, where they are not refused for their header. */
			for (k = rand_r(&seed) % 4 + 1; k; k--) {
				pick = rand_r(&seed) % n;
				for (at = 0; pick; pick--) {
					memcpy(&hdr, parts + at, HDR_LEN);
					at += HDR_LEN + hdr.length;
				}
				memcpy(&hdr, parts + at, HDR_LEN);
				if (rand_r(&seed) % 8)
					at += HDR_LEN + rand_r(&seed) % hdr.length;
				else
					at += rand_r(&seed) % HDR_LEN;
				again[at] = rand_r(&seed) % 3 ? 1u << rand_r(&seed) % 8 :
								(unsigned int)rand_r(&seed);
			}
			set(&m, again, rand_r(&seed) % 8 ? parts_len :
						(uint32_t)rand_r(&seed) % parts_len);
			if (rand_r(&seed) % 3)
				continue;
			CHECK_EQ(resume(&m), 0);
			for (k = 0; k < m.info.num_vqs; k++)
				doorbell(&m, k);
			settle(&d.c, 0.0005);
			CHECK_EQ(stop(&m), 0);
			CHECK_EQ(get(&m, again, &again_len), 0);
			count_parts(again, again_len);
		}
		/* It is well when its parts are. */
		CHECK_EQ(set(&m, parts, parts_len), 0);
		UNCHANGED();
		CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
		driver_exit(&d);
	}
}
