/* SPDX-License-Identifier: MIT */
/*
 * test_format.c - descriptions, masks and widths: facts G-3, G-11, G-20, E-4, E-5, F-30,
 * H-26..H-30, and what must hold for every format, level and configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/mode.h"

static struct mode bound(const struct format *format, uint32_t flags, unsigned maxphyaddr)
{
	struct mode mode;

	mode_bind(&mode, format, flags, maxphyaddr);
	return mode;
}

static void test_g20_long(void **state)
{
	struct mode m = bound(&format_4, MODE_NX | MODE_1G, 46);

	(void)state;
	assert_int_equal(m.level[4].rsvd[0], 0xfc00000000080);
	assert_int_equal(m.level[4].rsvd[1], 0xfc00000000080);
	assert_int_equal(m.level[3].rsvd[0], 0xfc00000000000);
	assert_int_equal(m.level[3].rsvd[1], 0xfc0003fffe000);
	assert_int_equal(m.level[2].rsvd[0], 0xfc00000000000);
	assert_int_equal(m.level[2].rsvd[1], 0xfc000001fe000);
	assert_int_equal(m.level[1].rsvd[0], 0xfc00000000000);
	assert_int_equal(m.level[1].rsvd[1], 0xfc00000000000);

	m = bound(&format_5, MODE_BIT8_MBZ, 46);
	assert_int_equal(m.level[5].rsvd[0], 0x800fc00000000180);
	assert_int_equal(m.level[4].rsvd[0], 0x800fc00000000180);
	assert_int_equal(m.level[3].rsvd[0], 0x800fc00000000080);
	assert_int_equal(m.level[3].rsvd[1], 0x800fc0003fffe080);
	assert_int_equal(m.level[1].rsvd[0], 0x800fc00000000000);

	m = bound(&format_5, MODE_NX | MODE_1G, 52);
	assert_int_equal(m.level[5].rsvd[0], 0x80);
	assert_int_equal(m.level[1].rsvd[0], 0);
}

static void test_g20_pae(void **state)
{
	struct mode m = bound(&format_pae, MODE_NX, 46);

	(void)state;
	assert_int_equal(m.level[3].rsvd[0], 0xffffc000000001e6);
	assert_int_equal(m.level[2].rsvd[0], 0x7fffc00000000000);
	assert_int_equal(m.level[2].rsvd[1], 0x7fffc000001fe000);
	assert_int_equal(m.level[1].rsvd[0], 0x7fffc00000000000);
	m = bound(&format_pae, 0, 52);
	assert_int_equal(m.level[1].rsvd[0], 0xfff0000000000000);
	assert_int_equal(m.level[3].rsvd[0], 0xfff00000000001e6);
}

/* H-26, H-27; the widths are those of U-2's manual reading, not of G-22. */
static void test_pse(void **state)
{
	static const struct {
		uint32_t flags;
		unsigned maxphyaddr;
		uint64_t rsvd, high;
	} vectors[] = {
		{0, 46, 0, 0},
		{MODE_PSE36, 46, 0, 0},
		{MODE_PSE, 46, 0x3fe000, 0},
		{MODE_PSE | MODE_PSE36, 32, 0x3fe000, 0},
		{MODE_PSE | MODE_PSE36, 33, 0x3fc000, 0x2000},
		{MODE_PSE | MODE_PSE36, 36, 0x3e0000, 0x1e000},
		{MODE_PSE | MODE_PSE36, 39, 0x300000, 0xfe000},
		{MODE_PSE | MODE_PSE36, 40, 0x200000, 0x1fe000},
		{MODE_PSE | MODE_PSE36, 52, 0x200000, 0x1fe000},
		{MODE_PSE | MODE_NO_PAT, 40, 0x3ff000, 0},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct mode m = bound(&format_32, vectors[i].flags, vectors[i].maxphyaddr);

		assert_int_equal(m.level[2].rsvd[0], 0);
		assert_int_equal(m.level[2].rsvd[1], vectors[i].rsvd);
		if (vectors[i].flags & MODE_PSE)
			assert_int_equal(m.level[2].high, vectors[i].high);
		assert_int_equal(m.level[2].large, vectors[i].flags & MODE_PSE ? 0x80 : 0);
		assert_int_equal(m.level[1].rsvd[0], vectors[i].flags & MODE_NO_PAT ? 0x80 : 0);
	}
	/* G-11: PDE bit 13 is PA bit 32. */
	assert_int_equal(0x2000ull << format_32.level[2].high_shift, 1ull << 32);
}

/* SDM 3A 4.3: without PAT its bit is reserved in leaves, whatever else is set. */
static void test_no_pat(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 32; bit++) {
		const uint32_t flags = MODE_PSE | (bit == 31 ? 0 : 1u << bit);
		struct mode m = bound(&format_32, flags & ~MODE_NO_PAT, 40);

		assert_int_equal(m.level[2].rsvd[1] & 1u << 12, 0);
		assert_int_equal(m.level[1].rsvd[1] & 1u << 7, 0);
		m = bound(&format_32, flags | MODE_NO_PAT, 40);
		assert_int_equal(m.level[2].rsvd[1] & 1u << 12, 1u << 12);
		assert_int_equal(m.level[1].rsvd[1] & 1u << 7, 1u << 7);
		assert_int_equal(m.level[2].rsvd[0] & 1u << 12, 0);
	}
}

static void test_ept(void **state)
{
	struct mode m = bound(&format_ept5, MODE_1G | MODE_2M | MODE_EXECONLY, 46);

	(void)state;
	assert_int_equal(m.level[5].rsvd[0], 0xfc000000000f8);
	assert_int_equal(m.level[4].rsvd[0], 0xfc000000000f8);
	assert_int_equal(m.level[3].rsvd[0], 0xfc00000000078);
	assert_int_equal(m.level[2].rsvd[0], 0xfc00000000078);
	assert_int_equal(m.level[1].rsvd[1], 0xfc00000000000);
	assert_int_equal(m.level[3].rsvd[1], 0xfc0003ffff000);
	assert_int_equal(m.level[2].rsvd[1], 0xfc000001ff000);
	assert_int_equal(m.bad_low6, 0xff444444ffff4444);
	assert_int_equal(m.bad_fold, 0);

	m = bound(&format_ept4, MODE_MBEC, 46);
	assert_int_equal(m.level[3].rsvd[0], 0xfc000000000f8);
	assert_int_equal(m.level[3].rsvd[1], 0xfc0003ffff080);
	assert_int_equal(m.level[2].rsvd[1], 0xfc000001ff080);
	assert_int_equal(m.bad_low6, 0xff545454ffff5454);
	assert_int_equal(m.bad_fold, 4);
	assert_int_equal(m.level[1].present, 0x407);
}

/* The two bitmaps from what E-4 says in words. */
static void test_ept_bitmaps(void **state)
{
	(void)state;
	for (unsigned noexec = 0; noexec < 2; noexec++) {
		const uint64_t map = noexec ? format_ept4.bad_low6_noexec : format_ept4.bad_low6;

		for (unsigned low6 = 0; low6 < 64; low6++) {
			const unsigned xwr = low6 & 7, type = low6 >> 3;
			const bool bad = xwr == 2 || xwr == 6 || (xwr == 4 && noexec) ||
					 type == 2 || type == 3 || type == 7;

			assert_int_equal(map >> low6 & 1, bad);
		}
	}
}

/* ---- every format, level and configuration ---- */

static unsigned modes;

static void check_description(const struct format *f)
{
	assert_true(f->top >= 1 && f->top <= UMBRA_LEVEL_MAX);
	assert_true(f->entry_bytes == 4 || f->entry_bytes == 8);
	for (unsigned l = 1; l <= f->top; l++) {
		const struct format_level *level = &f->level[l];
		const unsigned end = level->shift + level->bits;

		/* The index fields are the input width, without gap or overlap. */
		assert_int_equal(end, l == f->top ? f->input_bits : f->level[l + 1].shift);
		assert_true(level->bits + (f->entry_bytes == 8 ? 3 : 2) <= 12);
		assert_true(level->present != 0);
		if (l > 1)
			assert_true(level->table_address != 0);
		if (l == 1 || level->large)
			assert_true(level->leaf_address != 0);
		/* Control bits are not address bits. */
		assert_int_equal((level->present | level->large | level->accessed | level->dirty) &
					 (level->table_address | level->leaf_address),
				 0);
		assert_int_equal(level->accessed & level->dirty, 0);
		/* H-9: no MAXPHYADDR exceeds 52. */
		assert_int_equal((level->table_address | level->leaf_address) >> 52, 0);
		/* A leaf's frame has no bits below its size. */
		if (level->leaf_address)
			assert_int_equal(level->leaf_address & ((1ull << level->shift) - 1), 0);
	}
	assert_int_equal(f->level[1].shift, 12);
	assert_int_equal(f->root_address >> 52, 0);
	for (unsigned i = 0; f->rule[i].mask; i++)
		assert_true(f->rule[i].levels && f->rule[i].kinds);
}

static void check_mode(const struct mode *m)
{
	const struct format *f = m->format;
	const uint64_t entry_mask = f->entry_bytes == 8 ? ~0ull : 0xffffffffull;

	modes++;
	for (unsigned l = 1; l <= m->top; l++) {
		const struct mode_level *level = &m->level[l];
		const uint64_t both = level->rsvd[0] & level->rsvd[1];

		for (unsigned k = 0; k < 2; k++) {
			const uint64_t address = l == 1 || (k && level->large)
							 ? level->leaf_address
							 : level->table_address;

			/* Reserved: no bit that a legal entry may have. */
			assert_int_equal(level->rsvd[k] & level->present, 0);
			assert_int_equal(level->rsvd[k] & address, 0);
			assert_int_equal(level->rsvd[k] & (level->accessed | level->dirty), 0);
			assert_int_equal(level->rsvd[k] & ~entry_mask, 0);
			if (k)
				assert_int_equal(level->rsvd[k] & level->high, 0);
			/* All address bits that the CPU lacks are reserved. */
			if (f->address_last)
				assert_int_equal(~level->rsvd[k] & (~0ull << m->maxphyaddr) &
							 (~0ull >> (63 - f->address_last)),
						 0);
		}
		/* Where the bit means a leaf it is legal in both or in none. */
		if (level->large)
			assert_true(!(level->rsvd[1] & level->large) || (both & level->large));
		else
			assert_int_equal(level->rsvd[0], level->rsvd[1]);
		assert_int_equal(level->table_address >> m->maxphyaddr, 0);
		assert_int_equal(level->leaf_address >> m->maxphyaddr, 0);
		if (level->high)
			assert_int_equal((level->high << level->high_shift) >> m->maxphyaddr, 0);
		assert_int_equal((uint64_t)level->slot_mask >> m->entry_shift, level->index_mask);
	}
	/* Real formats go the quick way. */
	if (f->family == FORMAT_EPT || f->top != 3)
		assert_int_equal(m->shape & MODE_SHAPE_ODD, 0);
}

static void test_structure(void **state)
{
	static const uint8_t widths[] = {32, 36, 39, 40, 46, 48, 51, 52};

	(void)state;
	for (unsigned i = 0; format_all[i]; i++) {
		check_description(format_all[i]);
		for (unsigned w = 0; w < sizeof(widths); w++) {
			for (uint32_t flags = 0; flags < 1u << 9; flags++) {
				struct mode m = bound(format_all[i], flags, widths[w]);

				check_mode(&m);
				m = bound(format_all[i],
					  flags | MODE_NPT | MODE_PDPTE_MEMORY | MODE_NO_PAT,
					  widths[w]);
				check_mode(&m);
			}
		}
	}
	printf("# %u modes\n", modes);
}

/* ---- widths ---- */

static void assert_width(const struct format *format, uint32_t flags, unsigned linear,
			 unsigned input, unsigned output)
{
	const struct format_width *width = format_width(format, flags);

	assert_non_null(width);
	assert_ptr_equal(width->format, format);
	assert_int_equal(width->linear, linear);
	assert_int_equal(width->input, input);
	assert_int_equal(width->output, output);
}

/* G-3, H-2, H-27: PAE gives 52 bits, not 36. */
static void test_g3_widths(void **state)
{
	(void)state;
	assert_width(NULL, 0, 32, 32, 32);
	assert_width(&format_32, 0, 32, 32, 32);
	assert_width(&format_32, MODE_PSE, 32, 32, 32);
	assert_width(&format_32, MODE_PSE36, 32, 32, 32);
	assert_width(&format_32, MODE_PSE | MODE_PSE36, 32, 32, 40);
	assert_width(&format_pae, MODE_NX | MODE_PSE36, 32, 32, 52);
	assert_width(&format_4, MODE_NX, 48, 48, 52);
	assert_width(&format_5, MODE_NX, 57, 57, 52);
}

/* F-30, F-34: what the tables of a second stage take. */
static void test_f30_widths(void **state)
{
	static const uint64_t unmappable[] = {
		[3] = 0xffffffff00000000, /* bits 63:32 */
		[4] = 0xffff000000000000, /* bits 63:48 */
		[5] = 0xfff0000000000000, /* bits 63:52 */
	};

	(void)state;
	for (unsigned levels = 3; levels <= 5; levels++) {
		for (unsigned ept = 0; ept <= (levels > 3); ept++) {
			const struct format *format = format_tdp(ept, levels);
			const struct format_width *width = format_width(format, MODE_NPT);

			assert_int_equal(format->top, levels);
			assert_int_equal(format->family, ept ? FORMAT_EPT : FORMAT_PAGING);
			assert_int_equal(width->linear, 0);
			assert_int_equal(width->output, 52);
			assert_int_equal(~0ull << width->input, unmappable[levels]);
		}
	}
	assert_width(&format_32, MODE_NPT, 0, 32, 32);
	assert_width(&format_32, MODE_NPT | MODE_PSE | MODE_PSE36, 0, 32, 40);
}

/* The table says what the descriptions say. */
static void test_widths_agree(void **state)
{
	const struct format invented = {.top = 1};
	unsigned seen = 0;

	(void)state;
	assert_null(format_width(&invented, 0));
	for (unsigned i = 0; format_all[i]; i++) {
		const struct format *f = format_all[i];
		unsigned widest = 0;

		for (unsigned bits = 0; bits < 8; bits++) {
			const uint32_t flags = (bits & 1 ? MODE_PSE : 0) |
					       (bits & 2 ? MODE_PSE36 : 0) |
					       (bits & 4 ? MODE_NPT : 0);
			const struct format_width *width = format_width(f, flags);
			const bool second = f->family == FORMAT_EPT || bits & 4;
			const unsigned input = f->input_bits < 52 || !second ? f->input_bits : 52;
			const struct mode mode = bound(f, flags, 52);
			const struct mode_level *large = &mode.level[2];
			uint64_t reached = large->large ? large->high << large->high_shift : 0;

			assert_int_equal(width->input, input);
			assert_int_equal(width->linear, second ? 0 : f->input_bits);
			reached |= mode.level[1].leaf_address;
			assert_int_equal(reached >> (width->output - 1), 1);
			widest = width->output > widest ? width->output : widest;
			seen |= 1u << (width - format_widths);
		}
		assert_int_equal(widest, f->output_bits);
	}
	seen |= 1u << (format_width(NULL, 0) - format_widths);
	assert_int_equal(seen, (1u << FORMAT_WIDTH_ROWS) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_g20_long),    cmocka_unit_test(test_g20_pae),
		cmocka_unit_test(test_pse),         cmocka_unit_test(test_ept),
		cmocka_unit_test(test_ept_bitmaps), cmocka_unit_test(test_structure),
		cmocka_unit_test(test_no_pat),      cmocka_unit_test(test_g3_widths),
		cmocka_unit_test(test_f30_widths),  cmocka_unit_test(test_widths_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
