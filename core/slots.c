/* SPDX-License-Identifier: MIT */
/*
 * slots.c - guest memory as a sorted view of slots.
 *
 *	view -> slots by start, no two overlap (I-4)
 *	by_id -> slots by id
 *
 *	slot -- rmap[1..3], mirrored[2..3]   (while guest tables are mirrored)
 *
 * A change builds a new view beside the old one; slots_commit() swaps them under
 * the MMU lock, after the tables have let go of what is removed.
 */
#include "core/slots.h"
#include "core/attributes.h"
#include "core/mmu.h"

#define SLOT_PAGES_MAX 0x7fffffffull
#define SLOT_FLAGS \
	(UMBRA_SLOT_LOG_DIRTY | UMBRA_SLOT_READONLY | UMBRA_SLOT_PRIVATE | UMBRA_SLOT_UNMAPPABLE)

static uint64_t region_count(const struct slot *slot, unsigned level)
{
	return slot_region(slot, (umbra_gfn){slot_end(slot) - 1}, level) + 1;
}

static uint64_t slot_bytes(const struct slot *slot)
{
	uint64_t bytes = sizeof(*slot);

	for (unsigned level = 1; level <= 3; level++) {
		if (slot->rmap[level])
			bytes += region_count(slot, level) * sizeof(struct chain);
		if (slot->mirrored[level])
			bytes += region_count(slot, level) * sizeof(uint32_t);
	}
	if (slot->tracked)
		bytes += slot->pages * sizeof(*slot->tracked);
	if (slot->dirty)
		bytes += slot_words(slot) * sizeof(*slot->dirty);
	return bytes;
}

static void free_marks(struct mmu *mmu, const struct slot *slot, uint64_t *marks)
{
	if (marks)
		umbra_host_free(mmu->host, marks, slot_words(slot) * sizeof(*marks));
}

static void slot_free(struct mmu *mmu, struct slot *slot)
{
	for (unsigned level = 1; level <= 3; level++) {
		uint64_t count = region_count(slot, level);

		if (slot->rmap[level])
			umbra_host_free(mmu->host, slot->rmap[level], count * sizeof(struct chain));
		if (slot->mirrored[level])
			umbra_host_free(mmu->host, slot->mirrored[level], count * sizeof(uint32_t));
	}
	if (slot->tracked)
		umbra_host_free(mmu->host, slot->tracked, slot->pages * sizeof(*slot->tracked));
	free_marks(mmu, slot, slot->dirty);
	umbra_host_free(mmu->host, slot, sizeof(*slot));
}

/* Marks for @slot: none, or all (M-22). NULL: no memory. */
static uint64_t *new_marks(struct mmu *mmu, const struct slot *slot)
{
	uint64_t *marks = umbra_host_alloc(mmu->host, slot_words(slot) * sizeof(*marks));

	if (marks && mmu->manual_dirty & DIRTY_INITIALLY_SET)
		for (uint64_t page = 0; page < slot->pages; page++)
			marks[page / 64] |= 1ull << page % 64;
	return marks;
}

/* What mirrors need of @slot. Faults may look at it meanwhile (slot_level). */
static bool give_mirrors(struct mmu *mmu, struct slot *slot)
{
	for (unsigned level = 1; level <= 3; level++) {
		uint64_t count = region_count(slot, level);
		uint32_t *mirrored;

		if (!slot->rmap[level])
			slot->rmap[level] =
				umbra_host_alloc(mmu->host, count * sizeof(struct chain));
		if (!slot->rmap[level])
			return false;
		if (level == 1 || slot->mirrored[level])
			continue;
		mirrored = umbra_host_alloc(mmu->host, count * sizeof(uint32_t));
		if (!mirrored)
			return false;
		__atomic_store_n(&slot->mirrored[level], mirrored, __ATOMIC_RELEASE);
	}
	return true;
}

/* @old: the slot that it was until now, or NULL. */
static struct slot *slot_new(struct mmu *mmu, const struct umbra_slot *wanted,
			     const struct slot *old)
{
	struct slot *slot = umbra_host_alloc(mmu->host, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->id = wanted->id;
	slot->flags = wanted->flags & ~UMBRA_SLOT_UNMAPPABLE;
	slot->start.v = wanted->base.v >> UMBRA_PAGE_SHIFT;
	slot->pages = wanted->size >> UMBRA_PAGE_SHIFT;
	slot->hva = wanted->hva;
	if (wanted->flags & UMBRA_SLOT_PRIVATE)
		slot->private_hva = wanted->private_hva;
	if (mmu->mirrors && !give_mirrors(mmu, slot)) {
		slot_free(mmu, slot);
		return NULL;
	}
	/* See commit_views(). */
	if (old && old->dirty)
		return slot;
	if (wanted->flags & UMBRA_SLOT_LOG_DIRTY) {
		slot->dirty = new_marks(mmu, slot);
		if (!slot->dirty) {
			slot_free(mmu, slot);
			return NULL;
		}
	}
	return slot;
}

bool slots_give_mirrors(struct mmu *mmu)
{
	struct view_cursor cursor = {0};
	bool enough = true;
	struct slot *slot;

	if (mmu->mirrors)
		return true;
	/* What a slot got before memory ran out it keeps: zeros change nothing. */
	while (enough && (slot = view_next(mmu->slots.view, &cursor))) {
		mmu->slots.bytes -= slot_bytes(slot);
		enough = give_mirrors(mmu, slot);
		mmu->slots.bytes += slot_bytes(slot);
	}
	mmu->mirrors = enough;
	mmu_change(mmu);
	return enough;
}

enum umbra_status slots_init(struct mmu *mmu)
{
	mmu->slots.view = view_new(mmu);
	if (!mmu->slots.view)
		return UMBRA_ENOMEM;
	mmu->slots.bytes = mmu->slots.view->bytes;
	return UMBRA_OK;
}

void slots_destroy(struct mmu *mmu)
{
	struct view *view = mmu->slots.view;
	struct view_cursor cursor = {0};
	struct slot *slot;

	if (!view)
		return;
	while ((slot = view_next(view, &cursor)))
		slot_free(mmu, slot);
	view_destroy(mmu, view);
	attributes_destroy(mmu);
}

struct slot *slots_find(const struct mmu *mmu, umbra_gfn gfn)
{
	return view_find(__atomic_load_n(&mmu->slots.view, __ATOMIC_ACQUIRE), gfn.v);
}

static struct slot **bucket(const struct mmu *mmu, uint32_t id)
{
	return (struct slot **)&mmu->slots.by_id[id % SLOTS_BUCKETS];
}

bool slots_any(const struct mmu *mmu, umbra_gfn start, umbra_gfn end)
{
	const struct view *view = __atomic_load_n(&mmu->slots.view, __ATOMIC_ACQUIRE);

	return start.v < end.v && view_overlaps(view, start.v, end.v - start.v, NULL);
}

struct slot *slots_by_id(const struct mmu *mmu, uint32_t id)
{
	struct slot *slot = *bucket(mmu, id);

	while (slot && slot->id != id)
		slot = slot->id_next;
	return slot;
}

uint8_t *slots_memory(const struct mmu *mmu, umbra_gpa gpa, uint64_t *size, bool *writable)
{
	const umbra_gfn gfn = {gpa.v >> UMBRA_PAGE_SHIFT};
	const struct slot *slot = slots_find(mmu, gfn);
	uint64_t offset, left, end;
	bool is_private;
	uint8_t *bytes;
	umbra_hva hva;

	if (!slot)
		return NULL;
	/* As the guest sees it: private pages' bytes are those of the private memory. */
	end = attributes_run(__atomic_load_n(&mmu->slots.attributes, __ATOMIC_ACQUIRE), gfn,
			     &is_private);
	if (is_private && !(slot->flags & UMBRA_SLOT_PRIVATE))
		return NULL;
	if (end > slot_end(slot))
		end = slot_end(slot);
	offset = gpa.v - (slot->start.v << UMBRA_PAGE_SHIFT);
	left = (end << UMBRA_PAGE_SHIFT) - gpa.v;
	*size = left;
	*writable = !(slot->flags & UMBRA_SLOT_READONLY);
	hva.v = (is_private ? slot->private_hva.v : slot->hva.v) + offset;
	bytes = umbra_host_memory(mmu->host, hva, size);
	if (*size > left)
		*size = left;
	return *size ? bytes : NULL;
}

bool slots_is_tracked(const struct mmu *mmu, umbra_gfn gfn)
{
	const struct slot *slot;

	if (!mmu->tracking)
		return false;
	slot = slots_find(mmu, gfn);
	return slot && slot->tracked && slot->tracked[gfn.v - slot->start.v];
}

bool slots_give_tracking(struct mmu *mmu, struct slot *slot)
{
	if (slot->tracked)
		return true;
	slot->tracked = umbra_host_alloc(mmu->host, slot->pages * sizeof(*slot->tracked));
	if (slot->tracked)
		mmu->slots.bytes += slot->pages * sizeof(*slot->tracked);
	return slot->tracked;
}

unsigned slot_level(const struct slot *slot, umbra_hva hva, umbra_gfn gfn)
{
	unsigned level = 1;

	for (; level < 3; level++) {
		unsigned shift = 9 * level;
		uint64_t first = gfn.v >> shift << shift;
		uint64_t skew = slot->start.v ^ hva.v >> UMBRA_PAGE_SHIFT;
		const uint32_t *mirrored;

		if (first < slot->start.v || first + (1ull << shift) > slot_end(slot))
			break;
		if (skew & ((1ull << shift) - 1))
			break;
		/* Trackers are rare, and do without large pages; so does logging (S-71). */
		if (slot->tracked || __atomic_load_n(&slot->dirty, __ATOMIC_ACQUIRE))
			break;
		mirrored = __atomic_load_n(&slot->mirrored[level + 1], __ATOMIC_ACQUIRE);
		if (mirrored && mirrored[slot_region(slot, gfn, level + 1)])
			break;
	}
	return level;
}

/* Has it trackers? They would be lost with a move (S-45). */
static bool is_watched(const struct slot *slot)
{
	for (uint64_t i = 0; slot->tracked && i < slot->pages; i++)
		if (slot->tracked[i])
			return true;
	return false;
}

/* M-3, and what the flag brings with it. */
static bool private_ok(const struct mmu *mmu, const struct umbra_slot *wanted)
{
	const uint64_t hva = wanted->private_hva.v;

	if (!(wanted->flags & UMBRA_SLOT_PRIVATE))
		return true;
	return mmu->private_memory &&
	       !(wanted->flags & (UMBRA_SLOT_READONLY | UMBRA_SLOT_LOG_DIRTY)) &&
	       !(hva & (UMBRA_PAGE_SIZE - 1)) && hva + wanted->size >= hva;
}

/* Checks of one request, in KVM's order (M-4). */
static enum umbra_status check(const struct mmu *mmu, const struct umbra_slot *wanted)
{
	uint64_t unaligned = wanted->size | wanted->base.v | wanted->hva.v;

	if (wanted->flags & ~SLOT_FLAGS)
		return UMBRA_EINVAL;
	if (unaligned & (UMBRA_PAGE_SIZE - 1))
		return UMBRA_EINVAL;
	if (!private_ok(mmu, wanted) || wanted->id > UMBRA_SLOT_ID_MAX)
		return UMBRA_EINVAL;
	if (wanted->base.v + wanted->size < wanted->base.v ||
	    wanted->hva.v + wanted->size < wanted->hva.v)
		return UMBRA_EINVAL;
	if (wanted->size >> UMBRA_PAGE_SHIFT > SLOT_PAGES_MAX)
		return UMBRA_EINVAL;
	if (wanted->size && (wanted->base.v + wanted->size - 1) >> mmu->cpu.maxphyaddr)
		return UMBRA_EINVAL;
	return UMBRA_OK;
}

/* Can the VM's roots map all of it, or need they not (F-30)? */
static bool is_mappable(const struct mmu *mmu, const struct umbra_slot *wanted)
{
	const uint64_t last = (wanted->base.v + wanted->size - 1) >> UMBRA_PAGE_SHIFT;

	return last < mmu->reach || wanted->flags & UMBRA_SLOT_UNMAPPABLE;
}

/* The slot stays; does logging begin or end? */
static enum umbra_status prepare_flags(struct mmu *mmu, struct slot *old,
				       const struct umbra_slot *wanted, struct slots_plan *plan)
{
	if (!((old->flags ^ wanted->flags) & UMBRA_SLOT_LOG_DIRTY))
		return UMBRA_OK;
	if (wanted->flags & UMBRA_SLOT_LOG_DIRTY) {
		plan->dirty = new_marks(mmu, old);
		if (!plan->dirty)
			return UMBRA_ENOMEM;
	}
	plan->old = old;
	plan->change = SLOTS_FLAGS;
	return UMBRA_OK;
}

enum umbra_status slots_prepare(struct mmu *mmu, const struct umbra_slot *wanted,
				struct slots_plan *plan)
{
	enum umbra_status status = check(mmu, wanted);
	struct slot *old;

	*plan = (struct slots_plan){.change = SLOTS_UNCHANGED};
	if (status)
		return status;
	old = slots_by_id(mmu, wanted->id);
	if (!wanted->size && !old)
		return UMBRA_EINVAL;
	if (wanted->size && old) {
		/* Private memory stays where it is (M-4). */
		if (wanted->flags & UMBRA_SLOT_PRIVATE)
			return UMBRA_EINVAL;
		if (old->pages != wanted->size >> UMBRA_PAGE_SHIFT || old->hva.v != wanted->hva.v ||
		    (old->flags ^ wanted->flags) & (UMBRA_SLOT_READONLY | UMBRA_SLOT_PRIVATE))
			return UMBRA_EINVAL;
		if (old->start.v == wanted->base.v >> UMBRA_PAGE_SHIFT)
			return prepare_flags(mmu, old, wanted, plan);
		if (is_watched(old))
			return UMBRA_EINVAL;
	}
	if (wanted->size && view_overlaps(mmu->slots.view, wanted->base.v >> UMBRA_PAGE_SHIFT,
					  wanted->size >> UMBRA_PAGE_SHIFT, old))
		return UMBRA_EEXIST;
	if (wanted->size && !is_mappable(mmu, wanted))
		return UMBRA_EUNMAPPABLE;
	if (wanted->size) {
		plan->fresh = slot_new(mmu, wanted, old);
		if (!plan->fresh)
			return UMBRA_ENOMEM;
	}
	if (!view_change(mmu, mmu->slots.view, old, plan->fresh, &plan->views)) {
		if (plan->fresh)
			slot_free(mmu, plan->fresh);
		plan->fresh = NULL;
		return UMBRA_ENOMEM;
	}
	plan->old = old;
	plan->change = old ? SLOTS_REMOVED : SLOTS_ADDED;
	return UMBRA_OK;
}

static void swap_ids(struct mmu *mmu, struct slot *old, struct slot *fresh)
{
	struct slot **link;

	if (old) {
		for (link = bucket(mmu, old->id); *link != old; link = &(*link)->id_next)
			;
		*link = old->id_next;
	}
	if (fresh) {
		link = bucket(mmu, fresh->id);
		fresh->id_next = *link;
		*link = fresh;
	}
}

unsigned slots_steps(const struct slots_plan *plan)
{
	/* A slot that goes has one of its own (M-7). */
	return (plan->change == SLOTS_REMOVED ? 2 : 1) * SLOTS_SPACES;
}

void slots_begin(struct mmu *mmu, const struct slots_plan *plan)
{
	if (plan->change == SLOTS_REMOVED)
		__atomic_store_n(&plan->old->going, true, __ATOMIC_RELAXED);
	__atomic_fetch_or(&mmu->slots.generation, SLOTS_UPDATING, __ATOMIC_RELEASE);
}

bool slots_wraps(const struct mmu *mmu, unsigned steps, unsigned bits)
{
	const uint64_t now = mmu->slots.generation & ~SLOTS_UPDATING;

	return now >> bits != (now + steps) >> bits;
}

static void commit_flags(struct mmu *mmu, struct slots_plan *plan)
{
	struct slot *slot = plan->old;
	uint64_t *before = slot->dirty;

	mmu->slots.bytes -= slot_bytes(slot);
	slot->flags ^= UMBRA_SLOT_LOG_DIRTY;
	mmu->slots.logged += slot->flags & UMBRA_SLOT_LOG_DIRTY ? 1 : -1;
	__atomic_store_n(&slot->dirty, plan->dirty, __ATOMIC_RELEASE);
	plan->dirty = before;
	mmu->slots.bytes += slot_bytes(slot);
}

static void commit_views(struct mmu *mmu, struct slots_plan *plan)
{
	const struct view_change *views = &plan->views;

	/* A slot that moves takes its marks along. */
	if (plan->fresh && plan->old && plan->fresh->flags & UMBRA_SLOT_LOG_DIRTY &&
	    plan->old->dirty)
		plan->fresh->dirty = plan->old->dirty;
	mmu->slots.logged += plan->fresh && plan->fresh->dirty;
	mmu->slots.logged -= plan->old && plan->old->dirty;
	mmu->slots.bytes += views->after->bytes + (plan->fresh ? slot_bytes(plan->fresh) : 0);
	mmu->slots.bytes -= views->before->bytes + (plan->old ? slot_bytes(plan->old) : 0);
	swap_ids(mmu, plan->old, plan->fresh);
	__atomic_store_n(&mmu->slots.view, views->after, __ATOMIC_RELEASE);
}

void slots_commit(struct mmu *mmu, struct slots_plan *plan)
{
	const uint64_t next = (mmu->slots.generation & ~SLOTS_UPDATING) + slots_steps(plan);

	if (plan->change == SLOTS_FLAGS)
		commit_flags(mmu, plan);
	else
		commit_views(mmu, plan);
	__atomic_store_n(&mmu->slots.generation, next, __ATOMIC_RELEASE);
}

void slots_release(struct mmu *mmu, struct slots_plan *plan)
{
	umbra_host_barrier(mmu->host);
	if (plan->change == SLOTS_FLAGS) {
		free_marks(mmu, plan->old, plan->dirty);
		return;
	}
	view_release(mmu, &plan->views);
	if (!plan->old)
		return;
	if (plan->fresh && plan->fresh->dirty == plan->old->dirty)
		plan->old->dirty = NULL; /* moved */
	slot_free(mmu, plan->old);
}
