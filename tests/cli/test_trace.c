/* SPDX-License-Identifier: MIT */
/*
 * test_trace.c - lines of traces, and the buffer that prints what is in them.
 *
 * Words and numbers one by one; examples of all events are in decode.rows. Then
 * examples with bytes changed (seeded, the seed is printed): any line is refused with a
 * sentence or explained.
 */
#include "cli/text.h"
#include "cli/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct trace_line line;
static char why[200];

static enum trace_result parse(const char *text)
{
	why[0] = 0;
	return trace_parse(text, &line, why, sizeof(why));
}

static uint64_t field(enum trace_id id)
{
	assert_true(line.given >> id & 1);
	return line.value[id];
}

static struct bits_bound bound_in(enum bits_mode mode)
{
	struct bits_request request;
	struct bits_bound bound;

	bits_defaults(&request, false);
	request.kind = BITS_SPTE;
	request.mode = mode;
	bits_bind(&bound, &request);
	return bound;
}

static struct bits_bound bound(void)
{
	return bound_in(BITS_MODE_AUTO);
}

/* What the code of the line is taken for. */
static enum bits_kind code_in_mode(enum bits_mode mode)
{
	const struct bits_bound sptes = bound_in(mode);
	struct trace_report report;

	trace_explain(&sptes, &line, &report);
	assert_int_equal(report.value_count, 1);
	return report.value[0].kind;
}

static void test_words(void **state)
{
	(void)state;
	/* spte-gen is no spte, kgfn no gfn; order does not matter. */
	assert_int_equal(parse("kvm_mmu_set_spte: kgfn 9 gfn 1 level 1 gfns 8 spte 16"), TRACE_OK);
	assert_int_equal(field(TRACE_GFN), 1);
	assert_int_equal(parse("check_mmio_spte: spte-gen 3 kvm_gen 4 spte 16"), TRACE_OK);
	assert_int_equal(field(TRACE_SPTE), 0x16);
	assert_int_equal(field(TRACE_SPTE_GENERATION), 3);
	assert_int_equal(field(TRACE_KVM_GENERATION), 4);
	assert_false(line.given >> TRACE_GFN & 1);
	assert_int_equal(parse("kvm_exit: reason x info 5 6"), TRACE_OK);
	assert_int_equal(field(TRACE_INFO1), 5);
	assert_int_equal(parse("kvm_exit: reason x info1 0x7 info2 0x8"), TRACE_OK);
	assert_int_equal(field(TRACE_INFO1), 7);
	assert_int_equal(field(TRACE_INFO2), 8);
	/* What stands before an event's name does not matter, but its own letters do. */
	assert_int_equal(parse("a b:1: kvm:kvm_cr: cr_write 3 = 0x1000"), TRACE_OK);
	assert_int_equal(field(TRACE_CR_VALUE), 0x1000);
	assert_int_equal(parse("xkvm_cr: cr_write 3 = 0x1000"), TRACE_NONE);
	assert_int_equal(parse("my_kvm_cr: cr_write 3"), TRACE_NONE);
	assert_int_equal(parse("kvm_crx: cr_write 3"), TRACE_OTHER);
	assert_string_equal(line.name, "kvm_crx");
	assert_int_equal(parse("kvm_cr cr_write 3"), TRACE_NONE);
	assert_int_equal(parse(""), TRACE_NONE);
	assert_int_equal(parse(":"), TRACE_NONE);
	/* Nothing of a terminal's gets through. */
	assert_int_equal(parse("kvm_exit: reason \33[31mx rip 0x1"), TRACE_OK);
	assert_string_equal(line.reason, "");
}

static void test_numbers(void **state)
{
	(void)state;
	assert_int_equal(parse("kvm_mmu_paging_element: pte ffffffffffffffff level 10"), TRACE_OK);
	assert_true(field(TRACE_GPTE) == UINT64_MAX);
	assert_int_equal(field(TRACE_LEVEL), 10);
	assert_int_equal(parse("kvm_mmu_paging_element: pte 0X1F level 0x10"), TRACE_OK);
	assert_int_equal(field(TRACE_GPTE), 0x1f);
	assert_int_equal(field(TRACE_LEVEL), 0x10);
	assert_int_equal(parse("kvm_mmu_paging_element: pte 10000000000000000 level 1"), TRACE_BAD);
	assert_non_null(strstr(why, "'10000000000000000' after 'pte'"));
	assert_int_equal(parse("kvm_mmu_paging_element: pte 12g level 1"), TRACE_BAD);
	assert_int_equal(parse("kvm_mmu_paging_element: pte -1 level 1"), TRACE_BAD);
	assert_int_equal(parse("kvm_mmu_paging_element: pte 0x level 1"), TRACE_BAD);
	assert_int_equal(parse("kvm_mmu_paging_element: pte"), TRACE_BAD);
	assert_int_equal(parse("kvm_mmu_split_huge_page: gfn 0 spte 0 level 2 errno -12"),
			 TRACE_OK);
	assert_true(field(TRACE_ERRNO) == (uint64_t)-12);
	/* G-34 */
	assert_int_equal(parse("fast_page_fault: error_code P|W|U|RSVD|F old 0 new 0"), TRACE_OK);
	assert_int_equal(field(TRACE_PFEC), 0x1f);
	assert_int_equal(parse("fast_page_fault: error_code W|0x100000000 old 0 new 0"), TRACE_OK);
	assert_true(field(TRACE_PFEC) == 0x100000002);
	assert_int_equal(parse("fast_page_fault: error_code  old 0 new 0"), TRACE_OK);
	assert_int_equal(field(TRACE_PFEC), 0);
}

static uint64_t role(const char *text)
{
	char whole[128] = "kvm_mmu_sync_page: ";

	strcat(whole, text);
	assert_int_equal(parse(whole), TRACE_OK);
	return field(TRACE_ROLE);
}

/* R-1, layout 7.3 */
static void test_roles(void **state)
{
	(void)state;
	assert_int_equal(role("sp gen 1 gfn 1f l3 8-byte q0 --- !nxe ad root 0 sync"), 0x103);
	assert_int_equal(field(TRACE_GFN), 0x1f);
	assert_int_equal(field(TRACE_MMU_GENERATION), 1);
	assert_int_equal(field(TRACE_UNSYNC), 0);
	assert_int_equal(role("sp gen 0 gfn 0 l1 4-byte q3 --- !nxe ad root 0 unsync"), 0x171);
	assert_int_equal(field(TRACE_UNSYNC), 1);
	assert_int_equal(
		role("sp gen 0 gfn 0 l4 8-byte q0 direct rwux invalid nxe !ad root 2 sync"),
		0x13f84);
	assert_int_equal(field(TRACE_ROOTS), 2);
	assert_int_equal(role("sp gen 0 gfn 0 l1 8-byte q0 w-x nxe ad root 0 sync"), 0x2b01);
	assert_int_equal(role("sp gen 0 gfn 0 l1 8-byte q0 -w-- nxe ad root 0 sync"), 0x2201);
	assert_int_equal(parse("kvm_mmu_sync_page: gfn 0 l1"), TRACE_BAD);
	assert_int_equal(parse("kvm_mmu_sync_page: sp gfn 0 l16"), TRACE_BAD);
}

static void test_explained(void **state)
{
	static const struct {
		const char *text;
		enum bits_kind kind;
	} codes[] = {
		{"kvm_page_fault: address 0 error_code 7", BITS_PFEC},
		{"kvm_page_fault: address 0 error_code 8007", BITS_PFEC},
		{"kvm_page_fault: address 0 error_code 83", BITS_EPTQUAL},
		{"kvm_page_fault: address 0 error_code 181", BITS_EPTQUAL},
		/* Without a linear address (E-9): the rights tell a write, bit 16 is EPT's own. */
		{"kvm_page_fault: address 0 error_code a", BITS_EPTQUAL},
		{"kvm_page_fault: address 0 error_code 22", BITS_EPTQUAL},
		{"kvm_page_fault: address 0 error_code 10002", BITS_EPTQUAL},
		/* A #PF has these. */
		{"kvm_page_fault: address 0 error_code 2", BITS_PFEC},
		{"kvm_page_fault: address 0 error_code 9", BITS_PFEC},
		{"kvm_page_fault: address 0 error_code 27", BITS_PFEC},
		{"kvm_page_fault: address 0 error_code 100000004", BITS_NPFCODE},
		{"kvm_page_fault: address 0 error_code 200000006", BITS_NPFCODE},
	};
	const struct bits_bound sptes = bound();
	struct trace_report report;

	(void)state;
	for (unsigned i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		assert_int_equal(parse(codes[i].text), TRACE_OK);
		trace_explain(&sptes, &line, &report);
		assert_int_equal(report.value_count, 1);
		assert_int_equal(report.value[0].kind, codes[i].kind);
	}
	/* Where --mode says whose tables they are, it decides. */
	assert_int_equal(parse("kvm_page_fault: address 0 error_code 1"), TRACE_OK);
	assert_int_equal(code_in_mode(BITS_MODE_AUTO), BITS_PFEC);
	assert_int_equal(code_in_mode(BITS_MODE_EPT), BITS_EPTQUAL);
	assert_int_equal(code_in_mode(BITS_MODE_SHADOW), BITS_PFEC);
	assert_int_equal(parse("kvm_page_fault: address 0 error_code a"), TRACE_OK);
	assert_int_equal(code_in_mode(BITS_MODE_SHADOW), BITS_PFEC);
	/* An entry made is the entry that core makes: Q-23. */
	assert_int_equal(parse("mark_mmio_spte: gfn fee00 access 7 gen 2"), TRACE_OK);
	trace_explain(&sptes, &line, &report);
	assert_int_equal(report.value[0].value, 0xfee00016);
	assert_int_equal(parse("mark_mmio_spte: gfn 10000000000 access 7 gen 2"), TRACE_OK);
	trace_explain(&sptes, &line, &report);
	assert_int_equal(report.value_count, 0);
	/* Q-14: the write protection of a page being shadowed. */
	assert_int_equal(parse("fast_page_fault: error_code P old 80a0000012345f35 "
			       "new 8020000012345f35"),
			 TRACE_OK);
	trace_explain(&sptes, &line, &report);
	assert_string_equal(report.change, "-MMU-writable: needs a TLB flush (Q-14)");
}

static void test_json(void **state)
{
	static struct text text;

	(void)state;
	/* Every place of a byte to escape in words of eight. */
	for (unsigned length = 1; length < 20; length++) {
		for (unsigned at = 0; at < length; at++) {
			char string[20] = "", wanted[32];

			memset(string, 'x', length);
			string[at] = "\"\\\n\x80\x1f"[at % 5];
			snprintf(wanted, sizeof(wanted), "\"%.*s\\u%04x%s\"", (int)at, string,
				 (unsigned char)string[at], string + at + 1);
			text.used = 0;
			text_json(&text, string);
			assert_int_equal(text.used, strlen(wanted));
			assert_memory_equal(text.data, wanted, text.used);
		}
	}
	text.used = 0;
	text_json(&text, " ~[]{}!#");
	assert_memory_equal(text.data, "\" ~[]{}!#\"", text.used);
}

static uint64_t random64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void test_random(void **state)
{
	static const char *const examples[] = {
		"q: kvm_mmu_set_spte: gfn 12345 spte 80a0000012345f37 (rwxu) level 1 at 10abcde28",
		"q: fast_page_fault: vcpu 0 gva 7 error_code P|W old 0x80a0000012345f35 new "
		"80a0000012345f37 spurious 0 fixed 1",
		"q: kvm_mmu_get_page: sp gen 0 gfn 12200 l1 8-byte q0 direct wux nxe ad root 0 "
		"sync",
		"q: check_mmio_spte: spte fee00016 kvm_gen 4 spte-gen 2 valid 0",
		"q: kvm_exit: reason EPT_VIOLATION rip 0x1 info1 0x182 info2 0x0 intr_info "
		"0x80000b0e error_code 0x7",
	};
	const char *scale = getenv("UMBRA_TEST_SCALE");
	const unsigned count = scale && !strcmp(scale, "small") ? 20000 : 200000;
	const struct bits_bound sptes = bound();
	static struct trace_report report;
	uint64_t seed = 0x5eed74ace;
	unsigned results[4] = {0};

	(void)state;
	print_message("# %u lines, seed 0x%lx\n", count, seed);
	for (unsigned i = 0; i < count; i++) {
		char text[160];
		enum trace_result result;

		strcpy(text, examples[random64(&seed) % (sizeof(examples) / sizeof(*examples))]);
		for (unsigned n = random64(&seed) % 3; n; n--)
			text[random64(&seed) % strlen(text)] =
				(char)(random64(&seed) % 4 ? random64(&seed) % 127 + 1 : ' ');
		result = parse(text);
		results[result]++;
		assert_true(result != TRACE_BAD || why[0]);
		if (result != TRACE_OK)
			continue;
		trace_explain(&sptes, &line, &report);
		assert_true(report.field_count <= TRACE_FIELD_MAX);
		for (unsigned f = 0; f < report.field_count; f++)
			assert_true(strlen(report.field[f].meaning) < BITS_TEXT - 1);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_true(results[i] > 0 || i == TRACE_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_roles), cmocka_unit_test(test_explained),
		cmocka_unit_test(test_json),  cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
