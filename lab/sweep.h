/* SPDX-License-Identifier: MIT */
/*
 * sweep.h - many accesses to a guest's pages, and the lab for an image.
 */
#ifndef LAB_SWEEP_H
#define LAB_SWEEP_H

#include "image/image.h"
#include "lab/builtin.h"
#include "lab/lab.h"

/** struct sweep - how much, and who wants to know how far it is. */
struct sweep {
	uint64_t seed;
	/** Built-in guest: accesses; image: pages. 0: all. */
	uint64_t sample;
	void *context;
	/** May be NULL. */
	void (*progress)(void *context, uint64_t done, uint64_t total);
};

/**
 * sweep_builtin - under each variation of the registers: each page of the
 * built-in guest with each kind of access, or a random sample; then compares
 * all memory and audits. Leaves the guest in the last variation.
 */
void sweep_builtin(struct lab *lab, const struct builtin *builtin, const struct sweep *sweep);

/** sweep_touch - one access to @page of a kind that the registers allow, at random. @bare:
 * as lab_access. */
bool sweep_touch(struct lab *lab, const struct builtin_page *page, uint64_t *random,
		 struct lab_side *bare);

/* ---- images ---- */

/** struct lab_image - two private views of an image's ranges. */
struct lab_image;

/**
 * lab_image_new - map all ranges of @image twice. NULL and @error on failure.
 * @regs: the guest's. In PAE mode bit 5 of the four PDPTEs in memory is
 * cleared (in the views): QEMU sets it as if it were an Accessed bit, but it is
 * reserved there, and no CPU would load such a table.
 */
struct lab_image *lab_image_new(const struct image *image, const struct umbra_regs *regs,
				char *error, size_t error_size);
void lab_image_free(struct lab_image *image);
const struct lab_memory *lab_image_memory(const struct lab_image *image, unsigned *count);

/**
 * sweep_image - each mapped 4K page (of large pages: each 4K piece) is read,
 * written and fetched as user and supervisor; then compares all memory and
 * audits. The lab was made with the image's memory and its registers are set.
 * Returns the number of pages, UINT64_MAX if memory was short.
 */
uint64_t sweep_image(struct lab *lab, const struct sweep *sweep);

#endif
