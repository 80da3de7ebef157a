/* SPDX-License-Identifier: MIT */
/*
 * engine.c - a Lua state for one scenario, and its bounds.
 *
 * Scripts come from anywhere, so they get no files, no system, no loading of code,
 * no catching of errors, and nothing that could run for long without the count
 * hook seeing it (pattern matching, table.insert, string.rep beyond a size). Each
 * instruction and each call into the world costs from a budget; memory has a limit.
 * pairs() goes in order of keys, random numbers begin alike: a run repeats exactly.
 *
 * The chunk is named "@\1", so that the file's name, however long, can be put into
 * Lua's messages at the end.
 */
#include <errno.h>
#include <lualib.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "scenario/api.h"

#define BUDGET 20000000
#define BUDGET_STEP 1000
#define CALL_COST 500
#define MEMORY (64u << 20)
#define FILE_MAX (1u << 20)
#define STRING_MAX (1u << 16)

struct run *api_run(lua_State *lua)
{
	return *(struct run **)lua_getextraspace(lua);
}

static void spend(lua_State *lua, int64_t cost)
{
	struct run *run = api_run(lua);

	run->budget -= cost;
	if (run->budget >= 0)
		return;
	luaL_where(lua, cost == BUDGET_STEP ? 0 : 1);
	lua_pushliteral(lua, "the script runs too long (an endless loop?)");
	lua_concat(lua, 2);
	lua_error(lua);
}

struct run *api_begin(lua_State *lua, struct world *world)
{
	spend(lua, CALL_COST);
	if (world)
		world_begin(world);
	return api_run(lua);
}

static void hook(lua_State *lua, lua_Debug *debug)
{
	(void)debug;
	spend(lua, BUDGET_STEP);
}

/* The line that runs, for an error that Lua cannot place itself. Allocates nothing. */
static void note_line(struct run *run)
{
	lua_Debug debug;

	run->line = 0;
	for (int level = 0; run->lua && run->line <= 0 && lua_getstack(run->lua, level, &debug);
	     level++) {
		lua_getinfo(run->lua, "l", &debug);
		run->line = debug.currentline;
	}
}

/* Old size in @had, 0 for a new block (then it is a kind, not a size). */
static void *allocate(void *context, void *block, size_t had, size_t want)
{
	struct run *run = context;
	void *new;

	if (!block)
		had = 0;
	if (!want) {
		free(block);
		run->memory += had;
		return NULL;
	}
	if (want > had && want - had > run->memory) {
		note_line(run);
		return NULL;
	}
	new = realloc(block, want);
	if (new)
		run->memory = run->memory + had - want;
	return new;
}

int api_fail(lua_State *lua, const char *format, ...)
{
	va_list args;
	char text[384];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	api_run(lua)->failed = true;
	luaL_where(lua, 1);
	lua_pushstring(lua, text);
	lua_concat(lua, 2);
	return lua_error(lua);
}

/* ---- what scripts get of Lua ---- */

static int on_print(lua_State *lua)
{
	struct run *run = api_begin(lua, NULL);
	luaL_Buffer text;
	int count = lua_gettop(lua);

	luaL_buffinit(lua, &text);
	for (int i = 1; i <= count; i++) {
		if (i > 1)
			luaL_addchar(&text, ' ');
		/* A table's address is no business of a story's. */
		if (lua_isstring(lua, i) || lua_isnil(lua, i) || lua_isboolean(lua, i))
			luaL_tolstring(lua, i, NULL);
		else
			lua_pushstring(lua, luaL_typename(lua, i));
		luaL_addvalue(&text);
	}
	luaL_pushresult(&text);
	if (tell_is_on(&run->story))
		fprintf(run->story.to, "     %s\n", lua_tostring(lua, -1));
	return 0;
}

static int on_expect(lua_State *lua)
{
	api_begin(lua, NULL)->result->checks++;
	if (!lua_toboolean(lua, 1))
		return api_fail(lua, "%s", luaL_optstring(lua, 2, "expectation failed"));
	return 0;
}

/* quiet(true): what follows is not told, quiet(false): it is. */
static int on_quiet(lua_State *lua)
{
	struct run *run = api_begin(lua, NULL);

	luaL_checktype(lua, 1, LUA_TBOOLEAN);
	if (tell_is_on(&run->story) && lua_toboolean(lua, 1))
		fprintf(run->story.to, "     ...\n");
	run->story.quiet = lua_toboolean(lua, 1);
	return 0;
}

static int on_repeat(lua_State *lua)
{
	size_t length;
	const char *text = luaL_checklstring(lua, 1, &length);
	lua_Integer times = luaL_checkinteger(lua, 2);
	luaL_Buffer buffer;

	if (times > STRING_MAX || (times > 0 && length * (size_t)times > STRING_MAX))
		return luaL_error(lua, "string.rep gives more than %d bytes", STRING_MAX);
	luaL_buffinit(lua, &buffer);
	for (; times > 0; times--)
		luaL_addlstring(&buffer, text, length);
	luaL_pushresult(&buffer);
	return 1;
}

static void keep(lua_State *lua, const char *library, const char *const *names)
{
	lua_newtable(lua);
	lua_getglobal(lua, library);
	for (; *names; names++) {
		lua_getfield(lua, -1, *names);
		lua_setfield(lua, -3, *names);
	}
	lua_pop(lua, 1);
	lua_setglobal(lua, library);
}

/* pairs() in order: numbers first, then strings. */
static const char prelude[] =
	"local next, sort, type = next, table.sort, type\n"
	"local function before(a, b)\n"
	"  if type(a) == type(b) and (type(a) == 'number' or type(a) == 'string') then\n"
	"    return a < b\n"
	"  end\n"
	"  return type(a) < type(b)\n"
	"end\n"
	"function pairs(t)\n"
	"  local keys, i = {}, 0\n"
	"  for k in next, t do keys[#keys + 1] = k end\n"
	"  sort(keys, before)\n"
	"  return function() i = i + 1; if keys[i] ~= nil then return keys[i], t[keys[i]] end end\n"
	"end\n";

static void sandbox(lua_State *lua)
{
	static const char *const strings[] = {"byte",  "char", "format",  "len", "lower",
					      "upper", "sub",  "reverse", NULL};
	static const char *const tables[] = {"concat", "sort", "unpack", NULL};
	static const char *const maths[] = {"abs",  "ceil",       "floor",      "max",       "min",
					    "fmod", "huge",       "pi",         "tointeger", "ult",
					    "type", "maxinteger", "mininteger", NULL};
	static const char *const gone[] = {
		"dofile",  "load",         "loadfile", "collectgarbage", "next",         "pcall",
		"xpcall",  "setmetatable", "rawset",   "rawget",         "getmetatable", "rawequal",
		"require", "coroutine",    "warn",     "rawlen",         "_G",           NULL};

	luaL_requiref(lua, LUA_GNAME, luaopen_base, 1);
	luaL_requiref(lua, LUA_STRLIBNAME, luaopen_string, 1);
	luaL_requiref(lua, LUA_TABLIBNAME, luaopen_table, 1);
	luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 1);
	lua_settop(lua, 0);
	if (luaL_loadbufferx(lua, prelude, sizeof(prelude) - 1, "=prelude", "t") != LUA_OK)
		lua_error(lua);
	lua_call(lua, 0, 0);
	keep(lua, "string", strings);
	keep(lua, "table", tables);
	keep(lua, "math", maths);
	for (const char *const *name = gone; *name; name++) {
		lua_pushnil(lua);
		lua_setglobal(lua, *name);
	}
	lua_register(lua, "print", on_print);
	lua_register(lua, "expect", on_expect);
	lua_register(lua, "quiet", on_quiet);
	lua_getglobal(lua, "string");
	lua_pushcfunction(lua, on_repeat);
	lua_setfield(lua, -2, "rep");
	/* Methods of strings: only those that are left. */
	lua_pushliteral(lua, "");
	lua_getmetatable(lua, -1);
	lua_pushvalue(lua, -3);
	lua_setfield(lua, -2, "__index");
	lua_settop(lua, 0);
}

/* ---- running ---- */

static int run_script(lua_State *lua)
{
	size_t size;
	const char *text = lua_touserdata(lua, 1);

	size = (size_t)lua_tointeger(lua, 2);
	sandbox(lua);
	api_open_vm(lua);
	api_open_cpu(lua);
	api_open_tables(lua);
	if (luaL_loadbufferx(lua, text, size, "@\1", "t") != LUA_OK)
		lua_error(lua);
	lua_sethook(lua, hook, LUA_MASKCOUNT, BUDGET_STEP);
	lua_call(lua, 0, 0);
	return 0;
}

/* Lua's message: the file's name for "\1", one line, no control characters. */
static void say(struct run *run, const char *text)
{
	char *to = run->result->message;
	size_t room = sizeof(run->result->message);

	if (!strstr(text, "\1:"))
		to += snprintf(to, room, "%s: ", run->path);
	for (; *text && to < run->result->message + room - 1; text++) {
		if (*text == 1)
			to += snprintf(to, room - (size_t)(to - run->result->message), "%s",
				       run->path);
		else
			*to++ = (unsigned char)*text < ' ' || *text == 127 ? ' ' : *text;
		if (to > run->result->message + room - 1)
			to = run->result->message + room - 1;
	}
	*to = 0;
}

static void execute(struct run *run, const char *text, size_t size)
{
	lua_State *lua = lua_newstate(allocate, run);
	char line[80];

	if (!lua) {
		run->result->end = SCENARIO_BAD;
		say(run, "out of memory");
		return;
	}
	*(struct run **)lua_getextraspace(lua) = run;
	run->lua = lua;
	lua_pushcfunction(lua, run_script);
	lua_pushlightuserdata(lua, (void *)(uintptr_t)text);
	lua_pushinteger(lua, (lua_Integer)size);
	switch (lua_pcall(lua, 2, 0, 0)) {
	case LUA_OK: break;
	case LUA_ERRMEM:
		run->result->end = SCENARIO_BAD;
		snprintf(line, sizeof(line), "\1:%d: the script needs more than 64 MiB of memory",
			 run->line);
		say(run, line);
		break;
	default:
		run->result->end = run->failed ? SCENARIO_FAILED : SCENARIO_BAD;
		say(run, lua_isstring(lua, -1) ? lua_tostring(lua, -1)
					       : "an error that is not a string");
	}
	lua_close(lua);
}

static char *read_file(struct run *run, size_t *size)
{
	FILE *file = fopen(run->path, "rb");
	char *text = file ? malloc(FILE_MAX + 1) : NULL;

	if (text) {
		errno = 0;
		*size = fread(text, 1, FILE_MAX + 1, file);
		if (ferror(file) || *size > FILE_MAX) {
			say(run, *size > FILE_MAX ? "longer than 1 MiB" : strerror(errno));
			free(text);
			text = NULL;
		}
	} else {
		say(run, strerror(errno));
	}
	if (file)
		fclose(file);
	return text;
}

enum scenario_end scenario_run(const char *path, const struct scenario_options *options,
			       struct scenario_result *result)
{
	struct run run = {
		.path = path,
		.options = options,
		.result = result,
		.story = {.to = options->story, .colour = options->colour},
		.budget = BUDGET,
		.memory = MEMORY,
	};
	size_t size;
	char *text;

	*result = (struct scenario_result){.end = SCENARIO_BAD};
	text = read_file(&run, &size);
	if (!text)
		return SCENARIO_BAD;
	result->end = SCENARIO_PASSED;
	execute(&run, text, size);
	result->steps = run.story.step;
	for (unsigned i = 0; i < run.world_count; i++)
		world_close(run.world[i]);
	free(text);
	return result->end;
}
