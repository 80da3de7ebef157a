/* SPDX-License-Identifier: MIT */
/*
 * rmap.c - the reverse map, and write protection that needs it.
 *
 *	slot->rmap[level][region of gfn]  ->  chain of leaf locations
 *
 * TDP tables are in no chain; they are walked, which leads to one leaf a root.
 *
 * A frame whose bytes are a mirrored guest table is never mapped writable (I-7)
 * and never part of a larger mapping (I-8); both are arranged here when the
 * mirror is made and need no attention later, since slot_level() and the fault
 * path ask before they map.
 */
#include "core/rmap.h"
#include "core/mmu.h"

/* A shadow-stack leaf lets shadow-stack writes through although W=0: it must go. What
 * is made for a guest without paging serves it with CET on and off. */
static bool may_write_without_w(const struct page *page)
{
	return page->role.flags & MODE_SHSTK || page->role.guest == ROLE_GUEST_NONE;
}

/* A leaf of 4K loses W. What may be written without goes. True: so did it. */
static bool protect(struct edit *edit, struct table_at at, bool shadowing)
{
	struct mmu *mmu = edit->mmu;
	uint64_t old;

	if (!mmu_page_is_tdp(mmu, at.page) && may_write_without_w(at.page)) {
		table_clear(edit, at);
		return true;
	}
	do {
		old = table_read(mmu, at);
		/* Nobody has cleared W without a flush: there is nothing to flush again. */
		if (!shadowing && !entry_is_writable(&mmu->kind, old))
			return false;
	} while (!table_set(edit, at, old, entry_protect(&mmu->kind, old, shadowing),
			    table_word(mmu, at)));
	return false;
}

void rmap_protect_leaf(struct edit *edit, struct table_at at, bool shadowing)
{
	protect(edit, at, shadowing);
}

/*
 * TDP leaves are in no chain: there is one for each frame in each TDP root, found from
 * the top. Roots that are obsolete count while some vCPU may still have them.
 */
static void protect_tdp(struct edit *edit, umbra_gfn gfn, bool shadowing)
{
	struct mmu *mmu = edit->mmu;

	if (gfn.v >= mmu->reach)
		return;
	for (struct page *root = pages_bucket(mmu, (umbra_gfn){0}); root; root = root->hash_next) {
		struct table_at at = {.page = root};
		uint64_t entry;

		if (!mmu_page_is_tdp(mmu, root))
			continue;
		for (;;) {
			at.index = page_index(at.page, gfn.v);
			entry = table_read(mmu, at);
			if (!entry_is_present(&mmu->kind, entry) ||
			    entry_is_leaf(&mmu->kind, entry, at.page->role.level))
				break;
			at.page = page_of(mmu, entry_table(&mmu->kind, entry));
		}
		if (!entry_is_present(&mmu->kind, entry))
			continue;
		if (at.page->role.level > 1)
			table_clear(edit, at);
		else
			protect(edit, at, shadowing);
	}
}

static void protect_frame(struct edit *edit, const struct slot *slot, umbra_gfn gfn, bool shadowing)
{
	struct mmu *mmu = edit->mmu;
	struct chain_iter iter;
	uint64_t location;

	if (mmu->paging != UMBRA_PAGING_SHADOW)
		protect_tdp(edit, gfn, shadowing);
	if (!mmu->mirrors)
		return;
	for (unsigned level = 2; level <= 3; level++)
		while ((location = chain_first(rmap_chain(slot, gfn, level))))
			table_clear(edit, table_at_location(mmu, location));
again:
	iter = chain_begin(rmap_chain(slot, gfn, 1));
	while ((location = chain_next(&iter)))
		if (protect(edit, table_at_location(mmu, location), shadowing))
			goto again; /* the chain has changed */
}

void rmap_protect(struct edit *edit, umbra_gfn gfn)
{
	const struct slot *slot = slots_find(edit->mmu, gfn);

	if (slot)
		protect_frame(edit, slot, gfn, true);
}

void rmap_protect_log(struct edit *edit, const struct slot *slot, umbra_gfn gfn)
{
	protect_frame(edit, slot, gfn, false);
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
