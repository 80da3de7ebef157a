/* SPDX-License-Identifier: MIT */
/*
 * test_guests.c - the built-in guest in every mode and configuration, strict and
 * hostile: no access may come out otherwise than on the bare machine.
 */
#include "tests/lab/common.h"

/* What may vary besides: how the host's memory and the tables are. */
struct variant {
	const char *name;
	uint8_t page_level;
	bool skew, no_ad;
	enum umbra_layout layout;
	uint32_t page_limit;
	unsigned choices;
};

static const struct variant variants[] = {
	{"1G pages", 3, false, false, UMBRA_LAYOUT_7_3, 0, 0},
	{"2M pages, speculation", 2, false, false, UMBRA_LAYOUT_004, 0, MODEL_SPECULATE},
	{"4K pages, no EPT A/D", 1, false, true, UMBRA_LAYOUT_6_12, 0, 0},
	{"skewed memory, 64 tables at most", 3, true, false, UMBRA_LAYOUT_7_3, 64, 0},
	{"A set in walks that fault", 3, false, false, UMBRA_LAYOUT_7_3, 0,
	 MODEL_A_ON_FAULT | MODEL_A_ON_DENIED},
};
#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

static void run_one(const struct test_setup *setup, const struct variant *variant,
		    enum builtin_mode mode, enum model_caching caching)
{
	struct lab_config config = test_config(setup, caching);
	const struct sweep sweep = {.seed = mode + 1, .sample = scaled(6000)};
	struct test_lab t;

	config.page_level = variant->page_level;
	config.skew = variant->skew;
	config.layout = variant->layout;
	config.choices = variant->choices;
	config.page_limit = variant->page_limit;
	if (variant->no_ad)
		config.cpu.features &= ~UMBRA_CPU_EPT_AD;
	/* Bit 10 is not free for MBEC in the older layouts. */
	if (variant->layout != UMBRA_LAYOUT_7_3)
		config.exec_by_mode = false;
	test_open(&t, &config, mode);
	sweep_builtin(t.lab, t.builtin, &sweep);
	if (lab_counts(t.lab)->differences)
		fail_msg("%s, %s, guest %s, %s: %llu differences", setup->name, variant->name,
			 builtin_mode_name(mode), caching == MODEL_HOSTILE ? "hostile" : "strict",
			 (unsigned long long)lab_counts(t.lab)->differences);
	assert_true(lab_counts(t.lab)->accesses > 100);
	test_close(&t);
}

static void run_setup(void **state)
{
	const struct test_setup *setup = *state;

	for (unsigned v = 0; v < VARIANTS; v++) {
		for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
			/* The choices and the caches are the UMBRA machine's alone. */
			run_one(setup, &variants[v], mode, MODEL_STRICT);
			run_one(setup, &variants[v], mode, MODEL_HOSTILE);
		}
	}
}

/*
 * Under shadow paging a guest may be shown less than the CPU has: its entries are
 * then checked by its own rules, in software alone.
 */
static void run_poor_guests(void **state)
{
	static const struct {
		uint32_t lacks;
		uint8_t maxphyaddr;
	} poor[] = {
		{UMBRA_CPU_1G, 0},
		{UMBRA_CPU_NX, 0},
		{UMBRA_CPU_PSE36, 0},
		{UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_PGE, 40},
		{UMBRA_CPU_PKU | UMBRA_CPU_PKS | UMBRA_CPU_SHSTK, 36},
		{UMBRA_CPU_SMEP | UMBRA_CPU_SMAP, 0},
		{UMBRA_CPU_PAT, 0},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(poor) / sizeof(poor[0]); i++) {
		for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
			struct lab_config config = test_config(&test_setups[5 + i % 2], i & 1);
			const struct sweep sweep = {.seed = i, .sample = scaled(6000)};
			struct test_lab t;

			config.guest_features = ~poor[i].lacks;
			config.guest_maxphyaddr = poor[i].maxphyaddr;
			test_open(&t, &config, mode);
			sweep_builtin(t.lab, t.builtin, &sweep);
			if (lab_counts(t.lab)->differences)
				fail_msg("features without 0x%x, MAXPHYADDR %u, guest %s",
					 poor[i].lacks, poor[i].maxphyaddr,
					 builtin_mode_name(mode));
			test_close(&t);
		}
	}
}

/* Two VMs of different vendors, step by step in turns, in one process. */
static void run_two(void **state)
{
	const struct lab_config intel = test_config(&test_setups[0], MODEL_HOSTILE);
	const struct lab_config amd = test_config(&test_setups[2], MODEL_HOSTILE);
	const struct lab_config shadow = test_config(&test_setups[5], MODEL_HOSTILE);
	const struct lab_config *const configs[] = {&intel, &amd, &shadow};
	struct test_lab t[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		test_open(&t[i], configs[i], BUILTIN_32 + i);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 3; i++) {
			struct program program = {.seed = round * 3 + i, .steps = 20};

			assert_int_equal(program_run(t[i].lab, t[i].builtin, &program), 0);
		}
	}
	for (unsigned i = 0; i < 3; i++)
		test_close(&t[i]);
}

int main(void)
{
	struct CMUnitTest tests[TEST_SETUPS + 2];

	for (unsigned i = 0; i < TEST_SETUPS; i++)
		tests[i] = (struct CMUnitTest){test_setups[i].name, run_setup, NULL, NULL,
					       (void *)(uintptr_t)&test_setups[i]};
	tests[TEST_SETUPS] =
		(struct CMUnitTest){"two vendors in one process", run_two, NULL, NULL, NULL};
	tests[TEST_SETUPS + 1] =
		(struct CMUnitTest){"guests on lesser CPUs", run_poor_guests, NULL, NULL, NULL};
	return cmocka_run_group_tests_name("guests", tests, NULL, NULL);
}
