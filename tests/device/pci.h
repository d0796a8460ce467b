/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * The PCI function: configuration space, BARs, the modern virtio-pci layout with
 * a transport virtqueue. All of it runs in the socket thread.
 */
#ifndef TVQ_PCI_H
#define TVQ_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define PCI_CONFIG_SIZE		4096
#define PCI_VECTORS		8

#define BAR_VIRTIO		0	/* common configuration, ISR, notifications */
#define BAR_MSIX		1	/* MSI-X table and PBA */
#define BAR_DOORBELL		2	/* and 3: a page for each managed device */

/* Queues of the function: the transport virtqueue alone, outside num_queues. */
#define TRANSPORT_QUEUE		1

struct tvq;

struct pci {
	struct tvq *tvq;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[256];		/* bits that a client may write */
	uint64_t bar_size[6];
	uint8_t msix_table[16 * PCI_VECTORS];

	/* The common configuration, as the driver has set it */
	uint64_t features;		/* offered */
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint64_t driver_features;
	uint32_t driver_features_hi[2];	/* bits 64 to 127 */
	uint8_t status;
	uint8_t isr;
	uint8_t config_generation;
	uint16_t msix_config;		/* read by other threads too */
	uint16_t queue_select;
	struct {
		uint16_t size;
		uint16_t vector;
		uint16_t enable;
		uint32_t addr[6];	/* desc, driver, device; low and high */
	} queue;

	/* A reset is over when the client has answered all that was sent before. */
	bool resetting;
	uint8_t status_before;
	struct timespec reset_deadline;
};

void pci_init(struct pci *pci, struct tvq *tvq);
void pci_reset(struct pci *pci);
void pci_virtio_reset(struct pci *pci);
void pci_config_interrupt(struct pci *pci);
void pci_needs_reset(struct pci *pci);
void pci_queue_interrupt(struct pci *pci, uint16_t vector);
bool pci_running(struct pci *pci);

uint64_t pci_region_size(void *dev, unsigned int region);
void pci_region_read(void *dev, unsigned int region, uint64_t offset, void *buf, uint32_t len);
void pci_region_write(void *dev, unsigned int region, uint64_t offset, const void *buf,
		      uint32_t len);

#endif
