/* SPDX-License-Identifier: MIT */
/*
 * view.c - slots sorted by their first frame: two short bisections, copied in part.
 *
 *	view -> [ part, part, part ]           first frame of each chunk
 *	             |
 *	           chunk -> [ range, range ]   up to 127 slots side by side
 *
 * Readers take no lock: a change makes a new view, which shares with the one before
 * all chunks but the one or two that it changes. With 32,764 slots that is a copy of
 * some 10 KiB instead of all 768. A chunk that has become small stays as it is; an
 * empty one goes.
 *
 * Most searches find what the one before them found, so that is looked at first.
 */
#include "core/view.h"
#include "core/mmu.h"

/* What no frame is in. */
static const struct view_range nowhere;

static size_t view_bytes(uint32_t part_count)
{
	return sizeof(struct view) + part_count * sizeof(struct view_part);
}

static struct view *view_alloc(struct mmu *mmu, uint32_t part_count)
{
	struct view *view = umbra_host_alloc(mmu->host, view_bytes(part_count));

	if (!view)
		return NULL;
	view->hint = &nowhere;
	view->part_count = part_count;
	view->bytes = view_bytes(part_count) + part_count * sizeof(struct view_chunk);
	return view;
}

static void view_free(struct mmu *mmu, struct view *view)
{
	umbra_host_free(mmu->host, view, view_bytes(view->part_count));
}

static void chunk_free(struct mmu *mmu, struct view_chunk *chunk)
{
	if (chunk)
		umbra_host_free(mmu->host, chunk, sizeof(*chunk));
}

struct view *view_new(struct mmu *mmu)
{
	return view_alloc(mmu, 0);
}

void view_destroy(struct mmu *mmu, struct view *view)
{
	for (uint32_t i = 0; i < view->part_count; i++)
		chunk_free(mmu, view->part[i].chunk);
	view_free(mmu, view);
}

/* ---- searches ---- */

/* Number of parts that start at or below @gfn. */
static uint32_t parts_below(const struct view *view, uint64_t gfn)
{
	uint32_t low = 0, high = view->part_count;

	while (low < high) {
		const uint32_t middle = (low + high) >> 1;

		if (view->part[middle].start <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint32_t ranges_below(const struct view_chunk *chunk, uint64_t gfn)
{
	uint32_t low = 0, high = chunk->count;

	while (low < high) {
		const uint32_t middle = (low + high) >> 1;

		if (chunk->range[middle].start <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The last range that starts at or below @gfn, or NULL. */
static const struct view_range *range_below(const struct view *view, uint64_t gfn)
{
	const uint32_t parts = parts_below(view, gfn);
	const struct view_chunk *chunk;

	if (!parts)
		return NULL;
	chunk = view->part[parts - 1].chunk;
	return &chunk->range[ranges_below(chunk, gfn) - 1];
}

static struct slot *search(struct view *view, uint64_t gfn)
{
	const struct view_range *range = range_below(view, gfn);

	if (!range || gfn - range->start >= range->pages)
		return NULL;
	__atomic_store_n(&view->hint, range, __ATOMIC_RELAXED);
	return range->slot;
}

struct slot *view_find(struct view *view, uint64_t gfn)
{
	const struct view_range *hint = __atomic_load_n(&view->hint, __ATOMIC_RELAXED);

	if (gfn - hint->start < hint->pages)
		return hint->slot;
	return search(view, gfn);
}

bool view_overlaps(const struct view *view, uint64_t start, uint64_t pages,
		   const struct slot *except)
{
	uint64_t last = start + pages - 1;
	const struct view_range *range;

	/* Downwards: only @except may be passed by. */
	while ((range = range_below(view, last)) && range->start + range->pages > start) {
		if (range->slot != except)
			return true;
		if (range->start <= start)
			return false;
		last = range->start - 1;
	}
	return false;
}

struct slot *view_next(const struct view *view, struct view_cursor *cursor)
{
	const struct view_chunk *chunk;

	if (cursor->part == view->part_count)
		return NULL;
	chunk = view->part[cursor->part].chunk;
	if (cursor->index < chunk->count)
		return chunk->range[cursor->index++].slot;
	*cursor = (struct view_cursor){cursor->part + 1, 0};
	return view_next(view, cursor);
}

/* ---- changes ---- */

/* Most chunks that one becomes. */
#define SPLIT 2

/* What becomes of one part. */
struct rewrite {
	struct view_chunk *chunk[SPLIT];
	uint32_t count;
	/** Ranges so far, and how many each chunk gets. */
	uint32_t at, each;
};

static bool append(struct mmu *mmu, struct rewrite *to, const struct view_range *range)
{
	struct view_chunk *chunk = to->chunk[to->at / to->each];

	if (!chunk) {
		chunk = umbra_host_alloc(mmu->host, sizeof(*chunk));
		if (!chunk)
			return false;
		to->chunk[to->count++] = chunk;
	}
	chunk->range[chunk->count++] = *range;
	to->at++;
	return true;
}

/* @from, which may be NULL, without @old and with @fresh; either may be NULL. */
static bool rewrite(struct mmu *mmu, const struct view_chunk *from, const struct slot *old,
		    struct slot *fresh, struct rewrite *to)
{
	const uint32_t had = from ? from->count : 0, has = had - !!old + !!fresh;
	const uint32_t in = from && fresh ? ranges_below(from, fresh->start.v) : 0;

	*to = (struct rewrite){.each = has > VIEW_CHUNK ? (has + 1) / 2 : VIEW_CHUNK};
	for (uint32_t i = 0; i <= had; i++) {
		if (fresh && i == in &&
		    !append(mmu, to, &(struct view_range){fresh->start.v, fresh->pages, fresh}))
			return false;
		if (i < had && from->range[i].slot != old && !append(mmu, to, &from->range[i]))
			return false;
	}
	return true;
}

/* Index of the part that holds, or is to hold, what starts at @gfn. */
static uint32_t part_of(const struct view *view, uint64_t gfn)
{
	const uint32_t below = parts_below(view, gfn);

	return below ? below - 1 : 0;
}

/* The part at @index of @now is replaced by what is in @to; the rest shared. */
static struct view *replace(struct mmu *mmu, const struct view *now, uint32_t index,
			    const struct rewrite *to)
{
	const bool had = index < now->part_count;
	struct view *view = view_alloc(mmu, now->part_count - had + to->count);
	uint32_t at = 0;

	if (!view)
		return NULL;
	for (uint32_t i = 0; i < now->part_count || i == index; i++) {
		if (i != index) {
			view->part[at++] = now->part[i];
			continue;
		}
		for (uint32_t k = 0; k < to->count; k++)
			view->part[at++] =
				(struct view_part){to->chunk[k]->range[0].start, to->chunk[k]};
	}
	return view;
}

/* One step of a change: @change->after becomes another view. */
static bool step(struct mmu *mmu, struct view_change *change, const struct slot *old,
		 struct slot *fresh)
{
	struct view *now = change->after, *view = NULL;
	const uint32_t index = part_of(now, old ? old->start.v : fresh->start.v);
	struct view_chunk *from = index < now->part_count ? now->part[index].chunk : NULL;
	struct rewrite to;

	if (rewrite(mmu, from, old, fresh, &to))
		view = replace(mmu, now, index, &to);
	if (!view) {
		for (uint32_t i = 0; i < SPLIT; i++)
			chunk_free(mmu, to.chunk[i]);
		return false;
	}
	view->slot_count = now->slot_count - !!old + !!fresh;
	/* Perhaps made by the step before: that, too, can wait. */
	if (from)
		change->gone[change->gone_count++] = from;
	for (uint32_t i = 0; i < to.count; i++)
		change->made[change->made_count++] = to.chunk[i];
	if (now != change->before)
		view_free(mmu, now);
	change->after = view;
	return true;
}

bool view_change(struct mmu *mmu, struct view *now, const struct slot *old, struct slot *fresh,
		 struct view_change *change)
{
	*change = (struct view_change){.before = now, .after = now};
	if ((!old || step(mmu, change, old, NULL)) && (!fresh || step(mmu, change, NULL, fresh)))
		return true;
	for (unsigned i = 0; i < change->made_count; i++)
		chunk_free(mmu, change->made[i]);
	if (change->after != now)
		view_free(mmu, change->after);
	return false;
}

void view_release(struct mmu *mmu, const struct view_change *change)
{
	for (unsigned i = 0; i < change->gone_count; i++)
		chunk_free(mmu, change->gone[i]);
	view_free(mmu, change->before);
}
