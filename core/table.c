/* SPDX-License-Identifier: MIT */
/*
 * table.c - the one writer of entries, and how tables come apart.
 *
 *	        old entry                       new entry
 *	leaf    rmap -, leaves -, flush?        rmap +, leaves +
 *	table   child's parents -               child's parents +
 *	empty   -                               -
 *
 * Entries are atomics: hardware sets A and D in them, and under TDP several
 * vCPUs install at once, so every store is a compare-exchange from the value
 * that was judged (T-20).
 *
 * Invariants: I-5 (every leaf of an indirect or shadow page is in exactly the
 * chain of its gfn), I-6 (every table entry is in its child's parents, and
 * nothing else is), I-9 (flushes).
 */
#include "core/table.h"
#include "core/mmu.h"
#include "core/rmap.h"

uint64_t table_empty(const struct mmu *mmu, const struct page *page)
{
	return entry_empty(&mmu->kind, page->role.pae_root);
}

uint64_t table_word(struct mmu *mmu, struct table_at at)
{
	const uint64_t *words = page_words(mmu, at.page);

	return words ? words[at.index] : 0;
}

static umbra_gfn frame_of_word(uint64_t word)
{
	return (umbra_gfn){(word & TABLE_WORD_FRAME) >> UMBRA_PAGE_SHIFT};
}

umbra_gfn table_gfn(struct mmu *mmu, struct table_at at)
{
	const struct page *page = at.page;

	if (page->role.direct)
		return (umbra_gfn){page->gfn + ((uint64_t)at.index << 9 * (page->role.level - 1))};
	return frame_of_word(page_words(mmu, page)[at.index]);
}

static uint64_t *leaf_counter(struct mmu *mmu, unsigned level)
{
	if (level == 1)
		return &mmu->stats.pages_4k;
	return level == 2 ? &mmu->stats.pages_2m : &mmu->stats.pages_1g;
}

static void chain_insert(struct edit *edit, struct chain *chain, uint64_t location)
{
	struct reserve *reserve = edit->reserve;
	struct chain_block *spare = reserve->blocks, *next;

	if (!chain_needs_block(chain)) {
		chain_add(chain, location, NULL);
		return;
	}
	MMU_BUG_ON(edit->mmu, !spare);
	next = spare->next;
	chain_add(chain, location, spare);
	reserve->blocks = next;
	reserve->block_count--;
}

static void chain_delete(struct mmu *mmu, struct chain *chain, uint64_t location)
{
	struct chain_block *freed;
	bool there = chain_remove(chain, location, &freed);

	MMU_BUG_ON(mmu, !there);
	if (freed)
		pages_free_block(mmu, freed);
}

struct table_at table_at_location(struct mmu *mmu, uint64_t location)
{
	return (struct table_at){page_of(mmu, (umbra_hpa){location}),
				 (location & (UMBRA_PAGE_SIZE - 1)) / sizeof(uint64_t)};
}

/*
 * A frame that is mapped in too many places is unmapped in all of them (S-52):
 * else a guest could make each change to it cost what it likes. Counted only when
 * the chain grows by a block.
 */
static void limit_chain(struct edit *edit, struct chain *chain)
{
	struct mmu *mmu = edit->mmu;
	uint64_t location;

	if (!chain_needs_block(chain) || chain_count(chain) < TABLE_CHAIN_MAX)
		return;
	mmu_count(&mmu->stats.mmu_recycled, 1);
	while ((location = chain_first(chain)))
		table_clear(edit, table_at_location(mmu, location));
}

static struct chain *leaf_chain(struct mmu *mmu, umbra_gfn gfn, unsigned level)
{
	struct slot *slot = slots_find(mmu, gfn);

	MMU_BUG_ON(mmu, !slot);
	return rmap_chain(slot, gfn, level);
}

/* @old has left @at: undo what depended on it. */
static void forget(struct edit *edit, struct table_at at, uint64_t old)
{
	struct mmu *mmu = edit->mmu;
	unsigned level = at.page->role.level;

	if (!entry_is_leaf(&mmu->kind, old, level)) {
		struct page *child = page_of(mmu, entry_table(&mmu->kind, old));

		chain_delete(mmu, &child->parents, table_location(at));
		return;
	}
	mmu_count_locked(mmu, leaf_counter(mmu, level), -1ull);
	if (!mmu_page_is_tdp(mmu, at.page))
		chain_delete(mmu, leaf_chain(mmu, table_gfn(mmu, at), level), table_location(at));
}

/* @new, which maps @gfn if it is a leaf, has arrived at @at: do what depends on it. */
static void remember(struct edit *edit, struct table_at at, uint64_t new, umbra_gfn gfn)
{
	struct mmu *mmu = edit->mmu;
	unsigned level = at.page->role.level;

	if (!entry_is_leaf(&mmu->kind, new, level)) {
		struct page *child = page_of(mmu, entry_table(&mmu->kind, new));

		chain_insert(edit, &child->parents, table_location(at));
		return;
	}
	mmu_count_locked(mmu, leaf_counter(mmu, level), 1);
	if (!mmu_page_is_tdp(mmu, at.page)) {
		struct chain *chain = leaf_chain(mmu, gfn, level);

		/* Most frames are mapped once. */
		if (chain_is_empty(chain)) {
			chain_add(chain, table_location(at), NULL);
			return;
		}
		limit_chain(edit, chain);
		chain_insert(edit, chain, table_location(at));
	}
}

/* Same leaf or same child: nothing that depends on it changes. */
static bool same_target(const struct mmu *mmu, uint64_t old, uint64_t new, unsigned level)
{
	return entry_is_present(&mmu->kind, old) && entry_is_present(&mmu->kind, new) &&
	       entry_pfn(&mmu->kind, old).v == entry_pfn(&mmu->kind, new).v &&
	       entry_is_leaf(&mmu->kind, old, level) == entry_is_leaf(&mmu->kind, new, level);
}

bool table_set(struct edit *edit, struct table_at at, uint64_t old, uint64_t new, uint64_t word)
{
	struct mmu *mmu = edit->mmu;
	unsigned level = at.page->role.level;
	uint64_t *entry = &page_entries(mmu, at.page)[at.index];
	const bool present = entry_is_present(&mmu->kind, new);
	const bool mmio = !present && entry_is_mmio(&mmu->kind, new);

	MMU_BUG_ON(mmu, mmio && entry_is_present(&mmu->kind, old));
	if (!__atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return false;
	mmu_trace(mmu,
		  (struct umbra_trace){UMBRA_TRACE_SET_SPTE, table_location(at), old, new, level});
	if (entry_is_present(&mmu->kind, old) && entry_needs_flush(&mmu->kind, old, new, level)) {
		if (entry_is_leaf(&mmu->kind, old, level) && mmu_page_is_tdp(mmu, at.page))
			tlb_add(mmu, &edit->tlb, table_gfn(mmu, at), 1ull << 9 * (level - 1));
		else
			tlb_add_all(mmu, &edit->tlb);
	}
	if (entry_is_present(&mmu->kind, old) && !same_target(mmu, old, new, level))
		forget(edit, at, old);
	if (!present && !mmio)
		return true;
	if (!at.page->role.direct && (mmio || entry_is_leaf(&mmu->kind, new, level))) {
		uint64_t *kept = &page_words(mmu, at.page)[at.index];

		/* Not what some vCPU may have seen here before. */
		if (*kept != word || !entry_is_present(&mmu->kind, old))
			pages_stamp(mmu, at.page);
		*kept = word;
	}
	if (present && !(entry_is_present(&mmu->kind, old) && same_target(mmu, old, new, level)))
		remember(edit, at, new,
			 at.page->role.direct ? table_gfn(mmu, at) : frame_of_word(word));
	return true;
}

static void trace_filled(struct mmu *mmu, struct table_at at, uint64_t leaf)
{
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_SET_SPTE, table_location(at),
					    table_empty(mmu, at.page), leaf, 1});
}

unsigned table_fill(struct edit *edit, struct table_at at, const uint64_t *leaves, unsigned count)
{
	struct mmu *mmu = edit->mmu;
	uint64_t *entry = &page_entries(mmu, at.page)[at.index];
	unsigned stored = 0;

	MMU_BUG_ON(mmu, !mmu_page_is_tdp(mmu, at.page) || at.page->role.level != 1);
	for (unsigned i = 0; i < count; i++) {
		uint64_t old = table_empty(mmu, at.page);

		if (!__atomic_compare_exchange_n(&entry[i], &old, leaves[i], false,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		if (!stored++ || mmu->trace)
			trace_filled(mmu, (struct table_at){at.page, at.index + i}, leaves[i]);
	}
	mmu_count_locked(mmu, leaf_counter(mmu, 1), stored);
	return stored;
}

bool table_link(struct edit *edit, struct table_at at, uint64_t empty, struct page *child)
{
	struct mmu *mmu = edit->mmu;
	enum entry_ad ad = child->role.ad_disabled ? ENTRY_AD_DISABLED : ENTRY_AD_ENABLED;
	uint64_t new = at.page->role.pae_root ? entry_make_pdpte(&mmu->kind, child->hpa)
					      : entry_make_table(&mmu->kind, child->hpa, ad);

	return table_set(edit, at, empty, new, 0);
}

/*
 * A direct child without parents is found again only by chance, and a TDP child
 * never: it goes with its last parent. Mirrors stay, guests relink them often.
 */
static bool dies_alone(const struct page *page)
{
	return page->role.direct && !page->roots && chain_is_empty(&page->parents);
}

bool table_clear(struct edit *edit, struct table_at at)
{
	struct mmu *mmu = edit->mmu;
	uint64_t empty = table_empty(mmu, at.page), old;
	struct page *child;

	do {
		old = table_read(mmu, at);
		if (old == empty)
			return false;
	} while (!table_set(edit, at, old, empty, 0));
	if (!entry_is_present(&mmu->kind, old) ||
	    entry_is_leaf(&mmu->kind, old, at.page->role.level))
		return true;
	child = page_of(mmu, entry_table(&mmu->kind, old));
	if (dies_alone(child))
		table_zap_page(edit, child);
	return true;
}

/* Recursion goes down levels only: table_clear of a level-n page zaps level n-1. */
void table_zap_page(struct edit *edit, struct page *page)
{
	struct mmu *mmu = edit->mmu;
	uint64_t entries = 0, location;

	/* Off the hash first, so that nothing below finds it again. */
	umbra_host_lock(mmu->host, UMBRA_LOCK_PAGES, true);
	pages_unhash(mmu, page);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_PAGES, true);
	while ((location = chain_first(&page->parents))) {
		struct table_at at = table_at_location(mmu, location);

		while (!table_set(edit, at, table_read(mmu, at), table_empty(mmu, at.page), 0))
			;
	}
	for (unsigned i = 0; i < page_entry_count(page); i++)
		entries += table_clear(edit, (struct table_at){page, i});
	pages_clear_unsync(mmu, page);
	if (!page->role.invalid)
		rmap_account(mmu, page, -1);
	page->role.invalid = 1;
	mmu_count(&mmu->stats.mmu_shadow_zapped, 1);
	mmu_change(mmu);
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_PREPARE_ZAP_PAGE, page->gfn,
					    page->role.word, page->hpa.v, entries});
	if (page->roots)
		edit->reload = true;
	else
		tlb_bury(mmu, &edit->tlb, page);
}

void table_put_root(struct edit *edit, struct page *root)
{
	MMU_BUG_ON(edit->mmu, root->roots == 0);
	root->roots--;
	mmu_trace(edit->mmu, (struct umbra_trace){UMBRA_TRACE_PUT_ROOT, root->hpa.v,
						  root->role.word, root->roots, 0});
	if (!root->roots && root->role.invalid)
		tlb_bury(edit->mmu, &edit->tlb, root);
}

bool table_recycle(struct edit *edit, uint64_t count)
{
	struct pages *pages = &edit->mmu->pages;
	struct page *page;

	while (pages->count > count) {
		for (page = pages->oldest; page && page->roots; page = page->next)
			;
		if (!page)
			return false;
		table_zap_page(edit, page);
		mmu_count(&edit->mmu->stats.mmu_recycled, 1);
	}
	return true;
}

enum umbra_status table_make_room(struct mmu *mmu)
{
	struct edit edit = {.mmu = mmu};
	bool enough;

	if (!mmu->page_limit || mmu->pages.count + RESERVE_PAGES <= mmu->page_limit)
		return UMBRA_OK;
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	enough = table_recycle(&edit, mmu->page_limit - RESERVE_PAGES);
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	return enough ? UMBRA_OK : UMBRA_ENOSPC;
}

bool table_zap_obsolete(struct edit *edit, unsigned most)
{
	struct mmu *mmu = edit->mmu;
	struct page *page;

	while (most--) {
		for (page = mmu->pages.oldest; page; page = page->next)
			if (!page->role.invalid && page->generation != mmu->generation)
				break;
		if (!page)
			return false;
		table_zap_page(edit, page);
	}
	return true;
}

static bool is_mirror(const struct page *page)
{
	return !page->role.direct && !page->role.promoted && !page->role.registers &&
	       !page->role.invalid;
}

static bool overlaps(uint64_t gfn, uint64_t count, umbra_gfn start, uint64_t pages)
{
	return gfn < start.v + pages && start.v < gfn + count;
}

static void clear_leaves(struct edit *edit, struct page *page, umbra_gfn start, uint64_t pages)
{
	struct mmu *mmu = edit->mmu;
	const unsigned count = page_entry_count(page);

	/* Most tables of a guest are elsewhere, and direct ones say where. */
	if (page->role.direct && !overlaps(page->gfn, count * page_span(page), start, pages))
		return;
	for (unsigned i = 0; i < count; i++) {
		struct table_at at = {page, i};
		uint64_t entry = table_read(mmu, at);

		if (entry_is_present(&mmu->kind, entry) &&
		    entry_is_leaf(&mmu->kind, entry, page->role.level) &&
		    overlaps(table_gfn(mmu, at).v, page_span(page), start, pages))
			table_clear(edit, at);
	}
}

void table_zap_frames(struct edit *edit, umbra_gfn start, uint64_t pages)
{
	/* Leaves first: clearing them moves no page. */
	for (struct page *page = edit->mmu->pages.oldest; page; page = page->next)
		clear_leaves(edit, page, start, pages);
	table_zap_mirrors(edit, start, pages);
}

void table_zap_mirrors(struct edit *edit, umbra_gfn start, uint64_t pages)
{
	struct page *page, *next;

	/* Zapping a mirror may take direct pages along, but no other mirror. */
	for (page = edit->mmu->pages.oldest; page && !is_mirror(page); page = page->next)
		;
	for (; page; page = next) {
		for (next = page->next; next && !is_mirror(next); next = next->next)
			;
		if (overlaps(page->gfn, 1, start, pages))
			table_zap_page(edit, page);
	}
}

void table_zap_all(struct edit *edit)
{
	struct pages *pages = &edit->mmu->pages;
	struct page *page;

	/* From the front each time: zapping one may take children along. Roots in
	 * use stay on the list, invalid and empty. */
	for (;;) {
		for (page = pages->oldest; page && page->role.invalid; page = page->next)
			;
		if (!page)
			break;
		table_zap_page(edit, page);
	}
}
