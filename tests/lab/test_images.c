/* SPDX-License-Identifier: MIT */
/*
 * test_images.c - memory images of real Linux kernels, in each paging mode, under
 * each configuration: every mapped page read, written and fetched as user and
 * supervisor, strict and hostile. Nothing may differ from the bare machine.
 *
 * Without build/images (argument 1 is the folder) it skips.
 */
#include "tests/lab/common.h"

static const char *folder;
static const char *const names[] = {"linux-2level", "linux-pae", "linux-4level", "linux-5level"};
#define IMAGES (sizeof(names) / sizeof(names[0]))

static void run_one(const struct image *image, const struct test_setup *setup,
		    enum model_caching caching)
{
	struct lab_config config = test_config(setup, caching);
	const struct sweep sweep = {.seed = 1, .sample = scaled(caching ? 4000 : 40000)};
	struct umbra_regs regs = image_cpu(image, 0)->regs;
	const struct lab_memory *memory;
	struct lab_image *views;
	struct lab *lab;
	char error[512] = "";
	unsigned count, shown = 0;
	bool refused;

	config.choices = caching == MODEL_HOSTILE ? MODEL_SPECULATE : 0;
	views = lab_image_new(image, &regs, error, sizeof(error));
	if (!views)
		fail_msg("%s", error);
	memory = lab_image_memory(views, &count);
	lab = lab_new(&config, memory, count, error, sizeof(error));
	if (!lab)
		fail_msg("%s", error);
	lab_on_difference(lab, test_show, &shown);
	assert_true(lab_set_regs(lab, &regs, true, &refused));
	assert_false(refused);
	assert_true(sweep_image(lab, &sweep) >= 100);
	if (lab_counts(lab)->differences)
		fail_msg("%s: %llu differences", setup->name,
			 (unsigned long long)lab_counts(lab)->differences);
	lab_free(lab);
	lab_image_free(views);
}

static void run_image(void **state)
{
	char path[1024], error[512] = "";
	struct image *image;

	snprintf(path, sizeof(path), "%s/%s.elf", folder, (const char *)*state);
	image = image_open(path, IMAGE_AUTO, error, sizeof(error));
	if (!image) {
		print_message("# %s\n", error);
		skip();
	}
	for (unsigned i = 0; i < TEST_SETUPS; i++) {
		run_one(image, &test_setups[i], MODEL_STRICT);
		run_one(image, &test_setups[i], MODEL_HOSTILE);
	}
	image_close(image);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[IMAGES];

	folder = argc > 1 ? argv[1] : "build/images";
	for (unsigned i = 0; i < IMAGES; i++)
		tests[i] = (struct CMUnitTest){names[i], run_image, NULL, NULL,
					       (void *)(uintptr_t)names[i]};
	return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}
