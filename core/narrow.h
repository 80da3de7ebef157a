/* SPDX-License-Identifier: MIT */
/*
 * narrow.h - guests whose physical addresses are narrower than the host's (layer 5).
 */
#ifndef CORE_NARROW_H
#define CORE_NARROW_H

#include "core/vcpu.h"

/** narrow_guest - must Umbra see to it that the guest's reserved address bits fault? */
bool narrow_guest(const struct umbra_vcpu *vcpu);
/**
 * narrow_take - @exit of such a guest, if it is about an address that the guest cannot have,
 * or a #PF: *resolution says what comes of it. False: an exit like any other.
 */
bool narrow_take(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
		 struct umbra_resolution *resolution);

#endif
