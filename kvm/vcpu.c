/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - a vCPU's registers as programs set and read them.
 *
 *	struct kvm_regs, struct kvm_sregs    all that the interface knows
 *	        |
 *	        `-> struct umbra_regs        what translation depends on: CR0, CR3, CR4, EFER,
 *	                                     PDPTEs
 *
 * KVM_SET_SREGS checks less than MOV CR does; what it lets through and no CPU could have is
 * kept from the library, which goes on with what it had: VM entry fails.
 *
 * Invariant: a vCPU belongs to its VM until that goes, whatever is closed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/parts.h"

#define RFLAGS_FIXED 2u
#define CR0_RESET 0x60000010u
#define CR0_BITS (UMBRA_CR0_PE | UMBRA_CR0_WP | UMBRA_CR0_NW | UMBRA_CR0_CD | UMBRA_CR0_PG)
#define CR4_BITS                                                                            \
	(UMBRA_CR4_PSE | UMBRA_CR4_PAE | UMBRA_CR4_PGE | UMBRA_CR4_LA57 | UMBRA_CR4_PCIDE | \
	 UMBRA_CR4_SMEP | UMBRA_CR4_SMAP | UMBRA_CR4_PKE | UMBRA_CR4_CET | UMBRA_CR4_PKS |  \
	 UMBRA_CR4_LAM_SUP)
#define EFER_BITS (UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE)

struct umbra_regs kvm_vcpu_paging(const struct kvm_sregs *sregs)
{
	return (struct umbra_regs){
		.cr0 = sregs->cr0 & CR0_BITS,
		.cr3 = sregs->cr3,
		.cr4 = sregs->cr4 & CR4_BITS,
		.efer = sregs->efer & EFER_BITS,
	};
}

bool kvm_vcpu_is_pae(const struct kvm_sregs *sregs)
{
	return sregs->cr0 & UMBRA_CR0_PG && sregs->cr4 & UMBRA_CR4_PAE &&
	       !(sregs->efer & UMBRA_EFER_LMA);
}

/* ---- birth and death ---- */

/* SDM 3A table 10-1. */
static void reset(struct kvm_vcpu *vcpu)
{
	const struct kvm_segment data = {
		.limit = 0xffff, .type = 3, .present = 1, .code_or_data = 1};
	struct kvm_sregs *s = &vcpu->sregs;

	s->ds = s->es = s->fs = s->gs = s->ss = s->cs = data;
	s->cs.selector = 0xf000;
	s->cs.base = 0xffff0000;
	s->cs.type = 11;
	s->tr = s->ldt = (struct kvm_segment){.limit = 0xffff, .type = 11, .present = 1};
	s->ldt.type = 2;
	s->gdt.limit = s->idt.limit = 0xffff;
	s->cr0 = CR0_RESET;
	s->apic_base = vcpu->id ? 0xfee00800 : 0xfee00900;
	vcpu->regs.rip = 0xfff0;
	vcpu->regs.rflags = RFLAGS_FIXED;
	vcpu->regs.rdx = 0x600;
}

static int64_t refused(struct kvm_vm *vm, uint64_t id)
{
	struct kvm_process *process = vm->process;

	if (id >= KVM_VCPU_IDS)
		return kvm_refuse(process, EINVAL, "vCPU ids end at %u", KVM_VCPU_IDS - 1);
	if (vm->vcpu_count >= KVM_VCPUS_MAX)
		return kvm_refuse(process, EINVAL, "a VM has at most %u vCPUs", KVM_VCPUS_MAX);
	for (const struct kvm_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		if (vcpu->id == id)
			return kvm_refuse(process, EEXIST, "there is a vCPU %" PRIu64, id);
	return 0;
}

int64_t kvm_vcpu_create(struct kvm_vm *vm, uint64_t id)
{
	struct kvm_process *process = vm->process;
	int64_t result = refused(vm, id);
	struct kvm_vcpu *vcpu;

	if (result)
		return result;
	vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return kvm_refuse(process, ENOMEM, "memory is short");
	vcpu->vm = vm;
	vcpu->id = (uint32_t)id;
	vcpu->cpu = kvm_cpuid_none(&process->config.vm.cpu);
	reset(vcpu);
	result = kvm_status(process, umbra_vcpu_create(vm->umbra, &vcpu->cpu, &vcpu->umbra));
	if (!result)
		result = kvm_fd_new(process,
				    &(struct kvm_file){.kind = KVM_VCPU, .vm = vm, .vcpu = vcpu});
	if (result < 0) {
		kvm_vcpu_free(vcpu);
		return result;
	}
	vcpu->next = vm->vcpus;
	vm->vcpus = vcpu;
	vm->vcpu_count++;
	return result;
}

void kvm_vcpu_free(struct kvm_vcpu *vcpu)
{
	umbra_vcpu_destroy(vcpu->umbra);
	free(vcpu->cpuid);
	free(vcpu);
}

enum umbra_status kvm_vcpu_renew(struct kvm_vcpu *vcpu, const struct umbra_cpu *cpu)
{
	const struct umbra_regs regs = *umbra_vcpu_regs(vcpu->umbra);
	struct umbra_vcpu *umbra;
	enum umbra_status status = umbra_vcpu_create(vcpu->vm->umbra, cpu, &umbra);

	if (status)
		return status;
	if (umbra_vcpu_set_regs(umbra, &regs, false)) {
		vcpu->impossible = true;
		kvm_tell(vcpu->vm->process, KVM_TOLD_STEP,
			 "the registers need what this CPU lacks: entry would fail");
	}
	umbra_vcpu_destroy(vcpu->umbra);
	vcpu->umbra = umbra;
	vcpu->cpu = *cpu;
	return UMBRA_OK;
}

/* ---- general registers ---- */

int64_t kvm_vcpu_get_regs(struct kvm_vcpu *vcpu, uint64_t arg)
{
	return kvm_copy_out(vcpu->vm->process, arg, &vcpu->regs, sizeof(vcpu->regs));
}

int64_t kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, uint64_t arg)
{
	struct kvm_regs regs;
	int64_t result = kvm_copy_in(vcpu->vm->process, arg, &regs, sizeof(regs));

	if (result)
		return result;
	regs.rflags |= RFLAGS_FIXED;
	vcpu->regs = regs;
	return 0;
}

/* ---- system registers ---- */

int64_t kvm_vcpu_get_sregs(struct kvm_vcpu *vcpu, uint64_t arg, bool version2)
{
	struct kvm_sregs sregs = vcpu->sregs;

	memset(sregs.interrupts, 0, sizeof(sregs.interrupts));
	if (version2 && kvm_vcpu_is_pae(&sregs)) {
		sregs.flags = KVM_SREGS2_PDPTES;
		memcpy(sregs.pdpte, umbra_vcpu_regs(vcpu->umbra)->pdpte, sizeof(sregs.pdpte));
	} else if (version2) {
		sregs.flags = 0;
	}
	return kvm_copy_out(vcpu->vm->process, arg, &sregs,
			    version2 ? sizeof(sregs) : KVM_SREGS_SIZE);
}

/* CR4 bits that the guest's CPUID must have; others are not checked. */
static bool cr4_ok(const struct umbra_cpu *cpu, uint64_t cr4)
{
	static const struct {
		uint64_t bit;
		uint32_t feature;
	} needs[] = {
		{UMBRA_CR4_LA57, UMBRA_CPU_LA57},   {UMBRA_CR4_PCIDE, UMBRA_CPU_PCID},
		{UMBRA_CR4_SMEP, UMBRA_CPU_SMEP},   {UMBRA_CR4_SMAP, UMBRA_CPU_SMAP},
		{UMBRA_CR4_PKE, UMBRA_CPU_PKU},     {UMBRA_CR4_CET, UMBRA_CPU_SHSTK},
		{UMBRA_CR4_LAM_SUP, UMBRA_CPU_LAM}, {UMBRA_CR4_PKS, UMBRA_CPU_PKS},
	};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (cr4 & needs[i].bit && !(cpu->features & needs[i].feature))
			return false;
	return !(cr4 >> 32);
}

/* What is wrong with @s, or NULL. */
static const char *sregs_wrong(const struct kvm_vcpu *vcpu, const struct kvm_sregs *s)
{
	const uint64_t cr3_bits = (1ull << vcpu->cpu.maxphyaddr) - 1;

	if (s->efer & UMBRA_EFER_LME && s->cr0 & UMBRA_CR0_PG) {
		if (!(s->cr4 & UMBRA_CR4_PAE) || !(s->efer & UMBRA_EFER_LMA))
			return "long mode needs CR4.PAE and EFER.LMA";
		if (s->cr3 & ~cr3_bits)
			return "CR3 has bits beyond the guest's MAXPHYADDR";
	} else if (s->efer & UMBRA_EFER_LMA || s->cs.long_mode) {
		return "EFER.LMA or CS.L without long mode";
	}
	if (!cr4_ok(&vcpu->cpu, s->cr4))
		return "CR4 has bits that the guest's CPUID lacks";
	if (s->cr0 >> 32)
		return "CR0 has bits above 31";
	if (s->cr0 & UMBRA_CR0_NW && !(s->cr0 & UMBRA_CR0_CD))
		return "CR0.NW without CD";
	if (s->cr0 & UMBRA_CR0_PG && !(s->cr0 & UMBRA_CR0_PE))
		return "CR0.PG without PE";
	return NULL;
}

static void to_library(struct kvm_vcpu *vcpu, const struct kvm_sregs *s, bool pdptes)
{
	struct kvm_process *process = vcpu->vm->process;
	struct umbra_regs regs = kvm_vcpu_paging(s);
	enum umbra_status status;

	if (pdptes)
		memcpy(regs.pdpte, s->pdpte, sizeof(regs.pdpte));
	status = umbra_vcpu_set_regs(vcpu->umbra, &regs, !pdptes);
	if (status && kvm_vcpu_is_pae(s) && !pdptes) {
		/* KVM goes on with PDPTEs that map nothing. */
		kvm_tell(process, KVM_TOLD_STEP, "PDPTEs at CR3 cannot be loaded: none is present");
		status = umbra_vcpu_set_regs(vcpu->umbra, &regs, false);
	}
	vcpu->impossible = status != UMBRA_OK;
	if (status)
		kvm_tell(process, KVM_TOLD_STEP, "no CPU has such registers: entry would fail");
}

int64_t kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, uint64_t arg, bool version2)
{
	struct kvm_process *process = vcpu->vm->process;
	struct kvm_sregs sregs = {0};
	int64_t result =
		kvm_copy_in(process, arg, &sregs, version2 ? sizeof(sregs) : KVM_SREGS_SIZE);
	const bool pdptes = version2 && sregs.flags & KVM_SREGS2_PDPTES;
	const char *wrong;

	if (result)
		return result;
	if (version2 && sregs.flags & ~(uint64_t)KVM_SREGS2_PDPTES)
		return kvm_refuse(process, EINVAL, "flags 0x%" PRIx64, sregs.flags);
	if (pdptes && !kvm_vcpu_is_pae(&sregs))
		return kvm_refuse(process, EINVAL, "PDPTEs without PAE paging");
	wrong = sregs_wrong(vcpu, &sregs);
	if (wrong)
		return kvm_refuse(process, EINVAL, "%s", wrong);
	to_library(vcpu, &sregs, pdptes);
	vcpu->sregs = sregs;
	return 0;
}

/* ---- translation ---- */

int64_t kvm_vcpu_translate(struct kvm_vcpu *vcpu, uint64_t arg)
{
	struct kvm_process *process = vcpu->vm->process;
	struct kvm_translation t;
	struct umbra_translation found = {.gpa = {0}};
	int64_t result = kvm_copy_in(process, arg, &t, sizeof(t));

	if (result)
		return result;
	/* A supervisor's read; writable and user are constants (as documented). */
	if (vcpu->sregs.cr0 & UMBRA_CR0_PG)
		result =
			kvm_status(process, umbra_vcpu_translate(vcpu->umbra, (umbra_gva){t.gva},
								 UMBRA_ACCESS_READ, false, &found));
	else
		found.gpa.v = t.gva;
	if (result)
		return result;
	t.valid = found.event.kind == UMBRA_EVENT_NONE;
	t.gpa = t.valid ? found.gpa.v : UINT64_MAX;
	t.writable = 1;
	t.user = 0;
	if (t.valid)
		kvm_tell(process, KVM_TOLD_STEP, "gva 0x%" PRIx64 " is gpa 0x%" PRIx64, t.gva,
			 t.gpa);
	else
		kvm_tell(process, KVM_TOLD_STEP, "gva 0x%" PRIx64 " is not mapped", t.gva);
	return kvm_copy_out(process, arg, &t, sizeof(t));
}
