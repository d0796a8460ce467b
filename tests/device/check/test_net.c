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
static struct virtio_net_hdr_v1 no_hdr, in_hdr;	/* in_hdr: of what was received last */

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

static void send_with(struct nic *nic, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
		      const uint8_t *frame, uint32_t len)
{
	uint64_t gpa = guest_alloc(&d.c, HDR + len, 16);
	struct seg seg[2] = { { gpa, HDR, false }, { gpa + HDR, len, false } };

	memcpy(guest(&d.c, gpa), hdr, HDR);
	memcpy(guest(&d.c, gpa + HDR), frame, len);
	ring_put(&nic->m.ring[2 * pair + 1], seg, 2);
	doorbell(&nic->m, 2 * pair + 1);
	CHECK(ring_wait(&nic->m.ring[2 * pair + 1], NULL, NULL));
}

static void send_frame(struct nic *nic, unsigned int pair, const uint8_t *frame, uint32_t len)
{
	send_with(nic, pair, &no_hdr, frame, len);
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
			memcpy(&in_hdr, p, HDR);
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
	/* 512 wait, behind the one that it is at. */
	for (i = 0; i < 513; i++) {
		give_buffers(&n[1], 0, 1, 256);
		if (receive(&n[1], 0, in) != 100)
			break;
		CHECK_EQ(in[50], i & 255);
	}
	CHECK_EQ(i, 513);
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

TEST(net_filters_extra)
{
	static const uint8_t group[6] = { 0x01, 0, 0x5e, 1, 2, 3 };
	static const uint8_t other[6] = { 2, 0, 0, 0, 0, 77 };
	static uint8_t table[4 + 100 * 6 + 4];
	uint8_t on = 1, off = 0;
	unsigned int i;

#define RX(cmd, value)	\
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_##cmd, value, 1), 0)
	driver_init(&d, NULL);
	for (i = 0; i < 3; i++)
		nic_up(&n[i], 1, 0, 2048);
	RX(PROMISC, &off);
	ARRIVES(0, other, 4);
	RX(ALLUNI, &on);
	ARRIVES(0, other, 6);
	RX(ALLUNI, &off);
	RX(NOBCAST, &on);
	ARRIVES(0, broadcast, 4);
	RX(NOBCAST, &off);
	ARRIVES(0, broadcast, 6);
	RX(ALLMULTI, &on);
	ARRIVES(0, group, 6);
	RX(NOMULTI, &on);
	ARRIVES(0, group, 4);
	RX(NOUNI, &on);
	ARRIVES(0, n[1].m.config, 4);
	RX(NOUNI, &off);
	ARRIVES(0, n[1].m.config, 6);
	/* A table with more than there is room for: all of the kind, until a smaller one. */
	table[0] = 100;
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
		      sizeof(table)), 0);
	ARRIVES(0, other, 6);
	table[0] = 0;
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 8), 0);
	ARRIVES(0, other, 4);
	/* Not negotiated */
	nic_up(&n[3], 1, BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA), 2048);
	CHECK_EQ(ctrl(&n[3], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, &on, 1), 1);
	CHECK_EQ(ctrl(&n[3], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), 0);
	driver_exit(&d);
#undef RX
}

/*
 * Offloads
 */

#define OFFLOADS	(BIT64(VIRTIO_NET_F_GUEST_TSO4) | BIT64(VIRTIO_NET_F_GUEST_TSO6) | \
			 BIT64(VIRTIO_NET_F_GUEST_ECN) | BIT64(VIRTIO_NET_F_GUEST_CSUM) | \
			 BIT64(54) | BIT64(55))

/* A TCP packet over IPv4, with a payload, to be cut in segments of size, if it is not 0. */
static void make_tcp(uint8_t *frame, uint32_t payload, uint16_t size, struct virtio_net_hdr_v1 *hdr,
		     const uint8_t *to, const uint8_t *from)
{
	make_frame(frame, 54 + payload, to, from);
	memcpy(frame + 12, "\x08\0\x45\0\0\0\x12\x34\x40\0\x40\6\0\0\xc0\0\2\1\xc0\0\2\2", 22);
	frame[16] = (40 + payload) >> 8;
	frame[17] = 40 + payload;
	memcpy(frame + 34, "\x12\x34\0\x50\0\0\0\1\0\0\0\2\x50\x18\x10\0\x12\x34\0\0", 20);
	memset(hdr, 0, sizeof(*hdr));
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = 34;
	hdr->csum_offset = 16;
	hdr->gso_type = size ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_NONE;
	hdr->gso_size = size;
	hdr->hdr_len = 54;
}

/* Who takes a frame as it is gets it so; for others the device does what was left to do. */
TEST(net_offloads)
{
	struct virtio_net_hdr_v1 hdr;
	uint64_t offloads = 0;
	uint32_t sum, i, k;

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 0);
	nic_up(&n[1], 1, 0, 2048);
	nic_up(&n[2], 1, OFFLOADS, 2048);
	make_tcp(out, 100, 0, &hdr, broadcast, n[0].m.config);
	send_with(&n[0], 0, &hdr, out, 154);
	CHECK_EQ(receive(&n[1], 0, in), 154);
	CHECK(!memcmp(in, out, 154));
	hdr.num_buffers = 1;
	hdr.hdr_len = 0;
	CHECK(!memcmp(&in_hdr, &hdr, HDR));
	CHECK_EQ(receive(&n[2], 0, in), 154);
	CHECK_EQ(in_hdr.flags, 0);
	CHECK(memcmp(in, out, 154));
	for (sum = 0, i = 34; i < 154; i += 2)
		sum += out[i] << 8 | out[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	CHECK_EQ(in[50] << 8 | in[51], ~sum & 0xffff);

	for (k = 0; k < 2; k++) {
		give_buffers(&n[1], 0, 8, 2048);
		give_buffers(&n[2], 0, 8, 2048);
		make_tcp(out, 5000, 1448, &hdr, broadcast, n[0].m.config);
		send_with(&n[0], 0, &hdr, out, 5054);
		if (!k) {
			CHECK_EQ(receive(&n[1], 0, in), 5054);
			CHECK(!memcmp(in, out, 5054));
			hdr.num_buffers = 3;
			CHECK(!memcmp(&in_hdr, &hdr, HDR));
			/* From now on it is in segments for this one, too. */
			CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				      VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &offloads, 8), 0);
		} else {
			for (i = 0; i < 4; i++)
				CHECK_EQ(receive(&n[1], 0, in), i < 3 ? 54 + 1448 : 54 + 656);
		}
		for (i = 0; i < 4; i++) {
			CHECK_EQ(receive(&n[2], 0, in), i < 3 ? 54 + 1448 : 54 + 656);
			CHECK_EQ(in_hdr.flags | in_hdr.gso_type | in_hdr.gso_size, 0);
			CHECK(!memcmp(in + 54, out + 54 + 1448 * i, i < 3 ? 1448 : 656));
		}
		CHECK(silent(&n[1], 0) && silent(&n[2], 0));
	}
	offloads = BIT64(VIRTIO_NET_F_HOST_TSO4);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
		      &offloads, 8), 1);
	offloads = BIT64(VIRTIO_NET_F_GUEST_CSUM);
	CHECK_EQ(ctrl(&n[2], VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
		      &offloads, 8), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
		      &offloads, 7), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, &offloads, 8), 1);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
		      &offloads, 8), 0);
	driver_exit(&d);
}

/* A large frame whose segments are more than there are buffers for at once */
TEST(net_segments_wait_for_buffers)
{
	struct virtio_net_hdr_v1 hdr;
	unsigned int i;

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 0);
	nic_up(&n[1], 1, OFFLOADS | BIT64(VIRTIO_NET_F_MRG_RXBUF), 0);
	make_tcp(out, 60000, 1000, &hdr, n[1].m.config, n[0].m.config);
	send_with(&n[0], 0, &hdr, out, 60054);
	CHECK(silent(&n[1], 0));
	for (i = 0; i < 60; i++) {
		give_buffers(&n[1], 0, 1, 1526);
		CHECK_EQ(receive(&n[1], 0, in), 1054);
		CHECK(!memcmp(in + 54, out + 54 + 1000 * i, 1000));
	}
	/* A reset in the middle of one */
	send_with(&n[0], 0, &hdr, out, 60054);
	give_buffers(&n[1], 0, 1, 1526);
	CHECK_EQ(receive(&n[1], 0, in), 1054);
	CHECK_EQ(command(&d, n[1].m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	driver_exit(&d);
}

TEST(net_hostile_headers)
{
	static const struct {
		const char *what;
		uint8_t flags, gso_type;
		uint16_t gso_size, csum_start, csum_offset;
	} cases[] = {
		{ "checksum behind the end", 1, 0, 0, 5053, 16 },
		{ "checksum far behind the end", 1, 0, 0, 0xffff, 16 },
		{ "offset far behind the end", 1, 0, 0, 34, 0xffff },
		{ "checksum in the Ethernet header", 1, 0, 0, 4, 16 },
		{ "segments of nothing", 1, 1, 0, 34, 16 },
		{ "too many segments", 1, 1, 1, 34, 16 },
		{ "segments without a checksum", 0, 1, 1448, 34, 16 },
		{ "checksum not of TCP", 1, 1, 1448, 32, 16 },
		{ "offset not of TCP", 1, 1, 1448, 34, 6 },
		{ "IPv6, and it is not", 1, 4, 1448, 34, 16 },
		{ "UDP, and it is not", 1, 5, 1448, 34, 6 },
		{ "UFO, which is not offered", 1, 3, 1448, 34, 6 },
		{ "a type that there is not", 1, 2, 1448, 34, 16 },
		{ "ECN without segments", 1, 0x80, 1448, 34, 16 },
	};
	struct virtio_net_hdr_v1 hdr;
	unsigned int i, seed = test_seed(77);

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 0);
	nic_up(&n[1], 1, OFFLOADS, 2048);
	nic_up(&n[2], 1, BIT64(VIRTIO_NET_F_CSUM) | BIT64(VIRTIO_NET_F_HOST_TSO4) |
	       BIT64(VIRTIO_NET_F_HOST_TSO6) | BIT64(VIRTIO_NET_F_HOST_ECN) | BIT64(56), 0);
	make_tcp(out, 5000, 1448, &hdr, n[1].m.config, n[0].m.config);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&hdr, 0, sizeof(hdr));
		hdr.flags = cases[i].flags;
		hdr.gso_type = cases[i].gso_type;
		hdr.gso_size = cases[i].gso_size;
		hdr.csum_start = cases[i].csum_start;
		hdr.csum_offset = cases[i].csum_offset;
		send_with(&n[0], 0, &hdr, out, 5054);
		if (receive_within(&n[1], 0, in, 0.01))
			test_failed(__FILE__, __LINE__, "%s: it arrives", cases[i].what);
	}
	/* What was not negotiated */
	make_tcp(out, 5000, 1448, &hdr, n[1].m.config, n[0].m.config);
	send_with(&n[2], 0, &hdr, out, 5054);
	CHECK(silent(&n[1], 0));
	/* The packet itself is wrong. */
	out[46] = 0x40;
	send_with(&n[0], 0, &hdr, out, 5054);
	out[46] = 0xf0;
	send_with(&n[0], 0, &hdr, out, 60);
	out[14] = 0x4f;
	send_with(&n[0], 0, &hdr, out, 60);
	CHECK(silent(&n[1], 0));
	/* Anything */
	for (i = 0; i < 1500; i++) {
		d.c.alloc = GUEST_BASE + GUEST_SIZE / 2;
		make_tcp(out, 5000, 1448, &hdr, n[1].m.config, n[0].m.config);
		out[12 + rand_r(&seed) % 60] = rand_r(&seed) >> 4;
		((uint8_t *)&hdr)[rand_r(&seed) % 10] = rand_r(&seed) >> 4;
		((uint8_t *)&hdr)[rand_r(&seed) % 10] ^= 1 << rand_r(&seed) % 8;
		send_with(&n[0], 0, &hdr, out, 14 + rand_r(&seed) % 5041);
		if (n[1].m.ring[0].used != ring_used_idx(&n[1].m.ring[0])) {
			n[1].m.ring[0].used = ring_used_idx(&n[1].m.ring[0]);
			d.c.alloc = GUEST_BASE + GUEST_SIZE / 4;
			while ((uint16_t)(n[1].m.ring[0].avail - n[1].m.ring[0].used) < BUFS)
				give_buffers(&n[1], 0, 1, 2048);
		}
	}
	settle(&d.c, 0.1);
	CHECK_EQ(command(&d, n[1].m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK(bring_up(&n[1].m, 3, 64, BIT64(F_RING_EVENT_IDX)));
	give_buffers(&n[1], 0, BUFS, 2048);
	make_tcp(out, 5000, 1448, &hdr, n[1].m.config, n[0].m.config);
	send_with(&n[0], 0, &hdr, out, 5054);
	CHECK_EQ(receive(&n[1], 0, in), 5054);
	driver_exit(&d);
}

struct rss_command {
	uint32_t types;
	uint16_t mask;
	uint16_t unclassified;
	uint16_t table[4];
	uint16_t max_tx;
	uint8_t key_len;
	uint8_t key[40];
} __attribute__((packed));

static int rss(struct nic *nic, const struct rss_command *command, uint32_t len)
{
	return ctrl(nic, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, command, len);
}

TEST(net_rss)
{
	const struct rss_command good = { .types = 0x3f, .mask = 3, .unclassified = 3,
					  .table = { 2, 2, 2, 2 }, .max_tx = 4, .key_len = 40 };
	struct rss_command c = good;
	struct virtio_net_hdr_v1 hdr;

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 0);
	nic_up(&n[1], 4, 0, 2048);
	CHECK_EQ(rss(&n[1], &c, sizeof(c)), 0);
	make_tcp(out, 100, 0, &hdr, n[1].m.config, n[0].m.config);
	send_frame(&n[0], 0, out, 154);
	CHECK_EQ(receive(&n[1], 2, in), 154);
	make_frame(out, 60, n[1].m.config, n[0].m.config);
	send_frame(&n[0], 0, out, 60);
	CHECK_EQ(receive(&n[1], 3, in), 60);
	/* The key is 0, and so is the hash. */
	c.table[0] = 1;
	CHECK_EQ(rss(&n[1], &c, sizeof(c)), 0);
	make_tcp(out, 100, 0, &hdr, n[1].m.config, n[0].m.config);
	send_frame(&n[0], 0, out, 154);
	CHECK_EQ(receive(&n[1], 1, in), 154);

#define WRONG(field, value)	(c = good, c.field = value, rss(&n[1], &c, sizeof(c)))
	CHECK_EQ(WRONG(types, 0x40), 1);
	CHECK_EQ(WRONG(mask, 2), 1);
	CHECK_EQ(WRONG(mask, 0xffff), 1);
	CHECK_EQ(WRONG(mask, 127), 1);
	CHECK_EQ(WRONG(unclassified, 4), 1);
	CHECK_EQ(WRONG(table[3], 4), 1);
	CHECK_EQ(WRONG(max_tx, 0), 1);
	CHECK_EQ(WRONG(max_tx, 5), 1);
	CHECK_EQ(WRONG(key_len, 38), 1);
	CHECK_EQ(WRONG(key_len, 39), 0);	/* a byte too many is what Linux 7.2 sends */
	CHECK_EQ(WRONG(key_len, 41), 1);
	c = good;
	CHECK_EQ(rss(&n[1], &c, sizeof(c) - 1), 1);
	CHECK_EQ(rss(&n[1], &c, 7), 1);
	CHECK_EQ(rss(&n[1], &c, 0), 1);
	c.key_len = 0;
	CHECK_EQ(rss(&n[1], &c, sizeof(c) - 40), 1);
	c.types = 0;
	CHECK_EQ(rss(&n[1], &c, sizeof(c) - 40), 0);
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, &c, 13), 1);
	/* Without it */
	CHECK(!(n[0].m.info.features[0] & BIT64(VIRTIO_NET_F_RSS)));
	CHECK_EQ(rss(&n[0], &good, sizeof(good)), 1);
	driver_exit(&d);
}

/* The longer header, with a hash, in both directions */
TEST(net_hash_report)
{
	struct virtio_tvq_create req = { .type = 1, .flags = VIRTIO_TVQ_CREATE_F_FEATURES };
	uint8_t config[12 + 41] = { 0x3f, [12] = 40, [13] = 0x80 };
	struct virtio_net_hdr_v1 hdr;
	uint64_t gpa;
	struct seg seg;
	uint8_t *p;
	uint32_t len;

	driver_init(&d, NULL);
	nic_up(&n[0], 1, 0, 2048);
	CHECK(!(n[0].m.info.features[0] & BIT64(VIRTIO_NET_F_HASH_REPORT)));
	req.features[0] = n[0].m.info.features[0] | BIT64(VIRTIO_NET_F_HASH_REPORT);
	CHECK_EQ(create(&d, &req, &n[1].m), 0);
	CHECK(bring_up(&n[1].m, 3, 64, BIT64(F_RING_EVENT_IDX)));
	CHECK_EQ(ctrl(&n[1], VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, config,
		      sizeof(config)), 0);
	gpa = guest_alloc(&d.c, 2048, 16);
	p = guest(&d.c, gpa);
	seg = (struct seg){ gpa, 2048, true };
	ring_put(&n[1].m.ring[0], &seg, 1);
	doorbell(&n[1].m, 0);
	make_tcp(out, 100, 0, &hdr, n[1].m.config, n[0].m.config);
	send_frame(&n[0], 0, out, 154);
	CHECK(ring_wait(&n[1].m.ring[0], NULL, &len));
	CHECK_EQ(len, 20 + 154);
	CHECK(!memcmp(p + 20, out, 154));
	/* The first bit of the key: the first bit of the address, 192.0.2.1, is at the top. */
	CHECK_EQ(*(uint32_t *)(p + 12) >> 31, 1);
	CHECK_EQ(*(uint16_t *)(p + 16), VIRTIO_NET_HASH_REPORT_TCPv4);
	/* And back */
	memset(p, 0, 20);
	make_frame(p + 20, 100, n[0].m.config, n[1].m.config);
	seg = (struct seg){ gpa, 120, false };
	ring_put(&n[1].m.ring[1], &seg, 1);
	doorbell(&n[1].m, 1);
	CHECK_EQ(receive(&n[0], 0, in), 100);
	CHECK(!memcmp(in, p + 20, 100));
	driver_exit(&d);
}

TEST(net_features_need_others)
{
	static const struct {
		uint64_t bit, needs;
	} rules[] = {
		{ VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM },
		{ 54, VIRTIO_NET_F_GUEST_CSUM },
		{ VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM },
		{ 56, VIRTIO_NET_F_CSUM },
		{ VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4 },
		{ VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ },
		{ VIRTIO_NET_F_RSS, VIRTIO_NET_F_CTRL_VQ },
		{ VIRTIO_NET_F_HASH_REPORT, VIRTIO_NET_F_CTRL_VQ },
		{ VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_CTRL_VQ },
	};
	struct virtio_tvq_create req = { .type = 1, .flags = VIRTIO_TVQ_CREATE_F_FEATURES };
	const uint64_t base = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	unsigned int i;

	driver_init(&d, NULL);
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		req.features[0] = base | BIT64(rules[i].bit);
		CHECK_EQ(create(&d, &req, NULL), ERR(EINVAL, FEATURES));
		req.features[0] |= BIT64(rules[i].needs) | BIT64(VIRTIO_NET_F_CSUM);
		CHECK_EQ(create(&d, &req, NULL), 0);
	}
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
	struct virtio_net_hdr_v1 hdr;
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
	/* What is to be cut in segments goes there in one piece: it can wait for the next wire. */
	addr.sll_protocol = htons(0x0800);
	CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	make_tcp(out, 5000, 1448, &hdr, broadcast, n[0].m.config);
	send_with(&n[0], 0, &hdr, out, 5054);
	CHECK_EQ(recv(fd, in, sizeof(in), 0), 5054);
	CHECK(!memcmp(in, out, 5054));
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
	CHECK(bring_up(&n[0].m, 3, 64, BIT64(VIRTIO_NET_F_MQ) | BIT64(VIRTIO_NET_F_RSS) |
		       BIT64(F_RING_EVENT_IDX)));
	n[0].m.info.num_vqs = 3;
	CHECK_EQ(ctrl(&n[0], VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), 0);
	driver_exit(&d);
}
