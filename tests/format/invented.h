/* SPDX-License-Identifier: MIT */
/*
 * invented.h - a paging format that no CPU has.
 *
 * Three levels of 8, 10 and 11 index bits, tables of up to 16 KiB. The control bits
 * move up with the level, presence is another bit (or any of two) at each level,
 * large bits lie elsewhere, no-execute lies low, protection keys are there. If the
 * walker handles it from its description alone, then it is generic.
 *
 *	level  index   present  R W U  XD  A   D   large  key
 *	3      40:33   0        6 7 8  57  10  11  4      63:60
 *	2      32:23   0 or 1   3 4 5  54  7   10  11     60:57
 *	1      22:12   0        1 2 3  52  5   6   -      58:55
 */
#ifndef TESTS_FORMAT_INVENTED_H
#define TESTS_FORMAT_INVENTED_H

#include "core/format.h"

#define INVENTED_BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

static const struct format format_invented = {
	.name = "invented",
	.family = FORMAT_PAGING,
	.top = 3,
	.entry_bytes = 8,
	.input_bits = 41,
	.output_bits = 48,
	.read_bit = 1,
	.write_bit = 2,
	.user_bit = 3,
	.exec_bit = 52,
	.exec_inverted = true,
	.key_bit = 55,
	.address_last = 49,
	.root_address = INVENTED_BITS(47, 14),
	.level =
		(const struct format_level[]){
			[3] =
				{
					.shift = 33,
					.bits = 8,
					.present = 1,
					.large = 1 << 4,
					.large_when = MODE_1G,
					.accessed = 1 << 10,
					.dirty = 1 << 11,
					.table_address = INVENTED_BITS(47, 14),
					.leaf_address = INVENTED_BITS(47, 33),
					.rights_shift = 5,
				},
			[2] =
				{
					.shift = 23,
					.bits = 10,
					.present = 3,
					.large = 1 << 11,
					.accessed = 1 << 7,
					.dirty = 1 << 10,
					.table_address = INVENTED_BITS(47, 14),
					.leaf_address = INVENTED_BITS(47, 23),
					.rights_shift = 2,
				},
			[1] =
				{
					.shift = 12,
					.bits = 11,
					.present = 1,
					.accessed = 1 << 5,
					.dirty = 1 << 6,
					.leaf_address = INVENTED_BITS(47, 12),
				},
		},
	.rule =
		(const struct format_rule[]){
			{FORMAT_L(3), FORMAT_TABLE, 0, 0, 1 << 13},
			{FORMAT_L(3), FORMAT_LEAF, 0, 0, INVENTED_BITS(32, 14)},
			{FORMAT_L(2), FORMAT_LEAF, 0, 0, INVENTED_BITS(22, 14)},
			{FORMAT_L(2), FORMAT_TABLE, MODE_PSE, 0, 1 << 12},
			{FORMAT_L(1), FORMAT_ANY, 0, MODE_PSE, 1 << 9},
			{0},
		},
};

#endif
