/* SPDX-License-Identifier: MIT */
/*
 * tdp.h - tables of the second dimension: EPT and NPT (layer 4).
 */
#ifndef CORE_TDP_H
#define CORE_TDP_H

#include "core/fault.h"

/**
 * tdp_map - map fault->gfn at fault->goal or lower. MMU lock held, shared is
 * enough: entries are installed by compare-exchange. RESUME, or RETRY when
 * another vCPU was faster. Never fails: the reserve is full.
 */
enum umbra_verdict tdp_map(struct fault *fault);

#endif
