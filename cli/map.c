/* SPDX-License-Identifier: MIT */
/*
 * map.c - `umbra map IMAGE`: what a guest's tables map.
 *
 * One scan of the tables; neighbouring pages with the same effective rights
 * (ANDed over the levels, and global or not) become one range, whatever they
 * map to and however large they are. Text goes through stdio's buffer with
 * printf only at the ends of ranges: the time is that of the scan.
 *
 *	start              end (exclusive)          size  pages       rights
 *	0x0000000000400000-0x00000000004f0000       960K  4K           r-xu -
 */
#include "cli/cmd.h"
#include "cli/guest.h"
#include "cli/out.h"
#include "lab/scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHIFT_MAX 31

struct mapping {
	struct guest *guest;
	struct out *out;
	/** Filters. */
	bool wx, user, supervisor, pages;
	/** The range being collected; @size 0: none. @start and @last are
	 * addresses, the last one inclusive (it may be 2^64-1). */
	uint64_t start, last, size;
	uint8_t acc;
	bool global;
	uint64_t page_count[SHIFT_MAX];
	/** Totals over what is printed. */
	uint64_t ranges, bytes, leaves, reserved, absent;
};

static const uint8_t shifts[] = {12, 21, 22, 30};

/* "4K" or "4K+2M" */
static const char *page_sizes(const struct mapping *m, char *to, size_t size)
{
	size_t length = 0;

	*to = 0;
	for (unsigned i = 0; i < sizeof(shifts); i++) {
		if (m->page_count[shifts[i]] && length < size)
			length += (size_t)snprintf(to + length, size - length, "%s%s",
						   length ? "+" : "", guest_size_name(shifts[i]));
	}
	return to;
}

static const char *human_size(uint64_t bytes, char *to, size_t size)
{
	static const char units[] = "KMGTP";
	unsigned unit = 0;

	for (bytes >>= 10; bytes >= 1024 && bytes % 1024 == 0 && unit + 2 < sizeof(units); unit++)
		bytes >>= 10;
	snprintf(to, size, "%" PRIu64 "%c", bytes, units[unit]);
	return to;
}

static void print_range(struct mapping *m)
{
	char sizes[32], size[24], rights[5];

	guest_rights(m->acc, rights);
	if (!m->out->json) {
		/* The end is exclusive, so the last range may end at 2^64: 0. */
		printf("0x%016" PRIx64 "-0x%016" PRIx64 " %9s  %-8s  %s %c\n", m->start,
		       m->last + 1, human_size(m->size, size, sizeof(size)),
		       page_sizes(m, sizes, sizeof(sizes)), rights, m->global ? 'g' : '-');
		return;
	}

	json_t *pages = json_object();

	for (unsigned i = 0; i < sizeof(shifts); i++) {
		if (m->page_count[shifts[i]])
			json_object_set_new(pages, guest_size_name(shifts[i]),
					    out_count(m->page_count[shifts[i]]));
	}
	out_json(m->out, json_pack("{s:o, s:o, s:o, s:s, s:b, s:o}", "start", out_hex(m->start),
				   "last", out_hex(m->last), "size", out_count(m->size), "rights",
				   rights, "global", m->global, "pages", pages));
}

static void end_range(struct mapping *m)
{
	if (!m->size)
		return;
	m->ranges++;
	print_range(m);
	m->size = 0;
}

static void print_page(struct mapping *m, const struct scan_leaf *leaf)
{
	char rights[5];

	m->ranges++;
	guest_rights(leaf->acc, rights);
	if (!m->out->json) {
		printf("0x%016" PRIx64 " 0x%013" PRIx64 " %s %s %c 0x%016" PRIx64 "\n", leaf->gva.v,
		       leaf->gpa.v, guest_size_name(leaf->shift), rights, leaf->global ? 'g' : '-',
		       leaf->entry);
		return;
	}
	out_json(m->out,
		 json_pack("{s:o, s:o, s:s, s:s, s:b, s:o}", "gva", out_hex(leaf->gva.v), "gpa",
			   out_hex(leaf->gpa.v), "size", guest_size_name(leaf->shift), "rights",
			   rights, "global", leaf->global, "entry", out_hex(leaf->entry)));
}

static bool wanted(const struct mapping *m, const struct scan_leaf *leaf)
{
	const unsigned wx = ACC_WRITE | ACC_EXEC;

	if (m->wx && (leaf->acc & wx) != wx)
		return false;
	if (m->user && !(leaf->acc & ACC_USER))
		return false;
	return !(m->supervisor && (leaf->acc & ACC_USER));
}

static bool on_leaf(void *context, const struct scan_leaf *leaf)
{
	struct mapping *m = context;
	uint64_t size = 1ull << leaf->shift;

	if (!wanted(m, leaf))
		return true;
	m->leaves++;
	m->bytes += size;
	if (m->pages) {
		print_page(m, leaf);
		return true;
	}
	if (m->size &&
	    (m->last + 1 != leaf->gva.v || m->acc != leaf->acc || m->global != leaf->global))
		end_range(m);
	if (!m->size) {
		m->start = leaf->gva.v;
		m->acc = leaf->acc;
		m->global = leaf->global;
		memset(m->page_count, 0, sizeof(m->page_count));
	}
	m->last = leaf->gva.v + (size - 1);
	m->size += size;
	m->page_count[leaf->shift]++;
	return true;
}

static bool on_note(void *context, const struct scan_note *note)
{
	struct mapping *m = context;

	m->absent += note->kind == SCAN_ABSENT;
	m->reserved += note->kind == SCAN_RESERVED;
	return true;
}

static void print_total(const struct mapping *m, const struct scan *scan)
{
	const char *mode = guest_mode_name(m->guest);
	char size[24];

	if (m->out->json) {
		out_json(m->out,
			 json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "mode", mode,
				   "source", image_path(m->guest->image), "ranges",
				   out_count(m->ranges), "pages", out_count(m->leaves), "bytes",
				   out_count(m->bytes), "tables", out_count(scan->tables),
				   "tables_absent", out_count(m->absent), "entries_reserved",
				   out_count(m->reserved)));
		return;
	}
	printf("%" PRIu64 " %s, %" PRIu64 " pages, %s, %" PRIu64 " tables, %s\n", m->ranges,
	       m->pages ? "lines" : "ranges", m->leaves, human_size(m->bytes, size, sizeof(size)),
	       scan->tables, mode);
	if (m->absent)
		printf("%" PRIu64 " tables are absent in image\n", m->absent);
	if (m->reserved)
		printf("%" PRIu64 " entries have reserved bits set\n", m->reserved);
}

/* struct scan has one context for both callbacks. */
static const void *at(void *context, umbra_gpa gpa, size_t size)
{
	return guest_at(((struct mapping *)context)->guest, gpa, size);
}

static enum cli_status run(struct mapping *m)
{
	struct guest *guest = m->guest;
	struct scan scan = {
		.regs = &guest->is.regs,
		.cpu = &guest->is.cpu,
		.context = m,
		.at = at,
		.leaf = on_leaf,
		.note = on_note,
	};

	if (!guest->paged) {
		if (m->out->json)
			print_total(m, &scan);
		else
			puts("no paging: every address below 4 GiB is its own");
		return CLI_OK;
	}
	scan_run(&scan);
	end_range(m);
	if (scan.gave_up)
		return cli_error(CLI_BADINPUT,
				 "map: %s: the tables contain each other, gave up after %" PRIu64
				 " entries",
				 image_path(guest->image), scan.entries);
	print_total(m, &scan);
	return m->wx && m->leaves ? CLI_FINDING : CLI_OK;
}

int cmd_map(int argc, char **argv)
{
	struct common_options common = {0};
	struct regs_options regs = REGS_OPTIONS_DEFAULT;
	struct args_option common_args[COMMON_OPTION_COUNT], regs_args[REGS_OPTION_COUNT];
	struct guest guest;
	struct out out;
	struct mapping m = {.guest = &guest, .out = &out};
	const struct args_option own[] = {
		{.name = "wx",
		 .kind = ARGS_FLAG,
		 .help = "only what is writable and executable; exit 1 if there is any",
		 .flag = &m.wx},
		{.name = "user",
		 .kind = ARGS_FLAG,
		 .help = "only what user mode reaches",
		 .flag = &m.user},
		{.name = "supervisor",
		 .kind = ARGS_FLAG,
		 .help = "only what user mode does not reach",
		 .flag = &m.supervisor},
		{.name = "pages",
		 .kind = ARGS_FLAG,
		 .help = "one line per page: gva, gpa, size, rights, entry",
		 .flag = &m.pages},
	};
	struct args_spec spec = {
		.name = "map",
		.synopsis = "IMAGE",
		.summary = "What a memory image maps, as merged ranges with permissions.",
		.details = "Rights are effective ones: r w x, then u(ser) or s(upervisor), then "
			   "g(lobal).",
		.groups = {{own, sizeof(own) / sizeof(own[0])},
			   {regs_args, REGS_OPTION_COUNT},
			   {common_args, COMMON_OPTION_COUNT}},
		.rest_min = 1,
		.rest_max = 1,
	};
	enum cli_status status;

	regs_options(&regs, regs_args);
	common_options(&common, common_args);
	if (!args_parse(&spec, argc, argv))
		return spec.status;
	if (m.user && m.supervisor)
		return cli_error(CLI_USAGE, "map: expected --user or --supervisor, not both");
	status = guest_open(&guest, "map", spec.rest[0], &regs);
	if (status != CLI_OK)
		return status;
	out_init(&out, common.json, common.quiet);
	status = run(&m);
	guest_close(&guest);
	return out_finish(&out, status);
}
