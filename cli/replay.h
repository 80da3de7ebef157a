/* SPDX-License-Identifier: MIT */
/*
 * replay.h - `umbra run` of programs in syzkaller's text form.
 */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include "cli/out.h"
#include "cli/trial.h"

/** replays_are - does `umbra run` get programs: a file *.syz first? */
bool replays_are(char **paths, unsigned count);

struct replays {
	struct out *out;
	bool verbose;
	char **paths;
	unsigned path_count;
	/** Each program runs in each; at least one. */
	const struct setup *setup;
	unsigned setup_count;
};
/** replays_run - all of them, told step by step or as JSON Lines. All are read first: a
 * program that is wrong prints nothing on stdout. */
enum cli_status replays_run(const struct replays *replays);

#endif
