/* SPDX-License-Identifier: MIT */
/*
 * tlb.c - gathers what an operation took away, flushes once, then frees.
 *
 * Invariant I-9: when the MMU lock is released, no CPU can use a translation
 * that the tables no longer give, and no freed page is still walked.
 */
#include "core/tlb.h"
#include "core/mmu.h"

static void owe(struct mmu *mmu, struct tlb *tlb)
{
	if (!tlb->any)
		mmu_count_locked(mmu, &mmu->flushes_owed, 1);
	tlb->any = true;
}

void tlb_add(struct mmu *mmu, struct tlb *tlb, umbra_gfn start, uint64_t pages)
{
	if (!tlb->any) {
		tlb->start = start.v;
		tlb->end = start.v + pages;
		owe(mmu, tlb);
		return;
	}
	if (start.v < tlb->start)
		tlb->start = start.v;
	if (start.v + pages > tlb->end)
		tlb->end = start.v + pages;
}

void tlb_add_all(struct mmu *mmu, struct tlb *tlb)
{
	owe(mmu, tlb);
	tlb->all = true;
}

void tlb_bury(struct mmu *mmu, struct tlb *tlb, struct page *page)
{
	pages_bury(mmu, page);
	page->next = tlb->dead;
	tlb->dead = page;
	/* Paging-structure caches may still lead into it. */
	tlb_add_all(mmu, tlb);
}

void tlb_flush(struct mmu *mmu, struct tlb *tlb)
{
	struct umbra_flush flush = {{tlb->start}, tlb->end - tlb->start};

	if (!tlb->any)
		return;
	/* Shadow tables are indexed by linear address: no range to give. */
	if (tlb->all || mmu->paging == UMBRA_PAGING_SHADOW)
		flush = (struct umbra_flush){{0}, 0};
	mmu_count_locked(mmu, &mmu->stats.tlb_flush, 1);
	mmu_count_locked(mmu, &mmu->flushes_owed, -1ull);
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_FLUSH, flush.start.v, flush.pages, 0, 0});
	umbra_host_flush(mmu->host, &flush);
	tlb->any = tlb->all = false;
}

void tlb_commit(struct mmu *mmu, struct tlb *tlb)
{
	tlb_flush(mmu, tlb);
	for (struct page *page = tlb->dead, *next; page; page = next) {
		next = page->next;
		pages_free_deferred(mmu, page);
	}
	tlb->dead = NULL;
}
