/* SPDX-License-Identifier: MIT */
/*
 * test_quick.c - the short cut of umbra_vcpu_fault() against the whole path, and that it is not
 * taken, or not to its end, where something has changed.
 */
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)
#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE
#define F UMBRA_ACCESS_FETCH

/* As tdp_exit(), of an entry that lets reads through. */
static struct umbra_exit protected_exit(const struct kit *kit, uint64_t gpa)
{
	struct umbra_exit exit = tdp_exit(kit, gpa, W);

	exit.event.code |= kit->config.paging == UMBRA_PAGING_EPT ? UMBRA_EPTQ_R : UMBRA_PF_P;
	return exit;
}

/* What was left of one fault. */
struct outcome {
	enum umbra_status status;
	struct umbra_resolution resolution;
	uint64_t entry, marks;
	struct umbra_stats stats;
};

static struct outcome fault(struct kit *kit, const struct umbra_exit *exit, bool quick)
{
	const struct umbra_stats before = kit_stats(kit);
	const uint64_t *dirty = slots_by_id(&kit->vm->mmu, 0)->dirty;
	struct outcome outcome;

	memset(&outcome, 0, sizeof(outcome));
	kit->vcpu->quick.changes = 0;
	outcome.status =
		(quick ? umbra_vcpu_fault : vcpu_fault)(kit->vcpu, exit, &outcome.resolution);
	/* It has left a trace, or it has not been taken. */
	assert_int_equal(kit->vcpu->quick.changes != 0, quick);
	outcome.entry = look(kit, exit->event.gpa.v).entry;
	outcome.entry -= frame_of(exit->event.gpa.v) << UMBRA_PAGE_SHIFT;
	outcome.marks = dirty ? dirty[0] >> (exit->event.gpa.v / PAGE) & 1 : 0;
	outcome.stats = kit_stats(kit);
	outcome.stats.pf_taken -= before.pf_taken;
	outcome.stats.pf_fixed -= before.pf_fixed;
	outcome.stats.pages_4k -= before.pages_4k;
	return outcome;
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->resolution.verdict, b->resolution.verdict);
	assert_int_equal(a->resolution.event.kind, b->resolution.event.kind);
	assert_int_equal(a->resolution.access, b->resolution.access);
	assert_int_equal(a->resolution.level, b->resolution.level);
	assert_int_equal(a->resolution.to_l1, b->resolution.to_l1);
	assert_int_equal(a->resolution.is_private, b->resolution.is_private);
	assert_int_equal(a->entry, b->entry);
	assert_int_equal(a->marks, b->marks);
	assert_memory_equal(&a->stats, &b->stats, sizeof(a->stats));
}

/* The same fault at two pages, by either way. */
static void both_ways(struct kit *kit, uint64_t gpa, unsigned access)
{
	const struct umbra_exit one = tdp_exit(kit, gpa, access);
	const struct umbra_exit two = tdp_exit(kit, gpa + PAGE, access);
	const struct outcome whole = fault(kit, &one, false), quick = fault(kit, &two, true);

	assert_int_equal(quick.resolution.gpa.v, gpa + PAGE);
	assert_same(&quick, &whole);
}

static void one_vm(const struct umbra_vm_config *config, uint32_t flags)
{
	static const unsigned accesses[] = {R, W, F};
	struct kit kit;

	kit_host(&kit, 1);
	kit_vm(&kit, config);
	assert_int_equal(kit_slot(&kit, 0, 0, BYTES, kit.hva.v, flags), UMBRA_OK);
	/* The table. */
	resume(&kit, 0, R);
	for (unsigned i = 0; i < 3; i++)
		if (!(flags & UMBRA_SLOT_READONLY && accesses[i] == W))
			both_ways(&kit, (i + 1) * 4 * PAGE, accesses[i]);
	kit_close(&kit);
}

static void every_kind(enum umbra_paging paging, uint8_t levels)
{
	static const uint32_t flags[] = {0, UMBRA_SLOT_READONLY, UMBRA_SLOT_LOG_DIRTY};
	struct umbra_vm_config config = kit_config(paging);

	config.levels = levels;
	for (unsigned layout = 0; layout <= UMBRA_LAYOUT_7_3; layout++) {
		config.layout = layout;
		for (unsigned i = 0; i < 3; i++)
			one_vm(&config, flags[i]);
		config.exec_by_mode = paging == UMBRA_PAGING_NPT;
	}
	/* No A and D bits in entries. */
	config.exec_by_mode = false;
	config.cpu.features &= ~UMBRA_CPU_EPT_AD;
	one_vm(&config, UMBRA_SLOT_LOG_DIRTY);
}

static void same_as_the_whole(void **unused)
{
	(void)unused;
	for (uint8_t levels = 3; levels <= 5; levels++)
		every_kind(UMBRA_PAGING_NPT, levels);
	for (uint8_t levels = 4; levels <= 5; levels++)
		every_kind(UMBRA_PAGING_EPT, levels);
}

/* ---- write protected ---- */

static void s41_write_again(enum umbra_paging paging)
{
	struct umbra_vm_config config = kit_config(paging);
	uint64_t marks[BYTES / PAGE / 64];
	struct outcome whole, quick;
	struct umbra_exit exit;
	struct kit kit;

	kit_open(&kit, &config, 1);
	assert_int_equal(kit_slot(&kit, 0, 0, BYTES, kit.hva.v, UMBRA_SLOT_LOG_DIRTY), UMBRA_OK);
	for (unsigned i = 0; i < 8; i++)
		resume(&kit, i * PAGE, W);
	assert_int_equal(umbra_vm_get_dirty_log(kit.vm, 0, marks), UMBRA_OK);
	exit = protected_exit(&kit, PAGE);
	whole = fault(&kit, &exit, false);
	exit = protected_exit(&kit, 2 * PAGE);
	quick = fault(&kit, &exit, true);
	assert_int_equal(quick.marks, 1);
	assert_same(&quick, &whole);
	/* There: spurious, which is for the whole path to say. */
	assert_int_equal(umbra_vcpu_fault(kit.vcpu, &exit, &quick.resolution), UMBRA_OK);
	assert_int_equal(quick.resolution.level, 0);
	assert_int_equal(kit_stats(&kit).pf_spurious, 1);
	kit_close(&kit);
}

static void s41_both(void **unused)
{
	(void)unused;
	s41_write_again(UMBRA_PAGING_NPT);
	s41_write_again(UMBRA_PAGING_EPT);
}

/* A read-only slot's leaf: never writable, whatever the exit says. */
static void read_only_stays(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_NPT);
	struct umbra_resolution what;
	struct umbra_exit exit;
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	assert_int_equal(kit_slot(&kit, 0, 0, BYTES, kit.hva.v, UMBRA_SLOT_READONLY), UMBRA_OK);
	resume(&kit, 0, R);
	resume(&kit, PAGE, R);
	exit = protected_exit(&kit, PAGE);
	assert_int_equal(umbra_vcpu_fault(kit.vcpu, &exit, &what), UMBRA_OK);
	assert_int_equal(what.verdict, UMBRA_MMIO);
	assert_int_equal(touch(&kit, 2 * PAGE, W).verdict, UMBRA_MMIO);
	kit_close(&kit);
}

/* ---- not for the short cut ---- */

/* Hardware met a reserved bit where nothing is any more: again. */
static void reserved_bits(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_NPT);
	struct umbra_resolution what;
	struct umbra_exit exit;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	resume(&kit, 0, R);
	exit = tdp_exit(&kit, PAGE, R);
	exit.event.code |= UMBRA_PF_RSVD;
	assert_int_equal(umbra_vcpu_fault(kit.vcpu, &exit, &what), UMBRA_OK);
	assert_int_equal(what.verdict, UMBRA_RETRY);
	kit_close(&kit);
}

/* The low bits of such an address lead to a table, but not to its own (F-30). */
static void f30_beyond_reach(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_NPT);
	struct kit kit;

	(void)unused;
	config.cpu.maxphyaddr = 52;
	kit_open(&kit, &config, 1);
	assert_int_equal(kit_slot(&kit, 1, 1ull << 48, MEG, kit.hva.v, UMBRA_SLOT_UNMAPPABLE),
			 UMBRA_OK);
	resume(&kit, 0, R);
	assert_int_equal(touch(&kit, (1ull << 48) + PAGE, R).verdict, UMBRA_MEMORY_FAULT);
	kit_close(&kit);
}

/* What the guest's own CPU would refuse is emulated, memory or not (G-23). */
static void g23_narrow(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct umbra_cpu cpu = config.cpu;
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	config.allow_smaller_maxphyaddr = true;
	kit_open(&kit, &config, 1);
	assert_int_equal(kit_slot(&kit, 1, 1ull << 36, MEG, kit.hva.v, 0), UMBRA_OK);
	/* There is a table, which a wider vCPU has made. */
	resume(&kit, 1ull << 36, R);
	cpu.maxphyaddr = 36;
	assert_int_equal(umbra_vcpu_create(kit.vm, &cpu, &kit.vcpu), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(touch(&kit, (1ull << 36) + i * PAGE, R).verdict, UMBRA_EMULATE);
	kit_close(&kit);
}

/* ---- changes ---- */

static void open_used(struct kit *kit, bool private_memory)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_NPT);

	config.private_memory = private_memory;
	kit_open(kit, &config, 1);
	resume(kit, 0, W);
	resume(kit, PAGE, W);
	assert_int_equal(kit->vcpu->quick.changes, kit->vm->mmu.changes);
}

static void slots_end_it(void **unused)
{
	struct kit kit;

	(void)unused;
	open_used(&kit, false);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 0, 0), UMBRA_OK);
	assert_int_equal(touch(&kit, 2 * PAGE, W).verdict, UMBRA_MMIO);
	/* The same place, other memory; and two slots in one table. */
	assert_int_equal(kit_slot(&kit, 1, 0, 4 * PAGE, kit.hva.v + MEG, 0), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 2, 4 * PAGE, 4 * PAGE, kit.hva.v, 0), UMBRA_OK);
	for (unsigned i = 0; i < 8; i++)
		resume(&kit, i * PAGE, W);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(entry_pfn(&kit.vm->mmu.kind, look(&kit, i * PAGE).entry).v,
				 frame_of(i < 4 ? MEG + i * PAGE : (i - 4) * PAGE));
	assert_int_equal(touch(&kit, 8 * PAGE, W).verdict, UMBRA_MMIO);
	kit_close(&kit);
}

/* While a slot goes its faults wait, also those that come to its table first (F-19). */
static void f19_going(void **unused)
{
	struct mmu *mmu;
	struct kit kit;

	(void)unused;
	open_used(&kit, false);
	mmu = &kit.vm->mmu;
	slots_by_id(mmu, 0)->going = true;
	mmu->slots.generation |= SLOTS_UPDATING;
	for (unsigned i = 2; i < 4; i++)
		assert_int_equal(touch(&kit, i * PAGE, W).verdict, UMBRA_RETRY);
	slots_by_id(mmu, 0)->going = false;
	mmu->slots.generation &= ~SLOTS_UPDATING;
	resume(&kit, 2 * PAGE, W);
	kit_close(&kit);
}

static void zaps_end_it(void **unused)
{
	struct kit kit;

	(void)unused;
	open_used(&kit, false);
	umbra_vm_zap_all(kit.vm);
	for (unsigned i = 0; i < 4; i++) {
		resume(&kit, i * PAGE, W);
		assert_true(look(&kit, i * PAGE).leaf);
	}
	assert_int_equal(kit_stats(&kit).pages_4k, 4);
	kit_close(&kit);
}

static void tracking_ends_it(void **unused)
{
	struct kit kit;

	(void)unused;
	open_used(&kit, false);
	assert_int_equal(umbra_vm_track(kit.vm, (umbra_gpa){2 * PAGE}, true), UMBRA_OK);
	assert_int_equal(touch(&kit, 2 * PAGE, W).verdict, UMBRA_EMULATE);
	resume(&kit, 2 * PAGE, R);
	assert_false(look(&kit, 2 * PAGE).acc & ACC_WRITE);
	resume(&kit, 3 * PAGE, W);
	kit_close(&kit);
}

static void attributes_end_it(void **unused)
{
	struct kit kit;

	(void)unused;
	open_used(&kit, true);
	assert_int_equal(umbra_vm_set_attributes(kit.vm, (umbra_gpa){2 * PAGE}, PAGE,
						 UMBRA_ATTRIBUTE_PRIVATE),
			 UMBRA_OK);
	/* Private, without memory for it. */
	assert_int_equal(touch(&kit, 2 * PAGE, W).verdict, UMBRA_MEMORY_FAULT);
	resume(&kit, 3 * PAGE, W);
	kit_close(&kit);
}

/* ---- while the page is pinned ---- */

static void quiet(struct kit *kit)
{
	const struct posix_calls calls = {.context = kit, .flush = kit_flush};

	posix_set_calls(kit->host, &calls);
}

/* As if a slot had moved on another CPU. */
static void move_slot(void *context, umbra_hva hva)
{
	struct kit *kit = context;

	(void)hva;
	quiet(kit);
	slots_by_id(&kit->vm->mmu, 0)->hva.v += MEG;
	kit->vm->mmu.slots.generation++;
}

static void zap_table(void *context, umbra_hva hva)
{
	struct kit *kit = context;
	struct edit edit = {.mmu = &kit->vm->mmu};

	(void)hva;
	quiet(kit);
	table_zap_page(&edit, look(kit, 0).at.page);
	tlb_commit(&kit->vm->mmu, &edit.tlb);
}

static void meanwhile(void (*pinned)(void *, umbra_hva), uint64_t moved)
{
	struct posix_calls calls = {.pinned = pinned};
	struct kit kit;
	uint64_t frame;

	open_used(&kit, false);
	calls.context = &kit;
	posix_set_calls(kit.host, &calls);
	resume(&kit, 2 * PAGE, W);
	frame = entry_pfn(&kit.vm->mmu.kind, look(&kit, 2 * PAGE).entry).v;
	assert_int_equal(frame, frame_of(2 * PAGE + moved));
	slots_by_id(&kit.vm->mmu, 0)->hva = kit.hva;
	kit_close(&kit);
}

static void others_meanwhile(void **unused)
{
	(void)unused;
	meanwhile(move_slot, MEG);
	meanwhile(zap_table, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_the_whole), cmocka_unit_test(s41_both),
		cmocka_unit_test(reserved_bits),     cmocka_unit_test(f30_beyond_reach),
		cmocka_unit_test(g23_narrow),        cmocka_unit_test(f19_going),
		cmocka_unit_test(read_only_stays),   cmocka_unit_test(slots_end_it),
		cmocka_unit_test(zaps_end_it),       cmocka_unit_test(tracking_ends_it),
		cmocka_unit_test(attributes_end_it), cmocka_unit_test(others_meanwhile),
	};

	return cmocka_run_group_tests_name("quick", tests, NULL, NULL);
}
