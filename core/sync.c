/* SPDX-License-Identifier: MIT */
/*
 * sync.c - mirrors that lag behind, and what ends that.
 *
 *	guest writes to a mirrored last-level table
 *	  -> fault -> sync_release: mirrors unsync, ancestors marked -> leaf writable
 *	  ... the guest edits freely, no exits ...
 *	INVLPG          -> sync_address: one entry
 *	MOV CR3, CR4 .. -> sync_tree: protect, flush, then compare whole tables
 *
 * Only level-1 mirrors go unsync; whatever leads to them is always true. The VM
 * lists them; marks on all their ancestors say at a glance that a root has
 * nothing to sync, and where INVLPG need not look. An entry of an unsync mirror
 * is either what the guest's entry said at some time since the last flush, or
 * empty: exactly what a TLB may hold (H-120, H-130). W is only taken away here,
 * never added: the fault that adds it sees to tables and D bits.
 *
 * A TLB of what vCPU and PCID, though? Of those for which the entry could be reached
 * when it was made. Each unsync page has the epoch in which it last got an entry or was
 * linked once more; a vCPU that returns to a root syncs what is newer than its leaving
 * (H-107). Of other mirrors only the latest such epoch of any is known, and given to
 * those that go unsync. Entries that go, or lose rights, do no harm.
 *
 * Invariants: I-7, I-11, I-15 (unsync pages are level-1 mirrors and all their
 * ancestors are marked).
 */
#include "core/sync.h"
#include "core/rmap.h"

static bool is_mirror_of(const struct page *page, umbra_gfn gfn)
{
	return page->gfn == gfn.v && !page->role.direct && !page->role.promoted &&
	       !page->role.registers;
}

bool sync_writable(struct mmu *mmu, umbra_gfn gfn)
{
	unsigned mirrors = 0;

	if (slots_is_tracked(mmu, gfn))
		return false;
	for (const struct page *page = pages_bucket(mmu, gfn); page; page = page->hash_next) {
		if (!is_mirror_of(page, gfn))
			continue;
		if (page->role.level > 1)
			return false;
		mirrors += !page->unsync;
	}
	return mmu->pages.unsync_count + mirrors <= PAGES_UNSYNC_MAX;
}

/*
 * All that leads to @page, each page once: tables may be linked 512 times, so there
 * are far more ways up than pages. page->seen is clear before and after.
 */
static void mark(struct mmu *mmu, const struct page *page)
{
	struct chain_iter iter = chain_begin(&page->parents);
	uint64_t location;

	while ((location = chain_next(&iter))) {
		struct page *parent = page_of(mmu, (umbra_hpa){location});

		if (parent->seen)
			continue;
		parent->seen = parent->unsync_below = 1;
		mark(mmu, parent);
	}
}

static void unsee(struct mmu *mmu, const struct page *page)
{
	struct chain_iter iter = chain_begin(&page->parents);
	uint64_t location;

	while ((location = chain_next(&iter))) {
		struct page *parent = page_of(mmu, (umbra_hpa){location});

		if (!parent->seen)
			continue;
		parent->seen = 0;
		unsee(mmu, parent);
	}
}

/* Mark all ancestors (S-29). Marks below a page without one may be left over, so none
 * of them ends this early. */
static void mark_parents(struct mmu *mmu, const struct page *page)
{
	mark(mmu, page);
	unsee(mmu, page);
}

bool sync_release(struct mmu *mmu, umbra_gfn gfn)
{
	if (!sync_writable(mmu, gfn))
		return false;
	for (struct page *page = pages_bucket(mmu, gfn); page; page = page->hash_next) {
		if (!is_mirror_of(page, gfn) || page->unsync)
			continue;
		pages_set_unsync(mmu, page);
		mark_parents(mmu, page);
		mmu_count(&mmu->stats.mmu_unsync, 1);
		mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_UNSYNC_PAGE, gfn.v, page->role.word,
						    page->hpa.v, 0});
	}
	/* The marks must be seen by whoever sees the guest's next write. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

void sync_linked(struct mmu *mmu, struct page *parent, const struct page *child)
{
	/* Whoever has a root above it meets its entries here for the first time. */
	pages_stamp(mmu, child);
	if (!child->unsync && !child->unsync_below)
		return;
	parent->unsync_below = 1;
	mark_parents(mmu, parent);
}

bool sync_mode_fits(const struct page *page, const struct mode *mode)
{
	return roles_mode_fits(page->role, mode);
}

/* The guest's table that @page mirrors, where its first entry for @page is; or NULL. */
static const void *guest_table(struct mmu *mmu, const struct page *page)
{
	uint64_t size;
	bool writable;
	const uint8_t *bytes =
		slots_memory(mmu, (umbra_gpa){page->gfn << UMBRA_PAGE_SHIFT}, &size, &writable);

	/* Level 1: two pages a 4-byte table. */
	if (bytes && roles_entry_bytes(page->role) == 4)
		bytes += page->role.quadrant * 2048;
	return bytes;
}

static uint64_t guest_entry(const void *table, unsigned index, unsigned bytes)
{
	if (bytes == 4)
		return __atomic_load_n((const uint32_t *)table + index, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint64_t *)table + index, __ATOMIC_RELAXED);
}

/* The leaf that @old should be, given the guest's entry now; the empty value if none. */
static uint64_t wanted_entry(struct mmu *mmu, const struct mode *mode, struct table_at at,
			     uint64_t guest, uint64_t old)
{
	const struct mode_level *level = &mode->level[1];
	const struct page *page = at.page;
	const uint64_t empty = table_empty(mmu, page);
	unsigned acc, have;
	struct entry_leaf leaf = {.level = 1};

	if (!mode_maps_page(mode, guest) || (guest & level->accessed) != level->accessed)
		return empty;
	if ((guest ^ page_words(mmu, page)[at.index]) & level->leaf_address)
		return empty;
	acc = page->role.access & mode_acc(mode, mode_rights(level, guest));
	if (!acc)
		return empty;
	have = entry_acc(&mmu->kind, old);
	leaf.shstk = page->role.flags & MODE_SHSTK && !(acc & ACC_WRITE) && guest & level->dirty &&
		     page->role.access & ACC_WRITE;
	if ((guest & level->dirty) != level->dirty)
		acc &= ~ACC_WRITE;
	leaf.key = (guest >> mode->key_shift) & mode->key_mask;
	if (leaf.key != entry_key(&mmu->kind, old))
		return empty;
	/* Turned into a supervisor page by CR0.WP=0 (G-48): let a fault decide. */
	if ((have ^ acc) & ACC_USER || (have & ~acc & ACC_WRITE && !(page->role.flags & MODE_WP)))
		return empty;
	if (!(have & ACC_WRITE)) {
		acc &= ~ACC_WRITE;
		if (leaf.shstk != entry_is_dirty(&mmu->kind, old) && page->role.flags & MODE_SHSTK)
			return empty;
	}
	if (acc == have)
		return old;
	leaf.acc = acc;
	leaf.ad = page->role.ad_disabled ? ENTRY_AD_DISABLED : ENTRY_AD_ENABLED;
	leaf.pfn = entry_pfn(&mmu->kind, old);
	leaf.host_writable = entry_is_host_writable(&mmu->kind, old);
	leaf.mmu_writable = entry_is_mmu_writable(&mmu->kind, old) && acc & ACC_WRITE;
	leaf.accessed = true;
	leaf.dirty = leaf.mmu_writable;
	return entry_make_leaf(&mmu->kind, &leaf);
}

/*
 * Does the MMIO entry @old say what the guest's entry says now, and may it still be
 * believed? It is not made young again: there may be memory by now.
 */
static bool mmio_stays(struct mmu *mmu, const struct mode *mode, struct table_at at, uint64_t guest,
		       uint64_t old)
{
	const struct mode_level *level = &mode->level[1];
	unsigned acc;

	if (!mode_maps_page(mode, guest) || (guest & level->accessed) != level->accessed)
		return false;
	if ((guest ^ page_words(mmu, at.page)[at.index]) & level->leaf_address)
		return false;
	acc = at.page->role.access & mode_acc(mode, mode_rights(level, guest));
	if ((guest & level->dirty) != level->dirty)
		acc &= ~ACC_WRITE;
	return acc && !((acc ^ entry_mmio_acc(&mmu->kind, old)) & mmu->kind.mmio_access);
}

static bool sync_mmio(struct edit *edit, const struct mode *mode, struct table_at at,
		      uint64_t guest, uint64_t old)
{
	if (!mmio_stays(edit->mmu, mode, at, guest, old))
		return table_clear(edit, at);
	table_set(edit, at, old, old, guest);
	return false;
}

static bool sync_entry(struct edit *edit, const struct mode *mode, struct table_at at,
		       const void *table)
{
	struct mmu *mmu = edit->mmu;
	unsigned bytes = roles_entry_bytes(at.page->role);
	uint64_t old = table_read(mmu, at), new;

	if (!entry_is_present(&mmu->kind, old)) {
		if (!entry_is_mmio(&mmu->kind, old))
			return false;
		return sync_mmio(edit, mode, at, guest_entry(table, at.index, bytes), old);
	}
	for (;;) {
		uint64_t guest = guest_entry(table, at.index, bytes);

		new = wanted_entry(mmu, mode, at, guest, old);
		if (!entry_is_present(&mmu->kind, new))
			return table_clear(edit, at);
		if (table_set(edit, at, old, new, guest))
			return new != old;
		old = table_read(mmu, at);
	}
}

/* First entry from @index on that is not what it was when it was mirrored; 512: none.
 * (Of what is not mirrored the word says nothing: it may be named, too.) */
static unsigned next_changed(const uint64_t *words, const void *table, unsigned bytes,
			     unsigned index)
{
	const uint32_t *narrow = table;
	const uint64_t *wide = table;

	if (bytes == 4) {
		while (index < 512 && narrow[index] == words[index])
			index++;
		return index;
	}
	for (; index & 7; index++)
		if (wide[index] != words[index])
			return index;
	/* A cache line at a time: most tables have changed in few places. */
	for (; index < 512; index += 8) {
		const uint64_t *w = words + index, *g = wide + index;

		/* Other work has driven both out of the nearest cache. */
		__builtin_prefetch(w + 32);
		__builtin_prefetch(g + 32);
		if ((w[0] ^ g[0]) | (w[1] ^ g[1]) | (w[2] ^ g[2]) | (w[3] ^ g[3]) | (w[4] ^ g[4]) |
		    (w[5] ^ g[5]) | (w[6] ^ g[6]) | (w[7] ^ g[7]))
			break;
	}
	while (index < 512 && wide[index] == words[index])
		index++;
	return index;
}

unsigned sync_page(struct edit *edit, const struct mode *mode, struct page *page)
{
	struct mmu *mmu = edit->mmu;
	const uint64_t *entries = page_entries(mmu, page), *words = page_words(mmu, page);
	const void *table = sync_mode_fits(page, mode) ? guest_table(mmu, page) : NULL;
	const uint64_t empty = table_empty(mmu, page);
	unsigned bytes = roles_entry_bytes(page->role), changed = 0;

	/* No words, no leaves. */
	for (unsigned i = 0; words && i < 512; i++) {
		struct table_at at = {page, i};

		if (table) {
			at.index = i = next_changed(words, table, bytes, i);
			if (i == 512)
				break;
		}
		if (__atomic_load_n(&entries[i], __ATOMIC_RELAXED) == empty)
			continue;
		changed += table ? sync_entry(edit, mode, at, table) : table_clear(edit, at);
	}
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_SYNC_PAGE, page->gfn, page->role.word,
					    page->hpa.v, changed});
	return changed;
}

/* An ancestor of @page that is @top, or, if that is NULL, one without a mark. */
static const struct page *climb(struct mmu *mmu, const struct page *page, const struct page *top)
{
	struct chain_iter iter = chain_begin(&page->parents);
	const struct page *found = NULL;
	uint64_t location;

	while (!found && (location = chain_next(&iter))) {
		struct page *parent = page_of(mmu, (umbra_hpa){location});

		if (parent == top || (!top && !parent->unsync_below))
			return parent;
		if (parent->seen || (top && parent->role.level >= top->role.level))
			continue;
		parent->seen = 1;
		found = climb(mmu, parent, top);
	}
	return found;
}

/* Is @page @top, or below it? Tables have few parents, so it is quicker to look up
 * from the few unsync pages than down from the root. */
static bool is_below(struct mmu *mmu, const struct page *page, const struct page *top)
{
	bool found = page == top || climb(mmu, page, top);

	unsee(mmu, page);
	return found;
}

const struct page *sync_unmarked(struct mmu *mmu, const struct page *page)
{
	const struct page *found = climb(mmu, page, NULL);

	unsee(mmu, page);
	return found;
}

/* Marks of all ancestors of @page go. Was @top one of those that had one? */
static bool unmark_parents(struct mmu *mmu, const struct page *page, const struct page *top)
{
	struct chain_iter iter = chain_begin(&page->parents);
	uint64_t location;
	bool met = false;

	while ((location = chain_next(&iter))) {
		struct page *parent = page_of(mmu, (umbra_hpa){location});

		if (!parent->unsync_below)
			continue;
		parent->unsync_below = 0;
		met |= parent == top;
		met |= unmark_parents(mmu, parent, top);
	}
	return met;
}

struct batch {
	unsigned count;
	struct page *page[SYNC_BATCH];
};

/* If there is only one, the way up that takes the marks off tells all: no other way
 * has any. */
static void collect_only(struct mmu *mmu, const struct page *root, struct batch *batch)
{
	struct page *page = mmu->pages.unsync[0];

	if (unmark_parents(mmu, page, root))
		batch->page[batch->count++] = page;
	else
		mark_parents(mmu, page);
}

static void collect(struct mmu *mmu, const struct page *root, uint64_t since, struct batch *batch)
{
	const struct pages *pages = &mmu->pages;

	for (unsigned i = 0; i < pages->unsync_count && batch->count < SYNC_BATCH; i++)
		if (pages->unsync_epoch[i] > since && is_below(mmu, pages->unsync[i], root))
			batch->page[batch->count++] = pages->unsync[i];
}

bool sync_tree(struct edit *edit, const struct mode *mode, struct page *root, uint64_t since)
{
	struct mmu *mmu = edit->mmu;
	struct batch batch;
	bool only = mmu->pages.unsync_count == 1 && mmu->pages.unsync_epoch[0] > since;

	batch.count = 0;
	if (only)
		collect_only(mmu, root, &batch);
	else
		collect(mmu, root, since, &batch);
	if (batch.count == 0) {
		if (!since)
			root->unsync_below = 0;
		return false;
	}
	/* First nobody can write them any more, then they are read. */
	for (unsigned i = 0; i < batch.count; i++)
		rmap_protect(edit, (umbra_gfn){batch.page[i]->gfn});
	tlb_flush(mmu, &edit->tlb);
	for (unsigned i = 0; i < batch.count; i++) {
		pages_clear_unsync(mmu, batch.page[i]);
		sync_page(edit, mode, batch.page[i]);
	}
	/* Off with the marks; those that lead to what is still unsync come back. */
	for (unsigned i = 0; i < batch.count && !only; i++)
		unmark_parents(mmu, batch.page[i], NULL);
	for (unsigned i = 0; i < mmu->pages.unsync_count; i++)
		mark_parents(mmu, mmu->pages.unsync[i]);
	tlb_flush(mmu, &edit->tlb);
	return batch.count == SYNC_BATCH;
}

void sync_address(struct edit *edit, const struct mode *mode, struct page *root, uint64_t address)
{
	struct mmu *mmu = edit->mmu;
	struct table_at at = {.page = root};
	const void *table;

	while (at.page->unsync_below) {
		uint64_t entry;

		at.index = page_index(at.page, address >> UMBRA_PAGE_SHIFT);
		entry = table_read(mmu, at);
		if (!entry_is_present(&mmu->kind, entry) ||
		    entry_is_leaf(&mmu->kind, entry, at.page->role.level))
			return;
		at.page = page_of(mmu, entry_table(&mmu->kind, entry));
	}
	if (!at.page->unsync)
		return;
	at.index = page_index(at.page, address >> UMBRA_PAGE_SHIFT);
	table = sync_mode_fits(at.page, mode) ? guest_table(mmu, at.page) : NULL;
	if (table)
		sync_entry(edit, mode, at, table);
	else
		table_clear(edit, at);
}
