/* SPDX-License-Identifier: MIT */
/*
 * roles.h - what makes two table pages for the same frame different (layer 3).
 *
 * A table page is identified by (gfn, role). The role holds everything that
 * changes what its entries mean: the level, what it mirrors, the rights above
 * it, and the guest mode with the CPUID it was made for (so that vCPUs with
 * another MAXPHYADDR never share a page: O-11). KVM's role word is decoded by
 * the command; this one is Umbra's own and wider.
 */
#ifndef CORE_ROLES_H
#define CORE_ROLES_H

#include "core/mode.h"

/**
 * What kind of guest table a page mirrors; 0 for the direct pages of TDP and of guests
 * without paging. L1's NPT has the formats of paging and is told by MODE_NPT in flags.
 */
enum role_guest {
	ROLE_GUEST_NONE,
	ROLE_GUEST_32,
	ROLE_GUEST_PAE,
	ROLE_GUEST_4,
	ROLE_GUEST_5,
	ROLE_GUEST_EPT4,
	ROLE_GUEST_EPT5,
};

union role {
	uint64_t word;
	struct {
		uint64_t level : 3;
		/** Maps gfn linearly instead of mirroring a guest table. */
		uint64_t direct : 1;
		/** Indirect: rights of the guest entries above (ACC_*). Direct: the
		 * rights of every leaf in it. */
		uint64_t access : 4;
		/** Which 2^30 (level 2) or 2^21 (level 1) slice of a 4-byte guest table. */
		uint64_t quadrant : 2;
		/** Root of four entries, below 4 GiB, in PDPTE form. */
		uint64_t pae_root : 1;
		/** Level above the guest's root: a portal, gfn is the root's. */
		uint64_t promoted : 1;
		/** PDPTEs of PAE mirrored from memory: CR3[11:5] or nCR3[11:5], in the page
		 * that mirrors them and in portals above it. */
		uint64_t pae_offset : 7;
		/** PAE root mirrored from PDPTE registers: the four values, kept in the
		 * page's gfn array, are part of the identity; memory is not tracked. */
		uint64_t registers : 1;
		/** Direct page below a large guest page: its key; it is a shadow-stack page. */
		uint64_t key : 4;
		uint64_t shstk : 1;
		/** Hardware has no A/D bits for these entries. */
		uint64_t ad_disabled : 1;
		/** Guest mode: format, MODE_* that change entries, MAXPHYADDR. */
		uint64_t guest : 3;
		uint64_t maxphyaddr : 6;
		uint64_t flags : 21;
		/** Zapped while a vCPU still has it as its root; never found again. */
		uint64_t invalid : 1;
	};
};
_Static_assert(sizeof(union role) == 8, "role is one word");
_Static_assert(MODE_NO_PAT < 1u << 21, "role.flags holds every MODE_ flag");

/**
 * roles_mode_flags - the MODE_* of a guest mode that change entries made for it.
 * With CR0.WP=1 neither SMEP nor SMAP do: hardware applies them itself. Keys are
 * copied into leaves only while they are on.
 */
uint32_t roles_mode_flags(uint32_t flags);

/**
 * roles_root - role of the root that mirrors a table of @mode (NULL: no paging) at
 * @pointer (CR3, nCR3, EPTP) in hardware tables of @levels. 0: as few as will do (shadow
 * paging: PAE, or the guest's own; EPT: the guest's own).
 */
union role roles_root(const struct mode *mode, uint64_t pointer, unsigned levels);
/** roles_mode_fits - was a page with @role made for @mode? (S-24) */
bool roles_mode_fits(union role role, const struct mode *mode);
/** roles_root_tdp - role of a VM's TDP root of @levels. */
union role roles_root_tdp(unsigned levels, bool ad_disabled, unsigned access);

/** roles_reach - first frame of its input that a second-stage root of @levels cannot
 * translate (F-30): linear addresses are cut to size before they get to a table, guest-
 * physical ones are not. */
uint64_t roles_reach(unsigned levels);

/** roles_child - one level below @parent, same guest mode; access and quadrant to be set. */
union role roles_child(union role parent);

/** roles_format - of the guest tables mirrored; NULL for direct pages of no guest. */
const struct format *roles_format(union role role);
/** roles_guest_level - level of the guest's own root (0: no paging). */
unsigned roles_guest_level(union role role);
/** roles_entry_bytes - 4 or 8, of the guest table mirrored. */
unsigned roles_entry_bytes(union role role);

/**
 * roles_entries - SPTEs of a page with @role that mirror guest bytes
 * [offset, offset + length) of its gfn: indexes [*first, *first + *count). count 0: none.
 */
void roles_entries(union role role, unsigned offset, unsigned length, unsigned *first,
		   unsigned *count);

#endif
