/* SPDX-License-Identifier: MIT */
/*
 * emulate.c - the emulator: what a decoded instruction does to registers and memory.
 *
 *	emulate_insn -> move     load, store
 *	             -> test     load, load, flags            CMP, TEST, BT
 *	             -> modify   load, change, store          all that may have LOCK
 *	             -> pair     the same, of two registers   CMPXCHG8B, CMPXCHG16B
 *	             -> string   element by element           MOVS, STOS, INS, OUTS
 *	             -> status   half of CR0                  SMSW, LMSW
 *
 * Everything that can fail comes before the first register changes, and memory is written
 * once, last of what can fail: what does not end as DONE has changed nothing, except that a
 * REP keeps the elements before a fault, as it does on a CPU.
 *
 * An operand that will be written is read as one that will be: the fault of a write comes
 * before anything is made of the value. LOCK is a compare-exchange of what was read, and
 * begins anew where another CPU has changed it; after TRIES of them the guest gets its
 * turn with nothing done. CMPXCHG that finds another value writes back the one that it
 * found, as the manuals have it.
 *
 * Values are as in memory: x86 is little-endian here as there.
 */
#include "hv/alu.h"
#include "hv/segment.h"

#define TRIES 16
#define CPL_USER 3
#define CR0_AM (1ull << 18)
#define CR0_LMSW 0xfull /* PE, MP, EM, TS */
#define CR4_UMIP (1ull << 11)

/* An instruction being carried out. */
struct work {
	struct emulate_cpu *cpu;
	const struct insn *insn;
	const struct emulate_ops *ops;
	void *context;
	struct emulate_fault *fault;
	/** The memory operand, when locate() has found it. */
	struct emulate_access at;
};

enum insn_mode emulate_mode(const struct emulate_cpu *cpu)
{
	const uint32_t attributes = cpu->segment[INSN_CS].attributes;

	if (cpu->efer & UMBRA_EFER_LMA && attributes & EMULATE_SEGMENT_L)
		return INSN_64;
	return attributes & EMULATE_SEGMENT_DB ? INSN_32 : INSN_16;
}

/* ---- registers ---- */

static uint64_t register_read(const struct emulate_cpu *cpu, unsigned number, unsigned size)
{
	if (number >= INSN_HIGH)
		return cpu->gpr[number - INSN_HIGH] >> 8 & 0xff;
	return cpu->gpr[number] & alu_mask(size);
}

/* Four bytes clear the upper half, one and two leave the rest (SDM 1 3.4.1.1). */
static void register_write(struct emulate_cpu *cpu, unsigned number, unsigned size, uint64_t value)
{
	uint64_t *gpr = &cpu->gpr[number >= INSN_HIGH ? number - INSN_HIGH : number];

	value &= alu_mask(size);
	if (number >= INSN_HIGH)
		*gpr = (*gpr & ~0xff00ull) | value << 8;
	else
		*gpr = size < 4 ? (*gpr & ~alu_mask(size)) | value : value;
}

static void register_add(struct emulate_cpu *cpu, unsigned number, unsigned size, uint64_t value)
{
	register_write(cpu, number, size, cpu->gpr[number] + value);
}

static void operand_write(struct work *work, const struct insn_operand *operand, uint64_t value)
{
	register_write(work->cpu, operand->number, operand->size, value);
}

/* ---- memory ---- */

static bool is_bit_test(enum insn_op op)
{
	return op >= INSN_BT && op <= INSN_BTC;
}

/* A bit number in a register reaches beyond the operand: which operand-sized piece
 * from there, in bytes (SDM 2A 3.1.1.9). */
static uint64_t bit_displacement(const struct work *work)
{
	const struct insn_operand *from = &work->insn->from;
	const unsigned size = from->size, unused = 64 - 8 * size;
	int64_t bit;

	if (!is_bit_test(work->insn->op) || from->kind != INSN_OPERAND_REGISTER)
		return 0;
	bit = (int64_t)(register_read(work->cpu, from->number, size) << unused) >> unused;
	return (uint64_t)(bit >> 3) & ~(uint64_t)(size - 1);
}

static uint64_t effective(const struct work *work)
{
	const struct insn_memory *memory = &work->insn->memory;
	const struct emulate_cpu *cpu = work->cpu;
	uint64_t offset = (uint64_t)memory->displacement + bit_displacement(work);

	if (memory->base == INSN_RIP)
		offset += cpu->rip + work->insn->length;
	else if (memory->base != INSN_NO_REGISTER)
		offset += cpu->gpr[memory->base];
	if (memory->index != INSN_NO_REGISTER)
		offset += cpu->gpr[memory->index] << memory->shift;
	return offset & alu_mask(work->insn->address_size);
}

static uint8_t access_of(const struct emulate_cpu *cpu, unsigned access)
{
	return (uint8_t)(access | (cpu->cpl == CPL_USER ? UMBRA_ACCESS_USER : 0) |
			 (cpu->rflags & RFLAGS_AC ? UMBRA_ACCESS_AC : 0));
}

/* CMPXCHG16B insists on its own; other data may be misaligned unless told not to. */
static enum emulate_end check_alignment(struct work *work)
{
	const struct emulate_cpu *cpu = work->cpu;

	if (!(work->at.linear & (work->at.count - 1u)))
		return EMULATE_DONE;
	if (work->at.count == 16)
		return segment_fault(work->fault, VECTOR_GP, true);
	if (cpu->cpl == CPL_USER && cpu->cr0 & CR0_AM && cpu->rflags & RFLAGS_AC)
		return segment_fault(work->fault, VECTOR_AC, true);
	return EMULATE_DONE;
}

static enum emulate_end locate_range(struct work *work, const struct segment_range *range)
{
	enum emulate_end end;

	work->at.count = (uint8_t)range->count;
	work->at.access = access_of(work->cpu, range->write ? UMBRA_ACCESS_WRITE : 0);
	end = segment_data(work->cpu, range, &work->at.linear, work->fault);
	return end == EMULATE_DONE ? check_alignment(work) : end;
}

static enum emulate_end locate(struct work *work, unsigned size, bool write)
{
	const struct segment_range range = {
		.segment = work->insn->memory.segment,
		.write = write,
		.count = size,
		.offset = effective(work),
	};

	return locate_range(work, &range);
}

/* The string operand at rSI or rDI. Both have the same size, where there are two. */
static enum emulate_end locate_string(struct work *work, unsigned index)
{
	const bool write = index == INSN_RDI;
	const struct segment_range range = {
		.segment = write ? (uint8_t)INSN_ES : work->insn->memory.segment,
		.write = write,
		.count = write ? work->insn->to.size : work->insn->from.size,
		.offset = register_read(work->cpu, index, work->insn->address_size),
	};

	return locate_range(work, &range);
}

static enum emulate_end memory_read(struct work *work, uint64_t *value)
{
	*value = 0;
	return work->ops->read(work->context, &work->at, value, work->fault);
}

static enum emulate_end memory_write(struct work *work, const uint64_t *value)
{
	return work->ops->write(work->context, &work->at, value, work->fault);
}

/* Store @new where @old was read, as atomically as the instruction is. */
static enum emulate_end memory_replace(struct work *work, const uint64_t *old, const uint64_t *new)
{
	const void *const bytes[2] = {old, new};

	if (!work->insn->lock)
		return memory_write(work, new);
	if (!work->ops->exchange)
		return EMULATE_CANNOT;
	return work->ops->exchange(work->context, &work->at, bytes, work->fault);
}

static enum emulate_end load(struct work *work, const struct insn_operand *operand, uint64_t *value)
{
	enum emulate_end end;

	switch (operand->kind) {
	case INSN_OPERAND_REGISTER:
		*value = register_read(work->cpu, operand->number, operand->size);
		return EMULATE_DONE;
	case INSN_OPERAND_MEMORY:
		end = locate(work, operand->size, false);
		return end == EMULATE_DONE ? memory_read(work, value) : end;
	default: *value = (uint64_t)work->insn->immediate; return EMULATE_DONE;
	}
}

/* ---- instructions ---- */

static uint64_t extend_sign(uint64_t value, unsigned size)
{
	const unsigned unused = 64 - 8 * size;

	return (uint64_t)((int64_t)(value << unused) >> unused);
}

static enum emulate_end move(struct work *work)
{
	const struct insn *insn = work->insn;
	uint64_t value;
	enum emulate_end end = load(work, &insn->from, &value);

	if (end != EMULATE_DONE)
		return end;
	if (insn->op == INSN_MOVSX)
		value = extend_sign(value, insn->from.size);
	if (insn->to.kind == INSN_OPERAND_REGISTER) {
		operand_write(work, &insn->to, value);
		return EMULATE_DONE;
	}
	end = locate(work, insn->to.size, true);
	return end == EMULATE_DONE ? memory_write(work, &value) : end;
}

static enum emulate_end test(struct work *work)
{
	const struct insn *insn = work->insn;
	struct alu in = {.size = insn->to.size};
	enum emulate_end end = load(work, &insn->to, &in.to);

	/* At most one of the two is in memory. */
	if (end == EMULATE_DONE)
		end = load(work, &insn->from, &in.from);
	if (end == EMULATE_DONE)
		alu_apply(insn->op, &in, &work->cpu->rflags);
	return end;
}

/* What an instruction makes of the operand that it changes. */
struct change {
	uint64_t from, old, new;
	uint64_t rflags;
};

static void change(const struct work *work, struct change *what)
{
	const struct insn *insn = work->insn;
	struct alu in = {insn->to.size, what->old, what->from};

	what->rflags = work->cpu->rflags;
	switch (insn->op) {
	case INSN_XCHG: what->new = what->from; break;
	case INSN_CMPXCHG:
		in.to = register_read(work->cpu, INSN_RAX, in.size);
		in.from = what->old;
		alu_apply(INSN_CMPXCHG, &in, &what->rflags);
		what->new = what->rflags &RFLAGS_ZF ? what->from : what->old;
		break;
	default: what->new = alu_apply(insn->op, &in, &what->rflags);
	}
}

/* Memory is written; registers follow. A CMPXCHG that finds another value leaves a register as
 * it is, upper half included. */
static void commit(struct work *work, const struct change *what)
{
	const struct insn *insn = work->insn;

	work->cpu->rflags = what->rflags;
	if (insn->op == INSN_XCHG || insn->op == INSN_XADD)
		operand_write(work, &insn->from, what->old);
	if (insn->op == INSN_CMPXCHG && !(what->rflags & RFLAGS_ZF))
		register_write(work->cpu, INSN_RAX, insn->to.size, what->old);
	else if (insn->to.kind == INSN_OPERAND_REGISTER)
		operand_write(work, &insn->to, what->new);
}

static enum emulate_end modify(struct work *work)
{
	const struct insn *insn = work->insn;
	const bool memory = insn->to.kind == INSN_OPERAND_MEMORY;
	struct change what = {0};
	enum emulate_end end = load(work, &insn->from, &what.from);

	if (end == EMULATE_DONE)
		end = memory ? locate(work, insn->to.size, true) : load(work, &insn->to, &what.old);
	if (end != EMULATE_DONE)
		return end;
	for (unsigned i = 0; i < TRIES; i++) {
		if (memory)
			end = memory_read(work, &what.old);
		if (end != EMULATE_DONE)
			return end;
		change(work, &what);
		if (memory)
			end = memory_replace(work, &what.old, &what.new);
		if (end != EMULATE_RETRY)
			break;
	}
	if (end == EMULATE_DONE)
		commit(work, &what);
	return end;
}

/* Two registers as one value of twice @half bytes. */
static void pair_read(const struct emulate_cpu *cpu, const uint8_t registers[2], unsigned half,
		      uint64_t value[2])
{
	value[0] = register_read(cpu, registers[0], half);
	value[1] = register_read(cpu, registers[1], half);
	if (half == 4) {
		value[0] |= value[1] << 32;
		value[1] = 0;
	}
}

/* CMPXCHG8B, CMPXCHG16B: ZF is the only flag. */
static enum emulate_end pair(struct work *work)
{
	static const uint8_t rdx_rax[2] = {INSN_RAX, INSN_RDX}, rcx_rbx[2] = {INSN_RBX, INSN_RCX};
	const unsigned size = work->insn->to.size, half = size / 2;
	struct emulate_cpu *cpu = work->cpu;
	uint64_t wanted[2], desired[2], old[2];
	bool equal = false;
	enum emulate_end end = locate(work, size, true);

	if (end != EMULATE_DONE)
		return end;
	pair_read(cpu, rdx_rax, half, wanted);
	pair_read(cpu, rcx_rbx, half, desired);
	for (unsigned i = 0; i < TRIES; i++) {
		old[1] = 0;
		end = memory_read(work, old);
		if (end != EMULATE_DONE)
			return end;
		equal = old[0] == wanted[0] && old[1] == wanted[1];
		end = memory_replace(work, old, equal ? desired : old);
		if (end != EMULATE_RETRY)
			break;
	}
	if (end != EMULATE_DONE)
		return end;
	cpu->rflags = (cpu->rflags & ~RFLAGS_ZF) | (equal ? RFLAGS_ZF : 0);
	if (!equal) {
		register_write(cpu, INSN_RAX, half, old[0]);
		register_write(cpu, INSN_RDX, half, half == 4 ? old[0] >> 32 : old[1]);
	}
	return EMULATE_DONE;
}

/* What a string instruction takes an element from, and gives it to. Memory that INS is going
 * to write is tried first: its port cannot be read twice. */
static enum emulate_end element_get(struct work *work, uint64_t *value)
{
	const struct insn *insn = work->insn;
	uint32_t read = 0;
	enum emulate_end end;

	*value = work->cpu->gpr[INSN_RAX];
	if (insn->op == INSN_STOS)
		return EMULATE_DONE;
	end = locate_string(work, insn->op == INSN_INS ? INSN_RDI : INSN_RSI);
	if (end == EMULATE_DONE)
		end = memory_read(work, value);
	if (end != EMULATE_DONE || insn->op != INSN_INS)
		return end;
	end = work->ops->in(work->context, (uint16_t)work->cpu->gpr[INSN_RDX], insn->to.size,
			    &read);
	*value = read;
	return end;
}

static enum emulate_end element_put(struct work *work, uint64_t value)
{
	enum emulate_end end;

	if (work->insn->op == INSN_OUTS)
		return work->ops->out(work->context, (uint16_t)work->cpu->gpr[INSN_RDX],
				      work->insn->from.size, (uint32_t)value);
	end = locate_string(work, INSN_RDI);
	return end == EMULATE_DONE ? memory_write(work, &value) : end;
}

static enum emulate_end element(struct work *work)
{
	const struct insn *insn = work->insn;
	const unsigned size = insn->to.size | insn->from.size, width = insn->address_size;
	const uint64_t step = work->cpu->rflags & RFLAGS_DF ? -(uint64_t)size : size;
	uint64_t value;
	enum emulate_end end = element_get(work, &value);

	if (end == EMULATE_DONE)
		end = element_put(work, value);
	if (end != EMULATE_DONE)
		return end;
	if (insn->op == INSN_MOVS || insn->op == INSN_OUTS)
		register_add(work->cpu, INSN_RSI, width, step);
	if (insn->op != INSN_OUTS)
		register_add(work->cpu, INSN_RDI, width, step);
	if (insn->repeat)
		register_add(work->cpu, INSN_RCX, width, ~0ull);
	return EMULATE_DONE;
}

/* The instruction has ended: RIP goes on, and RF was for this one only (SDM 3B 18.3.1.1). */
static void finish(struct work *work)
{
	struct emulate_cpu *cpu = work->cpu;

	cpu->rip += work->insn->length;
	if (work->insn->mode != INSN_64)
		cpu->rip &= 0xffffffff;
	cpu->rflags &= ~RFLAGS_RF;
}

/* With a count of 0 nothing happens, to the upper halves of registers either, which some
 * CPUs clear with 32-bit addresses. */
static enum emulate_end string(struct work *work)
{
	const struct insn *insn = work->insn;
	const unsigned most = work->cpu->rflags & RFLAGS_TF ? 1 : EMULATE_BATCH;
	uint64_t left = insn->repeat ? register_read(work->cpu, INSN_RCX, insn->address_size) : 1;

	if ((insn->op == INSN_INS && !work->ops->in) || (insn->op == INSN_OUTS && !work->ops->out))
		return EMULATE_CANNOT;
	for (unsigned i = 0; left && i < most; i++, left--) {
		enum emulate_end end = element(work);

		/* What is done is done; the rest comes to us again, or not. */
		if (end != EMULATE_DONE)
			return end == EMULATE_FAULT || i == 0 ? end : EMULATE_DONE;
	}
	if (!left)
		finish(work);
	return EMULATE_DONE;
}

/* SMSW stores the lower half of CR0, or all that a register holds; LMSW loads four bits, of
 * which PE is set but never cleared (SDM 2A, LMSW). */
static enum emulate_end status(struct work *work)
{
	const struct insn *insn = work->insn;
	struct emulate_cpu *cpu = work->cpu;
	uint64_t value = cpu->cr0;
	enum emulate_end end;

	if (cpu->cpl && (insn->op == INSN_LMSW || cpu->cr4 & CR4_UMIP))
		return segment_fault(work->fault, VECTOR_GP, true);
	if (insn->op == INSN_LMSW) {
		end = load(work, &insn->from, &value);
		if (end == EMULATE_DONE)
			cpu->cr0 = (cpu->cr0 & (~CR0_LMSW | UMBRA_CR0_PE)) | (value & CR0_LMSW);
		return end;
	}
	if (insn->to.kind == INSN_OPERAND_REGISTER) {
		operand_write(work, &insn->to, value);
		return EMULATE_DONE;
	}
	end = locate(work, insn->to.size, true);
	return end == EMULATE_DONE ? memory_write(work, &value) : end;
}

/* ---- the whole ---- */

enum emulate_end emulate_fetch(const struct emulate_cpu *cpu, const struct emulate_ops *ops,
			       void *context, struct insn *insn, struct emulate_fault *fault)
{
	const enum insn_mode mode = emulate_mode(cpu);
	uint8_t bytes[INSN_MAX_LENGTH];
	enum decode_result result = DECODE_MORE;
	unsigned have = 0;

	while (result == DECODE_MORE) {
		uint64_t offset = cpu->rip + have;
		struct emulate_access at = {.access = access_of(cpu, UMBRA_ACCESS_FETCH)};
		unsigned count = INSN_MAX_LENGTH - have;
		enum emulate_end end;

		if (mode != INSN_64)
			offset &= 0xffffffff;
		end = segment_code(cpu, offset, &count, &at.linear, fault);
		if (end != EMULATE_DONE)
			return end;
		at.count = (uint8_t)count;
		end = ops->read(context, &at, bytes + have, fault);
		if (end != EMULATE_DONE)
			return end;
		have += count;
		result = decode_insn(bytes, have, mode, insn);
	}
	switch (result) {
	case DECODE_OK: return EMULATE_DONE;
	case DECODE_UD: return segment_fault(fault, VECTOR_UD, false);
	case DECODE_TOO_LONG: return segment_fault(fault, VECTOR_GP, true);
	default: return EMULATE_CANNOT;
	}
}

enum emulate_end emulate_insn(struct emulate_cpu *cpu, const struct insn *insn,
			      const struct emulate_ops *ops, void *context,
			      struct emulate_fault *fault)
{
	struct work work = {
		.cpu = cpu, .insn = insn, .ops = ops, .context = context, .fault = fault};
	enum emulate_end end;

	switch (insn->op) {
	case INSN_NONE: return EMULATE_CANNOT;
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_INS:
	case INSN_OUTS: return string(&work);
	case INSN_SMSW:
	case INSN_LMSW: end = status(&work); break;
	case INSN_MOV:
	case INSN_MOVZX:
	case INSN_MOVSX: end = move(&work); break;
	case INSN_CMP:
	case INSN_TEST:
	case INSN_BT: end = test(&work); break;
	case INSN_CMPXCHG8B: end = pair(&work); break;
	default: end = modify(&work); break;
	}
	if (end == EMULATE_DONE)
		finish(&work);
	return end;
}

enum emulate_end emulate_step(struct emulate_cpu *cpu, const struct emulate_ops *ops, void *context,
			      struct emulate_fault *fault)
{
	struct insn insn;
	enum emulate_end end = emulate_fetch(cpu, ops, context, &insn, fault);

	return end == EMULATE_DONE ? emulate_insn(cpu, &insn, ops, context, fault) : end;
}
