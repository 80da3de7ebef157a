/* SPDX-License-Identifier: MIT */
/*
 * vectors.c - the rows of tests/vectors.h on the model, strict and hostile.
 *
 * Each row is one test named by its T number. Besides the expected event and
 * entries it checks that the legal set explains the outcome, and that a hostile
 * CPU that starts cold does the same.
 *
 * Skipped, because the model has no state for them (see model.h):
 * T-65 (#VE), T-66 (paging-write).
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

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

static struct model_state state_of(const struct vector *v)
{
	return (struct model_state){
		.regs = vec_regs(v),
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
	if (v->kind == UMBRA_EVENT_EPT_VIOLATION) /* the model may not call more undefined */
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

static void run(const struct vector *v, enum model_caching caching, unsigned choices)
{
	struct model_config config = {.cpu = vec_cpu(v), .caching = caching, .choices = choices};
	struct model_access a = {.gva.v = vec_gva(v), .size = 4, .access = v->access};
	struct model_state state = state_of(v);
	uint8_t *ram = calloc(1, VEC_RAM_SIZE);
	struct model_mem *mem = model_mem_new();
	struct model_cpu *cpu = model_cpu_new(mem, &config);
	struct model_outcome o, legal[16];
	unsigned n;

	build(v, ram);
	assert_true(model_mem_add(mem, (umbra_hpa){0}, VEC_RAM_SIZE, ram));
	assert_int_equal(model_enter(cpu, &state).kind, UMBRA_EVENT_NONE);
	n = model_legal(cpu, &a, legal, 16);
	assert_in_range(n, 1, 16);
	check_outcome(v, &legal[0]);
	model_access(cpu, &a, &o);
	check_outcome(v, &o);
	if (!(choices & MODEL_A_ON_DENIED))
		check_after(v, ram);
	assert_true(model_explains(cpu, &a, &o));
	/* Once more: what is cached now says the same. */
	model_access(cpu, &a, &o);
	check_outcome(v, &o);
	model_cpu_free(cpu);
	model_mem_free(mem);
	free(ram);
}

static void test_vector(void **test_state)
{
	const struct vector *v = *test_state;

	run(v, MODEL_STRICT, 0);
	run(v, MODEL_STRICT, MODEL_A_ON_FAULT);
	run(v, MODEL_STRICT, MODEL_A_ON_FAULT | MODEL_A_ON_DENIED);
	run(v, MODEL_HOSTILE, 0);
	run(v, MODEL_HOSTILE, MODEL_SPECULATE);
}

int main(void)
{
	struct CMUnitTest tests[VECTOR_COUNT] = {0};
	char names[VECTOR_COUNT][80];

	/* Comments: this cmocka writes skip() as "not ok", which Meson takes for a failure. */
	puts("# skipped: T-65 #VE: out of scope, no state for it in model.h");
	puts("# skipped: T-66 paging-write: out of scope, no state for it in model.h");
	fflush(stdout);
	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "%s %s", vectors[i].id, vectors[i].text);
		tests[i].name = names[i];
		tests[i].test_func = test_vector;
		tests[i].initial_state = (void *)(uintptr_t)&vectors[i];
	}
	return _cmocka_run_group_tests("vectors", tests, VECTOR_COUNT, NULL, NULL);
}
