/* SPDX-License-Identifier: MIT */
/*
 * bits_entry.c - entries of page tables that somebody else wrote: a guest's own,
 * NPT of a hypervisor, EPT of a hypervisor.
 *
 * The rows say what a bit means in the entry at hand; core's mode_bind() says
 * which bits are reserved in it, and the reasons below say why. An entry that is
 * not present has no reserved bits and no meaning but its present bit
 * (SDM 3A 4.3 and 4.5, 3C 29.3.2).
 */
#include "cli/bits_parts.h"

#include <stdio.h>

#define L(n) FORMAT_L(n)
#define NPT MODE_NPT

/* SDM 3A tables 4-4 to 4-20, APM 2 5.3; facts G-10 to G-15, hardware H-25 to H-30. */
static const struct bits_row paging_rows[] = {
	{0, 0, 0, 0, 0, "P", "present: the entry is used", "not present: nothing else is looked at",
	 NULL},
	{1, 1, 0, IF_PRESENT, IF_PDPTE, "R/W", "writes are allowed, as far as this entry goes",
	 "writes are denied", NULL},
	{2, 2, 0, IF_PRESENT | NPT | MODE_GMET, IF_PDPTE, "U/S",
	 "GMET: the guest's supervisor may not fetch here; data accesses do not look",
	 "GMET: the guest's supervisor and user may fetch here", NULL},
	{2, 2, 0, IF_PRESENT | NPT, IF_PDPTE, "U/S",
	 "set, as it must be at every level: every guest access is a user access",
	 "every guest access faults: nested accesses are user accesses (H-92)", NULL},
	{2, 2, 0, IF_PRESENT, IF_PDPTE, "U/S", "user-mode accesses are allowed, as far as it goes",
	 "supervisor only", NULL},
	{3, 3, 0, IF_PRESENT, 0, "PWT", "write-through: part of the PAT index", NULL, NULL},
	{4, 4, 0, IF_PRESENT, 0, "PCD", "cache disable: part of the PAT index", NULL, NULL},
	{5, 5, 0, IF_PRESENT, IF_PDPTE, "A", "accessed: a translation has used the entry", NULL,
	 NULL},
	{6, 6, 0, IF_PRESENT | IF_LEAF, 0, "D", "dirty: the page has been written", NULL, NULL},
	{6, 6, 0, IF_PRESENT | IF_TABLE, IF_PDPTE, "ignored",
	 "ignored in entries that point to a table", NULL, NULL},
	{7, 7, 0, IF_PRESENT | IF_LARGE, 0, "PS", "page size: the entry maps a large page", NULL,
	 NULL},
	{7, 7, L(1), IF_PRESENT, MODE_NO_PAT, "PAT", "high bit of the PAT index", NULL, NULL},
	{7, 7, L(2), IF_PRESENT | IF_32, MODE_PSE, "ignored", "ignored while CR4.PSE = 0", NULL,
	 NULL},
	{8, 8, 0, IF_PRESENT | IF_LEAF | NPT, 0, "ignored",
	 "global: has no effect in nested tables", NULL, NULL},
	{8, 8, 0, IF_PRESENT | IF_LEAF, 0, "G", "global: survives CR3 loads if CR4.PGE = 1", NULL,
	 NULL},
	{8, 8, L(5) | L(4), IF_PRESENT, MODE_BIT8_MBZ, "ignored", "ignored by this vendor", NULL,
	 NULL},
	{8, 8, L(3) | L(2), IF_PRESENT | IF_TABLE, IF_PDPTE, "ignored",
	 "ignored in entries that point to a table", NULL, NULL},
	{11, 9, 0, IF_PRESENT, 0, "ignored", "ignored by hardware, free for software", NULL, NULL},
	{12, 12, 0, IF_PRESENT | IF_LARGE, MODE_NO_PAT, "PAT", "high bit of the PAT index", NULL,
	 NULL},
	{62, 59, 0, IF_PRESENT | IF_LONG | IF_LEAF | IF_KEYS, 0, "key",
	 "protection key of the page", "protection key 0", NULL},
	{62, 59, 0, IF_PRESENT | IF_LONG | IF_LEAF, 0, "key",
	 "protection key, ignored while CR4.PKE and CR4.PKS are 0", NULL, NULL},
	{62, 59, 0, IF_PRESENT | IF_LONG, 0, "ignored", "keys count in leaves only", NULL, NULL},
	{58, 52, 0, IF_PRESENT | IF_LONG, 0, "ignored", "ignored by hardware, free for software",
	 NULL, NULL},
	{63, 63, 0, IF_PRESENT | IF_LONG | MODE_NX, 0, "XD",
	 "execute disable: no fetches below here", NULL, NULL},
	{63, 63, 0, IF_PRESENT | IF_PAE | MODE_NX, IF_PDPTE, "XD",
	 "execute disable: no fetches below here", NULL, NULL},
	{0, 0, 0, 0, 0, NULL, NULL, NULL, NULL},
};

const char *const bits_memtypes[8] = {
	"uncacheable (UC)",   "write combining (WC)", "an illegal value", "an illegal value",
	"write through (WT)", "write protected (WP)", "write back (WB)",  "an illegal value",
};

/* SDM 3C tables 29-1 to 29-7; facts E-1, hardware H-71. */
static const struct bits_row ept_rows[] = {
	{0, 0, 0, 0, 0, "R", "reads are allowed, as far as this entry goes", "reads are denied",
	 NULL},
	{1, 1, 0, 0, 0, "W", "writes are allowed", "writes are denied", NULL},
	{2, 2, 0, MODE_MBEC, 0, "XS", "fetches from supervisor-mode linear addresses are allowed",
	 "fetches from supervisor-mode linear addresses are denied", NULL},
	{2, 2, 0, 0, 0, "X", "fetches are allowed", "fetches are denied", NULL},
	{10, 10, 0, MODE_MBEC, 0, "XU", "fetches from user-mode linear addresses are allowed",
	 "fetches from user-mode linear addresses are denied", NULL},
	{63, 63, 0, 0, IF_PRESENT, "SVE", "suppress #VE: the violation exits to the hypervisor",
	 NULL, NULL},
	{63, 63, 0, IF_LEAF, 0, "SVE", "suppress #VE: violations here exit to the hypervisor", NULL,
	 NULL},
	{63, 63, 0, 0, 0, "ignored", "suppress #VE, looked at only in leaves and absent entries",
	 NULL, NULL},
	{5, 3, 0, IF_PRESENT | IF_LEAF, 0, "memtype",
	 "memory type: ", "memory type: ", bits_memtypes},
	{6, 6, 0, IF_PRESENT | IF_LEAF, 0, "IPAT", "ignore PAT: the memory type above is final",
	 NULL, NULL},
	{7, 7, 0, IF_PRESENT | IF_LARGE, 0, "PS", "page size: the entry maps a large page", NULL,
	 NULL},
	{7, 7, L(1), IF_PRESENT, 0, "ignored", "ignored at level 1", NULL, NULL},
	{8, 8, 0, IF_PRESENT | MODE_AD, 0, "A", "accessed: a translation has used the entry", NULL,
	 NULL},
	{8, 8, 0, IF_PRESENT, 0, "ignored", "accessed flag, unused while EPTP bit 6 = 0", NULL,
	 NULL},
	{9, 9, 0, IF_PRESENT | IF_LEAF | MODE_AD, 0, "D", "dirty: the page has been written", NULL,
	 NULL},
	{9, 9, 0, IF_PRESENT | IF_LEAF, 0, "ignored", "dirty flag, unused while EPTP bit 6 = 0",
	 NULL, NULL},
	{9, 9, 0, IF_PRESENT, 0, "ignored", "dirty flag, of leaves only", NULL, NULL},
	{10, 10, 0, IF_PRESENT, 0, "ignored",
	 "user execute, unused without mode-based execute control", NULL, NULL},
	{11, 11, 0, IF_PRESENT, 0, "ignored", "ignored by hardware, free for software", NULL, NULL},
	{57, 57, 0, IF_PRESENT | IF_LEAF, 0, "VGP",
	 "verify guest paging, if that execution control is on; else ignored", NULL, NULL},
	{58, 58, 0, IF_PRESENT | IF_LEAF, 0, "PWA",
	 "paging-write access, if that execution control is on; else ignored", NULL, NULL},
	{60, 60, 0, IF_PRESENT | IF_LEAF, 0, "SSS",
	 "supervisor shadow stack, if EPTP bit 7 = 1; else ignored", NULL, NULL},
	{61, 61, L(1), IF_PRESENT, 0, "SPP",
	 "sub-page write permissions, if that execution control is on; else ignored", NULL, NULL},
	{62, 52, 0, IF_PRESENT | IF_TABLE, 0, "ignored", "ignored by hardware, free for software",
	 NULL, NULL},
	{0, 0, 0, 0, 0, NULL, NULL, NULL, NULL},
};

/* ---- reserved bits and why ---- */

#define EPT_FORMAT 1
#define PAGING_FORMAT 2
#define PAE_FORMAT 3
#define OLD_FORMAT 4

/** A reserved bit of @mask at @levels is reserved because of @text. */
struct reason {
	uint8_t format, levels;
	uint64_t unless; /* conditions under which it is another reason's */
	uint64_t mask;
	const char *text, *rule;
};

#define B(high, low) (~0ull >> (63 - (high)) & ~0ull << (low))

static const struct reason reasons[] = {
	{OLD_FORMAT, L(2), 0, B(21, 21), "a 4M page's bit 21 is reserved (PSE-40 ends at bit 20)",
	 "SDM 3A table 4-4; H-27"},
	{OLD_FORMAT, L(2), 0, B(20, 13),
	 "a 4M page's address bits beyond what PSE-36 or MAXPHYADDR gives must be 0",
	 "SDM 3A table 4-4; H-27, G-22"},
	{PAE_FORMAT, L(3), 0, B(8, 5) | B(2, 1),
	 "a PDPTE of PAE has no rights and no A, D, PS or G", "SDM 3A table 4-8; G-13, H-29"},
	{PAE_FORMAT, L(3), 0, B(63, 63), "a PDPTE of PAE has no XD bit", "SDM 3A table 4-8; H-29"},
	{PAE_FORMAT, L(2), 0, B(20, 13), "the address of a 2M page must be aligned to 2M",
	 "SDM 3A table 4-9; G-20"},
	{PAE_FORMAT, 0, MODE_NX, B(63, 63), "XD is reserved while EFER.NXE = 0",
	 "SDM 3A 4.4.2; G-20, H-29"},
	{PAGING_FORMAT, L(5) | L(4), 0, B(7, 7), "a PML5E or PML4E cannot map a page",
	 "SDM 3A tables 4-14, 4-15; G-20, H-30"},
	{PAGING_FORMAT, L(5) | L(4), 0, B(8, 8), "AMD reserves bit 8 of PML5E and PML4E",
	 "APM 2 5.3.3; G-20, H-30"},
	{PAGING_FORMAT, L(3), MODE_1G, B(7, 7), "the CPU has no 1G pages",
	 "SDM 3A 4.5; G-20, H-30"},
	{PAGING_FORMAT, L(3), 0, B(29, 13), "the address of a 1G page must be aligned to 1G",
	 "SDM 3A table 4-16; G-20, H-30"},
	{PAGING_FORMAT, L(2), 0, B(20, 13), "the address of a 2M page must be aligned to 2M",
	 "SDM 3A table 4-18; G-20, H-30"},
	{PAGING_FORMAT, 0, MODE_NX, B(63, 63), "XD is reserved while EFER.NXE = 0",
	 "SDM 3A 4.5; G-20, H-30"},
	{EPT_FORMAT, L(5) | L(4), 0, B(7, 3),
	 "a PML5E or PML4E cannot map a page and has no memory type",
	 "SDM 3C 29.3.3.1, tables 29-1, 29-2; E-5"},
	{EPT_FORMAT, L(3), MODE_1G, B(7, 7), "the CPU has no 1G EPT pages (EPT_VPID_CAP bit 17)",
	 "SDM 3C 29.3.3.1; E-5"},
	{EPT_FORMAT, L(2), MODE_2M, B(7, 7), "the CPU has no 2M EPT pages (EPT_VPID_CAP bit 16)",
	 "SDM 3C 29.3.3.1; E-5"},
	{EPT_FORMAT, L(3) | L(2), IF_LEAF, B(6, 3),
	 "an entry that points to a table has no memory type",
	 "SDM 3C 29.3.3.1, tables 29-4, 29-6; E-5"},
	{EPT_FORMAT, L(3), 0, B(29, 12), "the address of a 1G page must be aligned to 1G",
	 "SDM 3C 29.3.3.1, table 29-3; E-5"},
	{EPT_FORMAT, L(2), 0, B(20, 12), "the address of a 2M page must be aligned to 2M",
	 "SDM 3C 29.3.3.1, table 29-5; E-5"},
};

static unsigned family(const struct format *format)
{
	if (format->family == FORMAT_EPT)
		return EPT_FORMAT;
	if (format->entry_bytes == 4)
		return OLD_FORMAT;
	return format->top == 3 ? PAE_FORMAT : PAGING_FORMAT;
}

static void explain(struct bits_writer *w, const struct mode *mode, unsigned level, uint64_t bad)
{
	char list[64];

	for (unsigned i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		const struct reason *reason = &reasons[i];
		uint64_t mine = bad & reason->mask;

		if (!mine || reason->format != family(mode->format) ||
		    (reason->levels && !(reason->levels & L(level))) ||
		    (w->conditions & reason->unless))
			continue;
		bits_find(w, reason->rule, "reserved %s set: %s",
			  bits_list(mine, list, sizeof(list)), reason->text);
		bad &= ~mine;
	}
	if (mode->format->address_last) {
		uint64_t mine = bad & bits_mask(mode->format->address_last, mode->maxphyaddr);

		if (mine)
			bits_find(
				w,
				mode->format->family == FORMAT_EPT ? "SDM 3C 29.3.3.1; E-5, H-9"
								   : "SDM 3A 4.1.4; G-20, H-9",
				"reserved %s set: address bits that MAXPHYADDR = %u does not have",
				bits_list(mine, list, sizeof(list)), mode->maxphyaddr);
		bad &= ~mine;
	}
	if (bad)
		bits_find(w, "H-26, H-30, H-71", "reserved %s set in a %s entry of level %u",
			  bits_list(bad, list, sizeof(list)), mode->format->name, level);
}

/* E-4, H-73: combinations of rights, and memory types. */
static void illegal_low6(struct bits_writer *w, const struct mode *mode, bool leaf)
{
	uint64_t low6 = (w->value & 63) | (w->value >> 8 & mode->bad_fold);
	bool read = w->value & 1, write = w->value & 2, exec = w->value & 4;
	bool user = mode->bad_fold && w->value >> 10 & 1;
	unsigned type = w->value >> 3 & 7;

	if (!(mode->bad_low6 >> low6 & 1))
		return;
	if (write && !read)
		bits_find(w, "SDM 3C 29.3.3.1; E-4", "W without R is a misconfiguration");
	else if ((exec || user) && !read)
		bits_find(w, "SDM 3C 29.3.3.1; E-4",
			  "%s without R is a misconfiguration: the CPU has no execute-only pages "
			  "(EPT_VPID_CAP bit 0)",
			  exec ? "X" : "XU");
	if (leaf && (type == 2 || type == 3 || type == 7))
		bits_find(w, "SDM 3C 29.3.3.1; E-4", "memory type %u is a misconfiguration", type);
}

void bits_reserved(struct bits_writer *w, const struct mode *mode, unsigned level)
{
	const struct mode_level *at = &mode->level[level];
	bool large = at->large && (w->value & at->large);
	uint64_t bad = w->value & at->rsvd[large];

	if (bad)
		explain(w, mode, level, bad);
	if (mode->format->family == FORMAT_EPT)
		illegal_low6(w, mode, level == 1 || large);
}

/* ---- the entries ---- */

static uint64_t conditions_of(const struct format *format)
{
	switch (family(format)) {
	case OLD_FORMAT: return IF_32;
	case PAE_FORMAT: return IF_PAE;
	case PAGING_FORMAT: return IF_LONG;
	default: return 0;
	}
}

/* 4M pages: the address lies in two pieces. */
static void frame(struct bits_writer *w, const struct mode_level *at, bool leaf)
{
	uint64_t high = leaf ? w->value & at->high : 0;
	uint64_t address = (w->value & at->leaf_address) | high << at->high_shift;

	if (!leaf) {
		bits_address(w, at->table_address, "address", "of the next table");
		bits_say_hex(w, " at ", w->value & at->table_address);
		return;
	}
	if (high)
		bits_address(w, at->high, "address-high",
			     "bits 32 and up of the page's address (PSE-36 or PSE-40)");
	bits_address(w, at->leaf_address, "address", "of the page");
	bits_say_hex(w, " at ", address);
}

static void rights(struct bits_writer *w, const struct mode *mode)
{
	uint64_t v = w->value;

	if (mode->format->family == FORMAT_EPT) {
		bool xu = v >> 10 & 1 && mode->flags & MODE_MBEC;

		bits_say(w, v & 1 ? ", r" : ", -");
		bits_say(w, v & 2 ? "w" : "-");
		bits_say(w, v & 4 ? "x" : "-");
		bits_say(w, mode->flags & MODE_MBEC ? xu ? "u" : "-" : "");
		return;
	}
	if (w->conditions & IF_PDPTE)
		return;
	bits_say(w, v & 2 ? ", rw" : ", r-");
	bits_say(w, v & mode->exec && mode->flags & MODE_NX ? "-" : "x");
	bits_say(w, v & 4 ? " user" : " supervisor");
}

static void absent(struct bits_writer *w, const struct mode *mode)
{
	bits_rest(w, ~0ull, "ignored", "ignored, because the entry is not present");
	bits_summary(w, "not present: %s",
		     mode->format->family == FORMAT_EPT ? "an access is an EPT violation"
		     : w->conditions & NPT ? "an access is a nested page fault with P = 0"
					   : "an access is a page fault with P = 0");
}

static const char *outcome(const struct bits_writer *w, const struct mode *mode)
{
	if (mode->format->family == FORMAT_EPT)
		return "EPT misconfiguration";
	if (w->conditions & NPT)
		return "nested page fault with RSV = 1";
	return w->conditions & IF_PDPTE && mode->root_registers ? "#GP when it is loaded"
								: "page fault with RSVD = 1";
}

void bits_entry(struct bits_writer *w)
{
	const struct mode *mode = &w->bound->mode;
	const struct format *format = mode->format;
	unsigned level = w->report->level;
	const struct mode_level *at = &mode->level[level];
	bool large = at->large && (w->value & at->large);
	bool leaf = level == 1 || large;

	w->conditions = mode->flags | conditions_of(format) | (leaf ? IF_LEAF : IF_TABLE) |
			(large ? IF_LARGE : 0) | (w->value & at->present ? IF_PRESENT : 0) |
			(mode->flags & (MODE_PKU | MODE_PKS) ? IF_KEYS : 0) |
			(at->grant & mode->write ? IF_PDPTE : 0);
	bits_rows(w, format->family == FORMAT_EPT ? ept_rows : paging_rows);
	if (!(w->conditions & IF_PRESENT)) {
		absent(w, mode);
		return;
	}
	if (leaf) {
		bits_say(w, bits_page(mode, level));
		bits_say(w, " page");
	} else {
		bits_summary(w, "table of level %u", level - 1);
	}
	frame(w, at, leaf);
	rights(w, mode);
	bits_reserved(w, mode, level);
	bits_rest(w, at->rsvd[large], "reserved", "must be 0");
	bits_rest(w, ~0ull, "ignored", "ignored by hardware, free for software");
	if (w->report->finding_count)
		bits_summary(w, "; illegal: %s", outcome(w, mode));
}
