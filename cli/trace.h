/* SPDX-License-Identifier: MIT */
/*
 * trace.h - lines of KVM's tracepoints, as ftrace, trace-cmd and perf print them.
 *
 * Pure, and total: any bytes give a line or one sentence (tests/fuzz/fuzz_decode.c).
 *
 *	struct trace_line line;
 *	struct trace_report report;
 *
 *	if (trace_parse("... kvm_mmu_set_spte: gfn 1f spte 80a...", &line, why, sizeof(why)) ==
 *	    TRACE_OK)
 *		trace_explain(&sptes, &line, &report);
 */
#ifndef CLI_TRACE_H
#define CLI_TRACE_H

#include "cli/bits.h"

#include <stddef.h>

/** What a field of a line is. */
enum trace_id {
	TRACE_GFN,
	TRACE_PFN,
	TRACE_LEVEL,
	TRACE_AT, /* where the entry lies */
	TRACE_SPTE,
	TRACE_OLD, /* entries before and after */
	TRACE_NEW,
	TRACE_GPTE, /* entry of the guest's table */
	TRACE_ADDRESS,
	TRACE_GPA,
	TRACE_RIP,
	TRACE_ACCESS, /* ACC_*, in the layout's encoding (B-2) */
	TRACE_GENERATION, /* of an entry being made */
	TRACE_KVM_GENERATION, /* of the memslots */
	TRACE_SPTE_GENERATION, /* of the entry */
	TRACE_VALID,
	TRACE_SPURIOUS,
	TRACE_FIXED,
	TRACE_VCPU,
	TRACE_SPACE, /* address space */
	TRACE_ERRNO,
	TRACE_PAGES,
	TRACE_MMU_GENERATION, /* mmu_valid_gen */
	TRACE_CODE, /* #PF or #NPF code, or exit qualification */
	TRACE_PFEC,
	TRACE_INFO1, /* exit qualification, EXITINFO1 */
	TRACE_INFO2,
	TRACE_INTR, /* VM-exit interruption information */
	TRACE_EPTP,
	TRACE_NCR3,
	TRACE_CR, /* number of a control register */
	TRACE_CR_VALUE,
	TRACE_ROOTS,
	TRACE_ROLE, /* role word in layout 7.3, from the text */
	TRACE_UNSYNC,
	TRACE_IDS
};

enum trace_result {
	TRACE_NONE, /* no line of a tracepoint */
	TRACE_OTHER, /* of an event in which nothing is to be decoded */
	TRACE_BAD, /* of one of ours, but a field is wrong */
	TRACE_OK,
};

/** struct trace_line - what a line says; value[id] is there if bit id of @given is set. */
struct trace_line {
	const struct trace_event *event;
	const char *sentence; /* what the event means */
	uint64_t given;
	uint64_t value[TRACE_IDS];
	char name[48]; /* of the event */
	char reason[32]; /* of an exit */
	char rights[8]; /* "rwxu" */
};

/** trace_parse - @why: one sentence, when the result is TRACE_BAD. */
enum trace_result trace_parse(const char *text, struct trace_line *line, char *why, size_t size);

/* ---- the explanation ---- */

#define TRACE_FIELD_MAX TRACE_IDS
#define TRACE_FINDING_MAX 8
#define TRACE_VALUE_MAX 4

struct trace_report {
	unsigned field_count, value_count, finding_count;
	struct trace_field {
		const char *name;
		uint64_t value;
		bool decimal;
		char meaning[BITS_TEXT];
	} field[TRACE_FIELD_MAX];
	/** To be decoded. */
	struct trace_value {
		const char *label;
		enum bits_kind kind;
		unsigned level; /* 0: as the request says */
		uint64_t value;
	} value[TRACE_VALUE_MAX];
	struct trace_finding {
		const char *rule;
		char text[BITS_TEXT];
	} finding[TRACE_FINDING_MAX];
	/** For these values, bits_request.now. */
	bool now_given;
	uint64_t now;
	/** From the old entry to the new one, or "". */
	char change[BITS_TEXT];
};

/** trace_explain - under the CPU, layout and generation that @sptes, of kind BITS_SPTE, was
 * bound with. */
void trace_explain(const struct bits_bound *sptes, const struct trace_line *line,
		   struct trace_report *report);

#endif
