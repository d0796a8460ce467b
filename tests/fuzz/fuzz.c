// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * One execution, from an empty device to the end of it.
 *
 * An input is two bytes that say what the device is, and a list of operations
 * (operations.c). The targets differ in what has been done before the first one.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../device/log.h"
#include "fuzz.h"

/* Where an execution begins */
enum target { MESSAGES, FUNCTION, COMMANDS, QUEUES, ADMIN_COMMANDS, PLAIN, TARGETS };

static const char * const names[] = {
	[MESSAGES] = "messages", [FUNCTION] = "function", [COMMANDS] = "commands",
	[QUEUES] = "queues", [ADMIN_COMMANDS] = "admin", [PLAIN] = "plain",
};

static enum target target = TARGETS;
static const uint8_t types[] = { 2, 1, 3, 4, 27 };

/* The device handles SIGBUS itself. Stacks of fibers come and go. */
const char *__asan_default_options(void)
{
	return "handle_sigbus=0:detect_stack_use_after_return=0:quarantine_size_mb=32";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const char *name = strrchr((*argv)[0], '/');
	unsigned int i;

	name = name ? name + 1 : (*argv)[0];
	for (i = 0; i < TARGETS; i++) {
		if (!strcmp(name, names[i]))
			target = i;
	}
	if (target == TARGETS)
		fuzz_bug("the target is in the name under which this is called");
	/* As the device's own main() does */
	sigaction(SIGPIPE, &ignore, NULL);
	log_set_level(getenv("FUZZ_DEBUG") ? LOG_DEBUG : LOG_NONE);
	return 0;
}

static void make_options(struct tvq_options *opt, struct plain_options *plain, struct fuzz *f,
			 uint8_t what, uint8_t type)
{
	tvq_default_options(opt);
	opt->socket = f->socket;
	opt->disk_dir = f->dir;
	opt->devices_max = 6;
	opt->vqs_max = 48;
	opt->vectors_max = 32;
	opt->device_vqs_max = 20;
	opt->device_vectors_max = 12;
	opt->transport_queue_size = 64;
	opt->admin_queues = what & 1 ? 1 : 2;
	opt->sriov = what & 2 ? 4 : 0;
	opt->short_common_cfg = what & 4;
	opt->queue_size = what & 8 ? 8 : 0;
	opt->shm_size = what & 16 ? 0 : 32u << 20;
	if (what & 32)
		opt->console_dir = f->dir;
	if (target != PLAIN)
		return;
	snprintf(f->plain_socket, sizeof(f->plain_socket), "%s/plain", f->dir);
	plain->socket = f->plain_socket;
	plain->params.type = types[type % sizeof(types)];
	/* An entropy source and memory have one queue. */
	plain->params.vqs = type % sizeof(types) < 3 ? what >> 6 : 0;
	strcpy(plain->params.name, "plain");
	opt->pci = plain;
	opt->num_pci = 1;
}

static void create(struct fuzz *f, uint32_t type, uint16_t vqs)
{
	const struct virtio_tvq_create req = { .type = type, .vqs = vqs };

	fuzz_command(f, 0, VIRTIO_TVQ_CLASS_MGMT, VIRTIO_TVQ_MGMT_CREATE, &req, sizeof(req), 512,
		     0);
}

static void prepare(struct fuzz *f, uint8_t what, uint8_t type)
{
	if (target == MESSAGES)
		return;
	fuzz_negotiate(f);
	fuzz_map(f);
	if (target == FUNCTION || target == PLAIN)
		return;
	fuzz_function_up(f, 2, BIT64(F_RING_EVENT_IDX));
	if (target == COMMANDS)
		return;
	create(f, types[type % sizeof(types)], what >> 6);
	if (target == ADMIN_COMMANDS)
		fuzz_admin_ready(f, VIRTIO_TVQ_ADMIN_GROUP_MANAGED, 1);
	/* With indirect descriptors, and without indices of events */
	fuzz_device_up(f, 1, ~BIT64(F_RING_EVENT_IDX), RINGS_EACH, type & 0x80 ? 4 : 8);
}

/*
 * Whatever has happened: the next client finds a device that works. Names and limits
 * may be in use, so that is what a driver needs at least.
 */
static void check_alive(struct fuzz *f)
{
	f->answers = ANSWER_OK;
	fibers_seed(0);
	fuzz_disconnect(f);
	fuzz_connect(f);
	fuzz_negotiate(f);
	fuzz_map(f);
	if (f->plain) {
		/* Memory wants its region; that is bit 0, which others may have, too. */
		if (!fuzz_plain_up(f, BIT64(0), 1, 4))
			fuzz_bug("the function does not come up any more");
		return;
	}
	if (!fuzz_function_up(f, 0, BIT64(F_ADMIN_VQ) | BIT64(F_RING_EVENT_IDX)))
		fuzz_bug("the management device does not come up any more");
	if (fuzz_command(f, 0, VIRTIO_TVQ_CLASS_MGMT, VIRTIO_TVQ_MGMT_NOP, NULL, 0, 8, 0))
		fuzz_bug("the management device does not answer any more");
}

/* What devices with names, and consoles, leave there */
static void remove_dir(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (!dir || closedir(dir) || rmdir(path))
		fuzz_bug("the directory cannot be removed");
}

/* The lowest file descriptor that is free: another one when a file was left open. */
static int free_file(void)
{
	int fd = dup(STDERR_FILENO);

	if (fd < 0)
		fuzz_bug("no more files");
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct plain_options plain = { 0 };
	struct tvq_options opt;
	struct fuzz *f;
	int files;

	if (len < FUZZ_HEAD)
		return -1;
	files = free_file();
	f = calloc(1, sizeof(*f));
	strcpy(f->dir, "/tmp/fuzz-XXXXXX");
	if (!mkdtemp(f->dir))
		fuzz_bug("no directory");
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->dir);
	make_options(&opt, &plain, f, data[0], data[1]);

	fibers_begin();
	fuzz_start(f, &opt, target == PLAIN);
	prepare(f, data[0], data[1]);
	fuzz_operations(f, data + FUZZ_HEAD, len - FUZZ_HEAD);
	check_alive(f);
	fuzz_end(f);
	fibers_end();
	remove_dir(f->dir);
	free(f);
	if (free_file() != files)
		fuzz_bug("a file was left open");
	return 0;
}
