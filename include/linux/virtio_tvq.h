/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bus virtio_tvq: managed devices, and the drivers (personalities) that
 * make something of them.
 */
#ifndef _LINUX_VIRTIO_TVQ_H
#define _LINUX_VIRTIO_TVQ_H

#include <linux/cpumask.h>
#include <linux/device.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <uapi/linux/virtio_tvq.h>

struct dentry;
struct tvq_cmdq;
struct tvq_irqs;
struct tvq_mgmt;
struct virtio_shm_region;

/*
 * Bits of struct tvq_device.flags. The first four are only ever set; a reset of
 * the function clears the others.
 */
enum tvq_device_flags {
	TVQ_DEVICE_GONE,	/* does not exist any more on the other side */
	TVQ_DEVICE_PUBLISHED,	/* stands on the bus, all of its creation done */
	TVQ_DEVICE_LEAVING,	/* somebody is taking it off the bus */
	TVQ_DEVICE_REPLACED,	/* the other side has given its id to another */
	TVQ_DEVICE_DEAD,	/* was given up: see tvq_device_fail() */
	TVQ_DEVICE_MUTE,	/* and has not carried out a RESET */
	TVQ_DEVICE_CUT_OFF,	/* and its function is kept from memory */
	TVQ_DEVICE_NEEDS_RESET,	/* has set DEVICE_NEEDS_RESET, or might as well have;
				 * its reset clears it, too
				 */
	TVQ_DEVICE_FROZEN,	/* between tvq_device_freeze() and tvq_device_thaw() */
	TVQ_DEVICE_LET_GO,	/* and its personality was told; it may get one meanwhile */
	TVQ_DEVICE_THAWING,	/* at the end of that: the function answers again */
	TVQ_DEVICE_RECOVERING,	/* what was not frozen is taken into use again */
	TVQ_DEVICE_LAPSED,	/* was reset while a driver had it; its reset clears this */
	TVQ_DEVICE_AGAIN,	/* and a driver was, or may have been, being bound just then */
};

/**
 * struct tvq_device - a managed device
 * @dev: on the bus virtio_tvq, child of the PCI function
 * @mgmt: its management device
 * @id: device_id, unique in @mgmt and not used again
 * @type: virtio device type
 * @vendor: virtio vendor id
 * @name: as given to CREATE, may be empty
 * @features: the feature bits that the device offers
 * @num_vqs: all its virtqueues
 * @num_vectors: size of its interrupt table
 * @vq_size: the size of each queue
 * @doorbell: its doorbell page, or NULL: then notifications are commands
 * @driver_override: name of the only driver that may bind, where the driver
 *	core does not keep it; guarded by @override_lock
 * @override_lock: guards @driver_override
 *
 * What stands before "private" does not change while the device is bound to a driver,
 * @driver_override apart. @features, @num_vqs, @num_vectors and @vq_size may do so,
 * under the device lock and @config_lock, while it is not.
 */
struct tvq_device {
	struct device dev;
	struct tvq_mgmt *mgmt;
	u64 id;
	u32 type;
	u32 vendor;
	char name[VIRTIO_TVQ_NAME_LEN];
	u64 features[VIRTIO_TVQ_FEATURES_U64S];
	u16 num_vqs;
	u16 num_vectors;
	u16 *vq_size;
	void __iomem *doorbell;
	const char *driver_override;
	spinlock_t override_lock;	/* guards driver_override */

	/* private: bus.c's and mgmt.c's */
	struct tvq_cmdq *cmdq;
	struct mutex lock;		/* serialises commands that change state */
	bool pristine;			/* by lock: as a reset leaves it */
	struct mutex config_lock;	/* guards the six that follow, see above, too */
	u8 *config;
	u32 config_len;
	u32 config_generation;
	bool config_stale;
	s64 config_told;		/* the generation the personality knows, or -1 */
	unsigned long config_next;	/* in jiffies, when it may be read again */
	struct mutex drv_lock;		/* guards drv, serialises calls to it */
	struct tvq_driver *drv;
	unsigned long flags;		/* enum tvq_device_flags, atomic */
	spinlock_t posted_lock;		/* guards posted */
	unsigned int posted;		/* commands posted that have not ended */
	wait_queue_head_t posted_wait;	/* until posted is 0 */
	struct delayed_work config_work;
	struct work_struct fail_work;
	struct work_struct quiet_work;
	struct delayed_work stuck_work;
	unsigned long alive;		/* in jiffies, when it has given back something */
	unsigned long let_go_time;	/* in jiffies, how long its driver waits for that */
	struct work_struct recover_work;
	struct mutex thaw_lock;		/* serialises who gives it back to its personality */
	struct work_struct leave_work;	/* mgmt.c: it is gone on the other side */
	struct resource *const *shm_bars;	/* by number, see struct tvq_mgmt */
	struct list_head shm_regions;	/* by lock: those that were asked for */
	/* private: member.c's and debugfs.c's */
	struct mutex member_lock;	/* serialises admin commands; guards the two that follow */
	bool stopped;
	bool may_be_stopped;		/* whatever the device has said of it */
	struct dentry *debugfs;
	/* private: irq.c's */
	struct tvq_irqs *irqs;
};

#define to_tvq_device(d) container_of_const(d, struct tvq_device, dev)

/**
 * struct tvq_driver - a personality
 * @driver: name and owner
 * @probe: bind to a managed device that is in the state that a reset leaves,
 *	or may be, in which case tvq_device_reset() makes it so
 * @remove: unbind; must leave the device reset where it still answers
 * @config_changed: the device changed its configuration space, and the
 *	cached copy is new; or DEVICE_NEEDS_RESET is set in @status
 * @failed: the device does not answer any more: a command has missed its
 *	deadline, it went away, or its function was reset before it had let go.
 *	Its queues are dead until its reset
 * @quiet: after @failed or DEVICE_NEEDS_RESET: it is certain by now that the device
 *	does not access memory any more, so what it has not given back, and its
 *	users wait for, can be ended. May come several times, or never where a
 *	device answers nothing. May be NULL
 * @freeze: the function is to be reset: let go of the device, which is reset
 *	when this returns 0; for a sleep of the system if @sleep, and otherwise
 *	with users that go on meanwhile. An error lets the system stay awake;
 *	where it is a reset alone, the personality is unbound, and bound again
 *	afterwards. May be NULL, which is an error
 * @thaw: the function was reset after @freeze, and the device is as
 *	a reset leaves it: take it into use again. With @gone, it is not there:
 *	let the device's users see that, as after @failed
 *
 * @config_changed, @failed and @quiet come in process context, one at a time, from
 * tvq_device_attach() until tvq_device_detach() returns, also while @probe and
 * @remove run: these may be waiting for a device that does not answer.
 */
struct tvq_driver {
	struct device_driver driver;
	int (*probe)(struct tvq_device *tdev);
	void (*remove)(struct tvq_device *tdev);
	void (*config_changed)(struct tvq_device *tdev, u8 status);
	void (*failed)(struct tvq_device *tdev);
	void (*quiet)(struct tvq_device *tdev);
	int (*freeze)(struct tvq_device *tdev, bool sleep);
	void (*thaw)(struct tvq_device *tdev, bool gone);
};

#define to_tvq_driver(d) container_of_const(d, struct tvq_driver, driver)

int __tvq_driver_register(struct tvq_driver *drv, struct module *owner);
void tvq_driver_unregister(struct tvq_driver *drv);
#define tvq_driver_register(drv) __tvq_driver_register(drv, THIS_MODULE)

static inline void tvq_set_drvdata(struct tvq_device *tdev, void *data)
{
	dev_set_drvdata(&tdev->dev, data);
}

static inline void *tvq_get_drvdata(struct tvq_device *tdev)
{
	return dev_get_drvdata(&tdev->dev);
}

/**
 * struct tvq_vq_setup - what the device is told of a queue
 * @index: of the queue
 * @size: number of entries
 * @vector: entry of the device's interrupt table or VIRTIO_TVQ_NO_VECTOR
 * @desc: DMA address of the descriptor area
 * @driver: DMA address of the driver area
 * @device: DMA address of the device area
 */
struct tvq_vq_setup {
	u16 index;
	u16 size;
	u16 vector;
	u64 desc;
	u64 driver;
	u64 device;
};

struct device *tvq_device_dma_dev(struct tvq_device *tdev);
int tvq_device_reset(struct tvq_device *tdev);
int tvq_device_negotiate(struct tvq_device *tdev, const u64 *features,
			 u8 status, u8 *result);
int tvq_device_post_status(struct tvq_device *tdev, u8 status);
int tvq_device_setup_vqs(struct tvq_device *tdev,
			 const struct tvq_vq_setup *vqs, unsigned int num_vqs,
			 u16 config_vector);
int tvq_device_enable_vq(struct tvq_device *tdev,
			 const struct tvq_vq_setup *vq, u16 config_vector);
int tvq_device_reset_vq(struct tvq_device *tdev, u16 index);
int tvq_device_post_notify(struct tvq_device *tdev, u32 data, gfp_t gfp);
int tvq_device_get_shm(struct tvq_device *tdev, u8 id,
		       struct virtio_shm_region *region);
void tvq_device_attach(struct tvq_device *tdev);
void tvq_device_detach(struct tvq_device *tdev);
bool tvq_device_is_dead(struct tvq_device *tdev);
void tvq_device_fail(struct tvq_device *tdev);
void tvq_device_needs_reset(struct tvq_device *tdev);

void tvq_config_interrupt(struct tvq_device *tdev);
void tvq_config_poll(struct tvq_device *tdev);
int tvq_config_read(struct tvq_device *tdev, unsigned int offset, void *buf,
		    unsigned int len);
int tvq_config_write(struct tvq_device *tdev, unsigned int offset,
		     const void *buf, unsigned int len);
u32 tvq_config_generation(struct tvq_device *tdev);

int tvq_irq_alloc(struct tvq_device *tdev, unsigned int num);
void tvq_irq_free(struct tvq_device *tdev);
int tvq_irq_vector(struct tvq_device *tdev, unsigned int index);
unsigned int tvq_irq_spread(struct cpumask *masks, unsigned int num);

/**
 * tvq_device_is_alive() - the device has given something back
 * @tdev: managed device
 *
 * For a personality: who waits until it lets go of a device is patient as long as this
 * comes.
 *
 * Context: any.
 */
static inline void tvq_device_is_alive(struct tvq_device *tdev)
{
	/* Of all its queues, and read by nobody else: no more often than it may differ. */
	if (time_after(jiffies, READ_ONCE(tdev->alive)))
		WRITE_ONCE(tdev->alive, jiffies);
}

/**
 * tvq_device_notify() - ring the doorbell of a queue
 * @tdev: managed device
 * @data: the queue's index, or vring_notification_data()
 * @with_data: VIRTIO_F_NOTIFICATION_DATA is negotiated
 *
 * A doorbell is one posted write and goes past the commands: this is the data
 * path.
 *
 * Context: any.
 * Return: 0, or as tvq_device_post_notify().
 */
static inline int tvq_device_notify(struct tvq_device *tdev, u32 data,
				    bool with_data)
{
	if (unlikely(!tdev->doorbell))
		return tvq_device_post_notify(tdev, data,
					      GFP_ATOMIC | __GFP_NOWARN);
	if (with_data)
		iowrite32(data, tdev->doorbell);
	else
		iowrite16(data, tdev->doorbell);
	return 0;
}

#endif /* _LINUX_VIRTIO_TVQ_H */
