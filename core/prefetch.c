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

/* @found->acc: rights that the guest's @entry gives. */
static bool find(const struct fault *fault, uint64_t entry, struct neighbour *found)
{
	const struct mode *mode = fault->space->mode;
	const struct slot *slot = fault->slot;
	struct umbra_pin pin;
	umbra_hva hva;

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
	uint64_t own, first, judged, says;
	const uint8_t *bytes;
	unsigned acc = 0;

	fault->neighbour_count = 0;
	if (!mode || fault->mmu->no_prefetch || fault->walk.level != 1 || fault->goal != 1)
		return;
	own = fault->walk.entry_final[1];
	first = own & ~((BLOCK << mode->entry_shift) - 1ull);
	/* The walk ended in this window; a block does not cross a page. */
	if (first - memory->base >= memory->size)
		return;
	bytes = memory->bytes + (first - memory->base);
	says = ~mode->level[1].leaf_address | mode->level[1].rsvd[1];
	judged = 0; /* which is not usable: nor is acc */
	for (unsigned i = 0; i < BLOCK; i++) {
		struct neighbour *next = &fault->neighbour[fault->neighbour_count];
		uint64_t address = first + ((uint64_t)i << mode->entry_shift), entry;

		if (address == own)
			continue;
		entry = load(bytes + (address - first), mode->entry_shift);
		/* Most entries differ in the frame only, which has no say. */
		if ((entry ^ judged) & says) {
			judged = entry;
			acc = usable(fault, entry);
		}
		next->acc = (uint8_t)acc;
		if (!acc || !find(fault, entry, next))
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

/* The leaf for @next in @page; @writable: nothing but the host is in the way of writes. */
static uint64_t make_leaf(const struct mmu *mmu, const struct page *page,
			  const struct neighbour *next, bool writable)
{
	const struct entry_leaf leaf = {
		.pfn = next->pfn,
		.level = 1,
		.acc = writable ? next->acc : next->acc & ~ACC_WRITE,
		.key = next->key,
		.ad = page->role.ad_disabled ? ENTRY_AD_DISABLED : ENTRY_AD_ENABLED,
		.host_writable = next->host_writable,
		.mmu_writable = writable,
		.accessed = true,
		.dirty = writable,
	};

	return entry_make_leaf(&mmu->kind, &leaf);
}

/* Do leaves for the two differ in nothing but the frame, if both are writable or not? */
static bool alike(const struct neighbour *a, const struct neighbour *b)
{
	return a->acc == b->acc && a->key == b->key && a->host_writable == b->host_writable;
}

void prefetch_map(struct edit *edit, const struct fault *fault, struct page *page)
{
	struct mmu *mmu = edit->mmu;
	const uint64_t empty = table_empty(mmu, page), *entries = page_entries(mmu, page);
	const struct neighbour *last = NULL;
	bool last_writable = false;
	uint64_t leaf = 0;

	for (unsigned i = 0; i < fault->neighbour_count; i++) {
		const struct neighbour *next = &fault->neighbour[i];
		struct table_at at = {page, next->index};
		bool writable;

		if (edit->reserve->block_count < 2)
			return;
		if (__atomic_load_n(&entries[next->index], __ATOMIC_RELAXED) != empty ||
		    !unchanged(fault, next))
			continue;
		writable = next->host_writable && next->acc & ACC_WRITE &&
			   !pages_is_mirrored(mmu, next->gfn) &&
			   !(mmu->tracking && slots_is_tracked(mmu, next->gfn));
		if (last && writable == last_writable && alike(last, next))
			leaf = entry_with_pfn(&mmu->kind, leaf, next->pfn);
		else
			leaf = make_leaf(mmu, page, next, writable);
		last = next;
		last_writable = writable;
		table_set(edit, at, empty, leaf, next->entry);
	}
}
