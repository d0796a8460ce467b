// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Frames by themselves: segments, checksums, hashes. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

/* The sum of what a checksum covers, which is 0xffff if it is right. */
static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t value)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		value += i % 2 ? p[i] : p[i] << 8;
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return value;
}

/*
 * A packet: tags of VLANs, IP of a version, extension headers of 8 bytes, TCP or
 * UDP, payload. Its checksum is left to do, and it is to be cut in segments.
 */
static struct frame *packet(unsigned int tags, int version, unsigned int extensions, bool tcp,
			    uint32_t payload, uint16_t size)
{
	uint32_t l3 = 14 + 4 * tags, l4 = l3 + (version == 4 ? 20 : 40 + 8 * extensions);
	uint32_t hdr = l4 + (tcp ? 32 : 8), i;
	struct frame *frame = frame_alloc(hdr + payload);
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !tcp ? VIRTIO_NET_HDR_GSO_UDP_L4 : version == 4 ?
			    VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6,
		.gso_size = size,
		.csum_start = l4,
		.csum_offset = tcp ? 16 : 6,
	};
	uint8_t *p = frame->data;

	for (i = 0; i < frame->len; i++)
		p[i] = i * 11 + i / 256;
	for (i = 0; i < tags; i++)
		memcpy(p + 12 + 4 * i, i + 1 < tags ? "\x88\xa8\0\1" : "\x81\0\0\2", 4);
	memcpy(p + l3 - 2, version == 4 ? "\x08\0" : "\x86\xdd", 2);
	if (version == 4) {
		memcpy(p + l3, "\x45\0\0\0\xff\xfe\x40\0\x40\0\0\0", 12);
		p[l3 + 9] = tcp ? 6 : 17;
	} else {
		p[l3] = 0x60;
		p[l3 + 6] = extensions ? 60 : tcp ? 6 : 17;
		for (i = 0; i < extensions; i++) {
			p[l3 + 40 + 8 * i] = i + 1 < extensions ? 60 : tcp ? 6 : 17;
			p[l3 + 41 + 8 * i] = 0;
		}
	}
	if (tcp) {
		memcpy(p + l4 + 4, "\xff\xff\xff\0", 4);
		p[l4 + 12] = 0x80;
		p[l4 + 13] = 0x99;	/* CWR, ACK, PSH, FIN */
		vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	}
	CHECK(frame_offload(frame, &vnet));
	CHECK_EQ(frame->hdr_len, hdr);
	return frame;
}

static void check_segments(unsigned int tags, int version, unsigned int extensions, bool tcp,
			   uint32_t payload, uint16_t size)
{
	uint32_t l3 = 14 + 4 * tags, l4 = l3 + (version == 4 ? 20 : 40 + 8 * extensions);
	uint32_t hdr = l4 + (tcp ? 32 : 8), at = 0, part, n, i, pseudo;
	struct frame *frame = packet(tags, version, extensions, tcp, payload, size), *s;
	uint8_t *p;

	n = frame_segments(frame);
	CHECK_EQ(n, payload ? (payload + size - 1) / size : 1);
	for (i = 0; i < n; i++, at += part) {
		s = frame_segment(frame, i);
		p = s->data;
		part = payload - at < size ? payload - at : size;
		CHECK_EQ(s->len, hdr + part);
		CHECK_EQ(s->flags | s->gso_type | s->gso_size | s->ecn, 0);
		CHECK(!memcmp(p, frame->data, l3));
		CHECK(!memcmp(p + hdr, frame->data + hdr + at, part));
		if (version == 4) {
			CHECK_EQ(get16(p + l3 + 2), s->len - l3);
			CHECK_EQ(get16(p + l3 + 4), (0xfffe + i) & 0xffff);
			CHECK_EQ(sum(p + l3, 20, 0), 0xffff);
			pseudo = sum(p + l3 + 12, 8, 0);
		} else {
			CHECK_EQ(get16(p + l3 + 4), s->len - l3 - 40);
			pseudo = sum(p + l3 + 8, 32, 0);
		}
		CHECK_EQ(sum(p + l4, s->len - l4, pseudo + (tcp ? 6 : 17) + s->len - l4), 0xffff);
		if (tcp) {
			CHECK_EQ((uint32_t)get16(p + l4 + 4) << 16 | get16(p + l4 + 6),
				 0xffffff00u + at);
			CHECK_EQ(p[l4 + 13], 0x10 | (i ? 0 : 0x80) | (i + 1 == n ? 9 : 0));
			CHECK(!memcmp(p + l4 + 20, frame->data + l4 + 20, 12));
		} else {
			CHECK_EQ(get16(p + l4 + 4), 8 + part);
			CHECK(get16(p + l4 + 6));
		}
		frame_put(s);
	}
	CHECK_EQ(at, payload);
	frame_put(frame);
}

TEST(frame_cut_in_segments)
{
	static const uint32_t payloads[] = { 0, 1, 999, 1000, 1001, 5555, 60000 };
	unsigned int i, tags;

	for (i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		for (tags = 0; tags < 3; tags++) {
			check_segments(tags, 4, 0, true, payloads[i], 1000);
			check_segments(tags, 4, 0, false, payloads[i], 1000);
			check_segments(tags, 6, 0, true, payloads[i], 1000);
			check_segments(tags, 6, 2, true, payloads[i], 999);
			check_segments(tags, 6, 1, false, payloads[i], 1448);
		}
	}
}

/* The numbers of Microsoft's "Verifying the RSS hash calculation" */
TEST(frame_hash_numbers)
{
	static const uint8_t key[HASH_KEY_MAX] = {
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
		0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
		0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
	};
	static const uint8_t v4[] = { 66, 9, 149, 187, 161, 142, 100, 80, 10, 234, 6, 230 };
	static const uint8_t v6[] = {
		0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7,
		0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1,
		10, 234, 6, 230,
	};
	struct frame *frame;
	uint32_t hash;

	frame = packet(0, 4, 0, true, 100, 50);
	memcpy(frame->data + 26, v4, sizeof(v4));
	CHECK_EQ(frame_hash(frame, 0x3f, key, &hash), VIRTIO_NET_HASH_REPORT_TCPv4);
	CHECK_EQ(hash, 0x51ccc178);
	CHECK_EQ(frame_hash(frame, VIRTIO_NET_RSS_HASH_TYPE_IPv4, key, &hash),
		 VIRTIO_NET_HASH_REPORT_IPv4);
	CHECK_EQ(hash, 0x323e8fc2);
	CHECK_EQ(frame_hash(frame, VIRTIO_NET_RSS_HASH_TYPE_UDPv4, key, &hash),
		 VIRTIO_NET_HASH_REPORT_NONE);
	/* A fragment has no ports. */
	frame->data[20] = 0x20;
	CHECK_EQ(frame_hash(frame, 0x3f, key, &hash), VIRTIO_NET_HASH_REPORT_IPv4);
	CHECK_EQ(hash, 0x323e8fc2);
	frame_put(frame);

	frame = packet(1, 6, 0, false, 100, 50);
	memcpy(frame->data + 26, v6, sizeof(v6));
	CHECK_EQ(frame_hash(frame, 0x3f, key, &hash), VIRTIO_NET_HASH_REPORT_UDPv6);
	CHECK_EQ(hash, 0x40207d3d);
	CHECK_EQ(frame_hash(frame, VIRTIO_NET_RSS_HASH_TYPE_IPv6, key, &hash),
		 VIRTIO_NET_HASH_REPORT_IPv6);
	CHECK_EQ(hash, 0x2cc18cd5);
	frame_put(frame);
}

/* Whatever a frame holds: nothing outside it is touched. For the sanitizers. */
TEST(frame_of_anything)
{
	static const uint16_t types[] = { 0x0800, 0x86dd, 0x8100, 0x88a8 };
	static const uint8_t key[HASH_KEY_MAX];
	unsigned int i, k, at, seed = test_seed(5);
	struct virtio_net_hdr hdr;
	struct frame *frame, *other;
	uint32_t hash;

	for (i = 0; i < 50000; i++) {
		frame = frame_alloc(FRAME_MIN + rand_r(&seed) % 120);
		for (k = 0; k < frame->len; k++)
			frame->data[k] = rand_r(&seed) >> 5;
		for (at = 12; at + 2 <= frame->len && at < 24; at += 4) {
			k = types[rand_r(&seed) % 4];
			frame->data[at] = k >> 8;
			frame->data[at + 1] = k;
			if (at + 10 < frame->len) {
				frame->data[at + 2] = k == 0x86dd ? 0x60 : 0x45;
				frame->data[at + 8] = rand_r(&seed) % 3 ? 60 : 6;
				if (at + 11 < frame->len)
					frame->data[at + 11] = rand_r(&seed) % 2 ? 6 : 17;
			}
		}
		for (k = 0; k < sizeof(hdr); k++)
			((uint8_t *)&hdr)[k] = rand_r(&seed) >> 5;
		hdr.flags = 1;
		hdr.gso_type = rand_r(&seed) % 6;
		hdr.csum_start = rand_r(&seed) % 80;
		hdr.csum_offset = rand_r(&seed) % 2 ? 16 : rand_r(&seed) % 40;
		frame_hash(frame, 0x3f, key, &hash);
		frame_flow(frame);
		if (frame_offload(frame, &hdr)) {
			if (frame->gso_type) {
				for (k = 0; k < frame_segments(frame); k++) {
					other = frame_segment(frame, k);
					CHECK(other->len <= frame->len);
					frame_put(other);
				}
			} else {
				frame_put(frame_checksummed(frame));
			}
		}
		frame_put(frame);
	}
}
