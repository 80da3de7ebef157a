/* SPDX-License-Identifier: MIT */
/*
 * lab.c - the two machines' setting, and what is done on both.
 *
 * The BARE machine is the guest's CPU alone with its memory: a strict model CPU
 * in root mode. Where guest memory is read-only (ROM), the model knows no such
 * thing: the lab makes its stores after the access was translated, into RAM
 * only. That is sound since translation comes before any byte is stored.
 *
 * What is stored: nothing new (the bytes that are there are stored back) unless
 * the caller gives bytes; then it knows that no guest table lies there, or that
 * it wants to change one. Wrong places show by the immediate look at both
 * memories (compare.c) and by lab_compare_memory() at the end.
 *
 * Invariants: both copies of guest memory are equal between two calls, as far
 * as they were before, except for Accessed bits that a speculating CPU may set;
 * nothing outside the slots is ever written by the lab.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/parts.h"
#include "lab/random.h"

/* ---- setting up ---- */

/* Shadow paging shows guests no PDPTEs in memory: the registers are the
 * library's to load. */
#define NOT_IN_SHADOW UMBRA_CPU_PDPTE_MEMORY
/* The guest does not see what only a hypervisor uses. */
#define NOT_IN_GUESTS UMBRA_CPU_LAM

struct umbra_cpu lab_guest_cpu(const struct lab_config *config)
{
	struct umbra_cpu cpu = config->cpu;

	if (config->guest_features)
		cpu.features &= config->guest_features;
	cpu.features &= ~NOT_IN_GUESTS;
	if (config->guest_maxphyaddr)
		cpu.maxphyaddr = config->guest_maxphyaddr;
	if (config->paging == UMBRA_PAGING_SHADOW)
		cpu.features &= ~NOT_IN_SHADOW;
	return cpu;
}

static bool bare_open(struct lab *lab, char *error, size_t error_size)
{
	const struct model_config config = {
		.cpu = lab_guest_cpu(&lab->config),
		.caching = MODEL_STRICT,
	};

	lab->bare_mem = model_mem_new();
	for (unsigned i = 0; lab->bare_mem && i < lab->memory_count; i++) {
		const struct lab_memory *m = &lab->memory[i];

		if (!model_mem_add(lab->bare_mem, (umbra_hpa){m->base.v}, m->size, m->bare)) {
			snprintf(error, error_size, "guest memory ranges overlap");
			return false;
		}
	}
	if (lab->bare_mem)
		lab->bare = model_cpu_new(lab->bare_mem, &config);
	if (!lab->bare)
		snprintf(error, error_size, "out of memory");
	return lab->bare;
}

struct lab *lab_new(const struct lab_config *config, const struct lab_memory *memory,
		    unsigned memory_count, char *error, size_t error_size)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	if (!lab || memory_count > LAB_MEMORY_MAX) {
		snprintf(error, error_size,
			 lab ? "more than %u ranges of guest memory" : "out of memory",
			 LAB_MEMORY_MAX);
		free(lab);
		return NULL;
	}
	lab->config = *config;
	memcpy(lab->memory, memory, memory_count * sizeof(*memory));
	lab->memory_count = memory_count;
	if (config->cpus > LAB_CPU_MAX) {
		snprintf(error, error_size, "more than %u CPUs", LAB_CPU_MAX);
		free(lab);
		return NULL;
	}
	if (config->cpu.maxphyaddr < 36 || config->cpu.maxphyaddr > 52) {
		snprintf(error, error_size, "the lab's machines have 36 to 52 address bits");
		free(lab);
		return NULL;
	}
	if (!bare_open(lab, error, error_size) || !machine_open(lab, error, error_size)) {
		lab_free(lab);
		return NULL;
	}
	return lab;
}

void lab_free(struct lab *lab)
{
	if (!lab)
		return;
	machine_close(lab);
	model_cpu_free(lab->bare);
	if (lab->bare_mem)
		model_mem_free(lab->bare_mem);
	for (unsigned i = 0; i < LAB_MEMORY_MAX; i++)
		free(lab->noted[i]);
	free(lab);
}

void lab_on_difference(struct lab *lab,
		       void (*found)(void *context, const struct lab_difference *difference),
		       void *context)
{
	lab->found = found;
	lab->context = context;
}

/* ---- looking ---- */

const struct lab_counts *lab_counts(struct lab *lab)
{
	struct posix_counts counts;

	posix_counts(lab->host, &counts);
	if (counts.pages > lab->counts.tables)
		lab->counts.tables = counts.pages;
	if (counts.bytes > lab->counts.bytes)
		lab->counts.bytes = counts.bytes;
	return &lab->counts;
}

struct umbra_vm *lab_vm(struct lab *lab)
{
	return lab->vm;
}

struct umbra_vcpu *lab_vcpu(struct lab *lab)
{
	return lab->cpu[0].vcpu;
}

struct posix_host *lab_host(struct lab *lab)
{
	return lab->host;
}

const struct lab_config *lab_config(const struct lab *lab)
{
	return &lab->config;
}

const struct umbra_regs *lab_regs(const struct lab *lab)
{
	return &model_state_of(lab->bare)->regs;
}

const struct lab_memory *lab_memory(const struct lab *lab, unsigned *count)
{
	*count = lab->memory_count;
	return lab->memory;
}

enum lab_place lab_place_of(const struct lab *lab, umbra_gpa gpa, unsigned *index)
{
	for (unsigned i = 0; i < lab->memory_count; i++) {
		const struct lab_memory *m = &lab->memory[i];

		if (gpa.v - m->base.v >= m->size)
			continue;
		if (index)
			*index = i;
		return m->readonly ? LAB_ROM : LAB_RAM;
	}
	return LAB_NOTHING;
}

void *lab_bytes(const struct lab *lab, umbra_gpa gpa)
{
	unsigned i;

	if (lab_place_of(lab, gpa, &i) == LAB_NOTHING)
		return NULL;
	return (uint8_t *)lab->memory[i].bare + (gpa.v - lab->memory[i].base.v);
}

/* ---- the BARE machine ---- */

static void bare_access(struct lab *lab, const struct lab_access *access, struct lab_side *side)
{
	struct model_access a = {
		.gva = access->gva,
		.size = access->size,
		.access = access->access,
		.data = access->access & UMBRA_ACCESS_WRITE ? NULL : side->data,
	};
	struct model_outcome outcome;
	const uint8_t *data = access->data;

	model_access(lab->bare, &a, &outcome);
	if (outcome.event.kind != UMBRA_EVENT_NONE) {
		nested_bare_took(lab, &outcome.event, side);
		side->code_defined = outcome.code_defined;
		return;
	}
	side->piece_count = outcome.piece_count;
	for (unsigned i = 0; i < outcome.piece_count; i++) {
		const struct model_piece *piece = &outcome.piece[i];
		/* Nothing is under L1: what its EPT or NPT gives is a place in memory. */
		umbra_gpa gpa = {piece->hpa.v};
		enum lab_place place = lab_place_of(lab, gpa, NULL);

		side->piece[i] = (struct lab_piece){gpa, piece->size, place, {0}};
		if (a.data || !data)
			continue;
		if (place == LAB_RAM)
			memcpy(lab_bytes(lab, gpa), data, piece->size);
		data += piece->size;
	}
}

/* ---- done on both ---- */

bool lab_access(struct lab *lab, const struct lab_access *access, struct lab_side *bare)
{
	struct lab_side right = {0}, umbra = {0};
	bool mmio = false, same;

	lab->counts.accesses++;
	lab->at = &lab->cpu[lab->cpu_count > 1 ? random_below(&lab->random, lab->cpu_count) : 0];
	bare_access(lab, access, &right);
	machine_access(lab, access, &umbra);
	if (umbra.rounds > lab->counts.rounds_max)
		lab->counts.rounds_max = umbra.rounds;
	for (unsigned i = 0; i < right.piece_count; i++)
		mmio |= right.piece[i].place == LAB_NOTHING ||
			(right.piece[i].place == LAB_ROM && access->access & UMBRA_ACCESS_WRITE);
	if (right.end == LAB_EXCEPTION)
		lab->counts.exceptions++;
	else if (right.end == LAB_EXIT_L1)
		lab->counts.exits_to_l1++;
	else if (mmio)
		lab->counts.mmio++;
	else
		lab->counts.completed++;
	if (bare)
		*bare = right;
	same = compare_sides(lab, "access", access, &right, &umbra);
	if (same)
		nested_follow(lab, access, &right);
	return nested_compare(lab, access) && same;
}

bool lab_refused_both(struct lab *lab, bool bare, bool umbra, bool *refused)
{
	static const struct lab_access none = {0};
	const struct lab_side right = {.end = bare ? LAB_REFUSED : LAB_DONE};
	const struct lab_side wrong = {.end = umbra ? LAB_REFUSED : LAB_DONE};

	if (refused)
		*refused = bare;
	return compare_sides(lab, "instruction", &none, &right, &wrong);
}

bool lab_set_regs(struct lab *lab, const struct umbra_regs *regs, bool load_pdptes, bool *refused)
{
	struct model_state state = {.regs = *regs};
	bool same = true, bare;

	if (lab->in_l2) {
		state = *model_state_of(lab->bare);
		state.regs = *regs;
	}
	state.load_pdptes = load_pdptes;
	state.long_code = regs->efer & UMBRA_EFER_LMA;
	bare = model_enter(lab->bare, &state).kind != UMBRA_EVENT_NONE;
	for (unsigned i = 0; i < lab->cpu_count; i++) {
		enum umbra_status status;

		lab->at = &lab->cpu[i];
		status = umbra_vcpu_set_regs(lab->at->vcpu, regs, load_pdptes);
		machine_forget(lab);
		same = lab_refused_both(lab, bare, status != UMBRA_OK, refused) && same;
	}
	if (!bare)
		lab->long_code = state.long_code;
	return same;
}

static struct umbra_event bare_mov(struct model_cpu *cpu, enum lab_register which, uint64_t value)
{
	switch (which) {
	case LAB_CR0: return model_mov_cr0(cpu, value);
	case LAB_CR3: return model_mov_cr3(cpu, value);
	case LAB_CR4: return model_mov_cr4(cpu, value);
	default: return model_wrmsr_efer(cpu, value);
	}
}

/* The guest executes the instruction itself; PDPTE loads may exit, L2's to L1. */
static bool tdp_mov(struct lab *lab, enum lab_register which, uint64_t value, struct lab_side *side)
{
	const struct lab_access none = {0};
	struct umbra_resolution resolution;

	for (unsigned round = 0; round < LAB_ROUNDS; round++) {
		struct umbra_event event;

		if (!machine_enter(lab, side))
			return false;
		event = bare_mov(lab->at->model, which, value);
		if (event.kind == UMBRA_EVENT_NONE) {
			side->end = LAB_DONE;
			return true;
		}
		if (event.kind == UMBRA_EVENT_GP) {
			side->end = LAB_REFUSED;
			return true;
		}
		if (!machine_resolve(lab, &event, &none, side, &resolution)) {
			/* PDPTEs lie where no memory is: the embedder injects #GP. */
			if (resolution.verdict == UMBRA_MMIO) {
				side->end = LAB_REFUSED;
				side->what = "PDPTEs outside memory";
			}
			return side->end == LAB_REFUSED || side->end == LAB_EXIT_L1;
		}
	}
	side->end = LAB_NO_PROGRESS;
	return false;
}

/* MOV was intercepted: H-20 says when PDPTEs are loaded. */
static void shadow_mov(struct lab *lab, enum lab_register which, uint64_t value,
		       struct lab_side *side)
{
	const uint64_t cr0_load = UMBRA_CR0_CD | UMBRA_CR0_NW | UMBRA_CR0_PG;
	const uint64_t cr4_load = UMBRA_CR4_PAE | UMBRA_CR4_PGE | UMBRA_CR4_PSE | UMBRA_CR4_SMEP;
	struct umbra_regs regs = *umbra_vcpu_regs(lab->at->vcpu);
	bool load = false;
	enum umbra_status status;

	switch (which) {
	case LAB_CR0:
		load = (regs.cr0 ^ value) & cr0_load;
		regs.cr0 = value;
		break;
	case LAB_CR3:
		status = umbra_vcpu_mov_cr3(lab->at->vcpu, value);
		lab->at->stale = true;
		side->end = status == UMBRA_OK ? LAB_DONE : LAB_REFUSED;
		return;
	case LAB_CR4:
		load = (regs.cr4 ^ value) & cr4_load;
		regs.cr4 = value;
		break;
	case LAB_EFER: regs.efer = (value & ~UMBRA_EFER_LMA) | (regs.efer & UMBRA_EFER_LMA); break;
	}
	if (which == LAB_CR0 && regs.efer & UMBRA_EFER_LME) {
		regs.efer &= ~UMBRA_EFER_LMA;
		regs.efer |= regs.cr0 & UMBRA_CR0_PG ? UMBRA_EFER_LMA : 0;
	}
	status = umbra_vcpu_set_regs(lab->at->vcpu, &regs, load);
	lab->at->stale = true;
	side->end = status == UMBRA_OK ? LAB_DONE : LAB_REFUSED;
}

/* Umbra learns what the guest's registers are now. */
static void tell_regs(struct lab *lab, struct lab_side *side)
{
	const struct umbra_regs *regs = &model_state_of(lab->at->model)->regs;
	enum umbra_status status = umbra_vcpu_set_regs(lab->at->vcpu, regs, false);

	/* It is in them already, whatever it was entered with. */
	lab->at->root.regs = *regs;
	lab->at->stale = true;
	if (status == UMBRA_OK)
		return;
	side->end = LAB_STATUS;
	side->status = status;
}

void lab_cpu_mov(struct lab *lab, enum lab_register which, uint64_t value, struct lab_side *side)
{
	if (!lab_is_tdp(lab))
		shadow_mov(lab, which, value, side);
	else if (tdp_mov(lab, which, value, side) && side->end == LAB_DONE)
		tell_regs(lab, side);
}

bool lab_mov(struct lab *lab, enum lab_register which, uint64_t value, bool *refused)
{
	static const struct lab_access none = {0};
	struct umbra_event event = bare_mov(lab->bare, which, value);
	struct lab_side right = {.end = LAB_DONE};
	bool same = true;

	if (event.kind == UMBRA_EVENT_GP)
		right.end = LAB_REFUSED;
	else if (event.kind != UMBRA_EVENT_NONE)
		nested_bare_took(lab, &event, &right);

	for (unsigned i = 0; i < lab->cpu_count; i++) {
		struct lab_side umbra = {0};

		lab->at = &lab->cpu[i];
		lab_cpu_mov(lab, which, value, &umbra);
		same = compare_sides(lab, "instruction", &none, &right, &umbra) && same;
	}
	lab->long_code = lab_regs(lab)->efer & UMBRA_EFER_LMA;
	if (refused)
		*refused = right.end != LAB_DONE;
	return same;
}

bool lab_set_keys(struct lab *lab, uint32_t pkru, uint32_t pkrs)
{
	bool same = true;

	model_set_keys(lab->bare, pkru, pkrs);
	for (unsigned i = 0; i < lab->cpu_count; i++) {
		struct umbra_regs regs;
		enum umbra_status status;

		lab->at = &lab->cpu[i];
		regs = *umbra_vcpu_regs(lab->at->vcpu);
		regs.pkru = pkru;
		regs.pkrs = pkrs;
		status = umbra_vcpu_set_regs(lab->at->vcpu, &regs, false);
		if (lab_is_tdp(lab) && lab->at->entered) {
			model_set_keys(lab->at->model, pkru, pkrs);
			lab->at->root.regs = model_state_of(lab->at->model)->regs;
		}
		lab->at->stale = true;
		same = lab_refused_both(lab, false, status != UMBRA_OK, NULL) && same;
	}
	return same;
}

bool lab_invlpg(struct lab *lab, umbra_gva gva)
{
	bool same = true;

	model_invlpg(lab->bare, gva);
	for (unsigned i = 0; i < lab->cpu_count; i++) {
		struct lab_side side = {0};

		lab->at = &lab->cpu[i];
		if (!lab_is_tdp(lab)) {
			umbra_vcpu_invlpg(lab->at->vcpu, gva);
			lab->at->stale = true;
		} else if (machine_enter(lab, &side)) {
			model_invlpg(lab->at->model, gva);
		} else {
			same = lab_refused_both(lab, false, true, NULL) && same;
		}
	}
	return same;
}

bool lab_device_write(struct lab *lab, umbra_gpa gpa, const void *bytes, size_t size)
{
	uint8_t *to = lab_bytes(lab, gpa);
	enum umbra_status status = umbra_vm_write(lab->vm, gpa, bytes, size);

	if (to && lab_place_of(lab, gpa, NULL) == LAB_RAM)
		memcpy(to, bytes, size);
	return lab_refused_both(lab, !to, status != UMBRA_OK, NULL);
}

bool lab_move(struct lab *lab, unsigned index)
{
	static const struct lab_access none = {0};
	const struct lab_side right = {.end = LAB_DONE};
	struct lab_side side = {.end = LAB_DONE};

	machine_move(lab, index, &side);
	return compare_sides(lab, "instruction", &none, &right, &side);
}

void lab_zap(struct lab *lab)
{
	lab_counts(lab);
	umbra_vm_zap_all(lab->vm);
}
