/* SPDX-License-Identifier: MIT */
/*
 * compare.c - could the guest tell the two machines apart?
 *
 * Outcomes: the same end; exceptions with the same kind, error code and (for
 * #PF) CR2; completed accesses with the same guest-physical pieces, on memory of
 * the same kind, and the same bytes read. After a store the bytes at the pieces
 * are equal in both memories.
 *
 * Memory: word by word, A/D bits in guest tables included. Only a CPU that
 * speculates may have set more Accessed bits, and those only in present entries
 * of the guest's own tables. Pages that neither machine wrote to are equal by
 * construction; /proc/self/pagemap tells which those are (private memory that
 * was never copied), so that a gigabyte of untouched memory costs nothing.
 * Without pagemap all of it is compared.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/pagemap.h"
#include "lab/parts.h"
#include "lab/scan.h"

/* ---- reporting ---- */

void compare_report(struct lab *lab, struct lab_difference *difference)
{
	lab->counts.differences++;
	difference->regs = *lab_regs(lab);
	if (lab->found)
		lab->found(lab->context, difference);
}

/* ---- guest tables ---- */

/* Guest tables, a bit per page of each memory, for speculating CPUs. */
struct tables {
	struct lab *lab;
	uint8_t *bits[LAB_MEMORY_MAX];
};

static const void *table_at(void *context, umbra_gpa gpa, size_t size)
{
	struct tables *tables = context;
	unsigned index;

	if (lab_place_of(tables->lab, gpa, &index) == LAB_NOTHING)
		return NULL;
	if (gpa.v - tables->lab->memory[index].base.v + size > tables->lab->memory[index].size)
		return NULL;
	return lab_bytes(tables->lab, gpa);
}

static bool table_leaf(void *context, const struct scan_leaf *leaf)
{
	(void)context;
	(void)leaf;
	return true;
}

static bool table_note(void *context, const struct scan_note *note)
{
	struct tables *tables = context;
	unsigned index;
	uint64_t page;

	if (note->kind != SCAN_TABLE ||
	    lab_place_of(tables->lab, note->gpa, &index) == LAB_NOTHING || !tables->bits[index])
		return true;
	page = (note->gpa.v - tables->lab->memory[index].base.v) / UMBRA_PAGE_SIZE;
	tables->bits[index][page / 8] |= (uint8_t)(1u << page % 8);
	return true;
}

static void find_tables(struct tables *tables)
{
	struct umbra_cpu cpu = lab_guest_cpu(&tables->lab->config);
	struct scan scan = {
		.regs = lab_regs(tables->lab),
		.cpu = &cpu,
		.context = tables,
		.at = table_at,
		.leaf = table_leaf,
		.note = table_note,
	};

	for (unsigned i = 0; i < tables->lab->memory_count; i++) {
		const size_t size = tables->lab->memory[i].size / UMBRA_PAGE_SIZE / 8 + 1;

		tables->bits[i] = calloc(size, 1);
		if (tables->bits[i] && tables->lab->noted[i])
			memcpy(tables->bits[i], tables->lab->noted[i], size);
	}
	/* Addresses in L2's own tables are not L1's. */
	if (!nested_paging(tables->lab))
		scan_run(&scan);
}

static void forget_tables(struct tables *tables)
{
	for (unsigned i = 0; i < LAB_MEMORY_MAX; i++)
		free(tables->bits[i]);
}

/* Do the machine's choices allow more Accessed bits than the BARE machine sets? */
static bool may_mark(const struct lab *lab)
{
	const unsigned more = MODEL_A_ON_FAULT | MODEL_A_ON_DENIED |
			      (lab->config.caching == MODEL_HOSTILE ? MODEL_SPECULATE : 0);

	return lab->config.choices & more;
}

/* May such a CPU have made the @size bytes at @gpa out of those of the BARE one?
 * A and P are both in an entry's first byte. */
static bool only_marked(const struct tables *tables, umbra_gpa gpa, const uint8_t *bare,
			const uint8_t *umbra, size_t size)
{
	/* With L2 there are tables of two modes. */
	const bool wide = lab_regs(tables->lab)->cr4 & UMBRA_CR4_PAE && !tables->lab->ran_l2;
	const unsigned entry = wide ? 8 : 4;
	const unsigned accessed = 1u << 5, present = 1;

	for (size_t i = 0; i < size; i++) {
		uint64_t at = gpa.v + i, page;
		unsigned index;

		if (bare[i] == umbra[i])
			continue;
		if (at % entry || umbra[i] != (bare[i] | accessed) || !(bare[i] & present) ||
		    lab_place_of(tables->lab, (umbra_gpa){at}, &index) == LAB_NOTHING ||
		    !tables->bits[index])
			return false;
		page = (at - tables->lab->memory[index].base.v) / UMBRA_PAGE_SIZE;
		if (!(tables->bits[index][page / 8] >> page % 8 & 1))
			return false;
	}
	return true;
}

/* ---- outcomes ---- */

static bool same_event(const struct umbra_event *a, const struct umbra_event *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind != UMBRA_EVENT_PF || (a->code == b->code && a->gva.v == b->gva.v);
}

/* What L1 sees of an exit: bits that are defined, and addresses (H-79, H-80, H-95). */
static bool same_exit(const struct lab_side *bare, const struct lab_side *umbra)
{
	const struct umbra_event *a = &bare->event, *b = &umbra->event;

	if (!same_event(a, b) || (a->code ^ b->code) & bare->code_defined)
		return false;
	switch (a->kind) {
	case UMBRA_EVENT_EPT_VIOLATION:
		if (a->code & UMBRA_EPTQ_GVA && a->gva.v != b->gva.v)
			return false;
		return a->gpa.v == b->gpa.v;
	case UMBRA_EVENT_EPT_MISCONFIG:
	case UMBRA_EVENT_NPF: return a->gpa.v == b->gpa.v;
	default: return true;
	}
}

/* Where the manuals are unsure the BARE machine takes one of several ways. */
static bool explained(const struct lab *lab, const struct lab_access *access,
		      const struct lab_side *umbra)
{
	const struct model_access a = {
		.gva = access->gva,
		.size = access->size,
		.access = access->access,
	};
	const struct model_outcome seen = {.event = umbra->event};

	return access->size && model_explains(lab->bare, &a, &seen);
}

static bool same_pieces(const struct lab_side *a, const struct lab_side *b)
{
	if (a->piece_count != b->piece_count)
		return false;
	for (unsigned i = 0; i < a->piece_count; i++) {
		if (a->piece[i].gpa.v != b->piece[i].gpa.v ||
		    a->piece[i].size != b->piece[i].size || a->piece[i].place != b->piece[i].place)
			return false;
	}
	return true;
}

/* The bytes of both memories at an access's pieces. @tables: NULL, or what may differ. */
static bool same_memory(const struct lab *lab, const struct lab_side *side,
			const struct tables *tables)
{
	for (unsigned i = 0; i < side->piece_count; i++) {
		const struct lab_piece *piece = &side->piece[i];
		const struct lab_memory *m;
		unsigned index;
		uint64_t offset;
		const uint8_t *bare, *umbra;

		if (lab_place_of(lab, piece->gpa, &index) == LAB_NOTHING)
			continue;
		m = &lab->memory[index];
		offset = piece->gpa.v - m->base.v;
		bare = (uint8_t *)m->bare + offset;
		umbra = (uint8_t *)m->umbra + offset;
		if (memcmp(bare, umbra, piece->size) &&
		    !(tables && only_marked(tables, piece->gpa, bare, umbra, piece->size)))
			return false;
	}
	return true;
}

/* The bytes read. */
static bool same_data(const struct lab_side *bare, const struct lab_side *umbra,
		      const struct tables *tables)
{
	unsigned at = 0;

	if (!memcmp(bare->data, umbra->data, sizeof(bare->data)))
		return true;
	for (unsigned i = 0; i < bare->piece_count; i++) {
		const struct lab_piece *piece = &bare->piece[i];

		if (memcmp(bare->data + at, umbra->data + at, piece->size) &&
		    !(tables && only_marked(tables, piece->gpa, bare->data + at, umbra->data + at,
					    piece->size)))
			return false;
		at += piece->size;
	}
	return true;
}

static bool same_bytes(const struct lab *lab, const struct lab_access *access,
		       const struct lab_side *bare, const struct lab_side *umbra,
		       const struct tables *tables)
{
	return same_data(bare, umbra, tables) &&
	       (!(access->access & UMBRA_ACCESS_WRITE) || same_memory(lab, bare, tables));
}

/* The same bytes, but for Accessed bits that the machine was free to set. */
static bool equal_bytes(struct lab *lab, const struct lab_access *access,
			const struct lab_side *bare, const struct lab_side *umbra)
{
	struct tables tables = {.lab = lab};
	bool same = same_bytes(lab, access, bare, umbra, NULL);

	if (same || !may_mark(lab))
		return same;
	find_tables(&tables);
	same = same_bytes(lab, access, bare, umbra, &tables);
	forget_tables(&tables);
	return same;
}

bool compare_sides(struct lab *lab, const char *kind, const struct lab_access *access,
		   const struct lab_side *bare, const struct lab_side *umbra)
{
	struct lab_difference difference = {.kind = kind, .access = *access};
	bool same = bare->end == umbra->end;

	if (same && bare->end == LAB_EXCEPTION)
		same = same_event(&bare->event, &umbra->event);
	if (same && bare->end == LAB_EXIT_L1)
		same = same_exit(bare, umbra) || explained(lab, access, umbra);
	if (same && bare->end == LAB_DONE) {
		same = same_pieces(bare, umbra);
		if (same && !equal_bytes(lab, access, bare, umbra)) {
			same = false;
			if (access->access & UMBRA_ACCESS_WRITE)
				difference.what = "the bytes stored differ";
		}
	}
	if (same)
		return true;
	difference.bare = *bare;
	difference.umbra = *umbra;
	compare_report(lab, &difference);
	return false;
}

/* ---- audit ---- */

static void on_finding(void *context, const struct umbra_finding *finding)
{
	struct lab_difference difference = {
		.kind = "audit",
		.what = finding->invariant,
		.gpa = {finding->where},
		.bare_value = finding->value,
		.umbra_value = finding->other,
		.umbra = {.what = finding->what},
		.recent = finding->recent,
		.recent_count = finding->recent_count,
	};

	compare_report(context, &difference);
}

uint64_t lab_audit(struct lab *lab)
{
	return umbra_audit(lab->vm, on_finding, lab);
}

/* ---- memory ---- */

static uint64_t compare_page(struct lab *lab, const struct tables *tables, unsigned index,
			     uint64_t page)
{
	const struct lab_memory *m = &lab->memory[index];
	const uint8_t *bare = (uint8_t *)m->bare + page * UMBRA_PAGE_SIZE;
	const uint8_t *umbra = (uint8_t *)m->umbra + page * UMBRA_PAGE_SIZE;
	uint64_t count = 0;

	if (!memcmp(bare, umbra, UMBRA_PAGE_SIZE))
		return 0;
	for (unsigned i = 0; i < UMBRA_PAGE_SIZE; i += 8) {
		struct lab_difference difference = {.kind = "memory"};

		memcpy(&difference.bare_value, bare + i, 8);
		memcpy(&difference.umbra_value, umbra + i, 8);
		if (difference.bare_value == difference.umbra_value)
			continue;
		if (tables &&
		    only_marked(tables, (umbra_gpa){m->base.v + page * UMBRA_PAGE_SIZE + i},
				bare + i, umbra + i, 8))
			continue;
		count++;
		difference.gpa.v = m->base.v + page * UMBRA_PAGE_SIZE + i;
		compare_report(lab, &difference);
	}
	return count;
}

uint64_t lab_compare_memory(struct lab *lab)
{
	const bool marks = may_mark(lab);
	const int map = pagemap_open();
	struct tables tables = {.lab = lab};
	uint64_t count = 0;

	if (marks)
		find_tables(&tables);
	for (unsigned i = 0; i < lab->memory_count; i++) {
		const struct lab_memory *m = &lab->memory[i];
		const uint64_t pages = m->size / UMBRA_PAGE_SIZE;

		for (uint64_t page = 0; page < pages; page += PAGEMAP_BATCH) {
			unsigned n = pages - page < PAGEMAP_BATCH ? (unsigned)(pages - page)
								  : PAGEMAP_BATCH;
			bool look[PAGEMAP_BATCH] = {false};

			pagemap_own(map, (uint8_t *)m->bare + page * UMBRA_PAGE_SIZE, n, look);
			pagemap_own(map, (uint8_t *)m->umbra + page * UMBRA_PAGE_SIZE, n, look);
			for (unsigned k = 0; k < n; k++)
				if (look[k])
					count += compare_page(lab, marks ? &tables : NULL, i,
							      page + k);
		}
	}
	forget_tables(&tables);
	if (map >= 0)
		close(map);
	return count;
}

/* ---- words ---- */

static const char *event_name(enum umbra_event_kind kind)
{
	static const char *const names[UMBRA_EVENT_KINDS] = {
		[UMBRA_EVENT_NONE] = "nothing",
		[UMBRA_EVENT_PF] = "#PF",
		[UMBRA_EVENT_GP] = "#GP",
		[UMBRA_EVENT_SS] = "#SS",
		[UMBRA_EVENT_NPF] = "NPF",
		[UMBRA_EVENT_EPT_VIOLATION] = "EPT violation",
		[UMBRA_EVENT_EPT_MISCONFIG] = "EPT misconfiguration",
		[UMBRA_EVENT_PML_FULL] = "PML full",
		[UMBRA_EVENT_VMFUNC] = "VMFUNC",
		[UMBRA_EVENT_VE] = "#VE",
	};

	return kind < UMBRA_EVENT_KINDS ? names[kind] : "?";
}

static void side_text(const struct lab_difference *d, const struct lab_side *side, char *to,
		      size_t size)
{
	static const char *const places[] = {"RAM", "ROM", "MMIO"};
	int n = 0;

	switch (side->end) {
	case LAB_EXIT_L1:
		snprintf(to, size,
			 "exit to L1: %s code 0x%" PRIx64 " gpa 0x%" PRIx64 " gva 0x%" PRIx64,
			 event_name(side->event.kind), side->event.code, side->event.gpa.v,
			 side->event.gva.v);
		return;
	case LAB_EXCEPTION:
		if (side->event.kind == UMBRA_EVENT_PF)
			snprintf(to, size, "#PF code 0x%" PRIx64 " CR2 0x%" PRIx64,
				 side->event.code, side->event.gva.v);
		else
			snprintf(to, size, "%s", event_name(side->event.kind));
		return;
	case LAB_REFUSED: snprintf(to, size, "#GP, nothing changed"); return;
	case LAB_NO_PROGRESS:
		snprintf(to, size, "no progress after %u faults", side->rounds);
		return;
	case LAB_STATUS: snprintf(to, size, "%s", umbra_strstatus(side->status)); return;
	case LAB_WRONG: snprintf(to, size, "%s", side->what); return;
	case LAB_DONE: break;
	}
	n = snprintf(to, size, "done");
	for (unsigned i = 0; i < side->piece_count && n > 0 && (size_t)n < size; i++)
		n += snprintf(to + n, size - (size_t)n, " %s 0x%" PRIx64 "+%u",
			      places[side->piece[i].place], side->piece[i].gpa.v,
			      side->piece[i].size);
	if (d->access.access & UMBRA_ACCESS_WRITE || n <= 0)
		return;
	for (unsigned i = 0; i < d->access.size && (size_t)n < size; i++)
		n += snprintf(to + n, size - (size_t)n, "%s%02x", i ? "" : " data ", side->data[i]);
}

static void access_text(const struct lab_access *access, char *to, size_t size)
{
	const unsigned a = access->access;

	snprintf(to, size, "%s %s%s%s%s %u bytes at 0x%" PRIx64,
		 a & UMBRA_ACCESS_USER ? "user" : "supervisor",
		 a & UMBRA_ACCESS_IMPLICIT ? "implicit " : "", a & UMBRA_ACCESS_AC ? "AC=1 " : "",
		 a & UMBRA_ACCESS_SHSTK ? "shadow-stack " : "",
		 a & UMBRA_ACCESS_WRITE   ? "write"
		 : a & UMBRA_ACCESS_FETCH ? "fetch"
					  : "read",
		 access->size, access->gva.v);
}

/* One line for each event of an entry's past. */
static void recent_text(const struct lab_difference *d, char *text, size_t size)
{
	/* NULL: not about an entry. Each takes a, b, c, d (umbra_trace_kind). */
	static const char *const format[UMBRA_TRACE_KINDS] = {
		[UMBRA_TRACE_GET_PAGE] =
			"get_page: gfn 0x%" PRIx64 " role 0x%" PRIx64 " table 0x%" PRIx64,
		[UMBRA_TRACE_PREPARE_ZAP_PAGE] =
			"prepare_zap_page: gfn 0x%" PRIx64 " role 0x%" PRIx64 " table 0x%" PRIx64
			" entries %" PRIu64,
		[UMBRA_TRACE_SET_SPTE] = "set_spte: at 0x%" PRIx64 " old 0x%" PRIx64
					 " new 0x%" PRIx64 " level %" PRIu64,
		[UMBRA_TRACE_WRITE] = "write: gpa 0x%" PRIx64 " bytes %" PRIu64 " entries %" PRIu64,
		[UMBRA_TRACE_UNSYNC_PAGE] =
			"unsync_page: gfn 0x%" PRIx64 " role 0x%" PRIx64 " table 0x%" PRIx64,
		[UMBRA_TRACE_SYNC_PAGE] = "sync_page: gfn 0x%" PRIx64 " role 0x%" PRIx64
					  " table 0x%" PRIx64 " changed %" PRIu64,
		[UMBRA_TRACE_FLUSH] = "flush: gfn 0x%" PRIx64 " pages %" PRIu64,
		[UMBRA_TRACE_ROOT] = "root: 0x%" PRIx64 " role 0x%" PRIx64 " gfn 0x%" PRIx64,
		[UMBRA_TRACE_CHANGED_PFN] = "changed_pfn: gpa 0x%" PRIx64 " frame mapped 0x%" PRIx64
					    " frame pinned 0x%" PRIx64,
	};

	for (unsigned i = 0; i < d->recent_count; i++) {
		const struct umbra_trace *e = &d->recent[i].event;
		size_t used = strlen(text);

		if (!format[e->kind])
			continue;
		used += (size_t)snprintf(text + used, size - used, "\n  -%-4" PRIu64 " ",
					 d->recent[i].ago);
		if (used < size)
			snprintf(text + used, size - used, format[e->kind], e->a, e->b, e->c, e->d);
	}
}

void lab_difference_print(const struct lab_difference *d, char *text, size_t size)
{
	char bare[256], umbra[256], access[128];

	if (!strcmp(d->kind, "memory")) {
		snprintf(text, size,
			 "memory at 0x%" PRIx64 "\n  bare  0x%016" PRIx64 "\n  umbra 0x%016" PRIx64,
			 d->gpa.v, d->bare_value, d->umbra_value);
		return;
	}
	if (!strcmp(d->kind, "audit")) {
		snprintf(text, size, "audit %s: %s\n  at 0x%" PRIx64 ": 0x%" PRIx64 ", 0x%" PRIx64,
			 d->what, d->umbra.what, d->gpa.v, d->bare_value, d->umbra_value);
		recent_text(d, text, size);
		return;
	}
	if (!strcmp(d->kind, "pml")) {
		snprintf(text, size, "PML index\n  bare  0x%" PRIx64 "\n  umbra 0x%" PRIx64,
			 d->bare_value, d->umbra_value);
		return;
	}
	side_text(d, &d->bare, bare, sizeof(bare));
	side_text(d, &d->umbra, umbra, sizeof(umbra));
	access_text(&d->access, access, sizeof(access));
	if (!strcmp(d->kind, "instruction"))
		snprintf(access, sizeof(access), "MOV or WRMSR of a paging register");
	snprintf(text, size,
		 "%s (cr0 %" PRIx64 " cr3 %" PRIx64 " cr4 %" PRIx64 " efer %" PRIx64 ")%s%s\n"
		 "  bare  %s\n  umbra %s",
		 access, d->regs.cr0, d->regs.cr3, d->regs.cr4, d->regs.efer, d->what ? ": " : "",
		 d->what ? d->what : "", bare, umbra);
}
