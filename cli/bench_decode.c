/* SPDX-License-Identifier: MIT */
/*
 * bench_decode.c - how long does a line of `umbra decode -` take?
 *
 * Values and lines of traces as text, from the characters to the characters; only
 * reading and writing them is left out. A mixture of what tables hold: leaves mostly,
 * tables, MMIO, empty entries. The reference prints the same value with snprintf,
 * as a tool would that explains nothing.
 */
#define _GNU_SOURCE
#include "bench/bench.h"
#include "cli/args.h"
#include "cli/decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINES 2048u
#define LINE_SIZE 128

struct lines {
	struct decode *decode;
	char text[LINES][LINE_SIZE];
	uint64_t value[LINES];
};

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

/* The same values each time; @trace: in lines of kvm_mmu_set_spte. */
static void make_lines(struct lines *lines, bool trace)
{
	static const uint64_t kinds[] = {0x80a0000000000f37, 0x8020000000000f35, 0x80a0000000000bb3,
					 0x80a0000000000f37, 0x8000000000000d07, 0x0000000000000016,
					 0x90a0000000000e35, 0x8000000000000000};
	uint64_t seed = 0x5eedbe4c4;

	for (unsigned i = 0; i < LINES; i++) {
		const uint64_t kind = kinds[i % (sizeof(kinds) / sizeof(*kinds))];
		uint64_t frame;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		frame = seed >> 40;
		/* An empty entry has no frame, a large one is aligned. */
		if (kind << 1 == 0)
			frame = 0;
		lines->value[i] = kind | frame << UMBRA_PAGE_SHIFT;
		if (trace)
			snprintf(lines->text[i], LINE_SIZE,
				 "qemu-7 [003] d..1. 81.204: kvm_mmu_set_spte: gfn %llx spte %llx "
				 "(rwx) "
				 "level 1 at 10abcde28",
				 (unsigned long long)frame, (unsigned long long)lines->value[i]);
		else
			snprintf(lines->text[i], LINE_SIZE, "0x%llx",
				 (unsigned long long)lines->value[i]);
	}
}

static double sample(struct lines *lines, bool trace)
{
	const double start = now();
	struct trace_line line;
	char why[200];
	uint64_t value = 0;

	for (unsigned i = 0; i < LINES; i++) {
		if (!trace && args_number(lines->text[i], &value, why, sizeof(why)))
			decode_value(lines->decode, BITS_SPTE, value);
		else if (trace && trace_parse(lines->text[i], &line, why, sizeof(why)) == TRACE_OK)
			decode_line(lines->decode, &line);
	}
	return (now() - start) / LINES;
}

static double reference_sample(const struct lines *lines)
{
	const double start = now();
	char text[32];

	for (unsigned i = 0; i < LINES; i++) {
		snprintf(text, sizeof(text), "0x%llx\n", (unsigned long long)lines->value[i]);
		__asm__ volatile("" : : "r"(text) : "memory");
	}
	return (now() - start) / LINES;
}

static void run(struct lines *lines, bool trace, double seconds, struct bench_result *result)
{
	const double until = now() + seconds * 1e9;

	result->ns = result->ref_ns = 1e18;
	do {
		const double ns = sample(lines, trace), ref = reference_sample(lines);

		result->ns = ns < result->ns ? ns : result->ns;
		result->ref_ns = ref < result->ref_ns ? ref : result->ref_ns;
	} while (now() < until);
	result->ratio = result->ns / result->ref_ns;
}

int decode_bench(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	static const struct {
		const char *name;
		bool trace, json, brief;
	} jobs[] = {
		{"decode/spte", false, false, false},
		{"decode/spte-json", false, true, false},
		{"decode/spte-brief", false, false, true},
		{"decode/trace", true, false, false},
	};
	const unsigned count = sizeof(jobs) / sizeof(*jobs);
	struct lines *lines = calloc(1, sizeof(*lines));

	if (lines)
		lines->decode = calloc(1, sizeof(*lines->decode));
	if (!lines || !lines->decode) {
		free(lines);
		return ENOMEM;
	}
	bits_defaults(&lines->decode->request, false);
	lines->decode->text.discard = true;
	for (unsigned i = 0; i < count; i++) {
		struct bench_result result = {.name = jobs[i].name};

		lines->decode->out.json = jobs[i].json;
		lines->decode->brief = jobs[i].brief;
		make_lines(lines, jobs[i].trace);
		run(lines, jobs[i].trace, seconds / count, &result);
		emit(&result, arg);
	}
	free(lines->decode);
	free(lines);
	return 0;
}
