// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The driver's half: rings, the function, commands, managed devices. */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "fuzz.h"

#define COMMON(f, field, value, len)	\
	fuzz_put(f, BAR_VIRTIO, VIRTIO_PCI_COMMON_##field, value, len)

/* Guest memory at an address, which is always somewhere in it. */
void *fuzz_guest(struct fuzz *f, uint64_t gpa)
{
	return f->mem + (gpa - GUEST_BASE) % GUEST_SIZE;
}

/* So much of it that nothing else was put into lately. */
uint64_t fuzz_alloc(struct fuzz *f, uint32_t len)
{
	uint32_t at = f->arena;

	len = (len + 15) & ~15u;
	if (len > GUEST_SIZE - at)
		at = ARENA;
	if (len > GUEST_SIZE - at)
		fuzz_bug("a buffer that is too large");
	f->arena = at + len;
	return GUEST_BASE + at;
}

uint64_t fuzz_ring_area(unsigned int ring, unsigned int area)
{
	return GUEST_BASE + ring * RING_SPACE + area * 4096;
}

void fuzz_ring_reset(struct ring *ring, uint16_t queue, uint16_t size, uint64_t features)
{
	uint32_t doorbell = ring->doorbell;
	bool function = ring->function;

	*ring = (struct ring){
		.size = size,
		.queue = queue,
		.packed = features & BIT64(F_RING_PACKED),
		.wrap = true,
		.doorbell = doorbell,
		.function = function,
	};
}

static void put_desc(struct fuzz *f, unsigned int ring, uint16_t i, uint64_t gpa, uint32_t len,
		     uint16_t a, uint16_t b)
{
	struct vring_desc desc = { .addr = gpa, .len = len, .flags = a, .next = b };

	memcpy(fuzz_guest(f, fuzz_ring_area(ring, 0) + 16ull * i), &desc, sizeof(desc));
}

/* Segments as descriptors, in the ring or in a table of their own, made available. */
static void chain_split(struct fuzz *f, unsigned int index, const struct seg *seg,
			unsigned int num, uint16_t flags)
{
	uint16_t *avail = fuzz_guest(f, fuzz_ring_area(index, 1));
	struct ring *ring = &f->ring[index];
	uint16_t head = ring->free, i;
	unsigned int n;

	for (n = 0; n < num; n++) {
		i = ring->free;
		ring->free = (ring->free + 1) % ring->size;
		put_desc(f, index, i, seg[n].gpa, seg[n].len,
			 flags | (seg[n].in ? VRING_DESC_F_WRITE : 0) |
			 (n + 1 < num ? VRING_DESC_F_NEXT : 0), ring->free);
	}
	avail[2 + ring->avail % ring->size] = head;
	avail[1] = ++ring->avail;
}

static void chain_packed(struct fuzz *f, unsigned int index, const struct seg *seg,
			 unsigned int num, uint16_t flags)
{
	struct ring *ring = &f->ring[index];
	uint16_t id = ring->id++, i;
	unsigned int n;

	for (n = 0; n < num; n++) {
		i = ring->free;
		/* Nobody looks before this is done. */
		put_desc(f, index, i, seg[n].gpa, seg[n].len, id,
			 flags | (seg[n].in ? VRING_DESC_F_WRITE : 0) |
			 (n + 1 < num ? VRING_DESC_F_NEXT : 0) |
			 (ring->wrap ? 1 << VRING_PACKED_DESC_F_AVAIL :
				       1 << VRING_PACKED_DESC_F_USED));
		if (++ring->free == ring->size) {
			ring->free = 0;
			ring->wrap = !ring->wrap;
		}
	}
}

void fuzz_chain(struct fuzz *f, unsigned int index, const struct seg *seg, unsigned int num,
		bool indirect)
{
	struct ring *ring = &f->ring[index];
	struct vring_desc table[16];
	struct seg one;
	unsigned int n;

	if (!ring->size || num > 16)
		return;
	if (indirect) {
		for (n = 0; n < num; n++) {
			table[n] = (struct vring_desc){
				.addr = seg[n].gpa,
				.len = seg[n].len,
				.flags = (seg[n].in ? VRING_DESC_F_WRITE : 0) |
					 (n + 1 < num ? VRING_DESC_F_NEXT : 0),
				.next = n + 1,
			};
			if (ring->packed) {
				table[n].next = seg[n].in ? VRING_DESC_F_WRITE : 0;
				table[n].flags = 0;
			}
		}
		one = (struct seg){ fuzz_alloc(f, 16 * num + 1), 16 * num, false };
		memcpy(fuzz_guest(f, one.gpa), table, 16 * num);
	}
	if (ring->packed)
		chain_packed(f, index, indirect ? &one : seg, indirect ? 1 : num,
			     indirect ? VRING_DESC_F_INDIRECT : 0);
	else
		chain_split(f, index, indirect ? &one : seg, indirect ? 1 : num,
			    indirect ? VRING_DESC_F_INDIRECT : 0);
}

void fuzz_bell(struct fuzz *f, unsigned int index)
{
	struct ring *ring = &f->ring[index];

	fuzz_put(f, ring->function ? BAR_VIRTIO : BAR_DOORBELL, ring->doorbell, ring->queue, 2);
}

/*
 * The function
 */

static void begin(struct fuzz *f, uint64_t features)
{
	fuzz_put(f, VFU_CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	COMMON(f, STATUS, 0, 1);
	fuzz_get(f, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1);
	COMMON(f, STATUS, S_ACKNOWLEDGE | S_DRIVER, 1);
	COMMON(f, GFSELECT, 0, 4);
	COMMON(f, GF, features & 0xffffffff, 4);
	COMMON(f, GFSELECT, 1, 4);
	COMMON(f, GF, features >> 32, 4);
	COMMON(f, STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK, 1);
	COMMON(f, MSIX, 0, 2);
}

static void enable(struct fuzz *f, unsigned int index, uint16_t queue, uint16_t size,
		   uint64_t features)
{
	struct ring *ring = &f->ring[index];
	unsigned int i;

	for (i = 0; i < 3; i++)
		memset(fuzz_guest(f, fuzz_ring_area(index, i)), 0, 4096);
	ring->function = true;
	ring->doorbell = PCI_NOTIFY_OFFSET + PCI_NOTIFY_MULTIPLIER * queue;
	fuzz_ring_reset(ring, queue, size, features);
	COMMON(f, Q_SELECT, queue, 2);
	COMMON(f, Q_SIZE, size, 2);
	COMMON(f, Q_MSIX, 1 + index, 2);
	COMMON(f, Q_DESCLO, fuzz_ring_area(index, 0), 8);
	COMMON(f, Q_AVAILLO, fuzz_ring_area(index, 1), 8);
	COMMON(f, Q_USEDLO, fuzz_ring_area(index, 2), 8);
	COMMON(f, Q_ENABLE, 1, 2);
}

static bool ready(struct fuzz *f)
{
	const uint8_t status = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK;

	COMMON(f, STATUS, status, 1);
	return fuzz_get(f, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1) == status;
}

/* The management device, as a driver's probe does it. Return: whether it is up. */
bool fuzz_function_up(struct fuzz *f, unsigned int admin_queues, uint64_t without)
{
	const uint64_t features = f->tvq.pci.setup.features & ~without;
	unsigned int i;

	begin(f, features);
	enable(f, RING_TRANSPORT, TRANSPORT_QUEUE, 32, features);
	for (i = 0; i < admin_queues && i < 2; i++)
		enable(f, RING_ADMIN + i, ADMIN_QUEUE + i, 32, features);
	return ready(f);
}

/* A device that is a function of its own: with so many queues. */
bool fuzz_plain_up(struct fuzz *f, uint64_t with, unsigned int num, uint16_t size)
{
	const struct pci *pci = plain_mdev(f->tvq.plain[0])->pci;
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	const uint64_t features = pci->setup.features & (with | needed);
	unsigned int i;

	begin(f, features);
	for (i = 0; i < num && i < RINGS_EACH && i < pci->setup.num_queues; i++) {
		if (size > pci->queue[i].size_max)
			size = pci->queue[i].size_max;
		enable(f, RING_DEVICE + i, i, size, features);
	}
	return ready(f);
}

/*
 * Commands
 */

/* Put out-data and room for in-data into a ring. Return: where the answer comes. */
static uint64_t put_command(struct fuzz *f, unsigned int ring, const void *hdr, uint32_t hdr_len,
			    const void *out, uint32_t out_len, uint32_t in_len, unsigned int how)
{
	uint64_t gpa = fuzz_alloc(f, hdr_len + out_len), in = fuzz_alloc(f, in_len + 1);
	uint32_t len = hdr_len + out_len, first = len;
	struct seg seg[4];
	unsigned int num = 0;

	memcpy(fuzz_guest(f, gpa), hdr, hdr_len);
	if (out_len)
		memcpy((uint8_t *)fuzz_guest(f, gpa) + hdr_len, out, out_len);
	memset(fuzz_guest(f, in), 0xee, in_len + 1);
	if (how & HOW_PIECES)
		first = len > 5 ? 5 : len;
	seg[num++] = (struct seg){ gpa, first, false };
	if (first < len)
		seg[num++] = (struct seg){ gpa + first, len - first, false };
	first = how & HOW_PIECES && in_len > 9 ? 9 : in_len;
	if (in_len)
		seg[num++] = (struct seg){ in, first, true };
	if (first < in_len)
		seg[num++] = (struct seg){ in + first, in_len - first, true };
	fuzz_chain(f, ring, seg, num, how & HOW_INDIRECT);
	if (!(how & HOW_SILENT))
		fuzz_bell(f, ring);
	return in;
}

static void keep_answer(struct fuzz *f, uint64_t in, uint32_t skip, uint32_t in_len)
{
	f->last_len = in_len > skip ? in_len - skip : 0;
	if (f->last_len > sizeof(f->last))
		f->last_len = sizeof(f->last);
	memcpy(f->last, (uint8_t *)fuzz_guest(f, in) + skip, f->last_len);
}

/* Return: the ack, or what was there before it. */
uint32_t fuzz_command(struct fuzz *f, uint64_t id, uint16_t class, uint16_t command,
		      const void *out, uint32_t out_len, uint32_t in_len, unsigned int how)
{
	const struct virtio_tvq_hdr hdr = { .device_id = id, .class = class, .command = command };
	uint32_t ack = ~0u;
	uint64_t in;

	in = put_command(f, RING_TRANSPORT, &hdr, sizeof(hdr), out, out_len, in_len, how);
	if (in_len >= sizeof(ack))
		memcpy(&ack, fuzz_guest(f, in), sizeof(ack));
	keep_answer(f, in, sizeof(ack), in_len);
	return ack;
}

void fuzz_device_up(struct fuzz *f, uint64_t id, uint64_t with, unsigned int num, uint16_t size)
{
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	struct virtio_tvq_negotiate negotiate = {
		.status = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK,
	};
	const struct virtio_tvq_status ok = { .status = negotiate.status | S_DRIVER_OK };
	struct {
		struct virtio_tvq_setup hdr;
		struct virtio_tvq_vq vq[RINGS_EACH];
		struct virtio_tvq_msi_entry msi[2];
	} __attribute__((packed)) setup = { .hdr.num_msi = 2 };
	struct virtio_tvq_device_info info = { 0 };
	unsigned int first = RING_DEVICE + (id + DEVICES - 1) % DEVICES * RINGS_EACH, i, j;
	struct virtio_tvq_msi_entry *msi;

	fuzz_command(f, id, VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_DESCRIBE, NULL, 0, 512, 0);
	if (f->last_len < sizeof(info))
		return;
	memcpy(&info, f->last, sizeof(info));
	negotiate.features[0] = info.features[0] & (with | needed);
	fuzz_command(f, id, VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_NEGOTIATE, &negotiate,
		     sizeof(negotiate), 8, 0);
	for (i = 0; i < num && i < RINGS_EACH && i < info.num_vqs; i++) {
		f->ring[first + i].function = false;
		f->ring[first + i].doorbell = info.doorbell_offset;
		fuzz_ring_reset(&f->ring[first + i], i, size, negotiate.features[0]);
		for (j = 0; j < 3; j++)
			memset(fuzz_guest(f, fuzz_ring_area(first + i, j)), 0, 4096);
		setup.vq[i] = (struct virtio_tvq_vq){
			.index = i,
			.size = size,
			.vector = i % 2,
			.desc = fuzz_ring_area(first + i, 0),
			.driver = fuzz_ring_area(first + i, 1),
			.device = fuzz_ring_area(first + i, 2),
		};
	}
	/* As many entries as the device has, behind as many queues as there are. */
	if (setup.hdr.num_msi > info.num_vectors)
		setup.hdr.num_msi = info.num_vectors;
	setup.hdr.num_vqs = i;
	msi = (void *)&setup.vq[i];
	for (j = 0; j < setup.hdr.num_msi; j++)
		msi[j] = (struct virtio_tvq_msi_entry){ .address = MSI_BASE, .data = id << 8 | j };
	if (setup.hdr.num_msi < 2) {
		for (j = 0; j < i; j++)
			setup.vq[j].vector = 0;
	}
	fuzz_command(f, id, VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_SETUP, &setup,
		     sizeof(setup.hdr) + i * sizeof(setup.vq[0]) +
		     setup.hdr.num_msi * sizeof(*msi), 8, 0);
	fuzz_command(f, id, VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_SET_STATUS, &ok, sizeof(ok),
		     8, 0);
}

/*
 * Admin commands
 */

void fuzz_admin(struct fuzz *f, unsigned int queue, uint16_t opcode, uint16_t group,
		uint64_t member, const void *out, uint32_t out_len, uint32_t in_len,
		unsigned int how)
{
	const struct virtio_admin_cmd_hdr hdr = {
		.opcode = opcode,
		.group_type = group,
		.group_member_id = member,
	};
	uint64_t in;

	in = put_command(f, RING_ADMIN + queue % 2, &hdr, sizeof(hdr), out, out_len, in_len, how);
	keep_answer(f, in, sizeof(struct virtio_admin_cmd_status), in_len);
}

/* Lists, the capability, and an object of each kind: what device parts take. */
void fuzz_admin_ready(struct fuzz *f, uint16_t group, uint64_t member)
{
	const uint16_t groups[] = { VIRTIO_ADMIN_GROUP_TYPE_SELF, group };
	struct {
		struct virtio_admin_cmd_cap_set_data hdr;
		struct virtio_dev_parts_cap cap;
		uint8_t pad[6];
	} caps = { .hdr.id = VIRTIO_DEV_PARTS_CAP, .cap = { 4, 4 } };
	struct {
		struct virtio_admin_cmd_resource_obj_create_data req;
		struct virtio_resource_obj_dev_parts obj;
	} object = { .req.hdr.type = VIRTIO_RESOURCE_OBJ_DEV_PARTS };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		uint8_t list[4096];

		fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_LIST_QUERY, groups[i], 0, NULL, 0,
			   8 + sizeof(list), 0);
		/* As long as the longest list, whatever is behind a shorter one */
		memcpy(list, f->last, sizeof(list));
		fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_LIST_USE, groups[i], 0, list,
			   i ? 4072 : 8, 8, 0);
	}
	fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_DRIVER_CAP_SET, VIRTIO_ADMIN_GROUP_TYPE_SELF, 0, &caps,
		   sizeof(caps), 8, 0);
	for (i = 0; i < 2; i++) {
		object.req.hdr.id = i;
		object.obj.type = i;
		fuzz_admin(f, 0, VIRTIO_ADMIN_CMD_RESOURCE_OBJ_CREATE, group, member, &object,
			   sizeof(object), 8, 0);
	}
}
