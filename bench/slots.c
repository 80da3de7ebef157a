/* SPDX-License-Identifier: MIT */
/*
 * slots.c - how long does it take to find the slot of a frame, and to change one?
 *
 *	slots hit          the same slot again and again, of 32,764
 *	slots N            a random frame of N slots, each search another slot
 *	slots update N     a slot of N is deleted, or made again
 *
 * Slots of one page, every other page, so that a search may also end between two; and
 * made in an order that leaves them all over memory, as a machine that has run for
 * a while does. A search does not wait for the one before it.
 *
 * The reference of a hit compares with one range that is known. That of a search bisects
 * an array of first frames, with a branch, and looks at nothing else. That of an update
 * copies the array of all ranges, as a view in one piece would have to.
 */
#include "bench/bench.h"
#include "bench/rig.h"
#include "core/mmu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (UMBRA_SLOT_ID_MAX + 1)
#define SEARCHES 4096u
#define UPDATES 16u

struct slots_rig {
	struct mmu *mmu;
	uint32_t count;
	/** Of what is searched, in order; and ids in a random order. */
	uint64_t gfn[SEARCHES];
	uint32_t shuffled[SLOTS];
	/** The reference's: first frames, and ranges to copy. */
	uint64_t start[SLOTS];
	struct view_range from[SLOTS], to[SLOTS];
};

static uint32_t below(uint64_t *state, uint32_t count)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((*state >> 33) % count);
}

static bool set(struct slots_rig *s, uint32_t id, bool there)
{
	const struct umbra_slot slot = {
		.id = id,
		.base = {2ull * id << UMBRA_PAGE_SHIFT},
		.size = there ? UMBRA_PAGE_SIZE : 0,
	};
	struct slots_plan plan;

	if (slots_prepare(s->mmu, &slot, &plan))
		return false;
	slots_commit(s->mmu, &plan);
	slots_release(s->mmu, &plan);
	return true;
}

/* Slots 0 to @count - 1, where there are fewer now. */
static bool grow(struct slots_rig *s, uint32_t count)
{
	uint64_t state = 0x5107;

	for (uint32_t i = 0; i < count; i++)
		s->shuffled[i] = i;
	for (uint32_t i = count - 1; i; i--) {
		const uint32_t other = below(&state, i + 1), kept = s->shuffled[i];

		s->shuffled[i] = s->shuffled[other];
		s->shuffled[other] = kept;
	}
	for (uint32_t i = 0; i < count; i++)
		if (s->shuffled[i] >= s->count && !set(s, s->shuffled[i], true))
			return false;
	s->count = count;
	for (uint32_t i = 0; i < count; i++)
		s->start[i] = 2ull * i;
	for (uint32_t i = 0; i < SEARCHES; i++)
		s->gfn[i] = 2ull * below(&state, count);
	return true;
}

/* ---- samples: nanoseconds an operation ---- */

static double search(struct slots_rig *s)
{
	const double start = rig_now();

	for (uint32_t i = 0; i < SEARCHES; i++) {
		struct slot *slot = slots_find(s->mmu, (umbra_gfn){s->gfn[i]});

		__asm__ volatile("" : : "r"(slot) : "memory");
	}
	return (rig_now() - start) / SEARCHES;
}

static double reference_search(struct slots_rig *s)
{
	const double start = rig_now();

	for (uint32_t i = 0; i < SEARCHES; i++) {
		uint32_t low = 0, high = s->count;

		while (low < high) {
			const uint32_t middle = (low + high) / 2;

			if (s->start[middle] <= s->gfn[i])
				low = middle + 1;
			else
				high = middle;
		}
		__asm__ volatile("" : : "r"(low) : "memory");
	}
	return (rig_now() - start) / SEARCHES;
}

static double hit(struct slots_rig *s)
{
	const uint64_t gfn = s->gfn[0];
	const double start = rig_now();

	for (uint32_t i = 0; i < SEARCHES; i++) {
		struct slot *slot = slots_find(s->mmu, (umbra_gfn){gfn});

		__asm__ volatile("" : : "r"(slot) : "memory");
	}
	return (rig_now() - start) / SEARCHES;
}

static double reference_hit(struct slots_rig *s)
{
	const struct view_range *range = &s->from[0];
	const double start = rig_now();

	for (uint32_t i = 0; i < SEARCHES; i++) {
		const bool inside = s->gfn[0] - range->start < range->pages;

		__asm__ volatile("" : : "r"(inside) : "memory");
	}
	return (rig_now() - start) / SEARCHES;
}

static double update(struct slots_rig *s)
{
	const double start = rig_now();

	for (uint32_t i = 0; i < UPDATES; i++)
		if (!set(s, s->shuffled[i / 2], i & 1))
			return -1;
	return (rig_now() - start) / UPDATES;
}

static double reference_update(struct slots_rig *s)
{
	const double start = rig_now();

	for (uint32_t i = 0; i < UPDATES; i++) {
		memcpy(s->to, s->from, s->count * sizeof(s->to[0]));
		__asm__ volatile("" : : "r"(s->to) : "memory");
	}
	return (rig_now() - start) / UPDATES;
}

/* ---- rows ---- */

struct row {
	const char *name;
	uint32_t count;
	double (*sample)(struct slots_rig *s), (*reference)(struct slots_rig *s);
};

static const struct row rows[] = {
	{"slots 1", 1, search, reference_search},
	{"slots 32", 32, search, reference_search},
	{"slots 512", 512, search, reference_search},
	{"slots 4096", 4096, search, reference_search},
	{"slots 32764", SLOTS, search, reference_search},
	{"slots hit", SLOTS, hit, reference_hit},
	{"slots update 32764", SLOTS, update, reference_update},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int run(struct slots_rig *s, const struct row *row, double seconds,
	       struct bench_result *result)
{
	const double until = rig_now() + seconds * 1e9;

	*result = (struct bench_result){.name = row->name, .ns = 1e18, .ref_ns = 1e18};
	do {
		const double ns = row->sample(s), ref = row->reference(s);

		if (ns < 0)
			return EIO;
		result->ns = ns < result->ns ? ns : result->ns;
		result->ref_ns = ref < result->ref_ns ? ref : result->ref_ns;
	} while (rig_now() < until);
	result->ratio = result->ns / result->ref_ns;
	return 0;
}

static int open_rig(struct slots_rig *s)
{
	const struct posix_config host = {.single = true};

	s->mmu = calloc(1, sizeof(*s->mmu));
	if (!s->mmu)
		return ENOMEM;
	s->mmu->host = posix_host_new(&host);
	s->mmu->cpu.maxphyaddr = 46;
	s->mmu->reach = ~0ull;
	for (uint32_t i = 0; i < SLOTS; i++)
		s->from[i] = (struct view_range){2ull * i, 1, NULL};
	return s->mmu->host && !slots_init(s->mmu) ? 0 : ENOMEM;
}

static void close_rig(struct slots_rig *s)
{
	if (s->mmu) {
		slots_destroy(s->mmu);
		posix_host_free(s->mmu->host);
	}
	free(s->mmu);
	free(s);
}

int bench_slots(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	struct slots_rig *s = calloc(1, sizeof(*s));
	int error = s ? open_rig(s) : ENOMEM;

	for (unsigned i = 0; i < ROWS && !error; i++) {
		struct bench_result result;

		if (s->count != rows[i].count && !grow(s, rows[i].count))
			error = ENOMEM;
		else
			error = run(s, &rows[i], seconds / ROWS, &result);
		if (!error)
			emit(&result, arg);
	}
	if (s)
		close_rig(s);
	return error;
}
