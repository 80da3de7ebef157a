/* SPDX-License-Identifier: MIT */
/*
 * mode.h - a format bound to a CPU and its controls (layer 1).
 *
 * mode_bind() folds MAXPHYADDR, features and control bits into masks and one
 * permission table, so that the walker has no feature tests. A mode is a value:
 * no pointers into anything but const formats, freely copied and compared.
 */
#ifndef CORE_MODE_H
#define CORE_MODE_H

#include "core/format.h"

/**
 * Rights of a translation (facts B-2). For EPT formats USER is "execute from
 * user-mode linear addresses" and EXEC the supervisor's (all, without MBEC).
 */
#define ACC_READ (1u << 0)
#define ACC_WRITE (1u << 1)
#define ACC_USER (1u << 2)
#define ACC_EXEC (1u << 3)
#define ACC_ALL 15u

/** struct mode_level - what the walker needs to know of a level. */
struct mode_level {
	uint64_t present;
	/** Reserved bits: [0] large bit clear, [1] set. */
	uint64_t rsvd[2];
	uint64_t large;
	uint64_t table_address, leaf_address;
	uint64_t accessed, dirty;
	/** rights = ((entry ^ flip) | grant) >> rights_shift. */
	uint64_t flip, grant;
	uint64_t high;
	/**
	 * Everything about a leaf at once, for the walker: it has no reserved bit and
	 * is a leaf if (entry & leaf_mask) == leaf_want; unless the mode has good_low6,
	 * it is present, too. Not for MODE_SHAPE_ODD.
	 */
	uint64_t leaf_mask, leaf_want;
	uint64_t offset_mask; /* address bits below the leaf's page size */
	/** Byte offset of the entry in its table: address >> slot_shift & slot_mask. */
	uint32_t slot_mask;
	uint8_t slot_shift;
	uint8_t shift, rights_shift, high_shift;
	uint16_t index_mask;
};

/**
 * What the walker's loop may take for granted. Every hardware format fits in one of
 * 8BYTE, 8BYTE | LOW6 and 0; ODD is right for any format, only slower.
 */
#define MODE_SHAPE_8BYTE (1u << 0) /* 8-byte entries */
#define MODE_SHAPE_LOW6 (1u << 1) /* presence and legality by good_low6 */
#define MODE_SHAPE_ODD (1u << 2) /* levels differ in where something is */
#define MODE_SHAPE_MASK 7u

/** How this mode, as a second stage, sees the accesses of the stage above it. */
struct mode_stage2 {
	/** Access flags of a read of a guest table entry, and of an A/D update. */
	uint8_t table_read, table_update;
	/** Final access: flags kept of the original, flags always set, and set
	 * unless it is a fetch (GMET: only fetches have a mode of their own). */
	uint8_t final_keep, final_set, final_set_data;
	/** Final access: USER when these rights of the first stage hold (MBEC). */
	uint8_t final_user_acc;
};

/**
 * What the walker asks of a walk that is to be over at the leaf: all entries were
 * present, the access is allowed and no A/D bit is missing iff (raw rights & care) ==
 * want and the leaf's entry has all of @dirty. The raw rights are the entries' own
 * bits, inverted where they deny, ANDed over the levels. Not for MODE_SHAPE_ODD.
 */
struct mode_allow {
	uint64_t care, want, dirty;
};

#define MODE_ALLOW_MASK 31u /* all of enum umbra_access but SHSTK */

struct mode {
	const struct format *format;
	uint32_t flags; /* MODE_* it was bound with */
	uint8_t maxphyaddr;
	uint8_t top;
	uint8_t entry_shift; /* log2 of the entry size */
	bool root_registers; /* PDPTEs come from registers */
	bool pk; /* keys can deny */
	/** Which instance of the walker's loop suits the format. */
	uint8_t shape;
	/** Rights that every translation has (no such bit in the format). */
	uint8_t acc_always;
	/** What is left of the format's root_address. */
	uint64_t root_address;
	/** Address bits that no table of a second stage reaches (H-84, H-101). */
	uint64_t beyond;
	/** The accessed bit among the accumulated raw rights; 0: not in use. */
	uint64_t accessed;
	/** Raw right of each ACC_* bit, and the leaf's key. */
	uint64_t read, write, user, exec;
	uint8_t key_shift, key_mask;
	/** #PF code bit 4 is reported for fetches (H-55). */
	uint64_t fetch_code;
	/** bad_low6 test: index is (entry & 63) | (entry >> 8 & bad_fold).
	 * good_low6 is what is neither bad nor not present; 0 in formats without
	 * illegal values. */
	uint64_t bad_low6, bad_fold, good_low6;
	/** What the levels have in common, unless MODE_SHAPE_ODD. Without good_low6,
	 * @present is among the raw rights. */
	uint64_t flip, grant, present;
	/**
	 * For the walker's way through the tables, by level; unless MODE_SHAPE_ODD.
	 * A present entry references a table if it has none of the bits of @table_stop.
	 * An address rotated left by @slot_first, & @slot_mask, is the byte offset of its
	 * entry in the first table; rotated on by @slot_bits, in the next one.
	 */
	uint64_t table_stop[UMBRA_LEVEL_MAX + 1], table_address[UMBRA_LEVEL_MAX + 1];
	uint32_t slot_mask;
	uint8_t slot_first, slot_bits;
	/** acc_always, and what @grant gives. */
	uint8_t acc_granted;
	/** deny[access index] bit acc: the access is denied (B-1..B-3). The index
	 * is perm_index(access). */
	uint16_t deny[16];
	/** The same for the walker, which looks at raw rights (B-3 is a
	 * conjunction for each kind of access). Index: access & MODE_ALLOW_MASK. */
	struct mode_allow allow[32];
	/** Bit numbers of the accumulated rights. */
	uint8_t read_bit, write_bit, user_bit, exec_bit, key_bit;
	struct mode_stage2 stage2;
	struct mode_level level[UMBRA_LEVEL_MAX + 1];
};

/** mode_rights - raw rights of one entry at @level: AND them over levels, then mode_acc(). */
static inline uint64_t mode_rights(const struct mode_level *level, uint64_t entry)
{
	return ((entry ^ level->flip) | level->grant) >> level->rights_shift;
}
/** mode_acc - ACC_* of raw rights. */
static inline unsigned mode_acc(const struct mode *mode, uint64_t rights)
{
	return mode->acc_always | (rights & mode->read ? ACC_READ : 0) |
	       (rights & mode->write ? ACC_WRITE : 0) | (rights & mode->user ? ACC_USER : 0) |
	       (rights & mode->exec ? ACC_EXEC : 0);
}

/** mode_maps_page - is @entry of a last-level table present and legal? (H-32, H-76) */
static inline bool mode_maps_page(const struct mode *mode, uint64_t entry)
{
	const struct mode_level *level = &mode->level[1];
	uint64_t low6 = (entry & 63) | (entry >> 8 & mode->bad_fold);

	return (entry & level->present) && !(entry & level->rsvd[1]) &&
	       !(mode->bad_low6 >> low6 & 1);
}

/**
 * mode_bind - fold @flags (MODE_*) and @maxphyaddr (32..52) into @format.
 * Total: every combination gives a mode; flags that the format does not know
 * have no effect.
 */
void mode_bind(struct mode *mode, const struct format *format, uint32_t flags, unsigned maxphyaddr);

/**
 * mode_of_regs - the format and flags that @regs select on @cpu (G-2, H-2).
 * NULL: no paging. The caller binds: mode_bind(m, f, *flags, cpu->maxphyaddr).
 */
const struct format *mode_of_regs(const struct umbra_regs *regs, const struct umbra_cpu *cpu,
				  uint32_t *flags);

/** mode_of_eptp - format and flags of an EPTP; NULL if its walk length is neither 4 nor 5
 * or another entry check of E-2 fails. @mbec: the execution control. */
const struct format *mode_of_eptp(uint64_t eptp, const struct umbra_cpu *cpu, bool mbec,
				  uint32_t *flags);

/** mode_of_npt - format and flags of nested paging under host registers @host (H-91);
 * NULL if the host does not page. @gmet: VMCB 090h bit 3. The caller adds
 * MODE_ROGPT for VMCB 090h bit 6. */
const struct format *mode_of_npt(const struct umbra_regs *host, const struct umbra_cpu *cpu,
				 bool gmet, uint32_t *flags);

/**
 * mode_pdptes_load_ok - H-20/G-13: may these four values be loaded into PDPTE
 * registers? False: MOV CR raises #GP(0).
 */
bool mode_pdptes_load_ok(const uint64_t pdpte[4], unsigned maxphyaddr);

#endif
