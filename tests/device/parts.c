// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Lists of device parts. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"

static bool has_index(uint16_t type)
{
	return type == VIRTIO_TVQ_DEV_PART_VQ_CFG || type == VIRTIO_TVQ_DEV_PART_VQ_NOTIFY_CFG ||
	       type == VIRTIO_TVQ_DEV_PART_VQ_STATE;
}

/* What of the selector counts for a type. */
static uint32_t get_selector(const struct virtio_dev_part_hdr *hdr)
{
	uint16_t type = le16toh(hdr->part_type);

	if (type == VIRTIO_TVQ_DEV_PART_PCI_COMMON_CFG)
		return le32toh(hdr->selector.pci_common_cfg.offset);
	return has_index(type) ? le16toh(hdr->selector.vq_index.index) : 0;
}

void parts_add(struct parts *parts, uint16_t type, uint32_t selector, const void *value,
	       uint32_t len)
{
	struct virtio_dev_part_hdr hdr = {
		.part_type = htole16(type),
		.length = htole32(len),
	};
	uint32_t room = parts->room;
	uint8_t *data;

	if (type == VIRTIO_TVQ_DEV_PART_DEV_FEATURES)
		hdr.flags = 1 << VIRTIO_DEV_PART_F_OPTIONAL;
	if (has_index(type))
		hdr.selector.vq_index.index = htole16(selector);
	else
		hdr.selector.pci_common_cfg.offset = htole32(selector);
	while (room < parts->len + sizeof(hdr) + len)
		room = room ? 2 * room : 1024;
	if (room != parts->room) {
		data = realloc(parts->data, room);
		if (!data) {
			parts->failed = true;
			return;
		}
		parts->data = data;
		parts->room = room;
	}
	memcpy(parts->data + parts->len, &hdr, sizeof(hdr));
	parts->len += sizeof(hdr);
	if (len)
		memcpy(parts->data + parts->len, value, len);
	parts->len += len;
	parts->count++;
}

void parts_free(struct parts *parts)
{
	free(parts->data);
	memset(parts, 0, sizeof(*parts));
}

/*
 * The next part of a list from a driver. It ends where less than a header is left; a
 * value that is cut off goes on with zeroes. Return: false at the end, or if it is
 * wrong: parts rise by type and selector, so that none comes twice.
 */
bool parts_next(struct parts_reader *reader, struct part *part)
{
	struct virtio_dev_part_hdr hdr;
	uint32_t left = reader->len - reader->at;
	uint64_t place;

	if (reader->wrong || left < sizeof(hdr))
		return false;
	memcpy(&hdr, reader->data + reader->at, sizeof(hdr));
	left -= sizeof(hdr);
	part->type = le16toh(hdr.part_type);
	part->flags = hdr.flags;
	part->selector = get_selector(&hdr);
	part->value = reader->data + reader->at + sizeof(hdr);
	part->len = le32toh(hdr.length);
	place = ((uint64_t)part->type << 32 | part->selector) + 1;
	if (place <= reader->last || (part->len > left && part->len - left > PARTS_SLACK)) {
		reader->wrong = true;
		return false;
	}
	reader->last = place;
	reader->at += sizeof(hdr) + (part->len < left ? part->len : left);
	return true;
}

/* Keep the parts of which a header is in a list. */
void parts_select(struct parts *parts, const void *hdrs, uint32_t len)
{
	const struct virtio_dev_part_hdr *wanted = hdrs;
	uint32_t num = len / sizeof(*wanted), from = 0, to = 0, size, i;
	struct virtio_dev_part_hdr hdr, one;

	parts->count = 0;
	for (; from < parts->len; from += size) {
		memcpy(&hdr, parts->data + from, sizeof(hdr));
		size = sizeof(hdr) + le32toh(hdr.length);
		for (i = 0; i < num; i++) {
			memcpy(&one, wanted + i, sizeof(one));
			if (one.part_type == hdr.part_type &&
			    get_selector(&one) == get_selector(&hdr))
				break;
		}
		if (i == num)
			continue;
		memmove(parts->data + to, parts->data + from, size);
		to += size;
		parts->count++;
	}
	parts->len = to;
}

/* The headers alone. NULL without memory; the caller frees it. */
void *parts_headers(const struct parts *parts, uint32_t *len)
{
	struct virtio_dev_part_hdr hdr;
	uint8_t *out = malloc(parts->count * sizeof(hdr) + 1);
	uint32_t at;

	*len = 0;
	for (at = 0; out && at < parts->len; at += sizeof(hdr) + le32toh(hdr.length)) {
		memcpy(&hdr, parts->data + at, sizeof(hdr));
		memcpy(out + *len, &hdr, sizeof(hdr));
		*len += sizeof(hdr);
	}
	return out;
}
