/* SPDX-License-Identifier: MIT */
/*
 * quick.h - the faults under TDP that there are most of (layer 5).
 *
 * quick.c has umbra_vcpu_fault(): the short cut, or else vcpu_fault().
 */
#ifndef CORE_QUICK_H
#define CORE_QUICK_H

#include "core/mmu.h"

struct umbra_vcpu;

/** struct quick - the table of level 1 that the last such fault of a vCPU was in, and the slot. */
struct quick {
	/** The table maps frames from region * 512 on. */
	uint64_t region;
	/** mmu.changes when that was found, and that nothing is mirrored, tracked or private. A
	 * VM has one root of TDP until it changes. */
	uint64_t changes;
	umbra_hpa table;
	uint64_t *entries;
	/** Of the first such fault; good in this generation of the slots. */
	const struct slot *slot;
	uint64_t generation;
};

/** quick_init - once the VM's entries are bound. */
void quick_init(struct mmu *mmu);

#endif
