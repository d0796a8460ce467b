/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commands of the transport virtqueue, one typed function each. Numbers
 * are in the CPU's byte order on this side.
 *
 * The errno contract of all that wait: 0; the device's reason as in
 * Documentation/protocol.rst (-ENXIO, -EAGAIN, -ENOMEM, -EBUSY, -EEXIST,
 * -EINVAL, -ENOSPC); -EREMOTEIO for an ERR with another reason or none; -EPROTO
 * for a reply that can't be true; -ETIMEDOUT when the deadline passed; -EIO when the
 * transport virtqueue is broken; -ENOMEM on this side.
 */
#ifndef _VIRTIO_TVQ_CMD_H
#define _VIRTIO_TVQ_CMD_H

#include <linux/types.h>
#include <uapi/linux/virtio_tvq.h>

#include "link.h"

struct seq_file;
struct tvq_cmdq;
struct tvq_vq_setup;

struct tvq_limits {
	u32 devices_max;
	u32 devices_used;
	u32 vqs_max;
	u32 vqs_free;
	u32 vectors_max;
	u32 vectors_free;
	u16 device_vqs_max;
	u16 device_vectors_max;
	u16 config_max;
	u32 command_out_max;
	u32 command_in_max;
	u64 types[2];
};

struct tvq_list_entry {
	u64 id;
	u32 type;
};

/* One field of the initial configuration space, as it lies there. */
struct tvq_config_init {
	u16 offset;
	u16 length;
	u8 data[8];
};

#define TVQ_CREATE_CONFIG_MAX	4

struct tvq_create {
	u32 type;
	u16 vqs;
	u16 num_vectors;
	bool has_features;
	u64 features[VIRTIO_TVQ_FEATURES_U64S];
	char name[VIRTIO_TVQ_NAME_LEN];
	char serial[VIRTIO_TVQ_SERIAL_LEN + 1];
	u64 capacity;		/* in bytes, of create.c alone: config has it, too */
	unsigned int num_config;
	struct tvq_config_init config[TVQ_CREATE_CONFIG_MAX];
};

/**
 * struct tvq_info - what CREATE and DESCRIBE say of a device
 * @id: device_id
 * @type: virtio device type
 * @vendor: virtio vendor id
 * @features: the feature bits that it offers
 * @name: its name, may be empty
 * @num_vqs: all its virtqueues
 * @num_vectors: size of its interrupt table
 * @status: its device status
 * @has_doorbell: it has a doorbell page
 * @doorbell_offset: where, from the start of the doorbell BAR
 * @config_generation: generation of @config
 * @config_len: size of its configuration space in bytes
 * @config: @config_len bytes, the caller's to free with kfree()
 * @vq_size: @num_vqs sizes, the caller's to free with kfree()
 *
 * Checked: @id is above 0, @name is terminated, @num_vqs is 1 to the limit,
 * @num_vectors is within the limit, no queue size is 0 or above 32768.
 */
struct tvq_info {
	u64 id;
	u32 type;
	u32 vendor;
	u64 features[VIRTIO_TVQ_FEATURES_U64S];
	char name[VIRTIO_TVQ_NAME_LEN];
	u16 num_vqs;
	u16 num_vectors;
	u8 status;
	bool has_doorbell;
	u64 doorbell_offset;
	u32 config_generation;
	u32 config_len;
	u8 *config;
	u16 *vq_size;
};

/* A whole configuration space; @data has room for CONFIG_MAX bytes. */
struct tvq_config {
	u32 generation;
	u32 length;
	u8 status;
	u8 data[VIRTIO_TVQ_CONFIG_MAX];
};

/**
 * struct tvq_shm - where a shared memory region is
 * @bar: of the function, below PCI_STD_NUM_BARS
 * @offset: in it, a multiple of VIRTIO_TVQ_SHM_ALIGN
 * @length: in bytes, likewise, above 0; @offset + @length does not overflow
 */
struct tvq_shm {
	u8 bar;
	u64 offset;
	u64 length;
};

/*
 * So many entries fit into an MSI_SET that every device takes: 4096 bytes, header
 * and range deducted.
 */
#define TVQ_CMD_MSI_MAX		254

struct tvq_msi {
	u64 address;
	u32 data;
	u8 flags;
};

/**
 * struct tvq_cmd_error - what a device said with an ERR
 * @status: VIRTIO_TVQ_STATUS_*, or 0 when it gave no reason
 * @qualifier: VIRTIO_TVQ_Q_*
 */
struct tvq_cmd_error {
	u16 status;
	u16 qualifier;
};

/* How a posted command ends. Called in any context up to hard interrupt. */
typedef void (*tvq_cmd_done_t)(void *ctx, int err);

/* The transport virtqueue's commands on an engine of their own. */
struct tvq_cmdq *tvq_cmdq_create(const struct tvq_link_ops *ops, void *link,
				 unsigned int slots, unsigned int timeout_ms,
				 struct device *dev,
				 void (*broken)(void *priv), void *priv);
void tvq_cmdq_destroy(struct tvq_cmdq *q);
void tvq_cmdq_interrupt(struct tvq_cmdq *q);
void tvq_cmdq_break(struct tvq_cmdq *q);
void tvq_cmdq_halt(struct tvq_cmdq *q);
void tvq_cmdq_revive(struct tvq_cmdq *q);
bool tvq_cmdq_is_broken(struct tvq_cmdq *q);
void tvq_cmdq_show(struct tvq_cmdq *q, struct seq_file *m);

bool tvq_name_valid(const char *name);

int tvq_cmd_nop(struct tvq_cmdq *q);
int tvq_cmd_limits(struct tvq_cmdq *q, struct tvq_limits *limits);
int tvq_cmd_list(struct tvq_cmdq *q, u64 after, struct tvq_list_entry *entries,
		 unsigned int max, u32 *total);
int tvq_cmd_create(struct tvq_cmdq *q, const struct tvq_create *create,
		   struct tvq_info *info, struct tvq_cmd_error *error);
int tvq_cmd_destroy(struct tvq_cmdq *q, u64 id);
int tvq_cmd_describe(struct tvq_cmdq *q, u64 id, struct tvq_info *info);
int tvq_cmd_negotiate(struct tvq_cmdq *q, u64 id, const u64 *features,
		      u8 status, u8 *result);
int tvq_cmd_get_status(struct tvq_cmdq *q, u64 id, u8 *result);
int tvq_cmd_reset(struct tvq_cmdq *q, u64 id);
int tvq_cmd_get_config(struct tvq_cmdq *q, u64 id, struct tvq_config *config);
int tvq_cmd_set_config(struct tvq_cmdq *q, u64 id, u32 offset,
		       const void *data, u32 len, struct tvq_config *config);
int tvq_cmd_get_shm(struct tvq_cmdq *q, u64 id, u8 shm_id, struct tvq_shm *shm);
int tvq_cmd_setup(struct tvq_cmdq *q, u64 id, const struct tvq_vq_setup *vqs,
		  unsigned int num_vqs, const struct tvq_msi *msis,
		  unsigned int num_msi, u16 config_vector);
int tvq_cmd_reset_vq(struct tvq_cmdq *q, u64 id, u16 index);
int tvq_cmd_msi_get(struct tvq_cmdq *q, u64 id, u16 first, u16 count,
		    struct tvq_msi *msis);

int tvq_cmd_post_status(struct tvq_cmdq *q, u64 id, u8 status, gfp_t gfp,
			tvq_cmd_done_t done, void *ctx);
int tvq_cmd_post_notify(struct tvq_cmdq *q, u64 id, u32 data, gfp_t gfp,
			tvq_cmd_done_t done, void *ctx);
int tvq_cmd_post_msi(struct tvq_cmdq *q, u64 id, u16 first, u16 count,
		     const struct tvq_msi *msis, gfp_t gfp,
		     tvq_cmd_done_t done, void *ctx);

#if IS_ENABLED(CONFIG_KUNIT)
unsigned int tvq_cmdq_timeout_ms(const struct tvq_cmdq *q, u16 class);
#endif

#endif /* _VIRTIO_TVQ_CMD_H */
