/* SPDX-License-Identifier: MIT */
/*
 * vectors.c - the rows of tests/vectors.h on the model, strict and hostile.
 *
 * Each row is one test named by its T number. Besides the expected event and
 * entries it checks that the legal set explains the outcome, and that a hostile
 * CPU that starts cold does the same. Rows about controls that only the model has
 * (#VE, paging-write) are here, not in vectors.h, for the library has no word for them.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* What a row of the model's own has besides a vector: VM-execution controls. */
struct controls {
	bool paging_write;
	bool ve;
	bool unprotected; /* CR0.PE = 0 */
	bool delivering; /* the access delivers an event */
	uint32_t busy; /* dword at offset 4 of the information area */
};

struct row {
	struct vector v;
	struct controls c;
};

#define AREA 0x3f000ull
#define SVE (1ull << 63)
#define PWA (1ull << 58)
#define ABSENT .stage2 = VEC_EPT, .nested_final = VEC_SET(0), .access = VEC_U | VEC_W
#define VE(code_) .kind = UMBRA_EVENT_VE, .code = (code_), .code_mask = 0x21bf
#define FINAL_GPA .event_gpa = VEC_FRAME + VEC_GVA_OFFSET

/* clang-format off */
static const struct row rows[] = {
	/* ---- #VE ---- */
	{{.id = "T-65a", .text = "#VE, absent leaf", ABSENT, VE(0x182), FINAL_GPA}, {.ve = true}},
	{{.id = "T-65b", .text = "#VE control off", ABSENT, VEC_VIOLATION(0x182), FINAL_GPA}, {0}},
	{{.id = "T-65c", .text = "absent leaf suppresses #VE", .stage2 = VEC_EPT,
	  .nested_final = VEC_SET(SVE), .access = VEC_U | VEC_W, VEC_VIOLATION(0x182), FINAL_GPA},
	 {.ve = true}},
	{{.id = "T-65d", .text = "area is busy", ABSENT, VEC_VIOLATION(0x182), FINAL_GPA},
	 {.ve = true, .busy = 0xffffffff}},
	{{.id = "T-65e", .text = "any bit means busy", ABSENT, VEC_VIOLATION(0x182), FINAL_GPA},
	 {.ve = true, .busy = 0x80000000}},
	{{.id = "T-65f", .text = "no #VE while delivering an event", ABSENT, VEC_VIOLATION(0x182),
	  FINAL_GPA}, {.ve = true, .delivering = true}},
	{{.id = "T-65g", .text = "misconfiguration is no #VE", .stage2 = VEC_EPT,
	  .nested_final = VEC_NLEAF(0x32), VEC_MISCONFIG, FINAL_GPA}, {.ve = true}},
	{{.id = "T-65h", .text = "#VE, unpaged with CR0.PE", .stage2 = VEC_EPT,
	  .paging = VEC_UNPAGED, .nested_final = VEC_NLEAF(0x35), .access = VEC_W, VE(0x1aa),
	  .event_gpa = VEC_GVA_UNPAGED}, {.ve = true}},
	{{.id = "T-65i", .text = "no #VE without CR0.PE", .stage2 = VEC_EPT,
	  .paging = VEC_UNPAGED, .nested_final = VEC_NLEAF(0x35), .access = VEC_W,
	  VEC_VIOLATION(0x1aa), .event_gpa = VEC_GVA_UNPAGED}, {.ve = true, .unprotected = true}},
	{{.id = "T-65j", .text = "#VE, rights; the leaf decides", .stage2 = VEC_EPT,
	  .nested_upper = {[4] = VEC_NTABLE(4, SVE | 7), [3] = VEC_NTABLE(3, SVE | 7),
			   [2] = VEC_NTABLE(2, SVE | 7)},
	  .nested_final = VEC_NLEAF(0x31), .access = VEC_X, VE(0x18c), FINAL_GPA}, {.ve = true}},
	{{.id = "T-65k", .text = "rights; the leaf suppresses #VE", .stage2 = VEC_EPT,
	  .nested_final = VEC_NLEAF(SVE | 0x31), .access = VEC_X, VEC_VIOLATION(0x18c), FINAL_GPA},
	 {.ve = true}},
	{{.id = "T-65l", .text = "#VE, absent upper entry", .stage2 = VEC_EPT,
	  .paging = VEC_UNPAGED, .nested_upper = {[2] = VEC_SET(0x7ffffffffffffff8ull)},
	  VE(0x181), .event_gpa = VEC_GVA_UNPAGED}, {.ve = true}},
	{{.id = "T-65m", .text = "absent upper entry suppresses #VE", .stage2 = VEC_EPT,
	  .paging = VEC_UNPAGED, .nested_upper = {[2] = VEC_SET(SVE)}, VEC_VIOLATION(0x181),
	  .event_gpa = VEC_GVA_UNPAGED}, {.ve = true}},
	{{.id = "T-65n", .text = "#VE, guest's table not in EPT", .stage2 = VEC_EPT,
	  .eptp_add = 0x40, .nested_table = {[2] = VEC_SET(0)}, VE(0x083),
	  .event_gpa = VEC_ENTRY_GPA(2)}, {.ve = true}},
	{{.id = "T-65o", .text = "a page fault stays one", .stage2 = VEC_EPT,
	  .entry = {[1] = VEC_SET(0)}, .access = VEC_U, VEC_PF(0x4)}, {.ve = true}},

	/* ---- paging-write control ---- */
	{{.id = "T-66a", .text = "paging-write: A of a table without W", .stage2 = VEC_EPT,
	  .nested_table = {[1] = VEC_NLEAF_OF(1, PWA | 0x35)}, .access = VEC_U,
	  .after = {[1] = VEC_LEAF(0x27)}}, {.paging_write = true}},
	{{.id = "T-66b", .text = "paging-write: D of a table without W", .stage2 = VEC_EPT,
	  .nested_table = {[1] = VEC_NLEAF_OF(1, PWA | 0x35)}, .access = VEC_U | VEC_W,
	  .after = {[1] = VEC_LEAF(0x67)}}, {.paging_write = true}},
	{{.id = "T-66c", .text = "paging-write: A/D on, every read is one", .stage2 = VEC_EPT,
	  .eptp_add = 0x40, .entry = {[1] = VEC_LEAF(0x27)},
	  .nested_table = {[1] = VEC_NLEAF_OF(1, PWA | 0x35)},
	  .after_nested_table = {[1] = VEC_NLEAF_OF(1, PWA | 0x335)}}, {.paging_write = true}},
	{{.id = "T-66d", .text = "paging-write: a store to the table exits", .stage2 = VEC_EPT,
	  .entry = {[1] = VEC_SET(VEC_GUEST_TABLE(1) | 7)},
	  .nested_table = {[1] = VEC_NLEAF_OF(1, PWA | 0x35)}, .access = VEC_U | VEC_W,
	  VEC_VIOLATION(0x1aa), .event_gpa = VEC_GUEST_TABLE(1) + VEC_GVA_OFFSET},
	 {.paging_write = true}},
	{{.id = "T-66e", .text = "bit 58 without the control", .stage2 = VEC_EPT,
	  .nested_table = {[1] = VEC_NLEAF_OF(1, PWA | 0x35)}, .access = VEC_U,
	  VEC_VIOLATION(0x0aa), .code_mask = 0x21be, .event_gpa = VEC_ENTRY_GPA(1)}, {0}},
	{{.id = "T-66f", .text = "paging-write without bit 58", .stage2 = VEC_EPT,
	  .nested_table = {[1] = VEC_NLEAF_OF(1, 0x35)}, .access = VEC_U,
	  VEC_VIOLATION(0x0aa), .code_mask = 0x21be, .event_gpa = VEC_ENTRY_GPA(1)},
	 {.paging_write = true}},
	{{.id = "T-66g", .text = "paging-write: bit 58 without R", .stage2 = VEC_EPT,
	  .cpu_add = UMBRA_CPU_EPT_EXECONLY, .nested_final = VEC_NLEAF(PWA | 0x34),
	  .access = VEC_X, VEC_MISCONFIG, FINAL_GPA}, {.paging_write = true}},
	{{.id = "T-66h", .text = "bit 58 without R, no control", .stage2 = VEC_EPT,
	  .cpu_add = UMBRA_CPU_EPT_EXECONLY, .nested_final = VEC_NLEAF(PWA | 0x34),
	  .access = VEC_X}, {0}},
	{{.id = "T-66i", .text = "paging-write: bit 58 of a non-leaf", .stage2 = VEC_EPT,
	  .cpu_add = UMBRA_CPU_EPT_EXECONLY, .paging = VEC_UNPAGED,
	  .nested_upper = {[2] = VEC_NTABLE(2, PWA | 4)}, .access = VEC_X},
	 {.paging_write = true}},
};
/* clang-format on */
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void poke(uint8_t *ram, uint64_t at, unsigned size, uint64_t value)
{
	memcpy(ram + at, &value, size);
}

static void build(const struct vector *v, uint8_t *ram)
{
	unsigned size = vec_entry_size(v->paging), nested_size = vec_entry_size(v->host_paging);
	int top = vec_top(v->paging);

	for (int i = 1; i <= top; i++)
		poke(ram, vec_guest_entry_at(v, i), size, vec_guest_entry(v, i));
	if (v->stage2 == VEC_NATIVE)
		return;
	for (int i = vec_top(v->host_paging); i > 1; i--)
		poke(ram, vec_nested_upper_at(i), nested_size, vec_nested_upper(v, i));
	poke(ram, vec_nested_leaf_at(v, VEC_FRAME), nested_size, vec_nested_final(v));
	for (int i = 1; i <= top; i++)
		poke(ram, vec_nested_leaf_at(v, VEC_GUEST_TABLE(i)), nested_size,
		     vec_nested_table(v, i));
}

static struct model_state state_of(const struct vector *v, const struct controls *c)
{
	struct umbra_regs regs = vec_regs(v);

	if (c->unprotected)
		regs.cr0 &= ~UMBRA_CR0_PE;
	return (struct model_state){
		.regs = regs,
		.long_code = v->paging <= VEC_5LEVEL,
		.stage2 = v->stage2 == VEC_EPT   ? MODEL_EPT
			  : v->stage2 == VEC_NPT ? MODEL_NPT
						 : MODEL_NATIVE,
		.tag = v->stage2 != VEC_NATIVE,
		.eptp = v->stage2 == VEC_EPT ? vec_eptp(v) : 0,
		.mbec = v->mbec,
		.ncr3 = vec_ncr3(v),
		.hcr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | (v->host_wp_clear ? 0 : UMBRA_CR0_WP),
		.hcr4 = vec_cr4(v->host_paging),
		.hefer = vec_efer(v->host_paging) | (v->host_nxe_clear ? 0 : UMBRA_EFER_NXE),
		.gmet = v->gmet,
		.rogpt = v->rogpt,
		.npt_sss = v->npt_sss,
		.paging_write = c->paging_write,
		.ve = c->ve,
		.ve_area = c->ve ? AREA : 0,
		.eptp_index = 0x1ee,
	};
}

static void check_entry(const uint8_t *ram, const struct vec_entry *want, uint64_t at,
			unsigned size)
{
	uint64_t is = 0;

	memcpy(&is, ram + at, size);
	if (want->set && (is ^ want->value) & ~want->any)
		print_error("entry at %lx is %lx, not %lx\n", at, is, want->value);
	if (want->set)
		assert_int_equal((is ^ want->value) & ~want->any, 0);
}

static void check_after(const struct vector *v, const uint8_t *ram)
{
	unsigned size = vec_entry_size(v->paging), nested_size = vec_entry_size(v->host_paging);

	for (int i = 1; i <= 5; i++) {
		if (v->after[i].set)
			check_entry(ram, &v->after[i], vec_guest_entry_at(v, i), size);
		check_entry(ram, &v->after_nested_upper[i], vec_nested_upper_at(i), nested_size);
		check_entry(ram, &v->after_nested_table[i],
			    vec_nested_leaf_at(v, VEC_GUEST_TABLE(i)), nested_size);
	}
	check_entry(ram, &v->after_nested_final, vec_nested_leaf_at(v, VEC_FRAME), nested_size);
}

static void check_outcome(const struct vector *v, const struct model_outcome *o)
{
	if (o->event.kind != v->kind || (o->event.code ^ v->code) & vec_code_mask(v))
		print_error("event %d code %lx, wanted %d %lx\n", o->event.kind, o->event.code,
			    v->kind, v->code);
	assert_int_equal(o->event.kind, v->kind);
	assert_int_equal((o->event.code ^ v->code) & vec_code_mask(v), 0);
	if (v->kind == UMBRA_EVENT_EPT_VIOLATION ||
	    v->kind == UMBRA_EVENT_VE) /* the model may not call more undefined */
		assert_int_equal(vec_code_mask(v) & ~o->code_defined, 0);
	if (v->kind == UMBRA_EVENT_PF)
		assert_int_equal(o->event.gva.v, vec_gva(v));
	if (v->event_gpa)
		assert_int_equal(o->event.gpa.v, v->event_gpa);
	if (v->kind == UMBRA_EVENT_NONE) {
		assert_int_equal(o->piece_count, 1);
		assert_int_equal(o->piece[0].gpa.v, vec_gpa(v));
	} else {
		assert_int_equal(o->piece_count, 0);
	}
}

static uint64_t area_field(const uint8_t *ram, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, ram + AREA + offset, size);
	return value;
}

/* H-83: what a #VE leaves, and that nothing else touches the area. */
static void check_area(const struct vector *v, const struct controls *c, const uint8_t *ram,
		       const struct umbra_event *event)
{
	bool ve = v->kind == UMBRA_EVENT_VE;

	assert_int_equal(area_field(ram, 0, 4), ve ? 48 : 0);
	assert_int_equal(area_field(ram, 4, 4), ve ? 0xffffffff : c->busy);
	assert_int_equal(area_field(ram, 8, 8), ve ? event->code : 0);
	assert_int_equal(area_field(ram, 16, 8), ve ? vec_gva(v) : 0);
	assert_int_equal(area_field(ram, 24, 8), ve ? v->event_gpa : 0);
	assert_int_equal(area_field(ram, 32, 4), ve ? 0x1ee : 0);
}

static void run(const struct vector *v, const struct controls *c, enum model_caching caching,
		unsigned choices)
{
	struct model_config config = {.cpu = vec_cpu(v), .caching = caching, .choices = choices};
	struct model_access a = {
		.gva.v = vec_gva(v), .size = 4, .access = v->access, .delivering = c->delivering};
	struct model_state state = state_of(v, c);
	uint8_t *ram = calloc(1, VEC_RAM_SIZE);
	struct model_mem *mem = model_mem_new();
	struct model_cpu *cpu = model_cpu_new(mem, &config);
	struct model_outcome o, legal[16];
	unsigned n;

	build(v, ram);
	poke(ram, AREA + 4, 4, c->busy);
	assert_true(model_mem_add(mem, (umbra_hpa){0}, VEC_RAM_SIZE, ram));
	assert_int_equal(model_enter(cpu, &state).kind, UMBRA_EVENT_NONE);
	n = model_legal(cpu, &a, legal, 16);
	assert_in_range(n, 1, 16);
	check_outcome(v, &legal[0]);
	model_access(cpu, &a, &o);
	check_outcome(v, &o);
	if (!(choices & MODEL_A_ON_DENIED))
		check_after(v, ram);
	check_area(v, c, ram, &o.event);
	poke(ram, AREA + 4, 4, c->busy); /* the guest has read it */
	assert_true(model_explains(cpu, &a, &o));
	/* Once more: what is cached now says the same. */
	model_access(cpu, &a, &o);
	check_outcome(v, &o);
	model_cpu_free(cpu);
	model_mem_free(mem);
	free(ram);
}

static void run_all(const struct vector *v, const struct controls *c)
{
	run(v, c, MODEL_STRICT, 0);
	run(v, c, MODEL_STRICT, MODEL_A_ON_FAULT);
	run(v, c, MODEL_STRICT, MODEL_A_ON_FAULT | MODEL_A_ON_DENIED);
	run(v, c, MODEL_HOSTILE, 0);
	run(v, c, MODEL_HOSTILE, MODEL_SPECULATE);
}

static void test_vector(void **test_state)
{
	static const struct controls none;

	run_all(*test_state, &none);
}

static void test_row(void **test_state)
{
	const struct row *row = *test_state;

	run_all(&row->v, &row->c);
}

int main(void)
{
	struct CMUnitTest tests[VECTOR_COUNT + ROW_COUNT] = {0};
	char names[VECTOR_COUNT + ROW_COUNT][80];

	for (size_t i = 0; i < VECTOR_COUNT + ROW_COUNT; i++) {
		bool own = i >= VECTOR_COUNT;
		const struct row *row = &rows[own ? i - VECTOR_COUNT : 0];
		const struct vector *v = own ? &row->v : &vectors[i];

		snprintf(names[i], sizeof(names[i]), "%s %s", v->id, v->text);
		tests[i].name = names[i];
		tests[i].test_func = own ? test_row : test_vector;
		tests[i].initial_state = (void *)(uintptr_t)(own ? (const void *)row : v);
	}
	return _cmocka_run_group_tests("vectors", tests, VECTOR_COUNT + ROW_COUNT, NULL, NULL);
}
