// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Managed block devices: requests of each kind, and files behind them. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"

static struct driver d;
static struct managed m;

struct req_hdr {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* One request on queue q. Return: the status byte, or 0x100 without an answer. */
static int request(unsigned int q, uint32_t type, uint64_t sector, void *data, uint32_t len,
		   bool in, bool indirect)
{
	uint64_t hdr_gpa = guest_alloc(&d.c, 16, 16), data_gpa = guest_alloc(&d.c, len + 1, 512);
	uint64_t status_gpa = guest_alloc(&d.c, 1, 1);
	struct req_hdr hdr = { .type = type, .sector = sector };
	struct seg seg[4] = {
		{ hdr_gpa, 16, false },
		{ data_gpa, len / 3, in },
		{ data_gpa + len / 3, len - len / 3, in },
		{ status_gpa, 1, true },
	};
	uint32_t used;
	uint8_t status;

	memcpy(guest(&d.c, hdr_gpa), &hdr, 16);
	if (!in && len)
		memcpy(guest(&d.c, data_gpa), data, len);
	*(uint8_t *)guest(&d.c, status_gpa) = 0xff;
	if (!len)
		seg[1] = seg[3];
	if (indirect)
		ring_put_indirect(&m.ring[q], seg, len ? 4 : 2);
	else
		ring_put(&m.ring[q], seg, len ? 4 : 2);
	doorbell(&m, q);
	if (!ring_wait(&m.ring[q], NULL, &used))
		return 0x100;
	status = *(uint8_t *)guest(&d.c, status_gpa);
	CHECK(used >= 1 && used <= (in ? len : 0) + 1);
	if (in && !status) {
		CHECK_EQ(used, len + 1);
		memcpy(data, guest(&d.c, data_gpa), len);
	}
	return status;
}

static int do_write(uint64_t sector, void *data, uint32_t len)
{
	return request(0, VIRTIO_BLK_T_OUT, sector, data, len, false, false);
}

static int do_read(uint64_t sector, void *data, uint32_t len)
{
	return request(0, VIRTIO_BLK_T_IN, sector, data, len, true, false);
}

static bool zero(const uint8_t *p, size_t len)
{
	while (len--) {
		if (*p++)
			return false;
	}
	return true;
}

static void fill(uint8_t *buf, size_t len, unsigned int seed)
{
	while (len--)
		*buf++ = rand_r(&seed) >> 3;
}

static uint8_t a[1 << 20], b[1 << 20];

TEST(blk_reads_what_was_written)
{
	unsigned int q;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 4, &m), 0);
	CHECK(bring_up(&m, 4, 64, 0));
	fill(a, sizeof(a), 1);
	CHECK_EQ(do_read(0, b, sizeof(b)), 0);
	CHECK(zero(b, sizeof(b)));
	CHECK_EQ(do_write(100, a, sizeof(a)), 0);
	CHECK_EQ(do_read(100, b, sizeof(b)), 0);
	CHECK(!memcmp(a, b, sizeof(a)));
	CHECK_EQ(do_read(101, b, 512), 0);
	CHECK(!memcmp(a + 512, b, 512));
	for (q = 0; q < 4; q++) {
		CHECK_EQ(request(q, VIRTIO_BLK_T_OUT, 1000 * q, a, 4096, false, q % 2), 0);
		CHECK_EQ(request(q, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false, false), 0);
		CHECK_EQ(request(3 - q, VIRTIO_BLK_T_IN, 1000 * q, b, 4096, true, q % 2), 0);
		CHECK(!memcmp(a, b, 4096));
	}
	driver_exit(&d);
}

TEST(blk_refuses)
{
	const uint64_t end = (64 << 20) / 512;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(do_read(end - 1, b, 512), 0);
	CHECK_EQ(do_read(end, b, 512), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(do_read(end - 1, b, 1024), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(do_write(end, a, 512), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(do_write(UINT64_MAX, a, 512), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(do_write(UINT64_MAX / 512, a, 1024), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(do_read(0, b, 511), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(do_write(0, a, 513), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(request(0, 99, 0, b, 512, true, false), VIRTIO_BLK_S_UNSUPP);
	CHECK_EQ(request(0, VIRTIO_BLK_T_DISCARD, 0, a, 15, false, false), VIRTIO_BLK_S_IOERR);
	driver_exit(&d);
}

TEST(blk_serial)
{
	struct virtio_tvq_create req = { .type = 2, .serial = "12345678901234567 90" };
	char id[20];

	driver_init(&d, NULL);
	CHECK_EQ(create(&d, &req, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(request(0, VIRTIO_BLK_T_GET_ID, 0, id, 20, true, false), 0);
	CHECK(!memcmp(id, "12345678901234567 90", 20));
	driver_exit(&d);
}

struct range {
	uint64_t sector;
	uint32_t num;
	uint32_t flags;
};

TEST(blk_discards_and_zeroes)
{
	struct range r[17] = { { 8, 8, 0 }, { 32, 16, 0 } };
	unsigned int pass;
	uint32_t type;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	fill(a, 65536, 3);
	for (pass = 0; pass < 3; pass++) {
		/* Discarded sectors read as zeroes here, which they need not. */
		CHECK_EQ(do_write(0, a, 65536), 0);
		r[1].flags = pass == 2;
		type = pass ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD;
		CHECK_EQ(request(0, type, 0, r, 32, false, false), 0);
		CHECK_EQ(do_read(0, b, 65536), 0);
		CHECK(zero(b + 4096, 4096) && zero(b + 16384, 8192));
		CHECK(!memcmp(a, b, 4096) && !memcmp(a + 8192, b + 8192, 8192) &&
		      !memcmp(a + 24576, b + 24576, 65536 - 24576));
	}
	/* If one range is wrong none is touched. */
	r[1].sector = UINT64_MAX - 1;
	CHECK_EQ(do_write(0, a, 65536), 0);
	CHECK_EQ(request(0, VIRTIO_BLK_T_WRITE_ZEROES, 0, r, 32, false, false), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(do_read(0, b, 65536), 0);
	CHECK(!memcmp(a, b, 65536));
	r[1].sector = 0;
	r[0].flags = 2;
	CHECK_EQ(request(0, VIRTIO_BLK_T_WRITE_ZEROES, 0, r, 32, false, false),
		 VIRTIO_BLK_S_UNSUPP);
	r[0].flags = 1;
	CHECK_EQ(request(0, VIRTIO_BLK_T_DISCARD, 0, r, 32, false, false), VIRTIO_BLK_S_UNSUPP);
	r[0].flags = 0;
	r[0].num = 1 << 23;
	CHECK_EQ(request(0, VIRTIO_BLK_T_DISCARD, 0, r, 32, false, false), VIRTIO_BLK_S_IOERR);
	r[0].num = 1;
	CHECK_EQ(request(0, VIRTIO_BLK_T_DISCARD, 0, r, sizeof(r), false, false),
		 VIRTIO_BLK_S_IOERR);
	driver_exit(&d);
}

TEST(blk_without_features)
{
	struct range r = { 0, 8, 0 };

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_DISCARD) |
		       BIT64(VIRTIO_BLK_F_WRITE_ZEROES)));
	CHECK_EQ(request(0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false, false), VIRTIO_BLK_S_UNSUPP);
	CHECK_EQ(request(0, VIRTIO_BLK_T_DISCARD, 0, &r, 16, false, false), VIRTIO_BLK_S_UNSUPP);
	CHECK_EQ(request(0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &r, 16, false, false),
		 VIRTIO_BLK_S_UNSUPP);
	CHECK_EQ(do_write(0, a, 4096), 0);
	driver_exit(&d);
}

/* The same name finds its data again, with another capacity too. */
TEST(blk_keeps_data_by_name)
{
	const char *disks;
	char path[256];
	struct stat st;

	driver_init(&d, NULL);
	disks = d.c.tvq.disk_dir;
	fill(a, 8192, 5);
	CHECK_EQ(create_sized(&d, "keep", 32, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(do_write(0, a, 8192), 0);
	CHECK_EQ(do_write(16, a, 8192), 0);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	/* Nothing said: what it was */
	CHECK_EQ(create_simple(&d, 2, "keep", 0, &m), 0);
	CHECK_EQ(*(uint64_t *)m.config, 32);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	/* Smaller: less is shown, nothing is cut off. */
	CHECK_EQ(create_sized(&d, "keep", 8, &m), 0);
	CHECK_EQ(*(uint64_t *)m.config, 8);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(do_read(0, b, 4096), 0);
	CHECK(!memcmp(a, b, 4096));
	CHECK_EQ(do_read(8, b, 512), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	/* Larger: it grows. */
	CHECK_EQ(create_sized(&d, "keep", 64, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(do_read(16, b, 8192), 0);
	CHECK(!memcmp(a, b, 8192));
	CHECK_EQ(do_read(32, b, 16384), 0);
	CHECK(zero(b, 16384));
	snprintf(path, sizeof(path), "%s/keep.img", disks);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, 64 * 512);
	driver_exit(&d);
	CHECK(stat(path, &st) != 0);	/* it was a directory of the process */
}

TEST(blk_file_that_cannot_be_opened)
{
	char path[256];

	driver_init(&d, NULL);
	snprintf(path, sizeof(path), "%s/dir.img", d.c.tvq.disk_dir);
	CHECK_EQ(mkdir(path, 0700), 0);
	CHECK_EQ(create_simple(&d, 2, "dir", 0, &m), ERR(EINVAL, BACKEND));
	CHECK_EQ(rmdir(path), 0);
	CHECK_EQ(symlink("/etc/passwd", path), 0);
	CHECK_EQ(create_simple(&d, 2, "dir", 0, &m), ERR(EINVAL, BACKEND));
	CHECK_EQ(create_simple(&d, 2, "other", 0, &m), 0);
	driver_exit(&d);
}

/* Sectors at odd places of the descriptors, and memory that goes away. */
TEST(blk_memory_that_is_not_there)
{
	uint64_t hdr, status;
	struct req_hdr h = { .type = VIRTIO_BLK_T_OUT };
	struct seg seg[3];

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	hdr = guest_alloc(&d.c, 16, 16);
	status = guest_alloc(&d.c, 1, 1);
	memcpy(guest(&d.c, hdr), &h, 16);
	seg[0] = (struct seg){ hdr, 16, false };
	seg[1] = (struct seg){ GUEST_BASE + GUEST_SIZE - 512, 1024, false };
	seg[2] = (struct seg){ status, 1, true };
	*(uint8_t *)guest(&d.c, status) = 0xff;
	ring_put(&m.ring[0], seg, 3);
	doorbell(&m, 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	CHECK_EQ(*(uint8_t *)guest(&d.c, status), VIRTIO_BLK_S_IOERR);
	/* A header that cannot be read, a status that cannot be written */
	seg[0].gpa = 16;
	seg[1] = (struct seg){ hdr, 512, false };
	ring_put(&m.ring[0], seg, 3);
	doorbell(&m, 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	CHECK_EQ(*(uint8_t *)guest(&d.c, status), VIRTIO_BLK_S_IOERR);
	seg[0].gpa = hdr;
	seg[2].gpa = 16;
	ring_put(&m.ring[0], seg, 3);
	doorbell(&m, 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	CHECK_EQ(do_write(0, a, 4096), 0);
	driver_exit(&d);
}

/* 4 KiB windows, in an order of their own, as behind an IOMMU */
TEST(blk_through_small_windows)
{
	struct client *c = &d.c;
	const uint64_t iova = 0x5000000000;
	struct req_hdr h = { .type = VIRTIO_BLK_T_OUT };
	uint64_t hdr, status, data;
	struct seg seg[3];
	unsigned int i, pass;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	hdr = guest_alloc(c, 16, 16);
	status = guest_alloc(c, 1, 1);
	data = guest_alloc(c, 65536, 4096);
	fill(a, 65536, 9);
	for (i = 0; i < 16; i++)
		CHECK_EQ(client_map(c, iova + 4096 * i, 4096,
				    data - GUEST_BASE + (15 - i) * 4096), 0);
	for (pass = 0; pass < 2; pass++) {
		if (!pass)
			memcpy(guest(c, data), a, 65536);
		else
			memset(guest(c, data), 0, 65536);
		h.type = pass ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
		memcpy(guest(c, hdr), &h, 16);
		seg[0] = (struct seg){ hdr, 16, false };
		seg[1] = (struct seg){ iova, 65536, pass };
		seg[2] = (struct seg){ status, 1, true };
		*(uint8_t *)guest(c, status) = 0xff;
		ring_put(&m.ring[0], seg, 3);
		doorbell(&m, 0);
		CHECK(ring_wait(&m.ring[0], NULL, NULL));
		CHECK_EQ(*(uint8_t *)guest(c, status), 0);
		if (pass)
			CHECK(!memcmp(a, guest(c, data), 65536));
	}
	CHECK_EQ(do_read(0, b, 4096), 0);
	CHECK(!memcmp(a + 15 * 4096, b, 4096));
	driver_exit(&d);
}

TEST(blk_write_through)
{
	struct {
		struct virtio_tvq_config_write hdr;
		uint8_t wce;
	} w = { .hdr = { .offset = 32, .length = 1 } };

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(command(&d, m.id, DEVICE(SET_CONFIG), &w, sizeof(w), 76, NULL), 0);
	CHECK_EQ(do_write(0, a, 4096), 0);
	CHECK_EQ(do_read(0, b, 4096), 0);
	driver_exit(&d);
}

/* A disk that is offered as one that cannot be written */
TEST(blk_read_only)
{
	struct virtio_tvq_create req = { .type = 2, .flags = VIRTIO_TVQ_CREATE_F_FEATURES };
	struct range r = { 0, 8, 0 };

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(!(m.info.features[0] & BIT64(VIRTIO_BLK_F_RO)));
	req.features[0] = m.info.features[0] | BIT64(VIRTIO_BLK_F_RO);
	CHECK_EQ(create(&d, &req, &m), 0);
	/* It does not ask the driver whether it knows. */
	CHECK(bring_up(&m, 1, 64, BIT64(VIRTIO_BLK_F_RO)));
	CHECK_EQ(do_read(0, b, 4096), 0);
	CHECK_EQ(do_write(0, a, 4096), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(request(0, VIRTIO_BLK_T_DISCARD, 0, &r, 16, false, false), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(request(0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &r, 16, false, false),
		 VIRTIO_BLK_S_IOERR);
	driver_exit(&d);
}

/* A request that is not waited for: header, data in one piece, status. */
static uint64_t post_request(unsigned int q, uint32_t type, uint64_t sector, uint32_t len)
{
	uint64_t gpa = guest_alloc(&d.c, 4096 + len, 4096);
	struct req_hdr hdr = { .type = type, .sector = sector };
	struct seg seg[3] = {
		{ gpa, 16, false },
		{ gpa + 4096, len, type == VIRTIO_BLK_T_IN },
		{ gpa + 16, 1, true },
	};

	memcpy(guest(&d.c, gpa), &hdr, 16);
	*(uint8_t *)guest(&d.c, gpa + 16) = 0xff;
	ring_put(&m.ring[q], seg, 3);
	return gpa;
}

TEST(blk_many_at_once)
{
	static uint64_t gpa[4][20];
	unsigned int q, i, pass, turn;
	uint32_t at;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 4, &m), 0);
	CHECK(bring_up(&m, 4, 64, 0));
	fill(a, sizeof(a), 11);
	for (turn = 0; turn < 8; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 4;
		for (pass = 0; pass < 2; pass++) {
			for (q = 0; q < 4; q++) {
				for (i = 0; i < 20; i++) {
					at = 8 * (20 * q + i);
					gpa[q][i] = post_request(pass ? 3 - q : q,
								 pass ? VIRTIO_BLK_T_IN :
									VIRTIO_BLK_T_OUT, at, 4096);
					if (!pass)
						memcpy(guest(&d.c, gpa[q][i] + 4096),
						       a + turn + 512 * at, 4096);
				}
			}
			for (q = 0; q < 4; q++)
				doorbell(&m, q);
			for (i = 0; i < 4 * 20; i++)
				CHECK(ring_wait(&m.ring[i / 20], NULL, NULL));
		}
		for (i = 0; i < 4 * 20; i++) {
			CHECK_EQ(*(uint8_t *)guest(&d.c, gpa[i / 20][i % 20] + 16), 0);
			CHECK(!memcmp(guest(&d.c, gpa[i / 20][i % 20] + 4096), a + turn + 4096 * i,
				      4096));
		}
	}
	driver_exit(&d);
}

/*
 * A reset, of the device or of one queue, while the device is at work: behind its
 * reply memory stays as it is, and a queue that was not reset goes on.
 */
static void reset_at_work(bool whole)
{
	struct virtio_tvq_vq_reset req = { .index = 0 };
	uint64_t gpa[20];
	unsigned int i, turn;
	uint16_t used;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 2, &m), 0);
	for (turn = 0; turn < 10; turn++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 4;
		CHECK(bring_up(&m, 2, 64, 0));
		for (i = 0; i < 20; i++)
			gpa[i] = post_request(0, VIRTIO_BLK_T_IN, 2048 * i, 1 << 20);
		doorbell(&m, 0);
		settle(&d.c, 0.0002 * turn);
		if (whole)
			CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
		else
			CHECK_EQ(command(&d, m.id, VQ(RESET), &req, sizeof(req), 0, NULL), 0);
		used = ring_used_idx(&m.ring[0]);
		for (i = 0; i < 20; i++)
			memset(guest(&d.c, gpa[i]), 0x5a, 1 << 20);
		if (!whole) {
			CHECK_EQ(request(1, VIRTIO_BLK_T_IN, 0, b, 4096, true, false), 0);
			CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
		}
		settle(&d.c, 0.005);
		CHECK_EQ(ring_used_idx(&m.ring[0]), used);
		for (i = 0; i < 20; i++)
			CHECK(*(uint8_t *)guest(&d.c, gpa[i] + 16) == 0x5a &&
			      !memcmp(guest(&d.c, gpa[i]), guest(&d.c, gpa[i] + 1), (1 << 20) - 1));
	}
	driver_exit(&d);
}

TEST(blk_reset_at_work)
{
	reset_at_work(true);
}

TEST(blk_queue_reset_at_work)
{
	reset_at_work(false);
}

/* Time for requests of 4 KiB, one by one and many at once. */
TEST(blk_speed)
{
	const unsigned int n = 20000;
	uint64_t hdr, status, data;
	struct req_hdr h = { .type = VIRTIO_BLK_T_IN };
	struct seg seg[3];
	double start;
	unsigned int i, k;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 256, BIT64(F_RING_EVENT_IDX)));
	*(uint16_t *)guest(&d.c, m.ring[0].driver) = 1;	/* no interrupts */
	hdr = guest_alloc(&d.c, 16, 16);
	status = guest_alloc(&d.c, 1, 1);
	data = guest_alloc(&d.c, 64 * 4096, 4096);
	memcpy(guest(&d.c, hdr), &h, 16);
	seg[0] = (struct seg){ hdr, 16, false };
	seg[1] = (struct seg){ data, 4096, true };
	seg[2] = (struct seg){ status, 1, true };
	start = test_now();
	for (i = 0; i < n; i += 64) {
		for (k = 0; k < 64; k++) {
			seg[1].gpa = data + 4096 * k;
			ring_put(&m.ring[0], seg, 3);
		}
		doorbell(&m, 0);
		while (ring_used_idx(&m.ring[0]) != m.ring[0].avail && test_now() < start + 60)
			;
		m.ring[0].used = m.ring[0].avail;
	}
	printf("    %.0f requests of 4 KiB in a second\n", i / (test_now() - start));
	CHECK_EQ(ring_used_idx(&m.ring[0]), m.ring[0].avail);
	driver_exit(&d);
}
