/* SPDX-License-Identifier: MIT */
/*
 * vcpu.h - the guest's processor: its VMCB, its registers, and what exits do to them.
 */
#ifndef HV_VCPU_H
#define HV_VCPU_H

#include "hv/cpu.h"
#include "hv/memory.h"
#include "hv/options.h"
#include "hv/port.h"
#include "hv/vmcb.h"
#include "umbra/umbra.h"

/** struct gprs - in the order of the instruction encoding; RAX and RSP are in the VMCB. */
struct gprs {
	uint64_t r[16];
};

enum vcpu_exits {
	VCPU_EXITS_CR,
	VCPU_EXITS_PF,
	VCPU_EXITS_CPUID,
	VCPU_EXITS_INVLPG,
	VCPU_EXITS_IO,
	VCPU_EXITS_MSR,
	VCPU_EXITS_NPF,
	VCPU_EXITS_OTHER,
	VCPU_EXITS_COUNT
};

struct vcpu {
	struct vmcb *vmcb;
	uint64_t vmcb_physical;
	struct gprs gprs;
	struct umbra_vm *vm;
	struct umbra_vcpu *mmu;
	/** The last fault, as the library was told. */
	struct umbra_exit exit;
	struct port port;
	const struct cpu *cpu;
	const struct memory *memory;
	const struct options *options;
	/** The CPU that CPUID shows to the guest; bits that its CR4 may have. */
	struct umbra_cpu shown;
	uint64_t cr4_bits;
	uint32_t asid;
	/** Device slots made so far (devices.c). */
	unsigned devices;
	/** The guest told the keyboard controller that its output port comes next (io.c). */
	bool output_port_next;
	/** Where the page of instructions at @code_linear in the tables at @code_cr3 is. */
	uint64_t code_linear, code_cr3;
	const uint8_t *code;
	uint8_t code_shift; /* log2 of the guest's page that it is in */
	uint64_t exits[VCPU_EXITS_COUNT], emulated, unprotected;
	uint64_t started; /* TSC */
};

enum vcpu_vector {
	VECTOR_DB = 1,
	VECTOR_UD = 6,
	VECTOR_DF = 8,
	VECTOR_SS = 12,
	VECTOR_GP = 13,
	VECTOR_PF = 14,
};

/** vcpu_reg - general register @number as the instruction encoding has it. */
static inline uint64_t *vcpu_reg(struct vcpu *vcpu, unsigned number)
{
	if (number == 0)
		return &vcpu->vmcb->rax;
	return number == 4 ? &vcpu->vmcb->rsp : &vcpu->gprs.r[number];
}

/** vcpu_is_64 - does it execute 64-bit code? */
static inline bool vcpu_is_64(const struct vcpu *vcpu)
{
	return vcpu->vmcb->efer & UMBRA_EFER_LMA && vcpu->vmcb->cs.attributes & VMCB_CS_LONG;
}

/** vcpu_init - registers as a multiboot loader leaves them; intercepts for @vcpu->options. */
void vcpu_init(struct vcpu *vcpu);
/** vcpu_run - until the guest has ended or is stopped, which ends the machine's run too. */
_Noreturn void vcpu_run(struct vcpu *vcpu);
/** svm_enter - enter64.S. */
void svm_enter(struct gprs *gprs, uint64_t vmcb);

/* ---- inject.c ---- */

/** inject_fault - at the next entry; a fault in the middle of another's delivery becomes what
 * the architecture makes of the two. */
void inject_fault(struct vcpu *vcpu, unsigned vector, bool has_code, uint32_t code);
void inject_gp(struct vcpu *vcpu);
void inject_ud(struct vcpu *vcpu);
/** inject_event - #PF, #GP or #SS as the library found it. */
void inject_event(struct vcpu *vcpu, const struct umbra_event *event);
/** inject_again - what was being delivered when the guest exited, unless the instruction will
 * do so by itself or another event is there now. */
void inject_again(struct vcpu *vcpu);
/** vcpu_skip - go on behind the instruction of @length bytes. */
void vcpu_skip(struct vcpu *vcpu, unsigned length);

/* ---- exits, by what they are about ---- */

void cpuid_exit(struct vcpu *vcpu);
/** cpuid_show - vcpu->shown and vcpu->cr4_bits. */
void cpuid_show(struct vcpu *vcpu);
void msr_exit(struct vcpu *vcpu);
/** msr_permissions - physical address of the map for the VMCB. */
uint64_t msr_permissions(void);
void io_exit(struct vcpu *vcpu);
/** io_in, io_out - 1, 2 or 4 @bytes of a port for the guest; guarded ones are guarded. */
uint32_t io_in(uint16_t port, unsigned bytes);
void io_out(struct vcpu *vcpu, uint16_t port, unsigned bytes, uint32_t value);
uint64_t io_permissions(void);
void cr_exit(struct vcpu *vcpu);
void invlpg_exit(struct vcpu *vcpu);
/** cr_regs - the guest's paging registers as it believes them to be. */
struct umbra_regs cr_regs(const struct vcpu *vcpu);
/** cr_write_0 - MOV to CR0 of @value. False: #GP. */
bool cr_write_0(struct vcpu *vcpu, uint64_t value);
/** cr_set - the guest's paging registers are now @regs. False: they are refused. */
bool cr_set(struct vcpu *vcpu, const struct umbra_regs *regs);
/** fault_npf, fault_pf - exits of the two. */
void fault_npf(struct vcpu *vcpu);
void fault_pf(struct vcpu *vcpu);
/** fault_prefault - map the guest's RAM before it runs. */
void fault_prefault(struct vcpu *vcpu);
/** devices_add - make a slot of the devices around @gpa. False: there may be none. */
bool devices_add(struct vcpu *vcpu, uint64_t gpa);
/** devices_add_ram - the slots of the guest's RAM; @flags: UMBRA_SLOT_LOG_DIRTY or 0. Once more:
 * logging begins or ends. */
void devices_add_ram(struct vcpu *vcpu, uint32_t flags);
/** devices_take_log - of all RAM; what it says is not looked at. */
void devices_take_log(struct vcpu *vcpu);

/* ---- report.c ---- */

/** report_stop - the guest cannot go on: a line, its registers, and what the options ask
 * for; then the run ends. */
_Noreturn void report_stop(struct vcpu *vcpu, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** report_end - the guest is about to end the machine's run by itself. */
void report_end(struct vcpu *vcpu);

#endif
