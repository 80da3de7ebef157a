/* SPDX-License-Identifier: MIT */
/*
 * fuzz_make.c - random programs, from a seed or from any bytes.
 *
 *	page of FUZZ_TABLES      0 1 PML4   2 14 PDPT   3 8 PD   4 5 13 PT   6 PML5
 *	                         7 PDPTEs (two sets)    9 12 32-bit PD   10 11 32-bit PT
 *	linear 0, 1G             four pages each, of table 4 and 13 (or 10, 11)
 *	linear 2M                windows: page j shows the guest its table j
 *	linear 1G+2M             a large page
 *	other linear addresses   the same tables again, by other paths
 *
 * All modes share these pages, so that a page of one mode's tables may be read as
 * another's. A program first fills the tables, sets the vCPUs' registers and then
 * does whatever comes: a stray store, an edit without its flush, a mode change.
 * Now and then each vCPU flushes everything, which bounds what it may know.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/fuzz_maker.h"

#define FLUSH_EVERY 120

/* Entries worth editing: of table @table, of level @level of its format. */
static const struct target targets[] = {
	{4, 1, 8, 0, 4, 0},          {4, 1, 8, 0, 4, 0},    {13, 1, 8, 0, 4, GIB},
	{5, 1, 8, 0, 16, WINDOW},    {3, 2, 8, 0, 2, 0},    {8, 2, 8, 0, 2, 0},
	{2, 3, 8, 0, 2, 0},          {14, 3, 8, 0, 2, 0},   {0, 4, 8, 0, 1, 0},
	{0, 4, 8, 256, 1, 0},        {1, 4, 8, 0, 1, 0},    {6, 5, 8, 0, 2, 0},
	{7, 6, 8, 0, 2, 0}, /* PDPTEs */
	{7, 6, 8, 4, 2, 0},          {10, 1, 4, 0, 4, 0},   {10, 1, 4, 0, 4, 0},
	{10, 1, 4, 512, 16, WINDOW}, {11, 1, 4, 0, 4, GIB}, {11, 1, 4, 512, 1, GIB + WINDOW},
	{9, 2, 4, 0, 2, 0},          {9, 2, 4, 256, 1, 0},  {12, 2, 4, 0, 2, 0},
};
#define TARGETS (sizeof(targets) / sizeof(targets[0]))

uint64_t make_below(struct maker *m, uint64_t limit)
{
	uint64_t value = 0;

	if (!m->from_bytes)
		return random_below(&m->random, limit);
	for (uint64_t room = 1; room < limit && m->left; room <<= 8) {
		value = value << 8 | *m->bytes++;
		m->left--;
	}
	return value % limit;
}

bool make_chance(struct maker *m, unsigned in)
{
	return !make_below(m, in);
}

void make_emit(struct maker *m, struct fuzz_step step)
{
	m->failed |= !fuzz_add(m->program, &step);
}

/* ---- entries ---- */

uint64_t make_frame(struct maker *m)
{
	static const uint64_t frames[] = {
		0x1000,   0x2000,   0x20000,  0x21000,  0x30000,   0x200000, 0x201000, 0x3ff000,
		0x400000, 0x401000, 0x440000, 0x441000, FUZZ_MMIO, 0x410000, 0x80000,  0x600000,
	};
	const uint64_t choice = make_below(m, 24);

	if (choice < 16)
		return frames[choice];
	return choice < 21 ? frames[choice - 16] : TABLE(make_below(m, FUZZ_TABLE_COUNT));
}

static uint64_t flags(struct maker *m)
{
	uint64_t f = P | W | U | A;

	if (make_chance(m, 2))
		f |= D;
	if (make_chance(m, 6))
		f ^= 1ull << make_below(m, 9);
	if (make_chance(m, 4))
		f &= ~(uint64_t)W;
	if (make_chance(m, 5))
		f &= ~(uint64_t)U;
	if (make_chance(m, 4))
		f |= G;
	if (make_chance(m, 10))
		f &= ~(uint64_t)P;
	return f;
}

static uint64_t child(struct maker *m, const struct target *t)
{
	static const uint8_t below_level[][4] = {
		[2] = {4, 5, 13, 4}, [3] = {3, 8, 3, 8}, [4] = {2, 14, 2, 2},
		[5] = {0, 1, 0, 1},  [6] = {3, 8, 3, 8},
	};

	if (t->size == 4)
		return TABLE(10 + make_below(m, 2));
	return TABLE(make_chance(m, 12) ? make_below(m, FUZZ_TABLE_COUNT)
					: below_level[t->level][make_below(m, 4)]);
}

static uint64_t entry(struct maker *m, const struct target *t)
{
	const uint64_t large = t->size == 4 ? 0x400000 : t->level == 3 ? GIB : 0x200000;
	uint64_t e = flags(m) & ~(uint64_t)PS;

	if (t->level == 6) /* PDPTEs: nothing else may be set */
		return child(m, t) | (make_chance(m, 8) ? 0 : P) | (make_chance(m, 40) ? W : 0);
	if (t->level == 1)
		e |= make_frame(m);
	else if (t->level <= 3 && make_chance(m, t->level == 2 ? 3 : 12))
		e |= PS | (make_below(m, 4) * large & 0xffffffff);
	else
		e |= child(m, t);
	if (t->size == 8 && make_chance(m, 8) && m->cpu.features & UMBRA_CPU_NX)
		e |= 1ull << 63;
	if (t->size == 8 && make_chance(m, 12))
		e |= make_below(m, 4) << 59;
	if (make_chance(m, 60))
		e |= t->size == 8 ? 1ull << 51 : 1ull << 13;
	return t->size == 4 ? (uint32_t)e : e;
}

/* ---- the beginning ---- */

static void set(struct maker *m, unsigned table, unsigned index, unsigned size, uint64_t value)
{
	make_emit(m, (struct fuzz_step){.op = FUZZ_SET,
					.size = (uint8_t)size,
					.a = TABLE(table) + (uint64_t)index * size,
					.b = value});
}

static const uint16_t links[][4] = {
	/* table, index, size, child */
	{0, 0, 8, 2},   {0, 256, 8, 2},   {1, 0, 8, 14}, {1, 256, 8, 2}, {2, 0, 8, 3},
	{2, 1, 8, 8},   {14, 0, 8, 3},    {14, 1, 8, 8}, {3, 0, 8, 4},   {3, 1, 8, 5},
	{8, 0, 8, 13},  {6, 0, 8, 0},     {6, 1, 8, 1},  {9, 0, 4, 10},  {9, 256, 4, 11},
	{12, 0, 4, 10}, {12, 256, 4, 10},
};

/* The ways to the leaves and windows of one format, as they were. */
static void make_links(struct maker *m, unsigned size)
{
	for (unsigned i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i][2] == size)
			set(m, links[i][0], links[i][1], size, TABLE(links[i][3]) | P | W | U | A);
	for (unsigned i = 0; i < FUZZ_TABLE_COUNT; i++)
		set(m, size == 8 ? 5 : 10, (size == 8 ? 0 : 512) + i, size,
		    TABLE(i) | P | W | A | D);
	for (unsigned i = 0; m->nested && i < FUZZ_L1_COUNT; i++)
		set(m, size == 8 ? 5 : 10, (size == 8 ? 0 : 512) + FUZZ_TABLE_COUNT + i, size,
		    L1_TABLE(i) | P | W | A | D);
	if (size == 4)
		return;
	set(m, 8, 1, 8, 0x200000 | P | W | U | A | D | PS);
	set(m, 7, 0, 8, TABLE(3) | P);
	set(m, 7, 1, 8, TABLE(8) | P);
	set(m, 7, 4, 8, TABLE(3) | P);
}

static void make_tables(struct maker *m)
{
	make_links(m, 8);
	make_links(m, 4);
	for (unsigned i = 0; i < TARGETS; i++)
		for (unsigned k = 0; targets[i].level == 1 && targets[i].gva != WINDOW && k < 4;
		     k++)
			if (k < targets[i].count)
				set(m, targets[i].table, targets[i].first + k, targets[i].size,
				    entry(m, &targets[i]));
}

/* ---- registers ---- */

static uint64_t root(struct maker *m, enum guest_mode mode)
{
	switch (mode) {
	case GUEST_32: return TABLE(make_chance(m, 3) ? 12 : 9);
	case GUEST_PAE: return TABLE(7) + (make_chance(m, 3) ? 0x20 : 0);
	case GUEST_4: return TABLE(make_below(m, 2));
	case GUEST_5: return TABLE(6);
	default: return TABLE(make_below(m, FUZZ_TABLE_COUNT));
	}
}

static uint64_t supported_cr4(const struct umbra_cpu *cpu)
{
	static const struct {
		uint32_t feature;
		uint64_t bit;
	} bits[] = {
		{UMBRA_CPU_PSE, UMBRA_CR4_PSE},    {UMBRA_CPU_PAE, UMBRA_CR4_PAE},
		{UMBRA_CPU_PGE, UMBRA_CR4_PGE},    {UMBRA_CPU_LA57, UMBRA_CR4_LA57},
		{UMBRA_CPU_PCID, UMBRA_CR4_PCIDE}, {UMBRA_CPU_SMEP, UMBRA_CR4_SMEP},
		{UMBRA_CPU_SMAP, UMBRA_CR4_SMAP},  {UMBRA_CPU_PKU, UMBRA_CR4_PKE},
		{UMBRA_CPU_SHSTK, UMBRA_CR4_CET},  {UMBRA_CPU_PKS, UMBRA_CR4_PKS},
	};
	uint64_t cr4 = 0;

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (cpu->features & bits[i].feature)
			cr4 |= bits[i].bit;
	return cr4;
}

enum guest_mode make_registers(struct maker *m, struct fuzz_step *s, enum guest_mode mode)
{
	s->cr0 = UMBRA_CR0_PE;
	if (mode >= GUEST_4 && !(m->cpu.features & UMBRA_CPU_LM))
		mode = GUEST_PAE;
	if (mode == GUEST_5 && !(m->cpu.features & UMBRA_CPU_LA57))
		mode = GUEST_4;
	s->a = root(m, mode);
	if (!make_chance(m, 4))
		s->cr0 |= UMBRA_CR0_WP;
	if (!make_chance(m, 3))
		s->cr4 |= UMBRA_CR4_PGE;
	if (make_chance(m, 4))
		s->cr4 |= UMBRA_CR4_SMEP;
	if (make_chance(m, 6))
		s->cr4 |= UMBRA_CR4_SMAP;
	if (!make_chance(m, 4))
		s->cr4 |= UMBRA_CR4_PSE;
	if (mode != GUEST_UNPAGED)
		s->cr0 |= UMBRA_CR0_PG;
	if (mode >= GUEST_PAE) {
		s->cr4 |= UMBRA_CR4_PAE;
		if (!make_chance(m, 4) && m->cpu.features & UMBRA_CPU_NX)
			s->efer |= UMBRA_EFER_NXE;
	}
	if (mode >= GUEST_4) {
		s->efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
		if (make_chance(m, 2))
			s->cr4 |= UMBRA_CR4_PCIDE;
		if (make_chance(m, 4))
			s->cr4 |= UMBRA_CR4_PKE;
		if (mode == GUEST_5)
			s->cr4 |= UMBRA_CR4_LA57;
	}
	if (m->shstk && s->cr0 & UMBRA_CR0_WP && (mode == GUEST_UNPAGED || make_chance(m, 3)))
		s->cr4 |= UMBRA_CR4_CET;
	s->cr4 &= supported_cr4(&m->cpu);
	if (s->cr4 & UMBRA_CR4_PCIDE)
		s->a |= make_below(m, 3);
	if (s->cr4 & UMBRA_CR4_PKE)
		s->b = make_below(m, 256);
	return mode;
}

static void make_regs(struct maker *m, unsigned vcpu, enum guest_mode mode)
{
	struct fuzz_step s = {.op = FUZZ_REGS, .vcpu = (uint8_t)vcpu};

	m->mode[vcpu] = make_registers(m, &s, mode);
	m->in_l2[vcpu] = false;
	make_emit(m, s);
}

/* ---- steps ---- */

unsigned make_vcpu(struct maker *m)
{
	return (unsigned)make_below(m, m->program->vcpus);
}

uint64_t make_linear(struct maker *m, unsigned cpu)
{
	const uint64_t page = PAGE(make_below(m, 4));

	switch (make_below(m, m->mode[cpu] >= GUEST_4 ? 10 : 7)) {
	case 0:
	case 1:
	case 2: return page;
	case 3:
	case 4: return GIB + page;
	case 5:
		return WINDOW + PAGE(make_below(m, m->nested ? FUZZ_TABLE_COUNT + FUZZ_L1_COUNT
							     : FUZZ_TABLE_COUNT));
	case 6: return make_chance(m, 2) ? GIB + WINDOW : 0x400000;
	case 7: return m->mode[cpu] == GUEST_5 ? (1ull << 48) + page : HIGH + page;
	case 8: return HIGH + GIB + page;
	default: return page;
	}
}

void make_access(struct maker *m, unsigned cpu, uint64_t gva)
{
	static const uint8_t kinds[] = {
		0, UMBRA_ACCESS_USER, 0, UMBRA_ACCESS_USER, UMBRA_ACCESS_AC, UMBRA_ACCESS_IMPLICIT,
	};
	static const uint8_t how[] = {FUZZ_READ, FUZZ_WRITE, FUZZ_WRITE, FUZZ_READ, FUZZ_FETCH};
	struct fuzz_step s = {.vcpu = (uint8_t)cpu};

	s.op = how[make_below(m, sizeof(how))];
	s.access =
		s.op == FUZZ_FETCH ? kinds[make_below(m, 2)] : kinds[make_below(m, sizeof(kinds))];
	if (m->shstk && s.op != FUZZ_FETCH && make_chance(m, 8))
		s.access = (uint8_t)(UMBRA_ACCESS_SHSTK | (s.access & UMBRA_ACCESS_USER));
	s.size = (uint8_t)(1u << make_below(m, 4));
	s.a = gva + (make_below(m, 32) << 3);
	if (make_chance(m, 30))
		s.a = (s.a & ~0xfffull) + 0xffd;
	if (s.op == FUZZ_WRITE)
		s.b = make_below(m, 1u << 16);
	/* Through a window one should write entries. */
	if (s.op == FUZZ_WRITE && (s.a & ~0xffffull) == WINDOW && !make_chance(m, 8)) {
		s.op = FUZZ_READ;
		s.b = 0;
	}
	make_emit(m, s);
}

static void step_access(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);

	make_access(m, cpu, make_linear(m, cpu));
}

static void invlpg(struct maker *m, unsigned cpu, uint64_t gva)
{
	make_emit(m, (struct fuzz_step){.op = FUZZ_INVLPG, .vcpu = (uint8_t)cpu, .a = gva});
}

void make_flush(struct maker *m, unsigned cpu)
{
	make_emit(m, (struct fuzz_step){.op = FUZZ_INVPCID, .vcpu = (uint8_t)cpu, .size = 2});
}

/* The guest's own store to a table, or a device's. */
static void edit(struct maker *m, unsigned cpu, const struct target *t, uint64_t index,
		 uint64_t value)
{
	if (make_chance(m, 4))
		set(m, t->table, (unsigned)index, t->size, value);
	else
		make_emit(m, (struct fuzz_step){.op = FUZZ_WRITE,
						.vcpu = (uint8_t)cpu,
						.size = t->size,
						.a = WINDOW + PAGE(t->table) + index * t->size,
						.b = value});
}

/*
 * Part of a tree is cut off, its leaves change, flushes pass it by, and it is linked
 * again. What it maps must be fresh then.
 */
static void step_relink(struct maker *m)
{
	static const struct {
		uint8_t table, size, child, leaves;
		uint16_t index;
		uint64_t gva;
	} cuts[] = {
		{2, 8, 8, 13, 1, GIB},    {8, 8, 13, 13, 0, GIB}, {3, 8, 4, 4, 0, 0},
		{14, 8, 8, 13, 1, GIB},   {7, 8, 8, 13, 1, GIB},  {9, 4, 10, 10, 0, 0},
		{9, 4, 11, 11, 256, GIB}, {2, 8, 8, 13, 1, GIB},
	};
	const unsigned cpu = make_vcpu(m),
		       i = (unsigned)make_below(m, sizeof(cuts) / sizeof(cuts[0]));
	const uint64_t link = TABLE(cuts[i].child) | P | (cuts[i].table == 7 ? 0 : W | U | A);
	const struct target leaf = {.table = cuts[i].leaves, .level = 1, .size = cuts[i].size};
	const uint64_t index = make_below(m, 4);

	set(m, cuts[i].table, cuts[i].index, cuts[i].size, link);
	edit(m, cpu, &leaf, index, entry(m, &leaf));
	make_access(m, cpu, cuts[i].gva + PAGE(index));
	edit(m, cpu, &leaf, make_below(m, 4), entry(m, &leaf));
	set(m, cuts[i].table, cuts[i].index, cuts[i].size, 0);
	edit(m, cpu, &leaf, index, entry(m, &leaf));
	make_flush(m, cpu);
	set(m, cuts[i].table, cuts[i].index, cuts[i].size, link);
	make_access(m, cpu, cuts[i].gva + PAGE(index));
	make_access(m, make_vcpu(m), cuts[i].gva + PAGE(index));
}

/* An edit seen through another root, and INVLPG there: both roots must know. */
static void step_roots(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);
	const struct target leaf = {.table = 4, .level = 1, .size = 8};
	const uint64_t index = make_below(m, 4), pcid = make_below(m, 2), keep = 1ull << 63;
	struct fuzz_step s = {.op = FUZZ_CR3, .vcpu = (uint8_t)cpu};

	if (m->mode[cpu] != GUEST_4)
		return;
	set(m, 14, 0, 8, TABLE(8) | P | W | U | A);
	set(m, 8, 0, 8, TABLE(13) | P | W | U | A);
	s.a = TABLE(0) | pcid | keep;
	make_emit(m, s);
	edit(m, cpu, &leaf, index, entry(m, &leaf));
	make_access(m, cpu, PAGE(index));
	edit(m, cpu, &leaf, index, entry(m, &leaf));
	s.a = TABLE(1) | pcid | keep;
	make_emit(m, s);
	make_access(m, cpu, PAGE(index));
	invlpg(m, cpu, PAGE(index));
	s.a = TABLE(0) | pcid | keep;
	make_emit(m, s);
	make_access(m, cpu, PAGE(index));
	make_access(m, cpu, PAGE(index));
}

static void edit_twice(struct maker *m, unsigned cpu, uint64_t index)
{
	const struct target leaf = {.table = 4, .level = 1, .size = 8};

	edit(m, cpu, &leaf, index, (make_frame(m) & ~0xfffull) | P | W | U | A | D);
	make_access(m, cpu, PAGE(index));
	edit(m, cpu, &leaf, index, entry(m, &leaf));
}

/*
 * A root is left and comes back with its translations. Meanwhile another root that shares
 * no leaf may have flushed its PCID, or one that shares them has left what is stale.
 */
static void step_return(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);
	const uint64_t index = make_below(m, 4), pcid = make_below(m, 2), keep = 1ull << 63;
	const bool apart = make_chance(m, 2);
	struct fuzz_step s = {.op = FUZZ_CR3, .vcpu = (uint8_t)cpu};

	if (~m->cpu.features & (UMBRA_CPU_LM | UMBRA_CPU_PCID))
		return;
	make_links(m, 8);
	make_regs(m, cpu, GUEST_4);
	if (!m->failed)
		m->program->step[m->program->count - 1].cr4 |= UMBRA_CR4_PCIDE;
	set(m, 1, 256, 8, apart ? 0 : TABLE(2) | P | W | U | A);
	set(m, 14, 0, 8, TABLE(apart ? 8 : 3) | P | W | U | A);
	s.a = TABLE(0) | pcid | (apart ? keep : 0);
	make_emit(m, s);
	if (apart)
		edit_twice(m, cpu, index);
	else
		make_access(m, cpu, PAGE(index ^ 1));
	s.a = TABLE(1) | (make_chance(m, 3) == apart ? 1 - pcid : pcid) |
	      (make_chance(m, 3) ? keep : 0);
	make_emit(m, s);
	if (apart)
		make_access(m, cpu, PAGE(index));
	else
		edit_twice(m, make_chance(m, 3) ? make_vcpu(m) : cpu, index);
	s.a = TABLE(0) | pcid | keep;
	make_emit(m, s);
	make_access(m, cpu, PAGE(index));
}

/* A guest without paging stores to the tables of another vCPU, by its shadow stack too. */
static void step_unpaged(struct maker *m)
{
	const unsigned cpu = make_vcpu(m), other = make_vcpu(m);
	const struct target *t = &targets[m->mode[other] == GUEST_32 ? 14 : 0];
	const uint64_t index = make_below(m, 4);
	struct fuzz_step s = {.op = FUZZ_WRITE,
			      .vcpu = (uint8_t)cpu,
			      .size = 8,
			      .a = TABLE(t->table) + (index * t->size & ~7ull)};

	if (cpu == other || !(m->cpu.features & UMBRA_CPU_SHSTK))
		return;
	make_regs(m, cpu, GUEST_UNPAGED);
	if (m->failed)
		return;
	m->program->step[m->program->count - 1].cr0 |= UMBRA_CR0_WP;
	m->program->step[m->program->count - 1].cr4 |= UMBRA_CR4_CET;
	for (unsigned i = 0; i < 2; i++) {
		make_access(m, other, PAGE(index));
		s.access = i ? UMBRA_ACCESS_SHSTK | (make_chance(m, 2) ? UMBRA_ACCESS_USER : 0) : 0;
		s.b = entry(m, t);
		if (t->size == 4)
			s.b |= entry(m, t) << 32;
		make_emit(m, s);
		make_flush(m, other);
	}
	make_access(m, other, PAGE(index));
}

/* Two mappings of one large page, one of them not yet written through: the tables below
 * the first must not serve the second. */
static void step_large(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);

	set(m, 3, 2, 8, 0x200000 | P | U | A | PS | (make_chance(m, 2) ? D : 0));
	set(m, 8, 1, 8, 0x200000 | P | W | U | A | PS);
	make_flush(m, cpu);
	make_access(m, cpu, GIB + WINDOW);
	make_access(m, cpu, 0x400000);
	make_access(m, cpu, GIB + WINDOW);
	make_access(m, cpu, 0x400000);
	make_access(m, cpu, 0x400000);
}

static const struct target *leaf_target(struct maker *m, unsigned cpu)
{
	const struct target *t = &targets[make_below(m, TARGETS)];

	for (unsigned i = 0; i < 12; i++) {
		if (t->level == 1 && t->gva != WINDOW &&
		    (t->size == 4) == (m->mode[cpu] == GUEST_32))
			break;
		t = &targets[make_below(m, TARGETS)];
	}
	return t;
}

/* Used, changed, used, then something that may or must flush, used. */
static void step_stale(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);
	const struct target *t = leaf_target(m, cpu);
	const uint64_t index = make_below(m, t->count), gva = t->gva + PAGE(index);
	struct fuzz_step s = {.op = FUZZ_CR3, .vcpu = (uint8_t)cpu};

	if (t->level != 1)
		return;
	for (unsigned i = 0; i < 2; i++) {
		edit(m, cpu, t, t->first + index, entry(m, t));
		make_access(m, cpu, gva);
	}
	switch (make_below(m, 6)) {
	case 0: invlpg(m, cpu, gva + make_below(m, 2) * 0x800); break;
	case 1:
		s.op = FUZZ_INVPCID;
		s.size = (uint8_t)make_below(m, 4);
		s.b = make_below(m, 2);
		s.a = gva;
		make_emit(m, s);
		break;
	case 2:
		s.op = FUZZ_CR4;
		s.a = UMBRA_CR4_PGE;
		make_emit(m, s);
		break;
	case 3: break;
	default:
		s.a = root(m, m->mode[cpu]);
		if (m->mode[cpu] >= GUEST_4)
			s.a |= make_below(m, 2) | (make_chance(m, 2) ? 1ull << 63 : 0);
		make_emit(m, s);
	}
	make_access(m, cpu, gva);
	make_access(m, make_vcpu(m), gva);
	make_access(m, cpu, gva);
}

static void step_edit(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);
	const bool narrow = m->mode[cpu] == GUEST_32;
	const struct target *t = &targets[make_below(m, TARGETS)];
	uint64_t value, index;

	for (unsigned i = 0; i < 4 && (t->size == 4) != narrow; i++)
		t = &targets[make_below(m, TARGETS)];
	index = t->first + make_below(m, t->count);
	value = entry(m, t);
	edit(m, cpu, t, index, value);
	if (make_below(m, 4) >= m->discipline) {
		for (uint64_t i = make_below(m, 4); t->level == 1 && i; i--)
			make_access(m, make_chance(m, 4) ? make_vcpu(m) : cpu,
				    t->gva + PAGE(index - t->first));
		return;
	}
	for (unsigned i = 0; i < m->program->vcpus; i++) {
		if (i != cpu && make_chance(m, 3))
			continue;
		if (t->level == 1 && !make_chance(m, 8))
			invlpg(m, i, t->gva + PAGE(index - t->first));
		else
			make_flush(m, i);
	}
}

static void step_flush(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);
	struct fuzz_step s = {.op = FUZZ_CR3, .vcpu = (uint8_t)cpu};

	switch (make_below(m, 8)) {
	case 0:
	case 1:
	case 2: invlpg(m, cpu, make_linear(m, cpu)); return;
	case 3:
		s.op = FUZZ_INVPCID;
		s.size = (uint8_t)make_below(m, 4);
		s.b = make_below(m, 3);
		s.a = make_linear(m, cpu);
		break;
	default:
		s.a = root(m, m->mode[cpu]);
		if (m->mode[cpu] >= GUEST_4)
			s.a |= make_below(m, 3) | (make_chance(m, 2) ? 1ull << 63 : 0);
	}
	make_emit(m, s);
}

static void step_register(struct maker *m)
{
	static const uint64_t turns[] = {UMBRA_CR4_SMEP, UMBRA_CR4_SMAP, UMBRA_CR4_PGE,
					 UMBRA_CR4_PSE,  UMBRA_CR4_PKE,  UMBRA_CR4_PCIDE};
	struct fuzz_step s = {.vcpu = (uint8_t)make_vcpu(m)};

	switch (make_below(m, 8)) {
	case 0:
	case 1:
	case 2:
		s.op = FUZZ_CR0;
		s.a = UMBRA_CR0_WP;
		break;
	case 3:
		s.op = FUZZ_KEYS;
		s.a = make_below(m, 256);
		break;
	case 4: make_regs(m, s.vcpu, (enum guest_mode)make_below(m, GUEST_MODES)); return;
	default: s.op = FUZZ_CR4; s.a = turns[make_below(m, sizeof(turns) / sizeof(turns[0]))];
	}
	make_emit(m, s);
}

static void step_embedder(struct maker *m)
{
	struct fuzz_step s = {.op = FUZZ_ZAP};

	switch (make_below(m, 16)) {
	case 0: break;
	case 1:
	case 2:
	case 3:
		s.op = FUZZ_SHRINK;
		s.a = 1 + make_below(m, 8);
		break;
	case 4:
	case 5:
		s.op = FUZZ_UNPROTECT;
		s.a = TABLE(make_below(m, FUZZ_TABLE_COUNT));
		break;
	case 6:
	case 7:
	case 8:
		s.op = make_chance(m, 3) ? FUZZ_TRACK : FUZZ_UNTRACK;
		s.a = make_chance(m, 2) ? TABLE(make_below(m, FUZZ_TABLE_COUNT)) : make_frame(m);
		break;
	case 9:
	case 10:
		s.op = FUZZ_SWAP;
		s.a = make_chance(m, 8) ? 1 : 2 * make_below(m, 2);
		break;
	case 11:
	case 12:
		s.op = FUZZ_DELETE;
		s.a = make_chance(m, 8) ? 1 : make_chance(m, 3) ? 0 : 2;
		make_emit(m, s);
		for (uint64_t i = make_below(m, 4); i; i--)
			step_access(m);
		s.op = FUZZ_ADD;
		s.b = make_below(m, 2) && s.a ? 1 : 0;
		break;
	default:
		s.op = FUZZ_ADD;
		s.a = 2 + make_below(m, 2);
		s.b = make_below(m, 2);
	}
	make_emit(m, s);
}

static void step(struct maker *m)
{
	const uint64_t choice = make_below(m, 100);

	if (m->nested && !make_chance(m, 3))
		make_l1_step(m);
	else if (choice < 50)
		step_access(m);
	else if (choice < 51)
		step_relink(m);
	else if (choice < 52)
		step_roots(m);
	else if (choice < 53)
		step_return(m);
	else if (choice < 54)
		step_large(m);
	else if (choice < 55)
		step_unpaged(m);
	else if (choice < 61)
		step_stale(m);
	else if (choice < 62)
		make_links(m, m->mode[make_vcpu(m)] == GUEST_32 ? 4 : 8);
	else if (choice < 78)
		step_edit(m);
	else if (choice < 91)
		step_flush(m);
	else if (choice < 97)
		step_register(m);
	else
		step_embedder(m);
}

static bool make(struct maker *m, unsigned steps)
{
	enum guest_mode mode = (enum guest_mode)make_below(m, GUEST_MODES);
	const bool mixed = make_chance(m, 4);
	unsigned flushed = 0;

	m->program->vcpus = 1 + (unsigned)make_below(m, LAB_CPU_MAX);
	m->discipline = 1 + (unsigned)make_below(m, 4);
	m->shstk = m->cpu.features & UMBRA_CPU_SHSTK && make_chance(m, 4);
	if (mode == GUEST_UNPAGED && !make_chance(m, 4))
		mode = GUEST_4;
	make_tables(m);
	if (m->nested)
		make_l1_tables(m, mixed || mode == GUEST_32);
	for (unsigned i = 0; i < m->program->vcpus; i++)
		make_regs(m, i, mixed ? (enum guest_mode)make_below(m, GUEST_MODES) : mode);
	flushed = m->program->count;
	while (m->program->count < steps && !(m->from_bytes && !m->left) && !m->failed) {
		step(m);
		if (m->program->count - flushed < FLUSH_EVERY)
			continue;
		flushed = m->program->count;
		for (unsigned i = 0; i < m->program->vcpus; i++) {
			make_flush(m, i);
			if (m->nested)
				make_l1_flush(m, i);
		}
	}
	return !m->failed;
}

bool fuzz_make(struct fuzz_program *program, const struct lab_config *config, uint64_t seed,
	       unsigned steps)
{
	struct maker m = {.program = program, .cpu = lab_guest_cpu(config), .random = seed};

	return make(&m, steps);
}

bool fuzz_make_nested(struct fuzz_program *program, const struct lab_config *config, uint64_t seed,
		      unsigned steps)
{
	struct maker m = {.program = program,
			  .cpu = lab_guest_cpu(config),
			  .paging = config->paging,
			  .random = seed,
			  .nested = true};

	return make(&m, steps);
}

bool fuzz_decode(struct fuzz_program *program, const struct lab_config *config,
		 const uint8_t *bytes, size_t size)
{
	struct maker m = {.program = program,
			  .cpu = lab_guest_cpu(config),
			  .bytes = bytes,
			  .left = size,
			  .from_bytes = true};

	return make(&m, 4096);
}
