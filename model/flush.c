/* SPDX-License-Identifier: MIT */
/*
 * flush.c - what must be forgotten, and nothing else (H-112, H-123).
 *
 * Every operation is a selection of facts: by tag (VPID or ASID), PCID, whether
 * globals are meant, EPTRTA, and an address. The caches never forget by
 * themselves, so what a row of H-112 does not name survives here and may be
 * used by the next access: that is what makes hostile mode hostile.
 *
 * Vendors differ in which MOV CR flushes what; that is the table control_rules.
 */
#include "cpu.h"

struct selection {
	bool any_tag, but_tag_0; /* else .tag */
	uint16_t tag;
	bool any_pcid; /* else .pcid */
	uint16_t pcid;
	bool globals; /* global pages too, whatever their PCID */
	bool made_by_ept; /* only facts of some EPTRTA */
	bool only_ept; /* only facts of EPTRTA .ept */
	uint64_t ept;
};

static bool selected(const struct selection *s, const struct fact *f)
{
	if (s->any_tag ? s->but_tag_0 && !f->tags.tag : f->tags.tag != s->tag)
		return false;
	if (s->made_by_ept && !f->tags.ept)
		return false;
	if (s->only_ept && f->tags.ept != s->ept)
		return false;
	if (f->tags.global)
		return s->globals;
	return s->any_pcid || f->tags.pcid == s->pcid;
}

static void drop_selected(struct cache *c, const struct selection *s)
{
	for (uint32_t i = 0; c->live && i < c->used; i++)
		if (c->facts[i].live && selected(s, &c->facts[i]))
			cache_drop(c, &c->facts[i]);
}

/* Pages and tables of the guest. */
static void drop_linear(struct model_cpu *cpu, const struct selection *s)
{
	drop_selected(&cpu->cache[FACT_PAGE], s);
	drop_selected(&cpu->cache[FACT_TABLE], s);
}

static void drop_at(struct cache *c, const struct selection *s, uint64_t address)
{
	for (unsigned shift = 12; shift < 57; shift++) {
		struct fact *f = cache_first(c, address, shift);

		while (f) {
			struct fact *next = cache_next(c, f);

			if (selected(s, f))
				cache_drop(c, f);
			f = next;
		}
	}
}

/*
 * One invalidation anywhere in a large page removes all of its fragments, if the
 * tables map it as a large page now (H-114).
 */
static void drop_fragments(struct model_cpu *cpu, const struct selection *s, uint64_t la)
{
	struct cache *c = &cpu->cache[FACT_PAGE];
	unsigned shift = c->live ? translate_leaf_shift(cpu, la) : 0;

	if (shift <= 12)
		return;
	for (uint32_t i = 0; i < c->used; i++) {
		struct fact *f = &c->facts[i];

		/* INVLPG does not walk: what the second stage hides may be large still. */
		if (shift == TRANSLATE_HIDDEN ? f->whole_shift <= 12 : f->whole_shift != shift)
			continue;
		if (f->live && f->shift < f->whole_shift &&
		    (f->page << f->shift) >> f->whole_shift == la >> f->whole_shift &&
		    selected(s, f))
			cache_drop(c, f);
	}
}

static void drop_page(struct model_cpu *cpu, const struct selection *s, uint64_t la)
{
	/* Only the tables in use can tell: root software that invalidates an address of
	 * a guest removes what holds that address. */
	if (s->any_tag || s->tag == cpu->tags.tag)
		drop_fragments(cpu, s, la);
	drop_at(&cpu->cache[FACT_PAGE], s, la);
}

static struct selection current(const struct model_cpu *cpu)
{
	return (struct selection){.tag = cpu->tags.tag, .pcid = cpu->tags.pcid};
}

/* ---- MOV CR ---- */

enum scope {
	FORGET_NOTHING,
	FORGET_PCID, /* current PCID and globals */
	FORGET_ALL, /* all PCIDs and globals */
};

/* H-112. A few Intel rows are unsure (U-17); they take the scope that no careful
 * hypervisor can mind: PG 0->1 forgets, PKE 0->1 does not. */
static const uint8_t control_rules[][FLUSH_EVENTS] = {
	[UMBRA_VENDOR_INTEL] =
		{
			[FLUSH_PG_CLEARED] = FORGET_ALL,
			[FLUSH_PG_SET] = FORGET_ALL,
			[FLUSH_PGE] = FORGET_ALL,
			[FLUSH_PCIDE_CLEARED] = FORGET_ALL,
			[FLUSH_PAE] = FORGET_PCID,
			[FLUSH_SMEP_SET] = FORGET_PCID,
			[FLUSH_PSE] = FORGET_NOTHING,
			[FLUSH_PKE_SET] = FORGET_NOTHING,
		},
	[UMBRA_VENDOR_AMD] =
		{
			[FLUSH_PG_CLEARED] = FORGET_ALL,
			[FLUSH_PG_SET] = FORGET_ALL,
			[FLUSH_PGE] = FORGET_ALL,
			[FLUSH_PCIDE_CLEARED] = FORGET_ALL,
			[FLUSH_PAE] = FORGET_ALL,
			[FLUSH_SMEP_SET] = FORGET_NOTHING,
			[FLUSH_PSE] = FORGET_ALL,
			[FLUSH_PKE_SET] = FORGET_ALL,
		},
};

void flush_control(struct model_cpu *cpu, enum flush_event event)
{
	enum scope scope = control_rules[cpu->config.cpu.vendor][event];
	struct selection s = current(cpu);

	if (scope == FORGET_NOTHING)
		return;
	cpu->stats.flushes++;
	s.globals = true;
	s.any_pcid = scope == FORGET_ALL;
	drop_linear(cpu, &s);
}

void flush_pcid(struct model_cpu *cpu, uint16_t pcid)
{
	struct selection s = current(cpu);

	cpu->stats.flushes++;
	s.pcid = pcid;
	drop_linear(cpu, &s);
}

void flush_tag(struct model_cpu *cpu, uint16_t tag, bool globals, bool nested)
{
	struct selection s = {.tag = tag, .any_pcid = true, .globals = globals};

	cpu->stats.flushes++;
	drop_linear(cpu, &s);
	if (nested) {
		drop_selected(&cpu->cache[FACT_NESTED_PAGE], &s);
		drop_selected(&cpu->cache[FACT_NESTED_TABLE], &s);
	}
}

void flush_combined(struct model_cpu *cpu, uint16_t tag)
{
	struct selection s = {.tag = tag, .any_pcid = true, .globals = true, .made_by_ept = true};

	cpu->stats.flushes++;
	drop_linear(cpu, &s);
}

void model_flush_all(struct model_cpu *cpu)
{
	cpu->stats.flushes++;
	for (int i = 0; i < FACT_KINDS; i++)
		cache_drop_all(&cpu->cache[i]);
}

/* ---- faults ---- */

void flush_pf(struct model_cpu *cpu, uint64_t la)
{
	struct selection s = current(cpu);

	s.globals = true;
	drop_at(&cpu->cache[FACT_PAGE], &s, la);
	drop_at(&cpu->cache[FACT_TABLE], &s, la);
}

void flush_s2_fault(struct model_cpu *cpu, uint64_t gpa, bool final, uint64_t la)
{
	struct selection nested = {
		.tag = cpu->state.stage2 == MODEL_NPT ? cpu->state.tag : 0,
		.any_pcid = true,
		.only_ept = true,
		.ept = cpu->tags.ept,
	};
	struct selection s = current(cpu);

	drop_at(&cpu->cache[FACT_NESTED_PAGE], &nested, gpa);
	drop_at(&cpu->cache[FACT_NESTED_TABLE], &nested, gpa);
	/* NPT: a spurious #VMEXIT(NPF) happens once at most (H-120), so both kinds go. */
	if (final || cpu->state.stage2 == MODEL_NPT) {
		s.globals = true;
		s.only_ept = true;
		s.ept = cpu->tags.ept;
		drop_at(&cpu->cache[FACT_PAGE], &s, la);
		drop_at(&cpu->cache[FACT_TABLE], &s, la);
	}
}

/* ---- instructions ---- */

static bool canonical(const struct model_cpu *cpu, uint64_t la)
{
	unsigned width = cpu->state.regs.cr4 & UMBRA_CR4_LA57 ? 57 : 48;
	int64_t top = (int64_t)la >> (width - 1);

	return !(cpu->state.regs.efer & UMBRA_EFER_LMA) || top == 0 || top == -1;
}

void model_invlpg(struct model_cpu *cpu, umbra_gva gva)
{
	struct selection s = current(cpu);
	struct selection tables = current(cpu);

	cpu->stats.flushes++;
	if (!canonical(cpu, gva.v))
		return; /* H-6 */
	if (!(cpu->state.regs.efer & UMBRA_EFER_LMA))
		gva.v &= 0xffffffff;
	s.globals = true;
	drop_page(cpu, &s, gva.v);
	if (cpu->state.regs.efer & EFER_TCE)
		drop_at(&cpu->cache[FACT_TABLE], &tables, gva.v);
	else
		drop_selected(&cpu->cache[FACT_TABLE], &tables);
}

struct umbra_event model_invpcid(struct model_cpu *cpu, unsigned type, uint16_t pcid, umbra_gva gva)
{
	bool pcide = cpu->state.regs.cr4 & UMBRA_CR4_PCIDE;
	struct selection s = current(cpu);

	if (type > 3 || pcid > 0xfff || (type < 2 && pcid && !pcide) ||
	    (type == 0 && !canonical(cpu, gva.v)))
		return (struct umbra_event){.kind = UMBRA_EVENT_GP}; /* H-132 */
	cpu->stats.flushes++;
	s.pcid = pcid;
	s.any_pcid = type >= 2;
	s.globals = type == 2;
	if (type == 0) {
		drop_page(cpu, &s, gva.v);
		drop_at(&cpu->cache[FACT_TABLE], &s, gva.v);
	} else {
		drop_linear(cpu, &s);
	}
	return (struct umbra_event){0};
}

bool model_invept(struct model_cpu *cpu, unsigned type, uint64_t eptp)
{
	/* Linear mappings, made without EPT, are not meant (H-128). */
	struct selection s = {
		.any_tag = true, .any_pcid = true, .globals = true, .made_by_ept = true};

	if (type != 1 && type != 2)
		return false;
	if (type == 1 && !control_eptp_valid(&cpu->config.cpu, eptp))
		return false;
	cpu->stats.flushes++;
	s.only_ept = type == 1;
	s.ept = control_eptrta(eptp);
	for (int i = 0; i < FACT_KINDS; i++)
		drop_selected(&cpu->cache[i], &s);
	return true;
}

bool model_invvpid(struct model_cpu *cpu, unsigned type, uint16_t vpid, umbra_gva gva)
{
	struct selection s = {.tag = vpid, .any_pcid = true, .globals = type != 3};

	if (type > 3 || (type != 2 && !vpid))
		return false;
	if (type == 0 &&
	    (int64_t)(gva.v << (64 - cpu->max_linear_bits)) >> (64 - cpu->max_linear_bits) !=
		    (int64_t)gva.v)
		return false;
	cpu->stats.flushes++;
	if (type == 2)
		s.any_tag = s.but_tag_0 = true;
	if (type == 0) {
		drop_page(cpu, &s, gva.v);
		drop_at(&cpu->cache[FACT_TABLE], &s, gva.v);
	} else {
		drop_linear(cpu, &s);
	}
	return true;
}

void model_invlpga(struct model_cpu *cpu, umbra_gva gva, uint32_t asid)
{
	struct selection s = {.tag = (uint16_t)asid, .any_pcid = true, .globals = true};

	cpu->stats.flushes++;
	drop_page(cpu, &s, gva.v);
	drop_at(&cpu->cache[FACT_TABLE], &s, gva.v);
}
