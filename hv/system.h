/* SPDX-License-Identifier: MIT */
/*
 * system.h - the instructions that exit by themselves: how long they are, what they name.
 */
#ifndef HV_SYSTEM_H
#define HV_SYSTEM_H

#include "hv/vcpu.h"

/** struct system_insn - a two-byte instruction, 0F @opcode. */
struct system_insn {
	uint8_t length, opcode;
	bool operand_16, operand_64;
	/** ModRM: mod, and reg and rm with their REX bits. */
	uint8_t mod, reg, rm;
	/** Linear address of the memory operand, if mod is not 3. */
	uint64_t address;
};

/** system_decode - the instruction at RIP. False: it cannot be read, or is not 0F xx with
 * a ModRM byte if @has_modrm. */
bool system_decode(struct vcpu *vcpu, bool has_modrm, struct system_insn *insn);
/** system_tell_regs - with nested paging the library hears nothing of MOV CR: tell it the
 * guest's registers before it walks the guest's tables. False: it refuses them. */
bool system_tell_regs(struct vcpu *vcpu);
/** system_length - of the instruction 0F @opcode at RIP, which has no operand bytes. */
unsigned system_length(struct vcpu *vcpu, uint8_t opcode);
/** system_forget - the guest flushes @linear: the page of instructions remembered may have
 * moved. */
void system_forget(struct vcpu *vcpu, uint64_t linear);

#endif
