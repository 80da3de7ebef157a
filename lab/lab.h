/* SPDX-License-Identifier: MIT */
/*
 * lab.h - two machines side by side.
 *
 *	BARE   a model CPU runs the guest natively: gpa == hpa, nothing cached
 *	UMBRA  a model CPU runs it on Umbra's tables: gpa != hpa, strict or hostile
 *
 * Each machine has its own copy of the guest's memory. Whatever is done to the
 * lab is done on both; each outcome that the guest could tell apart is a
 * difference, and is kept with both sides.
 */
#ifndef LAB_LAB_H
#define LAB_LAB_H

#include "model/model.h"
#include "port/posix/posix.h"
#include "umbra/umbra.h"

struct lab;

/* ---- setting up ---- */

#define LAB_MEMORY_MAX 32
#define LAB_CPU_MAX 4

/** struct lab_memory - one slot: the same bytes twice. */
struct lab_memory {
	umbra_gpa base;
	uint64_t size;
	/** The caller's, page aligned, equal at the start; outliving the lab. */
	void *bare, *umbra;
	bool readonly;
};

struct lab_config {
	/** Both machines' CPU, and, cut by @guest_features, the guest's. Its
	 * MAXPHYADDR is at least 36. */
	struct umbra_cpu cpu;
	/** 0: all that the lab knows how to show for this kind of paging. */
	uint32_t guest_features;
	/** 0: the CPU's. Less only under shadow paging: other hardware checks by its own. */
	uint8_t guest_maxphyaddr;
	enum umbra_paging paging;
	/** As umbra_vm_config. */
	uint8_t levels;
	enum umbra_layout layout;
	bool exec_by_mode;
	uint32_t page_limit;
	bool no_mmio_caching, mmio_wide_generation;
	uint8_t l1tf_cache_bits;
	bool bug_truncate_gpa;
	/** Largest page (1..3) that host memory has. */
	uint8_t page_level;
	/** Host memory lies 4 KiB off the guest's alignment: no large page fits. */
	bool skew;
	/** Temperament of the UMBRA machine, and its MODEL_* choices. */
	enum model_caching caching;
	unsigned choices;
	uint64_t seed;
	/** CPUs of the UMBRA machine, all in the same state; an access is made by one
	 * at random, an instruction executed by each. 0: one. */
	unsigned cpus;
	/** Audit after each fault that Umbra handled (slow). */
	bool audit;
};

/** lab_new - NULL and one sentence in @error if the configuration cannot be. */
struct lab *lab_new(const struct lab_config *config, const struct lab_memory *memory,
		    unsigned memory_count, char *error, size_t error_size);
void lab_free(struct lab *lab);

/** lab_guest_cpu - the CPU that the guest sees in such a lab. */
struct umbra_cpu lab_guest_cpu(const struct lab_config *config);

/* ---- what is done ---- */

/** struct lab_access - like model_access, with what a CPU knows besides. */
struct lab_access {
	umbra_gva gva;
	uint8_t size;
	unsigned access;
	/** Bytes to write; NULL: store back what is there. */
	const void *data;
};

enum lab_end {
	LAB_DONE, /* completed; piece[] and data say how */
	LAB_EXCEPTION, /* the guest gets @event */
	LAB_REFUSED, /* an instruction raised #GP, or L1's failed (VMfail, exit 59) */
	LAB_EXIT_L1, /* L2 exits to L1, which sees @event; L2 can still go on */
	/* Only on the UMBRA side; all of them are findings: */
	LAB_NO_PROGRESS, /* faulted again and again */
	LAB_STATUS, /* umbra_* said @status */
	LAB_WRONG, /* nonsense, in @what */
};

/** What lies at a guest-physical address. */
enum lab_place { LAB_RAM, LAB_ROM, LAB_NOTHING };

struct lab_piece {
	umbra_gpa gpa;
	uint8_t size;
	enum lab_place place;
	/** UMBRA side, L2 on L1's EPT or NPT: what its own tables gave; MODEL_GPA_ANY: not
	 * known, for the access was emulated. */
	umbra_gpa l2;
};

/** struct lab_side - what happened on one machine. */
struct lab_side {
	enum lab_end end;
	struct umbra_event event;
	/** BARE, LAB_EXIT_L1: the bits of event.code that the manuals define. */
	uint64_t code_defined;
	enum umbra_status status;
	const char *what;
	unsigned piece_count;
	struct lab_piece piece[2];
	/** Bytes read; MMIO reads as ones. */
	uint8_t data[64];
	/** Rounds through Umbra's fault path. */
	unsigned rounds;
	/** Pages unprotected for the hardware's walks. */
	unsigned unprotected;
};

/** struct lab_difference - both outcomes, or two values of memory. */
struct lab_difference {
	/** "access", "memory", "instruction", "pml", "audit" */
	const char *kind;
	struct umbra_regs regs;
	struct lab_access access;
	struct lab_side bare, umbra;
	/** memory: the place and its 8 bytes. pml: the indexes. audit: where, value, other. */
	umbra_gpa gpa;
	uint64_t bare_value, umbra_value;
	/** audit: the invariant. */
	const char *what;
	/** audit: what happened to the entry lately; good until @found returns. */
	const struct umbra_recent *recent;
	unsigned recent_count;
};

/** lab_on_difference - call @found for each difference. */
void lab_on_difference(struct lab *lab,
		       void (*found)(void *context, const struct lab_difference *difference),
		       void *context);

/**
 * lab_set_regs - put the guest into this state, on both machines, with empty TLBs.
 * *refused: both refuse it (#GP). False: a difference. In L2: L2's registers.
 */
bool lab_set_regs(struct lab *lab, const struct umbra_regs *regs, bool load_pdptes, bool *refused);
/** lab_regs - the registers of whoever runs (on the BARE machine). */
const struct umbra_regs *lab_regs(const struct lab *lab);

/** lab_access - one access, by some CPU. @bare, if not NULL, gets the right outcome. False: a
 * difference. */
bool lab_access(struct lab *lab, const struct lab_access *access, struct lab_side *bare);

/* Instructions of the guest; false: a difference. */
enum lab_register { LAB_CR0, LAB_CR3, LAB_CR4, LAB_EFER };
bool lab_mov(struct lab *lab, enum lab_register which, uint64_t value, bool *refused);
bool lab_set_keys(struct lab *lab, uint32_t pkru, uint32_t pkrs);
bool lab_invlpg(struct lab *lab, umbra_gva gva);

/* ---- nested guests ----
 *
 * On the BARE machine L1 runs natively, and L2 on L1's own EPT or NPT. Accesses and
 * instructions above are those of whoever runs. All return false for a difference. */

/**
 * lab_enter_nested - L1 executes VMLAUNCH, VMRESUME or VMRUN. *refused: both refuse the
 * state, or this VM cannot show L1 such paging (EOPNOTSUPP).
 */
bool lab_enter_nested(struct lab *lab, const struct umbra_nested *state, bool *refused);
/** lab_leave_nested - VM exit for whatever reason; nothing happens while L1 runs. */
bool lab_leave_nested(struct lab *lab);
bool lab_in_l2(const struct lab *lab);
/** lab_nested - what L1 sees in its VMCS or VMCB now, as the BARE machine has it. */
void lab_nested(const struct lab *lab, struct umbra_nested *state);
/* Instructions of L1; *refused: VMfail. */
bool lab_invept(struct lab *lab, unsigned type, uint64_t eptp, bool *refused);
bool lab_invvpid(struct lab *lab, unsigned type, uint16_t vpid, umbra_gva gva, bool *refused);
bool lab_invlpga(struct lab *lab, umbra_gva gva, uint32_t asid);
/** lab_vmfunc - L2 executes VMFUNC 0. *refused: exit 59. */
bool lab_vmfunc(struct lab *lab, uint32_t index, bool *refused);

/**
 * lab_note_tables - somebody's page tables lie in [base, base + size): a CPU that
 * speculates may set Accessed bits there. Needed for L2's tables on L1's EPT or NPT;
 * others are found by themselves while they are in use.
 */
void lab_note_tables(struct lab *lab, umbra_gpa base, uint64_t size);

/** lab_device_write - DMA: @size bytes to @gpa on both machines, around the CPU. */
bool lab_device_write(struct lab *lab, umbra_gpa gpa, const void *bytes, size_t size);
/** lab_zap - umbra_vm_zap_all(): must be invisible. */
void lab_zap(struct lab *lab);

/**
 * lab_move - the embedder moves memory @index: its slot is deleted and made again
 * with other host memory that holds the same bytes; the old memory is filled
 * with garbage. The guest must not notice. False: a difference, or no memory.
 */
bool lab_move(struct lab *lab, unsigned index);

/** lab_compare_memory - all guest memory; returns the number of differing words. */
uint64_t lab_compare_memory(struct lab *lab);
/** lab_audit - umbra_audit(); each finding is a difference. Returns their number. */
uint64_t lab_audit(struct lab *lab);

/* ---- looking ---- */

struct lab_counts {
	uint64_t accesses, completed, mmio, exceptions, exits_to_l1;
	/** Exits to Umbra by kind, and its verdicts. */
	uint64_t exits[UMBRA_EVENT_KINDS], verdicts[UMBRA_VERDICT_COUNT];
	/** VM entries, flushes that Umbra asked for (all kinds). */
	uint64_t entries, flushes;
	uint64_t differences;
	/** Most rounds that one access took. */
	uint64_t rounds_max;
	/** Most table pages and bytes of small memory at once, as of lab_tally(). */
	uint64_t tables, bytes;
};
const struct lab_counts *lab_counts(struct lab *lab);
struct umbra_vm *lab_vm(struct lab *lab);
struct umbra_vcpu *lab_vcpu(struct lab *lab);
struct posix_host *lab_host(struct lab *lab);
const struct lab_config *lab_config(const struct lab *lab);

/** lab_memory - as lab_new got it. */
const struct lab_memory *lab_memory(const struct lab *lab, unsigned *count);

/** lab_place_of - what lies at @gpa, and the memory index of RAM and ROM. */
enum lab_place lab_place_of(const struct lab *lab, umbra_gpa gpa, unsigned *index);
/** lab_bytes - pointer to the BARE machine's byte at @gpa, NULL where there is none. */
void *lab_bytes(const struct lab *lab, umbra_gpa gpa);

/** lab_difference_print - "bare ... / umbra ..." on two or three lines, to @text. */
void lab_difference_print(const struct lab_difference *difference, char *text, size_t size);

#endif
