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
#include "hv/vcpu.h"

#define DEVICE_ID 256u
#define DEVICES_MAX 64u
#define BLOCK (2 * MEMORY_MIB)
#define PAGE 4096ull

static enum umbra_status set(struct vcpu *vcpu, uint32_t id, uint64_t start, uint64_t size)
{
	const struct umbra_slot slot = {
		.id = id,
		.base = {start},
		.size = size,
		.hva = {start},
	};

	return umbra_slot_set(vcpu->vm, &slot);
}

void devices_add_ram(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < vcpu->memory->region_count; i++) {
		uint64_t start = (vcpu->memory->region[i].start + PAGE - 1) & ~(PAGE - 1);
		uint64_t size = memory_run(vcpu->memory, start) & ~(PAGE - 1);
		enum umbra_status status = size ? set(vcpu, i, start, size) : UMBRA_OK;

		if (status == UMBRA_EUNMAPPABLE)
			continue; /* above 4 GiB on a PAE host: not the guest's */
		if (status)
			report_stop(vcpu, "cannot give the guest its memory at %llx: %s",
				    (unsigned long long)start, umbra_strstatus(status));
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
	uint32_t id = DEVICE_ID + vcpu->devices % DEVICES_MAX;

	if (!cut(gpa, memory->own_start, memory->own_end, &start, &end))
		return false;
	for (unsigned i = 0; i < memory->region_count; i++) {
		uint64_t from = (memory->region[i].start + PAGE - 1) & ~(PAGE - 1);
		uint64_t size = memory_run(memory, from) & ~(PAGE - 1);

		if (size)
			cut(gpa, from, from + size, &start, &end);
	}
	if (vcpu->devices >= DEVICES_MAX)
		set(vcpu, id, 0, 0);
	if (set(vcpu, id, start, end - start))
		return false;
	vcpu->devices++;
	return true;
}
