/* SPDX-License-Identifier: MIT */
/*
 * slots.h - which guest-physical memory there is (layer 3).
 *
 * Slots are looked up in a sorted view that is replaced, never changed, so that a fault
 * may look while a slot is being added.
 */
#ifndef CORE_SLOTS_H
#define CORE_SLOTS_H

#include "core/chain.h"
#include "core/view.h"
#include "umbra/umbra.h"

struct mmu;

/** umbra_vm_config.manual_dirty (M-22). */
#define DIRTY_MANUAL 1u
#define DIRTY_INITIALLY_SET 2u

struct slot {
	uint32_t id, flags;
	struct slot *id_next;
	/** It is being deleted or moved: faults wait (F-19). */
	bool going;
	umbra_gfn start;
	uint64_t pages;
	/** Shared memory, and with UMBRA_SLOT_PRIVATE the private. */
	umbra_hva hva, private_hva;
	/** Reverse map: chain of mirrors' leaves per frame, level 1..3. NULL, like what
	 * follows, until the VM mirrors guest tables (mmu.mirrors). */
	struct chain *rmap[4];
	/** Mirrored guest tables inside each 2M (2) and 1G (3) region. */
	uint32_t *mirrored[4];
	/** Trackers of each frame (S-45); NULL until somebody tracks. */
	uint16_t *tracked;
	/** Marks of pages that may have been written, 64 a word; NULL: not logged. */
	uint64_t *dirty;
};

/** Slots that share a bucket have ids alike modulo this (power of two). */
#define SLOTS_BUCKETS 2048

/** Address spaces of a VM: its generation steps by as many (M-5). */
#define SLOTS_SPACES 1
/** Of a generation: slots are being changed. What is found or not found now is not to be
 * remembered. */
#define SLOTS_UPDATING (1ull << 63)

struct slots {
	struct view *view; /* by start */
	struct slot *by_id[SLOTS_BUCKETS]; /* chained by id_next */
	/** How many are logged. */
	uint32_t logged;
	/** Which frames are private; NULL: none ever was. */
	struct attributes *attributes;
	/** Stepped by each change, of attributes too; a fault that saw another one retries
	 * (M-5). */
	uint64_t generation;
	uint64_t bytes; /* of all metadata */
};

enum umbra_status slots_init(struct mmu *mmu);
void slots_destroy(struct mmu *mmu);

/** slots_find - the slot that holds @gfn, or NULL. Quick where the last search of any vCPU
 * ended, else a binary search. */
struct slot *slots_find(const struct mmu *mmu, umbra_gfn gfn);
/** slots_any - is any slot in [start, end)? */
bool slots_any(const struct mmu *mmu, umbra_gfn start, umbra_gfn end);
/** slots_by_id - under the slots lock. */
struct slot *slots_by_id(const struct mmu *mmu, uint32_t id);

/** What a slot change means for the tables. */
enum slots_change {
	SLOTS_UNCHANGED,
	SLOTS_ADDED,
	SLOTS_REMOVED, /* deleted or moved: mappings must go */
	SLOTS_FLAGS, /* logging begins or ends; slot and view stay */
};

/**
 * slots_prepare - check @wanted (errors of umbra_slot_set) and build the view after it.
 * On success @change tells what slots_commit() will do; on error nothing is held.
 */
struct slots_plan {
	enum slots_change change;
	struct view_change views;
	struct slot *old, *fresh;
	/** SLOTS_FLAGS: marks to begin with, or NULL; after slots_commit() those of before. */
	uint64_t *dirty;
};
enum umbra_status slots_prepare(struct mmu *mmu, const struct umbra_slot *wanted,
				struct slots_plan *plan);
/** slots_begin - the change goes on from here, under the MMU lock: faults in the old slot wait,
 * and nothing that is found or missed is remembered (M-5). Again: no effect. */
void slots_begin(struct mmu *mmu, const struct slots_plan *plan);
/** slots_steps - of the generation, that slots_commit() will make. */
unsigned slots_steps(const struct slots_plan *plan);
/** slots_wraps - do @steps of the generation from now lead over a multiple of 2^@bits? */
bool slots_wraps(const struct mmu *mmu, unsigned steps, unsigned bits);
/** slots_commit - make the plan true, under the MMU lock; no entry may map the old slot
 * any more. Cannot fail. */
void slots_commit(struct mmu *mmu, struct slots_plan *plan);
/** slots_release - after unlocking: wait for faults that still look, free what was before. */
void slots_release(struct mmu *mmu, struct slots_plan *plan);

/** slots_memory - where the bytes at @gpa are, and how many in a row (*size); NULL outside
 * slots. *writable: the slot is. Inside a read-side section. */
uint8_t *slots_memory(const struct mmu *mmu, umbra_gpa gpa, uint64_t *size, bool *writable);

/** slots_give_mirrors - from now on slots have reverse maps; false: no memory, nothing has
 * changed. The slots lock is held. */
bool slots_give_mirrors(struct mmu *mmu);

/** slots_is_tracked - does an external tracker want to see writes to @gfn? */
bool slots_is_tracked(const struct mmu *mmu, umbra_gfn gfn);
/** slots_give_tracking - room to count trackers in @slot; false: no memory. */
bool slots_give_tracking(struct mmu *mmu, struct slot *slot);

/** slot_end - first frame behind it. */
static inline uint64_t slot_end(const struct slot *slot)
{
	return slot->start.v + slot->pages;
}
/** slot_is_going - is it being deleted or moved? */
static inline bool slot_is_going(const struct slot *slot)
{
	return __atomic_load_n(&slot->going, __ATOMIC_RELAXED);
}
/** slot_words - of marks, 64 pages each. */
static inline uint64_t slot_words(const struct slot *slot)
{
	return (slot->pages + 63) / 64;
}
static inline umbra_hva slot_hva(const struct slot *slot, umbra_gfn gfn)
{
	return (umbra_hva){slot->hva.v + ((gfn.v - slot->start.v) << UMBRA_PAGE_SHIFT)};
}
/** slot_region - index of @gfn's region at @level in rmap[level] and mirrored[level]. */
static inline uint64_t slot_region(const struct slot *slot, umbra_gfn gfn, unsigned level)
{
	unsigned shift = 9 * (level - 1);

	return (gfn.v >> shift) - (slot->start.v >> shift);
}
/** slot_level - largest level (1..3) at which @gfn may be mapped as part of @slot, whose memory
 * is at @hva: the whole region lies inside, gfn and hva are aligned alike, no mirrored table
 * in it (S-70). What faults ask for is slots_level() in attributes.h. */
unsigned slot_level(const struct slot *slot, umbra_hva hva, umbra_gfn gfn);

#endif
