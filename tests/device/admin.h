/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * Admin virtqueues: groups of devices, and the commands that concern their members.
 *
 * The thread of a queue executes one command after the other. What concerns the
 * state of a managed device is a job of its worker, for which that thread waits; so
 * a queue keeps its order, and one that waits holds up no other queue.
 */
#ifndef TVQ_ADMIN_H
#define TVQ_ADMIN_H

#include <linux/virtio_tvq_admin.h>

#include "cmdq.h"
#include "job.h"
#include "parts.h"

#define ADMIN_QUEUES_MAX	8
#define SRIOV_MAX		64	/* virtual functions */
#define ADMIN_GET_OBJECTS	8	/* the limits of the capability */
#define ADMIN_SET_OBJECTS	8
#define ADMIN_OBJECTS		(ADMIN_GET_OBJECTS + ADMIN_SET_OBJECTS)

/* An error of a command: status and qualifier in one int, 0 is OK. */
#define ADMIN_ERR(status, q)						\
	(VIRTIO_TVQ_ADMIN_STATUS_##status << 16 | VIRTIO_TVQ_ADMIN_Q_##q)

enum admin_group { ADMIN_SELF, ADMIN_SRIOV, ADMIN_MANAGED, ADMIN_GROUPS };

struct tvq;
struct mdev;
struct vf;

struct admin_queue {
	struct cmdq q;
	struct tvq *tvq;
	/* The command that the queue's thread waits for. lock guards done. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

/* What drivers have set by admin commands. tvq.lock guards it. */
struct admin {
	struct admin_queue queue[ADMIN_QUEUES_MAX];
	unsigned int num_queues;
	uint32_t used[ADMIN_GROUPS];	/* commands, as the bits of their places in the table */
	uint8_t get_limit;		/* of resource objects */
	uint8_t set_limit;
	uint32_t num_objects;		/* of all members */
	bool vfs_enabled;
	uint16_t num_vfs;
	struct vf *vfs;
};

struct admin_command {
	struct job job;
	struct tvq *tvq;
	struct admin_queue *queue;
	const struct admin_desc *desc;
	uint64_t epoch;
	struct vq_chain chain;
	struct fault *fault;		/* what is to be wrong with the answer, or NULL */
	uint16_t opcode;
	uint16_t group_type;
	uint64_t member;
	uint8_t *data;			/* command specific, with zeroes behind it */
	uint32_t data_len;
	/* The target, one of them */
	struct mdev *mdev;
	struct vf *vf;
	/* For the worker of a managed device, instead of an answer */
	int (*work)(struct admin_command *cmd);
	int err;
	void *result;			/* command specific */
	uint32_t result_len;
};

int admin_start(struct tvq *tvq);
void admin_stop(struct tvq *tvq);
/* For any thread */
bool admin_knows(const char *name);
void admin_hold(struct tvq *tvq, bool held);
/* In the socket thread */
void admin_kick(struct tvq *tvq);
void admin_disable(struct tvq *tvq);
void admin_sriov(struct tvq *tvq, bool enabled, uint16_t num_vfs);
/* With tvq.lock */
void admin_reset(struct tvq *tvq);
void admin_drop_objects(struct tvq *tvq, uint8_t *objects);

/*
 * Managed devices: in the worker
 */

int mstate_get(struct mdev *mdev, struct parts *parts);
uint32_t mstate_max(struct mdev *mdev, uint32_t now);
int mstate_set(struct mdev *mdev, struct parts_reader *reader);

/*
 * Virtual functions, which are on paper: with tvq.lock
 */

struct vf *vfs_alloc(unsigned int num);
void vfs_reset(struct vf *vfs, unsigned int num);
struct vf *vf_at(struct vf *vfs, unsigned int i);
uint8_t *vf_objects(struct vf *vf);
void vf_set_stopped(struct vf *vf, bool stopped);
bool vf_stopped(const struct vf *vf);
void vf_get(const struct vf *vf, struct parts *parts);
int vf_set(struct vf *vf, struct parts_reader *reader);
int vf_get_attribute(struct tvq *tvq, const struct vf *vf, uint16_t attribute, uint8_t *value);
int vf_set_attribute(struct tvq *tvq, struct vf *vf, uint16_t attribute, const uint8_t *value);

#endif
