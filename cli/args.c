/* SPDX-License-Identifier: MIT */
/*
 * args.c - options and --help on top of the parsers of values in values.c.
 *
 * Own code instead of getopt_long, because that abbreviates silently, keeps
 * global state and words its errors its own way. Here each mistake is one line
 * that names the argument and what was expected.
 */
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/out.h"

#include <stdio.h>
#include <string.h>

#define ERROR_SIZE 256
#define NAME_MAX_COUNT 64

static bool takes_value(const struct args_option *option)
{
	return option->kind != ARGS_FLAG && option->kind != ARGS_COUNT;
}

/* The option of that name (or letter, when @name is NULL), or NULL. */
static const struct args_option *find(const struct args_spec *spec, const char *name, size_t length,
				      char letter)
{
	for (unsigned g = 0; g < ARGS_GROUP_MAX; g++) {
		for (unsigned i = 0; i < spec->groups[g].count; i++) {
			const struct args_option *o = &spec->groups[g].options[i];

			if (name ? strlen(o->name) == length && !memcmp(o->name, name, length)
				 : o->letter == letter)
				return o;
		}
	}
	return NULL;
}

static const char *similar_option(const struct args_spec *spec, const char *text)
{
	const char *names[NAME_MAX_COUNT] = {"help"};
	unsigned count = 1;

	for (unsigned g = 0; g < ARGS_GROUP_MAX; g++) {
		for (unsigned i = 0; i < spec->groups[g].count && count < NAME_MAX_COUNT; i++)
			names[count++] = spec->groups[g].options[i].name;
	}
	return args_similar(text, names, count);
}

static bool set_value(const struct args_option *o, const char *text, char *error, size_t size)
{
	bool ok = true;

	switch (o->kind) {
	case ARGS_FLAG: *o->flag = true; break;
	case ARGS_COUNT: ++*o->number; break;
	case ARGS_BOOL: ok = args_bool(text, o->flag, error, size); break;
	case ARGS_NUMBER: ok = args_number(text, o->number, error, size); break;
	case ARGS_SIZE: ok = args_size(text, o->number, error, size); break;
	case ARGS_SYMBOLS: ok = args_symbols(text, o->symbols, o->number, error, size); break;
	case ARGS_CHOICE: ok = args_choice(text, o->symbols, o->number, error, size); break;
	case ARGS_TEXT: *o->text = text; break;
	case ARGS_CALL: ok = o->call(o->context, text, error, size); break;
	}
	if (ok && (o->kind == ARGS_NUMBER || o->kind == ARGS_SIZE))
		ok = args_range(text, *o->number, o->min, o->max, error, size);
	if (ok && o->given)
		*o->given = true;
	return ok;
}

static enum cli_status help(const struct args_spec *spec)
{
	printf("Usage: umbra %s [OPTION...]%s%s\n\n%s\n", spec->name, *spec->synopsis ? " " : "",
	       spec->synopsis, spec->summary);
	if (spec->details)
		printf("\n%s\n", spec->details);
	printf("\nOptions:\n");
	for (unsigned g = 0; g < ARGS_GROUP_MAX; g++) {
		for (unsigned i = 0; i < spec->groups[g].count; i++) {
			const struct args_option *o = &spec->groups[g].options[i];
			bool repeats =
				o->kind == ARGS_COUNT || (o->kind == ARGS_CALL && !o->single);
			char left[48];

			snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
				 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
				 takes_value(o) ? " " : "", takes_value(o) ? o->metavar : "");
			printf("  %-28s %s%s\n", left, o->help,
			       repeats ? " (may be repeated)" : "");
		}
	}
	printf("      %-24s %s\n", "--help", "this text");
	return out_flush(CLI_OK);
}

static bool wrong(struct args_spec *spec)
{
	spec->status = CLI_USAGE;
	return false;
}

static bool unknown(struct args_spec *spec, const char *arg, size_t length, const char *similar)
{
	cli_error(CLI_USAGE, "%s: unknown option '%.*s'%s%s%s, see umbra %s --help", spec->name,
		  (int)length, arg, similar ? ", did you mean '--" : "", similar ? similar : "",
		  similar ? "'" : "", spec->name);
	return wrong(spec);
}

/* One "--name", "--name=value" or "-xyz"; *index moves on when it takes the next word. */
static bool option(struct args_spec *spec, char **argv, int argc, int *index)
{
	const char *arg = argv[*index];
	bool is_long = arg[1] == '-';
	const char *p = arg + (is_long ? 2 : 1);

	do {
		char letter = *p;
		size_t length = is_long ? strcspn(p, "=") : 1;
		const struct args_option *o = find(spec, is_long ? p : NULL, length, letter);
		char shown[64], error[ERROR_SIZE];
		const char *value = NULL;

		snprintf(shown, sizeof(shown), is_long ? "--%.*s" : "-%.*s", (int)length, p);
		if (!o) {
			char name[64];

			snprintf(name, sizeof(name), "%.*s", (int)length, p);
			return unknown(spec, shown, strlen(shown),
				       is_long ? similar_option(spec, name) : NULL);
		}
		p += length;
		if (takes_value(o)) {
			if (*p)
				value = p + is_long;
			else if (*index + 1 < argc)
				value = argv[++*index];
			else {
				cli_error(CLI_USAGE, "%s: %s expects a value, %s", spec->name,
					  shown, o->metavar);
				return wrong(spec);
			}
			p = "";
		} else if (is_long && *p) {
			cli_error(CLI_USAGE, "%s: %s takes no value", spec->name, shown);
			return wrong(spec);
		}
		if (!set_value(o, value, error, sizeof(error))) {
			cli_error(CLI_USAGE, "%s: %s: %s", spec->name, shown, error);
			return wrong(spec);
		}
	} while (*p);
	return true;
}

bool args_parse(struct args_spec *spec, int argc, char **argv)
{
	bool options = true;
	unsigned count = 0;

	spec->status = CLI_OK;
	spec->rest = argv + 1;
	for (int i = 1; i < argc; i++) {
		char *arg = argv[i];

		if (options && !strcmp(arg, "--")) {
			options = false;
		} else if (options && (!strcmp(arg, "--help") || !strcmp(arg, "-h"))) {
			spec->status = help(spec);
			return false;
		} else if (options && arg[0] == '-' && arg[1]) {
			if (!option(spec, argv, argc, &i))
				return false;
		} else {
			spec->rest[count++] = arg;
		}
	}
	spec->rest_count = count;
	if (count < spec->rest_min) {
		cli_error(CLI_USAGE, "%s: expected %s, see umbra %s --help", spec->name,
			  spec->synopsis, spec->name);
		return wrong(spec);
	}
	if (!spec->rest_many && count > spec->rest_max) {
		cli_error(CLI_USAGE, "%s: unexpected argument '%s', expected %s", spec->name,
			  spec->rest[spec->rest_max],
			  *spec->synopsis ? spec->synopsis : "only options");
		return wrong(spec);
	}
	return true;
}

void common_options(struct common_options *options, struct args_option args[COMMON_OPTION_COUNT])
{
	args[0] = (struct args_option){
		.name = "json",
		.kind = ARGS_FLAG,
		.help = "JSON Lines instead of text",
		.flag = &options->json,
	};
	args[1] = (struct args_option){
		.name = "verbose",
		.letter = 'v',
		.kind = ARGS_COUNT,
		.help = "say more",
		.number = &options->verbose,
	};
	args[2] = (struct args_option){
		.name = "quiet",
		.letter = 'q',
		.kind = ARGS_FLAG,
		.help = "no progress bar",
		.flag = &options->quiet,
	};
}
