/* SPDX-License-Identifier: MIT */
/*
 * roots.h - the root for a vCPU's registers (layer 5).
 *
 * A root is an ordinary table page, found and kept in the same hash as all
 * others (I-1); what is special about PAE is in its role.
 */
#ifndef CORE_ROOTS_H
#define CORE_ROOTS_H

#include "core/shadow.h"

/**
 * roots_get - let go of *@root, if any, and take a reference to the root for @space,
 * whose registers are @regs (with TDP both are ignored). ENOMEM, ENOSPC: nothing changed.
 */
enum umbra_status roots_get(struct mmu *mmu, struct reserve *reserve, const struct space *space,
			    const struct umbra_regs *regs, struct page **root);
/** roots_suits - is @page the root that roots_get() would find? */
bool roots_suits(const struct mmu *mmu, const struct page *page, const struct space *space,
		 const struct umbra_regs *regs);
/** roots_put - let go of *@root, which becomes NULL; it may be already. */
void roots_put(struct mmu *mmu, struct page **root);

/** roots_pointer - CR3, EPTP or nCR3 for @root and a guest whose registers are @regs. */
uint64_t roots_pointer(const struct mmu *mmu, const struct page *root,
		       const struct umbra_regs *regs);
/** roots_registers - fill root->regs and root->host for a guest whose registers are @regs. */
void roots_registers(const struct mmu *mmu, const struct umbra_regs *regs, struct umbra_root *root);

#endif
