/* SPDX-License-Identifier: MIT */
/* l1_parts.h - what the files of the built-in L1 share. */
#ifndef LAB_L1_PARTS_H
#define LAB_L1_PARTS_H

#include "lab/l1.h"

#define L1_MEMORY_MAX 8
#define L1_SLOTS_MAX 12288
#define L1_ROOTS 2

/** struct l1_format - tables of L1's: its own, or for L2. */
struct l1_format {
	bool ept;
	uint8_t top, bits, entry_size;
	/** Largest level that maps pages. */
	uint8_t leaf_max;
};

/** What an entry of the tables for L2 leads to. */
enum l1_slot_kind {
	L1_SLOT_DATA, /* L2's data: any data page will do */
	L1_SLOT_FIXED, /* L2's tables, devices: this frame or none */
	L1_SLOT_UPPER, /* a table */
};

struct l1_slot {
	uint64_t gpa; /* L1's, of the entry */
	uint64_t value; /* when all is well */
	uint8_t level;
	uint8_t kind; /* enum l1_slot_kind */
	/** Leads to L2's tables: without it nothing works. */
	bool vital;
};

struct l1 {
	struct l1_config config;
	const struct builtin *guest;
	struct umbra_cpu cpu;
	struct lab_memory memory[L1_MEMORY_MAX];
	unsigned memory_count;
	struct lab_memory *own;
	uint64_t next_page, random;
	/** Its own tables, and those for L2: EPTPs or nCR3s, of which [0] is the better one. */
	struct l1_format paging, nested;
	struct umbra_regs regs;
	uint64_t root[L1_ROOTS], pml, eptp_list;
	struct l1_slot *slot;
	unsigned slot_count;
};

/** l1_place - L1's address of L2's @gpa when all is well. */
uint64_t l1_place(uint64_t gpa);
/** l1_value - something else for @slot: fewer rights, another frame, garbage, nothing. */
uint64_t l1_value(struct l1 *l1, const struct l1_slot *slot, uint64_t random);
/** l1_is_present - would hardware look further than the P bit, or R, W and X? */
bool l1_is_present(const struct l1 *l1, uint64_t value);
/** l1_pointer - EPTP or nCR3 of root @index. */
uint64_t l1_pointer(const struct l1 *l1, unsigned index);

#endif
