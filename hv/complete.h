/* SPDX-License-Identifier: MIT */
/*
 * complete.h - instructions whose writes the library wants to see, and ones that exit by
 * themselves and have operands in memory.
 */
#ifndef HV_COMPLETE_H
#define HV_COMPLETE_H

#include "hv/vcpu.h"

/** complete_instruction - carry out the one at RIP, or deliver its fault. False: it cannot
 * be, and nothing has changed. */
bool complete_instruction(struct vcpu *vcpu);

#endif
