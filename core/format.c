/* SPDX-License-Identifier: MIT */
/*
 * format.c - the paging formats of x86.
 *
 * Every row cites the manual. What depends on a CPU or on a control bit is not
 * decided here but named as a condition (MODE_*) that mode_bind() looks at.
 *
 *	           63      52 51        M  M-1      12 11  9 8 7 6 5 4 3 2 1 0
 *	paging     XD  ignored | reserved | address   | ign |G|S|D|A| | |U|W|P
 *	EPT        SVE ignored | reserved | address   |ig|XU|D|A|S|I|type |X|W|R
 *
 * The address bits from MAXPHYADDR up to address_last are reserved in every
 * entry; the rules list all other reserved bits. KVM's masks are the same but
 * for PSE-40 (G-22), see docs/DEVIATIONS.md.
 */
#include "core/format.h"

#define BIT(n) (1ull << (n))
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

#define PAGING_P BIT(0)
#define PAGING_A BIT(5)
#define PAGING_D BIT(6)
#define PAGING_PS BIT(7)
#define PAGING_G BIT(8)
#define PAGING_XD BIT(63)

#define EPT_RWX BITS(2, 0)
#define EPT_PS BIT(7)
#define EPT_A BIT(8)
#define EPT_D BIT(9)
#define EPT_XU BIT(10) /* with mode-based execute control */

#define L(n) FORMAT_L(n)
#define ANY FORMAT_ANY
#define LEAF FORMAT_LEAF
#define TABLE FORMAT_TABLE

/* One row a level or rule: people compare them with the manuals' tables by column. */
/* clang-format off */

/* ---- 32-bit paging: SDM 3A 4.3, figure 4-4; APM 2 5.2.1, 5.2.2 ---- */

static const struct format_level levels_32[] = {
	/* SDM 3A tables 4-4 (4M page), 4-5 (table) */
	[2] = {.shift = 22, .bits = 10, .present = PAGING_P, .accessed = PAGING_A, .dirty = PAGING_D,
	       .large = PAGING_PS, .large_when = MODE_PSE,
	       .table_address = BITS(31, 12), .leaf_address = BITS(31, 22),
	       .high = BITS(20, 13), .high_shift = 32 - 13, .high_when = MODE_PSE36},
	/* SDM 3A table 4-6 */
	[1] = {.shift = 12, .bits = 10, .present = PAGING_P, .accessed = PAGING_A, .dirty = PAGING_D,
	       .leaf_address = BITS(31, 12)},
};

static const struct format_rule rules_32[] = {
	/* levels	kinds	when			 unless   reserved */
	{L(2),		LEAF,	MODE_PSE,		 0,	  BIT(21)},	/* SDM 3A table 4-4; PSE-40 ends at bit 20 */
	{L(2),		LEAF,	MODE_PSE | MODE_NO_PAT,	 0,	  BIT(12)},	/* SDM 3A 4.3: PAT bits without PAT */
	{L(1),		LEAF,	MODE_NO_PAT,		 0,	  BIT(7)},
	{0},
};

/* ---- PAE paging: SDM 3A 4.4; APM 2 5.2.3, 5.2.4 ---- */

static const struct format_level levels_pae[] = {
	/* SDM 3A table 4-8 */
	[3] = {.shift = 30, .bits = 2, .present = PAGING_P, .table_address = BITS(51, 12),
	       .grants_all = true},
	/* SDM 3A tables 4-9 (2M page), 4-10 (table) */
	[2] = {.shift = 21, .bits = 9, .present = PAGING_P, .accessed = PAGING_A, .dirty = PAGING_D,
	       .large = PAGING_PS, .table_address = BITS(51, 12), .leaf_address = BITS(51, 21)},
	/* SDM 3A table 4-11 */
	[1] = {.shift = 12, .bits = 9, .present = PAGING_P, .accessed = PAGING_A, .dirty = PAGING_D,
	       .leaf_address = BITS(51, 12)},
};

static const struct format_rule rules_pae[] = {
	/* levels	kinds	when	unless	 reserved */
	{L(3),		ANY,	0,	0,	 PAGING_XD | BITS(8, 5) | BITS(2, 1)},	/* SDM 3A table 4-8 */
	{L(2),		LEAF,	0,	0,	 BITS(20, 13)},				/* SDM 3A table 4-9 */
	{L(2) | L(1),	ANY,	0,	MODE_NX, PAGING_XD},				/* SDM 3A 4.4.2 */
	{0},
};

/* ---- 4- and 5-level paging: SDM 3A 4.5; APM 2 5.3 ---- */

static const struct format_level levels_long[] = {
	/* SDM 3A tables 4-14, 4-15 */
	[5] = {.shift = 48, .bits = 9, .present = PAGING_P, .accessed = PAGING_A,
	       .table_address = BITS(51, 12)},
	[4] = {.shift = 39, .bits = 9, .present = PAGING_P, .accessed = PAGING_A,
	       .table_address = BITS(51, 12)},
	/* SDM 3A tables 4-16 (1G page), 4-17 (table) */
	[3] = {.shift = 30, .bits = 9, .present = PAGING_P, .accessed = PAGING_A, .dirty = PAGING_D,
	       .large = PAGING_PS, .table_address = BITS(51, 12), .leaf_address = BITS(51, 30)},
	/* SDM 3A tables 4-18 (2M page), 4-19 (table) */
	[2] = {.shift = 21, .bits = 9, .present = PAGING_P, .accessed = PAGING_A, .dirty = PAGING_D,
	       .large = PAGING_PS, .table_address = BITS(51, 12), .leaf_address = BITS(51, 21)},
	/* SDM 3A table 4-20 */
	[1] = {.shift = 12, .bits = 9, .present = PAGING_P, .accessed = PAGING_A, .dirty = PAGING_D,
	       .leaf_address = BITS(51, 12)},
};

static const struct format_rule rules_long[] = {
	/* levels	kinds	when		unless	 reserved */
	{L(5) | L(4),	ANY,	0,		0,	 BIT(7)},	/* SDM 3A tables 4-14, 4-15 */
	{L(5) | L(4),	ANY,	MODE_BIT8_MBZ,	0,	 BIT(8)},	/* APM 2 figures 5-20, 5-21: one MBZ field 8:7, H-30 */
	{L(3),		ANY,	0,		MODE_1G, PAGING_PS},	/* SDM 3A 4.5.4: 1G pages by CPUID */
	{L(3),		LEAF,	0,		0,	 BITS(29, 13)},	/* SDM 3A table 4-16 */
	{L(2),		LEAF,	0,		0,	 BITS(20, 13)},	/* SDM 3A table 4-18 */
	{L(5) | L(4) | L(3) | L(2) | L(1),
			ANY,	0,		MODE_NX, PAGING_XD},	/* SDM 3A 4.5.4: XD if IA32_EFER.NXE = 0 */
	{0},
};

/* ---- EPT: SDM 3C 29.3 ---- */

static const struct format_level levels_ept[] = {
	/* SDM 3C tables 29-1, 29-2 */
	[5] = {.shift = 48, .bits = 9, .present = EPT_RWX, .present_mbec = EPT_XU, .accessed = EPT_A,
	       .table_address = BITS(51, 12)},
	[4] = {.shift = 39, .bits = 9, .present = EPT_RWX, .present_mbec = EPT_XU, .accessed = EPT_A,
	       .table_address = BITS(51, 12)},
	/* SDM 3C tables 29-3 (1G page), 29-4 (table) */
	[3] = {.shift = 30, .bits = 9, .present = EPT_RWX, .present_mbec = EPT_XU, .accessed = EPT_A,
	       .dirty = EPT_D, .large = EPT_PS,
	       .table_address = BITS(51, 12), .leaf_address = BITS(51, 30)},
	/* SDM 3C tables 29-5 (2M page), 29-6 (table) */
	[2] = {.shift = 21, .bits = 9, .present = EPT_RWX, .present_mbec = EPT_XU, .accessed = EPT_A,
	       .dirty = EPT_D, .large = EPT_PS,
	       .table_address = BITS(51, 12), .leaf_address = BITS(51, 21)},
	/* SDM 3C table 29-7 */
	[1] = {.shift = 12, .bits = 9, .present = EPT_RWX, .present_mbec = EPT_XU, .accessed = EPT_A,
	       .dirty = EPT_D, .leaf_address = BITS(51, 12)},
};

static const struct format_rule rules_ept[] = {
	/* levels	kinds	when	unless	 reserved */
	{L(5) | L(4),	ANY,	0,	0,	 BITS(7, 3)},	/* SDM 3C tables 29-1, 29-2 */
	{L(3) | L(2),	TABLE,	0,	0,	 BITS(6, 3)},	/* SDM 3C tables 29-4, 29-6 */
	{L(3),		ANY,	0,	MODE_1G, EPT_PS},	/* SDM 3D A.10: 1G and 2M pages by */
	{L(2),		ANY,	0,	MODE_2M, EPT_PS},	/* IA32_VMX_EPT_VPID_CAP */
	{L(3),		LEAF,	0,	0,	 BITS(29, 12)},	/* SDM 3C tables 29-3, 29-5; bit 12 */
	{L(2),		LEAF,	0,	0,	 BITS(20, 12)},	/* too: there is no PAT bit */
	{0},
};

/*
 * SDM 3C 29.3.3.1: illegal are W without R (xwr = 010, 110), X without R (100)
 * unless the CPU has it, and the memory types 2, 3 and 7 in bits 5:3. Bit n of
 * the bitmaps: the low six bits may not be n (E-4). In entries that reference a
 * table bits 5:3 are reserved as a whole.
 */
#define EPT_BAD_LOW6 0xff444444ffff4444ull
#define EPT_BAD_LOW6_NOEXEC 0xff545454ffff5454ull

/* ---- the formats ---- */

const struct format format_32 = {
	.name = "32-bit", .family = FORMAT_PAGING, .top = 2, .entry_bytes = 4,
	.input_bits = 32,
	.output_bits = 40,		/* PSE-40: SDM 3A 4.3, APM 2 5.2.2 */
	.global = PAGING_G,		/* H-25 */
	.read_bit = 0, .write_bit = 1, .user_bit = 2,
	.exec_bit = 64, .key_bit = 64,	/* neither */
	.root_address = BITS(31, 12),	/* SDM 3A table 4-3 */
	.level = levels_32, .rule = rules_32,
};

const struct format format_pae = {
	.name = "PAE", .family = FORMAT_PAGING, .top = 3, .entry_bytes = 8,
	.input_bits = 32, .output_bits = 52,
	.global = PAGING_G,		/* H-25 */
	.read_bit = 0, .write_bit = 1, .user_bit = 2,
	.exec_bit = 63, .exec_inverted = true, .exec_when = MODE_NX,
	.key_bit = 64,
	.address_last = 62,
	.root_registers = true,
	.root_address = BITS(31, 5),	/* SDM 3A table 4-7 */
	.level = levels_pae, .rule = rules_pae,
};

const struct format format_4 = {
	.name = "4-level", .family = FORMAT_PAGING, .top = 4, .entry_bytes = 8,
	.input_bits = 48, .output_bits = 52,
	.global = PAGING_G,		/* H-25 */
	.read_bit = 0, .write_bit = 1, .user_bit = 2,
	.exec_bit = 63, .exec_inverted = true, .exec_when = MODE_NX,
	.key_bit = 59,			/* SDM 3A 4.6.2 */
	.address_last = 51,
	.root_address = BITS(51, 12),	/* SDM 3A tables 4-12, 4-13 */
	.level = levels_long, .rule = rules_long,
};

const struct format format_5 = {
	.name = "5-level", .family = FORMAT_PAGING, .top = 5, .entry_bytes = 8,
	.input_bits = 57, .output_bits = 52,
	.global = PAGING_G,		/* H-25 */
	.read_bit = 0, .write_bit = 1, .user_bit = 2,
	.exec_bit = 63, .exec_inverted = true, .exec_when = MODE_NX,
	.key_bit = 59,
	.address_last = 51,
	.root_address = BITS(51, 12),
	.level = levels_long, .rule = rules_long,
};

const struct format format_ept4 = {
	.name = "EPT-4", .family = FORMAT_EPT, .top = 4, .entry_bytes = 8,
	.input_bits = 48, .output_bits = 52,
	.read_bit = 0, .write_bit = 1,
	.user_bit = 10, .user_when = MODE_MBEC,
	.exec_bit = 2,
	.ad_when = MODE_AD,		/* SDM 3C 29.3.5 */
	.key_bit = 64,
	.address_last = 51,
	.bad_low6 = EPT_BAD_LOW6, .bad_low6_noexec = EPT_BAD_LOW6_NOEXEC,
	.root_address = BITS(51, 12),	/* SDM 3C table 25-9 */
	.level = levels_ept, .rule = rules_ept,
};

const struct format format_ept5 = {
	.name = "EPT-5", .family = FORMAT_EPT, .top = 5, .entry_bytes = 8,
	.input_bits = 57, .output_bits = 52,
	.read_bit = 0, .write_bit = 1,
	.user_bit = 10, .user_when = MODE_MBEC,
	.exec_bit = 2,
	.ad_when = MODE_AD,
	.key_bit = 64,
	.address_last = 51,
	.bad_low6 = EPT_BAD_LOW6, .bad_low6_noexec = EPT_BAD_LOW6_NOEXEC,
	.root_address = BITS(51, 12),
	.level = levels_ept, .rule = rules_ept,
};

/* ---- widths: G-3, F-30, F-34 ---- */

/* Of several rows that fit a mode the first is its own. */
const struct format_width format_widths[FORMAT_WIDTH_ROWS] = {
	/*				format		when			unless	     linear input output */
	[FORMAT_WIDTH_NONE] =		{NULL,		0,			0,		32, 32, 32},	/* H-2 */
	[FORMAT_WIDTH_PSE36] =		{&format_32,	MODE_PSE | MODE_PSE36,	MODE_NPT,	32, 32, 40},	/* SDM 3A 4.3, H-27 */
	[FORMAT_WIDTH_32] =		{&format_32,	0,			MODE_NPT,	32, 32, 32},	/* SDM 3A 4.3 */
	[FORMAT_WIDTH_PAE] =		{&format_pae,	0,			MODE_NPT,	32, 32, 52},	/* SDM 3A 4.4 */
	[FORMAT_WIDTH_4] =		{&format_4,	0,			MODE_NPT,	48, 48, 52},	/* SDM 3A 4.5 */
	[FORMAT_WIDTH_5] =		{&format_5,	0,			MODE_NPT,	57, 57, 52},	/* SDM 3A 4.5 */
	[FORMAT_WIDTH_EPT4] =		{&format_ept4,	0,			0,		 0, 48, 52},	/* SDM 3C 29.3.2, H-84 */
	[FORMAT_WIDTH_EPT5] =		{&format_ept5,	0,			0,		 0, 52, 52},	/* 57 by index; H-9: no more than 52 arrive */
	[FORMAT_WIDTH_NPT_PSE36] =	{&format_32,	MODE_PSE | MODE_PSE36,	0,		 0, 32, 40},	/* APM 2 5.2.2 */
	[FORMAT_WIDTH_NPT_32] =		{&format_32,	0,			0,		 0, 32, 32},	/* APM 2 15.25 */
	[FORMAT_WIDTH_NPT_PAE] =	{&format_pae,	0,			0,		 0, 32, 52},	/* F-34: input 32, not 36 or 52 */
	[FORMAT_WIDTH_NPT_4] =		{&format_4,	0,			0,		 0, 48, 52},	/* H-101 */
	[FORMAT_WIDTH_NPT_5] =		{&format_5,	0,			0,		 0, 52, 52},	/* H-101, H-9 */
};

/* clang-format on */

const struct format *const format_all[] = {
	&format_32, &format_pae, &format_4, &format_5, &format_ept4, &format_ept5, NULL,
};

const struct format *format_tdp(bool ept, unsigned levels)
{
	if (ept)
		return levels == 5 ? &format_ept5 : &format_ept4;
	return levels == 3 ? &format_pae : levels == 4 ? &format_4 : &format_5;
}

const struct format_width *format_width(const struct format *format, uint32_t flags)
{
	for (unsigned row = 0; row < FORMAT_WIDTH_ROWS; row++) {
		const struct format_width *width = &format_widths[row];

		if (width->format == format && (flags & width->when) == width->when &&
		    !(flags & width->unless))
			return width;
	}
	return NULL;
}
