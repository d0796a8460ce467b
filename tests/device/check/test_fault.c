// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Faults on demand: each kind, which command is hit, and that the device stays right. */
#include <stdlib.h>
#include <string.h>

#include "../fault.h"
#include "client.h"

static struct driver d;
static struct managed m;
static struct reply reply;

/* As the control socket does it. Return: NULL or what is wrong. */
static const char *tell(const char *text)
{
	struct fault fault = { 0 };
	char *copy = strdup(text), *save, *word;
	const char *error = NULL;

	for (word = strtok_r(copy, " ", &save); word && !error; word = strtok_r(NULL, " ", &save))
		error = fault_add_key(&fault, word);
	if (!error)
		error = fault_check(&fault);
	if (!error)
		faults_tell(&d.c.tvq.faults, &fault);
	free(copy);
	return error;
}

static void check_described(int line, const char *what)
{
	char text[256];

	faults_describe(&d.c.tvq.faults, text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, what))
		test_failed(__FILE__, line, "'%s', not '%s'", text, what);
}

#define DESCRIBED(what)	check_described(__LINE__, what)

static int nop(void)
{
	return command(&d, 0, MGMT(NOP), NULL, 0, 0, &reply);
}

static int get_status(void)
{
	return command(&d, m.id, DEVICE(GET_STATUS), NULL, 0, 4, &reply);
}

static bool is_late(void)
{
	struct faults *faults = &d.c.tvq.faults;
	bool late;

	pthread_mutex_lock(&faults->lock);
	late = faults->late;
	pthread_mutex_unlock(&faults->lock);
	return late;
}

TEST(fault_words)
{
	static const struct {
		const char *words, *error;
	} bad[] = {
		{ "", "kind is missing" },
		{ "nth=1", "kind is missing" },
		{ "fail", "not KEY=VALUE" },
		{ "kind=none", "kind is not" },
		{ "kind=fail colour=red", "no such key" },
		{ "kind=fail nth=0", "nth is not" },
		{ "kind=fail nth=", "nth is not" },
		{ "kind=fail nth=-1", "nth is not" },
		{ "kind=fail nth=1x", "nth is not" },
		{ "kind=fail times=some", "times is not" },
		{ "kind=fail queue=rx", "queue is not" },
		{ "kind=fail command=", "no such command" },
		{ "kind=fail command=nop", "no such command" },
		{ "kind=fail command=LIST_USE", "no such command on this queue" },
		{ "kind=fail queue=admin command=NOP", "no such command on this queue" },
		{ "kind=fail command=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "no such command" },
		{ "kind=fail status=65536", "status is not" },
		{ "kind=fail status=x", "status is not" },
		{ "kind=fail queue=admin status=none", "status=none is not for" },
		{ "kind=fail qualifier=x", "qualifier is not" },
		{ "kind=fail effect=maybe", "effect is not" },
		{ "kind=fail ms=1", "not for this kind" },
		{ "kind=delay", "ms is missing" },
		{ "kind=delay ms=0", "ms is not" },
		{ "kind=delay ms=3600001", "ms is not" },
		{ "kind=drop status=1", "not for this kind" },
		{ "kind=corrupt", "either seed" },
		{ "kind=corrupt offset=1", "either seed" },
		{ "kind=corrupt with=00", "either seed" },
		{ "kind=corrupt offset=0 with=00 seed=1", "either seed" },
		{ "kind=corrupt offset=0 with=0", "1 to 64 bytes" },
		{ "kind=corrupt offset=0 with=0g", "1 to 64 bytes" },
		{ "kind=corrupt offset=0 with=", "1 to 64 bytes" },
		{ "kind=corrupt offset=0 with=00 xor=00", "one of them twice" },
		{ "kind=corrupt seed=x", "seed is not" },
		{ "kind=corrupt offset=x with=00", "offset is not" },
		{ "kind=length", "length, cut or over is missing" },
		{ "kind=length length=1 cut=1", "one another's place" },
		{ "kind=length over=x", "not a number" },
	};
	const char *error;
	unsigned int i;

	driver_init(&d, NULL);
	CHECK(!tell("kind=drop nth=99"));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error = tell(bad[i].words);
		if (!error || !strstr(error, bad[i].error))
			test_failed(__FILE__, __LINE__, "%s: '%s'", bad[i].words,
				    error ? error : "nothing wrong");
	}
	/* What was told before stands. */
	CHECK_EQ(nop(), 0);
	DESCRIBED("kind=drop queue=transport nth=99 seen=1 hits=0");
	faults_tell(&d.c.tvq.faults, NULL);
	DESCRIBED("none");
	driver_exit(&d);
}

TEST(fault_hits_the_nth)
{
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(!tell("kind=fail nth=3"));
	for (i = 1; i <= 5; i++)
		CHECK_EQ(nop(), i == 3 ? ERR(EINVAL, NONE) : 0);
	DESCRIBED("kind=fail queue=transport nth=3 seen=5 hits=1 last=NOP");
	CHECK(!tell("kind=fail nth=2 times=2 status=16 qualifier=9"));
	for (i = 1; i <= 4; i++)
		CHECK_EQ(nop(), i == 2 || i == 3 ? 16 << 16 | 9 : 0);
	CHECK(!tell("kind=fail nth=2 times=all command=GET_STATUS status=none"));
	for (i = 1; i <= 4; i++) {
		CHECK_EQ(nop(), 0);
		CHECK_EQ(get_status(), i >= 2 ? NO_REASON : 0);
	}
	DESCRIBED("kind=fail queue=transport command=GET_STATUS nth=2 seen=4 hits=3 "
		  "last=GET_STATUS");
	/* Over a reset, too. */
	driver_reset(&d);
	d.c.alloc = GUEST_BASE;
	driver_setup(&d);
	CHECK_EQ(get_status(), NO_REASON);
	driver_exit(&d);
}

/* From the first command on, as --fault has it. */
TEST(fault_from_the_start)
{
	struct fault fault = { .kind = FAULT_FAIL, .times = 2 };
	struct tvq_options opt;

	client_options(&opt);
	opt.fault = &fault;
	driver_init(&d, &opt);
	CHECK_EQ(nop(), ERR(EINVAL, NONE));
	CHECK_EQ(nop(), ERR(EINVAL, NONE));
	CHECK_EQ(nop(), 0);
	driver_exit(&d);
}

TEST(fault_fails_with_and_without_effect)
{
	struct virtio_tvq_limits *limits = (void *)reply.in;

	driver_init(&d, NULL);
	CHECK(!tell("kind=fail command=CREATE"));
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), ERR(EINVAL, NONE));
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, 56, &reply), 0);
	CHECK_EQ(limits->devices_used, 0);
	CHECK(!tell("kind=fail command=CREATE effect=yes status=12"));
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), ERR(ENOMEM, NONE));
	/* Nothing of the answer that it would have been is written. */
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, 56, &reply), 0);
	CHECK_EQ(limits->devices_used, 1);
	/* Without room for the reason there is none. */
	CHECK(!tell("kind=fail"));
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 1, &reply), NO_REASON);
	CHECK_EQ(reply.used, 4);
	CHECK(!tell("kind=fail command=DESTROY"));
	CHECK_EQ(command(&d, 1, MGMT(DESTROY), NULL, 0, 0, NULL), ERR(EINVAL, NONE));
	CHECK_EQ(command(&d, 1, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	driver_exit(&d);
}

TEST(fault_delays)
{
	double start;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(!tell("kind=delay ms=200 command=GET_STATUS"));
	start = test_now();
	post(&d, m.id, DEVICE(GET_STATUS), NULL, 0, 4);
	driver_kick(&d);
	/* Those behind it are not held up, nor is its buffer written before. */
	CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
	CHECK_EQ(nop(), 0);
	CHECK(test_now() - start < 0.2);
	collect(&d, &reply);
	CHECK(reply.came);
	CHECK_EQ(reply.ack, 0);
	CHECK_EQ(reply.in_len, 4);
	CHECK(test_now() - start >= 0.2);
	/* The earlier first, whichever was there first. */
	CHECK(!tell("kind=delay ms=300"));
	post(&d, 0, MGMT(LIMITS), NULL, 0, 56);
	driver_kick(&d);
	CHECK_EQ(nop(), 0);
	CHECK(!tell("kind=delay ms=20"));
	post(&d, 0, MGMT(NOP), NULL, 0, 0);
	driver_kick(&d);
	collect(&d, &reply);
	CHECK_EQ(reply.used, 4);
	collect(&d, &reply);
	CHECK_EQ(reply.used, 60);
	driver_exit(&d);
}

/* What is late is of an epoch: behind a reset it is not written. */
TEST(fault_delays_over_a_reset)
{
	uint8_t *in;
	uint16_t head;
	uint64_t gpa;

	driver_init(&d, NULL);
	CHECK(!tell("kind=delay ms=150 times=3"));
	head = post(&d, 0, MGMT(NOP), NULL, 0, 4);
	driver_kick(&d);
	gpa = d.in_gpa[head];
	settle(&d.c, 0.05);
	driver_reset(&d);
	driver_setup(&d);
	in = guest(&d.c, gpa);
	settle(&d.c, 0.25);
	CHECK_EQ(in[0], 0xee);
	CHECK(!ring_has_used(&d.ring));
	/* And it may be there at the end. */
	post(&d, 0, MGMT(NOP), NULL, 0, 4);
	post(&d, 0, MGMT(NOP), NULL, 0, 4);
	driver_kick(&d);
	CHECK_EQ(nop(), 0);
	driver_exit(&d);
}

TEST(fault_drops)
{
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(!tell("kind=drop command=DESTROY times=all"));
	post(&d, m.id, MGMT(DESTROY), NULL, 0, 4);
	driver_kick(&d);
	/* It is executed, and not answered; all others are. */
	for (i = 0; i < 3; i++)
		CHECK_EQ(nop(), 0);
	CHECK_EQ(get_status(), ERR(ENXIO, DEVICE_ID));
	settle(&d.c, 0.05);
	CHECK(!ring_has_used(&d.ring));
	/* A reset makes an end of it. */
	driver_reset(&d);
	d.c.alloc = GUEST_BASE;
	driver_setup(&d);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	/* As many as the ring holds, which is then deaf, until a reset. */
	CHECK(!tell("kind=drop times=all"));
	for (i = 0; i < 16; i++)
		post(&d, 0, MGMT(NOP), NULL, 0, 0);
	driver_kick(&d);
	settle(&d.c, 0.05);
	CHECK(!ring_has_used(&d.ring));
	DESCRIBED("kind=drop queue=transport nth=1 seen=16 hits=16 last=NOP");
	faults_tell(&d.c.tvq.faults, NULL);
	driver_reset(&d);
	d.c.alloc = GUEST_BASE;
	driver_setup(&d);
	CHECK_EQ(nop(), 0);
	driver_exit(&d);
}

TEST(fault_duplicates)
{
	uint16_t head, id;
	uint32_t len;

	driver_init(&d, NULL);
	CHECK(!tell("kind=duplicate"));
	head = post(&d, 0, MGMT(LIMITS), NULL, 0, 56);
	driver_kick(&d);
	CHECK_EQ(collect(&d, &reply), head);
	CHECK_EQ(reply.in_len, 56);
	CHECK(ring_wait(&d.ring, &id, &len));
	CHECK_EQ(id, head);
	CHECK_EQ(len, 60);
	CHECK_EQ(nop(), 0);
	CHECK(!ring_has_used(&d.ring));
	DESCRIBED("kind=duplicate queue=transport nth=1 seen=2 hits=1 last=LIMITS");
	driver_exit(&d);
}

TEST(fault_corrupts)
{
	struct virtio_tvq_limits good, *limits = (void *)reply.in;
	uint8_t first[60];
	unsigned int i;

	driver_init(&d, NULL);
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, 56, &reply), 0);
	good = *limits;
	CHECK(!tell("kind=corrupt offset=4 with=12345678"));
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, 56, &reply), 0);
	CHECK_EQ(limits->devices_max, 0x78563412);
	CHECK(!memcmp((uint8_t *)limits + 4, (uint8_t *)&good + 4, 52));
	CHECK(!tell("kind=corrupt offset=59 xor=FFff"));
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, 56, &reply), 0);
	CHECK(!memcmp(limits, &good, 55));
	CHECK_EQ(reply.in[55], (uint8_t)~((uint8_t *)&good)[55]);
	CHECK_EQ(reply.used, 60);
	/* The ack belongs to it. */
	CHECK(!tell("kind=corrupt offset=0 with=01000000"));
	CHECK_EQ(command(&d, 0, MGMT(NOP), NULL, 0, 1, &reply), NO_REASON);
	/* What is behind the answer is not changed, and that is no hit. */
	CHECK(!tell("kind=corrupt offset=4 with=00"));
	CHECK_EQ(nop(), 0);
	DESCRIBED("kind=corrupt queue=transport nth=1 seen=1 hits=0 last=NOP");
	/* At random, but the same again for the same seed and place. */
	for (i = 0; i < 3; i++) {
		CHECK(!tell(i < 2 ? "kind=corrupt seed=7 times=2" : "kind=corrupt seed=8"));
		post(&d, 0, MGMT(LIMITS), NULL, 0, 56);
		driver_kick(&d);
		collect(&d, &reply);
		CHECK_EQ(reply.used, 60);
		if (!i) {
			memcpy(first, &reply.ack, 4);
			memcpy(first + 4, reply.in, 56);
			post(&d, 0, MGMT(LIMITS), NULL, 0, 56);
			driver_kick(&d);
			collect(&d, &reply);
			CHECK(memcmp(first + 4, reply.in, 56));
			continue;
		}
		CHECK_EQ(!memcmp(first + 4, reply.in, 56), i == 1);
		CHECK_EQ(!memcmp(first, &reply.ack, 4), i == 1);
	}
	driver_exit(&d);
}

TEST(fault_lengths)
{
	static const struct {
		const char *words;
		uint32_t said;
		bool written;		/* the last byte of the answer */
	} t[] = {
		{ "kind=length length=0", 0, false },
		{ "kind=length length=4", 4, false },
		{ "kind=length cut=1", 59, false },
		{ "kind=length cut=100", 0, false },
		{ "kind=length length=61", 61, true },
		{ "kind=length over=0", 68, true },
		{ "kind=length over=1", 69, true },
		{ "kind=length length=4294967295", UINT32_MAX, true },
	};
	uint16_t head, id;
	uint32_t len;
	unsigned int i;
	uint8_t *in;

	driver_init(&d, NULL);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		CHECK(!tell(t[i].words));
		head = post(&d, 0, MGMT(LIMITS), NULL, 0, 64);
		driver_kick(&d);
		CHECK(ring_wait(&d.ring, &id, &len));
		CHECK_EQ(id, head);
		CHECK_EQ(len, t[i].said);
		in = guest(&d.c, d.in_gpa[head]);
		CHECK_EQ(in[59] != 0xee, t[i].written);
		CHECK_EQ(in[60], 0xee);
	}
	/* The length that it has is no fault. */
	CHECK(!tell("kind=length length=60"));
	CHECK_EQ(command(&d, 0, MGMT(LIMITS), NULL, 0, 64, &reply), 0);
	DESCRIBED("kind=length queue=transport nth=1 seen=1 hits=0 last=LIMITS");
	driver_exit(&d);
}

/* The same, of the other queues: only what differs. */
TEST(fault_admin)
{
	uint8_t used[16] = { 3 };
	struct admin_reply got;

	admin_init(&d, NULL, 2);
	CHECK(!tell("kind=fail queue=admin command=LIST_USE status=6 qualifier=3"));
	CHECK_EQ(nop(), 0);
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got), 0);
	CHECK_EQ(admin(&d, ADMIN(LIST_USE), SELF_GROUP, 0, used, 8, 0, &got), 6 << 16 | 3);
	DESCRIBED("kind=fail queue=admin command=LIST_USE nth=1 seen=1 hits=1 last=LIST_USE");
	CHECK_EQ(admin(&d, ADMIN(CAP_ID_LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got),
		 VIRTIO_TVQ_ADMIN_STATUS_EINVAL << 16 | VIRTIO_TVQ_ADMIN_Q_INVALID_OPCODE);
	/* A result that is known in length keeps it. */
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	CHECK(!tell("kind=fail queue=admin nth=2 effect=yes"));
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got), 0);
	CHECK_EQ(admin(&d, ADMIN(CAP_ID_LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got), 22 << 16);
	CHECK_EQ(got.len, 8);
	CHECK(!tell("kind=fail queue=admin"));
	CHECK_EQ(admin(&d, ADMIN(CAP_ID_LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got), 22 << 16);
	CHECK_EQ(got.len, 8);
	CHECK(!tell("kind=corrupt queue=admin offset=8 xor=ff"));
	CHECK_EQ(admin(&d, ADMIN(CAP_ID_LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got), 0);
	CHECK_EQ(got.result[0], 0xfe);
	/* Late, and on the one queue only. */
	CHECK(!tell("kind=delay queue=admin ms=100"));
	admin_post(&d, 0, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8);
	admin_ring_bell(&d, 0);
	CHECK_EQ(admin_on(&d, 1, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got), 0);
	CHECK(!ring_has_used(&d.admin[0].ring));
	admin_collect(&d, 0, &got);
	CHECK(got.came);
	CHECK(!tell("kind=drop queue=admin"));
	admin_post(&d, 0, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8);
	admin_ring_bell(&d, 0);
	settle(&d.c, 0.05);
	CHECK(!ring_has_used(&d.admin[0].ring));
	CHECK_EQ(admin(&d, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8, &got), 0);
	driver_exit(&d);
}

/* All kinds at random, while commands are under way, are told off, and end. */
TEST(fault_storm)
{
	static const char * const words[] = {
		"kind=fail times=all", "kind=fail effect=yes times=all",
		"kind=drop nth=2 times=all", "kind=delay ms=30 times=all",
		"kind=duplicate times=all", "kind=corrupt seed=1 times=all",
		"kind=length over=7 times=all",
	};
	unsigned int i, j;

	driver_init(&d, NULL);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		CHECK(!tell(words[i]));
		for (j = 0; j < 12; j++)
			post(&d, 0, j % 2 ? VIRTIO_TVQ_CLASS_MGMT : 7, j, NULL, 0, 96);
		driver_kick(&d);
		settle(&d.c, 0.01);
		driver_reset(&d);
		d.c.alloc = GUEST_BASE;
		driver_setup(&d);
		faults_tell(&d.c.tvq.faults, NULL);
		CHECK_EQ(nop(), 0);
	}
	CHECK(!tell("kind=delay ms=1000 times=all"));
	post(&d, 0, MGMT(NOP), NULL, 0, 0);
	driver_kick(&d);
	SOON(&d.c, is_late());
	/* With the driver there, and an answer outstanding */
	driver_exit(&d);
}
