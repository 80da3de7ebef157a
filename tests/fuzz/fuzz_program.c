/* SPDX-License-Identifier: MIT */
/*
 * fuzz_program.c - libFuzzer target: any bytes are a program of lab/fuzz.h, the first of
 * them a configuration. A finding is a crash; the program goes to stderr.
 */
#include "lab/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#define FEATURES 0x03ffffffu
#define AMD_FEATURES (UMBRA_CPU_REWALK | UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_BIT8_MBZ)

static void print(const struct fuzz_program *program, const struct fuzz_result *result)
{
	fprintf(stderr, "finding: %s: %s\nvcpus %u\n", result->kind, result->what, program->vcpus);
	for (unsigned i = 0; i < result->done; i++) {
		char text[256];

		fuzz_step_text(&program->step[i], text, sizeof(text));
		fprintf(stderr, "%s\n", text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fuzz_limits limits = {.audit_every = 8};
	const uint8_t choice = size ? data[0] : 0;
	struct lab_config config = {
		.cpu = {.vendor = choice & 1 ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL,
			.maxphyaddr = 46,
			.features = FEATURES | (choice & 1 ? AMD_FEATURES : 0)},
		.paging = UMBRA_PAGING_SHADOW,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = choice & 2 ? 1 : 3,
		.page_limit = choice & 4 ? 64 : 0,
		.skew = choice & 8,
		.caching = MODEL_HOSTILE,
	};
	struct fuzz_program program = {.vcpus = 1};
	struct fuzz_result result;

	if (choice & 16) {
		config.paging = choice & 1 ? UMBRA_PAGING_NPT : UMBRA_PAGING_EPT;
		config.levels = 4;
	}
	if (fuzz_decode(&program, &config, data + !!size, size - !!size)) {
		fuzz_run(&program, &config, &limits, &result);
		if (*result.skipped || result.found) {
			fprintf(stderr, "%s\n", result.skipped);
			print(&program, &result);
			abort();
		}
	}
	fuzz_program_free(&program);
	return 0;
}
