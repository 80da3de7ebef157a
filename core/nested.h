/* SPDX-License-Identifier: MIT */
/*
 * nested.h - what a fault of L2 is to L1's EPT or NPT, and the reverse (layer 5).
 */
#ifndef CORE_NESTED_H
#define CORE_NESTED_H

#include "core/vcpu.h"

/**
 * nested_take_exit - the access of an EPT violation or NPF that hardware reported on the
 * tables mirroring L1's, as L1's own tables are to be walked for it. False: no such exit.
 * Outside read-side sections.
 */
bool nested_take_exit(struct umbra_vcpu *vcpu, const struct umbra_exit *exit, unsigned *access);

/**
 * nested_report - @event is what the walk of L1's tables says of that access: make it
 * what L1 sees, with all that only the hardware knows (N-6, N-8).
 */
void nested_report(const struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
		   struct umbra_event *event);

#endif
