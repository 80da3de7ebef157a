/* SPDX-License-Identifier: MIT */
/*
 * decode.c - `umbra decode KIND VALUE...`: every bit named and explained.
 *
 * What the bits mean is in bits*.c, what a line of a trace says in trace*.c, and how a
 * report looks in decode_print.c. Here are the options and where values come from: the
 * command line or, for "-", standard input, a value or a line of a trace each line
 * (blank lines and lines that begin with '#' apart). A line that says nothing is
 * reported with its number, and the next one is read.
 *
 * A report with findings makes the exit status 1.
 */
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/cmd.h"
#include "cli/decode.h"
#include "cli/widths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 1024

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

/** struct command - the command line. */
struct command {
	struct decode *decode;
	struct args_value config[KEY_COUNT];
	uint64_t mode, layout, level, now;
	bool mode_given, now_given;
	/** Lines on standard input are values of this kind; else they name theirs. */
	bool kind_given;
	enum bits_kind kind;
	const char *kind_name;
};

static bool take_config(void *context, const char *text, char *error, size_t error_size)
{
	struct command *c = context;

	return args_config(text, keys, KEY_COUNT, c->config, error, error_size);
}

static void apply_options(struct command *c)
{
	struct bits_request *r = &c->decode->request;
	const struct args_value *v = c->config;

	bits_defaults(r, v[KEY_VENDOR].number);
	r->mode = (enum bits_mode)c->mode;
	r->level = (unsigned)c->level;
	r->generation = (unsigned)c->layout;
	r->now_given = c->now_given;
	r->now = c->now;
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

/* ---- values ---- */

/* "VALUE" to a value that @kind can have, or an explanation. */
static bool parse_value(struct command *c, enum bits_kind kind, const char *text, uint64_t *value,
			char *error, size_t size)
{
	struct bits_request request = c->decode->request;

	request.kind = kind;
	if (!args_number(text, value, error, size))
		return false;
	if (bits_width(&request) == 64 || *value >> 32 == 0)
		return true;
	snprintf(error, size, "'%.40s' does not fit into the 32 bits of %s", text,
		 decode_names[kind].name);
	return false;
}

/* "KIND VALUE..." in a line, which it cuts up. */
static bool take_named(struct command *c, char *text, char *error, size_t size)
{
	char *rest = NULL, *word = strtok_r(text, " \t", &rest);
	enum bits_kind kind;
	uint64_t number, values[LINE_SIZE / 2];
	unsigned count = 0;

	if (!args_choice(word, decode_names, &number, error, size)) {
		snprintf(error, size,
			 "'%.40s' begins neither KIND VALUE nor a line of a kvm or kvmmmu trace",
			 word);
		return false;
	}
	kind = (enum bits_kind)number;
	while ((word = strtok_r(NULL, " \t", &rest))) {
		if (!parse_value(c, kind, word, &values[count++], error, size))
			return false;
	}
	if (!count)
		snprintf(error, size, "no value after %s", decode_names[kind].name);
	for (unsigned i = 0; i < count; i++)
		decode_value(c->decode, kind, values[i]);
	return count;
}

/* A line, whatever it is; it may be cut up. */
static bool take_line(struct command *c, char *text, char *error, size_t size)
{
	struct trace_line line;
	uint64_t value;

	/* Values have no colon. */
	if (strchr(text, ':')) {
		switch (trace_parse(text, &line, error, size)) {
		case TRACE_OK:
		case TRACE_OTHER: decode_line(c->decode, &line); return true;
		case TRACE_BAD: return false;
		case TRACE_NONE: break;
		}
	}
	if (!c->kind_given)
		return take_named(c, text, error, size);
	if (!parse_value(c, c->kind, text, &value, error, size))
		return false;
	decode_value(c->decode, c->kind, value);
	return true;
}

/* ---- standard input ---- */

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

struct reader {
	struct decode *decode;
	size_t next, end;
	int error; /* errno of reading, or 0 */
	char data[1 << 16];
};

/* More input; false at its end. Who waits for input gets all answers first. */
static bool fill(struct reader *reader)
{
	ssize_t n;

	text_flush(&reader->decode->text);
	fflush(stdout);
	do
		n = read(STDIN_FILENO, reader->data, sizeof(reader->data));
	while (n < 0 && errno == EINTR);
	reader->error = n < 0 ? errno : 0;
	reader->next = 0;
	reader->end = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* Reads a line into @line; its length without the newline, or -1 at the end. What
 * does not fit is cut, which the length tells. */
static long read_line(struct reader *reader, char line[LINE_SIZE])
{
	size_t length = 0, used = 0;
	bool whole = false, any = false;

	while (!whole && (reader->next < reader->end || fill(reader))) {
		const char *from = reader->data + reader->next;
		const size_t left = reader->end - reader->next;
		const char *newline = memchr(from, '\n', left);
		const size_t part = newline ? (size_t)(newline - from) : left;
		const size_t fits = part < LINE_SIZE - 1 - used ? part : LINE_SIZE - 1 - used;

		memcpy(line + used, from, fits);
		used += fits;
		length += part;
		reader->next += part + !!newline;
		whole = newline;
		any = true;
	}
	line[used] = 0;
	return any ? (long)length : -1;
}

static bool take_bytes(struct command *c, char *line, long length, char *error, size_t size)
{
	char *text;

	if (length >= LINE_SIZE)
		snprintf(error, size, "longer than %d bytes", LINE_SIZE - 1);
	else if (strlen(line) != (size_t)length)
		snprintf(error, size, "a NUL byte");
	else if (!*(text = trim(line)) || *text == '#' || take_line(c, text, error, size))
		return true;
	return false;
}

/* Bad lines are reported, and the rest is read. */
static void take_stdin(struct command *c)
{
	struct decode *d = c->decode;
	struct reader *reader = malloc(sizeof(*reader));
	char line[LINE_SIZE], error[200];
	long length;

	if (reader)
		*reader = (struct reader){.decode = d};
	for (unsigned long number = 1; reader && (length = read_line(reader, line)) >= 0;
	     number++) {
		if (take_bytes(c, line, length, error, sizeof(error)))
			continue;
		text_flush(&d->text);
		cli_error(CLI_BADINPUT, "decode: stdin line %lu: %s", number, error);
		d->bad = true;
	}
	if (!reader || reader->error) {
		text_flush(&d->text);
		cli_error(CLI_BADINPUT, "decode: cannot read stdin: %s",
			  strerror(reader ? reader->error : ENOMEM));
		d->bad = true;
	}
	free(reader);
}

/* ---- the command line ---- */

/* Is @text right, as far as that can be seen before anything is printed? */
static bool check_argument(struct command *c, const char *text, char *error, size_t size)
{
	struct trace_line line;
	enum trace_result result;
	uint64_t value;

	if (!strcmp(text, "-"))
		return true;
	result = strchr(text, ':') ? trace_parse(text, &line, error, size) : TRACE_NONE;
	if (result != TRACE_NONE)
		return result != TRACE_BAD;
	if (c->kind_given)
		return parse_value(c, c->kind, text, &value, error, size);
	snprintf(error, size, "'%.40s' is no line of a kvm or kvmmmu trace", text);
	return false;
}

static enum cli_status take_arguments(struct command *c, char **arguments, unsigned count)
{
	struct decode *d = c->decode;
	char error[200];

	for (unsigned i = 0; i < count; i++) {
		if (!check_argument(c, arguments[i], error, sizeof(error)))
			return cli_error(CLI_USAGE, "decode: %s", error);
	}
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(arguments[i], "-"))
			take_stdin(c);
		else
			take_line(c, arguments[i], error, sizeof(error));
	}
	text_flush(&d->text);
	return d->bad ? CLI_BADINPUT : d->found ? CLI_FINDING : CLI_OK;
}

/* Options and kind against each other. */
static enum cli_status check(const struct command *c)
{
	struct bits_request r = c->decode->request;

	r.kind = c->kind;
	if (c->mode_given && !bits_mode_fits(r.kind, r.mode))
		return cli_error(CLI_USAGE,
				 "decode: this --mode does not fit %s, see umbra decode --help",
				 c->kind_name);
	if (c->decode->level_given && !bits_top(&r))
		return cli_error(CLI_USAGE, "decode: --level does not fit %s, which has no levels",
				 c->kind_name);
	if (r.level > bits_top(&r) && bits_top(&r))
		return cli_error(CLI_USAGE,
				 "decode: --level %u, but these tables have levels 1 to %u",
				 r.level, bits_top(&r));
	if (c->decode->layout_given && r.kind != BITS_SPTE && r.kind != BITS_ROLE)
		return cli_error(CLI_USAGE, "decode: --layout fits spte and role, not %s",
				 c->kind_name);
	if (r.now_given && r.kind != BITS_SPTE)
		return cli_error(CLI_USAGE, "decode: --generation fits spte and traces, not %s",
				 c->kind_name);
	return CLI_OK;
}

/* ---- decode widths ---- */

static enum cli_status print_widths(const struct command *c)
{
	const struct args_value *v = c->config;
	const struct bits_request *r = &c->decode->request;
	const struct widths_cpu cpu = {
		.ept = !v[KEY_VENDOR].given || !v[KEY_VENDOR].number,
		.npt = !v[KEY_VENDOR].given || v[KEY_VENDOR].number,
		.pse36 = r->flags & MODE_PSE && r->flags & MODE_PSE36,
		.level5 = r->ept_level5,
		.maxphyaddr = (uint8_t)v[KEY_MAXPHYADDR].number,
	};

	if (c->mode_given || c->decode->level_given || c->decode->layout_given || r->now_given)
		return cli_error(CLI_USAGE, "decode: --mode, --level, --layout and --generation do "
					    "not fit widths, which shows all modes");
	widths_print(&c->decode->out, &cpu);
	return CLI_OK;
}

/* ---- decode KIND, decode trace, decode LINE ---- */

/* A line that the shell cut into words: together again, in @line. */
static bool join(char **words, unsigned count, char line[LINE_SIZE])
{
	size_t used = 0;

	for (unsigned i = 0; i < count; i++) {
		int n = snprintf(line + used, LINE_SIZE - used, "%s%s", i ? " " : "", words[i]);

		used += (size_t)n;
		if (used >= LINE_SIZE)
			return false;
	}
	return true;
}

static enum trace_result try_trace(const char *text)
{
	char why[200];
	struct trace_line line;

	return trace_parse(text, &line, why, sizeof(why));
}

/* Lines of traces, or the words of one. */
static enum cli_status take_traces(struct command *c, char **words, unsigned count)
{
	char line[LINE_SIZE], *lines = line;

	if (count > 1 && strcmp(words[0], "-") != 0 && try_trace(words[0]) != TRACE_OK &&
	    join(words, count, line) && try_trace(line) != TRACE_NONE)
		return take_arguments(c, &lines, 1);
	return take_arguments(c, words, count);
}

static enum cli_status run(struct command *c, char **rest, unsigned count)
{
	char error[200], line[LINE_SIZE];
	uint64_t kind;
	enum cli_status status;

	if (!strcmp(rest[0], "widths"))
		return count == 1 ? print_widths(c)
				  : cli_error(CLI_USAGE, "decode: widths takes no VALUE");
	if (!strcmp(rest[0], "-") ||
	    (!args_choice(rest[0], decode_names, &kind, error, sizeof(error)) &&
	     join(rest, count, line) && try_trace(line) != TRACE_NONE))
		return take_traces(c, rest, count);
	if (count == 1)
		return cli_error(CLI_USAGE, "decode: expected a VALUE after %s, or - for stdin",
				 rest[0]);
	if (!strcmp(rest[0], "trace"))
		return take_traces(c, rest + 1, count - 1);
	if (!args_choice(rest[0], decode_names, &kind, error, sizeof(error)))
		return cli_error(CLI_USAGE, "decode: unknown kind: %s, trace, widths", error);
	c->kind_given = true;
	c->kind = (enum bits_kind)kind;
	c->kind_name = rest[0];
	status = check(c);
	return status == CLI_OK ? take_arguments(c, rest + 1, count - 1) : status;
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
	"VALUE is a number, or a line of a trace as ftrace, trace-cmd or perf print the kvmmmu\n"
	"and kvm events; - reads one a line from standard input.\n"
	"decode LINE..., decode trace LINE...: lines of a trace. decode -: lines of traces and\n"
	"lines KIND VALUE... from standard input.\n"
	"Codes of faults that a #PF has as well are taken for one unless --mode is ept.\n"
	"decode widths: how many bits addresses have in each mode, and why.\n"
	"Keys of --config: vendor=intel|amd, maxphyaddr=32..52, l1tf=BITS (cache bits of a CPU\n"
	"with L1TF), and 0 or 1 for nx 1g 2m pse pse36 ad execonly mbec gmet rogpt pke pks\n"
	"advinfo bit8 pcid lam level5.\n"
	"Exit status 1: a reserved bit, a misconfiguration or another broken rule; 3: a line of\n"
	"standard input could not be read (the others were).";

int cmd_decode(int argc, char **argv)
{
	struct decode *d = calloc(1, sizeof(*d));
	struct command c = {.decode = d, .layout = ENTRY_GENERATIONS - 1, .level = 1};
	struct common_options common = {0};
	struct args_option common_args[COMMON_OPTION_COUNT];
	enum cli_status status;

	if (!d)
		return cli_error(CLI_BADINPUT, "decode: out of memory");

	const struct args_option own[] = {
		{"mode", 'm', ARGS_CHOICE, "MODE", "paging that the value belongs to",
		 .symbols = modes, .number = &c.mode, .given = &c.mode_given},
		{"level", 'l', ARGS_NUMBER, "N", "level of the table: 1 (4K) to 5", .min = 1,
		 .max = UMBRA_LEVEL_MAX, .number = &c.level, .given = &d->level_given},
		{"layout", 0, ARGS_CHOICE, "6.12|004|7.3", "SPTE or role layout (7.3)",
		 .symbols = layouts, .number = &c.layout, .given = &d->layout_given},
		{"generation", 'g', ARGS_NUMBER, "N",
		 "of the memory slots: are MMIO entries current or stale?", .number = &c.now,
		 .given = &c.now_given},
		{"brief", 'b', ARGS_FLAG, .help = "a line for each value", .flag = &d->brief},
		{"config", 'c', ARGS_CALL, "KEY=VALUE,...", "CPU and features", .call = take_config,
		 .context = &c},
		{"vendor", 0, ARGS_CHOICE, "intel|amd", "short for --config vendor=...",
		 .symbols = vendors, .number = &c.config[KEY_VENDOR].number,
		 .given = &c.config[KEY_VENDOR].given},
		{"maxphyaddr", 0, ARGS_NUMBER, "BITS", "short for --config maxphyaddr=...",
		 .min = 32, .max = 52, .number = &c.config[KEY_MAXPHYADDR].number,
		 .given = &c.config[KEY_MAXPHYADDR].given},
	};
	struct args_spec spec = {
		.name = "decode",
		.synopsis = "KIND VALUE... | LINE... | widths",
		.summary = "Name and explain every bit of an entry, a register or a fault code.",
		.details = details,
		.groups = {{own, sizeof(own) / sizeof(*own)}, {common_args, COMMON_OPTION_COUNT}},
		.rest_min = 1,
		.rest_many = true,
	};

	common_options(&common, common_args);
	if (args_parse(&spec, argc, argv)) {
		apply_options(&c);
		out_init(&d->out, common.json, common.quiet);
		status = out_finish(&d->out, run(&c, spec.rest, spec.rest_count));
	} else {
		status = (enum cli_status)spec.status;
	}
	free(d);
	return status;
}
