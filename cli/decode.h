/* SPDX-License-Identifier: MIT */
/*
 * decode.h - between the files of `umbra decode` (decode*.c) only.
 */
#ifndef CLI_DECODE_H
#define CLI_DECODE_H

#include "cli/args.h"
#include "cli/bits.h"
#include "cli/out.h"
#include "cli/text.h"
#include "cli/trace.h"

/* Readings of an SPTE: as a large page, and in all layouts of EPT entries and of others. */
#define DECODE_OTHERS (1 + 2 * ENTRY_GENERATIONS)
/* Kinds, and role words that come from a trace's text. */
#define DECODE_BOUNDS (BITS_KINDS + 1)

struct decode {
	/** As the command line has it; the kind is the value's. */
	struct bits_request request;
	bool layout_given, level_given, brief;
	struct out out;
	/** Some value broke a rule; some line could not be read. */
	bool found, bad;
	/** Bound when first needed. */
	bool is_bound[DECODE_BOUNDS], other_is_bound[DECODE_OTHERS];
	struct bits_bound bound[DECODE_BOUNDS], other_bound[DECODE_OTHERS];
	struct bits_report report, other;
	struct trace_report trace;
	struct text text;
};

/** decode_names - kinds by name, until a NULL name. */
extern const struct args_symbol decode_names[];

/** decode_value - print what @value of @kind means. */
void decode_value(struct decode *d, enum bits_kind kind, uint64_t value);
/** decode_line - the same for a trace line: TRACE_OK or TRACE_OTHER. */
void decode_line(struct decode *d, const struct trace_line *line);

struct bench_result;
/** decode_bench - a group of `umbra bench`, as those of bench/bench.h. */
int decode_bench(void (*emit)(const struct bench_result *, void *), void *arg, double seconds);

#endif
