/* SPDX-License-Identifier: MIT */
/*
 * test_perm.c - permission tables (facts B-3, B-6, appendix B.3, B.4) and the
 * checks beside them: keys (H-53) and shadow stacks (H-54).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/perm.h"

struct table {
	const char *name;
	const struct format *format;
	uint32_t flags;
	uint16_t deny[16];
};

/* B-6 */
static const struct table tables[] = {
	{"WP NX SMEP SMAP",
	 &format_4,
	 MODE_WP | MODE_NX | MODE_SMEP | MODE_SMAP,
	 {0xf5f5, 0xf3f3, 0x5f5f, 0x3f3f, 0x5555, 0x3333, 0x5f5f, 0x3f3f, 0xf0ff, 0xf3ff, 0x0fff,
	  0x3fff, 0xf0ff, 0xf3ff, 0x0fff, 0x3fff}},
	{"NX",
	 &format_4,
	 MODE_NX,
	 {0x5555, 0x0000, 0x5f5f, 0x3f3f, 0x5555, 0x0000, 0x5f5f, 0x3f3f, 0x00ff, 0x00ff, 0x0fff,
	  0x3fff, 0x00ff, 0x00ff, 0x0fff, 0x3fff}},
	{"EPT",
	 &format_ept4,
	 0,
	 {0x5555, 0x3333, 0x5555, 0x3333, 0x5555, 0x3333, 0x5555, 0x3333, 0x00ff, 0x33ff, 0x00ff,
	  0x33ff, 0x00ff, 0x33ff, 0x00ff, 0x33ff}},
	{"EPT MBEC",
	 &format_ept4,
	 MODE_MBEC,
	 {0x5555, 0x3333, 0x5555, 0x3333, 0x5555, 0x3333, 0x5555, 0x3333, 0x00ff, 0x33ff, 0x0f0f,
	  0x3f3f, 0x00ff, 0x33ff, 0x0f0f, 0x3f3f}},
	{"NPT NX",
	 &format_4,
	 MODE_NPT | MODE_WP | MODE_NX,
	 {0x5555, 0x3333, 0x5f5f, 0x3f3f, 0x5555, 0x3333, 0x5f5f, 0x3f3f, 0x00ff, 0x33ff, 0x0fff,
	  0x3fff, 0x00ff, 0x33ff, 0x0fff, 0x3fff}},
	{"NPT NX GMET",
	 &format_4,
	 MODE_NPT | MODE_WP | MODE_NX | MODE_GMET,
	 {0x5555, 0x3333, 0x5555, 0x3333, 0x5555, 0x3333, 0x5555, 0x3333, 0xf0ff, 0xf3ff, 0x00ff,
	  0x33ff, 0xf0ff, 0xf3ff, 0x00ff, 0x33ff}},
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

static void test_b6(void **state)
{
	(void)state;
	for (unsigned t = 0; t < TABLES; t++) {
		struct mode mode;

		mode_bind(&mode, tables[t].format, tables[t].flags, 46);
		for (unsigned i = 0; i < 16; i++) {
			if (mode.deny[i] != tables[t].deny[i])
				fail_msg("%s, index %u: %04x, not %04x", tables[t].name, i,
					 mode.deny[i], tables[t].deny[i]);
		}
	}
}

/* B.3: the older tables have no read right and 3-bit indexes EXEC 1, WRITE 2, USER 4;
 * "present" is what reading needs there. */
static void test_b3_older(void **state)
{
	static const struct {
		uint32_t flags;
		uint8_t deny[16];
	} older[] = {
		{MODE_WP | MODE_NX | MODE_SMEP | MODE_SMAP,
		 {0xf0, 0xf3, 0x0f, 0x3f, 0x00, 0x33, 0x0f, 0x3f, 0xf5, 0xf7, 0x5f, 0x7f, 0xf5,
		  0xf7, 0x5f, 0x7f}},
		{MODE_NX,
		 {0x00, 0x00, 0x0f, 0x3f, 0x00, 0x00, 0x0f, 0x3f, 0x55, 0x55, 0x5f, 0x7f, 0x55,
		  0x55, 0x5f, 0x7f}},
	};

	(void)state;
	for (unsigned t = 0; t < 2; t++) {
		struct mode mode;

		mode_bind(&mode, &format_4, older[t].flags, 46);
		for (unsigned i = 0; i < 16; i++) {
			for (unsigned old = 0; old < 8; old++) {
				const unsigned acc = ACC_READ | (old & 1 ? ACC_EXEC : 0) |
						     (old & 2 ? ACC_WRITE : 0) |
						     (old & 4 ? ACC_USER : 0);

				assert_int_equal(mode.deny[i] >> acc & 1,
						 older[t].deny[i] >> old & 1);
			}
		}
	}
}

/* The raw form says the same as the table, for every mode, where the entries are
 * present and accessed; elsewhere it says no. */
static void test_allow_is_deny(void **state)
{
	uint64_t checked = 0;

	(void)state;
	for (unsigned f = 0; format_all[f]; f++) {
		for (uint32_t bits = 0; bits < 1u << 7; bits++) {
			const uint32_t flags = (bits & 1 ? MODE_NX : 0) | (bits & 2 ? MODE_WP : 0) |
					       (bits & 4 ? MODE_SMEP : 0) |
					       (bits & 8 ? MODE_SMAP : 0) |
					       (bits & 16 ? MODE_MBEC : 0) |
					       (bits & 32 ? MODE_GMET | MODE_NPT : 0) |
					       (bits & 64 ? MODE_EXECONLY : 0);
			struct mode mode;

			mode_bind(&mode, format_all[f], flags, 46);
			for (unsigned access = 0; access < 32; access++) {
				for (unsigned acc = 0; acc < 16; acc++) {
					const unsigned has = acc | mode_acc(&mode, mode.grant);
					const uint64_t raw = (acc & ACC_READ ? mode.read : 0) |
							     (acc & ACC_WRITE ? mode.write : 0) |
							     (acc & ACC_USER ? mode.user : 0) |
							     (acc & ACC_EXEC ? mode.exec : 0);
					const struct mode_allow *allow = &mode.allow[access];
					const uint64_t present = mode.good_low6 ? 0 : mode.present;
					const uint64_t a = mode.accessed & ~mode.grant;
					const bool denied =
						mode.deny[perm_index(access)] >> has & 1;

					if (mode.shape & MODE_SHAPE_ODD)
						continue;
					assert_int_equal(((raw | a) & allow->care) != allow->want,
							 denied || (present & ~raw));
					assert_true(!a || (raw & allow->care) != allow->want);
					assert_int_equal(allow->dirty, access & UMBRA_ACCESS_WRITE
									       ? mode.level[1].dirty
									       : 0);
					checked++;
				}
			}
		}
	}
	printf("# %llu pairs\n", (unsigned long long)checked);
}

/* B.4: pkru_mask 0xdd00 (WP) and 0xd500 as KVM builds it: two bits an index of
 * W, U, page's U, F: AD when it is considered, and WD. */
static void test_b4_keys(void **state)
{
	static const struct {
		uint32_t flags, mask;
	} masks[] = {
		{MODE_PKU | MODE_WP, 0xdd00},
		{MODE_PKU, 0xd500},
		{MODE_WP, 0},
	};

	(void)state;
	for (unsigned t = 0; t < 3; t++) {
		struct mode mode;

		mode_bind(&mode, &format_4, masks[t].flags | MODE_NX, 46);
		for (unsigned index = 0; index < 16; index++) {
			const unsigned access = (index & 1 ? UMBRA_ACCESS_WRITE : 0) |
						(index & 2 ? UMBRA_ACCESS_USER : 0) |
						(index & 8 ? UMBRA_ACCESS_FETCH : 0);
			const struct perm_page page = {
				.acc = (uint8_t)(ACC_ALL & ~(index & 4 ? 0 : ACC_USER)), .key = 9};
			const unsigned bits = masks[t].mask >> 2 * index & 3;

			for (unsigned rights = 0; rights < 4; rights++) {
				const unsigned verdict =
					perm_check(&mode, &page, access, rights << 18, 0);

				assert_int_equal(verdict == PERM_DENIED_KEY, (bits & rights) != 0);
			}
		}
	}
}

static void test_pks(void **state)
{
	const struct perm_page sup = {.acc = ACC_ALL & ~ACC_USER, .key = 3};
	const struct perm_page user = {.acc = ACC_ALL, .key = 3};
	struct mode mode;

	(void)state;
	mode_bind(&mode, &format_5, MODE_PKS | MODE_WP, 52);
	assert_int_equal(perm_check(&mode, &sup, 0, 0, 1 << 6), PERM_DENIED_KEY);
	assert_int_equal(perm_check(&mode, &sup, UMBRA_ACCESS_FETCH, 0, 1 << 6), PERM_OK);
	assert_int_equal(perm_check(&mode, &sup, UMBRA_ACCESS_WRITE, 0, 2 << 6), PERM_DENIED_KEY);
	assert_int_equal(perm_check(&mode, &user, UMBRA_ACCESS_USER, ~0u, ~0u), PERM_OK);
	mode_bind(&mode, &format_5, MODE_PKS, 52);
	assert_int_equal(perm_check(&mode, &sup, UMBRA_ACCESS_WRITE, 0, 2 << 6), PERM_OK);
	/* Formats without keys do not know them. */
	mode_bind(&mode, &format_pae, MODE_PKS | MODE_PKU, 52);
	assert_int_equal(perm_check(&mode, &user, UMBRA_ACCESS_USER, ~0u, ~0u), PERM_OK);
}

static void test_shadow_stack(void **state)
{
	struct mode mode;

	(void)state;
	mode_bind(&mode, &format_4, MODE_SHSTK | MODE_WP | MODE_SMAP, 46);
	for (unsigned i = 0; i < 64; i++) {
		const struct perm_page page = {
			.acc = (uint8_t)(ACC_READ | (i & 1 ? ACC_USER : 0)),
			.acc_upper = (uint8_t)(ACC_READ | (i & 2 ? ACC_WRITE : 0)),
			.leaf_write = i & 4,
			.leaf_dirty = i & 8,
		};
		const unsigned access = UMBRA_ACCESS_SHSTK | (i & 16 ? UMBRA_ACCESS_USER : 0) |
					(i & 32 ? UMBRA_ACCESS_WRITE : 0);
		const bool allowed = !(i & 1) == !(i & 16) && (i & 2) && !(i & 4) && (i & 8);

		assert_int_equal(perm_check(&mode, &page, access, 0, 0),
				 allowed ? PERM_OK : PERM_DENIED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_b6),
		cmocka_unit_test(test_b3_older),
		cmocka_unit_test(test_allow_is_deny),
		cmocka_unit_test(test_b4_keys),
		cmocka_unit_test(test_pks),
		cmocka_unit_test(test_shadow_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
