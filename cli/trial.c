/* SPDX-License-Identifier: MIT */
/*
 * trial.c - makes a lab for a guest and a configuration, sweeps it, and keeps
 * what is worth printing.
 *
 * Each trial has memory of its own: a fresh built-in guest, or fresh private
 * views of the image. Time is that of the sweep on both machines, without
 * setting up and without the comparison of memory at the end... which is part
 * of the sweep, so it counts.
 */
#include "cli/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_SIZE 2048

struct watch {
	const struct trial *trial;
	struct trial_result *result;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_difference(void *context, const struct lab_difference *difference)
{
	struct trial_result *result = ((struct watch *)context)->result;
	char text[TEXT_SIZE];

	if (result->example_count == TRIAL_EXAMPLES)
		return;
	lab_difference_print(difference, text, sizeof(text));
	result->example[result->example_count] = strdup(text);
	if (result->example[result->example_count])
		result->example_count++;
}

static void on_progress(void *context, uint64_t done, uint64_t total)
{
	const struct trial *trial = ((struct watch *)context)->trial;

	if (trial->out)
		out_progress(trial->out, trial->what, done, total);
}

static struct lab_config config_of(const struct trial *trial)
{
	struct lab_config config = trial->setup->lab;

	config.caching = trial->caching;
	if (trial->caching == MODEL_HOSTILE)
		config.choices = trial->l1 ? l1_choices(trial->l1) : MODEL_SPECULATE;
	config.seed = trial->seed;
	config.audit = trial->audit;
	return config;
}

static void finish(struct lab *lab, struct trial_result *result)
{
	result->counts = *lab_counts(lab);
	umbra_vm_stats(lab_vm(lab), &result->stats);
}

static void run_builtin(const struct trial *trial, const struct builtin *builtin, struct l1 *l1,
			struct trial_result *result)
{
	struct watch watch = {trial, result};
	const struct sweep sweep = {
		.seed = trial->seed,
		.sample = trial->sample,
		.context = &watch,
		.progress = on_progress,
	};
	const struct lab_config config = config_of(trial);
	unsigned count;
	const struct lab_memory *memory =
		l1 ? l1_memory(l1, &count) : builtin_memory(builtin, &count);
	struct lab *lab = lab_new(&config, memory, count, result->skipped, sizeof(result->skipped));
	uint64_t began = now();

	if (!lab)
		return;
	lab_on_difference(lab, on_difference, &watch);
	if (l1)
		l1_run(lab, l1, trial->sample);
	else
		sweep_builtin(lab, builtin, &sweep);
	result->ns = now() - began;
	finish(lab, result);
	lab_free(lab);
}

struct builtin *trial_like(const struct setup *setup)
{
	const struct builtin_config high = {.cpu = setup->lab.cpu, .high = true};

	return builtin_new(&high);
}

void trial_builtin(const struct trial *trial, enum builtin_mode mode, struct trial_result *result)
{
	const struct builtin_config guest = {
		.mode = mode,
		.cpu = lab_guest_cpu(&trial->setup->lab),
		.high = trial->setup->high && (!trial->l1 || l1_kind_high(trial->l1->kind)),
		.like = trial->like,
	};
	struct builtin *builtin = builtin_new(&guest);
	struct l1 *l1 = NULL;

	memset(result, 0, sizeof(*result));
	if (builtin && trial->l1)
		l1 = l1_new(trial->l1, &trial->setup->lab, builtin);
	if (builtin && (l1 || !trial->l1))
		run_builtin(trial, builtin, l1, result);
	else
		snprintf(result->skipped, sizeof(result->skipped), "out of memory");
	l1_free(l1);
	builtin_free(builtin);
}

static bool reaches(const struct setup *setup, const struct lab_memory *memory, unsigned count)
{
	for (unsigned i = 0; i < count && !setup->high; i++) {
		if (memory[i].base.v + memory[i].size > 1ull << 32)
			return false;
	}
	return true;
}

bool trial_image(const struct trial *trial, const char *command, const struct guest *guest,
		 struct trial_result *result)
{
	struct watch watch = {trial, result};
	const struct sweep sweep = {
		.seed = trial->seed,
		.sample = trial->sample,
		.context = &watch,
		.progress = on_progress,
	};
	struct lab_config config = config_of(trial);
	char error[512];
	struct lab_image *image;
	const struct lab_memory *memory;
	struct lab *lab = NULL;
	unsigned count;
	bool refused = false;

	memset(result, 0, sizeof(*result));
	image = lab_image_new(guest->image, &guest->is.regs, error, sizeof(error));
	if (!image) {
		cli_error(CLI_BADINPUT, "%s: %s", command, error);
		return false;
	}
	memory = lab_image_memory(image, &count);
	if (!reaches(trial->setup, memory, count))
		snprintf(result->skipped, sizeof(result->skipped),
			 "the image has memory beyond 4 GiB, which NPT in PAE format cannot map");
	else
		lab = lab_new(&config, memory, count, result->skipped, sizeof(result->skipped));
	if (lab) {
		uint64_t began = now();

		lab_on_difference(lab, on_difference, &watch);
		lab_set_regs(lab, &guest->is.regs, true, &refused);
		if (!refused)
			result->pages = sweep_image(lab, &sweep);
		result->ns = now() - began;
		finish(lab, result);
	}
	if (refused)
		cli_error(CLI_BADINPUT,
			  "%s: %s: no CPU accepts its registers (cr0 0x%llx cr3 0x%llx cr4 0x%llx "
			  "efer 0x%llx); see --cr0 --cr3 --cr4 --efer",
			  command, image_path(guest->image), (unsigned long long)guest->is.regs.cr0,
			  (unsigned long long)guest->is.regs.cr3,
			  (unsigned long long)guest->is.regs.cr4,
			  (unsigned long long)guest->is.regs.efer);
	lab_free(lab);
	lab_image_free(image);
	return !refused;
}

void trial_result_free(struct trial_result *result)
{
	for (unsigned i = 0; i < result->example_count; i++)
		free(result->example[i]);
	result->example_count = 0;
}

/* ---- what to print ---- */

uint64_t trial_faults(const struct trial_result *result)
{
	uint64_t faults = 0;

	for (unsigned i = 0; i < UMBRA_EVENT_KINDS; i++)
		faults += result->counts.exits[i];
	/* An injected exception was an exit already. */
	return faults + result->counts.exceptions + result->counts.exits_to_l1 -
	       result->counts.verdicts[UMBRA_INJECT];
}

double trial_ns_per_access(const struct trial_result *result)
{
	return result->counts.accesses ? (double)result->ns / (double)result->counts.accesses : 0;
}

const char *trial_caching_name(enum model_caching caching)
{
	return caching == MODEL_HOSTILE ? "hostile" : "strict";
}

const char *trial_largest(const struct trial_result *result, char *to, size_t size)
{
	const struct umbra_stats *s = &result->stats;

	snprintf(to, size, "%s%s%s", s->pages_4k ? "4K" : "", s->pages_2m ? " 2M" : "",
		 s->pages_1g ? " 1G" : "");
	return to;
}

json_t *trial_json(const struct trial_result *r)
{
	const struct lab_counts *c = &r->counts;
	json_t *kinds = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "guest", out_count(c->exceptions),
		"to_l1", out_count(c->exits_to_l1), "page_fault",
		out_count(c->exits[UMBRA_EVENT_PF]), "npf", out_count(c->exits[UMBRA_EVENT_NPF]),
		"ept_violation", out_count(c->exits[UMBRA_EVENT_EPT_VIOLATION]), "ept_misconfig",
		out_count(c->exits[UMBRA_EVENT_EPT_MISCONFIG]), "mmio", out_count(c->mmio),
		"emulated_writes", out_count(c->verdicts[UMBRA_EMULATE]));
	json_t *examples = json_array();
	json_t *line = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o}", "accesses",
		out_count(c->accesses), "faults", out_count(trial_faults(r)), "faults_by_kind",
		kinds, "table_pages", out_count(c->tables), "metadata_bytes", out_count(c->bytes),
		"pages_4k", out_count(r->stats.pages_4k), "pages_2m", out_count(r->stats.pages_2m),
		"pages_1g", out_count(r->stats.pages_1g), "flushes", out_count(c->flushes),
		"ns_per_access", trial_ns_per_access(r), "differences", out_count(c->differences));

	for (unsigned i = 0; i < r->example_count; i++)
		json_array_append_new(examples, json_string(r->example[i]));
	if (r->example_count)
		json_object_set_new(line, "examples", examples);
	else
		json_decref(examples);
	return line;
}
