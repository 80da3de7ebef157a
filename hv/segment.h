/* SPDX-License-Identifier: MIT */
/*
 * segment.h - from an offset in a segment to a linear address, with the checks on the way.
 */
#ifndef HV_SEGMENT_H
#define HV_SEGMENT_H

#include "hv/emulate.h"

#define VECTOR_UD 6u
#define VECTOR_SS 12u
#define VECTOR_GP 13u
#define VECTOR_AC 17u

/** struct segment_range - @count bytes of @segment (enum insn_segment) from @offset on. */
struct segment_range {
	uint8_t segment;
	bool write;
	unsigned count;
	uint64_t offset;
};

/** segment_fault - the end of an instruction that raises @vector, with code 0 if @has_code. */
enum emulate_end segment_fault(struct emulate_fault *fault, unsigned vector, bool has_code);

/**
 * segment_data - @linear is where @range begins. FAULT: #SS(0) for the stack segment, else
 * #GP(0). CANNOT: what differs between CPUs (ranges that wrap around), or a 64-bit address
 * that has bits for LAM or UAI.
 */
enum emulate_end segment_data(const struct emulate_cpu *cpu, const struct segment_range *range,
			      uint64_t *linear, struct emulate_fault *fault);

/**
 * segment_code - as far as the code segment and the page go: up to @count bytes of
 * instruction at @offset. @count is lowered to what there is, at least 1. FAULT: #GP(0).
 */
enum emulate_end segment_code(const struct emulate_cpu *cpu, uint64_t offset, unsigned *count,
			      uint64_t *linear, struct emulate_fault *fault);

#endif
