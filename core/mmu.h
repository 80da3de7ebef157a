/* SPDX-License-Identifier: MIT */
/*
 * mmu.h - what all table code of one VM shares (layer 3).
 */
#ifndef CORE_MMU_H
#define CORE_MMU_H

#include "core/entry.h"
#include "core/pages.h"
#include "core/slots.h"
#include "umbra/host.h"
#include "umbra/umbra.h"

struct mmu {
	void *host;
	struct umbra_cpu cpu;
	enum umbra_paging paging;
	/** How entries are written. */
	struct entry_kind kind;
	/** TDP: levels of the tables, and first guest frame they cannot map. */
	uint8_t levels;
	uint64_t reach;
	/** Largest page level allowed. */
	uint8_t page_level;
	/** Rights of direct pages (GMET: without USER, P-8). */
	uint8_t direct_acc;
	bool exec_by_mode;
	bool trace;
	/** Some frame is or was tracked (umbra_vm_track). */
	bool tracking;
	/** Do not fill neighbours of a fault. */
	bool no_prefetch;
	/** Of pages made now; changing it makes all others obsolete (S-62). */
	uint8_t generation;
	uint32_t page_limit;
	struct pages pages;
	struct slots slots;
	struct umbra_stats stats;
};

/** A rule of Umbra's own that does not hold. Never reached by input. */
#define MMU_BUG_ON(mmu, condition)                                                   \
	do {                                                                         \
		if (__builtin_expect(!!(condition), 0))                              \
			umbra_host_bug((mmu)->host, __FILE__, __LINE__, #condition); \
	} while (0)

static inline void mmu_trace(const struct mmu *mmu, const struct umbra_trace event)
{
	if (__builtin_expect(mmu->trace, 0))
		umbra_host_trace(mmu->host, &event);
}

/** mmu_count - counters may be stepped by several vCPUs at once. */
static inline void mmu_count(uint64_t *counter, uint64_t delta)
{
	__atomic_fetch_add(counter, delta, __ATOMIC_RELAXED);
}

#endif
