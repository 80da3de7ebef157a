/* SPDX-License-Identifier: MIT */
/*
 * l1.h - the built-in L1: a hypervisor that runs the built-in guest.
 *
 * L1 has page tables of its own and an EPT or NPT for its guest, with rights of all
 * kinds, entries that are not present or misconfigured, and large pages. It edits them,
 * invalidates what it must, and enters its guest again.
 */
#ifndef LAB_L1_H
#define LAB_L1_H

#include "lab/builtin.h"

/** What L1 translates its guest's physical addresses with. NPT has the format of L1's own
 * paging mode (H-91). */
enum l1_kind {
	L1_PLAIN, /* nothing */
	L1_EPT_4,
	L1_EPT_5,
	L1_NPT_32,
	L1_NPT_32_PSE,
	L1_NPT_PAE,
	L1_NPT_4,
	L1_NPT_5,
	L1_KINDS
};
/** "none", "EPT 4", "NPT 32" ... */
const char *l1_kind_name(enum l1_kind kind);
/** l1_kind_high - does it map guest-physical addresses above 4 GiB? */
bool l1_kind_high(enum l1_kind kind);

struct l1_config {
	enum l1_kind kind;
	/** MBEC or GMET, and ROGPT, for L2. */
	bool exec_by_mode, readonly_tables;
	/** EPT: A/D flags, and with them page-modification logging. */
	bool ad, pml;
	/** NPT: L1's EFER.NXE. */
	bool nxe;
	/** Large pages in L1's tables. */
	bool large;
	uint64_t seed;
};

/**
 * l1_choices - the freedoms that a hostile CPU may take under such an L1, MODEL_*. Where
 * only the setting of an Accessed bit needs write access to L2's tables (ROGPT; EPT
 * without A/D), one that was set ahead of time makes another outcome.
 */
unsigned l1_choices(const struct l1_config *config);

struct l1;

/** l1_new - L1 for a lab of configuration @lab around @guest, which outlives it and is in
 * no lab itself. NULL when memory is short. */
struct l1 *l1_new(const struct l1_config *config, const struct lab_config *lab,
		  const struct builtin *guest);
void l1_free(struct l1 *l1);
/** l1_memory - the guest's memory, where L1 has it, and L1's own. */
const struct lab_memory *l1_memory(const struct l1 *l1, unsigned *count);

/**
 * l1_run - @accesses accesses, most of them L2's. After whatever L1 or L2 changes the
 * invalidation that the architecture requires is made, so that each outcome must be the
 * bare machine's. Compares all memory and audits at the end.
 */
void l1_run(struct lab *lab, struct l1 *l1, uint64_t accesses);

#endif
