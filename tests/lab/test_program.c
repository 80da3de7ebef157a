/* SPDX-License-Identifier: MIT */
/*
 * test_program.c - random guest programs that edit their page tables and do the
 * invalidations that the architecture requires: exactly the bare machine's
 * results, in every mode, configuration and temperament.
 *
 * Half of them on two CPUs (odd seeds), where flushes have to reach the other one.
 *
 * UMBRA_TEST_SEED (default 1) and UMBRA_TEST_STEPS choose another program; a
 * failure prints the seed and the step.
 */
#include "tests/lab/common.h"

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void run_one(const struct test_setup *setup, enum builtin_mode mode,
		    enum model_caching caching, struct program *program)
{
	struct lab_config config = test_config(setup, caching);
	struct test_lab t;
	uint64_t differences;

	config.cpus = 1 + program->seed % 2;
	test_open(&t, &config, mode);
	differences = program_run(t.lab, t.builtin, program);
	if (differences)
		fail_msg("%s, guest %s, %s, seed %llu: %llu differences by step %llu", setup->name,
			 builtin_mode_name(mode), caching == MODEL_HOSTILE ? "hostile" : "strict",
			 (unsigned long long)program->seed, (unsigned long long)differences,
			 (unsigned long long)program->done);
	test_close(&t);
}

/* All modes of one configuration. */
static void run_setup(void **state)
{
	const struct test_setup *setup = *state;
	const uint64_t seed = number("UMBRA_TEST_SEED", 1);
	const uint64_t steps = number("UMBRA_TEST_STEPS", scaled(5000));

	for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
		for (unsigned caching = 0; caching < 2; caching++) {
			struct program small = {
				.seed = seed + 1001,
				.steps = scaled(300),
				.audit_every = 1,
				.compare_every = 25,
				.stop = true,
			};
			struct program two = {
				.seed = seed * 2 + 1,
				.steps = steps,
				.audit_every = 500,
				.stop = true,
			};
			struct program large = {
				.seed = seed * 2,
				.steps = steps,
				.audit_every = 500,
				.stop = true,
			};

			run_one(setup, mode, caching, &small);
			run_one(setup, mode, caching, &large);
			run_one(setup, mode, caching, &two);
		}
	}
}

int main(void)
{
	struct CMUnitTest tests[TEST_SETUPS];

	for (unsigned i = 0; i < TEST_SETUPS; i++)
		tests[i] = (struct CMUnitTest){test_setups[i].name, run_setup, NULL, NULL,
					       (void *)(uintptr_t)&test_setups[i]};
	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
