/* SPDX-License-Identifier: MIT */
/*
 * decode.c - `umbra decode KIND VALUE...`: every bit named and explained.
 *
 * What the bits mean is in bits*.c; here are the options, the values from the
 * command line or, for "-", from standard input (one a line, blank lines and
 * lines that begin with '#' apart), and the two ways to print a report.
 *
 * A report with findings makes the exit status 1.
 */
#include "cli/args.h"
#include "cli/bits.h"
#include "cli/cli.h"
#include "cli/cmd.h"
#include "cli/out.h"
#include "cli/widths.h"
#include "core/mode.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct args_symbol kinds[] = {
	{"spte", BITS_SPTE},
	{"pte", BITS_PTE},
	{"ept", BITS_EPT},
	{"npt", BITS_NPT},
	{"cr3", BITS_CR3},
	{"eptp", BITS_EPTP},
	{"pfec", BITS_PFEC},
	{"npfcode", BITS_NPFCODE},
	{"eptqual", BITS_EPTQUAL},
	{"role", BITS_ROLE},
	{NULL, 0},
};

static const struct args_symbol modes[] = {
	{"32", BITS_MODE_32},         {"pae", BITS_MODE_PAE},
	{"4", BITS_MODE_4},           {"5", BITS_MODE_5},
	{"ept", BITS_MODE_EPT},       {"npt", BITS_MODE_NPT},
	{"shadow", BITS_MODE_SHADOW}, {NULL, 0},
};

static const struct args_symbol layouts[] = {{"6.12", 0}, {"004", 1}, {"7.3", 2}, {NULL, 0}};
static const struct args_symbol vendors[] = {{"intel", 0}, {"amd", 1}, {NULL, 0}};

/* Keys of --config. Those from KEY_FLAGS on set a MODE_* flag. */
enum key { KEY_VENDOR, KEY_MAXPHYADDR, KEY_L1TF, KEY_PCID, KEY_LAM, KEY_LEVEL5, KEY_FLAGS };

static const struct args_key keys[] = {
	[KEY_VENDOR] = {.name = "vendor", .kind = ARGS_CHOICE, .symbols = vendors},
	[KEY_MAXPHYADDR] = {.name = "maxphyaddr", .kind = ARGS_NUMBER, .min = 32, .max = 52},
	[KEY_L1TF] = {.name = "l1tf", .kind = ARGS_NUMBER, .max = 52},
	[KEY_PCID] = {.name = "pcid", .kind = ARGS_BOOL},
	[KEY_LAM] = {.name = "lam", .kind = ARGS_BOOL},
	[KEY_LEVEL5] = {.name = "level5", .kind = ARGS_BOOL},
	{.name = "nx", .kind = ARGS_BOOL},
	{.name = "1g", .kind = ARGS_BOOL},
	{.name = "2m", .kind = ARGS_BOOL},
	{.name = "pse", .kind = ARGS_BOOL},
	{.name = "pse36", .kind = ARGS_BOOL},
	{.name = "ad", .kind = ARGS_BOOL},
	{.name = "execonly", .kind = ARGS_BOOL},
	{.name = "mbec", .kind = ARGS_BOOL},
	{.name = "gmet", .kind = ARGS_BOOL},
	{.name = "rogpt", .kind = ARGS_BOOL},
	{.name = "pke", .kind = ARGS_BOOL},
	{.name = "pks", .kind = ARGS_BOOL},
	{.name = "advinfo", .kind = ARGS_BOOL},
	{.name = "bit8", .kind = ARGS_BOOL},
};
#define KEY_COUNT (sizeof(keys) / sizeof(*keys))

static const uint32_t key_flags[KEY_COUNT - KEY_FLAGS] = {
	MODE_NX,   MODE_1G,   MODE_2M,    MODE_PSE, MODE_PSE36, MODE_AD,      MODE_EXECONLY,
	MODE_MBEC, MODE_GMET, MODE_ROGPT, MODE_PKU, MODE_PKS,   MODE_ADVINFO, MODE_BIT8_MBZ,
};

struct decode {
	struct bits_request request;
	struct out out;
	const char *kind;
	struct args_value config[KEY_COUNT];
	bool found;
};

static bool take_config(void *context, const char *text, char *error, size_t error_size)
{
	struct decode *d = context;

	return args_config(text, keys, KEY_COUNT, d->config, error, error_size);
}

static void apply_config(struct decode *d)
{
	struct bits_request *r = &d->request;
	const struct args_value *v = d->config;

	bits_defaults(r, v[KEY_VENDOR].number);
	if (v[KEY_MAXPHYADDR].given)
		r->maxphyaddr = (uint8_t)v[KEY_MAXPHYADDR].number;
	if (v[KEY_LEVEL5].given)
		r->ept_level5 = v[KEY_LEVEL5].number;
	r->l1tf = (uint8_t)v[KEY_L1TF].number;
	r->pcid = v[KEY_PCID].number;
	r->lam = v[KEY_LAM].number;
	for (unsigned i = KEY_FLAGS; i < KEY_COUNT; i++) {
		uint32_t flag = key_flags[i - KEY_FLAGS];

		if (v[i].given)
			r->flags = v[i].number ? r->flags | flag : r->flags & ~flag;
	}
}

/* ---- printing ---- */

static const char *bit_range(const struct bits_field *field, char *text, size_t size)
{
	if (field->high == field->low)
		snprintf(text, size, "%u", field->low);
	else
		snprintf(text, size, "%u:%u", field->high, field->low);
	return text;
}

static void print_text(struct decode *d, uint64_t value, const struct bits_report *report)
{
	const struct out *out = &d->out;
	char range[16], number[24];

	printf("%s%s 0x%" PRIx64 "%s", out_style(out, OUT_BOLD), d->kind, value,
	       out_style(out, OUT_PLAIN));
	if (report->level)
		printf(" (level %u)", report->level);
	printf(": %s\n", report->summary);
	for (unsigned i = 0; i < report->field_count; i++) {
		const struct bits_field *field = &report->field[i];

		snprintf(number, sizeof(number), field->value > 9 ? "0x%" PRIx64 : "%" PRIu64,
			 field->value);
		printf("  %5s  %-15s %14s  %s\n", bit_range(field, range, sizeof(range)),
		       field->name, number, field->meaning);
	}
	for (unsigned i = 0; i < report->finding_count; i++)
		printf("  %s! %s (%s)%s\n", out_style(out, OUT_RED), report->finding[i].text,
		       report->finding[i].rule, out_style(out, OUT_PLAIN));
}

static void print_json(struct decode *d, uint64_t value, const struct bits_report *report)
{
	json_t *fields = json_array(), *findings = json_array();
	char range[16];

	for (unsigned i = 0; i < report->field_count; i++) {
		const struct bits_field *field = &report->field[i];

		json_array_append_new(fields,
				      json_pack("{s:s, s:s, s:o, s:s}", "name", field->name, "bits",
						bit_range(field, range, sizeof(range)), "value",
						out_hex(field->value), "meaning", field->meaning));
	}
	for (unsigned i = 0; i < report->finding_count; i++)
		json_array_append_new(findings,
				      json_pack("{s:s, s:s}", "rule", report->finding[i].rule,
						"text", report->finding[i].text));
	out_json(&d->out, json_pack("{s:s, s:o, s:i, s:s, s:o, s:o}", "kind", d->kind, "value",
				    out_hex(value), "level", (int)report->level, "summary",
				    report->summary, "fields", fields, "findings", findings));
}

/* ---- values ---- */

/* "VALUE" to a value that the kind can have, or an explanation. */
static bool parse(const struct decode *d, const char *text, uint64_t *value, char *error,
		  size_t size)
{
	if (!args_number(text, value, error, size))
		return false;
	if (bits_width(&d->request) == 64 || *value >> 32 == 0)
		return true;
	snprintf(error, size, "'%.40s' does not fit into the 32 bits of %s", text, d->kind);
	return false;
}

static void describe(struct decode *d, uint64_t value)
{
	struct bits_report report;

	bits_describe(&d->request, value, &report);
	d->found |= report.finding_count;
	if (d->out.json)
		print_json(d, value, &report);
	else
		print_text(d, value, &report);
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t\r\n");
	length = strlen(text);
	while (length && strchr(" \t\r\n", text[length - 1]))
		text[--length] = 0;
	return text;
}

/* Reads a line into @line; its length without the newline, or -1 at the end. What
 * does not fit is cut, which the length tells. */
static long read_line(char *line, size_t size)
{
	long length = 0;
	int c;

	while ((c = getchar()) != EOF && c != '\n') {
		if ((size_t)length < size - 1)
			line[length] = (char)c;
		length++;
	}
	line[(size_t)length < size ? (size_t)length : size - 1] = 0;
	return c == EOF && !length ? -1 : length;
}

static enum cli_status describe_stdin(struct decode *d)
{
	char line[256], error[200], *text;
	uint64_t value;
	long length;

	for (unsigned long number = 1; (length = read_line(line, sizeof(line))) >= 0; number++) {
		if ((size_t)length >= sizeof(line))
			return cli_error(CLI_BADINPUT,
					 "decode: stdin line %lu: longer than %zu bytes", number,
					 sizeof(line) - 1);
		if (strlen(line) != (size_t)length)
			return cli_error(CLI_BADINPUT, "decode: stdin line %lu: a NUL byte",
					 number);
		text = trim(line);
		if (!*text || *text == '#')
			continue;
		if (!parse(d, text, &value, error, sizeof(error)))
			return cli_error(CLI_BADINPUT, "decode: stdin line %lu: %s", number, error);
		describe(d, value);
	}
	if (ferror(stdin))
		return cli_error(CLI_BADINPUT, "decode: cannot read stdin");
	return CLI_OK;
}

static enum cli_status describe_all(struct decode *d, char **values, unsigned count)
{
	char error[200];
	uint64_t value;

	/* All arguments are right before anything is printed. */
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(values[i], "-") && !parse(d, values[i], &value, error, sizeof(error)))
			return cli_error(CLI_USAGE, "decode: %s", error);
	}
	for (unsigned i = 0; i < count; i++) {
		enum cli_status status;

		if (strcmp(values[i], "-")) {
			parse(d, values[i], &value, error, sizeof(error));
			describe(d, value);
			continue;
		}
		status = describe_stdin(d);
		if (status != CLI_OK)
			return status;
	}
	return d->found ? CLI_FINDING : CLI_OK;
}

/* Options and kind against each other. */
static enum cli_status check(struct decode *d, bool mode_given, bool level_given, bool layout_given)
{
	struct bits_request *r = &d->request;

	if (mode_given && !bits_mode_fits(r->kind, r->mode))
		return cli_error(CLI_USAGE,
				 "decode: this --mode does not fit %s, see umbra decode --help",
				 d->kind);
	if (level_given && !bits_top(r))
		return cli_error(CLI_USAGE, "decode: --level does not fit %s, which has no levels",
				 d->kind);
	if (r->level > bits_top(r) && bits_top(r))
		return cli_error(CLI_USAGE,
				 "decode: --level %u, but these tables have levels 1 to %u",
				 r->level, bits_top(r));
	if (layout_given && r->kind != BITS_SPTE && r->kind != BITS_ROLE)
		return cli_error(CLI_USAGE, "decode: --layout fits spte and role, not %s", d->kind);
	return CLI_OK;
}

/* ---- decode widths ---- */

static enum cli_status print_widths(struct decode *d, bool others_given)
{
	const struct args_value *v = d->config;
	const struct widths_cpu cpu = {
		.ept = !v[KEY_VENDOR].given || !v[KEY_VENDOR].number,
		.npt = !v[KEY_VENDOR].given || v[KEY_VENDOR].number,
		.pse36 = d->request.flags & MODE_PSE && d->request.flags & MODE_PSE36,
		.level5 = d->request.ept_level5,
		.maxphyaddr = (uint8_t)v[KEY_MAXPHYADDR].number,
	};

	if (others_given)
		return cli_error(CLI_USAGE, "decode: --mode, --level and --layout do not fit "
					    "widths, which shows all modes");
	widths_print(&d->out, &cpu);
	return CLI_OK;
}

static const char details[] =
	"KIND is one of\n"
	"  spte     entry that Umbra or KVM wrote    --layout --level, --mode ept|npt|shadow|pae\n"
	"  pte      entry of a guest's own tables    --level, --mode 32|pae|4|5\n"
	"  ept      entry of an EPT                  --level, --mode 4|5\n"
	"  npt      entry of nested page tables      --level, --mode 32|pae|4|5\n"
	"  cr3      root of a guest's tables         --mode 32|pae|4|5\n"
	"  eptp     root of an EPT\n"
	"  pfec     error code of a page fault\n"
	"  npfcode  EXITINFO1 of a nested page fault\n"
	"  eptqual  exit qualification of an EPT violation\n"
	"  role     page role word of a table        --layout\n"
	"VALUE is a number; - reads one a line from standard input.\n"
	"decode widths: how many bits addresses have in each mode, and why.\n"
	"Keys of --config: vendor=intel|amd, maxphyaddr=32..52, l1tf=BITS (cache bits of a CPU\n"
	"with L1TF), and 0 or 1 for nx 1g 2m pse pse36 ad execonly mbec gmet rogpt pke pks\n"
	"advinfo bit8 pcid lam level5.\n"
	"Exit status 1: a reserved bit, a misconfiguration or another broken rule.\n";

int cmd_decode(int argc, char **argv)
{
	struct decode d = {0};
	uint64_t mode = BITS_MODE_AUTO, layout = 2, level = 1, kind;
	bool mode_given = false, level_given = false, layout_given = false, widths;
	struct common_options common = {0};
	struct args_option common_args[COMMON_OPTION_COUNT];
	const struct args_option own[] = {
		{"mode", 'm', ARGS_CHOICE, "MODE", "paging that the value belongs to",
		 .symbols = modes, .number = &mode, .given = &mode_given},
		{"level", 'l', ARGS_NUMBER, "N", "level of the table: 1 (4K) to 5", .min = 1,
		 .max = UMBRA_LEVEL_MAX, .number = &level, .given = &level_given},
		{"layout", 0, ARGS_CHOICE, "6.12|004|7.3", "SPTE or role layout (7.3)",
		 .symbols = layouts, .number = &layout, .given = &layout_given},
		{"config", 'c', ARGS_CALL, "KEY=VALUE,...", "CPU and features", .call = take_config,
		 .context = &d},
		{"vendor", 0, ARGS_CHOICE, "intel|amd", "short for --config vendor=...",
		 .symbols = vendors, .number = &d.config[KEY_VENDOR].number,
		 .given = &d.config[KEY_VENDOR].given},
		{"maxphyaddr", 0, ARGS_NUMBER, "BITS", "short for --config maxphyaddr=...",
		 .min = 32, .max = 52, .number = &d.config[KEY_MAXPHYADDR].number,
		 .given = &d.config[KEY_MAXPHYADDR].given},
	};
	struct args_spec spec = {
		.name = "decode",
		.synopsis = "KIND VALUE... | widths",
		.summary = "Name and explain every bit of an entry, a register or a fault code.",
		.details = details,
		.groups = {{own, sizeof(own) / sizeof(*own)}, {common_args, COMMON_OPTION_COUNT}},
		.rest_min = 1,
		.rest_many = true,
	};
	enum cli_status status;
	char error[200];

	common_options(&common, common_args);
	if (!args_parse(&spec, argc, argv))
		return spec.status;
	apply_config(&d);
	out_init(&d.out, common.json, common.quiet);
	widths = !strcmp(spec.rest[0], "widths");
	if (!widths && !args_choice(spec.rest[0], kinds, &kind, error, sizeof(error)))
		return cli_error(CLI_USAGE, "decode: unknown kind: %s", error);
	if (widths != (spec.rest_count == 1))
		return cli_error(CLI_USAGE,
				 widths ? "decode: widths takes no VALUE"
					: "decode: expected a VALUE after %s, or - for stdin",
				 spec.rest[0]);
	if (widths)
		return out_finish(&d.out,
				  print_widths(&d, mode_given || level_given || layout_given));
	d.kind = spec.rest[0];
	d.request.kind = (enum bits_kind)kind;
	d.request.mode = (enum bits_mode)mode;
	d.request.level = (unsigned)level;
	d.request.generation = (unsigned)layout;
	status = check(&d, mode_given, level_given, layout_given);
	if (status != CLI_OK)
		return status;
	return out_finish(&d.out, describe_all(&d, spec.rest + 1, spec.rest_count - 1));
}
