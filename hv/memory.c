/* SPDX-License-Identifier: MIT */
/*
 * memory.c - the map of physical memory and the block that the hypervisor keeps.
 *
 * One block, so that every question about it is one comparison. It lies below 4 GiB since
 * the library wants table pages there (a PAE root), and at the top of the RAM, so that the
 * guest's memory looks like that of a machine with less. A piece of that RAM region above
 * the block is not given to the guest either: memory_choose() ends the block where the
 * region ends, whole 2 MiB or not.
 */
#include "hv/memory.h"

#define BELOW_4G (1ull << 32)
#define ALIGN_2M (2 * MEMORY_MIB)
#define TYPE_RAM 1u
#define TYPE_RESERVED 2u

bool memory_add(struct memory *memory, uint64_t start, uint64_t length, uint32_t type)
{
	struct memory_region *region = &memory->region[memory->region_count];

	if (!length || start + length < start)
		return true;
	if (memory->region_count == MEMORY_REGIONS_MAX)
		return false;
	*region = (struct memory_region){start, start + length, type};
	memory->region_count++;
	return true;
}

void memory_limit(struct memory *memory, uint64_t end)
{
	for (unsigned i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->region[i];

		if (region->type != TYPE_RAM || region->end <= end)
			continue;
		region->end = region->start < end ? end : region->start;
	}
}

bool memory_choose(struct memory *memory, uint64_t size, uint64_t floor)
{
	bool found = false;

	for (unsigned i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->region[i];
		uint64_t end = region->end < BELOW_4G ? region->end : BELOW_4G;
		uint64_t start;

		if (region->type != TYPE_RAM || end < region->start + size)
			continue;
		start = (end - size) & ~(ALIGN_2M - 1);
		if (start < region->start || start < floor)
			continue;
		if (found && start < memory->own_start)
			continue;
		memory->own_start = start;
		memory->own_end = end;
		found = true;
	}
	return found;
}

uint64_t memory_run(const struct memory *memory, uint64_t start)
{
	for (unsigned i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->region[i];
		uint64_t end = region->end;

		if (region->type != TYPE_RAM || start < region->start || start >= end)
			continue;
		if (memory_is_own(memory, start, start + 1))
			return 0;
		if (start < memory->own_start && memory->own_start < end)
			end = memory->own_start;
		return end - start;
	}
	return 0;
}

bool memory_is_ram(const struct memory *memory, uint64_t start, uint64_t end)
{
	return end - start <= memory_run(memory, start);
}

uint64_t memory_ram_bytes(const struct memory *memory)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < memory->region_count; i++)
		if (memory->region[i].type == TYPE_RAM)
			bytes += memory->region[i].end - memory->region[i].start;
	return bytes;
}

unsigned memory_guest_map(const struct memory *memory, struct memory_region *out)
{
	unsigned count = 0;

	for (unsigned i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->region[i];

		if (region->start == region->end)
			continue;
		if (!memory_is_own(memory, region->start, region->end)) {
			out[count++] = *region;
			continue;
		}
		if (region->start < memory->own_start)
			out[count++] = (struct memory_region){region->start, memory->own_start,
							      region->type};
		out[count++] =
			(struct memory_region){memory->own_start, memory->own_end, TYPE_RESERVED};
		if (region->end > memory->own_end)
			out[count++] =
				(struct memory_region){memory->own_end, region->end, region->type};
	}
	return count;
}
