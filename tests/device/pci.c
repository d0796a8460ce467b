// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * The PCI function.
 *
 * Configuration space is a plain array with a mask of what may be written. The
 * capabilities are laid out once, in pci_init(). Three BARs:
 *
 *	0	common configuration at 0, ISR at 0x1000, notifications at 0x2000
 *	1	MSI-X table at 0, PBA at 0x800
 *	2, 3	doorbell pages, one for each managed device
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <string.h>

#include "log.h"
#include "mdev.h"
#include "tvq.h"

#define BAR_VIRTIO_SIZE		0x4000
#define COMMON_OFFSET		0x0000
#define COMMON_LENGTH		64
#define ISR_OFFSET		0x1000
#define ISR_LENGTH		4
#define NOTIFY_OFFSET		0x2000
#define NOTIFY_MULTIPLIER	4
#define NOTIFY_LENGTH		((TRANSPORT_QUEUE + 1) * NOTIFY_MULTIPLIER)
#define BAR_MSIX_SIZE		0x1000
#define MSIX_PBA_OFFSET		0x800

#define CAP_PM			0x40
#define CAP_MSIX		0x48
#define CAP_COMMON		0x54
#define CAP_ISR			0x64
#define CAP_NOTIFY		0x74
#define CAP_PCI_CFG		0x88
#define CAP_TVQ			0x9c
#define CAP_EXP			0xc0

/* virtio_pci_modern_common_cfg of the specification, to admin_queue_num */
struct common_cfg {
	uint32_t device_feature_select;
	uint32_t device_feature;
	uint32_t driver_feature_select;
	uint32_t driver_feature;
	uint16_t msix_config;
	uint16_t num_queues;
	uint8_t device_status;
	uint8_t config_generation;
	uint16_t queue_select;
	uint16_t queue_size;
	uint16_t queue_msix_vector;
	uint16_t queue_enable;
	uint16_t queue_notify_off;
	uint32_t queue_addr[6];
	uint16_t queue_notify_data;
	uint16_t queue_reset;
	uint16_t admin_queue_index;
	uint16_t admin_queue_num;
} __attribute__((packed));
static_assert(sizeof(struct common_cfg) == COMMON_LENGTH, "common_cfg");

#define COMMON(field)	offsetof(struct common_cfg, field)

static void put16(struct pci *pci, unsigned int at, uint16_t value)
{
	value = htole16(value);
	memcpy(&pci->config[at], &value, sizeof(value));
}

static void put32(struct pci *pci, unsigned int at, uint32_t value)
{
	value = htole32(value);
	memcpy(&pci->config[at], &value, sizeof(value));
}

static uint16_t get16(struct pci *pci, unsigned int at)
{
	uint16_t value;

	memcpy(&value, &pci->config[at], sizeof(value));
	return le16toh(value);
}

static uint32_t get32(struct pci *pci, unsigned int at)
{
	uint32_t value;

	memcpy(&value, &pci->config[at], sizeof(value));
	return le32toh(value);
}

static void allow(struct pci *pci, unsigned int at, uint32_t mask, unsigned int len)
{
	mask = htole32(mask);
	memcpy(&pci->writable[at], &mask, len);
}

static void virtio_cap(struct pci *pci, unsigned int at, uint8_t len, uint8_t type, uint8_t bar,
		       uint32_t offset, uint32_t length)
{
	struct virtio_pci_cap cap = {
		.cap_vndr = PCI_CAP_ID_VNDR,
		.cap_len = len,
		.cfg_type = type,
		.bar = bar,
		.offset = htole32(offset),
		.length = htole32(length),
	};

	memcpy(&pci->config[at], &cap, sizeof(cap));
}

static void link_caps(struct pci *pci)
{
	static const uint8_t order[] = {
		CAP_PM, CAP_EXP, CAP_MSIX, CAP_COMMON, CAP_NOTIFY, CAP_ISR, CAP_PCI_CFG, CAP_TVQ,
	};
	unsigned int i;

	pci->config[PCI_CAPABILITY_LIST] = order[0];
	for (i = 0; i + 1 < sizeof(order); i++)
		pci->config[order[i] + 1] = order[i + 1];
}

static void layout(struct pci *pci)
{
	struct virtio_tvq_pci_cap cap = {
		.cap_vndr = PCI_CAP_ID_VNDR,
		.cap_len = sizeof(cap),
		.cfg_type = 9,		/* VIRTIO_PCI_CAP_VENDOR_CFG */
		.vendor_id = htole16(TVQ_VENDOR),
		.version = htole16(VIRTIO_TVQ_CAP_VERSION),
		.magic = htole32(VIRTIO_TVQ_CAP_MAGIC),
		.transport_queue_index = htole16(TRANSPORT_QUEUE),
		.doorbell_bar = BAR_DOORBELL,
		.doorbell_length = htole64((uint64_t)pci->tvq->opt.devices_max *
					   VIRTIO_TVQ_DOORBELL_SIZE),
	};

	memset(pci->config, 0, sizeof(pci->config));
	memset(pci->writable, 0, sizeof(pci->writable));
	put16(pci, PCI_VENDOR_ID, TVQ_VENDOR);
	put16(pci, PCI_DEVICE_ID, VIRTIO_TVQ_PCI_DEVICE_ID);
	put16(pci, PCI_STATUS, PCI_STATUS_CAP_LIST);
	pci->config[PCI_REVISION_ID] = 1;
	pci->config[PCI_CLASS_DEVICE + 1] = 0xff;	/* no class of its own */
	put16(pci, PCI_SUBSYSTEM_VENDOR_ID, TVQ_VENDOR);
	put16(pci, PCI_SUBSYSTEM_ID, VIRTIO_TVQ_PCI_DEVICE_ID);
	allow(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
	      PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE, 2);
	allow(pci, PCI_CACHE_LINE_SIZE, 0xff, 1);
	allow(pci, PCI_INTERRUPT_LINE, 0xff, 1);

	put32(pci, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_32);
	allow(pci, PCI_BASE_ADDRESS_0, ~(uint32_t)(BAR_VIRTIO_SIZE - 1), 4);
	put32(pci, PCI_BASE_ADDRESS_1, PCI_BASE_ADDRESS_MEM_TYPE_32);
	allow(pci, PCI_BASE_ADDRESS_1, ~(uint32_t)(BAR_MSIX_SIZE - 1), 4);
	put32(pci, PCI_BASE_ADDRESS_2,
	      PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	allow(pci, PCI_BASE_ADDRESS_2, ~(uint32_t)(pci->bar_size[BAR_DOORBELL] - 1), 4);
	allow(pci, PCI_BASE_ADDRESS_3, ~(uint32_t)((pci->bar_size[BAR_DOORBELL] - 1) >> 32), 4);

	pci->config[CAP_PM] = PCI_CAP_ID_PM;
	put16(pci, CAP_PM + PCI_PM_PMC, 3);
	put16(pci, CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	allow(pci, CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, 2);

	pci->config[CAP_MSIX] = PCI_CAP_ID_MSIX;
	put16(pci, CAP_MSIX + PCI_MSIX_FLAGS, PCI_VECTORS - 1);
	allow(pci, CAP_MSIX + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	put32(pci, CAP_MSIX + PCI_MSIX_TABLE, BAR_MSIX);
	put32(pci, CAP_MSIX + PCI_MSIX_PBA, MSIX_PBA_OFFSET | BAR_MSIX);

	virtio_cap(pci, CAP_COMMON, 16, VIRTIO_PCI_CAP_COMMON_CFG, BAR_VIRTIO, COMMON_OFFSET,
		   COMMON_LENGTH);
	virtio_cap(pci, CAP_ISR, 16, VIRTIO_PCI_CAP_ISR_CFG, BAR_VIRTIO, ISR_OFFSET, ISR_LENGTH);
	virtio_cap(pci, CAP_NOTIFY, 20, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_VIRTIO, NOTIFY_OFFSET,
		   NOTIFY_LENGTH);
	put32(pci, CAP_NOTIFY + VIRTIO_PCI_NOTIFY_CAP_MULT, NOTIFY_MULTIPLIER);
	virtio_cap(pci, CAP_PCI_CFG, 20, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0);
	allow(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_BAR, 0xff, 1);
	allow(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_OFFSET, 0xffffffff, 4);
	allow(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_LENGTH, 0xffffffff, 4);

	memcpy(&pci->config[CAP_TVQ], &cap, sizeof(cap));

	pci->config[CAP_EXP] = PCI_CAP_ID_EXP;
	put16(pci, CAP_EXP + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	put32(pci, CAP_EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER);
	allow(pci, CAP_EXP + PCI_EXP_DEVCTL, 0x7fff, 2);
	put32(pci, CAP_EXP + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4);
	put16(pci, CAP_EXP + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | 1 << 4);
	allow(pci, CAP_EXP + PCI_EXP_LNKCTL, 0x01fb, 2);
	link_caps(pci);
}

void pci_init(struct pci *pci, struct tvq *tvq)
{
	uint64_t doorbells = (uint64_t)tvq->opt.devices_max * VIRTIO_TVQ_DOORBELL_SIZE;

	memset(pci, 0, sizeof(*pci));
	pci->tvq = tvq;
	pci->bar_size[BAR_VIRTIO] = BAR_VIRTIO_SIZE;
	pci->bar_size[BAR_MSIX] = BAR_MSIX_SIZE;
	for (pci->bar_size[BAR_DOORBELL] = VIRTIO_TVQ_DOORBELL_SIZE;
	     pci->bar_size[BAR_DOORBELL] < doorbells; pci->bar_size[BAR_DOORBELL] *= 2)
		;
	pci->features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) | BIT64(F_RING_INDIRECT) |
			BIT64(F_RING_EVENT_IDX) | BIT64(VIRTIO_F_TRANSPT_VQ);
	layout(pci);
	pci_virtio_reset(pci);
	pci->resetting = false;
}

/* Bus Master Enable, in the power state that allows it. */
static void update_bus_master(struct pci *pci)
{
	bool on = (get16(pci, PCI_COMMAND) & PCI_COMMAND_MASTER) &&
		  !(get16(pci, CAP_PM + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK);

	if (on == pci->tvq->mem.bus_master)
		return;
	mem_set_bus_master(&pci->tvq->mem, on);
	if (on) {
		/* Doorbells may have come in vain, and interrupts be pending. */
		transport_kick(&pci->tvq->transport);
		tvq_kick_all(pci->tvq);
	}
}

/* Reset of the virtio device: nothing is read, written or interrupted behind it. */
void pci_virtio_reset(struct pci *pci)
{
	mem_new_epoch(&pci->tvq->mem);
	vfu_mark_stale(&pci->tvq->vfu);
	transport_disable(&pci->tvq->transport);

	pci->status_before = pci->status;
	pci->resetting = true;
	clock_gettime(CLOCK_MONOTONIC, &pci->reset_deadline);
	pci->reset_deadline.tv_sec++;

	pci->device_feature_select = 0;
	pci->driver_feature_select = 0;
	pci->driver_features = 0;
	memset(pci->driver_features_hi, 0, sizeof(pci->driver_features_hi));
	__atomic_store_n(&pci->status, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&pci->isr, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&pci->msix_config, VIRTIO_MSI_NO_VECTOR, __ATOMIC_RELAXED);
	pci->queue_select = 0;
	memset(&pci->queue, 0, sizeof(pci->queue));
	pci->queue.size = pci->tvq->opt.transport_queue_size;
	pci->queue.vector = VIRTIO_MSI_NO_VECTOR;
	tvq_reset_all(pci->tvq);
}

/* Reset of the function: by the client, by FLR, or because the client is gone. */
void pci_reset(struct pci *pci)
{
	pci_virtio_reset(pci);
	pci->resetting = false;
	layout(pci);
	memset(pci->msix_table, 0, sizeof(pci->msix_table));
	mem_set_bus_master(&pci->tvq->mem, false);
}

/* Tell the driver that configuration has changed. For any thread. */
void pci_config_interrupt(struct pci *pci)
{
	uint16_t vector = __atomic_load_n(&pci->msix_config, __ATOMIC_RELAXED);

	__atomic_add_fetch(&pci->config_generation, 1, __ATOMIC_RELAXED);
	__atomic_or_fetch(&pci->isr, VIRTIO_PCI_ISR_CONFIG, __ATOMIC_RELAXED);
	if (vector != VIRTIO_MSI_NO_VECTOR)
		vfu_irq_raise(&pci->tvq->vfu, vector);
}

/* The transport virtqueue cannot be used until the next reset. For any thread. */
void pci_needs_reset(struct pci *pci)
{
	log_warn("the management device needs a reset");
	__atomic_or_fetch(&pci->status, S_NEEDS_RESET, __ATOMIC_RELAXED);
	pci_config_interrupt(pci);
}

/* Used buffers of a queue of the function. For any thread, in a section. */
void pci_queue_interrupt(struct pci *pci, uint16_t vector)
{
	__atomic_or_fetch(&pci->isr, 1, __ATOMIC_RELAXED);
	if (vector != VIRTIO_MSI_NO_VECTOR)
		vfu_irq_raise(&pci->tvq->vfu, vector);
}

/* Whether the driver is ready for the function's queues to be served. For any thread. */
bool pci_running(struct pci *pci)
{
	uint8_t status = __atomic_load_n(&pci->status, __ATOMIC_RELAXED);

	return (status & S_DRIVER_OK) && !(status & S_NEEDS_RESET);
}

/*
 * The common configuration
 */

static uint8_t read_status(struct pci *pci)
{
	struct timespec now;

	if (pci->resetting) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!pci->status_before || !vfu_stale(&pci->tvq->vfu) ||
		    now.tv_sec > pci->reset_deadline.tv_sec ||
		    (now.tv_sec == pci->reset_deadline.tv_sec &&
		     now.tv_nsec >= pci->reset_deadline.tv_nsec))
			pci->resetting = false;
		else
			return pci->status_before;
	}
	return __atomic_load_n(&pci->status, __ATOMIC_RELAXED);
}

static void common_read(struct pci *pci, uint64_t offset, void *buf, uint32_t len)
{
	struct common_cfg cfg = {
		.device_feature_select = htole32(pci->device_feature_select),
		.driver_feature_select = htole32(pci->driver_feature_select),
		.msix_config = htole16(pci->msix_config),
		.config_generation = __atomic_load_n(&pci->config_generation, __ATOMIC_RELAXED),
		.queue_select = htole16(pci->queue_select),
		.queue_msix_vector = htole16(VIRTIO_MSI_NO_VECTOR),
	};
	unsigned int i;

	if (offset <= COMMON(device_status) && offset + len > COMMON(device_status))
		cfg.device_status = read_status(pci);
	if (pci->device_feature_select < 2)
		cfg.device_feature = htole32(pci->features >> (32 * pci->device_feature_select));
	if (pci->driver_feature_select < 2)
		cfg.driver_feature = htole32(pci->driver_features >>
					     (32 * pci->driver_feature_select));
	else if (pci->driver_feature_select < 4)
		cfg.driver_feature =
			htole32(pci->driver_features_hi[pci->driver_feature_select - 2]);
	if (pci->queue_select == TRANSPORT_QUEUE) {
		cfg.queue_size = htole16(pci->queue.size);
		cfg.queue_msix_vector = htole16(pci->queue.vector);
		cfg.queue_enable = htole16(pci->queue.enable);
		cfg.queue_notify_off = htole16(TRANSPORT_QUEUE);
		for (i = 0; i < 6; i++)
			cfg.queue_addr[i] = htole32(pci->queue.addr[i]);
	}
	memcpy(buf, (uint8_t *)&cfg + offset, len);
}

static void enable_queue(struct pci *pci)
{
	uint32_t *addr = pci->queue.addr;
	uint64_t desc = addr[0] | (uint64_t)addr[1] << 32;
	uint64_t driver = addr[2] | (uint64_t)addr[3] << 32;
	uint64_t device = addr[4] | (uint64_t)addr[5] << 32;

	if (pci->queue.enable || !(pci->status & S_FEATURES_OK))
		return;
	if (transport_enable(&pci->tvq->transport, pci->queue.size, desc, driver, device,
			     pci->queue.vector, pci->driver_features & BIT64(F_RING_EVENT_IDX),
			     pci->driver_features & BIT64(F_RING_INDIRECT))) {
		log_warn("the transport virtqueue cannot be enabled");
		return;
	}
	pci->queue.enable = 1;
}

static void write_status(struct pci *pci, uint8_t status)
{
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) |
				BIT64(VIRTIO_F_TRANSPT_VQ);
	uint8_t set;

	if (!status) {
		pci_virtio_reset(pci);
		return;
	}
	set = status & ~pci->status & ~S_NEEDS_RESET;
	if ((set & S_FEATURES_OK) &&
	    ((pci->driver_features & ~pci->features) || (pci->driver_features & needed) != needed ||
	     pci->driver_features_hi[0] || pci->driver_features_hi[1]))
		set &= ~S_FEATURES_OK;
	if ((set & S_DRIVER_OK) && !((pci->status | set) & S_FEATURES_OK))
		set &= ~S_DRIVER_OK;
	__atomic_or_fetch(&pci->status, set, __ATOMIC_RELAXED);
	log_debug("management device: status %02x", pci->status);
	if (set & S_DRIVER_OK)
		transport_kick(&pci->tvq->transport);
}

static uint16_t checked_vector(uint16_t vector)
{
	return vector < PCI_VECTORS ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void common_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint32_t value = 0;
	bool here = pci->queue_select == TRANSPORT_QUEUE;

	/* The driver may write a 64-bit field in one piece. */
	if (len == 8 && !(offset % 8) && offset >= COMMON(queue_addr) &&
	    offset < COMMON(queue_notify_data)) {
		common_write(pci, offset, buf, 4);
		common_write(pci, offset + 4, (const uint8_t *)buf + 4, 4);
		return;
	}
	if (len > 4)
		return;
	memcpy(&value, buf, len);
	value = le32toh(value);

	switch (offset << 4 | len) {
	case COMMON(device_feature_select) << 4 | 4:
		pci->device_feature_select = value;
		break;
	case COMMON(driver_feature_select) << 4 | 4:
		pci->driver_feature_select = value;
		break;
	case COMMON(driver_feature) << 4 | 4:
		if (pci->status & S_FEATURES_OK)
			break;
		if (pci->driver_feature_select == 0)
			pci->driver_features = (pci->driver_features & ~0xffffffffull) | value;
		else if (pci->driver_feature_select == 1)
			pci->driver_features = (pci->driver_features & 0xffffffffull) |
					       (uint64_t)value << 32;
		else if (pci->driver_feature_select < 4)
			pci->driver_features_hi[pci->driver_feature_select - 2] = value;
		break;
	case COMMON(msix_config) << 4 | 2:
		__atomic_store_n(&pci->msix_config, checked_vector(value), __ATOMIC_RELAXED);
		break;
	case COMMON(device_status) << 4 | 1:
		write_status(pci, value);
		break;
	case COMMON(queue_select) << 4 | 2:
		pci->queue_select = value;
		break;
	case COMMON(queue_size) << 4 | 2:
		if (here && !pci->queue.enable &&
		    vq_size_ok(value, pci->tvq->opt.transport_queue_size))
			pci->queue.size = value;
		break;
	case COMMON(queue_msix_vector) << 4 | 2:
		if (here)
			pci->queue.vector = checked_vector(value);
		break;
	case COMMON(queue_enable) << 4 | 2:
		if (here && value == 1)
			enable_queue(pci);
		break;
	default:
		if (here && !pci->queue.enable && len == 4 && !(offset % 4) &&
		    offset >= COMMON(queue_addr) && offset < COMMON(queue_notify_data))
			pci->queue.addr[(offset - COMMON(queue_addr)) / 4] = value;
		break;
	}
}

/*
 * BARs
 */

static void virtio_bar_read(struct pci *pci, uint64_t offset, uint8_t *buf, uint32_t len)
{
	uint32_t n;

	memset(buf, 0, len);
	if (offset < COMMON_OFFSET + COMMON_LENGTH) {
		n = COMMON_LENGTH - offset;
		common_read(pci, offset, buf, n < len ? n : len);
	}
	/* Reading the ISR byte clears it. */
	if (offset <= ISR_OFFSET && offset + len > ISR_OFFSET)
		buf[ISR_OFFSET - offset] = __atomic_exchange_n(&pci->isr, 0, __ATOMIC_RELAXED);
}

static void virtio_bar_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint16_t index;

	if (offset < COMMON_OFFSET + COMMON_LENGTH) {
		if (len <= COMMON_LENGTH - offset)
			common_write(pci, offset, buf, len);
	} else if (offset == NOTIFY_OFFSET + TRANSPORT_QUEUE * NOTIFY_MULTIPLIER && len >= 2) {
		memcpy(&index, buf, sizeof(index));
		if (le16toh(index) == TRANSPORT_QUEUE)
			transport_kick(&pci->tvq->transport);
	}
}

static void msix_read(struct pci *pci, uint64_t offset, uint8_t *buf, uint32_t len)
{
	uint32_t n;

	memset(buf, 0, len);
	if (offset < sizeof(pci->msix_table)) {
		n = sizeof(pci->msix_table) - offset;
		memcpy(buf, pci->msix_table + offset, n < len ? n : len);
	}
}

/* The client keeps the table that counts; this one is for it to read back. */
static void msix_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint32_t n;

	if (offset < sizeof(pci->msix_table)) {
		n = sizeof(pci->msix_table) - offset;
		memcpy(pci->msix_table + offset, buf, n < len ? n : len);
	}
}

static void doorbell_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint32_t value = 0;

	if (offset % VIRTIO_TVQ_DOORBELL_SIZE || (len != 2 && len != 4))
		return;
	memcpy(&value, buf, len);
	mdev_doorbell(pci->tvq, offset / VIRTIO_TVQ_DOORBELL_SIZE, le32toh(value), len);
}

static void bar_read(struct pci *pci, unsigned int bar, uint64_t offset, void *buf, uint32_t len)
{
	memset(buf, 0, len);
	if (bar == BAR_VIRTIO)
		virtio_bar_read(pci, offset, buf, len);
	else if (bar == BAR_MSIX)
		msix_read(pci, offset, buf, len);
}

static void bar_write(struct pci *pci, unsigned int bar, uint64_t offset, const void *buf,
		      uint32_t len)
{
	if (bar == BAR_VIRTIO)
		virtio_bar_write(pci, offset, buf, len);
	else if (bar == BAR_MSIX)
		msix_write(pci, offset, buf, len);
	else if (bar == BAR_DOORBELL)
		doorbell_write(pci, offset, buf, len);
}

/*
 * Configuration space
 */

/* The window of VIRTIO_PCI_CAP_PCI_CFG. Return: whether it points to something. */
static bool window(struct pci *pci, unsigned int *bar, uint32_t *offset, uint32_t *len)
{
	*bar = pci->config[CAP_PCI_CFG + VIRTIO_PCI_CAP_BAR];
	*offset = get32(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_OFFSET);
	*len = get32(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_LENGTH);
	return *bar < 6 && (*len == 1 || *len == 2 || *len == 4) && !(*offset % *len) &&
	       *offset < pci->bar_size[*bar] && *len <= pci->bar_size[*bar] - *offset;
}

#define WINDOW_DATA	(CAP_PCI_CFG + 16)

static void config_read(struct pci *pci, uint64_t offset, void *buf, uint32_t len)
{
	uint32_t at, n;
	unsigned int bar;

	if (offset <= WINDOW_DATA && offset + len > WINDOW_DATA && window(pci, &bar, &at, &n))
		bar_read(pci, bar, at, &pci->config[WINDOW_DATA], n);
	memcpy(buf, &pci->config[offset], len);
}

static void config_write(struct pci *pci, uint64_t offset, const uint8_t *buf, uint32_t len)
{
	uint8_t data[4] = { 0 };
	unsigned int bar;
	uint32_t at, n, i;
	uint8_t mask;

	for (i = 0; i < len && offset + i < sizeof(pci->writable); i++) {
		mask = pci->writable[offset + i];
		pci->config[offset + i] = (pci->config[offset + i] & ~mask) | (buf[i] & mask);
	}
	if (offset == WINDOW_DATA && window(pci, &bar, &at, &n) && len >= n) {
		memcpy(data, buf, n);
		bar_write(pci, bar, at, data, n);
	}
	i = CAP_EXP + PCI_EXP_DEVCTL + 1;
	if (offset <= i && offset + len > i &&
	    (buf[i - offset] & (PCI_EXP_DEVCTL_BCR_FLR >> 8))) {
		log_info("function-level reset");
		pci_reset(pci);
	}
	update_bus_master(pci);
}

uint64_t pci_region_size(void *dev, unsigned int region)
{
	struct tvq *tvq = dev;

	if (region == VFU_CONFIG)
		return PCI_CONFIG_SIZE;
	return region < 6 ? tvq->pci.bar_size[region] : 0;
}

void pci_region_read(void *dev, unsigned int region, uint64_t offset, void *buf, uint32_t len)
{
	struct tvq *tvq = dev;

	if (region == VFU_CONFIG)
		config_read(&tvq->pci, offset, buf, len);
	else
		bar_read(&tvq->pci, region, offset, buf, len);
}

void pci_region_write(void *dev, unsigned int region, uint64_t offset, const void *buf,
		      uint32_t len)
{
	struct tvq *tvq = dev;

	if (region == VFU_CONFIG)
		config_write(&tvq->pci, offset, buf, len);
	else
		bar_write(&tvq->pci, region, offset, buf, len);
}
