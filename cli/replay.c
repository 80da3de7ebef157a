/* SPDX-License-Identifier: MIT */
/*
 * replay.c - `umbra run PROGRAM.syz...`: KVM's interface in miniature, told call by call.
 *
 *	  4  r2 = ioctl$KVM_CREATE_VCPU(r1, 0xae41, 0x0)        the call
 *	     ...                                                what the MMU did
 *	     = 5                                                the result, or -1 and why
 *
 * -v adds each entry that changed. Status 1 if Umbra broke a rule of its own, as the bugs do
 * that --config bug.* switches in.
 */
#include "cli/replay.h"

#include "kvm/kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_SHOWN 16

bool replays_are(char **paths, unsigned count)
{
	size_t length = count ? strlen(paths[0]) : 0;

	return length > 4 && !strcmp(paths[0] + length - 4, ".syz");
}

/* ---- reading ---- */

static char *read_all(const char *path, size_t *size)
{
	FILE *from = fopen(path, "rb");
	size_t room = 1 << 16;
	char *text = from ? malloc(room) : NULL;

	*size = 0;
	while (text && *size <= SYZ_TEXT_MAX) {
		size_t got = fread(text + *size, 1, room - *size, from);
		char *more;

		*size += got;
		if (!got)
			break;
		if (*size < room)
			continue;
		room *= 2;
		more = realloc(text, room);
		if (!more)
			free(text);
		text = more;
	}
	if (text && ferror(from)) {
		free(text);
		text = NULL;
	}
	if (from) {
		const int error = errno;

		fclose(from);
		errno = error;
	}
	return text;
}

static enum cli_status read_program(const char *path, struct syz_program **program)
{
	struct syz_error error;
	size_t size;
	char *text = read_all(path, &size);

	if (!text)
		return cli_error(CLI_BADINPUT, "run: %s: %s", path, strerror(errno));
	*program = syz_parse(text, size, &error);
	free(text);
	if (*program)
		return CLI_OK;
	return cli_error(CLI_BADINPUT, "%s:%u:%u: %s", path, error.place.line, error.place.column,
			 error.text);
}

/* ---- telling ---- */

struct story {
	const struct replays *replays;
	const char *source, *config;
	/** The reason of the call's result. */
	char why[256];
	/** --json: what happened in the call. */
	json_t *steps;
	uint64_t findings;
};

static void say(const struct story *s, const char *style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(const struct story *s, const char *style, const char *format, ...)
{
	va_list args;

	fputs(style, stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("%s\n", out_style(s->replays->out, OUT_PLAIN));
}

static void on_told(void *context, enum kvm_told kind, const char *text)
{
	struct story *s = context;
	const struct out *out = s->replays->out;

	if (kind == KVM_TOLD_FINDING)
		s->findings++;
	if (kind == KVM_TOLD_WHY)
		snprintf(s->why, sizeof(s->why), "%s", text);
	else if (kind == KVM_TOLD_TRACE && !s->replays->verbose)
		return;
	else if (out->json && s->steps)
		json_array_append_new(s->steps, json_string(text));
	else if (!out->json && kind == KVM_TOLD_FINDING)
		say(s, out_style(out, OUT_RED), "     finding: %s", text);
	else if (!out->json)
		say(s, kind == KVM_TOLD_TRACE ? out_style(out, OUT_DIM) : "", "     %s%s",
		    kind == KVM_TOLD_TRACE ? "  " : "", text);
}

static void before(void *context, const struct kvm_step *step)
{
	struct story *s = context;

	s->why[0] = 0;
	s->steps = json_array();
	if (s->replays->out->json)
		return;
	printf("%s%3u  ", out_style(s->replays->out, OUT_BOLD), step->number);
	syz_print_call(stdout, step->call, DATA_SHOWN);
	printf("%s\n", out_style(s->replays->out, OUT_PLAIN));
}

static void after_json(struct story *s, const struct kvm_step *step)
{
	json_t *line = json_pack("{s:s, s:s, s:I, s:s, s:O}", "source", s->source, "config",
				 s->config, "call", (json_int_t)step->number, "name",
				 step->call->name, "steps", s->steps);

	if (step->result == KVM_UNKNOWN)
		json_object_set_new(line, "result", json_null());
	else
		json_object_set_new(line, "result",
				    json_integer(step->result < 0 ? -1 : step->result));
	if (step->result < 0 && step->result != KVM_UNKNOWN)
		json_object_set_new(line, "errno", json_string(kvm_strerror(step->result)));
	if (s->why[0])
		json_object_set_new(line, "why", json_string(s->why));
	out_json(s->replays->out, line);
}

static void after(void *context, const struct kvm_step *step)
{
	struct story *s = context;

	if (s->replays->out->json)
		after_json(s, step);
	else if (step->result == KVM_UNKNOWN)
		printf("     = ? (%s)\n", s->why);
	else if (step->result < 0)
		printf("     = -1 %s (%s)\n", kvm_strerror(step->result), s->why);
	else if (step->result > 9)
		printf("     = 0x%" PRIx64 "\n", step->result);
	else
		printf("     = %" PRId64 "\n", step->result);
	json_decref(s->steps);
	s->steps = NULL;
}

static void total(const struct story *s, const struct kvm_replayed *replayed)
{
	if (s->replays->out->json) {
		out_json(s->replays->out,
			 json_pack("{s:s, s:s, s:b, s:i, s:i, s:i, s:o}", "source", s->source,
				   "config", s->config, "total", 1, "calls", (int)replayed->calls,
				   "errors", (int)replayed->errors, "unknown",
				   (int)replayed->unknown, "findings", out_count(s->findings)));
		return;
	}
	printf("%u calls: %u errors, %u with results that are not known here, %s%" PRIu64
	       " findings%s\n",
	       replayed->calls, replayed->errors, replayed->unknown,
	       out_style(s->replays->out, s->findings ? OUT_RED : OUT_GREEN), s->findings,
	       out_style(s->replays->out, OUT_PLAIN));
}

/* ---- running ---- */

static struct umbra_vm_config vm_config(const struct setup *setup)
{
	const struct lab_config *lab = &setup->lab;

	return (struct umbra_vm_config){
		.cpu = lab->cpu,
		.paging = lab->paging,
		.levels = lab->levels,
		.layout = lab->layout,
		.page_level = lab->page_level,
		.exec_by_mode = lab->exec_by_mode,
		.page_limit = lab->page_limit,
		.bug_truncate_gpa = lab->bug_truncate_gpa,
		.trace = true,
	};
}

static enum cli_status replay(const struct replays *replays, const char *path,
			      const struct syz_program *program, const struct setup *setup)
{
	struct story story = {.replays = replays, .source = path, .config = setup->name};
	const struct kvm_config config = {
		.vm = vm_config(setup),
		.tell = on_told,
		.context = &story,
	};
	const struct kvm_replay how = {.before = before, .after = after, .context = &story};
	struct kvm_process *process = kvm_process_new(&config);
	struct kvm_replayed replayed;

	if (!process)
		return cli_error(CLI_BADINPUT, "run: out of memory");
	if (!replays->out->json)
		printf("%s on %s\n", path, setup->name);
	kvm_replay(process, program, &how, &replayed);
	kvm_process_free(process);
	total(&story, &replayed);
	return story.findings ? CLI_FINDING : CLI_OK;
}

enum cli_status replays_run(const struct replays *replays)
{
	struct syz_program **programs = calloc(replays->path_count, sizeof(struct syz_program *));
	enum cli_status status = CLI_OK;

	if (!programs)
		return cli_error(CLI_BADINPUT, "run: out of memory");
	for (unsigned i = 0; i < replays->path_count && status == CLI_OK; i++)
		status = replays_are(&replays->paths[i], 1)
				 ? read_program(replays->paths[i], &programs[i])
				 : cli_error(CLI_USAGE,
					     "run: %s: expected a program (*.syz), as the "
					     "arguments before it",
					     replays->paths[i]);
	for (unsigned i = 0; i < replays->path_count && status <= CLI_FINDING; i++) {
		for (unsigned j = 0; j < replays->setup_count && status <= CLI_FINDING; j++) {
			enum cli_status end =
				replay(replays, replays->paths[i], programs[i], &replays->setup[j]);

			status = end > status ? end : status;
		}
	}
	for (unsigned i = 0; i < replays->path_count; i++)
		syz_free(programs[i]);
	free(programs);
	return status;
}
