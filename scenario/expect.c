/* SPDX-License-Identifier: MIT */
/*
 * expect.c - what a scenario says must happen, against what happened.
 *
 * A step without expectations must complete, and every step must be as on the bare
 * machine unless the scenario says `bare = ...`: to leave something out is strict.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "scenario/api.h"

const char *const expect_keys[] = {
	"gpa",       "value",        "pf",     "gp",      "mmio",  "escaped",
	"stuck",     "memory_fault", "status", "refused", "exits", "level",
	"verdict",   "bare",         "l2_gpa", "to_l1",   "npf",   "violation",
	"misconfig", "pml_full",     "vmfail", "ends",    NULL};

static const struct api_word pf_words[] = {
	{"P", UMBRA_PF_P},          {"W", UMBRA_PF_W}, {"U", UMBRA_PF_U},
	{"RSVD", UMBRA_PF_RSVD},    {"I", UMBRA_PF_I}, {"PK", UMBRA_PF_PK},
	{"SS", UMBRA_PF_SS},        {"none", 0},       {"FINAL", UMBRA_NPF_FINAL},
	{"TABLE", UMBRA_NPF_TABLE}, {NULL, 0},
};

static const struct api_word verdicts[] = {
	{"resume", UMBRA_RESUME},      {"retry", UMBRA_RETRY},
	{"inject", UMBRA_INJECT},      {"mmio", UMBRA_MMIO},
	{"emulate", UMBRA_EMULATE},    {"memory_fault", UMBRA_MEMORY_FAULT},
	{"none", UMBRA_VERDICT_COUNT}, {NULL, 0},
};

enum bare { BARE_SAME, BARE_STALE, BARE_LEGAL, BARE_DIFFERS, BARE_ILLEGAL, BARE_ANY };
static const struct api_word bares[] = {
	{"same", BARE_SAME},
	{"stale", BARE_STALE},
	{"legal", BARE_LEGAL},
	{"differs", BARE_DIFFERS},
	{"illegal", BARE_ILLEGAL},
	{"any", BARE_ANY},
	{NULL, 0},
};

static int saw(lua_State *lua, const char *expected, const struct world_outcome *outcome)
{
	char text[256];

	return api_fail(lua, "expected %s, saw %s", expected,
			tell_outcome(outcome, text, sizeof(text)));
}

/* A field that is true, or the gpa. */
static void expect_place(lua_State *lua, int index, const char *key, const char *what,
			 enum world_end end, const struct world_outcome *o)
{
	char expected[64];

	if (!api_has(lua, index, key))
		return;
	if (lua_isboolean(lua, -1)) {
		if (!lua_toboolean(lua, -1))
			luaL_error(lua, "%s: expected true or an address", key);
		if (o->end != end)
			saw(lua, what, o);
	} else {
		uint64_t gpa = api_argument(lua, -1, key);

		snprintf(expected, sizeof(expected), "%s at gpa 0x%" PRIx64, what, gpa);
		if (o->end != end || o->gpa.v != gpa)
			saw(lua, expected, o);
	}
	lua_pop(lua, 1);
}

/* The field's code: of words, or a number. */
static uint64_t code_field(lua_State *lua, const char *key, const struct api_word *words)
{
	if (lua_type(lua, -1) == LUA_TSTRING)
		return api_words(lua, key, lua_tostring(lua, -1), words);
	return api_argument(lua, -1, key);
}

/* Field @key: true, or the code of an event of @kind. Is it there? */
static bool expect_event(lua_State *lua, int index, const char *key, enum umbra_event_kind kind,
			 const struct world_outcome *o)
{
	static const char *const names[UMBRA_EVENT_KINDS] = {
		[UMBRA_EVENT_PF] = "#PF",
		[UMBRA_EVENT_NPF] = "exit to L1: NPF",
		[UMBRA_EVENT_EPT_VIOLATION] = "exit to L1: EPT violation",
		[UMBRA_EVENT_EPT_MISCONFIG] = "exit to L1: EPT misconfiguration",
		[UMBRA_EVENT_PML_FULL] = "exit to L1: the page-modification log is full",
	};
	const bool seen = o->end == WORLD_FAULT && o->event.kind == kind;
	struct api_word bits[16] = {0};
	char expected[192], words[96];
	uint64_t code;

	if (!api_has(lua, index, key))
		return false;
	if (lua_isboolean(lua, -1)) {
		if (!lua_toboolean(lua, -1))
			luaL_error(lua, "%s: expected true or what is reported", key);
		if (!seen)
			saw(lua, names[kind], o);
		lua_pop(lua, 1);
		return true;
	}
	if (kind == UMBRA_EVENT_EPT_MISCONFIG || kind == UMBRA_EVENT_PML_FULL)
		luaL_error(lua, "%s: expected true, there is no code", key);
	for (unsigned i = 0; tell_eptq_names[i].name; i++)
		bits[i] = (struct api_word){tell_eptq_names[i].name, tell_eptq_names[i].bit};
	code = code_field(lua, key, kind == UMBRA_EVENT_EPT_VIOLATION ? bits : pf_words);
	if (kind == UMBRA_EVENT_EPT_VIOLATION)
		tell_qualification(code, words, sizeof(words));
	else
		tell_pf_code(code, words, sizeof(words));
	snprintf(expected, sizeof(expected), "%s 0x%" PRIx64 " (%s)", names[kind], code, words);
	if (!seen || o->event.code != code)
		saw(lua, expected, o);
	lua_pop(lua, 1);
	return true;
}

/* L2's guest-physical address: accessed, or as L1 is told. */
static void expect_l2_gpa(lua_State *lua, int index, const struct world_outcome *o)
{
	uint64_t seen = o->end == WORLD_FAULT && o->to_l1 ? o->event.gpa.v : o->l2_gpa.v;
	uint64_t gpa = api_number(lua, index, "l2_gpa", seen);

	if (gpa != seen)
		api_fail(lua, "expected L2's gpa 0x%" PRIx64 ", saw 0x%" PRIx64, gpa, seen);
}

static void expect_to_l1(lua_State *lua, int index, bool missing, const struct world_outcome *o)
{
	bool to_l1 = api_bool(lua, index, "to_l1", missing);

	if (o->to_l1 != to_l1)
		saw(lua, to_l1 ? "an exit to L1" : "no exit to L1", o);
}

static bool expect_end(lua_State *lua, int index, const char *key, enum world_end end,
		       const struct world_outcome *o)
{
	if (!api_bool(lua, index, key, false))
		return false;
	/* An instruction has no gpa. */
	if (end == WORLD_VMFAIL && o->end == WORLD_DONE)
		api_fail(lua, "expected vmfail, saw that it completes");
	if (o->end != end)
		saw(lua, key, o);
	return true;
}

static void expect_outcome(lua_State *lua, int index, const struct world_outcome *o)
{
	static const struct {
		const char *key;
		enum umbra_event_kind kind;
	} exits[] = {
		{"npf", UMBRA_EVENT_NPF},
		{"violation", UMBRA_EVENT_EPT_VIOLATION},
		{"misconfig", UMBRA_EVENT_EPT_MISCONFIG},
		{"pml_full", UMBRA_EVENT_PML_FULL},
	};
	const char *status = api_string(lua, index, "status", NULL);
	bool other = false, exit = false;

	for (unsigned i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		exit |= expect_event(lua, index, exits[i].key, exits[i].kind, o);
	other = exit | expect_event(lua, index, "pf", UMBRA_EVENT_PF, o);
	expect_place(lua, index, "mmio", "MMIO", WORLD_MMIO, o);
	expect_place(lua, index, "memory_fault", "a memory fault", WORLD_MEMORY_FAULT, o);
	if (api_bool(lua, index, "gp", false)) {
		other = true;
		if (o->end != WORLD_FAULT || o->event.kind != UMBRA_EVENT_GP)
			saw(lua, "#GP", o);
	}
	other |= expect_end(lua, index, "vmfail", WORLD_VMFAIL, o);
	other |= expect_end(lua, index, "escaped", WORLD_ESCAPED, o);
	other |= expect_end(lua, index, "stuck", WORLD_STUCK, o);
	other |= expect_end(lua, index, "refused", WORLD_REFUSED_ENTRY, o);
	if (status) {
		other = true;
		if (o->end != WORLD_STATUS || o->status != api_status(lua, status))
			saw(lua, status, o);
	}
	static const char *const others[] = {"mmio", "memory_fault"};
	for (unsigned i = 0; i < 2; i++) {
		if (!api_has(lua, index, others[i]))
			continue;
		lua_pop(lua, 1);
		other = true;
	}
	if (api_has(lua, index, "gpa")) {
		char expected[64];
		uint64_t gpa = api_argument(lua, -1, "gpa");

		lua_pop(lua, 1);
		snprintf(expected, sizeof(expected), "gpa 0x%" PRIx64, gpa);
		if (o->end != WORLD_DONE || o->gpa.v != gpa)
			saw(lua, expected, o);
	} else if (!other && o->end != WORLD_DONE) {
		saw(lua, "that it completes", o);
	}
	if (o->end == WORLD_FAULT)
		expect_to_l1(lua, index, exit, o);
	expect_l2_gpa(lua, index, o);
}

static void expect_details(lua_State *lua, int index, const struct world_access *access,
			   const struct world_outcome *o)
{
	const char *verdict = api_string(lua, index, "verdict", NULL);
	uint64_t value;

	if (access && !(access->access & UMBRA_ACCESS_WRITE)) {
		value = api_number(lua, index, "value", o->value);
		if (value != o->value)
			api_fail(lua, "expected value 0x%" PRIx64 ", saw 0x%" PRIx64, value,
				 o->value);
	}
	value = api_number(lua, index, "exits", o->exits);
	if (value != o->exits)
		api_fail(lua, "expected %" PRIu64 " exits, saw %u", value, o->exits);
	value = api_number(lua, index, "level", o->level);
	if (value != o->level)
		api_fail(lua, "expected a mapping at level %" PRIu64 ", saw %u", value, o->level);
	if (verdict && api_word(lua, "verdict", verdict, verdicts) != o->verdict)
		api_fail(lua, "expected verdict %s, saw %s", verdict,
			 o->verdict == UMBRA_VERDICT_COUNT ? "none" : umbra_strverdict(o->verdict));
}

static void expect_bare(lua_State *lua, int index, const struct world_result *result)
{
	const char *text = api_string(lua, index, "bare", "same");
	enum bare bare = (enum bare)api_word(lua, "bare", text, bares);
	char umbra[256], other[256];
	bool fine = true;

	switch (bare) {
	case BARE_SAME: fine = result->same; break;
	case BARE_STALE: fine = !result->same && result->legal; break;
	case BARE_LEGAL: fine = result->legal; break;
	case BARE_DIFFERS: fine = !result->same; break;
	case BARE_ILLEGAL: fine = !result->legal; break;
	case BARE_ANY: break;
	}
	if (fine)
		return;
	tell_outcome(&result->umbra, umbra, sizeof(umbra));
	tell_outcome(&result->bare, other, sizeof(other));
	if (result->umbra.end == WORLD_DONE && result->bare.end == WORLD_DONE &&
	    result->umbra.gpa.v == result->bare.gpa.v && !result->same) {
		snprintf(umbra, sizeof(umbra), "value 0x%" PRIx64, result->umbra.value);
		snprintf(other, sizeof(other), "value 0x%" PRIx64, result->bare.value);
	}
	api_fail(lua, "expected bare = \"%s\", saw %s and on the bare machine %s (%s)", text, umbra,
		 other,
		 result->same    ? "the same"
		 : result->legal ? "stale, as the manuals allow"
				 : "no CPU may do this");
}

void expect_result(lua_State *lua, int index, const struct world_access *access,
		   const struct world_result *result)
{
	api_run(lua)->result->checks++;
	/* However it ends: for scripts that play at random. */
	if (strcmp(api_string(lua, index, "ends", "as said"), "any") != 0)
		expect_outcome(lua, index, &result->umbra);
	expect_details(lua, index, access, &result->umbra);
	expect_bare(lua, index, result);
}

void expect_status(lua_State *lua, int index, enum umbra_status status)
{
	const char *text = api_string(lua, index, "error", "OK");

	api_run(lua)->result->checks++;
	if (api_status(lua, text) != status)
		api_fail(lua, "expected %s, saw %s: %s", text, api_status_name(status),
			 umbra_strstatus(status));
}

/* ---- invariants ---- */

struct finding {
	/** Of this invariant a breach is expected. */
	const char *tolerated;
	uint64_t count, tolerated_count;
	struct umbra_finding first;
};

static void found(void *context, const struct umbra_finding *finding)
{
	struct finding *f = context;

	if (!strcmp(finding->invariant, f->tolerated))
		f->tolerated_count++;
	else if (!f->count++)
		f->first = *finding;
}

void expect_audit(lua_State *lua, struct world *world)
{
	struct finding f = {.tolerated = world->tolerated};

	umbra_audit(world->vm, found, &f);
	world->found_tolerated |= f.tolerated_count;
	api_run(lua)->result->checks++;
	if (f.count)
		api_fail(lua, "invariant %s is broken: %s (value 0x%" PRIx64 ")", f.first.invariant,
			 f.first.what, f.first.value);
}

/* ---- counters and trace ---- */

#define FIELD(name, now)                                       \
	{                                                      \
#name, offsetof(struct umbra_stats, name), now \
	}
static const struct {
	const char *name;
	size_t offset;
	/** A level, not a count of events. */
	bool now;
} fields[] = {
	FIELD(pf_taken, false),
	FIELD(pf_fixed, false),
	FIELD(pf_emulate, false),
	FIELD(pf_spurious, false),
	FIELD(pf_guest, false),
	FIELD(pf_mmio, false),
	FIELD(pf_mmio_spte_created, false),
	FIELD(pf_changed_pfn, false),
	FIELD(tlb_flush, false),
	FIELD(invlpg, false),
	FIELD(mmu_shadow_zapped, false),
	FIELD(mmu_pte_write, false),
	FIELD(mmu_pde_zapped, false),
	FIELD(mmu_recycled, false),
	FIELD(mmu_cache_miss, false),
	FIELD(mmu_flooded, false),
	FIELD(mmu_unsync, false),
	FIELD(mmu_shadow_pages, true),
	FIELD(pages_4k, true),
	FIELD(pages_2m, true),
	FIELD(pages_1g, true),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* Is the value on the stack's top, N or ">=N", "<=N", ">N", "<N", true of @seen? */
static bool compare(lua_State *lua, const char *name, int64_t seen)
{
	const char *text;
	int64_t number;
	char *end;
	bool equal;

	if (lua_type(lua, -1) != LUA_TSTRING)
		return (int64_t)api_argument(lua, -1, name) == seen;
	text = lua_tostring(lua, -1);
	equal = *text && text[1] == '=';
	if (*text != '<' && *text != '>')
		luaL_error(lua, "%s: expected a number or \">=N\", \"<=N\", \">N\", \"<N\"", name);
	number = strtoll(text + 1 + equal, &end, 0);
	if (*end || end == text + 1 + equal)
		luaL_error(lua, "%s: no number in \"%s\"", name, text);
	if (equal && number == seen)
		return true;
	return *text == '<' ? seen < number : seen > number;
}

/* Field @name of the table at 2, if it is there. */
static void check(lua_State *lua, const char *name, int64_t seen)
{
	struct run *run = api_run(lua);

	if (!api_has(lua, 2, name))
		return;
	run->result->checks++;
	if (!compare(lua, name, seen)) {
		if (lua_type(lua, -1) == LUA_TSTRING)
			api_fail(lua, "expected %s %s, saw %" PRId64, name, lua_tostring(lua, -1),
				 seen);
		api_fail(lua, "expected %s = %" PRId64 ", saw %" PRId64, name,
			 (int64_t)lua_tointeger(lua, -1), seen);
	}
	tell_line(&run->story, "%s: %" PRId64, name, seen);
	lua_pop(lua, 1);
}

int expect_counts(lua_State *lua)
{
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	const char *names[FIELDS + 1] = {0};
	struct umbra_stats now;

	for (size_t i = 0; i < FIELDS; i++)
		names[i] = fields[i].name;
	api_keys(lua, 2, names, NULL);
	tell_step(&run->story, "counters since the mark");
	umbra_vm_stats(world->vm, &now);
	for (size_t i = 0; i < FIELDS; i++) {
		uint64_t value, was;

		memcpy(&value, (char *)&now + fields[i].offset, sizeof(value));
		memcpy(&was, (char *)&world->marked + fields[i].offset, sizeof(was));
		check(lua, fields[i].name, (int64_t)(fields[i].now ? value : value - was));
	}
	return 0;
}

int expect_traced(lua_State *lua)
{
	struct world *world = api_vm(lua, 1);
	struct run *run = api_begin(lua, world);
	const char *names[UMBRA_TRACE_KINDS + 1] = {0};

	memcpy(names, tell_trace_names, sizeof(tell_trace_names));
	api_keys(lua, 2, names, NULL);
	tell_step(&run->story, "trace events since the mark");
	for (unsigned i = 0; i < UMBRA_TRACE_KINDS; i++)
		check(lua, names[i], (int64_t)world->traced[i]);
	return 0;
}
