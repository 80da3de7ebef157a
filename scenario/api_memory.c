/* SPDX-License-Identifier: MIT */
/*
 * api_memory.c - what an embedder does to guest memory at large: prefaulting, private pages,
 * the dirty log.
 */
#include <inttypes.h>
#include <string.h>

#include "scenario/api.h"

/* prefault(gpa, size, { left =, error = }) */
static int cpu_prefault(lua_State *lua)
{
	static const char *const keys[] = {"left", "error", NULL};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	umbra_gpa gpa = {api_argument(lua, 2, "gpa")};
	uint64_t size = api_argument(lua, 3, "size"), left, wanted;
	enum umbra_status status;

	api_keys(lua, 4, keys, NULL);
	tell_step(&run->story, "gpa 0x%" PRIx64 ", 0x%" PRIx64 " bytes, is prefaulted on vcpu %u",
		  gpa.v, size, cpu->number);
	left = size;
	status = umbra_vcpu_prefault(cpu->vcpu, &gpa, &left);
	cpu->stale = true;
	tell_notes(&run->story, cpu->world);
	if (status != UMBRA_OK)
		tell_line(&run->story, "umbra: %s: %s", api_status_name(status),
			  umbra_strstatus(status));
	else
		tell_line(&run->story, "0x%" PRIx64 " bytes are mapped", size - left);
	expect_status(lua, 4, status);
	wanted = api_size(lua, 4, "left", status == UMBRA_OK ? 0 : size);
	run->result->checks++;
	if (left != wanted)
		api_fail(lua, "expected 0x%" PRIx64 " bytes left, saw 0x%" PRIx64, wanted, left);
	expect_audit(lua, cpu->world);
	return 0;
}

/* attributes(gpa, size, "private" | "shared", { error = }) */
static int vm_attributes(lua_State *lua)
{
	static const char *const keys[] = {"error", NULL};
	static const struct api_word kinds[] = {{"shared", 0}, {"private", 1}, {NULL, 0}};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	umbra_gpa gpa = {api_argument(lua, 2, "gpa")};
	uint64_t size = api_argument(lua, 3, "size");
	const char *text = luaL_checkstring(lua, 4);
	bool is_private = api_word(lua, "attribute", text, kinds);
	enum umbra_status status;

	api_keys(lua, 5, keys, NULL);
	tell_step(&run->story, "gpa 0x%" PRIx64 ", 0x%" PRIx64 " bytes, is %s now", gpa.v, size,
		  is_private ? "private" : "shared");
	status = world_set_attributes(world, gpa, size, is_private);
	tell_notes(&run->story, world);
	if (status != UMBRA_OK)
		tell_line(&run->story, "umbra: %s: %s", api_status_name(status),
			  umbra_strstatus(status));
	expect_status(lua, 5, status);
	expect_audit(lua, world);
	return 0;
}

/* The marks as words: "0x5 0x10". */
static const char *marks(lua_State *lua, const uint64_t *bitmap, uint64_t words)
{
	luaL_Buffer buffer;
	bool some = false;

	luaL_buffinit(lua, &buffer);
	for (uint64_t page = 0; page < words * 64; page++) {
		char number[24];

		if (!(bitmap[page / 64] >> page % 64 & 1))
			continue;
		snprintf(number, sizeof(number), "%s0x%" PRIx64, some ? " " : "", page);
		luaL_addstring(&buffer, number);
		some = true;
	}
	luaL_pushresult(&buffer);
	return lua_tostring(lua, -1);
}

/* Room for the log of slot @id, Lua's; *pages: of the slot, 0 if there is none. */
static uint64_t *log_room(lua_State *lua, const struct world *world, uint32_t id, uint64_t *pages)
{
	uint64_t *bitmap;
	size_t size;

	*pages = 0;
	for (unsigned i = 0; i < world->slot_count; i++)
		if (world->slot[i].live && world->slot[i].id == id)
			*pages = world->slot[i].size / UMBRA_PAGE_SIZE;
	size = (*pages / 64 + 1) * sizeof(*bitmap);
	bitmap = lua_newuserdatauv(lua, size, 0);
	memset(bitmap, 0, size);
	return bitmap;
}

/* dirty(id, { marked = "0x5 0x10", error = }): get the log. */
static int vm_dirty(lua_State *lua)
{
	static const char *const keys[] = {"marked", "error", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	uint32_t id = (uint32_t)api_argument(lua, 2, "id");
	enum umbra_status status;
	const char *seen, *wanted;
	uint64_t *bitmap, pages;

	api_keys(lua, 3, keys, NULL);
	tell_step(&run->story, "the dirty log of slot %u is read", id);
	bitmap = log_room(lua, world, id, &pages);
	status = umbra_vm_get_dirty_log(world->vm, id, bitmap);
	tell_notes(&run->story, world);
	expect_status(lua, 3, status);
	seen = marks(lua, bitmap, (pages + 63) / 64);
	tell_line(&run->story, "written: %s", *seen ? seen : "nothing");
	wanted = api_string(lua, 3, "marked", NULL);
	run->result->checks++;
	if (wanted && strcmp(wanted, seen) != 0)
		return api_fail(lua, "expected pages '%s' marked, saw '%s'", wanted, seen);
	expect_audit(lua, world);
	return 1;
}

/* clear_dirty(id, first_page, page_count, { error = }): take all marks there. */
static int vm_clear_dirty(lua_State *lua)
{
	static const char *const keys[] = {"error", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	uint32_t id = (uint32_t)api_argument(lua, 2, "id");
	uint64_t first = api_argument(lua, 3, "first_page");
	uint64_t count = api_argument(lua, 4, "page_count"), pages;
	enum umbra_status status;
	uint64_t *bitmap;

	api_keys(lua, 5, keys, NULL);
	tell_step(&run->story,
		  "marks of slot %u are taken: pages 0x%" PRIx64 ", 0x%" PRIx64 " of them", id,
		  first, count);
	bitmap = log_room(lua, world, id, &pages);
	memset(bitmap, 0xff, (pages / 64 + 1) * sizeof(*bitmap));
	status = umbra_vm_clear_dirty_log(world->vm, id, first, count, bitmap);
	tell_notes(&run->story, world);
	expect_status(lua, 5, status);
	expect_audit(lua, world);
	return 0;
}

void api_add_vm_memory(lua_State *lua)
{
	lua_pushcfunction(lua, vm_dirty);
	lua_setfield(lua, -2, "dirty");
	lua_pushcfunction(lua, vm_clear_dirty);
	lua_setfield(lua, -2, "clear_dirty");
	lua_pushcfunction(lua, vm_attributes);
	lua_setfield(lua, -2, "attributes");
}

void api_add_cpu_memory(lua_State *lua)
{
	lua_pushcfunction(lua, cpu_prefault);
	lua_setfield(lua, -2, "prefault");
}
