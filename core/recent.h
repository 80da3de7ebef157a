/* SPDX-License-Identifier: MIT */
/*
 * recent.h - which of the last events touched an entry (layer 4; for the auditor).
 */
#ifndef CORE_RECENT_H
#define CORE_RECENT_H

#include "core/mmu.h"

#define RECENT_MOST 8

/**
 * recent_find - of the events that @mmu remembers, the last RECENT_MOST that touched the
 * entry at host-physical @where, or the table page if @where is its address: stores
 * and writes to the guest's entry, what became of the page, and the flush after each.
 * Oldest first; returns how many. Anything else than an address matches nothing.
 * MMU lock exclusive.
 */
unsigned recent_find(struct mmu *mmu, uint64_t where, struct umbra_recent found[RECENT_MOST]);

#endif
