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
/* Of L1's EPT or NPT, in L1's tables; and of L2's tables, in themselves. */
#define OWNED_WINDOW 0x38000000
#define OWNED_POOL 0x140000

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
static unsigned flags_argument(lua_State *lua, int index, const struct tables *tables)
{
	static const struct {
		char letter;
		unsigned paging, ept;
	} letters[] = {
		{'r', 0, TABLES_R},        {'w', TABLES_W, TABLES_W}, {'x', 0, TABLES_X},
		{'u', TABLES_U, TABLES_U}, {'n', TABLES_NX, 0},       {'g', TABLES_G, 0},
		{'a', TABLES_A, TABLES_A}, {'d', TABLES_D, TABLES_D},
	};
	const bool ept = tables_is_ept(tables->mode);
	const char *text = luaL_optstring(lua, index, "");
	unsigned flags = 0;

	for (; *text; text++) {
		unsigned flag = 0;

		for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
			if (letters[i].letter == *text)
				flag = ept ? letters[i].ept : letters[i].paging;
		if (!flag)
			luaL_error(lua,
				   ept ? "flags: '%s' has other letters than r (read), w (write), "
					 "x (execute), u (user execute), a (accessed), d (dirty)"
				       : "flags: '%s' has other letters than w (write), u (user), "
					 "n (no execute), g (global), a (accessed), d (dirty)",
				   luaL_optstring(lua, index, ""));
		flags |= flag;
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

/* Field `owner`: tables that must outlive these. */
static struct tables *owner_argument(lua_State *lua, struct tables *tables)
{
	struct tables *owner;

	if (!api_has(lua, 3, "owner"))
		return NULL;
	owner = api_tables(lua, -1);
	if (owner->world != tables->world || tables_is_ept(owner->mode))
		luaL_error(lua, "owner: expected L1's page tables in the same VM");
	/* On the stack: the new tables, then their owner. */
	lua_setiuservalue(lua, -2, 1);
	return owner->mode == TABLES_UNPAGED ? NULL : owner;
}

static void pool_arguments(lua_State *lua, struct tables *tables)
{
	const bool owned = api_has(lua, 3, "owner");

	if (owned)
		lua_pop(lua, 1);
	tables->pool.v = api_number(lua, 3, "pool", owned ? OWNED_POOL : POOL);
	tables->pool_size = api_number(lua, 3, "pages", POOL_PAGES) * UMBRA_PAGE_SIZE;
	tables->base = api_size(lua, 3, "base", 0);
	tables->root.v = api_number(lua, 3, "root", 0);
	tables->window.v = owned ? OWNED_WINDOW : tables_is_ept(tables->mode) ? 0 : WINDOW;
	if ((tables->pool.v | tables->base) % UMBRA_PAGE_SIZE || tables->pool_size > 1u << 24)
		luaL_error(lua, "pool: expected a page aligned address and at most 4096 pages");
	if (api_has(lua, 3, "window")) {
		/* false: none */
		tables->window.v = lua_isboolean(lua, -1) && !lua_toboolean(lua, -1)
					   ? 0
					   : api_argument(lua, -1, "window");
		lua_pop(lua, 1);
	}
}

int api_new_tables(lua_State *lua)
{
	static const char *const keys[] = {"pool", "pages", "window", "root",
					   "base", "owner", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	enum tables_mode mode = mode_argument(lua, 2);
	struct tables *tables;
	char error[160];

	api_keys(lua, 3, keys, NULL);
	tables = lua_newuserdatauv(lua, sizeof(*tables), 1);
	*tables = (struct tables){.world = world, .mode = mode};
	pool_arguments(lua, tables);
	tables->owner = owner_argument(lua, tables);
	if (tables_is_ept(mode) && tables->window.v && !tables->owner)
		return luaL_error(lua, "window: EPT tables need an owner to be mapped there");
	if (!tables_open(tables, error, sizeof(error)))
		return luaL_error(lua, "%s", error);
	luaL_setmetatable(lua, KIND);
	if (mode == TABLES_UNPAGED)
		return 1;
	if (tables_is_ept(mode))
		tell_step(&run->story, "L1's EPT, %u levels, root at gpa 0x%" PRIx64,
			  tables_top(mode), tables->root.v);
	else if (tables->owner)
		tell_step(&run->story, "L1's NPT, mode %s, root at gpa 0x%" PRIx64,
			  tables_mode_name(mode), tables->root.v);
	else if (tables->base)
		tell_step(&run->story, "L2's tables, mode %s, root at L2's gpa 0x%" PRIx64,
			  tables_mode_name(mode), tables->root.v);
	else
		tell_step(&run->story, "guest tables, mode %s, root at gpa 0x%" PRIx64,
			  tables_mode_name(mode), tables->root.v);
	return 1;
}

static bool is_second_stage(const struct tables *tables)
{
	return tables->owner || tables_is_ept(tables->mode);
}

/* "L2" is a guest where there are two of them. */
static const char *level_word(const struct tables *tables)
{
	return is_second_stage(tables) || tables->base ? "level " : "L";
}

static const char *whose_address(const struct tables *tables)
{
	return is_second_stage(tables) ? "L2's gpa" : tables->base ? "L2's" : "the guest's";
}

static void map_one(lua_State *lua, struct tables *tables, umbra_gva gva, unsigned level,
		    uint64_t value)
{
	umbra_gpa place;
	char error[160];

	if (!tables_place(tables, gva, level, true, &place, error, sizeof(error)))
		luaL_error(lua, "%s", error);
	if (!tables_put(tables, place, value))
		luaL_error(lua, "the table at %p cannot be written", (void *)(uintptr_t)place.v);
}

/* map(gva, gpa, flags, level, count) */
static int tables_map(lua_State *lua)
{
	struct tables *tables = api_tables(lua, 1);
	struct run *run = api_begin(lua, tables->world);
	umbra_gva gva = {api_argument(lua, 2, "gva")};
	umbra_gpa gpa = {api_argument(lua, 3, "gpa")};
	unsigned flags = flags_argument(lua, 4, tables), level = level_argument(lua, 5, tables, 3);
	lua_Integer count = luaL_optinteger(lua, 6, 1);
	uint64_t value = tables_leaf(tables->mode, gpa, flags, level), span;
	char more[48] = "";

	if (level > 1 && !tables_is_leaf(tables->mode, value, level))
		return luaL_error(lua, "level: mode %s has no pages of level %d",
				  tables_mode_name(tables->mode), (int)level);
	if (count < 1 || count > 4096)
		return luaL_error(lua, "count: expected 1 to 4096 pages");
	span = tables_span(tables->mode, level);
	if (count > 1)
		snprintf(more, sizeof(more), ", the first of %d pages", (int)count);
	tell_step(&run->story,
		  "%s 0x%" PRIx64 " is to be %s 0x%" PRIx64 ": %s%u entry 0x%" PRIx64 "%s",
		  whose_address(tables), gva.v, tables->base ? "L2's gpa" : "gpa", gpa.v,
		  level_word(tables), level, value, more);
	for (lua_Integer i = 0; i < count; i++) {
		umbra_gva at = {gva.v + (uint64_t)i * span};
		umbra_gpa page = {gpa.v + (uint64_t)i * span};

		map_one(lua, tables, at, level, tables_leaf(tables->mode, page, flags, level));
	}
	tell_notes(&run->story, tables->world);
	expect_audit(lua, tables->world);
	return 0;
}

/* A and D bits are set on both machines, by the CPU there, by Umbra or the CPU here. */
static void expect_same_entry(lua_State *lua, const struct tables *tables, umbra_gpa place,
			      uint64_t value)
{
	const uint8_t *bytes = world_bare_at(tables->world, (umbra_gpa){tables->base + place.v});
	uint64_t bare = 0;

	if (!is_second_stage(tables) && !tables->base)
		return;
	api_run(lua)->result->checks++;
	if (bytes)
		memcpy(&bare, bytes, tables_entry_bytes(tables->mode));
	if (bytes && bare != value)
		api_fail(lua, "the entry is 0x%" PRIx64 ", on the bare machine 0x%" PRIx64, value,
			 bare);
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
		tell_step(&run->story, "%s %s%u entry for 0x%" PRIx64 " is set to 0x%" PRIx64,
			  is_second_stage(tables) ? "L1's"
			  : tables->base          ? "L2's"
						  : "the guest's",
			  level_word(tables), level, gva.v, value);
		if (!tables_put(tables, place, value))
			return luaL_error(lua, "the table cannot be written");
		tell_notes(&run->story, tables->world);
		expect_audit(lua, tables->world);
	}
	if (!tables_get(tables, place, &value))
		return luaL_error(lua, "the table is not in memory");
	expect_same_entry(lua, tables, place, value);
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
	unsigned flags = flags_argument(lua, 3, tables), level = level_argument(lua, 4, tables, 3);

	lua_pushinteger(lua, (lua_Integer)tables_leaf(tables->mode, gpa, flags, level));
	return 1;
}

static int tables_root(lua_State *lua)
{
	lua_pushinteger(lua, (lua_Integer)api_tables(lua, 1)->root.v);
	return 1;
}

static int tables_pointer(lua_State *lua)
{
	struct tables *tables = api_tables(lua, 1);

	if (!tables_is_ept(tables->mode))
		return luaL_error(lua, "only EPT tables have an EPT pointer");
	if (!lua_isnoneornil(lua, 2))
		luaL_checktype(lua, 2, LUA_TBOOLEAN);
	lua_pushinteger(lua, (lua_Integer)tables_eptp(tables, lua_isnoneornil(lua, 2) ||
								      lua_toboolean(lua, 2)));
	return 1;
}

void api_open_tables(lua_State *lua)
{
	static const luaL_Reg methods[] = {
		{"map", tables_map},    {"entry", tables_entry}, {"where", tables_where},
		{"leaf", tables_value}, {"root", tables_root},   {"eptp", tables_pointer},
		{NULL, NULL},
	};

	luaL_newmetatable(lua, KIND);
	luaL_newlib(lua, methods);
	lua_setfield(lua, -2, "__index");
	lua_settop(lua, 0);
}
