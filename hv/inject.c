/* SPDX-License-Identifier: MIT */
/*
 * inject.c - exceptions for the guest, and events that an exit cut short.
 *
 * A fault that happens while an event is delivered makes #DF of two contributory
 * exceptions, or of #PF and then either kind, and a shutdown of #DF and anything (APM 2
 * 8.2.9). INT n, INT3 and INTO are not delivered again: RIP still points at the
 * instruction, which will do it.
 */
#include "hv/vcpu.h"

/* #DE, #TS, #NP, #SS, #GP */
#define CONTRIBUTORY (1u << 0 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13)

void inject_fault(struct vcpu *vcpu, unsigned vector, bool has_code, uint32_t code)
{
	uint64_t before = vcpu->vmcb->exit_event;
	unsigned first = before & 0xff;

	if (before & VMCB_EVENT_VALID && (before & VMCB_EVENT_TYPE) == VMCB_EVENT_EXCEPTION) {
		bool second_counts = CONTRIBUTORY >> vector & 1;

		if (first == VECTOR_DF)
			report_stop(vcpu, "the guest shut down (triple fault)");
		if ((first == VECTOR_PF && (second_counts || vector == VECTOR_PF)) ||
		    (first < 32 && CONTRIBUTORY >> first & 1 && second_counts)) {
			vector = VECTOR_DF;
			has_code = true;
			code = 0;
		}
	}
	/* What was being delivered is lost, as on a CPU: the handler returns to its cause. */
	vcpu->vmcb->exit_event = 0;
	vcpu->vmcb->event = vector | VMCB_EVENT_EXCEPTION | VMCB_EVENT_VALID;
	if (has_code)
		vcpu->vmcb->event |= VMCB_EVENT_HAS_CODE | (uint64_t)code << 32;
}

void inject_gp(struct vcpu *vcpu)
{
	inject_fault(vcpu, VECTOR_GP, true, 0);
}

void inject_ud(struct vcpu *vcpu)
{
	inject_fault(vcpu, VECTOR_UD, false, 0);
}

void inject_event(struct vcpu *vcpu, const struct umbra_event *event)
{
	switch (event->kind) {
	case UMBRA_EVENT_PF:
		vcpu->vmcb->cr2 = event->gva.v;
		inject_fault(vcpu, VECTOR_PF, true, (uint32_t)event->code);
		break;
	case UMBRA_EVENT_SS: inject_fault(vcpu, VECTOR_SS, true, 0); break;
	default: inject_gp(vcpu);
	}
}

void inject_again(struct vcpu *vcpu)
{
	uint64_t event = vcpu->vmcb->exit_event;
	uint64_t type = event & VMCB_EVENT_TYPE;
	unsigned vector = event & 0xff;

	if (vcpu->vmcb->event & VMCB_EVENT_VALID || type == VMCB_EVENT_SOFTWARE)
		return;
	if (type == VMCB_EVENT_EXCEPTION && (vector == 3 || vector == 4))
		return;
	/* QEMU 7.2 calls interrupts exceptions here, and refuses them at the next VMRUN. */
	if (type == VMCB_EVENT_EXCEPTION && vector >= 32)
		event &= ~VMCB_EVENT_TYPE;
	vcpu->vmcb->event = event;
}

void vcpu_skip(struct vcpu *vcpu, unsigned length)
{
	struct vmcb *v = vcpu->vmcb;

	v->rip += length;
	if (!vcpu_is_64(vcpu))
		v->rip &= v->cs.attributes & VMCB_CS_DEFAULT_32 ? 0xffffffff : 0xffff;
	v->interrupt_shadow &= ~1ull;
	v->rflags &= ~RFLAGS_RF;
	if (v->rflags & RFLAGS_TF) {
		v->dr6 |= 1u << 14; /* BS */
		inject_fault(vcpu, VECTOR_DB, false, 0);
	}
}
