/* SPDX-License-Identifier: MIT */
/*
 * test_findings.c - what the auditor finds in the lab is told with the entry's past.
 */
#include "core/table.h"
#include "core/vcpu.h"
#include "tests/lab/common.h"

struct told {
	unsigned count;
	char text[2048];
};

static void keep(void *context, const struct lab_difference *difference)
{
	struct told *told = context;

	told->count++;
	assert_string_equal(difference->kind, "audit");
	lab_difference_print(difference, told->text, sizeof(told->text));
}

/* The leaf that was stored last. */
static uint64_t *last_leaf(struct mmu *mmu)
{
	for (uint64_t at = mmu->recent_count; at--;) {
		const struct umbra_trace *event = &mmu->recent[at % MMU_RECENT];
		struct table_at place;

		if (event->kind != UMBRA_TRACE_SET_SPTE || event->d != 1 ||
		    !entry_is_present(&mmu->kind, event->c))
			continue;
		place = table_at_location(mmu, event->a);
		if (table_read(mmu, place) == event->c)
			return &page_entries(mmu, place.page)[place.index];
	}
	fail();
	return NULL;
}

static void past_is_told(void **state)
{
	struct lab_config config = test_config(&test_setups[5], MODEL_STRICT);
	struct program program = {.seed = 7, .steps = 300};
	char want[96];
	struct test_lab t;
	struct told told = {0};
	struct mmu *mmu;
	uint64_t *leaf, good;

	(void)state;
	test_open(&t, &config, BUILTIN_4);
	assert_int_equal(program_run(t.lab, t.builtin, &program), 0);
	mmu = &lab_vm(t.lab)->mmu;
	leaf = last_leaf(mmu);
	good = *leaf;
	lab_on_difference(t.lab, keep, &told);
	assert_int_equal(lab_audit(t.lab), 0);
	*leaf = good | 1ull << 51;
	assert_int_equal(lab_audit(t.lab), 1);
	*leaf = good;
	assert_int_equal(told.count, 1);
	assert_ptr_equal(strstr(told.text, "audit I-14: a bit that hardware reserves is set\n"),
			 told.text);
	snprintf(want, sizeof(want), " new 0x%llx level 1", (unsigned long long)good);
	assert_non_null(strstr(told.text, "set_spte: at 0x"));
	if (!strstr(told.text, want))
		fail_msg("no '%s' in: %s", want, told.text);
	test_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(past_is_told),
	};

	return cmocka_run_group_tests_name("findings", tests, NULL, NULL);
}
