/* SPDX-License-Identifier: MIT */
/*
 * test_mutate.c - programs that edit the tables of an image (lab/fuzz_mutate.c): on a
 * small one made here, and on those of real Linux kernels. Nothing may be found; a
 * byte that only one machine changes must be; and each program must leave the image
 * as the file has it.
 *
 * Without build/images (argument 1 is the folder) the Linux ones skip.
 */
#include "lab/fuzz_parts.h"
#include "tests/lab/common.h"

#define SIZE 0x400000u
#define STEPS 500
#define P 1u
#define W 2u
#define U 4u
#define A 0x20u
#define D 0x40u
#define PS 0x80u
#define G 0x100u

static const char *folder;
static const char *const names[] = {"linux-2level", "linux-pae", "linux-4level", "linux-5level"};
#define IMAGES (sizeof(names) / sizeof(names[0]))

/* Shadow paging on either vendor, and one of each second stage; Linux gets the first. */
static const unsigned setups[] = {5, 6, 0, 3, 2};
#define SETUPS (sizeof(setups) / sizeof(setups[0]))
#define SETUPS_LINUX 3

static bool fits(const struct test_setup *setup, const struct fuzz_image *image)
{
	const struct lab_memory *last = &image->memory[image->count - 1];

	return setup->levels != 3 || last->base.v + last->size <= 1ull << 32;
}

/* @fresh: views of the same image that nothing ran on. */
static void assert_pristine(const struct fuzz_image *own, const struct lab_image *fresh)
{
	unsigned count;
	const struct lab_memory *memory = lab_image_memory(fresh, &count);

	assert_int_equal(own->count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_memory_equal(own->memory[i].bare, memory[i].bare, memory[i].size);
		assert_memory_equal(own->memory[i].umbra, memory[i].bare, memory[i].size);
	}
}

static struct lab_image *fresh_views(const struct image *image, const struct umbra_regs *regs)
{
	char error[512] = "";
	struct lab_image *fresh = lab_image_new(image, regs, error, sizeof(error));

	if (!fresh)
		fail_msg("%s", error);
	return fresh;
}

static void run_programs(const struct image *image, const struct umbra_regs *regs,
			 const struct lab_image *fresh, unsigned setup, unsigned programs)
{
	const struct lab_config config = test_config(&test_setups[setup], MODEL_HOSTILE);
	char error[512] = "";
	struct fuzz_image *own = fuzz_image_new(image, regs, &config, error, sizeof(error));
	const struct fuzz_limits limits = {.image = own, .audit_every = 8, .sparse = true};

	if (!own)
		fail_msg("%s", error);
	for (unsigned i = 0; i < programs && fits(&test_setups[setup], own); i++) {
		struct fuzz_program program = {.vcpus = 1};
		struct fuzz_result result;

		assert_true(fuzz_mutate(&program, own, 100 + i, STEPS));
		fuzz_run(&program, &config, &limits, &result);
		if (*result.skipped || result.found)
			fail_msg("%s, seed %u, %s after %u steps: %s%s", test_setups[setup].name,
				 100 + i, result.kind, result.done, result.what, result.skipped);
		assert_int_equal(result.refused, 0);
		assert_true(result.accesses > STEPS / 4);
		fuzz_program_free(&program);
	}
	assert_pristine(own, fresh);
	fuzz_image_free(own);
}

/* ---- a small image ---- */

static const struct umbra_regs small_regs = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_WP | UMBRA_CR0_PG,
	.cr3 = 0x1000,
	.cr4 = UMBRA_CR4_PAE | UMBRA_CR4_PGE,
	.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
};

static void put(uint8_t *bytes, uint64_t gpa, uint64_t entry)
{
	memcpy(bytes + gpa, &entry, sizeof(entry));
}

/* A user's 2 MiB in small pages, and all memory once more for the kernel. */
static uint8_t *small_bytes(void)
{
	uint8_t *bytes = calloc(1, SIZE);

	assert_non_null(bytes);
	put(bytes, 0x1000, 0x2000 | P | W | U | A);
	put(bytes, 0x2000, 0x3000 | P | W | U | A);
	put(bytes, 0x3000, 0x4000 | P | W | U | A);
	for (unsigned i = 0; i < 512; i++)
		put(bytes, 0x4000 + i * 8,
		    (0x200000 + i * UMBRA_PAGE_SIZE) | P | U | A | (i % 3 ? W : 0) |
			    (i % 2 ? D : 0));
	put(bytes, 0x1000 + 256 * 8, 0x5000 | P | W | A);
	put(bytes, 0x5000, 0x6000 | P | W | A);
	put(bytes, 0x6000, 0x000000 | P | W | A | D | PS | G);
	put(bytes, 0x6008, 0x200000 | P | W | A | D | PS | G);
	return bytes;
}

static struct image *small_image(const uint8_t *bytes)
{
	char error[256] = "";
	struct image *image = image_parse(bytes, SIZE, IMAGE_RAW, error, sizeof(error));

	if (!image)
		fail_msg("%s", error);
	return image;
}

static void run_small(void **state)
{
	uint8_t *bytes = small_bytes();
	struct image *image = small_image(bytes);
	struct lab_image *fresh = fresh_views(image, &small_regs);

	(void)state;
	for (unsigned i = 0; i < SETUPS; i++)
		run_programs(image, &small_regs, fresh, setups[i], (unsigned)scaled(20));
	lab_image_free(fresh);
	image_close(image);
	free(bytes);
}

static bool same_steps(const struct fuzz_program *a, const struct fuzz_program *b)
{
	bool same = a->count == b->count;

	for (unsigned i = 0; same && i < a->count; i++) {
		char x[256], y[256];

		fuzz_step_text(&a->step[i], x, sizeof(x));
		fuzz_step_text(&b->step[i], y, sizeof(y));
		same = !strcmp(x, y);
	}
	return same;
}

/* Same seed, same program, same run; another seed, another program. */
static void repeat(void **state)
{
	const struct lab_config config = test_config(&test_setups[5], MODEL_HOSTILE);
	uint8_t *bytes = small_bytes();
	struct image *image = small_image(bytes);
	struct fuzz_program program[3];
	struct fuzz_result result[3];
	char error[256];
	struct fuzz_image *own = fuzz_image_new(image, &small_regs, &config, error, sizeof(error));
	const struct fuzz_limits limits = {.image = own, .audit_every = 1};

	(void)state;
	assert_non_null(own);
	for (unsigned i = 0; i < 3; i++) {
		program[i] = (struct fuzz_program){.vcpus = 1};
		assert_true(fuzz_mutate(&program[i], own, i / 2, STEPS));
		fuzz_run(&program[i], &config, &limits, &result[i]);
	}
	assert_true(same_steps(&program[0], &program[1]));
	assert_memory_equal(&result[0], &result[1], sizeof(result[0]));
	assert_false(same_steps(&program[0], &program[2]));
	for (unsigned i = 0; i < 3; i++)
		fuzz_program_free(&program[i]);
	fuzz_image_free(own);
	image_close(image);
	free(bytes);
}

/* A byte goes wrong on the UMBRA machine, in a page that nobody uses. */
static void spoil(void *context, unsigned index, const char *what)
{
	struct fuzz_image *own = context;

	(void)what;
	if (index == 100)
		((uint8_t *)own->memory[0].umbra)[SIZE - 1] ^= 1;
}

static void notice(void **state)
{
	const struct lab_config config = test_config(&test_setups[5], MODEL_HOSTILE);
	uint8_t *bytes = small_bytes();
	struct image *image = small_image(bytes);
	struct fuzz_program program = {.vcpus = 1};
	struct fuzz_result result;
	char error[256];
	struct fuzz_image *own = fuzz_image_new(image, &small_regs, &config, error, sizeof(error));
	struct fuzz_limits limits = {.image = own, .told = spoil, .context = own};

	(void)state;
	assert_non_null(own);
	put(bytes, 0x4000 + 511 * 8, 0); /* the image borrows them: not seen any more */
	assert_true(fuzz_mutate(&program, own, 5, STEPS));
	fuzz_run(&program, &config, &limits, &result);
	assert_true(result.found);
	assert_string_equal(result.kind, "memory");
	/* ... and the next run knows nothing of it. */
	limits.told = NULL;
	fuzz_run(&program, &config, &limits, &result);
	if (result.found)
		fail_msg("%s: %s", result.kind, result.what);
	fuzz_program_free(&program);
	fuzz_image_free(own);
	image_close(image);
	free(bytes);
}

static void refuse(void **state)
{
	const struct lab_config config = test_config(&test_setups[5], MODEL_HOSTILE);
	struct umbra_regs regs = {.cr0 = UMBRA_CR0_PE};
	uint8_t *bytes = small_bytes();
	struct image *image = small_image(bytes);
	char error[256];

	(void)state;
	assert_null(fuzz_image_new(image, &regs, &config, error, sizeof(error)));
	assert_non_null(strstr(error, "does not page"));
	regs = small_regs;
	regs.cr3 = 0x9000;
	assert_null(fuzz_image_new(image, &regs, &config, error, sizeof(error)));
	assert_non_null(strstr(error, "map nothing"));
	image_close(image);
	free(bytes);
}

/* ---- Linux ---- */

static void run_linux(void **state)
{
	char path[1024], error[512] = "";
	struct image *image;
	const struct umbra_regs *regs;
	struct lab_image *fresh;

	snprintf(path, sizeof(path), "%s/%s.elf", folder, (const char *)*state);
	image = image_open(path, IMAGE_AUTO, error, sizeof(error));
	if (!image) {
		print_message("# %s\n", error);
		skip();
	}
	regs = &image_cpu(image, 0)->regs;
	fresh = fresh_views(image, regs);
	for (unsigned i = 0; i < SETUPS_LINUX; i++)
		run_programs(image, regs, fresh, setups[i], 1 + (unsigned)scaled(9));
	lab_image_free(fresh);
	image_close(image);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[4 + IMAGES] = {
		cmocka_unit_test(run_small),
		cmocka_unit_test(repeat),
		cmocka_unit_test(notice),
		cmocka_unit_test(refuse),
	};

	folder = argc > 1 ? argv[1] : "build/images";
	for (unsigned i = 0; i < IMAGES; i++)
		tests[4 + i] = (struct CMUnitTest){names[i], run_linux, NULL, NULL,
						   (void *)(uintptr_t)names[i]};
	return cmocka_run_group_tests_name("mutate", tests, NULL, NULL);
}
