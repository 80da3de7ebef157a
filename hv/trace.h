/* SPDX-License-Identifier: MIT */
/*
 * trace.h - a log of what the library does, on the console, which `umbra run --replay`
 * reads and checks. docs/HV.md has the format.
 */
#ifndef HV_TRACE_H
#define HV_TRACE_H

#include "hv/vcpu.h"

/** enum trace_select - option trace=. */
enum trace_select {
	TRACE_OFF,
	TRACE_FAULTS, /* what exits bring to the library, and what it makes of them */
	TRACE_TABLES, /* all that a replay needs: every entry, page, flush and entering */
	TRACE_ALL, /* walks and MMIO entries too */
};

/** trace_begin - before the VM is made. Nothing if trace=off. */
void trace_begin(struct vcpu *vcpu);

/* What the library does not tell. They may be called without a trace, and do nothing. */

void trace_slot(struct vcpu *vcpu, const struct umbra_slot *slot);
void trace_load(struct vcpu *vcpu, const struct umbra_root *root);
/** trace_enter - the guest is about to be entered, for the first time since something was
 * logged (port.logged). */
void trace_enter(struct vcpu *vcpu);
/** trace_end - counters, the tables as they are, and how many records there were. */
void trace_end(struct vcpu *vcpu);

#endif
