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
	if (text->used)
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

/* Length of the UTF-8 character at @p, 0 if there is none (RFC 3629 4). */
static size_t character(const unsigned char *p)
{
	size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong, surrogates, beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return length;
}

/* Bytes that stand for themselves in a JSON string. */
static const unsigned char plain[256] = {
	[' ' ... '!'] = 1,
	['#' ... '['] = 1,
	[']' ... '~'] = 1,
};

void text_json(struct text *text, const char *string)
{
	const unsigned char *p = (const unsigned char *)string;

	text_bytes(text, "\"", 1);
	while (*p) {
		size_t length = 0;

		while (plain[p[length]])
			length++;
		if (!length && *p >= 0x80)
			length = character(p);
		if (length) {
			text_bytes(text, (const char *)p, length);
			p += length;
		} else if (*p == '"' || *p == '\\') {
			text_bytes(text, "\\", 1);
			text_bytes(text, (const char *)p++, 1);
		} else if (*p >= 0x80) {
			text_bytes(text, "\\ufffd", 6);
			p++;
		} else {
			char escape[8];

			snprintf(escape, sizeof(escape), "\\u%04x", *p++);
			text_bytes(text, escape, 6);
		}
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
