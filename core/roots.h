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
 * roots_get - let go of *@root, if any, and take a reference to the root that mirrors
 * @space; NULL: the VM's TDP root. ENOMEM, ENOSPC: nothing changed.
 */
enum umbra_status roots_get(struct mmu *mmu, struct reserve *reserve, const struct space *space,
			    struct page **root);
/** roots_suits - is @page the root that roots_get() would find? */
bool roots_suits(const struct mmu *mmu, const struct page *page, const struct space *space);
/** roots_reach - first frame of its input that the root @page cannot translate; ~0 under
 * shadow paging, whose input is linear addresses. */
uint64_t roots_reach(const struct mmu *mmu, const struct page *page);
/** roots_put - let go of *@root, which becomes NULL; it may be already. */
void roots_put(struct mmu *mmu, struct page **root);

/** roots_describe - fill @root, but for what only the vCPU knows (nested, flush): @page is the
 * root of a guest whose registers are @regs. */
void roots_describe(const struct mmu *mmu, const struct page *page, const struct umbra_regs *regs,
		    struct umbra_root *root);

#endif
