/* SPDX-License-Identifier: MIT */
/*
 * mutate.c - see mutate.h. What the programs do is in lab/fuzz_mutate.c, what is
 * right in lab/fuzz_judge.c (docs/FUZZING.md).
 *
 * Each configuration makes its own views of the image, which serve all of its
 * programs. Programs follow from the seed and their number, so that a run is the
 * same everywhere. The first finding ends the run.
 */
#include "cli/mutate.h"
#include "cli/finding.h"
#include "lab/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PROGRAM_STEPS 1000
#define SHRINK_RUNS 1000
/** Between two comparisons of all memory; the others look where something changed. */
#define DENSE_EVERY 16

/** What one configuration, or all of them, came to. */
struct tally {
	uint64_t programs, steps, accesses, faults, findings, ns;
};

struct mutating {
	const struct mutation *is;
	const char *path;
	struct out_table table;
	struct tally total;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double ns_per_access(const struct tally *t)
{
	return t->accesses ? (double)t->ns / (double)t->accesses : 0;
}

/* ---- what is printed ---- */

static json_t *tally_json(const struct mutating *m, const struct tally *t, const char *config)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "source", m->path,
			 "config", config, "seed", out_count(m->is->seed), "programs",
			 out_count(t->programs), "steps", out_count(t->steps), "accesses",
			 out_count(t->accesses), "faults", out_count(t->faults), "differences",
			 out_count(t->findings), "ns_per_access", ns_per_access(t));
}

static void print_row(struct mutating *m, const struct setup *setup, enum model_caching caching,
		      const struct tally *t)
{
	const char *guest = guest_mode_name(m->is->guest);

	m->total.programs += t->programs;
	m->total.steps += t->steps;
	m->total.accesses += t->accesses;
	m->total.faults += t->faults;
	m->total.findings += t->findings;
	m->total.ns += t->ns;
	if (m->is->out->json) {
		json_t *line = tally_json(m, t, setup->name);

		json_object_set_new(line, "guest", json_string(guest));
		json_object_set_new(line, "caching", json_string(trial_caching_name(caching)));
		out_json(m->is->out, line);
		return;
	}
	out_table_row(&m->table,
		      "%s|%s|%s|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%.1f|%" PRIu64,
		      setup->name, guest, trial_caching_name(caching), t->programs, t->steps,
		      t->accesses, t->faults, (double)t->ns / 1e9, t->findings);
}

static void print_total(struct mutating *m)
{
	const struct tally *t = &m->total;

	if (m->is->out->json) {
		out_json(m->is->out, tally_json(m, t, "total"));
		return;
	}
	out_progress_clear(m->is->out);
	out_table_print(&m->table);
	printf("%s: seed %" PRIu64 ", %" PRIu64 " steps, %" PRIu64 " accesses, %" PRIu64
	       " exits, %s%" PRIu64 " differences%s\n",
	       m->path, m->is->seed, t->steps, t->accesses, t->faults,
	       out_style(m->is->out, t->findings ? OUT_RED : OUT_GREEN), t->findings,
	       out_style(m->is->out, OUT_PLAIN));
}

/* ---- running ---- */

/* One configuration under way. */
struct series {
	struct mutating *m;
	const char *text;
	struct lab_config config;
	struct fuzz_image *image;
	struct fuzz_limits limits;
	struct tally tally;
};

static void count(struct tally *t, const struct fuzz_result *result)
{
	t->programs++;
	t->steps += result->done;
	t->accesses += result->accesses;
	t->faults += result->faults;
	t->findings += result->found;
}

static enum cli_status unfit(const struct series *s, const struct fuzz_result *result)
{
	const struct umbra_regs *regs = &s->m->is->guest->is.regs;

	if (*result->skipped)
		return cli_error(CLI_BADINPUT, "run: %s: %s", s->m->path, result->skipped);
	if (!result->refused)
		return CLI_OK;
	return cli_error(CLI_BADINPUT,
			 "run: %s: no CPU accepts its registers (cr0 0x%" PRIx64 " cr3 0x%" PRIx64
			 " cr4 0x%" PRIx64 " efer 0x%" PRIx64 "); see --cr0 --cr3 --cr4 --efer",
			 s->m->path, regs->cr0, regs->cr3, regs->cr4, regs->efer);
}

static enum cli_status found(struct series *s, struct fuzz_program *program, uint64_t number,
			     struct fuzz_result *result)
{
	char name[64], again[1024];
	const struct finding finding = {
		.out = s->m->is->out,
		.command = "run",
		.again = again,
		.folder = s->m->is->save,
		.name = name,
		.config = &s->config,
		.limits = s->limits,
		.runs = SHRINK_RUNS,
	};

	snprintf(name, sizeof(name), "mutate-%" PRIu64 "-%" PRIu64, s->m->is->seed, number);
	snprintf(again, sizeof(again), "umbra run %s --replay ", s->m->path);
	if (!s->m->is->out->json) {
		out_progress_clear(s->m->is->out);
		printf("seed %" PRIu64 ", step %" PRIu64 " (program %" PRIu64 "):\n",
		       s->m->is->seed, s->tally.steps, number);
	}
	return finding_report(&finding, program, result);
}

static enum cli_status one(struct series *s)
{
	const uint64_t number = s->tally.programs, left = s->m->is->steps - s->tally.steps;
	struct fuzz_program program = {.vcpus = 1};
	struct fuzz_result result;
	uint64_t seed = s->m->is->seed ^ number << 20;
	enum cli_status status;

	snprintf(program.config, sizeof(program.config), "%s", s->text);
	if (!fuzz_mutate(&program, s->image, random_next(&seed), PROGRAM_STEPS)) {
		fuzz_program_free(&program);
		return cli_error(CLI_BADINPUT, "run: %s: out of memory", s->m->path);
	}
	if (program.count > left)
		program.count = (unsigned)left;
	s->limits.sparse = number % DENSE_EVERY && left > program.count;
	fuzz_run(&program, &s->config, &s->limits, &result);
	count(&s->tally, &result);
	status = unfit(s, &result);
	if (status == CLI_OK && result.found)
		status = found(s, &program, number, &result);
	fuzz_program_free(&program);
	return status;
}

static bool open_series(struct series *s, const struct setup *setup, enum model_caching caching)
{
	const struct guest *guest = s->m->is->guest;
	char error[512];

	s->config = setup->lab;
	s->config.caching = caching;
	s->config.seed = s->m->is->seed;
	s->image = fuzz_image_new(guest->image, &guest->is.regs, &s->config, error, sizeof(error));
	s->limits = (struct fuzz_limits){.image = s->image, .audit_every = s->m->is->audit_every};
	if (!s->image)
		cli_error(CLI_BADINPUT, "run: %s", error);
	return s->image;
}

static enum cli_status series(struct mutating *m, unsigned index, enum model_caching caching)
{
	const struct setup *setup = &m->is->setup[index];
	struct series s = {.m = m, .text = m->is->text[index]};
	const uint64_t began = now();
	enum cli_status status = CLI_OK;

	if (!open_series(&s, setup, caching))
		return CLI_BADINPUT;
	while (status == CLI_OK && s.tally.steps < m->is->steps) {
		out_progress(m->is->out, setup->name, s.tally.steps, m->is->steps);
		status = one(&s);
	}
	fuzz_image_free(s.image);
	s.tally.ns = now() - began;
	if (status <= CLI_FINDING)
		print_row(m, setup, caching, &s.tally);
	return status;
}

static enum cli_status replay(struct mutating *m)
{
	const char *path = m->is->replay;
	struct series s = {.m = m};
	struct fuzz_program program;
	struct fuzz_result result;
	const struct finding finding = {.out = m->is->out, .command = "run"};
	const uint64_t began = now();
	struct setup setup;
	enum cli_status status;
	char error[256];

	if (!fuzz_read(&program, path, error, sizeof(error)))
		return cli_error(CLI_BADINPUT, "run: %s: %s", path, error);
	if (!setup_parse(program.config, &setup, error, sizeof(error))) {
		fuzz_program_free(&program);
		return cli_error(CLI_BADINPUT, "run: %s: config: %s", path, error);
	}
	if (!open_series(&s, &setup, MODEL_HOSTILE)) {
		fuzz_program_free(&program);
		return CLI_BADINPUT;
	}
	if (m->is->verbose) {
		s.limits.told = finding_tell_step;
		s.limits.context = m->is->out;
	}
	fuzz_run(&program, &s.config, &s.limits, &result);
	count(&s.tally, &result);
	status = *result.skipped ? unfit(&s, &result) : CLI_OK;
	if (status == CLI_OK && result.found) {
		finding_print(&finding, &program, &result, path);
		status = CLI_FINDING;
	}
	fuzz_program_free(&program);
	fuzz_image_free(s.image);
	s.tally.ns = now() - began;
	if (status <= CLI_FINDING)
		print_row(m, &setup, MODEL_HOSTILE, &s.tally);
	return status;
}

enum cli_status mutate_run(const struct mutation *mutation)
{
	struct mutating m = {.is = mutation, .path = image_path(mutation->guest->image)};
	enum cli_status status = CLI_OK;

	if (!mutation->out->json)
		out_table_init(&m.table, mutation->out,
			       "config|guest|caching|programs|steps|accesses|exits|seconds|"
			       "differences");
	if (mutation->replay)
		status = replay(&m);
	for (unsigned i = 0; !mutation->replay && i < mutation->setup_count; i++)
		for (unsigned caching = 0; caching < 2 && status == CLI_OK; caching++)
			if (mutation->cachings >> caching & 1)
				status = series(&m, i, caching);
	if (status <= CLI_FINDING)
		print_total(&m);
	else if (!mutation->out->json)
		out_table_free(&m.table);
	return status;
}
