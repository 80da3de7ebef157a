/* SPDX-License-Identifier: MIT */
/*
 * full_run.c - runs the combinations of `umbra matrix --full`, and adds them up.
 *
 *	workers (processes)  -> results in shared memory ---> a JSON object each
 *	--merge FILE...      -> lines that shards printed --> a JSON object each
 *	                                                        |
 *	                                 rows, variations, totals, or the objects themselves
 *
 * A worker is a process of its own, so that a bug of Umbra, which ends it, is one more
 * result. Invariants: what a cell finds depends on its number and the seed only, not on
 * the worker that it meets nor on the shard; only the parent prints.
 */
#include "cli/full.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE 2000
#define EXAMPLES 2
#define EXAMPLE_SIZE 1024
#define SHOWN_MAX 10

/* ---- workers ---- */

/** A cell's result as it crosses from the worker: no pointers. */
struct slot {
	struct trial_result result;
	char example[EXAMPLES][EXAMPLE_SIZE];
	unsigned example_count;
	bool done;
};

/** What all processes share. */
struct board {
	atomic_uint next, done;
	/** The cell that each worker is at, + 1. */
	unsigned at[256];
	struct slot slot[];
};

struct full {
	struct out *out;
	const struct full_options *options;
	struct full_cell *cell;
	unsigned cells;
	/** Of this shard. */
	unsigned *mine, mine_count;
	struct board *board;
	size_t board_size;
};

static void run_cell(const struct full *f, unsigned number, const struct builtin *like,
		     struct slot *slot)
{
	const struct full_cell *cell = &f->cell[number];
	struct l1_config l1 = cell->l1;
	struct trial trial = {
		.setup = &cell->setup,
		.caching = cell->caching,
		.seed = f->options->seed + number,
		.sample = f->options->sample ? f->options->sample : SAMPLE,
		.like = like,
		.l1 = cell->nested ? &l1 : NULL,
	};

	l1.seed = trial.seed;
	trial_builtin(&trial, cell->guest, &slot->result);
	for (unsigned i = 0; i < slot->result.example_count && i < EXAMPLES; i++)
		snprintf(slot->example[slot->example_count++], EXAMPLE_SIZE, "%s",
			 slot->result.example[i]);
	trial_result_free(&slot->result);
}

static void work(const struct full *f, unsigned worker)
{
	struct builtin *like = trial_like(&f->cell[0].setup);
	unsigned i;

	while ((i = atomic_fetch_add(&f->board->next, 1)) < f->mine_count) {
		f->board->at[worker] = i + 1;
		run_cell(f, f->mine[i], like, &f->board->slot[i]);
		f->board->slot[i].done = true;
		atomic_fetch_add(&f->board->done, 1);
	}
	f->board->at[worker] = 0;
	builtin_free(like);
}

static pid_t start(const struct full *f, unsigned worker)
{
	const pid_t pid = fork();

	if (pid)
		return pid;
	work(f, worker);
	_exit(0);
}

/* A worker ended: in the middle of a cell? Then that cell has its result. */
static bool reap(struct full *f, unsigned worker)
{
	const unsigned at = f->board->at[worker];
	struct slot *slot;

	if (!at || f->board->slot[at - 1].done)
		return false;
	slot = &f->board->slot[at - 1];
	memset(slot, 0, sizeof(*slot));
	slot->result.counts.differences = 1;
	slot->example_count = 1;
	snprintf(slot->example[0], EXAMPLE_SIZE, "the process ended: a bug of Umbra");
	slot->done = true;
	f->board->at[worker] = 0;
	atomic_fetch_add(&f->board->done, 1);
	return true;
}

static bool run_all(struct full *f)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	unsigned jobs = (unsigned)f->options->jobs, running = 0;
	pid_t pid[256];

	if (jobs > f->mine_count)
		jobs = f->mine_count ? f->mine_count : 1;
	fflush(NULL);
	for (unsigned i = 0; i < jobs; i++) {
		pid[i] = start(f, i);
		running += pid[i] > 0;
	}
	while (running) {
		for (unsigned i = 0; i < jobs; i++) {
			if (pid[i] <= 0 || waitpid(pid[i], NULL, WNOHANG) != pid[i])
				continue;
			running--;
			pid[i] = reap(f, i) ? start(f, i) : 0;
			running += pid[i] > 0;
		}
		out_progress(f->out, "combinations", atomic_load(&f->board->done), f->mine_count);
		if (running)
			nanosleep(&pause, NULL);
	}
	out_progress_clear(f->out);
	return atomic_load(&f->board->done) == f->mine_count;
}

/* ---- what is printed ---- */

struct row {
	char key[3][96];
	const char *mark[2];
	uint64_t cells, accesses, pf, to_l1, mmio, tables, differences;
};

struct rows {
	struct row *row;
	unsigned count;
};

struct sum {
	struct out *out;
	/** By tables, L1 and guest; by variation. */
	struct rows rows, variations;
	/** accesses: the total's. */
	struct row total;
	uint64_t skipped, faults, of;
	double ns;
	unsigned shown;
	char example[SHOWN_MAX][EXAMPLE_SIZE + 256];
	/** Which cells are in. */
	uint8_t *seen;
	bool failed;
};

static const char *text_of(const json_t *line, const char *name)
{
	const char *text = json_string_value(json_object_get(line, name));

	return text ? text : "";
}

static uint64_t number_of(const json_t *line, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(line, name));
}

static struct row *row_of(struct sum *sum, struct rows *rows, const char *const key[3])
{
	struct row *row;

	for (unsigned i = rows->count; i-- > 0;) {
		row = &rows->row[i];
		if (!strcmp(row->key[0], key[0]) && !strcmp(row->key[1], key[1]) &&
		    !strcmp(row->key[2], key[2]))
			return row;
	}
	row = realloc(rows->row, (rows->count + 1) * sizeof(*row));
	if (!row) {
		sum->failed = true;
		return NULL;
	}
	rows->row = row;
	row += rows->count++;
	memset(row, 0, sizeof(*row));
	for (unsigned i = 0; i < 3; i++)
		snprintf(row->key[i], sizeof(row->key[i]), "%s", key[i]);
	return row;
}

static void add_line(struct row *row, const json_t *line)
{
	const json_t *kinds = json_object_get(line, "faults_by_kind");
	const uint64_t tables = number_of(line, "table_pages");

	if (!row)
		return;
	row->cells++;
	row->accesses += number_of(line, "accesses");
	row->pf += number_of(kinds, "guest");
	row->to_l1 += number_of(kinds, "to_l1");
	row->mmio += number_of(kinds, "mmio");
	row->differences += number_of(line, "differences");
	if (tables > row->tables)
		row->tables = tables;
}

static const char *intern(const char *text)
{
	static const char *const all[] = {"#1", "#2",   "#3",   "#4",   "#5",   "#6",   "#7",
					  "#8", "2->3", "2->4", "2->5", "3->4", "3->5", "4->5"};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(text, all[i]))
			return all[i];
	return "";
}

static void add_examples(struct sum *sum, const json_t *line)
{
	const json_t *examples = json_object_get(line, "examples");
	const char *text = json_string_value(json_array_get(examples, 0));

	if (!text || sum->shown == SHOWN_MAX)
		return;
	snprintf(sum->example[sum->shown++], sizeof(sum->example[0]),
		 "difference: cell %" PRIu64 ", %s, L1 %s, %s, guest %s, %s: %s",
		 number_of(line, "cell"), text_of(line, "config"), text_of(line, "l1"),
		 text_of(line, "variation"), text_of(line, "guest"), text_of(line, "caching"),
		 text);
}

static void sum_add(struct sum *sum, const json_t *line)
{
	const char *const place[3] = {text_of(line, "tables"), text_of(line, "l1"),
				      text_of(line, "guest")};
	const char *const variation[3] = {text_of(line, "variation"), "", ""};
	struct row *row = row_of(sum, &sum->rows, place);

	if (row) {
		row->mark[0] = intern(text_of(line, "case"));
		row->mark[1] = intern(text_of(line, "promotion"));
	}
	add_line(row, line);
	add_line(row_of(sum, &sum->variations, variation), line);
	add_line(&sum->total, line);
	sum->skipped += json_object_get(line, "skipped") != NULL;
	sum->faults += number_of(line, "faults");
	sum->ns += json_number_value(json_object_get(line, "ns_per_access")) *
		   (double)number_of(line, "accesses");
	add_examples(sum, line);
}

static void print_tables(const struct sum *sum)
{
	struct out_table table;

	out_table_init(&table, sum->out,
		       "tables|L1|guest|case|roots|runs|accesses|#PF|exits to L1|MMIO|table "
		       "pages|differences");
	for (unsigned i = 0; i < sum->rows.count; i++) {
		const struct row *r = &sum->rows.row[i];

		out_table_row(&table,
			      "%s|%s|%s|%s|%s|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64
			      "|%" PRIu64 "|%" PRIu64 "|%" PRIu64,
			      r->key[0], r->key[1], r->key[2], r->mark[0], r->mark[1], r->cells,
			      r->accesses, r->pf, r->to_l1, r->mmio, r->tables, r->differences);
	}
	out_table_print(&table);
	printf("\n");
	out_table_init(&table, sum->out, "variation|runs|accesses|#PF|exits to L1|differences");
	for (unsigned i = 0; i < sum->variations.count; i++) {
		const struct row *r = &sum->variations.row[i];

		out_table_row(&table, "%s|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64 "|%" PRIu64,
			      *r->key[0] ? r->key[0] : "(as usual)", r->cells, r->accesses, r->pf,
			      r->to_l1, r->differences);
	}
	out_table_print(&table);
	printf("\n");
	for (unsigned i = 0; i < sum->shown; i++)
		printf("%s\n", sum->example[i]);
}

static void print_total(const struct sum *sum)
{
	const struct row *t = &sum->total;

	if (sum->out->json) {
		out_json(sum->out,
			 json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "source",
				   "built-in guest", "config", "total", "cells",
				   out_count(t->cells), "of", out_count(sum->of), "skipped",
				   out_count(sum->skipped), "accesses", out_count(t->accesses),
				   "faults", out_count(sum->faults), "exits_to_l1",
				   out_count(t->to_l1), "differences", out_count(t->differences),
				   "ns_per_access",
				   t->accesses ? sum->ns / (double)t->accesses : 0.0));
		return;
	}
	printf("%" PRIu64 " combinations", t->cells);
	if (t->cells != sum->of)
		printf(" of %" PRIu64, sum->of);
	printf(", %" PRIu64 " accesses, %" PRIu64 " faults, %" PRIu64 " exits to L1, %s%" PRIu64
	       " differences%s",
	       t->accesses, sum->faults, t->to_l1,
	       out_style(sum->out, t->differences ? OUT_RED : OUT_GREEN), t->differences,
	       out_style(sum->out, OUT_PLAIN));
	if (sum->skipped)
		printf(", %" PRIu64 " skipped", sum->skipped);
	printf("\n");
}

static enum cli_status finish(struct sum *sum)
{
	const uint64_t differences = sum->total.differences;
	const bool failed = sum->failed;

	if (!sum->out->json && !failed)
		print_tables(sum);
	if (!failed)
		print_total(sum);
	free(sum->rows.row);
	free(sum->variations.row);
	free(sum->seen);
	free(sum);
	if (failed)
		return cli_error(CLI_BADINPUT, "matrix: out of memory");
	return differences ? CLI_FINDING : CLI_OK;
}

/* ---- running ---- */

static json_t *cell_json(const struct full *f, unsigned number, const struct slot *slot)
{
	const struct full_cell *cell = &f->cell[number];
	json_t *examples = json_array();
	json_t *line =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "source",
			  "built-in guest", "config", cell->setup.name, "tables", cell->tables,
			  "l1", cell->nested ? l1_kind_name(cell->l1.kind) : "-", "variation",
			  cell->variation, "guest", builtin_mode_name(cell->guest), "caching",
			  trial_caching_name(cell->caching), "cell", out_count(number), "of",
			  out_count(f->cells));

	json_object_set_new(line, "case", json_string(full_case(cell)));
	json_object_set_new(line, "promotion", json_string(full_promotion(cell)));
	if (*slot->result.skipped)
		json_object_set_new(line, "skipped", json_string(slot->result.skipped));
	else
		json_object_update_new(line, trial_json(&slot->result));
	for (unsigned i = 0; i < slot->example_count; i++)
		json_array_append_new(examples, json_string(slot->example[i]));
	if (slot->example_count)
		json_object_set(line, "examples", examples);
	json_decref(examples);
	return line;
}

static enum cli_status report(struct full *f)
{
	struct sum *sum = calloc(1, sizeof(*sum));

	if (!sum)
		return cli_error(CLI_BADINPUT, "matrix: out of memory");
	sum->out = f->out;
	sum->of = f->cells;
	for (unsigned i = 0; i < f->mine_count; i++) {
		json_t *line = cell_json(f, f->mine[i], &f->board->slot[i]);

		sum_add(sum, line);
		if (f->out->json)
			out_json(f->out, line);
		else
			json_decref(line);
	}
	return finish(sum);
}

static bool open_board(struct full *f)
{
	f->mine = calloc(f->cells, sizeof(*f->mine));
	for (unsigned i = 0; f->mine && i < f->cells; i++)
		if (i % f->options->shards == f->options->shard - 1)
			f->mine[f->mine_count++] = i;
	f->board_size = sizeof(*f->board) + f->mine_count * sizeof(f->board->slot[0]);
	f->board = mmap(NULL, f->board_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	return f->mine && f->board != MAP_FAILED;
}

enum cli_status full_run(struct out *out, const struct full_options *options)
{
	struct full f = {.out = out, .options = options, .board = MAP_FAILED};
	enum cli_status status;

	f.cell = full_cells(&f.cells);
	if (!f.cell || !open_board(&f))
		status = cli_error(CLI_BADINPUT, "matrix: out of memory");
	else if (!run_all(&f))
		status = cli_error(CLI_BADINPUT, "matrix: cannot start processes");
	else
		status = report(&f);
	if (f.board != MAP_FAILED)
		munmap(f.board, f.board_size);
	free(f.mine);
	free(f.cell);
	return out_finish(out, status);
}

/* ---- merging ---- */

static enum cli_status bad_line(const char *file, unsigned number, const char *what)
{
	return cli_error(CLI_BADINPUT, "matrix: %s:%u: %s", file, number, what);
}

static enum cli_status merge_line(struct sum *sum, const char *file, unsigned number, json_t *line)
{
	const json_t *cell = json_object_get(line, "cell");
	const uint64_t index = number_of(line, "cell"), of = number_of(line, "of");

	if (number_of(line, "schema") != OUT_SCHEMA || !*text_of(line, "config"))
		return bad_line(file, number, "expected a line that matrix --full --json printed");
	if (!strcmp(text_of(line, "config"), "total"))
		return CLI_OK;
	if (!json_is_integer(cell) || index >= of || of > 1u << 20)
		return bad_line(file, number, "expected a line that matrix --full --json printed");
	if (!sum->seen) {
		sum->of = of;
		sum->seen = calloc(of, 1);
	}
	if (!sum->seen)
		return cli_error(CLI_BADINPUT, "matrix: out of memory");
	if (of != sum->of)
		return bad_line(file, number, "another version's matrix, it has other cells");
	if (sum->seen[index]++)
		return bad_line(file, number, "this cell has been there before");
	sum_add(sum, line);
	if (sum->out->json)
		out_json(sum->out, json_incref(line));
	return CLI_OK;
}

static enum cli_status merge_file(struct sum *sum, const char *file)
{
	enum cli_status status = CLI_OK;
	FILE *in = fopen(file, "r");
	char *text = NULL;
	size_t size = 0;
	unsigned number = 0;

	if (!in)
		return cli_error(CLI_BADINPUT, "matrix: %s: cannot be read", file);
	while (status == CLI_OK && getline(&text, &size, in) > 0) {
		json_t *line = json_loads(text, 0, NULL);

		number++;
		status = line ? merge_line(sum, file, number, line)
			      : bad_line(file, number, "expected JSON");
		json_decref(line);
	}
	free(text);
	fclose(in);
	if (status == CLI_OK && !number)
		return cli_error(CLI_BADINPUT, "matrix: %s: is empty", file);
	return status;
}

enum cli_status full_merge(struct out *out, char **files, unsigned count)
{
	struct sum *sum = calloc(1, sizeof(*sum));
	enum cli_status status = CLI_OK;

	if (!sum)
		return cli_error(CLI_BADINPUT, "matrix: out of memory");
	sum->out = out;
	for (unsigned i = 0; i < count && status == CLI_OK; i++)
		status = merge_file(sum, files[i]);
	if (status == CLI_OK)
		return out_finish(out, finish(sum));
	free(sum->rows.row);
	free(sum->variations.row);
	free(sum->seen);
	free(sum);
	return out_finish(out, status);
}
