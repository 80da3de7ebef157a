/* SPDX-License-Identifier: MIT */
/*
 * machine.c - the machine that the model's tests run on.
 *
 * RAM is 8 MiB at 0. Guest tables are allocated from 100000h, tables of the
 * second stage from 600000h; everything below is free for data frames.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint64_t new_table(uint64_t *next)
{
	uint64_t at = *next;

	*next += 0x1000;
	return at;
}

void machine_new(struct machine *m, bool amd, enum vector_paging paging)
{
	const struct vector base = {.amd = amd, .paging = paging};

	memset(m, 0, sizeof(*m));
	m->ram = calloc(1, MACHINE_RAM);
	m->mem = model_mem_new();
	assert_true(model_mem_add(m->mem, (umbra_hpa){0}, MACHINE_RAM, m->ram));
	m->paging = paging;
	m->next_table = 0x100000;
	m->next_nested = 0x600000;
	m->config.cpu = vec_cpu(&base);
	m->state.regs = vec_regs(&base);
	m->state.long_code = true;
	m->state.load_pdptes = true;
	m->state.regs.cr3 = new_table(&m->next_table);
}

void machine_free(struct machine *m)
{
	model_cpu_free(m->cpu);
	model_mem_free(m->mem);
	free(m->ram);
}

void machine_enter(struct machine *m)
{
	assert_int_equal(model_enter(m->cpu, &m->state).kind, UMBRA_EVENT_NONE);
}

void machine_start(struct machine *m, enum model_caching caching)
{
	model_cpu_free(m->cpu);
	m->config.caching = caching;
	m->cpu = model_cpu_new(m->mem, &m->config);
	assert_non_null(m->cpu);
	machine_enter(m);
}

uint64_t machine_get(const struct machine *m, uint64_t hpa, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, model_mem_at(m->mem, (umbra_hpa){hpa}, size), size);
	return value;
}

void machine_set(struct machine *m, uint64_t hpa, unsigned size, uint64_t value)
{
	memcpy(model_mem_at(m->mem, (umbra_hpa){hpa}, size), &value, size);
}

void machine_poke(struct machine *m, uint64_t at, uint64_t entry)
{
	machine_set(m, at, vec_entry_size(m->paging), entry);
}

uint64_t machine_peek(const struct machine *m, uint64_t at)
{
	return machine_get(m, at, vec_entry_size(m->paging));
}

uint64_t machine_entry(const struct machine *m, uint64_t gva, int level)
{
	uint64_t table = m->state.regs.cr3 & ~0xfffull;

	for (int i = vec_top(m->paging); i > level; i--)
		table = machine_peek(m, table + vec_entry_offset(m->paging, i, gva)) &
			0x000ffffffffff000ull;
	return table + vec_entry_offset(m->paging, level, gva);
}

uint64_t machine_map(struct machine *m, uint64_t gva, int level, uint64_t entry)
{
	uint64_t at;

	for (int i = vec_top(m->paging); i > level; i--) {
		at = machine_entry(m, gva, i);
		if (!(machine_peek(m, at) & 1))
			machine_poke(m, at,
				     new_table(&m->next_table) |
					     (m->paging == VEC_PAE && i == 3 ? 1 : 7));
	}
	at = machine_entry(m, gva, level);
	machine_poke(m, at, entry);
	return at;
}

static uint64_t nested_entry(const struct machine *m, uint64_t root, uint64_t gpa, int level)
{
	unsigned size = vec_entry_size(m->host_paging);

	for (int i = vec_top(m->host_paging); i > level; i--)
		root = machine_get(m, root + vec_entry_offset(m->host_paging, i, gpa), size) &
		       0x000ffffffffff000ull;
	return root + vec_entry_offset(m->host_paging, level, gpa);
}

static void build_nested(struct machine *m, uint64_t root, uint64_t leaf_flags)
{
	int top = vec_top(m->host_paging);
	unsigned size = vec_entry_size(m->host_paging);

	for (uint64_t gpa = 0; gpa < MACHINE_RAM; gpa += 0x1000) {
		for (int i = top; i > 1; i--) {
			uint64_t at = nested_entry(m, root, gpa, i);

			if (!machine_get(m, at, size))
				machine_set(m, at, size,
					    new_table(&m->next_nested) |
						    (m->host_paging == VEC_PAE && i == 3 ? 1 : 7));
		}
		machine_set(m, nested_entry(m, root, gpa, 1), size, gpa | leaf_flags);
	}
}

void machine_ept(struct machine *m)
{
	uint64_t root = new_table(&m->next_nested);

	m->state.stage2 = MODEL_EPT;
	m->host_paging = VEC_4LEVEL;
	m->state.eptp = root | 3 << 3 | 6;
	m->state.tag = 1;
	build_nested(m, root, 0x37);
}

void machine_npt(struct machine *m, enum vector_paging host)
{
	m->state.stage2 = MODEL_NPT;
	m->host_paging = host;
	m->state.ncr3 = new_table(&m->next_nested);
	m->state.hcr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP;
	m->state.hcr4 = vec_cr4(host);
	m->state.hefer = vec_efer(host) | UMBRA_EFER_NXE;
	m->state.tag = 1;
	build_nested(m, m->state.ncr3, 7);
}

uint64_t machine_leaf_of(const struct machine *m, uint64_t gpa)
{
	uint64_t root = m->state.stage2 == MODEL_EPT ? m->state.eptp : m->state.ncr3;

	return nested_entry(m, root & ~0xfffull, gpa, 1);
}

struct model_outcome machine_access(struct machine *m, uint64_t gva, unsigned access)
{
	struct model_access a = {.gva.v = gva, .size = 4, .access = access};
	struct model_outcome o;

	model_access(m->cpu, &a, &o);
	return o;
}

uint64_t machine_short(const struct model_outcome *o)
{
	switch (o->event.kind) {
	case UMBRA_EVENT_NONE: return R_OK(o->piece[0].hpa.v);
	case UMBRA_EVENT_PF: return R_PF(o->event.code);
	case UMBRA_EVENT_EPT_MISCONFIG: return R_MISCONFIG;
	case UMBRA_EVENT_VE: return R_VE(o->event.code & o->code_defined);
	case UMBRA_EVENT_EPT_VIOLATION: return R_EXIT(o->event.code & o->code_defined);
	case UMBRA_EVENT_NPF: return R_EXIT(o->event.code);
	default: return R_GP;
	}
}

uint64_t machine_try(struct machine *m, uint64_t gva, unsigned access)
{
	struct model_access a = {.gva.v = gva, .size = 4, .access = access};
	struct model_outcome legal[64], o;
	unsigned count = model_legal(m->cpu, &a, legal, 64);
	bool found = false;

	assert_in_range(count, 1, 64);
	o = machine_access(m, gva, access);
	for (unsigned i = 0; i < count; i++)
		found |= machine_short(&legal[i]) == machine_short(&o);
	if (!found)
		print_error("gva %lx access %x: %lx is not in a legal set of %u\n", gva, access,
			    machine_short(&o), count);
	assert_true(found);
	return machine_short(&o);
}

void machine_expect_legal(struct machine *m, uint64_t gva, unsigned access, unsigned count,
			  const uint64_t *want)
{
	struct model_access a = {.gva.v = gva, .size = 4, .access = access};
	struct model_outcome legal[64];
	unsigned n = model_legal(m->cpu, &a, legal, 64);
	bool same = n == count;

	for (unsigned i = 0; i < n; i++) {
		bool found = false;

		for (unsigned j = 0; j < count; j++)
			found |= machine_short(&legal[i]) == want[j];
		same &= found;
		assert_true(model_explains(m->cpu, &a, &legal[i]));
	}
	if (same)
		return;
	for (unsigned i = 0; i < n; i++)
		print_error("legal:  %lx\n", machine_short(&legal[i]));
	for (unsigned i = 0; i < count; i++)
		print_error("wanted: %lx\n", want[i]);
	assert_true(same);
}
