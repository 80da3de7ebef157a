/* SPDX-License-Identifier: MIT */
/*
 * rights.c - what the guest's own tables allow, and how they refuse.
 *
 * Input are attributes of a page, from a walk or from a cache; the decision is
 * made with the control bits of this moment (H-15, H-104), so that a change of
 * WP, SMAP or of a key register acts on cached pages at once. Also here: the
 * order of the checks inside one entry, which all formats share.
 */
#include "cpu.h"

enum entry_class entry_classify(struct xlate *x, const struct paging *p, int level, uint64_t e)
{
	const struct paging_level *l = &p->level[level];
	bool leaf = l->leaf == LEAF_ALWAYS || (l->leaf == LEAF_PS && e & PTE_PS);
	uint64_t bad = e & (leaf ? l->rsvd_leaf : l->rsvd_table);

	if (!(e & p->present))
		return ENTRY_ABSENT;
	if (bad & l->doubt_drop && !(bad & ~l->doubt_drop) && ask(x, UNSURE_RSVD_DROP))
		bad = 0;
	if (!leaf && e & l->doubt_add && !bad && ask(x, UNSURE_RSVD_ADD))
		bad = e;
	if (p->ept && p->illegal_rights >> ((e & 7) | (e & EPT_XU ? 8 : 0)) & 1)
		bad = e;
	if (p->ept && leaf && p->illegal_type >> (e >> 3 & 7) & 1)
		bad = e;
	if (p->ept && leaf && e & p->leaf_needs_r && !(e & EPT_R))
		bad = e;
	if (bad)
		return ENTRY_RESERVED;
	return leaf ? ENTRY_LEAF : ENTRY_TABLE;
}

uint64_t rights_pf_code(struct xlate *x)
{
	const struct model_cpu *cpu = x->cpu;
	uint64_t code = 0;

	if (x->write)
		code |= UMBRA_PF_W;
	if (x->user)
		code |= UMBRA_PF_U;
	if (x->ss)
		code |= UMBRA_PF_SS;
	if (x->fetch && (cpu->smep || cpu->fetch_bit)) {
		/* AMD's text promises the bit only for NXE and PAE. */
		bool doubtful = cpu->config.cpu.vendor == UMBRA_VENDOR_AMD && !cpu->fetch_bit;

		if (!doubtful || !ask(x, UNSURE_ID))
			code |= UMBRA_PF_I;
	}
	return code;
}

/* H-53: does @keys deny this access to a page with @key? */
static bool key_denies(const struct xlate *x, uint32_t keys, unsigned key)
{
	bool ad = keys >> (2 * key) & 1, wd = keys >> (2 * key + 1) & 1;

	return ad || (wd && x->write && (x->user || x->cpu->wp));
}

uint64_t rights_denied(struct xlate *x, const struct page_rights *r)
{
	const struct model_cpu *cpu = x->cpu;
	bool u = r->all & PTE_U, w = r->upper_w && r->leaf_w, nx = !(r->all & PTE_XD) && cpu->nxe;
	bool deny, pk = false;

	if (x->ss) {
		deny = !(u == x->user && r->upper_w && !r->leaf_w && r->dirty);
	} else if (x->fetch) {
		deny = x->user ? !u : u && cpu->smep;
		deny |= nx;
	} else {
		bool implicit = x->access & UMBRA_ACCESS_IMPLICIT, ac = x->access & UMBRA_ACCESS_AC;

		deny = x->user ? !u : u && cpu->smap && (implicit || !ac);
		deny |= x->write && !w && (x->user || cpu->wp);
	}
	if (!x->fetch && u && cpu->pke)
		pk = key_denies(x, cpu->state.regs.pkru, r->key);
	if (!x->fetch && !u && cpu->pks)
		pk = key_denies(x, cpu->state.regs.pkrs, r->key);
	if (!deny && !pk)
		return 0;
	if (pk && x->user && !u && ask(x, UNSURE_PK))
		pk = false;
	return rights_pf_code(x) | UMBRA_PF_P | (pk ? UMBRA_PF_PK : 0);
}
