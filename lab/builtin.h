/* SPDX-License-Identifier: MIT */
/*
 * builtin.h - the built-in guest: page tables with everything in them.
 *
 * For each paging mode a small memory with tables that hold every combination
 * of the entry bits that matter, at every level, and the list of the pages so
 * made. Deterministic: the same arguments give the same bytes.
 */
#ifndef LAB_BUILTIN_H
#define LAB_BUILTIN_H

#include "lab/lab.h"

enum builtin_mode {
	BUILTIN_UNPAGED,
	BUILTIN_32,
	BUILTIN_32_PSE,
	BUILTIN_PAE,
	BUILTIN_4,
	BUILTIN_5,
	BUILTIN_MODES
};
/** "unpaged", "32", "32pse", "pae", "4", "5" */
const char *builtin_mode_name(enum builtin_mode mode);

/** struct builtin_page - an address worth touching, and up to where. */
struct builtin_page {
	uint64_t gva;
	/** log2 of what belongs to it. */
	uint8_t shift;
	/** What it maps to, if present, is no guest table: may be stored to. */
	bool data;
};

struct builtin;

struct builtin_config {
	enum builtin_mode mode;
	/** The CPU that the guest sees. */
	struct umbra_cpu cpu;
	/** Guest-physical addresses go beyond 4 GiB (not with an NPT in PAE format). */
	bool high;
	/** NULL, or any guest, best one with @high, that outlives this one: that makes it
	 * cheap. */
	const struct builtin *like;
};

/** builtin_new - NULL when memory is short. */
struct builtin *builtin_new(const struct builtin_config *config);
void builtin_free(struct builtin *builtin);

const struct lab_memory *builtin_memory(const struct builtin *builtin, unsigned *count);
const struct builtin_page *builtin_pages(const struct builtin *builtin, unsigned *count);

/** builtin_regs - variation @index of the registers; false: there are no more. */
bool builtin_regs(const struct builtin *builtin, unsigned index, struct umbra_regs *regs);

/** Guest-physical place of the tables, [base, base + size). */
void builtin_tables(const struct builtin *builtin, umbra_gpa *base, uint64_t *size);
/** builtin_is_path - does the entry at @gpa lead to the window? Then leave it alone. */
bool builtin_is_path(const struct builtin *builtin, umbra_gpa gpa);
/** builtin_roots - CR3 values: the root, a copy of it, for PAE also one that is refused. */
unsigned builtin_roots(const struct builtin *builtin, uint64_t roots[4]);
/**
 * builtin_single - a table of level 1 that is reached by exactly one path, so
 * that one INVLPG is enough after an edit: its place, and the gva of its first page.
 */
void builtin_single(const struct builtin *builtin, umbra_gpa *table, uint64_t *gva);
#define BUILTIN_SINGLE_COUNT 64
/** builtin_leaf - a legal 4K leaf entry to a data page (or ROM, nothing), by @random. */
uint64_t builtin_leaf(const struct builtin *builtin, uint64_t random);
/** builtin_window - where the guest sees its low 16 MiB at a constant distance,
 * supervisor read-write: gva of gpa 0. */
uint64_t builtin_window(const struct builtin *builtin);
/** builtin_entry_size - bytes of a table entry; 0 without paging. */
unsigned builtin_entry_size(const struct builtin *builtin);

#endif
