// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Managed consoles: ports, control messages, sockets behind them. */
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

#define BUFS	8
#define BUF_LEN	256

static struct driver d;
static struct managed m;
static uint64_t gpas[16][64];

static void give(unsigned int queue, unsigned int num)
{
	struct seg seg;
	uint16_t head;

	while (num--) {
		seg = (struct seg){ guest_alloc(&d.c, BUF_LEN, 16), BUF_LEN, true };
		head = ring_put(&m.ring[queue], &seg, 1);
		gpas[queue][head] = seg.gpa;
	}
	doorbell(&m, queue);
}

/* The next thing that comes. Return: its length, 0 for nothing. */
static uint32_t take(unsigned int queue, void *buf)
{
	uint32_t len;
	uint16_t id;

	if (!ring_wait(&m.ring[queue], &id, &len) || len > BUF_LEN)
		return 0;
	memcpy(buf, guest(&d.c, gpas[queue][id]), len);
	give(queue, 1);
	return len;
}

static void put(unsigned int queue, const void *data, uint32_t len)
{
	struct seg seg = { guest_alloc(&d.c, len + 1, 16), len, false };

	memcpy(guest(&d.c, seg.gpa), data, len);
	ring_put(&m.ring[queue], &seg, 1);
	doorbell(&m, queue);
}

/* Send, and have it taken. */
static void out(unsigned int queue, const void *data, uint32_t len)
{
	put(queue, data, len);
	CHECK(ring_wait(&m.ring[queue], NULL, NULL));
}

static void control(uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control c = { id, event, value };

	out(3, &c, sizeof(c));
}

/* The next control message is this one; with a name, or NULL. */
static void expect(int line, uint32_t id, uint16_t event, uint16_t value, const char *name)
{
	struct virtio_console_control c;
	uint8_t buf[BUF_LEN];
	uint32_t len = take(2, buf), want = sizeof(c) + (name ? strlen(name) : 0);

	memcpy(&c, buf, sizeof(c));
	if (len != want || c.id != id || c.event != event || c.value != value ||
	    (name && memcmp(buf + sizeof(c), name, want - sizeof(c))))
		test_failed(__FILE__, line,
			    "a message of %u bytes: port %u, event %u, value %u", len,
			    c.id, c.event, c.value);
}

#define EXPECT(...)	expect(__LINE__, __VA_ARGS__)

static void up(unsigned int ports, uint64_t without)
{
	unsigned int i;

	CHECK(bring_up(&m, m.info.num_vqs, 64, without | BIT64(F_RING_EVENT_IDX)));
	for (i = 0; i < m.info.num_vqs; i += 2)
		give(i, BUFS);
}

/* As a driver does it: all ports are there, and open. */
static void open_ports(unsigned int ports, const char *name, bool host_open)
{
	char text[64];
	unsigned int i;

	control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (i = 0; i < ports; i++)
		EXPECT(i, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	for (i = 0; i < ports; i++) {
		control(i, VIRTIO_CONSOLE_PORT_READY, 1);
		if (!i)
			EXPECT(i, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
		snprintf(text, sizeof(text), "%s.%u", name, i);
		EXPECT(i, VIRTIO_CONSOLE_PORT_NAME, 1, text);
		EXPECT(i, VIRTIO_CONSOLE_PORT_OPEN, host_open, NULL);
		control(i, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
}

TEST(console_ports_echo)
{
	uint8_t buf[BUF_LEN];
	unsigned int i, turn;
	char text[16];

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 3, "con", 3, &m), 0);
	CHECK_EQ(m.info.num_vqs, 8);
	CHECK_EQ(m.info.config_len, 12);
	CHECK_EQ(*(uint32_t *)(m.config + 4), 3);
	for (turn = 0; turn < 2; turn++) {
		up(3, 0);
		open_ports(3, "con", true);
		for (i = 0; i < 3; i++) {
			snprintf(text, sizeof(text), "port %u", i);
			out(i ? 2 * i + 3 : 1, text, 7);
			CHECK_EQ(take(i ? 2 * i + 2 : 0, buf), 7);
			CHECK(!memcmp(buf, text, 7));
		}
		/* What is written while the driver has it closed waits. */
		control(2, VIRTIO_CONSOLE_PORT_OPEN, 0);
		out(7, "later", 5);
		settle(&d.c, 0.02);
		CHECK_EQ(ring_used_idx(&m.ring[6]), m.ring[6].used);
		control(2, VIRTIO_CONSOLE_PORT_OPEN, 1);
		CHECK_EQ(take(6, buf), 5);
		CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	}
	driver_exit(&d);
}

/* More than a port holds: the console loses it, another port makes its driver wait. */
TEST(console_that_nobody_reads)
{
	static uint8_t data[50000];
	uint8_t buf[BUF_LEN];
	uint32_t n = 0, i, len;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 3, "", 2, &m), 0);
	up(2, 0);
	snprintf((char *)buf, sizeof(buf), "%llu", (unsigned long long)m.id);
	open_ports(2, (char *)buf, true);
	control(0, VIRTIO_CONSOLE_PORT_OPEN, 0);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	for (i = 0; i < sizeof(data); i++)
		data[i] = i * 5 + i / 256;
	out(1, data, sizeof(data));
	put(5, data, sizeof(data));
	settle(&d.c, 0.05);
	CHECK_EQ(ring_used_idx(&m.ring[5]), 0);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	while (n < sizeof(data) && (len = take(4, buf))) {
		CHECK(!memcmp(buf, data + n, len));
		n += len;
	}
	CHECK_EQ(n, sizeof(data));
	CHECK(ring_wait(&m.ring[5], NULL, NULL));
	/* A reset of the device, and of a queue, in the middle */
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	put(5, data, sizeof(data));
	settle(&d.c, 0.02);
	CHECK_EQ(command(&d, m.id, VQ(RESET), &(struct virtio_tvq_vq_reset){ .index = 5 }, 4, 0,
			 NULL),
		 0);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	up(2, 0);
	put(5, data, sizeof(data));
	settle(&d.c, 0.02);
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	driver_exit(&d);
}

TEST(console_without_ports)
{
	struct virtio_tvq_create req = { .type = 3, .flags = VIRTIO_TVQ_CREATE_F_FEATURES,
					 .features = { BIT64(F_VERSION_1) |
						       BIT64(F_ACCESS_PLATFORM) } };
	struct {
		struct virtio_tvq_config_write hdr;
		uint32_t character;
	} __attribute__((packed)) w = { { .offset = 8, .length = 4 }, 'x' };
	uint8_t buf[BUF_LEN];

	driver_init(&d, NULL);
	req.vqs = 2;
	CHECK_EQ(create(&d, &req, &m), ERR(EINVAL, VQS));
	req.vqs = 1;
	CHECK_EQ(create(&d, &req, &m), 0);
	CHECK_EQ(m.info.num_vqs, 2);
	up(1, 0);
	out(1, "hello", 5);
	CHECK_EQ(take(0, buf), 5);
	/* Not offered: nothing happens. */
	CHECK_EQ(command(&d, m.id, DEVICE(SET_CONFIG), &w, sizeof(w), 76, NULL), 0);
	out(1, "more", 4);
	CHECK_EQ(take(0, buf), 4);
	/* Offered, and the driver takes no ports: queue 0 and 1 alone */
	CHECK_EQ(create_simple(&d, 3, "", 2, &m), 0);
	CHECK(bring_up(&m, 6, 64, BIT64(VIRTIO_CONSOLE_F_MULTIPORT) | BIT64(F_RING_EVENT_IDX)));
	give(0, BUFS);
	CHECK_EQ(command(&d, m.id, DEVICE(SET_CONFIG), &w, sizeof(w), 76, NULL), 0);
	CHECK_EQ(take(0, buf), 1);
	CHECK_EQ(buf[0], 'x');
	put(3, "12345678", 8);
	put(5, "12345678", 8);
	settle(&d.c, 0.02);
	CHECK_EQ(ring_used_idx(&m.ring[3]) + ring_used_idx(&m.ring[5]), 0);
	driver_exit(&d);
}

TEST(console_hostile)
{
	struct virtio_console_control c;
	unsigned int i, seed = test_seed(3);
	uint8_t buf[BUF_LEN];

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 3, "", 2, &m), 0);
	CHECK(bring_up(&m, 6, 64, BIT64(F_RING_EVENT_IDX)));
	out(3, "short", 5);
	control(2, VIRTIO_CONSOLE_PORT_READY, 1);
	control(UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
	control(0, 99, 1);
	/* Again and again, and no buffers for what it is to be told: that is kept once. */
	for (i = 0; i < 2000; i++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
		c.id = i % 3;
		c.event = rand_r(&seed) % 9;
		c.value = rand_r(&seed) % 3;
		out(3, &c, sizeof(c));
	}
	control(0, VIRTIO_CONSOLE_PORT_READY, 0);
	control(1, VIRTIO_CONSOLE_PORT_READY, 0);
	settle(&d.c, 0.02);
	give(2, 32);
	settle(&d.c, 0.05);
	CHECK(ring_used_idx(&m.ring[2]) <= 2 * 4);
	/* A buffer that is too small for a message */
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK(bring_up(&m, 6, 64, BIT64(F_RING_EVENT_IDX)));
	for (i = 0; i < 8; i++)
		ring_put(&m.ring[2], &(struct seg){ guest_alloc(&d.c, 8, 8), 7, true }, 1);
	doorbell(&m, 2);
	control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	CHECK(ring_wait(&m.ring[2], NULL, NULL));
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	up(2, 0);
	snprintf((char *)buf, sizeof(buf), "%llu", (unsigned long long)m.id);
	open_ports(2, (char *)buf, true);
	driver_exit(&d);
}

static int client(const char *dir, const char *name)
{
	struct timeval patience = { .tv_sec = 2 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, name);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	CHECK_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

TEST(console_sockets)
{
	char dir[] = "/tmp/tvq-console-XXXXXX", path[96];
	static uint8_t data[100000], got[100000];
	struct tvq_options opt;
	uint8_t buf[BUF_LEN];
	uint32_t i, n, len;
	int fd[2];

	CHECK(mkdtemp(dir));
	client_options(&opt);
	opt.console_dir = dir;
	driver_init(&d, &opt);
	CHECK_EQ(create_simple(&d, 3, "con", 2, &m), 0);
	up(2, 0);
	open_ports(2, "con", false);
	/* Nobody is there: what is written is lost, and does not wait. */
	out(5, "lost", 4);
	fd[0] = client(dir, "con.0");
	EXPECT(0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	fd[1] = client(dir, "con.1");
	EXPECT(1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	for (i = 0; i < 2; i++) {
		out(i ? 5 : 1, "from the driver", 15);
		CHECK_EQ(recv(fd[i], buf, sizeof(buf), 0), 15);
		CHECK(!memcmp(buf, "from the driver", 15));
		CHECK_EQ(send(fd[i], "to it", 5, 0), 5);
		CHECK_EQ(take(i ? 4 : 0, buf), 5);
		CHECK(!memcmp(buf, "to it", 5));
	}
	/* Much, in both directions */
	for (i = 0; i < sizeof(data); i++)
		data[i] = i * 7 + i / 256;
	put(5, data, sizeof(data));
	for (n = 0; n < sizeof(data); n += len) {
		len = recv(fd[1], got + n, sizeof(data) - n, 0);
		if (!len || len > sizeof(data))
			break;
	}
	CHECK(n == sizeof(data) && !memcmp(got, data, n));
	CHECK(ring_wait(&m.ring[5], NULL, NULL));
	CHECK_EQ(send(fd[1], data, 60000, 0), 60000);
	for (n = 0; n < 60000 && (len = take(4, buf)); n += len)
		CHECK(!memcmp(buf, data + n, len));
	CHECK_EQ(n, 60000);
	/* The client goes while the driver waits for it, and another one comes. */
	for (i = 0; i < 4; i++)
		put(5, data, sizeof(data));
	settle(&d.c, 0.02);
	close(fd[1]);
	EXPECT(1, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
	for (i = 0; i < 4; i++)
		CHECK(ring_wait(&m.ring[5], NULL, NULL));
	fd[1] = client(dir, "con.1");
	EXPECT(1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	out(5, "again", 5);
	CHECK_EQ(recv(fd[1], buf, sizeof(buf), 0), 5);
	/* The name is taken, and free again behind the device. */
	snprintf(path, sizeof(path), "%s/con.1", dir);
	CHECK_EQ(access(path, F_OK), 0);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK(access(path, F_OK) != 0);
	CHECK_EQ(recv(fd[1], buf, sizeof(buf), 0), 0);
	close(fd[0]);
	close(fd[1]);
	/* A socket that cannot be made */
	fclose(fopen(path, "w"));
	CHECK_EQ(create_simple(&d, 3, "con", 2, &m), ERR(EINVAL, BACKEND));
	unlink(path);
	CHECK_EQ(create_simple(&d, 3, "con", 2, &m), 0);
	driver_exit(&d);
	CHECK_EQ(rmdir(dir), 0);
}
