/* SPDX-License-Identifier: MIT */
/*
 * bits_parts.h - between the files of the describer (bits*.c) only.
 *
 * A describer calls bits_rows() with its tables, adds what no table can say with
 * bits_add() and bits_find(), and ends with bits_rest(), so that no set bit stays
 * without a name.
 */
#ifndef CLI_BITS_PARTS_H
#define CLI_BITS_PARTS_H

#include "cli/bits.h"
#include "core/mode.h"

/* Conditions of rows: MODE_* in the low half, and: */
#define IF_PRESENT (1ull << 32)
#define IF_LEAF (1ull << 33)
#define IF_TABLE (1ull << 34)
#define IF_LARGE (1ull << 35) /* leaf of 2M, 4M or 1G */
#define IF_32 (1ull << 36)
#define IF_PAE (1ull << 37)
#define IF_LONG (1ull << 38)
#define IF_PCID (1ull << 39)
#define IF_LAM (1ull << 40)
#define IF_KEYS (1ull << 41)
#define IF_GVA (1ull << 42) /* qualification bit 7 */
#define IF_LINEAR (1ull << 43) /* qualification bits 7 and 8, advanced information */
#define IF_PDPTE (1ull << 44) /* of PAE */

/** struct bits_row - one bit or field. The first row that applies names its bits. */
struct bits_row {
	uint8_t high, low;
	uint8_t levels; /* FORMAT_L(); 0: all */
	uint64_t when, unless; /* all of, none of */
	const char *name;
	/** Said when the bit is set, or the field is not 0. */
	const char *text;
	/** Said when it is 0; NULL: then the row is silent. */
	const char *clear;
	/** Fields: meaning of each value, after @text; as many as there are values. */
	const char *const *values;
};

struct bits_writer {
	const struct bits_bound *bound;
	const struct bits_request *request; /* &bound->request */
	struct bits_report *report;
	uint64_t value;
	uint64_t covered; /* bits that have a name */
	uint64_t conditions;
};

/* Bits @high..@low. */
static inline uint64_t bits_mask(unsigned high, unsigned low)
{
	return high < low ? 0 : ~0ull >> (63 - high) & ~0ull << low;
}

/** bits_rows - name bits by @rows, which end with a NULL name. */
void bits_rows(struct bits_writer *w, const struct bits_row *rows);
/** bits_name - the field @high..@low; @text is kept, not copied. */
void bits_name(struct bits_writer *w, unsigned high, unsigned low, const char *name,
	       const char *text);
/** bits_add - the same with a text to format, which costs more than all the rest. */
void bits_add(struct bits_writer *w, unsigned high, unsigned low, const char *name,
	      const char *format, ...) __attribute__((format(printf, 5, 6)));
/** bits_address - the field @mask as an address, not shifted. */
void bits_address(struct bits_writer *w, uint64_t mask, const char *name, const char *text);
/** bits_rest - one field for each run of set bits of @mask that have no name yet. */
void bits_rest(struct bits_writer *w, uint64_t mask, const char *name, const char *text);
void bits_find(struct bits_writer *w, const char *rule, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/** bits_list - the bits of @mask in words: "bit 7" or "bits 62:52, 9". */
const char *bits_list(uint64_t mask, char *text, unsigned size);
/** bits_say - more of the summary: @text, bits_say_hex() and 0x@value. */
void bits_say(struct bits_writer *w, const char *text);
void bits_say_hex(struct bits_writer *w, const char *text, uint64_t value);
void bits_summary(struct bits_writer *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** EPT memory types by number. */
extern const char *const bits_memtypes[8];

/** bits_format - the format of the request's entries (EPT, NPT and guest tables). */
const struct format *bits_format(const struct bits_request *request);
/** bits_flags - MODE_* under which the request's entries are to be read. */
uint32_t bits_flags(const struct bits_request *request);
/** bits_reserved - reserved bits and misconfigurations of a present entry of @mode. */
void bits_reserved(struct bits_writer *w, const struct mode *mode, unsigned level);
/** bits_page - "4K", "2M", ... */
const char *bits_page(const struct mode *mode, unsigned level);

void bits_spte_bind(struct bits_bound *bound);
void bits_entry(struct bits_writer *w); /* bits_entry.c: pte, npt, ept */
void bits_spte(struct bits_writer *w); /* bits_spte.c */
void bits_register(struct bits_writer *w); /* bits_code.c: cr3, eptp */
void bits_code(struct bits_writer *w); /* bits_code.c: pfec, npfcode, eptqual, role */

#endif
