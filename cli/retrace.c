/* SPDX-License-Identifier: MIT */
/*
 * retrace.c - `umbra run --replay LOG`, without an image: what umbra-hv said with trace=.
 *
 *	lab/log.c      lines -> records, all there and whole
 *	lab/retrace.c  records -> tables, findings
 *
 * A log that is damaged or cut is bad input, and one line says where; what was found before is
 * told all the same. A log that is whole and cannot be true is a finding.
 */
#include "cli/retrace.h"
#include "lab/retrace.h"

#include <inttypes.h>
#include <stdio.h>

#define SHOWN 20

struct telling {
	struct out *out;
	const char *path;
	uint64_t found;
};

static void on_found(void *context, const struct retrace_finding *finding)
{
	struct telling *t = context;

	if (++t->found > SHOWN)
		return;
	if (t->out->json) {
		out_json(t->out, json_pack("{s:s, s:s, s:s, s:o}", "source", t->path, "finding",
					   finding->rule, "what", finding->what, "line",
					   out_count(finding->line)));
		return;
	}
	out_progress_clear(t->out);
	printf("%sfinding%s: %s:%lu: %s: %s\n", out_style(t->out, OUT_RED),
	       out_style(t->out, OUT_PLAIN), t->path, finding->line, finding->rule, finding->what);
}

static void total_json(struct out *out, const char *path, const struct retrace *retrace)
{
	const struct retrace_machine *machine = retrace_machine(retrace);
	const struct retrace_counts *c = retrace_counts(retrace);

	out_json(out, json_pack("{s:s, s:s, s:i, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
				"source", path, "config", machine->shadow ? "shadow" : "npt",
				"levels", machine->levels, "tables", machine->tables, "records",
				out_count(c->records), "entries", out_count(c->entries), "pages",
				out_count(c->pages), "roots", out_count(c->roots), "flushes",
				out_count(c->flushes), "entered", out_count(c->entered), "faults",
				out_count(c->faults), "compared", out_count(c->compared),
				"findings", out_count(c->findings)));
}

static void total(struct out *out, const char *path, const struct retrace *retrace)
{
	const struct retrace_machine *machine = retrace_machine(retrace);
	const struct retrace_counts *c = retrace_counts(retrace);
	struct out_table table;

	if (out->json) {
		total_json(out, path, retrace);
		return;
	}
	out_progress_clear(out);
	out_table_init(&table, out,
		       "tables|levels|records|faults|entries|pages|roots|flushes|entered|compared");
	out_table_row(&table,
		      "%s|%u|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64
		      "|%" PRIu64 "|%" PRIu64,
		      machine->shadow ? "shadow" : "NPT", machine->levels, c->records, c->faults,
		      c->entries, c->pages, c->roots, c->flushes, c->entered, c->compared);
	out_table_print(&table);
	if (c->accessed_pdptes)
		printf("%" PRIu64 " PDPTEs in which QEMU's TCG had set A\n", c->accessed_pdptes);
	printf("%s: %" PRIu64 " records%s, %s%" PRIu64 " findings%s", path, c->records,
	       machine->tables ? "" : " of faults only, no tables",
	       out_style(out, c->findings ? OUT_RED : OUT_GREEN), c->findings,
	       out_style(out, OUT_PLAIN));
	if (c->findings > SHOWN)
		printf(" (%u shown)", SHOWN);
	printf("\n");
}

/* All records. OK: the log is whole. */
static enum cli_status read_all(struct out *out, const char *path, struct log *log,
				struct retrace *retrace)
{
	struct log_record record;
	enum log_result result;
	char error[200];

	while ((result = log_next(log, &record, error, sizeof(error))) == LOG_RECORD) {
		if (!retrace_record(retrace, &record, error, sizeof(error))) {
			result = LOG_BAD;
			break;
		}
		out_progress(out, "records", log_records(log), 0);
	}
	out_progress_clear(out);
	if (result == LOG_BAD)
		return cli_error(CLI_BADINPUT, "run: %s:%lu: %s", path, log_line(log), error);
	if (!log_records(log))
		return cli_error(CLI_BADINPUT,
				 "run: %s: no record of umbra-hv's is in it (its option trace=)",
				 path);
	if (!retrace_whole(retrace))
		return cli_error(CLI_BADINPUT,
				 "run: %s:%lu: the log ends here, and its last record is missing",
				 path, log_line(log));
	return CLI_OK;
}

enum cli_status retrace_run(struct out *out, const char *path)
{
	struct telling telling = {.out = out, .path = path};
	struct retrace *retrace = retrace_new(on_found, &telling);
	enum cli_status status;
	char error[200];
	struct log *log;

	if (!retrace)
		return cli_error(CLI_BADINPUT, "run: out of memory");
	log = log_open(path, error, sizeof(error));
	if (!log) {
		retrace_free(retrace);
		return cli_error(CLI_BADINPUT, "run: %s: %s", path, error);
	}
	status = read_all(out, path, log, retrace);
	if (status == CLI_OK) {
		total(out, path, retrace);
		if (telling.found)
			status = CLI_FINDING;
	}
	log_close(log);
	retrace_free(retrace);
	return status;
}
