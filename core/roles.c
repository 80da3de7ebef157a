/* SPDX-License-Identifier: MIT */
/*
 * roles.c - roles of roots and children, and which guest bytes they mirror.
 *
 * A guest table of 4-byte entries holds twice as many entries as a table page
 * of 8-byte ones, so it is mirrored by several pages ("quadrants", facts A-10):
 *
 *	guest page directory, 1024 PDEs    PDE k  -> quadrant k >> 8, SPTEs 2(k & 255), +1
 *	guest page table, 1024 PTEs        PTE j  -> quadrant j >> 9, SPTE j & 511
 *
 * A PDE covers 4M and a level-2 SPTE 2M, hence the two SPTEs.
 */
#include "core/roles.h"
#include "umbra/umbra.h"

/* The MODE_* of a second stage that change its entries. What MBEC and EPTP.6 mean is
 * the hardware's business while L2 runs, but they make other entries of the same bits. */
#define NPT_FLAGS                                                                            \
	(MODE_NX | MODE_PSE | MODE_PSE36 | MODE_1G | MODE_BIT8_MBZ | MODE_NO_PAT | MODE_WP | \
	 MODE_NPT | MODE_GMET)
#define EPT_FLAGS (MODE_AD | MODE_EXECONLY | MODE_MBEC | MODE_1G | MODE_2M)

uint32_t roles_mode_flags(uint32_t flags)
{
	uint32_t kept = MODE_NX | MODE_PSE | MODE_PSE36 | MODE_1G | MODE_BIT8_MBZ | MODE_NO_PAT |
			MODE_WP | MODE_PKU | MODE_PKS | MODE_SHSTK;

	if (!(flags & MODE_WP))
		kept |= MODE_SMEP | MODE_SMAP;
	return flags & kept;
}

static uint32_t flags_of(const struct mode *mode)
{
	if (mode->format->family == FORMAT_EPT)
		return (mode->flags & EPT_FLAGS) | MODE_WP; /* W is needed for any write */
	return mode->flags & MODE_NPT ? mode->flags & NPT_FLAGS : roles_mode_flags(mode->flags);
}

static const struct format *const guest_format[] = {
	[ROLE_GUEST_32] = &format_32,     [ROLE_GUEST_PAE] = &format_pae,
	[ROLE_GUEST_4] = &format_4,       [ROLE_GUEST_5] = &format_5,
	[ROLE_GUEST_EPT4] = &format_ept4, [ROLE_GUEST_EPT5] = &format_ept5,
};
#define GUESTS (sizeof(guest_format) / sizeof(guest_format[0]))

static enum role_guest guest_of(const struct format *format)
{
	enum role_guest guest = ROLE_GUEST_32;

	while (guest < ROLE_GUEST_EPT5 && guest_format[guest] != format)
		guest++;
	return guest;
}

union role roles_root(const struct mode *mode, uint64_t pointer, unsigned levels)
{
	union role role = {0};

	role.access = ACC_ALL;
	if (!mode) {
		role.level = 3;
		role.pae_root = 1;
		role.direct = 1;
		return role;
	}
	role.guest = guest_of(mode->format);
	role.flags = flags_of(mode);
	role.maxphyaddr = mode->maxphyaddr;
	role.level = levels ? levels : mode->top < 3 ? 3 : mode->top;
	role.promoted = role.level > mode->top;
	role.pae_root = role.level == 3;
	role.ad_disabled = mode->format->family == FORMAT_EPT && !(mode->flags & MODE_AD);
	if (role.guest == ROLE_GUEST_PAE) {
		role.registers = mode->root_registers;
		role.pae_offset = role.registers ? 0 : pointer >> 5 & 127;
	}
	return role;
}

bool roles_mode_fits(union role role, const struct mode *mode)
{
	return mode && role.guest == guest_of(mode->format) && role.flags == flags_of(mode) &&
	       role.maxphyaddr == mode->maxphyaddr;
}

union role roles_root_tdp(unsigned levels, bool ad_disabled, unsigned access)
{
	union role role = {0};

	role.level = levels;
	role.pae_root = levels == 3;
	role.direct = 1;
	role.access = access;
	role.ad_disabled = ad_disabled;
	return role;
}

uint64_t roles_reach(unsigned levels)
{
	/* EPT of as many levels is as wide. */
	static const enum format_width_row row[] = {
		[3] = FORMAT_WIDTH_NPT_PAE, [4] = FORMAT_WIDTH_NPT_4, [5] = FORMAT_WIDTH_NPT_5};

	return 1ull << (format_widths[row[levels]].input - UMBRA_PAGE_SHIFT);
}

union role roles_child(union role parent)
{
	union role role = parent;

	role.level = parent.level - 1;
	role.pae_root = 0;
	role.registers = 0;
	role.quadrant = 0;
	/* Below the PDPTEs nothing depends on which of them lead here. */
	if (role.level < 3)
		role.pae_offset = 0;
	if (role.level <= roles_guest_level(role))
		role.promoted = 0;
	return role;
}

const struct format *roles_format(union role role)
{
	return role.guest < GUESTS ? guest_format[role.guest] : NULL;
}

unsigned roles_guest_level(union role role)
{
	const struct format *format = roles_format(role);

	return format ? format->top : 0;
}

unsigned roles_entry_bytes(union role role)
{
	return role.guest == ROLE_GUEST_32 ? 4 : 8;
}

void roles_entries(union role role, unsigned offset, unsigned length, unsigned *first,
		   unsigned *count)
{
	unsigned entry_shift = role.guest == ROLE_GUEST_32 ? 2 : 3;
	unsigned from = offset >> entry_shift;
	unsigned to = ((offset + length - 1) >> entry_shift) + 1;
	/* Guest entries [base, base + span) are this page's; each is @each SPTEs. */
	unsigned base = 0, span = 512, each = 1;

	*first = *count = 0;
	if (role.direct || role.promoted || role.registers)
		return;
	if (role.guest == ROLE_GUEST_PAE && role.level == 3) {
		base = role.pae_offset * 4;
		span = 4;
	} else if (role.guest == ROLE_GUEST_32) {
		each = role.level == 2 ? 2 : 1;
		span = 512 / each;
		base = role.quadrant * span;
	}
	if (from < base)
		from = base;
	if (to > base + span)
		to = base + span;
	if (from >= to)
		return;
	*first = (from - base) * each;
	*count = (to - from) * each;
}

void umbra_describe_role(uint64_t word, struct umbra_role *role)
{
	const union role r = {.word = word};
	const struct format *format = roles_format(r);

	*role = (struct umbra_role){
		.level = r.level,
		.guest_level = (uint8_t)roles_guest_level(r),
		.ept = format && format->family == FORMAT_EPT,
		.direct = r.direct,
		.promoted = r.promoted,
		.pae_root = r.pae_root,
		.quadrant = r.quadrant,
		.pae_offset = r.pae_offset,
	};
}
