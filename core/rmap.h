/* SPDX-License-Identifier: MIT */
/*
 * rmap.h - from a guest frame to the leaves that map it (layer 3).
 */
#ifndef CORE_RMAP_H
#define CORE_RMAP_H

#include "core/slots.h"
#include "core/table.h"

/** rmap_chain - the chain of leaves at @level that map @gfn, which lies in @slot. */
static inline struct chain *rmap_chain(const struct slot *slot, umbra_gfn gfn, unsigned level)
{
	return &slot->rmap[level][slot_region(slot, gfn, level)];
}

/**
 * rmap_protect - a guest table at @gfn is about to be mirrored: no leaf may let the
 * guest write there. 4K leaves lose W and mmu_writable (S-41), larger ones go.
 */
void rmap_protect(struct edit *edit, umbra_gfn gfn);

/** rmap_protect_log - writes to @gfn, in @slot, are to be seen once: 4K leaves lose W, larger
 * ones go. */
void rmap_protect_log(struct edit *edit, const struct slot *slot, umbra_gfn gfn);
/** rmap_protect_leaf - one leaf of 4K loses W, or goes if it may be written without; @shadowing:
 * for good, else until the next write. */
void rmap_protect_leaf(struct edit *edit, struct table_at at, bool shadowing);

/** rmap_account - @page starts (+1) or ends (-1) to mirror its gfn: large mappings of the
 * regions around it are off meanwhile (S-40). */
void rmap_account(struct mmu *mmu, const struct page *page, int delta);

#endif
