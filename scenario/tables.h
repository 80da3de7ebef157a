/* SPDX-License-Identifier: MIT */
/*
 * tables.h - guest page tables, made and read in guest memory.
 */
#ifndef SCENARIO_TABLES_H
#define SCENARIO_TABLES_H

#include "scenario/world.h"

enum tables_mode {
	TABLES_UNPAGED,
	TABLES_32, /* two levels, 4-byte entries */
	TABLES_32PSE, /* ... and 4M pages */
	TABLES_PAE,
	TABLES_4,
	TABLES_5,
	TABLES_MODES
};
/** tables_mode_name - "unpaged", "32", "32pse", "pae", "4", "5". */
const char *tables_mode_name(enum tables_mode mode);
/** tables_mode_of - the mode that these registers select. */
enum tables_mode tables_mode_of(const struct umbra_regs *regs);

unsigned tables_top(enum tables_mode mode);
unsigned tables_entry_bytes(enum tables_mode mode);
unsigned tables_index(enum tables_mode mode, umbra_gva gva, unsigned level);
/** tables_is_leaf - does @value, present, end a walk at @level? */
bool tables_is_leaf(enum tables_mode mode, uint64_t value, unsigned level);
/** tables_next - the table that @value leads to. */
umbra_gpa tables_next(enum tables_mode mode, uint64_t value);

/** struct tables - tables of one address space; pages are taken from a pool. */
struct tables {
	struct world *world;
	enum tables_mode mode;
	umbra_gpa root, pool;
	uint64_t pool_size, used;
	/** Where the guest has the pool mapped; 0: nowhere. */
	umbra_gva window;
	/** Leaves get NX where "x" is not asked for? The guest must have EFER.NXE. */
};

/** TABLES_* - what a leaf may have besides P. */
#define TABLES_W 1u
#define TABLES_U 2u
#define TABLES_NX 4u
#define TABLES_G 8u
#define TABLES_A 16u
#define TABLES_D 32u

/** tables_leaf - the entry for a page at @level. */
uint64_t tables_leaf(enum tables_mode mode, umbra_gpa gpa, unsigned flags, unsigned level);
/**
 * tables_place - where the entry for @gva at @level lies; missing tables above it are
 * made if @make. False: @error says why there is none.
 */
bool tables_place(struct tables *tables, umbra_gva gva, unsigned level, bool make, umbra_gpa *place,
		  char *error, size_t error_size);
bool tables_get(struct tables *tables, umbra_gpa place, uint64_t *value);
bool tables_put(struct tables *tables, umbra_gpa place, uint64_t value);
/** tables_open - a pool's root, and the window. */
bool tables_open(struct tables *tables, char *error, size_t error_size);

#endif
