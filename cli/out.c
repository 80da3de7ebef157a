/* SPDX-License-Identifier: MIT */
/*
 * out.c - see out.h. The only place of the command that knows about terminals.
 */
#include "cli/out.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024
#define BAR_WIDTH 30

enum cli_status cli_error(enum cli_status status, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *p = line; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	fflush(stdout);
	fprintf(stderr, "umbra: %s\n", line);
	return status;
}

static bool is_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && !(term && !strcmp(term, "dumb"));
}

void out_init(struct out *out, bool json, bool quiet)
{
	const char *no_color = getenv("NO_COLOR");

	*out = (struct out){
		.json = json,
		.colour = !json && !(no_color && *no_color) && is_terminal(STDOUT_FILENO),
		.progress = !quiet && is_terminal(STDERR_FILENO),
	};
}

enum cli_status out_flush(enum cli_status status)
{
	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		return cli_error(CLI_BADINPUT, "cannot write to standard output: %s",
				 strerror(errno ? errno : EIO));
	return status;
}

enum cli_status out_finish(struct out *out, enum cli_status status)
{
	out_progress_clear(out);
	if (out->failed)
		return cli_error(CLI_BADINPUT, "out of memory while printing");
	return out_flush(status);
}

/* ---- JSON ---- */

void out_json(struct out *out, json_t *object)
{
	json_t *line = json_object();
	char *text = NULL;

	if (object && line && !json_object_set_new(line, "schema", json_integer(OUT_SCHEMA)) &&
	    !json_object_update(line, object))
		text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
	if (text) {
		out_progress_clear(out);
		puts(text);
	} else {
		out->failed = true;
	}
	free(text);
	json_decref(line);
	json_decref(object);
}

json_t *out_hex(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

json_t *out_count(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* ---- colour ---- */

const char *out_style(const struct out *out, enum out_style style)
{
	static const char *const escapes[] = {
		[OUT_PLAIN] = "\033[0m", [OUT_BOLD] = "\033[1m",   [OUT_DIM] = "\033[2m",
		[OUT_RED] = "\033[31m",  [OUT_GREEN] = "\033[32m", [OUT_YELLOW] = "\033[33m",
	};

	return out->colour ? escapes[style] : "";
}

/* ---- tables ---- */

/* Appends one row, splitting @text at '|'. */
static void add_row(struct out_table *table, const char *text)
{
	if (table->rows == table->room) {
		size_t room = table->room ? table->room * 2 : 16;
		char **cells = realloc(table->cells, room * table->columns * sizeof(*cells));

		if (!cells) {
			table->out->failed = true;
			return;
		}
		table->cells = cells;
		table->room = room;
	}

	char **row = table->cells + table->rows * table->columns;

	for (unsigned c = 0; c < table->columns; c++) {
		size_t length = strcspn(text, "|");

		row[c] = strndup(text, length);
		if (!row[c])
			table->out->failed = true;
		text += length;
		if (*text)
			text++;
	}
	table->rows++;
}

void out_table_init(struct out_table *table, struct out *out, const char *headings)
{
	*table = (struct out_table){.out = out, .columns = 1};
	for (const char *p = headings; *p; p++)
		table->columns += *p == '|';
	add_row(table, headings);
}

void out_table_row(struct out_table *table, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	add_row(table, line);
}

static const char *cell(const struct out_table *table, size_t row, unsigned column)
{
	const char *text = table->cells[row * table->columns + column];

	return text ? text : "";
}

/* Columns on the screen: bytes that do not continue a UTF-8 character. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static bool is_numeric(const struct out_table *table, unsigned column)
{
	for (size_t r = 1; r < table->rows; r++) {
		const char *text = cell(table, r, column);

		if (*text && strcmp(text, "-") && !strchr("0123456789.", *text))
			return false;
	}
	return true;
}

void out_table_print(struct out_table *table)
{
	int widths[OUT_COLUMN_MAX] = {0};
	bool right[OUT_COLUMN_MAX] = {false};
	unsigned columns = table->columns < OUT_COLUMN_MAX ? table->columns : OUT_COLUMN_MAX;

	out_progress_clear(table->out);
	for (unsigned c = 0; c < columns; c++) {
		right[c] = is_numeric(table, c);
		for (size_t r = 0; r < table->rows; r++) {
			int width = width_of(cell(table, r, c));

			widths[c] = width > widths[c] ? width : widths[c];
		}
	}
	for (size_t r = 0; r < table->rows; r++) {
		fputs(r ? "" : out_style(table->out, OUT_BOLD), stdout);
		for (unsigned c = 0; c < columns; c++) {
			const char *text = cell(table, r, c);
			int pad = widths[c] - width_of(text);

			if (c)
				fputs("  ", stdout);
			if (right[c])
				printf("%*s%s", pad, "", text);
			else if (c + 1 < columns)
				printf("%s%*s", text, pad, "");
			else
				fputs(text, stdout);
		}
		printf("%s\n", r ? "" : out_style(table->out, OUT_PLAIN));
	}
	out_table_free(table);
}

void out_table_free(struct out_table *table)
{
	for (size_t i = 0; i < table->rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->rows = table->room = 0;
}

/* ---- progress ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void out_progress(struct out *out, const char *what, uint64_t done, uint64_t total)
{
	struct out_bar *bar = &out->bar;

	if (!out->progress)
		return;

	uint64_t now = now_ms();

	if (!bar->began)
		bar->began = now;
	if (now - bar->began < 1000 || now - bar->drawn < 100)
		return;
	bar->drawn = now;
	bar->visible = true;
	if (!total) {
		fprintf(stderr, "\r\033[K%s %" PRIu64, what, done);
	} else {
		double share = done < total ? (double)done / (double)total : 1.0;
		int full = (int)(share * BAR_WIDTH);

		fprintf(stderr, "\r\033[K%s [%.*s%*s] %3d%%", what, full,
			"##############################", BAR_WIDTH - full, "", (int)(share * 100));
	}
	fflush(stderr);
}

void out_progress_clear(struct out *out)
{
	if (out->bar.visible) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
		out->bar.visible = false;
	}
}
