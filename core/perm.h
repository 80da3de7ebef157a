/* SPDX-License-Identifier: MIT */
/*
 * perm.h - is an access allowed by accumulated rights? (layer 1, pure)
 *
 * KVM's idea (facts B-1): for each of 16 kinds of access a bitmap over the 16
 * values of the rights. Keys and shadow stacks, which need more of the leaf,
 * come after it.
 */
#ifndef CORE_PERM_H
#define CORE_PERM_H

#include "core/mode.h"

/** perm_index - index of mode->deny: bit 0 W, 1 U, 2 "SMAP does not apply", 3 F. */
static inline unsigned perm_index(unsigned access)
{
	/* IMPLICIT (bit 4) moved onto AC (bit 2) takes it away (G-45). */
	return access & 15u & ~(access >> 2 & 4u);
}

/** perm_bind - compute mode->deny and mode->allow from the family and flags (B-3); called by
 * mode_bind. */
void perm_bind(struct mode *mode);

/** What perm_check looks at besides the mode. */
struct perm_page {
	/** Accumulated rights of all levels, and of the levels above the leaf. */
	uint8_t acc, acc_upper;
	/** Leaf: R/W and D as they stand (shadow stacks, H-54). */
	bool leaf_write, leaf_dirty;
	/** Protection key of the leaf. */
	uint8_t key;
};

#define PERM_OK 0
#define PERM_DENIED 1
#define PERM_DENIED_KEY 2 /* keys deny (other rights may too): #PF bit 5 */

/**
 * perm_check - H-52..H-54.
 * @pkru, @pkrs: key rights registers, looked at only where the mode uses them.
 */
unsigned perm_check(const struct mode *mode, const struct perm_page *page, unsigned access,
		    uint32_t pkru, uint32_t pkrs);

#endif
