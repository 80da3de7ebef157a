/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - a vCPU's registers, its root, and the entry to the fault path.
 *
 *	set_regs -> check -> bind the mode -> let go of the root
 *	load     -> the root again, if need be; what hardware is to be given
 *	fault    -> struct fault -> fault_shadow | fault_tdp
 *
 * The memory window of the vCPU's space is a cache of one slot; it is dropped
 * when the slots have changed (vcpu_space), always inside a read-side section.
 */
#include "core/vcpu.h"
#include "core/fault.h"
#include "core/mem.h"
#include "core/roots.h"
#include "core/sync.h"

static bool find_memory(struct memory *memory, uint64_t address)
{
	struct umbra_vcpu *vcpu = memory->context;
	umbra_gpa page = {address & ~(uint64_t)(UMBRA_PAGE_SIZE - 1)};
	uint64_t size;
	bool writable;
	uint8_t *bytes = slots_memory(&vcpu->vm->mmu, page, &size, &writable);

	if (!bytes)
		return false;
	memory->base = page.v;
	memory->size = size;
	memory->bytes = bytes;
	memory->writable = writable;
	return true;
}

/* The vCPU's space, with a window that is not older than the slots. */
static const struct space *vcpu_space(struct umbra_vcpu *vcpu)
{
	uint64_t generation = __atomic_load_n(&vcpu->vm->mmu.slots.generation, __ATOMIC_ACQUIRE);

	if (vcpu->memory_generation != generation) {
		vcpu->memory_generation = generation;
		vcpu->memory.size = 0;
	}
	return &vcpu->space;
}

static void bind(struct umbra_vcpu *vcpu)
{
	const struct format *format;
	uint32_t flags;

	format = mode_of_regs(&vcpu->regs, &vcpu->cpu, &flags);
	if (format)
		mode_bind(&vcpu->mode, format, flags, vcpu->cpu.maxphyaddr);
	vcpu->space.mode = format ? &vcpu->mode : NULL;
	vcpu->space.root = vcpu->regs.cr3;
	vcpu->space.pdpte = vcpu->regs.pdpte;
	vcpu->space.pkru = vcpu->regs.pkru;
	vcpu->space.pkrs = vcpu->regs.pkrs;
}

/* A global flush reaches what other roots may have cached too. */
static void forget_previous(struct umbra_vcpu *vcpu)
{
	for (unsigned i = 0; i < VCPU_PREVIOUS; i++)
		roots_put(&vcpu->vm->mmu, &vcpu->previous[i]);
}

static unsigned vcpu_count(const struct umbra_vm *vm)
{
	unsigned count = 0;

	for (const struct umbra_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		count++;
	return count;
}

/* What a guest cannot have unless the CPU that runs it has it. */
#define VCPU_HOST_FEATURES                                                                   \
	(UMBRA_CPU_SMEP | UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_PKS | UMBRA_CPU_SHSTK | \
	 UMBRA_CPU_LA57 | UMBRA_CPU_LM | UMBRA_CPU_NX | UMBRA_CPU_PAE)

enum umbra_status umbra_vcpu_create(struct umbra_vm *vm, const struct umbra_cpu *cpu,
				    struct umbra_vcpu **vcpu)
{
	struct mmu *mmu = &vm->mmu;
	struct umbra_vcpu *new;
	enum umbra_status status;

	if (cpu->maxphyaddr < 32 || cpu->maxphyaddr > mmu->cpu.maxphyaddr)
		return UMBRA_EINVAL;
	if ((unsigned)cpu->vendor > UMBRA_VENDOR_AMD)
		return UMBRA_EINVAL;
	/* Hardware is to apply these for the guest. */
	if (cpu->features & ~mmu->cpu.features & VCPU_HOST_FEATURES)
		return UMBRA_EINVAL;
	if (vcpu_count(vm) >= UMBRA_VCPU_MAX)
		return UMBRA_ENOSPC;
	new = umbra_host_alloc(mmu->host, sizeof(*new));
	if (!new)
		return UMBRA_ENOMEM;
	new->vm = vm;
	new->cpu = *cpu;
	new->memory.find = find_memory;
	new->memory.context = new;
	new->space.memory = &new->memory;
	new->flush = true;
	/* Else the first fault or load would have to fail for lack of it. */
	status = reserve_fill(mmu, &new->reserve);
	if (status) {
		reserve_drain(mmu, &new->reserve);
		umbra_host_free(mmu->host, new, sizeof(*new));
		return status;
	}
	bind(new);
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	new->number = vm->vcpu_numbers++;
	new->next = vm->vcpus;
	vm->vcpus = new;
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	*vcpu = new;
	return UMBRA_OK;
}

void umbra_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu **link;
	struct mmu *mmu;

	if (!vcpu)
		return;
	mmu = &vcpu->vm->mmu;
	roots_put(mmu, &vcpu->root);
	forget_previous(vcpu);
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	for (link = &vcpu->vm->vcpus; *link != vcpu; link = &(*link)->next)
		;
	*link = vcpu->next;
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	reserve_drain(mmu, &vcpu->reserve);
	umbra_host_free(mmu->host, vcpu, sizeof(*vcpu));
}

/* CR4 bits that need a CPUID feature (H-13). */
static bool cr4_supported(const struct umbra_cpu *cpu, uint64_t cr4)
{
	static const struct {
		uint64_t bit;
		uint32_t feature;
	} needs[] = {
		{UMBRA_CR4_PSE, UMBRA_CPU_PSE},     {UMBRA_CR4_PAE, UMBRA_CPU_PAE},
		{UMBRA_CR4_PGE, UMBRA_CPU_PGE},     {UMBRA_CR4_LA57, UMBRA_CPU_LA57},
		{UMBRA_CR4_PCIDE, UMBRA_CPU_PCID},  {UMBRA_CR4_SMEP, UMBRA_CPU_SMEP},
		{UMBRA_CR4_SMAP, UMBRA_CPU_SMAP},   {UMBRA_CR4_PKE, UMBRA_CPU_PKU},
		{UMBRA_CR4_CET, UMBRA_CPU_SHSTK},   {UMBRA_CR4_PKS, UMBRA_CPU_PKS},
		{UMBRA_CR4_LAM_SUP, UMBRA_CPU_LAM},
	};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (cr4 & needs[i].bit && !(cpu->features & needs[i].feature))
			return false;
	return true;
}

/* H-10..H-14, as far as translation depends on it. */
static bool regs_legal(const struct umbra_cpu *cpu, const struct umbra_regs *regs)
{
	bool pg = regs->cr0 & UMBRA_CR0_PG, pae = regs->cr4 & UMBRA_CR4_PAE;
	bool lme = regs->efer & UMBRA_EFER_LME, lma = regs->efer & UMBRA_EFER_LMA;
	uint64_t cr3_legal = (1ull << cpu->maxphyaddr) - 1;

	if (regs->cr0 >> 32 || (pg && !(regs->cr0 & UMBRA_CR0_PE)))
		return false;
	if (regs->cr0 & UMBRA_CR0_NW && !(regs->cr0 & UMBRA_CR0_CD))
		return false;
	if (!cr4_supported(cpu, regs->cr4) || lma != (pg && lme) || (lma && !pae))
		return false;
	if (regs->cr4 & UMBRA_CR4_PCIDE && !lma)
		return false;
	if (regs->cr4 & UMBRA_CR4_CET && !(regs->cr0 & UMBRA_CR0_WP))
		return false;
	if ((lme || lma) && !(cpu->features & UMBRA_CPU_LM))
		return false;
	if (regs->efer & UMBRA_EFER_NXE && !(cpu->features & UMBRA_CPU_NX))
		return false;
	if (cpu->features & UMBRA_CPU_LAM)
		cr3_legal |= 3ull << 61;
	return !lma || !(regs->cr3 & ~cr3_legal);
}

/* The four PDPTEs at CR3, through the guest's memory. */
static enum umbra_status read_pdptes(struct umbra_vm *vm, struct umbra_regs *regs)
{
	umbra_gpa table = {regs->cr3 & 0xffffffe0};

	return umbra_vm_read(vm, table, regs->pdpte, sizeof(regs->pdpte));
}

static enum umbra_status take_pdptes(struct umbra_vcpu *vcpu, struct umbra_regs *regs, bool load)
{
	bool pae = regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE &&
		   !(regs->efer & UMBRA_EFER_LMA);
	enum umbra_status status;

	if (!pae || vcpu->cpu.features & UMBRA_CPU_PDPTE_MEMORY)
		return UMBRA_OK;
	if (load) {
		status = read_pdptes(vcpu->vm, regs);
		if (status)
			return status;
	}
	return mode_pdptes_load_ok(regs->pdpte, vcpu->cpu.maxphyaddr) ? UMBRA_OK : UMBRA_EINVAL;
}

/* Only what selects the mode makes a new one necessary: CR3 and keys do not. */
static bool same_mode(const struct umbra_regs *a, const struct umbra_regs *b)
{
	return a->cr0 == b->cr0 && a->cr4 == b->cr4 && a->efer == b->efer;
}

static void set_checked(struct umbra_vcpu *vcpu, const struct umbra_regs *regs)
{
	bool same = same_mode(&vcpu->regs, regs);

	vcpu->regs = *regs;
	if (!same) {
		bind(vcpu);
		return;
	}
	vcpu->space.root = regs->cr3;
	vcpu->space.pkru = regs->pkru;
	vcpu->space.pkrs = regs->pkrs;
}

/* H-112: changes after which nothing of any PCID may be used. */
static bool flushes_everything(const struct umbra_regs *a, const struct umbra_regs *b)
{
	const uint64_t cr4 = UMBRA_CR4_PGE | UMBRA_CR4_PCIDE | UMBRA_CR4_PAE | UMBRA_CR4_PSE |
			     UMBRA_CR4_SMEP | UMBRA_CR4_LA57;

	return (a->cr0 ^ b->cr0) & UMBRA_CR0_PG || (a->cr4 ^ b->cr4) & cr4 || a->efer != b->efer;
}

static uint16_t pcid_of(const struct umbra_regs *regs)
{
	return regs->cr4 & UMBRA_CR4_PCIDE ? regs->cr3 & 0xfff : 0;
}

/* Does @page, which is referenced, suit the vCPU's registers? */
static bool suits(const struct umbra_vcpu *vcpu, const struct page *page)
{
	return page && !page_is_obsolete(&vcpu->vm->mmu, page) &&
	       roots_suits(&vcpu->vm->mmu, page, &vcpu->space, &vcpu->regs);
}

/* Each root moves one place, until one suits or falls off the end. What the
 * current one still had to have synced is remembered with it. */
static void rotate_roots(struct umbra_vcpu *vcpu)
{
	struct edit edit = {.mmu = &vcpu->vm->mmu};
	struct page *pushed = vcpu->root;
	uint64_t now = pages_end_epoch(edit.mmu), pushed_epoch = vcpu->sync ? vcpu->since : now;
	uint16_t pushed_pcid = vcpu->pcid;

	vcpu->root = NULL;
	for (unsigned i = 0; i < VCPU_PREVIOUS && pushed; i++) {
		struct page *kept = vcpu->previous[i];
		uint16_t kept_pcid = vcpu->previous_pcid[i];
		uint64_t kept_epoch = vcpu->previous_epoch[i];

		vcpu->previous[i] = pushed;
		vcpu->previous_pcid[i] = pushed_pcid;
		vcpu->previous_epoch[i] = pushed_epoch;
		pushed = kept;
		pushed_pcid = kept_pcid;
		pushed_epoch = kept_epoch;
		if (suits(vcpu, kept)) {
			vcpu->root = kept;
			vcpu->pcid = kept_pcid;
			vcpu->since = kept_epoch;
			return;
		}
	}
	if (pushed)
		table_put_root(&edit, pushed);
	tlb_commit(edit.mmu, &edit.tlb);
}

/*
 * The registers have changed: find the root among those kept, or leave it to the
 * next load. What this vCPU could have cached for the root under the same PCID and
 * has not flushed since may be used on (H-115): all that the mirrors below had to
 * offer when it left the root. What they got since then, from other roots, PCIDs or
 * vCPUs, was never there for this PCID to cache (H-107) if it has changed in the
 * guest's table by now: such mirrors are synced first. Another PCID's is all.
 */
static void switch_root(struct umbra_vcpu *vcpu, bool flushes)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	uint16_t pcid = pcid_of(&vcpu->regs);

	vcpu->flush = true;
	if (vcpu->root && !suits(vcpu, vcpu->root)) {
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
		rotate_roots(vcpu);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
		vcpu->sync = true;
	}
	if (flushes || !vcpu->root || vcpu->pcid != pcid) {
		vcpu->sync = true;
		vcpu->since = 0;
	}
	vcpu->pcid = pcid;
	/* Other roots' translations under this PCID are gone as well (H-112). */
	for (unsigned i = 0; i < VCPU_PREVIOUS; i++)
		if (flushes && vcpu->previous_pcid[i] == pcid)
			vcpu->previous_epoch[i] = 0;
}

enum umbra_status umbra_vcpu_set_regs(struct umbra_vcpu *vcpu, const struct umbra_regs *regs,
				      bool load_pdptes)
{
	struct umbra_regs new = *regs;
	enum umbra_status status;
	bool everything;

	if (!regs_legal(&vcpu->cpu, regs))
		return UMBRA_EINVAL;
	status = take_pdptes(vcpu, &new, load_pdptes);
	if (status)
		return status;
	everything = flushes_everything(&vcpu->regs, &new);
	set_checked(vcpu, &new);
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return UMBRA_OK;
	switch_root(vcpu, true);
	if (everything)
		forget_previous(vcpu);
	return UMBRA_OK;
}

enum umbra_status umbra_vcpu_mov_cr3(struct umbra_vcpu *vcpu, uint64_t value)
{
	bool pcide = vcpu->regs.cr4 & UMBRA_CR4_PCIDE;
	bool keep = pcide && value >> 63;
	struct umbra_regs new = vcpu->regs;
	enum umbra_status status;

	new.cr3 = keep ? value & ~(1ull << 63) : value;
	if (!regs_legal(&vcpu->cpu, &new))
		return UMBRA_EINVAL;
	status = take_pdptes(vcpu, &new, true);
	if (status)
		return status;
	set_checked(vcpu, &new);
	if (vcpu->vm->mmu.paging == UMBRA_PAGING_SHADOW)
		switch_root(vcpu, !keep);
	return UMBRA_OK;
}

const struct umbra_regs *umbra_vcpu_regs(const struct umbra_vcpu *vcpu)
{
	return &vcpu->regs;
}

/* Roots that were zapped would only be in the way, of memory too. */
static void forget_obsolete(struct umbra_vcpu *vcpu)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	unsigned count = 0;

	for (unsigned i = 0; i < VCPU_PREVIOUS; i++) {
		struct page *kept = vcpu->previous[i];

		if (kept && page_is_obsolete(mmu, kept)) {
			roots_put(mmu, &vcpu->previous[i]);
			continue;
		}
		vcpu->previous[i] = NULL;
		vcpu->previous[count] = kept;
		vcpu->previous_epoch[count] = vcpu->previous_epoch[i];
		vcpu->previous_pcid[count++] = vcpu->previous_pcid[i];
	}
}

/* A root that is not invalid; a new one is flushed for, so that freeing needs no more. */
static enum umbra_status refresh_root(struct umbra_vcpu *vcpu)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	enum umbra_status status;

	if (vcpu->root && !page_is_obsolete(mmu, vcpu->root))
		return UMBRA_OK;
	status = roots_get(mmu, &vcpu->reserve, &vcpu->space, &vcpu->regs, &vcpu->root);
	if (status)
		return status;
	vcpu->flush = vcpu->sync = true;
	vcpu->since = 0;
	forget_obsolete(vcpu);
	return UMBRA_OK;
}

/* Bring the tables below the root up to date, a batch a time (S-25). */
static void sync_root(struct umbra_vcpu *vcpu)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	bool more = vcpu->root->unsync || vcpu->root->unsync_below;

	vcpu->sync = false;
	while (more) {
		struct edit edit = {.mmu = mmu};

		umbra_host_read_begin(mmu->host);
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
		more = sync_tree(&edit, vcpu->space.mode, vcpu->root, vcpu->since);
		tlb_commit(mmu, &edit.tlb);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
		umbra_host_read_end(mmu->host);
	}
}

enum umbra_status umbra_vcpu_load(struct umbra_vcpu *vcpu, struct umbra_root *root)
{
	enum umbra_status status = refresh_root(vcpu);

	if (status)
		return status;
	if (vcpu->sync)
		sync_root(vcpu);
	root->pointer = roots_pointer(&vcpu->vm->mmu, vcpu->root, &vcpu->regs);
	roots_registers(&vcpu->vm->mmu, &vcpu->regs, root);
	root->flush = vcpu->flush;
	vcpu->flush = false;
	return UMBRA_OK;
}

/* Access of a #PF or NPF; implicit supervisor accesses show only by the CPL (H-51). */
static unsigned access_of_code(const struct umbra_exit *exit)
{
	uint64_t code = exit->event.code;
	unsigned access = 0;

	if (code & UMBRA_PF_W)
		access |= UMBRA_ACCESS_WRITE;
	else if (code & UMBRA_PF_I)
		access |= UMBRA_ACCESS_FETCH;
	if (code & UMBRA_PF_U)
		access |= UMBRA_ACCESS_USER;
	else if (exit->cpl == 3)
		access |= UMBRA_ACCESS_IMPLICIT;
	if (code & UMBRA_PF_SS)
		access |= UMBRA_ACCESS_SHSTK;
	if (exit->ac)
		access |= UMBRA_ACCESS_AC;
	return access;
}

static unsigned access_of_qualification(uint64_t qualification)
{
	if (qualification & UMBRA_EPTQ_WRITE)
		return UMBRA_ACCESS_WRITE;
	return qualification & UMBRA_EPTQ_FETCH ? UMBRA_ACCESS_FETCH : UMBRA_ACCESS_READ;
}

/* Inputs of the fault from the exit; false: no such exit with this VM's paging. */
static bool take_exit(struct umbra_vcpu *vcpu, const struct umbra_exit *exit, struct fault *fault)
{
	switch (vcpu->vm->mmu.paging) {
	case UMBRA_PAGING_SHADOW:
		fault->access = access_of_code(exit);
		fault->gva = exit->event.gva;
		if (!(vcpu->regs.efer & UMBRA_EFER_LMA))
			fault->gva.v &= 0xffffffff;
		return exit->event.kind == UMBRA_EVENT_PF;
	case UMBRA_PAGING_EPT:
		fault->access = access_of_qualification(exit->event.code);
		fault->gpa = exit->event.gpa;
		return exit->event.kind == UMBRA_EVENT_EPT_VIOLATION;
	default:
		fault->access = access_of_code(exit) & (UMBRA_ACCESS_WRITE | UMBRA_ACCESS_FETCH);
		fault->gpa = exit->event.gpa;
		/* Umbra's tables have no reserved bits: not its fault. */
		return exit->event.kind == UMBRA_EVENT_NPF && !(exit->event.code & UMBRA_PF_RSVD);
	}
}

/* S-28: global pages of any PCID go too, so every root that is kept counts. */
static void sync_roots_at(struct umbra_vcpu *vcpu, umbra_gva gva)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	struct edit edit = {.mmu = mmu};
	bool unsync = vcpu->root && vcpu->root->unsync_below;

	for (unsigned i = 0; i < VCPU_PREVIOUS; i++)
		unsync |= vcpu->previous[i] && vcpu->previous[i]->unsync_below;
	if (!unsync)
		return;
	umbra_host_read_begin(mmu->host);
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	if (vcpu->root)
		sync_address(&edit, vcpu->space.mode, vcpu->root, gva);
	for (unsigned i = 0; i < VCPU_PREVIOUS; i++)
		if (vcpu->previous[i])
			sync_address(&edit, vcpu->space.mode, vcpu->previous[i], gva);
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	umbra_host_read_end(mmu->host);
}

enum umbra_status umbra_vcpu_fault(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
				   struct umbra_resolution *resolution)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	struct fault fault;
	enum umbra_status status;

	/* Not the whole struct: the walk in it is large and written before it is read. */
	fault.mmu = mmu;
	fault.gpa.v = 0;
	fault.reserve = &vcpu->reserve;
	fault.key = 0;
	fault.shstk = false;
	fault.level = 0;
	fault.event = (struct umbra_event){.kind = UMBRA_EVENT_NONE};
	if (!take_exit(vcpu, exit, &fault))
		return UMBRA_EINVAL;
	status = refresh_root(vcpu);
	if (status)
		return status;
	fault.root = vcpu->root;
	umbra_host_read_begin(mmu->host);
	fault.space = vcpu_space(vcpu);
	fault.generation = vcpu->memory_generation;
	status = mmu->paging == UMBRA_PAGING_SHADOW ? fault_shadow(&fault) : fault_tdp(&fault);
	umbra_host_read_end(mmu->host);
	if (status)
		return status;
	/* A #PF ends what was cached for its address (H-112). */
	if (fault.event.kind == UMBRA_EVENT_PF)
		sync_roots_at(vcpu, fault.event.gva);
	*resolution = (struct umbra_resolution){
		.verdict = fault.verdict,
		.event = fault.event,
		.gpa = fault.gpa,
		.access = fault.access,
		.level = fault.level,
	};
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_FAULT,
					    mmu->paging == UMBRA_PAGING_SHADOW ? fault.gva.v
									       : fault.gpa.v,
					    exit->event.code, fault.verdict, fault.gpa.v});
	return UMBRA_OK;
}

static bool canonical(const struct umbra_regs *regs, uint64_t gva)
{
	unsigned unused = regs->cr4 & UMBRA_CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

void umbra_vcpu_invlpg(struct umbra_vcpu *vcpu, umbra_gva gva)
{
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return;
	mmu_count(&vcpu->vm->mmu.stats.invlpg, 1);
	vcpu->flush = true;
	if (vcpu->regs.efer & UMBRA_EFER_LMA) {
		if (!canonical(&vcpu->regs, gva.v)) /* no effect (H-6) */
			return;
	} else {
		gva.v &= 0xffffffff;
	}
	sync_roots_at(vcpu, gva);
}

enum umbra_status umbra_vcpu_invpcid(struct umbra_vcpu *vcpu, unsigned type, uint64_t pcid,
				     umbra_gva gva)
{
	bool pcide = vcpu->regs.cr4 & UMBRA_CR4_PCIDE;

	/* H-132 */
	if (type > 3 || pcid >> 12 || (type < 2 && pcid && !pcide))
		return UMBRA_EINVAL;
	if (type == 0 && vcpu->regs.efer & UMBRA_EFER_LMA && !canonical(&vcpu->regs, gva.v))
		return UMBRA_EINVAL;
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return UMBRA_OK;
	if (type == 0) {
		umbra_vcpu_invlpg(vcpu, gva);
		return UMBRA_OK;
	}
	vcpu->flush = vcpu->sync = true;
	vcpu->since = 0;
	forget_previous(vcpu);
	return UMBRA_OK;
}

enum umbra_status umbra_vcpu_translate(struct umbra_vcpu *vcpu, umbra_gva gva, unsigned access,
				       bool set_ad, struct umbra_translation *translation)
{
	const unsigned both = UMBRA_ACCESS_WRITE | UMBRA_ACCESS_FETCH;
	struct walk walked;

	if (access & ~UMBRA_ACCESS_ALL || (access & both) == both)
		return UMBRA_EINVAL;
	if (access & UMBRA_ACCESS_IMPLICIT)
		access &= ~UMBRA_ACCESS_USER;
	*translation = (struct umbra_translation){.event = {.kind = UMBRA_EVENT_NONE}};
	if (!(vcpu->regs.efer & UMBRA_EFER_LMA)) {
		gva.v &= 0xffffffff;
	} else if (!canonical(&vcpu->regs, gva.v)) {
		translation->event.kind = UMBRA_EVENT_GP;
		return UMBRA_OK;
	}
	umbra_host_read_begin(vcpu->vm->mmu.host);
	walk(vcpu_space(vcpu), gva.v, access, set_ad ? 0 : WALK_NO_AD, &walked);
	umbra_host_read_end(vcpu->vm->mmu.host);
	if (walked.end != WALK_OK) {
		translation->event = walked.event;
		return UMBRA_OK;
	}
	translation->gpa.v = walked.final;
	translation->page_shift = walked.page_shift;
	translation->acc = walked.acc;
	return UMBRA_OK;
}
