/* SPDX-License-Identifier: MIT */
/*
 * text.h - standard output by the megabyte: pieces of lines into one buffer.
 *
 * For what prints a line or more for each of millions of values, where printf and
 * json_t would take most of the time. Others use out.h.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	bool discard; /* for benchmarks: nothing is written */
	size_t used;
	char data[1 << 16];
};

/** text_flush - hand everything to stdio; before anything else prints. */
void text_flush(struct text *text);

/** text_long - @length bytes that the buffer has no room for. */
void text_long(struct text *text, const char *bytes, size_t length);

static inline void text_bytes(struct text *text, const char *bytes, size_t length)
{
	if (__builtin_expect(length > sizeof(text->data) - text->used, 0)) {
		text_long(text, bytes, length);
		return;
	}
	memcpy(text->data + text->used, bytes, length);
	text->used += length;
}

static inline void text_put(struct text *text, const char *string)
{
	text_bytes(text, string, strlen(string));
}

/** text_pad - as many spaces as @width has more than @length; up to 32. */
static inline void text_pad(struct text *text, size_t length, unsigned width)
{
	if (length < width)
		text_bytes(text, "                                ", width - length);
}

/** text_left, text_right - @string in a column of at least @width, up to 32. */
static inline void text_left(struct text *text, const char *string, unsigned width)
{
	size_t length = strlen(string);

	text_bytes(text, string, length);
	text_pad(text, length, width);
}

static inline void text_right(struct text *text, const char *string, unsigned width)
{
	size_t length = strlen(string);

	text_pad(text, length, width);
	text_bytes(text, string, length);
}

/** text_json - @string, ASCII, in quotes, with the escapes that JSON needs. */
void text_json(struct text *text, const char *string);

/** Room for any number that these write, and a byte before it. */
#define TEXT_NUMBER 24
/** text_hex, text_decimal - @value to the end of @number; return where it begins. */
char *text_hex(char number[TEXT_NUMBER], uint64_t value);
char *text_decimal(char number[TEXT_NUMBER], uint64_t value);

#endif
