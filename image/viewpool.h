/* SPDX-License-Identifier: MIT */
/*
 * viewpool.h - private views of a file's bytes, kept for the next who wants one.
 */
#ifndef IMAGE_VIEWPOOL_H
#define IMAGE_VIEWPOOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct viewpool {
	/** The file, and where in it a view begins (a multiple of the page size). */
	int fd;
	uint64_t offset, size;
	/** The same bytes, to put views right from. Like @fd they outlive the pool. */
	const uint8_t *bytes;
	/** Views that nobody has at the moment; under @lock, as is @made. */
	void **free;
	unsigned free_count, made;
	pthread_mutex_t lock;
};

void viewpool_open(struct viewpool *pool, int fd, uint64_t offset, uint64_t size,
		   const uint8_t *bytes);
/** viewpool_close - all views have been given back. */
void viewpool_close(struct viewpool *pool);

/** viewpool_get - size bytes that hold what the file does, whatever became of them before;
 * to be written at will. NULL and errno if there can be none. */
void *viewpool_get(struct viewpool *pool);
/** viewpool_put - the caller is done with @view. */
void viewpool_put(struct viewpool *pool, void *view);

#endif
