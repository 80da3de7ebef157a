/* SPDX-License-Identifier: MIT */
/*
 * args.c - arguments of the Lua functions: tables with named fields, words, numbers.
 *
 * A field that nobody knows is an error: a misspelt expectation must not pass.
 */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "scenario/api.h"

const struct api_word api_accesses[] = {
	{"user", UMBRA_ACCESS_USER},   {"supervisor", 0},       {"implicit", UMBRA_ACCESS_IMPLICIT},
	{"shstk", UMBRA_ACCESS_SHSTK}, {"ac", UMBRA_ACCESS_AC}, {NULL, 0},
};

const struct api_word api_features[] = {
	{"pse", UMBRA_CPU_PSE},
	{"pae", UMBRA_CPU_PAE},
	{"pge", UMBRA_CPU_PGE},
	{"pse36", UMBRA_CPU_PSE36},
	{"pcid", UMBRA_CPU_PCID},
	{"smep", UMBRA_CPU_SMEP},
	{"smap", UMBRA_CPU_SMAP},
	{"pku", UMBRA_CPU_PKU},
	{"pks", UMBRA_CPU_PKS},
	{"la57", UMBRA_CPU_LA57},
	{"shstk", UMBRA_CPU_SHSTK},
	{"nx", UMBRA_CPU_NX},
	{"1g", UMBRA_CPU_1G},
	{"lm", UMBRA_CPU_LM},
	{"execonly", UMBRA_CPU_EPT_EXECONLY},
	{"ept_1g", UMBRA_CPU_EPT_1G},
	{"ept_2m", UMBRA_CPU_EPT_2M},
	{"ept_ad", UMBRA_CPU_EPT_AD},
	{"mbec", UMBRA_CPU_MBEC},
	{"gmet", UMBRA_CPU_GMET},
	{"rogpt", UMBRA_CPU_ROGPT},
	{"ept_5", UMBRA_CPU_EPT_LEVEL5},
	{"advinfo", UMBRA_CPU_EPT_ADVINFO},
	{NULL, 0},
};

static const struct api_word statuses[] = {
	{"OK", UMBRA_OK},
	{"EINVAL", UMBRA_EINVAL},
	{"EEXIST", UMBRA_EEXIST},
	{"EFAULT", UMBRA_EFAULT},
	{"ENOENT", UMBRA_ENOENT},
	{"ENOMEM", UMBRA_ENOMEM},
	{"ENOSPC", UMBRA_ENOSPC},
	{"EAGAIN", UMBRA_EAGAIN},
	{"EINTR", UMBRA_EINTR},
	{"EOPNOTSUPP", UMBRA_EOPNOTSUPP},
	{"EUNMAPPABLE", UMBRA_EUNMAPPABLE},
	{NULL, 0},
};

enum umbra_status api_status(lua_State *lua, const char *text)
{
	return (enum umbra_status)api_word(lua, "status", text, statuses);
}

const char *api_status_name(enum umbra_status status)
{
	for (const struct api_word *word = statuses; word->name; word++)
		if (word->value == status)
			return word->name;
	return "?";
}

static bool among(const char *key, const char *const *keys)
{
	for (; keys && *keys; keys++)
		if (!strcmp(key, *keys))
			return true;
	return false;
}

void api_keys(lua_State *lua, int index, const char *const *keys, const char *const *more)
{
	if (lua_isnoneornil(lua, index)) {
		lua_settop(lua, index - 1);
		lua_newtable(lua);
		return;
	}
	luaL_checktype(lua, index, LUA_TTABLE);
	lua_pushnil(lua);
	while (lua_next(lua, index)) {
		/* lua_tostring() would change a number. */
		if (lua_type(lua, -2) != LUA_TSTRING)
			luaL_error(lua, "fields have names here, as in { gpa = 0x5000 }");
		if (!among(lua_tostring(lua, -2), keys) && !among(lua_tostring(lua, -2), more))
			luaL_error(lua, "there is no field '%s' here", lua_tostring(lua, -2));
		lua_pop(lua, 1);
	}
}

bool api_has(lua_State *lua, int index, const char *key)
{
	if (lua_getfield(lua, index, key) != LUA_TNIL)
		return true;
	lua_pop(lua, 1);
	return false;
}

static uint64_t integer(lua_State *lua, int index, const char *what)
{
	int is_integer;
	lua_Integer value = lua_tointegerx(lua, index, &is_integer);

	if (!is_integer || lua_type(lua, index) != LUA_TNUMBER)
		luaL_error(lua, "%s: expected an integer, got %s", what,
			   lua_type(lua, index) == LUA_TNUMBER ? "a fraction"
							       : luaL_typename(lua, index));
	return (uint64_t)value;
}

uint64_t api_argument(lua_State *lua, int index, const char *what)
{
	return integer(lua, index, what);
}

uint64_t api_number(lua_State *lua, int index, const char *key, uint64_t missing)
{
	if (!api_has(lua, index, key))
		return missing;
	missing = integer(lua, -1, key);
	lua_pop(lua, 1);
	return missing;
}

uint64_t api_size(lua_State *lua, int index, const char *key, uint64_t missing)
{
	uint64_t value = 0;
	const char *text;

	if (!api_has(lua, index, key))
		return missing;
	if (lua_type(lua, -1) != LUA_TSTRING) {
		value = integer(lua, -1, key);
		lua_pop(lua, 1);
		return value;
	}
	text = lua_tostring(lua, -1);
	for (; *text >= '0' && *text <= '9' && value < 1u << 20; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	switch (*text) {
	case 'K': value <<= 10; break;
	case 'M': value <<= 20; break;
	case 'G': value <<= 30; break;
	case 'T': value <<= 40; break;
	default: value = 0;
	}
	if (!value || text[1])
		luaL_error(lua, "%s: expected a size as \"4K\", \"2M\" or \"1G\"", key);
	lua_pop(lua, 1);
	return value;
}

bool api_bool(lua_State *lua, int index, const char *key, bool missing)
{
	if (!api_has(lua, index, key))
		return missing;
	if (!lua_isboolean(lua, -1))
		luaL_error(lua, "%s: expected true or false, got %s", key, luaL_typename(lua, -1));
	missing = lua_toboolean(lua, -1);
	lua_pop(lua, 1);
	return missing;
}

/* The string stays alive in the table. */
const char *api_string(lua_State *lua, int index, const char *key, const char *missing)
{
	if (!api_has(lua, index, key))
		return missing;
	if (lua_type(lua, -1) != LUA_TSTRING)
		luaL_error(lua, "%s: expected a string, got %s", key, luaL_typename(lua, -1));
	missing = lua_tostring(lua, -1);
	lua_pop(lua, 1);
	return missing;
}

static void unknown(lua_State *lua, const char *what, const char *text, size_t length,
		    const struct api_word *words)
{
	luaL_Buffer list;

	luaL_buffinit(lua, &list);
	for (const struct api_word *word = words; word->name; word++) {
		luaL_addstring(&list, word == words ? "" : ", ");
		luaL_addstring(&list, word->name);
	}
	luaL_pushresult(&list);
	lua_pushlstring(lua, text, length);
	luaL_error(lua, "%s: '%s' is none of %s", what, lua_tostring(lua, -1),
		   lua_tostring(lua, -2));
}

static const struct api_word *lookup(const struct api_word *words, const char *text, size_t length)
{
	for (; words->name; words++)
		if (strlen(words->name) == length && !strncasecmp(words->name, text, length))
			return words;
	return NULL;
}

uint64_t api_word(lua_State *lua, const char *what, const char *text, const struct api_word *words)
{
	const struct api_word *word = lookup(words, text, strlen(text));

	if (!word)
		unknown(lua, what, text, strlen(text), words);
	return word ? word->value : 0;
}

uint64_t api_words(lua_State *lua, const char *what, const char *text, const struct api_word *words)
{
	uint64_t value = 0;

	for (;;) {
		const struct api_word *word;
		size_t length;

		text += strspn(text, " ,|");
		length = strcspn(text, " ,|");
		if (!length)
			return value;
		word = lookup(words, text, length);
		if (!word)
			unknown(lua, what, text, length, words);
		value |= word ? word->value : 0;
		text += length;
	}
}
