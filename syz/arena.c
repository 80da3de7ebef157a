/* SPDX-License-Identifier: MIT */
/*
 * arena.c - memory of a program's tree: taken piece by piece, given back whole.
 *
 *	chunks -> [ link | used ... | left ] -> [ link | full ] -> ...
 *
 * A piece that is larger than a chunk gets one of its own behind the first, so that what is
 * left of the first stays in use.
 */
#include <stdalign.h>
#include <stdlib.h>

#include "syz/parts.h"

#define CHUNK_SIZE 16384

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	alignas(max_align_t) uint8_t bytes[];
};

void *arena_take(struct arena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct arena_chunk *chunk = arena->chunks;
	bool own;

	size = (size + align - 1) / align * align;
	if (size <= arena->left) {
		arena->left -= size;
		return chunk->bytes + chunk->size - arena->left - size;
	}
	own = size > CHUNK_SIZE / 4;
	chunk = calloc(1, sizeof(*chunk) + (own ? size : CHUNK_SIZE));
	if (!chunk)
		return NULL;
	chunk->size = own ? size : CHUNK_SIZE;
	if (own && arena->chunks) {
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
		arena->left = chunk->size - size;
	}
	return chunk->bytes;
}

void arena_free(struct arena *arena)
{
	while (arena->chunks) {
		struct arena_chunk *next = arena->chunks->next;

		free(arena->chunks);
		arena->chunks = next;
	}
	arena->left = 0;
}
