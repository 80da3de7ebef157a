/* SPDX-License-Identifier: MIT */
/* fuzz_parts.h - what making and running programs share: the guest's memory. */
#ifndef LAB_FUZZ_PARTS_H
#define LAB_FUZZ_PARTS_H

#include <setjmp.h>

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
#define FUZZ_MMIO 0x500000ull
/** Guest-physical pages below here are told tables from data. */
#define FUZZ_PAGES 0x800u
#define FUZZ_VISITS 192

struct visit {
	umbra_gpa gpa;
	bool leaf;
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
	/** The bare machine's bytes at each place of a slot; zeros where it is not (docs/FUZZING.md). */
	void *bytes[FUZZ_SLOTS][2];
	void *umbra[FUZZ_SLOTS];
	/** Place in use; -1: the slot is deleted. */
	int place[FUZZ_SLOTS];

	/** Linear pages that the program touches. */
	uint64_t *page;
	unsigned page_count;
	/** Guest-physical pages that walks have read. */
	uint8_t table[FUZZ_PAGES / 8];
	/** vCPUs whose knowledge is to be gathered again. */
	unsigned stale;
	struct visit visit[FUZZ_VISITS];
	unsigned visit_count;
};

/* ---- fuzz_judge.c ---- */

/** judge_found - a finding, unless there is one already. */
void judge_found(struct duel *d, const char *kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/** judge_access - is @side right for @a by @vcpu? Then the bare machine follows. */
void judge_access(struct duel *d, unsigned vcpu, const struct lab_access *a,
		  const struct lab_side *side);
/** judge_store - @size bytes are stored on the bare machine. */
void judge_store(struct duel *d, umbra_gpa gpa, const void *bytes, size_t size);
/** judge_gather - let the CPUs of d->stale know what they may have cached by now. */
void judge_gather(struct duel *d);
/** judge_memory - are both memories the same? @all: the large slot too. */
void judge_memory(struct duel *d, bool all);
/** judge_bare, judge_umbra - the machines' bytes at @gpa, or NULL. */
uint8_t *judge_bare(const struct duel *d, umbra_gpa gpa, size_t size);
uint8_t *judge_umbra(const struct duel *d, umbra_gpa gpa, size_t size);

#endif
