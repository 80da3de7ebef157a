/* SPDX-License-Identifier: MIT */
/*
 * fuzz_decode.c - libFuzzer target: bits_describe() on any value in any
 * configuration. It must end, stay in its room and name every text.
 */
#include "cli/bits.h"

#include <stdlib.h>
#include <string.h>

struct input {
	uint64_t value;
	uint32_t flags;
	uint8_t kind, mode, level, generation, amd, maxphyaddr, l1tf, more;
};

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_text(const char *text)
{
	check(memchr(text, 0, BITS_TEXT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bits_report report;
	struct bits_request request;
	struct input in = {0};

	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
	bits_defaults(&request, in.amd & 1);
	request.kind = in.kind % BITS_KINDS;
	request.mode = in.mode % (BITS_MODE_SHADOW + 1);
	if (!bits_mode_fits(request.kind, request.mode))
		request.mode = BITS_MODE_AUTO;
	request.level = in.level % 6;
	request.generation = in.generation % 3;
	request.maxphyaddr = (uint8_t)(32 + in.maxphyaddr % 21);
	request.l1tf = in.l1tf & 1 ? (uint8_t)(36 + in.l1tf % 17) : 0;
	request.flags = in.flags;
	request.pcid = in.more & 1;
	request.lam = in.more & 2;
	request.ept_level5 = in.more & 4;
	bits_describe(&request, in.value, &report);
	check_text(report.summary);
	for (unsigned i = 0; i < report.field_count && i < BITS_FIELD_MAX; i++) {
		check(report.field[i].name && report.field[i].high >= report.field[i].low);
		check(report.field[i].high < 64);
		check_text(report.field[i].meaning);
	}
	for (unsigned i = 0; i < report.finding_count && i < BITS_FINDING_MAX; i++) {
		check(report.finding[i].rule);
		check_text(report.finding[i].text);
	}
	return 0;
}
