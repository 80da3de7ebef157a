/* SPDX-License-Identifier: MIT */
/*
 * entry.c - the bits of the entries that Umbra writes (facts section 7).
 *
 * Owns the layouts, and with them every bit number of an SPTE. A value is one of
 *
 *	empty     nonpresent           bit 63 in 64-bit tables
 *	frozen    nonpresent | 0x1a0   a writer owns it, others retry (0x5a0 before 004)
 *	MMIO      faults by design and remembers {gfn, rights, generation}
 *	table     points to a table page of ours, full rights
 *	leaf      maps a frame
 *
 * and only the last two have the MMU-present bit, which the hardware ignores and
 * which therefore stays when access tracking takes all rights away:
 *
 *	63  62..52           51..12   11       10..0
 *	SVE software, saved  frame    present  rights, type, A/D     EPT
 *	NX  key (59..62)     frame    present  host-w, mmu-w at 9,10 others
 *
 * Invariants: no two uses of a bit overlap (Q-40, asserted below for every layout);
 * W implies mmu-writable implies host-writable; a present EPT entry has bit
 * 63, so that no #VE can come of it. Everything here is pure.
 */
#include "core/entry.h"

#define BIT(n) (1ull << (n))
#define BITS(high, low) ((~0ull >> (63 - (high))) & ~(BIT(low) - 1))

#define FRAME BITS(51, 12) /* */
#define NONPRESENT BIT(63) /* for all vendors */
#define MMU_PRESENT BIT(11) /* */

/* the value moved when bit 10 became a right (MBEC). */
#define FROZEN_612 (NONPRESENT | 0x5a0)
#define FROZEN_004 (NONPRESENT | 0x1a0)

/* where the generation lies; Q-21: what an MMIO mask may use. */
#define GEN_LOW_SHIFT 3
#define GEN_LOW_BITS_612 8
#define GEN_LOW_BITS_004 7
#define GEN_HIGH_SHIFT 52
#define GEN_HIGH_BITS 11
#define GEN_HIGH BITS(62, 52)
#define GEN_LOW_612 BITS(10, 3)
#define GEN_LOW_004 BITS(9, 3)
#define ALLOWED_612 0x800ffffffffff007ull
#define ALLOWED_004 0x800ffffffffff407ull

/* Bits of 7.1, SDM 3A tables 4-15 to 4-20: P W U A D PS NX, and the key of leaves. */
#define OTHER_HARDWARE (BITS(8, 0) | BIT(63))
#define OTHER_KEY BITS(62, 59)
#define OTHER_HOST_WRITABLE BIT(9)
#define OTHER_MMU_WRITABLE BIT(10)

/* Bits of 7.2, SDM 3C tables 29-1 to 29-7: RWX, type, IPAT, PS, A, D, and SVE. */
#define EPT_HARDWARE_612 (BITS(9, 0) | BIT(63))
#define EPT_HARDWARE_004 (BITS(10, 0) | BIT(63)) /* 10: user execute */
#define EPT_RIGHTS BITS(2, 0)
#define EPT_USER_EXEC BIT(10)
#define EPT_WB (6ull << 3) /* SDM 3C 29.3.7 */

/* */
#define EPT_AD_SHIFT_612 52
#define EPT_SAVED_SHIFT_612 54
#define EPT_SAVED_612 (BIT(0) | BIT(2))
#define EPT_HOST_WRITABLE_612 BIT(57)
#define EPT_MMU_WRITABLE_612 BIT(58)
#define EPT_AD_SHIFT_73 60
#define EPT_SAVED_SHIFT_73 52
#define EPT_SAVED_73 (BIT(0) | BIT(2) | EPT_USER_EXEC)
#define EPT_HOST_WRITABLE_73 BIT(53)
#define EPT_MMU_WRITABLE_73 BIT(55)

/* The parts that generations share. */
/* clang-format off */
#define OTHER_COMMON						\
	.ept = false,						\
	.present = BIT(0),	/* H-25 */			\
	.read = BIT(0),						\
	.write = BIT(1),					\
	.user = BIT(2),						\
	.nx = BIT(63),		/* H-30 */			\
	.accessed = BIT(5),	/* Q-5 */			\
	.dirty = BIT(6),					\
	.large = BIT(7),	/* Q-7 */			\
	.key_mask = OTHER_KEY,	/* H-53 */			\
	.key_shift = 59,					\
	.host_writable = OTHER_HOST_WRITABLE, /* Q-3 */		\
	.mmu_writable = OTHER_MMU_WRITABLE,			\
	.mmu_present = MMU_PRESENT,				\
	.nonpresent = NONPRESENT

#define EPT_COMMON						\
	.ept = true,						\
	.read = BIT(0),		/* H-71 */			\
	.write = BIT(1),					\
	.exec = BIT(2),						\
	.accessed = BIT(8),	/* Q-5 */			\
	.dirty = BIT(9),					\
	.large = BIT(7),	/* Q-7 */			\
	.memtype_wb = EPT_WB,	/* E-11 */			\
	.mmu_present = MMU_PRESENT,				\
	.always = BIT(63),	/* E-13, Q-41 */		\
	.nonpresent = NONPRESENT

#define EPT_SOFTWARE_612					\
	.ad_shift = EPT_AD_SHIFT_612,	/* Q-1 */		\
	.ad_mask = 3ull << EPT_AD_SHIFT_612,			\
	.saved_mask = EPT_SAVED_612,	/* Q-2 */		\
	.saved_shift = EPT_SAVED_SHIFT_612,			\
	.track_clear = EPT_RIGHTS,	/* Q-5 */		\
	.host_writable = EPT_HOST_WRITABLE_612, /* Q-3 */	\
	.mmu_writable = EPT_MMU_WRITABLE_612

#define MMIO_612						\
	.frozen = FROZEN_612,		/* Q-9 */		\
	.mmio_gen_low_shift = GEN_LOW_SHIFT, /* Q-22 */		\
	.mmio_gen_low_bits = GEN_LOW_BITS_612,			\
	.mmio_gen_high_shift = GEN_HIGH_SHIFT,			\
	.mmio_gen_high_bits = GEN_HIGH_BITS,			\
	.mmio_allowed = ALLOWED_612	/* Q-21 */

#define MMIO_004						\
	.frozen = FROZEN_004,		/* Q-9 */		\
	.mmio_gen_low_shift = GEN_LOW_SHIFT, /* Q-22 */		\
	.mmio_gen_low_bits = GEN_LOW_BITS_004,			\
	.mmio_gen_high_shift = GEN_HIGH_SHIFT,			\
	.mmio_gen_high_bits = GEN_HIGH_BITS,			\
	.mmio_allowed = ALLOWED_004	/* Q-21 */

static const struct entry_layout layouts[ENTRY_GENERATIONS][2] = {
	{
		{ .generation = "6.12", OTHER_COMMON, MMIO_612 },
		{ .generation = "6.12", EPT_COMMON, EPT_SOFTWARE_612, MMIO_612 },
	},
	{
		{ .generation = "004", OTHER_COMMON, MMIO_004 },
		{ .generation = "004", EPT_COMMON, EPT_SOFTWARE_612, MMIO_004 },
	},
	{
		{ .generation = "7.3", OTHER_COMMON, MMIO_004 },
		{
			.generation = "7.3", EPT_COMMON, MMIO_004,
			.exec_user = EPT_USER_EXEC,	/* */
			.ad_shift = EPT_AD_SHIFT_73,	/* */
			.ad_mask = 3ull << EPT_AD_SHIFT_73,
			.saved_mask = EPT_SAVED_73,	/* */
			.saved_shift = EPT_SAVED_SHIFT_73,
			.track_clear = EPT_RIGHTS | EPT_USER_EXEC, /* */
			.host_writable = EPT_HOST_WRITABLE_73, /* */
			.mmu_writable = EPT_MMU_WRITABLE_73,
			.software_ad = true,		/* */
		},
	},
};
/* clang-format on */

/* a set of masks is disjoint when their bits add up to those of the union. */
#define COUNT(mask) __builtin_popcountll(mask)
#define ASSERT_DISJOINT(present, ad, saved, host, mmu, hardware, key)                           \
	_Static_assert(COUNT(present) + COUNT(ad) + COUNT(saved) + COUNT(host) + COUNT(mmu) +   \
				       COUNT(hardware) + COUNT(key) + COUNT(FRAME) ==           \
			       COUNT((present) | (ad) | (saved) | (host) | (mmu) | (hardware) | \
				     (key) | FRAME),                                            \
		       "two uses of one bit")
ASSERT_DISJOINT(MMU_PRESENT, 0ull, 0ull, OTHER_HOST_WRITABLE, OTHER_MMU_WRITABLE, OTHER_HARDWARE,
		OTHER_KEY);
ASSERT_DISJOINT(MMU_PRESENT, 3ull << EPT_AD_SHIFT_612, EPT_SAVED_612 << EPT_SAVED_SHIFT_612,
		EPT_HOST_WRITABLE_612, EPT_MMU_WRITABLE_612, EPT_HARDWARE_612, 0ull);
ASSERT_DISJOINT(MMU_PRESENT, 3ull << EPT_AD_SHIFT_612, EPT_SAVED_612 << EPT_SAVED_SHIFT_612,
		EPT_HOST_WRITABLE_612, EPT_MMU_WRITABLE_612, EPT_HARDWARE_004, 0ull);
ASSERT_DISJOINT(MMU_PRESENT, 3ull << EPT_AD_SHIFT_73, EPT_SAVED_73 << EPT_SAVED_SHIFT_73,
		EPT_HOST_WRITABLE_73, EPT_MMU_WRITABLE_73, EPT_HARDWARE_004, 0ull);

/* W is never saved, and what is saved is a right. */
_Static_assert((EPT_SAVED_612 & ~EPT_RIGHTS) == 0 && (EPT_SAVED_612 & BIT(1)) == 0, "saved");
_Static_assert((EPT_SAVED_73 & ~(EPT_RIGHTS | EPT_USER_EXEC)) == 0 && (EPT_SAVED_73 & BIT(1)) == 0,
	       "saved");

/* nonpresent and frozen are not ours, not the hardware's, and two values. */
_Static_assert(((NONPRESENT | FROZEN_612 | FROZEN_004) & (MMU_PRESENT | EPT_RIGHTS)) == 0,
	       "empty entries are not present");
_Static_assert((FROZEN_004 & EPT_USER_EXEC) == 0, "not present with MBEC either");
_Static_assert(((FROZEN_612 ^ NONPRESENT) & ALLOWED_612) == 0 &&
		       ((FROZEN_004 ^ NONPRESENT) & ALLOWED_004) == 0,
	       "what no empty entry matches, no frozen one does");
_Static_assert(FROZEN_612 != NONPRESENT && FROZEN_004 != NONPRESENT, "frozen is not empty");

/* the generation, the MMU-present bit and the MMIO mask share the entry. */
#define ASSERT_MMIO(low, low_bits, allowed)                                                    \
	_Static_assert(((low)&GEN_HIGH) == 0 && (((low) | GEN_HIGH) & (allowed)) == 0 &&       \
			       ((allowed)&MMU_PRESENT) == 0 &&                                 \
			       ((low) | GEN_HIGH | (allowed) | MMU_PRESENT) == ~0ull &&        \
			       COUNT(low) == (low_bits) && COUNT(GEN_HIGH) == GEN_HIGH_BITS && \
			       (FRAME & ~(allowed)) == 0,                                      \
		       "MMIO generation")
ASSERT_MMIO(GEN_LOW_612, GEN_LOW_BITS_612, ALLOWED_612);
ASSERT_MMIO(GEN_LOW_004, GEN_LOW_BITS_004, ALLOWED_004);

/* the two MMIO values. EPT: W and X without R; others: a reserved address bit. */
#define MMIO_EPT_VALUE (BIT(1) | BIT(2))
#define MMIO_EPT_MASK (EPT_RIGHTS | BIT(63))
#define MMIO_OTHER_VALUE (BIT(51) | BIT(0))
#define MMIO_OTHER_ACCESS (BIT(1) | BIT(2))
_Static_assert((NONPRESENT & MMIO_EPT_MASK) != MMIO_EPT_VALUE, "empty is not MMIO");
_Static_assert((FROZEN_612 & MMIO_EPT_MASK) != MMIO_EPT_VALUE, "frozen is not MMIO");
_Static_assert((FROZEN_004 & MMIO_EPT_MASK) != MMIO_EPT_VALUE, "frozen is not MMIO");
_Static_assert((NONPRESENT & MMIO_OTHER_VALUE) != MMIO_OTHER_VALUE, "empty is not MMIO");
_Static_assert((FROZEN_612 & MMIO_OTHER_VALUE) != MMIO_OTHER_VALUE, "frozen is not MMIO");
_Static_assert((FROZEN_004 & MMIO_OTHER_VALUE) != MMIO_OTHER_VALUE, "frozen is not MMIO");
/* Rights are kept in an MMIO entry where ACC_* puts them. */
_Static_assert(MMIO_OTHER_ACCESS == (ACC_WRITE | ACC_USER), "rights of MMIO entries");

/* bits of the address that L1TF wants inverted, and how far they move. */
#define L1TF_BITS 5
#define L1TF_CACHE_BITS_MAX 47

/* Bits @high..@low; none if @high < @low. */
static uint64_t bits_between(unsigned high, unsigned low)
{
	return high < low ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

const struct entry_layout *entry_layout(unsigned generation, bool ept)
{
	return &layouts[generation][ept];
}

void entry_bind(struct entry_kind *kind, const struct entry_config *config)
{
	const struct entry_layout *layout = entry_layout(config->generation, config->ept);
	unsigned low_bits = config->maxphyaddr;

	*kind = (struct entry_kind){
		.layout = layout,
		.address = bits_between(config->maxphyaddr - 1u, UMBRA_PAGE_SHIFT),
		.present = layout->present | layout->always,
		.logged_mask = layout->mmu_present | layout->mmu_writable | layout->write,
		.logged = layout->mmu_present | layout->mmu_writable,
		.ad = config->ad || !config->ept,
		.exec_only = config->exec_only,
		.pae = config->pae && !config->ept,
	};
	if (kind->ad || layout->software_ad) {
		kind->accessed = layout->accessed;
		kind->dirty = layout->dirty;
	}
	if (!kind->pae)
		kind->key_mask = layout->key_mask;
	if (config->l1tf_cache_bits && config->l1tf_cache_bits < L1TF_CACHE_BITS_MAX) {
		low_bits = config->l1tf_cache_bits - L1TF_BITS;
		kind->l1tf = bits_between(config->l1tf_cache_bits - 1u, low_bits);
	}
	kind->mmio_gfn_low = bits_between(low_bits - 1, UMBRA_PAGE_SHIFT);
	if (config->ept)
		entry_set_mmio(kind, MMIO_EPT_VALUE, MMIO_EPT_MASK, 0);
	else
		entry_set_mmio(kind, MMIO_OTHER_VALUE, MMIO_OTHER_VALUE, MMIO_OTHER_ACCESS);
}

/* Is the MMIO value distinct from everything else that an entry may hold? */
static bool mmio_legal(const struct entry_kind *kind, uint64_t value, uint64_t mask,
		       uint64_t access)
{
	const struct entry_layout *layout = kind->layout;
	uint64_t gfn = kind->mmio_gfn_low | kind->l1tf | kind->l1tf << L1TF_BITS;

	return mask && !(mask & ~layout->mmio_allowed) && !(value & ~mask) &&
	       !(access & (mask | gfn | ~layout->mmio_allowed)) && !(mask & gfn) &&
	       (layout->nonpresent & mask) != value;
}

bool entry_set_mmio(struct entry_kind *kind, uint64_t value, uint64_t mask, uint64_t access)
{
	bool legal = mmio_legal(kind, value, mask, access);

	kind->mmio_value = legal ? value : 0;
	kind->mmio_mask = legal ? mask : 0;
	kind->mmio_access = legal ? access : 0;
	return legal;
}

/* Rights @acc as bits; the hardware's present bit comes from kind->present. W is set
 * by the caller, who knows whether the frame may be written. */
static uint64_t rights_bits(const struct entry_kind *kind, unsigned acc)
{
	const struct entry_layout *layout = kind->layout;
	uint64_t bits = 0;

	if (acc & ACC_READ)
		bits |= layout->read;
	if (acc & ACC_USER)
		bits |= layout->user | layout->exec_user;
	if (acc & ACC_EXEC)
		bits |= layout->exec;
	else
		bits |= layout->nx;
	return bits;
}

/* EPT: W needs R, and X needs it unless execute-only exists (E-4). */
static unsigned rights_legal(const struct entry_kind *kind, unsigned acc)
{
	if (!kind->layout->ept || (acc & ACC_READ))
		return acc;
	return kind->exec_only ? acc & ~ACC_WRITE : 0;
}

static uint64_t ad_bits(const struct entry_kind *kind, enum entry_ad ad)
{
	const struct entry_layout *layout = kind->layout;

	return (uint64_t)(kind->ad ? ad : ENTRY_AD_DISABLED) << layout->ad_shift & layout->ad_mask;
}

/* A and D say something: the hardware or, since 7.3, software keeps them. */
static bool ad_usable(const struct entry_kind *kind, uint64_t entry)
{
	return kind->layout->software_ad ||
	       (kind->ad && entry_ad(kind, entry) != ENTRY_AD_DISABLED);
}

uint64_t entry_make_leaf(const struct entry_kind *kind, const struct entry_leaf *leaf)
{
	const struct entry_layout *layout = kind->layout;
	unsigned acc = rights_legal(kind, leaf->acc);
	uint64_t entry = layout->mmu_present | kind->present | ad_bits(kind, leaf->ad);
	bool usable = ad_usable(kind, entry);

	entry |= rights_bits(kind, acc) | layout->memtype_wb;
	entry |= (uint64_t)leaf->key << layout->key_shift & kind->key_mask;
	entry |= leaf->pfn.v << UMBRA_PAGE_SHIFT & kind->address;
	if (leaf->level > 1)
		entry |= layout->large;
	if (leaf->accessed && usable)
		entry |= kind->accessed;
	if (!leaf->host_writable)
		return entry;
	entry |= layout->host_writable;
	if (leaf->shstk)
		entry |= kind->dirty;
	if (!(acc & ACC_WRITE) || !leaf->mmu_writable)
		return entry;
	entry |= layout->mmu_writable | layout->write;
	if (leaf->dirty && usable)
		entry |= kind->dirty;
	return entry;
}

uint64_t entry_make_table(const struct entry_kind *kind, umbra_hpa table, enum entry_ad ad)
{
	const struct entry_layout *layout = kind->layout;
	uint64_t entry = layout->mmu_present | kind->present | (table.v & kind->address);

	entry |= rights_bits(kind, ACC_ALL) | layout->write;
	if (ad != ENTRY_AD_DISABLED && kind->ad)
		entry |= kind->accessed;
	else
		entry |= ad_bits(kind, ENTRY_AD_DISABLED) | (layout->ept ? 0 : kind->accessed);
	return entry;
}

uint64_t entry_make_pdpte(const struct entry_kind *kind, umbra_hpa table)
{
	return (table.v & kind->address) | kind->layout->present | kind->layout->mmu_present;
}

unsigned entry_acc(const struct entry_kind *kind, uint64_t entry)
{
	const struct entry_layout *layout = kind->layout;
	bool exec = layout->ept ? entry & layout->exec : !(entry & layout->nx);
	bool user = entry & (layout->user | layout->exec_user);
	unsigned acc = 0;

	if (!layout->ept && !(entry & layout->present))
		return 0;
	if (layout->ept && !layout->exec_user)
		user = exec;
	if (entry & layout->read)
		acc |= ACC_READ;
	if (entry & layout->write)
		acc |= ACC_WRITE;
	if (user)
		acc |= ACC_USER;
	if (exec)
		acc |= ACC_EXEC;
	return acc;
}

enum entry_ad entry_ad(const struct entry_kind *kind, uint64_t entry)
{
	return (enum entry_ad)((entry & kind->layout->ad_mask) >> kind->layout->ad_shift);
}

bool entry_is_dirty(const struct entry_kind *kind, uint64_t entry)
{
	if (entry & kind->dirty)
		return true;
	/* The hardware does not set D here, so that W is all we know. */
	return (!kind->ad || entry_ad(kind, entry) == ENTRY_AD_DISABLED) &&
	       entry_is_writable(kind, entry);
}

bool entry_is_accessed(const struct entry_kind *kind, uint64_t entry)
{
	if (ad_usable(kind, entry))
		return entry & kind->accessed;
	return !entry_is_tracked(kind, entry);
}

uint64_t entry_protect(const struct entry_kind *kind, uint64_t entry, bool shadowing)
{
	entry &= ~kind->layout->write;
	return shadowing ? entry & ~kind->layout->mmu_writable : entry;
}

bool entry_writable_state_ok(const struct entry_kind *kind, uint64_t entry)
{
	bool host = entry_is_host_writable(kind, entry);
	bool mmu = entry_is_mmu_writable(kind, entry);

	return (host || !mmu) && (mmu || !entry_is_writable(kind, entry));
}

bool entry_is_tracked(const struct entry_kind *kind, uint64_t entry)
{
	return entry_ad(kind, entry) == ENTRY_AD_DISABLED && !(entry & kind->layout->track_clear);
}

uint64_t entry_track(const struct entry_kind *kind, uint64_t entry)
{
	const struct entry_layout *layout = kind->layout;

	entry &= ~layout->accessed;
	if (entry_ad(kind, entry) != ENTRY_AD_DISABLED || entry_is_tracked(kind, entry))
		return entry;
	entry &= ~(layout->saved_mask << layout->saved_shift);
	entry |= (entry & layout->saved_mask) << layout->saved_shift;
	return entry & ~layout->track_clear;
}

uint64_t entry_untrack(const struct entry_kind *kind, uint64_t entry)
{
	const struct entry_layout *layout = kind->layout;
	uint64_t saved = layout->saved_mask << layout->saved_shift;

	if (!entry_is_tracked(kind, entry))
		return entry;
	return (entry & ~saved) | (entry & saved) >> layout->saved_shift;
}

/* Bits that a leaf must not change under a TLB entry, besides rights. */
static uint64_t fixed_bits(const struct entry_kind *kind)
{
	const struct entry_layout *layout = kind->layout;

	return kind->address | kind->key_mask | layout->user | layout->large;
}

bool entry_needs_flush(const struct entry_kind *kind, uint64_t old, uint64_t new, unsigned level)
{
	const struct entry_layout *layout = kind->layout;

	if (!entry_is_present(kind, old))
		return false;
	if (!entry_is_present(kind, new))
		return true;
	if (entry_is_leaf(kind, old, level) != entry_is_leaf(kind, new, level) ||
	    ((old ^ new) & fixed_bits(kind)))
		return true;
	if (!entry_is_leaf(kind, old, level))
		return false;
	if (entry_is_mmu_writable(kind, old) && !entry_is_writable(kind, new))
		return true;
	/* Access tracking only hides rights. */
	if (entry_acc(kind, entry_untrack(kind, old)) & ~entry_acc(kind, entry_untrack(kind, new)))
		return true;
	/* A translation cached with D would write without setting D again. */
	return entry_ad(kind, old) != ENTRY_AD_DISABLED && (old & ~new & layout->dirty);
}

bool entry_mmio_possible(const struct entry_kind *kind)
{
	return kind->mmio_mask;
}

unsigned entry_generation_bits(const struct entry_kind *kind)
{
	return kind->layout->mmio_gen_low_bits + kind->layout->mmio_gen_high_bits;
}

/* The low field of a generation, in place. */
static uint64_t generation_low(const struct entry_layout *layout)
{
	return (BIT(layout->mmio_gen_low_bits) - 1) << layout->mmio_gen_low_shift;
}

static uint64_t generation_high(const struct entry_layout *layout)
{
	return (BIT(layout->mmio_gen_high_bits) - 1) << layout->mmio_gen_high_shift;
}

bool entry_mmio_holds(const struct entry_kind *kind, umbra_gfn gfn)
{
	const uint64_t held = (kind->mmio_gfn_low | kind->l1tf) & kind->address;

	return gfn.v <= held >> UMBRA_PAGE_SHIFT;
}

uint64_t entry_make_mmio(const struct entry_kind *kind, umbra_gfn gfn, unsigned acc,
			 uint64_t generation)
{
	const struct entry_layout *layout = kind->layout;
	uint64_t gpa = gfn.v << UMBRA_PAGE_SHIFT & (kind->mmio_gfn_low | kind->l1tf);
	uint64_t high = generation >> layout->mmio_gen_low_bits;

	return kind->mmio_value | (acc & kind->mmio_access) | gpa | kind->l1tf |
	       (gpa & kind->l1tf) << L1TF_BITS |
	       (generation << layout->mmio_gen_low_shift & generation_low(layout)) |
	       (high << layout->mmio_gen_high_shift & generation_high(layout));
}

bool entry_is_mmio(const struct entry_kind *kind, uint64_t entry)
{
	return kind->mmio_mask && (entry & kind->mmio_mask) == kind->mmio_value;
}

umbra_gfn entry_mmio_gfn(const struct entry_kind *kind, uint64_t entry)
{
	uint64_t gpa = (entry & kind->mmio_gfn_low) | (entry >> L1TF_BITS & kind->l1tf);

	return (umbra_gfn){gpa >> UMBRA_PAGE_SHIFT};
}

unsigned entry_mmio_acc(const struct entry_kind *kind, uint64_t entry)
{
	return entry & kind->mmio_access;
}

uint64_t entry_mmio_generation(const struct entry_kind *kind, uint64_t entry)
{
	const struct entry_layout *layout = kind->layout;
	uint64_t low = (entry & generation_low(layout)) >> layout->mmio_gen_low_shift;
	uint64_t high = (entry & generation_high(layout)) >> layout->mmio_gen_high_shift;

	return low | high << layout->mmio_gen_low_bits;
}
