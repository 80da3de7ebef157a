/* SPDX-License-Identifier: MIT */
/*
 * narrow.c - a MAXPHYADDR for the guest that is less than the host's, under EPT (G-23).
 *
 *	bits of a guest entry   51 ... M(host) | M(host)-1 ... M(guest) | M(guest)-1 ... 12
 *	                        reserved to all | reserved to the guest  | address
 *
 * Hardware checks by its own width, so an entry with a bit of the middle set is, to it, an
 * address. If it gets that far it exits, for no memory is mapped up there: the access is
 * then emulated, and the walker, which knows the guest's width, finds the reserved bit. If
 * it faults before, for lack of rights, its error code misses RSVD: such a #PF is
 * intercepted and looked up. With NPT the first of the two cannot be told from what the
 * guest may do, and the whole is refused, as KVM does by default.
 */
#include "core/narrow.h"

bool narrow_guest(const struct umbra_vcpu *vcpu)
{
	const struct mmu *mmu = &vcpu->vm->mmu;

	return mmu->allow_narrow && mmu->paging == UMBRA_PAGING_EPT && !vcpu_in_l2(vcpu) &&
	       vcpu->cpu.maxphyaddr < mmu->cpu.maxphyaddr;
}

/* The #PF as the guest's CPU would have it. */
static void correct(struct umbra_vcpu *vcpu, const struct umbra_exit *exit, unsigned access,
		    struct umbra_event *event)
{
	struct walk walked;
	enum walk_end end;

	umbra_host_read_begin(vcpu->vm->mmu.host);
	vcpu_renew_window(vcpu);
	end = walk(&vcpu->guest->space, exit->event.gva.v, access, WALK_NO_AD, &walked);
	umbra_host_read_end(vcpu->vm->mmu.host);
	/* Else the tables have changed, or hardware knows of a reason that the walk does not. */
	*event = end == WALK_RESERVED ? walked.event : exit->event;
}

bool narrow_take(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
		 struct umbra_resolution *resolution)
{
	const unsigned access = vcpu_access_of(exit);

	*resolution = (struct umbra_resolution){.gpa = exit->event.gpa, .access = access};
	switch (exit->event.kind) {
	case UMBRA_EVENT_PF:
		resolution->verdict = UMBRA_INJECT;
		correct(vcpu, exit, access, &resolution->event);
		return true;
	case UMBRA_EVENT_EPT_VIOLATION:
	case UMBRA_EVENT_EPT_MISCONFIG:
		resolution->verdict = UMBRA_EMULATE;
		return exit->event.gpa.v >> vcpu->cpu.maxphyaddr;
	default: return false;
	}
}
