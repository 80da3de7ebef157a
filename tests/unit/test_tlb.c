/* SPDX-License-Identifier: MIT */
/*
 * test_tlb.c - what an operation owes is flushed once, as one range, and told.
 */
#include "core/tlb.h"
#include "tests/unit/guest.h"

struct told {
	struct umbra_trace last;
	unsigned count;
};

static struct told told;

static void tell(void *context, const struct umbra_trace *event)
{
	(void)context;
	if (event->kind != UMBRA_TRACE_FLUSH)
		return;
	told.last = *event;
	told.count++;
}

static void open_told(struct kit *kit, enum umbra_paging paging)
{
	const struct posix_calls calls = {.context = kit, .flush = kit_flush, .trace = tell};
	struct umbra_vm_config config = kit_config(paging);

	config.trace = true;
	kit_open(kit, &config, 1);
	posix_set_calls(kit->host, &calls);
	told = (struct told){0};
	kit->flushes = 0;
}

/* One flush that covers [start, start + pages); none of it is owed any more. */
static void expect(struct kit *kit, struct tlb *tlb, uint64_t start, uint64_t pages)
{
	const uint64_t before = kit_stats(kit).tlb_flush;

	assert_true(kit->vm->mmu.flushes_owed == 1);
	tlb_commit(&kit->vm->mmu, tlb);
	assert_int_equal(kit->vm->mmu.flushes_owed, 0);
	assert_int_equal(kit->flushes, 1);
	assert_int_equal(kit->last.start.v, start);
	assert_int_equal(kit->last.pages, pages);
	assert_int_equal(kit_stats(kit).tlb_flush, before + 1);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.last.a, start);
	assert_int_equal(told.last.b, pages);
	assert_int_equal(told.last.c | told.last.d, 0);
	/* Paid: nothing more. */
	tlb_commit(&kit->vm->mmu, tlb);
	assert_int_equal(kit->flushes, 1);
	kit->flushes = 0;
	told.count = 0;
}

static void add(struct kit *kit, struct tlb *tlb, uint64_t start, uint64_t pages)
{
	tlb_add(&kit->vm->mmu, tlb, (umbra_gfn){start}, pages);
}

/* I-9: the range given covers all that was added, and no more than its hull. */
static void ranges(void **unused)
{
	struct tlb tlb = {0};
	struct kit kit;

	(void)unused;
	open_told(&kit, UMBRA_PAGING_EPT);
	add(&kit, &tlb, 100, 1);
	expect(&kit, &tlb, 100, 1);
	add(&kit, &tlb, 100, 4);
	add(&kit, &tlb, 102, 1);
	expect(&kit, &tlb, 100, 4);
	add(&kit, &tlb, 100, 4);
	add(&kit, &tlb, 512, 512);
	add(&kit, &tlb, 50, 3);
	expect(&kit, &tlb, 50, 1024 - 50);
	add(&kit, &tlb, 7, 1);
	tlb_add_all(&kit.vm->mmu, &tlb);
	expect(&kit, &tlb, 0, 0);
	tlb_add_all(&kit.vm->mmu, &tlb);
	add(&kit, &tlb, 7, 1);
	expect(&kit, &tlb, 0, 0);
	/* What was before is forgotten. */
	add(&kit, &tlb, 9, 2);
	expect(&kit, &tlb, 9, 2);
	kit_close(&kit);
}

/* Shadow tables are indexed by linear address: no range. */
static void shadow_all(void **unused)
{
	struct tlb tlb = {0};
	struct kit kit;

	(void)unused;
	open_told(&kit, UMBRA_PAGING_SHADOW);
	add(&kit, &tlb, 100, 1);
	expect(&kit, &tlb, 0, 0);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(shadow_all),
	};

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
