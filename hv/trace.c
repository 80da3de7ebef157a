/* SPDX-License-Identifier: MIT */
/*
 * trace.c - records on the console, or on port E9 where an emulator listens.
 *
 *	the library's events  umbra_host_trace() -> event()  \
 *	table pages           umbra_host_page_*  -> page()    > record() -> console
 *	slots, loads, entries the exits' code    -> trace_*  /
 *
 *	~u3f S 6e8a0ff8 - 8c0000001f345867 1 a1b2
 *	  |  | |                             |
 *	  |  | numbers without 0x            checksum: CRC-16 of what is between ~u and it
 *	  |  kind
 *	  how many records came before, two digits
 *
 * The guest writes to the same line whenever it runs. It does not while a record is
 * written, so a record is whole, though something of the guest's may stand before it.
 */
#include "hv/trace.h"
#include "hv/console.h"
#include "hv/paging.h"

#define VERSION 1u
#define MARK "~u"
#define MARK_LENGTH 2u
#define LINE_MAX 240u
#define DUMP_ENTRIES 8u
/* An entry that is empty, written as "-"; in a PAE root it is 0. */
#define EMPTY (1ull << 63)

typedef unsigned long long ull;

struct line {
	char text[LINE_MAX];
	unsigned length;
};

static struct {
	struct port *port;
	enum trace_select select;
	uint64_t count;
	/** CR3 or nCR3 that was loaded last. */
	uint64_t root;
} trace;

/* ---- a record ---- */

static void append(void *context, char c)
{
	struct line *line = context;

	if (line->length < LINE_MAX - 1)
		line->text[line->length++] = c;
}

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	console_format(append, line, format, args);
	va_end(args);
}

static void add_entry(struct line *line, uint64_t entry)
{
	if (entry == EMPTY)
		add(line, " -");
	else
		add(line, " %llx", (ull)entry);
}

/* CCITT: x^16 + x^12 + x^5 + 1, from ffffh. */
static uint16_t checksum(const struct line *line)
{
	uint16_t crc = 0xffff;

	for (unsigned i = MARK_LENGTH; i < line->length; i++) {
		crc ^= (uint16_t)((uint8_t)line->text[i] << 8);
		for (unsigned bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0));
	}
	return crc;
}

static struct line begin(char kind)
{
	struct line line = {.length = 0};

	add(&line, MARK "%02x %c", (unsigned)(trace.count & 0xff), kind);
	return line;
}

static void end(struct line *line)
{
	add(line, " %04x\n", checksum(line));
	line->text[line->length] = 0;
	console_record(line->text);
	trace.count++;
	trace.port->logged = true;
	trace.port->flushed = false;
}

/* ---- what the library tells ---- */

static bool wanted(enum umbra_trace_kind kind)
{
	switch (kind) {
	case UMBRA_TRACE_FAULT: return true;
	case UMBRA_TRACE_PAGETABLE_WALK:
	case UMBRA_TRACE_HANDLE_MMIO_PAGE_FAULT:
	case UMBRA_TRACE_CHECK_MMIO_SPTE:
	case UMBRA_TRACE_MARK_MMIO_SPTE: return trace.select == TRACE_ALL;
	default: return trace.select >= TRACE_TABLES;
	}
}

static void event(const struct umbra_trace *e)
{
	/* Letters, and which of a, b, c, d are told; what the page's own record tells is not. */
	static const struct {
		char letter, fields;
	} kinds[UMBRA_TRACE_KINDS] = {
		[UMBRA_TRACE_FAULT] = {'F', 0xf},
		[UMBRA_TRACE_PAGETABLE_WALK] = {'w', 0xf},
		[UMBRA_TRACE_GET_PAGE] = {'N', 0x7},
		[UMBRA_TRACE_PREPARE_ZAP_PAGE] = {'Z', 0xc},
		[UMBRA_TRACE_WRITE] = {'W', 0x7},
		[UMBRA_TRACE_UNSYNC_PAGE] = {'U', 0x4},
		[UMBRA_TRACE_SYNC_PAGE] = {'Y', 0xc},
		[UMBRA_TRACE_FLUSH] = {'T', 0x3},
		[UMBRA_TRACE_ROOT] = {'K', 0x1},
		[UMBRA_TRACE_CHANGED_PFN] = {'B', 0xf},
		[UMBRA_TRACE_MARK_MMIO_SPTE] = {'m', 0xf},
		[UMBRA_TRACE_HANDLE_MMIO_PAGE_FAULT] = {'h', 0x7},
		[UMBRA_TRACE_CHECK_MMIO_SPTE] = {'c', 0xf},
		[UMBRA_TRACE_END_UNSYNC] = {'e', 0x4},
		[UMBRA_TRACE_PUT_ROOT] = {'k', 0x5},
	};
	const uint64_t values[] = {e->a, e->b, e->c, e->d};
	struct line line;

	if (!wanted(e->kind))
		return;
	if (e->kind == UMBRA_TRACE_SET_SPTE) {
		line = begin('S');
		add(&line, " %llx", (ull)e->a);
		add_entry(&line, e->b);
		add_entry(&line, e->c);
		add(&line, " %llx", (ull)e->d);
	} else {
		line = begin(kinds[e->kind].letter);
		for (unsigned i = 0; i < 4; i++)
			if (kinds[e->kind].fields >> i & 1)
				add(&line, " %llx", (ull)values[i]);
	}
	end(&line);
}

static void page(umbra_hpa hpa, bool taken)
{
	struct line line = begin(taken ? 'A' : 'R');

	add(&line, " %llx", (ull)hpa.v);
	end(&line);
}

/* ---- what it does not ---- */

static void say_machine(struct vcpu *vcpu)
{
	const struct port *port = trace.port;
	struct line line = begin('V');

	add(&line, " %x %x %x %x %x %x %x %x %x", VERSION, trace.select, vcpu->options->shadow,
	    paging_levels(), vcpu->options->page_level, vcpu->cpu->mmu.vendor,
	    vcpu->cpu->mmu.maxphyaddr, vcpu->cpu->mmu.features, vcpu->cpu->tcg);
	end(&line);
	line = begin('P');
	add(&line, " %llx %llx %llx %llx", (ull)vcpu->memory->own_start, (ull)vcpu->memory->own_end,
	    (ull)port->pages_start,
	    (ull)port->pages_start + (ull)port->page_count * UMBRA_PAGE_SIZE);
	end(&line);
}

void trace_begin(struct vcpu *vcpu)
{
	trace.select = vcpu->options->trace;
	if (trace.select == TRACE_OFF)
		return;
	trace.port = &vcpu->port;
	say_machine(vcpu);
	vcpu->port.trace = event;
	if (trace.select >= TRACE_TABLES)
		vcpu->port.page = page;
}

void trace_slot(struct vcpu *vcpu, const struct umbra_slot *slot)
{
	struct line line;

	(void)vcpu;
	if (trace.select < TRACE_TABLES)
		return;
	line = begin('M');
	add(&line, " %x %llx %llx %x", slot->id, (ull)slot->base.v, (ull)slot->size, slot->flags);
	end(&line);
}

static void log_load(const struct vcpu *vcpu, const struct umbra_root *root)
{
	const struct umbra_regs regs = cr_regs(vcpu);
	struct line line;

	/* With nested paging the guest's registers say nothing about the tables. */
	if (!vcpu->options->shadow && root->pointer == trace.root && !root->flush)
		return;
	trace.root = root->pointer;
	line = begin('L');
	add(&line, " %llx %x %llx %llx %llx %llx", (ull)root->pointer, root->flush, (ull)regs.cr0,
	    (ull)regs.cr3, (ull)regs.cr4, (ull)regs.efer);
	end(&line);
}

void trace_load(struct vcpu *vcpu, const struct umbra_root *root)
{
	if (trace.select >= TRACE_TABLES)
		log_load(vcpu, root);
}

void trace_enter(struct vcpu *vcpu)
{
	bool flushed = vcpu->port.flushed;
	struct line line;

	vcpu->port.logged = false;
	if (trace.select < TRACE_TABLES)
		return;
	line = begin('E');
	add(&line, " %x", flushed);
	end(&line);
	vcpu->port.logged = false;
}

/* ---- the end ---- */

static void say_counters(struct vcpu *vcpu)
{
	struct line line = begin('C');
	struct umbra_stats s;

	umbra_vm_stats(vcpu->vm, &s);
	add(&line, " %llx %llx %llx %llx %llx %llx %llx %llx %x", (ull)s.pf_taken,
	    (ull)s.mmu_shadow_pages, (ull)s.pages_4k, (ull)s.pages_2m, (ull)s.pages_1g,
	    (ull)s.tlb_flush, (ull)s.mmu_unsync, (ull)s.mmu_shadow_zapped, vcpu->port.pages_used);
	end(&line);
}

/* Entries of the table page at @hpa that are not empty, in their order; a page without any
 * has a record without values. */
static void say_table(umbra_hpa hpa, const uint64_t *entries)
{
	struct line line;
	unsigned at = 0;
	bool said = false;

	while (at < UMBRA_PAGE_SIZE / sizeof(*entries)) {
		unsigned count = 0;

		while (at < UMBRA_PAGE_SIZE / sizeof(*entries) && !(entries[at] & ~EMPTY))
			at++;
		if (at == UMBRA_PAGE_SIZE / sizeof(*entries) && said)
			break;
		line = begin('D');
		add(&line, " %llx %x", (ull)hpa.v, at);
		while (at < UMBRA_PAGE_SIZE / sizeof(*entries) && entries[at] & ~EMPTY &&
		       count++ < DUMP_ENTRIES)
			add_entry(&line, entries[at++]);
		end(&line);
		said = true;
	}
}

void trace_end(struct vcpu *vcpu)
{
	struct line line;

	if (trace.select == TRACE_OFF)
		return;
	say_counters(vcpu);
	if (trace.select >= TRACE_TABLES)
		port_each_table(&vcpu->port, say_table);
	line = begin('Q');
	add(&line, " %llx", (ull)trace.count);
	end(&line);
}
