/* SPDX-License-Identifier: MIT */
/*
 * complete.c - instructions that may not run by themselves, carried out for the guest.
 *
 *	VMCB, registers -> struct emulate_cpu -> emulate_step() -> back
 *	                       linear address -> umbra_vcpu_translate() -> umbra_vm_read, _write
 *
 * umbra_vm_write() is what tells the library that a page table has changed. One CPU: what
 * is to be atomic is.
 */
#include "hv/complete.h"
#include "hv/emulate.h"
#include "hv/text.h"

#define PAGE 4096u

/* ---- memory by linear address ---- */

/* An access as at most two pieces of guest-physical memory. */
struct pieces {
	umbra_gpa gpa[2];
	unsigned bytes[2];
};

static enum emulate_end fault_of(struct vcpu *vcpu, const struct umbra_event *event,
				 struct emulate_fault *fault)
{
	if (event->kind == UMBRA_EVENT_PF) {
		*fault = (struct emulate_fault){VECTOR_PF, true, (uint32_t)event->code,
						event->gva.v};
		umbra_vcpu_invlpg(vcpu->mmu, event->gva);
	} else {
		*fault = (struct emulate_fault){.vector = VECTOR_GP, .has_code = true};
	}
	return EMULATE_FAULT;
}

static enum emulate_end translate(struct vcpu *vcpu, const struct emulate_access *at,
				  struct pieces *pieces, struct emulate_fault *fault)
{
	unsigned rest = PAGE - (unsigned)(at->linear & (PAGE - 1));
	uint64_t linear = at->linear;

	pieces->bytes[0] = at->count < rest ? at->count : rest;
	pieces->bytes[1] = at->count - pieces->bytes[0];
	for (unsigned i = 0; i < 2 && pieces->bytes[i]; i++) {
		struct umbra_translation where;

		if (umbra_vcpu_translate(vcpu->mmu, (umbra_gva){linear}, at->access, true, &where))
			return EMULATE_CANNOT;
		if (where.event.kind != UMBRA_EVENT_NONE)
			return fault_of(vcpu, &where.event, fault);
		pieces->gpa[i] = where.gpa;
		linear += pieces->bytes[i];
	}
	return EMULATE_DONE;
}

static enum emulate_end get(struct vcpu *vcpu, const struct pieces *pieces, uint8_t *bytes)
{
	for (unsigned i = 0; i < 2 && pieces->bytes[i]; i++) {
		if (umbra_vm_read(vcpu->vm, pieces->gpa[i], bytes, pieces->bytes[i]))
			return EMULATE_CANNOT;
		bytes += pieces->bytes[i];
	}
	return EMULATE_DONE;
}

static enum emulate_end put(struct vcpu *vcpu, const struct pieces *pieces, const uint8_t *bytes)
{
	/* Both pages or none: the second is only written if it is memory. */
	for (unsigned i = 0; i < 2 && pieces->bytes[i]; i++)
		if (!memory_is_ram(vcpu->memory, pieces->gpa[i].v,
				   pieces->gpa[i].v + pieces->bytes[i]))
			return EMULATE_CANNOT;
	for (unsigned i = 0; i < 2 && pieces->bytes[i]; i++) {
		if (umbra_vm_write(vcpu->vm, pieces->gpa[i], bytes, pieces->bytes[i]))
			return EMULATE_CANNOT;
		bytes += pieces->bytes[i];
	}
	return EMULATE_DONE;
}

static enum emulate_end read(void *context, const struct emulate_access *at, void *bytes,
			     struct emulate_fault *fault)
{
	struct pieces pieces;
	enum emulate_end end = translate(context, at, &pieces, fault);

	return end == EMULATE_DONE ? get(context, &pieces, bytes) : end;
}

static enum emulate_end write(void *context, const struct emulate_access *at, const void *bytes,
			      struct emulate_fault *fault)
{
	struct pieces pieces;
	enum emulate_end end = translate(context, at, &pieces, fault);

	return end == EMULATE_DONE ? put(context, &pieces, bytes) : end;
}

static enum emulate_end exchange(void *context, const struct emulate_access *at,
				 const void *const bytes[2], struct emulate_fault *fault)
{
	uint8_t now[16] = {0};
	struct pieces pieces;
	enum emulate_end end = translate(context, at, &pieces, fault);

	if (end == EMULATE_DONE)
		end = get(context, &pieces, now);
	if (end != EMULATE_DONE)
		return end;
	for (unsigned i = 0; i < at->count; i++)
		if (now[i] != ((const uint8_t *)bytes[0])[i])
			return EMULATE_RETRY;
	return put(context, &pieces, bytes[1]);
}

static const struct emulate_ops ops = {read, write, exchange};

/* ---- registers ---- */

/* A VMCB has AVL, L, D and G right above P, and an unusable segment without P. */
static struct emulate_segment segment(const struct vmcb_segment *s)
{
	return (struct emulate_segment){
		.base = s->base,
		.limit = s->limit,
		.attributes = (s->attributes & 0xffu) | (s->attributes & 0xf00u) << 4,
	};
}

static void take(struct vcpu *vcpu, struct emulate_cpu *cpu)
{
	struct vmcb *v = vcpu->vmcb;
	const struct umbra_regs regs = cr_regs(vcpu);

	/* FS and GS are in the CPU, where VMRUN leaves them. */
	__asm__ volatile("vmsave %0" : : "a"((unsigned long)vcpu->vmcb_physical) : "memory");
	for (unsigned i = 0; i < 16; i++)
		cpu->gpr[i] = *vcpu_reg(vcpu, i);
	cpu->rip = v->rip;
	cpu->rflags = v->rflags;
	cpu->segment[INSN_ES] = segment(&v->es);
	cpu->segment[INSN_CS] = segment(&v->cs);
	cpu->segment[INSN_SS] = segment(&v->ss);
	cpu->segment[INSN_DS] = segment(&v->ds);
	cpu->segment[INSN_FS] = segment(&v->fs);
	cpu->segment[INSN_GS] = segment(&v->gs);
	cpu->cr0 = regs.cr0;
	cpu->cr3 = regs.cr3;
	cpu->cr4 = regs.cr4;
	cpu->efer = regs.efer;
	cpu->cpl = v->cpl;
}

static void give(struct vcpu *vcpu, const struct emulate_cpu *cpu)
{
	bool past = cpu->rip != vcpu->vmcb->rip;

	for (unsigned i = 0; i < 16; i++)
		*vcpu_reg(vcpu, i) = cpu->gpr[i];
	vcpu->vmcb->rip = cpu->rip;
	vcpu->vmcb->rflags = cpu->rflags;
	if (past)
		vcpu_skip(vcpu, 0);
}

bool complete_instruction(struct vcpu *vcpu)
{
	struct emulate_cpu cpu;
	struct emulate_fault fault;

	/* Not an instruction's doing, but that of an event on its way. */
	if (vcpu->vmcb->exit_event & VMCB_EVENT_VALID)
		return false;
	take(vcpu, &cpu);
	switch (emulate_step(&cpu, &ops, vcpu, &fault)) {
	case EMULATE_DONE: give(vcpu, &cpu); return true;
	case EMULATE_FAULT:
		give(vcpu, &cpu);
		if (fault.vector == VECTOR_PF)
			vcpu->vmcb->cr2 = fault.address;
		inject_fault(vcpu, fault.vector, fault.has_code, fault.code);
		return true;
	case EMULATE_RETRY: return true;
	default: return false;
	}
}
