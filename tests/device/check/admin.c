// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The driver's half of the tests: admin virtqueues and device parts. */
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define ADMIN_SIZE	128
#define COMMON(c, at, value, len)	region_put(c, BAR_VIRTIO, at, value, len)

/* Enable the admin virtqueues that are to be used. With FEATURES_OK. */
void admin_setup(struct driver *d)
{
	struct client *c = &d->c;
	struct ring *ring;
	unsigned int i;

	for (i = 0; i < d->num_admin; i++) {
		ring = &d->admin[i].ring;
		ring_init(ring, c, ADMIN_SIZE, false);
		COMMON(c, VIRTIO_PCI_COMMON_Q_SELECT, d->admin_index + i, 2);
		COMMON(c, VIRTIO_PCI_COMMON_Q_SIZE, ADMIN_SIZE, 2);
		COMMON(c, VIRTIO_PCI_COMMON_Q_MSIX, 2 + i, 2);
		COMMON(c, VIRTIO_PCI_COMMON_Q_DESCLO, ring->desc, 8);
		COMMON(c, VIRTIO_PCI_COMMON_Q_AVAILLO, ring->driver, 8);
		COMMON(c, VIRTIO_PCI_COMMON_Q_USEDLO, ring->device, 8);
		COMMON(c, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
		CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	}
}

/* As driver_init(), with so many admin virtqueues. */
void admin_init(struct driver *d, const struct tvq_options *opt, unsigned int queues)
{
	driver_start(d, opt);
	d->num_admin = queues;
	d->admin_index = ADMIN_QUEUE;
	driver_setup(d);
}

void admin_ring_bell(struct driver *d, unsigned int q)
{
	uint16_t index = d->admin_index + q;

	COMMON(&d->c, PCI_NOTIFY_OFFSET + PCI_NOTIFY_MULTIPLIER * index, index, 2);
}

/* A command as it is, in pieces that have nothing to do with its structure. */
uint16_t admin_post_raw(struct driver *d, unsigned int q, const void *out, uint32_t out_len,
			uint32_t in_len)
{
	struct admin_ring *admin_ring = &d->admin[q];
	struct ring *ring = &admin_ring->ring;
	uint64_t gpa = guest_alloc(&d->c, out_len + in_len + 1, 16), in_gpa = gpa + out_len;
	struct seg seg[4];
	uint32_t first = out_len > 5 ? 5 : out_len;
	unsigned int num = 0;
	uint16_t head;

	memcpy(guest(&d->c, gpa), out, out_len);
	memset(guest(&d->c, in_gpa), 0xee, in_len + 1);
	if (out_len)
		seg[num++] = (struct seg){ gpa, first, false };
	if (out_len > first)
		seg[num++] = (struct seg){ gpa + first, out_len - first, false };
	first = in_len > 9 ? 9 : in_len;
	if (in_len)
		seg[num++] = (struct seg){ in_gpa, first, true };
	if (in_len > first)
		seg[num++] = (struct seg){ in_gpa + first, in_len - first, true };
	head = ring->free % 3 ? ring_put_indirect(ring, seg, num) : ring_put(ring, seg, num);
	admin_ring->in[head].gpa = in_gpa;
	admin_ring->in[head].len = in_len;
	return head;
}

uint16_t admin_post(struct driver *d, unsigned int q, uint16_t opcode, uint16_t group,
		    uint64_t member, const void *data, uint32_t len, uint32_t room)
{
	struct virtio_admin_cmd_hdr hdr = {
		.opcode = opcode,
		.group_type = group,
		.group_member_id = member,
	};
	uint8_t *out = malloc(sizeof(hdr) + len);
	uint16_t head;

	/* A device does not look at what is reserved. */
	memset(hdr.reserved1, 0xa5, sizeof(hdr.reserved1));
	memcpy(out, &hdr, sizeof(hdr));
	if (len)
		memcpy(out + sizeof(hdr), data, len);
	head = admin_post_raw(d, q, out, sizeof(hdr) + len,
			      sizeof(struct virtio_admin_cmd_status) + room);
	free(out);
	return head;
}

/* The next answer of a queue. Return: the head of its command, UINT16_MAX without one. */
uint16_t admin_collect(struct driver *d, unsigned int q, struct admin_reply *reply)
{
	struct virtio_admin_cmd_status status = { 0 };
	struct admin_ring *ring = &d->admin[q];
	uint32_t head_len = sizeof(status);
	const uint8_t *p;
	uint16_t id;

	memset(reply, 0, sizeof(*reply));
	if (!ring_wait(&ring->ring, &id, &reply->used))
		return UINT16_MAX;
	if (id >= ADMIN_SIZE || reply->used > ring->in[id].len) {
		test_failed(__FILE__, __LINE__, "%u bytes used", reply->used);
		return id;
	}
	reply->came = true;
	p = guest(&d->c, ring->in[id].gpa);
	/* Nothing is written that is not said to be. */
	if (p[reply->used] != 0xee)
		test_failed(__FILE__, __LINE__, "byte %u is written", reply->used);
	if (reply->used < head_len)
		head_len = reply->used;
	memcpy(&status, p, head_len);
	reply->status = status.status;
	reply->qualifier = status.status_qualifier;
	CHECK(!status.reserved2[0] && !status.reserved2[1] && !status.reserved2[2] &&
	      !status.reserved2[3]);
	reply->result = p + head_len;
	reply->len = reply->used - head_len;
	return id;
}

/* A command on a queue. Return: 0 for OK, ADMIN_ERR(), or NO_ANSWER. */
int admin_on(struct driver *d, unsigned int q, uint16_t opcode, uint16_t group, uint64_t member,
	     const void *data, uint32_t len, uint32_t room, struct admin_reply *reply)
{
	struct admin_reply own;

	if (!reply)
		reply = &own;
	admin_post(d, q, opcode, group, member, data, len, room);
	admin_ring_bell(d, q);
	admin_collect(d, q, reply);
	if (!reply->came || reply->used < sizeof(struct virtio_admin_cmd_status))
		return NO_ANSWER;
	return reply->status << 16 | reply->qualifier;
}

int admin(struct driver *d, uint16_t opcode, uint16_t group, uint64_t member, const void *data,
	  uint32_t len, uint32_t room, struct admin_reply *reply)
{
	return admin_on(d, 0, opcode, group, member, data, len, room, reply);
}

/* LIST_QUERY, and LIST_USE of all there is. */
int admin_use_all(struct driver *d, uint16_t group)
{
	struct admin_reply reply;
	uint8_t list[8192];
	int ret;

	ret = admin(d, ADMIN(LIST_QUERY), group, 0, NULL, 0, 4096, &reply);
	if (ret)
		return ret;
	memcpy(list, reply.result, reply.len);
	return admin(d, ADMIN(LIST_USE), group, 0, list, reply.len, 0, NULL);
}

int admin_set_caps(struct driver *d, uint8_t get, uint8_t set)
{
	struct {
		struct virtio_admin_cmd_cap_set_data hdr;
		struct virtio_dev_parts_cap cap;
		uint8_t pad[6];
	} req = { .hdr.id = VIRTIO_DEV_PARTS_CAP, .cap = { get, set } };

	return admin(d, ADMIN(DRIVER_CAP_SET), SELF_GROUP, 0, &req, sizeof(req), 0, NULL);
}

/* CREATE, MODIFY, QUERY (which ignores the kind) or DESTROY */
int admin_object(struct driver *d, uint16_t opcode, uint16_t group, uint64_t member, uint32_t id,
		 uint8_t kind)
{
	struct {
		struct virtio_admin_cmd_resource_obj_create_data req;
		struct virtio_resource_obj_dev_parts obj;
	} req = { .req.hdr = { .type = VIRTIO_RESOURCE_OBJ_DEV_PARTS, .id = id },
		  .obj.type = kind };

	return admin(d, opcode, group, member, &req, sizeof(req), 8, NULL);
}

int admin_mode(struct driver *d, uint16_t group, uint64_t member, bool stop)
{
	const uint8_t req[8] = { stop << VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED };

	return admin(d, ADMIN(DEV_MODE_SET), group, member, req, sizeof(req), 0, NULL);
}

/* Lists, capability and objects: whatever parts need. */
void parts_ready(struct driver *d, uint16_t group, uint64_t member)
{
	CHECK_EQ(admin_use_all(d, SELF_GROUP), 0);
	CHECK_EQ(admin_use_all(d, group), 0);
	CHECK_EQ(admin_set_caps(d, 1, 1), 0);
	CHECK_EQ(admin_object(d, ADMIN(RESOURCE_OBJ_CREATE), group, member, GET_OBJECT,
			      VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET), 0);
	CHECK_EQ(admin_object(d, ADMIN(RESOURCE_OBJ_CREATE), group, member, SET_OBJECT,
			      VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET), 0);
}

/* All parts of a member. *len: the room, and then what they take. */
int parts_get(struct driver *d, uint16_t group, uint64_t member, void *parts, uint32_t *len)
{
	struct virtio_admin_cmd_dev_parts_get_data req = {
		.hdr.id = GET_OBJECT,
		.type = VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_ALL,
	};
	struct admin_reply reply;
	int ret;

	ret = admin(d, ADMIN(DEV_PARTS_GET), group, member, &req, sizeof(req), *len, &reply);
	*len = reply.len;
	if (!ret)
		memcpy(parts, reply.result, reply.len);
	return ret;
}

int parts_set(struct driver *d, uint16_t group, uint64_t member, const void *parts, uint32_t len)
{
	struct virtio_admin_cmd_dev_parts_set_data req = { .hdr.id = SET_OBJECT };
	uint8_t *out = malloc(sizeof(req) + len);
	int ret;

	memcpy(out, &req, sizeof(req));
	memcpy(out + sizeof(req), parts, len);
	ret = admin(d, ADMIN(DEV_PARTS_SET), group, member, out, sizeof(req) + len, 0, NULL);
	free(out);
	return ret;
}

/* A part in a list, at any address, NULL if it is not there. */
uint8_t *part_find(uint8_t *parts, uint32_t len, uint16_t type, uint16_t index)
{
	struct virtio_dev_part_hdr hdr;
	uint32_t at;

	for (at = 0; len - at >= sizeof(hdr); at += sizeof(hdr) + hdr.length) {
		memcpy(&hdr, parts + at, sizeof(hdr));
		if (hdr.part_type == type && hdr.selector.vq_index.index == index)
			return parts + at;
		if (hdr.length > len - at - sizeof(hdr))
			break;
	}
	return NULL;
}

/* With its header */
uint32_t part_size(const uint8_t *part)
{
	struct virtio_dev_part_hdr hdr;

	memcpy(&hdr, part, sizeof(hdr));
	return sizeof(hdr) + hdr.length;
}
