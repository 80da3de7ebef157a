/* SPDX-License-Identifier: MIT */
/*
 * ve.c - EPT violations that are delivered to the guest as #VE (H-83).
 *
 * A walk only says whether its entry lets a violation be converted. Whether it
 * is, the rest of the machine decides, once, when the violation is reported: so
 * speculation and cached facts know nothing of it. The information area, at an
 * address of the host:
 *
 *	+0  32 bits	48
 *	+4  32 bits	all ones; 0 again when the guest has read it
 *	+8  64 bits	exit qualification
 *	+16 64 bits	guest-linear address
 *	+24 64 bits	guest-physical address
 *	+32 16 bits	EPTP index
 */
#include "cpu.h"

#define EXIT_EPT_VIOLATION 48u
#define AREA_BUSY 4

bool ve_possible(const struct model_cpu *cpu, bool delivering)
{
	const struct model_state *s = &cpu->state;
	unsigned hint = 0;

	return s->ve && s->regs.cr0 & UMBRA_CR0_PE && !delivering &&
	       !mem_entry(cpu->mem, &hint, s->ve_area + AREA_BUSY, 4);
}

void ve_deliver(struct model_cpu *cpu, bool delivering, struct result *r)
{
	const struct umbra_event *event = &r->event;
	const struct {
		uint32_t reason, busy;
		uint64_t qualification, gva, gpa;
		uint16_t eptp_index;
	} info = {
		EXIT_EPT_VIOLATION, ~0u,          event->code,
		event->gva.v,       event->gpa.v, cpu->state.eptp_index,
	};
	const uint64_t area = cpu->state.ve_area;

	if (event->kind != UMBRA_EVENT_EPT_VIOLATION || r->convertible != CONVERTIBLE ||
	    !ve_possible(cpu, delivering))
		return;
	r->event.kind = UMBRA_EVENT_VE;
	/* The padding of the struct is not the CPU's to write. */
	mem_write(cpu->mem, &cpu->hint, area, &info, 32);
	mem_write(cpu->mem, &cpu->hint, area + 32, &info.eptp_index, sizeof(info.eptp_index));
}
