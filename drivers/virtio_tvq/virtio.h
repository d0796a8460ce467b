/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The personality virtio: what its parts, and tests, may call of each other.
 */
#ifndef _VIRTIO_TVQ_VIRTIO_H
#define _VIRTIO_TVQ_VIRTIO_H

#include <linux/types.h>

struct virtio_device;
struct virtqueue;

/* blk.c */
bool tvq_blk_drives(const struct virtio_device *vdev);
unsigned int tvq_blk_end_requests(struct virtqueue *vq);

#if IS_ENABLED(CONFIG_KUNIT)
void tvq_virtio_assign_vectors(const bool *needs, unsigned int num_vqs,
			       unsigned int num_vectors, u16 *vectors);
#endif

#endif /* _VIRTIO_TVQ_VIRTIO_H */
