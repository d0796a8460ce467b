// SPDX-License-Identifier: GPL-2.0
/*
 * The management device's PCI function: the modern virtio-pci layout by the
 * kernel's own library, the transport and admin virtqueues, and the function's
 * vectors.
 */
#include <linux/delay.h>
#include <linux/error-injection.h>
#include <linux/interrupt.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci_modern.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_tvq.h>
#include <kunit/visibility.h>

#include "bus.h"
#include "compat.h"
#include "mgmt.h"

#define TVQ_PCI_RESET_MS	10000

/*
 * Vectors of the function itself: these two, which have to be there, and one for each
 * admin virtqueue as far as there are more. These share what is left; without any,
 * they share the transport virtqueue's.
 */
enum tvq_pci_vector {
	TVQ_PCI_VECTOR_CONFIG,
	TVQ_PCI_VECTOR_TRANSPORT,
	TVQ_PCI_VECTOR_ADMIN,
	TVQ_PCI_MIN_VECTORS = TVQ_PCI_VECTOR_ADMIN
};

/* More admin virtqueues are of no use, and are left alone. */
#define TVQ_PCI_ADMIN_VQS_MAX	64

/* The transport virtqueue comes first, the admin virtqueues behind it. */
#define TVQ_PCI_VQ_TRANSPORT	0
#define TVQ_PCI_VQ_ADMIN	1

static unsigned int timeout_ms;
module_param(timeout_ms, uint, 0444);
MODULE_PARM_DESC(timeout_ms,
		 "Deadline of a command in milliseconds, 10 to 600000 (default 0: 10000, or 30000 for commands that create, destroy or list devices, and for admin commands)");

/**
 * struct tvq_pci_vq - a virtqueue of the function
 * @tp: the function
 * @vq: the virtqueue, or NULL
 * @index: its index
 * @irq: the Linux interrupt of its vector, shared or not
 */
struct tvq_pci_vq {
	struct tvq_pci *tp;
	struct virtqueue *vq;
	u16 index;
	int irq;
};

/**
 * struct tvq_pci - a management function
 * @mdev: the modern virtio-pci layout
 * @vdev: never registered: the rings want one, for its features and its parent
 * @transport_index: index of the transport virtqueue
 * @cap_admin: where the admin virtqueues are, as of the vendor capability
 * @vqs: the function's virtqueues
 * @num_vqs: how many; 0 until the function was first set up
 * @doorbell_bar: the BAR with the doorbell pages, or -1
 * @doorbell_region: @doorbell_bar was requested here
 * @doorbells: mapping of the doorbell pages, or NULL
 * @doorbells_offset: where in the BAR it begins
 * @doorbells_len: its length in bytes
 * @num_irqs: vectors whose interrupt is requested
 * @mgmt: what is behind the queue
 */
struct tvq_pci {
	struct virtio_pci_modern_device mdev;
	struct virtio_device vdev;
	u16 transport_index;
	struct tvq_pci_place cap_admin;
	struct tvq_pci_vq *vqs;
	unsigned int num_vqs;
	int doorbell_bar;
	bool doorbell_region;
	void __iomem *doorbells;
	u64 doorbells_offset;
	u64 doorbells_len;
	unsigned int num_irqs;
	struct tvq_mgmt *mgmt;
};

static struct pci_dev *tvq_pci_dev(struct tvq_pci *tp)
{
	return tp->mdev.pci_dev;
}

/* The link: the ring of one virtqueue. */

static int tvq_pci_post(void *link, const void *out, size_t out_len, void *in,
			size_t in_len, void *tag)
{
	struct tvq_pci_vq *q = link;
	struct scatterlist sg_out, sg_in;
	struct scatterlist *sgs[] = { &sg_out, &sg_in };
	int err;

	sg_init_one(&sg_out, out, out_len);
	sg_init_one(&sg_in, in, in_len);
	err = virtqueue_add_sgs(q->vq, sgs, 1, 1, tag,
				GFP_ATOMIC | __GFP_NOWARN);
	if (err)
		return err;
	/*
	 * If the notification fails the command is in the ring all the same:
	 * its deadline will tell.
	 */
	virtqueue_kick(q->vq);
	return 0;
}

/* A mapping that fails, or a broken ring, cannot be had in another way. */
ALLOW_ERROR_INJECTION(tvq_pci_post, ERRNO);

static void *tvq_pci_poll(void *link, u32 *used)
{
	struct tvq_pci_vq *q = link;
	void *tag;

	do {
		tag = virtqueue_get_buf(q->vq, used);
	} while (!tag && !virtqueue_enable_cb(q->vq) &&
		 !virtqueue_is_broken(q->vq));
	/* By the library, which the device has told what can't be true. */
	if (!tag && virtqueue_is_broken(q->vq))
		return ERR_PTR(-EIO);
	return tag;
}

static void tvq_pci_stop(void *link)
{
	struct tvq_pci_vq *q = link;

	__virtqueue_break(q->vq);
}

static void tvq_pci_forget(void *link)
{
	struct tvq_pci_vq *q = link;

	/* There may be none, if the function could not be taken up again. */
	while (q->vq && virtqueue_detach_unused_buf(q->vq))
		;
}

static const struct tvq_link_ops tvq_pci_link_ops = {
	.post = tvq_pci_post,
	.poll = tvq_pci_poll,
	.stop = tvq_pci_stop,
	.forget = tvq_pci_forget,
};

static bool tvq_pci_present(void *link)
{
	return pci_device_is_present(tvq_pci_dev(link));
}

static bool tvq_pci_needs_reset(void *link)
{
	struct tvq_pci *tp = link;
	u8 status = vp_modern_get_status(&tp->mdev);

	/* All ones is a function that is not there, which is another matter. */
	return status != 0xff && status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void tvq_pci_cut_off(void *link)
{
	pci_clear_master(tvq_pci_dev(link));
}

static bool tvq_pci_notify(struct virtqueue *vq)
{
	iowrite16(vq->index, (void __iomem *)vq->priv);
	return true;
}

static void tvq_pci_transport_callback(struct virtqueue *vq)
{
	struct tvq_pci *tp = container_of(vq->vdev, struct tvq_pci, vdev);

	tvq_mgmt_interrupt(tp->mgmt);
}

static void tvq_pci_admin_callback(struct virtqueue *vq)
{
	struct tvq_pci *tp = container_of(vq->vdev, struct tvq_pci, vdev);

	tvq_mgmt_admin_interrupt(tp->mgmt,
				 vq->index - tp->vqs[TVQ_PCI_VQ_ADMIN].index);
}

/*
 * Always handled: nobody else has this vector, and from one that comes for nothing too
 * often the interrupt core would take it away, and with it the answers to come.
 */
static irqreturn_t tvq_pci_vq_interrupt(int irq, void *data)
{
	struct tvq_pci *tp = data;
	unsigned int i;

	for (i = 0; i < tp->num_vqs; i++)
		if (tp->vqs[i].irq == irq)
			vring_interrupt(irq, tp->vqs[i].vq);
	return IRQ_HANDLED;
}

static irqreturn_t tvq_pci_config_interrupt(int irq, void *data)
{
	struct tvq_pci *tp = data;

	tvq_mgmt_config_interrupt(tp->mgmt);
	return IRQ_HANDLED;
}

/* Ids above 0x1040 are virtio's; ours is beyond those that virtio-pci takes. */
static int tvq_pci_device_id_check(struct pci_dev *pdev)
{
	if (pdev->device < 0x1040)
		return -ENODEV;
	return pdev->device - 0x1040;
}

static bool tvq_pci_ranges_overlap(u64 a, u64 a_len, u64 b, u64 b_len)
{
	return a < b + b_len && b < a + a_len;
}

/* Does the doorbell part of its BAR overlap the MSI-X table or the PBA? */
static bool tvq_pci_overlaps_msix(struct tvq_pci *tp)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	u32 table, pba, num;
	u16 flags;

	if (!pdev->msix_cap)
		return false;
	pci_read_config_word(pdev, pdev->msix_cap + PCI_MSIX_FLAGS, &flags);
	pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_TABLE, &table);
	pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_PBA, &pba);
	num = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
	if ((table & PCI_MSIX_TABLE_BIR) == tp->doorbell_bar &&
	    tvq_pci_ranges_overlap(tp->doorbells_offset, tp->doorbells_len,
				   table & PCI_MSIX_TABLE_OFFSET,
				   num * PCI_MSIX_ENTRY_SIZE))
		return true;
	return (pba & PCI_MSIX_PBA_BIR) == tp->doorbell_bar &&
	       tvq_pci_ranges_overlap(tp->doorbells_offset, tp->doorbells_len,
				      pba & PCI_MSIX_PBA_OFFSET,
				      DIV_ROUND_UP(num, 64) * 8);
}

/* Does it overlap one of the virtio structures? */
static bool tvq_pci_overlaps_virtio(struct tvq_pci *tp)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	u32 offset, length;
	u8 type, bar;
	int pos;

	for (pos = pci_find_capability(pdev, PCI_CAP_ID_VNDR); pos;
	     pos = pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR)) {
		pci_read_config_byte(pdev, pos + VIRTIO_PCI_CAP_CFG_TYPE, &type);
		pci_read_config_byte(pdev, pos + VIRTIO_PCI_CAP_BAR, &bar);
		if (type == VIRTIO_PCI_CAP_VENDOR_CFG ||
		    type == VIRTIO_PCI_CAP_PCI_CFG || bar != tp->doorbell_bar)
			continue;
		pci_read_config_dword(pdev, pos + VIRTIO_PCI_CAP_OFFSET,
				      &offset);
		pci_read_config_dword(pdev, pos + VIRTIO_PCI_CAP_LENGTH,
				      &length);
		if (tvq_pci_ranges_overlap(tp->doorbells_offset,
					   tp->doorbells_len, offset, length))
			return true;
	}
	return false;
}

/*
 * The BARs in which shared memory regions may be: memory that has nothing else
 * in it. A BAR with virtio structures or doorbells is claimed as a whole here, so
 * that no driver could claim a region in it.
 */
static void tvq_pci_find_shm_bars(struct tvq_pci *tp, struct resource **bars)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	u32 table, pba;
	int bar;

	pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_TABLE, &table);
	pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_PBA, &pba);
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if (pci_resource_flags(pdev, bar) & IORESOURCE_MEM &&
		    pci_resource_len(pdev, bar) &&
		    !(tp->mdev.modern_bars & BIT(bar)) &&
		    !(tp->doorbells_len && bar == tp->doorbell_bar) &&
		    bar != (table & PCI_MSIX_TABLE_BIR) &&
		    bar != (pba & PCI_MSIX_PBA_BIR))
			bars[bar] = pci_resource_n(pdev, bar);
}

/* Find the vendor capability and check all that it says. */
static int tvq_pci_read_cap(struct tvq_pci *tp)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	struct virtio_tvq_pci_cap cap;
	unsigned int i;
	u32 *dword;
	u8 type;
	int pos;

	for (pos = pci_find_capability(pdev, PCI_CAP_ID_VNDR); pos;
	     pos = pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR)) {
		pci_read_config_byte(pdev, pos + VIRTIO_PCI_CAP_CFG_TYPE, &type);
		if (type != VIRTIO_PCI_CAP_VENDOR_CFG)
			continue;
		dword = (u32 *)&cap;
		for (i = 0; i < sizeof(cap) / sizeof(*dword); i++) {
			pci_read_config_dword(pdev, pos + i * sizeof(*dword),
					      &dword[i]);
			cpu_to_le32s(&dword[i]);
		}
		if (le32_to_cpu(cap.magic) == VIRTIO_TVQ_CAP_MAGIC)
			break;
	}
	if (!pos) {
		dev_err(&pdev->dev, "no transport virtqueue capability\n");
		return -ENODEV;
	}
	if (cap.cap_len < sizeof(cap) ||
	    le16_to_cpu(cap.vendor_id) != PCI_VENDOR_ID_REDHAT_QUMRANET ||
	    le16_to_cpu(cap.version) != VIRTIO_TVQ_CAP_VERSION) {
		dev_err(&pdev->dev,
			"transport virtqueue capability of version %u is not one that this driver knows\n",
			le16_to_cpu(cap.version));
		return -ENODEV;
	}

	tp->transport_index = le16_to_cpu(cap.transport_queue_index);
	tp->cap_admin.index = le16_to_cpu(cap.admin_queue_index);
	tp->cap_admin.num = le16_to_cpu(cap.admin_queue_num);
	if (tp->transport_index < vp_modern_get_num_queues(&tp->mdev)) {
		dev_err(&pdev->dev,
			"transport virtqueue %u is among the other queues\n",
			tp->transport_index);
		return -EINVAL;
	}

	tp->doorbell_bar = cap.doorbell_bar;
	tp->doorbells_offset = le64_to_cpu(cap.doorbell_offset);
	tp->doorbells_len = le64_to_cpu(cap.doorbell_length);
	if (!tp->doorbells_len)
		return 0;
	if (tp->doorbell_bar >= PCI_STD_NUM_BARS ||
	    !(pci_resource_flags(pdev, tp->doorbell_bar) & IORESOURCE_MEM) ||
	    !IS_ALIGNED(tp->doorbells_offset, VIRTIO_TVQ_DOORBELL_SIZE) ||
	    !IS_ALIGNED(tp->doorbells_len, VIRTIO_TVQ_DOORBELL_SIZE) ||
	    tp->doorbells_len > pci_resource_len(pdev, tp->doorbell_bar) ||
	    tp->doorbells_offset > pci_resource_len(pdev, tp->doorbell_bar) -
				   tp->doorbells_len ||
	    tvq_pci_overlaps_msix(tp) || tvq_pci_overlaps_virtio(tp)) {
		dev_err(&pdev->dev,
			"doorbells at %#llx+%#llx of BAR %d can't be there\n",
			tp->doorbells_offset, tp->doorbells_len,
			tp->doorbell_bar);
		return -EINVAL;
	}
	return 0;
}

static int tvq_pci_map_doorbells(struct tvq_pci *tp)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	int err;

	if (!tp->doorbells_len)
		return 0;
	/* The library has requested the BARs of the virtio structures. */
	if (!(tp->mdev.modern_bars & BIT(tp->doorbell_bar))) {
		err = pci_request_region(pdev, tp->doorbell_bar,
					 "virtio_tvq doorbells");
		if (err)
			return err;
		tp->doorbell_region = true;
	}
	tp->doorbells = pci_iomap_range(pdev, tp->doorbell_bar,
					tp->doorbells_offset,
					tp->doorbells_len);
	return tp->doorbells ? 0 : -ENOMEM;
}

static void tvq_pci_unmap_doorbells(struct tvq_pci *tp)
{
	if (tp->doorbells)
		pci_iounmap(tvq_pci_dev(tp), tp->doorbells);
	tp->doorbells = NULL;
	if (tp->doorbell_region)
		pci_release_region(tvq_pci_dev(tp), tp->doorbell_bar);
	tp->doorbell_region = false;
}

/*
 * Reset the function and with it all managed devices. With bus mastering off
 * afterwards, not even a device that does not obey touches memory.
 */
static int tvq_pci_reset(struct tvq_pci *tp)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	u8 status;
	int err;

	vp_modern_set_status(&tp->mdev, 0);
	err = read_poll_timeout(vp_modern_get_status, status,
				!status || (status == 0xff &&
					    !pci_device_is_present(pdev)),
				1000, TVQ_PCI_RESET_MS * 1000, false,
				&tp->mdev);
	if (err)
		dev_err(&pdev->dev, "does not reset, status %#x\n", status);
	else if (status)
		err = -ENODEV;
	return err;
}

/**
 * tvq_pci_wanted() - what to take of the features that the function offers
 * @offered: these
 * @sriov: it has an SR-IOV capability, too; a function may offer the feature while
 *	whatever is between it and us hides that
 *
 * Context: any.
 * Return: the features, or 0 where one that has to be there is not.
 */
VISIBLE_IF_KUNIT u64 tvq_pci_wanted(u64 offered, bool sriov)
{
	const u64 required = BIT_ULL(VIRTIO_F_TRANSPT_VQ) |
			     BIT_ULL(VIRTIO_F_VERSION_1) |
			     BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	const u64 optional = BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
			     BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
			     BIT_ULL(VIRTIO_F_ADMIN_VQ) |
			     BIT_ULL(VIRTIO_F_ORDER_PLATFORM);

	if ((offered & required) != required)
		return 0;
	return offered & (required | optional |
			  (sriov ? BIT_ULL(VIRTIO_F_SR_IOV) : 0));
}
EXPORT_SYMBOL_IF_KUNIT(tvq_pci_wanted);

static int tvq_pci_negotiate(struct tvq_pci *tp)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	bool sriov = pci_find_ext_capability(pdev, PCI_EXT_CAP_ID_SRIOV);
	u64 offered, features;
	u8 status;

	status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	vp_modern_set_status(&tp->mdev, status);
	offered = vp_modern_get_features(&tp->mdev);
	features = tvq_pci_wanted(offered, sriov);
	if (!features) {
		dev_err(&pdev->dev,
			"features %#llx: a management device has TRANSPT_VQ (bit %d), VERSION_1 and ACCESS_PLATFORM\n",
			offered, VIRTIO_F_TRANSPT_VQ);
		return -ENODEV;
	}
	tp->vdev.features = features;
	vp_modern_set_features(&tp->mdev, features);
	vp_modern_set_status(&tp->mdev, status | VIRTIO_CONFIG_S_FEATURES_OK);
	status = vp_modern_get_status(&tp->mdev);
	if (!(status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		dev_err(&pdev->dev, "refuses features %#llx\n", features);
		return -ENODEV;
	}
	return 0;
}

/**
 * tvq_pci_admin_fits() - can admin virtqueues be where the function says
 * @index: of the first
 * @num: how many
 * @num_queues: of other queues, from 0
 * @transport: index of the transport virtqueue
 *
 * Context: any.
 * Return: true if so.
 */
VISIBLE_IF_KUNIT bool tvq_pci_admin_fits(u16 index, u16 num, u16 num_queues,
					 u16 transport)
{
	return num && index + num <= 65536 && index >= num_queues &&
	       (transport < index || transport - index >= num);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_pci_admin_fits);

/**
 * tvq_pci_admin_place() - which of two says where the admin virtqueues are
 * @common: as of the common configuration, or NULL if that is too short
 * @cap: as of the vendor capability; it does not say if it has none
 *
 * Context: any.
 * Return: one of the two, or NULL if they differ.
 */
VISIBLE_IF_KUNIT const struct tvq_pci_place *
tvq_pci_admin_place(const struct tvq_pci_place *common,
		    const struct tvq_pci_place *cap)
{
	if (!common)
		return cap;
	if (cap->num && (cap->index != common->index || cap->num != common->num))
		return NULL;
	return common;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_pci_admin_place);

/* Where are the admin virtqueues, and how many? */
static int tvq_pci_find_admin(struct tvq_pci *tp, u16 *index, u16 *num)
{
	const unsigned int end = offsetofend(struct virtio_pci_modern_common_cfg,
					     admin_queue_num);
	struct pci_dev *pdev = tvq_pci_dev(tp);
	const struct tvq_pci_place *place;
	struct tvq_pci_place common = {};
	u16 num_queues;

	*index = 0;
	*num = 0;
	if (!__virtio_test_bit(&tp->vdev, VIRTIO_F_ADMIN_VQ))
		return 0;
	if (tp->mdev.common_len >= end) {
		common.index = vp_modern_avq_index(&tp->mdev);
		common.num = vp_modern_avq_num(&tp->mdev);
		place = tvq_pci_admin_place(&common, &tp->cap_admin);
	} else {
		place = tvq_pci_admin_place(NULL, &tp->cap_admin);
	}
	if (!place) {
		dev_err(&pdev->dev,
			"admin virtqueues %u+%u or %u+%u: the common configuration and the vendor capability differ\n",
			common.index, common.num, tp->cap_admin.index,
			tp->cap_admin.num);
		return -EINVAL;
	}
	*index = place->index;
	*num = place->num;
	num_queues = vp_modern_get_num_queues(&tp->mdev);
	if (!tvq_pci_admin_fits(*index, *num, num_queues, tp->transport_index)) {
		dev_err(&pdev->dev,
			"admin virtqueues %u+%u can't be there: %u other queues, transport virtqueue %u\n",
			*index, *num, num_queues, tp->transport_index);
		return -EINVAL;
	}
	*num = min_t(u16, *num, TVQ_PCI_ADMIN_VQS_MAX);
	return 0;
}

/* Room for all queues; what the function says of them lasts beyond its reset. */
static int tvq_pci_alloc_vqs(struct tvq_pci *tp)
{
	unsigned int i;
	u16 index, num;
	int err;

	err = tvq_pci_find_admin(tp, &index, &num);
	if (err)
		return err;
	if (tp->vqs) {
		if (tp->num_vqs == 1 + num &&
		    (!num || tp->vqs[TVQ_PCI_VQ_ADMIN].index == index))
			return 0;
		dev_err(&tvq_pci_dev(tp)->dev,
			"other admin virtqueues after a reset\n");
		return -EINVAL;
	}
	tp->vqs = kcalloc(1 + num, sizeof(*tp->vqs), GFP_KERNEL);
	if (!tp->vqs)
		return -ENOMEM;
	tp->num_vqs = 1 + num;
	for (i = 0; i < tp->num_vqs; i++) {
		tp->vqs[i].tp = tp;
		tp->vqs[i].index = index + i - TVQ_PCI_VQ_ADMIN;
	}
	tp->vqs[TVQ_PCI_VQ_TRANSPORT].index = tp->transport_index;
	return 0;
}

static int tvq_pci_setup_vq(struct tvq_pci_vq *q)
{
	struct tvq_pci *tp = q->tp;
	bool admin = q != &tp->vqs[TVQ_PCI_VQ_TRANSPORT];
	struct virtqueue *vq;
	void __iomem *notify;
	u16 size;

	size = vp_modern_get_queue_size(&tp->mdev, q->index);
	if (size < 4 || !is_power_of_2(size)) {
		dev_err(&tvq_pci_dev(tp)->dev, "%s virtqueue %u has size %u\n",
			admin ? "admin" : "transport", q->index, size);
		return -EINVAL;
	}
	vq = vring_create_virtqueue(q->index, size, SMP_CACHE_BYTES, &tp->vdev,
				    true, true, false, tvq_pci_notify,
				    admin ? tvq_pci_admin_callback :
					    tvq_pci_transport_callback,
				    admin ? "admin" : "transport");
	if (!vq)
		return -ENOMEM;
	vp_modern_set_queue_size(&tp->mdev, q->index,
				 virtqueue_get_vring_size(vq));
	vp_modern_queue_address(&tp->mdev, q->index,
				virtqueue_get_desc_addr(vq),
				virtqueue_get_avail_addr(vq),
				virtqueue_get_used_addr(vq));
	notify = vp_modern_map_vq_notify(&tp->mdev, q->index, NULL);
	if (!notify) {
		vring_del_virtqueue(vq);
		return -ENOMEM;
	}
	vq->priv = (void __force *)notify;
	q->vq = vq;
	return 0;
}

static int tvq_pci_setup_vqs(struct tvq_pci *tp)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < tp->num_vqs; i++)
		err = tvq_pci_setup_vq(&tp->vqs[i]);
	return err;
}

static void tvq_pci_del_vqs(struct tvq_pci *tp)
{
	unsigned int i;

	for (i = 0; i < tp->num_vqs; i++) {
		struct tvq_pci_vq *q = &tp->vqs[i];

		if (!q->vq)
			continue;
		if (!tp->mdev.notify_base)
			pci_iounmap(tvq_pci_dev(tp),
				    (void __iomem *)q->vq->priv);
		vring_del_virtqueue(q->vq);
		q->vq = NULL;
	}
}

static void tvq_pci_free_irqs(struct tvq_pci *tp)
{
	while (tp->num_irqs)
		free_irq(pci_irq_vector(tvq_pci_dev(tp), --tp->num_irqs), tp);
}

/* As many as there are, for the function has them and the CPUs, too. */
static int tvq_pci_request_irqs(struct tvq_pci *tp)
{
	static const char * const names[] = {
		[TVQ_PCI_VECTOR_CONFIG] = "virtio_tvq-config",
		[TVQ_PCI_VECTOR_TRANSPORT] = "virtio_tvq-transport",
		[TVQ_PCI_VECTOR_ADMIN] = "virtio_tvq-admin",
	};
	struct pci_dev *pdev = tvq_pci_dev(tp);
	unsigned int i;
	int irq, err;

	for (i = 0; (irq = pci_irq_vector(pdev, i)) >= 0; i++) {
		err = request_irq(irq, i == TVQ_PCI_VECTOR_CONFIG ?
				  tvq_pci_config_interrupt :
				  tvq_pci_vq_interrupt, 0,
				  names[min(i, TVQ_PCI_VECTOR_ADMIN)], tp);
		if (err && i < TVQ_PCI_MIN_VECTORS) {
			tvq_pci_free_irqs(tp);
			return err;
		}
		if (err)
			break;
		tp->num_irqs++;
	}
	return 0;
}

/* Tell the function which vector is whose. */
static int tvq_pci_set_vectors(struct tvq_pci *tp)
{
	unsigned int spare = tp->num_irqs - TVQ_PCI_VECTOR_ADMIN;
	unsigned int i;
	u16 vector;

	if (vp_modern_config_vector(&tp->mdev, TVQ_PCI_VECTOR_CONFIG) !=
	    TVQ_PCI_VECTOR_CONFIG)
		goto err;
	for (i = 0; i < tp->num_vqs; i++) {
		struct tvq_pci_vq *q = &tp->vqs[i];

		vector = TVQ_PCI_VECTOR_TRANSPORT;
		if (i >= TVQ_PCI_VQ_ADMIN && spare)
			vector = TVQ_PCI_VECTOR_ADMIN +
				 (i - TVQ_PCI_VQ_ADMIN) % spare;
		if (vp_modern_queue_vector(&tp->mdev, q->index, vector) !=
		    vector)
			goto err;
		/* Nothing interrupts yet: the queue is not enabled. */
		q->irq = pci_irq_vector(tvq_pci_dev(tp), vector);
	}
	return 0;

err:
	dev_err(&tvq_pci_dev(tp)->dev, "refuses an interrupt vector\n");
	return -EBUSY;
}

/* No DMA and no interrupt any more; what was set up is still there. */
static void tvq_pci_stop_function(struct tvq_pci *tp)
{
	tvq_pci_reset(tp);
	pci_clear_master(tvq_pci_dev(tp));
	tvq_pci_free_irqs(tp);
}

static void tvq_pci_free_function(struct tvq_pci *tp)
{
	tvq_pci_del_vqs(tp);
	pci_free_irq_vectors(tvq_pci_dev(tp));
}

/*
 * One way down, from any point of the way up: no device, no DMA, no interrupt,
 * and only then no memory.
 */
static void tvq_pci_down(struct tvq_pci *tp)
{
	/* A driver that waits for its device would wait for ever. */
	if (tp->mgmt && !pci_device_is_present(tvq_pci_dev(tp)))
		tvq_mgmt_fail(tp->mgmt, "the function is not there any more");
	if (tp->mgmt)
		tvq_mgmt_stop(tp->mgmt);
	tvq_pci_stop_function(tp);
	if (tp->mgmt)
		tvq_mgmt_destroy(tp->mgmt);
	tp->mgmt = NULL;
	tvq_pci_free_function(tp);
	kfree(tp->vqs);
	tp->vqs = NULL;
	tp->num_vqs = 0;
}

/* From any state to one where the virtqueues only have to be enabled. */
static int tvq_pci_setup_function(struct tvq_pci *tp)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	int err;

	/* Not before: who knows what it would write to. */
	err = tvq_pci_reset(tp);
	if (err)
		return err;
	pci_set_master(pdev);
	err = tvq_pci_negotiate(tp);
	if (err)
		return err;
	err = tvq_pci_alloc_vqs(tp);
	if (err)
		return err;
	err = pci_alloc_irq_vectors(pdev, TVQ_PCI_MIN_VECTORS,
				    TVQ_PCI_VECTOR_ADMIN + tp->num_vqs -
				    TVQ_PCI_VQ_ADMIN, PCI_IRQ_MSIX);
	if (err < 0) {
		dev_err(&pdev->dev, "needs %d MSI-X vectors: %pe\n",
			TVQ_PCI_MIN_VECTORS, ERR_PTR(err));
		return err;
	}
	return tvq_pci_setup_vqs(tp);
}

/* And from there to one that carries commands. */
static int tvq_pci_start_function(struct tvq_pci *tp)
{
	unsigned int i;
	int err;

	err = tvq_pci_request_irqs(tp);
	if (err)
		return err;
	err = tvq_pci_set_vectors(tp);
	if (err)
		return err;
	for (i = 0; i < tp->num_vqs; i++)
		vp_modern_set_queue_enable(&tp->mdev, tp->vqs[i].index, true);
	vp_modern_set_status(&tp->mdev,
			     vp_modern_get_status(&tp->mdev) |
			     VIRTIO_CONFIG_S_DRIVER_OK);
	/* Queues may have been made broken until now (notification hardening). */
	__virtio_unbreak_device(&tp->vdev);
	return 0;
}

/*
 * The function down, with all managed devices frozen and on the bus. Where it is
 * not for a sleep, this cannot fail: then something is to be reset that may
 * be broken.
 */
static int tvq_pci_freeze(struct tvq_pci *tp, bool sleep)
{
	int err;

	if (!pci_device_is_present(tvq_pci_dev(tp)))
		tvq_mgmt_fail(tp->mgmt, "the function is not there any more");
	err = tvq_mgmt_freeze(tp->mgmt, sleep);
	if (err)
		return err;
	tvq_pci_stop_function(tp);
	tvq_mgmt_link_down(tp->mgmt);
	tvq_pci_free_function(tp);
	return 0;
}

static int tvq_pci_thaw(struct tvq_pci *tp)
{
	int err;

	err = tvq_pci_setup_function(tp);
	if (!err)
		err = tvq_pci_start_function(tp);
	if (!err)
		err = tvq_mgmt_link_up(tp->mgmt);
	if (err) {
		tvq_pci_stop_function(tp);
		tvq_mgmt_link_down(tp->mgmt);
		tvq_pci_free_function(tp);
	}
	tvq_mgmt_thaw(tp->mgmt, err);
	return err;
}

static int tvq_pci_mgmt_reset(void *link)
{
	tvq_pci_freeze(link, false);
	return tvq_pci_thaw(link);
}

/* Those that can migrate by PCI's own means are no group of virtio. */
static unsigned int tvq_pci_num_vfs(void *link)
{
	struct pci_dev *pdev = tvq_pci_dev(link);
	int pos = pci_find_ext_capability(pdev, PCI_EXT_CAP_ID_SRIOV);
	u32 cap;

	if (!pos || !pci_num_vf(pdev))
		return 0;
	pci_read_config_dword(pdev, pos + PCI_SRIOV_CAP, &cap);
	return cap & PCI_SRIOV_CAP_VFM ? 0 : pci_num_vf(pdev);
}

static const struct tvq_mgmt_ops tvq_pci_mgmt_ops = {
	.present = tvq_pci_present,
	.needs_reset = tvq_pci_needs_reset,
	.cut_off = tvq_pci_cut_off,
	.reset = tvq_pci_mgmt_reset,
	.num_vfs = tvq_pci_num_vfs,
};

static int tvq_pci_up(struct tvq_pci *tp)
{
	struct tvq_queue admin[TVQ_PCI_ADMIN_VQS_MAX];
	struct tvq_mgmt_params params = {
		.admin = admin,
		.parent = &tvq_pci_dev(tp)->dev,
		.link_ops = &tvq_pci_link_ops,
		.ops = &tvq_pci_mgmt_ops,
		.link = tp,
		.timeout_ms = timeout_ms ? clamp(timeout_ms, 10u, 600000u) : 0,
	};
	unsigned int i;
	int err;

	err = tvq_pci_setup_function(tp);
	if (err)
		goto err_down;
	params.queue.link = &tp->vqs[TVQ_PCI_VQ_TRANSPORT];
	params.queue.slots =
		virtqueue_get_vring_size(tp->vqs[TVQ_PCI_VQ_TRANSPORT].vq);
	params.num_admin = tp->num_vqs - TVQ_PCI_VQ_ADMIN;
	for (i = 0; i < params.num_admin; i++) {
		struct tvq_pci_vq *q = &tp->vqs[TVQ_PCI_VQ_ADMIN + i];

		admin[i].link = q;
		admin[i].slots = virtqueue_get_vring_size(q->vq);
	}
	params.doorbells = tp->doorbells;
	params.doorbells_offset = tp->doorbells_offset;
	params.doorbells_len = tp->doorbells_len;
	tvq_pci_find_shm_bars(tp, params.shm_bars);
	tp->mgmt = tvq_mgmt_create(&params);
	if (IS_ERR(tp->mgmt)) {
		err = PTR_ERR(tp->mgmt);
		tp->mgmt = NULL;
		goto err_down;
	}
	err = tvq_pci_start_function(tp);
	if (err)
		goto err_down;
	err = tvq_mgmt_start(tp->mgmt);
	if (err)
		goto err_down;
	return 0;

err_down:
	tvq_pci_down(tp);
	return err;
}

static int tvq_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct tvq_pci *tp;
	int err;

	tp = kzalloc_obj(*tp);
	if (!tp)
		return -ENOMEM;
	tp->mdev.pci_dev = pdev;
	tp->mdev.device_id_check = tvq_pci_device_id_check;
	/* As much of a virtio device as the rings look at. */
	tp->vdev.dev.parent = &pdev->dev;
	spin_lock_init(&tp->vdev.vqs_list_lock);
	INIT_LIST_HEAD(&tp->vdev.vqs);
	pci_set_drvdata(pdev, tp);

	err = pci_enable_device(pdev);
	if (err)
		goto err_free;
	err = vp_modern_probe(&tp->mdev);
	if (err) {
		dev_err(&pdev->dev, "not a modern virtio function: %pe\n",
			ERR_PTR(err));
		goto err_disable;
	}
	err = tvq_pci_read_cap(tp);
	if (err)
		goto err_modern;
	err = tvq_pci_map_doorbells(tp);
	if (err)
		goto err_doorbells;
	err = tvq_pci_up(tp);
	if (err)
		goto err_doorbells;
	return 0;

err_doorbells:
	tvq_pci_unmap_doorbells(tp);
err_modern:
	vp_modern_remove(&tp->mdev);
err_disable:
	pci_disable_device(pdev);
err_free:
	kfree(tp);
	return err;
}

static void tvq_pci_remove(struct pci_dev *pdev)
{
	struct tvq_pci *tp = pci_get_drvdata(pdev);

	pci_disable_sriov(pdev);
	tvq_pci_down(tp);
	tvq_pci_unmap_doorbells(tp);
	vp_modern_remove(&tp->mdev);
	pci_disable_device(pdev);
	kfree(tp);
}

static void tvq_pci_shutdown(struct pci_dev *pdev)
{
	struct tvq_pci *tp = pci_get_drvdata(pdev);

	/* Drivers were told before us; whatever is left stops here. */
	tvq_pci_reset(tp);
	pci_clear_master(pdev);
}

static int tvq_pci_suspend(struct device *dev)
{
	return tvq_pci_freeze(dev_get_drvdata(dev), true);
}

static int tvq_pci_resume(struct device *dev)
{
	return tvq_pci_thaw(dev_get_drvdata(dev));
}

/* For a sleep of any depth: nobody knows whether the function keeps power. */
static DEFINE_SIMPLE_DEV_PM_OPS(tvq_pci_pm_ops, tvq_pci_suspend,
				tvq_pci_resume);

/* The PCI core resets the function between these two. */
static void tvq_pci_reset_prepare(struct pci_dev *pdev)
{
	tvq_pci_freeze(pci_get_drvdata(pdev), false);
}

static void tvq_pci_reset_done(struct pci_dev *pdev)
{
	tvq_pci_thaw(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers tvq_pci_err_handlers = {
	.reset_prepare = tvq_pci_reset_prepare,
	.reset_done = tvq_pci_reset_done,
};

static int tvq_pci_enable_vfs(struct tvq_pci *tp, int num_vfs)
{
	struct pci_dev *pdev = tvq_pci_dev(tp);
	int err;

	if (!__virtio_test_bit(&tp->vdev, VIRTIO_F_SR_IOV)) {
		dev_err(&pdev->dev, "does not offer VIRTIO_F_SR_IOV\n");
		return -EOPNOTSUPP;
	}
	if (pci_vfs_assigned(pdev))
		return -EPERM;
	if (!num_vfs) {
		pci_disable_sriov(pdev);
		return 0;
	}
	err = pci_enable_sriov(pdev, num_vfs);
	if (err)
		return err;
	/* Without admin commands they are what the device makes of them. */
	if (tvq_pci_num_vfs(tp))
		tvq_member_use_vfs(tp->mgmt);
	return num_vfs;
}

static int tvq_pci_sriov_configure(struct pci_dev *pdev, int num_vfs)
{
	struct tvq_pci *tp = pci_get_drvdata(pdev);
	int ret;

	if (!tvq_mgmt_try_enter(tp->mgmt))
		return -EAGAIN;
	ret = tvq_pci_enable_vfs(tp, num_vfs);
	tvq_mgmt_leave(tp->mgmt);
	return ret;
}

/* 0 where nobody can say: without virtual functions, there is no group of them. */
static u32 tvq_pci_vf_total_msix(struct pci_dev *pdev)
{
	struct tvq_pci *tp = pci_get_drvdata(pdev);
	u32 total = 0;

	if (!tvq_pci_num_vfs(tp) || !tvq_mgmt_try_enter(tp->mgmt))
		return 0;
	if (tvq_member_vf_vectors_total(tp->mgmt, &total))
		total = 0;
	tvq_mgmt_leave(tp->mgmt);
	return total;
}

static int tvq_pci_set_vf_msix(struct pci_dev *vf, int count)
{
	struct tvq_pci *tp = pci_get_drvdata(pci_physfn(vf));
	int err;

	if (!tvq_pci_num_vfs(tp))
		return -EOPNOTSUPP;
	if (!tvq_mgmt_try_enter(tp->mgmt))
		return -EAGAIN;
	err = tvq_member_set_vf_vectors(tp->mgmt, pci_iov_vf_id(vf) + 1, count);
	tvq_mgmt_leave(tp->mgmt);
	return err;
}

static const struct pci_device_id tvq_pci_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, VIRTIO_TVQ_PCI_DEVICE_ID) },
	{}
};
MODULE_DEVICE_TABLE(pci, tvq_pci_ids);

static struct pci_driver tvq_pci_driver = {
	.name = "virtio_tvq",
	.id_table = tvq_pci_ids,
	.probe = tvq_pci_probe,
	.remove = tvq_pci_remove,
	.shutdown = tvq_pci_shutdown,
	.err_handler = &tvq_pci_err_handlers,
	.sriov_configure = tvq_pci_sriov_configure,
	.sriov_get_vf_total_msix = tvq_pci_vf_total_msix,
	.sriov_set_msix_vec_count = tvq_pci_set_vf_msix,
	.driver.pm = pm_sleep_ptr(&tvq_pci_pm_ops),
};

static int __init tvq_init(void)
{
	int err;

	err = tvq_bus_init();
	if (err)
		return err;
	tvq_debugfs_init();
	err = tvq_virtio_init();
	if (err)
		goto err_bus;
	err = pci_register_driver(&tvq_pci_driver);
	if (err)
		goto err_virtio;
	return 0;

err_virtio:
	tvq_virtio_exit();
err_bus:
	tvq_debugfs_exit();
	tvq_bus_exit();
	return err;
}
module_init(tvq_init);

static void __exit tvq_exit(void)
{
	pci_unregister_driver(&tvq_pci_driver);
	tvq_virtio_exit();
	tvq_debugfs_exit();
	tvq_bus_exit();
}
module_exit(tvq_exit);

MODULE_DESCRIPTION("Virtio over a transport virtqueue");
MODULE_LICENSE("GPL");
