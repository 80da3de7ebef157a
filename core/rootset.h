/* SPDX-License-Identifier: MIT */
/*
 * rootset.h - the roots that a vCPU has, one in use and a few kept (layer 5).
 *
 * A guest goes back and forth between few roots: they are kept with what lies below
 * them, until they are zapped or pushed out. A vCPU has one set for itself and,
 * if it is a hypervisor with EPT or NPT, one for what its guests are translated with.
 */
#ifndef CORE_ROOTSET_H
#define CORE_ROOTSET_H

#include "core/roots.h"
#include "core/walk.h"

#define ROOTSET_PREVIOUS 3

struct rootset {
	/** NULL: to be fetched at the next load. */
	struct page *root;
	/** Roots it had before, latest first, still referenced. */
	struct page *previous[ROOTSET_PREVIOUS];
	/** PCID or ASID that each of them, and the root, was used with last: what is kept
	 * for one tag may not be used by another. */
	uint32_t previous_tag[ROOTSET_PREVIOUS], tag;
	/** Epoch in which each of them was left; mirrors below it that were stamped later
	 * hold what its tag may never have cached. 0: that is true of all. */
	uint64_t previous_epoch[ROOTSET_PREVIOUS];
	/** Last-level mirrors below the root that were stamped after @since must be synced
	 * before entry. */
	bool sync;
	uint64_t since;
	/** The guest's translations of this vCPU are to be flushed before entry. */
	bool flush;
};

/* @space, all along: the space that is mirrored; NULL: the VM's TDP root. */

/**
 * rootset_switch - @space has changed: find its root among those kept, or leave it to
 * rootset_refresh(). What this vCPU could have cached for the root under the same @tag
 * and has not flushed since (unless @flushes) may be used on (H-115): all that the
 * mirrors below had to offer when it left the root. What they got since then, from
 * other roots, tags or vCPUs, was never there for this tag to cache (H-107) if it has
 * changed in the guest's table by now: such mirrors are synced first. Another tag's is all.
 */
void rootset_switch(struct mmu *mmu, struct rootset *set, const struct space *space, uint32_t tag,
		    bool flushes);
/** rootset_stay - the same when the root, if there is one, is known to be @space's still. */
void rootset_stay(struct rootset *set, uint32_t tag, bool flushes);
/** rootset_leave - the root is not in use for a while: nothing is cached from it now. */
void rootset_leave(struct mmu *mmu, struct rootset *set);
/** rootset_sync_all - all that lies below the root is to be synced. */
void rootset_sync_all(struct rootset *set);
/** rootset_flush - nothing is cached any more under @tag, or under any if @all (H-112): what is
 * below the roots that it was used with is to be synced when they come back. */
void rootset_flush(struct rootset *set, uint32_t tag, bool all);
/** rootset_refresh - a root that is not obsolete; a new one is flushed for, so that freeing
 * needs no more. Errors of roots_get(). */
enum umbra_status rootset_refresh(struct mmu *mmu, struct reserve *reserve, struct rootset *set,
				  const struct space *space);
/** rootset_sync - bring the tables below the root up to date, a batch a time (S-25). */
void rootset_sync(struct mmu *mmu, struct rootset *set, const struct mode *mode);
/** struct rootset_address - an address of which nothing is cached any more under @tag, nor
 * under any where the guest has it global. */
struct rootset_address {
	uint64_t address;
	uint32_t tag;
};
/** rootset_sync_address - the same for what translates @what: below the root now, below
 * roots that are kept when they come back. */
void rootset_sync_address(struct mmu *mmu, struct rootset *set, const struct mode *mode,
			  struct rootset_address what);
/** rootset_forget_previous - a global flush reaches what other roots have cached too. */
void rootset_forget_previous(struct mmu *mmu, struct rootset *set);
/** rootset_clear - let go of all. */
void rootset_clear(struct mmu *mmu, struct rootset *set);
/** rootset_count - how often @page is in it. */
unsigned rootset_count(const struct rootset *set, const struct page *page);

#endif
