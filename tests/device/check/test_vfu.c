// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* vfio-user: negotiation, malformed messages, maps, interrupts of the function. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

static void reconnect(struct client *c)
{
	client_disconnect(c);
	client_connect(c);
}

TEST(version_is_negotiated)
{
	static const char * const json[] = {
		"", "{}", "{\"capabilities\":{}}", "{\"capabilities\":{\"max_msg_fds\":1}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true},\"pgsizes\":4096}}",
		"not json at all",
	};
	uint8_t out[512], in[512];
	struct client c;
	unsigned int i;
	size_t len;

	client_init(&c, NULL);
	for (i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
		memset(out, 0, 4);
		strcpy((char *)out + 4, json[i]);
		len = sizeof(in);
		CHECK_EQ(client_request(&c, VFU_VERSION, out, 4 + strlen(json[i]) + 1, NULL, 0, in,
					&len), 0);
		CHECK(len > 4 && !in[len - 1]);
		CHECK_EQ(!!strstr((char *)in + 4, "max_msg_fds"), !!strstr(json[i], "max_msg_fds"));
		CHECK_EQ(!!strstr((char *)in + 4, "pgsizes"), !!strstr(json[i], "pgsizes"));
		CHECK(!strstr((char *)in + 4, "twin_socket"));
		reconnect(&c);
	}
	/* Without any text */
	CHECK_EQ(client_request(&c, VFU_VERSION, out, 4, NULL, 0, NULL, NULL), 0);
	/* And once only. */
	CHECK_EQ(client_request(&c, VFU_VERSION, out, 4, NULL, 0, NULL, NULL), EINVAL);
	client_exit(&c);
}

TEST(version_that_is_not_spoken_is_refused)
{
	uint8_t out[8] = { 1 };
	struct client c;

	client_init(&c, NULL);
	CHECK_EQ(client_request(&c, VFU_VERSION, out, 4, NULL, 0, NULL, NULL), ENOTSUP);
	CHECK(client_closed(&c));
	reconnect(&c);
	/* Text without an end */
	memset(out, 0, sizeof(out));
	out[7] = 'x';
	CHECK_EQ(client_request(&c, VFU_VERSION, out, 8, NULL, 0, NULL, NULL), EINVAL);
	CHECK(client_closed(&c));
	reconnect(&c);
	/* Something else first */
	CHECK((int)client_request(&c, VFU_GET_INFO, out, 8, NULL, 0, NULL, NULL) == -1);
	CHECK(client_closed(&c));
	reconnect(&c);
	CHECK(client_negotiate(&c));
	client_exit(&c);
}

TEST(headers_that_make_no_sense_end_the_connection)
{
	static const struct vfu_hdr bad[] = {
		{ .command = VFU_GET_INFO, .size = 0 },
		{ .command = VFU_GET_INFO, .size = 15 },
		{ .command = VFU_GET_INFO, .size = 0xffffffff },
		{ .command = VFU_GET_INFO, .size = 1 << 22 },
		{ .command = VFU_GET_INFO, .size = 16, .flags = 7 },
	};
	struct client c;
	unsigned int i;

	client_init(&c, NULL);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK(client_negotiate(&c));
		client_send(&c, &bad[i], sizeof(bad[i]), NULL, 0);
		CHECK(client_closed(&c));
		reconnect(&c);
	}
	/* Half a header, and then nothing */
	client_send(&c, &bad[0], 7, NULL, 0);
	reconnect(&c);
	CHECK(client_negotiate(&c));
	client_exit(&c);
}

TEST(requests_that_are_cut_off_are_refused)
{
	static const uint16_t commands[] = {
		VFU_DMA_MAP, VFU_DMA_UNMAP, VFU_GET_INFO, VFU_GET_REGION_INFO, VFU_GET_IRQ_INFO,
		VFU_SET_IRQS, VFU_REGION_READ, VFU_REGION_WRITE,
	};
	uint8_t zeroes[64] = { 0 };
	struct client c;
	unsigned int i, len;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		for (len = 0; len < 16; len++)
			CHECK_EQ(client_request(&c, commands[i], zeroes, len, NULL, 0, NULL, NULL),
				 EINVAL);
	}
	/* What there is not */
	CHECK_EQ(client_request(&c, 0, NULL, 0, NULL, 0, NULL, NULL), ENOSYS);
	CHECK_EQ(client_request(&c, VFU_GET_REGION_IO_FDS, zeroes, 16, NULL, 0, NULL, NULL),
		 ENOSYS);
	CHECK_EQ(client_request(&c, VFU_DMA_READ, zeroes, 16, NULL, 0, NULL, NULL), ENOSYS);
	CHECK_EQ(client_request(&c, VFU_REGION_WRITE_MULTI, zeroes, 16, NULL, 0, NULL, NULL),
		 ENOSYS);
	CHECK_EQ(client_request(&c, 4711, zeroes, 16, NULL, 0, NULL, NULL), ENOSYS);
	client_exit(&c);
}

TEST(messages_may_come_in_pieces)
{
	struct vfu_device_info info = { .argsz = sizeof(info) };
	struct vfu_hdr hdr = { .id = 77, .command = VFU_GET_INFO,
			       .size = sizeof(hdr) + sizeof(info) };
	uint8_t msg[sizeof(hdr) + sizeof(info)], many[sizeof(msg) * 50];
	struct client c;
	unsigned int i;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	memcpy(msg, &hdr, sizeof(hdr));
	memcpy(msg + sizeof(hdr), &info, sizeof(info));
	for (i = 0; i < sizeof(msg); i++) {
		client_send(&c, msg + i, 1, NULL, 0);
		usleep(200);
	}
	CHECK(client_read(&c, msg, sizeof(msg)));
	memcpy(&hdr, msg, sizeof(hdr));
	CHECK_EQ(hdr.id, 77);
	CHECK_EQ(hdr.flags, VFU_F_REPLY);
	/* And many at once: the answers come in order. */
	hdr.flags = 0;
	for (i = 0; i < 50; i++) {
		hdr.id = i;
		memcpy(many + i * sizeof(msg), &hdr, sizeof(hdr));
		memcpy(many + i * sizeof(msg) + sizeof(hdr), &info, sizeof(info));
	}
	client_send(&c, many, sizeof(many), NULL, 0);
	for (i = 0; i < 50; i++) {
		CHECK(client_read(&c, msg, sizeof(msg)));
		memcpy(&hdr, msg, sizeof(hdr));
		CHECK_EQ(hdr.id, i);
	}
	client_exit(&c);
}

TEST(device_regions_and_interrupts_are_described)
{
	static const uint64_t sizes[VFU_REGIONS] = {
		0x4000, 0x1000, 256 * 4096, 0, 0, 0, 0, 4096, 0,
	};
	struct vfu_device_info info = { .argsz = sizeof(info) };
	struct vfu_region_info region;
	struct vfu_irq_info irq;
	struct client c;
	size_t len;
	uint32_t i;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	len = sizeof(info);
	CHECK_EQ(client_request(&c, VFU_GET_INFO, &info, sizeof(info), NULL, 0, &info, &len), 0);
	CHECK_EQ(len, sizeof(info));
	CHECK_EQ(info.flags, VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI);
	CHECK_EQ(info.num_regions, VFU_REGIONS);
	CHECK_EQ(info.num_irqs, VFU_IRQ_TYPES);
	for (i = 0; i < VFU_REGIONS + 2; i++) {
		region = (struct vfu_region_info){ .argsz = sizeof(region), .index = i };
		len = sizeof(region);
		CHECK_EQ(client_request(&c, VFU_GET_REGION_INFO, &region, sizeof(region), NULL, 0,
					&region, &len), i < VFU_REGIONS ? 0 : EINVAL);
		if (i < VFU_REGIONS)
			CHECK_EQ(region.size, sizes[i]);
	}
	for (i = 0; i < VFU_IRQ_TYPES + 2; i++) {
		irq = (struct vfu_irq_info){ .argsz = sizeof(irq), .index = i };
		len = sizeof(irq);
		CHECK_EQ(client_request(&c, VFU_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0, &irq,
					&len), i < VFU_IRQ_TYPES ? 0 : EINVAL);
		if (i < VFU_IRQ_TYPES)
			CHECK_EQ(irq.count, i == VFU_MSIX ? MGMT_VECTORS : 0);
	}
	client_exit(&c);
}

TEST(region_accesses_stay_inside)
{
	uint8_t buf[4096] = { 0 };
	struct vfu_region_rw rw;
	struct client c;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	CHECK_EQ(region_read(&c, VFU_CONFIG, 0, buf, 4096), 0);
	CHECK_EQ(region_read(&c, VFU_CONFIG, 1, buf, 4096), EINVAL);
	CHECK_EQ(region_read(&c, VFU_CONFIG, 4096, buf, 1), EINVAL);
	CHECK_EQ(region_read(&c, VFU_CONFIG, UINT64_MAX, buf, 2), EINVAL);
	CHECK_EQ(region_read(&c, VFU_CONFIG, 4096, buf, 0), 0);
	CHECK_EQ(region_read(&c, 9, 0, buf, 1), EINVAL);
	CHECK_EQ(region_read(&c, 4, 0, buf, 1), EINVAL);
	CHECK_EQ(region_write(&c, BAR_MSIX, 4095, buf, 2), EINVAL);
	CHECK_EQ(region_read(&c, BAR_DOORBELL, 0, buf, 4096), 0);
	/* Every offset and length of the registers */
	for (rw.offset = 0; rw.offset < 80; rw.offset++) {
		for (rw.count = 1; rw.count <= 9; rw.count++) {
			CHECK_EQ(region_read(&c, BAR_VIRTIO, rw.offset, buf, rw.count), 0);
			if (rw.offset != 20)	/* not the status: it is a reset */
				CHECK_EQ(region_write(&c, BAR_VIRTIO, rw.offset, buf, rw.count), 0);
		}
	}
	/* A count that is not that of the data */
	rw = (struct vfu_region_rw){ .region = VFU_CONFIG, .count = 4 };
	CHECK_EQ(client_request(&c, VFU_REGION_WRITE, &rw, sizeof(rw), NULL, 0, NULL, NULL),
		 EINVAL);
	rw.count = 1 << 21;
	CHECK_EQ(client_request(&c, VFU_REGION_READ, &rw, sizeof(rw), NULL, 0, NULL, NULL), EINVAL);
	client_exit(&c);
}

TEST(windows_of_memory)
{
	struct vfu_dma_unmap all = { .argsz = sizeof(all), .flags = VFU_DMA_UNMAP_ALL };
	struct vfu_dma_map map = { .argsz = sizeof(map), .flags = 3 };
	struct client c;
	int fds[2];

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	CHECK_EQ(client_map(&c, 0x10000, 0x10000, 0), 0);
	CHECK_EQ(client_map(&c, 0x10000, 0x10000, 0), EEXIST);
	CHECK_EQ(client_map(&c, 0x1f000, 0x2000, 0), EEXIST);
	CHECK_EQ(client_map(&c, 0xf000, 0x2000, 0), EEXIST);
	CHECK_EQ(client_map(&c, 0, 0x100000, 0), EEXIST);
	CHECK_EQ(client_map(&c, 0x20000, 0x1000, 0), 0);
	CHECK_EQ(client_map(&c, 0xf000, 0x1000, 0), 0);
	/* Outside of the file, or of the address space */
	CHECK_EQ(client_map(&c, 0x100000, 0x1000, GUEST_SIZE), EINVAL);
	CHECK_EQ(client_map(&c, 0x100000, GUEST_SIZE + 1, 0), EINVAL);
	CHECK_EQ(client_map(&c, 0x100000, 0x1000, UINT64_MAX - 0xfff), EINVAL);
	CHECK_EQ(client_map(&c, UINT64_MAX - 0xfff, 0x2000, 0), EINVAL);
	/* Of part of a page */
	CHECK_EQ(client_map(&c, 0x100800, 0x1000, 0), EINVAL);
	CHECK_EQ(client_map(&c, 0x100000, 0x1800, 0), EINVAL);
	CHECK_EQ(client_map(&c, 0x100000, 0x1000, 0x10), EINVAL);
	CHECK_EQ(client_unmap(&c, 0x10800, 0x1000), EINVAL);
	CHECK_EQ(client_unmap(&c, 0x10000, 0x800), EINVAL);
	CHECK_EQ(client_map(&c, 0x10000, 0x1000, 0), EEXIST);
	CHECK_EQ(client_map(&c, 0x100000, 0, 0), EINVAL);
	CHECK_EQ(client_map(&c, UINT64_MAX - 0xfff, 0x1000, 0), 0);
	/* Whatever is not mapped may be unmapped. */
	CHECK_EQ(client_unmap(&c, 0x500000, 0x1000), 0);
	CHECK_EQ(client_unmap(&c, UINT64_MAX - 0xfff, 0x1000), 0);
	CHECK_EQ(client_unmap(&c, 0, 0), 0);
	CHECK_EQ(client_unmap(&c, UINT64_MAX - 0xfff, 0x2000), 0);
	/* The middle of a window: what is left stays, and the hole can be mapped. */
	CHECK_EQ(client_unmap(&c, 0x14000, 0x4000), 0);
	CHECK_EQ(client_map(&c, 0x13000, 0x1000, 0), EEXIST);
	CHECK_EQ(client_map(&c, 0x18000, 0x1000, 0), EEXIST);
	CHECK_EQ(client_map(&c, 0x14000, 0x4000, 0), 0);
	/* Across several */
	CHECK_EQ(client_unmap(&c, 0x12000, 0xe000), 0);
	CHECK_EQ(client_map(&c, 0x12000, 0xe000, 0), 0);
	CHECK_EQ(client_map(&c, 0x1f000, 0x2000, 0), EEXIST);
	/* Without a file, with two, with something that is no file, flags that there are not */
	map.address = 0x900000;
	map.size = 0x1000;
	CHECK_EQ(client_request(&c, VFU_DMA_MAP, &map, sizeof(map), NULL, 0, NULL, NULL), 0);
	map.address = 0xa00000;
	fds[0] = c.memfd;
	fds[1] = c.memfd;
	CHECK_EQ(client_request(&c, VFU_DMA_MAP, &map, sizeof(map), fds, 2, NULL, NULL), EINVAL);
	CHECK_EQ(client_request(&c, VFU_DMA_MAP, &map, sizeof(map), &c.stop_fd, 1, NULL, NULL),
		 EINVAL);
	map.flags = 8;
	CHECK_EQ(client_request(&c, VFU_DMA_MAP, &map, sizeof(map), fds, 1, NULL, NULL), EINVAL);
	CHECK_EQ(client_request(&c, VFU_DMA_UNMAP, &all, sizeof(all), NULL, 0, NULL, NULL), 0);
	CHECK_EQ(client_map(&c, 0, 0x100000, 0), 0);
	client_exit(&c);
}

/* With an IOMMU in the guest there is a window for each page. */
TEST(thousands_of_windows)
{
	struct client c;
	uint64_t i, n = 8000;
	double start;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	start = test_now();
	for (i = 0; i < n; i++)
		CHECK_EQ(client_map(&c, 0x40000000 + (i * 7919 % n) * 0x2000, 0x1000,
				    i * 0x1000), 0);
	for (i = 0; i < n; i++)
		CHECK_EQ(client_unmap(&c, 0x40000000 + i * 0x2000, 0x1000), 0);
	CHECK(test_now() - start < 20);
	CHECK_EQ(client_map(&c, 0x40000000, 0x1000, 0), 0);
	client_exit(&c);
}

static int set_irqs(struct client *c, uint32_t flags, uint32_t index, uint32_t start,
		    uint32_t count, const int *fds, int num_fds, const uint8_t *data, size_t len)
{
	struct vfu_irq_set set = { .argsz = sizeof(set) + len, .flags = flags, .index = index,
				   .start = start, .count = count };
	uint8_t out[128];

	memcpy(out, &set, sizeof(set));
	if (len)
		memcpy(out + sizeof(set), data, len);
	return client_request(c, VFU_SET_IRQS, out, sizeof(set) + len, fds, num_fds, NULL, NULL);
}

#define FD(action)	(VFU_IRQ_DATA_EVENTFD | VFU_IRQ_ACTION_##action)
#define NONE(action)	(VFU_IRQ_DATA_NONE | VFU_IRQ_ACTION_##action)
#define BOOL(action)	(VFU_IRQ_DATA_BOOL | VFU_IRQ_ACTION_##action)

TEST(interrupts_of_the_function)
{
	uint8_t which[4] = { 0, 1, 0, 1 };
	struct client c;
	int fds[9], i;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	for (i = 0; i < 9; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), VFU_MSIX, 0, 4, fds, 4, NULL, 0), 0);
	CHECK_EQ(set_irqs(&c, BOOL(TRIGGER), VFU_MSIX, 0, 4, NULL, 0, which, 4), 0);
	for (i = 0; i < 4; i++)
		CHECK_EQ(quiet_fd(fds[i]), !which[i]);
	/* Masked ones wait. */
	CHECK_EQ(set_irqs(&c, NONE(MASKING), VFU_MSIX, 1, 1, NULL, 0, NULL, 0), 0);
	CHECK_EQ(set_irqs(&c, NONE(TRIGGER), VFU_MSIX, 0, 2, NULL, 0, NULL, 0), 0);
	CHECK(!quiet_fd(fds[0]) && quiet_fd(fds[1]));
	CHECK_EQ(set_irqs(&c, NONE(UNMASK), VFU_MSIX, 1, 1, NULL, 0, NULL, 0), 0);
	CHECK(!quiet_fd(fds[1]));
	/* Taken back one by one, and all */
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), VFU_MSIX, 0, 1, NULL, 0, NULL, 0), 0);
	CHECK_EQ(set_irqs(&c, NONE(TRIGGER), VFU_MSIX, 0, 2, NULL, 0, NULL, 0), 0);
	CHECK(quiet_fd(fds[0]) && !quiet_fd(fds[1]));
	CHECK_EQ(set_irqs(&c, NONE(TRIGGER), VFU_MSIX, 0, 0, NULL, 0, NULL, 0), 0);
	CHECK_EQ(set_irqs(&c, NONE(TRIGGER), VFU_MSIX, 1, 1, NULL, 0, NULL, 0), 0);
	CHECK(quiet_fd(fds[1]));
	/* Nonsense */
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), VFU_MSIX, 2, 9, fds, 9, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), VFU_MSIX, MGMT_VECTORS, 1, fds, 1, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), VFU_MSIX, UINT32_MAX, 2, fds, 2, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), VFU_MSIX, 0, 3, fds, 2, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, FD(MASKING), VFU_MSIX, 0, 1, fds, 1, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), 0, 0, 1, fds, 1, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), 9, 0, 1, fds, 1, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, BOOL(TRIGGER), VFU_MSIX, 0, 4, NULL, 0, which, 2), EINVAL);
	CHECK_EQ(set_irqs(&c, 0, VFU_MSIX, 0, 1, NULL, 0, NULL, 0), EINVAL);
	CHECK_EQ(set_irqs(&c, 0x7f, VFU_MSIX, 0, 1, NULL, 0, NULL, 0), EINVAL);
	for (i = 0; i < 9; i++)
		close(fds[i]);
	client_exit(&c);
}

TEST(replies_to_nothing_are_ignored)
{
	struct vfu_hdr hdr = { .command = VFU_DMA_WRITE, .size = sizeof(hdr),
			       .flags = VFU_F_REPLY };
	struct client c;
	int i;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	for (i = 0; i < 100; i++) {
		hdr.id = i * 655;
		client_send(&c, &hdr, sizeof(hdr), NULL, 0);
	}
	CHECK_EQ(region_get(&c, VFU_CONFIG, 0, 2), TVQ_VENDOR);
	client_exit(&c);
}

TEST(a_second_client_waits_for_the_first)
{
	struct client c;
	int first;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	first = c.fd;
	client_connect(&c);
	CHECK(client_poll(&c, 0.05) == 0);
	close(first);
	CHECK(client_negotiate(&c));
	client_exit(&c);
}

/* The client takes memory away under the device. */
TEST(memory_that_is_cut_off)
{
	static struct driver d;
	struct managed m;
	struct seg seg;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	seg = (struct seg){ GUEST_BASE + GUEST_SIZE - 65536, 65536, true };
	CHECK_EQ(ftruncate(d.c.memfd, GUEST_SIZE - 32768), 0);
	ring_put(&m.ring[0], &seg, 1);
	doorbell(&m, 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	CHECK_EQ(client_map(&d.c, 1ull << 40, GUEST_SIZE, 0), 0);
	driver_exit(&d);
}

/* Memory of huge pages, of which this machine has none, most likely */
TEST(memory_that_is_not_there)
{
	const struct vfu_dma_map map = { .argsz = sizeof(map), .flags = MEM_READ | MEM_WRITE,
					 .address = 1ull << 40, .size = 4u << 20 };
	static struct driver d;
	struct managed m;
	struct seg seg;
	int fd;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	CHECK(fd >= 0 && !ftruncate(fd, map.size));
	CHECK_EQ(client_request(&d.c, VFU_DMA_MAP, &map, sizeof(map), &fd, 1, NULL, NULL), 0);
	seg = (struct seg){ map.address + (2u << 20) - 4096, 8192, true };
	ring_put(&m.ring[0], &seg, 1);
	doorbell(&m, 0);
	CHECK(ring_wait(&m.ring[0], NULL, NULL));
	CHECK_EQ(client_unmap(&d.c, map.address, map.size), 0);
	close(fd);
	driver_exit(&d);
}

/* A client that does not read its interrupts, and lets who writes them wait */
TEST(interrupts_that_nobody_reads)
{
	uint64_t full = UINT64_MAX - 1;
	struct client c;
	int fd;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	fd = eventfd(0, EFD_CLOEXEC);
	CHECK(write(fd, &full, sizeof(full)) == sizeof(full));
	CHECK_EQ(set_irqs(&c, FD(TRIGGER), VFU_MSIX, 0, 1, &fd, 1, NULL, 0), 0);
	CHECK_EQ(set_irqs(&c, NONE(TRIGGER), VFU_MSIX, 0, 1, NULL, 0, NULL, 0), 0);
	CHECK_EQ(region_get(&c, VFU_CONFIG, 0, 2), TVQ_VENDOR);
	/* Whoever waits there in spite of that, waits no longer. */
	CHECK(read(fd, &full, sizeof(full)) == sizeof(full));
	close(fd);
	client_exit(&c);
}

/* Frames that are right around contents that are not. */
TEST(random_requests_do_no_harm)
{
	uint8_t out[96], in[4096];
	unsigned int seed = test_seed(1), i, n;
	uint16_t command;
	struct client c;
	size_t len;

	client_init(&c, NULL);
	CHECK(client_negotiate(&c));
	CHECK_EQ(client_map(&c, GUEST_BASE, GUEST_SIZE, 0), 0);
	for (i = 0; i < 20000; i++) {
		command = 2 + rand_r(&seed) % 14;
		if (command == VFU_DMA_READ || command == VFU_DMA_WRITE)
			command = VFU_REGION_WRITE;
		n = rand_r(&seed) % sizeof(out);
		for (len = 0; len < n; len++)
			out[len] = rand_r(&seed) % 3 ? rand_r(&seed) % 8 : rand_r(&seed);
		len = sizeof(in);
		/* Often enough a write of some bytes to a place that exists */
		if (command == VFU_REGION_WRITE && i % 2) {
			struct vfu_region_rw rw = { .offset = rand_r(&seed) % 300,
						    .region = rand_r(&seed) % 4 * 7 / 3,
						    .count = rand_r(&seed) % 8 };

			memcpy(out, &rw, sizeof(rw));
			n = sizeof(rw) + rw.count;
		}
		if (client_request(&c, command, out, n, NULL, 0, in, &len) == -1) {
			test_failed(__FILE__, __LINE__, "no answer to request %u", i);
			break;
		}
	}
	client_exit(&c);
}
