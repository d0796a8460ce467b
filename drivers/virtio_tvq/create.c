// SPDX-License-Identifier: GPL-2.0
/*
 * What is written to the attributes create and destroy: words to a request.
 */
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/etherdevice.h>
#include <linux/hex.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pmem.h>
#include <linux/virtio_config.h>
#include <kunit/visibility.h>

#include "mgmt.h"

#define TVQ_CREATE_LEN_MAX	1024

static const struct {
	const char *name;
	u32 type;
} tvq_types[] = {
	{ "net", VIRTIO_ID_NET },
	{ "blk", VIRTIO_ID_BLOCK },
	{ "console", VIRTIO_ID_CONSOLE },
	{ "rng", VIRTIO_ID_RNG },
	{ "pmem", VIRTIO_ID_PMEM },
};

/**
 * tvq_type_name() - the word for a device type
 * @type: virtio device type
 *
 * Context: any.
 * Return: the word that create takes, or NULL where it takes the number only.
 */
const char *tvq_type_name(u32 type)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tvq_types); i++)
		if (tvq_types[i].type == type)
			return tvq_types[i].name;
	return NULL;
}

/**
 * tvq_type_parse() - a device type from a word or a decimal number
 * @word: "net", "blk", ... or 1 to 127
 * @type: the virtio device type
 *
 * Context: any.
 * Return: 0, -EINVAL or -ERANGE.
 */
int tvq_type_parse(const char *word, u32 *type)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(tvq_types); i++) {
		if (!strcmp(word, tvq_types[i].name)) {
			*type = tvq_types[i].type;
			return 0;
		}
	}
	if (!isdigit(word[0]))
		return -EINVAL;
	err = kstrtou32(word, 10, type);
	if (err)
		return err;
	return *type && *type < 128 ? 0 : -ERANGE;
}

static int tvq_number(const char *value, u64 min, u64 max, u64 *number)
{
	int err;

	/* kstrtox() takes a sign, which no number here has. */
	if (!isdigit(value[0]))
		return -EINVAL;
	err = kstrtou64(value, 0, number);
	if (err)
		return err;
	return *number >= min && *number <= max ? 0 : -ERANGE;
}

/* A size in bytes, with K, M, G or T behind it, in units of 1024. */
static int tvq_size(const char *value, u64 *size)
{
	static const char units[] = "KMGT";
	size_t len = strlen(value);
	unsigned int shift = 0;
	const char *unit;
	char digits[24];
	int err;

	if (!len || len >= sizeof(digits))
		return -EINVAL;
	unit = strchr(units, toupper(value[len - 1]));
	if (unit) {
		shift = 10 * (unit - units + 1);
		len--;
	}
	memcpy(digits, value, len);
	digits[len] = '\0';
	err = tvq_number(digits, 1, U64_MAX >> shift, size);
	*size <<= shift;
	return err;
}

/* Up to 128 bits in hexadecimal, with 0x in front. */
static int tvq_features(const char *value, u64 *features)
{
	char low[17];
	size_t len;
	int err;

	features[1] = 0;
	if (value[0] != '0' || tolower(value[1]) != 'x' || !isxdigit(value[2]))
		return -EINVAL;
	value += 2;
	len = strlen(value);
	if (len > 32)
		return -ERANGE;
	if (len > 16) {
		memcpy(low, value, len - 16);
		low[len - 16] = '\0';
		err = kstrtou64(low, 16, &features[1]);
		if (err)
			return err;
		value += len - 16;
		if (!isxdigit(value[0]))
			return -EINVAL;
	}
	return kstrtou64(value, 16, &features[0]);
}

static void tvq_create_config(struct tvq_create *create, u16 offset,
			      const void *data, u16 length)
{
	struct tvq_config_init *init = &create->config[create->num_config++];

	init->offset = offset;
	init->length = length;
	memcpy(init->data, data, length);
}

static int tvq_key_type(struct tvq_create *create, const char *value)
{
	return tvq_type_parse(value, &create->type);
}

static int tvq_key_name(struct tvq_create *create, const char *value)
{
	/* destroy takes digits alone for a device_id. */
	if (!tvq_name_valid(value) ||
	    strspn(value, "0123456789") == strlen(value))
		return -EINVAL;
	strscpy(create->name, value, sizeof(create->name));
	return 0;
}

static int tvq_vqs(const char *value, u64 *number)
{
	return tvq_number(value, 1, VIRTIO_TVQ_DEVICE_VQS_MAX, number);
}

static int tvq_key_vqs(struct tvq_create *create, const char *value)
{
	u64 number;
	int err = tvq_vqs(value, &number);

	create->vqs = number;
	return err;
}

static int tvq_vectors(const char *value, u64 *number)
{
	return tvq_number(value, 1, 2048, number);
}

static int tvq_key_vectors(struct tvq_create *create, const char *value)
{
	u64 number;
	int err = tvq_vectors(value, &number);

	create->num_vectors = number;
	return err;
}

static int tvq_offered(const char *value, u64 *features)
{
	int err = tvq_features(value, features);

	if (err)
		return err;
	if (!(features[0] & BIT_ULL(VIRTIO_F_VERSION_1)) ||
	    !(features[0] & BIT_ULL(VIRTIO_F_ACCESS_PLATFORM)))
		return -EINVAL;
	return 0;
}

static int tvq_key_features(struct tvq_create *create, const char *value)
{
	int err = tvq_offered(value, create->features);

	create->has_features = !err;
	return err;
}

static int tvq_mac(const char *value, u8 *mac)
{
	if (strlen(value) != 3 * ETH_ALEN - 1 || !mac_pton(value, mac) ||
	    !is_valid_ether_addr(mac))
		return -EINVAL;
	return 0;
}

static int tvq_key_mac(struct tvq_create *create, const char *value)
{
	u8 mac[ETH_ALEN];
	int err = tvq_mac(value, mac);

	if (err)
		return err;
	tvq_create_config(create, offsetof(struct virtio_net_config, mac), mac,
			  sizeof(mac));
	return 0;
}

static int tvq_mtu(const char *value, u64 *number)
{
	return tvq_number(value, ETH_MIN_MTU, ETH_MAX_MTU, number);
}

static int tvq_key_mtu(struct tvq_create *create, const char *value)
{
	__le16 mtu;
	u64 number;
	int err = tvq_mtu(value, &number);

	if (err)
		return err;
	mtu = cpu_to_le16(number);
	tvq_create_config(create, offsetof(struct virtio_net_config, mtu), &mtu,
			  sizeof(mtu));
	return 0;
}

/* Where it goes is known when the type is: see tvq_key_capacity_config(). */
static int tvq_key_capacity(struct tvq_create *create, const char *value)
{
	int err = tvq_size(value, &create->capacity);

	if (err)
		return err;
	if (create->capacity % 512)
		return -EINVAL;
	return create->capacity / 512 > 1ULL << 41 ? -ERANGE : 0;
}

static void tvq_key_capacity_config(struct tvq_create *create)
{
	bool pmem = create->type == VIRTIO_ID_PMEM;
	__le64 value = cpu_to_le64(pmem ? create->capacity :
					  create->capacity / 512);

	tvq_create_config(create,
			  pmem ? offsetof(struct virtio_pmem_config, size) :
				 offsetof(struct virtio_blk_config, capacity),
			  &value, sizeof(value));
}

static int tvq_key_serial(struct tvq_create *create, const char *value)
{
	size_t len = strlen(value);
	size_t i;

	if (!len || len > VIRTIO_TVQ_SERIAL_LEN)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (!isascii(value[i]) || !isgraph(value[i]))
			return -EINVAL;
	strscpy(create->serial, value, sizeof(create->serial));
	return 0;
}

/*
 * The keys; those with types, a bit for each, go with these alone, and there are
 * at most TVQ_CREATE_CONFIG_MAX of them that make a configuration field.
 */
static const struct {
	const char *key;
	int (*set)(struct tvq_create *create, const char *value);
	u32 types;
	const char *wants;
} tvq_keys[] = {
	{ "type", tvq_key_type, 0,
	  "type: net, blk, console, rng, pmem or a number from 1 to 127" },
	{ "name", tvq_key_name, 0,
	  "name: 1 to 31 of A-Z a-z 0-9 . _ -, not a dot first, not digits alone" },
	{ "vqs", tvq_key_vqs, 0, "vqs: a number from 1 to 1024" },
	{ "vectors", tvq_key_vectors, 0, "vectors: a number from 1 to 2048" },
	{ "features", tvq_key_features, 0,
	  "features: 0x and up to 32 hexadecimal digits, bits 32 and 33 set" },
	{ "mac", tvq_key_mac, BIT(VIRTIO_ID_NET),
	  "mac: a unicast address, for net alone" },
	{ "mtu", tvq_key_mtu, BIT(VIRTIO_ID_NET),
	  "mtu: 68 to 65535, for net alone" },
	{ "capacity", tvq_key_capacity,
	  BIT(VIRTIO_ID_BLOCK) | BIT(VIRTIO_ID_PMEM),
	  "capacity: bytes (or with K, M, G, T), a multiple of 512 up to 1024T, for blk and pmem" },
	{ "serial", tvq_key_serial, BIT(VIRTIO_ID_BLOCK),
	  "serial: 1 to 20 printable characters, for blk alone" },
};

/**
 * tvq_create_parse() - parse what was written to the attribute create
 * @buf: ``key=value`` pairs with commas or white space between them
 * @len: its length
 * @create: the request
 * @reason: what is wrong, if anything is; never freed
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL; -ERANGE for a number that is out of its range; -E2BIG for
 * more than 1024 bytes; -ENOMEM.
 */
int tvq_create_parse(const char *buf, size_t len, struct tvq_create *create,
		     const char **reason)
{
	char *copy __free(kfree) = NULL;
	unsigned int seen = 0, i;
	char *pos, *word, *value;
	int err;

	BUILD_BUG_ON(ARRAY_SIZE(tvq_keys) > 32);
	memset(create, 0, sizeof(*create));
	*reason = "out of memory";
	if (len > TVQ_CREATE_LEN_MAX) {
		*reason = "more than 1024 bytes";
		return -E2BIG;
	}
	if (memchr(buf, '\0', len)) {
		*reason = "a NUL byte";
		return -EINVAL;
	}
	copy = kmemdup_nul(buf, len, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;

	pos = copy;
	while ((word = strsep(&pos, ", \t\n"))) {
		if (!*word)
			continue;
		value = strchr(word, '=');
		if (!value) {
			*reason = "a word that is not key=value";
			return -EINVAL;
		}
		*value++ = '\0';
		for (i = 0; i < ARRAY_SIZE(tvq_keys); i++)
			if (!strcmp(word, tvq_keys[i].key))
				break;
		if (i == ARRAY_SIZE(tvq_keys)) {
			*reason = "unknown key";
			return -EINVAL;
		}
		*reason = tvq_keys[i].wants;
		if (seen & BIT(i)) {
			*reason = "a key twice";
			return -EINVAL;
		}
		seen |= BIT(i);
		err = tvq_keys[i].set(create, value);
		if (err)
			return err;
	}
	if (!create->type) {
		*reason = "type is missing";
		return -EINVAL;
	}
	for (i = 0; i < ARRAY_SIZE(tvq_keys); i++) {
		if (seen & BIT(i) && tvq_keys[i].types &&
		    (create->type >= 32 ||
		     !(tvq_keys[i].types & BIT(create->type)))) {
			*reason = tvq_keys[i].wants;
			return -EINVAL;
		}
	}
	if (create->capacity)
		tvq_key_capacity_config(create);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_create_parse);

/**
 * tvq_value_parse() - parse what was written to an attribute of a managed device
 * @attribute: VIRTIO_TVQ_MEMBER_*, one that can be set
 * @buf: the value, as create takes it
 * @len: its length
 * @value: what it says
 *
 * Context: any.
 * Return: 0; -EINVAL; -ERANGE for a number that is out of its range.
 */
int tvq_value_parse(u16 attribute, const char *buf, size_t len,
		    union tvq_member_value *value)
{
	u64 number = 0;
	char word[40];
	int err;

	if (len && buf[len - 1] == '\n')
		len--;
	if (!len || len >= sizeof(word) || memchr(buf, '\0', len))
		return -EINVAL;
	memcpy(word, buf, len);
	word[len] = '\0';
	memset(value, 0, sizeof(*value));
	switch (attribute) {
	case VIRTIO_TVQ_MEMBER_FEATURES:
		return tvq_offered(word, value->features);
	case VIRTIO_TVQ_MEMBER_MAC:
		return tvq_mac(word, value->mac);
	case VIRTIO_TVQ_MEMBER_MTU:
		err = tvq_mtu(word, &number);
		break;
	case VIRTIO_TVQ_MEMBER_VQS:
		err = tvq_vqs(word, &number);
		break;
	case VIRTIO_TVQ_MEMBER_VECTORS:
		err = tvq_vectors(word, &number);
		break;
	default:
		return -EINVAL;
	}
	value->number = number;
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_value_parse);

/**
 * tvq_destroy_parse() - parse what was written to the attribute destroy
 * @buf: a device_id (digits alone) or a name
 * @len: its length
 * @id: the device_id, or 0 for a name
 * @name: room for VIRTIO_TVQ_NAME_LEN bytes; the name, where @id is 0
 *
 * Context: any.
 * Return: 0, -EINVAL or -ERANGE.
 */
int tvq_destroy_parse(const char *buf, size_t len, u64 *id, char *name)
{
	char word[VIRTIO_TVQ_NAME_LEN + 1];
	int err;

	if (len && buf[len - 1] == '\n')
		len--;
	if (!len || len >= sizeof(word) || memchr(buf, '\0', len))
		return -EINVAL;
	memcpy(word, buf, len);
	word[len] = '\0';
	*id = 0;
	name[0] = '\0';
	if (strspn(word, "0123456789") == len) {
		err = kstrtou64(word, 10, id);
		if (err)
			return err;
		return *id ? 0 : -EINVAL;
	}
	if (!tvq_name_valid(word))
		return -EINVAL;
	strscpy(name, word, VIRTIO_TVQ_NAME_LEN);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_destroy_parse);
