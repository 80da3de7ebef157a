/* SPDX-License-Identifier: MIT */
/*
 * heap.h - pieces of memory for the library's small data and arrays.
 */
#ifndef HV_HEAP_H
#define HV_HEAP_H

#include <stddef.h>

/** struct heap - free pieces by address; no two touch. */
struct heap {
	struct heap_piece *free;
	size_t bytes, free_bytes;
};

/** heap_init - the heap is [@memory, @memory + @bytes), 64-byte aligned. */
void heap_init(struct heap *heap, void *memory, size_t bytes);
/** heap_alloc - @bytes zeroed bytes, 64-byte aligned; NULL: none in a row. */
void *heap_alloc(struct heap *heap, size_t bytes);
void heap_free(struct heap *heap, void *memory, size_t bytes);

#endif
