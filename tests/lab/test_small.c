/* SPDX-License-Identifier: MIT */
/*
 * test_small.c - the smallest cut of test_program that still sees every kind of
 * table and every guest mode, for tools/mutate: about a second, the same each time.
 */
#include "tests/lab/common.h"

static void run(const struct test_setup *setup, enum builtin_mode mode, uint64_t seed)
{
	struct lab_config config = test_config(setup, MODEL_HOSTILE);
	struct program program = {
		.seed = seed,
		.steps = 200,
		.audit_every = 20,
		.compare_every = 100,
		.stop = true,
	};
	struct test_lab t;

	config.cpus = 1 + seed % 2;
	/* Few pages: recycling is part of it. */
	config.page_limit = seed % 3 ? 0 : 64;
	test_open(&t, &config, mode);
	if (program_run(t.lab, t.builtin, &program))
		fail_msg("%s, guest %s, seed %llu: a difference by step %llu", setup->name,
			 builtin_mode_name(mode), (unsigned long long)seed,
			 (unsigned long long)program.done);
	test_close(&t);
}

static void shadow_modes(void **state)
{
	(void)state;
	for (unsigned mode = 0; mode < BUILTIN_MODES; mode++)
		run(&test_setups[5 + mode % 2], mode, mode + 1);
}

static void two_dimensions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		run(&test_setups[i], BUILTIN_MODES - 1 - i, i + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shadow_modes),
		cmocka_unit_test(two_dimensions),
	};

	return cmocka_run_group_tests_name("small", tests, NULL, NULL);
}
