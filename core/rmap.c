/* SPDX-License-Identifier: MIT */
/*
 * rmap.c - the reverse map, and write protection that needs it.
 *
 *	slot->rmap[level][region of gfn]  ->  chain of leaf locations
 *
 * A frame whose bytes are a mirrored guest table is never mapped writable (I-7)
 * and never part of a larger mapping (I-8); both are arranged here when the
 * mirror is made and need no attention later, since slot_level() and the fault
 * path ask before they map.
 */
#include "core/rmap.h"
#include "core/mmu.h"

struct chain *rmap_chain(const struct slot *slot, umbra_gfn gfn, unsigned level)
{
	return &slot->rmap[level][slot_region(slot, gfn, level)];
}

/* A shadow-stack leaf lets shadow-stack writes through although W=0: it must go. What
 * is made for a guest without paging serves it with CET on and off. */
static bool may_write_without_w(const struct page *page)
{
	return page->role.flags & MODE_SHSTK || page->role.guest == ROLE_GUEST_NONE;
}

void rmap_protect(struct edit *edit, umbra_gfn gfn)
{
	struct mmu *mmu = edit->mmu;
	const struct slot *slot = slots_find(mmu, gfn);
	struct chain_iter iter;
	uint64_t location;

	if (!slot)
		return;
	for (unsigned level = 2; level <= 3; level++)
		while ((location = chain_first(rmap_chain(slot, gfn, level))))
			table_clear(edit, table_at_location(mmu, location));
again:
	iter = chain_begin(rmap_chain(slot, gfn, 1));
	while ((location = chain_next(&iter))) {
		struct table_at at = table_at_location(mmu, location);
		uint64_t old = table_read(mmu, at);

		if (may_write_without_w(at.page)) {
			table_clear(edit, at);
			goto again; /* the chain has changed */
		}
		while (!table_set(edit, at, old, entry_protect(&mmu->kind, old, true),
				  table_word(mmu, at)))
			old = table_read(mmu, at);
	}
}

void rmap_account(struct mmu *mmu, const struct page *page, int delta)
{
	umbra_gfn gfn = {page->gfn};
	const struct slot *slot;

	if (page->role.direct || page->role.promoted || page->role.registers)
		return;
	slot = slots_find(mmu, gfn);
	if (!slot || !slot->mirrored[2])
		return;
	for (unsigned level = 2; level <= 3; level++)
		slot->mirrored[level][slot_region(slot, gfn, level)] += delta;
}
