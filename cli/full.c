/* SPDX-License-Identifier: MIT */
/*
 * full.c - which combinations `umbra matrix --full` is made of.
 *
 *	tables of the host  x  L1's tables for L2  x  guest mode  x  variation  x  caching
 *
 * Not every feature with every other: each is on and off wherever it matters - in the
 * host, in L1, in the guest's CPU - and alone, with the rest as usual. What no hardware
 * has (NPT under an Intel host, a nested format with more levels than its host) is left
 * out. What the guest itself may turn on (SMEP, SMAP, NXE, WP, keys, shadow stacks) is
 * varied within each combination.
 */
#include "cli/full.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct host {
	const char *name, *config;
};

static const struct host hosts[] = {
	{"EPT 4", "vendor=intel,host=4"},   {"EPT 5", "vendor=intel,host=5"},
	{"NPT PAE", "vendor=amd,host=3"},   {"NPT 4", "vendor=amd,host=4"},
	{"NPT 5", "vendor=amd,host=5"},     {"shadow intel", "vendor=intel,tdp=0"},
	{"shadow amd", "vendor=amd,tdp=0"},
};
#define HOSTS (sizeof(hosts) / sizeof(hosts[0]))

/* Where a variation makes sense. */
#define EPT (1u << 0)
#define NPT (1u << 1)
#define SHADOW (1u << 2)
#define ANY_HOST (EPT | NPT | SHADOW)
#define ALONE (1u << 3) /* no L1 */
#define PLAIN (1u << 4) /* L1 has neither EPT nor NPT */
#define MIRROR (1u << 5) /* L1 has */
#define ANY_L1 (ALONE | PLAIN | MIRROR)

/* L1's part of a variation. */
#define L1_MODE (1u << 0) /* MBEC or GMET */
#define L1_ROGPT (1u << 1)
#define L1_NO_AD (1u << 2)
#define L1_PML (1u << 3)
#define L1_NO_NX (1u << 4)
#define L1_4K (1u << 5)
#define GUEST_NO_NX (1u << 6) /* what other tables than EPT need themselves */

struct variation {
	unsigned where, l1;
	const char *config; /* added to the host's */
	const char *name;
};

static const struct variation variations[] = {
	{ANY_HOST | ANY_L1, 0, "", ""},
	/* the host */
	{EPT | ANY_L1, 0, "mbec=1", "mbec=1"},
	{NPT | ANY_L1, 0, "gmet=1", "gmet=1"},
	{ANY_HOST | ANY_L1, 0, "page=4k", "page=4k"},
	{ANY_HOST | ALONE, 0, "page=2m", "page=2m"},
	{ANY_HOST | ALONE | MIRROR, 0, "skew=1", "skew=1"},
	{SHADOW | ALONE | PLAIN, 0, "limit=64", "limit=64"},
	{EPT | NPT | MIRROR, 0, "limit=96", "limit=96"},
	{ANY_HOST | ANY_L1, 0, "layout=004", "layout=004"},
	{ANY_HOST | ALONE | MIRROR, 0, "layout=6.12", "layout=6.12"},
	{ANY_HOST | ALONE | MIRROR, 0, "maxphyaddr=52", "maxphyaddr=52"},
	{ANY_HOST | ALONE | MIRROR, 0, "maxphyaddr=36", "maxphyaddr=36"},
	{EPT | ALONE | MIRROR, L1_NO_AD, "ad=0", "ad=0"},
	/* the CPU that all see */
	{EPT | ANY_L1, L1_NO_NX, "without=nx", "without nx"},
	{NPT | SHADOW | ANY_L1, L1_NO_NX | GUEST_NO_NX, "", "guest without nx"},
	{ANY_HOST | ANY_L1, 0, "without=smep,smap", "without smep,smap"},
	{ANY_HOST | ANY_L1, 0, "without=1g", "without 1g"},
	{EPT | MIRROR, 0, "without=ept_1g", "without ept_1g"},
	{EPT | MIRROR, 0, "without=ept_1g,ept_2m", "without ept_1g,ept_2m"},
	{EPT | MIRROR, 0, "without=ept_execonly", "without ept_execonly"},
	{EPT | MIRROR, 0, "without=ept_advinfo", "without ept_advinfo"},
	/* L1 */
	{EPT | MIRROR, L1_MODE, "", "L1: mbec"},
	{EPT | MIRROR, L1_MODE, "mbec=1", "mbec=1, L1: mbec"},
	{EPT | MIRROR, L1_MODE, "without=ept_advinfo", "without ept_advinfo, L1: mbec"},
	{EPT | MIRROR, L1_MODE, "without=ept_execonly", "without ept_execonly, L1: mbec"},
	{EPT | MIRROR, L1_NO_AD, "", "L1: no A/D"},
	{EPT | MIRROR, L1_PML, "", "L1: pml"},
	{EPT | NPT | MIRROR, L1_4K, "", "L1: 4K pages"},
	{NPT | MIRROR, L1_MODE, "", "L1: gmet"},
	{NPT | MIRROR, L1_MODE, "gmet=1", "gmet=1, L1: gmet"},
	{NPT | MIRROR, L1_ROGPT, "", "L1: rogpt"},
	{NPT | MIRROR, L1_ROGPT | L1_MODE, "", "L1: gmet, rogpt"},
	{NPT | MIRROR, L1_NO_NX, "", "L1: no nxe"},
	{NPT | MIRROR, L1_NO_NX | L1_MODE, "", "L1: gmet, no nxe"},
};
#define VARIATIONS (sizeof(variations) / sizeof(variations[0]))

/* ---- enumeration ---- */

struct list {
	struct full_cell *cell;
	unsigned count, room;
};

static bool add(struct list *list, const struct full_cell *cell)
{
	if (list->count == list->room) {
		const unsigned room = list->room ? 2 * list->room : 1024;
		struct full_cell *grown = realloc(list->cell, room * sizeof(*grown));

		if (!grown)
			return false;
		list->cell = grown;
		list->room = room;
	}
	list->cell[list->count++] = *cell;
	return true;
}

static unsigned place_of(const struct setup *setup)
{
	static const unsigned places[UMBRA_PAGING_COUNT] = {
		[UMBRA_PAGING_SHADOW] = SHADOW,
		[UMBRA_PAGING_EPT] = EPT,
		[UMBRA_PAGING_NPT] = NPT,
	};

	return places[setup->lab.paging];
}

/* Levels of the tables that L1 keeps for L2. */
static unsigned levels_of(enum l1_kind kind)
{
	static const uint8_t levels[L1_KINDS] = {
		[L1_EPT_4] = 4,   [L1_EPT_5] = 5, [L1_NPT_32] = 2, [L1_NPT_32_PSE] = 2,
		[L1_NPT_PAE] = 3, [L1_NPT_4] = 4, [L1_NPT_5] = 5,
	};

	return levels[kind];
}

static bool fits(const struct setup *setup, enum l1_kind kind)
{
	const bool ept = kind == L1_EPT_4 || kind == L1_EPT_5;

	if (kind == L1_PLAIN)
		return true;
	if (setup->lab.paging == UMBRA_PAGING_SHADOW || ept != (place_of(setup) == EPT))
		return false;
	/* EPT says its levels in the EPTP; a nested table in NPT has the host's at most. */
	return ept || levels_of(kind) <= setup->lab.levels;
}

/* Every guest mode, strict and hostile. */
static bool add_guests(struct list *list, struct full_cell *cell)
{
	for (cell->guest = 0; cell->guest < BUILTIN_MODES; cell->guest++) {
		for (unsigned caching = 0; caching < 2; caching++) {
			cell->caching = caching;
			if (!add(list, cell))
				return false;
		}
	}
	return true;
}

static bool add_variation(struct list *list, const struct host *host, const struct variation *v)
{
	struct full_cell cell = {.tables = host->name, .variation = v->name};
	char text[128], error[128];

	snprintf(text, sizeof(text), "%s%s%s", host->config, *v->config ? "," : "", v->config);
	if (!setup_parse(text, &cell.setup, error, sizeof(error)) ||
	    !(place_of(&cell.setup) & v->where))
		return true;
	if (v->l1 & GUEST_NO_NX)
		cell.setup.lab.guest_features = cell.setup.lab.cpu.features & ~UMBRA_CPU_NX;
	if (v->where & ALONE && !add_guests(list, &cell))
		return false;
	cell.nested = true;
	for (enum l1_kind kind = 0; kind < L1_KINDS; kind++) {
		if (!fits(&cell.setup, kind) || !(v->where & (kind ? MIRROR : PLAIN)))
			continue;
		cell.l1 = (struct l1_config){
			.kind = kind,
			.exec_by_mode = v->l1 & L1_MODE,
			.readonly_tables = v->l1 & L1_ROGPT,
			.ad = !(v->l1 & L1_NO_AD),
			.pml = v->l1 & L1_PML,
			.nxe = !(v->l1 & L1_NO_NX),
			.large = !(v->l1 & L1_4K),
		};
		if (!add_guests(list, &cell))
			return false;
	}
	return true;
}

struct full_cell *full_cells(unsigned *count)
{
	struct list list = {0};

	for (unsigned h = 0; h < HOSTS; h++) {
		for (unsigned v = 0; v < VARIATIONS; v++) {
			if (!add_variation(&list, &hosts[h], &variations[v])) {
				free(list.cell);
				return NULL;
			}
		}
	}
	*count = list.count;
	return list.cell;
}

/* ---- R-30 ---- */

const char *full_case(const struct full_cell *cell)
{
	const struct lab_config *lab = &cell->setup.lab;
	const unsigned nested = cell->nested ? levels_of(cell->l1.kind) : 0;

	if (lab->paging == UMBRA_PAGING_SHADOW) {
		switch (cell->guest) {
		case BUILTIN_UNPAGED: return "#1";
		case BUILTIN_32:
		case BUILTIN_32_PSE: return "#2";
		case BUILTIN_PAE: return "#3";
		default: return "";
		}
	}
	if (lab->paging != UMBRA_PAGING_NPT)
		return "";
	if (!nested)
		return lab->levels == 3 ? "#4" : "";
	if (lab->levels == 3)
		return nested == 2 ? "#5" : "#6";
	if (nested < 4)
		return "#7";
	return nested < lab->levels ? "#8" : "";
}

const char *full_promotion(const struct full_cell *cell)
{
	static const char *const names[6][6] = {
		[2] = {[3] = "2->3", [4] = "2->4", [5] = "2->5"},
		[3] = {[4] = "3->4", [5] = "3->5"},
		[4] = {[5] = "4->5"},
	};
	const struct lab_config *lab = &cell->setup.lab;
	const unsigned nested = cell->nested ? levels_of(cell->l1.kind) : 0;
	const char *name = NULL;

	if (lab->paging == UMBRA_PAGING_SHADOW)
		name = cell->guest == BUILTIN_32 || cell->guest == BUILTIN_32_PSE ? names[2][3]
										  : NULL;
	else if (lab->paging == UMBRA_PAGING_NPT)
		name = names[nested][lab->levels];
	return name ? name : "";
}
