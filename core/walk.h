/* SPDX-License-Identifier: MIT */
/*
 * walk.h - the walker (layer 2, pure).
 *
 * A space turns addresses into addresses: (mode, root, how to reach memory,
 * parent). A guest is a chain of spaces; the last one's addresses are looked up
 * in memory. walk() is the only walker: guest tables, L1's EPT/NPT and nested
 * guests' tables differ only in the space they are given.
 *
 *	ngva space --parent--> L1's EPT/NPT space --parent--> NULL (memory)
 */
#ifndef CORE_WALK_H
#define CORE_WALK_H

#include "core/mode.h"

/** struct memory - where the last space of a chain finds bytes. */
struct memory {
	/** Window of the last hit: [base, base + size) is at @bytes. Whole pages,
	 * so that no entry crosses its end; size 0 at first. */
	uint64_t base, size;
	uint8_t *bytes;
	/** The window may be written. */
	bool writable;
	/**
	 * Move the window so that it covers @address. False: nothing is there;
	 * the window is then unchanged. Never fails for lack of memory.
	 */
	bool (*find)(struct memory *memory, uint64_t address);
	/** A or D was set in an entry of @format at @address. NULL: nobody cares. */
	void (*marked)(struct memory *memory, uint64_t address, const struct format *format);
	void *context;
};

/** struct walk_log - page-modification logging of an EPT space (H-82). */
struct walk_log {
	/** Next entry, counting down; above 511 the log is full and no A or D can be set. */
	uint16_t index;
	/** D of the leaf for @address has gone from 0 to 1: log it and step @index. */
	void (*dirtied)(struct walk_log *log, uint64_t address);
};

struct space {
	/** NULL: no paging, addresses pass unchanged with all rights. */
	const struct mode *mode;
	/** Address of the root table in the parent (masked by format->root_address). */
	uint64_t root;
	/** PDPTE registers, when mode->root_registers. */
	const uint64_t *pdpte;
	uint32_t pkru, pkrs;
	/** The space that this one's table and final addresses live in; NULL:
	 * they are addresses of @memory. A parent that pages like a guest (NPT) has
	 * MODE_NPT in its mode. */
	const struct space *parent;
	struct memory *memory;
	/** NULL: D bits are not logged. */
	struct walk_log *log;
};

enum walk_end {
	WALK_OK,
	WALK_NOT_PRESENT,
	WALK_RESERVED, /* reserved bit; EPT: misconfiguration */
	WALK_DENIED, /* rights or keys */
	WALK_ABSENT, /* a table lies where there is no memory (G-30: like not present) */
	WALK_LOG_FULL, /* an A or D bit was to be set, but the space's log is full */
};

/** Flags of walk(). */
#define WALK_NO_AD (1u << 0) /* look, do not set A/D bits */
#define WALK_NO_FINAL (1u << 1) /* do not translate the result through the parent */
#define WALK_NO_RIGHTS (1u << 2) /* find the leaf whatever its rights; implies NO_AD */

/** struct walk - result. Levels that were not reached hold unspecified values. */
struct walk {
	enum walk_end end;
	/** Leaf level, or the level of the entry that stopped the walk. 0 when
	 * there was no table (no paging). */
	uint8_t level;
	/** Effective rights, ANDed over the levels walked, and those above the
	 * last entry (ACC_*). */
	uint8_t acc, acc_upper;
	/** Key of the leaf; 0 where there is none. */
	uint8_t key;
	/** Leaf has D set (true for formats without D). */
	bool dirty;
	/** WALK_ABSENT etc. happened in the parent while it translated a table
	 * (stage2_table) or the final address. The event says which. */
	bool in_parent;
	/** Translated address in the parent (before the parent's translation). */
	uint64_t address;
	/** ... and at the end of the chain; equal without parent. */
	uint64_t final;
	/** Size of the leaf's page as log2 (12, 21, 22, 30; 64 without paging),
	 * for the whole chain: the smallest. */
	uint8_t page_shift;
	/** A restart was needed: an A/D update lost a race. */
	uint8_t restarts;
	/** What hardware would report when @end is not WALK_OK. */
	struct umbra_event event;
	/** Per level: the entry as used (after A/D), its address in the parent
	 * and at the end of the chain. Root registers: both addresses are 0. */
	uint64_t entry[UMBRA_LEVEL_MAX + 1];
	uint64_t entry_address[UMBRA_LEVEL_MAX + 1];
	uint64_t entry_final[UMBRA_LEVEL_MAX + 1];
};

/**
 * walk - translate @address for @access (set of enum umbra_access).
 *
 * Order as H-32 and G-30: per level read, present, reserved; rights after the
 * leaf; then A/D (compare-exchange, restart on a lost race); then the parent's
 * translation of the result with FINAL access. Table reads go through the
 * parent with its table access (mode_stage2). No canonical check (G-5): bits
 * above the format's input width are dropped.
 *
 * Returns out->end. Never allocates; bounded: at most (5+1)*(5+1) entry reads
 * a try, and 8 tries before a racing entry is reported as WALK_NOT_PRESENT.
 */
enum walk_end walk(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		   struct walk *out);

#endif
