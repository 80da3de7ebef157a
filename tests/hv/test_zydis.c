/* SPDX-License-Identifier: MIT */
/*
 * test_zydis.c - the decoder against Zydis, on random bytes and on ones that look like
 * instructions, in the three modes, cut short now and then.
 *
 *	ours          Zydis must say
 *	OK            the same length, operation, LOCK and REP, operands with their sizes,
 *	              memory operand and immediate
 *	MORE          not valid: cut short, or wrong already
 *	TOO_LONG, UD  not valid
 *	UNSUPPORTED   anything; what is valid is counted by mnemonic and printed
 *
 * UMBRA_TEST_SEED and UMBRA_TEST_ROUNDS choose other bytes and more of them.
 */
#include "hv/decode.h"
#include "tests/hv/random.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <Zydis/Zydis.h>

static const ZydisMnemonic mnemonics[INSN_OPS] = {
	[INSN_ADD] = ZYDIS_MNEMONIC_ADD,
	[INSN_OR] = ZYDIS_MNEMONIC_OR,
	[INSN_ADC] = ZYDIS_MNEMONIC_ADC,
	[INSN_SBB] = ZYDIS_MNEMONIC_SBB,
	[INSN_AND] = ZYDIS_MNEMONIC_AND,
	[INSN_SUB] = ZYDIS_MNEMONIC_SUB,
	[INSN_XOR] = ZYDIS_MNEMONIC_XOR,
	[INSN_CMP] = ZYDIS_MNEMONIC_CMP,
	[INSN_TEST] = ZYDIS_MNEMONIC_TEST,
	[INSN_NOT] = ZYDIS_MNEMONIC_NOT,
	[INSN_NEG] = ZYDIS_MNEMONIC_NEG,
	[INSN_INC] = ZYDIS_MNEMONIC_INC,
	[INSN_DEC] = ZYDIS_MNEMONIC_DEC,
	[INSN_BT] = ZYDIS_MNEMONIC_BT,
	[INSN_BTS] = ZYDIS_MNEMONIC_BTS,
	[INSN_BTR] = ZYDIS_MNEMONIC_BTR,
	[INSN_BTC] = ZYDIS_MNEMONIC_BTC,
	[INSN_XCHG] = ZYDIS_MNEMONIC_XCHG,
	[INSN_XADD] = ZYDIS_MNEMONIC_XADD,
	[INSN_CMPXCHG] = ZYDIS_MNEMONIC_CMPXCHG,
	[INSN_CMPXCHG8B] = ZYDIS_MNEMONIC_CMPXCHG8B,
	[INSN_MOV] = ZYDIS_MNEMONIC_MOV,
	[INSN_MOVZX] = ZYDIS_MNEMONIC_MOVZX,
	[INSN_SMSW] = ZYDIS_MNEMONIC_SMSW,
	[INSN_LMSW] = ZYDIS_MNEMONIC_LMSW,
	[INSN_MOVSX] = ZYDIS_MNEMONIC_MOVSX,
};

static ZydisDecoder decoders[3];
static unsigned long ends[DECODE_TOO_LONG + 1], left_out[ZYDIS_MNEMONIC_MAX_VALUE + 1];

/* One comparison; @wrong is the first thing that differs. */
struct compared {
	const uint8_t *bytes;
	size_t count;
	struct insn insn;
	ZydisDecodedInstruction zydis;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const char *wrong;
};

static void expect(struct compared *with, bool same, const char *what)
{
	if (!same && !with->wrong)
		with->wrong = what;
}

/* MOVNTI is a MOV to us, MOVSXD a MOVSX, and so on. */
static bool same_operation(const struct insn *insn, ZydisMnemonic mnemonic)
{
	static const ZydisMnemonic strings[4][9] = {
		{0, ZYDIS_MNEMONIC_MOVSB, ZYDIS_MNEMONIC_MOVSW, 0, ZYDIS_MNEMONIC_MOVSD, 0, 0, 0,
		 ZYDIS_MNEMONIC_MOVSQ},
		{0, ZYDIS_MNEMONIC_STOSB, ZYDIS_MNEMONIC_STOSW, 0, ZYDIS_MNEMONIC_STOSD, 0, 0, 0,
		 ZYDIS_MNEMONIC_STOSQ},
		{0, ZYDIS_MNEMONIC_INSB, ZYDIS_MNEMONIC_INSW, 0, ZYDIS_MNEMONIC_INSD},
		{0, ZYDIS_MNEMONIC_OUTSB, ZYDIS_MNEMONIC_OUTSW, 0, ZYDIS_MNEMONIC_OUTSD},
	};

	switch (insn->op) {
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_INS:
	case INSN_OUTS:
		return mnemonic == strings[insn->op - INSN_MOVS][insn->to.size | insn->from.size];
	case INSN_MOV: return mnemonic == ZYDIS_MNEMONIC_MOV || mnemonic == ZYDIS_MNEMONIC_MOVNTI;
	case INSN_MOVSX:
		return mnemonic ==
		       (insn->from.size == 4 ? ZYDIS_MNEMONIC_MOVSXD : ZYDIS_MNEMONIC_MOVSX);
	case INSN_CMPXCHG8B:
		return mnemonic ==
		       (insn->to.size == 16 ? ZYDIS_MNEMONIC_CMPXCHG16B : ZYDIS_MNEMONIC_CMPXCHG8B);
	default: return mnemonic == mnemonics[insn->op];
	}
}

static ZydisRegister register_of(unsigned number, unsigned size)
{
	static const ZydisRegister high[] = {ZYDIS_REGISTER_AH, ZYDIS_REGISTER_CH,
					     ZYDIS_REGISTER_DH, ZYDIS_REGISTER_BH};
	static const ZydisRegister low[] = {ZYDIS_REGISTER_SPL, ZYDIS_REGISTER_BPL,
					    ZYDIS_REGISTER_SIL, ZYDIS_REGISTER_DIL};

	if (number == INSN_NO_REGISTER)
		return ZYDIS_REGISTER_NONE;
	if (number == INSN_RIP)
		return size == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
	if (number >= INSN_HIGH)
		return high[number - INSN_HIGH];
	switch (size) {
	case 1:
		if (number < 4)
			return ZYDIS_REGISTER_AL + number;
		return number < 8 ? low[number - 4] : ZYDIS_REGISTER_R8B + number - 8;
	case 2: return ZYDIS_REGISTER_AX + number;
	case 4: return ZYDIS_REGISTER_EAX + number;
	default: return ZYDIS_REGISTER_RAX + number;
	}
}

/* Zydis 4.0 prints [disp32] with 32-bit addresses and REX.B as [R13D]; it counts the four bytes
 * all the same. REX.B has no say there (SDM 2A table 2-5); test_native.c asks a CPU. */
static bool zydis_sees_r13d(const struct compared *with)
{
	const ZydisDecodedInstruction *zydis = &with->zydis;

	return zydis->address_width == 32 && zydis->raw.rex.B && zydis->raw.modrm.mod == 0 &&
	       zydis->raw.modrm.rm == 4 && zydis->raw.sib.base == 5;
}

static void same_memory(struct compared *with, const ZydisDecodedOperandMem *zydis, bool es_rdi)
{
	const struct insn *insn = &with->insn;
	const struct insn_memory *memory = &insn->memory;
	const unsigned base = es_rdi ? INSN_RDI : memory->base;
	const unsigned segment = es_rdi ? INSN_ES : memory->segment;
	const ZydisRegister index = register_of(memory->index, insn->address_size);
	int64_t displacement = zydis->disp.has_displacement ? zydis->disp.value : 0;

	/* A full address, which Zydis does not extend. */
	if (base == INSN_NO_REGISTER && insn->address_size == 2)
		displacement = (int16_t)displacement;
	else if (base == INSN_NO_REGISTER && insn->address_size == 4)
		displacement = (int32_t)displacement;
	expect(with, zydis->segment == (ZydisRegister)(ZYDIS_REGISTER_ES + segment), "segment");
	expect(with, zydis->base == register_of(base, insn->address_size) || zydis_sees_r13d(with),
	       "base");
	expect(with, zydis->index == index, "index");
	expect(with, !index || zydis->scale == 1u << memory->shift, "scale");
	expect(with, displacement == memory->displacement || zydis_sees_r13d(with), "displacement");
}

static void same_operand(struct compared *with, const struct insn_operand *ours, unsigned number)
{
	const ZydisDecodedOperand *zydis = &with->operands[number];
	const bool string = with->insn.op >= INSN_MOVS && with->insn.op <= INSN_INS;

	if (ours->kind == INSN_OPERAND_NONE)
		return;
	expect(with, number < with->zydis.operand_count, "operands");
	switch (ours->kind) {
	case INSN_OPERAND_REGISTER:
		expect(with, zydis->type == ZYDIS_OPERAND_TYPE_REGISTER, "operand kind");
		expect(with, zydis->reg.value == register_of(ours->number, ours->size), "register");
		break;
	case INSN_OPERAND_MEMORY:
		expect(with, zydis->type == ZYDIS_OPERAND_TYPE_MEMORY, "operand kind");
		expect(with, zydis->size == 8 * ours->size, "operand size");
		same_memory(with, &zydis->mem, string && number == 0);
		break;
	default:
		expect(with, zydis->type == ZYDIS_OPERAND_TYPE_IMMEDIATE, "operand kind");
		expect(with,
		       zydis->imm.is_signed
			       ? zydis->imm.value.s == with->insn.immediate
			       : !((zydis->imm.value.u ^ (uint64_t)with->insn.immediate) &
				   ((2ull << (zydis->size - 1)) - 1)),
		       "immediate");
	}
}

static void same_insn(struct compared *with)
{
	const ZydisInstructionAttributes repeats =
		ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
	const ZydisInstructionAttributes attributes = with->zydis.attributes;
	const struct insn *insn = &with->insn;
	const bool to_memory = insn->to.kind == INSN_OPERAND_MEMORY;

	expect(with, with->zydis.length == insn->length, "length");
	expect(with, same_operation(insn, with->zydis.mnemonic), "operation");
	expect(with, with->zydis.address_width == 8 * insn->address_size, "address size");
	/* XCHG locks by itself. */
	expect(with,
	       insn->lock == ((attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0 ||
			      (insn->op == INSN_XCHG && to_memory)),
	       "lock");
	expect(with, !insn->repeat || attributes & repeats, "repeat");
	same_operand(with, &insn->to, 0);
	same_operand(with, &insn->from, insn->op != INSN_LMSW);
}

static const char *compare(struct compared *with, enum insn_mode mode)
{
	const enum decode_result ours = decode_insn(with->bytes, with->count, mode, &with->insn);
	const ZyanStatus status = ZydisDecoderDecodeFull(&decoders[mode], with->bytes, with->count,
							 &with->zydis, with->operands);

	ends[ours]++;
	switch (ours) {
	case DECODE_OK:
		expect(with, ZYAN_SUCCESS(status), "valid");
		if (!with->wrong)
			same_insn(with);
		break;
	case DECODE_MORE:
	case DECODE_TOO_LONG:
	case DECODE_UD: expect(with, !ZYAN_SUCCESS(status), "valid"); break;
	case DECODE_UNSUPPORTED:
		if (ZYAN_SUCCESS(status))
			left_out[with->zydis.mnemonic]++;
	}
	return with->wrong;
}

static void check(const uint8_t *bytes, size_t count, enum insn_mode mode)
{
	struct compared with = {.bytes = bytes, .count = count};
	char text[3 * 32 + 1] = "";

	if (!compare(&with, mode))
		return;
	for (size_t i = 0; i < count; i++)
		snprintf(text + 3 * i, 4, " %02x", bytes[i]);
	fail_msg("%u-bit,%s: %s differs (ours %s, %u bytes; Zydis %s, %u bytes)", 16u << mode, text,
		 with.wrong, decode_mnemonic(with.insn.op), with.insn.length,
		 ZydisMnemonicGetString(with.zydis.mnemonic), with.zydis.length);
}

static void random_bytes_decode_as_zydis_says(void **state)
{
	const uint64_t seed = random_setting("UMBRA_TEST_SEED", 6);
	const uint64_t rounds = random_rounds("UMBRA_TEST_ROUNDS", 200000);
	struct random random = {seed};
	uint8_t bytes[32];

	(void)state;
	print_message("# seed %llu, %llu byte strings\n", (unsigned long long)seed,
		      (unsigned long long)rounds);
	for (uint64_t i = 0; i < rounds; i++) {
		size_t count = INSN_MAX_LENGTH + random_below(&random, 2);

		random_insn(&random, bytes);
		/* One in four is any bytes at all. */
		for (unsigned j = 0; i % 4 == 0 && j < 16; j++)
			bytes[j] = (uint8_t)random_next(&random);
		if (random_below(&random, 8) == 0)
			count = random_below(&random, 16);
		check(bytes, count, i % 3);
	}
	print_message("# %lu decoded, %lu cut short, %lu too long, %lu #UD, %lu not ours\n",
		      ends[DECODE_OK], ends[DECODE_MORE], ends[DECODE_TOO_LONG], ends[DECODE_UD],
		      ends[DECODE_UNSUPPORTED]);
	assert_true(ends[DECODE_OK] > rounds / 4);
}

/* Valid for Zydis, not for us: the operations that we have are complete, but for these. */
static void what_is_left_out_is_known(void **state)
{
	static const ZydisMnemonic known[] = {
		ZYDIS_MNEMONIC_MOV, /* of immediates to registers, segment and control registers */
		ZYDIS_MNEMONIC_XCHG, /* of registers with rAX */
		ZYDIS_MNEMONIC_INC, /* 40h to 4Fh */
		ZYDIS_MNEMONIC_DEC,  ZYDIS_MNEMONIC_MOVSD, /* the one of SSE2 */
	};

	(void)state;
	for (unsigned mnemonic = 0; mnemonic <= ZYDIS_MNEMONIC_MAX_VALUE; mnemonic++) {
		bool ours = false;

		for (unsigned op = INSN_ADD; op < INSN_OPS; op++)
			ours |= mnemonics[op] && mnemonics[op] == mnemonic;
		if (left_out[mnemonic] && getenv("UMBRA_TEST_VERBOSE"))
			print_message("# left out: %s %lu\n", ZydisMnemonicGetString(mnemonic),
				      left_out[mnemonic]);
		for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			ours &= mnemonic != known[i];
		if (ours && left_out[mnemonic])
			fail_msg("%s is left out", ZydisMnemonicGetString(mnemonic));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bytes_decode_as_zydis_says),
		cmocka_unit_test(what_is_left_out_is_known),
	};

	ZydisDecoderInit(&decoders[INSN_16], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ZydisDecoderInit(&decoders[INSN_32], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoders[INSN_64], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
