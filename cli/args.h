/* SPDX-License-Identifier: MIT */
/*
 * args.h - from command lines to values.
 *
 * The parsers of values are pure: text in, value out, or false and one sentence
 * that names what was expected. They accept any bytes (tests/fuzz/fuzz_args.c).
 * args_parse() puts them behind long options:
 *
 *	uint64_t sample = 1;
 *	const char *out = NULL;
 *	struct common_options common = {0};
 *	struct args_option common_args[COMMON_OPTION_COUNT];
 *	const struct args_option own[] = {
 *		{"sample", 0, ARGS_NUMBER, "N", "every Nth page only", .number = &sample, .min = 1},
 *		{"output", 'o', ARGS_TEXT, "FILE", "where to write", .text = &out},
 *	};
 *	...
 *	struct args_spec spec = {
 *		.name = "run", .synopsis = "[IMAGE]", .summary = "...",
 *		.groups = {{own, 2}, {common_args, COMMON_OPTION_COUNT}},
 *		.rest_max = 1,
 *	};
 *	if (!args_parse(&spec, argc, argv))
 *		return spec.status;
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- values ---- */

/** struct args_symbol - a name and its value; tables end with a NULL name. */
struct args_symbol {
	const char *name;
	uint64_t value;
};

/**
 * args_number - decimal, 0x hexadecimal, or hexadecimal with ` or _ between digits.
 * No sign, no blanks, no octal: "010" is refused.
 */
bool args_number(const char *text, uint64_t *value, char *error, size_t error_size);

/** args_size - a number with an optional K, M, G or T (times 1024, either case). */
bool args_size(const char *text, uint64_t *value, char *error, size_t error_size);

/** args_range - is @value, parsed from @text, in min..max (max 0: no limit)? */
bool args_range(const char *text, uint64_t value, uint64_t min, uint64_t max, char *error,
		size_t error_size);

/**
 * args_symbols - a set of bits: names from @table and numbers, separated by ',' or '|'.
 * "pae,pge,0x10" gives exactly those. When every item begins with + or -, they
 * are added to and taken from what *value was: "+smep,-wp". "0" gives none.
 */
bool args_symbols(const char *text, const struct args_symbol *table, uint64_t *value, char *error,
		  size_t error_size);

/** args_choice - one name of @table, to its value. */
bool args_choice(const char *text, const struct args_symbol *table, uint64_t *value, char *error,
		 size_t error_size);

/** args_bool - 0 1 no yes off on false true. */
bool args_bool(const char *text, bool *value, char *error, size_t error_size);

/* ---- key=value lists ---- */

enum args_kind {
	ARGS_FLAG, /* no value; sets *flag */
	ARGS_COUNT, /* no value; adds one to *number */
	ARGS_BOOL, /* in key lists: a flag with a value */
	ARGS_NUMBER,
	ARGS_SIZE,
	ARGS_SYMBOLS, /* several of .symbols */
	ARGS_CHOICE, /* one of .symbols */
	ARGS_TEXT, /* taken as it is */
	ARGS_CALL, /* .call parses it; may be given more than once unless .single */
};

/** struct args_key - one key that args_config() accepts. */
struct args_key {
	const char *name;
	enum args_kind kind; /* BOOL, NUMBER, SIZE, SYMBOLS or CHOICE */
	const struct args_symbol *symbols;
	/** Range of numbers and sizes; max 0: no limit. */
	uint64_t min, max;
};

/** struct args_value - what was given for the key of the same index. */
struct args_value {
	bool given;
	uint64_t number;
};

/**
 * args_config - "vendor=amd,tdp=1,cr4=pae,pge,host=5" by @keys into @values.
 * An item without '=' belongs to the key before it. @values is not cleared
 * first, so defaults and several --config add up; in one text a key may occur
 * once. On failure @values is unchanged.
 */
bool args_config(const char *text, const struct args_key *keys, unsigned key_count,
		 struct args_value *values, char *error, size_t error_size);
/** More keys than this are not supported. */
#define ARGS_KEY_MAX 64

/* ---- options ---- */

struct args_option {
	const char *name; /* without the dashes */
	char letter; /* or 0 */
	enum args_kind kind;
	const char *metavar; /* "N" in --help; NULL for flags */
	const char *help;
	const struct args_symbol *symbols;
	/** Range of numbers and sizes; max 0: no limit. */
	uint64_t min, max;
	/** Where the value goes, by kind. */
	bool *flag;
	uint64_t *number;
	const char **text;
	bool (*call)(void *context, const char *text, char *error, size_t error_size);
	void *context;
	/** ARGS_CALL: --help does not say that it may be repeated. */
	bool single;
	/** Set when the option occurs; may be NULL. */
	bool *given;
};

struct args_group {
	const struct args_option *options;
	unsigned count;
};
#define ARGS_GROUP_MAX 4

struct args_spec {
	const char *name; /* the subcommand */
	const char *synopsis; /* its arguments, "IMAGE ADDRESS..." */
	const char *summary; /* one sentence */
	const char *details; /* more of --help, or NULL */
	struct args_group groups[ARGS_GROUP_MAX];
	/** How many arguments besides options; rest_max 0 with rest_many: no limit. */
	unsigned rest_min, rest_max;
	bool rest_many;
	/** Out: those arguments, the first rest_count of argv + 1 (reordered). */
	char **rest;
	unsigned rest_count;
	/** Out: exit status when args_parse() returned false. */
	int status;
};

/**
 * args_parse - options may stand anywhere before "--". False: an error has been
 * printed, or --help answered; exit with spec->status. A value follows as
 * --name=VALUE, --name VALUE, -nVALUE or -n VALUE. No abbreviations.
 */
bool args_parse(struct args_spec *spec, int argc, char **argv);

/* ---- options that every subcommand has ---- */

struct common_options {
	bool json;
	uint64_t verbose; /* number of -v */
	bool quiet; /* no progress bar */
};
#define COMMON_OPTION_COUNT 3
void common_options(struct common_options *options, struct args_option args[COMMON_OPTION_COUNT]);

/** args_similar - the name of @names[0..count) that @text may have meant, or NULL. */
const char *args_similar(const char *text, const char *const *names, unsigned count);

#endif
