/* SPDX-License-Identifier: MIT */
/*
 * world.h - what a scenario plays with: a VM on a model machine, and beside each of
 * its vCPUs the bare machine.
 *
 *	hardware  a model CPU on Umbra's tables, strict or hostile
 *	bare      a strict model CPU that runs the guest natively: what is right
 *	judge     a hostile one: what the manuals allow besides (stale translations)
 *
 * L1 may be a hypervisor: the bare machine then runs L2 with L1's own EPT or NPT, the
 * hardware with what Umbra makes of them (nested.c).
 *
 * Unlike lab/, every vCPU has registers of its own, slots come and go, and the
 * embedder may misbehave on purpose. What happens in a step is kept as notes.
 */
#ifndef SCENARIO_WORLD_H
#define SCENARIO_WORLD_H

#include "model/model.h"
#include "port/posix/posix.h"
#include "umbra/umbra.h"

#define WORLD_SLOTS 32
#define WORLD_CPUS 4
#define WORLD_USED 32
/** Rounds through Umbra's fault path before an access counts as stuck. */
#define WORLD_ROUNDS 64
/** Guest memory of a VM. */
#define WORLD_MEMORY_MAX (16ull << 30)

struct world_config {
	struct umbra_cpu cpu;
	enum umbra_paging paging;
	uint8_t levels, page_level;
	enum umbra_layout layout;
	bool exec_by_mode, slot_zap_all, no_prefetch, skew;
	bool no_mmio_caching, mmio_wide_generation;
	uint8_t l1tf_cache_bits;
	uint32_t page_limit;
	bool bug_truncate_gpa, private_memory, allow_smaller_maxphyaddr;
	uint8_t manual_dirty;
	/** Of the hardware. */
	enum model_caching caching;
};

struct world_slot {
	bool live, readonly;
	uint32_t id;
	umbra_gpa base;
	uint64_t size;
	umbra_hva hva;
	/** Host-physical place of the first byte. */
	uint64_t place;
	uint8_t *bytes;
	/** Private memory (private.c), or all zero: the same, and for the bare machine the bytes
	 * of each page that are not to be seen now; which pages are private. */
	umbra_hva private_hva;
	uint64_t private_place;
	uint8_t *private_bytes, *hidden;
	bool *is_private;
};

/** Memory of the bare machine; stays when its slot goes, then reads as ones. */
struct world_bare {
	umbra_gpa base;
	uint64_t size;
	uint8_t *bytes;
};

/** How an access or instruction ended. */
enum world_end {
	WORLD_DONE,
	WORLD_MMIO, /* no memory at .gpa, or a write to read-only memory */
	WORLD_FAULT, /* the guest gets .event; or L1, if .to_l1 */
	/* An instruction of L1 fails: VM entry, VMRUN, INVEPT ...; VMFUNC of L2 exits. */
	WORLD_VMFAIL,
	WORLD_MEMORY_FAULT, /* verdict of that name */
	WORLD_ESCAPED, /* reached host memory that is not the guest's (any more) */
	WORLD_STUCK, /* faulted again and again */
	WORLD_STATUS, /* umbra_* said .status */
	WORLD_REFUSED_ENTRY, /* the hardware refused to enter the guest */
};

struct world_outcome {
	enum world_end end;
	struct umbra_event event;
	/** An exit from L2 to L1. Bits of event.code that the manuals define. */
	bool to_l1;
	uint64_t code_defined;
	enum umbra_status status;
	/** L1's; and before L1's EPT or NPT, L2's. */
	umbra_gpa gpa, l2_gpa;
	uint64_t value;
	/** Exits that Umbra handled, its last verdict (COUNT: none), level mapped last. */
	unsigned exits;
	enum umbra_verdict verdict;
	uint8_t level;
};

struct world_access {
	umbra_gva gva;
	uint8_t size; /* 1, 2, 4, 8; within a page */
	unsigned access;
	uint64_t value; /* to write */
};

/** What happened in a step, in order. */
enum note_kind { NOTE_EXIT, NOTE_ANSWER, NOTE_TRACE, NOTE_FLUSH, NOTE_NO_FLUSH, NOTE_EMULATED };
struct note {
	enum note_kind kind;
	union {
		struct {
			struct umbra_event event;
			/** Its guest-physical address is L2's. */
			bool l2_gpa;
		} exit;
		struct {
			enum umbra_status status;
			struct umbra_resolution resolution;
		} answer;
		struct umbra_trace trace;
		struct {
			unsigned cpu;
			const char *why;
		} flush;
	};
};

/** Tags of the hardware's translations: L1's and L2's VPID or ASID, less one. */
enum world_tag { WORLD_L1, WORLD_L2, WORLD_TAGS };

/** A table page of Umbra's, by its trace. */
struct world_table {
	uint64_t hpa, gfn, role;
	bool live;
};

struct world;

struct world_cpu {
	struct world *world;
	unsigned number;
	struct umbra_cpu guest;
	struct model_cpu *model, *bare, *judge;
	struct umbra_vcpu *vcpu;
	struct umbra_root root;
	/** Entered once; must load its root again; AMD's TLB_CONTROL of the next entry. */
	bool entered, stale;
	uint8_t tlb_control[WORLD_TAGS];
	/** L2 runs; L1 has entered it once, with .l2, which moves on with it. */
	bool in_l2, has_l2;
	struct umbra_nested l2;
	/** The bare machine's L1 while L2 runs: what VM exit loads. */
	struct model_state l1;
	/** Pages that L1 and L2 have used last, which the judge may know ahead of time. */
	struct {
		umbra_gva page[WORLD_USED];
		unsigned count;
	} used[WORLD_TAGS];
};

struct world {
	struct world_config config;
	struct model_mem *bare_mem, *umbra_mem;
	struct posix_host *host;
	struct umbra_vm *vm;
	struct world_slot slot[WORLD_SLOTS];
	unsigned slot_count;
	struct world_bare bare[WORLD_SLOTS];
	unsigned bare_count;
	struct world_cpu cpu[WORLD_CPUS];
	unsigned cpu_count;
	uint64_t memory, next_place;
	/** All table pages ever, in order; the place is the number that a story gives it. */
	struct world_table *tables;
	size_t table_count, table_room;
	/** Entries are EPT entries with a user execute bit. */
	bool mbec;

	/** The embedder's misdeeds: what it does not do. */
	struct {
		bool root_flush, flush, kick;
		/** L2 runs under L1's tag. */
		bool nested;
	} omits;

	struct note *notes;
	size_t note_count, note_room;
	/** Trace events by kind, and counters, since the last world_mark(). */
	uint64_t traced[UMBRA_TRACE_KINDS];
	struct umbra_stats marked;
	/** Invariant that may be broken, or empty; has it been found broken? */
	char tolerated[8];
	bool found_tolerated;
};

/** world_cpu_of - a CPU with all features of @vendor; @maxphyaddr 0: the usual. */
struct umbra_cpu world_cpu_of(enum umbra_vendor vendor, unsigned maxphyaddr);

/** world_open - NULL and one sentence in @error. */
struct world *world_open(const struct world_config *config, char *error, size_t error_size);
void world_close(struct world *world);
/** world_add_cpu - NULL and one sentence in @error. */
struct world_cpu *world_add_cpu(struct world *world, const struct umbra_cpu *guest, char *error,
				size_t error_size);

/**
 * world_slot_set - umbra_slot_set(), with host memory for new slots, on both
 * machines. @hva: 0, or what to pass instead of the right one. False: @error says
 * why the scenario (not Umbra) cannot have it; else *status is Umbra's answer.
 */
bool world_slot_set(struct world *world, const struct umbra_slot *slot, enum umbra_status *status,
		    char *error, size_t error_size);
/** world_set_attributes - pages become private or shared, on both machines. */
enum umbra_status world_set_attributes(struct world *world, umbra_gpa gpa, uint64_t size,
				       bool is_private);
struct world_slot *world_slot_at(struct world *world, umbra_gpa gpa);

/** world_poke - a device writes, on both machines. world_peek reads Umbra's side.
 * False: not all of it is memory. */
enum umbra_status world_poke(struct world *world, umbra_gpa gpa, const void *bytes, size_t size);
bool world_peek(struct world *world, umbra_gpa gpa, void *bytes, size_t size);
/** world_bare_at - the bare machine's byte, or NULL. */
uint8_t *world_bare_at(struct world *world, umbra_gpa gpa);

/** world_begin - a step begins: forget the notes, and let the judges cache what a CPU
 * could have cached speculatively by now. */
void world_begin(struct world *world);
void world_mark(struct world *world);

/** What one step gave: on Umbra's tables, on the bare machine, and what was legal. */
struct world_result {
	struct world_outcome umbra, bare;
	/** As the bare machine; or at least as a CPU with stale translations might. */
	bool same, legal;
	/** The bare machine has no part in it. */
	bool alone;
};

void world_access(struct world_cpu *cpu, const struct world_access *access,
		  struct world_result *result);
/** world_exit - the embedder reports @event, whether it happened or not; nothing is entered. */
void world_exit(struct world_cpu *cpu, const struct umbra_event *event, unsigned access,
		struct world_outcome *outcome);
/** world_start - registers as after VM entry, with empty TLBs. */
void world_start(struct world_cpu *cpu, const struct umbra_regs *regs, struct world_result *result);

enum world_register { WORLD_CR0, WORLD_CR3, WORLD_CR4, WORLD_EFER };
void world_mov(struct world_cpu *cpu, enum world_register which, uint64_t value,
	       struct world_result *result);
void world_keys(struct world_cpu *cpu, uint32_t pkru);
void world_invlpg(struct world_cpu *cpu, umbra_gva gva);
void world_invpcid(struct world_cpu *cpu, unsigned type, uint64_t pcid, umbra_gva gva,
		   struct world_result *result);
/** world_regs - registers of L1 or L2, whoever runs, as the bare machine has them. */
const struct umbra_regs *world_regs(const struct world_cpu *cpu);

/* ---- L1 as a hypervisor (nested.c) ---- */

/** world_enter_l2 - VM entry or VMRUN with @state, of which regs.pdpte are set. */
void world_enter_l2(struct world_cpu *cpu, const struct umbra_nested *state,
		    struct world_result *result);
/** world_leave_l2 - an exit that concerns no translation (HLT, CPUID, an interrupt). */
void world_leave_l2(struct world_cpu *cpu);
void world_invept(struct world_cpu *cpu, unsigned type, uint64_t eptp, struct world_result *result);
void world_invvpid(struct world_cpu *cpu, unsigned type, uint64_t vpid, umbra_gva gva,
		   struct world_result *result);
void world_invlpga(struct world_cpu *cpu, umbra_gva gva, uint32_t asid);
void world_vmfunc(struct world_cpu *cpu, uint32_t index, struct world_result *result);

/* ---- looking at Umbra's entries, as hardware sees them (entries.c) ---- */

struct world_entry {
	bool present, leaf, writable, user, executable;
	/** Not empty, but reserved or a misconfiguration: always faults. */
	bool faults;
	/** EPT without MBEC knows no users; .user is true then. */
	bool no_users;
	uint8_t level;
	uint64_t value;
	/** Leaf: where it leads, in the guest's terms; mapped false: nowhere there. */
	umbra_gpa gpa;
	bool mapped;
};
/** world_describe - @value, found at @level. */
void world_describe(const struct world *world, uint64_t value, unsigned level,
		    struct world_entry *entry);
/** world_entry - the entry at @level (0: the lowest there is) for @address: a gva under
 * shadow paging, else a gpa. Enters the guest. False: no entry at that level. */
bool world_entry(struct world_cpu *cpu, uint64_t address, unsigned level,
		 struct world_entry *entry);
/** One table on the way that hardware takes. */
struct world_step {
	/** Its number among all ever, from 1; 0: not known. */
	size_t number;
	umbra_gfn gfn;
	struct umbra_role role;
	unsigned index;
	struct world_entry entry;
};
/** world_path - Umbra's tables for @address (as world_entry()), from the root; their count. */
unsigned world_path(struct world_cpu *cpu, uint64_t address,
		    struct world_step steps[UMBRA_LEVEL_MAX]);
/** world_gpa_of - the guest's address of a host-physical one. */
bool world_gpa_of(const struct world *world, uint64_t hpa, umbra_gpa *gpa);
bool world_enter(struct world_cpu *cpu, struct world_outcome *outcome);

#endif
