/* SPDX-License-Identifier: MIT */
/*
 * test_table.c - what goes when frames go: exactly the leaves and mirrors of them.
 */
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull

#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE

static void zap(struct kit *kit, uint64_t start, uint64_t pages)
{
	struct mmu *mmu = &kit->vm->mmu;
	struct edit edit = {.mmu = mmu};

	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	table_zap_frames(&edit, (umbra_gfn){start}, pages);
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	assert_clean(kit);
}

static void open_shadow(struct kit *kit)
{
	const struct umbra_regs long_mode = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PML4,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_root root;

	config.no_prefetch = true;
	kit_open(kit, &config, 1);
	put64(kit, PML4, PDPT | 7);
	put64(kit, PDPT, PD | 7);
	put64(kit, PD, PT | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(kit, PT + 8 * i, i * PAGE | 7);
	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, &long_mode, true), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
}

/* A frame's mirror goes with it; its neighbours' do not. */
static void mirrors(void **unused)
{
	const uint64_t page_count = 4; /* PML4, PDPT, PD, PT */
	struct kit kit;

	(void)unused;
	open_shadow(&kit);
	for (uint64_t gfn = 30; gfn < 34; gfn++)
		resume(&kit, gfn * PAGE, W);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, page_count);
	zap(&kit, 0, 1);
	zap(&kit, 5, 20);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, page_count);
	assert_int_equal(kit_stats(&kit).pages_4k, 4);
	/* Leaves: half-open. */
	zap(&kit, 31, 2);
	assert_true(look(&kit, 30 * PAGE).leaf);
	assert_false(look(&kit, 31 * PAGE).leaf);
	assert_false(look(&kit, 32 * PAGE).leaf);
	assert_true(look(&kit, 33 * PAGE).leaf);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, page_count);
	/* PT, the frame alone. */
	zap(&kit, PT / PAGE, 1);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, page_count - 1);
	assert_int_equal(look(&kit, 30 * PAGE).at.page->role.level, 2);
	kit_close(&kit);
}

/* A large leaf goes if any frame of it does. */
static void large_leaves(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 2);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(resume(&kit, i * 2 * MEG, W), 2);
	zap(&kit, 512 - 7, 7);
	zap(&kit, 2048, 7);
	assert_int_equal(kit_stats(&kit).pages_2m, 3);
	zap(&kit, 1024 + 511, 1);
	assert_true(look(&kit, 2 * MEG).leaf);
	assert_false(look(&kit, 4 * MEG).leaf);
	assert_true(look(&kit, 6 * MEG).leaf);
	zap(&kit, 1024, 513);
	assert_true(look(&kit, 2 * MEG).leaf);
	assert_false(look(&kit, 6 * MEG).leaf);
	zap(&kit, 1023, 1);
	assert_int_equal(kit_stats(&kit).pages_2m, 0);
	kit_close(&kit);
}

static struct umbra_trace last[UMBRA_TRACE_KINDS];

static void tell(void *context, const struct umbra_trace *event)
{
	(void)context;
	last[event->kind] = *event;
}

static void expect_trace(enum umbra_trace_kind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	assert_int_equal(last[kind].kind, kind);
	assert_int_equal(last[kind].a, a);
	assert_int_equal(last[kind].b, b);
	assert_int_equal(last[kind].c, c);
	assert_int_equal(last[kind].d, d);
}

/* What host.h says of the trace. */
static void trace(void **unused)
{
	const struct posix_calls calls = {.trace = tell};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct umbra_root root;
	struct page *page;
	uint64_t hpa, word;
	struct kit kit;

	(void)unused;
	config.trace = true;
	kit_open(&kit, &config, 1);
	posix_set_calls(kit.host, &calls);
	memset(last, 0, sizeof(last));
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	page = kit.vcpu->own.root;
	expect_trace(UMBRA_TRACE_ROOT, page->hpa.v, page->role.word, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		resume(&kit, 2 * MEG + i * PAGE, W);
	page = look(&kit, 2 * MEG).at.page;
	expect_trace(UMBRA_TRACE_GET_PAGE, 512, page->role.word, page->hpa.v, 1);
	expect_trace(UMBRA_TRACE_SET_SPTE, page->hpa.v + 16, table_empty(&kit.vm->mmu, page),
		     look(&kit, 2 * MEG + 2 * PAGE).entry, 1);
	umbra_vm_zap_all(kit.vm);
	expect_trace(UMBRA_TRACE_FLUSH, 0, 0, 0, 0);
	assert_int_equal(last[UMBRA_TRACE_PUT_ROOT].kind, 0);
	page = kit.vcpu->own.root;
	hpa = page->hpa.v;
	word = page->role.word;
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	expect_trace(UMBRA_TRACE_PUT_ROOT, hpa, word, 0, 0);
	kit_close(&kit);
}

/* A guest's emulated write to a table. */
static void trace_write(void **unused)
{
	const struct posix_calls calls = {.trace = tell};
	struct kit kit;

	(void)unused;
	open_shadow(&kit);
	resume(&kit, 30 * PAGE, W);
	kit.vm->mmu.trace = true;
	posix_set_calls(kit.host, &calls);
	memset(last, 0, sizeof(last));
	write64(&kit, PT + 8 * 30, 31 * PAGE | 7);
	expect_trace(UMBRA_TRACE_WRITE, PT + 8 * 30, 8, last[UMBRA_TRACE_WRITE].c, 0);
	assert_clean(&kit);
	kit_close(&kit);
}

static bool leaf_at_first_flush;

static void first_flush(void *context, const struct umbra_flush *flush)
{
	struct kit *kit = context;

	(void)flush;
	if (!kit->flushes++)
		leaf_at_first_flush = look(kit, 8 * PAGE).leaf;
}

/* I-9: a large leaf is flushed before a part of it shows anew. */
static void split_is_flushed_first(void **unused)
{
	for (unsigned npt = 0; npt < 2; npt++) {
		struct umbra_vm_config config =
			kit_config(npt ? UMBRA_PAGING_NPT : UMBRA_PAGING_EPT);
		struct posix_calls calls = {.flush = first_flush};
		struct mmu *mmu;
		struct seen seen;
		struct kit kit;

		(void)unused;
		calls.context = &kit;
		kit_open(&kit, &config, 2);
		posix_set_calls(kit.host, &calls);
		mmu = &kit.vm->mmu;
		assert_int_equal(resume(&kit, 8 * PAGE, R), 2);
		seen = look(&kit, 8 * PAGE);
		/* As if it had been mapped read-only, whole; the write is for a part. */
		mmu->page_level = 1;
		page_entries(mmu, seen.at.page)[seen.at.index] &=
			~(mmu->kind.layout->write | mmu->kind.layout->mmu_writable);
		kit.flushes = 0;
		leaf_at_first_flush = true;
		assert_int_equal(resume(&kit, 8 * PAGE, W), 1);
		assert_true(kit.flushes >= 1);
		assert_false(leaf_at_first_flush);
		assert_true(look(&kit, 8 * PAGE).leaf);
		kit_close(&kit);
	}
}

/* I-10, T-6: a TDP table that nothing leads to any more is gone, and what is below it. */
static void orphans(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_NPT);
	struct mmu *mmu;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	mmu = &kit.vm->mmu;
	for (unsigned i = 0; i < 3; i++) {
		struct edit edit = {.mmu = mmu};

		resume(&kit, 2 * MEG, W);
		resume(&kit, 4 * MEG, W);
		assert_int_equal(kit_stats(&kit).mmu_shadow_pages, 5);
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
		assert_true(table_clear(&edit, (struct table_at){kit.vcpu->own.root, 0}));
		assert_false(table_clear(&edit, (struct table_at){kit.vcpu->own.root, 0}));
		tlb_commit(mmu, &edit.tlb);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
		assert_int_equal(kit_stats(&kit).mmu_shadow_pages, 1);
		assert_int_equal(kit_stats(&kit).pages_4k, 0);
		assert_clean(&kit);
	}
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mirrors),
		cmocka_unit_test(large_leaves),
		cmocka_unit_test(trace),
		cmocka_unit_test(trace_write),
		cmocka_unit_test(split_is_flushed_first),
		cmocka_unit_test(orphans),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
