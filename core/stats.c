/* SPDX-License-Identifier: MIT */
/*
 * stats.c - counters, with KVM's names.
 *
 * Most are stepped where things happen; what can be derived is derived here.
 */
#include "core/vm.h"

void umbra_vm_stats(const struct umbra_vm *vm, struct umbra_stats *stats)
{
	const struct mmu *mmu = &vm->mmu;

	*stats = mmu->stats;
	stats->mmu_shadow_pages = mmu->pages.count;
	stats->metadata_bytes = (mmu->pages.slab_count + mmu->pages.word_count) * UMBRA_PAGE_SIZE +
				PAGES_BUCKETS * sizeof(*mmu->pages.bucket) + mmu->slots.bytes;
}
