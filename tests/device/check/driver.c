// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The driver's half of the tests: rings, the function, commands, managed devices. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client.h"

#define TRANSPORT_SIZE	64

void ring_init(struct ring *ring, struct client *c, uint16_t size, bool packed)
{
	memset(ring, 0, sizeof(*ring));
	ring->c = c;
	ring->size = size;
	ring->packed = packed;
	ring->avail_wrap = true;
	ring->used_wrap = true;
	ring->desc = guest_alloc(c, 16 * size, 4096);
	ring->driver = guest_alloc(c, packed ? 4 : 6 + 2 * size, 4096);
	ring->device = guest_alloc(c, packed ? 4 : 6 + 8 * size, 4096);
}

/* What makes a descriptor of a packed ring available. */
uint16_t packed_flags(uint16_t flags, bool wrap)
{
	return flags | (wrap ? 1 << VRING_PACKED_DESC_F_AVAIL : 1 << VRING_PACKED_DESC_F_USED);
}

void packed_desc(struct ring *ring, uint16_t i, uint64_t gpa, uint32_t len, uint16_t id,
		 uint16_t flags)
{
	struct vring_packed_desc *desc = guest(ring->c, ring->desc);

	desc[i].addr = gpa;
	desc[i].len = len;
	desc[i].id = id;
	__atomic_store_n(&desc[i].flags, flags, __ATOMIC_SEQ_CST);
}

/* A buffer in a packed ring, its first descriptor last. Return: its id. */
static uint16_t packed_put(struct ring *ring, const struct seg *seg, unsigned int num,
			   uint16_t flags)
{
	uint16_t id = ring->id++, first = ring->free, i, first_flags = 0, f;
	unsigned int n;

	for (n = 0; n < num; n++) {
		i = ring->free;
		f = packed_flags(flags | (seg[n].in ? VRING_DESC_F_WRITE : 0) |
				 (n + 1 < num ? VRING_DESC_F_NEXT : 0), ring->avail_wrap);
		if (n)
			packed_desc(ring, i, seg[n].gpa, seg[n].len, id, f);
		else
			first_flags = f;
		if (++ring->free == ring->size) {
			ring->free = 0;
			ring->avail_wrap = !ring->avail_wrap;
		}
	}
	ring->num[id % 64] = num;
	packed_desc(ring, first, seg[0].gpa, seg[0].len, id, first_flags);
	return id;
}

/* What a doorbell for the ring says with NOTIFICATION_DATA. */
uint32_t ring_notification(struct ring *ring, uint16_t queue)
{
	uint16_t next = ring->packed ? ring->free | ring->avail_wrap << 15 : ring->avail;

	return queue | (uint32_t)next << 16;
}

void ring_desc(struct ring *ring, uint16_t i, uint64_t gpa, uint32_t len, uint16_t flags,
	       uint16_t next)
{
	struct vring_desc *desc = guest(ring->c, ring->desc);

	desc[i].addr = gpa;
	desc[i].len = len;
	desc[i].flags = flags;
	desc[i].next = next;
}

/* Make a head available. */
void ring_avail(struct ring *ring, uint16_t head)
{
	uint16_t *driver = guest(ring->c, ring->driver);

	driver[2 + ring->avail % ring->size] = head;
	ring->avail++;
	__atomic_store_n(&driver[1], ring->avail, __ATOMIC_SEQ_CST);
}

/* A chain of the next descriptors, round and round: tests do not fill a ring. */
uint16_t ring_put(struct ring *ring, const struct seg *seg, unsigned int num)
{
	uint16_t head = ring->free, i;
	unsigned int n;

	if (ring->packed)
		return packed_put(ring, seg, num, 0);
	for (n = 0; n < num; n++) {
		i = ring->free;
		ring->free = (ring->free + 1) % ring->size;
		ring_desc(ring, i, seg[n].gpa, seg[n].len,
			  (seg[n].in ? VRING_DESC_F_WRITE : 0) |
			  (n + 1 < num ? VRING_DESC_F_NEXT : 0), ring->free);
	}
	ring_avail(ring, head);
	return head;
}

uint16_t ring_put_indirect(struct ring *ring, const struct seg *seg, unsigned int num)
{
	uint64_t gpa = guest_alloc(ring->c, num * 16, 16);
	struct vring_desc *table = guest(ring->c, gpa);
	uint16_t head = ring->free;
	unsigned int n;

	for (n = 0; n < num; n++) {
		table[n].addr = seg[n].gpa;
		table[n].len = seg[n].len;
		table[n].flags = (seg[n].in ? VRING_DESC_F_WRITE : 0) |
				 (n + 1 < num ? VRING_DESC_F_NEXT : 0);
		table[n].next = n + 1;
		/* Another kind of descriptors; they stand one behind the other. */
		if (ring->packed) {
			table[n].next = seg[n].in ? VRING_DESC_F_WRITE : 0;
			table[n].flags = 0;
		}
	}
	if (ring->packed)
		return packed_put(ring, &(struct seg){ gpa, num * 16, false }, 1,
				  VRING_DESC_F_INDIRECT);
	ring_desc(ring, head, gpa, num * 16, VRING_DESC_F_INDIRECT, 0);
	ring->free = (ring->free + 1) % ring->size;
	ring_avail(ring, head);
	return head;
}

uint16_t ring_used_idx(struct ring *ring)
{
	uint16_t *device = guest(ring->c, ring->device);

	return __atomic_load_n(&device[1], __ATOMIC_SEQ_CST);
}

/* Whether there is a used buffer to take. */
bool ring_has_used(struct ring *ring)
{
	struct vring_packed_desc *desc = guest(ring->c, ring->desc);
	uint16_t flags;

	if (!ring->packed)
		return ring_used_idx(ring) != ring->used;
	flags = __atomic_load_n(&desc[ring->used].flags, __ATOMIC_SEQ_CST);
	return !!(flags & 1 << VRING_PACKED_DESC_F_AVAIL) == ring->used_wrap &&
	       !!(flags & 1 << VRING_PACKED_DESC_F_USED) == ring->used_wrap;
}

static bool packed_take(struct ring *ring, uint16_t *id, uint32_t *len)
{
	struct vring_packed_desc *desc = guest(ring->c, ring->desc);

	desc += ring->used;
	if (id)
		*id = desc->id;
	if (len)
		*len = desc->len;
	ring->used += ring->num[desc->id % 64];
	if (ring->used >= ring->size) {
		ring->used -= ring->size;
		ring->used_wrap = !ring->used_wrap;
	}
	return true;
}

/* Wait for the next used buffer, and meanwhile answer the device. */
bool ring_wait(struct ring *ring, uint16_t *id, uint32_t *len)
{
	double end = test_now() + DEADLINE;
	uint32_t *device = guest(ring->c, ring->device), *used;

	while (!ring_has_used(ring)) {
		if (test_now() > end)
			return false;
		settle(ring->c, 0.0002);
	}
	if (ring->packed)
		return packed_take(ring, id, len);
	used = &device[1 + 2 * (ring->used % ring->size)];
	if (id)
		*id = used[0];
	if (len)
		*len = used[1];
	ring->used++;
	return true;
}

/*
 * A request to a disk, in whatever kind of ring: header, two pieces of data, status.
 * data is what is written, or read into. Return: the status byte, or 0x100 for an
 * answer that did not come or is not one.
 */
int blk_request(struct ring *ring, void (*kick)(void *arg), void *arg, uint32_t type,
		uint64_t sector, void *data, uint32_t len, bool indirect)
{
	struct { uint32_t type, reserved; uint64_t sector; } hdr = { type, 0, sector };
	uint64_t gpa = guest_alloc(ring->c, 16 + len + 1, 16);
	bool in = type == VIRTIO_BLK_T_IN;
	struct seg seg[4] = {
		{ gpa, 16, false },
		{ gpa + 16, len / 3, in },
		{ gpa + 16 + len / 3, len - len / 3, in },
		{ gpa + 16 + len, 1, true },
	};
	uint16_t id, used_id;
	uint32_t used;

	memcpy(guest(ring->c, gpa), &hdr, 16);
	if (!in)
		memcpy(guest(ring->c, gpa + 16), data, len);
	*(uint8_t *)guest(ring->c, gpa + 16 + len) = 0xff;
	id = indirect ? ring_put_indirect(ring, seg, 4) : ring_put(ring, seg, 4);
	kick(arg);
	if (!ring_wait(ring, &used_id, &used) || used_id != id || used != (in ? len : 0) + 1)
		return 0x100;
	if (in)
		memcpy(data, guest(ring->c, gpa + 16), len);
	return *(uint8_t *)guest(ring->c, gpa + 16 + len);
}

/*
 * The function
 */

#define COMMON(c, at, value, len)	region_put(c, BAR_VIRTIO, at, value, len)

static void set_irqs(struct client *c)
{
	struct vfu_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFU_IRQ_DATA_EVENTFD | VFU_IRQ_ACTION_TRIGGER,
		.index = VFU_MSIX,
		.count = c->num_irqs,
	};
	unsigned int i;

	for (i = 0; i < c->num_irqs; i++) {
		if (c->irq_fd[i] <= 0)
			c->irq_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	CHECK_EQ(client_request(c, VFU_SET_IRQS, &set, sizeof(set), c->irq_fd, c->num_irqs, NULL,
				NULL), 0);
}

/* Bring the function up, as a driver does at its probe. */
void driver_setup(struct driver *d)
{
	const uint64_t features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) |
				  BIT64(VIRTIO_F_TRANSPT_VQ) | BIT64(F_RING_INDIRECT) |
				  (d->num_admin ? BIT64(F_ADMIN_VQ) : 0) |
				  (d->c.tvq.opt.sriov ? BIT64(F_SR_IOV) : 0);
	struct client *c = &d->c;

	region_put(c, VFU_CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS, S_ACKNOWLEDGE, 1);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS, S_ACKNOWLEDGE | S_DRIVER, 1);
	COMMON(c, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	COMMON(c, VIRTIO_PCI_COMMON_GF, features & 0xffffffff, 4);
	COMMON(c, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	COMMON(c, VIRTIO_PCI_COMMON_GF, features >> 32, 4);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK, 1);
	CHECK(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1) & S_FEATURES_OK);
	COMMON(c, VIRTIO_PCI_COMMON_MSIX, 0, 2);
	ring_init(&d->ring, c, TRANSPORT_SIZE, false);
	COMMON(c, VIRTIO_PCI_COMMON_Q_SELECT, TRANSPORT_QUEUE, 2);
	COMMON(c, VIRTIO_PCI_COMMON_Q_SIZE, TRANSPORT_SIZE, 2);
	COMMON(c, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	COMMON(c, VIRTIO_PCI_COMMON_Q_DESCLO, d->ring.desc, 8);
	COMMON(c, VIRTIO_PCI_COMMON_Q_AVAILLO, d->ring.driver, 8);
	COMMON(c, VIRTIO_PCI_COMMON_Q_USEDLO, d->ring.device, 8);
	COMMON(c, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	admin_setup(d);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS,
	       S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK, 1);
}

/* All but bringing the function up */
void driver_start(struct driver *d, const struct tvq_options *opt)
{
	memset(d, 0, sizeof(*d));
	client_init(&d->c, opt);
	CHECK(client_negotiate(&d->c));
	CHECK_EQ(client_map(&d->c, GUEST_BASE, GUEST_SIZE, 0), 0);
	d->c.num_irqs = MGMT_VECTORS;
	set_irqs(&d->c);
}

void driver_init(struct driver *d, const struct tvq_options *opt)
{
	driver_start(d, opt);
	driver_setup(d);
}

void driver_exit(struct driver *d)
{
	client_exit(&d->c);
}

/* Reset the function by device_status, and bring it up again. */
void driver_reset(struct driver *d)
{
	double end = test_now() + DEADLINE;

	COMMON(&d->c, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	while (region_get(&d->c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1)) {
		if (test_now() > end) {
			test_failed(__FILE__, __LINE__, "the status does not become 0");
			break;
		}
	}
}

void driver_kick(struct driver *d)
{
	region_put(&d->c, BAR_VIRTIO, PCI_NOTIFY_OFFSET + 4 * TRANSPORT_QUEUE, TRANSPORT_QUEUE, 2);
}

/* Post a command; in pieces that have nothing to do with its structure. */
uint16_t post(struct driver *d, uint64_t id, uint16_t class, uint16_t cmd, const void *out,
	      uint32_t out_len, uint32_t in_room)
{
	struct virtio_tvq_hdr hdr = { .device_id = id, .class = class, .command = cmd };
	uint64_t gpa = guest_alloc(&d->c, sizeof(hdr) + out_len + 4 + in_room, 16);
	uint64_t in_gpa = gpa + sizeof(hdr) + out_len;
	uint8_t *p = guest(&d->c, gpa);
	struct seg seg[4] = {
		{ gpa, 5, false },
		{ gpa + 5, sizeof(hdr) + out_len - 5, false },
		{ in_gpa, 3, true },
		{ in_gpa + 3, 1 + in_room, true },
	};
	uint16_t head;

	memcpy(p, &hdr, sizeof(hdr));
	if (out_len)
		memcpy(p + sizeof(hdr), out, out_len);
	memset(p + sizeof(hdr) + out_len, 0xee, 4 + in_room);
	head = d->ring.free % 2 ? ring_put(&d->ring, seg, 4) : ring_put_indirect(&d->ring, seg, 4);
	d->in_gpa[head] = in_gpa;
	return head;
}

/* The next answer. Return: the head of its command, UINT16_MAX without one. */
uint16_t collect(struct driver *d, struct reply *reply)
{
	struct virtio_tvq_error error;
	uint8_t *p;
	uint16_t id;

	memset(reply, 0, sizeof(*reply));
	reply->came = ring_wait(&d->ring, &id, &reply->used);
	if (!reply->came)
		return UINT16_MAX;
	if (id >= TRANSPORT_SIZE || reply->used < 4 || reply->used - 4 > sizeof(reply->in)) {
		reply->came = false;
		return id;
	}
	p = guest(&d->c, d->in_gpa[id]);
	memcpy(&reply->ack, p, 4);
	reply->in_len = reply->used - 4;
	memcpy(reply->in, p + 4, reply->in_len);
	if (reply->ack && reply->in_len >= sizeof(error)) {
		memcpy(&error, reply->in, sizeof(error));
		reply->status = error.status;
		reply->qualifier = error.qualifier;
	}
	return id;
}

/*
 * A command. Return: 0 for OK, ERR(), NO_REASON for an ERR that says no more, or
 * NO_ANSWER. Where the command has no in-data there is room for the reason.
 */
int command(struct driver *d, uint64_t id, uint16_t class, uint16_t cmd, const void *out,
	    uint32_t out_len, uint32_t in_room, struct reply *reply)
{
	struct reply own;

	if (!reply)
		reply = &own;
	post(d, id, class, cmd, out, out_len, in_room ? in_room : sizeof(struct virtio_tvq_error));
	driver_kick(d);
	collect(d, reply);
	if (!reply->came)
		return NO_ANSWER;
	if (reply->ack && reply->in_len < sizeof(struct virtio_tvq_error))
		return NO_REASON;
	return reply->ack ? (int)((uint32_t)reply->status << 16) | reply->qualifier : 0;
}

/*
 * Managed devices
 */

static int take_info(struct managed *m, const struct reply *reply)
{
	memcpy(&m->info, reply->in, sizeof(m->info));
	m->id = m->info.device_id;
	m->doorbell = m->info.doorbell_offset;
	if (reply->in_len != sizeof(m->info) + m->info.config_len + 2 * m->info.num_vqs ||
	    m->info.config_len > sizeof(m->config) ||
	    m->info.num_vqs > sizeof(m->sizes) / sizeof(m->sizes[0])) {
		test_failed(__FILE__, __LINE__, "a description of %u bytes", reply->in_len);
		return NO_ANSWER;
	}
	memcpy(m->config, reply->in + sizeof(m->info), m->info.config_len);
	memcpy(m->sizes, reply->in + sizeof(m->info) + m->info.config_len, 2 * m->info.num_vqs);
	return 0;
}

int create(struct driver *d, struct virtio_tvq_create *req, struct managed *m)
{
	struct reply reply;
	int ret;

	ret = command(d, 0, MGMT(CREATE), req,
		      sizeof(*req) + req->num_config * sizeof(struct virtio_tvq_config_init),
		      4096, &reply);
	if (ret || !m)
		return ret;
	memset(m, 0, sizeof(*m));
	m->d = d;
	return take_info(m, &reply);
}

int create_simple(struct driver *d, uint32_t type, const char *name, uint16_t vqs,
		  struct managed *m)
{
	struct virtio_tvq_create req = { .type = type, .vqs = vqs };

	snprintf((char *)req.name, sizeof(req.name), "%s", name);
	return create(d, &req, m);
}

/* A device with more features than it offers by default. */
int create_with(struct driver *d, uint32_t type, uint64_t extra, struct managed *m)
{
	struct virtio_tvq_create req = { .type = type, .flags = VIRTIO_TVQ_CREATE_F_FEATURES };
	int ret = create_simple(d, type, "", 0, m);

	if (ret)
		return ret;
	req.features[0] = m->info.features[0] | extra;
	ret = command(d, m->id, MGMT(DESTROY), NULL, 0, 0, NULL);
	return ret ? ret : create(d, &req, m);
}

int create_sized(struct driver *d, const char *name, uint64_t sectors, struct managed *m)
{
	struct {
		struct virtio_tvq_create req;
		struct virtio_tvq_config_init init;
	} create_req = {
		.req = { .type = 2, .num_config = 1 },
		.init = { .offset = 0, .length = 8 },
	};

	memcpy(create_req.init.data, &sectors, 8);
	snprintf((char *)create_req.req.name, sizeof(create_req.req.name), "%s", name);
	return create(d, &create_req.req, m);
}

int negotiate(struct managed *m, uint64_t features, uint8_t *status)
{
	struct virtio_tvq_negotiate req = {
		.features = { features },
		.status = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK,
	};
	struct reply reply;
	int ret = command(m->d, m->id, DEVICE(NEGOTIATE), &req, sizeof(req), 4, &reply);

	if (status)
		*status = reply.in[0];
	m->features = features;
	return ret;
}

uint64_t msi_address(struct managed *m, unsigned int vector)
{
	return MSI_BASE + (m->id << 12) + 16 * vector;
}

/* Queues 0 to num_vqs - 1 with vectors 1.., and all messages. */
int setup(struct managed *m, unsigned int num_vqs, uint16_t size)
{
	uint8_t buf[8192] = { 0 };
	struct virtio_tvq_setup *req = (void *)buf;
	struct virtio_tvq_vq *vq = (void *)(req + 1);
	struct virtio_tvq_msi_entry *msi = (void *)(vq + num_vqs);
	unsigned int i;

	req->num_vqs = num_vqs;
	req->num_msi = m->info.num_vectors;
	for (i = 0; i < num_vqs; i++) {
		ring_init(&m->ring[i], &m->d->c, size, m->features & BIT64(F_RING_PACKED));
		vq[i].index = i;
		vq[i].size = size;
		vq[i].vector = i + 1u < m->info.num_vectors ? i + 1u : m->info.num_vectors - 1u;
		vq[i].desc = m->ring[i].desc;
		vq[i].driver = m->ring[i].driver;
		vq[i].device = m->ring[i].device;
	}
	for (i = 0; i < m->info.num_vectors; i++) {
		msi[i].address = msi_address(m, i);
		msi[i].data = i;
	}
	return command(m->d, m->id, VQ(SETUP), buf, (uint8_t *)(msi + i) - buf, 0, NULL);
}

int set_status(struct managed *m, uint8_t status)
{
	struct virtio_tvq_status req = { .status = status };

	return command(m->d, m->id, DEVICE(SET_STATUS), &req, sizeof(req), 4, NULL);
}

bool bring_up(struct managed *m, unsigned int num_vqs, uint16_t size, uint64_t without)
{
	uint8_t status = 0;

	CHECK_EQ(negotiate(m, m->info.features[0] & ~without, &status), 0);
	CHECK(status & S_FEATURES_OK);
	CHECK_EQ(setup(m, num_vqs, size), 0);
	status |= S_DRIVER_OK;
	CHECK_EQ(set_status(m, status), 0);
	return status & S_FEATURES_OK;
}

void doorbell(struct managed *m, uint16_t queue)
{
	if (m->features & BIT64(F_NOTIFICATION_DATA))
		region_put(&m->d->c, BAR_DOORBELL, m->doorbell,
			   ring_notification(&m->ring[queue], queue), 4);
	else
		region_put(&m->d->c, BAR_DOORBELL, m->doorbell, queue, 2);
}

/*
 * A device that is a function of its own
 */

void plain_attach(struct plain_driver *p, const char *socket)
{
	struct client *c = &p->c;

	memset(p, 0, sizeof(*p));
	client_attach(c, socket);
	CHECK(client_negotiate(c));
	CHECK_EQ(client_map(c, GUEST_BASE, GUEST_SIZE, 0), 0);
	COMMON(c, VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	p->offered = region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DF, 4);
	COMMON(c, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	p->offered |= region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_DF, 4) << 32;
	c->num_irqs = region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_NUMQ, 2) + 1;
	if (c->num_irqs > MGMT_VECTORS)
		c->num_irqs = MGMT_VECTORS;
	set_irqs(c);
}

void plain_detach(struct plain_driver *p)
{
	client_exit(&p->c);
}

uint8_t plain_get_status(struct plain_driver *p)
{
	return region_get(&p->c, BAR_VIRTIO, VIRTIO_PCI_COMMON_STATUS, 1);
}

/* From a reset to FEATURES_OK. Return: whether that is so. */
bool plain_negotiate(struct plain_driver *p, uint64_t features)
{
	struct client *c = &p->c;

	region_put(c, VFU_CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	CHECK_EQ(plain_get_status(p), 0);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS, S_ACKNOWLEDGE | S_DRIVER, 1);
	COMMON(c, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	COMMON(c, VIRTIO_PCI_COMMON_GF, features & 0xffffffff, 4);
	COMMON(c, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	COMMON(c, VIRTIO_PCI_COMMON_GF, features >> 32, 4);
	COMMON(c, VIRTIO_PCI_COMMON_STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK, 1);
	COMMON(c, VIRTIO_PCI_COMMON_MSIX, 0, 2);
	p->features = features;
	return plain_get_status(p) & S_FEATURES_OK;
}

/* A queue with the vector behind that of the one before. */
void plain_queue(struct plain_driver *p, uint16_t queue, uint16_t size)
{
	struct ring *ring = &p->ring[queue];
	struct client *c = &p->c;

	ring_init(ring, c, size, p->features & BIT64(F_RING_PACKED));
	COMMON(c, VIRTIO_PCI_COMMON_Q_SELECT, queue, 2);
	COMMON(c, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	COMMON(c, VIRTIO_PCI_COMMON_Q_MSIX, queue + 1, 2);
	COMMON(c, VIRTIO_PCI_COMMON_Q_DESCLO, ring->desc, 8);
	COMMON(c, VIRTIO_PCI_COMMON_Q_AVAILLO, ring->driver, 8);
	COMMON(c, VIRTIO_PCI_COMMON_Q_USEDLO, ring->device, 8);
	COMMON(c, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	CHECK_EQ(region_get(c, BAR_VIRTIO, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

bool plain_bring_up(struct plain_driver *p, unsigned int num_vqs, uint16_t size, uint64_t without)
{
	unsigned int i;

	if (!plain_negotiate(p, p->offered & ~without))
		return false;
	for (i = 0; i < num_vqs; i++)
		plain_queue(p, i, size);
	COMMON(&p->c, VIRTIO_PCI_COMMON_STATUS,
	       S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK, 1);
	return true;
}

void plain_doorbell(struct plain_driver *p, uint16_t queue)
{
	uint64_t at = PCI_NOTIFY_OFFSET + PCI_NOTIFY_MULTIPLIER * queue;

	if (p->features & BIT64(F_NOTIFICATION_DATA))
		region_put(&p->c, BAR_VIRTIO, at, ring_notification(&p->ring[queue], queue), 4);
	else
		region_put(&p->c, BAR_VIRTIO, at, queue, 2);
}
