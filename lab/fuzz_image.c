/* SPDX-License-Identifier: MIT */
/*
 * fuzz_image.c - a memory image as the memory of random programs.
 *
 * Two private views, as in any lab of an image (image.c), serve one program after
 * the other: to map and copy them anew for each would take most of the time. So
 * the first change of a page by a program keeps what was there, and when it ends
 * the page is put back into both views:
 *
 *	bare view   | file's | changed | file's | ...     kept: page before the change
 *	umbra view  | file's | changed | file's | ...
 *
 * And what the tables map, from one scan: leaves in the order of linear addresses,
 * the same by guest-physical address (which address may a guest store through to
 * change this table?), and the pages that hold tables.
 *
 * Invariants: between two runs both views hold the file's bytes (but for PDPTEs,
 * see sweep.h); every change of the bare view is announced to fuzz_image_keep().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/fuzz_parts.h"
#include "lab/scan.h"
#include "lab/sweep.h"

/* ---- memory ---- */

static const struct lab_memory *range_of(const struct fuzz_image *image, uint64_t gpa,
					 unsigned *index)
{
	for (unsigned i = 0; i < image->count; i++) {
		if (gpa - image->memory[i].base.v >= image->memory[i].size)
			continue;
		*index = i;
		return &image->memory[i];
	}
	return NULL;
}

uint8_t *fuzz_image_bytes(const struct fuzz_image *image, uint64_t gpa, size_t size)
{
	unsigned index;
	const struct lab_memory *m = range_of(image, gpa, &index);

	if (!m || gpa - m->base.v + size > m->size)
		return NULL;
	return (uint8_t *)m->bare + (gpa - m->base.v);
}

static bool make_room(struct fuzz_image *image)
{
	const unsigned room = image->kept_room ? 2 * image->kept_room : 64;
	struct fuzz_kept **kept;

	if (image->kept_count < image->kept_room)
		return true;
	kept = realloc(image->kept, room * sizeof(*kept));
	if (!kept)
		return false;
	for (unsigned i = image->kept_room; i < room; i++)
		kept[i] = NULL;
	image->kept = kept;
	image->kept_room = room;
	return true;
}

void fuzz_image_keep(struct fuzz_image *image, umbra_gpa gpa)
{
	unsigned index;
	const struct lab_memory *m = range_of(image, gpa.v, &index);
	uint64_t page;
	struct fuzz_kept *kept;

	if (!m)
		return;
	page = (gpa.v - m->base.v) >> UMBRA_PAGE_SHIFT;
	if (image->number[index][page])
		return;
	/* Buffers of earlier programs are used again. */
	if (!make_room(image) || (!image->kept[image->kept_count] &&
				  !(image->kept[image->kept_count] = malloc(sizeof(*kept))))) {
		image->failed = true;
		return;
	}
	kept = image->kept[image->kept_count++];
	kept->gpa = gpa.v & ~(UMBRA_PAGE_SIZE - 1ull);
	memcpy(kept->bytes, (uint8_t *)m->bare + (page << UMBRA_PAGE_SHIFT), UMBRA_PAGE_SIZE);
	image->number[index][page] = image->kept_count;
}

/* Pages that only the UMBRA machine changed: there was a finding. */
static void undo_all(struct fuzz_image *image)
{
	for (unsigned i = 0; i < image->count; i++) {
		const struct lab_memory *m = &image->memory[i];

		for (uint64_t at = 0; at < m->size; at += UMBRA_PAGE_SIZE) {
			const uint8_t *bare = (uint8_t *)m->bare + at;
			uint8_t *umbra = (uint8_t *)m->umbra + at;

			if (memcmp(bare, umbra, UMBRA_PAGE_SIZE))
				memcpy(umbra, bare, UMBRA_PAGE_SIZE);
		}
	}
}

void fuzz_image_restore(struct fuzz_image *image, bool all)
{
	for (unsigned i = 0; i < image->kept_count; i++) {
		const struct fuzz_kept *kept = image->kept[i];
		unsigned index;
		const struct lab_memory *m = range_of(image, kept->gpa, &index);
		const uint64_t offset = kept->gpa - m->base.v;

		memcpy((uint8_t *)m->bare + offset, kept->bytes, UMBRA_PAGE_SIZE);
		memcpy((uint8_t *)m->umbra + offset, kept->bytes, UMBRA_PAGE_SIZE);
		image->number[index][offset >> UMBRA_PAGE_SHIFT] = 0;
	}
	image->kept_count = 0;
	if (all)
		undo_all(image);
}

/* ---- what is mapped ---- */

struct survey {
	struct fuzz_image *image;
	unsigned leaf_room, table_room;
	/** Of the last leaf: where its table's addresses begin, and its level. */
	uint64_t group_gva;
	unsigned group_level;
	bool failed;
};

/* Room for one more in an array of @count; doubles it when that is full. */
static bool grow(void *array, unsigned count, unsigned *room, size_t size)
{
	void *more, *old;

	if (count < *room)
		return true;
	memcpy(&old, array, sizeof(old));
	more = realloc(old, (size_t)(*room ? 2 * *room : 1024) * size);
	if (!more)
		return false;
	*room = *room ? 2 * *room : 1024;
	memcpy(array, &more, sizeof(more));
	return true;
}

static const void *at(void *context, umbra_gpa gpa, size_t size)
{
	return fuzz_image_bytes(((struct survey *)context)->image, gpa.v, size);
}

static bool on_note(void *context, const struct scan_note *note)
{
	struct survey *s = context;
	struct fuzz_image *image = s->image;

	if (note->kind != SCAN_TABLE)
		return true;
	if (!grow(&image->table, image->table_count, &s->table_room, sizeof(*image->table))) {
		s->failed = true;
		return false;
	}
	image->table[image->table_count++] = note->gpa.v & ~(UMBRA_PAGE_SIZE - 1ull);
	return true;
}

static bool on_leaf(void *context, const struct scan_leaf *leaf)
{
	struct survey *s = context;
	struct fuzz_image *image = s->image;

	if (!grow(&image->leaf, image->leaf_count, &s->leaf_room, sizeof(*image->leaf))) {
		s->failed = true;
		return false;
	}
	image->leaf[image->leaf_count++] = (struct fuzz_leaf){
		.gva = leaf->gva.v,
		.gpa = leaf->gpa.v,
		.shift = leaf->shift,
		.level = leaf->level,
		.user = leaf->acc & ACC_USER,
		.writable = leaf->acc & ACC_WRITE,
	};
	return true;
}

static bool starts_group(struct survey *s, const struct fuzz_leaf *leaf)
{
	const struct mode_level *l = &s->image->mode.level[leaf->level];
	const uint64_t gva = leaf->gva & ~((((uint64_t)l->index_mask + 1) << l->shift) - 1);
	const bool same = gva == s->group_gva && leaf->level == s->group_level;

	s->group_gva = gva;
	s->group_level = leaf->level;
	return !same;
}

static int by_gpa(const void *a, const void *b)
{
	const struct fuzz_way *x = a, *y = b;

	if (x->gpa != y->gpa)
		return x->gpa < y->gpa ? -1 : 1;
	return x->leaf < y->leaf ? -1 : x->leaf > y->leaf;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool make_indices(struct survey *s)
{
	struct fuzz_image *image = s->image;
	const unsigned count = image->leaf_count;

	image->group = malloc((count + 1) * sizeof(uint32_t));
	image->user_group = malloc((count + 1) * sizeof(uint32_t));
	image->way = malloc((count + 1) * sizeof(*image->way));
	if (!image->group || !image->user_group || !image->way)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const struct fuzz_leaf *leaf = &image->leaf[i];

		if (starts_group(s, leaf)) {
			if (leaf->user)
				image->user_group[image->user_count++] = image->group_count;
			image->group[image->group_count++] = i;
		}
		if (leaf->writable && !leaf->user)
			image->way[image->way_count++] = (struct fuzz_way){leaf->gpa, i};
	}
	image->group[image->group_count] = count;
	qsort(image->way, image->way_count, sizeof(*image->way), by_gpa);
	qsort(image->table, image->table_count, sizeof(*image->table), by_value);
	return true;
}

/* As the CPU will, from the views: the file's may have bits that no CPU loads. */
static void load_pdptes(struct fuzz_image *image)
{
	const uint8_t *from = fuzz_image_bytes(image, image->regs.cr3 & image->mode.root_address,
					       sizeof(image->regs.pdpte));

	if (image->mode.root_registers && from)
		memcpy(image->regs.pdpte, from, sizeof(image->regs.pdpte));
}

static bool survey(struct fuzz_image *image, const struct umbra_cpu *cpu, const char **why)
{
	struct survey s = {.image = image};
	struct scan scan = {
		.regs = &image->regs,
		.cpu = cpu,
		.context = &s,
		.at = at,
		.leaf = on_leaf,
		.note = on_note,
	};
	uint32_t flags;
	const struct format *format = mode_of_regs(&image->regs, cpu, &flags);

	*why = "out of memory";
	if (!format) {
		*why = "the guest does not page: it has no tables to edit";
		return false;
	}
	mode_bind(&image->mode, format, flags, cpu->maxphyaddr);
	load_pdptes(image);
	scan_run(&scan);
	if (s.failed || !make_indices(&s))
		return false;
	if (!image->leaf_count)
		*why = "the guest's tables map nothing: there is nothing to edit";
	return image->leaf_count;
}

/* ---- opening ---- */

struct fuzz_image *fuzz_image_new(const struct image *image, const struct umbra_regs *regs,
				  const struct lab_config *config, char *error, size_t error_size)
{
	const struct umbra_cpu cpu = lab_guest_cpu(config);
	struct fuzz_image *own = calloc(1, sizeof(*own));
	const char *why = "out of memory";
	bool ok = own;

	if (own)
		own->views = lab_image_new(image, regs, error, error_size);
	if (own && !own->views) {
		free(own);
		return NULL;
	}
	if (own) {
		own->regs = *regs;
		own->memory = lab_image_memory(own->views, &own->count);
	}
	for (unsigned i = 0; ok && i < own->count; i++) {
		own->number[i] =
			calloc(own->memory[i].size >> UMBRA_PAGE_SHIFT, sizeof(**own->number));
		ok = own->number[i];
	}
	if (ok && survey(own, &cpu, &why))
		return own;
	snprintf(error, error_size, "%s: %s", image_path(image), why);
	fuzz_image_free(own);
	return NULL;
}

void fuzz_image_free(struct fuzz_image *image)
{
	if (!image)
		return;
	for (unsigned i = 0; i < image->kept_room; i++)
		free(image->kept[i]);
	for (unsigned i = 0; i < image->count; i++)
		free(image->number[i]);
	free(image->kept);
	free(image->leaf);
	free(image->group);
	free(image->user_group);
	free(image->way);
	free(image->table);
	lab_image_free(image->views);
	free(image);
}
