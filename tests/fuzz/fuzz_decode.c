/* SPDX-License-Identifier: MIT */
/*
 * fuzz_decode.c - libFuzzer target: bits_describe() on any value in any
 * configuration, trace_parse() and trace_explain() on any line. They must end, stay
 * in their room and name every text; what a line hands on must be described, too.
 *
 * Input: struct input, then a line, in which bytes from 128 up stand for words of
 * real ones.
 */
#include "cli/bits.h"
#include "cli/trace.h"

#include <stdio.h>
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

static void check_value(const struct bits_bound *bound, uint64_t value)
{
	static struct bits_report report;

	bits_explain(bound, value, &report);
	check_text(report.summary);
	for (unsigned i = 0; i < report.field_count && i < BITS_FIELD_MAX; i++) {
		check(report.field[i].name && report.field[i].high >= report.field[i].low);
		check(report.field[i].high < 64);
		check(report.field[i].meaning && strlen(report.field[i].meaning) < BITS_TEXT);
	}
	for (unsigned i = 0; i < report.finding_count && i < BITS_FINDING_MAX; i++) {
		check(report.finding[i].rule);
		check(report.finding[i].text && strlen(report.finding[i].text) < BITS_TEXT);
	}
}

static const char *const words[] = {
	"kvm_mmu_set_spte: gfn 1 spte 80a0000012345f37 (rwx) level 1 at 8",
	"mark_mmio_spte: gfn fee00 access 7 gen 2",
	"handle_mmio_page_fault: addr:1 gfn 1 access 6",
	"check_mmio_spte: spte fee00016 kvm_gen 2 spte-gen 2 valid 1",
	"fast_page_fault: vcpu 0 gva 1 error_code P|W old 0x1 new 2 spurious 0 fixed 1",
	"kvm_tdp_mmu_spte_changed: as id 0 gfn 1 level 1 old_spte 1 new_spte 2",
	"kvm_mmu_get_page: sp gen 0 gfn 1 l1 8-byte q0 direct wux nxe ad root 0 sync new",
	"kvm_mmu_prepare_zap_page:",
	"kvm_page_fault: vcpu 0 rip 0x1 address 0x1 error_code 0x181",
	"kvm_exit: reason npf info1 0x1 info2 0x2 intr_info 0x80000b0e error_code 0x7",
	"kvm_nested_vmenter: nested_eptp: 0x1",
	"kvm_inj_exception: #PF (0x2)",
	"kvm_cr: cr_write 3 = 0x1",
	" gfn ",
	" spte ",
	" level ",
	" error_code ",
	" sp gen ",
	" info1 ",
	" unsync",
	" q4 l16 wu",
	" 0x",
	" 18446744073709551615 ",
};
#define WORDS (sizeof(words) / sizeof(*words))

/* @data as a line: bytes from 128 up stand for words. */
static void make_line(char *line, size_t room, const uint8_t *data, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < size && used < room - 1; i++) {
		if (data[i] < 128)
			line[used++] = (char)data[i];
		else
			used += (size_t)snprintf(line + used, room - used, "%s",
						 words[(data[i] - 128u) % WORDS]);
	}
	line[used < room ? used : room - 1] = 0;
}

static void check_line(const struct bits_request *base, const char *text)
{
	static struct trace_report report;
	struct bits_request request = *base;
	struct trace_line line;
	struct bits_bound bound;
	char why[200];

	why[0] = 0;
	switch (trace_parse(text, &line, why, sizeof(why))) {
	case TRACE_BAD: check(why[0]); return;
	case TRACE_NONE: return;
	case TRACE_OTHER: check(line.name[0]); break;
	case TRACE_OK: check(line.name[0] && line.event && line.given); break;
	}
	request.kind = BITS_SPTE;
	if (!bits_mode_fits(request.kind, request.mode))
		request.mode = BITS_MODE_AUTO;
	bits_bind(&bound, &request);
	trace_explain(&bound, &line, &report);
	check_text(report.change);
	for (unsigned i = 0; i < report.field_count; i++) {
		check(report.field[i].name);
		check_text(report.field[i].meaning);
	}
	for (unsigned i = 0; i < report.finding_count; i++)
		check_text(report.finding[i].text);
	for (unsigned i = 0; i < report.value_count; i++) {
		request.kind = report.value[i].kind;
		request.mode = BITS_MODE_AUTO;
		request.level = report.value[i].level;
		bits_bind(&bound, &request);
		check_value(&bound, report.value[i].value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bits_request request;
	struct bits_bound bound;
	struct input in = {0};
	char line[1024];

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
	request.now_given = in.more & 8;
	request.now = in.value >> 3;
	bits_bind(&bound, &request);
	check_value(&bound, in.value);
	if (size <= sizeof(in))
		return 0;
	make_line(line, sizeof(line), data + sizeof(in), size - sizeof(in));
	check_line(&request, line);
	return 0;
}
