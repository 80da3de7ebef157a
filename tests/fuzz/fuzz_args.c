/* SPDX-License-Identifier: MIT */
/*
 * fuzz_args.c - libFuzzer target: every parser of a command line value, and then
 * args_parse() on the same bytes split at newlines.
 *
 * A refusal must come with a sentence, and must leave the value alone.
 */
#include "cli/args.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 512
#define ARGC_MAX 16

static const struct args_symbol symbols[] = {
	{"pse", 1u << 4},
	{"pae", 1u << 5},
	{"pge", 1u << 7},
	{NULL, 0},
};
static const struct args_key keys[] = {
	{"vendor", ARGS_CHOICE, symbols, 0, 0}, {"tdp", ARGS_BOOL, NULL, 0, 0},
	{"host", ARGS_NUMBER, NULL, 2, 5},      {"cr4", ARGS_SYMBOLS, symbols, 0, 0},
	{"memory", ARGS_SIZE, NULL, 4096, 0},
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static void check(bool ok, bool same, const char *error)
{
	if (!ok && (!same || !error[0]))
		abort();
}

static void values(const char *text)
{
	struct args_value before[KEYS] = {{false, 7}}, v[KEYS];
	uint64_t n = 7;
	bool b = true;
	char error[200] = "";
	bool ok;

	ok = args_number(text, &n, error, sizeof(error));
	check(ok, n == 7, error);
	n = 7, error[0] = 0;
	ok = args_size(text, &n, error, sizeof(error));
	check(ok, n == 7, error);
	n = 7, error[0] = 0;
	ok = args_symbols(text, symbols, &n, error, sizeof(error));
	check(ok, n == 7, error);
	n = 7, error[0] = 0;
	ok = args_choice(text, symbols, &n, error, sizeof(error));
	check(ok, n == 7, error);
	error[0] = 0;
	ok = args_bool(text, &b, error, sizeof(error));
	check(ok, b, error);
	error[0] = 0;
	memcpy(v, before, sizeof(v));
	ok = args_config(text, keys, KEYS, v, error, sizeof(error));
	check(ok, !memcmp(v, before, sizeof(v)), error);
	args_number(text, &n, error, 1);
	args_config(text, keys, KEYS, v, error, 0);
}

static bool called(void *context, const char *text, char *error, size_t size)
{
	return args_config(text, keys, KEYS, context, error, size);
}

static void command_line(char *text)
{
	struct args_value v[KEYS] = {{false, 0}};
	struct common_options common = {false};
	struct args_option common_args[COMMON_OPTION_COUNT];
	uint64_t n = 0, bits = 0;
	const char *s = NULL;
	const struct args_option own[] = {
		{.name = "number",
		 .letter = 'n',
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "",
		 .number = &n},
		{.name = "cr4",
		 .kind = ARGS_SYMBOLS,
		 .metavar = "B",
		 .help = "",
		 .symbols = symbols,
		 .number = &bits},
		{.name = "text",
		 .letter = 't',
		 .kind = ARGS_TEXT,
		 .metavar = "S",
		 .help = "",
		 .text = &s},
		{.name = "config",
		 .kind = ARGS_CALL,
		 .metavar = "C",
		 .help = "",
		 .call = called,
		 .context = v},
	};
	struct args_spec spec = {
		.name = "fuzz",
		.synopsis = "A...",
		.summary = "",
		.groups = {{own, 4}, {common_args, COMMON_OPTION_COUNT}},
		.rest_min = 1,
		.rest_max = 3,
	};
	char *argv[ARGC_MAX + 1] = {"fuzz"};
	int argc = 1;

	common_options(&common, common_args);
	for (char *word = strtok(text, "\n"); word && argc < ARGC_MAX; word = strtok(NULL, "\n"))
		argv[argc++] = word;
	if (args_parse(&spec, argc, argv) ? spec.rest_count < 1 || spec.rest_count > 3
					  : spec.status != 0 && spec.status != 2)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	/* Error lines and --help are not looked at here. libFuzzer has its own stderr. */
	(void)argc;
	(void)argv;
	if (!freopen("/dev/null", "w", stdout))
		return 1;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char text[TEXT_MAX + 1];

	if (size > TEXT_MAX)
		return -1;
	memcpy(text, bytes, size);
	text[size] = 0;
	values(text);
	command_line(text);
	return 0;
}
