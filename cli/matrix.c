/* SPDX-License-Identifier: MIT */
/*
 * matrix.c - `umbra matrix`: the built-in guest in every paging mode, under every
 * kind of table that Umbra can make, against the bare machine.
 *
 * A row is a configuration and a temperament of the CPU; a column is a mode of the
 * guest. Each cell is a lab of its own: a sample of all pages with all kinds of
 * access under each variation of WP, SMEP, SMAP, NXE, PKE, PKS and CET that the
 * mode has. Cells are independent, so they run on as many threads as wanted;
 * what a cell finds depends on its seed only.
 *
 * Invariants: workers share nothing but the number of the next cell; only the
 * first thread prints.
 */
#include "cli/cmd.h"
#include "cli/full.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 256
#define SAMPLE_QUICK 5000
#define SAMPLE_FULL 50000

/* Quick ones first; the others add what is rarer. */
static const char *const quick[] = {
	"vendor=intel,host=4", "vendor=intel,host=5", "vendor=amd,host=3", "vendor=amd,host=4",
	"vendor=amd,host=5",   "vendor=intel,tdp=0",  "vendor=amd,tdp=0",
};
#define QUICK_COUNT (sizeof(quick) / sizeof(quick[0]))

static const char *const more[] = {
	"vendor=intel,host=4,page=2m",       "vendor=intel,host=4,page=4k",
	"vendor=intel,host=4,mbec=1",        "vendor=intel,host=5,mbec=1,page=4k",
	"vendor=intel,host=4,ad=0",          "vendor=intel,host=5,ad=0",
	"vendor=intel,host=4,layout=004",    "vendor=intel,host=4,layout=6.12",
	"vendor=intel,host=4,skew=1",        "vendor=intel,host=5,maxphyaddr=52",
	"vendor=intel,host=4,maxphyaddr=52", "vendor=intel,host=4,maxphyaddr=36",
	"vendor=amd,host=3,page=4k",         "vendor=amd,host=3,gmet=1",
	"vendor=amd,host=4,page=2m",         "vendor=amd,host=4,page=4k",
	"vendor=amd,host=4,gmet=1",          "vendor=amd,host=5,gmet=1,page=4k",
	"vendor=amd,host=4,layout=004",      "vendor=amd,host=4,layout=6.12",
	"vendor=amd,host=4,skew=1",          "vendor=amd,host=5,maxphyaddr=52",
	"vendor=amd,host=4,maxphyaddr=52",   "vendor=amd,host=4,maxphyaddr=36",
	"vendor=intel,tdp=0,page=2m",        "vendor=intel,tdp=0,page=4k",
	"vendor=intel,tdp=0,layout=004",     "vendor=intel,tdp=0,layout=6.12",
	"vendor=intel,tdp=0,skew=1",         "vendor=intel,tdp=0,limit=64",
	"vendor=amd,tdp=0,page=4k",          "vendor=amd,tdp=0,maxphyaddr=52",
	"vendor=amd,tdp=0,maxphyaddr=36",
};
#define MORE_COUNT (sizeof(more) / sizeof(more[0]))
#define ROWS_MAX (2 * (QUICK_COUNT + MORE_COUNT))

struct row {
	struct setup setup;
	enum model_caching caching;
	struct trial_result cell[BUILTIN_MODES];
};

struct matrix {
	struct out out;
	struct row row[ROWS_MAX];
	unsigned rows;
	uint64_t sample, seed;
	struct builtin *like;
	atomic_uint next, done;
};

static void *work(void *context)
{
	struct matrix *m = context;
	const unsigned cells = m->rows * BUILTIN_MODES;

	for (;;) {
		unsigned cell = atomic_fetch_add(&m->next, 1);
		struct row *row;
		struct trial trial;

		if (cell >= cells)
			return NULL;
		row = &m->row[cell / BUILTIN_MODES];
		trial = (struct trial){
			.setup = &row->setup,
			.caching = row->caching,
			.seed = m->seed + cell,
			.sample = m->sample,
			.like = m->like,
		};
		trial_builtin(&trial, cell % BUILTIN_MODES, &row->cell[cell % BUILTIN_MODES]);
		atomic_fetch_add(&m->done, 1);
	}
}

static void run(struct matrix *m, unsigned jobs)
{
	const unsigned cells = m->rows * BUILTIN_MODES;
	const struct timespec pause = {.tv_nsec = 20000000};
	pthread_t thread[JOBS_MAX];
	unsigned started = 0;

	m->like = trial_like(&m->row[0].setup);
	while (started < jobs && !pthread_create(&thread[started], NULL, work, m))
		started++;
	if (!started)
		work(m);
	for (unsigned done = 0; done < cells;) {
		done = atomic_load(&m->done);
		out_progress(&m->out, "cells", done, cells);
		if (done < cells)
			nanosleep(&pause, NULL);
	}
	while (started)
		pthread_join(thread[--started], NULL);
	builtin_free(m->like);
	out_progress_clear(&m->out);
}

static void add_rows(struct matrix *m, const char *const *texts, unsigned count)
{
	char error[128];

	for (unsigned i = 0; i < count; i++) {
		for (unsigned caching = 0; caching < 2; caching++) {
			struct row *row = &m->row[m->rows++];

			setup_parse(texts[i], &row->setup, error, sizeof(error));
			row->caching = caching;
		}
	}
}

static const char *cell_text(const struct trial_result *cell, char *to, size_t size)
{
	if (*cell->skipped)
		return "skipped";
	if (!cell->counts.differences)
		return "ok";
	snprintf(to, size, "%" PRIu64, cell->counts.differences);
	return to;
}

static void print_table(struct matrix *m)
{
	struct out_table table;

	out_table_init(&table, &m->out, "tables|caching|unpaged|32|32pse|pae|4|5|accesses|exits");
	for (unsigned i = 0; i < m->rows; i++) {
		struct row *row = &m->row[i];
		uint64_t accesses = 0, exits = 0;
		char text[BUILTIN_MODES][24];
		const char *cell[BUILTIN_MODES];

		for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
			const struct trial_result *r = &row->cell[mode];

			accesses += r->counts.accesses;
			for (unsigned kind = 0; kind < UMBRA_EVENT_KINDS; kind++)
				exits += r->counts.exits[kind];
			cell[mode] = cell_text(r, text[mode], sizeof(text[mode]));
		}
		out_table_row(&table, "%s|%s|%s|%s|%s|%s|%s|%s|%" PRIu64 "|%" PRIu64,
			      row->setup.name, trial_caching_name(row->caching), cell[0], cell[1],
			      cell[2], cell[3], cell[4], cell[5], accesses, exits);
	}
	out_table_print(&table);
}

static void print_examples(const struct matrix *m)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < m->rows; i++) {
		for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
			const struct trial_result *r = &m->row[i].cell[mode];

			if (*r->skipped)
				printf("skipped: %s, guest %s: %s\n", m->row[i].setup.name,
				       builtin_mode_name(mode), r->skipped);
			if (!r->example_count || shown == TRIAL_EXAMPLES)
				continue;
			printf("difference: %s, %s, guest %s: %s\n", m->row[i].setup.name,
			       trial_caching_name(m->row[i].caching), builtin_mode_name(mode),
			       r->example[0]);
			shown++;
		}
	}
}

static void print_json(struct matrix *m)
{
	for (unsigned i = 0; i < m->rows; i++) {
		for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
			const struct trial_result *r = &m->row[i].cell[mode];
			json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "source", "built-in guest",
						 "config", m->row[i].setup.name, "guest",
						 builtin_mode_name(mode), "caching",
						 trial_caching_name(m->row[i].caching));

			if (*r->skipped)
				json_object_set_new(line, "skipped", json_string(r->skipped));
			else
				json_object_update_new(line, trial_json(r));
			out_json(&m->out, line);
		}
	}
}

/* Prints the last line; returns the number of differences. */
static uint64_t total(struct matrix *m)
{
	uint64_t accesses = 0, faults = 0, differences = 0, ns = 0, skipped = 0, cells = 0;

	for (unsigned i = 0; i < m->rows; i++) {
		for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
			struct trial_result *r = &m->row[i].cell[mode];

			cells++;
			skipped += *r->skipped != 0;
			accesses += r->counts.accesses;
			faults += trial_faults(r);
			differences += r->counts.differences;
			ns += r->ns;
			trial_result_free(r);
		}
	}
	if (m->out.json) {
		out_json(&m->out,
			 json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:f}", "source",
				   "built-in guest", "config", "total", "cells", out_count(cells),
				   "skipped", out_count(skipped), "accesses", out_count(accesses),
				   "faults", out_count(faults), "differences",
				   out_count(differences), "ns_per_access",
				   accesses ? (double)ns / (double)accesses : 0.0));
		return differences;
	}
	printf("%" PRIu64 " combinations, %" PRIu64 " accesses, %" PRIu64 " faults, %s%" PRIu64
	       " differences%s",
	       cells, accesses, faults, out_style(&m->out, differences ? OUT_RED : OUT_GREEN),
	       differences, out_style(&m->out, OUT_PLAIN));
	if (skipped)
		printf(", %" PRIu64 " skipped", skipped);
	printf("\n");
	return differences;
}

/* "2/8" */
static bool parse_shard(void *context, const char *text, char *error, size_t error_size)
{
	struct full_options *full = context;
	const char *slash = strchr(text, '/');
	char part[24] = "";

	if (slash && (size_t)(slash - text) < sizeof(part))
		memcpy(part, text, (size_t)(slash - text));
	if (slash && args_number(part, &full->shard, error, error_size) &&
	    args_number(slash + 1, &full->shards, error, error_size) && full->shard >= 1 &&
	    full->shard <= full->shards)
		return true;
	snprintf(error, error_size, "'%s' is not I/N with I in 1..N", text);
	return false;
}

static unsigned default_jobs(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus > JOBS_MAX ? JOBS_MAX : (unsigned)cpus;
}

int cmd_matrix(int argc, char **argv)
{
	struct common_options common = {0};
	struct args_option common_args[COMMON_OPTION_COUNT];
	bool is_quick = false, is_full = false, is_merge = false, sample_given = false;
	bool shard_given = false;
	uint64_t jobs = default_jobs(), sample = 0, seed = 1, differences;
	struct full_options full = {.shard = 1, .shards = 1};
	const struct args_option own[] = {
		{.name = "quick",
		 .kind = ARGS_FLAG,
		 .help = "the seven standard tables only, fewer accesses",
		 .flag = &is_quick},
		{.name = "full",
		 .kind = ARGS_FLAG,
		 .help = "guests of guests and every variation too: all combinations",
		 .flag = &is_full},
		{.name = "shard",
		 .kind = ARGS_CALL,
		 .metavar = "I/N",
		 .help = "with --full: part I of N of the combinations",
		 .call = parse_shard,
		 .context = &full,
		 .single = true,
		 .given = &shard_given},
		{.name = "merge",
		 .kind = ARGS_FLAG,
		 .help = "add up what shards printed with --full --json to each FILE",
		 .flag = &is_merge},
		{.name = "jobs",
		 .letter = 'j',
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "threads, with --full processes (default: one per CPU)",
		 .min = 1,
		 .max = JOBS_MAX,
		 .number = &jobs},
		{.name = "sample",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "accesses per combination; 0: all there are",
		 .number = &sample,
		 .given = &sample_given},
		{.name = "seed",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "of what is random (default 1)",
		 .number = &seed},
	};
	struct args_spec spec = {
		.name = "matrix",
		.synopsis = "[--merge FILE...]",
		.rest_many = true,
		.summary = "Every guest mode under every kind of table, against the bare machine.",
		.details = "A cell says ok, or how many accesses came out differently. Exit 1 if "
			   "any did.",
		.groups = {{own, sizeof(own) / sizeof(own[0])}, {common_args, COMMON_OPTION_COUNT}},
	};
	struct matrix *m;

	common_options(&common, common_args);
	if (!args_parse(&spec, argc, argv))
		return spec.status;
	if (spec.rest_count && !is_merge)
		return cli_error(CLI_USAGE,
				 "matrix: unexpected argument '%s', expected only options",
				 spec.rest[0]);
	if (is_quick + is_full + is_merge > 1)
		return cli_error(CLI_USAGE, "matrix: expected one of --quick, --full and --merge");
	if (shard_given && !is_full)
		return cli_error(CLI_USAGE, "matrix: --shard needs --full");
	if (is_merge && !spec.rest_count)
		return cli_error(CLI_USAGE, "matrix: --merge: expected FILE...");
	if (is_full || is_merge) {
		struct out out;

		full.jobs = jobs;
		full.seed = seed;
		full.sample = sample;
		out_init(&out, common.json, common.quiet);
		return is_full ? full_run(&out, &full)
			       : full_merge(&out, spec.rest, spec.rest_count);
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return cli_error(CLI_BADINPUT, "matrix: out of memory");
	out_init(&m->out, common.json, common.quiet);
	m->seed = seed;
	m->sample = sample_given ? sample : is_quick ? SAMPLE_QUICK : SAMPLE_FULL;
	add_rows(m, quick, QUICK_COUNT);
	if (!is_quick)
		add_rows(m, more, MORE_COUNT);
	run(m, (unsigned)jobs);
	if (m->out.json) {
		print_json(m);
	} else {
		print_table(m);
		print_examples(m);
	}
	differences = total(m);

	enum cli_status status = out_finish(&m->out, differences ? CLI_FINDING : CLI_OK);

	free(m);
	return status;
}
