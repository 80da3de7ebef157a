/* SPDX-License-Identifier: MIT */
/*
 * test_out.c - cli/out.h: what reaches a pipe, a terminal and a full disk.
 *
 * stdout and stderr are pointed at a temporary file or a pseudo-terminal for the
 * length of a case, and put back before anything is asserted.
 */
#include "cli/out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct capture {
	int saved[2];
	int end; /* where the output is read */
	char text[4096];
};

static void point(struct capture *c, int to)
{
	fflush(stdout);
	for (int fd = 1; fd <= 2; fd++) {
		c->saved[fd - 1] = dup(fd);
		dup2(to, fd);
	}
}

static void restore(struct capture *c)
{
	fflush(stdout);
	clearerr(stdout);
	for (int fd = 1; fd <= 2; fd++) {
		dup2(c->saved[fd - 1], fd);
		close(c->saved[fd - 1]);
	}
}

static void begin(struct capture *c, bool terminal)
{
	int to;

	memset(c, 0, sizeof(*c));
	if (terminal) {
		assert_int_equal(openpty(&c->end, &to, NULL, NULL, NULL), 0);
		fcntl(c->end, F_SETFL, O_NONBLOCK);
		point(c, to);
		close(to);
	} else {
		char name[] = "/tmp/umbra-test-XXXXXX";

		c->end = mkstemp(name);
		assert_true(c->end >= 0);
		unlink(name);
		point(c, c->end);
	}
}

static const char *end(struct capture *c, bool terminal)
{
	size_t length = 0;
	ssize_t n;

	fflush(stdout);
	if (!terminal)
		lseek(c->end, 0, SEEK_SET);
	/* A terminal hands out what was written piece by piece. */
	while ((n = read(c->end, c->text + length, sizeof(c->text) - 1 - length)) > 0)
		length += (size_t)n;
	restore(c);
	close(c->end);
	c->text[length] = 0;
	return c->text;
}

static void fill_table(struct out *out)
{
	struct out_table table;

	out_table_init(&table, out, "guest|host|faults");
	out_table_row(&table, "%s|%s|%d", "4-level", "EPT 5", 12345);
	out_table_row(&table, "%s|%s|%d", "2-level", "shadow", 7);
	out_table_row(&table, "PAE|\xc3\xa9\xc3\xa9");
	out_table_print(&table);
}

static void tables_are_aligned(void **state)
{
	struct capture c;
	struct out out;

	(void)state;
	begin(&c, false);
	out_init(&out, false, false);
	fill_table(&out);
	assert_int_equal(out_finish(&out, CLI_FINDING), CLI_FINDING);
	assert_string_equal(end(&c, false), "guest    host    faults\n"
					    "4-level  EPT 5    12345\n"
					    "2-level  shadow       7\n"
					    "PAE      \xc3\xa9\xc3\xa9            \n");
}

static void json_lines(void **state)
{
	struct capture c;
	struct out out;

	(void)state;
	begin(&c, false);
	out_init(&out, true, false);
	out_json(&out, json_pack("{s:s, s:o, s:o}", "source", "a\nb", "gpa", out_hex(~0ull),
				 "faults", out_count(~0ull)));
	out_json(&out, json_object());
	assert_int_equal(out_finish(&out, CLI_OK), CLI_OK);
	assert_string_equal(end(&c, false),
			    "{\"schema\":1,\"source\":\"a\\nb\",\"gpa\":\"0xffffffffffffffff\","
			    "\"faults\":9223372036854775807}\n"
			    "{\"schema\":1}\n");
}

static void json_without_memory_is_told(void **state)
{
	struct capture c;
	struct out out;

	(void)state;
	begin(&c, false);
	out_init(&out, true, false);
	out_json(&out, NULL);
	assert_int_equal(out_finish(&out, CLI_OK), CLI_BADINPUT);
	assert_string_equal(end(&c, false), "umbra: out of memory while printing\n");
}

static void colour_on_terminals_only(void **state)
{
	struct capture c;
	struct out out;
	bool colour[4];

	(void)state;
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	begin(&c, true);
	out_init(&out, false, false);
	colour[0] = out.colour && *out_style(&out, OUT_RED);
	out_init(&out, true, false);
	colour[1] = out.colour || *out_style(&out, OUT_RED);
	setenv("NO_COLOR", "1", 1);
	out_init(&out, false, false);
	colour[2] = out.colour || *out_style(&out, OUT_RED);
	unsetenv("NO_COLOR");
	setenv("TERM", "dumb", 1);
	out_init(&out, false, false);
	colour[3] = out.colour || out.progress;
	end(&c, true);
	assert_true(colour[0]);
	assert_false(colour[1]);
	assert_false(colour[2]);
	assert_false(colour[3]);
}

/* For @ms milliseconds. */
static void work(struct out *out, unsigned ms)
{
	const struct timespec nap = {0, 20 * 1000000};

	for (unsigned t = 0; t < ms; t += 20) {
		out_progress(out, "walking", t, ms);
		nanosleep(&nap, NULL);
	}
}

static void progress(void **state)
{
	struct capture c;
	struct out out;
	const char *text;

	(void)state;
	setenv("TERM", "xterm", 1);
	begin(&c, true);
	out_init(&out, false, false);
	work(&out, 400);
	assert_int_equal(out_finish(&out, CLI_OK), CLI_OK);
	assert_string_equal(end(&c, true), "");

	begin(&c, true);
	out_init(&out, false, false);
	work(&out, 1400);
	assert_int_equal(out_finish(&out, CLI_OK), CLI_OK);
	text = end(&c, true);
	assert_non_null(strstr(text, "walking ["));
	assert_string_equal(text + strlen(text) - 4, "\r\033[K");

	begin(&c, true);
	out_init(&out, false, true);
	work(&out, 1200);
	assert_int_equal(out_finish(&out, CLI_OK), CLI_OK);
	assert_string_equal(end(&c, true), "");

	begin(&c, false);
	out_init(&out, false, false);
	work(&out, 1200);
	assert_int_equal(out_finish(&out, CLI_OK), CLI_OK);
	assert_string_equal(end(&c, false), "");
}

static void errors_are_one_line(void **state)
{
	struct capture c;
	char longest[3000];

	(void)state;
	begin(&c, false);
	assert_int_equal(cli_error(CLI_BADINPUT, "%s: bad", "a\nb\r\033[31mc\x7f"), CLI_BADINPUT);
	assert_string_equal(end(&c, false), "umbra: a?b??[31mc?: bad\n");

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	begin(&c, false);
	cli_error(CLI_USAGE, "%s", longest);
	end(&c, false);
	assert_ptr_equal(strchr(c.text, '\n'), c.text + strlen(c.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(json_without_memory_is_told),
		cmocka_unit_test(colour_on_terminals_only),
		cmocka_unit_test(progress),
		cmocka_unit_test(errors_are_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
