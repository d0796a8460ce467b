// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of a disk whose device does not give them back.
 *
 * virtio_blk has no timeout and never ends a request itself: whoever waits for one
 * waits for ever, and so does its remove, which waits for them. On a transport where
 * a device can fail alone that will not do. So when it is certain that the device does
 * not access memory any more, the transport ends them in its place.
 *
 * The ring knows what the driver has put into it: the struct virtblk_req behind each
 * request. virtqueue_detach_unused_buf() tells them from what the virtio core keeps of it for
 * itself, and nothing that the device can write: so there are no indices to check nor
 * to disagree with. A request that is not there is the driver's, who ends it: it was taken
 * from the ring, or refused by a broken one.
 *
 * Its status byte, which the device would have written, is where the
 * in-header begins, right behind the out-header, since Linux 6.3.
 */
#include <linux/blk-mq.h>
#include <linux/compiler.h>
#include <linux/rcupdate.h>
#include <linux/virtio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "compat.h"
#include "virtio.h"

/* The beginning of virtio_blk's struct virtblk_req. */
struct tvq_blk_req {
	struct virtio_blk_outhdr out_hdr;
	union {
		u8 status;
		struct {
			__virtio64 sector;
			u8 status;
		} zone_append;
	} in_hdr;
};

/**
 * tvq_blk_drives() - is it virtio_blk that drives this device
 * @vdev: virtio device that has, or may be losing, a driver
 *
 * Context: any.
 * Return: true if so, in the form that this file knows.
 */
bool tvq_blk_drives(const struct virtio_device *vdev)
{
	const struct device_driver *drv = READ_ONCE(vdev->dev.driver);

	return TVQ_BLK_REQ_KNOWN && vdev->id.device == VIRTIO_ID_BLOCK && drv &&
	       !strcmp(drv->name, "virtio_blk");
}

/**
 * tvq_blk_end_requests() - end all requests of a queue with an I/O error
 * @vq: virtqueue of a device that tvq_blk_drives(), broken; no callback of it runs,
 *	and the device does not access memory any more
 *
 * Context: process, may sleep.
 * Return: how many they were.
 */
unsigned int tvq_blk_end_requests(struct virtqueue *vq)
{
	struct tvq_blk_req *vbr;
	struct request *req;
	unsigned int n = 0;

	/*
	 * Who has seen the queue before it was broken may still be adding to it, or
	 * polling it, under a spinlock of virtio_blk's: RCU waits for that, too.
	 */
	synchronize_rcu();
	while ((vbr = virtqueue_detach_unused_buf(vq))) {
		req = blk_mq_rq_from_pdu(vbr);
		if (req_op(req) == REQ_OP_ZONE_APPEND)
			vbr->in_hdr.zone_append.status = VIRTIO_BLK_S_IOERR;
		else
			vbr->in_hdr.status = VIRTIO_BLK_S_IOERR;
		blk_mq_complete_request(req);
		n++;
	}
	return n;
}
