/* SPDX-License-Identifier: MIT */
/*
 * fuzz_run.c - carries programs out, step by step, and cuts them down.
 *
 * The UMBRA machine is a lab's, with registers of its own for each vCPU; the bare
 * one is a set of CPUs that follow it (fuzz_judge.c). What concerns only Umbra
 * (zap, shrink, unprotect, track, swap) is not done on the bare machine.
 *
 * Invariant: a run follows from the program and the configuration alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lab/fuzz_parts.h"

#define MEMORY_EVERY 64

/* ---- setting up ---- */

static void *reserve(uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static bool open_builtin(struct duel *d)
{
	d->slot_count = FUZZ_SLOTS;
	d->table_pages = FUZZ_PAGES;
	for (unsigned i = 0; i < FUZZ_SLOTS; i++) {
		d->slot[i] = fuzz_slots[i];
		d->umbra[i] = reserve(d->slot[i].size);
		if (!d->umbra[i])
			return false;
		for (unsigned k = 0; k < 2; k++) {
			d->bytes[i][k] = reserve(d->slot[i].size);
			if (!d->bytes[i][k] ||
			    !model_mem_add(d->mem, (umbra_hpa){d->slot[i].base[k]}, d->slot[i].size,
					   d->bytes[i][k]))
				return false;
		}
	}
	return true;
}

static bool open_image(struct duel *d, const struct fuzz_image *image)
{
	d->slot_count = image->count;
	for (unsigned i = 0; i < image->count; i++) {
		const struct lab_memory *m = &image->memory[i];

		d->slot[i] = (struct fuzz_slot){{m->base.v, m->base.v}, m->size, m->readonly};
		d->umbra[i] = m->umbra;
		d->bytes[i][0] = m->bare;
		d->table_pages = (m->base.v + m->size) >> UMBRA_PAGE_SHIFT;
		if (!model_mem_add(d->mem, (umbra_hpa){m->base.v}, m->size, m->bare))
			return false;
	}
	if (d->table_pages > FUZZ_PAGES_MAX)
		d->table_pages = FUZZ_PAGES_MAX;
	return true;
}

static bool open_memory(struct duel *d, struct lab_memory *memory)
{
	d->mem = model_mem_new();
	if (!d->mem)
		return false;
	if (!(d->limits->image ? open_image(d, d->limits->image) : open_builtin(d)))
		return false;
	for (unsigned i = 0; i < d->slot_count; i++)
		memory[i] = (struct lab_memory){{d->slot[i].base[0]},
						d->slot[i].size,
						d->bytes[i][0],
						d->umbra[i],
						d->slot[i].readonly};
	/* Tables where no memory is are empty, as the library has them. */
	model_mem_zeros(d->mem);
	d->table = calloc(d->table_pages / 8 + 1, 1);
	return d->table;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_access(const struct fuzz_step *s)
{
	return s->op == FUZZ_READ || s->op == FUZZ_WRITE || s->op == FUZZ_FETCH;
}

/* Sorts @count values and drops what is there twice. Returns how many are left. */
static unsigned sort_unique(uint64_t *values, unsigned count)
{
	unsigned kept = 0;

	qsort(values, count, sizeof(*values), by_value);
	for (unsigned i = 0; i < count; i++)
		if (!i || values[i] != values[i - 1])
			values[kept++] = values[i];
	return kept;
}

/* What an entry, or CR3, may lead to; L2's memory ends somewhere. */
static void find_address(struct duel *d, uint64_t value)
{
	const uint64_t page = value & 0xffffffffff000ull;

	if (page < FUZZ_L2_END)
		d->gpa[d->gpa_count++] = page;
}

/* Guest-physical pages that L2 may address, through whatever tables. */
static bool find_addresses(struct duel *d)
{
	bool nested = false;

	for (unsigned i = 0; i < d->program->count; i++)
		nested |= d->program->step[i].op == FUZZ_ENTER;
	if (!nested)
		return true;
	d->gpa = malloc((d->program->count + 1) * sizeof(*d->gpa));
	if (!d->gpa)
		return false;
	for (unsigned i = 0; i < d->program->count; i++) {
		const struct fuzz_step *s = &d->program->step[i];

		if (s->op == FUZZ_CR3 || s->op == FUZZ_ENTER)
			find_address(d, s->a);
		else if ((s->op == FUZZ_SET || s->op == FUZZ_WRITE) && s->size >= 4)
			find_address(d, s->b);
	}
	d->gpa_count = sort_unique(d->gpa, d->gpa_count);
	return true;
}

/* Both pages of each access. */
static bool find_pages(struct duel *d)
{
	d->page = malloc((2 * d->program->count + 1) * sizeof(*d->page));
	if (!d->page)
		return false;
	for (unsigned i = 0; i < d->program->count; i++) {
		const struct fuzz_step *s = &d->program->step[i];

		if (!is_access(s))
			continue;
		d->page[d->page_count++] = s->a & ~0xfffull;
		if (((s->a + s->size - 1) ^ s->a) >> UMBRA_PAGE_SHIFT)
			d->page[d->page_count++] = (s->a + s->size - 1) & ~0xfffull;
	}
	d->page_count = sort_unique(d->page, d->page_count);
	return true;
}

static void on_bug(struct lab *lab, const char *file, int line, const char *what)
{
	struct duel *d = lab->context;

	judge_found(d, "bug", "%s:%d: %s", file, line, what);
	longjmp(d->bug, 1);
}

static bool open_duel(struct duel *d, const struct lab_config *config)
{
	struct lab_memory memory[LAB_MEMORY_MAX];
	struct lab_config own = *config;
	const struct model_config bare = {.cpu = lab_guest_cpu(config), .caching = MODEL_HOSTILE};

	own.cpus = d->program->vcpus;
	if (!open_memory(d, memory) || !find_pages(d) || !find_addresses(d)) {
		snprintf(d->result->skipped, sizeof(d->result->skipped), "out of memory");
		return false;
	}
	d->lab = lab_new(&own, memory, d->slot_count, d->result->skipped,
			 sizeof(d->result->skipped));
	if (!d->lab)
		return false;
	d->lab->bug = on_bug;
	d->lab->lax = true;
	d->lab->context = d;
	for (unsigned i = 0; i < d->program->vcpus; i++) {
		d->bare[i] = model_cpu_new(d->mem, &bare);
		if (!d->bare[i]) {
			snprintf(d->result->skipped, sizeof(d->result->skipped), "out of memory");
			return false;
		}
	}
	if (d->limits->fail_nth)
		posix_fail(lab_host(d->lab), d->limits->fail_nth,
			   POSIX_FAIL_PAGE | POSIX_FAIL_ALLOC | POSIX_FAIL_PIN, UMBRA_EINTR);
	return true;
}

static void close_duel(struct duel *d)
{
	/* Noticed or not. */
	if (d->lab && d->limits->fail_nth)
		d->result->failed |= posix_failed(lab_host(d->lab));
	for (unsigned i = 0; d->lab && i < d->slot_count; i++)
		d->lab->memory[i].size = d->slot[i].size;
	lab_free(d->lab);
	for (unsigned i = 0; i < LAB_CPU_MAX; i++)
		model_cpu_free(d->bare[i]);
	if (d->mem)
		model_mem_free(d->mem);
	for (unsigned i = 0; !d->limits->image && i < FUZZ_SLOTS; i++) {
		for (unsigned k = 0; k < 2; k++)
			if (d->bytes[i][k])
				munmap(d->bytes[i][k], fuzz_slots[i].size);
		if (d->umbra[i])
			munmap(d->umbra[i], fuzz_slots[i].size);
	}
	free(d->table);
	free(d->gpa);
	free(d->page);
}

/* ---- accesses ---- */

static const struct umbra_regs *regs_of(const struct duel *d, unsigned vcpu)
{
	return &model_state_of(d->bare[vcpu])->regs;
}

static bool is_long(const struct duel *d, unsigned vcpu)
{
	return regs_of(d, vcpu)->efer & UMBRA_EFER_LMA;
}

bool run_select(struct duel *d, unsigned vcpu)
{
	const struct fuzz_guest *guest = &d->guest[vcpu];

	d->lab->at = &d->lab->cpu[vcpu];
	d->lab->long_code = is_long(d, vcpu);
	d->lab->in_l2 = guest->in_l2;
	if (guest->in_l2)
		d->lab->nested = guest->nested;
	return d->lab->long_code;
}

bool run_excused(struct duel *d)
{
	if (!d->limits->fail_nth || d->result->failed || !posix_failed(lab_host(d->lab)))
		return false;
	d->result->failed = true;
	return true;
}

static void do_access(struct duel *d, const struct fuzz_step *s)
{
	struct lab_access a = {.gva = {s->a}, .size = s->size, .access = s->access, .data = &s->b};
	struct lab_side side = {0};

	if (s->op == FUZZ_WRITE)
		a.access |= UMBRA_ACCESS_WRITE;
	if (s->op == FUZZ_FETCH)
		a.access |= UMBRA_ACCESS_FETCH;
	if (s->op == FUZZ_FETCH || !(regs_of(d, s->vcpu)->cr4 & UMBRA_CR4_CET))
		a.access &= ~(unsigned)UMBRA_ACCESS_SHSTK;
	if (a.access & UMBRA_ACCESS_SHSTK) {
		a.gva.v &= ~7ull;
		a.size = 8;
	}
	if (!run_select(d, s->vcpu))
		a.gva.v &= UINT32_MAX;
	machine_access(d->lab, &a, &side);
	if (side.end == LAB_STATUS && run_excused(d)) {
		memset(&side, 0, sizeof(side));
		machine_access(d->lab, &a, &side);
	}
	d->result->faults += side.rounds;
	judge_access(d, s->vcpu, &a, &side);
	if (side.end == LAB_EXIT_L1)
		nested_exited(d, s->vcpu, &side);
}

/* ---- registers ---- */

void run_both(struct duel *d, const char *what, bool bare_refuses, bool umbra_refuses)
{
	if (bare_refuses != umbra_refuses)
		judge_found(d, "instruction", "%s: #GP on the %s machine only", what,
			    bare_refuses ? "bare" : "UMBRA");
}

bool run_lost(const struct duel *d, const struct umbra_regs *regs, uint64_t cr3)
{
	const bool pae = regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE &&
			 !(regs->efer & UMBRA_EFER_LMA);

	return pae && lab_place_of(d->lab, (umbra_gpa){cr3 & 0xffffffe0}, NULL) == LAB_NOTHING;
}

/* Entering with VPID 0 flushes it (H-112); AMD has a way to ask for it. */
void run_forget(struct duel *d, unsigned vcpu)
{
	struct model_state state = *model_state_of(d->bare[vcpu]);

	if (!d->guest[vcpu].has) {
		model_flush_all(d->bare[vcpu]);
		return;
	}
	state.load_pdptes = false;
	state.tlb_control = d->lab->config.cpu.vendor == UMBRA_VENDOR_AMD ? 3 : 0;
	model_enter(d->bare[vcpu], &state);
}

static void do_regs(struct duel *d, const struct fuzz_step *s)
{
	const struct umbra_cpu cpu = lab_guest_cpu(&d->lab->config);
	const bool keys = cpu.features & UMBRA_CPU_PKS;
	const struct model_state state = {
		.regs = {.cr0 = s->cr0,
			 .cr3 = s->a,
			 .cr4 = s->cr4,
			 .efer = s->efer,
			 .pkru = (uint32_t)s->b,
			 .pkrs = keys ? (uint32_t)(s->b >> 32) : 0},
		.load_pdptes = true,
		.long_code = s->efer & UMBRA_EFER_LMA,
	};
	struct model_cpu *bare = d->bare[s->vcpu];
	enum umbra_status status;
	bool refused;

	if (run_lost(d, &state.regs, s->a))
		return;
	nested_leave(d, s->vcpu);
	refused = model_enter(bare, &state).kind != UMBRA_EVENT_NONE;
	run_select(d, s->vcpu);
	status = umbra_vcpu_set_regs(d->lab->at->vcpu, &state.regs, true);
	run_both(d, "registers", refused, status != UMBRA_OK);
	d->result->refused += refused;
	/* Refused too: the TLBs are empty after this step (the bare CPU's are anyway). */
	run_forget(d, s->vcpu);
	if (!lab_is_tdp(d->lab))
		umbra_vcpu_invpcid(d->lab->at->vcpu, 2, 0, (umbra_gva){0});
	machine_forget(d->lab);
}

static struct umbra_event bare_mov(struct model_cpu *cpu, enum lab_register which, uint64_t value)
{
	return which == LAB_CR0   ? model_mov_cr0(cpu, value)
	       : which == LAB_CR3 ? model_mov_cr3(cpu, value)
				  : model_mov_cr4(cpu, value);
}

static void umbra_mov(struct duel *d, enum lab_register which, uint64_t value,
		      struct lab_side *side)
{
	lab_cpu_mov(d->lab, which, value, side);
	if (side->end != LAB_STATUS || !run_excused(d))
		return;
	memset(side, 0, sizeof(*side));
	lab_cpu_mov(d->lab, which, value, side);
}

/* L2 may load PDPTEs through what is cached of L1's EPT: the bare CPU does as was seen. */
static struct umbra_event bare_follow_mov(struct duel *d, unsigned vcpu, enum lab_register which,
					  uint64_t value, const struct lab_side *side)
{
	const struct umbra_regs *regs = umbra_vcpu_regs(d->lab->cpu[vcpu].vcpu);
	struct model_load load = {.event = side->event};
	struct umbra_event event;

	if (side->end == LAB_REFUSED)
		load.event.kind = UMBRA_EVENT_GP;
	memcpy(load.pdpte, regs->pdpte, sizeof(load.pdpte));
	model_load_as(d->bare[vcpu], &load);
	event = bare_mov(d->bare[vcpu], which, value);
	model_load_as(d->bare[vcpu], NULL);
	judge_load(d, vcpu, which == LAB_CR3 ? value : regs_of(d, vcpu)->cr3);
	if (side->end != LAB_EXIT_L1)
		return event;
	if (event.kind != side->event.kind)
		judge_found(d, "instruction", "an exit of kind %d, not %d", (int)side->event.kind,
			    (int)event.kind);
	model_took_exit(d->bare[vcpu], NULL, &side->event);
	d->stale |= 1u << vcpu;
	return event;
}

static void do_mov(struct duel *d, unsigned vcpu, enum lab_register which, uint64_t value)
{
	const char *const names[] = {
		[LAB_CR0] = "MOV CR0", [LAB_CR3] = "MOV CR3", [LAB_CR4] = "MOV CR4"};
	const bool nested =
		d->guest[vcpu].in_l2 && d->guest[vcpu].nested.paging != UMBRA_NESTED_NONE;
	struct lab_side side = {0};
	bool refused = false;

	if (!run_select(d, vcpu))
		value &= UINT32_MAX;
	if (!nested) {
		if (run_lost(d, regs_of(d, vcpu), which == LAB_CR3 ? value : regs_of(d, vcpu)->cr3))
			return;
		refused = bare_mov(d->bare[vcpu], which, value).kind != UMBRA_EVENT_NONE;
		/* The other checks of an intercepted MOV are the embedder's. */
		if (refused && which != LAB_CR3 && !lab_is_tdp(d->lab))
			return;
	}
	umbra_mov(d, which, value, &side);
	/* Outside memory the library refuses, the bare machine reads zeros. */
	if (nested && side.end == LAB_REFUSED && side.what) {
		judge_load(d, vcpu, which == LAB_CR3 ? value : regs_of(d, vcpu)->cr3);
		return;
	}
	if (nested && (side.end == LAB_DONE || side.end == LAB_REFUSED || side.end == LAB_EXIT_L1))
		refused = bare_follow_mov(d, vcpu, which, value, &side).kind != UMBRA_EVENT_NONE;
	if (side.end == LAB_EXIT_L1)
		nested_exited(d, vcpu, &side);
	else if (side.end != LAB_DONE && side.end != LAB_REFUSED)
		judge_found(d, "instruction", "%s: %s", names[which],
			    side.end == LAB_STATUS ? umbra_strstatus(side.status)
			    : side.what            ? side.what
						   : "no progress");
	else
		run_both(d, names[which], refused, side.end == LAB_REFUSED);
}

static void do_keys(struct duel *d, const struct fuzz_step *s)
{
	const bool keys = lab_guest_cpu(&d->lab->config).features & UMBRA_CPU_PKS;
	const uint32_t pkrs = keys ? (uint32_t)s->b : 0;
	struct umbra_regs regs;

	run_select(d, s->vcpu);
	model_set_keys(d->bare[s->vcpu], (uint32_t)s->a, pkrs);
	regs = *umbra_vcpu_regs(d->lab->at->vcpu);
	regs.pkru = (uint32_t)s->a;
	regs.pkrs = pkrs;
	run_both(d, "keys", false, umbra_vcpu_set_regs(d->lab->at->vcpu, &regs, false) != UMBRA_OK);
	if (lab_is_tdp(d->lab) && d->lab->at->entered) {
		model_set_keys(d->lab->at->model, (uint32_t)s->a, pkrs);
		d->lab->at->root.regs = model_state_of(d->lab->at->model)->regs;
	}
	d->lab->at->stale = true;
}

/* ---- invalidation ---- */

/* With TDP the guest's CPU does it itself: is it in the guest? */
static bool enter(struct duel *d)
{
	struct lab_side side = {0};

	if (machine_enter(d->lab, &side) || (run_excused(d) && machine_enter(d->lab, &side)))
		return true;
	judge_found(d, "instruction", "cannot enter the guest: %s", umbra_strstatus(side.status));
	return false;
}

static void do_invlpg(struct duel *d, const struct fuzz_step *s)
{
	umbra_gva gva = {s->a};

	if (!run_select(d, s->vcpu))
		gva.v &= UINT32_MAX;
	model_invlpg(d->bare[s->vcpu], gva);
	if (!lab_is_tdp(d->lab)) {
		umbra_vcpu_invlpg(d->lab->at->vcpu, gva);
		d->lab->at->stale = true;
	} else if (enter(d)) {
		model_invlpg(d->lab->at->model, gva);
	}
}

static void do_invpcid(struct duel *d, const struct fuzz_step *s)
{
	umbra_gva gva = {s->a};
	bool refused, umbra = false;

	if (!run_select(d, s->vcpu))
		gva.v &= UINT32_MAX;
	refused = model_invpcid(d->bare[s->vcpu], s->size, (uint16_t)s->b, gva).kind !=
		  UMBRA_EVENT_NONE;
	if (!lab_is_tdp(d->lab)) {
		umbra = umbra_vcpu_invpcid(d->lab->at->vcpu, s->size, (uint16_t)s->b, gva) !=
			UMBRA_OK;
		d->lab->at->stale = true;
	} else if (enter(d)) {
		umbra = model_invpcid(d->lab->at->model, s->size, (uint16_t)s->b, gva).kind !=
			UMBRA_EVENT_NONE;
	}
	run_both(d, "INVPCID", refused, umbra);
}

/* ---- memory and the embedder ---- */

static void do_set(struct duel *d, const struct fuzz_step *s)
{
	const umbra_gpa gpa = {s->a};
	const bool ram = lab_place_of(d->lab, gpa, NULL) == LAB_RAM &&
			 lab_place_of(d->lab, (umbra_gpa){s->a + s->size - 1}, NULL) == LAB_RAM;
	enum umbra_status status;

	if ((s->a & 0xfff) + s->size > UMBRA_PAGE_SIZE)
		return;
	status = umbra_vm_write(d->lab->vm, gpa, &s->b, s->size);
	if (ram != (status == UMBRA_OK))
		judge_found(d, "device", "a write to 0x%" PRIx64 ": %s", s->a,
			    umbra_strstatus(status));
	if (ram)
		judge_store(d, gpa, &s->b, s->size);
}

/* Memory of slot @i appears at place @to on the bare machine. */
static void bare_appear(struct duel *d, unsigned i, unsigned to)
{
	memcpy(d->bytes[i][to], d->lab->memory[i].umbra, d->slot[i].size);
	d->place[i] = (int)to;
}

static void bare_vanish(struct duel *d, unsigned i)
{
	judge_memory(d, true);
	memset(d->bytes[i][d->place[i]], 0, d->slot[i].size);
	d->place[i] = -1;
}

static void set_slot(struct duel *d, const struct umbra_slot *slot)
{
	enum umbra_status status = umbra_slot_set(d->lab->vm, slot);

	if (status != UMBRA_OK && run_excused(d))
		status = umbra_slot_set(d->lab->vm, slot);
	if (status != UMBRA_OK)
		judge_found(d, "slot", "%s", umbra_strstatus(status));
}

/* The ranges of an image stay: to move them would be to copy them. */
static bool may_go(const struct duel *d, unsigned i)
{
	return i < d->slot_count && !d->limits->image;
}

static void do_delete(struct duel *d, unsigned i)
{
	const struct umbra_slot gone = {.id = i};

	if (!may_go(d, i) || d->place[i] < 0)
		return;
	bare_vanish(d, i);
	set_slot(d, &gone);
	d->lab->memory[i].size = 0;
	d->stale = ~0u;
}

static void do_add(struct duel *d, unsigned i, unsigned to)
{
	struct lab_memory *m = &d->lab->memory[i < d->slot_count ? i : 0];
	struct umbra_slot slot;

	if (!may_go(d, i) || to > 1 || d->place[i] == (int)to)
		return;
	if (d->place[i] >= 0)
		bare_vanish(d, i);
	m->base.v = d->slot[i].base[to];
	m->size = d->slot[i].size;
	slot = (struct umbra_slot){
		.id = i,
		.flags = m->readonly ? UMBRA_SLOT_READONLY : 0,
		.base = m->base,
		.size = m->size,
		.hva = d->lab->home[i][d->lab->at_home[i]].hva,
	};
	/* One that is tracked cannot be moved (S-45): it goes and comes. */
	if (umbra_slot_set(d->lab->vm, &slot) != UMBRA_OK) {
		umbra_slot_set(d->lab->vm, &(struct umbra_slot){.id = i});
		run_excused(d);
		set_slot(d, &slot);
	}
	bare_appear(d, i, to);
	d->stale = ~0u;
}

static void do_swap(struct duel *d, unsigned i)
{
	struct lab_side side = {.end = LAB_DONE};

	if (!may_go(d, i) || d->place[i] < 0 || d->limits->fail_nth)
		return;
	judge_memory(d, true);
	if (!machine_move(d->lab, i, &side))
		judge_found(d, "slot", "%s",
			    side.end == LAB_STATUS ? umbra_strstatus(side.status) : side.what);
}

static void do_track(struct duel *d, uint64_t gpa, bool on)
{
	/* TDP: writes of A and D by the CPU cannot be emulated as accesses are. */
	if (!lab_is_tdp(d->lab))
		umbra_vm_track(d->lab->vm, (umbra_gpa){gpa}, on);
	run_excused(d);
}

static void do_step(struct duel *d, const struct fuzz_step *s)
{
	const uint64_t cr4 = UMBRA_CR4_SMEP | UMBRA_CR4_SMAP | UMBRA_CR4_PGE | UMBRA_CR4_PSE |
			     UMBRA_CR4_PKE | UMBRA_CR4_PCIDE | UMBRA_CR4_CET | UMBRA_CR4_PKS;

	switch (s->op) {
	case FUZZ_REGS: do_regs(d, s); break;
	case FUZZ_READ:
	case FUZZ_WRITE:
	case FUZZ_FETCH: do_access(d, s); return;
	case FUZZ_INVLPG: do_invlpg(d, s); break;
	case FUZZ_INVPCID: do_invpcid(d, s); break;
	case FUZZ_CR3: do_mov(d, s->vcpu, LAB_CR3, s->a); break;
	case FUZZ_CR0:
		do_mov(d, s->vcpu, LAB_CR0, regs_of(d, s->vcpu)->cr0 ^ (s->a & UMBRA_CR0_WP));
		break;
	case FUZZ_CR4: do_mov(d, s->vcpu, LAB_CR4, regs_of(d, s->vcpu)->cr4 ^ (s->a & cr4)); break;
	case FUZZ_KEYS: do_keys(d, s); break;
	case FUZZ_ENTER:
	case FUZZ_RESUME:
	case FUZZ_LEAVE:
	case FUZZ_INVEPT:
	case FUZZ_INVVPID:
	case FUZZ_INVLPGA:
	case FUZZ_VMFUNC: nested_step(d, s); break;
	case FUZZ_SET: do_set(d, s); return;
	case FUZZ_DELETE: do_delete(d, (unsigned)s->a); return;
	case FUZZ_ADD: do_add(d, (unsigned)s->a, (unsigned)s->b); return;
	case FUZZ_SWAP: do_swap(d, (unsigned)s->a); return;
	case FUZZ_ZAP: umbra_vm_zap_all(d->lab->vm); return;
	case FUZZ_SHRINK: umbra_vm_shrink(d->lab->vm, s->a); return;
	case FUZZ_UNPROTECT: umbra_vm_unprotect(d->lab->vm, (umbra_gpa){s->a}); return;
	case FUZZ_TRACK:
	case FUZZ_UNTRACK: do_track(d, s->a, s->op == FUZZ_TRACK); return;
	default: return;
	}
	d->stale |= 1u << s->vcpu;
}

/* ---- running ---- */

static void on_finding(void *context, const struct umbra_finding *finding)
{
	judge_found(context, "audit", "%s: %s (0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64 ")",
		    finding->invariant, finding->what, finding->where, finding->value,
		    finding->other);
}

static void tell(const struct duel *d, unsigned index)
{
	char text[256];

	if (!d->limits->told)
		return;
	fuzz_step_text(&d->program->step[index], text, sizeof(text));
	d->limits->told(d->limits->context, index, text);
}

static void run_steps(struct duel *d)
{
	const unsigned every = d->limits->audit_every;

	for (unsigned i = 0; i < d->program->count && !d->result->found; i++) {
		tell(d, i);
		d->result->done = i + 1;
		do_step(d, &d->program->step[i]);
		judge_gather(d);
		if (every && i % every == every - 1)
			umbra_audit(d->lab->vm, on_finding, d);
		if (i % MEMORY_EVERY == MEMORY_EVERY - 1)
			judge_memory(d, false);
	}
	judge_memory(d, true);
	umbra_audit(d->lab->vm, on_finding, d);
}

void fuzz_run(const struct fuzz_program *program, const struct lab_config *config,
	      const struct fuzz_limits *limits, struct fuzz_result *result)
{
	struct duel *d = calloc(1, sizeof(*d));

	memset(result, 0, sizeof(*result));
	if (!d) {
		snprintf(result->skipped, sizeof(result->skipped), "out of memory");
		return;
	}
	d->program = program;
	d->limits = limits;
	d->result = result;
	if (!setjmp(d->bug)) {
		if (open_duel(d, config))
			run_steps(d);
		close_duel(d);
		free(d);
	} /* else the library is in no state to be ended: let it leak */
	if (limits->image)
		fuzz_image_restore(limits->image, result->found);
	if (limits->image && limits->image->failed)
		snprintf(result->skipped, sizeof(result->skipped), "out of memory");
}

/* ---- cutting down ---- */

struct shrinking {
	struct fuzz_program *program;
	const struct lab_config *config;
	struct fuzz_limits limits;
	struct fuzz_result *result;
	unsigned runs, left;
};

/* Is there the same finding without [first, first + count)? Then they go. */
static bool without(struct shrinking *s, unsigned first, unsigned count)
{
	struct fuzz_program less = *s->program;
	struct fuzz_result result;

	less.count -= count;
	less.step = malloc((less.count + 1) * sizeof(*less.step));
	if (!less.step || !s->left) {
		free(less.step);
		return false;
	}
	memcpy(less.step, s->program->step, first * sizeof(*less.step));
	memcpy(less.step + first, s->program->step + first + count,
	       (less.count - first) * sizeof(*less.step));
	s->left--;
	s->runs++;
	fuzz_run(&less, s->config, &s->limits, &result);
	if (!result.found || strcmp(result.kind, s->result->kind)) {
		free(less.step);
		return false;
	}
	free(s->program->step);
	*s->program = less;
	s->program->room = less.count;
	if (result.done < s->program->count)
		s->program->count = result.done;
	*s->result = result;
	return true;
}

unsigned fuzz_shrink(struct fuzz_program *program, const struct lab_config *config,
		     const struct fuzz_limits *limits, struct fuzz_result *result, unsigned runs)
{
	struct shrinking s = {program, config, *limits, result, 0, runs};

	if (!result->found)
		return 0;
	s.limits.told = NULL;
	s.limits.audit_every = strcmp(result->kind, "audit") ? 0 : 1;
	s.limits.sparse = strcmp(result->kind, "memory");
	if (result->done && result->done < program->count)
		program->count = result->done;
	for (unsigned chunk = program->count / 2; chunk; chunk /= 2) {
		bool again = true;

		while (again && s.left) {
			again = false;
			for (unsigned at = program->count; at >= chunk && s.left;) {
				at -= chunk;
				if (at + chunk <= program->count && without(&s, at, chunk))
					again = true;
				if (at > program->count)
					at = program->count;
			}
			if (chunk > 1)
				break;
		}
	}
	return s.runs;
}
