/* SPDX-License-Identifier: MIT */
/*
 * image.h - memory images of guests: where their bytes are, and their CPUs.
 *
 * An image is a file that somebody else wrote (QEMU's dump-guest-memory, a raw
 * copy of RAM). It is mapped copy-on-write and lazily: opening a 100 GiB image
 * reads its headers only, and nothing ever changes the file. Parts of the
 * physical address space that the file does not hold are holes: "absent in
 * image", which is not the same as "not present" in a page table.
 *
 * An image does not change after it is opened: threads may share it. Only
 * another process can spoil it, by truncating the file (SIGBUS).
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "umbra/types.h"

struct image;

enum image_format {
	IMAGE_AUTO, /* ELF when it begins with \x7fELF, else raw */
	IMAGE_ELF,
	IMAGE_RAW,
};

/** One run of guest-physical memory that the file holds: [base, base + size). */
struct image_range {
	umbra_gpa base;
	uint64_t size;
	/** Offset of the first byte in the file. */
	uint64_t offset;
};

/** One CPU as the image's notes tell it. */
struct image_cpu {
	/**
	 * What the note lacks: efer is inferred (see efer_known), pdpte in PAE mode is
	 * what memory has at CR3 (zeros in a hole), pkru and pkrs are 0: every key
	 * allowed.
	 */
	struct umbra_regs regs;
	uint64_t rip, rflags;
	/** CS.L and CS.DPL. */
	bool long_code;
	uint8_t cpl;
	/** False: no EFER in the note; regs.efer was inferred (ELF machine, CS.L). */
	bool efer_known;
};

/**
 * image_open - open the image at @path.
 * @error receives one clear sentence that names the file, the offset and what
 * was expected when NULL is returned. No input makes it crash or read outside
 * the file: segments that run past the end, overlap, wrap around 2^64 or lie
 * above 2^52 are refused.
 */
struct image *image_open(const char *path, enum image_format format, char *error,
			 size_t error_size);
/** image_parse - the same from @size bytes in memory (fuzzing); borrows them. */
struct image *image_parse(const void *bytes, size_t size, enum image_format format, char *error,
			  size_t error_size);
void image_close(struct image *image);

const char *image_path(const struct image *image);
/**
 * Ranges, sorted by base, not overlapping; only page-aligned, whole pages: the
 * rest of a page of which the file holds a part is a hole.
 */
unsigned image_range_count(const struct image *image);
const struct image_range *image_range(const struct image *image, unsigned index);
unsigned image_cpu_count(const struct image *image);
const struct image_cpu *image_cpu(const struct image *image, unsigned index);

/**
 * image_map - a fresh private copy-on-write view of range @index, page aligned.
 * Callers at the same time get different views, so that two machines can run on one
 * image. NULL and @error on failure. image_unmap gives it back, before image_close.
 *
 * Costs nothing where range.offset is a multiple of the page size. Where it is not, as
 * in QEMU's ELF dumps, the first call copies all pages but those of zeros. A view that
 * somebody else had before costs a copy of the pages that were written. To look without
 * writing use image_at, which never copies.
 */
void *image_map(const struct image *image, unsigned index, char *error, size_t error_size);
void image_unmap(const struct image *image, unsigned index, void *view);

/**
 * image_at - read-only pointer to @len bytes at @gpa in one range, NULL for a hole.
 * Not aligned, whatever @gpa is: the file decides. Use memcpy to load words.
 */
const void *image_at(const struct image *image, umbra_gpa gpa, size_t len);

#endif
