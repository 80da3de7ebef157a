/* SPDX-License-Identifier: MIT */
/*
 * exits.c - every combination of rights of the second stage, and how it is refused.
 *
 * One page, FRAME, under a directory entry and a leaf of the second stage of its own;
 * all rights of both, all plain accesses, all rights of the guest. What must happen is
 * worked out here once more from H-72..H-79 and H-93..H-97, in terms of bits, together
 * with which bits of an exit qualification are defined at all.
 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LA 0x0000000012345000ull
#define FRAME 0x205000ull

static const unsigned accesses[] = {0, VEC_W, VEC_X, VEC_U, VEC_U | VEC_W, VEC_U | VEC_X};

struct want {
	enum umbra_event_kind kind;
	uint64_t code, defined;
};

struct setting {
	struct machine m;
	uint64_t pte, leaf, upper; /* guest's PTE; second stage's leaf and entry above */
	bool mbec, ad, advinfo, exec_only; /* EPT */
	bool nxe, gmet; /* NPT */
};

static void start(struct setting *s)
{
	struct machine *m = &s->m;
	uint64_t root = m->state.stage2 == MODEL_EPT ? m->state.eptp : m->state.ncr3;

	root &= ~0xfffull;
	for (uint64_t i = 0, at = root; i < 3; i++) { /* XU in what is shared */
		s->upper = at + 8; /* ends as the directory's entry 1 */
		if (m->state.stage2 == MODEL_EPT)
			machine_set(m, at, 8, machine_get(m, at, 8) | 0x400);
		at = machine_get(m, at, 8) & 0x000ffffffffff000ull;
	}
	s->leaf = machine_leaf_of(m, FRAME);
	machine_start(m, MODEL_STRICT);
}

static void check(struct setting *s, unsigned access, const struct want *want)
{
	struct model_outcome o = machine_access(&s->m, LA, access);

	if (o.event.kind != want->kind || (o.event.code ^ want->code) & want->defined)
		print_error("access %x: event %d %lx, wanted %d %lx (upper %lx leaf %lx)\n", access,
			    o.event.kind, o.event.code, want->kind, want->code,
			    machine_get(&s->m, s->upper, 8), machine_get(&s->m, s->leaf, 8));
	assert_int_equal(o.event.kind, want->kind);
	assert_int_equal((o.event.code ^ want->code) & want->defined, 0);
	if (want->kind == UMBRA_EVENT_EPT_VIOLATION)
		assert_int_equal(o.code_defined & 0x1ffff, want->defined);
	if (want->kind == UMBRA_EVENT_EPT_VIOLATION || want->kind == UMBRA_EVENT_NPF)
		assert_int_equal(o.event.gpa.v, FRAME);
}

/* Does the guest refuse? @g: U, W, XD of its leaf. */
static bool guest_refuses(unsigned access, unsigned g)
{
	bool user = access & VEC_U, write = access & VEC_W, fetch = access & VEC_X;

	return (user && !(g & 1)) || (write && !(g & 2)) || (fetch && g & 4);
}

static uint64_t guest_pte(unsigned g)
{
	return FRAME | 0x61 | (g & 1 ? 4 : 0) | (g & 2) | (g & 4 ? VEC_XD : 0);
}

/* Rights of EPT entries here: R, W, X, XU. */
static bool ept_present(const struct setting *s, unsigned r)
{
	return r & 7 || (s->mbec && r & 8);
}

static bool ept_illegal(const struct setting *s, unsigned r)
{
	bool executes = r & 4 || (s->mbec && r & 8);

	return !(r & 1) && (r & 2 || (executes && !s->exec_only));
}

static struct want ept_want(const struct setting *s, unsigned access, unsigned g, unsigned upper,
			    unsigned leaf)
{
	bool write = access & VEC_W, fetch = access & VEC_X, reached;
	unsigned all = upper & leaf, need = write ? 2 : 1;
	struct want want = {.kind = UMBRA_EVENT_EPT_VIOLATION};

	reached = ept_present(s, upper) && ept_present(s, leaf);
	if (ept_present(s, upper) && (ept_illegal(s, upper) || (reached && ept_illegal(s, leaf))))
		return (struct want){.kind = UMBRA_EVENT_EPT_MISCONFIG};
	if (fetch)
		need = s->mbec && g & 1 ? 8 : 4;
	if (reached && all & need)
		return (struct want){.kind = UMBRA_EVENT_NONE};
	/* Bits 0-2 say what was tried, 3-6 what was allowed, 7 and 8 that it was LA's GPA. */
	want.code = (fetch ? 4 : write ? 2 : 1) | 0x180;
	want.defined = 0x1bf | 1 << 13;
	if (reached)
		want.code |= (uint64_t)(all & 7) << 3;
	if (s->mbec) {
		want.defined |= 1 << 6;
		want.code |= reached && all & 8 ? 1 << 6 : 0;
	}
	if (s->advinfo) {
		want.defined |= 7 << 9;
		want.code |= (uint64_t)g << 9;
	}
	return want;
}

static uint64_t ept_bits(unsigned r)
{
	return (r & 7) | (r & 8 ? 0x400 : 0);
}

static void every_ept_page(struct setting *s)
{
	uint64_t table = machine_get(&s->m, s->upper, 8) & ~0xfffull;

	for (unsigned upper = 0; upper < 16; upper++) {
		machine_set(&s->m, s->upper, 8, table | ept_bits(upper));
		for (unsigned leaf = 0; leaf < 16; leaf++) {
			machine_set(&s->m, s->leaf, 8, FRAME | 0x30 | ept_bits(leaf));
			for (unsigned g = 0; g < 8; g++) {
				machine_poke(&s->m, s->pte, guest_pte(g));
				for (unsigned i = 0; i < 6; i++) {
					struct want want = ept_want(s, accesses[i], g, upper, leaf);

					if (!guest_refuses(accesses[i], g))
						check(s, accesses[i], &want);
				}
			}
		}
	}
}

static void ept_setting(struct setting *s, unsigned bits)
{
	machine_new(&s->m, false, VEC_4LEVEL);
	s->mbec = bits & 1;
	s->ad = bits & 2;
	s->advinfo = bits & 4;
	s->exec_only = bits & 8;
	s->m.config.cpu.features |= UMBRA_CPU_EPT_AD | UMBRA_CPU_MBEC |
				    (s->advinfo ? UMBRA_CPU_EPT_ADVINFO : 0) |
				    (s->exec_only ? UMBRA_CPU_EPT_EXECONLY : 0);
	s->pte = machine_map(&s->m, LA, 1, FRAME | 0x67);
	machine_ept(&s->m);
	s->m.state.mbec = s->mbec;
	s->m.state.eptp |= s->ad ? 0x40 : 0;
	start(s);
}

static void ept_pages(void **test_state)
{
	(void)test_state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct setting s;

		ept_setting(&s, bits);
		every_ept_page(&s);
		machine_free(&s.m);
	}
}

/* H-74, H-79: a guest's table is read, or with A/D written; its A update is a write. */
static void ept_tables(void **test_state)
{
	(void)test_state;
	for (unsigned bits = 0; bits < 16; bits++) {
		for (unsigned rights = 0; rights < 16; rights++) {
			struct model_outcome o;
			struct setting s;
			uint64_t page, code, defined;
			bool present, reads, updates;

			ept_setting(&s, bits);
			page = s.pte & ~0xfffull;
			machine_poke(&s.m, s.pte, FRAME | 7); /* A is to be set */
			machine_set(&s.m, machine_leaf_of(&s.m, page), 8,
				    page | 0x30 | ept_bits(rights));
			present = ept_present(&s, rights);
			reads = present && rights & 1 && (!s.ad || rights & 2);
			updates = rights & 2;
			o = machine_access(&s.m, LA, 0);
			if (present && ept_illegal(&s, rights)) {
				assert_int_equal(o.event.kind, UMBRA_EVENT_EPT_MISCONFIG);
				machine_free(&s.m);
				continue;
			}
			if (reads && updates) {
				assert_int_equal(o.event.kind, UMBRA_EVENT_NONE);
				machine_free(&s.m);
				continue;
			}
			code = 0x80 | (present ? (rights & 7) << 3 : 0);
			code |= s.mbec && present && rights & 8 ? 1 << 6 : 0;
			code |= reads ? 2 : s.ad ? 3 : 1;
			/* H-79: without A/D, bit 0 of an update is either. Bits 9-11 are for
			 * the page itself. */
			defined = 0x1bf | 1 << 13 | (s.mbec ? 1 << 6 : 0);
			if (reads)
				defined &= ~1ull;
			assert_int_equal(o.event.kind, UMBRA_EVENT_EPT_VIOLATION);
			assert_int_equal(o.code_defined & 0x1ffff, defined);
			assert_int_equal((o.event.code ^ code) & defined, 0);
			assert_int_equal(o.event.gpa.v, s.pte);
			machine_free(&s.m);
		}
	}
}

/* H-78, H-79: of a load of PDPTEs neither address nor bit 8 says anything. */
static void ept_loads(void **test_state)
{
	(void)test_state;
	for (unsigned rights = 0; rights < 8; rights++) {
		struct umbra_event event;
		struct machine m;
		uint64_t root;

		machine_new(&m, false, VEC_PAE);
		m.config.cpu.features |= UMBRA_CPU_EPT_EXECONLY;
		machine_ept(&m);
		machine_start(&m, MODEL_STRICT);
		root = m.state.regs.cr3;
		machine_set(&m, machine_leaf_of(&m, root), 8, root | 0x30 | rights);
		event = model_mov_cr3(m.cpu, root);
		if (rights & 1) {
			assert_int_equal(event.kind, UMBRA_EVENT_NONE);
		} else if (rights & 2) {
			assert_int_equal(event.kind, UMBRA_EVENT_EPT_MISCONFIG);
		} else {
			assert_int_equal(event.kind, UMBRA_EVENT_EPT_VIOLATION);
			assert_int_equal(event.code, 1 | rights << 3);
		}
		machine_free(&m);
	}
}

/* Rights of nested entries here: P, R/W, U/S, NX. */
static struct want npt_want(const struct setting *s, unsigned access, unsigned upper, unsigned leaf)
{
	bool user = access & VEC_U, write = access & VEC_W, fetch = access & VEC_X;
	bool u = upper & leaf & 4, w = upper & leaf & 2, nx = (upper | leaf) & 8, denied;
	struct want want = {.kind = UMBRA_EVENT_NPF, .defined = ~0ull};
	bool reserved = !s->nxe && (upper & 8 || (leaf & 1 && leaf & 8));

	want.code = UMBRA_NPF_FINAL | 4 | (write ? 2 : 0) | (fetch && s->nxe ? 0x10 : 0);
	if (s->gmet && fetch && !user)
		want.code &= ~4ull;
	if (!(upper & 1) || (!reserved && !(leaf & 1)))
		return want;
	want.code |= 1;
	if (reserved) {
		want.code |= 8;
		return want;
	}
	denied = (write && !w) || (fetch && nx);
	denied |= s->gmet ? fetch && !user && u : !u;
	return denied ? want : (struct want){.kind = UMBRA_EVENT_NONE};
}

static uint64_t npt_bits(unsigned r)
{
	return (r & 7) | (r & 8 ? VEC_XD : 0);
}

static void npt_pages(void **test_state)
{
	(void)test_state;
	for (unsigned bits = 0; bits < 4; bits++) {
		struct setting s;
		uint64_t table;

		machine_new(&s.m, true, VEC_4LEVEL);
		s.nxe = bits & 1;
		s.gmet = bits & 2;
		s.pte = machine_map(&s.m, LA, 1, FRAME | 0x67);
		machine_npt(&s.m, VEC_4LEVEL);
		s.m.state.gmet = s.gmet;
		s.m.state.hefer &= s.nxe ? ~0ull : ~UMBRA_EFER_NXE;
		start(&s);
		table = machine_get(&s.m, s.upper, 8) & ~0xfffull;
		for (unsigned upper = 0; upper < 16; upper++) {
			machine_set(&s.m, s.upper, 8, table | npt_bits(upper));
			for (unsigned leaf = 0; leaf < 16; leaf++) {
				machine_set(&s.m, s.leaf, 8, FRAME | npt_bits(leaf));
				for (unsigned i = 0; i < 6; i++) {
					struct want want = npt_want(&s, accesses[i], upper, leaf);

					check(&s, accesses[i], &want);
				}
			}
		}
		machine_free(&s.m);
	}
}

/* H-92, H-95, H-98: reading a guest's table is a user's write, or with ROGPT a read. */
static void npt_tables(void **test_state)
{
	(void)test_state;
	for (unsigned rights = 0; rights < 16; rights++) {
		for (unsigned rogpt = 0; rogpt < 2; rogpt++) {
			uint64_t page, code;
			struct model_outcome o;
			struct setting s;

			machine_new(&s.m, true, VEC_4LEVEL);
			s.pte = machine_map(&s.m, LA, 1, FRAME | 0x67);
			machine_npt(&s.m, VEC_4LEVEL);
			s.m.state.rogpt = rogpt;
			start(&s);
			page = s.pte & ~0xfffull;
			machine_set(&s.m, machine_leaf_of(&s.m, page), 8, page | npt_bits(rights));
			o = machine_access(&s.m, LA, VEC_X);
			if (rights & 1 && rights & 4 && (rights & 2 || rogpt)) {
				assert_int_equal(o.event.kind, UMBRA_EVENT_NONE);
			} else {
				code = UMBRA_NPF_TABLE | 4 | (rights & 1) | (rogpt ? 0 : 2);
				assert_int_equal(o.event.kind, UMBRA_EVENT_NPF);
				assert_int_equal(o.event.code, code);
				assert_int_equal(o.event.gpa.v >> 12, s.pte >> 12);
			}
			machine_free(&s.m);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"H-79 EPT, rights of a page", ept_pages},
		{"H-79 EPT, rights of a guest's table", ept_tables},
		{"H-79 EPT, loads of PDPTEs", ept_loads},
		{"H-95 NPT, rights of a page", npt_pages},
		{"H-95 NPT, rights of a guest's table", npt_tables},
	};

	return cmocka_run_group_tests_name("exits", tests, NULL, NULL);
}
