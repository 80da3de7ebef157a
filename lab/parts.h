/* SPDX-License-Identifier: MIT */
/* parts.h - what the lab's files share. */
#ifndef LAB_PARTS_H
#define LAB_PARTS_H

#include "lab/lab.h"

/** Host memory of a slot lies this far above its guest-physical address. */
#define LAB_PLACE 0x200000000ull
/** ... and its twin this far. */
#define LAB_TWIN 0x400000000ull
#define LAB_ROUNDS 64
/** VPIDs or ASIDs of the guest and of its L2; an index of what is kept for each. */
#define LAB_TAG 1
#define LAB_TAG_L2 2
#define LAB_TAGS 3

/** Where the UMBRA machine has one of the memories: here, or in its twin. */
struct lab_home {
	/** Host-physical address of the first byte, the hva, the bytes. base 0: none. */
	uint64_t base;
	umbra_hva hva;
	void *bytes;
};

/** One CPU of the UMBRA machine, with its vCPU. */
struct lab_cpu {
	struct model_cpu *model;
	struct umbra_vcpu *vcpu;
	/** What it was entered with last. */
	struct umbra_root root;
	bool entered;
	/** Ask umbra_vcpu_load again before the guest goes on. */
	bool stale;
	/** AMD: TLB_CONTROL of the next VMRUN of each tag. */
	uint8_t tlb_control[LAB_TAGS];
};

struct lab {
	struct lab_config config;
	struct lab_memory memory[LAB_MEMORY_MAX];
	unsigned memory_count;
	/** Homes of each memory: the caller's, and the one that lab_move made. */
	struct lab_home home[LAB_MEMORY_MAX][2];
	uint8_t at_home[LAB_MEMORY_MAX];

	struct model_mem *bare_mem, *umbra_mem;
	struct model_cpu *bare;
	/** While L2 runs: what L1 entered it with, and L1 on the BARE machine. */
	bool in_l2;
	struct umbra_nested nested;
	struct model_state bare_l1;
	/** There has been an L2; on L1's own EPT or NPT, which is mirrored. */
	bool ran_l2, mirrors;
	/** lab_note_tables: a bit per page of each memory, or NULL. */
	uint8_t *noted[LAB_MEMORY_MAX];
	/** CPUs of the UMBRA machine, and the one that is executing. */
	struct lab_cpu cpu[LAB_CPU_MAX];
	unsigned cpu_count;
	struct lab_cpu *at;
	uint64_t random;

	struct posix_host *host;
	struct umbra_vm *vm;
	bool long_code;

	struct lab_counts counts;
	void (*found)(void *context, const struct lab_difference *difference);
	void *context;
	/** The guest leaves out flushes: its CPU may exit for an address that its tables no
	 * longer give, and what is then emulated is the access as they are now. */
	bool lax;
	/** NULL, or told of a bug of Umbra; must not return. */
	void (*bug)(struct lab *lab, const char *file, int line, const char *what);
};

/* ---- machine.c: the UMBRA machine ---- */

/** machine_open - the VM, its slots, its CPU. False: @error says why. */
bool machine_open(struct lab *lab, char *error, size_t error_size);
void machine_close(struct lab *lab);
/** machine_enter - load the root and enter the guest if need be. */
bool machine_enter(struct lab *lab, struct lab_side *side);
void machine_access(struct lab *lab, const struct lab_access *access, struct lab_side *side);
/** machine_resolve - hand @event to Umbra. True: enter the guest again; false:
 * @side says how it ended, except EMULATE and MMIO, for which *verdict does. */
bool machine_resolve(struct lab *lab, const struct umbra_event *event,
		     const struct lab_access *access, struct lab_side *side,
		     struct umbra_resolution *resolution);
/** machine_move - see lab_move. */
bool machine_move(struct lab *lab, unsigned index, struct lab_side *side);
/** machine_forget - drop the guest's translations, as a reset of its CPU does. */
void machine_forget(struct lab *lab);
/** machine_took - @event reached the guest: an exception, or an exit to L1. */
void machine_took(const struct lab *lab, const struct umbra_event *event, struct lab_side *side);

/* ---- lab.c ---- */

/** lab_cpu_mov - the CPU at lab->at executes MOV CR or WRMSR EFER. */
void lab_cpu_mov(struct lab *lab, enum lab_register which, uint64_t value, struct lab_side *side);

/** lab_refused_both - compare whether both machines refuse an instruction. */
bool lab_refused_both(struct lab *lab, bool bare, bool umbra, bool *refused);

/* ---- nested.c ---- */

/** nested_paging - does L2 run, and on L1's EPT or NPT? */
bool nested_paging(const struct lab *lab);
/** nested_exits - does L2's @event exit to L1, as lab->nested has it? */
bool nested_exits(const struct lab *lab, const struct umbra_event *event);
/** nested_state - L2 as L1's VMCS or VMCB describes it, on a CPU where L1 is native
 * with registers @l1. */
struct model_state nested_state(const struct lab *lab, const struct umbra_regs *l1,
				const struct umbra_nested *n);
/** nested_bare_took - machine_took for the BARE machine. */
void nested_bare_took(const struct lab *lab, const struct umbra_event *event,
		      struct lab_side *side);
/**
 * nested_follow - a write exited to L1 on both machines, at its final address: a CPU that
 * has the page cached may leave D of L2's leaf alone (H-77), and then BARE does too.
 */
void nested_follow(struct lab *lab, const struct lab_access *access, const struct lab_side *bare);
/** nested_compare - is L1's VMCS or VMCB the same on both, as far as L2 changes it? */
bool nested_compare(struct lab *lab, const struct lab_access *access);

/* ---- compare.c ---- */

/** compare_sides - the same for the guest? If not, report it. */
bool compare_sides(struct lab *lab, const char *kind, const struct lab_access *access,
		   const struct lab_side *bare, const struct lab_side *umbra);
void compare_report(struct lab *lab, struct lab_difference *difference);

static inline bool lab_is_tdp(const struct lab *lab)
{
	return lab->config.paging != UMBRA_PAGING_SHADOW;
}

#endif
