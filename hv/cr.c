/* SPDX-License-Identifier: MIT */
/*
 * cr.c - the guest's control registers.
 *
 *	            nested paging                  shadow paging
 *	CR0, CR3    in the VMCB                    the library's; the VMCB has what
 *	CR4         in the VMCB, writes exit       its tables need (root.regs)
 *	EFER        in the VMCB less SVME,         the same
 *	            writes exit (msr.c)
 */
#include "hv/complete.h"
#include "hv/system.h"

#define OPCODE_GROUP_7 0x01
#define OPCODE_CLTS 0x06
#define OPCODE_READ 0x20
#define OPCODE_WRITE 0x22
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_BITS 0xe005003full

struct umbra_regs cr_regs(const struct vcpu *vcpu)
{
	const struct vmcb *v = vcpu->vmcb;

	if (vcpu->options->shadow)
		return *umbra_vcpu_regs(vcpu->mmu);
	return (struct umbra_regs){
		.cr0 = v->cr0,
		.cr3 = v->cr3,
		.cr4 = v->cr4,
		.efer = v->efer & ~EFER_SVME,
	};
}

bool cr_set(struct vcpu *vcpu, const struct umbra_regs *regs)
{
	if (umbra_vcpu_set_regs(vcpu->mmu, regs, true))
		return false;
	vcpu->code = NULL;
	vcpu->port.reload = true;
	if (!vcpu->options->shadow) {
		vcpu->vmcb->cr0 = regs->cr0;
		vcpu->vmcb->cr3 = regs->cr3;
		vcpu->vmcb->cr4 = regs->cr4;
		vcpu->vmcb->efer = regs->efer | EFER_SVME;
		/* What the instruction would have flushed (H-112). */
		vcpu->port.flush = true;
	}
	return true;
}

/* H-12; what the library does not look at itself. */
bool cr_write_0(struct vcpu *vcpu, uint64_t value)
{
	struct umbra_regs regs = cr_regs(vcpu);
	bool paging = value & UMBRA_CR0_PG, before = regs.cr0 & UMBRA_CR0_PG;

	if (value >> 32)
		return false;
	if (paging && !before && regs.efer & UMBRA_EFER_LME &&
	    vcpu->vmcb->cs.attributes & VMCB_CS_LONG)
		return false;
	if (!paging && before && (vcpu_is_64(vcpu) || regs.cr4 & UMBRA_CR4_PCIDE))
		return false;
	regs.cr0 = (value & CR0_BITS) | CR0_ET;
	regs.efer &= ~UMBRA_EFER_LMA;
	if (paging && regs.efer & UMBRA_EFER_LME)
		regs.efer |= UMBRA_EFER_LMA;
	return cr_set(vcpu, &regs);
}

/* H-13 */
static bool write_cr4(struct vcpu *vcpu, uint64_t value)
{
	struct umbra_regs regs = cr_regs(vcpu);
	uint64_t changed = value ^ regs.cr4;
	bool long_mode = regs.efer & UMBRA_EFER_LMA;

	if (value & ~vcpu->cr4_bits)
		return false;
	if (long_mode && changed & (UMBRA_CR4_PAE | UMBRA_CR4_LA57))
		return false;
	if (changed & value & UMBRA_CR4_PCIDE && (!long_mode || regs.cr3 & 0xfff))
		return false;
	regs.cr4 = value;
	return cr_set(vcpu, &regs);
}

static bool write_cr3(struct vcpu *vcpu, uint64_t value)
{
	if (umbra_vcpu_mov_cr3(vcpu->mmu, value))
		return false;
	if (umbra_vcpu_stays(vcpu->mmu))
		vcpu->port.flush = true;
	else
		vcpu->port.reload = true;
	return true;
}

static bool write(struct vcpu *vcpu, unsigned number, uint64_t value)
{
	switch (number) {
	case 0: return cr_write_0(vcpu, value);
	case 3: return write_cr3(vcpu, value);
	default: return write_cr4(vcpu, value);
	}
}

static uint64_t read(const struct vcpu *vcpu, unsigned number)
{
	const struct umbra_regs regs = cr_regs(vcpu);

	switch (number) {
	case 0: return regs.cr0;
	case 3: return regs.cr3;
	default: return regs.cr4;
	}
}

void cr_exit(struct vcpu *vcpu)
{
	struct system_insn insn;
	bool done;

	if (!system_decode(vcpu, true, &insn))
		report_stop(vcpu, "cannot read the instruction that exited");
	switch (insn.opcode) {
	case OPCODE_CLTS:
		insn.length--; /* it has no ModRM byte */
		done = cr_write_0(vcpu, cr_regs(vcpu).cr0 & ~CR0_TS);
		break;
	case OPCODE_GROUP_7:
		if (!complete_instruction(vcpu))
			report_stop(vcpu, "SMSW or LMSW with what is no memory");
		return;
	case OPCODE_READ:
		*vcpu_reg(vcpu, insn.rm) = read(vcpu, insn.reg);
		done = true;
		break;
	case OPCODE_WRITE: {
		uint64_t value = *vcpu_reg(vcpu, insn.rm);

		done = write(vcpu, insn.reg, insn.operand_64 ? value : (uint32_t)value);
		break;
	}
	default: report_stop(vcpu, "control register exit of 0F %x", insn.opcode);
	}
	if (done)
		vcpu_skip(vcpu, insn.length);
	else
		inject_gp(vcpu);
}

void invlpg_exit(struct vcpu *vcpu)
{
	struct system_insn insn;

	if (!system_decode(vcpu, true, &insn) || insn.opcode != OPCODE_GROUP_7 || insn.mod == 3)
		report_stop(vcpu, "cannot read the INVLPG that exited");
	umbra_vcpu_invlpg(vcpu->mmu, (umbra_gva){insn.address});
	system_forget(vcpu, insn.address);
	vcpu->port.flush = true;
	vcpu_skip(vcpu, insn.length);
}
