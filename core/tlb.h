/* SPDX-License-Identifier: MIT */
/*
 * tlb.h - flushes owed, gathered during an operation (layer 3).
 *
 * Table pages that an operation unlinks are freed only after the flush, and
 * then after a grace period: hardware and lockless walkers may still be in them.
 */
#ifndef CORE_TLB_H
#define CORE_TLB_H

#include "umbra/host.h"

struct mmu;
struct page;

/** struct tlb - what one operation owes. Zero-initialized: nothing. */
struct tlb {
	bool any, all;
	uint64_t start, end; /* frames, when !all */
	struct page *dead; /* by page->next */
};

/* While something is owed, mmu->flushes_owed counts the operation (I-16). */
/** tlb_add - frames [start, start + pages) lost rights or were remapped. */
void tlb_add(struct mmu *mmu, struct tlb *tlb, umbra_gfn start, uint64_t pages);
void tlb_add_all(struct mmu *mmu, struct tlb *tlb);
/** tlb_bury - @page is unlinked and emptied; free it when it is safe. */
void tlb_bury(struct mmu *mmu, struct tlb *tlb, struct page *page);
/** tlb_flush - pay what is owed now, keep the dead. */
void tlb_flush(struct mmu *mmu, struct tlb *tlb);
/** tlb_commit - flush if owed, then free the dead. Ends every operation, lock still held. */
void tlb_commit(struct mmu *mmu, struct tlb *tlb);

#endif
