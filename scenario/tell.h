/* SPDX-License-Identifier: MIT */
/*
 * tell.h - the story of a scenario, step by step, in words (umbra run -v).
 *
 * No host-physical address is told: they say nothing to a reader, and the expected
 * output beside a scenario shall not change when Umbra takes pages in another order.
 */
#ifndef SCENARIO_TELL_H
#define SCENARIO_TELL_H

#include <stdio.h>

#include "scenario/world.h"

struct story {
	/** NULL: nothing is told. */
	FILE *to;
	bool colour;
	/** Steps are counted but not told. */
	bool quiet;
	unsigned step;
};

/** tell_is_on - is anything told now? */
static inline bool tell_is_on(const struct story *story)
{
	return story->to && !story->quiet;
}

/** tell_step - a numbered line, what is done now. */
void tell_step(struct story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** tell_line - an indented line below it. */
void tell_line(struct story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** tell_who - "vcpu 0", and whether L1 or L2 if it ever was a hypervisor. */
const char *tell_who(const struct world_cpu *cpu, char *text, size_t size);
/** tell_guest_walk - the guest's own entries for @gva, as they are now; in L2 L1's as well. */
void tell_guest_walk(struct story *story, struct world_cpu *cpu, umbra_gva gva);
/** tell_notes - exits, verdicts, entries written, flushes. */
void tell_notes(struct story *story, const struct world *world);
/** tell_result - how it ended, and how the bare machine compares. */
void tell_result(struct story *story, const struct world_access *access,
		 const struct world_result *result);

/** tell_outcome - "gpa 0x5000", "#PF 0x3 (P W) at 0x400000" ..., in a static buffer of @text. */
const char *tell_outcome(const struct world_outcome *outcome, char *text, size_t size);
/** Bits of an EPT violation's exit qualification. */
extern const struct tell_bit {
	const char *name;
	uint64_t bit;
} tell_eptq_names[];
const char *tell_qualification(uint64_t code, char *text, size_t size);
/** tell_role - "portal", "mirror", "direct", with "pae-" before it. */
const char *tell_role(const struct world_step *step, char *text, size_t size);
/** tell_path - a line for each table. */
void tell_path(struct story *story, const struct world_step *steps, unsigned count);
const char *tell_pf_code(uint64_t code, char *text, size_t size);
const char *tell_access(unsigned access, char *text, size_t size);
const char *tell_entry(const struct world_entry *entry, char *text, size_t size);
/** Names of trace events, as KVM has them. */
extern const char *const tell_trace_names[UMBRA_TRACE_KINDS];

#endif
