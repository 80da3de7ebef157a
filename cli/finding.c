/* SPDX-License-Identifier: MIT */
/*
 * finding.c - see finding.h. Nothing is overwritten: a file's number goes up until
 * it is new.
 */
#include "cli/finding.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_SIZE 512
#define STEP_SIZE 256

bool finding_folder(const char *folder, const char *command)
{
	struct stat status;

	if (!folder)
		return true;
	if (stat(folder, &status))
		cli_error(CLI_BADINPUT, "%s: --save: %s: %s", command, folder, strerror(errno));
	else if (!S_ISDIR(status.st_mode))
		cli_error(CLI_BADINPUT, "%s: --save: %s is no folder", command, folder);
	else
		return true;
	return false;
}

void finding_print(const struct finding *f, const struct fuzz_program *program,
		   const struct fuzz_result *result, const char *path)
{
	char text[STEP_SIZE] = "-";

	if (result->done && result->done <= program->count)
		fuzz_step_text(&program->step[result->done - 1], text, sizeof(text));
	out_progress_clear(f->out);
	if (f->out->json) {
		out_json(f->out, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s}", "finding",
					   result->kind, "what", result->what, "step", text,
					   "config", program->config, "program", path, "steps",
					   out_count(program->count), "source", f->command));
		return;
	}
	printf("%sfinding%s: %s: %s\n", out_style(f->out, OUT_RED), out_style(f->out, OUT_PLAIN),
	       result->kind, result->what);
	printf("  config %s\n  after %u steps, at: %s\n", program->config, result->done, text);
}

void finding_tell_step(void *context, unsigned index, const char *what)
{
	const struct out *out = context;

	if (!out->json)
		printf("%5u  %s\n", index + 1, what);
}

enum cli_status finding_report(const struct finding *f, struct fuzz_program *program,
			       struct fuzz_result *result)
{
	char path[PATH_SIZE], text[STEP_SIZE];
	const unsigned before = program->count;

	if (!f->out->json) {
		finding_print(f, program, result, "");
		printf("cutting it down ...\n");
		fflush(stdout);
	}
	fuzz_shrink(program, f->config, &f->limits, result, f->runs);
	for (unsigned i = 0;; i++) {
		snprintf(path, sizeof(path), "%s/%s.%u", f->folder ? f->folder : ".", f->name, i);
		if (fuzz_write(program, path))
			break;
		if (errno != EEXIST)
			return cli_error(CLI_BADINPUT, "%s: %s: %s", f->command, path,
					 strerror(errno));
	}
	finding_print(f, program, result, path);
	if (f->out->json)
		return CLI_FINDING;
	printf("%u steps of %u left:\n", program->count, before);
	for (unsigned i = 0; i < program->count; i++) {
		fuzz_step_text(&program->step[i], text, sizeof(text));
		printf("  %s\n", text);
	}
	printf("again: %s%s\n", f->again, path);
	return CLI_FINDING;
}
