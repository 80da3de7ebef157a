/* SPDX-License-Identifier: MIT */
/*
 * mmio.h - entries that remember where no memory is (layer 4).
 */
#ifndef CORE_MMIO_H
#define CORE_MMIO_H

#include "core/fault.h"
#include "core/table.h"

/** struct mmio_cache - the last address without memory that a vCPU met. */
struct mmio_cache {
	bool valid;
	/** Slots that it was looked up in. */
	uint64_t generation;
	/** Page of the address in the root's input: linear under shadow paging. */
	uint64_t page;
	umbra_gfn gfn;
	/** What the guest's tables allow there, as far as it is known: READ, WRITE, USER. */
	uint8_t acc;
};

/** mmio_cache_fill - @fault found no memory; not while slots are being changed (M-5). */
void mmio_cache_fill(struct mmio_cache *cache, const struct fault *fault);
/** mmio_cache_drop - forget what it says of @address's page. */
static inline void mmio_cache_drop(struct mmio_cache *cache, uint64_t address)
{
	cache->valid &= cache->page != address >> UMBRA_PAGE_SHIFT;
}
/**
 * mmio_cache_find - the guest-physical address that @address is for such an access, if
 * the cache says. @space: what the root mirrors, NULL: TDP. @generation: of the slots now.
 */
bool mmio_cache_find(const struct mmio_cache *cache, const struct space *space, uint64_t address,
		     unsigned access, uint64_t generation, umbra_gpa *gpa);

/** mmio_wanted - is an entry to remember that there is no memory at fault->gfn (Q-27, F-31)? */
bool mmio_wanted(const struct fault *fault);
/**
 * mmio_mark - such an entry at @at, for fault->gfn and the rights fault->acc. @word as
 * table_set(). MMU lock held, the slots are those of fault->generation. What is mapped
 * there is unmapped first (O-5). MMIO; RETRY if somebody else was at the entry.
 */
enum umbra_verdict mmio_mark(struct edit *edit, const struct fault *fault, struct table_at at,
			     uint64_t word);

/**
 * mmio_fault - hardware met a reserved bit or a misconfiguration on its way to
 * fault->address. @cache: NULL while nested paging is in use. True: it was an MMIO entry,
 * or nothing any more, and fault->verdict is MMIO or RETRY. False: the fault is to be
 * looked into as any other. Inside a read-side section; no lock is held.
 */
bool mmio_fault(struct fault *fault, struct mmio_cache *cache);

/** mmio_zap - every MMIO entry of the VM. MMU lock exclusive; needs no flush. */
void mmio_zap(struct edit *edit);

#endif
