/* SPDX-License-Identifier: MIT */
/*
 * prefault.c - map guest memory before the guest touches it (KVM_PRE_FAULT_MEMORY).
 *
 *	range   |-------------------------------------------|
 *	        |----| a large page   |---|---|---| up to TDP_FILL pages of one table
 *	step:   slot -> pins -> lock, shared -> tdp_fill -> unlock
 *
 * Each step is a fault for reading that nobody took: the same slot, pin and goal, but
 * for a row of pages at once, and what can be mapped writable is. A step that meets
 * somebody else's change is made again; the range moves on by what is mapped. An
 * address that the root cannot map is refused before the first step (F-33).
 */
#include "core/attributes.h"
#include "core/fault.h"
#include "core/tdp.h"
#include "core/vcpu.h"

static enum umbra_status check(const struct umbra_vcpu *vcpu, umbra_gpa gpa, uint64_t size)
{
	if ((gpa.v | size) & (UMBRA_PAGE_SIZE - 1) || gpa.v + size <= gpa.v)
		return UMBRA_EINVAL;
	if (vcpu->vm->mmu.paging == UMBRA_PAGING_SHADOW || vcpu_is_nested(vcpu))
		return UMBRA_EOPNOTSUPP;
	return UMBRA_OK;
}

/* Is there memory in the range that the root cannot map? */
static bool beyond_reach(struct mmu *mmu, uint64_t reach, umbra_gpa gpa, uint64_t size)
{
	umbra_gfn start = {gpa.v >> UMBRA_PAGE_SHIFT};
	const umbra_gfn end = {(gpa.v + size) >> UMBRA_PAGE_SHIFT};
	bool beyond;

	if (end.v <= reach)
		return false;
	if (start.v < reach)
		start.v = reach;
	umbra_host_read_begin(mmu->host);
	beyond = slots_any(mmu, start, end);
	umbra_host_read_end(mmu->host);
	return beyond;
}

/* How many pages one step may do from fault->gfn on, of @left that are wanted. */
static unsigned batch_of(const struct fault *fault, uint64_t left)
{
	const uint64_t in_table = 512 - (fault->gfn.v & 511);
	const uint64_t in_slot = slot_end(fault->slot) - fault->gfn.v;
	uint64_t most = TDP_FILL;

	if (most > left)
		most = left;
	if (most > in_table)
		most = in_table;
	return most > in_slot ? in_slot : most;
}

/* Slot and pins: their number, 0 and *status if there is none. */
static unsigned pin(struct fault *fault, uint64_t left, struct umbra_pin pins[TDP_FILL],
		    enum umbra_status *status)
{
	struct mmu *mmu = fault->mmu;
	unsigned count = 0, most = 1;
	umbra_gfn gfn = fault->gfn;
	umbra_hva hva;

	fault->slot = slots_find(mmu, gfn);
	if (!fault->slot)
		*status = UMBRA_ENOENT;
	else if (slot_is_going(fault->slot))
		*status = UMBRA_EAGAIN; /* F-19 */
	else /* It may have come after all was looked at. */
		*status = gfn.v < fault->reach ? UMBRA_OK : UMBRA_EUNMAPPABLE;
	for (; !*status && count < most; gfn.v++) {
		/* A private page without private memory is as one that cannot be pinned. */
		*status = UMBRA_EFAULT;
		if (slots_backing(mmu, fault->slot, gfn, &hva))
			*status = (enum umbra_status)umbra_host_pin(mmu->host, hva, false,
								    &pins[count]);
		if (*status || count++)
			continue;
		fault->pin = pins[0];
		fault->goal = fault_goal(fault, 3);
		if (fault->goal == 1)
			most = batch_of(fault, left);
	}
	return count;
}

/* Under the lock: frames mapped, 0: again. *status: EAGAIN if the slot is on its way out. */
static uint64_t map(struct fault *fault, const struct umbra_pin *pins, unsigned count,
		    enum umbra_status *status)
{
	struct mmu *mmu = fault->mmu;

	if (slots_find(mmu, fault->gfn) != fault->slot) {
		*status = UMBRA_EAGAIN;
		return 0;
	}
	if (fault_slots_changed(fault) || page_is_obsolete(mmu, fault->root) ||
	    (fault->goal > 1 && fault->goal > slots_level(fault->mmu, fault->slot, fault->gfn)))
		return 0;
	return tdp_fill(fault, pins, count);
}

/* *done: how many of @left frames from fault->gfn on are mapped now; none: again. */
static enum umbra_status step(struct fault *fault, uint64_t left, uint64_t *done)
{
	struct mmu *mmu = fault->mmu;
	struct umbra_pin pins[TDP_FILL];
	enum umbra_status status;
	unsigned count;

	*done = 0;
	fault->generation = __atomic_load_n(&mmu->slots.generation, __ATOMIC_ACQUIRE);
	count = pin(fault, left, pins, &status);
	if (!count)
		return status;
	status = UMBRA_OK;
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, false);
	*done = map(fault, pins, count, &status);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, false);
	if (*done > left)
		*done = left;
	return status;
}

enum umbra_status umbra_vcpu_prefault(struct umbra_vcpu *vcpu, umbra_gpa *gpa, uint64_t *size)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	struct rootset *set = &vcpu->own;
	struct fault fault;
	const uint64_t all = *size;
	enum umbra_status status = check(vcpu, *gpa, *size);

	fault.mmu = mmu;
	fault.space = NULL;
	fault.reserve = &vcpu->reserve;
	fault.access = UMBRA_ACCESS_READ;
	fault.prefault = true;
	fault.exclusive = false;
	while (!status && *size) {
		uint64_t done = 0;

		status = fault_prepare(&fault);
		/* Before the first run, or what had been made for it was zapped (O-7). */
		if (!status)
			status = rootset_refresh(mmu, &vcpu->reserve, set, NULL);
		if (status)
			break;
		fault.root = set->root;
		fault.reach = roots_reach(mmu, set->root);
		if (*size == all && beyond_reach(mmu, fault.reach, *gpa, *size))
			return UMBRA_EUNMAPPABLE;
		fault.gfn.v = gpa->v >> UMBRA_PAGE_SHIFT;
		umbra_host_read_begin(mmu->host);
		status = step(&fault, *size >> UMBRA_PAGE_SHIFT, &done);
		umbra_host_read_end(mmu->host);
		gpa->v += done << UMBRA_PAGE_SHIFT;
		*size -= done << UMBRA_PAGE_SHIFT;
	}
	return *size < all ? UMBRA_OK : status;
}
