/* SPDX-License-Identifier: MIT */
/*
 * test_walk.c - chains of spaces, flags and memory windows.
 *
 * What one space does with its entries is in tests/format; here: a guest under EPT
 * under another EPT, where a fault is reported and as what, the smallest page of a
 * chain, memory whose window moves, spaces without paging.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/walk.h"

#define PAGES 64u
#define SIZE (PAGES * 4096u)
#define GUEST(level) (0x1000ull * (level))
#define FRAME 0x8000ull
#define MIDDLE(level) (0x10000ull + 0x1000ull * (level))
#define OUTER(level) (0x20000ull + 0x1000ull * (level))
#define GVA 0x0000112233445678ull

/* Three spaces: a guest, L1's EPT and L0's; all tables map addresses onto themselves. */
static struct chain {
	_Alignas(4096) uint8_t ram[SIZE];
	struct memory memory;
	struct mode guest_mode, middle_mode, outer_mode;
	struct space guest, middle, outer;
	struct walk out;
	unsigned finds;
} c;

static uint64_t *entry(uint64_t table, unsigned level, uint64_t address)
{
	return (uint64_t *)(void *)&c.ram[table + (address >> (3 + 9 * level) & 511) * 8];
}

static uint64_t *guest_entry(unsigned level)
{
	return entry(GUEST(level), level, GVA);
}

static void identity(uint64_t (*table)(unsigned), uint64_t bits)
{
	for (unsigned level = 4; level > 1; level--)
		*entry(table(level), level, 0) = table(level - 1) | 7;
	for (uint64_t page = 0; page < PAGES; page++)
		*entry(table(1), 1, page << 12) = page << 12 | bits;
}

static uint64_t middle_table(unsigned level)
{
	return MIDDLE(level);
}

static uint64_t outer_table(unsigned level)
{
	return OUTER(level);
}

static bool find(struct memory *memory, uint64_t address)
{
	c.finds++;
	if (address >= SIZE)
		return false;
	memory->base = address & ~0xfffull;
	memory->size = 4096;
	memory->bytes = c.ram + memory->base;
	return true;
}

static void build(uint32_t guest_flags, uint32_t ept_flags)
{
	memset(&c, 0, sizeof(c));
	c.memory = (struct memory){.size = SIZE, .bytes = c.ram, .writable = true};
	mode_bind(&c.guest_mode, &format_4, guest_flags | MODE_NX | MODE_WP, 46);
	mode_bind(&c.middle_mode, &format_ept4, ept_flags | MODE_1G | MODE_2M, 46);
	c.outer_mode = c.middle_mode;
	c.guest = (struct space){&c.guest_mode, GUEST(4), .parent = &c.middle, .memory = &c.memory};
	c.middle = (struct space){&c.middle_mode, MIDDLE(4) | 0x1e, .parent = &c.outer,
				  .memory = &c.memory};
	c.outer = (struct space){&c.outer_mode, OUTER(4) | 0x1e, .memory = &c.memory};
	for (unsigned level = 4; level > 1; level--)
		*guest_entry(level) = GUEST(level - 1) | 7;
	*guest_entry(1) = FRAME | 7;
	identity(middle_table, 0x37);
	identity(outer_table, 0x37);
}

static enum walk_end go(unsigned access, unsigned flags)
{
	return walk(&c.guest, GVA, access, flags, &c.out);
}

static void test_three(void **state)
{
	(void)state;
	build(0, MODE_AD);
	assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_OK);
	assert_int_equal(c.out.address, FRAME | 0x678);
	assert_int_equal(c.out.final, FRAME | 0x678);
	assert_int_equal(c.out.page_shift, 12);
	/* A and D of every stage: the frame was written, the tables were. */
	assert_int_equal(*guest_entry(1), FRAME | 0x67);
	assert_int_equal(*entry(MIDDLE(1), 1, FRAME), FRAME | 0x337);
	assert_int_equal(*entry(MIDDLE(1), 1, GUEST(1)), GUEST(1) | 0x337);
	assert_int_equal(*entry(OUTER(1), 1, MIDDLE(1)), MIDDLE(1) | 0x337);
	assert_int_equal(*entry(OUTER(1), 1, FRAME), FRAME | 0x337);
	assert_int_equal(*entry(MIDDLE(4), 4, 0), MIDDLE(3) | 0x107);
}

/* Where in the chain it stops, and what bit 8 says about it. */
static void test_where(void **state)
{
	(void)state;
	build(0, 0);
	*entry(OUTER(1), 1, FRAME) = 0;
	assert_int_equal(go(0, 0), WALK_NOT_PRESENT);
	assert_true(c.out.in_parent);
	assert_int_equal(c.out.event.kind, UMBRA_EVENT_EPT_VIOLATION);
	assert_int_equal(c.out.event.code, 0x181);
	assert_int_equal(c.out.event.gpa.v, FRAME | 0x678);
	assert_int_equal(c.out.event.gva.v, GVA);

	build(0, 0);
	*entry(OUTER(1), 1, MIDDLE(1)) = 0;
	assert_int_equal(go(0, 0), WALK_NOT_PRESENT);
	assert_int_equal(c.out.event.code, 0x081);
	assert_int_equal(c.out.event.gpa.v, MIDDLE(1) + GUEST(4) / 512);

	build(0, 0);
	*entry(MIDDLE(1), 1, GUEST(2)) = 0;
	assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_NOT_PRESENT);
	assert_int_equal(c.out.event.code, 0x081);
	assert_int_equal(c.out.level, 2);
	assert_int_equal(c.out.event.gpa.v, (uint64_t)((uint8_t *)guest_entry(2) - c.ram));

	/* What the middle makes of a table's address is still a table's. */
	build(0, 0);
	*entry(OUTER(1), 1, GUEST(1)) = 0;
	assert_int_equal(go(0, 0), WALK_NOT_PRESENT);
	assert_int_equal(c.out.event.code, 0x081);
	assert_int_equal(c.out.event.gpa.v, (uint64_t)((uint8_t *)guest_entry(1) - c.ram));

	/* The middle space itself, walked directly: no linear address. */
	*entry(MIDDLE(1), 1, 0x9000) = 0x9000 | 0x31;
	assert_int_equal(walk(&c.middle, 0x9008, UMBRA_ACCESS_WRITE, 0, &c.out), WALK_DENIED);
	assert_int_equal(c.out.event.code, 0xa & 0xf);
	assert_int_equal(c.out.event.gpa.v, 0x9008);
	assert_false(c.out.in_parent);
}

static void test_flags(void **state)
{
	(void)state;
	build(0, MODE_AD);
	assert_int_equal(go(UMBRA_ACCESS_WRITE, WALK_NO_AD), WALK_OK);
	assert_int_equal(*guest_entry(1), FRAME | 7);
	assert_int_equal(*entry(MIDDLE(1), 1, FRAME), FRAME | 0x37);
	assert_int_equal(*entry(OUTER(1), 1, FRAME), FRAME | 0x37);
	assert_int_equal(c.out.final, FRAME | 0x678);

	*entry(MIDDLE(1), 1, FRAME) = 0x9000 | 0x37;
	assert_int_equal(go(0, WALK_NO_AD), WALK_OK);
	assert_int_equal(c.out.final, 0x9678);
	assert_int_equal(go(0, WALK_NO_AD | WALK_NO_FINAL), WALK_OK);
	assert_int_equal(c.out.final, FRAME | 0x678);

	*guest_entry(1) = FRAME | 1;
	assert_int_equal(go(UMBRA_ACCESS_USER | UMBRA_ACCESS_WRITE, WALK_NO_RIGHTS), WALK_OK);
	assert_int_equal(c.out.acc, ACC_READ | ACC_EXEC);
	assert_int_equal(c.out.acc_upper, ACC_ALL);
	assert_int_equal(*guest_entry(1), FRAME | 1);
}

/* H-85: the smallest page of the chain. */
static void test_page_shift(void **state)
{
	(void)state;
	build(MODE_1G, 0);
	*entry(OUTER(2), 2, 0) = 0xb7;
	assert_int_equal(go(0, 0), WALK_OK);
	assert_int_equal(c.out.page_shift, 12);
	*guest_entry(2) = 0x87;
	*entry(MIDDLE(3), 3, 0) = 0xb7;
	assert_int_equal(walk(&c.guest, GVA & ~0x1fffffull, 0, 0, &c.out), WALK_OK);
	assert_int_equal(c.out.page_shift, 21);
	c.guest.mode = NULL;
	assert_int_equal(walk(&c.guest, 0x5123, 0, 0, &c.out), WALK_OK);
	assert_int_equal(c.out.page_shift, 21);
	assert_int_equal(c.out.level, 0);
	c.guest.parent = NULL;
	assert_int_equal(walk(&c.guest, 0x5123, 0, 0, &c.out), WALK_OK);
	assert_int_equal(c.out.page_shift, 64);
	assert_int_equal(c.out.acc, ACC_ALL);
	assert_int_equal(c.out.final, 0x5123);
}

/* G-30(3): a table where there is no memory is "not present", and tells so. */
static void test_absent(void **state)
{
	(void)state;
	build(0, 0);
	*guest_entry(2) = SIZE | 7;
	*entry(MIDDLE(1), 1, SIZE) = SIZE | 0x37;
	*entry(OUTER(1), 1, SIZE) = SIZE | 0x37;
	assert_int_equal(go(UMBRA_ACCESS_USER, 0), WALK_ABSENT);
	assert_int_equal(c.out.event.kind, UMBRA_EVENT_PF);
	assert_int_equal(c.out.event.code, UMBRA_PF_U);
	assert_int_equal(c.out.event.gva.v, GVA);

	build(0, 0);
	*entry(MIDDLE(2), 2, 0) = SIZE | 7;
	*entry(OUTER(1), 1, SIZE) = SIZE | 0x37;
	assert_int_equal(go(0, 0), WALK_ABSENT);
	assert_true(c.out.in_parent);
	assert_int_equal(c.out.event.kind, UMBRA_EVENT_EPT_VIOLATION);
	assert_int_equal(c.out.event.code, 0x081);
}

static void test_window(void **state)
{
	(void)state;
	build(0, MODE_AD);
	c.memory.size = 0;
	c.memory.find = find;
	assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_OK);
	assert_int_equal(c.out.final, FRAME | 0x678);
	assert_true(c.finds > 24);
	assert_int_equal(*guest_entry(1), FRAME | 0x67);
	assert_int_equal(*entry(OUTER(1), 1, FRAME), FRAME | 0x337);
	c.memory.find = NULL;
	c.memory.size = 0;
	assert_int_equal(go(0, 0), WALK_ABSENT);
}

/* A walk in memory that nobody may write: nothing is marked, nobody complains (G-36). */
static void test_read_only(void **state)
{
	static uint8_t before[SIZE];

	(void)state;
	build(0, MODE_AD);
	c.memory.writable = false;
	memcpy(before, c.ram, SIZE);
	assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_OK);
	assert_false(c.out.dirty);
	assert_memory_equal(before, c.ram, SIZE);
}

/* Two vendors' machines in one process share nothing. */
static void test_two_vendors(void **state)
{
	struct mode npt;

	(void)state;
	build(0, 0);
	mode_bind(&npt, &format_4, MODE_NPT | MODE_NX | MODE_WP, 46);
	c.middle = (struct space){&npt, MIDDLE(4), .memory = &c.memory};
	for (uint64_t page = 0; page < PAGES; page++)
		*entry(MIDDLE(1), 1, page << 12) = page << 12 | 7;
	*entry(MIDDLE(1), 1, FRAME) = FRAME | 3;
	assert_int_equal(go(0, 0), WALK_DENIED);
	assert_int_equal(c.out.event.kind, UMBRA_EVENT_NPF);
	assert_int_equal(c.out.event.code, UMBRA_NPF_FINAL | 5);
	/* Directly walked, it is a final access too. */
	assert_int_equal(walk(&c.middle, FRAME, UMBRA_ACCESS_USER, 0, &c.out), WALK_DENIED);
	assert_int_equal(c.out.event.code, UMBRA_NPF_FINAL | 5);
	c.guest.parent = &c.outer;
	assert_int_equal(go(0, 0), WALK_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three),     cmocka_unit_test(test_where),
		cmocka_unit_test(test_flags),     cmocka_unit_test(test_page_shift),
		cmocka_unit_test(test_absent),    cmocka_unit_test(test_window),
		cmocka_unit_test(test_read_only), cmocka_unit_test(test_two_vendors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
