// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The reference device as a whole: start, reset, end. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mdev.h"
#include "tvq.h"

void tvq_default_options(struct tvq_options *opt)
{
	memset(opt, 0, sizeof(*opt));
	opt->devices_max = 256;
	opt->vqs_max = 4096;
	opt->vectors_max = 8192;
	opt->device_vqs_max = 65;
	opt->device_vectors_max = 129;
	opt->transport_queue_size = 128;
	/* Locally administered, and another one in each process. */
	if (getrandom(opt->mac_prefix, sizeof(opt->mac_prefix), 0) < 0)
		memset(opt->mac_prefix, 0x56, sizeof(opt->mac_prefix));
	opt->mac_prefix[0] = (opt->mac_prefix[0] & ~1) | 2;
}

static int dma_map(void *dev, uint64_t gpa, uint64_t size, uint64_t offset, unsigned int flags,
		   int fd)
{
	struct tvq *tvq = dev;
	int ret = mem_map(&tvq->mem, gpa, size, offset, flags, fd);

	log_debug("map %#llx+%#llx%s: %d", (unsigned long long)gpa, (unsigned long long)size,
		  fd < 0 ? ", by message" : "", ret);
	return ret;
}

static void dma_unmap(void *dev, uint64_t gpa, uint64_t size, bool all)
{
	struct tvq *tvq = dev;

	log_debug("unmap %#llx+%#llx%s", (unsigned long long)gpa, (unsigned long long)size,
		  all ? ", all" : "");
	if (all)
		mem_unmap_all(&tvq->mem);
	else
		mem_unmap(&tvq->mem, gpa, size);
}

static void device_reset(void *dev)
{
	struct tvq *tvq = dev;

	log_info("the client resets the function");
	pci_reset(&tvq->pci);
}

static void disconnected(void *dev)
{
	struct tvq *tvq = dev;

	pci_reset(&tvq->pci);
	mem_unmap_all(&tvq->mem);
}

static const struct vfu_ops vfu_ops = {
	.region_size = pci_region_size,
	.region_read = pci_region_read,
	.region_write = pci_region_write,
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
	.reset = device_reset,
	.disconnected = disconnected,
	.written = mdev_written,
};

/* Every worker compares the epoch when it wakes. */
void tvq_reset_all(struct tvq *tvq)
{
	uint32_t i;

	pthread_mutex_lock(&tvq->lock);
	for (i = 0; i < tvq->num_devices; i++)
		mailbox_wake(&tvq->devices[i]->mbox);
	pthread_mutex_unlock(&tvq->lock);
}

/* The function has become bus master. */
void tvq_kick_all(struct tvq *tvq)
{
	uint32_t i;

	pthread_mutex_lock(&tvq->lock);
	for (i = 0; i < tvq->num_devices; i++)
		mdev_kick(tvq->devices[i]);
	pthread_mutex_unlock(&tvq->lock);
}

/* The list of devices has changed without the driver's doing. */
void tvq_announce(struct tvq *tvq)
{
	if (pci_running(&tvq->pci))
		pci_config_interrupt(&tvq->pci);
}

static int make_dir(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int find_disk_dir(struct tvq *tvq)
{
	const char *tmp = getenv("TMPDIR");
	int ret;

	if (tvq->opt.disk_dir) {
		tvq->disk_dir = strdup(tvq->opt.disk_dir);
	} else if (tvq->opt.state_dir) {
		if (asprintf(&tvq->disk_dir, "%s/disks", tvq->opt.state_dir) < 0)
			tvq->disk_dir = NULL;
	} else {
		if (!tmp || !*tmp)
			tmp = "/tmp";
		if (asprintf(&tvq->disk_dir, "%s/tvq-device-XXXXXX", tmp) < 0)
			tvq->disk_dir = NULL;
		if (tvq->disk_dir && !mkdtemp(tvq->disk_dir)) {
			ret = -errno;
			log_error("directory %s: %s", tvq->disk_dir, strerror(-ret));
			return ret;
		}
		tvq->disk_dir_is_temporary = true;
	}
	if (!tvq->disk_dir)
		return -ENOMEM;
	ret = make_dir(tvq->disk_dir);
	if (ret)
		log_error("directory %s: %s", tvq->disk_dir, strerror(-ret));
	return ret;
}

static void remove_disk_dir(struct tvq *tvq)
{
	struct dirent *entry;
	DIR *dir;

	if (!tvq->disk_dir || !tvq->disk_dir_is_temporary)
		return;
	dir = opendir(tvq->disk_dir);
	if (dir) {
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] != '.' || entry->d_name[1])
				unlinkat(dirfd(dir), entry->d_name, 0);
		}
		closedir(dir);
	}
	rmdir(tvq->disk_dir);
}

/* Wait for all workers to end. What is provisioned stays in the state file. */
static void stop_workers(struct tvq *tvq)
{
	uint32_t i;

	pthread_mutex_lock(&tvq->lock);
	for (i = 0; i < tvq->num_devices; i++)
		mailbox_stop(&tvq->devices[i]->mbox);
	while (tvq->num_workers)
		pthread_cond_wait(&tvq->gone, &tvq->lock);
	pthread_mutex_unlock(&tvq->lock);
}

/**
 * tvq_start - make the device, up to the socket
 * @tvq: filled in
 * @opt: what was asked for; its strings stay the caller's
 *
 * Return: 0, or -1 when an error has been printed.
 */
int tvq_start(struct tvq *tvq, const struct tvq_options *opt)
{
	int ret;

	memset(tvq, 0, sizeof(*tvq));
	tvq->opt = *opt;
	tvq->next_id = 1;
	mem_init(&tvq->mem);
	pthread_mutex_init(&tvq->create_lock, NULL);
	pthread_mutex_init(&tvq->lock, NULL);
	pthread_cond_init(&tvq->gone, NULL);
	tvq->devices = calloc(opt->devices_max, sizeof(*tvq->devices));
	tvq->slots = calloc(opt->devices_max, sizeof(*tvq->slots));
	if (!tvq->devices || !tvq->slots || vfu_init(&tvq->vfu, &vfu_ops, tvq, PCI_VECTORS) ||
	    transport_start(&tvq->transport, tvq)) {
		log_error("out of memory or threads");
		return -1;
	}
	pci_init(&tvq->pci, tvq);

	ret = state_init(&tvq->state, opt->state_dir);
	if (ret)
		log_error("directory %s: %s", opt->state_dir,
			  ret == -EBUSY ? "another process uses it" : strerror(-ret));
	if (switch_start(&tvq->net_switch, opt->tap) || ret)
		goto fail;
	if (find_disk_dir(tvq))
		goto fail;
	if (state_load(tvq) || state_save(tvq))
		goto fail;
	ret = vfu_listen(&tvq->vfu, opt->socket);
	if (ret) {
		log_error("socket %s: %s", opt->socket, strerror(-ret));
		goto fail;
	}
	return 0;

fail:
	tvq_stop(tvq);
	return -1;
}

/* Serve until stop_fd is readable. */
int tvq_run(struct tvq *tvq, int stop_fd)
{
	int ret = vfu_run(&tvq->vfu, stop_fd);

	if (ret)
		log_error("socket %s: %s", tvq->opt.socket, strerror(-ret));
	return ret;
}

void tvq_stop(struct tvq *tvq)
{
	if (tvq->vfu.listen_fd >= 0)
		unlink(tvq->opt.socket);
	mem_new_epoch(&tvq->mem);
	transport_stop(&tvq->transport);
	stop_workers(tvq);
	switch_stop(&tvq->net_switch);
	remove_disk_dir(tvq);
	state_exit(&tvq->state);
	vfu_exit(&tvq->vfu);
	mem_exit(&tvq->mem);
	free(tvq->disk_dir);
	free(tvq->devices);
	free(tvq->slots);
	pthread_cond_destroy(&tvq->gone);
	pthread_mutex_destroy(&tvq->lock);
	pthread_mutex_destroy(&tvq->create_lock);
}
