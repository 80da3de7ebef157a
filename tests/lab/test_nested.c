/* SPDX-License-Identifier: MIT */
/*
 * test_nested.c - L1 runs L2 on tables of its own: what both see is what they would see
 * on the bare machine.
 */
#include "lab/l1.h"
#include "tests/lab/common.h"

#define ACCESSES 600

struct place {
	const char *name;
	unsigned setup; /* of test_setups */
	enum l1_kind kind;
	bool exec_by_mode, readonly_tables, ad;
};

static const struct place places[] = {
	{"EPT 4 on EPT 4", 0, L1_EPT_4, true, false, true},
	{"EPT 4 on EPT 5", 1, L1_EPT_4, false, false, false},
	{"EPT 5 on EPT 5", 1, L1_EPT_5, true, false, true},
	{"NPT 32 on NPT PAE", 2, L1_NPT_32, false, false, false},
	{"NPT PAE on NPT PAE", 2, L1_NPT_PAE, true, true, false},
	{"NPT 32pse on NPT 4", 3, L1_NPT_32_PSE, false, true, false},
	{"NPT 4 on NPT 5", 4, L1_NPT_4, true, false, false},
	{"NPT 5 on NPT 5", 4, L1_NPT_5, false, false, false},
	{"none on EPT 4", 0, L1_PLAIN, false, false, false},
	{"none on NPT 5", 4, L1_PLAIN, false, false, false},
	{"none on shadow intel", 5, L1_PLAIN, false, false, false},
	{"none on shadow amd", 6, L1_PLAIN, false, false, false},
};
#define PLACES (sizeof(places) / sizeof(places[0]))

static void run(const struct place *place, enum builtin_mode mode, enum model_caching caching)
{
	const struct l1_config c = {
		.kind = place->kind,
		.exec_by_mode = place->exec_by_mode,
		.readonly_tables = place->readonly_tables,
		.ad = place->ad,
		.pml = place->ad && mode == BUILTIN_4,
		.nxe = true,
		.large = true,
		.seed = mode * 2 + caching,
	};
	struct lab_config config = test_config(&test_setups[place->setup], caching);
	const struct builtin_config guest = {
		.mode = mode,
		.cpu = lab_guest_cpu(&config),
		.high = l1_kind_high(place->kind) && config.levels != 3,
		.like = test_like(),
	};
	struct builtin *builtin = builtin_new(&guest);
	struct l1 *l1;
	struct lab *lab;
	const struct lab_memory *memory;
	char error[256] = "";
	unsigned count, shown = 0;

	config.choices = caching == MODEL_HOSTILE ? l1_choices(&c) : 0;
	assert_non_null(builtin);
	l1 = l1_new(&c, &config, builtin);
	assert_non_null(l1);
	memory = l1_memory(l1, &count);
	lab = lab_new(&config, memory, count, error, sizeof(error));
	if (!lab)
		fail_msg("%s", error);
	lab_on_difference(lab, test_show, &shown);
	l1_run(lab, l1, scaled(ACCESSES));
	if (lab_counts(lab)->differences)
		fail_msg("%s, guest %s, %s: %llu differences", place->name, builtin_mode_name(mode),
			 caching ? "hostile" : "strict",
			 (unsigned long long)lab_counts(lab)->differences);
	assert_true(lab_counts(lab)->completed > 0);
	lab_free(lab);
	l1_free(l1);
	builtin_free(builtin);
}

static void every_guest(void **state)
{
	const struct place *place = *state;

	for (enum builtin_mode mode = 0; mode < BUILTIN_MODES; mode++) {
		for (unsigned caching = 0; caching < 2; caching++)
			run(place, mode, caching);
	}
}

int main(void)
{
	struct CMUnitTest tests[PLACES];

	for (unsigned i = 0; i < PLACES; i++)
		tests[i] = (struct CMUnitTest){places[i].name, every_guest, NULL, NULL,
					       (void *)(uintptr_t)&places[i]};
	return _cmocka_run_group_tests("nested", tests, PLACES, NULL, NULL);
}
