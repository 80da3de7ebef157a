/* SPDX-License-Identifier: MIT */
/*
 * memory.h - physical memory: whose it is and where the hypervisor sees it.
 *
 *	0          640K       1M                               own.base    top of RAM
 *	| guest    | devices  | guest ......................... | own       |
 *
 * The guest has the machine's memory at the machine's own addresses, but for one block
 * below the top of the RAM under 4 GiB. All that the hypervisor writes is in that block:
 *
 *	own.base      +1M            image end
 *	| (nothing)   | the program  | host tables | heap | pages |
 */
#ifndef HV_MEMORY_H
#define HV_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in umbra-hv64.ld and boot64.S, umbra-hv32.ld and boot32.S. */
#ifdef __x86_64__
#define MEMORY_IMAGE_BASE 0x40000000ul
#else
#define MEMORY_IMAGE_BASE 0xf0000000ul
#endif
#define MEMORY_MIB 0x100000ull
#define MEMORY_GIB 0x40000000ull
#define MEMORY_REGIONS_MAX 32

struct memory_region {
	uint64_t start, end; /* half open */
	uint32_t type; /* as E820: 1 is RAM */
};

/** struct memory - one machine's. */
struct memory {
	/** As the firmware tells, sorted as it gave them. */
	struct memory_region region[MEMORY_REGIONS_MAX];
	unsigned region_count;
	/** The hypervisor's block; empty before memory_choose(). */
	uint64_t own_start, own_end;
};

/** memory_add - one range of the firmware's map. False: too many. */
bool memory_add(struct memory *memory, uint64_t start, uint64_t length, uint32_t type);
/**
 * memory_choose - find a block of @size bytes (whole 2 MiB) for the hypervisor, as high as
 * possible below 4 GiB and not below @floor. False: there is none.
 */
bool memory_choose(struct memory *memory, uint64_t size, uint64_t floor);
/** memory_limit - forget RAM at and above @end. */
void memory_limit(struct memory *memory, uint64_t end);
/** memory_is_own - does [start, end) touch the hypervisor's block? */
static inline bool memory_is_own(const struct memory *memory, uint64_t start, uint64_t end)
{
	return start < memory->own_end && memory->own_start < end;
}
/** memory_run - how much RAM of the guest's begins at @start; 0: none. */
uint64_t memory_run(const struct memory *memory, uint64_t start);
/** memory_is_ram - is all of [start, end) RAM that the guest may have? */
bool memory_is_ram(const struct memory *memory, uint64_t start, uint64_t end);
/** memory_ram_bytes - RAM of the machine. */
uint64_t memory_ram_bytes(const struct memory *memory);
/**
 * memory_guest_map - the firmware's map as the guest is to see it: RAM of the hypervisor
 * becomes reserved. @out has room for MEMORY_REGIONS_MAX + 2. Returns how many.
 */
unsigned memory_guest_map(const struct memory *memory, struct memory_region *out);

#endif
