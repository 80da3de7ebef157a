/* SPDX-License-Identifier: MIT */
/*
 * msr.c - model-specific registers.
 *
 * Reads go to the CPU, but for EFER and SVM's own. Writes go there only for what is in
 * `direct`: registers that the hypervisor does not use and that cannot move memory, or
 * devices, under it. Other writes are #GP as for registers that are not there; those of
 * C001xxxx, which firmware sets up and kernels tune, are ignored.
 *
 * The permission map has two bits for each of 3 x 8192 registers (APM 2 15.11): read,
 * write. Registers that it does not cover always exit.
 */
#include "hv/system.h"
#include "hv/paging.h"
#include "hv/vcpu.h"

#define MSR_SYSTEM_FIRST 0xc0010000u
#define MSR_SYSTEM_LAST 0xc001ffffu
#define MSR_SVM_FIRST 0xc0010114u /* VM_CR, IGNNE, SMM_CTL, VM_HSAVE_PA, SVM_KEY ... */
#define MSR_SVM_LAST 0xc001011bu
#define APIC_BASE_ENABLE (1ull << 11)
#define EFER_SCE (1ull << 0)
#define EFER_FFXSR (1ull << 14)

static uint8_t map[0x2000] __attribute__((aligned(4096)));

static const struct {
	uint32_t first, last;
} direct[] = {
	{0x10, 0x10}, /* TSC */
	{0x3b, 0x3b}, /* TSC_ADJUST */
	{0x48, 0x49}, /* SPEC_CTRL, PRED_CMD */
	{0x8b, 0x8b}, /* PATCH_LEVEL: Intel's way to ask for it writes 0 */
	{0x174, 0x176}, /* SYSENTER */
	{0x179, 0x17b}, /* MCG */
	{0x1a0, 0x1a0}, /* MISC_ENABLE */
	{0x1d9, 0x1d9}, /* DEBUGCTL */
	{0x200, 0x20f}, /* MTRRs */
	{0x250, 0x26f}, /* fixed MTRRs */
	{0x277, 0x277}, /* PAT; with nested paging the VMCB's */
	{0x2ff, 0x2ff}, /* MTRR default */
	{0x400, 0x47f}, /* machine check banks */
	{0x6e0, 0x6e0}, /* TSC deadline */
	{0xda0, 0xda0}, /* XSS */
	{0xc0000081, 0xc0000084}, /* STAR, LSTAR, CSTAR, SFMASK */
	{0xc0000100, 0xc0000103}, /* FS, GS, kernel GS, TSC_AUX */
};

static void set_bit(uint32_t msr, unsigned write, bool on)
{
	uint32_t index = msr & 0x1fff;
	unsigned bit = 2 * index + write;

	if (msr >= 0xc0010000)
		bit += 0x1000 * 8;
	else if (msr >= 0xc0000000)
		bit += 0x800 * 8;
	if (on)
		map[bit / 8] |= 1u << bit % 8;
	else
		map[bit / 8] &= ~(1u << bit % 8);
}

uint64_t msr_permissions(void)
{
	for (unsigned i = 0; i < sizeof(map); i++)
		map[i] = 0xaa;
	for (unsigned i = 0; i < sizeof(direct) / sizeof(direct[0]); i++)
		for (uint32_t msr = direct[i].first; msr <= direct[i].last; msr++)
			set_bit(msr, 1, false);
	for (uint32_t msr = MSR_SVM_FIRST; msr <= MSR_SVM_LAST; msr++)
		set_bit(msr, 0, true);
	set_bit(CPU_MSR_EFER, 0, true);
	return paging_physical(map);
}

static bool write_efer(struct vcpu *vcpu, uint64_t value)
{
	struct umbra_regs regs = cr_regs(vcpu);
	uint64_t allowed = EFER_SCE | UMBRA_EFER_LMA;

	if (vcpu->shown.features & UMBRA_CPU_NX)
		allowed |= UMBRA_EFER_NXE;
	if (vcpu->shown.features & UMBRA_CPU_LM)
		allowed |= UMBRA_EFER_LME;
	if (cpu_id(0x80000001, 0).edx >> 25 & 1)
		allowed |= EFER_FFXSR;
	if (value & ~allowed)
		return false;
	if ((value ^ regs.efer) & UMBRA_EFER_LME && regs.cr0 & UMBRA_CR0_PG)
		return false;
	regs.efer = (value & ~UMBRA_EFER_LMA) | (regs.efer & UMBRA_EFER_LMA);
	return cr_set(vcpu, &regs);
}

static bool write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr == CPU_MSR_EFER)
		return write_efer(vcpu, value);
	if (msr == CPU_MSR_APIC_BASE) {
		/* It stays where it is: elsewhere it might hide the hypervisor's memory. */
		uint64_t now = cpu_read_msr(CPU_MSR_APIC_BASE);

		if ((value ^ now) & ~APIC_BASE_ENABLE)
			return false;
		cpu_write_msr(CPU_MSR_APIC_BASE, value);
		return true;
	}
	if (msr >= MSR_SVM_FIRST && msr <= MSR_SVM_LAST)
		return false;
	return msr >= MSR_SYSTEM_FIRST && msr <= MSR_SYSTEM_LAST;
}

void msr_exit(struct vcpu *vcpu)
{
	uint32_t msr = (uint32_t)vcpu->gprs.r[1];
	bool done;

	if (vcpu->vmcb->exit_info_1 & 1) {
		uint64_t value = vcpu->gprs.r[2] << 32 | (uint32_t)vcpu->vmcb->rax;

		done = write(vcpu, msr, value);
	} else {
		done = msr == CPU_MSR_EFER;
		if (done) {
			uint64_t efer = cr_regs(vcpu).efer;

			vcpu->vmcb->rax = (uint32_t)efer;
			vcpu->gprs.r[2] = efer >> 32;
		}
	}
	if (!done)
		inject_gp(vcpu);
	else
		vcpu_skip(vcpu, system_length(vcpu, vcpu->vmcb->exit_info_1 & 1 ? 0x30 : 0x32));
}
