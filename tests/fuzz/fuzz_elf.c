/* SPDX-License-Identifier: MIT */
/*
 * fuzz_elf.c - libFuzzer target: no bytes make image_parse crash or lie.
 *
 * The input is the head of a file; the same file longer by some zeros follows,
 * so that small inputs can have segments that lie inside the file. The mutator
 * begins with good headers now and then, which no corpus needs to store.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/image.h"
#include "tests/image/build.h"

#define TAIL 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_ranges(const struct image *image, const uint8_t *data, size_t size)
{
	uint64_t low = 0;

	require(image_range_count(image) > 0);
	for (unsigned i = 0; i < image_range_count(image); i++) {
		const struct image_range *range = image_range(image, i);
		uint64_t base = range->base.v, end = base + range->size;
		const uint8_t *bytes = image_at(image, range->base, (size_t)range->size);
		void *view;

		require((base | range->size) % 4096 == 0);
		require(base >= low && end > base && end <= 1ull << 52);
		require(range->offset <= size && range->size <= size - range->offset);
		require(bytes == data + range->offset);
		require(!image_at(image, range->base, (size_t)range->size + 1));
		/* Mapping is slow: the first one will do. */
		view = i == 0 ? image_map(image, i, NULL, 0) : NULL;
		require(i != 0 || (view && memcmp(view, bytes, (size_t)range->size) == 0));
		image_unmap(image, i, view);
		low = end;
	}
}

static void check(const uint8_t *data, size_t size, enum image_format format)
{
	char error[256] = "";
	struct image *image = image_parse(data, size, format, error, sizeof(error));

	if (!image) {
		require(strncmp(error, "(memory): offset 0x", 19) == 0);
		return;
	}
	check_ranges(image, data, size);
	for (unsigned i = 0; i < image_cpu_count(image); i++)
		require(image_cpu(image, i)->cpl <= 3 && !image_cpu(image, i)->efer_known);
	image_close(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *longer;

	check(data, size, IMAGE_AUTO);
	check(data, size, IMAGE_ELF);
	longer = calloc(1, size + TAIL);
	require(longer != NULL);
	if (size > 0)
		memcpy(longer, data, size);
	check(longer, size + TAIL, IMAGE_ELF);
	free(longer);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct build build = seed & 1 ? build_two_cpus() : build_pae32();
	struct build_file file;

	if (size >= sizeof(Elf32_Ehdr) && seed >> 1 & 63)
		return LLVMFuzzerMutate(data, size, max_size);
	file = build_elf(&build);
	/* The headers and notes; TAIL stands for the memory. */
	size = file.size < 0x600 ? file.size : 0x600;
	size = size < max_size ? size : max_size;
	memcpy(data, file.bytes, size);
	free(file.bytes);
	return LLVMFuzzerMutate(data, size, max_size);
}
