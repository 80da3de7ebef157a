/* SPDX-License-Identifier: MIT */
/*
 * spte_doc.h - between the files of gen_spte only: what bits are called, and where
 * text goes.
 */
#ifndef TOOLS_SPTE_DOC_H
#define TOOLS_SPTE_DOC_H

#include "core/entry.h"

#include <stddef.h>

/* MAXPHYADDR of all that is shown, unless said otherwise. */
#define DOC_MAXPHYADDR 46

/** put - append to the document that doc_begin() began. */
void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** doc_begin - start another document; doc_text - what was put since, until then. */
void doc_begin(void);
const char *doc_text(void);

/** bind - the layout on a CPU with exec-only pages and DOC_MAXPHYADDR. */
struct entry_kind bind(unsigned generation, bool ept, bool ad);

/** use_fn - what bit @bit is to us in layout @generation; "0" where we write 0. Software's
 * own bits are in **. */
typedef const char *use_fn(unsigned generation, bool ept, unsigned bit);
const char *use_present(unsigned generation, bool ept, unsigned bit);
const char *use_mmio(unsigned generation, bool ept, unsigned bit);
/** use_l1tf - MMIO entries on a CPU with L1TF and DOC_L1TF cache bits. */
#define DOC_L1TF 44
const char *use_l1tf(unsigned generation, bool ept, unsigned bit);

/** mmio_mask - bits by which an MMIO entry is recognised. */
uint64_t mmio_mask(bool ept);
uint64_t generation_mask(const struct entry_layout *layout);

/** struct hardware - what bits @high..@low are to the hardware; rows from 63 down. */
struct hardware {
	unsigned high, low;
	const char *name;
};
extern const struct hardware other_hardware[], ept_hardware[];
const char *hardware_name(bool ept, unsigned bit);

/** struct figure - a bit map to draw. */
struct figure {
	const char *file, *title;
	bool ept, mmio;
	use_fn *use;
};
extern const struct figure figures[]; /* until a NULL file */
/** draw - the SVG of @figure into the document. */
void draw(const struct figure *figure);

#endif
