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
	struct answer answer = { .chain = cmd->chain, .epoch = cmd->epoch };
	struct tvq *tvq = cmd->tvq;

	if (cmd->desc)
		answer.command = cmds_name(cmd->desc);
	if (answer.chain.in_len >= sizeof(ack))
		answer.data = malloc(sizeof(ack) + len);
	if (answer.data) {
		ack = htole32(ack);
		memcpy(answer.data, &ack, sizeof(ack));
		if (len)
			memcpy(answer.data + sizeof(ack), data, len);
		answer.len = sizeof(ack) + len;
		answer.written = answer.len;
	}
	memset(&cmd->chain, 0, sizeof(cmd->chain));
	fault_answer(&tvq->faults, cmd->fault, &tvq->transport.q, &answer);
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
	cmd->fault = fault_for(&tvq->faults, false, cmds_name(cmd->desc));
	if (fault_prevents(cmd->fault))
		return CMD_ERR(EINVAL, NONE);
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

static bool take_command(struct cmdq *q)
{
	struct tvq *tvq = container_of(q, struct tvq, transport.q);
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
	ret = cmdq_pop(q, &cmd->chain, epoch);
	if (ret)
		err = read_command(cmd, &hdr);
	mem_leave(&tvq->pci.mem);
	if (!ret) {
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

int transport_start(struct transport *transport, struct tvq *tvq)
{
	memset(transport, 0, sizeof(*transport));
	transport->tvq = tvq;
	mailbox_init(&transport->mgmt);
	if (cmdq_start(&transport->q, &tvq->pci, TRANSPORT_QUEUE, take_command))
		return -1;
	if (pthread_create(&transport->mgmt_thread, NULL, mgmt_thread, transport)) {
		cmdq_stop(&transport->q);
		return -1;
	}
	return 0;
}

void transport_stop(struct transport *transport)
{
	cmdq_stop(&transport->q);
	mailbox_stop(&transport->mgmt);
	pthread_join(transport->mgmt_thread, NULL);
	mailbox_exit(&transport->mgmt);
}
