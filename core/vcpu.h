/* SPDX-License-Identifier: MIT */
/*
 * vcpu.h - a vCPU: registers, the space they make, the root they select (layer 5).
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include "core/mmio.h"
#include "core/quick.h"
#include "core/rootset.h"
#include "core/vm.h"

/** struct vcpu_guest - what runs on a vCPU, and how it translates. */
struct vcpu_guest {
	struct umbra_regs regs;
	/** regs bound: linear -> guest-physical. space.mode is NULL or &mode. */
	struct mode mode;
	struct space space;
};

struct umbra_vcpu {
	struct umbra_vm *vm;
	struct umbra_vcpu *next;
	unsigned number;
	/** What CPUID tells the guest. */
	struct umbra_cpu cpu;
	/** L1, its guest, and who of them runs. */
	struct vcpu_guest l1, l2, *guest;
	struct memory memory;
	/** Slots that memory's window was found in. */
	uint64_t memory_generation;
	/** Roots for what L1's guests are translated with by L1's EPT or NPT; for all else. */
	struct rootset nested, own;
	/** While L2 runs: what L1 entered it with. Before: last time's. */
	struct umbra_nested state;
	/** L1's EPT or NPT: L2's guest-physical addresses -> L1's. */
	struct mode nested_mode;
	struct space nested_space;
	struct walk_log log;
	/** Of L1, and of L2 without nested paging. */
	struct mmio_cache mmio;
	/** Under shadow paging: the root that the last load of L1 gave, while the registers that it
	 * gave with it are what they would be now. Else NULL. */
	const struct page *described;
	/** Flush the hardware's translations of L1, of L2, before it is entered. */
	bool flush_l1, flush_l2;
	struct reserve reserve;
	struct quick quick;
};

/** vcpu_in_l2 - is L2 what runs? */
static inline bool vcpu_in_l2(const struct umbra_vcpu *vcpu)
{
	return vcpu->guest == &vcpu->l2;
}
/** vcpu_is_nested - does L2 run on L1's EPT or NPT? */
static inline bool vcpu_is_nested(const struct umbra_vcpu *vcpu)
{
	return vcpu_in_l2(vcpu) && vcpu->state.paging != UMBRA_NESTED_NONE;
}
/** vcpu_mirrored - the space that the tables in use mirror; NULL: none, TDP. */
static inline const struct space *vcpu_mirrored(const struct umbra_vcpu *vcpu)
{
	if (vcpu_is_nested(vcpu))
		return &vcpu->nested_space;
	return vcpu->vm->mmu.paging == UMBRA_PAGING_SHADOW ? &vcpu->guest->space : NULL;
}
/** vcpu_roots - the set that the root in use is from. */
static inline struct rootset *vcpu_roots(struct umbra_vcpu *vcpu)
{
	return vcpu_is_nested(vcpu) ? &vcpu->nested : &vcpu->own;
}
/** vcpu_renew_window - the memory window is not older than the slots. In a read-side section. */
void vcpu_renew_window(struct umbra_vcpu *vcpu);
/** vcpu_is_canonical - has @gva the width that CR4.LA57 gives? */
bool vcpu_is_canonical(const struct umbra_regs *regs, uint64_t gva);
/** vcpu_regs_legal - H-10..H-14, as far as translation depends on it. */
bool vcpu_regs_legal(const struct umbra_cpu *cpu, const struct umbra_regs *regs);
/** vcpu_access_of - the access that @exit is about. */
unsigned vcpu_access_of(const struct umbra_exit *exit);
/**
 * vcpu_take_pdptes - the PDPTE registers of @regs, from memory if @load. EINVAL: reserved
 * bits in them; EFAULT: they lie outside memory. OK where there are no such registers.
 */
enum umbra_status vcpu_take_pdptes(struct umbra_vcpu *vcpu, struct umbra_regs *regs, bool load);
/** vcpu_set_guest - @guest's registers are @regs, which are legal. */
void vcpu_set_guest(struct umbra_vcpu *vcpu, struct vcpu_guest *guest,
		    const struct umbra_regs *regs);
/** vcpu_fault - umbra_vcpu_fault(), the whole way. */
enum umbra_status vcpu_fault(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
			     struct umbra_resolution *resolution);
/** vcpu_switch_own - registers or guest have changed under shadow paging. */
void vcpu_switch_own(struct umbra_vcpu *vcpu, bool flushes);

#endif
