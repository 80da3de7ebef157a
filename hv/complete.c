/* SPDX-License-Identifier: MIT */
/*
 * complete.c - instructions that may not run by themselves, carried out for the guest.
 *
 *	VMCB, registers -> struct emulate_cpu -> emulate_step() -> back
 *	                       memory: linear.c, as for any embedder
 *	                       ports:  io.c, which looks at what goes out
 *	                       CR0:    cr.c (LMSW)
 */
#include "hv/complete.h"
#include "hv/linear.h"
#include "hv/system.h"

/* The context of the calls: linear.c sees the first member. */
struct work {
	struct linear linear;
	struct vcpu *vcpu;
};

static enum emulate_end in(void *context, uint16_t port, unsigned bytes, uint32_t *value)
{
	(void)context;
	*value = io_in(port, bytes);
	return EMULATE_DONE;
}

static enum emulate_end out(void *context, uint16_t port, unsigned bytes, uint32_t value)
{
	io_out(((struct work *)context)->vcpu, port, bytes, value);
	return EMULATE_DONE;
}

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

static void fault(struct vcpu *vcpu, const struct emulate_fault *what)
{
	if (what->vector == VECTOR_PF)
		vcpu->vmcb->cr2 = what->address;
	inject_fault(vcpu, what->vector, what->has_code, what->code);
}

bool complete_instruction(struct vcpu *vcpu)
{
	const struct emulate_ops ops = {linear_ops.read, linear_ops.write, linear_ops.exchange, in,
					out};
	struct work work = {{.vm = vcpu->vm, .vcpu = vcpu->mmu}, vcpu};
	struct emulate_fault what;
	struct emulate_cpu cpu;

	/* Not an instruction's doing, but that of an event on its way. */
	if (vcpu->vmcb->exit_event & VMCB_EVENT_VALID || !system_tell_regs(vcpu))
		return false;
	take(vcpu, &cpu);
	switch (emulate_step(&cpu, &ops, &work, &what)) {
	case EMULATE_DONE:
		if (cpu.cr0 != cr_regs(vcpu).cr0 && !cr_write_0(vcpu, cpu.cr0))
			inject_gp(vcpu);
		else
			give(vcpu, &cpu);
		return true;
	case EMULATE_FAULT:
		give(vcpu, &cpu);
		fault(vcpu, &what);
		return true;
	case EMULATE_RETRY: return true;
	default: return false;
	}
}
