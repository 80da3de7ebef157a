/* SPDX-License-Identifier: MIT */
/*
 * heap.c - first fit over a list of free pieces.
 *
 *	free -> | piece, size | ........ | -> | piece | ..... | -> NULL
 *
 * The library tells the size of what it frees, so that pieces in use need no header. It
 * allocates seldom: slabs, slots, views. Pieces are sorted and merged with their
 * neighbours when they come back.
 */
#include "hv/heap.h"

#define GRAIN 64

struct heap_piece {
	struct heap_piece *next;
	size_t bytes;
};

static size_t rounded(size_t bytes)
{
	return (bytes + GRAIN - 1) & ~(size_t)(GRAIN - 1);
}

void heap_init(struct heap *heap, void *memory, size_t bytes)
{
	heap->free = memory;
	heap->bytes = heap->free_bytes = bytes & ~(size_t)(GRAIN - 1);
	*heap->free = (struct heap_piece){NULL, heap->bytes};
}

void *heap_alloc(struct heap *heap, size_t bytes)
{
	struct heap_piece **link = &heap->free, *piece;
	unsigned long *word;

	if (!bytes || bytes > heap->free_bytes)
		return NULL;
	bytes = rounded(bytes);
	while (*link && (*link)->bytes < bytes)
		link = &(*link)->next;
	piece = *link;
	if (!piece)
		return NULL;
	if (piece->bytes == bytes) {
		*link = piece->next;
	} else {
		struct heap_piece *rest = (void *)((char *)piece + bytes);

		*rest = (struct heap_piece){piece->next, piece->bytes - bytes};
		*link = rest;
	}
	heap->free_bytes -= bytes;
	word = (void *)piece;
	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = 0;
	return piece;
}

/* Make one piece of @piece and what follows, if they touch. */
static void merge(struct heap_piece *piece)
{
	struct heap_piece *next = piece->next;

	if (!next || (char *)piece + piece->bytes != (char *)next)
		return;
	piece->bytes += next->bytes;
	piece->next = next->next;
}

void heap_free(struct heap *heap, void *memory, size_t bytes)
{
	struct heap_piece *piece = memory, *before = NULL;

	if (!memory)
		return;
	piece->bytes = rounded(bytes);
	piece->next = heap->free;
	while (piece->next && piece->next < piece) {
		before = piece->next;
		piece->next = before->next;
	}
	heap->free_bytes += piece->bytes;
	merge(piece);
	if (before) {
		before->next = piece;
		merge(before);
	} else {
		heap->free = piece;
	}
}
