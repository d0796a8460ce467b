// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* A device that lies: by its seed, and within what it was given. */
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "../hostile.h"
#include "client.h"

#define COMMANDS	200
#define GUARD		64

static struct driver d;
static struct managed m;
static struct reply reply;

static const char *tell(const char *text)
{
	struct hostile_options opt = { 0 };
	char *copy = strdup(text);
	const char *error = hostile_parse(&opt, copy);

	if (!error)
		hostile_set(&d.c.tvq.hostile, &opt);
	free(copy);
	return error;
}

static void tell_off(void)
{
	hostile_set(&d.c.tvq.hostile, &(struct hostile_options){ 0 });
}

struct seen {
	bool came;
	uint32_t used;
	uint8_t in[4 + sizeof(struct virtio_tvq_limits)];
};

/* What is behind the room for an answer stays as it is. */
static void ask(struct seen *seen)
{
	const uint32_t room = sizeof(seen->in) - 4;
	uint16_t head = post(&d, 0, MGMT(LIMITS), NULL, 0, room);
	uint64_t guard = guest_alloc(&d.c, GUARD, 1);
	uint8_t *p = guest(&d.c, guard);
	unsigned int i;

	memset(p, 0x55, GUARD);
	memset(seen, 0, sizeof(*seen));
	driver_kick(&d);
	collect(&d, &reply);
	seen->came = reply.came;
	seen->used = reply.used;
	memcpy(seen->in, guest(&d.c, d.in_gpa[head]), sizeof(seen->in));
	for (i = 0; i < GUARD && p[i] == 0x55; i++)
		;
	CHECK_EQ(i, GUARD);
}

static unsigned int different(const struct seen *a, const struct seen *b)
{
	unsigned int i, n = 0;

	for (i = 0; i < COMMANDS; i++)
		n += !!memcmp(&a[i], &b[i], sizeof(a[i]));
	return n;
}

TEST(hostile_by_its_seed)
{
	static struct seen honest, first[COMMANDS], again[COMMANDS], other[COMMANDS];
	static struct seen truth[COMMANDS];
	struct hostile_counts *count = &d.c.tvq.hostile.count;
	struct hostile_command known;
	unsigned int i;

	driver_init(&d, NULL);
	ask(&honest);
	for (i = 0; i < COMMANDS; i++)
		truth[i] = honest;
	CHECK(!tell("5,what=replies"));
	for (i = 0; i < COMMANDS; i++)
		ask(&first[i]);
	CHECK_EQ(count->replies, COMMANDS);
	CHECK(hostile_command(&d.c.tvq.hostile, 0, &known));
	CHECK(!strcmp(known.name, "LIMITS"));
	CHECK_EQ(known.replies, COMMANDS);
	CHECK_EQ(known.lies, count->reply_lies);
	CHECK(!hostile_command(&d.c.tvq.hostile, 1, &known));
	CHECK(count->reply_lies > COMMANDS / 5 && count->reply_lies < COMMANDS / 2);
	CHECK(!tell("5,what=replies"));
	for (i = 0; i < COMMANDS; i++)
		ask(&again[i]);
	CHECK(!tell("6,what=replies"));
	for (i = 0; i < COMMANDS; i++)
		ask(&other[i]);
	CHECK_EQ(different(first, again), 0);
	CHECK(different(first, other) > COMMANDS / 4);
	/* Now and then one changes nothing. */
	CHECK(different(first, truth) > COMMANDS / 8);
	CHECK(different(first, truth) < COMMANDS / 2);
	tell_off();
	ask(&other[0]);
	CHECK(!memcmp(&other[0], &honest, sizeof(honest)));
	CHECK_EQ(count->replies, 3 * COMMANDS);
	CHECK_EQ(count->ring_lies, 0);
	driver_exit(&d);
}

/* A step on the way to others goes through more often than what is asked for itself. */
TEST(hostile_lets_through)
{
	struct hostile_command known;
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(create_sized(&d, "x", 64, &m), 0);
	CHECK(!tell("5,what=replies"));
	for (i = 0; i < COMMANDS; i++) {
		command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 128, &reply);
		command(&d, m.id, DEVICE(DESCRIBE), NULL, 0, 512, &reply);
	}
	tell_off();
	CHECK(hostile_command(&d.c.tvq.hostile, 0, &known));
	CHECK(!strcmp(known.name, "GET_CONFIG"));
	CHECK_EQ(known.replies, COMMANDS);
	CHECK(known.lies > COMMANDS / 20 && known.lies < COMMANDS / 6);
	CHECK(hostile_command(&d.c.tvq.hostile, 1, &known));
	CHECK(!strcmp(known.name, "DESCRIBE"));
	CHECK(known.lies > COMMANDS / 5);
	driver_exit(&d);
}

TEST(hostile_says_what_is_wrong)
{
	driver_init(&d, NULL);
	CHECK(tell(""));
	CHECK(tell("x"));
	CHECK(tell("-1"));
	CHECK(tell("1,rate=1001"));
	CHECK(tell("1,rate="));
	CHECK(tell("1,what="));
	CHECK(tell("1,what=replies+nothing"));
	CHECK(tell("1,when=now"));
	CHECK_EQ(atomic_load(&d.c.tvq.hostile.run), 0);
	CHECK(!tell("random,rate=0,what=all"));
	CHECK_EQ(atomic_load(&d.c.tvq.hostile.what), HOSTILE_ALL);
	CHECK(!tell("0x10,what=rings+function"));
	CHECK_EQ(atomic_load(&d.c.tvq.hostile.seed), 16);
	tell_off();
	driver_exit(&d);
}

/* A ring ends with the lie, says so, and begins again when it is set up anew. */
TEST(hostile_rings_end)
{
	struct hostile_counts *count = &d.c.tvq.hostile.count;
	/* Those that do not take long to come to it. */
	static const unsigned int seeds[] = { 1, 5, 9 };
	unsigned int n, i, ended = 0;
	char text[64];

	driver_init(&d, NULL);
	for (n = 0; n < sizeof(seeds) / sizeof(seeds[0]); n++) {
		snprintf(text, sizeof(text), "%u,rate=1000,what=rings", seeds[n]);
		CHECK(!tell(text));
		for (i = 0; i < 2000 && count->ring_lies == ended; i++) {
			post(&d, 0, MGMT(NOP), NULL, 0, 8);
			driver_kick(&d);
			CHECK(ring_wait(&d.ring, NULL, NULL));
		}
		CHECK(i < 2000);
		ended++;
		CHECK(signalled(&d.c, d.c.irq_fd[1]));
		/* Nothing is taken any more. */
		post(&d, 0, MGMT(NOP), NULL, 0, 8);
		driver_kick(&d);
		settle(&d.c, 0.01);
		CHECK_EQ(count->ring_lies, ended);
		driver_reset(&d);
		driver_setup(&d);
	}
	tell_off();
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, &reply), 0);
	driver_exit(&d);
}

/* Interrupts for nothing, in all vectors of the function. */
TEST(hostile_interrupts)
{
	unsigned int i;

	driver_init(&d, NULL);
	settle(&d.c, 0.01);
	for (i = 0; i < d.c.num_irqs; i++)
		quiet_fd(d.c.irq_fd[i]);
	CHECK(!tell("3,what=interrupts"));
	for (i = 0; i < d.c.num_irqs; i++)
		CHECK(signalled(&d.c, d.c.irq_fd[i]));
	tell_off();
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 0, &reply), 0);
	driver_exit(&d);
}

/* Registers lie now and then, capabilities in one place all the time. */
TEST(hostile_function)
{
	static uint8_t before[256], first[256], again[256];
	struct hostile_counts *count = &d.c.tvq.hostile.count;
	unsigned int i, n;
	uint64_t used;

	driver_init(&d, NULL);
	CHECK(!region_read(&d.c, VFU_CONFIG, 0, before, sizeof(before)));
	CHECK(!tell("7,rate=1000,what=function"));
	CHECK(!region_read(&d.c, VFU_CONFIG, 0, first, sizeof(first)));
	CHECK(!region_read(&d.c, VFU_CONFIG, 0, again, sizeof(again)));
	CHECK(memcmp(before, first, sizeof(first)));
	CHECK(!memcmp(again, first, sizeof(first)));
	for (i = 0, n = 0; i < sizeof(first); i++)
		n += before[i] != first[i];
	CHECK(n <= 8);
	for (i = 0; i < 256; i++)
		region_get(&d.c, BAR_VIRTIO, 0, 4);
	CHECK_EQ(count->reads, 256);
	/* In use, a quarter of them. */
	CHECK(count->use_lies > 32 && count->use_lies < 128);
	used = count->use_lies;
	tell_off();
	driver_reset(&d);
	CHECK(!tell("7,rate=1000,what=function"));
	for (i = 0; i < 256; i++)
		region_get(&d.c, BAR_VIRTIO, 0, 4);
	CHECK_EQ(count->use_lies, used);
	CHECK(count->read_lies > used + 2 && count->read_lies < used + 64);
	tell_off();
	CHECK(!region_read(&d.c, VFU_CONFIG, 0, again, sizeof(again)));
	CHECK(!memcmp(again, before, sizeof(before)));
	driver_exit(&d);
}

static void kick(void *arg)
{
	doorbell(arg, 0);
}

/* A disk's buffers and their lengths; what it got, it does not forget. */
TEST(hostile_queues)
{
	struct hostile_counts *count = &d.c.tvq.hostile.count;
	uint8_t out[512], in[512];
	unsigned int i, wrong = 0;

	memset(out, 0xa5, sizeof(out));
	driver_init(&d, NULL);
	CHECK_EQ(create_sized(&d, "x", 64, &m), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_OUT, 0, out, sizeof(out), false),
		 0);
	CHECK(!tell("9,rate=1000,what=queues"));
	for (i = 0; i < 40; i++)
		wrong += blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, in, sizeof(in),
				     false) != 0;
	CHECK_EQ(count->used, 40);
	CHECK_EQ(count->used_lies, 40);
	CHECK(wrong > 2 && wrong < 40);
	tell_off();
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, &reply), 0);
	CHECK(bring_up(&m, 1, 64, 0));
	CHECK_EQ(blk_request(&m.ring[0], kick, &m, VIRTIO_BLK_T_IN, 0, in, sizeof(in), false), 0);
	CHECK(!memcmp(in, out, sizeof(in)));
	CHECK_EQ(count->reply_lies, 0);
	driver_exit(&d);
}

/* How often one that gives back 100 bytes of 200 says of them that they are fewer or more. */
static unsigned int odd_lengths(uint32_t type, uint32_t least)
{
	const struct vq_chain chain = { .in_len = 200 };
	struct virtq vq = { .mem = &d.c.tvq.pci.mem, .size = 64 };
	unsigned int i, n = 0;
	uint32_t id, written;

	hostile_queue_init(&vq.hostile, &d.c.tvq.hostile, 1, type, 0);
	for (i = 0; i < 1000; i++) {
		id = 0;
		written = 100;
		hostile_used(&vq, &chain, &id, &written);
		n += written < least || written > chain.in_len;
	}
	return n;
}

/* How often, of 1000, a buffer of this queue is not given back as what it is, once. */
static unsigned int endings(uint32_t type, uint16_t index, bool packed)
{
	const struct vq_chain chain = { .in_len = 200 };
	struct virtq vq = { .mem = &d.c.tvq.pci.mem, .size = 64, .index = index,
			    .packed = packed };
	unsigned int i, n = 0, times;
	uint32_t id, written;

	hostile_queue_init(&vq.hostile, &d.c.tvq.hostile, 2, type, index);
	for (i = 0; i < 1000; i++) {
		id = 0;
		written = 100;
		times = hostile_used(&vq, &chain, &id, &written);
		n += times != 1 || id || vq.hostile.jump;
		vq.hostile.jump = 0;
	}
	return n;
}

/* How often, of 10000, it looks as if more buffers were given back than there were. */
static unsigned int too_many(uint32_t type, uint16_t index)
{
	const struct vq_chain chain = { .in_len = 200 };
	struct virtq vq = { .mem = &d.c.tvq.pci.mem, .size = 64, .index = index };
	unsigned int i, n = 0, times;
	uint32_t id, written;

	hostile_queue_init(&vq.hostile, &d.c.tvq.hostile, 2, type, index);
	for (i = 0; i < 10000; i++) {
		id = 0;
		written = 100;
		times = hostile_used(&vq, &chain, &id, &written);
		n += times != 1 || vq.hostile.jump;
		vq.hostile.jump = 0;
	}
	return n;
}

/* Where a driver spins for one answer after the other, it can't tell that one was too many. */
TEST(hostile_too_many)
{
	driver_init(&d, NULL);
	CHECK(!tell("3,rate=1000,what=queues"));
	CHECK(too_many(VIRTIO_ID_BLOCK, 0) > 0);
	CHECK(too_many(VIRTIO_ID_NET, 0) > 0);
	CHECK(too_many(VIRTIO_ID_CONSOLE, 0) > 0);
	CHECK_EQ(too_many(VIRTIO_ID_NET, 2), 0);
	CHECK_EQ(too_many(VIRTIO_ID_CONSOLE, 1), 0);
	CHECK_EQ(too_many(VIRTIO_ID_CONSOLE, 3), 0);
	tell_off();
	driver_exit(&d);
}

TEST(hostile_packed)
{
	struct hostile_counts *count = &d.c.tvq.hostile.count;

	driver_init(&d, NULL);
	CHECK(!tell("3,rate=500,what=queues"));
	CHECK(endings(VIRTIO_ID_NET, 2, true) > 0);
	CHECK(endings(VIRTIO_ID_NET, 2, false) > 0);
	CHECK_EQ(endings(VIRTIO_ID_NET, 1, true), 0);
	CHECK_EQ(endings(VIRTIO_ID_NET, 1, false), 0);
	tell_off();
	CHECK_EQ(count->packed, 2000);
	CHECK_EQ(count->used, 4000);
	CHECK(count->packed_lies > 800 && count->packed_lies < 1200);
	driver_exit(&d);
}

/* What the kernel's own driver would be reported for is left out. */
TEST(hostile_lengths)
{
	driver_init(&d, NULL);
	CHECK(!tell("3,rate=1000,what=queues"));
	CHECK(odd_lengths(VIRTIO_ID_BLOCK, 0) > 50);
	CHECK_EQ(odd_lengths(VIRTIO_ID_NET, 1), 0);
	CHECK_EQ(odd_lengths(VIRTIO_ID_CONSOLE, 0), 0);
	tell_off();
	driver_exit(&d);
}
