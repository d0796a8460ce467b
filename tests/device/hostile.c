// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* A device that lies. */
#include <endian.h>
#include <inttypes.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_tvq.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cmdq.h"
#include "hostile.h"
#include "log.h"
#include "pci.h"
#include "tvq.h"

#define REPLY_MAX	8192		/* of a longer reply the beginning is lied in */
#define TRUTH		128		/* and so much of it is known afterwards */
#define IDS		65536		/* of devices that may come before one is looked for */
#define RATE		300
#define ENDINGS		8		/* of 1000 lies, of the function of 10000 */
#define STORM_NS	20000000	/* between bursts of interrupts */

/* splitmix64 */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t next(struct hostile_numbers *n)
{
	n->state += 0x9e3779b97f4a7c15ull;
	return mix(n->state);
}

static uint32_t below(struct hostile_numbers *n, uint32_t end)
{
	return (next(n) >> 32) * end >> 32;
}

/* Whether it is on, with numbers of this run's seed. */
static bool on(struct hostile *h, struct hostile_numbers *n, uint64_t id, uint32_t what)
{
	uint32_t run = h ? atomic_load(&h->run) : 0;

	if (!run || !(atomic_load(&h->what) & what))
		return false;
	if (n->run != run) {
		n->run = run;
		n->state = mix(atomic_load(&h->seed) ^ mix(id));
	}
	return true;
}

/*
 * What a command is on the way to comes seldom enough: in a bring-up that fails at its
 * first step in one of three, its last is hardly seen.
 */
static bool on_the_way(const char *command)
{
	static const char * const names[] = {
		"NEGOTIATE", "SET_STATUS", "VQ_SETUP", "GET_CONFIG", "LIST_QUERY",
		"LIST_USE", "CAP_ID_LIST_QUERY", "RESOURCE_OBJ_CREATE", "DEV_PARTS_METADATA_GET",
		"DEV_MODE_SET",
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (command && !strcmp(command, names[i]))
			return true;
	}
	return false;
}

static bool lies(struct hostile *h, struct hostile_numbers *n)
{
	return below(n, 1000) < atomic_load(&h->rate);
}

/* A number that somebody may have forgotten, in place of this one. */
static uint64_t odd_number(struct hostile_numbers *n, uint64_t now)
{
	switch (below(n, 9)) {
	case 0:
		return 0;
	case 1:
		return now + 1;
	case 2:
		return now - 1;
	case 3:
		return ~0ull >> below(n, 64);
	case 4:
		return BIT64(below(n, 64));
	case 5:
		return now ^ BIT64(below(n, 64));
	case 6:
		return below(n, 256);
	case 7:
		return ~0ull;
	default:
		return next(n);
	}
}

static void fill(struct hostile_numbers *n, uint8_t *p, uint32_t len)
{
	uint64_t value;

	for (; len >= 8; len -= 8, p += 8) {
		value = next(n);
		memcpy(p, &value, 8);
	}
	value = next(n);
	memcpy(p, &value, len);
}

/* Another value in a field. */
static void change(struct hostile_numbers *n, uint8_t *p, uint32_t len, uint32_t at,
		   uint32_t width)
{
	uint64_t value = 0;

	if (at + width > len)
		return;
	memcpy(&value, p + at, width);
	value = htole64(odd_number(n, le64toh(value)));
	memcpy(p + at, &value, width);
}

/* In any field; those at the beginning are looked at by more of a driver. */
static void change_any(struct hostile_numbers *n, uint8_t *p, uint32_t len, uint32_t head)
{
	uint32_t width = 1u << below(n, 4), at;

	if (!len)
		return;
	if (width > len)
		width = 1;
	at = below(n, len > 128 && below(n, 2) ? 128 : len);
	if (at >= head && below(n, 4))
		at -= (at - head) % width;
	change(n, p, len, at, width);
}

/*
 * Replies
 */

/* CREATE and DESCRIBE: what there is to a device. in is behind the ack. */
static void lie_info(struct hostile_numbers *n, uint8_t *in, uint32_t len)
{
	struct virtio_tvq_device_info *info = (void *)in;
	uint32_t sizes;
	uint16_t size;

	if (len < sizeof(*info))
		return;
	sizes = sizeof(*info) + le32toh(info->config_len);
	switch (below(n, 12)) {
	case 0:		/* another device's, or nobody's */
		info->device_id = htole64(below(n, 2) ? below(n, 16) : next(n));
		break;
	case 1:
		change(n, in, len, offsetof(struct virtio_tvq_device_info, features), 8);
		break;
	case 2:		/* without an end, or not a name */
		memset(info->name, below(n, 2) ? 'A' : '/', sizeof(info->name));
		break;
	case 3:
		info->num_vqs = htole16(odd_number(n, le16toh(info->num_vqs)));
		break;
	case 4:
		info->num_vectors = htole16(odd_number(n, le16toh(info->num_vectors)));
		break;
	case 5:		/* outside the BAR, not aligned, or another device's */
		change(n, in, len, offsetof(struct virtio_tvq_device_info, doorbell_offset), 8);
		break;
	case 6:
		info->doorbell_offset = htole64((uint64_t)below(n, 300) *
						VIRTIO_TVQ_DOORBELL_SIZE);
		break;
	case 7:
		info->flags ^= VIRTIO_TVQ_DEVICE_F_DOORBELL;
		break;
	case 8:
		info->config_len = htole32(odd_number(n, le32toh(info->config_len)));
		break;
	case 9:
		info->type = htole32(odd_number(n, le32toh(info->type)));
		break;
	case 10:
		info->status = next(n);
		break;
	default:
		size = below(n, 2) ? 0 : below(n, 2) ? 0xffff : next(n);
		if (sizes < len)
			change(n, in, len, sizes + (below(n, len - sizes) & ~1u), 2);
		if (sizes + sizeof(size) <= len)
			memcpy(in + sizes, &size, sizeof(size));
		break;
	}
}

/* LIST: one that goes on and on, of devices that may not be there; room for len bytes. */
static uint32_t lie_list(struct hostile_numbers *n, uint64_t after, uint8_t *in, uint32_t len,
			 uint32_t room)
{
	struct virtio_tvq_list *list = (void *)in;
	struct virtio_tvq_list_entry *entry = (void *)(list + 1);
	uint32_t max = (room - sizeof(*list)) / sizeof(*entry), count, i;

	if (len < sizeof(*list) || room < sizeof(*list) + sizeof(*entry))
		return len;
	switch (below(n, 4)) {
	case 0:
		list->total = htole32(odd_number(n, le32toh(list->total)));
		return len;
	case 1:
		list->count = htole32(odd_number(n, le32toh(list->count)));
		return len;
	case 2:		/* ids that do not rise */
		change_any(n, in + sizeof(*list), len - sizeof(*list), 0);
		return len;
	}
	count = 1 + below(n, max);
	for (i = 0; i < count; i++) {
		after += 1 + (below(n, 8) ? 0 : below(n, 1u << below(n, 31)));
		entry[i] = (struct virtio_tvq_list_entry){
			.device_id = htole64(after),
			.type = htole32(1 + below(n, 3)),
		};
	}
	list->count = htole32(count);
	list->total = htole32(below(n, 2) ? count : next(n));
	list->generation = htole64(next(n));
	return sizeof(*list) + count * sizeof(*entry);
}

static uint32_t lie_transport(struct hostile_numbers *n, const uint8_t *out, uint8_t *reply,
			      uint32_t len, uint32_t room)
{
	const struct virtio_tvq_hdr *hdr = (const void *)out;
	const uint32_t ack = sizeof(uint32_t);
	uint64_t after;

	switch (le16toh(hdr->class) << 8 | le16toh(hdr->command)) {
	case VIRTIO_TVQ_CLASS_MGMT << 8 | VIRTIO_TVQ_MGMT_LIST:
		memcpy(&after, out + sizeof(*hdr), sizeof(after));
		return ack + lie_list(n, le64toh(after), reply + ack, len - ack, room - ack);
	case VIRTIO_TVQ_CLASS_MGMT << 8 | VIRTIO_TVQ_MGMT_CREATE:
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_DESCRIBE:
		lie_info(n, reply + ack, len - ack);
		return len;
	default:
		change_any(n, reply + ack, len - ack, 0);
		return len;
	}
}

/* A field of a reply as it was. */
static void undo(const uint8_t *truth, uint8_t *reply, uint32_t len, uint32_t at, uint32_t width)
{
	if (at + width <= len && at + width <= TRUTH)
		memcpy(reply + at, truth + at, width);
}

/*
 * Some lies would only show that the kernel's own virtio drivers have no timeouts: those
 * for a network interface's control queue and for a console spin until they are answered.
 * So no refusal becomes a success, behind which a driver would wait for queues that there
 * are not; no device is said to be of another type that has a driver; no control
 * queue to be where it is not, which depends on how many there are; and no new device to be
 * one that may be there, or come soon, and be another one than is said.
 */
static void not_that(struct cmdq *q, const uint8_t *out, const uint8_t *truth, uint8_t *reply,
		     uint32_t len)
{
	const uint32_t pairs = offsetof(struct virtio_net_config, max_virtqueue_pairs);
	const struct virtio_tvq_device_info *was = (const void *)(truth + 4);
	struct virtio_tvq_device_info *info = (void *)(reply + 4);
	const struct virtio_tvq_hdr *hdr = (const void *)out;
	uint32_t ack = q->vq.index == TRANSPORT_QUEUE ? 4 : 2;
	static const uint8_t zero[4];
	uint64_t id;

	if (memcmp(truth, zero, ack) && !memcmp(reply, zero, ack))
		memcpy(reply, truth, ack);
	if (ack != 4)
		return;
	switch (le16toh(hdr->class) << 8 | le16toh(hdr->command)) {
	case VIRTIO_TVQ_CLASS_MGMT << 8 | VIRTIO_TVQ_MGMT_CREATE:
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_DESCRIBE:
		if (len < 4 + sizeof(*info))
			break;
		if (le32toh(info->type) < 64)
			info->type = was->type;
		id = le64toh(info->device_id);
		if (le16toh(hdr->class) == VIRTIO_TVQ_CLASS_MGMT && id &&
		    id < le64toh(was->device_id) + IDS)
			info->device_id = was->device_id;
		if (le32toh(was->type) == VIRTIO_ID_NET) {
			info->config_len = was->config_len;
			undo(truth, reply, len, 4 + sizeof(*info) + pairs, 2);
		}
		break;
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_GET_CONFIG:
	case VIRTIO_TVQ_CLASS_DEVICE << 8 | VIRTIO_TVQ_DEVICE_SET_CONFIG:
		/* Of an interface, for all that is known here. */
		undo(truth, reply, len, 4 + sizeof(struct virtio_tvq_config) + pairs, 2);
		break;
	}
}

/* What is written into a reply. Return: how long it is now. */
static uint32_t lie_in(struct cmdq *q, const uint8_t *out, uint8_t *reply, uint32_t len,
		       uint32_t room)
{
	struct hostile_numbers *n = &q->vq.hostile.numbers;
	bool transport = q->vq.index == TRANSPORT_QUEUE;
	uint32_t head = transport ? 4 : 8, i;

	if (len < head)
		return len;
	switch (below(n, 10)) {
	case 0:		/* nothing but noise, half of it in what is taken for a success */
		i = below(n, 2) ? 0 : head;
		fill(n, reply + i, room - i);
		return room;
	case 1:
		for (i = 2 + below(n, 8); i; i--)
			change_any(n, reply, len, head);
		return len;
	case 2:		/* no success, for this reason or that */
		if (transport)
			reply[0] = 1;
		else
			change(n, reply, len, 0, 2);
		change(n, reply, len, transport ? 4 : 2, 2);
		return len;
	case 3:
	case 4:
		change_any(n, reply, len, head);
		return len;
	default:
		if (transport)
			return lie_transport(n, out, reply, len, room);
		change_any(n, reply + head, len - head, 0);
		return len;
	}
}

static void count_reply(struct hostile *h, const char *command, bool lie)
{
	struct hostile_command *known = h->count.commands;
	unsigned int i;

	atomic_fetch_add(&h->count.replies, 1);
	if (lie)
		atomic_fetch_add(&h->count.reply_lies, 1);
	if (!command)
		return;
	pthread_mutex_lock(&h->count_lock);
	for (i = 0; i < HOSTILE_COMMANDS; i++) {
		if (!known[i].name)
			known[i].name = command;
		if (!strcmp(known[i].name, command)) {
			known[i].replies++;
			known[i].lies += lie;
			break;
		}
	}
	pthread_mutex_unlock(&h->count_lock);
}

bool hostile_command(struct hostile *h, unsigned int i, struct hostile_command *command)
{
	pthread_mutex_lock(&h->count_lock);
	*command = i < HOSTILE_COMMANDS ? h->count.commands[i] : (struct hostile_command){ 0 };
	pthread_mutex_unlock(&h->count_lock);
	return command->name;
}

/* With the queue's lock. */
static void lie_reply(struct cmdq *q, struct answer *answer)
{
	struct hostile_queue *hq = &q->vq.hostile;
	struct hostile_numbers *n = &hq->numbers;
	const struct vq_chain *chain = &answer->chain;
	uint32_t room = chain->in_len < REPLY_MAX ? chain->in_len : REPLY_MAX;
	uint8_t out[24] = { 0 }, truth[TRUTH] = { 0 }, *data;
	bool lie;

	if (!on(hq->hostile, n, hq->id, HOSTILE_REPLIES))
		return;
	lie = lies(hq->hostile, n) && (!on_the_way(answer->command) || !below(n, 3));
	count_reply(hq->hostile, answer->command, lie);
	if (!lie)
		return;
	switch (below(n, 12)) {
	case 0:		/* not all of it, by what is said */
		answer->written = below(n, answer->written + 1);
		return;
	case 1:		/* more than there is room for */
		answer->written = chain->in_len + 1 +
				  (below(n, 2) ? below(n, 8) : below(n, 1u << 31));
		return;
	}
	if (answer->len > room ||
	    vq_read(&q->pci->mem, chain, 0, out,
		    chain->out_len < sizeof(out) ? chain->out_len : sizeof(out)))
		return;
	data = realloc(answer->data, room ? room : 1);
	if (!data)
		return;
	memset(data + answer->len, 0, room - answer->len);
	answer->data = data;
	memcpy(truth, data, answer->len < sizeof(truth) ? answer->len : sizeof(truth));
	answer->len = lie_in(q, out, data, answer->len, room);
	if (answer->len >= 4)
		not_that(q, out, truth, data, answer->len);
	answer->written = answer->len;
}

bool hostile_answer(struct cmdq *q, struct answer *answer)
{
	bool silent;

	pthread_mutex_lock(&q->lock);
	silent = q->vq.hostile.end == HOSTILE_SILENT;
	if (!silent && q->epoch == answer->epoch)
		lie_reply(q, answer);
	pthread_mutex_unlock(&q->lock);
	return !silent;
}

/*
 * Used rings
 */

/*
 * In a buffer of a managed device: among the first bytes, where headers are, or the
 * last, where a disk has its status.
 */
static void lie_data(struct virtq *vq, const struct vq_chain *chain, uint32_t written)
{
	struct hostile_numbers *n = &vq->hostile.numbers;
	uint8_t data[16];
	uint32_t len = written < sizeof(data) ? written : sizeof(data);
	uint64_t at = below(n, 2) ? 0 : written - len;

	if (!len || written > chain->in_len || vq_read_back(vq->mem, chain, at, data, len))
		return;
	change_any(n, data, len, 0);
	vq_write(vq->mem, chain, at, data, len);
}

/* Of a managed device */
static void count_used(struct virtq *vq, _Atomic uint64_t *all, _Atomic uint64_t *packed)
{
	if (!vq->hostile.type)
		return;
	atomic_fetch_add(all, 1);
	if (vq->packed)
		atomic_fetch_add(packed, 1);
}

unsigned int hostile_used(struct virtq *vq, const struct vq_chain *chain, uint32_t *id,
			  uint32_t *written)
{
	struct hostile_queue *hq = &vq->hostile;
	struct hostile_numbers *n = &hq->numbers;
	struct hostile_counts *count;
	uint32_t kind, truth = *written;
	bool one_by_one;

	if (!on(hq->hostile, n, hq->id, hq->type ? HOSTILE_QUEUES : HOSTILE_RINGS))
		return 1;
	count = &hq->hostile->count;
	count_used(vq, &count->used, &count->packed);
	if (!lies(hq->hostile, n))
		return 1;
	/* What ends a queue is rare, so that much happens before: with one, all devices end. */
	kind = below(n, hq->type ? 1000 : 10000);
	/*
	 * virtio_net goes on looking into a transmit queue that it has found broken, as long
	 * as there is something in it: those do not end. They have the odd numbers.
	 */
	if (kind >= ENDINGS || (hq->type == VIRTIO_ID_NET && vq->index & 1)) {
		if (!hq->type)
			return 1;
		count_used(vq, &count->used_lies, &count->packed_lies);
		if (kind >= 300)
			lie_data(vq, chain, *written);
		else
			*written = odd_number(n, *written);
		/*
		 * By a length that they are told, virtio_net syncs memory, before it looks
		 * whether the buffer has that much, and virtio_console allocates some. Where
		 * two mappings meet, dma-debug takes nothing for a part of both, and reports
		 * that it is not known to whom it belongs.
		 */
		if ((hq->type == VIRTIO_ID_NET || hq->type == VIRTIO_ID_CONSOLE) &&
		    *written > chain->in_len)
			*written = chain->in_len;
		if (hq->type == VIRTIO_ID_NET && chain->in_len && !*written)
			*written = 1;
		/* Of what is shorter than its header, virtio_console takes the rest for a name. */
		if (hq->type == VIRTIO_ID_CONSOLE &&
		    *written < sizeof(struct virtio_console_control) &&
		    truth >= sizeof(struct virtio_console_control))
			*written = truth;
		return 1;
	}
	if (!hq->type)
		atomic_fetch_add(&count->ring_lies, 1);
	count_used(vq, &count->used_lies, &count->packed_lies);
	log_debug("queue %u: a lie of kind %u", vq->index, kind);
	hq->end = HOSTILE_ENDS;
	/*
	 * Each of these a driver's ring can find out. An id that is another buffer's, which
	 * the device was not given yet, it cannot, and then waits for that buffer, as it
	 * would for a device that keeps it: that is not shown here. Nor is one more answer
	 * than there were requests, where there is one at a time, each with the same id: it
	 * is taken for the next one's, and virtio_net and virtio_console spin for the one
	 * after that. Their first queue is for what they receive.
	 */
	one_by_one = (hq->type == VIRTIO_ID_NET || hq->type == VIRTIO_ID_CONSOLE) && vq->index;
	if (!vq->packed && !one_by_one && kind < 3)
		return 2;
	/* What the device still holds of the driver's is not to be taken for given back. */
	if (!vq->packed && !one_by_one && kind < 6 && !vq->held)
		hq->jump = vq->size + 1 + below(n, 32768);
	else
		*id = vq->size + below(n, below(n, 2) ? 8 : 1u << 15);
	return 1;
}

/*
 * Interrupts
 */

int hostile_vector(struct hostile_queue *hq, uint16_t num)
{
	if (!num || !on(hq->hostile, &hq->numbers, hq->id, HOSTILE_INTERRUPTS) ||
	    !lies(hq->hostile, &hq->numbers))
		return -1;
	atomic_fetch_add(&hq->hostile->count.interrupts, 1);
	return below(&hq->numbers, num);
}

bool hostile_config_changed(struct hostile_queue *hq)
{
	if (!on(hq->hostile, &hq->numbers, hq->id, HOSTILE_INTERRUPTS) ||
	    !lies(hq->hostile, &hq->numbers))
		return false;
	atomic_fetch_add(&hq->hostile->count.interrupts, 1);
	return true;
}

/* All vectors of the function, assigned or not, again and again. */
static void *storm(void *arg)
{
	struct hostile *h = arg;
	struct hostile_numbers n = { 0 };
	struct timespec until;
	unsigned int vector, i;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		if (!on(h, &n, ~0ull, HOSTILE_INTERRUPTS)) {
			pthread_cond_wait(&h->cond, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		for (i = below(&n, 16); i; i--) {
			/* Vector 0 has the list of devices read, and what is not in it goes. */
			vector = below(&n, 64) ? 1 + below(&n, MGMT_VECTORS - 1) : 0;
			vfu_irq_raise(&h->pci->vfu, vector);
			atomic_fetch_add(&h->count.interrupts, 1);
		}
		pthread_mutex_lock(&h->lock);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += STORM_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&h->cond, &h->lock, &until);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/*
 * What is read of the function
 */

void hostile_register(struct hostile *h, bool in_use, void *buf, uint32_t len)
{
	struct hostile_numbers *n = &h->function;

	if (!on(h, n, ~1ull, HOSTILE_FUNCTION))
		return;
	atomic_fetch_add(&h->count.reads, 1);
	/*
	 * There are dozens of them in each probe, that is to go through now and then. In use
	 * there is one with each list.
	 */
	if (!lies(h, n) || below(n, in_use ? 4 : 16))
		return;
	atomic_fetch_add(&h->count.read_lies, 1);
	if (in_use)
		atomic_fetch_add(&h->count.use_lies, 1);
	change(n, buf, len, 0, len < 8 ? len : 8);
}

/*
 * Of a capability one field is wrong, and the same as long as the seed is: a driver may
 * read it as often as it likes. Those that a VMM looks at, too, are what they are: where
 * a capability is, and which kind.
 */
void hostile_config(struct hostile *h, uint64_t offset, void *buf, uint32_t len, unsigned int cap,
		    unsigned int caps_end)
{
	struct hostile_numbers n = { 0 };
	uint8_t *p = buf;
	uint64_t value;
	uint32_t at, width, i;

	if (!on(h, &n, ~2ull, HOSTILE_FUNCTION) || !lies(h, &n))
		return;
	do {
		width = 1u << below(&n, 4);
		at = cap + below(&n, caps_end - cap);
		at -= at % width;
	} while (at + width > caps_end || (at - cap) < 2);
	value = next(&n);
	if (below(&n, 2))
		value = ~0ull >> below(&n, 64);
	for (i = 0; i < width; i++, value >>= 8) {
		if (at + i >= offset && at + i < offset + len)
			p[at + i - offset] = value;
	}
	if (at < offset + len && at + width > offset)
		atomic_fetch_add(&h->count.read_lies, 1);
}

/*
 * On and off
 */

static const struct {
	const char *name;
	uint32_t what;
} names[] = {
	{ "replies", HOSTILE_REPLIES },
	{ "rings", HOSTILE_RINGS },
	{ "queues", HOSTILE_QUEUES },
	{ "interrupts", HOSTILE_INTERRUPTS },
	{ "function", HOSTILE_FUNCTION },
	{ "all", HOSTILE_ALL },
};

static uint32_t parse_what(char *text)
{
	uint32_t what = 0;
	char *save, *word;
	unsigned int i;

	for (word = strtok_r(text, "+", &save); word; word = strtok_r(NULL, "+", &save)) {
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (!strcmp(word, names[i].name))
				break;
		}
		if (i == sizeof(names) / sizeof(names[0]))
			return 0;
		what |= names[i].what;
	}
	return what;
}

/* SEED[,rate=N][,what=WHAT[+WHAT]...]. Return: NULL, or what is wrong. */
const char *hostile_parse(struct hostile_options *opt, char *text)
{
	char *save, *word = strtok_r(text, ",", &save), *end;

	opt->on = true;
	opt->rate = RATE;
	opt->what = HOSTILE_ALL;
	if (!word)
		return "the seed is missing";
	if (!strcmp(word, "random")) {
		if (getrandom(&opt->seed, sizeof(opt->seed), 0) < 0)
			return "no random seed";
	} else {
		opt->seed = strtoull(word, &end, 0);
		if (*end || *word == '-')
			return "the seed is not a number, nor random";
	}
	while ((word = strtok_r(NULL, ",", &save))) {
		if (!strncmp(word, "rate=", 5)) {
			opt->rate = strtoul(word + 5, &end, 10);
			if (*end || !word[5] || opt->rate > 1000)
				return "the rate is not a number up to 1000";
		} else if (!strncmp(word, "what=", 5)) {
			opt->what = parse_what(word + 5);
			if (!opt->what)
				return "what is none of those that help lists";
		} else {
			return "neither rate nor what";
		}
	}
	return NULL;
}

void hostile_set(struct hostile *h, const struct hostile_options *opt)
{
	pthread_mutex_lock(&h->lock);
	atomic_store(&h->run, 0);
	if (opt->on) {
		atomic_store(&h->seed, opt->seed);
		atomic_store(&h->rate, opt->rate);
		atomic_store(&h->what, opt->what);
		atomic_store(&h->run, atomic_fetch_add(&h->runs, 1) + 1);
		log_info("hostile: seed %" PRIu64 ", rate %" PRIu32 ", what %#" PRIx32, opt->seed,
			 opt->rate, opt->what);
	} else {
		log_info("hostile: off");
	}
	pthread_cond_signal(&h->cond);
	pthread_mutex_unlock(&h->lock);
}

/* Behind that a driver may have it that a doorbell is where it is not. */
bool hostile_was_on(struct hostile *h)
{
	return atomic_load(&h->runs);
}

void hostile_queue_init(struct hostile_queue *hq, struct hostile *h, uint64_t device_id,
			uint32_t type, uint16_t index)
{
	hq->hostile = h;
	hq->id = device_id << 16 | index;
	hq->type = type;
}

int hostile_start(struct hostile *h, struct pci *pci)
{
	pthread_condattr_t attr;

	memset(h, 0, sizeof(*h));
	h->pci = pci;
	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_init(&h->count_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->cond, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&h->thread, NULL, storm, h))
		return -1;
	h->started = true;
	return 0;
}

void hostile_stop(struct hostile *h)
{
	if (!h->started)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_signal(&h->cond);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->cond);
	pthread_mutex_destroy(&h->lock);
	pthread_mutex_destroy(&h->count_lock);
}
