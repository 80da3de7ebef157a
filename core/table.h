/* SPDX-License-Identifier: MIT */
/*
 * table.h - the one writer (layer 3).
 *
 * Nobody else stores an entry. table_set() keeps, in the same step, everything
 * that depends on it: reverse map, parents, leaf counts, flushes owed, trace.
 */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include "core/mmu.h"
#include "core/tlb.h"

struct mmu;

/** struct edit - one operation on tables, from lock to unlock. */
struct edit {
	struct mmu *mmu;
	/** For entries added; NULL in operations that only remove. */
	struct reserve *reserve;
	struct tlb tlb;
	/** A root that vCPUs use was zapped: they must load anew. */
	bool reload;
};

/**
 * What a mirror keeps of each leaf: the guest's entry at level 1, so that sync sees
 * at a glance whether it has changed; above, the address of the first frame. In
 * both these bits are the frame that is mapped.
 */
#define TABLE_WORD_FRAME 0x000ffffffffff000ull

/** Leaves that may map one frame at one level (S-52). */
#define TABLE_CHAIN_MAX 1000

/** Where an entry is. */
struct table_at {
	struct page *page;
	unsigned index;
};

/** table_at_location - of a location in a chain: the address of an entry. */
struct table_at table_at_location(struct mmu *mmu, uint64_t location);
/** table_location - the other way. */
static inline uint64_t table_location(struct table_at at)
{
	return at.page->hpa.v + at.index * sizeof(uint64_t);
}
/** table_read - the entry now (atomic). */
static inline uint64_t table_read(struct mmu *mmu, struct table_at at)
{
	return __atomic_load_n(&page_entries(mmu, at.page)[at.index], __ATOMIC_ACQUIRE);
}

/**
 * table_set - replace @old by @new; false if the entry is not @old any more, then
 * nothing has changed. @word is kept beside a leaf or an MMIO entry of a mirror
 * (TABLE_WORD_FRAME); ignored otherwise. An MMIO entry never replaces what is present.
 *
 * Present entries are never replaced by another frame in place under shadow
 * paging: clear first (S-7), so that the reverse map cannot go stale (O-5).
 */
bool table_set(struct edit *edit, struct table_at at, uint64_t old, uint64_t new, uint64_t word);
/**
 * table_fill - @count leaves from @at on, in a table of TDP of level 1: each is stored if
 * its place is empty. Returns how many were. Without a trace one event stands for all.
 */
unsigned table_fill(struct edit *edit, struct table_at at, const uint64_t *leaves, unsigned count);
/** table_clear - make it empty, whatever it was. True if something was there. A direct
 * child that lost its last parent is zapped with it. */
bool table_clear(struct edit *edit, struct table_at at);
/** table_link - put a table into an empty entry; false if it is not empty any more. */
bool table_link(struct edit *edit, struct table_at at, uint64_t empty, struct page *child);
/** table_empty - the value of an empty entry of @page. */
uint64_t table_empty(const struct mmu *mmu, const struct page *page);
/** table_word - what is kept beside the leaf at @at; 0 in direct pages. */
uint64_t table_word(struct mmu *mmu, struct table_at at);
/** table_gfn - first frame that the leaf at @at maps, or the MMIO entry there names. */
umbra_gfn table_gfn(struct mmu *mmu, struct table_at at);

/**
 * table_zap_page - empty @page, unlink it everywhere and bury it. A page that is a
 * root only becomes invalid; it is buried when the last vCPU lets it go.
 */
void table_zap_page(struct edit *edit, struct page *page);
/** table_recycle - zap pages that are no root, oldest first, until at most @count live.
 * False if there are not enough of them. */
bool table_recycle(struct edit *edit, uint64_t count);
/**
 * table_make_room - recycle until one operation's RESERVE_PAGES fit within the VM's
 * limit; ENOSPC if they cannot. Takes the MMU lock.
 */
enum umbra_status table_make_room(struct mmu *mmu);
/** table_put_root - a vCPU lets go of its root. */
void table_put_root(struct edit *edit, struct page *root);
/** table_zap_all - every page of the VM. Roots become invalid. */
void table_zap_all(struct edit *edit);
/** table_zap_obsolete - up to @most pages of another generation. True: there are more. */
bool table_zap_obsolete(struct edit *edit, unsigned most);
/** table_zap_frames - leaves that map, and mirrors of, [start, start + pages): all go. */
void table_zap_frames(struct edit *edit, umbra_gfn start, uint64_t pages);
/** table_zap_mirrors - the mirrors only. */
void table_zap_mirrors(struct edit *edit, umbra_gfn start, uint64_t pages);

#endif
