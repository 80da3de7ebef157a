/* SPDX-License-Identifier: MIT */
/*
 * step.c - one step of a guest: on Umbra's tables, on the bare machine, and judged.
 *
 *	enter -> model_access -> done, or the guest's own exception
 *	  ^          |
 *	  |       an exit -> umbra_vcpu_fault -> RESUME, RETRY ----.
 *	  '---------------------------------------------------------'
 *	                                       -> INJECT, MMIO, EMULATE
 *
 * The embedder's flushes are the least that a real one does: umbra_host_flush and
 * root.flush become INVEPT, INVVPID or TLB_CONTROL 3; an entry by itself flushes
 * nothing. So a hostile CPU shows what somebody forgot.
 *
 * The bare CPU is strict, so it says what a guest that flushes properly must see.
 * The judge is hostile and makes no access itself: it has cached all that it could
 * speculatively by now (world_begin), forgets what Umbra's outcomes make a CPU forget,
 * and is asked what else a CPU might do.
 */
#include <string.h>

#include "scenario/parts.h"

/* ---- flushes and entries ---- */

static void flush_tag(struct world_cpu *cpu, enum world_tag tag)
{
	if (cpu->world->config.cpu.vendor == UMBRA_VENDOR_AMD) {
		cpu->tlb_control[tag] = 3;
		cpu->stale = true;
	} else if (cpu->world->config.paging == UMBRA_PAGING_EPT) {
		model_invept(cpu->model, 1, cpu->root.pointer);
		/* L2 has had other roots under this VPID, whose combined mappings stay. */
		if (tag == WORLD_L2)
			model_invvpid(cpu->model, 1, tag + 1, (umbra_gva){0});
	} else {
		model_invvpid(cpu->model, 1, tag + 1, (umbra_gva){0});
	}
}

/* False: it is not to be done. */
static bool note_flush(struct world_cpu *cpu, const char *why, bool omit)
{
	struct note *note;

	if (!cpu->entered)
		return false;
	note = world_note(cpu->world, omit ? NOTE_NO_FLUSH : NOTE_FLUSH);
	note->flush.cpu = cpu->number;
	note->flush.why = why;
	return !omit;
}

void world_flush_cpu(struct world_cpu *cpu, const char *why, bool omit)
{
	if (!note_flush(cpu, why, omit))
		return;
	if (cpu->has_l2 && cpu->world->config.paging == UMBRA_PAGING_EPT) {
		model_invept(cpu->model, 2, 0);
		return;
	}
	flush_tag(cpu, WORLD_L1);
	if (cpu->has_l2)
		flush_tag(cpu, WORLD_L2);
}

void world_look(struct world_cpu *cpu)
{
	const bool mirror = cpu->in_l2 && cpu->l2.paging == UMBRA_NESTED_EPT;

	cpu->world->mbec = mirror ? cpu->l2.exec_by_mode : cpu->world->config.exec_by_mode;
}

static bool same_root(const struct umbra_root *a, const struct umbra_root *b)
{
	return a->pointer == b->pointer && !memcmp(&a->regs, &b->regs, sizeof(a->regs)) &&
	       !memcmp(&a->host, &b->host, sizeof(a->host)) && a->nested == b->nested &&
	       a->exec_by_mode == b->exec_by_mode && a->readonly_tables == b->readonly_tables;
}

/* The guest's tables are in PAE format: the CPU reads PDPTEs when it enters. */
static bool reads_pdptes(const struct world_cpu *cpu)
{
	const struct umbra_regs *regs = &cpu->root.regs;

	return !world_is_tdp(cpu->world) && !(regs->efer & UMBRA_EFER_LMA) &&
	       regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE;
}

static enum world_tag tag_of(const struct world_cpu *cpu)
{
	return cpu->root.nested && !cpu->world->omits.nested ? WORLD_L2 : WORLD_L1;
}

static struct model_state state_of(const struct world_cpu *cpu)
{
	const struct world_config *c = &cpu->world->config;
	struct model_state state = {
		.regs = cpu->root.regs,
		.load_pdptes = c->paging == UMBRA_PAGING_SHADOW,
		.long_code = world_regs(cpu)->efer & UMBRA_EFER_LMA,
		.tag = tag_of(cpu) + 1,
		.tlb_control = cpu->tlb_control[tag_of(cpu)],
	};

	if (c->paging == UMBRA_PAGING_EPT) {
		state.stage2 = MODEL_EPT;
		state.eptp = cpu->root.pointer;
		state.mbec = cpu->root.exec_by_mode;
	} else if (c->paging == UMBRA_PAGING_NPT) {
		state.stage2 = MODEL_NPT;
		state.ncr3 = cpu->root.pointer;
		state.hcr0 = cpu->root.host.cr0;
		state.hcr4 = cpu->root.host.cr4;
		state.hefer = cpu->root.host.efer;
		state.gmet = cpu->root.exec_by_mode;
		state.rogpt = cpu->root.readonly_tables;
	}
	return state;
}

bool world_enter(struct world_cpu *cpu, struct world_outcome *outcome)
{
	struct umbra_root root;
	struct model_state state;
	bool same;

	if (cpu->entered && !cpu->stale)
		return true;
	memset(&root, 0, sizeof(root));
	outcome->status = umbra_vcpu_load(cpu->vcpu, &root);
	if (outcome->status != UMBRA_OK) {
		outcome->end = WORLD_STATUS;
		return false;
	}
	same = cpu->entered && same_root(&root, &cpu->root) &&
	       model_state_of(cpu->model)->tag == tag_of(cpu) + 1;
	if (!cpu->entered)
		memset(cpu->tlb_control, 0, sizeof(cpu->tlb_control));
	cpu->entered = true;
	cpu->root = root;
	if (root.flush && note_flush(cpu, "root.flush", cpu->world->omits.root_flush))
		flush_tag(cpu, tag_of(cpu));
	cpu->stale = false;
	if (same && !cpu->tlb_control[tag_of(cpu)] && !reads_pdptes(cpu))
		return true;
	state = state_of(cpu);
	cpu->tlb_control[tag_of(cpu)] = 0;
	if (model_enter(cpu->model, &state).kind == UMBRA_EVENT_NONE)
		return true;
	cpu->entered = false;
	outcome->end = WORLD_REFUSED_ENTRY;
	return false;
}

/* ---- faults ---- */

static enum umbra_nested_paging l2_paging(const struct world_cpu *cpu)
{
	return cpu->in_l2 ? cpu->l2.paging : UMBRA_NESTED_NONE;
}

/* True: enter again. */
static bool resolve(struct world_cpu *cpu, const struct umbra_event *event, unsigned access,
		    struct world_outcome *outcome, struct umbra_resolution *resolution)
{
	const unsigned user = UMBRA_ACCESS_USER | UMBRA_ACCESS_IMPLICIT;
	const struct umbra_exit exit = {
		.event = *event,
		.cpl = access & user ? 3 : 0,
		.ac = access & UMBRA_ACCESS_AC,
	};
	struct note *note = world_note(cpu->world, NOTE_EXIT);

	note->exit.event = *event;
	note->exit.l2_gpa = l2_paging(cpu) != UMBRA_NESTED_NONE;
	memset(resolution, 0, sizeof(*resolution));
	outcome->exits++;
	outcome->status = umbra_vcpu_fault(cpu->vcpu, &exit, resolution);
	cpu->stale = true;
	note = world_note(cpu->world, NOTE_ANSWER);
	note->answer.status = outcome->status;
	note->answer.resolution = *resolution;
	outcome->verdict = resolution->verdict;
	outcome->level = resolution->level;
	if (outcome->status != UMBRA_OK) {
		outcome->end = WORLD_STATUS;
		return false;
	}
	switch (resolution->verdict) {
	case UMBRA_RESUME:
	case UMBRA_RETRY: return true;
	case UMBRA_INJECT:
		outcome->end = WORLD_FAULT;
		outcome->event = resolution->event;
		outcome->to_l1 = resolution->to_l1;
		return false;
	case UMBRA_MEMORY_FAULT:
		outcome->end = WORLD_MEMORY_FAULT;
		outcome->gpa = resolution->gpa;
		return false;
	default: return false;
	}
}

void world_exit(struct world_cpu *cpu, const struct umbra_event *event, unsigned access,
		struct world_outcome *outcome)
{
	struct umbra_resolution resolution;

	*outcome = (struct world_outcome){.end = WORLD_DONE, .verdict = UMBRA_VERDICT_COUNT};
	world_look(cpu);
	if (resolve(cpu, event, access, outcome, &resolution))
		return;
	if (outcome->end == WORLD_DONE && resolution.verdict == UMBRA_MMIO)
		outcome->end = WORLD_MMIO;
	outcome->gpa = resolution.gpa;
	if (outcome->to_l1)
		world_follow_exit(cpu);
}

#define UNKNOWN UINT64_MAX

/* Of L2's tables. */
static bool is_walk(const struct umbra_event *event)
{
	if (event->kind == UMBRA_EVENT_EPT_VIOLATION)
		return !(event->code & UMBRA_EPTQ_FINAL);
	return event->kind == UMBRA_EVENT_NPF && event->code & UMBRA_NPF_TABLE;
}

/* The embedder carries the instruction out that led to @event. */
static void emulate(struct world_cpu *cpu, const struct world_access *access,
		    const struct umbra_event *event, struct world_outcome *outcome)
{
	const bool write = access->access & UMBRA_ACCESS_WRITE;
	struct umbra_translation t;
	const struct world_slot *slot;

	outcome->status = umbra_vcpu_translate(cpu->vcpu, access->gva, access->access, true, &t);
	if (outcome->status != UMBRA_OK) {
		outcome->end = WORLD_STATUS;
		return;
	}
	if (t.event.kind != UMBRA_EVENT_NONE) {
		outcome->end = WORLD_FAULT;
		outcome->event = t.event;
		outcome->to_l1 = umbra_vcpu_exits_to_l1(cpu->vcpu, &t.event);
		return;
	}
	slot = world_slot_at(cpu->world, t.gpa);
	outcome->gpa = t.gpa;
	/* What was reported last is what was accessed, if not a table on the way. */
	outcome->l2_gpa = l2_paging(cpu) == UMBRA_NESTED_NONE ? t.gpa
			  : is_walk(event)                    ? (umbra_gpa){UNKNOWN}
							      : event->gpa;
	outcome->end = !slot || (slot->readonly && write) ? WORLD_MMIO : WORLD_DONE;
	world_note(cpu->world, NOTE_EMULATED);
	if (outcome->end == WORLD_MMIO) {
		memset(&outcome->value, write ? 0 : 0xff, access->size);
		return;
	}
	if (write)
		outcome->status =
			umbra_vm_write(cpu->world->vm, t.gpa, &access->value, access->size);
	else
		outcome->status =
			umbra_vm_read(cpu->world->vm, t.gpa, &outcome->value, access->size);
	if (outcome->status != UMBRA_OK)
		outcome->end = WORLD_STATUS;
}

static bool own_exception(const struct world_cpu *cpu, const struct umbra_event *event)
{
	const bool missing_rights = (event->code & (UMBRA_PF_P | UMBRA_PF_RSVD)) == UMBRA_PF_P;

	if (event->kind == UMBRA_EVENT_PF && cpu->root.intercept_pf && missing_rights)
		return false;
	return event->kind == UMBRA_EVENT_GP || event->kind == UMBRA_EVENT_SS ||
	       (event->kind == UMBRA_EVENT_PF && world_is_tdp(cpu->world));
}

static void umbra_access(struct world_cpu *cpu, const struct world_access *access,
			 struct world_outcome *outcome)
{
	uint64_t value = access->value;
	const struct model_access a = {
		.gva = access->gva,
		.size = access->size,
		.access = access->access,
		.data = access->access & UMBRA_ACCESS_WRITE ? &value : &outcome->value,
	};
	struct umbra_resolution resolution;
	struct model_outcome seen;

	outcome->verdict = UMBRA_VERDICT_COUNT;
	while (outcome->exits < WORLD_ROUNDS) {
		if (!world_enter(cpu, outcome))
			return;
		model_access(cpu->model, &a, &seen);
		if (seen.event.kind == UMBRA_EVENT_NONE) {
			outcome->end = WORLD_DONE;
			if (!world_gpa_of(cpu->world, seen.piece[0].hpa.v, &outcome->gpa))
				outcome->end = WORLD_ESCAPED;
			outcome->l2_gpa = l2_paging(cpu) == UMBRA_NESTED_NONE ? outcome->gpa
									      : seen.piece[0].gpa;
			return;
		}
		if (own_exception(cpu, &seen.event)) {
			outcome->end = WORLD_FAULT;
			outcome->event = seen.event;
			outcome->to_l1 = umbra_vcpu_exits_to_l1(cpu->vcpu, &seen.event);
			return;
		}
		if (resolve(cpu, &seen.event, access->access, outcome, &resolution))
			continue;
		if (outcome->status == UMBRA_OK &&
		    (resolution.verdict == UMBRA_MMIO || resolution.verdict == UMBRA_EMULATE))
			emulate(cpu, access, &seen.event, outcome);
		return;
	}
	outcome->end = WORLD_STUCK;
}

/* ---- the bare machine ---- */

static void bare_access(struct world_cpu *cpu, const struct world_access *access,
			struct world_outcome *outcome)
{
	const bool write = access->access & UMBRA_ACCESS_WRITE;
	const struct model_access a = {
		.gva = access->gva,
		.size = access->size,
		.access = access->access,
		.data = write ? NULL : &outcome->value,
	};
	const struct world_slot *slot;
	struct model_outcome seen;

	model_access(cpu->bare, &a, &seen);
	if (seen.event.kind != UMBRA_EVENT_NONE) {
		outcome->end = WORLD_FAULT;
		outcome->event = seen.event;
		outcome->code_defined = seen.code_defined;
		outcome->to_l1 = world_exits_to_l1(cpu, &seen.event);
		return;
	}
	outcome->gpa.v = seen.piece[0].hpa.v;
	outcome->l2_gpa = seen.piece[0].gpa;
	slot = world_slot_at(cpu->world, outcome->gpa);
	outcome->end = !slot || (slot->readonly && write) ? WORLD_MMIO : WORLD_DONE;
	if (write && outcome->end == WORLD_DONE)
		memcpy(world_bare_at(cpu->world, outcome->gpa), &access->value, access->size);
}

/* @bare says what of a code is defined. */
static bool same_event(const struct umbra_event *a, const struct world_outcome *bare)
{
	const struct umbra_event *b = &bare->event;

	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case UMBRA_EVENT_PF: return a->code == b->code && a->gva.v == b->gva.v;
	case UMBRA_EVENT_EPT_VIOLATION:
		if ((a->code ^ b->code) & bare->code_defined || a->gpa.v != b->gpa.v)
			return false;
		return !(b->code & UMBRA_EPTQ_GVA) || a->gva.v == b->gva.v;
	case UMBRA_EVENT_NPF:
		/* Low bits of the address of a table's entry: H-95 is unsure. */
		if (b->code & UMBRA_NPF_TABLE)
			return a->code == b->code && !((a->gpa.v ^ b->gpa.v) >> UMBRA_PAGE_SHIFT);
		return a->code == b->code && a->gpa.v == b->gpa.v;
	case UMBRA_EVENT_EPT_MISCONFIG: return a->gpa.v == b->gpa.v;
	default: return true;
	}
}

static bool same(const struct world_outcome *a, const struct world_outcome *bare, bool values)
{
	if (a->end != bare->end || a->to_l1 != bare->to_l1)
		return false;
	switch (a->end) {
	case WORLD_DONE:
		return a->gpa.v == bare->gpa.v && a->l2_gpa.v == bare->l2_gpa.v &&
		       (!values || a->value == bare->value);
	case WORLD_MMIO: return a->gpa.v == bare->gpa.v;
	case WORLD_FAULT: return same_event(&a->event, bare);
	case WORLD_VMFAIL: return true;
	default: return false;
	}
}

/* Might the judge have done it? To be asked before it does its own. */
static bool explained(struct world_cpu *cpu, const struct world_access *access,
		      const struct world_outcome *outcome)
{
	const struct model_access a = {access->gva, access->size, access->access, false, NULL};
	struct model_outcome seen = {.event = outcome->event};

	if (outcome->end == WORLD_DONE || outcome->end == WORLD_MMIO) {
		seen.piece_count = 1;
		seen.piece[0] =
			(struct model_piece){outcome->l2_gpa, {outcome->gpa.v}, access->size};
	} else if (outcome->end != WORLD_FAULT) {
		return false;
	}
	return model_explains(cpu->judge, &a, &seen);
}

void world_access(struct world_cpu *cpu, const struct world_access *access,
		  struct world_result *result)
{
	const enum world_tag who = cpu->in_l2 ? WORLD_L2 : WORLD_L1;

	*result = (struct world_result){0};
	world_look(cpu);
	cpu->used[who].page[cpu->used[who].count++ % WORLD_USED] = access->gva;
	model_gather(cpu->judge, access->gva, NULL);
	umbra_access(cpu, access, &result->umbra);
	result->legal = explained(cpu, access, &result->umbra);
	bare_access(cpu, access, &result->bare);
	if (result->umbra.l2_gpa.v == UNKNOWN)
		result->umbra.l2_gpa = result->bare.l2_gpa;
	model_gather(cpu->judge, access->gva, NULL);
	if (result->umbra.end == WORLD_FAULT && result->umbra.event.kind == UMBRA_EVENT_PF)
		model_took_fault(cpu->judge, access->gva);
	result->same = same(&result->umbra, &result->bare, !(access->access & UMBRA_ACCESS_WRITE));
	/* L1's log of dirty pages shows what D bits were set, on either machine. */
	if (cpu->in_l2 && cpu->l2.pml)
		result->same &= umbra_vcpu_nested(cpu->vcpu)->pml_index ==
				model_state_of(cpu->bare)->pml_index;
	result->legal |= result->same;
	if (result->umbra.to_l1)
		world_follow_exit(cpu);
}

/* ---- registers ---- */

const struct umbra_regs *world_regs(const struct world_cpu *cpu)
{
	return &model_state_of(cpu->bare)->regs;
}

void world_refuse(struct world_outcome *outcome)
{
	outcome->end = WORLD_FAULT;
	outcome->event = (struct umbra_event){.kind = UMBRA_EVENT_GP};
}

/* A load of PDPTEs by L2 may meet what L1's EPT forbids. */
static void took(const struct world_cpu *cpu, struct world_outcome *outcome,
		 struct umbra_event event)
{
	if (event.kind == UMBRA_EVENT_NONE)
		return;
	world_refuse(outcome);
	outcome->to_l1 = world_exits_to_l1(cpu, &event);
	if (outcome->to_l1)
		outcome->event = event;
}

void world_took_status(struct world_outcome *outcome, enum umbra_status status)
{
	outcome->status = status;
	if (status == UMBRA_EINVAL || status == UMBRA_EFAULT)
		world_refuse(outcome);
	else if (status != UMBRA_OK)
		outcome->end = WORLD_STATUS;
}

void world_judge(struct world_result *result)
{
	result->bare.code_defined = ~0ull;
	result->same = same(&result->umbra, &result->bare, false);
	result->legal = result->same;
}

void world_start(struct world_cpu *cpu, const struct umbra_regs *regs, struct world_result *result)
{
	const struct model_state state = {
		.regs = *regs,
		.load_pdptes = true,
		.long_code = regs->efer & UMBRA_EFER_LMA,
	};

	*result = (struct world_result){0};
	if (cpu->in_l2)
		umbra_vcpu_leave_nested(cpu->vcpu);
	cpu->in_l2 = false;
	world_look(cpu);
	took(cpu, &result->bare, model_enter(cpu->bare, &state));
	model_enter(cpu->judge, &state);
	model_flush_all(cpu->judge);
	world_took_status(&result->umbra, umbra_vcpu_set_regs(cpu->vcpu, regs, true));
	model_flush_all(cpu->model);
	cpu->stale = true;
	cpu->entered = false;
	world_judge(result);
}

static struct umbra_event model_mov(struct model_cpu *cpu, enum world_register which,
				    uint64_t value)
{
	switch (which) {
	case WORLD_CR0: return model_mov_cr0(cpu, value);
	case WORLD_CR3: return model_mov_cr3(cpu, value);
	case WORLD_CR4: return model_mov_cr4(cpu, value);
	default: return model_wrmsr_efer(cpu, value);
	}
}

/* The guest executes the instruction itself; PDPTE loads may exit. */
static void tdp_mov(struct world_cpu *cpu, enum world_register which, uint64_t value,
		    struct world_outcome *outcome)
{
	while (outcome->exits < WORLD_ROUNDS) {
		struct umbra_resolution resolution;
		struct umbra_event event;

		if (!world_enter(cpu, outcome))
			return;
		event = model_mov(cpu->model, which, value);
		if (event.kind == UMBRA_EVENT_NONE) {
			world_took_status(outcome,
					  umbra_vcpu_set_regs(cpu->vcpu,
							      &model_state_of(cpu->model)->regs,
							      false));
			cpu->stale = true;
			return;
		}
		if (event.kind == UMBRA_EVENT_GP) {
			world_refuse(outcome);
			return;
		}
		if (resolve(cpu, &event, 0, outcome, &resolution))
			continue;
		/* PDPTEs where no memory is: the embedder injects #GP. */
		if (resolution.verdict == UMBRA_MMIO)
			world_refuse(outcome);
		return;
	}
	outcome->end = WORLD_STUCK;
}

/* MOV was intercepted; H-20 says when PDPTEs are loaded. */
static void shadow_mov(struct world_cpu *cpu, enum world_register which, uint64_t value,
		       struct world_outcome *outcome)
{
	const uint64_t cr0_load = UMBRA_CR0_CD | UMBRA_CR0_NW | UMBRA_CR0_PG;
	const uint64_t cr4_load = UMBRA_CR4_PAE | UMBRA_CR4_PGE | UMBRA_CR4_PSE | UMBRA_CR4_SMEP;
	struct umbra_regs regs = *umbra_vcpu_regs(cpu->vcpu);
	bool load = false;

	cpu->stale = true;
	switch (which) {
	case WORLD_CR0:
		load = (regs.cr0 ^ value) & cr0_load;
		regs.cr0 = value;
		break;
	case WORLD_CR3: world_took_status(outcome, umbra_vcpu_mov_cr3(cpu->vcpu, value)); return;
	case WORLD_CR4:
		load = (regs.cr4 ^ value) & cr4_load;
		regs.cr4 = value;
		break;
	case WORLD_EFER:
		regs.efer = (value & ~UMBRA_EFER_LMA) | (regs.efer & UMBRA_EFER_LMA);
		break;
	}
	if (which == WORLD_CR0 && regs.efer & UMBRA_EFER_LME) {
		regs.efer &= ~UMBRA_EFER_LMA;
		regs.efer |= regs.cr0 & UMBRA_CR0_PG ? UMBRA_EFER_LMA : 0;
	}
	world_took_status(outcome, umbra_vcpu_set_regs(cpu->vcpu, &regs, load));
}

void world_mov(struct world_cpu *cpu, enum world_register which, uint64_t value,
	       struct world_result *result)
{
	*result = (struct world_result){0};
	result->umbra.verdict = UMBRA_VERDICT_COUNT;
	took(cpu, &result->bare, model_mov(cpu->bare, which, value));
	model_mov(cpu->judge, which, value);
	if (world_is_tdp(cpu->world))
		tdp_mov(cpu, which, value, &result->umbra);
	else
		shadow_mov(cpu, which, value, &result->umbra);
	world_judge(result);
	if (result->umbra.to_l1)
		world_follow_exit(cpu);
}

void world_keys(struct world_cpu *cpu, uint32_t pkru)
{
	struct umbra_regs regs = *umbra_vcpu_regs(cpu->vcpu);

	model_set_keys(cpu->bare, pkru, regs.pkrs);
	model_set_keys(cpu->judge, pkru, regs.pkrs);
	regs.pkru = pkru;
	umbra_vcpu_set_regs(cpu->vcpu, &regs, false);
	if (world_is_tdp(cpu->world) && cpu->entered)
		model_set_keys(cpu->model, pkru, regs.pkrs);
	cpu->stale = true;
}

void world_invlpg(struct world_cpu *cpu, umbra_gva gva)
{
	struct world_outcome ignored = {0};

	model_invlpg(cpu->bare, gva);
	model_invlpg(cpu->judge, gva);
	if (world_is_tdp(cpu->world)) {
		if (world_enter(cpu, &ignored))
			model_invlpg(cpu->model, gva);
		return;
	}
	umbra_vcpu_invlpg(cpu->vcpu, gva);
	cpu->stale = true;
}

void world_invpcid(struct world_cpu *cpu, unsigned type, uint64_t pcid, umbra_gva gva,
		   struct world_result *result)
{
	*result = (struct world_result){0};
	took(cpu, &result->bare, model_invpcid(cpu->bare, type, (uint16_t)pcid, gva));
	model_invpcid(cpu->judge, type, (uint16_t)pcid, gva);
	if (!world_is_tdp(cpu->world)) {
		world_took_status(&result->umbra, umbra_vcpu_invpcid(cpu->vcpu, type, pcid, gva));
		cpu->stale = true;
	} else if (world_enter(cpu, &result->umbra)) {
		took(cpu, &result->umbra, model_invpcid(cpu->model, type, (uint16_t)pcid, gva));
	}
	world_judge(result);
}
