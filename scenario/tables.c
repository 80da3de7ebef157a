/* SPDX-License-Identifier: MIT */
/*
 * tables.c - guest page tables.
 *
 * A page of the pool is taken for each table, in order, so that addresses are the
 * same in every run. Entries are put by "devices" (both machines, Umbra told): what
 * the guest itself writes goes through the window and is a guest's access.
 */
#include "scenario/tables.h"

#include <stdio.h>
#include <string.h>

#define ADDRESS 0xffffffffff000ull

static const struct {
	const char *name;
	uint8_t top, bytes, bits;
} modes[TABLES_MODES] = {
	[TABLES_UNPAGED] = {"unpaged", 0, 8, 9},
	[TABLES_32] = {"32", 2, 4, 10},
	[TABLES_32PSE] = {"32pse", 2, 4, 10},
	[TABLES_PAE] = {"pae", 3, 8, 9},
	[TABLES_4] = {"4", 4, 8, 9},
	[TABLES_5] = {"5", 5, 8, 9},
	[TABLES_EPT4] = {"ept4", 4, 8, 9},
	[TABLES_EPT5] = {"ept5", 5, 8, 9},
};

const char *tables_mode_name(enum tables_mode mode)
{
	return modes[mode].name;
}

enum tables_mode tables_mode_of(const struct umbra_regs *regs)
{
	if (!(regs->cr0 & UMBRA_CR0_PG))
		return TABLES_UNPAGED;
	if (regs->efer & UMBRA_EFER_LMA)
		return regs->cr4 & UMBRA_CR4_LA57 ? TABLES_5 : TABLES_4;
	if (regs->cr4 & UMBRA_CR4_PAE)
		return TABLES_PAE;
	return regs->cr4 & UMBRA_CR4_PSE ? TABLES_32PSE : TABLES_32;
}

bool tables_is_ept(enum tables_mode mode)
{
	return mode == TABLES_EPT4 || mode == TABLES_EPT5;
}

bool tables_is_present(enum tables_mode mode, uint64_t value)
{
	/* MBEC: user execute alone will do. */
	return value & (tables_is_ept(mode) ? 0x407 : 1);
}

unsigned tables_top(enum tables_mode mode)
{
	return modes[mode].top;
}

uint64_t tables_span(enum tables_mode mode, unsigned level)
{
	return 1ull << (12 + modes[mode].bits * (level - 1));
}

unsigned tables_entry_bytes(enum tables_mode mode)
{
	return modes[mode].bytes;
}

unsigned tables_index(enum tables_mode mode, umbra_gva gva, unsigned level)
{
	unsigned bits = modes[mode].bits;
	uint64_t index = gva.v >> (12 + bits * (level - 1)) & ((1u << bits) - 1);

	return (unsigned)(mode == TABLES_PAE && level == 3 ? index & 3 : index);
}

bool tables_is_leaf(enum tables_mode mode, uint64_t value, unsigned level)
{
	if (level == 1)
		return true;
	if (!(value & 0x80))
		return false;
	return mode == TABLES_32PSE || (mode != TABLES_32 && level == 2) ||
	       (mode >= TABLES_4 && level == 3);
}

umbra_gpa tables_next(enum tables_mode mode, uint64_t value)
{
	return (umbra_gpa){value & (modes[mode].bytes == 4 ? 0xfffff000 : ADDRESS)};
}

static uint64_t ept_leaf(umbra_gpa gpa, unsigned flags, unsigned level)
{
	uint64_t value = gpa.v | 6 << 3; /* write-back */

	value |= flags & TABLES_R ? 1 : 0;
	value |= flags & TABLES_W ? 2 : 0;
	value |= flags & TABLES_X ? 4 : 0;
	value |= flags & TABLES_U ? 1 << 10 : 0;
	value |= flags & TABLES_A ? 1 << 8 : 0;
	value |= flags & TABLES_D ? 1 << 9 : 0;
	return value | (level > 1 ? 0x80 : 0);
}

uint64_t tables_eptp(const struct tables *tables, bool ad)
{
	return tables->root.v | 6 | (modes[tables->mode].top - 1ull) << 3 | (ad ? 1 << 6 : 0);
}

uint64_t tables_leaf(enum tables_mode mode, umbra_gpa gpa, unsigned flags, unsigned level)
{
	uint64_t value = gpa.v | 1;

	if (tables_is_ept(mode))
		return ept_leaf(gpa, flags, level);
	/* PSE-36: bits 39:32 of the address are bits 20:13 of the entry. */
	if (modes[mode].bytes == 4 && level == 2)
		value = (gpa.v & 0xffc00000) | (gpa.v >> 32 & 0xff) << 13 | 1;
	value |= flags & TABLES_W ? 2 : 0;
	value |= flags & TABLES_U ? 4 : 0;
	value |= flags & TABLES_A ? 0x20 : 0;
	value |= flags & TABLES_D ? 0x40 : 0;
	value |= flags & TABLES_G ? 0x100 : 0;
	value |= level > 1 ? 0x80 : 0;
	if (flags & TABLES_NX && modes[mode].bytes == 8)
		value |= 1ull << 63;
	return value;
}

bool tables_get(struct tables *tables, umbra_gpa place, uint64_t *value)
{
	*value = 0;
	place.v += tables->base;
	return world_peek(tables->world, place, value, modes[tables->mode].bytes);
}

bool tables_put(struct tables *tables, umbra_gpa place, uint64_t value)
{
	place.v += tables->base;
	return world_poke(tables->world, place, &value, modes[tables->mode].bytes) == UMBRA_OK;
}

static bool take(struct tables *tables, umbra_gpa *page, char *error, size_t error_size)
{
	static const uint8_t zeros[UMBRA_PAGE_SIZE];

	if (tables->used + UMBRA_PAGE_SIZE > tables->pool_size) {
		snprintf(error, error_size, "the pool of page tables is used up (%llu pages)",
			 (unsigned long long)(tables->pool_size / UMBRA_PAGE_SIZE));
		return false;
	}
	page->v = tables->pool.v + tables->used;
	tables->used += UMBRA_PAGE_SIZE;
	if (world_poke(tables->world, (umbra_gpa){tables->base + page->v}, zeros, sizeof(zeros)) ==
	    UMBRA_OK)
		return true;
	snprintf(error, error_size, "the pool of page tables is not in a writable slot (0x%llx)",
		 (unsigned long long)page->v);
	return false;
}

static uint64_t table_entry(enum tables_mode mode, umbra_gpa table, unsigned level)
{
	/* A PDPTE has no rights; all else allows everything. */
	if (tables_is_ept(mode))
		return table.v | 0x407;
	return table.v | (mode == TABLES_PAE && level == 3 ? 1 : 7);
}

bool tables_place(struct tables *tables, umbra_gva gva, unsigned level, bool make, umbra_gpa *place,
		  char *error, size_t error_size)
{
	umbra_gpa table = tables->root;
	uint64_t value;

	for (unsigned at = tables_top(tables->mode);; at--) {
		place->v =
			table.v + tables_index(tables->mode, gva, at) * modes[tables->mode].bytes;
		if (at == level)
			return true;
		if (!tables_get(tables, *place, &value)) {
			snprintf(error, error_size, "the level %u table is not in memory", at);
			return false;
		}
		if (tables_is_present(tables->mode, value) &&
		    tables_is_leaf(tables->mode, value, at)) {
			snprintf(error, error_size, "level %u already maps a large page there", at);
			return false;
		}
		if (tables_is_present(tables->mode, value)) {
			table = tables_next(tables->mode, value);
			continue;
		}
		if (!make) {
			snprintf(error, error_size, "there is no level %u table for this address",
				 at - 1);
			return false;
		}
		if (!take(tables, &table, error, error_size))
			return false;
		if (!tables_put(tables, *place, table_entry(tables->mode, table, at))) {
			snprintf(error, error_size, "the level %u table cannot be written", at);
			return false;
		}
	}
}

bool tables_open(struct tables *tables, char *error, size_t error_size)
{
	struct tables *in = tables->owner ? tables->owner : tables;

	if (tables->mode == TABLES_UNPAGED)
		return true;
	if (!tables->root.v && !take(tables, &tables->root, error, error_size))
		return false;
	for (uint64_t at = 0; tables->window.v && at < tables->pool_size; at += UMBRA_PAGE_SIZE) {
		umbra_gpa place;
		const umbra_gva gva = {tables->window.v + at};
		const umbra_gpa page = {tables->pool.v + at};

		if (!tables_place(in, gva, 1, true, &place, error, error_size))
			return false;
		if (!tables_put(in, place, tables_leaf(in->mode, page, TABLES_W, 1))) {
			snprintf(error, error_size, "the window's tables cannot be written");
			return false;
		}
	}
	return true;
}

/* The address that an entry with a leaf leads to. */
static uint64_t page_address(enum tables_mode mode, uint64_t value, unsigned level,
			     uint64_t address)
{
	const uint64_t span = tables_span(mode, level);
	uint64_t page = tables_next(mode, value).v & ~(span - 1);

	if (modes[mode].bytes == 4 && level == 2) /* PSE-36 */
		page |= (value >> 13 & 0xff) << 32;
	return page | (address & (span - 1));
}

void tables_walk(struct world *world, enum tables_mode mode, uint64_t root,
		 const struct tables *below, uint64_t address, struct tables_walk *walk)
{
	uint64_t table = root & (mode == TABLES_PAE ? 0xffffffe0 : ADDRESS);

	memset(walk, 0, sizeof(*walk));
	if (mode == TABLES_UNPAGED) {
		walk->mapped = true;
		walk->address = address;
		return;
	}
	for (unsigned at = modes[mode].top; at; at--) {
		struct tables_walk nested = {.mapped = true};
		unsigned index = tables_index(mode, (umbra_gva){address}, at), n = walk->count++;
		uint64_t value = 0;

		nested.address = table + index * modes[mode].bytes;
		if (below)
			tables_walk(world, below->mode, below->root.v, NULL, nested.address,
				    &nested);
		walk->step[n].level = (uint8_t)at;
		walk->step[n].index = index;
		walk->step[n].there =
			nested.mapped &&
			world_peek(world, (umbra_gpa){nested.address}, &value, modes[mode].bytes);
		walk->step[n].value = value;
		if (!walk->step[n].there || !tables_is_present(mode, value))
			return;
		if (tables_is_leaf(mode, value, at)) {
			walk->mapped = true;
			walk->address = page_address(mode, value, at, address);
			return;
		}
		table = tables_next(mode, value).v;
	}
}
