// SPDX-License-Identifier: GPL-2.0
/*
 * What is written to the attributes create and destroy, and which queue uses
 * which interrupt vector.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/virtio_tvq.h>
#include <kunit/test.h>

#include "../../drivers/virtio_tvq/mgmt.h"
#include "../../drivers/virtio_tvq/virtio.h"

struct bad_case {
	const char *text;
	int err;
};

static const struct bad_case bad_cases[] = {
	{ "", -EINVAL },
	{ " , \t\n", -EINVAL },
	{ "blk", -EINVAL },
	{ "type", -EINVAL },
	{ "type=", -EINVAL },
	{ "type=Blk", -EINVAL },
	{ "type=0", -ERANGE },
	{ "type=128", -ERANGE },
	{ "type=4294967298", -ERANGE },
	{ "type=+2", -EINVAL },
	{ "type=2x", -EINVAL },
	{ "name=a", -EINVAL },
	{ "type=blk type=blk", -EINVAL },
	{ "type=blk colour=red", -EINVAL },
	{ "type=blk Name=a", -EINVAL },
	{ "type=blk =a", -EINVAL },
	{ "type=blk name=", -EINVAL },
	{ "type=blk name=.a", -EINVAL },
	{ "type=blk name=12", -EINVAL },
	{ "type=blk name=a=b", -EINVAL },
	{ "type=blk name=abcdefghijklmnopqrstuvwxyz012345", -EINVAL },
	{ "type=blk name=a,name=b", -EINVAL },
	{ "type=blk vqs=0", -ERANGE },
	{ "type=blk vqs=1025", -ERANGE },
	{ "type=blk vqs=65537", -ERANGE },
	{ "type=blk vqs=18446744073709551617", -ERANGE },
	{ "type=blk vqs=-1", -EINVAL },
	{ "type=blk vqs=+1", -EINVAL },
	{ "type=blk vqs=1,5,vqs=2", -EINVAL },
	{ "type=blk vectors=0", -ERANGE },
	{ "type=blk vectors=2049", -ERANGE },
	{ "type=blk vectors=many", -EINVAL },
	{ "type=blk features=300000000", -EINVAL },
	{ "type=blk features=0x", -EINVAL },
	{ "type=blk features=0x-1", -EINVAL },
	{ "type=blk features=0x100000000", -EINVAL },
	{ "type=blk features=0x200000000", -EINVAL },
	{ "type=blk features=0x30000000g", -EINVAL },
	{ "type=blk features=0x00000000000000000000000000000000300000000", -ERANGE },
	{ "type=blk features=0x1+000000300000000", -EINVAL },
	{ "type=blk capacity=0", -ERANGE },
	{ "type=blk capacity=511", -EINVAL },
	{ "type=blk capacity=K", -EINVAL },
	{ "type=blk capacity=1P", -EINVAL },
	{ "type=blk capacity=1KK", -EINVAL },
	{ "type=blk capacity=0x10K", 0 },
	{ "type=blk capacity=1024T", 0 },
	{ "type=blk capacity=1025T", -ERANGE },
	{ "type=blk capacity=16777216T", -ERANGE },
	{ "type=blk capacity=18446744073709551615T", -ERANGE },
	{ "type=blk serial=", -EINVAL },
	{ "type=blk serial=123456789012345678901", -EINVAL },
	{ "type=blk serial=\x7f", -EINVAL },
	{ "type=blk serial=\xe4", -EINVAL },
	{ "type=net mac=02:00:00:00:00:0", -EINVAL },
	{ "type=net mac=02-00-00-00-00-01", -EINVAL },
	{ "type=net mac=03:00:00:00:00:01", -EINVAL },
	{ "type=net mac=00:00:00:00:00:00", -EINVAL },
	{ "type=net mac=ff:ff:ff:ff:ff:ff", -EINVAL },
	{ "type=net mtu=67", -ERANGE },
	{ "type=net mtu=65536", -ERANGE },
	{ "type=net mtu=0x", -EINVAL },
	{ "mac=02:00:00:00:00:01 type=blk", -EINVAL },
	{ "mtu=1500 type=blk", -EINVAL },
	{ "capacity=1M type=net", -EINVAL },
	{ "serial=a type=net", -EINVAL },
	{ "serial=a type=4", -EINVAL },
	{ "capacity=1M type=33", -EINVAL },
	{ "capacity=1M type=34", -EINVAL },
	{ "mac=02:00:00:00:00:01 type=33", -EINVAL },
	{ "type=pmem capacity=511", -EINVAL },
	{ "type=pmem capacity=1025T", -ERANGE },
	{ "type=pmem serial=a", -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(create_bad, bad_cases, text);

static void create_bad(struct kunit *test)
{
	const struct bad_case *c = test->param_value;
	struct tvq_create create;
	const char *reason = NULL;

	KUNIT_EXPECT_EQ(test, tvq_create_parse(c->text, strlen(c->text),
					       &create, &reason), c->err);
	KUNIT_EXPECT_NOT_NULL(test, reason);
}

static void create_all_of_blk(struct kunit *test)
{
	static const char first[] = "type=blk,name=Disk-0._x,vqs=1024,vectors=2048";
	static const char second[] = "features=0x123456789abcdef0000000300000200";
	static const char third[] = "capacity=3K serial=12345678901234567890\n";
	static const u8 capacity[8] = { 6 };
	struct tvq_create create;
	const char *reason;
	char text[160];

	snprintf(text, sizeof(text), "%s,\n\t%s,%s", first, second, third);
	KUNIT_ASSERT_EQ(test, tvq_create_parse(text, strlen(text), &create,
					       &reason), 0);
	KUNIT_EXPECT_EQ(test, create.type, 2);
	KUNIT_EXPECT_STREQ(test, create.name, "Disk-0._x");
	KUNIT_EXPECT_EQ(test, create.vqs, 1024);
	KUNIT_EXPECT_EQ(test, create.num_vectors, 2048);
	KUNIT_EXPECT_TRUE(test, create.has_features);
	KUNIT_EXPECT_EQ(test, create.features[0], 0x300000200ull);
	KUNIT_EXPECT_EQ(test, create.features[1], 0x123456789abcdefull);
	KUNIT_EXPECT_STREQ(test, create.serial, "12345678901234567890");
	KUNIT_ASSERT_EQ(test, create.num_config, 1);
	KUNIT_EXPECT_EQ(test, create.config[0].offset, 0);
	KUNIT_EXPECT_EQ(test, create.config[0].length, 8);
	KUNIT_EXPECT_MEMEQ(test, create.config[0].data, capacity, 8);
}

static void create_all_of_net(struct kunit *test)
{
	static const char text[] = "mtu=9000 mac=02:AB:cd:00:00:01 type=net";
	static const u8 mac[8] = { 0x02, 0xab, 0xcd, 0, 0, 1 };
	static const u8 mtu[8] = { 0x28, 0x23 };
	struct tvq_create create;
	const char *reason;

	KUNIT_ASSERT_EQ(test, tvq_create_parse(text, strlen(text), &create,
					       &reason), 0);
	KUNIT_EXPECT_EQ(test, create.type, 1);
	KUNIT_EXPECT_STREQ(test, create.name, "");
	KUNIT_EXPECT_EQ(test, create.vqs, 0);
	KUNIT_EXPECT_EQ(test, create.num_vectors, 0);
	KUNIT_EXPECT_FALSE(test, create.has_features);
	KUNIT_ASSERT_EQ(test, create.num_config, 2);
	KUNIT_EXPECT_EQ(test, create.config[0].offset, 10);
	KUNIT_EXPECT_EQ(test, create.config[0].length, 2);
	KUNIT_EXPECT_MEMEQ(test, create.config[0].data, mtu, 8);
	KUNIT_EXPECT_EQ(test, create.config[1].offset, 0);
	KUNIT_EXPECT_EQ(test, create.config[1].length, 6);
	KUNIT_EXPECT_MEMEQ(test, create.config[1].data, mac, 8);
}

/* In bytes, and behind the address; whatever comes first, type or capacity. */
static void create_all_of_pmem(struct kunit *test)
{
	static const char text[] = "capacity=3M type=pmem";
	static const u8 size[8] = { 0, 0, 0x30 };
	struct tvq_create create;
	const char *reason;

	KUNIT_ASSERT_EQ(test, tvq_create_parse(text, strlen(text), &create,
					       &reason), 0);
	KUNIT_EXPECT_EQ(test, create.type, 27);
	KUNIT_ASSERT_EQ(test, create.num_config, 1);
	KUNIT_EXPECT_EQ(test, create.config[0].offset, 8);
	KUNIT_EXPECT_EQ(test, create.config[0].length, 8);
	KUNIT_EXPECT_MEMEQ(test, create.config[0].data, size, 8);
}

struct word_case {
	const char *word;
	u32 type;
};

static const struct word_case word_cases[] = {
	{ "net", 1 }, { "blk", 2 }, { "console", 3 }, { "rng", 4 },
	{ "pmem", 27 },
	{ "1", 1 }, { "127", 127 },
};

KUNIT_ARRAY_PARAM_DESC(type_word, word_cases, word);

static void type_word(struct kunit *test)
{
	const struct word_case *c = test->param_value;
	struct tvq_create create;
	const char *reason;
	char text[32];

	snprintf(text, sizeof(text), "type=%s", c->word);
	KUNIT_ASSERT_EQ(test, tvq_create_parse(text, strlen(text), &create,
					       &reason), 0);
	KUNIT_EXPECT_EQ(test, create.type, c->type);
}

static void create_length(struct kunit *test)
{
	char *text = kunit_kzalloc(test, 1100, GFP_KERNEL);
	struct tvq_create create;
	const char *reason;

	KUNIT_ASSERT_NOT_NULL(test, text);
	memset(text, ' ', 1100);
	memcpy(text, "type=rng", 8);
	KUNIT_EXPECT_EQ(test, tvq_create_parse(text, 1024, &create, &reason), 0);
	KUNIT_EXPECT_EQ(test, tvq_create_parse(text, 1025, &create, &reason),
			-E2BIG);
	/* A NUL ends no string here: what is behind it would be lost. */
	KUNIT_EXPECT_EQ(test, tvq_create_parse("type=rng\0x", 10, &create,
					       &reason), -EINVAL);
	/* Nothing behind the length is read. */
	KUNIT_EXPECT_EQ(test, tvq_create_parse("type=rngx", 8, &create,
					       &reason), 0);
}

struct destroy_case {
	const char *text;
	int err;
	u64 id;
	const char *name;
};

static const struct destroy_case destroy_cases[] = {
	{ "1", 0, 1, "" },
	{ "18446744073709551615\n", 0, U64_MAX, "" },
	{ "18446744073709551616", -ERANGE, 0, "" },
	{ "0", -EINVAL, 0, "" },
	{ "disk0\n", 0, 0, "disk0" },
	{ "1a", 0, 0, "1a" },
	{ "-1", 0, 0, "-1" },
	{ "abcdefghijklmnopqrstuvwxyz01234", 0, 0,
	  "abcdefghijklmnopqrstuvwxyz01234" },
	{ "abcdefghijklmnopqrstuvwxyz012345", -EINVAL, 0, "" },
	{ "", -EINVAL, 0, "" },
	{ "\n", -EINVAL, 0, "" },
	{ "a b", -EINVAL, 0, "" },
	{ "a\n\n", -EINVAL, 0, "" },
	{ ".a", -EINVAL, 0, "" },
	{ "../a", -EINVAL, 0, "" },
};

KUNIT_ARRAY_PARAM_DESC(destroy_word, destroy_cases, text);

static void destroy_word(struct kunit *test)
{
	const struct destroy_case *c = test->param_value;
	char name[VIRTIO_TVQ_NAME_LEN];
	u64 id;
	int err;

	err = tvq_destroy_parse(c->text, strlen(c->text), &id, name);
	KUNIT_ASSERT_EQ(test, err, c->err);
	if (err)
		return;
	KUNIT_EXPECT_EQ(test, id, c->id);
	KUNIT_EXPECT_STREQ(test, name, c->name);
}

static void destroy_nul(struct kunit *test)
{
	char name[VIRTIO_TVQ_NAME_LEN];
	u64 id;

	KUNIT_EXPECT_EQ(test, tvq_destroy_parse("a\0b", 3, &id, name), -EINVAL);
}

struct value_case {
	const char *text;
	u16 attribute;
	int err;
	u64 number;
};

static const struct value_case value_cases[] = {
	{ "68", VIRTIO_TVQ_MEMBER_MTU, 0, 68 },
	{ "0xffff\n", VIRTIO_TVQ_MEMBER_MTU, 0, 65535 },
	{ "67", VIRTIO_TVQ_MEMBER_MTU, -ERANGE },
	{ "65536", VIRTIO_TVQ_MEMBER_MTU, -ERANGE },
	{ "", VIRTIO_TVQ_MEMBER_MTU, -EINVAL },
	{ "\n", VIRTIO_TVQ_MEMBER_MTU, -EINVAL },
	{ "1500 1", VIRTIO_TVQ_MEMBER_MTU, -EINVAL },
	{ "-1", VIRTIO_TVQ_MEMBER_VQS, -EINVAL },
	{ "0", VIRTIO_TVQ_MEMBER_VQS, -ERANGE },
	{ "1024", VIRTIO_TVQ_MEMBER_VQS, 0, 1024 },
	{ "1025", VIRTIO_TVQ_MEMBER_VQS, -ERANGE },
	{ "0", VIRTIO_TVQ_MEMBER_VECTORS, -ERANGE },
	{ "2048\n", VIRTIO_TVQ_MEMBER_VECTORS, 0, 2048 },
	{ "2049", VIRTIO_TVQ_MEMBER_VECTORS, -ERANGE },
	{ "0x300000020", VIRTIO_TVQ_MEMBER_FEATURES, 0, 0x300000020 },
	{ "0x00000000000000000000000300000020\n", VIRTIO_TVQ_MEMBER_FEATURES, 0,
	  0x300000020 },
	{ "0x200000020", VIRTIO_TVQ_MEMBER_FEATURES, -EINVAL },
	{ "300000020", VIRTIO_TVQ_MEMBER_FEATURES, -EINVAL },
	{ "02:00:00:00:00:01\n", VIRTIO_TVQ_MEMBER_MAC, 0, 0x010000000002 },
	{ "03:00:00:00:00:01", VIRTIO_TVQ_MEMBER_MAC, -EINVAL },
	{ "02:00:00:00:00:1", VIRTIO_TVQ_MEMBER_MAC, -EINVAL },
	{ "1", VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE, -EINVAL },
	{ "1", VIRTIO_TVQ_MEMBER_VECTORS_TOTAL, -EINVAL },
	{ "1", 7, -EINVAL },
	{ "0000000000000000000000000000000000000001", VIRTIO_TVQ_MEMBER_VQS,
	  -EINVAL },
};

static void value_desc(const struct value_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u %.*s", c->attribute,
		 (int)strcspn(c->text, "\n"), c->text);
}

KUNIT_ARRAY_PARAM(value, value_cases, value_desc);

static void value_word(struct kunit *test)
{
	const struct value_case *c = test->param_value;
	union tvq_member_value value;

	KUNIT_ASSERT_EQ(test, tvq_value_parse(c->attribute, c->text,
					      strlen(c->text), &value), c->err);
	if (!c->err) {
		KUNIT_EXPECT_EQ(test, value.features[0], c->number);
		KUNIT_EXPECT_EQ(test, value.features[1], 0);
	}
	/* A NUL ends no string here. */
	KUNIT_EXPECT_EQ(test, tvq_value_parse(VIRTIO_TVQ_MEMBER_VQS, "1\0x", 3,
					      &value), -EINVAL);
}

static struct kunit_case create_cases[] = {
	KUNIT_CASE_PARAM(create_bad, create_bad_gen_params),
	KUNIT_CASE(create_all_of_blk),
	KUNIT_CASE(create_all_of_net),
	KUNIT_CASE(create_all_of_pmem),
	KUNIT_CASE_PARAM(type_word, type_word_gen_params),
	KUNIT_CASE(create_length),
	KUNIT_CASE_PARAM(destroy_word, destroy_word_gen_params),
	KUNIT_CASE(destroy_nul),
	KUNIT_CASE_PARAM(value_word, value_gen_params),
	{}
};

static struct kunit_suite create_suite = {
	.name = "tvq_create",
	.test_cases = create_cases,
};

#define NONE	VIRTIO_TVQ_NO_VECTOR

/* A dot is a queue without a callback, anything else one with. */
struct vector_case {
	const char *queues;
	unsigned int num_vectors;
	u16 vectors[6];
};

static const struct vector_case vector_cases[] = {
	{ "q", 2, { 1 } },
	{ "q", 1, { 0 } },
	{ "qqq", 4, { 1, 2, 3 } },
	{ "qqq", 3, { 1, 2, 1 } },
	{ "qqq", 2, { 1, 1, 1 } },
	{ "qqq", 1, { 0, 0, 0 } },
	{ "qq.q", 4, { 1, 2, NONE, 3 } },
	{ ".q.q", 3, { NONE, 1, NONE, 2 } },
	{ "..", 1, { NONE, NONE } },
	{ "qqqqqq", 4, { 1, 2, 3, 1, 2, 3 } },
};

static void vector_desc(const struct vector_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s on %u", c->queues,
		 c->num_vectors);
}

KUNIT_ARRAY_PARAM(vectors, vector_cases, vector_desc);

static void vectors(struct kunit *test)
{
	const struct vector_case *c = test->param_value;
	unsigned int num = strlen(c->queues), i;
	bool needs[6];
	u16 got[6];

	for (i = 0; i < num; i++)
		needs[i] = c->queues[i] != '.';
	tvq_virtio_assign_vectors(needs, num, c->num_vectors, got);
	for (i = 0; i < num; i++)
		KUNIT_EXPECT_EQ_MSG(test, got[i], c->vectors[i], "queue %u", i);
}

static struct kunit_case vector_case_list[] = {
	KUNIT_CASE_PARAM(vectors, vectors_gen_params),
	{}
};

static struct kunit_suite vector_suite = {
	.name = "tvq_vectors",
	.test_cases = vector_case_list,
};

kunit_test_suites(&create_suite, &vector_suite);
