/* SPDX-License-Identifier: MIT */
/*
 * image.c - opens memory images and hands out their bytes.
 *
 * The file is mapped once, read-only, and read where somebody looks. Ranges are
 * sorted, disjoint, whole pages, and lie inside the file: every function below
 * relies on it, image_settle establishes it.
 *
 *   file    | headers, notes |    range 0    |     range 1     |
 *                              offset^             offset^
 *   gpa     0 ......[ range 0 )......hole......[ range 1 )......
 *
 * Mappings share the fate of the file: if another process truncates it while it
 * is open, reading beyond its new end raises SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/parts.h"

/** Files that people take for memory images, by how they begin. */
static const struct image_magic {
	const char *bytes;
	uint8_t size;
	const char *what;
} image_magics[] = {
	{"KDUMP   ", 8,
	 "a compressed kdump file; write an ELF one (dump-guest-memory without -z, "
	 "makedumpfile -E)"},
	{"DISKDUMP", 8, "a diskdump file; write an ELF one (makedumpfile -E)"},
	{"PAGEDU", 6, "a Windows crash dump; write an ELF one (dump-guest-memory without -w)"},
	{"QEVM", 4, "a saved QEMU machine; load it and use dump-guest-memory"},
	{"EMiL", 4, "a LiME dump; write it with format=raw or format=padded"},
	{"\x1f\x8b", 2, "compressed by gzip; decompress it first"},
	{"\x28\xb5\x2f\xfd", 4, "compressed by zstd; decompress it first"},
	{"\xfd\x37zXZ", 5, "compressed by xz; decompress it first"},
};

/* ---- errors ---- */

static void image_vfail(struct image *image, uint64_t offset, const char *format, va_list args)
{
	int used;

	if (!image->error || image->error_size == 0)
		return;
	used = snprintf(image->error, image->error_size, "%s: offset 0x%llx: ", image->path,
			(unsigned long long)offset);
	if (used >= 0 && (size_t)used < image->error_size)
		vsnprintf(image->error + used, image->error_size - (size_t)used, format, args);
}

bool parts_fail(struct image *image, uint64_t offset, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	image_vfail(image, offset, format, args);
	va_end(args);
	return false;
}

void parts_say(char *error, size_t size, const char *format, ...)
{
	va_list args;

	if (!error || size == 0)
		return;
	va_start(args, format);
	vsnprintf(error, size, format, args);
	va_end(args);
}

/* ---- ranges ---- */

void parts_add_range(struct image *image, struct image_range range)
{
	uint64_t mask = UMBRA_PAGE_SIZE - 1;
	uint64_t first = (range.base.v + mask) & ~mask;
	uint64_t end = (range.base.v + range.size) & ~mask;

	if (first >= end)
		return;
	image->ranges[image->range_count++] = (struct image_range){
		.base = {first},
		.size = end - first,
		.offset = range.offset + (first - range.base.v),
	};
}

static int image_compare(const void *a, const void *b)
{
	const struct image_range *x = a, *y = b;

	return x->base.v < y->base.v ? -1 : x->base.v > y->base.v;
}

/** The last range that starts at or below @gpa and holds it, or NULL. */
static const struct image_range *image_find(const struct image *image, umbra_gpa gpa)
{
	unsigned low = 0, high = image->range_count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (image->ranges[middle].base.v <= gpa.v)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || gpa.v - image->ranges[low - 1].base.v >= image->ranges[low - 1].size)
		return NULL;
	return &image->ranges[low - 1];
}

/* ---- opening ---- */

static bool image_read_raw(struct image *image, bool guessed)
{
	if (image->size % UMBRA_PAGE_SIZE != 0)
		return parts_fail(image, image->size & ~(uint64_t)(UMBRA_PAGE_SIZE - 1),
				  "%sraw memory of %llu bytes ends within a page, "
				  "expected a multiple of 4096",
				  guessed ? "not an ELF file, and " : "",
				  (unsigned long long)image->size);
	if (image->size > PARTS_GPA_END)
		return parts_fail(image, PARTS_GPA_END,
				  "raw memory goes on, expected 2^52 bytes "
				  "at most");
	image->ranges = calloc(1, sizeof(*image->ranges));
	if (!image->ranges)
		return parts_fail(image, 0, "no memory for one range");
	parts_add_range(image, (struct image_range){.size = image->size});
	return true;
}

static bool image_read(struct image *image, enum image_format format)
{
	if (image->size == 0)
		return parts_fail(image, 0,
				  "the file is empty, expected an ELF core or raw memory");
	if (format == IMAGE_ELF)
		return elfcore_read(image);
	if (format == IMAGE_RAW)
		return image_read_raw(image, false);
	if (image->size >= 4 && memcmp(image->bytes, "\177ELF", 4) == 0)
		return elfcore_read(image);
	for (size_t i = 0; i < sizeof(image_magics) / sizeof(image_magics[0]); i++) {
		const struct image_magic *magic = &image_magics[i];

		if (image->size >= magic->size &&
		    memcmp(image->bytes, magic->bytes, magic->size) == 0)
			return parts_fail(image, 0,
					  "expected an ELF core or raw memory, but this is %s",
					  magic->what);
	}
	return image_read_raw(image, true);
}

/**
 * What a CPU in PAE mode has loaded from memory when CR3 was written; the note
 * does not tell, so it is what memory has now. Four zeros if CR3 is in a hole.
 */
static void image_load_pdptes(struct image *image, struct umbra_regs *regs)
{
	const uint8_t *table;

	if (!(regs->cr0 & UMBRA_CR0_PG) || !(regs->cr4 & UMBRA_CR4_PAE) ||
	    (regs->efer & UMBRA_EFER_LMA))
		return;
	/* SDM 3A table 4-7: bits 31:5 of CR3. */
	table = image_at(image, (umbra_gpa){regs->cr3 & 0xffffffe0}, sizeof(regs->pdpte));
	for (unsigned i = 0; table && i < 4; i++)
		regs->pdpte[i] = parts_u64(table + i * 8);
}

static void image_settle(struct image *image)
{
	if (image->range_count > 1)
		qsort(image->ranges, image->range_count, sizeof(*image->ranges), image_compare);
	for (unsigned i = 0; i < image->cpu_count; i++)
		image_load_pdptes(image, &image->cpus[i].regs);
}

static struct image *image_new(const char *path, char *error, size_t error_size)
{
	struct image *image = calloc(1, sizeof(*image));

	if (image)
		image->path = strdup(path);
	if (!image || !image->path) {
		parts_say(error, error_size, "%s: no memory to open it", path);
		free(image);
		return NULL;
	}
	image->fd = -1;
	pthread_mutex_init(&image->viewing, NULL);
	image->error = error;
	image->error_size = error_size;
	return image;
}

/** Read headers; the image, or NULL after closing it. */
static struct image *image_finish(struct image *image, enum image_format format)
{
	if (!image_read(image, format) || !views_new(image)) {
		image_close(image);
		return NULL;
	}
	image_settle(image);
	image->error = NULL;
	image->error_size = 0;
	return image;
}

/** Map the whole file, which must be a regular one. */
static bool image_map_file(struct image *image)
{
	struct stat status;
	void *bytes;

	/* O_NONBLOCK: a FIFO is refused below instead of waited for. */
	image->fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (image->fd < 0 || fstat(image->fd, &status) < 0)
		return parts_fail(image, 0, "cannot open: %s, expected a readable file",
				  strerror(errno));
	if (!S_ISREG(status.st_mode))
		return parts_fail(image, 0, "%s, expected a regular file",
				  S_ISDIR(status.st_mode) ? "a directory" : "a special file");
	image->size = (uint64_t)status.st_size;
	if (image->size == 0)
		return true;
	if (image->size > SIZE_MAX)
		return parts_fail(image, 0, "%llu bytes do not fit into the address space",
				  (unsigned long long)image->size);
	bytes = mmap(NULL, (size_t)image->size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, image->fd,
		     0);
	if (bytes == MAP_FAILED)
		return parts_fail(image, 0, "cannot map %llu bytes: %s",
				  (unsigned long long)image->size, strerror(errno));
	image->bytes = bytes;
	return true;
}

struct image *image_open(const char *path, enum image_format format, char *error, size_t error_size)
{
	struct image *image = image_new(path, error, error_size);

	if (!image)
		return NULL;
	if (!image_map_file(image)) {
		image_close(image);
		return NULL;
	}
	return image_finish(image, format);
}

struct image *image_parse(const void *bytes, size_t size, enum image_format format, char *error,
			  size_t error_size)
{
	struct image *image = image_new("(memory)", error, error_size);

	if (!image)
		return NULL;
	image->bytes = bytes;
	image->size = size;
	return image_finish(image, format);
}

void image_close(struct image *image)
{
	if (!image)
		return;
	if (image->fd >= 0) {
		if (image->bytes)
			munmap((void *)image->bytes, (size_t)image->size);
		close(image->fd);
	}
	views_free(image);
	pthread_mutex_destroy(&image->viewing);
	free(image->ranges);
	free(image->cpus);
	free(image->path);
	free(image);
}

/* ---- looking ---- */

const char *image_path(const struct image *image)
{
	return image->path;
}

unsigned image_range_count(const struct image *image)
{
	return image->range_count;
}

const struct image_range *image_range(const struct image *image, unsigned index)
{
	return index < image->range_count ? &image->ranges[index] : NULL;
}

unsigned image_cpu_count(const struct image *image)
{
	return image->cpu_count;
}

const struct image_cpu *image_cpu(const struct image *image, unsigned index)
{
	return index < image->cpu_count ? &image->cpus[index] : NULL;
}

const void *image_at(const struct image *image, umbra_gpa gpa, size_t len)
{
	const struct image_range *range = image_find(image, gpa);
	uint64_t skip;

	if (!range)
		return NULL;
	skip = gpa.v - range->base.v;
	if (len > range->size - skip)
		return NULL;
	return image->bytes + range->offset + skip;
}
