/* SPDX-License-Identifier: MIT */
/*
 * entry.h - the entries that Umbra writes (SPTEs): make, change, read (layer 2, pure).
 *
 * Where each software bit lives is a const struct per layout generation and
 * family (facts section 7): "6.12", "004" and "7.3", each for EPT entries and
 * for the others (shadow paging, NPT). entry_bind() folds in the CPU. Nothing
 * outside entry.c knows a bit number of an SPTE.
 */
#ifndef CORE_ENTRY_H
#define CORE_ENTRY_H

#include "core/mode.h"

/** A/D type of an entry. */
enum entry_ad {
	ENTRY_AD_ENABLED = 0,
	ENTRY_AD_DISABLED = 1, /* no hardware A/D: access tracking */
	ENTRY_AD_WRPROT = 2, /* A/D work, dirty logging must use W */
};

/** struct entry_layout - one generation's bits for one family; const data, Q-1..Q-9, Q-22. */
struct entry_layout {
	const char *generation; /* "6.12", "004", "7.3" */
	bool ept;
	/** Bits that the hardware reads; 0 where the family has none. @present is set in
	 * every present entry, @read carries ACC_READ (one bit, unless EPT). */
	uint64_t present, read, write, user, exec, exec_user, nx, accessed, dirty, large;
	uint64_t memtype_wb; /* of leaves */
	/** Protection key of leaves; not in PAE, which reserves these bits. */
	uint64_t key_mask;
	uint8_t key_shift;
	uint64_t host_writable, mmu_writable, mmu_present;
	uint64_t always; /* set in every present entry (suppress #VE) */
	uint8_t ad_shift;
	uint64_t ad_mask;
	uint64_t saved_mask; /* rights bits that access tracking saves */
	uint8_t saved_shift;
	uint64_t track_clear; /* bits cleared when tracked */
	uint64_t nonpresent, frozen;
	/** MMIO generation: low field then high field, as shifts and widths. */
	uint8_t mmio_gen_low_shift, mmio_gen_low_bits, mmio_gen_high_shift, mmio_gen_high_bits;
	uint64_t mmio_allowed;
	/** A and D are kept by software when the hardware has none ([7.3] EPT). */
	bool software_ad;
};

/** entry_layout - @generation 0..2 in the order above; EPT or other entries. */
#define ENTRY_GENERATIONS 3
const struct entry_layout *entry_layout(unsigned generation, bool ept);

/** struct entry_kind - a layout bound to a CPU; what tables of one VM are written with. */
struct entry_kind {
	const struct entry_layout *layout;
	uint64_t address; /* bits of the frame */
	/** Set in every present entry; set in accessed and in dirty leaves (0: the
	 * layout leaves them to hardware that has no A/D). */
	uint64_t present, accessed, dirty;
	uint64_t key_mask; /* 0: leaves carry no key */
	uint64_t logged_mask, logged; /* entry_is_logged() */
	bool ad; /* hardware sets A/D */
	bool exec_only;
	bool pae; /* 62:52 are reserved to hardware */
	/** MMIO entries: value under mask, rights kept in the entry. 0 mask: none. */
	uint64_t mmio_value, mmio_mask, mmio_access;
	/** L1TF: 0 unless the CPU has the bug. */
	uint64_t l1tf;
	uint64_t mmio_gfn_low;
};

struct entry_config {
	unsigned generation; /* 0..2 */
	bool ept;
	bool ad; /* hardware A/D (EPT_AD; always true for the others) */
	bool exec_only; /* EPT_EXECONLY */
	bool pae; /* tables are walked in PAE format */
	uint8_t maxphyaddr;
	/** Cache bits of a CPU with L1TF, 0 without. */
	uint8_t l1tf_cache_bits;
};
void entry_bind(struct entry_kind *kind, const struct entry_config *config);

/**
 * entry_set_mmio - another MMIO value than entry_bind()'s (memory encryption, #VE
 * for the guest: Q-20). False, and no MMIO entries from now on, when Q-21 forbids
 * it: a bit of @mask is not free for it, @value or @access lies outside, or empty
 * or frozen entries would match.
 */
bool entry_set_mmio(struct entry_kind *kind, uint64_t value, uint64_t mask, uint64_t access);

/** What a leaf is made of. */
struct entry_leaf {
	umbra_pfn pfn; /* of the whole page; low bits of large pages 0 */
	uint8_t level;
	uint8_t acc; /* ACC_* the guest may have; WRITE needs host_writable too */
	uint8_t key; /* protection key, non-EPT 64-bit tables only */
	enum entry_ad ad;
	/** The embedder lets Umbra write the frame (slot and pin both). */
	bool host_writable;
	/** False: write protected because a guest table is shadowed there. */
	bool mmu_writable;
	bool accessed, dirty;
	/** D is wanted although W is not: a shadow-stack page (H-54). */
	bool shstk;
};

/**
 * entry_make_leaf - Q-10, Q-15. Result satisfies entry_writable_state_ok().
 *
 * Never grants more than leaf->acc, with one exception: an entry that is not EPT is
 * readable because it is present. Rights that would be a misconfiguration (EPT W
 * or, without execute-only, X where R is missing) are left out. Without hardware
 * A/D every entry is ENTRY_AD_DISABLED, whatever leaf->ad says; D is set only in
 * writable leaves. EPT layouts without a user execute bit ignore ACC_USER.
 */
uint64_t entry_make_leaf(const struct entry_kind *kind, const struct entry_leaf *leaf);
/** entry_make_table - entry that points to the table page at @table (S-8): full rights.
 * Of @ad only "disabled" leaves a trace: tables have no dirty logging. */
uint64_t entry_make_table(const struct entry_kind *kind, umbra_hpa table, enum entry_ad ad);
/** entry_make_pdpte - the same in a PAE root: pa | P | MMU-present, nothing else. */
uint64_t entry_make_pdpte(const struct entry_kind *kind, umbra_hpa table);

/** Is it a leaf or a table of ours? Not: MMIO, frozen, empty. */
static inline bool entry_is_present(const struct entry_kind *kind, uint64_t entry)
{
	return entry & kind->layout->mmu_present;
}
/** entry_is_leaf - of a present entry at @level. */
static inline bool entry_is_leaf(const struct entry_kind *kind, uint64_t entry, unsigned level)
{
	return level == 1 || (entry & kind->layout->large);
}
static inline umbra_pfn entry_pfn(const struct entry_kind *kind, uint64_t entry)
{
	return (umbra_pfn){(entry & kind->address) >> UMBRA_PAGE_SHIFT};
}
/** entry_frame - the bits of @pfn in an entry. */
static inline uint64_t entry_frame(const struct entry_kind *kind, umbra_pfn pfn)
{
	return pfn.v << UMBRA_PAGE_SHIFT & kind->address;
}
/** entry_is_logged - a present entry that might be writable but for the dirty log (S-41). */
static inline bool entry_is_logged(const struct entry_kind *kind, uint64_t entry)
{
	return (entry & kind->logged_mask) == kind->logged;
}
/** entry_with_pfn - a leaf of 4K like @entry, of another frame. */
static inline uint64_t entry_with_pfn(const struct entry_kind *kind, uint64_t entry, umbra_pfn pfn)
{
	return (entry & ~kind->address) | entry_frame(kind, pfn);
}
static inline umbra_hpa entry_table(const struct entry_kind *kind, uint64_t entry)
{
	return (umbra_hpa){entry & kind->address};
}
static inline bool entry_is_frozen(const struct entry_kind *kind, uint64_t entry)
{
	return entry == kind->layout->frozen;
}
/** The value of an empty entry; @pae_root entries are 0 instead. */
static inline uint64_t entry_empty(const struct entry_kind *kind, bool pae_root)
{
	return pae_root ? 0 : kind->layout->nonpresent;
}
static inline bool entry_is_writable(const struct entry_kind *kind, uint64_t entry)
{
	return entry & kind->layout->write;
}
static inline bool entry_is_mmu_writable(const struct entry_kind *kind, uint64_t entry)
{
	return entry & kind->layout->mmu_writable;
}
static inline unsigned entry_key(const struct entry_kind *kind, uint64_t entry)
{
	return kind->key_mask ? (entry & kind->key_mask) >> kind->layout->key_shift : 0;
}
static inline bool entry_is_host_writable(const struct entry_kind *kind, uint64_t entry)
{
	return entry & kind->layout->host_writable;
}
/** entry_acc - rights that the hardware sees in the entry, as ACC_* (access tracked: none).
 * EPT without a user execute bit: USER is EXEC. */
unsigned entry_acc(const struct entry_kind *kind, uint64_t entry);
/** entry_is_dirty / entry_is_accessed - Q-12. Where no D bit can tell, what may be
 * written counts as dirty. */
bool entry_is_dirty(const struct entry_kind *kind, uint64_t entry);
bool entry_is_accessed(const struct entry_kind *kind, uint64_t entry);
enum entry_ad entry_ad(const struct entry_kind *kind, uint64_t entry);

/** entry_protect - no more writes. For shadowing also mmu_writable goes (S-41). */
uint64_t entry_protect(const struct entry_kind *kind, uint64_t entry, bool shadowing);
/** entry_writable_state_ok - Q-10: only 111, 110, 100 and 000 are legal in a leaf. */
bool entry_writable_state_ok(const struct entry_kind *kind, uint64_t entry);
/**
 * entry_needs_flush - Q-14: may a TLB hold rights of @old that @new takes away?
 *
 * Keyed on mmu_writable, not W (O-8): whoever may have been writable and no longer
 * is, counts, even if W was clear before. So do any change of frame, key or kind,
 * any other right lost, U changed in entries that are not EPT (it both gives and
 * takes), and a hardware D cleared. R and X hidden by access tracking and a cleared A
 * do not count: a stale translation then costs accuracy only.
 */
bool entry_needs_flush(const struct entry_kind *kind, uint64_t old, uint64_t new, unsigned level);

/** Access tracking, Q-11 (A/D type "disabled"; else just clears A). */
uint64_t entry_track(const struct entry_kind *kind, uint64_t entry);
uint64_t entry_untrack(const struct entry_kind *kind, uint64_t entry);
bool entry_is_tracked(const struct entry_kind *kind, uint64_t entry);

/** MMIO entries, Q-20..Q-28. @generation is cut to the layout's bits. */
bool entry_mmio_possible(const struct entry_kind *kind);
/** entry_mmio_holds - can such an entry name @gfn? Not beyond MAXPHYADDR, nor, with L1TF,
 * beyond what the caches reach. */
bool entry_mmio_holds(const struct entry_kind *kind, umbra_gfn gfn);
uint64_t entry_make_mmio(const struct entry_kind *kind, umbra_gfn gfn, unsigned acc,
			 uint64_t generation);
bool entry_is_mmio(const struct entry_kind *kind, uint64_t entry);
umbra_gfn entry_mmio_gfn(const struct entry_kind *kind, uint64_t entry);
unsigned entry_mmio_acc(const struct entry_kind *kind, uint64_t entry);
uint64_t entry_mmio_generation(const struct entry_kind *kind, uint64_t entry);
/** entry_generation_bits - 19 before 004, 18 since. */
unsigned entry_generation_bits(const struct entry_kind *kind);

#endif
