// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The reference device as a whole: start, reset, end. */
#include <dirent.h>
#include <errno.h>
#include <linux/pci_regs.h>
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
	opt->admin_queues = 2;
	/* Locally administered, and another one in each process. */
	if (getrandom(opt->mac_prefix, sizeof(opt->mac_prefix), 0) < 0)
		memset(opt->mac_prefix, 0x56, sizeof(opt->mac_prefix));
	opt->mac_prefix[0] = (opt->mac_prefix[0] & ~1) | 2;
}

/*
 * The management device as a PCI function: in the socket thread
 */

static struct tvq *tvq_of(struct pci *pci)
{
	return container_of(pci, struct tvq, pci);
}

static bool mgmt_features_ok(struct pci *pci, uint64_t features)
{
	return features & BIT64(VIRTIO_F_TRANSPT_VQ);
}

static void mgmt_status(struct pci *pci, uint8_t set)
{
	if (!(set & S_DRIVER_OK))
		return;
	cmdq_kick(&tvq_of(pci)->transport.q);
	admin_kick(tvq_of(pci));
}

/* Every worker compares the epoch when it wakes. */
static void mgmt_reset(struct pci *pci)
{
	struct tvq *tvq = tvq_of(pci);
	uint32_t i;

	cmdq_disable(&tvq->transport.q);
	admin_disable(tvq);
	pthread_mutex_lock(&tvq->lock);
	admin_reset(tvq);
	for (i = 0; i < tvq->num_devices; i++)
		mailbox_wake(&tvq->devices[i]->mbox);
	pthread_mutex_unlock(&tvq->lock);
}

static void mgmt_kick(struct pci *pci)
{
	struct tvq *tvq = tvq_of(pci);
	uint32_t i;

	cmdq_kick(&tvq->transport.q);
	admin_kick(tvq);
	pthread_mutex_lock(&tvq->lock);
	for (i = 0; i < tvq->num_devices; i++)
		mdev_kick(tvq->devices[i]);
	pthread_mutex_unlock(&tvq->lock);
}

/* The function has no other queues. */
static struct cmdq *queue_of(struct pci *pci, uint16_t index)
{
	struct tvq *tvq = tvq_of(pci);

	return index == TRANSPORT_QUEUE ? &tvq->transport.q :
					  &tvq->admin.queue[index - ADMIN_QUEUE].q;
}

static bool mgmt_enable(struct pci *pci, uint16_t index)
{
	struct vq_setup setup;

	if (index != TRANSPORT_QUEUE && !(pci->driver_features & BIT64(F_ADMIN_VQ)))
		return false;
	pci_queue_setup(pci, index, &setup);
	return !cmdq_enable(queue_of(pci, index), &setup, pci_queue_vector(pci, index));
}

static void mgmt_notify(struct pci *pci, uint16_t index, uint32_t data, uint32_t len)
{
	if ((uint16_t)data == index)
		cmdq_kick(queue_of(pci, index));
}

static void mgmt_doorbell(struct pci *pci, uint64_t offset, uint32_t value, uint32_t len)
{
	if (!(offset % VIRTIO_TVQ_DOORBELL_SIZE))
		managed_doorbell(tvq_of(pci), offset / VIRTIO_TVQ_DOORBELL_SIZE, value, len);
}

static void mgmt_written(struct pci *pci, uint16_t id, uint64_t cookie)
{
	managed_written(tvq_of(pci), id, cookie);
}

static void mgmt_sriov(struct pci *pci, bool enabled, uint16_t num_vfs)
{
	admin_sriov(tvq_of(pci), enabled, num_vfs);
}

static const struct pci_ops mgmt_ops = {
	.features_ok = mgmt_features_ok,
	.status = mgmt_status,
	.reset = mgmt_reset,
	.kick = mgmt_kick,
	.enable = mgmt_enable,
	.notify = mgmt_notify,
	.doorbell = mgmt_doorbell,
	.written = mgmt_written,
	.sriov = mgmt_sriov,
};

static int make_function(struct tvq *tvq)
{
	unsigned int admin_queues = tvq->opt.admin_queues, i;
	const struct pci_setup setup = {
		.name = "the management device",
		.ops = &mgmt_ops,
		.device_id = VIRTIO_TVQ_PCI_DEVICE_ID,
		.subsystem_id = VIRTIO_TVQ_PCI_DEVICE_ID,
		.class = 0xff0000,	/* no class of its own */
		.features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) |
			    BIT64(F_RING_INDIRECT) | BIT64(F_RING_EVENT_IDX) |
			    BIT64(VIRTIO_F_TRANSPT_VQ) |
			    (admin_queues ? BIT64(F_ADMIN_VQ) : 0) |
			    (tvq->opt.sriov ? BIT64(F_SR_IOV) : 0),
		.num_vectors = MGMT_VECTORS,
		.first_queue = TRANSPORT_QUEUE,
		.num_queues = 1 + admin_queues,
		.hidden_queues = true,
		.admin_index = admin_queues ? ADMIN_QUEUE : 0,
		.admin_num = admin_queues,
		.short_common = tvq->opt.short_common_cfg,
		.total_vfs = tvq->opt.sriov,
		.doorbell_length = (uint64_t)tvq->opt.devices_max * VIRTIO_TVQ_DOORBELL_SIZE,
		.shm_length = tvq->opt.shm_size,
		.vendor_cap = &tvq->cap,
		.vendor_cap_len = sizeof(tvq->cap),
	};

	tvq->cap = (struct virtio_tvq_pci_cap){
		.cap_vndr = PCI_CAP_ID_VNDR,
		.cap_len = sizeof(tvq->cap),
		.cfg_type = 9,		/* VIRTIO_PCI_CAP_VENDOR_CFG */
		.vendor_id = htole16(TVQ_VENDOR),
		.version = htole16(VIRTIO_TVQ_CAP_VERSION),
		.magic = htole32(VIRTIO_TVQ_CAP_MAGIC),
		.transport_queue_index = htole16(TRANSPORT_QUEUE),
		.admin_queue_index = htole16(setup.admin_index),
		.admin_queue_num = htole16(setup.admin_num),
		.doorbell_bar = BAR_DOORBELL,
		.doorbell_length = htole64(setup.doorbell_length),
	};
	if (pci_init(&tvq->pci, &setup))
		return -ENOMEM;
	tvq->pci.hostile = &tvq->hostile;
	for (i = 0; i < setup.num_queues; i++)
		pci_set_queue_size(&tvq->pci, TRANSPORT_QUEUE + i, tvq->opt.transport_queue_size);
	return 0;
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
	for (i = 0; i < tvq->num_plain; i++)
		mailbox_stop(&plain_mdev(tvq->plain[i])->mbox);
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
	uint32_t i;
	int ret;

	memset(tvq, 0, sizeof(*tvq));
	tvq->opt = *opt;
	tvq->next_id = 1;
	pthread_mutex_init(&tvq->create_lock, NULL);
	pthread_mutex_init(&tvq->lock, NULL);
	pthread_cond_init(&tvq->gone, NULL);
	tvq->devices = calloc(opt->devices_max, sizeof(*tvq->devices));
	tvq->slots = calloc(opt->devices_max, sizeof(*tvq->slots));
	tvq->plain = calloc(opt->num_pci + 1, sizeof(*tvq->plain));
	if (!tvq->devices || !tvq->slots || !tvq->plain || make_function(tvq) ||
	    faults_start(&tvq->faults) || hostile_start(&tvq->hostile, &tvq->pci) ||
	    transport_start(&tvq->transport, tvq) || admin_start(tvq)) {
		log_error("out of memory or threads");
		return -1;
	}
	faults_tell(&tvq->faults, opt->fault);
	if (opt->hostile.on)
		hostile_set(&tvq->hostile, &opt->hostile);

	ret = state_init(&tvq->state, opt->state_dir);
	if (ret)
		log_error("directory %s: %s", opt->state_dir,
			  ret == -EBUSY ? "another process uses it" : strerror(-ret));
	if (switch_start(&tvq->net_switch, opt->tap) || ret)
		goto fail;
	if (find_disk_dir(tvq))
		goto fail;
	ret = opt->console_dir ? make_dir(opt->console_dir) : 0;
	if (ret) {
		log_error("directory %s: %s", opt->console_dir, strerror(-ret));
		goto fail;
	}
	if (state_load(tvq) || state_save(tvq))
		goto fail;
	for (i = 0; i < opt->num_pci; i++) {
		if (plain_start(tvq, &opt->pci[i]))
			goto fail;
	}
	ret = vfu_listen(&tvq->pci.vfu, opt->socket);
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
	int ret = vfu_run(&tvq->pci.vfu, stop_fd);

	if (ret)
		log_error("socket %s: %s", tvq->opt.socket, strerror(-ret));
	return ret;
}

void tvq_stop(struct tvq *tvq)
{
	uint32_t i;

	if (tvq->pci.vfu.listen_fd >= 0)
		unlink(tvq->opt.socket);
	mem_new_epoch(&tvq->pci.mem);
	for (i = 0; i < tvq->num_plain; i++)
		plain_stop(tvq->plain[i]);
	hostile_stop(&tvq->hostile);
	faults_stop(&tvq->faults);
	transport_stop(&tvq->transport);
	admin_stop(tvq);
	stop_workers(tvq);
	faults_exit(&tvq->faults);
	switch_stop(&tvq->net_switch);
	remove_disk_dir(tvq);
	state_exit(&tvq->state);
	for (i = 0; i < tvq->num_plain; i++)
		plain_free(tvq->plain[i]);
	pci_exit(&tvq->pci);
	free(tvq->disk_dir);
	free(tvq->devices);
	free(tvq->slots);
	free(tvq->plain);
	pthread_cond_destroy(&tvq->gone);
	pthread_mutex_destroy(&tvq->lock);
	pthread_mutex_destroy(&tvq->create_lock);
}
