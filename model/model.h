/* SPDX-License-Identifier: MIT */
/*
 * model.h - an independent x86 machine, as far as addresses go.
 *
 * Physical memory, one or more CPUs with their page walkers, TLBs and
 * paging-structure caches, written from the vendor manuals (hardware-facts
 * H-1..H-133). It is the oracle that the library is held against, so nothing
 * below model/ includes or imitates core/: the two share include/umbra/types.h
 * and may disagree about everything else.
 *
 * Two temperaments. MODEL_STRICT caches nothing: each access walks memory.
 * MODEL_HOSTILE keeps every translation that the manuals let a CPU keep until
 * an operation that must drop it (H-104..H-116), caches speculatively, and
 * prefers the oldest entry that may still be used.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "umbra/types.h"

/* ---- physical memory ---- */

struct model_mem;

/** model_mem_new - an empty physical address space; NULL when out of memory. */
struct model_mem *model_mem_new(void);
void model_mem_free(struct model_mem *mem);

/**
 * model_mem_add - put RAM at [base, base + size).
 * @bytes: the RAM itself, owned by the caller and outliving @mem.
 * base and size are multiples of 4096. False if it overlaps or memory is short.
 * Addresses without RAM read as all ones and swallow writes, as a bus does.
 */
bool model_mem_add(struct model_mem *mem, umbra_hpa base, uint64_t size, void *bytes);

/** model_mem_zeros - from now on addresses without RAM read as zeros. */
void model_mem_zeros(struct model_mem *mem);

/** model_mem_at - pointer to @len bytes of RAM inside one region, or NULL. */
void *model_mem_at(const struct model_mem *mem, umbra_hpa hpa, size_t len);

/* ---- CPUs ---- */

enum model_caching {
	MODEL_STRICT,
	MODEL_HOSTILE,
};

/** Second stage of translation in use. */
enum model_stage2_kind {
	MODEL_NATIVE, /* none: root mode, or a guest on shadow tables */
	MODEL_EPT,
	MODEL_NPT,
};

/**
 * Choices where the manuals leave the CPU a choice; 0 is "does the least":
 * no Accessed bit in a walk that faults, nothing speculative.
 */
#define MODEL_A_ON_FAULT (1u << 0) /* set A in entries passed before a fault, H-60 */
#define MODEL_SPECULATE (1u << 1) /* walk ahead and set A speculatively, H-61 (hostile only) */
#define MODEL_A_ON_DENIED (1u << 2) /* set A in the leaf of a rights-denied access, H-60 */

struct model_config {
	struct umbra_cpu cpu;
	enum model_caching caching;
	/** Set of MODEL_* choices above. */
	unsigned choices;
	/** Seed of whatever hostile mode decides at random. */
	uint64_t seed;
};

/**
 * struct model_state - everything that VM entry / VMRUN loads, or that root
 * software sets up. All of it in the manuals' own encodings.
 */
struct model_state {
	/** Paging registers of whatever runs: the guest's, or native. pdpte[] is
	 * loaded from memory by model_enter() when @load_pdptes, else taken as is
	 * (H-78: VMCS fields with EPT, memory without). */
	struct umbra_regs regs;
	bool load_pdptes;
	/** CS.L: 64-bit code. Only canonical checks and wrap-around depend on it
	 * (H-3, H-4). Ignored outside long mode. */
	bool long_code;
	enum model_stage2_kind stage2;
	/** VPID or ASID; 0 outside guests or with VPIDs disabled. */
	uint16_t tag;
	/* EPT: */
	uint64_t eptp;
	bool mbec;
	/* NPT: nested root and the host's paging state at VMRUN (H-91), GMET etc. */
	uint64_t ncr3;
	uint64_t hcr0, hcr4, hefer;
	bool gmet, rogpt;
	/** AMD TLB_CONTROL for this VMRUN: 0, 1, 3, 7. */
	uint8_t tlb_control;
	/** EPT page-modification logging (H-82); acts only with EPTP bit 6. The index
	 * counts down as the CPU logs: read it back with model_state_of(). */
	bool pml;
	/** NPT supervisor shadow-stack check (H-99). */
	bool npt_sss;
	uint64_t pml_address;
	uint16_t pml_index;
	/** EPT: paging-write control (H-74): bit 58 of a leaf. */
	bool paging_write;
	/** EPT: "EPT-violation #VE" control (H-83), and the address of the information
	 * area, a multiple of 4096. VMFUNC 0 changes the index: model_state_of(). */
	bool ve;
	uint64_t ve_area;
	uint16_t eptp_index;
	/** NPT: the guest's PAT. Memory types have no effect; VMRUN checks it (H-96). */
	uint64_t gpat;
};

struct model_cpu;

/** model_cpu_new - a CPU on @mem, cold, in no paging. NULL when out of memory. */
struct model_cpu *model_cpu_new(struct model_mem *mem, const struct model_config *config);
void model_cpu_free(struct model_cpu *cpu);

/**
 * model_enter - VM entry, VMRUN, or (MODEL_NATIVE, tag 0) root software setting
 * its own state. Flushes exactly what H-112 says such an entry flushes. Returns
 * an event of kind NONE, or GP when an entry check on paging state fails
 * (H-96, H-133), in which case nothing changes.
 */
struct umbra_event model_enter(struct model_cpu *cpu, const struct model_state *state);
/**
 * model_exit - VM exit or #VMEXIT from the guest that runs now to its hypervisor.
 * @host: what the exit loads; MODEL_NATIVE, tag 0. PDPTE registers are loaded from
 * memory if the mode has them. Unlike model_enter(), which takes tag 0 for a guest
 * or host without VPIDs, it flushes VPID 0 only if the guest that ran had tag 0.
 * Whatever the exit saves (PDPTEs, PML index) is in model_state_of() until then.
 * Returns NONE, or GP (VMX abort, shutdown) and nothing has changed.
 */
struct umbra_event model_exit(struct model_cpu *cpu, const struct model_state *host);
/** model_state - the state as it is now (after MOV CR etc.). */
const struct model_state *model_state_of(const struct model_cpu *cpu);

/* Instructions of whatever runs. Each returns NONE, GP, or the exit that a
 * PDPTE load met (or #VE, with the area filled in); on any event nothing has changed.
 * Flushes as H-112. */
struct umbra_event model_mov_cr0(struct model_cpu *cpu, uint64_t value);
struct umbra_event model_mov_cr3(struct model_cpu *cpu, uint64_t value);
struct umbra_event model_mov_cr4(struct model_cpu *cpu, uint64_t value);
struct umbra_event model_wrmsr_efer(struct model_cpu *cpu, uint64_t value);
void model_set_keys(struct model_cpu *cpu, uint32_t pkru, uint32_t pkrs);
void model_invlpg(struct model_cpu *cpu, umbra_gva gva);
struct umbra_event model_invpcid(struct model_cpu *cpu, unsigned type, uint16_t pcid,
				 umbra_gva gva);
/**
 * model_vmfunc_eptp - VMFUNC leaf 0, EPTP switching (H-87), in a guest under EPT.
 * @list: the page of 512 EPTPs; @index: ECX. NONE, and model_state_of()->eptp is the
 * new one, with @index in eptp_index if the #VE control is on; or VMFUNC (exit 59), and
 * nothing changed: index out of range, an EPTP that VM entry would refuse, or one of
 * another walk length. GP if EPT is not in use.
 */
struct umbra_event model_vmfunc_eptp(struct model_cpu *cpu, umbra_hpa list, uint32_t index);
/* Root software. invept/invvpid return false for VMfail. */
bool model_invept(struct model_cpu *cpu, unsigned type, uint64_t eptp);
bool model_invvpid(struct model_cpu *cpu, unsigned type, uint16_t vpid, umbra_gva gva);
void model_invlpga(struct model_cpu *cpu, umbra_gva gva, uint32_t asid);
/** model_flush_all - drop everything that was ever cached (power-up). */
void model_flush_all(struct model_cpu *cpu);

/* ---- accesses ---- */

/** struct model_access - one data access or fetch of 1..64 bytes. */
struct model_access {
	umbra_gva gva;
	uint8_t size;
	/** Set of enum umbra_access. */
	unsigned access;
	/** rSP/rBP based without override: non-canonical gives #SS (H-4). */
	bool stack;
	/** Made while an event is delivered through the IDT: never a #VE (H-83). */
	bool delivering;
	/** Bytes to write, or room for the bytes read; NULL: do not care (a
	 * write then stores back what is there). */
	void *data;
};

/** Of an outcome seen: the guest-physical address is not known, any will do. */
#define MODEL_GPA_ANY UINT64_MAX

/** One page-contained piece of an access that completed. */
struct model_piece {
	umbra_gpa gpa; /* after the guest's tables */
	umbra_hpa hpa; /* after the second stage */
	uint8_t size;
};

struct model_outcome {
	/** NONE: completed. Else nothing was read or written. */
	struct umbra_event event;
	/** EPT violations, #VE: bits of event.code that the manuals define here. */
	uint64_t code_defined;
	unsigned piece_count; /* 1, or 2 when the access crosses a page */
	struct model_piece piece[2];
};

/** model_access - do it, with all architectural effects, A/D and caching included; a
 * #VE fills the information area. */
void model_access(struct model_cpu *cpu, const struct model_access *access,
		  struct model_outcome *outcome);

/**
 * model_legal - every outcome that a CPU in this state may legally give to
 * @access now, without doing it: one for a strict CPU unless the manuals are
 * unsure; hostile: a fresh walk plus every cached fact. Returns the count (at
 * most @max are stored, without data). After a #VE the area is busy until the guest
 * clears it, so the next violation exits: ask before the access, not after.
 */
unsigned model_legal(struct model_cpu *cpu, const struct model_access *access,
		     struct model_outcome *outcomes, unsigned max);

/** model_explains - does the set of model_legal() contain @seen (defined bits only)? */
bool model_explains(struct model_cpu *cpu, const struct model_access *access,
		    const struct model_outcome *seen);

/**
 * model_does - is @seen what comes of @access when this CPU walks afresh, with MODEL_A_*
 * @choices, and sets A and D as it goes? Unlike in a legal set, they may change what the
 * same access reads next. No cache is looked into or filled, no data are moved; but
 * memory has the access's A, D and log entries afterwards, which the caller puts right.
 */
bool model_does(struct model_cpu *cpu, const struct model_access *access, unsigned choices,
		const struct model_outcome *seen);

/* ---- following another machine (hostile CPUs only) ----
 *
 * A CPU that performs no access itself but keeps the set of what a CPU could have
 * cached, while the memory follows some other machine's outcomes. It may run natively
 * or be a guest under EPT or NPT. Its state changes by the calls above, each made when
 * the other machine does the same; before one, and before and after each change of
 * memory, whoever judges gathers for every address that its program uses, in the
 * state of that moment: a CPU speculates only with its current tables and tags.
 */

/** struct model_entry - a table entry that a walk may read. */
struct model_entry {
	umbra_hpa at; /* where it is */
	/** Guest's tables: its address as the guest's tables give it. Second stage: the
	 * address being translated. */
	umbra_gpa gpa;
	uint8_t size; /* 4 or 8 */
	uint8_t level;
	bool nested; /* of the second stage */
	bool valid, leaf; /* present, nothing reserved; it maps a page */
	/** model_visit(): the A and D bits that the access may set in it. */
	uint64_t may_set;
};

/** struct model_visitor - told of each table entry that a walk may read; repeats. */
struct model_visitor {
	void *context;
	void (*entry)(void *context, const struct model_entry *entry);
	/** model_gather(): only of entries that some CPU may have read by now; otherwise paths
	 * are followed to their end. */
	bool known_only;
};

/**
 * model_gather - remember everything that speculation could have cached for @gva by
 * now: every path from the root and from each table cached, as far as its A bits are
 * set in memory; in a guest, through every place that the second stage, or a cached
 * fact of it, has for each table, as far as their A bits (and D bits, where reading a
 * guest's table counts as a write) are set. EPT without A/D: whatever is present.
 * Changes no memory. @visitor may be NULL.
 */
void model_gather(struct model_cpu *cpu, umbra_gva gva, const struct model_visitor *visitor);
/**
 * model_gather_gpa - the same for the page at guest-physical @gpa alone, whatever leads
 * there; @visitor is told of entries of the second stage.
 */
void model_gather_gpa(struct model_cpu *cpu, umbra_gpa gpa, const struct model_visitor *visitor);
/** model_visit - every entry that @access may read, from memory or after cached facts. */
void model_visit(struct model_cpu *cpu, const struct model_access *access,
		 const struct model_visitor *visitor);
/** model_held - does the cache alone explain the completed access @seen, A and D of
 * both stages included? Guests: seen->piece[].hpa counts too. */
bool model_held(struct model_cpu *cpu, const struct model_access *access,
		const struct model_outcome *seen);
/** model_took_fault - a #PF on @gva was delivered: forget what H-112 says. */
void model_took_fault(struct model_cpu *cpu, umbra_gva gva);
/**
 * model_took_exit - the guest left by @event (EPT violation, #VE or NPF; others forget
 * nothing) during @access, NULL if a load of PDPTEs: forget what H-112 and H-123 say.
 * Before model_exit(), for the state must be the guest's.
 */
void model_took_exit(struct model_cpu *cpu, const struct model_access *access,
		     const struct umbra_event *event);
/** struct model_load - a load of PDPTE registers: its event, else what was loaded. */
struct model_load {
	struct umbra_event event;
	uint64_t pdpte[4];
};
/**
 * model_load_as - from now on MOV CR in a guest under EPT loads what @seen says, if the
 * manuals allow that, and touches no memory; @seen stays the caller's. What they do not
 * allow comes out as the CPU's own result, which then differs. NULL: ends it.
 */
void model_load_as(struct model_cpu *cpu, const struct model_load *seen);
/** model_set_pml_index - the other machine has written to the log (H-82). */
void model_set_pml_index(struct model_cpu *cpu, uint16_t index);

/** Counts since creation: walks, entries read, TLB hits, flushes. */
struct model_stats {
	uint64_t accesses, walks, entries_read, hits, flushes;
};
const struct model_stats *model_stats_of(const struct model_cpu *cpu);

#endif
