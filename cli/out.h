/* SPDX-License-Identifier: MIT */
/*
 * out.h - what subcommands print: JSON Lines or text, tables, colour, progress.
 *
 * Results go to stdout, everything else to stderr. Colour and progress appear
 * on terminals only; NO_COLOR and --quiet turn them off.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include "cli/cli.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Version of the JSON lines; a field may be added without raising it. */
#define OUT_SCHEMA 1

struct out {
	bool json;
	bool colour;
	bool progress; /* stderr is a terminal */
	/** Memory for a line was short; out_finish() reports it. */
	bool failed;
	struct out_bar {
		uint64_t began, drawn; /* ms; began 0: no bar now */
		bool visible;
	} bar;
};

/** out_init - @quiet: no progress bar. */
void out_init(struct out *out, bool json, bool quiet);

/**
 * out_finish - flush; call it last and return what it returns. A disk that
 * filled up or a stdout that is gone becomes CLI_BADINPUT with one line;
 * otherwise @status.
 */
enum cli_status out_finish(struct out *out, enum cli_status status);
/** out_flush - the same where there is no struct out: --help. */
enum cli_status out_flush(enum cli_status status);

/* ---- JSON ---- */

/** out_json - one line {"schema":1, ...}; takes over @object (NULL: out of memory). */
void out_json(struct out *out, json_t *object);
/** out_hex - an address or entry as the string "0x1f000"; JSON numbers have 53 bits. */
json_t *out_hex(uint64_t value);
/** out_count - a counter as a JSON number, cut at 2^63-1. */
json_t *out_count(uint64_t value);

/* ---- colour ---- */

enum out_style { OUT_PLAIN, OUT_BOLD, OUT_DIM, OUT_RED, OUT_GREEN, OUT_YELLOW };
/** out_style - the escape sequence, or "" without colour. End with OUT_PLAIN. */
const char *out_style(const struct out *out, enum out_style style);

/* ---- tables ---- */

#define OUT_COLUMN_MAX 16

/**
 * struct out_table - rows are kept until out_table_print(), which aligns them:
 * columns whose cells are all numbers to the right, others to the left.
 */
struct out_table {
	struct out *out;
	unsigned columns;
	size_t rows, room;
	char **cells; /* rows * columns, the first row is the heading */
};
/** out_table_init - headings separated by '|': "guest|host|faults". */
void out_table_init(struct out_table *table, struct out *out, const char *headings);
/** out_table_row - cells separated by '|', printf's way. Missing cells are empty. */
void out_table_row(struct out_table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** out_table_print - print, and free the rows. */
void out_table_print(struct out_table *table);
/** out_table_free - the same without printing. */
void out_table_free(struct out_table *table);

/* ---- progress ---- */

/**
 * out_progress - @done of @total (0: unknown), @what in a word or two. Call it
 * as often as you like; it draws at most ten times a second, and nothing in the
 * first second. Printing to stdout needs out_progress_clear() first.
 */
void out_progress(struct out *out, const char *what, uint64_t done, uint64_t total);
void out_progress_clear(struct out *out);

#endif
