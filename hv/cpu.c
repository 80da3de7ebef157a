/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - what CPUID says, in the library's words.
 *
 * The table has a row for each feature of umbra/types.h that a CPU with SVM can have.
 * What CPUID does not name comes last: AMD reads PDPTEs of nested guests in the walk
 * (H-22), checks bit 8 of PML4 entries (H-30) and walks again before a #PF (H-120).
 */
#include "hv/cpu.h"

enum word { LEAF1_EDX, LEAF1_ECX, LEAF7_EBX, LEAF7_ECX, EXTENDED_EDX, SVM_EDX, WORDS };

static const struct {
	uint8_t word, bit;
	uint32_t feature;
} features[] = {
	{LEAF1_EDX, 3, UMBRA_CPU_PSE},    {LEAF1_EDX, 6, UMBRA_CPU_PAE},
	{LEAF1_EDX, 13, UMBRA_CPU_PGE},   {LEAF1_EDX, 16, UMBRA_CPU_PAT},
	{LEAF1_EDX, 17, UMBRA_CPU_PSE36}, {LEAF1_ECX, 17, UMBRA_CPU_PCID},
	{LEAF7_EBX, 7, UMBRA_CPU_SMEP},   {LEAF7_EBX, 20, UMBRA_CPU_SMAP},
	{LEAF7_ECX, 3, UMBRA_CPU_PKU},    {LEAF7_ECX, 7, UMBRA_CPU_SHSTK},
	{LEAF7_ECX, 16, UMBRA_CPU_LA57},  {EXTENDED_EDX, 20, UMBRA_CPU_NX},
	{EXTENDED_EDX, 26, UMBRA_CPU_1G}, {EXTENDED_EDX, 29, UMBRA_CPU_LM},
	{SVM_EDX, 17, UMBRA_CPU_GMET},    {SVM_EDX, 21, UMBRA_CPU_ROGPT},
};

static void detect_svm(struct cpu *cpu, uint32_t *svm_edx)
{
	struct cpu_leaf leaf;

	cpu->svm = cpu_id(0x80000001, 0).ecx >> 2 & 1;
	if (!cpu->svm || cpu->max_extended_leaf < 0x8000000a)
		return;
	cpu->svm_disabled = cpu_read_msr(CPU_MSR_VM_CR) >> 4 & 1; /* SVMDIS */
	leaf = cpu_id(0x8000000a, 0);
	*svm_edx = leaf.edx;
	cpu->npt = leaf.edx & 1;
	cpu->next_rip = leaf.edx >> 3 & 1;
	cpu->flush_by_asid = leaf.edx >> 6 & 1;
	cpu->asids = leaf.ebx;
}

void cpu_detect(struct cpu *cpu)
{
	uint32_t words[WORDS] = {0};
	struct cpu_leaf leaf;

	*cpu = (struct cpu){.mmu = {.vendor = UMBRA_VENDOR_AMD, .maxphyaddr = 36}};
	cpu->max_leaf = cpu_id(0, 0).eax;
	cpu->max_extended_leaf = cpu_id(0x80000000, 0).eax;
	leaf = cpu_id(1, 0);
	words[LEAF1_EDX] = leaf.edx;
	words[LEAF1_ECX] = leaf.ecx;
	cpu->processors = leaf.edx >> 28 & 1 ? leaf.ebx >> 16 & 0xff : 1;
	if (cpu->max_leaf >= 7) {
		leaf = cpu_id(7, 0);
		words[LEAF7_EBX] = leaf.ebx;
		words[LEAF7_ECX] = leaf.ecx;
	}
	words[EXTENDED_EDX] = cpu_id(0x80000001, 0).edx;
	if (cpu->max_extended_leaf >= 0x80000008)
		cpu->mmu.maxphyaddr = (uint8_t)cpu_id(0x80000008, 0).eax;
	leaf = cpu_id(0x40000000, 0); /* "TCGTCGTCGTCG" */
	cpu->tcg = leaf.ebx == 0x54474354 && leaf.ecx == 0x43544743 && leaf.edx == 0x47435447;
	detect_svm(cpu, &words[SVM_EDX]);
	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (words[features[i].word] >> features[i].bit & 1)
			cpu->mmu.features |= features[i].feature;
	cpu->mmu.features |= UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK;
	if (!CPU_LONG_MODE)
		cpu->mmu.features &=
			~(UMBRA_CPU_LM | UMBRA_CPU_LA57 | UMBRA_CPU_1G | UMBRA_CPU_PCID);
}
