/* SPDX-License-Identifier: MIT */
/*
 * mem.c - physical memory: a sorted list of RAM regions.
 *
 * Invariants: regions are sorted by base, do not overlap, and are never
 * removed before the whole memory goes. What no region covers reads as all
 * ones and swallows writes, as a bus without a device does.
 *
 * Entries are read and updated with the atomic operations of the host, because
 * other CPUs of the model may run in other threads and because the library
 * under test changes its tables while they do (H-58, H-124).
 */
#include "mem.h"

#include <stdlib.h>
#include <string.h>

struct model_mem *model_mem_new(void)
{
	return calloc(1, sizeof(struct model_mem));
}

void model_mem_free(struct model_mem *mem)
{
	if (!mem)
		return;
	free(mem->regions);
	free(mem);
}

/* Index of the first region whose base is above @hpa. */
static unsigned upper_bound(const struct model_mem *mem, uint64_t hpa)
{
	unsigned low = 0, high = mem->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (mem->regions[middle].base <= hpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool model_mem_add(struct model_mem *mem, umbra_hpa base, uint64_t size, void *bytes)
{
	unsigned at = upper_bound(mem, base.v);

	if (!size || (base.v | size) & (UMBRA_PAGE_SIZE - 1) || size > UINT64_MAX - base.v)
		return false;
	if (at && base.v - mem->regions[at - 1].base < mem->regions[at - 1].size)
		return false;
	if (at < mem->count && mem->regions[at].base - base.v < size)
		return false;
	if (mem->count == mem->room) {
		unsigned room = mem->room ? 2 * mem->room : 8;
		struct mem_region *regions = realloc(mem->regions, room * sizeof(*regions));

		if (!regions)
			return false;
		mem->regions = regions;
		mem->room = room;
	}
	memmove(&mem->regions[at + 1], &mem->regions[at],
		(mem->count - at) * sizeof(mem->regions[0]));
	mem->regions[at] = (struct mem_region){base.v, size, bytes};
	mem->count++;
	return true;
}

uint8_t *mem_find(const struct model_mem *mem, unsigned *hint, uint64_t hpa, size_t len)
{
	unsigned at = upper_bound(mem, hpa);
	const struct mem_region *r;
	uint64_t offset;

	if (!at)
		return NULL;
	r = &mem->regions[at - 1];
	offset = hpa - r->base;
	if (offset >= r->size || len > r->size - offset)
		return NULL;
	*hint = at - 1;
	return r->bytes + offset;
}

void model_mem_zeros(struct model_mem *mem)
{
	mem->zeros = true;
}

void *model_mem_at(const struct model_mem *mem, umbra_hpa hpa, size_t len)
{
	unsigned hint = 0;

	return mem_ptr(mem, &hint, hpa.v, len);
}

bool mem_set_bits(const struct model_mem *mem, unsigned *hint, uint64_t hpa, unsigned size,
		  uint64_t old, uint64_t bits)
{
	uint8_t *p = mem_ptr(mem, hint, hpa, size);
	uint64_t now = old;
	uint32_t now32 = (uint32_t)old;
	bool done = !p;

	/* The same entry may serve at two levels of one walk, so that the bits to
	 * set are there already: that is no change. */
	while (!done && !((now ^ old) & ~bits)) {
		if (size == 4) {
			done = __atomic_compare_exchange_n((uint32_t *)p, &now32,
							   now32 | (uint32_t)bits, false,
							   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
			now = now32;
		} else {
			done = __atomic_compare_exchange_n((uint64_t *)p, &now, now | bits, false,
							   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		}
	}
	return done;
}

void mem_read(const struct model_mem *mem, unsigned *hint, uint64_t hpa, void *to, size_t len)
{
	const uint8_t *p = mem_ptr(mem, hint, hpa, len);

	if (p)
		memcpy(to, p, len);
	else
		memset(to, mem->zeros ? 0 : 0xff, len);
}

void mem_write(const struct model_mem *mem, unsigned *hint, uint64_t hpa, const void *from,
	       size_t len)
{
	uint8_t *p = mem_ptr(mem, hint, hpa, len);

	if (p)
		memcpy(p, from, len);
}
