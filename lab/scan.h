/* SPDX-License-Identifier: MIT */
/*
 * scan.h - every page that a guest's own tables map.
 *
 * Reads tables, changes nothing, does no access: what is listed is what the
 * tables say, rights ANDed over the levels, for the mode that the registers
 * select. Shared by `umbra map`, `umbra run` and the lab.
 */
#ifndef LAB_SCAN_H
#define LAB_SCAN_H

#include "core/mode.h"

/** struct scan_leaf - one mapped page. */
struct scan_leaf {
	/** Sign-extended where the mode has canonical addresses. */
	umbra_gva gva;
	umbra_gpa gpa;
	uint64_t entry;
	/** log2 of the size. */
	uint8_t shift;
	uint8_t level;
	/** ACC_* of mode.h. */
	uint8_t acc;
	bool global;
};

/** Things met on the way that map nothing. */
enum scan_kind {
	SCAN_TABLE, /* a table, before its entries */
	SCAN_ABSENT, /* a table where there is no memory */
	SCAN_RESERVED, /* a present entry with a reserved bit */
};
struct scan_note {
	enum scan_kind kind;
	/** Of the table; of the entry for SCAN_RESERVED. */
	umbra_gpa gpa;
	/** First address that it is about. */
	umbra_gva gva;
	uint64_t entry;
	uint8_t level;
};

struct scan {
	const struct umbra_regs *regs;
	const struct umbra_cpu *cpu;
	void *context;
	/** Pointer to @size bytes at @gpa, or NULL. */
	const void *(*at)(void *context, umbra_gpa gpa, size_t size);
	/** In the order of addresses. False ends the scan. */
	bool (*leaf)(void *context, const struct scan_leaf *leaf);
	/** May be NULL. */
	bool (*note)(void *context, const struct scan_note *note);
	/** Out: entries read, leaves, tables visited (aliases counted each time). */
	uint64_t entries, leaves, tables;
	/** Out: the tables are so entangled that the scan gave up. */
	bool gave_up;
};

/** Entries to read before giving up: tables that contain each other can map
 * 2^48 pages with 4 KiB of memory. */
#define SCAN_LIMIT (1ull << 28)

/**
 * scan_run - scan all of the address space. A guest without paging has no
 * leaves. PAE's PDPTEs are taken from the registers, or from memory on a CPU
 * without such registers. False: a callback or the limit ended it early.
 */
bool scan_run(struct scan *scan);

/** scan_canonical - sign-extend what @mode (NULL: no paging) translates. */
uint64_t scan_canonical(const struct mode *mode, uint64_t address);
/** scan_is_canonical - may a program use @address in this mode? (H-3, H-4) */
bool scan_is_canonical(const struct mode *mode, uint64_t address);

#endif
