/* SPDX-License-Identifier: MIT */
/*
 * follow.c - what a follower of a guest under EPT or NPT holds, and what not.
 *
 * A strict machine acts, or the test writes memory as if one had; the follower never
 * acts. LA is on X1, and mostly X1 is then moved to X2 or LA's page to another.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LA 0x0000000012345000ull
#define X1 0x5000ull
#define X2 0x6000ull
#define EPT_A 0x100ull
#define EPT_D 0x200ull

/* How A and D of the second stage are in memory when the follower looks. */
enum flags { NONE, A_EVERYWHERE, A_D_OF_TABLES, AND_D_OF_TABLES, AND_D_OF_PAGE };

static void gather(struct machine *m)
{
	model_gather(m->cpu, (umbra_gva){LA}, NULL);
}

static bool explains(struct machine *m, unsigned access, uint64_t frame)
{
	struct model_access a = {.gva.v = LA, .size = 4, .access = access};
	struct model_outcome o = {.piece_count = 1, .piece = {{{X1}, {frame}, 4}}};

	return model_explains(m->cpu, &a, &o);
}

static bool held(struct machine *m, unsigned access, uint64_t frame)
{
	struct model_access a = {.gva.v = LA, .size = 4, .access = access};
	struct model_outcome o = {.piece_count = 1, .piece = {{{X1}, {frame}, 4}}};

	return model_held(m->cpu, &a, &o);
}

/* OR @set into the entries of the second stage on the way to @gpa, above the leaf. */
static void flag_uppers(struct machine *m, uint64_t root, uint64_t gpa, uint64_t set)
{
	unsigned size = vec_entry_size(m->host_paging);
	uint64_t table = root & ~0xfffull;

	for (int i = vec_top(m->host_paging); i > 1; i--) {
		uint64_t at = table + vec_entry_offset(m->host_paging, i, gpa);

		machine_set(m, at, size, machine_get(m, at, size) | set);
		table = machine_get(m, at, size) & 0x000ffffffffff000ull;
	}
}

/* A guest whose own A and D are set; the second stage's as @flags says. */
static void start(struct machine *m, bool amd, bool ept_ad, enum flags flags)
{
	uint64_t a = amd ? 0x20 : EPT_A, d = amd ? 0x40 : EPT_D, root;

	machine_new(m, amd, VEC_4LEVEL);
	machine_map(m, LA, 1, X1 | 0x67);
	for (int level = 4; level > 1; level--) {
		uint64_t at = machine_entry(m, LA, level);

		machine_poke(m, at, machine_peek(m, at) | 0x20);
	}
	if (amd)
		machine_npt(m, VEC_4LEVEL);
	else
		machine_ept(m);
	root = amd ? m->state.ncr3 : m->state.eptp;
	if (ept_ad)
		m->state.eptp |= 0x40;
	for (int level = 4; level >= 0 && flags != NONE; level--) {
		uint64_t gpa = level ? machine_entry(m, LA, level) : X1;
		uint64_t leaf = machine_leaf_of(m, gpa);
		bool dirty = flags == AND_D_OF_PAGE || (level && flags >= A_D_OF_TABLES);

		if (flags == A_D_OF_TABLES && !level)
			break; /* nothing in the page's own leaf */

		machine_set(m, leaf, 8, machine_get(m, leaf, 8) | a | (dirty ? d : 0));
		flag_uppers(m, root, gpa, a);
	}
	machine_start(m, MODEL_HOSTILE);
}

static void move_page(struct machine *m)
{
	uint64_t leaf = machine_leaf_of(m, X1);

	machine_set(m, leaf, 8, (machine_get(m, leaf, 8) & 0xfff) | X2);
}

/* H-81, H-92, H-106: no fact without A, nor through a table page without D. */
static void flags_are_witnesses(void **test_state)
{
	(void)test_state;
	for (enum flags flags = NONE; flags <= AND_D_OF_PAGE; flags++) {
		for (int kind = 0; kind < 3; kind++) { /* EPT, EPT with A/D, NPT */
			bool stale = kind == 0 || flags >= AND_D_OF_TABLES;
			struct machine m;

			start(&m, kind == 2, kind == 1, flags);
			assert_true(explains(&m, 0, X1)); /* fresh */
			gather(&m);
			assert_int_equal(held(&m, 0, X1), stale);
			assert_int_equal(held(&m, VEC_W, X1), kind == 0 || flags == AND_D_OF_PAGE);
			assert_false(held(&m, 0, X2));
			move_page(&m);
			assert_true(explains(&m, 0, X2));
			assert_int_equal(explains(&m, 0, X1), stale);
			gather(&m);
			assert_int_equal(explains(&m, VEC_W, X1),
					 kind == 0 || flags == AND_D_OF_PAGE);
			machine_free(&m);
		}
	}
}

/* H-60: walks that stop at an entry make no guest's facts, but guest-physical ones. */
static void guest_flags(void **test_state)
{
	uint64_t pte, pde, leaf;
	struct machine m;

	(void)test_state;
	start(&m, false, false, NONE);
	pte = machine_entry(&m, LA, 1);
	pde = machine_entry(&m, LA, 2);
	machine_poke(&m, pde, (pte & ~0xfffull) | 7);
	gather(&m);
	assert_false(held(&m, 0, X1));
	machine_poke(&m, pte, 0x7007);
	assert_false(explains(&m, 0, X1));
	/* The place of the page table is known, whatever A in the guest says. */
	machine_poke(&m, pte, X1 | 0x67);
	memcpy(m.ram + 0x9000, m.ram + (pte & ~0xfffull), 4096);
	machine_set(&m, 0x9000 | (pte & 0xfff), 8, 0);
	leaf = machine_leaf_of(&m, pte);
	machine_set(&m, leaf, 8, 0x9037);
	assert_true(explains(&m, 0, X1));
	model_invept(m.cpu, 2, 0);
	assert_false(explains(&m, 0, X1));
	machine_free(&m);
}

/* What a follower forgets, the machine must not use: INVEPT, TLB_CONTROL, ASIDs, VPIDs. */
static void forgetting(void **test_state)
{
	(void)test_state;
	for (int way = 0; way < 8; way++) {
		bool amd = way >= 4, gone = way != 1 && way != 3 && way != 4 && way != 7;
		struct machine m;

		start(&m, amd, false, AND_D_OF_PAGE);
		gather(&m);
		move_page(&m);
		switch (way) {
		case 0: model_invept(m.cpu, 1, m.state.eptp); break;
		case 1: model_invept(m.cpu, 1, m.state.eptp ^ 0x100000); break;
		case 2: model_invept(m.cpu, 2, 0); break;
		case 3: model_invvpid(m.cpu, 2, 0, (umbra_gva){0}); break;
		case 4: break;
		case 5: m.state.tlb_control = 3; break;
		case 6: m.state.tag = 2; break;
		case 7: model_invlpga(m.cpu, (umbra_gva){LA}, 1); break;
		}
		if (amd)
			machine_enter(&m);
		gather(&m);
		assert_int_equal(explains(&m, 0, X1), !gone);
		machine_free(&m);
	}
}

/* H-120, H-123: a refusal that memory no longer has, once. */
static void spurious_once(void **test_state)
{
	(void)test_state;
	for (int amd = 0; amd < 2; amd++) {
		struct model_access a = {.gva.v = LA, .size = 4, .access = VEC_W};
		struct model_outcome o = {
			.event = {.kind = amd ? UMBRA_EVENT_NPF : UMBRA_EVENT_EPT_VIOLATION,
				  .code = amd ? UMBRA_NPF_FINAL | 7 : 0x1aa,
				  .gva.v = amd ? 0 : LA,
				  .gpa.v = X1},
			.code_defined = ~0ull};
		struct machine m;
		uint64_t leaf;

		start(&m, amd, false, AND_D_OF_PAGE);
		leaf = machine_leaf_of(&m, X1);
		machine_set(&m, leaf, 8, X1 | (amd ? 0x65 : 0x35));
		gather(&m);
		machine_set(&m, leaf, 8, X1 | (amd ? 0x67 : 0x37));
		assert_true(model_explains(m.cpu, &a, &o));
		assert_true(explains(&m, VEC_W, X1));
		gather(&m);
		model_took_exit(m.cpu, &a, &o.event);
		gather(&m);
		assert_false(model_explains(m.cpu, &a, &o));
		assert_true(explains(&m, VEC_W, X1));
		machine_free(&m);
	}
}

/* A fault of the guest makes it forget what INVLPG would, and nothing guest-physical. */
static void guest_fault(void **test_state)
{
	struct machine m;

	(void)test_state;
	start(&m, false, false, AND_D_OF_PAGE);
	gather(&m);
	machine_poke(&m, machine_entry(&m, LA, 1), 0);
	assert_true(explains(&m, 0, X1));
	gather(&m);
	model_took_fault(m.cpu, (umbra_gva){LA});
	gather(&m);
	assert_false(explains(&m, 0, X1));
	machine_poke(&m, machine_entry(&m, LA, 1), X1 | 0x67);
	move_page(&m);
	assert_true(explains(&m, 0, X1));
	machine_free(&m);
}

/* H-108: the guest's facts and the hypervisor's are apart; both wait for their turn. */
static void both_worlds(void **test_state)
{
	struct model_state host;
	struct machine m;

	(void)test_state;
	start(&m, false, false, AND_D_OF_PAGE);
	host = m.state;
	host.stage2 = MODEL_NATIVE; /* on the guest's tables, natively */
	host.tag = 0;
	gather(&m);
	move_page(&m);
	assert_int_equal(model_exit(m.cpu, &host).kind, UMBRA_EVENT_NONE);
	assert_false(explains(&m, 0, X2));
	assert_true(explains(&m, 0, X1)); /* natively GPA = HPA */
	gather(&m);
	machine_poke(&m, machine_entry(&m, LA, 1), X2 | 0x67);
	assert_true(explains(&m, 0, X1));
	machine_enter(&m);
	machine_poke(&m, machine_entry(&m, LA, 1), X1 | 0x67);
	assert_true(explains(&m, 0, X1)); /* the EPT's old frame */
	assert_true(explains(&m, 0, X2));
	machine_free(&m);
}

struct seen {
	unsigned guest, nested, guest_d, nested_d, other;
};

static void count(void *context, const struct model_entry *e)
{
	struct seen *seen = context;

	assert_true(e->valid);
	if (e->nested)
		seen->nested++;
	else
		seen->guest++;
	if (e->nested && e->may_set & EPT_D)
		seen->nested_d++;
	if (!e->nested && e->may_set & 0x40)
		seen->guest_d++;
	if (e->may_set & ~(e->nested ? EPT_A | EPT_D : 0x60))
		seen->other++;
}

/* Which entries an access may read, and which flags it may set. */
static void visits(void **test_state)
{
	(void)test_state;
	for (unsigned write = 0; write < 2; write++) {
		struct model_access a = {.gva.v = LA, .size = 4, .access = write ? VEC_W : VEC_R};
		struct seen seen = {0};
		const struct model_visitor visitor = {&seen, count};
		struct machine m;

		start(&m, false, true, NONE);
		model_visit(m.cpu, &a, &visitor);
		assert_int_equal(seen.guest, 4);
		assert_int_equal(seen.guest_d, write);
		assert_int_equal(seen.nested, 5 * 4);
		assert_int_equal(seen.nested_d, 4 + write); /* H-81: tables are written */
		assert_int_equal(seen.other, 0);
		memset(&seen, 0, sizeof(seen));
		model_gather(m.cpu, (umbra_gva){LA}, &visitor);
		assert_int_equal(seen.guest, 4);
		assert_int_equal(seen.nested, 5 * 4);
		machine_free(&m);
	}
}

/* H-78: the other machine's loads of PDPTEs, through an old mapping or the new one. */
static void loads(void **test_state)
{
	struct model_load load = {.pdpte = {1 | 0x20000, 0, 0, 0}};
	struct machine m;
	uint64_t root;

	(void)test_state;
	machine_new(&m, false, VEC_PAE);
	root = m.state.regs.cr3;
	machine_set(&m, root, 8, 0x20001);
	machine_ept(&m);
	machine_start(&m, MODEL_HOSTILE);
	model_load_as(m.cpu, &load);
	model_gather(m.cpu, (umbra_gva){0}, NULL);
	machine_set(&m, machine_leaf_of(&m, root), 8, 0xa037);
	machine_set(&m, 0xa000, 8, 0x30001);
	assert_int_equal(model_mov_cr3(m.cpu, root).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_state_of(m.cpu)->regs.pdpte[0], 0x20001);
	load.pdpte[0] = 0x30001;
	assert_int_equal(model_mov_cr3(m.cpu, root).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_state_of(m.cpu)->regs.pdpte[0], 0x30001);
	model_invept(m.cpu, 2, 0);
	load.pdpte[0] = 0x20001; /* no longer */
	assert_int_equal(model_mov_cr3(m.cpu, root).kind, UMBRA_EVENT_NONE);
	assert_int_not_equal(model_state_of(m.cpu)->regs.pdpte[0], 0x20001);
	machine_set(&m, machine_leaf_of(&m, root), 8, 0);
	load.event =
		(struct umbra_event){.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 1, .gpa.v = root};
	assert_int_equal(model_mov_cr3(m.cpu, root).kind, UMBRA_EVENT_EPT_VIOLATION);
	load.event.kind = UMBRA_EVENT_NONE;
	assert_int_equal(model_mov_cr3(m.cpu, root).kind, UMBRA_EVENT_EPT_VIOLATION);
	machine_free(&m);
}

/* H-82: the log's index is the other machine's. */
static void log_index(void **test_state)
{
	struct model_access a = {.gva.v = LA, .size = 4, .access = VEC_W};
	struct model_outcome full = {.event.kind = UMBRA_EVENT_PML_FULL, .code_defined = ~0ull};
	struct machine m;

	(void)test_state;
	start(&m, false, true, NONE);
	m.state.pml = true;
	m.state.pml_address = 0xd000;
	m.state.pml_index = 511;
	machine_enter(&m);
	assert_false(model_explains(m.cpu, &a, &full));
	model_set_pml_index(m.cpu, 0xffff);
	assert_true(model_explains(m.cpu, &a, &full));
	assert_false(explains(&m, VEC_W, X1));
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"H-106 A and D bear witness", flags_are_witnesses},
		{"H-60 A bits of the guest", guest_flags},
		{"H-112 what is forgotten", forgetting},
		{"H-123 spurious exits", spurious_once},
		{"H-112 a fault of the guest", guest_fault},
		{"H-108 guest and hypervisor", both_worlds},
		{"visits", visits},
		{"H-78 loads of PDPTEs", loads},
		{"H-82 index of the log", log_index},
	};

	return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
