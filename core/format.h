/* SPDX-License-Identifier: MIT */
/*
 * format.h - every x86 paging format as const data (layer 1).
 *
 * A format says what the manual's tables say: how many levels, which address
 * bits index them, where the control bits are, and which bits are reserved
 * under which condition. Nothing here depends on a CPU or a register; mode.h
 * folds those in. A new format is a new const struct.
 */
#ifndef CORE_FORMAT_H
#define CORE_FORMAT_H

#include "umbra/types.h"

/**
 * Conditions of a mode: controls and CPU features that change what an entry
 * means. mode_bind() takes a set of them; a format's rules name them.
 */
#define MODE_NX (1u << 0) /* EFER.NXE */
#define MODE_PSE (1u << 1) /* CR4.PSE (32-bit format only) */
#define MODE_PSE36 (1u << 2) /* CPUID PSE36 */
#define MODE_1G (1u << 3) /* 1G leaves exist (CPUID or EPT capability) */
#define MODE_2M (1u << 4) /* 2M leaves exist (EPT capability; else always) */
#define MODE_BIT8_MBZ (1u << 5) /* bit 8 of PML5E/PML4E reserved */
#define MODE_AD (1u << 6) /* the format's A/D bits are in use (EPTP.6) */
#define MODE_EXECONLY (1u << 7) /* EPT X without R is legal */
#define MODE_MBEC (1u << 8) /* EPT bit 10 is user execute */
#define MODE_WP (1u << 9) /* CR0.WP */
#define MODE_SMEP (1u << 10) /* CR4.SMEP */
#define MODE_SMAP (1u << 11) /* CR4.SMAP */
#define MODE_PKU (1u << 12) /* CR4.PKE and LMA */
#define MODE_PKS (1u << 13) /* CR4.PKS and LMA */
#define MODE_SHSTK (1u << 14) /* CR4.CET and shadow stacks exist */
#define MODE_GMET (1u << 15) /* NPT: guest mode execute trap */
#define MODE_ROGPT (1u << 16) /* NPT: guest-table walks are reads */
#define MODE_PDPTE_MEMORY (1u << 17) /* PAE: PDPTEs are read in the walk */
#define MODE_ADVINFO (1u << 18) /* EPT: qualification bits 9-11 */
#define MODE_NPT (1u << 19) /* a second stage of AMD: faults are NPFs */
#define MODE_NO_PAT (1u << 20) /* no PAT: its bits are reserved (32-bit format, H-28) */

#define MODE_D_NEEDS_W (1u << 21) /* the CPU never sets D in an entry with R/W=0 (H-59) */

/** Kinds of entry that a rule is about, selected by the level's large bit. */
#define FORMAT_TABLE (1u << 0)
#define FORMAT_LEAF (1u << 1)
#define FORMAT_ANY (FORMAT_TABLE | FORMAT_LEAF)

/** Set of levels: bit n is level n. */
#define FORMAT_L(n) (1u << (n))

/**
 * struct format_rule - @mask is reserved in entries of @kinds at @levels when
 * all of @when and none of @unless hold.
 */
struct format_rule {
	uint8_t levels;
	uint8_t kinds;
	uint32_t when, unless;
	uint64_t mask;
};

/** What becomes of an access that a mode of this family denies. */
enum format_family {
	FORMAT_PAGING, /* #PF, or NPF when it is a second stage */
	FORMAT_EPT, /* EPT violation or misconfiguration */
};

/** struct format_level - one level: where things are in its entries. */
struct format_level {
	/** Lowest address bit of the index, and how many bits it has. */
	uint8_t shift, bits;
	/** Present iff any of these is 1. MBEC adds @present_mbec. */
	uint64_t present, present_mbec;
	/** Leaf iff set (0: never at this level; level 1 is always a leaf). Without
	 * all of @large_when the bit is ignored, which is not the same as reserved. */
	uint64_t large;
	uint32_t large_when;
	/** The accessed bit is a control bit: over all levels it is at one place
	 * after rights_shift, or 0 where the level has none. */
	uint64_t accessed, dirty;
	/** Bits of the next table's address, and of a leaf's frame. */
	uint64_t table_address, leaf_address;
	/** PSE-36/40: these bits of a leaf, shifted left by @high_shift, extend
	 * the frame if @high_when; those that the CPU does not have are reserved. */
	uint64_t high;
	uint8_t high_shift;
	uint32_t high_when;
	/** Control bits of this level lie this far above the places that
	 * struct format gives (0 in every hardware format). */
	uint8_t rights_shift;
	/** Rights that this level does not take part in (PDPTEs of PAE). */
	bool grants_all;
};

/**
 * enum format_marks - where A and D are. What marks an entry of one format does not change
 * what another format of the same kind makes of these bytes. With other kinds it may: bits
 * 5 and 6 are reserved in an upper entry of EPT, and those of an odd 4-byte entry are
 * address bits of an 8-byte one.
 */
enum format_marks { FORMAT_MARKS_32, FORMAT_MARKS_64, FORMAT_MARKS_EPT };

/** struct format - one paging format. Bit numbers are after rights_shift. */
struct format {
	const char *name;
	enum format_family family;
	uint8_t top; /* number of the root level */
	uint8_t entry_bytes; /* 4 or 8 */
	uint8_t input_bits; /* width of the address translated (G-3) */
	uint8_t output_bits; /* widest address produced */
	/** Bit numbers of read, write, user (EPT: user execute) and execute;
	 * 64 = the format has no such bit and grants the right. */
	uint8_t read_bit, write_bit, user_bit, exec_bit;
	/** The exec bit means "no execute". */
	bool exec_inverted;
	/** Without these flags the bit is no right: granted, whatever it is. */
	uint32_t exec_when, user_when;
	/** Without these flags the accessed and dirty bits are ignored. */
	uint32_t ad_when;
	/** Lowest bit of the protection key in leaves; 64 = none. */
	uint8_t key_bit;
	/** Of a leaf: good under every PCID. 0: there is no such bit. */
	uint64_t global;
	/** Address bits from MAXPHYADDR up to here are reserved (0: none). */
	uint8_t address_last;
	/** PAE: the root's four entries may be registers. */
	bool root_registers;
	/** Illegal values of the low six bits, as a bitmap (EPT, E-4); @bad_low6
	 * when exec-only is supported, @bad_low6_noexec when it is not. */
	uint64_t bad_low6, bad_low6_noexec;
	/** Mask of CR3/EPTP/nCR3 that is the root's address. */
	uint64_t root_address;
	/** Levels [1]..[top]; formats that differ only in height share them. */
	const struct format_level *level;
	/** Until a mask of 0. */
	const struct format_rule *rule;
};

/* The formats. No paging is no format: a space without mode is the identity. */
extern const struct format format_32; /* 2-level, SDM 3A 4.3 */
extern const struct format format_pae; /* SDM 3A 4.4 */
extern const struct format format_4; /* SDM 3A 4.5 */
extern const struct format format_5;
extern const struct format format_ept4; /* SDM 3C 29.3 */
extern const struct format format_ept5;

/** All formats, NULL-terminated, for tests and tools. */
extern const struct format *const format_all[];

/** format_tdp - the format of second-stage tables of @levels levels: 4 or 5 of an EPT, 3 to
 * 5 of nested paging (G-4: never 2 in tables of ours). */
const struct format *format_tdp(bool ept, unsigned levels);

/** Ways to page, as far as widths go: rows of format_widths[]. */
enum format_width_row {
	FORMAT_WIDTH_NONE, /* CR0.PG = 0 */
	FORMAT_WIDTH_PSE36, /* 32-bit paging: CR4.PSE = 1 and CPUID PSE36 */
	FORMAT_WIDTH_32, /* 32-bit paging otherwise */
	FORMAT_WIDTH_PAE,
	FORMAT_WIDTH_4,
	FORMAT_WIDTH_5,
	FORMAT_WIDTH_EPT4,
	FORMAT_WIDTH_EPT5,
	FORMAT_WIDTH_NPT_PSE36, /* nested paging of a host with 32-bit paging */
	FORMAT_WIDTH_NPT_32,
	FORMAT_WIDTH_NPT_PAE,
	FORMAT_WIDTH_NPT_4,
	FORMAT_WIDTH_NPT_5,
	FORMAT_WIDTH_ROWS
};

/**
 * struct format_width - how many bits the addresses of a way to page have (G-3, F-30, F-34).
 * MAXPHYADDR bounds @output further, in all rows where it is more than 32.
 */
struct format_width {
	/** NULL: no paging, addresses go through as they are. */
	const struct format *format;
	/** The row is for modes with all of @when and none of @unless. */
	uint32_t when, unless;
	/** Of a linear address. 0: a second stage gets none. */
	uint8_t linear;
	/** Of the address that the tables translate: what a linear or guest-physical address
	 * has above these bits they do not see, so such an address must not reach them. */
	uint8_t input;
	/** Of the widest physical address that comes out. */
	uint8_t output;
};
extern const struct format_width format_widths[FORMAT_WIDTH_ROWS];

/** format_width - the row of @format (NULL: no paging) under @flags (MODE_*). NULL: the format
 * is none of format_all[]. For set-up: it searches. */
const struct format_width *format_width(const struct format *format, uint32_t flags);
static inline enum format_marks format_marks(const struct format *format)
{
	if (format->family == FORMAT_EPT)
		return FORMAT_MARKS_EPT;
	return format->entry_bytes == 4 ? FORMAT_MARKS_32 : FORMAT_MARKS_64;
}

#endif
