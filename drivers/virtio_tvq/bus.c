// SPDX-License-Identifier: GPL-2.0
/*
 * The bus virtio_tvq: managed devices as struct device, and what a personality
 * may ask of them.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/virtio_config.h>
#include <linux/virtio_tvq.h>
#include <linux/workqueue.h>
#include <kunit/visibility.h>

#include "bus.h"
#include "cmd.h"
#include "compat.h"
#include "irq.h"
#include "mgmt.h"

/**
 * DOC: lifetime of a managed device
 *
 * A struct tvq_device is made by tvq_device_alloc() once the management device
 * has said what it is, and stands on the bus from tvq_device_add() to
 * tvq_device_remove(). Only put_device() frees it. It lasts as long as somebody
 * holds a reference, but sends no command after tvq_device_remove(): by then
 * its personality is unbound, and what was posted has ended. So the transport
 * virtqueue need not outlive the last reference, only the last device on the
 * bus; the module's code has to outlive both, which tvq_live_wait() sees to.
 */

/* How often configuration space is read because the device says that it has changed. */
#define TVQ_CONFIG_INTERVAL	(HZ / 10)

/*
 * For all that ends a wait for a device: virtio_console spins with a spinlock held, and
 * work of the CPU on which it does so would come after that, which is never.
 */
struct workqueue_struct *tvq_wq;
/* Reads configuration space; what waits for that is done by the above. */
static struct workqueue_struct *tvq_config_wq;
/* Binds drivers, which may wait for as long as they like. */
static struct workqueue_struct *tvq_freezable_wq;

static DEFINE_SPINLOCK(tvq_live_lock);	/* guards tvq_live */
static unsigned int tvq_live;
static DECLARE_WAIT_QUEUE_HEAD(tvq_live_queue);

/**
 * tvq_live_get() - one more object with a release function in this module
 *
 * Context: any.
 */
void tvq_live_get(void)
{
	unsigned long flags;

	spin_lock_irqsave(&tvq_live_lock, flags);
	tvq_live++;
	spin_unlock_irqrestore(&tvq_live_lock, flags);
}

/**
 * tvq_live_put() - an object was released
 *
 * Context: any. Pairs with tvq_live_get().
 */
void tvq_live_put(void)
{
	unsigned long flags;

	spin_lock_irqsave(&tvq_live_lock, flags);
	if (!--tvq_live)
		wake_up_all(&tvq_live_queue);
	spin_unlock_irqrestore(&tvq_live_lock, flags);
}

/**
 * tvq_live_wait() - wait for the last release function
 *
 * Context: process, sleeps.
 */
void tvq_live_wait(void)
{
	spin_lock_irq(&tvq_live_lock);
	wait_event_lock_irq(tvq_live_queue, !tvq_live, tvq_live_lock);
	spin_unlock_irq(&tvq_live_lock);
}

static void tvq_device_post_begin(struct tvq_device *tdev)
{
	unsigned long flags;

	spin_lock_irqsave(&tdev->posted_lock, flags);
	tdev->posted++;
	spin_unlock_irqrestore(&tdev->posted_lock, flags);
}

/*
 * Pairs with tvq_device_post_begin(). Wakes under the lock: whoever waits may
 * free the device as soon as it sees 0.
 */
static void tvq_device_post_end(struct tvq_device *tdev)
{
	unsigned long flags;

	spin_lock_irqsave(&tdev->posted_lock, flags);
	if (!--tdev->posted)
		wake_up_all(&tdev->posted_wait);
	spin_unlock_irqrestore(&tdev->posted_lock, flags);
}

/* Wait until all that was posted has ended, which its deadline bounds. */
static void tvq_device_post_wait(struct tvq_device *tdev)
{
	spin_lock_irq(&tdev->posted_lock);
	wait_event_lock_irq(tdev->posted_wait, !tdev->posted, tdev->posted_lock);
	spin_unlock_irq(&tdev->posted_lock);
}

static void tvq_device_posted(void *ctx, int err)
{
	struct tvq_device *tdev = ctx;

	if (err && !test_bit(TVQ_DEVICE_LAPSED, &tdev->flags))
		tvq_device_fail(tdev);
	tvq_device_post_end(tdev);
}

/* The result of a command that the device ought to have taken. */
static int tvq_device_check(struct tvq_device *tdev, int err)
{
	/* It was reset meanwhile. */
	if (test_bit(TVQ_DEVICE_LAPSED, &tdev->flags))
		return err;
	if (err == -ETIMEDOUT || err == -EIO || err == -EPROTO)
		tvq_device_fail(tdev);
	return err;
}

/**
 * tvq_device_is_dead() - has the device been given up
 * @tdev: managed device
 *
 * Context: any.
 * Return: true after tvq_device_fail().
 */
bool tvq_device_is_dead(struct tvq_device *tdev)
{
	return test_bit(TVQ_DEVICE_DEAD, &tdev->flags);
}
EXPORT_SYMBOL_GPL(tvq_device_is_dead);

/**
 * tvq_device_fail() - give up on a device that does not answer
 * @tdev: managed device
 *
 * Its personality is told, once, from process context. All other devices of
 * the management device go on.
 *
 * Context: any up to hard interrupt.
 */
void tvq_device_fail(struct tvq_device *tdev)
{
	/* Its commands fail because the function is being reset. */
	if (test_bit(TVQ_DEVICE_FROZEN, &tdev->flags) &&
	    !test_bit(TVQ_DEVICE_THAWING, &tdev->flags))
		return;
	if (!test_and_set_bit(TVQ_DEVICE_DEAD, &tdev->flags))
		queue_work(tvq_wq, &tdev->fail_work);
}
EXPORT_SYMBOL_GPL(tvq_device_fail);

/*
 * Somebody waits until a device's driver lets go of it, and that may be waiting for what
 * the device has forgotten, or for one that has ended without a word: while the
 * function is reset or let go of, nobody looks. As long as it gives something back, it
 * is a matter of time: to take a disk away may be to write all that is cached of it.
 */
static void tvq_device_stuck_work(struct work_struct *work)
{
	struct tvq_device *tdev = container_of(work, struct tvq_device,
					       stuck_work.work);
	unsigned long end = READ_ONCE(tdev->alive) + tdev->let_go_time;

	if (time_before(jiffies, end)) {
		queue_delayed_work(tvq_wq, &tdev->stuck_work, end - jiffies);
		return;
	}
	dev_err(&tdev->dev, "its driver doesn't let go\n");
	tvq_device_fail(tdev);
}

/* From here to tvq_device_has_let_go(), somebody waits until its driver lets go of it. */
static void tvq_device_await(struct tvq_device *tdev)
{
	WRITE_ONCE(tdev->alive, jiffies);
	queue_delayed_work(tvq_wq, &tdev->stuck_work, tdev->let_go_time);
}

static void tvq_device_has_let_go(struct tvq_device *tdev)
{
	cancel_delayed_work_sync(&tdev->stuck_work);
}

static void tvq_device_fail_work(struct work_struct *work)
{
	struct tvq_device *tdev = container_of(work, struct tvq_device,
					       fail_work);

	if (test_bit(TVQ_DEVICE_GONE, &tdev->flags))
		dev_info_ratelimited(&tdev->dev, "removed by the other side\n");
	/*
	 * Nor is it its own fault where the function was reset, or is let go of while
	 * it comes.
	 */
	else if (tvq_device_is_dead(tdev) &&
		 (!test_bit(TVQ_DEVICE_LEAVING, &tdev->flags) ||
		  test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags)))
		dev_err_ratelimited(&tdev->dev,
				    "does not answer, giving up on it\n");
	mutex_lock(&tdev->drv_lock);
	if (tdev->drv && tdev->drv->failed)
		tdev->drv->failed(tdev);
	mutex_unlock(&tdev->drv_lock);
	if (tvq_device_is_dead(tdev))
		queue_work(tvq_wq, &tdev->quiet_work);
}

/**
 * tvq_device_cut_off() - give up on a device whose function is kept from memory
 * @tdev: managed device
 *
 * As tvq_device_fail(), and its users need not wait any more.
 *
 * Context: any up to hard interrupt.
 */
void tvq_device_cut_off(struct tvq_device *tdev)
{
	set_bit(TVQ_DEVICE_CUT_OFF, &tdev->flags);
	if (tvq_device_is_dead(tdev))
		queue_work(tvq_wq, &tdev->quiet_work);
	else
		tvq_device_fail(tdev);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_cut_off);

/* The device does not access memory any more. */
static void tvq_device_tell_quiet(struct tvq_device *tdev)
{
	mutex_lock(&tdev->drv_lock);
	if (tdev->drv && tdev->drv->quiet)
		tdev->drv->quiet(tdev);
	mutex_unlock(&tdev->drv_lock);
}

/**
 * tvq_device_lost() - the function was reset, and so was this device
 * @tdev: managed device
 *
 * If it has not been frozen, its driver may be waiting for an answer, taking the device up
 * or letting go of it just now: none will come. Until the driver begins anew, by a
 * reset, the device is not asked for anything, since it knows of nothing.
 *
 * Context: any up to hard interrupt; tvq_device_lost_wait() is to follow.
 */
void tvq_device_lost(struct tvq_device *tdev)
{
	if (test_bit(TVQ_DEVICE_FROZEN, &tdev->flags))
		return;
	set_bit(TVQ_DEVICE_LAPSED, &tdev->flags);
	if (test_bit(TVQ_DEVICE_RECOVERING, &tdev->flags) ||
	    !test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags))
		set_bit(TVQ_DEVICE_AGAIN, &tdev->flags);
	queue_work(tvq_wq, &tdev->fail_work);
}

/**
 * tvq_device_lost_wait() - wait until a device's driver knows that it is lost
 * @tdev: managed device, for which, and for all others, tvq_device_lost() was called:
 *	the driver of one may keep a CPU from RCU, for which this may wait
 *
 * Context: process, may sleep.
 */
void tvq_device_lost_wait(struct tvq_device *tdev)
{
	if (test_bit(TVQ_DEVICE_FROZEN, &tdev->flags))
		return;
	flush_work(&tdev->fail_work);
	tvq_device_tell_quiet(tdev);
}

/* Is it of no use to ask the device for what its driver wants? */
static bool tvq_device_is_void(struct tvq_device *tdev)
{
	return tvq_device_is_dead(tdev) ||
	       test_bit(TVQ_DEVICE_LAPSED, &tdev->flags);
}

/**
 * tvq_device_dma_dev() - the device that does the DMA of a managed device
 * @tdev: managed device
 *
 * Context: any.
 * Return: the management function.
 */
struct device *tvq_device_dma_dev(struct tvq_device *tdev)
{
	return tdev->dev.parent;
}
EXPORT_SYMBOL_GPL(tvq_device_dma_dev);

/* The device is as a reset leaves it. */
static void tvq_device_is_reset(struct tvq_device *tdev)
{
	lockdep_assert_held(&tdev->lock);
	tdev->pristine = true;
	clear_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags);
	mutex_lock(&tdev->config_lock);
	tdev->config_stale = true;
	mutex_unlock(&tdev->config_lock);
}

static int tvq_device_do_reset(struct tvq_device *tdev)
{
	int err = 0;

	lockdep_assert_held(&tdev->lock);
	if (tdev->pristine) {
		clear_bit(TVQ_DEVICE_LAPSED, &tdev->flags);
		return 0;
	}
	tvq_irq_live(tdev, false);
	/*
	 * Commands of one device are executed in order: these end before. One that was
	 * given up may be alive all the same, and write to what is about to be freed.
	 */
	if (test_bit(TVQ_DEVICE_MUTE, &tdev->flags))
		err = -EIO;
	else
		err = tvq_cmd_reset(tdev->cmdq, tdev->id);
	/* One that refuses is asked once more, by tvq_device_quiet_work(). */
	if (err == -ETIMEDOUT ||
	    (err && err != -ENXIO && tvq_device_is_dead(tdev) &&
	     !test_bit(TVQ_DEVICE_LAPSED, &tdev->flags)))
		set_bit(TVQ_DEVICE_MUTE, &tdev->flags);
	tvq_device_post_wait(tdev);
	/* A status read before that is not to be told behind it. */
	flush_delayed_work(&tdev->config_work);
	if (err == -ENXIO) {
		/* It was destroyed on the other side: nothing is left to reset. */
		if (!test_and_set_bit(TVQ_DEVICE_GONE, &tdev->flags) &&
		    tdev->mgmt)
			/* And if that is not so, it leaves, and comes anew. */
			tvq_mgmt_config_interrupt(tdev->mgmt);
		err = 0;
	}
	if (err) {
		/* Whatever the error: it may go on as it likes. */
		if (!test_bit(TVQ_DEVICE_LAPSED, &tdev->flags))
			tvq_device_fail(tdev);
		return err;
	}
	tvq_device_is_reset(tdev);
	clear_bit(TVQ_DEVICE_LAPSED, &tdev->flags);
	return 0;
}

/**
 * tvq_device_reset() - bring a device into the state without a driver
 * @tdev: managed device
 *
 * When it returns 0, the device does not access memory nor interrupt. A device
 * that is known to be in that state is not asked again, which is what makes
 * registration with the virtio core, that begins with a reset, cost nothing.
 *
 * Context: process, may sleep, up to the deadline of the commands outstanding.
 * Return: 0; -EIO for a device that does not answer any more, or as in cmd.h.
 */
int tvq_device_reset(struct tvq_device *tdev)
{
	guard(mutex)(&tdev->lock);
	return tvq_device_do_reset(tdev);
}
EXPORT_SYMBOL_GPL(tvq_device_reset);

/*
 * A device that has failed, or needs a reset, is asked to stop, unless it has
 * stopped already. One that does not answer goes on as it likes: only a reset of
 * the function helps, see tvq_mgmt_link_down().
 */
static void tvq_device_quiet_work(struct work_struct *work)
{
	struct tvq_device *tdev = container_of(work, struct tvq_device,
					       quiet_work);
	int err;

	mutex_lock(&tdev->lock);
	if (test_bit(TVQ_DEVICE_CUT_OFF, &tdev->flags) ||
	    test_bit(TVQ_DEVICE_GONE, &tdev->flags))
		err = 0;
	else if (tvq_device_is_dead(tdev) ||
		 test_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags))
		err = tvq_device_do_reset(tdev);
	else
		err = -EAGAIN;
	mutex_unlock(&tdev->lock);
	if (!err)
		tvq_device_tell_quiet(tdev);
}

/**
 * tvq_device_negotiate() - give the device the driver's features and status
 * @tdev: managed device
 * @features: VIRTIO_TVQ_FEATURES_U64S words
 * @status: with FEATURES_OK
 * @result: the device's status after that; without FEATURES_OK when it does not
 *	accept the features
 *
 * Context: process, may sleep.
 * Return: 0 or as in cmd.h.
 */
int tvq_device_negotiate(struct tvq_device *tdev, const u64 *features,
			 u8 status, u8 *result)
{
	guard(mutex)(&tdev->lock);
	if (tvq_device_is_void(tdev))
		return -EIO;
	tdev->pristine = false;
	return tvq_device_check(tdev, tvq_cmd_negotiate(tdev->cmdq, tdev->id,
							features, status,
							result));
}
EXPORT_SYMBOL_GPL(tvq_device_negotiate);

/**
 * tvq_device_post_status() - set the device's status, without a wait
 * @tdev: managed device
 * @status: not 0
 *
 * A device that refuses is failed: see tvq_device_fail().
 *
 * Context: process, may sleep for memory alone, until there is some: the virtio core takes
 * no error.
 * Return: 0, or an error when it could not even be posted.
 */
int tvq_device_post_status(struct tvq_device *tdev, u8 status)
{
	int err;

	guard(mutex)(&tdev->lock);
	if (tvq_device_is_void(tdev))
		return -EIO;
	tdev->pristine = false;
	tvq_device_post_begin(tdev);
	err = tvq_cmd_post_status(tdev->cmdq, tdev->id, status,
				  GFP_KERNEL | __GFP_NOFAIL, tvq_device_posted,
				  tdev);
	if (err)
		tvq_device_post_end(tdev);
	return tvq_device_check(tdev, err);
}
EXPORT_SYMBOL_GPL(tvq_device_post_status);

/**
 * tvq_device_setup_vqs() - set up and enable queues, with their interrupts
 * @tdev: managed device, its vectors allocated and requested
 * @vqs: the queues
 * @num_vqs: how many
 * @config_vector: entry for the configuration interrupt, or
 *	VIRTIO_TVQ_NO_VECTOR
 *
 * One command for all of them, which carries the interrupt messages, too.
 *
 * Context: process, may sleep.
 * Return: 0 or as in cmd.h.
 */
int tvq_device_setup_vqs(struct tvq_device *tdev,
			 const struct tvq_vq_setup *vqs, unsigned int num_vqs,
			 u16 config_vector)
{
	struct tvq_msi *msis __free(kfree) = NULL;
	unsigned int num_msi;
	int err;

	guard(mutex)(&tdev->lock);
	if (tvq_device_is_void(tdev))
		return -EIO;
	msis = kcalloc(max_t(unsigned int, tdev->num_vectors, 1),
		       sizeof(*msis), GFP_KERNEL);
	if (!msis)
		return -ENOMEM;
	tdev->pristine = false;
	num_msi = tvq_irq_collect(tdev, msis);
	err = tvq_cmd_setup(tdev->cmdq, tdev->id, vqs, num_vqs, msis, num_msi,
			    config_vector);
	if (!err)
		tvq_irq_live(tdev, true);
	return tvq_device_check(tdev, err);
}
EXPORT_SYMBOL_GPL(tvq_device_setup_vqs);

/**
 * tvq_device_enable_vq() - enable one queue again, after tvq_device_reset_vq()
 * @tdev: managed device
 * @vq: the queue
 * @config_vector: the device's entry for the configuration interrupt, as before
 *
 * Context: process, may sleep.
 * Return: 0 or as in cmd.h.
 */
int tvq_device_enable_vq(struct tvq_device *tdev,
			 const struct tvq_vq_setup *vq, u16 config_vector)
{
	guard(mutex)(&tdev->lock);
	if (tvq_device_is_void(tdev))
		return -EIO;
	return tvq_device_check(tdev, tvq_cmd_setup(tdev->cmdq, tdev->id, vq, 1,
						    NULL, 0, config_vector));
}
EXPORT_SYMBOL_GPL(tvq_device_enable_vq);

/**
 * tvq_device_reset_vq() - reset one queue
 * @tdev: managed device, VIRTIO_F_RING_RESET negotiated
 * @index: of the queue
 *
 * Context: process, may sleep.
 * Return: 0, and the device uses the queue no more, or as in cmd.h.
 */
int tvq_device_reset_vq(struct tvq_device *tdev, u16 index)
{
	guard(mutex)(&tdev->lock);
	if (tvq_device_is_void(tdev))
		return -EIO;
	return tvq_device_check(tdev, tvq_cmd_reset_vq(tdev->cmdq, tdev->id,
						       index));
}
EXPORT_SYMBOL_GPL(tvq_device_reset_vq);

/**
 * tvq_device_post_notify() - notify a device that has no doorbell
 * @tdev: managed device
 * @data: what a doorbell would get
 * @gfp: how to allocate
 *
 * Context: any that @gfp allows, up to hard interrupt.
 * Return: 0; -ENOMEM, which is worth another attempt; or another error, which is not.
 */
int tvq_device_post_notify(struct tvq_device *tdev, u32 data, gfp_t gfp)
{
	int err;

	if (tvq_device_is_dead(tdev))
		return -EIO;
	tvq_device_post_begin(tdev);
	err = tvq_cmd_post_notify(tdev->cmdq, tdev->id, data, gfp,
				  tvq_device_posted, tdev);
	if (err)
		tvq_device_post_end(tdev);
	return tvq_device_check(tdev, err);
}
EXPORT_SYMBOL_GPL(tvq_device_post_notify);

/**
 * struct tvq_shm_region - a shared memory region whose place is known
 * @node: in the device's list
 * @id: of the region
 * @res: what it takes of its BAR. Not busy: a driver requests it for its use
 */
struct tvq_shm_region {
	struct list_head node;
	u8 id;
	struct resource res;
};

/*
 * Ask for a region and reserve its place in the BAR, which fails if that is
 * outside the BAR or overlaps what is reserved there: another region, of this
 * or another device.
 */
static struct tvq_shm_region *tvq_shm_reserve(struct tvq_device *tdev, u8 id)
{
	struct tvq_shm_region *region;
	struct resource *bar;
	struct tvq_shm shm;
	int err;

	err = tvq_device_check(tdev, tvq_cmd_get_shm(tdev->cmdq, tdev->id, id,
						     &shm));
	if (err)
		return ERR_PTR(err);
	bar = tdev->shm_bars ? tdev->shm_bars[shm.bar] : NULL;
	if (!bar || shm.offset + shm.length > resource_size(bar))
		goto lie;
	region = kzalloc_obj(*region);
	if (!region)
		return ERR_PTR(-ENOMEM);
	region->id = id;
	region->res = DEFINE_RES_MEM_NAMED(bar->start + shm.offset, shm.length,
					   dev_name(&tdev->dev));
	if (request_resource(bar, &region->res)) {
		kfree(region);
		goto lie;
	}
	list_add(&region->node, &tdev->shm_regions);
	return region;

lie:
	dev_err_ratelimited(&tdev->dev,
			    "shared memory %u at %#llx+%#llx of BAR %u can't be there\n",
			    id, shm.offset, shm.length, shm.bar);
	return ERR_PTR(-EPROTO);
}

/* Nobody uses them any more. */
static void tvq_shm_release(struct tvq_device *tdev)
{
	struct tvq_shm_region *region, *next;

	list_for_each_entry_safe(region, next, &tdev->shm_regions, node) {
		release_resource(&region->res);
		kfree(region);
	}
	INIT_LIST_HEAD(&tdev->shm_regions);
}

/**
 * tvq_device_get_shm() - find a shared memory region
 * @tdev: managed device
 * @id: of the region
 * @region: filled in: physical address and length in bytes
 *
 * A region keeps its place as long as the device exists: the device is asked
 * once. A driver that maps it requests it, by request_mem_region().
 *
 * Context: process, may sleep.
 * Return: 0; -ENXIO when the device has no such region; -EPROTO when it can't
 * be where the device says; or as in cmd.h.
 */
int tvq_device_get_shm(struct tvq_device *tdev, u8 id,
		       struct virtio_shm_region *region)
{
	struct tvq_shm_region *known;

	guard(mutex)(&tdev->lock);
	list_for_each_entry(known, &tdev->shm_regions, node)
		if (known->id == id)
			goto found;
	if (tvq_device_is_dead(tdev))
		return -EIO;
	known = tvq_shm_reserve(tdev, id);
	if (IS_ERR(known))
		return PTR_ERR(known);
found:
	region->addr = known->res.start;
	region->len = resource_size(&known->res);
	return 0;
}
EXPORT_SYMBOL_GPL(tvq_device_get_shm);

static void tvq_config_store(struct tvq_device *tdev,
			     const struct tvq_config *config)
{
	lockdep_assert_held(&tdev->config_lock);
	/* Its size is fixed by CREATE; what a device says later can't grow it. */
	memcpy(tdev->config, config->data,
	       min(tdev->config_len, config->length));
	tdev->config_generation = config->generation;
	tdev->config_stale = false;
}

/* A fresh copy, or the last good one and an error. */
static int tvq_config_refresh(struct tvq_device *tdev, u8 *status)
{
	struct tvq_config *config __free(kfree) = NULL;
	int err;

	lockdep_assert_held(&tdev->config_lock);
	if (tvq_device_is_dead(tdev))
		return -EIO;
	/* A change that is announced once must not be missed for want of memory. */
	config = kmalloc_obj(*config, GFP_KERNEL | __GFP_NOFAIL);
	err = tvq_cmd_get_config(tdev->cmdq, tdev->id, config);
	if (err)
		return tvq_device_check(tdev, err);
	tvq_config_store(tdev, config);
	*status = config->status;
	return 0;
}

static void tvq_device_config_work(struct work_struct *work)
{
	struct tvq_device *tdev = container_of(work, struct tvq_device,
					       config_work.work);
	bool news = false;
	u8 status = 0;
	int err;

	if (test_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags)) {
		/* What else the device says is of no matter any more. */
		status = VIRTIO_CONFIG_S_NEEDS_RESET;
		goto tell;
	}
	mutex_lock(&tdev->config_lock);
	WRITE_ONCE(tdev->config_next, jiffies + TVQ_CONFIG_INTERVAL);
	err = tvq_config_refresh(tdev, &status);
	if (!err) {
		news = tdev->config_generation != tdev->config_told;
		tdev->config_told = tdev->config_generation;
	}
	mutex_unlock(&tdev->config_lock);
	if (status & VIRTIO_CONFIG_S_NEEDS_RESET)
		set_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags);
	else if (!news)
		return;
tell:
	mutex_lock(&tdev->drv_lock);
	if (tdev->drv && tdev->drv->config_changed)
		tdev->drv->config_changed(tdev, status);
	mutex_unlock(&tdev->drv_lock);
	if (status & VIRTIO_CONFIG_S_NEEDS_RESET)
		queue_work(tvq_wq, &tdev->quiet_work);
}

/**
 * tvq_config_interrupt() - the device has sent its configuration interrupt
 * @tdev: managed device
 *
 * Reads configuration space and then tells the personality: at once, but not more
 * often than ten times a second, so that a device which sends interrupts without end
 * costs no more than that, and its driver says no more about it.
 *
 * Context: any up to hard interrupt.
 */
void tvq_config_interrupt(struct tvq_device *tdev)
{
	unsigned long now = jiffies, next = READ_ONCE(tdev->config_next);

	queue_delayed_work(tvq_config_wq, &tdev->config_work,
			   time_before(now, next) ? next - now : 0);
}
EXPORT_SYMBOL_GPL(tvq_config_interrupt);

/**
 * tvq_device_needs_reset() - the device has done what there is no going on after
 * @tdev: managed device
 *
 * As if it had set DEVICE_NEEDS_RESET: its personality is told so, and it is reset, so
 * that its users need not wait for what will not come.
 *
 * Context: any up to hard interrupt.
 */
void tvq_device_needs_reset(struct tvq_device *tdev)
{
	if (!tvq_device_is_void(tdev) &&
	    !test_and_set_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags))
		queue_delayed_work(tvq_config_wq, &tdev->config_work, 0);
}
EXPORT_SYMBOL_GPL(tvq_device_needs_reset);

/**
 * tvq_config_poll() - the device may have sent its configuration interrupt
 * @tdev: managed device
 *
 * For a vector that the configuration shares with queues, where nobody can say
 * what an interrupt was for. Does as tvq_config_interrupt(), but never at once, so
 * that a busy queue costs no more than that.
 *
 * Context: any up to hard interrupt.
 */
void tvq_config_poll(struct tvq_device *tdev)
{
	queue_delayed_work(tvq_config_wq, &tdev->config_work, TVQ_CONFIG_INTERVAL);
}
EXPORT_SYMBOL_GPL(tvq_config_poll);

/**
 * tvq_config_read() - read configuration space
 * @tdev: managed device
 * @offset: of the first byte
 * @buf: filled in, in any case: with zeros for what lies outside
 * @len: number of bytes
 *
 * Reads the cached copy, which is as new as the last configuration interrupt.
 *
 * Context: process, may sleep: after a reset, the first read is a command.
 * Return: 0; -EINVAL for a range outside configuration space; another error
 * where the device could not be read, and the last good copy was.
 */
int tvq_config_read(struct tvq_device *tdev, unsigned int offset, void *buf,
		    unsigned int len)
{
	int err = 0;
	u8 status;

	guard(mutex)(&tdev->config_lock);
	if (offset > tdev->config_len || len > tdev->config_len - offset) {
		memset(buf, 0, len);
		return -EINVAL;
	}
	if (tdev->config_stale)
		err = tvq_config_refresh(tdev, &status);
	memcpy(buf, tdev->config + offset, len);
	return err;
}
EXPORT_SYMBOL_GPL(tvq_config_read);

/**
 * tvq_config_write() - write configuration space
 * @tdev: managed device
 * @offset: of the first byte
 * @buf: what to write
 * @len: number of bytes, 1 or more
 *
 * What the device made of it is read back with the same command.
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL for a range outside configuration space; or as in cmd.h.
 */
int tvq_config_write(struct tvq_device *tdev, unsigned int offset,
		     const void *buf, unsigned int len)
{
	struct tvq_config *config __free(kfree) = NULL;
	int err;

	/* The virtio core takes no error. */
	config = kmalloc_obj(*config, GFP_KERNEL | __GFP_NOFAIL);
	guard(mutex)(&tdev->config_lock);
	if (!len || offset > tdev->config_len || len > tdev->config_len - offset)
		return -EINVAL;
	if (tvq_device_is_dead(tdev))
		return -EIO;
	err = tvq_cmd_set_config(tdev->cmdq, tdev->id, offset, buf, len, config);
	if (!err)
		tvq_config_store(tdev, config);
	return tvq_device_check(tdev, err);
}
EXPORT_SYMBOL_GPL(tvq_config_write);

/**
 * tvq_config_generation() - generation of what tvq_config_read() returns
 * @tdev: managed device
 *
 * Context: process, may sleep.
 * Return: the generation.
 */
u32 tvq_config_generation(struct tvq_device *tdev)
{
	guard(mutex)(&tdev->config_lock);
	return tdev->config_generation;
}
EXPORT_SYMBOL_GPL(tvq_config_generation);

static int tvq_bus_match(struct device *dev, const struct device_driver *drv)
{
	struct tvq_device *tdev = to_tvq_device(dev);
	int ret = tvq_match_override(tdev, drv);

	return ret >= 0 ? ret : 1;
}

static int tvq_bus_uevent(const struct device *dev, struct kobj_uevent_env *env)
{
	const struct tvq_device *tdev = to_tvq_device(dev);
	int err;

	err = add_uevent_var(env, "TVQ_DEVICE_ID=%llu", tdev->id);
	if (!err)
		err = add_uevent_var(env, "TVQ_TYPE=%u", tdev->type);
	if (!err && tdev->name[0])
		err = add_uevent_var(env, "TVQ_NAME=%s", tdev->name);
	return err;
}

/**
 * tvq_device_attach() - let the personality's callbacks come
 * @tdev: managed device
 *
 * For a personality's probe, as soon as what its callbacks use is there.
 *
 * Context: process, may sleep.
 */
void tvq_device_attach(struct tvq_device *tdev)
{
	mutex_lock(&tdev->drv_lock);
	tdev->drv = to_tvq_driver(tdev->dev.driver);
	mutex_unlock(&tdev->drv_lock);
}
EXPORT_SYMBOL_GPL(tvq_device_attach);

/**
 * tvq_device_detach() - no more callbacks
 * @tdev: managed device
 *
 * Pairs with tvq_device_attach(); called by a personality before it frees what
 * its callbacks use. None runs any more when this returns.
 *
 * Context: process, may sleep; not from a callback.
 */
void tvq_device_detach(struct tvq_device *tdev)
{
	mutex_lock(&tdev->drv_lock);
	tdev->drv = NULL;
	mutex_unlock(&tdev->drv_lock);
}
EXPORT_SYMBOL_GPL(tvq_device_detach);

static DECLARE_WAIT_QUEUE_HEAD(tvq_frozen_queue);

/* Whoever binds or unbinds while the function is reset waits until it is done. */
static void tvq_device_wait_thawed(struct tvq_device *tdev)
{
	wait_event(tvq_frozen_queue, !test_bit(TVQ_DEVICE_FROZEN, &tdev->flags));
}

static int tvq_bus_probe(struct device *dev)
{
	struct tvq_device *tdev = to_tvq_device(dev);

	tvq_device_wait_thawed(tdev);
	/* On its way off the bus: no fault, and whoever binds it was late, as with ENODEV. */
	if (test_bit(TVQ_DEVICE_GONE, &tdev->flags))
		return -ENODEV;
	if (tvq_device_is_dead(tdev))
		return -EIO;
	return to_tvq_driver(dev->driver)->probe(tdev);
}

static void tvq_bus_remove(struct device *dev)
{
	struct tvq_device *tdev = to_tvq_device(dev);

	tvq_device_wait_thawed(tdev);
	to_tvq_driver(dev->driver)->remove(tdev);
}

/* Call the personality's freeze. */
static int tvq_device_let_go(struct tvq_device *tdev, bool sleep)
{
	struct tvq_driver *drv;
	int err;

	device_lock_assert(&tdev->dev);
	if (!tdev->dev.driver)
		return 0;
	drv = to_tvq_driver(tdev->dev.driver);
	err = drv->freeze ? drv->freeze(tdev, sleep) : -EOPNOTSUPP;
	if (!err)
		set_bit(TVQ_DEVICE_LET_GO, &tdev->flags);
	return err;
}

/*
 * Call the personality's thaw, which nobody can unbind before this is through. One that
 * is just being bound waits for that in tvq_bus_probe(), and has nothing to thaw.
 */
static void tvq_device_take_up(struct tvq_device *tdev, bool gone)
{
	guard(mutex)(&tdev->thaw_lock);
	if (test_and_clear_bit(TVQ_DEVICE_LET_GO, &tdev->flags))
		to_tvq_driver(tdev->dev.driver)->thaw(tdev, gone);
	clear_bit(TVQ_DEVICE_FROZEN, &tdev->flags);
	clear_bit(TVQ_DEVICE_THAWING, &tdev->flags);
	wake_up_all(&tvq_frozen_queue);
}

/**
 * tvq_device_freeze() - get a device ready for a reset of its function
 * @tdev: managed device on the bus, that nobody takes off it meanwhile
 * @sleep: the system is to sleep
 *
 * Its users wait until tvq_device_thaw(), and what they have been promised was
 * done. Not so with a device that has failed or needs a reset, and one whose driver
 * has not let go of it for its let_go_time, while it gave nothing back, is taken to
 * have failed: its driver might wait for ever. That is dealt with after the reset, and
 * where it is still being dealt with, the device is left alone.
 *
 * Context: process, may sleep.
 * Return: 0, or an error of the personality, which keeps the system from
 * sleeping; for a reset always 0.
 */
int tvq_device_freeze(struct tvq_device *tdev, bool sleep)
{
	int err;

	if (test_bit(TVQ_DEVICE_FROZEN, &tdev->flags) ||
	    test_bit(TVQ_DEVICE_DEAD, &tdev->flags) ||
	    test_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags) ||
	    test_bit(TVQ_DEVICE_RECOVERING, &tdev->flags))
		return 0;
	/* Nor for one that answers commands, and has forgotten what it was given. */
	tvq_device_await(tdev);
	device_lock(&tdev->dev);
	err = tvq_device_let_go(tdev, sleep);
	if (!err)
		set_bit(TVQ_DEVICE_FROZEN, &tdev->flags);
	device_unlock(&tdev->dev);
	/* tvq_device_thaw() has it bound again. */
	if (err && !sleep)
		device_release_driver(&tdev->dev);
	tvq_device_has_let_go(tdev);
	if (!err) {
		/* Who takes it off the bus may have looked before, and waits for us. */
		smp_mb__after_atomic();
		if (test_bit(TVQ_DEVICE_LEAVING, &tdev->flags))
			tvq_device_abandon(tdev);
		return 0;
	}
	if (!sleep)
		return 0;
	dev_err(&tdev->dev, "its driver can't sleep: %pe\n", ERR_PTR(err));
	return err;
}

/**
 * tvq_device_thaw() - take a device into use again
 * @tdev: managed device, whose function answers commands, with or without
 *	tvq_device_freeze() before that
 * @was_reset: the function was reset; otherwise the device is frozen
 *
 * One that could not be frozen is recovered by a work item, since nobody knows how
 * long its driver takes to let go.
 *
 * Context: process, may sleep.
 */
void tvq_device_thaw(struct tvq_device *tdev, bool was_reset)
{
	bool frozen = test_bit(TVQ_DEVICE_FROZEN, &tdev->flags);

	/* What was under way has failed with the transport virtqueue. */
	cancel_delayed_work_sync(&tdev->config_work);
	flush_work(&tdev->fail_work);
	flush_work(&tdev->quiet_work);
	tvq_device_post_wait(tdev);
	mutex_lock(&tdev->lock);
	/* Not of one that has come, or begun anew, since the function was reset. */
	if (was_reset &&
	    (frozen || test_bit(TVQ_DEVICE_LAPSED, &tdev->flags))) {
		tvq_irq_live(tdev, false);
		tvq_device_is_reset(tdev);
	}
	mutex_unlock(&tdev->lock);
	/* One that failed before it froze, and stopped, is as good as one that did not. */
	if (was_reset || (!test_bit(TVQ_DEVICE_MUTE, &tdev->flags) &&
			  !test_bit(TVQ_DEVICE_CUT_OFF, &tdev->flags))) {
		clear_bit(TVQ_DEVICE_DEAD, &tdev->flags);
		clear_bit(TVQ_DEVICE_MUTE, &tdev->flags);
		clear_bit(TVQ_DEVICE_CUT_OFF, &tdev->flags);
	}
	if (!frozen) {
		set_bit(TVQ_DEVICE_RECOVERING, &tdev->flags);
		queue_work(tvq_freezable_wq, &tdev->recover_work);
		return;
	}
	set_bit(TVQ_DEVICE_THAWING, &tdev->flags);
	tvq_device_take_up(tdev, false);
	/* It may have changed, and generations begun anew, meanwhile. */
	mutex_lock(&tdev->config_lock);
	tdev->config_told = -1;
	mutex_unlock(&tdev->config_lock);
	tvq_config_interrupt(tdev);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_thaw);

/**
 * tvq_device_abandon() - a device that may be frozen does not come back
 * @tdev: managed device
 *
 * Its users see that, and its driver can be unbound.
 *
 * Context: process, may sleep.
 */
void tvq_device_abandon(struct tvq_device *tdev)
{
	if (!test_bit(TVQ_DEVICE_FROZEN, &tdev->flags))
		return;
	/* Another reset is to find it as one that has failed. */
	set_bit(TVQ_DEVICE_DEAD, &tdev->flags);
	tvq_device_take_up(tdev, true);
}

/* What tvq_device_thaw() has left, for a device that was not frozen. */
static void tvq_device_recover_work(struct work_struct *work)
{
	struct tvq_device *tdev = container_of(work, struct tvq_device,
					       recover_work);
	int err = -ENODEV;
	bool again;

	set_bit(TVQ_DEVICE_RECOVERING, &tdev->flags);
	device_lock(&tdev->dev);
	again = test_and_clear_bit(TVQ_DEVICE_AGAIN, &tdev->flags);
	if (test_bit(TVQ_DEVICE_FROZEN, &tdev->flags)) {
		/* Another reset was faster, and its thaw does it. */
		err = 0;
	} else if (tdev->dev.driver && !again) {
		err = tvq_device_let_go(tdev, false);
		if (!err)
			tvq_device_take_up(tdev, false);
		/* If that was too early, it can be done once more. */
		clear_bit(TVQ_DEVICE_AGAIN, &tdev->flags);
	}
	device_unlock(&tdev->dev);
	if (err) {
		device_release_driver(&tdev->dev);
		err = device_attach(&tdev->dev);
		if (err < 0)
			dev_err(&tdev->dev, "can't be bound after a reset: %pe\n",
				ERR_PTR(err));
	}
	clear_bit(TVQ_DEVICE_RECOVERING, &tdev->flags);
}

/**
 * tvq_device_bind_again() - the function was reset while a device came onto the bus
 * @tdev: managed device on the bus; the reset is over
 *
 * What its driver has agreed upon with the device is void, if it had got that far. Unless
 * tvq_device_thaw() has been told of the device, this does as much.
 *
 * Context: process, may sleep, for as long as the driver takes.
 */
void tvq_device_bind_again(struct tvq_device *tdev)
{
	if (test_bit(TVQ_DEVICE_AGAIN, &tdev->flags) &&
	    !test_bit(TVQ_DEVICE_RECOVERING, &tdev->flags))
		tvq_device_thaw(tdev, true);
	flush_work(&tdev->recover_work);
}

const struct bus_type tvq_bus_type = {
	.name = "virtio_tvq",
	.match = tvq_bus_match,
	.uevent = tvq_bus_uevent,
	.probe = tvq_bus_probe,
	.remove = tvq_bus_remove,
	.dev_groups = tvq_device_groups,
	TVQ_BUS_DRIVER_OVERRIDE
};

/**
 * __tvq_driver_register() - register a personality
 * @drv: its driver
 * @owner: its module
 *
 * Use tvq_driver_register().
 *
 * Context: process, may sleep. Binds devices.
 * Return: 0 or an errno.
 */
int __tvq_driver_register(struct tvq_driver *drv, struct module *owner)
{
	drv->driver.bus = &tvq_bus_type;
	drv->driver.owner = owner;
	return driver_register(&drv->driver);
}
EXPORT_SYMBOL_GPL(__tvq_driver_register);

/**
 * tvq_driver_unregister() - unregister a personality
 * @drv: its driver
 *
 * Context: process, may sleep. Unbinds devices.
 */
void tvq_driver_unregister(struct tvq_driver *drv)
{
	driver_unregister(&drv->driver);
}
EXPORT_SYMBOL_GPL(tvq_driver_unregister);

static void tvq_device_release(struct device *dev)
{
	struct tvq_device *tdev = to_tvq_device(dev);

	kfree(tdev->driver_override);
	kfree(tdev->config);
	kfree(tdev->vq_size);
	mutex_destroy(&tdev->thaw_lock);
	mutex_destroy(&tdev->member_lock);
	mutex_destroy(&tdev->drv_lock);
	mutex_destroy(&tdev->config_lock);
	mutex_destroy(&tdev->lock);
	kfree(tdev);
	tvq_live_put();
}

/**
 * tvq_device_alloc() - make a managed device of what the other side said
 * @mgmt: its management device
 * @parent: the function
 * @index: number of the management device, for the name
 * @cmdq: the transport virtqueue
 * @info: what CREATE or DESCRIBE said; config and vq_size are taken over when
 *	this succeeds
 * @doorbell: its doorbell page, or NULL
 *
 * Context: process, may sleep.
 * Return: the device with one reference, not on the bus; or an ERR_PTR.
 */
struct tvq_device *tvq_device_alloc(struct tvq_mgmt *mgmt,
				    struct device *parent, int index,
				    struct tvq_cmdq *cmdq,
				    const struct tvq_info *info,
				    void __iomem *doorbell)
{
	struct tvq_device *tdev = kzalloc_obj(*tdev);
	int err;

	if (!tdev)
		return ERR_PTR(-ENOMEM);
	tdev->mgmt = mgmt;
	tdev->cmdq = cmdq;
	tdev->id = info->id;
	tdev->type = info->type;
	tdev->vendor = info->vendor;
	strscpy(tdev->name, info->name, sizeof(tdev->name));
	memcpy(tdev->features, info->features, sizeof(tdev->features));
	tdev->num_vqs = info->num_vqs;
	tdev->num_vectors = info->num_vectors;
	tdev->doorbell = doorbell;
	tdev->config_len = info->config_len;
	tdev->config_generation = info->config_generation;
	tdev->config_told = info->config_generation;
	tdev->config_next = jiffies;
	tdev->alive = jiffies;
	tdev->let_go_time = TVQ_LET_GO_TIME;
	tdev->pristine = !info->status;
	mutex_init(&tdev->lock);
	mutex_init(&tdev->config_lock);
	mutex_init(&tdev->drv_lock);
	mutex_init(&tdev->member_lock);
	mutex_init(&tdev->thaw_lock);
	spin_lock_init(&tdev->override_lock);
	spin_lock_init(&tdev->posted_lock);
	init_waitqueue_head(&tdev->posted_wait);
	INIT_DELAYED_WORK(&tdev->config_work, tvq_device_config_work);
	INIT_WORK(&tdev->fail_work, tvq_device_fail_work);
	INIT_WORK(&tdev->quiet_work, tvq_device_quiet_work);
	INIT_DELAYED_WORK(&tdev->stuck_work, tvq_device_stuck_work);
	INIT_WORK(&tdev->recover_work, tvq_device_recover_work);
	INIT_LIST_HEAD(&tdev->shm_regions);

	device_initialize(&tdev->dev);
	tvq_live_get();
	tdev->dev.bus = &tvq_bus_type;
	tdev->dev.parent = parent;
	tdev->dev.release = tvq_device_release;
	/* virtio_max_dma_size() asks the parent of the virtio device. */
	tdev->dev.dma_mask = parent->dma_mask;
	tdev->dev.coherent_dma_mask = parent->coherent_dma_mask;
	tdev->dev.dma_parms = parent->dma_parms;
	set_dev_node(&tdev->dev, dev_to_node(parent));
	err = dev_set_name(&tdev->dev, "tvq%d-%llu", index, info->id);
	if (err) {
		put_device(&tdev->dev);
		return ERR_PTR(err);
	}
	tdev->config = info->config;
	tdev->vq_size = info->vq_size;
	return tdev;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_alloc);

/**
 * tvq_device_redescribe() - the device has been provisioned otherwise
 * @tdev: managed device without a driver; its device lock is held
 * @info: what DESCRIBE says now; config and vq_size are taken over
 *
 * Context: process, may sleep.
 */
void tvq_device_redescribe(struct tvq_device *tdev, const struct tvq_info *info)
{
	unsigned int i;

	device_lock_assert(&tdev->dev);
	scoped_guard(mutex, &tdev->lock)
		tdev->pristine = !info->status;
	guard(mutex)(&tdev->config_lock);
	kfree(tdev->config);
	tdev->config = info->config;
	tdev->config_len = info->config_len;
	tdev->config_generation = info->config_generation;
	tdev->config_told = info->config_generation;
	tdev->config_stale = false;
	/* Attributes read these at any time. */
	for (i = 0; i < ARRAY_SIZE(tdev->features); i++)
		WRITE_ONCE(tdev->features[i], info->features[i]);
	WRITE_ONCE(tdev->num_vqs, info->num_vqs);
	WRITE_ONCE(tdev->num_vectors, info->num_vectors);
	kfree(tdev->vq_size);
	tdev->vq_size = info->vq_size;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_redescribe);

/**
 * tvq_device_is_as() - is this still the device's description
 * @tdev: managed device
 * @info: what DESCRIBE says now
 *
 * Does not want the device lock, which may be held by who waits for the end of a reset.
 *
 * Context: process, may sleep.
 * Return: true if so; configuration space may differ, and the doorbell is not looked at.
 */
bool tvq_device_is_as(struct tvq_device *tdev, const struct tvq_info *info)
{
	guard(mutex)(&tdev->config_lock);
	return info->type == tdev->type && !strcmp(info->name, tdev->name) &&
	       !memcmp(info->features, tdev->features, sizeof(info->features)) &&
	       info->num_vqs == tdev->num_vqs &&
	       info->num_vectors == tdev->num_vectors &&
	       info->config_len == tdev->config_len &&
	       !memcmp(info->vq_size, tdev->vq_size,
		       info->num_vqs * sizeof(*info->vq_size));
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_is_as);

/**
 * tvq_device_not_reset() - the device is about to get a state that is no reset's
 * @tdev: managed device
 *
 * Its next driver begins with a reset that is not left out, whatever comes of it.
 *
 * Context: process, may sleep.
 */
void tvq_device_not_reset(struct tvq_device *tdev)
{
	guard(mutex)(&tdev->lock);
	tdev->pristine = false;
}

/**
 * tvq_device_state_set() - the device's state was put in from elsewhere
 * @tdev: managed device
 *
 * What the driver may have changed in the meantime is made up for: interrupt
 * messages, and what it knows of configuration space.
 *
 * Context: process, may sleep.
 */
void tvq_device_state_set(struct tvq_device *tdev)
{
	mutex_lock(&tdev->lock);
	tvq_irq_resend(tdev);
	mutex_unlock(&tdev->lock);
	tvq_config_interrupt(tdev);
}

/**
 * tvq_device_add() - put a managed device on the bus
 * @tdev: from tvq_device_alloc()
 *
 * Binds a personality, whose failure is not this function's: the device is on
 * the bus all the same.
 *
 * Context: process, may sleep.
 * Return: 0, or an errno, and the caller puts its reference.
 */
int tvq_device_add(struct tvq_device *tdev)
{
	return device_add(&tdev->dev);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_add);

/**
 * tvq_device_remove() - take a managed device off the bus
 * @tdev: managed device; the caller keeps a reference, and has made sure with
 *	TVQ_DEVICE_LEAVING that nobody else does this
 *
 * Afterwards nothing of it uses the transport virtqueue any more. If that takes
 * longer than its let_go_time, in which it gave nothing back, it is taken to have failed.
 *
 * Context: process, may sleep, for as long as the personality takes to unbind.
 */
void tvq_device_remove(struct tvq_device *tdev)
{
	tvq_device_await(tdev);
	tvq_device_abandon(tdev);
	cancel_work_sync(&tdev->recover_work);
	device_del(&tdev->dev);
	tvq_device_has_let_go(tdev);
	tvq_shm_release(tdev);
	cancel_delayed_work_sync(&tdev->config_work);
	tvq_device_post_wait(tdev);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_remove);

/**
 * tvq_device_put() - let go of a managed device that was removed
 * @tdev: managed device, that tvq_device_fail() can't be called for any more
 *
 * Context: process, may sleep.
 */
void tvq_device_put(struct tvq_device *tdev)
{
	cancel_work_sync(&tdev->fail_work);
	cancel_work_sync(&tdev->quiet_work);
	put_device(&tdev->dev);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_device_put);

static void tvq_bus_free_wqs(void)
{
	if (tvq_freezable_wq)
		destroy_workqueue(tvq_freezable_wq);
	if (tvq_config_wq)
		destroy_workqueue(tvq_config_wq);
	if (tvq_wq)
		destroy_workqueue(tvq_wq);
}

/**
 * tvq_bus_init() - register the bus
 *
 * Context: process, may sleep.
 * Return: 0 or an errno.
 */
int tvq_bus_init(void)
{
	int err = -ENOMEM;

	tvq_wq = alloc_workqueue("tvq", WQ_UNBOUND, 0);
	tvq_config_wq = alloc_workqueue("tvq_config", WQ_UNBOUND, 0);
	tvq_freezable_wq = alloc_workqueue("tvq_freezable",
					   WQ_UNBOUND | WQ_FREEZABLE, 0);
	if (tvq_wq && tvq_config_wq && tvq_freezable_wq)
		err = bus_register(&tvq_bus_type);
	if (err)
		tvq_bus_free_wqs();
	return err;
}

/**
 * tvq_bus_exit() - unregister the bus
 *
 * Context: process, may sleep, until the last managed device was released.
 */
void tvq_bus_exit(void)
{
	tvq_live_wait();
	bus_unregister(&tvq_bus_type);
	tvq_bus_free_wqs();
}
