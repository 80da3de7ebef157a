/* SPDX-License-Identifier: MIT */
/*
 * emulate.h - carry a decoded instruction out on a guest's registers and memory.
 *
 *	exit: UMBRA_EMULATE  ->  emulate_step(&cpu, &ops, context, &fault)
 *	    EMULATE_DONE         registers have moved on: write them back, enter
 *	    EMULATE_FAULT        deliver @fault
 *	    EMULATE_RETRY        enter again, it may exit again
 *	    EMULATE_CANNOT       umbra_vm_unprotect(), enter again (S-44)
 *
 * The embedder's part is memory by linear address: three calls that translate and access.
 * Segments, limits, canonical addresses, alignment and flags are done here.
 *
 * Needs memcpy and memset, as compilers do, and nothing else.
 */
#ifndef HV_EMULATE_H
#define HV_EMULATE_H

#include "hv/decode.h"
#include "umbra/types.h"

/** Iterations of a REP that one call makes at most, so that interrupts get their turn. */
#define EMULATE_BATCH 128u

/** Attributes of a segment, at the places of VMCS access-rights fields (SDM 3C 24.4.1); a
 * VMCB has bits 12 to 15 as 8 to 11, and an unusable segment as one without P. */
#define EMULATE_SEGMENT_RW (1u << 1) /* data: writable; code: readable */
#define EMULATE_SEGMENT_DOWN (1u << 2) /* data: expands down */
#define EMULATE_SEGMENT_CODE (1u << 3)
#define EMULATE_SEGMENT_P (1u << 7)
#define EMULATE_SEGMENT_L (1u << 13)
#define EMULATE_SEGMENT_DB (1u << 14)
#define EMULATE_SEGMENT_UNUSABLE (1u << 16)

struct emulate_segment {
	uint64_t base;
	uint32_t limit; /* in bytes, scaled by G already */
	uint32_t attributes;
};

/** struct emulate_cpu - what an instruction sees. */
struct emulate_cpu {
	/** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 ... (enum insn_register). */
	uint64_t gpr[16];
	uint64_t rip, rflags;
	struct emulate_segment segment[INSN_SEGMENTS];
	/** The guest's own. CR3 matters for its LAM bits only. */
	uint64_t cr0, cr3, cr4, efer;
	uint8_t cpl;
};

enum emulate_end {
	EMULATE_DONE,
	EMULATE_FAULT, /* an exception of the guest's */
	EMULATE_RETRY, /* somebody else was faster */
	EMULATE_CANNOT, /* not by this emulator, or not in this memory */
};

/** struct emulate_fault - an exception to deliver; meaningful after EMULATE_FAULT. */
struct emulate_fault {
	uint8_t vector;
	bool has_code;
	uint32_t code;
	uint64_t address; /* #PF: CR2 */
};

/**
 * struct emulate_access - @count bytes from linear address @linear on, 1 to 16 of data; they
 * may cross a page, but never wrap around. @access is a set of enum umbra_access, as
 * umbra_vcpu_translate() wants it: USER at CPL 3, AC, WRITE, FETCH.
 */
struct emulate_access {
	uint64_t linear;
	uint8_t count;
	uint8_t access;
};

/**
 * struct emulate_ops - the guest's memory. Each call does all of the access or nothing: of
 * one that crosses a page both pages are translated before a byte moves. A #PF fills
 * @fault in and returns EMULATE_FAULT; EMULATE_CANNOT gives the instruction up.
 */
struct emulate_ops {
	/** Also with WRITE: the operand is about to be written, and it is a fault if it may
	 * not be. With FETCH: bytes of the instruction. */
	enum emulate_end (*read)(void *context, const struct emulate_access *at, void *bytes,
				 struct emulate_fault *fault);
	enum emulate_end (*write)(void *context, const struct emulate_access *at, const void *bytes,
				  struct emulate_fault *fault);
	/** Replace @bytes[0], the old ones, by @bytes[1] if they are still there, in one
	 * atomic step; EMULATE_RETRY if not. NULL: LOCK is EMULATE_CANNOT. */
	enum emulate_end (*exchange)(void *context, const struct emulate_access *at,
				     const void *const bytes[2], struct emulate_fault *fault);
	/** An element of INS or OUTS: 1, 2 or 4 @bytes of @value at @port. NULL: these are
	 * EMULATE_CANNOT, as with any end but EMULATE_DONE. */
	enum emulate_end (*in)(void *context, uint16_t port, unsigned bytes, uint32_t *value);
	enum emulate_end (*out)(void *context, uint16_t port, unsigned bytes, uint32_t value);
};

/** emulate_mode - the mode that @cpu decodes in. */
enum insn_mode emulate_mode(const struct emulate_cpu *cpu);

/**
 * emulate_fetch - read and decode the instruction at CS:RIP. DONE: @insn is there; FAULT
 * also for #UD, and for #GP where it is too long or leaves the code segment.
 */
enum emulate_end emulate_fetch(const struct emulate_cpu *cpu, const struct emulate_ops *ops,
			       void *context, struct insn *insn, struct emulate_fault *fault);

/**
 * emulate_insn - carry out @insn, decoded in emulate_mode(@cpu). DONE: done, RIP is past it;
 * or some iterations of a REP are done (EMULATE_BATCH, with RFLAGS.TF one) and RIP is still
 * there. FAULT: only iterations before it are done. RETRY, CANNOT: nothing has changed,
 * except that INS may have read its port (memory that can be read for writing, but not
 * written).
 *
 * Left to the caller: the #DB of RFLAGS.TF and of watched addresses, the end of a shadow of
 * STI or MOV SS, whether CPUID has the instruction at all, whether the guest may use the port
 * (IOPL, TSS), and after LMSW what a new cpu->cr0 does.
 */
enum emulate_end emulate_insn(struct emulate_cpu *cpu, const struct insn *insn,
			      const struct emulate_ops *ops, void *context,
			      struct emulate_fault *fault);

/** emulate_step - emulate_fetch(), then emulate_insn(). */
enum emulate_end emulate_step(struct emulate_cpu *cpu, const struct emulate_ops *ops, void *context,
			      struct emulate_fault *fault);

#endif
