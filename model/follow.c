/* SPDX-License-Identifier: MIT */
/*
 * follow.c - what a CPU could have cached by now, though it never acts.
 *
 * A follower's memory is that of another machine, whose outcomes it is asked to
 * explain. Its caches hold every fact that some CPU with its history could hold:
 * each call of model_gather() adds what speculation could have made of one page
 * since the last.
 *
 *	from the root, and from each cached table of the guest:
 *		entry -> place of the next table, by a fresh walk of the second
 *		stage and by each of its cached facts -> entry -> ... -> page
 *
 * Invariants: a fact is added only if the Accessed bits that a CPU would have set
 * first are set in memory (H-106), those of the second stage included, and its
 * Dirty bits where reading a guest's table counts as a write (H-81, H-92). So A
 * bits tell what cannot be cached. EPT without A/D has none: there whatever is
 * present and no misconfiguration counts as cached (H-110). Memory is not changed.
 */
#include "access.h"

#include <string.h>

#define PASSED_MAX 64

/* How much of a path some CPU may have gone by now. */
enum known {
	UNREACHED, /* nowhere: A or D of the second stage must be set first; for visitors */
	REACHED, /* by walks that ended in a fault: only guest-physical facts (H-60) */
	CACHED, /* A is set in all entries above */
};

/* A guest entry about to be read. */
struct place {
	int level;
	uint64_t table; /* GPA */
	uint64_t all, upper; /* AND of positive rights so far */
	enum known known;
	bool first; /* the path begins here: nothing above to remember */
};

struct passed {
	uint64_t hpa, all, upper;
	int level;
	enum known known;
};

struct gather {
	struct xlate x; /* a supervisor read; it meets no unsure point but U-9 */
	const struct model_visitor *visitor;
	unsigned passed_count;
	struct passed passed[PASSED_MAX];
};

static void gather_place(struct gather *g, const struct place *at, const struct s2 *table);

/* Was this entry met with as much known about it? What lies below is then done. */
static bool passed_before(struct gather *g, const struct place *at, uint64_t hpa)
{
	for (unsigned i = 0; i < g->passed_count; i++) {
		const struct passed *p = &g->passed[i];

		if (p->hpa == hpa && p->all == at->all && p->upper == at->upper &&
		    p->level == at->level && p->known >= at->known)
			return true;
	}
	if (g->passed_count < PASSED_MAX)
		g->passed[g->passed_count++] =
			(struct passed){hpa, at->all, at->upper, at->level, at->known};
	return false;
}

/* The entry above @at leads to the table at @table. */
static void remember_table(struct gather *g, const struct place *at, const struct s2 *table)
{
	struct model_cpu *cpu = g->x.cpu;
	unsigned shift = cpu->guest.level[at->level + 1].shift;
	struct fact f = {
		.tags = cpu->tags,
		.shift = (uint8_t)shift,
		.page = g->x.la >> shift,
		.gpa = at->table,
		.s2 = *table,
		.rights.all = at->all,
		.upper = at->upper,
	};

	f.s2.hpa &= ~0xfffull;
	cache_add(&cpu->cache[FACT_TABLE], &f);
}

/* Places of a GPA that a CPU may know on this path, or only a visitor. */
static unsigned places(struct gather *g, const struct s2_ask *q, enum known known,
		       struct s2_found *found)
{
	return stage2_gather(&g->x, q, known != UNREACHED, g->visitor, found);
}

static void gather_page(struct gather *g, const struct page_rights *r, uint64_t gpa, unsigned shift,
			enum known known)
{
	struct model_cpu *cpu = g->x.cpu;
	const struct s2_ask q = {.gpa = gpa, .use = S2_FINAL, .guest = r->all};
	const struct s2 identity = {.hpa = gpa, .rights = S2_ALL, .shift = 52, .dirty = true};
	struct s2_found found[S2_MAX];
	unsigned n;

	if (cpu->state.stage2 == MODEL_NATIVE) {
		if (known == CACHED)
			translate_remember(&g->x, r, gpa, &identity, shift);
		return;
	}
	n = places(g, &q, known, found);
	for (unsigned i = 0; i < n; i++)
		if (known == CACHED && found[i].cached)
			translate_remember(&g->x, r, gpa, &found[i].s2, shift);
}

/* The entry of @at is at @hpa. */
static void gather_entry(struct gather *g, const struct place *at, uint64_t gpa, uint64_t hpa)
{
	struct model_cpu *cpu = g->x.cpu;
	const struct paging *p = &cpu->guest;
	const struct paging_level *l = &p->level[at->level];
	enum entry_class class;
	struct place next = *at;
	uint64_t e, granted;

	if (passed_before(g, at, hpa))
		return;
	e = mem_entry(cpu->mem, &cpu->table_hint, hpa, p->entry_size);
	class = entry_classify(&g->x, p, at->level, e);
	if (g->visitor) {
		struct model_entry entry = {
			.at.v = hpa,
			.gpa.v = gpa,
			.size = p->entry_size,
			.level = (uint8_t)at->level,
			.valid = class >= ENTRY_LEAF,
			.leaf = class == ENTRY_LEAF,
		};

		g->visitor->entry(g->visitor->context, &entry);
	}
	if (class < ENTRY_LEAF)
		return;
	if (next.known == CACHED && l->accessed & ~e)
		next.known = REACHED;
	if (next.known != CACHED && cpu->state.stage2 == MODEL_NATIVE && !visits_all(g->visitor))
		return;
	granted = (e ^ p->inverted) | l->granted;
	next.all &= granted;
	if (class == ENTRY_LEAF) {
		const struct page_rights r = {
			.all = next.all,
			.upper_w = at->upper & PTE_W,
			.leaf_w = granted & PTE_W,
			.dirty = e & PTE_D,
			.key = p->entry_size == 8 ? e >> 59 & 15 : 0,
		};

		g->x.trail[0].value = e; /* for the G bit */
		gather_page(g, &r, paging_leaf_address(l, e) | (g->x.la & low_bits(l->shift)),
			    l->shift, next.known);
		return;
	}
	next.upper &= granted;
	next.level--;
	next.table = e & l->table_mask;
	next.first = false;
	gather_place(g, &next, NULL);
}

/* @table: where the table is, from a fact; NULL: ask the second stage. */
static void gather_place(struct gather *g, const struct place *at, const struct s2 *table)
{
	const struct model_cpu *cpu = g->x.cpu;
	const struct paging_level *l = &cpu->guest.level[at->level];
	const uint64_t gpa =
		at->table + (g->x.la >> l->shift & l->index_mask) * cpu->guest.entry_size;
	const struct s2_ask q = {.gpa = gpa, .use = S2_READ_ENTRY};
	struct s2_found found[S2_MAX];
	unsigned n = 1;

	if (table) {
		found[0] = (struct s2_found){.s2 = *table, .cached = true};
		found[0].s2.hpa |= gpa & 0xfff;
	} else if (cpu->state.stage2 == MODEL_NATIVE) {
		found[0].s2 = (struct s2){.hpa = gpa, .rights = S2_ALL, .shift = 52, .dirty = true};
		found[0].cached = true;
	} else {
		n = places(g, &q, at->known, found);
	}
	for (unsigned i = 0; i < n; i++) {
		struct place here = *at;

		if (!found[i].cached)
			here.known = UNREACHED;
		if (here.known == CACHED && !at->first)
			remember_table(g, &here, &found[i].s2);
		if (here.known != UNREACHED || visits_all(g->visitor))
			gather_entry(g, &here, gpa, found[i].s2.hpa);
	}
}

static void gather_from_root(struct gather *g)
{
	const struct model_cpu *cpu = g->x.cpu;
	const struct paging *p = &cpu->guest;
	struct place at = {.level = p->top,
			   .table = p->root,
			   .all = ~0ull,
			   .upper = ~0ull,
			   .known = CACHED,
			   .first = true};

	if (p->pdpte_registers) {
		uint64_t pdpte = cpu->state.regs.pdpte[g->x.la >> 30 & 3];

		if (!(pdpte & PTE_P))
			return;
		at.level = 2;
		at.table = pdpte & p->level[3].table_mask;
	}
	gather_place(g, &at, NULL);
}

/* From every table that an entry of @level may have led to. */
static void gather_from_facts(struct gather *g, int level)
{
	struct model_cpu *cpu = g->x.cpu;
	struct cache *c = &cpu->cache[FACT_TABLE];
	struct fact *f = cache_first(c, g->x.la, cpu->guest.level[level].shift);

	while (f) {
		const uint32_t index = (uint32_t)(f - c->facts);
		const struct fact copy = *f;
		const struct place at = {.level = level - 1,
					 .table = copy.gpa,
					 .all = copy.rights.all,
					 .upper = copy.upper,
					 .known = CACHED,
					 .first = true};

		if (fact_usable(&copy, &cpu->tags)) {
			gather_place(g, &at, &copy.s2);
			/* AMD: the table's place may be looked up again (H-109). */
			if (cpu->state.stage2 == MODEL_NPT)
				gather_place(g, &at, NULL);
		}
		f = cache_next(c, &c->facts[index]); /* facts may have moved */
	}
}

static void gather_gpa(struct gather *g, uint64_t gpa)
{
	const struct s2_ask q = {.gpa = gpa, .use = S2_LOAD_PDPTE};
	struct s2_found found[S2_MAX];

	places(g, &q, CACHED, found);
}

static void gather(struct model_cpu *cpu, uint64_t la, const struct model_visitor *visitor)
{
	static const struct page_rights everything = {
		.all = ~0ull, .upper_w = true, .leaf_w = true, .dirty = true};
	struct gather g;

	translate_start(&g.x, cpu, la, 0);
	g.x.unsure = UNSURE_PAGING_WRITE; /* the reading that reaches further */
	g.visitor = visitor;
	g.passed_count = 0;
	if (!cpu->guest.top) {
		g.x.trail[0].value = 0;
		gather_page(&g, &everything, la, 12, CACHED);
		return;
	}
	gather_from_root(&g);
	/* Downwards: what one level finds may be a start on the next. */
	for (int level = cpu->guest.top; level >= 2; level--)
		gather_from_facts(&g, level);
	/* The page of the PDPTEs, which the next MOV CR3 may find cached. */
	if (cpu->guest.pdpte_registers && cpu->state.stage2 != MODEL_NATIVE)
		gather_gpa(&g, cpu->guest.root);
}

/* ---- the interface ---- */

void model_gather(struct model_cpu *cpu, umbra_gva gva, const struct model_visitor *visitor)
{
	const struct model_access access = {.gva = gva, .size = 1};
	struct model_stats stats = cpu->stats;
	struct access_piece pieces[2];

	access_split(cpu, &access, pieces);
	if (pieces[0].canonical && cpu->hostile)
		gather(cpu, pieces[0].la, visitor);
	cpu->stats = stats;
}

void model_gather_gpa(struct model_cpu *cpu, umbra_gpa gpa, const struct model_visitor *visitor)
{
	struct model_stats stats = cpu->stats;
	struct gather g;

	if (cpu->state.stage2 == MODEL_NATIVE || !cpu->hostile)
		return;
	translate_start(&g.x, cpu, 0, 0);
	g.visitor = visitor;
	gather_gpa(&g, gpa.v);
	cpu->stats = stats;
}

void model_visit(struct model_cpu *cpu, const struct model_access *access,
		 const struct model_visitor *visitor)
{
	struct access_piece pieces[2];
	unsigned n = access_split(cpu, access, pieces);

	for (unsigned i = 0; i < n; i++)
		if (pieces[i].canonical)
			translate_visit(cpu, pieces[i].la, access->access, visitor);
}

bool model_held(struct model_cpu *cpu, const struct model_access *access,
		const struct model_outcome *seen)
{
	struct access_piece pieces[2];
	unsigned n = access_split(cpu, access, pieces);

	if (!cpu->guest.top && cpu->state.stage2 == MODEL_NATIVE)
		return true;
	for (unsigned i = 0; i < n; i++)
		if (!translate_held(cpu, pieces[i].la, access->access, &seen->piece[i]))
			return false;
	return true;
}

void model_took_fault(struct model_cpu *cpu, umbra_gva gva)
{
	flush_pf(cpu, gva.v);
}

void model_took_exit(struct model_cpu *cpu, const struct model_access *access,
		     const struct umbra_event *event)
{
	struct access_piece pieces[2];

	switch (event->kind) {
	case UMBRA_EVENT_EPT_VIOLATION:
	case UMBRA_EVENT_VE:
		flush_s2_fault(cpu, event->gpa.v, event->code & UMBRA_EPTQ_FINAL, event->gva.v);
		break;
	case UMBRA_EVENT_NPF:
		/* Of an access that crosses a page nobody says which half it was. */
		if (access && access_split(cpu, access, pieces) == 1)
			flush_s2_fault(cpu, event->gpa.v, true, pieces[0].la);
		break;
	default: break; /* H-112: nothing required */
	}
}

void model_set_pml_index(struct model_cpu *cpu, uint16_t index)
{
	cpu->state.pml_index = index;
}

void model_load_as(struct model_cpu *cpu, const struct model_load *seen)
{
	cpu->load_as = seen;
}
