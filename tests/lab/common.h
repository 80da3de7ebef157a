/* SPDX-License-Identifier: MIT */
/* common.h - configurations that the transparency tests run through. */
#ifndef TESTS_LAB_COMMON_H
#define TESTS_LAB_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/builtin.h"
#include "lab/lab.h"
#include "lab/program.h"
#include "lab/sweep.h"

/** UMBRA_TEST_SCALE=small divides the work (sanitizer builds). */
static inline uint64_t scaled(uint64_t work)
{
	const char *scale = getenv("UMBRA_TEST_SCALE");

	return scale && !strcmp(scale, "small") ? work / 10 : work;
}

static inline struct umbra_cpu test_cpu(enum umbra_vendor vendor)
{
	const uint32_t both = UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT |
			      UMBRA_CPU_PSE36 | UMBRA_CPU_PCID | UMBRA_CPU_SMEP | UMBRA_CPU_SMAP |
			      UMBRA_CPU_PKU | UMBRA_CPU_LA57 | UMBRA_CPU_SHSTK | UMBRA_CPU_NX |
			      UMBRA_CPU_1G | UMBRA_CPU_LM;
	const uint32_t intel = UMBRA_CPU_PKS | UMBRA_CPU_EPT_EXECONLY | UMBRA_CPU_EPT_LEVEL5 |
			       UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G | UMBRA_CPU_EPT_AD |
			       UMBRA_CPU_EPT_ADVINFO | UMBRA_CPU_MBEC;
	const uint32_t amd = UMBRA_CPU_GMET | UMBRA_CPU_ROGPT | UMBRA_CPU_PDPTE_MEMORY |
			     UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK;
	const bool is_amd = vendor == UMBRA_VENDOR_AMD;

	return (struct umbra_cpu){
		.vendor = vendor,
		.maxphyaddr = is_amd ? 48 : 46,
		.features = both | (is_amd ? amd : intel),
	};
}

struct test_setup {
	const char *name;
	enum umbra_vendor vendor;
	enum umbra_paging paging;
	uint8_t levels;
	bool exec_by_mode;
};

static const struct test_setup test_setups[] = {
	{"EPT 4", UMBRA_VENDOR_INTEL, UMBRA_PAGING_EPT, 4, false},
	{"EPT 5 with MBEC", UMBRA_VENDOR_INTEL, UMBRA_PAGING_EPT, 5, true},
	{"NPT PAE", UMBRA_VENDOR_AMD, UMBRA_PAGING_NPT, 3, false},
	{"NPT 4 with GMET", UMBRA_VENDOR_AMD, UMBRA_PAGING_NPT, 4, true},
	{"NPT 5", UMBRA_VENDOR_AMD, UMBRA_PAGING_NPT, 5, false},
	{"shadow intel", UMBRA_VENDOR_INTEL, UMBRA_PAGING_SHADOW, 0, false},
	{"shadow amd", UMBRA_VENDOR_AMD, UMBRA_PAGING_SHADOW, 0, false},
};
#define TEST_SETUPS (sizeof(test_setups) / sizeof(test_setups[0]))

static inline struct lab_config test_config(const struct test_setup *setup,
					    enum model_caching caching)
{
	return (struct lab_config){
		.cpu = test_cpu(setup->vendor),
		.paging = setup->paging,
		.levels = setup->levels,
		.layout = UMBRA_LAYOUT_7_3,
		.exec_by_mode = setup->exec_by_mode,
		.page_level = 3,
		.caching = caching,
		.seed = 1,
	};
}

static inline void test_show(void *context, const struct lab_difference *difference)
{
	unsigned *shown = context;
	char text[1024];

	if ((*shown)++ >= 5)
		return;
	lab_difference_print(difference, text, sizeof(text));
	print_error("%s\n", text);
}

struct test_lab {
	struct builtin *builtin;
	struct lab *lab;
	unsigned shown;
};

/** test_like - a guest for others to share the contents of memory with (it has all memories). */
static inline const struct builtin *test_like(void)
{
	static struct builtin *like;
	const struct builtin_config config = {
		.mode = BUILTIN_UNPAGED, .cpu = test_cpu(UMBRA_VENDOR_INTEL), .high = true};

	if (!like)
		like = builtin_new(&config);
	assert_non_null(like);
	return like;
}

/** test_open - a lab with the built-in guest of @mode; fails the test if it cannot be. */
static inline void test_open(struct test_lab *t, const struct lab_config *config,
			     enum builtin_mode mode)
{
	const struct builtin_config guest = {
		.mode = mode,
		.cpu = lab_guest_cpu(config),
		.high = config->paging != UMBRA_PAGING_NPT || config->levels > 3,
		.like = test_like(),
	};
	const struct lab_memory *memory;
	char error[256] = "";
	unsigned count;

	memset(t, 0, sizeof(*t));
	t->builtin = builtin_new(&guest);
	assert_non_null(t->builtin);
	memory = builtin_memory(t->builtin, &count);
	t->lab = lab_new(config, memory, count, error, sizeof(error));
	if (!t->lab)
		fail_msg("%s", error);
	lab_on_difference(t->lab, test_show, &t->shown);
}

static inline void test_close(struct test_lab *t)
{
	lab_free(t->lab);
	builtin_free(t->builtin);
}

#endif
