/* SPDX-License-Identifier: MIT */
/*
 * mmio.c - entries that fault on purpose and say at once why.
 *
 *	no slot  ->  mmio_mark:   {gfn, rights, generation}, with a bit that hardware reserves
 *	                |
 *	again    ->  EPT misconfiguration, NPF or #PF with RSVD
 *	                |
 *	             mmio_fault:  generation is the slots'?  MMIO, no walk, no lookup
 *	                          older?                     as any other fault
 *	                          no such entry?             RETRY
 *
 * An entry says nothing once a slot has been made: it is not looked for then, its
 * generation just is not that of the slots any more (M-5). Generations in entries have
 * 18 bits. Before they repeat, all that could be mistaken goes: see vm.c.
 *
 * Hardware caches nothing of such entries, so that no change of one needs a flush. What
 * an entry says of the guest's tables - under shadow paging and for L2 - may lag like any
 * other translation, and sync.c ends that. The vCPU's cache is a TLB of one entry.
 *
 * Without the lock: the generation is read first, then the root's, then the entries. Who
 * lets a generation repeat does it in the other order (vm.c).
 *
 * Invariant: I-19 (an entry whose generation is current names a frame without slot).
 */
#include "core/mmio.h"
#include "core/perm.h"

/* ---- the vCPU's cache ---- */

void mmio_cache_fill(struct mmio_cache *cache, const struct fault *fault)
{
	cache->valid = !(fault->generation & SLOTS_UPDATING);
	cache->generation = fault->generation;
	cache->page = fault->address >> UMBRA_PAGE_SHIFT;
	cache->gfn = fault->gfn;
	cache->acc = fault->acc & (ACC_READ | ACC_WRITE | ACC_USER);
}

/*
 * Do rights @acc, of which EXEC and the key are not known, allow the access? A write
 * needs WRITE even where CR0.WP=0 would do without: it says that D is set.
 */
static bool allows(const struct space *space, uint8_t acc, unsigned access)
{
	const struct perm_page page = {.acc = acc, .acc_upper = acc};

	if (!space)
		return true;
	if (access & (UMBRA_ACCESS_FETCH | UMBRA_ACCESS_SHSTK))
		return false;
	if (access & UMBRA_ACCESS_WRITE && !(acc & ACC_WRITE))
		return false;
	if (!space->mode)
		return true;
	return !space->mode->pk && perm_check(space->mode, &page, access, 0, 0) == PERM_OK;
}

static umbra_gpa gpa_of(umbra_gfn gfn, uint64_t address)
{
	return (umbra_gpa){gfn.v << UMBRA_PAGE_SHIFT | (address & (UMBRA_PAGE_SIZE - 1))};
}

bool mmio_cache_find(const struct mmio_cache *cache, const struct space *space, uint64_t address,
		     unsigned access, uint64_t generation, umbra_gpa *gpa)
{
	if (!cache->valid || cache->generation != generation ||
	    cache->page != address >> UMBRA_PAGE_SHIFT || !allows(space, cache->acc, access))
		return false;
	*gpa = gpa_of(cache->gfn, address);
	return true;
}

/* ---- making entries ---- */

bool mmio_wanted(const struct fault *fault)
{
	const struct entry_kind *kind = &fault->mmu->kind;

	return entry_mmio_possible(kind) && entry_mmio_holds(kind, fault->gfn) &&
	       fault->address >> UMBRA_PAGE_SHIFT < fault->reach &&
	       !(fault->generation & SLOTS_UPDATING);
}

enum umbra_verdict mmio_mark(struct edit *edit, const struct fault *fault, struct table_at at,
			     uint64_t word)
{
	struct mmu *mmu = edit->mmu;
	const uint64_t new = entry_make_mmio(&mmu->kind, fault->gfn, fault->acc, fault->generation);
	uint64_t old = table_read(mmu, at);

	if (entry_is_frozen(&mmu->kind, old))
		return UMBRA_RETRY;
	if (entry_is_present(&mmu->kind, old)) {
		table_clear(edit, at);
		tlb_flush(mmu, &edit->tlb);
		old = table_empty(mmu, at.page);
	}
	if (!table_set(edit, at, old, new, word))
		return UMBRA_RETRY;
	mmu_count(&mmu->stats.pf_mmio_spte_created, 1);
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_MARK_MMIO_SPTE, table_location(at),
					    fault->gfn.v, fault->acc, fault->generation});
	return UMBRA_MMIO;
}

/* ---- faults that entries cause ---- */

/* Where an entry is, in a table that may be dead already. */
struct place {
	umbra_hpa table;
	unsigned index;
};

/* The entry that hardware ended at, without the lock. False: no MMIO entry. */
static bool find(const struct fault *fault, struct place *at, uint64_t *entry)
{
	struct mmu *mmu = fault->mmu;
	const struct page *root = fault->root;
	const uint64_t number = fault->address >> UMBRA_PAGE_SHIFT;

	if (page_is_obsolete(mmu, root))
		return false;
	*at = (struct place){root->hpa, page_index(root, number)};
	/* Not by pages, of which only the root is needed: a lookup saved at each level. */
	for (unsigned level = root->role.level;; level--) {
		const uint64_t *entries = umbra_host_page_pointer(mmu->host, at->table);

		*entry = __atomic_load_n(&entries[at->index], __ATOMIC_ACQUIRE);
		if (!entry_is_present(&mmu->kind, *entry))
			return entry_is_mmio(&mmu->kind, *entry);
		if (entry_is_leaf(&mmu->kind, *entry, level))
			return false;
		*at = (struct place){entry_table(&mmu->kind, *entry),
				     number >> 9 * (level - 2) & 511};
	}
}

static bool is_current(const struct fault *fault, uint64_t entry)
{
	struct mmu *mmu = fault->mmu;
	const uint64_t mask = (1ull << entry_generation_bits(&mmu->kind)) - 1;
	const uint64_t generation = entry_mmio_generation(&mmu->kind, entry);
	const bool current =
		!(fault->generation & SLOTS_UPDATING) && generation == (fault->generation & mask);

	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_CHECK_MMIO_SPTE, entry, fault->generation,
					    generation, current});
	return current;
}

/* The entry goes, if it is still there. */
static void drop(const struct fault *fault, struct place place, uint64_t entry)
{
	struct mmu *mmu = fault->mmu;
	struct edit edit = {.mmu = mmu};
	struct table_at at = {page_of(mmu, place.table), place.index};

	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	table_set(&edit, at, entry, table_empty(mmu, at.page), 0);
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
}

static bool hit(struct fault *fault)
{
	struct mmu *mmu = fault->mmu;

	mmu_count(&mmu->stats.pf_mmio, 1);
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_HANDLE_MMIO_PAGE_FAULT, fault->address,
					    fault->gfn.v, fault->acc, 0});
	fault->verdict = UMBRA_MMIO;
	return true;
}

bool mmio_fault(struct fault *fault, struct mmio_cache *cache)
{
	struct mmu *mmu = fault->mmu;
	/* A misconfiguration does not say what access it was. Rights are not kept in such
	 * entries either: whoever emulates the instruction will find what L1 denies. */
	const bool blind = mmu->kind.mmio_access == 0;
	struct place at;
	uint64_t entry;

	fault->slot = NULL;
	if (cache && mmio_cache_find(cache, fault->space, fault->address, fault->access,
				     fault->generation, &fault->gpa)) {
		fault->gfn = cache->gfn;
		fault->acc = cache->acc;
		return hit(fault);
	}
	fault->verdict = UMBRA_RETRY;
	if (!find(fault, &at, &entry))
		return true;
	if (!is_current(fault, entry)) {
		if (!blind || !fault->space)
			return false;
		/* Let hardware say what L2 wants of L1's tables. */
		drop(fault, at, entry);
		return true;
	}
	fault->gfn = entry_mmio_gfn(&mmu->kind, entry);
	fault->acc = blind ? ACC_ALL : ACC_READ | entry_mmio_acc(&mmu->kind, entry);
	if (!blind && !allows(fault->space, fault->acc, fault->access))
		return false;
	fault->gpa = gpa_of(fault->gfn, fault->address);
	if (cache)
		mmio_cache_fill(cache, fault);
	return hit(fault);
}

/* ---- generations that come around ---- */

void mmio_zap(struct edit *edit)
{
	struct mmu *mmu = edit->mmu;

	for (struct page *page = mmu->pages.oldest; page; page = page->next) {
		for (unsigned i = 0; page->role.level == 1 && i < page_entry_count(page); i++) {
			struct table_at at = {page, i};

			if (entry_is_mmio(&mmu->kind, table_read(mmu, at)))
				table_clear(edit, at);
		}
	}
}
