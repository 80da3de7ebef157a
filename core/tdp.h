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

/** Most frames that tdp_fill() takes at once; they lie in one table of level 1. */
#define TDP_FILL 64

/**
 * tdp_fill - what a prefault maps: the frames from fault->gfn on, as @pins has them, or
 * fault->goal > 1: the large page of pins[0]. Nothing that is mapped changes. MMU lock held,
 * shared is enough. Returns how many frames from fault->gfn on are mapped now; 0: try again.
 */
uint64_t tdp_fill(struct fault *fault, const struct umbra_pin *pins, unsigned count);

#endif
