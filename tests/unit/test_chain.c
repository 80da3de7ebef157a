/* SPDX-License-Identifier: MIT */
/*
 * test_chain.c - sets of locations against a plain array.
 *
 * Seeded random adds and removes; after each step the chain holds exactly the
 * reference's members, each once, and uses exactly the blocks that S-50 allows:
 * none for up to one location, and only the newest one partly filled.
 */
#include "core/chain.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#define MEMBERS 200
#define SEED 0x5eed0001ull

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

struct reference {
	bool has[MEMBERS];
	unsigned count;
};

/* Locations are 8-byte aligned and may be any, also the largest. */
static uint64_t location_of(unsigned member)
{
	return member == 0 ? ~7ull : 0x1000ull * member + 8 * (member & 511);
}

static void add(struct chain *chain, uint64_t location)
{
	bool needs = chain_needs_block(chain);
	struct chain_block *spare = needs ? malloc(sizeof(*spare)) : NULL;

	assert_int_equal(chain_add(chain, location, spare), needs);
}

static void remove_one(struct chain *chain, uint64_t location)
{
	struct chain_block *freed;

	assert_true(chain_remove(chain, location, &freed));
	free(freed);
}

/* Every member once, nothing else; blocks behind the first are full. */
static void check(const struct chain *chain, const struct reference *reference)
{
	struct chain_iter iter = chain_begin(chain);
	bool seen[MEMBERS] = {false};
	unsigned visited = 0;
	uint64_t at;

	while ((at = chain_next(&iter))) {
		unsigned member = at == ~7ull ? 0 : (unsigned)(at >> 12);

		assert_true(member < MEMBERS && at == location_of(member));
		assert_true(reference->has[member] && !seen[member]);
		seen[member] = true;
		visited++;
	}
	assert_int_equal(visited, reference->count);
	assert_int_equal(chain_count(chain), reference->count);
	assert_int_equal(chain_is_empty(chain), reference->count == 0);
	assert_int_equal(chain_first(chain) != 0, reference->count != 0);
	for (unsigned i = 0; i < MEMBERS; i++)
		assert_int_equal(chain_has(chain, location_of(i)), reference->has[i]);
	if (!(chain->head & 1))
		return;
	for (const struct chain_block *block = (void *)(uintptr_t)(chain->head & ~1ull),
				      *first = block;
	     block; block = block->next) {
		assert_true(block->count >= 1);
		if (block != first)
			assert_int_equal(block->count, CHAIN_BLOCK_LOCATIONS);
	}
}

static void random_against_reference(void **unused)
{
	struct reference reference = {.count = 0};
	struct chain chain = {0};

	(void)unused;
	state = SEED;
	print_message("# seed %#llx\n", (unsigned long long)state);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned member = next_random() % MEMBERS;
		/* Drift up and down, so that empty and long chains occur often. */
		bool grow = step / 1000 % 2 ? next_random() % 4 == 0 : next_random() % 4 != 0;

		if (grow && !reference.has[member]) {
			add(&chain, location_of(member));
			reference.has[member] = true;
			reference.count++;
		} else if (!grow && reference.has[member]) {
			remove_one(&chain, location_of(member));
			reference.has[member] = false;
			reference.count--;
		} else if (!reference.has[member]) {
			struct chain_block *freed = (void *)&chain;

			assert_false(chain_remove(&chain, location_of(member), &freed));
			assert_null(freed);
		}
		if (step % 16 == 0 || reference.count < 3)
			check(&chain, &reference);
	}
	/* Removing what chain_first gives visits all. */
	for (uint64_t at; (at = chain_first(&chain));) {
		remove_one(&chain, at);
		reference.count--;
	}
	assert_int_equal(reference.count, 0);
	assert_int_equal(chain.head, 0);
}

/* S-50: one location needs no block, the second needs one, the 15th another. */
static void s50_blocks(void **unused)
{
	struct chain chain = {0};

	(void)unused;
	for (unsigned count = 0; count < 4 * CHAIN_BLOCK_LOCATIONS; count++) {
		bool wanted = count == 1 || (count > 1 && count % CHAIN_BLOCK_LOCATIONS == 0);

		assert_int_equal(chain_needs_block(&chain), wanted);
		add(&chain, location_of(count + 1));
	}
	for (unsigned count = 4 * CHAIN_BLOCK_LOCATIONS; count; count--) {
		struct chain_block *freed;

		/* The oldest one each time: the newest takes its place. */
		assert_true(chain_remove(&chain, location_of(4 * CHAIN_BLOCK_LOCATIONS - count + 1),
					 &freed));
		assert_int_equal(freed != NULL, count % CHAIN_BLOCK_LOCATIONS == 1);
		free(freed);
	}
	assert_true(chain_is_empty(&chain));
}

static void removing_from_nothing(void **unused)
{
	struct chain chain = {0};
	struct chain_block *freed;

	(void)unused;
	assert_false(chain_remove(&chain, 0, &freed));
	assert_false(chain_remove(&chain, 8, &freed));
	add(&chain, 8);
	assert_false(chain_remove(&chain, 16, &freed));
	assert_true(chain_has(&chain, 8));
	assert_true(chain_remove(&chain, 8, &freed));
	assert_null(freed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_against_reference),
		cmocka_unit_test(s50_blocks),
		cmocka_unit_test(removing_from_nothing),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
