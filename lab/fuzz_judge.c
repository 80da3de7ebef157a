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
#include <string.h>

#include "lab/fuzz_parts.h"

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

void judge_memory(struct duel *d, bool all)
{
	if (d->limits->image && (!all || d->limits->sparse)) {
		compare_kept(d);
		return;
	}
	for (unsigned i = 0; i < d->slot_count; i++) {
		if (d->place[i] < 0 || (!all && d->slot[i].size > 0x100000))
			continue;
		compare(d, d->bytes[i][d->place[i]], d->lab->memory[i].umbra,
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
	const uint64_t page = entry->gpa.v >> UMBRA_PAGE_SHIFT;

	if (page < d->table_pages)
		d->table[page / 8] |= (uint8_t)(1u << page % 8);
}

void judge_gather(struct duel *d)
{
	const struct model_visitor visitor = {d, mark_table};

	if (!d->stale)
		return;
	for (unsigned i = 0; i < d->program->vcpus; i++) {
		for (unsigned k = 0; d->stale >> i & 1 && k < d->page_count; k++)
			model_gather(d->bare[i], (umbra_gva){d->page[k]}, &visitor);
	}
	d->stale = 0;
}

/* ---- Accessed and Dirty ---- */

static void note_visit(void *context, const struct model_entry *entry)
{
	struct duel *d = context;

	if (!entry->valid)
		return;
	for (unsigned i = 0; i < d->visit_count; i++) {
		if (d->visit[i].gpa.v != entry->gpa.v)
			continue;
		d->visit[i].leaf |= entry->leaf;
		return;
	}
	if (d->visit_count < FUZZ_VISITS)
		d->visit[d->visit_count++] = (struct visit){entry->gpa, entry->leaf};
}

static bool overlaps(const struct lab_side *side, umbra_gpa gpa, unsigned size)
{
	for (unsigned i = 0; i < side->piece_count; i++)
		if (gpa.v < side->piece[i].gpa.v + side->piece[i].size &&
		    side->piece[i].gpa.v < gpa.v + size)
			return true;
	return false;
}

/* The UMBRA machine may have set A where a walk of @a may go, and D in its leaf. */
static void follow_flags(struct duel *d, unsigned vcpu, const struct lab_access *a,
			 const struct lab_side *side)
{
	const struct umbra_regs *regs = &model_state_of(d->bare[vcpu])->regs;
	const unsigned size = regs->cr4 & UMBRA_CR4_PAE ? 8 : 4;
	const bool write = a->access & UMBRA_ACCESS_WRITE;
	const bool crosses = (a->gva.v & 0xfff) + a->size > UMBRA_PAGE_SIZE;

	for (unsigned i = 0; i < d->visit_count; i++) {
		const struct visit *v = &d->visit[i];
		uint8_t *bare = judge_bare(d, v->gpa, size), *umbra = judge_umbra(d, v->gpa, size);
		uint64_t old = 0, new = 0, may = ENTRY_A;

		if (!bare || !umbra)
			continue;
		/* The second stage may exit after D was set, and the access then take
		 * another way (U-5). */
		if (v->leaf && write && (side->end == LAB_DONE || crosses || lab_is_tdp(d->lab)))
			may |= ENTRY_D;
		memcpy(&old, bare, size);
		memcpy(&new, umbra, size);
		if (write && side->end == LAB_DONE && overlaps(side, v->gpa, size))
			new = old | may; /* set before the store went over it, perhaps */
		if (new == old)
			continue;
		if ((new ^ old) & ~may || ~new &old) {
			judge_found(d, "flags",
				    "entry at 0x%" PRIx64 " became 0x%" PRIx64 ", was 0x%" PRIx64,
				    v->gpa.v, new, old);
			return;
		}
		if (d->limits->image)
			fuzz_image_keep(d->limits->image, v->gpa);
		memcpy(bare, &new, size);
		d->stale = ~0u;
	}
}

/* ---- accesses ---- */

static void outcome_text(const struct model_outcome *o, char *to, size_t size)
{
	int n = 0;

	if (o->event.kind == UMBRA_EVENT_PF)
		n = snprintf(to, size, "#PF 0x%" PRIx64 " CR2 0x%" PRIx64, o->event.code,
			     o->event.gva.v);
	else if (o->event.kind != UMBRA_EVENT_NONE)
		n = snprintf(to, size, "#GP");
	else
		for (unsigned i = 0; i < o->piece_count; i++)
			n += snprintf(to + n, size - (size_t)n, "%sgpa 0x%" PRIx64, i ? " + " : "",
				      o->piece[i].gpa.v);
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
	const struct model_visitor visitor = {d, note_visit};
	struct model_outcome seen = {.event = side->event, .piece_count = side->piece_count};
	struct model_cpu *bare = d->bare[vcpu];

	d->result->accesses++;
	if (unfit(side)) {
		judge_found(d, "progress", "%s", unfit(side));
		return;
	}
	if (side->end == LAB_DONE)
		seen.event.kind = UMBRA_EVENT_NONE;
	else
		seen.piece_count = 0;
	for (unsigned i = 0; i < seen.piece_count; i++)
		seen.piece[i] = (struct model_piece){
			side->piece[i].gpa, {side->piece[i].gpa.v}, side->piece[i].size};
	if (!model_explains(bare, &m, &seen)) {
		report(d, vcpu, &m, &seen);
		return;
	}
	d->visit_count = 0;
	model_visit(bare, &m, &visitor);
	follow_flags(d, vcpu, a, side);
	if (side->end == LAB_EXCEPTION && side->event.kind == UMBRA_EVENT_PF) {
		judge_gather(d); /* what it cached on the way stays */
		model_took_fault(bare, side->event.gva);
		d->stale |= 1u << vcpu;
	}
	judge_gather(d);
	if (side->end != LAB_DONE)
		return;
	if (!model_held(bare, &m, &seen))
		judge_found(d, "flags", "completed, but A or D is not set as it must be");
	check_bytes(d, a, side);
}
