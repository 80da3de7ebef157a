/* SPDX-License-Identifier: MIT */
/*
 * retrace.h - a hypervisor's run once more, from its log, and whether it could be true.
 *
 * The tables are built again from what the log says was written, and each record is judged
 * by the ones before it: that an entry held what the log says it held, that what was
 * mapped lies in a slot and not in the hypervisor, that a page is whole before it is used
 * and flushed out before it is given back, that the guest is not entered while a flush is
 * owed or its own tables are open to it. In the end the tables are compared with the
 * hypervisor's own, and the counters with what was counted here.
 *
 * Entries are read as the manuals have them (model/format.h), not with the library's code.
 */
#ifndef LAB_RETRACE_H
#define LAB_RETRACE_H

#include "lab/log.h"

/** struct retrace_finding - something that cannot be. */
struct retrace_finding {
	unsigned long line; /* of the record */
	const char *rule; /* one word or two, e.g. "flush" */
	char what[200];
};

struct retrace_counts {
	uint64_t records, entries, pages, flushes, entered, faults, roots, unsyncs, zapped;
	/** Compared with the hypervisor's tables. */
	uint64_t compared;
	/** PDPTEs in which QEMU's TCG had set A, where no CPU has one. */
	uint64_t accessed_pdptes;
	uint64_t findings;
};

/** struct retrace_machine - what the log's first records say. */
struct retrace_machine {
	bool shadow, tables; /* @tables: the log has what is needed to build them */
	uint8_t levels, maxphyaddr;
};

struct retrace;

/** retrace_new - @found is called for each finding. NULL: no memory. */
struct retrace *retrace_new(void (*found)(void *context, const struct retrace_finding *finding),
			    void *context);
void retrace_free(struct retrace *retrace);
/** retrace_record - false: no such record can be, or not here; or no memory; @error says it. */
bool retrace_record(struct retrace *retrace, const struct log_record *record, char *error,
		    size_t size);
/** retrace_whole - was the last record the one that ends a log? */
bool retrace_whole(const struct retrace *retrace);
const struct retrace_counts *retrace_counts(const struct retrace *retrace);
const struct retrace_machine *retrace_machine(const struct retrace *retrace);

#endif
