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
 */
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/parts.h"
#include "image/viewpool.h"

/** struct image_views - those of one range; image->views[index]. */
struct image_views {
	bool open;
	/** Pool of the copy, which is closed with it; else of the image's file. */
	bool copied;
	struct viewpool pool;
};

bool views_new(struct image *image)
{
	image->views = calloc(image->range_count + 1u, sizeof(*image->views));
	return image->views || parts_fail(image, 0, "no memory for %u ranges", image->range_count);
}

void views_free(struct image *image)
{
	for (unsigned i = 0; image->views && i < image->range_count; i++) {
		struct image_views *views = &image->views[i];

		if (views->open)
			viewpool_close(&views->pool);
		if (views->copied)
			close(views->pool.fd);
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

/** The pool of range @index, opened if need be; NULL and errno if it cannot. */
static struct viewpool *pool_of(struct image *image, unsigned index)
{
	const struct image_range *range = &image->ranges[index];
	const uint8_t *bytes = image->bytes + range->offset;
	struct image_views *views = &image->views[index];
	int fd = image->fd;

	if (views->open)
		return &views->pool;
	if (fd < 0 || range->offset % (uint64_t)sysconf(_SC_PAGESIZE) != 0) {
		fd = memfd_create("image", MFD_CLOEXEC);
		if (fd >= 0 && !copy_range(fd, bytes, range->size)) {
			close(fd);
			fd = -1;
		}
		if (fd < 0)
			return NULL;
		views->copied = true;
	}
	viewpool_open(&views->pool, fd, views->copied ? 0 : range->offset, range->size, bytes);
	views->open = true;
	return &views->pool;
}

void *image_map(const struct image *image, unsigned index, char *error, size_t error_size)
{
	const struct image_range *range = image_range(image, index);
	/* What is kept changes nothing that a caller can see. */
	struct image *own = (struct image *)image;
	struct viewpool *pool;
	void *view = NULL;

	if (!range) {
		parts_say(error, error_size, "%s: range %u, expected a number below %u",
			  image->path, index, image->range_count);
		return NULL;
	}
	pthread_mutex_lock(&own->viewing);
	pool = pool_of(own, index);
	pthread_mutex_unlock(&own->viewing);
	if (pool)
		view = viewpool_get(pool);
	if (!view)
		parts_say(error, error_size, "%s: offset 0x%llx: cannot map %llu bytes: %s",
			  image->path, (unsigned long long)range->offset,
			  (unsigned long long)range->size, strerror(errno));
	return view;
}

void image_unmap(const struct image *image, unsigned index, void *view)
{
	struct image *own = (struct image *)image;

	if (image_range(image, index) && view)
		viewpool_put(&own->views[index].pool, view);
}
