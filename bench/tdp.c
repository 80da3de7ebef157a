/* SPDX-License-Identifier: MIT */
/*
 * tdp.c - how long does the first touch of a guest page take?
 *
 * A VM of 128 MiB under EPT with 4K pages is touched once, page by page, in
 * random order and in rising order: each touch is one umbra_vcpu_fault(), from
 * the exit's fields to the installed entry, tables included. Between samples the
 * tables are dropped, which is not timed.
 *
 * The reference installs the same entries in the same order with what a bare
 * loop needs and no more: index, allocate a table if there is none, store. No
 * slots, no pin, no accounting, no compare-exchange.
 */
#define _GNU_SOURCE
#include "bench/bench.h"
#include "port/posix/posix.h"
#include "umbra/umbra.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MEMORY (128ull << 20)
#define PAGES (MEMORY >> UMBRA_PAGE_SHIFT)
#define TABLES 128u

struct setup {
	struct posix_host *host;
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	void *memory;
	uint32_t *order;
	/* the reference's tables */
	uint64_t (*table)[512];
	unsigned table_count;
};

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e9 + at.tv_nsec;
}

static bool open_vm(struct setup *s)
{
	const struct posix_config config = {.single = true};
	const struct umbra_vm_config vm = {
		.host = s->host,
		.cpu = {.vendor = UMBRA_VENDOR_INTEL,
			.maxphyaddr = 46,
			.features = UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G |
				    UMBRA_CPU_NX | UMBRA_CPU_PAE | UMBRA_CPU_LM},
		.paging = UMBRA_PAGING_EPT,
		.levels = 4,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 1,
	};
	struct umbra_vm_config filled = vm;
	struct posix_region region = {.base = {0x1000000000}, .size = MEMORY, .level = 1};
	struct umbra_slot slot = {.size = MEMORY};
	struct umbra_root root;

	s->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	s->host = posix_host_new(&config);
	if (s->memory == MAP_FAILED || !s->host)
		return false;
	region.bytes = s->memory;
	filled.host = s->host;
	return posix_region_add(s->host, &region, &slot.hva) && !umbra_vm_create(&filled, &s->vm) &&
	       !umbra_slot_set(s->vm, &slot) && !umbra_vcpu_create(s->vm, &filled.cpu, &s->vcpu) &&
	       !umbra_vcpu_load(s->vcpu, &root);
}

static bool open_setup(struct setup *s)
{
	memset(s, 0, sizeof(*s));
	s->order = malloc(PAGES * sizeof(*s->order));
	s->table = aligned_alloc(4096, TABLES * sizeof(*s->table));
	if (!s->order || !s->table)
		return false;
	return open_vm(s);
}

static void close_setup(struct setup *s)
{
	umbra_vm_destroy(s->vm);
	if (s->host)
		posix_host_free(s->host);
	if (s->memory && s->memory != MAP_FAILED)
		munmap(s->memory, MEMORY);
	free(s->table);
	free(s->order);
}

static void shuffle(struct setup *s, bool random)
{
	uint64_t state = 0x9e3779b97f4a7c15;

	for (uint32_t i = 0; i < PAGES; i++)
		s->order[i] = i;
	for (uint32_t i = PAGES - 1; random && i; i--) {
		uint32_t other, kept = s->order[i];

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		other = (state >> 33) % (i + 1);
		s->order[i] = s->order[other];
		s->order[other] = kept;
	}
}

/* Nanoseconds a fault; negative: the library refused. */
static double sample(struct setup *s)
{
	struct umbra_exit exit = {.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x182}};
	struct umbra_resolution what;
	struct umbra_root root;
	double start, end;

	umbra_vm_zap_all(s->vm);
	posix_reclaim(s->host);
	if (umbra_vcpu_load(s->vcpu, &root))
		return -1;
	start = now();
	for (uint32_t i = 0; i < PAGES; i++) {
		exit.event.gpa.v = (uint64_t)s->order[i] << UMBRA_PAGE_SHIFT;
		if (umbra_vcpu_fault(s->vcpu, &exit, &what) || what.verdict != UMBRA_RESUME)
			return -1;
	}
	end = now();
	return (end - start) / PAGES;
}

static double reference_sample(struct setup *s)
{
	double start;

	memset(s->table, 0, TABLES * sizeof(*s->table));
	s->table_count = 1;
	start = now();
	for (uint32_t i = 0; i < PAGES; i++) {
		uint64_t gpa = (uint64_t)s->order[i] << UMBRA_PAGE_SHIFT;
		uint64_t *table = s->table[0];

		for (unsigned shift = 39; shift > 12; shift -= 9) {
			uint64_t *entry = &table[gpa >> shift & 511];

			if (!*entry)
				*entry = (uint64_t)s->table_count++ << 12 | 7;
			table = s->table[*entry >> 12];
		}
		table[gpa >> 12 & 511] = (gpa + 0x1000000000) | 0x37;
		__asm__ volatile("" : : "r"(table) : "memory");
	}
	return (now() - start) / PAGES;
}

static int run(struct setup *s, struct bench_result *result, double seconds)
{
	double until = now() + seconds * 1e9;

	result->ns = result->ref_ns = 1e18;
	do {
		double ns = sample(s), ref = reference_sample(s);

		if (ns < 0)
			return EIO;
		result->ns = ns < result->ns ? ns : result->ns;
		result->ref_ns = ref < result->ref_ns ? ref : result->ref_ns;
	} while (now() < until);
	result->ratio = result->ns / result->ref_ns;
	return 0;
}

int bench_tdp(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	struct setup setup;
	int error = open_setup(&setup) ? 0 : ENOMEM;

	for (int random = 0; random < 2 && !error; random++) {
		struct bench_result result = {.name = random ? "tdp/first-touch-random"
							     : "tdp/first-touch-rising"};

		shuffle(&setup, random);
		error = run(&setup, &result, seconds / 2);
		if (!error)
			emit(&result, arg);
	}
	close_setup(&setup);
	return error;
}
