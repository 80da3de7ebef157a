/* SPDX-License-Identifier: MIT */
/*
 * scenario.h - `umbra run` of Lua scenarios.
 */
#ifndef CLI_SCENARIO_H
#define CLI_SCENARIO_H

#include "cli/args.h"
#include "cli/out.h"
#include "cli/trial.h"

/** scenarios_are - does `umbra run` get scenarios: a file *.lua or a directory first? */
bool scenarios_are(char **paths, unsigned count);

struct scenarios {
	struct out *out;
	bool verbose;
	char **paths;
	unsigned path_count;
	/** Each scenario runs in each; none: as the scenario says. */
	const struct setup *setup;
	unsigned setup_count;
	/** Of the hardware where the scenario does not say; NULL: as usual. */
	const enum model_caching *caching;
};
/** scenarios_run - all of them, told, listed or as JSON Lines. */
enum cli_status scenarios_run(const struct scenarios *scenarios);

#endif
