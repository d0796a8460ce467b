// SPDX-License-Identifier: GPL-2.0
/*
 * The personality virtio: every operation of struct virtio_config_ops, as a driver
 * calls it. The device is a fake link, the driver is the test's. Interrupts are
 * real: their messages come from the vectors of a PCI function of the machine.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/errno.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/preempt.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_tvq.h>
#include <linux/workqueue.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include "fake_link.h"
#include "../../drivers/virtio_tvq/bus.h"
#include "../../drivers/virtio_tvq/cmd.h"
#include "../../drivers/virtio_tvq/irq.h"
#include "../../drivers/virtio_tvq/mgmt.h"
#include "../../drivers/virtio_tvq/virtio.h"

#define TYPE		99	/* of no driver but the one here */
#define DEADLINE_MS	200
#define WAIT		(60 * HZ)
#define CONFIG_LEN	8
#define VQS		4
#define VQ_SIZE		8
#define REQUIRED	(BIT_ULL(VIRTIO_F_VERSION_1) | \
			 BIT_ULL(VIRTIO_F_ACCESS_PLATFORM))

#define CMD(class, command)	((class) << 8 | (command))
#define CMD_LIMITS		CMD(VIRTIO_TVQ_CLASS_MGMT, 1)
#define CMD_NEGOTIATE		CMD(VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_NEGOTIATE)
#define CMD_SET_STATUS		CMD(VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_SET_STATUS)
#define CMD_RESET		CMD(VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_RESET)
#define CMD_GET_CONFIG		CMD(VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_GET_CONFIG)
#define CMD_SET_CONFIG		CMD(VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_SET_CONFIG)
#define CMD_SETUP		CMD(VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_SETUP)
#define CMD_VQ_RESET		CMD(VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_RESET)
#define CMD_NOTIFY		CMD(VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_NOTIFY)
#define CMDS			0x400

/**
 * struct bed - a managed device and its driver
 * @link: the device
 * @q: its transport virtqueue
 * @parent: the function
 * @mgmt: what interrupts need to know of the management device
 * @tdev: the managed device
 * @vdev: its virtio device, between the driver's probe and remove
 * @features: what the device offers
 * @num_vectors: how many it has
 * @doorbell: its doorbell, or NULL
 * @mute: commands are not answered
 * @refused: a command that is answered with ERR
 * @refusal: and this status
 * @no_features_ok: the device does not accept the features
 * @status: device status
 * @generation: of the configuration
 * @config: the configuration
 * @count: how often each command came
 * @negotiated: features of the last NEGOTIATE
 * @setup: the last SETUP
 * @notified: data of the last NOTIFY
 * @turned_down: features that the driver's validate clears
 * @removed_status: the status behind the reset in the driver's remove
 * @changes: calls of the driver's config_changed
 * @callbacks: calls of a queue's callback, by index
 * @called: completed by each of these and by config_changed
 * @slow: how long a callback takes, in milliseconds
 * @busy: a callback runs
 * @cpu: where it ran
 * @hold_work: holds what the personality's callbacks are called under
 * @held: it does
 */
struct bed {
	struct fake_link *link;
	struct tvq_cmdq *q;
	struct device *parent;
	struct tvq_mgmt *mgmt;
	struct tvq_device *tdev;
	struct virtio_device *vdev;
	u64 features[2];
	unsigned int num_vectors;
	void *doorbell;
	bool mute;
	unsigned int refused;
	u16 refusal;
	bool no_features_ok;
	u8 status;
	u32 generation;
	u8 config[CONFIG_LEN];
	unsigned int count[CMDS];
	u64 negotiated[2];
	u8 setup[512];
	u32 notified;
	u64 turned_down;
	u8 removed_status;
	atomic_t changes;
	atomic_t callbacks[VQS];
	struct completion called;
	unsigned int slow;
	bool busy;
	int cpu;
	struct work_struct hold_work;
	struct completion held;
};

/* The driver's callbacks have no other way to find it. */
static struct bed *the_bed;

/*
 * The device
 */

static int put_config(struct bed *bed, u8 *in)
{
	struct virtio_tvq_config *reply = (void *)in;

	reply->generation = cpu_to_le32(bed->generation);
	reply->length = cpu_to_le32(CONFIG_LEN);
	reply->status = bed->status;
	memcpy(reply + 1, bed->config, CONFIG_LEN);
	return sizeof(__le32) + sizeof(*reply) + CONFIG_LEN;
}

static int put_status(struct bed *bed, u8 *in, u8 status)
{
	bed->status = status;
	in[0] = status;
	return sizeof(__le32) + sizeof(struct virtio_tvq_status);
}

static int put_limits(struct virtio_tvq_limits *limits)
{
	limits->devices_max = cpu_to_le32(1);
	limits->device_vqs_max = cpu_to_le16(VQS);
	limits->device_vectors_max = cpu_to_le16(VQS + 1);
	limits->config_max = cpu_to_le16(CONFIG_LEN);
	limits->command_out_max = cpu_to_le32(4096);
	limits->command_in_max = cpu_to_le32(4096);
	return sizeof(__le32) + sizeof(*limits);
}

static int answer(struct fake_link *link, const struct fake_cmd *cmd)
{
	struct bed *bed = link->priv;
	const struct virtio_tvq_hdr *hdr = cmd->out;
	unsigned int which = CMD(le16_to_cpu(hdr->class), le16_to_cpu(hdr->command));
	const u8 *out = cmd->out + sizeof(*hdr);
	u8 *in = cmd->in + sizeof(__le32);

	if (which < CMDS)
		bed->count[which]++;
	if (bed->mute)
		return -1;
	if (bed->refused && bed->refused == which) {
		*(__le32 *)cmd->in = cpu_to_le32(VIRTIO_TVQ_ERR);
		memset(in, 0, sizeof(struct virtio_tvq_error));
		*(__le16 *)in = cpu_to_le16(bed->refusal);
		return sizeof(__le32) + sizeof(struct virtio_tvq_error);
	}
	*(__le32 *)cmd->in = cpu_to_le32(VIRTIO_TVQ_OK);
	switch (which) {
	case CMD_LIMITS:
		return put_limits((void *)in);
	case CMD_NEGOTIATE:
		bed->negotiated[0] = get_unaligned_le64(out);
		bed->negotiated[1] = get_unaligned_le64(out + 8);
		return put_status(bed, in, bed->no_features_ok ?
				  out[16] & ~VIRTIO_CONFIG_S_FEATURES_OK : out[16]);
	case CMD_SET_STATUS:
		return put_status(bed, in, out[0]);
	case CMD_RESET:
		return put_status(bed, in, 0);
	case CMD_GET_CONFIG:
		return put_config(bed, in);
	case CMD_SET_CONFIG:
		memcpy(bed->config + out[0],
		       out + sizeof(struct virtio_tvq_config_write), out[4]);
		bed->generation++;
		return put_config(bed, in);
	case CMD_SETUP:
		memcpy(bed->setup, out,
		       min(sizeof(bed->setup), cmd->out_len - sizeof(*hdr)));
		break;
	case CMD_NOTIFY:
		bed->notified = get_unaligned_le32(out);
		break;
	}
	return sizeof(__le32);
}

static void on_interrupt(struct fake_link *link)
{
	struct bed *bed = link->priv;

	tvq_cmdq_interrupt(bed->q);
}

/* What it was told of the queues. */
static const struct virtio_tvq_setup *setup(struct bed *bed)
{
	return (void *)bed->setup;
}

static const struct virtio_tvq_vq *setup_vq(struct bed *bed, unsigned int i)
{
	return (void *)(setup(bed) + 1) + i * sizeof(struct virtio_tvq_vq);
}

static int vq_irq(struct bed *bed, unsigned int i)
{
	return tvq_irq_vector(bed->tdev, le16_to_cpu(setup_vq(bed, i)->vector));
}

/* It sends an interrupt: the vector's own way to do that, without a message. */
static void fire(int irq)
{
	struct irq_data *d = irq_get_irq_data(irq);

	while (d->parent_data)
		d = d->parent_data;
	d->chip->irq_retrigger(d);
}

static bool fired(struct bed *bed)
{
	return wait_for_completion_timeout(&bed->called, WAIT);
}

/* It gives the first buffer back. Without an IOMMU, this is where the ring is. */
static void use_first(struct virtqueue *vq, u32 len)
{
	struct vring_used *used = phys_to_virt(virtqueue_get_used_addr(vq));

	used->ring[0].id = cpu_to_virtio32(vq->vdev, 0);
	used->ring[0].len = cpu_to_virtio32(vq->vdev, len);
	/* As a device: the entry before the index */
	smp_wmb();
	used->idx = cpu_to_virtio16(vq->vdev, 1);
}

/* The CPU that a queue's interrupt comes in on, behind the move that was asked for. */
static int comes_in_on(struct kunit *test, struct virtqueue *vq)
{
	struct bed *bed = test->priv;
	unsigned int i;

	use_first(vq, 0);
	/* It may move when it comes in, so the second is the one that counts. */
	for (i = 0; i < 2; i++) {
		fire(vq_irq(bed, vq->index));
		KUNIT_EXPECT_TRUE(test, fired(bed));
		virtio_synchronize_cbs(vq->vdev);
	}
	return bed->cpu;
}

/*
 * The driver
 */

static int test_validate(struct virtio_device *vdev)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++)
		if (the_bed->turned_down & BIT_ULL(bit))
			__virtio_clear_bit(vdev, bit);
	return 0;
}

static int test_probe(struct virtio_device *vdev)
{
	the_bed->vdev = vdev;
	return 0;
}

static void test_remove(struct virtio_device *vdev)
{
	virtio_reset_device(vdev);
	the_bed->removed_status = vdev->config->get_status(vdev);
	vdev->config->del_vqs(vdev);
	the_bed->vdev = NULL;
}

static void test_config_changed(struct virtio_device *vdev)
{
	atomic_inc(&the_bed->changes);
	complete(&the_bed->called);
}

static void test_callback(struct virtqueue *vq)
{
	struct bed *bed = the_bed;

	WRITE_ONCE(bed->busy, true);
	bed->cpu = smp_processor_id();
	atomic_inc(&bed->callbacks[vq->index]);
	complete(&bed->called);
	if (bed->slow)
		mdelay(bed->slow);
	/* Pairs with callbacks_are_waited_for(). */
	smp_store_release(&bed->busy, false);
}

static const struct virtio_device_id test_ids[] = {
	{ TYPE, VIRTIO_DEV_ANY_ID },
	{ }
};

static unsigned int test_features[] = {
	5, 6, VIRTIO_F_SR_IOV, VIRTIO_F_NOTIF_CONFIG_DATA, VIRTIO_F_ADMIN_VQ,
	65, 68, 100,
};

static struct virtio_driver test_driver = {
	.driver = { .name = "tvq_kunit_virtio" },
	.id_table = test_ids,
	.feature_table = test_features,
	.feature_table_size = ARRAY_SIZE(test_features),
	.validate = test_validate,
	.probe = test_probe,
	.remove = test_remove,
	.config_changed = test_config_changed,
};

/*
 * The bed
 */

static void hold(struct work_struct *work)
{
	struct bed *bed = container_of(work, struct bed, hold_work);

	guard(mutex)(&bed->tdev->drv_lock);
	complete(&bed->held);
	msleep(50);
}

/* Put the device on the bus. Return: its virtio device, if that has a driver. */
static struct virtio_device *plug(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct tvq_device *tdev;
	struct tvq_info info = {
		.id = 7,
		.type = TYPE,
		.features = { bed->features[0], bed->features[1] },
		.num_vqs = VQS,
		.num_vectors = bed->num_vectors,
		.config_len = CONFIG_LEN,
		.config_generation = bed->generation,
	};
	unsigned int i;

	info.config = kmemdup(bed->config, CONFIG_LEN, GFP_KERNEL);
	info.vq_size = kcalloc(VQS, sizeof(u16), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, info.config);
	KUNIT_ASSERT_NOT_NULL(test, info.vq_size);
	for (i = 0; i < VQS; i++)
		info.vq_size[i] = VQ_SIZE;
	tdev = tvq_device_alloc(bed->mgmt, bed->parent, 4712, bed->q, &info,
				(void __iomem __force *)bed->doorbell);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, tdev);
	bed->tdev = tdev;
	KUNIT_ASSERT_EQ(test, tvq_device_add(tdev), 0);
	return bed->vdev;
}

static void unplug(struct kunit *test)
{
	struct bed *bed = test->priv;

	tvq_device_remove(bed->tdev);
	tvq_device_put(bed->tdev);
	bed->tdev = NULL;
}

static struct virtqueue_info all_queues[] = {
	{ "a", test_callback },
	{ "b", test_callback },
	{ "c", test_callback },
	{ "d", test_callback },
};

/* The device, with all its queues and their callbacks. */
static struct virtio_device *plug_all(struct kunit *test, struct virtqueue **vqs)
{
	struct virtio_device *vdev = plug(test);

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	KUNIT_ASSERT_EQ(test, virtio_find_vqs(vdev, VQS, vqs, all_queues, NULL), 0);
	return vdev;
}

static int virtio_init(struct kunit *test)
{
	struct irq_domain *domain = NULL;
	struct pci_dev *pdev = NULL;
	struct tvq_limits limits;
	struct bed *bed;

	bed = kunit_kzalloc(test, sizeof(*bed), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bed);
	init_completion(&bed->called);
	init_completion(&bed->held);
	INIT_WORK(&bed->hold_work, hold);
	memcpy(bed->config, "\1\2\3\4\5\6\7\x8", CONFIG_LEN);
	bed->generation = 5;
	bed->features[0] = REQUIRED;
	bed->num_vectors = VQS + 1;
	bed->mgmt = kunit_kzalloc(test, sizeof(*bed->mgmt), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bed->mgmt);
	bed->link = fake_link_create(test, 64);
	bed->link->answer = answer;
	bed->link->interrupt = on_interrupt;
	bed->link->priv = bed;
	for_each_pci_dev(pdev) {
		domain = dev_get_msi_domain(&pdev->dev);
		if (domain)
			break;
	}
	pci_dev_put(pdev);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	bed->parent = root_device_register("tvq_kunit_virtio");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->parent);
	test->priv = bed;
	the_bed = bed;
	KUNIT_ASSERT_EQ(test, dma_coerce_mask_and_coherent(bed->parent, DMA_BIT_MASK(64)), 0);
	dev_set_msi_domain(bed->parent, domain);
	bed->mgmt->domain = tvq_irq_domain_create(bed->parent);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->mgmt->domain);
	bed->q = tvq_cmdq_create(&fake_link_ops, bed->link, 64, DEADLINE_MS,
				 bed->parent, NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bed->q);
	KUNIT_ASSERT_EQ(test, tvq_cmd_limits(bed->q, &limits), 0);
	return register_virtio_driver(&test_driver);
}

static void virtio_exit(struct kunit *test)
{
	struct bed *bed = test->priv;

	if (!bed)
		return;
	bed->mute = false;
	bed->refused = 0;
	if (bed->tdev)
		unplug(test);
	unregister_virtio_driver(&test_driver);
	fake_link_shut(bed->link);
	tvq_cmdq_destroy(bed->q);
	tvq_irq_domain_remove(bed->mgmt->domain);
	root_device_unregister(bed->parent);
	the_bed = NULL;
}

/*
 * Configuration and status
 */

static void get_config(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);
	u8 buf[CONFIG_LEN];

	/* From the cache, however small the pieces are */
	virtio_cread_bytes(vdev, 0, buf, CONFIG_LEN);
	KUNIT_EXPECT_MEMEQ(test, buf, "\1\2\3\4\5\6\7\x8", CONFIG_LEN);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_GET_CONFIG], 0);

	/* Behind its end there are zeros, which is nobody's fault. */
	memset(buf, 0xff, sizeof(buf));
	vdev->config->get(vdev, CONFIG_LEN, buf, 2);
	KUNIT_EXPECT_MEMEQ(test, buf, "\0\0\xff", 3);
	KUNIT_EXPECT_FALSE(test, virtqueue_is_broken(vqs[0]));

	/* What can't be read is what it was, and the device is broken. */
	virtio_reset_device(vdev);
	bed->refused = CMD_GET_CONFIG;
	bed->refusal = VIRTIO_TVQ_STATUS_ENOMEM;
	memset(buf, 0xff, sizeof(buf));
	vdev->config->get(vdev, 2, buf, 4);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_GET_CONFIG], 1);
	KUNIT_EXPECT_MEMEQ(test, buf, "\3\4\5\6\xff", 5);
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(vqs[0]));
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(vqs[3]));
}

static void set_config(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);
	u32 generation = vdev->config->generation(vdev);
	u8 buf[CONFIG_LEN];

	vdev->config->set(vdev, 3, "\x13\x14", 2);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_SET_CONFIG], 1);
	KUNIT_EXPECT_MEMEQ(test, bed->config, "\1\2\3\x13\x14\6\7\x8", CONFIG_LEN);
	/* What the device made of it came back with it. */
	virtio_cread_bytes(vdev, 0, buf, CONFIG_LEN);
	KUNIT_EXPECT_MEMEQ(test, buf, "\1\2\3\x13\x14\6\7\x8", CONFIG_LEN);
	KUNIT_EXPECT_EQ(test, vdev->config->generation(vdev), generation + 1);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_GET_CONFIG], 0);
	KUNIT_EXPECT_FALSE(test, virtqueue_is_broken(vqs[0]));

	bed->refused = CMD_SET_CONFIG;
	bed->refusal = VIRTIO_TVQ_STATUS_EINVAL;
	vdev->config->set(vdev, 0, "\x20", 1);
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(vqs[0]));
	virtio_cread_bytes(vdev, 0, buf, 1);
	KUNIT_EXPECT_EQ(test, buf[0], 1);
}

/* A change comes by interrupt: generation and contents move together. */
static void generation_moves(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);
	u32 generation = vdev->config->generation(vdev);
	u8 buf[2];

	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup(bed)->config_vector), 0);
	memcpy(bed->config, "\x31\x32", 2);
	bed->generation += 2;
	KUNIT_EXPECT_EQ(test, vdev->config->generation(vdev), generation);
	fire(tvq_irq_vector(bed->tdev, 0));
	KUNIT_ASSERT_TRUE(test, fired(bed));
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->changes), 1);
	KUNIT_EXPECT_EQ(test, vdev->config->generation(vdev), generation + 2);
	virtio_cread_bytes(vdev, 0, buf, 2);
	KUNIT_EXPECT_MEMEQ(test, buf, "\x31\x32", 2);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_GET_CONFIG], 1);
}

static void status_of_driver(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);

	KUNIT_EXPECT_EQ(test, vdev->config->get_status(vdev), 15);
	/* ACKNOWLEDGE, DRIVER and FEATURES_OK were one command, DRIVER_OK another. */
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NEGOTIATE], 1);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_SET_STATUS], 1);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_RESET], 0);

	bed->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	tvq_config_interrupt(bed->tdev);
	KUNIT_ASSERT_TRUE(test, fired(bed));
	KUNIT_EXPECT_EQ(test, vdev->config->get_status(vdev),
			15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(vqs[0]));

	bed->removed_status = 0xff;
	device_release_driver(&vdev->dev);
	KUNIT_EXPECT_EQ(test, bed->removed_status, 0);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_RESET], 1);
	KUNIT_EXPECT_EQ(test, bed->status, 0);
	/* The core's word that the device is there */
	KUNIT_EXPECT_EQ(test, vdev->config->get_status(vdev),
			VIRTIO_CONFIG_S_ACKNOWLEDGE);
}

/* The device gives back what it never got: nothing else comes out of that queue. */
static void broken_ring(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);
	unsigned int len;

	use_first(vqs[1], 0);
	KUNIT_EXPECT_PTR_EQ(test, virtqueue_get_buf(vqs[1], &len), NULL);
	KUNIT_ASSERT_TRUE(test, virtqueue_is_broken(vqs[1]));
	KUNIT_EXPECT_FALSE(test, virtqueue_is_broken(vqs[0]));
	fire(vq_irq(bed, 1));
	KUNIT_ASSERT_TRUE(test, fired(bed));
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(vqs[0]));
	KUNIT_EXPECT_EQ(test, vdev->config->get_status(vdev),
			15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	flush_delayed_work(&bed->tdev->config_work);
	flush_work(&bed->tdev->quiet_work);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_RESET], 1);
	KUNIT_EXPECT_FALSE(test, tvq_device_is_dead(bed->tdev));
}

/* DEVICE_NEEDS_RESET that was read before a reset is not told behind it. */
static void status_of_before_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);
	unsigned long end = jiffies + WAIT;

	queue_work(system_unbound_wq, &bed->hold_work);
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&bed->held, WAIT), 0);
	bed->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	bed->generation++;
	tvq_config_interrupt(bed->tdev);
	while (tvq_config_generation(bed->tdev) != bed->generation &&
	       time_before(jiffies, end))
		usleep_range(100, 200);
	KUNIT_EXPECT_EQ(test, tvq_config_generation(bed->tdev), bed->generation);
	virtio_reset_device(vdev);
	flush_work(&bed->hold_work);
	flush_delayed_work(&bed->tdev->config_work);
	KUNIT_EXPECT_EQ(test, vdev->config->get_status(vdev), 0);
}

static void reset_has_an_end(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);

	bed->mute = true;
	virtio_reset_device(vdev);
	KUNIT_EXPECT_EQ(test, vdev->config->get_status(vdev), 0);
	KUNIT_EXPECT_TRUE(test, tvq_device_is_dead(bed->tdev));
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(vqs[0]));
}

static void bus_name(struct kunit *test)
{
	struct virtio_device *vdev = plug(test);

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	KUNIT_EXPECT_STREQ(test, virtio_bus_name(vdev), "tvq4712-7");
}

/*
 * Features
 */

static void features_of_128_bits(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtio_device *vdev;

	/* The driver knows 5, 65 and 100 of these. */
	bed->features[0] |= BIT_ULL(5) | BIT_ULL(7);
	bed->features[1] = BIT_ULL(65 - 64) | BIT_ULL(66 - 64) | BIT_ULL(100 - 64);
	vdev = plug(test);
	KUNIT_ASSERT_NOT_NULL(test, vdev);
	KUNIT_EXPECT_EQ(test, bed->negotiated[0], REQUIRED | BIT_ULL(5));
	KUNIT_EXPECT_EQ(test, bed->negotiated[1], BIT_ULL(65 - 64) | BIT_ULL(100 - 64));
	KUNIT_EXPECT_TRUE(test, vdev->config->get_features(vdev) == bed->features[0]);
}

static void features_of_the_transport(struct kunit *test)
{
	struct bed *bed = test->priv;
	u64 taken = BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
		    BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
		    BIT_ULL(VIRTIO_F_RING_PACKED) |
		    BIT_ULL(VIRTIO_F_ORDER_PLATFORM) |
		    BIT_ULL(VIRTIO_F_NOTIFICATION_DATA) |
		    BIT_ULL(VIRTIO_F_RING_RESET);

	/* All of 28 to 49; the driver's table has some that must not be. */
	bed->features[0] |= GENMASK_ULL(49, 28);
	KUNIT_ASSERT_NOT_NULL(test, plug(test));
	KUNIT_EXPECT_EQ(test, bed->negotiated[0] & ~BIT_ULL(VIRTIO_F_IN_ORDER),
			REQUIRED | taken);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NEGOTIATE], 1);
}

/* finalize_features runs twice: what the driver turns down stays so. */
static void features_turned_down(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->features[0] |= BIT_ULL(5) | BIT_ULL(6) | BIT_ULL(VIRTIO_F_RING_RESET) |
			    BIT_ULL(VIRTIO_RING_F_EVENT_IDX);
	bed->turned_down = BIT_ULL(5);
	KUNIT_ASSERT_NOT_NULL(test, plug(test));
	KUNIT_EXPECT_EQ(test, bed->negotiated[0], bed->features[0] & ~BIT_ULL(5));
	unplug(test);

	bed->turned_down = BIT_ULL(VIRTIO_F_RING_RESET);
	KUNIT_ASSERT_NOT_NULL(test, plug(test));
	KUNIT_EXPECT_EQ(test, bed->negotiated[0],
			bed->features[0] & ~BIT_ULL(VIRTIO_F_RING_RESET));
}

static void features_required(struct kunit *test)
{
	struct bed *bed = test->priv;

	bed->turned_down = BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	KUNIT_EXPECT_NULL(test, plug(test));
	unplug(test);
	bed->turned_down = BIT_ULL(VIRTIO_F_VERSION_1);
	KUNIT_EXPECT_NULL(test, plug(test));
	unplug(test);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NEGOTIATE], 0);
	/* Both given: the device has the last word. */
	bed->turned_down = 0;
	bed->no_features_ok = true;
	KUNIT_EXPECT_NULL(test, plug(test));
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NEGOTIATE], 1);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_SETUP], 0);
}

/* After a probe that has failed, the core does not reset the device before the next. */
static void bound_after_failure(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct device *dev;

	bed->no_features_ok = true;
	KUNIT_EXPECT_NULL(test, plug(test));
	dev = device_find_any_child(&bed->tdev->dev);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	KUNIT_EXPECT_TRUE(test, dev_to_virtio(dev)->config->get_status(dev_to_virtio(dev)) &
				VIRTIO_CONFIG_S_FAILED);

	bed->no_features_ok = false;
	KUNIT_EXPECT_EQ(test, device_attach(dev), 1);
	KUNIT_EXPECT_PTR_EQ(test, bed->vdev, dev_to_virtio(dev));
	KUNIT_EXPECT_FALSE(test, dev_to_virtio(dev)->config->get_status(dev_to_virtio(dev)) &
				 VIRTIO_CONFIG_S_FAILED);
	KUNIT_EXPECT_FALSE(test, bed->status & VIRTIO_CONFIG_S_FAILED);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_RESET], 1);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NEGOTIATE], 2);
	put_device(dev);
}

/*
 * Queues
 */

static void find_vqs_with_gaps(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue_info info[] = {
		{ "a", test_callback },
		{ NULL },
		{ "b" },
		{ NULL, test_callback },
		{ "c", test_callback },
	};
	struct virtqueue *vqs[ARRAY_SIZE(info)];
	struct virtio_device *vdev = plug(test);

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	memset(vqs, 0xff, sizeof(vqs));
	KUNIT_ASSERT_EQ(test, virtio_find_vqs(vdev, ARRAY_SIZE(info), vqs, info, NULL), 0);
	KUNIT_EXPECT_NULL(test, vqs[1]);
	KUNIT_EXPECT_NULL(test, vqs[3]);
	KUNIT_EXPECT_EQ(test, vqs[0]->index, 0);
	KUNIT_EXPECT_EQ(test, vqs[2]->index, 1);
	KUNIT_EXPECT_EQ(test, vqs[4]->index, 2);
	KUNIT_EXPECT_EQ(test, vqs[4]->num_max, VQ_SIZE);

	/* Three queues, two of them and the configuration with a vector */
	KUNIT_ASSERT_EQ(test, le16_to_cpu(setup(bed)->num_vqs), 3);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup(bed)->num_msi), 3);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 0)->vector), 1);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 1)->vector), VIRTIO_TVQ_NO_VECTOR);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 2)->vector), 2);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 2)->index), 2);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 2)->size), VQ_SIZE);

	use_first(vqs[4], 0);
	fire(vq_irq(bed, 2));
	KUNIT_ASSERT_TRUE(test, fired(bed));
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[2]), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[0]), 0);

	/* No affinity for what has no interrupt */
	KUNIT_EXPECT_EQ(test, virtqueue_set_affinity(vqs[2], cpu_online_mask), -EINVAL);
	KUNIT_EXPECT_NULL(test, vdev->config->get_vq_affinity(vdev, 1));
	KUNIT_EXPECT_NULL(test, vdev->config->get_vq_affinity(vdev, 3));
	KUNIT_EXPECT_NULL(test, vdev->config->get_vq_affinity(vdev, -1));
}

/* A queue with a context keeps it where others keep an indirect table. */
static void find_vqs_with_context(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue_info info[] = {
		{ "a", test_callback, true },
	};
	struct scatterlist sg;
	struct virtio_device *vdev;
	struct virtqueue *vq;
	u8 *data = kunit_kzalloc(test, 64, GFP_KERNEL);
	unsigned int len;
	void *ctx = NULL;

	KUNIT_ASSERT_NOT_NULL(test, data);
	bed->features[0] |= BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC);
	vdev = plug(test);
	KUNIT_ASSERT_NOT_NULL(test, vdev);
	KUNIT_ASSERT_EQ(test, virtio_find_vqs(vdev, 1, &vq, info, NULL), 0);
	sg_init_one(&sg, data, 64);
	KUNIT_ASSERT_EQ(test, virtqueue_add_inbuf_ctx(vq, &sg, 1, data, &len, GFP_KERNEL), 0);
	use_first(vq, 11);
	KUNIT_EXPECT_PTR_EQ(test, virtqueue_get_buf_ctx(vq, &len, &ctx), (void *)data);
	KUNIT_EXPECT_PTR_EQ(test, ctx, (void *)&len);
	KUNIT_EXPECT_EQ(test, len, 11);
}

static void too_many_vqs(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue_info info[VQS + 1] = {};
	struct virtqueue *vqs[VQS + 1];
	struct virtio_device *vdev = plug(test);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	for (i = 0; i <= VQS; i++)
		info[i].name = "x";
	KUNIT_EXPECT_EQ(test, virtio_find_vqs(vdev, VQS + 1, vqs, info, NULL), -ENOENT);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_SETUP], 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&vdev->vqs));
}

/* What is left behind when queues can't be set up: nothing. */
static void find_vqs_fails(struct kunit *test)
{
	static const u16 refusals[] = {
		VIRTIO_TVQ_STATUS_EINVAL, VIRTIO_TVQ_STATUS_ENOSPC,
		VIRTIO_TVQ_STATUS_ENOMEM,
	};
	static const int errors[] = { -EINVAL, -ENOSPC, -ENOMEM };
	struct bed *bed = test->priv;
	struct virtio_device *vdev = plug(test);
	struct virtqueue *vqs[VQS];
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	bed->refused = CMD_SETUP;
	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		bed->refusal = refusals[i];
		KUNIT_EXPECT_EQ(test, virtio_find_vqs(vdev, VQS, vqs, all_queues, NULL),
				errors[i]);
		/* ENOSPC of the device is not that of the CPUs: no other attempt. */
		KUNIT_EXPECT_EQ(test, bed->count[CMD_SETUP], i + 1);
		KUNIT_EXPECT_TRUE(test, list_empty(&vdev->vqs));
		KUNIT_EXPECT_NULL(test, bed->tdev->irqs);
	}
	/* To be deleted again does no harm, and there is another chance. */
	vdev->config->del_vqs(vdev);
	bed->refused = 0;
	KUNIT_EXPECT_EQ(test, virtio_find_vqs(vdev, VQS, vqs, all_queues, NULL), 0);
	vdev->config->del_vqs(vdev);
	KUNIT_EXPECT_TRUE(test, list_empty(&vdev->vqs));
	KUNIT_EXPECT_NULL(test, bed->tdev->irqs);
}

/* Those behind the pre-vectors are spread over the CPUs, each to its own. */
static void affinity_is_spread(struct kunit *test)
{
	struct irq_affinity desc = { .pre_vectors = 1 };
	unsigned int i, n = min_t(unsigned int, num_present_cpus(), VQS - 1);
	struct virtio_device *vdev = plug(test);
	const struct cpumask *mask;
	struct virtqueue *vqs[VQS];
	struct cpumask *all;

	KUNIT_ASSERT_NOT_NULL(test, vdev);
	KUNIT_ASSERT_GE(test, n, 2);
	all = kunit_kzalloc(test, sizeof(*all), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, all);
	KUNIT_ASSERT_EQ(test, virtio_find_vqs(vdev, VQS, vqs, all_queues, &desc), 0);
	KUNIT_EXPECT_NULL(test, vdev->config->get_vq_affinity(vdev, 0));
	for (i = 1; i <= n; i++) {
		mask = vdev->config->get_vq_affinity(vdev, i);
		KUNIT_ASSERT_NOT_NULL(test, mask);
		KUNIT_EXPECT_FALSE(test, cpumask_empty(mask));
		KUNIT_EXPECT_FALSE(test, cpumask_intersects(all, mask));
		KUNIT_EXPECT_TRUE(test, cpumask_test_cpu(comes_in_on(test, vqs[i]), mask));
		cpumask_or(all, all, mask);
	}
	KUNIT_EXPECT_TRUE(test, cpumask_subset(cpu_present_mask, all));
	vdev->config->del_vqs(vdev);

	/* Nobody has asked */
	KUNIT_ASSERT_EQ(test, virtio_find_vqs(vdev, VQS, vqs, all_queues, NULL), 0);
	for (i = 0; i < VQS; i++)
		KUNIT_EXPECT_NULL(test, vdev->config->get_vq_affinity(vdev, i));
}

/* Queues that share a vector would keep each other from CPUs. */
static void affinity_is_not_shared(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct irq_affinity desc = {};
	struct virtio_device *vdev;
	struct virtqueue *vqs[VQS];
	unsigned int i;

	bed->num_vectors = 3;
	vdev = plug(test);
	KUNIT_ASSERT_NOT_NULL(test, vdev);
	KUNIT_ASSERT_EQ(test, virtio_find_vqs(vdev, VQS, vqs, all_queues, &desc), 0);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup(bed)->num_msi), 3);
	for (i = 0; i < VQS; i++) {
		KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, i)->vector), 1 + i % 2);
		KUNIT_EXPECT_NULL(test, vdev->config->get_vq_affinity(vdev, i));
		KUNIT_EXPECT_EQ(test, virtqueue_set_affinity(vqs[i], cpumask_of(0)), 0);
	}
	/* Its queues are looked at, whichever of them it was for. */
	use_first(vqs[1], 0);
	use_first(vqs[3], 0);
	fire(vq_irq(bed, 1));
	KUNIT_ASSERT_TRUE(test, fired(bed));
	KUNIT_ASSERT_TRUE(test, fired(bed));
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[1]), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[3]), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[0]), 0);
}

static const struct cpumask *hint(int irq)
{
	return irq_data_to_desc(irq_get_irq_data(irq))->affinity_hint;
}

/* The driver's mask is its own again when the call returns. */
static void affinity_is_set(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);
	int cpu = cpumask_last(cpu_online_mask), irq = vq_irq(bed, 1);
	struct cpumask *mask = kunit_kzalloc(test, sizeof(*mask), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mask);
	cpumask_copy(mask, cpumask_of(cpu));
	KUNIT_EXPECT_EQ(test, virtqueue_set_affinity(vqs[1], mask), 0);
	cpumask_clear(mask);
	KUNIT_ASSERT_NOT_NULL(test, hint(irq));
	KUNIT_EXPECT_TRUE(test, cpumask_equal(hint(irq), cpumask_of(cpu)));
	KUNIT_EXPECT_EQ(test, comes_in_on(test, vqs[1]), cpu);
	KUNIT_EXPECT_NULL(test, hint(vq_irq(bed, 0)));
	/* Where it goes is one thing, where it was spread to another. */
	KUNIT_EXPECT_NULL(test, vdev->config->get_vq_affinity(vdev, 1));
	KUNIT_EXPECT_EQ(test, virtqueue_set_affinity(vqs[1], NULL), 0);
	KUNIT_EXPECT_NULL(test, hint(irq));
}

static void callbacks_are_waited_for(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);
	int cpu;

	/* On another CPU: on this one, it would be over in any case. */
	KUNIT_ASSERT_GE(test, num_online_cpus(), 2);
	migrate_disable();
	cpu = cpumask_any_but(cpu_online_mask, smp_processor_id());
	KUNIT_EXPECT_EQ(test, virtqueue_set_affinity(vqs[0], cpumask_of(cpu)), 0);
	KUNIT_EXPECT_EQ(test, comes_in_on(test, vqs[0]), cpu);
	bed->slow = 50;
	fire(vq_irq(bed, 0));
	KUNIT_EXPECT_TRUE(test, fired(bed));
	virtio_synchronize_cbs(vdev);
	/* Pairs with test_callback(). */
	KUNIT_EXPECT_FALSE(test, smp_load_acquire(&bed->busy));
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[0]), 3);
	migrate_enable();
}

/*
 * Queue reset
 */

static void vq_reset_needs_feature(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	struct virtio_device *vdev = plug_all(test, vqs);

	KUNIT_EXPECT_EQ(test, vdev->config->disable_vq_and_reset(vqs[1]), -ENOENT);
	KUNIT_EXPECT_EQ(test, vdev->config->enable_vq_after_reset(vqs[1]), -EBUSY);
	KUNIT_EXPECT_FALSE(test, vqs[1]->reset);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_VQ_RESET], 0);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_SETUP], 1);
}

static void vq_reset(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtio_device *vdev;
	struct virtqueue *vqs[VQS];
	int irq;

	bed->features[0] |= BIT_ULL(VIRTIO_F_RING_RESET);
	vdev = plug_all(test, vqs);
	irq = vq_irq(bed, 1);

	/* Refused: the queue is as it was. */
	bed->refused = CMD_VQ_RESET;
	bed->refusal = VIRTIO_TVQ_STATUS_EBUSY;
	KUNIT_EXPECT_EQ(test, vdev->config->disable_vq_and_reset(vqs[1]), -EBUSY);
	KUNIT_EXPECT_FALSE(test, vqs[1]->reset);
	KUNIT_EXPECT_FALSE(test, virtqueue_is_broken(vqs[1]));
	use_first(vqs[1], 0);
	fire(irq);
	KUNIT_ASSERT_TRUE(test, fired(bed));

	/* While it is reset, nobody looks into it; others go on. */
	bed->refused = 0;
	KUNIT_ASSERT_EQ(test, vdev->config->disable_vq_and_reset(vqs[1]), 0);
	KUNIT_EXPECT_TRUE(test, vqs[1]->reset);
	fire(irq);
	use_first(vqs[2], 0);
	fire(tvq_irq_vector(bed->tdev, 3));
	KUNIT_ASSERT_TRUE(test, fired(bed));
	msleep(20);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[1]), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[2]), 1);

	/* It can't be set up: so it stays. */
	bed->refused = CMD_SETUP;
	KUNIT_EXPECT_EQ(test, vdev->config->enable_vq_after_reset(vqs[1]), -EBUSY);
	KUNIT_EXPECT_TRUE(test, vqs[1]->reset);
	fire(irq);
	msleep(20);
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[1]), 1);

	/* To try again, the core resets first what is reset: the device need not. */
	KUNIT_EXPECT_EQ(test, vdev->config->disable_vq_and_reset(vqs[1]), 0);
	KUNIT_EXPECT_TRUE(test, vqs[1]->reset);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_VQ_RESET], 2);

	/* It alone, with its vector and the configuration's, and no messages */
	bed->refused = 0;
	KUNIT_EXPECT_EQ(test, vdev->config->enable_vq_after_reset(vqs[1]), 0);
	KUNIT_EXPECT_FALSE(test, vqs[1]->reset);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup(bed)->num_vqs), 1);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup(bed)->num_msi), 0);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup(bed)->config_vector), 0);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 0)->index), 1);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 0)->vector), 2);
	fire(irq);
	KUNIT_ASSERT_TRUE(test, fired(bed));
	KUNIT_EXPECT_EQ(test, atomic_read(&bed->callbacks[1]), 2);
}

/* Another size, by the ring code, as ethtool -G has it */
static void vq_resize(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];

	bed->features[0] |= BIT_ULL(VIRTIO_F_RING_RESET);
	plug_all(test, vqs);
	KUNIT_EXPECT_EQ(test, virtqueue_resize(vqs[2], VQ_SIZE / 2, NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, virtqueue_get_vring_size(vqs[2]), VQ_SIZE / 2);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_VQ_RESET], 1);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 0)->index), 2);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(setup_vq(bed, 0)->size), VQ_SIZE / 2);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(setup_vq(bed, 0)->desc),
			virtqueue_get_desc_addr(vqs[2]));
}

/*
 * Notifications
 */

static bool kick(struct kunit *test, struct virtqueue *vq)
{
	u8 *data = kunit_kzalloc(test, 64, GFP_KERNEL);
	struct scatterlist sg;

	KUNIT_ASSERT_NOT_NULL(test, data);
	sg_init_one(&sg, data, 64);
	KUNIT_ASSERT_EQ(test, virtqueue_add_outbuf(vq, &sg, 1, data, GFP_KERNEL), 0);
	return virtqueue_kick(vq);
}

static void notify_by_doorbell(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];
	u32 *doorbell;

	doorbell = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, doorbell);
	bed->doorbell = doorbell;
	*doorbell = 0xffffffff;
	plug_all(test, vqs);
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[2]));
	/* 16 bits alone */
	KUNIT_EXPECT_EQ(test, *doorbell, 0xffff0002);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NOTIFY], 0);
	unplug(test);

	bed->features[0] |= BIT_ULL(VIRTIO_F_NOTIFICATION_DATA);
	plug_all(test, vqs);
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[2]));
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[2]));
	/* Two buffers are available. */
	KUNIT_EXPECT_EQ(test, *doorbell, 0x00020002);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NOTIFY], 0);
}

static void notify_by_command(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];

	plug_all(test, vqs);
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[3]));
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NOTIFY], 1);
	KUNIT_EXPECT_EQ(test, bed->notified, 3);
	unplug(test);

	bed->features[0] |= BIT_ULL(VIRTIO_F_NOTIFICATION_DATA);
	plug_all(test, vqs);
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[3]));
	KUNIT_EXPECT_EQ(test, bed->notified, 0x00010003);

	/* A device that takes none breaks the queue. */
	tvq_device_fail(bed->tdev);
	KUNIT_EXPECT_FALSE(test, virtqueue_notify(vqs[3]));
	KUNIT_EXPECT_TRUE(test, virtqueue_is_broken(vqs[3]));
}

static int no_memory(struct tvq_cmdq *q, u64 id, u32 data, gfp_t gfp, tvq_cmd_done_t done,
		     void *ctx)
{
	return -ENOMEM;
}

static bool notified(struct bed *bed, u32 data)
{
	unsigned long end = jiffies + WAIT;

	while (READ_ONCE(bed->notified) != data && time_before(jiffies, end))
		msleep(20);
	return READ_ONCE(bed->notified) == data;
}

/* By a worker: what fails here fails for the task of the test alone. */
static void notify_without_memory(struct kunit *test)
{
	struct bed *bed = test->priv;
	struct virtqueue *vqs[VQS];

	bed->features[0] |= BIT_ULL(VIRTIO_F_NOTIFICATION_DATA);
	plug_all(test, vqs);
	kunit_activate_static_stub(test, tvq_cmd_post_notify, no_memory);
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[3]));
	KUNIT_EXPECT_TRUE(test, notified(bed, 0x00010003));
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[3]));
	KUNIT_EXPECT_TRUE(test, notified(bed, 0x00020003));
	KUNIT_EXPECT_FALSE(test, virtqueue_is_broken(vqs[3]));

	/* One that is late is not sent behind a reset. */
	KUNIT_EXPECT_TRUE(test, kick(test, vqs[0]));
	virtio_reset_device(vqs[0]->vdev);
	KUNIT_EXPECT_EQ(test, bed->count[CMD_NOTIFY], 3);
	KUNIT_EXPECT_EQ(test, bed->notified, 0x00010000);
	kunit_deactivate_static_stub(test, tvq_cmd_post_notify);
}

static struct kunit_case virtio_cases[] = {
	KUNIT_CASE(get_config),
	KUNIT_CASE(set_config),
	KUNIT_CASE(generation_moves),
	KUNIT_CASE(status_of_driver),
	KUNIT_CASE(broken_ring),
	KUNIT_CASE(status_of_before_reset),
	KUNIT_CASE(reset_has_an_end),
	KUNIT_CASE(bus_name),
	KUNIT_CASE(features_of_128_bits),
	KUNIT_CASE(features_of_the_transport),
	KUNIT_CASE(features_turned_down),
	KUNIT_CASE(features_required),
	KUNIT_CASE(bound_after_failure),
	KUNIT_CASE(find_vqs_with_gaps),
	KUNIT_CASE(find_vqs_with_context),
	KUNIT_CASE(too_many_vqs),
	KUNIT_CASE(find_vqs_fails),
	KUNIT_CASE(affinity_is_spread),
	KUNIT_CASE(affinity_is_not_shared),
	KUNIT_CASE(affinity_is_set),
	KUNIT_CASE(callbacks_are_waited_for),
	KUNIT_CASE(vq_reset_needs_feature),
	KUNIT_CASE(vq_reset),
	KUNIT_CASE(vq_resize),
	KUNIT_CASE(notify_by_doorbell),
	KUNIT_CASE(notify_by_command),
	KUNIT_CASE(notify_without_memory),
	{}
};

static struct kunit_suite virtio_suite = {
	.name = "tvq_virtio",
	.init = virtio_init,
	.exit = virtio_exit,
	.test_cases = virtio_cases,
};

kunit_test_suite(virtio_suite);
