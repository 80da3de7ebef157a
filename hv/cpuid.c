/* SPDX-License-Identifier: MIT */
/*
 * cpuid.c - the CPU that the guest is shown: this one, less what it cannot have.
 *
 * No SVM, no x2APIC (its ID would be another), no shadow stacks; without nested paging no
 * PCID and INVPCID, which the tables of the hypervisor would not follow. On a 32-bit host no
 * long mode.
 */
#include "hv/hypercall.h"
#include "hv/system.h"
#include "hv/vcpu.h"

#define HIDDEN_1_ECX (1u << 5 | 1u << 21) /* VMX, x2APIC */
#define PCID (1u << 17)
#define OSXSAVE (1u << 27)
#define INVPCID (1u << 10)
#define HIDDEN_7_ECX (1u << 7) /* SHSTK */
#define HIDDEN_7_EDX (1u << 20) /* IBT */
#define OSPKE (1u << 4)
/* A 32-bit host's guests have no long mode, and what is only there in it. */
#define LONG_7_ECX (1u << 16) /* LA57 */
#define LONG_EXTENDED_EDX (1u << 26 | 1u << 29) /* 1G pages, long mode */
#define HIDDEN_EXTENDED_ECX (1u << 2 | 1u << 12) /* SVM, SKINIT */
#define CR4_OSXSAVE (1ull << 18)

/* CR4 bits and where CPUID says that they are there: word of the table, bit. */
enum word { NO_WORD, LEAF1_EDX, LEAF1_ECX, LEAF7_EBX, LEAF7_ECX, WORDS };
static const struct {
	uint8_t bit, word, flag;
} cr4_table[] = {
	{0, LEAF1_EDX, 1},   {1, LEAF1_EDX, 1},   {2, LEAF1_EDX, 4},   {3, LEAF1_EDX, 2},
	{4, LEAF1_EDX, 3},   {5, LEAF1_EDX, 6},   {6, LEAF1_EDX, 7},   {7, LEAF1_EDX, 13},
	{9, LEAF1_EDX, 24},  {10, LEAF1_EDX, 25}, {11, LEAF7_ECX, 2},  {12, LEAF7_ECX, 16},
	{16, LEAF7_EBX, 0},  {17, LEAF1_ECX, 17}, {18, LEAF1_ECX, 26}, {20, LEAF7_EBX, 7},
	{21, LEAF7_EBX, 20}, {22, LEAF7_ECX, 3},
};
#define CR4_PCE (1ull << 8)

static struct cpu_leaf shown_leaf(const struct vcpu *vcpu, uint32_t number, uint32_t index)
{
	struct cpu_leaf leaf = cpu_id(number, index);
	bool no_pcid = vcpu->options->shadow || !CPU_LONG_MODE;

	switch (number) {
	case 1: leaf.ecx &= ~(HIDDEN_1_ECX | (no_pcid ? PCID : 0)); break;
	case 7:
		if (index == 0) {
			leaf.ebx &= ~(no_pcid ? INVPCID : 0);
			leaf.ecx &= ~(HIDDEN_7_ECX | (CPU_LONG_MODE ? 0 : LONG_7_ECX));
			leaf.edx &= ~HIDDEN_7_EDX;
		}
		break;
	case 0x80000001:
		leaf.ecx &= ~HIDDEN_EXTENDED_ECX;
		leaf.edx &= ~(CPU_LONG_MODE ? 0 : LONG_EXTENDED_EDX);
		break;
	case 0x8000000a: leaf = (struct cpu_leaf){0}; break;
	case HYPERCALL_LEAF:
		if (vcpu->options->hypercalls)
			leaf = (struct cpu_leaf){HYPERCALL_MAGIC, HYPERCALL_MAGIC, HYPERCALL_MAGIC,
						 HYPERCALL_MAGIC};
		break;
	default: break;
	}
	return leaf;
}

void cpuid_show(struct vcpu *vcpu)
{
	uint32_t words[WORDS] = {0};
	struct cpu_leaf leaf = shown_leaf(vcpu, 1, 0);

	words[LEAF1_EDX] = leaf.edx;
	words[LEAF1_ECX] = leaf.ecx;
	if (vcpu->cpu->max_leaf >= 7) {
		leaf = shown_leaf(vcpu, 7, 0);
		words[LEAF7_EBX] = leaf.ebx;
		words[LEAF7_ECX] = leaf.ecx;
	}
	vcpu->cr4_bits = CR4_PCE;
	for (unsigned i = 0; i < sizeof(cr4_table) / sizeof(cr4_table[0]); i++)
		if (words[cr4_table[i].word] >> cr4_table[i].flag & 1)
			vcpu->cr4_bits |= 1ull << cr4_table[i].bit;
	vcpu->shown = vcpu->cpu->mmu;
	vcpu->shown.features &= ~(UMBRA_CPU_SHSTK | UMBRA_CPU_GMET | UMBRA_CPU_ROGPT);
	if (vcpu->options->shadow)
		vcpu->shown.features &= ~UMBRA_CPU_PCID;
}

void cpuid_exit(struct vcpu *vcpu)
{
	uint32_t number = (uint32_t)vcpu->vmcb->rax;
	struct cpu_leaf leaf = shown_leaf(vcpu, number, (uint32_t)vcpu->gprs.r[1]);

	/* These two repeat bits of CR4: the guest's, not the hypervisor's. */
	if (number == 1) {
		leaf.ecx &= ~OSXSAVE;
		leaf.ecx |= vcpu->vmcb->cr4 & CR4_OSXSAVE ? OSXSAVE : 0;
	} else if (number == 7) {
		leaf.ecx &= ~OSPKE;
		leaf.ecx |= cr_regs(vcpu).cr4 & UMBRA_CR4_PKE ? OSPKE : 0;
	}
	vcpu->vmcb->rax = leaf.eax;
	vcpu->gprs.r[3] = leaf.ebx;
	vcpu->gprs.r[1] = leaf.ecx;
	vcpu->gprs.r[2] = leaf.edx;
	vcpu_skip(vcpu, system_length(vcpu, 0xa2));
}
