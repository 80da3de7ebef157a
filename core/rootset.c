/* SPDX-License-Identifier: MIT */
/*
 * rootset.c - which roots a vCPU has, and when what lies below them must be synced.
 *
 *	CR3 = A, B, C, D     root D    previous C B A
 *	CR3 = A              root A    previous D C B
 *
 * Invariant I-1: a page's roots counts the places in all sets that hold it.
 */
#include "core/rootset.h"
#include "core/mmu.h"
#include "core/sync.h"
#include "core/table.h"

void rootset_forget_previous(struct mmu *mmu, struct rootset *set)
{
	for (unsigned i = 0; i < ROOTSET_PREVIOUS; i++)
		if (set->previous[i])
			roots_put(mmu, &set->previous[i]);
}

void rootset_clear(struct mmu *mmu, struct rootset *set)
{
	if (set->root)
		roots_put(mmu, &set->root);
	rootset_forget_previous(mmu, set);
}

unsigned rootset_count(const struct rootset *set, const struct page *page)
{
	unsigned count = set->root == page;

	for (unsigned i = 0; i < ROOTSET_PREVIOUS; i++)
		count += set->previous[i] == page;
	return count;
}

/* Does @page, which is referenced, suit @space? */
static bool suits(const struct mmu *mmu, const struct page *page, const struct space *space)
{
	return page && !page_is_obsolete(mmu, page) && roots_suits(mmu, page, space);
}

void rootset_sync_all(struct rootset *set)
{
	set->sync = true;
	set->since = 0;
}

void rootset_leave(struct mmu *mmu, struct rootset *set)
{
	if (set->sync)
		return;
	set->sync = true;
	set->since = pages_end_epoch(mmu);
}

/* Each root moves one place, until one suits or falls off the end. What the
 * current one still had to have synced is remembered with it. */
static void rotate(struct mmu *mmu, struct rootset *set, const struct space *space)
{
	struct edit edit = {.mmu = mmu};
	struct page *pushed = set->root;
	uint32_t pushed_tag = set->tag;
	uint64_t pushed_epoch;

	rootset_leave(mmu, set);
	pushed_epoch = set->since;
	set->root = NULL;
	for (unsigned i = 0; i < ROOTSET_PREVIOUS && pushed; i++) {
		struct page *kept = set->previous[i];
		uint32_t kept_tag = set->previous_tag[i];
		uint64_t kept_epoch = set->previous_epoch[i];

		set->previous[i] = pushed;
		set->previous_tag[i] = pushed_tag;
		set->previous_epoch[i] = pushed_epoch;
		pushed = kept;
		pushed_tag = kept_tag;
		pushed_epoch = kept_epoch;
		if (suits(mmu, kept, space)) {
			set->root = kept;
			set->tag = kept_tag;
			set->since = kept_epoch;
			return;
		}
	}
	if (pushed)
		table_put_root(&edit, pushed);
	tlb_commit(mmu, &edit.tlb);
}

void rootset_flush(struct rootset *set, uint32_t tag, bool all)
{
	if (all || set->tag == tag)
		rootset_sync_all(set);
	for (unsigned i = 0; i < ROOTSET_PREVIOUS; i++)
		if (all || set->previous_tag[i] == tag)
			set->previous_epoch[i] = 0;
}

void rootset_switch(struct mmu *mmu, struct rootset *set, const struct space *space, uint32_t tag,
		    bool flushes)
{
	if (set->root && !suits(mmu, set->root, space)) {
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
		rotate(mmu, set, space);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	}
	rootset_stay(set, tag, flushes);
}

void rootset_stay(struct rootset *set, uint32_t tag, bool flushes)
{
	if (flushes || !set->root || set->tag != tag)
		rootset_sync_all(set);
	set->tag = tag;
	/* Other roots' translations under this tag are gone as well. */
	if (flushes)
		rootset_flush(set, tag, false);
}

/* Roots that were zapped would only be in the way, of memory too. */
static void forget_obsolete(struct mmu *mmu, struct rootset *set)
{
	unsigned count = 0;

	for (unsigned i = 0; i < ROOTSET_PREVIOUS; i++) {
		struct page *kept = set->previous[i];

		if (kept && page_is_obsolete(mmu, kept)) {
			roots_put(mmu, &set->previous[i]);
			continue;
		}
		set->previous[i] = NULL;
		set->previous[count] = kept;
		set->previous_epoch[count] = set->previous_epoch[i];
		set->previous_tag[count++] = set->previous_tag[i];
	}
}

enum umbra_status rootset_refresh(struct mmu *mmu, struct reserve *reserve, struct rootset *set,
				  const struct space *space)
{
	enum umbra_status status;

	if (set->root && !page_is_obsolete(mmu, set->root))
		return UMBRA_OK;
	status = roots_get(mmu, reserve, space, &set->root);
	if (status)
		return status;
	set->flush = true;
	rootset_sync_all(set);
	forget_obsolete(mmu, set);
	return UMBRA_OK;
}

void rootset_sync(struct mmu *mmu, struct rootset *set, const struct mode *mode)
{
	bool more = set->root->unsync || set->root->unsync_below;

	set->sync = false;
	while (more) {
		struct edit edit = {.mmu = mmu};

		umbra_host_read_begin(mmu->host);
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
		more = sync_tree(&edit, mode, set->root, set->since);
		tlb_commit(mmu, &edit.tlb);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
		umbra_host_read_end(mmu->host);
	}
}

/* The leaf or MMIO entry below @root that translates @address. False: there is none. */
static bool find_leaf(struct mmu *mmu, struct page *root, uint64_t address, struct table_at *at)
{
	at->page = root;
	for (;;) {
		uint64_t entry;

		at->index = page_index(at->page, address >> UMBRA_PAGE_SHIFT);
		entry = table_read(mmu, *at);
		if (!entry_is_present(&mmu->kind, entry))
			return entry_is_mmio(&mmu->kind, entry);
		if (entry_is_leaf(&mmu->kind, entry, at->page->role.level))
			return true;
		at->page = page_of(mmu, entry_table(&mmu->kind, entry));
	}
}

/* May the guest have it for all PCIDs? Parts of a large page do not say. */
static bool may_be_global(struct mmu *mmu, struct table_at at)
{
	const struct format *format = roles_format(at.page->role);

	return at.page->role.direct || (format && table_word(mmu, at) & format->global);
}

/*
 * A CPU walks from the root in use only. What it forgets of an address it cannot cache
 * again for another root before that comes back: what is kept below that is to be true
 * then, not now. Under EPT each root's translations are its own (H-107).
 */
static void forget_address(struct edit *edit, struct page *kept, uint64_t address, bool same_tag)
{
	struct table_at at;

	if (find_leaf(edit->mmu, kept, address, &at) && (same_tag || may_be_global(edit->mmu, at)))
		table_clear(edit, at);
}

void rootset_sync_address(struct mmu *mmu, struct rootset *set, const struct mode *mode,
			  struct rootset_address what)
{
	const bool ept = mode && mode->format->family == FORMAT_EPT;
	const uint64_t address = what.address;
	struct edit edit = {.mmu = mmu};
	bool unsync = set->root && set->root->unsync_below;

	for (unsigned i = 0; i < ROOTSET_PREVIOUS && !unsync; i++)
		unsync = set->previous[i] &&
			 (set->previous_epoch[i] || set->previous[i]->unsync_below);
	if (!unsync)
		return;
	umbra_host_read_begin(mmu->host);
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	if (set->root)
		sync_address(&edit, mode, set->root, address);
	for (unsigned i = 0; i < ROOTSET_PREVIOUS; i++) {
		struct page *kept = set->previous[i];

		if (!kept)
			continue;
		sync_address(&edit, mode, kept, address);
		if (set->previous_epoch[i] && !ept && !page_is_obsolete(mmu, kept))
			forget_address(&edit, kept, address, set->previous_tag[i] == what.tag);
	}
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	umbra_host_read_end(mmu->host);
}
