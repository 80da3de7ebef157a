/* SPDX-License-Identifier: MIT */
/*
 * test_dirty.c - the dirty log: what is marked, what taking a mark does (M-20 to M-23, A-14).
 *
 * Marks are exact: a page has one if and only if it was written since it was taken. The
 * guest here writes where its tables let it, and faults where not. That hardware's
 * stale translations are flushed is for tests/lab/test_dirty.c.
 */
#include "core/dirty.h"
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)
#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE
#define PAGES (BYTES / PAGE)
#define WORDS (PAGES / 64)

#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull

/* Identity of 2M by 4K pages in 4-level tables, A clear. */
static void enter_guest(struct kit *kit)
{
	struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PML4,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};
	struct umbra_root root;

	put64(kit, PML4, PDPT | 7);
	put64(kit, PDPT, PD | 7);
	put64(kit, PD, PT | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(kit, PT + 8 * i, i * PAGE | 7);
	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, &regs, true), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
}

static void open_manual(struct kit *kit, enum umbra_paging paging, uint8_t level, unsigned manual)
{
	struct umbra_vm_config config = kit_config(paging);
	struct umbra_root root;

	config.manual_dirty = (uint8_t)manual;
	kit_open(kit, &config, level);
	if (paging == UMBRA_PAGING_SHADOW)
		enter_guest(kit);
	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
}

static void log_dirty(struct kit *kit, bool on)
{
	assert_int_equal(kit_slot(kit, 0, 0, BYTES, kit->hva.v, on ? UMBRA_SLOT_LOG_DIRTY : 0),
			 UMBRA_OK);
}

static enum umbra_status get(struct kit *kit, uint64_t bitmap[WORDS])
{
	memset(bitmap, 0xee, WORDS * sizeof(*bitmap));
	return umbra_vm_get_dirty_log(kit->vm, 0, bitmap);
}

static bool bit(const uint64_t *bitmap, uint64_t gpa)
{
	return bitmap[gpa / PAGE / 64] >> gpa / PAGE % 64 & 1;
}

static uint64_t count(const uint64_t bitmap[WORDS])
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < WORDS; i++)
		bits += (unsigned)__builtin_popcountll(bitmap[i]);
	return bits;
}

/* A store of the guest's: by the entry there is, or by a fault. */
static bool guest_write(struct kit *kit, uint64_t gpa)
{
	struct seen seen = look(kit, gpa);
	bool faults = !seen.leaf || !(seen.acc & ACC_WRITE);

	if (faults)
		resume(kit, gpa, W);
	kit->bytes[gpa]++;
	return faults;
}

/* ---- marks ---- */

static void m23_exact(enum umbra_paging paging, uint8_t level)
{
	uint64_t bitmap[WORDS], random = 0xd1 + paging * 3 + level;
	const uint64_t first = 8, most = 400; /* frames that the guest writes */
	bool written[512] = {false};
	struct kit kit;

	print_message("# seed 0x%llx\n", (unsigned long long)random);
	open_manual(&kit, paging, level, 0);
	/* Large pages, and writable ones, from before. */
	guest_write(&kit, first * PAGE);
	log_dirty(&kit, true);
	assert_clean(&kit);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), 0);
	for (unsigned step = 0; step < 4000; step++) {
		uint64_t frame;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		frame = first + (random >> 33) % most;
		if (random >> 62 == 0) {
			resume(&kit, frame * PAGE, R);
		} else if (random >> 59 == 8) {
			write64(&kit, frame * PAGE, step);
			written[frame] = true;
		} else {
			guest_write(&kit, frame * PAGE);
			written[frame] = true;
		}
		if (step % 100 != 99)
			continue;
		assert_clean(&kit);
		assert_int_equal(get(&kit, bitmap), UMBRA_OK);
		for (uint64_t i = first; i < 512; i++) {
			assert_int_equal(bit(bitmap, i * PAGE), written[i]);
			written[i] = false;
		}
		assert_clean(&kit);
	}
	assert_int_equal(kit_stats(&kit).pages_2m, 0);
	log_dirty(&kit, false);
	assert_int_equal(get(&kit, bitmap), UMBRA_ENOENT);
	kit_close(&kit);
}

static void m23_marks_are_exact(void **unused)
{
	(void)unused;
	for (unsigned paging = 0; paging < UMBRA_PAGING_COUNT; paging++)
		for (uint8_t level = 1; level <= 2; level++)
			m23_exact((enum umbra_paging)paging, level);
}

/* G-37: A and D that Umbra sets in the guest's tables; the pages of tables are marked. */
static void g37_guest_tables(void **unused)
{
	uint64_t bitmap[WORDS];
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_SHADOW, 1, 0);
	log_dirty(&kit, true);
	resume(&kit, 0x10000, R);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(bitmap[0], 1ull << 1 | 1ull << 2 | 1ull << 3 | 1ull << 4);
	resume(&kit, 0x11000, R); /* only the last level has A clear */
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(bitmap[0], 1ull << 4);
	resume(&kit, 0x11000, W); /* D, and the page itself */
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(bitmap[0], 1ull << 4 | 1ull << 0x11);
	kit_close(&kit);
}

/* S-71: no large page while logged; what is taken faults again, once, and is flushed. */
static void m20_taking_protects(void **unused)
{
	uint64_t bitmap[WORDS], flushes;
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_EPT, 2, 0);
	assert_int_equal(resume(&kit, 0, W), 2);
	flushes = kit.flushes;
	log_dirty(&kit, true);
	assert_int_equal(kit.flushes, flushes + 1);
	assert_false(look(&kit, 0).leaf);
	assert_int_equal(resume(&kit, 0, R), 1);
	/* Readable, and only logging is in the way of a write (Q-10: 110). */
	assert_false(look(&kit, 0).acc & ACC_WRITE);
	assert_true(entry_is_mmu_writable(&kit.vm->mmu.kind, look(&kit, 0).entry));
	assert_true(guest_write(&kit, 0));
	assert_false(guest_write(&kit, 0));
	flushes = kit.flushes;
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(kit.flushes, flushes + 1);
	assert_int_equal(count(bitmap), 1);
	assert_true(look(&kit, 0).leaf);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(kit.flushes, flushes + 1); /* nothing to take */
	assert_int_equal(count(bitmap), 0);
	assert_true(guest_write(&kit, 0));
	kit_close(&kit);
}

/* ---- manual ---- */

static void m22_manual(void **unused)
{
	uint64_t bitmap[WORDS], mask[WORDS] = {0};
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_NPT, 1, 1);
	log_dirty(&kit, true);
	guest_write(&kit, 0);
	guest_write(&kit, 70 * PAGE);
	for (unsigned i = 0; i < 2; i++) { /* reading takes nothing */
		assert_int_equal(get(&kit, bitmap), UMBRA_OK);
		assert_int_equal(count(bitmap), 2);
		assert_false(guest_write(&kit, 0));
	}
	mask[0] = 1ull << (70 - 64) | 1ull << 5; /* bit 0 is page 64; page 69 is not marked */
	assert_int_equal(umbra_vm_clear_dirty_log(kit.vm, 0, 64, 64, mask), UMBRA_OK);
	assert_false(guest_write(&kit, 0));
	assert_true(guest_write(&kit, 70 * PAGE));
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), 2);
	kit_close(&kit);
	/* Initially set: all marked, and nothing protected until a mark is taken. */
	open_manual(&kit, UMBRA_PAGING_NPT, 2, 3);
	assert_int_equal(resume(&kit, 0, W), 2);
	log_dirty(&kit, true);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), PAGES);
	assert_false(guest_write(&kit, 8 * PAGE));
	assert_clean(&kit);
	mask[0] = 1ull << 8;
	assert_int_equal(umbra_vm_clear_dirty_log(kit.vm, 0, 0, 64, mask), UMBRA_OK);
	assert_int_equal(kit_stats(&kit).pages_2m, 0);
	assert_true(guest_write(&kit, 8 * PAGE));
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), PAGES);
	kit_close(&kit);
}

/* M-22: KVM_ENABLE_CAP comes when it comes; marks that there are stay. */
static void m22_set_later(void **unused)
{
	uint64_t bitmap[WORDS];
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_EPT, 1, 0);
	assert_int_equal(umbra_vm_set_manual_dirty(kit.vm, 2), UMBRA_EINVAL);
	assert_int_equal(umbra_vm_set_manual_dirty(kit.vm, 4), UMBRA_EINVAL);
	log_dirty(&kit, true);
	guest_write(&kit, 3 * PAGE);
	assert_int_equal(umbra_vm_set_manual_dirty(kit.vm, 1), UMBRA_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(get(&kit, bitmap), UMBRA_OK);
		assert_int_equal(count(bitmap), 1);
	}
	assert_int_equal(umbra_vm_set_manual_dirty(kit.vm, 0), UMBRA_OK);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), 1);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), 0);
	log_dirty(&kit, false);
	assert_int_equal(umbra_vm_set_manual_dirty(kit.vm, 3), UMBRA_OK);
	log_dirty(&kit, true);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), PAGES);
	kit_close(&kit);
}

/* A-14, M-21. The slot has 130 pages. */
static void a14_edges(void **unused)
{
	static const struct {
		uint64_t first, count;
		enum umbra_status status;
	} cases[] = {
		{0, 0, UMBRA_OK},        {0, 64, UMBRA_OK},        {0, 130, UMBRA_OK},
		{64, 66, UMBRA_OK},      {64, 64, UMBRA_OK},       {128, 2, UMBRA_OK},
		{128, 0, UMBRA_OK},      {63, 64, UMBRA_EINVAL},   {1, 64, UMBRA_EINVAL},
		{0, 63, UMBRA_EINVAL},   {0, 65, UMBRA_EINVAL},    {0, 131, UMBRA_EINVAL},
		{64, 67, UMBRA_EINVAL},  {128, 1, UMBRA_EINVAL},   {192, 0, UMBRA_EINVAL},
		{192, 64, UMBRA_EINVAL}, {0, ~0ull, UMBRA_EINVAL}, {~63ull, 64, UMBRA_EINVAL},
	};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	uint64_t mask[4] = {0};
	struct kit kit;

	(void)unused;
	config.manual_dirty = 1;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	assert_int_equal(umbra_vm_get_dirty_log(kit.vm, 0, mask), UMBRA_ENOENT);
	assert_int_equal(kit_slot(&kit, 0, 0, 130 * PAGE, kit.hva.v, 0), UMBRA_OK);
	assert_int_equal(umbra_vm_get_dirty_log(kit.vm, 0, mask), UMBRA_ENOENT);
	assert_int_equal(umbra_vm_clear_dirty_log(kit.vm, 0, 0, 64, mask), UMBRA_ENOENT);
	assert_int_equal(umbra_vm_get_dirty_log(kit.vm, UMBRA_SLOT_ID_MAX + 1, mask), UMBRA_EINVAL);
	assert_int_equal(kit_slot(&kit, 0, 0, 130 * PAGE, kit.hva.v, UMBRA_SLOT_LOG_DIRTY),
			 UMBRA_OK);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (umbra_vm_clear_dirty_log(kit.vm, 0, cases[i].first, cases[i].count, mask) !=
		    cases[i].status)
			fail_msg("case %u", i);
	kit_close(&kit);
	for (unsigned manual = 0; manual < 8; manual++) {
		struct umbra_vm *vm = NULL;

		kit_host(&kit, 1);
		config.host = kit.host;
		config.manual_dirty = (uint8_t)manual;
		assert_int_equal(umbra_vm_create(&config, &vm),
				 manual < 2 || manual == 3 ? UMBRA_OK : UMBRA_EINVAL);
		umbra_vm_destroy(vm);
		kit_close(&kit);
	}
}

/* M-22, 3: all pages that there are are marked, and no others; counted while it lasts. */
static void m22_all_marked(void **unused)
{
	const uint64_t base = 1ull << 30, pages = 70;
	uint64_t bitmap[2] = {0, 0};
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_EPT, 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
			kit_slot(&kit, 1, base, pages * PAGE, kit.hva.v, UMBRA_SLOT_LOG_DIRTY),
			UMBRA_OK);
		assert_int_equal(kit.vm->mmu.slots.logged, 1);
		assert_int_equal(umbra_vm_get_dirty_log(kit.vm, 1, bitmap), UMBRA_OK);
		assert_true(bitmap[0] == ~0ull);
		assert_true(bitmap[1] == (1ull << (pages - 64)) - 1);
		assert_int_equal(kit_slot(&kit, 1, base, pages * PAGE, kit.hva.v, 0), UMBRA_OK);
		assert_int_equal(kit.vm->mmu.slots.logged, 0);
	}
	kit_close(&kit);
}

/* M-22: no word more is cleared than was named, in batches or at their ends. */
static void m22_words(void **unused)
{
	const uint64_t pages = 40000, words = (pages + 63) / 64;
	static uint64_t bitmap[625];
	const uint64_t all[2] = {~0ull, ~0ull};
	const struct slot *slot;
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_EPT, 1, 0);
	/* More than there is memory for: marks do not need it. */
	assert_int_equal(kit_slot(&kit, UMBRA_SLOT_ID_MAX, 1ull << 30, pages * PAGE, kit.hva.v,
				  UMBRA_SLOT_LOG_DIRTY),
			 UMBRA_OK);
	slot = slots_by_id(&kit.vm->mmu, UMBRA_SLOT_ID_MAX);
	for (uint64_t page = 0; page < pages; page++)
		dirty_mark(slot, (umbra_gfn){slot->start.v + page});
	assert_int_equal(umbra_vm_clear_dirty_log(kit.vm, UMBRA_SLOT_ID_MAX, 64, 64, all),
			 UMBRA_OK);
	assert_int_equal(umbra_vm_get_dirty_log(kit.vm, UMBRA_SLOT_ID_MAX, bitmap), UMBRA_OK);
	for (uint64_t i = 0; i < words; i++)
		assert_true(bitmap[i] == (i == 1 ? 0 : ~0ull));
	assert_int_equal(umbra_vm_get_dirty_log(kit.vm, UMBRA_SLOT_ID_MAX + 1, bitmap),
			 UMBRA_EINVAL);
	kit_close(&kit);
}

/* ---- slots ---- */

/* M-8: a move takes the marks along; deleting loses them; memory short changes nothing. */
static void m8_slots(void **unused)
{
	uint64_t bitmap[WORDS], metadata;
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_EPT, 1, 0);
	metadata = kit_stats(&kit).metadata_bytes;
	posix_fail(kit.host, 1, POSIX_FAIL_ALLOC, 0);
	assert_int_equal(kit_slot(&kit, 0, 0, BYTES, kit.hva.v, UMBRA_SLOT_LOG_DIRTY),
			 UMBRA_ENOMEM);
	assert_int_equal(kit_stats(&kit).metadata_bytes, metadata);
	log_dirty(&kit, true);
	assert_int_equal(kit_stats(&kit).metadata_bytes, metadata + WORDS * 8);
	log_dirty(&kit, true); /* as it is */
	guest_write(&kit, 3 * PAGE);
	assert_int_equal(kit_slot(&kit, 0, 1ull << 30, BYTES, kit.hva.v, UMBRA_SLOT_LOG_DIRTY),
			 UMBRA_OK);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages > 0, 1);
	resume(&kit, (1ull << 30) + 5 * PAGE, W);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(bitmap[0], 1ull << 3 | 1ull << 5);
	/* Moved and logged no more, in one. */
	assert_int_equal(kit_slot(&kit, 0, 0, BYTES, kit.hva.v, 0), UMBRA_OK);
	assert_int_equal(get(&kit, bitmap), UMBRA_ENOENT);
	assert_int_equal(kit_slot(&kit, 0, 0, BYTES, kit.hva.v, UMBRA_SLOT_READONLY), UMBRA_EINVAL);
	/* Moved and logged from now on. */
	assert_int_equal(kit_slot(&kit, 0, 1ull << 30, BYTES, kit.hva.v, UMBRA_SLOT_LOG_DIRTY),
			 UMBRA_OK);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), 0);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 0, 0), UMBRA_OK);
	assert_int_equal(kit.vm->mmu.slots.logged, 0);
	/* Read-only and logged: writes are the embedder's. */
	assert_int_equal(
		kit_slot(&kit, 0, 0, BYTES, kit.hva.v, UMBRA_SLOT_LOG_DIRTY | UMBRA_SLOT_READONLY),
		UMBRA_OK);
	assert_int_equal(touch(&kit, 0, W).verdict, UMBRA_MMIO);
	resume(&kit, 0, R);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), 0);
	kit_close(&kit);
}

/* A prefault maps what nobody has written: no mark, and the write is seen. */
static void m23_prefault(void **unused)
{
	uint64_t bitmap[WORDS], size = 4 * MEG;
	umbra_gpa gpa = {0};
	struct kit kit;

	(void)unused;
	open_manual(&kit, UMBRA_PAGING_EPT, 3, 0);
	log_dirty(&kit, true);
	assert_int_equal(umbra_vcpu_prefault(kit.vcpu, &gpa, &size), UMBRA_OK);
	assert_int_equal(size, 0);
	assert_int_equal(kit_stats(&kit).pages_4k, 1024);
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(count(bitmap), 0);
	assert_true(guest_write(&kit, 9 * PAGE));
	assert_int_equal(get(&kit, bitmap), UMBRA_OK);
	assert_int_equal(bitmap[0], 1ull << 9);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(m23_marks_are_exact),
		cmocka_unit_test(g37_guest_tables),
		cmocka_unit_test(m20_taking_protects),
		cmocka_unit_test(m22_manual),
		cmocka_unit_test(m22_set_later),
		cmocka_unit_test(m22_all_marked),
		cmocka_unit_test(m22_words),
		cmocka_unit_test(a14_edges),
		cmocka_unit_test(m8_slots),
		cmocka_unit_test(m23_prefault),
	};

	return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
