/* SPDX-License-Identifier: MIT */
/*
 * mmu.h - what all table code of one VM shares (layer 3).
 */
#ifndef CORE_MMU_H
#define CORE_MMU_H

#include "core/entry.h"
#include "core/pages.h"
#include "core/slots.h"
#include "umbra/host.h"
#include "umbra/umbra.h"

/** Events that are remembered, most of a step of any kind (power of two). */
#define MMU_RECENT 256

struct mmu {
	void *host;
	struct umbra_cpu cpu;
	enum umbra_paging paging;
	/** How entries are written. */
	struct entry_kind kind;
	/** TDP leaves of frame 0 at level 1: that the host does not let anybody write, that it
	 * does (quick_init). */
	uint64_t leaf[2];
	/** TDP: levels of the tables, and first guest frame they cannot map; shadow paging: no
	 * frame is beyond reach. */
	uint8_t levels;
	uint64_t reach;
	/** Largest page level allowed. */
	uint8_t page_level;
	/** Rights of direct pages (GMET: without USER, P-8). */
	uint8_t direct_acc;
	bool exec_by_mode;
	bool trace;
	/** Guest tables are mirrored: under shadow paging, or L1's EPT or NPT for L2. Slots
	 * have reverse maps. */
	bool mirrors;
	/** Set of 1 << enum format_marks: kinds of guest tables ever mirrored. */
	uint8_t mirrored_marks;
	/** Some frame is or was tracked (umbra_vm_track). */
	bool tracking;
	/** Do not fill neighbours of a fault. */
	bool no_prefetch;
	/** Walks of L2's tables are writes to L1's EPT, always. */
	bool kvm_nested_walks;
	/** Guests may have fewer physical address bits than the host, and see it (G-23). */
	bool allow_narrow;
	/** DIRTY_*: how the dirty log is harvested. */
	uint8_t manual_dirty;
	/** Pages may be private. */
	bool private_memory;
	/** Map what is beyond reach where its low bits say (F-33): a bug, for demonstration. */
	bool bug_truncate_gpa;
	/** When generations of MMIO entries come around, only those entries go (O-15). */
	bool mmio_wide;
	/** Of pages made now; changing it makes all others obsolete (S-62). */
	uint8_t generation;
	uint32_t page_limit;
	/** Steps, with the MMU lock exclusive or before it is next taken so, when a table is
	 * zapped or becomes obsolete, and when mirroring or tracking begins: what quick.c has
	 * found may be so no more. */
	uint64_t changes;
	struct pages pages;
	struct slots slots;
	struct umbra_stats stats;
	/** The first fault that found another frame mapped than was pinned (I-17), if
	 * stats.pf_changed_pfn. */
	struct {
		uint64_t where; /* hpa of the entry */
		umbra_pfn mapped, pinned;
	} changed;
	/** Operations that took something away and have not flushed yet (I-16). */
	uint64_t flushes_owed;
	/** The last events that changed tables, for the auditor; recent[recent_count %
	 * MMU_RECENT] is the next to be overwritten. */
	uint64_t recent_count;
	struct umbra_trace recent[MMU_RECENT];
};

/** A rule of Umbra's own that does not hold. Never reached by input. */
#define MMU_BUG_ON(mmu, condition)                                                   \
	do {                                                                         \
		if (__builtin_expect(!!(condition), 0))                              \
			umbra_host_bug((mmu)->host, __FILE__, __LINE__, #condition); \
	} while (0)

/** Kinds that are remembered: all that happen under the MMU lock. */
#define MMU_RECENT_KINDS                                                                        \
	(1u << UMBRA_TRACE_GET_PAGE | 1u << UMBRA_TRACE_PREPARE_ZAP_PAGE |                      \
	 1u << UMBRA_TRACE_SET_SPTE | 1u << UMBRA_TRACE_WRITE | 1u << UMBRA_TRACE_UNSYNC_PAGE | \
	 1u << UMBRA_TRACE_SYNC_PAGE | 1u << UMBRA_TRACE_FLUSH | 1u << UMBRA_TRACE_ROOT |       \
	 1u << UMBRA_TRACE_CHANGED_PFN)

static inline void mmu_remember(struct mmu *mmu, const struct umbra_trace event)
{
	uint64_t at;

	/* With TDP vCPUs share the lock. */
	if (mmu->paging == UMBRA_PAGING_SHADOW)
		at = mmu->recent_count++;
	else
		at = __atomic_fetch_add(&mmu->recent_count, 1, __ATOMIC_RELAXED);
	mmu->recent[at % MMU_RECENT] = event;
}

static inline void mmu_trace(struct mmu *mmu, const struct umbra_trace event)
{
	if (MMU_RECENT_KINDS >> event.kind & 1)
		mmu_remember(mmu, event);
	if (__builtin_expect(mmu->trace, 0)) {
		/* A copy, so that nothing is stored where nobody traces. */
		const struct umbra_trace told = event;

		umbra_host_trace(mmu->host, &told);
	}
}

/** page_of - descriptor of the table page at @table, or that an entry at @table is in. */
static inline struct page *page_of(const struct mmu *mmu, umbra_hpa table)
{
	return *umbra_host_page_private(mmu->host,
					(umbra_hpa){table.v & ~(uint64_t)(UMBRA_PAGE_SIZE - 1)});
}
/** page_entries - its 512 entries (4 for a PAE root). */
static inline uint64_t *page_entries(const struct mmu *mmu, const struct page *page)
{
	return umbra_host_page_pointer(mmu->host, page->hpa);
}
/** page_words - the words beside its entries; NULL: it has none. */
static inline uint64_t *page_words(const struct mmu *mmu, const struct page *page)
{
	return page->words.v ? umbra_host_page_pointer(mmu->host, page->words) : NULL;
}
/** page_is_obsolete - zapped, or to be zapped: no root any more (S-62). */
static inline bool page_is_obsolete(const struct mmu *mmu, const struct page *page)
{
	return page->role.invalid || page->generation != mmu->generation;
}

/** mmu_page_is_tdp - does @page map guest-physical frames of L1 and mirror nothing? */
static inline bool mmu_page_is_tdp(const struct mmu *mmu, const struct page *page)
{
	return mmu->paging != UMBRA_PAGING_SHADOW && page->role.guest == ROLE_GUEST_NONE;
}

/** mmu_count - counters may be stepped by several vCPUs at once. */
static inline void mmu_count(uint64_t *counter, uint64_t delta)
{
	__atomic_fetch_add(counter, delta, __ATOMIC_RELAXED);
}

static inline void mmu_change(struct mmu *mmu)
{
	__atomic_fetch_add(&mmu->changes, 1, __ATOMIC_RELEASE);
}

/** mmu_count_locked - the same with the MMU lock held, which under shadow paging is
 * always exclusive: no need for an atomic addition. For counters stepped nowhere else. */
static inline void mmu_count_locked(struct mmu *mmu, uint64_t *counter, uint64_t delta)
{
	if (mmu->paging == UMBRA_PAGING_SHADOW)
		__atomic_store_n(counter, *counter + delta, __ATOMIC_RELAXED);
	else
		mmu_count(counter, delta);
}

#endif
