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

unsigned tables_top(enum tables_mode mode)
{
	return modes[mode].top;
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

uint64_t tables_leaf(enum tables_mode mode, umbra_gpa gpa, unsigned flags, unsigned level)
{
	uint64_t value = gpa.v | 1;

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
	return world_peek(tables->world, place, value, modes[tables->mode].bytes);
}

bool tables_put(struct tables *tables, umbra_gpa place, uint64_t value)
{
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
	if (world_poke(tables->world, *page, zeros, sizeof(zeros)) == UMBRA_OK)
		return true;
	snprintf(error, error_size, "the pool of page tables is not in a writable slot (0x%llx)",
		 (unsigned long long)page->v);
	return false;
}

static uint64_t table_entry(enum tables_mode mode, umbra_gpa table, unsigned level)
{
	/* A PDPTE has no rights; all else allows everything. */
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
		if (value & 1 && tables_is_leaf(tables->mode, value, at)) {
			snprintf(error, error_size, "level %u already maps a large page there", at);
			return false;
		}
		if (value & 1) {
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
	if (tables->mode == TABLES_UNPAGED)
		return true;
	if (!tables->root.v && !take(tables, &tables->root, error, error_size))
		return false;
	for (uint64_t at = 0; tables->window.v && at < tables->pool_size; at += UMBRA_PAGE_SIZE) {
		umbra_gpa place;
		const umbra_gva gva = {tables->window.v + at};
		const umbra_gpa page = {tables->pool.v + at};

		if (!tables_place(tables, gva, 1, true, &place, error, error_size))
			return false;
		if (!tables_put(tables, place, tables_leaf(tables->mode, page, TABLES_W, 1))) {
			snprintf(error, error_size, "the window's tables cannot be written");
			return false;
		}
	}
	return true;
}
