/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * Administration commands of a management device: what <linux/virtio_pci.h> does
 * not have, or has on newer kernels only, and what is an experiment of this
 * project. Documentation/admin.rst says what each does.
 *
 * Everything is little-endian and laid out without padding that is not named.
 */
#ifndef _UAPI_LINUX_VIRTIO_TVQ_ADMIN_H
#define _UAPI_LINUX_VIRTIO_TVQ_ADMIN_H

#include <linux/types.h>
#include <linux/virtio_pci.h>
#ifdef __KERNEL__
#include <linux/build_bug.h>
#else
#include <assert.h>
#endif

#ifndef VIRTIO_ADMIN_GROUP_TYPE_SELF
#define VIRTIO_ADMIN_GROUP_TYPE_SELF		0x0
#endif

/* status: as of errno of Linux, as far as the specification has them */
#define VIRTIO_TVQ_ADMIN_STATUS_ENXIO		6
#define VIRTIO_TVQ_ADMIN_STATUS_EAGAIN		11
#define VIRTIO_TVQ_ADMIN_STATUS_ENOMEM		12
#define VIRTIO_TVQ_ADMIN_STATUS_EBUSY		16
#define VIRTIO_TVQ_ADMIN_STATUS_EEXIST		17
#define VIRTIO_TVQ_ADMIN_STATUS_EINVAL		22
#define VIRTIO_TVQ_ADMIN_STATUS_ENOSPC		28

/* status_qualifier */
#define VIRTIO_TVQ_ADMIN_Q_OK			0x00
#define VIRTIO_TVQ_ADMIN_Q_INVALID_COMMAND	0x01
#define VIRTIO_TVQ_ADMIN_Q_INVALID_OPCODE	0x02
#define VIRTIO_TVQ_ADMIN_Q_INVALID_FIELD	0x03
#define VIRTIO_TVQ_ADMIN_Q_INVALID_GROUP	0x04
#define VIRTIO_TVQ_ADMIN_Q_INVALID_MEMBER	0x05
#define VIRTIO_TVQ_ADMIN_Q_NORESOURCE		0x06
#define VIRTIO_TVQ_ADMIN_Q_TRYAGAIN		0x07

/*
 * Capabilities, resource objects and device parts. Linux has these from 6.14 on,
 * with the same names.
 */
#ifndef VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY
#define VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY		0x7
#define VIRTIO_ADMIN_CMD_DEVICE_CAP_GET			0x8
#define VIRTIO_ADMIN_CMD_DRIVER_CAP_SET			0x9
#define VIRTIO_ADMIN_CMD_RESOURCE_OBJ_CREATE		0xa
#define VIRTIO_ADMIN_CMD_RESOURCE_OBJ_DESTROY		0xd
#define VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_GET		0xe
#define VIRTIO_ADMIN_CMD_DEV_PARTS_GET			0xf
#define VIRTIO_ADMIN_CMD_DEV_PARTS_SET			0x10
#define VIRTIO_ADMIN_CMD_DEV_MODE_SET			0x11

#define VIRTIO_DEV_PARTS_CAP				0x0000

struct virtio_dev_parts_cap {
	__u8 get_parts_resource_objects_limit;
	__u8 set_parts_resource_objects_limit;
};

struct virtio_admin_cmd_cap_get_data {
	__le16 id;
	__u8 reserved[6];
};

struct virtio_admin_cmd_cap_set_data {
	__le16 id;
	__u8 reserved[6];
	__u8 cap_specific_data[];
};

struct virtio_admin_cmd_resource_obj_cmd_hdr {
	__le16 type;
	__u8 reserved[2];
	__le32 id;
};

struct virtio_admin_cmd_resource_obj_create_data {
	struct virtio_admin_cmd_resource_obj_cmd_hdr hdr;
	__le64 flags;
	__u8 resource_obj_specific_data[];
};

#define VIRTIO_RESOURCE_OBJ_DEV_PARTS			0

#define VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET		0
#define VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET		1

struct virtio_resource_obj_dev_parts {
	__u8 type;
	__u8 reserved[7];
};

#define VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_SIZE	0
#define VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_COUNT	1
#define VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_LIST	2

struct virtio_admin_cmd_dev_parts_metadata_data {
	struct virtio_admin_cmd_resource_obj_cmd_hdr hdr;
	__u8 type;
	__u8 reserved[7];
};

#define VIRTIO_DEV_PART_F_OPTIONAL			0

struct virtio_dev_part_hdr {
	__le16 part_type;
	__u8 flags;
	__u8 reserved;
	union {
		struct {
			__le32 offset;
			__le32 reserved;
		} pci_common_cfg;
		struct {
			__le16 index;
			__u8 reserved[6];
		} vq_index;
	} selector;
	__le32 length;
};

struct virtio_dev_part {
	struct virtio_dev_part_hdr hdr;
	__u8 value[];
};

struct virtio_admin_cmd_dev_parts_metadata_result {
	union {
		struct {
			__le32 size;
			__le32 reserved;
		} parts_size;
		struct {
			__le32 count;
			__le32 reserved;
		} hdr_list_count;
		struct {
			__le32 count;
			__le32 reserved;
			struct virtio_dev_part_hdr hdrs[];
		} hdr_list;
	};
};

#define VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_SELECTED	0
#define VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_ALL		1

struct virtio_admin_cmd_dev_parts_get_data {
	struct virtio_admin_cmd_resource_obj_cmd_hdr hdr;
	__u8 type;
	__u8 reserved[7];
	struct virtio_dev_part_hdr hdr_list[];
};

struct virtio_admin_cmd_dev_parts_set_data {
	struct virtio_admin_cmd_resource_obj_cmd_hdr hdr;
	__u8 parts[];			/* struct virtio_dev_part, of any length */
};

#define VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED		0

struct virtio_admin_cmd_dev_mode_set_data {
	__u8 flags;
};
#endif /* VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY */

/*
 * No kernel has these two. The specification gives them twice, the other way
 * round in the table of opcodes; the sections that define the commands count.
 */
#define VIRTIO_ADMIN_CMD_RESOURCE_OBJ_MODIFY		0xb
#define VIRTIO_ADMIN_CMD_RESOURCE_OBJ_QUERY		0xc

/* Parts that the specification defines and no kernel has */
#define VIRTIO_TVQ_DEV_PART_DEV_FEATURES	0x100
#define VIRTIO_TVQ_DEV_PART_DRV_FEATURES	0x101
#define VIRTIO_TVQ_DEV_PART_PCI_COMMON_CFG	0x102
#define VIRTIO_TVQ_DEV_PART_DEVICE_STATUS	0x103
#define VIRTIO_TVQ_DEV_PART_VQ_CFG		0x104
#define VIRTIO_TVQ_DEV_PART_VQ_NOTIFY_CFG	0x105

struct virtio_tvq_dev_part_vq_cfg {
	__le16 queue_size;
	__le16 vector;
	__le16 enabled;
	__le16 reserved;
	__le64 queue_desc;
	__le64 queue_driver;
	__le64 queue_device;
};

static_assert(sizeof(struct virtio_tvq_dev_part_vq_cfg) == 32,
	      "virtio_tvq_dev_part_vq_cfg");

/* What follows is experimental. */

/* The group of the managed devices of a function; the member id is a device_id. */
#define VIRTIO_TVQ_ADMIN_GROUP_MANAGED		0xff00

/* Parts of a managed device, behind those above and in this order */
#define VIRTIO_TVQ_DEV_PART_CONFIG		0xff00
#define VIRTIO_TVQ_DEV_PART_VQ_STATE		0xff01	/* selector: vq_index */
#define VIRTIO_TVQ_DEV_PART_MSI			0xff02
#define VIRTIO_TVQ_DEV_PART_TYPE_STATE		0xff03

/* DEV_PART_CONFIG: this and length bytes */
struct virtio_tvq_dev_part_config {
	__le32 generation;
	__le32 length;
};

static_assert(sizeof(struct virtio_tvq_dev_part_config) == 8,
	      "virtio_tvq_dev_part_config");

/*
 * DEV_PART_VQ_STATE. For a split ring the indices as they count, without end; for
 * a packed one the place in the ring in bits 0 to 14 and the wrap counter in bit 15.
 */
struct virtio_tvq_dev_part_vq_state {
	__le16 next_avail;		/* the next buffer that the device takes */
	__le16 next_used;		/* the next that it gives back */
	__le32 reserved;
};

static_assert(sizeof(struct virtio_tvq_dev_part_vq_state) == 8,
	      "virtio_tvq_dev_part_vq_state");

/* DEV_PART_MSI: this and count entries from 0 on */
#define VIRTIO_TVQ_DEV_PART_MSI_F_MASK		(1u << 0)
#define VIRTIO_TVQ_DEV_PART_MSI_F_PENDING	(1u << 1)
#define VIRTIO_TVQ_DEV_PART_MSI_F_ACTIVE	(1u << 2)

struct virtio_tvq_dev_part_msi_entry {
	__le64 address;
	__le32 data;
	__u8 flags;
	__u8 reserved[3];
};

static_assert(sizeof(struct virtio_tvq_dev_part_msi_entry) == 16,
	      "virtio_tvq_dev_part_msi_entry");

struct virtio_tvq_dev_part_msi {
	__le16 config_vector;
	__le16 count;
	__le32 reserved;
	struct virtio_tvq_dev_part_msi_entry entries[];
};

static_assert(sizeof(struct virtio_tvq_dev_part_msi) == 8,
	      "virtio_tvq_dev_part_msi");

/* Management of members */
#define VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET		0x7f00
#define VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET		0x7f01

#define VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE	0	/* le64[2], not to be set */
#define VIRTIO_TVQ_MEMBER_FEATURES		1	/* le64[2] */
#define VIRTIO_TVQ_MEMBER_MAC			2	/* u8[6] */
#define VIRTIO_TVQ_MEMBER_MTU			3	/* le16, bytes */
#define VIRTIO_TVQ_MEMBER_VQS			4	/* le16, as CREATE counts */
#define VIRTIO_TVQ_MEMBER_VECTORS		5	/* le16; of a VF: MSI-X vectors */
#define VIRTIO_TVQ_MEMBER_VECTORS_TOTAL		6	/* le32, of a VF; not to be set */

/* MEMBER_GET, command specific data; the result is the value, padded to 16 bytes */
struct virtio_tvq_admin_member_get_data {
	__le16 attribute;
	__u8 reserved[6];
};

static_assert(sizeof(struct virtio_tvq_admin_member_get_data) == 8,
	      "virtio_tvq_admin_member_get_data");

/* MEMBER_SET, command specific data; no result */
struct virtio_tvq_admin_member_set_data {
	__le16 attribute;
	__u8 reserved[6];
	__u8 value[16];
};

static_assert(sizeof(struct virtio_tvq_admin_member_set_data) == 24,
	      "virtio_tvq_admin_member_set_data");

#endif /* _UAPI_LINUX_VIRTIO_TVQ_ADMIN_H */
