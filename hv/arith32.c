/* SPDX-License-Identifier: MIT */
/*
 * arith32.c - what a compiler calls on a 32-bit machine for 64-bit words, where no library of
 * its own is linked: division, and atomic accesses by CMPXCHG8B, so that a hardware walker never
 * sees half an entry.
 */
#include <stdbool.h>
#include <stdint.h>

/* The names that the compiler uses; in C they would be declared by it already, as others. */
#define CALLED(name) __asm__("__" #name)

uint64_t divide(uint64_t a, uint64_t b) CALLED(udivdi3);
uint64_t remainder_of(uint64_t a, uint64_t b) CALLED(umoddi3);
int trailing_zeros(uint64_t a) CALLED(ctzdi2);
uint64_t load(const volatile void *at, int order) CALLED(atomic_load_8);
void store(volatile void *at, uint64_t value, int order) CALLED(atomic_store_8);
uint64_t exchange(volatile void *at, uint64_t value, int order) CALLED(atomic_exchange_8);
bool compare_exchange(volatile void *at, void *expected, uint64_t value, int order, int other)
	CALLED(atomic_compare_exchange_8);
uint64_t fetch_add(volatile void *at, uint64_t value, int order) CALLED(atomic_fetch_add_8);
uint64_t fetch_and(volatile void *at, uint64_t value, int order) CALLED(atomic_fetch_and_8);
uint64_t fetch_or(volatile void *at, uint64_t value, int order) CALLED(atomic_fetch_or_8);

static uint64_t divide_both(uint64_t a, uint64_t b, uint64_t *rest)
{
	uint64_t quotient = 0, left = 0;

	for (int bit = 63; bit >= 0; bit--) {
		left = left << 1 | (a >> bit & 1);
		if (left >= b) {
			left -= b;
			quotient |= 1ull << bit;
		}
	}
	*rest = left;
	return quotient;
}

uint64_t divide(uint64_t a, uint64_t b)
{
	uint64_t rest;

	return divide_both(a, b, &rest);
}

uint64_t remainder_of(uint64_t a, uint64_t b)
{
	uint64_t rest;

	divide_both(a, b, &rest);
	return rest;
}

int trailing_zeros(uint64_t a)
{
	const uint32_t low = (uint32_t)a;

	return low ? __builtin_ctz(low) : 32 + __builtin_ctz((uint32_t)(a >> 32));
}

static uint64_t swap(volatile void *at, uint64_t old, uint64_t new)
{
	return __sync_val_compare_and_swap((volatile uint64_t *)at, old, new);
}

uint64_t load(const volatile void *at, int order)
{
	(void)order;
	return swap((volatile void *)(uintptr_t)at, 0, 0);
}

uint64_t exchange(volatile void *at, uint64_t value, int order)
{
	uint64_t old = 0, seen;

	(void)order;
	while ((seen = swap(at, old, value)) != old)
		old = seen;
	return old;
}

void store(volatile void *at, uint64_t value, int order)
{
	exchange(at, value, order);
}

bool compare_exchange(volatile void *at, void *expected, uint64_t value, int order, int other)
{
	uint64_t *const wanted = expected;
	const uint64_t seen = swap(at, *wanted, value);
	const bool done = seen == *wanted;

	(void)order;
	(void)other;
	*wanted = seen;
	return done;
}

#define FETCH(name, operator)                                             \
	uint64_t name(volatile void *at, uint64_t value, int order)       \
	{                                                                 \
		uint64_t old = 0, seen;                                   \
                                                                          \
		(void)order;                                              \
		while ((seen = swap(at, old, old operator value)) != old) \
			old = seen;                                       \
		return old;                                               \
	}
FETCH(fetch_add, +)
FETCH(fetch_and, &)
FETCH(fetch_or, |)
