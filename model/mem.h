/* SPDX-License-Identifier: MIT */
/*
 * mem.h - physical memory inside the model: typed reads and locked updates.
 *
 * A hint is the index of the region that answered last; each CPU has its own,
 * so CPUs in different threads share the memory without sharing the hint.
 */
#ifndef MODEL_MEM_H
#define MODEL_MEM_H

#include "model.h"

struct mem_region {
	uint64_t base, size;
	uint8_t *bytes;
};

struct model_mem {
	struct mem_region *regions; /* sorted by base */
	unsigned count, room;
	bool zeros; /* what no region covers reads as zeros */
};

/** mem_find - @len bytes of RAM at @hpa or NULL; the slow path of mem_ptr(). */
uint8_t *mem_find(const struct model_mem *mem, unsigned *hint, uint64_t hpa, size_t len);

static inline uint8_t *mem_ptr(const struct model_mem *mem, unsigned *hint, uint64_t hpa,
			       size_t len)
{
	if (*hint < mem->count) {
		const struct mem_region *r = &mem->regions[*hint];
		uint64_t offset = hpa - r->base;

		if (offset < r->size && len <= r->size - offset)
			return r->bytes + offset;
	}
	return mem_find(mem, hint, hpa, len);
}

/** mem_entry - read one paging entry of 4 or 8 bytes, single-copy atomic (H-124). */
static inline uint64_t mem_entry(const struct model_mem *mem, unsigned *hint, uint64_t hpa,
				 unsigned size)
{
	const uint8_t *p = mem_ptr(mem, hint, hpa, size);

	if (!p && mem->zeros)
		return 0;
	if (!p)
		return size == 4 ? 0xffffffffull : ~0ull;
	if (size == 4)
		return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
	return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
}

/** mem_set_bits - locked update @old -> @old | @bits; false if other bits changed (H-58). */
bool mem_set_bits(const struct model_mem *mem, unsigned *hint, uint64_t hpa, unsigned size,
		  uint64_t old, uint64_t bits);

void mem_read(const struct model_mem *mem, unsigned *hint, uint64_t hpa, void *to, size_t len);
void mem_write(const struct model_mem *mem, unsigned *hint, uint64_t hpa, const void *from,
	       size_t len);

#endif
