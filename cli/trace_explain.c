/* SPDX-License-Identifier: MIT */
/*
 * trace_explain.c - what a trace line says, in sentences.
 *
 * Fields that are numbers get a meaning here; entries, codes and registers are handed
 * on to bits_explain() by the caller. What a line says twice is compared, since that is
 * how a wrong layout shows: the rights of an entry, the generation of an MMIO entry. What
 * a table page may not be (R-2, S-20, S-24) is a finding, too.
 */
#include "cli/trace.h"
#include "cli/trace_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SLOT_BITS 9 /* entries of a table of ours: 512 */
#define ENTRY_BYTES 8

static bool has(const struct trace_line *line, enum trace_id id)
{
	return line->given >> id & 1;
}

static void find(struct trace_report *report, const char *rule, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void find(struct trace_report *report, const char *rule, const char *format, ...)
{
	struct trace_finding *finding = &report->finding[report->finding_count];
	va_list args;

	if (report->finding_count == TRACE_FINDING_MAX)
		return;
	report->finding_count++;
	finding->rule = rule;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

static void decode(struct trace_report *report, const char *label, enum bits_kind kind,
		   unsigned level, uint64_t value)
{
	if (report->value_count < TRACE_VALUE_MAX)
		report->value[report->value_count++] = (struct trace_value){
			.label = label, .kind = kind, .level = level, .value = value};
}

/* ---- numbers ---- */

static const char *level_text(uint64_t level)
{
	static const char *const sizes[] = {"no paging", "4K", "2M", "1G", "512G", "256T"};

	return level < sizeof(sizes) / sizeof(*sizes) ? sizes[level] : "no such level";
}

static void say_gfn(const struct trace_line *line, char *text)
{
	const uint64_t gfn = line->value[TRACE_GFN];
	const uint64_t level = has(line, TRACE_LEVEL) ? line->value[TRACE_LEVEL] : 1;
	uint64_t pages = 1;

	if (gfn >> 52) {
		snprintf(text, BITS_TEXT, "beyond any guest-physical address");
		return;
	}
	if (has(line, TRACE_ROLE) && !(line->value[TRACE_ROLE] & ROLE_DIRECT)) {
		snprintf(text, BITS_TEXT, "frame of the guest's table at 0x%llx",
			 (unsigned long long)gfn << UMBRA_PAGE_SHIFT);
		return;
	}
	/* A page of a role covers what its 512 entries do. */
	if (level >= 1 && level <= UMBRA_LEVEL_MAX)
		pages <<= SLOT_BITS * (level - 1 + has(line, TRACE_ROLE));
	snprintf(text, BITS_TEXT, "guest-physical 0x%llx to 0x%llx",
		 (unsigned long long)gfn << UMBRA_PAGE_SHIFT,
		 (unsigned long long)(((gfn + pages) << UMBRA_PAGE_SHIFT) - 1));
}

static void say_access(const struct bits_bound *sptes, uint64_t acc, char *text)
{
	/* B-2: three bits EXEC, WRITE, USER, and four READ, WRITE, USER, EXEC. */
	static const char *const names[2][4] = {{"exec", "write", "user", "?"},
						{"read", "write", "user", "exec"}};
	const bool four = sptes->request.generation == ENTRY_GENERATIONS - 1;
	int used = snprintf(text, BITS_TEXT, "rights:");

	for (unsigned i = 0; i < 4; i++) {
		if (acc >> i & 1)
			used += snprintf(text + used, BITS_TEXT - (size_t)used, " %s",
					 names[four][i]);
	}
	if (!(acc & 15))
		snprintf(text + used, BITS_TEXT - (size_t)used, " none");
}

static void say_generation(const struct bits_bound *sptes, enum trace_id id,
			   const struct trace_line *line, char *text)
{
	const unsigned bits = entry_generation_bits(&sptes->entries);
	const uint64_t mask = (1ull << bits) - 1, value = line->value[id];
	const char *what = id == TRACE_KVM_GENERATION    ? "of the memory slots now"
			   : id == TRACE_SPTE_GENERATION ? "that the entry was made under"
							 : "of the memory slots, kept in the entry";

	if (id == TRACE_GENERATION && sptes->request.now_given)
		snprintf(text, BITS_TEXT, "generation %s: %s", what,
			 (sptes->request.now & mask) == (value & mask) ? "current" : "stale now");
	else
		snprintf(text, BITS_TEXT, "generation %s", what);
}

/* What a number means; false: nothing that its name does not say. */
static bool meaning(const struct bits_bound *sptes, const struct trace_line *line, enum trace_id id,
		    char *text)
{
	const uint64_t value = line->value[id];

	*text = 0;
	switch (id) {
	case TRACE_GFN: say_gfn(line, text); break;
	case TRACE_PFN:
		snprintf(text, BITS_TEXT, "host frame at 0x%llx",
			 (unsigned long long)value << UMBRA_PAGE_SHIFT);
		break;
	case TRACE_LEVEL: snprintf(text, BITS_TEXT, "entries of %s each", level_text(value)); break;
	case TRACE_AT:
		snprintf(text, BITS_TEXT, "entry %u of the table at 0x%llx",
			 (unsigned)(value % UMBRA_PAGE_SIZE / ENTRY_BYTES),
			 (unsigned long long)(value & ~(UMBRA_PAGE_SIZE - 1ull)));
		break;
	case TRACE_ACCESS: say_access(sptes, value, text); break;
	case TRACE_GENERATION:
	case TRACE_KVM_GENERATION:
	case TRACE_SPTE_GENERATION: say_generation(sptes, id, line, text); break;
	case TRACE_VALID:
		snprintf(text, BITS_TEXT,
			 value ? "believed: the access is emulated"
			       : "stale: the slow way, which makes a new one");
		break;
	case TRACE_FIXED:
		snprintf(text, BITS_TEXT, value ? "the new entry was written" : "not fixed here");
		break;
	case TRACE_SPURIOUS:
		snprintf(text, BITS_TEXT,
			 value ? "the entry allowed the access already"
			       : "the entry did not allow the access");
		break;
	case TRACE_SPACE:
		snprintf(text, BITS_TEXT, value ? "address space of SMM" : "usual address space");
		break;
	case TRACE_ROOTS:
		snprintf(text, BITS_TEXT,
			 value ? "vCPUs that have it as their root" : "no vCPU has it as its root");
		break;
	case TRACE_UNSYNC:
		snprintf(text, BITS_TEXT,
			 value ? "the guest's table may have changed (S-21)"
			       : "agrees with the guest's table");
		break;
	case TRACE_ADDRESS: snprintf(text, BITS_TEXT, "address of the access"); break;
	case TRACE_RIP: snprintf(text, BITS_TEXT, "instruction of the guest"); break;
	default: break;
	}
	return *text;
}

static const struct {
	const char *name;
	bool decimal;
} fields[TRACE_IDS] = {
	[TRACE_GFN] = {"gfn", false},
	[TRACE_PFN] = {"pfn", false},
	[TRACE_LEVEL] = {"level", true},
	[TRACE_AT] = {"at", false},
	[TRACE_ADDRESS] = {"address", false},
	[TRACE_GPA] = {"gpa", false},
	[TRACE_RIP] = {"rip", false},
	[TRACE_ACCESS] = {"access", false},
	[TRACE_GENERATION] = {"gen", false},
	[TRACE_KVM_GENERATION] = {"kvm_gen", false},
	[TRACE_SPTE_GENERATION] = {"spte-gen", false},
	[TRACE_VALID] = {"valid", true},
	[TRACE_SPURIOUS] = {"spurious", true},
	[TRACE_FIXED] = {"fixed", true},
	[TRACE_VCPU] = {"vcpu", true},
	[TRACE_SPACE] = {"as", true},
	[TRACE_ERRNO] = {"errno", true},
	[TRACE_PAGES] = {"pages", false},
	[TRACE_MMU_GENERATION] = {"mmu-gen", true},
	[TRACE_INFO2] = {"info2", false},
	[TRACE_ROOTS] = {"root", true},
	[TRACE_UNSYNC] = {"unsync", true},
};

static void list_fields(const struct bits_bound *sptes, const struct trace_line *line,
			struct trace_report *report)
{
	for (unsigned id = 0; id < TRACE_IDS; id++) {
		struct trace_field *field = &report->field[report->field_count];

		if (!has(line, id) || !fields[id].name)
			continue;
		*field = (struct trace_field){
			.name = fields[id].name,
			.value = line->value[id],
			.decimal = fields[id].decimal,
		};
		meaning(sptes, line, id, field->meaning);
		report->field_count++;
	}
}

/* ---- entries ---- */

/* What the line says about the entry besides its value. */
static void compare_spte(const struct bits_bound *sptes, const struct trace_line *line,
			 struct trace_report *report)
{
	const struct entry_kind *kind = &sptes->entries;
	const uint64_t spte = line->value[TRACE_SPTE];
	const char *layout = kind->layout->generation;

	if (has(line, TRACE_SPTE_GENERATION) && entry_is_mmio(kind, spte)) {
		const uint64_t theirs = line->value[TRACE_SPTE_GENERATION];
		const uint64_t ours = entry_mmio_generation(kind, spte);

		if (theirs != ours)
			find(report, "Q-22",
			     "the line says generation 0x%llx, the entry in layout %s 0x%llx: "
			     "another --layout?",
			     (unsigned long long)theirs, layout, (unsigned long long)ours);
	}
	if (line->rights[0] && entry_is_present(kind, spte)) {
		const unsigned acc = entry_acc(kind, spte);
		const char ours[] = {acc & ACC_READ ? 'r' : '-', acc & ACC_WRITE ? 'w' : '-',
				     acc & ACC_EXEC ? 'x' : '-', 0};

		if (strncmp(ours, line->rights, 3) != 0)
			find(report, "7.1, 7.2",
			     "the line says %s, the entry in layout %s %s: another --layout or "
			     "--mode?",
			     line->rights, layout, ours);
	}
}

/* An MMIO entry as the fields say that it was made. */
static void made_mmio(const struct bits_bound *sptes, const struct trace_line *line,
		      struct trace_report *report)
{
	const uint64_t gfn = line->value[TRACE_GFN];
	const bool four = sptes->request.generation == ENTRY_GENERATIONS - 1;
	unsigned acc = line->value[TRACE_ACCESS] & ACC_ALL;

	/* B-2: WRITE and USER have their places in both encodings. */
	if (!four)
		acc = ACC_READ | (acc & (ACC_WRITE | ACC_USER));
	if (gfn >> (52 - UMBRA_PAGE_SHIFT) || !entry_mmio_possible(&sptes->entries))
		return;
	decode(report, "as made", BITS_SPTE, 1,
	       entry_make_mmio(&sptes->entries, (umbra_gfn){gfn}, acc,
			       line->value[TRACE_GENERATION]));
}

/* The bits that became set or clear, by name. */
static void say_change(const struct bits_bound *sptes, const struct trace_line *line,
		       struct trace_report *report)
{
	const struct entry_kind *kind = &sptes->entries;
	const struct entry_layout *l = kind->layout;
	const uint64_t old = line->value[TRACE_OLD], new = line->value[TRACE_NEW];
	const unsigned level = has(line, TRACE_LEVEL) ? line->value[TRACE_LEVEL] & 7 : 1;
	const struct {
		uint64_t mask;
		const char *name;
	} parts[] = {
		{l->mmu_present, "MMU-present"},
		{l->ept ? l->read : l->present, l->ept ? "R" : "P"},
		{l->write, "W"},
		{l->user, "U"},
		{l->exec, l->exec_user ? "XS" : "X"},
		{l->exec_user, "XU"},
		{l->nx, "NX"},
		{l->accessed, "A"},
		{l->dirty, "D"},
		{l->host_writable, "host-writable"},
		{l->mmu_writable, "MMU-writable"},
		{l->ad_mask, "A/D-type"},
	};
	int used = 0;

	report->change[0] = 0;
	for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (parts[i].mask && (old ^ new) & parts[i].mask)
			used += snprintf(report->change + used, BITS_TEXT - (size_t)used, "%s%s%s",
					 used ? " " : "", new &parts[i].mask ? "+" : "-",
					 parts[i].name);
	}
	if (entry_is_present(kind, old) && entry_is_present(kind, new) &&
	    (old ^ new) & kind->address)
		used += snprintf(report->change + used, BITS_TEXT - (size_t)used, "%sanother frame",
				 used ? " " : "");
	if (old == new)
		snprintf(report->change, BITS_TEXT, "no change");
	else if (entry_is_present(kind, old))
		snprintf(report->change + used, BITS_TEXT - (size_t)used, "%s%s", used ? ": " : "",
			 entry_needs_flush(kind, old, new, level) ? "needs a TLB flush (Q-14)"
								  : "needs no TLB flush (Q-14)");
}

/* ---- pages ---- */

static void check_page(const struct trace_line *line, struct trace_report *report)
{
	const uint64_t level = line->value[TRACE_LEVEL], gfn = line->value[TRACE_GFN];
	const bool direct = line->value[TRACE_ROLE] & ROLE_DIRECT;

	if (line->value[TRACE_UNSYNC] && has(line, TRACE_UNSYNC) && direct)
		find(report, "S-24", "a direct page is never unsync: it mirrors no guest table");
	else if (line->value[TRACE_UNSYNC] && has(line, TRACE_UNSYNC) && level > 1)
		find(report, "S-20", "only pages of level 1 may be unsync, this has level %u",
		     (unsigned)level);
	if (direct && level >= 1 && level < UMBRA_LEVEL_MAX &&
	    gfn & ((1ull << SLOT_BITS * level) - 1))
		find(report, "R-2",
		     "gfn 0x%llx of a direct page of level %u: not aligned to what it maps",
		     (unsigned long long)gfn, (unsigned)level);
}

/* ---- codes ---- */

#define CODE_P 0x1 /* #PF: RSVD and PK only go with P */
#define CODE_WITH_P 0x28
#define CODE_SGX 0x8000
#define CODE_QUALIFICATION 0x17f80 /* E-9: bits 7 to 16 of an exit qualification, without 15 */

/* #NPF has bit 32 or 33 (P-6). An exit qualification has bit 7 where there is a linear address
 * (E-9); without one it is told by what no #PF has, or by the paging that the user names. */
static enum bits_kind code_kind(enum bits_mode mode, uint64_t code)
{
	if (code >> 32)
		return BITS_NPFCODE;
	if (mode == BITS_MODE_EPT)
		return BITS_EPTQUAL;
	if (mode != BITS_MODE_AUTO || code & CODE_SGX)
		return BITS_PFEC;
	return code & CODE_QUALIFICATION || (code & CODE_WITH_P && !(code & CODE_P)) ? BITS_EPTQUAL
										     : BITS_PFEC;
}

#define INTR_PF 0x80000b0e /* valid, hardware exception with error code, vector 14 */
#define INTR_MASK 0x80000fff

static void decode_exit(const struct trace_line *line, struct trace_report *report)
{
	const uint64_t info = line->value[TRACE_INFO1];

	if (!strcasecmp(line->reason, "npf"))
		decode(report, "info1", BITS_NPFCODE, 0, info);
	else if (!strcmp(line->reason, "EPT_VIOLATION"))
		decode(report, "info1", BITS_EPTQUAL, 0, info);
	else if (!strcmp(line->reason, "EPT_MISCONFIG") && info)
		find(report, "E-6", "an EPT misconfiguration has no exit qualification");
	else if (has(line, TRACE_INTR) && (line->value[TRACE_INTR] & INTR_MASK) == INTR_PF &&
		 has(line, TRACE_PFEC))
		decode(report, "error_code", BITS_PFEC, 0, line->value[TRACE_PFEC]);
}

void trace_explain(const struct bits_bound *sptes, const struct trace_line *line,
		   struct trace_report *report)
{
	const unsigned level = has(line, TRACE_LEVEL) ? line->value[TRACE_LEVEL] & 15 : 0;

	report->field_count = report->value_count = report->finding_count = 0;
	report->change[0] = 0;
	report->now_given = has(line, TRACE_KVM_GENERATION) || sptes->request.now_given;
	report->now = has(line, TRACE_KVM_GENERATION) ? line->value[TRACE_KVM_GENERATION]
						      : sptes->request.now;
	list_fields(sptes, line, report);
	if (has(line, TRACE_ROLE)) {
		decode(report, "role", BITS_ROLE, 0, line->value[TRACE_ROLE]);
		check_page(line, report);
	}
	if (has(line, TRACE_SPTE)) {
		decode(report, "spte", BITS_SPTE, level, line->value[TRACE_SPTE]);
		compare_spte(sptes, line, report);
	}
	if (has(line, TRACE_GENERATION))
		made_mmio(sptes, line, report);
	if (has(line, TRACE_OLD) && has(line, TRACE_NEW)) {
		decode(report, "old", BITS_SPTE, level, line->value[TRACE_OLD]);
		decode(report, "new", BITS_SPTE, level, line->value[TRACE_NEW]);
		say_change(sptes, line, report);
	}
	if (has(line, TRACE_GPTE))
		decode(report, "pte", BITS_PTE, level, line->value[TRACE_GPTE]);
	if (has(line, TRACE_CODE))
		decode(report, "error_code",
		       code_kind(sptes->request.mode, line->value[TRACE_CODE]), 0,
		       line->value[TRACE_CODE]);
	if (has(line, TRACE_INFO1))
		decode_exit(line, report);
	else if (has(line, TRACE_PFEC))
		decode(report, "error code", BITS_PFEC, 0, line->value[TRACE_PFEC]);
	if (has(line, TRACE_EPTP))
		decode(report, "nested_eptp", BITS_EPTP, 0, line->value[TRACE_EPTP]);
	if (has(line, TRACE_NCR3))
		decode(report, "nested_cr3", BITS_CR3, 0, line->value[TRACE_NCR3]);
	if (has(line, TRACE_CR_VALUE) && line->value[TRACE_CR] == 3)
		decode(report, "cr3", BITS_CR3, 0, line->value[TRACE_CR_VALUE]);
}
