/* SPDX-License-Identifier: MIT */
/*
 * paging.h - the hypervisor's own address space.
 */
#ifndef HV_PAGING_H
#define HV_PAGING_H

#include <stdbool.h>
#include <stdint.h>

/** Where physical memory is seen, up to paging_reach(). As in boot64.S and boot32.S. */
#ifdef __x86_64__
#define PAGING_DIRECT 0xffff800000000000ull
#else
#define PAGING_DIRECT 0x10000000ull
#endif

static inline void *paging_pointer(uint64_t physical)
{
	return (void *)(uintptr_t)(PAGING_DIRECT + physical);
}

/** paging_reach - end of the physical memory that the hypervisor can see. */
uint64_t paging_reach(void);

/** paging_levels - of the tables that are in use: 3, 4 or 5. */
unsigned paging_levels(void);
/**
 * paging_table_bytes - room that paging_move() needs for tables of a machine whose memory
 * ends at @top.
 */
uint64_t paging_table_bytes(uint64_t top);
/**
 * paging_move - copy the program to physical @base + 1 MiB, make tables at @tables that show
 * it there, and use them. The program does not notice. @top: end of physical memory.
 */
void paging_move(uint64_t base, uint64_t tables, uint64_t top);
/** paging_image_bytes - of the program, from 1 MiB on, stacks and variables included. */
uint64_t paging_image_bytes(void);
/** paging_physical - of a variable of the program. */
uint64_t paging_physical(const void *pointer);

#endif
