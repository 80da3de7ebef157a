/* SPDX-License-Identifier: MIT */
/*
 * bits.h - what every bit of an entry, a register or a code means.
 *
 * Pure: a value and a configuration in, names and sentences out. Total: any
 * value in any configuration gives a report (tests/fuzz). The command `decode`
 * prints reports; others use them to explain what they found.
 *
 *	struct bits_request request;
 *	struct bits_report report;
 *
 *	bits_defaults(&request, false);
 *	request.kind = BITS_EPT;
 *	request.level = 2;
 *	bits_describe(&request, 0x12200bb3, &report);
 *
 * Many values of one kind go faster with bits_bind() once and bits_explain() each.
 */
#ifndef CLI_BITS_H
#define CLI_BITS_H

#include "core/entry.h"

#include <stdbool.h>
#include <stdint.h>

enum bits_kind {
	BITS_SPTE, /* an entry that Umbra or KVM wrote */
	BITS_PTE, /* an entry of a guest's own tables */
	BITS_EPT,
	BITS_NPT,
	BITS_CR3,
	BITS_EPTP,
	BITS_PFEC, /* #PF error code */
	BITS_NPFCODE, /* EXITINFO1 of #NPF */
	BITS_EPTQUAL, /* exit qualification of an EPT violation */
	BITS_ROLE, /* page role word */
	BITS_KINDS
};

/** Which paging a value belongs to; BITS_MODE_AUTO: what the kind and vendor suggest. */
enum bits_mode {
	BITS_MODE_AUTO,
	BITS_MODE_32,
	BITS_MODE_PAE,
	BITS_MODE_4,
	BITS_MODE_5,
	/* of SPTEs: */
	BITS_MODE_EPT,
	BITS_MODE_NPT,
	BITS_MODE_SHADOW,
};

struct bits_request {
	enum bits_kind kind;
	enum bits_mode mode;
	/** Of the table that holds the entry; a level that the format lacks is cut. */
	unsigned level;
	unsigned generation; /* of SPTEs and roles: 0..2, entry_layout() */
	bool amd;
	uint8_t maxphyaddr; /* 32..52 */
	/** Cache bits of a CPU with L1TF; 0: without. */
	uint8_t l1tf;
	uint32_t flags; /* MODE_* */
	bool pcid, lam, ept_level5;
	/** Of SPTEs: the memslots' generation is @now, MMIO entries of another are stale. */
	bool now_given;
	uint64_t now;
};
/** Ready to use; bits_defaults() fits it to a vendor. */
void bits_defaults(struct bits_request *request, bool amd);

/** struct bits_bound - a request with what follows from it for every value. Its level and its
 * @now may be changed later, nothing else. */
struct bits_bound {
	struct bits_request request;
	struct mode mode; /* what the hardware takes entries for */
	struct entry_kind entries; /* of SPTEs */
};
void bits_bind(struct bits_bound *bound, const struct bits_request *request);

/** No text is longer. */
#define BITS_TEXT 192
#define BITS_FIELD_MAX 96
#define BITS_FINDING_MAX 64

struct bits_field {
	const char *name, *meaning;
	uint8_t high, low;
	uint64_t value; /* shifted down; of addresses: in place */
};

/** A broken rule: a reserved bit, a misconfiguration, a state that must not be. */
struct bits_finding {
	const char *rule; /* where it is written */
	const char *text;
};

/** struct bits_report - what came out. Not to be copied: texts may lie in @room. */
struct bits_report {
	/** As used (request->level cut to the format); 0 where there are no levels. */
	unsigned level;
	char summary[BITS_TEXT];
	/** Fields and findings beyond these counts hold anything. */
	unsigned field_count, finding_count;
	struct bits_field field[BITS_FIELD_MAX]; /* ascending */
	struct bits_finding finding[BITS_FINDING_MAX];
	unsigned summary_used, room_used;
	char room[(BITS_FINDING_MAX + 8) * BITS_TEXT];
};

void bits_explain(const struct bits_bound *bound, uint64_t value, struct bits_report *report);
/** bits_describe - bind and explain. */
void bits_describe(const struct bits_request *request, uint64_t value, struct bits_report *report);

/** bits_width - how many bits values of this kind have: 64 or 32. */
unsigned bits_width(const struct bits_request *request);

/** bits_top - the highest level of the request's tables; 0: the kind has no levels. */
unsigned bits_top(const struct bits_request *request);

/** bits_mode_fits - does @mode say anything about this kind? */
bool bits_mode_fits(enum bits_kind kind, enum bits_mode mode);

#endif
