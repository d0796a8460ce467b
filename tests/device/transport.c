// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * The transport virtqueue.
 *
 * The transport thread takes commands from the ring and posts each to the thread
 * that executes it: the worker of the managed device that it names, or the
 * management thread. It executes nothing itself, so no command waits for one with
 * another device_id. Answers are given by the executing threads, under lock.
 */
#include <stdlib.h>
#include <string.h>

#include "cmds.h"
#include "log.h"
#include "mdev.h"
#include "tvq.h"

static void command_free(struct command *cmd)
{
	vq_chain_free(&cmd->chain);
	free(cmd->out);
	free(cmd);
}

/* Write the answer, and give the chain back. Whatever cannot be answered is freed too. */
static void answer(struct command *cmd, uint32_t ack, const void *data, uint32_t len)
{
	struct transport *transport = &cmd->tvq->transport;
	struct mem *mem = &cmd->tvq->pci.mem;
	uint32_t written = 0;
	bool notify;

	/* A command of before the last reset is forgotten. */
	if (mem_enter_wait(mem, cmd->epoch)) {
		pthread_mutex_lock(&transport->lock);
		if (transport->epoch == cmd->epoch) {
			ack = htole32(ack);
			/* One that cannot be answered is given back all the same. */
			if (cmd->chain.in_len >= sizeof(ack) &&
			    !vq_write(mem, &cmd->chain, 0, &ack, sizeof(ack)) &&
			    !vq_write(mem, &cmd->chain, sizeof(ack), data, len))
				written = sizeof(ack) + len;
			vq_push(&transport->vq, &cmd->chain, written);
			notify = vq_should_notify(&transport->vq);
			if (notify)
				pci_queue_interrupt(&cmd->tvq->pci, transport->vq.vector);
			if (transport->vq.broken)
				pci_needs_reset(&cmd->tvq->pci);
		}
		pthread_mutex_unlock(&transport->lock);
		mem_leave(mem);
	}
	command_free(cmd);
}

/* Answer a command with OK and in-data. The command is gone then. */
void command_ok(struct command *cmd, const void *data, uint32_t len)
{
	answer(cmd, VIRTIO_TVQ_OK, data, len);
}

/* Answer a command with ERR, and with the reason where there is room. */
void command_error(struct command *cmd, int err)
{
	struct virtio_tvq_error error = {
		.status = htole16(err >> 16),
		.qualifier = htole16(err & 0xffff),
	};

	log_debug("command %llu: error %d/%d", (unsigned long long)cmd->device_id, err >> 16,
		  err & 0xffff);
	answer(cmd, VIRTIO_TVQ_ERR, &error, cmd->in_len >= sizeof(error) ? sizeof(error) : 0);
}

static void cancel_command(struct job *job)
{
	command_error(container_of(job, struct command, job), CMD_ERR(ENXIO, DEVICE_ID));
}

/* Read a command that was taken. In a section. Return: 0, CMD_ERR, -1 if it cannot be answered. */
static int read_command(struct command *cmd, struct virtio_tvq_hdr *hdr)
{
	struct mem *mem = &cmd->tvq->pci.mem;
	uint64_t len = cmd->chain.out_len;

	if (len < sizeof(*hdr) || vq_read(mem, &cmd->chain, 0, hdr, sizeof(*hdr)))
		return -1;
	cmd->device_id = le64toh(hdr->device_id);
	if (cmd->chain.in_len < sizeof(uint32_t))
		return -1;
	cmd->in_len = cmd->chain.in_len - sizeof(uint32_t);
	if (len > TVQ_COMMAND_MAX || cmd->chain.in_len > TVQ_COMMAND_MAX)
		return CMD_ERR(EINVAL, LENGTH);
	cmd->out_len = len - sizeof(*hdr);
	cmd->out = malloc(cmd->out_len ? cmd->out_len : 1);
	if (!cmd->out)
		return CMD_ERR(ENOMEM, NONE);
	if (vq_read(mem, &cmd->chain, sizeof(*hdr), cmd->out, cmd->out_len))
		return -1;
	return 0;
}

/* Post a command to the thread that executes it. Not in a section. */
static int dispatch(struct command *cmd, const struct virtio_tvq_hdr *hdr)
{
	struct tvq *tvq = cmd->tvq;
	struct mdev *mdev;

	cmd->desc = cmds_find(le16toh(hdr->class), le16toh(hdr->command));
	if (!cmd->desc)
		return CMD_ERR(ENXIO, COMMAND);
	log_debug("command %llu: %s", (unsigned long long)cmd->device_id, cmds_name(cmd->desc));
	cmd->job.run = cmds_run;
	cmd->job.cancel = cancel_command;
	if (!cmds_for_mdev(cmd->desc)) {
		if (cmd->device_id)
			return CMD_ERR(ENXIO, DEVICE_ID);
		mailbox_post(&tvq->transport.mgmt, &cmd->job);
		return 0;
	}
	pthread_mutex_lock(&tvq->lock);
	mdev = managed_find(tvq, cmd->device_id);
	if (mdev) {
		cmd->mdev = mdev;
		mailbox_post(&mdev->mbox, &cmd->job);
	}
	pthread_mutex_unlock(&tvq->lock);
	return mdev ? 0 : CMD_ERR(ENXIO, DEVICE_ID);
}

/* Take one command. Return: whether there may be another. */
static bool take_command(struct transport *transport)
{
	struct tvq *tvq = transport->tvq;
	struct virtio_tvq_hdr hdr;
	struct command *cmd;
	uint64_t epoch = mem_epoch(&tvq->pci.mem);
	int ret, err = 0;

	cmd = calloc(1, sizeof(*cmd));
	if (!cmd)
		return false;
	cmd->tvq = tvq;
	cmd->epoch = epoch;
	if (!mem_enter(&tvq->pci.mem, epoch)) {
		command_free(cmd);
		return mem_epoch(&tvq->pci.mem) != epoch;
	}
	pthread_mutex_lock(&transport->lock);
	if (transport->epoch != epoch || !pci_running(&tvq->pci)) {
		ret = 0;
	} else {
		ret = vq_pop(&transport->vq, &cmd->chain);
		if (!ret && vq_enable_notify(&transport->vq))
			ret = vq_pop(&transport->vq, &cmd->chain);
		if (ret < 0 && transport->vq.enabled && !transport->failed) {
			transport->failed = true;
			pci_needs_reset(&tvq->pci);
		}
	}
	pthread_mutex_unlock(&transport->lock);
	if (ret > 0)
		err = read_command(cmd, &hdr);
	mem_leave(&tvq->pci.mem);
	if (ret <= 0) {
		command_free(cmd);
		return false;
	}
	if (err < 0) {
		cmd->chain.in_len = 0;
		answer(cmd, 0, NULL, 0);
		return true;
	}
	if (!err)
		err = dispatch(cmd, &hdr);
	if (err)
		command_error(cmd, err);
	return true;
}

static void *transport_thread(void *arg)
{
	struct transport *transport = arg;

	pthread_mutex_lock(&transport->wake_lock);
	while (!transport->stop) {
		if (!transport->kicked) {
			pthread_cond_wait(&transport->wake_cond, &transport->wake_lock);
			continue;
		}
		transport->kicked = false;
		pthread_mutex_unlock(&transport->wake_lock);
		while (take_command(transport))
			;
		pthread_mutex_lock(&transport->wake_lock);
	}
	pthread_mutex_unlock(&transport->wake_lock);
	return NULL;
}

static void *mgmt_thread(void *arg)
{
	struct transport *transport = arg;
	struct job *job;
	bool stop;

	do {
		job = mailbox_take(&transport->mgmt, false, &stop);
		if (job)
			job->run(job);
	} while (!stop);
	return NULL;
}

/* For any thread. */
void transport_kick(struct transport *transport)
{
	pthread_mutex_lock(&transport->wake_lock);
	transport->kicked = true;
	pthread_cond_signal(&transport->wake_cond);
	pthread_mutex_unlock(&transport->wake_lock);
}

/* In the socket thread. */
int transport_enable(struct transport *transport, const struct vq_setup *setup, uint16_t vector)
{
	int ret = -1;

	pthread_mutex_lock(&transport->lock);
	if (vq_addresses_ok(setup) && !vq_enable(&transport->vq, setup)) {
		transport->vq.vector = vector;
		transport->epoch = mem_epoch(&transport->tvq->pci.mem);
		transport->failed = false;
		ret = 0;
	}
	pthread_mutex_unlock(&transport->lock);
	return ret;
}

/* In the socket thread, in a new epoch: nobody is in the queue any more. */
void transport_disable(struct transport *transport)
{
	pthread_mutex_lock(&transport->lock);
	vq_disable(&transport->vq);
	pthread_mutex_unlock(&transport->lock);
}

int transport_start(struct transport *transport, struct tvq *tvq)
{
	memset(transport, 0, sizeof(*transport));
	transport->tvq = tvq;
	mailbox_init(&transport->mgmt);
	pthread_mutex_init(&transport->wake_lock, NULL);
	pthread_cond_init(&transport->wake_cond, NULL);
	pthread_mutex_init(&transport->lock, NULL);
	vq_init(&transport->vq, &tvq->pci.mem, TRANSPORT_QUEUE);
	if (pthread_create(&transport->thread, NULL, transport_thread, transport))
		return -1;
	if (pthread_create(&transport->mgmt_thread, NULL, mgmt_thread, transport)) {
		transport->stop = true;
		transport_kick(transport);
		pthread_join(transport->thread, NULL);
		return -1;
	}
	return 0;
}

void transport_stop(struct transport *transport)
{
	pthread_mutex_lock(&transport->wake_lock);
	transport->stop = true;
	pthread_cond_signal(&transport->wake_cond);
	pthread_mutex_unlock(&transport->wake_lock);
	pthread_join(transport->thread, NULL);
	mailbox_stop(&transport->mgmt);
	pthread_join(transport->mgmt_thread, NULL);
	vq_disable(&transport->vq);
	mailbox_exit(&transport->mgmt);
	pthread_cond_destroy(&transport->wake_cond);
	pthread_mutex_destroy(&transport->wake_lock);
	pthread_mutex_destroy(&transport->lock);
}
