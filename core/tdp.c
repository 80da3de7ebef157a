/* SPDX-License-Identifier: MIT */
/*
 * tdp.c - maps guest-physical frames in tables that mirror nothing.
 *
 *	root --------> table --------> table --------> leaf
 *	level n        ...             goal + 1        goal (1, 2 or 3)
 *
 * Every vCPU of a VM uses one root. A table has exactly one parent entry and is
 * not in the hash; whoever loses the race to link one keeps it in the reserve.
 * Invariants: I-6, I-10 (a TDP table has one parent).
 */
#include "core/tdp.h"
#include "core/dirty.h"
#include "core/mmio.h"
#include "core/sync.h"
#include "core/table.h"

/* Does @entry let the access through? Then only a TLB or another vCPU was in the way. */
static bool allows(const struct mmu *mmu, uint64_t entry, unsigned access)
{
	unsigned acc = entry_acc(&mmu->kind, entry);
	unsigned needed = ACC_READ;

	if (access & UMBRA_ACCESS_WRITE)
		needed = ACC_WRITE;
	else if (access & UMBRA_ACCESS_FETCH)
		needed = ACC_EXEC;
	return acc & needed;
}

/* Must guest writes to the frame be seen (I-7)? A write that is about to go through makes
 * last-level mirrors unsync instead. */
static bool mirrored(const struct fault *fault)
{
	struct mmu *mmu = fault->mmu;

	if (!mmu->mirrors || !pages_is_mirrored(mmu, fault->gfn))
		return false;
	return !(fault->access & UMBRA_ACCESS_WRITE) || !sync_release(mmu, fault->gfn);
}

static uint64_t leaf_of(const struct fault *fault, const struct page *page)
{
	const struct mmu *mmu = fault->mmu;
	unsigned level = page->role.level;
	bool host = fault->pin.writable && !(fault->slot->flags & UMBRA_SLOT_READONLY);
	bool writable = host && !slots_is_tracked(mmu, fault->gfn) && !mirrored(fault);
	struct entry_leaf leaf = {
		.pfn = {fault->pin.pfn.v & ~(page_span(page) - 1)},
		.level = level,
		.acc = mmu->direct_acc,
		.ad = page->role.ad_disabled ? ENTRY_AD_DISABLED : ENTRY_AD_ENABLED,
		.host_writable = host,
		.mmu_writable = writable,
		.accessed = !fault->prefault,
		.dirty = writable,
	};
	uint64_t entry;

	if (!writable)
		leaf.acc &= ~ACC_WRITE;
	entry = entry_make_leaf(&mmu->kind, &leaf);
	/* The first write is to be seen. */
	if (fault->slot->dirty && !(fault->access & UMBRA_ACCESS_WRITE))
		entry = entry_protect(&mmu->kind, entry, false);
	return entry;
}

/*
 * The access is let through already, by an entry that is there: then it must lead to the
 * frame that the host has for the address (T-31). The host may have made a copy for
 * somebody's write since this fault pinned the page for reading.
 */
static void check_frame(const struct fault *fault, struct table_at at, uint64_t entry)
{
	struct mmu *mmu = fault->mmu;
	const uint64_t within = fault->gfn.v & (page_span(at.page) - 1);
	const umbra_pfn mapped = {entry_pfn(&mmu->kind, entry).v + within};
	const umbra_gpa gpa = {fault->gfn.v << UMBRA_PAGE_SHIFT};

	if (mapped.v == fault->pin.pfn.v ||
	    (!fault->pin.writable && entry_is_writable(&mmu->kind, entry)))
		return;
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_CHANGED_PFN, gpa.v, mapped.v,
					    fault->pin.pfn.v, table_location(at)});
	if (__atomic_fetch_add(&mmu->stats.pf_changed_pfn, 1, __ATOMIC_RELAXED))
		return;
	mmu->changed.where = table_location(at);
	mmu->changed.mapped = mapped;
	mmu->changed.pinned = fault->pin.pfn;
}

/* The frame to walk for. */
static umbra_gfn frame_of(const struct fault *fault)
{
	const struct mmu *mmu = fault->mmu;

	if (__builtin_expect(mmu->bug_truncate_gpa, 0))
		return (umbra_gfn){fault->gfn.v & (mmu->reach - 1)};
	return fault->gfn;
}

/* A new table below @at in place of @old; NULL if @old has changed. */
static struct page *link_table(struct edit *edit, struct table_at at, uint64_t old, umbra_gfn gfn)
{
	struct mmu *mmu = edit->mmu;
	union role role = roles_child(at.page->role);
	uint64_t region = gfn.v >> 9 * role.level << 9 * role.level;
	struct page *child = pages_new(mmu, edit->reserve, reserve_table(mmu, edit->reserve),
				       (umbra_gfn){region}, role, false);

	if (table_link(edit, at, old, child)) {
		/* In place of a leaf: it must be gone before a part of it shows anew. */
		if (entry_is_present(&mmu->kind, old))
			tlb_flush(mmu, &edit->tlb);
		return child;
	}
	pages_unmake(mmu, edit->reserve, child);
	return NULL;
}

static enum umbra_verdict map(struct fault *fault, struct edit *edit)
{
	struct mmu *mmu = fault->mmu;
	struct table_at at = {.page = fault->root};
	const umbra_gfn gfn = frame_of(fault);
	uint64_t old, new;

	for (;;) {
		at.index = page_index(at.page, gfn.v);
		old = table_read(mmu, at);
		if (entry_is_frozen(&mmu->kind, old))
			return UMBRA_RETRY;
		if (entry_is_present(&mmu->kind, old)) {
			if (!entry_is_leaf(&mmu->kind, old, at.page->role.level)) {
				at.page = page_of(mmu, entry_table(&mmu->kind, old));
				continue;
			}
			if (fault->slot && allows(mmu, old, fault->access)) {
				check_frame(fault, at, old);
				return UMBRA_RESUME;
			}
		}
		if (at.page->role.level <= fault->goal)
			break;
		at.page = link_table(edit, at, old, gfn);
		if (!at.page)
			return UMBRA_RETRY;
	}
	if (!fault->slot)
		return mmio_mark(edit, fault, at, 0);
	new = leaf_of(fault, at.page);
	if (new == old)
		return UMBRA_RESUME;
	/* Another frame: the old translation must be gone before the new one shows. */
	if (entry_is_present(&mmu->kind, old) &&
	    entry_pfn(&mmu->kind, old).v != entry_pfn(&mmu->kind, new).v) {
		/* Only this leaf: another vCPU may have linked a table here meanwhile,
		 * and be in it. */
		if (!table_set(edit, at, old, table_empty(mmu, at.page), 0))
			return UMBRA_RETRY;
		tlb_flush(mmu, &edit->tlb);
		old = table_empty(mmu, at.page);
	}
	if (!table_set(edit, at, old, new, 0))
		return UMBRA_RETRY;
	if (entry_is_writable(&mmu->kind, new))
		dirty_mark(fault->slot, fault->gfn);
	fault->level = at.page->role.level;
	return UMBRA_RESUME;
}

enum umbra_verdict tdp_map(struct fault *fault)
{
	struct edit edit = {.mmu = fault->mmu, .reserve = fault->reserve};
	enum umbra_verdict verdict = map(fault, &edit);

	tlb_commit(fault->mmu, &edit.tlb);
	return verdict;
}

/* ---- prefault ---- */

/* Leaves for @pins, the first of which is of fault->gfn. */
static void make_leaves(struct fault *fault, const struct page *page, const struct umbra_pin *pins,
			unsigned count, uint64_t *leaves)
{
	const struct mmu *mmu = fault->mmu;
	/* Else each frame must be asked for. */
	const bool alike = !mmu->tracking && !mmu->mirrors;

	for (unsigned i = 0; i < count; i++, fault->gfn.v++) {
		fault->pin = pins[i];
		if (alike && i && pins[i].writable == pins[i - 1].writable)
			leaves[i] = entry_with_pfn(&mmu->kind, leaves[i - 1], pins[i].pfn);
		else
			leaves[i] = leaf_of(fault, page);
	}
	fault->gfn.v -= count;
}

/* One leaf, unless there is one. False: somebody else was quicker. */
static bool fill_one(struct fault *fault, struct edit *edit, struct table_at at, uint64_t leaf)
{
	struct mmu *mmu = fault->mmu;
	uint64_t old = table_read(mmu, at);

	if (entry_is_present(&mmu->kind, old)) {
		check_frame(fault, at, old);
		return true;
	}
	if (entry_is_frozen(&mmu->kind, old) || !table_set(edit, at, old, leaf, 0))
		return false;
	fault->level = at.page->role.level;
	mmu_count(&mmu->stats.pf_fixed, 1);
	return true;
}

static uint64_t fill_table(struct fault *fault, struct edit *edit, struct table_at at,
			   const struct umbra_pin *pins, unsigned count)
{
	const umbra_gfn first = fault->gfn;
	uint64_t leaves[TDP_FILL];
	unsigned stored, i = 0;

	make_leaves(fault, at.page, pins, count, leaves);
	stored = table_fill(edit, at, leaves, count);
	mmu_count(&fault->mmu->stats.pf_fixed, stored);
	if (stored == count)
		return count;
	/* Some were there, or are something else than leaves. */
	for (; i < count; i++, at.index++) {
		fault->gfn.v = first.v + i;
		fault->pin = pins[i];
		if (!fill_one(fault, edit, at, leaves[i]))
			break;
	}
	fault->gfn = first;
	return i;
}

static uint64_t fill(struct fault *fault, struct edit *edit, const struct umbra_pin *pins,
		     unsigned count)
{
	struct mmu *mmu = fault->mmu;
	struct table_at at = {.page = fault->root};
	const umbra_gfn gfn = frame_of(fault);

	for (;;) {
		uint64_t old;

		at.index = page_index(at.page, gfn.v);
		old = table_read(mmu, at);
		if (entry_is_frozen(&mmu->kind, old))
			return 0;
		if (at.page->role.level == 1)
			return fill_table(fault, edit, at, pins, count);
		if (entry_is_present(&mmu->kind, old) &&
		    !entry_is_leaf(&mmu->kind, old, at.page->role.level)) {
			at.page = page_of(mmu, entry_table(&mmu->kind, old));
			continue;
		}
		if (entry_is_present(&mmu->kind, old) || at.page->role.level <= fault->goal)
			break;
		at.page = link_table(edit, at, old, gfn);
		if (!at.page)
			return 0;
	}
	fault->pin = pins[0];
	if (!fill_one(fault, edit, at, leaf_of(fault, at.page)))
		return 0;
	return page_span(at.page) - (gfn.v & (page_span(at.page) - 1));
}

uint64_t tdp_fill(struct fault *fault, const struct umbra_pin *pins, unsigned count)
{
	struct edit edit = {.mmu = fault->mmu, .reserve = fault->reserve};
	uint64_t filled = fill(fault, &edit, pins, count);

	tlb_commit(fault->mmu, &edit.tlb);
	return filled;
}
