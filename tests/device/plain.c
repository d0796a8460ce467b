// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Plain functions: a device that is a PCI function of its own, with the modern
 * virtio-pci layout, on a vfio-user socket of its own. The device is the same as
 * a managed one; this is what managed devices are compared with.
 *
 * The function's socket thread keeps the registers. What the driver does with
 * them is posted to the device's worker, in order, and only a write to the
 * device's configuration is waited for, for the driver may read it back at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "mdev.h"

#define CONFIG_WRITE_SECONDS	1
/* Managed devices do not come to these soon. Their MAC addresses are made from them, too. */
#define PLAIN_FIRST_ID		0xff0000

static_assert(MDEV_CONFIG_MAX <= PCI_DEVICE_CONFIG_MAX, "the registers hold a configuration");

struct plain {
	struct pci pci;
	struct mdev *mdev;
	const char *socket;
	char name[64];
	pthread_t thread;
	int stop_fd;
	bool running;

	uint64_t posted;		/* the socket thread's own */
	pthread_mutex_t lock;		/* guards done */
	pthread_cond_t cond;
	uint64_t done;			/* jobs of those that were posted */
};

/* What the driver did. */
struct plain_job {
	struct job job;
	struct plain *plain;
	uint64_t epoch;
	void (*run)(struct plain *plain, const struct plain_job *job);
	uint8_t status;
	uint64_t features;
	uint16_t index;
	struct vq_setup setup;
	uint32_t offset;
	uint32_t len;
	uint8_t data[8];
};

static struct plain *plain_of(struct pci *pci)
{
	return container_of(pci, struct plain, pci);
}

struct mdev *plain_mdev(struct plain *plain)
{
	return plain->mdev;
}

/*
 * What the worker does
 */

static void end_job(struct job *job)
{
	struct plain_job *plain_job = container_of(job, struct plain_job, job);
	struct plain *plain = plain_job->plain;

	pthread_mutex_lock(&plain->lock);
	plain->done++;
	pthread_cond_signal(&plain->cond);
	pthread_mutex_unlock(&plain->lock);
	free(plain_job);
}

static void run_job(struct job *job)
{
	struct plain_job *plain_job = container_of(job, struct plain_job, job);

	/* One of before a reset has no effect behind it. */
	if (plain_job->epoch == plain_job->plain->mdev->epoch)
		plain_job->run(plain_job->plain, plain_job);
	end_job(job);
}

static void run_status(struct plain *plain, const struct plain_job *job)
{
	struct mdev *mdev = plain->mdev;

	if (job->status & ~mdev->status & S_FEATURES_OK)
		mdev_set_features(mdev, job->features);
	mdev_set_status(mdev, job->status | (mdev->status & S_NEEDS_RESET));
}

static void run_enable(struct plain *plain, const struct plain_job *job)
{
	if (vq_enable(&plain->mdev->vqs[job->index], &job->setup))
		mdev_needs_reset(plain->mdev);
	mdev_kick_queue(plain->mdev, job->index);
}

static void run_reset_queue(struct plain *plain, const struct plain_job *job)
{
	mdev_stop_queue(plain->mdev, job->index);
	/* In a section, for the driver may have reset the device meanwhile. */
	if (mem_enter_quiet(&plain->pci.mem, job->epoch)) {
		pci_queue_is_reset(&plain->pci, job->index);
		mem_leave(&plain->pci.mem);
	}
}

static void run_config_write(struct plain *plain, const struct plain_job *job)
{
	struct mdev *mdev = plain->mdev;

	if (mdev->type->config_write(mdev, job->offset, job->data, job->len)) {
		pthread_mutex_lock(&mdev->lock);
		mdev->generation++;
		pthread_mutex_unlock(&mdev->lock);
	}
}

/* Post a copy of a job. In the socket thread. */
static void post(struct plain *plain, const struct plain_job *job)
{
	struct plain_job *copy = malloc(sizeof(*copy));

	if (!copy) {
		pci_needs_reset(&plain->pci);
		return;
	}
	*copy = *job;
	copy->job.run = run_job;
	copy->job.cancel = end_job;
	copy->plain = plain;
	copy->epoch = mem_epoch(&plain->pci.mem);
	plain->posted++;
	mailbox_post(&plain->mdev->mbox, &copy->job);
}

/*
 * The registers: in the socket thread
 */

static bool plain_features_ok(struct pci *pci, uint64_t features)
{
	return plain_of(pci)->mdev->type->features_ok(features);
}

static void plain_status(struct pci *pci, uint8_t set)
{
	const struct plain_job job = {
		.run = run_status,
		.status = pci->status & ~S_NEEDS_RESET,
		.features = pci->driver_features,
	};

	post(plain_of(pci), &job);
}

/* The worker compares the epoch when it wakes. */
static void plain_reset(struct pci *pci)
{
	mailbox_wake(&plain_of(pci)->mdev->mbox);
}

static void plain_kick(struct pci *pci)
{
	mdev_kick(plain_of(pci)->mdev);
}

static bool plain_enable(struct pci *pci, uint16_t index)
{
	struct plain_job job = { .run = run_enable, .index = index };

	pci_queue_setup(pci, index, &job.setup);
	if (!vq_addresses_ok(&job.setup))
		return false;
	post(plain_of(pci), &job);
	return true;
}

static void plain_reset_queue(struct pci *pci, uint16_t index)
{
	const struct plain_job job = { .run = run_reset_queue, .index = index };

	post(plain_of(pci), &job);
}

static void plain_notify(struct pci *pci, uint16_t index, uint32_t data, uint32_t len)
{
	if ((uint16_t)data == index)
		mdev_doorbell(plain_of(pci)->mdev, data, len);
}

/* The generation moves with what a driver could have read before. */
static void plain_refresh(struct pci *pci)
{
	struct mdev *mdev = plain_of(pci)->mdev;

	pthread_mutex_lock(&mdev->lock);
	if (memcmp(pci->device_config, mdev->config, mdev->config_len)) {
		memcpy(pci->device_config, mdev->config, mdev->config_len);
		__atomic_add_fetch(&pci->config_generation, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&mdev->lock);
}

/*
 * Waits for the worker. That does not wait for this client but for Bus Master
 * Enable; so there is an end to it, and then the driver reads what was there before.
 */
static void plain_config_write(struct pci *pci, uint32_t offset, const void *buf, uint32_t len)
{
	struct plain_job job = { .run = run_config_write, .offset = offset, .len = len };
	struct plain *plain = plain_of(pci);
	struct timespec deadline;
	int ret = 0;

	if (!plain->mdev->type->config_write || len > sizeof(job.data))
		return;
	memcpy(job.data, buf, len);
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += CONFIG_WRITE_SECONDS;
	post(plain, &job);
	pthread_mutex_lock(&plain->lock);
	while (plain->done != plain->posted && !ret)
		ret = pthread_cond_timedwait(&plain->cond, &plain->lock, &deadline);
	pthread_mutex_unlock(&plain->lock);
}

static const struct pci_ops plain_ops = {
	.features_ok = plain_features_ok,
	.status = plain_status,
	.reset = plain_reset,
	.kick = plain_kick,
	.enable = plain_enable,
	.reset_queue = plain_reset_queue,
	.notify = plain_notify,
	.refresh = plain_refresh,
	.config_write = plain_config_write,
};

/*
 * What the device says: in the worker
 */

static void plain_interrupt(struct mdev *mdev, struct virtq *vq)
{
	pci_queue_interrupt(mdev->pci, pci_queue_vector(mdev->pci, vq->index));
}

static void plain_config_changed(struct mdev *mdev)
{
	if (!mem_enter_quiet(mdev->mem, mdev->epoch))
		return;
	if (mdev->status & S_NEEDS_RESET)
		pci_needs_reset(mdev->pci);
	else
		pci_config_interrupt(mdev->pci);
	mem_leave(mdev->mem);
}

/* All that a driver has set here was reset with the registers. */
static void plain_was_reset(struct mdev *mdev, uint64_t epoch)
{
}

/* The table keeps a plain function until all workers have ended. */
static void plain_forget(struct mdev *mdev)
{
}

static const struct mdev_access plain_access = {
	.interrupt = plain_interrupt,
	.config_changed = plain_config_changed,
	.reset = plain_was_reset,
	.forget = plain_forget,
};

bool mdev_is_plain(const struct mdev *mdev)
{
	return mdev->access == &plain_access;
}

struct mdev *plain_find_name(struct tvq *tvq, const char *name)
{
	uint32_t i;

	for (i = 0; i < tvq->num_plain; i++) {
		if (!strcmp(tvq->plain[i]->mdev->params.name, name))
			return tvq->plain[i]->mdev;
	}
	return NULL;
}

/*
 * Start and end
 */

/* The class code that QEMU gives a virtio device of a type. */
static uint32_t class_of(uint32_t type)
{
	switch (type) {
	case 1:			/* net */
		return 0x020000;
	case 2:			/* blk */
		return 0x010000;
	case 3:			/* console */
		return 0x078000;
	case 9:			/* 9p */
		return 0x000200;
	case 26:		/* fs */
		return 0x018000;
	default:
		return 0x00ff00;
	}
}

static void *socket_thread(void *arg)
{
	struct plain *plain = arg;
	int ret = vfu_run(&plain->pci.vfu, plain->stop_fd);

	if (ret)
		log_error("socket %s: %s", plain->socket, strerror(-ret));
	return NULL;
}

static int make_function(struct plain *plain)
{
	struct mdev *mdev = plain->mdev;
	const struct pci_setup setup = {
		.name = plain->name,
		.ops = &plain_ops,
		.device_id = 0x1040 + mdev->type->type,
		.subsystem_id = 0x1100,		/* QEMU's */
		.class = class_of(mdev->type->type),
		.features = mdev->features,
		.num_vectors = mdev->num_vectors,
		.num_queues = mdev->num_vqs,
		.config_len = mdev->config_len,
		.shm_length = mdev->type->shm_length ? mdev->type->shm_length(&mdev->params) : 0,
	};
	uint16_t i;

	if (pci_init(&plain->pci, &setup))
		return -ENOMEM;
	for (i = 0; i < mdev->num_vqs; i++)
		pci_set_queue_size(&plain->pci, i, mdev->type->queue_size(mdev, i));
	mdev_set_access(mdev, &plain_access, &plain->pci);
	return 0;
}

static void plain_release(struct plain *plain)
{
	if (plain->stop_fd >= 0)
		close(plain->stop_fd);
	pthread_cond_destroy(&plain->cond);
	pthread_mutex_destroy(&plain->lock);
	free(plain);
}

static struct plain *plain_alloc(struct tvq *tvq, const struct plain_options *opt)
{
	struct plain *plain = calloc(1, sizeof(*plain));
	pthread_condattr_t attr;

	if (!plain)
		return NULL;
	plain->socket = opt->socket;
	snprintf(plain->name, sizeof(plain->name), "function %s", opt->params.name);
	pthread_mutex_init(&plain->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&plain->cond, &attr);
	pthread_condattr_destroy(&attr);
	plain->stop_fd = eventfd(0, EFD_CLOEXEC);
	return plain;
}

/* From here on the device is the worker's, and the function its thread's. */
static int start_threads(struct tvq *tvq, struct plain *plain)
{
	pthread_mutex_lock(&tvq->lock);
	tvq->num_workers++;
	pthread_mutex_unlock(&tvq->lock);
	if (mdev_start_worker(plain->mdev)) {
		pthread_mutex_lock(&tvq->lock);
		tvq->num_workers--;
		pthread_mutex_unlock(&tvq->lock);
		return -1;
	}
	pthread_mutex_lock(&tvq->lock);
	tvq->plain[tvq->num_plain++] = plain;
	pthread_mutex_unlock(&tvq->lock);
	plain->running = !pthread_create(&plain->thread, NULL, socket_thread, plain);
	if (!plain->running)
		log_error("%s: out of threads", plain->name);
	return 0;
}

/**
 * plain_start - make a plain function, from its device to its socket
 * @tvq: the device as a whole, which keeps it
 * @opt: what it is to be; its strings stay the caller's
 *
 * For tvq_start(), before there is anybody else who creates devices.
 *
 * Return: 0, or -1 when an error has been printed.
 */
int plain_start(struct tvq *tvq, const struct plain_options *opt)
{
	struct plain *plain = plain_alloc(tvq, opt);
	int err, ret;

	if (!plain || plain->stop_fd < 0) {
		log_error("out of memory or files");
		goto fail;
	}
	err = mdev_prepare(tvq, &opt->params, false, &plain->mdev);
	if (err)
		goto fail_prepare;
	plain->mdev->id = PLAIN_FIRST_ID + tvq->num_plain;
	err = make_function(plain) ? CMD_ERR(ENOMEM, NONE) : 0;
	if (err)
		goto fail_function;
	err = plain->mdev->type->create(plain->mdev);
	if (err)
		goto fail_create;
	ret = vfu_listen(&plain->pci.vfu, plain->socket);
	if (ret) {
		log_error("socket %s: %s", plain->socket, strerror(-ret));
		goto fail_listen;
	}
	if (start_threads(tvq, plain)) {
		err = CMD_ERR(ENOMEM, NONE);
		unlink(plain->socket);
		goto fail_listen;
	}
	log_info("%s: %s, listening on %s", plain->name,
		 mdev_type_by_id(opt->params.type)->name, plain->socket);
	return plain->running ? 0 : -1;

fail_listen:
	plain->mdev->type->destroy(plain->mdev);
fail_create:
	pci_exit(&plain->pci);
fail_function:
	mdev_free(plain->mdev);
fail_prepare:
	if (err)
		log_error("%s: %s", plain->name, params_error_text(err));
fail:
	if (plain)
		plain_release(plain);
	return -1;
}

/* End the function's thread, and whatever the worker waits for. */
void plain_stop(struct plain *plain)
{
	uint64_t one = 1;

	unlink(plain->socket);
	if (plain->running && write(plain->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(plain->thread, NULL);
	mem_new_epoch(&plain->pci.mem);
}

/* When the worker has ended. */
void plain_free(struct plain *plain)
{
	pci_exit(&plain->pci);
	plain_release(plain);
}
