/* SPDX-License-Identifier: MIT */
/*
 * perm.c - the permission table of a mode, and the checks that need more than it.
 *
 * For one kind of access the manual's rules (H-52, H-74, H-92, H-97) come down to
 * "these rights must be there, those must not": a conjunction. perm_bind() writes
 * each conjunction twice: as KVM's bitmap over the 16 values of the rights
 * (facts B-1..B-3, vectors B-6), for those who have ACC_* values, and as a pair
 * of masks over raw entry bits, for the walker.
 *
 * Protection keys and shadow stacks look at other things than the rights and
 * come afterwards, in perm_check().
 */
#include "core/perm.h"

/* Rights that an access needs, and rights that it must not find. */
struct need {
	uint8_t have, lack;
};

#define KIND_WRITE 1u
#define KIND_USER 2u
#define KIND_NO_SMAP 4u
#define KIND_FETCH 8u

static struct need need_ept(uint32_t flags, unsigned kind)
{
	struct need need = {0, 0};

	if (kind & KIND_WRITE)
		need.have |= ACC_WRITE;
	else if (!(kind & KIND_FETCH))
		need.have |= ACC_READ;
	if (kind & KIND_FETCH)
		need.have |= (flags & MODE_MBEC) && (kind & KIND_USER) ? ACC_USER : ACC_EXEC;
	return need;
}

static struct need need_paging(const struct mode *mode, unsigned kind)
{
	const uint32_t flags = mode->flags, exec_when = mode->format->exec_when;
	const bool gmet = flags & MODE_GMET;
	struct need need = {0, 0};

	if (kind & KIND_WRITE) {
		if ((kind & KIND_USER) || (flags & MODE_WP))
			need.have |= ACC_WRITE;
	} else if (!(kind & KIND_FETCH)) {
		need.have |= ACC_READ;
	}
	if ((kind & KIND_USER) && !gmet)
		need.have |= ACC_USER;
	if (kind & KIND_FETCH) {
		if ((flags & exec_when) == exec_when)
			need.have |= ACC_EXEC;
		if (!(kind & KIND_USER) && (gmet || (flags & MODE_SMEP)))
			need.lack |= ACC_USER;
	} else if (!(kind & KIND_USER) && !(kind & KIND_NO_SMAP) && (flags & MODE_SMAP)) {
		need.lack |= ACC_USER;
	}
	return need;
}

/* The raw bits of @acc; rights that the format always has are none. */
static uint64_t raw(const struct mode *mode, unsigned acc)
{
	return (acc & ACC_READ ? mode->read : 0) | (acc & ACC_WRITE ? mode->write : 0) |
	       (acc & ACC_USER ? mode->user : 0) | (acc & ACC_EXEC ? mode->exec : 0);
}

static struct mode_allow allow_raw(const struct mode *mode, struct need need, unsigned kind)
{
	const uint64_t present = mode->good_low6 ? 0 : mode->present;
	const uint64_t want = (raw(mode, need.have) | mode->accessed | present) & ~mode->grant;
	const uint64_t lack = raw(mode, need.lack);

	/* A right that the format always gives cannot lack: nothing equals that. */
	if ((need.lack & mode->acc_always) || (lack & mode->grant))
		return (struct mode_allow){.care = 0, .want = 1};
	return (struct mode_allow){.care = want | lack,
				   .want = want,
				   .dirty = kind & KIND_WRITE ? mode->level[1].dirty : 0};
}

void perm_bind(struct mode *mode)
{
	const bool ept = mode->format->family == FORMAT_EPT;
	struct mode_allow by_kind[16];

	for (unsigned kind = 0; kind < 16; kind++) {
		const struct need need =
			ept ? need_ept(mode->flags, kind) : need_paging(mode, kind);

		by_kind[kind] = allow_raw(mode, need, kind);
		mode->deny[kind] = 0;
		for (unsigned acc = 0; acc <= ACC_ALL; acc++) {
			if ((acc & need.have) != need.have || (acc & need.lack))
				mode->deny[kind] |= (uint16_t)(1u << acc);
		}
	}
	for (unsigned access = 0; access <= MODE_ALLOW_MASK; access++)
		mode->allow[access] = by_kind[perm_index(access)];
}

/* H-53: do the keys deny? */
static bool key_denies(const struct mode *mode, const struct perm_page *page, unsigned access,
		       uint32_t pkru, uint32_t pkrs)
{
	const bool user_page = page->acc & ACC_USER;
	uint32_t rights;

	if (!mode->pk || (access & UMBRA_ACCESS_FETCH))
		return false;
	if (!(mode->flags & (user_page ? MODE_PKU : MODE_PKS)))
		return false;
	rights = (user_page ? pkru : pkrs) >> (2 * (page->key & 15u));
	if (rights & 1)
		return true;
	return (rights & 2) && (access & UMBRA_ACCESS_WRITE) &&
	       ((access & UMBRA_ACCESS_USER) || (mode->flags & MODE_WP));
}

/* H-54: what a shadow-stack access needs. */
static bool shadow_stack_denied(const struct perm_page *page, unsigned access)
{
	return !(page->acc & ACC_USER) != !(access & UMBRA_ACCESS_USER) ||
	       !(page->acc_upper & ACC_WRITE) || page->leaf_write || !page->leaf_dirty;
}

unsigned perm_check(const struct mode *mode, const struct perm_page *page, unsigned access,
		    uint32_t pkru, uint32_t pkrs)
{
	if (key_denies(mode, page, access, pkru, pkrs))
		return PERM_DENIED_KEY;
	if ((access & UMBRA_ACCESS_SHSTK) && (mode->flags & MODE_SHSTK))
		return shadow_stack_denied(page, access) ? PERM_DENIED : PERM_OK;
	return mode->deny[perm_index(access)] >> page->acc & 1 ? PERM_DENIED : PERM_OK;
}
