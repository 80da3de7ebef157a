/* SPDX-License-Identifier: MIT */
/*
 * format.c - the paging formats as data, and their binding to one CPU.
 *
 * A shape is what never changes about a format: levels, index fields, entry
 * size, where a leaf may be. Binding adds what depends on MAXPHYADDR, NXE, PSE
 * and on features: reserved masks, address masks. The result is a struct
 * paging, the only thing that a walk looks at.
 *
 * Rights are positive bits after `entry ^ inverted`: a set bit grants. A walk
 * ANDs them over the levels (H-50, H-52), for every format alike.
 */
#include "format.h"

#include <string.h>

struct shape_level {
	uint8_t shift, index_bits, leaf;
};

struct shape {
	uint8_t top, entry_size, address_bits;
	struct shape_level level[UMBRA_LEVEL_MAX + 1];
};

static const struct shape shape_32bit = {
	/* H-26 */
	.top = 2,
	.entry_size = 4,
	.address_bits = 32,
	.level = {[1] = {12, 10, LEAF_ALWAYS}, [2] = {22, 10, LEAF_PS}},
};
static const struct shape shape_pae = {
	/* H-29 */
	.top = 3,
	.entry_size = 8,
	.address_bits = 32,
	.level = {[1] = {12, 9, LEAF_ALWAYS}, [2] = {21, 9, LEAF_PS}, [3] = {30, 2, LEAF_NEVER}},
};
static const struct shape shape_4level = {
	/* H-30, H-71 */
	.top = 4,
	.entry_size = 8,
	.address_bits = 48,
	.level = {[1] = {12, 9, LEAF_ALWAYS},
		  [2] = {21, 9, LEAF_PS},
		  [3] = {30, 9, LEAF_PS},
		  [4] = {39, 9, LEAF_NEVER}},
};
static const struct shape shape_5level = {
	.top = 5,
	.entry_size = 8,
	.address_bits = 57,
	.level = {[1] = {12, 9, LEAF_ALWAYS},
		  [2] = {21, 9, LEAF_PS},
		  [3] = {30, 9, LEAF_PS},
		  [4] = {39, 9, LEAF_NEVER},
		  [5] = {48, 9, LEAF_NEVER}},
};

/* Masks that follow from the shape and from the width of physical addresses. */
static void bind_shape(struct paging *p, const struct shape *shape, int width)
{
	memset(p, 0, sizeof(*p));
	p->top = shape->top;
	p->entry_size = shape->entry_size;
	p->address_bits = shape->address_bits;
	for (int i = 1; i <= p->top; i++) {
		const struct shape_level *s = &shape->level[i];
		struct paging_level *l = &p->level[i];

		l->shift = s->shift;
		l->leaf = s->leaf;
		l->index_mask = (uint16_t)low_bits(s->index_bits);
		l->table_mask = bits(width - 1, 12);
		l->leaf_mask = bits(width - 1, s->shift);
	}
}

static void bind_32bit(struct paging *p, const struct umbra_cpu *cpu, const struct umbra_regs *regs)
{
	struct paging_level *pde = &p->level[2], *pte = &p->level[1];
	bool pse36 = cpu->features & UMBRA_CPU_PSE36;
	bool pat = cpu->features & UMBRA_CPU_PAT || cpu->vendor != UMBRA_VENDOR_INTEL;
	int width = 32; /* M' of H-27 */

	bind_shape(p, &shape_32bit, 32);
	p->root = regs->cr3 & 0xfffff000;
	if (pse36)
		width = cpu->maxphyaddr < 40 ? cpu->maxphyaddr : 40;
	if (!(regs->cr4 & UMBRA_CR4_PSE))
		pde->leaf = LEAF_NEVER; /* PS ignored, nothing reserved (H-28) */
	pde->high_mask = bits(width - 20, 13);
	pde->high_shift = 19;
	pde->rsvd_leaf = bits(21, width - 19) | (pat ? 0 : 1ull << 12);
	/* AMD documents the 40-bit form whatever MAXPHYADDR (U-2). */
	if (cpu->vendor == UMBRA_VENDOR_AMD && pse36) {
		pde->doubt_drop = bits(20, width - 19);
		pde->high_mask = bits(20, 13); /* the rest is reserved anyway */
	}
	pte->rsvd_leaf = pat ? 0 : 1ull << 7;
}

static void bind_pae(struct paging *p, const struct umbra_cpu *cpu, const struct umbra_regs *regs,
		     bool pdpte_memory)
{
	uint64_t rsvd = bits(62, cpu->maxphyaddr);

	bind_shape(p, &shape_pae, cpu->maxphyaddr);
	p->root = regs->cr3 & 0xffffffe0;
	if (!(regs->efer & UMBRA_EFER_NXE))
		rsvd |= PTE_XD;
	p->level[1].rsvd_leaf = p->level[2].rsvd_table = rsvd;
	p->level[2].rsvd_leaf = rsvd | bits(20, 13);
	p->pdpte_rsvd = bits(63, cpu->maxphyaddr) | bits(8, 5) | bits(2, 1);
	p->pdpte_registers = !pdpte_memory;
	p->level[3].rsvd_table = p->pdpte_rsvd;
	p->level[3].granted = ~0ull;
}

static void bind_long(struct paging *p, const struct umbra_cpu *cpu, const struct umbra_regs *regs)
{
	uint64_t rsvd = bits(51, cpu->maxphyaddr);
	bool bit8 = cpu->features & UMBRA_CPU_BIT8_MBZ;

	bind_shape(p, regs->cr4 & UMBRA_CR4_LA57 ? &shape_5level : &shape_4level, cpu->maxphyaddr);
	p->root = regs->cr3 & p->level[4].table_mask;
	if (!(regs->efer & UMBRA_EFER_NXE))
		rsvd |= PTE_XD;
	for (int i = 1; i <= p->top; i++)
		p->level[i].rsvd_table = p->level[i].rsvd_leaf = rsvd;
	for (int i = 4; i <= p->top; i++) {
		p->level[i].rsvd_table |= PTE_PS | (bit8 ? PTE_G : 0);
		p->level[i].doubt_drop = bit8 ? PTE_G : 0; /* U-1 */
	}
	p->level[3].doubt_add = bit8 ? PTE_G : 0; /* U-1; tables only */
	p->level[3].rsvd_leaf |= bits(29, 13);
	p->level[2].rsvd_leaf |= bits(20, 13);
	if (!(cpu->features & UMBRA_CPU_1G)) {
		p->level[3].leaf = LEAF_NEVER;
		p->level[3].rsvd_table |= PTE_PS;
	}
}

void paging_bind(struct paging *p, const struct umbra_cpu *cpu, const struct umbra_regs *regs,
		 bool pdpte_memory)
{
	if (!(regs->cr0 & UMBRA_CR0_PG)) {
		memset(p, 0, sizeof(*p));
		return;
	}
	if (!(regs->cr4 & UMBRA_CR4_PAE))
		bind_32bit(p, cpu, regs);
	else if (!(regs->efer & (UMBRA_EFER_LME | UMBRA_EFER_LMA)))
		bind_pae(p, cpu, regs, pdpte_memory);
	else
		bind_long(p, cpu, regs);
	p->present = PTE_P;
	p->dirty = PTE_D;
	p->inverted = p->entry_size == 8 ? PTE_XD : 0;
	for (int i = 1; i <= p->top; i++)
		p->level[i].accessed = p->level[i].granted ? 0 : PTE_A;
	/* A 4-byte entry has no bit 63; execution is never denied by it. */
	if (p->entry_size == 4)
		p->level[1].granted = p->level[2].granted = PTE_XD;
}

void paging_bind_ept(struct paging *p, const struct umbra_cpu *cpu, uint64_t eptp, bool mbec,
		     bool paging_write)
{
	uint64_t rsvd = bits(51, cpu->maxphyaddr);
	bool exec_only = cpu->features & UMBRA_CPU_EPT_EXECONLY;

	bind_shape(p, (eptp >> 3 & 7) == 4 ? &shape_5level : &shape_4level, cpu->maxphyaddr);
	p->ept = true;
	p->root = eptp & p->level[1].table_mask;
	for (int i = 1; i <= p->top; i++) {
		p->level[i].rsvd_table = rsvd | bits(6, 3);
		p->level[i].rsvd_leaf = rsvd | (i > 1 ? bits(p->level[i].shift - 1, 12) : 0);
		p->level[i].accessed = eptp & EPTP_AD ? EPT_A : 0;
	}
	p->dirty = eptp & EPTP_AD ? EPT_D : 0;
	for (int i = 4; i <= p->top; i++)
		p->level[i].rsvd_table |= PTE_PS;
	for (int i = 2; i <= 3; i++) {
		uint32_t cap = i == 2 ? UMBRA_CPU_EPT_2M : UMBRA_CPU_EPT_1G;

		if (!(cpu->features & cap)) {
			p->level[i].leaf = LEAF_NEVER;
			p->level[i].rsvd_table |= PTE_PS;
		}
	}
	/* H-72, H-73 a and b. Index: R | W << 1 | X << 2 | XU << 3. */
	p->present = EPT_R | EPT_W | EPT_X | (mbec ? EPT_XU : 0);
	for (unsigned i = 0; i < 16; i++) {
		bool r = i & 1, w = i & 2, exec = i & 4 || (mbec && i & 8);

		if (!r && (w || (exec && !exec_only)))
			p->illegal_rights |= (uint16_t)(1u << i);
	}
	p->illegal_type = 1u << 2 | 1u << 3 | 1u << 7; /* H-73 d */
	p->leaf_needs_r = paging_write ? EPT_PWA : 0; /* H-73 e */
}
