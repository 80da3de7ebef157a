/* SPDX-License-Identifier: MIT */
/*
 * mutate.h - `umbra run IMAGE --mutate N`: random programs on the image's tables.
 */
#ifndef CLI_MUTATE_H
#define CLI_MUTATE_H

#include "cli/guest.h"
#include "cli/trial.h"

struct mutation {
	struct out *out;
	bool verbose;
	const struct guest *guest;
	/** What --config said, word for word, and what it stands for. */
	const char *const *text;
	const struct setup *setup;
	unsigned setup_count;
	/** Set of 1 << MODEL_*. */
	unsigned cachings;
	/** Steps for each configuration; 0 with @replay. */
	uint64_t steps, seed;
	/** Audit every so many steps; 0: at each program's end. */
	unsigned audit_every;
	/** A program to run instead, and where findings go (NULL: here). */
	const char *replay, *save;
};

/** mutate_run - all of it, and the lines that say how it went. */
enum cli_status mutate_run(const struct mutation *mutation);

#endif
