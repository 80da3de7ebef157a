/* SPDX-License-Identifier: MIT */
/*
 * fuzz_nested.c - programs in which a vCPU's guest is a hypervisor.
 *
 *	        bare CPU                        UMBRA machine
 *	L1      native, tag 0                   the VM's EPT, NPT or shadow tables
 *	L2      L1's own EPT or NPT, its tag    what umbra_vcpu_load() gives
 *
 * Each vCPU is in L1 or L2 by itself. L1's handler of exits does nothing: the exit is
 * judged as what it is (VM exit, then VM entry), and L2 goes on. What an exit loads is
 * what L1 had; PDPTE registers come from memory again (H-20), and where they no longer
 * can, L1 goes on without paging.
 *
 * Invariant: d->guest[vcpu].in_l2 on both machines or on none.
 */
#include <string.h>

#include "lab/fuzz_parts.h"

#define LAST_LOG 511

static struct umbra_vcpu *vcpu_at(const struct duel *d, unsigned vcpu)
{
	return d->lab->cpu[vcpu].vcpu;
}

static bool is_amd(const struct duel *d)
{
	return d->lab->config.cpu.vendor == UMBRA_VENDOR_AMD;
}

static bool is_pae(const struct umbra_regs *regs)
{
	return regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE &&
	       !(regs->efer & UMBRA_EFER_LMA);
}

static bool has_pdptes(const struct duel *d, const struct umbra_regs *regs)
{
	return is_pae(regs) && !(lab_guest_cpu(&d->lab->config).features & UMBRA_CPU_PDPTE_MEMORY);
}

/* ---- entering ---- */

static void enter(struct duel *d, unsigned vcpu, const struct umbra_nested *n)
{
	struct fuzz_guest *g = &d->guest[vcpu];
	struct model_cpu *bare = d->bare[vcpu];
	const struct model_state l1 = *model_state_of(bare);
	const struct model_state l2 = nested_state(d->lab, &l1.regs, n);
	enum umbra_status status;
	bool refused;

	run_select(d, vcpu);
	if (n->paging == UMBRA_NESTED_NONE && run_lost(d, &n->regs, n->regs.cr3))
		return;
	status = umbra_vcpu_enter_nested(vcpu_at(d, vcpu), n);
	if (status != UMBRA_OK && run_excused(d))
		status = umbra_vcpu_enter_nested(vcpu_at(d, vcpu), n);
	d->lab->at->stale = true;
	if (status == UMBRA_EOPNOTSUPP)
		return;
	refused = model_enter(bare, &l2).kind != UMBRA_EVENT_NONE;
	run_both(d, "VM entry", refused, status != UMBRA_OK);
	d->result->refused += refused;
	if (refused || status != UMBRA_OK)
		return;
	g->in_l2 = g->has = true;
	g->nested = *n;
	g->logged = n->pml_index;
	g->l1 = l1;
	d->lab->mirrors |= n->paging != UMBRA_NESTED_NONE;
	d->result->entries++;
	d->stale |= 1u << vcpu;
}

static void read_pdptes(const struct duel *d, uint64_t cr3, uint64_t pdpte[4])
{
	const uint8_t *bytes = judge_bare(d, (umbra_gpa){cr3 & 0xffffffe0}, 32);

	memset(pdpte, 0, 32);
	if (bytes)
		memcpy(pdpte, bytes, 32);
}

static void do_enter(struct duel *d, const struct fuzz_step *s)
{
	const bool keys = lab_guest_cpu(&d->lab->config).features & UMBRA_CPU_PKS;
	struct umbra_nested n = {
		.paging = (enum umbra_nested_paging)s->paging,
		.regs = {.cr0 = s->cr0,
			 .cr3 = s->a,
			 .cr4 = s->cr4,
			 .efer = s->efer,
			 .pkru = (uint32_t)s->b,
			 .pkrs = keys ? (uint32_t)(s->b >> 32) : 0},
		.pointer = s->pointer,
		.exec_by_mode = s->flags & FUZZ_EXEC,
		.readonly_tables = s->flags & FUZZ_ROGPT,
		.tag = s->tag,
		.tlb_control = s->tlb,
		.pml = s->flags & FUZZ_PML,
		.pml_address = FUZZ_LOG,
		.pml_index = s->pml,
		.pf_exits = s->flags & FUZZ_PF,
		.pf_mask = s->pf & 0xff,
		.pf_match = s->pf >> 8,
		.eptp_list = s->flags & FUZZ_LIST ? FUZZ_LOG : 0,
	};

	/* Reserved values, and what is the host's. */
	if (is_amd(d) ? !s->tag || (s->tlb & ~7u) || (0x74u >> s->tlb & 1) : s->tlb)
		return;
	nested_leave(d, s->vcpu);
	/* VMCS fields; L1 fills in what L2 would load if nothing were between. */
	if (n.paging == UMBRA_NESTED_EPT && has_pdptes(d, &n.regs))
		read_pdptes(d, n.regs.cr3, n.regs.pdpte);
	enter(d, s->vcpu, &n);
}

static void do_resume(struct duel *d, const struct fuzz_step *s)
{
	struct umbra_nested n = d->guest[s->vcpu].nested;

	if (!d->guest[s->vcpu].has)
		return;
	if (is_amd(d) ? !s->tag || (s->tlb & ~7u) || (0x74u >> s->tlb & 1) : s->tlb)
		return;
	nested_leave(d, s->vcpu);
	n = d->guest[s->vcpu].nested;
	n.tag = s->tag;
	n.tlb_control = s->tlb;
	if (s->pointer)
		n.pointer = s->pointer;
	enter(d, s->vcpu, &n);
}

/* ---- leaving ---- */

/* What L1 reads in its VMCS or VMCB, the same on both machines. */
static void save(struct duel *d, unsigned vcpu)
{
	const struct model_state *bare = model_state_of(d->bare[vcpu]);
	const struct umbra_nested *umbra = umbra_vcpu_nested(vcpu_at(d, vcpu));
	struct umbra_nested *n = &d->guest[vcpu].nested;

	n->regs = bare->regs;
	n->pml_index = d->guest[vcpu].logged;
	if (n->paging == UMBRA_NESTED_EPT) {
		n->pointer = bare->eptp;
	}
	if (!umbra)
		judge_found(d, "leave", "the vCPU does not run L2");
	else if (umbra->regs.cr0 != n->regs.cr0 || umbra->regs.cr3 != n->regs.cr3 ||
		 umbra->regs.cr4 != n->regs.cr4 || umbra->regs.efer != n->regs.efer ||
		 (has_pdptes(d, &n->regs) &&
		  memcmp(umbra->regs.pdpte, n->regs.pdpte, sizeof(n->regs.pdpte))))
		judge_found(d, "leave", "other registers of L2");
	else if (umbra->pointer != n->pointer || umbra->pml_index != n->pml_index)
		judge_found(d, "leave", "another EPTP, or index of the log");
}

/* L1's state after an exit. */
static struct model_state host_state(struct duel *d, unsigned vcpu)
{
	struct model_state host = d->guest[vcpu].l1;
	const unsigned width = lab_guest_cpu(&d->lab->config).maxphyaddr;
	const uint64_t reserved = ~((1ull << width) - 1) | 0x1e6;
	bool bad = run_lost(d, &host.regs, host.regs.cr3);
	uint64_t pdpte[4];

	host.load_pdptes = false;
	host.tlb_control = 0;
	if (!has_pdptes(d, &host.regs))
		return host;
	read_pdptes(d, host.regs.cr3, pdpte);
	for (unsigned i = 0; i < 4; i++)
		bad |= pdpte[i] & 1 && pdpte[i] & reserved;
	if (bad)
		host.regs.cr0 &= ~UMBRA_CR0_PG;
	return host;
}

void nested_leave(struct duel *d, unsigned vcpu)
{
	struct fuzz_guest *g = &d->guest[vcpu];
	struct model_state host;
	bool refused, umbra = false;

	if (!g->in_l2)
		return;
	run_select(d, vcpu);
	save(d, vcpu);
	host = host_state(d, vcpu);
	refused = model_exit(d->bare[vcpu], &host).kind != UMBRA_EVENT_NONE;
	umbra_vcpu_leave_nested(vcpu_at(d, vcpu));
	g->in_l2 = d->lab->in_l2 = false;
	d->lab->at->stale = true;
	if (has_pdptes(d, &g->l1.regs))
		umbra = umbra_vcpu_set_regs(vcpu_at(d, vcpu), &host.regs, true) != UMBRA_OK;
	run_both(d, "VM exit", refused, umbra);
	d->stale |= 1u << vcpu;
}

void nested_exited(struct duel *d, unsigned vcpu, const struct lab_side *side)
{
	struct umbra_nested n;

	if (d->result->found)
		return;
	judge_gather(d);
	nested_leave(d, vcpu);
	d->result->exits++;
	judge_gather(d);
	n = d->guest[vcpu].nested;
	n.tlb_control = 0;
	if (side->event.kind == UMBRA_EVENT_PML_FULL)
		n.pml_index = LAST_LOG;
	enter(d, vcpu, &n);
}

/* ---- instructions ---- */

static void do_invalidate(struct duel *d, const struct fuzz_step *s)
{
	struct umbra_vcpu *vcpu = vcpu_at(d, s->vcpu);
	struct model_cpu *bare = d->bare[s->vcpu];
	enum umbra_status status = UMBRA_OK;
	bool refused = false;

	if (d->guest[s->vcpu].in_l2 || (s->op == FUZZ_INVLPGA) != is_amd(d))
		return;
	switch (s->op) {
	case FUZZ_INVEPT:
		status = umbra_vcpu_invept(vcpu, (unsigned)s->a, s->b);
		if (status == UMBRA_EOPNOTSUPP)
			return;
		refused = !model_invept(bare, (unsigned)s->a, s->b);
		break;
	case FUZZ_INVVPID:
		status = umbra_vcpu_invvpid(vcpu, s->size, s->b, (umbra_gva){s->a});
		refused = !model_invvpid(bare, s->size, (uint16_t)s->b, (umbra_gva){s->a});
		break;
	default:
		/* ASID 0 is L1's own, another on the UMBRA machine. */
		if (!s->b)
			return;
		umbra_vcpu_invlpga(vcpu, (umbra_gva){s->a}, (uint32_t)s->b);
		model_invlpga(bare, (umbra_gva){s->a}, (uint32_t)s->b);
	}
	d->lab->at->stale = true;
	run_both(d, "an invalidation", refused, status != UMBRA_OK);
}

static void do_vmfunc(struct duel *d, const struct fuzz_step *s)
{
	struct fuzz_guest *g = &d->guest[s->vcpu];
	const uint64_t list = g->nested.eptp_list;
	struct lab_side side = {.event.kind = UMBRA_EVENT_VMFUNC};
	enum umbra_status status;
	bool refused;

	if (!g->in_l2 || g->nested.paging != UMBRA_NESTED_EPT || !list ||
	    !judge_bare(d, (umbra_gpa){list}, 8) || !judge_umbra(d, (umbra_gpa){list}, 8))
		return;
	status = umbra_vcpu_vmfunc(vcpu_at(d, s->vcpu), (uint32_t)s->a);
	d->lab->at->stale = true;
	refused = model_vmfunc_eptp(d->bare[s->vcpu], (umbra_hpa){list}, (uint32_t)s->a).kind !=
		  UMBRA_EVENT_NONE;
	run_both(d, "VMFUNC", refused, status != UMBRA_OK);
	if (refused)
		nested_exited(d, s->vcpu, &side);
}

void nested_step(struct duel *d, const struct fuzz_step *s)
{
	run_select(d, s->vcpu);
	switch (s->op) {
	case FUZZ_ENTER: do_enter(d, s); break;
	case FUZZ_RESUME: do_resume(d, s); break;
	case FUZZ_LEAVE: nested_leave(d, s->vcpu); break;
	case FUZZ_VMFUNC: do_vmfunc(d, s); break;
	default: do_invalidate(d, s);
	}
}
