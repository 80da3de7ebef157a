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
 * Half of the machines have a third CPU, which follows the hostile one: it gathers
 * around each step and never acts. What the hostile CPU does must be in the set of the
 * follower, and a completed access in its cache; without its facts, or with those that
 * memory as it is now gives, only what is fresh may be. These machines also go from
 * the guest to the hypervisor and back, change roots, and write to tables by stores.
 *
 * The last test runs them on a CPU that forgets to invalidate: followers must notice.
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
	struct model_cpu *strict, *follower; /* follower: NULL unless followed */
	bool forgets; /* the hostile CPU skips what invalidates */
	bool caught; /* an outcome that the follower does not explain */
	bool in_guest;
	struct model_state guest; /* while the hypervisor runs */
	uint64_t other_root; /* a second root of the second stage, same tables below */
	unsigned stale; /* accesses that were not fresh */
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

static void build(struct fuzz *f, bool followed)
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
		m->state.paging_write = one_in(f, 3);
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
	/* Speculation goes to addresses that nobody gathers for. */
	if (followed)
		m->config.choices &= ~MODEL_SPECULATE;
	m->config.seed = f->seed;
	machine_start(m, MODEL_STRICT);
	f->strict = m->cpu;
	m->cpu = NULL;
	machine_start(m, MODEL_HOSTILE);
	f->in_guest = m->state.stage2 != MODEL_NATIVE;
	if (!followed)
		return;
	f->follower = model_cpu_new(m->mem, &m->config);
	m->state.load_pdptes = false;
	m->state.regs = model_state_of(m->cpu)->regs;
	assert_int_equal(model_enter(f->follower, &m->state).kind, UMBRA_EVENT_NONE);
	if (f->in_guest) {
		uint64_t root = m->state.stage2 == MODEL_EPT ? m->state.eptp : m->state.ncr3;

		f->other_root = m->next_nested;
		memcpy(m->ram + f->other_root, m->ram + (root & ~0xfffull), 4096);
		f->other_root ^= root & ~0xfffull;
	}
}

/* ---- following ---- */

static void gather(struct fuzz *f)
{
	for (unsigned i = 0; f->follower && i < LA_COUNT; i++) {
		model_gather(f->follower, (umbra_gva){f->la[i]}, NULL);
		model_gather(f->follower, (umbra_gva){f->la[i] + 0x1000}, NULL);
	}
}

/* The follower does what the hostile CPU did; a load of PDPTEs had this result. */
static void see_load(struct fuzz *f, struct model_load *load, const struct umbra_event *event)
{
	load->event = *event;
	memcpy(load->pdpte, model_state_of(f->m.cpu)->regs.pdpte, sizeof(load->pdpte));
	model_load_as(f->follower, load);
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
		if (ept && one_in(f, 4))
			e ^= 1ull << 58; /* paging-write access */
		else if (one_in(f, 3))
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

/* Both CPUs do the same; they must agree whether it is allowed. So does a follower. */
static void control(struct fuzz *f)
{
	static const uint64_t toggles[] = {UMBRA_CR4_PGE,  UMBRA_CR4_PSE, UMBRA_CR4_SMEP,
					   UMBRA_CR4_SMAP, UMBRA_CR4_PKE, UMBRA_CR4_PKS,
					   UMBRA_CR4_PCIDE};
	struct model_cpu *cpu[3] = {f->strict, f->m.cpu, f->follower};
	struct model_state s = *model_state_of(f->m.cpu);
	uint64_t a = rnd(f, 1u << 16), cr4 = s.regs.cr4 ^ toggles[rnd(f, 7)];
	bool leaves = f->follower && f->m.state.stage2 != MODEL_NATIVE;
	unsigned op = (unsigned)rnd(f, leaves ? 16 : 12), type = (unsigned)rnd(f, 4);
	uint16_t tag = (uint16_t)rnd(f, 3);
	umbra_gva gva = {f->la[rnd(f, LA_COUNT)]};
	struct umbra_event event[3] = {0};
	struct model_load load;

	if (op == 11) {
		s.tag = tag;
		s.load_pdptes = one_in(f, 2) && !f->follower;
		s.tlb_control = f->m.config.cpu.vendor == UMBRA_VENDOR_AMD && a & 1 ? 3 : 0;
		if (s.stage2 == MODEL_EPT && a & 2)
			s.eptp ^= 0x40;
		if (s.stage2 == MODEL_EPT && a & 4)
			s.eptp ^= f->other_root;
		if (s.stage2 == MODEL_NPT && a & 4)
			s.ncr3 ^= f->other_root;
		s.pml_index = (uint16_t)rnd(f, 12);
	}
	if (op >= 12 && f->in_guest) { /* to the hypervisor; it uses the guest's tables */
		f->guest = s;
		f->guest.load_pdptes = false;
		s = (struct model_state){.regs = s.regs, .long_code = s.long_code};
	} else if (op >= 12) {
		s = f->guest;
	}
	for (unsigned i = 0; i < (f->follower ? 3 : 2); i++) {
		bool forgets = i == 1 && f->forgets;
		struct model_state next = s;

		if (i == 2)
			see_load(f, &load, &event[1]);
		if (forgets && op >= 6 && op <= 10)
			continue;
		if (forgets)
			next.tlb_control = 0;
		switch (op) {
		case 0: event[i] = model_mov_cr0(cpu[i], s.regs.cr0 ^ UMBRA_CR0_WP); break;
		case 1: event[i] = model_mov_cr3(cpu[i], s.regs.cr3); break;
		case 2:
			event[i] = model_mov_cr3(cpu[i], (s.regs.cr3 & ~0xfffull) | a % 4 |
								 (a & 8 ? 1ull << 63 : 0));
			break;
		case 3:
		case 4: event[i] = model_mov_cr4(cpu[i], cr4); break;
		case 5: model_set_keys(cpu[i], (uint32_t)a & 3, (uint32_t)a >> 2 & 3); break;
		case 6:
		case 7: model_invlpg(cpu[i], gva); break;
		case 8: event[i] = model_invpcid(cpu[i], type, (uint16_t)(a % 3), gva); break;
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
		case 11: event[i] = model_enter(cpu[i], &next); break;
		default:
			event[i] = f->in_guest ? model_exit(cpu[i], &next)
					       : model_enter(cpu[i], &next);
			break;
		}
	}
	if (op >= 12 && event[1].kind == UMBRA_EVENT_NONE)
		f->in_guest = !f->in_guest;
	if (f->follower && !f->forgets) {
		assert_int_equal(event[2].kind, event[1].kind);
		assert_memory_equal(model_state_of(f->follower)->regs.pdpte,
				    model_state_of(f->m.cpu)->regs.pdpte, 32);
	}
	/* A load of PDPTEs may differ: the hostile CPU's EPT mappings may be old. */
	if (f->m.paging != VEC_PAE) {
		if (!f->forgets)
			assert_int_equal(event[0].kind, event[1].kind);
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

static struct model_outcome followed[LEGAL_MAX];

/* The follower has seen @o of the hostile CPU. */
static void follow(struct fuzz *f, const struct model_access *a, const struct model_outcome *o)
{
	gather(f); /* what it cached on the way stays, though where from is forgotten */
	if (o->event.kind == UMBRA_EVENT_PF)
		model_took_fault(f->follower, o->event.gva);
	else if (o->event.kind != UMBRA_EVENT_NONE)
		model_took_exit(f->follower, a, &o->event);
	model_set_pml_index(f->follower, model_state_of(f->m.cpu)->pml_index);
}

static void show(const struct fuzz *f, const char *what, const struct model_access *a,
		 const struct model_outcome *o)
{
	print_error("seed %lu: %s: gva %lx access %x: kind %d code %lx gva %lx gpa %lx hpa %lx\n",
		    f->seed, what, a->gva.v, a->access, o->event.kind, o->event.code,
		    o->event.gva.v, o->event.gpa.v, o->piece_count ? o->piece[0].hpa.v : 0);
}

/* A follower without facts, or with those of now, has nothing to say but what is fresh. */
static void only_fresh(struct fuzz *f, const struct model_access *a, unsigned n_strict)
{
	unsigned n;

	model_flush_all(f->follower);
	for (unsigned i = 0; i < 2; i++) {
		n = model_legal(f->follower, a, followed, LEGAL_MAX);
		/* With facts of NPT one path may meet an unsure point under both readings. */
		if (n != n_strict && !f->m.state.pml && !(i && f->m.state.stage2 == MODEL_NPT)) {
			for (unsigned k = 0; k < n; k++)
				show(f, "after dropping all facts", a, &followed[k]);
			assert_int_equal(n, n_strict);
		}
		gather(f);
	}
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
	unsigned n_followed = 0;
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
		if (f->follower)
			only_fresh(f, &a, n_strict);
	}
	if (f->follower)
		n_followed = model_legal(f->follower, &a, followed, LEGAL_MAX);
	assert_in_range(n_followed, 0, LEGAL_MAX);
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
	if (!f->follower)
		return;
	f->stale += !contains(strict, n_strict, &o);
	if (!contains(followed, n_followed, &o) && !(on_strict && f->m.state.pml) &&
	    !(a_matters && model_explains(f->follower, &a, &o))) {
		f->caught = true;
		if (f->forgets)
			return;
		show(f, "not explained by the follower", &a, &o);
		for (unsigned i = 0; i < n_followed; i++)
			show(f, "legal", &a, &followed[i]);
		fail();
	}
	if (!on_strict)
		follow(f, &a, &o);
	gather(f);
	if (o.event.kind == UMBRA_EVENT_NONE && !model_held(f->follower, &a, &o)) {
		f->caught = true;
		if (!f->forgets)
			show(f, "not held by the follower", &a, &o);
		assert_true(f->forgets);
	}
}

enum mode { ALONE, FOLLOWED, FORGETFUL };

/* Returns whether a follower had something to object to. */
static bool run(uint64_t seed, unsigned steps, enum mode mode)
{
	struct fuzz *f = calloc(1, sizeof(*f));
	bool caught;

	f->seed = seed;
	f->random = seed * 0x9e3779b97f4a7c15ull | 1;
	f->forgets = mode == FORGETFUL;
	for (int i = 0; i < 4; i++)
		rnd(f, 2);
	build(f, mode != ALONE);
	gather(f);
	for (unsigned i = 0; i < steps && !f->caught; i++) {
		uint64_t op = rnd(f, 16);

		if (op < 3 && f->slot_count)
			mutate(f);
		else if (op == 3)
			control(f);
		else
			do_access(f);
		gather(f);
	}
	caught = f->caught;
	model_cpu_free(f->strict);
	model_cpu_free(f->follower);
	machine_free(&f->m);
	free(f);
	return caught;
}

static unsigned run_all(enum mode mode, unsigned count, unsigned steps)
{
	const char *scale = getenv("UMBRA_TEST_SCALE"), *seed = getenv("UMBRA_TEST_SEED");
	unsigned caught = 0;

	if (seed)
		return run(strtoull(seed, NULL, 0), steps, mode);
	if (scale && !strcmp(scale, "small"))
		count /= 10;
	for (unsigned i = 1; i <= count; i++)
		caught += run(i, steps, mode);
	return caught;
}

static void random_machines(void **test_state)
{
	(void)test_state;
	run_all(ALONE, 1000, 1000);
}

static void followed_machines(void **test_state)
{
	(void)test_state;
	run_all(FOLLOWED, 500, 500);
}

static void forgetful_machines(void **test_state)
{
	unsigned caught = run_all(FORGETFUL, 200, 500);

	(void)test_state;
	print_message("# followers caught %u machines that forgot to invalidate\n", caught);
	if (!getenv("UMBRA_TEST_SEED"))
		assert_in_range(caught, getenv("UMBRA_TEST_SCALE") ? 1 : 20, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"random machines", random_machines},
		{"followed machines", followed_machines},
		{"followers of forgetful machines", forgetful_machines},
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
