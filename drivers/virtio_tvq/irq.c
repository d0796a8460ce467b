// SPDX-License-Identifier: GPL-2.0
/*
 * Message signalled interrupts of managed devices.
 */
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/irq.h>
#include <linux/irq_work.h>
#include <linux/irqdomain.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/msi.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/virtio_tvq.h>
#include <linux/workqueue.h>
#include <kunit/static_stub.h>
#include <kunit/visibility.h>

#include "bus.h"
#include "compat.h"
#include "irq.h"
#include "mgmt.h"

/**
 * DOC: Interrupts of managed devices
 *
 * A managed device has an interrupt table of its own, which no register shows:
 * its entries are set with commands. For Linux they are platform MSI. Between
 * the MSI parent domain of the PCI function (the CPU vectors, or the interrupt
 * remapping) and the domain that the MSI core makes for each managed device
 * stands one domain for each management device. It asks the function's parent
 * for vectors in the function's name, because to the platform the function is
 * what writes the messages.
 *
 * The interrupt core writes a message, masks and unmasks under the raw lock of
 * the interrupt's descriptor, in hard interrupt context at times, where a
 * command can be neither allocated, nor sent, nor waited for. So these
 * functions only store what is wanted in a shadow of the table. An irq_work,
 * queued then, compares the shadow with what the device was told and posts the
 * difference as one command; a worker does so when there was no memory, and
 * with PREEMPT_RT, where a command takes locks that sleep. One such command is
 * under way at a time for each device, so that an older message never overtakes
 * a newer one, and any number of changes meanwhile become one more command. What
 * was changed back costs nothing.
 *
 * A posted change takes effect some time after the interrupt core believes that
 * it did. An interrupt that the device sends meanwhile uses the old message, and
 * by then its CPU may be offline or its CPU vector in use by somebody else. That
 * is why the protocol makes a device send one interrupt by the new message
 * whenever it executes a change of an active entry: one that got lost is made up
 * for, and the rest are spurious, which handlers must take as handled.
 *
 * Until the device has got its first messages, with the command that sets its
 * queues up, and from its reset on, nothing is posted: see tvq_irq_live().
 */

/*
 * A refused command is tried again after 1, 2, 4, ... 1024 ms, then each
 * second, and the device is given up after this many attempts: about 7 s.
 */
#define TVQ_MSI_RETRIES		16
#define TVQ_MSI_RETRY_SHIFT_MAX	10

/**
 * struct tvq_irq_vector - one entry of an interrupt table
 * @wanted: what the interrupt core wants it to be
 * @sent: what the device was told last, or is being told
 * @known: the device has been told
 */
struct tvq_irq_vector {
	struct tvq_msi wanted;
	struct tvq_msi sent;
	bool known;
};

/**
 * struct tvq_irqs - the shadow of a device's interrupt table
 * @cmdq: where commands go
 * @id: the device
 * @fail: called when the device does not take its messages, in any context up
 *	to hard interrupt
 * @fail_ctx: its argument
 * @work: posts what has changed
 * @retry: the same, from process context, some time after a failure; and for @work
 *	with PREEMPT_RT
 * @idle: the last command has ended, after @stopped was set
 * @lock: guards all that follows. Taken under the raw lock of an interrupt's
 *	descriptor, hence raw, and never held while a command is posted
 * @live: changes are posted
 * @stopped: going away: nothing is posted or scheduled any more
 * @failed: given up: nothing is posted any more
 * @in_flight: a command is being built or on its way, and no other may be.
 *	tvq_irqs_take() sets it, tvq_irqs_done() clears it
 * @first: first entry of the command on its way
 * @count: how many entries it has
 * @retries: failures in a row
 * @scratch: the entries of the command being built; belongs to whoever has set
 *	@in_flight
 * @num: entries of @vector; does not change
 * @vector: the table
 */
struct tvq_irqs {
	struct tvq_cmdq *cmdq;
	u64 id;
	void (*fail)(void *ctx);
	void *fail_ctx;
	struct irq_work work;
	struct delayed_work retry;
	struct completion idle;
	raw_spinlock_t lock;
	bool live;
	bool stopped;
	bool failed;
	bool in_flight;
	unsigned int first;
	unsigned int count;
	unsigned int retries;
	struct tvq_msi scratch[TVQ_CMD_MSI_MAX];
	unsigned int num;
	struct tvq_irq_vector vector[] __counted_by(num);
};

static bool tvq_irq_vector_dirty(const struct tvq_irq_vector *v)
{
	return !v->known || v->wanted.address != v->sent.address ||
	       v->wanted.data != v->sent.data ||
	       v->wanted.flags != v->sent.flags;
}

/* The first entry from @i on that the device does not know, or irqs->num. */
static unsigned int tvq_irqs_next_dirty(struct tvq_irqs *irqs, unsigned int i)
{
	lockdep_assert_held(&irqs->lock);

	while (i < irqs->num && !tvq_irq_vector_dirty(&irqs->vector[i]))
		i++;
	return i;
}

static bool tvq_irqs_may_post(struct tvq_irqs *irqs)
{
	lockdep_assert_held(&irqs->lock);

	return irqs->live && !irqs->stopped && !irqs->failed &&
	       !irqs->in_flight;
}

/* Errors that may be gone the next time. */
static bool tvq_irqs_error_is_transient(int err)
{
	return err == -ENOMEM || err == -EAGAIN || err == -EBUSY ||
	       err == -ENOSPC;
}

/* The command on its way has ended, or was not even posted. */
static void tvq_irqs_done(void *ctx, int err)
{
	struct tvq_irqs *irqs = ctx;
	bool give_up = false;
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&irqs->lock, flags);
	if (err) {
		for (i = irqs->first; i < irqs->first + irqs->count; i++)
			irqs->vector[i].known = false;
		give_up = !tvq_irqs_error_is_transient(err) ||
			  ++irqs->retries >= TVQ_MSI_RETRIES;
		if (give_up)
			irqs->failed = true;
	} else {
		irqs->retries = 0;
	}
	raw_spin_unlock_irqrestore(&irqs->lock, flags);

	if (give_up)
		irqs->fail(irqs->fail_ctx);

	raw_spin_lock_irqsave(&irqs->lock, flags);
	irqs->in_flight = false;
	if (irqs->stopped)
		complete(&irqs->idle);
	else if (!tvq_irqs_may_post(irqs))
		; /* tvq_irqs_live() looks again */
	else if (err)
		queue_delayed_work(tvq_wq, &irqs->retry,
				   msecs_to_jiffies(1u << min(irqs->retries - 1,
							      TVQ_MSI_RETRY_SHIFT_MAX)));
	else if (tvq_irqs_next_dirty(irqs, 0) < irqs->num)
		irq_work_queue(&irqs->work);
	raw_spin_unlock_irqrestore(&irqs->lock, flags);
	/* After that irqs may be gone: pairs with tvq_irqs_stop(). */
}

/* Take the next run of entries that the device does not know. */
static bool tvq_irqs_take(struct tvq_irqs *irqs)
{
	unsigned int first, end, i;
	unsigned long flags;
	bool found = false;

	raw_spin_lock_irqsave(&irqs->lock, flags);
	if (!tvq_irqs_may_post(irqs))
		goto out;
	first = tvq_irqs_next_dirty(irqs, 0);
	if (first == irqs->num)
		goto out;

	/* Up to the last that differs: setting one to what it is does nothing. */
	end = first;
	for (i = first; i < irqs->num && i - first < TVQ_CMD_MSI_MAX; i++) {
		struct tvq_irq_vector *v = &irqs->vector[i];

		if (tvq_irq_vector_dirty(v))
			end = i + 1;
		irqs->scratch[i - first] = v->wanted;
	}
	for (i = first; i < end; i++) {
		irqs->vector[i].sent = irqs->vector[i].wanted;
		irqs->vector[i].known = true;
	}
	irqs->first = first;
	irqs->count = end - first;
	irqs->in_flight = true;
	found = true;
out:
	raw_spin_unlock_irqrestore(&irqs->lock, flags);
	return found;
}

static void tvq_irqs_post(struct tvq_irqs *irqs, gfp_t gfp)
{
	int err;

	if (!tvq_irqs_take(irqs))
		return;
	err = tvq_cmd_post_msi(irqs->cmdq, irqs->id, irqs->first, irqs->count,
			       irqs->scratch, gfp, tvq_irqs_done, irqs);
	if (err)
		tvq_irqs_done(irqs, err);
}

/*
 * With PREEMPT_RT a command takes locks that sleep. There the interrupt core would run
 * an ordinary irq_work in a thread of the CPU that has queued it, and a CPU that goes
 * offline moves its interrupts when its threads are parked already: the messages would
 * reach the device when that CPU comes back. One for hard interrupt context is run
 * before the CPU is gone, and a work item finds another.
 */
static void tvq_irqs_work(struct irq_work *work)
{
	struct tvq_irqs *irqs = container_of(work, struct tvq_irqs, work);

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		queue_delayed_work(tvq_wq, &irqs->retry, 0);
	else
		tvq_irqs_post(irqs, GFP_ATOMIC | __GFP_NOWARN);
}

static void tvq_irqs_retry(struct work_struct *work)
{
	tvq_irqs_post(container_of(to_delayed_work(work), struct tvq_irqs,
				   retry), GFP_KERNEL);
}

/**
 * tvq_irqs_create() - make the shadow of an interrupt table
 * @cmdq: where commands go
 * @id: the device
 * @num: number of entries, 1 or more; all are masked and unknown to the device
 * @fail: called when the device does not take its messages, once, in any
 *	context up to hard interrupt
 * @fail_ctx: its argument
 *
 * Context: process, may sleep.
 * Return: the shadow, for tvq_irqs_destroy(), or NULL.
 */
struct tvq_irqs *tvq_irqs_create(struct tvq_cmdq *cmdq, u64 id,
				 unsigned int num, void (*fail)(void *ctx),
				 void *fail_ctx)
{
	struct tvq_irqs *irqs;
	unsigned int i;

	irqs = kvzalloc(struct_size(irqs, vector, num), GFP_KERNEL);
	if (!irqs)
		return NULL;
	irqs->num = num;
	irqs->cmdq = cmdq;
	irqs->id = id;
	irqs->fail = fail;
	irqs->fail_ctx = fail_ctx;
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		irqs->work = IRQ_WORK_INIT_HARD(tvq_irqs_work);
	else
		init_irq_work(&irqs->work, tvq_irqs_work);
	INIT_DELAYED_WORK(&irqs->retry, tvq_irqs_retry);
	init_completion(&irqs->idle);
	raw_spin_lock_init(&irqs->lock);
	for (i = 0; i < num; i++)
		irqs->vector[i].wanted.flags = VIRTIO_TVQ_MSI_F_MASK;
	return irqs;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_create);

/**
 * tvq_irqs_stop() - post nothing any more
 * @irqs: the shadow
 *
 * Waits until no command refers to @irqs, which the deadline of commands
 * bounds. The interrupt core may go on to store into @irqs.
 *
 * Context: process, sleeps.
 */
void tvq_irqs_stop(struct tvq_irqs *irqs)
{
	bool in_flight;

	raw_spin_lock_irq(&irqs->lock);
	in_flight = irqs->in_flight;
	irqs->stopped = true;
	raw_spin_unlock_irq(&irqs->lock);
	if (in_flight)
		wait_for_completion(&irqs->idle);
	/* Pairs with tvq_irqs_done(), which completes with the lock held. */
	raw_spin_lock_irq(&irqs->lock);
	raw_spin_unlock_irq(&irqs->lock);
	irq_work_sync(&irqs->work);
	cancel_delayed_work_sync(&irqs->retry);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_stop);

/**
 * tvq_irqs_destroy() - stop, and free a shadow
 * @irqs: the shadow, which nobody stores into any more, or NULL
 *
 * Context: process, sleeps.
 */
void tvq_irqs_destroy(struct tvq_irqs *irqs)
{
	if (!irqs)
		return;
	tvq_irqs_stop(irqs);
	kvfree(irqs);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_destroy);

/* Something is wanted: see whether that is a change. */
static void tvq_irqs_changed(struct tvq_irqs *irqs,
			     const struct tvq_irq_vector *v)
{
	lockdep_assert_held(&irqs->lock);

	if (tvq_irqs_may_post(irqs) && tvq_irq_vector_dirty(v))
		irq_work_queue(&irqs->work);
}

/**
 * tvq_irqs_set_message() - store the message of an entry
 * @irqs: the shadow
 * @index: the entry
 * @address: its address
 * @data: its data
 *
 * Context: any, under raw locks as well.
 */
void tvq_irqs_set_message(struct tvq_irqs *irqs, unsigned int index,
			  u64 address, u32 data)
{
	struct tvq_irq_vector *v;
	unsigned long flags;

	if (WARN_ON_ONCE(index >= irqs->num))
		return;
	v = &irqs->vector[index];
	raw_spin_lock_irqsave(&irqs->lock, flags);
	v->wanted.address = address;
	v->wanted.data = data;
	tvq_irqs_changed(irqs, v);
	raw_spin_unlock_irqrestore(&irqs->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_set_message);

/**
 * tvq_irqs_set_masked() - store whether an entry is masked
 * @irqs: the shadow
 * @index: the entry
 * @masked: whether it is
 *
 * Context: any, under raw locks as well.
 */
void tvq_irqs_set_masked(struct tvq_irqs *irqs, unsigned int index, bool masked)
{
	struct tvq_irq_vector *v;
	unsigned long flags;

	if (WARN_ON_ONCE(index >= irqs->num))
		return;
	v = &irqs->vector[index];
	raw_spin_lock_irqsave(&irqs->lock, flags);
	v->wanted.flags = masked ? VIRTIO_TVQ_MSI_F_MASK : 0;
	tvq_irqs_changed(irqs, v);
	raw_spin_unlock_irqrestore(&irqs->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_set_masked);

/**
 * tvq_irqs_collect() - take all entries, to be sent by the caller
 * @irqs: the shadow
 * @msis: filled in, one for each entry
 *
 * They count as sent, and changes are not posted until the caller has sent
 * them and called tvq_irqs_live(), so that nothing overtakes them.
 *
 * Context: any.
 * Return: the number of entries.
 */
unsigned int tvq_irqs_collect(struct tvq_irqs *irqs, struct tvq_msi *msis)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&irqs->lock, flags);
	irqs->live = false;
	for (i = 0; i < irqs->num; i++) {
		struct tvq_irq_vector *v = &irqs->vector[i];

		msis[i] = v->wanted;
		v->sent = v->wanted;
		v->known = true;
	}
	raw_spin_unlock_irqrestore(&irqs->lock, flags);
	return irqs->num;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_collect);

/**
 * tvq_irqs_live() - may changes be posted
 * @irqs: the shadow
 * @live: true: what has changed is posted, now and from now on. false: nothing
 *	is, and the device is taken to know no entry
 *
 * Context: any.
 */
void tvq_irqs_live(struct tvq_irqs *irqs, bool live)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&irqs->lock, flags);
	irqs->live = live;
	for (i = 0; !live && i < irqs->num; i++)
		irqs->vector[i].known = false;
	if (tvq_irqs_may_post(irqs) && tvq_irqs_next_dirty(irqs, 0) < irqs->num)
		irq_work_queue(&irqs->work);
	raw_spin_unlock_irqrestore(&irqs->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_live);

/**
 * tvq_irqs_resend() - the device may know other messages than it was told
 * @irqs: the shadow
 *
 * Where changes are posted, all entries are.
 *
 * Context: any.
 */
void tvq_irqs_resend(struct tvq_irqs *irqs)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&irqs->lock, flags);
	/* Of a command on its way, too, nobody knows whether it came before or after. */
	for (i = 0; i < irqs->num; i++)
		irqs->vector[i].known = false;
	if (tvq_irqs_may_post(irqs))
		irq_work_queue(&irqs->work);
	raw_spin_unlock_irqrestore(&irqs->lock, flags);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irqs_resend);

/**
 * struct tvq_irq_domain - the domain between a function and its devices
 * @function: what writes the messages
 * @prepare: how the function's parent domain prepares an allocation for it;
 *	set when the first device's domain is made
 */
struct tvq_irq_domain {
	struct device *function;
	tvq_msi_prepare_t prepare;
};

/*
 * Some chips below mask, others leave that to the device, as those of x86 do.
 * irq_chip_mask_parent() expects that they do.
 */
static void tvq_parent_irq_mask(struct irq_data *d)
{
	if (d->parent_data->chip->irq_mask)
		irq_chip_mask_parent(d);
}

static void tvq_parent_irq_unmask(struct irq_data *d)
{
	if (d->parent_data->chip->irq_unmask)
		irq_chip_unmask_parent(d);
}

static struct irq_chip tvq_parent_irq_chip = {
	.name			= "virtio_tvq",
	.irq_mask		= tvq_parent_irq_mask,
	.irq_unmask		= tvq_parent_irq_unmask,
	.irq_ack		= irq_chip_ack_parent,
	.irq_eoi		= irq_chip_eoi_parent,
	.irq_set_affinity	= irq_chip_set_affinity_parent,
	.irq_set_vcpu_affinity	= irq_chip_set_vcpu_affinity_parent,
};

static int tvq_irq_domain_alloc(struct irq_domain *domain, unsigned int virq,
				unsigned int nr_irqs, void *arg)
{
	struct tvq_irq_domain *td = domain->host_data;
	msi_alloc_info_t *info = arg;
	struct device *dev = info->desc->dev;
	unsigned int i;
	int err;

	/*
	 * Interrupt remapping and MSI controllers look for the requester id,
	 * and for the IOMMU that translates the message's address, in the
	 * descriptor's device. That is the function. Nobody else sees the
	 * descriptor before it has an interrupt.
	 */
	info->desc->dev = td->function;
	err = irq_domain_alloc_irqs_parent(domain, virq, nr_irqs, arg);
	info->desc->dev = dev;
	if (err)
		return err;

	/* The index is unique in one device's table alone, the number here. */
	for (i = 0; i < nr_irqs; i++)
		irq_domain_set_hwirq_and_chip(domain, virq + i, virq + i,
					      &tvq_parent_irq_chip, NULL);
	return 0;
}

static const struct irq_domain_ops tvq_irq_domain_ops = {
	.alloc	= tvq_irq_domain_alloc,
	.free	= irq_domain_free_irqs_common,
};

static struct tvq_device *tvq_desc_to_device(struct msi_desc *desc)
{
	return to_tvq_device(msi_desc_to_dev(desc));
}

static void tvq_irq_mask(struct irq_data *d)
{
	struct msi_desc *desc = irq_data_get_msi_desc(d);

	tvq_irqs_set_masked(tvq_desc_to_device(desc)->irqs, desc->msi_index,
			    true);
	irq_chip_mask_parent(d);
}

static void tvq_irq_unmask(struct irq_data *d)
{
	struct msi_desc *desc = irq_data_get_msi_desc(d);

	irq_chip_unmask_parent(d);
	tvq_irqs_set_masked(tvq_desc_to_device(desc)->irqs, desc->msi_index,
			    false);
}

static void tvq_irq_write_msg(struct msi_desc *desc, struct msi_msg *msg)
{
	tvq_irqs_set_message(tvq_desc_to_device(desc)->irqs, desc->msi_index,
			     (u64)msg->address_hi << 32 | msg->address_lo,
			     msg->data);
}

static int tvq_msi_prepare(struct irq_domain *domain, struct device *dev,
			   int nvec, msi_alloc_info_t *arg)
{
	struct tvq_irq_domain *td = domain->parent->host_data;

	return tvq_irq_arch_prepare(READ_ONCE(td->prepare), domain->parent,
				    td->function, nvec, arg);
}

/*
 * To the platform these are MSI-X messages of the function, so let its MSI
 * parent, which has no notion of other children, set the chip and the flow
 * handler up as it does for those.
 */
static bool tvq_init_dev_msi_info(struct device *dev, struct irq_domain *domain,
				  struct irq_domain *msi_parent,
				  struct msi_domain_info *info)
{
	const struct msi_parent_ops *pops = domain->parent->msi_parent_ops;
	struct tvq_irq_domain *td = domain->host_data;
	struct msi_domain_ops ops = *info->ops;
	struct msi_domain_info msix = *info;

	if (info->bus_token != DOMAIN_BUS_DEVICE_MSI)
		return false;

	msix.bus_token = DOMAIN_BUS_PCI_DEVICE_MSIX;
	msix.ops = &ops;
	if (!pops->init_dev_msi_info(dev, domain->parent, domain->parent, &msix))
		return false;
	/* The same for all devices, so that any of them may set it. */
	WRITE_ONCE(td->prepare, ops.msi_prepare);

	info->flags = msix.flags | MSI_FLAG_USE_DEF_DOM_OPS |
		      MSI_FLAG_USE_DEF_CHIP_OPS | MSI_FLAG_DEV_SYSFS |
		      MSI_FLAG_ALLOC_SIMPLE_MSI_DESCS | MSI_FLAG_FREE_MSI_DESCS;
	info->handler = msix.handler;
	info->handler_name = msix.handler_name;
	info->handler_data = msix.handler_data;
	info->ops->msi_prepare = tvq_msi_prepare;
	info->chip->irq_mask = tvq_irq_mask;
	info->chip->irq_unmask = tvq_irq_unmask;
	return true;
}

static const struct msi_parent_ops tvq_msi_parent_ops = {
	.supported_flags	= MSI_GENERIC_FLAGS_MASK,
	.init_dev_msi_info	= tvq_init_dev_msi_info,
};

/**
 * tvq_irq_domain_create() - make the parent domain of a function's devices
 * @parent: the function
 *
 * Context: process, may sleep.
 * Return: the domain, for tvq_irq_domain_remove(), or an ERR_PTR: -EOPNOTSUPP
 *	where the function's interrupts come from something that takes none of
 *	its children.
 */
struct irq_domain *tvq_irq_domain_create(struct device *parent)
{
	struct irq_domain *above = dev_get_msi_domain(parent);
	struct tvq_irq_domain *td __free(kfree) =
		kzalloc_obj(*td);
	struct fwnode_handle *fwnode;
	struct irq_domain *domain;
	char *name;

	KUNIT_STATIC_STUB_REDIRECT(tvq_irq_domain_create, parent);
	if (!above || !irq_domain_is_msi_parent(above) ||
	    !tvq_irq_arch_supported(above))
		return ERR_PTR(-EOPNOTSUPP);
	if (!td)
		return ERR_PTR(-ENOMEM);

	name = kasprintf(GFP_KERNEL, "virtio_tvq-%s", dev_name(parent));
	if (!name)
		return ERR_PTR(-ENOMEM);
	fwnode = irq_domain_alloc_named_fwnode(name);
	kfree(name);
	if (!fwnode)
		return ERR_PTR(-ENOMEM);

	td->function = parent;
	domain = irq_domain_create_hierarchy(above, IRQ_DOMAIN_FLAG_MSI_PARENT,
					     0, fwnode, &tvq_irq_domain_ops,
					     NULL);
	if (!domain) {
		irq_domain_free_fwnode(fwnode);
		return ERR_PTR(-ENOMEM);
	}
	domain->msi_parent_ops = &tvq_msi_parent_ops;
	domain->host_data = no_free_ptr(td);
	return domain;
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irq_domain_create);

/**
 * tvq_irq_domain_remove() - remove what tvq_irq_domain_create() made
 * @domain: the domain, without interrupts; an ERR_PTR or NULL is nothing
 *
 * Context: process, may sleep.
 */
void tvq_irq_domain_remove(struct irq_domain *domain)
{
	struct fwnode_handle *fwnode;
	struct tvq_irq_domain *td;

	if (IS_ERR_OR_NULL(domain))
		return;
	fwnode = domain->fwnode;
	td = domain->host_data;
	irq_domain_remove(domain);
	irq_domain_free_fwnode(fwnode);
	kfree(td);
}
EXPORT_SYMBOL_IF_KUNIT(tvq_irq_domain_remove);

static void tvq_irq_failed(void *ctx)
{
	tvq_device_fail(ctx);
}

/* The lock is for tvq_irq_collect() and tvq_irq_live(). */
static void tvq_irq_set_irqs(struct tvq_device *tdev, struct tvq_irqs *irqs)
{
	guard(mutex)(&tdev->lock);
	tdev->irqs = irqs;
}

/**
 * tvq_irq_alloc() - allocate interrupts of a device
 * @tdev: managed device that has none, bound to the caller
 * @num: 1 to its num_vectors; entries 0 to @num - 1 get one each
 *
 * A CPU's vector is assigned only when an interrupt is requested: -ENOSPC from
 * request_irq() says that none is left. Then the caller frees all, and may try
 * again with fewer.
 *
 * Context: process, may sleep; from probe() on.
 * Return: 0, -EINVAL, -EBUSY, -EOPNOTSUPP where the platform has no interrupts
 *	for managed devices, -ENOSPC or -ENOMEM.
 */
int tvq_irq_alloc(struct tvq_device *tdev, unsigned int num)
{
	struct irq_domain *domain = tdev->mgmt->domain;
	struct tvq_irqs *irqs;
	int err;

	if (!num || num > tdev->num_vectors)
		return -EINVAL;
	if (IS_ERR_OR_NULL(domain))
		return -EOPNOTSUPP;
	if (tdev->irqs)
		return -EBUSY;

	irqs = tvq_irqs_create(tdev->cmdq, tdev->id, num, tvq_irq_failed, tdev);
	if (!irqs)
		return -ENOMEM;
	tvq_irq_set_irqs(tdev, irqs);
	dev_set_msi_domain(&tdev->dev, domain);
	err = platform_device_msi_init_and_alloc_irqs(&tdev->dev, num,
						      tvq_irq_write_msg);
	if (!err)
		return 0;

	/* -ENODEV: no memory for the device's domain. Else it stays behind. */
	if (err == -ENODEV)
		err = -ENOMEM;
	else
		platform_device_msi_free_irqs_all(&tdev->dev);
	tvq_irq_set_irqs(tdev, NULL);
	tvq_irqs_destroy(irqs);
	return err;
}
EXPORT_SYMBOL_GPL(tvq_irq_alloc);

/**
 * tvq_irq_free() - free the interrupts of a device
 * @tdev: managed device, all whose interrupts were given back with free_irq();
 *	one that has none is let alone
 *
 * Waits for a change of messages that is under way, which the deadline of
 * commands bounds.
 *
 * Context: process, may sleep; before the device is unbound.
 */
void tvq_irq_free(struct tvq_device *tdev)
{
	struct tvq_irqs *irqs = tdev->irqs;

	if (!irqs)
		return;
	tvq_irqs_stop(irqs);
	platform_device_msi_free_irqs_all(&tdev->dev);
	tvq_irq_set_irqs(tdev, NULL);
	tvq_irqs_destroy(irqs);
}
EXPORT_SYMBOL_GPL(tvq_irq_free);

/**
 * tvq_irq_vector() - the Linux interrupt of an entry
 * @tdev: managed device
 * @index: entry of its interrupt table
 *
 * Context: process, may sleep.
 * Return: the number for request_irq(), or -ENXIO for an entry that has none.
 */
int tvq_irq_vector(struct tvq_device *tdev, unsigned int index)
{
	unsigned int irq = 0;

	if (tdev->irqs && index < tdev->irqs->num)
		irq = msi_get_virq(&tdev->dev, index);
	return irq ? irq : -ENXIO;
}
EXPORT_SYMBOL_GPL(tvq_irq_vector);

/**
 * tvq_irq_collect() - take all messages of a device, for the caller to send
 * @tdev: managed device
 * @msis: room for num_vectors entries
 *
 * They count as sent from now on. tvq_irq_live() is to be called when the
 * device has taken them.
 *
 * Context: process, with the lock of @tdev held.
 * Return: how many from entry 0 on; 0 for a device without interrupts.
 */
unsigned int tvq_irq_collect(struct tvq_device *tdev, struct tvq_msi *msis)
{
	lockdep_assert_held(&tdev->lock);

	return tdev->irqs ? tvq_irqs_collect(tdev->irqs, msis) : 0;
}

/**
 * tvq_irq_live() - may changes of messages be posted
 * @tdev: managed device
 * @live: true when it has taken what tvq_irq_collect() gave: what has changed
 *	since is posted now. false before it is reset: it forgets all
 *
 * Context: process, with the lock of @tdev held.
 */
void tvq_irq_live(struct tvq_device *tdev, bool live)
{
	lockdep_assert_held(&tdev->lock);

	if (tdev->irqs)
		tvq_irqs_live(tdev->irqs, live);
}

/**
 * tvq_irq_spread() - share out the CPUs among interrupts
 * @masks: filled in, from the first on
 * @num: how many interrupts there are
 *
 * Each CPU is in one of the masks that are filled in, and each of those has a
 * CPU that is present; so there are no more of them than such CPUs.
 *
 * Context: process, may sleep.
 * Return: the number of masks filled in, 0 without memory.
 */
unsigned int tvq_irq_spread(struct cpumask *masks, unsigned int num)
{
	struct cpumask *groups;
	unsigned int i;

	num = min(num, num_present_cpus());
	groups = tvq_group_cpus_evenly(num, &num);
	if (!groups)
		return 0;
	for (i = 0; i < num; i++)
		cpumask_copy(&masks[i], &groups[i]);
	kfree(groups);
	return num;
}
EXPORT_SYMBOL_GPL(tvq_irq_spread);

/**
 * tvq_irq_resend() - tell the device all its messages once more
 * @tdev: managed device, whose interrupt table somebody else has written
 *
 * Context: process, with the lock of @tdev held.
 */
void tvq_irq_resend(struct tvq_device *tdev)
{
	lockdep_assert_held(&tdev->lock);

	if (tdev->irqs)
		tvq_irqs_resend(tdev->irqs);
}
