/* SPDX-License-Identifier: MIT */
/*
 * scenario.c - `umbra run SCENARIO.lua...`: Lua scenarios, or a folder of them.
 *
 * One file without -v prints a line, several print a table, -v tells the story.
 * A script that is wrong gets its one line on stderr and status 3, a failed
 * expectation a line on stdout and status 1; the others still run. Results are kept
 * until all scripts have run, so that status 3 prints nothing on stdout.
 */
#include "cli/scenario.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scenario/scenario.h"

#define PATHS_MAX 4096

static bool is_directory(const char *path)
{
	struct stat stat_;

	return !stat(path, &stat_) && S_ISDIR(stat_.st_mode);
}

static bool is_script(const char *path)
{
	size_t length = strlen(path);

	return length > 4 && !strcmp(path + length - 4, ".lua");
}

bool scenarios_are(char **paths, unsigned count)
{
	return count && (is_script(paths[0]) || is_directory(paths[0]));
}

/* ---- the list ---- */

struct job {
	char *path;
	const struct setup *setup;
	struct scenario_result result;
};

struct jobs {
	struct job *job;
	unsigned count;
};

static bool add(struct jobs *jobs, const struct scenarios *s, const char *path)
{
	unsigned each = s->setup_count ? s->setup_count : 1;

	if (jobs->count + each > PATHS_MAX)
		return false;
	for (unsigned i = 0; i < each; i++) {
		struct job *job = realloc(jobs->job, (jobs->count + 1) * sizeof(*job));

		if (!job)
			return false;
		jobs->job = job;
		job += jobs->count;
		*job = (struct job){.path = strdup(path)};
		if (s->setup_count)
			job->setup = &s->setup[i];
		if (!job->path)
			return false;
		jobs->count++;
	}
	return true;
}

static int scripts_only(const struct dirent *entry)
{
	return is_script(entry->d_name);
}

static enum cli_status add_directory(struct jobs *jobs, const struct scenarios *s, const char *path)
{
	struct dirent **names = NULL;
	enum cli_status status = CLI_OK;
	size_t length = strlen(path);
	int count = scandir(path, &names, scripts_only, alphasort);

	if (count < 0)
		return cli_error(CLI_BADINPUT, "run: %s: %s", path, strerror(errno));
	if (!count)
		status = cli_error(CLI_BADINPUT, "run: %s: no *.lua in this directory", path);
	for (int i = 0; i < count; i++) {
		char full[4096];

		snprintf(full, sizeof(full), "%s%s%s", path,
			 length && path[length - 1] == '/' ? "" : "/", names[i]->d_name);
		if (status == CLI_OK && !add(jobs, s, full))
			status = cli_error(CLI_BADINPUT, "run: %s: too many scenarios", path);
		free(names[i]);
	}
	free(names);
	return status;
}

static enum cli_status collect(struct jobs *jobs, const struct scenarios *s)
{
	for (unsigned i = 0; i < s->path_count; i++) {
		const char *path = s->paths[i];

		if (is_directory(path)) {
			enum cli_status status = add_directory(jobs, s, path);

			if (status != CLI_OK)
				return status;
		} else if (!is_script(path)) {
			return cli_error(CLI_USAGE,
					 "run: %s: expected a scenario (*.lua) or a directory, as "
					 "the arguments before it",
					 path);
		} else if (!add(jobs, s, path)) {
			return cli_error(CLI_BADINPUT, "run: %s: too many scenarios", path);
		}
	}
	return CLI_OK;
}

/* ---- running ---- */

static struct world_config world_of(const struct scenarios *s, const struct setup *setup)
{
	struct world_config config = {
		.paging = UMBRA_PAGING_SHADOW,
		.cpu = world_cpu_of(UMBRA_VENDOR_INTEL, 0),
		.page_level = 3,
		.layout = UMBRA_LAYOUT_7_3,
		.caching = s->caching ? *s->caching : MODEL_HOSTILE,
	};
	const struct lab_config *lab;

	if (!setup)
		return config;
	lab = &setup->lab;
	config.cpu = lab->cpu;
	config.paging = lab->paging;
	config.levels = lab->levels;
	config.page_level = lab->page_level;
	config.layout = lab->layout;
	config.exec_by_mode = lab->exec_by_mode;
	config.page_limit = lab->page_limit;
	config.skew = lab->skew;
	config.bug_truncate_gpa = lab->bug_truncate_gpa;
	return config;
}

static const char *name_of(const struct job *job, char *name, size_t size)
{
	const char *slash = strrchr(job->path, '/');
	size_t length;

	snprintf(name, size, "%s", slash ? slash + 1 : job->path);
	length = strlen(name);
	if (is_script(name))
		name[length - 4] = 0;
	return name;
}

static const char *const ends[] = {"passed", "failed", "bad"};

static void run_one(const struct scenarios *s, struct job *job, FILE *story)
{
	const struct world_config config = world_of(s, job->setup);
	const struct scenario_options options = {
		.defaults = &config,
		.story = story,
		.colour = s->out->colour,
	};
	char name[128];

	if (story)
		fprintf(story, "%s%s%s%s%s%s\n", out_style(s->out, OUT_BOLD),
			name_of(job, name, sizeof(name)), job->setup ? " [" : "",
			job->setup ? job->setup->name : "", job->setup ? "]" : "",
			out_style(s->out, OUT_PLAIN));
	scenario_run(job->path, &options, &job->result);
	if (story && job->result.end != SCENARIO_BAD)
		fprintf(story, "%s%s%s: %u steps, %u accesses, %u exits, %u checks\n",
			out_style(s->out, job->result.end == SCENARIO_PASSED ? OUT_GREEN : OUT_RED),
			ends[job->result.end], out_style(s->out, OUT_PLAIN), job->result.steps,
			job->result.accesses, job->result.exits, job->result.checks);
}

/* ---- reporting ---- */

static void report_json(const struct scenarios *s, const struct job *job)
{
	const struct scenario_result *r = &job->result;
	char name[128];
	json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i}", "scenario",
				 name_of(job, name, sizeof(name)), "source", job->path, "config",
				 job->setup ? job->setup->name : "its own", "result", ends[r->end],
				 "steps", (int)r->steps, "accesses", (int)r->accesses, "faults",
				 (int)r->exits, "checks", (int)r->checks);

	if (r->end == SCENARIO_FAILED)
		json_object_set_new(line, "message", json_string(r->message));
	out_json(s->out, line);
}

static void report_table(const struct scenarios *s, const struct jobs *jobs)
{
	struct out_table table;
	char name[128];

	out_table_init(&table, s->out,
		       s->setup_count ? "scenario|config|result|steps|accesses|exits|checks"
				      : "scenario|result|steps|accesses|exits|checks");
	for (unsigned i = 0; i < jobs->count; i++) {
		const struct job *job = &jobs->job[i];
		const struct scenario_result *r = &job->result;

		name_of(job, name, sizeof(name));
		if (job->setup)
			out_table_row(&table, "%s|%s|%s|%u|%u|%u|%u", name, job->setup->name,
				      ends[r->end], r->steps, r->accesses, r->exits, r->checks);
		else
			out_table_row(&table, "%s|%s|%u|%u|%u|%u", name, ends[r->end], r->steps,
				      r->accesses, r->exits, r->checks);
	}
	out_table_print(&table);
}

static enum cli_status report(const struct scenarios *s, const struct jobs *jobs)
{
	unsigned count[3] = {0};

	for (unsigned i = 0; i < jobs->count; i++) {
		count[jobs->job[i].result.end]++;
		if (s->out->json)
			report_json(s, &jobs->job[i]);
	}
	if (s->out->json)
		out_json(s->out, json_pack("{s:b, s:i, s:i, s:i}", "total", 1, "scenarios",
					   (int)jobs->count, "passed", (int)count[SCENARIO_PASSED],
					   "failed", (int)count[SCENARIO_FAILED]));
	else if (!s->verbose)
		report_table(s, jobs);
	for (unsigned i = 0; i < jobs->count && !s->out->json; i++)
		if (jobs->job[i].result.end == SCENARIO_FAILED)
			printf("%s%s%s\n", out_style(s->out, OUT_RED), jobs->job[i].result.message,
			       out_style(s->out, OUT_PLAIN));
	if (!s->out->json && jobs->count > 1)
		printf("%u scenarios: %u passed, %u failed\n", jobs->count, count[SCENARIO_PASSED],
		       count[SCENARIO_FAILED]);
	return count[SCENARIO_FAILED] ? CLI_FINDING : CLI_OK;
}

static enum cli_status run_jobs(const struct scenarios *s, struct jobs *jobs)
{
	const bool tell = s->verbose && !s->out->json;
	enum cli_status status = CLI_OK;
	char *text = NULL;
	size_t size = 0;
	FILE *story = tell ? open_memstream(&text, &size) : NULL;

	if (tell && !story)
		return cli_error(CLI_BADINPUT, "run: out of memory");
	for (unsigned i = 0; i < jobs->count && status == CLI_OK; i++) {
		out_progress(s->out, "scenarios", i, jobs->count);
		run_one(s, &jobs->job[i], story);
		if (jobs->job[i].result.end == SCENARIO_BAD)
			status = cli_error(CLI_BADINPUT, "%s", jobs->job[i].result.message);
	}
	out_progress_clear(s->out);
	if (story && fclose(story))
		status = cli_error(CLI_BADINPUT, "run: out of memory");
	if (text && status == CLI_OK)
		fwrite(text, 1, size, stdout);
	free(text);
	return status;
}

enum cli_status scenarios_run(const struct scenarios *scenarios)
{
	struct jobs jobs = {0};
	enum cli_status status = collect(&jobs, scenarios);

	if (status == CLI_OK)
		status = run_jobs(scenarios, &jobs);
	if (status == CLI_OK)
		status = report(scenarios, &jobs);
	for (unsigned i = 0; i < jobs.count; i++)
		free(jobs.job[i].path);
	free(jobs.job);
	return status;
}
