/* SPDX-License-Identifier: MIT */
/* fuzz_parts.h - what making and running programs share: the guest's memory. */
#ifndef LAB_FUZZ_PARTS_H
#define LAB_FUZZ_PARTS_H

#include <setjmp.h>

#include "core/mode.h"
#include "lab/fuzz.h"
#include "lab/parts.h"

struct fuzz_slot {
	/** Both places, of which one is in use at a time. */
	uint64_t base[2];
	uint64_t size;
	bool readonly;
};

/** RAM with the tables, RAM for a large page, more RAM, ROM. */
static const struct fuzz_slot fuzz_slots[FUZZ_SLOTS] = {
	{{0x0, 0x80000}, 0x40000, false},
	{{0x200000, 0x600000}, 0x200000, false},
	{{0x400000, 0x410000}, 0x10000, false},
	{{0x440000, 0x450000}, 0x4000, true},
};

/** Pages that hold tables at first. */
#define FUZZ_TABLES 0x10000ull
#define FUZZ_TABLE_COUNT 16
/** Pages that hold L1's EPT or NPT at first; FUZZ_LOG is behind them. */
#define FUZZ_L1_TABLES 0x22000ull
#define FUZZ_L1_COUNT 13
#define FUZZ_MMIO 0x500000ull
/** Guest-physical pages below here are told tables from data; with an image, those
 * up to its end, as far as this limit. */
#define FUZZ_PAGES 0x800u
#define FUZZ_PAGES_MAX (1u << 24)
/** End of L2's memory, as far as it is known what may be cached of it. */
#define FUZZ_L2_END 0x80000000ull
#define FUZZ_VISITS 512

struct visit {
	/** Where the entry is, L1-physical. */
	umbra_gpa at;
	/** Second stage: A and D as the model has it. Else what a leaf may have is decided. */
	uint64_t may;
	uint8_t size;
	bool leaf, nested;
};

/** struct fuzz_guest - what a vCPU's L1 has of its L2. */
struct fuzz_guest {
	bool in_l2;
	/** What L1 entered it with; since it left, as L1's VMCS or VMCB has it. */
	struct umbra_nested nested;
	bool has;
	/** Index of the log, whether it is used or not. */
	uint16_t logged;
	/** L2 runs: L1, natively. */
	struct model_state l1;
};

/** struct duel - the UMBRA machine of a lab, and bare CPUs that follow it. */
struct duel {
	const struct fuzz_program *program;
	const struct fuzz_limits *limits;
	struct fuzz_result *result;
	struct lab *lab;
	jmp_buf bug;

	struct model_mem *mem;
	struct model_cpu *bare[LAB_CPU_MAX];
	/** fuzz_slots, or the ranges of limits->image (one place each, and they stay). */
	struct fuzz_slot slot[LAB_MEMORY_MAX];
	unsigned slot_count;
	/** The bare machine's bytes at each place of a slot; zeros where it is not
	 * (docs/FUZZING.md). */
	void *bytes[LAB_MEMORY_MAX][2];
	void *umbra[LAB_MEMORY_MAX];
	/** Place in use; -1: the slot is deleted. */
	int place[LAB_MEMORY_MAX];

	/** Linear pages that the program touches. */
	uint64_t *page;
	unsigned page_count;
	/** Guest-physical pages that walks have read: a bit for each of table_pages. */
	uint8_t *table;
	uint64_t table_pages;
	/** vCPUs whose knowledge is to be gathered again. */
	unsigned stale;
	struct visit visit[FUZZ_VISITS];
	unsigned visit_count;
	/** Second-stage leaves visited: pages of L2 that may be logged. */
	uint64_t logs[FUZZ_VISITS];
	unsigned log_count;
	struct fuzz_guest guest[LAB_CPU_MAX];
	/** Guest-physical pages that L2 may address. */
	uint64_t *gpa;
	unsigned gpa_count;
};

/* ---- fuzz_judge.c ---- */

/** judge_found - a finding, unless there is one already. */
void judge_found(struct duel *d, const char *kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/** judge_access - is @side right for @a by @vcpu? Then the bare machine follows. */
void judge_access(struct duel *d, unsigned vcpu, const struct lab_access *a,
		  const struct lab_side *side);
/** judge_load - @vcpu's L2 loaded PDPTEs through L1's EPT: A bits follow. */
void judge_load(struct duel *d, unsigned vcpu, uint64_t cr3);
/** judge_store - @size bytes are stored on the bare machine. */
void judge_store(struct duel *d, umbra_gpa gpa, const void *bytes, size_t size);
/** judge_gather - let the CPUs of d->stale know what they may have cached by now. */
void judge_gather(struct duel *d);
/** judge_memory - are both memories the same? @all: the large slot too. */
void judge_memory(struct duel *d, bool all);
/** judge_bare, judge_umbra - the machines' bytes at @gpa, or NULL. */
uint8_t *judge_bare(const struct duel *d, umbra_gpa gpa, size_t size);
uint8_t *judge_umbra(const struct duel *d, umbra_gpa gpa, size_t size);

/* ---- fuzz_run.c ---- */

/** run_select - @vcpu acts. Does it run 64-bit code? */
bool run_select(struct duel *d, unsigned vcpu);
/** run_excused - did the failure that was asked for happen, so that it may be tried again? */
bool run_excused(struct duel *d);
/** run_both - a finding, unless both machines refuse or neither. */
void run_both(struct duel *d, const char *what, bool bare_refuses, bool umbra_refuses);
/** run_lost - PDPTEs where no memory is: the library refuses, the bare machine reads zeros. */
bool run_lost(const struct duel *d, const struct umbra_regs *regs, uint64_t cr3);
/** run_forget - the TLBs of @vcpu's bare CPU are empty for whoever runs. */
void run_forget(struct duel *d, unsigned vcpu);

/* ---- fuzz_nested.c ---- */

/** nested_step - steps of L1 about L2, and VMFUNC. */
void nested_step(struct duel *d, const struct fuzz_step *s);
/** nested_leave - VM exit, if @vcpu runs L2. */
void nested_leave(struct duel *d, unsigned vcpu);
/** nested_exited - L2's access or instruction ended with @side->event, which L1 sees:
 * L1 handles it and resumes L2. */
void nested_exited(struct duel *d, unsigned vcpu, const struct lab_side *side);

/* ---- fuzz_image.c ---- */

/** struct fuzz_leaf - one page that the image's tables map. */
struct fuzz_leaf {
	uint64_t gva, gpa;
	uint8_t shift, level;
	bool user, writable;
};

struct fuzz_way {
	uint64_t gpa;
	uint32_t leaf;
};

/** struct fuzz_kept - a page as it was before a program changed it. */
struct fuzz_kept {
	uint64_t gpa;
	uint8_t bytes[UMBRA_PAGE_SIZE];
};

struct fuzz_image {
	struct lab_image *views;
	const struct lab_memory *memory;
	unsigned count;
	struct umbra_regs regs;
	struct mode mode;

	/** What is mapped, by linear address. A group is what one table maps. */
	struct fuzz_leaf *leaf;
	uint32_t *group, *user_group;
	/** Leaves that a supervisor may write through, by guest-physical address. */
	struct fuzz_way *way;
	unsigned leaf_count, group_count, user_count, way_count;
	/** Pages that hold tables, sorted. */
	uint64_t *table;
	unsigned table_count;

	/** Pages changed, and for each page of a range its number among them + 1. */
	struct fuzz_kept **kept;
	unsigned kept_count, kept_room;
	uint32_t *number[LAB_MEMORY_MAX];
	/** Memory ran out, so that a page could not be kept. */
	bool failed;
};

/** fuzz_image_keep - the bare machine is about to change the page at @gpa. */
void fuzz_image_keep(struct fuzz_image *image, umbra_gpa gpa);
/** fuzz_image_restore - both views are again what the file holds. @all: the views may
 * differ in pages that nobody kept. */
void fuzz_image_restore(struct fuzz_image *image, bool all);
/** fuzz_image_bytes - the bare machine's bytes at @gpa, or NULL. */
uint8_t *fuzz_image_bytes(const struct fuzz_image *image, uint64_t gpa, size_t size);

#endif
