// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Managed network devices and the switch between them. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define HDR	12
#define BUFS	8

static struct driver d;

struct nic {
	struct managed m;
	uint64_t rx_gpa[16][256];
	uint32_t rx_len;
};

static struct nic n[4];

static void give_buffers(struct nic *nic, unsigned int queue, unsigned int num, uint32_t len)
{
	struct seg seg;
	uint16_t head;

	nic->rx_len = len;
	while (num--) {
		seg = (struct seg){ guest_alloc(&d.c, len, 16), len, true };
		head = ring_put(&nic->m.ring[queue], &seg, 1);
		nic->rx_gpa[queue][head] = seg.gpa;
	}
	doorbell(&nic->m, queue);
}

static void nic_up(struct nic *nic, uint16_t pairs, uint64_t without, uint32_t buf_len)
{
	unsigned int i;

	CHECK_EQ(create_simple(&d, 1, "", pairs, &nic->m), 0);
	CHECK(bring_up(&nic->m, nic->m.info.num_vqs, 64,
		       without | BIT64(F_RING_EVENT_IDX)));
	for (i = 0; i < pairs && buf_len; i++)
		give_buffers(nic, 2 * i, BUFS, buf_len);
}

static void send_frame(struct nic *nic, unsigned int pair, const uint8_t *frame, uint32_t len)
{
	uint64_t gpa = guest_alloc(&d.c, HDR + len, 16);
	struct seg seg[2] = { { gpa, HDR, false }, { gpa + HDR, len, false } };

	memcpy(guest(&d.c, gpa + HDR), frame, len);
	ring_put(&nic->m.ring[2 * pair + 1], seg, 2);
	doorbell(&nic->m, 2 * pair + 1);
	CHECK(ring_wait(&nic->m.ring[2 * pair + 1], NULL, NULL));
}

/* Frames of the tests: addresses, and a length */
static void make_frame(uint8_t *frame, uint32_t len, const uint8_t *to, const uint8_t *from)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		frame[i] = i * 7;
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5;
}

/* What comes at a queue within some time. Return: its length, 0 for nothing. */
static uint32_t receive_within(struct nic *nic, unsigned int pair, uint8_t *frame, double seconds)
{
	struct ring *ring = &nic->m.ring[2 * pair];
	uint32_t len, total = 0, part, num = 1;
	double end = test_now() + seconds;
	uint8_t *p;
	uint16_t id, i;

	while (ring_used_idx(ring) == ring->used) {
		settle(&d.c, 0.0005);
		if (test_now() > end)
			return 0;
	}
	for (i = 0; i < num; i++) {
		if (!ring_wait(ring, &id, &len))
			return 0;
		p = guest(&d.c, nic->rx_gpa[2 * pair][id]);
		part = len;
		if (!i) {
			num = p[10] | p[11] << 8;
			CHECK(len >= HDR);
			p += HDR;
			part -= HDR;
		}
		memcpy(frame + total, p, part);
		total += part;
	}
	return total;
}

static uint32_t receive(struct nic *nic, unsigned int pair, uint8_t *frame)
{
	return receive_within(nic, pair, frame, DEADLINE);
}

/* Whether nothing comes; it would have come by now. */
static bool silent(struct nic *nic, unsigned int pair)
{
	static uint8_t frame[70000];

	return !receive_within(nic, pair, frame, 0.05);
}

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static uint8_t out[70000], in[70000];

/* Send from one to the address: it arrives at those of mask, and not at the others. */
static void arrives(int line, struct nic *from, const uint8_t *to, unsigned int mask)
{
	unsigned int i;

	make_frame(out, 100, to, from->m.config);
	send_frame(from, 0, out, 100);
	for (i = 0; i < 3; i++) {
		if (!(mask & 1 << i))
			continue;
		if (receive(&n[i], 0, in) != 100 || memcmp(in, out, 100))
			test_failed(__FILE__, line, "nothing arrives at %u", i);
		give_buffers(&n[i], 0, 1, 2048);
	}
	for (i = 0; i < 3; i++) {
		if (!(mask & 1 << i) && receive_within(&n[i], 0, in, 0.02))
			test_failed(__FILE__, line, "it arrives at %u", i);
	}
}

#define ARRIVES(from, to, mask)	arrives(__LINE__, &n[from], to, mask)

TEST(switch_learns)
{
	static const uint8_t unknown[6] = { 2, 9, 9, 9, 9, 9 };
	unsigned int i;

	driver_init(&d, NULL);
	for (i = 0; i < 3; i++)
		nic_up(&n[i], 1, 0, 2048);
	ARRIVES(0, broadcast, 6);
	ARRIVES(0, unknown, 6);
	/* Nobody knows yet where 1 is, until it has spoken. */
	ARRIVES(0, n[1].m.config, 6);
	ARRIVES(1, n[0].m.config, 1);
	ARRIVES(0, n[1].m.config, 2);
	ARRIVES(2, n[1].m.config, 2);
	ARRIVES(0, n[2].m.config, 4);
	/* One that is gone is forgotten. */
	CHECK_EQ(command(&d, n[1].m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	make_frame(out, 60, n[1].m.config, n[0].m.config);
	send_frame(&n[0], 0, out, 60);
	CHECK_EQ(receive(&n[2], 0, in), 60);
	CHECK_EQ(command(&d, n[2].m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	send_frame(&n[0], 0, out, 60);
	driver_exit(&d);
}

TEST(net_frames_of_all_lengths)
{
	static const uint32_t lengths[] = {
		14, 15, 59, 60, 1514, 1518, 2036, 2037, 4000, 9014, 20000,
	};
	unsigned int i;

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 2048);
	nic_up(&n[1], 1, 0, 2048);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		give_buffers(&n[1], 0, 1 + lengths[i] / 2048, 2048);
		make_frame(out, lengths[i], n[1].m.config, n[0].m.config);
		send_frame(&n[0], 0, out, lengths[i]);
		CHECK_EQ(receive(&n[1], 0, in), lengths[i]);
		CHECK(!memcmp(in, out, lengths[i]));
	}
	/* Too short, and too long, are taken and dropped. */
	make_frame(out, 66000, n[1].m.config, n[0].m.config);
	send_frame(&n[0], 0, out, 13);
	send_frame(&n[0], 0, out, 0);
	send_frame(&n[0], 0, out, 66000);
	CHECK(silent(&n[1], 0));
	driver_exit(&d);
}

TEST(net_without_merged_buffers)
{
	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 2048);
	nic_up(&n[1], 1, BIT64(VIRTIO_NET_F_MRG_RXBUF), 1526);
	make_frame(out, 2000, n[1].m.config, n[0].m.config);
	send_frame(&n[0], 0, out, 1515);	/* does not fit, and is dropped */
	send_frame(&n[0], 0, out, 1514);
	CHECK_EQ(receive(&n[1], 0, in), 1514);
	CHECK(!memcmp(in, out, 1514));
	CHECK(silent(&n[1], 0));
	driver_exit(&d);
}

/* Frames wait until there are buffers, and not for ever. */
TEST(net_waits_for_buffers)
{
	unsigned int i;

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 0);
	nic_up(&n[1], 1, 0, 0);
	make_frame(out, 100, n[1].m.config, n[0].m.config);
	for (i = 0; i < 1000; i++) {
		if (d.c.alloc > GUEST_BASE + GUEST_SIZE / 2)
			break;
		out[50] = i;
		send_frame(&n[0], 0, out, 100);
	}
	for (i = 0; i < 512; i++) {
		give_buffers(&n[1], 0, 1, 256);
		if (receive(&n[1], 0, in) != 100)
			break;
		CHECK_EQ(in[50], i & 255);
	}
	CHECK_EQ(i, 512);
	give_buffers(&n[1], 0, 1, 256);
	CHECK(silent(&n[1], 0));
	driver_exit(&d);
}

static int ctrl(struct nic *nic, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	uint64_t gpa = guest_alloc(&d.c, 8192, 16), ack = guest_alloc(&d.c, 1, 1);
	struct seg seg[3] = { { gpa, 2, false }, { gpa + 2, len, false }, { ack, 1, true } };
	struct ring *ring = &nic->m.ring[nic->m.info.num_vqs - 1];
	uint8_t hdr[2] = { class, cmd };
	uint32_t used;

	memcpy(guest(&d.c, gpa), hdr, 2);
	if (len)
		memcpy(guest(&d.c, gpa + 2), data, len);
	*(uint8_t *)guest(&d.c, ack) = 0xff;
	ring_put(ring, seg, 3);
	doorbell(&nic->m, nic->m.info.num_vqs - 1);
	if (!ring_wait(ring, NULL, &used))
		return -1;
	CHECK_EQ(used, 1);
	return *(uint8_t *)guest(&d.c, ack);
}

TEST(net_filters)
{
	static const uint8_t group[6] = { 0x01, 0, 0x5e, 1, 2, 3 };
	static const uint8_t other[6] = { 2, 0, 0, 0, 0, 77 };
	uint8_t on = 1, off = 0, bad = 2;
	uint8_t table[4 + 6 + 4 + 6] = { 1, 0, 0, 0 };
	uint8_t vlan[2] = { 5, 0 }, big[2] = { 0, 16 }, frame[100];

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 2048);
	nic_up(&n[1], 1, 0, 2048);
	nic_up(&n[2], 1, 0, 2048);
	ARRIVES(0, other, 6);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), 0);
	ARRIVES(0, other, 4);
	ARRIVES(0, n[1].m.config, 6);
	ARRIVES(0, broadcast, 6);
	ARRIVES(0, group, 4);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1), 0);
	ARRIVES(0, group, 6);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &off, 1), 0);
	ARRIVES(0, group, 4);
	memcpy(table + 4, other, 6);
	table[10] = 1;
	memcpy(table + 14, group, 6);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
		      sizeof(table)), 0);
	ARRIVES(0, group, 6);
	ARRIVES(0, other, 6);
	/* Another address of its own */
	table[4] = 6;
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, table + 4, 6), 0);
	ARRIVES(0, n[1].m.config, 4);
	ARRIVES(0, table + 4, 6);
	/* VLANs */
	make_frame(frame, 100, broadcast, n[0].m.config);
	memcpy(frame + 12, "\x81\0\x20\5", 4);
	send_frame(&n[0], 0, frame, 100);
	CHECK(silent(&n[1], 0));
	CHECK_EQ(receive(&n[2], 0, in), 100);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, vlan, 2), 0);
	send_frame(&n[0], 0, frame, 100);
	CHECK_EQ(receive(&n[1], 0, in), 100);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, vlan, 2), 0);
	send_frame(&n[0], 0, frame, 100);
	CHECK(silent(&n[1], 0));
	/* Nonsense */
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, big, 2), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_VLAN, 7, vlan, 2), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &bad, 1), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 0), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_RX, 9, &on, 1), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 19), 1);
	table[3] = 0xff;
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 20), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, group, 6), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &vlan, 2), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0), 0);
	CHECK_EQ(ctrl(&n[1], 99, 0, NULL, 0), 1);
	driver_exit(&d);
}

TEST(net_queue_pairs)
{
	static uint8_t frame[64];
	unsigned int i, k, pairs[4] = { 0 };
	uint16_t num = 4, zero = 0, many = 5;

	driver_init(&d, NULL);
	nic_up(&n[0], 4, 0, 2048);
	nic_up(&n[1], 4, 0, 2048);
	make_frame(frame, 64, n[1].m.config, n[0].m.config);
	memcpy(frame + 12, "\x08\0\x45", 3);	/* UDP over IPv4, no fragment */
	memset(frame + 20, 0, 2);
	frame[23] = 17;
	for (k = 0; k < 2; k++) {
		for (i = 0; i < 16; i++) {
			frame[37] = i;		/* destination port */
			send_frame(&n[0], i % 4, frame, 64);
			settle(&d.c, 0.002);
		}
		for (i = 0; i < 4; i++) {
			while (receive_within(&n[1], i, in, 0.1) == 64)
				pairs[i]++;
			give_buffers(&n[1], 2 * i, 8, 2048);
		}
		/* All at the first, until there are more; then spread */
		if (!k) {
			while (receive_within(&n[1], 0, in, 0.1) == 64)
				pairs[0]++;
			CHECK_EQ(pairs[0], 16);
			memset(pairs, 0, sizeof(pairs));
			give_buffers(&n[1], 0, 8, 2048);
			CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
				      &num, 2), 0);
			CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
				      &zero, 2), 1);
			CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
				      &many, 2), 1);
		}
	}
	for (i = 0; i < 4; i++)
		CHECK_EQ(pairs[i], 4);
	driver_exit(&d);
}

/* The uplink, where an interface may be made: what is sent there, and comes from there. */
TEST(net_uplink)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET };
	struct timeval patience = { .tv_sec = 2 };
	struct ifreq ifr = { .ifr_name = "tvqcheck0" };
	struct tvq_options opt;
	int fd, tun, i, found = 0;
	ssize_t len;

	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI;
	if (tun < 0 || ioctl(tun, TUNSETIFF, &ifr) || ioctl(tun, TUNSETPERSIST, 1)) {
		printf("    no TAP interface can be made here: not tested\n");
		if (tun >= 0)
			close(tun);
		return;
	}
	close(tun);
	client_options(&opt);
	opt.tap = "tvqcheck0";
	driver_init(&d, &opt);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));
	CHECK(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &ifr), 0);
	addr.sll_ifindex = ifr.ifr_ifindex;
	addr.sll_protocol = htons(0x88b5);
	CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	nic_up(&n[0], 1, 0, 2048);
	make_frame(out, 200, broadcast, n[0].m.config);
	send_frame(&n[0], 0, out, 200);
	len = recv(fd, in, sizeof(in), 0);
	CHECK_EQ(len, 200);
	CHECK(!memcmp(in, out, 200));
	make_frame(out, 300, n[0].m.config, broadcast);
	memcpy(out + 6, "\2\0\0\0\0\1", 6);
	CHECK_EQ(send(fd, out, 300, 0), 300);
	/* The host's own frames come there, too. */
	for (i = 0; i < 8 && !found; i++)
		found = receive(&n[0], 0, in) == 300 && !memcmp(in, out, 300);
	CHECK(found);
	driver_exit(&d);
	close(fd);
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI;
	CHECK_EQ(ioctl(tun, TUNSETIFF, &ifr), 0);
	CHECK_EQ(ioctl(tun, TUNSETPERSIST, 0), 0);
	close(tun);
	/* A name that cannot be one */
	opt.tap = "an interface with too long a name";
	opt.socket = "/tmp/tvq-check-tap";
	CHECK_EQ(tvq_start(&d.c.tvq, &opt), -1);
}

/* Without MQ the control queue is queue 2, however many there are. */
TEST(net_control_queue_without_mq)
{
	uint8_t on = 1;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 1, "", 2, &n[0].m), 0);
	CHECK_EQ(n[0].m.info.num_vqs, 5);
	CHECK(bring_up(&n[0].m, 3, 64, BIT64(VIRTIO_NET_F_MQ) | BIT64(F_RING_EVENT_IDX)));
	n[0].m.info.num_vqs = 3;
	CHECK_EQ(ctrl(&n[0], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), 0);
	driver_exit(&d);
}
