/* SPDX-License-Identifier: MIT */
/*
 * legal.c - the set of outcomes that the manuals allow, and membership in it.
 *
 * translate_all() gives the results of each piece; here they are combined for
 * accesses that cross a page: all good pairs, and the faults of either piece,
 * since either may be reported first (H-125). Comparison looks only at what is
 * defined for the kind of event (H-79, H-80).
 */
#include "access.h"

#include <string.h>

/* Outcomes go to a callback, so that membership needs no room for all of them. */
struct sink {
	bool (*take)(struct sink *sink, const struct model_outcome *o); /* true: enough */
	struct model_outcome *outcomes;
	unsigned count, max;
	const struct model_outcome *seen;
	bool found;
};

/* @ve: a violation that can be converted is a #VE. True: enough. */
static bool sink_fault(struct sink *sink, const struct result *r, bool ve)
{
	struct model_outcome o = {.event = r->event, .code_defined = r->code_defined};

	if (r->event.kind == UMBRA_EVENT_NONE)
		return false;
	if (!(ve && r->convertible == CONVERTIBLE) && sink->take(sink, &o))
		return true;
	if (!ve || r->convertible == CONVERTIBLE_NOT)
		return false;
	o.event.kind = UMBRA_EVENT_VE;
	return sink->take(sink, &o);
}

static void set_piece(struct model_outcome *o, unsigned i, const struct result *r,
		      const struct access_piece *piece)
{
	o->piece[i] = (struct model_piece){{r->gpa}, {r->hpa}, piece->size};
	o->piece_count = i + 1;
}

static void enumerate(struct model_cpu *cpu, const struct model_access *access, struct sink *sink)
{
	struct model_stats stats = cpu->stats;
	struct access_piece pieces[2];
	unsigned n = access_split(cpu, access, pieces);
	struct result_set sets[2];
	struct model_outcome o = {.code_defined = ~0ull};
	bool ve = ve_possible(cpu, access->delivering);

	for (unsigned i = 0; i < n; i++) {
		sets[i].count = 0;
		if (pieces[i].canonical)
			translate_all(cpu, pieces[i].la, access->access, &sets[i]);
	}
	cpu->stats = stats;
	if (!pieces[0].canonical || (n == 2 && !pieces[1].canonical)) {
		o.event = access_non_canonical(access);
		if (sink->take(sink, &o))
			return;
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < sets[i].count; j++)
			if (sink_fault(sink, &sets[i].r[j], ve))
				return;
	o.event = (struct umbra_event){0};
	for (unsigned i = 0; i < sets[0].count; i++) {
		if (sets[0].r[i].event.kind != UMBRA_EVENT_NONE)
			continue;
		set_piece(&o, 0, &sets[0].r[i], &pieces[0]);
		if (n == 1) {
			if (sink->take(sink, &o))
				return;
			continue;
		}
		for (unsigned j = 0; j < sets[1].count; j++) {
			if (sets[1].r[j].event.kind != UMBRA_EVENT_NONE)
				continue;
			set_piece(&o, 1, &sets[1].r[j], &pieces[1]);
			if (sink->take(sink, &o))
				return;
		}
	}
}

static bool same_event(const struct model_outcome *legal, const struct model_outcome *seen)
{
	const struct umbra_event *a = &legal->event, *b = &seen->event;

	if (a->kind != b->kind || (a->code ^ b->code) & legal->code_defined)
		return false;
	switch (a->kind) {
	case UMBRA_EVENT_PF: return a->gva.v == b->gva.v;
	case UMBRA_EVENT_NPF:
		/* U-21: low bits of EXITINFO2 for table faults. */
		if (a->code & UMBRA_NPF_TABLE)
			return a->gpa.v >> 12 == b->gpa.v >> 12;
		return a->gpa.v == b->gpa.v;
	case UMBRA_EVENT_EPT_VIOLATION:
	case UMBRA_EVENT_VE:
		if (a->code & UMBRA_EPTQ_GVA && a->gva.v != b->gva.v)
			return false;
		return a->gpa.v == b->gpa.v;
	case UMBRA_EVENT_EPT_MISCONFIG: return a->gpa.v == b->gpa.v;
	default: return true;
	}
}

static bool same_outcome(const struct model_outcome *legal, const struct model_outcome *seen)
{
	if (!same_event(legal, seen) || legal->piece_count != seen->piece_count)
		return false;
	for (unsigned i = 0; i < legal->piece_count; i++)
		if ((legal->piece[i].gpa.v != seen->piece[i].gpa.v &&
		     seen->piece[i].gpa.v != MODEL_GPA_ANY) ||
		    legal->piece[i].hpa.v != seen->piece[i].hpa.v ||
		    legal->piece[i].size != seen->piece[i].size)
			return false;
	return true;
}

static bool take_store(struct sink *sink, const struct model_outcome *o)
{
	for (unsigned i = 0; i < sink->count && i < sink->max; i++)
		if (same_outcome(&sink->outcomes[i], o))
			return false;
	if (sink->count < sink->max)
		sink->outcomes[sink->count] = *o;
	sink->count++;
	return false;
}

static bool take_match(struct sink *sink, const struct model_outcome *o)
{
	sink->found = same_outcome(o, sink->seen);
	return sink->found;
}

unsigned model_legal(struct model_cpu *cpu, const struct model_access *access,
		     struct model_outcome *outcomes, unsigned max)
{
	struct sink sink = {.take = take_store, .outcomes = outcomes, .max = max};

	enumerate(cpu, access, &sink);
	return sink.count;
}

bool model_explains(struct model_cpu *cpu, const struct model_access *access,
		    const struct model_outcome *seen)
{
	struct sink sink = {.take = take_match, .seen = seen};

	enumerate(cpu, access, &sink);
	return sink.found;
}

bool model_does(struct model_cpu *cpu, const struct model_access *access, unsigned choices,
		const struct model_outcome *seen)
{
	const struct model_access same = {
		.gva = access->gva, .size = access->size, .access = access->access};
	const struct model_stats stats = cpu->stats;
	const unsigned usual = cpu->config.choices;
	const uint16_t index = cpu->state.pml_index;
	const bool hostile = cpu->hostile;
	struct model_outcome outcome;

	cpu->hostile = false;
	cpu->config.choices = choices;
	model_access(cpu, &same, &outcome);
	cpu->hostile = hostile;
	cpu->config.choices = usual;
	cpu->state.pml_index = index;
	cpu->stats = stats;
	return same_outcome(&outcome, seen);
}
