/* SPDX-License-Identifier: MIT */
/*
 * attributes.h - which guest pages are private (layer 3).
 */
#ifndef CORE_ATTRIBUTES_H
#define CORE_ATTRIBUTES_H

#include "core/mmu.h"

/** struct attributes - private frames: ranges by rising start, none that touch; never
 * changes once it can be seen. */
struct attributes {
	uint32_t count, room;
	struct attributes_range {
		uint64_t start, end;
	} range[];
};

/** attributes_run - the first frame above @gfn whose attribute is not @gfn's; *is_private: which
 * that is. @attributes may be NULL: all shared. */
uint64_t attributes_run(const struct attributes *attributes, umbra_gfn gfn, bool *is_private);

/** struct attributes_change - from one set to the next. */
struct attributes_change {
	struct attributes *before, *after;
};
/** attributes_prepare - frames [start, end) are to be private, or shared. False: no memory. */
bool attributes_prepare(struct mmu *mmu, struct attributes_range range, bool is_private,
			struct attributes_change *change);
/** attributes_commit - under the MMU lock, once no entry maps what changes. */
void attributes_commit(struct mmu *mmu, const struct attributes_change *change);
/** attributes_release - after unlocking: wait for faults that still look, free what was. */
void attributes_release(struct mmu *mmu, const struct attributes_change *change);
void attributes_destroy(struct mmu *mmu);

/** slots_is_private - is the page at @gfn private? Inside a read-side section, like all that
 * looks at slots. */
bool slots_is_private(const struct mmu *mmu, umbra_gfn gfn);
/** slots_backing_of_two - slots_backing() where some page is or was private. */
bool slots_backing_of_two(const struct mmu *mmu, const struct slot *slot, umbra_gfn gfn,
			  umbra_hva *hva);
/** slots_backing - the memory of @gfn, which lies in @slot, as it is now; false: it is
 * private, and the slot has no private memory (F-24). */
static inline bool slots_backing(const struct mmu *mmu, const struct slot *slot, umbra_gfn gfn,
				 umbra_hva *hva)
{
	if (__atomic_load_n(&mmu->slots.attributes, __ATOMIC_ACQUIRE))
		return slots_backing_of_two(mmu, slot, gfn, hva);
	*hva = slot_hva(slot, gfn);
	return true;
}
/** slots_level - slot_level() of the memory that @gfn has; at most a region whose pages are
 * all private or all shared (M-40). */
unsigned slots_level(const struct mmu *mmu, const struct slot *slot, umbra_gfn gfn);

#endif
