/* SPDX-License-Identifier: MIT */
/*
 * nested.c - L1 enters and leaves L2, and what it invalidates.
 *
 *	           hardware                         bare machine and judge
 *	L1         Umbra's tables, tag 1            native
 *	L2         Umbra's mirror of L1's EPT       L1's own EPT or NPT,
 *	           or NPT, tag 2                    L1's VPID or ASID
 *
 * Who runs is one truth for all three: where Umbra and the bare machine disagree about
 * an exit, the bare machine is made to follow.
 */
#include "scenario/parts.h"

static bool is_pae(const struct umbra_regs *regs)
{
	return regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE &&
	       !(regs->efer & UMBRA_EFER_LMA);
}

bool world_exits_to_l1(const struct world_cpu *cpu, const struct umbra_event *event)
{
	const struct umbra_nested *l2 = &cpu->l2;

	if (!cpu->in_l2 || event->kind == UMBRA_EVENT_GP || event->kind == UMBRA_EVENT_SS)
		return false;
	if (event->kind != UMBRA_EVENT_PF)
		return true;
	/* Bit 14 of the intercepts, inverted if mask and match say so (SDM 3C 26.2). */
	if ((event->code & l2->pf_mask) == l2->pf_match)
		return l2->pf_exits;
	return !l2->pf_exits;
}

/* What L1 gives the bare CPU, whose host state is @l1. */
static struct model_state bare_state(const struct umbra_nested *l2, const struct model_state *l1)
{
	struct model_state state = {
		.regs = l2->regs,
		.load_pdptes = l2->paging != UMBRA_NESTED_EPT,
		.long_code = l2->regs.efer & UMBRA_EFER_LMA,
		.tag = (uint16_t)l2->tag,
		.tlb_control = l2->tlb_control,
	};

	if (l2->paging == UMBRA_NESTED_EPT) {
		state.stage2 = MODEL_EPT;
		state.eptp = l2->pointer;
		state.mbec = l2->exec_by_mode;
		state.pml = l2->pml;
		state.pml_address = l2->pml_address;
		state.pml_index = l2->pml_index;
	} else if (l2->paging == UMBRA_NESTED_NPT) {
		state.stage2 = MODEL_NPT;
		state.ncr3 = l2->pointer;
		state.hcr0 = l1->regs.cr0;
		state.hcr4 = l1->regs.cr4;
		state.hefer = l1->regs.efer;
		state.gmet = l2->exec_by_mode;
		state.rogpt = l2->readonly_tables;
	}
	return state;
}

void world_enter_l2(struct world_cpu *cpu, const struct umbra_nested *l2,
		    struct world_result *result)
{
	const struct model_state l1 = *model_state_of(cpu->bare);
	const struct model_state state = bare_state(l2, &l1);
	bool umbra, bare;

	*result = (struct world_result){0};
	result->umbra.verdict = UMBRA_VERDICT_COUNT;
	cpu->has_l2 = true;
	result->umbra.status = umbra_vcpu_enter_nested(cpu->vcpu, l2);
	umbra = result->umbra.status == UMBRA_OK;
	if (result->umbra.status == UMBRA_EINVAL || result->umbra.status == UMBRA_EFAULT)
		result->umbra.end = WORLD_VMFAIL;
	else if (!umbra)
		result->umbra.end = WORLD_STATUS;
	/* What this VM cannot show L1 at all is no matter for comparison. */
	result->alone = result->umbra.end == WORLD_STATUS;
	bare = !result->alone && model_enter(cpu->bare, &state).kind == UMBRA_EVENT_NONE;
	if (!bare)
		result->bare.end = WORLD_VMFAIL;
	if (umbra && bare) {
		model_enter(cpu->judge, &state);
		cpu->in_l2 = true;
		cpu->l2 = *l2;
		cpu->l1 = l1;
	} else if (umbra) {
		umbra_vcpu_leave_nested(cpu->vcpu);
	} else if (bare) {
		model_exit(cpu->bare, &l1);
	}
	cpu->stale = true;
	world_look(cpu);
	world_judge(result);
	result->same |= result->alone;
	result->legal |= result->alone;
}

void world_follow_exit(struct world_cpu *cpu)
{
	const struct model_state *bare = model_state_of(cpu->bare);
	const struct umbra_nested *seen = umbra_vcpu_nested(cpu->vcpu);

	if (!cpu->in_l2)
		return;
	/* What VM exit saves. */
	cpu->l2.regs = bare->regs;
	cpu->l2.pml_index = seen->pml_index;
	cpu->in_l2 = false;
	umbra_vcpu_leave_nested(cpu->vcpu);
	/* VM exit loads PDPTE registers (H-20); this is the embedder's to say. */
	if (is_pae(&cpu->l1.regs) && !(cpu->guest.features & UMBRA_CPU_PDPTE_MEMORY))
		umbra_vcpu_set_regs(cpu->vcpu, &cpu->l1.regs, true);
	model_exit(cpu->bare, &cpu->l1);
	model_exit(cpu->judge, &cpu->l1);
	cpu->stale = true;
	world_look(cpu);
}

void world_leave_l2(struct world_cpu *cpu)
{
	world_follow_exit(cpu);
}

/* ---- invalidation ---- */

/* What an instruction of L1 gave: @done on the bare machine. */
static void instruction(struct world_cpu *cpu, enum umbra_status status, bool done,
			struct world_result *result)
{
	*result = (struct world_result){0};
	result->umbra.verdict = UMBRA_VERDICT_COUNT;
	result->umbra.status = status;
	if (status == UMBRA_EINVAL || status == UMBRA_EFAULT)
		result->umbra.end = WORLD_VMFAIL;
	else if (status != UMBRA_OK)
		result->umbra.end = WORLD_STATUS;
	if (!done)
		result->bare.end = WORLD_VMFAIL;
	result->alone = result->umbra.end == WORLD_STATUS;
	cpu->stale = true;
	world_judge(result);
	result->same |= result->alone;
	result->legal |= result->alone;
}

void world_invept(struct world_cpu *cpu, unsigned type, uint64_t eptp, struct world_result *result)
{
	bool done = model_invept(cpu->bare, type, eptp);

	model_invept(cpu->judge, type, eptp);
	instruction(cpu, umbra_vcpu_invept(cpu->vcpu, type, eptp), done, result);
}

void world_invvpid(struct world_cpu *cpu, unsigned type, uint64_t vpid, umbra_gva gva,
		   struct world_result *result)
{
	/* The bare CPU takes 16 bits; the rest of the descriptor's word is reserved. */
	bool done = !(vpid >> 16) && model_invvpid(cpu->bare, type, (uint16_t)vpid, gva);

	if (done)
		model_invvpid(cpu->judge, type, (uint16_t)vpid, gva);
	instruction(cpu, umbra_vcpu_invvpid(cpu->vcpu, type, vpid, gva), done, result);
}

void world_invlpga(struct world_cpu *cpu, umbra_gva gva, uint32_t asid)
{
	model_invlpga(cpu->bare, gva, asid);
	model_invlpga(cpu->judge, gva, asid);
	umbra_vcpu_invlpga(cpu->vcpu, gva, asid);
	cpu->stale = true;
}

void world_vmfunc(struct world_cpu *cpu, uint32_t index, struct world_result *result)
{
	enum umbra_status status = umbra_vcpu_vmfunc(cpu->vcpu, index);
	const umbra_hpa list = {cpu->l2.eptp_list};
	bool done = true;

	if (status != UMBRA_EOPNOTSUPP) {
		done = model_vmfunc_eptp(cpu->bare, list, index).kind == UMBRA_EVENT_NONE;
		model_vmfunc_eptp(cpu->judge, list, index);
	}
	instruction(cpu, status, done, result);
	if (status == UMBRA_OK)
		cpu->l2.pointer = umbra_vcpu_nested(cpu->vcpu)->pointer;
	/* Exit 59. */
	result->umbra.to_l1 = result->umbra.end == WORLD_VMFAIL;
	result->bare.to_l1 = result->bare.end == WORLD_VMFAIL;
	if (result->umbra.to_l1)
		world_follow_exit(cpu);
}
