/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * The reference device as a whole.
 *
 *	client (QEMU)			one for each function
 *	  | vfio-user			vfu.c		socket thread of the function
 *	PCI function			pci.c		socket thread
 *	  |			\
 *	  | transport virtqueue	 \	transport.c	transport thread
 *	  |  admin virtqueues	  |	admin.c		a thread of each queue
 *	  |	/		  |
 *	commands		  |	cmds.c admin.c	of the management device: its own
 *	  |			  |			thread; of a managed device: that
 *	  |			  |			one's worker
 *	managed devices		  |	managed.c mstate.c
 *	  |		plain functions	plain.c		of --pci: the registers in the socket
 *	  |			  |			thread, all else in the worker
 *	devices, a worker thread each	mdev.c
 *	  |
 *	device types			blk.c net.c rng.c console.c pmem.c
 *
 * A device type does not know how a driver reaches its devices (struct mdev_access).
 *
 * The worker of a device owns all of its state: it executes what the driver asks
 * for and serves its queues. So commands for one device take effect in order, a
 * reset finds nobody else at work, and what is slow, is slow for that device alone.
 *
 * Locks, outermost first:
 *	tvq.create_lock		one creation at a time
 *	state.lock		one write of the state file at a time
 *	mem.lock		guest memory of a function; for reading: a section (mem.h)
 *	plain.lock		how many of its jobs are done
 *	cmdq.lock		the used side of a queue of commands
 *	tvq.lock		the table of managed devices, the limits, and what admin
 *				commands have set
 *	blk.lock		requests of a disk
 *	console.lock		buffers of ports
 *	switch.lock		ports and learned addresses
 *	mdev.lock		a managed device: what others than its worker read
 *	mdev.mbox_lock		its mailbox
 *	admin_queue.lock	whether its worker is done with an admin command
 *	mdev.msi_lock		its interrupt table
 *	faults.lock		what the device was told to do wrong
 *	hostile.lock		whether it lies; guards nothing that is read
 *	net backlog locks
 *	vfu.send_lock, vfu.irq_lock
 */
#ifndef TVQ_H
#define TVQ_H

#include <endian.h>
#include <linux/virtio_tvq.h>

#include "admin.h"
#include "fault.h"
#include "hostile.h"
#include "pci.h"
#include "state.h"
#include "switch.h"
#include "transport.h"

#define TVQ_VENDOR		0x1af4
#define TVQ_DEVICES_LIMIT	65536
#define TVQ_CONFIG_MAX		256
#define TVQ_COMMAND_MAX		(256u << 10)

/* From <linux/virtio_config.h>, which Debian 12's headers have only in part. */
#define F_RING_INDIRECT		28
#define F_RING_EVENT_IDX	29
#define F_VERSION_1		32
#define F_ACCESS_PLATFORM	33
#define F_RING_PACKED		34
#define F_IN_ORDER		35
#define F_ORDER_PLATFORM	36
#define F_SR_IOV		37
#define F_NOTIFICATION_DATA	38
#define F_RING_RESET		40
#define F_ADMIN_VQ		41

#define S_ACKNOWLEDGE		1
#define S_DRIVER		2
#define S_DRIVER_OK		4
#define S_FEATURES_OK		8
#define S_NEEDS_RESET		0x40
#define S_FAILED		0x80

#define BIT64(n)		(1ull << (n))

/* Of the management device: */
#define TRANSPORT_QUEUE		1	/* outside num_queues, ... */
#define ADMIN_QUEUE		2	/* ... and so the admin virtqueues, from here on */
#define MGMT_VECTORS		(2 + ADMIN_QUEUES_MAX)	/* configuration, transport, admin */

struct plain_options;

struct tvq_options {
	const char *socket;
	const char *control;
	const char *state_dir;
	const char *disk_dir;
	const char *console_dir;		/* NULL: ports echo */
	const char *tap;
	uint32_t devices_max;
	uint32_t vqs_max;
	uint32_t vectors_max;
	uint16_t device_vqs_max;
	uint16_t device_vectors_max;
	uint16_t queue_size;			/* 0: the type's own */
	uint16_t transport_queue_size;		/* and of the admin virtqueues */
	unsigned int admin_queues;
	bool short_common_cfg;			/* that ends before what it says of those */
	uint16_t sriov;				/* virtual functions, on paper */
	uint8_t mac_prefix[3];
	uint64_t shm_size;			/* of the shared memory of all managed devices */
	const struct fault *fault;		/* what to do wrong from the first command on */
	struct hostile_options hostile;		/* whether to lie from the start */
	const struct plain_options *pci;	/* devices that are functions of their own */
	uint32_t num_pci;
};

struct mdev;
struct plain;

struct tvq {
	struct tvq_options opt;
	struct pci pci;
	struct virtio_tvq_pci_cap cap;
	struct transport transport;
	struct admin admin;
	struct faults faults;
	struct hostile hostile;
	struct state state;
	struct net_switch net_switch;
	char *disk_dir;
	bool disk_dir_is_temporary;

	pthread_mutex_t create_lock;

	/* lock guards these. */
	pthread_mutex_t lock;
	pthread_cond_t gone;		/* num_workers went down */
	struct mdev **devices;		/* num_devices of them, by rising id */
	uint32_t num_devices;
	struct mdev **slots;		/* by doorbell page */
	struct plain **plain;		/* num_plain of them; none goes before the end */
	uint32_t num_plain;
	uint32_t num_workers;		/* threads of devices that run */
	uint32_t vqs_used;
	uint32_t vectors_used;
	uint64_t next_id;
	uint64_t generation;		/* of the list of devices */
};

void tvq_default_options(struct tvq_options *opt);
int tvq_start(struct tvq *tvq, const struct tvq_options *opt);
int tvq_run(struct tvq *tvq, int stop_fd);
void tvq_stop(struct tvq *tvq);

void tvq_announce(struct tvq *tvq);

#endif
