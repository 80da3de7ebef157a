/* SPDX-License-Identifier: MIT */
/*
 * test_mmio.c - entries that remember where no memory is (Q-20..Q-30, F-10, F-11, F-19).
 *
 * Made and met again under every paging; kept apart from memory, from read-only slots and
 * from what no root reaches; believed only while the slots are the same; rights and lag
 * under shadow paging; generations that come around. Under load: test_mmio_load.c.
 */
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define GIG (1ull << 30)
#define DEVICE 0xfee00000ull

#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE
#define U UMBRA_ACCESS_USER
#define X UMBRA_ACCESS_FETCH

/* 4-level tables: 2M of identity by 4K pages at gva 0. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull

static const struct umbra_regs long_mode = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
	.cr3 = PML4,
	.cr4 = UMBRA_CR4_PAE,
	.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
};

static void load(struct kit *kit)
{
	struct umbra_root root;

	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
}

/* Page @index of the guest's table: @entry. */
static void map(struct kit *kit, unsigned index, uint64_t entry)
{
	put64(kit, PT + 8ull * index, entry);
}

/* A guest that pages under shadow paging, @cr4 besides. */
static void open_shadow(struct kit *kit, uint64_t cr4)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_regs regs = long_mode;

	kit_open(kit, &config, 1);
	put64(kit, PML4, PDPT | 7);
	put64(kit, PDPT, PD | 7);
	put64(kit, PD, PT | 7);
	for (unsigned i = 0; i < 512; i++)
		map(kit, i, i * PAGE | 7);
	regs.cr4 |= cr4;
	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, &regs, true), UMBRA_OK);
	load(kit);
}

/* The exit that an MMIO entry causes. */
static struct umbra_exit met_exit(const struct kit *kit, uint64_t address, unsigned access)
{
	struct umbra_exit exit = kit->config.paging == UMBRA_PAGING_SHADOW
					 ? pf_exit(address, access)
					 : tdp_exit(kit, address, access);

	if (kit->config.paging == UMBRA_PAGING_EPT) {
		exit.event.kind = UMBRA_EVENT_EPT_MISCONFIG;
		exit.event.code = 0;
	} else {
		exit.event.code |= UMBRA_PF_P | UMBRA_PF_RSVD;
	}
	return exit;
}

static struct umbra_resolution meet(struct kit *kit, uint64_t address, unsigned access)
{
	const struct umbra_exit exit = met_exit(kit, address, access);
	struct umbra_resolution what;

	memset(&what, 0xee, sizeof(what));
	assert_int_equal(umbra_vcpu_fault(kit->vcpu, &exit, &what), UMBRA_OK);
	return what;
}

static bool is_marked(struct kit *kit, uint64_t address)
{
	return entry_is_mmio(&kit->vm->mmu.kind, look(kit, address).entry);
}

#define assert_verdict(what, name) assert_string_equal(umbra_strverdict((what).verdict), name)

/* The vCPU's cache would answer for the entry. */
static void forget(struct kit *kit)
{
	kit->vcpu->mmio.valid = false;
}

/* ---- TDP ---- */

static void tdp_config(struct umbra_vm_config *config, unsigned which)
{
	static const struct {
		enum umbra_paging paging;
		uint8_t levels;
	} kinds[] = {
		{UMBRA_PAGING_EPT, 4}, {UMBRA_PAGING_EPT, 5}, {UMBRA_PAGING_NPT, 3},
		{UMBRA_PAGING_NPT, 4}, {UMBRA_PAGING_NPT, 5},
	};

	*config = kit_config(kinds[which].paging);
	config->levels = kinds[which].levels;
}
#define TDP_KINDS 5

static void q25_tdp(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < TDP_KINDS * UMBRA_LAYOUT_COUNT; i++) {
		struct umbra_vm_config config;
		struct umbra_resolution what;
		struct umbra_stats stats;
		struct kit kit;

		tdp_config(&config, i % TDP_KINDS);
		config.layout = (enum umbra_layout)(i / TDP_KINDS);
		kit_open(&kit, &config, 3);
		load(&kit);
		what = touch(&kit, DEVICE + 0x10, W);
		assert_verdict(what, "MMIO");
		assert_true(is_marked(&kit, DEVICE));
		assert_int_equal(look(&kit, DEVICE).at.page->role.level, 1);
		/* the frame, and no generation but that of the slots. */
		assert_int_equal(entry_mmio_gfn(&kit.vm->mmu.kind, look(&kit, DEVICE).entry).v,
				 DEVICE / PAGE);
		assert_int_equal(entry_mmio_generation(&kit.vm->mmu.kind, look(&kit, DEVICE).entry),
				 kit.vm->mmu.slots.generation);
		assert_clean(&kit);
		stats = kit_stats(&kit);
		assert_int_equal(stats.pf_mmio_spte_created, 1);
		for (unsigned again = 0; again < 4; again++) {
			if (again % 2)
				forget(&kit);
			what = meet(&kit, DEVICE + 0x123, again < 2 ? W : R);
			assert_verdict(what, "MMIO");
			assert_int_equal(what.gpa.v, DEVICE + 0x123);
		}
		assert_int_equal(kit_stats(&kit).pf_taken, stats.pf_taken);
		assert_int_equal(kit_stats(&kit).pf_mmio, stats.pf_mmio + 4);
		/* F-11: no such entry there, or none any more. */
		assert_verdict(meet(&kit, DEVICE + PAGE, R), "RETRY");
		assert_verdict(meet(&kit, 0x5000, R), "RETRY");
		assert_int_equal(resume(&kit, 0x5000, R), 2);
		assert_verdict(meet(&kit, 0x5000, R), "RETRY");
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* A slot is made where an entry says that there is none: the entry is not believed. */
static void m5_slot_is_made(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < TDP_KINDS; i++) {
		struct umbra_vm_config config;
		struct kit kit;
		uint64_t flushes;

		tdp_config(&config, i);
		kit_open(&kit, &config, 1);
		load(&kit);
		for (unsigned round = 0; round < 3; round++) {
			assert_verdict(touch(&kit, DEVICE, R), "MMIO");
			flushes = kit.flushes;
			assert_int_equal(kit_slot(&kit, 1, DEVICE, PAGE, kit.hva.v, 0), UMBRA_OK);
			load(&kit);
			assert_true(is_marked(&kit, DEVICE));
			assert_clean(&kit);
			/* Straight to the mapping, and nothing to flush. */
			assert_verdict(meet(&kit, DEVICE, R), "RESUME");
			assert_true(look(&kit, DEVICE).leaf);
			assert_int_equal(kit.flushes, flushes);
			assert_int_equal(kit_slot(&kit, 1, 0, 0, 0, 0), UMBRA_OK);
			load(&kit);
			assert_false(is_marked(&kit, DEVICE));
			assert_false(look(&kit, DEVICE).leaf);
			assert_clean(&kit);
		}
		/* A change elsewhere makes it old, which costs one fault. */
		assert_verdict(touch(&kit, DEVICE, R), "MMIO");
		assert_int_equal(kit_slot(&kit, 1, GIG, PAGE, kit.hva.v, 0), UMBRA_OK);
		load(&kit);
		assert_verdict(meet(&kit, DEVICE, R), "MMIO");
		assert_int_equal(kit_stats(&kit).pf_mmio_spte_created, 5);
		forget(&kit);
		assert_verdict(meet(&kit, DEVICE, R), "MMIO");
		assert_int_equal(kit_stats(&kit).pf_mmio_spte_created, 5);
		kit_close(&kit);
	}
}

/* F-21, Q-27, F-31, Q-20: where there is none. */
static void no_entry(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct umbra_resolution what;
	struct umbra_exit exit;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	load(&kit);
	/* A write to read-only memory; what no table reaches; beyond MAXPHYADDR. */
	assert_int_equal(kit_slot(&kit, 1, GIG, PAGE, kit.hva.v, UMBRA_SLOT_READONLY), UMBRA_OK);
	assert_verdict(touch(&kit, GIG, W), "MMIO");
	assert_verdict(touch(&kit, 1ull << 48, R), "MMIO");
	assert_verdict(touch(&kit, 1ull << 46, R), "MMIO");
	assert_int_equal(kit_stats(&kit).pf_mmio_spte_created, 0);
	assert_false(kit.vcpu->mmio.valid && kit.vcpu->mmio.gfn.v == GIG / PAGE);
	assert_verdict(touch(&kit, (1ull << 46) - PAGE, R), "MMIO");
	assert_int_equal(kit_stats(&kit).pf_mmio_spte_created, 1);
	kit_close(&kit);

	/* No bit is sure to be reserved; EPT does not need one. Or nobody wants them. */
	for (unsigned i = 0; i < 4; i++) {
		const bool ept = i & 1, off = i & 2;

		config = kit_config(ept ? UMBRA_PAGING_EPT : UMBRA_PAGING_NPT);
		config.cpu.maxphyaddr = 52;
		config.no_mmio_caching = off;
		kit_open(&kit, &config, 1);
		load(&kit);
		assert_verdict(touch(&kit, DEVICE, R), "MMIO");
		assert_int_equal(kit_stats(&kit).pf_mmio_spte_created, ept && !off);
		exit = met_exit(&kit, DEVICE, R);
		assert_int_equal(umbra_vcpu_fault(kit.vcpu, &exit, &what),
				 ept && !off ? UMBRA_OK : UMBRA_EINVAL);
		kit_close(&kit);
	}
}

/* the address is nowhere in the entry, and comes back; not where it would be lost. */
static void q26_l1tf(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	const uint64_t device = 0x10001234000;
	struct kit kit;

	(void)unused;
	config.l1tf_cache_bits = 44;
	kit_open(&kit, &config, 1);
	load(&kit);
	for (unsigned i = 0; i < 3; i++) /* generation 5, as the vector has it */
		assert_int_equal(kit_slot(&kit, 1, i % 2 ? 0 : GIG, i % 2 ? 0 : PAGE, 0, 0),
				 UMBRA_OK);
	assert_int_equal(kit.vm->mmu.slots.generation, 5);
	load(&kit);
	assert_verdict(touch(&kit, device, R), "MMIO");
	assert_int_equal(look(&kit, device).entry, 0x2f800123402e);
	forget(&kit);
	assert_int_equal(meet(&kit, device + 8, R).gpa.v, device + 8);
	assert_verdict(touch(&kit, 1ull << 44, R), "MMIO");
	assert_int_equal(kit_stats(&kit).pf_mmio_spte_created, 1);
	kit_close(&kit);
	config.l1tf_cache_bits = 31;
	kit_host(&kit, 1);
	config.host = kit.host;
	assert_int_equal(umbra_vm_create(&config, &kit.vm), UMBRA_EINVAL);
	kit_close(&kit);
}

/* F-19: a slot that goes is neither memory nor MMIO; M-5: meanwhile nothing is remembered. */
static void f19_slot_goes(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	const struct umbra_slot gone = {.id = 1};
	umbra_gpa gpa = {GIG};
	uint64_t size = PAGE;
	struct slots_plan plan;
	struct mmu *mmu;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	mmu = &kit.vm->mmu;
	assert_int_equal(kit_slot(&kit, 1, GIG, PAGE, kit.hva.v, 0), UMBRA_OK);
	load(&kit);
	assert_verdict(touch(&kit, DEVICE, R), "MMIO");
	assert_int_equal(slots_prepare(mmu, &gone, &plan), UMBRA_OK);
	umbra_host_lock(kit.host, UMBRA_LOCK_MMU, true);
	slots_begin(mmu, &plan);
	umbra_host_unlock(kit.host, UMBRA_LOCK_MMU, true);
	assert_true(mmu->slots.generation & SLOTS_UPDATING);
	assert_verdict(touch(&kit, GIG, R), "RETRY");
	assert_int_equal(umbra_vcpu_prefault(kit.vcpu, &gpa, &size), UMBRA_EAGAIN);
	assert_verdict(touch(&kit, 0x5000, R), "RESUME"); /* others go on */
	/* Neither cache nor entry is believed, and none is made. */
	assert_verdict(meet(&kit, DEVICE, R), "MMIO");
	assert_verdict(touch(&kit, DEVICE + PAGE, R), "MMIO");
	assert_int_equal(kit_stats(&kit).pf_mmio_spte_created, 1);
	assert_false(kit.vcpu->mmio.valid);
	assert_clean(&kit);
	umbra_host_lock(kit.host, UMBRA_LOCK_MMU, true);
	slots_commit(mmu, &plan);
	umbra_host_unlock(kit.host, UMBRA_LOCK_MMU, true);
	slots_release(mmu, &plan);
	assert_false(mmu->slots.generation & SLOTS_UPDATING);
	load(&kit);
	assert_verdict(touch(&kit, GIG, R), "MMIO");
	kit_close(&kit);
}

/* ---- shadow paging ---- */

static void shadow_rights(void **unused)
{
	struct kit kit;
	uint64_t taken;

	(void)unused;
	open_shadow(&kit, 0);
	map(&kit, 20, DEVICE | 7);
	map(&kit, 21, (DEVICE + PAGE) | 3); /* supervisor */
	map(&kit, 22, (DEVICE + 2 * PAGE) | 5); /* read-only */
	for (unsigned i = 20; i < 23; i++) {
		assert_verdict(touch(&kit, i * PAGE, R), "MMIO");
		assert_true(is_marked(&kit, i * PAGE));
	}
	assert_clean(&kit);
	taken = kit_stats(&kit).pf_taken;
	for (unsigned i = 0; i < 2; i++) {
		forget(&kit);
		assert_verdict(meet(&kit, 20 * PAGE + 4, U), "MMIO");
		assert_int_equal(meet(&kit, 21 * PAGE + 4, R).gpa.v, DEVICE + PAGE + 4);
		assert_verdict(meet(&kit, 22 * PAGE, U), "MMIO");
	}
	assert_int_equal(kit_stats(&kit).pf_taken, taken);
	/* What the entry does not allow, the guest's tables decide. */
	assert_int_equal(meet(&kit, 21 * PAGE, U).event.code, UMBRA_PF_P | UMBRA_PF_U);
	assert_int_equal(meet(&kit, 22 * PAGE, W).event.code, UMBRA_PF_P | UMBRA_PF_W);
	/* D has to be set by the first write, and only that (G-38). */
	assert_int_equal(get64(&kit, PT + 8 * 20) & 0x40, 0);
	assert_verdict(meet(&kit, 20 * PAGE, W), "MMIO");
	assert_int_equal(get64(&kit, PT + 8 * 20) & 0x40, 0x40);
	assert_int_equal(kit_stats(&kit).pf_taken, taken + 3);
	forget(&kit);
	assert_verdict(meet(&kit, 20 * PAGE, W), "MMIO");
	/* Of EXEC nothing is known. */
	assert_int_equal(kit_stats(&kit).pf_taken, taken + 3);
	assert_verdict(meet(&kit, 20 * PAGE, X), "MMIO");
	assert_int_equal(kit_stats(&kit).pf_taken, taken + 4);
	assert_clean(&kit);
	kit_close(&kit);
}

/* The guest's own reserved bits are the guest's own fault, whatever hardware says. */
static void shadow_guests_own(void **unused)
{
	struct kit kit;

	(void)unused;
	open_shadow(&kit, 0);
	map(&kit, 30, 1ull << 50 | DEVICE | 7);
	assert_int_equal(touch(&kit, 30 * PAGE, R).event.code, UMBRA_PF_P | UMBRA_PF_RSVD);
	assert_false(is_marked(&kit, 30 * PAGE));
	assert_verdict(meet(&kit, 30 * PAGE, R), "RETRY");
	/* Keys are not kept: each access is looked up. */
	kit_close(&kit);
	open_shadow(&kit, UMBRA_CR4_PKE);
	map(&kit, 30, 3ull << 59 | DEVICE | 7);
	assert_verdict(touch(&kit, 30 * PAGE, U), "MMIO");
	forget(&kit);
	assert_verdict(meet(&kit, 30 * PAGE, U), "MMIO");
	assert_int_equal(kit_stats(&kit).pf_taken, 2);
	kit_close(&kit);
}

/* SMAP is the mode's, and AC the access's. */
static void shadow_smap(void **unused)
{
	struct umbra_exit exit;
	struct umbra_resolution what;
	struct kit kit;

	(void)unused;
	open_shadow(&kit, UMBRA_CR4_SMAP);
	map(&kit, 20, DEVICE | 7);
	assert_verdict(touch(&kit, 20 * PAGE, U), "MMIO");
	assert_verdict(meet(&kit, 20 * PAGE, R), "INJECT");
	exit = met_exit(&kit, 20 * PAGE, R);
	exit.ac = true;
	assert_int_equal(umbra_vcpu_fault(kit.vcpu, &exit, &what), UMBRA_OK);
	assert_verdict(what, "MMIO");
	assert_int_equal(kit_stats(&kit).pf_taken, 2);
	kit_close(&kit);
}

static void edit(struct kit *kit, unsigned index, uint64_t entry)
{
	/* The table goes unsync with the first write, then anybody may write it. */
	assert_verdict(touch(kit, PT + 8ull * index, W), "RESUME");
	map(kit, index, entry);
}

static uint64_t translated(struct kit *kit, uint64_t gva)
{
	struct umbra_translation t;

	assert_int_equal(umbra_vcpu_translate(kit->vcpu, (umbra_gva){gva}, R, false, &t), UMBRA_OK);
	assert_int_equal(t.event.kind, UMBRA_EVENT_NONE);
	return t.gpa.v;
}

/* An entry lags behind the guest's until the guest flushes, and so does its emulator. */
static void s23_lag_and_sync(void **unused)
{
	static const uint64_t now[] = {
		0, /* not present */
		(DEVICE + PAGE) | 0x67, /* another frame without memory */
		30 * PAGE | 0x67, /* memory */
		DEVICE | 0x63, /* no user */
		DEVICE | 0x65, /* read-only */
		DEVICE | 0x27, /* D clear */
		DEVICE | 0x47, /* A clear */
		DEVICE | 0x67, /* as before */
	};
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < sizeof(now) / sizeof(now[0]); i++) {
		const bool same = now[i] == (DEVICE | 0x67);

		for (unsigned how = 0; how < 2; how++) {
			open_shadow(&kit, 0);
			map(&kit, 20, DEVICE | 7);
			assert_verdict(touch(&kit, 20 * PAGE, W), "MMIO");
			edit(&kit, 20, now[i]);
			assert_int_equal(meet(&kit, 20 * PAGE + 8, W).gpa.v, DEVICE + 8);
			assert_int_equal(translated(&kit, 20 * PAGE + 8), DEVICE + 8);
			assert_clean(&kit);
			if (how)
				umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){20 * PAGE});
			else
				assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4), UMBRA_OK);
			load(&kit);
			assert_false(kit.vcpu->mmio.valid);
			assert_int_equal(is_marked(&kit, 20 * PAGE), same);
			assert_clean(&kit);
			if (same)
				assert_verdict(meet(&kit, 20 * PAGE, W), "MMIO");
			kit_close(&kit);
		}
	}
}

/* A fault that looks anew is right from then on, for emulators too. */
static void q29_fault_is_newer(void **unused)
{
	struct kit kit;

	(void)unused;
	open_shadow(&kit, 0);
	map(&kit, 20, DEVICE | 7);
	assert_verdict(touch(&kit, 20 * PAGE, W), "MMIO");
	edit(&kit, 20, 30 * PAGE | 0x67);
	assert_int_equal(translated(&kit, 20 * PAGE), DEVICE);
	assert_int_equal(resume(&kit, 20 * PAGE, X), 1);
	assert_int_equal(translated(&kit, 20 * PAGE), 30 * PAGE);
	kit_close(&kit);
}

/* A mirror that lags has more to offer: vCPUs that return to its root must look (H-107). */
static void h107_stamped(void **unused)
{
	struct pages *pages;
	struct kit kit;
	uint64_t left;

	(void)unused;
	open_shadow(&kit, 0);
	pages = &kit.vm->mmu.pages;
	edit(&kit, 20, DEVICE | 7);
	assert_int_equal(pages->unsync_count, 1);
	left = pages_end_epoch(&kit.vm->mmu);
	assert_true(pages->unsync_epoch[0] <= left);
	assert_verdict(touch(&kit, 20 * PAGE, R), "MMIO");
	assert_true(pages->unsync_epoch[0] > left);
	kit_close(&kit);
}

/* Writes to the table that are emulated take the entry away at once; old entries are not
 * made young by a sync (there may be memory by now). */
static void s42_written(void **unused)
{
	struct kit kit;

	(void)unused;
	open_shadow(&kit, 0);
	map(&kit, 20, DEVICE | 7);
	assert_verdict(touch(&kit, 20 * PAGE, W), "MMIO");
	write64(&kit, PT + 8 * 20, (DEVICE + PAGE) | 7);
	assert_false(is_marked(&kit, 20 * PAGE));
	assert_verdict(touch(&kit, 20 * PAGE, W), "MMIO");
	assert_int_equal(kit_slot(&kit, 1, DEVICE + PAGE, PAGE, kit.hva.v, 0), UMBRA_OK);
	edit(&kit, 21, 5 * PAGE | 7);
	map(&kit, 20, (DEVICE + PAGE) | 0x67 | 0x200);
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4), UMBRA_OK);
	load(&kit);
	forget(&kit);
	assert_clean(&kit);
	assert_verdict(meet(&kit, 20 * PAGE, W), "RESUME");
	assert_clean(&kit);
	kit_close(&kit);
}

/* Below a large guest page, and without paging: PAE tables. */
static void shadow_direct(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	open_shadow(&kit, 0);
	put64(&kit, PD + 8, (DEVICE & ~0x1fffffull) | 0x87);
	assert_verdict(touch(&kit, 0x200000 + 5 * PAGE, R), "MMIO");
	assert_true(is_marked(&kit, 0x200000 + 5 * PAGE));
	assert_verdict(meet(&kit, 0x200000 + 5 * PAGE, R), "MMIO");
	assert_verdict(meet(&kit, 0x200000 + 6 * PAGE, R), "RETRY");
	write64(&kit, PD + 8, 0);
	assert_clean(&kit);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){0x200000});
	assert_verdict(touch(&kit, 0x200000 + 5 * PAGE, R), "INJECT");
	kit_close(&kit);

	kit_open(&kit, &config, 1);
	load(&kit);
	assert_verdict(touch(&kit, DEVICE + 4, W), "MMIO");
	forget(&kit);
	assert_int_equal(meet(&kit, DEVICE + 4, R).gpa.v, DEVICE + 4);
	assert_int_equal(kit_stats(&kit).pf_taken, 1);
	assert_clean(&kit);
	kit_close(&kit);
}

/* O-5: memory goes, MMIO comes, without a chain that leads to it. */
static void o5_over_a_leaf(void **unused)
{
	struct kit kit;

	(void)unused;
	open_shadow(&kit, 0);
	assert_int_equal(kit_slot(&kit, 1, DEVICE, PAGE, kit.hva.v, 0), UMBRA_OK);
	map(&kit, 20, DEVICE | 7);
	assert_int_equal(resume(&kit, 20 * PAGE, W), 1);
	assert_int_equal(kit_slot(&kit, 1, 0, 0, 0, 0), UMBRA_OK);
	load(&kit);
	assert_verdict(touch(&kit, 20 * PAGE, W), "MMIO");
	assert_clean(&kit);
	/* The guest's entry leads elsewhere and nobody flushed: still one entry, one kind. */
	edit(&kit, 21, DEVICE | 0x67);
	assert_int_equal(resume(&kit, 22 * PAGE, R), 1);
	edit(&kit, 22, (DEVICE + PAGE) | 7);
	assert_verdict(touch(&kit, 22 * PAGE, W), "MMIO");
	assert_true(is_marked(&kit, 22 * PAGE));
	assert_clean(&kit);
	kit_close(&kit);
}

/* ---- the auditor ---- */

static void i19_findings(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct seen seen;
	struct kit kit;
	uint64_t *entry, good;

	(void)unused;
	kit_open(&kit, &config, 1);
	load(&kit);
	assert_verdict(touch(&kit, DEVICE, R), "MMIO");
	seen = look(&kit, DEVICE);
	entry = &page_entries(&kit.vm->mmu, seen.at.page)[seen.at.index];
	good = *entry;
	*entry = good + PAGE;
	assert_int_equal(kit_audit(&kit), 1);
	assert_non_null(strstr(kit.found, "I-19 an MMIO entry names another frame"));
	*entry = good;
	assert_int_equal(kit_slot(&kit, 1, DEVICE, PAGE, kit.hva.v, 0), UMBRA_OK);
	*entry = entry_make_mmio(&kit.vm->mmu.kind, (umbra_gfn){DEVICE / PAGE}, 0,
				 kit.vm->mmu.slots.generation);
	assert_int_equal(kit_audit(&kit), 1);
	assert_non_null(strstr(kit.found, "I-19 a current MMIO entry where there is a slot"));
	*entry = good;
	assert_clean(&kit);
	kit_close(&kit);
}

/* ---- generations that come around (Q-30, O-15) ---- */

/* Steps the generation by 3: made and gone. */
static void churn(struct kit *kit)
{
	assert_int_equal(kit_slot(kit, 9, 8 * GIG, PAGE, 0, 0), UMBRA_OK);
	assert_int_equal(kit_slot(kit, 9, 0, 0, 0, 0), UMBRA_OK);
}

static void wrap_of(enum umbra_paging paging, bool wide)
{
	struct umbra_vm_config config = kit_config(paging);
	const uint64_t span = 1ull << 18;
	uint64_t old, zapped;
	struct kit kit;

	config.mmio_wide_generation = wide;
	kit_open(&kit, &config, 1);
	/* As if 2^18 - 100 changes had been made. */
	kit.vm->mmu.slots.generation = span - 100;
	load(&kit);
	assert_verdict(touch(&kit, DEVICE, R), "MMIO");
	assert_int_equal(resume(&kit, 0x5000, W), 1);
	old = look(&kit, DEVICE).entry;
	zapped = kit_stats(&kit).mmu_shadow_zapped;
	while (kit.vm->mmu.slots.generation < span) {
		assert_int_equal(kit_stats(&kit).mmu_shadow_zapped, zapped);
		assert_true(is_marked(&kit, DEVICE));
		churn(&kit);
		load(&kit);
	}
	/* The entry is gone; everything else too, or not. */
	assert_false(is_marked(&kit, DEVICE));
	assert_int_equal(kit_stats(&kit).mmu_shadow_zapped > zapped, !wide);
	assert_int_equal(look(&kit, 0x5000).leaf, wide);
	assert_clean(&kit);
	/* Memory where the entry was, and the generation that it had: it would be believed. */
	assert_int_equal(kit_slot(&kit, 1, DEVICE, PAGE, kit.hva.v, 0), UMBRA_OK);
	kit.vm->mmu.slots.generation = 2 * span - 100;
	assert_int_equal(entry_mmio_generation(&kit.vm->mmu.kind, old), span - 100);
	assert_clean(&kit);
	kit_close(&kit);
}

static void q30_wrap(void **unused)
{
	(void)unused;
	for (unsigned paging = 0; paging < UMBRA_PAGING_COUNT; paging++) {
		wrap_of(paging, false);
		wrap_of(paging, true);
	}
}

/* Attributes step the same generation (M-40). What is private has no MMIO. */
static void q30_wrap_by_attributes(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	const uint64_t span = 1ull << 18;
	const umbra_gpa device = {DEVICE};
	struct kit kit;

	(void)unused;
	config.private_memory = true;
	for (unsigned wide = 0; wide < 2; wide++) {
		config.mmio_wide_generation = wide;
		kit_open(&kit, &config, 1);
		kit.vm->mmu.slots.generation = span - 2;
		load(&kit);
		for (unsigned i = 0; i < 4; i++) {
			const bool is_private = i % 2 == 0;
			const uint64_t attributes = is_private ? UMBRA_ATTRIBUTE_PRIVATE : 0;

			assert_verdict(touch(&kit, DEVICE + PAGE, R), "MMIO");
			assert_int_equal(umbra_vm_set_attributes(kit.vm, device, PAGE, attributes),
					 UMBRA_OK);
			load(&kit);
			assert_int_equal(is_marked(&kit, DEVICE + PAGE), i != 1);
			assert_verdict(touch(&kit, DEVICE, R),
				       is_private ? "MEMORY_FAULT" : "MMIO");
			assert_clean(&kit);
		}
		assert_int_equal(kit.vm->mmu.slots.generation, span + 2);
		kit_close(&kit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(q25_tdp),
		cmocka_unit_test(m5_slot_is_made),
		cmocka_unit_test(no_entry),
		cmocka_unit_test(q26_l1tf),
		cmocka_unit_test(f19_slot_goes),
		cmocka_unit_test(shadow_rights),
		cmocka_unit_test(shadow_guests_own),
		cmocka_unit_test(shadow_smap),
		cmocka_unit_test(s23_lag_and_sync),
		cmocka_unit_test(q29_fault_is_newer),
		cmocka_unit_test(h107_stamped),
		cmocka_unit_test(s42_written),
		cmocka_unit_test(shadow_direct),
		cmocka_unit_test(o5_over_a_leaf),
		cmocka_unit_test(i19_findings),
		cmocka_unit_test(q30_wrap),
		cmocka_unit_test(q30_wrap_by_attributes),
	};

	return cmocka_run_group_tests_name("mmio", tests, NULL, NULL);
}
