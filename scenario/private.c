/* SPDX-License-Identifier: MIT */
/*
 * private.c - pages with two memories, of which the guest sees one.
 *
 * Umbra's host gets a second region for such a slot. The bare machine has one memory at
 * gpa == hpa: when a page's attribute changes, its bytes there are exchanged with the
 * hidden ones.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "scenario/parts.h"

static void *map(uint64_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return bytes == MAP_FAILED ? NULL : bytes;
}

bool world_add_private(struct world *world, struct world_slot *slot)
{
	const uint64_t gig = 1ull << 30;
	const uint64_t first = (world->next_place + gig - 1) & ~(gig - 1);
	struct posix_region region = {
		.base = {first + slot->base.v % gig},
		.size = slot->size,
		.level = world->config.page_level,
	};

	if (region.base.v + slot->size > POSIX_HIGH_BASE)
		return false;
	slot->private_place = region.base.v;
	slot->private_bytes = region.bytes = map(slot->size);
	slot->hidden = map(slot->size);
	slot->is_private = calloc(slot->size / UMBRA_PAGE_SIZE, sizeof(bool));
	world->next_place = region.base.v + slot->size;
	return region.bytes && slot->hidden && slot->is_private &&
	       posix_region_add(world->host, &region, &slot->private_hva) &&
	       model_mem_add(world->umbra_mem, region.base, slot->size, region.bytes);
}

void world_free_private(struct world_slot *slot)
{
	if (slot->private_bytes)
		munmap(slot->private_bytes, slot->size);
	if (slot->hidden)
		munmap(slot->hidden, slot->size);
	free(slot->is_private);
}

/* The bare machine's page at @gpa. */
static void turn(struct world *world, umbra_gpa gpa, bool is_private)
{
	struct world_slot *slot = world_slot_at(world, gpa);
	uint8_t *bytes = world_bare_at(world, gpa), kept[UMBRA_PAGE_SIZE];
	uint64_t offset;

	if (!slot || !slot->is_private || !bytes)
		return;
	offset = gpa.v - slot->base.v;
	if (slot->is_private[offset / UMBRA_PAGE_SIZE] == is_private)
		return;
	slot->is_private[offset / UMBRA_PAGE_SIZE] = is_private;
	memcpy(kept, bytes, sizeof(kept));
	memcpy(bytes, slot->hidden + offset, sizeof(kept));
	memcpy(slot->hidden + offset, kept, sizeof(kept));
}

enum umbra_status world_set_attributes(struct world *world, umbra_gpa gpa, uint64_t size,
				       bool is_private)
{
	const uint64_t attributes = is_private ? UMBRA_ATTRIBUTE_PRIVATE : 0;
	enum umbra_status status = umbra_vm_set_attributes(world->vm, gpa, size, attributes);

	for (unsigned i = 0; i < world->cpu_count; i++)
		world->cpu[i].stale = true;
	for (unsigned i = 0; status == UMBRA_OK && i < world->slot_count; i++) {
		const struct world_slot *slot = &world->slot[i];

		for (uint64_t at = 0; slot->live && at < slot->size; at += UMBRA_PAGE_SIZE)
			if (slot->base.v + at - gpa.v < size)
				turn(world, (umbra_gpa){slot->base.v + at}, is_private);
	}
	return status;
}
