/* SPDX-License-Identifier: MIT */
/*
 * paging64.c - the hypervisor's own tables on a 64-bit machine.
 *
 *	MEMORY_IMAGE_BASE   the program, in 4 KiB pages: code may not be written, data not
 *	                    executed, nothing before it or behind it
 *	PAGING_DIRECT       physical memory in 2 MiB pages, not executable
 *
 * The guest's tables never lead here: what runs the guest is the library's.
 */
#include "hv/paging.h"
#include "hv/cpu.h"
#include "hv/memory.h"

/* SDM 3A 4.5, the same for AMD. */
#define PRESENT (1ull << 0)
#define WRITABLE (1ull << 1)
#define LARGE (1ull << 7)
#define NO_EXECUTE (1ull << 63)
#define CR4_LA57 (1ul << 12)

extern char image_start[], image_writable[], image_end[];

/* Where the program is now: its physical address less MEMORY_IMAGE_BASE + what it has. */
static uint64_t image_offset;

unsigned paging_levels(void)
{
	return cpu_read_cr4() & CR4_LA57 ? 5 : 4;
}

uint64_t paging_reach(void)
{
	return 1ull << 46; /* half of what lies above PAGING_DIRECT */
}

uint64_t paging_image_bytes(void)
{
	return (uint64_t)(image_end - (char *)(MEMORY_IMAGE_BASE + MEMORY_MIB));
}

uint64_t paging_physical(const void *pointer)
{
	return (uintptr_t)pointer - MEMORY_IMAGE_BASE + image_offset;
}

uint64_t paging_table_bytes(uint64_t top)
{
	uint64_t gib = (top + MEMORY_GIB - 1) / MEMORY_GIB;

	/* Roots, the two sides of level 4 and 3, the image's directory and table. */
	return (8 + gib + (gib >> 9)) * 4096;
}

struct build {
	uint64_t next; /* physical, free */
};

static uint64_t *new_table(struct build *build)
{
	uint64_t *table = paging_pointer(build->next);

	for (unsigned i = 0; i < 512; i++)
		table[i] = 0;
	build->next += 4096;
	return table;
}

static uint64_t entry_of(const uint64_t *table)
{
	return ((uintptr_t)table - PAGING_DIRECT) | PRESENT | WRITABLE;
}

/* The table below entry @index of @table. */
static uint64_t *below(struct build *build, uint64_t *table, unsigned index)
{
	if (!(table[index] & PRESENT))
		table[index] = entry_of(new_table(build));
	return paging_pointer(table[index] & ~0xfffull);
}

static void map_direct(struct build *build, uint64_t *level4, uint64_t top)
{
	for (uint64_t at = 0; at < top; at += 2 * MEMORY_MIB) {
		uint64_t *level3 = below(build, level4, 256 + (unsigned)(at >> 39));
		uint64_t *level2 = below(build, level3, at >> 30 & 511);

		level2[at >> 21 & 511] = at | PRESENT | WRITABLE | LARGE | NO_EXECUTE;
	}
}

static void map_image(struct build *build, uint64_t *level4, uint64_t base)
{
	uint64_t *level3 = below(build, level4, 0);
	uint64_t *level2 = below(build, level3, MEMORY_IMAGE_BASE >> 30);

	for (char *at = image_start; at < image_end; at += 4096) {
		uintptr_t offset = (uintptr_t)at - MEMORY_IMAGE_BASE;
		uint64_t *level1 = below(build, level2, (unsigned)(offset >> 21));
		uint64_t rights = at < image_writable ? PRESENT : PRESENT | WRITABLE | NO_EXECUTE;

		level1[offset >> 12 & 511] = (base + offset) | rights;
	}
}

void paging_move(uint64_t base, uint64_t tables, uint64_t top)
{
	struct build build = {.next = tables};
	uint64_t *level5 = new_table(&build);
	uint64_t *level4 = new_table(&build);
	uint64_t root = (uintptr_t)(paging_levels() == 5 ? level5 : level4) - PAGING_DIRECT;
	const uint64_t *from = (const uint64_t *)(MEMORY_IMAGE_BASE + MEMORY_MIB);
	uint64_t *to = paging_pointer(base + MEMORY_MIB);
	uint64_t words = paging_image_bytes() / 8;

	level5[0] = level5[511] = entry_of(level4);
	map_direct(&build, level4, top);
	map_image(&build, level4, base);
	image_offset = base;
	/* In one go: nothing may be written in between, not even the stack. */
	__asm__ volatile("cld; rep movsq; mov %3, %%cr3"
			 : "+S"(from), "+D"(to), "+c"(words)
			 : "r"(root)
			 : "memory");
}
