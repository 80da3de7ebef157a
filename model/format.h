/* SPDX-License-Identifier: MIT */
/*
 * format.h - a paging format bound to a CPU and its registers.
 *
 * Everything that depends on the vendor, the width of addresses or on which
 * features exist is folded into masks here, once per change of control state,
 * so that a walk only looks at masks.
 */
#ifndef MODEL_FORMAT_H
#define MODEL_FORMAT_H

#include "umbra/types.h"

/* Entry bits of x86 formats (H-25). */
#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_U (1ull << 2)
#define PTE_A (1ull << 5)
#define PTE_D (1ull << 6)
#define PTE_PS (1ull << 7)
#define PTE_G (1ull << 8)
#define PTE_XD (1ull << 63)
/* Entry bits of EPT (H-71). */
#define EPT_R (1ull << 0)
#define EPT_W (1ull << 1)
#define EPT_X (1ull << 2)
#define EPT_A (1ull << 8)
#define EPT_D (1ull << 9)
#define EPT_XU (1ull << 10)
#define EPT_PWA (1ull << 58)
#define EPT_SSS (1ull << 60)
#define EPT_SVE (1ull << 63)
/* EPTP (H-70). */
#define EPTP_AD (1ull << 6)
#define EPTP_SSS (1ull << 7)
/* Bits that types.h does not name. */
#define CR3_LAM_U57 (1ull << 61)
#define CR3_LAM_U48 (1ull << 62)
#define CR3_NOFLUSH (1ull << 63)
#define EFER_TCE (1ull << 15)

enum leaf_rule {
	LEAF_NEVER, /* bit 7 has no say here (it may be reserved) */
	LEAF_PS, /* bit 7 decides */
	LEAF_ALWAYS,
};

struct paging_level {
	uint8_t shift; /* lowest address bit of the index = size of a leaf */
	uint8_t leaf; /* enum leaf_rule */
	uint16_t index_mask;
	uint64_t table_mask, leaf_mask; /* physical address in the entry */
	/* PSE-36: entry bits that are address bits 39:32, and by how much to shift them. */
	uint64_t high_mask;
	uint8_t high_shift;
	uint64_t rsvd_table, rsvd_leaf;
	/* Reserved by the sheet, but maybe not checked; and the other way round (U-1, U-2). */
	uint64_t doubt_drop, doubt_add;
	/* Rights bits that count as granted: PDPTEs of PAE have none (H-20). */
	uint64_t granted;
	uint64_t accessed; /* A bit, or 0 when there is none */
};

struct paging {
	uint8_t top; /* level of the root table; 0: no paging */
	uint8_t entry_size;
	uint8_t address_bits; /* width of the address that is translated */
	bool pdpte_registers; /* level 3 comes from registers (H-21) */
	bool ept;
	uint64_t root; /* address of the root table */
	uint64_t present; /* any of these set: present */
	uint64_t inverted; /* bits where 1 takes a right away */
	uint64_t dirty;
	uint64_t pdpte_rsvd; /* what a load of PDPTE registers checks (H-20) */
	/* EPT misconfigurations as sets of values (H-73): of XU:X:W:R, of the memory type. */
	uint16_t illegal_rights;
	uint8_t illegal_type;
	uint64_t leaf_needs_r; /* any of these set in a leaf without R is one too */
	struct paging_level level[UMBRA_LEVEL_MAX + 1];
};

/** paging_bind - tables of a guest, of native software, or of an NPT host (H-2, H-91). */
void paging_bind(struct paging *p, const struct umbra_cpu *cpu, const struct umbra_regs *regs,
		 bool pdpte_memory);
/** paging_bind_ept - EPT by @eptp; @mbec: mode-based execute control; @paging_write:
 * paging-write control. */
void paging_bind_ept(struct paging *p, const struct umbra_cpu *cpu, uint64_t eptp, bool mbec,
		     bool paging_write);

static inline uint64_t paging_leaf_address(const struct paging_level *l, uint64_t e)
{
	return (e & l->leaf_mask) | (e & l->high_mask) << l->high_shift;
}

static inline uint64_t low_bits(unsigned count)
{
	return count >= 64 ? ~0ull : (1ull << count) - 1;
}

/** bits(high, low) - mask of the bits high..low, 0 when high < low. */
static inline uint64_t bits(int high, int low)
{
	return high < low ? 0 : low_bits((unsigned)high + 1) & ~low_bits((unsigned)low);
}

#endif
