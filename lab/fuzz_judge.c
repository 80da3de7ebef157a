/* SPDX-License-Identifier: MIT */
/*
 * fuzz_judge.c - is an outcome one that the manuals allow? See docs/FUZZING.md.
 *
 *	UMBRA machine acts -> its outcome is in the legal set of the bare CPU?
 *	                      its A and D updates are those of a walk that may be?
 *	bare memory follows -> bare CPUs gather what they could have cached by now
 *	                      a completed access must now be explained by a cached page
 *
 * A bare CPU never acts. It knows every translation that some CPU with its history
 * could hold, because A bits in memory tell: nothing may be cached whose A was
 * not set in memory (H-106), and only the UMBRA machine sets them.
 *
 * Invariant: between two steps both memories are equal, and each bare CPU knows
 * all that can be known about the program's pages from memory as it is.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lab/fuzz_parts.h"

#define LARGE 0x200000u
#define ENTRY_A 0x20ull
#define ENTRY_D 0x40ull

void judge_found(struct duel *d, const char *kind, const char *format, ...)
{
	va_list list;

	if (d->result->found)
		return;
	d->result->found = true;
	snprintf(d->result->kind, sizeof(d->result->kind), "%s", kind);
	va_start(list, format);
	vsnprintf(d->result->what, sizeof(d->result->what), format, list);
	va_end(list);
}

/* ---- memory ---- */

uint8_t *judge_bare(const struct duel *d, umbra_gpa gpa, size_t size)
{
	return model_mem_at(d->mem, (umbra_hpa){gpa.v}, size);
}

uint8_t *judge_umbra(const struct duel *d, umbra_gpa gpa, size_t size)
{
	unsigned index;
	const struct lab_memory *m;

	if (lab_place_of(d->lab, gpa, &index) == LAB_NOTHING)
		return NULL;
	m = &d->lab->memory[index];
	if (gpa.v - m->base.v + size > m->size)
		return NULL;
	return (uint8_t *)m->umbra + (gpa.v - m->base.v);
}

static void compare(struct duel *d, const uint8_t *bare, const uint8_t *umbra, uint64_t gpa,
		    uint64_t size)
{
	uint64_t at = 0, a, b;

	if (!memcmp(bare, umbra, size))
		return;
	while (!memcmp(bare + at, umbra + at, 8))
		at += 8;
	memcpy(&a, bare + at, 8);
	memcpy(&b, umbra + at, 8);
	judge_found(d, "memory", "at 0x%" PRIx64 ": bare 0x%" PRIx64 ", umbra 0x%" PRIx64, gpa + at,
		    a, b);
}

/* Pages of the image that have changed. */
static void compare_kept(struct duel *d)
{
	const struct fuzz_image *image = d->limits->image;

	for (unsigned i = 0; i < image->kept_count; i++) {
		const umbra_gpa gpa = {image->kept[i]->gpa};

		compare(d, judge_bare(d, gpa, UMBRA_PAGE_SIZE),
			judge_umbra(d, gpa, UMBRA_PAGE_SIZE), gpa.v, UMBRA_PAGE_SIZE);
	}
}

/* Pages that neither machine has ever touched are zeros on both. */
static void compare_touched(struct duel *d, const uint8_t *bare, const uint8_t *umbra, uint64_t gpa,
			    uint64_t size)
{
	unsigned char touched[2][LARGE / UMBRA_PAGE_SIZE];

	if (size > LARGE || mincore((void *)bare, size, touched[0]) ||
	    mincore((void *)umbra, size, touched[1])) {
		compare(d, bare, umbra, gpa, size);
		return;
	}
	for (uint64_t i = 0; i < size / UMBRA_PAGE_SIZE; i++)
		if ((touched[0][i] | touched[1][i]) & 1)
			compare(d, bare + i * UMBRA_PAGE_SIZE, umbra + i * UMBRA_PAGE_SIZE,
				gpa + i * UMBRA_PAGE_SIZE, UMBRA_PAGE_SIZE);
}

void judge_memory(struct duel *d, bool all)
{
	if (d->limits->image && (!all || d->limits->sparse)) {
		compare_kept(d);
		return;
	}
	for (unsigned i = 0; i < d->slot_count; i++) {
		if (d->place[i] < 0 || (!all && d->slot[i].size > 0x100000))
			continue;
		(d->limits->image ? compare : compare_touched)(
			d, d->bytes[i][d->place[i]], d->lab->memory[i].umbra,
			d->lab->memory[i].base.v, d->slot[i].size);
	}
}

void judge_store(struct duel *d, umbra_gpa gpa, const void *bytes, size_t size)
{
	const uint64_t page = gpa.v >> UMBRA_PAGE_SHIFT;
	uint8_t *to = judge_bare(d, gpa, size);

	if (to && d->limits->image)
		fuzz_image_keep(d->limits->image, gpa);
	if (to)
		memcpy(to, bytes, size);
	if (page >= d->table_pages || d->table[page / 8] >> page % 8 & 1)
		d->stale = ~0u;
}

/* ---- what could be cached ---- */

static void mark_table(void *context, const struct model_entry *entry)
{
	struct duel *d = context;
	const uint64_t page = entry->at.v >> UMBRA_PAGE_SHIFT;

	if (page < d->table_pages)
		d->table[page / 8] |= (uint8_t)(1u << page % 8);
}

void judge_gather(struct duel *d)
{
	const struct model_visitor visitor = {d, mark_table, true};

	if (!d->stale)
		return;
	for (unsigned i = 0; i < d->program->vcpus; i++) {
		const bool nested = model_state_of(d->bare[i])->stage2 != MODEL_NATIVE;

		for (unsigned k = 0; d->stale >> i & 1 && k < d->page_count; k++)
			model_gather(d->bare[i], (umbra_gva){d->page[k]}, &visitor);
		for (unsigned k = 0; d->stale >> i & 1 && nested && k < d->gpa_count; k++)
			model_gather_gpa(d->bare[i], (umbra_gpa){d->gpa[k]}, &visitor);
	}
	d->stale = 0;
}

/* ---- Accessed and Dirty ---- */

static void note_visit(void *context, const struct model_entry *entry)
{
	struct duel *d = context;
	unsigned i = 0;

	if (!entry->valid)
		return;
	if (entry->nested && entry->leaf && d->log_count < FUZZ_VISITS)
		d->logs[d->log_count++] = entry->gpa.v & ~0xfffull;
	while (i < d->visit_count && d->visit[i].at.v != entry->at.v)
		i++;
	if (i == FUZZ_VISITS)
		return;
	if (i == d->visit_count)
		d->visit[d->visit_count++] =
			(struct visit){.at.v = entry->at.v, .size = entry->size};
	d->visit[i].leaf |= entry->leaf;
	d->visit[i].nested |= entry->nested;
	d->visit[i].may |= entry->may_set;
}

/* Which bytes of the @size at @gpa does the store of @side cover? As a mask. */
static uint64_t covered(const struct lab_side *side, umbra_gpa gpa, unsigned size)
{
	uint64_t mask = 0;

	for (unsigned k = 0; k < size; k++)
		for (unsigned i = 0; i < side->piece_count; i++)
			if (gpa.v + k - side->piece[i].gpa.v < side->piece[i].size)
				mask |= 0xffull << 8 * k;
	return mask;
}

/* What walks set in one entry: @may of its bits, where @over a store went over it.
 * Returns the bits that were set for certain. */
static uint64_t follow_entry(struct duel *d, const struct visit *v, uint64_t may, uint64_t over)
{
	uint8_t *bare = judge_bare(d, v->at, v->size), *umbra = judge_umbra(d, v->at, v->size);
	uint64_t old = 0, new = 0;

	if (!bare || !umbra)
		return 0;
	memcpy(&old, bare, v->size);
	memcpy(&new, umbra, v->size);
	/* Set before the store went over it, perhaps. */
	new = (new & ~over) | ((old | may) & over);
	if (new == old)
		return 0;
	if ((new ^ old) & ~may || ~new &old) {
		judge_found(d, "flags",
			    "entry at 0x%" PRIx64 " became 0x%" PRIx64 ", was 0x%" PRIx64, v->at.v,
			    new, old);
		return 0;
	}
	if (d->limits->image)
		fuzz_image_keep(d->limits->image, v->at);
	memcpy(bare, &new, v->size);
	d->stale = ~0u;
	return new & ~old & ~over;
}

#define EPT_D 0x200ull

/* L1's log, @dirtied entries of its EPT having got D; @unsure more may have. */
static void follow_log(struct duel *d, unsigned vcpu, unsigned dirtied, unsigned unsure)
{
	const struct model_state *state = model_state_of(d->bare[vcpu]);
	const struct umbra_nested *now = umbra_vcpu_nested(d->lab->cpu[vcpu].vcpu);
	const bool on = state->pml && state->eptp & 0x40;
	const uint16_t before = on ? state->pml_index : d->guest[vcpu].logged;
	const unsigned count = (uint16_t)(before - now->pml_index);

	if (!on) {
		if (count)
			judge_found(d, "pml", "logged without being asked to");
		return;
	}
	if (count < dirtied || count > dirtied + unsure) {
		const uint8_t *last = judge_umbra(
			d, (umbra_gpa){state->pml_address + 8 * (now->pml_index + 1ull)}, 8);
		uint64_t value = 0;

		if (last)
			memcpy(&value, last, 8);
		judge_found(d, "pml",
			    "%u entries of L1's EPT got D, %u were logged, the last 0x%" PRIx64,
			    dirtied, count, value);
		return;
	}
	for (uint16_t i = before; i != now->pml_index; i--) {
		const umbra_gpa at = {state->pml_address + 8ull * i};
		const uint8_t *umbra = judge_umbra(d, at, 8);
		uint64_t value;
		unsigned k = 0;

		if (!umbra)
			continue;
		memcpy(&value, umbra, 8);
		while (k < d->log_count && d->logs[k] != value)
			k++;
		if (k == d->log_count)
			judge_found(d, "pml", "0x%" PRIx64 " was logged, not written", value);
		judge_store(d, at, &value, 8);
	}
	model_set_pml_index(d->bare[vcpu], now->pml_index);
	d->guest[vcpu].logged = now->pml_index;
}

/* The UMBRA machine may have set A where a walk of @a may go, and D in its leaf. */
static void follow_flags(struct duel *d, unsigned vcpu, const struct lab_access *a,
			 const struct lab_side *side)
{
	const bool write = a->access & UMBRA_ACCESS_WRITE;
	const bool crosses = (a->gva.v & 0xfff) + a->size > UMBRA_PAGE_SIZE;
	unsigned dirtied = 0, unsure = 0;

	for (unsigned i = 0; i < d->visit_count; i++) {
		const struct visit *v = &d->visit[i];
		uint64_t may = v->may, over = 0, set;

		/* The second stage may exit after D was set, and the access then take
		 * another way (U-5). */
		if (v->leaf && write && (side->end == LAB_DONE || crosses || lab_is_tdp(d->lab)))
			may |= v->nested && !(v->may & ENTRY_A) ? 0 : ENTRY_D;
		if (write && side->end == LAB_DONE)
			over = covered(side, v->at, v->size);
		set = follow_entry(d, v, may, over);
		dirtied += v->nested && set & EPT_D;
		unsure += v->nested && over;
	}
	if (d->guest[vcpu].in_l2)
		follow_log(d, vcpu, dirtied, unsure);
}

static void visit_from_here(struct duel *d)
{
	d->visit_count = d->log_count = 0;
}

void judge_load(struct duel *d, unsigned vcpu, uint64_t cr3)
{
	const struct model_visitor visitor = {d, note_visit, false};

	visit_from_here(d);
	model_gather_gpa(d->bare[vcpu], (umbra_gpa){cr3 & 0xffffffe0}, &visitor);
	for (unsigned i = 0; i < d->visit_count; i++)
		follow_entry(d, &d->visit[i], d->visit[i].may & ~EPT_D, 0);
	judge_gather(d);
}

/* ---- accesses ---- */

static void outcome_text(const struct model_outcome *o, char *to, size_t size)
{
	static const char *const names[UMBRA_EVENT_KINDS] = {
		[UMBRA_EVENT_PF] = "#PF",
		[UMBRA_EVENT_GP] = "#GP",
		[UMBRA_EVENT_SS] = "#SS",
		[UMBRA_EVENT_NPF] = "NPF",
		[UMBRA_EVENT_EPT_VIOLATION] = "EPT violation",
		[UMBRA_EVENT_EPT_MISCONFIG] = "EPT misconfiguration",
		[UMBRA_EVENT_PML_FULL] = "log full",
	};
	const struct umbra_event *e = &o->event;
	int n = 0;

	if (e->kind == UMBRA_EVENT_PF)
		snprintf(to, size, "#PF 0x%" PRIx64 " CR2 0x%" PRIx64, e->code, e->gva.v);
	else if (e->kind != UMBRA_EVENT_NONE)
		snprintf(to, size, "%s 0x%" PRIx64 " gpa 0x%" PRIx64 " gva 0x%" PRIx64,
			 names[e->kind] ? names[e->kind] : "?", e->code, e->gpa.v, e->gva.v);
	for (unsigned i = 0; e->kind == UMBRA_EVENT_NONE && i < o->piece_count; i++)
		n += snprintf(to + n, size - (size_t)n, "%sgpa 0x%" PRIx64, i ? " + " : "",
			      o->piece[i].hpa.v);
}

static void report(struct duel *d, unsigned vcpu, const struct model_access *m,
		   const struct model_outcome *seen)
{
	struct model_outcome legal[5];
	unsigned count = model_legal(d->bare[vcpu], m, legal, 5);
	char text[400] = "", one[100];

	outcome_text(seen, one, sizeof(one));
	snprintf(text, sizeof(text), "umbra: %s; legal:", one);
	for (unsigned i = 0; i < count && i < 5; i++) {
		size_t used = strlen(text);

		outcome_text(&legal[i], one, sizeof(one));
		snprintf(text + used, sizeof(text) - used, " {%s}", one);
	}
	judge_found(d, "access", "%s%s", text, count > 5 ? " ..." : "");
}

/*
 * A that an access sets may change what comes later on its own way, where a page is L2's
 * table and L1's for L2 (docs/MODEL.md, Limits). Rare, so all memory is put back.
 */
static bool changes_its_way(struct duel *d, unsigned vcpu, const struct model_access *m,
			    const struct model_outcome *seen)
{
	static const unsigned choices[] = {0, MODEL_A_ON_FAULT};
	uint64_t size = 0;
	uint8_t *kept;
	bool found = false;

	for (unsigned i = 0; i < d->lab->memory_count; i++)
		size += d->slot[i].size;
	kept = malloc(size);
	if (!kept)
		return false;
	for (unsigned c = 0; c < 2 && !found; c++) {
		uint8_t *to = kept;

		for (unsigned i = 0; i < d->lab->memory_count; to += d->slot[i++].size)
			memcpy(to, d->bytes[i][d->place[i]], d->slot[i].size);
		found = model_does(d->bare[vcpu], m, choices[c], seen);
		to = kept;
		for (unsigned i = 0; i < d->lab->memory_count; to += d->slot[i++].size)
			memcpy(d->bytes[i][d->place[i]], to, d->slot[i].size);
	}
	free(kept);
	return found;
}

static void check_bytes(struct duel *d, const struct lab_access *a, const struct lab_side *side)
{
	const bool write = a->access & UMBRA_ACCESS_WRITE;
	const uint8_t *data = write ? a->data : side->data;
	static const uint8_t ones[8] = {255, 255, 255, 255, 255, 255, 255, 255};

	for (unsigned i = 0; i < side->piece_count; i++) {
		const struct lab_piece *p = &side->piece[i];
		const uint8_t *umbra = judge_umbra(d, p->gpa, p->size);
		const uint8_t *bare = judge_bare(d, p->gpa, p->size);

		if (p->place == LAB_RAM && write) {
			judge_store(d, p->gpa, data, p->size);
			if (!umbra || memcmp(umbra, data, p->size))
				judge_found(d, "store", "other bytes at 0x%" PRIx64, p->gpa.v);
		} else if (!write) {
			if (p->place == LAB_NOTHING || !bare)
				bare = ones;
			if (memcmp(bare, data, p->size))
				judge_found(d, "read", "other bytes than at 0x%" PRIx64, p->gpa.v);
		}
		data += p->size;
	}
}

static const char *unfit(const struct lab_side *side)
{
	switch (side->end) {
	case LAB_NO_PROGRESS: return "faults again and again";
	case LAB_STATUS: return umbra_strstatus(side->status);
	case LAB_WRONG: return side->what;
	default: return NULL;
	}
}

void judge_access(struct duel *d, unsigned vcpu, const struct lab_access *a,
		  const struct lab_side *side)
{
	const struct model_access m = {.gva = a->gva, .size = a->size, .access = a->access};
	const struct model_visitor visitor = {d, note_visit, false};
	struct model_outcome seen = {.event = side->event, .piece_count = side->piece_count};
	struct model_cpu *bare = d->bare[vcpu];
	bool explained;

	d->result->accesses++;
	d->result->accesses_l2 += d->guest[vcpu].in_l2;
	if (unfit(side)) {
		judge_found(d, "progress", "%s", unfit(side));
		return;
	}
	if (side->end == LAB_DONE)
		seen.event.kind = UMBRA_EVENT_NONE;
	else
		seen.piece_count = 0;
	for (unsigned i = 0; i < seen.piece_count; i++)
		seen.piece[i] = (struct model_piece){nested_paging(d->lab) ? side->piece[i].l2
									   : side->piece[i].gpa,
						     {side->piece[i].gpa.v},
						     side->piece[i].size};
	explained = model_explains(bare, &m, &seen) ||
		    (nested_paging(d->lab) && changes_its_way(d, vcpu, &m, &seen));
	if (!explained && !nested_paging(d->lab)) {
		report(d, vcpu, &m, &seen);
		return;
	}
	if (side->end != LAB_DONE &&
	    nested_exits(d->lab, &seen.event) != (side->end == LAB_EXIT_L1)) {
		judge_found(d, "exit", "an event that L1 %s see",
			    side->end == LAB_EXIT_L1 ? "is not to" : "must");
		return;
	}
	visit_from_here(d);
	model_visit(bare, &m, &visitor);
	follow_flags(d, vcpu, a, side);
	/* Or a cached fact led past what the same access then changed. */
	if (!explained && (model_state_of(bare)->pml || !model_explains(bare, &m, &seen))) {
		report(d, vcpu, &m, &seen);
		return;
	}
	if (side->end != LAB_DONE) {
		judge_gather(d); /* what it cached on the way stays */
		if (seen.event.kind == UMBRA_EVENT_PF)
			model_took_fault(bare, side->event.gva);
		else
			model_took_exit(bare, &m, &side->event);
		d->stale |= 1u << vcpu;
	}
	judge_gather(d);
	if (side->end != LAB_DONE)
		return;
	if (!model_held(bare, &m, &seen))
		judge_found(d, "flags", "completed, but A or D is not set as it must be");
	check_bytes(d, a, side);
}
