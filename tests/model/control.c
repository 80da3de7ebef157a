/* SPDX-License-Identifier: MIT */
/*
 * control.c - T-31..T-43, T-62, T-78, T-120: canonical checks, page crossing, LAM,
 * MOV CR, entry checks, PDPTE registers, PML.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LA 0x0000112233445000ull

static struct model_outcome touch(struct machine *m, uint64_t gva, unsigned size, unsigned access)
{
	struct model_access a = {.gva.v = gva, .size = (uint8_t)size, .access = access};
	struct model_outcome o;

	model_access(m->cpu, &a, &o);
	return o;
}

static void expect(struct machine *m, uint64_t gva, unsigned access, uint64_t want)
{
	assert_int_equal(machine_try(m, gva, access), want);
}

static void t31_canonical(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_start(&m, MODEL_STRICT);
	expect(&m, 0x0000800000000000ull, 0, R_GP);
	assert_int_equal(model_stats_of(m.cpu)->entries_read, 0);
	machine_free(&m);

	machine_new(&m, false, VEC_5LEVEL);
	machine_map(&m, 0x0000800000000000ull, 1, 0x5007);
	machine_start(&m, MODEL_STRICT);
	expect(&m, 0x0000800000000000ull, 0, R_OK(0x5000));
	/* PML5[0], PML4[256] */
	assert_int_equal(machine_entry(&m, 0x0000800000000000ull, 5), m.state.regs.cr3);
	assert_int_equal(machine_entry(&m, 0x0000800000000000ull, 4) & 0xfff, 256 * 8);
	/* T-32 */
	expect(&m, 0x0100000000000000ull, 0, R_GP);
	machine_free(&m);
}

static void t32_stack(void **test_state)
{
	struct model_access a = {.gva.v = 0x0100000000000000ull, .size = 8, .stack = true};
	struct model_outcome o;
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_5LEVEL);
	machine_start(&m, MODEL_STRICT);
	model_access(m.cpu, &a, &o);
	assert_int_equal(o.event.kind, UMBRA_EVENT_SS);
	machine_free(&m);
}

static void t33_last_bytes(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, 0x00007ffffffff000ull, 1, 0x5007);
	machine_start(&m, MODEL_STRICT);
	assert_int_equal(touch(&m, 0x00007ffffffffffcull, 8, 0).event.kind, UMBRA_EVENT_GP);
	assert_int_equal(touch(&m, 0x00007ffffffffff8ull, 8, 0).event.kind, UMBRA_EVENT_NONE);
	machine_free(&m);
}

static void t34_wrap(void **test_state)
{
	struct model_outcome o;
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, 0xfffff000, 1, 0x5007);
	machine_map(&m, 0, 1, 0x6007);
	m.state.long_code = false;
	machine_start(&m, MODEL_STRICT);
	o = touch(&m, 0xfffffffe, 4, 0);
	assert_int_equal(o.event.kind, UMBRA_EVENT_NONE);
	assert_int_equal(o.piece_count, 2);
	assert_int_equal(o.piece[0].hpa.v, 0x5ffe);
	assert_int_equal(o.piece[0].size, 2);
	assert_int_equal(o.piece[1].hpa.v, 0x6000);
	assert_int_equal(o.piece[1].size, 2);
	machine_free(&m);
}

static void t35_crossing(void **test_state)
{
	uint32_t data = 0x12345678, back = 0;
	struct model_access a = {
		.gva.v = LA + 0xffe, .size = 4, .data = &data, .access = VEC_U | VEC_W};
	struct model_outcome o, legal[8];
	struct machine m;
	uint64_t second;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, LA, 1, 0x5007);
	second = machine_map(&m, LA + 0x1000, 1, 0x6006);
	machine_start(&m, MODEL_STRICT);
	model_access(m.cpu, &a, &o);
	assert_int_equal(machine_short(&o), R_PF(6));
	assert_int_equal(o.event.gva.v, LA + 0x1000);
	assert_int_equal(machine_get(&m, 0x5ffe, 2), 0);
	assert_true(model_explains(m.cpu, &a, &o));

	machine_poke(&m, second, 0x6007);
	model_access(m.cpu, &a, &o);
	assert_int_equal(o.piece_count, 2);
	assert_int_equal(machine_get(&m, 0x5ffe, 2), 0x5678);
	assert_int_equal(machine_get(&m, 0x6000, 2), 0x1234);
	a.access = VEC_U;
	a.data = &back;
	model_access(m.cpu, &a, &o);
	assert_int_equal(back, data);

	/* Both pages refuse: either may be reported (H-125). */
	machine_map(&m, LA, 1, 0);
	machine_poke(&m, second, 0x6003);
	assert_int_equal(model_legal(m.cpu, &a, legal, 8), 2);
	machine_free(&m);
}

static void t36_lam(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	m.config.cpu.features |= UMBRA_CPU_LAM;
	machine_map(&m, 0x0000001234567000ull, 1, 0x5007);
	m.state.regs.cr3 |= 1ull << 61; /* U57 */
	machine_start(&m, MODEL_STRICT);
	expect(&m, 0x7e00001234567000ull, VEC_U, R_OK(0x5000));
	assert_int_equal(
		machine_short(&(struct model_outcome){
			.event = touch(&m, 0x7e00001234567000ull, 4, VEC_U | VEC_X).event}),
		R_GP);
	expect(&m, 0x8000001234567000ull, VEC_U, R_GP);
	expect(&m, 0x7e01001234567000ull, VEC_U, R_GP); /* bit 48 is not ignored */
	/* CR2 shows the masked address. */
	assert_int_equal(touch(&m, 0x7e00001234568000ull, 4, VEC_U).event.gva.v,
			 0x0000001234568000ull);
	m.state.regs.cr3 ^= 3ull << 61; /* U48 */
	machine_enter(&m);
	expect(&m, 0x7eff001234567000ull, VEC_U, R_OK(0x5000));
	expect(&m, 0x7eff801234567000ull, VEC_U, R_GP); /* bit 47 must be 0 */
	machine_free(&m);
}

static void t37_pcide(void **test_state)
{
	struct machine m;
	uint64_t cr4;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	m.state.regs.cr3 = 0x1001;
	machine_start(&m, MODEL_STRICT);
	cr4 = m.state.regs.cr4 | UMBRA_CR4_PCIDE;
	assert_int_equal(model_mov_cr4(m.cpu, cr4).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_mov_cr3(m.cpu, 0x1000).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_mov_cr4(m.cpu, cr4).kind, UMBRA_EVENT_NONE);
	/* T-38 */
	m.state = *model_state_of(m.cpu);
	m.state.long_code = false;
	machine_enter(&m);
	assert_int_equal(model_mov_cr0(m.cpu, m.state.regs.cr0 & ~UMBRA_CR0_PG).kind,
			 UMBRA_EVENT_GP);
	machine_free(&m);

	machine_new(&m, false, VEC_PAE);
	machine_start(&m, MODEL_STRICT);
	assert_int_equal(model_mov_cr4(m.cpu, cr4).kind, UMBRA_EVENT_GP);
	machine_free(&m);
}

static void t39_la57(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_start(&m, MODEL_STRICT);
	assert_int_equal(model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_LA57).kind,
			 UMBRA_EVENT_GP);
	assert_int_equal(model_mov_cr4(m.cpu, m.state.regs.cr4 & ~UMBRA_CR4_PAE).kind,
			 UMBRA_EVENT_GP);
	machine_free(&m);
	machine_new(&m, false, VEC_PAE);
	machine_start(&m, MODEL_STRICT);
	assert_int_equal(model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_LA57).kind,
			 UMBRA_EVENT_NONE);
	machine_free(&m);
}

static void t40_cet(void **test_state)
{
	struct machine m;
	uint64_t cr0, cr4;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	m.config.cpu.features |= UMBRA_CPU_SHSTK;
	machine_start(&m, MODEL_STRICT);
	cr0 = m.state.regs.cr0;
	cr4 = m.state.regs.cr4;
	assert_int_equal(model_mov_cr4(m.cpu, cr4 | UMBRA_CR4_CET).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_mov_cr0(m.cpu, cr0 & ~UMBRA_CR0_WP).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_mov_cr4(m.cpu, cr4).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_mov_cr0(m.cpu, cr0 & ~UMBRA_CR0_WP).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_mov_cr4(m.cpu, cr4 | UMBRA_CR4_CET).kind, UMBRA_EVENT_GP);
	machine_free(&m);
}

static void t41_cr3(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_start(&m, MODEL_STRICT);
	assert_int_equal(model_mov_cr3(m.cpu, 1ull << 46).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_mov_cr3(m.cpu, 1ull << 63 | 0x1000).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_mov_cr3(m.cpu, 1ull << 62 | 0x1000).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_mov_cr3(m.cpu, 0x1000).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_mov_cr4(m.cpu, m.state.regs.cr4 | UMBRA_CR4_PCIDE).kind,
			 UMBRA_EVENT_NONE);
	assert_int_equal(model_mov_cr3(m.cpu, 1ull << 63 | 0x2003).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_state_of(m.cpu)->regs.cr3, 0x2003);
	machine_free(&m);
}

static void t42_pdpte_check(void **test_state)
{
	struct machine m;
	uint64_t cr3;

	(void)test_state;
	machine_new(&m, false, VEC_PAE);
	machine_start(&m, MODEL_STRICT);
	cr3 = m.state.regs.cr3;
	machine_set(&m, 0x2000, 8, 0x1003);
	assert_int_equal(model_mov_cr3(m.cpu, 0x2000).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_state_of(m.cpu)->regs.cr3, cr3);
	machine_set(&m, 0x2000, 8, 0x1002);
	assert_int_equal(model_mov_cr3(m.cpu, 0x2000).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_state_of(m.cpu)->regs.cr3, 0x2000);
	machine_free(&m);

	machine_new(&m, true, VEC_PAE);
	machine_npt(&m, VEC_4LEVEL);
	machine_start(&m, MODEL_STRICT);
	machine_set(&m, 0x2000, 8, 0x1003);
	assert_int_equal(model_mov_cr3(m.cpu, 0x2000).kind, UMBRA_EVENT_NONE);
	expect(&m, 0x1000, 0, R_PF(9));
	machine_free(&m);
}

static void t43_pdpte_reload(void **test_state)
{
	static const uint64_t toggles[] = {UMBRA_CR4_PGE, UMBRA_CR4_PSE, UMBRA_CR4_SMEP};

	(void)test_state;
	for (unsigned i = 0; i < 3; i++) {
		struct machine m;

		machine_new(&m, false, VEC_PAE);
		machine_map(&m, 0x1000, 1, 0x5003);
		machine_start(&m, MODEL_STRICT);
		expect(&m, 0x1000, 0, R_OK(0x5000));
		machine_set(&m, m.state.regs.cr3, 8, 0);
		expect(&m, 0x1000, 0, R_OK(0x5000));
		model_mov_cr4(m.cpu, m.state.regs.cr4 ^ UMBRA_CR4_SMAP);
		expect(&m, 0x1000, 0, R_OK(0x5000));
		model_mov_cr4(m.cpu, model_state_of(m.cpu)->regs.cr4 ^ toggles[i]);
		expect(&m, 0x1000, 0, R_PF(0));
		machine_free(&m);
	}
}

static void t61_pdpte_through_ept(void **test_state)
{
	struct umbra_event event;
	struct machine m;
	uint64_t leaf;

	(void)test_state;
	machine_new(&m, false, VEC_PAE);
	machine_ept(&m);
	m.state.eptp |= 0x40;
	machine_start(&m, MODEL_STRICT);
	leaf = machine_leaf_of(&m, 0x2000);
	machine_set(&m, 0x2000, 8, 0x5001);
	assert_int_equal(model_mov_cr3(m.cpu, 0x2000).kind, UMBRA_EVENT_NONE);
	assert_int_equal(model_state_of(m.cpu)->regs.pdpte[0], 0x5001);
	assert_int_equal(machine_get(&m, leaf, 8), 0x2137); /* A, not D */
	/* H-78: a violation of the load has bits 7 and 8 clear. */
	machine_set(&m, leaf, 8, 0);
	event = model_mov_cr3(m.cpu, 0x2000);
	assert_int_equal(event.kind, UMBRA_EVENT_EPT_VIOLATION);
	assert_int_equal(event.code, 1);
	assert_int_equal(event.gpa.v, 0x2000);
	machine_free(&m);
}

static void t62_pml(void **test_state)
{
	struct model_outcome o;
	struct machine m;
	uint32_t data = 0x11111111;
	struct model_access a = {.gva.v = LA + 0x123, .size = 4, .access = VEC_W, .data = &data};
	uint64_t leaf;

	(void)test_state;
	machine_new(&m, false, VEC_UNPAGED);
	machine_ept(&m);
	m.state.eptp |= 0x40;
	m.state.pml = true;
	m.state.pml_address = 0x9000;
	m.state.pml_index = 1;
	machine_start(&m, MODEL_STRICT);
	/* A alone is not logged. */
	expect(&m, 0x5000, 0, R_OK(0x5000));
	assert_int_equal(model_state_of(m.cpu)->pml_index, 1);
	expect(&m, 0x5123, VEC_W, R_OK(0x5000));
	assert_int_equal(machine_get(&m, 0x9008, 8), 0x5000);
	expect(&m, 0x5123, VEC_W, R_OK(0x5000)); /* D was 1: no log */
	assert_int_equal(model_state_of(m.cpu)->pml_index, 0);
	expect(&m, 0x6ff0, VEC_W, R_OK(0x6000));
	assert_int_equal(machine_get(&m, 0x9000, 8), 0x6000);
	assert_int_equal(model_state_of(m.cpu)->pml_index, 0xffff);
	/* Full: neither flag nor data changes, for A too. */
	leaf = machine_leaf_of(&m, 0x7000);
	a.gva.v = 0x7000;
	model_access(m.cpu, &a, &o);
	assert_int_equal(o.event.kind, UMBRA_EVENT_PML_FULL);
	assert_true(model_explains(m.cpu, &a, &o));
	assert_int_equal(machine_get(&m, leaf, 8), 0x7037);
	assert_int_equal(machine_get(&m, 0x7000, 4), 0);
	a.access = 0;
	model_access(m.cpu, &a, &o);
	assert_int_equal(o.event.kind, UMBRA_EVENT_PML_FULL);
	/* Pages whose flags are set need no log. */
	expect(&m, 0x5123, VEC_W, R_OK(0x5000));
	machine_free(&m);
}

static void t78_vmrun_checks(void **test_state)
{
	struct model_state good;
	struct machine m;

	(void)test_state;
	machine_new(&m, true, VEC_4LEVEL);
	machine_npt(&m, VEC_4LEVEL);
	machine_start(&m, MODEL_STRICT);
	good = m.state;
	m.state.hcr0 &= ~UMBRA_CR0_PG;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	m.state = good;
	m.state.ncr3 |= 1ull << 52;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	m.state = good;
	m.state.tag = 0;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_enter(m.cpu, &good).kind, UMBRA_EVENT_NONE);
	machine_free(&m);
}

/* T-78, H-96: every value of every byte of gPAT; without NP it does not count. */
static void t78_gpat(void **test_state)
{
	struct model_state np, shadow;
	struct machine m;

	(void)test_state;
	machine_new(&m, true, VEC_4LEVEL);
	shadow = m.state;
	shadow.tag = 1;
	machine_npt(&m, VEC_4LEVEL);
	machine_start(&m, MODEL_STRICT);
	np = m.state;
	for (unsigned byte = 0; byte < 8; byte++) {
		for (uint64_t type = 0; type < 256; type++) {
			bool legal = type <= 1 || (type >= 4 && type <= 7);

			np.gpat =
				(0x0007040600070406ull & ~(0xffull << 8 * byte)) | type << 8 * byte;
			shadow.gpat = np.gpat;
			assert_int_equal(model_enter(m.cpu, &np).kind,
					 legal ? UMBRA_EVENT_NONE : UMBRA_EVENT_GP);
			assert_int_equal(model_enter(m.cpu, &shadow).kind, UMBRA_EVENT_NONE);
		}
	}
	machine_free(&m);
}

/* H-133, H-70: what VM entry refuses. */
static void h133_entry_checks(void **test_state)
{
	struct model_state good;
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_ept(&m);
	machine_start(&m, MODEL_STRICT);
	good = m.state;
	m.state.eptp |= 1ull << 11;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	m.state = good;
	m.state.regs.cr4 &= ~UMBRA_CR4_PAE;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	m.state = good;
	m.state.regs.efer &= ~UMBRA_EFER_LMA;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	m.state = good;
	m.state.regs.cr0 &= ~UMBRA_CR0_PE;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	/* The information area is a page within MAXPHYADDR; paging-write needs EPT. */
	m.state = good;
	m.state.ve = true;
	for (unsigned bit = 0; bit < 64; bit++) {
		m.state.ve_area = 1ull << bit;
		assert_int_equal(model_enter(m.cpu, &m.state).kind,
				 bit >= 12 && bit < 46 ? UMBRA_EVENT_NONE : UMBRA_EVENT_GP);
	}
	m.state.ve = false; /* then it is no address */
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_NONE);
	m.state.paging_write = true;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_NONE);
	m.state.stage2 = MODEL_NATIVE;
	assert_int_equal(model_enter(m.cpu, &m.state).kind, UMBRA_EVENT_GP);
	machine_free(&m);
}

static void t120_invalid_operands(void **test_state)
{
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, LA, 1, 0x5007);
	machine_ept(&m);
	machine_start(&m, MODEL_HOSTILE);
	expect(&m, LA, 0, R_OK(0x5000));
	assert_false(model_invvpid(m.cpu, 0, 0, (umbra_gva){0}));
	assert_false(model_invvpid(m.cpu, 1, 0, (umbra_gva){0}));
	assert_false(model_invvpid(m.cpu, 3, 0, (umbra_gva){0}));
	assert_false(model_invvpid(m.cpu, 0, 1, (umbra_gva){1ull << 60}));
	assert_false(model_invvpid(m.cpu, 4, 1, (umbra_gva){0}));
	assert_false(model_invept(m.cpu, 1, m.state.eptp | 1ull << 11));
	assert_false(model_invept(m.cpu, 0, m.state.eptp));
	machine_set(&m, machine_leaf_of(&m, 0x5000), 8, 0x6037);
	expect(&m, LA, 0, R_OK(0x5000)); /* nothing was flushed */
	assert_int_equal(model_invpcid(m.cpu, 4, 0, (umbra_gva){0}).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_invpcid(m.cpu, 1, 1, (umbra_gva){0}).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_invpcid(m.cpu, 0, 0, (umbra_gva){1ull << 60}).kind, UMBRA_EVENT_GP);
	machine_free(&m);
}

/* Addresses without RAM read as ones and swallow writes. */
static void holes(void **test_state)
{
	uint32_t data = 0;
	struct model_access a = {.gva.v = LA, .size = 4, .data = &data};
	struct model_outcome o;
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	machine_map(&m, LA, 1, 0x3000000007ull);
	machine_start(&m, MODEL_STRICT);
	assert_false(model_mem_add(m.mem, (umbra_hpa){0x7ff000}, 0x2000, m.ram));
	model_access(m.cpu, &a, &o);
	assert_int_equal(o.event.kind, UMBRA_EVENT_NONE);
	assert_int_equal(data, 0xffffffff);
	a.access = VEC_W;
	model_access(m.cpu, &a, &o);
	assert_int_equal(o.event.kind, UMBRA_EVENT_NONE);
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"T-31 T-32 canonical addresses", t31_canonical},
		{"T-32 #SS", t32_stack},
		{"T-33 last canonical bytes", t33_last_bytes},
		{"T-34 wrap at 2^32", t34_wrap},
		{"T-35 page crossing", t35_crossing},
		{"T-36 LAM", t36_lam},
		{"T-37 T-38 PCIDE", t37_pcide},
		{"T-39 LA57, PAE in long mode", t39_la57},
		{"T-40 CET and WP", t40_cet},
		{"T-41 MOV CR3 reserved bits", t41_cr3},
		{"T-42 PDPTE check", t42_pdpte_check},
		{"T-43 PDPTE reload", t43_pdpte_reload},
		{"T-61 PDPTE load through EPT", t61_pdpte_through_ept},
		{"T-62 PML", t62_pml},
		{"T-78 VMRUN checks", t78_vmrun_checks},
		{"T-78 VMRUN's check of gPAT", t78_gpat},
		{"H-133 VM entry checks", h133_entry_checks},
		{"T-120 invalid operands", t120_invalid_operands},
		{"memory holes", holes},
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
