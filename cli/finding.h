/* SPDX-License-Identifier: MIT */
/*
 * finding.h - a program that shows a bug: told, cut down, and kept for a replay.
 * Shared by `umbra fuzz` and `umbra run --mutate`.
 */
#ifndef CLI_FINDING_H
#define CLI_FINDING_H

#include "cli/out.h"
#include "lab/fuzz.h"

struct finding {
	struct out *out;
	/** The subcommand: what error lines begin with, and the JSON line's source. */
	const char *command;
	/** What to type before the file's name to see it again. */
	const char *again;
	/** Where the program goes: DIR/NAME.0 or the first number that is free. */
	const char *folder, *name;
	const struct lab_config *config;
	struct fuzz_limits limits;
	/** Runs that cutting down may take. */
	unsigned runs;
};

/** finding_folder - may findings go to @folder (NULL: here)? Asked before the work, not after;
 * if not, says so for the subcommand @command. */
bool finding_folder(const char *folder, const char *command);
/** finding_print - kind, both outcomes, and the step. @path: of the program, or "". */
void finding_print(const struct finding *finding, const struct fuzz_program *program,
		   const struct fuzz_result *result, const char *path);
/** finding_report - tell it, leave out steps, write the rest to a file, tell that. */
enum cli_status finding_report(const struct finding *finding, struct fuzz_program *program,
			       struct fuzz_result *result);
/** finding_tell_step - for fuzz_limits.told; @context is a struct out. */
void finding_tell_step(void *context, unsigned index, const char *what);

#endif
