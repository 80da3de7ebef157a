/* SPDX-License-Identifier: MIT */
/*
 * prefetch.c - map up to seven neighbours with the page that faulted.
 *
 *	guest's table:  ... | e e e F e e e e | ...     an aligned block of eight
 *
 * A CPU may translate what nobody asked for, as long as the entry's A bit is set
 * already (H-61, H-106): so only such entries are taken, and without W unless D is
 * set. A neighbour never makes another table unsync and never replaces an entry.
 */
#include "core/prefetch.h"
#include "core/attributes.h"
#include "core/shadow.h"
#include "core/walk.h"

#define BLOCK 8u

static uint64_t load(const uint8_t *at, unsigned entry_shift)
{
	if (entry_shift == 2)
		return __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
}

/* Rights of the guest's @entry in full; 0: not to be prefetched. */
static unsigned usable(const struct fault *fault, uint64_t entry)
{
	const struct mode *mode = fault->space->mode;
	const struct mode_level *level = &mode->level[1];
	unsigned acc;

	if (!mode_maps_page(mode, entry) || (entry & level->accessed) != level->accessed)
		return 0;
	acc = fault->walk.acc_upper & mode_acc(mode, mode_rights(level, entry));
	if ((entry & level->dirty) != level->dirty)
		acc &= ~ACC_WRITE;
	/* What may be a shadow-stack page is left to its own fault. */
	if (mode->flags & MODE_SHSTK && !(acc & ACC_WRITE))
		return 0;
	return acc;
}

static bool find(const struct fault *fault, uint64_t entry, struct neighbour *found)
{
	const struct mode *mode = fault->space->mode;
	const struct slot *slot = fault->slot;
	struct umbra_pin pin;
	umbra_hva hva;

	found->acc = usable(fault, entry);
	if (!found->acc)
		return false;
	found->entry = entry;
	found->key = entry >> mode->key_shift & mode->key_mask;
	found->gfn.v = (entry & mode->level[1].leaf_address) >> UMBRA_PAGE_SHIFT;
	if (found->gfn.v - slot->start.v >= slot->pages)
		slot = slots_find(fault->mmu, found->gfn);
	if (!slot || slot_is_going(slot) || !slots_backing(fault->mmu, slot, found->gfn, &hva) ||
	    umbra_host_pin(fault->mmu->host, hva, false, &pin))
		return false;
	/* Nobody has written there: in a slot that is logged a write is to be seen. */
	if (slot->dirty)
		found->acc &= ~ACC_WRITE;
	found->pfn = pin.pfn;
	found->host_writable = pin.writable && !(slot->flags & UMBRA_SLOT_READONLY);
	return true;
}

void prefetch_find(struct fault *fault)
{
	const struct mode *mode = fault->space->mode;
	struct memory *memory = fault->space->memory;
	uint64_t own, first;
	const uint8_t *bytes;

	fault->neighbour_count = 0;
	if (!mode || fault->mmu->no_prefetch || fault->walk.level != 1 || fault->goal != 1)
		return;
	own = fault->walk.entry_final[1];
	first = own & ~((BLOCK << mode->entry_shift) - 1ull);
	/* The walk ended in this window; a block does not cross a page. */
	if (first - memory->base >= memory->size)
		return;
	bytes = memory->bytes + (first - memory->base);
	for (unsigned i = 0; i < BLOCK; i++) {
		struct neighbour *next = &fault->neighbour[fault->neighbour_count];
		uint64_t address = first + ((uint64_t)i << mode->entry_shift);

		if (address == own)
			continue;
		if (!find(fault, load(bytes + (address - first), mode->entry_shift), next))
			continue;
		next->address = address;
		next->index = (address & (UMBRA_PAGE_SIZE - 1)) >> mode->entry_shift & 511;
		fault->neighbour_count++;
	}
}

static bool unchanged(const struct fault *fault, const struct neighbour *next)
{
	const struct memory *memory = fault->space->memory;
	uint64_t offset = next->address - memory->base;

	return offset < memory->size &&
	       load(memory->bytes + offset, fault->space->mode->entry_shift) == next->entry;
}

void prefetch_map(struct edit *edit, const struct fault *fault, struct page *page)
{
	struct mmu *mmu = edit->mmu;
	uint64_t empty = table_empty(mmu, page);

	for (unsigned i = 0; i < fault->neighbour_count; i++) {
		const struct neighbour *next = &fault->neighbour[i];
		struct table_at at = {page, next->index};
		struct entry_leaf leaf = {
			.pfn = next->pfn,
			.level = 1,
			.acc = next->acc,
			.key = next->key,
			.ad = page->role.ad_disabled ? ENTRY_AD_DISABLED : ENTRY_AD_ENABLED,
			.host_writable = next->host_writable,
			.accessed = true,
		};

		if (edit->reserve->block_count < 2)
			return;
		if (table_read(mmu, at) != empty || !unchanged(fault, next))
			continue;
		leaf.mmu_writable = leaf.host_writable && leaf.acc & ACC_WRITE &&
				    !pages_is_mirrored(mmu, next->gfn) &&
				    !slots_is_tracked(mmu, next->gfn);
		if (!leaf.mmu_writable)
			leaf.acc &= ~ACC_WRITE;
		leaf.dirty = leaf.mmu_writable;
		table_set(edit, at, empty, entry_make_leaf(&mmu->kind, &leaf), next->entry);
	}
}
