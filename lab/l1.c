/* SPDX-License-Identifier: MIT */
/*
 * l1.c - builds the built-in L1.
 *
 *	L2-physical                 L1-physical
 *	0          .. 16 MiB        0x10000000   RAM, ROM and a hole
 *	0x40000000 .. 0x80000000    0x80000000   RAM
 *	0x140000000 .. +8 MiB       0x20000000   RAM, where L1's tables reach it
 *	-                           0x30000000   2 MiB: L1's own tables and those for L2
 *
 * L2 is the built-in guest, byte for byte, but no guest-physical address of its own is
 * one of L1's. L1's tables map it page by page or in large pages; most entries are as
 * they should be, of the others each is wrong in its own way. What maps L2's page tables
 * is mostly right, or nothing would ever work.
 *
 * Bits are those of the manuals' tables (SDM 3C 29.3, APM 2 5.3 and 15.25), without
 * looking at core/.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lab/l1_parts.h"
#include "lab/random.h"

#define MIB (1ull << 20)
#define LOW_SIZE (16 * MIB)
#define LOW_AT 0x10000000ull
#define TABLES 0x400000ull
#define DATA 0x800000ull
#define BIG 0x40000000ull
#define BIG_SIZE 0x40000000ull
#define BIG_AT 0x80000000ull
#define HIGH 0x140000000ull
#define HIGH_SIZE (8 * MIB)
#define HIGH_AT 0x20000000ull
#define OWN_AT 0x30000000ull
#define OWN_SIZE (2 * MIB)

#define P (1ull << 0)
#define W (1ull << 1)
#define U (1ull << 2)
#define A (1ull << 5)
#define D (1ull << 6)
#define PS (1ull << 7)
#define G (1ull << 8)
#define NX (1ull << 63)

#define EPT_R (1ull << 0)
#define EPT_W (1ull << 1)
#define EPT_X (1ull << 2)
#define EPT_WB (6ull << 3)
#define EPT_XU (1ull << 10)
#define EPT_RIGHTS (EPT_R | EPT_W | EPT_X | EPT_XU)
#define EPTP_AD (1ull << 6)

const char *l1_kind_name(enum l1_kind kind)
{
	static const char *const names[L1_KINDS] = {
		"none", "EPT 4", "EPT 5", "NPT 32", "NPT 32pse", "NPT PAE", "NPT 4", "NPT 5",
	};

	return kind < L1_KINDS ? names[kind] : "?";
}

bool l1_kind_high(enum l1_kind kind)
{
	return kind != L1_NPT_32 && kind != L1_NPT_32_PSE && kind != L1_NPT_PAE;
}

unsigned l1_choices(const struct l1_config *config)
{
	const bool ept = config->kind == L1_EPT_4 || config->kind == L1_EPT_5;

	return config->readonly_tables || (ept && !config->ad) ? 0 : MODEL_SPECULATE;
}

/* ---- memory ---- */

uint64_t l1_place(uint64_t gpa)
{
	if (gpa < LOW_SIZE)
		return gpa + LOW_AT;
	if (gpa - BIG < BIG_SIZE)
		return gpa - BIG + BIG_AT;
	return gpa - HIGH + HIGH_AT;
}

static bool add_memory(struct l1 *l1)
{
	unsigned count;
	const struct lab_memory *guest = builtin_memory(l1->guest, &count);
	const struct lab_memory own = {.base = {OWN_AT}, .size = OWN_SIZE};

	for (unsigned i = 0; i < count; i++) {
		struct lab_memory *m = &l1->memory[l1->memory_count++];

		*m = guest[i];
		if (l1->config.kind != L1_PLAIN)
			m->base.v = l1_place(m->base.v);
	}
	l1->own = &l1->memory[l1->memory_count++];
	*l1->own = own;
	for (unsigned i = 0; i < 2; i++) {
		void *at = mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (at == MAP_FAILED)
			return false;
		*(i ? &l1->own->umbra : &l1->own->bare) = at;
	}
	return true;
}

static uint64_t page_new(struct l1 *l1)
{
	uint64_t page = l1->next_page;

	if (page >= OWN_AT + OWN_SIZE)
		abort();
	l1->next_page += UMBRA_PAGE_SIZE;
	return page;
}

static void *at(const struct l1 *l1, uint64_t gpa)
{
	return (uint8_t *)l1->own->bare + (gpa - OWN_AT);
}

/* ---- tables ---- */

static unsigned shift_of(const struct l1_format *f, unsigned level)
{
	return UMBRA_PAGE_SHIFT + f->bits * (level - 1);
}

static uint64_t entry_at(const struct l1_format *f, uint64_t table, uint64_t address,
			 unsigned level)
{
	/* The root of PAE has four entries. */
	const unsigned bits = f->top == 3 && level == 3 ? 2 : f->bits;

	return table + (address >> shift_of(f, level) & ((1u << bits) - 1)) * f->entry_size;
}

static uint64_t get(const struct l1 *l1, const struct l1_format *f, uint64_t gpa)
{
	uint64_t value = 0;

	memcpy(&value, at(l1, gpa), f->entry_size);
	return value;
}

static void put(struct l1 *l1, const struct l1_format *f, uint64_t gpa, uint64_t value)
{
	memcpy(at(l1, gpa), &value, f->entry_size);
}

/* A reference to a table, all rights. */
static uint64_t reference(const struct l1_format *f, unsigned level, uint64_t table)
{
	if (f->ept)
		return table | EPT_RIGHTS;
	if (f->top == 3 && level == 3)
		return table | P;
	return table | P | W | U;
}

static void note(struct l1 *l1, const struct l1_slot *slot)
{
	if (l1->slot_count < L1_SLOTS_MAX)
		l1->slot[l1->slot_count++] = *slot;
}

/* The entry of @level for @address; missing tables are made on the way. */
static uint64_t reach(struct l1 *l1, const struct l1_format *f, uint64_t root, uint64_t address,
		      unsigned level)
{
	uint64_t table = root;

	for (unsigned i = f->top; i > level; i--) {
		uint64_t gpa = entry_at(f, table, address, i), value = get(l1, f, gpa);

		if (!value) {
			value = reference(f, i, page_new(l1));
			put(l1, f, gpa, value);
			if (f == &l1->nested)
				note(l1,
				     &(struct l1_slot){gpa, value, (uint8_t)i, L1_SLOT_UPPER,
						       address < DATA || address - BIG < BIG_SIZE});
		}
		table = value & 0xfffff000;
	}
	return entry_at(f, table, address, level);
}

/* ---- L1 itself ---- */

static void make_format(struct l1_format *f, enum builtin_mode mode)
{
	*f = (struct l1_format){.top = 2, .bits = 10, .entry_size = 4, .leaf_max = 1};
	if (mode == BUILTIN_32_PSE)
		f->leaf_max = 2;
	if (mode < BUILTIN_PAE)
		return;
	f->top = mode == BUILTIN_PAE ? 3 : mode == BUILTIN_4 ? 4 : 5;
	f->bits = 9;
	f->entry_size = 8;
	f->leaf_max = mode == BUILTIN_PAE ? 2 : 3;
}

/* VMX L1s page as they like, SVM L1s as the NPT is to be. A 64-bit guest needs a 64-bit
 * host with VMX (H-133). */
static enum builtin_mode own_mode(struct l1 *l1, bool long_guest)
{
	static const enum builtin_mode of[L1_KINDS] = {
		[L1_NPT_32] = BUILTIN_32,   [L1_NPT_32_PSE] = BUILTIN_32_PSE,
		[L1_NPT_PAE] = BUILTIN_PAE, [L1_NPT_4] = BUILTIN_4,
		[L1_NPT_5] = BUILTIN_5,
	};
	unsigned choice = (unsigned)random_below(&l1->random, 4);

	if (l1->config.kind >= L1_NPT_32)
		return of[l1->config.kind];
	if (long_guest)
		return choice & 1 ? BUILTIN_5 : BUILTIN_4;
	return BUILTIN_32_PSE + choice;
}

static void make_registers(struct l1 *l1, enum builtin_mode mode, uint64_t root)
{
	struct umbra_regs *regs = &l1->regs;
	const uint64_t random = random_next(&l1->random);

	*regs = (struct umbra_regs){
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | (random & 1 ? UMBRA_CR0_WP : 0),
		.cr3 = root,
		.efer = l1->config.nxe ? UMBRA_EFER_NXE : 0,
	};
	/* None of these matters to nested paging (H-91). */
	if (random & 2 && l1->cpu.features & UMBRA_CPU_SMEP)
		regs->cr4 |= UMBRA_CR4_SMEP;
	if (random & 4 && l1->cpu.features & UMBRA_CPU_SMAP)
		regs->cr4 |= UMBRA_CR4_SMAP;
	if (random & 8)
		regs->cr4 |= UMBRA_CR4_PGE;
	if (mode == BUILTIN_32_PSE)
		regs->cr4 |= UMBRA_CR4_PSE;
	if (mode >= BUILTIN_PAE)
		regs->cr4 |= UMBRA_CR4_PAE;
	if (mode >= BUILTIN_4)
		regs->efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (mode == BUILTIN_5)
		regs->cr4 |= UMBRA_CR4_LA57;
}

/* L1 sees its own memory where it is. */
static void build_own(struct l1 *l1, bool long_guest)
{
	enum builtin_mode mode = own_mode(l1, long_guest);
	struct l1_format *f = &l1->paging;
	uint64_t root = page_new(l1);

	make_format(f, mode);
	for (uint64_t a = OWN_AT; a < OWN_AT + OWN_SIZE; a += UMBRA_PAGE_SIZE)
		put(l1, f, reach(l1, f, root, a, 1), a | P | W | A | D);
	make_registers(l1, mode, root);
	for (unsigned i = 0; mode == BUILTIN_PAE && i < 4; i++)
		l1->regs.pdpte[i] = get(l1, f, root + i * 8ull);
}

/* ---- the tables for L2 ---- */

bool l1_is_present(const struct l1 *l1, uint64_t value)
{
	if (!l1->nested.ept)
		return value & P;
	return value & (EPT_R | EPT_W | EPT_X | (l1->config.exec_by_mode ? EPT_XU : 0));
}

uint64_t l1_pointer(const struct l1 *l1, unsigned index)
{
	if (!l1->nested.ept)
		return l1->root[index];
	return l1->root[index] | 6 | (l1->nested.top - 1ull) << 3 | (l1->config.ad ? EPTP_AD : 0);
}

static uint64_t other_rights(const struct l1 *l1, const struct l1_slot *slot, uint64_t random)
{
	const struct l1_format *f = &l1->nested;

	if (f->ept)
		return (slot->value & ~EPT_RIGHTS) | (random & 7) | (random & 8 ? EPT_XU : 0);
	if (f->top == 3 && slot->level == 3)
		return slot->value;
	return (slot->value & ~(W | U)) | (random & (W | U)) |
	       (random & 8 && l1->config.nxe && f->entry_size == 8 ? NX : 0);
}

static uint64_t with_garbage(const struct l1 *l1, const struct l1_slot *slot, uint64_t random)
{
	const struct l1_format *f = &l1->nested;
	const unsigned m = l1->cpu.maxphyaddr;
	const bool upper = slot->kind == L1_SLOT_UPPER;

	switch (random & 3) {
	case 0: /* beyond MAXPHYADDR */
		if (f->entry_size == 8 && m < 52)
			return slot->value | 1ull << (m + (random >> 8) % (52 - m));
		break;
	case 1:
		if (f->ept) /* W without R; a memory type that is none */
			return upper ? slot->value & ~EPT_R : slot->value | EPT_WB | 1ull << 3;
		if (f->entry_size == 8)
			return slot->value | NX; /* reserved without NXE */
		break;
	case 2:
		if (f->ept && upper) /* reserved; in levels 2 and 3 a large page that is none */
			return slot->value | 1ull << (3 + (random >> 8) % 5);
		if (!f->ept && upper && slot->level >= 4)
			return slot->value | PS;
		break;
	default:
		if (slot->level > 1 && !upper) /* part of the address that must be clear */
			return slot->value | 1ull << (f->ept ? 12 : f->entry_size == 8 ? 13 : 21);
		break;
	}
	return other_rights(l1, slot, random >> 16);
}

/* Bits that nobody looks at, and those that hardware sets. */
static uint64_t with_ignored(const struct l1 *l1, const struct l1_slot *slot, uint64_t random)
{
	const struct l1_format *f = &l1->nested;

	if (f->ept)
		return slot->value | (random & (3ull << 8 | 1ull << 11 | 0x7full << 52)) |
		       (random & 1ull << 63);
	if (f->top == 3 && slot->level == 3)
		return slot->value | (random & 7ull << 9);
	return slot->value | (random & (A | 7ull << 9 | (slot->kind == L1_SLOT_UPPER ? 0 : D | G)));
}

/* Another page of L2's data, or of what L2 sees as devices. */
static uint64_t other_frame(const struct l1 *l1, const struct l1_slot *slot, uint64_t random)
{
	const uint64_t size = 1ull << shift_of(&l1->nested, slot->level);
	uint64_t gpa = DATA;

	if (slot->level > 2)
		return slot->value;
	gpa += random % (LOW_SIZE - DATA) & -size;
	if (slot->level == 1 && (random >> 32 & 15) == 0)
		gpa = 0xa0000 + random % 0x20000 / UMBRA_PAGE_SIZE * UMBRA_PAGE_SIZE;
	if (slot->level == 1 && (random >> 32 & 15) == 1)
		gpa = 0xc0000 + random % 0x40000 / UMBRA_PAGE_SIZE * UMBRA_PAGE_SIZE;
	return (slot->value & ~(0xffffffffull & -size)) | l1_place(gpa) |
	       (slot->level > 1 ? slot->value & PS : 0);
}

uint64_t l1_value(struct l1 *l1, const struct l1_slot *slot, uint64_t random)
{
	const uint64_t more = random_next(&l1->random);

	switch (random % 8) {
	case 0:
	case 1: return other_rights(l1, slot, more);
	case 2: /* the rights remain, as ignored bits */
		return slot->value & ~(l1->nested.ept ? EPT_R | EPT_W | EPT_X | EPT_XU : P);
	case 3: return with_garbage(l1, slot, more);
	case 4: return with_ignored(l1, slot, more);
	case 5:
	case 6:
		if (slot->kind == L1_SLOT_DATA)
			return other_frame(l1, slot, more);
		return other_rights(l1, slot, more);
	default: return slot->value;
	}
}

/* A leaf for L2's @gpa; wrong in one of @one_of cases (0: never). */
static void map(struct l1 *l1, uint64_t gpa, unsigned level, unsigned one_of)
{
	const struct l1_format *f = &l1->nested;
	const bool table = gpa - TABLES < DATA - TABLES || gpa < 0x1000;
	const bool data = gpa - DATA < LOW_SIZE - DATA || gpa - BIG < BIG_SIZE;
	struct l1_slot slot = {
		.gpa = reach(l1, f, l1->root[0], gpa, level),
		.level = (uint8_t)level,
		.kind = data && gpa < BIG ? L1_SLOT_DATA : L1_SLOT_FIXED,
		.vital = table,
	};
	uint64_t random = random_next(&l1->random);

	slot.value = l1_place(gpa) | (f->ept ? EPT_RIGHTS | EPT_WB : P | W | U);
	if (level > 1)
		slot.value |= PS;
	/* GMET: supervisor code runs only from U=0. */
	if (!f->ept && l1->config.exec_by_mode && random & 1)
		slot.value &= ~U;
	note(l1, &slot);
	if (one_of && random >> 8 & 1 && (random >> 16) % one_of == 0)
		slot.value = l1_value(l1, &slot, random >> 32);
	put(l1, f, slot.gpa, slot.value);
}

static void map_low(struct l1 *l1)
{
	const struct l1_format *f = &l1->nested;
	const uint64_t size = 1ull << shift_of(f, 2);
	const bool can = f->leaf_max >= 2 && l1->config.large;

	for (uint64_t gpa = 0; gpa < LOW_SIZE; gpa += size) {
		const bool tables = gpa - TABLES < DATA - TABLES;

		if (can && !tables && random_next(&l1->random) & 1) {
			map(l1, gpa, 2, gpa ? 3 : 0);
			continue;
		}
		for (uint64_t o = 0; o < size; o += UMBRA_PAGE_SIZE)
			map(l1, gpa + o, 1, tables ? 8 : 1);
	}
}

/* The second gigabyte: a 1G page, or 2M pages, or 4K pages of which many are the same. */
static void map_big(struct l1 *l1, uint64_t base, uint64_t size)
{
	const struct l1_format *f = &l1->nested;
	const uint64_t large = 1ull << shift_of(f, 2);
	uint64_t shared = 0;

	if (f->leaf_max >= 3 && l1->config.large && size == BIG_SIZE &&
	    random_next(&l1->random) & 1) {
		map(l1, base, 3, 4);
		return;
	}
	for (uint64_t gpa = base; gpa < base + size; gpa += large) {
		uint64_t gpa_entry;

		if (f->leaf_max >= 2 && l1->config.large && random_next(&l1->random) & 15) {
			map(l1, gpa, 2, 3);
			continue;
		}
		gpa_entry = reach(l1, f, l1->root[0], gpa, 2);
		if (shared && !get(l1, f, gpa_entry)) {
			put(l1, f, gpa_entry, reference(f, 2, shared));
			continue;
		}
		for (uint64_t o = 0; o < large; o += UMBRA_PAGE_SIZE)
			map(l1, gpa + o, 1, 2);
		shared = get(l1, f, gpa_entry) & 0xfffff000;
	}
}

/* A second root: the same tables, other rights at the top. */
static void build_second(struct l1 *l1)
{
	const struct l1_format *f = &l1->nested;
	const unsigned count = f->top == 3 ? 4 : 1u << f->bits;

	/* 32 bytes of a page are enough for PAE, not its first ones. */
	l1->root[1] = page_new(l1) + (f->top == 3 ? 64 : 0);
	for (unsigned i = 0; i < count; i++) {
		struct l1_slot slot = {
			.gpa = l1->root[1] + (uint64_t)i * f->entry_size,
			.value = get(l1, f, l1->root[0] + (uint64_t)i * f->entry_size),
			.level = f->top,
			.kind = L1_SLOT_UPPER,
			.vital = true,
		};

		if (!slot.value)
			continue;
		note(l1, &slot);
		if (random_next(&l1->random) & 1)
			slot.value = with_ignored(l1, &slot, random_next(&l1->random));
		put(l1, f, slot.gpa, slot.value);
	}
}

static void build_nested(struct l1 *l1)
{
	struct l1_format *f = &l1->nested;

	if (l1->config.kind == L1_EPT_4 || l1->config.kind == L1_EPT_5)
		*f = (struct l1_format){.ept = true,
					.top = l1->config.kind == L1_EPT_4 ? 4 : 5,
					.bits = 9,
					.entry_size = 8,
					.leaf_max = 3};
	else
		*f = l1->paging;
	l1->root[0] = page_new(l1);
	map_low(l1);
	map_big(l1, BIG, BIG_SIZE);
	if (l1_kind_high(l1->config.kind) && f->top > 3)
		map_big(l1, HIGH, HIGH_SIZE);
	build_second(l1);
	l1->pml = page_new(l1);
	l1->eptp_list = page_new(l1);
	put(l1, f, l1->eptp_list, l1_pointer(l1, 0));
	put(l1, f, l1->eptp_list + f->entry_size, l1_pointer(l1, 1));
	put(l1, f, l1->eptp_list + 2ull * f->entry_size, l1_pointer(l1, 1) | 1ull << 9);
}

struct l1 *l1_new(const struct l1_config *config, const struct lab_config *lab,
		  const struct builtin *guest)
{
	struct l1 *l1 = calloc(1, sizeof(*l1));
	struct umbra_regs regs;

	if (!l1)
		return NULL;
	l1->config = *config;
	l1->guest = guest;
	l1->cpu = lab_guest_cpu(lab);
	l1->random = config->seed;
	l1->next_page = OWN_AT;
	l1->slot = calloc(L1_SLOTS_MAX, sizeof(*l1->slot));
	if (!l1->slot || !add_memory(l1)) {
		l1_free(l1);
		return NULL;
	}
	builtin_regs(guest, 0, &regs);
	build_own(l1, regs.efer & UMBRA_EFER_LMA);
	if (config->kind != L1_PLAIN)
		build_nested(l1);
	memcpy(l1->own->umbra, l1->own->bare, l1->next_page - OWN_AT);
	return l1;
}

void l1_free(struct l1 *l1)
{
	if (!l1)
		return;
	if (l1->own && l1->own->bare)
		munmap(l1->own->bare, OWN_SIZE);
	if (l1->own && l1->own->umbra)
		munmap(l1->own->umbra, OWN_SIZE);
	free(l1->slot);
	free(l1);
}

const struct lab_memory *l1_memory(const struct l1 *l1, unsigned *count)
{
	*count = l1->memory_count;
	return l1->memory;
}
