/* SPDX-License-Identifier: MIT */
/*
 * test_attributes.c - private and shared pages (M-40, F-18, F-23, F-24).
 *
 * Ranges against a bitmap, at random; then the two memories of a slot: kit.bytes has the
 * shared one in its lower half, the private one PRIVATE further up.
 */
#include "core/attributes.h"
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)
#define PRIVATE (8 * MEG)
#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE

static enum umbra_status set(struct kit *kit, uint64_t gpa, uint64_t size, bool is_private)
{
	return umbra_vm_set_attributes(kit->vm, (umbra_gpa){gpa}, size,
				       is_private ? UMBRA_ATTRIBUTE_PRIVATE : 0);
}

static struct umbra_vm_config private_config(enum umbra_paging paging)
{
	struct umbra_vm_config config = kit_config(paging);

	config.private_memory = true;
	return config;
}

static enum umbra_status private_slot(struct kit *kit, uint32_t id, uint64_t base, uint64_t size)
{
	const struct umbra_slot slot = {
		.id = id,
		.flags = UMBRA_SLOT_PRIVATE,
		.base = {base},
		.size = size,
		.hva = {kit->hva.v + base},
		.private_hva = {kit->hva.v + PRIVATE + base},
	};

	return umbra_slot_set(kit->vm, &slot);
}

static void private_open(struct kit *kit, enum umbra_paging paging, uint8_t level)
{
	const struct umbra_vm_config config = private_config(paging);

	kit_host(kit, level);
	kit_vm(kit, &config);
	assert_int_equal(private_slot(kit, 0, 0, 8 * MEG), UMBRA_OK);
}

static uint64_t mapped(struct kit *kit, uint64_t gpa)
{
	struct seen seen = look(kit, gpa);
	uint64_t span = page_span(seen.at.page);

	assert_true(seen.leaf);
	return entry_pfn(&kit->vm->mmu.kind, seen.entry).v + (gpa / PAGE & (span - 1));
}

/* ---- ranges ---- */

#define FRAMES 48u

static void m40_ranges_against_bitmap(void **unused)
{
	struct umbra_vm_config config = private_config(UMBRA_PAGING_EPT);
	uint64_t random = 0x51, model = 0;
	struct kit kit;

	(void)unused;
	print_message("# seed 0x%llx\n", (unsigned long long)random);
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	for (unsigned step = 0; step < 3000; step++) {
		unsigned first, count;
		bool is_private;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		first = (random >> 33) % FRAMES;
		count = 1 + (random >> 40) % (random >> 50 & 1 ? 3 : FRAMES - first);
		if (first + count > FRAMES)
			count = FRAMES - first;
		is_private = random >> 60 & 1;
		assert_int_equal(set(&kit, first * PAGE, count * PAGE, is_private), UMBRA_OK);
		for (unsigned i = first; i < first + count; i++)
			model = is_private ? model | 1ull << i : model & ~(1ull << i);
		for (unsigned i = 0; i < FRAMES; i++) {
			uint64_t end = i + 1;
			bool seen;

			while (end < FRAMES && !((model >> end ^ model >> i) & 1))
				end++;
			if (end == FRAMES && !(model >> i & 1))
				end = UINT64_MAX;
			assert_int_equal(
				attributes_run(kit.vm->mmu.slots.attributes, (umbra_gfn){i}, &seen),
				end);
			assert_int_equal(seen, model >> i & 1);
			assert_int_equal(slots_is_private(&kit.vm->mmu, (umbra_gfn){i}), seen);
		}
	}
	kit_close(&kit);
}

static void m40_arguments(void **unused)
{
	struct umbra_vm_config config = private_config(UMBRA_PAGING_EPT);
	const umbra_gpa zero = {0};
	struct umbra_slot slot;
	uint64_t generation;
	struct kit kit;

	(void)unused;
	private_open(&kit, UMBRA_PAGING_EPT, 1);
	generation = kit.vm->mmu.slots.generation;
	assert_int_equal(umbra_vm_set_attributes(kit.vm, zero, PAGE, 1), UMBRA_EINVAL);
	assert_int_equal(umbra_vm_set_attributes(kit.vm, zero, PAGE, 9), UMBRA_EINVAL);
	assert_int_equal(set(&kit, 0, 0, true), UMBRA_EINVAL);
	assert_int_equal(set(&kit, 1, PAGE, true), UMBRA_EINVAL);
	assert_int_equal(set(&kit, 0, PAGE + 1, true), UMBRA_EINVAL);
	assert_int_equal(set(&kit, -PAGE, PAGE, true), UMBRA_EINVAL);
	assert_int_equal(set(&kit, -PAGE, 2 * PAGE, true), UMBRA_EINVAL);
	assert_int_equal(set(&kit, 0, PAGE, false), UMBRA_OK); /* they are */
	assert_int_equal(kit.vm->mmu.slots.generation, generation);
	/* Without slots, too. */
	assert_int_equal(set(&kit, 1ull << 40, PAGE, true), UMBRA_OK);
	posix_fail(kit.host, 1, POSIX_FAIL_ALLOC, 0);
	assert_int_equal(set(&kit, 0, PAGE, true), UMBRA_ENOMEM);
	assert_false(slots_is_private(&kit.vm->mmu, (umbra_gfn){0}));
	assert_true(slots_is_private(&kit.vm->mmu, (umbra_gfn){1ull << 28}));
	/* M-3, M-4: what such a slot cannot be. */
	slot = (struct umbra_slot){.id = 1,
				   .flags = UMBRA_SLOT_PRIVATE | UMBRA_SLOT_READONLY,
				   .base = {16 * MEG},
				   .size = PAGE,
				   .hva = kit.hva,
				   .private_hva = kit.hva};
	assert_int_equal(umbra_slot_set(kit.vm, &slot), UMBRA_EINVAL);
	slot.flags = UMBRA_SLOT_PRIVATE;
	slot.private_hva.v = 8;
	assert_int_equal(umbra_slot_set(kit.vm, &slot), UMBRA_EINVAL);
	slot.private_hva.v = -PAGE;
	slot.size = 2 * PAGE;
	assert_int_equal(umbra_slot_set(kit.vm, &slot), UMBRA_EINVAL);
	assert_int_equal(private_slot(&kit, 0, 0, 8 * MEG), UMBRA_EINVAL);
	assert_int_equal(kit_slot(&kit, 0, 0, 8 * MEG, kit.hva.v, 0), UMBRA_EINVAL);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 0, 0), UMBRA_OK);
	kit_close(&kit);
	/* A VM without private memory. */
	config.private_memory = false;
	kit_open(&kit, &config, 1);
	assert_int_equal(set(&kit, 0, PAGE, true), UMBRA_EINVAL);
	assert_int_equal(set(&kit, 0, PAGE, false), UMBRA_OK);
	assert_int_equal(private_slot(&kit, 1, 32 * MEG, PAGE), UMBRA_EINVAL);
	kit_close(&kit);
	config = private_config(UMBRA_PAGING_SHADOW);
	kit_host(&kit, 1);
	config.host = kit.host;
	assert_int_equal(umbra_vm_create(&config, &kit.vm), UMBRA_EOPNOTSUPP);
	kit_close(&kit);
}

/* ---- two memories ---- */

static void m40_one_memory_at_a_time(void **unused)
{
	struct kit kit;
	uint64_t value = 0, flushes;

	(void)unused;
	for (unsigned npt = 0; npt < 2; npt++) {
		private_open(&kit, npt ? UMBRA_PAGING_NPT : UMBRA_PAGING_EPT, 1);
		resume(&kit, 5 * PAGE, W);
		resume(&kit, 6 * PAGE, R);
		assert_int_equal(mapped(&kit, 5 * PAGE), frame_of(5 * PAGE));
		flushes = kit.flushes;
		assert_int_equal(set(&kit, 5 * PAGE, PAGE, true), UMBRA_OK);
		/* The old mapping is gone, flushed; the neighbour is not. */
		assert_false(look(&kit, 5 * PAGE).leaf);
		assert_true(look(&kit, 6 * PAGE).leaf);
		assert_int_equal(kit.flushes, flushes + 1);
		assert_int_equal(resume(&kit, 5 * PAGE, W), 1);
		assert_int_equal(mapped(&kit, 5 * PAGE), frame_of(PRIVATE + 5 * PAGE));
		/* What the library writes for the guest, the guest sees. */
		put64(&kit, 5 * PAGE, 1);
		put64(&kit, PRIVATE + 5 * PAGE, 2);
		write64(&kit, 5 * PAGE + 8, 3);
		assert_int_equal(get64(&kit, PRIVATE + 5 * PAGE + 8), 3);
		assert_int_equal(umbra_vm_read(kit.vm, (umbra_gpa){5 * PAGE}, &value, 8), UMBRA_OK);
		assert_int_equal(value, 2);
		/* Across both. */
		write64(&kit, 6 * PAGE - 4, 0x1111111122222222);
		assert_int_equal(get64(&kit, PRIVATE + 6 * PAGE - 8) >> 32, 0x22222222);
		assert_int_equal(get64(&kit, 6 * PAGE) & 0xffffffff, 0x11111111);
		assert_int_equal(set(&kit, 0, 8 * MEG, false), UMBRA_OK);
		assert_false(look(&kit, 5 * PAGE).leaf);
		assert_int_equal(umbra_vm_read(kit.vm, (umbra_gpa){5 * PAGE}, &value, 8), UMBRA_OK);
		assert_int_equal(value, 1);
		assert_int_equal(resume(&kit, 5 * PAGE, R), 1);
		assert_int_equal(mapped(&kit, 5 * PAGE), frame_of(5 * PAGE));
		kit_close(&kit);
	}
}

/* F-23, F-24: private without private memory is told with the flag; no MMIO there. */
static void f24_no_private_memory(void **unused)
{
	struct umbra_vm_config config = private_config(UMBRA_PAGING_EPT);
	struct umbra_resolution what;
	umbra_gpa gpa = {0};
	uint64_t size = PAGE, value;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	assert_int_equal(set(&kit, 0, PAGE, true), UMBRA_OK);
	what = touch(&kit, 8, R);
	assert_int_equal(what.verdict, UMBRA_MEMORY_FAULT);
	assert_int_equal(what.gpa.v, 8);
	assert_true(what.is_private);
	assert_int_equal(umbra_vcpu_prefault(kit.vcpu, &gpa, &size), UMBRA_EFAULT);
	assert_int_equal(umbra_vm_read(kit.vm, gpa, &value, 8), UMBRA_EFAULT);
	assert_int_equal(set(&kit, 1ull << 40, PAGE, true), UMBRA_OK);
	what = touch(&kit, 1ull << 40, R);
	assert_int_equal(what.verdict, UMBRA_MEMORY_FAULT);
	assert_true(what.is_private);
	assert_int_equal(touch(&kit, (1ull << 40) + PAGE, R).verdict, UMBRA_MMIO);
	/* Shared memory that is missing has no flag. */
	posix_fail(kit.host, 1, POSIX_FAIL_PIN, UMBRA_EFAULT);
	what = touch(&kit, PAGE, R);
	assert_int_equal(what.verdict, UMBRA_MEMORY_FAULT);
	assert_false(what.is_private);
	kit_close(&kit);
}

/* M-40: a large page is all private or all shared; it comes back when it is again. */
static void m40_mixed_is_small(void **unused)
{
	umbra_gpa gpa = {0};
	uint64_t size = 8 * MEG;
	struct kit kit;

	(void)unused;
	private_open(&kit, UMBRA_PAGING_EPT, 2);
	assert_int_equal(resume(&kit, 3 * MEG, R), 2);
	assert_int_equal(set(&kit, 3 * MEG, PAGE, true), UMBRA_OK);
	assert_false(look(&kit, 3 * MEG).leaf);
	assert_int_equal(umbra_vcpu_prefault(kit.vcpu, &gpa, &size), UMBRA_OK);
	assert_int_equal(size, 0);
	assert_int_equal(kit_stats(&kit).pages_2m, 3);
	assert_int_equal(kit_stats(&kit).pages_4k, 512);
	for (uint64_t at = 0; at < 8 * MEG; at += PAGE)
		assert_int_equal(mapped(&kit, at), frame_of(at == 3 * MEG ? at + PRIVATE : at));
	assert_clean(&kit);
	umbra_vm_zap_all(kit.vm);
	assert_int_equal(set(&kit, 2 * MEG, 2 * MEG, true), UMBRA_OK);
	gpa.v = 0;
	size = 8 * MEG;
	assert_int_equal(umbra_vcpu_prefault(kit.vcpu, &gpa, &size), UMBRA_OK);
	assert_int_equal(kit_stats(&kit).pages_2m, 4);
	assert_int_equal(mapped(&kit, 2 * MEG), frame_of(2 * MEG + PRIVATE));
	kit_close(&kit);
}

/* The same again is no change, to the last page. */
static void m40_as_it_is(void **unused)
{
	uint64_t generation;
	struct kit kit;

	(void)unused;
	private_open(&kit, UMBRA_PAGING_EPT, 1);
	assert_int_equal(set(&kit, 2 * MEG, 2 * MEG, true), UMBRA_OK);
	generation = kit.vm->mmu.slots.generation;
	resume(&kit, 2 * MEG, R);
	assert_int_equal(set(&kit, 2 * MEG, 2 * MEG, true), UMBRA_OK);
	assert_int_equal(kit.vm->mmu.slots.generation, generation);
	assert_true(look(&kit, 2 * MEG).leaf);
	assert_int_equal(set(&kit, 2 * MEG, 2 * MEG + PAGE, true), UMBRA_OK);
	assert_true(kit.vm->mmu.slots.generation > generation);
	kit_close(&kit);
}

/* One private page of a gigabyte is enough, wherever it is. */
static void m40_mixed_gigabyte(void **unused)
{
	const struct umbra_vm_config config = private_config(UMBRA_PAGING_EPT);
	const uint64_t gig = 1ull << 30;
	struct mmu *mmu;
	struct kit kit;

	(void)unused;
	kit_host(&kit, 3);
	kit_vm(&kit, &config);
	mmu = &kit.vm->mmu;
	assert_int_equal(kit_slot(&kit, 1, 0, 2 * gig, 0, 0), UMBRA_OK);
	assert_int_equal(set(&kit, gig - PAGE, PAGE, true), UMBRA_OK);
	for (uint64_t at = 0; at < 2 * gig; at += 64 * MEG) {
		const umbra_gfn gfn = {at / PAGE};

		assert_int_equal(slots_level(mmu, slots_find(mmu, gfn), gfn), at < gig ? 2 : 3);
	}
	kit_close(&kit);
}

/* Private memory that lies otherwise than its gpa, while the shared does not. */
static void m40_skew(void **unused)
{
	struct umbra_vm_config config = private_config(UMBRA_PAGING_EPT);
	struct umbra_slot slot = {.flags = UMBRA_SLOT_PRIVATE, .size = 4 * MEG};
	struct kit kit;

	(void)unused;
	kit_host(&kit, 2);
	kit_vm(&kit, &config);
	slot.hva = kit.hva;
	slot.private_hva.v = kit.hva.v + PRIVATE + PAGE;
	assert_int_equal(umbra_slot_set(kit.vm, &slot), UMBRA_OK);
	assert_int_equal(set(&kit, 0, 2 * MEG, true), UMBRA_OK);
	assert_int_equal(resume(&kit, 0, R), 1);
	assert_int_equal(mapped(&kit, 0), frame_of(PRIVATE + PAGE));
	assert_int_equal(resume(&kit, 2 * MEG, R), 2);
	kit_close(&kit);
}

/* ---- in between ---- */

static void turn(void *context, umbra_hva hva)
{
	struct kit *kit = context;
	const struct posix_calls quiet = {.context = kit, .flush = kit_flush};

	(void)hva;
	posix_set_calls(kit->host, &quiet);
	/* As if it happened on another CPU; nothing waits in this test. */
	kit->vm->mmu.slots.generation++;
}

/* A fault that pinned the shared memory of a page that has become private is made again. */
static void m40_fault_meanwhile(void **unused)
{
	struct kit kit;
	const struct posix_calls calls = {.context = &kit, .pinned = turn};

	(void)unused;
	/* No table yet, so that the whole path is taken. */
	private_open(&kit, UMBRA_PAGING_EPT, 1);
	resume(&kit, 0, R);
	posix_set_calls(kit.host, &calls);
	assert_int_equal(touch(&kit, 2 * MEG, R).verdict, UMBRA_RETRY);
	assert_false(look(&kit, 2 * MEG).leaf);
	assert_int_equal(resume(&kit, 2 * MEG, R), 1);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(m40_ranges_against_bitmap),
		cmocka_unit_test(m40_arguments),
		cmocka_unit_test(m40_one_memory_at_a_time),
		cmocka_unit_test(f24_no_private_memory),
		cmocka_unit_test(m40_mixed_is_small),
		cmocka_unit_test(m40_as_it_is),
		cmocka_unit_test(m40_mixed_gigabyte),
		cmocka_unit_test(m40_skew),
		cmocka_unit_test(m40_fault_meanwhile),
	};

	return cmocka_run_group_tests_name("attributes", tests, NULL, NULL);
}
