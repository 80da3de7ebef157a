/* SPDX-License-Identifier: MIT */
/*
 * test_prefault.c - umbra_vcpu_prefault() against faults, and all that may end it (F-40..F-42).
 *
 * What a prefault leaves in the tables is what faults for reading would, but for A bits;
 * what it reports is how far it came. Others get in between by the port's pinned hook.
 */
#include "tests/unit/guest.h"

#include <pthread.h>

#define PAGE 4096ull
#define MEG (1ull << 20)
#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE

static enum umbra_status prefault(struct kit *kit, uint64_t gpa, uint64_t size, uint64_t *done)
{
	umbra_gpa at = {gpa};
	uint64_t left = size;
	enum umbra_status status = umbra_vcpu_prefault(kit->vcpu, &at, &left);

	/* What is done and what is left are the range; nothing is done without an OK. */
	assert_int_equal(at.v + left, gpa + size);
	*done = size - left;
	if (status)
		assert_int_equal(*done, 0);
	return status;
}

#define EXPECT(gpa, size, status, pages)                                     \
	do {                                                                 \
		uint64_t done_;                                              \
		assert_int_equal(prefault(&kit, gpa, size, &done_), status); \
		assert_int_equal(done_, (pages)*PAGE);                       \
	} while (0)

/* ---- the same as faults ---- */

/* Entries for @gpa in both VMs: equal but for A, which faults set. */
static void same_entry(struct kit *a, struct kit *b, uint64_t gpa)
{
	const struct entry_kind *kind = &a->vm->mmu.kind;
	struct seen x = look(a, gpa), y = look(b, gpa);

	assert_int_equal(x.leaf, y.leaf);
	if (!x.leaf)
		return;
	assert_int_equal(x.at.page->role.level, y.at.page->role.level);
	assert_false(x.entry & kind->accessed);
	assert_int_equal(y.entry & kind->accessed, kind->accessed);
	assert_int_equal(x.entry | kind->accessed, y.entry);
}

/* Three slots with what makes pages small: an end that is no multiple, an hva that lies
 * otherwise than the gpa, read-only memory. */
static void three_slots(struct kit *kit)
{
	assert_int_equal(kit_slot(kit, 0, 0, 5 * MEG, kit->hva.v, 0), UMBRA_OK);
	assert_int_equal(kit_slot(kit, 1, 5 * MEG, 3 * MEG + PAGE, kit->hva.v + 5 * MEG + PAGE, 0),
			 UMBRA_OK);
	assert_int_equal(
		kit_slot(kit, 2, 10 * MEG, 4 * MEG, kit->hva.v + 10 * MEG, UMBRA_SLOT_READONLY),
		UMBRA_OK);
}

static void as_faults(const struct umbra_vm_config *config, uint8_t level)
{
	struct kit bulk, single;
	uint64_t done, end = 0;

	kit_host(&bulk, level);
	kit_host(&single, level);
	kit_vm(&bulk, config);
	kit_vm(&single, config);
	three_slots(&bulk);
	three_slots(&single);
	/* Some is there before, at the edges of a batch too. */
	for (uint64_t gpa = 0; gpa < 4 * MEG; gpa += 61 * PAGE) {
		resume(&bulk, gpa, R);
		resume(&single, gpa, R);
	}
	for (uint64_t gpa = 0; gpa < 14 * MEG; gpa += PAGE)
		if (gpa < 8 * MEG + PAGE || gpa >= 10 * MEG)
			resume(&single, gpa, R);
	assert_int_equal(prefault(&bulk, 0, 14 * MEG, &end), UMBRA_OK);
	assert_int_equal(end, 8 * MEG + PAGE);
	assert_int_equal(prefault(&bulk, end, 14 * MEG - end, &done), UMBRA_ENOENT);
	assert_int_equal(prefault(&bulk, 10 * MEG, 4 * MEG, &done), UMBRA_OK);
	assert_int_equal(done, 4 * MEG);
	for (uint64_t gpa = 0; gpa < 14 * MEG; gpa += PAGE) {
		const uint64_t region = gpa / (2 * MEG) * 2 * MEG;
		bool touched = gpa < 4 * MEG && gpa % (61 * PAGE) == 0;

		/* A touch maps as large a page as it can: then all of it has A. */
		for (uint64_t at = 0; at < 4 * MEG; at += 61 * PAGE)
			touched |= look(&bulk, gpa).at.page->role.level > 1 && at >= region &&
				   at < region + 2 * MEG;
		if (!touched)
			same_entry(&bulk, &single, gpa);
	}
	assert_int_equal(kit_stats(&bulk).pages_4k, kit_stats(&single).pages_4k);
	assert_int_equal(kit_stats(&bulk).pages_2m, kit_stats(&single).pages_2m);
	assert_int_equal(kit_stats(&bulk).pf_fixed, kit_stats(&single).pf_fixed);
	assert_int_equal(kit_stats(&bulk).pf_changed_pfn, 0);
	/* Once more: nothing to do. */
	assert_int_equal(prefault(&bulk, 0, 8 * MEG, &done), UMBRA_OK);
	assert_int_equal(done, 8 * MEG);
	assert_int_equal(kit_stats(&bulk).pf_fixed, kit_stats(&single).pf_fixed);
	kit_close(&bulk);
	kit_close(&single);
}

static void f40_as_faults(void **unused)
{
	(void)unused;
	for (unsigned levels = 3; levels <= 5; levels++)
		for (unsigned page = 1; page <= 3; page++)
			for (unsigned ept = 0; ept < 2; ept++) {
				struct umbra_vm_config config =
					kit_config(ept ? UMBRA_PAGING_EPT : UMBRA_PAGING_NPT);

				config.levels = levels;
				config.page_level = page;
				if (levels > 3 || !ept)
					as_faults(&config, 3);
				if (levels == 4)
					as_faults(&config, 1);
			}
}

/* O-7: before the first run there is no root yet; after a zap the old one is no good. */
static void o7_root(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	assert_null(kit.vcpu->own.root);
	EXPECT(0, MEG, UMBRA_OK, 256);
	assert_true(look(&kit, 0).leaf);
	umbra_vm_zap_all(kit.vm);
	EXPECT(0, MEG, UMBRA_OK, 256);
	assert_false(page_is_obsolete(&kit.vm->mmu, kit.vcpu->own.root));
	assert_true(look(&kit, MEG - 1).leaf);
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	/* A new root is flushed for, whoever made it. */
	assert_true(root.flush);
	kit_close(&kit);
}

/* ---- what ends it ---- */

static void f40_arguments(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	EXPECT(1, PAGE, UMBRA_EINVAL, 0);
	EXPECT(0, PAGE + 8, UMBRA_EINVAL, 0);
	EXPECT(0, 0, UMBRA_EINVAL, 0);
	EXPECT(-PAGE, PAGE, UMBRA_EINVAL, 0);
	EXPECT(-PAGE, 2 * PAGE, UMBRA_EINVAL, 0);
	EXPECT(-2 * PAGE, PAGE, UMBRA_ENOENT, 0);
	EXPECT(BYTES, PAGE, UMBRA_ENOENT, 0);
	EXPECT(BYTES - PAGE, 2 * PAGE, UMBRA_OK, 1);
	kit_close(&kit);
	config = kit_config(UMBRA_PAGING_SHADOW);
	kit_open(&kit, &config, 1);
	EXPECT(1, PAGE, UMBRA_EINVAL, 0);
	EXPECT(0, PAGE, UMBRA_EOPNOTSUPP, 0);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, 0);
	kit_close(&kit);
}

/* F-41: not while L2 runs on L1's EPT; L2 without is on L1's own root. */
static void f41_nested(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct umbra_nested state = {.paging = UMBRA_NESTED_EPT, .pointer = 0x1e, .tag = 1};
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	assert_int_equal(umbra_vcpu_enter_nested(kit.vcpu, &state), UMBRA_OK);
	EXPECT(0, PAGE, UMBRA_EOPNOTSUPP, 0);
	umbra_vcpu_leave_nested(kit.vcpu);
	state.paging = UMBRA_NESTED_NONE;
	assert_int_equal(umbra_vcpu_enter_nested(kit.vcpu, &state), UMBRA_OK);
	EXPECT(0, PAGE, UMBRA_OK, 1);
	kit_close(&kit);
}

/* F-33, O-1: refused before anything is touched, however little lies beyond. */
static void f33_unmappable(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	const uint64_t edge = 1ull << 48;
	struct kit kit;

	(void)unused;
	config.cpu.maxphyaddr = 52;
	kit_open(&kit, &config, 1);
	/* Without a slot up there it is as anywhere else. */
	EXPECT(edge, PAGE, UMBRA_ENOENT, 0);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 0, 0), UMBRA_OK);
	assert_int_equal(
		kit_slot(&kit, 1, edge - 2 * PAGE, 4 * PAGE, kit.hva.v, UMBRA_SLOT_UNMAPPABLE),
		UMBRA_OK);
	EXPECT(edge, PAGE, UMBRA_EUNMAPPABLE, 0);
	EXPECT(edge - 2 * PAGE, 3 * PAGE, UMBRA_EUNMAPPABLE, 0);
	EXPECT(0, edge + PAGE, UMBRA_EUNMAPPABLE, 0);
	assert_int_equal(kit_stats(&kit).pages_4k, 0);
	EXPECT(edge - 2 * PAGE, 2 * PAGE, UMBRA_OK, 2);
	/* Its slot is further up than the range: no more to say than ENOENT. */
	EXPECT(edge + 2 * PAGE, 8 * PAGE, UMBRA_ENOENT, 0);
	assert_int_equal(kit_stats(&kit).pages_4k, 2);
	kit_close(&kit);
}

/* Pins that fail: what came before them counts. */
static void f40_host_answers(void **unused)
{
	static const enum umbra_status answers[] = {UMBRA_EFAULT, UMBRA_EAGAIN, UMBRA_EINTR};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		kit_open(&kit, &config, 1);
		posix_fail(kit.host, 1, POSIX_FAIL_PIN, (int)answers[i]);
		EXPECT(0, MEG, answers[i], 0);
		assert_int_equal(kit_stats(&kit).pages_4k, 0);
		posix_fail(kit.host, 100, POSIX_FAIL_PIN, (int)answers[i]);
		/* In the midst of a batch: it ends there, the next one goes on. */
		EXPECT(0, MEG, UMBRA_OK, 256);
		assert_int_equal(kit_stats(&kit).pages_4k, 256);
		posix_fail(kit.host, 65, POSIX_FAIL_PIN, (int)answers[i]);
		EXPECT(MEG, MEG, UMBRA_OK, 64);
		kit_close(&kit);
	}
}

static int every_third_read_only(void *context, umbra_hva hva, bool write, bool *writable)
{
	(void)context;
	(void)write;
	*writable = hva.v / PAGE % 3 != 0;
	return 0;
}

/* T-15: neighbours of a batch have each its own right to be written. */
static void f40_read_only_between(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct posix_calls calls = {.may_pin = every_third_read_only};
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	posix_set_calls(kit.host, &calls);
	EXPECT(0, MEG, UMBRA_OK, 256);
	for (uint64_t i = 0; i < 256; i++)
		assert_int_equal(!!(look(&kit, i * PAGE).acc & ACC_WRITE),
				 (kit.hva.v / PAGE + i) % 3 != 0);
	kit_close(&kit);
}

/* ---- others in between ---- */

struct meddler {
	struct kit *kit;
	unsigned at, pins;
	struct view *view, *nothing;
	bool gone;
};

static void meddle(void *context, umbra_hva hva)
{
	struct meddler *m = context;
	struct mmu *mmu = &m->kit->vm->mmu;

	(void)hva;
	if (++m->pins != m->at)
		return;
	mmu->slots.generation++;
	m->view = mmu->slots.view;
	if (m->gone)
		mmu->slots.view = m->nothing;
}

/* O-7: its slot is deleted: EAGAIN, where a fault would be made again. Another slot's
 * change makes the step again and shows nowhere. */
static void o7_slot_changes(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	for (unsigned at = 1; at < 200; at += 33)
		for (unsigned gone = 0; gone < 2; gone++) {
			struct meddler m = {.kit = &kit, .at = at, .gone = gone};
			const struct posix_calls calls = {.context = &m, .pinned = meddle};
			const uint64_t before = (at - 1) / 64 * 64;
			struct posix_counts counts;

			kit_open(&kit, &config, 1);
			m.nothing = view_new(&kit.vm->mmu);
			assert_non_null(m.nothing);
			posix_set_calls(kit.host, &calls);
			if (!gone)
				EXPECT(0, MEG, UMBRA_OK, 256);
			else
				EXPECT(0, MEG, before ? UMBRA_OK : UMBRA_EAGAIN, before);
			assert_int_equal(kit_stats(&kit).pages_4k, gone ? before : 256);
			posix_counts(kit.host, &counts);
			if (!gone)
				assert_int_equal(counts.pins, 256 + 64);
			kit.vm->mmu.slots.view = m.view;
			view_destroy(&kit.vm->mmu, m.nothing);
			kit_close(&kit);
		}
}

/* Memory short at each place in turn: the rest can be had later, nothing is left. */
static void failing_hooks(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	uint64_t nth = 0;
	bool failed;

	(void)unused;
	do {
		umbra_gpa gpa = {0};
		uint64_t size = 8 * MEG;
		enum umbra_status status;
		struct kit kit;

		kit_open(&kit, &config, 1);
		posix_fail(kit.host, ++nth, POSIX_FAIL_PAGE | POSIX_FAIL_ALLOC, 0);
		status = umbra_vcpu_prefault(kit.vcpu, &gpa, &size);
		failed = posix_failed(kit.host);
		assert_true(status == UMBRA_OK || status == UMBRA_ENOMEM);
		assert_int_equal(size != 0, failed);
		assert_clean(&kit);
		posix_fail(kit.host, 0, 0, 0);
		if (size)
			assert_int_equal(umbra_vcpu_prefault(kit.vcpu, &gpa, &size), UMBRA_OK);
		assert_int_equal(size, 0);
		assert_int_equal(kit_stats(&kit).pages_4k, 2048);
		kit_close(&kit);
	} while (failed);
	assert_true(nth > 5);
}

/* T-31: a prefault, too, looks whether what it finds is what the host has. */
static void t31_changed_pfn(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	config.cpu.maxphyaddr = 52;
	config.bug_truncate_gpa = true;
	kit_open(&kit, &config, 1);
	assert_int_equal(kit_slot(&kit, 1, 1ull << 48, PAGE, kit.hva.v + BYTES - PAGE,
				  UMBRA_SLOT_UNMAPPABLE),
			 UMBRA_OK);
	EXPECT(1ull << 48, PAGE, UMBRA_OK, 1);
	EXPECT(0, MEG, UMBRA_OK, 256);
	assert_int_equal(kit_stats(&kit).pf_changed_pfn, 1);
	assert_int_equal(kit_stats(&kit).pages_4k, 256);
	assert_int_equal(kit_audit(&kit), 1);
	assert_string_equal(kit.last_finding.invariant, "I-17");
	kit.vm->mmu.stats.pf_changed_pfn = 0;
	kit_close(&kit);
}

/* Frames that may not be written are not, whatever the pins say. */
static void s45_tracked(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 3);
	assert_int_equal(umbra_vm_track(kit.vm, (umbra_gpa){3 * PAGE}, true), UMBRA_OK);
	EXPECT(0, 4 * MEG, UMBRA_OK, 1024);
	for (uint64_t i = 0; i < 1024; i++)
		assert_int_equal(!!(look(&kit, i * PAGE).acc & ACC_WRITE), i != 3);
	assert_int_equal(touch(&kit, 3 * PAGE, W).verdict, UMBRA_EMULATE);
	kit_close(&kit);
}

/* Entries that say that there was no memory make way for memory. */
static void q30_over_mmio(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	for (uint64_t i = 1; i < 256; i += 50)
		assert_int_equal(touch(&kit, BYTES + i * PAGE, R).verdict, UMBRA_MMIO);
	assert_true(entry_is_mmio(&kit.vm->mmu.kind, look(&kit, BYTES + PAGE).entry));
	assert_int_equal(kit_slot(&kit, 1, BYTES, MEG, kit.hva.v, 0), UMBRA_OK);
	EXPECT(BYTES, MEG, UMBRA_OK, 256);
	for (uint64_t i = 0; i < 256; i++)
		assert_true(look(&kit, BYTES + i * PAGE).leaf);
	assert_int_equal(kit_stats(&kit).pages_4k, 256);
	kit_close(&kit);
}

/* ---- in parallel ---- */

struct racer {
	struct umbra_vcpu *vcpu;
	enum umbra_status status;
	uint64_t left;
};

static void *race(void *context)
{
	struct racer *racer = context;
	umbra_gpa gpa = {0};

	racer->left = BYTES;
	racer->status = umbra_vcpu_prefault(racer->vcpu, &gpa, &racer->left);
	return NULL;
}

/* T-20: two vCPUs fill the same tables at once; every page is mapped once. */
static void t20_two_at_once(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);

	(void)unused;
	for (unsigned round = 0; round < 20; round++) {
		struct kit kit = {.host = posix_host_new(NULL)};
		struct posix_region region = {.base = {HPA}, .size = BYTES, .level = 1};
		struct racer racer[2];
		pthread_t thread[2];

		assert_non_null(kit.host);
		region.bytes = kit.bytes = kit_memory();
		assert_true(posix_region_add(kit.host, &region, &kit.hva));
		kit_vm(&kit, &config);
		assert_int_equal(kit_slot(&kit, 0, 0, BYTES, kit.hva.v, 0), UMBRA_OK);
		racer[0].vcpu = kit.vcpu;
		assert_int_equal(umbra_vcpu_create(kit.vm, &config.cpu, &racer[1].vcpu), UMBRA_OK);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, race, &racer[i]), 0);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(pthread_join(thread[i], NULL), 0);
			assert_int_equal(racer[i].status, UMBRA_OK);
			assert_int_equal(racer[i].left, 0);
		}
		assert_int_equal(kit_stats(&kit).pages_4k, BYTES / PAGE);
		assert_int_equal(kit_stats(&kit).pf_fixed, BYTES / PAGE);
		assert_int_equal(kit_stats(&kit).pf_changed_pfn, 0);
		kit_close(&kit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f40_as_faults),         cmocka_unit_test(o7_root),
		cmocka_unit_test(f40_arguments),         cmocka_unit_test(f41_nested),
		cmocka_unit_test(f33_unmappable),        cmocka_unit_test(f40_host_answers),
		cmocka_unit_test(f40_read_only_between), cmocka_unit_test(o7_slot_changes),
		cmocka_unit_test(failing_hooks),         cmocka_unit_test(t31_changed_pfn),
		cmocka_unit_test(s45_tracked),           cmocka_unit_test(q30_over_mmio),
		cmocka_unit_test(t20_two_at_once),
	};

	return cmocka_run_group_tests_name("prefault", tests, NULL, NULL);
}
