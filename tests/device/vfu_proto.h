/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* The messages of vfio-user 0.x, in the byte order of the machine. */
#ifndef TVQ_VFU_PROTO_H
#define TVQ_VFU_PROTO_H

#include <stdint.h>

#define VFU_MINOR		0

enum {
	VFU_VERSION		= 1,
	VFU_DMA_MAP		= 2,
	VFU_DMA_UNMAP		= 3,
	VFU_GET_INFO		= 4,
	VFU_GET_REGION_INFO	= 5,
	VFU_GET_REGION_IO_FDS	= 6,
	VFU_GET_IRQ_INFO	= 7,
	VFU_SET_IRQS		= 8,
	VFU_REGION_READ		= 9,
	VFU_REGION_WRITE	= 10,
	VFU_DMA_READ		= 11,
	VFU_DMA_WRITE		= 12,
	VFU_DEVICE_RESET	= 13,
	VFU_REGION_WRITE_MULTI	= 15,
};

#define VFU_F_TYPE		0xfu
#define VFU_F_COMMAND		0u
#define VFU_F_REPLY		1u
#define VFU_F_NO_REPLY		(1u << 4)
#define VFU_F_ERROR		(1u << 5)

struct vfu_hdr {
	uint16_t id;
	uint16_t command;
	uint32_t size;			/* this header included */
	uint32_t flags;
	uint32_t error;
};

struct vfu_version {			/* JSON text follows */
	uint16_t major;
	uint16_t minor;
};

struct vfu_dma_map {
	uint32_t argsz;
	uint32_t flags;			/* MEM_READ, MEM_WRITE */
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};

#define VFU_DMA_UNMAP_ALL	(1u << 1)

struct vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
};

#define VFU_DEVICE_F_RESET	(1u << 0)
#define VFU_DEVICE_F_PCI	(1u << 1)

struct vfu_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

#define VFU_REGION_F_READ	(1u << 0)
#define VFU_REGION_F_WRITE	(1u << 1)
#define VFU_REGION_F_MMAP	(1u << 2)

struct vfu_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

#define VFU_IRQ_F_EVENTFD	(1u << 0)
#define VFU_IRQ_F_MASKABLE	(1u << 1)

struct vfu_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

#define VFU_IRQ_DATA_NONE	(1u << 0)
#define VFU_IRQ_DATA_BOOL	(1u << 1)
#define VFU_IRQ_DATA_EVENTFD	(1u << 2)
#define VFU_IRQ_DATA_MASK	7u
#define VFU_IRQ_ACTION_MASKING	(1u << 3)
#define VFU_IRQ_ACTION_UNMASK	(1u << 4)
#define VFU_IRQ_ACTION_TRIGGER	(1u << 5)
#define VFU_IRQ_ACTION_MASK	(7u << 3)

struct vfu_irq_set {			/* data may follow */
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

struct vfu_region_rw {			/* data may follow */
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

struct vfu_dma_rw {			/* data may follow */
	uint64_t address;
	uint64_t count;
};

#endif
