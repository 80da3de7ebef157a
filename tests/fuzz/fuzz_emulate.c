/* SPDX-License-Identifier: MIT */
/*
 * fuzz_emulate.c - libFuzzer target: any bytes as an instruction, any registers, memory that
 * refuses as the input says.
 *
 * It must end, read no byte past those that are there (the bytes are copied to the end of an
 * allocation for ASan), and be true to its word: RETRY and CANNOT change no register, no
 * access wraps around, is empty or over 16 bytes long, writes say that they are, and what is
 * decoded from a longer string is decoded from its own length alone.
 */
#include "hv/emulate.h"

#include <stdlib.h>
#include <string.h>

struct input {
	uint64_t gpr[16], rip, rflags, bases[2];
	uint32_t limit, attributes, cs_attributes, ends;
	uint8_t efer, cr0, cr4, cpl;
};

struct memory {
	/** Two bits an access: enum emulate_end. */
	uint32_t ends;
	const uint8_t *bytes;
	size_t count;
};

static void check(bool good)
{
	if (!good)
		abort();
}

static enum emulate_end next(struct memory *memory, const struct emulate_access *at,
			     struct emulate_fault *fault)
{
	const enum emulate_end end = memory->ends & 3;

	check(at->count >= 1 && at->count <= 16);
	check(at->linear + at->count - 1 >= at->linear);
	memory->ends = memory->ends >> 2;
	if (end == EMULATE_FAULT)
		*fault = (struct emulate_fault){.vector = 14, .has_code = true};
	return end;
}

static enum emulate_end any_read(void *context, const struct emulate_access *at, void *bytes,
				 struct emulate_fault *fault)
{
	struct memory *memory = context;

	if (at->access & UMBRA_ACCESS_FETCH) {
		check(at->count <= INSN_MAX_LENGTH);
		for (size_t i = 0; i < at->count; i++)
			((uint8_t *)bytes)[i] =
				memory->count ? memory->bytes[i % memory->count] : 0x66;
		return EMULATE_DONE;
	}
	memset(bytes, (int)at->linear, at->count);
	return next(memory, at, fault);
}

static enum emulate_end any_write(void *context, const struct emulate_access *at, const void *bytes,
				  struct emulate_fault *fault)
{
	uint8_t sink[16];

	memcpy(sink, bytes, at->count);
	check(at->access & UMBRA_ACCESS_WRITE);
	return next(context, at, fault);
}

static enum emulate_end any_exchange(void *context, const struct emulate_access *at,
				     const void *const bytes[2], struct emulate_fault *fault)
{
	uint8_t sink[16];

	memcpy(sink, bytes[0], at->count);
	return any_write(context, at, bytes[1], fault);
}

static enum emulate_end any_in(void *context, uint16_t port, unsigned bytes, uint32_t *value)
{
	(void)context;
	check(bytes == 1 || bytes == 2 || bytes == 4);
	*value = port;
	return EMULATE_DONE;
}

static enum emulate_end any_out(void *context, uint16_t port, unsigned bytes, uint32_t value)
{
	(void)port;
	(void)value;
	check(bytes == 1 || bytes == 2 || bytes == 4);
	return ((const struct memory *)context)->ends & 4 ? EMULATE_CANNOT : EMULATE_DONE;
}

static const struct emulate_ops ops = {any_read, any_write, any_exchange, any_in, any_out};

static void decode(const uint8_t *bytes, size_t count, enum insn_mode mode)
{
	struct insn insn, again;

	if (decode_insn(bytes, count, mode, &insn) != DECODE_OK)
		return;
	check(insn.length >= 1 && insn.length <= count && insn.length <= INSN_MAX_LENGTH);
	check(decode_insn(bytes, insn.length, mode, &again) == DECODE_OK);
	check(!memcmp(&insn, &again, sizeof(insn)));
	check(decode_insn(bytes, insn.length - 1u, mode, &again) == DECODE_MORE);
	check(insn.op > INSN_NONE && insn.op < INSN_OPS);
	check(!insn.lock || insn.to.kind == INSN_OPERAND_MEMORY);
}

static void emulate(const struct input *in, struct memory *memory)
{
	struct emulate_cpu cpu = {.rip = in->rip,
				  .rflags = in->rflags,
				  .cr0 = in->cr0 & 1 ? UMBRA_CR0_PE : 0,
				  .cr4 = in->cr4 & 1 ? UMBRA_CR4_LA57 : 0,
				  .efer = in->efer & 1 ? UMBRA_EFER_LMA : 0,
				  .cpl = in->cpl & 3};
	struct emulate_cpu before;
	struct emulate_fault fault = {0};
	enum emulate_end end;

	memcpy(cpu.gpr, in->gpr, sizeof(cpu.gpr));
	for (unsigned i = 0; i < INSN_SEGMENTS; i++)
		cpu.segment[i] =
			(struct emulate_segment){in->bases[i & 1], in->limit, in->attributes};
	cpu.segment[INSN_CS].attributes = in->cs_attributes;
	before = cpu;
	end = emulate_step(&cpu, &ops, memory, &fault);
	if (end == EMULATE_RETRY || end == EMULATE_CANNOT)
		check(!memcmp(&cpu, &before, sizeof(cpu)));
	if (end == EMULATE_FAULT)
		check(fault.vector == 6 || (fault.vector >= 12 && fault.vector <= 17));
	if (end == EMULATE_DONE)
		check(cpu.rip != before.rip || cpu.gpr[INSN_RCX] != before.gpr[INSN_RCX]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {0};
	struct memory memory;
	/* The instruction comes first: that is what there is most to find in. */
	const size_t count = size < 17 ? size : 17;
	uint8_t *bytes = malloc(count ? count : 1);

	if (!bytes)
		return 0;
	memcpy(bytes, data, count);
	data += count;
	size -= count;
	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
	for (unsigned mode = INSN_16; mode <= INSN_64; mode++)
		decode(bytes, count, mode);
	memory = (struct memory){.ends = in.ends, .bytes = bytes, .count = count};
	emulate(&in, &memory);
	free(bytes);
	return 0;
}
