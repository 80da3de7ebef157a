/* SPDX-License-Identifier: MIT */
/*
 * views.c - private views of an image's ranges, for machines to write to.
 *
 *	file of the image  --private mapping-->  view     range starts at a page of it
 *	file -> copy       --private mapping-->  view     it does not
 *
 * In QEMU's ELF dumps ranges start anywhere (the data follow the notes at once), and
 * no mapping can move bytes within a page: when its first view is asked for, such a
 * range is copied into a file without a name, all but its pages of zeros.
 *
 * A view that is given back is kept for the next caller, with the pages that were
 * written put right: writing a page again costs far less than faulting it in again.
 */
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/pagemap.h"
#include "image/parts.h"

/** struct image_views - those of one range; image->views[index]. */
struct image_views {
	/** The copy of the range, or -1. */
	int copy;
	/** Views that nobody has at the moment. */
	void **free;
	unsigned free_count, made;
};

bool views_new(struct image *image)
{
	image->views = calloc(image->range_count + 1u, sizeof(*image->views));
	if (!image->views)
		return parts_fail(image, 0, "no memory for %u ranges", image->range_count);
	for (unsigned i = 0; i < image->range_count; i++)
		image->views[i].copy = -1;
	return true;
}

void views_free(struct image *image)
{
	for (unsigned i = 0; image->views && i < image->range_count; i++) {
		struct image_views *views = &image->views[i];

		while (views->free_count)
			munmap(views->free[--views->free_count], (size_t)image->ranges[i].size);
		free(views->free);
		if (views->copy >= 0)
			close(views->copy);
	}
	free(image->views);
}

/** Copy the pages that are not zero into the empty file @fd. */
static bool copy_range(int fd, const uint8_t *from, uint64_t size)
{
	static const uint8_t zeros[UMBRA_PAGE_SIZE];
	uint8_t *to;

	if (ftruncate(fd, (off_t)size) < 0)
		return false;
	to = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (to == MAP_FAILED)
		return false;
	for (uint64_t at = 0; at < size; at += UMBRA_PAGE_SIZE) {
		if (memcmp(from + at, zeros, UMBRA_PAGE_SIZE) != 0)
			memcpy(to + at, from + at, UMBRA_PAGE_SIZE);
	}
	munmap(to, (size_t)size);
	return true;
}

/** A descriptor with the bytes of @range at *offset; -1 and errno if there can be none. */
static int file_of(const struct image *image, struct image_views *views,
		   const struct image_range *range, uint64_t *offset)
{
	int fd;

	*offset = range->offset;
	if (image->fd >= 0 && range->offset % (uint64_t)sysconf(_SC_PAGESIZE) == 0)
		return image->fd;
	*offset = 0;
	if (views->copy >= 0)
		return views->copy;
	fd = memfd_create("image", MFD_CLOEXEC);
	if (fd >= 0 && !copy_range(fd, image->bytes + range->offset, range->size)) {
		close(fd);
		fd = -1;
	}
	views->copy = fd;
	return fd;
}

static void *make(const struct image *image, struct image_views *views,
		  const struct image_range *range)
{
	void **more = realloc(views->free, (views->made + 1) * sizeof(*more));
	uint64_t offset;
	void *view;
	int fd;

	if (!more)
		return MAP_FAILED;
	/* Room to give it back. */
	views->free = more;
	fd = file_of(image, views, range, &offset);
	if (fd < 0)
		return MAP_FAILED;
	view = mmap(NULL, (size_t)range->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
		    fd, (off_t)offset);
	if (view != MAP_FAILED)
		views->made++;
	return view;
}

/** Pages of @view that may have been written get the image's bytes again. */
static void put_right(uint8_t *view, const uint8_t *bytes, uint64_t size)
{
	const uint64_t pages = size / UMBRA_PAGE_SIZE;
	const int map = pagemap_open();

	for (uint64_t page = 0; page < pages; page += PAGEMAP_BATCH) {
		unsigned n =
			pages - page < PAGEMAP_BATCH ? (unsigned)(pages - page) : PAGEMAP_BATCH;
		bool own[PAGEMAP_BATCH] = {false};

		pagemap_own(map, view + page * UMBRA_PAGE_SIZE, n, own);
		for (unsigned i = 0; i < n; i++) {
			const uint64_t at = (page + i) * UMBRA_PAGE_SIZE;

			if (own[i])
				memcpy(view + at, bytes + at, UMBRA_PAGE_SIZE);
		}
	}
	if (map >= 0)
		close(map);
}

void *image_map(const struct image *image, unsigned index, char *error, size_t error_size)
{
	const struct image_range *range = image_range(image, index);
	/* What is kept changes nothing that a caller can see. */
	struct image *own = (struct image *)image;
	struct image_views *views;
	void *view;
	bool used;

	if (!range) {
		parts_say(error, error_size, "%s: range %u, expected a number below %u",
			  image->path, index, image->range_count);
		return NULL;
	}
	pthread_mutex_lock(&own->viewing);
	views = &own->views[index];
	used = views->free_count;
	view = used ? views->free[--views->free_count] : make(image, views, range);
	pthread_mutex_unlock(&own->viewing);
	if (view == MAP_FAILED) {
		parts_say(error, error_size, "%s: offset 0x%llx: cannot map %llu bytes: %s",
			  image->path, (unsigned long long)range->offset,
			  (unsigned long long)range->size, strerror(errno));
		return NULL;
	}
	if (used)
		put_right(view, image->bytes + range->offset, range->size);
	return view;
}

void image_unmap(const struct image *image, unsigned index, void *view)
{
	struct image *own = (struct image *)image;
	struct image_views *views;

	if (!image_range(image, index) || !view)
		return;
	pthread_mutex_lock(&own->viewing);
	views = &own->views[index];
	views->free[views->free_count++] = view;
	pthread_mutex_unlock(&own->viewing);
}
