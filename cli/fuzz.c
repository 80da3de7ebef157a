/* SPDX-License-Identifier: MIT */
/*
 * fuzz.c - `umbra fuzz`: random programs over several vCPUs, judged by what the
 * manuals let a CPU cache (docs/FUZZING.md).
 *
 * Programs follow from the seed and their number, each takes the next of the
 * configurations; so a run is the same everywhere. --seconds only ends it. The
 * first finding ends it too: it is cut down, written to a file, and told.
 */
#include "cli/cmd.h"
#include "cli/finding.h"
#include "cli/trial.h"
#include "lab/fuzz.h"
#include "lab/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CONFIGS_MAX 32
#define SHRINK_RUNS 3000

static const char *const standard[] = {
	"vendor=intel,tdp=0",
	"vendor=amd,tdp=0",
	"vendor=intel,tdp=0,page=4k",
	"vendor=amd,tdp=0,limit=64",
	"vendor=intel,tdp=0,without=shstk,pku,pks",
	"vendor=intel,host=4",
	"vendor=intel,tdp=0,skew=1",
	"vendor=amd,host=4",
	"vendor=intel,tdp=0,limit=64",
	"vendor=intel,host=5,mbec=1",
	"vendor=amd,tdp=0,without=shstk",
	"vendor=amd,host=3",
};
#define STANDARD (sizeof(standard) / sizeof(standard[0]))

struct fuzzing {
	struct out out;
	struct common_options common;
	uint64_t seed, first, steps, seconds, length, audit_every;
	const char *replay, *save;
	const char *text[CONFIGS_MAX];
	struct setup setup[CONFIGS_MAX];
	unsigned configs;
	uint64_t began;
	/** Totals. */
	uint64_t programs, done, accesses, faults, skipped, accesses_l2, entries, exits;
	bool nested;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool add_config(void *context, const char *text, char *error, size_t error_size)
{
	struct fuzzing *f = context;

	if (f->configs == CONFIGS_MAX) {
		snprintf(error, error_size, "more than %u configurations", CONFIGS_MAX);
		return false;
	}
	if (!setup_parse(text, &f->setup[f->configs], error, error_size))
		return false;
	f->setup[f->configs].lab.caching = MODEL_HOSTILE;
	f->text[f->configs++] = text;
	return true;
}

static bool take_audit(void *context, const char *text, char *error, size_t error_size)
{
	struct fuzzing *f = context;

	if (!strcmp(text, "every")) {
		f->audit_every = 1;
		return true;
	}
	if (!strcmp(text, "end")) {
		f->audit_every = 0;
		return true;
	}
	return args_number(text, &f->audit_every, error, error_size) &&
	       args_range(text, f->audit_every, 1, UINT32_MAX, error, error_size);
}

static enum cli_status replay(struct fuzzing *f)
{
	struct fuzz_program program;
	struct fuzz_result result;
	struct fuzz_limits limits = {.audit_every = 1, .context = &f->out};
	const struct finding finding = {.out = &f->out, .command = "fuzz"};
	struct setup setup;
	char error[256];

	if (!fuzz_read(&program, f->replay, error, sizeof(error)))
		return cli_error(CLI_BADINPUT, "fuzz: %s: %s", f->replay, error);
	if (!setup_parse(program.config, &setup, error, sizeof(error))) {
		fuzz_program_free(&program);
		return cli_error(CLI_BADINPUT, "fuzz: %s: config: %s", f->replay, error);
	}
	setup.lab.caching = MODEL_HOSTILE;
	if (f->common.verbose)
		limits.told = finding_tell_step;
	fuzz_run(&program, &setup.lab, &limits, &result);
	if (*result.skipped) {
		fuzz_program_free(&program);
		return cli_error(CLI_BADINPUT, "fuzz: %s: %s", f->replay, result.skipped);
	}
	f->programs = 1;
	f->done = result.done;
	f->accesses = result.accesses;
	f->faults = result.faults;
	if (result.found)
		finding_print(&finding, &program, &result, f->replay);
	fuzz_program_free(&program);
	return result.found ? CLI_FINDING : CLI_OK;
}

static enum cli_status found(struct fuzzing *f, struct fuzz_program *program, unsigned config,
			     struct fuzz_result *result)
{
	char name[64];
	const struct finding finding = {
		.out = &f->out,
		.command = "fuzz",
		.again = "umbra fuzz --replay ",
		.folder = f->save,
		.name = name,
		.config = &f->setup[config].lab,
		.limits = {.audit_every = (unsigned)f->audit_every},
		.runs = SHRINK_RUNS,
	};

	snprintf(name, sizeof(name), "fuzz-%" PRIu64 "-%" PRIu64, f->seed, f->first + f->programs);
	return finding_report(&finding, program, result);
}

static enum cli_status one(struct fuzzing *f)
{
	const uint64_t number = f->first + f->programs;
	const unsigned config = (unsigned)(number % f->configs);
	const uint64_t left = f->steps - f->done;
	const unsigned length = (unsigned)(f->steps && left < f->length ? left : f->length);
	const struct fuzz_limits limits = {.audit_every = (unsigned)f->audit_every};
	struct fuzz_program program = {.vcpus = 1};
	struct fuzz_result result;
	enum cli_status status = CLI_OK;
	uint64_t seed = f->seed ^ (number << 20);

	snprintf(program.config, sizeof(program.config), "%s", f->text[config]);
	const uint64_t of_program = random_next(&seed);
	/* A guest may be a hypervisor, whatever the configuration. */
	const bool nested = f->nested || of_program >> 32 & 1;
	if (!(nested ? fuzz_make_nested : fuzz_make)(&program, &f->setup[config].lab, of_program,
						     length)) {
		fuzz_program_free(&program);
		return cli_error(CLI_BADINPUT, "fuzz: out of memory");
	}
	fuzz_run(&program, &f->setup[config].lab, &limits, &result);
	f->done += result.done;
	f->accesses += result.accesses;
	f->faults += result.faults;
	f->accesses_l2 += result.accesses_l2;
	f->entries += result.entries;
	f->exits += result.exits;
	if (*result.skipped)
		status = cli_error(CLI_BADINPUT, "fuzz: %s: %s", program.config, result.skipped);
	else if (result.found)
		status = found(f, &program, config, &result);
	f->programs++;
	fuzz_program_free(&program);
	return status;
}

static enum cli_status fuzz(struct fuzzing *f)
{
	enum cli_status status = CLI_OK;

	while (status == CLI_OK) {
		const uint64_t ms = now_ms() - f->began;

		if ((f->steps && f->done >= f->steps) || (f->seconds && ms >= f->seconds * 1000))
			break;
		out_progress(&f->out, "fuzz", f->steps ? f->done : ms / 1000,
			     f->steps ? f->steps : f->seconds);
		status = one(f);
	}
	return status;
}

static void print_total(struct fuzzing *f, enum cli_status status)
{
	const double seconds = (double)(now_ms() - f->began) / 1000;

	out_progress_clear(&f->out);
	if (f->out.json) {
		out_json(&f->out,
			 json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:f, s:b}", "source", "fuzz",
				   "seed", out_count(f->seed), "programs", out_count(f->programs),
				   "steps", out_count(f->done), "accesses", out_count(f->accesses),
				   "faults", out_count(f->faults), "seconds", seconds, "clean",
				   status == CLI_OK));
		return;
	}
	printf("seed %" PRIu64 ": %" PRIu64 " programs, %" PRIu64 " steps, %" PRIu64
	       " accesses, %" PRIu64 " exits, %.1f s: %s%s%s\n",
	       f->seed, f->programs, f->done, f->accesses, f->faults, seconds,
	       out_style(&f->out, status == CLI_OK ? OUT_GREEN : OUT_RED),
	       status == CLI_OK ? "no finding" : "a finding", out_style(&f->out, OUT_PLAIN));
}

int cmd_fuzz(int argc, char **argv)
{
	struct fuzzing f = {.seed = 1, .length = 1000, .audit_every = 1, .began = now_ms()};
	struct args_option common_args[COMMON_OPTION_COUNT];
	const struct args_option own[] = {
		{.name = "seed",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "of all that is random (default 1)",
		 .number = &f.seed},
		{.name = "steps",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "end after N steps (default 100000)",
		 .number = &f.steps},
		{.name = "seconds",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "end after N seconds",
		 .number = &f.seconds},
		{.name = "first",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "number of the first program, as in a finding's name (default 0)",
		 .number = &f.first},
		{.name = "length",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "steps of one program (default 1000)",
		 .number = &f.length,
		 .min = 100,
		 .max = 1000000},
		{.name = "config",
		 .letter = 'c',
		 .kind = ARGS_CALL,
		 .metavar = "KEY=VALUE,...",
		 .help = "a configuration (default: twelve, mostly shadow paging)",
		 .call = add_config,
		 .context = &f},
		{.name = "audit",
		 .kind = ARGS_CALL,
		 .metavar = "every|end|N",
		 .help = "audit after every step (default), every N, or each program's end",
		 .call = take_audit,
		 .context = &f,
		 .single = true},
		{.name = "nested",
		 .kind = ARGS_FLAG,
		 .help = "all guests are hypervisors (default: every other one)",
		 .flag = &f.nested},
		{.name = "replay",
		 .kind = ARGS_TEXT,
		 .metavar = "FILE",
		 .help = "run the program in FILE; -v prints its steps",
		 .text = &f.replay},
		{.name = "save",
		 .kind = ARGS_TEXT,
		 .metavar = "DIR",
		 .help = "where a finding's program goes (default .)",
		 .text = &f.save},
	};
	struct args_spec spec = {
		.name = "fuzz",
		.synopsis = "",
		.summary = "Run random programs and judge each outcome by what a CPU may cache.",
		.details = setup_help,
		.groups = {{own, sizeof(own) / sizeof(own[0])}, {common_args, COMMON_OPTION_COUNT}},
	};
	enum cli_status status;
	char error[128];

	common_options(&f.common, common_args);
	if (!args_parse(&spec, argc, argv))
		return spec.status;
	if (!finding_folder(f.save, "fuzz"))
		return CLI_BADINPUT;
	if (!f.steps && !f.seconds)
		f.steps = 100000;
	for (unsigned i = 0; !f.replay && i < STANDARD && f.configs == i; i++)
		add_config(&f, standard[i], error, sizeof(error));
	out_init(&f.out, f.common.json, f.common.quiet);
	status = f.replay ? replay(&f) : fuzz(&f);
	if (status <= CLI_FINDING)
		print_total(&f, status);
	return out_finish(&f.out, status);
}
