// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Every command: what it answers when all is well, and each reason to refuse it. */
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static struct driver d;
static struct managed m;
static struct reply reply;

static int cmd(uint64_t id, uint16_t class, uint16_t command_, const void *out, uint32_t out_len,
	       uint32_t in_room)
{
	return command(&d, id, class, command_, out, out_len, in_room, &reply);
}

static uint32_t vqs_free(void)
{
	struct virtio_tvq_limits *limits = (void *)reply.in;

	CHECK_EQ(cmd(0, MGMT(LIMITS), NULL, 0, 56), 0);
	return limits->vqs_free;
}

TEST(unknown_commands)
{
	static const uint16_t known[] = { 5, 8, 3, 2 };	/* commands of each class */
	unsigned int class, n;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	for (class = 0; class < 4; class++) {
		CHECK_EQ(cmd(0, class, known[class], NULL, 0, 64), ERR(ENXIO, COMMAND));
		CHECK_EQ(cmd(m.id, class, 0xffff, NULL, 0, 64), ERR(ENXIO, COMMAND));
	}
	for (n = 0; n < 8; n++)
		CHECK_EQ(cmd(n, 4 + n * 1000, n, NULL, 0, 64), ERR(ENXIO, COMMAND));
	/* The command is looked at before the id. */
	CHECK_EQ(cmd(999, 0xffff, 0, NULL, 0, 4), ERR(ENXIO, COMMAND));
	driver_exit(&d);
}

TEST(targets)
{
	static const uint16_t of_mdev[][2] = {
		{ MGMT(DESTROY) }, { DEVICE(DESCRIBE) }, { DEVICE(NEGOTIATE) },
		{ DEVICE(SET_STATUS) }, { DEVICE(GET_STATUS) }, { DEVICE(RESET) },
		{ DEVICE(GET_CONFIG) }, { DEVICE(SET_CONFIG) }, { VQ(SETUP) }, { VQ(RESET) },
		{ VQ(NOTIFY) }, { MSI(SET) }, { MSI(GET) },
	};
	static const uint16_t of_mgmt[][2] = {
		{ MGMT(NOP) }, { MGMT(LIMITS) }, { MGMT(LIST) }, { MGMT(CREATE) },
	};
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	for (i = 0; i < sizeof(of_mdev) / sizeof(of_mdev[0]); i++) {
		CHECK_EQ(cmd(0, of_mdev[i][0], of_mdev[i][1], NULL, 0, 4096),
			 ERR(ENXIO, DEVICE_ID));
		CHECK_EQ(cmd(m.id + 1, of_mdev[i][0], of_mdev[i][1], NULL, 0, 4096),
			 ERR(ENXIO, DEVICE_ID));
		CHECK_EQ(cmd(UINT64_MAX, of_mdev[i][0], of_mdev[i][1], NULL, 0, 4096),
			 ERR(ENXIO, DEVICE_ID));
	}
	for (i = 0; i < sizeof(of_mgmt) / sizeof(of_mgmt[0]); i++)
		CHECK_EQ(cmd(m.id, of_mgmt[i][0], of_mgmt[i][1], NULL, 0, 4096),
			 ERR(ENXIO, DEVICE_ID));
	driver_exit(&d);
}

/* For each command: out-data too short, too long, and in-data too short. */
TEST(lengths)
{
	static const struct {
		uint16_t class, command;
		uint32_t out, in;
		bool of_mgmt;
	} t[] = {
		{ MGMT(NOP), 0, 0, true }, { MGMT(LIMITS), 0, 56, true },
		{ MGMT(LIST), 8, 32, true },
		{ MGMT(CREATE), 88, 88, true }, { MGMT(DESTROY), 0, 0, false },
		{ DEVICE(DESCRIBE), 0, 88 + 60 + 2, false }, { DEVICE(NEGOTIATE), 24, 4, false },
		{ DEVICE(SET_STATUS), 4, 4, false }, { DEVICE(GET_STATUS), 0, 4, false },
		{ DEVICE(RESET), 0, 4, false }, { DEVICE(GET_CONFIG), 0, 76, false },
		{ DEVICE(SET_CONFIG), 8, 76, false }, { VQ(SETUP), 8, 0, false },
		{ VQ(RESET), 4, 0, false }, { VQ(NOTIFY), 4, 0, false }, { MSI(SET), 8, 0, false },
		{ MSI(GET), 8, 0, false },
	};
	uint8_t out[128] = { 0 };
	uint64_t id;
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		id = t[i].of_mgmt ? 0 : m.id;
		if (t[i].out)
			CHECK_EQ(cmd(id, t[i].class, t[i].command, out, t[i].out - 1, 512),
				 ERR(EINVAL, LENGTH));
		CHECK_EQ(cmd(id, t[i].class, t[i].command, out, t[i].out + 1, 512),
			 ERR(EINVAL, LENGTH));
		if (t[i].in)
			CHECK_EQ(cmd(id, t[i].class, t[i].command, out, t[i].out, t[i].in - 1),
				 t[i].in > 4 ? ERR(EINVAL, LENGTH) : NO_REASON);
	}
	/* A reply that does not fit is refused before there is a device. */
	{
		struct virtio_tvq_create req = { .type = 2 };
		uint32_t before = vqs_free();

		CHECK_EQ(cmd(0, MGMT(CREATE), &req, sizeof(req), 88 + 60 + 1), ERR(EINVAL, LENGTH));
		CHECK_EQ(vqs_free(), before);
		CHECK_EQ(cmd(0, MGMT(CREATE), &req, sizeof(req), 88 + 60 + 2), 0);
	}
	/* Without room for a reason there is none. */
	CHECK_EQ(cmd(0, 99, 0, NULL, 0, 3), NO_REASON);
	CHECK_EQ(reply.used, 4);
	driver_exit(&d);
}

TEST(chains_that_cannot_be_answered)
{
	struct client *c = &d.c;
	uint64_t gpa;
	uint32_t len;
	struct seg seg[2];

	driver_init(&d, NULL);
	gpa = guest_alloc(c, 4096, 16);
	seg[0] = (struct seg){ gpa, 11, false };
	seg[1] = (struct seg){ gpa + 64, 64, true };
	ring_put(&d.ring, seg, 2);
	driver_kick(&d);
	CHECK(ring_wait(&d.ring, NULL, &len));
	CHECK_EQ(len, 0);
	seg[0].len = 12;
	seg[1].len = 3;
	ring_put(&d.ring, seg, 2);
	driver_kick(&d);
	CHECK(ring_wait(&d.ring, NULL, &len));
	CHECK_EQ(len, 0);
	ring_put(&d.ring, seg, 1);
	driver_kick(&d);
	CHECK(ring_wait(&d.ring, NULL, &len));
	CHECK_EQ(len, 0);
	/* Outside of memory */
	seg[0].gpa = 0x1000;
	seg[1].len = 64;
	ring_put(&d.ring, seg, 2);
	driver_kick(&d);
	CHECK(ring_wait(&d.ring, NULL, &len));
	CHECK_EQ(len, 0);
	seg[0].gpa = gpa;
	seg[1].gpa = UINT64_MAX - 16;
	ring_put(&d.ring, seg, 2);
	driver_kick(&d);
	CHECK(ring_wait(&d.ring, NULL, &len));
	CHECK_EQ(len, 0);
	/* And the queue goes on. */
	CHECK_EQ(cmd(0, MGMT(NOP), NULL, 0, 0), 0);
	CHECK_EQ(reply.used, 4);
	driver_exit(&d);
}

TEST(limits)
{
	struct virtio_tvq_limits *limits = (void *)reply.in;
	struct virtio_tvq_create req = { .type = 2 };
	struct tvq_options opt;

	client_options(&opt);
	opt.devices_max = 3;
	opt.vqs_max = 20;
	opt.vectors_max = 30;
	opt.device_vqs_max = 9;
	opt.device_vectors_max = 12;
	driver_init(&d, &opt);
	CHECK_EQ(cmd(0, MGMT(LIMITS), NULL, 0, 100), 0);
	CHECK_EQ(reply.in_len, 56);
	CHECK_EQ(limits->devices_max, 3);
	CHECK_EQ(limits->devices_used, 0);
	CHECK_EQ(limits->vqs_max, 20);
	CHECK_EQ(limits->vqs_free, 20);
	CHECK_EQ(limits->vectors_free, 30);
	CHECK_EQ(limits->device_vqs_max, 9);
	CHECK_EQ(limits->device_vectors_max, 12);
	CHECK(limits->config_max && limits->config_max <= 4096);
	CHECK(limits->command_out_max >= 4096 && limits->command_in_max >= 4096);
	CHECK_EQ(limits->types[0], 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4);
	CHECK_EQ(limits->types[1], 0);
	/* 9 queues, 10 vectors */
	CHECK_EQ(create_simple(&d, 2, "a", 9, &m), 0);
	CHECK_EQ(create_simple(&d, 2, "b", 10, NULL), ERR(EINVAL, VQS));
	CHECK_EQ(create_simple(&d, 2, "b", 9, NULL), 0);
	CHECK_EQ(create_simple(&d, 2, "c", 3, NULL), ERR(ENOSPC, VQS));
	/* What is left of a limit is looked at with its field. */
	req.vqs = 3;
	req.num_vectors = 13;
	CHECK_EQ(create(&d, &req, NULL), ERR(ENOSPC, VQS));
	req.vqs = 1;
	CHECK_EQ(create(&d, &req, NULL), ERR(EINVAL, VECTORS));
	CHECK_EQ(create_simple(&d, 2, "c", 1, NULL), 0);
	CHECK_EQ(create_simple(&d, 2, "d", 1, NULL), ERR(ENOSPC, DEVICES));
	CHECK_EQ(cmd(0, MGMT(LIMITS), NULL, 0, 56), 0);
	CHECK_EQ(limits->devices_used, 3);
	CHECK_EQ(limits->vqs_free, 1);
	CHECK_EQ(limits->vectors_free, 8);
	CHECK_EQ(cmd(m.id, MGMT(DESTROY), NULL, 0, 0), 0);
	CHECK_EQ(cmd(0, MGMT(LIMITS), NULL, 0, 56), 0);
	CHECK_EQ(limits->devices_used, 2);
	CHECK_EQ(limits->vqs_free, 10);
	CHECK_EQ(limits->vectors_free, 18);
	/* Longer than any command may be */
	CHECK_EQ(command(&d, 0, MGMT(NOP), d.c.mem + GUEST_SIZE / 2, TVQ_COMMAND_MAX, 64, NULL),
		 ERR(EINVAL, LENGTH));
	driver_exit(&d);
}

TEST(vectors_run_short)
{
	struct virtio_tvq_create req = { .type = 2, .vqs = 1 };
	struct tvq_options opt;

	client_options(&opt);
	opt.vqs_max = 12;
	opt.vectors_max = 5;
	opt.device_vectors_max = 3;
	driver_init(&d, &opt);
	req.num_vectors = 4;
	CHECK_EQ(create(&d, &req, NULL), ERR(EINVAL, VECTORS));
	req.num_vectors = 3;
	CHECK_EQ(create(&d, &req, &m), 0);
	CHECK_EQ(m.info.num_vectors, 3);
	CHECK_EQ(create(&d, &req, NULL), ERR(ENOSPC, VECTORS));
	/* The device's choice is what there is. */
	req.num_vectors = 0;
	req.vqs = 4;
	CHECK_EQ(create(&d, &req, &m), 0);
	CHECK_EQ(m.info.num_vectors, 2);
	CHECK_EQ(create(&d, &req, NULL), ERR(ENOSPC, VECTORS));
	/* With neither queues nor vectors left, it is the queues. */
	req.vqs = 8;
	CHECK_EQ(create(&d, &req, NULL), ERR(ENOSPC, VQS));
	driver_exit(&d);
}

TEST(list)
{
	struct virtio_tvq_list *list = (void *)reply.in;
	struct virtio_tvq_list_entry *entry = (void *)(list + 1);
	struct virtio_tvq_list_req req = { 0 };
	uint64_t generation, ids[10], seen = 0;
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(cmd(0, MGMT(LIST), &req, sizeof(req), 32), 0);
	CHECK_EQ(list->total, 0);
	CHECK_EQ(list->count, 0);
	CHECK_EQ(reply.in_len, 16);
	generation = list->generation;
	for (i = 0; i < 10; i++) {
		CHECK_EQ(create_simple(&d, i % 2 ? 4 : 1, "", 0, &m), 0);
		ids[i] = m.id;
		CHECK(m.id > (i ? ids[i - 1] : 0));
	}
	/* In pages of three */
	while (seen < 10) {
		CHECK_EQ(cmd(0, MGMT(LIST), &req, sizeof(req), 16 + 3 * 16 + 15), 0);
		CHECK_EQ(list->total, 10);
		CHECK(list->generation != generation);
		CHECK_EQ(reply.in_len, 16 + 16 * list->count);
		CHECK(list->count == 3 || seen + list->count == 10);
		if (!list->count)
			break;
		for (i = 0; i < list->count; i++, seen++) {
			CHECK_EQ(entry[i].device_id, ids[seen]);
			CHECK_EQ(entry[i].type, seen % 2 ? 4 : 1);
		}
		req.after = entry[i - 1].device_id;
	}
	CHECK_EQ(cmd(0, MGMT(LIST), &req, sizeof(req), 32), 0);
	CHECK_EQ(list->count, 0);
	/* One that comes and goes is not in anybody's way; ids are not used again. */
	generation = list->generation;
	CHECK_EQ(cmd(ids[9], MGMT(DESTROY), NULL, 0, 0), 0);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(m.id > ids[9]);
	CHECK_EQ(cmd(0, MGMT(LIST), &req, sizeof(req), 32), 0);
	CHECK(list->generation != generation);
	driver_exit(&d);
}

static void refused(int line, struct virtio_tvq_create *create_req, int err)
{
	int ret = create(&d, create_req, NULL);

	if (ret != err)
		test_failed(__FILE__, line, "CREATE gives %#x, not %#x", ret, err);
}

TEST(create_checks_its_fields)
{
	struct {
		struct virtio_tvq_create r;
		struct virtio_tvq_config_init init[3];
	} q;
	const uint64_t base = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	uint32_t before;
	unsigned int i;

#define FRESH(t)	(memset(&q, 0, sizeof(q)), q.r.type = (t))
#define REFUSED(err)	refused(__LINE__, &q.r, err)
	driver_init(&d, NULL);
	before = vqs_free();
	FRESH(0);
	REFUSED(ERR(ENXIO, TYPE));
	FRESH(5);
	REFUSED(ERR(ENXIO, TYPE));
	FRESH(0xffffffff);
	REFUSED(ERR(ENXIO, TYPE));
	for (i = 1; i < 32; i++) {
		FRESH(2);
		q.r.flags = 1u << i;
		REFUSED(ERR(EINVAL, RESERVED));
	}
	FRESH(2);
	q.r.reserved = 1;
	REFUSED(ERR(EINVAL, RESERVED));
	FRESH(2);
	q.r.reserved2 = 1;
	REFUSED(ERR(EINVAL, RESERVED));
	FRESH(2);
	q.r.vqs = 66;
	REFUSED(ERR(EINVAL, VQS));
	FRESH(1);
	q.r.vqs = 33;
	REFUSED(ERR(EINVAL, VQS));
	FRESH(4);
	q.r.vqs = 2;
	REFUSED(ERR(EINVAL, VQS));
	FRESH(2);
	q.r.num_vectors = 130;
	REFUSED(ERR(EINVAL, VECTORS));
	/* Features: none, too few, too many, one without what it requires */
	FRESH(2);
	q.r.flags = 1;
	REFUSED(ERR(EINVAL, FEATURES));
	FRESH(2);
	q.r.flags = 1;
	q.r.features[0] = BIT64(F_VERSION_1);
	REFUSED(ERR(EINVAL, FEATURES));
	FRESH(2);
	q.r.flags = 1;
	q.r.features[0] = base | BIT64(23);
	REFUSED(ERR(EINVAL, FEATURES));
	FRESH(2);
	q.r.flags = 1;
	q.r.features[0] = base;
	q.r.features[1] = 1;
	REFUSED(ERR(EINVAL, FEATURES));
	FRESH(1);
	q.r.flags = 1;
	q.r.features[0] = base | BIT64(VIRTIO_NET_F_MQ);
	REFUSED(ERR(EINVAL, FEATURES));
	/* Names */
	FRESH(2);
	strcpy((char *)q.r.name, ".a");
	REFUSED(ERR(EINVAL, NAME));
	FRESH(2);
	strcpy((char *)q.r.name, "a/b");
	REFUSED(ERR(EINVAL, NAME));
	FRESH(2);
	strcpy((char *)q.r.name, "a b");
	REFUSED(ERR(EINVAL, NAME));
	FRESH(2);
	strcpy((char *)q.r.name, "\xe4");
	REFUSED(ERR(EINVAL, NAME));
	FRESH(2);
	memset(q.r.name, 'a', 32);
	REFUSED(ERR(EINVAL, NAME));
	FRESH(2);
	q.r.name[0] = 'a';
	q.r.name[5] = 'b';
	REFUSED(ERR(EINVAL, NAME));
	FRESH(2);
	q.r.name[1] = 'a';
	REFUSED(ERR(EINVAL, NAME));
	/* Serials */
	FRESH(1);
	q.r.serial[0] = 'a';
	REFUSED(ERR(EINVAL, SERIAL));
	FRESH(2);
	q.r.serial[0] = '\n';
	REFUSED(ERR(EINVAL, SERIAL));
	FRESH(2);
	q.r.serial[0] = 0x80;
	REFUSED(ERR(EINVAL, SERIAL));
	FRESH(2);
	q.r.serial[3] = 'a';
	REFUSED(ERR(EINVAL, SERIAL));
	/* Configuration: length, offset, value, twice, more than fits, padding */
	FRESH(2);
	q.r.num_config = 1;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(2);
	q.r.num_config = 1;
	q.init[0].length = 9;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(2);
	q.r.num_config = 1;
	q.init[0].length = 8;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(2);
	q.r.num_config = 1;
	q.init[0].length = 4;
	q.init[0].data[0] = 1;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(2);
	q.r.num_config = 1;
	q.init[0].length = 8;
	q.init[0].data[7] = 1;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(2);
	q.r.num_config = 1;
	q.init[0].offset = 20;
	q.init[0].length = 4;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(2);
	q.r.num_config = 1;
	q.init[0].offset = 0xffff;
	q.init[0].length = 8;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(2);
	q.r.num_config = 1;
	q.init[0].length = 8;
	q.init[0].reserved = 1;
	REFUSED(ERR(EINVAL, RESERVED));
	FRESH(2);
	q.r.num_config = 2;
	for (i = 0; i < 2; i++) {
		q.init[i].length = 8;
		q.init[i].data[0] = 1;
	}
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(1);
	q.r.num_config = 1;
	q.init[0].length = 6;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(1);
	q.r.num_config = 1;
	q.init[0].length = 6;
	q.init[0].data[0] = 1;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(1);
	q.r.num_config = 1;
	q.init[0].length = 6;
	q.init[0].data[0] = 2;
	q.init[0].data[6] = 1;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(1);
	q.r.num_config = 1;
	q.init[0].offset = 10;
	q.init[0].length = 2;
	q.init[0].data[0] = 67;
	REFUSED(ERR(EINVAL, CONFIG));
	FRESH(4);
	q.r.num_config = 1;
	q.init[0].length = 1;
	REFUSED(ERR(EINVAL, CONFIG));
	/* A length that the count does not make */
	FRESH(2);
	q.r.num_config = 2;
	CHECK_EQ(cmd(0, MGMT(CREATE), &q, sizeof(q.r) + 16, 512), ERR(EINVAL, LENGTH));
	/* The order: what comes first in the structure is refused first. */
	FRESH(2);
	q.r.vqs = 66;
	q.r.num_vectors = 999;
	q.r.flags = 1;
	q.r.name[0] = '.';
	REFUSED(ERR(EINVAL, VQS));
	q.r.vqs = 0;
	REFUSED(ERR(EINVAL, VECTORS));
	q.r.num_vectors = 0;
	REFUSED(ERR(EINVAL, FEATURES));
	q.r.flags = 0;
	REFUSED(ERR(EINVAL, NAME));
	/* After all that nothing has changed. */
	CHECK_EQ(vqs_free(), before);
	/* A name is there once, and again when it is free. */
	CHECK_EQ(create_simple(&d, 2, "disk", 0, &m), 0);
	CHECK_EQ(create_simple(&d, 1, "disk", 0, NULL), ERR(EEXIST, NAME));
	CHECK_EQ(cmd(m.id, MGMT(DESTROY), NULL, 0, 0), 0);
	CHECK_EQ(create_simple(&d, 1, "disk", 0, NULL), 0);
	driver_exit(&d);
}

TEST(create_provisions)
{
	const uint64_t base = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	struct {
		struct virtio_tvq_create r;
		struct virtio_tvq_config_init init[2];
	} q = {
		.r = { .type = 1, .flags = 1, .vqs = 3, .num_vectors = 4, .num_config = 2,
		       .name = "net-0.x" },
		.init = { { .offset = 10, .length = 2, .data = { 0x28, 0x23 } },
			  { .length = 6, .data = { 2, 1, 2, 3, 4, 5 } } },
	};
	struct virtio_net_config config;

	driver_init(&d, NULL);
	q.r.features[0] = base | BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_MTU) |
			  BIT64(VIRTIO_NET_F_MQ) | BIT64(VIRTIO_NET_F_CTRL_VQ);
	CHECK_EQ(create(&d, &q.r, &m), 0);
	CHECK_EQ(m.info.type, 1);
	CHECK_EQ(m.info.vendor, TVQ_VENDOR);
	CHECK_EQ(m.info.features[0], q.r.features[0]);
	CHECK_EQ(m.info.features[1], 0);
	CHECK(!strcmp((char *)m.info.name, "net-0.x"));
	CHECK_EQ(m.info.num_vqs, 7);
	CHECK_EQ(m.info.num_vectors, 4);
	CHECK_EQ(m.info.status, 0);
	CHECK_EQ(m.info.flags, VIRTIO_TVQ_DEVICE_F_DOORBELL);
	CHECK_EQ(m.info.doorbell_offset % 4096, 0);
	CHECK(m.info.doorbell_offset < 256 * 4096);
	CHECK_EQ(m.info.config_len, 24);
	CHECK_EQ(m.sizes[6], 256);
	memcpy(&config, m.config, 12);
	CHECK(!memcmp(config.mac, "\2\1\2\3\4\5", 6));
	CHECK_EQ(config.mtu, 9000);
	CHECK_EQ(config.max_virtqueue_pairs, 3);
	CHECK_EQ(config.status, 1);
	/* Defaults: two devices have two addresses, and two doorbells. */
	CHECK_EQ(create_simple(&d, 1, "", 0, &m), 0);
	memcpy(&config, m.config, 12);
	CHECK_EQ(m.info.num_vqs, 3);
	CHECK_EQ(m.info.num_vectors, 4);
	CHECK((config.mac[0] & 3) == 2);
	CHECK(!(m.info.features[0] & BIT64(VIRTIO_NET_F_MQ)));
	CHECK(!(m.info.features[0] & BIT64(VIRTIO_NET_F_MTU)));
	{
		struct managed other;

		CHECK_EQ(create_simple(&d, 1, "", 2, &other), 0);
		CHECK(memcmp(other.config, m.config, 6));
		CHECK(other.doorbell != m.doorbell);
		CHECK(other.info.features[0] & BIT64(VIRTIO_NET_F_MQ));
	}
	CHECK_EQ(create_simple(&d, 2, "", 4, &m), 0);
	CHECK_EQ(m.info.num_vqs, 4);
	CHECK_EQ(m.info.num_vectors, 5);
	CHECK_EQ(m.info.config_len, 60);
	CHECK_EQ(*(uint64_t *)m.config, (64 << 20) / 512);
	driver_exit(&d);
}

TEST(destroy)
{
	uint64_t id;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	id = m.id;
	CHECK_EQ(cmd(id, MGMT(DESTROY), NULL, 0, 0), 0);
	CHECK_EQ(reply.used, 4);
	CHECK_EQ(cmd(id, MGMT(DESTROY), NULL, 0, 0), ERR(ENXIO, DEVICE_ID));
	CHECK_EQ(cmd(id, DEVICE(DESCRIBE), NULL, 0, 512), ERR(ENXIO, DEVICE_ID));
	doorbell(&m, 0);
	/* Commands posted behind DESTROY, in one go */
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	post(&d, m.id, DEVICE(GET_STATUS), NULL, 0, 4);
	post(&d, m.id, MGMT(DESTROY), NULL, 0, 0);
	post(&d, m.id, DEVICE(GET_STATUS), NULL, 0, 4);
	driver_kick(&d);
	collect(&d, &reply);
	CHECK_EQ(reply.ack, 0);
	collect(&d, &reply);
	CHECK_EQ(reply.ack, 0);
	collect(&d, &reply);
	CHECK_EQ(reply.ack, 1);
	CHECK_EQ(reply.status << 16 | reply.qualifier, ERR(ENXIO, DEVICE_ID));
	driver_exit(&d);
}

TEST(negotiate_and_status)
{
	struct virtio_tvq_negotiate req = { .status = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK };
	struct virtio_tvq_status status = { 0 };
	uint64_t all;
	unsigned int i;

#define NEGOTIATE()	cmd(m.id, DEVICE(NEGOTIATE), &req, sizeof(req), 4)
#define SET(s)		(status.status = (s), cmd(m.id, DEVICE(SET_STATUS), &status, 4, 4))
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 1, "", 2, &m), 0);
	all = m.info.features[0];
	for (i = 0; i < 7; i++) {
		req.reserved[i] = 1;
		CHECK_EQ(NEGOTIATE(), ERR(EINVAL, RESERVED));
		req.reserved[i] = 0;
	}
	/* Status values that there may not be */
	req.features[0] = all;
	req.status = S_ACKNOWLEDGE | S_DRIVER;
	CHECK_EQ(NEGOTIATE(), ERR(EINVAL, STATE));
	req.status = 0x0f;
	CHECK_EQ(NEGOTIATE(), ERR(EINVAL, STATE));
	req.status = 0x4b;
	CHECK_EQ(NEGOTIATE(), ERR(EINVAL, STATE));
	/* Features that are not accepted: no error, FEATURES_OK is not set. */
	req.status = 0x0b;
	req.features[0] = all & ~BIT64(F_VERSION_1);
	CHECK_EQ(NEGOTIATE(), 0);
	CHECK_EQ(reply.in[0], S_ACKNOWLEDGE | S_DRIVER);
	req.features[0] = all & ~BIT64(F_ACCESS_PLATFORM);
	CHECK_EQ(NEGOTIATE(), 0);
	CHECK_EQ(reply.in[0], S_ACKNOWLEDGE | S_DRIVER);
	req.features[0] = all | BIT64(VIRTIO_NET_F_MTU);
	CHECK_EQ(NEGOTIATE(), 0);
	CHECK_EQ(reply.in[0], S_ACKNOWLEDGE | S_DRIVER);
	req.features[0] = all & ~BIT64(VIRTIO_NET_F_CTRL_VQ);
	CHECK_EQ(NEGOTIATE(), 0);
	CHECK_EQ(reply.in[0], S_ACKNOWLEDGE | S_DRIVER);
	req.features[0] = all;
	req.features[1] = 1;
	CHECK_EQ(NEGOTIATE(), 0);
	CHECK_EQ(reply.in[0], S_ACKNOWLEDGE | S_DRIVER);
	req.features[1] = 0;
	/* DRIVER_OK before FEATURES_OK, FEATURES_OK by SET_STATUS */
	CHECK_EQ(SET(7), ERR(EINVAL, STATE));
	CHECK_EQ(SET(0x0b), ERR(EINVAL, STATE));
	CHECK_EQ(NEGOTIATE(), 0);
	CHECK_EQ(reply.in[0], 0x0b);
	CHECK_EQ(reply.in_len, 4);
	CHECK_EQ(NEGOTIATE(), ERR(EBUSY, STATE));
	CHECK_EQ(SET(0), ERR(EINVAL, STATE));
	CHECK_EQ(SET(3), ERR(EINVAL, STATE));
	CHECK_EQ(SET(0x4b), ERR(EINVAL, STATE));
	status.reserved[1] = 1;
	CHECK_EQ(SET(0x0f), ERR(EINVAL, RESERVED));
	status.reserved[1] = 0;
	CHECK_EQ(SET(0x0f), 0);
	CHECK_EQ(reply.in[0], 0x0f);
	CHECK_EQ(SET(0x0f), 0);
	CHECK_EQ(SET(0x8f), 0);
	CHECK_EQ(cmd(m.id, DEVICE(GET_STATUS), NULL, 0, 4), 0);
	CHECK_EQ(reply.in[0], 0x8f);
	CHECK_EQ(cmd(m.id, DEVICE(DESCRIBE), NULL, 0, 512), 0);
	CHECK_EQ(((struct virtio_tvq_device_info *)reply.in)->status, 0x8f);
	CHECK_EQ(cmd(m.id, DEVICE(RESET), NULL, 0, 4), 0);
	CHECK_EQ(reply.in[0], 0);
	CHECK_EQ(cmd(m.id, DEVICE(GET_STATUS), NULL, 0, 4), 0);
	CHECK_EQ(reply.in[0], 0);
	CHECK_EQ(NEGOTIATE(), 0);
	driver_exit(&d);
}

TEST(configuration)
{
	struct {
		struct virtio_tvq_config_write hdr;
		uint8_t data[61];
	} w = { 0 };
	struct virtio_tvq_config *config = (void *)reply.in;
	uint32_t generation;

#define WRITE(at, len)	(w.hdr.offset = (at), w.hdr.length = (len), \
			 cmd(m.id, DEVICE(SET_CONFIG), &w, 8 + (len), 76))
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK_EQ(cmd(m.id, DEVICE(GET_CONFIG), NULL, 0, 76), 0);
	CHECK_EQ(reply.in_len, 76);
	CHECK_EQ(config->length, 60);
	CHECK_EQ(config->status, 0);
	CHECK(!memcmp(reply.in + 16, m.config, 60));
	CHECK_EQ(config->generation, m.info.config_generation);
	CHECK_EQ(WRITE(32, 1), ERR(EINVAL, STATE));
	CHECK_EQ(negotiate(&m, m.info.features[0], NULL), 0);
	CHECK_EQ(WRITE(0, 0), ERR(EINVAL, CONFIG));
	CHECK_EQ(WRITE(60, 1), ERR(EINVAL, CONFIG));
	CHECK_EQ(WRITE(0, 61), ERR(EINVAL, CONFIG));
	CHECK_EQ(WRITE(0xffffffff, 2), ERR(EINVAL, CONFIG));
	w.hdr.offset = 32;
	w.hdr.length = 0xfffffff8;
	CHECK_EQ(cmd(m.id, DEVICE(SET_CONFIG), &w, 8, 76), ERR(EINVAL, LENGTH));
	/* The write cache, and what is read-only */
	CHECK_EQ(cmd(m.id, DEVICE(GET_CONFIG), NULL, 0, 76), 0);
	generation = config->generation;
	CHECK_EQ(reply.in[16 + 32], 1);
	CHECK_EQ(WRITE(0, 60), 0);
	CHECK_EQ(config->status, 0x0b);
	CHECK(config->generation != generation);
	generation = config->generation;
	CHECK_EQ(reply.in[16 + 32], 0);
	CHECK(!memcmp(reply.in + 16, m.config, 32));
	CHECK(!memcmp(reply.in + 16 + 33, m.config + 33, 27));
	CHECK_EQ(WRITE(32, 1), 0);
	CHECK_EQ(config->generation, generation);
	CHECK_EQ(WRITE(33, 1), 0);
	CHECK_EQ(config->generation, generation);
	/* A reset takes it back. */
	CHECK_EQ(cmd(m.id, DEVICE(RESET), NULL, 0, 4), 0);
	CHECK_EQ(cmd(m.id, DEVICE(GET_CONFIG), NULL, 0, 76), 0);
	CHECK(!memcmp(reply.in + 16, m.config, 60));
	CHECK(config->generation != generation);
	driver_exit(&d);
}

static uint8_t buf[70000];
static struct virtio_tvq_setup *const req = (void *)buf;
static struct virtio_tvq_vq *const vqs = (void *)(buf + 8);
static struct virtio_tvq_msi_entry *msi;

static void fresh_setup(unsigned int num_vqs, unsigned int num_msi)
{
	unsigned int i;

	memset(buf, 0, sizeof(buf));
	req->num_vqs = num_vqs;
	req->num_msi = num_msi;
	for (i = 0; i < num_vqs; i++)
		vqs[i] = (struct virtio_tvq_vq){ .index = i, .size = 16, .vector = i,
			.desc = GUEST_BASE, .driver = GUEST_BASE + 4096,
			.device = GUEST_BASE + 8192 };
	msi = (void *)&vqs[num_vqs];
}

static int send_setup(void)
{
	return cmd(m.id, VQ(SETUP), buf, 8 + 32 * req->num_vqs + 16 * req->num_msi, 0);
}

TEST(setup_of_queues)
{
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 4, &m), 0);	/* 5 vectors */
	guest_alloc(&d.c, 3 * 4096, 4096);
	fresh_setup(1, 0);
	CHECK_EQ(send_setup(), ERR(EINVAL, STATE));
	CHECK_EQ(negotiate(&m, m.info.features[0], NULL), 0);

	fresh_setup(2, 2);
	CHECK_EQ(cmd(m.id, VQ(SETUP), buf, 8 + 2 * 32 + 16, 0), ERR(EINVAL, LENGTH));
	CHECK_EQ(cmd(m.id, VQ(SETUP), buf, 8 + 2 * 32 + 3 * 16, 0), ERR(EINVAL, LENGTH));
	fresh_setup(1, 0);
	req->reserved = 1;
	CHECK_EQ(send_setup(), ERR(EINVAL, RESERVED));
	fresh_setup(2, 0);
	vqs[1].reserved = 1;
	CHECK_EQ(send_setup(), ERR(EINVAL, RESERVED));
	fresh_setup(2, 2);
	msi[1].reserved[2] = 1;
	CHECK_EQ(send_setup(), ERR(EINVAL, RESERVED));
	fresh_setup(2, 2);
	msi[0].flags = 4;
	CHECK_EQ(send_setup(), ERR(EINVAL, RESERVED));
	fresh_setup(0, 6);
	CHECK_EQ(send_setup(), ERR(EINVAL, VECTORS));
	fresh_setup(1, 0);
	req->config_vector = 5;
	CHECK_EQ(send_setup(), ERR(EINVAL, VECTORS));
	fresh_setup(2, 0);
	vqs[1].vector = 5;
	CHECK_EQ(send_setup(), ERR(EINVAL, VECTORS));
	fresh_setup(2, 0);
	vqs[1].index = 4;
	CHECK_EQ(send_setup(), ERR(ENXIO, QUEUE));
	fresh_setup(2, 0);
	vqs[1].index = 0;
	CHECK_EQ(send_setup(), ERR(EINVAL, QUEUE));
	fresh_setup(2, 0);
	vqs[1].size = 0;
	CHECK_EQ(send_setup(), ERR(EINVAL, QUEUE));
	fresh_setup(2, 0);
	vqs[1].size = 24;
	CHECK_EQ(send_setup(), ERR(EINVAL, QUEUE));
	fresh_setup(2, 0);
	vqs[1].size = 512;
	CHECK_EQ(send_setup(), ERR(EINVAL, QUEUE));
	fresh_setup(2, 0);
	vqs[1].desc = 8;
	CHECK_EQ(send_setup(), ERR(EINVAL, ADDRESS));
	fresh_setup(2, 0);
	vqs[1].driver = 1;
	CHECK_EQ(send_setup(), ERR(EINVAL, ADDRESS));
	fresh_setup(2, 0);
	vqs[1].device = 2;
	CHECK_EQ(send_setup(), ERR(EINVAL, ADDRESS));
	fresh_setup(2, 0);
	vqs[1].desc = UINT64_MAX - 15;
	CHECK_EQ(send_setup(), ERR(EINVAL, ADDRESS));
	/* The end of every address that fits */
	fresh_setup(1, 0);
	vqs[0].index = 3;
	vqs[0].size = 1;
	vqs[0].desc = UINT64_MAX - 31;
	CHECK_EQ(send_setup(), 0);
	/* After all that no queue is enabled but this. */
	fresh_setup(3, 5);
	vqs[2].vector = VIRTIO_TVQ_NO_VECTOR;
	req->config_vector = VIRTIO_TVQ_NO_VECTOR;
	CHECK_EQ(send_setup(), 0);
	CHECK_EQ(reply.used, 4);
	fresh_setup(1, 0);
	CHECK_EQ(send_setup(), ERR(EBUSY, QUEUE));
	/* All or nothing: the first of two is not enabled for the second. */
	CHECK_EQ(cmd(m.id, DEVICE(RESET), NULL, 0, 4), 0);
	CHECK_EQ(negotiate(&m, m.info.features[0], NULL), 0);
	fresh_setup(1, 0);
	vqs[0].index = 1;
	CHECK_EQ(send_setup(), 0);
	fresh_setup(2, 0);
	CHECK_EQ(send_setup(), ERR(EBUSY, QUEUE));
	fresh_setup(1, 0);
	CHECK_EQ(send_setup(), 0);
	/* Nothing at all but the vector */
	fresh_setup(0, 0);
	req->config_vector = 4;
	CHECK_EQ(send_setup(), 0);
	driver_exit(&d);
}

TEST(reset_of_a_queue)
{
	struct virtio_tvq_vq_reset r = { 0 };

#define VQ_RESET(i)	(r.index = (i), cmd(m.id, VQ(RESET), &r, 4, 0))
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 2, &m), 0);
	r.reserved = 1;
	CHECK_EQ(VQ_RESET(0), ERR(EINVAL, RESERVED));
	r.reserved = 0;
	CHECK_EQ(VQ_RESET(0), ERR(EINVAL, STATE));
	CHECK_EQ(VQ_RESET(2), ERR(ENXIO, QUEUE));
	CHECK(bring_up(&m, 1, 16, 0));
	CHECK_EQ(VQ_RESET(1), ERR(ENXIO, QUEUE));
	CHECK_EQ(VQ_RESET(2), ERR(ENXIO, QUEUE));
	CHECK_EQ(VQ_RESET(0xffff), ERR(ENXIO, QUEUE));
	CHECK_EQ(VQ_RESET(0), 0);
	CHECK_EQ(VQ_RESET(0), ERR(ENXIO, QUEUE));
	CHECK_EQ(setup(&m, 1, 8), 0);
	CHECK_EQ(cmd(m.id, DEVICE(RESET), NULL, 0, 4), 0);
	CHECK(bring_up(&m, 1, 16, BIT64(F_RING_RESET)));
	CHECK_EQ(VQ_RESET(0), ERR(EINVAL, STATE));
	driver_exit(&d);
}

TEST(notify)
{
	struct virtio_tvq_notify n = { 0 };
	struct seg seg;
	uint32_t len;

#define NOTIFY(v)	(n.data = (v), cmd(m.id, VQ(NOTIFY), &n, 4, 0))
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK_EQ(NOTIFY(0), 0);
	CHECK_EQ(NOTIFY(1), ERR(ENXIO, QUEUE));
	CHECK_EQ(NOTIFY(0x10000), ERR(EINVAL, RESERVED));
	CHECK(bring_up(&m, 1, 16, 0));
	seg = (struct seg){ guest_alloc(&d.c, 64, 16), 64, true };
	ring_put(&m.ring[0], &seg, 1);
	CHECK_EQ(NOTIFY(0), 0);
	CHECK(ring_wait(&m.ring[0], NULL, &len));
	CHECK_EQ(len, 64);
	driver_exit(&d);
}

TEST(interrupt_entries)
{
	struct {
		struct virtio_tvq_msi_range r;
		struct virtio_tvq_msi_entry e[6];
	} s = { 0 };
	struct virtio_tvq_msi_entry *e = (void *)reply.in;

#define MSI_SET(f, n)	(s.r.first = (f), s.r.count = (n), \
			 cmd(m.id, MSI(SET), &s, 8 + 16 * (n), 0))
#define MSI_GET(f, n)	(s.r.first = (f), s.r.count = (n), \
			 cmd(m.id, MSI(GET), &s, 8, 16 * (n)))
	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 4, &m), 0);	/* 5 vectors */
	CHECK_EQ(MSI_SET(0, 0), ERR(EINVAL, VECTORS));
	CHECK_EQ(MSI_SET(0, 6), ERR(EINVAL, VECTORS));
	CHECK_EQ(MSI_SET(5, 1), ERR(EINVAL, VECTORS));
	CHECK_EQ(MSI_SET(0xffff, 1), ERR(EINVAL, VECTORS));
	CHECK_EQ(MSI_GET(0, 0), ERR(EINVAL, VECTORS));
	CHECK_EQ(MSI_GET(4, 2), ERR(EINVAL, VECTORS));
	s.r.reserved = 1;
	CHECK_EQ(MSI_SET(0, 1), ERR(EINVAL, RESERVED));
	CHECK_EQ(MSI_GET(0, 1), ERR(EINVAL, RESERVED));
	s.r.reserved = 0;
	s.e[0].flags = 4;
	CHECK_EQ(MSI_SET(0, 1), ERR(EINVAL, RESERVED));
	s.e[0].flags = 0;
	s.r.first = 0;
	s.r.count = 3;
	CHECK_EQ(cmd(m.id, MSI(SET), &s, 8 + 32, 0), ERR(EINVAL, LENGTH));
	CHECK_EQ(cmd(m.id, MSI(GET), &s, 8, 47), ERR(EINVAL, LENGTH));
	/* Inactive ones, and what was set; PENDING is the device's. */
	CHECK_EQ(MSI_GET(0, 5), 0);
	CHECK_EQ(reply.in_len, 80);
	CHECK_EQ(e[4].flags, VIRTIO_TVQ_MSI_F_MASK);
	CHECK_EQ(e[4].address | e[4].data, 0);
	s.e[0] = (struct virtio_tvq_msi_entry){ .address = 0x1122334455667788, .data = 0x99aabbcc,
		.flags = VIRTIO_TVQ_MSI_F_MASK | VIRTIO_TVQ_MSI_F_PENDING };
	CHECK_EQ(MSI_SET(3, 1), 0);
	CHECK_EQ(MSI_GET(2, 2), 0);
	CHECK_EQ(e[0].flags, VIRTIO_TVQ_MSI_F_MASK);
	CHECK_EQ(e[1].address, 0x1122334455667788);
	CHECK_EQ(e[1].data, 0x99aabbcc);
	CHECK_EQ(e[1].flags, VIRTIO_TVQ_MSI_F_MASK);
	CHECK_EQ(cmd(m.id, DEVICE(RESET), NULL, 0, 4), 0);
	CHECK_EQ(MSI_GET(3, 1), 0);
	CHECK_EQ(e[0].address | e[0].data, 0);
	driver_exit(&d);
}

/* Many commands at once: those of one device in order, and all are answered. */
TEST(commands_are_pipelined)
{
	struct virtio_tvq_negotiate n = { .status = 0x0b };
	struct virtio_tvq_setup s = { .config_vector = 0xffff };
	struct virtio_tvq_status st = { .status = 0x0f };
	struct managed dev[8];
	unsigned int i, round, errors = 0;

	driver_init(&d, NULL);
	for (i = 0; i < 8; i++)
		CHECK_EQ(create_simple(&d, 1 + i % 2, "", 0, &dev[i]), 0);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 8; i++) {
			n.features[0] = dev[i].info.features[0];
			post(&d, dev[i].id, DEVICE(NEGOTIATE), &n, sizeof(n), 4);
			post(&d, dev[i].id, VQ(SETUP), &s, sizeof(s), 0);
			post(&d, dev[i].id, DEVICE(SET_STATUS), &st, sizeof(st), 4);
			post(&d, dev[i].id, DEVICE(RESET), NULL, 0, 4);
			if (i % 3 == 2 || i == 7) {
				driver_kick(&d);
				while (d.ring.used != d.ring.avail) {
					collect(&d, &reply);
					errors += !reply.came || reply.ack;
					if (!reply.came)
						break;
				}
			}
		}
	}
	CHECK_EQ(errors, 0);
	driver_exit(&d);
}

static void sleep_in_worker(struct job *job)
{
	usleep(3000000);
	free(job);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_in_worker(struct job *job)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	free(job);
}

static unsigned int taken(struct cmdq *q)
{
	unsigned int n;

	pthread_mutex_lock(&q->lock);
	n = q->taken;
	pthread_mutex_unlock(&q->lock);
	return n;
}

/* A driver that makes one buffer available again and again costs no more than a ring of them. */
TEST(more_commands_than_the_ring_holds)
{
	struct cmdq *q = &d.c.tvq.transport.q;
	struct job *job = calloc(1, sizeof(*job));
	unsigned int size, i;
	uint16_t head;

	driver_init(&d, NULL);
	size = d.ring.size;
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	job->run = wait_in_worker;
	pthread_mutex_lock(&gate);
	pthread_mutex_lock(&d.c.tvq.lock);
	mailbox_post(&managed_find(&d.c.tvq, m.id)->mbox, job);
	pthread_mutex_unlock(&d.c.tvq.lock);
	head = post(&d, m.id, DEVICE(GET_STATUS), NULL, 0, 4);
	for (i = 1; i < size; i++)
		ring_avail(&d.ring, head);
	driver_kick(&d);
	SOON(&d.c, taken(q) == size);
	for (i = 0; i < size / 2; i++)
		ring_avail(&d.ring, head);
	driver_kick(&d);
	settle(&d.c, 0.05);
	CHECK_EQ(taken(q), size);
	/* What waited is taken when there is room, without another notification. */
	pthread_mutex_unlock(&gate);
	SOON(&d.c, ring_used_idx(&d.ring) == d.ring.avail);
	CHECK_EQ(taken(q), 0);
	d.ring.used = d.ring.avail;
	CHECK_EQ(cmd(0, MGMT(NOP), NULL, 0, 4), 0);
	driver_exit(&d);
}

/* A backend that takes long: the other devices, and the function, do not notice. */
TEST(a_slow_device_delays_nobody_else)
{
	struct virtio_tvq_list_req all = { 0 };
	struct job *job = calloc(1, sizeof(*job));
	struct managed slow, other;
	double start;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "slow", 0, &slow), 0);
	CHECK(bring_up(&slow, 1, 16, 0));
	CHECK_EQ(create_simple(&d, 2, "other", 0, &other), 0);
	job->run = sleep_in_worker;
	pthread_mutex_lock(&d.c.tvq.lock);
	mailbox_post(&managed_find(&d.c.tvq, slow.id)->mbox, job);
	pthread_mutex_unlock(&d.c.tvq.lock);
	start = test_now();
	post(&d, slow.id, DEVICE(GET_STATUS), NULL, 0, 4);
	CHECK_EQ(cmd(0, MGMT(NOP), NULL, 0, 4), 0);
	CHECK_EQ(cmd(0, MGMT(LIST), &all, sizeof(all), 64), 0);
	CHECK(bring_up(&other, 1, 16, 0));
	CHECK_EQ(create_simple(&d, 1, "third", 0, &m), 0);
	CHECK_EQ(cmd(m.id, MGMT(DESTROY), NULL, 0, 4), 0);
	doorbell(&slow, 0);
	CHECK(test_now() - start < DEADLINE);
	settle(&d.c, start + 2.5 - test_now());
	CHECK(ring_used_idx(&d.ring) == d.ring.used);
	collect(&d, &reply);
	CHECK_EQ(reply.ack, 0);
	CHECK_EQ(reply.in[0], 0x0f);
	/* Nor does a reset of the function wait for it. */
	job = calloc(1, sizeof(*job));
	job->run = sleep_in_worker;
	pthread_mutex_lock(&d.c.tvq.lock);
	mailbox_post(&managed_find(&d.c.tvq, slow.id)->mbox, job);
	pthread_mutex_unlock(&d.c.tvq.lock);
	usleep(10000);
	start = test_now();
	driver_reset(&d);
	driver_setup(&d);
	CHECK_EQ(cmd(0, MGMT(NOP), NULL, 0, 4), 0);
	CHECK(bring_up(&other, 1, 16, 0));
	CHECK(test_now() - start < DEADLINE);
	settle(&d.c, start + 3 - test_now());
	CHECK_EQ(cmd(slow.id, DEVICE(GET_STATUS), NULL, 0, 4), 0);
	CHECK_EQ(reply.in[0], 0);
	driver_exit(&d);
}

/* Out-data and in-data of any shape, for every command: an answer each time. */
TEST(random_commands)
{
	unsigned int seed = test_seed(7), i, n, k;
	uint8_t out[200];
	uint64_t ids[4];

	driver_init(&d, NULL);
	for (i = 0; i < 4; i++) {
		CHECK_EQ(create_simple(&d, i == 3 ? 4 : 1 + i % 2, "", 1, &m), 0);
		ids[i] = m.id;
	}
	for (i = 0; i < 5000; i++) {
		if (d.c.alloc > GUEST_BASE + GUEST_SIZE / 2)
			d.c.alloc = GUEST_BASE + (1 << 20);
		n = rand_r(&seed) % sizeof(out);
		for (k = 0; k < n; k++)
			out[k] = rand_r(&seed) % 4 ? 0 : rand_r(&seed) % 3 ? rand_r(&seed) % 16 :
							 rand_r(&seed);
		k = rand_r(&seed) % 4;
		if (cmd(rand_r(&seed) % 3 ? ids[rand_r(&seed) % 4] : 0, k,
			rand_r(&seed) % (k ? 8 : 5), out, n, rand_r(&seed) % 300) == NO_ANSWER) {
			test_failed(__FILE__, __LINE__, "no answer to command %u", i);
			break;
		}
	}
	CHECK_EQ(cmd(0, MGMT(NOP), NULL, 0, 0), 0);
	driver_exit(&d);
}
