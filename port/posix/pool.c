/* SPDX-License-Identifier: MIT */
/*
 * pool.c - memory hooks: table pages, small memory, guest memory.
 *
 * Table pages come from two reservations of address space, one pretending to
 * lie below 4 GiB and one above. A pool knows its free pages by a list through
 * an array of indices (not through the pages, whose contents are garbage on
 * purpose), and never touches pages that were not asked for:
 *
 *	base                       top                        pages
 *	| used and freed pages      | never used, no memory yet |
 *
 * Invariants: a page is on the free list or allocated, never both (freeing
 * twice or freeing what was not allocated is a bug of the library). Host
 * addresses, hvas and pointers are different numbers for one byte.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port/posix/private.h"

/* An hva is its hpa plus this; a multiple of 1 GiB that no pointer comes near. */
#define HVA_OFFSET 0x4000000000000000ull

#define NO_PAGE UINT32_MAX
#define TAKEN (UINT32_MAX - 1)
#define POISON_NEW 0xc7
#define POISON_FREED 0xff

static_assert(HVA_OFFSET % (1ull << 30) == 0, "hva keeps the alignment of hpa");

static void *reserve(uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* In one piece: the pages, then a word and a link for each. */
static uint64_t pool_size(const struct pool *pool)
{
	return pool->pages *
	       (uint64_t)(UMBRA_PAGE_SIZE + sizeof(*pool->private) + sizeof(*pool->next));
}

bool pool_open(struct pool *pool, uint64_t base, uint64_t pages)
{
	pool->base = base;
	pool->pages = (uint32_t)pages;
	pool->head = NO_PAGE;
	if (!pages)
		return true;
	pool->bytes = reserve(pool_size(pool));
	if (!pool->bytes)
		return false;
	pool->private = (void **)(pool->bytes + pages * UMBRA_PAGE_SIZE);
	pool->next = (uint32_t *)(pool->private + pages);
	return true;
}

void pool_close(struct pool *pool)
{
	if (pool->bytes)
		munmap(pool->bytes, pool_size(pool));
}

void pool_reset(struct pool *pool)
{
	/* .private is set when a page is taken; its contents are garbage then anyway. */
	if (pool->top)
		memset(pool->next, 0, pool->top * sizeof(*pool->next));
	pool->top = 0;
	pool->head = NO_PAGE;
}

static bool pool_take(struct pool *pool, uint32_t *index)
{
	if (pool->head != NO_PAGE) {
		*index = pool->head;
		pool->head = pool->next[*index];
	} else if (pool->top < pool->pages) {
		*index = pool->top++;
	} else {
		return false;
	}
	pool->next[*index] = TAKEN;
	pool->private[*index] = NULL;
	return true;
}

/* The pool and index of the page at @hpa; NULL if it is no allocated page. */
static struct pool *pool_of(struct posix_host *host, umbra_hpa hpa, uint32_t *index)
{
	for (unsigned i = 0; i < POSIX_POOL_COUNT; i++) {
		struct pool *pool = &host->pool[i];
		uint64_t offset = hpa.v - pool->base;

		if (offset >= pool->pages * (uint64_t)UMBRA_PAGE_SIZE)
			continue;
		*index = (uint32_t)(offset >> UMBRA_PAGE_SHIFT);
		if (offset % UMBRA_PAGE_SIZE || pool->next[*index] != TAKEN)
			return NULL;
		return pool;
	}
	return NULL;
}

bool umbra_host_page_alloc(void *opaque, unsigned flags, umbra_hpa *hpa)
{
	struct posix_host *host = opaque;
	struct pool *pool = &host->pool[POSIX_POOL_HIGH];
	uint32_t index;
	bool ok;

	posix_count(host, &host->counts.page_allocs, 1);
	if (posix_refuse(host, POSIX_FAIL_PAGE))
		return false;
	posix_guard(host);
	if (flags & UMBRA_PAGE_BELOW_4G || !pool->pages)
		pool = &host->pool[POSIX_POOL_LOW];
	ok = pool_take(pool, &index);
	posix_unguard(host);
	if (!ok)
		return false;
	posix_count(host, &host->counts.pages, 1);
	if (host->poison)
		memset(pool->bytes + (uint64_t)index * UMBRA_PAGE_SIZE, POISON_NEW,
		       UMBRA_PAGE_SIZE);
	hpa->v = pool->base + (uint64_t)index * UMBRA_PAGE_SIZE;
	return true;
}

void umbra_host_page_free(void *opaque, umbra_hpa hpa)
{
	struct posix_host *host = opaque;
	uint32_t index;
	struct pool *pool = pool_of(host, hpa, &index);

	posix_count(host, &host->counts.page_frees, 1);
	if (!pool) {
		umbra_host_bug(host, __FILE__, __LINE__, "page_free: not an allocated page");
		return;
	}
	if (host->poison)
		memset(pool->bytes + (uint64_t)index * UMBRA_PAGE_SIZE, POISON_FREED,
		       UMBRA_PAGE_SIZE);
	posix_guard(host);
	pool->next[index] = pool->head;
	pool->head = index;
	posix_unguard(host);
	posix_count(host, &host->counts.pages, -1ull);
}

void *umbra_host_page_pointer(void *opaque, umbra_hpa hpa)
{
	struct posix_host *host = opaque;
	uint32_t index;
	struct pool *pool = pool_of(host, hpa, &index);

	if (!pool) {
		umbra_host_bug(host, __FILE__, __LINE__, "page_pointer: not an allocated page");
		return NULL;
	}
	return pool->bytes + (uint64_t)index * UMBRA_PAGE_SIZE;
}

void **umbra_host_page_private(void *opaque, umbra_hpa hpa)
{
	struct posix_host *host = opaque;
	uint32_t index;
	struct pool *pool = pool_of(host, hpa, &index);

	if (!pool) {
		umbra_host_bug(host, __FILE__, __LINE__, "page_private: not an allocated page");
		return NULL;
	}
	return &pool->private[index];
}

struct posix_range posix_pool_range(const struct posix_host *host, enum posix_pool pool)
{
	const struct pool *p = &host->pool[pool];

	return (struct posix_range){{p->base}, p->pages * (uint64_t)UMBRA_PAGE_SIZE, p->bytes};
}

/* ---- small memory ---- */

static size_t rounded(size_t size)
{
	return (size + 63) / 64 * 64;
}

void *umbra_host_alloc(void *opaque, size_t size)
{
	struct posix_host *host = opaque;
	void *memory;

	posix_count(host, &host->counts.allocs, 1);
	if (posix_refuse(host, POSIX_FAIL_ALLOC) || size > host->alloc_max)
		return NULL;
	memory = aligned_alloc(64, rounded(size));
	if (!memory)
		return NULL;
	memset(memory, 0, rounded(size));
	posix_count(host, &host->counts.bytes, size);
	return memory;
}

void umbra_host_free(void *opaque, void *memory, size_t size)
{
	struct posix_host *host = opaque;

	if (!memory)
		return;
	posix_count(host, &host->counts.frees, 1);
	posix_count(host, &host->counts.bytes, -(uint64_t)size);
	free(memory);
}

/* ---- guest memory ---- */

bool posix_region_add(struct posix_host *host, const struct posix_region *region, umbra_hva *hva)
{
	struct region *new = &host->region[host->region_count];

	if (host->region_count == POSIX_REGIONS_MAX || !region->size ||
	    (region->base.v | region->size) % UMBRA_PAGE_SIZE)
		return false;
	for (unsigned i = 0; i < host->region_count; i++) {
		const struct posix_region *old = &host->region[i].is;

		if (region->base.v < old->base.v + old->size &&
		    old->base.v < region->base.v + region->size)
			return false;
	}
	new->is = *region;
	if (!new->is.level)
		new->is.level = 1;
	new->hva = region->base.v + HVA_OFFSET;
	hva->v = new->hva;
	host->region_count++;
	return true;
}

static struct region *region_of(struct posix_host *host, umbra_hva hva)
{
	unsigned hit = __atomic_load_n(&host->region_hit, __ATOMIC_RELAXED);

	if (hit < host->region_count && hva.v - host->region[hit].hva < host->region[hit].is.size)
		return &host->region[hit];
	for (unsigned i = 0; i < host->region_count; i++) {
		if (hva.v - host->region[i].hva >= host->region[i].is.size)
			continue;
		__atomic_store_n(&host->region_hit, i, __ATOMIC_RELAXED);
		return &host->region[i];
	}
	return NULL;
}

void *umbra_host_memory(void *opaque, umbra_hva hva, uint64_t *size)
{
	struct posix_host *host = opaque;
	struct region *region = region_of(host, hva);

	posix_count(host, &host->counts.memories, 1);
	if (posix_refuse(host, POSIX_FAIL_MEMORY) || !region)
		return NULL;
	*size = region->is.size - (hva.v - region->hva);
	return (uint8_t *)region->is.bytes + (hva.v - region->hva);
}

static int find_pin(struct posix_host *host, umbra_hva hva, bool write, struct umbra_pin *pin)
{
	struct region *region = region_of(host, hva);
	uint64_t hpa;
	uint8_t level;

	posix_count(host, &host->counts.pins, 1);
	if (posix_refuse(host, POSIX_FAIL_PIN))
		return host->pin_status;
	if (!region || (write && region->is.readonly))
		return UMBRA_EFAULT;
	hpa = region->is.base.v + (hva.v - region->hva);
	for (level = region->is.level; level > 1; level--) {
		uint64_t size = 1ull << (UMBRA_PAGE_SHIFT + 9 * (level - 1));
		uint64_t start = hpa & -size;

		if (start >= region->is.base.v &&
		    start - region->is.base.v + size <= region->is.size)
			break;
	}
	*pin = (struct umbra_pin){
		.pfn = {hpa >> UMBRA_PAGE_SHIFT},
		.level = level,
		.writable = !region->is.readonly,
	};
	return 0;
}

int umbra_host_pin(void *opaque, umbra_hva hva, bool write, struct umbra_pin *pin)
{
	struct posix_host *host = opaque;
	int result = find_pin(host, hva, write, pin);

	if (!result && host->calls.may_pin)
		result = host->calls.may_pin(host->calls.context, hva, write, &pin->writable);
	if (host->calls.pinned)
		host->calls.pinned(host->calls.context, hva);
	return result;
}
