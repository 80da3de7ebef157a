/* SPDX-License-Identifier: MIT */
/*
 * test_walk.c - one set of walks for every format there is, and one there is not.
 *
 * A path of tables is built from the format's own description, one table a level.
 * Each test changes one thing in it and says what the walk must do. Everything
 * runs with the lean walker and without (MODE_SHAPE_ODD), on all formats, on the
 * invented one, and in all configurations of mode_list().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/walk.h"
#include "tests/format/invented.h"

#define TABLE_ROOM 0x4000ull
#define TABLE_AT(level) (TABLE_ROOM * (level))
#define ARENA_SIZE (TABLE_ROOM * (UMBRA_LEVEL_MAX + 1))
#define NOWHERE (1ull << 30) /* an address without memory */

static struct bed {
	_Alignas(16384) uint8_t bytes[ARENA_SIZE];
	struct memory memory;
	struct mode mode;
	struct space space;
	uint64_t pdpte[4];
	uint64_t address;
	unsigned leaf; /* level */
	struct walk out;
	/* hooks of find(): */
	unsigned finds, races;
	uint64_t race_at;
} bed;

static uint64_t random_state = 0x853c49e6748fea9bull;

static uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

/* ---- tables by description ---- */

static uint64_t right_bit(unsigned level, unsigned bit)
{
	return bit < 64 ? 1ull << bit << bed.mode.level[level].rights_shift : 0;
}

/* An entry with all rights but @without (ACC_*). */
static uint64_t entry_of(unsigned level, unsigned without)
{
	const struct format *f = bed.mode.format;
	const struct mode_level *l = &bed.mode.level[level];
	const uint64_t exec = right_bit(level, f->exec_bit);
	const bool leaf = level == bed.leaf;
	uint64_t entry = leaf ? 0 : TABLE_AT(level - 1);

	/* the lowest present bit; EPT's is R, which may be missing */
	entry |= l->present & -l->present;
	if (leaf && level > 1)
		entry |= l->large;
	if (f->level[level].grants_all)
		return entry;
	if (f->family == FORMAT_EPT) {
		entry &= ~l->present;
		entry |= leaf ? 6 << 3 : 0;
	}
	entry |= without & ACC_READ ? 0 : right_bit(level, f->read_bit);
	entry |= without & ACC_WRITE ? 0 : right_bit(level, f->write_bit);
	entry |= without & ACC_USER ? 0 : right_bit(level, f->user_bit);
	if (f->exec_inverted == !!(without & ACC_EXEC) && !(l->rsvd[leaf] & exec))
		entry |= exec;
	return entry;
}

static uint64_t slot_at(unsigned level)
{
	const struct mode_level *l = &bed.mode.level[level];

	return TABLE_AT(level) +
	       ((bed.address >> l->shift & l->index_mask) << bed.mode.entry_shift);
}

static bool in_registers(unsigned level)
{
	return bed.mode.root_registers && level == bed.mode.top;
}

static uint64_t get(unsigned level)
{
	uint64_t value = 0;

	if (in_registers(level))
		return bed.pdpte[bed.address >> 30 & 3];
	memcpy(&value, &bed.bytes[slot_at(level)], 1u << bed.mode.entry_shift);
	return value;
}

static void put(unsigned level, uint64_t value)
{
	if (in_registers(level))
		bed.pdpte[bed.address >> 30 & 3] = value;
	else
		memcpy(&bed.bytes[slot_at(level)], &value, 1u << bed.mode.entry_shift);
}

static void fill(void)
{
	for (unsigned level = bed.mode.top; level >= bed.leaf; level--)
		put(level, entry_of(level, 0));
}

static bool can_be_leaf(unsigned level)
{
	const struct mode_level *l = &bed.mode.level[level];

	return level == 1 || (l->large && !(l->rsvd[1] & l->large));
}

/* Start anew, with a path to a leaf of @leaf for a random address. */
static void build(unsigned leaf)
{
	const unsigned width = bed.mode.format->input_bits;

	memset(bed.bytes, 0, sizeof(bed.bytes));
	memset(bed.pdpte, 0, sizeof(bed.pdpte));
	bed.memory = (struct memory){.size = ARENA_SIZE, .bytes = bed.bytes, .writable = true};
	bed.space = (struct space){.mode = &bed.mode,
				   .root = TABLE_AT(bed.mode.top) | 0x18,
				   .pdpte = bed.pdpte,
				   .memory = &bed.memory};
	bed.leaf = leaf;
	bed.address = random64() & (~0ull >> (64 - width));
	fill();
}

static enum walk_end go(unsigned access, unsigned flags)
{
	memset(&bed.out, 0xa5, sizeof(bed.out));
	return walk(&bed.space, bed.address, access, flags, &bed.out);
}

/* ---- the tests, on whatever bed.mode is ---- */

static void walk_address(void)
{
	const struct mode_level *l;
	uint64_t frame;

	for (unsigned leaf = 1; leaf <= bed.mode.top; leaf++) {
		if (!can_be_leaf(leaf))
			continue;
		l = &bed.mode.level[leaf];
		for (unsigned i = 0; i < 8; i++) {
			build(leaf);
			frame = random64() & l->leaf_address;
			put(leaf, get(leaf) | frame);
			assert_int_equal(go(UMBRA_ACCESS_USER, 0), WALK_OK);
			assert_int_equal(bed.out.level, leaf);
			assert_int_equal(bed.out.page_shift, l->shift);
			assert_int_equal(bed.out.address,
					 frame | (bed.address & ((1ull << l->shift) - 1)));
			assert_int_equal(bed.out.final, bed.out.address);
			assert_int_equal(bed.out.acc, ACC_ALL);
			assert_int_equal(bed.out.acc_upper, ACC_ALL);
			assert_int_equal(bed.out.event.kind, UMBRA_EVENT_NONE);
			assert_false(bed.out.in_parent);
			for (unsigned level = leaf; level <= bed.mode.top; level++) {
				assert_int_equal(bed.out.entry[level], get(level));
				assert_int_equal(bed.out.entry_address[level],
						 in_registers(level) ? 0 : slot_at(level));
			}
		}
		/* PSE-36: each bit of high is a bit of the address. */
		for (uint64_t bits = l->high; bits; bits &= bits - 1) {
			build(leaf);
			put(leaf, get(leaf) | (bits & -bits));
			assert_int_equal(go(0, 0), WALK_OK);
			assert_int_equal(bed.out.address & ~((1ull << l->shift) - 1),
					 (bits & -bits) << l->high_shift);
		}
	}
}

/* Which access needs the right, and has an index in deny[]? */
static unsigned access_for(unsigned acc)
{
	switch (acc) {
	case ACC_WRITE: return UMBRA_ACCESS_WRITE | UMBRA_ACCESS_USER;
	case ACC_EXEC: return UMBRA_ACCESS_FETCH;
	case ACC_USER:
		return bed.mode.format->family == FORMAT_EPT
			       ? UMBRA_ACCESS_FETCH | UMBRA_ACCESS_USER
			       : UMBRA_ACCESS_USER;
	default: return 0;
	}
}

static bool right_exists(unsigned acc)
{
	const struct mode *m = &bed.mode;

	if (m->acc_always & acc)
		return false;
	if (acc == ACC_EXEC && (m->format->exec_when & ~m->flags))
		return false;
	/* P is the read right of paging. */
	return !(acc == ACC_READ && (m->read & m->level[1].present & ~6ull) &&
		 m->format->family == FORMAT_PAGING);
}

static void walk_rights(void)
{
	for (unsigned acc = 1; acc < ACC_ALL; acc <<= 1) {
		if (!right_exists(acc))
			continue;
		for (unsigned level = 1; level <= bed.mode.top; level++) {
			const bool grants = bed.mode.format->level[level].grants_all;
			/* EPT: W without R is illegal, so both go. */
			const unsigned without =
				bed.mode.format->family == FORMAT_EPT && acc == ACC_READ
					? ACC_READ | ACC_WRITE
					: acc;
			uint64_t before;

			build(1);
			put(level, entry_of(level, without));
			before = get(1);
			if (bed.mode.format->family == FORMAT_EPT && acc == ACC_READ &&
			    !(bed.mode.flags & MODE_EXECONLY)) {
				assert_int_equal(go(0, 0), WALK_RESERVED);
				assert_int_equal(bed.out.event.kind, UMBRA_EVENT_EPT_MISCONFIG);
				continue;
			}
			if (grants) {
				assert_int_equal(go(access_for(acc), 0), WALK_OK);
				continue;
			}
			assert_int_equal(go(access_for(acc), 0), WALK_DENIED);
			assert_int_equal(bed.out.acc, ACC_ALL & ~without);
			assert_int_equal(bed.out.acc_upper,
					 level == 1 ? ACC_ALL : ACC_ALL & ~without);
			assert_int_equal(get(1), before);
			assert_int_not_equal(bed.out.event.kind, UMBRA_EVENT_NONE);
			assert_int_equal(go(access_for(acc), WALK_NO_RIGHTS), WALK_OK);
			assert_int_equal(get(1), before);
		}
	}
}

static uint64_t marks(unsigned level)
{
	return get(level) & (bed.mode.level[level].accessed |
			     (level == bed.leaf ? bed.mode.level[level].dirty : 0));
}

static void walk_marks(void)
{
	for (unsigned leaf = 1; leaf <= bed.mode.top; leaf++) {
		if (!can_be_leaf(leaf))
			continue;
		build(leaf);
		assert_int_equal(go(UMBRA_ACCESS_WRITE, WALK_NO_AD), WALK_OK);
		assert_int_equal(bed.out.dirty, bed.mode.level[leaf].dirty == 0);
		for (unsigned level = leaf; level <= bed.mode.top; level++)
			assert_int_equal(marks(level), 0);

		bed.memory.writable = false;
		assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_OK);
		bed.memory.writable = true;
		for (unsigned level = leaf; level <= bed.mode.top; level++)
			assert_int_equal(marks(level), 0);

		assert_int_equal(go(0, 0), WALK_OK);
		for (unsigned level = leaf; level <= bed.mode.top; level++) {
			assert_int_equal(marks(level), bed.mode.level[level].accessed);
			assert_int_equal(bed.out.entry[level], get(level));
		}
		assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_OK);
		assert_true(bed.out.dirty);
		assert_int_equal(marks(leaf),
				 bed.mode.level[leaf].accessed | bed.mode.level[leaf].dirty);
		assert_int_equal(bed.out.restarts, 0);
	}
}

/* Bits that do not decide presence, the kind of entry, or the test's own tables. */
static void walk_reserved(void)
{
	for (unsigned leaf = 1; leaf <= bed.mode.top; leaf++) {
		if (!can_be_leaf(leaf))
			continue;
		for (unsigned level = leaf; level <= bed.mode.top; level++) {
			const struct mode_level *l = &bed.mode.level[level];
			const uint64_t rsvd = l->rsvd[level == leaf];

			if (in_registers(level))
				continue;
			for (unsigned bit = 0; bit < 8u << bed.mode.entry_shift; bit++) {
				build(leaf);
				if (get(level) >> bit & 1)
					continue;
				put(level, get(level) | 1ull << bit);
				if (!(rsvd >> bit & 1))
					continue;
				for (unsigned below = 1; below < level; below++)
					put(below, 0);
				assert_int_equal(go(0, 0), WALK_RESERVED);
				assert_int_equal(bed.out.level, level);
				assert_int_equal(bed.out.acc, ACC_ALL);
				if (bed.mode.format->family == FORMAT_EPT)
					assert_int_equal(bed.out.event.kind,
							 UMBRA_EVENT_EPT_MISCONFIG);
				else
					assert_int_equal(
						bed.out.event.code & 0xff,
						UMBRA_PF_P | UMBRA_PF_RSVD |
							(bed.mode.flags & MODE_NPT ? 0 : 0));
			}
		}
	}
}

/* Not present: no other bit matters, and nothing is written. */
static void walk_not_present(void)
{
	for (unsigned level = 1; level <= bed.mode.top; level++) {
		const uint64_t none = ~bed.mode.level[level].present;
		uint64_t value;

		build(1);
		put(level, none);
		value = get(level);
		assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_NOT_PRESENT);
		assert_int_equal(bed.out.level, level);
		assert_int_equal(get(level), value);
		if (bed.mode.format->family == FORMAT_EPT)
			assert_int_equal(bed.out.event.code, UMBRA_EPTQ_WRITE);
		else
			assert_int_equal(bed.out.event.code & 0xffffffff, UMBRA_PF_W);
		for (unsigned upper = level + 1; upper <= bed.mode.top; upper++)
			assert_int_equal(marks(upper), 0);
	}
}

static void walk_absent(void)
{
	for (unsigned level = 2; level <= bed.mode.top; level++) {
		build(1);
		put(level, (get(level) & ~bed.mode.level[level].table_address) | NOWHERE);
		assert_int_equal(go(UMBRA_ACCESS_WRITE, 0), WALK_ABSENT);
		assert_int_equal(bed.out.level, level - 1);
		if (bed.mode.format->family == FORMAT_PAGING)
			assert_int_equal(bed.out.event.code & 0xffffffff, UMBRA_PF_W);
	}
}

/* Memory that moves its window at every page and changes an entry meanwhile. */
static bool find_racing(struct memory *memory, uint64_t address)
{
	uint64_t entry = 0;

	if (address >= ARENA_SIZE)
		return false;
	bed.finds++;
	memory->base = address & ~(TABLE_ROOM - 1);
	memory->size = TABLE_ROOM;
	memory->bytes = bed.bytes + memory->base;
	/* It comes back to the root's table to mark the entry there. */
	if (bed.races && bed.finds > 1 && bed.race_at - memory->base < TABLE_ROOM) {
		bed.races--;
		memcpy(&entry, &bed.bytes[bed.race_at], 1u << bed.mode.entry_shift);
		entry ^= bed.mode.format == &format_invented ? 1ull << 50 : 1ull << 11;
		memcpy(&bed.bytes[bed.race_at], &entry, 1u << bed.mode.entry_shift);
	}
	return true;
}

static void walk_race(void)
{
	static const uint8_t counts[] = {0, 1, 2, 7, 8, 20};

	/* The root is a leaf's only table where there is one level in memory. */
	if (!bed.mode.accessed || in_registers(bed.mode.top) ||
	    !bed.mode.level[bed.mode.top].accessed)
		return;
	for (unsigned i = 0; i < sizeof(counts); i++) {
		enum walk_end end;

		build(1);
		bed.memory = (struct memory){.writable = true, .find = find_racing};
		bed.finds = 0;
		bed.races = counts[i];
		bed.race_at = slot_at(bed.mode.top);
		/* Skip lean(): it asks for memory too. */
		bed.mode.shape |= MODE_SHAPE_ODD;
		end = go(UMBRA_ACCESS_WRITE, 0);
		assert_true(bed.finds > 0);
		if (counts[i] < 8) {
			assert_int_equal(end, WALK_OK);
			assert_int_equal(bed.out.restarts, counts[i]);
			assert_int_equal(marks(bed.mode.top),
					 bed.mode.level[bed.mode.top].accessed);
		} else {
			assert_int_equal(end, WALK_NOT_PRESENT);
			assert_int_equal(bed.out.restarts, 8);
		}
	}
}

/* Keys in leaves, wherever the format has them. */
static void walk_keys(void)
{
	if (!bed.mode.pk)
		return;
	for (unsigned key = 0; key < 16; key++) {
		const unsigned at = bed.mode.key_bit;

		build(1);
		put(1, get(1) | (uint64_t)key << at << bed.mode.level[1].rights_shift);
		bed.space.pkru = ~(3u << 2 * key);
		assert_int_equal(go(UMBRA_ACCESS_USER, 0), WALK_OK);
		assert_int_equal(bed.out.key, key);
		bed.space.pkru = 1u << 2 * key;
		assert_int_equal(go(UMBRA_ACCESS_USER, 0), WALK_DENIED);
		assert_true(bed.out.event.code & UMBRA_PF_PK);
		bed.space.pkru = 2u << 2 * key;
		assert_int_equal(go(UMBRA_ACCESS_USER, 0), WALK_OK);
		assert_int_equal(go(UMBRA_ACCESS_USER | UMBRA_ACCESS_WRITE, 0), WALK_DENIED);
	}
}

/* ---- on all modes ---- */

static unsigned modes;

static void on_mode(const struct format *format, uint32_t flags, unsigned width, void (*test)(void))
{
	uint8_t shape;

	mode_bind(&bed.mode, format, flags, width);
	shape = bed.mode.shape;
	test();
	bed.mode.shape = shape | MODE_SHAPE_ODD;
	test();
	modes++;
}

static void on_all(void (*test)(void))
{
	static const uint32_t sets[] = {
		0,
		MODE_WP,
		MODE_NX | MODE_WP,
		MODE_NX | MODE_WP | MODE_1G | MODE_2M | MODE_PSE | MODE_PSE36,
		MODE_NX | MODE_WP | MODE_1G | MODE_2M | MODE_PSE | MODE_PSE36 | MODE_AD |
			MODE_EXECONLY,
		MODE_1G | MODE_2M | MODE_AD | MODE_MBEC | MODE_EXECONLY | MODE_PSE,
		MODE_NX | MODE_WP | MODE_BIT8_MBZ | MODE_PDPTE_MEMORY | MODE_PKU | MODE_1G,
		MODE_NX | MODE_NPT | MODE_PDPTE_MEMORY | MODE_1G | MODE_PSE,
	};
	static const uint8_t widths[] = {36, 40, 46, 52};

	modes = 0;
	for (unsigned s = 0; s < sizeof(sets) / sizeof(sets[0]); s++) {
		for (unsigned w = 0; w < sizeof(widths); w++) {
			for (unsigned f = 0; format_all[f]; f++)
				on_mode(format_all[f], sets[s], widths[w], test);
			on_mode(&format_invented, sets[s], widths[w] > 48 ? 48 : widths[w], test);
		}
	}
	printf("# %u modes, lean and full\n", modes);
}

static void test_address(void **state)
{
	(void)state;
	on_all(walk_address);
}

static void test_rights(void **state)
{
	(void)state;
	on_all(walk_rights);
}

static void test_marks(void **state)
{
	(void)state;
	on_all(walk_marks);
}

static void test_reserved(void **state)
{
	(void)state;
	on_all(walk_reserved);
}

static void test_not_present(void **state)
{
	(void)state;
	on_all(walk_not_present);
}

static void test_absent(void **state)
{
	(void)state;
	on_all(walk_absent);
}

static void test_race(void **state)
{
	(void)state;
	on_all(walk_race);
}

static void test_keys(void **state)
{
	(void)state;
	on_all(walk_keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),     cmocka_unit_test(test_rights),
		cmocka_unit_test(test_marks),       cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_not_present), cmocka_unit_test(test_absent),
		cmocka_unit_test(test_race),        cmocka_unit_test(test_keys),
	};

	printf("# seed %llx\n", (unsigned long long)random_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
