// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Frames: what is left to do with one, and how it is done. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define TCP		6
#define UDP		17
#define TCP_CHECK	16		/* offsets of the checksums */
#define UDP_CHECK	6
#define TCP_FLAGS	13
#define TCP_FIN_PSH	0x09
#define TCP_CWR		0x80

struct frame *frame_alloc(uint32_t len)
{
	struct frame *frame = malloc(sizeof(*frame) + len);

	if (frame) {
		memset(frame, 0, sizeof(*frame));
		frame->refs = 1;
		frame->len = len;
	}
	return frame;
}

struct frame *frame_get(struct frame *frame)
{
	__atomic_add_fetch(&frame->refs, 1, __ATOMIC_RELAXED);
	return frame;
}

void frame_put(struct frame *frame)
{
	if (!__atomic_sub_fetch(&frame->refs, 1, __ATOMIC_ACQ_REL))
		free(frame);
}

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = value >> 8;
	p[1] = value;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value);
}

/*
 * Where the headers are
 */

struct layers {
	unsigned int version;		/* of IP: 4, 6, or 0 */
	uint32_t l3;
	uint8_t protocol;		/* 0: a fragment, or not to be found */
	uint32_t l4;
};

/* Skip extension headers. */
static void parse_ipv6(const struct frame *frame, struct layers *layers)
{
	uint8_t next = frame->data[layers->l3 + 6];
	uint32_t at = layers->l3 + 40;

	/* Hop-by-hop, routing and destination options */
	while (next == 0 || next == 43 || next == 60) {
		if (at + 8 > frame->len)
			return;
		next = frame->data[at];
		at += 8 + 8 * frame->data[at + 1];
	}
	if (at > frame->len || next == 44)
		return;
	layers->protocol = next;
	layers->l4 = at;
}

static void parse(const struct frame *frame, struct layers *layers)
{
	const uint8_t *data = frame->data;
	uint32_t at = 12, left, ihl;
	unsigned int tags = 0;
	uint16_t type = get16(data + at);

	memset(layers, 0, sizeof(*layers));
	while ((type == 0x8100 || type == 0x88a8) && tags++ < 2 && at + 6 <= frame->len) {
		at += 4;
		type = get16(data + at);
	}
	at += 2;
	left = frame->len - at;
	layers->l3 = at;
	if (type == 0x0800 && left >= 20 && data[at] >> 4 == 4) {
		ihl = 4 * (data[at] & 15);
		if (ihl < 20 || ihl > left)
			return;
		layers->version = 4;
		if (get16(data + at + 6) & 0x3fff)
			return;
		layers->protocol = data[at + 9];
		layers->l4 = at + ihl;
	} else if (type == 0x86dd && left >= 40 && data[at] >> 4 == 6) {
		layers->version = 6;
		parse_ipv6(frame, layers);
	}
}

/* The length of all headers of a TCP or UDP packet, 0 if it is none. */
static uint32_t headers(const struct frame *frame, const struct layers *layers)
{
	uint32_t len;

	if (layers->protocol == UDP)
		len = 8;
	else if (layers->protocol == TCP && layers->l4 + 20 <= frame->len)
		len = 4 * (frame->data[layers->l4 + 12] >> 4);
	else
		return 0;
	if (layers->protocol == TCP && len < 20)
		return 0;
	return layers->l4 + len <= frame->len ? layers->l4 + len : 0;
}

/*
 * What is left to do
 */

static bool gso_ok(struct frame *frame)
{
	struct layers layers;
	uint32_t hdr_len;
	bool tcp;

	parse(frame, &layers);
	hdr_len = headers(frame, &layers);
	if (!hdr_len || !frame->gso_size)
		return false;
	switch (frame->gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		tcp = true;
		if (layers.version != 4)
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		tcp = true;
		if (layers.version != 6)
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		tcp = false;
		break;
	default:
		return false;
	}
	if (layers.protocol != (tcp ? TCP : UDP) || (frame->ecn && !tcp))
		return false;
	/* A segment has a new checksum, so it must be clear where that is. */
	if (!(frame->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || frame->csum_start != layers.l4 ||
	    frame->csum_offset != (tcp ? TCP_CHECK : UDP_CHECK))
		return false;
	frame->hdr_len = hdr_len;
	return frame_segments(frame) <= FRAME_SEGMENTS_MAX;
}

bool frame_offload(struct frame *frame, const struct virtio_net_hdr *hdr)
{
	frame->flags = hdr->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
	frame->gso_type = hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	frame->ecn = hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN;
	if (frame->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		frame->csum_start = le16toh((uint16_t)hdr->csum_start);
		frame->csum_offset = le16toh((uint16_t)hdr->csum_offset);
		if (frame->csum_start < FRAME_MIN ||
		    (uint32_t)frame->csum_start + frame->csum_offset + 2 > frame->len)
			return false;
	}
	if (frame->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return !frame->ecn;
	frame->gso_size = le16toh((uint16_t)hdr->gso_size);
	return gso_ok(frame);
}

void frame_header(const struct frame *frame, struct virtio_net_hdr *hdr)
{
	memset(hdr, 0, sizeof(*hdr));
	hdr->flags = frame->flags;
	hdr->gso_type = frame->gso_type | (frame->ecn ? VIRTIO_NET_HDR_GSO_ECN : 0);
	hdr->hdr_len = htole16(frame->hdr_len);
	hdr->gso_size = htole16(frame->gso_size);
	hdr->csum_start = htole16(frame->csum_start);
	hdr->csum_offset = htole16(frame->csum_offset);
}

/*
 * Doing it
 */

static uint64_t sum(const uint8_t *p, uint32_t len, uint64_t start)
{
	for (; len > 1; len -= 2, p += 2)
		start += get16(p);
	return len ? start + (p[0] << 8) : start;
}

static uint16_t fold(uint64_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return ~value;
}

struct frame *frame_checksummed(const struct frame *frame)
{
	struct frame *copy = frame_alloc(frame->len);
	uint16_t check;

	if (!copy)
		return NULL;
	memcpy(copy->data, frame->data, frame->len);
	/* The field holds the sum of the pseudo header. */
	check = fold(sum(copy->data + frame->csum_start, frame->len - frame->csum_start, 0));
	/* In UDP 0 is no checksum; to others the two are the same. */
	put16(copy->data + frame->csum_start + frame->csum_offset, check ? check : 0xffff);
	return copy;
}

unsigned int frame_segments(const struct frame *frame)
{
	uint32_t payload = frame->len - frame->hdr_len;

	return payload ? (payload + frame->gso_size - 1) / frame->gso_size : 1;
}

struct frame *frame_segment(const struct frame *frame, unsigned int i)
{
	uint32_t hdr_len = frame->hdr_len, at = hdr_len + i * frame->gso_size;
	uint32_t part = frame->len - at, l4_len;
	bool last = i + 1 == frame_segments(frame);
	struct frame *segment;
	struct layers layers;
	uint8_t *l3, *l4;
	uint16_t check;
	uint64_t pseudo;

	if (part > frame->gso_size)
		part = frame->gso_size;
	segment = frame_alloc(hdr_len + part);
	if (!segment)
		return NULL;
	memcpy(segment->data, frame->data, hdr_len);
	memcpy(segment->data + hdr_len, frame->data + at, part);
	parse(frame, &layers);
	l3 = segment->data + layers.l3;
	l4 = segment->data + layers.l4;
	l4_len = hdr_len + part - layers.l4;

	if (layers.version == 4) {
		put16(l3 + 2, hdr_len + part - layers.l3);
		put16(l3 + 4, get16(l3 + 4) + i);
		put16(l3 + 10, 0);
		put16(l3 + 10, fold(sum(l3, layers.l4 - layers.l3, 0)));
		pseudo = sum(l3 + 12, 8, 0);
	} else {
		put16(l3 + 4, hdr_len + part - layers.l3 - 40);
		pseudo = sum(l3 + 8, 32, 0);
	}
	if (layers.protocol == TCP) {
		put32(l4 + 4, get32(l4 + 4) + i * frame->gso_size);
		if (!last)
			l4[TCP_FLAGS] &= ~TCP_FIN_PSH;
		if (i)
			l4[TCP_FLAGS] &= ~TCP_CWR;
	} else {
		put16(l4 + 4, l4_len);
	}
	put16(l4 + frame->csum_offset, 0);
	check = fold(sum(l4, l4_len, pseudo + layers.protocol + l4_len));
	put16(l4 + frame->csum_offset, check ? check : 0xffff);
	return segment;
}

/*
 * Flows
 */

/* Where the addresses and the ports are. Return: the length of one address, 0 without. */
static uint32_t addresses(const struct frame *frame, struct layers *layers, const uint8_t **addr,
			  const uint8_t **ports)
{
	parse(frame, layers);
	*ports = NULL;
	if (!layers->version)
		return 0;
	*addr = frame->data + layers->l3 + (layers->version == 4 ? 12 : 8);
	if ((layers->protocol == TCP || layers->protocol == UDP) && layers->l4 + 4 <= frame->len)
		*ports = frame->data + layers->l4;
	return layers->version == 4 ? 4 : 16;
}

unsigned int frame_flow(const struct frame *frame)
{
	const uint8_t *addr, *ports;
	struct layers layers;
	uint32_t len = 2 * addresses(frame, &layers, &addr, &ports), i;
	unsigned int hash = 0;

	for (i = 0; i < len; i++)
		hash += addr[i];
	for (i = 0; ports && i < 4; i++)
		hash += ports[i];
	return hash;
}

static uint32_t toeplitz(const uint8_t *key, const uint8_t *input, uint32_t len)
{
	uint32_t window = get32(key), hash = 0, i;
	int bit;

	for (i = 0; i < len; i++) {
		for (bit = 7; bit >= 0; bit--) {
			if (input[i] >> bit & 1)
				hash ^= window;
			window = window << 1 | (key[i + 4] >> bit & 1);
		}
	}
	return hash;
}

uint16_t frame_hash(const struct frame *frame, uint32_t types, const uint8_t *key, uint32_t *hash)
{
	const uint8_t *addr, *ports;
	struct layers layers;
	uint32_t len = 2 * addresses(frame, &layers, &addr, &ports);
	uint8_t input[36];
	uint32_t ip, tcp, udp;
	uint16_t report;

	*hash = 0;
	if (!len)
		return VIRTIO_NET_HASH_REPORT_NONE;
	ip = layers.version == 4 ? VIRTIO_NET_RSS_HASH_TYPE_IPv4 : VIRTIO_NET_RSS_HASH_TYPE_IPv6;
	tcp = layers.version == 4 ? VIRTIO_NET_RSS_HASH_TYPE_TCPv4 :
				    VIRTIO_NET_RSS_HASH_TYPE_TCPv6;
	udp = layers.version == 4 ? VIRTIO_NET_RSS_HASH_TYPE_UDPv4 :
				    VIRTIO_NET_RSS_HASH_TYPE_UDPv6;
	report = layers.version == 4 ? VIRTIO_NET_HASH_REPORT_IPv4 : VIRTIO_NET_HASH_REPORT_IPv6;
	memcpy(input, addr, len);
	if (ports && (types & (layers.protocol == TCP ? tcp : udp))) {
		memcpy(input + len, ports, 4);
		len += 4;
		/* The numbers of a version follow one another: IP, TCP, UDP. */
		report += layers.protocol == TCP ? 1 : 2;
	} else if (!(types & ip)) {
		return VIRTIO_NET_HASH_REPORT_NONE;
	}
	*hash = toeplitz(key, input, len);
	return report;
}
