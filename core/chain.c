/* SPDX-License-Identifier: MIT */
/*
 * chain.c - sets of entry locations in a word, or in blocks of fourteen.
 *
 *	head = 0                     nothing
 *	head = location              one (locations are 8-byte aligned)
 *	head = block | 1             block(newest, 1..14) -> block(14) -> ... -> NULL
 *
 * Most frames are mapped once, so most chains are a word. All blocks behind the
 * first are full: a removed location is replaced by the newest one.
 */
#include "core/chain.h"

static void set_block(struct chain *chain, struct chain_block *block)
{
	chain->head = (uint64_t)(uintptr_t)block | 1;
}

bool chain_add_another(struct chain *chain, uint64_t location, struct chain_block *spare)
{
	struct chain_block *block = chain_blocks(chain);

	if (block && block->count < CHAIN_BLOCK_LOCATIONS) {
		block->location[block->count++] = location;
		return false;
	}
	spare->next = block;
	spare->count = 0;
	if (!block)
		spare->location[spare->count++] = chain->head;
	spare->location[spare->count++] = location;
	set_block(chain, spare);
	return true;
}

bool chain_remove(struct chain *chain, uint64_t location, struct chain_block **freed)
{
	struct chain_block *first = chain_blocks(chain);

	*freed = NULL;
	if (!first) {
		if (chain->head != location || !location)
			return false;
		chain->head = 0;
		return true;
	}
	for (struct chain_block *block = first; block; block = block->next) {
		for (unsigned i = 0; i < block->count; i++) {
			if (block->location[i] != location)
				continue;
			block->location[i] = first->location[--first->count];
			if (first->count == 0) {
				if (first->next)
					set_block(chain, first->next);
				else
					chain->head = 0;
				*freed = first;
			}
			return true;
		}
	}
	return false;
}

bool chain_has(const struct chain *chain, uint64_t location)
{
	struct chain_iter iter = chain_begin(chain);

	for (uint64_t at; (at = chain_next(&iter));)
		if (at == location)
			return true;
	return false;
}

uint64_t chain_count(const struct chain *chain)
{
	const struct chain_block *block = chain_blocks(chain);
	uint64_t count = 0;

	if (!block)
		return chain->head != 0;
	for (; block; block = block->next)
		count += block->count;
	return count;
}

uint64_t chain_first(const struct chain *chain)
{
	const struct chain_block *block = chain_blocks(chain);

	return block ? block->location[block->count - 1] : chain->head;
}

struct chain_iter chain_begin(const struct chain *chain)
{
	struct chain_iter iter = {.block = chain_blocks(chain)};

	if (!iter.block)
		iter.single = chain->head;
	return iter;
}

uint64_t chain_next(struct chain_iter *iter)
{
	uint64_t at = iter->single;

	if (!iter->block) {
		iter->single = 0;
		return at;
	}
	at = iter->block->location[iter->index++];
	if (iter->index == iter->block->count) {
		iter->block = iter->block->next;
		iter->index = 0;
	}
	return at;
}
