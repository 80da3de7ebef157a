/* SPDX-License-Identifier: MIT */
/*
 * sweep.c - touches everything.
 *
 * A page is touched somewhere at random, by 1 to 16 bytes, now and then across
 * its end. Stores carry random bytes where the page is known to hold no guest
 * table, so that a store to a wrong place shows; on tables they store back what
 * is there, since new contents would make another guest of it.
 *
 * Invariants: the same seed gives the same accesses whatever the machines'
 * configuration, so that configurations can be compared with each other.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/random.h"
#include "lab/scan.h"
#include "lab/sweep.h"

#define PROGRESS_EVERY 4096
#define FEW_PAGES 1000

/* Kinds of access. The first six are those of images; the last four need CET. */
static const unsigned kinds[] = {
	UMBRA_ACCESS_READ,
	UMBRA_ACCESS_USER,
	UMBRA_ACCESS_WRITE,
	UMBRA_ACCESS_WRITE | UMBRA_ACCESS_USER,
	UMBRA_ACCESS_FETCH,
	UMBRA_ACCESS_FETCH | UMBRA_ACCESS_USER,
	UMBRA_ACCESS_AC,
	UMBRA_ACCESS_AC | UMBRA_ACCESS_WRITE,
	UMBRA_ACCESS_IMPLICIT,
	UMBRA_ACCESS_IMPLICIT | UMBRA_ACCESS_WRITE,
	UMBRA_ACCESS_IMPLICIT | UMBRA_ACCESS_AC,
	UMBRA_ACCESS_SHSTK,
	UMBRA_ACCESS_SHSTK | UMBRA_ACCESS_WRITE,
	UMBRA_ACCESS_SHSTK | UMBRA_ACCESS_USER,
	UMBRA_ACCESS_SHSTK | UMBRA_ACCESS_USER | UMBRA_ACCESS_WRITE,
};
#define KINDS_IMAGE 6
#define KINDS_PLAIN 11
#define KINDS_ALL (sizeof(kinds) / sizeof(kinds[0]))

struct touch {
	uint64_t gva;
	uint8_t shift;
	bool data;
	unsigned access;
};

static bool touch(struct lab *lab, const struct touch *t, uint64_t *random, struct lab_side *bare)
{
	const uint64_t size = 1ull << t->shift;
	uint64_t choice = random_next(random), bytes[2];
	struct lab_access access = {.access = t->access};
	uint64_t offset = random_below(random, size);

	access.size = (uint8_t)(1 + choice % 16);
	if (choice >> 8 & 15)
		offset = offset > size - access.size ? size - access.size : offset;
	else
		offset = size - 1 - (choice >> 12 & 7);
	access.gva.v = t->gva + offset;
	/* Shadow-stack accesses are 4 or 8 bytes, aligned. */
	if (t->access & UMBRA_ACCESS_SHSTK) {
		access.size = 8;
		access.gva.v &= ~7ull;
	}
	if (!(lab_regs(lab)->efer & UMBRA_EFER_LMA))
		access.gva.v &= UINT32_MAX;
	bytes[0] = random_next(random);
	bytes[1] = random_next(random);
	/* Behind the page's end there may be a table. */
	if (t->data && t->access & UMBRA_ACCESS_WRITE &&
	    access.gva.v - t->gva + access.size <= size)
		access.data = bytes;
	return lab_access(lab, &access, bare);
}

static void progress(const struct sweep *sweep, uint64_t done, uint64_t total)
{
	if (sweep->progress && done % PROGRESS_EVERY == 0)
		sweep->progress(sweep->context, done, total);
}

/* ---- the built-in guest ---- */

static unsigned kinds_of(const struct umbra_regs *regs)
{
	return regs->cr4 & UMBRA_CR4_CET ? KINDS_ALL : KINDS_PLAIN;
}

bool sweep_touch(struct lab *lab, const struct builtin_page *page, uint64_t *random,
		 struct lab_side *bare)
{
	const unsigned kind = (unsigned)random_below(random, kinds_of(lab_regs(lab)));
	const struct touch t = {page->gva, page->shift, page->data, kinds[kind]};

	return touch(lab, &t, random, bare);
}

struct plan {
	struct lab *lab;
	const struct sweep *sweep;
	const struct builtin_page *page;
	unsigned pages;
	uint64_t random, done, total;
};

static void one(struct plan *p, unsigned page, unsigned kind)
{
	const struct builtin_page *b = &p->page[page];
	const struct touch t = {b->gva, b->shift, b->data, kinds[kind]};

	touch(p->lab, &t, &p->random, NULL);
	progress(p->sweep, p->done++, p->total);
}

/* A guest without paging has few pages, but large ones. */
static unsigned rounds(unsigned pages)
{
	return pages < FEW_PAGES ? FEW_PAGES / pages : 1;
}

static void variation(struct plan *p, unsigned kind_count, uint64_t share)
{
	for (uint64_t i = 0; i < share; i++)
		one(p, (unsigned)random_below(&p->random, p->pages),
		    (unsigned)random_below(&p->random, kind_count));
	if (share)
		return;
	for (unsigned round = 0; round < rounds(p->pages); round++) {
		for (unsigned page = 0; page < p->pages; page++) {
			for (unsigned kind = 0; kind < kind_count; kind++)
				one(p, page, kind);
		}
	}
}

void sweep_builtin(struct lab *lab, const struct builtin *builtin, const struct sweep *sweep)
{
	struct plan plan = {.lab = lab, .sweep = sweep, .random = sweep->seed};
	struct umbra_regs regs;
	unsigned variations = 0;
	uint64_t share;

	plan.page = builtin_pages(builtin, &plan.pages);
	for (unsigned i = 0; builtin_regs(builtin, i, &regs); i++) {
		variations++;
		plan.total += (uint64_t)plan.pages * kinds_of(&regs) *
			      (plan.pages ? rounds(plan.pages) : 0);
	}
	if (!variations || !plan.pages)
		return;
	share = sweep->sample / variations;
	if (sweep->sample && !share)
		share = 1;
	if (share)
		plan.total = share * variations;
	for (unsigned i = 0; builtin_regs(builtin, i, &regs); i++) {
		bool refused = false;

		lab_set_regs(lab, &regs, true, &refused);
		if (!refused)
			variation(&plan, kinds_of(&regs), share);
	}
	lab_compare_memory(lab);
	lab_audit(lab);
	lab_counts(lab);
}

/* ---- images ---- */

struct page {
	uint64_t gva;
	bool data;
};

struct pages {
	struct page *page;
	uint64_t count, room;
	bool failed;
	struct lab *lab;
	uint8_t *table[LAB_MEMORY_MAX];
};

static const void *pages_at(void *context, umbra_gpa gpa, size_t size)
{
	struct pages *pages = context;
	const struct lab_memory *m = NULL;
	unsigned index, count;

	if (lab_place_of(pages->lab, gpa, &index) == LAB_NOTHING)
		return NULL;
	m = lab_memory(pages->lab, &count) + index;
	if (gpa.v - m->base.v + size > m->size)
		return NULL;
	return lab_bytes(pages->lab, gpa);
}

static bool add_page(struct pages *pages, uint64_t gva, bool data)
{
	if (pages->count == pages->room) {
		uint64_t room = pages->room ? pages->room * 2 : 65536;
		struct page *page = realloc(pages->page, room * sizeof(*page));

		if (!page) {
			pages->failed = true;
			return false;
		}
		pages->page = page;
		pages->room = room;
	}
	pages->page[pages->count++] = (struct page){gva, data};
	return true;
}

static bool is_table(const struct pages *pages, uint64_t gpa)
{
	unsigned index, count;
	uint64_t page;

	if (lab_place_of(pages->lab, (umbra_gpa){gpa}, &index) == LAB_NOTHING)
		return false;
	page = (gpa - lab_memory(pages->lab, &count)[index].base.v) / UMBRA_PAGE_SIZE;
	return pages->table[index][page / 8] >> page % 8 & 1;
}

static bool on_table(void *context, const struct scan_note *note)
{
	struct pages *pages = context;
	unsigned index, count;
	uint64_t page;

	if (note->kind != SCAN_TABLE || lab_place_of(pages->lab, note->gpa, &index) == LAB_NOTHING)
		return true;
	page = (note->gpa.v - lab_memory(pages->lab, &count)[index].base.v) / UMBRA_PAGE_SIZE;
	pages->table[index][page / 8] |= (uint8_t)(1u << page % 8);
	return true;
}

static bool no_leaf(void *context, const struct scan_leaf *leaf)
{
	(void)context;
	(void)leaf;
	return true;
}

static bool on_leaf(void *context, const struct scan_leaf *leaf)
{
	struct pages *pages = context;

	for (uint64_t offset = 0; offset < 1ull << leaf->shift; offset += UMBRA_PAGE_SIZE) {
		if (!add_page(pages, leaf->gva.v + offset, !is_table(pages, leaf->gpa.v + offset)))
			return false;
	}
	return true;
}

static void unpaged_pages(struct pages *pages)
{
	unsigned count;
	const struct lab_memory *memory = lab_memory(pages->lab, &count);

	for (unsigned i = 0; i < count; i++) {
		for (uint64_t offset = 0; offset < memory[i].size; offset += UMBRA_PAGE_SIZE) {
			if (memory[i].base.v + offset > UINT32_MAX ||
			    !add_page(pages, memory[i].base.v + offset, true))
				return;
		}
	}
}

static bool collect(struct pages *pages)
{
	const struct umbra_cpu cpu = lab_guest_cpu(lab_config(pages->lab));
	const struct umbra_regs *regs = lab_regs(pages->lab);
	struct scan scan = {
		.regs = regs,
		.cpu = &cpu,
		.context = pages,
		.at = pages_at,
		.leaf = no_leaf,
		.note = on_table,
	};
	unsigned count;
	const struct lab_memory *memory = lab_memory(pages->lab, &count);

	if (!(regs->cr0 & UMBRA_CR0_PG)) {
		unpaged_pages(pages);
		return !pages->failed;
	}
	for (unsigned i = 0; i < count; i++) {
		pages->table[i] = calloc(memory[i].size / UMBRA_PAGE_SIZE / 8 + 1, 1);
		if (!pages->table[i])
			return false;
	}
	/* Tables first: a page may be mapped before the scan knows it is one. */
	scan_run(&scan);
	scan.leaf = on_leaf;
	scan_run(&scan);
	return !pages->failed;
}

static void touch_page(struct lab *lab, const struct page *page, uint64_t *random)
{
	for (unsigned kind = 0; kind < KINDS_IMAGE; kind++) {
		const struct touch t = {page->gva, UMBRA_PAGE_SHIFT, page->data, kinds[kind]};

		touch(lab, &t, random, NULL);
	}
}

uint64_t sweep_image(struct lab *lab, const struct sweep *sweep)
{
	struct pages pages = {.lab = lab};
	uint64_t random = sweep->seed, total = UINT64_MAX;

	if (collect(&pages)) {
		const bool all = !sweep->sample || sweep->sample >= pages.count;

		total = all ? pages.count : sweep->sample;
		for (uint64_t i = 0; i < total; i++) {
			uint64_t which = all ? i : random_below(&random, pages.count);

			touch_page(lab, &pages.page[which], &random);
			progress(sweep, i, total);
		}
		lab_compare_memory(lab);
		lab_audit(lab);
		lab_counts(lab);
	}
	for (unsigned i = 0; i < LAB_MEMORY_MAX; i++)
		free(pages.table[i]);
	free(pages.page);
	return total;
}
