/* SPDX-License-Identifier: MIT */
/*
 * viewpool.c - private views of a file's bytes, kept for the next who wants one.
 *
 *	file  --private mapping-->  view  --written-->  view with pages of its own
 *	                             ^                          |
 *	                             +---- bytes copied back ---+   viewpool_put, _get
 *
 * A view that is given back keeps its pages: to copy over one that was written costs
 * far less than to fault it in again. /proc/self/pagemap tells which were.
 */
#include "image/viewpool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/pagemap.h"
#include "umbra/types.h"

void viewpool_open(struct viewpool *pool, int fd, uint64_t offset, uint64_t size,
		   const uint8_t *bytes)
{
	*pool = (struct viewpool){.fd = fd, .offset = offset, .size = size, .bytes = bytes};
	pthread_mutex_init(&pool->lock, NULL);
}

void viewpool_close(struct viewpool *pool)
{
	while (pool->free_count)
		munmap(pool->free[--pool->free_count], (size_t)pool->size);
	free(pool->free);
	pthread_mutex_destroy(&pool->lock);
}

static void *make(struct viewpool *pool)
{
	/* Room to give it back. */
	void **more = realloc(pool->free, (pool->made + 1) * sizeof(*more));
	void *view;

	if (!more)
		return NULL;
	pool->free = more;
	view = mmap(NULL, (size_t)pool->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
		    pool->fd, (off_t)pool->offset);
	if (view == MAP_FAILED)
		return NULL;
	pool->made++;
	return view;
}

/* Pages of @view that may have been written get the file's bytes again. */
static void put_right(const struct viewpool *pool, uint8_t *view)
{
	const uint64_t pages = pool->size / UMBRA_PAGE_SIZE;
	const int map = pagemap_open();

	for (uint64_t page = 0; page < pages; page += PAGEMAP_BATCH) {
		unsigned n =
			pages - page < PAGEMAP_BATCH ? (unsigned)(pages - page) : PAGEMAP_BATCH;
		bool own[PAGEMAP_BATCH] = {false};

		pagemap_own(map, view + page * UMBRA_PAGE_SIZE, n, own);
		for (unsigned i = 0; i < n; i++) {
			const uint64_t at = (page + i) * UMBRA_PAGE_SIZE;

			if (own[i])
				memcpy(view + at, pool->bytes + at, UMBRA_PAGE_SIZE);
		}
	}
	if (map >= 0)
		close(map);
}

void *viewpool_get(struct viewpool *pool)
{
	bool used;
	void *view;

	pthread_mutex_lock(&pool->lock);
	used = pool->free_count;
	view = used ? pool->free[--pool->free_count] : make(pool);
	pthread_mutex_unlock(&pool->lock);
	if (used)
		put_right(pool, view);
	return view;
}

void viewpool_put(struct viewpool *pool, void *view)
{
	pthread_mutex_lock(&pool->lock);
	pool->free[pool->free_count++] = view;
	pthread_mutex_unlock(&pool->lock);
}
