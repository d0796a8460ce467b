// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes of a management device (tvq/ of the function) and of managed
 * devices. Described in Documentation/ABI/testing/.
 */
#include <linux/kobject.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_tvq.h>

#include "bus.h"
#include "compat.h"
#include "mgmt.h"

static struct tvq_mgmt *to_tvq_mgmt(struct kobject *kobj)
{
	return container_of(kobj, struct tvq_mgmt, kobj);
}

static ssize_t create_store(struct kobject *kobj, struct kobj_attribute *attr,
			    const char *buf, size_t count)
{
	struct tvq_mgmt *mgmt = to_tvq_mgmt(kobj);
	struct tvq_create create;
	const char *reason;
	int err;

	err = tvq_create_parse(buf, count, &create, &reason);
	if (err)
		dev_err(mgmt->parent, "create: %s\n", reason);
	else
		err = tvq_mgmt_create_device(mgmt, &create);
	return err ?: count;
}

static struct kobj_attribute create_attr = __ATTR_WO(create);

static ssize_t destroy_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count)
{
	struct tvq_mgmt *mgmt = to_tvq_mgmt(kobj);
	char name[VIRTIO_TVQ_NAME_LEN];
	u64 id;
	int err;

	err = tvq_destroy_parse(buf, count, &id, name);
	if (err)
		dev_err(mgmt->parent, "destroy: not a device_id nor a name\n");
	else
		err = tvq_mgmt_destroy_device(mgmt, id, name);
	if (err == -ENODEV)
		dev_err(mgmt->parent, "destroy: no such managed device\n");
	return err ?: count;
}

static struct kobj_attribute destroy_attr = __ATTR_WO(destroy);

static ssize_t reset_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	struct tvq_mgmt *mgmt = to_tvq_mgmt(kobj);
	int err;

	if (!sysfs_streq(buf, "1")) {
		dev_err(mgmt->parent, "reset: not a 1\n");
		return -EINVAL;
	}
	err = tvq_mgmt_reset(mgmt);
	return err ?: count;
}

static struct kobj_attribute reset_attr = __ATTR_WO(reset);

static ssize_t types_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	struct tvq_mgmt *mgmt = to_tvq_mgmt(kobj);
	const char *name, *space = "";
	ssize_t len = 0;
	u32 type;

	for (type = 1; type < 128; type++) {
		if (!(mgmt->limits.types[type / 64] & BIT_ULL(type % 64)))
			continue;
		name = tvq_type_name(type);
		if (name)
			len += sysfs_emit_at(buf, len, "%s%s", space, name);
		else
			len += sysfs_emit_at(buf, len, "%s%u", space, type);
		space = " ";
	}
	len += sysfs_emit_at(buf, len, "\n");
	return len;
}

static struct kobj_attribute types_attr = __ATTR_RO(types);

/*
 * What the device has left is the device's to say, each time. Files that send a command
 * when they are read are root's: others could keep the device busy.
 */
#define TVQ_LIMIT_ATTR(_name)						\
static ssize_t _name##_show(struct kobject *kobj,			\
			    struct kobj_attribute *attr, char *buf)	\
{									\
	struct tvq_limits limits;					\
	int err = tvq_mgmt_limits(to_tvq_mgmt(kobj), &limits);		\
									\
	return err ?: sysfs_emit(buf, "%u\n", limits._name);		\
}									\
static struct kobj_attribute _name##_attr = __ATTR_RO_MODE(_name, 0400)

TVQ_LIMIT_ATTR(devices_max);
TVQ_LIMIT_ATTR(devices_used);
TVQ_LIMIT_ATTR(vqs_free);
TVQ_LIMIT_ATTR(vectors_free);

static struct attribute *tvq_mgmt_attrs[] = {
	&create_attr.attr,
	&destroy_attr.attr,
	&reset_attr.attr,
	&types_attr.attr,
	&devices_max_attr.attr,
	&devices_used_attr.attr,
	&vqs_free_attr.attr,
	&vectors_free_attr.attr,
	NULL
};

const struct attribute_group tvq_mgmt_group = {
	.attrs = tvq_mgmt_attrs,
};

static void tvq_mgmt_release(struct kobject *kobj)
{
	kfree(to_tvq_mgmt(kobj));
	tvq_live_put();
}

const struct kobj_type tvq_mgmt_ktype = {
	.release = tvq_mgmt_release,
	.sysfs_ops = &kobj_sysfs_ops,
};

static ssize_t device_id_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	return sysfs_emit(buf, "%llu\n", to_tvq_device(dev)->id);
}
static DEVICE_ATTR_RO(device_id);

static ssize_t type_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	u32 type = to_tvq_device(dev)->type;
	const char *name = tvq_type_name(type);

	return name ? sysfs_emit(buf, "%s\n", name) :
		      sysfs_emit(buf, "%u\n", type);
}
static DEVICE_ATTR_RO(type);

static ssize_t name_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", to_tvq_device(dev)->name);
}
static DEVICE_ATTR_RO(name);

static ssize_t features_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	const u64 *features = to_tvq_device(dev)->features;

	return sysfs_emit(buf, "0x%016llx%016llx\n", READ_ONCE(features[1]),
			  READ_ONCE(features[0]));
}

/* What is provisioned can be set by admin commands, where these are there. */
static ssize_t tvq_member_store(struct device *dev, u16 attribute,
				const char *buf, size_t count)
{
	union tvq_member_value value;
	int err;

	err = tvq_value_parse(attribute, buf, count, &value);
	if (!err)
		err = tvq_member_set(to_tvq_device(dev), attribute, &value);
	return err ?: count;
}

static ssize_t features_store(struct device *dev, struct device_attribute *attr,
			      const char *buf, size_t count)
{
	return tvq_member_store(dev, VIRTIO_TVQ_MEMBER_FEATURES, buf, count);
}
static DEVICE_ATTR_RW(features);

static ssize_t features_possible_show(struct device *dev,
				      struct device_attribute *attr, char *buf)
{
	union tvq_member_value value;
	int err;

	err = tvq_member_get(to_tvq_device(dev),
			     VIRTIO_TVQ_MEMBER_FEATURES_POSSIBLE, &value);
	return err ?: sysfs_emit(buf, "0x%016llx%016llx\n", value.features[1],
				 value.features[0]);
}
static DEVICE_ATTR_ADMIN_RO(features_possible);

static ssize_t mac_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	union tvq_member_value value;
	int err;

	err = tvq_member_get(to_tvq_device(dev), VIRTIO_TVQ_MEMBER_MAC, &value);
	return err ?: sysfs_emit(buf, "%pM\n", value.mac);
}

static ssize_t mac_store(struct device *dev, struct device_attribute *attr,
			 const char *buf, size_t count)
{
	return tvq_member_store(dev, VIRTIO_TVQ_MEMBER_MAC, buf, count);
}
static DEVICE_ATTR_ADMIN_RW(mac);

/* Numbers, by the names of their attributes. */
enum {
	TVQ_MEMBER_mtu = VIRTIO_TVQ_MEMBER_MTU,
	TVQ_MEMBER_vqs = VIRTIO_TVQ_MEMBER_VQS,
	TVQ_MEMBER_vectors = VIRTIO_TVQ_MEMBER_VECTORS,
};

#define TVQ_MEMBER_ATTR_RW(_name)					\
static ssize_t _name##_show(struct device *dev,				\
			    struct device_attribute *attr, char *buf)	\
{									\
	union tvq_member_value value;					\
	int err = tvq_member_get(to_tvq_device(dev), TVQ_MEMBER_##_name, \
				 &value);				\
									\
	return err ?: sysfs_emit(buf, "%u\n", value.number);		\
}									\
									\
static ssize_t _name##_store(struct device *dev,			\
			     struct device_attribute *attr,		\
			     const char *buf, size_t count)		\
{									\
	return tvq_member_store(dev, TVQ_MEMBER_##_name, buf, count);	\
}									\
static DEVICE_ATTR_ADMIN_RW(_name)

TVQ_MEMBER_ATTR_RW(mtu);
TVQ_MEMBER_ATTR_RW(vqs);
TVQ_MEMBER_ATTR_RW(vectors);

static ssize_t num_vqs_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_tvq_device(dev)->num_vqs));
}
static DEVICE_ATTR_RO(num_vqs);

static ssize_t num_vectors_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_tvq_device(dev)->num_vectors));
}
static DEVICE_ATTR_RO(num_vectors);

#if TVQ_HAVE_DRIVER_OVERRIDE_ATTR
static ssize_t driver_override_show(struct device *dev,
				    struct device_attribute *attr, char *buf)
{
	struct tvq_device *tdev = to_tvq_device(dev);
	ssize_t len;

	spin_lock(&tdev->override_lock);
	len = sysfs_emit(buf, "%s\n", tdev->driver_override);
	spin_unlock(&tdev->override_lock);
	return len;
}

static ssize_t driver_override_store(struct device *dev,
				     struct device_attribute *attr,
				     const char *buf, size_t count)
{
	struct tvq_device *tdev = to_tvq_device(dev);
	size_t len = strcspn(buf, "\n");
	const char *name = NULL, *old;

	if (count >= PAGE_SIZE - 1)
		return -EINVAL;
	if (len) {
		name = kstrndup(buf, len, GFP_KERNEL);
		if (!name)
			return -ENOMEM;
	}
	spin_lock(&tdev->override_lock);
	old = tdev->driver_override;
	tdev->driver_override = name;
	spin_unlock(&tdev->override_lock);
	kfree(old);
	return count;
}

static DEVICE_ATTR_RW(driver_override);
#endif

static struct attribute *tvq_device_attrs[] = {
	&dev_attr_device_id.attr,
	&dev_attr_type.attr,
	&dev_attr_name.attr,
	&dev_attr_features.attr,
	&dev_attr_num_vqs.attr,
	&dev_attr_num_vectors.attr,
	&dev_attr_features_possible.attr,
	&dev_attr_mac.attr,
	&dev_attr_mtu.attr,
	&dev_attr_vqs.attr,
	&dev_attr_vectors.attr,
#if TVQ_HAVE_DRIVER_OVERRIDE_ATTR
	&dev_attr_driver_override.attr,
#endif
	NULL
};

/* What there is, and what can be written, is a matter of the device's admin commands. */
static umode_t tvq_device_attr_visible(struct kobject *kobj,
				       struct attribute *attr, int n)
{
	struct tvq_device *tdev = to_tvq_device(kobj_to_dev(kobj));
	bool net = attr == &dev_attr_mac.attr || attr == &dev_attr_mtu.attr;

	if (net || attr == &dev_attr_vqs.attr || attr == &dev_attr_vectors.attr ||
	    attr == &dev_attr_features_possible.attr) {
		if (!tvq_member_can(tdev, VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET) ||
		    (net && tdev->type != VIRTIO_ID_NET))
			return 0;
	} else if (attr != &dev_attr_features.attr) {
		return attr->mode;
	}
	if (!tvq_member_can(tdev, VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET))
		return attr->mode & ~0222;
	return attr->mode;
}

static const struct attribute_group tvq_device_group = {
	.is_visible = tvq_device_attr_visible,
	.attrs = tvq_device_attrs,
};

const struct attribute_group *tvq_device_groups[] = {
	&tvq_device_group,
	NULL
};
