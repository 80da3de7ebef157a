/* SPDX-License-Identifier: MIT */
/*
 * decode.h - x86 instructions that write page tables, from bytes to operands.
 *
 * MOV and its kin, the read-modify-write instructions that may have LOCK, MOVS and STOS,
 * in 16-, 32- and 64-bit code with every addressing mode; and of those that exit by
 * themselves the ones with operands in memory: INS and OUTS, SMSW and LMSW. What may stay
 * undecoded does: an embedder that meets DECODE_UNSUPPORTED lets the guest do it by itself
 * (S-44).
 */
#ifndef HV_DECODE_H
#define HV_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** No instruction is longer; longer ones are #GP(0) (SDM 2A 2.3.11). */
#define INSN_MAX_LENGTH 15u

/** enum insn_mode - what CS and EFER.LMA make of code (SDM 3A 3.4.5). */
enum insn_mode { INSN_16, INSN_32, INSN_64 };

/** enum insn_op - what it does. Arithmetic is in the order of its opcodes. */
enum insn_op {
	INSN_NONE,
	INSN_ADD,
	INSN_OR,
	INSN_ADC,
	INSN_SBB,
	INSN_AND,
	INSN_SUB,
	INSN_XOR,
	INSN_CMP,
	INSN_TEST,
	INSN_NOT,
	INSN_NEG,
	INSN_INC,
	INSN_DEC,
	INSN_BT,
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	INSN_XCHG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_CMPXCHG8B, /* of 8 or 16 bytes */
	INSN_MOV, /* MOVNTI too */
	INSN_MOVZX,
	INSN_MOVSX, /* MOVSXD too */
	INSN_MOVS,
	INSN_STOS,
	INSN_INS,
	INSN_OUTS,
	INSN_SMSW,
	INSN_LMSW,
	INSN_OPS
};

/** Register numbers as encoded; AH, CH, DH, BH are INSN_HIGH + 0..3. */
enum insn_register {
	INSN_RAX,
	INSN_RCX,
	INSN_RDX,
	INSN_RBX,
	INSN_RSP,
	INSN_RBP,
	INSN_RSI,
	INSN_RDI,
	INSN_HIGH = 16,
	INSN_RIP = 32, /* as a base: the end of the instruction */
	INSN_NO_REGISTER,
};

/** Segment registers as encoded. */
enum insn_segment { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS, INSN_SEGMENTS };

enum insn_operand_kind {
	INSN_OPERAND_NONE,
	INSN_OPERAND_REGISTER,
	INSN_OPERAND_MEMORY, /* struct insn_memory of the instruction */
	INSN_OPERAND_IMMEDIATE, /* of the instruction */
};

struct insn_operand {
	uint8_t kind; /* enum insn_operand_kind */
	uint8_t number; /* REGISTER: enum insn_register */
	uint8_t size; /* in bytes: 1, 2, 4, 8, 16 */
};

/** struct insn_memory - [segment: base + (index << shift) + displacement]. */
struct insn_memory {
	uint8_t segment; /* enum insn_segment; overrides that have no effect are left out */
	uint8_t base, index; /* enum insn_register, NO_REGISTER */
	uint8_t shift; /* 0..3 */
	int64_t displacement; /* sign-extended; a full address where there is no base */
};

struct insn {
	uint8_t op; /* enum insn_op */
	uint8_t mode; /* enum insn_mode that it was decoded for */
	uint8_t length; /* 1..15 */
	uint8_t address_size; /* of an effective address, in bytes: 2, 4, 8 */
	/** LOCK, or XCHG with memory: the operation is atomic. */
	bool lock;
	/** String instructions: REP or REPNE, which do the same. */
	bool repeat;
	/** What is written (CMP, TEST and BT only read it), and the other one. STOS: memory
	 * and RAX; MOVS: memory twice, @memory being the source; both write at ES:rDI. INS: only
	 * @to, at ES:rDI; OUTS, LMSW: only @from; SMSW: only @to. */
	struct insn_operand to, from;
	struct insn_memory memory;
	/** Sign-extended. */
	int64_t immediate;
};

enum decode_result {
	DECODE_OK,
	DECODE_MORE, /* the instruction goes on after the last byte */
	DECODE_UNSUPPORTED, /* not for us; perhaps valid */
	DECODE_UD, /* the CPU would raise #UD */
	DECODE_TOO_LONG, /* the CPU would raise #GP(0): over 15 bytes */
};

/**
 * decode_insn - the instruction at @bytes, of which @count are there (more than 15 are
 * not looked at). @insn is meaningful after DECODE_OK only.
 */
enum decode_result decode_insn(const uint8_t *bytes, size_t count, enum insn_mode mode,
			       struct insn *insn);

/** decode_mnemonic - "add", for people; never NULL. */
const char *decode_mnemonic(enum insn_op op);

#endif
