/* SPDX-License-Identifier: MIT */
/*
 * retrace_parts.h - what the files of the replay share.
 *
 *	retrace.c         records, what is known of the machine, entering and faults
 *	retrace_tables.c  table pages and their entries, the comparison at the end
 *	retrace_frames.c  guest frames: who mirrors them, who lets them be written
 */
#ifndef LAB_RETRACE_PARTS_H
#define LAB_RETRACE_PARTS_H

#include "lab/retrace.h"
#include "model/format.h"
#include "umbra/types.h"
#include "umbra/umbra.h"

#define RETRACE_PAGES_MAX (1u << 20)
#define RETRACE_SLOTS_MAX 512
#define RETRACE_OWED_MAX 64
#define RETRACE_TOUCHED_MAX 4096

enum page_state {
	PAGE_FREE,
	PAGE_HELD, /* the library has it, and it is no table */
	PAGE_TABLE,
	PAGE_ZAPPED, /* it cannot be found again; who has it as root still has it */
};

struct retrace_page {
	enum page_state state;
	uint64_t gfn;
	struct umbra_role role;
	bool unsync, dumped;
	unsigned references, parents; /* as a root; entries that lead here */
	uint64_t flushes; /* that there had been when the last way to it went */
	uint64_t written; /* entries, since it was made or synced */
	uint64_t *entries; /* of TABLE and ZAPPED */
};

struct retrace_slot {
	uint32_t id, flags;
	uint64_t start, end; /* frames; both 0: none */
};

/* Translations that are gone from the tables, and perhaps not from a TLB. */
struct retrace_owed {
	uint64_t start, end; /* frames; end ~0: everything */
	unsigned long line;
};

/* A frame, or a region of a larger page's size. */
struct retrace_frame {
	uint64_t key; /* frame | level << 60; 0: nothing here */
	uint32_t mirrors, unsync, mapped; /* level 1: mapped writable */
};

struct retrace_frames {
	struct retrace_frame *slot;
	size_t size, used;
	/** Keys that changed since the guest was entered; overflow: look at all. */
	uint64_t touched[RETRACE_TOUCHED_MAX];
	unsigned touched_count;
};

struct retrace {
	void (*found)(void *context, const struct retrace_finding *finding);
	void *context;
	struct retrace_machine machine;
	struct retrace_counts counts;
	const struct log_record *now;
	bool known, counted, whole, tcg, out_of_memory;
	uint8_t page_level;
	/** Formats of tables, and of a root of four entries. */
	struct paging format, pae;
	uint64_t address; /* bits of a physical address in an entry of the last level */
	uint64_t own_start, own_end, pages_start, pages_count;
	struct retrace_page *page;
	struct retrace_slot slot[RETRACE_SLOTS_MAX];
	unsigned slot_count;
	struct retrace_owed owed[RETRACE_OWED_MAX];
	unsigned owed_count;
	struct retrace_frames frames;
	uint64_t held, tables, leaves[4];
	/** Entries emptied since the guest wrote to a table, or was entered. */
	uint64_t cleared;
	/** Line of a flush that the next entering must have done; 0: none. */
	unsigned long flush_line;
	/** The root that was loaded last, NULL: none; and whether another was taken since. */
	struct retrace_page *root;
	bool root_taken;
	/** The page being compared, and the first entry not looked at yet. */
	struct retrace_page *dumping;
	unsigned dump_at;
};

void retrace_tell(struct retrace *r, const char *rule, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- retrace_tables.c ---- */

/** retrace_page_at - of the table page at @hpa; NULL: it is none that the library may have. */
struct retrace_page *retrace_page_at(struct retrace *r, uint64_t hpa);
/** struct retrace_place - where an address leads, and what all entries on the way grant:
 * PTE_W, PTE_U; PTE_XD where any of them forbids to execute. */
struct retrace_place {
	uint64_t frame, rights;
};
/** retrace_translate - @address by the root that is loaded. False: not present. */
bool retrace_translate(struct retrace *r, uint64_t address, struct retrace_place *place);
void retrace_take(struct retrace *r, uint64_t hpa);
void retrace_give(struct retrace *r, uint64_t hpa);
void retrace_make(struct retrace *r, uint64_t gfn, uint64_t role, uint64_t hpa);
void retrace_zap(struct retrace *r, uint64_t hpa, uint64_t cleared);
void retrace_synced(struct retrace *r, uint64_t hpa, uint64_t changed);
/** retrace_written - the guest wrote to @v[0], @v[1] bytes, and @v[2] entries went. */
void retrace_written(struct retrace *r, const uint64_t *v);
void retrace_unsync(struct retrace *r, uint64_t hpa, bool unsync);
void retrace_reference(struct retrace *r, uint64_t hpa, int change, uint64_t left);
void retrace_set(struct retrace *r, const struct log_record *record);
void retrace_dump(struct retrace *r, const struct log_record *record);
/** retrace_dump_done - the last page, and those that were left out. */
void retrace_dump_done(struct retrace *r);
/** retrace_slot_empty - nothing of frames [start, end) may be mapped. */
void retrace_slot_empty(struct retrace *r, uint64_t start, uint64_t end);

/* ---- retrace_frames.c ---- */

/** retrace_mirror - one more mirror of @gfn, or one less; so with the unsync among them. */
void retrace_mirror(struct retrace *r, uint64_t gfn, int change, int unsync);
/** retrace_map - a leaf at @level that maps @gfn on comes or goes. */
void retrace_map(struct retrace *r, uint64_t gfn, unsigned level, int change);
/** retrace_frames_check - what has changed since the last time (I-7, I-8). */
void retrace_frames_check(struct retrace *r);

#endif
