/* SPDX-License-Identifier: MIT */
/*
 * alu.c - integer arithmetic and its flags (SDM 1 3.4.3.1, APM 1 3.1.4).
 *
 * Carries are found from operands and result alone, bit by bit:
 *
 *	carry out of a bit of a + b:  both have it, or one does and the sum does not
 *	borrow of a bit of a - b:     as the carry of (a - b) + b
 *	into bit 4 (AF):              a ^ b ^ result
 *	overflow (OF):                the operands' signs say what the result's must be
 *
 * so that the operand's size is one mask and the carry that ADC and SBB add needs no
 * case of its own.
 */
#include "hv/alu.h"

static uint64_t sign_of(unsigned size)
{
	return 1ull << (8 * size - 1);
}

static uint64_t set_if(bool condition, uint64_t flag)
{
	return condition ? flag : 0;
}

/* SF, ZF and PF of @result, which has no bits above @size. */
static uint64_t result_flags(uint64_t result, unsigned size)
{
	return set_if(!result, RFLAGS_ZF) | set_if(result & sign_of(size), RFLAGS_SF) |
	       set_if(!__builtin_parity((unsigned)result & 0xff), RFLAGS_PF);
}

static void set_status(uint64_t *rflags, uint64_t status)
{
	*rflags = (*rflags & ~RFLAGS_STATUS) | status;
}

static uint64_t add(const struct alu *in, unsigned carry, uint64_t *rflags)
{
	const uint64_t mask = alu_mask(in->size), sign = sign_of(in->size);
	const uint64_t a = in->to & mask, b = in->from & mask, sum = (a + b + carry) & mask;
	const uint64_t carries = (a & b) | ((a | b) & ~sum);

	set_status(rflags, result_flags(sum, in->size) | set_if(carries & sign, RFLAGS_CF) |
				   ((a ^ b ^ sum) & RFLAGS_AF) |
				   set_if((a ^ sum) & (b ^ sum) & sign, RFLAGS_OF));
	return sum;
}

static uint64_t subtract(const struct alu *in, unsigned borrow, uint64_t *rflags)
{
	const uint64_t mask = alu_mask(in->size), sign = sign_of(in->size);
	const uint64_t a = in->to & mask, b = in->from & mask, rest = (a - b - borrow) & mask;
	const uint64_t borrows = (b & rest) | ((b | rest) & ~a);

	set_status(rflags, result_flags(rest, in->size) | set_if(borrows & sign, RFLAGS_CF) |
				   ((a ^ b ^ rest) & RFLAGS_AF) |
				   set_if((a ^ b) & (a ^ rest) & sign, RFLAGS_OF));
	return rest;
}

static uint64_t logic(uint64_t result, unsigned size, uint64_t *rflags)
{
	result &= alu_mask(size);
	set_status(rflags, result_flags(result, size));
	return result;
}

/* INC and DEC leave CF alone. */
static uint64_t step(const struct alu *in, bool up, uint64_t *rflags)
{
	const struct alu one = {in->size, in->to, 1};
	const uint64_t carry = *rflags & RFLAGS_CF;
	const uint64_t result = up ? add(&one, 0, rflags) : subtract(&one, 0, rflags);

	*rflags = (*rflags & ~RFLAGS_CF) | carry;
	return result;
}

static uint64_t bit_flag(const struct alu *in, uint64_t bit, uint64_t *rflags)
{
	*rflags = (*rflags & ~RFLAGS_CF) | set_if(in->to & bit, RFLAGS_CF);
	return in->to;
}

uint64_t alu_apply(enum insn_op op, const struct alu *in, uint64_t *rflags)
{
	const struct alu negated = {in->size, 0, in->to};
	const uint64_t bit = 1ull << (in->from & (8 * in->size - 1));
	const unsigned carry = *rflags & RFLAGS_CF;

	switch (op) {
	case INSN_ADD:
	case INSN_XADD: return add(in, 0, rflags);
	case INSN_ADC: return add(in, carry, rflags);
	case INSN_SUB: return subtract(in, 0, rflags);
	case INSN_SBB: return subtract(in, carry, rflags);
	case INSN_CMP:
	case INSN_CMPXCHG: subtract(in, 0, rflags); return in->to;
	case INSN_NEG: return subtract(&negated, 0, rflags);
	case INSN_OR: return logic(in->to | in->from, in->size, rflags);
	case INSN_AND: return logic(in->to & in->from, in->size, rflags);
	case INSN_XOR: return logic(in->to ^ in->from, in->size, rflags);
	case INSN_TEST: logic(in->to & in->from, in->size, rflags); return in->to;
	case INSN_NOT: return ~in->to & alu_mask(in->size);
	case INSN_INC: return step(in, true, rflags);
	case INSN_DEC: return step(in, false, rflags);
	case INSN_BT: return bit_flag(in, bit, rflags);
	case INSN_BTS: return bit_flag(in, bit, rflags) | bit;
	case INSN_BTR: return bit_flag(in, bit, rflags) & ~bit;
	case INSN_BTC: return bit_flag(in, bit, rflags) ^ bit;
	default: return in->to;
	}
}
