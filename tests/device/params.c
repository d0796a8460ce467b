// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* What a device is to be, as text: KEY=VALUE of the control socket and of --pci. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mdev.h"

/* A size in bytes, with a suffix. Return: whether it is one. */
bool params_get_size(const char *text, uint64_t *size)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	unsigned int shift = 0;
	char *end;

	errno = 0;
	*size = strtoull(text, &end, 0);
	if (errno || end == text || strchr(text, '-'))
		return false;
	if (*end) {
		suffix = strchr(suffixes, *end);
		if (!suffix || end[1])
			return false;
		shift = 10 * (suffix - suffixes + 1);
	}
	if (*size > UINT64_MAX >> shift)
		return false;
	*size <<= shift;
	return true;
}

static bool get_u16(const char *text, uint16_t *value)
{
	unsigned long n;
	char *end;

	n = strtoul(text, &end, 0);
	*value = n;
	return end != text && !*end && !strchr(text, '-') && n <= UINT16_MAX;
}

static bool get_u64(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	return !errno && end != text && !*end && !strchr(text, '-');
}

static bool get_string(const char *text, char *to, size_t size)
{
	return snprintf(to, size, "%s", text) < (int)size;
}

static bool get_mac(const char *text, uint8_t *mac)
{
	char end;

	return strlen(text) == 17 &&
	       sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2],
		      &mac[3], &mac[4], &mac[5], &end) == 6;
}

/* One KEY=VALUE. Return: NULL or what is wrong. */
const char *params_add_key(struct mdev_params *p, char *word)
{
	const struct mdev_type *type;
	char *value = strchr(word, '=');
	uint64_t size;

	if (!value)
		return "not KEY=VALUE";
	*value++ = '\0';
	if (!strcmp(word, "type")) {
		type = mdev_type_by_name(value);
		if (!type)
			return "no such device type";
		p->type = type->type;
	} else if (!strcmp(word, "name")) {
		if (!*value || !get_string(value, p->name, sizeof(p->name)))
			return "not a valid name";
	} else if (!strcmp(word, "serial")) {
		if (!get_string(value, p->serial, sizeof(p->serial)))
			return "the serial is too long";
	} else if (!strcmp(word, "vqs")) {
		if (!get_u16(value, &p->vqs))
			return "vqs is not a number";
	} else if (!strcmp(word, "vectors")) {
		if (!get_u16(value, &p->num_vectors))
			return "vectors is not a number";
	} else if (!strcmp(word, "capacity")) {
		if (!params_get_size(value, &size) || !size || size % 512)
			return "capacity is not a multiple of 512 bytes";
		p->capacity = size / 512;
		p->have_capacity = true;
	} else if (!strcmp(word, "mac")) {
		if (!get_mac(value, p->mac))
			return "not a MAC address";
		p->have_mac = true;
	} else if (!strcmp(word, "mtu")) {
		if (!get_u16(value, &p->mtu))
			return "mtu is not a number";
		p->have_mtu = true;
	} else if (!strcmp(word, "features")) {
		if (!get_u64(value, &p->features[0]))
			return "features is not a number";
		p->have_features = true;
	} else {
		return "no such key";
	}
	return NULL;
}

/* What is wrong with a device that could not be made, from its CMD_ERR. */
const char *params_error_text(int err)
{
	switch (err & 0xffff) {
	case VIRTIO_TVQ_Q_TYPE:
		return "no such device type";
	case VIRTIO_TVQ_Q_NAME:
		return err >> 16 == VIRTIO_TVQ_STATUS_EEXIST ? "the name is in use" :
							      "not a valid name";
	case VIRTIO_TVQ_Q_SERIAL:
		return "not a valid serial, or a type without one";
	case VIRTIO_TVQ_Q_FEATURES:
		return "features that are not possible";
	case VIRTIO_TVQ_Q_VQS:
		return "too many queues";
	case VIRTIO_TVQ_Q_VECTORS:
		return "too many vectors";
	case VIRTIO_TVQ_Q_CONFIG:
		return "a value that the type does not have, or out of range";
	case VIRTIO_TVQ_Q_DEVICES:
		return "too many devices";
	case VIRTIO_TVQ_Q_SHM:
		return "no room for its shared memory";
	case VIRTIO_TVQ_Q_BACKEND:
		return "what stands behind the device cannot be opened";
	default:
		return "out of memory";
	}
}
