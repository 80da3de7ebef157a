/* SPDX-License-Identifier: MIT */
/*
 * harvest.c - the dirty log as the embedder reads it (M-20, M-21).
 *
 *	lock -> take marks, protect their pages -> flush -> unlock     a batch a time
 *
 * The slots lock keeps the slot and its marks; faults wait for a batch at most.
 */
#include "core/dirty.h"
#include "core/vm.h"

/* Words of marks a time: 16,384 pages. */
#define BATCH 256

/* With the slots lock held. */
static enum umbra_status find(struct mmu *mmu, uint32_t id, struct slot **slot)
{
	if (id > UMBRA_SLOT_ID_MAX)
		return UMBRA_EINVAL;
	*slot = slots_by_id(mmu, id);
	return *slot && (*slot)->dirty ? UMBRA_OK : UMBRA_ENOENT;
}

/* struct harvest - words [first, first + count) of a slot's marks. */
struct harvest {
	const struct slot *slot;
	uint64_t first, count;
	/* Marks to take; NULL: all. What was taken goes here, or NULL: nowhere. */
	const uint64_t *wanted;
	uint64_t *taken;
};

static void take_batch(struct mmu *mmu, const struct harvest *h, uint64_t at)
{
	struct edit edit = {.mmu = mmu};

	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	for (uint64_t i = at; i < h->count && i < at + BATCH; i++) {
		const uint64_t mask = h->wanted ? h->wanted[i] : ~0ull;
		const uint64_t taken = dirty_take(&edit, h->slot, h->first + i, mask);

		if (h->taken)
			h->taken[i] = taken;
	}
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
}

static void take(struct mmu *mmu, const struct harvest *h)
{
	for (uint64_t at = 0; at < h->count; at += BATCH)
		take_batch(mmu, h, at);
}

enum umbra_status umbra_vm_get_dirty_log(struct umbra_vm *vm, uint32_t id, uint64_t *bitmap)
{
	struct mmu *mmu = &vm->mmu;
	enum umbra_status status;
	struct slot *slot;

	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	status = find(mmu, id, &slot);
	if (!status) {
		const struct harvest all = {
			.slot = slot, .count = slot_words(slot), .taken = bitmap};

		for (uint64_t i = 0; mmu->manual_dirty && i < all.count; i++)
			bitmap[i] = __atomic_load_n(&slot->dirty[i], __ATOMIC_ACQUIRE);
		if (!mmu->manual_dirty)
			take(mmu, &all);
	}
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
	return status;
}

static bool range_ok(const struct slot *slot, uint64_t first, uint64_t count)
{
	if (first % 64 || first > slot->pages || count > slot->pages - first)
		return false;
	return count == slot->pages - first || count % 64 == 0;
}

enum umbra_status umbra_vm_clear_dirty_log(struct umbra_vm *vm, uint32_t id, uint64_t first_page,
					   uint64_t page_count, const uint64_t *bitmap)
{
	struct mmu *mmu = &vm->mmu;
	enum umbra_status status;
	struct slot *slot;

	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	status = find(mmu, id, &slot);
	if (!status && !range_ok(slot, first_page, page_count))
		status = UMBRA_EINVAL;
	if (!status) {
		const struct harvest some = {
			.slot = slot,
			.first = first_page / 64,
			.count = (page_count + 63) / 64,
			.wanted = bitmap,
		};

		take(mmu, &some);
	}
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
	return status;
}

bool dirty_manual_ok(unsigned manual)
{
	return manual == 0 || manual == DIRTY_MANUAL ||
	       manual == (DIRTY_MANUAL | DIRTY_INITIALLY_SET);
}

enum umbra_status umbra_vm_set_manual_dirty(struct umbra_vm *vm, unsigned manual)
{
	struct mmu *mmu = &vm->mmu;

	if (!dirty_manual_ok(manual))
		return UMBRA_EINVAL;
	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	mmu->manual_dirty = (uint8_t)manual;
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
	return UMBRA_OK;
}
