/* SPDX-License-Identifier: MIT */
/*
 * segment.c - segmentation, as the guest's registers have it now.
 *
 *	64-bit code        FS and GS have a base, nothing else counts; the first and the last
 *	                   byte must be canonical (SDM 1 3.3.7.1, SDM 3A 3.4.4)
 *	protected mode     rights and limit (SDM 3A 5.3, 5.4), linear addresses of 32 bits
 *	real, virtual-8086 limits only: the rights in the caches mean nothing (SDM 3A 5.1)
 *
 * What a segment allows was checked when it was loaded, except for what is here.
 */
#include "hv/alu.h"
#include "hv/segment.h"

#define LINEAR_32 0xffffffffull
#define PAGE_MASK (UMBRA_PAGE_SIZE - 1ull)
/* Bits that make the CPU ignore bits of addresses (SDM 3A 4.4; APM 2 5.10). */
#define CR3_LAM (3ull << 61)
#define EFER_UAIE (1ull << 20)

enum emulate_end segment_fault(struct emulate_fault *fault, unsigned vector, bool has_code)
{
	*fault = (struct emulate_fault){.vector = (uint8_t)vector, .has_code = has_code};
	return EMULATE_FAULT;
}

static enum emulate_end outside(unsigned segment, struct emulate_fault *fault)
{
	return segment_fault(fault, segment == INSN_SS ? VECTOR_SS : VECTOR_GP, true);
}

static bool canonical(const struct emulate_cpu *cpu, uint64_t linear)
{
	const unsigned unused = cpu->cr4 & UMBRA_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

/* Addresses may have bits that are not part of them. */
static bool tagged(const struct emulate_cpu *cpu)
{
	return cpu->cr3 & CR3_LAM || cpu->cr4 & UMBRA_CR4_LAM_SUP || cpu->efer & EFER_UAIE;
}

static uint64_t base_of(const struct emulate_cpu *cpu, unsigned segment)
{
	return segment >= INSN_FS ? cpu->segment[segment].base : 0;
}

static enum emulate_end data_64(const struct emulate_cpu *cpu, const struct segment_range *range,
				uint64_t *linear, struct emulate_fault *fault)
{
	const uint64_t first = base_of(cpu, range->segment) + range->offset;
	const uint64_t last = first + range->count - 1;

	if (!canonical(cpu, first) || !canonical(cpu, last))
		return tagged(cpu) ? EMULATE_CANNOT : outside(range->segment, fault);
	if (last < first)
		return EMULATE_CANNOT;
	*linear = first;
	return EMULATE_DONE;
}

static bool real(const struct emulate_cpu *cpu)
{
	return !(cpu->cr0 & UMBRA_CR0_PE) || cpu->rflags & RFLAGS_VM;
}

static bool allowed(const struct emulate_segment *segment, bool write)
{
	const uint32_t attributes = segment->attributes;

	if (attributes & EMULATE_SEGMENT_UNUSABLE || !(attributes & EMULATE_SEGMENT_P))
		return false;
	if (attributes & EMULATE_SEGMENT_CODE)
		return !write && attributes & EMULATE_SEGMENT_RW;
	return !write || attributes & EMULATE_SEGMENT_RW;
}

static bool within(const struct emulate_segment *segment, uint64_t first, uint64_t last)
{
	const uint32_t attributes = segment->attributes;

	if (attributes & EMULATE_SEGMENT_CODE || !(attributes & EMULATE_SEGMENT_DOWN))
		return last <= segment->limit;
	return first > segment->limit &&
	       last <= (attributes & EMULATE_SEGMENT_DB ? LINEAR_32 : 0xffff);
}

enum emulate_end segment_data(const struct emulate_cpu *cpu, const struct segment_range *range,
			      uint64_t *linear, struct emulate_fault *fault)
{
	const struct emulate_segment *segment = &cpu->segment[range->segment];
	const uint64_t last = range->offset + range->count - 1;
	uint64_t first;

	if (emulate_mode(cpu) == INSN_64)
		return data_64(cpu, range, linear, fault);
	if (!real(cpu) && !allowed(segment, range->write))
		return outside(range->segment, fault);
	/* Whether all of a flat segment has an end is the CPU's choice (SDM 3A 5.3). */
	if (last > LINEAR_32 && segment->limit == LINEAR_32)
		return EMULATE_CANNOT;
	if (!within(segment, range->offset, last))
		return outside(range->segment, fault);
	first = (segment->base + range->offset) & LINEAR_32;
	if (first + range->count - 1 > LINEAR_32)
		return EMULATE_CANNOT;
	*linear = first;
	return EMULATE_DONE;
}

enum emulate_end segment_code(const struct emulate_cpu *cpu, uint64_t offset, unsigned *count,
			      uint64_t *linear, struct emulate_fault *fault)
{
	const struct emulate_segment *code = &cpu->segment[INSN_CS];
	uint64_t page_rest;

	if (emulate_mode(cpu) == INSN_64) {
		if (!canonical(cpu, offset))
			return outside(INSN_CS, fault);
		*linear = offset;
	} else {
		if (offset > code->limit)
			return outside(INSN_CS, fault);
		if (*count - 1 > code->limit - offset)
			*count = (unsigned)(code->limit - offset) + 1;
		*linear = (code->base + offset) & LINEAR_32;
	}
	page_rest = UMBRA_PAGE_SIZE - (*linear & PAGE_MASK);
	if (*count > page_rest)
		*count = (unsigned)page_rest;
	return EMULATE_DONE;
}
