/* SPDX-License-Identifier: MIT */
/*
 * test_slots.c - guest memory: errors of umbra_slot_set, lookup, levels.
 *
 * The errors of M-4 one by one, each on a VM that must be unchanged afterwards;
 * creating, moving, deleting; lookup in a thousand slots against a linear
 * search; random changes, also without memory; the largest level at which a frame may be
 * mapped (S-70).
 */
#include "core/attributes.h"
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)
#define GIG (1ull << 30)

/* What umbra_slot_set may not touch when it fails. */
struct before {
	const struct view *view;
	uint64_t generation;
	struct umbra_stats stats;
	uint64_t live;
};

static struct before remember(struct kit *kit)
{
	struct posix_counts counts;

	posix_counts(kit->host, &counts);
	return (struct before){kit->vm->mmu.slots.view, kit->vm->mmu.slots.generation,
			       kit_stats(kit), counts.bytes};
}

static void assert_unchanged(struct kit *kit, const struct before *before)
{
	struct before now = remember(kit);

	assert_ptr_equal(now.view, before->view);
	assert_int_equal(now.generation, before->generation);
	assert_int_equal(now.live, before->live);
	assert_memory_equal(&now.stats, &before->stats, sizeof(now.stats));
}

static void m4_errors(void **unused)
{
	static const struct {
		struct umbra_slot slot;
		enum umbra_status status;
	} cases[] = {
		/* Everything wrong at once, less and less of it. */
		{{40000, 1, {0x1001}, 0x1001, {0x1001}}, UMBRA_EINVAL},
		{{1, 8, {GIG}, PAGE, {0}}, UMBRA_EINVAL}, /* unknown */
		{{1, 4, {GIG}, PAGE, {0}}, UMBRA_EINVAL}, /* no private memory in this VM */
		{{1, 1u << 31, {GIG}, PAGE, {0}}, UMBRA_EINVAL},
		{{1, 0, {GIG}, PAGE + 1, {0}}, UMBRA_EINVAL},
		{{1, 0, {GIG + 8}, PAGE, {0}}, UMBRA_EINVAL},
		{{1, 0, {GIG}, PAGE, {8}}, UMBRA_EINVAL},
		{{UMBRA_SLOT_ID_MAX + 1, 0, {GIG}, PAGE, {0}}, UMBRA_EINVAL},
		{{~0u, 0, {GIG}, PAGE, {0}}, UMBRA_EINVAL},
		{{1, 0, {-PAGE}, 2 * PAGE, {0}}, UMBRA_EINVAL}, /* base + size overflows */
		{{1, 0, {-PAGE}, PAGE, {0}}, UMBRA_EINVAL},
		{{1, 0, {GIG}, 2 * PAGE, {-PAGE}}, UMBRA_EINVAL}, /* hva + size overflows */
		{{1, 0, {0}, 0x80000000ull * PAGE, {0}}, UMBRA_EINVAL}, /* 2^31 pages */
		{{1, 0, {1ull << 46}, PAGE, {0}}, UMBRA_EINVAL}, /* beyond MAXPHYADDR */
		{{1, 0, {(1ull << 46) - PAGE}, 2 * PAGE, {0}}, UMBRA_EINVAL},
		{{1, 0, {GIG}, 0, {0}}, UMBRA_EINVAL}, /* no such slot to delete */
		{{0, 0, {0}, 2 * MEG, {GIG}}, UMBRA_EINVAL}, /* another size */
		{{0, 0, {0}, MEG, {2 * GIG}}, UMBRA_EINVAL}, /* another hva */
		{{0, UMBRA_SLOT_READONLY, {0}, MEG, {GIG}}, UMBRA_EINVAL}, /* another flag */
		{{1, 0, {0}, PAGE, {0}}, UMBRA_EEXIST},
		{{1, 0, {MEG - PAGE}, PAGE, {0}}, UMBRA_EEXIST},
		{{1, 0, {MEG - PAGE}, MEG, {0}}, UMBRA_EEXIST},
		{{1, 0, {0}, 2 * MEG, {0}}, UMBRA_EEXIST}, /* around it */
		{{2, 0, {0}, MEG, {8 * GIG}}, UMBRA_EINVAL}, /* id 2 exists: size differs first */
		{{2, 0, {MEG / 2}, PAGE, {9 * GIG}}, UMBRA_EEXIST}, /* a move onto slot 0 */
	};
	struct kit kit;

	(void)unused;
	for (unsigned shadow = 0; shadow < 2; shadow++) {
		struct umbra_vm_config config =
			kit_config(shadow ? UMBRA_PAGING_SHADOW : UMBRA_PAGING_EPT);
		struct before before;

		kit_host(&kit, 1);
		kit_vm(&kit, &config);
		assert_int_equal(kit_slot(&kit, 0, 0, MEG, GIG, 0), UMBRA_OK);
		assert_int_equal(kit_slot(&kit, 2, 4 * MEG, PAGE, 9 * GIG, 0), UMBRA_OK);
		before = remember(&kit);
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			enum umbra_status status = umbra_slot_set(kit.vm, &cases[i].slot);

			if (status != cases[i].status)
				fail_msg("case %u: %s", i, umbra_strstatus(status));
			assert_unchanged(&kit, &before);
		}
		/* The same again: fine, and nothing happens. */
		assert_int_equal(kit_slot(&kit, 0, 0, MEG, GIG, 0), UMBRA_OK);
		assert_unchanged(&kit, &before);
		kit_close(&kit);
	}
}

/* A chain for each page is counted. */
static void metadata(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	uint64_t empty;
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	empty = kit_stats(&kit).metadata_bytes;
	assert_int_equal(kit_slot(&kit, 1, 0, 512 * PAGE, 0, 0), UMBRA_OK);
	assert_true(kit_stats(&kit).metadata_bytes - empty >= 512 * sizeof(struct chain));
	assert_int_equal(kit_slot(&kit, 1, 0, 0, 0, 0), UMBRA_OK);
	assert_int_equal(kit_stats(&kit).metadata_bytes, empty);
	kit_close(&kit);
}

/* What mirrors need is counted alike, before the slot or after it. */
static void metadata_of_mirrors(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	uint64_t without, with;
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	assert_int_equal(kit_slot(&kit, 1, 0, 512 * PAGE, 0, 0), UMBRA_OK);
	without = kit_stats(&kit).metadata_bytes;
	assert_true(slots_give_mirrors(&kit.vm->mmu));
	with = kit_stats(&kit).metadata_bytes;
	assert_true(with > without);
	assert_int_equal(kit_slot(&kit, 1, 0, 0, 0, 0), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 1, 0, 512 * PAGE, 0, 0), UMBRA_OK);
	assert_int_equal(kit_stats(&kit).metadata_bytes, with);
	kit_close(&kit);
}

/* Lack of memory at any allocation changes nothing; M-4's ENOMEM comes last. */
static void m4_no_memory(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	assert_int_equal(kit_slot(&kit, 0, 0, MEG, GIG, 0), UMBRA_OK);
	for (unsigned nth = 1;; nth++) {
		struct before before = remember(&kit);
		enum umbra_status status;

		posix_fail(kit.host, nth, POSIX_FAIL_ALL, UMBRA_EFAULT);
		assert_int_equal(kit_slot(&kit, 1, MEG / 2, MEG, GIG, 0), UMBRA_EEXIST);
		assert_false(posix_failed(kit.host));
		status = kit_slot(&kit, 1, 2 * MEG, MEG, 2 * GIG, 0);
		if (!posix_failed(kit.host)) {
			posix_fail(kit.host, 0, 0, 0);
			assert_int_equal(status, UMBRA_OK);
			assert_true(nth > 5);
			break;
		}
		assert_int_equal(status, UMBRA_ENOMEM);
		assert_unchanged(&kit, &before);
	}
	kit_close(&kit);
}

static void create_move_delete(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct mmu *mmu;
	uint64_t empty;
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	mmu = &kit.vm->mmu;
	empty = kit_stats(&kit).metadata_bytes;
	assert_int_equal(mmu->slots.bytes, mmu->slots.view->bytes);
	/* Three adjacent ones, the middle one last; the largest legal ones. */
	assert_int_equal(kit_slot(&kit, 7, 0, PAGE, 0, 0), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, UMBRA_SLOT_ID_MAX, 2 * PAGE, PAGE, 0, 0), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 3, PAGE, PAGE, 0, UMBRA_SLOT_READONLY), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 4, (1ull << 46) - PAGE, PAGE, 0, 0), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 5, GIG, 0x7fffffffull * PAGE, 0, 0), UMBRA_OK);
	assert_int_equal(slots_find(mmu, (umbra_gfn){0})->id, 7);
	assert_int_equal(slots_find(mmu, (umbra_gfn){1})->id, 3);
	assert_int_equal(slots_find(mmu, (umbra_gfn){2})->id, UMBRA_SLOT_ID_MAX);
	assert_null(slots_find(mmu, (umbra_gfn){3}));
	assert_null(slots_find(mmu, (umbra_gfn){~0ull >> 12}));
	assert_int_equal(slots_by_id(mmu, 4)->pages, 1);
	assert_clean(&kit);
	/* A move may overlap the slot's own old place. */
	assert_int_equal(kit_slot(&kit, 5, GIG + PAGE, 0x7fffffffull * PAGE, 0, 0), UMBRA_OK);
	assert_null(slots_find(mmu, (umbra_gfn){GIG / PAGE}));
	assert_int_equal(slots_find(mmu, (umbra_gfn){GIG / PAGE + 1})->id, 5);
	/* From the middle to the front of another: order is kept. */
	assert_int_equal(kit_slot(&kit, 3, 5 * PAGE, PAGE, 0, UMBRA_SLOT_READONLY), UMBRA_OK);
	assert_null(slots_find(mmu, (umbra_gfn){1}));
	assert_clean(&kit);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(kit_slot(&kit,
					  (const uint32_t[]){5, 4, 3, 7, UMBRA_SLOT_ID_MAX}[i], 0,
					  0, 0, 0),
				 UMBRA_OK);
	assert_int_equal(mmu->slots.view->slot_count, 0);
	assert_int_equal(kit_stats(&kit).metadata_bytes, empty);
	kit_close(&kit);
}

/* A thousand slots: the same answers as a linear search over what was asked for. */
static void thousand_slots(void **unused)
{
	enum { COUNT = 1000 };
	static struct umbra_slot made[COUNT];
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	uint64_t state = 0x5eed0002, total = 0;
	unsigned count = 0;
	struct kit kit;

	(void)unused;
	print_message("# seed %#llx\n", (unsigned long long)state);
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	for (unsigned tries = 0; tries < COUNT; tries++) {
		struct umbra_slot slot = {.id = tries};
		bool overlap = false;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		slot.base.v = (state >> 33 & 0x3fff) * PAGE;
		slot.size = ((state >> 20 & 15) + 1) * PAGE;
		for (unsigned i = 0; i < count; i++)
			overlap |= slot.base.v < made[i].base.v + made[i].size &&
				   made[i].base.v < slot.base.v + slot.size;
		assert_int_equal(umbra_slot_set(kit.vm, &slot), overlap ? UMBRA_EEXIST : UMBRA_OK);
		if (!overlap)
			made[count++] = slot;
	}
	assert_true(count > 300);
	for (uint64_t gfn = 0; gfn < 0x4020; gfn++) {
		const struct slot *slot = slots_find(&kit.vm->mmu, (umbra_gfn){gfn});
		const struct umbra_slot *want = NULL;

		for (unsigned i = 0; i < count; i++)
			if (gfn * PAGE - made[i].base.v < made[i].size)
				want = &made[i];
		assert_int_equal(slot != NULL, want != NULL);
		if (want)
			assert_int_equal(slot->id, want->id);
		total += want != NULL;
	}
	assert_true(total > 1000);
	/* Delete all, every third first. */
	for (unsigned phase = 0; phase < 3; phase++)
		for (unsigned i = phase; i < count; i += 3)
			assert_int_equal(kit_slot(&kit, made[i].id, 0, 0, 0, 0), UMBRA_OK);
	kit_close(&kit);
}

/* Ids of a few hundred slots on pages of their own: made, moved and deleted at random,
 * now and then without memory for it. The view says what a plain array says. */
static void random_changes(void **unused)
{
	enum { IDS = 600, PLACES = 1500, STEPS = 6000 };
	static uint32_t at[IDS], by_place[PLACES]; /* places and ids, from 1 */
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	uint64_t state = 0x5eed0007;
	unsigned failed = 0, made = 0;
	struct kit kit;

	(void)unused;
	print_message("# seed %#llx\n", (unsigned long long)state);
	memset(at, 0, sizeof(at));
	memset(by_place, 0, sizeof(by_place));
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	for (unsigned step = 0; step < STEPS; step++) {
		enum umbra_status status, want = UMBRA_OK;
		uint32_t id, place;
		bool there;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		id = (state >> 33) % IDS;
		place = (state >> 45) % PLACES;
		/* Grow for a while, then shrink. */
		there = (state >> 20) % 8 < (step < STEPS / 2 ? 7u : 2u);
		if (!there && !at[id])
			want = UMBRA_EINVAL;
		else if (there && by_place[place] && by_place[place] != id + 1)
			want = UMBRA_EEXIST;
		posix_fail(kit.host, (state >> 12) % 16, POSIX_FAIL_ALLOC, UMBRA_EFAULT);
		status = kit_slot(&kit, id, there ? place * PAGE : 0, there ? PAGE : 0, 0, 0);
		if (posix_failed(kit.host)) {
			assert_int_equal(status, UMBRA_ENOMEM);
			failed++;
			continue;
		}
		posix_fail(kit.host, 0, 0, 0);
		assert_int_equal(status, want);
		if (status)
			continue;
		if (at[id])
			by_place[at[id] - 1] = 0;
		at[id] = there ? place + 1 : 0;
		if (there)
			by_place[place] = id + 1;
		made += there;
		for (unsigned i = 0; i < PLACES && step % 64 == 0; i++) {
			const struct slot *slot = slots_find(&kit.vm->mmu, (umbra_gfn){i});

			assert_int_equal(slot ? slot->id + 1 : 0, by_place[i]);
		}
		if (step % 256 == 0)
			assert_clean(&kit);
	}
	posix_fail(kit.host, 0, 0, 0);
	assert_true(failed > 100 && made > 1000);
	kit_close(&kit);
}

static unsigned level_at(struct kit *kit, uint64_t gpa)
{
	const umbra_gfn gfn = {gpa >> UMBRA_PAGE_SHIFT};

	return slots_level(&kit->vm->mmu, slots_find(&kit->vm->mmu, gfn), gfn);
}

static void s70_level(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	const umbra_gfn inside = {(4 * GIG + 5 * 2 * MEG + 3 * PAGE) / PAGE};
	struct slot *slot;
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	/* gfn and hva alike modulo 1G; starts in the middle of a 1G region. */
	assert_int_equal(kit_slot(&kit, 0, GIG + GIG / 2, 2 * GIG, 7 * GIG + GIG / 2, 0), UMBRA_OK);
	assert_int_equal(level_at(&kit, GIG + GIG / 2), 2);
	assert_int_equal(level_at(&kit, 2 * GIG - PAGE), 2);
	assert_int_equal(level_at(&kit, 2 * GIG), 3);
	assert_int_equal(level_at(&kit, 3 * GIG - PAGE), 3);
	assert_int_equal(level_at(&kit, 3 * GIG), 2);
	assert_int_equal(level_at(&kit, 3 * GIG + GIG / 2 - PAGE), 2);
	/* Alike modulo 2M only, and only as pages. */
	assert_int_equal(kit_slot(&kit, 1, 8 * GIG, GIG, 2 * MEG, 0), UMBRA_OK);
	assert_int_equal(level_at(&kit, 8 * GIG + 4 * MEG), 2);
	assert_int_equal(kit_slot(&kit, 2, 16 * GIG, GIG, PAGE, 0), UMBRA_OK);
	assert_int_equal(level_at(&kit, 16 * GIG + 4 * MEG), 1);
	/* One page short at either end. */
	assert_int_equal(kit_slot(&kit, 3, 20 * GIG + PAGE, 4 * MEG - 2 * PAGE, PAGE, 0), UMBRA_OK);
	assert_int_equal(level_at(&kit, 20 * GIG + MEG), 1);
	assert_int_equal(level_at(&kit, 20 * GIG + 3 * MEG), 1);
	/* A mirrored guest table takes away the large mappings around it. */
	assert_int_equal(kit_slot(&kit, 4, 4 * GIG, GIG, GIG, 0), UMBRA_OK);
	slot = slots_find(&kit.vm->mmu, inside);
	assert_int_equal(slots_level(&kit.vm->mmu, slot, inside), 3);
	slot->mirrored[2][slot_region(slot, inside, 2)]++;
	slot->mirrored[3][slot_region(slot, inside, 3)]++;
	assert_int_equal(slots_level(&kit.vm->mmu, slot, inside), 1);
	assert_int_equal(level_at(&kit, 4 * GIG), 2);
	slot->mirrored[2][slot_region(slot, inside, 2)]--;
	assert_int_equal(slots_level(&kit.vm->mmu, slot, inside), 2);
	slot->mirrored[3][slot_region(slot, inside, 3)]--;
	assert_int_equal(slots_level(&kit.vm->mmu, slot, inside), 3);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(m4_errors),          cmocka_unit_test(m4_no_memory),
		cmocka_unit_test(metadata),           cmocka_unit_test(metadata_of_mirrors),
		cmocka_unit_test(create_move_delete), cmocka_unit_test(thousand_slots),
		cmocka_unit_test(s70_level),          cmocka_unit_test(random_changes),
	};

	return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
