/* SPDX-License-Identifier: MIT */
/*
 * image.c - a memory image as the memory of a lab.
 *
 * Each range of the image is mapped twice, privately: one view for each
 * machine. The kernel copies a page when one of them writes to it; the file is
 * never written. All ranges are RAM, those of ROMs and video memory too: the
 * image does not tell.
 *
 * Invariants: both views hold the same bytes at the start, which are the file's,
 * but for bit 5 of the PDPTEs of a PAE guest (see sweep.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/sweep.h"

#define PDPTE_COUNT 4
#define PDPTE_BASE 0xffffffe0ull
#define PDPTE_EMULATOR_BITS (1ull << 5)

struct lab_image {
	const struct image *image;
	struct lab_memory memory[LAB_MEMORY_MAX];
	unsigned count;
};

static bool is_pae(const struct umbra_regs *regs)
{
	return regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE &&
	       !(regs->efer & UMBRA_EFER_LMA);
}

static void clean_pdptes(struct lab_image *li, const struct umbra_regs *regs)
{
	const uint64_t at = regs->cr3 & PDPTE_BASE;

	for (unsigned i = 0; i < li->count; i++) {
		struct lab_memory *m = &li->memory[i];

		if (at - m->base.v >= m->size)
			continue;
		for (unsigned n = 0; n < PDPTE_COUNT; n++) {
			uint64_t offset = at - m->base.v + n * 8, entry;

			memcpy(&entry, (uint8_t *)m->bare + offset, 8);
			entry &= ~PDPTE_EMULATOR_BITS;
			memcpy((uint8_t *)m->bare + offset, &entry, 8);
			memcpy((uint8_t *)m->umbra + offset, &entry, 8);
		}
	}
}

struct lab_image *lab_image_new(const struct image *image, const struct umbra_regs *regs,
				char *error, size_t error_size)
{
	struct lab_image *li = calloc(1, sizeof(*li));
	unsigned count = image_range_count(image);

	if (!li || count > LAB_MEMORY_MAX) {
		snprintf(error, error_size, li ? "%s: more than %u ranges" : "%s: out of memory",
			 image_path(image), LAB_MEMORY_MAX);
		free(li);
		return NULL;
	}
	li->image = image;
	for (unsigned i = 0; i < count; i++) {
		const struct image_range *range = image_range(image, i);
		struct lab_memory *m = &li->memory[li->count++];

		*m = (struct lab_memory){.base = range->base, .size = range->size};
		m->bare = image_map(image, i, error, error_size);
		if (m->bare)
			m->umbra = image_map(image, i, error, error_size);
		if (!m->umbra) {
			lab_image_free(li);
			return NULL;
		}
	}
	if (is_pae(regs))
		clean_pdptes(li, regs);
	return li;
}

void lab_image_free(struct lab_image *li)
{
	if (!li)
		return;
	for (unsigned i = 0; i < li->count; i++) {
		if (li->memory[i].bare)
			image_unmap(li->image, i, li->memory[i].bare);
		if (li->memory[i].umbra)
			image_unmap(li->image, i, li->memory[i].umbra);
	}
	free(li);
}

const struct lab_memory *lab_image_memory(const struct lab_image *li, unsigned *count)
{
	*count = li->count;
	return li->memory;
}
