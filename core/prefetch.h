/* SPDX-License-Identifier: MIT */
/*
 * prefetch.h - the neighbours of a faulting guest entry (layer 4; S-9).
 */
#ifndef CORE_PREFETCH_H
#define CORE_PREFETCH_H

#include "core/fault.h"
#include "core/table.h"

/**
 * prefetch_find - which of the eight guest entries around the one walked could be
 * mapped at once: present, accessed, legal, in a slot, pinned. Before the lock.
 */
void prefetch_find(struct fault *fault);
/** prefetch_map - map them in @page, where nothing is yet and the guest's entry is still
 * what was found. Under the lock; stops quietly when the reserve runs low. */
void prefetch_map(struct edit *edit, const struct fault *fault, struct page *page);

#endif
