/* SPDX-License-Identifier: MIT */
/*
 * test_vcpu.c - registers: what a guest may load, and what hardware runs with.
 */
#include "tests/unit/guest.h"

#define PML4 0x1000ull

static const struct umbra_regs long_mode = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
	.cr3 = PML4,
	.cr4 = UMBRA_CR4_PAE,
	.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
};

static enum umbra_status set(struct kit *kit, const struct umbra_regs *regs)
{
	return umbra_vcpu_set_regs(kit->vcpu, regs, false);
}

/* H-13: each CR4 bit needs its own CPUID feature, and nothing else. */
static void h13_cr4_bits(void **unused)
{
	static const struct {
		uint64_t bit;
		uint32_t feature;
	} rows[] = {
		{UMBRA_CR4_PSE, UMBRA_CPU_PSE},   {UMBRA_CR4_PGE, UMBRA_CPU_PGE},
		{UMBRA_CR4_LA57, UMBRA_CPU_LA57}, {UMBRA_CR4_PCIDE, UMBRA_CPU_PCID},
		{UMBRA_CR4_SMEP, UMBRA_CPU_SMEP}, {UMBRA_CR4_SMAP, UMBRA_CPU_SMAP},
		{UMBRA_CR4_PKE, UMBRA_CPU_PKU},   {UMBRA_CR4_CET, UMBRA_CPU_SHSTK},
		{UMBRA_CR4_PKS, UMBRA_CPU_PKS},   {UMBRA_CR4_LAM_SUP, UMBRA_CPU_LAM},
	};
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct umbra_cpu cpu = intel_cpu();
		struct umbra_regs regs = long_mode;

		regs.cr4 |= rows[i].bit;
		cpu.features &= ~rows[i].feature;
		umbra_vcpu_destroy(kit.vcpu);
		assert_int_equal(umbra_vcpu_create(kit.vm, &cpu, &kit.vcpu), UMBRA_OK);
		assert_int_equal(set(&kit, &long_mode), UMBRA_OK);
		assert_int_equal(set(&kit, &regs), UMBRA_EINVAL);
		cpu.features |= rows[i].feature;
		umbra_vcpu_destroy(kit.vcpu);
		assert_int_equal(umbra_vcpu_create(kit.vm, &cpu, &kit.vcpu), UMBRA_OK);
		assert_int_equal(set(&kit, &regs), UMBRA_OK);
	}
	kit_close(&kit);
}

/* EFER bits need their features too; CR3 is checked only in long mode. */
static void h14_efer_and_cr3(void **unused)
{
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct umbra_regs regs = long_mode;
	struct umbra_cpu cpu = intel_cpu();
	struct kit kit;

	(void)unused;
	kit_host(&kit, 1);
	kit_vm(&kit, &config);
	regs.cr3 = (1ull << 46) - UMBRA_PAGE_SIZE;
	assert_int_equal(set(&kit, &regs), UMBRA_OK);
	regs.cr3 = 1ull << 46;
	assert_int_equal(set(&kit, &regs), UMBRA_EINVAL);
	/* LAM: bits 61 and 62 are allowed, 60 and 63 are not. */
	regs.cr3 = PML4 | 3ull << 61;
	assert_int_equal(set(&kit, &regs), UMBRA_OK);
	regs.cr3 = PML4 | 1ull << 60;
	assert_int_equal(set(&kit, &regs), UMBRA_EINVAL);
	regs.cr3 = PML4 | 1ull << 63;
	assert_int_equal(set(&kit, &regs), UMBRA_EINVAL);

	cpu.features &= ~(UMBRA_CPU_LAM | UMBRA_CPU_NX);
	umbra_vcpu_destroy(kit.vcpu);
	assert_int_equal(umbra_vcpu_create(kit.vm, &cpu, &kit.vcpu), UMBRA_OK);
	regs.cr3 = PML4;
	assert_int_equal(set(&kit, &regs), UMBRA_EINVAL); /* NXE */
	regs.efer &= ~UMBRA_EFER_NXE;
	assert_int_equal(set(&kit, &regs), UMBRA_OK);
	for (unsigned bit = 61; bit <= 62; bit++) {
		regs.cr3 = PML4 | 1ull << bit;
		assert_int_equal(set(&kit, &regs), UMBRA_EINVAL);
	}
	cpu.features &= ~UMBRA_CPU_LM;
	umbra_vcpu_destroy(kit.vcpu);
	assert_int_equal(umbra_vcpu_create(kit.vm, &cpu, &kit.vcpu), UMBRA_OK);
	regs.cr3 = PML4;
	assert_int_equal(set(&kit, &regs), UMBRA_EINVAL); /* LMA */
	regs = (struct umbra_regs){.efer = UMBRA_EFER_LME};
	assert_int_equal(set(&kit, &regs), UMBRA_EINVAL);
	regs.efer = 0;
	assert_int_equal(set(&kit, &regs), UMBRA_OK);
	kit_close(&kit);
}

/* G-49: shadow tables are PAE or long-mode tables, walked with WP and NX. */
static void g49_hardware_registers(void **unused)
{
	const uint64_t pg = UMBRA_CR0_PE | UMBRA_CR0_PG;
	const uint64_t checks = UMBRA_CR4_SMEP | UMBRA_CR4_SMAP | UMBRA_CR4_PKE | UMBRA_CR4_PKS;
	const struct {
		struct umbra_regs regs;
		uint64_t cr4, efer;
	} rows[] = {
		/* Without paging nothing is checked; LME alone does not make long mode. */
		{{.cr4 = checks | UMBRA_CR4_LA57, .efer = UMBRA_EFER_LME},
		 UMBRA_CR4_PAE,
		 UMBRA_EFER_NXE},
		/* CET is more than a check. */
		{{.cr0 = UMBRA_CR0_PE | UMBRA_CR0_WP, .cr4 = checks | UMBRA_CR4_CET},
		 UMBRA_CR4_PAE | UMBRA_CR4_CET,
		 UMBRA_EFER_NXE},
		{{.cr0 = pg, .cr4 = checks | UMBRA_CR4_LA57},
		 checks | UMBRA_CR4_PAE,
		 UMBRA_EFER_NXE},
		{{.cr0 = pg,
		  .cr4 = checks | UMBRA_CR4_PAE | UMBRA_CR4_PCIDE,
		  .efer = UMBRA_EFER_LME | UMBRA_EFER_LMA},
		 checks | UMBRA_CR4_PAE,
		 UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE},
		{{.cr0 = pg,
		  .cr4 = UMBRA_CR4_PAE | UMBRA_CR4_LA57,
		  .efer = UMBRA_EFER_LME | UMBRA_EFER_LMA},
		 UMBRA_CR4_PAE | UMBRA_CR4_LA57,
		 UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE},
	};
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct umbra_root root;

		assert_int_equal(set(&kit, &rows[i].regs), UMBRA_OK);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		assert_int_equal(root.regs.cr0 & (pg | UMBRA_CR0_WP), pg | UMBRA_CR0_WP);
		assert_int_equal(root.regs.cr3, root.pointer);
		assert_int_equal(root.regs.cr4, rows[i].cr4);
		assert_int_equal(root.regs.efer, rows[i].efer);
		assert_int_equal(root.host.cr0 | root.host.cr4 | root.host.efer, 0);
	}
	kit_close(&kit);
}

/* H-91: the host's registers at VMRUN say what nested tables look like. */
static void h91_nested_host(void **unused)
{
	for (unsigned levels = 3; levels <= 5; levels++) {
		struct umbra_vm_config config = kit_config(UMBRA_PAGING_NPT);
		struct umbra_root root;
		struct kit kit;

		(void)unused;
		config.levels = levels;
		kit_open(&kit, &config, 1);
		assert_int_equal(set(&kit, &long_mode), UMBRA_OK);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		assert_memory_equal(&root.regs, &long_mode, sizeof(long_mode));
		/* H-31: in PAE format 62:52 are the hardware's. */
		assert_int_equal(kit.vm->mmu.kind.pae, levels == 3);
		assert_int_equal(root.host.cr0, UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP);
		assert_int_equal(root.host.cr4, UMBRA_CR4_PAE | (levels == 5 ? UMBRA_CR4_LA57 : 0));
		assert_int_equal(root.host.efer,
				 UMBRA_EFER_NXE |
					 (levels > 3 ? UMBRA_EFER_LME | UMBRA_EFER_LMA : 0));
		kit_close(&kit);
	}
}

/* H-132: INVPCID refuses what is not canonical, and only long mode has such addresses. */
static void h132_invpcid(void **unused)
{
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	const struct umbra_regs flat = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG};
	const umbra_gva odd = {1ull << 47};
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	assert_int_equal(set(&kit, &long_mode), UMBRA_OK);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 0, 0, odd), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 1, 0, odd), UMBRA_OK);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 0, 0, (umbra_gva){-1ull << 47}), UMBRA_OK);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 4, 0, (umbra_gva){0}), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 2, 4096, (umbra_gva){0}), UMBRA_EINVAL);
	for (unsigned type = 0; type < 4; type++)
		assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, type, 5, (umbra_gva){0}),
				 type < 2 ? UMBRA_EINVAL : UMBRA_OK);
	assert_int_equal(set(&kit, &flat), UMBRA_OK);
	assert_int_equal(umbra_vcpu_invpcid(kit.vcpu, 0, 0, odd), UMBRA_OK);
	kit_close(&kit);
}

/*
 * One page is page table of a PAE guest, and of a 32-bit guest on another vCPU. A of an odd
 * 4-byte entry (H-33) is bit 37 of an 8-byte one: it leads to another frame from then on.
 */
static void h33_a_of_another_format(void **unused)
{
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	const uint64_t before = 7ull << 32 | 0x6000, after = 0x27ull << 32 | 0x6000;
	const struct umbra_regs pae = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG, .cr3 = 0x1000, .cr4 = UMBRA_CR4_PAE};
	const struct umbra_regs two = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG, .cr3 = 0x8000};
	struct umbra_vcpu *first;
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	kit_open(&kit, &config, 1);
	assert_int_equal(kit_slot(&kit, 1, before, 4096, kit.hva.v + 0x20000, 0), UMBRA_OK);
	assert_int_equal(kit_slot(&kit, 2, after, 4096, kit.hva.v + 0x30000, 0), UMBRA_OK);
	put64(&kit, 0x1000, 0x2001);
	put64(&kit, 0x2000, 0x5027);
	put64(&kit, 0x5008, before | 0x27);
	put32(&kit, 0x8000, 0x5027);
	assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &pae, true), UMBRA_OK);
	resume(&kit, 0x1000, 0);
	assert_int_equal(entry_pfn(&kit.vm->mmu.kind, look(&kit, 0x1000).entry).v,
			 frame_of(0x20000));

	first = kit.vcpu;
	assert_int_equal(umbra_vcpu_create(kit.vm, &config.cpu, &kit.vcpu), UMBRA_OK);
	assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &two, false), UMBRA_OK);
	resume(&kit, 0x3000, 0);
	assert_int_equal(get64(&kit, 0x5008), after | 0x27);

	umbra_vcpu_destroy(kit.vcpu);
	kit.vcpu = first;
	umbra_vcpu_invlpg(kit.vcpu, (umbra_gva){0x1000});
	assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
	assert_false(look(&kit, 0x1000).leaf);
	resume(&kit, 0x1000, 0);
	assert_int_equal(entry_pfn(&kit.vm->mmu.kind, look(&kit, 0x1000).entry).v,
			 frame_of(0x30000));
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(h13_cr4_bits),           cmocka_unit_test(h14_efer_and_cr3),
		cmocka_unit_test(g49_hardware_registers), cmocka_unit_test(h91_nested_host),
		cmocka_unit_test(h132_invpcid),           cmocka_unit_test(h33_a_of_another_format),
	};

	return cmocka_run_group_tests_name("vcpu", tests, NULL, NULL);
}
