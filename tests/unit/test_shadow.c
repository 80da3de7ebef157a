/* SPDX-License-Identifier: MIT */
/*
 * test_shadow.c - tables that mirror the guest's.
 *
 * Rule by rule (section 5 of the facts; G-38, G-48, R-31, R-33), then all at once:
 * seeded random writes to guest tables and accesses in every guest mode, with the
 * auditor, and each leaf held against umbra_vcpu_translate().
 */
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)

#define R UMBRA_ACCESS_READ
#define W UMBRA_ACCESS_WRITE
#define X UMBRA_ACCESS_FETCH
#define U UMBRA_ACCESS_USER

/* 4-level guest: 4K pages at 0..2M by PT, more as the test wants. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
#define PT2 0x5000ull

static const struct umbra_regs long_mode = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
	.cr3 = PML4,
	.cr4 = UMBRA_CR4_PAE,
	.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
};
static const struct umbra_regs pae_mode = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
	.cr3 = PDPT,
	.cr4 = UMBRA_CR4_PAE,
	.efer = UMBRA_EFER_NXE,
};
static const struct umbra_regs mode_32 = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
	.cr3 = PD,
	.cr4 = UMBRA_CR4_PSE,
};

static void enter(struct kit *kit, const struct umbra_regs *regs)
{
	struct umbra_root root;

	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, regs, true), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
	assert_true(root.flush);
	assert_int_equal(root.regs.cr3, root.pointer);
}

static void open_long(struct kit *kit, uint8_t host_level)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);

	kit_open(kit, &config, host_level);
	put64(kit, PML4, PDPT | 7);
	put64(kit, PDPT, PD | 7);
	put64(kit, PD, PT | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(kit, PT + 8 * i, i * PAGE | 7);
	enter(kit, &long_mode);
}

static uint64_t leaf_frame(struct kit *kit, uint64_t gva)
{
	struct seen seen = look(kit, gva);

	assert_true(seen.leaf);
	return entry_pfn(&kit->vm->mmu.kind, seen.entry).v +
	       (gva >> UMBRA_PAGE_SHIFT & (page_span(seen.at.page) - 1));
}

/* ---- S-6, S-7 ---- */

/* Tables change without the library seeing it: what is there is still not followed. */
static void s6_only_the_wanted_child(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	for (uint64_t i = 0; i < 512; i++)
		put64(&kit, PT2 + 8 * i, (1024 + i) * PAGE | 7);
	resume(&kit, 8 * PAGE, W);
	put64(&kit, PD, PT2 | 7); /* another frame */
	resume(&kit, 8 * PAGE, W);
	assert_int_equal(look(&kit, 8 * PAGE).at.page->gfn, PT2 / PAGE);
	assert_int_equal(leaf_frame(&kit, 8 * PAGE), frame_of((1024 + 8) * PAGE));
	assert_clean(&kit);
	put64(&kit, PD, PT2 | 5); /* the same frame with other rights: another role */
	resume(&kit, 8 * PAGE, R);
	assert_int_equal(look(&kit, 8 * PAGE).at.page->role.access & ACC_WRITE, 0);
	assert_int_equal(look(&kit, 8 * PAGE).acc & ACC_WRITE, 0);
	put64(&kit, PD, 8 * MEG | 0x87); /* a large page in place of a table */
	resume(&kit, 8 * PAGE, W);
	assert_true(look(&kit, 8 * PAGE).at.page->role.direct);
	assert_int_equal(leaf_frame(&kit, 8 * PAGE), frame_of(8 * MEG + 8 * PAGE));
	put64(&kit, PD, PT | 7); /* and back */
	resume(&kit, 8 * PAGE, R);
	assert_int_equal(leaf_frame(&kit, 8 * PAGE), frame_of(8 * PAGE));
	assert_clean(&kit);
	kit_close(&kit);
}

/* O-5: a leaf whose frame changed is dropped, never overwritten. */
static void s7_o5_no_frame_in_place(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	for (uint64_t i = 0; i < 20; i++) {
		put64(&kit, PT + 64, (100 + i % 3) * PAGE | 0x67);
		kit.flushes = 0;
		resume(&kit, 8 * PAGE, W);
		assert_int_equal(leaf_frame(&kit, 8 * PAGE), frame_of((100 + i % 3) * PAGE));
		assert_int_equal(kit.flushes, i > 0);
		assert_clean(&kit);
	}
	assert_int_equal(kit_stats(&kit).pages_4k, 1);
	/* The host backs the same guest frame by another of its own. */
	{
		struct seen seen = look(&kit, 8 * PAGE);

		uint64_t *entry = &page_entries(&kit.vm->mmu, seen.at.page)[seen.at.index];

		*entry ^= PAGE;
		kit.watch = entry;
		kit.flushes = 0;
		resume(&kit, 8 * PAGE, W);
		assert_int_equal(leaf_frame(&kit, 8 * PAGE),
				 frame_of(get64(&kit, PT + 64) & ~0xfffull));
		assert_int_equal(kit.flushes, 1);
		/* Flushed before the new one showed. */
		assert_true(kit.watched == table_empty(&kit.vm->mmu, seen.at.page));
		kit.watch = NULL;
	}
	kit_close(&kit);
}

/*
 * Many mappings of one frame: chains of several blocks, protected when it becomes a table.
 * An upper one stays so (S-20), a last-level one only until the first write (S-21).
 */
static void s41_protects_every_mapping(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned upper = 0; upper < 2; upper++) {
		open_long(&kit, 1);
		for (uint64_t i = 100; i < 160; i++) {
			write64(&kit, PT + 8 * i, PT2 | 7);
			resume(&kit, i * PAGE, W);
			assert_true(look(&kit, i * PAGE).acc & ACC_WRITE);
		}
		kit.flushes = 0;
		put64(&kit, PT2, (upper ? PT : 200 * PAGE) | 7);
		write64(&kit, upper ? PDPT + 8 : PD + 8, PT2 | 7);
		resume(&kit, upper ? 1ull << 30 : 2 * MEG, W);
		assert_true(kit.flushes >= 1);
		for (unsigned i = 100; i < 160; i++)
			assert_false(look(&kit, i * PAGE).acc & ACC_WRITE);
		for (unsigned i = 100; i < 160; i++) {
			if (upper) {
				assert_int_equal(touch(&kit, i * PAGE, W).verdict, UMBRA_EMULATE);
				resume(&kit, i * PAGE, R);
			} else {
				assert_int_equal(resume(&kit, i * PAGE, W), 1);
			}
			assert_int_equal(look(&kit, i * PAGE).acc & ACC_WRITE,
					 upper ? 0 : ACC_WRITE);
			if (i + 1 < 160) /* by its own fault only */
				assert_false(look(&kit, (i + 1) * PAGE).acc & ACC_WRITE);
		}
		assert_int_equal(kit_stats(&kit).mmu_unsync, upper ? 0 : 1);
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* S-40: large mappings of a frame that becomes a table go, and do not come back. */
static void s40_large_mapping_of_a_table(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit, 3);
	put64(&kit, PD + 16, 4 * MEG | 0x87);
	assert_int_equal(resume(&kit, 4 * MEG, W), 2);
	put64(&kit, 4 * MEG + 3 * PAGE, 300 * PAGE | 7);
	write64(&kit, PD + 24, (4 * MEG + 3 * PAGE) | 7);
	kit.flushes = 0;
	resume(&kit, 6 * MEG, W);
	assert_true(kit.flushes >= 1);
	assert_false(look(&kit, 4 * MEG).leaf);
	assert_int_equal(resume(&kit, 4 * MEG, W), 1);
	assert_int_equal(resume(&kit, 4 * MEG + 3 * PAGE, R), 1);
	assert_false(look(&kit, 4 * MEG + 3 * PAGE).acc & ACC_WRITE);
	/* S-21: the table may be written at 4K; what lags does not make it large either. */
	assert_int_equal(resume(&kit, 4 * MEG + 3 * PAGE, W), 1);
	assert_true(look(&kit, 4 * MEG + 3 * PAGE).acc & ACC_WRITE);
	assert_int_equal(resume(&kit, 4 * MEG + 4 * PAGE, W), 1);
	assert_clean(&kit);
	/* All mirrors gone: large again. */
	umbra_vm_zap_all(kit.vm);
	assert_int_equal(resume(&kit, 4 * MEG, W), 2);
	kit_close(&kit);
}

/* A table that is mirrored on the way to the large page that holds it. */
static void s40_table_made_on_the_way(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit, 3);
	put64(&kit, PML4 + 8, (2 * MEG + PAGE) | 7);
	put64(&kit, 2 * MEG + PAGE, (4 * MEG) | 7);
	put64(&kit, 4 * MEG, 2 * MEG | 0x87);
	assert_int_equal(touch(&kit, 1ull << 39, W).verdict, UMBRA_RETRY);
	assert_clean(&kit);
	assert_int_equal(resume(&kit, 1ull << 39, W), 1);
	assert_int_equal(touch(&kit, 1ull << 39 | PAGE, W).verdict, UMBRA_EMULATE);
	kit_close(&kit);
}

/* Word pages are counted and given back with their tables. */
static void words_are_given_back(void **unused)
{
	struct kit kit;
	uint64_t before;

	(void)unused;
	open_long(&kit, 1);
	resume(&kit, 8 * PAGE, W);
	before = kit_stats(&kit).metadata_bytes;
	assert_int_equal(kit.vm->mmu.pages.word_count, 1);
	umbra_vm_zap_all(kit.vm);
	posix_reclaim(kit.host);
	assert_int_equal(kit.vm->mmu.pages.word_count, 0);
	assert_int_equal(kit_stats(&kit).metadata_bytes, before - PAGE);
	kit_close(&kit);
}

/* And their descriptors are used again. */
static void descriptors_are_used_again(void **unused)
{
	uint64_t slabs = 0;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	for (unsigned i = 0; i < 200; i++) {
		struct umbra_root root;

		resume(&kit, 8 * PAGE, W);
		umbra_vm_zap_all(kit.vm);
		posix_reclaim(kit.host);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		if (!i)
			slabs = kit.vm->mmu.pages.slab_count;
	}
	assert_int_equal(kit.vm->mmu.pages.slab_count, slabs);
	kit_close(&kit);
}

/* ---- S-42 ---- */

/* S-43, in words: crosses an entry, or is too small, unless a byte where an entry begins. */
static bool is_misaligned(unsigned entry, unsigned offset, unsigned length)
{
	if (offset / entry != (offset + length - 1) / entry)
		return true;
	return length < 4 && !(length == 1 && offset % entry == 0);
}

/* Map 16 pages, write @length bytes at @offset of the table; those overlapped must go, or
 * all of them. */
static void write_at(struct kit *kit, uint64_t table, unsigned entry, unsigned offset,
		     unsigned length)
{
	const bool misaligned = is_misaligned(entry, offset, length);
	uint64_t flooded;
	uint8_t bytes[8];

	for (uint64_t i = 0; i < 16; i++)
		resume(kit, i * PAGE, R);
	flooded = kit_stats(kit).mmu_flooded;
	assert_int_equal(umbra_vm_read(kit->vm, (umbra_gpa){table + offset}, bytes, length),
			 UMBRA_OK);
	for (unsigned i = 0; i < length; i++)
		bytes[i] ^= 0x01;
	assert_int_equal(umbra_vm_write(kit->vm, (umbra_gpa){table + offset}, bytes, length),
			 UMBRA_OK);
	assert_int_equal(kit_stats(kit).mmu_flooded, flooded + misaligned);
	for (unsigned i = 0; i < 16; i++) {
		bool hit = misaligned || (i * entry < offset + length && offset < (i + 1) * entry);

		if (look(kit, i * PAGE).leaf == hit)
			fail_msg("offset %u length %u entry %u", offset, length, i);
	}
	assert_clean(kit);
	for (unsigned i = 0; i < length; i++)
		bytes[i] ^= 0x01;
	assert_int_equal(umbra_vm_write(kit->vm, (umbra_gpa){table + offset}, bytes, length),
			 UMBRA_OK);
	for (uint64_t i = 0; i < 16; i++)
		resume(kit, i * PAGE, R);
}

static void s42_write_sizes(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	for (unsigned length = 1; length <= 8; length *= 2)
		for (unsigned offset = 16; offset < 34; offset++)
			write_at(&kit, PT, 8, offset, length);
	kit_close(&kit);

	kit_open(&kit, &config, 1);
	put32(&kit, PD, PT | 7);
	for (uint64_t i = 0; i < 1024; i++)
		put32(&kit, PT + 4 * i, (uint32_t)(i * PAGE | 7));
	enter(&kit, &mode_32);
	for (unsigned length = 1; length <= 8; length *= 2)
		for (unsigned offset = 8; offset < 18; offset++)
			write_at(&kit, PT, 4, offset, length);
	kit_close(&kit);
}

/* LOCK: nothing unless the old bytes are there, and then as a write. */
static void s42_an_exchange_is_a_write(void **unused)
{
	const uint64_t entry = 6 * PAGE | 0x27, other = 9 * PAGE | 7;
	const void *const change[2] = {&entry, &other}, *const keep[2] = {&entry, &entry};
	const void *const wrong[2] = {&other, &entry};
	const umbra_gpa gpa = {PT + 8 * 6};
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	resume(&kit, 6 * PAGE, R);
	assert_int_equal(get64(&kit, gpa.v), entry);
	assert_int_equal(umbra_vm_exchange(kit.vm, gpa, wrong, 8), UMBRA_EAGAIN);
	assert_int_equal(umbra_vm_exchange(kit.vm, gpa, keep, 8), UMBRA_OK);
	assert_true(look(&kit, 6 * PAGE).leaf);
	/* One byte of the frame's number, which is that of no other size. */
	for (size_t size = 1; size <= 8; size *= 2) {
		uint8_t after[8];

		put64(&kit, gpa.v, entry);
		resume(&kit, 6 * PAGE, R);
		assert_int_equal(umbra_vm_exchange(kit.vm, gpa, change, size), UMBRA_OK);
		assert_false(look(&kit, 6 * PAGE).leaf);
		memcpy(after, &entry, 8);
		memcpy(after, &other, size);
		assert_memory_equal(kit.bytes + gpa.v, after, 8);
	}
	kit_close(&kit);
}

static void exchange_of_what_cannot_be(void **unused)
{
	const uint64_t zeros[2] = {0};
	const void *const bytes[2] = {zeros, zeros};
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	assert_int_equal(kit_slot(&kit, 1, BYTES, PAGE, kit.hva.v, UMBRA_SLOT_READONLY), UMBRA_OK);
	assert_int_equal(umbra_vm_exchange(kit.vm, (umbra_gpa){0}, bytes, 0), UMBRA_EINVAL);
	assert_int_equal(umbra_vm_exchange(kit.vm, (umbra_gpa){0}, bytes, 3), UMBRA_EINVAL);
	assert_int_equal(umbra_vm_exchange(kit.vm, (umbra_gpa){0}, bytes, 16), UMBRA_EINVAL);
	assert_int_equal(umbra_vm_exchange(kit.vm, (umbra_gpa){4}, bytes, 8), UMBRA_EINVAL);
	assert_int_equal(umbra_vm_exchange(kit.vm, (umbra_gpa){BYTES}, bytes, 8), UMBRA_EFAULT);
	assert_int_equal(umbra_vm_exchange(kit.vm, (umbra_gpa){2 * BYTES}, bytes, 8), UMBRA_EFAULT);
	assert_int_equal(umbra_vm_exchange(kit.vm, (umbra_gpa){BYTES - 8}, bytes, 8), UMBRA_OK);
	kit_close(&kit);
}

/* Writes across two tables, of which both are mirrored; and a write that changes nothing. */
static void s42_crossing_pages(void **unused)
{
	struct kit kit;
	uint8_t zeros[16] = {0};
	uint64_t same;

	(void)unused;
	open_long(&kit, 1);
	for (uint64_t i = 0; i < 512; i++)
		put64(&kit, PT2 + 8 * i, (512 + i) * PAGE | 7);
	write64(&kit, PD + 8, PT2 | 7);
	resume(&kit, 511 * PAGE, R);
	resume(&kit, 512 * PAGE, R);
	resume(&kit, 513 * PAGE, R);
	same = get64(&kit, PT2);
	write64(&kit, PT2, same);
	assert_true(look(&kit, 512 * PAGE).leaf);
	assert_int_equal(umbra_vm_write(kit.vm, (umbra_gpa){PT2 - 8}, zeros, 16), UMBRA_OK);
	assert_false(look(&kit, 511 * PAGE).leaf);
	assert_false(look(&kit, 512 * PAGE).leaf);
	assert_true(look(&kit, 513 * PAGE).leaf);
	assert_int_equal(touch(&kit, 512 * PAGE, R).verdict, UMBRA_INJECT);
	kit_close(&kit);
}

/* the quadrants of a 2-level guest; each PDE write hits its own two SPTEs. */
static void a10_quadrants(void **unused)
{
	static const unsigned pdes[] = {0, 1, 255, 256, 511, 512, 767, 768, 1023};
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	for (unsigned i = 0; i < 9; i++)
		put32(&kit, PD + 4 * pdes[i], (uint32_t)((0x100 + i) * PAGE | 7));
	for (unsigned i = 0; i < 9; i++)
		for (uint64_t j = 0; j < 1024; j++)
			put32(&kit, (0x100 + i) * PAGE + 4 * j,
			      (uint32_t)((0x200 + (i * 31 + j) % 1000) * PAGE | 7));
	enter(&kit, &mode_32);
	assert_true(kit.vcpu->own.root->role.promoted && kit.vcpu->own.root->role.pae_root);
	assert_false(kit.vcpu->own.root->hpa.v >> 32);
	for (unsigned i = 0; i < 9; i++) {
		for (uint64_t j = 0; j < 1024; j += 341) {
			uint64_t gva = (uint64_t)pdes[i] << 22 | j << 12;
			struct seen seen;

			resume(&kit, gva, W | U);
			seen = look(&kit, gva);
			assert_int_equal(leaf_frame(&kit, gva),
					 frame_of((0x200 + (i * 31 + j) % 1000) * PAGE));
			assert_int_equal(seen.at.page->role.quadrant, j >> 9);
			assert_int_equal(seen.at.index, j & 511);
		}
	}
	assert_clean(&kit);
	for (unsigned i = 0; i < 9; i++) {
		uint32_t zero = 0;

		assert_int_equal(umbra_vm_write(kit.vm, (umbra_gpa){PD + 4 * pdes[i]}, &zero, 4),
				 0);
		for (unsigned k = 0; k < 9; k++)
			for (uint64_t j = 0; j < 1024; j += 341)
				assert_int_equal(look(&kit, (uint64_t)pdes[k] << 22 | j << 12).leaf,
						 k > i);
		assert_clean(&kit);
	}
	kit_close(&kit);
}

/* ---- D bits and CR0.WP ---- */

/* G-38, A-12: read, then write of a clean page gives exactly one D update. */
static void g38_dirty(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned level = 1; level <= 2; level++) {
		const uint64_t gva = level == 1 ? 8 * PAGE : 4 * MEG,
			       pte = level == 1 ? PT + 64 : PD + 16;
		uint64_t clean;

		open_long(&kit, level);
		put64(&kit, PD + 16, 4 * MEG | 0x87);
		clean = get64(&kit, pte);
		assert_int_equal(resume(&kit, gva, R), level);
		assert_int_equal(get64(&kit, pte), clean | 0x20);
		assert_false(look(&kit, gva).acc & ACC_WRITE);
		assert_false(look(&kit, gva).entry & 0x40);
		assert_int_equal(resume(&kit, gva, W), level);
		assert_int_equal(get64(&kit, pte), clean | 0x60);
		assert_true(look(&kit, gva).acc & ACC_WRITE);
		/* The guest cleans it again: the writable leaf must be gone, and flushed. */
		kit.flushes = 0;
		write64(&kit, pte, clean | 0x20);
		assert_false(look(&kit, gva).leaf);
		assert_int_equal(kit.flushes, 1);
		resume(&kit, gva, R);
		assert_false(look(&kit, gva).acc & ACC_WRITE);
		kit_close(&kit);
	}
	/* A dirty one is writable after a read already. */
	open_long(&kit, 1);
	put64(&kit, PT + 64, 8 * PAGE | 0x47);
	resume(&kit, 8 * PAGE, R);
	assert_true(look(&kit, 8 * PAGE).acc & ACC_WRITE);
	kit_close(&kit);
}

/* G-48, A-11: WP=0 and a read-only user page: two states of one entry. */
static void g48_a11_two_states(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	for (unsigned smep = 0; smep < 2; smep++) {
		open_long(&kit, 1);
		put64(&kit, PT + 64, 8 * PAGE | 5);
		put64(&kit, PT + 72, 9 * PAGE | 1); /* supervisor, read-only */
		assert_int_equal(touch(&kit, 8 * PAGE, W).verdict, UMBRA_INJECT);
		regs.cr0 = long_mode.cr0 & ~UMBRA_CR0_WP;
		regs.cr4 = long_mode.cr4 | (smep ? UMBRA_CR4_SMEP : 0);
		enter(&kit, &regs);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		assert_true(root.regs.cr0 & UMBRA_CR0_WP); /* G-49 */
		for (unsigned round = 0; round < 2; round++) {
			resume(&kit, 8 * PAGE, W);
			assert_int_equal(look(&kit, 8 * PAGE).acc,
					 ACC_READ | ACC_WRITE | (smep ? 0 : ACC_EXEC));
			kit.flushes = 0;
			resume(&kit, 8 * PAGE, R | U);
			assert_int_equal(look(&kit, 8 * PAGE).acc, ACC_READ | ACC_USER | ACC_EXEC);
			assert_int_equal(kit.flushes, 1); /* W is gone */
			assert_int_equal(touch(&kit, 8 * PAGE, W | U).verdict, UMBRA_INJECT);
		}
		resume(&kit, 9 * PAGE, W);
		assert_int_equal(look(&kit, 9 * PAGE).acc, ACC_READ | ACC_WRITE | ACC_EXEC);
		assert_int_equal(touch(&kit, 9 * PAGE, R | U).verdict, UMBRA_INJECT);
		/* Back to WP=1: those tables are not used. */
		enter(&kit, &long_mode);
		assert_int_equal(touch(&kit, 9 * PAGE, W).verdict, UMBRA_INJECT);
		resume(&kit, 9 * PAGE, R);
		assert_int_equal(look(&kit, 9 * PAGE).acc & ACC_WRITE, 0);
		kit_close(&kit);
	}
}

/* G-48: SMAP or keys would be fooled by the lost U: emulated, also in large pages. */
static void g48_emulate_with_smap_or_keys(void **unused)
{
	static const uint64_t cr4[] = {UMBRA_CR4_SMAP, UMBRA_CR4_PKE, UMBRA_CR4_PKS};
	struct umbra_regs regs = long_mode;
	struct umbra_resolution what;
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		open_long(&kit, 1);
		put64(&kit, PT + 64, 8 * PAGE | 5);
		put64(&kit, PT + 72, BYTES | 5);
		regs.cr0 = long_mode.cr0 & ~UMBRA_CR0_WP;
		regs.cr4 = long_mode.cr4 | cr4[i];
		enter(&kit, &regs);
		what = touch(&kit, 8 * PAGE + 9, W | UMBRA_ACCESS_AC);
		assert_int_equal(what.verdict, UMBRA_EMULATE);
		assert_int_equal(what.gpa.v, 8 * PAGE + 9);
		assert_false(look(&kit, 8 * PAGE).leaf && look(&kit, 8 * PAGE).acc & ACC_WRITE);
		assert_int_equal(touch(&kit, 9 * PAGE, W | UMBRA_ACCESS_AC).verdict, UMBRA_MMIO);
		resume(&kit, 10 * PAGE, W | UMBRA_ACCESS_AC); /* writable anyway */
		kit_close(&kit);
	}
}

/* G-48, H-53: without WP a key's WD does not stop a supervisor; hardware, with WP, would. */
static void g48_write_disabled_key(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct kit kit;

	(void)unused;
	for (unsigned user = 0; user < 2; user++) {
		for (unsigned bit = 9; bit < 14; bit++) {
			open_long(&kit, 1);
			put64(&kit, PT + 64, 8 * PAGE | (user ? 7 : 3) | 5ull << 59);
			regs.cr0 = long_mode.cr0 & ~UMBRA_CR0_WP;
			regs.cr4 = long_mode.cr4 | (user ? UMBRA_CR4_PKE : UMBRA_CR4_PKS);
			regs.pkru = user ? 1u << bit : 0;
			regs.pkrs = user ? 0 : 1u << bit;
			enter(&kit, &regs);
			if (bit == 10) { /* AD */
				assert_int_equal(touch(&kit, 8 * PAGE, W).verdict, UMBRA_INJECT);
			} else if (bit == 11) { /* WD */
				assert_int_equal(touch(&kit, 8 * PAGE, W).verdict, UMBRA_EMULATE);
			} else {
				resume(&kit, 8 * PAGE, W);
				assert_true(look(&kit, 8 * PAGE).acc & ACC_WRITE);
			}
			kit_close(&kit);
		}
	}
}

/* H-53, core bug: leaves made without keys are not used once keys act. */
static void h53_keys(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	put64(&kit, PT + 64, 8 * PAGE | 7 | 5ull << 59);
	resume(&kit, 8 * PAGE, W | U);
	regs.cr4 |= UMBRA_CR4_PKE;
	enter(&kit, &regs);
	assert_false(look(&kit, 8 * PAGE).leaf);
	resume(&kit, 8 * PAGE, W | U);
	assert_int_equal(look(&kit, 8 * PAGE).entry >> 59 & 15, 5);
	regs.pkru = 1u << 10;
	enter(&kit, &regs);
	assert_int_equal(touch(&kit, 8 * PAGE, R | U).event.code,
			 UMBRA_PF_P | UMBRA_PF_U | UMBRA_PF_PK);
	kit_close(&kit);
}

/* H-54: a shadow-stack page is one to hardware too, W=0 and D=1; nothing else is. */
static void h54_shadow_stack(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	put64(&kit, PT + 64, 8 * PAGE | 0x45);
	put64(&kit, PT + 72, 9 * PAGE | 5);
	put64(&kit, PT + 80, PT | 0x45); /* a mirrored table */
	resume(&kit, 8 * PAGE, R | U);
	assert_int_equal(look(&kit, 8 * PAGE).entry & 0x42, 0); /* CET is off */
	regs.cr4 |= UMBRA_CR4_CET;
	enter(&kit, &regs);
	resume(&kit, 8 * PAGE, R | U | UMBRA_ACCESS_SHSTK);
	assert_int_equal(look(&kit, 8 * PAGE).entry & 0x42, 0x40);
	assert_int_equal(resume(&kit, 8 * PAGE, W | U | UMBRA_ACCESS_SHSTK), 0);
	assert_int_equal(touch(&kit, 8 * PAGE, W | U).verdict, UMBRA_INJECT);
	resume(&kit, 9 * PAGE, R | U);
	assert_int_equal(look(&kit, 9 * PAGE).entry & 0x42, 0);
	assert_int_equal(touch(&kit, 9 * PAGE, R | U | UMBRA_ACCESS_SHSTK).verdict, UMBRA_INJECT);
	resume(&kit, 10 * PAGE, R | U);
	assert_int_equal(look(&kit, 10 * PAGE).entry & 0x42, 0);
	assert_int_equal(touch(&kit, 10 * PAGE, R | U | UMBRA_ACCESS_SHSTK).verdict, UMBRA_EMULATE);
	kit_close(&kit);
}

/* H-52: without paging any page serves shadow-stack accesses, which no leaf can say. */
static void h52_shadow_stack_without_paging(void **unused)
{
	const unsigned ss = UMBRA_ACCESS_SHSTK;
	const struct umbra_regs unpaged = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_WP,
					   .cr4 = UMBRA_CR4_CET};
	struct umbra_vcpu *first, *second;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	first = kit.vcpu;
	assert_int_equal(umbra_vcpu_create(kit.vm, &kit.config.cpu, &second), UMBRA_OK);
	kit.vcpu = second;
	enter(&kit, &unpaged);
	for (unsigned i = 0; i < 4; i++) {
		const unsigned access = ss | (i & 1 ? U : 0) | (i & 2 ? W : 0);

		assert_int_equal(touch(&kit, 8 * PAGE, access).verdict, UMBRA_EMULATE);
		assert_false(look(&kit, 8 * PAGE).leaf);
		assert_int_equal(touch(&kit, BYTES, access).verdict, UMBRA_MMIO);
	}
	resume(&kit, PT, W);
	assert_int_equal(touch(&kit, PT, W | U | ss).verdict, UMBRA_EMULATE);
	/* The frame becomes a table: not D=1 without W, which user code could write. */
	kit.vcpu = first;
	resume(&kit, 8 * PAGE, R);
	kit.vcpu = second;
	assert_int_not_equal(look(&kit, PT).entry & 0x42, 0x40);
	assert_int_equal(touch(&kit, PT, W | U | ss).verdict, UMBRA_EMULATE);
	assert_clean(&kit);
	kit_close(&kit);
}

/* ---- roots ---- */

static void put_pae(struct kit *kit, uint64_t pdpt, uint64_t pd)
{
	for (uint64_t i = 0; i < 4; i++)
		put64(kit, pdpt + 8 * i, (pd + i * PAGE) | 1);
}

/* R-33, H-20: PDPTE registers are the identity; memory is read at MOV CR3 only. */
static void r33_pae_registers(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_regs regs = pae_mode;
	struct page *first;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	put_pae(&kit, PDPT, 0x10000);
	put64(&kit, 0x10000, 0x87);
	put64(&kit, 0x10000 + PAGE, 2 * MEG | 0x87);
	enter(&kit, &regs);
	first = kit.vcpu->own.root;
	assert_true(first->role.registers && first->role.pae_root && !(first->hpa.v >> 32));
	resume(&kit, 5 * PAGE, W);
	resume(&kit, 1ull << 30, R);
	/* The guest changes a PDPTE in memory: no effect, the frame is not even tracked. */
	write64(&kit, PDPT, (0x10000 + PAGE) | 1);
	assert_true(look(&kit, 5 * PAGE).leaf);
	assert_clean(&kit);
	/* The same CR3, other registers: another root. */
	enter(&kit, &regs);
	assert_ptr_not_equal(kit.vcpu->own.root, first);
	resume(&kit, 5 * PAGE, W);
	assert_int_equal(leaf_frame(&kit, 5 * PAGE), frame_of(2 * MEG + 5 * PAGE));
	/* And the first values again: the first root. */
	write64(&kit, PDPT, 0x10000 | 1);
	enter(&kit, &regs);
	assert_ptr_equal(kit.vcpu->own.root, first);
	assert_int_equal(leaf_frame(&kit, 5 * PAGE), frame_of(5 * PAGE));
	/* From a snapshot: as they are, whatever memory says. */
	regs.pdpte[3] = (0x10000 + PAGE) | 1;
	assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &regs, false), UMBRA_OK);
	resume(&kit, 3ull << 30 | 5 * PAGE, R);
	assert_int_equal(leaf_frame(&kit, 3ull << 30 | 5 * PAGE), frame_of(2 * MEG + 5 * PAGE));
	assert_int_equal(touch(&kit, 0, R).event.code, 0);
	kit_close(&kit);
}

/* H-22, R-33: PDPTEs read in the walk; tables at 32-byte offsets of one frame differ. */
static void r33_pae_memory(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_regs regs = pae_mode;
	struct page *root[3];
	struct kit kit;

	(void)unused;
	config.cpu = amd_cpu();
	kit_open(&kit, &config, 1);
	for (uint64_t i = 0; i < 3; i++) {
		put_pae(&kit, PDPT + 32 * i, 0x10000 + i * 0x4000);
		put64(&kit, 0x10000 + i * 0x4000, (2 * i * MEG) | 0x87);
	}
	for (uint64_t i = 0; i < 3; i++) {
		regs.cr3 = PDPT + 32 * i;
		enter(&kit, &regs);
		root[i] = kit.vcpu->own.root;
		assert_int_equal(root[i]->role.pae_offset, i);
		assert_false(root[i]->role.registers);
		resume(&kit, 5 * PAGE, W);
		assert_int_equal(leaf_frame(&kit, 5 * PAGE), frame_of(2 * i * MEG + 5 * PAGE));
	}
	assert_true(root[0] != root[1] && root[1] != root[2]);
	assert_clean(&kit);
	/* A write to one table's entry is its root's alone. */
	write64(&kit, PDPT + 32, 0x10000 | 1);
	for (uint64_t i = 3; i--;) {
		regs.cr3 = PDPT + 32 * i;
		enter(&kit, &regs);
		assert_ptr_equal(kit.vcpu->own.root, root[i]);
		assert_int_equal(look(&kit, 5 * PAGE).leaf, i != 1);
	}
	regs.cr3 = PDPT + 32;
	enter(&kit, &regs);
	resume(&kit, 5 * PAGE, W);
	assert_int_equal(leaf_frame(&kit, 5 * PAGE), frame_of(5 * PAGE));
	/* H-22: a reserved bit is the walk's #PF. */
	write64(&kit, PDPT + 32, 0x10000 | 3);
	assert_int_equal(touch(&kit, 5 * PAGE, R).event.code, UMBRA_PF_P | UMBRA_PF_RSVD);
	kit_close(&kit);
}

/* Going back and forth between address spaces and modes makes nothing anew. */
static void cr3_switching_reuses(void **unused)
{
	struct umbra_regs other = long_mode, none = {.cr0 = UMBRA_CR0_PE};
	uint64_t misses = 0;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	put64(&kit, 0x6000, PDPT | 7); /* another top, the same below */
	other.cr3 = 0x6000;
	for (unsigned round = 0; round < 10; round++) {
		const struct umbra_regs *const all[] = {&long_mode, &other, &none};

		for (unsigned i = 0; i < 3; i++) {
			enter(&kit, all[i]);
			if (!round)
				resume(&kit, 8 * PAGE, W);
			assert_true(look(&kit, 8 * PAGE).leaf);
		}
		if (!round)
			misses = kit_stats(&kit).mmu_cache_miss;
		assert_int_equal(kit_stats(&kit).mmu_cache_miss, misses);
	}
	assert_clean(&kit);
	kit_close(&kit);
}

/* H-7: the guest's LAM bits reach the hardware's CR3; O-11: vCPUs with other widths. */
static void h7_lam_and_o11(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct umbra_cpu cpu = intel_cpu();
	struct umbra_vcpu *narrow;
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	regs.cr3 |= 1ull << 61;
	assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &regs, false), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	assert_int_equal(root.pointer, kit.vcpu->own.root->hpa.v | 1ull << 61);
	assert_int_equal(root.regs.cr3, root.pointer);
	cpu.maxphyaddr = 40;
	assert_int_equal(umbra_vcpu_create(kit.vm, &cpu, &narrow), UMBRA_OK);
	assert_int_equal(umbra_vcpu_set_regs(narrow, &long_mode, false), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(narrow, &root), UMBRA_OK);
	assert_ptr_not_equal(narrow->own.root, kit.vcpu->own.root);
	kit_close(&kit);
}

/* ---- sizes ---- */

static void sizes_of_pages(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	/* Large guest page, small host pages: direct tables below; both halves of 4M. */
	kit_open(&kit, &config, 1);
	put32(&kit, PD + 4, 4 * MEG | 0x87);
	enter(&kit, &mode_32);
	for (uint64_t gva = 4 * MEG; gva < 8 * MEG; gva += MEG) {
		assert_int_equal(resume(&kit, gva + 5 * PAGE, R), 1);
		assert_int_equal(leaf_frame(&kit, gva + 5 * PAGE), frame_of(gva + 5 * PAGE));
		assert_true(look(&kit, gva + 5 * PAGE).at.page->role.direct);
		assert_false(look(&kit, gva + 5 * PAGE).acc & ACC_WRITE);
	}
	assert_clean(&kit);
	/* The first write sets D: other direct tables, S-5. */
	resume(&kit, 4 * MEG + 5 * PAGE, W);
	assert_true(look(&kit, 4 * MEG + 5 * PAGE).acc & ACC_WRITE);
	assert_clean(&kit);
	kit_close(&kit);

	/* Large guest page, large host pages: 4M as two of 2M. Small guest page: 4K. */
	kit_open(&kit, &config, 2);
	put32(&kit, PD + 4, 4 * MEG | 0x87);
	put32(&kit, PD + 8, PT | 7);
	put32(&kit, PT, 8 * MEG | 7);
	enter(&kit, &mode_32);
	assert_int_equal(resume(&kit, 4 * MEG + 5 * PAGE, W), 2);
	assert_int_equal(resume(&kit, 7 * MEG, W), 2);
	assert_int_equal(leaf_frame(&kit, 7 * MEG), frame_of(7 * MEG));
	assert_int_equal(resume(&kit, 8 * MEG, W), 1);
	assert_int_equal(kit_stats(&kit).pages_2m, 2);
	/* No paging: 2M at most. */
	enter(&kit, &(struct umbra_regs){.cr0 = 0});
	assert_int_equal(resume(&kit, 4 * MEG, W), 2);
	kit_close(&kit);
}

/* ---- odd places for tables ---- */

static void self_mapped_tables(void **unused)
{
	const uint64_t self = 0xffffff8000000000ull; /* PML4 entry 511 */
	const uint64_t self_pd = self | 511ull << 30;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	put64(&kit, PML4 + 8 * 511, PML4 | 3);
	/* The mapping of PT 0 is at self: all four tables walked are ones that are mirrored. */
	assert_int_equal(resume(&kit, self, R), 1);
	assert_int_equal(leaf_frame(&kit, self), frame_of(PT));
	resume(&kit, 8 * PAGE, W);
	assert_false(look(&kit, self).acc & ACC_WRITE);
	/* PT is a last-level table: free to write from now on. PD is not (S-20). */
	assert_int_equal(resume(&kit, self + 64, W), 1);
	assert_true(look(&kit, 8 * PAGE).at.page->unsync);
	assert_int_equal(touch(&kit, self_pd, W).verdict, UMBRA_EMULATE);
	resume(&kit, self_pd, R);
	assert_int_equal(leaf_frame(&kit, self_pd), frame_of(PD));
	assert_int_equal(touch(&kit, self_pd, W).verdict, UMBRA_EMULATE);
	assert_false(look(&kit, self_pd).acc & ACC_WRITE);
	assert_clean(&kit);
	/* The very first fault is a write to the table that maps it. */
	umbra_vm_zap_all(kit.vm);
	resume(&kit, self + 64, W);
	/* Not a mirrored table yet: it is one as soon as it is used as such. */
	assert_true(look(&kit, self).acc & ACC_WRITE);
	resume(&kit, 8 * PAGE, W);
	assert_false(look(&kit, self).acc & ACC_WRITE);
	assert_false(look(&kit, 8 * PAGE).at.page->unsync);
	resume(&kit, self + 64, W);
	assert_true(look(&kit, 8 * PAGE).at.page->unsync);
	write64(&kit, PT + 64, 0);
	assert_int_equal(touch(&kit, 8 * PAGE, R).verdict, UMBRA_INJECT);
	/* The PML4 entry that maps itself goes: everything below it with it. */
	write64(&kit, PML4 + 8 * 511, 0);
	assert_int_equal(touch(&kit, self, R).verdict, UMBRA_INJECT);
	assert_clean(&kit);
	kit_close(&kit);
}

/*
 * A table that becomes data. Its mirror stays for a while: a last-level one goes unsync
 * at the first write, an upper one traps until it is flooded (S-43); and it is right
 * when the frame is a table again.
 */
static void table_freed_and_reused(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	put64(&kit, PT2, 600 * PAGE | 7);
	write64(&kit, PD + 8, PT2 | 7);
	resume(&kit, 2 * MEG, W);
	write64(&kit, PD + 8, 0); /* freed */
	resume(&kit, PT2, R);
	assert_false(look(&kit, PT2).acc & ACC_WRITE);
	resume(&kit, PT2, W);
	assert_true(look(&kit, PT2).acc & ACC_WRITE);
	assert_int_equal(kit_stats(&kit).mmu_unsync, 1);
	for (uint64_t i = 0; i < 512; i++) /* as data, unseen */
		put64(&kit, PT2 + 8 * i, 0x1234567890abcdefull * i);
	assert_clean(&kit);
	put64(&kit, PT2, 601 * PAGE | 7);
	write64(&kit, PD + 8, PT2 | 7); /* and it is a table again */
	resume(&kit, 2 * MEG, W);
	assert_int_equal(leaf_frame(&kit, 2 * MEG), frame_of(601 * PAGE));
	assert_clean(&kit);
	kit_close(&kit);

	open_long(&kit, 1);
	put64(&kit, PT2, PT | 7); /* a page directory */
	write64(&kit, PDPT + 8, PT2 | 7);
	resume(&kit, 1ull << 30, W);
	write64(&kit, PDPT + 8, 0);
	for (uint64_t i = 1; i <= PAGES_FLOOD; i++) {
		assert_int_equal(touch(&kit, PT2, W).verdict, UMBRA_EMULATE);
		assert_int_equal(kit_stats(&kit).mmu_flooded, 0);
		write64(&kit, PT2 + 8 * i, i);
	}
	assert_int_equal(kit_stats(&kit).mmu_flooded, 1);
	resume(&kit, PT2, W);
	assert_true(look(&kit, PT2).acc & ACC_WRITE);
	put64(&kit, PT2, 4 * MEG | 0x87);
	write64(&kit, PDPT + 8, PT2 | 7);
	resume(&kit, 1ull << 30, W);
	assert_int_equal(leaf_frame(&kit, 1ull << 30), frame_of(4 * MEG));
	assert_false(look(&kit, PT2).acc & ACC_WRITE);
	assert_clean(&kit);
	kit_close(&kit);
}

/* G-36: tables in read-only memory: A and D cannot be set, accesses succeed. */
static void g36_tables_in_rom(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_resolution what;
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	assert_int_equal(kit_slot(&kit, 0, 0, 16 * PAGE, kit.hva.v, UMBRA_SLOT_READONLY), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 1, 16 * PAGE, MEG, kit.hva.v + 16 * PAGE, 0), UMBRA_OK);
	put64(&kit, PML4, PDPT | 7);
	put64(&kit, PDPT, PD | 7);
	put64(&kit, PD, PT | 7);
	for (uint64_t i = 0; i < 64; i++)
		put64(&kit, PT + 8 * i, i * PAGE | 7);
	enter(&kit, &long_mode);
	resume(&kit, 20 * PAGE, W);
	assert_true(look(&kit, 20 * PAGE).acc & ACC_WRITE);
	assert_int_equal(get64(&kit, PT + 160), 20 * PAGE | 7);
	resume(&kit, 21 * PAGE, R);
	assert_clean(&kit);
	what = touch(&kit, PT, W);
	assert_int_equal(what.verdict, UMBRA_MMIO);
	assert_int_equal(what.gpa.v, PT);
	resume(&kit, PT, R);
	kit_close(&kit);
}

/* G-30: a table where there is no memory, until there is. */
static void g30_table_outside_memory(void **unused)
{
	struct umbra_regs regs = long_mode;
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	write64(&kit, PD + 8, BYTES | 7);
	assert_int_equal(touch(&kit, 2 * MEG, R).verdict, UMBRA_INJECT);
	regs.cr3 = BYTES + PAGE;
	enter(&kit, &regs);
	assert_int_equal(touch(&kit, 0, R).verdict, UMBRA_INJECT);
	assert_clean(&kit);
	/* Memory appears there, with tables in it. */
	put64(&kit, 8 * MEG, 9 * PAGE | 7);
	put64(&kit, 8 * MEG + PAGE, PDPT | 7);
	assert_int_equal(kit_slot(&kit, 1, BYTES, MEG, kit.hva.v + 8 * MEG, 0), UMBRA_OK);
	resume(&kit, 2 * MEG, W);
	assert_int_equal(leaf_frame(&kit, 2 * MEG), frame_of(9 * PAGE));
	assert_clean(&kit);
	/* And goes again. */
	assert_int_equal(kit_slot(&kit, 1, 0, 0, 0, 0), UMBRA_OK);
	assert_int_equal(touch(&kit, 2 * MEG, R).verdict, UMBRA_INJECT);
	kit_close(&kit);
}

/*
 * Two slots with the same memory, a guest table in one of them. As in KVM the frame
 * is watched by its guest-physical name only; what must hold is that nothing breaks
 * and that writes by the name of the table are seen.
 */
static void aliasing_slots(void **unused)
{
	struct kit kit;

	(void)unused;
	open_long(&kit, 1);
	assert_int_equal(kit_slot(&kit, 1, BYTES, MEG, kit.hva.v, 0), UMBRA_OK);
	write64(&kit, PT + 8 * 30, (BYTES + PT) | 7);
	resume(&kit, 8 * PAGE, W);
	resume(&kit, 30 * PAGE, R);
	assert_int_equal(leaf_frame(&kit, 30 * PAGE), frame_of(PT));
	write64(&kit, PT + 64, 0);
	assert_int_equal(touch(&kit, 8 * PAGE, R).verdict, UMBRA_INJECT);
	assert_clean(&kit);
	assert_int_equal(kit_slot(&kit, 1, 0, 0, 0, 0), UMBRA_OK);
	assert_int_equal(touch(&kit, 30 * PAGE, R).verdict, UMBRA_MMIO);
	kit_close(&kit);
}

/* ---- everything at random ---- */

static uint64_t state;

static uint64_t next_random(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return state >> 20;
}

/* Frames 1..15 are tables of any level, 16.. are data; large pages somewhere. */
static uint64_t random_entry(unsigned bytes)
{
	uint64_t frame = next_random() % 4 ? next_random() % 16 : 16 + next_random() % 64;
	uint64_t entry = frame * PAGE | (next_random() & 0x67) | (next_random() % 8 != 0);

	if (next_random() % 8 == 0)
		entry = (next_random() % 4) * 4 * MEG | (entry & 0xfff) | 0x80;
	if (bytes == 8 && next_random() % 8 == 0)
		entry |= 1ull << 63;
	return next_random() % 16 ? entry : entry | 1ull << (next_random() % (8 * bytes));
}

/*
 * An entry somewhere in frames 1 to 15, and its value. In PAE mode frames 1 and 2 are PDPTs, which
 * reserve most low bits. Few indexes, so that tables are shared and met again.
 */
static uint64_t random_place(const struct umbra_regs *regs, uint64_t *value)
{
	const unsigned bytes = regs->cr4 & UMBRA_CR4_PAE ? 8 : 4;
	const uint64_t frame = 1 + next_random() % 15;
	uint64_t index = next_random() % 4;

	*value = random_entry(bytes);
	if (bytes == 8 && !(regs->efer & UMBRA_EFER_LMA) && frame < 3) {
		index = next_random() % 8;
		if (next_random() % 16)
			*value &= 0xf001;
	}
	return frame * PAGE + index * bytes;
}

/* The leaf of @gva, if any, gives what a fresh walk gives, or less. */
static void leaf_is_true(struct kit *kit, uint64_t gva)
{
	struct umbra_translation t;
	struct seen seen = look(kit, gva);
	const unsigned user = seen.acc & ACC_USER ? U : 0;

	if (!seen.leaf)
		return;
	assert_int_equal(umbra_vcpu_translate(kit->vcpu, (umbra_gva){gva}, R | user, false, &t), 0);
	assert_int_equal(t.event.kind, UMBRA_EVENT_NONE);
	assert_int_equal(leaf_frame(kit, gva), frame_of(t.gpa.v));
	/* G-48: without WP a supervisor's leaf may have W. */
	if (!(umbra_vcpu_regs(kit->vcpu)->cr0 & UMBRA_CR0_WP) && !user)
		t.acc |= ACC_WRITE;
	assert_int_equal(seen.acc & ~t.acc, 0);
}

static void random_guest(const struct umbra_regs *regs, uint64_t seed, unsigned steps)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	const unsigned bytes = regs->cr4 & UMBRA_CR4_PAE ? 8 : 4;
	unsigned outcomes[UMBRA_VERDICT_COUNT] = {0};
	struct umbra_regs now = *regs;
	struct kit kit;

	state = seed;
	print_message("# seed %#llx\n", (unsigned long long)seed);
	config.cpu = bytes == 8 ? amd_cpu() : intel_cpu();
	config.page_limit = next_random() % 2 ? 64 : 0;
	kit_open(&kit, &config, 1 + next_random() % 2);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t value, gpa = random_place(regs, &value);

		memcpy(kit.bytes + gpa, &value, bytes);
	}
	enter(&kit, regs);
	for (unsigned step = 0; step < steps; step++) {
		uint64_t value, gpa = random_place(regs, &value), gva = 0;

		for (unsigned level = 0; level < 4; level++)
			gva = gva << (bytes == 8 ? 9 : 10) | next_random() % 4;
		gva = (gva << 12 | 8) & (regs->efer & UMBRA_EFER_LMA ? ~0ull : 0xffffffff);
		switch (next_random() % 8) {
		case 0:
		case 1:
		case 2:
			assert_int_equal(umbra_vm_write(kit.vm, (umbra_gpa){gpa}, &value,
							1 + next_random() % bytes),
					 UMBRA_OK);
			break;
		case 3:
			now.cr3 = (1 + next_random() % 2) * PAGE + next_random() % 2 * 32;
			if (next_random() % 2)
				now.cr0 ^= UMBRA_CR0_WP;
			if (next_random() % 64 == 0)
				umbra_vm_zap_all(kit.vm);
			enter(&kit, &now);
			break;
		default: {
			const unsigned access = (const unsigned[]){R, W, X}[next_random() % 3] |
						(next_random() % 2 ? U : 0);
			struct umbra_resolution what = touch(&kit, gva, access);

			outcomes[what.verdict]++;
			/* RETRY must not go on. */
			for (unsigned i = 0; what.verdict == UMBRA_RETRY; i++) {
				assert_true(i < 4);
				what = touch(&kit, gva, access);
			}
			if (what.verdict == UMBRA_RESUME)
				leaf_is_true(&kit, gva);
		}
		}
		if (step % 8 == 0)
			assert_clean(&kit);
	}
	assert_true(outcomes[UMBRA_RESUME] > steps / 400);
	assert_true(outcomes[UMBRA_INJECT] > steps / 100);
	assert_true(outcomes[UMBRA_EMULATE] > 0);
	kit_close(&kit);
}

static void o5_random_guests(void **unused)
{
	struct umbra_regs la57 = long_mode;

	(void)unused;
	la57.cr4 |= UMBRA_CR4_LA57;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		random_guest(&mode_32, seed, 4000);
		random_guest(&pae_mode, seed + 10, 4000);
		random_guest(&long_mode, seed + 20, 4000);
		random_guest(&la57, seed + 30, 4000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(s6_only_the_wanted_child),
		cmocka_unit_test(s7_o5_no_frame_in_place),
		cmocka_unit_test(s41_protects_every_mapping),
		cmocka_unit_test(s40_large_mapping_of_a_table),
		cmocka_unit_test(s40_table_made_on_the_way),
		cmocka_unit_test(words_are_given_back),
		cmocka_unit_test(descriptors_are_used_again),
		cmocka_unit_test(s42_write_sizes),
		cmocka_unit_test(s42_an_exchange_is_a_write),
		cmocka_unit_test(exchange_of_what_cannot_be),
		cmocka_unit_test(s42_crossing_pages),
		cmocka_unit_test(a10_quadrants),
		cmocka_unit_test(g38_dirty),
		cmocka_unit_test(g48_a11_two_states),
		cmocka_unit_test(g48_emulate_with_smap_or_keys),
		cmocka_unit_test(g48_write_disabled_key),
		cmocka_unit_test(h53_keys),
		cmocka_unit_test(h54_shadow_stack),
		cmocka_unit_test(h52_shadow_stack_without_paging),
		cmocka_unit_test(r33_pae_registers),
		cmocka_unit_test(r33_pae_memory),
		cmocka_unit_test(cr3_switching_reuses),
		cmocka_unit_test(h7_lam_and_o11),
		cmocka_unit_test(sizes_of_pages),
		cmocka_unit_test(self_mapped_tables),
		cmocka_unit_test(table_freed_and_reused),
		cmocka_unit_test(g36_tables_in_rom),
		cmocka_unit_test(g30_table_outside_memory),
		cmocka_unit_test(aliasing_slots),
		cmocka_unit_test(o5_random_guests),
	};

	return cmocka_run_group_tests_name("shadow", tests, NULL, NULL);
}
