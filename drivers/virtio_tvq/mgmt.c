// SPDX-License-Identifier: GPL-2.0
/*
 * A management device: creation, destruction and discovery of what it manages.
 */
#include <linux/bsearch.h>
#include <linux/idr.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_tvq.h>
#include <kunit/visibility.h>

#include "bus.h"
#include "cmd.h"
#include "irq.h"
#include "mgmt.h"

#define TVQ_LIST_PAGE	128

/* How often to look whether the function is still there. */
#define TVQ_PRESENCE_INTERVAL	HZ

/* So many devices may leave DESCRIBE without an answer before a scan ends. */
#define TVQ_SCAN_LATE_MAX	4

/*
 * A scan ends after that time and goes on later, since nobody can create anything
 * meanwhile: the device may answer each command a moment before its deadline.
 */
#define TVQ_SCAN_TIME		(60 * HZ)

/* How often the device is listed, whatever it announces, and when memory was lacking. */
#define TVQ_SCAN_INTERVAL	(HZ / 10)

/* How often in a row, and how long after, a scan is made anew that the device refused. */
#define TVQ_SCAN_TRIES		5
#define TVQ_SCAN_RETRY		HZ

/* Whether there is to be another scan, and when. */
enum tvq_again {
	TVQ_AGAIN_NOT,
	TVQ_AGAIN_REFUSED,	/* in a while, and not for ever */
	TVQ_AGAIN_SOON,
};

/* For so long a reset of the function waits for who creates or destroys. */
#define TVQ_FREEZE_WAIT	(10 * HZ)

#define TVQ_FEATURES_REQUIRED	(BIT_ULL(VIRTIO_F_VERSION_1) | \
				 BIT_ULL(VIRTIO_F_ACCESS_PLATFORM))

/* ADMIN_VQ, SR_IOV, NOTIF_CONFIG_DATA and 42 to 49 make no sense down here. */
#define TVQ_FEATURES_NEVER	(BIT_ULL(VIRTIO_F_ADMIN_VQ) |		\
				 BIT_ULL(VIRTIO_F_SR_IOV) |		\
				 BIT_ULL(VIRTIO_F_NOTIF_CONFIG_DATA) |	\
				 GENMASK_ULL(49, 42))

static DEFINE_IDA(tvq_mgmt_ida);

/* Who creates, destroys or discovers passes here, and waits while frozen. */
static void tvq_mgmt_enter(struct tvq_mgmt *mgmt)
{
	spin_lock_irq(&mgmt->gate_lock);
	wait_event_lock_irq(mgmt->gate_queue, !mgmt->frozen, mgmt->gate_lock);
	mgmt->busy++;
	spin_unlock_irq(&mgmt->gate_lock);
}

/**
 * tvq_mgmt_try_enter() - keep the function from being reset for a while
 * @mgmt: management device
 *
 * For users of the function who, unlike those who create and destroy, may be in the way
 * of a device's removal, and so may not wait here.
 *
 * Context: process, may sleep.
 * Return: true, and tvq_mgmt_leave() is to follow; false when it is being reset.
 */
bool tvq_mgmt_try_enter(struct tvq_mgmt *mgmt)
{
	bool open;

	spin_lock_irq(&mgmt->gate_lock);
	open = !mgmt->frozen;
	if (open)
		mgmt->busy++;
	spin_unlock_irq(&mgmt->gate_lock);
	return open;
}

/**
 * tvq_mgmt_leave() - let the function be reset again
 * @mgmt: management device
 *
 * Context: process, may sleep.
 */
void tvq_mgmt_leave(struct tvq_mgmt *mgmt)
{
	spin_lock_irq(&mgmt->gate_lock);
	mgmt->busy--;
	wake_up_all(&mgmt->gate_queue);
	spin_unlock_irq(&mgmt->gate_lock);
}

/* The doorbell page of a device, where the device says something credible. */
static int tvq_mgmt_doorbell(struct tvq_mgmt *mgmt, const struct tvq_info *info,
			     void __iomem **doorbell)
{
	u64 offset;

	*doorbell = NULL;
	if (!info->has_doorbell)
		return 0;
	offset = info->doorbell_offset - mgmt->doorbells_offset;
	if (!mgmt->doorbells ||
	    info->doorbell_offset < mgmt->doorbells_offset ||
	    !IS_ALIGNED(info->doorbell_offset, VIRTIO_TVQ_DOORBELL_SIZE) ||
	    mgmt->doorbells_len < VIRTIO_TVQ_DOORBELL_SIZE ||
	    offset > mgmt->doorbells_len - VIRTIO_TVQ_DOORBELL_SIZE)
		return -EPROTO;
	*doorbell = mgmt->doorbells + offset;
	return 0;
}

/* Are these features that a managed device can have? */
static bool tvq_mgmt_features_valid(const struct tvq_info *info)
{
	return (info->features[0] & TVQ_FEATURES_REQUIRED) ==
	       TVQ_FEATURES_REQUIRED &&
	       !(info->features[0] & TVQ_FEATURES_NEVER);
}

/* Has another device, as far as we know, the same doorbell page or name? */
static bool tvq_mgmt_taken(struct tvq_mgmt *mgmt, const struct tvq_device *tdev,
			   bool name)
{
	struct tvq_device *other;
	bool taken = false;
	unsigned long id;

	xa_lock(&mgmt->devices);
	xa_for_each(&mgmt->devices, id, other) {
		if (other == tdev || test_bit(TVQ_DEVICE_LEAVING, &other->flags))
			continue;
		if (tdev->doorbell && other->doorbell == tdev->doorbell)
			taken = true;
		if (name && tdev->name[0] && !strcmp(other->name, tdev->name))
			taken = true;
	}
	xa_unlock(&mgmt->devices);
	return taken;
}

/* Forget a device that is off the bus. */
static void tvq_mgmt_erase(struct tvq_mgmt *mgmt, struct tvq_device *tdev)
{
	xa_erase(&mgmt->devices, tdev->id);
	tvq_device_put(tdev);
}

/* Takes a device that is gone off the bus, for as long as its driver wants. */
static void tvq_mgmt_leave_work(struct work_struct *work)
{
	struct tvq_device *tdev = container_of(work, struct tvq_device,
					       leave_work);
	struct tvq_mgmt *mgmt = tdev->mgmt;
	bool replaced;

	tvq_device_remove(tdev);
	xa_erase(&mgmt->devices, tdev->id);
	replaced = test_bit(TVQ_DEVICE_REPLACED, &tdev->flags);
	tvq_device_put(tdev);
	if (replaced)
		tvq_mgmt_config_interrupt(mgmt);
}

/*
 * Make a device of what CREATE or DESCRIBE said and put it into mgmt->devices.
 * Takes over info's memory, in any case.
 */
static struct tvq_device *tvq_mgmt_insert(struct tvq_mgmt *mgmt,
					  const struct tvq_info *info)
{
	struct tvq_device *tdev;
	void __iomem *doorbell;
	int err;

	lockdep_assert_held(&mgmt->lock);
	err = tvq_mgmt_doorbell(mgmt, info, &doorbell);
	if (err)
		goto err_lie;
	err = -EPROTO;
	if (!tvq_mgmt_features_valid(info) || info->id > ULONG_MAX)
		goto err_lie;

	tdev = tvq_device_alloc(mgmt, mgmt->parent, mgmt->index, mgmt->cmdq,
				info, doorbell);
	if (IS_ERR(tdev)) {
		err = PTR_ERR(tdev);
		goto err_free;
	}
	tdev->shm_bars = mgmt->shm_bars;
	tdev->let_go_time = mgmt->await_time / 2;
	INIT_WORK(&tdev->leave_work, tvq_mgmt_leave_work);
	/* Fails for an id that is there already: a device must not say it twice. */
	err = xa_insert(&mgmt->devices, info->id, tdev, GFP_KERNEL);
	if (err) {
		tvq_device_put(tdev);
		return ERR_PTR(err == -EBUSY ? -EPROTO : err);
	}
	return tdev;

err_lie:
	dev_err_ratelimited(mgmt->parent,
			    "device %llu: features or doorbell can't be true\n",
			    info->id);
err_free:
	kfree(info->config);
	kfree(info->vq_size);
	return ERR_PTR(err);
}

/* Take back what tvq_mgmt_publish() has made beside the device on the bus. */
static void tvq_mgmt_unlink(struct tvq_mgmt *mgmt, struct tvq_device *tdev)
{
	tvq_debugfs_remove(tdev);
	/* Its driver will wait for what it has asked of the device. */
	tvq_member_resume(tdev);
	if (tdev->name[0])
		sysfs_remove_link(mgmt->by_name, tdev->name);
}

/*
 * Put a device on the bus and under by-name/; undone if it fails. Until this is
 * through, nobody else takes the device off the bus. The caller has entered once.
 */
static int tvq_mgmt_publish(struct tvq_mgmt *mgmt, struct tvq_device *tdev)
{
	int err;

	if (tvq_mgmt_taken(mgmt, tdev, false)) {
		dev_err_ratelimited(mgmt->parent,
				    "device %llu: a doorbell that is another's\n",
				    tdev->id);
		return -EPROTO;
	}
	/* Not while the function is reset, and knows of nothing; nor is that to wait for us. */
	tvq_mgmt_leave(mgmt);
	tvq_mgmt_enter(mgmt);
	/*
	 * Nothing was agreed upon before any reset until now; only if it failed with others
	 * before that, which could not tell it so, is it to be taken up.
	 */
	if (!tvq_device_is_dead(tdev) ||
	    test_bit(TVQ_DEVICE_LEAVING, &tdev->flags))
		clear_bit(TVQ_DEVICE_AGAIN, &tdev->flags);
	err = tvq_device_add(tdev);
	if (err)
		return err;
	if (tdev->name[0]) {
		err = sysfs_create_link_nowarn(mgmt->by_name, &tdev->dev.kobj,
					       tdev->name);
		if (err) {
			tvq_device_remove(tdev);
			return err;
		}
	}
	tvq_debugfs_add(tdev);
	set_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags);
	/* Pairs with tvq_mgmt_compare(): it may have been too early. */
	smp_mb__after_atomic();
	if (test_bit(TVQ_DEVICE_GONE, &tdev->flags))
		tvq_mgmt_config_interrupt(mgmt);
	/* The function was reset meanwhile, see tvq_device_lost(). */
	if (test_bit(TVQ_DEVICE_AGAIN, &tdev->flags)) {
		wait_event(mgmt->gate_queue, !READ_ONCE(mgmt->frozen));
		tvq_device_bind_again(tdev);
	}
	return 0;
}

static const char *tvq_mgmt_reason(const struct tvq_cmd_error *error)
{
	static const char * const reasons[] = {
		[VIRTIO_TVQ_Q_COMMAND] = "the device does not know the command",
		[VIRTIO_TVQ_Q_TYPE] = "type",
		[VIRTIO_TVQ_Q_NAME] = "name",
		[VIRTIO_TVQ_Q_SERIAL] = "serial",
		[VIRTIO_TVQ_Q_FEATURES] = "features",
		[VIRTIO_TVQ_Q_VQS] = "number of queues",
		[VIRTIO_TVQ_Q_VECTORS] = "number of vectors",
		[VIRTIO_TVQ_Q_CONFIG] = "mac, mtu or capacity",
		[VIRTIO_TVQ_Q_DEVICES] = "no room for another device",
		[VIRTIO_TVQ_Q_BACKEND] = "what stands behind the device",
		[VIRTIO_TVQ_Q_SHM] = "no room for its shared memory",
	};

	if (error->qualifier < ARRAY_SIZE(reasons) && reasons[error->qualifier])
		return reasons[error->qualifier];
	return error->status ? "refused by the device" : "no reason given";
}

/* CREATE, answered with what was asked for. */
static int tvq_mgmt_ask(struct tvq_mgmt *mgmt, const struct tvq_create *create,
			struct tvq_info *info, struct tvq_cmd_error *error)
{
	int err = tvq_cmd_create(mgmt->cmdq, create, info, error);

	if (err)
		return err;
	if (info->type == create->type && !strcmp(info->name, create->name))
		return 0;
	dev_err(mgmt->parent, "device %llu: not what was to be created\n",
		info->id);
	kfree(info->config);
	kfree(info->vq_size);
	return -EPROTO;
}

static int tvq_mgmt_do_create(struct tvq_mgmt *mgmt,
			      const struct tvq_create *create)
{
	struct tvq_cmd_error error = {};
	struct tvq_info info = {};
	struct tvq_device *tdev;
	int err;

	if (create->type >= 128 ||
	    !(mgmt->limits.types[create->type / 64] &
	      BIT_ULL(create->type % 64))) {
		dev_err(mgmt->parent, "create: the device has no type %u\n",
			create->type);
		return -EOPNOTSUPP;
	}

	down_read(&mgmt->lock);
	if (!mgmt->open) {
		up_read(&mgmt->lock);
		return -ENODEV;
	}
	err = tvq_mgmt_ask(mgmt, create, &info, &error);
	if (!err) {
		tdev = tvq_mgmt_insert(mgmt, &info);
		err = PTR_ERR_OR_ZERO(tdev);
	}
	/* Created, but not usable here; the id may be a lie, too. */
	if (err && info.id && !xa_load(&mgmt->devices, info.id))
		tvq_cmd_destroy(mgmt->cmdq, info.id);
	up_read(&mgmt->lock);
	/* It may exist all the same, under an id that is not known. */
	if (err == -ETIMEDOUT || err == -EPROTO)
		tvq_mgmt_config_interrupt(mgmt);
	if (err) {
		if (error.status)
			dev_err(mgmt->parent,
				"create: %s (status %u, qualifier %u)\n",
				tvq_mgmt_reason(&error), error.status,
				error.qualifier);
		else
			dev_err(mgmt->parent, "create: the device failed: %pe\n",
				ERR_PTR(err));
		return err;
	}

	/*
	 * If the other side has removed a device, and its name or its doorbell
	 * has been used again before we noticed, the old one has to go first.
	 */
	if (tvq_mgmt_taken(mgmt, tdev, true)) {
		tvq_mgmt_config_interrupt(mgmt);
		flush_delayed_work(&mgmt->scan_work);
	}
	/* Others may take it off the bus as soon as it is published. */
	get_device(&tdev->dev);
	err = tvq_mgmt_publish(mgmt, tdev);
	put_device(&tdev->dev);
	if (err) {
		dev_err(mgmt->parent, "create: %pe\n", ERR_PTR(err));
		tvq_cmd_destroy(mgmt->cmdq, tdev->id);
		tvq_mgmt_erase(mgmt, tdev);
	}
	return err;
}

/**
 * tvq_mgmt_create_device() - create a managed device and put it on the bus
 * @mgmt: management device
 * @create: what is wanted
 *
 * Context: process, may sleep. Binds the new device's driver.
 * Return: 0, and the device stands on the bus; or an errno, of which the log
 * has said more, and no device was created. After -ETIMEDOUT and -EPROTO it may
 * have been; then it is found.
 */
int tvq_mgmt_create_device(struct tvq_mgmt *mgmt,
			   const struct tvq_create *create)
{
	int err;

	tvq_mgmt_enter(mgmt);
	err = tvq_mgmt_do_create(mgmt, create);
	tvq_mgmt_leave(mgmt);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_create_device);

/*
 * A reference to the device with this id, or, for @id 0, this name, that the
 * caller alone may take off the bus.
 */
static struct tvq_device *tvq_mgmt_claim(struct tvq_mgmt *mgmt, u64 id,
					 const char *name)
{
	struct tvq_device *tdev;
	unsigned long i;

	xa_lock(&mgmt->devices);
	xa_for_each(&mgmt->devices, i, tdev) {
		if ((id ? tdev->id == id : !strcmp(tdev->name, name)) &&
		    test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags) &&
		    !test_and_set_bit(TVQ_DEVICE_LEAVING, &tdev->flags)) {
			get_device(&tdev->dev);
			break;
		}
	}
	xa_unlock(&mgmt->devices);
	return tdev;
}

/**
 * tvq_mgmt_destroy_device() - take a managed device off the bus and destroy it
 * @mgmt: management device
 * @id: its device_id, or 0
 * @name: its name, where @id is 0
 *
 * Context: process, may sleep. Unbinds the device's driver.
 * Return: 0; -ENODEV when there is none, or not yet, or it is going already; or as in cmd.h:
 * the device is off the bus, and the other side still has it.
 */
int tvq_mgmt_destroy_device(struct tvq_mgmt *mgmt, u64 id, const char *name)
{
	struct tvq_device *tdev;
	int err = -ENODEV;

	tvq_mgmt_enter(mgmt);
	tdev = tvq_mgmt_claim(mgmt, id, name);
	if (!tdev)
		goto out;
	tvq_mgmt_unlink(mgmt, tdev);
	tvq_device_remove(tdev);
	err = tvq_cmd_destroy(mgmt->cmdq, tdev->id);
	if (err == -ENXIO)
		err = 0;
	if (err)
		dev_err(mgmt->parent, "destroy: device %llu: %pe\n", tdev->id,
			ERR_PTR(err));
	put_device(&tdev->dev);
	tvq_mgmt_erase(mgmt, tdev);
out:
	tvq_mgmt_leave(mgmt);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_destroy_device);

/* Is a scan to end that has until @end? */
static bool tvq_mgmt_late(struct tvq_mgmt *mgmt, unsigned long end)
{
	return READ_ONCE(mgmt->stopping) || time_after(jiffies, end);
}

/* All that the other side has, by rising id; the caller frees it. */
static struct tvq_list_entry *tvq_mgmt_list(struct tvq_mgmt *mgmt,
					    unsigned long end,
					    unsigned int *count)
{
	struct tvq_list_entry *entries, *more;
	unsigned int room = 0;
	u64 after = 0;
	u32 total;
	int n;

	entries = NULL;
	*count = 0;
	do {
		/* The device can't list more than it may have. */
		if (*count >= mgmt->limits.devices_max) {
			n = 0;
			break;
		}
		if (tvq_mgmt_late(mgmt, end)) {
			n = -ETIMEDOUT;
			break;
		}
		room = *count + TVQ_LIST_PAGE;
		more = krealloc_array(entries, room, sizeof(*entries),
				      GFP_KERNEL);
		if (!more) {
			n = -ENOMEM;
			break;
		}
		entries = more;
		n = tvq_cmd_list(mgmt->cmdq, after, entries + *count,
				 TVQ_LIST_PAGE, &total);
		if (n > 0) {
			*count += n;
			after = entries[*count - 1].id;
		}
	} while (n > 0);
	if (n < 0) {
		kfree(entries);
		return ERR_PTR(n);
	}
	return entries;
}

static int tvq_list_cmp(const void *key, const void *elt)
{
	const struct tvq_list_entry *entry = elt;
	u64 id = *(const u64 *)key;

	return id < entry->id ? -1 : id > entry->id;
}

/*
 * Compare the device's list with ours. New devices get an entry and TVQ_MARK_NEW,
 * those that are gone TVQ_MARK_GONE, to be dealt with without the lock.
 */
#define TVQ_MARK_NEW	XA_MARK_1
#define TVQ_MARK_GONE	XA_MARK_2

static int tvq_mgmt_compare(struct tvq_mgmt *mgmt, enum tvq_again *again)
{
	unsigned long end = jiffies + mgmt->scan_time;
	struct tvq_list_entry *entries;
	struct tvq_device *tdev;
	struct tvq_info info;
	unsigned int count, late = 0, i;
	unsigned long id;
	int err;

	guard(rwsem_write)(&mgmt->lock);
	if (!mgmt->open)
		return 0;
	entries = tvq_mgmt_list(mgmt, end, &count);
	if (IS_ERR(entries))
		return PTR_ERR(entries);

	xa_lock(&mgmt->devices);
	xa_for_each(&mgmt->devices, id, tdev) {
		if (bsearch(&tdev->id, entries, count, sizeof(*entries),
			    tvq_list_cmp)) {
			if (!test_bit(TVQ_DEVICE_GONE, &tdev->flags))
				continue;
			/* Another one's turn comes when this one is off the bus. */
			set_bit(TVQ_DEVICE_REPLACED, &tdev->flags);
		}
		set_bit(TVQ_DEVICE_GONE, &tdev->flags);
		/* Pairs with tvq_mgmt_publish(), which asks for another scan. */
		smp_mb__after_atomic();
		if (!test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags))
			/* Who puts it there may wait for what it will not do. */
			tvq_device_fail(tdev);
		else if (!test_and_set_bit(TVQ_DEVICE_LEAVING, &tdev->flags))
			__xa_set_mark(&mgmt->devices, id, TVQ_MARK_GONE);
		else if (device_is_registered(&tdev->dev))
			/* Who takes it off the bus may wait for that, too. */
			tvq_device_fail(tdev);
	}
	xa_unlock(&mgmt->devices);
	for (i = 0; i < count; i++) {
		if (xa_load(&mgmt->devices, entries[i].id))
			continue;
		if (tvq_mgmt_late(mgmt, end)) {
			*again = TVQ_AGAIN_SOON;
			break;
		}
		err = tvq_cmd_describe(mgmt->cmdq, entries[i].id, &info);
		/* It may have gone since: then it is simply not there. */
		if (err && err != -ENXIO) {
			dev_err_ratelimited(mgmt->parent,
					    "device %llu: can't be described: %pe\n",
					    entries[i].id, ERR_PTR(err));
			if (err != -ETIMEDOUT && err != -EIO)
				*again = max(*again, TVQ_AGAIN_REFUSED);
		}
		/*
		 * With a list as long as it may be, to wait for each of them would keep
		 * for days all who create, destroy, or let go of the function.
		 */
		if (err == -EIO ||
		    (err == -ETIMEDOUT && ++late == TVQ_SCAN_LATE_MAX)) {
			dev_err_ratelimited(mgmt->parent,
					    "%u devices of the list are left out\n",
					    count - i);
			break;
		}
		if (!err) {
			tdev = tvq_mgmt_insert(mgmt, &info);
			err = PTR_ERR_OR_ZERO(tdev);
		}
		if (!err)
			xa_set_mark(&mgmt->devices, tdev->id, TVQ_MARK_NEW);
		else if (err == -ENOMEM)
			*again = TVQ_AGAIN_SOON;
	}
	kfree(entries);
	return 0;
}

/*
 * Bring the bus in line with the device's list. *@again is set when that could not be done,
 * or not wholly: nobody announces a second time what was missed.
 */
static int tvq_mgmt_scan(struct tvq_mgmt *mgmt, enum tvq_again *again)
{
	struct tvq_device *tdev;
	unsigned long id;
	int err;

	err = tvq_mgmt_compare(mgmt, again);
	if (err) {
		dev_err_ratelimited(mgmt->parent,
				    "can't list the managed devices: %pe\n",
				    ERR_PTR(err));
		*again = err == -ENOMEM ? TVQ_AGAIN_SOON : TVQ_AGAIN_REFUSED;
		return err;
	}
	/* All of them first: what follows may wait for an answer about one. */
	xa_for_each_marked(&mgmt->devices, id, tdev, TVQ_MARK_GONE)
		tvq_device_fail(tdev);
	xa_for_each_marked(&mgmt->devices, id, tdev, TVQ_MARK_GONE) {
		xa_clear_mark(&mgmt->devices, id, TVQ_MARK_GONE);
		tvq_mgmt_unlink(mgmt, tdev);
		queue_work(mgmt->leave_wq, &tdev->leave_work);
	}
	/* tvq_mgmt_stop() cancels it once, behind the last scan that did not know. */
	if (xa_marked(&mgmt->devices, TVQ_MARK_NEW) &&
	    !READ_ONCE(mgmt->stopping))
		queue_work(mgmt->wq, &mgmt->publish_work);
	return 0;
}

/*
 * Put on the bus what a scan has found, one after the other. Not by the scan: a driver may
 * wait for a device that the other side has taken away, and only the next scan finds that.
 */
static void tvq_mgmt_publish_work(struct work_struct *work)
{
	struct tvq_mgmt *mgmt = container_of(work, struct tvq_mgmt,
					     publish_work);
	unsigned long end = jiffies + mgmt->scan_time;
	struct tvq_device *tdev;
	unsigned long id;
	int err;

	tvq_mgmt_enter(mgmt);
	xa_for_each_marked(&mgmt->devices, id, tdev, TVQ_MARK_NEW) {
		if (tvq_mgmt_late(mgmt, end))
			break;
		xa_clear_mark(&mgmt->devices, id, TVQ_MARK_NEW);
		/* Others may take it off the bus as soon as it is published. */
		get_device(&tdev->dev);
		err = -ENXIO;
		if (!test_bit(TVQ_DEVICE_GONE, &tdev->flags))
			err = tvq_mgmt_publish(mgmt, tdev);
		if (err) {
			if (err != -ENXIO)
				dev_err_ratelimited(mgmt->parent,
						    "device %lu: %pe\n", id,
						    ERR_PTR(err));
			tvq_mgmt_erase(mgmt, tdev);
			/* Nobody announces a second time what was missed. */
			if (err == -ENOMEM)
				queue_delayed_work(mgmt->wq, &mgmt->scan_work,
						   TVQ_SCAN_INTERVAL);
			else if (test_bit(TVQ_DEVICE_REPLACED, &tdev->flags))
				tvq_mgmt_config_interrupt(mgmt);
		}
		put_device(&tdev->dev);
	}
	tvq_mgmt_leave(mgmt);
	/* Who waits for this has waited long enough, or for the gate to be closed. */
	if (xa_marked(&mgmt->devices, TVQ_MARK_NEW) &&
	    !READ_ONCE(mgmt->stopping))
		queue_work(mgmt->wq, &mgmt->publish_work);
}

/**
 * tvq_mgmt_flush() - follow the other side's list now
 * @mgmt: management device
 *
 * Context: process, may sleep, for as long as the drivers of new devices take, and about
 * as long as a scan may.
 */
void tvq_mgmt_flush(struct tvq_mgmt *mgmt)
{
	flush_delayed_work(&mgmt->scan_work);
	flush_work(&mgmt->publish_work);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_flush);

static void tvq_mgmt_scan_work(struct work_struct *work)
{
	struct tvq_mgmt *mgmt = container_of(to_delayed_work(work),
					     struct tvq_mgmt, scan_work);
	enum tvq_again again = TVQ_AGAIN_NOT;

	WRITE_ONCE(mgmt->scan_next, jiffies + TVQ_SCAN_INTERVAL);
	tvq_mgmt_enter(mgmt);
	if (mgmt->ops->needs_reset(mgmt->link))
		tvq_mgmt_fail(mgmt, "the management device needs a reset");
	mgmt->scan_err = tvq_mgmt_scan(mgmt, &again);
	WRITE_ONCE(mgmt->scan_next, jiffies + TVQ_SCAN_INTERVAL);
	tvq_mgmt_leave(mgmt);
	if (again != TVQ_AGAIN_REFUSED) {
		mgmt->scan_refused = 0;
	} else if (READ_ONCE(mgmt->failed) ||
		   ++mgmt->scan_refused == TVQ_SCAN_TRIES) {
		mgmt->scan_refused = 0;
		again = TVQ_AGAIN_NOT;
	}
	/* Sooner, if a change is announced. */
	if (again)
		queue_delayed_work(mgmt->wq, &mgmt->scan_work,
				   again == TVQ_AGAIN_SOON ? TVQ_SCAN_INTERVAL :
							     TVQ_SCAN_RETRY);
}

/**
 * tvq_mgmt_fail() - give up on the function and all that it manages
 * @mgmt: management device
 * @why: for the log
 *
 * Commands fail from now on, and the drivers of all managed devices are told.
 * Since none of these can be reset any more, the function is kept from memory,
 * before a driver frees what its device may still write to.
 *
 * Context: process, may sleep.
 */
void tvq_mgmt_fail(struct tvq_mgmt *mgmt, const char *why)
{
	struct tvq_device *tdev;
	unsigned long id;

	if (xchg(&mgmt->failed, true))
		return;
	dev_err(mgmt->parent, "%s, all its devices fail\n", why);
	mgmt->ops->cut_off(mgmt->link);
	tvq_cmdq_break(mgmt->cmdq);
	tvq_admin_break(mgmt->admin);
	xa_lock(&mgmt->devices);
	xa_for_each(&mgmt->devices, id, tdev)
		tvq_device_cut_off(tdev);
	xa_unlock(&mgmt->devices);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_fail);

static void tvq_mgmt_watch(struct tvq_mgmt *mgmt)
{
	/* Not while the system sleeps. */
	queue_delayed_work(mgmt->wq, &mgmt->presence_work,
			   round_jiffies_relative(TVQ_PRESENCE_INTERVAL));
}

/*
 * Users of an idle device would otherwise not learn that it is gone, nor those who wait
 * for what it does without a command.
 */
static void tvq_mgmt_presence_work(struct work_struct *work)
{
	struct tvq_mgmt *mgmt = container_of(to_delayed_work(work),
					     struct tvq_mgmt, presence_work);
	bool present = true;

	/* During a reset it may seem to be away. */
	if (!xa_empty(&mgmt->devices) && tvq_mgmt_try_enter(mgmt)) {
		present = mgmt->ops->present(mgmt->link);
		if (!present)
			tvq_mgmt_fail(mgmt, "the function is not there any more");
		tvq_mgmt_leave(mgmt);
	}
	if (present)
		tvq_mgmt_watch(mgmt);
}

/* Drivers that spin for their devices, and may hold locks that those of others want. */
static bool tvq_mgmt_spins(const struct tvq_device *tdev)
{
	return tdev->type == VIRTIO_ID_NET || tdev->type == VIRTIO_ID_CONSOLE;
}

/*
 * Drivers are to let go before the function is reset or let go of. As tvq_mgmt_presence_work(),
 * which does not do so then, or not while the system falls asleep; and where the
 * failure of the one device that somebody waits for was of no use, since it does not stop,
 * none of them is to hold up the others any more. If it has stopped, its driver may wait
 * for its users, which is no reason to fail others, but for those that could be what it waits
 * for: their drivers are unbound by a reset anyway.
 */
static void tvq_mgmt_await_work(struct work_struct *work)
{
	struct tvq_mgmt *mgmt = container_of(to_delayed_work(work),
					     struct tvq_mgmt, await_work);
	/* Pairs with tvq_mgmt_await(): not this one with the time of the one before. */
	struct tvq_device *awaited = smp_load_acquire(&mgmt->awaited), *tdev;
	unsigned long since = READ_ONCE(mgmt->awaited_since);
	bool mute = false, late;
	unsigned long id;

	/* As long as it gives something back: see tvq_device_stuck_work(). */
	xa_lock(&mgmt->devices);
	xa_for_each(&mgmt->devices, id, tdev) {
		if (awaited ? tdev != awaited :
			      !test_bit(TVQ_DEVICE_LEAVING, &tdev->flags) &&
			      !delayed_work_pending(&tdev->stuck_work))
			continue;
		mute |= test_bit(TVQ_DEVICE_MUTE, &tdev->flags);
		if (time_after(READ_ONCE(tdev->alive), since))
			since = READ_ONCE(tdev->alive);
	}
	late = time_after(jiffies, since + mgmt->await_time);
	if (late && !mute)
		xa_for_each(&mgmt->devices, id, tdev)
			if (tvq_mgmt_spins(tdev))
				tvq_device_fail(tdev);
	xa_unlock(&mgmt->devices);
	if (!mgmt->ops->present(mgmt->link))
		tvq_mgmt_fail(mgmt, "the function is not there any more");
	else if (late && mute)
		tvq_mgmt_fail(mgmt, "a driver does not let go");
	else
		queue_delayed_work(tvq_wq, &mgmt->await_work,
				   TVQ_PRESENCE_INTERVAL);
}

/* Somebody waits from now on for this device's driver, or, for NULL, for any that leaves. */
static void tvq_mgmt_await(struct tvq_mgmt *mgmt, struct tvq_device *tdev)
{
	WRITE_ONCE(mgmt->awaited_since, jiffies);
	/* Pairs with tvq_mgmt_await_work(), see there. */
	smp_store_release(&mgmt->awaited, tdev);
	queue_delayed_work(tvq_wq, &mgmt->await_work, TVQ_PRESENCE_INTERVAL);
}

static void tvq_mgmt_await_end(struct tvq_mgmt *mgmt)
{
	cancel_delayed_work_sync(&mgmt->await_work);
}

/* The engine has declared the transport virtqueue broken. */
static void tvq_mgmt_broken(void *priv)
{
	tvq_mgmt_fail(priv, "the transport virtqueue does not answer");
}

/**
 * tvq_mgmt_limits() - what the device has, and what is left of it
 * @mgmt: management device
 * @limits: filled in
 *
 * Context: process, may sleep.
 * Return: 0 or as in cmd.h.
 */
int tvq_mgmt_limits(struct tvq_mgmt *mgmt, struct tvq_limits *limits)
{
	int err;

	tvq_mgmt_enter(mgmt);
	err = tvq_cmd_limits(mgmt->cmdq, limits);
	tvq_mgmt_leave(mgmt);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_limits);

/**
 * tvq_mgmt_interrupt() - the transport virtqueue has interrupted
 * @mgmt: management device
 *
 * Context: any up to hard interrupt.
 */
void tvq_mgmt_interrupt(struct tvq_mgmt *mgmt)
{
	tvq_cmdq_interrupt(mgmt->cmdq);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_interrupt);

/**
 * tvq_mgmt_admin_interrupt() - an admin virtqueue has interrupted
 * @mgmt: management device
 * @queue: its number, from 0
 *
 * Context: any up to hard interrupt.
 */
void tvq_mgmt_admin_interrupt(struct tvq_mgmt *mgmt, unsigned int queue)
{
	tvq_admin_interrupt(mgmt->admin, queue);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_admin_interrupt);

/**
 * tvq_mgmt_config_interrupt() - the function has announced a change
 * @mgmt: management device
 *
 * Its devices are listed: at once, but not more often than ten times a second.
 *
 * Context: any up to hard interrupt.
 */
void tvq_mgmt_config_interrupt(struct tvq_mgmt *mgmt)
{
	unsigned long now = jiffies, next = READ_ONCE(mgmt->scan_next);

	mod_delayed_work(mgmt->wq, &mgmt->scan_work,
			 time_before(now, next) ? next - now : 0);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_config_interrupt);

/**
 * tvq_mgmt_create() - make a management device of a function's queue
 * @params: what the function's driver brings
 *
 * Nothing is sent yet.
 *
 * Context: process, may sleep.
 * Return: the management device, or an ERR_PTR.
 */
struct tvq_mgmt *tvq_mgmt_create(const struct tvq_mgmt_params *params)
{
	const struct tvq_admin_params admin = {
		.ops = params->link_ops,
		.queues = params->admin,
		.num_queues = params->num_admin,
		.timeout_ms = params->timeout_ms,
		.dev = params->parent,
	};
	struct tvq_mgmt *mgmt = kzalloc_obj(*mgmt);
	int err;

	if (!mgmt)
		return ERR_PTR(-ENOMEM);
	mgmt->parent = params->parent;
	mgmt->ops = params->ops;
	mgmt->link = params->link;
	mgmt->doorbells = params->doorbells;
	mgmt->doorbells_offset = params->doorbells_offset;
	mgmt->doorbells_len = params->doorbells_len;
	memcpy(mgmt->shm_bars, params->shm_bars, sizeof(mgmt->shm_bars));
	init_rwsem(&mgmt->lock);
	spin_lock_init(&mgmt->gate_lock);
	init_waitqueue_head(&mgmt->gate_queue);
	xa_init(&mgmt->devices);
	mgmt->scan_time = TVQ_SCAN_TIME;
	/* What one of them may take, and that again for the command that stops it. */
	mgmt->await_time = 2 * (TVQ_LET_GO_TIME +
				msecs_to_jiffies(params->timeout_ms));
	mgmt->scan_next = jiffies;
	INIT_DELAYED_WORK(&mgmt->scan_work, tvq_mgmt_scan_work);
	INIT_WORK(&mgmt->publish_work, tvq_mgmt_publish_work);
	INIT_DELAYED_WORK(&mgmt->presence_work, tvq_mgmt_presence_work);
	INIT_DELAYED_WORK(&mgmt->await_work, tvq_mgmt_await_work);

	mgmt->index = ida_alloc(&tvq_mgmt_ida, GFP_KERNEL);
	if (mgmt->index < 0) {
		err = mgmt->index;
		goto err_free;
	}
	/* Freezable: devices neither come nor go while the system falls asleep. */
	mgmt->wq = alloc_workqueue("tvq_mgmt", WQ_UNBOUND | WQ_FREEZABLE, 0);
	mgmt->leave_wq = alloc_workqueue("tvq_leave",
					 WQ_UNBOUND | WQ_FREEZABLE, 0);
	if (!mgmt->wq || !mgmt->leave_wq) {
		err = -ENOMEM;
		goto err_wq;
	}
	mgmt->cmdq = tvq_cmdq_create(params->link_ops, params->queue.link,
				     params->queue.slots, params->timeout_ms,
				     params->parent, tvq_mgmt_broken, mgmt);
	if (IS_ERR(mgmt->cmdq)) {
		err = PTR_ERR(mgmt->cmdq);
		goto err_wq;
	}
	if (params->num_admin)
		mgmt->admin = tvq_admin_create(&admin);
	if (IS_ERR(mgmt->admin)) {
		err = PTR_ERR(mgmt->admin);
		goto err_cmdq;
	}
	mgmt->domain = tvq_irq_domain_create(params->parent);
	if (IS_ERR(mgmt->domain)) {
		err = PTR_ERR(mgmt->domain);
		goto err_admin;
	}
	/* From here on only kobject_put() frees. */
	tvq_live_get();
	err = kobject_init_and_add(&mgmt->kobj, &tvq_mgmt_ktype,
				   &params->parent->kobj, "tvq");
	if (err)
		goto err_kobj;
	mgmt->by_name = kobject_create_and_add("by-name", &mgmt->kobj);
	if (!mgmt->by_name) {
		err = -ENOMEM;
		goto err_kobj;
	}
	tvq_debugfs_add_mgmt(mgmt);
	return mgmt;

err_kobj:
	tvq_irq_domain_remove(mgmt->domain);
	tvq_admin_destroy(mgmt->admin);
	tvq_cmdq_destroy(mgmt->cmdq);
	destroy_workqueue(mgmt->leave_wq);
	destroy_workqueue(mgmt->wq);
	ida_free(&tvq_mgmt_ida, mgmt->index);
	kobject_put(&mgmt->kobj);
	return ERR_PTR(err);
err_admin:
	tvq_admin_destroy(mgmt->admin);
err_cmdq:
	tvq_cmdq_destroy(mgmt->cmdq);
err_wq:
	if (mgmt->leave_wq)
		destroy_workqueue(mgmt->leave_wq);
	if (mgmt->wq)
		destroy_workqueue(mgmt->wq);
	ida_free(&tvq_mgmt_ida, mgmt->index);
err_free:
	kfree(mgmt);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_create);

/**
 * tvq_mgmt_start() - begin to manage: read the limits, find what exists
 * @mgmt: management device, its function DRIVER_OK
 *
 * Context: process, may sleep. Binds drivers of the devices that it finds.
 * Return: 0, or an errno, and tvq_mgmt_stop() is still to be called.
 */
int tvq_mgmt_start(struct tvq_mgmt *mgmt)
{
	int err;

	err = tvq_cmd_limits(mgmt->cmdq, &mgmt->limits);
	if (err) {
		dev_err(mgmt->parent, "can't read the limits: %pe\n",
			ERR_PTR(err));
		return err;
	}
	tvq_member_start(mgmt);
	err = sysfs_create_group(&mgmt->kobj, &tvq_mgmt_group);
	if (err)
		return err;
	down_write(&mgmt->lock);
	mgmt->open = true;
	up_write(&mgmt->lock);
	tvq_mgmt_watch(mgmt);
	/* By the work, since the device may announce a change right now. */
	tvq_mgmt_config_interrupt(mgmt);
	tvq_mgmt_flush(mgmt);
	return mgmt->scan_err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_start);

/*
 * The device on the bus behind @prev, by id (the first, for NULL), that nobody is taking
 * off it, or, with @all, even so, or if it is just being put there. Takes a reference,
 * and puts that to @prev.
 */
static struct tvq_device *tvq_mgmt_next(struct tvq_mgmt *mgmt,
					struct tvq_device *prev, bool all)
{
	unsigned long id = prev ? prev->id : 0;
	struct tvq_device *tdev;

	xa_lock(&mgmt->devices);
	while ((tdev = xa_find_after(&mgmt->devices, &id, ULONG_MAX,
				     XA_PRESENT))) {
		if (all || (test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags) &&
			    !test_bit(TVQ_DEVICE_LEAVING, &tdev->flags))) {
			get_device(&tdev->dev);
			break;
		}
	}
	xa_unlock(&mgmt->devices);
	if (prev)
		put_device(&prev->dev);
	return tdev;
}

static void tvq_mgmt_open_gate(struct tvq_mgmt *mgmt)
{
	spin_lock_irq(&mgmt->gate_lock);
	WRITE_ONCE(mgmt->frozen, false);
	wake_up_all(&mgmt->gate_queue);
	spin_unlock_irq(&mgmt->gate_lock);
}

/**
 * tvq_mgmt_freeze() - get all managed devices ready for a reset of the function
 * @mgmt: management device that was started
 * @sleep: the system is to sleep
 *
 * Waits for who creates, destroys or discovers devices, but not for ever, because a
 * driver may; the next ones wait for tvq_mgmt_thaw(). One freezes at a time.
 *
 * Context: process, may sleep.
 * Return: 0, or, for a sleep alone, an errno, and nothing has changed, but that devices
 * that were stopped go on.
 */
int tvq_mgmt_freeze(struct tvq_mgmt *mgmt, bool sleep)
{
	struct tvq_device *tdev = NULL;
	int err = 0;

	spin_lock_irq(&mgmt->gate_lock);
	wait_event_lock_irq(mgmt->gate_queue, !mgmt->frozen, mgmt->gate_lock);
	WRITE_ONCE(mgmt->frozen, true);
	if (!wait_event_lock_irq_timeout(mgmt->gate_queue, !mgmt->busy,
					 mgmt->gate_lock, TVQ_FREEZE_WAIT))
		err = -EBUSY;
	spin_unlock_irq(&mgmt->gate_lock);
	if (err)
		dev_warn(mgmt->parent,
			 "somebody still creates, destroys or provisions a device\n");
	if (!sleep)
		err = 0;
	/* Memory may be had by writing to one of the disks that wait from now on. */
	mgmt->noio_flags = sleep ? 0 : memalloc_noio_save();

	/*
	 * Drivers will wait for what they have asked of a device that is stopped, and
	 * those of others for them: that of an interface may have RTNL.
	 */
	while (!err && (tdev = tvq_mgmt_next(mgmt, tdev, false)))
		tvq_member_resume(tdev);
	while ((tdev = tvq_mgmt_next(mgmt, tdev, false))) {
		if (err)
			continue;
		tvq_mgmt_await(mgmt, tdev);
		err = tvq_device_freeze(tdev, sleep);
	}
	tvq_mgmt_await_end(mgmt);
	if (!err)
		return 0;
	while ((tdev = tvq_mgmt_next(mgmt, tdev, false)))
		if (test_bit(TVQ_DEVICE_FROZEN, &tdev->flags))
			tvq_device_thaw(tdev, false);
	tvq_mgmt_open_gate(mgmt);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_freeze);

/**
 * tvq_mgmt_link_down() - the function carries no more commands
 * @mgmt: frozen management device; the function was reset and its
 *	interrupts are freed, its ring is still there
 *
 * Context: process, may sleep.
 */
void tvq_mgmt_link_down(struct tvq_mgmt *mgmt)
{
	struct tvq_device *tdev;
	unsigned long id;

	/* Before commands fail: it is not the devices that fail them. */
	xa_lock(&mgmt->devices);
	xa_for_each(&mgmt->devices, id, tdev)
		tvq_device_lost(tdev);
	xa_unlock(&mgmt->devices);
	tdev = NULL;
	while ((tdev = tvq_mgmt_next(mgmt, tdev, true)))
		tvq_device_lost_wait(tdev);
	/*
	 * If the queue was found broken a moment ago, and tvq_mgmt_fail() is still to
	 * come, it must not cut the function off that works again.
	 */
	tvq_cmdq_halt(mgmt->cmdq);
	tvq_admin_halt(mgmt->admin);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_link_down);

/**
 * tvq_mgmt_redescribe() - learn anew what a managed device is
 * @mgmt: management device
 * @tdev: managed device without a driver, that has been provisioned otherwise; its
 *	device lock is held
 *
 * Context: process, may sleep.
 * Return: 0 or as in cmd.h, and the description is the old one; -EPROTO also when the
 * device says that it is another.
 */
int tvq_mgmt_redescribe(struct tvq_mgmt *mgmt, struct tvq_device *tdev)
{
	void __iomem *doorbell;
	struct tvq_info info;
	int err;

	err = tvq_cmd_describe(mgmt->cmdq, tdev->id, &info);
	if (err)
		return err;
	if (tvq_mgmt_doorbell(mgmt, &info, &doorbell) ||
	    doorbell != tdev->doorbell || info.type != tdev->type ||
	    strcmp(info.name, tdev->name) || !tvq_mgmt_features_valid(&info)) {
		kfree(info.config);
		kfree(info.vq_size);
		return -EPROTO;
	}
	tvq_device_redescribe(tdev, &info);
	return 0;
}

/* Is what DESCRIBE says now of the device still the same device? */
static bool tvq_mgmt_same(struct tvq_mgmt *mgmt, struct tvq_device *tdev)
{
	void __iomem *doorbell;
	struct tvq_info info;
	bool same;
	int err;

	err = tvq_cmd_describe(mgmt->cmdq, tdev->id, &info);
	/* Of one that does not say so, its driver will find out. */
	if (err)
		return err != -ENXIO;
	same = !tvq_mgmt_doorbell(mgmt, &info, &doorbell) &&
	       doorbell == tdev->doorbell && tvq_device_is_as(tdev, &info);
	kfree(info.config);
	kfree(info.vq_size);
	return same;
}

/**
 * tvq_mgmt_link_up() - the function carries commands again
 * @mgmt: frozen management device; the function is DRIVER_OK
 *
 * Context: process, may sleep.
 * Return: 0, or an errno: it does not, and tvq_mgmt_link_down() is to be called.
 */
int tvq_mgmt_link_up(struct tvq_mgmt *mgmt)
{
	tvq_cmdq_revive(mgmt->cmdq);
	WRITE_ONCE(mgmt->failed, false);
	/* It ends when the function is away. */
	tvq_mgmt_watch(mgmt);
	return tvq_cmd_limits(mgmt->cmdq, &mgmt->limits);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_link_up);

/**
 * tvq_mgmt_thaw() - go on after a reset of the function
 * @mgmt: frozen management device
 * @err: 0 with the link up. Otherwise it is down, and the devices' users get
 *	errors, until another reset
 *
 * All managed devices are taken into use again. Afterwards, not before the system is
 * awake, those that the other side does not have any more go, and new ones
 * come.
 *
 * At the end of this another reset may begin, so the caller is to be done with the
 * function before.
 *
 * Context: process, may sleep; the task that called tvq_mgmt_freeze(), unless that
 * was for a sleep.
 */
void tvq_mgmt_thaw(struct tvq_mgmt *mgmt, int err)
{
	struct tvq_device *tdev = NULL;

	if (err) {
		dev_err(mgmt->parent, "does not come back: %pe\n", ERR_PTR(err));
		while ((tdev = tvq_mgmt_next(mgmt, tdev, false)))
			tvq_device_abandon(tdev);
		goto out;
	}
	while ((tdev = tvq_mgmt_next(mgmt, tdev, false))) {
		if (tvq_mgmt_same(mgmt, tdev)) {
			tvq_device_thaw(tdev, true);
			continue;
		}
		/* A scan takes it off the bus, but who knows whether there is a list. */
		set_bit(TVQ_DEVICE_GONE, &tdev->flags);
		tvq_device_abandon(tdev);
	}
	/* Not first: they may have broken, and devices need not wait for that. */
	tvq_admin_revive(mgmt->admin);
	tvq_member_start(mgmt);
out:
	memalloc_noio_restore(mgmt->noio_flags);
	tvq_mgmt_open_gate(mgmt);
	if (!err)
		tvq_mgmt_config_interrupt(mgmt);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_thaw);

/**
 * tvq_mgmt_reset() - reset the function and all that it manages
 * @mgmt: management device
 *
 * Their drivers go on afterwards; those of devices that had failed may take a while
 * longer.
 *
 * Context: process, may sleep.
 * Return: 0, or an errno, and the log has said more.
 */
int tvq_mgmt_reset(struct tvq_mgmt *mgmt)
{
	return mgmt->ops->reset(mgmt->link);
}

/* Has the device failed, or is there no going on with it? */
static bool tvq_mgmt_is_to_stop(struct tvq_device *tdev)
{
	return tvq_device_is_dead(tdev) ||
	       test_bit(TVQ_DEVICE_NEEDS_RESET, &tdev->flags);
}

/*
 * Before the driver of a device that has not stopped frees what that may still write to, the
 * function is kept from memory, since it is about to be reset anyway.
 */
static void tvq_mgmt_remove(struct tvq_mgmt *mgmt, struct tvq_device *tdev)
{
	tvq_mgmt_await(mgmt, tdev);
	if (tvq_mgmt_is_to_stop(tdev)) {
		/* It may just be asked to. */
		flush_delayed_work(&tdev->config_work);
		flush_work(&tdev->fail_work);
		flush_work(&tdev->quiet_work);
	}
	if (test_bit(TVQ_DEVICE_MUTE, &tdev->flags))
		tvq_mgmt_fail(mgmt, "a device that has failed does not stop");
	tvq_device_remove(tdev);
	tvq_mgmt_erase(mgmt, tdev);
}

/**
 * tvq_mgmt_stop() - take all managed devices off the bus, and create no more
 * @mgmt: management device
 *
 * They stay provisioned.
 *
 * Context: process, may sleep. Unbinds the devices' drivers.
 */
void tvq_mgmt_stop(struct tvq_mgmt *mgmt)
{
	struct tvq_device *tdev;
	unsigned long id;
	bool open;

	tvq_mgmt_await(mgmt, NULL);
	/* Who scans does not go on. */
	WRITE_ONCE(mgmt->stopping, true);
	down_write(&mgmt->lock);
	open = mgmt->open;
	mgmt->open = false;
	up_write(&mgmt->lock);
	/* Those who put a device on the bus are not to wait for what it does not do. */
	xa_lock(&mgmt->devices);
	xa_for_each(&mgmt->devices, id, tdev) {
		if (!test_bit(TVQ_DEVICE_PUBLISHED, &tdev->flags)) {
			set_bit(TVQ_DEVICE_LEAVING, &tdev->flags);
			tvq_device_fail(tdev);
		}
	}
	xa_unlock(&mgmt->devices);
	/* Waits for whoever is writing to create or destroy. */
	if (open)
		sysfs_remove_group(&mgmt->kobj, &tvq_mgmt_group);
	/* One of them may have reset the function, and have ended this. */
	tvq_mgmt_await(mgmt, NULL);
	cancel_delayed_work_sync(&mgmt->scan_work);
	cancel_work_sync(&mgmt->publish_work);
	/* Not flushed: that would wait for the end of a sleep, which may wait for us. */
	tdev = NULL;
	while ((tdev = tvq_mgmt_next(mgmt, tdev, true)))
		cancel_work_sync(&tdev->leave_work);
	/* They may have asked for another one. */
	cancel_delayed_work_sync(&mgmt->scan_work);
	/* What was found, and is not on the bus yet. */
	xa_for_each_marked(&mgmt->devices, id, tdev, TVQ_MARK_NEW)
		tvq_mgmt_erase(mgmt, tdev);
	/* All go on before one is removed: see tvq_mgmt_freeze(). */
	xa_for_each(&mgmt->devices, id, tdev) {
		set_bit(TVQ_DEVICE_LEAVING, &tdev->flags);
		tvq_mgmt_unlink(mgmt, tdev);
	}
	/* Those first that have not failed: what is done for the others may fail all. */
	xa_for_each(&mgmt->devices, id, tdev)
		if (!tvq_mgmt_is_to_stop(tdev))
			tvq_mgmt_remove(mgmt, tdev);
	xa_for_each(&mgmt->devices, id, tdev)
		tvq_mgmt_remove(mgmt, tdev);
	tvq_mgmt_await_end(mgmt);
	cancel_delayed_work_sync(&mgmt->presence_work);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_stop);

/**
 * tvq_mgmt_destroy() - give a management device back
 * @mgmt: stopped management device, its function reset, its interrupts freed
 *
 * Context: process, may sleep.
 */
void tvq_mgmt_destroy(struct tvq_mgmt *mgmt)
{
	cancel_delayed_work_sync(&mgmt->scan_work);
	WARN_ON(!xa_empty(&mgmt->devices));
	tvq_debugfs_remove_mgmt(mgmt);
	kobject_put(mgmt->by_name);
	kobject_del(&mgmt->kobj);
	tvq_irq_domain_remove(mgmt->domain);
	tvq_admin_destroy(mgmt->admin);
	tvq_cmdq_destroy(mgmt->cmdq);
	destroy_workqueue(mgmt->leave_wq);
	destroy_workqueue(mgmt->wq);
	ida_free(&tvq_mgmt_ida, mgmt->index);
	kobject_put(&mgmt->kobj);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_mgmt_destroy);
