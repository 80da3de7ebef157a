/* SPDX-License-Identifier: MIT */
/*
 * api_vm.c - umbra.vm{...} and the methods of a VM.
 */
#include <inttypes.h>
#include <string.h>

#include "scenario/api.h"

#define KIND "umbra.vm"

struct world *api_vm(lua_State *lua, int index)
{
	return *(struct world **)luaL_checkudata(lua, index, KIND);
}

static const struct api_word pagings[] = {
	{"shadow", UMBRA_PAGING_SHADOW},
	{"ept", UMBRA_PAGING_EPT},
	{"npt", UMBRA_PAGING_NPT},
	{NULL, 0},
};
static const struct api_word vendors[] = {
	{"intel", UMBRA_VENDOR_INTEL},
	{"amd", UMBRA_VENDOR_AMD},
	{NULL, 0},
};
static const struct api_word cachings[] = {
	{"strict", MODEL_STRICT},
	{"hostile", MODEL_HOSTILE},
	{NULL, 0},
};
static const struct api_word layouts[] = {
	{"6.12", UMBRA_LAYOUT_6_12},
	{"004", UMBRA_LAYOUT_004},
	{"7.3", UMBRA_LAYOUT_7_3},
	{NULL, 0},
};
static const struct api_word bugs[] = {{"truncate_gpa", 1}, {NULL, 0}};
static const struct api_word page_sizes[] = {{"4k", 1}, {"2m", 2}, {"1g", 3}, {NULL, 0}};

static uint64_t word(lua_State *lua, const char *key, const struct api_word *words,
		     uint64_t missing)
{
	const char *text = api_string(lua, 1, key, NULL);

	return text ? api_word(lua, key, text, words) : missing;
}

/* Paging and vendor hang together; what is not said comes from the command line. */
static void configure(lua_State *lua, struct world_config *c)
{
	const struct world_config *defaults = api_run(lua)->options->defaults;
	const char *without;
	enum umbra_vendor vendor;

	*c = (struct world_config){
		.paging = UMBRA_PAGING_SHADOW,
		.cpu = world_cpu_of(UMBRA_VENDOR_INTEL, 0),
		.page_level = 3,
		.layout = UMBRA_LAYOUT_7_3,
		.caching = MODEL_HOSTILE,
	};
	if (defaults)
		*c = *defaults;
	vendor = c->cpu.vendor;
	if (api_string(lua, 1, "paging", NULL)) {
		enum umbra_paging paging = (enum umbra_paging)word(lua, "paging", pagings, 0);

		if (paging != c->paging)
			c->levels = paging == UMBRA_PAGING_SHADOW ? 0 : 4;
		c->paging = paging;
		if (paging != UMBRA_PAGING_SHADOW)
			vendor = paging == UMBRA_PAGING_EPT ? UMBRA_VENDOR_INTEL : UMBRA_VENDOR_AMD;
	}
	vendor = (enum umbra_vendor)word(lua, "vendor", vendors, vendor);
	if (vendor != c->cpu.vendor || api_number(lua, 1, "maxphyaddr", 0))
		c->cpu = world_cpu_of(vendor, (unsigned)api_number(lua, 1, "maxphyaddr", 0) & 63);
	if (c->cpu.maxphyaddr < 36 || c->cpu.maxphyaddr > 52)
		luaL_error(lua, "maxphyaddr: expected 36 to 52");
	without = api_string(lua, 1, "without", "");
	c->cpu.features &= ~(uint32_t)api_words(lua, "without", without, api_features);
	c->levels = (uint8_t)api_number(lua, 1, "levels", c->levels);
	c->page_level = (uint8_t)word(lua, "page", page_sizes, c->page_level);
	c->layout = (enum umbra_layout)word(lua, "layout", layouts, c->layout);
	c->caching = (enum model_caching)word(lua, "caching", cachings, c->caching);
	c->exec_by_mode = api_bool(lua, 1, "exec_by_mode", c->exec_by_mode);
	c->slot_zap_all = api_bool(lua, 1, "zap_all", c->slot_zap_all);
	c->no_prefetch = !api_bool(lua, 1, "prefetch", !c->no_prefetch);
	c->no_mmio_caching = !api_bool(lua, 1, "mmio_caching", !c->no_mmio_caching);
	c->mmio_wide_generation = api_bool(lua, 1, "mmio_wide_generation", c->mmio_wide_generation);
	c->l1tf_cache_bits = (uint8_t)api_number(lua, 1, "l1tf_cache_bits", c->l1tf_cache_bits);
	c->skew = api_bool(lua, 1, "skew", c->skew);
	c->page_limit = (uint32_t)api_number(lua, 1, "limit", c->page_limit);
	c->allow_smaller_maxphyaddr =
		api_bool(lua, 1, "smaller_maxphyaddr", c->allow_smaller_maxphyaddr);
	c->manual_dirty = (uint8_t)api_number(lua, 1, "manual_dirty", c->manual_dirty);
	c->private_memory = api_bool(lua, 1, "private", c->private_memory);
	if (word(lua, "bug", bugs, 0))
		c->bug_truncate_gpa = true;
}

int api_new_vm(lua_State *lua)
{
	static const char *const keys[] = {"paging",
					   "vendor",
					   "levels",
					   "maxphyaddr",
					   "without",
					   "page",
					   "layout",
					   "caching",
					   "zap_all",
					   "exec_by_mode",
					   "prefetch",
					   "skew",
					   "limit",
					   "bug",
					   "mmio_caching",
					   "mmio_wide_generation",
					   "l1tf_cache_bits",
					   "private",
					   "smaller_maxphyaddr",
					   "manual_dirty",
					   NULL};
	static const char *const names[] = {"shadow paging", "EPT", "NPT"};
	struct run *run = api_begin(lua, NULL);
	struct world_config config;
	struct world **vm;
	char error[160];

	api_keys(lua, 1, keys, NULL);
	if (run->world_count == API_VMS)
		return luaL_error(lua, "more than %d VMs", API_VMS);
	configure(lua, &config);
	vm = lua_newuserdatauv(lua, sizeof(struct world *), 0);
	*vm = world_open(&config, error, sizeof(error));
	if (!*vm)
		return luaL_error(lua, "%s", error);
	run->world[run->world_count++] = *vm;
	luaL_setmetatable(lua, KIND);
	if (config.levels)
		tell_step(&run->story, "a VM: %s with %u levels, on a %s machine",
			  names[config.paging], config.levels, cachings[config.caching].name);
	else
		tell_step(&run->story, "a VM: %s, on a %s %s machine", names[config.paging],
			  cachings[config.caching].name, vendors[config.cpu.vendor].name);
	return 1;
}

static int vm_vcpu(lua_State *lua)
{
	static const char *const keys[] = {"maxphyaddr", "without", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	struct umbra_cpu guest = world->config.cpu;
	struct world_cpu *cpu;
	char error[160];

	api_keys(lua, 2, keys, NULL);
	/* As lab_guest_cpu(). */
	guest.features &= ~UMBRA_CPU_LAM;
	if (world->config.paging == UMBRA_PAGING_SHADOW)
		guest.features &= ~UMBRA_CPU_PDPTE_MEMORY;
	guest.features &= ~(uint32_t)api_words(lua, "without", api_string(lua, 2, "without", ""),
					       api_features);
	guest.maxphyaddr = (uint8_t)api_number(lua, 2, "maxphyaddr", guest.maxphyaddr);
	if (guest.maxphyaddr < 32 || guest.maxphyaddr > 52)
		return luaL_error(lua, "maxphyaddr: expected 32 to 52");
	cpu = world_add_cpu(world, &guest, error, sizeof(error));
	if (!cpu)
		return luaL_error(lua, "%s", error);
	tell_step(&run->story, "vcpu %u", cpu->number);
	api_push_cpu(lua, cpu);
	return 1;
}

static int vm_slot(lua_State *lua)
{
	static const char *const keys[] = {"id",      "base",  "size", "readonly",
					   "hva",     "flags", "log",  "unmappable",
					   "private", "error", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	enum umbra_status status;
	struct umbra_slot slot;
	char error[160];

	api_keys(lua, 2, keys, NULL);
	slot = (struct umbra_slot){
		.id = (uint32_t)api_number(lua, 2, "id", 0),
		.flags = (uint32_t)api_number(lua, 2, "flags", 0),
		.base = {api_size(lua, 2, "base", 0)},
		.size = api_size(lua, 2, "size", 0),
		.hva = {api_number(lua, 2, "hva", 0)},
	};
	if (api_bool(lua, 2, "readonly", false))
		slot.flags |= UMBRA_SLOT_READONLY;
	if (api_bool(lua, 2, "unmappable", false))
		slot.flags |= UMBRA_SLOT_UNMAPPABLE;
	if (api_bool(lua, 2, "private", false))
		slot.flags |= UMBRA_SLOT_PRIVATE;
	if (api_bool(lua, 2, "log", false))
		slot.flags |= UMBRA_SLOT_LOG_DIRTY;
	if (slot.size)
		tell_step(&run->story, "slot %u: gpa 0x%" PRIx64 ", 0x%" PRIx64 " bytes%s", slot.id,
			  slot.base.v, slot.size,
			  slot.flags & UMBRA_SLOT_READONLY    ? ", read-only"
			  : slot.flags & UMBRA_SLOT_PRIVATE   ? ", and private memory"
			  : slot.flags & UMBRA_SLOT_LOG_DIRTY ? ", logged"
							      : "");
	else
		tell_step(&run->story, "slot %u is deleted", slot.id);
	if (!world_slot_set(world, &slot, &status, error, sizeof(error)))
		return luaL_error(lua, "%s", error);
	tell_notes(&run->story, world);
	if (status != UMBRA_OK)
		tell_line(&run->story, "umbra: %s: %s", api_status_name(status),
			  umbra_strstatus(status));
	expect_status(lua, 2, status);
	expect_audit(lua, world);
	return 0;
}

static int vm_write(lua_State *lua)
{
	static const char *const keys[] = {"size", "error", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	uint64_t gpa = api_argument(lua, 2, "gpa"), value = api_argument(lua, 3, "value");
	enum umbra_status status;
	uint64_t size;

	api_keys(lua, 4, keys, NULL);
	size = api_number(lua, 4, "size", 8);
	if (!size || size > 8)
		return luaL_error(lua, "size: expected 1 to 8");
	tell_step(&run->story, "a device writes 0x%" PRIx64 " to gpa 0x%" PRIx64, value, gpa);
	status = world_poke(world, (umbra_gpa){gpa}, &value, size);
	tell_notes(&run->story, world);
	if (status != UMBRA_OK)
		tell_line(&run->story, "umbra: %s", umbra_strstatus(status));
	expect_status(lua, 4, status);
	expect_audit(lua, world);
	return 0;
}

static int vm_read(lua_State *lua)
{
	struct world *world = api_vm(lua, 1);
	uint64_t gpa = api_argument(lua, 2, "gpa"), value = 0;

	api_begin(lua, world);
	if (!world_peek(world, (umbra_gpa){gpa}, &value, sizeof(value)))
		return luaL_error(lua, "there is no memory at this gpa");
	lua_pushinteger(lua, (lua_Integer)value);
	return 1;
}

static int vm_zap(lua_State *lua)
{
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);

	tell_step(&run->story, "all tables are zapped");
	umbra_vm_zap_all(world->vm);
	tell_notes(&run->story, world);
	expect_audit(lua, world);
	return 0;
}

static int vm_shrink(lua_State *lua)
{
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	uint64_t pages = api_argument(lua, 2, "pages"), got;

	tell_step(&run->story, "the host wants %" PRIu64 " table pages back", pages);
	got = umbra_vm_shrink(world->vm, pages);
	for (unsigned i = 0; i < world->cpu_count; i++)
		world->cpu[i].stale = true;
	tell_notes(&run->story, world);
	tell_line(&run->story, "it gets %" PRIu64, got);
	expect_audit(lua, world);
	lua_pushinteger(lua, (lua_Integer)got);
	return 1;
}

static int vm_track(lua_State *lua)
{
	static const char *const keys[] = {"error", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	uint64_t gpa = api_argument(lua, 2, "gpa");
	enum umbra_status status;
	bool on;

	luaL_checktype(lua, 3, LUA_TBOOLEAN);
	on = lua_toboolean(lua, 3);
	api_keys(lua, 4, keys, NULL);
	tell_step(&run->story, "writes to the page at gpa 0x%" PRIx64 " are %s", gpa,
		  on ? "tracked" : "tracked no more");
	status = umbra_vm_track(world->vm, (umbra_gpa){gpa}, on);
	tell_notes(&run->story, world);
	expect_status(lua, 4, status);
	expect_audit(lua, world);
	return 0;
}

static int vm_unprotect(lua_State *lua)
{
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	uint64_t gpa = api_argument(lua, 2, "gpa");
	bool was;

	tell_step(&run->story, "the embedder lets gpa 0x%" PRIx64 " be written", gpa);
	was = umbra_vm_unprotect(world->vm, (umbra_gpa){gpa});
	for (unsigned i = 0; i < world->cpu_count; i++)
		world->cpu[i].stale = true;
	tell_notes(&run->story, world);
	expect_audit(lua, world);
	lua_pushboolean(lua, was);
	return 1;
}

static int vm_mark(lua_State *lua)
{
	struct world *world = api_vm(lua, 1);

	api_begin(lua, world);
	world_mark(world);
	return 0;
}

static int vm_omit(lua_State *lua)
{
	static const char *const keys[] = {"root_flush", "flush", "kick", "nested", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);

	api_keys(lua, 2, keys, NULL);
	world->omits.root_flush = api_bool(lua, 2, "root_flush", world->omits.root_flush);
	world->omits.flush = api_bool(lua, 2, "flush", world->omits.flush);
	world->omits.kick = api_bool(lua, 2, "kick", world->omits.kick);
	world->omits.nested = api_bool(lua, 2, "nested", world->omits.nested);
	tell_step(&run->story, "the embedder from now on ignores:%s%s%s%s%s",
		  world->omits.root_flush ? " root.flush" : "",
		  world->omits.flush ? " umbra_host_flush" : "",
		  world->omits.kick ? " umbra_host_kick" : "",
		  world->omits.nested ? " root.nested" : "",
		  world->omits.root_flush || world->omits.flush || world->omits.kick ||
				  world->omits.nested
			  ? ""
			  : " nothing");
	return 0;
}

static int vm_audit(lua_State *lua)
{
	static const char *const keys[] = {"tolerate", "found", NULL};
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	const char *tolerate;

	api_keys(lua, 2, keys, NULL);
	tolerate = api_string(lua, 2, "tolerate", NULL);
	if (tolerate)
		snprintf(world->tolerated, sizeof(world->tolerated), "%s", tolerate);
	tell_step(&run->story, "the auditor looks at all tables%s%s",
		  world->tolerated[0] ? " and tolerates breaches of " : "", world->tolerated);
	expect_audit(lua, world);
	if (api_bool(lua, 2, "found", false) && !world->found_tolerated)
		return api_fail(lua, "expected a breach of %s, saw none", world->tolerated);
	return 0;
}

void api_open_vm(lua_State *lua)
{
	static const luaL_Reg methods[] = {
		{"vcpu", vm_vcpu},         {"slot", vm_slot},         {"tables", api_new_tables},
		{"write", vm_write},       {"read", vm_read},         {"zap", vm_zap},
		{"shrink", vm_shrink},     {"track", vm_track},       {"unprotect", vm_unprotect},
		{"mark", vm_mark},         {"omit", vm_omit},         {"audit", vm_audit},
		{"counts", expect_counts}, {"traced", expect_traced}, {NULL, NULL},
	};

	luaL_newmetatable(lua, KIND);
	luaL_newlib(lua, methods);
	api_add_vm_memory(lua);
	lua_setfield(lua, -2, "__index");
	lua_newtable(lua);
	lua_pushcfunction(lua, api_new_vm);
	lua_setfield(lua, -2, "vm");
	lua_setglobal(lua, "umbra");
	lua_settop(lua, 0);
}
