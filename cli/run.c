/* SPDX-License-Identifier: MIT */
/*
 * run.c - `umbra run [IMAGE]`: a guest's accesses on Umbra's tables and on the
 * bare machine, compared.
 *
 * Without an image: the built-in guest in all its modes. A configuration is one
 * --config; without any, the standard six. Each gives one line (for the built-in
 * guest one per mode), and the last line has the totals.
 *
 * Scenarios (*.lua, or a directory of them) go to cli/scenario.c, programs (*.syz) to
 * cli/replay.c, edits of an image's tables (--mutate) to cli/mutate.c, a log of umbra-hv
 * (--replay without an image) to cli/retrace.c.
 *
 * The work is in cli/trial.c and lab/; this file parses, loops and prints.
 */
#include "cli/cmd.h"
#include "cli/finding.h"
#include "cli/mutate.h"
#include "cli/replay.h"
#include "cli/retrace.h"
#include "cli/scenario.h"
#include "cli/trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SETUPS_MAX 64
#define BUILTIN_SAMPLE 20000

static const struct args_symbol cachings[] = {
	{"strict", 1u << MODEL_STRICT},
	{"hostile", 1u << MODEL_HOSTILE},
	{"both", 1u << MODEL_STRICT | 1u << MODEL_HOSTILE},
	{NULL, 0},
};

/* Where --mutate goes without --config. */
#define MUTATE_CONFIG "vendor=intel,tdp=0"

struct running {
	struct out out;
	struct common_options common;
	struct regs_options regs;
	struct setup setup[SETUPS_MAX];
	const char *text[SETUPS_MAX];
	unsigned setup_count;
	uint64_t caching, sample, seed, audit, mutate;
	bool sample_given, caching_given, audit_given, mutate_given;
	const char *replay, *save;
	const char *source;
	struct out_table table;
	/** Totals. */
	struct builtin *like;
	uint64_t trials, skipped, accesses, faults, differences, ns, shown;
};

static bool add_setup(void *context, const char *text, char *error, size_t error_size)
{
	struct running *r = context;

	if (r->setup_count == SETUPS_MAX) {
		snprintf(error, error_size, "more than %u configurations", SETUPS_MAX);
		return false;
	}
	r->text[r->setup_count] = text;
	return setup_parse(text, &r->setup[r->setup_count++], error, error_size);
}

static bool take_audit(void *context, const char *text, char *error, size_t error_size)
{
	static const struct args_symbol words[] = {{"end", 0}, {"every", 1}, {NULL, 0}};
	struct running *r = context;

	if (args_number(text, &r->audit, error, error_size))
		return args_range(text, r->audit, 1, UINT32_MAX, error, error_size);
	return args_choice(text, words, &r->audit, error, error_size);
}

static void print_differences(struct running *r, const struct trial_result *result)
{
	for (unsigned i = 0; i < result->example_count && r->shown < TRIAL_EXAMPLES; i++) {
		out_progress_clear(&r->out);
		printf("%sdifference%s: %s\n", out_style(&r->out, OUT_RED),
		       out_style(&r->out, OUT_PLAIN), result->example[i]);
		r->shown++;
	}
}

static void print_row(struct running *r, const struct trial *trial, const char *guest,
		      const struct trial_result *result)
{
	const struct lab_counts *c = &result->counts;
	char sizes[16];

	out_table_row(&r->table,
		      "%s|%s|%s|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64
		      "|%" PRIu64 "|%" PRIu64 "|%s|%.0f|%" PRIu64,
		      trial->setup->name, guest, trial_caching_name(trial->caching), c->accesses,
		      c->exceptions, c->mmio,
		      trial_faults(result) - c->exceptions + c->verdicts[UMBRA_INJECT],
		      c->verdicts[UMBRA_EMULATE], c->tables,
		      (c->tables * UMBRA_PAGE_SIZE + c->bytes) >> 10,
		      trial_largest(result, sizes, sizeof(sizes)), trial_ns_per_access(result),
		      c->differences);
}

/* -v: what Umbra answered, and what it asked for. */
static void print_more(const struct trial *trial, const char *guest,
		       const struct trial_result *result)
{
	const struct lab_counts *c = &result->counts;
	const struct umbra_stats *s = &result->stats;

	printf("%s, guest %s:", trial->setup->name, guest);
	for (unsigned i = 0; i < UMBRA_VERDICT_COUNT; i++)
		printf(" %s %" PRIu64 ",", umbra_strverdict(i), c->verdicts[i]);
	printf(" entries %" PRIu64 ", flushes %" PRIu64 ", most faults of an access %" PRIu64
	       ", mappings now 4K %" PRIu64 " 2M %" PRIu64 " 1G %" PRIu64 ", zapped %" PRIu64
	       ", recycled %" PRIu64 "\n",
	       c->entries, c->flushes, c->rounds_max, s->pages_4k, s->pages_2m, s->pages_1g,
	       s->mmu_shadow_zapped, s->mmu_recycled);
}

static void report(struct running *r, const struct trial *trial, const char *guest,
		   struct trial_result *result)
{
	r->trials++;
	if (*result->skipped) {
		r->skipped++;
		if (r->out.json)
			out_json(&r->out,
				 json_pack("{s:s, s:s, s:s, s:s, s:s}", "source", r->source,
					   "config", trial->setup->name, "guest", guest, "caching",
					   trial_caching_name(trial->caching), "skipped",
					   result->skipped));
		else
			out_table_row(&r->table, "%s|%s|%s|skipped: %s", trial->setup->name, guest,
				      trial_caching_name(trial->caching), result->skipped);
		return;
	}
	r->accesses += result->counts.accesses;
	r->faults += trial_faults(result);
	r->differences += result->counts.differences;
	r->ns += result->ns;
	if (r->out.json) {
		json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "source", r->source, "config",
					 trial->setup->name, "guest", guest, "caching",
					 trial_caching_name(trial->caching));

		json_object_update_new(line, trial_json(result));
		if (result->pages)
			json_object_set_new(line, "pages", out_count(result->pages));
		out_json(&r->out, line);
	} else {
		print_row(r, trial, guest, result);
		if (r->common.verbose) {
			out_progress_clear(&r->out);
			print_more(trial, guest, result);
		}
		print_differences(r, result);
	}
	trial_result_free(result);
}

static enum cli_status trials(struct running *r, const struct guest *guest, unsigned index,
			      enum model_caching caching)
{
	const struct setup *setup = &r->setup[index];
	struct trial trial = {
		.setup = setup,
		.caching = caching,
		.seed = r->seed,
		.sample = r->sample,
		.audit = r->audit,
		.out = &r->out,
		.like = r->like,
	};
	struct trial_result result;
	char what[96];

	trial.what = what;
	if (guest) {
		snprintf(what, sizeof(what), "%s", setup->name);
		if (!trial_image(&trial, "run", guest, &result))
			return CLI_BADINPUT;
		report(r, &trial, guest_mode_name(guest), &result);
		return CLI_OK;
	}
	for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
		snprintf(what, sizeof(what), "%s, guest %s", setup->name, builtin_mode_name(mode));
		trial_builtin(&trial, mode, &result);
		report(r, &trial, builtin_mode_name(mode), &result);
	}
	return CLI_OK;
}

static void print_total(struct running *r)
{
	double ns = r->accesses ? (double)r->ns / (double)r->accesses : 0;

	if (r->out.json) {
		out_json(&r->out,
			 json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:f}", "source", r->source,
				   "config", "total", "trials", out_count(r->trials), "skipped",
				   out_count(r->skipped), "accesses", out_count(r->accesses),
				   "faults", out_count(r->faults), "differences",
				   out_count(r->differences), "ns_per_access", ns));
		return;
	}
	out_progress_clear(&r->out);
	out_table_print(&r->table);
	printf("%s: %" PRIu64 " accesses, %" PRIu64 " faults, %s%" PRIu64 " differences%s",
	       r->source, r->accesses, r->faults,
	       out_style(&r->out, r->differences ? OUT_RED : OUT_GREEN), r->differences,
	       out_style(&r->out, OUT_PLAIN));
	if (r->differences > r->shown)
		printf(" (%" PRIu64 " shown)", r->shown);
	if (r->skipped)
		printf(", %" PRIu64 " skipped", r->skipped);
	printf("\n");
}

static enum cli_status run_all(struct running *r, const struct guest *guest)
{
	enum cli_status status = CLI_OK;

	if (!r->out.json)
		out_table_init(&r->table, &r->out,
			       "config|guest|caching|accesses|#PF|MMIO|exits|emulated|tables|KiB|"
			       "sizes|ns|differences");
	if (!guest)
		r->like = trial_like(&r->setup[0]);
	for (unsigned i = 0; i < r->setup_count && status == CLI_OK; i++) {
		for (unsigned caching = 0; caching < 2 && status == CLI_OK; caching++) {
			if (r->caching >> caching & 1)
				status = trials(r, guest, i, caching);
		}
	}
	builtin_free(r->like);
	if (status == CLI_OK)
		print_total(r);
	else
		out_table_free(&r->table);
	if (status == CLI_OK && r->differences)
		status = CLI_FINDING;
	return status;
}

/* --mutate and --replay: what else was said must fit. */
static const char *misfit(const struct running *r, const struct args_spec *spec)
{
	if (r->replay && r->mutate_given)
		return "expected --mutate or --replay, not both";
	if (r->save && !r->mutate_given)
		return "--save needs --mutate";
	if (replays_are(spec->rest, spec->rest_count) &&
	    (r->caching_given || r->audit_given || r->sample_given))
		return "--caching, --audit and --sample do not go with a program";
	if (r->replay && !spec->rest_count)
		return r->setup_count || r->caching_given || r->audit_given || r->sample_given
			       ? "--config, --caching, --audit and --sample do not go with a log"
			       : NULL;
	if (!r->replay && !r->mutate_given)
		return r->audit > 1 ? "--audit N needs --mutate, expected end or every" : NULL;
	if (!spec->rest_count || scenarios_are(spec->rest, spec->rest_count) ||
	    replays_are(spec->rest, spec->rest_count))
		return r->replay ? "--replay needs an image" : "--mutate needs an image";
	if (r->sample_given)
		return "expected --mutate or --sample, not both";
	return NULL;
}

static enum cli_status mutate(struct running *r, const struct guest *guest)
{
	const struct mutation mutation = {
		.out = &r->out,
		.verbose = r->common.verbose,
		.guest = guest,
		.text = r->text,
		.setup = r->setup,
		.setup_count = r->setup_count,
		.cachings = r->caching_given ? (unsigned)r->caching : 1u << MODEL_HOSTILE,
		.steps = r->mutate,
		.seed = r->seed,
		.audit_every = r->audit_given ? (unsigned)r->audit : 1,
		.replay = r->replay,
		.save = r->save,
	};

	return mutate_run(&mutation);
}

static int run_scenarios(struct running *r, const struct args_spec *spec)
{
	const enum model_caching caching =
		r->caching & 1u << MODEL_HOSTILE ? MODEL_HOSTILE : MODEL_STRICT;
	const struct scenarios scenarios = {
		.out = &r->out,
		.verbose = r->common.verbose,
		.paths = spec->rest,
		.path_count = spec->rest_count,
		.setup = r->setup,
		.setup_count = r->setup_count,
		.caching = r->caching_given ? &caching : NULL,
	};

	return out_finish(&r->out, scenarios_run(&scenarios));
}

static int run_programs(struct running *r, const struct args_spec *spec)
{
	const struct replays replays = {
		.out = &r->out,
		.verbose = r->common.verbose,
		.paths = spec->rest,
		.path_count = spec->rest_count,
		.setup = r->setup,
		.setup_count = r->setup_count ? r->setup_count : 1,
	};

	/* Without --config: the first of the standard ones. */
	if (!r->setup_count)
		setup_standard(r->setup);
	return out_finish(&r->out, replays_run(&replays));
}

int cmd_run(int argc, char **argv)
{
	struct running r = {
		.regs = REGS_OPTIONS_DEFAULT,
		.caching = 1u << MODEL_STRICT,
		.seed = 1,
	};
	struct args_option common_args[COMMON_OPTION_COUNT], regs_args[REGS_OPTION_COUNT];
	const struct args_option own[] = {
		{.name = "config",
		 .letter = 'c',
		 .kind = ARGS_CALL,
		 .metavar = "KEY=VALUE,...",
		 .help = "a configuration (default: the standard six)",
		 .call = add_setup,
		 .context = &r},
		{.name = "caching",
		 .kind = ARGS_CHOICE,
		 .metavar = "KIND",
		 .help = "of the machine model: strict, hostile or both (default strict)",
		 .symbols = cachings,
		 .number = &r.caching,
		 .given = &r.caching_given},
		{.name = "audit",
		 .kind = ARGS_CALL,
		 .metavar = "end|every|N",
		 .help = "check invariants at the end (default), after each fault, or N steps",
		 .call = take_audit,
		 .context = &r,
		 .single = true,
		 .given = &r.audit_given},
		{.name = "mutate",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "N random steps that edit the image's own page tables",
		 .min = 1,
		 .number = &r.mutate,
		 .given = &r.mutate_given},
		{.name = "replay",
		 .kind = ARGS_TEXT,
		 .metavar = "FILE",
		 .help = "run what --mutate found on the image (-v prints its steps); without an "
			 "image, check umbra-hv's log",
		 .text = &r.replay},
		{.name = "save",
		 .kind = ARGS_TEXT,
		 .metavar = "DIR",
		 .help = "where a finding of --mutate goes (default .)",
		 .text = &r.save},
		{.name = "sample",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "N random pages of the image, or accesses of each built-in guest; 0: all",
		 .number = &r.sample,
		 .given = &r.sample_given},
		{.name = "seed",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "of what is random (default 1)",
		 .number = &r.seed},
	};
	struct args_spec spec = {
		.name = "run",
		.synopsis = "[IMAGE | SCENARIO.lua... | DIRECTORY | PROGRAM.syz...]",
		.summary =
			"Put a guest's accesses through the MMU and compare with the bare machine.",
		.details = setup_help,
		.groups = {{own, sizeof(own) / sizeof(own[0])},
			   {regs_args, REGS_OPTION_COUNT},
			   {common_args, COMMON_OPTION_COUNT}},
		.rest_many = true,
	};
	struct guest guest;
	enum cli_status status;
	const char *wrong;
	char error[128];

	regs_options(&r.regs, regs_args);
	common_options(&r.common, common_args);
	if (!args_parse(&spec, argc, argv))
		return spec.status;
	out_init(&r.out, r.common.json, r.common.quiet);
	wrong = misfit(&r, &spec);
	if (wrong)
		return cli_error(CLI_USAGE, "run: %s", wrong);
	if (!finding_folder(r.save, "run"))
		return CLI_BADINPUT;
	if (r.replay && !spec.rest_count)
		return out_finish(&r.out, retrace_run(&r.out, r.replay));
	if (scenarios_are(spec.rest, spec.rest_count))
		return run_scenarios(&r, &spec);
	if (replays_are(spec.rest, spec.rest_count))
		return run_programs(&r, &spec);
	if (spec.rest_count > 1)
		return cli_error(CLI_USAGE, "run: unexpected argument '%s', expected one image",
				 spec.rest[1]);
	if (!r.setup_count && r.mutate_given)
		add_setup(&r, MUTATE_CONFIG, error, sizeof(error));
	if (!r.setup_count) {
		setup_standard(r.setup);
		r.setup_count = SETUP_STANDARD_COUNT;
	}
	if (!spec.rest_count) {
		r.source = "built-in guest";
		if (!r.sample_given)
			r.sample = BUILTIN_SAMPLE;
		return out_finish(&r.out, run_all(&r, NULL));
	}
	r.source = spec.rest[0];
	status = guest_open(&guest, "run", spec.rest[0], &r.regs);
	if (status != CLI_OK)
		return status;
	status = r.mutate_given || r.replay ? mutate(&r, &guest) : run_all(&r, &guest);
	guest_close(&guest);
	return out_finish(&r.out, status);
}
