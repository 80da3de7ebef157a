/* SPDX-License-Identifier: MIT */
/*
 * dirty.c - the dirty log: a bit a page of a slot (M-20 to M-23).
 *
 *	mark      a leaf becomes writable, in a fault for a write
 *	          the library writes: umbra_vm_write(), A and D bits in guest tables
 *	harvest   take the marks, protect those pages, flush      (one lock)
 *
 * In a slot that is logged leaves are 4K, and what may be written has its mark: all
 * others have W clear, so that a write faults (I-20). W alone goes: mmu_writable says that
 * nothing else is in the way (S-41). Whoever copies pages after a harvest has all that was
 * written before it, and what is written later has a mark again: the flush comes before
 * the lock is given up.
 */
#include "core/dirty.h"
#include "core/mmu.h"

void dirty_mark_gfn(const struct mmu *mmu, umbra_gfn gfn)
{
	const struct slot *slot;

	if (!__atomic_load_n(&mmu->slots.logged, __ATOMIC_ACQUIRE))
		return;
	slot = slots_find(mmu, gfn);
	if (slot)
		dirty_mark(slot, gfn);
}

static void protect_leaf(struct edit *edit, struct table_at at)
{
	if (at.page->role.level > 1)
		table_clear(edit, at);
	else
		rmap_protect_leaf(edit, at, false);
}

void dirty_protect_slot(struct edit *edit, const struct slot *slot)
{
	struct mmu *mmu = edit->mmu;

	/* Only leaves change: no page goes meanwhile. */
	for (struct page *page = mmu->pages.oldest; page; page = page->next) {
		for (unsigned i = 0; i < page_entry_count(page); i++) {
			struct table_at at = {page, i};
			uint64_t entry = table_read(mmu, at), first;

			if (!entry_is_present(&mmu->kind, entry) ||
			    !entry_is_leaf(&mmu->kind, entry, page->role.level))
				continue;
			first = table_gfn(mmu, at).v;
			if (first < slot_end(slot) && first + page_span(page) > slot->start.v)
				protect_leaf(edit, at);
		}
	}
}

uint64_t dirty_take(struct edit *edit, const struct slot *slot, uint64_t word, uint64_t mask)
{
	uint64_t taken = __atomic_fetch_and(&slot->dirty[word], ~mask, __ATOMIC_ACQ_REL) & mask;

	for (uint64_t left = taken; left; left &= left - 1) {
		const uint64_t page = word * 64 + (unsigned)__builtin_ctzll(left);

		rmap_protect_log(edit, slot, (umbra_gfn){slot->start.v + page});
	}
	return taken;
}
