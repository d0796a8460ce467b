// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * The state file, DIR/devices: a line with the next id, and one for each device.
 * It is replaced as a whole, so that a reader finds the old or the new one.
 *
 *	tvq-device 1
 *	next 4
 *	device 3 type=blk vqs=1 vectors=2 features=... name=root serial=... capacity=131072
 *
 * The serial is in hexadecimal, for it may hold spaces. auto=features and auto=vectors
 * say what of it the device has chosen itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mdev.h"
#include "state.h"

#define HEADER	"tvq-device 1"

int state_init(struct state *state, const char *dir)
{
	int err;

	memset(state, 0, sizeof(*state));
	state->dir_fd = -1;
	pthread_mutex_init(&state->lock, NULL);
	if (!dir)
		return 0;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	state->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->dir_fd < 0)
		return -errno;
	/* Two processes would write over each other. */
	if (flock(state->dir_fd, LOCK_EX | LOCK_NB)) {
		err = errno;
		close(state->dir_fd);
		state->dir_fd = -1;
		return err == EWOULDBLOCK ? -EBUSY : -err;
	}
	if (asprintf(&state->path, "%s/devices", dir) < 0 ||
	    asprintf(&state->tmp_path, "%s/devices.new", dir) < 0)
		return -ENOMEM;
	return 0;
}

void state_exit(struct state *state)
{
	free(state->path);
	free(state->tmp_path);
	if (state->dir_fd >= 0)
		close(state->dir_fd);
	pthread_mutex_destroy(&state->lock);
}

static void put_device(FILE *file, struct mdev *mdev)
{
	const struct mdev_params *p = &mdev->params;
	const char *c;

	pthread_mutex_lock(&mdev->lock);
	fprintf(file, "device %" PRIu64 " type=%s vqs=%u vectors=%u features=%#" PRIx64, mdev->id,
		mdev->type->name, p->vqs, p->num_vectors, mdev->features);
	if (p->name[0])
		fprintf(file, " name=%s", p->name);
	if (p->serial[0]) {
		fputs(" serial=", file);
		for (c = p->serial; *c; c++)
			fprintf(file, "%02x", (unsigned char)*c);
	}
	if (p->have_capacity)
		fprintf(file, " capacity=%" PRIu64, p->capacity);
	if (p->have_mac)
		fprintf(file, " mac=%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1], p->mac[2],
			p->mac[3], p->mac[4], p->mac[5]);
	if (p->have_mtu)
		fprintf(file, " mtu=%u", p->mtu);
	if (p->link_down)
		fputs(" link=down", file);
	if (p->auto_features)
		fputs(" auto=features", file);
	if (p->auto_vectors)
		fputs(" auto=vectors", file);
	fputc('\n', file);
	pthread_mutex_unlock(&mdev->lock);
}

/* The contents of the file. In memory first, for nothing slow is done with tvq.lock. */
static int describe(struct tvq *tvq, char **text, size_t *len)
{
	FILE *file = open_memstream(text, len);
	uint32_t i;

	if (!file)
		return -errno;
	pthread_mutex_lock(&tvq->lock);
	fprintf(file, HEADER "\nnext %" PRIu64 "\n", tvq->next_id);
	for (i = 0; i < tvq->num_devices; i++)
		put_device(file, tvq->devices[i]);
	pthread_mutex_unlock(&tvq->lock);
	if (fclose(file)) {
		free(*text);
		return -ENOMEM;
	}
	return 0;
}

static int replace(struct state *state, const char *text, size_t len)
{
	int fd = open(state->tmp_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = 0;
	int ret = 0;

	if (fd < 0)
		return -errno;
	for (; len && n >= 0; len -= n, text += n) {
		n = write(fd, text, len);
		if (n < 0)
			ret = -errno;
	}
	if (!ret && fdatasync(fd))
		ret = -errno;
	close(fd);
	if (!ret && rename(state->tmp_path, state->path))
		ret = -errno;
	return ret;
}

/* Write what is provisioned now. For any thread without a lock but create_lock. */
int state_save(struct tvq *tvq)
{
	struct state *state = &tvq->state;
	char *text;
	size_t len;
	int ret;

	if (!state->path || state->loading)
		return 0;
	pthread_mutex_lock(&state->lock);
	ret = describe(tvq, &text, &len);
	if (!ret) {
		ret = replace(state, text, len);
		free(text);
	}
	if (ret)
		log_error("state file %s: %s", state->path, strerror(-ret));
	pthread_mutex_unlock(&state->lock);
	return ret;
}

static bool get_serial(const char *hex, char *serial)
{
	unsigned int byte, n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		if (n == VIRTIO_TVQ_SERIAL_LEN || sscanf(hex, "%2x", &byte) != 1)
			return false;
		serial[n++] = byte;
	}
	serial[n] = '\0';
	return !*hex;
}

static bool get_field(struct mdev_params *p, char *field)
{
	const struct mdev_type *type;
	char *value = strchr(field, '=');

	if (!value)
		return false;
	*value++ = '\0';
	if (!strcmp(field, "type")) {
		type = mdev_type_by_name(value);
		if (type)
			p->type = type->type;
		return type;
	}
	if (!strcmp(field, "vqs"))
		return sscanf(value, "%hu", &p->vqs) == 1;
	if (!strcmp(field, "vectors"))
		return sscanf(value, "%hu", &p->num_vectors) == 1;
	if (!strcmp(field, "features")) {
		p->have_features = true;
		return sscanf(value, "%" SCNx64, &p->features[0]) == 1;
	}
	if (!strcmp(field, "name"))
		return snprintf(p->name, sizeof(p->name), "%s", value) < (int)sizeof(p->name);
	if (!strcmp(field, "serial"))
		return get_serial(value, p->serial);
	if (!strcmp(field, "capacity")) {
		p->have_capacity = true;
		return sscanf(value, "%" SCNu64, &p->capacity) == 1;
	}
	if (!strcmp(field, "mac")) {
		p->have_mac = true;
		return sscanf(value, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &p->mac[0], &p->mac[1],
			      &p->mac[2], &p->mac[3], &p->mac[4], &p->mac[5]) == 6;
	}
	if (!strcmp(field, "mtu")) {
		p->have_mtu = true;
		return sscanf(value, "%hu", &p->mtu) == 1;
	}
	/* Chosen by the device, that is: it may choose again when it is provisioned anew. */
	if (!strcmp(field, "auto")) {
		p->auto_features |= !strcmp(value, "features");
		p->auto_vectors |= !strcmp(value, "vectors");
		return true;
	}
	if (!strcmp(field, "link")) {
		p->link_down = !strcmp(value, "down");
		return p->link_down;
	}
	return false;
}

static int load_device(struct tvq *tvq, char *line)
{
	struct mdev_params params = { 0 };
	char *save, *field;
	uint64_t id;
	int err;

	field = strtok_r(line, " \n", &save);
	field = strtok_r(NULL, " \n", &save);
	if (!field || sscanf(field, "%" SCNu64, &id) != 1 || !id)
		return -EINVAL;
	while ((field = strtok_r(NULL, " \n", &save))) {
		if (!get_field(&params, field))
			return -EINVAL;
	}
	err = managed_create(tvq, &params, id, false, NULL, NULL);
	if (err) {
		log_error("device %" PRIu64 " cannot be made again: status %d, qualifier %d", id,
			  err >> 16, err & 0xffff);
		return -EIO;
	}
	return 0;
}

/* Make the devices that the last process left. */
int state_load(struct tvq *tvq)
{
	struct state *state = &tvq->state;
	char *line = NULL;
	size_t size = 0;
	int ret = 0, number = 0;
	uint64_t next;
	FILE *file;

	if (!state->path)
		return 0;
	file = fopen(state->path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	state->loading = true;
	while (!ret && getline(&line, &size, file) > 0) {
		number++;
		if (number == 1)
			ret = strcmp(line, HEADER "\n") ? -EINVAL : 0;
		else if (sscanf(line, "next %" SCNu64, &next) == 1)
			tvq->next_id = next > tvq->next_id ? next : tvq->next_id;
		else if (!strncmp(line, "device ", 7))
			ret = load_device(tvq, line);
		else
			ret = -EINVAL;
	}
	state->loading = false;
	if (ret)
		log_error("state file %s, line %d: %s", state->path, number, strerror(-ret));
	free(line);
	fclose(file);
	return ret;
}
