/* SPDX-License-Identifier: MIT */
/*
 * main.c - `umbra SUBCOMMAND ...`: finds the subcommand and hands over.
 */
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/cmd.h"
#include "cli/out.h"

#include <stdio.h>
#include <string.h>

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

/* In the order of --help. CLI_HAVE_* come from cli/meson.build. */
static const struct command commands[] = {
#ifdef CLI_HAVE_RUN
	{"run", cmd_run, "put a guest through the MMU and compare it with the bare machine"},
#endif
#ifdef CLI_HAVE_MATRIX
	{"matrix", cmd_matrix, "every guest mode x host mode x vendor against the model"},
#endif
#ifdef CLI_HAVE_WALK
	{"walk", cmd_walk, "every step of an address translation in a memory image"},
#endif
#ifdef CLI_HAVE_MAP
	{"map", cmd_map, "what a memory image maps, as merged ranges with permissions"},
#endif
#ifdef CLI_HAVE_DECODE
	{"decode", cmd_decode, "name and explain every bit of an entry, register or code"},
#endif
#ifdef CLI_HAVE_FUZZ
	{"fuzz", cmd_fuzz, "random programs against what a CPU may cache, with the auditor"},
#endif
#ifdef CLI_HAVE_BENCH
	{"bench", cmd_bench, "benchmarks, as ratios to a reference in the same run"},
#endif
	{NULL, NULL, NULL},
};

static void help(void)
{
	printf("Usage: umbra SUBCOMMAND [OPTION...] [ARGUMENT...]\n\n"
	       "The x86 hypervisor MMU as a library; this is its workbench.\n\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-10s %s\n", c->name, c->summary);
	printf("\n"
	       "  umbra SUBCOMMAND --help    options of a subcommand\n"
	       "  umbra --version [--json]   version\n\n"
	       "Numbers are decimal, 0x hexadecimal, or symbols where named (cr4=pae,pge,smep).\n"
	       "Exit status: 0 fine, 1 a finding, 2 usage, 3 bad input, 4 bug in Umbra.\n");
}

static enum cli_status version(int argc, char **argv)
{
	bool json = false;
	const struct args_option options[] = {
		{.name = "json",
		 .kind = ARGS_FLAG,
		 .help = "JSON Lines instead of text",
		 .flag = &json},
	};
	struct args_spec spec = {
		.name = "--version",
		.synopsis = "",
		.summary = "Print the version.",
		.groups = {{options, 1}},
	};
	struct out out;

	if (!args_parse(&spec, argc, argv))
		return spec.status;
	out_init(&out, json, true);
	if (json)
		out_json(&out, json_pack("{s:s, s:s, s:s}", "program", "umbra", "version",
					 UMBRA_VERSION, "compiler", __VERSION__));
	else
		puts("umbra " UMBRA_VERSION);
	return out_finish(&out, CLI_OK);
}

static enum cli_status unknown(const char *name)
{
	const char *names[sizeof(commands) / sizeof(commands[0])] = {NULL};
	unsigned count = 0;

	for (const struct command *c = commands; c->name; c++)
		names[count++] = c->name;

	const char *similar = args_similar(name, names, count);

	return cli_error(CLI_USAGE, "unknown %s '%.60s'%s%s%s, see umbra --help",
			 name[0] == '-' ? "option" : "subcommand", name,
			 similar ? ", did you mean '" : "", similar ? similar : "",
			 similar ? "'" : "");
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return cli_error(CLI_USAGE, "expected a subcommand, see umbra --help");

	const char *name = argv[1];

	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		help();
		return out_flush(CLI_OK);
	}
	if (!strcmp(name, "--version"))
		return version(argc - 1, argv + 1);
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(name, c->name))
			return c->run(argc - 1, argv + 1);
	}
	return unknown(name);
}
