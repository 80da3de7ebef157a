/* SPDX-License-Identifier: MIT */
/*
 * l1_run.c - the built-in L1 at work.
 *
 *	round = L1 edits its EPT or NPT, or L2's page tables
 *	        L1 invalidates what it must: INVEPT, INVVPID, TLB_CONTROL, another tag
 *	        L1 enters L2, with some registers
 *	        L2 accesses its memory; MOV CR, INVLPG, VMFUNC; edits of its own
 *	        an exit may make L1 leave and enter again, which flushes nothing
 *
 * An entry that was not present cannot have been cached, so putting one there needs no
 * invalidation (H-106); everything else gets what H-112 names. So a CPU has no excuse for
 * an outcome other than that of a walk now. Devices are played by lab_device_write(),
 * slots that move by lab_move().
 */
#include <string.h>

#include "lab/l1_parts.h"
#include "lab/random.h"
#include "lab/sweep.h"

#define EDITS_MAX 6
/* Accesses of L2 between two rounds of L1. */
#define STRETCH 60
/* Few pages of L2 whose entries are edited, so that they are cached before and used after. */
#define HOT 6

struct run {
	struct lab *lab;
	struct l1 *l1;
	uint64_t random, left;
	struct umbra_nested state;
	unsigned variations, pages;
	const struct builtin_page *page;
	/** Slots that edits have changed: to be mended some day. */
	struct {
		unsigned slot;
	} changed[32];
	unsigned changed_count;
	/** The next entry has to flush. */
	bool flush;
};

static uint64_t below(struct run *r, uint64_t limit)
{
	return random_below(&r->random, limit);
}

static bool one_in(struct run *r, uint64_t n)
{
	return !below(r, n);
}

static bool is_amd(const struct run *r)
{
	return r->l1->cpu.vendor == UMBRA_VENDOR_AMD;
}

/* ---- L1's edits ---- */

static uint64_t current(const struct run *r, uint64_t gpa)
{
	uint64_t value = 0;

	memcpy(&value, lab_bytes(r->lab, (umbra_gpa){gpa}), r->l1->nested.entry_size);
	return value;
}

/* By L1's own store, mostly. */
static void store(struct run *r, uint64_t gpa, const void *bytes, unsigned size)
{
	const struct lab_access access = {
		.gva = {gpa},
		.size = (uint8_t)size,
		.access = UMBRA_ACCESS_WRITE,
		.data = bytes,
	};

	if (one_in(r, 4)) {
		lab_device_write(r->lab, (umbra_gpa){gpa}, bytes, size);
		return;
	}
	lab_access(r->lab, &access, NULL);
	r->left -= r->left > 0;
}

static void set_slot(struct run *r, unsigned slot, uint64_t value)
{
	const struct l1_slot *s = &r->l1->slot[slot];
	const uint64_t old = current(r, s->gpa);

	store(r, s->gpa, &value, r->l1->nested.entry_size);
	/* What was not present has not been cached. */
	if (l1_is_present(r->l1, old) || one_in(r, 2))
		r->flush = true;
}

static void mend(struct run *r, bool all)
{
	while (r->changed_count && (all || one_in(r, 2))) {
		const unsigned slot = r->changed[--r->changed_count].slot;

		set_slot(r, slot, r->l1->slot[slot].value);
	}
}

/* One that matters: entries for tables, upper ones and L2's data are few among all. */
static unsigned pick(struct run *r)
{
	const unsigned want = (unsigned)below(r, 8);
	unsigned slot = 0;

	for (unsigned i = 0; i < 64; i++) {
		const struct l1_slot *s;

		slot = (unsigned)below(r, r->l1->slot_count);
		s = &r->l1->slot[slot];
		if (want < 3   ? s->vital && s->level == 1
		    : want < 5 ? s->kind == L1_SLOT_UPPER || s->level > 1
			       : s->kind == L1_SLOT_DATA)
			break;
	}
	return slot;
}

static void edit(struct run *r)
{
	const unsigned slot = pick(r);
	const struct l1_slot *s = &r->l1->slot[slot];
	uint64_t value = l1_value(r->l1, s, below(r, UINT32_MAX));

	/* Data pages may go where they like, the others are remembered. */
	if (s->vital || s->kind == L1_SLOT_UPPER) {
		if (r->changed_count == sizeof(r->changed) / sizeof(r->changed[0]))
			mend(r, true);
		r->changed[r->changed_count++].slot = slot;
	}
	set_slot(r, slot, value);
}

/* L2's table that one path leads to, by L1 or a device. */
static void edit_l2(struct run *r)
{
	const unsigned size = builtin_entry_size(r->l1->guest);
	umbra_gpa table;
	uint64_t gva, leaf;

	if (!size)
		return;
	builtin_single(r->l1->guest, &table, &gva);
	leaf = builtin_leaf(r->l1->guest, random_next(&r->random));
	table.v += below(r, HOT) * size;
	if (r->l1->config.kind != L1_PLAIN)
		table.v = l1_place(table.v);
	lab_device_write(r->lab, table, &leaf, size);
	if (is_amd(r) || !r->state.tag)
		r->flush = true;
	else
		lab_invvpid(r->lab, one_in(r, 2) ? 1 : 2, (uint16_t)r->state.tag, (umbra_gva){0},
			    NULL);
}

/* Of L1's tables, with whatever L1 has. */
static void invalidate(struct run *r)
{
	const unsigned choice = (unsigned)below(r, 4);

	if (!r->flush || is_amd(r))
		return;
	r->flush = false;
	if (r->state.paging != UMBRA_NESTED_EPT) {
		if (r->state.tag)
			lab_invvpid(r->lab, 1, (uint16_t)r->state.tag, (umbra_gva){0}, NULL);
		return;
	}
	if (choice == 0) {
		lab_invept(r->lab, 2, 0, NULL);
		return;
	}
	/* Either may have cached the tables that they share. */
	for (unsigned i = 0; i < L1_ROOTS; i++)
		lab_invept(r->lab, 1, l1_pointer(r->l1, i), NULL);
}

static void edits(struct run *r)
{
	const unsigned count = (unsigned)below(r, EDITS_MAX);

	if (r->l1->config.kind != L1_PLAIN) {
		mend(r, one_in(r, 4));
		for (unsigned i = 0; i < count; i++)
			edit(r);
	}
	if (one_in(r, 3))
		edit_l2(r);
	invalidate(r);
}

/* ---- entering ---- */

/* The VMCS fields that L2 in PAE mode starts with. */
static void read_pdptes(struct run *r, struct umbra_regs *regs)
{
	uint64_t gpa = regs->cr3 & 0xffffffe0;

	if (r->l1->config.kind != L1_PLAIN)
		gpa = l1_place(gpa);
	memcpy(regs->pdpte, lab_bytes(r->lab, (umbra_gpa){gpa}), sizeof(regs->pdpte));
}

static void choose_registers(struct run *r)
{
	struct umbra_regs *regs = &r->state.regs;
	uint64_t roots[4];
	const unsigned count = builtin_roots(r->l1->guest, roots);

	builtin_regs(r->l1->guest, (unsigned)below(r, r->variations), regs);
	if (!(regs->cr0 & UMBRA_CR0_PG))
		return;
	/* The last one of PAE is refused where PDPTEs are registers. */
	regs->cr3 = roots[below(r, count)];
	if (regs->cr4 & UMBRA_CR4_PAE && !(regs->efer & UMBRA_EFER_LMA))
		read_pdptes(r, regs);
}

static void choose_state(struct run *r, bool again)
{
	const struct l1_config *c = &r->l1->config;
	struct umbra_nested *s = &r->state;

	s->tlb_control = 0;
	if (!again) {
		choose_registers(r);
		/* Without a flush other registers may meet what the old ones left. */
		r->flush |= is_amd(r);
		if (!is_amd(r) && s->tag)
			lab_invvpid(r->lab, 1, (uint16_t)s->tag, (umbra_gva){0}, NULL);
		s->pf_exits = one_in(r, 4);
		s->pf_mask = one_in(r, 2) ? 0 : (uint32_t)below(r, 32);
		s->pf_match = is_amd(r) || one_in(r, 2) ? 0 : (uint32_t)below(r, 32);
		s->pf_mask = is_amd(r) ? 0 : s->pf_mask;
	}
	if (c->kind != L1_PLAIN && !again)
		s->pointer = l1_pointer(r->l1, one_in(r, 3));
	if (c->pml && !again)
		s->pml_index = (uint16_t)below(r, one_in(r, 3) ? 4 : 512);
	if (!r->flush)
		return;
	r->flush = false;
	/* A tag that has never been used serves as well. */
	if (one_in(r, 3))
		s->tag++;
	else
		s->tlb_control = one_in(r, 3) ? 1 : 3;
}

static bool enter(struct run *r, bool again)
{
	bool refused = true;

	choose_state(r, again);
	if (!lab_enter_nested(r->lab, &r->state, &refused) || refused) {
		/* The flush has not happened. */
		r->flush |= is_amd(r);
		return false;
	}
	return true;
}

static void leave(struct run *r)
{
	lab_nested(r->lab, &r->state);
	lab_leave_nested(r->lab);
}

/* ---- L2 ---- */

/* A register bit that changes what entries mean, not which are used. */
static void l2_mov(struct run *r)
{
	const struct umbra_regs *regs = lab_regs(r->lab);
	const uint32_t features = r->l1->cpu.features;
	const bool paged = regs->cr0 & UMBRA_CR0_PG;
	uint64_t roots[4];

	switch (below(r, 6)) {
	case 0:
		if (!(regs->cr4 & UMBRA_CR4_CET))
			lab_mov(r->lab, LAB_CR0, regs->cr0 ^ UMBRA_CR0_WP, NULL);
		break;
	case 1:
		if (features & UMBRA_CPU_SMEP)
			lab_mov(r->lab, LAB_CR4, regs->cr4 ^ UMBRA_CR4_SMEP, NULL);
		break;
	case 2:
		if (features & UMBRA_CPU_SMAP)
			lab_mov(r->lab, LAB_CR4, regs->cr4 ^ UMBRA_CR4_SMAP, NULL);
		break;
	case 3: lab_mov(r->lab, LAB_CR4, regs->cr4 ^ UMBRA_CR4_PGE, NULL); break;
	case 4:
		if (features & UMBRA_CPU_PKU && regs->efer & UMBRA_EFER_LMA)
			lab_set_keys(r->lab, (uint32_t)random_next(&r->random), regs->pkrs);
		break;
	default:
		/* Global pages outlive it, and with them what L1 now refuses the new root. */
		if (paged && !(regs->cr4 & UMBRA_CR4_PGE))
			lab_mov(r->lab, LAB_CR3,
				roots[below(r, builtin_roots(r->l1->guest, roots))], NULL);
	}
}

/* L2 edits its own table and executes INVLPG. */
static void l2_edit(struct run *r)
{
	const unsigned size = builtin_entry_size(r->l1->guest);
	const unsigned index = (unsigned)below(r, HOT);
	struct lab_access access = {.size = (uint8_t)size, .access = UMBRA_ACCESS_WRITE};
	umbra_gpa table;
	uint64_t gva, leaf;

	if (!size)
		return;
	builtin_single(r->l1->guest, &table, &gva);
	leaf = builtin_leaf(r->l1->guest, random_next(&r->random));
	access.gva.v = builtin_window(r->l1->guest) + table.v + (uint64_t)index * size;
	access.data = &leaf;
	lab_access(r->lab, &access, NULL);
	lab_invlpg(r->lab, (umbra_gva){gva + (uint64_t)index * UMBRA_PAGE_SIZE});
}

/* Anywhere, now and then where entries have changed. */
static void touch(struct run *r, struct lab_side *bare)
{
	struct builtin_page hot = {.shift = UMBRA_PAGE_SHIFT, .data = true};
	umbra_gpa table;

	if (!builtin_entry_size(r->l1->guest) || !one_in(r, 6)) {
		sweep_touch(r->lab, &r->page[below(r, r->pages)], &r->random, bare);
		return;
	}
	builtin_single(r->l1->guest, &table, &hot.gva);
	hot.gva += below(r, HOT) * UMBRA_PAGE_SIZE;
	sweep_touch(r->lab, &hot, &r->random, bare);
}

/* An exit: L1 looks at it, and L2 goes on or not. False: L1 runs. */
static bool l1_sees(struct run *r, const struct lab_side *bare)
{
	if (bare->end != LAB_EXIT_L1)
		return true;
	if (bare->event.kind == UMBRA_EVENT_PML_FULL) {
		leave(r);
		r->state.pml_index = 511;
		return enter(r, true);
	}
	if (!one_in(r, 8))
		return true;
	leave(r);
	return enter(r, true);
}

static void l2_runs(struct run *r)
{
	const unsigned stretch = 1 + (unsigned)below(r, STRETCH);

	for (unsigned i = 0; i < stretch && r->left; i++) {
		struct lab_side bare;

		r->left--;
		touch(r, &bare);
		if (!l1_sees(r, &bare))
			return;
		if (one_in(r, 20))
			l2_mov(r);
		if (one_in(r, 20))
			l2_edit(r);
		if (r->state.eptp_list && one_in(r, 30))
			lab_vmfunc(r->lab, (uint32_t)below(r, 4), NULL);
	}
	leave(r);
}

/* ---- the whole ---- */

static void embedder(struct run *r)
{
	unsigned count;

	l1_memory(r->l1, &count);
	if (one_in(r, 24))
		lab_zap(r->lab);
	if (one_in(r, 60))
		lab_move(r->lab, count - 1);
	if (one_in(r, 60))
		lab_audit(r->lab);
}

static void note_tables(struct run *r)
{
	umbra_gpa base;
	uint64_t size;

	builtin_tables(r->l1->guest, &base, &size);
	if (r->l1->config.kind != L1_PLAIN)
		base.v = l1_place(base.v);
	lab_note_tables(r->lab, base, size);
	lab_note_tables(r->lab, r->l1->own->base, r->l1->own->size);
}

static void start(struct run *r, uint64_t accesses)
{
	static const enum umbra_nested_paging paging[L1_KINDS] = {
		[L1_PLAIN] = UMBRA_NESTED_NONE,     [L1_EPT_4] = UMBRA_NESTED_EPT,
		[L1_EPT_5] = UMBRA_NESTED_EPT,      [L1_NPT_32] = UMBRA_NESTED_NPT,
		[L1_NPT_32_PSE] = UMBRA_NESTED_NPT, [L1_NPT_PAE] = UMBRA_NESTED_NPT,
		[L1_NPT_4] = UMBRA_NESTED_NPT,      [L1_NPT_5] = UMBRA_NESTED_NPT,
	};
	const struct l1_config *c = &r->l1->config;
	struct umbra_regs regs;

	r->random = c->seed ^ 0x4c31;
	r->left = accesses;
	r->page = builtin_pages(r->l1->guest, &r->pages);
	while (builtin_regs(r->l1->guest, r->variations, &regs))
		r->variations++;
	r->state = (struct umbra_nested){
		.paging = paging[c->kind],
		.exec_by_mode = c->exec_by_mode,
		.readonly_tables = c->readonly_tables,
		.pml = c->pml,
		.pml_address = r->l1->pml,
		/* VPID 0 now and then: then entries and exits flush. */
		.tag = is_amd(r) || !one_in(r, 4),
	};
	if (c->kind == L1_EPT_4 || c->kind == L1_EPT_5)
		r->state.eptp_list = one_in(r, 2) ? r->l1->eptp_list : 0;
}

void l1_run(struct lab *lab, struct l1 *l1, uint64_t accesses)
{
	struct run r = {.lab = lab, .l1 = l1};
	bool refused = false;

	start(&r, accesses);
	note_tables(&r);
	lab_set_regs(lab, &l1->regs, true, &refused);
	while (r.left && !refused && r.variations && r.pages) {
		edits(&r);
		if (enter(&r, false))
			l2_runs(&r);
		else
			r.left -= r.left > 0;
		lab_leave_nested(lab);
		embedder(&r);
	}
	lab_compare_memory(lab);
	lab_audit(lab);
	lab_counts(lab);
}
