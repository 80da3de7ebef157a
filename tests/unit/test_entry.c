/* SPDX-License-Identifier: MIT */
/*
 * test_entry.c - entries against the facts sheet.
 *
 * Values: appendix B.1 and B.2, the vectors of Q-20..Q-23 and Q-26. Properties,
 * over every layout, family, binding and combination of flags: an entry is one
 * of {empty, frozen, MMIO, ours}, decoding gives back what it was made of,
 * access tracking loses nothing but W, the writable state stays legal
 * whatever is done to a leaf, MMIO entries round trip, and
 * entry_needs_flush() agrees with a predicate over what the leaves were made of.
 */
#include "core/entry.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define GEN_612 0
#define GEN_004 1
#define GEN_73 2

#define BIT(n) (1ull << (n))
#define PFN ((umbra_pfn){0x12345})

static struct entry_kind bind(unsigned generation, bool ept, bool ad)
{
	struct entry_config config = {
		.generation = generation,
		.ept = ept,
		.ad = ad,
		.exec_only = true,
		.maxphyaddr = 46,
	};
	struct entry_kind kind;

	entry_bind(&kind, &config);
	return kind;
}

/* All rights, everything set. */
static struct entry_leaf full(void)
{
	return (struct entry_leaf){
		.pfn = PFN,
		.level = 1,
		.acc = ACC_ALL,
		.host_writable = true,
		.mmu_writable = true,
		.accessed = true,
		.dirty = true,
	};
}

/* ---- every binding ---- */

typedef void visit_kind(const struct entry_kind *kind, void *context);

/* Calls @visit for 3 layouts x 2 families x {A/D, exec-only, PAE} x widths; returns the count. */
static unsigned each_kind(visit_kind *visit, void *context)
{
	static const uint8_t widths[] = {32, 36, 40, 46, 48, 51, 52};
	unsigned count = 0;

	for (unsigned i = 0; i < ENTRY_GENERATIONS * 16 * sizeof(widths); i++) {
		unsigned flags = i / ENTRY_GENERATIONS % 16;
		struct entry_config config = {
			.generation = i % ENTRY_GENERATIONS,
			.ept = flags & 1,
			.ad = flags & 2,
			.exec_only = flags & 4,
			.pae = flags & 8,
			.maxphyaddr = widths[i / ENTRY_GENERATIONS / 16],
		};
		struct entry_kind kind;

		entry_bind(&kind, &config);
		visit(&kind, context);
		count++;
	}
	return count;
}

#define LEAVES (3u * 16 * 3 * 16)

/* Leaf number @i of every combination of level, rights, A/D type and flags. */
static struct entry_leaf leaf_of(const struct entry_kind *kind, unsigned i)
{
	struct entry_leaf leaf = {
		.level = 1 + i % 3,
		.acc = i / 3 % 16,
		.ad = (enum entry_ad)(i / 48 % 3),
		.host_writable = i / 144 & 1,
		.mmu_writable = i / 144 & 2,
		.accessed = i / 144 & 4,
		.dirty = i / 144 & 8,
		.key = i % 16 ^ i / 144,
	};

	leaf.pfn.v = (kind->address >> 12) & ~((1ull << 9 * (leaf.level - 1)) - 1);
	return leaf;
}

/* ---- B.1, B.2 ---- */

struct b1 {
	uint64_t full, read_only, dirty_logged, shadowed, huge, table;
	uint64_t disabled, tracked, restored, wrprot, nonpresent, frozen;
};

static void check_b1(unsigned generation, const struct b1 *want)
{
	struct entry_kind kind = bind(generation, true, true), old = bind(generation, true, false);
	struct entry_leaf leaf = full();
	uint64_t entry = entry_make_leaf(&kind, &leaf);

	assert_int_equal(entry, want->full);
	assert_int_equal(entry_protect(&kind, entry, false), want->dirty_logged);
	assert_int_equal(entry_protect(&kind, entry, true), want->shadowed);
	leaf.host_writable = false;
	assert_int_equal(entry_make_leaf(&kind, &leaf), want->read_only);
	leaf = full();
	leaf.level = 2;
	leaf.pfn.v = 0x12200;
	leaf.acc = ACC_READ | ACC_WRITE;
	assert_int_equal(entry_make_leaf(&kind, &leaf), want->huge);
	assert_int_equal(entry_make_table(&kind, (umbra_hpa){0x12345000}, ENTRY_AD_ENABLED),
			 want->table);
	leaf = full();
	leaf.ad = ENTRY_AD_DISABLED;
	assert_int_equal(entry_make_leaf(&old, &leaf), want->disabled);
	assert_int_equal(entry_make_leaf(&kind, &leaf), want->disabled);
	assert_int_equal(entry_track(&old, want->disabled), want->tracked);
	assert_int_equal(entry_track(&old, want->tracked), want->tracked);
	assert_int_equal(entry_untrack(&old, want->tracked), want->restored);
	leaf.ad = ENTRY_AD_WRPROT;
	assert_int_equal(entry_make_leaf(&kind, &leaf), want->wrprot);
	assert_int_equal(entry_empty(&kind, false), want->nonpresent);
	assert_int_equal(entry_empty(&kind, true), 0);
	assert_int_equal(kind.layout->frozen, want->frozen);
	assert_true(entry_is_frozen(&kind, want->frozen));
}

static void test_b1(void **state)
{
	static const struct b1 v612 = {
		.full = 0x8600000012345b37,
		.read_only = 0x8000000012345935,
		.dirty_logged = 0x8600000012345b35,
		.shadowed = 0x8200000012345b35,
		.huge = 0x8600000012200bb3,
		.table = 0x8000000012345907,
		.disabled = 0x8610000012345837,
		.tracked = 0x8750000012345830,
		.restored = 0x8610000012345835,
		.wrprot = 0x8620000012345b37,
		.nonpresent = 0x8000000000000000,
		.frozen = 0x80000000000005a0,
	};
	static const struct b1 v73 = {
		.full = 0x80a0000012345f37,
		.read_only = 0x8000000012345d35,
		.dirty_logged = 0x80a0000012345f35,
		.shadowed = 0x8020000012345f35,
		.huge = 0x80a0000012200bb3,
		.table = 0x8000000012345d07,
		.disabled = 0x90a0000012345f37,
		.tracked = 0xd0f0000012345a30,
		.restored = 0x90a0000012345e35,
		.wrprot = 0xa0a0000012345f37,
		.nonpresent = 0x8000000000000000,
		.frozen = 0x80000000000001a0,
	};
	struct b1 v004 = v612;

	(void)state;
	v004.frozen = 0x80000000000001a0;
	check_b1(GEN_612, &v612);
	check_b1(GEN_004, &v004);
	check_b1(GEN_73, &v73);
}

static void test_b2(void **state)
{
	(void)state;
	for (unsigned g = 0; g < ENTRY_GENERATIONS; g++) {
		struct entry_kind kind = bind(g, false, true);
		struct entry_leaf leaf = full();

		assert_int_equal(entry_make_leaf(&kind, &leaf), 0x0000000012345e67);
		leaf.acc = ACC_READ | ACC_WRITE | ACC_EXEC; /* GMET, direct */
		assert_int_equal(entry_make_leaf(&kind, &leaf), 0x0000000012345e63);
		leaf.acc = ACC_READ | ACC_USER;
		leaf.host_writable = false;
		assert_int_equal(entry_make_leaf(&kind, &leaf), 0x8000000012345825);
		assert_int_equal(entry_make_table(&kind, (umbra_hpa){0x12345000}, ENTRY_AD_ENABLED),
				 0x0000000012345827);
		assert_int_equal(entry_make_pdpte(&kind, (umbra_hpa){0x12345000}), 0x12345801);
		assert_int_equal(kind.layout->frozen,
				 g == GEN_612 ? 0x80000000000005a0 : 0x80000000000001a0);
	}
}

/* ---- Q-21 ---- */

static void test_masks(void **state)
{
	(void)state;
	for (unsigned g = 0; g < ENTRY_GENERATIONS; g++) {
		const struct entry_layout *ept = entry_layout(g, true);
		const struct entry_layout *other = entry_layout(g, false);
		struct entry_kind kind = bind(g, true, true);

		assert_int_equal(ept->ad_mask, g == GEN_73 ? 3ull << 60 : 3ull << 52);
		assert_int_equal((uint64_t)ENTRY_AD_DISABLED << ept->ad_shift,
				 g == GEN_73 ? 0x1000000000000000 : 0x0010000000000000);
		assert_int_equal((uint64_t)ENTRY_AD_WRPROT << ept->ad_shift,
				 g == GEN_73 ? 0x2000000000000000 : 0x0020000000000000);
		assert_int_equal(ept->saved_mask << ept->saved_shift,
				 g == GEN_73 ? BIT(52) | BIT(54) | BIT(62) : BIT(54) | BIT(56));
		assert_int_equal(ept->track_clear, g == GEN_73 ? 0x407 : 7);
		assert_int_equal(ept->mmio_allowed,
				 g == GEN_612 ? 0x800ffffffffff007 : 0x800ffffffffff407);
		assert_int_equal(other->mmio_allowed, ept->mmio_allowed);
		assert_int_equal(other->ad_mask | other->saved_mask | other->track_clear, 0);
		assert_int_equal(kind.mmio_value, 6);
		assert_int_equal(kind.mmio_mask, 0x8000000000000007);
		assert_int_equal(kind.mmio_access, 0);
		assert_int_equal(kind.present, BIT(63));
		kind = bind(g, false, true);
		assert_int_equal(kind.mmio_value, 0x0008000000000001);
		assert_int_equal(kind.mmio_mask, 0x0008000000000001);
		assert_int_equal(kind.mmio_access, 6);
		assert_int_equal(kind.present, 1);
	}
}

/* Widths: bit 51 is free for MMIO only below 52 bits, EPT always can. */
static void test_mmio_possible(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ENTRY_GENERATIONS * 2; i++)
		for (uint8_t width = 32; width <= 52; width++) {
			struct entry_config config = {
				.generation = i / 2, .ept = i % 2, .maxphyaddr = width};
			struct entry_kind kind;

			entry_bind(&kind, &config);
			assert_int_equal(entry_mmio_possible(&kind), i % 2 || width < 52);
			assert_false(entry_is_mmio(&kind, entry_empty(&kind, false)));
			assert_false(entry_is_mmio(&kind, kind.layout->frozen));
			assert_false(entry_is_mmio(&kind, 0));
			assert_false(entry_is_mmio(&kind, BIT(63) | 6));
			assert_int_equal(entry_is_mmio(&kind, BIT(51) | 1),
					 i % 2 == 0 && width < 52);
		}
}

static void test_set_mmio(void **state)
{
	struct entry_kind kind;

	(void)state;
	/* SVM with memory encryption: rsvd(b, 51) and P, b the reduced width. */
	for (uint8_t b = 43; b < 52; b++) {
		struct entry_config config = {.generation = GEN_73, .maxphyaddr = b};
		uint64_t value = (BIT(52) - BIT(b)) | 1, entry;

		entry_bind(&kind, &config);
		assert_true(entry_set_mmio(&kind, value, value, 6));
		entry = entry_make_mmio(&kind, (umbra_gfn){0xfee00}, ACC_ALL, 2);
		assert_int_equal(entry, value | 0xfee00016);
		assert_true(entry_is_mmio(&kind, entry));
		assert_int_equal(entry_mmio_gfn(&kind, entry).v, 0xfee00);
	}
	for (unsigned i = 0; i < 2 * ENTRY_GENERATIONS; i++) {
		unsigned generation = i / 2;
		bool ept = i % 2;
		uint64_t frozen = entry_layout(generation, ept)->frozen;

		kind = bind(generation, ept, true);
		/* A TDX guest gets the #VE itself: RWX = 0, bit 63 = 0. */
		assert_true(entry_set_mmio(&kind, 0, BIT(63) | 7, 0));
		assert_true(entry_is_mmio(&kind, 0));
		assert_false(entry_is_mmio(&kind, entry_empty(&kind, false)));
		/* Bit 10 is free for a mask where the generation does not use it. */
		assert_int_equal(entry_set_mmio(&kind, 6, BIT(63) | BIT(10) | 7, 0),
				 generation != GEN_612);
		assert_false(entry_set_mmio(&kind, 6, 6 | BIT(11), 0)); /* MMU-present */
		assert_false(entry_mmio_possible(&kind));
		assert_int_equal(kind.mmio_value | kind.mmio_access, 0);
		assert_false(entry_set_mmio(&kind, 6, 6 | BIT(9), 0)); /* generation */
		assert_false(entry_set_mmio(&kind, 6, 6 | BIT(52), 0));
		assert_false(entry_set_mmio(&kind, 6, 4, 0)); /* value outside mask */
		assert_false(entry_set_mmio(&kind, 6, 6, 2)); /* rights under the mask */
		assert_false(entry_set_mmio(&kind, BIT(45) | 6, BIT(45) | 7, 0)); /* gfn */
		assert_false(entry_set_mmio(&kind, BIT(63), BIT(63) | 7, 0)); /* empty */
		assert_false(entry_set_mmio(&kind, frozen & 7, 7, 0)); /* frozen */
		assert_false(entry_set_mmio(&kind, 0, 0, 0));
		assert_true(entry_set_mmio(&kind, 6, BIT(63) | 7, 0));
	}
	/* Where L1TF moves address bits to, no MMIO bit may be. */
	entry_bind(&kind,
		   &(struct entry_config){.ept = true, .maxphyaddr = 44, .l1tf_cache_bits = 44});
	assert_true(entry_set_mmio(&kind, BIT(49), BIT(49) | 7, 0));
	for (unsigned bit = 12; bit < 49; bit++)
		assert_false(entry_set_mmio(&kind, BIT(bit) | 6, BIT(bit) | 7, 0));
}

/* ---- Q-26 ---- */

static void test_generation_vectors(void **state)
{
	static const struct {
		uint64_t generation, before, after;
	} vectors[] = {
		{0x7f, 0x3f8, 0x3f8},
		{0x80, 0x400, 0x0010000000000000},
		{0x100, 0x0010000000000000, 0x0020000000000000},
		{0x12345, 0x1230000000000228, 0x2460000000000228},
		{0x3ffff, 0x3ff00000000007f8, 0x7ff00000000003f8},
		{0x7ffff, 0x7ff00000000007f8, 0x7ff00000000003f8},
	};

	(void)state;
	for (unsigned g = 0; g < ENTRY_GENERATIONS; g++)
		for (unsigned i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
			struct entry_kind kind = bind(g, true, true);
			uint64_t want = g == GEN_612 ? vectors[i].before : vectors[i].after;

			assert_int_equal(entry_generation_bits(&kind), g == GEN_612 ? 19 : 18);
			assert_int_equal(
				entry_make_mmio(&kind, (umbra_gfn){0}, 0, vectors[i].generation),
				want | 6);
		}
}

/* Every generation comes back, and wraps where Q-22 says. */
static void test_generation_round_trip(void **state)
{
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < ENTRY_GENERATIONS * 2; i++) {
		struct entry_kind kind = bind(i / 2, i % 2, true);
		uint64_t end = 1ull << entry_generation_bits(&kind);

		for (uint64_t gen = 0; gen < end; gen++, count++) {
			uint64_t entry = entry_make_mmio(&kind, (umbra_gfn){0x12345}, 6, gen);

			if (entry_mmio_generation(&kind, entry) != gen ||
			    entry_mmio_gfn(&kind, entry).v != 0x12345 ||
			    !entry_is_mmio(&kind, entry) || entry_is_present(&kind, entry))
				fail_msg("generation 0x%lx", gen);
		}
		for (unsigned bit = 0; bit < 64; bit++)
			assert_int_equal(entry_make_mmio(&kind, (umbra_gfn){1}, 6, end << bit),
					 entry_make_mmio(&kind, (umbra_gfn){1}, 6, 0));
		/* with two address spaces the generation steps by 2. */
		assert_int_equal(end / 2, i / 2 == GEN_612 ? 262144 : 131072);
	}
	print_message("# %u generations\n", count);
}

static void test_mmio_examples(void **state)
{
	(void)state;
	for (unsigned g = 0; g < ENTRY_GENERATIONS; g++) {
		struct entry_kind ept = bind(g, true, true), other = bind(g, false, true), l1tf;
		uint64_t entry;

		assert_int_equal(entry_make_mmio(&ept, (umbra_gfn){0xfee00}, ACC_ALL, 2),
				 0xfee00016);
		entry = entry_make_mmio(&other, (umbra_gfn){0xfee00}, ACC_WRITE | ACC_USER, 2);
		assert_int_equal(entry, 0x80000fee00017);
		assert_int_equal(entry_mmio_acc(&other, entry), ACC_WRITE | ACC_USER);
		entry_bind(&l1tf, &(struct entry_config){.generation = g,
							 .ept = true,
							 .maxphyaddr = 44,
							 .l1tf_cache_bits = 44});
		assert_int_equal(l1tf.l1tf, 0xf8000000000);
		assert_int_equal(l1tf.mmio_gfn_low, 0x7ffffff000);
		entry = entry_make_mmio(&l1tf, (umbra_gfn){0x10001234}, 0, 5);
		assert_int_equal(entry, 0x2f800123402e);
		assert_int_equal(entry_mmio_gfn(&l1tf, entry).v, 0x10001234);
	}
}

static uint64_t random64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* every L1TF width, random frames and generations. */
static void test_mmio_round_trip(void **state)
{
	uint64_t seed = 0x1e77e4;
	unsigned count = 0;

	(void)state;
	print_message("# seed 0x%lx\n", seed);
	for (unsigned i = 0; i < ENTRY_GENERATIONS * 2 * 21 * 20; i++) {
		struct entry_config config = {
			.generation = i % 3,
			.ept = i / 3 % 2,
			.maxphyaddr = 32 + i / 6 % 21,
			.l1tf_cache_bits = i / 126 ? 31 + i / 126 : 0,
		};
		struct entry_kind kind;

		/* Parts with L1TF cache at least the address width that they claim. */
		if (config.l1tf_cache_bits && config.l1tf_cache_bits < config.maxphyaddr)
			continue;
		entry_bind(&kind, &config);
		if (!entry_mmio_possible(&kind))
			continue;
		if (config.l1tf_cache_bits >= 47 || !config.l1tf_cache_bits)
			assert_int_equal(kind.l1tf, 0);
		for (unsigned n = 0; n < 200; n++, count++) {
			uint64_t frames = (1ull << (config.maxphyaddr - 12)) - 1;
			uint64_t gfn = random64(&seed) & frames;
			uint64_t gen = random64(&seed) & ((1u << entry_generation_bits(&kind)) - 1);
			unsigned acc = random64(&seed) & ACC_ALL;
			uint64_t entry = entry_make_mmio(&kind, (umbra_gfn){gfn}, acc, gen);

			assert_true(entry_is_mmio(&kind, entry));
			assert_false(entry_is_present(&kind, entry));
			assert_false(entry_is_frozen(&kind, entry));
			assert_int_equal(entry_mmio_gfn(&kind, entry).v, gfn);
			assert_int_equal(entry_mmio_generation(&kind, entry), gen);
			assert_int_equal(entry_mmio_acc(&kind, entry), config.ept ? 0 : acc & 6);
			/* L1TF: the address bits that could be cached are all 1. */
			assert_int_equal(entry & kind.l1tf, kind.l1tf);
		}
	}
	print_message("# %u MMIO entries\n", count);
}

/* ---- Q-40, A-5 ---- */

static void disjoint(const uint64_t *mask, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < i; j++)
			if (mask[i] & mask[j])
				fail_msg("masks %u and %u share 0x%lx", i, j, mask[i] & mask[j]);
}

static void test_disjoint(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ENTRY_GENERATIONS * 2; i++) {
		const struct entry_layout *l = entry_layout(i / 2, i % 2);
		uint64_t low = (BIT(l->mmio_gen_low_bits) - 1) << l->mmio_gen_low_shift;
		uint64_t high = (BIT(l->mmio_gen_high_bits) - 1) << l->mmio_gen_high_shift;
		uint64_t masks[] = {
			l->present | l->read,
			l->write,
			l->user,
			l->exec,
			l->exec_user,
			l->nx,
			l->accessed,
			l->dirty,
			l->large,
			l->memtype_wb | (l->ept ? BIT(6) : 0),
			l->always,
			l->key_mask,
			l->mmu_present,
			l->host_writable,
			l->mmu_writable,
			l->ad_mask,
			l->saved_mask << l->saved_shift,
			BIT(52) - BIT(12),
		};
		uint64_t mmio[] = {low, high, l->mmu_present, l->mmio_allowed};
		uint64_t empty[] = {l->nonpresent | l->frozen, l->mmu_present | 7 | l->exec_user};

		disjoint(masks, sizeof(masks) / sizeof(*masks));
		disjoint(mmio, 4);
		disjoint(empty, 2);
		assert_int_equal(l->ept, i % 2);
		assert_int_equal(low | high | l->mmu_present | l->mmio_allowed, ~0ull);
		assert_int_equal(l->saved_mask & ~l->track_clear, 0);
		assert_int_equal(l->saved_mask & l->write, 0);
		assert_true(l->frozen != l->nonpresent);
	}
}

struct tally {
	uint64_t leaves, tables, pairs;
};

/* What @entry is, in the four ways that exclude each other. */
static unsigned states(const struct entry_kind *kind, uint64_t entry)
{
	return entry_is_present(kind, entry) + entry_is_mmio(kind, entry) +
	       entry_is_frozen(kind, entry) + (entry == entry_empty(kind, false));
}

static void visit_exclusion(const struct entry_kind *kind, void *context)
{
	struct tally *tally = context;

	assert_int_equal(states(kind, entry_empty(kind, false)), 1);
	assert_int_equal(states(kind, kind->layout->frozen), 1);
	if (entry_mmio_possible(kind))
		for (unsigned acc = 0; acc < 16; acc++)
			assert_int_equal(
				states(kind, entry_make_mmio(kind, (umbra_gfn){~0ull}, acc, ~0ull)),
				1);
	for (unsigned i = 0; i < LEAVES; i++, tally->leaves++) {
		struct entry_leaf leaf = leaf_of(kind, i);
		uint64_t entry = entry_make_leaf(kind, &leaf);
		uint64_t tracked = entry_track(kind, entry);

		if (states(kind, entry) != 1 || !entry_is_present(kind, entry) ||
		    states(kind, tracked) != 1 || !entry_is_present(kind, tracked) ||
		    (kind->layout->ept && !(entry & tracked & BIT(63))))
			fail_msg("leaf %u: 0x%lx, tracked 0x%lx", i, entry, tracked);
	}
	for (unsigned ad = 0; ad < 3; ad++, tally->tables++) {
		uint64_t entry =
			entry_make_table(kind, (umbra_hpa){kind->address}, (enum entry_ad)ad);

		assert_int_equal(states(kind, entry), 1);
		assert_true(entry_is_present(kind, entry));
	}
}

static void test_exclusion(void **state)
{
	struct tally tally = {0};
	unsigned kinds = each_kind(visit_exclusion, &tally);

	(void)state;
	print_message("# %u bindings, %lu leaves, %lu tables\n", kinds, tally.leaves, tally.tables);
}

/* ---- make and decode ---- */

/* Rights that a leaf of @acc ends up with when everything may be written. */
static unsigned legal_acc(const struct entry_kind *kind, unsigned acc)
{
	if (!kind->layout->ept)
		return acc | ACC_READ;
	if (!(acc & ACC_READ))
		acc = kind->exec_only ? acc & ~ACC_WRITE : 0;
	if (!kind->layout->exec_user)
		acc = (acc & ~ACC_USER) | (acc & ACC_EXEC ? ACC_USER : 0);
	return acc;
}

static bool decodes(const struct entry_kind *kind, const struct entry_leaf *leaf, uint64_t entry)
{
	bool ept = kind->layout->ept;
	bool hardware_ad = !ept || (kind->ad && leaf->ad != ENTRY_AD_DISABLED);
	bool keeps_ad = hardware_ad || kind->layout->software_ad;
	unsigned acc = legal_acc(kind, leaf->acc);
	bool write = acc & ACC_WRITE && leaf->host_writable && leaf->mmu_writable;
	enum entry_ad ad = !ept ? ENTRY_AD_ENABLED : kind->ad ? leaf->ad : ENTRY_AD_DISABLED;

	acc = write ? acc : acc & ~ACC_WRITE;
	return entry_acc(kind, entry) == acc && entry_is_leaf(kind, entry, leaf->level) &&
	       !!(entry & kind->layout->large) == (leaf->level > 1) &&
	       entry_pfn(kind, entry).v == leaf->pfn.v && entry_ad(kind, entry) == ad &&
	       entry_is_writable(kind, entry) == write &&
	       entry_is_mmu_writable(kind, entry) == write &&
	       entry_is_host_writable(kind, entry) == leaf->host_writable &&
	       entry_is_accessed(kind, entry) ==
		       (keeps_ad ? leaf->accessed : !entry_is_tracked(kind, entry)) &&
	       entry_is_dirty(kind, entry) == (write && (!hardware_ad || leaf->dirty)) &&
	       (ept ? (entry & 0x78) == 0x30 : !(entry & 0x118)) &&
	       (kind->pae || ept ? !(entry & kind->layout->key_mask)
				 : (entry >> 59 & 15) == leaf->key) &&
	       (!kind->pae || !(entry & (BIT(63) - BIT(52)))) &&
	       entry_writable_state_ok(kind, entry);
}

static void visit_decode(const struct entry_kind *kind, void *context)
{
	struct tally *tally = context;

	for (unsigned i = 0; i < LEAVES; i++, tally->leaves++) {
		struct entry_leaf leaf = leaf_of(kind, i);
		uint64_t entry = entry_make_leaf(kind, &leaf);

		if (!decodes(kind, &leaf, entry))
			fail_msg("%s %s leaf %u: 0x%lx", kind->layout->generation,
				 kind->layout->ept ? "EPT" : "other", i, entry);
	}
	for (unsigned ad = 0; ad < 3; ad++, tally->tables++) {
		umbra_hpa table = {kind->address};
		uint64_t entry = entry_make_table(kind, table, (enum entry_ad)ad);

		assert_int_equal(entry_table(kind, entry).v, table.v);
		assert_int_equal(entry_acc(kind, entry), ACC_ALL);
		assert_int_equal(entry_ad(kind, entry) == ENTRY_AD_DISABLED,
				 kind->layout->ept && (!kind->ad || ad == ENTRY_AD_DISABLED));
		for (unsigned level = 2; level <= 5; level++)
			assert_false(entry_is_leaf(kind, entry, level));
		/* Bits below the frame are the hardware's or ours. */
		assert_int_equal(entry_pfn(kind, entry).v, kind->address >> 12);
	}
	assert_int_equal(entry_make_pdpte(kind, (umbra_hpa){kind->address}) & 0x1e6, 0);
}

static void test_decode(void **state)
{
	struct tally tally = {0};
	unsigned kinds = each_kind(visit_decode, &tally);

	(void)state;
	print_message("# %u bindings, %lu leaves, %lu tables\n", kinds, tally.leaves, tally.tables);
}

/* ---- A-6 ---- */

static void visit_track(const struct entry_kind *kind, void *context)
{
	const struct entry_layout *l = kind->layout;
	struct tally *tally = context;

	for (unsigned i = 0; i < LEAVES; i++, tally->leaves++) {
		struct entry_leaf leaf = leaf_of(kind, i);
		uint64_t entry = entry_make_leaf(kind, &leaf);
		uint64_t tracked = entry_track(kind, entry);
		uint64_t again = entry_untrack(kind, tracked);

		if (entry_ad(kind, entry) != ENTRY_AD_DISABLED) {
			assert_false(entry_is_tracked(kind, entry));
			assert_int_equal(tracked, entry & ~l->accessed);
			assert_int_equal(again, tracked);
			assert_int_equal(entry_untrack(kind, entry), entry);
			continue;
		}
		/* No right is left, and all but W and A come back. */
		assert_int_equal(entry_acc(kind, tracked), 0);
		assert_true(entry_is_tracked(kind, tracked));
		assert_false(entry_is_accessed(kind, tracked));
		assert_int_equal(entry_track(kind, tracked), tracked);
		if (entry_is_tracked(kind, entry)) /* had no rights to begin with */
			continue;
		assert_int_equal(again, entry & ~(l->write | l->accessed));
		assert_int_equal(entry_acc(kind, again), entry_acc(kind, entry) & ~ACC_WRITE);
		assert_int_equal(entry_pfn(kind, tracked).v, leaf.pfn.v);
		assert_int_equal(tracked & l->dirty, entry & l->dirty);
	}
}

static void test_track(void **state)
{
	static const struct {
		unsigned acc, saved_612, saved_73; /* shares of bits 52, 54, 56, 62 */
	} vectors[] = {
		{ACC_READ, 4, 1},
		{ACC_READ | ACC_EXEC | ACC_USER, 4 | 16, 1 | 4 | 1024},
		{ACC_EXEC, 16, 4},
		{ACC_USER, 0, 1024},
	};
	struct tally tally = {0};

	(void)state;
	for (unsigned g = 0; g < ENTRY_GENERATIONS; g++)
		for (unsigned i = 0; i < 4; i++) {
			struct entry_kind kind = bind(g, true, false);
			struct entry_leaf leaf = {.pfn = PFN, .level = 1, .acc = vectors[i].acc};
			uint64_t entry = entry_track(&kind, entry_make_leaf(&kind, &leaf));
			uint64_t want = g == GEN_73 ? vectors[i].saved_73 : vectors[i].saved_612;

			assert_int_equal(entry >> 52 & 0x4ff & ~(g == GEN_73 ? 0x300u : 3u), want);
		}
	each_kind(visit_track, &tally);
	print_message("# %lu leaves\n", tally.leaves);
}

/* ---- A-7 ---- */

/* All states that up to @depth operations can reach are legal. */
static void operate(const struct entry_kind *kind, uint64_t entry, unsigned depth)
{
	if (!entry_writable_state_ok(kind, entry) || !entry_is_present(kind, entry))
		fail_msg("0x%lx", entry);
	if (!depth)
		return;
	operate(kind, entry_protect(kind, entry, false), depth - 1);
	operate(kind, entry_protect(kind, entry, true), depth - 1);
	operate(kind, entry_track(kind, entry), depth - 1);
	operate(kind, entry_untrack(kind, entry), depth - 1);
}

static void visit_writable(const struct entry_kind *kind, void *context)
{
	struct tally *tally = context;

	for (unsigned i = 0; i < LEAVES; i++, tally->leaves++) {
		struct entry_leaf leaf = leaf_of(kind, i);

		operate(kind, entry_make_leaf(kind, &leaf), 2);
	}
}

static void test_writable_state(void **state)
{
	struct tally tally = {0};

	(void)state;
	for (unsigned i = 0; i < ENTRY_GENERATIONS * 2; i++) {
		struct entry_kind kind = bind(i / 2, i % 2, false);
		const struct entry_layout *l = kind.layout;

		for (unsigned bits = 0; bits < 8; bits++) {
			uint64_t entry = (bits & 4 ? l->host_writable : 0) |
					 (bits & 2 ? l->mmu_writable : 0) |
					 (bits & 1 ? l->write : 0);

			/* 111, 110, 100 and 000. */
			assert_int_equal(entry_writable_state_ok(&kind, entry), 0xd1 >> bits & 1);
		}
	}
	each_kind(visit_writable, &tally);
	print_message("# %lu leaves\n", tally.leaves);
}

/* ---- Q-14 ---- */

/* One leaf in the making, as entry_needs_flush() should understand it. */
struct made {
	uint64_t entry;
	unsigned acc; /* without W */
	bool mmu, write, user, dirty;
	uint64_t frame, key;
};

static struct made make(const struct entry_kind *kind, unsigned i)
{
	struct entry_leaf leaf = full();
	struct made made = {0};

	leaf.acc = i & 15;
	leaf.mmu_writable = i & 16;
	leaf.dirty = i & 32;
	leaf.pfn.v = i & 64 ? 0x12345 : 0x12346;
	leaf.key = i & 128 ? 5 : 0;
	made.entry = entry_make_leaf(kind, &leaf);
	made.acc = entry_acc(kind, made.entry) & ~ACC_WRITE;
	made.user = leaf.acc & ACC_USER;
	made.mmu = made.write = entry_is_writable(kind, made.entry);
	made.dirty = made.write && leaf.dirty;
	made.frame = leaf.pfn.v;
	made.key = leaf.key;
	if (i & 256) { /* protected, or tracked where that is possible */
		made.entry = entry_protect(kind, made.entry, false);
		made.write = false;
		if (entry_ad(kind, made.entry) == ENTRY_AD_DISABLED)
			made.entry = entry_track(kind, made.entry);
	}
	return made;
}

static bool want_flush(const struct entry_kind *kind, const struct made *old,
		       const struct made *new)
{
	bool ept = kind->layout->ept;

	return old->frame != new->frame || (!ept && old->key != new->key) ||
	       (!ept && old->user != new->user) || (old->mmu && !new->write) ||
	       (old->acc & ~new->acc) || (kind->ad && old->dirty && !new->dirty);
}

static void test_flush(void **state)
{
	struct tally tally = {0};

	(void)state;
	for (unsigned i = 0; i < ENTRY_GENERATIONS * 4; i++) {
		struct entry_kind kind = bind(i / 4, i & 1, i & 2);
		uint64_t table = entry_make_table(&kind, (umbra_hpa){0x12345000}, ENTRY_AD_ENABLED);
		uint64_t elsewhere =
			entry_make_table(&kind, (umbra_hpa){0x99000}, ENTRY_AD_ENABLED);
		uint64_t mmio = entry_make_mmio(&kind, (umbra_gfn){1}, 6, 1);
		uint64_t gone[] = {entry_empty(&kind, false), kind.layout->frozen, mmio};
		struct entry_leaf huge = full();

		huge.level = 2;
		assert_false(entry_needs_flush(&kind, table, table, 2));
		assert_true(entry_needs_flush(&kind, table, elsewhere, 2));
		assert_true(entry_needs_flush(&kind, table, entry_make_leaf(&kind, &huge), 2));
		assert_true(entry_needs_flush(&kind, entry_make_leaf(&kind, &huge), table, 2));
		for (unsigned a = 0; a < 512; a++) {
			struct made old = make(&kind, a);

			for (unsigned g = 0; g < 3; g++) {
				assert_true(entry_needs_flush(&kind, old.entry, gone[g], 1));
				assert_false(entry_needs_flush(&kind, gone[g], old.entry, 1));
			}
			for (unsigned b = 0; b < 512; b++, tally.pairs++) {
				struct made new = make(&kind, b);

				if (entry_needs_flush(&kind, old.entry, new.entry, 1) !=
				    want_flush(&kind, &old, &new))
					fail_msg("0x%lx -> 0x%lx: %d", old.entry, new.entry,
						 want_flush(&kind, &old, &new));
			}
		}
	}
	print_message("# %lu pairs\n", tally.pairs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_b1),
		cmocka_unit_test(test_b2),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_mmio_possible),
		cmocka_unit_test(test_set_mmio),
		cmocka_unit_test(test_generation_vectors),
		cmocka_unit_test(test_generation_round_trip),
		cmocka_unit_test(test_mmio_examples),
		cmocka_unit_test(test_mmio_round_trip),
		cmocka_unit_test(test_disjoint),
		cmocka_unit_test(test_exclusion),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_track),
		cmocka_unit_test(test_writable_state),
		cmocka_unit_test(test_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
