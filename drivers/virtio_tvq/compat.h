/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that differs between Linux 6.12 and 7.2.
 */
#ifndef _VIRTIO_TVQ_COMPAT_H
#define _VIRTIO_TVQ_COMPAT_H

#include <linux/device.h>
#include <linux/group_cpus.h>
#include <linux/spinlock.h>
#include <linux/version.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci_modern.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_tvq.h>

/* How virtio_blk's requests begin: as in tvq_blk_end_requests(), seen up to 7.2. */
#define TVQ_BLK_REQ_KNOWN	(LINUX_VERSION_CODE < KERNEL_VERSION(7, 3, 0))

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)

/* The driver core keeps driver_override, and its attribute. */
#define TVQ_BUS_DRIVER_OVERRIDE		.driver_override = true,
#define TVQ_HAVE_DRIVER_OVERRIDE_ATTR	0

static inline int tvq_match_override(struct tvq_device *tdev,
				     const struct device_driver *drv)
{
	return device_match_driver_override(&tdev->dev, drv);
}

static inline struct virtqueue *
tvq_vring_create(unsigned int index, unsigned int num,
		 struct virtio_device *vdev, bool ctx,
		 bool (*notify)(struct virtqueue *vq),
		 void (*callback)(struct virtqueue *vq), const char *name,
		 struct device *dma_dev)
{
	union virtio_map map = { .dma_dev = dma_dev };

	return vring_create_virtqueue_map(index, num, SMP_CACHE_BYTES, vdev,
					  true, true, ctx, notify, callback,
					  name, map);
}

static inline int tvq_vdev_reset_prepare(struct virtio_device *vdev)
{
	struct device_driver *drv = vdev->dev.driver;

	/* One half is none. */
	if (drv && !drv_to_virtio(drv)->reset_done)
		return -EOPNOTSUPP;
	return virtio_device_reset_prepare(vdev);
}

static inline int tvq_vdev_reset_done(struct virtio_device *vdev)
{
	return virtio_device_reset_done(vdev);
}

/* What a virtio driver may have for a reset, beside freeze and restore. */
#define TVQ_VIRTIO_RESET_OPS(prepare, done)				\
	.reset_prepare = prepare, .reset_done = done,

/* Features are 128 bits wide. */
#define TVQ_EXTENDED_FEATURES(fn)	.get_extended_features = fn,

static inline void tvq_vdev_get_features(const struct virtio_device *vdev,
					 u64 *features)
{
	virtio_features_copy(features, vdev->features_array);
}

#else

#define VIRTIO_PCI_CAP_VENDOR_CFG	9

#define TVQ_BUS_DRIVER_OVERRIDE
#define TVQ_HAVE_DRIVER_OVERRIDE_ATTR	1

static inline int tvq_match_override(struct tvq_device *tdev,
				     const struct device_driver *drv)
{
	int match = -1;

	/* The core matches without the device lock, so that is no help. */
	spin_lock(&tdev->override_lock);
	if (tdev->driver_override)
		match = !strcmp(tdev->driver_override, drv->name);
	spin_unlock(&tdev->override_lock);
	return match;
}

static inline struct virtqueue *
tvq_vring_create(unsigned int index, unsigned int num,
		 struct virtio_device *vdev, bool ctx,
		 bool (*notify)(struct virtqueue *vq),
		 void (*callback)(struct virtqueue *vq), const char *name,
		 struct device *dma_dev)
{
	return vring_create_virtqueue_dma(index, num, SMP_CACHE_BYTES, vdev,
					  true, true, ctx, notify, callback,
					  name, dma_dev);
}

#define TVQ_VIRTIO_RESET_OPS(prepare, done)
#define TVQ_EXTENDED_FEATURES(fn)

static inline void tvq_vdev_get_features(const struct virtio_device *vdev,
					 u64 *features)
{
	features[0] = vdev->features;
	features[1] = 0;
}

#endif

#ifdef CONFIG_PM_SLEEP

static inline int tvq_vdev_freeze(struct virtio_device *vdev)
{
	struct device_driver *drv = vdev->dev.driver;

	/* The core lets those pass that do not let go of their queues. */
	if (drv && !(drv_to_virtio(drv)->freeze && drv_to_virtio(drv)->restore))
		return -EOPNOTSUPP;
	return virtio_device_freeze(vdev);
}

static inline int tvq_vdev_restore(struct virtio_device *vdev)
{
	return virtio_device_restore(vdev);
}

#else

static inline int tvq_vdev_freeze(struct virtio_device *vdev)
{
	return -EOPNOTSUPP;
}

static inline int tvq_vdev_restore(struct virtio_device *vdev)
{
	return -EOPNOTSUPP;
}

#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)

/*
 * No driver has reset_prepare yet. The freeze of most counts on users that are
 * frozen, too: virtio_net's and virtio_console's free what these look at. That
 * of virtio_blk keeps them waiting, and is what became reset_prepare.
 */
static inline int tvq_vdev_reset_prepare(struct virtio_device *vdev)
{
	if (vdev->id.device != VIRTIO_ID_BLOCK)
		return -EOPNOTSUPP;
	return tvq_vdev_freeze(vdev);
}

static inline int tvq_vdev_reset_done(struct virtio_device *vdev)
{
	return tvq_vdev_restore(vdev);
}

#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)

static inline struct cpumask *tvq_group_cpus_evenly(unsigned int groups,
						    unsigned int *filled)
{
	return group_cpus_evenly(groups, filled);
}

#else

static inline struct cpumask *tvq_group_cpus_evenly(unsigned int groups,
						    unsigned int *filled)
{
	*filled = groups;
	return group_cpus_evenly(groups);
}

#endif

#endif /* _VIRTIO_TVQ_COMPAT_H */
