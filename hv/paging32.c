/* SPDX-License-Identifier: MIT */
/*
 * paging32.c - the hypervisor's own tables on a 32-bit machine, with PAE.
 *
 *	MEMORY_IMAGE_BASE   the program, in 4 KiB pages: code may not be written, data not
 *	                    executed, nothing before it or behind it
 *	PAGING_DIRECT       physical memory in 2 MiB pages, not executable: 3.5 GiB of it
 *
 * Memory further up is out of reach, and no guest's. Nothing is at 0: no pointer to memory
 * is NULL.
 */
#include "hv/paging.h"
#include "hv/memory.h"

/* SDM 3A 4.4, the same for AMD. */
#define PRESENT (1ull << 0)
#define WRITABLE (1ull << 1)
#define LARGE (1ull << 7)
#define NO_EXECUTE (1ull << 63)
#define TABLES 6u /* the root, four directories, one table of the image */
#define IMAGE_MOST (2 * MEMORY_MIB)

extern char image_start[], image_writable[], image_end[];

/* Where the program is now: its physical address less MEMORY_IMAGE_BASE + what it has. */
static uint32_t image_offset;

unsigned paging_levels(void)
{
	return 3;
}

uint64_t paging_reach(void)
{
	return MEMORY_IMAGE_BASE - PAGING_DIRECT;
}

uint64_t paging_image_bytes(void)
{
	return (uint64_t)(image_end - (char *)(uintptr_t)(MEMORY_IMAGE_BASE + MEMORY_MIB));
}

uint64_t paging_physical(const void *pointer)
{
	return (uint32_t)((uintptr_t)pointer - MEMORY_IMAGE_BASE + image_offset);
}

uint64_t paging_table_bytes(uint64_t top)
{
	(void)top;
	return TABLES * 4096;
}

static void map_direct(uint64_t *const directory[4], uint64_t top)
{
	if (top > paging_reach())
		top = paging_reach();
	for (uint64_t at = 0; at < top; at += 2 * MEMORY_MIB) {
		const uint32_t seen = (uint32_t)(PAGING_DIRECT + at);

		directory[seen >> 30][seen >> 21 & 511] =
			at | PRESENT | WRITABLE | LARGE | NO_EXECUTE;
	}
}

/* All of it in one table: the linker script starts it at 1 MiB of a 2 MiB page. */
static void map_image(uint64_t *table, uint64_t base)
{
	for (char *at = image_start; at < image_end; at += 4096) {
		const uint32_t offset = (uint32_t)((uintptr_t)at - MEMORY_IMAGE_BASE);
		uint64_t rights = at < image_writable ? PRESENT : PRESENT | WRITABLE | NO_EXECUTE;

		table[offset >> 12 & 511] = (base + offset) | rights;
	}
}

void paging_move(uint64_t base, uint64_t tables, uint64_t top)
{
	uint64_t *const root = paging_pointer(tables), *const table = &root[512 * 5];
	uint64_t *const directory[4] = {&root[512], &root[512 * 2], &root[512 * 3], &root[512 * 4]};
	const uint32_t *from = (const uint32_t *)(uintptr_t)(MEMORY_IMAGE_BASE + MEMORY_MIB);
	uint32_t *to = paging_pointer(base + MEMORY_MIB);
	uint32_t words = (uint32_t)paging_image_bytes() / 4;

	for (unsigned i = 0; i < 512 * TABLES; i++)
		root[i] = 0;
	for (unsigned i = 0; i < 4; i++)
		root[i] = (tables + 4096 * (i + 1)) | PRESENT;
	map_direct(directory, top);
	map_image(table, base);
	directory[MEMORY_IMAGE_BASE >> 30][MEMORY_IMAGE_BASE >> 21 & 511] =
		(tables + 4096ull * 5) | PRESENT | WRITABLE;
	image_offset = (uint32_t)base;
	/* In one go: nothing may be written in between, not even the stack. */
	__asm__ volatile("cld; rep movsl; mov %3, %%cr3"
			 : "+S"(from), "+D"(to), "+c"(words)
			 : "r"((uint32_t)tables)
			 : "memory");
}
