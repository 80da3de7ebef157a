/* SPDX-License-Identifier: MIT */
/*
 * api_memory.c - what an embedder does to guest memory at large: prefaulting, private pages.
 */
#include <inttypes.h>

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

void api_add_vm_memory(lua_State *lua)
{
	lua_pushcfunction(lua, vm_attributes);
	lua_setfield(lua, -2, "attributes");
}

void api_add_cpu_memory(lua_State *lua)
{
	lua_pushcfunction(lua, cpu_prefault);
	lua_setfield(lua, -2, "prefault");
}
