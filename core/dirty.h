/* SPDX-License-Identifier: MIT */
/*
 * dirty.h - which pages of a slot have been written (layer 4).
 */
#ifndef CORE_DIRTY_H
#define CORE_DIRTY_H

#include "core/rmap.h"

/** dirty_mark - the page at @gfn, in @slot, was written, or may be from now on; nothing if
 * writes to the slot are not logged. After the write, so that no harvest takes the
 * mark and misses the bytes. */
static inline void dirty_mark(const struct slot *slot, umbra_gfn gfn)
{
	uint64_t *dirty = __atomic_load_n(&slot->dirty, __ATOMIC_ACQUIRE);
	const uint64_t page = gfn.v - slot->start.v;

	if (__builtin_expect(dirty != NULL, 0))
		__atomic_fetch_or(&dirty[page / 64], 1ull << page % 64, __ATOMIC_RELEASE);
}
/** dirty_mark_gfn - the same, the slot to be looked up. In a read-side section. */
void dirty_mark_gfn(const struct mmu *mmu, umbra_gfn gfn);

/** dirty_manual_ok - is @manual a value of umbra_vm_config.manual_dirty? */
bool dirty_manual_ok(unsigned manual);

/** dirty_protect_slot - logging of @slot begins: no page of it is writable any more. MMU lock
 * exclusive, like all that follows. */
void dirty_protect_slot(struct edit *edit, const struct slot *slot);

/**
 * dirty_take - take the marks in @mask off the 64 pages from @word * 64 on, and protect those
 * pages that had one, so that the next write gives one again. Returns the marks taken.
 */
uint64_t dirty_take(struct edit *edit, const struct slot *slot, uint64_t word, uint64_t mask);

#endif
