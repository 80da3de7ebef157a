/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - a vCPU's registers, its root, and the entry to the fault path.
 *
 *	set_regs -> check -> bind the mode -> let go of the root
 *	load     -> the root again, if need be; what hardware is to be given
 *	fault    -> struct fault -> fault_shadow | fault_tdp
 *
 * The memory window of the vCPU's space is a cache of one slot; it is dropped
 * when the slots have changed (vcpu_renew_window), always inside a read-side section.
 */
#include "core/vcpu.h"
#include "core/dirty.h"
#include "core/fault.h"
#include "core/mem.h"
#include "core/narrow.h"
#include "core/nested.h"
#include "core/shadow.h"
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

/* A or D of a software walk: the page is dirty (G-37). And a store that no write protection
 * sees. Hardware's own goes through tables of ours; there a mirrored page is write protected,
 * or its mirrors are known to lag. */
static void was_marked(struct memory *memory, uint64_t address, const struct format *format)
{
	struct umbra_vm *vm = ((struct umbra_vcpu *)memory->context)->vm;
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};

	dirty_mark_gfn(mmu, (umbra_gfn){address >> UMBRA_PAGE_SHIFT});
	if (!(__atomic_load_n(&mmu->mirrored_marks, __ATOMIC_SEQ_CST) &
	      ~(1u << format_marks(format))))
		return;
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	shadow_marked(&edit, (umbra_gpa){address}, format);
	tlb_commit(mmu, &edit.tlb);
	if (edit.reload)
		vm_reload(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
}

void vcpu_renew_window(struct umbra_vcpu *vcpu)
{
	uint64_t generation = __atomic_load_n(&vcpu->vm->mmu.slots.generation, __ATOMIC_ACQUIRE);

	if (vcpu->memory_generation != generation) {
		vcpu->memory_generation = generation;
		vcpu->memory.size = 0;
	}
}

static void bind(struct umbra_vcpu *vcpu, struct vcpu_guest *guest)
{
	const struct format *format;
	uint32_t flags;

	format = mode_of_regs(&guest->regs, &vcpu->cpu, &flags);
	if (format)
		mode_bind(&guest->mode, format, flags, vcpu->cpu.maxphyaddr);
	guest->space.mode = format ? &guest->mode : NULL;
	guest->space.root = guest->regs.cr3;
	guest->space.pdpte = guest->regs.pdpte;
	guest->space.pkru = guest->regs.pkru;
	guest->space.pkrs = guest->regs.pkrs;
}

static unsigned vcpu_count(const struct umbra_vm *vm)
{
	unsigned count = 0;

	for (const struct umbra_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		count++;
	return count;
}

/* What a guest cannot have unless the CPU that runs it has it; large pages of L1's EPT can
 * be had without. */
#define VCPU_HOST_FEATURES                                                                   \
	(UMBRA_CPU_SMEP | UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_PKS | UMBRA_CPU_SHSTK | \
	 UMBRA_CPU_LA57 | UMBRA_CPU_LM | UMBRA_CPU_NX | UMBRA_CPU_PAE)
#define VCPU_HOST_NESTED                                                    \
	(UMBRA_CPU_EPT_EXECONLY | UMBRA_CPU_EPT_LEVEL5 | UMBRA_CPU_EPT_AD | \
	 UMBRA_CPU_EPT_ADVINFO | UMBRA_CPU_MBEC | UMBRA_CPU_GMET | UMBRA_CPU_ROGPT)

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
	if (mmu->paging != UMBRA_PAGING_SHADOW &&
	    cpu->features & ~mmu->cpu.features & VCPU_HOST_NESTED)
		return UMBRA_EINVAL;
	if (vcpu_count(vm) >= UMBRA_VCPU_MAX)
		return UMBRA_ENOSPC;
	new = umbra_host_alloc(mmu->host, sizeof(*new));
	if (!new)
		return UMBRA_ENOMEM;
	new->vm = vm;
	new->cpu = *cpu;
	new->memory.find = find_memory;
	new->memory.marked = was_marked;
	new->memory.context = new;
	new->l1.space.memory = new->l2.space.memory = new->nested_space.memory = &new->memory;
	new->guest = &new->l1;
	new->flush_l1 = new->flush_l2 = true;
	/* Else the first fault or load would have to fail for lack of it. */
	status = reserve_fill(mmu, &new->reserve);
	if (status) {
		reserve_drain(mmu, &new->reserve);
		umbra_host_free(mmu->host, new, sizeof(*new));
		return status;
	}
	bind(new, &new->l1);
	bind(new, &new->l2);
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
	rootset_clear(mmu, &vcpu->own);
	rootset_clear(mmu, &vcpu->nested);
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

static bool cr3_is_legal(const struct umbra_cpu *cpu, uint64_t efer, uint64_t cr3)
{
	uint64_t legal = (1ull << cpu->maxphyaddr) - 1;

	if (cpu->features & UMBRA_CPU_LAM)
		legal |= 3ull << 61;
	return !(efer & UMBRA_EFER_LMA) || !(cr3 & ~legal);
}

/* H-10..H-14, as far as translation depends on it. */
bool vcpu_regs_legal(const struct umbra_cpu *cpu, const struct umbra_regs *regs)
{
	bool pg = regs->cr0 & UMBRA_CR0_PG, pae = regs->cr4 & UMBRA_CR4_PAE;
	bool lme = regs->efer & UMBRA_EFER_LME, lma = regs->efer & UMBRA_EFER_LMA;

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
	return cr3_is_legal(cpu, regs->efer, regs->cr3);
}

/*
 * The four PDPTEs at CR3, through the memory of whoever runs. MOV CR reads them through
 * L1's EPT as data (H-78).
 */
static enum umbra_status read_pdptes(struct umbra_vcpu *vcpu, struct umbra_regs *regs)
{
	umbra_gpa table = {regs->cr3 & 0xffffffe0};
	struct walk walked;

	if (vcpu_is_nested(vcpu)) {
		const unsigned access =
			vcpu->vm->mmu.kvm_nested_walks ? UMBRA_ACCESS_WRITE : UMBRA_ACCESS_READ;
		enum walk_end end;

		umbra_host_read_begin(vcpu->vm->mmu.host);
		vcpu_renew_window(vcpu);
		end = walk(&vcpu->nested_space, table.v, access, 0, &walked);
		umbra_host_read_end(vcpu->vm->mmu.host);
		if (end != WALK_OK)
			return UMBRA_EFAULT;
		table.v = walked.final;
	}
	return umbra_vm_read(vcpu->vm, table, regs->pdpte, sizeof(regs->pdpte));
}

static bool is_pae(const struct umbra_regs *regs)
{
	return regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE &&
	       !(regs->efer & UMBRA_EFER_LMA);
}

enum umbra_status vcpu_take_pdptes(struct umbra_vcpu *vcpu, struct umbra_regs *regs, bool load)
{
	enum umbra_status status;

	if (!is_pae(regs) || vcpu->cpu.features & UMBRA_CPU_PDPTE_MEMORY)
		return UMBRA_OK;
	if (load) {
		status = read_pdptes(vcpu, regs);
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

void vcpu_set_guest(struct umbra_vcpu *vcpu, struct vcpu_guest *guest,
		    const struct umbra_regs *regs)
{
	bool same = same_mode(&guest->regs, regs);

	vcpu->described = NULL;
	guest->regs = *regs;
	if (guest == &vcpu->l2)
		vcpu->state.regs = *regs;
	if (!same) {
		bind(vcpu, guest);
		return;
	}
	guest->space.root = regs->cr3;
	guest->space.pkru = regs->pkru;
	guest->space.pkrs = regs->pkrs;
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

void vcpu_switch_own(struct umbra_vcpu *vcpu, bool flushes)
{
	const struct vcpu_guest *guest = vcpu->guest;

	vcpu->mmio.valid = false;
	vcpu->own.flush = true;
	rootset_switch(&vcpu->vm->mmu, &vcpu->own, &guest->space, pcid_of(&guest->regs), flushes);
}

enum umbra_status umbra_vcpu_set_regs(struct umbra_vcpu *vcpu, const struct umbra_regs *regs,
				      bool load_pdptes)
{
	struct umbra_regs new = *regs;
	enum umbra_status status;
	bool everything;

	if (!vcpu_regs_legal(&vcpu->cpu, regs))
		return UMBRA_EINVAL;
	status = vcpu_take_pdptes(vcpu, &new, load_pdptes);
	if (status)
		return status;
	everything = flushes_everything(&vcpu->guest->regs, &new);
	vcpu_set_guest(vcpu, vcpu->guest, &new);
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return UMBRA_OK;
	vcpu_switch_own(vcpu, true);
	if (everything)
		rootset_forget_previous(&vcpu->vm->mmu, &vcpu->own);
	return UMBRA_OK;
}

/* With PDPTEs, which are loaded, or another root. */
static enum umbra_status switch_cr3(struct umbra_vcpu *vcpu, uint64_t cr3, bool flushes)
{
	struct umbra_regs new = vcpu->guest->regs;
	enum umbra_status status;

	new.cr3 = cr3;
	status = vcpu_take_pdptes(vcpu, &new, true);
	if (status)
		return status;
	vcpu_set_guest(vcpu, vcpu->guest, &new);
	if (vcpu->vm->mmu.paging == UMBRA_PAGING_SHADOW)
		vcpu_switch_own(vcpu, flushes);
	return UMBRA_OK;
}

enum umbra_status umbra_vcpu_mov_cr3(struct umbra_vcpu *vcpu, uint64_t value)
{
	struct vcpu_guest *guest = vcpu->guest;
	bool keep = guest->regs.cr4 & UMBRA_CR4_PCIDE && value >> 63;
	uint64_t cr3 = keep ? value & ~(1ull << 63) : value;

	if (!cr3_is_legal(&vcpu->cpu, guest->regs.efer, cr3))
		return UMBRA_EINVAL;
	/* Most often a flush. */
	if (vcpu_in_l2(vcpu) || is_pae(&guest->regs) || !guest->space.mode ||
	    (cr3 ^ guest->regs.cr3) & guest->mode.root_address)
		return switch_cr3(vcpu, cr3, !keep);
	/* LAM's bits are in the root's pointer. */
	if ((cr3 ^ guest->regs.cr3) & ~(UMBRA_PAGE_SIZE - 1ull))
		vcpu->described = NULL;
	guest->regs.cr3 = guest->space.root = cr3;
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return UMBRA_OK;
	vcpu->mmio.valid = false;
	vcpu->own.flush = true;
	rootset_stay(&vcpu->own, pcid_of(&guest->regs), !keep);
	return UMBRA_OK;
}

const struct umbra_regs *umbra_vcpu_regs(const struct umbra_vcpu *vcpu)
{
	return &vcpu->guest->regs;
}

enum umbra_status umbra_vcpu_load(struct umbra_vcpu *vcpu, struct umbra_root *root)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	const struct space *space = vcpu_mirrored(vcpu);
	struct rootset *set = vcpu_roots(vcpu);
	bool l2 = vcpu_in_l2(vcpu), *flush = l2 ? &vcpu->flush_l2 : &vcpu->flush_l1;
	enum umbra_status status;

	if (!set->root || page_is_obsolete(mmu, set->root)) {
		status = rootset_refresh(mmu, &vcpu->reserve, set, space);
		if (status)
			return status;
	}
	if (set->sync) {
		vcpu->mmio.valid = false;
		rootset_sync(mmu, set, space ? space->mode : NULL);
	}
	roots_describe(mmu, set->root, &vcpu->guest->regs, root);
	/* L2 may run on the same roots as L1, under a tag of its own. */
	if (set->flush)
		vcpu->flush_l2 = vcpu->flush_l1 = true;
	root->nested = l2;
	root->readonly_tables = vcpu_is_nested(vcpu) && vcpu->state.readonly_tables;
	root->intercept_pf = mmu->allow_narrow && narrow_guest(vcpu);
	root->flush = *flush;
	*flush = set->flush = false;
	vcpu->described = mmu->paging == UMBRA_PAGING_SHADOW && !l2 ? set->root : NULL;
	return UMBRA_OK;
}

bool umbra_vcpu_stays(struct umbra_vcpu *vcpu)
{
	struct rootset *set = &vcpu->own;

	if (!vcpu->described || vcpu->described != set->root ||
	    page_is_obsolete(&vcpu->vm->mmu, set->root))
		return false;
	if (set->sync) {
		/* Nothing to do is most often what there is to do. */
		if (set->root->unsync || set->root->unsync_below)
			return false;
		set->sync = false;
		vcpu->mmio.valid = false;
	}
	/* L2 may run on the same roots, under a tag of its own. */
	if (set->flush)
		vcpu->flush_l2 = true;
	vcpu->flush_l1 = set->flush = false;
	return true;
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

/* Did hardware meet a bit that it reserves, or a misconfiguration? */
static bool is_reserved(const struct umbra_event *event)
{
	switch (event->kind) {
	case UMBRA_EVENT_EPT_MISCONFIG: return true;
	case UMBRA_EVENT_PF:
	case UMBRA_EVENT_NPF: return event->code & UMBRA_PF_RSVD;
	default: return false;
	}
}

unsigned vcpu_access_of(const struct umbra_exit *exit)
{
	if (exit->event.kind == UMBRA_EVENT_PF || exit->event.kind == UMBRA_EVENT_NPF)
		return access_of_code(exit);
	return access_of_qualification(exit->event.code);
}

/* Inputs of the fault from the exit; false: no such exit with this VM's paging. */
static bool take_exit(struct umbra_vcpu *vcpu, const struct umbra_exit *exit, struct fault *fault)
{
	fault->reserved = is_reserved(&exit->event);
	/* Only MMIO entries have reserved bits: without them it is not Umbra's fault. */
	if (fault->reserved && exit->event.kind != UMBRA_EVENT_PF &&
	    !entry_mmio_possible(&vcpu->vm->mmu.kind))
		return false;
	if (vcpu_is_nested(vcpu)) {
		fault->address = exit->event.gpa.v;
		return nested_take_exit(vcpu, exit, &fault->access);
	}
	switch (vcpu->vm->mmu.paging) {
	case UMBRA_PAGING_SHADOW:
		fault->access = access_of_code(exit);
		fault->address = exit->event.gva.v;
		if (!(vcpu->guest->regs.efer & UMBRA_EFER_LMA))
			fault->address &= 0xffffffff;
		return exit->event.kind == UMBRA_EVENT_PF;
	case UMBRA_PAGING_EPT:
		fault->access = access_of_qualification(exit->event.code);
		fault->address = exit->event.gpa.v;
		return exit->event.kind == UMBRA_EVENT_EPT_VIOLATION ||
		       exit->event.kind == UMBRA_EVENT_EPT_MISCONFIG;
	default:
		fault->access = access_of_code(exit) & (UMBRA_ACCESS_WRITE | UMBRA_ACCESS_FETCH);
		fault->address = exit->event.gpa.v;
		return exit->event.kind == UMBRA_EVENT_NPF;
	}
}

/* A guest's own fault ends what was cached for its address (H-112, H-123). */
static void sync_faulting(struct umbra_vcpu *vcpu, uint64_t address)
{
	struct rootset *set = vcpu_roots(vcpu);

	vcpu->mmio.valid = false;
	rootset_sync_address(&vcpu->vm->mmu, set, vcpu_mirrored(vcpu)->mode,
			     (struct rootset_address){address, set->tag});
}

static enum umbra_status look_into(struct umbra_vcpu *vcpu, struct fault *fault)
{
	struct mmio_cache *cache = vcpu_is_nested(vcpu) ? NULL : &vcpu->mmio;
	enum umbra_status status;

	if (fault->reserved && mmio_fault(fault, cache))
		return UMBRA_OK;
	status = fault->space ? fault_shadow(fault) : fault_tdp(fault);
	if (!cache)
		return status;
	/* What a fault found is newer than what the cache says of that page. */
	if (!status && fault->verdict == UMBRA_MMIO && !fault->slot)
		mmio_cache_fill(cache, fault);
	else
		mmio_cache_drop(cache, fault->address);
	return status;
}

enum umbra_status vcpu_fault(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
			     struct umbra_resolution *resolution)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	struct rootset *set = vcpu_roots(vcpu);
	struct fault fault;
	enum umbra_status status;

	/* Not the whole struct: the walk in it is large and written before it is read. */
	fault.mmu = mmu;
	fault.gpa.v = 0;
	fault.reserve = &vcpu->reserve;
	fault.key = 0;
	fault.shstk = false;
	fault.level = 0;
	fault.prefault = false;
	fault.is_private = false;
	fault.event = (struct umbra_event){.kind = UMBRA_EVENT_NONE};
	fault.space = vcpu_mirrored(vcpu);
	if (narrow_guest(vcpu) && narrow_take(vcpu, exit, resolution))
		return UMBRA_OK;
	if (!take_exit(vcpu, exit, &fault))
		return UMBRA_EINVAL;
	status = rootset_refresh(mmu, &vcpu->reserve, set, fault.space);
	if (status)
		return status;
	fault.root = set->root;
	fault.reach = roots_reach(mmu, set->root);
	umbra_host_read_begin(mmu->host);
	vcpu_renew_window(vcpu);
	fault.generation = vcpu->memory_generation;
	status = look_into(vcpu, &fault);
	umbra_host_read_end(mmu->host);
	if (status)
		return status;
	if (fault.verdict == UMBRA_INJECT) {
		sync_faulting(vcpu, fault.address);
		if (vcpu_is_nested(vcpu))
			nested_report(vcpu, exit, &fault.event);
	}
	*resolution = (struct umbra_resolution){
		.verdict = fault.verdict,
		.event = fault.event,
		.to_l1 =
			fault.verdict == UMBRA_INJECT && umbra_vcpu_exits_to_l1(vcpu, &fault.event),
		.gpa = fault.gpa,
		.access = fault.access,
		.level = fault.level,
		.is_private = fault.is_private,
	};
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_FAULT, fault.address, exit->event.code,
					    fault.verdict, fault.gpa.v});
	return UMBRA_OK;
}

bool vcpu_is_canonical(const struct umbra_regs *regs, uint64_t gva)
{
	unsigned unused = regs->cr4 & UMBRA_CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

/* The guest invalidates @gva under @pcid, and where it is global. Shadow paging. */
static void invalidate(struct umbra_vcpu *vcpu, umbra_gva gva, uint16_t pcid)
{
	mmu_count(&vcpu->vm->mmu.stats.invlpg, 1);
	vcpu->own.flush = true;
	if (vcpu->guest->regs.efer & UMBRA_EFER_LMA) {
		if (!vcpu_is_canonical(&vcpu->guest->regs, gva.v)) /* no effect (H-6) */
			return;
	} else {
		gva.v &= 0xffffffff;
	}
	vcpu->mmio.valid = false;
	/* Global pages of any PCID go too, so every root that is kept counts (S-28). */
	rootset_sync_address(&vcpu->vm->mmu, &vcpu->own, vcpu->guest->space.mode,
			     (struct rootset_address){gva.v, pcid});
}

void umbra_vcpu_invlpg(struct umbra_vcpu *vcpu, umbra_gva gva)
{
	if (vcpu->vm->mmu.paging == UMBRA_PAGING_SHADOW)
		invalidate(vcpu, gva, pcid_of(&vcpu->guest->regs));
}

enum umbra_status umbra_vcpu_invpcid(struct umbra_vcpu *vcpu, unsigned type, uint64_t pcid,
				     umbra_gva gva)
{
	bool pcide = vcpu->guest->regs.cr4 & UMBRA_CR4_PCIDE;

	/* H-132 */
	if (type > 3 || pcid >> 12 || (type < 2 && pcid && !pcide))
		return UMBRA_EINVAL;
	if (type == 0 && vcpu->guest->regs.efer & UMBRA_EFER_LMA &&
	    !vcpu_is_canonical(&vcpu->guest->regs, gva.v))
		return UMBRA_EINVAL;
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW)
		return UMBRA_OK;
	if (type == 0) {
		invalidate(vcpu, gva, (uint16_t)pcid);
		return UMBRA_OK;
	}
	vcpu->own.flush = true;
	rootset_sync_all(&vcpu->own);
	rootset_forget_previous(&vcpu->vm->mmu, &vcpu->own);
	return UMBRA_OK;
}

/* What an access without memory was just told, whoever emulates it is told as well,
 * although the guest may have changed its tables since. */
static bool translate_mmio(const struct umbra_vcpu *vcpu, umbra_gva gva, unsigned access,
			   struct umbra_translation *translation)
{
	if (vcpu->vm->mmu.paging != UMBRA_PAGING_SHADOW ||
	    !mmio_cache_find(&vcpu->mmio, &vcpu->guest->space, gva.v, access,
			     vcpu->memory_generation, &translation->gpa))
		return false;
	translation->page_shift = UMBRA_PAGE_SHIFT;
	translation->acc = vcpu->mmio.acc;
	return true;
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
	if (!(vcpu->guest->regs.efer & UMBRA_EFER_LMA)) {
		gva.v &= 0xffffffff;
	} else if (!vcpu_is_canonical(&vcpu->guest->regs, gva.v)) {
		translation->event.kind = UMBRA_EVENT_GP;
		return UMBRA_OK;
	}
	umbra_host_read_begin(vcpu->vm->mmu.host);
	vcpu_renew_window(vcpu);
	if (translate_mmio(vcpu, gva, access, translation)) {
		umbra_host_read_end(vcpu->vm->mmu.host);
		return UMBRA_OK;
	}
	walk(&vcpu->guest->space, gva.v, access, set_ad ? 0 : WALK_NO_AD, &walked);
	umbra_host_read_end(vcpu->vm->mmu.host);
	if (walked.end != WALK_OK) {
		translation->event = walked.event;
		/* An exit to L1 ends what was cached of its tables there, and of the linear
		 * address (H-123); no fault of the hardware's has seen to that. */
		if (vcpu_is_nested(vcpu) && walked.event.kind != UMBRA_EVENT_PF) {
			sync_faulting(vcpu, walked.event.gpa.v);
			vcpu->flush_l2 = true;
		}
		return UMBRA_OK;
	}
	translation->gpa.v = walked.final;
	translation->page_shift = walked.page_shift;
	translation->acc = walked.acc;
	return UMBRA_OK;
}
