/* SPDX-License-Identifier: MIT */
/*
 * test_sync.c - guest tables that the guest writes by itself, and what ends that.
 *
 * S-20..S-29 rule by rule, prefetch (S-9), the roots a vCPU keeps, and how
 * tables are given back: generations, slots, the shrinker, tracking.
 *
 * guest_write() is the guest's own store: it exits only where no writable leaf is.
 */
#include <time.h>

#include "core/prefetch.h"
#include "core/shadow.h"
#include "core/sync.h"
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)
#define GIG (1ull << 30)

#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE
#define X UMBRA_ACCESS_FETCH
#define U UMBRA_ACCESS_USER

/* Address space 1 maps 0..2M to itself by PT; number 2 has tables of its own. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
#define PT2 0x5000ull
#define PML4_B 0x6000ull
#define PDPT_B 0x7000ull
#define PD_B 0x8000ull
#define PT_B 0x9000ull
/* Mapped here in both. */
#define GVA (32 * PAGE)

#define KEEP (1ull << 63) /* bit 63 of MOV CR3 */

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

static void enter(struct kit *kit, const struct umbra_regs *regs)
{
	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, regs, true), UMBRA_OK);
	load(kit);
}

static void mov_cr3(struct kit *kit, uint64_t value)
{
	assert_int_equal(umbra_vcpu_mov_cr3(kit->vcpu, value), UMBRA_OK);
	load(kit);
}

static void make_tables(struct kit *kit)
{
	put64(kit, PML4, PDPT | 7);
	put64(kit, PDPT, PD | 7);
	put64(kit, PD, PT | 7);
	put64(kit, PML4_B, PDPT_B | 7);
	put64(kit, PDPT_B, PD_B | 7);
	put64(kit, PD_B, PT_B | 7);
	for (uint64_t i = 0; i < 512; i++) {
		put64(kit, PT + 8 * i, i * PAGE | 7);
		put64(kit, PT_B + 8 * i, i * PAGE | 7);
	}
}

static void open_config(struct kit *kit, const struct umbra_vm_config *config)
{
	kit_open(kit, config, 1);
	make_tables(kit);
	enter(kit, &long_mode);
}

static void open_long(struct kit *kit)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);

	open_config(kit, &config);
}

static void open_pcid(struct kit *kit)
{
	struct umbra_regs regs = long_mode;

	open_long(kit);
	regs.cr4 |= UMBRA_CR4_PCIDE;
	regs.cr3 |= 1;
	enter(kit, &regs);
}

/* What became of the guest's store of @value at @gpa, which lies at the same gva. */
enum stored { FREELY, AFTER_A_FAULT, EMULATED };

static enum stored guest_write(struct kit *kit, uint64_t gpa, uint64_t value)
{
	struct seen seen = look(kit, gpa);
	struct umbra_resolution what;

	if (seen.leaf && seen.acc & ACC_WRITE) {
		put64(kit, gpa, value);
		return FREELY;
	}
	what = touch(kit, gpa, W);
	if (what.verdict == UMBRA_EMULATE) {
		write64(kit, gpa, value);
		return EMULATED;
	}
	assert_int_equal(what.verdict, UMBRA_RESUME);
	seen = look(kit, gpa);
	assert_true(seen.leaf && seen.acc & ACC_WRITE);
	put64(kit, gpa, value);
	return AFTER_A_FAULT;
}

/* The frame that @gva leads to in the tables, 0: nothing there. */
static uint64_t frame_at(struct kit *kit, uint64_t gva)
{
	struct seen seen = look(kit, gva);

	return seen.leaf ? entry_pfn(&kit->vm->mmu.kind, seen.entry).v : 0;
}

static struct page *table_of(struct kit *kit, uint64_t gva)
{
	struct seen seen = look(kit, gva);

	assert_int_equal(seen.at.page->role.level, 1);
	return seen.at.page;
}

/* ---- S-20, S-21: who may write when ---- */

static void a13_no_trap_until_a_flush(void **unused)
{
	const uint64_t entry = PT + 8 * (GVA / PAGE);
	struct kit kit;

	(void)unused;
	open_long(&kit);
	resume(&kit, GVA, W);
	assert_int_equal(guest_write(&kit, entry, 40 * PAGE | 0x67), AFTER_A_FAULT);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(guest_write(&kit, entry, (41 + i) * PAGE | 0x67), FREELY);
	assert_int_equal(kit_stats(&kit).mmu_unsync, 1);
	assert_int_equal(kit_stats(&kit).mmu_pte_write, 0);
	assert_clean(&kit);
	/* The old translation is good until the guest flushes (H-130); others stay so. */
	resume(&kit, GVA + PAGE, W);
	assert_int_equal(guest_write(&kit, entry + 8, 50 * PAGE | 0x67), FREELY);
	load(&kit);
	assert_int_equal(frame_at(&kit, GVA), frame_of(GVA));
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA + 123});
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_int_equal(frame_at(&kit, GVA + PAGE), frame_of(GVA + PAGE));
	resume(&kit, GVA, W);
	assert_int_equal(frame_at(&kit, GVA), frame_of(140 * PAGE));
	assert_int_equal(kit_stats(&kit).invlpg, 1);
	/* INVLPG leaves the table with the guest; MOV CR3 takes it back. */
	assert_int_equal(guest_write(&kit, entry, 60 * PAGE | 0x67), FREELY);
	mov_cr3(&kit, PML4);
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_int_equal(frame_at(&kit, GVA + PAGE), 0);
	assert_false(look(&kit, PT).acc & ACC_WRITE);
	assert_clean(&kit);
	assert_int_equal(guest_write(&kit, entry, 61 * PAGE | 0x67), AFTER_A_FAULT);
	assert_int_equal(kit_stats(&kit).mmu_unsync, 2);
	kit_close(&kit);
}

static void s20_upper_tables_always_trap(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit);
	resume(&kit, GVA, W);
	assert_int_equal(guest_write(&kit, PT, get64(&kit, PT)), AFTER_A_FAULT);
	for (unsigned round = 0; round < 3; round++) {
		for (uint64_t table = PML4; table < PT; table += PAGE) {
			resume(&kit, GVA, R);
			assert_int_equal(guest_write(&kit, table + 8 * (1 + round), 0), EMULATED);
			assert_int_equal(guest_write(&kit, table + 8 * (1 + round), 5), EMULATED);
			resume(&kit, table, R);
			assert_false(look(&kit, table).acc & ACC_WRITE);
			resume(&kit, GVA, R);
		}
		assert_int_equal(guest_write(&kit, PT, get64(&kit, PT)), FREELY);
		assert_clean(&kit);
	}
	assert_int_equal(kit_stats(&kit).mmu_unsync, 1);
	kit_close(&kit);
}

/* S-27: what lags as a last-level table and is linked as an upper one. */
static void s27_unsync_becomes_upper(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit);
	put64(&kit, PT2, 40 * PAGE | 7);
	write64(&kit, PD + 8, PT2 | 7);
	resume(&kit, 2 * MEG, W);
	assert_int_equal(guest_write(&kit, PT2, PT | 7), AFTER_A_FAULT);
	assert_true(table_of(&kit, 2 * MEG)->unsync);
	write64(&kit, PDPT + 8, PT2 | 7);
	resume(&kit, GIG + GVA, W); /* PT2 is a page directory as well */
	assert_int_equal(frame_at(&kit, GIG + GVA), frame_of(GVA));
	assert_false(look(&kit, PT2).acc & ACC_WRITE);
	assert_false(look(&kit, 2 * MEG).leaf);
	assert_int_equal(guest_write(&kit, PT2 + 8, 0), EMULATED);
	assert_clean(&kit);
	/* The last-level mirror made anew does not make it writable either. */
	resume(&kit, 2 * MEG, W);
	assert_int_equal(guest_write(&kit, PT2, 41 * PAGE | 7), EMULATED);
	assert_false(look(&kit, 2 * MEG).leaf);
	assert_clean(&kit);
	kit_close(&kit);
}

/* ---- S-23: one entry ---- */

#define NX (1ull << 63)

static const struct {
	const char *name;
	uint64_t before, after; /* with frame bits */
	unsigned access;
	bool stays;
	unsigned acc;
} edits[] = {
	{"unchanged", 0x28067, 0x28067, W, true, ACC_ALL},
	{"not present", 0x28067, 0x28066, W, false, 0},
	{"another frame", 0x28067, 0x29067, W, false, 0},
	{"A clear", 0x28067, 0x28047, W, false, 0},
	{"reserved", 0x28067, 0x28067 | 1ull << 50, W, false, 0},
	{"U clear", 0x28067, 0x28063, W, false, 0},
	{"read-only", 0x28067, 0x28065, W, true, ACC_ALL & ~ACC_WRITE},
	{"D clear", 0x28067, 0x28027, W, true, ACC_ALL & ~ACC_WRITE},
	{"NX set", 0x28067, 0x28067 | NX, W, true, ACC_ALL & ~ACC_EXEC},
	{"NX clear", 0x28067 | NX, 0x28067, W, true, ACC_ALL},
	{"writable now", 0x28065, 0x28067, R, true, ACC_ALL & ~ACC_WRITE},
	{"dirty now", 0x28027, 0x28067, R, true, ACC_ALL & ~ACC_WRITE},
	{"ignored bits", 0x28067, 0x28e67, W, true, ACC_ALL},
	{"all at once", 0x28067, 0, W, false, 0},
};
#define EDITS (sizeof(edits) / sizeof(edits[0]))

enum flush_by {
	INVLPG,
	INVLPGA,
	INVPCID_0,
	INVPCID_1,
	INVPCID_2,
	INVPCID_3,
	CR3,
	SET_REGS,
	PGE,
	FLUSHES
};

static void flush_by(struct kit *kit, enum flush_by how, uint64_t gva)
{
	struct umbra_regs regs = *umbra_vcpu_regs(kit->vcpu);
	struct umbra_root root;
	uint64_t pcid = regs.cr4 & UMBRA_CR4_PCIDE ? regs.cr3 & 0xfff : 0;

	switch (how) {
	case INVLPG: umbra_vcpu_invlpg(kit->vcpu, (umbra_gva){gva}); break;
	/* ASID 0 is the guest's own. */
	case INVLPGA: umbra_vcpu_invlpga(kit->vcpu, (umbra_gva){gva}, 0); break;
	case CR3: assert_int_equal(umbra_vcpu_mov_cr3(kit->vcpu, regs.cr3), UMBRA_OK); break;
	case PGE: regs.cr4 ^= UMBRA_CR4_PGE; /* fall through */
	case SET_REGS:
		assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, &regs, false), UMBRA_OK);
		break;
	default:
		assert_int_equal(
			umbra_vcpu_invpcid(kit->vcpu, how - INVPCID_0, pcid, (umbra_gva){gva}),
			UMBRA_OK);
	}
	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
	assert_true(root.flush);
}

/* Every edit, every way to flush: what stays, with which rights. */
static void s23_what_stays(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct kit kit;

	(void)unused;
	regs.cr4 |= UMBRA_CR4_PCIDE;
	regs.cr3 |= 3;
	for (unsigned how = 0; how < FLUSHES; how++) {
		open_long(&kit);
		enter(&kit, &regs);
		resume(&kit, GVA, R);
		for (unsigned i = 0; i < EDITS; i++) {
			/* Apart, so that none is another's neighbour. */
			const uint64_t gva = (64 + 8 * i) * PAGE, at = PT + gva / PAGE * 8;
			struct seen seen;

			guest_write(&kit, at, edits[i].before);
			flush_by(&kit, how, gva);
			resume(&kit, gva, edits[i].access);
			guest_write(&kit, at, edits[i].after);
			assert_true(look(&kit, gva).leaf);
			flush_by(&kit, how, gva);
			seen = look(&kit, gva);
			if (seen.leaf != edits[i].stays || (seen.leaf && seen.acc != edits[i].acc))
				fail_msg("%s, flush %u: leaf %d acc %#x", edits[i].name, how,
					 seen.leaf, seen.acc);
			if (how >= CR3 || how == INVPCID_1 || how == INVPCID_2 || how == INVPCID_3)
				assert_false(kit.vcpu->own.root->unsync_below);
			else
				assert_true(kit.vcpu->own.root->unsync_below);
			assert_clean(&kit);
		}
		kit_close(&kit);
	}
}

/* One entry of 512 has changed, any one: it is found, and no other goes. */
static void s23_each_entry(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit);
	put64(&kit, PD + 8, PT2 | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(&kit, PT2 + 8 * i, (512 + i) * PAGE | 0x67);
	for (uint64_t i = 0; i < 512; i++)
		resume(&kit, 2 * MEG + i * PAGE, W);
	for (uint64_t i = 0; i < 512; i++) {
		guest_write(&kit, PT2 + 8 * i, (1024 + i) * PAGE | 0x67);
		mov_cr3(&kit, PML4);
		assert_int_equal(frame_at(&kit, 2 * MEG + i * PAGE), 0);
		for (uint64_t k = i > 8 ? i - 8 : 0; k < 512 && k < i + 9; k++)
			assert_int_equal(look(&kit, 2 * MEG + k * PAGE).leaf, k != i);
		resume(&kit, 2 * MEG + i * PAGE, W);
	}
	assert_int_equal(kit_stats(&kit).pages_4k, 513); /* and that of PT2 */
	assert_clean(&kit);
	kit_close(&kit);
}

/* A key that changed, G-48's two states, and a shadow-stack page: left to a fault. */
static void s23_left_to_a_fault(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct umbra_regs regs = long_mode;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	regs.cr4 |= UMBRA_CR4_PKE;
	enter(&kit, &regs);
	resume(&kit, GVA, W | U);
	guest_write(&kit, at, GVA | 0x67 | 5ull << 59);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
	assert_false(look(&kit, GVA).leaf);
	resume(&kit, GVA, W | U);
	assert_int_equal(look(&kit, GVA).entry >> 59 & 15, 5);
	kit_close(&kit);

	open_long(&kit);
	regs = long_mode;
	regs.cr0 &= ~UMBRA_CR0_WP;
	enter(&kit, &regs);
	put64(&kit, at, GVA | 5);
	resume(&kit, GVA, W); /* a supervisor page now */
	assert_int_equal(look(&kit, GVA).acc & (ACC_WRITE | ACC_USER), ACC_WRITE);
	resume(&kit, PT, W);
	mov_cr3(&kit, PML4); /* the guest's entry is as it was */
	assert_int_equal(look(&kit, GVA).acc & (ACC_WRITE | ACC_USER), ACC_WRITE);
	guest_write(&kit, at, GVA | 0x65 | 1ull << 9); /* it is not */
	mov_cr3(&kit, PML4);
	assert_false(look(&kit, GVA).leaf);
	assert_clean(&kit);
	kit_close(&kit);

	open_long(&kit);
	regs = long_mode;
	regs.cr4 |= UMBRA_CR4_CET;
	enter(&kit, &regs);
	put64(&kit, at, GVA | 0x45);
	resume(&kit, GVA, R | U | UMBRA_ACCESS_SHSTK);
	assert_int_equal(look(&kit, GVA).entry & 0x42, 0x40);
	guest_write(&kit, at, GVA | 0x25); /* D clear: no shadow-stack page any more */
	mov_cr3(&kit, PML4);
	assert_false(look(&kit, GVA).leaf && look(&kit, GVA).entry & 0x40);
	assert_clean(&kit);
	kit_close(&kit);

	/* Nor is one under a table without write permission: the second 2M. */
	open_long(&kit);
	enter(&kit, &regs);
	put64(&kit, PD + 8, PT | 5);
	put64(&kit, at, GVA | 0x45);
	resume(&kit, (2ull << 20) + GVA, R | U);
	guest_write(&kit, at, GVA | 0x65 | 1ull << 9);
	mov_cr3(&kit, PML4);
	assert_true(look(&kit, (2ull << 20) + GVA).leaf);
	assert_int_equal(look(&kit, (2ull << 20) + GVA).entry & 0x42, 0);
	assert_clean(&kit);
	kit_close(&kit);
}

/* What ends it that a load gave, and what does not. */
static void stays_until_something_changes(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct umbra_regs regs = long_mode;
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	assert_true(umbra_vcpu_stays(kit.vcpu));
	resume(&kit, GVA, W);
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4), UMBRA_OK);
	assert_true(umbra_vcpu_stays(kit.vcpu));
	/* The flush is the caller's now. */
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	assert_false(root.flush);
	/* Nothing to sync until MOV CR3, then something. */
	guest_write(&kit, at, 40 * PAGE | 0x67);
	assert_true(umbra_vcpu_stays(kit.vcpu));
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4), UMBRA_OK);
	assert_false(umbra_vcpu_stays(kit.vcpu));
	load(&kit);
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_true(umbra_vcpu_stays(kit.vcpu));
	/* Another root, and back without having been entered. */
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4_B), UMBRA_OK);
	assert_false(umbra_vcpu_stays(kit.vcpu));
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4), UMBRA_OK);
	assert_false(umbra_vcpu_stays(kit.vcpu));
	load(&kit);
	regs.cr0 &= ~UMBRA_CR0_WP;
	assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &regs, false), UMBRA_OK);
	assert_false(umbra_vcpu_stays(kit.vcpu));
	load(&kit);
	regs.pkru = 4;
	assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &regs, false), UMBRA_OK);
	assert_false(umbra_vcpu_stays(kit.vcpu));
	load(&kit);
	umbra_vm_zap_all(kit.vm);
	assert_false(umbra_vcpu_stays(kit.vcpu));
	load(&kit);
	assert_true(umbra_vcpu_stays(kit.vcpu));
	kit_close(&kit);
}

/* S-24: a page made for another mode, or for none that is known, is emptied. */
static void s24_another_mode(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct page *page;
	struct mode mode;
	struct kit kit;

	(void)unused;
	for (unsigned how = 0; how < 2; how++) {
		struct edit edit;

		open_long(&kit);
		edit = (struct edit){.mmu = &kit.vm->mmu};
		for (uint64_t i = 0; i < 5; i++)
			resume(&kit, GVA + i * PAGE, W);
		page = table_of(&kit, GVA);
		mode_bind(&mode, &format_4, kit.vcpu->l1.mode.flags ^ MODE_WP, 46);
		assert_true(sync_mode_fits(page, &kit.vcpu->l1.mode));
		assert_false(sync_mode_fits(page, &mode));
		assert_false(sync_mode_fits(page, NULL));
		assert_int_equal(sync_page(&edit, &kit.vcpu->l1.mode, page), 0);
		assert_int_equal(sync_page(&edit, how ? &mode : NULL, page), 5);
		assert_true(edit.tlb.any);
		tlb_commit(&kit.vm->mmu, &edit.tlb);
		assert_clean(&kit);
		kit_close(&kit);
	}
	/* INVLPG reaches roots of another mode that are kept: the entry just goes. */
	open_long(&kit);
	resume(&kit, GVA, W);
	resume(&kit, GVA + PAGE, W);
	page = table_of(&kit, GVA);
	guest_write(&kit, PT + 8, get64(&kit, PT + 8));
	assert_true(page->unsync);
	regs.cr0 &= ~UMBRA_CR0_WP;
	enter(&kit, &regs);
	assert_non_null(kit.vcpu->own.previous[0]);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
	enter(&kit, &long_mode);
	assert_ptr_equal(table_of(&kit, GVA), page);
	assert_false(look(&kit, GVA).leaf);
	assert_true(look(&kit, GVA + PAGE).leaf);
	kit_close(&kit);
}

/* ---- several mirrors, links, marks ---- */

static void two_mirrors_of_one_table(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8, other = 2 * MEG + GVA;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	put64(&kit, PD + 8, PT | 5);
	resume(&kit, GVA, W);
	resume(&kit, other, R);
	assert_ptr_not_equal(table_of(&kit, GVA), table_of(&kit, other));
	assert_int_equal(guest_write(&kit, at, 40 * PAGE | 0x67), AFTER_A_FAULT);
	assert_int_equal(kit_stats(&kit).mmu_unsync, 2);
	assert_true(table_of(&kit, GVA)->unsync && table_of(&kit, other)->unsync);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_int_equal(frame_at(&kit, other), frame_of(GVA));
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){other});
	assert_int_equal(frame_at(&kit, other), 0);
	resume(&kit, other, R);
	resume(&kit, GVA, W);
	assert_int_equal(guest_write(&kit, at, 41 * PAGE | 0x67), FREELY);
	mov_cr3(&kit, PML4);
	assert_int_equal(frame_at(&kit, GVA) + frame_at(&kit, other), 0);
	assert_false(table_of(&kit, GVA)->unsync || table_of(&kit, other)->unsync);
	/* A third mirror, made while the others lag: the frame is protected for it. */
	assert_int_equal(guest_write(&kit, at, 42 * PAGE | 0x67), AFTER_A_FAULT);
	write64(&kit, PD + 16, PT | 3);
	resume(&kit, 4 * MEG + GVA, R);
	assert_false(look(&kit, PT).acc & ACC_WRITE);
	assert_clean(&kit);
	assert_int_equal(guest_write(&kit, at, 43 * PAGE | 0x67), AFTER_A_FAULT);
	assert_true(table_of(&kit, 4 * MEG + GVA)->unsync);
	assert_clean(&kit);
	kit_close(&kit);
}

/* The leaf that lets the guest write its table is in that table. */
static void self_mapped_last_level(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	put64(&kit, at, PT | 7);
	/* Mirrored and let go by the same fault. */
	assert_int_equal(resume(&kit, GVA, W), 1);
	assert_true(table_of(&kit, GVA)->unsync);
	assert_clean(&kit);
	assert_true(look(&kit, GVA).acc & ACC_WRITE);
	put64(&kit, PT + 8 * 100, 101 * PAGE | 7);
	resume(&kit, 100 * PAGE, W);
	assert_int_equal(frame_at(&kit, 100 * PAGE), frame_of(101 * PAGE));
	for (unsigned round = 0; round < 3; round++) {
		mov_cr3(&kit, PML4);
		assert_int_equal(frame_at(&kit, GVA), frame_of(PT));
		assert_false(look(&kit, GVA).acc & ACC_WRITE);
		assert_clean(&kit);
		resume(&kit, GVA, W);
	}
	/* It takes away the mapping that it is written by. */
	put64(&kit, at, 44 * PAGE | 0x67);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
	resume(&kit, GVA, W);
	assert_int_equal(frame_at(&kit, GVA), frame_of(44 * PAGE));
	assert_clean(&kit);
	kit_close(&kit);
}

/* S-4, S-26: flushes pass by what is not linked; it is made true when it is linked again. */
static void relinked_subtrees(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct page *page;
	struct kit kit;

	(void)unused;
	for (unsigned level = 2; level <= 3; level++) {
		const uint64_t link = level == 2 ? PD_B + 8 : PDPT_B + 8;
		const uint64_t gva = (level == 2 ? 2 * MEG : GIG) + GVA;

		open_long(&kit);
		/* The second address space has PT, or PD, too, which the first may not: */
		mov_cr3(&kit, PML4_B);
		write64(&kit, link, (level == 2 ? PT : PD) | 7);
		resume(&kit, gva, W);
		resume(&kit, gva + PAGE, W);
		page = table_of(&kit, gva);
		assert_int_equal(guest_write(&kit, at, 40 * PAGE | 0x67), AFTER_A_FAULT);
		assert_true(page->unsync);
		write64(&kit, link, 0);
		mov_cr3(&kit, PML4_B); /* does not reach it */
		assert_true(page->unsync);
		put64(&kit, at, 41 * PAGE | 0x67);
		write64(&kit, link, (level == 2 ? PT : PD) | 7);
		resume(&kit, gva + PAGE, W);
		assert_ptr_equal(table_of(&kit, gva + PAGE), page);
		assert_int_equal(frame_at(&kit, gva), 0);
		assert_int_equal(frame_at(&kit, gva + PAGE), frame_of(GVA + PAGE));
		/* A last-level table stays with the guest, and marked. */
		assert_int_equal(page->unsync, level == 2);
		assert_int_equal(kit.vcpu->own.root->unsync_below, level == 2);
		assert_clean(&kit);
		kit_close(&kit);
	}
}

static struct page *parent_of(struct kit *kit, const struct page *page)
{
	return page_of(&kit->vm->mmu, (umbra_hpa){chain_first(&page->parents)});
}

/* S-29: marks lead from every root to what lags, and are taken off when nothing does. */
static void s29_marks(void **unused)
{
	struct page *root_a, *root_b, *pt, *pd_a, *pd_b;
	struct kit kit;

	(void)unused;
	open_pcid(&kit);
	write64(&kit, PD_B + 8, PT | 7); /* PT in both address spaces */
	resume(&kit, GVA, W);
	root_a = kit.vcpu->own.root;
	pt = table_of(&kit, GVA);
	pd_a = parent_of(&kit, pt);
	mov_cr3(&kit, PML4_B | 2);
	resume(&kit, GVA, W); /* PT_B, another table */
	pd_b = parent_of(&kit, table_of(&kit, GVA));
	root_b = kit.vcpu->own.root;
	assert_false(pt->unsync || root_a->unsync_below || root_b->unsync_below);
	/* Linked when it lags already: the new parent is marked up to its root. */
	mov_cr3(&kit, PML4 | 1);
	guest_write(&kit, PT, get64(&kit, PT));
	assert_true(pt->unsync && pd_a->unsync_below && root_a->unsync_below);
	assert_false(pd_b->unsync_below || root_b->unsync_below);
	mov_cr3(&kit, PML4_B | 2);
	resume(&kit, 2 * MEG + GVA, W);
	assert_ptr_equal(table_of(&kit, 2 * MEG + GVA), pt);
	assert_true(pd_b->unsync_below && root_b->unsync_below);
	assert_clean(&kit);
	/* Flushing one address space takes off its marks; the others' may stay, as hints. */
	mov_cr3(&kit, PML4_B | 2);
	assert_false(pt->unsync || pd_b->unsync_below || root_b->unsync_below);
	mov_cr3(&kit, PML4 | 1);
	assert_false(pd_a->unsync_below || root_a->unsync_below);
	/* Linked before it lags: both are marked at once. */
	guest_write(&kit, PT, get64(&kit, PT));
	assert_true(pd_a->unsync_below && root_a->unsync_below);
	assert_true(pd_b->unsync_below && root_b->unsync_below);
	assert_clean(&kit);
	kit_close(&kit);
}

/* S-25: many tables, each linked twice. All are synced, the guest is shut out of all. */
static void s25_batches(void **unused)
{
	enum { TABLES = 3 * SYNC_BATCH + 5 };
	struct kit kit;

	(void)unused;
	open_long(&kit);
	for (uint64_t i = 0; i < TABLES; i++) {
		put64(&kit, PD + 8 * (1 + 2 * i), (256 + i) * PAGE | 7);
		put64(&kit, PD + 8 * (2 + 2 * i), (256 + i) * PAGE | 7);
		put64(&kit, (256 + i) * PAGE, (100 + i) * PAGE | 0x67);
	}
	for (uint64_t i = 0; i < TABLES; i++) {
		resume(&kit, (1 + 2 * i) * 2 * MEG, W);
		resume(&kit, (2 + 2 * i) * 2 * MEG, W);
		assert_int_equal(guest_write(&kit, (256 + i) * PAGE, (101 + i) * PAGE | 0x67),
				 AFTER_A_FAULT);
	}
	assert_int_equal(kit_stats(&kit).mmu_unsync, TABLES);
	kit.flushes = 0;
	mov_cr3(&kit, PML4);
	/* Two flushes a batch: after protecting, and after dropping what had changed. */
	assert_int_equal(kit.flushes, 2 * ((TABLES + SYNC_BATCH - 1) / SYNC_BATCH));
	for (uint64_t i = 0; i < TABLES; i++) {
		assert_int_equal(frame_at(&kit, (1 + 2 * i) * 2 * MEG), 0);
		assert_false(table_of(&kit, (2 + 2 * i) * 2 * MEG)->unsync);
		assert_false(look(&kit, (256 + i) * PAGE).acc & ACC_WRITE);
	}
	assert_false(kit.vcpu->own.root->unsync_below);
	assert_clean(&kit);
	kit_close(&kit);
}

/* S-29: all that leads to a table is marked in time that grows with the links, not with
 * the number of ways to walk them: here 2^27. */
static void s29_many_ways(void **unused)
{
	clock_t began;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	for (uint64_t i = 1; i < 512; i++) {
		put64(&kit, PML4 + 8 * i, PDPT | 7);
		put64(&kit, PDPT + 8 * i, PD | 7);
		put64(&kit, PD + 8 * i, PT | 7);
	}
	for (uint64_t i = 0; i < 512; i++) {
		resume(&kit, i << 21 | GVA, W);
		resume(&kit, i << 30 | GVA, W);
		resume(&kit, (i << 39 | GVA) | (i > 255 ? 0xffffull << 48 : 0), W);
	}
	began = clock();
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(guest_write(&kit, PT, get64(&kit, PT)), AFTER_A_FAULT);
		assert_true(kit.vcpu->own.root->unsync_below);
		umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
		mov_cr3(&kit, PML4);
		assert_false(kit.vcpu->own.root->unsync_below);
	}
	assert_true(clock() - began < CLOCKS_PER_SEC / 4);
	kit_close(&kit);
}

/* Guests of two and three levels: quadrants, PAE roots. */
static void other_formats(void **unused)
{
	static const struct umbra_regs regs[] = {
		{.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP, .cr3 = PD},
		{.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		 .cr3 = PDPT,
		 .cr4 = UMBRA_CR4_PAE},
	};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	for (unsigned amd = 0; amd < 2; amd++) {
		config.cpu = amd ? amd_cpu() : intel_cpu();
		kit_open(&kit, &config, 1);
		put32(&kit, PD, PT | 7);
		for (uint64_t i = 0; i < 1024; i++)
			put32(&kit, PT + 4 * i, (uint32_t)(i * PAGE | 7));
		enter(&kit, &regs[0]);
		resume(&kit, GVA, W);
		resume(&kit, 600 * PAGE, W);
		resume(&kit, PT, W);
		assert_int_equal(kit_stats(&kit).mmu_unsync, 2); /* both quadrants */
		put32(&kit, PT + 4 * 32, 40 * PAGE | 0x67);
		put32(&kit, PT + 4 * 600, 41 * PAGE | 0x67);
		umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){600 * PAGE | 0xabcull << 32});
		assert_int_equal(frame_at(&kit, 600 * PAGE), 0);
		assert_int_equal(frame_at(&kit, GVA), frame_of(GVA));
		resume(&kit, 600 * PAGE, W);
		put32(&kit, PT + 4 * 88, 42 * PAGE | 0x67); /* 600 - 512: the other half's */
		mov_cr3(&kit, PD);
		assert_int_equal(frame_at(&kit, GVA), 0);
		assert_int_equal(frame_at(&kit, 600 * PAGE), frame_of(41 * PAGE));
		assert_clean(&kit);
		kit_close(&kit);

		kit_open(&kit, &config, 1);
		put64(&kit, PDPT, PD | 1);
		put64(&kit, PDPT + 24, PD | 1);
		put64(&kit, PD, PT | 7);
		for (uint64_t i = 0; i < 512; i++)
			put64(&kit, PT + 8 * i, i * PAGE | 7);
		enter(&kit, &regs[1]);
		assert_int_equal(kit.vcpu->own.root->role.registers, !amd);
		resume(&kit, GVA, W);
		resume(&kit, 3 * GIG + GVA, W);
		assert_int_equal(guest_write(&kit, PT + 8 * 32, 40 * PAGE | 0x67), AFTER_A_FAULT);
		umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){3 * GIG + GVA});
		assert_int_equal(frame_at(&kit, GVA), 0); /* one mirror for both */
		resume(&kit, GVA, W);
		assert_int_equal(guest_write(&kit, PT + 8 * 32, 41 * PAGE | 0x67), FREELY);
		mov_cr3(&kit, PDPT);
		assert_int_equal(frame_at(&kit, 3 * GIG + GVA), 0);
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* ---- S-28: instructions ---- */

/* INVLPG reaches what the other roots of the vCPU have kept (S-28). */
static void s28_previous_roots(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	for (unsigned invalidate = 0; invalidate < 2; invalidate++) {
		open_pcid(&kit);
		resume(&kit, GVA, W);
		resume(&kit, GVA + PAGE, W);
		guest_write(&kit, at, 40 * PAGE | 0x67);
		guest_write(&kit, at + 8, 41 * PAGE | 0x67);
		mov_cr3(&kit, PML4_B | 2);
		resume(&kit, GVA, R);
		if (invalidate)
			umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
		mov_cr3(&kit, PML4 | 1 | KEEP);
		assert_int_equal(frame_at(&kit, GVA), invalidate ? 0 : frame_of(GVA));
		assert_int_equal(frame_at(&kit, GVA + PAGE), frame_of(GVA + PAGE));
		kit_close(&kit);
	}
}

/* What INVPCID forgets of another PCID's address cannot be cached again before that PCID is
 * back: a change of the entry after it is seen then, without another flush (H-112). */
static void h112_changed_after_invpcid(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	for (unsigned pcid = 1; pcid <= 3; pcid++) {
		for (unsigned global = 0; global < 2; global++) {
			const uint64_t g = global << 8;

			open_pcid(&kit);
			put64(&kit, at, GVA | g | 0x67);
			resume(&kit, GVA, W);
			guest_write(&kit, at + 8, 41 * PAGE | 0x67); /* unsync */
			mov_cr3(&kit, PML4_B | 2);
			umbra_vcpu_invpcid(kit.vcpu, 0, pcid, (umbra_gva){GVA});
			guest_write(&kit, at, 40 * PAGE | g | 0x67);
			mov_cr3(&kit, PML4 | 1 | KEEP);
			assert_int_equal(frame_at(&kit, GVA),
					 pcid == 1 || global ? 0 : frame_of(GVA));
			kit_close(&kit);
		}
	}
}

static void s28_invlpg_elsewhere(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	/* Non-canonical: no effect (H-6). Nothing mapped, or a large page: nothing to do. */
	open_long(&kit);
	put64(&kit, PD + 16, 4 * MEG | 0x87);
	put64(&kit, PT + GVA / PAGE * 8, GVA | 0x67);
	resume(&kit, GVA, W);
	resume(&kit, 4 * MEG, W);
	guest_write(&kit, PT + GVA / PAGE * 8, 40 * PAGE | 0x67);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){1ull << 48 | GVA});
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GIG});
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){6 * MEG});
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){4 * MEG});
	assert_int_equal(frame_at(&kit, GVA), frame_of(GVA));
	assert_int_equal(frame_at(&kit, 4 * MEG), frame_of(4 * MEG));
	assert_clean(&kit);
	kit_close(&kit);
	/* Before the first load there is no root. */
	kit_open(&kit, &config, 1);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
	assert_null(kit.vcpu->own.root);
	kit_close(&kit);
	config = kit_config(UMBRA_PAGING_EPT);
	kit_open(&kit, &config, 1);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
	assert_int_equal(kit_stats(&kit).invlpg, 0);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 2, 0, (umbra_gva){0}), UMBRA_OK);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 4, 0, (umbra_gva){0}), UMBRA_EINVAL);
	kit_close(&kit);
}

/* H-112: a #PF of the guest ends what was kept for its address. */
static void h112_injected_fault(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	put64(&kit, at, GVA | 0x67 | NX);
	put64(&kit, at + 64, (GVA + 8 * PAGE) | 0x67);
	resume(&kit, GVA, W);
	resume(&kit, GVA + 8 * PAGE, W);
	guest_write(&kit, at, 40 * PAGE | 0x67 | NX);
	guest_write(&kit, at + 64, 41 * PAGE | 0x67);
	assert_int_equal(frame_at(&kit, GVA), frame_of(GVA));
	assert_int_equal(touch(&kit, GVA, X).verdict, UMBRA_INJECT);
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_int_equal(frame_at(&kit, GVA + 8 * PAGE), frame_of(GVA + 8 * PAGE));
	assert_clean(&kit);
	kit_close(&kit);
}

/* H-132: what raises #GP; and that all types but 0 reach every root kept. */
static void invpcid(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	const umbra_gva bad = {1ull << 47}, good = {GVA};
	struct kit kit;

	(void)unused;
	open_long(&kit);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 4, 0, good), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 0, 0, bad), UMBRA_EINVAL);
	for (unsigned type = 0; type < 4; type++) {
		assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, type, 1ull << 12, good),
				 UMBRA_EINVAL);
		assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, type, 1, good),
				 type < 2 ? UMBRA_EINVAL : UMBRA_OK);
		assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, type, 0, type ? bad : good),
				 UMBRA_OK);
	}
	kit_close(&kit);
	for (unsigned type = 0; type < 4; type++) {
		open_pcid(&kit);
		resume(&kit, GVA, W);
		resume(&kit, GVA + PAGE, W);
		guest_write(&kit, at, 40 * PAGE | 0x67);
		guest_write(&kit, at + 8, 41 * PAGE | 0x67);
		mov_cr3(&kit, PML4_B | 2);
		assert_non_null(kit.vcpu->own.previous[0]);
		assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, type, 1, good), UMBRA_OK);
		assert_int_equal(kit.vcpu->own.previous[0] == NULL, type != 0);
		mov_cr3(&kit, PML4 | 1 | KEEP);
		assert_int_equal(frame_at(&kit, GVA), 0);
		assert_int_equal(frame_at(&kit, GVA + PAGE), type ? 0 : frame_of(GVA + PAGE));
		kit_close(&kit);
	}
}

static void mov_cr3_keep(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	/* Without PCIDs bit 63 is reserved. */
	open_long(&kit);
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4 | KEEP), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, 1ull << 46), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_regs(kit.vcpu)->cr3, PML4);
	kit_close(&kit);

	open_pcid(&kit);
	resume(&kit, GVA, W);
	guest_write(&kit, at, 40 * PAGE | 0x67);
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4 | 1 | KEEP), UMBRA_OK);
	assert_int_equal(umbra_vcpu_regs(kit.vcpu)->cr3, PML4 | 1);
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	assert_true(root.flush); /* PCIDs are not used for the guest */
	assert_int_equal(frame_at(&kit, GVA), frame_of(GVA));
	assert_true(table_of(&kit, GVA)->unsync);
	/* The same table under a PCID that has never seen it: nothing can be cached. */
	mov_cr3(&kit, PML4 | 7 | KEEP);
	assert_int_equal(frame_at(&kit, GVA), 0);
	resume(&kit, GVA, W);
	guest_write(&kit, at, 41 * PAGE | 0x67);
	mov_cr3(&kit, PML4 | 7);
	assert_int_equal(frame_at(&kit, GVA), 0);
	kit_close(&kit);

	/* Kept with PCID 1, met again with PCID 3. */
	open_pcid(&kit);
	resume(&kit, GVA, W);
	guest_write(&kit, at, 40 * PAGE | 0x67);
	mov_cr3(&kit, PML4_B | 2);
	mov_cr3(&kit, PML4 | 3 | KEEP);
	assert_int_equal(frame_at(&kit, GVA), 0);
	kit_close(&kit);
}

/* A second root over the same tables, and a second vCPU beside the first. */
#define PML4_C 0xa000ull

static struct umbra_vcpu *open_shared(struct kit *kit)
{
	struct umbra_vcpu *first, *second;

	open_pcid(kit);
	put64(kit, PML4_C, PDPT | 7);
	first = kit->vcpu;
	assert_int_equal(umbra_vcpu_create(kit->vm, &kit->config.cpu, &second), UMBRA_OK);
	kit->vcpu = second;
	enter(kit, umbra_vcpu_regs(first));
	kit->vcpu = first;
	return second;
}

enum filler { OTHER_PCID, OTHER_VCPU, FILLERS };

/* Who fills the mirrors while PCID 1 of the first vCPU is not current. */
static struct umbra_vcpu *leave(struct kit *kit, enum filler filler, struct umbra_vcpu *second)
{
	struct umbra_vcpu *first = kit->vcpu;

	mov_cr3(kit, (filler == OTHER_PCID ? PML4_C : PML4_B) | 2);
	if (filler == OTHER_VCPU)
		kit->vcpu = second;
	return first;
}

/* H-107: what a mirror got while a PCID was not current is nothing that it cached. */
static void h107_filled_meanwhile(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8, other = PT + 8 * (GVA / PAGE + 64);

	(void)unused;
	for (unsigned filler = 0; filler < FILLERS; filler++) {
		/* The mirror lags not, since then, since before. */
		for (unsigned lags = 0; lags < 3; lags++) {
			struct umbra_vcpu *first, *second;
			struct kit kit;

			second = open_shared(&kit);
			put64(&kit, at, 0);
			resume(&kit, GVA + 64 * PAGE, W);
			if (lags == 2)
				guest_write(&kit, other, get64(&kit, other));
			first = leave(&kit, filler, second);
			if (lags == 1)
				guest_write(&kit, other, get64(&kit, other));
			guest_write(&kit, at, 40 * PAGE | 0x67);
			if (!lags)
				mov_cr3(&kit, umbra_vcpu_regs(kit.vcpu)->cr3);
			resume(&kit, GVA, R);
			assert_int_equal(frame_at(&kit, GVA), frame_of(40 * PAGE));
			assert_int_equal(guest_write(&kit, at, 41 * PAGE | 0x67),
					 lags ? FREELY : AFTER_A_FAULT);
			assert_int_equal(frame_at(&kit, GVA), frame_of(40 * PAGE));
			kit.vcpu = first;
			mov_cr3(&kit, PML4 | 1 | KEEP);
			assert_int_equal(frame_at(&kit, GVA), 0);
			assert_clean(&kit);
			kit_close(&kit);
		}
	}
}

/* ... nor is what was linked meanwhile. */
static void h107_linked_meanwhile(void **unused)
{
	const uint64_t at = PT2 + GVA / PAGE * 8, gva = 4 * MEG + GVA;
	struct umbra_vcpu *first, *second;
	struct kit kit;

	(void)unused;
	second = open_shared(&kit);
	first = kit.vcpu;
	put64(&kit, PD_B + 8, PT2 | 7);
	put64(&kit, at, 40 * PAGE | 0x67);
	resume(&kit, GVA, W);
	kit.vcpu = second;
	mov_cr3(&kit, PML4_B | 1);
	resume(&kit, 2 * MEG + GVA, W);
	guest_write(&kit, PT2, get64(&kit, PT2));
	assert_true(table_of(&kit, 2 * MEG + GVA)->unsync);
	kit.vcpu = first;
	mov_cr3(&kit, 0xb000 | 2); /* nothing there; and nothing of PT2 below PML4 */
	kit.vcpu = second;
	mov_cr3(&kit, PML4 | 1);
	write64(&kit, PD + 16, PT2 | 7);
	resume(&kit, gva, R);
	assert_true(table_of(&kit, gva)->unsync);
	put64(&kit, at, 41 * PAGE | 0x67);
	assert_int_equal(frame_at(&kit, gva), frame_of(40 * PAGE));
	kit.vcpu = first;
	mov_cr3(&kit, PML4 | 1 | KEEP);
	assert_int_equal(frame_at(&kit, gva), 0);
	assert_clean(&kit);
	kit_close(&kit);
}

/* What happens in tables of other roots does not cost this one its translations. */
static void h115_kept_if_untouched(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8, other = PT_B + 8 * (GVA / PAGE + 64);
	struct kit kit;

	(void)unused;
	open_pcid(&kit);
	resume(&kit, GVA, W);
	guest_write(&kit, at, 40 * PAGE | 0x67);
	mov_cr3(&kit, PML4_B | 2);
	resume(&kit, GVA + 64 * PAGE, W);
	guest_write(&kit, other, 41 * PAGE | 0x67);
	resume(&kit, GVA + 128 * PAGE, W);
	guest_write(&kit, other + 8 * 64, 41 * PAGE | 0x67);
	mov_cr3(&kit, PML4 | 1 | KEEP);
	assert_int_equal(frame_at(&kit, GVA), frame_of(GVA));
	assert_true(table_of(&kit, GVA)->unsync);
	/* The other's stamp is newer, and stays with it when the list closes up. */
	mov_cr3(&kit, PML4 | 1);
	assert_int_equal(frame_at(&kit, GVA), 0);
	mov_cr3(&kit, PML4_B | 2 | KEEP);
	assert_int_equal(frame_at(&kit, GVA + 64 * PAGE), frame_of(GVA + 64 * PAGE));
	mov_cr3(&kit, PML4_B | 2);
	assert_int_equal(frame_at(&kit, GVA + 64 * PAGE), 0);
	assert_clean(&kit);
	kit_close(&kit);
}

/* The list closes up over what is synced; each keeps its stamp. */
static void h107_stamps_move(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8, at_b = PT_B + GVA / PAGE * 8;
	struct umbra_vcpu *first, *second;
	struct kit kit;

	(void)unused;
	second = open_shared(&kit);
	first = kit.vcpu;
	put64(&kit, at, 0);
	resume(&kit, GVA + 64 * PAGE, W);
	mov_cr3(&kit, PML4_B | 2);
	resume(&kit, GVA, W);
	guest_write(&kit, at_b, 42 * PAGE | 0x67); /* first in the list, old */
	mov_cr3(&kit, PML4 | 1 | KEEP);
	mov_cr3(&kit, PML4_B | 2 | KEEP);
	kit.vcpu = second;
	guest_write(&kit, PT, get64(&kit, PT));
	guest_write(&kit, at, 40 * PAGE | 0x67);
	resume(&kit, GVA, R);
	guest_write(&kit, at, 41 * PAGE | 0x67);
	assert_int_equal(frame_at(&kit, GVA), frame_of(40 * PAGE));
	kit.vcpu = first;
	mov_cr3(&kit, PML4_B | 2); /* syncs the first */
	mov_cr3(&kit, PML4 | 1 | KEEP);
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_clean(&kit);
	kit_close(&kit);
}

/* H-112: a flush of a PCID is one of all roots that were used with it. */
static void h112_flushed_by_another_root(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	for (unsigned pcid = 1; pcid < 3; pcid++) {
		open_pcid(&kit);
		resume(&kit, GVA, W);
		guest_write(&kit, at, 40 * PAGE | 0x67);
		mov_cr3(&kit, PML4_B | pcid);
		mov_cr3(&kit, PML4 | 1 | KEEP);
		assert_int_equal(frame_at(&kit, GVA), pcid == 1 ? 0 : frame_of(GVA));
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* A flush that no entry followed yet is owed to its root when the guest moves on. */
static void mov_cr3_twice(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	open_pcid(&kit);
	resume(&kit, GVA, W);
	guest_write(&kit, at, 40 * PAGE | 0x67);
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4 | 1), UMBRA_OK);
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4_B | 2 | KEEP), UMBRA_OK);
	load(&kit);
	mov_cr3(&kit, PML4 | 1 | KEEP);
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_clean(&kit);
	kit_close(&kit);
}

/* H-112: control bits that flush all PCIDs, globals included. */
static void control_bits_flush_all(void **unused)
{
	static const uint64_t bits[] = {UMBRA_CR4_PGE, UMBRA_CR4_SMEP, UMBRA_CR4_PCIDE};
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned on = 0; on < 2; on++) {
			struct umbra_regs regs = long_mode;

			open_long(&kit);
			regs.cr4 |= bits[i] * !on;
			enter(&kit, &regs);
			mov_cr3(&kit, PML4_B);
			mov_cr3(&kit, PML4);
			assert_non_null(kit.vcpu->own.previous[0]);
			resume(&kit, GVA, W);
			guest_write(&kit, at, 40 * PAGE | 0x67);
			regs.cr4 ^= bits[i];
			enter(&kit, &regs);
			assert_null(kit.vcpu->own.previous[0]);
			assert_int_equal(frame_at(&kit, GVA), 0);
			assert_false(kit.vcpu->own.root->unsync_below);
			kit_close(&kit);
		}
	}
}

/* ---- S-42, S-43: emulated writes while a table lags, and flooding ---- */

static void s43_flood(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit);
	/* Used in between: never, not the root either (R-26, S-43). */
	for (uint64_t i = 0; i < 10; i++) {
		for (uint64_t table = PML4; table < PT; table += PAGE)
			write64(&kit, table + 8 * 300, i << 12 | 2);
		umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){GVA});
		write64(&kit, PT + GVA / PAGE * 8, (40 + i) * PAGE | 7);
		resume(&kit, GVA, W);
		assert_int_equal(kit_stats(&kit).mmu_flooded, 0);
	}
	/* Not used: the third one. Last-level tables never, lagging or not. */
	for (uint64_t i = 0; i < 10; i++)
		write64(&kit, PT + 8 * 300, i << 12 | 2);
	guest_write(&kit, PT + 8 * 300, 0);
	for (uint64_t i = 0; i < 10; i++)
		write64(&kit, PT + 8 * 300, i << 12 | 2);
	assert_int_equal(kit_stats(&kit).mmu_flooded, 0);
	for (uint64_t i = 0; i < PAGES_FLOOD; i++) {
		assert_int_equal(kit_stats(&kit).mmu_flooded, 0);
		write64(&kit, PD + 8 * 300, i << 12 | 4);
	}
	assert_int_equal(kit_stats(&kit).mmu_flooded, 1);
	assert_false(look(&kit, GVA).leaf);
	resume(&kit, GVA, W);
	assert_int_equal(frame_at(&kit, GVA), frame_of(49 * PAGE));
	assert_clean(&kit);
	kit_close(&kit);
}

/* The emulated write clears what it covers, also in a table that lags elsewhere. */
static void s42_emulated_into_unsync(void **unused)
{
	const uint64_t at = PT + GVA / PAGE * 8;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	resume(&kit, GVA, W);
	resume(&kit, GVA + PAGE, W);
	guest_write(&kit, at + 8, 40 * PAGE | 0x67);
	write64(&kit, at, 41 * PAGE | 0x67);
	assert_int_equal(frame_at(&kit, GVA), 0);
	assert_int_equal(frame_at(&kit, GVA + PAGE), frame_of(GVA + PAGE));
	assert_true(table_of(&kit, GVA)->unsync);
	assert_clean(&kit);
	kit_close(&kit);
}

/* ---- S-9: prefetch ---- */

static void s9_which_neighbours(void **unused)
{
	/* Entries 64..71 of PT; 67 is touched. acc 0: not mapped. */
	static const struct {
		uint64_t entry;
		unsigned acc;
	} block[8] = {
		{0x40067, ACC_ALL}, /* accessed and dirty */
		{0x41027, ACC_ALL & ~ACC_WRITE}, /* clean */
		{0x42007, 0}, /* not accessed */
		{0x43007, ACC_ALL & ~ACC_WRITE}, /* the one, by a read */
		{0x44066, 0}, /* not present */
		{0x45067 | NX, ACC_ALL & ~ACC_EXEC},
		{0x46067 | 1ull << 50, 0}, /* reserved */
		{PT | 0x67, ACC_ALL & ~ACC_WRITE}, /* a mirrored table */
	};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	for (unsigned no_prefetch = 0; no_prefetch < 2; no_prefetch++) {
		config.no_prefetch = no_prefetch;
		open_config(&kit, &config);
		for (uint64_t i = 0; i < 8; i++) {
			put64(&kit, PT + 8 * (64 + i), block[i].entry);
			put64(&kit, PT + 8 * (56 + i), (56 + i) * PAGE | 0x67);
			put64(&kit, PT + 8 * (72 + i), (72 + i) * PAGE | 0x67);
		}
		assert_int_equal(resume(&kit, 67 * PAGE, R), 1);
		for (unsigned i = 0; i < 8; i++) {
			struct seen seen = look(&kit, (64 + i) * PAGE);
			bool mapped = block[i].acc && (!no_prefetch || i == 3);

			if (seen.leaf != mapped || (mapped && seen.acc != block[i].acc))
				fail_msg("neighbour %u: leaf %d acc %#x", i, seen.leaf, seen.acc);
			/* Looking has set nothing. */
			if (i != 3)
				assert_int_equal(get64(&kit, PT + 8 * (64 + i)), block[i].entry);
			assert_false(look(&kit, (56 + i) * PAGE).leaf);
			assert_false(look(&kit, (72 + i) * PAGE).leaf);
		}
		assert_int_equal(kit_stats(&kit).mmu_unsync, 0);
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* Outside memory, read-only memory, upper rights, what is mapped already, other slots. */
static void s9_other_limits(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit);
	write64(&kit, PML4, PDPT | 5); /* read-only from the top */
	put64(&kit, PT + 8 * 64, BYTES | 0x67);
	put64(&kit, PT + 8 * 65, (BYTES + MEG) | 0x67);
	put64(&kit, PT + 8 * 66, (BYTES + 2 * MEG) | 0x67);
	put64(&kit, PT + 8 * 67, 67 * PAGE | 0x67);
	assert_int_equal(kit_slot(&kit, 1, BYTES + MEG, PAGE, kit.hva.v + MEG, UMBRA_SLOT_READONLY),
			 UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 2, BYTES + 2 * MEG, PAGE, kit.hva.v + BYTES, 0), UMBRA_OK);
	resume(&kit, 68 * PAGE, R);
	assert_false(look(&kit, 64 * PAGE).leaf); /* no memory */
	assert_int_equal(frame_at(&kit, 65 * PAGE), frame_of(MEG));
	assert_false(look(&kit, 66 * PAGE).leaf); /* the host has none */
	assert_false(look(&kit, 67 * PAGE).acc & ACC_WRITE);
	assert_clean(&kit);
	write64(&kit, PML4, PDPT | 7);
	resume(&kit, 68 * PAGE, R);
	assert_false(look(&kit, 65 * PAGE).acc & ACC_WRITE); /* a read-only slot */
	assert_true(look(&kit, 67 * PAGE).acc & ACC_WRITE);
	assert_clean(&kit);
	/* What is there is not replaced, even if the guest's entry says otherwise by now. */
	guest_write(&kit, PT + 8 * 67, 80 * PAGE | 0x67);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){68 * PAGE});
	guest_write(&kit, PT + 8 * 68, 81 * PAGE | 0x67);
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){68 * PAGE});
	resume(&kit, 68 * PAGE, R);
	assert_int_equal(frame_at(&kit, 68 * PAGE), frame_of(81 * PAGE));
	assert_int_equal(frame_at(&kit, 67 * PAGE), frame_of(67 * PAGE));
	kit_close(&kit);
}

/* Exits for 4,096 first touches, in every format. */
static void s9_exits(void **unused)
{
	static const struct umbra_regs legacy = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PD,
	};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_regs pae = legacy;
	struct kit kit;

	(void)unused;
	pae.cr4 = UMBRA_CR4_PAE;
	pae.cr3 = PDPT;
	for (unsigned format = 0; format < 3; format++) {
		const struct umbra_regs *const regs[] = {&legacy, &pae, &long_mode};
		unsigned exits = 0;

		kit_open(&kit, &config, 1);
		put64(&kit, PML4, PDPT | 7);
		put64(&kit, PDPT, PD | (format == 1 ? 1 : 7));
		for (uint64_t i = 0; i < 8; i++) {
			if (format)
				put64(&kit, PD + 8 * i, (16 + i) * PAGE | 7);
			else if (i < 4)
				put32(&kit, PD + 4 * i, (uint32_t)((16 + i) * PAGE | 7));
		}
		for (uint64_t i = 0; i < 4096; i++) {
			const uint64_t entry = (64 + i % 1024) * PAGE | 0x67;

			if (format)
				put64(&kit, 16 * PAGE + 8 * i, entry);
			else
				put32(&kit, 16 * PAGE + 4 * i, (uint32_t)entry);
		}
		enter(&kit, regs[format]);
		for (uint64_t i = 0; i < 4096; i++) {
			struct seen seen = look(&kit, i * PAGE);

			if (seen.leaf && seen.acc & ACC_WRITE)
				continue;
			exits++;
			resume(&kit, i * PAGE, W);
		}
		assert_int_equal(exits, 512);
		assert_int_equal(kit_stats(&kit).pf_taken, 512);
		assert_int_equal(kit_stats(&kit).pages_4k, 4096);
		for (uint64_t i = 0; i < 4096; i++)
			assert_int_equal(frame_at(&kit, i * PAGE),
					 frame_of((64 + i % 1024) * PAGE));
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* ---- roots that a vCPU keeps ---- */

static void a9_previous_roots(void **unused)
{
	enum { ROOTS = 6, KEPT = 1 + 3 }; /* as KVM */
	unsigned order[ROOTS], used = 0;
	uint64_t state = 0x5eed;
	struct kit kit;

	(void)unused;
	print_message("# seed %#llx\n", (unsigned long long)state);
	open_long(&kit);
	for (uint64_t i = 0; i < ROOTS; i++)
		put64(&kit, (16 + i) * PAGE, PDPT | 7);
	umbra_vcpu_mov_cr3(kit.vcpu, 15 * PAGE); /* so that none of them is current */
	for (unsigned step = 0; step < 400; step++) {
		/* A, B, C, D, A, E, then anything. */
		static const unsigned first[] = {0, 1, 2, 3, 0, 4};
		unsigned next, at;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		next = step < 6 ? first[step] : state >> 40 % ROOTS;
		next %= ROOTS;
		for (at = 0; at < used && order[at] != next; at++)
			;
		assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, (16 + next) * PAGE), UMBRA_OK);
		if ((kit.vcpu->own.root != NULL) != (at < used && at < KEPT))
			fail_msg("step %u: root %u was number %u of %u", step, next, at, used);
		/* To the front. */
		if (at == used)
			used += used < ROOTS;
		for (at = at < used ? at : used - 1; at; at--)
			order[at] = order[at - 1];
		order[0] = next;
		load(&kit);
		assert_int_equal(kit.vcpu->own.root->gfn, 16 + next);
		assert_clean(&kit);
	}
	kit_close(&kit);
}

/* Zapped roots never match, and are let go of at the next load. */
static void r26_zapped_roots(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit);
	mov_cr3(&kit, PML4_B);
	mov_cr3(&kit, PML4);
	umbra_vm_zap_all(kit.vm);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, 2); /* pinned */
	assert_int_equal(umbra_vcpu_mov_cr3(kit.vcpu, PML4_B), UMBRA_OK);
	assert_null(kit.vcpu->own.root);
	load(&kit);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, 1);
	resume(&kit, GVA, W);
	assert_clean(&kit);
	umbra_vm_zap_all(kit.vm);
	load(&kit);
	assert_int_equal(kit_stats(&kit).mmu_shadow_pages, 1);
	kit_close(&kit);
}

/* ---- S-62: zapping by generation ---- */

static void s62_between_batches(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_vcpu *first, *second;
	unsigned batches = 0;
	struct mmu *mmu;
	bool more = true;
	struct kit kit;

	(void)unused;
	open_config(&kit, &config);
	mmu = &kit.vm->mmu;
	first = kit.vcpu;
	assert_int_equal(umbra_vcpu_create(kit.vm, &config.cpu, &second), UMBRA_OK);
	for (uint64_t i = 1; i < 60; i++) {
		put64(&kit, PD + 8 * i, (256 + i) * PAGE | 7);
		put64(&kit, (256 + i) * PAGE, (100 + i) * PAGE | 7);
		resume(&kit, 2 * MEG * i, W);
	}
	guest_write(&kit, PT, get64(&kit, PT));
	kit.vcpu = second;
	enter(&kit, &long_mode);
	assert_ptr_equal(second->own.root, first->own.root);
	/* What umbra_vm_zap_all() does, step by step. */
	mmu->generation ^= 1;
	while (more) {
		struct edit edit = {.mmu = mmu};

		kit.vcpu = batches & 1 ? first : second;
		/* Before it loads anew it can only be told to retry. */
		if (batches < 2)
			assert_true(page_is_obsolete(mmu, kit.vcpu->own.root));
		load(&kit);
		assert_false(page_is_obsolete(mmu, kit.vcpu->own.root));
		/* New mirrors beside the old ones of the same tables. */
		for (uint64_t i = 1; i < 60; i += 7) {
			resume(&kit, 2 * MEG * i, W);
			assert_int_equal(frame_at(&kit, 2 * MEG * i), frame_of((100 + i) * PAGE));
		}
		write64(&kit, 257 * PAGE, (101 + batches % 2) * PAGE | 7);
		resume(&kit, 2 * MEG, W);
		assert_int_equal(frame_at(&kit, 2 * MEG), frame_of((101 + batches % 2) * PAGE));
		guest_write(&kit, PT + 8 * 500, 0);
		write64(&kit, 257 * PAGE, 101 * PAGE | 7);
		assert_clean(&kit);
		more = table_zap_obsolete(&edit, 10);
		tlb_commit(mmu, &edit.tlb);
		assert_clean(&kit);
		batches++;
	}
	assert_true(batches >= 6);
	/* Both vCPUs run on new tables; all the old ones are gone. */
	for (struct page *page = mmu->pages.oldest; page; page = page->next)
		assert_false(page_is_obsolete(mmu, page));
	assert_ptr_equal(second->own.root, first->own.root);
	kit.vcpu = first;
	resume(&kit, 2 * MEG * 30, W);
	assert_clean(&kit);
	/* And whole: the generation comes round. */
	for (unsigned i = 0; i < 3; i++) {
		umbra_vm_zap_all(kit.vm);
		assert_clean(&kit);
		load(&kit);
		resume(&kit, GVA, W);
	}
	kit_close(&kit);
}

/* ---- S-63: slots ---- */

static void s63_scoped_tdp(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_NPT);
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 2);
	assert_int_equal(kit_slot(&kit, 1, GIG, 4 * MEG, kit.hva.v, 0), UMBRA_OK);
	assert_int_equal(resume(&kit, 5 * PAGE, W), 2);
	assert_int_equal(resume(&kit, GIG, W), 2);
	assert_int_equal(resume(&kit, GIG + 2 * MEG, W), 2);
	kit.flushes = 0;
	assert_int_equal(kit_slot(&kit, 1, 2 * GIG, 4 * MEG, kit.hva.v, 0), UMBRA_OK);
	assert_int_equal(kit.flushes, 1);
	assert_int_equal(kit.last.start.v, GIG / PAGE);
	assert_int_equal(kit.last.pages, 1024);
	assert_true(look(&kit, 5 * PAGE).leaf);
	assert_int_equal(touch(&kit, GIG, R).verdict, UMBRA_MMIO);
	assert_int_equal(resume(&kit, 2 * GIG, W), 2);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 0, 0), UMBRA_OK);
	assert_false(look(&kit, 5 * PAGE).leaf);
	assert_true(look(&kit, 2 * GIG).leaf);
	assert_int_equal(kit_stats(&kit).mmu_shadow_zapped, 0);
	assert_clean(&kit);
	kit_close(&kit);
}

static void s63_scoped_shadow(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	for (unsigned zap_all = 0; zap_all < 2; zap_all++) {
		uint64_t zapped;

		config.slot_zap_all = zap_all;
		open_config(&kit, &config);
		/* Data, and a table, in slot 1; and the root of the second address space. */
		assert_int_equal(kit_slot(&kit, 1, BYTES, MEG, kit.hva.v + MEG, 0), UMBRA_OK);
		put64(&kit, PT + 8 * 100, BYTES | 7);
		/* In its last page. */
		put64(&kit, PD + 8, (BYTES + 255 * PAGE) | 7);
		put64(&kit, MEG + 255 * PAGE, 100 * PAGE | 7);
		put64(&kit, MEG + 17 * PAGE, PDPT | 7);
		mov_cr3(&kit, BYTES + 17 * PAGE);
		mov_cr3(&kit, PML4);
		resume(&kit, GVA, W);
		resume(&kit, 100 * PAGE, W);
		resume(&kit, 2 * MEG, W);
		zapped = kit_stats(&kit).mmu_shadow_zapped;
		assert_int_equal(kit_slot(&kit, 1, 2 * BYTES, MEG, kit.hva.v + MEG, 0), UMBRA_OK);
		assert_clean(&kit);
		if (!zap_all) {
			assert_true(look(&kit, GVA).leaf);
			assert_false(look(&kit, 100 * PAGE).leaf);
			assert_int_equal(look(&kit, 2 * MEG).at.page->role.level, 2);
			/* The table and the root. */
			assert_int_equal(kit_stats(&kit).mmu_shadow_zapped, zapped + 2);
		} else {
			assert_true(page_is_obsolete(&kit.vm->mmu, kit.vcpu->own.root));
		}
		load(&kit);
		assert_int_equal(touch(&kit, 100 * PAGE, R).verdict, UMBRA_MMIO);
		assert_int_equal(touch(&kit, 2 * MEG, R).verdict, UMBRA_INJECT);
		/* It lies elsewhere now, tables and all. */
		write64(&kit, PD + 8, (2 * BYTES + 255 * PAGE) | 7);
		resume(&kit, 2 * MEG, W);
		assert_int_equal(frame_at(&kit, 2 * MEG), frame_of(100 * PAGE));
		mov_cr3(&kit, 2 * BYTES + 17 * PAGE);
		resume(&kit, GVA, W);
		assert_int_equal(kit_slot(&kit, 1, 0, 0, 0, 0), UMBRA_OK);
		assert_clean(&kit);
		load(&kit);
		assert_int_equal(touch(&kit, GVA, W).verdict, UMBRA_INJECT);
		kit_close(&kit);
	}
}

/* ---- giving back, unprotecting, tracking ---- */

static void shrink(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned paging = 0; paging < UMBRA_PAGING_COUNT; paging++) {
		struct umbra_vm_config config = kit_config(paging);
		uint64_t before, given;

		open_config(&kit, &config);
		for (uint64_t i = 1; i < 8; i++)
			put64(&kit, PD + 8 * i, PT | 7);
		for (uint64_t i = 0; i < 8; i++)
			resume(&kit, i * 2 * MEG + 32 * PAGE, W);
		if (paging == UMBRA_PAGING_SHADOW)
			guest_write(&kit, PT, get64(&kit, PT));
		assert_int_equal(umbra_vm_shrink(kit.vm, 0), 0);
		before = kit_stats(&kit).mmu_shadow_pages;
		given = umbra_vm_shrink(kit.vm, 1);
		assert_true(given >= 1);
		assert_int_equal(kit_stats(&kit).mmu_shadow_pages, before - given);
		assert_clean(&kit);
		resume(&kit, GVA, W);
		umbra_vm_shrink(kit.vm, ~0ull);
		assert_int_equal(kit_stats(&kit).mmu_shadow_pages, 1); /* the root */
		assert_false(page_is_obsolete(&kit.vm->mmu, kit.vcpu->own.root));
		assert_int_equal(umbra_vm_shrink(kit.vm, 1), 0);
		assert_clean(&kit);
		resume(&kit, GVA, W);
		kit_close(&kit);
	}
}

/* S-44: the embedder has no emulator for this instruction. */
static void s44_unprotect(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct kit kit;

	(void)unused;
	open_long(&kit);
	resume(&kit, GVA, W);
	assert_false(umbra_vm_unprotect(kit.vm, (umbra_gpa){GVA}));
	assert_int_equal(touch(&kit, PD + 24, W).verdict, UMBRA_EMULATE);
	assert_true(umbra_vm_unprotect(kit.vm, (umbra_gpa){PD + 24}));
	assert_false(umbra_vm_unprotect(kit.vm, (umbra_gpa){PD + 24}));
	assert_false(look(&kit, GVA).leaf);
	/* Here it is of no use: the fault itself goes through PD and mirrors it again. */
	resume(&kit, PD + 24, W);
	assert_false(look(&kit, PD).acc & ACC_WRITE);
	/* From another address space it is data and stays so. */
	mov_cr3(&kit, PML4_B);
	assert_true(umbra_vm_unprotect(kit.vm, (umbra_gpa){PD}));
	resume(&kit, PD, W);
	assert_true(look(&kit, PD).acc & ACC_WRITE);
	/* A root: the vCPU gets a new one. */
	assert_true(umbra_vm_unprotect(kit.vm, (umbra_gpa){PML4_B}));
	assert_true(page_is_obsolete(&kit.vm->mmu, kit.vcpu->own.root));
	load(&kit);
	assert_false(page_is_obsolete(&kit.vm->mmu, kit.vcpu->own.root));
	resume(&kit, GVA, W);
	assert_clean(&kit);
	kit_close(&kit);
	kit_open(&kit, &config, 1);
	resume(&kit, 0, W);
	assert_false(umbra_vm_unprotect(kit.vm, (umbra_gpa){0}));
	kit_close(&kit);
}

static void track(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned paging = 0; paging < UMBRA_PAGING_COUNT; paging++) {
		struct umbra_vm_config config = kit_config(paging);
		const uint64_t gva = 4 * MEG + GVA;
		const umbra_gpa gpa = {gva + 5}, none = {BYTES};

		kit_open(&kit, &config, 2);
		make_tables(&kit);
		put64(&kit, PD + 16, 4 * MEG | 0x87); /* 2M */
		enter(&kit, &long_mode);
		assert_int_equal(umbra_vm_track(kit.vm, none, true), UMBRA_ENOENT);
		assert_int_equal(umbra_vm_track(kit.vm, gpa, false), UMBRA_EINVAL);
		assert_int_equal(resume(&kit, gva, W), 2); /* nobody does yet */
		kit.flushes = 0;
		assert_int_equal(umbra_vm_track(kit.vm, gpa, true), UMBRA_OK);
		assert_true(kit.flushes >= 1);
		assert_false(look(&kit, gva).leaf);
		assert_int_equal(umbra_vm_track(kit.vm, gpa, true), UMBRA_OK);
		load(&kit);
		assert_int_equal(resume(&kit, gva, R), 1);
		assert_false(look(&kit, gva).acc & ACC_WRITE);
		assert_int_equal(touch(&kit, gva, W).verdict, UMBRA_EMULATE);
		assert_int_equal(resume(&kit, gva + PAGE, W), 1);
		assert_true(look(&kit, gva + PAGE).acc & ACC_WRITE);
		write64(&kit, gva, 42);
		assert_clean(&kit);
		/* Trackers would be lost: S-45. */
		assert_int_equal(kit_slot(&kit, 0, BYTES, BYTES, kit.hva.v, 0), UMBRA_EINVAL);
		assert_int_equal(umbra_vm_track(kit.vm, gpa, false), UMBRA_OK);
		assert_int_equal(touch(&kit, gva, W).verdict, UMBRA_EMULATE);
		assert_int_equal(umbra_vm_track(kit.vm, gpa, false), UMBRA_OK);
		assert_int_equal(umbra_vm_track(kit.vm, gpa, false), UMBRA_EINVAL);
		assert_int_equal(resume(&kit, gva, W), 1);
		assert_true(look(&kit, gva).acc & ACC_WRITE);
		assert_clean(&kit);
		assert_int_equal(kit_slot(&kit, 0, BYTES, BYTES, kit.hva.v, 0), UMBRA_OK);
		kit_close(&kit);
	}
}

/* A tracked last-level table does not go unsync, and no neighbour is mapped writable. */
static void track_tables(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit);
	put64(&kit, PT + 8 * 33, 33 * PAGE | 0x67);
	assert_int_equal(umbra_vm_track(kit.vm, (umbra_gpa){PT}, true), UMBRA_OK);
	assert_int_equal(umbra_vm_track(kit.vm, (umbra_gpa){33 * PAGE}, true), UMBRA_OK);
	load(&kit);
	resume(&kit, GVA, W);
	assert_true(look(&kit, 33 * PAGE).leaf);
	assert_false(look(&kit, 33 * PAGE).acc & ACC_WRITE);
	assert_int_equal(guest_write(&kit, PT, 0x67), EMULATED);
	assert_int_equal(guest_write(&kit, 33 * PAGE, 1), EMULATED);
	assert_int_equal(kit_stats(&kit).mmu_unsync, 0);
	assert_int_equal(umbra_vm_track(kit.vm, (umbra_gpa){PT}, false), UMBRA_OK);
	assert_int_equal(guest_write(&kit, PT, 7), AFTER_A_FAULT);
	/* Tracked while it lags: back at once. */
	assert_int_equal(umbra_vm_track(kit.vm, (umbra_gpa){PT}, true), UMBRA_OK);
	load(&kit);
	resume(&kit, GVA, W);
	assert_int_equal(guest_write(&kit, PT, 0x67), EMULATED);
	assert_clean(&kit);
	kit_close(&kit);
}

/* ---- S-50, S-52: long chains ---- */

static void s52_long_chains(void **unused)
{
	enum { TABLES = 8, ALL = TABLES * 512, LEAVES = 124 * 8 };
	/* Looked at when a block is full. */
	const uint64_t most = (TABLE_CHAIN_MAX + CHAIN_BLOCK_LOCATIONS - 1) /
			      CHAIN_BLOCK_LOCATIONS * CHAIN_BLOCK_LOCATIONS;
	const uint64_t frame = 100 * PAGE;
	struct chain *chain;
	struct kit kit;

	(void)unused;
	open_long(&kit);
	for (uint64_t i = 0; i < TABLES; i++) {
		put64(&kit, PD + 8 * (1 + i), (256 + i) * PAGE | 7);
		for (uint64_t j = 0; j < 512; j++)
			put64(&kit, (256 + i) * PAGE + 8 * j, frame | 0x67);
	}
	chain = rmap_chain(slots_find(&kit.vm->mmu, (umbra_gfn){100}), (umbra_gfn){100}, 1);
	for (uint64_t i = 0; i < ALL; i += 8) {
		resume(&kit, 2 * MEG + i * PAGE, W);
		assert_true(look(&kit, 2 * MEG + i * PAGE).leaf);
		assert_true(chain_count(chain) <= most);
	}
	assert_int_equal(chain_count(chain), ALL % most);
	assert_int_equal(kit_stats(&kit).mmu_recycled, ALL / most);
	assert_clean(&kit);
	umbra_vm_zap_all(kit.vm);
	load(&kit);
	for (uint64_t i = 0; i < LEAVES; i += 8)
		resume(&kit, 2 * MEG + i * PAGE, W);
	assert_int_equal(chain_count(chain), LEAVES);
	/* It becomes a table; then an upper one; then it is tracked; then it is gone. */
	put64(&kit, frame, 200 * PAGE | 7);
	write64(&kit, PD + 8 * 100, frame | 7);
	resume(&kit, 200 * MEG, W);
	for (uint64_t i = 0; i < LEAVES; i += 97)
		assert_false(look(&kit, 2 * MEG + i * PAGE).acc & ACC_WRITE);
	assert_int_equal(resume(&kit, 2 * MEG, W), 1);
	assert_int_equal(kit_stats(&kit).mmu_unsync, 1);
	mov_cr3(&kit, PML4);
	assert_false(look(&kit, 2 * MEG).acc & ACC_WRITE);
	assert_int_equal(chain_count(chain), LEAVES);
	assert_clean(&kit);
	assert_int_equal(umbra_vm_track(kit.vm, (umbra_gpa){frame}, true), UMBRA_OK);
	assert_true(chain_is_empty(chain));
	assert_clean(&kit);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a13_no_trap_until_a_flush),
		cmocka_unit_test(s20_upper_tables_always_trap),
		cmocka_unit_test(s27_unsync_becomes_upper),
		cmocka_unit_test(s23_what_stays),
		cmocka_unit_test(s23_each_entry),
		cmocka_unit_test(s23_left_to_a_fault),
		cmocka_unit_test(stays_until_something_changes),
		cmocka_unit_test(s24_another_mode),
		cmocka_unit_test(two_mirrors_of_one_table),
		cmocka_unit_test(self_mapped_last_level),
		cmocka_unit_test(relinked_subtrees),
		cmocka_unit_test(s29_marks),
		cmocka_unit_test(s25_batches),
		cmocka_unit_test(s29_many_ways),
		cmocka_unit_test(other_formats),
		cmocka_unit_test(s28_previous_roots),
		cmocka_unit_test(h112_changed_after_invpcid),
		cmocka_unit_test(s28_invlpg_elsewhere),
		cmocka_unit_test(h112_injected_fault),
		cmocka_unit_test(invpcid),
		cmocka_unit_test(mov_cr3_keep),
		cmocka_unit_test(h107_filled_meanwhile),
		cmocka_unit_test(h107_linked_meanwhile),
		cmocka_unit_test(h107_stamps_move),
		cmocka_unit_test(h115_kept_if_untouched),
		cmocka_unit_test(h112_flushed_by_another_root),
		cmocka_unit_test(mov_cr3_twice),
		cmocka_unit_test(control_bits_flush_all),
		cmocka_unit_test(s43_flood),
		cmocka_unit_test(s42_emulated_into_unsync),
		cmocka_unit_test(s9_which_neighbours),
		cmocka_unit_test(s9_other_limits),
		cmocka_unit_test(s9_exits),
		cmocka_unit_test(a9_previous_roots),
		cmocka_unit_test(r26_zapped_roots),
		cmocka_unit_test(s62_between_batches),
		cmocka_unit_test(s63_scoped_tdp),
		cmocka_unit_test(s63_scoped_shadow),
		cmocka_unit_test(shrink),
		cmocka_unit_test(s44_unprotect),
		cmocka_unit_test(track),
		cmocka_unit_test(track_tables),
		cmocka_unit_test(s52_long_chains),
	};

	return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
