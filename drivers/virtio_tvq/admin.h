/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commands of the admin virtqueues, one typed function each. Numbers are in
 * the CPU's byte order on this side; capabilities, resource objects and the values
 * of device parts are bytes, as the specification lays them out.
 *
 * The errno contract of all commands: 0; the device's status (-ENXIO, -EAGAIN,
 * -ENOMEM, -EBUSY, -EEXIST, -EINVAL, -ENOSPC; -EINVAL also for a status that nobody
 * knows), and the log has said status and qualifier; -EOPNOTSUPP when the command is
 * not in the list that tvq_admin_use() has agreed upon for the group, and nothing was
 * sent; -EPROTO for a reply that can't be true; -ETIMEDOUT when the deadline passed;
 * -EIO when the admin virtqueue is broken; -EMSGSIZE for a command that is too long;
 * -ENOMEM on this side, too.
 *
 * Context of all commands: process, may sleep, until the deadline; twice as long
 * where the device asks to try again.
 *
 * Order: commands for one member go to one queue, so they are executed in the order in
 * which they are sent; and every function waits for the answer.
 * Those for different members, sent by different threads, may be executed in any order.
 */
#ifndef _VIRTIO_TVQ_ADMIN_H
#define _VIRTIO_TVQ_ADMIN_H

#include <linux/types.h>
#include <uapi/linux/virtio_tvq_admin.h>

#include "link.h"

struct device;
struct seq_file;
struct tvq_admin;

/* Neither part of a command is longer, nor the parts of a member together. */
#define TVQ_ADMIN_LEN_MAX	131072u
#define TVQ_ADMIN_PARTS_MAX	131040u

/* The values of capabilities and resource objects, of which we know 2 and 8 bytes. */
#define TVQ_ADMIN_DATA_MAX	4096u

/* Capabilities have numbers below this. */
#define TVQ_ADMIN_CAPS		0x1000

/**
 * struct tvq_member - a member of a group
 * @group: VIRTIO_ADMIN_GROUP_TYPE_SELF and so on
 * @id: its id in the group; 0 in the self group
 */
struct tvq_member {
	u16 group;
	u64 id;
};

/**
 * struct tvq_admin_list - a list of commands
 * @standard: bit n is opcode n
 * @own: bit n is opcode 0x7f00 + n
 *
 * Other opcodes exist, and are not known here.
 */
struct tvq_admin_list {
	u64 standard;
	u64 own;
};

/**
 * struct tvq_part - a device part without its value
 * @type: part type
 * @flags: bit VIRTIO_DEV_PART_F_OPTIONAL
 * @selector: index of a queue, offset, or what the device type makes of it; 0 where the
 *	part type has none
 * @length: of its value in bytes
 */
struct tvq_part {
	u16 type;
	u8 flags;
	u64 selector;
	u32 length;
};

/**
 * union tvq_member_value - an attribute of a member
 * @features: of FEATURES and FEATURES_POSSIBLE
 * @mac: of MAC
 * @number: of the others
 */
union tvq_member_value {
	u64 features[2];
	u8 mac[6];
	u32 number;
};

/**
 * struct tvq_admin_params - what the admin commands are made of
 * @ops: link of all queues
 * @queues: the queues
 * @num_queues: how many, 1 or more
 * @timeout_ms: deadline of a command, or 0 for the default
 * @dev: for messages and traces
 */
struct tvq_admin_params {
	const struct tvq_link_ops *ops;
	const struct tvq_queue *queues;
	unsigned int num_queues;
	unsigned int timeout_ms;
	struct device *dev;
};

struct tvq_admin *tvq_admin_create(const struct tvq_admin_params *params);
void tvq_admin_destroy(struct tvq_admin *admin);
void tvq_admin_interrupt(struct tvq_admin *admin, unsigned int queue);
void tvq_admin_break(struct tvq_admin *admin);
void tvq_admin_halt(struct tvq_admin *admin);
void tvq_admin_revive(struct tvq_admin *admin);
void tvq_admin_show(struct tvq_admin *admin, struct seq_file *m);

int tvq_admin_list_query(struct tvq_admin *admin, u16 group,
			 struct tvq_admin_list *list);
int tvq_admin_list_use(struct tvq_admin *admin, u16 group,
		       const struct tvq_admin_list *list);
int tvq_admin_use(struct tvq_admin *admin, u16 group);
bool tvq_admin_can(struct tvq_admin *admin, u16 group, u16 opcode);

int tvq_admin_cap_list(struct tvq_admin *admin, unsigned long *caps);
int tvq_admin_device_cap(struct tvq_admin *admin, u16 id, void *data,
			 size_t len);
int tvq_admin_driver_cap(struct tvq_admin *admin, u16 id, const void *data,
			 size_t len);

int tvq_admin_obj_create(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 type, u32 id,
			 const void *data, size_t len);
int tvq_admin_obj_modify(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 type, u32 id,
			 const void *data, size_t len);
int tvq_admin_obj_query(struct tvq_admin *admin,
			const struct tvq_member *member, u16 type, u32 id,
			void *data, size_t len);
int tvq_admin_obj_destroy(struct tvq_admin *admin,
			  const struct tvq_member *member, u16 type, u32 id);

int tvq_admin_parts_size(struct tvq_admin *admin,
			 const struct tvq_member *member, u32 id, u32 *size);
int tvq_admin_parts_count(struct tvq_admin *admin,
			  const struct tvq_member *member, u32 id, u32 *count);
int tvq_admin_parts_list(struct tvq_admin *admin,
			 const struct tvq_member *member, u32 id,
			 struct tvq_part *parts, u32 max);
int tvq_admin_parts_get(struct tvq_admin *admin,
			const struct tvq_member *member, u32 id,
			const struct tvq_part *selected, u32 num_selected,
			void *parts, u32 room);
int tvq_admin_parts_set(struct tvq_admin *admin,
			const struct tvq_member *member, u32 id,
			const void *parts, u32 len);
int tvq_admin_parts_check(const void *parts, u32 len);
int tvq_admin_mode_set(struct tvq_admin *admin,
		       const struct tvq_member *member, bool stopped);

int tvq_admin_member_get(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 attribute,
			 union tvq_member_value *value);
int tvq_admin_member_set(struct tvq_admin *admin,
			 const struct tvq_member *member, u16 attribute,
			 const union tvq_member_value *value);

#if IS_ENABLED(CONFIG_KUNIT)
const char *tvq_admin_status_name(u16 status);
const char *tvq_admin_qualifier_name(u16 qualifier);
#endif

#endif /* _VIRTIO_TVQ_ADMIN_H */
