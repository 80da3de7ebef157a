/* SPDX-License-Identifier: MIT */
/*
 * devices.c - the guest's physical address space as slots of the library.
 *
 *	ids 0 ..             RAM, a slot for each region of the firmware's map
 *	ids DEVICE_ID ..     devices, ROMs, nothing: 2 MiB at most, made when first touched
 *
 * All slots are at the machine's own addresses. Where neither RAM nor the hypervisor is,
 * the guest sees what the bare machine would show it. Slots of devices that were made
 * long ago are given up when there are too many.
 */
#include "hv/trace.h"

#define DEVICE_ID 256u
#define DEVICES_MAX 64u
#define BLOCK (2 * MEMORY_MIB)
#define PAGE 4096ull

static enum umbra_status set(struct vcpu *vcpu, const struct umbra_slot *wanted)
{
	struct umbra_slot slot = *wanted;
	enum umbra_status status;

	slot.hva.v = slot.base.v;
	status = umbra_slot_set(vcpu->vm, &slot);
	if (!status)
		trace_slot(vcpu, &slot);
	return status;
}

/* Whole pages of RAM from region @i of the firmware's map on; returns their size. */
static uint64_t ram_of(const struct memory *memory, unsigned i, uint64_t *start)
{
	*start = (memory->region[i].start + PAGE - 1) & ~(PAGE - 1);
	return memory_run(memory, *start) & ~(PAGE - 1);
}

void devices_add_ram(struct vcpu *vcpu, uint32_t flags)
{
	for (unsigned i = 0; i < vcpu->memory->region_count; i++) {
		uint64_t start, size = ram_of(vcpu->memory, i, &start);
		const struct umbra_slot slot = {
			.id = i, .flags = flags, .base = {start}, .size = size};
		enum umbra_status status = size ? set(vcpu, &slot) : UMBRA_OK;

		if (status == UMBRA_EUNMAPPABLE)
			continue; /* above 4 GiB on a PAE host: not the guest's */
		if (status)
			report_stop(vcpu, "cannot give the guest its memory at %llx: %s",
				    (unsigned long long)start, umbra_strstatus(status));
	}
}

void devices_take_log(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < vcpu->memory->region_count; i++) {
		uint64_t start, pages = ram_of(vcpu->memory, i, &start) / PAGE;
		const size_t bytes = (pages + 63) / 64 * sizeof(uint64_t);
		uint64_t *marks = bytes ? umbra_host_alloc(&vcpu->port, bytes) : NULL;

		if (!marks)
			continue;
		umbra_vm_get_dirty_log(vcpu->vm, i, marks);
		umbra_host_free(&vcpu->port, marks, bytes);
	}
}

/* Move the ends of [*start, *end), which has @gpa in it, to where @from .. @to is not. */
static bool cut(uint64_t gpa, uint64_t from, uint64_t to, uint64_t *start, uint64_t *end)
{
	if (gpa >= from && gpa < to)
		return false;
	if (to <= gpa && to > *start)
		*start = to;
	if (from > gpa && from < *end)
		*end = from;
	return true;
}

bool devices_add(struct vcpu *vcpu, uint64_t gpa)
{
	const struct memory *memory = vcpu->memory;
	uint64_t start = gpa & ~(BLOCK - 1), end = start + BLOCK;
	const uint32_t id = DEVICE_ID + vcpu->devices % DEVICES_MAX;

	if (!cut(gpa, memory->own_start, memory->own_end, &start, &end))
		return false;
	for (unsigned i = 0; i < memory->region_count; i++) {
		uint64_t from, size = ram_of(memory, i, &from);

		if (size)
			cut(gpa, from, from + size, &start, &end);
	}
	if (vcpu->devices >= DEVICES_MAX)
		set(vcpu, &(struct umbra_slot){.id = id});
	if (set(vcpu, &(struct umbra_slot){.id = id, .base = {start}, .size = end - start}))
		return false;
	vcpu->devices++;
	return true;
}
