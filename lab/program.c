/* SPDX-License-Identifier: MIT */
/*
 * program.c - see program.h.
 *
 * A step is one of
 *	access   any page, any kind
 *	edit     a table entry gets another value, then what SDM 3A 4.10.4 and
 *	         APM 2 5.5 require: nothing if it was not present; INVLPG if only
 *	         one address uses it; else MOV CR3, and with global pages in use
 *	         a change of CR4.PGE
 *	registers  MOV CR0/CR3/CR4, WRMSR EFER, PKRU
 *	zap      Umbra drops its tables, which nobody may notice
 *	move     a slot goes and comes again with other host memory behind it
 *
 * The edits keep what the lab's stores of new bytes rely on: leaves never lead
 * to tables. (Tables read as other tables do; stores with new bytes are thus
 * made only where a first access, which stores back what is there, has shown
 * that no table is.) They also keep the window through which the guest edits.
 *
 * Invariants: everything follows from the seed and the machine's answers, which
 * are the same for a given lab.
 */
#include <string.h>

#include "lab/program.h"
#include "lab/random.h"

#define MOVE_MAX 0x100000u
#define MOVE_LIMIT 0x2000000u

struct state {
	struct lab *lab;
	const struct builtin *builtin;
	struct program *program;
	uint64_t random;
	const struct builtin_page *page;
	unsigned page_count;
	umbra_gpa tables;
	uint64_t tables_size;
	unsigned entry_size;
};

static uint64_t below(struct state *s, uint64_t limit)
{
	return random_below(&s->random, limit);
}

/* ---- accesses ---- */

static unsigned any_access(struct state *s)
{
	static const unsigned kinds[] = {
		UMBRA_ACCESS_READ,     UMBRA_ACCESS_USER,
		UMBRA_ACCESS_WRITE,    UMBRA_ACCESS_WRITE | UMBRA_ACCESS_USER,
		UMBRA_ACCESS_FETCH,    UMBRA_ACCESS_FETCH | UMBRA_ACCESS_USER,
		UMBRA_ACCESS_AC,       UMBRA_ACCESS_AC | UMBRA_ACCESS_WRITE,
		UMBRA_ACCESS_IMPLICIT, UMBRA_ACCESS_IMPLICIT | UMBRA_ACCESS_WRITE,
	};
	unsigned kind = kinds[below(s, sizeof(kinds) / sizeof(kinds[0]))];

	if (lab_regs(s->lab)->cr4 & UMBRA_CR4_CET && !(kind & UMBRA_ACCESS_FETCH) && !below(s, 4))
		kind = (kind & (UMBRA_ACCESS_USER | UMBRA_ACCESS_WRITE)) | UMBRA_ACCESS_SHSTK;
	return kind;
}

static bool outside_tables(const struct state *s, const struct lab_side *side)
{
	for (unsigned i = 0; i < side->piece_count; i++) {
		uint64_t gpa = side->piece[i].gpa.v, end = gpa + side->piece[i].size;

		if (end > s->tables.v && gpa < s->tables.v + s->tables_size)
			return false;
	}
	return true;
}

static bool touch(struct state *s, uint64_t gva, unsigned kind)
{
	struct lab_access access = {.access = kind, .size = (uint8_t)(1 + below(s, 16))};
	struct lab_side side;
	uint64_t bytes[2] = {random_next(&s->random), random_next(&s->random)};
	bool same;

	access.gva.v = gva;
	if (kind & UMBRA_ACCESS_SHSTK) {
		access.gva.v &= ~7ull;
		access.size = 8;
	}
	if (!(lab_regs(s->lab)->efer & UMBRA_EFER_LMA))
		access.gva.v &= UINT32_MAX;
	same = lab_access(s->lab, &access, &side);
	if (!(kind & UMBRA_ACCESS_WRITE) || side.end != LAB_DONE || !outside_tables(s, &side))
		return same;
	access.data = bytes;
	return lab_access(s->lab, &access, NULL) && same;
}

static bool step_access(struct state *s)
{
	const struct builtin_page *page = &s->page[below(s, s->page_count)];

	return touch(s, page->gva + below(s, 1ull << page->shift), any_access(s));
}

/* ---- edits ---- */

static uint64_t entry_read(const struct state *s, umbra_gpa gpa)
{
	uint64_t entry = 0;

	memcpy(&entry, lab_bytes(s->lab, gpa), s->entry_size);
	return entry;
}

/* The guest's own store through its window; a device's if that is denied. */
static bool entry_write(struct state *s, umbra_gpa gpa, uint64_t entry)
{
	const struct lab_access access = {
		.gva = {builtin_window(s->builtin) + gpa.v},
		.size = (uint8_t)s->entry_size,
		.access = UMBRA_ACCESS_WRITE,
		.data = &entry,
	};
	struct lab_side side = {.end = LAB_EXCEPTION};
	bool same = true;

	s->program->edits++;
	if (below(s, 8))
		same = lab_access(s->lab, &access, &side);
	if (side.end != LAB_DONE)
		same = lab_device_write(s->lab, gpa, &entry, s->entry_size) && same;
	return same;
}

/* Everything that the guest's tables may have left in a TLB goes. */
static bool flush_all(struct state *s)
{
	const struct umbra_regs regs = *lab_regs(s->lab);

	s->program->flushes++;
	if (!(regs.cr0 & UMBRA_CR0_PG))
		return true;
	if (!(regs.cr4 & UMBRA_CR4_PGE))
		return lab_mov(s->lab, LAB_CR3, regs.cr3, NULL);
	return lab_mov(s->lab, LAB_CR4, regs.cr4 & ~UMBRA_CR4_PGE, NULL) &&
	       lab_mov(s->lab, LAB_CR4, regs.cr4, NULL);
}

/* Some bit of an entry turned; frames stay. */
static uint64_t turned(struct state *s, uint64_t entry)
{
	static const uint8_t bits[] = {0, 0, 1, 1, 2, 2, 5, 6, 8, 3, 9};
	uint64_t choice = below(s, 16);

	if (choice < sizeof(bits))
		return entry ^ 1ull << bits[choice];
	if (s->entry_size == 8 && choice < 14)
		return entry ^ 1ull << (choice == 13 ? 59 + below(s, 4) : 63);
	return choice == 14 ? 0 : entry | 1;
}

/* Is @gpa in a table of PDPTEs? Those must stay free of reserved bits: a MOV that
 * is refused flushes nothing. */
static bool is_pdpte(const struct state *s, umbra_gpa gpa)
{
	const struct umbra_regs *regs = lab_regs(s->lab);
	uint64_t roots[4];
	unsigned count = builtin_roots(s->builtin, roots);

	if (regs->efer & UMBRA_EFER_LMA || !(regs->cr4 & UMBRA_CR4_PAE))
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (gpa.v - roots[i] < 4 * sizeof(uint64_t))
			return true;
	}
	return false;
}

/* The value of another entry of the same table, so that the frame changes; @old
 * where that would give the window or the single table a second path. */
static uint64_t another(struct state *s, umbra_gpa gpa, uint64_t old)
{
	const uint64_t frame = 0xffffffffff000ull;
	uint64_t index = below(s, UMBRA_PAGE_SIZE / s->entry_size), entry, gva;
	umbra_gpa other = {(gpa.v & ~0xfffull) + index * s->entry_size}, single;

	builtin_single(s->builtin, &single, &gva);
	entry = entry_read(s, other);
	if (builtin_is_path(s->builtin, other) || (entry & frame) == single.v)
		return old;
	return entry;
}

/* An entry of some table of the guest, other than the window's. */
static bool step_edit_any(struct state *s)
{
	const uint64_t count = s->tables_size / s->entry_size;
	umbra_gpa gpa = {s->tables.v + below(s, count) * s->entry_size};
	uint64_t old, new;

	/* Most entries are empty: look for one that is not. */
	for (unsigned i = 0; i < 64 && !entry_read(s, gpa); i++)
		gpa.v = s->tables.v + below(s, count) * s->entry_size;
	if (builtin_is_path(s->builtin, gpa))
		return true;
	old = entry_read(s, gpa);
	if (is_pdpte(s, gpa))
		new = old ^ (below(s, 2) ? 1u << 0 : 1u << 9);
	else
		new = below(s, 4) ? turned(s, old) : another(s, gpa, old);
	if (!entry_write(s, gpa, new))
		return false;
	return (!(old & 1) && below(s, 4)) || flush_all(s);
}

static bool step_edit_single(struct state *s)
{
	unsigned index = (unsigned)below(s, BUILTIN_SINGLE_COUNT);
	umbra_gpa gpa;
	uint64_t gva, old;
	bool same;

	builtin_single(s->builtin, &gpa, &gva);
	gpa.v += (uint64_t)index * s->entry_size;
	gva += (uint64_t)index << UMBRA_PAGE_SHIFT;
	old = entry_read(s, gpa);
	/* Use it, change it, invalidate it, use it. */
	same = touch(s, gva + below(s, UMBRA_PAGE_SIZE), any_access(s));
	same = entry_write(s, gpa,
			   below(s, 3) ? builtin_leaf(s->builtin, random_next(&s->random))
				       : turned(s, old)) &&
	       same;
	if (old & 1) {
		s->program->flushes++;
		same = lab_invlpg(s->lab, (umbra_gva){gva + below(s, UMBRA_PAGE_SIZE)}) && same;
	}
	for (unsigned i = 0; i < 3; i++)
		same = touch(s, gva + below(s, UMBRA_PAGE_SIZE), any_access(s)) && same;
	return same;
}

/* ---- registers ---- */

static bool step_cr3(struct state *s)
{
	uint64_t roots[4];
	unsigned count = builtin_roots(s->builtin, roots);

	if (!count || !(lab_regs(s->lab)->cr0 & UMBRA_CR0_PG))
		return true;
	/* Global pages would survive; the roots agree on them only at first. */
	return lab_mov(s->lab, LAB_CR3, roots[below(s, count)], NULL) && flush_all(s);
}

static bool step_register(struct state *s)
{
	const struct umbra_cpu cpu = lab_guest_cpu(lab_config(s->lab));
	const struct umbra_regs regs = *lab_regs(s->lab);
	bool same;

	switch (below(s, 6)) {
	case 0: return lab_mov(s->lab, LAB_CR0, regs.cr0 ^ UMBRA_CR0_WP, NULL);
	case 1:
		/* SMEP 0->1 flushes on Intel only: a mere attribute, so nothing stale. */
		return lab_mov(s->lab, LAB_CR4, regs.cr4 ^ UMBRA_CR4_SMEP, NULL);
	case 2: return lab_mov(s->lab, LAB_CR4, regs.cr4 ^ UMBRA_CR4_SMAP, NULL);
	case 3: return lab_mov(s->lab, LAB_CR4, regs.cr4 ^ UMBRA_CR4_PGE, NULL);
	case 4:
		if (!(cpu.features & UMBRA_CPU_PKU))
			return true;
		same = lab_set_keys(s->lab, (uint32_t)random_next(&s->random) & ~3u, 0);
		return lab_mov(s->lab, LAB_CR4, regs.cr4 ^ UMBRA_CR4_PKE, NULL) && flush_all(s) &&
		       same;
	default:
		if (!(cpu.features & UMBRA_CPU_NX))
			return true;
		/* H-14: undefined without a flush. */
		same = lab_mov(s->lab, LAB_EFER, regs.efer ^ UMBRA_EFER_NXE, NULL);
		return flush_all(s) && same;
	}
}

static bool step_state(struct state *s)
{
	struct umbra_regs regs;
	unsigned count = 0;

	while (builtin_regs(s->builtin, count, &regs))
		count++;
	builtin_regs(s->builtin, (unsigned)below(s, count), &regs);
	return lab_set_regs(s->lab, &regs, true, NULL);
}

/* Small memories only: each byte is copied. */
static bool step_move(struct state *s)
{
	unsigned count, index;
	const struct lab_memory *memory = lab_memory(s->lab, &count);

	index = (unsigned)below(s, count);
	if (memory[index].size > MOVE_MAX && below(s, 16))
		return true;
	return memory[index].size > MOVE_LIMIT || lab_move(s->lab, index);
}

/* ---- the program ---- */

static bool step(struct state *s)
{
	const bool paged = s->entry_size;
	uint64_t choice = below(s, 1000);

	if (choice < 2)
		return step_state(s);
	if (choice < 4) {
		lab_zap(s->lab);
		return true;
	}
	if (choice < 6)
		return step_move(s);
	if (!paged || choice < 600)
		return step_access(s);
	if (choice < 620)
		return step_register(s);
	if (choice < 640)
		return step_cr3(s);
	if (choice < 860)
		return step_edit_single(s);
	return step_edit_any(s);
}

uint64_t program_run(struct lab *lab, const struct builtin *builtin, struct program *program)
{
	const uint64_t before = lab_counts(lab)->differences;
	struct state s = {
		.lab = lab,
		.builtin = builtin,
		.program = program,
		.random = program->seed,
		.entry_size = builtin_entry_size(builtin),
	};
	struct umbra_regs regs;

	s.page = builtin_pages(builtin, &s.page_count);
	builtin_tables(builtin, &s.tables, &s.tables_size);
	program->done = program->edits = program->flushes = 0;
	builtin_regs(builtin, 0, &regs);
	lab_set_regs(lab, &regs, true, NULL);
	for (uint64_t i = 1; i <= program->steps; i++) {
		step(&s);
		program->done = i;
		if (program->audit_every && i % program->audit_every == 0)
			lab_audit(lab);
		if (program->compare_every && i % program->compare_every == 0)
			lab_compare_memory(lab);
		if (program->stop && lab_counts(lab)->differences != before)
			break;
	}
	lab_compare_memory(lab);
	lab_audit(lab);
	return lab_counts(lab)->differences - before;
}
