/* SPDX-License-Identifier: MIT */
/*
 * recent.c - the past of one entry, out of the last events of its VM.
 *
 * mmu_trace() keeps the last MMU_RECENT events whether or not anybody traces: a
 * finding that says who stored the wrong entry, and whether a flush came after it, is
 * half the answer. Looking is slow and only done for findings.
 */
#include "core/recent.h"
#include "core/mem.h"

struct looking {
	uint64_t where; /* an entry, or a page if page aligned */
	uint64_t table;
	const struct page *page;
};

static const struct page *living_page(const struct mmu *mmu, uint64_t table)
{
	const struct page *page = mmu->pages.oldest;

	while (page && page->hpa.v != table)
		page = page->next;
	return page;
}

/* Does a write of @length bytes at @gpa change what the entry, or the page, mirrors? */
static bool is_mirrored_by(const struct looking *looking, uint64_t gpa, uint64_t length)
{
	unsigned first, count, index = looking->where % UMBRA_PAGE_SIZE / sizeof(uint64_t);

	if (!looking->page || looking->page->gfn != gpa >> UMBRA_PAGE_SHIFT)
		return false;
	roles_entries(looking->page->role, gpa % UMBRA_PAGE_SIZE, length, &first, &count);
	return looking->where == looking->table ? count : index - first < count;
}

static bool touches(const struct looking *looking, const struct umbra_trace *event)
{
	switch (event->kind) {
	case UMBRA_TRACE_SET_SPTE: return event->a == looking->where;
	case UMBRA_TRACE_CHANGED_PFN: return event->d == looking->where;
	case UMBRA_TRACE_WRITE: return is_mirrored_by(looking, event->a, event->b);
	case UMBRA_TRACE_ROOT: return event->a == looking->table;
	case UMBRA_TRACE_GET_PAGE:
	case UMBRA_TRACE_PREPARE_ZAP_PAGE:
	case UMBRA_TRACE_UNSYNC_PAGE:
	case UMBRA_TRACE_SYNC_PAGE: return event->c == looking->table;
	default: return false;
	}
}

unsigned recent_find(struct mmu *mmu, uint64_t where, struct umbra_recent found[RECENT_MOST])
{
	const uint64_t end = mmu->recent_count, kept = end < MMU_RECENT ? end : MMU_RECENT;
	struct looking looking = {.where = where, .table = where & ~(UMBRA_PAGE_SIZE - 1ull)};
	bool stored = false;
	unsigned count = 0;

	looking.page = living_page(mmu, looking.table);
	for (uint64_t at = end - kept; at < end; at++) {
		const struct umbra_trace *event = &mmu->recent[at % MMU_RECENT];
		bool touched = touches(&looking, event);

		if (!touched && !(stored && event->kind == UMBRA_TRACE_FLUSH))
			continue;
		stored = touched;
		if (count == RECENT_MOST)
			memmove(&found[0], &found[1], --count * sizeof(found[0]));
		found[count++] = (struct umbra_recent){end - 1 - at, *event};
	}
	return count;
}
