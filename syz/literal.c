/* SPDX-License-Identifier: MIT */
/*
 * literal.c - words, numbers and strings of a program, and what is said when they are wrong.
 *
 *	'./file0\x00'      text; escapes \a \b \f \n \r \t \v \\ \' \" \0 \xHH
 *	"0aff"             hexadecimal
 *	"$eJzT0y=="        base64, with $ in front: a compressed image
 *	'a'/16, ""/40      padded with zeros, or cut, to so many bytes
 *
 * All of it ends at the end of the line; a call is one line.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "syz/parts.h"

struct syz_place reader_place(const struct reader *r)
{
	return (struct syz_place){r->line, (unsigned)(r->at - r->line_start) + 1};
}

void reader_skip_blanks(struct reader *r)
{
	while (reader_peek(r) == ' ' || reader_peek(r) == '\t' || reader_peek(r) == '\r')
		r->at++;
}

bool reader_fail(struct reader *r, struct syz_place place, const char *format, ...)
{
	va_list args;

	r->error->place = place;
	va_start(args, format);
	vsnprintf(r->error->text, sizeof(r->error->text), format, args);
	va_end(args);
	return false;
}

bool reader_no_memory(struct reader *r)
{
	return reader_fail(r, reader_place(r), "memory is short");
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$';
}

bool reader_expected(struct reader *r, const char *what)
{
	char found[40] = "end of line";
	size_t end = r->at;

	while (end < r->size && is_word(r->text[end]) && end - r->at < 32)
		end++;
	if (end > r->at)
		snprintf(found, sizeof(found), "'%.*s'", (int)(end - r->at), r->text + r->at);
	else if (r->at < r->size && isprint((unsigned char)r->text[r->at]))
		snprintf(found, sizeof(found), "'%c'", r->text[r->at]);
	else if (r->at < r->size && r->text[r->at] != '\n')
		snprintf(found, sizeof(found), "byte 0x%02x", (unsigned char)r->text[r->at]);
	return reader_fail(r, reader_place(r), "expected %s, found %s", what, found);
}

const char *reader_word(struct reader *r, size_t *length)
{
	const char *start = r->text + r->at;

	while (r->at < r->size && is_word(r->text[r->at]))
		r->at++;
	*length = (size_t)(r->text + r->at - start);
	reader_skip_blanks(r);
	return start;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

bool reader_number(struct reader *r, const char *what, uint64_t *value)
{
	const struct syz_place place = reader_place(r);
	const size_t start = r->at;
	size_t length, i = 0;
	const char *word;
	int base = 10;

	if (!isdigit((unsigned char)reader_peek(r)))
		return reader_expected(r, what);
	word = reader_word(r, &length);
	if (length > 1 && word[0] == '0') {
		base = word[1] == 'x' || word[1] == 'X'   ? 16
		       : word[1] == 'b' || word[1] == 'B' ? 2
							  : 8;
		i = base == 8 ? 1 : 2;
	}
	*value = 0;
	for (bool first = true; i < length || first; i++, first = false) {
		int digit = i < length ? digit_of(word[i]) : 99;

		if (digit >= base) {
			r->at = start;
			return reader_expected(r, what);
		}
		if (*value > (UINT64_MAX - (unsigned)digit) / (unsigned)base)
			return reader_fail(r, place, "expected %s of at most 64 bits, found '%.*s'",
					   what, length < 40 ? (int)length : 40, word);
		*value = *value * (unsigned)base + (unsigned)digit;
	}
	return true;
}

/* ---- strings ---- */

/* One byte of a '...' string, at a backslash. */
static bool escape(struct reader *r, uint8_t *byte)
{
	static const char from[] = "abfnrtv\\'\"0", to[] = "\a\b\f\n\r\t\v\\'\"\0";
	const char *at;
	char c;

	r->at++;
	c = reader_peek(r);
	at = c ? strchr(from, c) : NULL;
	if (at) {
		*byte = (uint8_t)to[at - from];
		r->at++;
		return true;
	}
	if (c != 'x')
		return reader_expected(r, "one of a b f n r t v \\ ' \" 0 x after the backslash");
	r->at++;
	*byte = 0;
	for (unsigned i = 0; i < 2; i++) {
		int digit = digit_of(reader_peek(r));

		if (digit > 15)
			return reader_expected(r, "two hexadecimal digits after \\x");
		*byte = (uint8_t)(*byte << 4 | digit);
		r->at++;
	}
	return true;
}

static bool text_bytes(struct reader *r, uint8_t *to, uint64_t *size)
{
	while (reader_peek(r) != '\'') {
		char c = reader_peek(r);

		if (c == '\\') {
			if (!escape(r, &to[(*size)++]))
				return false;
		} else if (!isprint((unsigned char)c)) {
			return reader_expected(r, "a printable character, \\xHH or '");
		} else {
			to[(*size)++] = (uint8_t)c;
			r->at++;
		}
	}
	return true;
}

static bool hex_bytes(struct reader *r, uint8_t *to, uint64_t *size)
{
	while (reader_peek(r) != '"') {
		int high = digit_of(reader_peek(r)), low;

		if (high > 15)
			return reader_expected(r, "a hexadecimal digit or '\"'");
		r->at++;
		low = digit_of(reader_peek(r));
		if (low > 15)
			return reader_expected(r, "the second hexadecimal digit of a byte");
		r->at++;
		to[(*size)++] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int base64_of(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool base64_bytes(struct reader *r, uint8_t *to, uint64_t *size)
{
	unsigned digits = 0, padding = 0;
	uint32_t bits = 0;

	r->at++; /* $ */
	for (; reader_peek(r) != '"'; r->at++) {
		char c = reader_peek(r);
		int digit = base64_of(c);

		if (c == '=' && padding < 2 && digits % 4 + padding >= 2) {
			padding++;
			continue;
		}
		if (digit < 0 || padding)
			return reader_expected(r, padding ? "'\"' after the padding of base64"
							  : "a base64 digit or '\"'");
		bits = bits << 6 | (unsigned)digit;
		digits++;
		if (digits % 4 != 1)
			to[(*size)++] = (uint8_t)(bits >> (6 - 2 * ((digits + 3) % 4)));
	}
	if ((digits + padding) % 4)
		return reader_expected(r, "base64 digits in groups of four");
	return true;
}

/* Room for what the string at hand can at most give: one byte a character. */
static uint64_t room_for(const struct reader *r, char quote)
{
	size_t end = r->at;

	while (end < r->size && r->text[end] != '\n' && r->text[end] != quote)
		end += r->text[end] == '\\' ? 2 : 1;
	return end - r->at + 1;
}

static bool sized(struct reader *r, struct syz_arg *arg, uint8_t *bytes, uint64_t room)
{
	const struct syz_place place = reader_place(r);
	uint64_t size = 0;

	if (!reader_number(r, "a size in bytes", &size))
		return false;
	if (size > SYZ_DATA_MAX)
		return reader_fail(r, place, "expected a size of at most 0x%x, found 0x%llx",
				   SYZ_DATA_MAX, (unsigned long long)size);
	if (size > room) {
		uint8_t *larger = arena_take(r->arena, size);

		if (!larger)
			return reader_no_memory(r);
		memcpy(larger, bytes, arg->size);
		arg->data = larger;
	} else if (size > arg->size) {
		memset(bytes + arg->size, 0, size - arg->size);
	}
	arg->size = size;
	return true;
}

bool reader_data(struct reader *r, struct syz_arg *arg)
{
	const bool text = reader_peek(r) == '\'';
	uint64_t room;
	uint8_t *bytes;
	bool ok;

	r->at++;
	room = room_for(r, text ? '\'' : '"');
	bytes = arena_take(r->arena, room);
	if (!bytes)
		return reader_no_memory(r);
	arg->kind = SYZ_DATA;
	arg->data = bytes;
	arg->image = !text && reader_peek(r) == '$';
	if (text)
		ok = text_bytes(r, bytes, &arg->size);
	else if (arg->image)
		ok = base64_bytes(r, bytes, &arg->size);
	else
		ok = hex_bytes(r, bytes, &arg->size);
	if (!ok)
		return false;
	r->at++; /* the closing quote */
	reader_skip_blanks(r);
	if (reader_peek(r) != '/')
		return true;
	r->at++;
	reader_skip_blanks(r);
	return sized(r, arg, bytes, room);
}
