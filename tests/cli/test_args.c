/* SPDX-License-Identifier: MIT */
/*
 * test_args.c - the parsers of cli/args.h: worked values, refusals, and a seeded
 * random test that holds each against a naive second opinion.
 */
#include "cli/args.h"
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct args_symbol bits[] = {
	{"pse", 1u << 4}, {"pae", 1u << 5}, {"pge", 1u << 7}, {"smep", 1u << 20}, {NULL, 0},
};
static const struct args_symbol vendors[] = {{"intel", 0}, {"amd", 1}, {NULL, 0}};

static void numbers(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} rows[] = {
		{"0", true, 0},
		{"7", true, 7},
		{"18446744073709551615", true, UINT64_MAX},
		{"18446744073709551616", false, 0},
		{"99999999999999999999999", false, 0},
		{"0x0", true, 0},
		{"0xffffffffffffffff", true, UINT64_MAX},
		{"0x10000000000000000", false, 0},
		{"0XfF", true, 0xff},
		{"0xffff_8000_0000_0000", true, 0xffff800000000000},
		{"0xffff8000`00000000", true, 0xffff800000000000},
		{"0x_1", false, 0},
		{"0x1_", false, 0},
		{"0x1__2", false, 0},
		{"1_000", false, 0},
		{"010", false, 0},
		{"", false, 0},
		{"0x", false, 0},
		{"-1", false, 0},
		{"+1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1g", false, 0},
		{"ff", false, 0},
		{"1\xff", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 42;
		char error[128] = "";

		assert_int_equal(args_number(rows[i].text, &value, error, sizeof(error)),
				 rows[i].ok);
		assert_int_equal(value, rows[i].ok ? rows[i].value : 42);
		assert_int_equal(error[0] == 0, rows[i].ok);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} rows[] = {
		{"128M", true, 128ull << 20},
		{"128m", true, 128ull << 20},
		{"1k", true, 1024},
		{"0x10G", true, 16ull << 30},
		{"16777215T", true, 16777215ull << 40},
		{"16777216T", false, 0},
		{"5", true, 5},
		{"M", false, 0},
		{"1MB", false, 0},
		{"1.5G", false, 0},
		{"1 M", false, 0},
		{"", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 42;
		char error[128] = "";

		assert_int_equal(args_size(rows[i].text, &value, error, sizeof(error)), rows[i].ok);
		assert_int_equal(value, rows[i].ok ? rows[i].value : 42);
	}
}

static void symbols(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value; /* from 0x90: pse, pge */
	} rows[] = {
		{"pae", true, 0x20},
		{"pae,pge,smep", true, 0x1000a0},
		{"pae|pge", true, 0xa0},
		{"pae,0x1000", true, 0x1020},
		{"0", true, 0},
		{"0x350ef0", true, 0x350ef0},
		{"+pae", true, 0xb0},
		{"-pge", true, 0x10},
		{"+smep,-pse,-pge", true, 0x100000},
		{"+0x1000", true, 0x1090},
		{"+pae,pge", false, 0},
		{"pae,+pge", false, 0},
		{"pae,", false, 0},
		{",pae", false, 0},
		{"", false, 0},
		{"+", false, 0},
		{"PAE", false, 0},
		{"pa", false, 0},
		{"paex", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 0x90;
		char error[128] = "";

		assert_int_equal(args_symbols(rows[i].text, bits, &value, error, sizeof(error)),
				 rows[i].ok);
		assert_int_equal(value, rows[i].ok ? rows[i].value : 0x90);
		assert_int_equal(error[0] == 0, rows[i].ok);
	}
}

static void symbols_name_the_choices(void **state)
{
	uint64_t value = 0;
	char error[128];

	(void)state;
	assert_false(args_symbols("pae,foo", bits, &value, error, sizeof(error)));
	assert_string_equal(error, "'foo' is none of pse, pae, pge, smep");
	assert_false(args_choice("via", vendors, &value, error, sizeof(error)));
	assert_string_equal(error, "'via' is none of intel, amd");
	/* A small buffer is filled and ended, not overrun. */
	memset(error, 'x', sizeof(error));
	assert_false(args_symbols("foo", bits, &value, error, 20));
	assert_int_equal(strlen(error), 19);
	assert_int_equal(error[20], 'x');
}

enum { VENDOR, TDP, HOST, CR4, MEMORY, MAXPHYADDR, KEYS };
static const struct args_key keys[KEYS] = {
	[VENDOR] = {"vendor", ARGS_CHOICE, vendors, 0, 0},
	[TDP] = {"tdp", ARGS_BOOL, NULL, 0, 0},
	[HOST] = {"host", ARGS_NUMBER, NULL, 2, 5},
	[CR4] = {"cr4", ARGS_SYMBOLS, bits, 0, 0},
	[MEMORY] = {"memory", ARGS_SIZE, NULL, 4096, 0},
	[MAXPHYADDR] = {"maxphyaddr", ARGS_NUMBER, NULL, 32, 52},
};

static void configurations(void **state)
{
	struct args_value v[KEYS] = {[HOST] = {false, 4}};
	char error[256];

	(void)state;
	assert_true(args_config("vendor=amd,tdp=1,host=5,maxphyaddr=48", keys, KEYS, v, error,
				sizeof(error)));
	assert_true(v[VENDOR].given && v[VENDOR].number == 1);
	assert_true(v[TDP].given && v[TDP].number == 1);
	assert_int_equal(v[HOST].number, 5);
	assert_int_equal(v[MAXPHYADDR].number, 48);
	assert_false(v[CR4].given);

	/* Items without '=' belong to the key before them. */
	assert_true(
		args_config("cr4=pae,pge,tdp=off,memory=2M", keys, KEYS, v, error, sizeof(error)));
	assert_int_equal(v[CR4].number, 0xa0);
	assert_int_equal(v[TDP].number, 0);
	assert_int_equal(v[MEMORY].number, 2 << 20);
	/* Given before, and not now: stays. */
	assert_int_equal(v[HOST].number, 5);
}

static void configurations_refused(void **state)
{
	static const char *const rows[][2] = {
		{"", "'' is not KEY=VALUE"},
		{"tdp", "'tdp' is not KEY=VALUE"},
		{"tdp=1,", "tdp='1,' is none of 0, 1, no, yes, off, on, false, true"},
		{",tdp=1", "'' is not KEY=VALUE"},
		{"=1", "unknown key '', expected one of vendor, tdp, host, cr4, memory, "
		       "maxphyaddr"},
		{"foo=1", "unknown key 'foo', expected one of vendor, tdp, host, cr4, memory, "
			  "maxphyaddr"},
		{"tdp=1,tdp=0", "tdp is given twice"},
		{"host=6", "host='6' is not in 2..5"},
		{"host=1", "host='1' is not in 2..5"},
		{"memory=1", "memory='1' is less than 4096"},
		{"vendor=AMD", "vendor='AMD' is none of intel, amd"},
		{"vendor=", "vendor='' is none of intel, amd"},
		{"tdp=1,amd", "tdp='1,amd' is none of 0, 1, no, yes, off, on, false, true"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct args_value v[KEYS] = {[HOST] = {false, 4}};
		struct args_value before[KEYS];
		char error[256] = "";

		memcpy(before, v, sizeof(v));
		assert_false(args_config(rows[i][0], keys, KEYS, v, error, sizeof(error)));
		assert_string_equal(error, rows[i][1]);
		assert_memory_equal(v, before, sizeof(v));
	}

	/* A value that is too long. */
	struct args_value v[KEYS] = {{false, 0}};
	char text[1024], error[256];

	memset(text, 'a', sizeof(text));
	memcpy(text, "vendor=", 7);
	text[sizeof(text) - 1] = 0;
	assert_false(args_config(text, keys, KEYS, v, error, sizeof(error)));
	assert_string_equal(error, "vendor: the value is longer than 255 bytes");
}

static void guesses(void **state)
{
	static const char *const names[] = {"run", "matrix", "walk", "map", "decode", "bench"};

	(void)state;
	assert_string_equal(args_similar("matrx", names, 6), "matrix");
	assert_string_equal(args_similar("wlak", names, 6), "walk");
	assert_string_equal(args_similar("decoed", names, 6), "decode");
	assert_null(args_similar("frobnicate", names, 6));
	assert_null(args_similar("", names, 6));
}

/* ---- options ---- */

struct given {
	bool flag, seen;
	uint64_t number, count, set;
	const char *text;
};

static bool parse(struct given *g, struct args_spec *spec, int argc, char **argv)
{
	const struct args_option options[] = {
		{.name = "flag", .letter = 'f', .kind = ARGS_FLAG, .help = "", .flag = &g->flag},
		{.name = "number",
		 .letter = 'n',
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "",
		 .min = 1,
		 .max = 9,
		 .number = &g->number,
		 .given = &g->seen},
		{.name = "verbose",
		 .letter = 'v',
		 .kind = ARGS_COUNT,
		 .help = "",
		 .number = &g->count},
		{.name = "text",
		 .letter = 't',
		 .kind = ARGS_TEXT,
		 .metavar = "S",
		 .help = "",
		 .text = &g->text},
		{.name = "set",
		 .kind = ARGS_SYMBOLS,
		 .metavar = "BITS",
		 .help = "",
		 .symbols = bits,
		 .number = &g->set},
	};

	*spec = (struct args_spec){
		.name = "test",
		.synopsis = "[A] [B]",
		.summary = "",
		.groups = {{options, 5}},
		.rest_max = 2,
	};
	return args_parse(spec, argc, argv);
}

static void options(void **state)
{
	struct given g = {.count = 0};
	struct args_spec spec;
	char *argv[] = {"test",  "a",   "--number=3", "-vvf", "--text", "--flag", "-t=x",
			"--set", "pae", "-v",         "--",   "-n",     NULL};

	(void)state;
	assert_true(parse(&g, &spec, 12, argv));
	assert_true(g.flag && g.seen);
	assert_int_equal(g.number, 3);
	assert_int_equal(g.count, 3);
	assert_string_equal(g.text, "=x");
	assert_int_equal(g.set, 0x20);
	assert_int_equal(spec.rest_count, 2);
	assert_string_equal(spec.rest[0], "a");
	assert_string_equal(spec.rest[1], "-n");
}

/* Random texts from an alphabet that makes near misses likely. */
static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void random_text(uint64_t *seed, char *text, size_t size)
{
	static const char *const pieces[] = {
		"0",          "1",      "9",   "0x",    "f",      "F",       "pae",  "pge",
		"smep",       ",",      "|",   "+",     "-",      "=",       "tdp",  "cr4",
		"host",       "vendor", "amd", "intel", "memory", "K",       "M",    "T",
		"_",          "`",      " ",   "%s",    "\n",     "\xff",    "\x01", "184467440737",
		"maxphyaddr", "on",     "off", "8",     "tdp=1",  "host=4,", "cr4=",
	};
	size_t length = 0;

	text[0] = 0;
	for (uint64_t count = next(seed) % 10; count > 0; count--) {
		const char *piece = pieces[next(seed) % (sizeof(pieces) / sizeof(pieces[0]))];

		if (length + strlen(piece) + 1 > size)
			break;
		memcpy(text + length, piece, strlen(piece) + 1);
		length += strlen(piece);
	}
}

/* strtoull's opinion of a number without separators. */
static bool second_opinion(const char *text, uint64_t *value)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	char back[32];

	if (!*digits ||
	    strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return false;
	if (!hex && digits[0] == '0' && digits[1])
		return false;
	while (digits[0] == '0' && digits[1])
		digits++;
	if (strlen(digits) > (hex ? 16 : 20))
		return false;
	*value = strtoull(digits, NULL, hex ? 16 : 10);
	snprintf(back, sizeof(back), hex ? "%" PRIx64 : "%" PRIu64, *value);
	return !strcasecmp(back, digits);
}

static void random_inputs(void **state)
{
	const char *given = getenv("UMBRA_TEST_SEED");
	const char *scale = getenv("UMBRA_TEST_SCALE");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 0x5eed;
	unsigned count = scale && !strcmp(scale, "small") ? 20000 : 400000;
	unsigned accepted[4] = {0};

	(void)state;
	print_message("# seed %#" PRIx64 " (UMBRA_TEST_SEED)\n", seed);
	seed = seed ? seed : 1;
	for (unsigned i = 0; i < count; i++) {
		char text[128], error[160];
		uint64_t value = 1, expected = 1;
		size_t room = 1 + next(&seed) % sizeof(error);
		struct args_value v[KEYS] = {{false, 0}};
		bool ok;

		random_text(&seed, text, sizeof(text));
		memset(error, 0, sizeof(error));
		ok = args_number(text, &value, error, room);
		accepted[0] += ok;
		if (!strpbrk(text, "_`")) {
			assert_int_equal(ok, second_opinion(text, &expected));
			if (ok)
				assert_int_equal(value, expected);
		}
		accepted[1] += args_size(text, &value, error, room);
		value = 0;
		ok = args_symbols(text, bits, &value, error, room);
		accepted[2] += ok;
		accepted[3] += args_config(text, keys, KEYS, v, error, room);
		for (size_t e = room; e < sizeof(error); e++)
			assert_int_equal(error[e], 0);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_true(accepted[i] > count / 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),        cmocka_unit_test(sizes),
		cmocka_unit_test(symbols),        cmocka_unit_test(symbols_name_the_choices),
		cmocka_unit_test(configurations), cmocka_unit_test(configurations_refused),
		cmocka_unit_test(guesses),        cmocka_unit_test(options),
		cmocka_unit_test(random_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
