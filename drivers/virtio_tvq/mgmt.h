/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A management device and what it manages.
 */
#ifndef _VIRTIO_TVQ_MGMT_H
#define _VIRTIO_TVQ_MGMT_H

#include <linux/device.h>
#include <linux/io.h>
#include <linux/irqdomain.h>
#include <linux/kobject.h>
#include <linux/pci_regs.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "admin.h"
#include "cmd.h"

struct tvq_device;

/**
 * struct tvq_mgmt - a management device
 * @kobj: the directory tvq/ of the function; its release frees this structure
 * @parent: the function: parent of every managed device, and what does DMA
 * @index: the N of tvq<N>-<device_id>
 * @cmdq: its transport virtqueue
 * @admin: its admin virtqueues, or NULL
 * @domain: parent interrupt domain of its managed devices
 * @limits: what the device said at the start; only the maxima are of use
 * @doorbells: mapping of the doorbell pages, or NULL
 * @doorbells_len: its length in bytes
 * @doorbells_offset: where in the BAR it begins
 * @shm_bars: the function's BARs in which shared memory regions may be, by
 *	number; NULL for the others
 * @ops: what the function can do beside carrying commands
 * @link: its argument
 * @lock: held for reading from CREATE until the new id is in @devices, for
 *	writing while the device's list is compared with @devices, and to set
 *	@open. Nobody waits for a managed device's driver under it
 * @devices: managed devices by device_id, each with a reference; an entry stays
 *	until the device is off the bus and, where it is to go, destroyed. It
 *	goes and is freed under no lock but that of the xarray: whoever looks
 *	into an entry holds that, a reference, or has set TVQ_DEVICE_LEAVING
 * @by_name: the directory tvq/by-name/
 * @stopping: it is about to be closed for good, and who scans ends
 * @open: devices may be created and discovered
 * @gate_lock: guards the two that follow
 * @frozen: the function is being reset, or the system sleeps: who creates, destroys
 *	or discovers waits
 * @busy: how many of these are under way
 * @gate_queue: waits for changes of the two
 * @scan_work: looks what the other side has changed; the only one to do so
 * @scan_err: how it ended the last time
 * @scan_next: in jiffies, when it may be done again
 * @scan_time: in jiffies, how long it may take at a time
 * @scan_refused: how often in a row it was made anew because the device refused
 * @publish_work: puts on the bus what that has found
 * @parts: device parts can be got and set; written by tvq_member_start()
 * @failed: tvq_mgmt_fail() has been called, since the link was up last
 * @presence_work: looks every now and then whether the function is still there
 * @await_work: and while drivers are to let go, whether they will
 * @awaited: the device whose driver is waited for, or NULL for all that leave. Not
 *	to be looked into
 * @awaited_since: in jiffies, since when
 * @await_time: in jiffies, how long that may be without anything given back
 * @wq: runs the works above, but for @await_work. It belongs to no CPU, for a driver may
 *	spin on one for a device of which the scan has yet to find that it is gone
 * @leave_wq: takes off the bus what the other side has taken away; a driver may
 *	never let go, which holds up nothing else
 * @noio_flags: of the task that resets the function
 * @debugfs: its directory there
 */
struct tvq_mgmt {
	struct kobject kobj;
	struct device *parent;
	int index;
	struct tvq_cmdq *cmdq;
	struct tvq_admin *admin;
	struct irq_domain *domain;
	struct tvq_limits limits;
	void __iomem *doorbells;
	u64 doorbells_len;
	u64 doorbells_offset;
	struct resource *shm_bars[PCI_STD_NUM_BARS];
	const struct tvq_mgmt_ops *ops;
	void *link;
	struct rw_semaphore lock;
	struct xarray devices;
	struct kobject *by_name;
	bool stopping;
	bool open;
	spinlock_t gate_lock;	/* as above */
	bool frozen;
	unsigned int busy;
	wait_queue_head_t gate_queue;
	struct delayed_work scan_work;
	struct work_struct publish_work;
	int scan_err;
	unsigned long scan_next;
	unsigned long scan_time;
	unsigned int scan_refused;
	bool parts;
	bool failed;
	struct delayed_work presence_work;
	struct delayed_work await_work;
	struct tvq_device *awaited;
	unsigned long awaited_since;
	unsigned long await_time;
	struct workqueue_struct *wq;
	struct workqueue_struct *leave_wq;
	unsigned int noio_flags;
	struct dentry *debugfs;
};

/**
 * struct tvq_mgmt_ops - what the function can do beside carrying commands
 * @present: is it still there? Process context
 * @needs_reset: has it set DEVICE_NEEDS_RESET? Process context
 * @cut_off: keep it, and so all managed devices, from memory, until it is
 *	reset. Process context
 * @reset: reset it, from tvq_mgmt_freeze() to tvq_mgmt_thaw(). Process
 *	context. Return 0 or an errno
 * @num_vfs: how many virtual functions it has enabled, of those that are a group.
 *	Process context
 */
struct tvq_mgmt_ops {
	bool (*present)(void *link);
	bool (*needs_reset)(void *link);
	void (*cut_off)(void *link);
	int (*reset)(void *link);
	unsigned int (*num_vfs)(void *link);
};

/**
 * struct tvq_mgmt_params - what the function's driver brings
 * @parent: the function
 * @link_ops: link of all virtqueues
 * @queue: the transport virtqueue
 * @admin: the admin virtqueues
 * @num_admin: how many, or 0
 * @ops: what else the function can do
 * @link: argument of @ops
 * @timeout_ms: deadline of a command, or 0 for those of the commands
 * @doorbells: mapping of the doorbell pages, or NULL
 * @doorbells_offset: where in the BAR it begins
 * @doorbells_len: its length in bytes
 * @shm_bars: BARs in which shared memory regions may be, by number; NULL for
 *	the others
 */
struct tvq_mgmt_params {
	struct device *parent;
	const struct tvq_link_ops *link_ops;
	struct tvq_queue queue;
	const struct tvq_queue *admin;
	unsigned int num_admin;
	const struct tvq_mgmt_ops *ops;
	void *link;
	unsigned int timeout_ms;
	void __iomem *doorbells;
	u64 doorbells_offset;
	u64 doorbells_len;
	struct resource *shm_bars[PCI_STD_NUM_BARS];
};

struct tvq_mgmt *tvq_mgmt_create(const struct tvq_mgmt_params *params);
int tvq_mgmt_start(struct tvq_mgmt *mgmt);
void tvq_mgmt_flush(struct tvq_mgmt *mgmt);
void tvq_mgmt_stop(struct tvq_mgmt *mgmt);
int tvq_mgmt_freeze(struct tvq_mgmt *mgmt, bool sleep);
void tvq_mgmt_link_down(struct tvq_mgmt *mgmt);
int tvq_mgmt_link_up(struct tvq_mgmt *mgmt);
void tvq_mgmt_thaw(struct tvq_mgmt *mgmt, int err);
int tvq_mgmt_reset(struct tvq_mgmt *mgmt);
void tvq_mgmt_fail(struct tvq_mgmt *mgmt, const char *why);
int tvq_mgmt_limits(struct tvq_mgmt *mgmt, struct tvq_limits *limits);
void tvq_mgmt_destroy(struct tvq_mgmt *mgmt);
void tvq_mgmt_interrupt(struct tvq_mgmt *mgmt);
void tvq_mgmt_config_interrupt(struct tvq_mgmt *mgmt);
void tvq_mgmt_admin_interrupt(struct tvq_mgmt *mgmt, unsigned int queue);
bool tvq_mgmt_try_enter(struct tvq_mgmt *mgmt);
void tvq_mgmt_leave(struct tvq_mgmt *mgmt);
int tvq_mgmt_redescribe(struct tvq_mgmt *mgmt, struct tvq_device *tdev);

int tvq_mgmt_create_device(struct tvq_mgmt *mgmt,
			   const struct tvq_create *create);
int tvq_mgmt_destroy_device(struct tvq_mgmt *mgmt, u64 id, const char *name);

/* create.c: what is written to the attributes create and destroy */
int tvq_create_parse(const char *buf, size_t len, struct tvq_create *create,
		     const char **reason);
int tvq_destroy_parse(const char *buf, size_t len, u64 *id, char *name);
int tvq_type_parse(const char *word, u32 *type);
const char *tvq_type_name(u32 type);

/* create.c, for attributes of devices that are there */
int tvq_value_parse(u16 attribute, const char *buf, size_t len,
		    union tvq_member_value *value);

/* member.c: what the admin virtqueues are for */
void tvq_member_start(struct tvq_mgmt *mgmt);
int tvq_member_use_vfs(struct tvq_mgmt *mgmt);
int tvq_member_vf_vectors_total(struct tvq_mgmt *mgmt, u32 *total);
int tvq_member_set_vf_vectors(struct tvq_mgmt *mgmt, unsigned int vf,
			      unsigned int vectors);
bool tvq_member_can(struct tvq_device *tdev, u16 opcode);
int tvq_member_get(struct tvq_device *tdev, u16 attribute,
		   union tvq_member_value *value);
int tvq_member_set(struct tvq_device *tdev, u16 attribute,
		   const union tvq_member_value *value);
bool tvq_member_stopped(struct tvq_device *tdev);
int tvq_member_set_mode(struct tvq_device *tdev, bool stopped);
void tvq_member_resume(struct tvq_device *tdev);
int tvq_member_get_parts(struct tvq_device *tdev, void **parts);
int tvq_member_set_parts(struct tvq_device *tdev, const void *parts,
			 size_t len);

/**
 * struct tvq_pci_place - where the admin virtqueues of a function are
 * @index: of the first
 * @num: how many, or 0
 */
struct tvq_pci_place {
	u16 index;
	u16 num;
};

/* pci.c */
#if IS_ENABLED(CONFIG_KUNIT)
u64 tvq_pci_wanted(u64 offered, bool sriov);
const struct tvq_pci_place *
tvq_pci_admin_place(const struct tvq_pci_place *common,
		    const struct tvq_pci_place *cap);
bool tvq_pci_admin_fits(u16 index, u16 num, u16 num_queues, u16 transport);
#endif

/* debugfs.c */
void tvq_debugfs_init(void);
void tvq_debugfs_exit(void);
void tvq_debugfs_add_mgmt(struct tvq_mgmt *mgmt);
void tvq_debugfs_remove_mgmt(struct tvq_mgmt *mgmt);
void tvq_debugfs_add(struct tvq_device *tdev);
void tvq_debugfs_remove(struct tvq_device *tdev);

/* sysfs.c */
extern const struct kobj_type tvq_mgmt_ktype;
extern const struct attribute_group tvq_mgmt_group;

#endif /* _VIRTIO_TVQ_MGMT_H */
