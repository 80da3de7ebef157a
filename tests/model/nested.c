/* SPDX-License-Identifier: MIT */
/*
 * nested.c - a hypervisor L1 on the bare machine, and its guests L2.
 *
 * L1 runs natively with tables of its own; L2 under EPT or NPT. Each test goes back
 * and forth between them with model_enter() and model_exit(), edits the tables of
 * either, and states the complete legal set before and after the invalidation that
 * H-112 names. Both map LA: L1 to FRAME1, L2 to X1.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LA 0x0000000012345000ull
#define LA2 (LA + 0x3000)
#define X1 0x5000ull
#define X2 0x6000ull
#define FRAME1 0x8000ull
#define FRAME2 0x9000ull

struct nest {
	struct machine m; /* .state is what runs */
	struct model_state l1, l2;
	uint64_t l1_pte, l2_pte; /* entries of LA */
};

static void expect(struct nest *n, uint64_t gva, unsigned access, uint64_t want)
{
	assert_int_equal(machine_try(&n->m, gva, access), want);
}

static void run_l2(struct nest *n)
{
	n->m.state = n->l2;
	assert_int_equal(model_enter(n->m.cpu, &n->l2).kind, UMBRA_EVENT_NONE);
}

static void run_l1(struct nest *n)
{
	n->m.state = n->l1;
	assert_int_equal(model_exit(n->m.cpu, &n->l1).kind, UMBRA_EVENT_NONE);
}

/* The leaf of @gpa in L2's second stage. */
static uint64_t leaf_of(struct nest *n, uint64_t gpa)
{
	n->m.state = n->l2;
	return machine_leaf_of(&n->m, gpa);
}

static void set_leaf(struct nest *n, uint64_t gpa, uint64_t entry)
{
	machine_set(&n->m, leaf_of(n, gpa), vec_entry_size(n->m.host_paging), entry);
}

/* L1 in 4-level paging, running; L2 with @paging under EPT, or NPT with host format @host. */
static void nest_new(struct nest *n, bool amd, enum vector_paging paging, enum vector_paging host)
{
	struct machine *m = &n->m;
	const struct vector base = {.amd = amd, .paging = paging};
	uint64_t root;

	memset(n, 0, sizeof(*n));
	machine_new(m, amd, VEC_4LEVEL);
	n->l1_pte = machine_map(m, LA, 1, FRAME1 | 7);
	n->l1 = m->state;
	root = m->next_table;
	m->next_table += 0x1000;
	m->paging = paging;
	m->state.regs = vec_regs(&base);
	m->state.regs.cr3 = root;
	m->state.long_code = paging <= VEC_5LEVEL;
	if (paging != VEC_UNPAGED)
		n->l2_pte = machine_map(m, LA, 1, X1 | 7);
	if (amd)
		machine_npt(m, host);
	else
		machine_ept(m);
	/* H-78: VM entry takes PDPTEs from the VMCS. */
	m->state.load_pdptes = amd;
	for (unsigned i = 0; paging == VEC_PAE && i < 4; i++)
		m->state.regs.pdpte[i] = machine_get(m, root + 8 * i, 8);
	n->l2 = m->state;
	m->state = n->l1;
	machine_start(m, MODEL_HOSTILE);
}

static void nest_free(struct nest *n)
{
	machine_free(&n->m);
}

/* H-112: VM entry and exit flush VPID 0000h only if the guest has no VPID. */
static void h112_vmx_transitions(void **test_state)
{
	(void)test_state;
	for (uint16_t vpid = 0; vpid < 2; vpid++) {
		struct nest n;

		nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
		n.l2.tag = vpid;
		expect(&n, LA, 0, R_OK(FRAME1));
		machine_set(&n.m, n.l1_pte, 8, FRAME2 | 7);
		run_l2(&n);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1)); /* nothing of L1 */
		expect(&n, LA, 0, R_OK(X1));
		run_l1(&n);
		if (vpid)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME1), R_OK(FRAME2));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME2));
		/* Combined mappings, and guest-physical ones that always stay. */
		machine_set(&n.m, n.l2_pte, 8, X2 | 7);
		run_l2(&n);
		if (vpid)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
		machine_set(&n.m, n.l2_pte, 8, X1 | 7);
		set_leaf(&n, X1, X2 | 0x37);
		run_l1(&n);
		run_l2(&n);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
		nest_free(&n);
	}
}

/* H-112: the exit alone flushes too, between an access of L2 and the next entry. */
static void h112_vmx_exit_only(void **test_state)
{
	struct nest n;

	(void)test_state;
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	n.l2.stage2 = MODEL_NATIVE; /* a guest of L1 on shadow tables: L1's tables here */
	n.l2.regs = n.l1.regs;
	n.l2.tag = 0;
	run_l2(&n);
	expect(&n, LA, 0, R_OK(FRAME1));
	machine_set(&n.m, n.l1_pte, 8, FRAME2 | 7);
	run_l1(&n);
	EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME2));
	nest_free(&n);
}

/* H-112: VMRUN and #VMEXIT flush what TLB_CONTROL names and nothing else (T-111). */
static void h112_svm_transitions(void **test_state)
{
	static const uint8_t controls[] = {0, 1, 3, 7};

	(void)test_state;
	for (unsigned i = 0; i < 4; i++) {
		bool l1_stays = controls[i] != 1, l2_stays = controls[i] == 0;
		struct nest n;

		nest_new(&n, true, VEC_4LEVEL, VEC_4LEVEL);
		expect(&n, LA, 0, R_OK(FRAME1));
		run_l2(&n);
		expect(&n, LA, 0, R_OK(X1));
		run_l1(&n);
		machine_set(&n.m, n.l1_pte, 8, FRAME2 | 7);
		machine_set(&n.m, n.l2_pte, 8, X2 | 7);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME1), R_OK(FRAME2));
		n.l2.tlb_control = controls[i];
		run_l2(&n);
		n.l2.tlb_control = 0;
		if (l2_stays)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
		run_l1(&n);
		if (l1_stays)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME1), R_OK(FRAME2));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME2));
		nest_free(&n);
	}
}

/* What L1 and L2 invalidate is their own: VPID 0 and 1, ASID 0 and 1. */
static void h112_own_tags(void **test_state)
{
	(void)test_state;
	for (int amd = 0; amd < 2; amd++) {
		for (int way = 0; way < 3; way++) {
			struct nest n;

			nest_new(&n, amd, VEC_4LEVEL, VEC_4LEVEL);
			expect(&n, LA, 0, R_OK(FRAME1));
			run_l2(&n);
			expect(&n, LA, 0, R_OK(X1));
			machine_set(&n.m, n.l1_pte, 8, FRAME2 | 7);
			machine_set(&n.m, n.l2_pte, 8, X2 | 7);
			for (int l1 = 0; l1 < 2; l1++) {
				switch (way) {
				case 0: model_invlpg(n.m.cpu, (umbra_gva){LA}); break;
				case 1: model_mov_cr3(n.m.cpu, n.m.state.regs.cr3); break;
				case 2: model_invpcid(n.m.cpu, 2, 0, (umbra_gva){0}); break;
				}
				if (!l1) {
					EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
					machine_set(&n.m, n.l2_pte, 8, X1 | 7);
					expect(&n, LA, 0, R_OK(X1));
					machine_set(&n.m, n.l2_pte, 8, X2 | 7);
					run_l1(&n);
					EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME1), R_OK(FRAME2));
				}
			}
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME2));
			run_l2(&n);
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
			nest_free(&n);
		}
	}
}

/* T-104, T-120 with L1 between: INVEPT and INVVPID of root software. */
static void t104_root_invalidates(void **test_state)
{
	(void)test_state;
	for (int way = 0; way < 6; way++) {
		struct nest n;

		nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
		expect(&n, LA, 0, R_OK(FRAME1));
		run_l2(&n);
		expect(&n, LA, 0, R_OK(X1));
		run_l1(&n);
		machine_set(&n.m, n.l1_pte, 8, FRAME2 | 7);
		set_leaf(&n, X1, X2 | 0x37);
		n.m.state = n.l1;
		switch (way) {
		case 0: assert_true(model_invept(n.m.cpu, 1, n.l2.eptp)); break;
		case 1: assert_true(model_invept(n.m.cpu, 2, 0)); break;
		case 2: /* another root; an EPTP that differs outside 51:12 is this one (H-107) */
			assert_true(model_invept(n.m.cpu, 1, n.l2.eptp ^ 0x100000));
			break;
		case 3: assert_true(model_invept(n.m.cpu, 1, n.l2.eptp ^ 0x46)); break;
		case 4: assert_true(model_invvpid(n.m.cpu, 1, 1, (umbra_gva){0})); break;
		case 5: assert_true(model_invvpid(n.m.cpu, 2, 0, (umbra_gva){0})); break;
		}
		/* Linear mappings of L1 are not meant by any of these (H-128). */
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME1), R_OK(FRAME2));
		run_l2(&n);
		if (way < 2 || way == 3)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
		nest_free(&n);
	}
}

/* H-112: INVVPID 0 and INVLPGA by L1 remove LA of L2 and nothing of LA2 or of L1. */
static void h112_root_invalidates_address(void **test_state)
{
	(void)test_state;
	for (int amd = 0; amd < 2; amd++) {
		struct nest n;
		uint64_t other;

		nest_new(&n, amd, VEC_4LEVEL, VEC_4LEVEL);
		n.m.state = n.l2;
		other = machine_map(&n.m, LA2, 1, X1 | 7);
		n.m.state = n.l1;
		expect(&n, LA, 0, R_OK(FRAME1));
		run_l2(&n);
		expect(&n, LA, 0, R_OK(X1));
		expect(&n, LA2, 0, R_OK(X1));
		run_l1(&n);
		machine_set(&n.m, n.l1_pte, 8, FRAME2 | 7);
		machine_set(&n.m, n.l2_pte, 8, X2 | 7);
		machine_set(&n.m, other, 8, X2 | 7);
		if (amd)
			model_invlpga(n.m.cpu, (umbra_gva){LA}, 1);
		else
			assert_true(model_invvpid(n.m.cpu, 0, 1, (umbra_gva){LA}));
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME1), R_OK(FRAME2));
		run_l2(&n);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
		EXPECT_LEGAL(&n.m, LA2, 0, R_OK(X1), R_OK(X2));
		nest_free(&n);
	}
}

/* H-114: which fragments INVVPID of root software removes no table in use tells. */
static void h114_root_and_fragments(void **test_state)
{
	const uint64_t base = LA & ~0x1fffffull;
	struct nest n;

	(void)test_state;
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	n.m.state = n.l1;
	machine_map(&n.m, LA, 2, 0x200000 | 0x87); /* L1: a large page, of no concern */
	n.m.state = n.l2;
	machine_map(&n.m, LA, 2, 0x400087);
	run_l2(&n);
	expect(&n, base, 0, R_OK(0x400000));
	run_l1(&n);
	n.m.state = n.l2;
	machine_map(&n.m, LA, 2, 0x200087);
	assert_true(model_invvpid(n.m.cpu, 0, 1, (umbra_gva){LA}));
	run_l2(&n);
	EXPECT_LEGAL(&n.m, base, 0, R_OK(0x400000), R_OK(0x200000));
	nest_free(&n);
}

/* T-108: several EPTPs under one VPID; an INVEPT of one leaves the other's alone. */
static void t108_eptps(void **test_state)
{
	struct nest n;
	uint64_t first, second;

	(void)test_state;
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	n.m.state = n.l2;
	first = n.l2.eptp;
	machine_ept(&n.m);
	second = n.m.state.eptp;
	machine_set(&n.m, machine_leaf_of(&n.m, X1), 8, 0x7037);
	run_l2(&n);
	expect(&n, LA, 0, R_OK(X1));
	run_l1(&n);
	n.l2.eptp = second;
	run_l2(&n);
	EXPECT_LEGAL(&n.m, LA, 0, R_OK(0x7000));
	expect(&n, LA, 0, R_OK(0x7000));
	set_leaf(&n, X1, X2 | 0x37);
	n.l2.eptp = first;
	set_leaf(&n, X1, X2 | 0x37);
	run_l1(&n);
	assert_true(model_invept(n.m.cpu, 1, first));
	run_l2(&n);
	EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
	n.l2.eptp = second;
	run_l2(&n);
	EXPECT_LEGAL(&n.m, LA, 0, R_OK(0x7000), R_OK(X2));
	nest_free(&n);
}

/* H-87, H-112: VMFUNC 0 changes the EPTRTA, and flushes only for want of a VPID. */
static void h87_vmfunc(void **test_state)
{
	const umbra_hpa list = {0xc000};

	(void)test_state;
	for (uint16_t vpid = 0; vpid < 2; vpid++) {
		struct nest n;
		uint64_t first, second;

		nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
		n.m.config.cpu.features |= UMBRA_CPU_EPT_LEVEL5 | UMBRA_CPU_EPT_AD;
		n.m.state = n.l1;
		machine_start(&n.m, MODEL_HOSTILE);
		n.m.state = n.l2;
		first = n.l2.eptp;
		machine_ept(&n.m);
		second = n.m.state.eptp;
		machine_set(&n.m, machine_leaf_of(&n.m, X1), 8, X2 | 0x37);
		machine_set(&n.m, list.v, 8, first);
		machine_set(&n.m, list.v + 8, 8, second);
		machine_set(&n.m, list.v + 16, 8, second ^ 3 << 3 ^ 4 << 3); /* 5-level */
		machine_set(&n.m, list.v + 24, 8, second | 0x100); /* reserved */
		machine_set(&n.m, list.v + 511 * 8, 8, first | 0x40);
		machine_set(&n.m, list.v + 512 * 8, 8, second); /* beyond the list */
		n.l2.tag = vpid;
		/* Only in a guest under EPT. */
		assert_int_equal(model_vmfunc_eptp(n.m.cpu, list, 0).kind, UMBRA_EVENT_GP);
		expect(&n, LA, 0, R_OK(FRAME1));
		run_l2(&n);
		expect(&n, LA, 0, R_OK(X1));
		for (uint32_t i = 2; i < 4; i++)
			assert_int_equal(model_vmfunc_eptp(n.m.cpu, list, i).kind,
					 UMBRA_EVENT_VMFUNC);
		assert_int_equal(model_vmfunc_eptp(n.m.cpu, list, 512).kind, UMBRA_EVENT_VMFUNC);
		assert_int_equal(model_state_of(n.m.cpu)->eptp, first);
		machine_set(&n.m, n.l2_pte, 8, 0x7007);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(0x7000));
		assert_int_equal(model_vmfunc_eptp(n.m.cpu, list, 1).kind, UMBRA_EVENT_NONE);
		assert_int_equal(model_state_of(n.m.cpu)->eptp, second);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(0x7000)); /* nothing of the other root */
		/* Bit 6 is no part of the tag: back in the first root. */
		assert_int_equal(model_vmfunc_eptp(n.m.cpu, list, 511).kind, UMBRA_EVENT_NONE);
		if (vpid)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(0x7000));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(0x7000));
		/* Guest-physical mappings stay: A and D are not set through them. */
		expect(&n, LA, VEC_W, R_OK(0x7000));
		assert_int_equal(machine_get(&n.m, leaf_of(&n, n.l2_pte), 8),
				 (n.l2_pte & ~0xfffull) | 0x37);
		nest_free(&n);
	}
}

/* H-81, H-107, H-116: A/D of one EPTP on, of another off, of the first changed. */
static void h81_ad_per_eptp(void **test_state)
{
	struct nest n;
	uint64_t plain, flags;

	(void)test_state;
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	plain = n.l2.eptp;
	n.m.state = n.l2;
	machine_ept(&n.m);
	flags = n.m.state.eptp | 0x40;
	run_l2(&n);
	expect(&n, LA, VEC_W, R_OK(X1));
	n.l2.eptp = flags;
	run_l2(&n);
	expect(&n, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_get(&n.m, leaf_of(&n, X1), 8), X1 | 0x337);
	assert_int_equal(machine_get(&n.m, leaf_of(&n, n.l2_pte), 8),
			 (n.l2_pte & ~0xfffull) | 0x337);
	n.l2.eptp = plain | 0x40; /* same EPTRTA: what is cached has no D to set */
	run_l2(&n);
	expect(&n, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_get(&n.m, leaf_of(&n, X1), 8), X1 | 0x37);
	run_l1(&n);
	assert_true(model_invept(n.m.cpu, 1, plain));
	run_l2(&n);
	expect(&n, LA, VEC_W, R_OK(X1));
	assert_int_equal(machine_get(&n.m, leaf_of(&n, X1), 8), X1 | 0x337);
	nest_free(&n);
}

/* H-75: MBEC by the address; one guest with it, another EPT without. */
static void h75_mbec_per_guest(void **test_state)
{
	struct nest n;

	(void)test_state;
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	run_l2(&n);
	expect(&n, LA, VEC_X, R_OK(X1));
	n.m.state = n.l2;
	machine_ept(&n.m);
	for (uint64_t level = 4, table = n.m.state.eptp & ~0xfffull; level > 1; level--) {
		machine_set(&n.m, table, 8, machine_get(&n.m, table, 8) | 0x400);
		table = machine_get(&n.m, table, 8) & ~0xfffull;
	}
	n.l2.eptp = n.m.state.eptp;
	n.l2.mbec = true;
	run_l2(&n);
	expect(&n, LA, VEC_X, R_EXIT(0x1bc)); /* a user page: XU */
	machine_set(&n.m, leaf_of(&n, X1), 8, X1 | 0x433);
	expect(&n, LA, VEC_X, R_OK(X1));
	machine_set(&n.m, n.l2_pte, 8, X1 | 3);
	model_invlpg(n.m.cpu, (umbra_gva){LA});
	expect(&n, LA, VEC_X, R_EXIT(0x1dc));
	nest_free(&n);
}

/* H-115: an ASID given to another nCR3 without a flush. */
static void h115_asid_reuse(void **test_state)
{
	(void)test_state;
	for (int way = 0; way < 3; way++) {
		struct nest n;

		nest_new(&n, true, VEC_4LEVEL, VEC_4LEVEL);
		run_l2(&n);
		expect(&n, LA, 0, R_OK(X1));
		run_l1(&n);
		n.m.state = n.l2;
		machine_npt(&n.m, VEC_4LEVEL);
		n.l2 = n.m.state;
		set_leaf(&n, X1, X2 | 7);
		n.l2.tag = way == 1 ? 2 : 1;
		n.l2.tlb_control = way == 2 ? 3 : 0;
		run_l2(&n);
		if (way)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
		nest_free(&n);
	}
}

/* H-97: GMET looks at CPL; so a page cached by CPL 3 is refused to CPL 0. */
static void h97_gmet(void **test_state)
{
	struct nest n;

	(void)test_state;
	nest_new(&n, true, VEC_4LEVEL, VEC_4LEVEL);
	n.l2.gmet = true;
	run_l2(&n);
	expect(&n, LA, VEC_U | VEC_X, R_OK(X1));
	expect(&n, LA, VEC_X, R_EXIT(UMBRA_NPF_FINAL | 0x11));
	set_leaf(&n, X1, X1 | 3);
	run_l1(&n);
	n.l2.tlb_control = 3;
	run_l2(&n);
	expect(&n, LA, VEC_X, R_OK(X1));
	expect(&n, LA, VEC_U | VEC_X, R_OK(X1));
	nest_free(&n);
}

/* H-98: read-only guest tables. */
static void h98_rogpt(void **test_state)
{
	struct nest n;
	uint64_t table;

	(void)test_state;
	nest_new(&n, true, VEC_4LEVEL, VEC_4LEVEL);
	table = n.l2_pte & ~0xfffull;
	set_leaf(&n, table, table | 5);
	run_l2(&n);
	expect(&n, LA, 0, R_EXIT(UMBRA_NPF_TABLE | 7));
	run_l1(&n);
	n.l2.rogpt = true;
	run_l2(&n);
	expect(&n, LA, 0, R_EXIT(UMBRA_NPF_TABLE | 7)); /* A is to be set */
	machine_set(&n.m, n.l2_pte, 8, X1 | 0x27);
	expect(&n, LA, 0, R_OK(X1));
	expect(&n, LA, VEC_W, R_EXIT(UMBRA_NPF_TABLE | 7)); /* D */
	nest_free(&n);
}

/* Every mode of L2 on every format of L1: an edit of either table, and what ends it. */
static void every_mode(void **test_state)
{
	(void)test_state;
	for (int paging = VEC_4LEVEL; paging <= VEC_UNPAGED; paging++) {
		for (int host = VEC_4LEVEL; host <= VEC_UNPAGED; host++) {
			bool amd = host != VEC_UNPAGED;
			uint64_t leaf = amd ? 7 : 0x37, la = paging == VEC_UNPAGED ? X1 : LA;
			struct nest n;

			nest_new(&n, amd, paging, amd ? host : VEC_4LEVEL);
			run_l2(&n);
			expect(&n, la, VEC_W, R_OK(X1));
			run_l1(&n);
			set_leaf(&n, X1, X2 | leaf);
			run_l2(&n);
			EXPECT_LEGAL(&n.m, la, VEC_W, R_OK(X1), R_OK(X2));
			expect(&n, la, VEC_W, R_OK(X1));
			run_l1(&n);
			if (amd)
				n.l2.tlb_control = 3;
			else
				assert_true(model_invept(n.m.cpu, 1, n.l2.eptp));
			run_l2(&n);
			n.l2.tlb_control = 0;
			EXPECT_LEGAL(&n.m, la, VEC_W, R_OK(X2));
			if (paging != VEC_UNPAGED) {
				expect(&n, la, 0, R_OK(X2));
				machine_poke(&n.m, n.l2_pte, 0x7007);
				EXPECT_LEGAL(&n.m, la, 0, R_OK(X2), R_OK(0x7000));
				model_invlpg(n.m.cpu, (umbra_gva){la});
				EXPECT_LEGAL(&n.m, la, 0, R_OK(0x7000));
			}
			nest_free(&n);
		}
	}
}

/* H-91: large nested leaves of each host format; PSE of a 32-bit host. */
static void h91_large_leaves(void **test_state)
{
	(void)test_state;
	for (int host = VEC_4LEVEL; host <= VEC_32BIT; host++) {
		unsigned size = vec_entry_size(host);
		uint64_t root, at;
		struct nest n;

		nest_new(&n, true, VEC_4LEVEL, host);
		root = n.l2.ncr3;
		for (int i = vec_top(host); i > 2; i--)
			root = machine_get(&n.m, root + vec_entry_offset(host, i, X1), size) &
			       0xfffff000;
		at = root + vec_entry_offset(host, 2, X1);
		n.l2.hcr4 |= UMBRA_CR4_PSE;
		machine_set(&n.m, at, size, 0x87);
		run_l2(&n);
		expect(&n, LA, 0, R_OK(X1));
		run_l1(&n);
		/* The page holds the guest's tables too: none where it goes to. */
		machine_set(&n.m, at, size, 0x400087);
		run_l2(&n);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(0x400000 + X1), R_PF(0));
		run_l1(&n);
		n.l2.tlb_control = 3;
		run_l2(&n);
		EXPECT_LEGAL(&n.m, LA, 0, R_PF(0));
		nest_free(&n);
	}
}

/* T-117, H-78: PDPTEs of L2 are VMCS fields; of L1 they come from memory at each exit. */
static void t117_pdptes(void **test_state)
{
	const struct vector base = {.paging = VEC_PAE};
	struct umbra_event event;
	struct nest n;
	uint64_t root;

	(void)test_state;
	nest_new(&n, false, VEC_PAE, VEC_4LEVEL);
	run_l2(&n);
	expect(&n, LA, 0, R_OK(X1));
	root = n.l2.regs.cr3;
	machine_set(&n.m, root, 8, 0);
	run_l1(&n);
	run_l2(&n); /* the fields that L1 wrote */
	model_invlpg(n.m.cpu, (umbra_gva){LA});
	EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1));
	/* A load that the EPT refuses is a violation without an address. */
	set_leaf(&n, root, 0);
	assert_true(model_invept(n.m.cpu, 2, 0));
	event = model_mov_cr3(n.m.cpu, root);
	assert_int_equal(event.kind, UMBRA_EVENT_EPT_VIOLATION);
	assert_int_equal(event.code, 1);
	set_leaf(&n, root, root | 0x37);
	assert_int_equal(model_mov_cr3(n.m.cpu, root).kind, UMBRA_EVENT_NONE);
	EXPECT_LEGAL(&n.m, LA, 0, R_PF(0));
	/* What VM exit would save. */
	assert_int_equal(model_state_of(n.m.cpu)->regs.pdpte[0], 0);
	/* Fields with reserved bits: entry fails, and nothing was flushed. */
	run_l1(&n);
	n.l2.tag = 0;
	n.l2.regs.pdpte[0] = 0x1003;
	expect(&n, LA, 0, R_OK(FRAME1));
	machine_set(&n.m, n.l1_pte, 8, FRAME2 | 7);
	assert_int_equal(model_enter(n.m.cpu, &n.l2).kind, UMBRA_EVENT_GP);
	EXPECT_LEGAL(&n.m, LA, 0, R_OK(FRAME1), R_OK(FRAME2));
	nest_free(&n);

	/* L1 in PAE mode. */
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	n.m.state = n.l1;
	n.m.paging = VEC_PAE;
	n.m.state.regs = vec_regs(&base);
	n.m.state.regs.cr3 = n.m.next_table;
	n.m.state.load_pdptes = false; /* an exit loads them all the same */
	n.m.next_table += 0x1000;
	machine_map(&n.m, LA, 1, FRAME1 | 7);
	n.l1 = n.m.state;
	run_l2(&n);
	run_l1(&n);
	expect(&n, LA, 0, R_OK(FRAME1));
	machine_set(&n.m, n.l1.regs.cr3, 8, 0x1003);
	run_l2(&n);
	assert_int_equal(model_exit(n.m.cpu, &n.l1).kind, UMBRA_EVENT_GP);
	nest_free(&n);
}

/* T-62, H-82: L1 reads the log that L2's accesses filled, and the index. */
static void t62_pml(void **test_state)
{
	struct nest n;

	(void)test_state;
	nest_new(&n, false, VEC_UNPAGED, VEC_4LEVEL);
	n.l2.eptp |= 0x40;
	n.l2.pml = true;
	n.l2.pml_address = 0xd000;
	n.l2.pml_index = 1;
	run_l2(&n);
	expect(&n, X1 + 0x10, VEC_W, R_OK(X1));
	assert_int_equal(model_state_of(n.m.cpu)->pml_index, 0);
	n.l2.pml_index = 0;
	run_l1(&n);
	assert_int_equal(machine_get(&n.m, 0xd008, 8), X1);
	run_l2(&n);
	expect(&n, X2, VEC_W, R_OK(X2));
	assert_int_equal(machine_get(&n.m, 0xd000, 8), X2);
	assert_int_equal(model_state_of(n.m.cpu)->pml_index, 0xffff);
	assert_int_equal(machine_access(&n.m, 0x7000, VEC_W).event.kind, UMBRA_EVENT_PML_FULL);
	assert_int_equal(machine_get(&n.m, leaf_of(&n, 0x7000), 8), 0x7037);
	/* L1 drains it: clears D, invalidates, starts again. */
	run_l1(&n);
	n.l2.pml_index = 511;
	set_leaf(&n, X1, X1 | 0x37);
	run_l2(&n);
	expect(&n, X1, VEC_W, R_OK(X1)); /* T-109: cached dirty, so no log */
	assert_int_equal(model_state_of(n.m.cpu)->pml_index, 511);
	assert_true(model_invept(n.m.cpu, 1, n.l2.eptp));
	expect(&n, X1, VEC_W, R_OK(X1));
	assert_int_equal(model_state_of(n.m.cpu)->pml_index, 510);
	nest_free(&n);
}

/* T-115 for INVEPT and TLB_CONTROL: each CPU for itself. */
static void t115_two_cpus(void **test_state)
{
	(void)test_state;
	for (int amd = 0; amd < 2; amd++) {
		struct model_cpu *first, *second;
		struct nest n;

		nest_new(&n, amd, VEC_4LEVEL, VEC_4LEVEL);
		first = n.m.cpu;
		second = model_cpu_new(n.m.mem, &n.m.config);
		for (int i = 0; i < 2; i++) {
			n.m.cpu = i ? second : first;
			run_l2(&n);
			expect(&n, LA, 0, R_OK(X1));
		}
		n.m.cpu = first;
		run_l1(&n);
		set_leaf(&n, X1, X2 | (amd ? 7 : 0x37));
		if (!amd)
			assert_true(model_invept(first, 2, 0));
		n.l2.tlb_control = amd ? 1 : 0;
		run_l2(&n);
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
		n.m.cpu = second;
		EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
		expect(&n, LA, 0, R_OK(X1));
		run_l1(&n);
		run_l2(&n);
		if (!amd)
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X1), R_OK(X2));
		else
			EXPECT_LEGAL(&n.m, LA, 0, R_OK(X2));
		model_cpu_free(first);
		nest_free(&n);
	}
}

/* H-105: tables above the one that the second stage hides may be cached. */
static void h105_tables_above_a_violation(void **test_state)
{
	struct nest n;
	uint64_t pde, table;

	(void)test_state;
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	n.m.config.choices = MODEL_A_ON_FAULT;
	n.m.state = n.l1;
	machine_start(&n.m, MODEL_HOSTILE);
	n.m.state = n.l2;
	pde = machine_entry(&n.m, LA, 2);
	table = n.l2_pte & ~0xfffull;
	set_leaf(&n, table, 0);
	run_l2(&n);
	expect(&n, LA, 0, R_EXIT(0x081));
	set_leaf(&n, table, table | 0x37);
	/* The PDPTE now leads to another directory; the CPU may know the first. */
	memcpy(n.m.ram + n.m.next_table, n.m.ram + (pde & ~0xfffull), 4096);
	machine_set(&n.m, n.m.next_table | (pde & 0xfff), 8, 0);
	n.m.state = n.l2;
	machine_set(&n.m, machine_entry(&n.m, LA, 3), 8, n.m.next_table | 7);
	EXPECT_LEGAL(&n.m, LA, 0, R_PF(0), R_OK(X1));
	nest_free(&n);
}

/* What is no exit: a second stage, or a tag. */
static void exit_checks(void **test_state)
{
	struct model_state bad;
	struct nest n;

	(void)test_state;
	nest_new(&n, false, VEC_4LEVEL, VEC_4LEVEL);
	run_l2(&n);
	assert_int_equal(model_exit(n.m.cpu, &n.l2).kind, UMBRA_EVENT_GP);
	bad = n.l1;
	bad.tag = 3;
	assert_int_equal(model_exit(n.m.cpu, &bad).kind, UMBRA_EVENT_GP);
	bad = n.l1;
	bad.regs.cr3 |= 1ull << 50;
	assert_int_equal(model_exit(n.m.cpu, &bad).kind, UMBRA_EVENT_GP);
	assert_int_equal(model_state_of(n.m.cpu)->stage2, MODEL_EPT);
	nest_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"H-112 VM entry and exit", h112_vmx_transitions},
		{"H-112 VM exit without VPIDs", h112_vmx_exit_only},
		{"H-112 VMRUN and #VMEXIT", h112_svm_transitions},
		{"H-112 tags of L1 and L2", h112_own_tags},
		{"T-104 INVEPT and INVVPID by L1", t104_root_invalidates},
		{"H-112 INVVPID 0 and INVLPGA by L1", h112_root_invalidates_address},
		{"H-114 INVVPID by L1 and fragments", h114_root_and_fragments},
		{"T-108 several EPTPs", t108_eptps},
		{"H-87 VMFUNC", h87_vmfunc},
		{"H-81 A/D per EPTP", h81_ad_per_eptp},
		{"H-75 MBEC per guest", h75_mbec_per_guest},
		{"H-115 ASID of another nCR3", h115_asid_reuse},
		{"H-97 GMET", h97_gmet},
		{"H-98 ROGPT", h98_rogpt},
		{"every mode on every format", every_mode},
		{"H-91 large nested leaves", h91_large_leaves},
		{"T-117 PDPTEs of L2 and L1", t117_pdptes},
		{"T-62 page-modification log", t62_pml},
		{"T-115 two CPUs", t115_two_cpus},
		{"H-105 tables above a violation", h105_tables_above_a_violation},
		{"exit checks", exit_checks},
	};

	return cmocka_run_group_tests_name("nested", tests, NULL, NULL);
}
