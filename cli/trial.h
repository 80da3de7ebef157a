/* SPDX-License-Identifier: MIT */
/*
 * trial.h - one guest in one configuration, for `umbra run` and `umbra matrix`.
 */
#ifndef CLI_TRIAL_H
#define CLI_TRIAL_H

#include "cli/guest.h"
#include "cli/out.h"
#include "lab/l1.h"
#include "lab/sweep.h"

/** struct setup - a configuration: what --config says, and its name. */
struct setup {
	/** "EPT 4", "shadow intel" ... */
	char name[64];
	struct lab_config lab;
	/** Guest-physical addresses may lie beyond 4 GiB. */
	bool high;
};

/**
 * setup_parse - "vendor=amd,tdp=1,host=5,..." to a configuration. False: one
 * sentence in @error.
 */
bool setup_parse(const char *text, struct setup *setup, char *error, size_t error_size);
/** One line per key, for --help. */
extern const char setup_help[];

/** The standard configurations: EPT 4, EPT 5, NPT 4, NPT 5, NPT PAE, shadow. */
#define SETUP_STANDARD_COUNT 6
void setup_standard(struct setup setups[SETUP_STANDARD_COUNT]);

#define TRIAL_EXAMPLES 10

struct trial {
	const struct setup *setup;
	enum model_caching caching;
	uint64_t seed, sample;
	/** Audit after each fault, not only at the end. */
	bool audit;
	struct out *out;
	/** What the progress bar says. */
	const char *what;
	/** NULL, or what builtin_new() takes. */
	const struct builtin *like;
	/** NULL, or: that L1 runs the built-in guest. */
	const struct l1_config *l1;
};

/** trial_like - the guest whose memory others begin with; builtin_free() it. NULL: no memory,
 * which costs time only. */
struct builtin *trial_like(const struct setup *setup);

struct trial_result {
	/** Why it could not be; empty if it was. */
	char skipped[256];
	struct lab_counts counts;
	struct umbra_stats stats;
	uint64_t pages;
	uint64_t ns;
	/** The first differences. */
	unsigned example_count;
	char *example[TRIAL_EXAMPLES];
};

void trial_builtin(const struct trial *trial, enum builtin_mode mode, struct trial_result *result);
/** trial_image - false: bad input; a line has been printed, beginning with @command. */
bool trial_image(const struct trial *trial, const char *command, const struct guest *guest,
		 struct trial_result *result);
void trial_result_free(struct trial_result *result);

/** trial_faults - exits to Umbra and exceptions that the guest got. */
uint64_t trial_faults(const struct trial_result *result);
/** trial_ns_per_access */
double trial_ns_per_access(const struct trial_result *result);
/** trial_json - the result's fields; the caller adds source and config. */
json_t *trial_json(const struct trial_result *result);
/** trial_caching_name - "strict" or "hostile". */
const char *trial_caching_name(enum model_caching caching);
/** trial_largest - sizes of the mappings there are at the end: "4K 2M 1G". */
const char *trial_largest(const struct trial_result *result, char *to, size_t size);

#endif
