// SPDX-License-Identifier: GPL-2.0
/*
 * The personality virtio: a managed device as a struct virtio_device, so that
 * the kernel's own drivers bind to it.
 */
#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <uapi/linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_tvq.h>
#include <kunit/visibility.h>

#include "bus.h"
#include "compat.h"
#include "virtio.h"

/**
 * struct tvq_virtio_vq - a queue that find_vqs has set up
 * @vq: the virtqueue
 * @next: the next queue on the same vector
 * @vector: entry of the device's interrupt table or VIRTIO_TVQ_NO_VECTOR
 * @quiet: the queue was reset: its ring may not be looked at by a handler
 * @late: there was no memory to notify the device, and @vd's late_work does it
 * @late_data: with what
 */
struct tvq_virtio_vq {
	struct virtqueue *vq;
	struct tvq_virtio_vq *next;
	u16 vector;
	bool quiet;
	bool late;
	u32 late_data;
};

/**
 * struct tvq_virtio_vector - an entry of the interrupt table that is in use
 * @vd: the device
 * @vqs: the queues that use it
 * @config: the configuration uses it
 * @requested: its interrupt is requested
 * @mask: the CPUs that it was spread to, or empty
 * @hint: the CPUs that the driver has asked for
 * @name: in /proc/interrupts
 */
struct tvq_virtio_vector {
	struct tvq_virtio *vd;
	struct tvq_virtio_vq *vqs;
	bool config;
	bool requested;
	cpumask_t mask;
	cpumask_t hint;
	char name[48];
};

/**
 * struct tvq_virtio - a managed device in the virtio core
 * @vdev: the virtio device; its release frees this structure
 * @tdev: the managed device
 * @status: shadow of the device status
 * @needs_reset: the device has set DEVICE_NEEDS_RESET
 * @warned: a void operation has failed and said so
 * @has_vqs: @vdev has virtqueues that can be broken
 * @absent: the device is not there: its queues, until they are deleted, have no
 *	other end and are broken
 * @by_reset: frozen by the driver's reset_prepare, not by its freeze
 * @idle: frozen without a driver
 * @frozen: its driver, if it has one, has let go; set under its device lock
 * @vqs_lock: keeps @has_vqs, and with it @vqs and @vectors, for those who are not
 *	serialised by the virtio core
 * @vqs: by queue index
 * @num_vqs: number of @vqs
 * @vectors: by entry of the interrupt table
 * @num_vectors: number of @vectors
 * @config_vector: entry for the configuration interrupt
 * @late_work: notifies the device of what is in those of @vqs that are late
 *
 * The virtio core serialises all operations that change these, but for
 * @needs_reset.
 */
struct tvq_virtio {
	struct virtio_device vdev;
	struct tvq_device *tdev;
	u8 status;
	bool needs_reset;
	bool warned;
	bool has_vqs;
	bool absent;
	bool by_reset;
	bool idle;
	bool frozen;
	struct mutex vqs_lock;	/* as above */
	struct tvq_virtio_vq *vqs;
	unsigned int num_vqs;
	struct tvq_virtio_vector *vectors;
	unsigned int num_vectors;
	u16 config_vector;
	struct work_struct late_work;
};

/* May be what ends a want of memory: a disk's request that writes some back. */
static struct workqueue_struct *tvq_virtio_late_wq;

static struct tvq_virtio *to_tvq_virtio(struct virtio_device *vdev)
{
	return container_of(vdev, struct tvq_virtio, vdev);
}

/* What the operations that return nothing do with an error. */
static void tvq_virtio_failed_op(struct tvq_virtio *vd, const char *what,
				 int err)
{
	if (!xchg(&vd->warned, true))
		dev_err_ratelimited(&vd->tdev->dev, "%s failed: %pe\n", what,
				    ERR_PTR(err));
	if (!READ_ONCE(vd->has_vqs))
		return;
	virtio_break_device(&vd->vdev);
	/* What is in its queues will not come out of them, if it was not to be reset anyway. */
	if (READ_ONCE(vd->status))
		tvq_device_needs_reset(vd->tdev);
}

static void tvq_virtio_get(struct virtio_device *vdev, unsigned int offset,
			   void *buf, unsigned int len)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	int err = tvq_config_read(vd->tdev, offset, buf, len);

	/* A device that does nothing any more has no link, whatever it said before. */
	if (vd->vdev.id.device == VIRTIO_ID_NET &&
	    offset == offsetof(struct virtio_net_config, status) &&
	    (tvq_device_is_dead(vd->tdev) || READ_ONCE(vd->needs_reset)))
		memset(buf, 0, len);
	/* A driver that reads behind the end gets zeros, as of virtio-pci. */
	if (err && err != -EINVAL)
		tvq_virtio_failed_op(vd, "reading the configuration", err);
}

static void tvq_virtio_set(struct virtio_device *vdev, unsigned int offset,
			   const void *buf, unsigned int len)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	int err = tvq_config_write(vd->tdev, offset, buf, len);

	if (err)
		tvq_virtio_failed_op(vd, "writing the configuration", err);
}

static u32 tvq_virtio_generation(struct virtio_device *vdev)
{
	return tvq_config_generation(to_tvq_virtio(vdev)->tdev);
}

static u8 tvq_virtio_get_status(struct virtio_device *vdev)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);

	/* The attribute of that name is read at any time. */
	u8 status = READ_ONCE(vd->status);

	if (READ_ONCE(vd->needs_reset))
		status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	return status;
}

static void tvq_virtio_synchronize_cbs(struct virtio_device *vdev)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	unsigned int i;

	for (i = 0; i < vd->num_vectors; i++)
		/* tvq_virtio_quiet() may come while they are being requested. */
		if (READ_ONCE(vd->vectors[i].requested))
			synchronize_irq(tvq_irq_vector(vd->tdev, i));
}

static void tvq_virtio_reset(struct virtio_device *vdev)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	int err;

	/*
	 * The core counts on 0, whatever becomes of the device. And what a handler finds
	 * wrong is not to be told behind the reset.
	 */
	WRITE_ONCE(vd->status, 0);
	tvq_virtio_synchronize_cbs(vdev);
	flush_work(&vd->late_work);
	err = tvq_device_reset(vd->tdev);
	WRITE_ONCE(vd->needs_reset, false);
	if (err)
		tvq_virtio_failed_op(vd, "reset", err);
	else
		WRITE_ONCE(vd->warned, false);
	/* Callbacks that run were for what the device did before. */
	tvq_virtio_synchronize_cbs(vdev);
}

/*
 * ACKNOWLEDGE and DRIVER travel with FEATURES_OK, in the one command that the
 * device has to answer before a driver may go on. Nobody waits for DRIVER_OK
 * nor FAILED. Behind FAILED the core binds another driver, or the same one again,
 * without the reset that the device needs for that.
 */
static void tvq_virtio_set_status(struct virtio_device *vdev, u8 status)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	u64 features[VIRTIO_TVQ_FEATURES_U64S];
	u8 old, result = 0;
	int err;

	status &= ~VIRTIO_CONFIG_S_NEEDS_RESET;
	/* 0 is a reset, which is an operation of its own. */
	if (WARN_ON(!status))
		return;
	if (vd->status & VIRTIO_CONFIG_S_FAILED) {
		tvq_virtio_reset(vdev);
		status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	}
	old = vd->status;
	WRITE_ONCE(vd->status, status);
	if (vd->absent)
		return;
	if (old & VIRTIO_CONFIG_S_FEATURES_OK) {
		err = tvq_device_post_status(vd->tdev, status);
		if (err)
			tvq_virtio_failed_op(vd, "setting the status", err);
	} else if (status & VIRTIO_CONFIG_S_FEATURES_OK) {
		tvq_vdev_get_features(vdev, features);
		err = tvq_device_negotiate(vd->tdev, features, status, &result);
		if (err)
			tvq_virtio_failed_op(vd, "negotiating features", err);
		/* All that the device has a say in here. */
		if (err || !(result & VIRTIO_CONFIG_S_FEATURES_OK))
			WRITE_ONCE(vd->status,
				   status & ~VIRTIO_CONFIG_S_FEATURES_OK);
	}
}

static u64 tvq_virtio_get_features(struct virtio_device *vdev)
{
	return to_tvq_virtio(vdev)->tdev->features[0];
}

static void __maybe_unused
tvq_virtio_get_extended_features(struct virtio_device *vdev, u64 *features)
{
	memcpy(features, to_tvq_virtio(vdev)->tdev->features,
	       sizeof(to_tvq_virtio(vdev)->tdev->features));
}

static int tvq_virtio_finalize_features(struct virtio_device *vdev)
{
	/* Not what is offered: the driver may have turned it down. */
	bool ring_reset = __virtio_test_bit(vdev, VIRTIO_F_RING_RESET);

	/* Give virtio_ring a chance to accept features. */
	vring_transport_features(vdev);
	/* It does not know that this transport can reset a queue. */
	if (ring_reset)
		__virtio_set_bit(vdev, VIRTIO_F_RING_RESET);

	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1) ||
	    !__virtio_test_bit(vdev, VIRTIO_F_ACCESS_PLATFORM)) {
		dev_err(&vdev->dev,
			"neither VERSION_1 nor ACCESS_PLATFORM can be left out\n");
		return -EINVAL;
	}
	/* The features go to the device with FEATURES_OK. */
	return 0;
}

static const char *tvq_virtio_bus_name(struct virtio_device *vdev)
{
	return dev_name(&to_tvq_virtio(vdev)->tdev->dev);
}

/*
 * A notification that fails breaks the queue, for good. That is too much for a moment
 * without memory; a worker can wait for some.
 */
static bool tvq_virtio_do_notify(struct virtqueue *vq, u32 data, bool with_data)
{
	struct tvq_virtio *vd = to_tvq_virtio(vq->vdev);
	int err = tvq_device_notify(vd->tdev, data, with_data);
	struct tvq_virtio_vq *vqi;

	if (likely(err != -ENOMEM))
		return !err;
	vqi = &vd->vqs[vq->index];
	WRITE_ONCE(vqi->late_data, data);
	/* Pairs with the xchg() in tvq_virtio_late_work(): data first. */
	smp_store_release(&vqi->late, true);
	queue_work(tvq_virtio_late_wq, &vd->late_work);
	return true;
}

static bool tvq_virtio_notify(struct virtqueue *vq)
{
	return tvq_virtio_do_notify(vq, vq->index, false);
}

static bool tvq_virtio_notify_with_data(struct virtqueue *vq)
{
	return tvq_virtio_do_notify(vq, vring_notification_data(vq), true);
}

/* Those who delete @vqs, or reset one, wait for this first. */
static void tvq_virtio_late_work(struct work_struct *work)
{
	struct tvq_virtio *vd = container_of(work, struct tvq_virtio, late_work);
	unsigned int i;

	for (i = 0; i < vd->num_vqs; i++) {
		struct tvq_virtio_vq *vqi = &vd->vqs[i];

		if (!xchg(&vqi->late, false))
			continue;
		/* What the virtio core would have done. */
		if (tvq_device_post_notify(vd->tdev, READ_ONCE(vqi->late_data),
					   GFP_NOIO | __GFP_NOFAIL))
			__virtqueue_break(vqi->vq);
	}
}

/*
 * Always handled: a device sends a spurious interrupt with each change of a
 * message, see irq.c.
 *
 * A queue in which the device has given back what can't be true is broken by the virtio
 * core, without a word to its driver, whose users would wait for what else is in it.
 */
static irqreturn_t tvq_virtio_interrupt(int irq, void *data)
{
	struct tvq_virtio_vector *vector = data;
	struct tvq_virtio *vd = vector->vd;
	struct tvq_virtio_vq *vqi;

	for (vqi = vector->vqs; vqi; vqi = vqi->next) {
		if (READ_ONCE(vqi->quiet))
			continue;
		if (vring_interrupt(irq, vqi->vq) == IRQ_HANDLED)
			tvq_device_is_alive(vd->tdev);
		/* Before DRIVER_OK it may be broken, too. */
		if (unlikely(virtqueue_is_broken(vqi->vq)) &&
		    READ_ONCE(vd->status) & VIRTIO_CONFIG_S_DRIVER_OK &&
		    !READ_ONCE(vd->needs_reset))
			tvq_device_needs_reset(vd->tdev);
	}
	if (vector->config) {
		if (vector->vqs)
			tvq_config_poll(vd->tdev);
		else
			tvq_config_interrupt(vd->tdev);
	}
	return IRQ_HANDLED;
}

/**
 * tvq_virtio_assign_vectors() - which queue uses which vector
 * @needs: for each queue, whether it has a callback
 * @num_vqs: number of queues
 * @num_vectors: number of vectors, 1 or more
 * @vectors: filled in for each queue: a vector or VIRTIO_TVQ_NO_VECTOR
 *
 * Vector 0 is the configuration's alone, if there are at least two; the queues
 * share the rest, evenly, in the order of their indices. With one vector, all
 * share it.
 *
 * Context: any.
 */
VISIBLE_IF_KUNIT void tvq_virtio_assign_vectors(const bool *needs,
						unsigned int num_vqs,
						unsigned int num_vectors,
						u16 *vectors)
{
	unsigned int first = num_vectors > 1;
	unsigned int next = 0;
	unsigned int i;

	for (i = 0; i < num_vqs; i++)
		vectors[i] = needs[i] ? first + next++ % (num_vectors - first) :
					VIRTIO_TVQ_NO_VECTOR;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_virtio_assign_vectors);

static void tvq_virtio_free_irqs(struct tvq_virtio *vd)
{
	unsigned int i;

	for (i = 0; i < vd->num_vectors; i++) {
		struct tvq_virtio_vector *vector = &vd->vectors[i];
		int irq = tvq_irq_vector(vd->tdev, i);

		if (!vector->requested)
			continue;
		irq_update_affinity_hint(irq, NULL);
		free_irq(irq, vector);
		vector->requested = false;
	}
}

static void tvq_virtio_del_vqs(struct virtio_device *vdev)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	unsigned int i;

	mutex_lock(&vd->vqs_lock);
	WRITE_ONCE(vd->has_vqs, false);
	mutex_unlock(&vd->vqs_lock);
	tvq_virtio_free_irqs(vd);
	cancel_work_sync(&vd->late_work);
	for (i = 0; i < vd->num_vqs; i++) {
		struct virtqueue *vq = vd->vqs[i].vq;

		if (!vq)
			continue;
		/*
		 * Drivers leave what a queue had when it was broken, as virtio_net
		 * does with a control command: its mappings would be lost.
		 */
		while (virtqueue_detach_unused_buf(vq))
			;
		vring_del_virtqueue(vq);
	}
	tvq_irq_free(vd->tdev);
	kfree(vd->vqs);
	kvfree(vd->vectors);
	vd->vqs = NULL;
	vd->num_vqs = 0;
	vd->vectors = NULL;
	vd->num_vectors = 0;
	vd->absent = false;
}

static struct virtqueue *tvq_virtio_new_vq(struct tvq_virtio *vd,
					   unsigned int index,
					   const struct virtqueue_info *info)
{
	struct tvq_device *tdev = vd->tdev;
	struct virtqueue *vq;
	bool (*notify)(struct virtqueue *vq) = tvq_virtio_notify;

	if (virtio_has_feature(&vd->vdev, VIRTIO_F_NOTIFICATION_DATA))
		notify = tvq_virtio_notify_with_data;
	vq = tvq_vring_create(index, tdev->vq_size[index], &vd->vdev, info->ctx,
			      notify, info->callback, info->name,
			      tvq_device_dma_dev(tdev));
	if (vq)
		vq->num_max = tdev->vq_size[index];
	return vq;
}

static void tvq_virtio_describe_vq(const struct tvq_virtio_vq *vqi,
				   struct tvq_vq_setup *setup)
{
	setup->index = vqi->vq->index;
	setup->size = virtqueue_get_vring_size(vqi->vq);
	setup->vector = vqi->vector;
	setup->desc = virtqueue_get_desc_addr(vqi->vq);
	setup->driver = virtqueue_get_avail_addr(vqi->vq);
	setup->device = virtqueue_get_used_addr(vqi->vq);
}

/*
 * Spread the vectors of the queues behind the affinity descriptor's
 * pre-vectors over the CPUs. Not managed interrupts, whose descriptors can't be
 * passed in for platform MSI: so a user may move them, and a CPU that goes
 * offline hands them on. That is all that is lost if this fails.
 */
static void tvq_virtio_spread(struct tvq_virtio *vd,
			      const struct irq_affinity *desc)
{
	unsigned int first, num, filled, i;
	struct cpumask *masks;

	first = (vd->num_vectors > 1) + (desc ? desc->pre_vectors : 0);
	if (!desc || vd->num_vectors < 2 || first >= vd->num_vectors)
		return;
	num = vd->num_vectors - first;
	masks = kcalloc(num, sizeof(*masks), GFP_KERNEL);
	if (!masks)
		return;
	filled = tvq_irq_spread(masks, num);
	for (i = 0; i < filled; i++) {
		struct tvq_virtio_vector *vector = &vd->vectors[first + i];

		cpumask_copy(&vector->mask, &masks[i]);
		irq_set_affinity_and_hint(tvq_irq_vector(vd->tdev, first + i),
					  &vector->mask);
	}
	kfree(masks);
}

/* The rings of all queues, on the vectors that are assigned to them. */
static int tvq_virtio_make_vqs(struct tvq_virtio *vd, unsigned int nvqs,
			       struct virtqueue *vqs[],
			       struct virtqueue_info info[],
			       const u16 *assigned)
{
	unsigned int i;

	vd->vqs = kcalloc(nvqs, sizeof(*vd->vqs), GFP_KERNEL);
	if (!vd->vqs)
		return -ENOMEM;
	for (i = 0; i < nvqs; i++) {
		struct tvq_virtio_vq *vqi = &vd->vqs[vd->num_vqs];

		if (!info[i].name) {
			vqs[i] = NULL;
			continue;
		}
		vqi->vq = tvq_virtio_new_vq(vd, vd->num_vqs, &info[i]);
		if (!vqi->vq)
			return -ENOMEM;
		vqi->vector = assigned[vd->num_vqs];
		if (vqi->vector != VIRTIO_TVQ_NO_VECTOR) {
			struct tvq_virtio_vector *vector =
				&vd->vectors[vqi->vector];

			vqi->next = vector->vqs;
			vector->vqs = vqi;
		}
		vqs[i] = vqi->vq;
		vd->num_vqs++;
	}
	/*
	 * Of this and a failure of the device, either tvq_virtio_failed() sees
	 * this or a check behind it sees that: both are full barriers.
	 */
	smp_store_mb(vd->has_vqs, true);
	return 0;
}

/*
 * One attempt to set all queues up, with so many vectors. With -ENOSPC, and *@got
 * below @num_vectors, the platform lacks vectors, and *@got of them may do.
 */
static int tvq_virtio_try_vqs(struct tvq_virtio *vd, unsigned int nvqs,
			      struct virtqueue *vqs[],
			      struct virtqueue_info info[],
			      const u16 *assigned, unsigned int num_vectors,
			      const struct irq_affinity *desc,
			      unsigned int *got)
{
	struct tvq_device *tdev = vd->tdev;
	struct tvq_vq_setup *setups __free(kfree) = NULL;
	unsigned int i;
	int err;

	/*
	 * On x86 allocation is a reservation, which is never refused for want of
	 * CPU vectors: request_irq() gets these, and is. Remapping tables and
	 * other MSI controllers run out here, and nobody says how many are left.
	 */
	*got = num_vectors / 2;
	setups = kcalloc(nvqs, sizeof(*setups), GFP_KERNEL);
	vd->vectors = kvcalloc(num_vectors, sizeof(*vd->vectors), GFP_KERNEL);
	if (!setups || !vd->vectors)
		return -ENOMEM;
	err = tvq_irq_alloc(tdev, num_vectors);
	if (err)
		return err;
	*got = 0;
	vd->num_vectors = num_vectors;
	vd->config_vector = 0;
	vd->vectors[0].config = true;

	err = tvq_virtio_make_vqs(vd, nvqs, vqs, info, assigned);
	if (err)
		return err;

	for (i = 0; i < num_vectors; i++) {
		struct tvq_virtio_vector *vector = &vd->vectors[i];
		const char *what = "queues";

		vector->vd = vd;
		if (vector->config)
			what = vector->vqs ? "all" : "config";
		else if (vector->vqs && !vector->vqs->next)
			what = vector->vqs->vq->name;
		snprintf(vector->name, sizeof(vector->name), "%s-%s",
			 dev_name(&tdev->dev), what);
		err = request_irq(tvq_irq_vector(tdev, i), tvq_virtio_interrupt,
				  0, vector->name, vector);
		if (err)
			return err;
		WRITE_ONCE(vector->requested, true);
		++*got;
	}
	tvq_virtio_spread(vd, desc);

	for (i = 0; i < vd->num_vqs; i++)
		tvq_virtio_describe_vq(&vd->vqs[i], &setups[i]);
	err = tvq_device_setup_vqs(tdev, setups, vd->num_vqs,
				   vd->config_vector);
	if (err)
		return err;
	if (tvq_device_is_dead(tdev))
		return -EIO;
	return 0;
}

static int tvq_virtio_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
			       struct virtqueue *vqs[],
			       struct virtqueue_info info[],
			       struct irq_affinity *desc)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	struct tvq_device *tdev = vd->tdev;
	unsigned int num_vqs = 0, wanted = 1, num, got, i;
	u16 *assigned __free(kfree) = NULL;
	bool *needs __free(kfree) = NULL;
	int err;

	if (vd->vqs)
		return -EBUSY;
	needs = kcalloc(nvqs, sizeof(*needs), GFP_KERNEL);
	assigned = kcalloc(nvqs, sizeof(*assigned), GFP_KERNEL);
	if (!needs || !assigned)
		return -ENOMEM;
	for (i = 0; i < nvqs; i++) {
		if (!info[i].name)
			continue;
		needs[num_vqs] = info[i].callback;
		wanted += needs[num_vqs++];
	}
	if (num_vqs > tdev->num_vqs)
		return -ENOENT;

	if (vd->absent) {
		memset16(assigned, VIRTIO_TVQ_NO_VECTOR, num_vqs);
		err = tvq_virtio_make_vqs(vd, nvqs, vqs, info, assigned);
		if (err)
			tvq_virtio_del_vqs(vdev);
		else
			virtio_break_device(vdev);
		return err;
	}

	num = min_t(unsigned int, wanted, tdev->num_vectors);
	err = -ENOSPC;
	while (num) {
		tvq_virtio_assign_vectors(needs, num_vqs, num, assigned);
		err = tvq_virtio_try_vqs(vd, nvqs, vqs, info, assigned, num,
					 desc, &got);
		if (!err)
			return 0;
		tvq_virtio_del_vqs(vdev);
		/* With all interrupts requested, it is not they that lack. */
		if (err != -ENOSPC || got == num)
			return err;
		num = got;
	}
	if (err == -ENOSPC)
		dev_err_ratelimited(&tdev->dev,
				    "not one interrupt vector is left for %u queues\n",
				    num_vqs);
	return err;
}

static int tvq_virtio_vq_irq(struct virtqueue *vq)
{
	struct tvq_virtio *vd = to_tvq_virtio(vq->vdev);
	u16 vector = vd->vqs[vq->index].vector;

	if (vector == VIRTIO_TVQ_NO_VECTOR)
		return -ENOENT;
	return tvq_irq_vector(vd->tdev, vector);
}

static int tvq_virtio_set_vq_affinity(struct virtqueue *vq,
				      const struct cpumask *mask)
{
	struct tvq_virtio *vd = to_tvq_virtio(vq->vdev);
	int irq = tvq_virtio_vq_irq(vq);
	struct cpumask *hint;

	if (!vq->callback)
		return -EINVAL;
	if (irq < 0)
		return irq;
	if (!mask)
		return irq_update_affinity_hint(irq, NULL);
	/* The interrupt core keeps the pointer, and the caller's mask goes. */
	hint = &vd->vectors[vd->vqs[vq->index].vector].hint;
	cpumask_copy(hint, mask);
	return irq_set_affinity_and_hint(irq, hint);
}

/*
 * Who asks gives each CPU to the last queue that it is named for, so there is no
 * answer for queues that share a vector: one of them would not be used.
 */
static const struct cpumask *
tvq_virtio_get_vq_affinity(struct virtio_device *vdev, int index)
{
	struct tvq_virtio *vd = to_tvq_virtio(vdev);
	const struct tvq_virtio_vector *vector;

	if (index < 0 || index >= vd->num_vqs ||
	    vd->vqs[index].vector == VIRTIO_TVQ_NO_VECTOR)
		return NULL;
	vector = &vd->vectors[vd->vqs[index].vector];
	if (vector->vqs->next || cpumask_empty(&vector->mask))
		return NULL;
	return &vector->mask;
}

static int tvq_virtio_disable_vq_and_reset(struct virtqueue *vq)
{
	struct tvq_virtio *vd = to_tvq_virtio(vq->vdev);
	struct tvq_virtio_vq *vqi = &vd->vqs[vq->index];
	int irq = tvq_virtio_vq_irq(vq);
	int err;

	if (!virtio_has_feature(vq->vdev, VIRTIO_F_RING_RESET))
		return -ENOENT;
	/* It could not be enabled again: the device would refuse, and has let go of it. */
	if (vq->reset)
		return 0;
	flush_work(&vd->late_work);
	err = tvq_device_reset_vq(vd->tdev, vq->index);
	if (err)
		return err;
	/* A spurious interrupt must not look into a ring that is replaced. */
	WRITE_ONCE(vqi->quiet, true);
#ifdef CONFIG_VIRTIO_HARDEN_NOTIFICATION
	__virtqueue_break(vq);
#endif
	if (irq >= 0)
		synchronize_irq(irq);
	vq->reset = true;
	return 0;
}

static int tvq_virtio_enable_vq_after_reset(struct virtqueue *vq)
{
	struct tvq_virtio *vd = to_tvq_virtio(vq->vdev);
	struct tvq_virtio_vq *vqi = &vd->vqs[vq->index];
	struct tvq_vq_setup setup;
	int err;

	if (!vq->reset)
		return -EBUSY;
#ifdef CONFIG_VIRTIO_HARDEN_NOTIFICATION
	__virtqueue_unbreak(vq);
#endif
	WRITE_ONCE(vqi->quiet, false);
	tvq_virtio_describe_vq(vqi, &setup);
	err = tvq_device_enable_vq(vd->tdev, &setup, vd->config_vector);
	if (err) {
		/* It stays as tvq_virtio_disable_vq_and_reset() has left it. */
		WRITE_ONCE(vqi->quiet, true);
#ifdef CONFIG_VIRTIO_HARDEN_NOTIFICATION
		__virtqueue_break(vq);
#endif
		return err;
	}
	vq->reset = false;
	return 0;
}

static bool tvq_virtio_get_shm_region(struct virtio_device *vdev,
				      struct virtio_shm_region *region, u8 id)
{
	return !tvq_device_get_shm(to_tvq_virtio(vdev)->tdev, id, region);
}

static const struct virtio_config_ops tvq_virtio_config_ops = {
	.get = tvq_virtio_get,
	.set = tvq_virtio_set,
	.generation = tvq_virtio_generation,
	.get_status = tvq_virtio_get_status,
	.set_status = tvq_virtio_set_status,
	.reset = tvq_virtio_reset,
	.find_vqs = tvq_virtio_find_vqs,
	.del_vqs = tvq_virtio_del_vqs,
	.synchronize_cbs = tvq_virtio_synchronize_cbs,
	.get_features = tvq_virtio_get_features,
	TVQ_EXTENDED_FEATURES(tvq_virtio_get_extended_features)
	.finalize_features = tvq_virtio_finalize_features,
	.bus_name = tvq_virtio_bus_name,
	.set_vq_affinity = tvq_virtio_set_vq_affinity,
	.get_vq_affinity = tvq_virtio_get_vq_affinity,
	.get_shm_region = tvq_virtio_get_shm_region,
	.disable_vq_and_reset = tvq_virtio_disable_vq_and_reset,
	.enable_vq_after_reset = tvq_virtio_enable_vq_after_reset,
};

static void tvq_virtio_release(struct device *dev)
{
	kfree(to_tvq_virtio(dev_to_virtio(dev)));
	tvq_live_put();
}

static DECLARE_WAIT_QUEUE_HEAD(tvq_virtio_frozen_queue);

/*
 * A driver that has let go of its device can't be unbound, nor another be bound:
 * it has freed what its remove looks at. Whoever tries waits until it has the
 * device again, holding the virtio device's lock, which thawing does without.
 */
static int tvq_virtio_bus_event(struct notifier_block *nb, unsigned long event,
				void *data)
{
	struct virtio_device *vdev = dev_to_virtio(data);

	if ((event == BUS_NOTIFY_UNBIND_DRIVER ||
	     event == BUS_NOTIFY_BIND_DRIVER) &&
	    vdev->config == &tvq_virtio_config_ops)
		wait_event(tvq_virtio_frozen_queue,
			   !READ_ONCE(to_tvq_virtio(vdev)->frozen));
	return NOTIFY_DONE;
}

static struct notifier_block tvq_virtio_bus_nb = {
	.notifier_call = tvq_virtio_bus_event,
};

static DEFINE_MUTEX(tvq_virtio_bus_lock);	/* guards tvq_virtio_bus */
static const struct bus_type *tvq_virtio_bus;

/* The virtio bus is known by its devices alone. */
static int tvq_virtio_watch_bus(const struct virtio_device *vdev)
{
	int err;

	guard(mutex)(&tvq_virtio_bus_lock);
	if (tvq_virtio_bus)
		return 0;
	err = bus_register_notifier(vdev->dev.bus, &tvq_virtio_bus_nb);
	if (!err)
		tvq_virtio_bus = vdev->dev.bus;
	return err;
}

static void tvq_virtio_remove(struct tvq_device *tdev)
{
	struct tvq_virtio *vd = tvq_get_drvdata(tdev);

	/* A dead device's queues have to be broken for its driver to let go. */
	get_device(&vd->vdev.dev);
	unregister_virtio_device(&vd->vdev);
	tvq_device_detach(tdev);
	put_device(&vd->vdev.dev);
}

static int tvq_virtio_probe(struct tvq_device *tdev)
{
	struct tvq_virtio *vd;
	int err;

	vd = kzalloc_obj(*vd);
	if (!vd)
		return -ENOMEM;
	vd->tdev = tdev;
	mutex_init(&vd->vqs_lock);
	INIT_WORK(&vd->late_work, tvq_virtio_late_work);
	vd->vdev.id.device = tdev->type;
	vd->vdev.id.vendor = tdev->vendor;
	vd->vdev.config = &tvq_virtio_config_ops;
	vd->vdev.dev.parent = &tdev->dev;
	vd->vdev.dev.release = tvq_virtio_release;

	tvq_live_get();
	tvq_set_drvdata(tdev, vd);
	tvq_device_attach(tdev);
	err = register_virtio_device(&vd->vdev);
	if (err)
		goto err_detach;
	err = tvq_virtio_watch_bus(&vd->vdev);
	if (err) {
		tvq_virtio_remove(tdev);
		return err;
	}
	return 0;

err_detach:
	tvq_device_detach(tdev);
	put_device(&vd->vdev.dev);
	return err;
}

static void tvq_virtio_config_changed(struct tvq_device *tdev, u8 status)
{
	struct tvq_virtio *vd = tvq_get_drvdata(tdev);

	/*
	 * Without queues there is no driver that could have read it before, and behind its
	 * reset none that wants to know.
	 */
	if (!READ_ONCE(vd->has_vqs) || !READ_ONCE(vd->status))
		return;
	if (status & VIRTIO_CONFIG_S_NEEDS_RESET &&
	    !READ_ONCE(vd->needs_reset)) {
		dev_err_ratelimited(&tdev->dev, "the device needs a reset\n");
		WRITE_ONCE(vd->needs_reset, true);
		virtio_break_device(&vd->vdev);
	}
	virtio_config_changed(&vd->vdev);
}

static void tvq_virtio_failed(struct tvq_device *tdev)
{
	struct tvq_virtio *vd = tvq_get_drvdata(tdev);

	if (!READ_ONCE(vd->has_vqs))
		return;
	virtio_break_device(&vd->vdev);
	/* Of a link that is down its driver has to be told. */
	virtio_config_changed(&vd->vdev);
}

static void tvq_virtio_quiet(struct tvq_device *tdev)
{
	struct tvq_virtio *vd = tvq_get_drvdata(tdev);
	unsigned int ended = 0;
	unsigned int i;

	guard(mutex)(&vd->vqs_lock);
	if (!READ_ONCE(vd->has_vqs) || !tvq_blk_drives(&vd->vdev))
		return;
	tvq_virtio_synchronize_cbs(&vd->vdev);
	for (i = 0; i < vd->num_vqs; i++)
		if (virtqueue_is_broken(vd->vqs[i].vq))
			ended += tvq_blk_end_requests(vd->vqs[i].vq);
	if (ended)
		dev_warn_ratelimited(&tdev->dev,
				     "%u requests of its disk were not ended, and fail\n",
				     ended);
}

/*
 * With users that are not frozen, only those drivers let go that keep them out.
 */
static int tvq_virtio_freeze(struct tvq_device *tdev, bool sleep)
{
	struct tvq_virtio *vd = tvq_get_drvdata(tdev);
	int err;

	/* Its driver may come and go. */
	device_lock(&vd->vdev.dev);
	vd->idle = !vd->vdev.dev.driver;
	vd->by_reset = !sleep;
	if (vd->idle)
		err = 0;
	else if (vd->by_reset)
		err = tvq_vdev_reset_prepare(&vd->vdev);
	else
		err = tvq_vdev_freeze(&vd->vdev);
	WRITE_ONCE(vd->frozen, !err);
	device_unlock(&vd->vdev.dev);
	return err;
}

static int tvq_virtio_restore(struct tvq_virtio *vd)
{
	/* One that is being bound, and waits, has nothing to restore. */
	if (vd->idle)
		return 0;
	return vd->by_reset ? tvq_vdev_reset_done(&vd->vdev) :
			      tvq_vdev_restore(&vd->vdev);
}

static void tvq_virtio_thaw(struct tvq_device *tdev, bool gone)
{
	struct tvq_virtio *vd = tvq_get_drvdata(tdev);
	int err = gone ? -ENODEV : tvq_virtio_restore(vd);

	if (!err)
		goto out;
	dev_err(&tdev->dev, "not restored: %pe\n", ERR_PTR(err));
	/*
	 * A driver that is frozen can't be unbound: it has no queues, and those who
	 * wait for it would wait for ever. With queues that are broken it can. Without
	 * a driver there is nobody to let go.
	 */
	if (!READ_ONCE(vd->has_vqs) && !vd->idle) {
		vd->absent = true;
		err = tvq_virtio_restore(vd);
		if (err)
			dev_err(&tdev->dev, "its driver is stuck: %pe\n",
				ERR_PTR(err));
	}
	if (READ_ONCE(vd->has_vqs))
		virtio_break_device(&vd->vdev);
out:
	WRITE_ONCE(vd->frozen, false);
	wake_up_all(&tvq_virtio_frozen_queue);
}

static struct tvq_driver tvq_virtio_driver = {
	.driver = {
		.name = "virtio_tvq",
	},
	.probe = tvq_virtio_probe,
	.remove = tvq_virtio_remove,
	.config_changed = tvq_virtio_config_changed,
	.failed = tvq_virtio_failed,
	.quiet = tvq_virtio_quiet,
	.freeze = tvq_virtio_freeze,
	.thaw = tvq_virtio_thaw,
};

/**
 * tvq_virtio_init() - register the personality virtio
 *
 * Context: process, may sleep.
 * Return: 0 or an errno.
 */
int tvq_virtio_init(void)
{
	int err;

	tvq_virtio_late_wq = alloc_workqueue("tvq_notify",
					     WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!tvq_virtio_late_wq)
		return -ENOMEM;
	err = tvq_driver_register(&tvq_virtio_driver);
	if (err)
		destroy_workqueue(tvq_virtio_late_wq);
	return err;
}

/**
 * tvq_virtio_exit() - unregister the personality virtio
 *
 * Context: process, may sleep. Unbinds its devices.
 */
void tvq_virtio_exit(void)
{
	tvq_driver_unregister(&tvq_virtio_driver);
	if (tvq_virtio_bus)
		bus_unregister_notifier(tvq_virtio_bus, &tvq_virtio_bus_nb);
	tvq_virtio_bus = NULL;
	destroy_workqueue(tvq_virtio_late_wq);
}
