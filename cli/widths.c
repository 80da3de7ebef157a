/* SPDX-License-Identifier: MIT */
/*
 * widths.c - how wide addresses are, and why.
 *
 * The numbers are core's (format_widths[]); here are the sentences. A CPU cuts what
 * comes out to its MAXPHYADDR, and no width of anything else:
 *
 *	linear address ----> [ a guest's tables ] ----> guest-physical address
 *	  linear = input                                  output, at most MAXPHYADDR
 *
 *	guest-physical  ---> [ EPT or NPT ] ---------> physical address
 *	  input; what has more bits no table reaches     output, at most MAXPHYADDR
 */
#include "cli/widths.h"
#include "core/format.h"
#include "core/mode.h"

#include <inttypes.h>
#include <stdio.h>

/* Why the numbers are what they are. */
struct reasons {
	const char *name, *title, *when;
	const char *linear, *input, *output;
};

#define LINEAR_32 "outside 64-bit mode addresses have 32 bits and wrap at 4G (H-3)"
#define LINEAR_NONE "it translates guest-physical addresses, never linear ones"
#define ENTRY_52 "entries have address bits 51:12, as many as the architecture has (H-9)"
#define NPT_OLD \
	"only hypervisors that are guests have such tables: KVM and Umbra write none (G-4, P-1)"

static const struct reasons reasons[FORMAT_WIDTH_ROWS] = {
	[FORMAT_WIDTH_NONE] = {"none", "no paging", "CR0.PG = 0",
			       "64-bit mode needs paging, and all else has 32 bits (H-2)",
			       "there are no tables: addresses go through as they are (G-1)",
			       "the physical address is the linear one (G-1)"},
	[FORMAT_WIDTH_PSE36] = {"pse36", "32-bit, PSE-36", "CR4.PAE = 0, CR4.PSE = 1, CPUID PSE36",
				LINEAR_32,
				"10 + 10 bits of index and 12 of offset, or 10 + 22 (SDM 3A 4.3)",
				"bits 20:13 of a 4M page's entry are address bits 39:32 (H-27); "
				"KVM stops at 36 (G-22), 4K pages at 32"},
	[FORMAT_WIDTH_32] = {"32", "32-bit", "CR4.PAE = 0, no PSE-36", LINEAR_32,
			     "10 + 10 bits of index and 12 of offset, or 10 + 22 (SDM 3A 4.3)",
			     "entries are 4 bytes with address bits 31:12 (H-26)"},
	[FORMAT_WIDTH_PAE] = {"pae", "PAE", "CR4.PAE = 1, EFER.LMA = 0", LINEAR_32,
			      "2 + 9 + 9 bits of index and 12 of offset (SDM 3A 4.4)",
			      "entries are 8 bytes with address bits 51:12; 36 is only what the "
			      "first CPUs had (G-3, F-34)"},
	[FORMAT_WIDTH_4] = {"4", "4-level", "EFER.LMA = 1, CR4.LA57 = 0",
			    "bits 63:48 must repeat bit 47, or #GP comes before any walk (H-4)",
			    "4 times 9 bits of index and 12 of offset (SDM 3A 4.5)", ENTRY_52},
	[FORMAT_WIDTH_5] = {"5", "5-level", "EFER.LMA = 1, CR4.LA57 = 1",
			    "bits 63:57 must repeat bit 56, or #GP comes before any walk (H-4)",
			    "5 times 9 bits of index and 12 of offset (SDM 3A 4.5)",
			    "the entries are those of 4 levels: no more address bits (H-9)"},
	[FORMAT_WIDTH_EPT4] = {"ept4", "EPT, 4-level", "EPTP[5:3] = 3", LINEAR_NONE,
			       "4 times 9 bits of index and 12 of offset (SDM 3C 29.3.2, H-84)",
			       ENTRY_52},
	[FORMAT_WIDTH_EPT5] = {"ept5", "EPT, 5-level", "EPTP[5:3] = 4", LINEAR_NONE,
			       "57 bits of index and offset, but no guest-physical address has "
			       "more than 52 (H-84)",
			       ENTRY_52},
	[FORMAT_WIDTH_NPT_PSE36] = {"npt-pse36", "NPT, 32-bit PSE-36",
				    "of a host with CR4.PAE = 0, CR4.PSE = 1", LINEAR_NONE, NPT_OLD,
				    "bits 20:13 of a 4M page's entry are address bits 39:32 "
				    "(H-27)"},
	[FORMAT_WIDTH_NPT_32] = {"npt-32", "NPT, 32-bit", "of a host with CR4.PAE = 0, no PSE-36",
				 LINEAR_NONE, NPT_OLD,
				 "entries are 4 bytes with address bits 31:12 (H-26)"},
	[FORMAT_WIDTH_NPT_PAE] = {"npt-pae", "NPT, PAE", "of a host with EFER.LMA = 0", LINEAR_NONE,
				  "2 + 9 + 9 bits of index and 12 of offset: 52 bits come out, not "
				  "in (F-34); no manual says what wider ones do (H-101)",
				  ENTRY_52},
	[FORMAT_WIDTH_NPT_4] = {"npt-4", "NPT, 4-level", "of a host with CR4.LA57 = 0", LINEAR_NONE,
				"4 times 9 bits of index and 12 of offset, unsigned: bit 47 is "
				"not extended (H-101)",
				ENTRY_52},
	[FORMAT_WIDTH_NPT_5] = {"npt-5", "NPT, 5-level", "of a host with CR4.LA57 = 1", LINEAR_NONE,
				"57 bits of index and offset, but no guest-physical address has "
				"more than 52 (H-101)",
				ENTRY_52},
};

static bool shown(const struct widths_cpu *cpu, unsigned row)
{
	const struct format_width *width = &format_widths[row];

	if (width->when & MODE_PSE36 && !cpu->pse36)
		return false;
	if (row == FORMAT_WIDTH_EPT5 && !cpu->level5)
		return false;
	if (width->linear)
		return true;
	return width->format->family == FORMAT_EPT ? cpu->ept : cpu->npt;
}

unsigned widths_output(const struct widths_cpu *cpu, unsigned row)
{
	const unsigned output = format_widths[row].output;

	return cpu->maxphyaddr && cpu->maxphyaddr < output ? cpu->maxphyaddr : output;
}

/* What the CPU's MAXPHYADDR does to the number, as the end of its sentence. */
static const char *output_more(const struct widths_cpu *cpu, unsigned row, char *text, size_t size)
{
	const unsigned output = format_widths[row].output;

	if (output == 32)
		*text = 0;
	else if (!cpu->maxphyaddr)
		snprintf(text, size, "; MAXPHYADDR bounds it");
	else if (cpu->maxphyaddr < output)
		snprintf(text, size, "; bits %u up are reserved, MAXPHYADDR is %u", cpu->maxphyaddr,
			 cpu->maxphyaddr);
	else
		snprintf(text, size, "; MAXPHYADDR is %u", cpu->maxphyaddr);
	return text;
}

/* F-30: guest-physical addresses that the tables of a second stage cannot map. */
static const char *input_more(const struct widths_cpu *cpu, unsigned row, char *text, size_t size)
{
	const struct format_width *width = &format_widths[row];

	if (width->linear)
		*text = 0;
	else if (!cpu->maxphyaddr)
		snprintf(text, size, "; no table maps an address with a bit of 63:%u (F-30)",
			 width->input);
	else if (cpu->maxphyaddr > width->input)
		snprintf(text, size, "; of the CPU's %u bits no table maps those from %u up (F-30)",
			 cpu->maxphyaddr, width->input);
	else
		snprintf(text, size, "; enough for the CPU's %u bits", cpu->maxphyaddr);
	return text;
}

static void print_json(struct out *out, const struct widths_cpu *cpu, unsigned row)
{
	const struct format_width *width = &format_widths[row];
	const struct reasons *why = &reasons[row];
	char input[128], output[128];

	out_json(out,
		 json_pack("{s:s, s:s, s:s, s:o, s:i, s:i, s:o, s:{s:s, s:s+, s:s+}}", "width",
			   why->name, "mode", why->title, "when", why->when, "linear",
			   width->linear ? json_integer(width->linear) : json_null(), "input",
			   (int)width->input, "output", (int)widths_output(cpu, row), "unmappable",
			   width->linear ? json_null() : out_hex(~0ull << width->input), "why",
			   "linear", why->linear, "input", why->input,
			   input_more(cpu, row, input, sizeof(input)), "output", why->output,
			   output_more(cpu, row, output, sizeof(output))));
}

static void print_reasons(const struct out *out, const struct widths_cpu *cpu, unsigned row)
{
	const struct format_width *width = &format_widths[row];
	const struct reasons *why = &reasons[row];
	char more[128];

	printf("\n%s%s%s: %s\n", out_style(out, OUT_BOLD), why->title, out_style(out, OUT_PLAIN),
	       why->when);
	if (width->linear)
		printf("  linear %2u  %s\n", width->linear, why->linear);
	else
		printf("  linear  -  %s\n", why->linear);
	printf("  input  %2u  %s%s\n", width->input, why->input,
	       input_more(cpu, row, more, sizeof(more)));
	printf("  output %2u  %s%s\n", widths_output(cpu, row), why->output,
	       output_more(cpu, row, more, sizeof(more)));
}

void widths_print(struct out *out, const struct widths_cpu *cpu)
{
	struct out_table table;
	char linear[8];

	if (out->json) {
		for (unsigned row = 0; row < FORMAT_WIDTH_ROWS; row++) {
			if (shown(cpu, row))
				print_json(out, cpu, row);
		}
		return;
	}
	out_table_init(&table, out, "bits of addresses|linear|input|output");
	for (unsigned row = 0; row < FORMAT_WIDTH_ROWS; row++) {
		const struct format_width *width = &format_widths[row];

		if (!shown(cpu, row))
			continue;
		snprintf(linear, sizeof(linear), "%u", width->linear);
		out_table_row(&table, "%s|%s|%u|%u", reasons[row].title,
			      width->linear ? linear : "-", width->input, widths_output(cpu, row));
	}
	out_table_print(&table);
	for (unsigned row = 0; row < FORMAT_WIDTH_ROWS; row++) {
		if (shown(cpu, row))
			print_reasons(out, cpu, row);
	}
}
