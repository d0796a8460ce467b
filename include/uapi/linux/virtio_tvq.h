/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * Virtio over a transport virtqueue: the wire format.
 *
 * Everything here is little-endian and laid out without padding that is not
 * named. Documentation/protocol.rst says what each command does, which values
 * are valid, how it fails and what a reset does to it.
 */
#ifndef _UAPI_LINUX_VIRTIO_TVQ_H
#define _UAPI_LINUX_VIRTIO_TVQ_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/build_bug.h>
#else
#include <assert.h>
#endif

/* The feature bit of the management device; the proposal assigns none. */
#define VIRTIO_F_TRANSPT_VQ		44

/* The PCI device id of the reference management device, vendor 0x1af4. */
#define VIRTIO_TVQ_PCI_DEVICE_ID	0x10f0

#define VIRTIO_TVQ_NAME_LEN		32	/* with the terminating NUL */
#define VIRTIO_TVQ_SERIAL_LEN		20
#define VIRTIO_TVQ_NO_VECTOR		0xffff
#define VIRTIO_TVQ_DOORBELL_SIZE	4096
#define VIRTIO_TVQ_FEATURES_U64S	2
#define VIRTIO_TVQ_CONFIG_MAX		4096	/* bytes of configuration space */
#define VIRTIO_TVQ_DEVICE_VQS_MAX	1024

/*
 * The vendor capability of a management device (PCI capability id 0x09, cfg
 * type VIRTIO_PCI_CAP_VENDOR_CFG, vendor_id 0x1af4).
 */
#define VIRTIO_TVQ_CAP_MAGIC		0x51565456	/* "VTVQ" */
#define VIRTIO_TVQ_CAP_VERSION		1

struct virtio_tvq_pci_cap {
	__u8 cap_vndr;
	__u8 cap_next;
	__u8 cap_len;
	__u8 cfg_type;
	__le16 vendor_id;
	__le16 version;
	__le32 magic;
	__le16 transport_queue_index;
	__le16 admin_queue_index;
	__le16 admin_queue_num;
	__u8 doorbell_bar;
	__u8 reserved;
	__le64 doorbell_offset;
	__le64 doorbell_length;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_pci_cap) == 36, "virtio_tvq_pci_cap");

/*
 * A command: this header and the command's own data in the part of the
 * descriptor chain that the device reads; le32 ack and the reply's data in the
 * part that the device writes.
 */
struct virtio_tvq_hdr {
	__le64 device_id;	/* 0 is the management device */
	__le16 class;
	__le16 command;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_hdr) == 12, "virtio_tvq_hdr");

#define VIRTIO_TVQ_OK			0
#define VIRTIO_TVQ_ERR			1

/* What a device may write after an ack that is not VIRTIO_TVQ_OK. */
struct virtio_tvq_error {
	__le16 status;		/* VIRTIO_TVQ_STATUS_* */
	__le16 qualifier;	/* VIRTIO_TVQ_Q_* */
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_error) == 4, "virtio_tvq_error");

/* The values of virtio 1.4's admin command status. */
#define VIRTIO_TVQ_STATUS_OK		0
#define VIRTIO_TVQ_STATUS_ENXIO		6
#define VIRTIO_TVQ_STATUS_EAGAIN	11
#define VIRTIO_TVQ_STATUS_ENOMEM	12
#define VIRTIO_TVQ_STATUS_EBUSY		16
#define VIRTIO_TVQ_STATUS_EEXIST	17
#define VIRTIO_TVQ_STATUS_EINVAL	22
#define VIRTIO_TVQ_STATUS_ENOSPC	28

/* Which part of the command the status is about. */
#define VIRTIO_TVQ_Q_NONE		0
#define VIRTIO_TVQ_Q_COMMAND		1	/* class or command unknown */
#define VIRTIO_TVQ_Q_DEVICE_ID		2
#define VIRTIO_TVQ_Q_LENGTH		3	/* out-data or in-data too short */
#define VIRTIO_TVQ_Q_TYPE		4
#define VIRTIO_TVQ_Q_NAME		5
#define VIRTIO_TVQ_Q_SERIAL		6
#define VIRTIO_TVQ_Q_FEATURES		7
#define VIRTIO_TVQ_Q_VQS		8
#define VIRTIO_TVQ_Q_VECTORS		9
#define VIRTIO_TVQ_Q_CONFIG		10
#define VIRTIO_TVQ_Q_STATE		11	/* not in this device status */
#define VIRTIO_TVQ_Q_QUEUE		12
#define VIRTIO_TVQ_Q_ADDRESS		13
#define VIRTIO_TVQ_Q_RESERVED		14	/* a reserved field is not 0 */
#define VIRTIO_TVQ_Q_DEVICES		15	/* no room for another device */
#define VIRTIO_TVQ_Q_BACKEND		16	/* what stands behind it failed */
#define VIRTIO_TVQ_Q_SHM		17	/* a shared memory region */

/* Classes and commands */
#define VIRTIO_TVQ_CLASS_MGMT		0
#define VIRTIO_TVQ_MGMT_NOP		0
#define VIRTIO_TVQ_MGMT_LIMITS		1
#define VIRTIO_TVQ_MGMT_LIST		2
#define VIRTIO_TVQ_MGMT_CREATE		3
#define VIRTIO_TVQ_MGMT_DESTROY		4	/* device_id is the target */

#define VIRTIO_TVQ_CLASS_DEVICE		1
#define VIRTIO_TVQ_DEVICE_DESCRIBE	0
#define VIRTIO_TVQ_DEVICE_NEGOTIATE	1
#define VIRTIO_TVQ_DEVICE_SET_STATUS	2
#define VIRTIO_TVQ_DEVICE_GET_STATUS	3
#define VIRTIO_TVQ_DEVICE_RESET		4
#define VIRTIO_TVQ_DEVICE_GET_CONFIG	5
#define VIRTIO_TVQ_DEVICE_SET_CONFIG	6
#define VIRTIO_TVQ_DEVICE_GET_SHM	7

#define VIRTIO_TVQ_CLASS_VQ		2
#define VIRTIO_TVQ_VQ_SETUP		0
#define VIRTIO_TVQ_VQ_RESET		1
#define VIRTIO_TVQ_VQ_NOTIFY		2

#define VIRTIO_TVQ_CLASS_MSI		3
#define VIRTIO_TVQ_MSI_SET		0
#define VIRTIO_TVQ_MSI_GET		1

/* MGMT_LIMITS, in-data */
struct virtio_tvq_limits {
	__le32 devices_max;
	__le32 devices_used;
	__le32 vqs_max;
	__le32 vqs_free;
	__le32 vectors_max;
	__le32 vectors_free;
	__le16 device_vqs_max;		/* queues of one device */
	__le16 device_vectors_max;	/* vectors of one device */
	__le16 config_max;		/* bytes of one configuration space */
	__le16 reserved;
	__le32 command_out_max;		/* bytes, header included */
	__le32 command_in_max;		/* bytes, ack included */
	__le64 types[2];		/* bit n: device type n can be created */
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_limits) == 56, "virtio_tvq_limits");

/* MGMT_LIST, out-data */
struct virtio_tvq_list_req {
	__le64 after;			/* ids above this one, 0 for the first page */
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_list_req) == 8, "virtio_tvq_list_req");

/* MGMT_LIST, in-data: this and count entries with rising ids */
struct virtio_tvq_list {
	__le64 generation;
	__le32 total;
	__le32 count;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_list) == 16, "virtio_tvq_list");

struct virtio_tvq_list_entry {
	__le64 device_id;
	__le32 type;
	__le32 reserved;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_list_entry) == 16, "virtio_tvq_list_entry");

/* MGMT_CREATE, out-data: this and num_config of virtio_tvq_config_init */
#define VIRTIO_TVQ_CREATE_F_FEATURES	(1u << 0)	/* features is valid */

struct virtio_tvq_create {
	__le32 type;
	__le32 flags;
	__le16 vqs;			/* net: pairs, others: queues; 0: the device's choice */
	__le16 num_vectors;		/* 0: the device's choice */
	__le16 num_config;
	__le16 reserved;
	__le64 features[VIRTIO_TVQ_FEATURES_U64S];
	__u8 name[VIRTIO_TVQ_NAME_LEN];
	__u8 serial[VIRTIO_TVQ_SERIAL_LEN];
	__le32 reserved2;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_create) == 88, "virtio_tvq_create");

/* One field of the initial configuration space. */
struct virtio_tvq_config_init {
	__le16 offset;
	__le16 length;			/* 1 to 8 */
	__le32 reserved;
	__u8 data[8];			/* the first length bytes, the rest 0 */
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_config_init) == 16, "virtio_tvq_config_init");

/*
 * MGMT_CREATE and DEVICE_DESCRIBE, in-data: this, config_len bytes of
 * configuration space, num_vqs of le16 queue size.
 */
#define VIRTIO_TVQ_DEVICE_F_DOORBELL	(1u << 0)	/* doorbell_offset is valid */

struct virtio_tvq_device_info {
	__le64 device_id;
	__le32 type;
	__le32 vendor;
	__le64 features[VIRTIO_TVQ_FEATURES_U64S];
	__u8 name[VIRTIO_TVQ_NAME_LEN];
	__le16 num_vqs;			/* all queues, the control queue included */
	__le16 num_vectors;
	__u8 status;
	__u8 flags;
	__le16 reserved;
	__le64 doorbell_offset;		/* from the start of the doorbell BAR */
	__le32 config_generation;
	__le32 config_len;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_device_info) == 88, "virtio_tvq_device_info");

/* DEVICE_NEGOTIATE, out-data */
struct virtio_tvq_negotiate {
	__le64 features[VIRTIO_TVQ_FEATURES_U64S];
	__u8 status;
	__u8 reserved[7];
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_negotiate) == 24, "virtio_tvq_negotiate");

/*
 * DEVICE_SET_STATUS, out-data; DEVICE_NEGOTIATE, DEVICE_SET_STATUS,
 * DEVICE_GET_STATUS and DEVICE_RESET, in-data
 */
struct virtio_tvq_status {
	__u8 status;
	__u8 reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_status) == 4, "virtio_tvq_status");

/* DEVICE_GET_CONFIG and DEVICE_SET_CONFIG, in-data: this and length bytes */
struct virtio_tvq_config {
	__le32 generation;
	__le32 length;
	__u8 status;
	__u8 reserved[7];
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_config) == 16, "virtio_tvq_config");

/* DEVICE_SET_CONFIG, out-data: this and length bytes */
struct virtio_tvq_config_write {
	__le32 offset;
	__le32 length;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_config_write) == 8, "virtio_tvq_config_write");

/* What offset and length of a shared memory region are multiples of. */
#define VIRTIO_TVQ_SHM_ALIGN		4096

/* DEVICE_GET_SHM, out-data */
struct virtio_tvq_shm_req {
	__u8 shm_id;
	__u8 reserved[7];
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_shm_req) == 8, "virtio_tvq_shm_req");

/* DEVICE_GET_SHM, in-data */
struct virtio_tvq_shm {
	__u8 bar;			/* 0 to 5 */
	__u8 reserved[7];
	__le64 offset;			/* in bytes from the start of the BAR */
	__le64 length;			/* in bytes, not 0 */
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_shm) == 24, "virtio_tvq_shm");

/* One entry of a managed device's interrupt table. */
#define VIRTIO_TVQ_MSI_F_MASK		(1u << 0)
#define VIRTIO_TVQ_MSI_F_PENDING	(1u << 1)	/* written by the device alone */

struct virtio_tvq_msi_entry {
	__le64 address;
	__le32 data;
	__u8 flags;
	__u8 reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_msi_entry) == 16, "virtio_tvq_msi_entry");

/*
 * MSI_SET, out-data: this and count entries.
 * MSI_GET, out-data: this; in-data: count entries.
 */
struct virtio_tvq_msi_range {
	__le16 first;
	__le16 count;
	__le32 reserved;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_msi_range) == 8, "virtio_tvq_msi_range");

/* VQ_SETUP, out-data: this, num_vqs of virtio_tvq_vq, num_msi entries from 0 on */
struct virtio_tvq_setup {
	__le16 num_vqs;
	__le16 num_msi;
	__le16 config_vector;
	__le16 reserved;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_setup) == 8, "virtio_tvq_setup");

struct virtio_tvq_vq {
	__le16 index;
	__le16 size;
	__le16 vector;
	__le16 reserved;
	__le64 desc;			/* descriptor area */
	__le64 driver;			/* driver area */
	__le64 device;			/* device area */
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_vq) == 32, "virtio_tvq_vq");

/* VQ_RESET, out-data */
struct virtio_tvq_vq_reset {
	__le16 index;
	__le16 reserved;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_vq_reset) == 4, "virtio_tvq_vq_reset");

/* VQ_NOTIFY, out-data: what would be written to the doorbell */
struct virtio_tvq_notify {
	__le32 data;
} __attribute__((packed));
static_assert(sizeof(struct virtio_tvq_notify) == 4, "virtio_tvq_notify");

#endif /* _UAPI_LINUX_VIRTIO_TVQ_H */
