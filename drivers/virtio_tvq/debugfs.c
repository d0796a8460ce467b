// SPDX-License-Identifier: GPL-2.0
/*
 * In debugfs, virtio_tvq/tvq<N>-<device_id>/: how a script gets at the device parts of
 * a managed device; and virtio_tvq/tvq<N>/: what has become of commands. Described in
 * Documentation/driver.rst.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_tvq.h>

#include "bus.h"
#include "mgmt.h"

static struct dentry *tvq_debugfs_root;

static int mode_show(struct seq_file *m, void *v)
{
	seq_puts(m, tvq_member_stopped(m->private) ? "stopped\n" : "running\n");
	return 0;
}

static ssize_t mode_write(struct file *file, const char __user *buf,
			  size_t count, loff_t *ppos)
{
	struct tvq_device *tdev = file_inode(file)->i_private;
	char word[16];
	bool stopped;
	int err;

	if (!count || count >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, buf, count))
		return -EFAULT;
	word[count] = '\0';
	stopped = sysfs_streq(word, "stopped");
	if (!stopped && !sysfs_streq(word, "running"))
		return -EINVAL;
	err = tvq_member_set_mode(tdev, stopped);
	return err ?: count;
}

static int mode_open(struct inode *inode, struct file *file)
{
	return single_open(file, mode_show, inode->i_private);
}

static const struct file_operations tvq_mode_fops = {
	.owner = THIS_MODULE,
	.open = mode_open,
	.read = seq_read,
	.write = mode_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/**
 * struct tvq_parts_file - what one opener of parts reads
 * @len: length of @parts
 * @parts: all parts, as they were when the file was opened
 */
struct tvq_parts_file {
	size_t len;
	void *parts;
};

static int parts_open(struct inode *inode, struct file *file)
{
	struct tvq_parts_file *pf;
	int len;

	pf = kzalloc_obj(*pf);
	if (!pf)
		return -ENOMEM;
	if (file->f_mode & FMODE_READ) {
		len = tvq_member_get_parts(inode->i_private, &pf->parts);
		if (len < 0) {
			kfree(pf);
			return len;
		}
		pf->len = len;
	}
	file->private_data = pf;
	return 0;
}

static ssize_t parts_read(struct file *file, char __user *buf, size_t count,
			  loff_t *ppos)
{
	struct tvq_parts_file *pf = file->private_data;

	return simple_read_from_buffer(buf, count, ppos, pf->parts, pf->len);
}

/* One write is one command: it takes effect as a whole or not at all. */
static ssize_t parts_write(struct file *file, const char __user *buf,
			   size_t count, loff_t *ppos)
{
	struct tvq_device *tdev = file_inode(file)->i_private;
	void *parts;
	int err;

	if (*ppos)
		return -EINVAL;
	if (count > TVQ_ADMIN_PARTS_MAX)
		return -EFBIG;
	parts = vmemdup_user(buf, count);
	if (IS_ERR(parts))
		return PTR_ERR(parts);
	err = tvq_member_set_parts(tdev, parts, count);
	kvfree(parts);
	if (err)
		return err;
	*ppos = count;
	return count;
}

static int parts_release(struct inode *inode, struct file *file)
{
	struct tvq_parts_file *pf = file->private_data;

	kvfree(pf->parts);
	kfree(pf);
	return 0;
}

static const struct file_operations tvq_parts_fops = {
	.owner = THIS_MODULE,
	.open = parts_open,
	.read = parts_read,
	.write = parts_write,
	.llseek = default_llseek,
	.release = parts_release,
};

static int commands_show(struct seq_file *m, void *v)
{
	struct tvq_mgmt *mgmt = m->private;

	tvq_cmdq_show(mgmt->cmdq, m);
	tvq_admin_show(mgmt->admin, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(commands);

/**
 * tvq_debugfs_add_mgmt() - make the files of a management device
 * @mgmt: management device
 *
 * Context: process, may sleep.
 */
void tvq_debugfs_add_mgmt(struct tvq_mgmt *mgmt)
{
	char name[16];

	snprintf(name, sizeof(name), "tvq%d", mgmt->index);
	mgmt->debugfs = debugfs_create_dir(name, tvq_debugfs_root);
	debugfs_create_file("commands", 0400, mgmt->debugfs, mgmt,
			    &commands_fops);
}

/**
 * tvq_debugfs_remove_mgmt() - take the files of a management device away
 * @mgmt: management device
 *
 * Waits for those who are in one of them.
 *
 * Context: process, may sleep.
 */
void tvq_debugfs_remove_mgmt(struct tvq_mgmt *mgmt)
{
	debugfs_remove(mgmt->debugfs);
}

/**
 * tvq_debugfs_add() - make the files of a managed device
 * @tdev: managed device on the bus
 *
 * There are none where the device cannot be stopped.
 *
 * Context: process, may sleep.
 */
void tvq_debugfs_add(struct tvq_device *tdev)
{
	if (!tvq_member_can(tdev, VIRTIO_ADMIN_CMD_DEV_MODE_SET))
		return;
	tdev->debugfs = debugfs_create_dir(dev_name(&tdev->dev),
					   tvq_debugfs_root);
	debugfs_create_file("mode", 0600, tdev->debugfs, tdev, &tvq_mode_fops);
	debugfs_create_file("parts", 0600, tdev->debugfs, tdev, &tvq_parts_fops);
}

/**
 * tvq_debugfs_remove() - take the files of a managed device away
 * @tdev: managed device
 *
 * Waits for those who are in one of them; those who have one open find it dead.
 *
 * Context: process, may sleep.
 */
void tvq_debugfs_remove(struct tvq_device *tdev)
{
	debugfs_remove(tdev->debugfs);
	tdev->debugfs = NULL;
}

/**
 * tvq_debugfs_init() - make the directory of the module
 *
 * Context: process, may sleep.
 */
void tvq_debugfs_init(void)
{
	tvq_debugfs_root = debugfs_create_dir("virtio_tvq", NULL);
}

/**
 * tvq_debugfs_exit() - take it away
 *
 * Context: process, may sleep.
 */
void tvq_debugfs_exit(void)
{
	debugfs_remove(tvq_debugfs_root);
}
