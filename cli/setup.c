/* SPDX-License-Identifier: MIT */
/*
 * setup.c - --config: from keys to a lab's configuration.
 *
 * Every key has a default, so that "tdp=0" is a whole configuration. What no
 * hardware has (EPT in PAE format, GMET on Intel) is refused here with a
 * sentence; what the library refuses beyond that is reported by the trial.
 */
#include "cli/regs.h"
#include "cli/trial.h"

#include <stdio.h>
#include <string.h>

enum key {
	KEY_VENDOR,
	KEY_TDP,
	KEY_HOST,
	KEY_MAXPHYADDR,
	KEY_PAGE,
	KEY_LAYOUT,
	KEY_MBEC,
	KEY_GMET,
	KEY_AD,
	KEY_SKEW,
	KEY_PAGES,
	KEY_MMIO_CACHING,
	KEY_MMIO_WIDE,
	KEY_L1TF,
	KEY_WITHOUT,
	KEY_BUG_TRUNCATE_GPA,
	KEY_COUNT
};

static const struct args_symbol page_sizes[] = {{"4k", 1}, {"2m", 2}, {"1g", 3}, {NULL, 0}};
static const struct args_symbol layouts[] = {
	{"6.12", UMBRA_LAYOUT_6_12},
	{"004", UMBRA_LAYOUT_004},
	{"7.3", UMBRA_LAYOUT_7_3},
	{NULL, 0},
};
static const struct args_symbol hosts[] = {{"3", 3}, {"4", 4}, {"5", 5}, {"pae", 3}, {NULL, 0}};

static const struct args_key keys[KEY_COUNT] = {
	[KEY_VENDOR] = {.name = "vendor", .kind = ARGS_CHOICE, .symbols = regs_vendors},
	[KEY_TDP] = {.name = "tdp", .kind = ARGS_BOOL},
	[KEY_HOST] = {.name = "host", .kind = ARGS_CHOICE, .symbols = hosts},
	[KEY_MAXPHYADDR] = {.name = "maxphyaddr", .kind = ARGS_NUMBER, .min = 36, .max = 52},
	[KEY_PAGE] = {.name = "page", .kind = ARGS_CHOICE, .symbols = page_sizes},
	[KEY_LAYOUT] = {.name = "layout", .kind = ARGS_CHOICE, .symbols = layouts},
	[KEY_MBEC] = {.name = "mbec", .kind = ARGS_BOOL},
	[KEY_GMET] = {.name = "gmet", .kind = ARGS_BOOL},
	[KEY_AD] = {.name = "ad", .kind = ARGS_BOOL},
	[KEY_SKEW] = {.name = "skew", .kind = ARGS_BOOL},
	[KEY_PAGES] = {.name = "limit", .kind = ARGS_NUMBER, .min = 64, .max = 1u << 30},
	[KEY_MMIO_CACHING] = {.name = "mmio_caching", .kind = ARGS_BOOL},
	[KEY_MMIO_WIDE] = {.name = "mmio_wide_generation", .kind = ARGS_BOOL},
	[KEY_L1TF] = {.name = "l1tf_cache_bits", .kind = ARGS_NUMBER, .min = 32, .max = 52},
	[KEY_WITHOUT] = {.name = "without", .kind = ARGS_SYMBOLS, .symbols = regs_features},
	[KEY_BUG_TRUNCATE_GPA] = {.name = "bug.truncate_gpa", .kind = ARGS_BOOL},
};

const char setup_help[] =
	"Keys of --config (separated by commas):\n"
	"  vendor=intel|amd   the CPU (default intel)\n"
	"  tdp=0|1            0: shadow paging, 1: EPT or NPT (default 1)\n"
	"  host=3|4|5         levels of EPT or NPT; 3 is NPT in PAE format (default 4)\n"
	"  maxphyaddr=36..52  physical address bits (default 46 intel, 48 amd)\n"
	"  page=4k|2m|1g      largest page of host memory (default 1g)\n"
	"  layout=6.12|004|7.3  entry layout (default 7.3)\n"
	"  mbec=0|1 gmet=0|1  execution control by guest mode (default 0)\n"
	"  ad=0|1             EPT Accessed and Dirty bits (default 1)\n"
	"  skew=0|1           host memory 4 KiB off the guest's alignment (default 0)\n"
	"  limit=N            table pages at once (default: no limit)\n"
	"  mmio_caching=0|1   entries that tell where no memory is (default 1)\n"
	"  mmio_wide_generation=0|1  only they go when their generation wraps (default 0)\n"
	"  l1tf_cache_bits=32..52  the CPU has the L1 terminal fault (default: it has not)\n"
	"  without=pku,shstk  features that the CPU lacks\n"
	"  bug.truncate_gpa=0|1  drop address bits that EPT or NPT do not translate, as KVM\n"
	"                     once did, instead of refusing them (default 0)";

static bool check(const struct args_value *v, char *error, size_t error_size)
{
	const bool amd = v[KEY_VENDOR].number == UMBRA_VENDOR_AMD;
	const bool tdp = v[KEY_TDP].number;
	const char *what = NULL;

	if (!tdp && v[KEY_HOST].given)
		what = "host= needs tdp=1, shadow tables follow the guest";
	else if (tdp && !amd && v[KEY_HOST].number == 3)
		what = "host=3 needs vendor=amd, EPT has 4 or 5 levels";
	else if (v[KEY_MBEC].number && (amd || !tdp))
		what = "mbec=1 needs vendor=intel and tdp=1";
	else if (v[KEY_GMET].number && (!amd || !tdp))
		what = "gmet=1 needs vendor=amd and tdp=1";
	else if (v[KEY_AD].given && (amd || !tdp) && !v[KEY_AD].number)
		what = "ad=0 needs vendor=intel and tdp=1";
	else if (v[KEY_BUG_TRUNCATE_GPA].number && !tdp)
		what = "bug.truncate_gpa=1 needs tdp=1, linear addresses are cut to size";
	if (what)
		snprintf(error, error_size, "%s", what);
	return !what;
}

static void make(const struct args_value *v, struct setup *setup)
{
	const bool amd = v[KEY_VENDOR].number == UMBRA_VENDOR_AMD;
	const bool tdp = v[KEY_TDP].number;
	struct lab_config *lab = &setup->lab;

	memset(setup, 0, sizeof(*setup));
	lab->cpu = regs_cpu((enum umbra_vendor)v[KEY_VENDOR].number,
			    (unsigned)v[KEY_MAXPHYADDR].number);
	if (!v[KEY_AD].number)
		lab->cpu.features &= ~UMBRA_CPU_EPT_AD;
	lab->cpu.features &= ~(uint32_t)v[KEY_WITHOUT].number;
	lab->paging = !tdp ? UMBRA_PAGING_SHADOW : amd ? UMBRA_PAGING_NPT : UMBRA_PAGING_EPT;
	lab->levels = tdp ? (uint8_t)v[KEY_HOST].number : 0;
	lab->layout = (enum umbra_layout)v[KEY_LAYOUT].number;
	lab->exec_by_mode = v[KEY_MBEC].number || v[KEY_GMET].number;
	lab->page_level = (uint8_t)v[KEY_PAGE].number;
	lab->page_limit = (uint32_t)v[KEY_PAGES].number;
	lab->no_mmio_caching = !v[KEY_MMIO_CACHING].number;
	lab->mmio_wide_generation = v[KEY_MMIO_WIDE].number;
	lab->l1tf_cache_bits = (uint8_t)v[KEY_L1TF].number;
	lab->skew = v[KEY_SKEW].number;
	lab->bug_truncate_gpa = v[KEY_BUG_TRUNCATE_GPA].number;
	setup->high = lab->paging != UMBRA_PAGING_NPT || lab->levels > 3;
}

/* "EPT 4", and after it what was asked for besides. */
static void name(const struct args_value *v, struct setup *setup)
{
	const struct lab_config *lab = &setup->lab;
	const char *vendor = lab->cpu.vendor == UMBRA_VENDOR_AMD ? "amd" : "intel";
	const size_t size = sizeof(setup->name);

	if (lab->paging == UMBRA_PAGING_SHADOW)
		snprintf(setup->name, size, "shadow %s", vendor);
	else if (lab->levels == 3)
		snprintf(setup->name, size, "NPT PAE");
	else
		snprintf(setup->name, size, "%s %u",
			 lab->paging == UMBRA_PAGING_EPT ? "EPT" : "NPT", lab->levels);
	for (unsigned i = KEY_MAXPHYADDR; i < KEY_COUNT; i++) {
		size_t used = strlen(setup->name);
		char number[24];
		const char *value = number;

		if (!v[i].given)
			continue;
		snprintf(number, sizeof(number), "%llu", (unsigned long long)v[i].number);
		if (i == KEY_PAGE)
			value = page_sizes[v[i].number - 1].name;
		else if (i == KEY_LAYOUT)
			value = layouts[v[i].number].name;
		else if (i == KEY_WITHOUT)
			snprintf(number, sizeof(number), "0x%llx", (unsigned long long)v[i].number);
		snprintf(setup->name + used, size - used, " %s=%s", keys[i].name, value);
	}
}

bool setup_parse(const char *text, struct setup *setup, char *error, size_t error_size)
{
	struct args_value v[KEY_COUNT] = {
		[KEY_TDP] = {.number = 1},  [KEY_HOST] = {.number = 4},
		[KEY_PAGE] = {.number = 3}, [KEY_LAYOUT] = {.number = UMBRA_LAYOUT_7_3},
		[KEY_AD] = {.number = 1},   [KEY_MMIO_CACHING] = {.number = 1},
	};

	if (!args_config(text, keys, KEY_COUNT, v, error, error_size) ||
	    !check(v, error, error_size))
		return false;
	make(v, setup);
	name(v, setup);
	return true;
}

void setup_standard(struct setup setups[SETUP_STANDARD_COUNT])
{
	static const char *const texts[SETUP_STANDARD_COUNT] = {
		"vendor=intel,host=4", "vendor=intel,host=5", "vendor=amd,host=4",
		"vendor=amd,host=5",   "vendor=amd,host=3",   "vendor=intel,tdp=0",
	};
	char error[128];

	for (unsigned i = 0; i < SETUP_STANDARD_COUNT; i++)
		setup_parse(texts[i], &setups[i], error, sizeof(error));
}
