/* SPDX-License-Identifier: MIT */
/*
 * bench.c - `umbra bench [NAME...]`: time operations against a reference.
 *
 * NAME is a group of benchmarks; without one, those by default run. One line a
 * benchmark: nanoseconds, the reference's nanoseconds in the same run, the ratio.
 */
#include "bench/bench.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/cmd.h"
#include "cli/decode.h"
#include "cli/out.h"

#include <stdio.h>
#include <string.h>

struct group {
	const char *name;
	bool by_default;
	int (*run)(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);
};

static const struct group groups[] = {
	{"walk", true, bench_walk},     {"walk-stream", false, bench_walk_stream},
	{"tdp", true, bench_tdp},       {"prefault", true, bench_prefault},
	{"shadow", true, bench_shadow}, {"nested", true, bench_nested},
	{"slots", true, bench_slots},   {"mmio", true, bench_mmio},
	{"decode", true, decode_bench},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

/* Longest --time: a day of it says nothing more. */
#define MILLISECONDS_MAX 86400000u

static void emit(const struct bench_result *result, void *arg)
{
	struct out *out = arg;
	static double cycles;

	if (cycles == 0)
		cycles = bench_cycles();
	if (out->json) {
		out_json(out, json_pack("{s:s, s:f, s:f, s:f, s:f}", "bench", result->name, "ns",
					result->ns, "ref_ns", result->ref_ns, "ratio",
					result->ratio, "cycles", result->ns * cycles));
		fflush(stdout);
		return;
	}
	printf("%-24s %9.2f ns %8.0f cycles   reference %9.2f ns   ratio %5.2f\n", result->name,
	       result->ns, result->ns * cycles, result->ref_ns, result->ratio);
	fflush(stdout);
}

static bool chosen(const struct group *group, const struct args_spec *spec)
{
	for (unsigned i = 0; i < spec->rest_count; i++) {
		if (!strcmp(spec->rest[i], group->name))
			return true;
	}
	return spec->rest_count == 0 && group->by_default;
}

static enum cli_status check_names(const struct args_spec *spec)
{
	for (unsigned i = 0; i < spec->rest_count; i++) {
		bool known = false;

		for (unsigned g = 0; g < GROUPS; g++)
			known |= !strcmp(spec->rest[i], groups[g].name);
		if (!known)
			return cli_error(CLI_USAGE,
					 "bench: no benchmark '%s'; there are: walk, walk-stream, "
					 "tdp, prefault, shadow, nested, slots, mmio, decode",
					 spec->rest[i]);
	}
	return CLI_OK;
}

int cmd_bench(int argc, char **argv)
{
	struct common_options common = {0};
	struct args_option common_args[COMMON_OPTION_COUNT];
	uint64_t milliseconds = 3000;
	const struct args_option own[] = {
		{.name = "time",
		 .kind = ARGS_NUMBER,
		 .metavar = "MS",
		 .help = "milliseconds a group takes (3000)",
		 .number = &milliseconds,
		 .min = 1,
		 .max = MILLISECONDS_MAX},
	};
	struct args_spec spec = {
		.name = "bench",
		.synopsis = "[NAME...]",
		.summary = "Time operations against a reference in the same run.",
		.details =
			"NAME is walk, walk-stream (walks that do not wait for each other), tdp\n"
			"(first touch of a page), prefault (pages mapped in bulk, against\n"
			"touching each), shadow (first touch, INVLPG, MOV CR3, sync),\n"
			"nested (first touch, VMRUN and VM entry, INVEPT, of guests that are\n"
			"hypervisors), slots (looking up and changing up to 32,764 of them), mmio\n"
			"(accesses without memory, slot changes that use generations up) or\n"
			"decode (a line of umbra decode -);\n"
			"without one, all but walk-stream run. Each figure is the\n"
			"fastest of many samples, warm; ratio is its distance from the "
			"reference's.\nCycles are those of the time-stamp counter.",
		.groups = {{own, 1}, {common_args, COMMON_OPTION_COUNT}},
		.rest_many = true,
	};
	enum cli_status status;
	struct out out;

	common_options(&common, common_args);
	if (!args_parse(&spec, argc, argv))
		return spec.status;
	status = check_names(&spec);
	if (status != CLI_OK)
		return status;
	out_init(&out, common.json, common.quiet);
	for (unsigned g = 0; g < GROUPS && status == CLI_OK; g++) {
		int error;

		if (!chosen(&groups[g], &spec))
			continue;
		error = groups[g].run(emit, &out, (double)milliseconds / 1000);
		if (error)
			status = cli_error(CLI_BUG, "bench: %s: %s", groups[g].name,
					   strerror(error));
	}
	return out_finish(&out, status);
}
