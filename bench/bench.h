/* SPDX-License-Identifier: MIT */
/*
 * bench.h - benchmarks, each measured against a reference in the same run.
 *
 * A benchmark repeats short samples of the thing and of its reference by turns
 * and keeps the fastest of each: other work on the machine only ever adds time.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#ifdef __cplusplus
extern "C" {
#endif

struct bench_result {
	const char *name;
	/** Nanoseconds an operation, and what the reference takes for it. */
	double ns, ref_ns;
	/** ns / ref_ns */
	double ratio;
};

/**
 * bench_walk - the walker on random pages of 128 MiB, 4K leaves, warm: every
 * format, and the four-level one under EPT and NPT. The reference is a
 * straight-line walker of the one format that checks nothing.
 * @emit: called once per benchmark, in order, @arg passed on.
 * @seconds: roughly how long all of them may take.
 * Returns 0, or an errno value when memory is short.
 */
int bench_walk(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_walk_stream - the same walks, none waiting for the one before it. */
int bench_walk_stream(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_tdp - first touch of a guest page under EPT; see tdp.c. As bench_walk. */
int bench_tdp(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_prefault - pages mapped in bulk before they are touched; see prefault.c. As bench_walk. */
int bench_prefault(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_shadow - the usual events of shadow paging; see shadow.c. As bench_walk. */
int bench_shadow(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_nested - the usual events of a guest that is a hypervisor; see nested.c. As bench_walk. */
int bench_nested(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_slots - looking up slots and changing one, by their number; see slots.c. As
 * bench_walk. */
int bench_slots(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_mmio - accesses without memory, and generations that repeat; see mmio.c. As
 * bench_walk. */
int bench_mmio(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

/** bench_cycles - cycles of the time-stamp counter in a nanosecond. */
double bench_cycles(void);

#ifdef __cplusplus
}
#endif

#endif
