// SPDX-License-Identifier: GPL-2.0
/*
 * What x86 wants to know before it gives vectors to a child of a PCI function.
 *
 * The vector domain needs nothing. The remapping units take the requester id
 * that they let through from the PCI function behind irq_alloc_info::desc, if
 * the type says that there is one; irq.c lets the descriptor point there for
 * the time of the allocation.
 */
#include <linux/irqdomain.h>
#include <linux/msi.h>
#include <linux/string.h>
#include <asm/hw_irq.h>

#include "irq.h"

/**
 * tvq_irq_arch_supported() - may children of a function use its MSI parent?
 * @parent: MSI parent domain of the function
 *
 * The vector domain, which is the root, and the two remapping units look at
 * nothing but the allocation info. Others (behind VMD, Hyper-V, Xen) look for
 * a PCI function behind each interrupt later on, where there is none.
 *
 * Context: any.
 * Return: true if they may.
 */
bool tvq_irq_arch_supported(const struct irq_domain *parent)
{
	switch (parent->bus_token) {
	case DOMAIN_BUS_ANY:
		return !parent->parent;
	case DOMAIN_BUS_DMAR:
	case DOMAIN_BUS_AMDVI:
		return true;
	default:
		return false;
	}
}

/**
 * tvq_irq_arch_prepare() - prepare the allocation of vectors
 * @prepare: not used: x86's own expects the domain of a PCI function
 * @domain: not used
 * @function: not used
 * @nvec: not used
 * @arg: filled in here; the MSI core adds descriptor and number for each vector
 *
 * Context: process.
 * Return: 0.
 */
int tvq_irq_arch_prepare(tvq_msi_prepare_t prepare, struct irq_domain *domain,
			 struct device *function, int nvec,
			 msi_alloc_info_t *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->type = X86_IRQ_ALLOC_TYPE_PCI_MSIX;
	return 0;
}
