/* SPDX-License-Identifier: MIT */
/*
 * random.c - the model against itself, on random machines.
 *
 * A strict and a hostile CPU share a memory in which entries of all levels and of
 * both stages change at random, mixed with accesses, MOV CR, VM entries and
 * invalidations. Before each access:
 *
 *	the outcome of the CPU that does it is in its own legal set,
 *	what is legal on the strict CPU is legal on the hostile one,
 *	after dropping every cached fact both sets are the same.
 *
 * The seed of a failing machine is printed; UMBRA_TEST_SEED runs just that one.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LEGAL_MAX 400
#define LA_COUNT 10
#define SLOT_MAX 256

struct slot {
	uint64_t at;
	uint64_t original;
	unsigned size;
	int level;
	bool nested, pdpte;
};

struct fuzz {
	struct machine m;
	struct model_cpu *strict;
	uint64_t random, seed;
	uint64_t la[LA_COUNT];
	struct slot slot[SLOT_MAX];
	unsigned slot_count;
};

static uint64_t rnd(struct fuzz *f, uint64_t below)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return (f->random * 0x2545f4914f6cdd1dull >> 20) % below;
}

static bool one_in(struct fuzz *f, unsigned n)
{
	return !rnd(f, n);
}

static void add_slot(struct fuzz *f, uint64_t at, unsigned size, int level, bool nested)
{
	for (unsigned i = 0; i < f->slot_count; i++)
		if (f->slot[i].at == at)
			return;
	if (f->slot_count == SLOT_MAX)
		return;
	f->slot[f->slot_count++] = (struct slot){
		.at = at,
		.original = machine_get(&f->m, at, size),
		.size = size,
		.level = level,
		.nested = nested,
		.pdpte = level == 3 && (nested ? f->m.host_paging : f->m.paging) == VEC_PAE,
	};
}

static void add_nested_path(struct fuzz *f, uint64_t gpa)
{
	const struct machine *m = &f->m;
	uint64_t table = (m->state.stage2 == MODEL_EPT ? m->state.eptp : m->state.ncr3) & ~0xfffull;
	unsigned size = vec_entry_size(m->host_paging);

	for (int i = vec_top(m->host_paging); i >= 1; i--) {
		uint64_t at = table + vec_entry_offset(m->host_paging, i, gpa);

		add_slot(f, at, size, i, true);
		table = machine_get(m, at, size) & 0x000ffffffffff000ull;
	}
}

static void build(struct fuzz *f)
{
	static const uint64_t shape[LA_COUNT] = {
		0,        0x1000,     0x2000,     0x200000,     0x201000,
		0x400000, 0x40000000, 0x80001000, 0x8000000000, 0x8000201000};
	struct machine *m = &f->m;
	bool amd = one_in(f, 2);
	enum vector_paging paging = (enum vector_paging)rnd(f, 5);
	bool wide = paging <= VEC_5LEVEL;
	uint64_t high = wide && one_in(f, 2) ? 0xffff800000000000ull : 0;

	machine_new(m, amd, paging);
	if (one_in(f, 2)) {
		m->config.cpu.features |= UMBRA_CPU_SHSTK;
		m->state.regs.cr4 |= UMBRA_CR4_CET;
	}
	if (one_in(f, 2))
		m->config.cpu.features |= UMBRA_CPU_EPT_EXECONLY | UMBRA_CPU_EPT_ADVINFO;
	if (one_in(f, 4))
		m->config.cpu.features &= ~(UMBRA_CPU_1G | UMBRA_CPU_EPT_1G);
	if (one_in(f, 3))
		m->config.cpu.maxphyaddr = (uint8_t)(36 + rnd(f, 17));
	if (amd && one_in(f, 2))
		m->config.cpu.features &= ~UMBRA_CPU_REWALK;
	for (unsigned i = 0; i < LA_COUNT; i++) {
		f->la[i] = shape[i] | high;
		if (!wide)
			f->la[i] = paging == VEC_UNPAGED ? i << 12 : (uint32_t)f->la[i];
		if (paging != VEC_UNPAGED)
			machine_map(m, f->la[i], 1, (0x4000 + 0x1000 * rnd(f, 8)) | 7);
	}
	if (one_in(f, 2) && amd) {
		machine_npt(m, (enum vector_paging)rnd(f, 4));
		m->state.gmet = one_in(f, 4);
		m->state.rogpt = one_in(f, 4);
		m->state.npt_sss = one_in(f, 4);
	} else if (one_in(f, 2) && !amd) {
		machine_ept(m);
		m->state.mbec = one_in(f, 3);
		m->state.eptp |= one_in(f, 2) ? 0x40 : 0;
		m->state.pml = one_in(f, 2);
		m->state.pml_address = 0xd000;
		m->state.pml_index = 511;
	}
	for (unsigned i = 0; i < LA_COUNT; i++)
		for (int level = vec_top(paging); level >= 1; level--)
			add_slot(f, machine_entry(m, f->la[i], level), vec_entry_size(paging),
				 level, false);
	if (m->state.stage2 != MODEL_NATIVE) {
		for (uint64_t gpa = 0x1000; gpa < 0xd000; gpa += 0x1000)
			add_nested_path(f, gpa);
		for (uint64_t gpa = 0x100000; gpa < m->next_table; gpa += 0x1000)
			add_nested_path(f, gpa);
	}
	m->config.choices = (unsigned)rnd(f, 8);
	m->config.seed = f->seed;
	machine_start(m, MODEL_STRICT);
	f->strict = m->cpu;
	m->cpu = NULL;
	machine_start(m, MODEL_HOSTILE);
}

static void mutate(struct fuzz *f)
{
	struct machine *m = &f->m;
	struct slot *s = &f->slot[rnd(f, f->slot_count)], *other;
	bool ept = s->nested && m->state.stage2 == MODEL_EPT;
	uint64_t e = machine_get(m, s->at, s->size);

	switch (rnd(f, 10)) {
	case 0:
	case 1:
	case 2:
	case 3: e = s->original; break;
	case 4: e = 0; break;
	case 5: /* flip a low bit */
	case 6:
		if (!s->pdpte || one_in(f, 8))
			e ^= 1ull << rnd(f, 12);
		break;
	case 7: /* any bit, seldom */
		if (one_in(f, 3))
			e ^= 1ull << rnd(f, s->size * 8);
		break;
	case 8: /* another frame, or another's table */
		if (s->level == 1 && !s->nested) {
			e = (e & ~0xff000ull) | (0x4000 + 0x1000 * rnd(f, 8));
			break;
		}
		other = &f->slot[rnd(f, f->slot_count)];
		if (other->level == s->level && other->nested == s->nested)
			e = other->original;
		break;
	case 9: /* rights */
		e = ept ? (e & ~7ull) | rnd(f, 8) : (e & ~6ull) | (s->pdpte ? 0 : 2 * rnd(f, 4));
		if (ept && one_in(f, 2))
			e ^= 1ull << 10;
		else if (!ept && s->size == 8 && !s->pdpte && one_in(f, 2))
			e ^= 1ull << 63;
		break;
	}
	machine_set(m, s->at, s->size, e);
}

/* Both CPUs do the same; they must agree whether it is allowed. */
static void control(struct fuzz *f)
{
	static const uint64_t toggles[] = {UMBRA_CR4_PGE,  UMBRA_CR4_PSE, UMBRA_CR4_SMEP,
					   UMBRA_CR4_SMAP, UMBRA_CR4_PKE, UMBRA_CR4_PKS,
					   UMBRA_CR4_PCIDE};
	struct model_cpu *cpu[2] = {f->strict, f->m.cpu};
	struct model_state s = *model_state_of(f->m.cpu);
	uint64_t a = rnd(f, 1u << 16), cr4 = s.regs.cr4 ^ toggles[rnd(f, 7)];
	unsigned op = (unsigned)rnd(f, 12), type = (unsigned)rnd(f, 4);
	uint16_t tag = (uint16_t)rnd(f, 3);
	umbra_gva gva = {f->la[rnd(f, LA_COUNT)]};
	enum umbra_event_kind kind[2] = {0};

	if (op == 11) {
		s.tag = tag;
		s.load_pdptes = one_in(f, 2);
		s.tlb_control = f->m.config.cpu.vendor == UMBRA_VENDOR_AMD && a & 1 ? 3 : 0;
		if (s.stage2 == MODEL_EPT && a & 2)
			s.eptp ^= 0x40;
		s.pml_index = (uint16_t)rnd(f, 12);
	}
	for (unsigned i = 0; i < 2; i++) {
		switch (op) {
		case 0: kind[i] = model_mov_cr0(cpu[i], s.regs.cr0 ^ UMBRA_CR0_WP).kind; break;
		case 1: kind[i] = model_mov_cr3(cpu[i], s.regs.cr3).kind; break;
		case 2:
			kind[i] = model_mov_cr3(cpu[i], (s.regs.cr3 & ~0xfffull) | a % 4 |
								(a & 8 ? 1ull << 63 : 0))
					  .kind;
			break;
		case 3:
		case 4: kind[i] = model_mov_cr4(cpu[i], cr4).kind; break;
		case 5: model_set_keys(cpu[i], (uint32_t)a & 3, (uint32_t)a >> 2 & 3); break;
		case 6:
		case 7: model_invlpg(cpu[i], gva); break;
		case 8: kind[i] = model_invpcid(cpu[i], type, (uint16_t)(a % 3), gva).kind; break;
		case 9:
			if (s.stage2 == MODEL_EPT)
				model_invept(cpu[i], 1 + type % 2, s.eptp);
			break;
		case 10:
			if (f->m.config.cpu.vendor == UMBRA_VENDOR_INTEL)
				model_invvpid(cpu[i], type, tag, gva);
			else
				model_invlpga(cpu[i], gva, tag);
			break;
		case 11: kind[i] = model_enter(cpu[i], &s).kind; break;
		}
	}
	/* A load of PDPTEs may differ: the hostile CPU's EPT mappings may be old. */
	if (f->m.paging != VEC_PAE) {
		assert_int_equal(kind[0], kind[1]);
		return;
	}
	s = *model_state_of(f->m.cpu);
	s.load_pdptes = false;
	s.tlb_control = 0;
	assert_int_equal(model_enter(f->strict, &s).kind, UMBRA_EVENT_NONE);
}

static bool same(const struct model_outcome *legal, const struct model_outcome *o)
{
	/* U-21: of a table fault only the page is sure. */
	unsigned exact =
		o->event.kind == UMBRA_EVENT_NPF && o->event.code & UMBRA_NPF_TABLE ? 12 : 0;

	if (legal->event.kind != o->event.kind || legal->piece_count != o->piece_count ||
	    (legal->event.code ^ o->event.code) & legal->code_defined ||
	    legal->event.gva.v != o->event.gva.v ||
	    legal->event.gpa.v >> exact != o->event.gpa.v >> exact)
		return false;
	for (unsigned i = 0; i < o->piece_count; i++)
		if (legal->piece[i].hpa.v != o->piece[i].hpa.v ||
		    legal->piece[i].gpa.v != o->piece[i].gpa.v ||
		    legal->piece[i].size != o->piece[i].size)
			return false;
	return true;
}

static bool contains(const struct model_outcome *set, unsigned count, const struct model_outcome *o)
{
	for (unsigned i = 0; i < count; i++)
		if (same(&set[i], o))
			return true;
	return false;
}

static void show(const struct fuzz *f, const char *what, const struct model_access *a,
		 const struct model_outcome *o)
{
	print_error("seed %lu: %s: gva %lx access %x: kind %d code %lx gva %lx gpa %lx hpa %lx\n",
		    f->seed, what, a->gva.v, a->access, o->event.kind, o->event.code,
		    o->event.gva.v, o->event.gpa.v, o->piece_count ? o->piece[0].hpa.v : 0);
}

static void do_access(struct fuzz *f)
{
	static const unsigned kinds[] = {0,
					 VEC_W,
					 VEC_X,
					 VEC_U,
					 VEC_U | VEC_W,
					 VEC_U | VEC_X,
					 VEC_AC,
					 VEC_IMPL | VEC_W,
					 VEC_U | VEC_SS,
					 VEC_U | VEC_SS | VEC_W,
					 VEC_SS};
	static struct model_outcome strict[LEGAL_MAX], hostile[LEGAL_MAX];
	bool cet = f->m.config.cpu.features & UMBRA_CPU_SHSTK;
	struct model_access a = {
		.gva.v = f->la[rnd(f, LA_COUNT)] + (one_in(f, 8) ? 0xffe : rnd(f, 0xff0)),
		.size = 4,
		.access = kinds[rnd(f, cet ? 11 : 8)],
	};
	bool on_strict = one_in(f, 6);
	bool a_matters = f->m.paging == VEC_PAE || f->m.host_paging == VEC_PAE || f->m.state.rogpt;
	struct model_cpu *cpu = on_strict ? f->strict : f->m.cpu;
	unsigned n_strict = model_legal(f->strict, &a, strict, LEGAL_MAX);
	unsigned n_hostile = model_legal(f->m.cpu, &a, hostile, LEGAL_MAX);
	struct model_outcome o;

	assert_in_range(n_strict, 1, LEGAL_MAX);
	assert_in_range(n_hostile, 1, LEGAL_MAX);
	/* Each CPU has a page-modification log of its own. */
	for (unsigned i = 0; i < n_strict && !f->m.state.pml; i++) {
		if (!contains(hostile, n_hostile, &strict[i]))
			show(f, "fresh walk not legal on the hostile CPU", &a, &strict[i]);
		assert_true(contains(hostile, n_hostile, &strict[i]));
	}
	if (one_in(f, 20)) {
		model_flush_all(f->m.cpu);
		n_hostile = model_legal(f->m.cpu, &a, hostile, LEGAL_MAX);
		if (!f->m.state.pml)
			assert_int_equal(n_hostile, n_strict);
	}
	model_access(cpu, &a, &o);
	/* The legal set does not see A bits that the access itself sets: they make a
	 * PDPTE reserved when its qword serves at a lower level too, and with ROGPT
	 * the second walk of a CPU that re-walks has fewer to set. Then the set of
	 * now counts. */
	if (!contains(on_strict ? strict : hostile, on_strict ? n_strict : n_hostile, &o) &&
	    !(a_matters && model_explains(cpu, &a, &o))) {
		show(f, on_strict ? "strict outcome not legal" : "hostile outcome not legal", &a,
		     &o);
		for (unsigned i = 0; i < (on_strict ? n_strict : n_hostile); i++)
			show(f, "legal", &a, on_strict ? &strict[i] : &hostile[i]);
		fail();
	}
}

static void run(uint64_t seed, unsigned steps)
{
	struct fuzz *f = calloc(1, sizeof(*f));

	f->seed = seed;
	f->random = seed * 0x9e3779b97f4a7c15ull | 1;
	for (int i = 0; i < 4; i++)
		rnd(f, 2);
	build(f);
	for (unsigned i = 0; i < steps; i++) {
		uint64_t op = rnd(f, 16);

		if (op < 3 && f->slot_count)
			mutate(f);
		else if (op == 3)
			control(f);
		else
			do_access(f);
	}
	model_cpu_free(f->strict);
	machine_free(&f->m);
	free(f);
}

static void random_machines(void **test_state)
{
	const char *scale = getenv("UMBRA_TEST_SCALE"), *seed = getenv("UMBRA_TEST_SEED");
	unsigned count = scale && !strcmp(scale, "small") ? 100 : 1000;

	(void)test_state;
	if (seed) {
		run(strtoull(seed, NULL, 0), 1000);
		return;
	}
	for (unsigned i = 1; i <= count; i++)
		run(i, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"random machines", random_machines},
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
