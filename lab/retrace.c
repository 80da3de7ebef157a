/* SPDX-License-Identifier: MIT */
/*
 * retrace.c - records by their letters.
 *
 *	V P M          the machine, whose memory is whose, the guest's slots
 *	A R N Z S U e  pages and entries             (retrace_tables.c)
 *	K k            roots
 *	T              a flush that the library asks for
 *	L E            a root is loaded, the guest is entered
 *	F              a fault, and what came of it
 *	C D Q          counters, the tables, the end
 *
 * The guest may be entered when no flush is owed, when those that were asked for are done,
 * when its root is one and when none of its tables is open to it (retrace_frames.c).
 */
#include "lab/retrace_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION 1u
#define SELECT_TABLES 2u
#define SELECT_MAX 3u
#define CODE_WRITE 2u
#define CODE_USER 4u
#define CODE_FETCH 16u

void retrace_tell(struct retrace *r, const char *rule, const char *format, ...)
{
	struct retrace_finding finding = {.line = r->now->line, .rule = rule};
	va_list args;

	va_start(args, format);
	vsnprintf(finding.what, sizeof(finding.what), format, args);
	va_end(args);
	r->counts.findings++;
	r->found(r->context, &finding);
}

struct retrace *retrace_new(void (*found)(void *context, const struct retrace_finding *finding),
			    void *context)
{
	struct retrace *r = calloc(1, sizeof(*r));

	if (r) {
		r->found = found;
		r->context = context;
	}
	return r;
}

void retrace_free(struct retrace *r)
{
	for (uint64_t i = 0; i < r->pages_count; i++)
		free(r->page[i].entries);
	free(r->page);
	free(r->frames.slot);
	free(r);
}

bool retrace_whole(const struct retrace *r)
{
	return r->whole;
}

const struct retrace_counts *retrace_counts(const struct retrace *r)
{
	return &r->counts;
}

const struct retrace_machine *retrace_machine(const struct retrace *r)
{
	return &r->machine;
}

/* ---- the machine ---- */

static const char *take_machine(struct retrace *r, const uint64_t *v)
{
	const struct umbra_cpu cpu = {
		.vendor = v[5] ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL,
		.maxphyaddr = (uint8_t)v[6],
		.features = (uint32_t)v[7],
	};
	struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_NXE,
	};

	if (v[0] != VERSION)
		return "another version of the log";
	if (r->known || v[1] < 1 || v[1] > SELECT_MAX || v[2] > 1 || v[3] < 3 || v[3] > 5 ||
	    v[4] < 1 || v[4] > 3 || v[6] < 32 || v[6] > 52)
		return "no such machine";
	r->known = true;
	r->machine.tables = v[1] >= SELECT_TABLES;
	r->machine.shadow = v[2];
	r->machine.levels = (uint8_t)v[3];
	r->machine.maxphyaddr = cpu.maxphyaddr;
	r->page_level = (uint8_t)v[4];
	r->tcg = v[8];
	paging_bind(&r->pae, &cpu, &regs, false);
	if (v[3] > 3)
		regs.efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (v[3] > 4)
		regs.cr4 |= UMBRA_CR4_LA57;
	paging_bind(&r->format, &cpu, &regs, false);
	r->address = r->format.level[1].leaf_mask;
	return NULL;
}

static const char *take_memory(struct retrace *r, const uint64_t *v)
{
	const uint64_t pages = (v[3] - v[2]) >> UMBRA_PAGE_SHIFT;

	if (r->page || v[0] > v[2] || v[2] >= v[3] || v[3] > v[1] || pages > RETRACE_PAGES_MAX ||
	    (v[0] | v[1] | v[2] | v[3]) & (UMBRA_PAGE_SIZE - 1))
		return "no such memory";
	r->own_start = v[0];
	r->own_end = v[1];
	r->pages_start = v[2];
	r->page = calloc(pages, sizeof(*r->page));
	if (!r->page)
		return "out of memory";
	r->pages_count = pages;
	return NULL;
}

static const char *take_slot(struct retrace *r, const uint64_t *v)
{
	const uint64_t start = v[1] >> UMBRA_PAGE_SHIFT, size = v[2] >> UMBRA_PAGE_SHIFT;
	struct retrace_slot *slot = NULL;

	if ((v[1] | v[2]) & (UMBRA_PAGE_SIZE - 1) || start + size > 1ull << 40)
		return "no such slot";
	for (unsigned i = 0; i < r->slot_count; i++)
		if (r->slot[i].id == v[0])
			slot = &r->slot[i];
	if (!slot && r->slot_count == RETRACE_SLOTS_MAX)
		return "too many slots";
	if (!slot)
		slot = &r->slot[r->slot_count++];
	/* Flags may change: logging begins or ends. */
	if (slot->end && (slot->start != start || slot->end != start + size))
		retrace_slot_empty(r, slot->start, slot->end);
	*slot = (struct retrace_slot){(uint32_t)v[0], (uint32_t)v[3], start, start + size};
	if (v[1] < r->own_end && r->own_start < v[1] + v[2])
		retrace_tell(r, "slot", "slot %" PRIx64 " reaches into the hypervisor's memory",
			     v[0]);
	for (unsigned i = 0; i < r->slot_count; i++)
		if (&r->slot[i] != slot && start < r->slot[i].end &&
		    r->slot[i].start < start + size)
			retrace_tell(r, "I-4", "slots %" PRIx64 " and %x overlap", v[0],
				     r->slot[i].id);
	return NULL;
}

/* ---- flushes, roots, the guest ---- */

static void flush(struct retrace *r, uint64_t start, uint64_t pages)
{
	unsigned kept = 0;

	if (!pages && start)
		retrace_tell(r, "flush", "no such flush, from frame %" PRIx64, start);
	else if (pages && r->machine.shadow)
		retrace_tell(r, "flush", "a flush of a range, of linear addresses");
	r->counts.flushes++;
	r->flush_line = r->now->line;
	for (unsigned i = 0; i < r->owed_count; i++) {
		const struct retrace_owed *owed = &r->owed[i];

		if (pages && (owed->start < start || owed->end > start + pages))
			r->owed[kept++] = *owed;
	}
	r->owed_count = kept;
}

/* Levels of the root that the registers want. */
static unsigned root_level(const struct retrace *r, const uint64_t *v)
{
	if (!r->machine.shadow)
		return r->machine.levels;
	if (!(v[2] & UMBRA_CR0_PG) || !(v[5] & UMBRA_EFER_LMA))
		return 3;
	return v[4] & UMBRA_CR4_LA57 ? 5 : 4;
}

/* Frame of the guest's top table; 0 without paging. */
static uint64_t root_gfn(const struct retrace *r, const uint64_t *v)
{
	if (!r->machine.shadow || !(v[2] & UMBRA_CR0_PG))
		return 0;
	return (v[3] & r->address) >> UMBRA_PAGE_SHIFT;
}

static void load(struct retrace *r, const uint64_t *v)
{
	struct retrace_page *page = retrace_page_at(r, v[0]);

	if (!page || page->state != PAGE_TABLE || !page->references ||
	    page->role.level != root_level(r, v)) {
		retrace_tell(r, "I-1", "%" PRIx64 " is loaded, and is no root of level %u", v[0],
			     root_level(r, v));
		page = NULL;
	}
	if (page && page->gfn != root_gfn(r, v))
		retrace_tell(r, "I-1",
			     "root %" PRIx64 " is for frame %" PRIx64 ", CR3 says %" PRIx64, v[0],
			     page->gfn, root_gfn(r, v));
	if (v[1])
		r->flush_line = r->now->line;
	r->root = page;
	r->root_taken = false;
}

static void enter(struct retrace *r, bool flushed)
{
	r->counts.entered++;
	if (!r->root)
		retrace_tell(r, "I-1", "the guest is entered without a root");
	else if (r->root->state != PAGE_TABLE)
		retrace_tell(r, "I-1", "the guest is entered with a root that has been zapped");
	if (r->owed_count)
		retrace_tell(r, "flush",
			     "the guest is entered, and what line %lu takes away is not flushed",
			     r->owed[0].line);
	if (r->flush_line && !flushed)
		retrace_tell(r, "flush",
			     "the guest is entered without the flush that line %lu asks for",
			     r->flush_line);
	r->owed_count = 0;
	r->flush_line = 0;
	r->cleared = 0;
	retrace_frames_check(r);
}

/* What was repaired lets the access through, to the frame that was asked for. */
static void fault(struct retrace *r, uint64_t address, uint64_t code, uint64_t gpa)
{
	struct retrace_place at;

	if (!r->machine.tables || !r->root || r->root->state != PAGE_TABLE || r->root_taken)
		return;
	if (!retrace_translate(r, address, &at) || (code & CODE_WRITE && !(at.rights & PTE_W)) ||
	    (code & CODE_USER && !(at.rights & PTE_U)) || (code & CODE_FETCH && at.rights & PTE_XD))
		retrace_tell(r, "fault", "address %" PRIx64 " is said to be repaired, and is not",
			     address);
	else if (at.frame != gpa >> UMBRA_PAGE_SHIFT)
		retrace_tell(r, "fault",
			     "address %" PRIx64 " leads to frame %" PRIx64
			     ", and should to %" PRIx64,
			     address, at.frame, gpa >> UMBRA_PAGE_SHIFT);
}

/* ---- the end ---- */

static void counters(struct retrace *r, const uint64_t *v)
{
	const struct {
		const char *what;
		uint64_t here;
		bool tables; /* counted by records that not every log has */
	} counted[] = {
		{"faults", r->counts.faults, false},
		{"tables", r->tables, true},
		{"4K pages", r->leaves[1], true},
		{"2M pages", r->leaves[2], true},
		{"1G pages", r->leaves[3], true},
		{"flushes", r->counts.flushes, true},
		{"unsync tables", r->counts.unsyncs, true},
		{"zapped tables", r->counts.zapped, true},
		{"pages for tables", r->held, true},
	};

	r->counted = true;
	for (unsigned i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		if (v[i] != counted[i].here && (!counted[i].tables || r->machine.tables))
			retrace_tell(r, "I-13", "%" PRIu64 " %s counted, %" PRIu64 " in the log",
				     v[i], counted[i].what, counted[i].here);
}

static void finish(struct retrace *r, uint64_t count)
{
	if (count != r->counts.records)
		retrace_tell(r, "log", "%" PRIu64 " records before this one, and it says %" PRIu64,
			     r->counts.records, count);
	if (!r->counted)
		retrace_tell(r, "log", "no counters before the end");
	r->counted = false;
	if (r->machine.tables)
		retrace_dump_done(r);
	r->whole = true;
}

/* ---- records ---- */

/* Letters, how many numbers, and whether they are about tables. */
static const struct {
	char letter;
	uint8_t least, most;
	bool tables;
} kinds[] = {
	{'V', 9, 9, false}, {'P', 4, 4, false}, {'F', 4, 4, false}, {'C', 9, 9, false},
	{'Q', 1, 1, false}, {'M', 4, 4, true},  {'A', 1, 1, true},  {'R', 1, 1, true},
	{'N', 3, 3, true},  {'Z', 2, 2, true},  {'S', 4, 4, true},  {'W', 3, 3, true},
	{'U', 1, 1, true},  {'Y', 2, 2, true},  {'e', 1, 1, true},  {'T', 2, 2, true},
	{'K', 1, 1, true},  {'k', 2, 2, true},  {'B', 4, 4, true},  {'L', 6, 6, true},
	{'E', 1, 1, true},  {'D', 2, 10, true}, {'w', 4, 4, false}, {'h', 3, 3, false},
	{'c', 4, 4, false}, {'m', 4, 4, false},
};

static bool fits(const struct retrace *r, const struct log_record *record)
{
	const uint64_t *v = record->value;

	/* Numbers with few values. */
	if ((record->kind == 'E' && v[0] > 1) || (record->kind == 'L' && v[1] > 1) ||
	    (record->kind == 'F' && v[2] >= UMBRA_VERDICT_COUNT))
		return false;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].letter == record->kind)
			return record->count >= kinds[i].least && record->count <= kinds[i].most &&
			       (r->page || record->kind == 'V' || record->kind == 'P') &&
			       (!kinds[i].tables || r->machine.tables);
	return false;
}

static void on_fault(struct retrace *r, const uint64_t *v)
{
	r->counts.faults++;
	if ((v[2] == UMBRA_RESUME || v[2] == UMBRA_EMULATE) &&
	    (v[0] ^ v[3]) & (UMBRA_PAGE_SIZE - 1))
		retrace_tell(r, "fault", "address %" PRIx64 " cannot lead to %" PRIx64, v[0], v[3]);
	if (v[2] == UMBRA_RESUME)
		fault(r, v[0], v[1], v[3]);
}

static void on_page(struct retrace *r, const struct log_record *record)
{
	const uint64_t *v = record->value;

	switch (record->kind) {
	case 'A': retrace_take(r, v[0]); break;
	case 'R': retrace_give(r, v[0]); break;
	case 'N': retrace_make(r, v[0], v[1], v[2]); break;
	case 'Z': retrace_zap(r, v[0], v[1]); break;
	case 'U': retrace_unsync(r, v[0], true); break;
	case 'Y': retrace_synced(r, v[0], v[1]); break;
	case 'e': retrace_unsync(r, v[0], false); break;
	case 'K':
		r->counts.roots++;
		r->root_taken = true;
		retrace_reference(r, v[0], 1, 0);
		break;
	case 'k': retrace_reference(r, v[0], -1, v[1]); break;
	default: retrace_dump(r, record);
	}
}

static const char *take(struct retrace *r, const struct log_record *record)
{
	const uint64_t *v = record->value;

	switch (record->kind) {
	case 'V': return take_machine(r, v);
	case 'P': return r->known ? take_memory(r, v) : "a machine should come first";
	case 'M': return take_slot(r, v);
	case 'S': retrace_set(r, record); break;
	case 'T': flush(r, v[0], v[1]); break;
	case 'L': load(r, v); break;
	case 'E': enter(r, v[0]); break;
	case 'F': on_fault(r, v); break;
	case 'C': counters(r, v); break;
	case 'Q': finish(r, v[0]); break;
	case 'B':
		retrace_tell(r, "I-17",
			     "frame %" PRIx64 " was mapped at %" PRIx64 " in place of %" PRIx64,
			     v[1], v[0], v[2]);
		break;
	case 'W': retrace_written(r, v); break;
	case 'w':
	case 'h':
	case 'c':
	case 'm': break;
	default: on_page(r, record);
	}
	return NULL;
}

bool retrace_record(struct retrace *r, const struct log_record *record, char *error, size_t size)
{
	const char *wrong;

	r->now = record;
	r->whole = false;
	if (!fits(r, record)) {
		snprintf(error, size, "no such record '%c' with %u numbers can be here",
			 record->kind, record->count);
		return false;
	}
	wrong = take(r, record);
	if (!wrong && r->out_of_memory)
		wrong = "out of memory";
	if (wrong) {
		snprintf(error, size, "%s", wrong);
		return false;
	}
	r->counts.records++;
	return true;
}
