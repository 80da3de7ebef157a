/* SPDX-License-Identifier: MIT */
/*
 * fault.c - faults of the guest's translations, taken to the library.
 *
 *	RESUME, RETRY   enter again
 *	INJECT          the guest's own #PF
 *	MMIO            a device: give it a slot and enter again; or the hypervisor's own
 *	                memory: the guest is stopped
 *	EMULATE         a write to a page table of the guest's, or one that only CR0.WP=0
 *	                allows: carried out in software
 */
#include "hv/complete.h"
#include "hv/paging.h"

/* What cannot be carried out here the guest may do itself, on a table that is none any more
 * (S-44). */
static void emulate(struct vcpu *vcpu, umbra_gpa gpa)
{
	if (complete_instruction(vcpu)) {
		vcpu->emulated++;
		return;
	}
	vcpu->unprotected++;
	if (!umbra_vm_unprotect(vcpu->vm, gpa))
		report_stop(vcpu, "cannot emulate the instruction that writes to %llx",
			    (unsigned long long)gpa.v);
}

/* A PAE host's NPT translates 32 bits (F-34). */
static bool is_beyond(const struct vcpu *vcpu, umbra_gpa gpa)
{
	return gpa.v >> 32 && !vcpu->options->shadow && paging_levels() == 3;
}

static void act(struct vcpu *vcpu, const struct umbra_resolution *what)
{
	switch (what->verdict) {
	case UMBRA_RESUME:
	case UMBRA_RETRY: break;
	case UMBRA_INJECT: inject_event(vcpu, &what->event); break;
	case UMBRA_MMIO:
		if (is_beyond(vcpu, what->gpa))
			report_stop(vcpu, "guest address %llx is beyond this host's tables",
				    (unsigned long long)what->gpa.v);
		if (!devices_add(vcpu, what->gpa.v))
			report_stop(vcpu, "the guest reached for the hypervisor's memory at %llx",
				    (unsigned long long)what->gpa.v);
		break;
	case UMBRA_EMULATE: emulate(vcpu, what->gpa); break;
	default:
		report_stop(vcpu, "no memory for the guest at %llx",
			    (unsigned long long)what->gpa.v);
	}
}

/*
 * A 4K page has been mapped for the guest: map the others of its block too, which costs less
 * each than an exit. All memory of the guest is there, so nothing is wasted but entries.
 */
static void fault_around(struct vcpu *vcpu)
{
	uint64_t block = (uint64_t)vcpu->options->around << UMBRA_PAGE_SHIFT;
	umbra_gpa gpa = {vcpu->vmcb->exit_info_2 & ~(block - 1)};

	while (block && !umbra_vcpu_prefault(vcpu->mmu, &gpa, &block))
		;
}

static _Noreturn void refused(struct vcpu *vcpu, enum umbra_status status)
{
	report_stop(vcpu, "fault at %llx, code %llx: %s",
		    (unsigned long long)vcpu->vmcb->exit_info_2,
		    (unsigned long long)vcpu->vmcb->exit_info_1, umbra_strstatus(status));
}

static inline void look_into(struct vcpu *vcpu, struct umbra_resolution *what)
{
	enum umbra_status status = umbra_vcpu_fault(vcpu->mmu, &vcpu->exit, what);

	if (status)
		refused(vcpu, status);
	if (what->verdict != UMBRA_RESUME)
		act(vcpu, what);
}

/* Nothing else of vcpu->exit is looked at; it stays what it was. */
void fault_npf(struct vcpu *vcpu)
{
	struct umbra_resolution what;

	vcpu->exit.event.kind = UMBRA_EVENT_NPF;
	vcpu->exit.event.code = vcpu->vmcb->exit_info_1;
	vcpu->exit.event.gpa.v = vcpu->vmcb->exit_info_2;
	look_into(vcpu, &what);
	/* No load: entering reads the PDPTEs of PAE tables anew, and the library kicks if the
	 * root has changed. What was there, but write protected, has its neighbours. */
	if (what.verdict == UMBRA_RESUME && what.level == 1 && vcpu->options->around > 1 &&
	    !(vcpu->exit.event.code & UMBRA_PF_P))
		fault_around(vcpu);
}

void fault_pf(struct vcpu *vcpu)
{
	const struct vmcb *v = vcpu->vmcb;
	struct umbra_resolution what;

	vcpu->exit.event.kind = UMBRA_EVENT_PF;
	vcpu->exit.event.code = v->exit_info_1;
	vcpu->exit.event.gva.v = v->exit_info_2;
	vcpu->exit.cpl = v->cpl;
	vcpu->exit.ac = v->rflags & RFLAGS_AC;
	look_into(vcpu, &what);
}

void fault_prefault(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < vcpu->memory->region_count; i++) {
		umbra_gpa gpa = {(vcpu->memory->region[i].start + 4095) & ~4095ull};
		uint64_t size = memory_run(vcpu->memory, gpa.v) & ~4095ull;

		while (size && !umbra_vcpu_prefault(vcpu->mmu, &gpa, &size))
			;
	}
}
