/* SPDX-License-Identifier: MIT */
/*
 * alu.h - integer arithmetic with the flags that it leaves in RFLAGS.
 */
#ifndef HV_ALU_H
#define HV_ALU_H

#include "hv/decode.h"

#define RFLAGS_CF (1ull << 0)
#define RFLAGS_PF (1ull << 2)
#define RFLAGS_AF (1ull << 4)
#define RFLAGS_ZF (1ull << 6)
#define RFLAGS_SF (1ull << 7)
#define RFLAGS_TF (1ull << 8)
#define RFLAGS_DF (1ull << 10)
#define RFLAGS_OF (1ull << 11)
#define RFLAGS_RF (1ull << 16)
#define RFLAGS_VM (1ull << 17)
#define RFLAGS_AC (1ull << 18)
#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/** struct alu - operands of @size bytes (1, 2, 4, 8); bits above do not matter. */
struct alu {
	unsigned size;
	uint64_t to, from;
};

/** alu_mask - the bits of a value of @size bytes, 1 to 8. */
static inline uint64_t alu_mask(unsigned size)
{
	return size >= 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

/**
 * alu_apply - what @op makes of @in->to, and @rflags after it. INSN_ADD to INSN_BTC, XADD,
 * and CMPXCHG, which is CMP here; NEG, NOT, INC and DEC have one operand, BT and its kin
 * take the bit's number modulo the size. CMP, TEST and BT return @in->to as it is.
 *
 * Flags that the manuals leave undefined: AF of logic is 0; BT and its kin change CF only.
 */
uint64_t alu_apply(enum insn_op op, const struct alu *in, uint64_t *rflags);

#endif
