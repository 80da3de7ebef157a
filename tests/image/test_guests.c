/* SPDX-License-Identifier: MIT */
/*
 * test_guests.c - the images of real guests (tools/make-images) hold what QEMU's
 * monitor said about the same moment.
 *
 * Reads the directory UMBRA_IMAGES_DIR; exit status 77 (skipped) without images.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/image.h"

static const char *dir;
static char error[512];

/** The value of "NAME=hex" in what the monitor said. */
static uint64_t monitor_value(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 16);
}

static void check_guest(void **state)
{
	const char *name = *state;
	const uint64_t inferred = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE;
	char path[1024], text[8192] = "";
	const struct image_cpu *cpu;
	struct image *image;
	FILE *stream;
	bool wide;

	snprintf(path, sizeof(path), "%s/linux-%s.registers.txt", dir, name);
	stream = fopen(path, "r");
	assert_non_null(stream);
	assert_true(fread(text, 1, sizeof(text) - 1, stream) > 0);
	fclose(stream);
	snprintf(path, sizeof(path), "%s/linux-%s.elf", dir, name);
	image = image_open(path, IMAGE_AUTO, error, sizeof(error));
	if (!image)
		fail_msg("%s", error);
	assert_true(image_range_count(image) >= 2);
	assert_int_equal(image_cpu_count(image), 1);
	cpu = image_cpu(image, 0);
	wide = strstr(text, "RIP=") != NULL;
	assert_int_equal(cpu->regs.cr0, monitor_value(text, "CR0="));
	assert_int_equal(cpu->regs.cr3, monitor_value(text, "CR3="));
	assert_int_equal(cpu->regs.cr4, monitor_value(text, "CR4="));
	assert_int_equal(cpu->rip, monitor_value(text, wide ? "RIP=" : "EIP="));
	assert_int_equal(cpu->rflags, monitor_value(text, wide ? "RFL=" : "EFL="));
	assert_int_equal(cpu->cpl, monitor_value(text, "CPL="));
	assert_int_equal(cpu->long_code, strstr(text, "CS64") != NULL);
	assert_int_equal(cpu->regs.efer & inferred, monitor_value(text, "EFER=") & inferred);
	assert_non_null(image_at(image, (umbra_gpa){cpu->regs.cr3 & 0xfffff000}, 4096));
	image_close(image);
}

int main(void)
{
	char *names[] = {"2level", "pae", "4level", "5level"};
	struct CMUnitTest tests[4];
	char path[1024];
	size_t count = 0;

	dir = getenv("UMBRA_IMAGES_DIR");
	for (size_t i = 0; dir && i < 4; i++) {
		snprintf(path, sizeof(path), "%s/linux-%s.elf", dir, names[i]);
		if (access(path, R_OK) == 0)
			tests[count++] = (struct CMUnitTest){.name = names[i],
							     .test_func = check_guest,
							     .initial_state = names[i]};
		else
			printf("# no %s: run tools/make-images\n", path);
	}
	if (count == 0)
		return 77;
	return _cmocka_run_group_tests("image_guests", tests, count, NULL, NULL);
}
