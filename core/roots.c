/* SPDX-License-Identifier: MIT */
/*
 * roots.c - which root, and what registers make hardware use it.
 *
 *	paging   guest              root                       pointer
 *	EPT/NPT  any                one per VM: gfn 0, direct  EPTP / nCR3
 *	         L2 of L1's EPT     mirrors L1's top table     EPTP
 *	         L2 of L1's NPT     the same, or a portal to   nCR3
 *	                            it where the VM's tables
 *	                            have more levels
 *	shadow   no paging          PAE, direct, gfn 0         CR3
 *	         2-level            PAE, promoted, CR3's gfn   CR3
 *	         PAE                PAE, mirrors the PDPTEs    CR3
 *	         4-, 5-level        mirrors the top table      CR3
 *
 * All through pages_find / shadow_page: there are no special roots.
 */
#include "core/roots.h"

static struct page *get_locked(struct mmu *mmu, struct reserve *reserve, struct shadow_want *want,
			       bool *used)
{
	struct edit edit = {.mmu = mmu, .reserve = reserve};
	struct page *page = shadow_page(&edit, want, used);

	page->roots++;
	tlb_commit(mmu, &edit.tlb);
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_ROOT, page->hpa.v, want->role.word,
					    want->gfn.v, 0});
	return page;
}

static void put_locked(struct mmu *mmu, struct page *root)
{
	struct edit edit = {.mmu = mmu};

	if (!root)
		return;
	table_put_root(&edit, root);
	tlb_commit(mmu, &edit.tlb);
}

static struct shadow_want wanted(const struct mmu *mmu, const struct space *space)
{
	/* NPT tables have the levels that the host's paging gives all of them (P-1). */
	const unsigned levels = mmu->paging == UMBRA_PAGING_NPT ? mmu->levels : 0;
	struct shadow_want want = {.gfn = {0}};

	if (!space) {
		want.role = roles_root_tdp(mmu->levels, !mmu->kind.ad, mmu->direct_acc);
		return want;
	}
	want.role = roles_root(space->mode, space->root, levels);
	if (!space->mode)
		return want;
	want.gfn.v = (space->root & space->mode->format->root_address) >> UMBRA_PAGE_SHIFT;
	if (want.role.registers)
		want.registers = space->pdpte;
	return want;
}

enum umbra_status roots_get(struct mmu *mmu, struct reserve *reserve, const struct space *space,
			    struct page **root)
{
	struct shadow_want want = wanted(mmu, space);
	unsigned flags = want.role.pae_root ? UMBRA_PAGE_BELOW_4G : 0;
	enum umbra_status status = table_make_room(mmu);
	struct page *old;
	bool used;

	if (!status)
		status = reserve_fill(mmu, reserve);
	if (status)
		return status;
	if (!umbra_host_page_alloc(mmu->host, flags, &want.table))
		return UMBRA_ENOMEM;
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	old = *root;
	*root = get_locked(mmu, reserve, &want, &used);
	put_locked(mmu, old);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	if (!used)
		umbra_host_page_free(mmu->host, want.table);
	return UMBRA_OK;
}

bool roots_suits(const struct mmu *mmu, const struct page *page, const struct space *space)
{
	struct shadow_want want = wanted(mmu, space);
	const uint64_t *words;

	if (page->gfn != want.gfn.v || page->role.word != want.role.word)
		return false;
	if (!want.registers)
		return true;
	words = page_words((struct mmu *)mmu, page);
	for (unsigned i = 0; i < 4; i++)
		if (words[i] != want.registers[i])
			return false;
	return true;
}

uint64_t roots_reach(const struct mmu *mmu, const struct page *page)
{
	if (mmu->paging == UMBRA_PAGING_SHADOW || mmu->bug_truncate_gpa)
		return ~0ull;
	return roles_reach(page->role.level);
}

void roots_put(struct mmu *mmu, struct page **root)
{
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	put_locked(mmu, *root);
	*root = NULL;
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
}

/* CR3.LAM_U57 and LAM_U48 (H-7): hardware strips the guest's pointers, not Umbra. */
#define CR3_LAM (3ull << 61)

static uint64_t pointer_of(const struct mmu *mmu, const struct page *root,
			   const struct umbra_regs *regs)
{
	if (mmu->paging == UMBRA_PAGING_SHADOW && regs->efer & UMBRA_EFER_LMA)
		return root->hpa.v | (regs->cr3 & CR3_LAM);
	if (mmu->paging != UMBRA_PAGING_EPT)
		return root->hpa.v;
	/* E-2: write-back, walk length - 1, A/D (for L2: as L1 has it, R-14). */
	return root->hpa.v | 6 | (root->role.level - 1ull) << 3 |
	       (root->role.ad_disabled ? 0 : 1ull << 6);
}

/*
 * Shadow tables are PAE or long-mode tables with NX, walked with WP=1 (G-49),
 * whatever the guest believes. What hardware can check by the guest's own U bits
 * and keys - SMEP, SMAP, PKU, PKS, shadow stacks - it does, except without
 * paging, where nothing is checked. CET stays even then: shadow stacks and branch
 * tracking work without paging, and the faults of their accesses are emulated.
 * PCIDs are not used: flushes are by tag.
 */
static void make_shadow_registers(struct umbra_regs *hw, uint64_t cr3)
{
	const uint64_t checks = UMBRA_CR4_SMEP | UMBRA_CR4_SMAP | UMBRA_CR4_PKE | UMBRA_CR4_PKS;
	bool paging = hw->cr0 & UMBRA_CR0_PG;
	bool long_mode = paging && hw->efer & UMBRA_EFER_LMA;

	hw->cr0 |= UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP;
	hw->cr3 = cr3;
	hw->cr4 = (hw->cr4 & ~UMBRA_CR4_PCIDE) | UMBRA_CR4_PAE;
	if (!paging)
		hw->cr4 &= ~checks;
	if (!long_mode) {
		hw->cr4 &= ~UMBRA_CR4_LA57;
		hw->efer &= ~(UMBRA_EFER_LMA | UMBRA_EFER_LME);
	}
	hw->efer |= UMBRA_EFER_NXE;
	for (unsigned i = 0; i < 4; i++)
		hw->pdpte[i] = 0;
}

/* The host state at VMRUN that gives nested tables of @levels their format (H-91). */
static struct umbra_regs npt_host(unsigned levels)
{
	struct umbra_regs host = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_NXE,
	};

	if (levels > 3)
		host.efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (levels > 4)
		host.cr4 |= UMBRA_CR4_LA57;
	return host;
}

void roots_describe(const struct mmu *mmu, const struct page *page, const struct umbra_regs *regs,
		    struct umbra_root *root)
{
	root->pointer = pointer_of(mmu, page, regs);
	root->regs = *regs;
	root->host = (struct umbra_regs){0};
	root->exec_by_mode =
		page->role.guest ? page->role.flags & (MODE_MBEC | MODE_GMET) : mmu->exec_by_mode;
	if (mmu->paging == UMBRA_PAGING_SHADOW)
		make_shadow_registers(&root->regs, root->pointer);
	else if (mmu->paging == UMBRA_PAGING_NPT)
		root->host = npt_host(mmu->levels);
}
