/* SPDX-License-Identifier: MIT */
/*
 * access.c - one data access or fetch, from the instruction's point of view.
 *
 * Canonical checks and LAM (H-3, H-4, H-7) come before any walk. Then the access
 * is cut at page boundaries; each piece is translated by itself, with whatever
 * cached fact it finds (H-111, H-125). Bytes move only after all pieces are
 * translated, so a fault leaves no data behind.
 */
#include "access.h"

#include <string.h>

/* H-7: ignored upper bits of a data address are replaced by the top address bit. */
static uint64_t lam_mask(const struct model_cpu *cpu, uint64_t la)
{
	const struct umbra_regs *r = &cpu->state.regs;
	unsigned width = 0; /* of what remains; 0: nothing is ignored */

	if (la >> 63) {
		if (r->cr4 & UMBRA_CR4_LAM_SUP)
			width = r->cr4 & UMBRA_CR4_LA57 ? 57 : 48;
	} else if (r->cr3 & CR3_LAM_U57) {
		width = 57;
	} else if (r->cr3 & CR3_LAM_U48) {
		width = 48;
	}
	if (!width || (la >> 63) != (la >> (width - 1) & 1))
		return la;
	return (uint64_t)((int64_t)(la << (64 - width)) >> (64 - width));
}

static bool is_canonical(const struct model_cpu *cpu, uint64_t la)
{
	int64_t top = (int64_t)la >> (cpu->linear_bits - 1);

	return top == 0 || top == -1;
}

unsigned access_split(const struct model_cpu *cpu, const struct model_access *a,
		      struct access_piece *pieces)
{
	uint64_t la = a->gva.v, next;
	unsigned first;

	if (cpu->linear_bits && !(a->access & UMBRA_ACCESS_FETCH))
		la = lam_mask(cpu, la);
	if (!cpu->linear_bits)
		la &= 0xffffffff;
	first = UMBRA_PAGE_SIZE - (la & (UMBRA_PAGE_SIZE - 1));
	pieces[0] = (struct access_piece){.la = la, .size = a->size};
	pieces[0].canonical = !cpu->linear_bits || is_canonical(cpu, la);
	if (a->size <= first)
		return 1;
	pieces[0].size = (uint8_t)first;
	next = la + first;
	if (!cpu->linear_bits)
		next &= 0xffffffff;
	pieces[1] = (struct access_piece){.la = next, .size = (uint8_t)(a->size - first)};
	pieces[1].canonical = !cpu->linear_bits || is_canonical(cpu, next);
	return 2;
}

static void move_data(struct model_cpu *cpu, const struct model_access *a,
		      const struct model_outcome *o)
{
	uint8_t *data = a->data;

	for (unsigned i = 0; data && i < o->piece_count; i++) {
		const struct model_piece *p = &o->piece[i];

		if (a->access & UMBRA_ACCESS_WRITE)
			mem_write(cpu->mem, &cpu->hint, p->hpa.v, data, p->size);
		else
			mem_read(cpu->mem, &cpu->hint, p->hpa.v, data, p->size);
		data += p->size;
	}
}

void model_access(struct model_cpu *cpu, const struct model_access *access,
		  struct model_outcome *outcome)
{
	struct access_piece pieces[2];
	unsigned n = access_split(cpu, access, pieces);

	cpu->stats.accesses++;
	outcome->code_defined = ~0ull;
	outcome->piece_count = 0;
	if (!pieces[0].canonical || (n == 2 && !pieces[1].canonical)) {
		outcome->event = access_non_canonical(access);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		struct result r;

		translate(cpu, pieces[i].la, access->access, &r);
		ve_deliver(cpu, access->delivering, &r);
		outcome->event = r.event;
		if (r.event.kind != UMBRA_EVENT_NONE) {
			outcome->code_defined = r.code_defined;
			outcome->piece_count = 0;
			return;
		}
		outcome->piece[i] = (struct model_piece){{r.gpa}, {r.hpa}, pieces[i].size};
		outcome->piece_count = i + 1;
	}
	move_data(cpu, access, outcome);
}
