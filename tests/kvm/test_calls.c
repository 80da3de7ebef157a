/* SPDX-License-Identifier: MIT */
/*
 * test_calls.c - random calls of the KVM interface: no crash, no finding, no result that no
 * call has. The seed is printed; UMBRA_TEST_SEED runs another, UMBRA_TEST_STEPS more.
 */
#include "tests/kvm/calls.h"
#include "tests/kvm/kit.h"

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void random_calls(void **state)
{
	const char *wanted = getenv("UMBRA_TEST_SEED"), *steps = getenv("UMBRA_TEST_STEPS");
	const char *scale = getenv("UMBRA_TEST_SCALE");
	const uint64_t first = wanted ? strtoull(wanted, NULL, 0) : 1;
	const uint64_t runs = steps                              ? strtoull(steps, NULL, 0)
			      : scale && !strcmp(scale, "small") ? 200
								 : 1500;

	(void)state;
	print_message("# seed %" PRIu64 "\n", first);
	for (uint64_t run = 0; run < runs; run++) {
		uint64_t seed = (first + run) * 0x9e3779b97f4a7c15 | 1;
		uint8_t data[1024];
		unsigned count;

		for (size_t i = 0; i < sizeof(data); i++) {
			data[i] = (uint8_t)(next(&seed) >> 32);
			/* Values as they are seldom get far. */
			if (next(&seed) >> 40 & 7)
				data[i] &= 0x7f;
		}
		if (calls_run(data, sizeof(data), 64, &count))
			fail_msg("a finding in run %" PRIu64 ": UMBRA_TEST_SEED=%" PRIu64, run,
				 first + run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_calls)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
