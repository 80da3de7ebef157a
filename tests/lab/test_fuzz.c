/* SPDX-License-Identifier: MIT */
/*
 * test_fuzz.c - programs of lab/fuzz.h: the ones that found something once, some
 * random ones, their text, and each failure of a host hook along one of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lab/fuzz.h"

#define FEATURES 0x03ffffffu
#define AMD_FEATURES (UMBRA_CPU_REWALK | UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_BIT8_MBZ)

static struct lab_config config_of(unsigned index)
{
	const bool amd = index & 1;

	return (struct lab_config){
		.cpu = {.vendor = amd ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL,
			.maxphyaddr = 46,
			.features = FEATURES | (amd ? AMD_FEATURES : 0)},
		.paging = index < 6 ? UMBRA_PAGING_SHADOW
			  : amd     ? UMBRA_PAGING_NPT
				    : UMBRA_PAGING_EPT,
		.levels = index < 6 ? 0 : 4,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = index & 2 ? 1 : 3,
		.page_limit = index & 4 ? 64 : 0,
		.caching = MODEL_HOSTILE,
	};
}

static bool scale_is(const char *name)
{
	const char *scale = getenv("UMBRA_TEST_SCALE");

	return scale && !strcmp(scale, name);
}

static void check(const struct fuzz_result *result)
{
	if (*result->skipped || result->found)
		fail_msg("%s after %u steps: %s%s", result->kind, result->done, result->what,
			 result->skipped);
}

static void run_random(void **state)
{
	const struct fuzz_limits limits = {.audit_every = 1};
	const unsigned programs = scale_is("small") ? 16 : 64;

	(void)state;
	for (unsigned i = 0; i < programs; i++) {
		const bool nested = i / 8 & 1;
		/* With hypervisors more often EPT and NPT. */
		const struct lab_config config = config_of(nested ? 4 + i % 4 : i % 8);
		struct fuzz_program program = {.vcpus = 1};
		struct fuzz_result result;

		assert_true(
			(nested ? fuzz_make_nested : fuzz_make)(&program, &config, 1000 + i, 1000));
		fuzz_run(&program, &config, &limits, &result);
		if (result.found)
			print_message("# seed %u:\n", 1000 + i);
		check(&result);
		fuzz_program_free(&program);
	}
	print_message("# seeds 1000 to %u\n", 999 + programs);
}

/* The text says everything. */
static void keep_text(void **state)
{
	const struct lab_config config = config_of(6);
	struct fuzz_program made = {.config = "vendor=intel", .vcpus = 1}, read;
	char path[] = "/tmp/umbra-fuzz-XXXXXX", error[256];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	assert_true(fuzz_make_nested(&made, &config, 7, 3000));
	assert_true(fuzz_write(&made, path));
	if (!fuzz_read(&read, path, error, sizeof(error)))
		fail_msg("%s", error);
	unlink(path);
	assert_string_equal(made.config, read.config);
	assert_int_equal(made.vcpus, read.vcpus);
	assert_int_equal(made.count, read.count);
	for (unsigned i = 0; i < made.count; i++) {
		char a[256], b[256];

		fuzz_step_text(&made.step[i], a, sizeof(a));
		fuzz_step_text(&read.step[i], b, sizeof(b));
		assert_string_equal(a, b);
	}
	fuzz_program_free(&made);
	fuzz_program_free(&read);
}

/*
 * Each @step'th call of a hook that may fail - a table page, small memory, a pin - does
 * so once along a long program; what comes after must be right, the audit clean, and
 * nothing left when the VM has ended (machine_close).
 */
static void fail_each_of(unsigned which, bool nested, unsigned step)
{
	const struct lab_config config = config_of(which);
	struct fuzz_program program = {.vcpus = 1};
	unsigned failures = 0;
	bool more = true;

	assert_true((nested ? fuzz_make_nested : fuzz_make)(&program, &config, 3, 2000));
	assert_true(program.count >= 2000);
	for (unsigned nth = 1; more; nth += step) {
		const struct fuzz_limits limits = {.audit_every = 64, .fail_nth = nth};
		struct fuzz_result result;

		fuzz_run(&program, &config, &limits, &result);
		check(&result);
		more = result.failed;
		failures += result.failed;
	}
	print_message("# %u calls of hooks failed, one a run\n", failures);
	assert_true(failures > 20);
	fuzz_program_free(&program);
}

static void fail_each(void **state)
{
	const bool small = scale_is("small"), full = scale_is("full");

	(void)state;
	fail_each_of(0, false, full ? 1 : small ? 17 : 3);
	fail_each_of(6, true, full ? 1 : small ? 31 : 13);
	fail_each_of(7, true, full ? 1 : small ? 31 : 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_random),
		cmocka_unit_test(keep_text),
		cmocka_unit_test(fail_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
