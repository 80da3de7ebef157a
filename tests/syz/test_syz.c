/* SPDX-License-Identifier: MIT */
/*
 * test_syz.c - the reader of syzkaller's notation: worked trees, refusals with their places,
 * and random programs that must survive printing and reading.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "syz/syz.h"

static struct syz_program *parse(const char *text)
{
	struct syz_error error;
	struct syz_program *program = syz_parse(text, strlen(text), &error);

	if (!program)
		fail_msg("%u:%u: %s: %s", error.place.line, error.place.column, error.text, text);
	return program;
}

static char *printed(const struct syz_program *program, uint64_t limit)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	for (const struct syz_call *call = program->calls; call; call = call->next) {
		syz_print_call(to, call, limit);
		fputc('\n', to);
	}
	fclose(to);
	return text;
}

/* Text, and how the reader prints what it understood. */
static void understood(void **state)
{
	static const struct {
		const char *text, *printed;
	} rows[] = {
		{"", ""},
		{"# only a comment", ""},
		{"\n\r\n \t\n", ""},
		{"close(0x3)", "close(0x3)\n"},
		{"  close ( 3 )  # three", "close(0x3)\n"},
		{"f(0b101, 017, 0x1F, 0)", "f(0x5, 0xf, 0x1f, 0x0)\n"},
		{"f(0xffffffffffffffff, 18446744073709551615)",
		 "f(0xffffffffffffffff, 0xffffffffffffffff)\n"},
		{"f()\ng()", "f()\ng()\n"},
		{"r0 = f()\ng(r0, r0/0x2, r0+4, r0/2+4)",
		 "r0 = f()\ng(r0, r0/0x2, r0+0x4, r0/0x2+0x4)\n"},
		{"f(&(0x7f0000000000)={0x1, <r3=>0x0})\ng(r3)",
		 "f(&(0x7f0000000000)={0x1, <r3=>0x0})\ng(r3)\n"},
		{"f(&(0x7f0000000040))", "f(&(0x7f0000000040))\n"},
		{"f(&(0x7f0000001000-0x3000)=\"00\")", "f(&(0x7effffffe000)=\"00\")\n"},
		{"f(&(0x7f0000001000+0x40)=nil)", "f(&(0x7f0000001040)=nil)\n"},
		{"f(&(0x7f0000000000/0x2000)=nil)", "f(&(0x7f0000000000/0x2000)=nil)\n"},
		{"f((0x7f0000000000/0x2000)=nil)", "f(&(0x7f0000000000/0x2000)=nil)\n"},
		{"f(&AUTO={AUTO, nil})", "f(&AUTO={AUTO, nil})\n"},
		{"f(&(0x1000)=ANY=[@ANYBLOB=\"0102\", @ANYRES32, @ANYRES64=0x1], AUTO)",
		 "f(&(0x1000)=ANY=[@ANYBLOB=\"0102\", @ANYRES32, @ANYRES64=0x1], AUTO)\n"},
		{"f(@a, @b=[], @c={@d=nil})", "f(@a, @b=[], @c={@d=nil})\n"},
		{"f('/dev/kvm\\x00')", "f('/dev/kvm\\x00')\n"},
		{"f('\\a\\b\\f\\n\\r\\t\\v\\\\\\'\\\"\\0')", "f(\"07080c0a0d090b5c272200\")\n"},
		{"f('it\\'s \\\\', \"616263\")", "f('it\\'s \\\\', 'abc')\n"},
		{"f(\"\"/4, 'ab'/4, \"010203\"/2, '')",
		 "f(\"00000000\", \"61620000\", \"0102\", \"\")\n"},
		{"f(\"ff\"/40, ''/40, 'ab'/17)",
		 "f(\"ff\"/0x28, \"\"/0x28, \"6162000000000000000000000000000000\")\n"},
		{"f(\"$\", \"$TQ==\", \"$TWE=\", \"$TWFu\", \"$+/+/\")",
		 "f(\"$\", \"$TQ==\", \"$TWE=\", \"$TWFu\", \"$+/+/\")\n"},
		{"f() (async)", "f() (async)\n"},
		{"f() (fail_nth: 3)", "f() (fail_nth: 3)\n"},
		{"f() (async, rerun: 0x20) # why", "f() (async) (rerun: 32)\n"},
		{"f() (async) (fail_nth: 1)", "f() (async) (fail_nth: 1)\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct syz_program *program = parse(rows[i].text);
		char *text = printed(program, 0);

		assert_string_equal(text, rows[i].printed);
		free(text);
		syz_free(program);
	}
}

static void fields(void **state)
{
	struct syz_program *program = parse("r7 = f(0x1, 'abc'/5)\n\n g(&(0x10)=[r7]) (async)");
	const struct syz_call *call = program->calls;
	const struct syz_arg *arg = call->args;

	(void)state;
	assert_int_equal(program->call_count, 2);
	assert_int_equal(program->result_count, 8);
	assert_int_equal(call->gives, 7);
	assert_int_equal(call->arg_count, 2);
	assert_int_equal(call->place.line, 1);
	assert_int_equal(call->place.column, 6);
	assert_int_equal(arg->next->size, 5);
	assert_memory_equal(arg->next->data, "abc\0", 5);
	call = call->next;
	assert_true(call->async);
	assert_int_equal(call->gives, -1);
	assert_int_equal(call->place.line, 3);
	assert_int_equal(call->args->below->below->value, 7);
	assert_int_equal(call->args->below->below->place.column, 13);
	assert_null(call->next);
	syz_free(program);
}

/* What is said, and where. */
static void refused(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *words;
	} rows[] = {
		{"f", 1, 2, "expected ( after the name of a call, found end of line"},
		{"\n\nf(", 3, 3, "expected an argument or ), found end of line"},
		{"f(0x1", 1, 6, "expected , or ), found end of line"},
		{"f(0x1,)", 1, 7, "expected an argument or ), found ')'"},
		{"f(,)", 1, 3, "expected an argument or ), found ','"},
		{"f({0x1)", 1, 7, "expected , or }, found ')'"},
		{"f([0x1}", 1, 7, "expected , or ], found '}'"},
		{"f([0x1, ])", 1, 9, "expected an element or ], found ']'"},
		{"f() g()", 1, 5, "expected the end of the line, found 'g'"},
		{"= f()", 1, 1, "expected a call, NAME(...) or rN = NAME(...), found '='"},
		{"x = f()", 1, 1, "expected a result, rN, before =, found 'x'"},
		{"r10000 = f()", 1, 1, "expected a result from r0 to r9999, found 'r10000'"},
		{"r0 = (", 1, 6, "expected the name of a call, found '('"},
		{"f(r1)", 1, 3, "r1 is used, but no call before gives it"},
		{"r1 = f(r1)", 1, 8, "r1 is used, but no call before gives it"},
		{"f(<r1=>0x0, r1)", 1, 13, "r1 is used, but no call before gives it"},
		{"r0 = f(r)", 1, 8, "expected an argument: number, rN"},
		{"f(0x)", 1, 3, "expected a number, found '0x'"},
		{"f(08)", 1, 3, "expected a number, found '08'"},
		{"f(12ab)", 1, 3, "expected a number, found '12ab'"},
		{"f(-1)", 1, 3, "found '-'"},
		{"f(0x10000000000000000)", 1, 3, "of at most 64 bits, found '0x10000000000000000'"},
		{"f(&0x1000)", 1, 4, "expected ( before an address, found '0x1000'"},
		{"f(&(nil))", 1, 5, "expected an address, found 'nil'"},
		{"f(&(0x1*2))", 1, 8, "expected +, -, / or ) after an address, found '*'"},
		{"f(&(0x1/)=nil)", 1, 9, "expected a size in bytes, found ')'"},
		{"f(&(0x1/0x1)=0x0)", 1, 14,
		 "expected nil after a range of addresses, found '0x0'"},
		{"f(&(0x1)=ANY)", 1, 13, "expected = after ANY, found ')'"},
		{"f(@)", 1, 4, "expected the name of a union's field after @, found ')'"},
		{"f('abc", 1, 7, "expected a printable character, \\xHH or ', found end of line"},
		{"f('a\x01')", 1, 5, "found byte 0x01"},
		{"f('\\q')", 1, 5, "after the backslash, found 'q'"},
		{"f('\\x1')", 1, 7, "expected two hexadecimal digits after \\x, found '''"},
		{"f(\"0\")", 1, 5, "expected the second hexadecimal digit of a byte, found '\"'"},
		{"f(\"0g\")", 1, 5, "found 'g'"},
		{"f(\"zz\")", 1, 4, "expected a hexadecimal digit or '\"', found 'zz'"},
		{"f(\"$A\")", 1, 6, "expected base64 digits in groups of four"},
		{"f(\"$AA=A\")", 1, 8, "expected '\"' after the padding of base64"},
		{"f(\"$A*\")", 1, 6, "expected a base64 digit or '\"', found '*'"},
		{"f(''/0x1000001)", 1, 6, "expected a size of at most 0x1000000"},
		{"f(''/x)", 1, 6, "expected a size in bytes, found 'x'"},
		{"f() (sync)", 1, 6, "expected a property: async, fail_nth: N or rerun: N"},
		{"f() (fail_nth 1)", 1, 15, "expected : and a number, found '1'"},
		{"f() (async", 1, 11, "expected , or ) after a property, found end of line"},
		{"f(<0x1=>0x0)", 1, 4, "expected a result, rN, after <, found '0x1'"},
		{"f(<r1>0x0)", 1, 6, "expected = after <rN, found '>'"},
		{"r0 = f()\ng(r0/0x0)", 2, 3, "r0 is divided by 0"},
		{"f(\xff)", 1, 3, "found byte 0xff"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct syz_error error;

		if (syz_parse(rows[i].text, strlen(rows[i].text), &error))
			fail_msg("accepted: %s", rows[i].text);
		if (error.place.line != rows[i].line || error.place.column != rows[i].column ||
		    !strstr(error.text, rows[i].words))
			fail_msg("%s: %u:%u: %s", rows[i].text, error.place.line,
				 error.place.column, error.text);
	}
}

static void depth(void **state)
{
	char text[2 * SYZ_DEPTH_MAX + 16];
	struct syz_error error;
	int size;

	(void)state;
	for (unsigned levels = SYZ_DEPTH_MAX; levels <= SYZ_DEPTH_MAX + 1; levels++) {
		struct syz_program *program;

		size = snprintf(text, sizeof(text), "f(");
		memset(text + size, '[', levels);
		memset(text + size + levels, ']', levels);
		snprintf(text + size + 2 * levels, 2, ")");
		program = syz_parse(text, strlen(text), &error);
		assert_int_equal(program != NULL, levels == SYZ_DEPTH_MAX);
		syz_free(program);
	}
	assert_string_equal(error.text, "arguments are nested deeper than 64");
	assert_int_equal(error.place.column, 3 + SYZ_DEPTH_MAX);
}

/* Cut short for people: neither long strings nor long lists. */
static void limited(void **state)
{
	struct syz_program *program = parse("f(\"0102030405060708\", 'abcdefgh')");
	char *text = printed(program, 4);

	(void)state;
	assert_string_equal(text, "f(\"01020304...\"/0x8, 'abcd...'/0x8)\n");
	free(text);
	syz_free(program);
}

/* ---- random programs ---- */

static uint64_t seed;

static uint64_t next(uint64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

static void random_arg(FILE *to, unsigned levels, unsigned results)
{
	static const char *const words[] = {"nil",        "AUTO", "@a",        "@ANYRES32",
					    "''",         "\"\"", "\"$QUI=\"", "'\\x00\\\\'",
					    "\"ff00\"/9", "'x'/3"};

	switch (next(levels ? 9 : 4)) {
	case 0: fprintf(to, "0x%" PRIx64, next(1 + (1ull << next(31)))); return;
	case 1: fputs(words[next(sizeof(words) / sizeof(words[0]))], to); return;
	case 2:
		if (results)
			fprintf(to, "r%" PRIu64 "+%" PRIu64, next(results), next(3));
		else
			fputs("0", to);
		return;
	case 3: fprintf(to, "&(0x7f0000000000/0x%" PRIx64 ")=nil", next(9)); return;
	case 4: fputs("@field=", to); break;
	case 5: fputs("&(0x7f0000000000+0x40)=", to); break;
	case 6: fputs("&AUTO=ANY=", to); break;
	default: {
		bool array = next(2);

		fputc(array ? '[' : '{', to);
		for (uint64_t i = next(4), first = i; i; i--) {
			fputs(i < first ? ", " : "", to);
			random_arg(to, levels - 1, results);
		}
		fputc(array ? ']' : '}', to);
		return;
	}
	}
	random_arg(to, levels - 1, results);
}

static void round_trip(void **state)
{
	const char *wanted = getenv("UMBRA_TEST_SEED");
	const uint64_t first = wanted ? strtoull(wanted, NULL, 0) : 1;

	(void)state;
	print_message("# seed %" PRIu64 "\n", first);
	for (uint64_t i = 0; i < 3000; i++) {
		char *text = NULL, *once, *twice;
		size_t size;
		FILE *to = open_memstream(&text, &size);
		struct syz_program *program;

		assert_non_null(to);
		seed = first + i;
		for (unsigned call = 0; call < 5; call++) {
			fprintf(to, "r%u = call$%u(", call, call);
			random_arg(to, 5, call);
			fprintf(to, ")%s\n", next(3) ? "" : " (async)");
		}
		fclose(to);
		program = parse(text);
		once = printed(program, 0);
		syz_free(program);
		program = parse(once);
		twice = printed(program, 0);
		syz_free(program);
		assert_string_equal(once, twice);
		free(text);
		free(once);
		free(twice);
	}
}

/* Every prefix and every byte changed of a good program: an answer, and no crash. */
static void damaged(void **state)
{
	static const char good[] = "r0 = f(&(0x7f0000000000/0x20)=nil, {@a=[0x1, 'q\\x00']})\n"
				   "g(\"0aff\"/4, <r1=>0x3, &AUTO=ANY=[@B=\"$QQ==\"]) (rerun: 3)\n";
	char text[sizeof(good)];
	struct syz_error error;

	(void)state;
	syz_free(parse(good));
	for (size_t i = 0; i < sizeof(good); i++) {
		syz_free(syz_parse(good, i, &error));
		for (unsigned byte = 0; byte < 256; byte++) {
			memcpy(text, good, sizeof(good));
			text[i] = (char)byte;
			syz_free(syz_parse(text, sizeof(good) - 1, &error));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understood), cmocka_unit_test(fields),
		cmocka_unit_test(refused),    cmocka_unit_test(depth),
		cmocka_unit_test(limited),    cmocka_unit_test(round_trip),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
