/* SPDX-License-Identifier: MIT */
/*
 * test_mode.c - which format and flags registers, EPTPs and nested-paging state
 * select (G-2, H-2, E-2, H-70, H-91), and PDPTE loads (G-13, H-20).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mode.h"

static const struct umbra_cpu plain = {
	.vendor = UMBRA_VENDOR_INTEL, .maxphyaddr = 46, .features = UMBRA_CPU_PAT};

static void test_mode_of_regs(void **state)
{
	struct umbra_regs regs = {.cr4 = UMBRA_CR4_PAE | UMBRA_CR4_LA57, .efer = UMBRA_EFER_LMA};
	uint32_t flags;

	(void)state;
	assert_null(mode_of_regs(&regs, &plain, &flags));
	assert_int_equal(flags, 0);
	regs.cr0 = UMBRA_CR0_PG;
	assert_ptr_equal(mode_of_regs(&regs, &plain, &flags), &format_5);
	regs.cr4 = UMBRA_CR4_PAE;
	assert_ptr_equal(mode_of_regs(&regs, &plain, &flags), &format_4);
	/* LA57 and keys count in long mode only. */
	regs.efer = 0;
	regs.cr4 |= UMBRA_CR4_LA57 | UMBRA_CR4_PKE | UMBRA_CR4_PKS;
	assert_ptr_equal(mode_of_regs(&regs, &plain, &flags), &format_pae);
	assert_int_equal(flags, 0);
	regs.cr4 = UMBRA_CR4_LA57;
	assert_ptr_equal(mode_of_regs(&regs, &plain, &flags), &format_32);
}

static void test_flags(void **state)
{
	static const struct {
		uint64_t cr0, cr4, efer;
		uint32_t features, flags;
	} rows[] = {
		{UMBRA_CR0_WP, 0, 0, UMBRA_CPU_PAT, MODE_WP},
		{0, UMBRA_CR4_PSE, 0, UMBRA_CPU_PAT, MODE_PSE},
		{0, UMBRA_CR4_SMEP, 0, UMBRA_CPU_PAT, MODE_SMEP},
		{0, UMBRA_CR4_SMAP, 0, UMBRA_CPU_PAT, MODE_SMAP},
		{0, UMBRA_CR4_PKE, UMBRA_EFER_LMA, UMBRA_CPU_PAT, MODE_PKU},
		{0, UMBRA_CR4_PKS, UMBRA_EFER_LMA, UMBRA_CPU_PAT, MODE_PKS},
		{0, UMBRA_CR4_CET, 0, UMBRA_CPU_PAT, 0},
		{0, UMBRA_CR4_CET, 0, UMBRA_CPU_PAT | UMBRA_CPU_SHSTK, MODE_SHSTK | MODE_D_NEEDS_W},
		{0, 0, 0, UMBRA_CPU_PAT | UMBRA_CPU_SHSTK, MODE_D_NEEDS_W},
		{0, 0, UMBRA_EFER_NXE, UMBRA_CPU_PAT, MODE_NX},
		{0, 0, 0, UMBRA_CPU_PAT | UMBRA_CPU_1G, MODE_1G},
		{0, 0, 0, UMBRA_CPU_PAT | UMBRA_CPU_PSE36, MODE_PSE36},
		{0, 0, 0, UMBRA_CPU_PAT | UMBRA_CPU_BIT8_MBZ, MODE_BIT8_MBZ},
		{0, 0, 0, UMBRA_CPU_PAT | UMBRA_CPU_PDPTE_MEMORY, MODE_PDPTE_MEMORY},
		{0, 0, 0, 0, MODE_NO_PAT},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct umbra_regs regs = {.cr0 = rows[i].cr0 | UMBRA_CR0_PG,
						.cr4 = rows[i].cr4 | UMBRA_CR4_PAE,
						.efer = rows[i].efer};
		const struct umbra_cpu cpu = {.maxphyaddr = 46, .features = rows[i].features};
		uint32_t flags;

		assert_non_null(mode_of_regs(&regs, &cpu, &flags));
		assert_int_equal(flags, rows[i].flags);
	}
}

static void test_eptp(void **state)
{
	struct umbra_cpu cpu = plain;
	uint32_t flags;

	(void)state;
	assert_ptr_equal(mode_of_eptp(0x1e | 0x5000, &cpu, false, &flags), &format_ept4);
	assert_int_equal(flags, 0);
	assert_ptr_equal(mode_of_eptp(0x18, &cpu, false, &flags), &format_ept4);
	assert_null(mode_of_eptp(0x26, &cpu, false, &flags));
	cpu.features |= UMBRA_CPU_EPT_LEVEL5;
	assert_ptr_equal(mode_of_eptp(0x26, &cpu, false, &flags), &format_ept5);
	for (unsigned length = 0; length < 8; length++) {
		if (length != 3 && length != 4)
			assert_null(mode_of_eptp(6 | length << 3, &cpu, false, &flags));
	}
	for (unsigned type = 0; type < 8; type++) {
		if (type != 0 && type != 6)
			assert_null(mode_of_eptp(0x18 | type, &cpu, false, &flags));
	}
	for (unsigned bit = 7; bit < 12; bit++)
		assert_null(mode_of_eptp(0x1e | 1u << bit, &cpu, false, &flags));
	for (unsigned bit = 46; bit < 64; bit++)
		assert_null(mode_of_eptp(0x1e | 1ull << bit, &cpu, false, &flags));
	assert_non_null(mode_of_eptp(0x1e | 1ull << 45, &cpu, false, &flags));
	assert_null(mode_of_eptp(0x5e, &cpu, false, &flags));
	cpu.features |= UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_1G | UMBRA_CPU_EPT_2M |
			UMBRA_CPU_EPT_EXECONLY | UMBRA_CPU_EPT_ADVINFO;
	assert_non_null(mode_of_eptp(0x5e, &cpu, true, &flags));
	assert_int_equal(flags, MODE_AD | MODE_1G | MODE_2M | MODE_EXECONLY | MODE_ADVINFO);
	cpu.features |= UMBRA_CPU_MBEC;
	assert_non_null(mode_of_eptp(0x1e, &cpu, true, &flags));
	assert_int_equal(flags, MODE_1G | MODE_2M | MODE_EXECONLY | MODE_ADVINFO | MODE_MBEC);
}

static void test_npt(void **state)
{
	struct umbra_regs host = {.cr4 = UMBRA_CR4_PAE | UMBRA_CR4_SMEP | UMBRA_CR4_SMAP |
					 UMBRA_CR4_PKE,
				  .efer = UMBRA_EFER_LMA | UMBRA_EFER_NXE};
	struct umbra_cpu cpu = plain;
	uint32_t flags;

	(void)state;
	assert_null(mode_of_npt(&host, &cpu, true, &flags));
	host.cr0 = UMBRA_CR0_PG;
	cpu.features |= UMBRA_CPU_GMET | UMBRA_CPU_1G;
	assert_ptr_equal(mode_of_npt(&host, &cpu, true, &flags), &format_4);
	/* P-2, H-91: no SMEP, SMAP, PKE of the host. */
	assert_int_equal(flags,
			 MODE_NPT | MODE_WP | MODE_NX | MODE_1G | MODE_GMET | MODE_PDPTE_MEMORY);
	cpu.features &= ~UMBRA_CPU_GMET;
	host.efer = 0;
	assert_ptr_equal(mode_of_npt(&host, &cpu, true, &flags), &format_pae);
	assert_int_equal(flags, MODE_NPT | MODE_WP | MODE_1G | MODE_PDPTE_MEMORY);
	host.cr4 = UMBRA_CR4_PSE;
	assert_ptr_equal(mode_of_npt(&host, &cpu, false, &flags), &format_32);
}

/* How a second stage sees its guest: E-7, E-8, H-75, H-92, H-97, H-98. */
static void test_stage2(void **state)
{
	struct mode m;

	(void)state;
	mode_bind(&m, &format_ept4, 0, 46);
	assert_int_equal(m.stage2.table_read, 0);
	assert_int_equal(m.stage2.table_update, UMBRA_ACCESS_WRITE);
	assert_int_equal(m.stage2.final_user_acc, 0);
	mode_bind(&m, &format_ept4, MODE_AD | MODE_MBEC, 46);
	assert_int_equal(m.stage2.table_read, UMBRA_ACCESS_WRITE);
	assert_int_equal(m.stage2.final_user_acc, ACC_USER);
	mode_bind(&m, &format_4, MODE_NPT, 46);
	assert_int_equal(m.stage2.table_read, UMBRA_ACCESS_WRITE | UMBRA_ACCESS_USER);
	assert_int_equal(m.stage2.final_set, UMBRA_ACCESS_USER);
	mode_bind(&m, &format_4, MODE_NPT | MODE_ROGPT | MODE_GMET, 46);
	assert_int_equal(m.stage2.table_read, UMBRA_ACCESS_USER);
	assert_int_equal(m.stage2.table_update, UMBRA_ACCESS_WRITE | UMBRA_ACCESS_USER);
	assert_int_equal(m.stage2.final_set, 0);
	assert_true(m.stage2.final_keep & UMBRA_ACCESS_USER);
}

static void test_pdptes(void **state)
{
	(void)state;
	for (unsigned width = 36; width <= 52; width++) {
		for (unsigned bit = 1; bit < 64; bit++) {
			const bool reserved = bit <= 2 || (bit >= 5 && bit <= 8) || bit >= width;

			for (unsigned i = 0; i < 4; i++) {
				uint64_t pdpte[4] = {0};

				pdpte[i] = 1ull << bit;
				assert_true(mode_pdptes_load_ok(pdpte, width));
				pdpte[i] |= 1;
				assert_int_equal(mode_pdptes_load_ok(pdpte, width), !reserved);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mode_of_regs), cmocka_unit_test(test_flags),
		cmocka_unit_test(test_eptp),         cmocka_unit_test(test_npt),
		cmocka_unit_test(test_stage2),       cmocka_unit_test(test_pdptes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
