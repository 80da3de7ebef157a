/* SPDX-License-Identifier: MIT */
/*
 * test_vectors.c - the vectors of hardware-facts section 7 on core's walker.
 *
 * tests/vectors.h describes small machines; here each becomes a chain of spaces
 * and one walk(). The model runs the same rows in tests/model/. Rows about
 * features that the walker does not have are left out by category (see why()).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/walk.h"
#include "tests/vectors.h"

struct machine {
	_Alignas(4096) uint8_t ram[VEC_RAM_SIZE];
	struct memory memory;
	struct umbra_regs regs;
	struct mode guest_mode, nested_mode;
	struct space guest, nested;
};

static struct machine machine;

static uint64_t get(uint64_t at, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, &machine.ram[at], size);
	return value;
}

static void put(uint64_t at, uint64_t value, unsigned size)
{
	memcpy(&machine.ram[at], &value, size);
}

static unsigned nested_size(const struct vector *v)
{
	return v->stage2 == VEC_NPT ? vec_entry_size(v->host_paging) : 8;
}

/* NULL, or the category that the walker leaves to others. */
static const char *why(const struct vector *v)
{
	if (v->eptp_add & 0x80)
		return "EPTP.7, supervisor shadow-stack control";
	if (v->npt_sss)
		return "VMCB 090h bit 4, supervisor shadow-stack check";
	return NULL;
}

static void fill(const struct vector *v)
{
	const int top = vec_top(v->paging), nested_top = vec_top(v->host_paging);

	memset(machine.ram, 0, sizeof(machine.ram));
	for (int level = 1; level <= top; level++)
		put(vec_guest_entry_at(v, level), vec_guest_entry(v, level),
		    vec_entry_size(v->paging));
	if (v->stage2 == VEC_NATIVE)
		return;
	for (int level = 2; level <= nested_top; level++)
		put(vec_nested_upper_at(level), vec_nested_upper(v, level), nested_size(v));
	for (int level = 1; level <= top; level++)
		put(vec_nested_leaf_at(v, VEC_GUEST_TABLE(level)), vec_nested_table(v, level),
		    nested_size(v));
	put(vec_nested_leaf_at(v, VEC_FRAME), vec_nested_final(v), nested_size(v));
}

static void bind_nested(const struct vector *v, const struct umbra_cpu *cpu)
{
	const struct umbra_regs host = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | (v->host_wp_clear ? 0 : UMBRA_CR0_WP),
		.cr4 = vec_cr4(v->host_paging),
		.efer = vec_efer(v->host_paging) | (v->host_nxe_clear ? 0 : UMBRA_EFER_NXE),
	};
	const struct format *format;
	uint32_t flags;

	if (v->stage2 == VEC_EPT) {
		format = mode_of_eptp(vec_eptp(v), cpu, v->mbec, &flags);
		machine.nested.root = vec_eptp(v);
	} else {
		format = mode_of_npt(&host, cpu, v->gmet, &flags);
		flags |= v->rogpt ? MODE_ROGPT : 0;
		machine.nested.root = vec_ncr3(v);
	}
	assert_non_null(format);
	mode_bind(&machine.nested_mode, format, flags, cpu->maxphyaddr);
	machine.nested.mode = &machine.nested_mode;
	machine.nested.memory = &machine.memory;
}

static void build(const struct vector *v)
{
	const struct umbra_cpu cpu = vec_cpu(v);
	const struct format *format;
	uint32_t flags;

	memset(&machine.guest, 0, sizeof(machine.guest));
	memset(&machine.nested, 0, sizeof(machine.nested));
	fill(v);
	machine.memory = (struct memory){
		.size = VEC_RAM_SIZE,
		.bytes = machine.ram,
		.writable = true,
	};
	machine.regs = vec_regs(v);
	format = mode_of_regs(&machine.regs, &cpu, &flags);
	if (format) {
		/* H-22: an NPT guest has no PDPTE registers. */
		if (v->stage2 == VEC_NPT)
			flags |= MODE_PDPTE_MEMORY;
		mode_bind(&machine.guest_mode, format, flags, cpu.maxphyaddr);
		machine.guest.mode = &machine.guest_mode;
	}
	machine.guest.root = machine.regs.cr3;
	machine.guest.pdpte = machine.regs.pdpte;
	machine.guest.pkru = machine.regs.pkru;
	machine.guest.pkrs = machine.regs.pkrs;
	machine.guest.memory = &machine.memory;
	if (v->stage2 != VEC_NATIVE) {
		bind_nested(v, &cpu);
		machine.guest.parent = &machine.nested;
	}
}

static void check_entry(const char *what, int level, uint64_t at, unsigned size,
			const struct vec_entry *expected)
{
	if (!expected->set)
		return;
	if ((get(at, size) ^ expected->value) & ~expected->any)
		fail_msg("%s entry of level %d is %llx, not %llx (any %llx)", what, level,
			 (unsigned long long)get(at, size), (unsigned long long)expected->value,
			 (unsigned long long)expected->any);
}

static void check_after(const struct vector *v)
{
	for (int level = 1; level <= vec_top(v->paging); level++) {
		check_entry("guest", level, vec_guest_entry_at(v, level), vec_entry_size(v->paging),
			    &v->after[level]);
		check_entry("nested leaf of table", level,
			    vec_nested_leaf_at(v, VEC_GUEST_TABLE(level)), nested_size(v),
			    &v->after_nested_table[level]);
	}
	for (int level = 2; level <= vec_top(v->host_paging); level++)
		check_entry("nested", level, vec_nested_upper_at(level), nested_size(v),
			    &v->after_nested_upper[level]);
	check_entry("final nested", 1, vec_nested_leaf_at(v, VEC_FRAME), nested_size(v),
		    &v->after_nested_final);
}

static void run_vector(void **state)
{
	const struct vector *v = *state;
	struct walk out;

	build(v);
	walk(&machine.guest, vec_gva(v), v->access, 0, &out);
	if (out.end == WALK_OK)
		assert_int_equal(out.event.kind, UMBRA_EVENT_NONE);
	else
		assert_int_not_equal(out.event.kind, UMBRA_EVENT_NONE);
	if (out.event.kind != v->kind ||
	    (v->kind && ((out.event.code ^ v->code) & vec_code_mask(v))))
		fail_msg("%s (%s): event %d code %llx, not %d %llx", v->id, v->text, out.event.kind,
			 (unsigned long long)out.event.code, v->kind, (unsigned long long)v->code);
	if (v->event_gpa)
		assert_int_equal(out.event.gpa.v, v->event_gpa);
	if (v->kind == UMBRA_EVENT_PF)
		assert_int_equal(out.event.gva.v, vec_gva(v));
	if (v->kind == UMBRA_EVENT_NONE)
		assert_int_equal(out.address, vec_gpa(v));
	check_after(v);
}

int main(void)
{
	static struct CMUnitTest tests[VECTOR_COUNT];
	size_t count = 0;

	for (unsigned i = 0; i < VECTOR_COUNT; i++) {
		if (why(&vectors[i])) {
			printf("# %s is not for the walker: %s\n", vectors[i].id, why(&vectors[i]));
			continue;
		}
		tests[count++] = (struct CMUnitTest){
			.name = vectors[i].id,
			.test_func = run_vector,
			.initial_state = (void *)(uintptr_t)&vectors[i],
		};
	}
	printf("# %zu vectors\n", count);
	return _cmocka_run_group_tests("vectors", tests, count, NULL, NULL);
}
