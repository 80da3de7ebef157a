/* SPDX-License-Identifier: MIT */
/*
 * builtin.c - builds the built-in guest.
 *
 *	guest-physical               what
 *	0          .. 0xa0000        RAM
 *	0xa0000    .. 0xc0000        nothing (a VGA window, MMIO)
 *	0xc0000    .. 0x100000       ROM: a read-only slot
 *	0x100000   .. 0x1000000      RAM: tables from 4 MiB, data from 8 MiB
 *	0x40000000 .. 0x80000000     RAM, 1 GiB, mostly untouched
 *	0x140000000 .. +8 MiB        RAM beyond 4 GiB, where the host can map it
 *
 * Tables, for a mode whose root has level T: one table LEAVES (level 1) holds
 * each combination of a leaf's bits. A table of level 2 refers to it through
 * each combination of an upper entry's bits, and holds the 2M (4M) leaves. Each
 * higher level has a table that refers to a smaller such tree through each
 * combination, and its own large leaves, up to the root:
 *
 *	root -> [variant of entry]* -> small tree (1 table per level) -> LEAVES
 *	     -> main tree           -> [variant of entry]* -----------> LEAVES
 *
 * The root refers to itself as well, and a window maps the low 16 MiB. Bits are
 * written here as the manuals' tables have them (SDM 3A 4.3-4.5), without
 * looking at core/: the guest is software that neither machine knows.
 *
 * Invariants: data pages are never tables; the same table may be reached by
 * many paths; nothing but [RAM] ever holds a table.
 */
#define _GNU_SOURCE /* memfd_create */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/viewpool.h"
#include "lab/builtin.h"

#define P (1ull << 0)
#define W (1ull << 1)
#define U (1ull << 2)
#define PCD (1ull << 4)
#define A (1ull << 5)
#define D (1ull << 6)
#define PS (1ull << 7) /* PAT in a 4K leaf */
#define G (1ull << 8)
#define AVAIL (1ull << 9)
#define PAT_LARGE (1ull << 12)
#define NX (1ull << 63)
#define KEY(n) ((uint64_t)(n) << 59)

#define TABLES 0x400000ull
#define TABLES_END 0x800000ull
#define DATA 0x800000ull
#define DATA_END 0x1000000ull
#define ROM 0xc0000ull
#define MMIO 0xa0000ull
#define BIG 0x40000000ull
#define BIG_SIZE 0x40000000ull
#define HIGH 0x140000000ull
#define HIGH_SIZE 0x800000ull
#define LOW_WINDOW DATA_END

#define PAGES_MAX 16384
#define MEMORY_COUNT 5

/** struct store - what the memories hold at first. */
struct store {
	int file[MEMORY_COUNT];
	uint8_t *bytes[MEMORY_COUNT];
	struct viewpool pool[MEMORY_COUNT];
	unsigned count;
};

struct builtin {
	struct builtin_config config;
	struct lab_memory memory[MEMORY_COUNT];
	unsigned memory_count;
	struct store *store;
	bool own_store; /* else it is that of the guest to be like */
	struct builtin_page *page;
	unsigned page_count;
	/** Format: levels, bits per index, entry size, first bit of the index. */
	unsigned top, bits, entry_size;
	bool has_nx, has_keys, has_large;
	uint64_t root, next_table, next_data;
	uint64_t window;
	uint64_t leaves, single;
	/** Entries on the way to the window: all of [path, path_end) of one table
	 * and some others. */
	uint64_t window_tables, window_tables_end;
	uint64_t path, path_end, path_more[UMBRA_LEVEL_MAX];
	uint64_t roots[4];
	unsigned root_count;
};

const char *builtin_mode_name(enum builtin_mode mode)
{
	static const char *const names[BUILTIN_MODES] = {"unpaged", "32", "32pse", "pae", "4", "5"};

	return mode < BUILTIN_MODES ? names[mode] : "?";
}

/* ---- memory ----
 *
 * What all guests begin with lies in files without a name, of which each has private
 * views: another guest costs its tables and the pages that it writes.
 */

static bool add_memory(struct builtin *b, uint64_t base, uint64_t size, bool readonly)
{
	const unsigned i = b->memory_count++;
	struct store *store = b->store;
	void *bytes;

	b->memory[i] = (struct lab_memory){.base = {base}, .size = size, .readonly = readonly};
	if (!b->own_store)
		return true;
	store->file[i] = memfd_create("guest", MFD_CLOEXEC);
	if (store->file[i] < 0)
		return false;
	store->count++;
	if (ftruncate(store->file[i], (off_t)size))
		return false;
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, store->file[i],
		     0);
	if (bytes == MAP_FAILED)
		return false;
	/* Filled before anybody asks for a view. */
	b->memory[i].bare = store->bytes[i] = bytes;
	viewpool_open(&store->pool[i], store->file[i], 0, size, bytes);
	return true;
}

static void store_free(struct builtin *b)
{
	struct store *store = b->store;

	for (unsigned i = 0; i < store->count; i++) {
		if (store->bytes[i]) {
			viewpool_close(&store->pool[i]);
			munmap(store->bytes[i], b->memory[i].size);
		}
		close(store->file[i]);
	}
	free(store);
}

/* From the files themselves to views of them. */
static bool add_views(struct builtin *b)
{
	for (unsigned i = 0; i < b->memory_count; i++) {
		struct lab_memory *m = &b->memory[i];

		m->bare = viewpool_get(&b->store->pool[i]);
		m->umbra = viewpool_get(&b->store->pool[i]);
		if (!m->bare || !m->umbra)
			return false;
	}
	return true;
}

static void *at(const struct builtin *b, uint64_t gpa)
{
	for (unsigned i = 0; i < b->memory_count; i++) {
		const struct lab_memory *m = &b->memory[i];

		if (gpa - m->base.v < m->size)
			return (uint8_t *)m->bare + (gpa - m->base.v);
	}
	abort();
}

/* Bytes that tell where they are: each 8 bytes hold a hash of their address. */
static void fill(struct builtin *b, uint64_t gpa, uint64_t size)
{
	uint64_t *to = at(b, gpa);

	for (uint64_t i = 0; i < size / 8; i++)
		to[i] = (gpa + i * 8 + 1) * 0x9e3779b97f4a7c15ull;
}

static void fill_all(struct builtin *b)
{
	fill(b, 0x1000, MMIO - 0x1000);
	fill(b, ROM, 0x100000 - ROM);
	fill(b, 0x100000, 0x100000);
	fill(b, DATA, DATA_END - DATA);
	for (uint64_t offset = 0; offset < BIG_SIZE; offset += 0x1fff000)
		fill(b, BIG + offset, 2 * UMBRA_PAGE_SIZE);
	if (b->config.high)
		fill(b, HIGH, HIGH_SIZE);
}

/* ---- tables ---- */

static unsigned shift_of(const struct builtin *b, unsigned level)
{
	return UMBRA_PAGE_SHIFT + b->bits * (level - 1);
}

static uint64_t table_new(struct builtin *b)
{
	uint64_t gpa = b->next_table;

	if (gpa >= TABLES_END)
		abort();
	b->next_table += UMBRA_PAGE_SIZE;
	memset(at(b, gpa), 0, UMBRA_PAGE_SIZE);
	return gpa;
}

static void put(struct builtin *b, uint64_t table, unsigned index, uint64_t entry)
{
	uint8_t *to = at(b, table + (uint64_t)index * b->entry_size);

	memcpy(to, &entry, b->entry_size);
}

static void page_add(struct builtin *b, uint64_t gva, unsigned shift, bool data)
{
	const unsigned width = b->top == 5 ? 57 : b->top == 4 ? 48 : 32;

	if (b->page_count == PAGES_MAX)
		return;
	if (width > 32)
		gva = (uint64_t)((int64_t)(gva << (64 - width)) >> (64 - width));
	b->page[b->page_count++] = (struct builtin_page){gva, (uint8_t)shift, data};
}

/* A frame for a leaf of size 1 << @shift: data pages in turn. */
static uint64_t frame(struct builtin *b, unsigned shift)
{
	uint64_t size = 1ull << shift;

	if (shift >= 30)
		return BIG;
	b->next_data = (b->next_data + size - 1) & -size;
	if (b->next_data + size > DATA_END)
		b->next_data = (DATA + size - 1) & -size;
	b->next_data += size;
	return b->next_data - size;
}

static uint64_t reserved_address(const struct builtin *b)
{
	unsigned m = b->config.cpu.maxphyaddr;

	return b->entry_size == 8 && m < 52 ? 1ull << m : 0;
}

/* What upper entries look like; 0 ends. Present unless said. */
static unsigned upper_variants(const struct builtin *b, unsigned level, uint64_t *to)
{
	unsigned n = 0;
	const bool wide = b->entry_size == 8;

	to[n++] = P | W | U;
	if (b->top == 3 && level == 3) {
		/* PDPTEs: no rights, and reserved bits are refused at load. */
		to[n++] = P | PCD | AVAIL;
		return n;
	}
	to[n++] = P | W;
	to[n++] = P | U;
	to[n++] = P;
	to[n++] = P | W | U | A;
	to[n++] = P | U | A | AVAIL | D; /* D is ignored here */
	to[n++] = P | W | U | PCD | (level <= 3 ? G : 0);
	to[n++] = W | U | A; /* not present */
	if (b->has_nx) {
		to[n++] = P | W | U | NX;
		to[n++] = P | U | A | NX;
	}
	if (reserved_address(b))
		to[n++] = P | W | U | reserved_address(b);
	if (wide && level >= 4) {
		to[n++] = P | W | U | PS; /* always reserved */
		to[n++] = P | W | U | G; /* reserved on AMD */
	}
	if (b->has_keys)
		to[n++] = P | W | U | KEY(5); /* ignored here */
	else if (wide)
		to[n++] = P | W | U | 1ull << 55; /* reserved in PAE */
	if (!wide && !b->has_large)
		to[n++] = P | W | U | PS; /* ignored without PSE */
	return n;
}

/* Every leaf, in [0..count) of a table at @level, its pages listed when @list. */
struct leaves {
	struct builtin *b;
	uint64_t table, gva;
	unsigned level, index, limit;
	bool list;
};

static void leaf_at(struct leaves *l, uint64_t frame_gpa, uint64_t bits, bool data)
{
	struct builtin *b = l->b;
	unsigned shift = shift_of(b, l->level);

	if (l->index >= l->limit)
		return;
	put(b, l->table, l->index, frame_gpa | bits | (l->level > 1 ? PS : 0));
	if (l->list)
		page_add(b, l->gva + ((uint64_t)l->index << shift), shift, data);
	l->index++;
}

static void leaf(struct leaves *l, uint64_t bits)
{
	leaf_at(l, frame(l->b, shift_of(l->b, l->level)), bits, true);
}

static void leaf_rights(struct leaves *l)
{
	static const uint64_t marks[] = {0, A, A | D};
	const unsigned nx_count = l->b->has_nx ? 2 : 1;

	for (unsigned nx = 0; nx < nx_count; nx++) {
		for (unsigned wu = 0; wu < 4; wu++) {
			uint64_t bits = (wu & 1 ? W : 0) | (wu & 2 ? U : 0) | (nx ? NX : 0);

			for (unsigned mark = 0; mark < 3; mark++)
				leaf(l, P | bits | marks[mark]);
			leaf(l, bits | A | D); /* not present */
			leaf(l, P | bits | G);
		}
	}
}

static void leaf_places(struct leaves *l)
{
	const uint64_t size = 1ull << shift_of(l->b, l->level);
	static const uint64_t rights[] = {P | W | U, P | U | A, P | W, P | A | D};

	for (unsigned i = 0; i < 4; i++) {
		if (l->level == 1) {
			leaf_at(l, ROM + i * UMBRA_PAGE_SIZE, rights[i], true);
			leaf_at(l, MMIO + i * UMBRA_PAGE_SIZE, rights[i], true);
		} else if (l->level == 2) {
			/* RAM, MMIO and ROM in one page; and nothing at all. */
			leaf_at(l, 0, rights[i], true);
			leaf_at(l, 0xfec00000 & -size, rights[i], true);
		}
		if (l->level == 2 || l->level == 1)
			leaf_at(l, BIG + (i + 1) * size, rights[i], true);
		if (l->b->config.high && l->b->entry_size == 8 && l->level <= 2)
			leaf_at(l, HIGH + i * (l->level == 1 ? size : 0), rights[i], true);
	}
	/* Where no table of 4 levels reaches. */
	if (l->b->config.high && l->b->config.cpu.maxphyaddr > 48 && l->b->entry_size == 8)
		leaf_at(l, 1ull << 48, P | W | U, true);
}

static void leaf_odd(struct leaves *l)
{
	const struct builtin *b = l->b;

	leaf(l, P | W | U | PCD | AVAIL | (l->level == 1 ? PS : PAT_LARGE));
	if (reserved_address(b)) {
		leaf(l, P | W | U | reserved_address(b));
		leaf(l, P | W | U | 1ull << 51);
	}
	for (unsigned key = 1; key < 16 && b->has_keys; key += l->level == 1 ? 1 : 5) {
		leaf(l, P | W | U | A | KEY(key));
		leaf(l, P | W | KEY(key) | (key & 1 ? D | A : 0));
		leaf(l, P | U | KEY(key));
	}
	if (b->entry_size == 8 && !b->has_keys)
		leaf(l, P | W | U | 1ull << 60);
	if (l->level > 1 && b->entry_size == 8)
		leaf(l, P | W | U | 1ull << 13); /* reserved in large leaves */
	if (l->level > 1 && b->entry_size == 4) {
		leaf(l, P | W | U | 1ull << 21); /* reserved, PSE-40 */
		if (b->config.high)
			leaf_at(l, (uint64_t)(HIGH & 0xffffffff) & -(1ull << 22),
				P | W | U | HIGH >> 32 << 13, true); /* PSE-36 */
	}
}

static void leaves_all(struct leaves *l)
{
	leaf_rights(l);
	leaf_places(l);
	leaf_odd(l);
}

/* The window and the entry of a table that refers to itself. */
static void window(struct builtin *b, uint64_t table, unsigned index)
{
	const unsigned shift = shift_of(b, 2);
	const unsigned count = (unsigned)(LOW_WINDOW >> shift);

	b->window = (uint64_t)index << shift;
	b->path = table + (uint64_t)index * b->entry_size;
	b->path_end = b->path + (uint64_t)count * b->entry_size;
	for (unsigned i = 0; i < count; i++) {
		uint64_t gpa = (uint64_t)i << shift;

		if (b->has_large) {
			put(b, table, index + i, gpa | P | W | PS);
			continue;
		}

		uint64_t small = table_new(b);

		b->window_tables = i ? b->window_tables : small;
		b->window_tables_end = small + UMBRA_PAGE_SIZE;
		for (unsigned k = 0; k < 1u << b->bits; k++)
			put(b, small, k, (gpa + k * UMBRA_PAGE_SIZE) | P | W);
		put(b, table, index + i, small | P | W);
	}
	/* The tables, and RAM, through it. */
	for (uint64_t gpa = TABLES; gpa < TABLES + 16 * UMBRA_PAGE_SIZE; gpa += UMBRA_PAGE_SIZE)
		page_add(b, b->window + gpa, UMBRA_PAGE_SHIFT, false);
	page_add(b, b->window + DATA, shift, true);
	page_add(b, b->window + 0x80000, 17, true); /* RAM to MMIO */
	page_add(b, b->window + 0xbf000, 13, true); /* MMIO to ROM */
}

/* The pages below one upper entry, whose tree holds LEAVES first. */
static void list_leaves(struct builtin *b, uint64_t gva, unsigned step)
{
	unsigned shift = shift_of(b, 1);

	for (unsigned i = 0; i < 100; i += step)
		page_add(b, gva + ((uint64_t)i << shift), shift, true);
}

/* Level 2: LEAVES through each variant, then large leaves. */
static uint64_t build_main(struct builtin *b)
{
	uint64_t variant[32], table = table_new(b);
	unsigned count = upper_variants(b, 2, variant), shift = shift_of(b, 2);
	struct leaves large = {
		.b = b,
		.table = table,
		.level = 2,
		.index = 32,
		.limit = 200,
		.list = true,
	};

	for (unsigned i = 0; i < count; i++) {
		put(b, table, i, b->leaves | variant[i]);
		list_leaves(b, (uint64_t)i << shift, 1);
	}
	if (b->has_large)
		leaves_all(&large);
	b->single = table_new(b);
	for (unsigned i = 0; i < BUILTIN_SINGLE_COUNT; i++)
		put(b, b->single, i, builtin_leaf(b, i * 0x9e3779b97f4a7c15ull));
	put(b, table, 30, b->single | P | W | U);
	for (unsigned i = 0; i < BUILTIN_SINGLE_COUNT; i++)
		page_add(b, (30ull << shift) + i * UMBRA_PAGE_SIZE, UMBRA_PAGE_SHIFT, true);
	/* Nothing at all. */
	page_add(b, 31ull << shift, shift, true);
	window(b, table, 200);
	return table;
}

/* A tree whose root is of @level, with one of each below. */
static uint64_t build_small(struct builtin *b, unsigned level)
{
	uint64_t table = table_new(b);

	if (level == 2) {
		put(b, table, 0, b->leaves | P | W | U);
		if (b->has_large)
			put(b, table, 1, frame(b, shift_of(b, 2)) | P | W | U | PS);
		put(b, table, 2, W | U);
		return table;
	}
	put(b, table, 0, build_small(b, level - 1) | P | W | U);
	return table;
}

/* Level 3 and above: main tree at 0, small trees through each variant. */
static uint64_t build_upper(struct builtin *b, unsigned level, uint64_t main)
{
	uint64_t variant[32], table = table_new(b), small = build_small(b, level - 1);
	unsigned count = upper_variants(b, level, variant), shift = shift_of(b, level);
	struct leaves large = {
		.b = b, .table = table, .level = 3, .index = 300, .limit = 400, .list = true};

	put(b, table, 0, main | (b->top == 3 ? P : P | W | U));
	b->path_more[level - 1] = table;
	for (unsigned i = 0; i < count; i++) {
		/* Half of them in the upper half of the addresses. */
		unsigned index = b->top == 3 ? 1 + i : i & 1 ? 256 + i : 1 + i;
		uint64_t gva = (uint64_t)index << shift;

		/* PDPTEs of PAE have no rights: those bits are reserved. */
		put(b, table, index, small | (b->top == 3 ? variant[i] & ~(W | U) : variant[i]));
		list_leaves(b, gva, level == 3 ? 3 : 7);
		page_add(b, gva + (1ull << shift_of(b, 2)), shift_of(b, 2), true);
		page_add(b, gva + (2ull << shift_of(b, 2)), shift_of(b, 2), true);
	}
	if (level == 3 && b->top > 3)
		leaves_all(&large);
	return table;
}

/* Another root with the same entries; for PAE one whose PDPTEs have reserved bits. */
static void build_roots(struct builtin *b)
{
	uint64_t copy = table_new(b);

	memcpy(at(b, copy), at(b, b->root), UMBRA_PAGE_SIZE);
	b->roots[b->root_count++] = b->root;
	b->roots[b->root_count++] = copy;
	if (b->top != 3)
		return;
	b->roots[b->root_count++] = copy + 64;
	memcpy(at(b, copy + 64), at(b, b->root), 32);
	/* Refused where PDPTEs are registers, a reserved bit elsewhere. */
	b->roots[b->root_count++] = copy + 128;
	memcpy(at(b, copy + 128), at(b, b->root), 32);
	put(b, copy + 128, 2, b->leaves | P | W);
}

static void build_tables(struct builtin *b)
{
	struct leaves leaves = {.b = b, .level = 1, .limit = 1u << b->bits};
	uint64_t table;

	leaves.table = b->leaves = table_new(b);
	leaves_all(&leaves);
	table = build_main(b);
	if (b->top == 3 || b->top == 2)
		put(b, table, 250, table | P | W); /* itself */
	if (b->top == 2)
		page_add(b, (250ull << 22) + (250ull << 12), UMBRA_PAGE_SHIFT, false);
	if (b->top == 3)
		page_add(b, (250ull << 21) + (250ull << 12), UMBRA_PAGE_SHIFT, false);
	for (unsigned level = 3; level <= b->top; level++)
		table = build_upper(b, level, table);
	b->root = table;
	build_roots(b);
	if (b->top < 4)
		return;
	put(b, table, 500, table | P | W); /* itself: entries as pages, at every depth */
	for (unsigned depth = 1; depth <= b->top; depth++) {
		uint64_t gva = 0;

		for (unsigned i = 0; i < depth; i++)
			gva |= 500ull << shift_of(b, b->top - i);
		page_add(b, gva, UMBRA_PAGE_SHIFT, false);
	}
}

static void build_unpaged(struct builtin *b)
{
	static const struct builtin_page pages[] = {
		{0x1000, 12, true},     {0x9f000, 14, true},    {MMIO, 17, true},
		{0xbf000, 13, true},    {ROM, 18, true},        {0xff000, 13, true},
		{DATA, 24, true},       {0x1fff000, 13, true},  {BIG, 30, true},
		{BIG, 13, true},        {0x7ffff000, 13, true}, {0xfee00000, 12, true},
		{0xfffff000, 13, true},
	};

	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		b->page[b->page_count++] = pages[i];
}

struct builtin *builtin_new(const struct builtin_config *config)
{
	struct builtin *b = calloc(1, sizeof(*b));
	bool ok;

	if (!b)
		return NULL;
	b->config = *config;
	/* One without the same memories is of no use. */
	b->own_store = !config->like || (config->high && !config->like->config.high);
	b->store = b->own_store ? calloc(1, sizeof(*b->store)) : config->like->store;
	b->page = calloc(PAGES_MAX, sizeof(*b->page));
	b->next_table = TABLES;
	b->next_data = DATA;
	b->top = config->mode == BUILTIN_5     ? 5
		 : config->mode == BUILTIN_4   ? 4
		 : config->mode == BUILTIN_PAE ? 3
					       : 2;
	b->entry_size = b->top == 2 ? 4 : 8;
	b->bits = b->top == 2 ? 10 : 9;
	b->has_nx = b->top > 2 && config->cpu.features & UMBRA_CPU_NX;
	b->has_keys = b->top > 3;
	b->has_large = config->mode != BUILTIN_32;
	ok = b->page && b->store && add_memory(b, 0, MMIO, false) &&
	     add_memory(b, ROM, 0x100000 - ROM, true) &&
	     add_memory(b, 0x100000, DATA_END - 0x100000, false) &&
	     add_memory(b, BIG, BIG_SIZE, false) &&
	     (!config->high || add_memory(b, HIGH, HIGH_SIZE, false));
	if (!ok) {
		builtin_free(b);
		return NULL;
	}
	if (b->own_store)
		fill_all(b);
	for (unsigned i = 0; i < b->memory_count; i++)
		b->memory[i].bare = NULL;
	if (!add_views(b)) {
		builtin_free(b);
		return NULL;
	}
	if (config->mode == BUILTIN_UNPAGED)
		build_unpaged(b);
	else
		build_tables(b);
	/* TABLES is in the third memory. */
	memcpy((uint8_t *)b->memory[2].umbra + (TABLES - b->memory[2].base.v), at(b, TABLES),
	       b->next_table - TABLES);
	return b;
}

void builtin_free(struct builtin *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->memory_count; i++) {
		/* While it is being filled, bare is the store's. */
		if (b->memory[i].bare && b->memory[i].bare != b->store->bytes[i])
			viewpool_put(&b->store->pool[i], b->memory[i].bare);
		if (b->memory[i].umbra)
			viewpool_put(&b->store->pool[i], b->memory[i].umbra);
	}
	if (b->own_store && b->store)
		store_free(b);
	free(b->page);
	free(b);
}

const struct lab_memory *builtin_memory(const struct builtin *b, unsigned *count)
{
	*count = b->memory_count;
	return b->memory;
}

const struct builtin_page *builtin_pages(const struct builtin *b, unsigned *count)
{
	*count = b->page_count;
	return b->page;
}

void builtin_tables(const struct builtin *b, umbra_gpa *base, uint64_t *size)
{
	base->v = TABLES;
	*size = b->next_table - TABLES;
}

uint64_t builtin_window(const struct builtin *b)
{
	return b->config.mode == BUILTIN_UNPAGED ? 0 : b->window;
}

unsigned builtin_entry_size(const struct builtin *b)
{
	return b->config.mode == BUILTIN_UNPAGED ? 0 : b->entry_size;
}

bool builtin_is_path(const struct builtin *b, umbra_gpa gpa)
{
	uint64_t entry = gpa.v & -(uint64_t)b->entry_size;

	if (entry >= b->path && entry < b->path_end)
		return true;
	/* Both roots, and the tables that the window's small ones are in. */
	for (unsigned i = 0; i < b->root_count; i++) {
		if (entry == b->roots[i])
			return true;
	}
	for (unsigned i = 0; i < UMBRA_LEVEL_MAX; i++) {
		if (entry == b->path_more[i])
			return true;
	}
	return !b->has_large && entry >= b->window_tables && entry < b->window_tables_end;
}

unsigned builtin_roots(const struct builtin *b, uint64_t roots[4])
{
	memcpy(roots, b->roots, sizeof(b->roots));
	return b->root_count;
}

void builtin_single(const struct builtin *b, umbra_gpa *table, uint64_t *gva)
{
	table->v = b->single;
	*gva = 30ull << shift_of(b, 2);
}

uint64_t builtin_leaf(const struct builtin *b, uint64_t random)
{
	const uint64_t frames = (DATA_END - DATA) / UMBRA_PAGE_SIZE;
	uint64_t bits = random & (W | U | A | D | G | PCD), gpa = DATA;

	bits |= random >> 16 & 7 ? P : 0;
	bits |= b->has_nx && random >> 20 & 1 ? NX : 0;
	bits |= b->has_keys && random >> 21 & 1 ? KEY(random >> 22 & 15) : 0;
	gpa += (random >> 32) % frames * UMBRA_PAGE_SIZE;
	if ((random >> 26 & 15) == 0)
		gpa = ROM + (random >> 32) % 16 * UMBRA_PAGE_SIZE;
	else if ((random >> 26 & 15) == 1)
		gpa = MMIO + (random >> 32) % 16 * UMBRA_PAGE_SIZE;
	return gpa | bits;
}

/* ---- registers ---- */

#define CR4_KEYS (UMBRA_CR4_PKE | UMBRA_CR4_PKS)
#define CR4_SM (UMBRA_CR4_SMEP | UMBRA_CR4_SMAP)

struct variation {
	bool wp, nxe;
	uint64_t cr4;
	uint32_t pkru, pkrs;
};

static const struct variation variations[] = {
	{true, true, 0, 0, 0},
	{false, true, 0, 0, 0},
	{true, true, CR4_SM | UMBRA_CR4_PGE, 0, 0},
	{true, false, UMBRA_CR4_SMEP, 0, 0},
	{false, true, CR4_SM, 0, 0},
	{false, false, UMBRA_CR4_SMAP, 0, 0},
	{true, true, UMBRA_CR4_SMAP, 0, 0},
	/* Keys: AD of 1 5 9 13, WD of 2 6 10 14, both of 3 7 11 15; then others. */
	{true, true, CR4_KEYS, 0xe4e4e4e4, 0x1b1b1b1b},
	{false, true, CR4_KEYS | CR4_SM, 0xe4e4e4e4, 0xe4e4e4e4},
	/* Shadow stacks need WP. */
	{true, true, UMBRA_CR4_CET, 0, 0},
	{true, true, UMBRA_CR4_CET | CR4_KEYS | CR4_SM | UMBRA_CR4_PGE, 0xe4e4e4e4, 0x4e4e4e4e},
};

static uint64_t legal_cr4(const struct umbra_cpu *cpu)
{
	const uint32_t f = cpu->features;

	return (f & UMBRA_CPU_SMEP ? UMBRA_CR4_SMEP : 0) |
	       (f & UMBRA_CPU_SMAP ? UMBRA_CR4_SMAP : 0) | (f & UMBRA_CPU_PGE ? UMBRA_CR4_PGE : 0) |
	       (f & UMBRA_CPU_PKU ? UMBRA_CR4_PKE : 0) | (f & UMBRA_CPU_PKS ? UMBRA_CR4_PKS : 0) |
	       (f & UMBRA_CPU_SHSTK ? UMBRA_CR4_CET : 0);
}

static bool makes_sense(const struct builtin *b, const struct variation *v)
{
	const enum builtin_mode mode = b->config.mode;
	const uint64_t legal = legal_cr4(&b->config.cpu);

	if (mode == BUILTIN_UNPAGED)
		return v == &variations[0];
	if (!v->nxe && b->top == 2)
		return true;
	/* Keys need long mode, and the bits must exist. */
	if (v->cr4 & CR4_KEYS && (b->top < 4 || !(legal & UMBRA_CR4_PKE)))
		return false;
	return !(v->cr4 & UMBRA_CR4_CET) || legal & UMBRA_CR4_CET;
}

static void regs_of(const struct builtin *b, const struct variation *v, struct umbra_regs *regs)
{
	const enum builtin_mode mode = b->config.mode;

	*regs = (struct umbra_regs){
		.cr0 = UMBRA_CR0_PE | (v->wp ? UMBRA_CR0_WP : 0),
		.cr3 = b->root,
		.cr4 = v->cr4 & legal_cr4(&b->config.cpu),
		.efer = v->nxe && b->config.cpu.features & UMBRA_CPU_NX ? UMBRA_EFER_NXE : 0,
		.pkru = v->cr4 & UMBRA_CR4_PKE ? v->pkru : 0,
		.pkrs = v->cr4 & UMBRA_CR4_PKS && b->config.cpu.features & UMBRA_CPU_PKS ? v->pkrs
											 : 0,
	};
	if (mode == BUILTIN_UNPAGED)
		return;
	regs->cr0 |= UMBRA_CR0_PG;
	if (mode == BUILTIN_32_PSE)
		regs->cr4 |= UMBRA_CR4_PSE;
	if (mode >= BUILTIN_PAE)
		regs->cr4 |= UMBRA_CR4_PAE;
	if (mode >= BUILTIN_4)
		regs->efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (mode == BUILTIN_5)
		regs->cr4 |= UMBRA_CR4_LA57;
}

bool builtin_regs(const struct builtin *b, unsigned index, struct umbra_regs *regs)
{
	for (unsigned i = 0; i < sizeof(variations) / sizeof(variations[0]); i++) {
		if (!makes_sense(b, &variations[i]) || index--)
			continue;
		regs_of(b, &variations[i], regs);
		return true;
	}
	return false;
}
