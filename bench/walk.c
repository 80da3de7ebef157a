/* SPDX-License-Identifier: MIT */
/*
 * walk.c - how long is a walk?
 *
 * A guest maps 128 MiB of linear addresses, in 4K pages, to frames in random
 * order; each walk goes to a random one of the 32768 pages. Tables are warm (the
 * leaves of 128 MiB are 256 KiB: they live in the second-level cache), A/D bits
 * are set. Each sample of the walker is followed by one of the reference, with the
 * same addresses.
 *
 * bench_walk(): a walk begins when the one before it has its result, as it does for
 * whoever needs the translation to go on. bench_walk_stream(): walks do not wait
 * for each other, so that the processor overlaps as many as it can hold. There the
 * reference, of a few instructions, shows the processor's width, not a walk's time.
 *
 * The reference knows its format, its level count and where memory is; it reads
 * an entry, masks the address and goes on. No present bit, no rights, no reserved
 * bits, no A/D, no record of the entries.
 */
#define _GNU_SOURCE
#include "bench/bench.h"
#include "core/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ull
#define PAGES 32768u /* 128 MiB */
#define ARENA_SIZE (4ull << 20) /* tables only: nothing looks at the data */
#define ARENA_BASE (1ull << 20) /* address of the arena's first byte */
#define DATA_BASE (1ull << 28)
#define LINEAR_BASE 0x08000000ull
#define SAMPLE 16384u
#define MAXPHYADDR 46

#define ADDRESS 0xffffffffff000ull

struct setup {
	uint8_t *bytes;
	uint64_t used;
	struct memory memory;
	struct mode mode, nested_mode;
	struct space space, nested;
	uint64_t seed;
};

typedef uint64_t reference_fn(const struct setup *setup, uint64_t address);

struct job {
	const char *name[2]; /* waiting, stream */
	const struct format *format, *nested;
	uint32_t flags, nested_flags;
	reference_fn *reference;
};

/* ---- the reference ---- */

static inline uint64_t entry8(const struct setup *s, uint64_t table, uint64_t address,
			      unsigned shift)
{
	const uint64_t at = table + (address >> (shift - 3) & 0xff8);

	return *(const uint64_t *)(const void *)(s->bytes + (at - ARENA_BASE));
}

static inline uint64_t entry4(const struct setup *s, uint64_t table, uint64_t address,
			      unsigned shift)
{
	const uint64_t at = table + (address >> (shift - 2) & 0xffc);

	return *(const uint32_t *)(const void *)(s->bytes + (at - ARENA_BASE));
}

static inline uint64_t four_levels(const struct setup *s, uint64_t root, uint64_t address)
{
	uint64_t e = entry8(s, root, address, 39);

	e = entry8(s, e & ADDRESS, address, 30);
	e = entry8(s, e & ADDRESS, address, 21);
	e = entry8(s, e & ADDRESS, address, 12);
	return (e & ADDRESS) | (address & (PAGE - 1));
}

static __attribute__((noinline)) uint64_t reference_32(const struct setup *s, uint64_t address)
{
	uint64_t e = entry4(s, s->space.root, address, 22);

	e = entry4(s, e & 0xfffff000, address, 12);
	return (e & 0xfffff000) | (address & (PAGE - 1));
}

static __attribute__((noinline)) uint64_t reference_pae(const struct setup *s, uint64_t address)
{
	uint64_t e = s->space.pdpte[address >> 30 & 3];

	e = entry8(s, e & ADDRESS, address, 21);
	e = entry8(s, e & ADDRESS, address, 12);
	return (e & ADDRESS) | (address & (PAGE - 1));
}

static __attribute__((noinline)) uint64_t reference_4(const struct setup *s, uint64_t address)
{
	return four_levels(s, s->space.root, address);
}

static __attribute__((noinline)) uint64_t reference_5(const struct setup *s, uint64_t address)
{
	uint64_t e = entry8(s, s->space.root, address, 48);

	return four_levels(s, e & ADDRESS, address);
}

static __attribute__((noinline)) uint64_t reference_4x4(const struct setup *s, uint64_t address)
{
	const uint64_t nested = s->nested.root;
	uint64_t table = s->space.root;

	for (int shift = 39; shift >= 12; shift -= 9) {
		const uint64_t at = table + (address >> (shift - 3) & 0xff8);

		table = *(const uint64_t *)(const void *)(s->bytes + (four_levels(s, nested, at) -
								      ARENA_BASE));
		table &= ADDRESS;
	}
	return four_levels(s, nested, table | (address & (PAGE - 1)));
}

/* ---- tables ---- */

static uint64_t random_next(struct setup *s)
{
	/* xorshift64* */
	s->seed ^= s->seed >> 12;
	s->seed ^= s->seed << 25;
	s->seed ^= s->seed >> 27;
	return s->seed * 0x2545f4914f6cdd1dull;
}

static uint64_t table_new(struct setup *s)
{
	const uint64_t at = ARENA_BASE + s->used;

	s->used += PAGE;
	return at;
}

static void *entry_at(struct setup *s, uint64_t at)
{
	return s->bytes + (at - ARENA_BASE);
}

/* Bits of every entry: all rights, A and D set. */
static uint64_t entry_bits(const struct mode *mode, unsigned level)
{
	const struct mode_level *l = &mode->level[level];
	uint64_t bits = l->accessed | (level == 1 ? l->dirty : 0);

	if (mode->format->family == FORMAT_EPT)
		return bits | 7 | (level == 1 ? 6 << 3 : 0);
	return bits | l->present | (l->grant & 2 ? 0 : 6);
}

static void map(struct setup *s, const struct mode *mode, uint64_t root, uint64_t *pdpte,
		const uint64_t addresses[2])
{
	uint64_t table = root;

	for (unsigned level = mode->top; level > 0; level--) {
		const struct mode_level *l = &mode->level[level];
		const uint64_t at = table + (addresses[0] >> l->slot_shift & l->slot_mask);
		uint64_t *entry = pdpte && level == mode->top ? &pdpte[addresses[0] >> 30 & 3]
							      : entry_at(s, at);
		uint64_t value = mode->entry_shift == 3 ? *entry : *(uint32_t *)(void *)entry;

		if (!value) {
			value = level == 1 ? addresses[1] : table_new(s);
			value |= entry_bits(mode, level);
			memcpy(entry, &value, 1u << mode->entry_shift);
		}
		table = value & ADDRESS;
		if (mode->entry_shift == 2)
			table &= 0xfffff000;
	}
}

static int map_linear(struct setup *s, uint64_t *pdpte)
{
	uint32_t *order = malloc(PAGES * sizeof(*order));

	if (!order)
		return ENOMEM;
	for (uint32_t i = 0; i < PAGES; i++) {
		const uint32_t j = (uint32_t)(random_next(s) >> 32) % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (uint32_t i = 0; i < PAGES; i++)
		map(s, &s->mode, s->space.root, pdpte,
		    (uint64_t[]){LINEAR_BASE + i * PAGE, DATA_BASE + order[i] * PAGE});
	free(order);
	return 0;
}

static int build(struct setup *s, const struct job *job, uint64_t *pdpte)
{
	int error;

	memset(s->bytes, 0, ARENA_SIZE);
	memset(pdpte, 0, 4 * sizeof(*pdpte));
	s->used = 0;
	s->seed = 88172645463325252ull;
	mode_bind(&s->mode, job->format, job->flags, MAXPHYADDR);
	s->memory = (struct memory){
		.base = ARENA_BASE, .size = ARENA_SIZE, .bytes = s->bytes, .writable = true};
	s->space = (struct space){.mode = &s->mode, .pdpte = pdpte, .memory = &s->memory};
	s->space.root = table_new(s);
	error = map_linear(s, s->mode.root_registers ? pdpte : NULL);
	if (error || !job->nested)
		return error;
	mode_bind(&s->nested_mode, job->nested, job->nested_flags, MAXPHYADDR);
	s->nested = (struct space){.mode = &s->nested_mode, .memory = &s->memory};
	s->nested.root = table_new(s);
	s->space.parent = &s->nested;
	for (uint64_t gpa = ARENA_BASE; gpa < ARENA_BASE + ARENA_SIZE; gpa += PAGE)
		map(s, &s->nested_mode, s->nested.root, NULL, (uint64_t[]){gpa, gpa});
	for (uint64_t i = 0; i < PAGES; i++)
		map(s, &s->nested_mode, s->nested.root, NULL,
		    (uint64_t[]){DATA_BASE + i * PAGE, 2 * DATA_BASE + i * PAGE});
	return 0;
}

/* ---- measuring ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A random page; with @wait, not before the last result is known. */
static inline uint64_t next_address(uint64_t *state, uint64_t result, uint64_t zero, bool wait)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return LINEAR_BASE + ((*state >> 40) % PAGES) * PAGE + (wait ? result & zero : 0);
}

/* @reference NULL: the walker. @zero is 0, but the compiler does not know. */
static inline __attribute__((always_inline)) double sample(const struct setup *s,
							   reference_fn *reference, uint64_t seed,
							   const bool wait, volatile uint64_t *zero,
							   uint64_t *sum)
{
	const uint64_t none = *zero;
	const double begin = now();
	uint64_t result = 0;
	struct walk out;

	for (unsigned i = 0; i < SAMPLE; i++) {
		const uint64_t address = next_address(&seed, result, none, wait);

		if (reference) {
			result = reference(s, address);
		} else {
			walk(&s->space, address, UMBRA_ACCESS_USER, 0, &out);
			result = out.final;
		}
		*sum += result;
	}
	return (now() - begin) / SAMPLE;
}

static void keep_least(double *least, double ns)
{
	if (ns < *least)
		*least = ns;
}

static bool measure(const struct setup *s, const struct job *job, bool wait, double seconds,
		    struct bench_result *result)
{
	const double end = now() + seconds * 1e9;
	volatile uint64_t zero = 0;
	uint64_t seed = 1, sum[2] = {0, 0};

	*result = (struct bench_result){.ns = 1e9, .ref_ns = 1e9};
	for (unsigned i = 0; i < 4 || now() < end; i++) {
		const double ns = wait ? sample(s, NULL, seed, true, &zero, &sum[0])
				       : sample(s, NULL, seed, false, &zero, &sum[0]);
		const double ref_ns = wait ? sample(s, job->reference, seed, true, &zero, &sum[1])
					   : sample(s, job->reference, seed, false, &zero, &sum[1]);

		/* The first round warms up. */
		if (i > 0) {
			keep_least(&result->ns, ns);
			keep_least(&result->ref_ns, ref_ns);
		}
		seed += SAMPLE;
	}
	result->ratio = result->ns / result->ref_ns;
	/* A reference that finds something else measures something else. */
	return sum[0] == sum[1];
}

#define NATIVE (MODE_NX | MODE_1G | MODE_PSE | MODE_PSE36 | MODE_WP | MODE_SMEP | MODE_SMAP)

static const struct job jobs[] = {
	{{"walk-32", "stream-32"}, &format_32, NULL, NATIVE, 0, reference_32},
	{{"walk-pae", "stream-pae"}, &format_pae, NULL, NATIVE, 0, reference_pae},
	{{"walk-4", "stream-4"}, &format_4, NULL, NATIVE, 0, reference_4},
	{{"walk-5", "stream-5"}, &format_5, NULL, NATIVE, 0, reference_5},
	{{"walk-4-ept", "stream-4-ept"},
	 &format_4,
	 &format_ept4,
	 NATIVE,
	 MODE_AD | MODE_EXECONLY | MODE_1G | MODE_2M | MODE_ADVINFO,
	 reference_4x4},
	{{"walk-4-npt", "stream-4-npt"},
	 &format_4,
	 &format_4,
	 NATIVE,
	 MODE_NPT | MODE_NX | MODE_1G | MODE_WP,
	 reference_4x4},
};
#define JOBS (sizeof(jobs) / sizeof(jobs[0]))

static int run(bool wait, void (*emit)(const struct bench_result *, void *), void *arg,
	       double seconds)
{
	struct setup setup = {0};
	uint64_t pdpte[4];
	int error = 0;

	setup.bytes = aligned_alloc(2ul << 20, ARENA_SIZE);
	if (!setup.bytes)
		return ENOMEM;
	madvise(setup.bytes, ARENA_SIZE, MADV_HUGEPAGE);
	for (unsigned i = 0; i < JOBS && !error; i++) {
		struct bench_result result;

		error = build(&setup, &jobs[i], pdpte);
		if (error)
			break;
		if (measure(&setup, &jobs[i], wait, seconds / JOBS, &result)) {
			result.name = jobs[i].name[!wait];
			emit(&result, arg);
		} else {
			error = EIO;
		}
	}
	free(setup.bytes);
	return error;
}

int bench_walk(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	return run(true, emit, arg, seconds);
}

int bench_walk_stream(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	return run(false, emit, arg, seconds);
}
