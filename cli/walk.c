/* SPDX-License-Identifier: MIT */
/*
 * walk.c - `umbra walk IMAGE ADDRESS...`: a translation, step by step.
 *
 * The steps are those of the library's walker on the image's own tables; this
 * file only prints them. Nothing is written, neither to the file nor to the
 * private copy (no A/D bits).
 *
 *	0x401000  read, supervisor  (4-level)
 *	  PML4E   [  0]  0x0000000006370000  0x000000000333a067  rwxu  table 0x333a000
 *	  ...
 *	  = 0x330d000, 4K page, r--u
 */
#include "cli/cmd.h"
#include "cli/guest.h"
#include "cli/out.h"
#include "lab/scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct args_symbol accesses[] = {
	{"read", UMBRA_ACCESS_READ},   {"write", UMBRA_ACCESS_WRITE},
	{"fetch", UMBRA_ACCESS_FETCH}, {"user", UMBRA_ACCESS_USER},
	{"ac", UMBRA_ACCESS_AC},       {"implicit", UMBRA_ACCESS_IMPLICIT},
	{"shstk", UMBRA_ACCESS_SHSTK}, {NULL, 0},
};

struct walking {
	struct guest *guest;
	struct out *out;
	unsigned access;
};

static const char *const end_names[] = {
	[WALK_OK] = "ok",         [WALK_NOT_PRESENT] = "not_present", [WALK_RESERVED] = "reserved",
	[WALK_DENIED] = "denied", [WALK_ABSENT] = "absent",           [WALK_LOG_FULL] = "log_full",
};

/* Rights of one entry by itself, as ACC_*. */
static unsigned own_rights(const struct mode *mode, unsigned level, uint64_t entry)
{
	const struct mode_level *at = &mode->level[level];
	uint64_t rights = ((entry ^ at->flip) | at->grant) >> at->rights_shift;

	return mode->acc_always | (rights & mode->read ? ACC_READ : 0) |
	       (rights & mode->write ? ACC_WRITE : 0) | (rights & mode->user ? ACC_USER : 0) |
	       (rights & mode->exec ? ACC_EXEC : 0);
}

static const char *access_name(unsigned access, char *to, size_t size)
{
	snprintf(to, size, "%s%s, %s%s%s", access & UMBRA_ACCESS_SHSTK ? "shadow-stack " : "",
		 access & UMBRA_ACCESS_FETCH   ? "fetch"
		 : access & UMBRA_ACCESS_WRITE ? "write"
					       : "read",
		 access & UMBRA_ACCESS_USER ? "user" : "supervisor",
		 access & UMBRA_ACCESS_IMPLICIT ? ", implicit" : "",
		 access & UMBRA_ACCESS_AC ? ", AC=1" : "");
	return to;
}

/* What makes a supervisor's access to a user page a fault. */
static const char *because(const struct walking *w, const struct walk *walk)
{
	const uint32_t flags = w->guest->mode.flags;

	if (w->access & UMBRA_ACCESS_USER || !(walk->acc & ACC_USER))
		return "";
	if (w->access & UMBRA_ACCESS_FETCH)
		return flags & MODE_SMEP && walk->acc & ACC_EXEC ? " (SMEP)" : "";
	if (w->access & UMBRA_ACCESS_WRITE && flags & MODE_WP && !(walk->acc & ACC_WRITE))
		return "";
	return flags & MODE_SMAP ? " (SMAP)" : "";
}

/* Why the walk ended, in words; the entry is the one of walk->level. */
static void explain(const struct walking *w, const struct walk *walk, char *to, size_t size)
{
	const struct mode *mode = &w->guest->mode;
	const char *name = guest_level_name(walk->level);
	uint64_t entry = walk->entry[walk->level];
	char rights[5];

	switch (walk->end) {
	case WALK_OK: *to = 0; break;
	case WALK_NOT_PRESENT: snprintf(to, size, "%s is not present", name); break;
	case WALK_RESERVED: {
		const struct mode_level *at = &mode->level[walk->level];
		uint64_t bad = entry & at->rsvd[entry & at->large ? 1 : 0];

		snprintf(to, size, "%s has reserved bits 0x%" PRIx64 " set", name, bad);
		break;
	}
	case WALK_DENIED:
		if (walk->event.code & UMBRA_PF_PK)
			snprintf(to, size, "protection key %u denies", walk->key);
		else
			snprintf(to, size, "the translation's rights %s deny%s",
				 guest_rights(walk->acc, rights), because(w, walk));
		break;
	case WALK_LOG_FULL: snprintf(to, size, "the log of dirty pages is full"); break;
	case WALK_ABSENT:
		snprintf(to, size, "the table at 0x%" PRIx64 " is absent in image",
			 walk->entry_address[walk->level] & ~(uint64_t)0xfff);
		break;
	}
}

static bool has_entry(const struct walk *walk, unsigned level)
{
	return level > walk->level || walk->end != WALK_ABSENT;
}

static void print_step(const struct walking *w, const struct walk *walk, unsigned level,
		       uint64_t address)
{
	const struct mode *mode = &w->guest->mode;
	const struct mode_level *at = &mode->level[level];
	uint64_t entry = walk->entry[level];
	unsigned index = (unsigned)(address >> at->shift) & at->index_mask;
	char rights[5], where[32] = "(PDPTE register)";
	bool leaf = level == 1 || entry & at->large;

	if (!mode->root_registers || level != mode->top)
		snprintf(where, sizeof(where), "0x%014" PRIx64, walk->entry_address[level]);
	printf("  %-5s [%4u]  %s", guest_level_name(level), index, where);
	if (!has_entry(walk, level)) {
		puts("  absent in image");
		return;
	}
	printf("  0x%016" PRIx64, entry);
	if (!(entry & at->present))
		puts("  not present");
	else if (level == walk->level && walk->end == WALK_RESERVED)
		puts("  reserved bits set");
	else
		printf("  %s  %s 0x%" PRIx64 "\n",
		       guest_rights(own_rights(mode, level, entry), rights),
		       leaf ? "page" : "table",
		       leaf ? (entry & at->leaf_address) | (entry & at->high) << at->high_shift
			    : entry & at->table_address);
}

static void print_text(const struct walking *w, const struct walk *walk, uint64_t address)
{
	const struct guest *guest = w->guest;
	char text[128], rights[5];

	printf("%s0x%" PRIx64 "%s  %s  (%s)\n", out_style(w->out, OUT_BOLD), address,
	       out_style(w->out, OUT_PLAIN), access_name(w->access, text, sizeof(text)),
	       guest_mode_name(guest));
	for (unsigned level = guest->paged ? guest->mode.top : 0;
	     level >= 1 && level >= walk->level; level--)
		print_step(w, walk, level, address);
	if (walk->end != WALK_OK) {
		explain(w, walk, text, sizeof(text));
		printf("  = #PF code 0x%" PRIx64 ": %s\n", walk->event.code, text);
		return;
	}
	printf("  = 0x%" PRIx64, walk->final);
	if (guest->paged)
		printf(", %s page, %s", guest_size_name(walk->page_shift),
		       guest_rights(walk->acc, rights));
	printf("%s\n",
	       image_at(guest->image, (umbra_gpa){walk->final}, 1) ? "" : ", absent in image");
}

static json_t *json_steps(const struct walking *w, const struct walk *walk, uint64_t address)
{
	const struct mode *mode = &w->guest->mode;
	json_t *steps = json_array();

	for (unsigned level = w->guest->paged ? mode->top : 0; level >= 1 && level >= walk->level;
	     level--) {
		const struct mode_level *at = &mode->level[level];
		bool in_register = mode->root_registers && level == mode->top;
		json_t *step = json_pack("{s:i, s:s, s:I}", "level", (int)level, "name",
					 guest_level_name(level), "index",
					 (json_int_t)(address >> at->shift & at->index_mask));

		if (!in_register)
			json_object_set_new(step, "at", out_hex(walk->entry_address[level]));
		if (has_entry(walk, level))
			json_object_set_new(step, "entry", out_hex(walk->entry[level]));
		json_array_append_new(steps, step);
	}
	return steps;
}

static void print_json(const struct walking *w, const struct walk *walk, uint64_t address)
{
	const struct guest *guest = w->guest;
	json_t *line = json_pack("{s:o, s:s, s:s, s:o}", "address", out_hex(address), "mode",
				 guest_mode_name(guest), "result", end_names[walk->end], "steps",
				 json_steps(w, walk, address));
	char text[128], rights[5];

	if (walk->end == WALK_OK) {
		json_object_set_new(line, "gpa", out_hex(walk->final));
		json_object_set_new(
			line, "in_image",
			json_boolean(image_at(guest->image, (umbra_gpa){walk->final}, 1) != NULL));
		if (guest->paged) {
			json_object_set_new(line, "size",
					    json_string(guest_size_name(walk->page_shift)));
			json_object_set_new(line, "rights",
					    json_string(guest_rights(walk->acc, rights)));
		}
	} else {
		explain(w, walk, text, sizeof(text));
		json_object_set_new(line, "code", out_hex(walk->event.code));
		json_object_set_new(line, "why", json_string(text));
	}
	out_json(w->out, line);
}

static void one(const struct walking *w, uint64_t address)
{
	struct guest *guest = w->guest;
	struct walk walked;

	if (!scan_is_canonical(guest->space.mode, address)) {
		const char *what = guest->paged && guest->mode.format->input_bits > 32
					   ? "not canonical: #GP(0), no walk"
					   : "beyond 4 GiB: no such address in this mode";

		if (w->out->json)
			out_json(w->out, json_pack("{s:o, s:s, s:s, s:s}", "address",
						   out_hex(address), "mode", guest_mode_name(guest),
						   "result", "noncanonical", "why", what));
		else
			printf("%s0x%" PRIx64 "%s  (%s)\n  = %s\n", out_style(w->out, OUT_BOLD),
			       address, out_style(w->out, OUT_PLAIN), guest_mode_name(guest), what);
		return;
	}
	walk(&guest->space, address, w->access, WALK_NO_AD, &walked);
	if (w->out->json)
		print_json(w, &walked, address);
	else
		print_text(w, &walked, address);
}

int cmd_walk(int argc, char **argv)
{
	struct common_options common = {0};
	struct regs_options regs = REGS_OPTIONS_DEFAULT;
	struct args_option common_args[COMMON_OPTION_COUNT], regs_args[REGS_OPTION_COUNT];
	uint64_t access = 0;
	const struct args_option own[] = {
		{.name = "access",
		 .letter = 'a',
		 .kind = ARGS_SYMBOLS,
		 .metavar = "BITS",
		 .help = "of read,write,fetch,user,ac,implicit,shstk (default read)",
		 .symbols = accesses,
		 .number = &access},
	};
	struct args_spec spec = {
		.name = "walk",
		.synopsis = "IMAGE ADDRESS...",
		.summary = "Every step of an address translation in a memory image.",
		.details = "Prints for each ADDRESS the entries that its walk reads, the "
			   "guest-physical\n"
			   "address it comes to, or the page fault it ends with and why.",
		.groups = {{own, 1},
			   {regs_args, REGS_OPTION_COUNT},
			   {common_args, COMMON_OPTION_COUNT}},
		.rest_min = 2,
		.rest_many = true,
	};
	struct guest guest;
	struct out out;
	struct walking w = {.guest = &guest, .out = &out};
	enum cli_status status;

	regs_options(&regs, regs_args);
	common_options(&common, common_args);
	if (!args_parse(&spec, argc, argv))
		return spec.status;
	if (access & UMBRA_ACCESS_WRITE && access & UMBRA_ACCESS_FETCH)
		return cli_error(CLI_USAGE, "walk: --access: expected write or fetch, not both");
	for (unsigned i = 1; i < spec.rest_count; i++) {
		char error[128];
		uint64_t address;

		if (!args_number(spec.rest[i], &address, error, sizeof(error)))
			return cli_error(CLI_USAGE, "walk: address %s", error);
	}
	status = guest_open(&guest, "walk", spec.rest[0], &regs);
	if (status != CLI_OK)
		return status;
	out_init(&out, common.json, common.quiet);
	w.access = (unsigned)access;
	for (unsigned i = 1; i < spec.rest_count; i++) {
		char error[128];
		uint64_t address = 0;

		args_number(spec.rest[i], &address, error, sizeof(error));
		one(&w, address);
	}
	guest_close(&guest);
	return out_finish(&out, CLI_OK);
}
