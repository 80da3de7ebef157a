/* SPDX-License-Identifier: MIT */
/*
 * decode.c - the decoder: prefixes, a row of a table, then what the row asks for.
 *
 *	prefixes  REX  opcode  ModRM [SIB] [displacement]  [immediate]
 *	    |       |     |       |                            |
 *	    v       v     v       v                            v
 *	    sizes, LOCK  rows[]  memory or register     sign-extended
 *
 * A row gives the operation, the form of its operands and what is special; rows of a group
 * lead to eight operations, of which ModRM.reg chooses one. An opcode without a row is
 * UNSUPPORTED, whether the CPU has it or not: only of instructions that are known here is
 * it said that the CPU refuses them (DECODE_UD).
 *
 * Every byte is taken by take(), which is where the end of the bytes and the limit of 15
 * are seen: the first failure stays, and later ones read zeros. So nothing is read past
 * the end, and the steps need not look.
 *
 * Sources: SDM 2A chapter 2, 2B, 2D appendix A; APM 3 chapter 1 and appendix A.
 */
#include "hv/decode.h"

enum form {
	FORM_ABSENT,
	FORM_RM_R, /* r/m, r */
	FORM_R_RM, /* r, r/m */
	FORM_RM, /* r/m */
	FORM_RM_IMM, /* r/m, imm8/16/32 */
	FORM_RM_IMM8, /* r/m, imm8 sign-extended to the operand's size */
	FORM_A_IMM, /* AL/AX/EAX/RAX, imm */
	FORM_A_OFFSET, /* AL/AX/EAX/RAX, [address in the instruction] */
	FORM_OFFSET_A,
	FORM_PAIR, /* CMPXCHG8B m64, CMPXCHG16B m128 */
	FORM_MOVS,
	FORM_STOS,
	FORM_INS,
	FORM_OUTS,
	FORM_STATUS, /* SMSW r/m, of two bytes in memory; LMSW r/m16 */
};

/* Flags of a row. */
#define BYTE (1u << 0) /* operands of one byte */
#define GROUP (1u << 1) /* @op is an enum group */
#define FROM_BYTE (1u << 2) /* r/m has one byte, the register has more */
#define FROM_WORD (1u << 3) /* r/m has two bytes */
#define FROM_DOUBLE (1u << 4) /* r/m has four bytes */
#define ONLY_64 (1u << 5) /* something else outside of 64-bit code */
#define NOT_64 (1u << 6) /* #UD in 64-bit code */
#define MEMORY (1u << 7) /* ModRM.mod = 3 is #UD */
#define NO_PREFIX (1u << 8) /* #UD with 66, F2, F3; four bytes in 16-bit code, too */
#define NOT_8 (1u << 9) /* four bytes at most, REX.W or not */

struct row {
	uint8_t op, form;
	uint16_t flags;
};

enum group { GROUP_1, GROUP_3, GROUP_4, GROUP_5, GROUP_7, GROUP_8, GROUP_9, GROUP_11, GROUPS };

/* What ModRM.reg means (SDM 2D table A-6). */
#define REFUSED 0xff /* #UD on every CPU; 0 may be another instruction */
static const uint8_t groups[GROUPS][8] = {
	[GROUP_1] = {INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP},
	/* /1 is not in the SDM, but in the APM, and all CPUs take it for /0. */
	[GROUP_3] = {INSN_TEST, INSN_TEST, INSN_NOT, INSN_NEG},
	[GROUP_4] = {INSN_INC, INSN_DEC, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED},
	[GROUP_5] = {INSN_INC, INSN_DEC},
	[GROUP_7] = {0, 0, 0, 0, INSN_SMSW, 0, INSN_LMSW},
	[GROUP_8] = {REFUSED, REFUSED, REFUSED, REFUSED, INSN_BT, INSN_BTS, INSN_BTR, INSN_BTC},
	[GROUP_9] = {0, INSN_CMPXCHG8B},
	[GROUP_11] = {INSN_MOV},
};

/* The six forms of each arithmetic operation, 00h to 3Dh. */
#define ARITHMETIC(at, what)                                                     \
	[at] = {what, FORM_RM_R, BYTE}, [(at) + 1] = {what, FORM_RM_R, 0},       \
	[(at) + 2] = {what, FORM_R_RM, BYTE}, [(at) + 3] = {what, FORM_R_RM, 0}, \
	[(at) + 4] = {what, FORM_A_IMM, BYTE}, [(at) + 5] = {what, FORM_A_IMM, 0}

/* SDM 2D table A-2. */
static const struct row rows[256] = {
	ARITHMETIC(0x00, INSN_ADD),
	ARITHMETIC(0x08, INSN_OR),
	ARITHMETIC(0x10, INSN_ADC),
	ARITHMETIC(0x18, INSN_SBB),
	ARITHMETIC(0x20, INSN_AND),
	ARITHMETIC(0x28, INSN_SUB),
	ARITHMETIC(0x30, INSN_XOR),
	ARITHMETIC(0x38, INSN_CMP),
	[0x63] = {INSN_MOVSX, FORM_R_RM, ONLY_64 | FROM_DOUBLE},
	[0x6c] = {INSN_INS, FORM_INS, BYTE},
	[0x6d] = {INSN_INS, FORM_INS, NOT_8},
	[0x6e] = {INSN_OUTS, FORM_OUTS, BYTE},
	[0x6f] = {INSN_OUTS, FORM_OUTS, NOT_8},
	[0x80] = {GROUP_1, FORM_RM_IMM, GROUP | BYTE},
	[0x81] = {GROUP_1, FORM_RM_IMM, GROUP},
	[0x82] = {GROUP_1, FORM_RM_IMM, GROUP | BYTE | NOT_64},
	[0x83] = {GROUP_1, FORM_RM_IMM8, GROUP},
	[0x84] = {INSN_TEST, FORM_RM_R, BYTE},
	[0x85] = {INSN_TEST, FORM_RM_R, 0},
	[0x86] = {INSN_XCHG, FORM_RM_R, BYTE},
	[0x87] = {INSN_XCHG, FORM_RM_R, 0},
	[0x88] = {INSN_MOV, FORM_RM_R, BYTE},
	[0x89] = {INSN_MOV, FORM_RM_R, 0},
	[0x8a] = {INSN_MOV, FORM_R_RM, BYTE},
	[0x8b] = {INSN_MOV, FORM_R_RM, 0},
	[0xa0] = {INSN_MOV, FORM_A_OFFSET, BYTE},
	[0xa1] = {INSN_MOV, FORM_A_OFFSET, 0},
	[0xa2] = {INSN_MOV, FORM_OFFSET_A, BYTE},
	[0xa3] = {INSN_MOV, FORM_OFFSET_A, 0},
	[0xa4] = {INSN_MOVS, FORM_MOVS, BYTE},
	[0xa5] = {INSN_MOVS, FORM_MOVS, 0},
	[0xa8] = {INSN_TEST, FORM_A_IMM, BYTE},
	[0xa9] = {INSN_TEST, FORM_A_IMM, 0},
	[0xaa] = {INSN_STOS, FORM_STOS, BYTE},
	[0xab] = {INSN_STOS, FORM_STOS, 0},
	[0xc6] = {GROUP_11, FORM_RM_IMM, GROUP | BYTE},
	[0xc7] = {GROUP_11, FORM_RM_IMM, GROUP},
	[0xf6] = {GROUP_3, FORM_RM, GROUP | BYTE},
	[0xf7] = {GROUP_3, FORM_RM, GROUP},
	[0xfe] = {GROUP_4, FORM_RM, GROUP | BYTE},
	[0xff] = {GROUP_5, FORM_RM, GROUP},
};

/* After 0Fh: SDM 2D table A-3. */
static const struct row rows_0f[256] = {
	[0x01] = {GROUP_7, FORM_STATUS, GROUP},
	[0xa3] = {INSN_BT, FORM_RM_R, 0},
	[0xab] = {INSN_BTS, FORM_RM_R, 0},
	[0xb0] = {INSN_CMPXCHG, FORM_RM_R, BYTE},
	[0xb1] = {INSN_CMPXCHG, FORM_RM_R, 0},
	[0xb3] = {INSN_BTR, FORM_RM_R, 0},
	[0xb6] = {INSN_MOVZX, FORM_R_RM, FROM_BYTE},
	[0xb7] = {INSN_MOVZX, FORM_R_RM, FROM_WORD},
	[0xba] = {GROUP_8, FORM_RM_IMM8, GROUP},
	[0xbb] = {INSN_BTC, FORM_RM_R, 0},
	[0xbe] = {INSN_MOVSX, FORM_R_RM, FROM_BYTE},
	[0xbf] = {INSN_MOVSX, FORM_R_RM, FROM_WORD},
	[0xc0] = {INSN_XADD, FORM_RM_R, BYTE},
	[0xc1] = {INSN_XADD, FORM_RM_R, 0},
	[0xc3] = {INSN_MOV, FORM_RM_R, MEMORY | NO_PREFIX},
	[0xc7] = {GROUP_9, FORM_PAIR, GROUP | MEMORY},
};

/* LOCK is allowed with a destination in memory (SDM 2A, LOCK). */
static const bool lockable[INSN_OPS] = {
	[INSN_ADD] = true,     [INSN_OR] = true,        [INSN_ADC] = true,  [INSN_SBB] = true,
	[INSN_AND] = true,     [INSN_SUB] = true,       [INSN_XOR] = true,  [INSN_NOT] = true,
	[INSN_NEG] = true,     [INSN_INC] = true,       [INSN_DEC] = true,  [INSN_BTS] = true,
	[INSN_BTR] = true,     [INSN_BTC] = true,       [INSN_XCHG] = true, [INSN_XADD] = true,
	[INSN_CMPXCHG] = true, [INSN_CMPXCHG8B] = true,
};

/* REX bits, and the one that says that there is a REX. */
#define REX 0x40u
#define REX_W 0x08u
#define REX_R 0x04u
#define REX_X 0x02u
#define REX_B 0x01u

struct cursor {
	const uint8_t *bytes;
	size_t count, at;
	enum insn_mode mode;
	/** DECODE_OK until something is wrong. */
	enum decode_result result;
	uint8_t segment; /* an override, or INSN_SEGMENTS */
	uint8_t rex, modrm;
	bool operand_prefix, address_prefix, lock, repeat;
};

static uint8_t take(struct cursor *cur)
{
	if (cur->result != DECODE_OK)
		return 0;
	if (cur->at == INSN_MAX_LENGTH)
		cur->result = DECODE_TOO_LONG;
	else if (cur->at == cur->count)
		cur->result = DECODE_MORE;
	else
		return cur->bytes[cur->at++];
	return 0;
}

/* @size bytes, sign-extended. */
static int64_t take_signed(struct cursor *cur, unsigned size)
{
	const unsigned unused = 64 - 8 * size;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)take(cur) << (8 * i);
	return (int64_t)(value << unused) >> unused;
}

/* 64-bit code ignores ES, CS, SS and DS, even after FS or GS (SDM 2A 2.1.1, APM 3 1.2.4). */
static void override_segment(struct cursor *cur, enum insn_segment segment)
{
	if (cur->mode != INSN_64 || segment >= INSN_FS)
		cur->segment = segment;
}

/* Returns the opcode's first byte. */
static uint8_t take_prefixes(struct cursor *cur)
{
	for (;;) {
		const uint8_t byte = take(cur);

		switch (byte) {
		case 0x26: override_segment(cur, INSN_ES); break;
		case 0x2e: override_segment(cur, INSN_CS); break;
		case 0x36: override_segment(cur, INSN_SS); break;
		case 0x3e: override_segment(cur, INSN_DS); break;
		case 0x64: override_segment(cur, INSN_FS); break;
		case 0x65: override_segment(cur, INSN_GS); break;
		case 0x66: cur->operand_prefix = true; break;
		case 0x67: cur->address_prefix = true; break;
		case 0xf0: cur->lock = true; break;
		case 0xf2:
		case 0xf3: cur->repeat = true; break;
		default:
			if (cur->mode != INSN_64 || (byte & 0xf0) != REX)
				return byte;
			/* One that anything but the opcode follows is ignored. */
			cur->rex = byte;
			continue;
		}
		cur->rex = 0;
	}
}

static unsigned operand_size(const struct cursor *cur, const struct row *row)
{
	if (row->flags & BYTE)
		return 1;
	if (cur->rex & REX_W)
		return row->flags & NOT_8 ? 4 : 8;
	if (row->flags & NO_PREFIX)
		return 4;
	return cur->operand_prefix == (cur->mode == INSN_16) ? 4 : 2;
}

static unsigned address_size(const struct cursor *cur)
{
	if (cur->mode == INSN_64)
		return cur->address_prefix ? 4 : 8;
	return cur->address_prefix == (cur->mode == INSN_16) ? 4 : 2;
}

static struct insn_operand a_register(const struct cursor *cur, unsigned number, unsigned size)
{
	/* Without a REX, bytes 4 to 7 are AH, CH, DH, BH. */
	if (size == 1 && !cur->rex && number >= INSN_RSP)
		number += INSN_HIGH - INSN_RSP;
	return (struct insn_operand){INSN_OPERAND_REGISTER, (uint8_t)number, (uint8_t)size};
}

static struct insn_operand modrm_register(const struct cursor *cur, unsigned size)
{
	const unsigned number = (cur->modrm >> 3 & 7) + (cur->rex & REX_R ? 8 : 0);

	return a_register(cur, number, size);
}

/* The segment of a memory operand, @usual unless overridden. */
static uint8_t segment_of(const struct cursor *cur, enum insn_segment usual)
{
	return cur->segment < INSN_SEGMENTS ? cur->segment : (uint8_t)usual;
}

/* SDM 2A table 2-1. */
static void take_memory_16(struct cursor *cur, struct insn_memory *memory)
{
	static const uint8_t bases[8] = {INSN_RBX, INSN_RBX, INSN_RBP, INSN_RBP,
					 INSN_RSI, INSN_RDI, INSN_RBP, INSN_RBX};
	static const uint8_t indexes[4] = {INSN_RSI, INSN_RDI, INSN_RSI, INSN_RDI};
	const unsigned mod = cur->modrm >> 6, rm = cur->modrm & 7;

	memory->base = bases[rm];
	if (rm < 4)
		memory->index = indexes[rm];
	if (mod == 0 && rm == 6)
		memory->base = INSN_NO_REGISTER;
	if (mod == 1)
		memory->displacement = take_signed(cur, 1);
	else if (mod == 2 || memory->base == INSN_NO_REGISTER)
		memory->displacement = take_signed(cur, 2);
}

/* SDM 2A tables 2-2 and 2-3, 2.2.1.6. */
static void take_memory_32(struct cursor *cur, struct insn_memory *memory)
{
	const unsigned mod = cur->modrm >> 6, rm = cur->modrm & 7;
	unsigned base = rm;

	if (rm == INSN_RSP) {
		const uint8_t sib = take(cur);
		const unsigned index = (sib >> 3 & 7) + (cur->rex & REX_X ? 8 : 0);

		base = sib & 7;
		if (index != INSN_RSP) {
			memory->index = (uint8_t)index;
			memory->shift = sib >> 6;
		}
	}
	if (mod == 0 && base == INSN_RBP) {
		if (rm == INSN_RBP && cur->mode == INSN_64)
			memory->base = INSN_RIP;
		memory->displacement = take_signed(cur, 4);
		return;
	}
	memory->base = (uint8_t)(base + (cur->rex & REX_B ? 8 : 0));
	if (mod)
		memory->displacement = take_signed(cur, mod == 1 ? 1 : 4);
}

static struct insn_operand take_rm(struct cursor *cur, struct insn *insn, unsigned size)
{
	const unsigned number = (cur->modrm & 7) + (cur->rex & REX_B ? 8 : 0);
	struct insn_memory *memory = &insn->memory;

	if (cur->modrm >> 6 == 3)
		return a_register(cur, number, size);
	if (insn->address_size == 2)
		take_memory_16(cur, memory);
	else
		take_memory_32(cur, memory);
	memory->segment = segment_of(
		cur, memory->base == INSN_RSP || memory->base == INSN_RBP ? INSN_SS : INSN_DS);
	return (struct insn_operand){.kind = INSN_OPERAND_MEMORY, .size = (uint8_t)size};
}

static struct insn_operand take_offset(struct cursor *cur, struct insn *insn, unsigned size)
{
	insn->memory.displacement = take_signed(cur, insn->address_size);
	insn->memory.segment = segment_of(cur, INSN_DS);
	return (struct insn_operand){.kind = INSN_OPERAND_MEMORY, .size = (uint8_t)size};
}

static struct insn_operand take_immediate(struct cursor *cur, struct insn *insn, unsigned size)
{
	insn->immediate = take_signed(cur, size > 4 ? 4 : size);
	return (struct insn_operand){.kind = INSN_OPERAND_IMMEDIATE, .size = (uint8_t)size};
}

/* The size of r/m where it is not the register's. */
static unsigned from_size(const struct row *row, unsigned size)
{
	return row->flags & FROM_BYTE     ? 1
	       : row->flags & FROM_WORD   ? 2
	       : row->flags & FROM_DOUBLE ? 4
					  : size;
}

static void take_string(const struct cursor *cur, struct insn *insn, unsigned size)
{
	insn->repeat = cur->repeat;
	insn->to = (struct insn_operand){.kind = INSN_OPERAND_MEMORY, .size = (uint8_t)size};
	insn->memory.base = INSN_RSI;
	insn->memory.segment = segment_of(cur, INSN_DS);
	insn->from = insn->to;
}

static void take_status(struct cursor *cur, struct insn *insn, unsigned size)
{
	if (insn->op == INSN_LMSW)
		insn->from = take_rm(cur, insn, 2);
	else
		insn->to = take_rm(cur, insn, cur->modrm >> 6 == 3 ? size : 2);
}

static void take_operands(struct cursor *cur, const struct row *row, struct insn *insn)
{
	const unsigned size = operand_size(cur, row);

	switch (row->form) {
	case FORM_RM_R:
		insn->to = take_rm(cur, insn, size);
		insn->from = modrm_register(cur, size);
		break;
	case FORM_R_RM:
		insn->to = modrm_register(cur, size);
		insn->from = take_rm(cur, insn, from_size(row, size));
		break;
	case FORM_RM:
		insn->to = take_rm(cur, insn, size);
		if (insn->op == INSN_TEST)
			insn->from = take_immediate(cur, insn, size);
		break;
	case FORM_RM_IMM:
		insn->to = take_rm(cur, insn, size);
		insn->from = take_immediate(cur, insn, size);
		break;
	case FORM_RM_IMM8:
		insn->to = take_rm(cur, insn, size);
		insn->from = take_immediate(cur, insn, 1);
		break;
	case FORM_A_IMM:
		insn->to = a_register(cur, INSN_RAX, size);
		insn->from = take_immediate(cur, insn, size);
		break;
	case FORM_A_OFFSET:
		insn->to = a_register(cur, INSN_RAX, size);
		insn->from = take_offset(cur, insn, size);
		break;
	case FORM_OFFSET_A:
		insn->to = take_offset(cur, insn, size);
		insn->from = a_register(cur, INSN_RAX, size);
		break;
	case FORM_PAIR: insn->to = take_rm(cur, insn, cur->rex & REX_W ? 16 : 8); break;
	case FORM_MOVS: take_string(cur, insn, size); break;
	case FORM_STOS:
		take_string(cur, insn, size);
		insn->from = a_register(cur, INSN_RAX, size);
		break;
	case FORM_INS:
		take_string(cur, insn, size);
		insn->from.kind = INSN_OPERAND_NONE;
		break;
	case FORM_OUTS:
		take_string(cur, insn, size);
		insn->to.kind = INSN_OPERAND_NONE;
		break;
	case FORM_STATUS: take_status(cur, insn, size); break;
	}
}

static bool has_modrm(const struct row *row)
{
	return row->form >= FORM_RM_R &&
	       (row->form <= FORM_RM_IMM8 || row->form == FORM_PAIR || row->form == FORM_STATUS);
}

/* What the CPU refuses of what is known here: when it has all of it, for being too long or
 * cut by the end of a page comes first. */
static bool refused(const struct cursor *cur, const struct row *row, const struct insn *insn)
{
	if (insn->op == REFUSED)
		return true;
	if (row->flags & NOT_64 && cur->mode == INSN_64)
		return true;
	if (row->flags & MEMORY && insn->to.kind != INSN_OPERAND_MEMORY)
		return true;
	if (row->flags & NO_PREFIX && (cur->operand_prefix || cur->repeat))
		return true;
	return cur->lock && !(lockable[insn->op] && insn->to.kind == INSN_OPERAND_MEMORY);
}

static enum decode_result choose(struct cursor *cur, const struct row *row, struct insn *insn)
{
	if (row->form == FORM_ABSENT || (row->flags & ONLY_64 && cur->mode != INSN_64))
		return DECODE_UNSUPPORTED;
	/* MOVSXD to 16 bits: Intel reads two bytes, AMD four. */
	if (row->flags & FROM_DOUBLE && operand_size(cur, row) == 2)
		return DECODE_UNSUPPORTED;
	insn->op = row->op;
	if (has_modrm(row)) {
		cur->modrm = take(cur);
		if (row->flags & GROUP)
			insn->op = groups[row->op][cur->modrm >> 3 & 7];
	}
	if (cur->result != DECODE_OK)
		return cur->result;
	return insn->op == INSN_NONE ? DECODE_UNSUPPORTED : DECODE_OK;
}

enum decode_result decode_insn(const uint8_t *bytes, size_t count, enum insn_mode mode,
			       struct insn *insn)
{
	struct cursor cur = {
		.bytes = bytes, .count = count, .mode = mode, .segment = INSN_SEGMENTS};
	const struct row *row;
	enum decode_result result;
	uint8_t opcode;

	*insn = (struct insn){.mode = (uint8_t)mode};
	insn->memory.base = INSN_NO_REGISTER;
	insn->memory.index = INSN_NO_REGISTER;
	opcode = take_prefixes(&cur);
	row = opcode == 0x0f ? &rows_0f[take(&cur)] : &rows[opcode];
	if (cur.result != DECODE_OK)
		return cur.result;
	result = choose(&cur, row, insn);
	if (result != DECODE_OK)
		return result;
	insn->address_size = (uint8_t)address_size(&cur);
	take_operands(&cur, row, insn);
	if (cur.result != DECODE_OK)
		return cur.result;
	if (refused(&cur, row, insn))
		return DECODE_UD;
	insn->length = (uint8_t)cur.at;
	insn->lock = cur.lock || (insn->op == INSN_XCHG && insn->to.kind == INSN_OPERAND_MEMORY);
	return DECODE_OK;
}

const char *decode_mnemonic(enum insn_op op)
{
	static const char names[INSN_OPS][12] = {
		"(none)", "add",  "or",   "adc",  "sbb",     "and",       "sub",  "xor",
		"cmp",    "test", "not",  "neg",  "inc",     "dec",       "bt",   "bts",
		"btr",    "btc",  "xchg", "xadd", "cmpxchg", "cmpxchg8b", "mov",  "movzx",
		"movsx",  "movs", "stos", "ins",  "outs",    "smsw",      "lmsw",
	};

	return op < INSN_OPS ? names[op] : names[INSN_NONE];
}
