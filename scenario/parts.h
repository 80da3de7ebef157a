/* SPDX-License-Identifier: MIT */
/* parts.h - what the files of the world share. */
#ifndef SCENARIO_PARTS_H
#define SCENARIO_PARTS_H

#include "scenario/world.h"

/** world_note - room for a note, to be filled in; never NULL. */
struct note *world_note(struct world *world, enum note_kind kind);
/** world_flush_cpu - what a flush of all the VM's translations is; @omit: not done. */
void world_flush_cpu(struct world_cpu *cpu, const char *why, bool omit);
/** world_look - entries are told as whoever runs on @cpu has them. */
void world_look(struct world_cpu *cpu);
/** world_refuse - #GP. world_took, world_took_status: or what came of an instruction. */
void world_refuse(struct world_outcome *outcome);
void world_took_status(struct world_outcome *outcome, enum umbra_status status);
/** world_judge - compare what an instruction gave. */
void world_judge(struct world_result *result);
/** world_exits_to_l1 - does the bare machine's L1 see @event of L2? */
bool world_exits_to_l1(const struct world_cpu *cpu, const struct umbra_event *event);
/** world_follow_exit - L2 has exited to L1: both machines go on with L1. */
void world_follow_exit(struct world_cpu *cpu);

/** world_add_private - private memory for a slot that is being made; false: there is none. */
bool world_add_private(struct world *world, struct world_slot *slot);
void world_free_private(struct world_slot *slot);

static inline bool world_is_tdp(const struct world *world)
{
	return world->config.paging != UMBRA_PAGING_SHADOW;
}

#endif
