/* SPDX-License-Identifier: MIT */
/*
 * api_nested.c - methods of a vCPU whose guest is a hypervisor: L2 comes and goes.
 *
 *	cpu:enter { ept = e, guest = g2, wp = false, ... }   VMLAUNCH, VMRUN
 *	cpu:read(...)                                        L2's
 *	cpu:leave()                                          an exit L1 asked for
 *	cpu:resume { tlb_control = 3 }                       the same VMCS or VMCB again
 *
 * A step of L2 that exits to L1 has left L2 when it returns.
 */
#include <inttypes.h>
#include <string.h>

#include "scenario/api.h"

/* Besides the names of register bits. */
static const char *const entry_keys[] = {
	"guest",   "ept",      "npt",       "pointer",     "ad",   "mbec",      "gmet",
	"rogpt",   "vpid",     "asid",      "tlb_control", "pml",  "pml_index", "pf_exits",
	"pf_mask", "pf_match", "eptp_list", "cr3",         "pkru",
};
#define ENTRY_KEYS (sizeof(entry_keys) / sizeof(entry_keys[0]))

/* Field @key, tables; NULL: none. */
static struct tables *tables_field(lua_State *lua, const char *key)
{
	struct tables *tables;

	if (!api_has(lua, 2, key))
		return NULL;
	tables = api_tables(lua, -1);
	lua_pop(lua, 1);
	return tables;
}

/* L2's registers: those of new tables, or as they were. */
static void take_guest(lua_State *lua, struct world_cpu *cpu, struct umbra_nested *l2, bool fresh)
{
	struct tables *guest = tables_field(lua, "guest");
	enum tables_mode mode = guest ? guest->mode : TABLES_UNPAGED;
	uint64_t pdpte[4];

	if (guest && tables_is_ept(mode))
		luaL_error(lua, "guest: expected L2's page tables, got EPT");
	if (fresh || guest) {
		l2->regs = api_regs_for(mode, &cpu->guest);
		l2->regs.cr3 = guest ? guest->root.v : 0;
	}
	api_take_bits(lua, 2, &l2->regs);
	l2->regs.cr3 = api_number(lua, 2, "cr3", l2->regs.cr3);
	l2->regs.pkru = (uint32_t)api_number(lua, 2, "pkru", l2->regs.pkru);
	if (!guest || mode != TABLES_PAE || l2->paging != UMBRA_NESTED_EPT)
		return;
	/* L1 fills in the VMCS's PDPTE fields. */
	if (world_peek(cpu->world, (umbra_gpa){guest->base + (l2->regs.cr3 & 0xffffffe0)}, pdpte,
		       sizeof(pdpte)))
		memcpy(l2->regs.pdpte, pdpte, sizeof(pdpte));
}

/* L1's EPT or NPT, and its controls. */
static void take_paging(lua_State *lua, struct world_cpu *cpu, struct umbra_nested *l2)
{
	struct tables *ept = tables_field(lua, "ept"), *npt = tables_field(lua, "npt");
	bool ad;

	if (ept && npt)
		luaL_error(lua, "L2 has EPT or NPT, not both");
	if (ept && !tables_is_ept(ept->mode))
		luaL_error(lua, "ept: expected tables of mode ept4 or ept5, got %s",
			   tables_mode_name(ept->mode));
	if (npt && tables_is_ept(npt->mode))
		luaL_error(lua, "npt: expected tables in L1's own paging mode, got %s",
			   tables_mode_name(npt->mode));
	ad = api_bool(lua, 2, "ad",
		      ept ? cpu->guest.features & UMBRA_CPU_EPT_AD : l2->pointer & 1 << 6);
	if (ept) {
		l2->paging = UMBRA_NESTED_EPT;
		l2->pointer = tables_eptp(ept, ad);
	} else if (npt) {
		l2->paging = UMBRA_NESTED_NPT;
		l2->pointer = npt->root.v;
	} else if (l2->paging == UMBRA_NESTED_EPT) {
		l2->pointer = (l2->pointer & ~(1ull << 6)) | (ad ? 1 << 6 : 0);
	}
	l2->pointer = api_number(lua, 2, "pointer", l2->pointer);
	l2->exec_by_mode = api_bool(lua, 2, "mbec", l2->exec_by_mode);
	l2->exec_by_mode = api_bool(lua, 2, "gmet", l2->exec_by_mode);
	l2->readonly_tables = api_bool(lua, 2, "rogpt", l2->readonly_tables);
}

static void take_controls(lua_State *lua, struct umbra_nested *l2)
{
	l2->tag = (uint32_t)api_number(lua, 2, "vpid", l2->tag);
	l2->tag = (uint32_t)api_number(lua, 2, "asid", l2->tag);
	l2->tlb_control = (uint8_t)api_number(lua, 2, "tlb_control", 0);
	if (api_has(lua, 2, "pml")) {
		lua_pop(lua, 1);
		l2->pml = true;
		l2->pml_index = 511;
	}
	l2->pml_address = api_number(lua, 2, "pml", l2->pml_address);
	l2->pml_index = (uint16_t)api_number(lua, 2, "pml_index", l2->pml_index);
	l2->pf_exits = api_bool(lua, 2, "pf_exits", l2->pf_exits);
	l2->pf_mask = (uint32_t)api_number(lua, 2, "pf_mask", l2->pf_mask);
	l2->pf_match = (uint32_t)api_number(lua, 2, "pf_match", l2->pf_match);
	l2->eptp_list = api_number(lua, 2, "eptp_list", l2->eptp_list);
}

static const char *const pagings[UMBRA_NESTED_COUNT] = {
	[UMBRA_NESTED_NONE] = "without nested paging",
	[UMBRA_NESTED_EPT] = "with EPT",
	[UMBRA_NESTED_NPT] = "with NPT",
};

static void tell_entering(struct story *story, const struct world_cpu *cpu,
			  const struct umbra_nested *l2)
{
	const bool intel = cpu->guest.vendor == UMBRA_VENDOR_INTEL;
	enum tables_mode mode = tables_mode_of(&l2->regs);
	char flush[32] = "";

	if (l2->tlb_control)
		snprintf(flush, sizeof(flush), ", TLB_CONTROL %u", l2->tlb_control);
	tell_step(story, "vcpu %u in L1 enters L2 %s%s%s", cpu->number, pagings[l2->paging],
		  !l2->exec_by_mode ? ""
		  : intel           ? ", MBEC"
				    : ", GMET",
		  l2->readonly_tables ? ", ROGPT" : "");
	if (l2->paging == UMBRA_NESTED_NONE)
		tell_line(story, "%s %u%s; L2: %s%s, cr3 0x%" PRIx64, intel ? "VPID" : "ASID",
			  l2->tag, flush, mode == TABLES_UNPAGED ? "" : "paging mode ",
			  tables_mode_name(mode), l2->regs.cr3);
	else
		tell_line(story, "%s 0x%" PRIx64 ", %s %u%s; L2: %s%s, cr3 0x%" PRIx64,
			  l2->paging == UMBRA_NESTED_EPT ? "EPTP" : "nCR3", l2->pointer,
			  intel ? "VPID" : "ASID", l2->tag, flush,
			  mode == TABLES_UNPAGED ? "" : "paging mode ", tables_mode_name(mode),
			  l2->regs.cr3);
}

static int enter(lua_State *lua, struct world_cpu *cpu, struct umbra_nested *l2, bool fresh)
{
	const char *keys[API_BITS + ENTRY_KEYS + 1] = {0};
	struct run *run = api_begin(lua, cpu->world);
	struct world_result result;

	memcpy(keys, api_bit_names, sizeof(api_bit_names));
	memcpy(keys + API_BITS, entry_keys, sizeof(entry_keys));
	api_keys(lua, 2, keys, expect_keys);
	take_paging(lua, cpu, l2);
	take_guest(lua, cpu, l2, fresh);
	take_controls(lua, l2);
	tell_entering(&run->story, cpu, l2);
	world_enter_l2(cpu, l2, &result);
	return api_finish(lua, 2, cpu, NULL, &result);
}

static int cpu_enter(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct umbra_nested l2 = {.tag = 1};

	if (cpu->in_l2)
		return luaL_error(lua, "L2 runs already");
	return enter(lua, cpu, &l2, true);
}

static int cpu_resume(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct umbra_nested l2 = cpu->l2;

	if (cpu->in_l2)
		return luaL_error(lua, "L2 runs already");
	if (!l2.regs.cr0)
		return luaL_error(lua, "L2 has never been entered");
	return enter(lua, cpu, &l2, false);
}

static int cpu_leave(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);

	if (!cpu->in_l2)
		return luaL_error(lua, "L2 does not run");
	tell_step(&run->story, "vcpu %u exits from L2 to L1", cpu->number);
	world_leave_l2(cpu);
	tell_notes(&run->story, cpu->world);
	expect_audit(lua, cpu->world);
	return 0;
}

/* What L1 finds in its VMCS or VMCB, or nil if it never had one. */
static int cpu_nested(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	const struct umbra_nested *now = umbra_vcpu_nested(cpu->vcpu);
	const struct umbra_nested *l2 = now ? now : &cpu->l2;

	api_begin(lua, cpu->world);
	lua_newtable(lua);
	lua_pushboolean(lua, cpu->in_l2);
	lua_setfield(lua, -2, "in_l2");
	lua_pushinteger(lua, l2->pml_index);
	lua_setfield(lua, -2, "pml_index");
	lua_pushinteger(lua, (lua_Integer)l2->pointer);
	lua_setfield(lua, -2, "pointer");
	lua_pushinteger(lua, (lua_Integer)l2->regs.cr3);
	lua_setfield(lua, -2, "cr3");
	return 1;
}

/* ---- invalidation ---- */

static void in_l1(lua_State *lua, const struct world_cpu *cpu)
{
	if (cpu->in_l2)
		luaL_error(lua, "only L1 executes this, and L2 runs");
}

/* invept(type, tables or EPTP, {...}) */
static int cpu_invept(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	uint64_t type = api_argument(lua, 2, "type"), eptp = 0;
	struct world_result result;

	in_l1(lua, cpu);
	if (lua_isuserdata(lua, 3)) {
		struct tables *tables = api_tables(lua, 3);

		if (!tables_is_ept(tables->mode))
			return luaL_error(lua, "expected EPT tables or an EPT pointer");
		eptp = tables_eptp(tables, cpu->guest.features & UMBRA_CPU_EPT_AD);
	} else if (!lua_isnoneornil(lua, 3)) {
		eptp = api_argument(lua, 3, "EPTP");
	}
	if (lua_isnone(lua, 3))
		lua_pushnil(lua);
	api_keys(lua, 4, expect_keys, NULL);
	tell_step(&run->story, "vcpu %u in L1 executes INVEPT type %" PRIu64 ", EPTP 0x%" PRIx64,
		  cpu->number, type, eptp);
	world_invept(cpu, (unsigned)type, eptp, &result);
	return api_finish(lua, 4, cpu, NULL, &result);
}

static int cpu_invvpid(lua_State *lua)
{
	static const char *const keys[] = {"type", "vpid", "gva", NULL};
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	uint64_t type, vpid;
	struct world_result result;
	umbra_gva gva;

	in_l1(lua, cpu);
	api_keys(lua, 2, keys, expect_keys);
	type = api_number(lua, 2, "type", 1);
	vpid = api_number(lua, 2, "vpid", 1);
	gva.v = api_number(lua, 2, "gva", 0);
	tell_step(&run->story,
		  "vcpu %u in L1 executes INVVPID type %" PRIu64 ", VPID %" PRIu64 ", 0x%" PRIx64,
		  cpu->number, type, vpid, gva.v);
	world_invvpid(cpu, (unsigned)type, vpid, gva, &result);
	return api_finish(lua, 2, cpu, NULL, &result);
}

static int cpu_invlpga(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	umbra_gva gva = {api_argument(lua, 2, "gva")};
	uint64_t asid = api_argument(lua, 3, "asid");

	in_l1(lua, cpu);
	if (cpu->guest.vendor != UMBRA_VENDOR_AMD)
		return luaL_error(lua, "INVLPGA is an instruction of AMD's");
	tell_step(&run->story, "vcpu %u in L1 executes INVLPGA 0x%" PRIx64 ", ASID %" PRIu64,
		  cpu->number, gva.v, asid);
	world_invlpga(cpu, gva, (uint32_t)asid);
	tell_notes(&run->story, cpu->world);
	expect_audit(lua, cpu->world);
	return 0;
}

static int cpu_vmfunc(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	uint64_t index = api_argument(lua, 2, "index");
	struct world_result result;

	if (!cpu->in_l2)
		return luaL_error(lua, "only L2 executes VMFUNC, and L1 runs");
	api_keys(lua, 3, expect_keys, NULL);
	tell_step(&run->story, "vcpu %u in L2 executes VMFUNC 0, EPTP %" PRIu64 " of the list",
		  cpu->number, index);
	world_vmfunc(cpu, (uint32_t)index, &result);
	return api_finish(lua, 3, cpu, NULL, &result);
}

/* ---- Umbra's tables ---- */

/*
 * path(address, "pae-portal mirror mirror"): the tables that hardware walks, from the root.
 * Returns their numbers in order of birth: the root's is the first.
 */
static int cpu_path(lua_State *lua)
{
	struct world_cpu *cpu = api_cpu(lua, 1);
	struct run *run = api_begin(lua, cpu->world);
	uint64_t address = api_argument(lua, 2, "address");
	const char *roles = luaL_optstring(lua, 3, NULL);
	struct world_step steps[UMBRA_LEVEL_MAX];
	char seen[96] = "", role[16];
	unsigned count;

	tell_step(&run->story, "a look at Umbra's tables for 0x%" PRIx64 ", from the root",
		  address);
	count = world_path(cpu, address, steps);
	tell_notes(&run->story, cpu->world);
	tell_path(&run->story, steps, count);
	for (unsigned i = 0; i < count; i++) {
		size_t used = strlen(seen);

		snprintf(seen + used, sizeof(seen) - used, "%s%s", i ? " " : "",
			 tell_role(&steps[i], role, sizeof(role)));
	}
	run->result->checks++;
	if (roles && strcmp(roles, seen) != 0)
		return api_fail(lua, "expected tables \"%s\", saw \"%s\"", roles, seen);
	lua_newtable(lua);
	for (unsigned i = 0; i < count; i++) {
		lua_pushinteger(lua, (lua_Integer)steps[i].number);
		lua_rawseti(lua, -2, (lua_Integer)i + 1);
	}
	return 1;
}

void api_add_nested(lua_State *lua)
{
	static const luaL_Reg methods[] = {
		{"enter", cpu_enter},   {"resume", cpu_resume},   {"leave", cpu_leave},
		{"nested", cpu_nested}, {"invept", cpu_invept},   {"invvpid", cpu_invvpid},
		{"vmfunc", cpu_vmfunc}, {"invlpga", cpu_invlpga}, {"path", cpu_path},
		{NULL, NULL},
	};

	luaL_setfuncs(lua, methods, 0);
}
