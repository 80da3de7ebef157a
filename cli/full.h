/* SPDX-License-Identifier: MIT */
/*
 * full.h - `umbra matrix --full`: which combinations there are, and running them.
 */
#ifndef CLI_FULL_H
#define CLI_FULL_H

#include "cli/trial.h"

/** struct full_cell - one combination. */
struct full_cell {
	struct setup setup;
	/** The host's tables without variations: "NPT 4", "shadow intel". */
	const char *tables;
	/** What differs from the plain configuration: "gmet=1", "L1: rogpt"; or "". */
	const char *variation;
	/** Does L1 run the guest? */
	bool nested;
	struct l1_config l1;
	enum builtin_mode guest;
	enum model_caching caching;
};

/** full_cells - all combinations, the same ones in the same order each time; free() them.
 * NULL when memory is short. */
struct full_cell *full_cells(unsigned *count);

/** full_case - the special root of R-30 that the cell needs: "#7", or "". */
const char *full_case(const struct full_cell *cell);
/** full_promotion - "2->4" when the guest's (or L1's) tables have fewer levels, or "". */
const char *full_promotion(const struct full_cell *cell);

struct full_options {
	uint64_t jobs, seed, sample;
	/** Of @shards parts do @shard (1..shards). */
	uint64_t shard, shards;
};

/** full_run - returns the exit status. */
enum cli_status full_run(struct out *out, const struct full_options *options);
/** full_merge - add up what shards printed with --json. */
enum cli_status full_merge(struct out *out, char **files, unsigned count);

#endif
