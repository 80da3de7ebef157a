/* SPDX-License-Identifier: MIT */
/*
 * api_tables.c - vm:tables(mode, {...}) and the methods of guest tables.
 */
#include <inttypes.h>
#include <string.h>

#include "scenario/api.h"

#define KIND "umbra.tables"
#define POOL 0x100000
#define POOL_PAGES 32
#define WINDOW 0x30000000

struct tables *api_tables(lua_State *lua, int index)
{
	return luaL_checkudata(lua, index, KIND);
}

static enum tables_mode mode_argument(lua_State *lua, int index)
{
	struct api_word words[TABLES_MODES + 1] = {0};

	for (unsigned i = 0; i < TABLES_MODES; i++)
		words[i] = (struct api_word){tables_mode_name(i), i};
	luaL_checktype(lua, index, LUA_TSTRING);
	return (enum tables_mode)api_word(lua, "mode", lua_tostring(lua, index), words);
}

/* map() and leaf(): letters. */
static unsigned flags_argument(lua_State *lua, int index)
{
	static const char letters[] = "wungad";
	const char *text = luaL_optstring(lua, index, "");
	unsigned flags = 0;

	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (!at)
			luaL_error(lua,
				   "flags: '%s' has other letters than w (write), u (user), "
				   "n (no execute), g (global), a (accessed), d (dirty)",
				   luaL_optstring(lua, index, ""));
		else
			flags |= 1u << (at - letters);
	}
	return flags;
}

static unsigned level_argument(lua_State *lua, int index, const struct tables *tables, unsigned max)
{
	lua_Integer level = luaL_optinteger(lua, index, 1);

	if (level < 1 || level > max || level > tables_top(tables->mode))
		luaL_error(lua, "level: these tables have no level %d%s", (int)level,
			   level > 1 && level <= tables_top(tables->mode) ? " pages" : "");
	return (unsigned)level;
}

int api_new_tables(lua_State *lua)
{
	static const char *const keys[] = {"pool", "pages", "window", "root", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	enum tables_mode mode = mode_argument(lua, 2);
	struct tables *tables;
	char error[160];

	api_keys(lua, 3, keys, NULL);
	tables = lua_newuserdatauv(lua, sizeof(*tables), 0);
	*tables = (struct tables){
		.world = world,
		.mode = mode,
		.pool = {api_number(lua, 3, "pool", POOL)},
		.pool_size = api_number(lua, 3, "pages", POOL_PAGES) * UMBRA_PAGE_SIZE,
		.window = {WINDOW},
		.root = {api_number(lua, 3, "root", 0)},
	};
	if (tables->pool.v % UMBRA_PAGE_SIZE || tables->pool_size > 1u << 24)
		return luaL_error(lua,
				  "pool: expected a page aligned address and at most 4096 pages");
	if (api_has(lua, 3, "window")) {
		/* false: none */
		tables->window.v = lua_isboolean(lua, -1) && !lua_toboolean(lua, -1)
					   ? 0
					   : api_argument(lua, -1, "window");
		lua_pop(lua, 1);
	}
	if (!tables_open(tables, error, sizeof(error)))
		return luaL_error(lua, "%s", error);
	luaL_setmetatable(lua, KIND);
	if (mode != TABLES_UNPAGED)
		tell_step(&run->story, "guest tables, mode %s, root at gpa 0x%" PRIx64,
			  tables_mode_name(mode), tables->root.v);
	return 1;
}

static int tables_map(lua_State *lua)
{
	struct tables *tables = api_tables(lua, 1);
	struct run *run = api_begin(lua, tables->world);
	umbra_gva gva = {api_argument(lua, 2, "gva")};
	umbra_gpa gpa = {api_argument(lua, 3, "gpa")}, place;
	unsigned flags = flags_argument(lua, 4), level = level_argument(lua, 5, tables, 3);
	uint64_t value = tables_leaf(tables->mode, gpa, flags, level);
	char error[160];

	if (level > 1 && !tables_is_leaf(tables->mode, value, level))
		return luaL_error(lua, "level: mode %s has no pages of level %d",
				  tables_mode_name(tables->mode), (int)level);
	if (!tables_place(tables, gva, level, true, &place, error, sizeof(error)))
		return luaL_error(lua, "%s", error);
	tell_step(&run->story,
		  "the guest's 0x%" PRIx64 " is to be gpa 0x%" PRIx64 ": L%u entry 0x%" PRIx64,
		  gva.v, gpa.v, level, value);
	if (!tables_put(tables, place, value))
		return luaL_error(lua, "the table at 0x%I cannot be written", (LUAI_UACINT)place.v);
	tell_notes(&run->story, tables->world);
	expect_audit(lua, tables->world);
	return 0;
}

/* entry(gva, level): get; entry(gva, level, value): set. */
static int tables_entry(lua_State *lua)
{
	struct tables *tables = api_tables(lua, 1);
	struct run *run = api_begin(lua, tables->world);
	umbra_gva gva = {api_argument(lua, 2, "gva")};
	unsigned level = level_argument(lua, 3, tables, 5);
	bool set = !lua_isnoneornil(lua, 4);
	umbra_gpa place;
	uint64_t value;
	char error[160];

	if (!tables_place(tables, gva, level, set, &place, error, sizeof(error)))
		return luaL_error(lua, "%s", error);
	if (set) {
		value = api_argument(lua, 4, "value");
		tell_step(&run->story,
			  "the guest's L%u entry for 0x%" PRIx64 " is set to 0x%" PRIx64, level,
			  gva.v, value);
		if (!tables_put(tables, place, value))
			return luaL_error(lua, "the table cannot be written");
		tell_notes(&run->story, tables->world);
		expect_audit(lua, tables->world);
	}
	if (!tables_get(tables, place, &value))
		return luaL_error(lua, "the table is not in memory");
	lua_pushinteger(lua, (lua_Integer)value);
	return 1;
}

static int tables_where(lua_State *lua)
{
	struct tables *tables = api_tables(lua, 1);
	umbra_gva gva = {api_argument(lua, 2, "gva")};
	unsigned level = level_argument(lua, 3, tables, 5);
	umbra_gpa place;
	char error[160];

	if (!tables_place(tables, gva, level, true, &place, error, sizeof(error)))
		return luaL_error(lua, "%s", error);
	lua_pushinteger(lua, (lua_Integer)place.v);
	return 1;
}

static int tables_value(lua_State *lua)
{
	struct tables *tables = api_tables(lua, 1);
	umbra_gpa gpa = {api_argument(lua, 2, "gpa")};
	unsigned flags = flags_argument(lua, 3), level = level_argument(lua, 4, tables, 3);

	lua_pushinteger(lua, (lua_Integer)tables_leaf(tables->mode, gpa, flags, level));
	return 1;
}

static int tables_root(lua_State *lua)
{
	lua_pushinteger(lua, (lua_Integer)api_tables(lua, 1)->root.v);
	return 1;
}

void api_open_tables(lua_State *lua)
{
	static const luaL_Reg methods[] = {
		{"map", tables_map},    {"entry", tables_entry}, {"where", tables_where},
		{"leaf", tables_value}, {"root", tables_root},   {NULL, NULL},
	};

	luaL_newmetatable(lua, KIND);
	luaL_newlib(lua, methods);
	lua_setfield(lua, -2, "__index");
	lua_settop(lua, 0);
}
