/* SPDX-License-Identifier: MIT */
/*
 * test_decode.c - the decoder against worked examples: each row is bytes and what they say,
 * written down from SDM 2A chapter 2 and the opcode maps.
 *
 * An operand is a register with its size in bytes ("r1.8", "ah"), an immediate ("#-1"), or
 * memory with its size, segment and address: "m8[ds:r0+r1*4+16]", "rip" the instruction's
 * end, "a2" in front if addresses are of two bytes.
 */
#include "hv/decode.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct text {
	char s[160];
	size_t length;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	text->length += (size_t)vsnprintf(text->s + text->length, sizeof(text->s) - text->length,
					  format, list);
	va_end(list);
}

static void put_memory(struct text *text, const struct insn *insn, unsigned size)
{
	static const char segments[][3] = {"es", "cs", "ss", "ds", "fs", "gs"};
	const struct insn_memory *memory = &insn->memory;

	put(text, "m%u[%s:", size, segments[memory->segment]);
	if (memory->base == INSN_RIP)
		put(text, "rip");
	else if (memory->base != INSN_NO_REGISTER)
		put(text, "r%u", memory->base);
	if (memory->index != INSN_NO_REGISTER)
		put(text, "+r%u*%u", memory->index, 1u << memory->shift);
	if (memory->displacement)
		put(text, "%+" PRId64, memory->displacement);
	put(text, "]");
}

static void put_operand(struct text *text, const struct insn *insn,
			const struct insn_operand *operand)
{
	static const char high[][3] = {"ah", "ch", "dh", "bh"};

	switch (operand->kind) {
	case INSN_OPERAND_REGISTER:
		if (operand->number >= INSN_HIGH)
			put(text, " %s", high[operand->number - INSN_HIGH]);
		else
			put(text, " r%u.%u", operand->number, operand->size);
		break;
	case INSN_OPERAND_MEMORY:
		put(text, " ");
		put_memory(text, insn, operand->size);
		break;
	case INSN_OPERAND_IMMEDIATE: put(text, " #%" PRId64, insn->immediate); break;
	}
}

static void put_insn(struct text *text, const struct insn *insn)
{
	static const unsigned usual[] = {[INSN_16] = 2, [INSN_32] = 4, [INSN_64] = 8};

	if (insn->address_size != usual[insn->mode])
		put(text, "a%u ", insn->address_size);
	put(text, "%s%s%s", insn->lock ? "lock " : "", insn->repeat ? "rep " : "",
	    decode_mnemonic(insn->op));
	put_operand(text, insn, &insn->to);
	put_operand(text, insn, &insn->from);
}

struct example {
	enum insn_mode mode;
	/** With one byte less it is MORE, with one more it is the same. */
	const char *bytes;
	const char *says;
};

static size_t parse(const char *hex, uint8_t bytes[32])
{
	size_t count = 0;
	unsigned byte;

	for (; sscanf(hex, " %2x", &byte) == 1; hex += 2 + (hex[2] == ' '))
		bytes[count++] = (uint8_t)byte;
	return count;
}

static const struct example examples[] = {
	/* Sizes. */
	{INSN_64, "48 89 07", "mov m8[ds:r7] r0.8"},
	{INSN_64, "89 07", "mov m4[ds:r7] r0.4"},
	{INSN_64, "66 89 07", "mov m2[ds:r7] r0.2"},
	{INSN_64, "88 27", "mov m1[ds:r7] ah"},
	{INSN_64, "40 88 27", "mov m1[ds:r7] r4.1"},
	{INSN_64, "66 48 89 07", "mov m8[ds:r7] r0.8"},
	{INSN_64, "48 66 89 07", "mov m2[ds:r7] r0.2"}, /* a REX that counts no more */
	{INSN_64, "f3 4d 89 c7", "mov r15.8 r8.8"}, /* XRELEASE and nonsense */
	{INSN_32, "89 07", "mov m4[ds:r7] r0.4"},
	{INSN_32, "66 89 07", "mov m2[ds:r7] r0.2"},
	{INSN_16, "89 07", "mov m2[ds:r3] r0.2"},
	{INSN_16, "66 89 07", "mov m4[ds:r3] r0.4"},
	{INSN_32, "88 e1", "mov r1.1 ah"},
	{INSN_64, "48 8b 0e", "mov r1.8 m8[ds:r6]"},
	/* Addressing, 64 bits. */
	{INSN_64, "48 89 84 8b 78 56 34 12", "mov m8[ds:r3+r1*4+305419896] r0.8"},
	{INSN_64, "4e 89 04 f4", "mov m8[ss:r4+r14*8] r8.8"},
	{INSN_64, "89 04 24", "mov m4[ss:r4] r0.4"},
	{INSN_64, "41 89 04 24", "mov m4[ds:r12] r0.4"},
	{INSN_64, "89 45 80", "mov m4[ss:r5-128] r0.4"},
	{INSN_64, "41 89 45 80", "mov m4[ds:r13-128] r0.4"},
	{INSN_64, "89 05 fc ff ff ff", "mov m4[ds:rip-4] r0.4"},
	{INSN_64, "67 89 05 fc ff ff ff", "a4 mov m4[ds:rip-4] r0.4"},
	{INSN_64, "41 89 05 01 00 00 00", "mov m4[ds:rip+1] r0.4"},
	{INSN_64, "89 04 25 00 00 00 80", "mov m4[ds:-2147483648] r0.4"},
	{INSN_64, "41 89 04 25 01 00 00 00", "mov m4[ds:+1] r0.4"},
	{INSN_64, "89 04 65 01 00 00 00", "mov m4[ds:+1] r0.4"},
	{INSN_64, "42 89 04 65 01 00 00 00", "mov m4[ds:+r12*2+1] r0.4"},
	{INSN_64, "67 89 07", "a4 mov m4[ds:r7] r0.4"},
	{INSN_64, "a3 01 00 00 00 00 80 ff ff", "mov m4[ds:-140737488355327] r0.4"},
	{INSN_64, "67 48 a1 01 00 00 00", "a4 mov r0.8 m8[ds:+1]"},
	/* Addressing, 32 and 16 bits. */
	{INSN_32, "89 05 fc ff ff ff", "mov m4[ds:-4] r0.4"},
	{INSN_32, "89 84 ac 10 00 00 00", "mov m4[ss:r4+r5*4+16] r0.4"},
	{INSN_32, "a3 01 00 00 80", "mov m4[ds:-2147483647] r0.4"},
	{INSN_32, "67 a2 01 80", "a2 mov m1[ds:-32767] r0.1"},
	{INSN_32, "67 89 42 fe", "a2 mov m4[ss:r5+r6*1-2] r0.4"},
	{INSN_16, "89 00", "mov m2[ds:r3+r6*1] r0.2"},
	{INSN_16, "89 01", "mov m2[ds:r3+r7*1] r0.2"},
	{INSN_16, "89 03", "mov m2[ss:r5+r7*1] r0.2"},
	{INSN_16, "89 04", "mov m2[ds:r6] r0.2"},
	{INSN_16, "89 05", "mov m2[ds:r7] r0.2"},
	{INSN_16, "89 06 34 12", "mov m2[ds:+4660] r0.2"},
	{INSN_16, "89 46 12", "mov m2[ss:r5+18] r0.2"},
	{INSN_16, "89 86 00 ff", "mov m2[ss:r5-256] r0.2"},
	{INSN_16, "67 89 04 b3", "a4 mov m2[ds:r3+r6*4] r0.2"},
	/* Segments. */
	{INSN_64, "65 48 89 07", "mov m8[gs:r7] r0.8"},
	{INSN_64, "64 3e 89 07", "mov m4[fs:r7] r0.4"}, /* DS has no effect, FS stays */
	{INSN_64, "2e 89 45 00", "mov m4[ss:r5] r0.4"},
	{INSN_32, "64 3e 89 07", "mov m4[ds:r7] r0.4"},
	{INSN_32, "2e 89 45 00", "mov m4[cs:r5] r0.4"},
	{INSN_16, "36 26 89 07", "mov m2[es:r3] r0.2"},
	/* Immediates. */
	{INSN_64, "48 c7 07 ff ff ff ff", "mov m8[ds:r7] #-1"},
	{INSN_64, "66 c7 07 ff 7f", "mov m2[ds:r7] #32767"},
	{INSN_64, "c6 05 00 00 00 00 80", "mov m1[ds:rip] #-128"},
	{INSN_64, "48 83 0f 80", "or m8[ds:r7] #-128"},
	{INSN_16, "81 0f 00 80", "or m2[ds:r3] #-32768"},
	{INSN_32, "82 0f 01", "or m1[ds:r7] #1"},
	{INSN_64, "48 25 00 00 00 80", "and r0.8 #-2147483648"},
	{INSN_64, "48 f7 07 01 00 00 00", "test m8[ds:r7] #1"},
	{INSN_64, "f6 0f 01", "test m1[ds:r7] #1"}, /* the alias /1 */
	/* LOCK and the rest of the operations. */
	{INSN_64, "f0 48 01 07", "lock add m8[ds:r7] r0.8"},
	{INSN_64, "f0 48 83 27 fd", "lock and m8[ds:r7] #-3"},
	{INSN_64, "f0 48 ff 07", "lock inc m8[ds:r7]"},
	{INSN_64, "f0 fe 0f", "lock dec m1[ds:r7]"},
	{INSN_64, "f0 f7 17", "lock not m4[ds:r7]"},
	{INSN_64, "f0 f7 1f", "lock neg m4[ds:r7]"},
	{INSN_64, "f0 48 0f ab 07", "lock bts m8[ds:r7] r0.8"},
	{INSN_64, "f0 48 0f ba 37 3f", "lock btr m8[ds:r7] #63"},
	{INSN_64, "f0 0f bb 07", "lock btc m4[ds:r7] r0.4"},
	{INSN_64, "0f a3 07", "bt m4[ds:r7] r0.4"},
	{INSN_64, "0f ba 27 05", "bt m4[ds:r7] #5"},
	{INSN_64, "48 87 07", "lock xchg m8[ds:r7] r0.8"}, /* by itself */
	{INSN_64, "48 87 c7", "xchg r7.8 r0.8"},
	{INSN_64, "f0 48 0f b1 0f", "lock cmpxchg m8[ds:r7] r1.8"},
	{INSN_64, "0f b0 2f", "cmpxchg m1[ds:r7] ch"},
	{INSN_64, "f0 0f c1 07", "lock xadd m4[ds:r7] r0.4"},
	{INSN_64, "f0 0f c7 0f", "lock cmpxchg8b m8[ds:r7]"},
	{INSN_64, "f0 48 0f c7 0f", "lock cmpxchg8b m16[ds:r7]"},
	{INSN_64, "66 0f c7 0f", "cmpxchg8b m8[ds:r7]"},
	{INSN_64, "48 0f c3 07", "mov m8[ds:r7] r0.8"},
	{INSN_16, "0f c3 07", "mov m4[ds:r3] r0.4"},
	{INSN_64, "0f b6 07", "movzx r0.4 m1[ds:r7]"},
	{INSN_64, "48 0f bf c4", "movsx r0.8 r4.2"},
	{INSN_64, "48 63 07", "movsx r0.8 m4[ds:r7]"},
	{INSN_64, "38 e0", "cmp r0.1 ah"},
	{INSN_64, "4c 39 07", "cmp m8[ds:r7] r8.8"},
	/* Strings. */
	{INSN_64, "f3 48 ab", "rep stos m8[ds:r6] r0.8"},
	{INSN_64, "f2 aa", "rep stos m1[ds:r6] r0.1"},
	{INSN_64, "65 a5", "movs m4[gs:r6] m4[gs:r6]"},
	{INSN_16, "66 67 f3 a5", "a4 rep movs m4[ds:r6] m4[ds:r6]"},
};

static void examples_decode_as_they_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *example = &examples[i];
		struct text text = {.length = 0};
		struct insn insn;
		uint8_t bytes[32] = {0};
		const size_t count = parse(example->bytes, bytes);

		for (size_t less = 0; less < count; less++)
			assert_int_equal(decode_insn(bytes, less, example->mode, &insn),
					 DECODE_MORE);
		if (decode_insn(bytes, count + 1, example->mode, &insn) != DECODE_OK)
			fail_msg("%s: not decoded", example->bytes);
		put_insn(&text, &insn);
		if (strcmp(text.s, example->says))
			fail_msg("%s: %s, not %s", example->bytes, text.s, example->says);
		assert_int_equal(insn.length, count);
		assert_int_equal(insn.mode, example->mode);
	}
}

struct refusal {
	enum insn_mode mode;
	const char *bytes;
	enum decode_result result;
};

static const struct refusal refusals[] = {
	{INSN_64, "f0 48 89 07", DECODE_UD}, /* LOCK: MOV, */
	{INSN_64, "f0 01 c0", DECODE_UD}, /* a register, */
	{INSN_64, "f0 03 07", DECODE_UD}, /* a source in memory, */
	{INSN_64, "f0 39 07", DECODE_UD}, /* CMP, */
	{INSN_64, "f0 85 07", DECODE_UD}, /* TEST, */
	{INSN_64, "f0 0f a3 07", DECODE_UD}, /* BT, */
	{INSN_64, "f0 0f ba 27 00", DECODE_UD},
	{INSN_64, "f0 ab", DECODE_UD}, /* STOS, */
	{INSN_64, "f0 87 c0", DECODE_UD}, /* XCHG of registers */
	{INSN_64, "0f c7 c8", DECODE_UD}, /* CMPXCHG8B of a register */
	{INSN_64, "0f c3 c0", DECODE_UD},
	{INSN_64, "66 0f c3 00", DECODE_UD},
	{INSN_64, "82 00 00", DECODE_UD},
	{INSN_64, "0f ba 07 00", DECODE_UD},
	{INSN_64, "fe 17", DECODE_UD},
	{INSN_64, "ff 17", DECODE_UNSUPPORTED}, /* CALL */
	{INSN_64, "90", DECODE_UNSUPPORTED},
	{INSN_64, "0f 7f 07", DECODE_UNSUPPORTED}, /* MOVQ of MMX */
	{INSN_64, "c5 fd 7f 07", DECODE_UNSUPPORTED}, /* VMOVDQA */
	{INSN_64, "66 63 07", DECODE_UNSUPPORTED},
	{INSN_32, "63 07", DECODE_UNSUPPORTED}, /* ARPL */
	{INSN_32, "40", DECODE_UNSUPPORTED}, /* INC EAX */
	{INSN_64, "c7 f8 00 00 00 00", DECODE_UNSUPPORTED}, /* XBEGIN */
	{INSN_64, "", DECODE_MORE},
	/* 15 bytes are an instruction, 16 are not. */
	{INSN_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 89 07", DECODE_OK},
	{INSN_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 89 07", DECODE_TOO_LONG},
	{INSN_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 66", DECODE_TOO_LONG},
};

static void what_is_not_ours_or_not_legal_is_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		uint8_t bytes[32] = {0};
		struct insn insn;
		const size_t count = parse(refusals[i].bytes, bytes);
		const enum decode_result result =
			decode_insn(bytes, count, refusals[i].mode, &insn);

		if (result != refusals[i].result)
			fail_msg("%s: %d, not %d", refusals[i].bytes, result, refusals[i].result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_decode_as_they_say),
		cmocka_unit_test(what_is_not_ours_or_not_legal_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
