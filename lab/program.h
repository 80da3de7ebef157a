/* SPDX-License-Identifier: MIT */
/*
 * program.h - random programs: a guest that edits its own page tables.
 */
#ifndef LAB_PROGRAM_H
#define LAB_PROGRAM_H

#include "lab/builtin.h"
#include "lab/lab.h"

struct program {
	uint64_t seed;
	uint64_t steps;
	/** Audit every so many steps; 0: at the end only. */
	uint64_t audit_every;
	/** Compare all memory every so many steps; 0: at the end only. */
	uint64_t compare_every;
	/** Stop at the first difference. */
	bool stop;
	/** Out: steps done, edits of tables, invalidations. */
	uint64_t done, edits, flushes;
};

/**
 * program_run - @program->steps random steps of the built-in guest: accesses,
 * edits of table entries (by its own stores, or by a device) followed by the
 * invalidation that the architecture requires, and changes of registers. After
 * such an invalidation a CPU has no excuse: each outcome must be the bare
 * machine's. Returns the number of differences.
 */
uint64_t program_run(struct lab *lab, const struct builtin *builtin, struct program *program);

#endif
