/* SPDX-License-Identifier: MIT */
/*
 * api.h - what the files behind the Lua functions share.
 *
 * Lua's errors are longjmps: what a function allocates must belong to Lua or to
 * the run before anything can fail.
 */
#ifndef SCENARIO_API_H
#define SCENARIO_API_H

#include <lauxlib.h>
#include <lua.h>

#include "scenario/scenario.h"
#include "scenario/tables.h"
#include "scenario/tell.h"

#define API_VMS 16

/** struct run - one script. */
struct run {
	const char *path;
	const struct scenario_options *options;
	struct scenario_result *result;
	struct story story;
	struct world *world[API_VMS];
	unsigned world_count;
	/** Instructions and bytes left. */
	int64_t budget;
	size_t memory;
	/** The state, and the line at which memory ran out. */
	lua_State *lua;
	int line;
	/** The error on its way up is a failed expectation. */
	bool failed;
};
struct run *api_run(lua_State *lua);
/** api_begin - a call that does something: costs time, begins a step in @world. */
struct run *api_begin(lua_State *lua, struct world *world);

/** api_fail - an expectation does not hold; does not return. */
int api_fail(lua_State *lua, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- arguments: tables with named fields ---- */

/** api_keys - @index is a table (or none, then an empty one is put there) with no other
 * keys than these, which end with NULL; @more too, if not NULL. */
void api_keys(lua_State *lua, int index, const char *const *keys, const char *const *more);
/** api_has - is the field there? It is pushed only then. */
bool api_has(lua_State *lua, int index, const char *key);
uint64_t api_number(lua_State *lua, int index, const char *key, uint64_t missing);
/** api_size - a number or "4K", "2M", "1G". */
uint64_t api_size(lua_State *lua, int index, const char *key, uint64_t missing);
bool api_bool(lua_State *lua, int index, const char *key, bool missing);
const char *api_string(lua_State *lua, int index, const char *key, const char *missing);
uint64_t api_argument(lua_State *lua, int index, const char *what);

struct api_word {
	const char *name;
	uint64_t value;
};
/** api_word - the value of @text in @words, which end with NULL; else an error about @what. */
uint64_t api_word(lua_State *lua, const char *what, const char *text, const struct api_word *words);
/** api_words - several words, separated by spaces, commas or |, any case. */
uint64_t api_words(lua_State *lua, const char *what, const char *text,
		   const struct api_word *words);
/** api_status - "EINVAL" to its status. */
enum umbra_status api_status(lua_State *lua, const char *text);
const char *api_status_name(enum umbra_status status);
extern const struct api_word api_accesses[], api_features[];

/* ---- expectations (expect.c) ---- */

/** Fields that state how a step must end. */
extern const char *const expect_keys[];
void expect_result(lua_State *lua, int index, const struct world_access *access,
		   const struct world_result *result);
/** expect_status - field `error` of the table, or none, against @status. */
void expect_status(lua_State *lua, int index, enum umbra_status status);
/** expect_audit - all invariants hold. */
void expect_audit(lua_State *lua, struct world *world);
int expect_counts(lua_State *lua);
int expect_traced(lua_State *lua);

/* ---- objects ---- */

struct world *api_vm(lua_State *lua, int index);
struct world_cpu *api_cpu(lua_State *lua, int index);
struct tables *api_tables(lua_State *lua, int index);
void api_push_cpu(lua_State *lua, struct world_cpu *cpu);
/** api_finish - tell and check what a step gave, expectations at @index; pushes the outcome. */
int api_finish(lua_State *lua, int index, struct world_cpu *cpu, const struct world_access *access,
	       const struct world_result *result);

/** Names of register bits, as in start { wp = false }. */
#define API_BITS 17
extern const char *const api_bit_names[API_BITS];
/** api_take_bits - fields of the table at @index that name bits. */
void api_take_bits(lua_State *lua, int index, struct umbra_regs *regs);
/** api_regs_for - registers that select @mode, with NX as @cpu has it. */
struct umbra_regs api_regs_for(enum tables_mode mode, const struct umbra_cpu *cpu);

void api_open_vm(lua_State *lua);
void api_open_cpu(lua_State *lua);
void api_open_tables(lua_State *lua);
/** api_add_nested - methods of a vCPU that is a hypervisor, to the table on the stack. */
void api_add_nested(lua_State *lua);
/** api_add_cpu_memory - methods of a vCPU, of a VM, about guest memory. */
void api_add_cpu_memory(lua_State *lua);
void api_add_vm_memory(lua_State *lua);
/** Constructors. */
int api_new_vm(lua_State *lua);
int api_new_tables(lua_State *lua);

#endif
