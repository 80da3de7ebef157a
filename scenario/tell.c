/* SPDX-License-Identifier: MIT */
/*
 * tell.c - notes of a step to words.
 *
 *	 3. vcpu 0 writes 0x400000 (user)
 *	      guest: L4[0]=0x101007 L3[0]=0x102007 L2[2]=0x103007 L1[0]=0x5027
 *	      exit: #PF 0x7 (P W U) at 0x400000
 *	      L1[0]: gpa 0x5000 R--U -> gpa 0x5000 RW-U
 *	      umbra: resume, mapped at level 1
 *	      done: gpa 0x5000; bare machine: the same
 */
#include "scenario/tell.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "scenario/tables.h"

/* More entries than this in a step are counted, not listed. */
#define LISTED 10

enum style { PLAIN, BOLD, DIM, RED, GREEN, YELLOW };

static const char *style(const struct story *story, enum style style)
{
	static const char *const escapes[] = {"\033[0m",  "\033[1m",  "\033[2m",
					      "\033[31m", "\033[32m", "\033[33m"};

	return story->colour ? escapes[style] : "";
}

void tell_step(struct story *story, const char *format, ...)
{
	va_list args;

	story->step++;
	if (!tell_is_on(story))
		return;
	fprintf(story->to, "%3u. %s", story->step, style(story, BOLD));
	va_start(args, format);
	vfprintf(story->to, format, args);
	va_end(args);
	fprintf(story->to, "%s\n", style(story, PLAIN));
}

void tell_line(struct story *story, const char *format, ...)
{
	va_list args;

	if (!tell_is_on(story))
		return;
	fprintf(story->to, "       ");
	va_start(args, format);
	vfprintf(story->to, format, args);
	va_end(args);
	fprintf(story->to, "\n");
}

/* ---- words ---- */

static void add(char *text, size_t size, const char *word)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s%s", used ? " " : "", word);
}

const char *tell_pf_code(uint64_t code, char *text, size_t size)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} names[] = {
		{UMBRA_PF_P, "P"},       {UMBRA_PF_W, "W"},          {UMBRA_PF_U, "U"},
		{UMBRA_PF_RSVD, "RSVD"}, {UMBRA_PF_I, "I"},          {UMBRA_PF_PK, "PK"},
		{UMBRA_PF_SS, "SS"},     {UMBRA_NPF_FINAL, "FINAL"}, {UMBRA_NPF_TABLE, "TABLE"},
	};

	*text = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (code & names[i].bit)
			add(text, size, names[i].name);
	if (!*text)
		add(text, size, "none");
	return text;
}

const struct tell_bit tell_eptq_names[] = {
	{"read", UMBRA_EPTQ_READ},
	{"write", UMBRA_EPTQ_WRITE},
	{"fetch", UMBRA_EPTQ_FETCH},
	{"R", UMBRA_EPTQ_R},
	{"W", UMBRA_EPTQ_W},
	{"X", UMBRA_EPTQ_X},
	{"XU", UMBRA_EPTQ_XU},
	{"GVA", UMBRA_EPTQ_GVA},
	{"FINAL", UMBRA_EPTQ_FINAL},
	{"GUEST_U", UMBRA_EPTQ_GUEST_U},
	{"GUEST_W", UMBRA_EPTQ_GUEST_W},
	{"GUEST_NX", UMBRA_EPTQ_GUEST_NX},
	{"SS", UMBRA_EPTQ_SHSTK},
	{NULL, 0},
};

const char *tell_access(unsigned access, char *text, size_t size)
{
	*text = 0;
	add(text, size, access & UMBRA_ACCESS_USER ? "user" : "supervisor");
	if (access & UMBRA_ACCESS_IMPLICIT)
		add(text, size, "implicit");
	if (access & UMBRA_ACCESS_SHSTK)
		add(text, size, "shadow stack");
	if (access & UMBRA_ACCESS_AC)
		add(text, size, "AC=1");
	return text;
}

const char *tell_entry(const struct world_entry *e, char *text, size_t size)
{
	if (e->faults)
		snprintf(text, size, "MMIO");
	else if (!e->present)
		snprintf(text, size, "nothing");
	else if (!e->leaf)
		snprintf(text, size, "table");
	else if (!e->mapped)
		snprintf(text, size, "memory that is not the guest's");
	else
		snprintf(text, size, "gpa 0x%" PRIx64 " R%c%c%s%s", e->gpa.v,
			 e->writable ? 'W' : '-', e->executable ? 'X' : '-',
			 e->no_users ? ""
			 : e->user   ? "U"
				     : "-",
			 e->level == 3   ? " 1G"
			 : e->level == 2 ? " 2M"
					 : "");
	return text;
}

/* @gpa: "gpa", or whose. */
static const char *event_words(const struct umbra_event *event, const char *gpa, char *text,
			       size_t size)
{
	char code[64];

	switch (event->kind) {
	case UMBRA_EVENT_PF:
		snprintf(text, size, "#PF 0x%" PRIx64 " (%s) at 0x%" PRIx64, event->code,
			 tell_pf_code(event->code, code, sizeof(code)), event->gva.v);
		break;
	case UMBRA_EVENT_GP: snprintf(text, size, "#GP"); break;
	case UMBRA_EVENT_SS: snprintf(text, size, "#SS"); break;
	case UMBRA_EVENT_NPF:
		snprintf(text, size, "NPF 0x%" PRIx64 " (%s) at %s 0x%" PRIx64, event->code,
			 tell_pf_code(event->code, code, sizeof(code)), gpa, event->gpa.v);
		break;
	case UMBRA_EVENT_EPT_VIOLATION:
		snprintf(text, size, "EPT violation (%s%s%s) at %s 0x%" PRIx64,
			 event->code & UMBRA_EPTQ_WRITE   ? "write"
			 : event->code & UMBRA_EPTQ_FETCH ? "fetch"
							  : "read",
			 !(event->code & UMBRA_EPTQ_GVA)  ? ""
			 : event->code & UMBRA_EPTQ_FINAL ? ""
							  : ", of a guest table",
			 event->code & (UMBRA_EPTQ_R | UMBRA_EPTQ_W | UMBRA_EPTQ_X | UMBRA_EPTQ_XU)
				 ? ", present"
				 : "",
			 gpa, event->gpa.v);
		break;
	case UMBRA_EVENT_EPT_MISCONFIG:
		snprintf(text, size, "EPT misconfiguration at %s 0x%" PRIx64, gpa, event->gpa.v);
		break;
	case UMBRA_EVENT_PML_FULL: snprintf(text, size, "the page-modification log is full"); break;
	default: snprintf(text, size, "event %d", (int)event->kind);
	}
	return text;
}

const char *tell_qualification(uint64_t code, char *text, size_t size)
{
	*text = 0;
	for (size_t i = 0; tell_eptq_names[i].name; i++)
		if (code & tell_eptq_names[i].bit)
			add(text, size, tell_eptq_names[i].name);
	if (!*text)
		add(text, size, "none");
	return text;
}

/* As L1 is told. */
static const char *exit_words(const struct umbra_event *event, char *text, size_t size)
{
	char code[96], words[160];

	if (event->kind == UMBRA_EVENT_EPT_VIOLATION)
		snprintf(words, sizeof(words),
			 "EPT violation 0x%" PRIx64 " (%s) at L2's gpa 0x%" PRIx64, event->code,
			 tell_qualification(event->code, code, sizeof(code)), event->gpa.v);
	else
		event_words(event, "L2's gpa", words, sizeof(words));
	snprintf(text, size, "exit to L1: %s", words);
	return text;
}

const char *tell_outcome(const struct world_outcome *o, char *text, size_t size)
{
	switch (o->end) {
	case WORLD_DONE: snprintf(text, size, "gpa 0x%" PRIx64, o->gpa.v); break;
	case WORLD_MMIO: snprintf(text, size, "MMIO at gpa 0x%" PRIx64, o->gpa.v); break;
	case WORLD_FAULT:
		return o->to_l1 ? exit_words(&o->event, text, size)
				: event_words(&o->event, "gpa", text, size);
	case WORLD_VMFAIL:
		snprintf(text, size, o->to_l1 ? "exit to L1: VMFUNC" : "it fails");
		break;
	case WORLD_MEMORY_FAULT:
		snprintf(text, size, "memory fault at gpa 0x%" PRIx64, o->gpa.v);
		break;
	case WORLD_ESCAPED: snprintf(text, size, "host memory that is not the guest's"); break;
	case WORLD_STUCK: snprintf(text, size, "no progress after %u exits", o->exits); break;
	case WORLD_STATUS:
		snprintf(text, size, "Umbra says: %s", umbra_strstatus(o->status));
		break;
	case WORLD_REFUSED_ENTRY: snprintf(text, size, "the CPU refuses to enter"); break;
	}
	return text;
}

/* ---- the guest's tables ---- */

const char *tell_who(const struct world_cpu *cpu, char *text, size_t size)
{
	snprintf(text, size, "vcpu %u%s", cpu->number,
		 cpu->in_l2    ? " in L2"
		 : cpu->has_l2 ? " in L1"
			       : "");
	return text;
}

static void tell_walk(struct story *story, const char *whose, const struct tables_walk *walk)
{
	char text[256] = "";

	for (unsigned i = 0; i < walk->count; i++) {
		size_t used = strlen(text);

		if (walk->step[i].there)
			snprintf(text + used, sizeof(text) - used, " L%u[%u]=0x%" PRIx64,
				 walk->step[i].level, walk->step[i].index, walk->step[i].value);
		else
			snprintf(text + used, sizeof(text) - used, " L%u not in memory",
				 walk->step[i].level);
	}
	if (walk->count)
		tell_line(story, "%s%s:%s%s", style(story, DIM), whose, text, style(story, PLAIN));
}

/* L1's EPT or NPT as tables; false: there is none. */
static bool tables_below(const struct world_cpu *cpu, struct tables *below)
{
	const struct umbra_nested *l2 = &cpu->l2;

	if (!cpu->in_l2 || l2->paging == UMBRA_NESTED_NONE)
		return false;
	*below = (struct tables){.world = cpu->world, .root = {l2->pointer}};
	if (l2->paging == UMBRA_NESTED_EPT)
		below->mode = (l2->pointer >> 3 & 7) == 4 ? TABLES_EPT5 : TABLES_EPT4;
	else
		below->mode = tables_mode_of(&cpu->l1.regs);
	return true;
}

void tell_guest_walk(struct story *story, struct world_cpu *cpu, umbra_gva gva)
{
	const struct umbra_regs *regs = world_regs(cpu);
	struct tables_walk linear, physical;
	struct tables below;
	bool nested = tables_below(cpu, &below);

	if (!tell_is_on(story))
		return;
	tables_walk(cpu->world, tables_mode_of(regs), regs->cr3, nested ? &below : NULL, gva.v,
		    &linear);
	tell_walk(story, cpu->in_l2 ? "L2's tables" : "guest", &linear);
	if (!nested || !linear.mapped)
		return;
	tables_walk(cpu->world, below.mode, below.root.v, NULL, linear.address, &physical);
	tell_walk(story, tables_is_ept(below.mode) ? "L1's EPT" : "L1's NPT", &physical);
	if (physical.mapped)
		tell_line(story, "0x%" PRIx64 " -> L2's gpa 0x%" PRIx64 " -> L1's gpa 0x%" PRIx64,
			  gva.v, linear.address, physical.address);
	else
		tell_line(story, "0x%" PRIx64 " -> L2's gpa 0x%" PRIx64 " -> nothing", gva.v,
			  linear.address);
}

/* ---- Umbra's tables ---- */

const char *tell_role(const struct world_step *step, char *text, size_t size)
{
	const struct umbra_role *r = &step->role;

	snprintf(text, size, "%s%s", r->pae_root ? "pae-" : "",
		 !step->number ? "?"
		 : r->promoted ? "portal"
		 : r->direct   ? "direct"
			       : "mirror");
	return text;
}

/* "mirror of quarter 2 of gpa 0x200000" */
static void role_words(const struct world_step *step, char *text, size_t size)
{
	const struct umbra_role *r = &step->role;
	const uint64_t gpa = (step->gfn.v << UMBRA_PAGE_SHIFT) + 32ull * r->pae_offset;
	char role[16], slice[32] = "";

	tell_role(step, role, sizeof(role));
	/* A table of 4-byte entries is mirrored by several pages. */
	if (r->guest_level == 2 && !r->promoted && !r->direct)
		snprintf(slice, sizeof(slice), "%s %u of ", r->level == 2 ? "quarter" : "half",
			 r->quadrant + 1);
	if (!step->number)
		snprintf(text, size, "?");
	else if (r->direct)
		snprintf(text, size, "%s from gpa 0x%" PRIx64, role, gpa);
	else if (r->promoted)
		snprintf(text, size, "%s to the %u-level root at gpa 0x%" PRIx64, role,
			 r->guest_level, gpa);
	else
		snprintf(text, size, "%s of %sgpa 0x%" PRIx64, role, slice, gpa);
}

void tell_path(struct story *story, const struct world_step *steps, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char words[96], entry[80];

		role_words(&steps[i], words, sizeof(words));
		tell_line(story, "L%u  table %zu, %s: [%u] -> %s", steps[i].entry.level,
			  steps[i].number, words, steps[i].index,
			  tell_entry(&steps[i].entry, entry, sizeof(entry)));
	}
}

/* ---- what happened ---- */

const char *const tell_trace_names[UMBRA_TRACE_KINDS] = {
	[UMBRA_TRACE_FAULT] = "fault",
	[UMBRA_TRACE_PAGETABLE_WALK] = "pagetable_walk",
	[UMBRA_TRACE_GET_PAGE] = "get_page",
	[UMBRA_TRACE_PREPARE_ZAP_PAGE] = "prepare_zap_page",
	[UMBRA_TRACE_SET_SPTE] = "set_spte",
	[UMBRA_TRACE_WRITE] = "write",
	[UMBRA_TRACE_UNSYNC_PAGE] = "unsync_page",
	[UMBRA_TRACE_SYNC_PAGE] = "sync_page",
	[UMBRA_TRACE_FLUSH] = "flush",
	[UMBRA_TRACE_ROOT] = "root",
	[UMBRA_TRACE_CHANGED_PFN] = "changed_pfn",
	[UMBRA_TRACE_MARK_MMIO_SPTE] = "mark_mmio_spte",
	[UMBRA_TRACE_HANDLE_MMIO_PAGE_FAULT] = "handle_mmio_page_fault",
	[UMBRA_TRACE_CHECK_MMIO_SPTE] = "check_mmio_spte",
	[UMBRA_TRACE_END_UNSYNC] = "end_unsync",
	[UMBRA_TRACE_PUT_ROOT] = "put_root",
};

static void tell_set(struct story *story, const struct world *world,
		     const struct umbra_trace *trace)
{
	struct world_entry old, new;
	char before[80], after[80];

	world_describe(world, trace->b, (unsigned)trace->d, &old);
	world_describe(world, trace->c, (unsigned)trace->d, &new);
	tell_line(story, "L%u[%u]: %s -> %s", (unsigned)trace->d, (unsigned)(trace->a >> 3 & 511),
		  tell_entry(&old, before, sizeof(before)), tell_entry(&new, after, sizeof(after)));
}

static void tell_trace(struct story *story, const struct world *world,
		       const struct umbra_trace *trace, unsigned *listed)
{
	switch (trace->kind) {
	case UMBRA_TRACE_SET_SPTE:
		if ((*listed)++ < LISTED)
			tell_set(story, world, trace);
		break;
	case UMBRA_TRACE_UNSYNC_PAGE:
		tell_line(story, "guest table 0x%" PRIx64 " goes unsync", trace->a << 12);
		break;
	case UMBRA_TRACE_SYNC_PAGE:
		tell_line(story, "guest table 0x%" PRIx64 " is synced, entries changed: %" PRIu64,
			  trace->a << 12, trace->d);
		break;
	case UMBRA_TRACE_WRITE:
		if (trace->c)
			tell_line(story,
				  "a guest table is written at 0x%" PRIx64
				  ", entries dropped: %" PRIu64,
				  trace->a, trace->c);
		break;
	case UMBRA_TRACE_ROOT: tell_line(story, "a root is looked up"); break;
	case UMBRA_TRACE_CHANGED_PFN:
		tell_line(story,
			  "%sa bug in Umbra: for gpa 0x%" PRIx64 " frame 0x%" PRIx64
			  " is mapped, the host has 0x%" PRIx64 "%s",
			  style(story, RED), trace->a, trace->b, trace->c, style(story, PLAIN));
		break;
	default: break;
	}
}

static void tell_answer(struct story *story, const struct note *note)
{
	const struct umbra_resolution *r = &note->answer.resolution;

	if (note->answer.status != UMBRA_OK)
		tell_line(story, "umbra: %s", umbra_strstatus(note->answer.status));
	else if (r->verdict == UMBRA_RESUME && r->level)
		tell_line(story, "umbra: %s, mapped at level %u", umbra_strverdict(r->verdict),
			  r->level);
	else
		tell_line(story, "umbra: %s", umbra_strverdict(r->verdict));
}

void tell_notes(struct story *story, const struct world *world)
{
	unsigned listed = 0;
	char text[160];

	for (size_t i = 0; tell_is_on(story) && i < world->note_count; i++) {
		const struct note *note = &world->notes[i];

		switch (note->kind) {
		case NOTE_EXIT:
			tell_line(story, "%sexit: %s%s", style(story, YELLOW),
				  event_words(&note->exit.event,
					      note->exit.l2_gpa ? "L2's gpa" : "gpa", text,
					      sizeof(text)),
				  style(story, PLAIN));
			break;
		case NOTE_ANSWER: tell_answer(story, note); break;
		case NOTE_TRACE: tell_trace(story, world, &note->trace, &listed); break;
		case NOTE_FLUSH:
			tell_line(story, "TLB of vcpu %u flushed (%s)", note->flush.cpu,
				  note->flush.why);
			break;
		case NOTE_NO_FLUSH:
			tell_line(story, "%sTLB of vcpu %u NOT flushed (%s)%s", style(story, RED),
				  note->flush.cpu, note->flush.why, style(story, PLAIN));
			break;
		case NOTE_EMULATED: tell_line(story, "the embedder emulates"); break;
		}
	}
	if (listed > LISTED)
		tell_line(story, "... and %u more entries", listed - LISTED);
}

void tell_result(struct story *story, const struct world_access *access,
		 const struct world_result *result)
{
	char text[160], bare[160], value[48] = "";

	if (!tell_is_on(story))
		return;
	if (access && !(access->access & UMBRA_ACCESS_WRITE) &&
	    !(access->access & UMBRA_ACCESS_FETCH) &&
	    (result->umbra.end == WORLD_DONE || result->umbra.end == WORLD_ESCAPED))
		snprintf(value, sizeof(value), ", value 0x%" PRIx64, result->umbra.value);
	if (!access && result->umbra.end == WORLD_DONE && result->bare.end == WORLD_DONE &&
	    !result->alone)
		return;
	tell_outcome(&result->umbra, text, sizeof(text));
	if (!access && result->umbra.end == WORLD_DONE && !result->alone)
		snprintf(text, sizeof(text), "done");
	if (result->same) {
		tell_line(story, "%s%s%s%s%s", style(story, GREEN), text, value,
			  style(story, PLAIN), result->alone ? "" : "; bare machine: the same");
		return;
	}
	tell_outcome(&result->bare, bare, sizeof(bare));
	if (!access && result->bare.end == WORLD_DONE)
		snprintf(bare, sizeof(bare), "done");
	if (result->umbra.end == WORLD_DONE && result->bare.end == WORLD_DONE &&
	    result->umbra.gpa.v == result->bare.gpa.v)
		snprintf(bare, sizeof(bare), "value 0x%" PRIx64, result->bare.value);
	tell_line(story, "%s%s%s%s; bare machine: %s (%s)", style(story, RED), text, value,
		  style(story, PLAIN), bare,
		  result->legal ? "stale, as the manuals allow" : "no CPU may do this");
}
