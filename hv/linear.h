/* SPDX-License-Identifier: MIT */
/*
 * linear.h - the memory of a vCPU of libumbra, by linear address, for the emulator.
 */
#ifndef HV_LINEAR_H
#define HV_LINEAR_H

#include "hv/emulate.h"
#include "umbra/umbra.h"

/** struct linear - context of linear_ops. */
struct linear {
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	/** After EMULATE_FAULT: what umbra_vcpu_translate() reported; kind NONE if it was the
	 * emulator that found the fault. In L2 it may be an exit to L1, and struct
	 * emulate_fault says nothing: ask umbra_vcpu_exits_to_l1(). */
	struct umbra_event event;
};

/**
 * linear_ops - translate with umbra_vcpu_translate(), store with umbra_vm_write() and
 * umbra_vm_exchange(). CANNOT: no memory there (MMIO), memory that is read only, LOCK on a
 * misaligned operand or one of 16 bytes, INS and OUTS (ports are the embedder's: copy the
 * three calls and add two), or no memory for the library.
 */
extern const struct emulate_ops linear_ops;

/** linear_step - emulate_step() with linear_ops. */
enum emulate_end linear_step(struct linear *linear, struct emulate_cpu *cpu,
			     struct emulate_fault *fault);

#endif
