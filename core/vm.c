/* SPDX-License-Identifier: MIT */
/*
 * vm.c - making and ending VMs, their slots, and writes to guest memory.
 *
 * A slot change: check and build the new view (may fail), then under the MMU
 * lock drop every mapping that could be affected and swap the view (cannot
 * fail). When memory goes away, that takes two steps (M-7):
 *
 *	begin    faults in the old slot wait from now on; nothing is believed to be MMIO
 *	zap      the old slot's mappings, perhaps with pauses, in which other faults go on
 *	commit   what is left of them, and the new view
 */
#include "core/vm.h"
#include "core/attributes.h"
#include "core/dirty.h"
#include "core/mem.h"
#include "core/mmio.h"
#include "core/shadow.h"
#include "core/vcpu.h"

static bool has(const struct umbra_cpu *cpu, uint32_t features)
{
	return (cpu->features & features) == features;
}

static enum umbra_status check_ept(const struct umbra_vm_config *config)
{
	if (config->cpu.vendor != UMBRA_VENDOR_INTEL)
		return UMBRA_EINVAL;
	if (config->levels != 4 && config->levels != 5)
		return UMBRA_EINVAL;
	if (config->levels == 5 && !has(&config->cpu, UMBRA_CPU_EPT_LEVEL5))
		return UMBRA_EOPNOTSUPP;
	/* Older layouts have no user execute bit: user code could never run. */
	if (config->exec_by_mode && config->layout != UMBRA_LAYOUT_7_3)
		return UMBRA_EINVAL;
	if (config->exec_by_mode && !has(&config->cpu, UMBRA_CPU_MBEC))
		return UMBRA_EOPNOTSUPP;
	return UMBRA_OK;
}

static enum umbra_status check_npt(const struct umbra_vm_config *config)
{
	static const uint32_t needed[] = {
		[3] = UMBRA_CPU_PAE,
		[4] = UMBRA_CPU_LM,
		[5] = UMBRA_CPU_LM | UMBRA_CPU_LA57,
	};

	if (config->cpu.vendor != UMBRA_VENDOR_AMD)
		return UMBRA_EINVAL;
	if (config->levels < 3 || config->levels > 5)
		return UMBRA_EINVAL;
	if (!has(&config->cpu, needed[config->levels] | UMBRA_CPU_NX))
		return UMBRA_EOPNOTSUPP;
	if (config->exec_by_mode && !has(&config->cpu, UMBRA_CPU_GMET))
		return UMBRA_EOPNOTSUPP;
	return UMBRA_OK;
}

static enum umbra_status check_shadow(const struct umbra_vm_config *config)
{
	if (config->levels || config->exec_by_mode)
		return UMBRA_EINVAL;
	/* Shadow tables are PAE or long-mode tables with NX (G-49). */
	return has(&config->cpu, UMBRA_CPU_PAE | UMBRA_CPU_NX) ? UMBRA_OK : UMBRA_EOPNOTSUPP;
}

static enum umbra_status check(const struct umbra_vm_config *config)
{
	if ((unsigned)config->cpu.vendor > UMBRA_VENDOR_AMD ||
	    (unsigned)config->layout >= UMBRA_LAYOUT_COUNT)
		return UMBRA_EINVAL;
	if (config->cpu.maxphyaddr < 32 || config->cpu.maxphyaddr > 52)
		return UMBRA_EINVAL;
	if (config->page_level < 1 || config->page_level > 3)
		return UMBRA_EINVAL;
	if (config->page_limit && config->page_limit < 64)
		return UMBRA_EINVAL;
	/* Its error code would be wrong (narrow.c). */
	if (config->allow_smaller_maxphyaddr && config->paging == UMBRA_PAGING_NPT)
		return UMBRA_EOPNOTSUPP;
	if (!dirty_manual_ok(config->manual_dirty))
		return UMBRA_EINVAL;
	/* As KVM has it: what is private is a matter of guest-physical addresses. */
	if (config->private_memory && config->paging == UMBRA_PAGING_SHADOW)
		return UMBRA_EOPNOTSUPP;
	if (config->l1tf_cache_bits &&
	    (config->l1tf_cache_bits < 32 || config->l1tf_cache_bits > 52))
		return UMBRA_EINVAL;
	switch (config->paging) {
	case UMBRA_PAGING_EPT: return check_ept(config);
	case UMBRA_PAGING_NPT: return check_npt(config);
	case UMBRA_PAGING_SHADOW: return check_shadow(config);
	default: return UMBRA_EINVAL;
	}
}

/* Largest page that the tables of this VM can hold. */
static unsigned page_level(const struct umbra_vm_config *config)
{
	const struct umbra_cpu *cpu = &config->cpu;
	unsigned level = config->page_level;
	bool ept = config->paging == UMBRA_PAGING_EPT;

	if (level == 3 && (config->levels == 3 || !has(cpu, ept ? UMBRA_CPU_EPT_1G : UMBRA_CPU_1G)))
		level = 2;
	if (level == 2 && ept && !has(cpu, UMBRA_CPU_EPT_2M))
		level = 1;
	return level;
}

static void mmu_set_up(struct mmu *mmu, const struct umbra_vm_config *config)
{
	const struct umbra_cpu *cpu = &config->cpu;
	struct entry_config entries = {
		.generation = config->layout,
		.ept = config->paging == UMBRA_PAGING_EPT,
		.ad = config->paging != UMBRA_PAGING_EPT || has(cpu, UMBRA_CPU_EPT_AD),
		.exec_only = has(cpu, UMBRA_CPU_EPT_EXECONLY),
		.pae = config->levels == 3,
		.maxphyaddr = cpu->maxphyaddr,
		.l1tf_cache_bits = config->l1tf_cache_bits,
	};

	mmu->host = config->host;
	mmu->cpu = *cpu;
	mmu->paging = config->paging;
	mmu->levels = config->levels;
	mmu->page_level = page_level(config);
	mmu->exec_by_mode = config->exec_by_mode;
	mmu->trace = config->trace;
	mmu->page_limit = config->page_limit;
	mmu->no_prefetch = config->no_prefetch;
	mmu->kvm_nested_walks = config->kvm_nested_walks;
	mmu->mirrors = config->paging == UMBRA_PAGING_SHADOW;
	mmu->direct_acc = ACC_ALL;
	/* GMET: what supervisor code may execute must not have U (P-8). */
	if (config->paging == UMBRA_PAGING_NPT && config->exec_by_mode)
		mmu->direct_acc &= ~ACC_USER;
	mmu->reach = config->paging == UMBRA_PAGING_SHADOW ? ~0ull : roles_reach(config->levels);
	mmu->private_memory = config->private_memory;
	mmu->manual_dirty = config->manual_dirty;
	mmu->allow_narrow = config->allow_smaller_maxphyaddr;
	mmu->bug_truncate_gpa = config->bug_truncate_gpa;
	entry_bind(&mmu->kind, &entries);
	if (config->no_mmio_caching)
		entry_set_mmio(&mmu->kind, 0, 0, 0);
	mmu->mmio_wide = config->mmio_wide_generation;
	mmu->changes = 1; /* 0 is before all */
	quick_init(mmu);
}

enum umbra_status umbra_vm_create(const struct umbra_vm_config *config, struct umbra_vm **vm)
{
	enum umbra_status status = check(config);
	struct umbra_vm *new;

	if (status)
		return status;
	new = umbra_host_alloc(config->host, sizeof(*new));
	if (!new)
		return UMBRA_ENOMEM;
	mmu_set_up(&new->mmu, config);
	new->slot_zap_all = config->slot_zap_all;
	status = pages_init(&new->mmu);
	if (!status)
		status = slots_init(&new->mmu);
	if (status) {
		umbra_vm_destroy(new);
		return status;
	}
	*vm = new;
	return UMBRA_OK;
}

void umbra_vm_destroy(struct umbra_vm *vm)
{
	if (!vm)
		return;
	while (vm->vcpus)
		umbra_vcpu_destroy(vm->vcpus);
	umbra_host_barrier(vm->mmu.host);
	pages_destroy(&vm->mmu);
	slots_destroy(&vm->mmu);
	umbra_host_free(vm->mmu.host, vm, sizeof(*vm));
}

void vm_reload(struct umbra_vm *vm)
{
	for (struct umbra_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		umbra_host_kick(vm->mmu.host, vcpu->number);
}

#define ZAP_BATCH 10

/* From now on all tables are obsolete. The slots lock is held, and kept until zap_obsolete():
 * two of these at once would make the old generation the new one. */
static void make_obsolete(struct umbra_vm *vm)
{
	vm->mmu.generation ^= 1;
	mmu_change(&vm->mmu);
	vm_reload(vm);
}

static void zap_obsolete(struct mmu *mmu)
{
	bool more = true;

	while (more) {
		struct edit edit = {.mmu = mmu};

		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
		more = table_zap_obsolete(&edit, ZAP_BATCH);
		tlb_commit(mmu, &edit.tlb);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	}
}

/* The slots lock is held. */
static void zap_all(struct umbra_vm *vm)
{
	struct mmu *mmu = &vm->mmu;

	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	make_obsolete(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	zap_obsolete(mmu);
}

void umbra_vm_zap_all(struct umbra_vm *vm)
{
	struct mmu *mmu = &vm->mmu;

	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	zap_all(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
}

uint64_t umbra_vm_shrink(struct umbra_vm *vm, uint64_t pages)
{
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};
	uint64_t before;

	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	before = mmu->pages.count;
	table_recycle(&edit, before > pages ? before - pages : 0);
	pages = before - mmu->pages.count;
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	return pages;
}

bool umbra_vm_unprotect(struct umbra_vm *vm, umbra_gpa gpa)
{
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};
	unsigned zapped;

	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	zapped = shadow_unprotect(&edit, (umbra_gfn){gpa.v >> UMBRA_PAGE_SHIFT});
	tlb_commit(mmu, &edit.tlb);
	if (edit.reload)
		vm_reload(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	return zapped;
}

static enum umbra_status track(struct mmu *mmu, umbra_gfn gfn, bool on)
{
	struct slot *slot = slots_find(mmu, gfn);
	struct edit edit = {.mmu = mmu};
	uint16_t *count;

	if (!slot)
		return UMBRA_ENOENT;
	if (!on && !slot->tracked)
		return UMBRA_EINVAL;
	if (!slots_give_tracking(mmu, slot))
		return UMBRA_ENOMEM;
	count = &slot->tracked[gfn.v - slot->start.v];
	if (on ? *count == UINT16_MAX : *count == 0)
		return UMBRA_EINVAL;
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	mmu->tracking = true;
	mmu_change(mmu);
	*count += on ? 1 : -1;
	/* Every mapping goes; faults make them anew without W. */
	if (on && *count == 1)
		table_zap_frames(&edit, gfn, 1);
	tlb_commit(mmu, &edit.tlb);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	return UMBRA_OK;
}

enum umbra_status umbra_vm_track(struct umbra_vm *vm, umbra_gpa gpa, bool on)
{
	struct mmu *mmu = &vm->mmu;
	enum umbra_status status;

	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	status = track(mmu, (umbra_gfn){gpa.v >> UMBRA_PAGE_SHIFT}, on);
	if (!status && on)
		vm_reload(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
	return status;
}

/* What a slot change takes away from the tables; MMU lock held. */
static void zap_for(struct umbra_vm *vm, const struct slots_plan *plan)
{
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};

	if (plan->change == SLOTS_FLAGS) {
		/* All marks are set to begin with, or none and nothing may be written (T-40). */
		if (plan->dirty && !(mmu->manual_dirty & DIRTY_INITIALLY_SET))
			dirty_protect_slot(&edit, plan->old);
		tlb_commit(mmu, &edit.tlb);
		return;
	}
	if (plan->old)
		table_zap_frames(&edit, plan->old->start, plan->old->pages);
	/* Mirrors of tables where there was no memory are accounted to no slot. Leaves
	 * there are none, and MMIO entries are told by their generation. */
	if (plan->fresh && mmu->mirrors)
		table_zap_mirrors(&edit, plan->fresh->start, plan->fresh->pages);
	tlb_commit(mmu, &edit.tlb);
	vm_reload(vm);
}

/*
 * The generation is about to be stepped. If it comes around, as far as MMIO entries hold it
 * what was young 2^18 changes ago must not become so again. MMU lock held. True:
 * zap_obsolete() is to follow.
 */
static bool wrap(struct umbra_vm *vm, unsigned steps)
{
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};

	if (!entry_mmio_possible(&mmu->kind) ||
	    !slots_wraps(mmu, steps, entry_generation_bits(&mmu->kind)))
		return false;
	if (!mmu->mmio_wide) {
		make_obsolete(vm);
		return true;
	}
	mmio_zap(&edit);
	tlb_commit(mmu, &edit.tlb);
	return false;
}

static void swap(struct umbra_vm *vm, struct slots_plan *plan)
{
	struct mmu *mmu = &vm->mmu;
	bool more;

	if (plan->change == SLOTS_REMOVED && vm->slot_zap_all) {
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
		slots_begin(mmu, plan);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
		zap_all(vm);
	}
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	slots_begin(mmu, plan);
	zap_for(vm, plan);
	more = wrap(vm, slots_steps(plan));
	slots_commit(mmu, plan);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	if (more)
		zap_obsolete(mmu);
}

enum umbra_status umbra_slot_set(struct umbra_vm *vm, const struct umbra_slot *wanted)
{
	struct mmu *mmu = &vm->mmu;
	struct slots_plan plan;
	enum umbra_status status;

	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	status = slots_prepare(mmu, wanted, &plan);
	if (!status && plan.change != SLOTS_UNCHANGED)
		swap(vm, &plan);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
	if (!status && plan.change != SLOTS_UNCHANGED)
		slots_release(mmu, &plan);
	return status;
}

/* Are all of @range's pages so already? */
static bool has_attribute(const struct mmu *mmu, struct attributes_range range, bool is_private)
{
	bool is;
	uint64_t end = attributes_run(mmu->slots.attributes, (umbra_gfn){range.start}, &is);

	return end >= range.end && is == is_private;
}

/* The slots lock is held, the MMU lock not. */
static void swap_attributes(struct umbra_vm *vm, struct attributes_range range,
			    const struct attributes_change *change)
{
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};
	bool more;

	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	table_zap_frames(&edit, (umbra_gfn){range.start}, range.end - range.start);
	tlb_commit(mmu, &edit.tlb);
	more = wrap(vm, SLOTS_SPACES);
	attributes_commit(mmu, change);
	if (edit.reload)
		vm_reload(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	if (more)
		zap_obsolete(mmu);
}

enum umbra_status umbra_vm_set_attributes(struct umbra_vm *vm, umbra_gpa gpa, uint64_t size,
					  uint64_t attributes)
{
	struct mmu *mmu = &vm->mmu;
	const uint64_t supported = mmu->private_memory ? UMBRA_ATTRIBUTE_PRIVATE : 0;
	const bool is_private = attributes & UMBRA_ATTRIBUTE_PRIVATE;
	const struct attributes_range range = {gpa.v >> UMBRA_PAGE_SHIFT,
					       (gpa.v + size) >> UMBRA_PAGE_SHIFT};
	struct attributes_change change = {NULL, NULL};
	enum umbra_status status = UMBRA_OK;

	if (attributes & ~supported || (gpa.v | size) & (UMBRA_PAGE_SIZE - 1) ||
	    gpa.v + size <= gpa.v)
		return UMBRA_EINVAL;
	umbra_host_lock(mmu->host, UMBRA_LOCK_SLOTS, true);
	if (!has_attribute(mmu, range, is_private)) {
		if (attributes_prepare(mmu, range, is_private, &change))
			swap_attributes(vm, range, &change);
		else
			status = UMBRA_ENOMEM;
	}
	umbra_host_unlock(mmu->host, UMBRA_LOCK_SLOTS, true);
	if (change.after)
		attributes_release(mmu, &change);
	return status;
}

/* Is all of [gpa, gpa + size) memory, and writable if @write? */
static bool reachable(struct mmu *mmu, umbra_gpa gpa, size_t size, bool write)
{
	if (gpa.v + size - 1 < gpa.v)
		return false;
	while (size) {
		uint64_t there;
		bool writable;

		if (!slots_memory(mmu, gpa, &there, &writable) || (write && !writable))
			return false;
		if (there >= size)
			return true;
		gpa.v += there;
		size -= there;
	}
	return true;
}

static size_t to_page_end(umbra_gpa gpa, size_t size)
{
	size_t left = UMBRA_PAGE_SIZE - (gpa.v & (UMBRA_PAGE_SIZE - 1));

	return size < left ? size : left;
}

/* An aligned 4- or 8-byte store must not be seen in halves by a walker. */
static void store(uint8_t *to, const uint8_t *from, size_t size)
{
	uint64_t wide;
	uint32_t narrow;

	if (size == 8 && !((uintptr_t)to & 7)) {
		memcpy(&wide, from, 8);
		__atomic_store_n((uint64_t *)(void *)to, wide, __ATOMIC_RELEASE);
	} else if (size == 4 && !((uintptr_t)to & 3)) {
		memcpy(&narrow, from, 4);
		__atomic_store_n((uint32_t *)(void *)to, narrow, __ATOMIC_RELEASE);
	} else {
		memcpy(to, from, size);
	}
}

enum umbra_status umbra_vm_write(struct umbra_vm *vm, umbra_gpa gpa, const void *bytes, size_t size)
{
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};
	const uint8_t *from = bytes;
	enum umbra_status status = UMBRA_OK;

	if (!size)
		return UMBRA_EINVAL;
	umbra_host_read_begin(mmu->host);
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	if (!reachable(mmu, gpa, size, true)) {
		status = UMBRA_EFAULT;
		size = 0;
	}
	while (size) {
		size_t piece = to_page_end(gpa, size);
		uint64_t there;
		bool writable;
		uint8_t *to = slots_memory(mmu, gpa, &there, &writable);

		if (!to) {
			status = UMBRA_EFAULT;
			break;
		}
		if (memcmp(to, from, piece)) {
			store(to, from, piece);
			if (mmu->mirrors)
				shadow_written(&edit, gpa, piece);
		}
		dirty_mark_gfn(mmu, (umbra_gfn){gpa.v >> UMBRA_PAGE_SHIFT});
		gpa.v += piece;
		from += piece;
		size -= piece;
	}
	tlb_commit(mmu, &edit.tlb);
	if (edit.reload)
		vm_reload(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	umbra_host_read_end(mmu->host);
	return status;
}

/* The compare-exchange of aligned @size bytes: false if others are there. */
static bool exchange(uint8_t *at, const void *const bytes[2], size_t size)
{
	uint64_t old = 0, new = 0;
	uint8_t old8;
	uint16_t old16;
	uint32_t old32;

	memcpy(&old, bytes[0], size);
	memcpy(&new, bytes[1], size);
	old8 = (uint8_t)old;
	old16 = (uint16_t)old;
	old32 = (uint32_t)old;
	switch (size) {
	case 1:
		return __atomic_compare_exchange_n(at, &old8, (uint8_t) new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	case 2:
		return __atomic_compare_exchange_n((uint16_t *)(void *)at, &old16, (uint16_t) new,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	case 4:
		return __atomic_compare_exchange_n((uint32_t *)(void *)at, &old32, (uint32_t) new,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	default:
		return __atomic_compare_exchange_n((uint64_t *)(void *)at, &old, new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
}

enum umbra_status umbra_vm_exchange(struct umbra_vm *vm, umbra_gpa gpa, const void *const bytes[2],
				    size_t size)
{
	struct mmu *mmu = &vm->mmu;
	struct edit edit = {.mmu = mmu};
	enum umbra_status status = UMBRA_OK;
	uint64_t there;
	bool writable;
	uint8_t *to;

	if ((size != 1 && size != 2 && size != 4 && size != 8) || gpa.v & (size - 1))
		return UMBRA_EINVAL;
	umbra_host_read_begin(mmu->host);
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, true);
	to = slots_memory(mmu, gpa, &there, &writable);
	if (!to || !writable)
		status = UMBRA_EFAULT;
	else if (!exchange(to, bytes, size))
		status = UMBRA_EAGAIN;
	else if (mmu->mirrors && memcmp(bytes[0], bytes[1], size))
		shadow_written(&edit, gpa, (unsigned)size);
	tlb_commit(mmu, &edit.tlb);
	if (edit.reload)
		vm_reload(vm);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, true);
	umbra_host_read_end(mmu->host);
	return status;
}

enum umbra_status umbra_vm_read(struct umbra_vm *vm, umbra_gpa gpa, void *bytes, size_t size)
{
	struct mmu *mmu = &vm->mmu;
	uint8_t *to = bytes;
	enum umbra_status status = UMBRA_OK;

	if (!size)
		return UMBRA_EINVAL;
	umbra_host_read_begin(mmu->host);
	if (!reachable(mmu, gpa, size, false)) {
		status = UMBRA_EFAULT;
		size = 0;
	}
	while (size) {
		size_t piece = to_page_end(gpa, size);
		uint64_t there;
		bool writable;
		const uint8_t *from = slots_memory(mmu, gpa, &there, &writable);

		if (!from) {
			status = UMBRA_EFAULT;
			break;
		}
		memcpy(to, from, piece);
		gpa.v += piece;
		to += piece;
		size -= piece;
	}
	umbra_host_read_end(mmu->host);
	return status;
}
