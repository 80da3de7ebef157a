/* SPDX-License-Identifier: MIT */
/* parts.h - what the files of the world share. */
#ifndef SCENARIO_PARTS_H
#define SCENARIO_PARTS_H

#include "scenario/world.h"

/** VPID or ASID of the guest. */
#define WORLD_TAG 1

/** world_note - room for a note, to be filled in; never NULL. */
struct note *world_note(struct world *world, enum note_kind kind);
/** world_flush_cpu - what a flush of the guest's translations is; @omit: not done. */
void world_flush_cpu(struct world_cpu *cpu, const char *why, bool omit);

static inline bool world_is_tdp(const struct world *world)
{
	return world->config.paging != UMBRA_PAGING_SHADOW;
}

#endif
