/* SPDX-License-Identifier: MIT */
/*
 * test_regs.c - cli/regs.h: which registers result from an image and options.
 *
 * The images are raw memory, which has no CPU; tests/image covers those that do.
 */
#include "cli/regs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGC_MAX 10

static _Alignas(4096) uint8_t memory[16384];

/* Resolves "a b c" (options separated by blanks) on 16 KiB of raw memory. */
static enum cli_status resolve(const char *line, struct regs_guest *guest)
{
	struct regs_options options = REGS_OPTIONS_DEFAULT;
	struct args_option args[REGS_OPTION_COUNT];
	struct args_spec spec = {.name = "test", .synopsis = "", .summary = ""};
	char text[256], error[256];
	char *argv[ARGC_MAX + 1] = {"test"};
	int argc = 1;
	struct image *image = image_parse(memory, sizeof(memory), IMAGE_RAW, error, sizeof(error));
	enum cli_status status;
	int saved = dup(2), null = open("/dev/null", O_WRONLY);

	assert_non_null(image);
	strncpy(text, line, sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (char *word = strtok(text, " "); word && argc < ARGC_MAX; word = strtok(NULL, " "))
		argv[argc++] = word;
	regs_options(&options, args);
	spec.groups[0] = (struct args_group){args, REGS_OPTION_COUNT};
	dup2(null, 2);
	close(null);
	status = args_parse(&spec, argc, argv) ? regs_resolve(&options, "test", image, guest)
					       : (enum cli_status)spec.status;
	dup2(saved, 2);
	close(saved);
	image_close(image);
	return status;
}

static void raw_needs_cr3(void **state)
{
	struct regs_guest g;

	(void)state;
	assert_int_equal(resolve("", &g), CLI_USAGE);
	assert_int_equal(resolve("--cpu=0 --cr3=0", &g), CLI_USAGE);
	assert_int_equal(resolve("--cr3=0x1000", &g), CLI_OK);
	assert_int_equal(g.regs.cr3, 0x1000);
}

static void raw_is_a_64_bit_guest(void **state)
{
	struct regs_guest g;

	(void)state;
	assert_int_equal(resolve("--cr3=0", &g), CLI_OK);
	assert_int_equal(g.regs.cr0, UMBRA_CR0_PE | UMBRA_CR0_WP | UMBRA_CR0_PG);
	assert_int_equal(g.regs.cr4, UMBRA_CR4_PAE);
	assert_int_equal(g.regs.efer, UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE);
	assert_true(g.long_code);
	assert_false(g.from_image);

	assert_int_equal(resolve("--cr3=0 --cr4=+la57,+smep", &g), CLI_OK);
	assert_int_equal(g.regs.cr4, UMBRA_CR4_PAE | UMBRA_CR4_LA57 | UMBRA_CR4_SMEP);
	assert_true(g.long_code);

	/* Without PAE it cannot be one. */
	assert_int_equal(resolve("--cr3=0 --cr4=pse", &g), CLI_OK);
	assert_int_equal(g.regs.efer, 0);
	assert_false(g.long_code);
}

static void lma_follows(void **state)
{
	struct regs_guest g;

	(void)state;
	assert_int_equal(resolve("--cr3=0 --efer=lme", &g), CLI_OK);
	assert_int_equal(g.regs.efer, UMBRA_EFER_LME | UMBRA_EFER_LMA);
	assert_int_equal(resolve("--cr3=0 --cr0=pe --efer=lme,lma", &g), CLI_OK);
	assert_int_equal(g.regs.efer, UMBRA_EFER_LME);
	assert_int_equal(resolve("--cr3=0 --cr0=-pg", &g), CLI_OK);
	assert_int_equal(g.regs.cr0, UMBRA_CR0_PE | UMBRA_CR0_WP);
	assert_int_equal(g.regs.efer, UMBRA_EFER_LME | UMBRA_EFER_NXE);
	assert_false(g.long_code);
}

static void pdptes_are_loaded(void **state)
{
	const uint64_t pdpte[4] = {0x1001, 0x2001, 0, 0x3001};
	struct regs_guest g;

	(void)state;
	memcpy(memory + 0x20, pdpte, sizeof(pdpte));
	/* CR3 bits below 32 bytes are not part of the address. */
	assert_int_equal(resolve("--cr3=0x38 --efer=0", &g), CLI_OK);
	assert_memory_equal(g.regs.pdpte, pdpte, sizeof(pdpte));
	/* Outside of the image: zeros, and no crash. */
	assert_int_equal(resolve("--cr3=0xffffffffffffffff --efer=0", &g), CLI_OK);
	memset(memory, 0, sizeof(memory));
	assert_memory_equal(g.regs.pdpte, memory, sizeof(pdpte));
}

static void the_cpu(void **state)
{
	struct regs_guest g;

	(void)state;
	assert_int_equal(resolve("--cr3=0", &g), CLI_OK);
	assert_int_equal(g.cpu.vendor, UMBRA_VENDOR_INTEL);
	assert_int_equal(g.cpu.maxphyaddr, 46);
	assert_true(g.cpu.features & UMBRA_CPU_MBEC);
	assert_false(g.cpu.features & (UMBRA_CPU_GMET | UMBRA_CPU_PDPTE_MEMORY));
	assert_int_equal(resolve("--cr3=0 --vendor amd --maxphyaddr 40 --pkru 0xc", &g), CLI_OK);
	assert_int_equal(g.cpu.vendor, UMBRA_VENDOR_AMD);
	assert_int_equal(g.cpu.maxphyaddr, 40);
	assert_true(g.cpu.features & UMBRA_CPU_GMET);
	assert_false(g.cpu.features & UMBRA_CPU_MBEC);
	assert_int_equal(g.regs.pkru, 0xc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raw_needs_cr3), cmocka_unit_test(raw_is_a_64_bit_guest),
		cmocka_unit_test(lma_follows),   cmocka_unit_test(pdptes_are_loaded),
		cmocka_unit_test(the_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
