/* SPDX-License-Identifier: MIT */
/*
 * caching.c - T-90..T-120: what a CPU may still believe, and what makes it forget.
 *
 * Each test does an access so that the hostile CPU caches it, changes memory, and
 * states the complete legal set (EXPECT_LEGAL). Where staleness is allowed the
 * hostile CPU must show the stale result; after the invalidation named, the new.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LA 0x0000112233445000ull
#define LA2 (LA + 0x3000)
#define X1 0x5000ull
#define X2 0x6000ull
#define X3 0x7000ull

/* A hostile machine with one 4K leaf at LA. */
static uint64_t one_page(struct machine *m, bool amd, uint64_t entry)
{
	uint64_t at;

	machine_new(m, amd, VEC_4LEVEL);
	at = machine_map(m, LA, 1, entry);
	machine_start(m, MODEL_HOSTILE);
	return at;
}

static void expect(struct machine *m, uint64_t gva, unsigned access, uint64_t want)
{
	assert_int_equal(machine_try(m, gva, access), want);
}

static void invlpg(struct machine *m, uint64_t gva)
{
	model_invlpg(m->cpu, (umbra_gva){gva});
}

static void t90_frame(void **test_state)
{
	struct machine m;

	(void)test_state;
	for (int amd = 0; amd < 2; amd++) {
		uint64_t pte = one_page(&m, amd, X1 | 7);

		expect(&m, LA, 0, R_OK(X1));
		machine_poke(&m, pte, X2 | 7);
		EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
		expect(&m, LA, 0, R_OK(X1));
		invlpg(&m, LA);
		EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
		expect(&m, LA, 0, R_OK(X2));
		machine_free(&m);
	}
}

static void t91_no_negative_caching(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, 0);

	(void)test_state;
	expect(&m, LA, 0, R_PF(0));
	machine_poke(&m, pte, X1 | 7);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1));
	machine_free(&m);
}

static void t92_unmap(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, X1 | 5);

	(void)test_state;
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, pte, 0);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_PF(0));
	expect(&m, LA, 0, R_OK(X1));
	expect(&m, LA, VEC_W, R_PF(3)); /* from the cached view, P=1 */
	EXPECT_LEGAL(&m, LA, 0, R_PF(0));
	machine_poke(&m, pte, X2 | 5);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	machine_free(&m);
}

static void t93_spurious_fault(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, X1 | 5);

	(void)test_state;
	expect(&m, LA, VEC_U, R_OK(X1));
	machine_poke(&m, pte, X1 | 7);
	EXPECT_LEGAL(&m, LA, VEC_U | VEC_W, R_OK(X1), R_PF(7));
	expect(&m, LA, VEC_U | VEC_W, R_PF(7));
	EXPECT_LEGAL(&m, LA, VEC_U | VEC_W, R_OK(X1)); /* once */
	expect(&m, LA, VEC_U | VEC_W, R_OK(X1));
	machine_free(&m);

	pte = one_page(&m, true, X1 | 5);
	expect(&m, LA, VEC_U, R_OK(X1));
	machine_poke(&m, pte, X1 | 7);
	EXPECT_LEGAL(&m, LA, VEC_U | VEC_W, R_OK(X1)); /* AMD re-walks */
	expect(&m, LA, VEC_U | VEC_W, R_OK(X1));
	machine_free(&m);
}

static void t94_write_protect(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, X1 | 7);

	(void)test_state;
	expect(&m, LA, VEC_U | VEC_W, R_OK(X1));
	machine_poke(&m, pte, X1 | 5);
	EXPECT_LEGAL(&m, LA, VEC_U | VEC_W, R_OK(X1), R_PF(7));
	expect(&m, LA, VEC_U | VEC_W, R_OK(X1));
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, LA, VEC_U | VEC_W, R_PF(7));
	machine_free(&m);
}

static void t95_dirty_cleared(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, X1 | 7);

	(void)test_state;
	expect(&m, LA, VEC_W, R_OK(X1));
	machine_poke(&m, pte, X1 | 0x27);
	EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1));
	expect(&m, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_peek(&m, pte), X1 | 0x27); /* not even read */
	invlpg(&m, LA);
	expect(&m, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_peek(&m, pte), X1 | 0x67);
	/* T-96 */
	machine_poke(&m, pte, X1 | 7);
	expect(&m, LA, 0, R_OK(X1));
	assert_int_equal(machine_peek(&m, pte), X1 | 7);
	machine_free(&m);
}

static void t97_dirty_of_absent(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, X1 | 7);

	(void)test_state;
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, pte, 0);
	EXPECT_LEGAL(&m, LA, VEC_U | VEC_W, R_PF(6));
	expect(&m, LA, VEC_U | VEC_W, R_PF(6));
	assert_int_equal(machine_peek(&m, pte), 0);
	machine_free(&m);

	/* T-98: the entry is present again, elsewhere; U-16 allows the old frame. */
	pte = one_page(&m, false, X1 | 7);
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, pte, X2 | 7);
	EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1), R_OK(X2));
	machine_access(&m, LA, VEC_W);
	assert_int_equal(machine_peek(&m, pte), X2 | 0x67);
	machine_free(&m);
}

/* Machine for T-99: LA and LA2 through table T1, then the PDE points to T2. */
static uint64_t repoint(struct machine *m, bool amd)
{
	uint64_t pte = one_page(m, amd, X1 | 7);
	uint64_t pde = machine_entry(m, LA, 2);
	uint64_t t2 = m->next_table;

	machine_map(m, LA2, 1, 0x8007);
	if (amd) {
		m->state.regs.efer |= 1ull << 15; /* TCE */
		machine_enter(m);
	}
	expect(m, LA, 0, R_OK(X1));
	machine_set(m, t2 | (pte & 0xfff), 8, X2 | 7);
	machine_set(m, t2 | (machine_entry(m, LA2, 1) & 0xfff), 8, 0x9007);
	machine_poke(m, pde, t2 | 7);
	machine_set(m, pte, 8, X3 | 7); /* old table, present contents */
	return pte;
}

static void t99_repointed(void **test_state)
{
	struct machine m;

	(void)test_state;
	repoint(&m, false);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2), R_OK(X3));
	EXPECT_LEGAL(&m, LA2, 0, R_OK(0x8000), R_OK(0x9000));
	expect(&m, LA2, 0, R_OK(0x8000));
	invlpg(&m, 0x1000);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	EXPECT_LEGAL(&m, LA2, 0, R_OK(0x8000), R_OK(0x9000));
	invlpg(&m, LA2);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	EXPECT_LEGAL(&m, LA2, 0, R_OK(0x9000));
	machine_free(&m);

	repoint(&m, true); /* TCE: only tables on the path to the operand */
	invlpg(&m, 0x1000);
	EXPECT_LEGAL(&m, LA2, 0, R_OK(0x8000), R_OK(0x9000));
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, LA2, 0, R_OK(0x9000));
	machine_free(&m);
}

enum t100_op { T100_CR3, T100_INVLPG, T100_PGE, T100_INVPCID3, T100_INVPCID2 };

static void t100_global(void **test_state)
{
	(void)test_state;
	for (enum t100_op op = T100_CR3; op <= T100_INVPCID2; op++) {
		struct machine m;
		uint64_t pte = one_page(&m, false, X1 | 0x107);

		expect(&m, LA, 0, R_OK(X1));
		machine_poke(&m, pte, X2 | 0x107);
		switch (op) {
		case T100_CR3: model_mov_cr3(m.cpu, m.state.regs.cr3); break;
		case T100_INVLPG: invlpg(&m, LA); break;
		case T100_PGE: model_mov_cr4(m.cpu, m.state.regs.cr4 ^ UMBRA_CR4_PGE); break;
		case T100_INVPCID3: model_invpcid(m.cpu, 3, 0, (umbra_gva){0}); break;
		case T100_INVPCID2: model_invpcid(m.cpu, 2, 0, (umbra_gva){0}); break;
		}
		if (op == T100_CR3 || op == T100_INVPCID3)
			EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
		else
			EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
		machine_free(&m);
	}
}

static void t101_pcid(void **test_state)
{
	(void)test_state;
	for (int way = 0; way < 3; way++) {
		struct machine m;
		uint64_t pte = one_page(&m, false, X1 | 7), cr3 = m.state.regs.cr3;

		assert_int_equal(model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_PCIDE).kind,
				 UMBRA_EVENT_NONE);
		model_mov_cr3(m.cpu, cr3 | 1);
		expect(&m, LA, 0, R_OK(X1));
		model_mov_cr3(m.cpu, 1ull << 63 | cr3 | 2);
		machine_poke(&m, pte, X2 | 7);
		EXPECT_LEGAL(&m, LA, 0, R_OK(X2)); /* nothing under PCID 2 yet */
		invlpg(&m, LA);
		if (way == 2)
			model_invpcid(m.cpu, 0, 1, (umbra_gva){LA});
		model_mov_cr3(m.cpu, (way == 1 ? 0 : 1ull << 63) | cr3 | 1);
		if (way == 0)
			EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
		else
			EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
		machine_free(&m);
	}
}

static void t102_immediate(void **test_state)
{
	struct machine m;

	(void)test_state;
	one_page(&m, false, X1 | 5);
	expect(&m, LA, 0, R_OK(X1));
	model_mov_cr0(m.cpu, m.state.regs.cr0 & ~UMBRA_CR0_WP);
	EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1));
	model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_SMAP);
	EXPECT_LEGAL(&m, LA, 0, R_PF(1));
	model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_PKE);
	expect(&m, LA, 0, R_OK(X1));
	model_set_keys(m.cpu, 1, 0);
	EXPECT_LEGAL(&m, LA, VEC_U, R_PF(0x25));
	model_set_keys(m.cpu, 0, 0);
	EXPECT_LEGAL(&m, LA, VEC_U, R_OK(X1));
	model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_SMEP);
	EXPECT_LEGAL(&m, LA, VEC_X, R_PF(0x11));
	machine_free(&m);
}

static void t103_split(void **test_state)
{
	const uint64_t base = LA & ~0x1fffffull, frame = 0x400000;
	uint64_t k = (LA & 0x1fffff) >> 12, table;
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, LA, 2, frame | 0x87);
	machine_start(&m, MODEL_HOSTILE);
	expect(&m, LA, 0, R_OK(frame + k * 4096));
	expect(&m, base, 0, R_OK(frame));
	table = m.next_table;
	for (uint64_t i = 0; i < 512; i++)
		machine_set(&m, table + 8 * i, 8, (frame + i * 4096) | 7);
	machine_poke(&m, machine_entry(&m, LA, 2), table | 7);
	EXPECT_LEGAL(&m, LA, 0, R_OK(frame + k * 4096));
	machine_set(&m, table + 8 * k, 8, X2 | 7);
	EXPECT_LEGAL(&m, LA, 0, R_OK(frame + k * 4096), R_OK(X2));
	expect(&m, LA, 0, R_OK(frame + k * 4096));
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	/* The fragment at another address survives, for the page is small now (H-114). */
	machine_set(&m, table, 8, X3 | 7);
	EXPECT_LEGAL(&m, base, 0, R_OK(frame), R_OK(X3));
	machine_free(&m);

	/* Still a large page: one INVLPG removes every fragment. */
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, LA, 2, frame | 0x87);
	machine_start(&m, MODEL_HOSTILE);
	expect(&m, base, 0, R_OK(frame));
	machine_poke(&m, machine_entry(&m, LA, 2), 0x200000 | 0x87);
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, base, 0, R_OK(0x200000));
	machine_free(&m);
}

/* EPT machine; LA -> GPA X1, written once; returns the EPT leaf of X1. */
static uint64_t ept_page(struct machine *m, uint64_t leaf)
{
	uint64_t at;

	machine_new(m, false, VEC_4LEVEL);
	machine_map(m, LA, 1, X1 | 7);
	machine_ept(m);
	at = machine_leaf_of(m, X1);
	machine_set(m, at, 8, leaf);
	machine_start(m, MODEL_HOSTILE);
	return at;
}

static void t104_ept_protect(void **test_state)
{
	const uint64_t denied = R_EXIT(0x1aa);

	(void)test_state;
	for (int way = 0; way < 6; way++) {
		struct machine m;
		uint64_t leaf = ept_page(&m, X1 | 0x37);

		if (way == 5) { /* VPID 0: entry flushes combined mappings only */
			m.state.tag = 0;
			machine_enter(&m);
		}
		expect(&m, LA, VEC_W, R_OK(X1));
		machine_set(&m, leaf, 8, X1 | 0x35);
		EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1), denied);
		expect(&m, LA, VEC_W, R_OK(X1));
		switch (way) {
		case 0: assert_true(model_invept(m.cpu, 1, m.state.eptp)); break;
		case 1: assert_true(model_invept(m.cpu, 2, 0)); break;
		case 2: model_mov_cr3(m.cpu, m.state.regs.cr3); break;
		case 3: invlpg(&m, LA); break;
		case 4: assert_true(model_invvpid(m.cpu, 1, 1, (umbra_gva){0})); break;
		case 5: machine_enter(&m); break;
		}
		if (way < 2) {
			EXPECT_LEGAL(&m, LA, VEC_W, denied);
		} else {
			EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1), denied);
			expect(&m, LA, VEC_W, R_OK(X1));
		}
		machine_free(&m);
	}
}

static void t105_ept_permit(void **test_state)
{
	struct machine m;
	uint64_t leaf = ept_page(&m, X1 | 0x35);

	(void)test_state;
	expect(&m, LA, 0, R_OK(X1));
	machine_set(&m, leaf, 8, X1 | 0x37);
	EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1), R_EXIT(0x1aa));
	expect(&m, LA, VEC_W, R_EXIT(0x1aa));
	EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1)); /* once */
	machine_free(&m);
}

static void t106_ept_no_negative(void **test_state)
{
	struct machine m;
	uint64_t leaf = ept_page(&m, 0);

	(void)test_state;
	expect(&m, LA, 0, R_EXIT(0x181));
	machine_set(&m, leaf, 8, X1 | 0x32);
	expect(&m, LA, 0, R_MISCONFIG);
	machine_set(&m, leaf, 8, X1 | 0x37);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1));
	machine_free(&m);
}

static void t107_guest_invlpg(void **test_state)
{
	struct machine m;
	uint64_t leaf = ept_page(&m, X1 | 0x37);

	(void)test_state;
	(void)leaf;
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, machine_entry(&m, LA, 1), X2 | 7);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	machine_free(&m);
}

static void t108_tags(void **test_state)
{
	struct machine m;
	uint64_t first, second;

	(void)test_state;
	ept_page(&m, X1 | 0x37);
	first = m.state.eptp;
	expect(&m, LA, 0, R_OK(X1));
	machine_ept(&m); /* another root, same VPID */
	second = m.state.eptp;
	machine_set(&m, machine_leaf_of(&m, X1), 8, X2 | 0x37);
	machine_enter(&m);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	expect(&m, LA, 0, R_OK(X2));
	m.state.eptp = first;
	machine_enter(&m);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1));
	assert_true(model_invept(m.cpu, 1, second));
	machine_free(&m);

	/* Without EPT, same VPID, other CR3: the other's mappings may be used. */
	one_page(&m, false, X1 | 7);
	m.state.tag = 1;
	machine_enter(&m);
	expect(&m, LA, 0, R_OK(X1));
	m.state.regs.cr3 = m.next_table;
	m.next_table += 0x1000;
	machine_map(&m, LA, 1, X2 | 7);
	machine_enter(&m);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	expect(&m, LA, 0, R_OK(X1));
	machine_free(&m);
}

static void t109_ept_ad_on(void **test_state)
{
	struct machine m;
	uint64_t leaf = ept_page(&m, X1 | 0x37);

	(void)test_state;
	expect(&m, LA, VEC_W, R_OK(X1));
	m.state.eptp |= 0x40;
	machine_enter(&m);
	expect(&m, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_get(&m, leaf, 8), X1 | 0x37);
	assert_true(model_invept(m.cpu, 1, m.state.eptp));
	expect(&m, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_get(&m, leaf, 8), X1 | 0x337);
	machine_free(&m);
}

static void t110_npt(void **test_state)
{
	(void)test_state;
	for (int host = VEC_4LEVEL; host <= VEC_32BIT; host++) {
		for (int way = 0; way < 6; way++) {
			struct machine m;

			machine_new(&m, true, VEC_4LEVEL);
			machine_map(&m, LA, 1, X1 | 7);
			machine_npt(&m, host);
			machine_start(&m, MODEL_HOSTILE);
			expect(&m, LA, 0, R_OK(X1));
			machine_set(&m, machine_leaf_of(&m, X1), vec_entry_size(host), X2 | 7);
			switch (way) {
			case 0: m.state.tlb_control = 0; break;
			case 1: m.state.tlb_control = 3; break;
			case 2: m.state.tlb_control = 1; break;
			case 3: m.state.tag = 2; break;
			case 4: model_invlpga(m.cpu, (umbra_gva){LA}, 1); break;
			case 5: m.state.tlb_control = 7; break; /* U-13: nested may stay */
			}
			machine_enter(&m);
			if (way == 0 || way >= 4) {
				EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
				expect(&m, LA, 0, R_OK(X1));
			} else {
				EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
			}
			machine_free(&m);
		}
	}
}

static void t111_asids(void **test_state)
{
	struct model_state host;
	struct machine m;
	uint64_t pte = one_page(&m, true, X1 | 7);

	(void)test_state;
	host = m.state; /* ASID 0 */
	expect(&m, LA, 0, R_OK(X1));
	m.state.tag = 2;
	machine_enter(&m);
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, pte, X2 | 7);
	m.state.tag = 1;
	machine_enter(&m);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	model_mov_cr3(m.cpu, m.state.regs.cr3);
	m.state.tag = 2;
	machine_enter(&m);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	model_enter(m.cpu, &host);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	expect(&m, LA, 0, R_OK(X1));
	machine_free(&m);
}

static void t112_vmcb_cr3(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, true, VEC_4LEVEL);
	machine_map(&m, LA, 1, X1 | 7);
	machine_npt(&m, VEC_4LEVEL);
	machine_start(&m, MODEL_HOSTILE);
	expect(&m, LA, 0, R_OK(X1));
	m.state.regs.cr3 = m.next_table;
	m.next_table += 0x1000;
	machine_map(&m, LA, 1, X2 | 7);
	machine_enter(&m);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	expect(&m, LA, 0, R_OK(X1));
	machine_free(&m);
}

static void t113_smep(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, X1 | 3);

	(void)test_state;
	model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_SMEP);
	expect(&m, LA, VEC_X, R_OK(X1));
	machine_poke(&m, pte, X1 | 7);
	EXPECT_LEGAL(&m, LA, VEC_X, R_OK(X1), R_PF(0x11));
	expect(&m, LA, VEC_X, R_OK(X1));
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, LA, VEC_X, R_PF(0x11));
	machine_free(&m);
}

static void t114_speculation(void **test_state)
{
	struct machine m;
	uint64_t next;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, LA, 1, X1 | 7);
	next = machine_map(&m, LA + 0x1000, 1, X2 | 7);
	m.config.choices = MODEL_SPECULATE;
	machine_start(&m, MODEL_HOSTILE);
	expect(&m, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_peek(&m, next), X2 | 0x27); /* A, not D */
	machine_poke(&m, next, X3 | 7);
	EXPECT_LEGAL(&m, LA + 0x1000, 0, R_OK(X2), R_OK(X3));
	expect(&m, LA + 0x1000, 0, R_OK(X2));
	machine_free(&m);
}

static void t115_two_cpus(void **test_state)
{
	struct machine m;
	struct model_cpu *first, *second;
	uint64_t pte = one_page(&m, false, X1 | 7);

	(void)test_state;
	first = m.cpu;
	second = model_cpu_new(m.mem, &m.config);
	assert_int_equal(model_enter(second, &m.state).kind, UMBRA_EVENT_NONE);
	expect(&m, LA, 0, R_OK(X1));
	m.cpu = second;
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, pte, X2 | 7);
	m.cpu = first;
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	m.cpu = second;
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	expect(&m, LA, 0, R_OK(X1));
	invlpg(&m, LA);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	model_cpu_free(first);
	machine_free(&m);
}

static void t116_reused_table(void **test_state)
{
	struct machine m;
	uint64_t old = repoint(&m, false) & ~0xfffull;

	(void)test_state;
	/* The old table page holds data now. */
	memset(model_mem_at(m.mem, (umbra_hpa){old}, 4096), 0, 4096);
	machine_set(&m, old | (machine_entry(&m, LA2, 1) & 0xfff), 8, X3 | 7);
	machine_set(&m, old | (machine_entry(&m, LA2 + 0x1000, 1) & 0xfff), 8, 0xfffe);
	expect(&m, LA2, VEC_W, R_OK(X3));
	assert_int_equal(machine_get(&m, old | (machine_entry(&m, LA2, 1) & 0xfff), 8), X3 | 0x67);
	expect(&m, LA2 + 0x1000, VEC_W, R_PF(2));
	assert_int_equal(machine_get(&m, old | (machine_entry(&m, LA2 + 0x1000, 1) & 0xfff), 8),
			 0xfffe);
	machine_free(&m);
}

static void t117_pdpte_registers(void **test_state)
{
	struct machine m;
	uint64_t other;

	(void)test_state;
	machine_new(&m, false, VEC_PAE);
	machine_map(&m, 0x1000, 1, X1 | 7);
	machine_ept(&m);
	machine_start(&m, MODEL_HOSTILE);
	expect(&m, 0x1000, 0, R_OK(X1));
	other = m.next_table;
	machine_set(&m, m.state.regs.cr3, 8, other | 1);
	m.next_table += 0x1000;
	machine_map(&m, 0x1000, 1, X2 | 7);
	invlpg(&m, 0x1000);
	EXPECT_LEGAL(&m, 0x1000, 0, R_OK(X1));
	model_mov_cr3(m.cpu, m.state.regs.cr3);
	EXPECT_LEGAL(&m, 0x1000, 0, R_OK(X2));
	machine_free(&m);
}

static void t118_mov_cr(void **test_state)
{
	struct machine m;
	uint64_t pte = one_page(&m, false, X1 | 7);

	(void)test_state;
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, pte, X2 | 7);
	model_mov_cr3(m.cpu, m.state.regs.cr3);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	machine_free(&m);
	/* T-119 */
	for (int amd = 0; amd < 2; amd++) {
		pte = one_page(&m, amd, X1 | 7);
		expect(&m, LA, 0, R_OK(X1));
		machine_poke(&m, pte, X2 | 7);
		model_mov_cr4(m.cpu, m.state.regs.cr4 ^ UMBRA_CR4_PSE);
		if (amd)
			EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
		else
			EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
		machine_free(&m);
	}
}

static void t120_invvpid_globals(void **test_state)
{
	struct machine m;

	(void)test_state;
	ept_page(&m, X1 | 0x37);
	machine_poke(&m, machine_entry(&m, LA, 1), X1 | 0x107);
	expect(&m, LA, 0, R_OK(X1));
	machine_poke(&m, machine_entry(&m, LA, 1), X2 | 0x107);
	assert_true(model_invvpid(m.cpu, 3, 1, (umbra_gva){0}));
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	assert_true(model_invvpid(m.cpu, 1, 2, (umbra_gva){0}));
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
	assert_true(model_invvpid(m.cpu, 1, 1, (umbra_gva){0}));
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
	machine_free(&m);
}

/* H-112: what a VMX transition flushes with and without VPIDs. */
static void h112_vpid_zero(void **test_state)
{
	for (uint16_t tag = 0; tag < 2; tag++) {
		struct machine m;
		uint64_t pte = one_page(&m, false, X1 | 7);

		(void)test_state;
		m.state.tag = tag;
		machine_enter(&m);
		expect(&m, LA, 0, R_OK(X1));
		machine_poke(&m, pte, X2 | 7);
		machine_enter(&m);
		if (tag)
			EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
		else
			EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
		machine_free(&m);
	}
}

/* H-81, H-106: a write through a mapping cached clean sets D first, then no more. */
static void h81_ept_dirty(void **test_state)
{
	struct machine m;
	uint64_t leaf = ept_page(&m, X1 | 0x37);

	(void)test_state;
	machine_poke(&m, machine_entry(&m, LA, 1), X1 | 0x47);
	m.state.eptp |= 0x40;
	machine_enter(&m);
	assert_true(model_invept(m.cpu, 1, m.state.eptp));
	expect(&m, LA, 0, R_OK(X1));
	assert_int_equal(machine_get(&m, leaf, 8), X1 | 0x137);
	expect(&m, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_get(&m, leaf, 8), X1 | 0x337);
	machine_set(&m, leaf, 8, X1 | 0x137);
	expect(&m, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_get(&m, leaf, 8), X1 | 0x137);
	machine_free(&m);
}

/* H-106: a table whose A is not set is not cached. */
static void h106_accessed_first(void **test_state)
{
	const uint64_t la = LA | 0x1ff000, next = la + 0x1000;
	struct machine m;
	uint64_t old;

	(void)test_state;
	/* A speculative walk of the next page ends at its absent PTE. */
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, la, 1, X1 | 7);
	old = machine_map(&m, next, 1, 0);
	m.config.choices = MODEL_SPECULATE;
	machine_start(&m, MODEL_HOSTILE);
	expect(&m, la, 0, R_OK(X1));
	assert_int_equal(machine_peek(&m, machine_entry(&m, next, 2)) & 0x20, 0);
	machine_poke(&m, machine_entry(&m, next, 2), m.next_table | 7);
	machine_poke(&m, machine_entry(&m, next, 1), X2 | 7);
	machine_set(&m, old, 8, X1 | 7);
	EXPECT_LEGAL(&m, next, 0, R_OK(X2));
	machine_free(&m);
}

/* H-112: SMEP 0->1; H-128: INVEPT leaves linear mappings alone. */
static void h112_smep_invept(void **test_state)
{
	(void)test_state;
	for (int amd = 0; amd < 2; amd++) {
		struct machine m;
		uint64_t pte = one_page(&m, amd, X1 | 7);

		expect(&m, LA, 0, R_OK(X1));
		machine_poke(&m, pte, X2 | 7);
		if (!amd)
			assert_true(model_invept(m.cpu, 2, 0));
		EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
		model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_SMEP);
		if (amd)
			EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2));
		else
			EXPECT_LEGAL(&m, LA, 0, R_OK(X2));
		machine_free(&m);
	}
}

/* H-123: an A update through a mapping cached read-only exits once. */
static void h123_stale_table_rights(void **test_state)
{
	struct machine m;
	uint64_t pte, leaf;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	pte = machine_map(&m, LA, 1, X1 | 0x27);
	machine_map(&m, LA2, 1, X2 | 7);
	machine_ept(&m);
	machine_start(&m, MODEL_HOSTILE);
	leaf = machine_leaf_of(&m, pte);
	machine_set(&m, leaf, 8, (pte & ~0xfffull) | 0x35);
	expect(&m, LA, 0, R_OK(X1));
	invlpg(&m, 0x1000); /* drops the guest's tables, not the guest-physical mapping */
	machine_set(&m, leaf, 8, (pte & ~0xfffull) | 0x37);
	EXPECT_LEGAL(&m, LA2, 0, R_OK(X2), R_EXIT(0x0aa));
	expect(&m, LA2, 0, R_EXIT(0x0aa));
	EXPECT_LEGAL(&m, LA2, 0, R_OK(X2));
	machine_free(&m);
}

/* A table page that moved, read through its old clean mapping: A goes to the new place. */
static void h98_moved_table(void **test_state)
{
	struct machine m;
	uint64_t pte, leaf, table;

	(void)test_state;
	machine_new(&m, true, VEC_4LEVEL);
	pte = machine_map(&m, LA, 1, X1 | 0x27);
	machine_map(&m, LA2, 1, X2 | 7);
	machine_npt(&m, VEC_4LEVEL);
	m.state.rogpt = true;
	machine_start(&m, MODEL_HOSTILE);
	table = pte & ~0xfffull;
	leaf = machine_leaf_of(&m, table);
	expect(&m, LA, 0, R_OK(X1));
	assert_int_equal(machine_get(&m, leaf, 8), table | 0x27); /* read only: no nested D */
	memcpy(m.ram + 0x9000, m.ram + table, 4096);
	machine_set(&m, leaf, 8, 0x9007);
	expect(&m, LA2, 0, R_OK(X2));
	assert_int_equal(machine_get(&m, machine_entry(&m, LA2, 1), 8), X2 | 7);
	assert_int_equal(machine_get(&m, 0x9000 | (machine_entry(&m, LA2, 1) & 0xfff), 8),
			 X2 | 0x27);
	machine_free(&m);
}

/* Unsure points widen the legal set, and only there. */
static void unsure_points(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, true, VEC_4LEVEL);
	machine_map(&m, LA, 1, X1 | 7);
	machine_poke(&m, machine_entry(&m, LA, 4),
		     machine_peek(&m, machine_entry(&m, LA, 4)) | 0x100);
	machine_start(&m, MODEL_STRICT);
	EXPECT_LEGAL(&m, LA, 0, R_PF(9), R_OK(X1)); /* U-1 */
	machine_free(&m);

	machine_new(&m, true, VEC_4LEVEL);
	m.state.regs.efer &= ~UMBRA_EFER_NXE;
	m.state.regs.cr4 |= UMBRA_CR4_SMEP;
	machine_start(&m, MODEL_STRICT);
	EXPECT_LEGAL(&m, LA, VEC_X, R_PF(0x10), R_PF(0)); /* U-7 */
	EXPECT_LEGAL(&m, LA, 0, R_PF(0));
	machine_free(&m);

	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, LA, 1, X1 | 3);
	m.state.regs.cr4 |= UMBRA_CR4_PKS;
	m.state.regs.pkrs = 1;
	machine_start(&m, MODEL_STRICT);
	EXPECT_LEGAL(&m, LA, VEC_U, R_PF(0x25), R_PF(5)); /* U-6 */
	EXPECT_LEGAL(&m, LA, 0, R_PF(0x21));
	machine_free(&m);

	/* A in the leaf of a denied access (U-4): with the table page read-only in
	 * EPT that is the choice between a #PF and a violation. */
	ept_page(&m, X1 | 0x37);
	machine_poke(&m, machine_entry(&m, LA, 1), X1 | 5);
	machine_set(&m, machine_leaf_of(&m, machine_entry(&m, LA, 1)), 8,
		    (machine_entry(&m, LA, 1) & ~0xfffull) | 0x35);
	EXPECT_LEGAL(&m, LA, VEC_W, R_PF(3), R_EXIT(0x0aa));
	/* Final GPA absent too: the exits may come in either order (U-5). */
	machine_set(&m, machine_leaf_of(&m, X1), 8, 0);
	EXPECT_LEGAL(&m, LA, 0, R_EXIT(0x181), R_EXIT(0x0aa));
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"T-90 frame changed", t90_frame},
		{"T-91 no negative caching", t91_no_negative_caching},
		{"T-92 unmapped", t92_unmap},
		{"T-93 spurious fault", t93_spurious_fault},
		{"T-94 write-protected", t94_write_protect},
		{"T-95 T-96 D and A cleared", t95_dirty_cleared},
		{"T-97 T-98 D and a changed entry", t97_dirty_of_absent},
		{"T-99 repointed table", t99_repointed},
		{"T-100 global page", t100_global},
		{"T-101 PCIDs", t101_pcid},
		{"T-102 control bits act at once", t102_immediate},
		{"T-103 split of a 2M page", t103_split},
		{"T-104 EPT rights taken away", t104_ept_protect},
		{"T-105 EPT rights given", t105_ept_permit},
		{"T-106 EPT: no negative caching", t106_ept_no_negative},
		{"T-107 guest INVLPG under EPT", t107_guest_invlpg},
		{"T-108 VPID and EPT root tags", t108_tags},
		{"T-109 EPT A/D switched on", t109_ept_ad_on},
		{"T-110 NPT and TLB_CONTROL", t110_npt},
		{"T-111 ASIDs", t111_asids},
		{"T-112 VMCB.CR3 changed", t112_vmcb_cr3},
		{"T-113 U/S 0->1 with SMEP", t113_smep},
		{"T-114 speculation", t114_speculation},
		{"T-115 two CPUs", t115_two_cpus},
		{"T-116 table page reused", t116_reused_table},
		{"T-117 PDPTE registers under EPT", t117_pdpte_registers},
		{"T-118 T-119 MOV CR", t118_mov_cr},
		{"T-120 INVVPID and globals", t120_invvpid_globals},
		{"H-112 VPID 0", h112_vpid_zero},
		{"H-112 H-128 SMEP and INVEPT", h112_smep_invept},
		{"H-81 EPT D through a cached mapping", h81_ept_dirty},
		{"H-106 A before caching", h106_accessed_first},
		{"H-98 moved table page", h98_moved_table},
		{"H-123 A update through a stale mapping", h123_stale_table_rights},
		{"U-1 U-4 U-5 U-6 U-7", unsure_points},
	};

	return cmocka_run_group_tests_name("caching", tests, NULL, NULL);
}
