/* SPDX-License-Identifier: MIT */
/*
 * ve.c - T-65 and T-66 where one row is not enough: #VE and paging-write control with
 * caches, VMFUNC, loads of PDPTEs, page crossing, and where the manuals are unsure.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LA 0x0000112233445000ull
#define X1 0x5000ull
#define X2 0x6000ull
#define AREA 0xe000ull
#define LIST 0xc000ull
#define SVE (1ull << 63)
#define PWA (1ull << 58)

/* A guest under EPT, LA -> X1, with the #VE control. */
static void new (struct machine *m, enum vector_paging paging, enum model_caching caching)
{
	machine_new(m, false, paging);
	machine_map(m, paging == VEC_PAE ? 0 : LA, 1, X1 | 0x67);
	machine_ept(m);
	m->state.ve = true;
	m->state.ve_area = AREA;
	m->state.eptp_index = 7;
	machine_start(m, caching);
}

static void set_leaf(struct machine *m, uint64_t gpa, uint64_t entry)
{
	machine_set(m, machine_leaf_of(m, gpa), 8, entry);
}

/* The guest has read the area. */
static void clear_area(struct machine *m)
{
	machine_set(m, AREA + 4, 4, 0);
}

static void expect(struct machine *m, uint64_t gva, unsigned access, uint64_t want)
{
	assert_int_equal(machine_try(m, gva, access), want);
}

static void expect_area(const struct machine *m, uint64_t code, uint64_t gva, uint64_t gpa,
			uint64_t index)
{
	assert_int_equal(machine_get(m, AREA, 8), 0xffffffff00000030ull);
	assert_int_equal(machine_get(m, AREA + 8, 8), code);
	assert_int_equal(machine_get(m, AREA + 16, 8), gva);
	assert_int_equal(machine_get(m, AREA + 24, 8), gpa);
	assert_int_equal(machine_get(m, AREA + 32, 2), index);
}

/* H-83: one #VE, then exits, until the guest says that it has read the area. */
static void one_at_a_time(void **test_state)
{
	struct machine m;

	(void)test_state;
	new (&m, VEC_4LEVEL, MODEL_HOSTILE);
	set_leaf(&m, X1, 0);
	expect(&m, LA + 0x10, VEC_W, R_VE(0x182));
	expect_area(&m, 0x182, LA + 0x10, X1 + 0x10, 7);
	expect(&m, LA, 0, R_EXIT(0x181));
	expect_area(&m, 0x182, LA + 0x10, X1 + 0x10, 7);
	clear_area(&m);
	expect(&m, LA, 0, R_VE(0x181));
	expect_area(&m, 0x181, LA, X1, 7);
	/* No RAM for the area: it reads as ones, which is busy. */
	m.state.ve_area = MACHINE_RAM;
	machine_enter(&m);
	expect(&m, LA, 0, R_EXIT(0x181));
	machine_free(&m);
}

/* Bit 63 is cached with the rest of the leaf; nothing is told of an absent one. */
static void cached_leaf(void **test_state)
{
	struct machine m;

	(void)test_state;
	new (&m, VEC_4LEVEL, MODEL_HOSTILE);
	set_leaf(&m, X1, X1 | 0x35);
	expect(&m, LA, 0, R_OK(X1));
	set_leaf(&m, X1, X1 | SVE | 0x35);
	EXPECT_LEGAL(&m, LA, VEC_W, R_VE(0x1aa), R_EXIT(0x1aa));
	/* A violation forgets the page (H-123), whoever is told of it. */
	expect(&m, LA, VEC_W, R_VE(0x1aa));
	clear_area(&m);
	EXPECT_LEGAL(&m, LA, VEC_W, R_EXIT(0x1aa));
	/* T-105: rights were given, and the CPU may not know. */
	set_leaf(&m, X1, X1 | 0x35);
	assert_true(model_invept(m.cpu, 1, m.state.eptp));
	expect(&m, LA, 0, R_OK(X1));
	set_leaf(&m, X1, X1 | 0x37);
	EXPECT_LEGAL(&m, LA, VEC_W, R_VE(0x1aa), R_OK(X1));
	expect(&m, LA, VEC_W, R_VE(0x1aa));
	clear_area(&m);
	EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1));
	set_leaf(&m, X1, SVE);
	assert_true(model_invept(m.cpu, 1, m.state.eptp));
	EXPECT_LEGAL(&m, LA, VEC_W, R_EXIT(0x182));
	set_leaf(&m, X1, 0);
	EXPECT_LEGAL(&m, LA, VEC_W, R_VE(0x182));
	machine_free(&m);
}

static void page_crossing(void **test_state)
{
	struct model_access a = {.gva.v = LA + 0xffe, .size = 4, .access = VEC_W};
	struct model_outcome o, legal[8];
	struct machine m;

	(void)test_state;
	new (&m, VEC_4LEVEL, MODEL_STRICT);
	machine_map(&m, LA + 0x1000, 1, X2 | 0x67);
	set_leaf(&m, X2, X2 | 0x31);
	assert_int_equal(model_legal(m.cpu, &a, legal, 8), 1);
	assert_int_equal(machine_short(&legal[0]), R_VE(0x18a));
	model_access(m.cpu, &a, &o);
	assert_int_equal(machine_short(&o), R_VE(0x18a));
	expect_area(&m, 0x18a, LA + 0x1000, X2, 7);
	clear_area(&m);
	/* Compared are address and qualification. */
	assert_true(model_explains(m.cpu, &a, &o));
	o.event.gva.v++;
	assert_false(model_explains(m.cpu, &a, &o));
	o.event.gva.v--;
	o.event.gpa.v++;
	assert_false(model_explains(m.cpu, &a, &o));
	machine_free(&m);
}

/* H-78: a load of PDPTEs has no linear address; the MOV does not happen. */
static void pdpte_load(void **test_state)
{
	struct model_load load = {0};
	struct umbra_event event;
	struct machine m;
	uint64_t root;

	(void)test_state;
	for (unsigned suppress = 0; suppress < 2; suppress++) {
		new (&m, VEC_PAE, MODEL_HOSTILE);
		root = m.state.regs.cr3;
		set_leaf(&m, 0x7000, suppress ? SVE : 0);
		/* A follower takes what there could be, and nothing else. */
		load.event = (struct umbra_event){.kind = suppress ? UMBRA_EVENT_EPT_VIOLATION
								   : UMBRA_EVENT_VE,
						  .code = 1,
						  .gpa.v = 0x7000};
		model_load_as(m.cpu, &load);
		assert_int_equal(model_mov_cr3(m.cpu, 0x7000).kind, load.event.kind);
		load.event.kind = suppress ? UMBRA_EVENT_VE : UMBRA_EVENT_EPT_VIOLATION;
		assert_int_not_equal(model_mov_cr3(m.cpu, 0x7000).kind, load.event.kind);
		assert_int_equal(machine_get(&m, AREA, 8), 0);
		model_load_as(m.cpu, NULL);
		event = model_mov_cr3(m.cpu, 0x7000);
		assert_int_equal(event.code, 1);
		assert_int_equal(event.gpa.v, 0x7000);
		assert_int_equal(model_state_of(m.cpu)->regs.cr3, root);
		if (suppress) {
			assert_int_equal(event.kind, UMBRA_EVENT_EPT_VIOLATION);
			assert_int_equal(machine_get(&m, AREA, 8), 0);
		} else {
			assert_int_equal(event.kind, UMBRA_EVENT_VE);
			expect_area(&m, 1, 0, 0x7000, 7);
			assert_int_equal(model_mov_cr3(m.cpu, 0x7000).kind,
					 UMBRA_EVENT_EPT_VIOLATION);
		}
		machine_free(&m);
	}
}

/* VMFUNC 0 writes the EPTP index, if the control is on. */
static void vmfunc_index(void **test_state)
{
	struct machine m;

	(void)test_state;
	for (unsigned ve = 0; ve < 2; ve++) {
		new (&m, VEC_4LEVEL, MODEL_STRICT);
		m.state.ve = ve;
		machine_enter(&m);
		machine_set(&m, LIST + 300 * 8, 8, m.state.eptp);
		set_leaf(&m, X1, 0);
		assert_int_equal(model_vmfunc_eptp(m.cpu, (umbra_hpa){LIST}, 299).kind,
				 UMBRA_EVENT_VMFUNC);
		assert_int_equal(model_state_of(m.cpu)->eptp_index, 7);
		assert_int_equal(model_vmfunc_eptp(m.cpu, (umbra_hpa){LIST}, 300).kind,
				 UMBRA_EVENT_NONE);
		assert_int_equal(model_state_of(m.cpu)->eptp_index, ve ? 300 : 7);
		expect(&m, LA, 0, ve ? R_VE(0x181) : R_EXIT(0x181));
		if (ve)
			expect_area(&m, 0x181, LA, X1, 300);
		machine_free(&m);
	}
}

/* U-10: no entry was used, so nobody says whether it suppresses #VE. */
static void beyond_reach(void **test_state)
{
	const uint64_t exit = R_EXIT(0x181 & ~0x78ull), ve = R_VE(0x181 & ~0x78ull);
	struct machine m;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	m.config.cpu.maxphyaddr = 52;
	machine_map(&m, LA, 1, 1ull << 48 | 0x67);
	machine_ept(&m);
	m.state.ve = true;
	m.state.ve_area = AREA;
	machine_start(&m, MODEL_STRICT);
	EXPECT_LEGAL(&m, LA, 0, exit, ve);
	expect(&m, LA, 0, exit);
	machine_set(&m, AREA + 4, 4, 1);
	EXPECT_LEGAL(&m, LA, 0, exit);
	machine_free(&m);
}

/* The violation of a follower's machine may be a #VE: the same is forgotten. */
static void follower_forgets(void **test_state)
{
	const struct umbra_event event = {
		.kind = UMBRA_EVENT_VE, .code = 0x1aa, .gva.v = LA, .gpa.v = X1};
	const struct model_access a = {.gva.v = LA, .size = 4, .access = VEC_W};
	struct machine m;

	(void)test_state;
	new (&m, VEC_4LEVEL, MODEL_HOSTILE);
	set_leaf(&m, X1, X1 | 0x35);
	expect(&m, LA, 0, R_OK(X1));
	set_leaf(&m, X1, X1 | 0x37);
	EXPECT_LEGAL(&m, LA, VEC_W, R_VE(0x1aa), R_OK(X1));
	model_took_exit(m.cpu, &a, &event);
	EXPECT_LEGAL(&m, LA, VEC_W, R_OK(X1));
	machine_free(&m);
}

/* U-9: does bit 58 of the leaf do for the W of the levels above too? */
static void non_leaf_w(void **test_state)
{
	(void)test_state;
	for (unsigned ad = 0; ad < 2; ad++) {
		for (unsigned bit58 = 0; bit58 < 2; bit58++) {
			uint64_t leaves, pte, page, exit = R_EXIT(ad ? 0x0ab : 0x0aa);
			struct machine m;

			machine_new(&m, false, VEC_5LEVEL);
			pte = machine_map(&m, LA, 1, X1 | 0x47);
			for (int level = 2; level <= 5; level++) {
				uint64_t at = machine_entry(&m, LA, level);

				machine_poke(&m, at, machine_peek(&m, at) | 0x20);
			}
			machine_ept(&m);
			m.state.paging_write = true;
			m.state.eptp |= ad ? 0x40 : 0;
			/* The entry above the leaves of the first 2M, where all tables are. */
			leaves = machine_leaf_of(&m, 0) & ~0xfffull;
			for (uint64_t at = m.state.eptp & ~0xfffull; at != leaves;) {
				uint64_t e = machine_get(&m, at, 8);

				machine_set(&m, at, 8, (e & ~0xfffull) == leaves ? e & ~2ull : e);
				at = e & ~0xfffull;
			}
			for (page = 0x100000; page < m.next_table; page += 0x1000)
				set_leaf(&m, page, page | (bit58 ? PWA : 0) | 0x37);
			machine_start(&m, MODEL_STRICT);
			if (bit58)
				EXPECT_LEGAL(&m, LA, 0, exit, R_OK(X1));
			else
				EXPECT_LEGAL(&m, LA, 0, exit);
			expect(&m, LA, 0, exit);
			assert_int_equal(machine_peek(&m, pte), X1 | 0x47);
			machine_free(&m);
		}
	}
}

/* Rights of a table's page are cached, bit 58 among them. */
static void cached_bit58(void **test_state)
{
	struct machine m;
	uint64_t pte, page;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	pte = machine_map(&m, LA, 1, X1 | 7);
	page = pte & ~0xfffull;
	machine_ept(&m);
	m.state.paging_write = true;
	machine_start(&m, MODEL_HOSTILE);
	set_leaf(&m, page, page | PWA | 0x35);
	expect(&m, LA, 0, R_OK(X1));
	set_leaf(&m, page, page | 0x35);
	machine_poke(&m, pte, X2 | 7);
	EXPECT_LEGAL(&m, LA, 0, R_OK(X1), R_OK(X2), R_EXIT(0x0aa));
	model_invlpg(m.cpu, (umbra_gva){LA}); /* the guest-physical page stays */
	EXPECT_LEGAL(&m, LA, 0, R_OK(X2), R_EXIT(0x0aa));
	assert_true(model_invept(m.cpu, 1, m.state.eptp));
	EXPECT_LEGAL(&m, LA, 0, R_EXIT(0x0aa));
	machine_free(&m);
}

/* A follower knows what a CPU of either reading of U-9 could have cached. */
static void follower_of_bit58(void **test_state)
{
	const struct model_access a = {.gva.v = LA, .size = 4};
	bool first = false, second = false, violation = false;
	struct model_outcome legal[16];
	uint64_t pte, upper, page;
	struct machine m;
	unsigned count;

	(void)test_state;
	machine_new(&m, false, VEC_4LEVEL);
	pte = machine_map(&m, LA, 1, X1 | 0x27);
	for (int level = 2; level <= 4; level++) {
		uint64_t at = machine_entry(&m, LA, level);

		machine_poke(&m, at, machine_peek(&m, at) | 0x20);
	}
	machine_ept(&m);
	m.state.paging_write = true;
	m.state.eptp |= 0x40;
	upper = m.state.eptp & ~0xfffull;
	for (int level = 4; level >= 2; level--) {
		uint64_t e = machine_get(&m, upper, 8);

		machine_set(&m, upper, 8, (e & ~2ull) | (level == 2 ? 0 : 2) | 0x100);
		upper = e & ~0xfffull;
	}
	for (page = 0; page < m.next_table; page += 0x1000)
		set_leaf(&m, page, page | PWA | 0x335);
	machine_start(&m, MODEL_HOSTILE);
	model_gather(m.cpu, (umbra_gva){LA}, NULL);
	machine_poke(&m, pte, X2 | 0x27);
	/* Besides the violations of each table that may be where the walk begins. */
	count = model_legal(m.cpu, &a, legal, 16);
	assert_in_range(count, 3, 16);
	for (unsigned i = 0; i < count; i++) {
		first |= machine_short(&legal[i]) == R_OK(X1);
		second |= machine_short(&legal[i]) == R_OK(X2);
		violation |= machine_short(&legal[i]) == R_EXIT(0x0ab);
	}
	assert_true(first && second && violation);
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"T-65 one #VE at a time", one_at_a_time},
		{"T-65 bit 63 cached", cached_leaf},
		{"T-65 page crossing", page_crossing},
		{"T-65 loads of PDPTEs", pdpte_load},
		{"T-65 VMFUNC and the EPTP index", vmfunc_index},
		{"T-65 U-10 beyond the EPT's reach", beyond_reach},
		{"T-65 a follower's #VE", follower_forgets},
		{"T-66 U-9 W above the leaf", non_leaf_w},
		{"T-66 bit 58 cached", cached_bit58},
		{"T-66 U-9 followers", follower_of_bit58},
	};

	return cmocka_run_group_tests_name("ve", tests, NULL, NULL);
}
