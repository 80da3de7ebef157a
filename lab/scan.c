/* SPDX-License-Identifier: MIT */
/*
 * scan.c - a depth-first trip through a guest's tables.
 *
 * The paging format is core/mode.h's description, so there is no code for a
 * particular one. What an entry's bits mean is taken from struct mode_level,
 * as the walker does; tests/lab holds the scan against the walker for every
 * leaf.
 *
 * Invariants: nothing is written; every read is inside what @at gave; work is
 * bounded by SCAN_LIMIT whatever the tables contain; leaves come in the order
 * of their addresses as the CPU counts them (upper half last).
 */
#include <string.h>

#include "lab/scan.h"

struct trip {
	struct scan *scan;
	struct mode mode;
};

static bool is_long(const struct mode *mode)
{
	return mode && mode->format->input_bits > 32;
}

uint64_t scan_canonical(const struct mode *mode, uint64_t address)
{
	unsigned unused;

	if (!is_long(mode))
		return address;
	unused = 64 - mode->format->input_bits;
	return (uint64_t)((int64_t)(address << unused) >> unused);
}

bool scan_is_canonical(const struct mode *mode, uint64_t address)
{
	if (!is_long(mode))
		return address <= UINT32_MAX;
	return scan_canonical(mode, address) == address;
}

static uint8_t acc_of(const struct mode *mode, uint64_t rights)
{
	return (uint8_t)(mode->acc_always | (rights & mode->read ? ACC_READ : 0) |
			 (rights & mode->write ? ACC_WRITE : 0) |
			 (rights & mode->user ? ACC_USER : 0) |
			 (rights & mode->exec ? ACC_EXEC : 0));
}

static bool note(struct trip *trip, enum scan_kind kind, unsigned level, umbra_gpa gpa,
		 uint64_t address, uint64_t entry)
{
	struct scan *scan = trip->scan;
	const struct scan_note n = {
		.kind = kind,
		.gpa = gpa,
		.gva = {scan_canonical(&trip->mode, address)},
		.entry = entry,
		.level = (uint8_t)level,
	};

	return !scan->note || scan->note(scan->context, &n);
}

static bool leaf(struct trip *trip, unsigned level, uint64_t address, uint64_t entry,
		 uint64_t rights)
{
	/* Bit 8 of a leaf, H-34. */
	const uint64_t global = 1u << 8;
	const struct mode_level *at = &trip->mode.level[level];
	struct scan *scan = trip->scan;
	struct scan_leaf l = {
		.gva = {scan_canonical(&trip->mode, address)},
		.gpa = {(entry & at->leaf_address) | (entry & at->high) << at->high_shift},
		.entry = entry,
		.shift = at->shift,
		.level = (uint8_t)level,
		.acc = acc_of(&trip->mode, rights),
		.global = entry & global && scan->regs->cr4 & UMBRA_CR4_PGE,
	};

	scan->leaves++;
	return scan->leaf(scan->context, &l);
}

static bool table(struct trip *trip, unsigned level, umbra_gpa gpa, uint64_t address,
		  uint64_t rights);

static bool entry_at(struct trip *trip, unsigned level, umbra_gpa gpa, uint64_t address,
		     uint64_t entry, uint64_t rights)
{
	const struct mode_level *at = &trip->mode.level[level];
	const bool large = entry & at->large;

	if (!(entry & at->present))
		return true;
	if (entry & at->rsvd[large])
		return note(trip, SCAN_RESERVED, level, gpa, address, entry);
	rights &= ((entry ^ at->flip) | at->grant) >> at->rights_shift;
	if (large || level == 1)
		return leaf(trip, level, address, entry, rights);
	return table(trip, level - 1, (umbra_gpa){entry & at->table_address}, address, rights);
}

static bool table(struct trip *trip, unsigned level, umbra_gpa gpa, uint64_t address,
		  uint64_t rights)
{
	const struct mode_level *at = &trip->mode.level[level];
	const unsigned shift = trip->mode.entry_shift;
	const size_t count = (size_t)at->index_mask + 1;
	struct scan *scan = trip->scan;
	const uint8_t *bytes = scan->at(scan->context, gpa, count << shift);

	scan->tables++;
	scan->entries += count;
	if (scan->entries > SCAN_LIMIT) {
		scan->gave_up = true;
		return false;
	}
	if (!bytes)
		return note(trip, SCAN_ABSENT, level, gpa, address, 0);
	if (!note(trip, SCAN_TABLE, level, gpa, address, 0))
		return false;
	for (size_t i = 0; i < count; i++) {
		uint64_t entry = 0;

		if (shift == 3)
			memcpy(&entry, bytes + i * 8, 8);
		else
			memcpy(&entry, bytes + i * 4, 4);
		if (entry && !entry_at(trip, level, (umbra_gpa){gpa.v + (i << shift)},
				       address | (uint64_t)i << at->shift, entry, rights))
			return false;
	}
	return true;
}

bool scan_run(struct scan *scan)
{
	struct trip trip = {.scan = scan};
	uint32_t flags;
	const struct format *format = mode_of_regs(scan->regs, scan->cpu, &flags);

	scan->entries = scan->leaves = scan->tables = 0;
	scan->gave_up = false;
	if (!format)
		return true;
	mode_bind(&trip.mode, format, flags, scan->cpu->maxphyaddr);
	if (!trip.mode.root_registers)
		return table(&trip, trip.mode.top,
			     (umbra_gpa){scan->regs->cr3 & trip.mode.root_address}, 0, ~0ull);
	for (unsigned i = 0; i < 4; i++) {
		if (!entry_at(&trip, trip.mode.top, (umbra_gpa){0},
			      (uint64_t)i << trip.mode.level[trip.mode.top].shift,
			      scan->regs->pdpte[i], ~0ull))
			return false;
	}
	return true;
}
