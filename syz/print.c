/* SPDX-License-Identifier: MIT */
/*
 * print.c - a tree back to text, which the reader reads as the same tree.
 *
 * Strings are printed as hexadecimal unless all of it is printable; compressed images are
 * base64 again. With a limit, long strings and lists are cut short with "..." for people.
 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "syz/syz.h"

#define LIST_LIMIT 20
/* So many zeros at a string's end are printed; more are left to its size. */
#define ZEROS_SHORT 16

static bool is_text(const struct syz_arg *arg)
{
	for (uint64_t i = 0; i < arg->size; i++)
		if (!isprint(arg->data[i]) && (arg->data[i] || i + 1 < arg->size))
			return false;
	return arg->size && arg->data[0];
}

static void print_base64(FILE *to, const uint8_t *data, uint64_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	fputc('$', to);
	for (uint64_t i = 0; i < size; i += 3) {
		uint32_t bits = 0;

		for (unsigned j = 0; j < 3; j++)
			bits = bits << 8 | (i + j < size ? data[i + j] : 0);
		for (unsigned j = 0; j < 4; j++)
			fputc(i + j > size ? '=' : digits[bits >> (18 - 6 * j) & 63], to);
	}
}

/* Bytes before the zeros at the end, if those are many. */
static uint64_t before_zeros(const struct syz_arg *arg)
{
	uint64_t size = arg->size;

	while (size && !arg->data[size - 1])
		size--;
	return arg->size - size > ZEROS_SHORT ? size : arg->size;
}

static void print_hex(FILE *to, const uint8_t *data, uint64_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (uint64_t i = 0; i < size; i++) {
		fputc(digits[data[i] >> 4], to);
		fputc(digits[data[i] & 15], to);
	}
}

static void print_text(FILE *to, const uint8_t *data, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++) {
		if (!data[i])
			fputs("\\x00", to);
		else
			fprintf(to, "%s%c", data[i] == '\\' || data[i] == '\'' ? "\\" : "",
				data[i]);
	}
}

static void print_data(FILE *to, const struct syz_arg *arg, uint64_t limit)
{
	const bool text = !arg->image && is_text(arg);
	const uint64_t all = arg->image ? arg->size : before_zeros(arg);
	const bool cut = limit && all > limit;
	const uint64_t size = cut ? limit : all;

	fputc(text ? '\'' : '"', to);
	if (arg->image)
		print_base64(to, arg->data, size);
	else if (text)
		print_text(to, arg->data, size);
	else
		print_hex(to, arg->data, size);
	fprintf(to, "%s%c", cut ? "..." : "", text ? '\'' : '"');
	if (size < arg->size)
		fprintf(to, "/0x%" PRIx64, arg->size);
}

static void print_list(FILE *to, const struct syz_arg *list, uint64_t limit)
{
	unsigned count = 0;

	for (; list; list = list->next) {
		if (limit && count++ == LIST_LIMIT) {
			fputs("...", to);
			return;
		}
		syz_print_arg(to, list, limit);
		if (list->next)
			fputs(", ", to);
	}
}

static void print_pointer(FILE *to, const struct syz_arg *arg, uint64_t limit)
{
	if (arg->automatic)
		fputs("&AUTO", to);
	else if (arg->size)
		fprintf(to, "&(0x%" PRIx64 "/0x%" PRIx64 ")", arg->value, arg->size);
	else
		fprintf(to, "&(0x%" PRIx64 ")", arg->value);
	if (arg->any)
		fputs("=ANY", to);
	if (arg->kind == SYZ_RANGE)
		fputs("=nil", to);
	if (!arg->below)
		return;
	fputc('=', to);
	syz_print_arg(to, arg->below, limit);
}

static void print_result(FILE *to, const struct syz_arg *arg)
{
	fprintf(to, "r%" PRIu64, arg->value);
	if (arg->divide)
		fprintf(to, "/0x%" PRIx64, arg->divide);
	if (arg->add)
		fprintf(to, "+0x%" PRIx64, arg->add);
}

void syz_print_arg(FILE *to, const struct syz_arg *arg, uint64_t limit)
{
	if (arg->gives >= 0)
		fprintf(to, "<r%d=>", arg->gives);
	switch (arg->kind) {
	case SYZ_NUMBER: fprintf(to, "0x%" PRIx64, arg->value); break;
	case SYZ_RESULT: print_result(to, arg); break;
	case SYZ_POINTER:
	case SYZ_RANGE: print_pointer(to, arg, limit); break;
	case SYZ_NIL: fputs("nil", to); break;
	case SYZ_AUTO: fputs("AUTO", to); break;
	case SYZ_DATA: print_data(to, arg, limit); break;
	case SYZ_STRUCT:
	case SYZ_ARRAY:
		fputc(arg->kind == SYZ_STRUCT ? '{' : '[', to);
		print_list(to, arg->below, limit);
		fputc(arg->kind == SYZ_STRUCT ? '}' : ']', to);
		break;
	case SYZ_UNION:
		fprintf(to, "@%s%s", arg->name, arg->below ? "=" : "");
		if (arg->below)
			syz_print_arg(to, arg->below, limit);
		break;
	}
}

void syz_print_call(FILE *to, const struct syz_call *call, uint64_t limit)
{
	if (call->gives >= 0)
		fprintf(to, "r%d = ", call->gives);
	fprintf(to, "%s(", call->name);
	print_list(to, call->args, limit);
	fputc(')', to);
	if (call->async)
		fputs(" (async)", to);
	if (call->fail_nth)
		fprintf(to, " (fail_nth: %" PRIu64 ")", call->fail_nth);
	if (call->rerun)
		fprintf(to, " (rerun: %" PRIu64 ")", call->rerun);
}
