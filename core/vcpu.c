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

static bool find_memory(struct memory *memory, uint64_t address)
{
	struct umbra_vcpu *vcpu = memory->context;
	umbra_gpa page = {address & ~(uint64_t)(UMBRA_PAGE_SIZE - 1)};
	uint64_t size;
	bool writable;
	uint8_t *bytes = vm_memory(&vcpu->vm->mmu, page, &size, &writable);

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
	new->number = vm->vcpu_count++;
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

enum umbra_status umbra_vcpu_set_regs(struct umbra_vcpu *vcpu, const struct umbra_regs *regs,
				      bool load_pdptes)
{
	struct umbra_regs new = *regs;
	enum umbra_status status;

	if (!regs_legal(&vcpu->cpu, regs))
		return UMBRA_EINVAL;
	status = take_pdptes(vcpu, &new, load_pdptes);
	if (status)
		return status;
	vcpu->regs = new;
	bind(vcpu);
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return UMBRA_OK;
	/* Mirrors of other registers wait in the hash. */
	roots_put(&vcpu->vm->mmu, &vcpu->root);
	vcpu->flush = true;
	return UMBRA_OK;
}

const struct umbra_regs *umbra_vcpu_regs(const struct umbra_vcpu *vcpu)
{
	return &vcpu->regs;
}

/* A root that is not invalid; a new one is flushed for, so that freeing needs no more. */
static enum umbra_status refresh_root(struct umbra_vcpu *vcpu)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	enum umbra_status status;

	if (vcpu->root && !vcpu->root->role.invalid)
		return UMBRA_OK;
	status = roots_get(mmu, &vcpu->reserve, &vcpu->space, &vcpu->regs, &vcpu->root);
	if (status)
		return status;
	vcpu->flush = true;
	return UMBRA_OK;
}

enum umbra_status umbra_vcpu_load(struct umbra_vcpu *vcpu, struct umbra_root *root)
{
	enum umbra_status status = refresh_root(vcpu);

	if (status)
		return status;
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

void umbra_vcpu_invlpg(struct umbra_vcpu *vcpu, umbra_gva gva)
{
	(void)gva;
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return;
	/* Entries are true at all times (I-11): only the hardware has to forget. */
	mmu_count(&vcpu->vm->mmu.stats.invlpg, 1);
	vcpu->flush = true;
}

static bool canonical(const struct umbra_regs *regs, uint64_t gva)
{
	unsigned unused = regs->cr4 & UMBRA_CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
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
