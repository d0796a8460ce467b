/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * Ethernet frames on their way through the switch, and what a sender may have left
 * to the device to do with them: the checksum, and cutting a frame in segments.
 */
#ifndef TVQ_FRAME_H
#define TVQ_FRAME_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#define FRAME_MIN		14
#define FRAME_MAX		65600	/* the largest IP packet, with its Ethernet header */
#define FRAME_SEGMENTS_MAX	4096	/* of one frame */
#define HASH_KEY_MAX		40

/* From <linux/virtio_net.h>, which Debian 12's headers have only in part. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4	5
#endif

/*
 * A frame. Several ports may hold one, so nobody changes it. What is left to do
 * stands in the fields of struct virtio_net_hdr, which frame_offload() has checked.
 */
struct frame {
	unsigned int refs;
	uint32_t len;
	uint8_t flags;			/* VIRTIO_NET_HDR_F_NEEDS_CSUM, _DATA_VALID */
	uint8_t gso_type;		/* without the ECN bit */
	bool ecn;
	uint16_t hdr_len;		/* of what comes before the payload; with gso_type */
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint8_t data[];
};

struct frame *frame_alloc(uint32_t len);
struct frame *frame_get(struct frame *frame);
void frame_put(struct frame *frame);

/* Take what a header says is to be done. Return: false for what makes no sense. */
bool frame_offload(struct frame *frame, const struct virtio_net_hdr *hdr);
/* The other way round: what there is to do. The ECN bit is included. */
void frame_header(const struct frame *frame, struct virtio_net_hdr *hdr);

/*
 * New frames, in which nothing is left to do: with the checksum filled in, and
 * segment i of frame_segments() ones. NULL without memory.
 */
struct frame *frame_checksummed(const struct frame *frame);
unsigned int frame_segments(const struct frame *frame);
struct frame *frame_segment(const struct frame *frame, unsigned int i);

/* The same number for both directions of a flow. */
unsigned int frame_flow(const struct frame *frame);
/*
 * The Toeplitz hash over what types (VIRTIO_NET_RSS_HASH_TYPE_*) allow. Return: what was
 * hashed, VIRTIO_NET_HASH_REPORT_*; none is 0.
 */
uint16_t frame_hash(const struct frame *frame, uint32_t types, const uint8_t *key,
		    uint32_t *hash);

#endif
