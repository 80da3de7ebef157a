/* SPDX-License-Identifier: MIT */
/*
 * chain.h - a set of entry locations (layer 3).
 *
 * The reverse map ("which leaves map this frame") and the parents of a table
 * page ("which entries point to it") are the same structure. A location is the
 * host-physical address of an entry, so its table page is found by masking.
 */
#ifndef CORE_CHAIN_H
#define CORE_CHAIN_H

#include "umbra/types.h"

/** struct chain - 0: empty; bit 0 clear: one location; set: a struct chain_block. */
struct chain {
	uint64_t head;
};

#define CHAIN_BLOCK_LOCATIONS 14
/** Newest block first; only it may be partly filled (S-50). 128 bytes. */
struct chain_block {
	struct chain_block *next;
	uint64_t count;
	uint64_t location[CHAIN_BLOCK_LOCATIONS];
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct chain_block) == 128, "two cache lines");

/** chain_blocks - the newest block; NULL: there is none. */
static inline struct chain_block *chain_blocks(const struct chain *chain)
{
	return chain->head & 1 ? (struct chain_block *)(uintptr_t)(chain->head & ~1ull) : NULL;
}
/** chain_needs_block - would chain_add() now use a block? */
static inline bool chain_needs_block(const struct chain *chain)
{
	const struct chain_block *block = chain_blocks(chain);

	return block ? block->count == CHAIN_BLOCK_LOCATIONS : chain->head != 0;
}
/** chain_add_another - chain_add() to what is not empty. */
bool chain_add_another(struct chain *chain, uint64_t location, struct chain_block *spare);
/**
 * chain_add - @location (8-byte aligned, not in the chain yet). @spare is a free
 * block that is used, and the result true, if chain_needs_block(); else untouched.
 */
static inline bool chain_add(struct chain *chain, uint64_t location, struct chain_block *spare)
{
	if (chain->head)
		return chain_add_another(chain, location, spare);
	chain->head = location;
	return false;
}
/**
 * chain_remove - false if @location is not there. A block that became free is
 * stored in *freed (NULL otherwise).
 */
bool chain_remove(struct chain *chain, uint64_t location, struct chain_block **freed);
bool chain_has(const struct chain *chain, uint64_t location);
uint64_t chain_count(const struct chain *chain);
/** chain_first - any one location, 0 if empty. Removing what it gives until 0 visits all. */
uint64_t chain_first(const struct chain *chain);

static inline bool chain_is_empty(const struct chain *chain)
{
	return chain->head == 0;
}

/** struct chain_iter - visits each location once; the chain must not change meanwhile. */
struct chain_iter {
	const struct chain_block *block;
	uint64_t single;
	unsigned index;
};
struct chain_iter chain_begin(const struct chain *chain);
/** chain_next - the next location, 0 at the end. */
uint64_t chain_next(struct chain_iter *iter);

#endif
