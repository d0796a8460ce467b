/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests may call of the personality virtio.
 */
#ifndef _VIRTIO_TVQ_VIRTIO_H
#define _VIRTIO_TVQ_VIRTIO_H

#include <linux/types.h>

#if IS_ENABLED(CONFIG_KUNIT)
void tvq_virtio_assign_vectors(const bool *needs, unsigned int num_vqs,
			       unsigned int num_vectors, u16 *vectors);
#endif

#endif /* _VIRTIO_TVQ_VIRTIO_H */
