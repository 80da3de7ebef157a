/* SPDX-License-Identifier: MIT */
/*
 * vcpu.h - a vCPU: registers, the space they make, the root they select (layer 5).
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include "core/vm.h"
#include "core/walk.h"

#define VCPU_PREVIOUS 3

struct umbra_vcpu {
	struct umbra_vm *vm;
	struct umbra_vcpu *next;
	unsigned number;
	/** What CPUID tells the guest. */
	struct umbra_cpu cpu;
	struct umbra_regs regs;
	/** regs bound: gva -> gpa. space.mode is NULL or &mode. */
	struct mode mode;
	struct space space;
	struct memory memory;
	/** Slots that memory's window was found in. */
	uint64_t memory_generation;
	/** NULL: to be fetched at the next load. */
	struct page *root;
	/** Roots it had before, latest first, still referenced. */
	struct page *previous[VCPU_PREVIOUS];
	/** PCID that each of them, and the root, was used with last: what is kept for one
	 * PCID may not be used by another. */
	uint16_t previous_pcid[VCPU_PREVIOUS], pcid;
	/** Epoch in which each of them was left; mirrors below it that were stamped later
	 * hold what its PCID may never have cached. 0: that is true of all. */
	uint64_t previous_epoch[VCPU_PREVIOUS];
	/** Last-level mirrors below the root that were stamped after @since must be synced
	 * before entry. */
	bool sync;
	uint64_t since;
	/** The guest's translations of this vCPU are to be flushed before entry. */
	bool flush;
	struct reserve reserve;
};

#endif
