/* SPDX-License-Identifier: MIT */
/*
 * text.c - see text.h.
 *
 * Errors of the output are stdio's, out_finish() reports them.
 */
#include "cli/text.h"

#include <stdio.h>
#include <string.h>

void text_flush(struct text *text)
{
	if (text->used && !text->discard)
		fwrite(text->data, 1, text->used, stdout);
	text->used = 0;
}

void text_long(struct text *text, const char *bytes, size_t length)
{
	while (length > sizeof(text->data) - text->used) {
		size_t part = sizeof(text->data) - text->used;

		memcpy(text->data + text->used, bytes, part);
		text->used += part;
		bytes += part;
		length -= part;
		text_flush(text);
	}
	text_bytes(text, bytes, length);
}

static bool plain(unsigned char c)
{
	return c >= ' ' && c != '"' && c != '\\' && c < 0x80;
}

/* Eight bytes at once: each of the terms has a high bit set where a byte is not plain. */
static bool all_plain(const char *bytes)
{
	const uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
	uint64_t v, quote, backslash;

	memcpy(&v, bytes, sizeof(v));
	quote = v ^ ones * '"';
	backslash = v ^ ones * '\\';
	return !((((v - ones * ' ') & ~v) | ((quote - ones) & ~quote) |
		  ((backslash - ones) & ~backslash) | v) &
		 high);
}

void text_json(struct text *text, const char *string)
{
	size_t left = strlen(string);

	text_bytes(text, "\"", 1);
	while (left) {
		size_t length = 0;
		char escape[8];

		while (length + 8 <= left && all_plain(string + length))
			length += 8;
		/* The rest of it as the last eight bytes. */
		if (length && length + 8 > left && all_plain(string + left - 8))
			length = left;
		while (length < left && plain((unsigned char)string[length]))
			length++;
		text_bytes(text, string, length);
		string += length;
		left -= length;
		if (!left)
			break;
		/* Whatever else: \u0022 is a quote as good as any. */
		snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*string++);
		text_bytes(text, escape, 6);
		left--;
	}
	text_bytes(text, "\"", 1);
}

char *text_hex(char number[TEXT_NUMBER], uint64_t value)
{
	char *p = number + TEXT_NUMBER - 1;

	*p = 0;
	do
		*--p = "0123456789abcdef"[value & 15];
	while (value >>= 4);
	*--p = 'x';
	*--p = '0';
	return p;
}

char *text_decimal(char number[TEXT_NUMBER], uint64_t value)
{
	char *p = number + TEXT_NUMBER - 1;

	*p = 0;
	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	return p;
}
