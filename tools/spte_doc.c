/* SPDX-License-Identifier: MIT */
/*
 * spte_doc.c - names of the bits of SPTEs, from core/entry.c's layouts.
 *
 * Only the hardware's names are text here (SDM 3A tables 4-14 to 4-20, 3C tables 29-1
 * to 29-7); which bit is ours, and what for, is computed.
 */
#include "tools/spte_doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *document;
static size_t length, room;

void put(const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text))
		abort();
	if (length + (size_t)n >= room) {
		room = 2 * room + sizeof(text);
		document = realloc(document, room);
		if (!document)
			abort();
	}
	memcpy(document + length, text, (size_t)n + 1);
	length += (size_t)n;
}

void doc_begin(void)
{
	length = 0;
	put("%s", "");
}

const char *doc_text(void)
{
	return document;
}

struct entry_kind bind(unsigned generation, bool ept, bool ad)
{
	struct entry_config config = {
		.generation = generation,
		.ept = ept,
		.ad = ad,
		.exec_only = true,
		.maxphyaddr = DOC_MAXPHYADDR,
	};
	struct entry_kind kind;

	entry_bind(&kind, &config);
	return kind;
}

/* ---- bit tables ---- */

uint64_t generation_mask(const struct entry_layout *l)
{
	return ((1ull << l->mmio_gen_low_bits) - 1) << l->mmio_gen_low_shift |
	       ((1ull << l->mmio_gen_high_bits) - 1) << l->mmio_gen_high_shift;
}

struct use {
	uint64_t mask;
	const char *name;
};

/* What @bit of a present entry is to us; "0" where we write 0. */
const char *use_present(unsigned generation, bool ept, unsigned bit)
{
	const struct entry_layout *l = entry_layout(generation, ept);
	const struct use uses[] = {
		{l->mmu_present, "**MMU-present**"},
		{l->host_writable, "**host-writable**"},
		{l->mmu_writable, "**MMU-writable**"},
		{l->ad_mask, "**A/D type**"},
		{l->read << l->saved_shift & l->saved_mask << l->saved_shift, "**saved R**"},
		{l->exec << l->saved_shift & l->saved_mask << l->saved_shift,
		 l->exec_user ? "**saved XS**" : "**saved X**"},
		{l->exec_user << l->saved_shift & l->saved_mask << l->saved_shift, "**saved XU**"},
		{(1ull << 52) - (1ull << 12), "frame"},
		{l->always, "1"},
		{ept ? l->read : l->present, ept ? "R" : "P"},
		{l->write, ept ? "W" : "R/W"},
		{l->user, "U/S"},
		{l->exec, l->exec_user ? "XS" : "X"},
		{l->exec_user, "XU"},
		{l->nx, "XD"},
		{l->accessed, l->software_ad ? "A (by software without hardware A/D)" : "A"},
		{l->dirty, l->software_ad ? "D (by software without hardware A/D)" : "D"},
		{l->large, "PS"},
		{ept ? 7ull << 3 : 0, "memory type: WB in leaves"},
		{l->key_mask, "key of leaves (64-bit tables)"},
	};

	for (unsigned i = 0; i < sizeof(uses) / sizeof(*uses); i++) {
		if (uses[i].mask >> bit & 1)
			return uses[i].name;
	}
	return "0";
}

const char *use_mmio(unsigned generation, bool ept, unsigned bit)
{
	struct entry_kind kind = bind(generation, ept, true);
	const struct entry_layout *l = kind.layout;
	uint64_t low = ((1ull << l->mmio_gen_low_bits) - 1) << l->mmio_gen_low_shift;

	if (kind.mmio_mask >> bit & 1)
		return kind.mmio_value >> bit & 1 ? "1" : "0";
	if (kind.mmio_access >> bit & 1)
		return bit == 1 ? "right: write" : "right: user";
	if (low >> bit & 1)
		return "generation, low";
	if (generation_mask(l) >> bit & 1)
		return "generation, high";
	if (kind.mmio_gfn_low >> bit & 1)
		return "gpa";
	return bit >= 12 && bit < 52 ? "0 (gpa, up to MAXPHYADDR)" : "0";
}

/* SDM 3A tables 4-14 to 4-20 */
const struct hardware other_hardware[] = {
	{63, 63, "XD"},
	{62, 59, "key, in leaves with CR4.PKE or CR4.PKS; reserved in PAE"},
	{58, 52, "ignored; reserved in PAE"},
	{51, 12, "address; reserved from MAXPHYADDR up"},
	{11, 9, "ignored"},
	{8, 8, "G in leaves"},
	{7, 7, "PS; PAT at level 1"},
	{6, 6, "D in leaves"},
	{5, 5, "A"},
	{4, 4, "PCD"},
	{3, 3, "PWT"},
	{2, 2, "U/S"},
	{1, 1, "R/W"},
	{0, 0, "P"},
	{0, 0, NULL},
};

/* SDM 3C tables 29-1 to 29-7 */
const struct hardware ept_hardware[] = {
	{63, 63, "suppress #VE"},
	{62, 62, "ignored"},
	{61, 61, "sub-page write, at level 1 with SPP"},
	{60, 60, "supervisor shadow stack, in leaves with EPTP.7"},
	{59, 59, "ignored"},
	{58, 58, "paging-write access, in leaves with that control"},
	{57, 57, "verify guest paging, in leaves with that control"},
	{56, 52, "ignored"},
	{51, 12, "address; reserved from MAXPHYADDR up"},
	{11, 11, "ignored"},
	{10, 10, "XU with MBEC"},
	{9, 9, "D in leaves with EPTP.6"},
	{8, 8, "A with EPTP.6"},
	{7, 7, "PS; ignored at level 1"},
	{6, 6, "ignore PAT, in leaves"},
	{5, 3, "memory type, in leaves"},
	{2, 2, "X; XS with MBEC"},
	{1, 1, "W"},
	{0, 0, "R"},
	{0, 0, NULL},
};

const char *hardware_name(bool ept, unsigned bit)
{
	const struct hardware *row = ept ? ept_hardware : other_hardware;

	while (row->name && (bit > row->high || bit < row->low))
		row++;
	return row->name;
}

uint64_t mmio_mask(bool ept)
{
	return bind(ENTRY_GENERATIONS - 1, ept, true).mmio_mask;
}

const char *use_l1tf(unsigned generation, bool ept, unsigned bit)
{
	struct entry_config config = {
		.generation = generation,
		.ept = ept,
		.maxphyaddr = DOC_L1TF,
		.l1tf_cache_bits = DOC_L1TF,
	};
	struct entry_kind kind;

	entry_bind(&kind, &config);
	if (kind.l1tf >> bit & 1)
		return "1: inverted";
	if (kind.l1tf << 5 >> bit & 1)
		return "gpa, moved up";
	return use_mmio(generation, ept, bit);
}
