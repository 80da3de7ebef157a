/* SPDX-License-Identifier: MIT */
/*
 * parts.h - what image.c and its readers share; nobody outside image/ sees it.
 *
 * A reader (elfcore.c, raw in image.c) gets the bytes of the file, which are
 * untrusted, and fills in ranges and CPUs. It reports trouble with parts_fail
 * and leaves what it allocated in the struct: image.c frees all of it.
 */
#ifndef IMAGE_PARTS_H
#define IMAGE_PARTS_H

#include <pthread.h>

#include "image/image.h"

/** Physical addresses have at most 52 bits (SDM 3A 4.1.4, APM 2 5.1). */
#define PARTS_GPA_END (1ull << 52)

struct image {
	char *path;
	/** The whole file, read-only. */
	const uint8_t *bytes;
	uint64_t size;
	/** The file, for fresh views; -1 when the bytes are the caller's. */
	int fd;
	struct image_range *ranges;
	unsigned range_count;
	/** Of each range (views.c), under @viewing. */
	struct image_views *views;
	pthread_mutex_t viewing;
	struct image_cpu *cpus;
	unsigned cpu_count;
	/** Where errors of the opening go. */
	char *error;
	size_t error_size;
};

/**
 * parts_fail - write "PATH: offset 0xOFFSET: SENTENCE" for the opener; false.
 */
bool parts_fail(struct image *image, uint64_t offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** parts_say - write a message to @error, which may be NULL. */
void parts_say(char *error, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** views_new, views_free - of an image whose ranges are known; false after parts_fail. */
bool views_new(struct image *image);
void views_free(struct image *image);

/** parts_inside - whether [offset, offset + size) lies in the file. */
static inline bool parts_inside(const struct image *image, uint64_t offset, uint64_t size)
{
	return offset <= image->size && size <= image->size - offset;
}

/**
 * parts_add_range - append [base, base + size), trimmed to the whole pages in
 * it. The caller has checked that neither sum wraps, and has room for it.
 */
void parts_add_range(struct image *image, struct image_range range);

/** elfcore_read - fill in @image from an ELF core file; false after parts_fail. */
bool elfcore_read(struct image *image);

/* Little-endian numbers at any address. */
static inline uint16_t parts_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t parts_u32(const uint8_t *p)
{
	return parts_u16(p) | (uint32_t)parts_u16(p + 2) << 16;
}
static inline uint64_t parts_u64(const uint8_t *p)
{
	return parts_u32(p) | (uint64_t)parts_u32(p + 4) << 32;
}

#endif
