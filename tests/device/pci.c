// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * PCI functions.
 *
 * Configuration space is a plain array with a mask of what may be written. The
 * capabilities are laid out by layout(). The BARs:
 *
 *	0	common configuration at 0, ISR at 0x1000, the device's own configuration
 *		at 0x2000, notifications at 0x3000
 *	1	MSI-X table and, behind it, PBA
 *	2, 3	doorbell pages of the management device, one for each managed device
 *	4, 5	shared memory regions: memory that the client can map
 *
 * Extended configuration space has an SR-IOV capability where that is asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"
#include "log.h"
#include "tvq.h"
#include "virtq.h"

#define BAR_VIRTIO_SIZE		0x4000
#define COMMON_OFFSET		0x0000
#define COMMON_LENGTH		64
#define COMMON_LENGTH_SHORT	60	/* without admin_queue_index and admin_queue_num */
#define ISR_OFFSET		0x1000
#define ISR_LENGTH		4
#define DEVICE_OFFSET		0x2000
static_assert(PCI_NOTIFY_OFFSET + PCI_QUEUES_MAX * PCI_NOTIFY_MULTIPLIER == BAR_VIRTIO_SIZE,
	      "notifications end with the BAR");

#define CAP_PM			0x40
#define CAP_MSIX		0x48
#define CAP_COMMON		0x54
#define CAP_ISR			0x64
#define CAP_NOTIFY		0x74
#define CAP_PCI_CFG		0x88
#define CAP_OWN			0x9c	/* the vendor's or the device configuration */
#define CAP_SHM			0xac	/* behind a device configuration */
#define CAP_EXP			0xc4
#define CAP_SRIOV		0x100

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

static uint32_t common_length(const struct pci *pci)
{
	return pci->setup.short_common ? COMMON_LENGTH_SHORT : COMMON_LENGTH;
}

/*
 * Virtual functions on paper: they have no configuration space, no BARs and no
 * place on a bus, and are only known to the owner's admin commands.
 */
static void layout_sriov(struct pci *pci)
{
	put32(pci, CAP_SRIOV, PCI_EXT_CAP_ID_SRIOV | 1 << 16);
	put16(pci, CAP_SRIOV + PCI_SRIOV_INITIAL_VF, pci->setup.total_vfs);
	put16(pci, CAP_SRIOV + PCI_SRIOV_TOTAL_VF, pci->setup.total_vfs);
	put16(pci, CAP_SRIOV + PCI_SRIOV_VF_OFFSET, 1);
	put16(pci, CAP_SRIOV + PCI_SRIOV_VF_STRIDE, 1);
	put16(pci, CAP_SRIOV + PCI_SRIOV_VF_DID, pci->setup.device_id);
	put32(pci, CAP_SRIOV + PCI_SRIOV_SUP_PGSIZE, 1);
	put32(pci, CAP_SRIOV + PCI_SRIOV_SYS_PGSIZE, 1);
	allow(pci, CAP_SRIOV + PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE, 2);
	allow(pci, CAP_SRIOV + PCI_SRIOV_NUM_VF, 0xffff, 2);
}

static void link_caps(struct pci *pci)
{
	static const uint8_t order[] = {
		CAP_PM, CAP_EXP, CAP_MSIX, CAP_COMMON, CAP_NOTIFY, CAP_ISR, CAP_PCI_CFG, CAP_OWN,
		CAP_SHM,
	};
	unsigned int i, num = sizeof(order);

	if (pci->setup.vendor_cap || !pci->setup.shm_length)
		num--;
	if (!pci->config[CAP_OWN])
		num--;
	pci->config[PCI_CAPABILITY_LIST] = order[0];
	for (i = 0; i + 1 < num; i++)
		pci->config[order[i] + 1] = order[i + 1];
}

static void layout(struct pci *pci)
{
	const struct pci_setup *setup = &pci->setup;
	uint64_t doorbell_mask = ~(pci->bar_size[BAR_DOORBELL] - 1);
	uint64_t shm_mask = ~(pci->bar_size[BAR_SHM] - 1);

	memset(pci->config, 0, sizeof(pci->config));
	memset(pci->writable, 0, sizeof(pci->writable));
	put16(pci, PCI_VENDOR_ID, TVQ_VENDOR);
	put16(pci, PCI_DEVICE_ID, setup->device_id);
	put16(pci, PCI_STATUS, PCI_STATUS_CAP_LIST);
	put32(pci, PCI_REVISION_ID, setup->class << 8 | 1);
	put16(pci, PCI_SUBSYSTEM_VENDOR_ID, TVQ_VENDOR);
	put16(pci, PCI_SUBSYSTEM_ID, setup->subsystem_id);
	allow(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
	      PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE, 2);
	allow(pci, PCI_CACHE_LINE_SIZE, 0xff, 1);
	allow(pci, PCI_INTERRUPT_LINE, 0xff, 1);

	put32(pci, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_32);
	allow(pci, PCI_BASE_ADDRESS_0, ~(uint32_t)(BAR_VIRTIO_SIZE - 1), 4);
	put32(pci, PCI_BASE_ADDRESS_1, PCI_BASE_ADDRESS_MEM_TYPE_32);
	allow(pci, PCI_BASE_ADDRESS_1, ~(uint32_t)(pci->bar_size[BAR_MSIX] - 1), 4);
	if (pci->bar_size[BAR_DOORBELL]) {
		put32(pci, PCI_BASE_ADDRESS_2,
		      PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
		allow(pci, PCI_BASE_ADDRESS_2, doorbell_mask, 4);
		allow(pci, PCI_BASE_ADDRESS_3, doorbell_mask >> 32, 4);
	}
	if (pci->bar_size[BAR_SHM]) {
		put32(pci, PCI_BASE_ADDRESS_4,
		      PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
		allow(pci, PCI_BASE_ADDRESS_4, shm_mask, 4);
		allow(pci, PCI_BASE_ADDRESS_5, shm_mask >> 32, 4);
	}

	pci->config[CAP_PM] = PCI_CAP_ID_PM;
	put16(pci, CAP_PM + PCI_PM_PMC, 3);
	put16(pci, CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	allow(pci, CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, 2);

	pci->config[CAP_MSIX] = PCI_CAP_ID_MSIX;
	put16(pci, CAP_MSIX + PCI_MSIX_FLAGS, setup->num_vectors - 1);
	allow(pci, CAP_MSIX + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	put32(pci, CAP_MSIX + PCI_MSIX_TABLE, BAR_MSIX);
	put32(pci, CAP_MSIX + PCI_MSIX_PBA, pci->pba_offset | BAR_MSIX);

	virtio_cap(pci, CAP_COMMON, 16, VIRTIO_PCI_CAP_COMMON_CFG, BAR_VIRTIO, COMMON_OFFSET,
		   common_length(pci));
	virtio_cap(pci, CAP_ISR, 16, VIRTIO_PCI_CAP_ISR_CFG, BAR_VIRTIO, ISR_OFFSET, ISR_LENGTH);
	virtio_cap(pci, CAP_NOTIFY, 20, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_VIRTIO, PCI_NOTIFY_OFFSET,
		   (setup->first_queue + setup->num_queues) * PCI_NOTIFY_MULTIPLIER);
	put32(pci, CAP_NOTIFY + VIRTIO_PCI_NOTIFY_CAP_MULT, PCI_NOTIFY_MULTIPLIER);
	virtio_cap(pci, CAP_PCI_CFG, 20, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0);
	allow(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_BAR, 0xff, 1);
	allow(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_OFFSET, 0xffffffff, 4);
	allow(pci, CAP_PCI_CFG + VIRTIO_PCI_CAP_LENGTH, 0xffffffff, 4);

	if (setup->vendor_cap)
		memcpy(&pci->config[CAP_OWN], setup->vendor_cap, setup->vendor_cap_len);
	else if (setup->config_len)
		virtio_cap(pci, CAP_OWN, 16, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_VIRTIO, DEVICE_OFFSET,
			   setup->config_len);
	/* One region with shmid 0, where the device is the function itself. */
	if (!setup->vendor_cap && setup->shm_length) {
		virtio_cap(pci, CAP_SHM, sizeof(struct virtio_pci_cap64),
			   VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, BAR_SHM, 0, setup->shm_length);
		put32(pci, CAP_SHM + offsetof(struct virtio_pci_cap64, length_hi),
		      setup->shm_length >> 32);
	}

	pci->config[CAP_EXP] = PCI_CAP_ID_EXP;
	put16(pci, CAP_EXP + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	put32(pci, CAP_EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER);
	allow(pci, CAP_EXP + PCI_EXP_DEVCTL, 0x7fff, 2);
	put32(pci, CAP_EXP + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4);
	put16(pci, CAP_EXP + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | 1 << 4);
	allow(pci, CAP_EXP + PCI_EXP_LNKCTL, 0x01fb, 2);
	link_caps(pci);
	if (setup->total_vfs)
		layout_sriov(pci);
}

/* What the SR-IOV capability says now. NumVFs counts while VF Enable is clear. */
static void update_sriov(struct pci *pci)
{
	bool enabled = get16(pci, CAP_SRIOV + PCI_SRIOV_CTRL) & PCI_SRIOV_CTRL_VFE;
	uint16_t num = get16(pci, CAP_SRIOV + PCI_SRIOV_NUM_VF);

	if (!pci->setup.total_vfs)
		return;
	if (pci->vfs_enabled && enabled)
		num = pci->num_vfs;
	if (num > pci->setup.total_vfs)
		num = 0;
	put16(pci, CAP_SRIOV + PCI_SRIOV_NUM_VF, num);
	pci->num_vfs = num;
	if (enabled == pci->vfs_enabled)
		return;
	pci->vfs_enabled = enabled;
	pci->ops->sriov(pci, enabled, enabled ? num : 0);
}

/* The smallest power of 2 that is at least min and value. */
static uint64_t power_of_2(uint64_t min, uint64_t value)
{
	while (min < value)
		min *= 2;
	return min;
}

/* Bus Master Enable, in the power state that allows it. */
static void update_bus_master(struct pci *pci)
{
	bool on = (get16(pci, PCI_COMMAND) & PCI_COMMAND_MASTER) &&
		  !(get16(pci, CAP_PM + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK);

	if (on == pci->mem.bus_master)
		return;
	mem_set_bus_master(&pci->mem, on);
	/* Doorbells may have come in vain, and interrupts be pending. */
	if (on)
		pci->ops->kick(pci);
	else
		log_info("%s: bus mastering is off, memory space %s, status %u", pci->setup.name,
			 get16(pci, PCI_COMMAND) & PCI_COMMAND_MEMORY ? "on" : "off", pci->status);
}

/* Reset of the virtio device: nothing is read, written or interrupted behind it. */
static void virtio_reset(struct pci *pci)
{
	struct pci_queue *queue;
	uint16_t i;

	mem_new_epoch(&pci->mem);
	vfu_mark_stale(&pci->vfu);

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
	for (i = 0; i < pci->setup.num_queues; i++) {
		queue = &pci->queue[i];
		queue->size = queue->size_max;
		__atomic_store_n(&queue->vector, VIRTIO_MSI_NO_VECTOR, __ATOMIC_RELAXED);
		__atomic_store_n(&queue->enable, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&queue->reset, 0, __ATOMIC_RELAXED);
		memset(queue->addr, 0, sizeof(queue->addr));
	}
	pci->ops->reset(pci);
}

/* Reset of the function: by the client, by FLR, or because the client is gone. */
static void function_reset(struct pci *pci)
{
	virtio_reset(pci);
	pci->resetting = false;
	layout(pci);
	update_sriov(pci);
	memset(pci->msix_table, 0, 16 * pci->setup.num_vectors);
	mem_set_bus_master(&pci->mem, false);
}

/* Tell the driver that configuration has changed. For any thread. */
void pci_config_interrupt(struct pci *pci)
{
	uint16_t vector = __atomic_load_n(&pci->msix_config, __ATOMIC_RELAXED);

	__atomic_add_fetch(&pci->config_generation, 1, __ATOMIC_RELAXED);
	__atomic_or_fetch(&pci->isr, VIRTIO_PCI_ISR_CONFIG, __ATOMIC_RELAXED);
	if (vector != VIRTIO_MSI_NO_VECTOR)
		vfu_irq_raise(&pci->vfu, vector);
}

/* The device cannot be used until the next reset. For any thread. */
void pci_needs_reset(struct pci *pci)
{
	log_warn("%s needs a reset", pci->setup.name);
	__atomic_or_fetch(&pci->status, S_NEEDS_RESET, __ATOMIC_RELAXED);
	pci_config_interrupt(pci);
}

/* Used buffers of a queue of the function. For any thread, in a section. */
void pci_queue_interrupt(struct pci *pci, uint16_t vector)
{
	__atomic_or_fetch(&pci->isr, 1, __ATOMIC_RELAXED);
	if (vector != VIRTIO_MSI_NO_VECTOR)
		vfu_irq_raise(&pci->vfu, vector);
}

/* Whether the driver is ready for the function's queues to be served. For any thread. */
bool pci_running(struct pci *pci)
{
	uint8_t status = __atomic_load_n(&pci->status, __ATOMIC_RELAXED);

	return (status & S_DRIVER_OK) && !(status & S_NEEDS_RESET);
}

uint16_t pci_queue_vector(struct pci *pci, uint16_t index)
{
	return __atomic_load_n(&pci->queue[index - pci->setup.first_queue].vector,
			       __ATOMIC_RELAXED);
}

void pci_queue_is_reset(struct pci *pci, uint16_t index)
{
	struct pci_queue *queue = &pci->queue[index - pci->setup.first_queue];

	__atomic_store_n(&queue->enable, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&queue->reset, 0, __ATOMIC_RELEASE);
}

/*
 * The common configuration
 */

static uint8_t read_status(struct pci *pci)
{
	struct timespec now;

	if (pci->resetting) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!pci->status_before || !vfu_stale(&pci->vfu) ||
		    now.tv_sec > pci->reset_deadline.tv_sec ||
		    (now.tv_sec == pci->reset_deadline.tv_sec &&
		     now.tv_nsec >= pci->reset_deadline.tv_nsec))
			pci->resetting = false;
		else
			return pci->status_before;
	}
	return __atomic_load_n(&pci->status, __ATOMIC_RELAXED);
}

/* The queue that the driver has selected, or NULL if there is none. */
static struct pci_queue *selected(struct pci *pci)
{
	uint16_t index = pci->queue_select;

	if (index < pci->setup.first_queue ||
	    index - pci->setup.first_queue >= pci->setup.num_queues)
		return NULL;
	return &pci->queue[index - pci->setup.first_queue];
}

static void common_read(struct pci *pci, uint64_t offset, void *buf, uint32_t len)
{
	struct common_cfg cfg = {
		.device_feature_select = htole32(pci->device_feature_select),
		.driver_feature_select = htole32(pci->driver_feature_select),
		.msix_config = htole16(pci->msix_config),
		.num_queues = htole16(pci->setup.hidden_queues ? 0 : pci->setup.num_queues),
		.queue_select = htole16(pci->queue_select),
		.queue_msix_vector = htole16(VIRTIO_MSI_NO_VECTOR),
	};
	struct pci_queue *queue = selected(pci);
	unsigned int i;

	if (offset <= COMMON(device_status) && offset + len > COMMON(device_status))
		cfg.device_status = read_status(pci);
	if (offset <= COMMON(config_generation) && offset + len > COMMON(config_generation) &&
	    pci->ops->refresh)
		pci->ops->refresh(pci);
	cfg.config_generation = __atomic_load_n(&pci->config_generation, __ATOMIC_RELAXED);
	if (pci->device_feature_select < 2)
		cfg.device_feature = htole32(pci->setup.features >>
					     (32 * pci->device_feature_select));
	if (pci->driver_feature_select < 2)
		cfg.driver_feature = htole32(pci->driver_features >>
					     (32 * pci->driver_feature_select));
	else if (pci->driver_feature_select < 4)
		cfg.driver_feature =
			htole32(pci->driver_features_hi[pci->driver_feature_select - 2]);
	cfg.admin_queue_index = htole16(pci->setup.admin_index);
	cfg.admin_queue_num = htole16(pci->setup.admin_num);
	if (queue) {
		cfg.queue_size = htole16(queue->size);
		cfg.queue_msix_vector = htole16(queue->vector);
		/* In this order: a reset that is seen as done has disabled the queue. */
		cfg.queue_reset = htole16(__atomic_load_n(&queue->reset, __ATOMIC_ACQUIRE));
		cfg.queue_enable = htole16(__atomic_load_n(&queue->enable, __ATOMIC_ACQUIRE));
		cfg.queue_notify_off = htole16(pci->queue_select);
		for (i = 0; i < 6; i++)
			cfg.queue_addr[i] = htole32(queue->addr[i]);
	}
	memcpy(buf, (uint8_t *)&cfg + offset, len);
}

static void enable_queue(struct pci *pci, struct pci_queue *queue)
{
	if (__atomic_load_n(&queue->reset, __ATOMIC_ACQUIRE) || queue->enable ||
	    !(pci->status & S_FEATURES_OK))
		return;
	if (pci->ops->enable(pci, pci->queue_select))
		queue->enable = 1;
	else
		log_warn("%s: queue %u cannot be enabled", pci->setup.name, pci->queue_select);
}

static void reset_queue(struct pci *pci, struct pci_queue *queue)
{
	if (!(pci->driver_features & BIT64(F_RING_RESET)) || !pci->ops->reset_queue ||
	    queue->reset || !queue->enable)
		return;
	queue->reset = 1;
	queue->size = queue->size_max;
	__atomic_store_n(&queue->vector, VIRTIO_MSI_NO_VECTOR, __ATOMIC_RELAXED);
	memset(queue->addr, 0, sizeof(queue->addr));
	pci->ops->reset_queue(pci, pci->queue_select);
}

static void write_status(struct pci *pci, uint8_t status)
{
	const uint64_t needed = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM);
	uint64_t features = pci->driver_features;
	uint8_t set;

	if (!status) {
		virtio_reset(pci);
		return;
	}
	set = status & ~pci->status & ~S_NEEDS_RESET;
	if ((set & S_FEATURES_OK) &&
	    ((features & ~pci->setup.features) || (features & needed) != needed ||
	     pci->driver_features_hi[0] || pci->driver_features_hi[1] ||
	     !pci->ops->features_ok(pci, features)))
		set &= ~S_FEATURES_OK;
	if ((set & S_DRIVER_OK) && !((pci->status | set) & S_FEATURES_OK))
		set &= ~S_DRIVER_OK;
	__atomic_or_fetch(&pci->status, set, __ATOMIC_RELAXED);
	log_debug("%s: status %02x", pci->setup.name, pci->status);
	if (set)
		pci->ops->status(pci, set);
}

static uint16_t checked_vector(struct pci *pci, uint16_t vector)
{
	return vector < pci->setup.num_vectors ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void common_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	struct pci_queue *queue = selected(pci);
	uint32_t value = 0;

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
		__atomic_store_n(&pci->msix_config, checked_vector(pci, value),
				 __ATOMIC_RELAXED);
		break;
	case COMMON(device_status) << 4 | 1:
		write_status(pci, value);
		break;
	case COMMON(queue_select) << 4 | 2:
		pci->queue_select = value;
		break;
	case COMMON(queue_size) << 4 | 2:
		if (queue && !queue->enable &&
		    vq_size_ok(value, queue->size_max, pci->driver_features))
			queue->size = value;
		break;
	case COMMON(queue_msix_vector) << 4 | 2:
		if (queue)
			__atomic_store_n(&queue->vector, checked_vector(pci, value),
					 __ATOMIC_RELAXED);
		break;
	case COMMON(queue_enable) << 4 | 2:
		if (queue && value == 1)
			enable_queue(pci, queue);
		break;
	case COMMON(queue_reset) << 4 | 2:
		if (queue && value == 1)
			reset_queue(pci, queue);
		break;
	default:
		if (queue && !queue->enable && len == 4 && !(offset % 4) &&
		    offset >= COMMON(queue_addr) && offset < COMMON(queue_notify_data))
			queue->addr[(offset - COMMON(queue_addr)) / 4] = value;
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
	if (offset < COMMON_OFFSET + common_length(pci)) {
		n = common_length(pci) - offset;
		common_read(pci, offset, buf, n < len ? n : len);
		if (pci->hostile)
			hostile_register(pci->hostile, pci->status & S_DRIVER_OK, buf,
					 n < len ? n : len);
	} else if (offset >= DEVICE_OFFSET && offset < DEVICE_OFFSET + pci->setup.config_len) {
		n = DEVICE_OFFSET + pci->setup.config_len - offset;
		pci->ops->refresh(pci);
		memcpy(buf, pci->device_config + (offset - DEVICE_OFFSET), n < len ? n : len);
	}
	/* Reading the ISR byte clears it. */
	if (offset <= ISR_OFFSET && offset + len > ISR_OFFSET)
		buf[ISR_OFFSET - offset] = __atomic_exchange_n(&pci->isr, 0, __ATOMIC_RELAXED);
}

static void notify_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint32_t data = 0;
	uint64_t index = offset / PCI_NOTIFY_MULTIPLIER;

	if (offset % PCI_NOTIFY_MULTIPLIER || (len != 2 && len != 4) ||
	    index < pci->setup.first_queue ||
	    index - pci->setup.first_queue >= pci->setup.num_queues)
		return;
	memcpy(&data, buf, len);
	pci->ops->notify(pci, index, le32toh(data), len);
}

static void virtio_bar_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint32_t config_len = pci->setup.config_len;

	if (offset < COMMON_OFFSET + common_length(pci)) {
		if (len <= common_length(pci) - offset)
			common_write(pci, offset, buf, len);
	} else if (offset >= PCI_NOTIFY_OFFSET) {
		notify_write(pci, offset - PCI_NOTIFY_OFFSET, buf, len);
	} else if (offset >= DEVICE_OFFSET && offset - DEVICE_OFFSET < config_len &&
		   len <= config_len - (offset - DEVICE_OFFSET) && (pci->status & S_FEATURES_OK)) {
		pci->ops->config_write(pci, offset - DEVICE_OFFSET, buf, len);
	}
}

static void msix_read(struct pci *pci, uint64_t offset, uint8_t *buf, uint32_t len)
{
	uint64_t size = 16 * pci->setup.num_vectors;

	memset(buf, 0, len);
	if (offset < size)
		memcpy(buf, pci->msix_table + offset, len < size - offset ? len : size - offset);
}

/* The client keeps the table that counts; this one is for it to read back. */
static void msix_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint64_t size = 16 * pci->setup.num_vectors;

	if (offset < size)
		memcpy(pci->msix_table + offset, buf, len < size - offset ? len : size - offset);
}

static void doorbell_write(struct pci *pci, uint64_t offset, const void *buf, uint32_t len)
{
	uint32_t value = 0;

	if (!pci->ops->doorbell || (len != 2 && len != 4))
		return;
	memcpy(&value, buf, len);
	pci->ops->doorbell(pci, offset, le32toh(value), len);
}

static void bar_read(struct pci *pci, unsigned int bar, uint64_t offset, void *buf, uint32_t len)
{
	memset(buf, 0, len);
	if (bar == BAR_VIRTIO)
		virtio_bar_read(pci, offset, buf, len);
	else if (bar == BAR_MSIX)
		msix_read(pci, offset, buf, len);
	else if (bar == BAR_SHM)
		memcpy(buf, pci->shm + offset, len);
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
	else if (bar == BAR_SHM)
		memcpy(pci->shm + offset, buf, len);
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
	if (pci->hostile)
		hostile_config(pci->hostile, offset, buf, len, CAP_COMMON,
			       CAP_OWN + pci->setup.vendor_cap_len);
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
	update_sriov(pci);
	i = CAP_EXP + PCI_EXP_DEVCTL + 1;
	if (offset <= i && offset + len > i &&
	    (buf[i - offset] & (PCI_EXP_DEVCTL_BCR_FLR >> 8))) {
		log_info("%s: function-level reset", pci->setup.name);
		function_reset(pci);
	}
	update_bus_master(pci);
}

/*
 * What the client asks for
 */

static uint64_t region_size(void *dev, unsigned int region)
{
	struct pci *pci = dev;

	if (region == VFU_CONFIG)
		return PCI_CONFIG_SIZE;
	return region < 6 ? pci->bar_size[region] : 0;
}

static int region_fd(void *dev, unsigned int region)
{
	struct pci *pci = dev;

	return region == BAR_SHM ? pci->shm_fd : -1;
}

static void region_read(void *dev, unsigned int region, uint64_t offset, void *buf, uint32_t len)
{
	struct pci *pci = dev;

	if (region == VFU_CONFIG)
		config_read(pci, offset, buf, len);
	else
		bar_read(pci, region, offset, buf, len);
}

static void region_write(void *dev, unsigned int region, uint64_t offset, const void *buf,
			 uint32_t len)
{
	struct pci *pci = dev;

	if (region == VFU_CONFIG)
		config_write(pci, offset, buf, len);
	else
		bar_write(pci, region, offset, buf, len);
}

static int dma_map(void *dev, uint64_t gpa, uint64_t size, uint64_t offset, unsigned int flags,
		   int fd)
{
	struct pci *pci = dev;
	int ret = mem_map(&pci->mem, gpa, size, offset, flags, fd);

	log_debug("%s: map %#llx+%#llx%s: %d", pci->setup.name, (unsigned long long)gpa,
		  (unsigned long long)size, fd < 0 ? ", by message" : "", ret);
	return ret;
}

static void dma_unmap(void *dev, uint64_t gpa, uint64_t size, bool all)
{
	struct pci *pci = dev;

	log_debug("%s: unmap %#llx+%#llx%s", pci->setup.name, (unsigned long long)gpa,
		  (unsigned long long)size, all ? ", all" : "");
	if (all)
		mem_unmap_all(&pci->mem);
	else
		mem_unmap(&pci->mem, gpa, size);
}

static void device_reset(void *dev)
{
	struct pci *pci = dev;

	log_info("%s: the client resets the function", pci->setup.name);
	function_reset(pci);
}

static void disconnected(void *dev)
{
	struct pci *pci = dev;

	function_reset(pci);
	mem_unmap_all(&pci->mem);
}

static void written(void *dev, uint16_t id, uint64_t cookie)
{
	struct pci *pci = dev;

	if (pci->ops->written)
		pci->ops->written(pci, id, cookie);
}

static const struct vfu_ops vfu_ops = {
	.region_size = region_size,
	.region_fd = region_fd,
	.region_read = region_read,
	.region_write = region_write,
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
	.reset = device_reset,
	.disconnected = disconnected,
	.written = written,
};

/* Behind pci_init(), before there is a client. */
void pci_set_queue_size(struct pci *pci, uint16_t index, uint16_t size)
{
	struct pci_queue *queue = &pci->queue[index - pci->setup.first_queue];

	queue->size_max = size;
	queue->size = size;
}

/* How the driver wants a queue to be, when it enables it. */
void pci_queue_setup(struct pci *pci, uint16_t index, struct vq_setup *setup)
{
	const struct pci_queue *queue = &pci->queue[index - pci->setup.first_queue];

	*setup = (struct vq_setup){
		.size = queue->size,
		.desc = queue->addr[0] | (uint64_t)queue->addr[1] << 32,
		.driver = queue->addr[2] | (uint64_t)queue->addr[3] << 32,
		.device = queue->addr[4] | (uint64_t)queue->addr[5] << 32,
		.features = pci->driver_features,
	};
}

/* Memory of a size that nobody can change: the client gets the file. */
static int make_shm(struct pci *pci, uint64_t size)
{
	pci->shm_fd = memfd_create("tvq-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (pci->shm_fd < 0 || ftruncate(pci->shm_fd, size) ||
	    fcntl(pci->shm_fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return -errno;
	pci->shm = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, pci->shm_fd, 0);
	if (pci->shm == MAP_FAILED) {
		pci->shm = NULL;
		return -errno;
	}
	pci->bar_size[BAR_SHM] = size;
	return 0;
}

static void free_shm(struct pci *pci)
{
	if (pci->shm)
		munmap(pci->shm, pci->bar_size[BAR_SHM]);
	if (pci->shm_fd >= 0)
		close(pci->shm_fd);
}

int pci_init(struct pci *pci, const struct pci_setup *setup)
{
	uint16_t i;

	memset(pci, 0, sizeof(*pci));
	pci->setup = *setup;
	pci->ops = setup->ops;
	pci->shm_fd = -1;
	mem_init(&pci->mem);
	pci->msix_table = calloc(setup->num_vectors, 16);
	pci->queue = calloc(setup->num_queues, sizeof(*pci->queue));
	if (!pci->msix_table || !pci->queue ||
	    (setup->shm_length && make_shm(pci, power_of_2(4096, setup->shm_length))) ||
	    vfu_init(&pci->vfu, &vfu_ops, pci, setup->num_vectors)) {
		free_shm(pci);
		free(pci->msix_table);
		free(pci->queue);
		mem_exit(&pci->mem);
		return -ENOMEM;
	}
	for (i = 0; i < setup->num_queues; i++)
		pci->queue[i].vector = VIRTIO_MSI_NO_VECTOR;
	pci->msix_config = VIRTIO_MSI_NO_VECTOR;
	pci->pba_offset = power_of_2(0x800, 16 * setup->num_vectors);
	pci->bar_size[BAR_VIRTIO] = BAR_VIRTIO_SIZE;
	pci->bar_size[BAR_MSIX] = 2 * pci->pba_offset;
	if (setup->doorbell_length)
		pci->bar_size[BAR_DOORBELL] = power_of_2(4096, setup->doorbell_length);
	layout(pci);
	return 0;
}

void pci_exit(struct pci *pci)
{
	vfu_exit(&pci->vfu);
	mem_exit(&pci->mem);
	free_shm(pci);
	free(pci->msix_table);
	free(pci->queue);
}
