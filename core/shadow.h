/* SPDX-License-Identifier: MIT */
/*
 * shadow.h - tables that mirror the guest's own (layer 4).
 */
#ifndef CORE_SHADOW_H
#define CORE_SHADOW_H

#include "core/fault.h"
#include "core/table.h"

/**
 * shadow_page - the page under (gfn, role), made if need be. MMU lock exclusive.
 * @table: a free table page to use (its kind suits the role), 0: from the reserve.
 * @registers: the PDPTE values when role.registers. A new mirror's gfn is write
 * protected and flushed before this returns, so that what is read of the guest
 * table afterwards stays true. *used tells whether @table was taken.
 */
struct shadow_want {
	umbra_gfn gfn;
	union role role;
	const uint64_t *registers;
	umbra_hpa table;
};
struct page *shadow_page(struct edit *edit, const struct shadow_want *want, bool *used);

/**
 * shadow_map - map what fault->walk found, at fault->goal or lower. MMU lock
 * exclusive. RESUME; RETRY when the guest's tables changed since the walk.
 */
enum umbra_verdict shadow_map(struct fault *fault);

/**
 * shadow_written - the guest's bytes at [gpa, gpa + length), inside one page, have
 * changed: entries that mirror them go (S-42). Returns how many.
 */
unsigned shadow_written(struct edit *edit, umbra_gpa gpa, unsigned length);

/** shadow_marked - A or D was set in an entry of @format at @gpa by a walk of Umbra's: mirrors
 * in which it means something else lose what they made of it. */
void shadow_marked(struct edit *edit, umbra_gpa gpa, const struct format *format);

/** shadow_unprotect - zap every mirror of @gfn, so that the guest may write it (S-44).
 * Returns how many there were. */
unsigned shadow_unprotect(struct edit *edit, umbra_gfn gfn);

#endif
