// SPDX-License-Identifier: GPL-2.0
/*
 * What the admin virtqueues are for: managed devices and virtual functions as members
 * of groups, their device parts, their mode, and what can be provisioned.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/virtio_tvq.h>
#include <kunit/visibility.h>

#include "bus.h"
#include "mgmt.h"

/*
 * Objects for device parts, one for getting and one for setting them, made for each
 * use. Their attribute is their type, which makes a good id, too.
 */
#define TVQ_PARTS_OBJECTS	{ 1, 1 }	/* struct virtio_dev_parts_cap */
#define TVQ_PARTS_OBJ_LEN	8	/* struct virtio_resource_obj_dev_parts */

/* How often, and how many milliseconds apart, memory is asked for to describe a device. */
#define TVQ_MEMBER_DESCRIBE_TRIES	10
#define TVQ_MEMBER_DESCRIBE_MS		20

/* Tell the device that we get and set parts, if it can. */
static int tvq_member_start_parts(struct tvq_mgmt *mgmt)
{
	DECLARE_BITMAP(caps, TVQ_ADMIN_CAPS);
	const u8 wanted[] = TVQ_PARTS_OBJECTS;
	u8 limits[sizeof(wanted)];
	int err;

	if (!tvq_admin_can(mgmt->admin, VIRTIO_ADMIN_GROUP_TYPE_SELF,
			   VIRTIO_ADMIN_CMD_CAP_ID_LIST_QUERY))
		return 0;
	err = tvq_admin_cap_list(mgmt->admin, caps);
	if (err || !test_bit(VIRTIO_DEV_PARTS_CAP, caps))
		return err;
	err = tvq_admin_device_cap(mgmt->admin, VIRTIO_DEV_PARTS_CAP, limits,
				   sizeof(limits));
	if (err || limits[0] < wanted[0] || limits[1] < wanted[1])
		return err;
	err = tvq_admin_driver_cap(mgmt->admin, VIRTIO_DEV_PARTS_CAP, wanted,
				   sizeof(wanted));
	mgmt->parts = !err;
	return err;
}

/* -EINVAL is a device that has no such group. */
static int tvq_member_use(struct tvq_mgmt *mgmt, u16 group, const char *name)
{
	int err = tvq_admin_use(mgmt->admin, group);

	if (err == -EINVAL)
		dev_info(mgmt->parent, "admin virtqueue: no group %s\n", name);
	else if (err)
		dev_err(mgmt->parent,
			"admin virtqueue: group %s can't be used: %pe\n", name,
			ERR_PTR(err));
	return err;
}

/**
 * tvq_member_start() - agree with the device on what its admin virtqueues are used for
 * @mgmt: management device, just reset
 *
 * What fails is said in the log, and missing afterwards; nothing else depends on it.
 *
 * Context: process, may sleep.
 */
void tvq_member_start(struct tvq_mgmt *mgmt)
{
	int err;

	mgmt->parts = false;
	if (!mgmt->admin)
		return;
	/* A device without the first does not answer, or has no sense. */
	if (tvq_member_use(mgmt, VIRTIO_ADMIN_GROUP_TYPE_SELF, "self"))
		return;
	err = tvq_member_start_parts(mgmt);
	if (err)
		dev_err(mgmt->parent,
			"admin virtqueue: device parts can't be used: %pe\n",
			ERR_PTR(err));
	tvq_member_use(mgmt, VIRTIO_TVQ_ADMIN_GROUP_MANAGED, "managed");
	if (mgmt->ops->num_vfs(mgmt->link))
		tvq_member_use_vfs(mgmt);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_start);

/**
 * tvq_member_use_vfs() - virtual functions have been enabled
 * @mgmt: management device
 *
 * Their group exists from then on.
 *
 * Context: process, may sleep.
 * Return: 0 or as in admin.h, and the log has said more.
 */
int tvq_member_use_vfs(struct tvq_mgmt *mgmt)
{
	if (!mgmt->admin)
		return -EOPNOTSUPP;
	return tvq_member_use(mgmt, VIRTIO_ADMIN_GROUP_TYPE_SRIOV, "SR-IOV");
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_use_vfs);

/**
 * tvq_member_vf_vectors_total() - MSI-X vectors of all virtual functions together
 * @mgmt: management device that has virtual functions enabled
 * @total: how many
 *
 * Context: process, may sleep.
 * Return: 0 or as in admin.h.
 */
int tvq_member_vf_vectors_total(struct tvq_mgmt *mgmt, u32 *total)
{
	/* It is the same for each of them. */
	const struct tvq_member vf = {
		.group = VIRTIO_ADMIN_GROUP_TYPE_SRIOV,
		.id = 1,
	};
	union tvq_member_value value;
	int err;

	if (!mgmt->admin)
		return -EOPNOTSUPP;
	err = tvq_admin_member_get(mgmt->admin, &vf,
				   VIRTIO_TVQ_MEMBER_VECTORS_TOTAL, &value);
	if (!err)
		*total = value.number;
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_vf_vectors_total);

/**
 * tvq_member_set_vf_vectors() - set the number of MSI-X vectors of a virtual function
 * @mgmt: management device
 * @vf: number of the virtual function, from 1
 * @vectors: how many; 0 for the device's choice
 *
 * Context: process, may sleep.
 * Return: 0 or as in admin.h.
 */
int tvq_member_set_vf_vectors(struct tvq_mgmt *mgmt, unsigned int vf,
			      unsigned int vectors)
{
	const struct tvq_member member = {
		.group = VIRTIO_ADMIN_GROUP_TYPE_SRIOV,
		.id = vf,
	};
	const union tvq_member_value value = { .number = vectors };

	if (!mgmt->admin)
		return -EOPNOTSUPP;
	return tvq_admin_member_set(mgmt->admin, &member,
				    VIRTIO_TVQ_MEMBER_VECTORS, &value);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_set_vf_vectors);

static struct tvq_member tvq_member_of(struct tvq_device *tdev)
{
	return (struct tvq_member){
		.group = VIRTIO_TVQ_ADMIN_GROUP_MANAGED,
		.id = tdev->id,
	};
}

/**
 * tvq_member_can() - may a command be used for a managed device
 * @tdev: managed device
 * @opcode: VIRTIO_ADMIN_CMD_*
 *
 * Context: process, may sleep.
 * Return: true if so.
 */
bool tvq_member_can(struct tvq_device *tdev, u16 opcode)
{
	return tdev->mgmt && tvq_admin_can(tdev->mgmt->admin,
					   VIRTIO_TVQ_ADMIN_GROUP_MANAGED,
					   opcode);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_can);

/*
 * Begin to use admin commands for a device: a reset of the function waits. Memory that
 * is had by writing to a disk may never come, for the disk may be the one that is stopped.
 */
static int tvq_member_enter(struct tvq_device *tdev, unsigned int *noio)
{
	/* Its id may be that of another one by now. */
	if (test_bit(TVQ_DEVICE_GONE, &tdev->flags))
		return -ENODEV;
	if (!tvq_mgmt_try_enter(tdev->mgmt))
		return -EAGAIN;
	*noio = memalloc_noio_save();
	return 0;
}

static void tvq_member_leave(struct tvq_device *tdev, unsigned int noio)
{
	memalloc_noio_restore(noio);
	tvq_mgmt_leave(tdev->mgmt);
}

/**
 * tvq_member_get() - what a managed device is provisioned with
 * @tdev: managed device
 * @attribute: VIRTIO_TVQ_MEMBER_*
 * @value: what it is
 *
 * Context: process, may sleep.
 * Return: 0; -EAGAIN while the function is being reset; -ENODEV for a device that is
 * gone; or as in admin.h.
 */
int tvq_member_get(struct tvq_device *tdev, u16 attribute,
		   union tvq_member_value *value)
{
	const struct tvq_member member = tvq_member_of(tdev);
	unsigned int noio;
	int err;

	err = tvq_member_enter(tdev, &noio);
	if (err)
		return err;
	err = tvq_admin_member_get(tdev->mgmt->admin, &member, attribute, value);
	tvq_member_leave(tdev, noio);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_get);

/* Of a device without a driver. */
static int tvq_member_provision(struct tvq_device *tdev, u16 attribute,
				const union tvq_member_value *value)
{
	const struct tvq_member member = tvq_member_of(tdev);
	unsigned int tries;
	int err;

	device_lock_assert(&tdev->dev);
	if (tdev->dev.driver)
		return -EBUSY;
	/* A reset of the function does not wait for who holds the lock of such a device. */
	if (tvq_device_is_dead(tdev))
		return -EIO;
	/* As it was found, it may have a status. */
	err = tvq_device_reset(tdev);
	if (!err)
		err = tvq_admin_member_set(tdev->mgmt->admin, &member,
					   attribute, value);
	if (err)
		return err;
	/* It has changed: that there is no memory just now must not be its end. */
	for (tries = TVQ_MEMBER_DESCRIBE_TRIES; tries; tries--) {
		err = tvq_mgmt_redescribe(tdev->mgmt, tdev);
		if (err != -ENOMEM)
			break;
		msleep(TVQ_MEMBER_DESCRIBE_MS);
	}
	if (err) {
		dev_err(&tdev->dev, "has changed and can't be described: %pe\n",
			ERR_PTR(err));
		tvq_device_fail(tdev);
	}
	return err;
}

/**
 * tvq_member_set() - provision a managed device otherwise
 * @tdev: managed device
 * @attribute: VIRTIO_TVQ_MEMBER_*
 * @value: what it is to be
 *
 * Context: process, may sleep.
 * Return: 0, and the device is described anew; -EBUSY when it is bound to a driver;
 * -EIO for a device that has been given up; -EAGAIN while the function is being reset;
 * -ENODEV for a device that is gone; or as in admin.h.
 */
int tvq_member_set(struct tvq_device *tdev, u16 attribute,
		   const union tvq_member_value *value)
{
	unsigned int noio;
	int err;

	err = tvq_member_enter(tdev, &noio);
	if (err)
		return err;
	device_lock(&tdev->dev);
	err = tvq_member_provision(tdev, attribute, value);
	device_unlock(&tdev->dev);
	tvq_member_leave(tdev, noio);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_set);

/**
 * tvq_member_stopped() - has the device been stopped
 * @tdev: managed device
 *
 * Context: process, may sleep.
 * Return: true after tvq_member_set_mode() has stopped it.
 */
bool tvq_member_stopped(struct tvq_device *tdev)
{
	guard(mutex)(&tdev->member_lock);
	return tdev->stopped;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_stopped);

static int tvq_member_do_set_mode(struct tvq_device *tdev, bool stopped)
{
	const struct tvq_member member = tvq_member_of(tdev);
	int err;

	lockdep_assert_held(&tdev->member_lock);
	err = tvq_admin_mode_set(tdev->mgmt->admin, &member, stopped);
	/*
	 * One that refuses may have stopped all the same, and nobody is to wait for it;
	 * but nothing was sent with -EIO.
	 */
	if (!err || (stopped && err != -EIO))
		tdev->may_be_stopped = stopped;
	if (!err || (stopped && (err == -ETIMEDOUT || err == -EPROTO)))
		tdev->stopped = stopped;
	return err;
}

/**
 * tvq_member_set_mode() - stop a managed device, or let it go on
 * @tdev: managed device
 * @stopped: which
 *
 * A device that is stopped uses none of its queues and sends no interrupt. Its driver is
 * not told.
 *
 * Context: process, may sleep.
 * Return: 0; -EAGAIN while the function is being reset; -ENODEV for a device that is
 * gone; or as in admin.h.
 */
int tvq_member_set_mode(struct tvq_device *tdev, bool stopped)
{
	unsigned int noio;
	int err;

	err = tvq_member_enter(tdev, &noio);
	if (err)
		return err;
	mutex_lock(&tdev->member_lock);
	/* Who resets the function has lost patience, and tvq_member_resume() is behind us. */
	if (stopped && READ_ONCE(tdev->mgmt->frozen))
		err = -EAGAIN;
	else
		err = tvq_member_do_set_mode(tdev, stopped);
	mutex_unlock(&tdev->member_lock);
	tvq_member_leave(tdev, noio);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_set_mode);

/**
 * tvq_member_resume() - let a managed device go on, if it was stopped
 * @tdev: managed device, that nobody stops any more
 *
 * For a device that is about to be unbound or frozen: its driver may wait for what the
 * device has still to do.
 *
 * Context: process, may sleep.
 */
void tvq_member_resume(struct tvq_device *tdev)
{
	unsigned int noio;
	int err;

	guard(mutex)(&tdev->member_lock);
	if (!tdev->may_be_stopped)
		return;
	noio = memalloc_noio_save();
	err = tvq_member_do_set_mode(tdev, false);
	memalloc_noio_restore(noio);
	/*
	 * If it is not as gone as the list of devices has it, it is found anew, and its next
	 * driver does not know that it was stopped.
	 */
	if (!err || test_bit(TVQ_DEVICE_GONE, &tdev->flags))
		return;
	dev_err(&tdev->dev, "stays stopped: %pe\n", ERR_PTR(err));
	tdev->stopped = false;
	tdev->may_be_stopped = false;
	tvq_device_fail(tdev);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_resume);

/* An object for parts, which has nothing left of an earlier one. */
static int tvq_member_new_object(struct tvq_admin *admin,
				 const struct tvq_member *member, u8 type)
{
	const u8 data[TVQ_PARTS_OBJ_LEN] = { type };
	int err;

	err = tvq_admin_obj_create(admin, member, VIRTIO_RESOURCE_OBJ_DEV_PARTS,
				   type, data, sizeof(data));
	if (err != -EEXIST)
		return err;
	/* It could not be destroyed the last time. */
	err = tvq_admin_obj_destroy(admin, member, VIRTIO_RESOURCE_OBJ_DEV_PARTS,
				    type);
	if (err)
		return err;
	return tvq_admin_obj_create(admin, member, VIRTIO_RESOURCE_OBJ_DEV_PARTS,
				    type, data, sizeof(data));
}

static int tvq_member_do_get_parts(struct tvq_device *tdev, void **parts)
{
	const u32 id = VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET;
	const struct tvq_member member = tvq_member_of(tdev);
	struct tvq_admin *admin = tdev->mgmt->admin;
	u32 size;
	int len;

	lockdep_assert_held(&tdev->member_lock);
	len = tvq_member_new_object(admin, &member, id);
	if (len)
		return len;
	len = tvq_admin_parts_size(admin, &member, id, &size);
	if (!len) {
		/* One byte more: there may be none. */
		*parts = kvmalloc(size + 1, GFP_KERNEL);
		len = *parts ? tvq_admin_parts_get(admin, &member, id, NULL, 0,
						   *parts, size) : -ENOMEM;
		if (len < 0)
			kvfree(*parts);
	}
	tvq_admin_obj_destroy(admin, &member, VIRTIO_RESOURCE_OBJ_DEV_PARTS, id);
	return len;
}

/**
 * tvq_member_get_parts() - all parts of a managed device
 * @tdev: managed device; unless it is stopped, they need not be of one moment
 * @parts: the parts, the caller's to free with kvfree()
 *
 * Context: process, may sleep.
 * Return: their length; -EAGAIN while the function is being reset; -ENODEV for a device
 * that is gone; or as in admin.h.
 */
int tvq_member_get_parts(struct tvq_device *tdev, void **parts)
{
	unsigned int noio;
	int len;

	len = tvq_member_enter(tdev, &noio);
	if (len)
		return len;
	len = -EOPNOTSUPP;
	mutex_lock(&tdev->member_lock);
	if (tdev->mgmt->parts)
		len = tvq_member_do_get_parts(tdev, parts);
	mutex_unlock(&tdev->member_lock);
	tvq_member_leave(tdev, noio);
	return len;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_get_parts);

static int tvq_member_do_set_parts(struct tvq_device *tdev, const void *parts,
				   size_t len)
{
	const u32 id = VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET;
	const struct tvq_member member = tvq_member_of(tdev);
	struct tvq_admin *admin = tdev->mgmt->admin;
	int err;

	lockdep_assert_held(&tdev->member_lock);
	if (!tdev->stopped)
		return -EBUSY;
	err = tvq_member_new_object(admin, &member, id);
	if (err)
		return err;
	tvq_device_not_reset(tdev);
	err = tvq_admin_parts_set(admin, &member, id, parts, len);
	tvq_admin_obj_destroy(admin, &member, VIRTIO_RESOURCE_OBJ_DEV_PARTS, id);
	if (!err)
		tvq_device_state_set(tdev);
	return err;
}

/**
 * tvq_member_set_parts() - set parts of a managed device
 * @tdev: managed device, stopped
 * @parts: as tvq_member_get_parts() gives them, or some of these, in their order
 * @len: their length
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL for what are no parts and -EFBIG for too many, and nothing was sent;
 * -EBUSY for a device that is not stopped; -EAGAIN while the function is being reset;
 * -ENODEV for a device that is gone; or as in admin.h.
 */
int tvq_member_set_parts(struct tvq_device *tdev, const void *parts, size_t len)
{
	unsigned int noio;
	int err;

	if (len > TVQ_ADMIN_PARTS_MAX)
		return -EFBIG;
	err = tvq_admin_parts_check(parts, len);
	if (err)
		return err;
	err = tvq_member_enter(tdev, &noio);
	if (err)
		return err;
	err = -EOPNOTSUPP;
	mutex_lock(&tdev->member_lock);
	if (tdev->mgmt->parts)
		err = tvq_member_do_set_parts(tdev, parts, len);
	mutex_unlock(&tdev->member_lock);
	tvq_member_leave(tdev, noio);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_member_set_parts);
