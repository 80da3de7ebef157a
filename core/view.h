/* SPDX-License-Identifier: MIT */
/*
 * view.h - slots, sorted for searches (layer 3).
 */
#ifndef CORE_VIEW_H
#define CORE_VIEW_H

#include "umbra/umbra.h"

struct mmu;
struct slot;

/** struct view_range - a slot where a search finds it: first frame, frames, the slot. */
struct view_range {
	uint64_t start, pages;
	struct slot *slot;
};

#define VIEW_CHUNK 127
/** struct view_chunk - neighbours; never changes once it can be seen. */
struct view_chunk {
	uint32_t count; /* 1..VIEW_CHUNK */
	struct view_range range[VIEW_CHUNK];
};

/** struct view - never changes once it can be seen, but for @hint. */
struct view {
	/** What was found last, by whatever vCPU; never NULL. */
	const struct view_range *hint;
	uint32_t slot_count, part_count;
	size_t bytes; /* with all its chunks */
	struct view_part {
		uint64_t start; /* first frame of the first range */
		struct view_chunk *chunk;
	} part[];
};

/** view_new - of no slot; NULL: no memory. */
struct view *view_new(struct mmu *mmu);
/** view_destroy - with its chunks, not the slots. */
void view_destroy(struct mmu *mmu, struct view *view);

/** view_find - the slot that holds frame @gfn, or NULL. */
struct slot *view_find(struct view *view, uint64_t gfn);
/** view_overlaps - is any slot but @except in [start, start + pages)? */
bool view_overlaps(const struct view *view, uint64_t start, uint64_t pages,
		   const struct slot *except);

/** struct view_cursor - zero: before the first slot. */
struct view_cursor {
	uint32_t part, index;
};
/** view_next - slots by rising frames; NULL: no more. */
struct slot *view_next(const struct view *view, struct view_cursor *cursor);

/** struct view_change - from one view to the next. */
struct view_change {
	struct view *before, *after;
	/** Chunks that @after does not need, and those that are new. */
	struct view_chunk *gone[2], *made[3];
	unsigned gone_count, made_count;
};
/** view_change - @now with @old taken out and @fresh, which overlaps no other, put in; either
 * may be NULL. False: no memory. */
bool view_change(struct mmu *mmu, struct view *now, const struct slot *old, struct slot *fresh,
		 struct view_change *change);
/** view_release - free what only @change->before had; nobody looks at it any more. */
void view_release(struct mmu *mmu, const struct view_change *change);

#endif
