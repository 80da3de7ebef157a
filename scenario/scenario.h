/* SPDX-License-Identifier: MIT */
/*
 * scenario.h - runs a *.lua scenario.
 */
#ifndef SCENARIO_SCENARIO_H
#define SCENARIO_SCENARIO_H

#include <stdio.h>

#include "scenario/world.h"

struct scenario_options {
	/** What a VM is where the script does not say (--config, --caching); NULL: usual. */
	const struct world_config *defaults;
	/** Where the story goes; NULL: nowhere. */
	FILE *story;
	bool colour;
};

enum scenario_end {
	SCENARIO_PASSED,
	SCENARIO_FAILED, /* an expectation */
	SCENARIO_BAD, /* the script or its file */
};

struct scenario_result {
	enum scenario_end end;
	/** FAILED: "FILE:LINE: expected ..., saw ...". BAD: the same or "FILE: ...".
	 * One line. */
	char message[512];
	unsigned steps, accesses, exits, checks;
};

/** scenario_run - bounded in time and memory whatever the script does. */
enum scenario_end scenario_run(const char *path, const struct scenario_options *options,
			       struct scenario_result *result);

#endif
