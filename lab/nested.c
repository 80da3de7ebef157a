/* SPDX-License-Identifier: MIT */
/*
 * nested.c - L1 runs L2, on both machines.
 *
 *	       BARE                              UMBRA
 *	L1     native                            the VM's EPT, NPT or shadow tables
 *	L2     L1's own EPT or NPT, or native    what umbra_vcpu_load() says then
 *
 * On the BARE machine gpa == hpa for L1 and nothing is cached, so L1's tables are
 * the hardware's and every flush is done already. An exit from L2 is reported, and
 * L2 stays: whoever drives the lab decides whether L1 goes on, for both machines.
 *
 * Invariant: between two calls either both machines run L1 or both run L2.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/parts.h"

#define EPTP_LENGTH (7ull << 3)
#define EPTP_LIST_ENTRIES 512u

bool lab_in_l2(const struct lab *lab)
{
	return lab->in_l2;
}

bool nested_paging(const struct lab *lab)
{
	return lab->in_l2 && lab->nested.paging != UMBRA_NESTED_NONE;
}

void lab_nested(const struct lab *lab, struct umbra_nested *state)
{
	const struct model_state *now = model_state_of(lab->bare);

	*state = lab->nested;
	state->regs = now->regs;
	state->pml_index = now->pml_index;
	if (state->paging == UMBRA_NESTED_EPT)
		state->pointer = now->eptp;
}

/* ---- the BARE machine ---- */

struct model_state nested_state(const struct lab *lab, const struct umbra_regs *l1,
				const struct umbra_nested *n)
{
	const uint32_t features = lab_guest_cpu(&lab->config).features;
	struct model_state state = {
		.regs = n->regs,
		/* Fields of the VMCS with EPT (H-78), memory otherwise. */
		.load_pdptes = n->paging == UMBRA_NESTED_NONE,
		.long_code = n->regs.efer & UMBRA_EFER_LMA,
		.tag = (uint16_t)n->tag,
		.tlb_control = n->tlb_control,
	};

	if (n->paging == UMBRA_NESTED_EPT) {
		state.stage2 = MODEL_EPT;
		state.eptp = n->pointer;
		state.mbec = n->exec_by_mode;
		state.pml = n->pml;
		state.pml_address = n->pml_address;
		state.pml_index = n->pml_index;
	} else if (n->paging == UMBRA_NESTED_NPT) {
		state.stage2 = MODEL_NPT;
		state.ncr3 = n->pointer;
		state.hcr0 = l1->cr0;
		state.hcr4 = l1->cr4;
		state.hefer = l1->efer;
		/* Ignored where the CPU lacks them (H-97). */
		state.gmet = n->exec_by_mode && features & UMBRA_CPU_GMET;
		state.rogpt = n->readonly_tables && features & UMBRA_CPU_ROGPT;
	}
	return state;
}

bool nested_exits(const struct lab *lab, const struct umbra_event *event)
{
	/* SDM 3C 26.2: bit 14 of the exception bitmap, inverted where the code does not match. */
	const bool match = (event->code & lab->nested.pf_mask) == lab->nested.pf_match;
	bool exits = event->kind != UMBRA_EVENT_GP && event->kind != UMBRA_EVENT_SS;

	if (event->kind == UMBRA_EVENT_PF)
		exits = lab->nested.pf_exits ? match : !match;
	return lab->in_l2 && exits;
}

void nested_bare_took(const struct lab *lab, const struct umbra_event *event, struct lab_side *side)
{
	side->end = nested_exits(lab, event) ? LAB_EXIT_L1 : LAB_EXCEPTION;
	side->event = *event;
	/* Of a PDPTE load (H-78); accesses say more. */
	side->code_defined = ~0ull;
	if (event->kind == UMBRA_EVENT_EPT_VIOLATION)
		side->code_defined = UMBRA_EPTQ_READ | UMBRA_EPTQ_WRITE | UMBRA_EPTQ_FETCH |
				     UMBRA_EPTQ_R | UMBRA_EPTQ_W | UMBRA_EPTQ_X | UMBRA_EPTQ_GVA |
				     UMBRA_EPTQ_FINAL;
	else if (event->kind == UMBRA_EVENT_EPT_MISCONFIG)
		side->code_defined = 0;
}

/* A leaf of L2's that only the BARE machine set D in: it takes D back. */
static void follow_leaf(void *context, const struct model_entry *entry)
{
	const uint8_t dirty = 1u << 6;
	struct lab *lab = context;
	uint8_t *bare, *umbra;
	unsigned i;

	if (entry->nested || !entry->leaf ||
	    lab_place_of(lab, (umbra_gpa){entry->at.v}, &i) != LAB_RAM)
		return;
	bare = lab_bytes(lab, (umbra_gpa){entry->at.v});
	umbra = (uint8_t *)lab->memory[i].umbra + (entry->at.v - lab->memory[i].base.v);
	if ((*bare ^ *umbra) == dirty && *bare & dirty &&
	    !memcmp(bare + 1, umbra + 1, entry->size - 1u))
		*bare = *umbra;
}

void nested_follow(struct lab *lab, const struct lab_access *access, const struct lab_side *bare)
{
	const struct model_visitor visitor = {lab, follow_leaf};
	const struct model_access a = {
		.gva = access->gva,
		.size = access->size,
		.access = access->access,
	};
	const struct umbra_event *e = &bare->event;
	const bool final = e->kind == UMBRA_EVENT_NPF ? e->code & UMBRA_NPF_FINAL
						      : e->kind == UMBRA_EVENT_EPT_VIOLATION &&
								e->code & UMBRA_EPTQ_FINAL;

	if (bare->end == LAB_EXIT_L1 && final && access->access & UMBRA_ACCESS_WRITE &&
	    lab->config.caching == MODEL_HOSTILE)
		model_visit(lab->bare, &a, &visitor);
}

/* ---- entering and leaving ---- */

static bool say_status(struct lab *lab, enum umbra_status status)
{
	static const struct lab_access none = {0};
	const struct lab_side right = {.end = LAB_DONE};
	const struct lab_side umbra = {.end = LAB_STATUS, .status = status};

	return compare_sides(lab, "instruction", &none, &right, &umbra);
}

static void each_leaves(struct lab *lab)
{
	for (unsigned i = 0; i < lab->cpu_count; i++) {
		umbra_vcpu_leave_nested(lab->cpu[i].vcpu);
		lab->cpu[i].stale = true;
	}
}

/* All vCPUs enter; what the last one that did not like it said. */
static enum umbra_status each_enters(struct lab *lab, const struct umbra_nested *state)
{
	enum umbra_status status, worst = UMBRA_OK;

	for (unsigned i = 0; i < lab->cpu_count; i++) {
		status = umbra_vcpu_enter_nested(lab->cpu[i].vcpu, state);
		lab->cpu[i].stale = true;
		if (status)
			worst = status;
	}
	return worst;
}

bool lab_enter_nested(struct lab *lab, const struct umbra_nested *state, bool *refused)
{
	const struct model_state before = *model_state_of(lab->bare);
	const struct model_state l2 = nested_state(lab, lab_regs(lab), state);
	enum umbra_status status;
	bool bare;

	if (refused)
		*refused = true;
	if (lab->in_l2)
		return say_status(lab, UMBRA_EINVAL);
	status = each_enters(lab, state);
	if (status == UMBRA_EOPNOTSUPP) {
		each_leaves(lab);
		return true;
	}
	if (status && status != UMBRA_EINVAL && status != UMBRA_EFAULT) {
		each_leaves(lab);
		return say_status(lab, status);
	}
	bare = model_enter(lab->bare, &l2).kind != UMBRA_EVENT_NONE;
	if (bare || status) {
		each_leaves(lab);
		if (!bare)
			model_enter(lab->bare, &before);
		return lab_refused_both(lab, bare, status != UMBRA_OK, refused);
	}
	if (refused)
		*refused = false;
	lab->bare_l1 = before;
	lab->bare_l1.load_pdptes = false;
	lab->nested = *state;
	lab->in_l2 = lab->ran_l2 = true;
	lab->mirrors |= state->paging != UMBRA_NESTED_NONE;
	lab->long_code = l2.long_code;
	return true;
}

bool lab_leave_nested(struct lab *lab)
{
	bool refused;

	if (!lab->in_l2)
		return true;
	each_leaves(lab);
	lab->in_l2 = false;
	lab->long_code = lab->bare_l1.long_code;
	refused = model_enter(lab->bare, &lab->bare_l1).kind != UMBRA_EVENT_NONE;
	return lab_refused_both(lab, refused, false, NULL);
}

bool nested_compare(struct lab *lab, const struct lab_access *access)
{
	const uint16_t bare = model_state_of(lab->bare)->pml_index;
	struct lab_difference difference = {.kind = "pml", .access = *access};

	/* Several CPUs have an index each. */
	if (!lab->in_l2 || !lab->nested.pml || lab->cpu_count > 1)
		return true;
	difference.bare_value = bare;
	difference.umbra_value = umbra_vcpu_nested(lab->cpu[0].vcpu)->pml_index;
	if (difference.bare_value == difference.umbra_value)
		return true;
	compare_report(lab, &difference);
	return false;
}

/* ---- instructions about what is cached ---- */

bool lab_invept(struct lab *lab, unsigned type, uint64_t eptp, bool *refused)
{
	const bool bare = !model_invept(lab->bare, type, eptp);
	bool same = true;

	for (unsigned i = 0; i < lab->cpu_count; i++) {
		enum umbra_status status = umbra_vcpu_invept(lab->cpu[i].vcpu, type, eptp);

		lab->cpu[i].stale = true;
		same = lab_refused_both(lab, bare, status != UMBRA_OK, refused) && same;
	}
	return same;
}

bool lab_invvpid(struct lab *lab, unsigned type, uint16_t vpid, umbra_gva gva, bool *refused)
{
	const bool bare = !model_invvpid(lab->bare, type, vpid, gva);
	bool same = true;

	for (unsigned i = 0; i < lab->cpu_count; i++) {
		enum umbra_status status = umbra_vcpu_invvpid(lab->cpu[i].vcpu, type, vpid, gva);

		lab->cpu[i].stale = true;
		same = lab_refused_both(lab, bare, status != UMBRA_OK, refused) && same;
	}
	return same;
}

bool lab_invlpga(struct lab *lab, umbra_gva gva, uint32_t asid)
{
	/* ASID 0 is L1 itself: it runs under another one on the UMBRA machine. */
	if (asid == 0)
		return lab_invlpg(lab, gva);
	model_invlpga(lab->bare, gva, asid);
	for (unsigned i = 0; i < lab->cpu_count; i++) {
		umbra_vcpu_invlpga(lab->cpu[i].vcpu, gva, asid);
		lab->cpu[i].stale = true;
	}
	return true;
}

/* The model has no VMFUNC: its EPTP is changed by an entry, which flushes nothing. */
static bool bare_vmfunc(struct lab *lab, uint32_t index)
{
	struct model_state state = *model_state_of(lab->bare);
	const uint64_t *entry;

	if (index >= EPTP_LIST_ENTRIES)
		return false;
	entry = lab_bytes(lab, (umbra_gpa){lab->nested.eptp_list + 8ull * index});
	if (!entry || (*entry ^ state.eptp) & EPTP_LENGTH)
		return false;
	state.eptp = *entry;
	state.load_pdptes = false;
	return model_enter(lab->bare, &state).kind == UMBRA_EVENT_NONE;
}

bool lab_vmfunc(struct lab *lab, uint32_t index, bool *refused)
{
	const bool bare = !bare_vmfunc(lab, index);
	bool same = true;

	for (unsigned i = 0; i < lab->cpu_count; i++) {
		enum umbra_status status = umbra_vcpu_vmfunc(lab->cpu[i].vcpu, index);

		lab->cpu[i].stale = true;
		same = lab_refused_both(lab, bare, status != UMBRA_OK, refused) && same;
	}
	return same;
}

/* ---- tables ---- */

void lab_note_tables(struct lab *lab, umbra_gpa base, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += UMBRA_PAGE_SIZE) {
		unsigned i;
		uint64_t page;

		if (lab_place_of(lab, (umbra_gpa){base.v + at}, &i) == LAB_NOTHING)
			continue;
		if (!lab->noted[i])
			lab->noted[i] = calloc(lab->memory[i].size / UMBRA_PAGE_SIZE / 8 + 1, 1);
		if (!lab->noted[i])
			return;
		page = (base.v + at - lab->memory[i].base.v) / UMBRA_PAGE_SIZE;
		lab->noted[i][page / 8] |= (uint8_t)(1u << page % 8);
	}
}
