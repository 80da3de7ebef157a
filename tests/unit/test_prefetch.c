/* SPDX-License-Identifier: MIT */
/*
 * test_prefetch.c - which neighbours of a fault are mapped with it (S-9).
 */
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull

#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE

static void open_shadow(struct kit *kit, uint64_t cr4)
{
	const struct umbra_regs long_mode = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PML4,
		.cr4 = UMBRA_CR4_PAE | cr4,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_root root;

	kit_open(kit, &config, 1);
	put64(kit, PML4, PDPT | 7);
	put64(kit, PDPT, PD | 7);
	put64(kit, PD, PT | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(kit, PT + 8 * i, i * PAGE | 0x67);
	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, &long_mode, true), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
}

static void expect(struct kit *kit, unsigned page, unsigned acc)
{
	const struct seen seen = look(kit, page * PAGE);

	assert_int_equal(seen.leaf, acc != 0);
	if (acc)
		assert_int_equal(seen.acc, acc);
}

/* Its block of eight entries, each with the guest's rights, none without A. */
static void neighbours(void **unused)
{
	const unsigned rx = ACC_READ | ACC_EXEC;
	struct kit kit;

	(void)unused;
	open_shadow(&kit, 0);
	put64(&kit, PT + 8 * 17, 17 * PAGE | 0x65); /* read-only */
	put64(&kit, PT + 8 * 18, 18 * PAGE | 0x27); /* not dirty */
	put64(&kit, PT + 8 * 19, 19 * PAGE | 0x07); /* not accessed */
	put64(&kit, PT + 8 * 20, 20 * PAGE | 0x66); /* not present */
	put64(&kit, PT + 8 * 21, BYTES | 0x67); /* no memory */
	put64(&kit, PT + 8 * 22, PD | 0x67); /* a mirrored table */
	put64(&kit, PT + 8 * 23, 23 * PAGE | 0x63 | 1ull << 63); /* supervisor, NX */
	resume(&kit, 16 * PAGE, R);
	expect(&kit, 15, 0);
	expect(&kit, 16, rx | ACC_USER | ACC_WRITE);
	expect(&kit, 17, rx | ACC_USER);
	expect(&kit, 18, rx | ACC_USER);
	expect(&kit, 19, 0);
	expect(&kit, 20, 0);
	expect(&kit, 21, 0);
	expect(&kit, 22, rx | ACC_USER);
	expect(&kit, 23, ACC_READ | ACC_WRITE);
	expect(&kit, 24, 0);
	assert_int_equal(kit_stats(&kit).pages_4k, 5);
	kit_close(&kit);
}

/* H-54: what may be a shadow-stack page is left to its own fault. */
static void not_shadow_stacks(void **unused)
{
	struct kit kit;

	(void)unused;
	open_shadow(&kit, UMBRA_CR4_CET);
	put64(&kit, PT + 8 * 17, 17 * PAGE | 0x65);
	resume(&kit, 16 * PAGE, R);
	expect(&kit, 17, 0);
	assert_true(look(&kit, 18 * PAGE).leaf);
	assert_int_equal(kit_stats(&kit).pages_4k, 7);
	kit_close(&kit);
}

/* 4,096 pages one after the other: an exit for eight, tables as the guest's own. */
static void exits_and_tables(void **unused)
{
	const uint64_t tables = 0x400000, count = 4096;
	struct umbra_stats before, after;
	uint64_t faults = 0;
	struct kit kit;

	(void)unused;
	open_shadow(&kit, 0);
	for (uint64_t i = 0; i < count / 512; i++)
		put64(&kit, PD + 8 * i, (tables + i * PAGE) | 7);
	for (uint64_t i = 0; i < count; i++)
		put64(&kit, tables + 8 * i, i * PAGE | 0x67);
	before = kit_stats(&kit);
	for (uint64_t i = 0; i < count; i++) {
		if (look(&kit, i * PAGE).leaf)
			continue;
		resume(&kit, i * PAGE, R);
		faults++;
	}
	after = kit_stats(&kit);
	assert_int_equal(after.pf_taken - before.pf_taken, faults);
	assert_int_equal(faults, count / 8);
	assert_int_equal(after.pages_4k, count);
	assert_int_equal(after.mmu_shadow_pages, 3 + count / 512);
	/* And a page of words for each table of leaves, the reverse map's. */
	assert_int_equal(kit.vm->mmu.pages.word_count, count / 512);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours),
		cmocka_unit_test(not_shadow_stacks),
		cmocka_unit_test(exits_and_tables),
	};

	return cmocka_run_group_tests_name("prefetch", tests, NULL, NULL);
}
