/* SPDX-License-Identifier: MIT */
/*
 * nested.c - L1 is a hypervisor: entering and leaving L2, and L1's EPT or NPT.
 *
 *	         L1 runs L2 with EPT or NPT           without
 *	linear   L2's tables                          L2's tables
 *	   |        hardware                             hardware (TDP), or mirrored
 *	   v
 *	L2's gpa   nested_space: L1's EPT or NPT      = L1's gpa
 *	   |        mirrored: roots of vcpu->nested
 *	   v
 *	L1's gpa   slots
 *
 * L1's tables are mirrored by the same code as a guest's page tables under shadow
 * paging; what is translated is L2's guest-physical address. Hardware runs L2 with the
 * controls that L1 asked for (MBEC, GMET, ROGPT, EPT A/D), so that an access needs from
 * the mirror what it needs from the original. A violation is looked up in L1's tables
 * before anything else: what they do not allow is L1's to see (N-5).
 *
 * What hardware remembers of L2 is tagged apart from L1's; L1's own tags and flushes
 * become flushes of that one tag. A mirror that lags is synced at VMRUN or VM entry only
 * if L1 asked for a flush or came with another tag: a plain transition flushes nothing
 * (H-112).
 */
#include "core/nested.h"
#include "core/sync.h"

#define EPTP_ADDRESS 0x000ffffffffff000ull
#define EPTP_LENGTH (7ull << 3)
#define EPTP_LIST_ENTRIES 512u

/* VMCB 05Ch (H-112). */
#define TLB_CONTROL_ALL 1
#define TLB_CONTROL_ASID 3
#define TLB_CONTROL_ASID_NOT_GLOBAL 7

/* ---- L1's EPT or NPT as a mode ---- */

/* NULL: VM entry or VMRUN refuses it (H-70, H-96). */
static const struct format *nested_format(const struct umbra_vcpu *vcpu,
					  const struct umbra_nested *state, uint32_t *flags)
{
	const struct umbra_cpu *cpu = &vcpu->cpu;
	const struct format *format;

	if (state->paging == UMBRA_NESTED_EPT) {
		/* A control that the CPU lacks; on AMD such a bit is ignored (H-97). */
		if (state->exec_by_mode && !(cpu->features & UMBRA_CPU_MBEC))
			return NULL;
		return mode_of_eptp(state->pointer, cpu, state->exec_by_mode, flags);
	}
	if (state->pointer >> cpu->maxphyaddr)
		return NULL;
	format = mode_of_npt(&vcpu->l1.regs, cpu, state->exec_by_mode, flags);
	if (state->readonly_tables && cpu->features & UMBRA_CPU_ROGPT)
		*flags |= MODE_ROGPT;
	return format;
}

static void bind_nested(struct umbra_vcpu *vcpu, const struct format *format, uint32_t flags)
{
	struct mode *mode = &vcpu->nested_mode;

	/* VMRUN after VMRUN it is the same. */
	if (mode->format != format || mode->flags != flags) {
		mode_bind(mode, format, flags, vcpu->cpu.maxphyaddr);
		if (vcpu->vm->mmu.kvm_nested_walks)
			mode->stage2.table_read = mode->stage2.table_update;
	}
	vcpu->nested_space.mode = mode;
	vcpu->nested_space.root = vcpu->state.pointer;
}

/* ---- PML of L1 (H-82, N-12) ---- */

static struct umbra_vcpu *vcpu_of(struct walk_log *log)
{
	return (struct umbra_vcpu *)((char *)log - offsetof(struct umbra_vcpu, log));
}

static void dirtied(struct walk_log *log, uint64_t address)
{
	struct umbra_vcpu *vcpu = vcpu_of(log);
	umbra_gpa at = {vcpu->state.pml_address + 8ull * log->index};
	uint64_t page = address & ~(uint64_t)(UMBRA_PAGE_SIZE - 1);

	/* A log outside memory loses its entries, as on a bus. */
	umbra_vm_write(vcpu->vm, at, &page, sizeof(page));
	log->index--;
	vcpu->state.pml_index = log->index;
}

static void set_log(struct umbra_vcpu *vcpu)
{
	bool on = vcpu->state.pml && vcpu->nested_mode.flags & MODE_AD;

	vcpu->log = (struct walk_log){vcpu->state.pml_index, dirtied};
	vcpu->nested_space.log = on ? &vcpu->log : NULL;
}

/* ---- entering and leaving ---- */

/* Can this VM show L1 such paging at all? */
static enum umbra_status possible(const struct umbra_vcpu *vcpu, const struct umbra_nested *state)
{
	const enum umbra_paging paging = vcpu->vm->mmu.paging;

	if (state->paging == UMBRA_NESTED_EPT && paging != UMBRA_PAGING_EPT)
		return UMBRA_EOPNOTSUPP;
	if (state->paging == UMBRA_NESTED_NPT && paging != UMBRA_PAGING_NPT)
		return UMBRA_EOPNOTSUPP;
	/* Only there is a user execute bit. */
	if (state->paging == UMBRA_NESTED_EPT && state->exec_by_mode &&
	    !vcpu->vm->mmu.kind.layout->exec_user)
		return UMBRA_EOPNOTSUPP;
	/* H-22: guests under NPT have no PDPTE registers. */
	if (state->paging == UMBRA_NESTED_NPT && !(vcpu->cpu.features & UMBRA_CPU_PDPTE_MEMORY))
		return UMBRA_EOPNOTSUPP;
	return UMBRA_OK;
}

static enum umbra_status check_state(const struct umbra_vcpu *vcpu,
				     const struct umbra_nested *state)
{
	if (vcpu_in_l2(vcpu) || (unsigned)state->paging >= UMBRA_NESTED_COUNT)
		return UMBRA_EINVAL;
	if (!vcpu_regs_legal(&vcpu->cpu, &state->regs))
		return UMBRA_EINVAL;
	if (vcpu->cpu.vendor == UMBRA_VENDOR_INTEL)
		return state->tag > UINT16_MAX ? UMBRA_EINVAL : UMBRA_OK;
	/* ASID 0 is the host's. */
	return state->tag ? UMBRA_OK : UMBRA_EINVAL;
}

/* The root for L1's tables. */
static void nested_switch(struct umbra_vcpu *vcpu)
{
	/* EPT roots are tags by themselves (H-107). */
	const uint32_t tag = vcpu->state.paging == UMBRA_NESTED_NPT ? vcpu->state.tag : 0;

	rootset_switch(&vcpu->vm->mmu, &vcpu->nested, &vcpu->nested_space, tag, false);
}

/* Reverse maps, from the first time on. */
static enum umbra_status give_mirrors(struct mmu *mmu)
{
	bool given;

	if (mmu->mirrors)
		return UMBRA_OK;
	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	given = slots_give_mirrors(mmu);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
	return given ? UMBRA_OK : UMBRA_ENOMEM;
}

/* The registers that L2 starts with; @regs: in and out. */
static enum umbra_status l2_registers(struct umbra_vcpu *vcpu, const struct umbra_nested *state,
				      struct umbra_regs *regs)
{
	/* VMCS fields with EPT (H-78), memory at use with NPT (H-22). */
	bool load = state->paging == UMBRA_NESTED_NONE;

	*regs = state->regs;
	if (state->paging == UMBRA_NESTED_NPT)
		return UMBRA_OK;
	return vcpu_take_pdptes(vcpu, regs, load);
}

/* H-112: what the transition itself flushes. @before, @paging: of the L2 that ran last. */
static void flush_for_entry(struct umbra_vcpu *vcpu, uint32_t before,
			    enum umbra_nested_paging paging)
{
	const struct umbra_nested *state = &vcpu->state;

	if (vcpu->cpu.vendor == UMBRA_VENDOR_INTEL) {
		/* Without VPIDs L1 and L2 share one, flushed on entry and exit. */
		vcpu->flush_l2 |= state->tag != before || !state->tag;
		vcpu->flush_l1 |= !state->tag;
		return;
	}
	vcpu->flush_l2 |= state->tag != before || state->tlb_control;
	/* Without NPT of L1's there is still Umbra's, and an ASID has but one (H-109). */
	vcpu->flush_l2 |= state->paging != paging;
	vcpu->flush_l1 |= state->tlb_control == TLB_CONTROL_ALL;
	/* The root in use, too, may be another ASID's and is kept. */
	if (state->tlb_control == TLB_CONTROL_ALL || state->tlb_control == TLB_CONTROL_ASID)
		rootset_flush(&vcpu->nested, state->tag, state->tlb_control == TLB_CONTROL_ALL);
}

enum umbra_status umbra_vcpu_enter_nested(struct umbra_vcpu *vcpu, const struct umbra_nested *state)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	const enum umbra_nested_paging paging = vcpu->state.paging;
	const uint32_t before = vcpu->state.tag;
	const struct format *format = NULL;
	struct umbra_regs regs;
	uint32_t flags = 0;
	enum umbra_status status = check_state(vcpu, state);

	if (!status)
		status = possible(vcpu, state);
	if (!status && state->paging != UMBRA_NESTED_NONE) {
		format = nested_format(vcpu, state, &flags);
		if (!format)
			return UMBRA_EINVAL;
		/* EPT has the levels that its EPTP says, NPT those of the host. */
		if (state->paging == UMBRA_NESTED_NPT && format->top > mmu->levels)
			return UMBRA_EOPNOTSUPP;
		status = give_mirrors(mmu);
	}
	if (!status)
		status = l2_registers(vcpu, state, &regs);
	if (status)
		return status;
	vcpu->state = *state;
	vcpu->guest = &vcpu->l2;
	vcpu_set_guest(vcpu, &vcpu->l2, &regs);
	flush_for_entry(vcpu, before, paging);
	vcpu->l2.space.parent = format ? &vcpu->nested_space : NULL;
	if (format) {
		bind_nested(vcpu, format, flags);
		set_log(vcpu);
		nested_switch(vcpu);
	} else if (mmu->paging == UMBRA_PAGING_SHADOW) {
		vcpu_switch_own(vcpu, true);
	}
	return UMBRA_OK;
}

void umbra_vcpu_leave_nested(struct umbra_vcpu *vcpu)
{
	if (!vcpu_in_l2(vcpu))
		return;
	/* No CPU caches what L1's tables say while L1 runs. */
	if (vcpu_is_nested(vcpu))
		rootset_leave(&vcpu->vm->mmu, &vcpu->nested);
	vcpu->guest = &vcpu->l1;
	vcpu->described = NULL;
	vcpu->flush_l1 |= vcpu->cpu.vendor == UMBRA_VENDOR_INTEL && !vcpu->state.tag;
	if (vcpu->vm->mmu.paging == UMBRA_PAGING_SHADOW)
		vcpu_switch_own(vcpu, true);
}

const struct umbra_nested *umbra_vcpu_nested(const struct umbra_vcpu *vcpu)
{
	return vcpu_in_l2(vcpu) ? &vcpu->state : NULL;
}

/* ---- instructions of L1 and L2 that concern what is cached of L1's tables ---- */

enum umbra_status umbra_vcpu_invept(struct umbra_vcpu *vcpu, unsigned type, uint64_t eptp)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	struct rootset *set = &vcpu->nested;
	const uint64_t gfn = (eptp & EPTP_ADDRESS) >> UMBRA_PAGE_SHIFT;
	uint32_t flags;

	if (mmu->paging != UMBRA_PAGING_EPT)
		return UMBRA_EOPNOTSUPP;
	if (type != 1 && type != 2)
		return UMBRA_EINVAL;
	if (type == 1 && !mode_of_eptp(eptp, &vcpu->cpu, false, &flags))
		return UMBRA_EINVAL;
	/* Tags are bits 51:12 of the EPTP (H-107), whatever else it says. */
	if (set->root && (type == 2 || set->root->gfn == gfn)) {
		set->flush = true;
		rootset_sync_all(set);
	}
	for (unsigned i = 0; i < ROOTSET_PREVIOUS; i++) {
		if (set->previous[i] && (type == 2 || set->previous[i]->gfn == gfn))
			roots_put(mmu, &set->previous[i]);
	}
	return UMBRA_OK;
}

enum umbra_status umbra_vcpu_invvpid(struct umbra_vcpu *vcpu, unsigned type, uint64_t vpid,
				     umbra_gva gva)
{
	const unsigned unused = vcpu->cpu.features & UMBRA_CPU_LA57 ? 7 : 16;

	if (vcpu->cpu.vendor != UMBRA_VENDOR_INTEL)
		return UMBRA_EOPNOTSUPP;
	/* H-132; for type 2 the VPID is not looked at, but reserved bits are. */
	if (type > 3 || vpid >> 16 || (type != 2 && !vpid))
		return UMBRA_EINVAL;
	/* As wide as the CPU can be, whatever CR4.LA57 is: the VPID's guest has its own (H-5). */
	if (type == 0 && (uint64_t)((int64_t)(gva.v << unused) >> unused) != gva.v)
		return UMBRA_EINVAL;
	/* One tag serves all of L1's: another than the last comes with a flush anyway. */
	vcpu->flush_l2 = true;
	return UMBRA_OK;
}

void umbra_vcpu_invlpga(struct umbra_vcpu *vcpu, umbra_gva gva, uint32_t asid)
{
	if (asid == 0)
		umbra_vcpu_invlpg(vcpu, gva);
	else
		vcpu->flush_l2 = true;
}

enum umbra_status umbra_vcpu_vmfunc(struct umbra_vcpu *vcpu, uint32_t index)
{
	struct umbra_nested *state = &vcpu->state;
	const struct format *format;
	enum umbra_status status;
	uint32_t flags;
	uint64_t eptp;

	if (!vcpu_is_nested(vcpu) || state->paging != UMBRA_NESTED_EPT || !state->eptp_list)
		return UMBRA_EOPNOTSUPP;
	if (index >= EPTP_LIST_ENTRIES)
		return UMBRA_EINVAL;
	status = umbra_vm_read(vcpu->vm, (umbra_gpa){state->eptp_list + 8ull * index}, &eptp,
			       sizeof(eptp));
	if (status)
		return status;
	format = mode_of_eptp(eptp, &vcpu->cpu, state->exec_by_mode, &flags);
	if (!format || (eptp ^ state->pointer) & EPTP_LENGTH)
		return UMBRA_EINVAL;
	state->pointer = eptp;
	bind_nested(vcpu, format, flags);
	set_log(vcpu);
	nested_switch(vcpu);
	vcpu->flush_l2 |= !state->tag;
	return UMBRA_OK;
}

/* ---- faults of L2 ---- */

/* Names for what the mode of L1's tables has: to whom they may be executable. */
static bool nested_mbec_enabled(const struct umbra_vcpu *vcpu)
{
	return vcpu->nested_mode.flags & MODE_MBEC;
}

static bool nested_gmet_enabled(const struct umbra_vcpu *vcpu)
{
	return vcpu->nested_mode.flags & MODE_GMET;
}

/* MBEC: are the guest's tables a user's all the way (H-75)? Hardware with advanced exit
 * information says so, others leave it to be looked up. */
static bool user_address(struct umbra_vcpu *vcpu, const struct umbra_event *event)
{
	struct walk walked;

	if (vcpu->vm->mmu.cpu.features & UMBRA_CPU_EPT_ADVINFO)
		return event->code & UMBRA_EPTQ_GUEST_U;
	umbra_host_read_begin(vcpu->vm->mmu.host);
	vcpu_renew_window(vcpu);
	walk(&vcpu->l2.space, event->gva.v, UMBRA_ACCESS_FETCH, WALK_NO_FINAL | WALK_NO_RIGHTS,
	     &walked);
	umbra_host_read_end(vcpu->vm->mmu.host);
	return walked.end == WALK_OK && walked.acc & ACC_USER;
}

static unsigned ept_access(struct umbra_vcpu *vcpu, const struct umbra_event *event)
{
	if (event->code & UMBRA_EPTQ_WRITE)
		return UMBRA_ACCESS_WRITE;
	if (!(event->code & UMBRA_EPTQ_FETCH))
		return UMBRA_ACCESS_READ;
	if (nested_mbec_enabled(vcpu) && user_address(vcpu, event))
		return UMBRA_ACCESS_FETCH | UMBRA_ACCESS_USER;
	return UMBRA_ACCESS_FETCH;
}

/* All nested accesses are the user's, but GMET tells fetches apart by CPL (H-97). */
static unsigned npt_access(const struct umbra_vcpu *vcpu, const struct umbra_exit *exit)
{
	unsigned access = UMBRA_ACCESS_USER;

	if (exit->event.code & UMBRA_PF_W)
		return access | UMBRA_ACCESS_WRITE;
	if (!(exit->event.code & UMBRA_PF_I))
		return access;
	if (nested_gmet_enabled(vcpu) && exit->cpl != 3)
		access = 0;
	return access | UMBRA_ACCESS_FETCH;
}

bool nested_take_exit(struct umbra_vcpu *vcpu, const struct umbra_exit *exit, unsigned *access)
{
	if (vcpu->state.paging == UMBRA_NESTED_EPT) {
		*access = UMBRA_ACCESS_READ;
		if (exit->event.kind == UMBRA_EVENT_EPT_MISCONFIG)
			return true;
		if (exit->event.kind != UMBRA_EVENT_EPT_VIOLATION)
			return false;
		*access = ept_access(vcpu, &exit->event);
		return true;
	}
	if (exit->event.kind != UMBRA_EVENT_NPF)
		return false;
	*access = npt_access(vcpu, exit);
	return true;
}

/* What L1's tables allow is known here, all else by the hardware. */
#define EPTQ_RIGHTS (UMBRA_EPTQ_R | UMBRA_EPTQ_W | UMBRA_EPTQ_X | UMBRA_EPTQ_XU)
#define EPTQ_ADVANCED (UMBRA_EPTQ_GUEST_U | UMBRA_EPTQ_GUEST_W | UMBRA_EPTQ_GUEST_NX)
#define NPF_STAGE (UMBRA_NPF_FINAL | UMBRA_NPF_TABLE)

void nested_report(const struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
		   struct umbra_event *event)
{
	uint64_t hardware = exit->event.code;

	switch (event->kind) {
	case UMBRA_EVENT_EPT_VIOLATION:
		if (!(vcpu->nested_mode.flags & MODE_ADVINFO))
			hardware &= ~EPTQ_ADVANCED;
		event->code = (event->code & EPTQ_RIGHTS) | (hardware & ~EPTQ_RIGHTS);
		event->gva = exit->event.gva;
		break;
	case UMBRA_EVENT_NPF:
		event->code &= ~NPF_STAGE;
		event->code |= hardware & (NPF_STAGE | UMBRA_PF_SS);
		break;
	default: break;
	}
}

bool umbra_vcpu_exits_to_l1(const struct umbra_vcpu *vcpu, const struct umbra_event *event)
{
	const struct umbra_nested *state = &vcpu->state;

	if (!vcpu_in_l2(vcpu))
		return false;
	switch (event->kind) {
	case UMBRA_EVENT_PF:
		return ((event->code & state->pf_mask) == state->pf_match) == state->pf_exits;
	case UMBRA_EVENT_NPF:
	case UMBRA_EVENT_EPT_VIOLATION:
	case UMBRA_EVENT_EPT_MISCONFIG:
	case UMBRA_EVENT_PML_FULL: return vcpu_is_nested(vcpu);
	default: return false;
	}
}
