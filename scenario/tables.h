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
	TABLES_EPT4,
	TABLES_EPT5,
	TABLES_MODES
};
/** tables_mode_name - "unpaged", "32", "32pse", "pae", "4", "5", "ept4", "ept5". */
const char *tables_mode_name(enum tables_mode mode);
/** tables_mode_of - the mode that these registers select. */
enum tables_mode tables_mode_of(const struct umbra_regs *regs);

unsigned tables_top(enum tables_mode mode);
unsigned tables_entry_bytes(enum tables_mode mode);
unsigned tables_index(enum tables_mode mode, umbra_gva gva, unsigned level);
/** tables_is_ept - L1's, for L2's guest-physical addresses. L1's NPT has a mode of paging. */
bool tables_is_ept(enum tables_mode mode);
bool tables_is_present(enum tables_mode mode, uint64_t value);
/** tables_span - bytes that an entry at @level maps. */
uint64_t tables_span(enum tables_mode mode, unsigned level);
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
	/** Addresses in these tables are L2's: L1 has them this much higher. */
	uint64_t base;
	/** Where the pool is mapped, in these tables or in @owner's; 0: nowhere. */
	umbra_gva window;
	/** L1's tables, if these are L1's EPT or NPT. */
	struct tables *owner;
};

/** TABLES_* - what a leaf may have besides P. */
#define TABLES_W 1u
#define TABLES_U 2u
#define TABLES_NX 4u
#define TABLES_G 8u
#define TABLES_A 16u
#define TABLES_D 32u
/* EPT; TABLES_U is bit 10, which counts with MBEC. */
#define TABLES_R 64u
#define TABLES_X 128u

/** tables_leaf - the entry for a page at @level. */
uint64_t tables_leaf(enum tables_mode mode, umbra_gpa gpa, unsigned flags, unsigned level);
/**
 * tables_place - where the entry for @gva at @level lies; missing tables above it are
 * made if @make. False: @error says why there is none.
 */
bool tables_place(struct tables *tables, umbra_gva gva, unsigned level, bool make, umbra_gpa *place,
		  char *error, size_t error_size);
/** tables_eptp - EPTP of EPT tables; @ad: with A and D bits. */
uint64_t tables_eptp(const struct tables *tables, bool ad);
bool tables_get(struct tables *tables, umbra_gpa place, uint64_t *value);
bool tables_put(struct tables *tables, umbra_gpa place, uint64_t value);

/** struct tables_walk - what a walk in software met; nothing is set or checked. */
struct tables_walk {
	unsigned count;
	struct {
		uint8_t level;
		/** The entry is in memory (of L1, by way of its EPT or NPT). */
		bool there;
		unsigned index;
		uint64_t value;
	} step[UMBRA_LEVEL_MAX];
	/** It ends in a page: .address. */
	bool mapped;
	uint64_t address;
};
/** tables_walk - through tables of @mode at @root; @below translates their addresses,
 * NULL: they are L1's. */
void tables_walk(struct world *world, enum tables_mode mode, uint64_t root,
		 const struct tables *below, uint64_t address, struct tables_walk *walk);
/** tables_open - a pool's root, and the window. */
bool tables_open(struct tables *tables, char *error, size_t error_size);

#endif
