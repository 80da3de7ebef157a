/* SPDX-License-Identifier: MIT */
/*
 * attributes.c - private and shared pages (KVM_SET_MEMORY_ATTRIBUTES, M-40).
 *
 *	frames    0 ....[=======)......[==)....    private in brackets, shared elsewhere
 *	slot            hva        shared memory
 *	                private_hva    the other, for pages that are private
 *
 * A page has two memories and shows one of them. Which, is kept for all guest-physical
 * addresses, slots or not, as sorted ranges: a change builds them anew beside the old
 * ones, as slots do their view, and steps the generation that faults check. A page that
 * is private in a slot without private memory is nowhere: a memory fault.
 */
#include "core/attributes.h"
#include "core/mem.h"
#include "core/mmu.h"

static size_t bytes_of(uint32_t count)
{
	return sizeof(struct attributes) + count * sizeof(struct attributes_range);
}

/* Ranges that end above @gfn come from here on. */
static uint32_t first_above(const struct attributes *attributes, uint64_t gfn)
{
	uint32_t low = 0, high = attributes->count;

	while (low < high) {
		uint32_t middle = (low + high) >> 1;

		if (attributes->range[middle].end <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t attributes_run(const struct attributes *attributes, umbra_gfn gfn, bool *is_private)
{
	const struct attributes_range *range;
	uint32_t at;

	*is_private = false;
	if (!attributes)
		return UINT64_MAX;
	at = first_above(attributes, gfn.v);
	if (at == attributes->count)
		return UINT64_MAX;
	range = &attributes->range[at];
	*is_private = range->start <= gfn.v;
	return *is_private ? range->end : range->start;
}

/* What of @old lies outside @cut goes to @to, in order, with @cut itself if @keep. */
static void rebuild(struct attributes *to, const struct attributes *old,
		    struct attributes_range cut, bool keep)
{
	const uint32_t count = old ? old->count : 0;
	uint32_t i = 0;

	for (; i < count && old->range[i].end < cut.start; i++)
		to->range[to->count++] = old->range[i];
	for (; i < count && old->range[i].start <= cut.end; i++) {
		const struct attributes_range range = old->range[i];

		if (keep) {
			/* It touches: one range from now on. */
			cut.start = range.start < cut.start ? range.start : cut.start;
			cut.end = range.end > cut.end ? range.end : cut.end;
			continue;
		}
		if (range.start < cut.start)
			to->range[to->count++] = (struct attributes_range){
				range.start, range.end < cut.start ? range.end : cut.start};
		if (range.end > cut.end)
			to->range[to->count++] = (struct attributes_range){
				range.start > cut.end ? range.start : cut.end, range.end};
	}
	if (keep)
		to->range[to->count++] = cut;
	for (; i < count; i++)
		to->range[to->count++] = old->range[i];
}

bool attributes_prepare(struct mmu *mmu, struct attributes_range range, bool is_private,
			struct attributes_change *change)
{
	struct attributes *old = mmu->slots.attributes;
	const uint32_t room = (old ? old->count : 0) + 1;

	change->before = old;
	change->after = umbra_host_alloc(mmu->host, bytes_of(room));
	if (!change->after)
		return false;
	change->after->room = room;
	rebuild(change->after, old, range, is_private);
	return true;
}

void attributes_commit(struct mmu *mmu, const struct attributes_change *change)
{
	mmu->slots.bytes += bytes_of(change->after->room);
	mmu->slots.bytes -= change->before ? bytes_of(change->before->room) : 0;
	__atomic_store_n(&mmu->slots.attributes, change->after, __ATOMIC_RELEASE);
	__atomic_fetch_add(&mmu->slots.generation, SLOTS_SPACES, __ATOMIC_RELEASE);
}

void attributes_release(struct mmu *mmu, const struct attributes_change *change)
{
	umbra_host_barrier(mmu->host);
	if (change->before)
		umbra_host_free(mmu->host, change->before, bytes_of(change->before->room));
}

void attributes_destroy(struct mmu *mmu)
{
	struct attributes *attributes = mmu->slots.attributes;

	if (attributes)
		umbra_host_free(mmu->host, attributes, bytes_of(attributes->room));
}

static const struct attributes *attributes_of(const struct mmu *mmu)
{
	return __atomic_load_n(&mmu->slots.attributes, __ATOMIC_ACQUIRE);
}

bool slots_is_private(const struct mmu *mmu, umbra_gfn gfn)
{
	const struct attributes *attributes = attributes_of(mmu);
	bool is_private = false;

	if (attributes)
		attributes_run(attributes, gfn, &is_private);
	return is_private;
}

bool slots_backing_of_two(const struct mmu *mmu, const struct slot *slot, umbra_gfn gfn,
			  umbra_hva *hva)
{
	if (!slots_is_private(mmu, gfn)) {
		*hva = slot_hva(slot, gfn);
		return true;
	}
	hva->v = slot->private_hva.v + ((gfn.v - slot->start.v) << UMBRA_PAGE_SHIFT);
	return slot->flags & UMBRA_SLOT_PRIVATE;
}

unsigned slots_level(const struct mmu *mmu, const struct slot *slot, umbra_gfn gfn)
{
	const struct attributes *attributes = attributes_of(mmu);
	unsigned level;
	uint64_t first, end;
	bool is_private;

	if (!attributes)
		return slot_level(slot, slot->hva, gfn);
	attributes_run(attributes, gfn, &is_private);
	level = slot_level(slot, is_private ? slot->private_hva : slot->hva, gfn);
	for (; level > 1; level--) {
		const unsigned shift = 9 * (level - 1);

		first = gfn.v >> shift << shift;
		end = attributes_run(attributes, (umbra_gfn){first}, &is_private);
		if (end - first >= 1ull << shift)
			break;
	}
	return level;
}
