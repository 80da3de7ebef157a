/* SPDX-License-Identifier: MIT */
/*
 * test_mutated.c - random damage to good files: no crash, nothing outside.
 *
 * Whatever image_parse accepts must keep the promises of image.h: ranges sorted,
 * disjoint, whole pages below 2^52, inside the file. The file lies in memory of
 * exactly its size, so that AddressSanitizer sees a step too far.
 *
 * UMBRA_SEED=N replays; UMBRA_TEST_SCALE=small does a quarter.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/image.h"
#include "tests/image/build.h"

#define ROUNDS 20000u
/* Headers and notes of the built files end here. */
#define HEADERS 0x600u

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t random_below(uint64_t *state, uint64_t end)
{
	return random_next(state) % end;
}

/** A number that is likely to be on some edge. */
static uint64_t random_edge(uint64_t *state, size_t size)
{
	static const uint64_t bases[] = {
		0,          1,          4096,       0xffff,     0x7fffffff, 0xffffffff,
		1ull << 32, 1ull << 52, 1ull << 63, UINT64_MAX, 0x1b8,      0x100000,
	};
	uint64_t base = bases[random_below(state, sizeof(bases) / sizeof(bases[0]))];

	switch (random_below(state, 5)) {
	case 0: return random_next(state);
	case 1: return random_below(state, 2 * size);
	case 2: return size + 2 - random_below(state, 5);
	case 3: return base + 4 - random_below(state, 9);
	default: return base;
	}
}

static void mutate(uint64_t *state, struct build_file *file)
{
	size_t cut = file->size;
	uint8_t *bytes;

	for (uint64_t n = 1 + random_below(state, 6); n > 0; n--) {
		unsigned width = 1u << random_below(state, 4);
		/* Half of the damage hits the header and the program headers. */
		uint64_t end = random_below(state, 2) ? 0xe8 : HEADERS;
		uint64_t at = random_below(state, end) & ~(uint64_t)(width - 1);

		build_poke(file->bytes + at, width, random_edge(state, file->size));
	}
	if (random_below(state, 8) == 0)
		cut = random_below(state, file->size + 1);
	bytes = malloc(cut ? cut : 1);
	assert_non_null(bytes);
	memcpy(bytes, file->bytes, cut);
	free(file->bytes);
	*file = (struct build_file){bytes, cut};
}

/** The promises about one range, given the end of the one before it. */
static uint64_t check_range(const struct image *image, unsigned index,
			    const struct build_file *file, uint64_t low)
{
	const struct image_range *range = image_range(image, index);
	uint64_t end = range->base.v + range->size;
	const uint8_t *bytes;
	uint8_t *view;

	assert_true(range->size > 0);
	assert_int_equal(range->base.v % 4096 | range->size % 4096, 0);
	assert_true(range->base.v >= low && end > range->base.v && end <= 1ull << 52);
	assert_true(range->offset <= file->size && range->size <= file->size - range->offset);
	bytes = image_at(image, range->base, (size_t)range->size);
	assert_ptr_equal(bytes, file->bytes + range->offset);
	assert_null(image_at(image, range->base, (size_t)range->size + 1));
	view = image_map(image, index, NULL, 0);
	assert_non_null(view);
	assert_memory_equal(view, bytes, range->size);
	image_unmap(image, index, view);
	return end;
}

/** Whether it was accepted. */
static bool check_file(const struct build_file *file)
{
	char error[256] = "";
	struct image *image =
		image_parse(file->bytes, file->size, IMAGE_AUTO, error, sizeof(error));
	uint64_t low = 0;

	if (!image) {
		assert_int_equal(strncmp(error, "(memory): offset 0x", 19), 0);
		return false;
	}
	assert_true(image_range_count(image) > 0);
	for (unsigned i = 0; i < image_range_count(image); i++)
		low = check_range(image, i, file, low);
	for (unsigned i = 0; i < image_cpu_count(image); i++)
		assert_true(image_cpu(image, i)->cpl <= 3);
	image_close(image);
	return true;
}

static void mutated(void **unused)
{
	const char *given = getenv("UMBRA_SEED"), *scale = getenv("UMBRA_TEST_SCALE");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 20 ^ getpid();
	unsigned rounds = scale && strcmp(scale, "small") == 0 ? ROUNDS / 4 : ROUNDS;
	uint64_t state = seed;
	unsigned accepted = 0;

	(void)unused;
	printf("# UMBRA_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	for (unsigned i = 0; i < rounds; i++) {
		struct build build = i % 2 ? build_two_cpus() : build_pae32();
		struct build_file file = build_elf(&build);

		mutate(&state, &file);
		accepted += check_file(&file);
		free(file.bytes);
	}
	printf("# %u of %u accepted\n", accepted, rounds);
	/* A test of files that are all refused, or never, would test nothing. */
	assert_true(accepted > rounds / 100 && accepted < rounds - rounds / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(mutated)};

	return cmocka_run_group_tests_name("image_mutated", tests, NULL, NULL);
}
