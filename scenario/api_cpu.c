/* SPDX-License-Identifier: MIT */
/*
 * api_cpu.c - methods of a vCPU: accesses, instructions, a look at Umbra's entries.
 */
#include <inttypes.h>
#include <string.h>

#include "scenario/api.h"

#define KIND "umbra.vcpu"

struct world_cpu *api_cpu(lua_State *lua, int index)
{
	return *(struct world_cpu **)luaL_checkudata(lua, index, KIND);
}

void api_push_cpu(lua_State *lua, struct world_cpu *cpu)
{
	*(struct world_cpu **)lua_newuserdatauv(lua, sizeof(cpu), 0) = cpu;
	luaL_setmetatable(lua, KIND);
}

static void set_field(lua_State *lua, const char *key, uint64_t value)
{
	lua_pushinteger(lua, (lua_Integer)value);
	lua_setfield(lua, -2, key);
}

/* What a step gave, for scripts that compute with it. */
static int push_outcome(lua_State *lua, const struct world_outcome *o)
{
	lua_newtable(lua);
	lua_pushboolean(lua, o->end == WORLD_DONE);
	lua_setfield(lua, -2, "ok");
	set_field(lua, "gpa", o->gpa.v);
	set_field(lua, "value", o->value);
	set_field(lua, "exits", o->exits);
	if (o->end == WORLD_FAULT && o->event.kind == UMBRA_EVENT_PF)
		set_field(lua, "pf", o->event.code);
	return 1;
}

int api_finish(lua_State *lua, int index, struct world_cpu *cpu, const struct world_access *access,
	       const struct world_result *result)
{
	struct run *run = api_run(lua);

	run->result->exits += result->umbra.exits;
	tell_notes(&run->story, cpu->world);
	tell_result(&run->story, access, result);
	expect_result(lua, index, access, result);
	expect_audit(lua, cpu->world);
	return push_outcome(lua, &result->umbra);
}

/* ---- accesses ---- */

static int do_access(lua_State *lua, int index, struct world_cpu *cpu, struct world_access *access)
{
	static const char *const verbs[] = {"reads", "writes", "fetches from"};
	struct run *run = api_run(lua);
	struct world_result result;
	char as[64], who[32], value[32] = "";
	const bool write = access->access & UMBRA_ACCESS_WRITE;

	if (access->size != 1 && access->size != 2 && access->size != 4 && access->size != 8)
		return luaL_error(lua, "size: expected 1, 2, 4 or 8");
	if (access->gva.v % UMBRA_PAGE_SIZE + access->size > UMBRA_PAGE_SIZE)
		return luaL_error(lua, "an access stays within a page here");
	if (write)
		snprintf(value, sizeof(value), "0x%" PRIx64 " to ", access->value);
	tell_step(&run->story, "%s %s %s0x%" PRIx64 " (%s)", tell_who(cpu, who, sizeof(who)),
		  verbs[write                                 ? 1
			: access->access & UMBRA_ACCESS_FETCH ? 2
							      : 0],
		  value, access->gva.v, tell_access(access->access, as, sizeof(as)));
	tell_guest_walk(&run->story, cpu, access->gva);
	run->result->accesses++;
	world_access(cpu, access, &result);
	return api_finish(lua, index, cpu, access, &result);
}

static int access_of(lua_State *lua, unsigned kind)
{
	static const char *const keys[] = {"as", "size", NULL};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct world_access access = {.access = kind};

	api_begin(lua, cpu->world);
	access.gva.v = api_argument(lua, 2, "gva");
	api_keys(lua, 3, keys, expect_keys);
	access.size = (uint8_t)api_number(lua, 3, "size", kind & UMBRA_ACCESS_FETCH ? 1 : 8);
	access.value = kind & UMBRA_ACCESS_WRITE ? api_number(lua, 3, "value", 0) : 0;
	access.access |= (unsigned)api_words(lua, "as", api_string(lua, 3, "as", ""), api_accesses);
	if (access.access & UMBRA_ACCESS_USER && access.access & UMBRA_ACCESS_IMPLICIT)
		return luaL_error(lua, "as: an implicit access is the supervisor's");
	return do_access(lua, 3, cpu, &access);
}

static int cpu_read(lua_State *lua)
{
	return access_of(lua, UMBRA_ACCESS_READ);
}

static int cpu_write(lua_State *lua)
{
	return access_of(lua, UMBRA_ACCESS_WRITE);
}

static int cpu_fetch(lua_State *lua)
{
	return access_of(lua, UMBRA_ACCESS_FETCH);
}

/* edit(tables, gva, level, value, {...}): the guest stores an entry, by its window. */
static int cpu_edit(lua_State *lua)
{
	static const char *const keys[] = {"as", "size", NULL};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct tables *tables = api_tables(lua, 2);
	struct world_access access = {.access = UMBRA_ACCESS_WRITE};
	uint64_t level;
	umbra_gpa place;
	char error[160];

	api_begin(lua, cpu->world);
	access.gva.v = api_argument(lua, 3, "gva");
	level = api_argument(lua, 4, "level");
	access.value = api_argument(lua, 5, "value");
	api_keys(lua, 6, keys, expect_keys);
	if (!level || level > tables_top(tables->mode))
		return luaL_error(lua, "level: these tables have no level %d", (int)level);
	if (!tables_place(tables, access.gva, (unsigned)level, false, &place, error, sizeof(error)))
		return luaL_error(lua, "%s", error);
	if (!tables->window.v && tables_mode_of(world_regs(cpu)) == TABLES_UNPAGED)
		access.gva.v = place.v;
	else if (tables->window.v && place.v - tables->pool.v < tables->pool_size)
		access.gva.v = tables->window.v + (place.v - tables->pool.v);
	else
		return luaL_error(lua, "the table at %p is not in the window",
				  (void *)(uintptr_t)place.v);
	access.size = (uint8_t)api_number(lua, 6, "size", tables_entry_bytes(tables->mode));
	return do_access(lua, 6, cpu, &access);
}

/* ---- registers ---- */

const char *const api_bit_names[API_BITS] = {
	"pe",    "wp",   "nw",   "cd",  "pg",  "pse", "pae", "pge", "la57",
	"pcide", "smep", "smap", "pke", "cet", "pks", "lme", "nxe",
};
/* In the order of their names. */
static const struct {
	enum world_register reg;
	uint64_t bit;
} bits[API_BITS] = {
	{WORLD_CR0, UMBRA_CR0_PE},    {WORLD_CR0, UMBRA_CR0_WP},    {WORLD_CR0, UMBRA_CR0_NW},
	{WORLD_CR0, UMBRA_CR0_CD},    {WORLD_CR0, UMBRA_CR0_PG},    {WORLD_CR4, UMBRA_CR4_PSE},
	{WORLD_CR4, UMBRA_CR4_PAE},   {WORLD_CR4, UMBRA_CR4_PGE},   {WORLD_CR4, UMBRA_CR4_LA57},
	{WORLD_CR4, UMBRA_CR4_PCIDE}, {WORLD_CR4, UMBRA_CR4_SMEP},  {WORLD_CR4, UMBRA_CR4_SMAP},
	{WORLD_CR4, UMBRA_CR4_PKE},   {WORLD_CR4, UMBRA_CR4_CET},   {WORLD_CR4, UMBRA_CR4_PKS},
	{WORLD_EFER, UMBRA_EFER_LME}, {WORLD_EFER, UMBRA_EFER_NXE},
};

void api_take_bits(lua_State *lua, int index, struct umbra_regs *regs)
{
	for (size_t i = 0; i < API_BITS; i++) {
		uint64_t *value = bits[i].reg == WORLD_CR0   ? &regs->cr0
				  : bits[i].reg == WORLD_CR4 ? &regs->cr4
							     : &regs->efer;

		if (api_bool(lua, index, api_bit_names[i], *value & bits[i].bit))
			*value |= bits[i].bit;
		else
			*value &= ~bits[i].bit;
	}
}

struct umbra_regs api_regs_for(enum tables_mode mode, const struct umbra_cpu *cpu)
{
	struct umbra_regs regs = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_WP};

	if (mode != TABLES_UNPAGED)
		regs.cr0 |= UMBRA_CR0_PG;
	if (mode == TABLES_32PSE)
		regs.cr4 |= UMBRA_CR4_PSE;
	if (mode >= TABLES_PAE) {
		regs.cr4 |= UMBRA_CR4_PAE;
		regs.efer |= cpu->features & UMBRA_CPU_NX ? UMBRA_EFER_NXE : 0;
	}
	if (mode >= TABLES_4)
		regs.efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (mode == TABLES_5)
		regs.cr4 |= UMBRA_CR4_LA57;
	return regs;
}

static void tell_regs(struct story *story, const struct world_cpu *cpu, const char *verb)
{
	const struct umbra_regs *regs = world_regs(cpu);
	enum tables_mode mode = tables_mode_of(regs);

	tell_step(story,
		  "vcpu %u %s: %s%s, cr0 0x%" PRIx64 " cr3 0x%" PRIx64 " cr4 0x%" PRIx64
		  " efer 0x%" PRIx64,
		  cpu->number, verb, mode == TABLES_UNPAGED ? "" : "paging mode ",
		  tables_mode_name(mode), regs->cr0, regs->cr3, regs->cr4, regs->efer);
}

/* start(tables, {wp = false, smep = true, cr3 = ..., pkru = ...}) */
static int cpu_start(lua_State *lua)
{
	const char *keys[API_BITS + 3] = {0};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	struct tables *tables = lua_isnoneornil(lua, 2) ? NULL : api_tables(lua, 2);
	enum tables_mode mode = tables ? tables->mode : TABLES_UNPAGED;
	struct umbra_regs regs = api_regs_for(mode, &cpu->guest);
	struct world_result result;

	if (tables_is_ept(mode))
		return luaL_error(lua, "EPT tables are for enter { ept = ... }, not for CR3");
	memcpy(keys, api_bit_names, sizeof(api_bit_names));
	keys[API_BITS] = "cr3";
	keys[API_BITS + 1] = "pkru";
	if (lua_isnone(lua, 2))
		lua_pushnil(lua);
	api_keys(lua, 3, keys, expect_keys);
	api_take_bits(lua, 3, &regs);
	regs.cr3 = api_number(lua, 3, "cr3", tables ? tables->root.v : 0);
	regs.pkru = (uint32_t)api_number(lua, 3, "pkru", 0);
	world_start(cpu, &regs, &result);
	tell_regs(&run->story, cpu, "starts");
	return api_finish(lua, 3, cpu, NULL, &result);
}

static int do_mov(lua_State *lua, int index, enum world_register which, uint64_t value)
{
	static const char *const names[] = {"cr0", "cr3", "cr4", "efer"};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	struct world_result result;
	char who[32];

	tell_step(&run->story, "%s sets %s to 0x%" PRIx64, tell_who(cpu, who, sizeof(who)),
		  names[which], value);
	world_mov(cpu, which, value, &result);
	return api_finish(lua, index, cpu, NULL, &result);
}

/* set({wp = false, smep = true}, {...}): one MOV for each register that changes. */
static int cpu_set(lua_State *lua)
{
	const char *keys[API_BITS + 1] = {0};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct umbra_regs regs = *world_regs(cpu);
	const struct umbra_regs old = regs;

	memcpy(keys, api_bit_names, sizeof(api_bit_names));
	luaL_checktype(lua, 2, LUA_TTABLE);
	api_keys(lua, 2, keys, NULL);
	api_keys(lua, 3, expect_keys, NULL);
	api_take_bits(lua, 2, &regs);
	if (regs.efer != old.efer)
		do_mov(lua, 3, WORLD_EFER, regs.efer & ~UMBRA_EFER_LMA);
	if (regs.cr4 != old.cr4)
		do_mov(lua, 3, WORLD_CR4, regs.cr4);
	if (regs.cr0 != old.cr0)
		do_mov(lua, 3, WORLD_CR0, regs.cr0);
	return 0;
}

static int mov_of(lua_State *lua, enum world_register which)
{
	api_cpu(lua, 1);
	api_keys(lua, 3, expect_keys, NULL);
	return do_mov(lua, 3, which, api_argument(lua, 2, "value"));
}

static int cpu_cr0(lua_State *lua)
{
	return mov_of(lua, WORLD_CR0);
}

static int cpu_cr3(lua_State *lua)
{
	return mov_of(lua, WORLD_CR3);
}

static int cpu_cr4(lua_State *lua)
{
	return mov_of(lua, WORLD_CR4);
}

static int cpu_efer(lua_State *lua)
{
	return mov_of(lua, WORLD_EFER);
}

static int cpu_regs(lua_State *lua)
{
	const struct umbra_regs *regs = world_regs(api_cpu(lua, 1));

	lua_newtable(lua);
	set_field(lua, "cr0", regs->cr0);
	set_field(lua, "cr3", regs->cr3);
	set_field(lua, "cr4", regs->cr4);
	set_field(lua, "efer", regs->efer);
	set_field(lua, "pkru", regs->pkru);
	return 1;
}

static int cpu_pkru(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	uint64_t value = api_argument(lua, 2, "value");

	tell_step(&run->story, "vcpu %u sets PKRU to 0x%" PRIx64, cpu->number, value);
	world_keys(cpu, (uint32_t)value);
	tell_notes(&run->story, cpu->world);
	return 0;
}

static int cpu_invlpg(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	umbra_gva gva = {api_argument(lua, 2, "gva")};
	char who[32];

	tell_step(&run->story, "%s executes INVLPG 0x%" PRIx64, tell_who(cpu, who, sizeof(who)),
		  gva.v);
	world_invlpg(cpu, gva);
	tell_notes(&run->story, cpu->world);
	expect_audit(lua, cpu->world);
	return 0;
}

static int cpu_invpcid(lua_State *lua)
{
	static const char *const keys[] = {"type", "pcid", "gva", NULL};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	struct world_result result;
	uint64_t type, pcid;
	umbra_gva gva;

	api_keys(lua, 2, keys, expect_keys);
	type = api_number(lua, 2, "type", 0);
	pcid = api_number(lua, 2, "pcid", 0);
	gva.v = api_number(lua, 2, "gva", 0);
	tell_step(&run->story,
		  "vcpu %u executes INVPCID type %" PRIu64 ", pcid %" PRIu64 ", 0x%" PRIx64,
		  cpu->number, type, pcid, gva.v);
	world_invpcid(cpu, (unsigned)type, pcid, gva, &result);
	return api_finish(lua, 2, cpu, NULL, &result);
}

/* ---- looking ---- */

static void expect_flag(lua_State *lua, const char *key, bool seen)
{
	if (api_bool(lua, 4, key, seen) != seen)
		api_fail(lua, "expected an entry with %s = %s, saw %s", key,
			 seen ? "false" : "true", seen ? "true" : "false");
}

/* entry(address, level, {present =, leaf =, writable =, user =, executable =, gpa =}) */
static int cpu_entry(lua_State *lua)
{
	static const char *const keys[] = {"present",    "leaf",  "writable", "user",
					   "executable", "level", "gpa",      NULL};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	uint64_t address = api_argument(lua, 2, "address"), gpa;
	lua_Integer level = luaL_optinteger(lua, 3, 0);
	struct world_entry entry = {0};
	char text[80];
	bool there;

	if (level < 0 || level > 5)
		return luaL_error(lua, "level: expected 1 to 5, or 0 for the lowest there is");
	api_keys(lua, 4, keys, NULL);
	tell_step(&run->story, "a look at Umbra's %sentry for 0x%" PRIx64, level ? "" : "lowest ",
		  address);
	there = world_entry(cpu, address, (unsigned)level, &entry);
	if (!there)
		entry = (struct world_entry){.level = (uint8_t)level};
	tell_notes(&run->story, cpu->world);
	tell_line(&run->story, "L%u: %s", entry.level, tell_entry(&entry, text, sizeof(text)));
	run->result->checks++;
	expect_flag(lua, "present", entry.present);
	expect_flag(lua, "leaf", entry.leaf);
	expect_flag(lua, "writable", entry.writable);
	expect_flag(lua, "user", entry.user);
	expect_flag(lua, "executable", entry.executable);
	if (api_number(lua, 4, "level", entry.level) != entry.level)
		api_fail(lua, "expected an entry at level %d, saw level %u",
			 (int)api_number(lua, 4, "level", 0), entry.level);
	gpa = api_number(lua, 4, "gpa", entry.gpa.v);
	if (gpa != entry.gpa.v || (!entry.mapped && api_has(lua, 4, "gpa")))
		api_fail(lua, "expected an entry that leads to gpa 0x%" PRIx64 ", saw %s", gpa,
			 tell_entry(&entry, text, sizeof(text)));
	lua_newtable(lua);
	lua_pushboolean(lua, entry.present);
	lua_setfield(lua, -2, "present");
	lua_pushboolean(lua, entry.leaf);
	lua_setfield(lua, -2, "leaf");
	lua_pushboolean(lua, entry.writable);
	lua_setfield(lua, -2, "writable");
	set_field(lua, "level", entry.level);
	set_field(lua, "gpa", entry.gpa.v);
	return 1;
}

/* translate(gva, {as =, gpa =, pf =}): what an instruction emulator asks. */
static int cpu_translate(lua_State *lua)
{
	static const char *const keys[] = {"as", "write", "set_ad", "error", NULL};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	umbra_gva gva = {api_argument(lua, 2, "gva")};
	struct world_result result = {.same = true, .legal = true, .alone = true};
	struct umbra_translation t = {0};
	unsigned access;

	api_keys(lua, 3, keys, expect_keys);
	access = (unsigned)api_words(lua, "as", api_string(lua, 3, "as", ""), api_accesses);
	if (api_bool(lua, 3, "write", false))
		access |= UMBRA_ACCESS_WRITE;
	tell_step(&run->story, "an emulator translates 0x%" PRIx64, gva.v);
	tell_guest_walk(&run->story, cpu, gva);
	result.umbra.status =
		umbra_vcpu_translate(cpu->vcpu, gva, access, api_bool(lua, 3, "set_ad", false), &t);
	result.umbra.verdict = UMBRA_VERDICT_COUNT;
	if (result.umbra.status != UMBRA_OK) {
		result.umbra.end = WORLD_STATUS;
	} else if (t.event.kind != UMBRA_EVENT_NONE) {
		result.umbra.end = WORLD_FAULT;
		result.umbra.event = t.event;
	}
	result.umbra.gpa = t.gpa;
	return api_finish(lua, 3, cpu, NULL, &result);
}

/* exit { kind =, code =, gva =, gpa = }: what an embedder might report. */
static int cpu_exit(lua_State *lua)
{
	static const char *const keys[] = {"kind", "code", "gva", "at", "as", NULL};
	static const struct api_word kinds[] = {
		{"pf", UMBRA_EVENT_PF},
		{"npf", UMBRA_EVENT_NPF},
		{"ept_violation", UMBRA_EVENT_EPT_VIOLATION},
		{"ept_misconfig", UMBRA_EVENT_EPT_MISCONFIG},
		{NULL, 0},
	};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	struct world_result result = {.same = true, .legal = true, .alone = true};
	struct umbra_event event;
	unsigned access;

	api_keys(lua, 2, keys, expect_keys);
	event = (struct umbra_event){
		.kind = (enum umbra_event_kind)api_word(lua, "kind", api_string(lua, 2, "kind", ""),
							kinds),
		.code = api_number(lua, 2, "code", 0),
		.gva = {api_number(lua, 2, "gva", 0)},
		.gpa = {api_number(lua, 2, "at", 0)},
	};
	access = (unsigned)api_words(lua, "as", api_string(lua, 2, "as", ""), api_accesses);
	tell_step(&run->story, "the embedder reports an exit of vcpu %u", cpu->number);
	world_exit(cpu, &event, access, &result.umbra);
	/* The verdict says it all. */
	tell_notes(&run->story, cpu->world);
	run->result->exits++;
	expect_result(lua, 2, NULL, &result);
	expect_audit(lua, cpu->world);
	return push_outcome(lua, &result.umbra);
}

void api_open_cpu(lua_State *lua)
{
	static const luaL_Reg methods[] = {
		{"start", cpu_start},         {"read", cpu_read},       {"write", cpu_write},
		{"fetch", cpu_fetch},         {"edit", cpu_edit},       {"set", cpu_set},
		{"mov_cr0", cpu_cr0},         {"mov_cr3", cpu_cr3},     {"mov_cr4", cpu_cr4},
		{"wrmsr_efer", cpu_efer},     {"regs", cpu_regs},       {"pkru", cpu_pkru},
		{"invlpg", cpu_invlpg},       {"invpcid", cpu_invpcid}, {"entry", cpu_entry},
		{"translate", cpu_translate}, {"exit", cpu_exit},       {NULL, NULL},
	};

	luaL_newmetatable(lua, KIND);
	luaL_newlib(lua, methods);
	api_add_nested(lua);
	api_add_cpu_memory(lua);
	lua_setfield(lua, -2, "__index");
	lua_settop(lua, 0);
}
