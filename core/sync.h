/* SPDX-License-Identifier: MIT */
/*
 * sync.h - guest tables that the guest may write, and bringing their mirrors back (layer 4).
 *
 * A last-level guest table need not be write protected all the time: hardware
 * too may go on with old translations until the guest flushes. Such a table is
 * "unsync"; the flush is when its mirror is compared with it (S-20).
 */
#ifndef CORE_SYNC_H
#define CORE_SYNC_H

#include "core/mmu.h"
#include "core/table.h"

/** sync_writable - may the guest write @gfn directly: no mirror of it, or only ones that
 * could go unsync, and nobody tracks it. */
bool sync_writable(struct mmu *mmu, umbra_gfn gfn);
/**
 * sync_release - a leaf is about to let the guest write @gfn: its mirrors go unsync,
 * with a barrier before the leaf is stored (S-21). False, and nothing changed, unless
 * sync_writable(). MMU lock exclusive.
 */
bool sync_release(struct mmu *mmu, umbra_gfn gfn);
/** sync_linked - @parent has got @child below it: pass its marks up (S-8). */
void sync_linked(struct mmu *mmu, struct page *parent, const struct page *child);

/**
 * sync_page - make every entry of a mirror what its guest table says, or empty. @mode
 * is the mode that the page was made for, NULL: empty them all. The table may still be
 * written while this runs. Returns the number of entries that changed.
 */
unsigned sync_page(struct edit *edit, const struct mode *mode, struct page *page);

/** At most so many tables are synced before the lock is offered. */
#define SYNC_BATCH 16
/**
 * sync_tree - write protect and sync up to SYNC_BATCH unsync tables below @root that were
 * stamped after epoch @since (0: all). True: there are more (the caller may yield the
 * lock before it goes on).
 */
bool sync_tree(struct edit *edit, const struct mode *mode, struct page *root, uint64_t since);
/** sync_address - INVLPG: sync the one entry below @root that translates @address (S-28). */
void sync_address(struct edit *edit, const struct mode *mode, struct page *root, uint64_t address);

/** sync_unmarked - an ancestor of an unsync page that does not say so; NULL: none (I-15). */
const struct page *sync_unmarked(struct mmu *mmu, const struct page *page);

/** sync_mode_fits - was @page made for @mode? (S-24) */
bool sync_mode_fits(const struct page *page, const struct mode *mode);

#endif
