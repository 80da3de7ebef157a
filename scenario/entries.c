/* SPDX-License-Identifier: MIT */
/*
 * entries.c - Umbra's entries, looked at as the hardware would.
 *
 * Nothing here comes from core/: the walk begins at the root that umbra_vcpu_load()
 * gave and goes by the manuals, so that a scenario sees what a CPU sees. Software
 * bits are not looked at.
 */
#include "scenario/parts.h"
#include "umbra/host.h"

#define ADDRESS 0xffffffffff000ull

void world_describe(const struct world *world, uint64_t value, unsigned level,
		    struct world_entry *entry)
{
	const bool ept = world->config.paging == UMBRA_PAGING_EPT;
	const bool mbec = ept && world->mbec;
	const uint64_t span = level > 1 ? (1ull << (12 + 9 * (level - 1))) - 1 : 4095;

	*entry = (struct world_entry){.value = value, .level = (uint8_t)level};
	if (ept) {
		entry->present = value & (mbec ? 0x407 : 7);
		/* Write without read: a misconfiguration, as MMIO entries have. */
		entry->faults = (value & 3) == 2;
		entry->present &= !entry->faults;
		entry->writable = value & 2;
		entry->executable = value & 4;
		entry->user = mbec ? value >> 10 & 1 : true;
		entry->no_users = !mbec;
	} else {
		/* As have reserved address bits. */
		entry->faults = value & 1 && (value & ADDRESS) >> world->config.cpu.maxphyaddr;
		entry->present = value & 1 && !entry->faults;
		entry->writable = value & 2;
		entry->user = value & 4;
		entry->executable = !(value >> 63);
	}
	if (!entry->present) {
		*entry = (struct world_entry){
			.value = value, .level = (uint8_t)level, .faults = entry->faults};
		return;
	}
	entry->leaf = level == 1 || (level < 4 && value & 0x80);
	if (entry->leaf)
		entry->mapped = world_gpa_of(world, value & ADDRESS & ~span, &entry->gpa);
}

/* Levels of the tables that the CPU walks now; 3: PAE, its root has four entries. */
static unsigned levels_of(const struct world_cpu *cpu)
{
	const struct umbra_regs *regs = &cpu->root.regs;

	if (cpu->world->config.paging == UMBRA_PAGING_EPT)
		return (cpu->root.pointer >> 3 & 7) + 1;
	if (world_is_tdp(cpu->world))
		return cpu->world->config.levels;
	if (!(regs->efer & UMBRA_EFER_LMA))
		return 3;
	return regs->cr4 & UMBRA_CR4_LA57 ? 5 : 4;
}

static void identify(const struct world *world, uint64_t table, struct world_step *step)
{
	for (size_t i = world->table_count; i--;) {
		const struct world_table *t = &world->tables[i];

		if (!t->live || t->hpa != (table & ~4095ull))
			continue;
		step->number = i + 1;
		step->gfn.v = t->gfn;
		umbra_describe_role(t->role, &step->role);
		return;
	}
}

unsigned world_path(struct world_cpu *cpu, uint64_t address,
		    struct world_step steps[UMBRA_LEVEL_MAX])
{
	struct world *world = cpu->world;
	struct world_outcome outcome = {0};
	unsigned top, count = 0;
	uint64_t table;

	world_look(cpu);
	if (!world_enter(cpu, &outcome))
		return 0;
	top = levels_of(cpu);
	table = cpu->root.pointer & ADDRESS;
	if (top == 3)
		table |= cpu->root.pointer & 0xfe0;
	for (unsigned at = top; at; at--) {
		const char *bytes =
			umbra_host_page_pointer(world->host, (umbra_hpa){table & ~4095ull});
		struct world_step *step = &steps[count++];

		*step = (struct world_step){.index = address >> (12 + 9 * (at - 1)) & 511};
		if (at == 3 && top == 3)
			step->index &= 3;
		identify(world, table, step);
		world_describe(
			world,
			__atomic_load_n((const uint64_t *)(bytes + (table & 4095)) + step->index,
					__ATOMIC_RELAXED),
			at, &step->entry);
		/* A PDPTE has no rights. */
		if (at == 3 && top == 3 && step->entry.present)
			step->entry.writable = step->entry.user = step->entry.executable = true;
		if (!step->entry.present || step->entry.leaf)
			break;
		table = step->entry.value & ADDRESS;
	}
	return count;
}

bool world_entry(struct world_cpu *cpu, uint64_t address, unsigned level, struct world_entry *entry)
{
	struct world_step steps[UMBRA_LEVEL_MAX];
	unsigned count = world_path(cpu, address, steps);

	if (!count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		*entry = steps[i].entry;
		if (entry->level == level)
			return true;
	}
	return !level;
}
