/* SPDX-License-Identifier: MIT */
/*
 * fault.c - the path of a fault, stage by stage.
 *
 *	fault_shadow: walk the guest's tables ----+      may end: INJECT
 *	fault_tdp: gpa is known ------------------+
 *	                                          v
 *	                  find_slot                      may end: MMIO, EMULATE, RETRY
 *	                  pin                            may end: MEMORY_FAULT, RETRY
 *	                  --- lock ---
 *	                  slots changed meanwhile?       RETRY
 *	                  shadow_map | tdp_map
 *	                  --- unlock ---
 *
 * Everything that can fail - the reserve, the pin - happens before the lock; after
 * it nothing does.
 */
#include "core/fault.h"
#include "core/attributes.h"
#include "core/mmio.h"
#include "core/prefetch.h"
#include "core/shadow.h"
#include "core/sync.h"
#include "core/tdp.h"

enum umbra_status fault_prepare(struct fault *fault)
{
	enum umbra_status status = table_make_room(fault->mmu);

	return status ? status : reserve_fill(fault->mmu, fault->reserve);
}

/* Slot stage. True: go on; false: the verdict is there. */
static bool find_slot(struct fault *fault)
{
	struct mmu *mmu = fault->mmu;
	bool write = fault->access & UMBRA_ACCESS_WRITE;

	fault->gfn.v = fault->gpa.v >> UMBRA_PAGE_SHIFT;
	fault->slot = slots_find(mmu, fault->gfn);
	fault->is_private = slots_is_private(mmu, fault->gfn);
	/* There is memory, but the root cannot lead to it from such an address (F-32). */
	if (fault->slot && fault->address >> UMBRA_PAGE_SHIFT >= fault->reach) {
		fault->verdict = UMBRA_MEMORY_FAULT;
		return false;
	}
	/* What maps it is going away; then it may be MMIO (F-19). */
	if (fault->slot && slot_is_going(fault->slot)) {
		fault->verdict = UMBRA_RETRY;
		return false;
	}
	/* No private memory there, or none at all (F-23, F-24). */
	if (fault->is_private && (!fault->slot || !(fault->slot->flags & UMBRA_SLOT_PRIVATE))) {
		fault->verdict = UMBRA_MEMORY_FAULT;
		return false;
	}
	if (!fault->slot || (write && fault->slot->flags & UMBRA_SLOT_READONLY)) {
		fault->verdict = UMBRA_MMIO;
		return false;
	}
	return true;
}

unsigned fault_goal(const struct fault *fault, unsigned level)
{
	if (level > fault->mmu->page_level)
		level = fault->mmu->page_level;
	if (level > fault->pin.level)
		level = fault->pin.level;
	if (level > 1) {
		unsigned fits = slots_level(fault->mmu, fault->slot, fault->gfn);

		if (level > fits)
			level = fits;
	}
	return level;
}

/* Pin stage. True: go on; false: @status or the verdict is there. */
static bool pin(struct fault *fault, unsigned level, enum umbra_status *status)
{
	struct mmu *mmu = fault->mmu;
	bool write = fault->access & UMBRA_ACCESS_WRITE;
	int result = UMBRA_EFAULT;
	umbra_hva hva;

	if (slots_backing(mmu, fault->slot, fault->gfn, &hva))
		result = umbra_host_pin(mmu->host, hva, write, &fault->pin);
	if (result == UMBRA_EFAULT) {
		fault->verdict = UMBRA_MEMORY_FAULT;
		return false;
	}
	if (result == UMBRA_EAGAIN) {
		fault->verdict = UMBRA_RETRY;
		return false;
	}
	if (result) {
		*status = result;
		return false;
	}
	fault->goal = fault_goal(fault, level);
	if (fault->space)
		prefetch_find(fault);
	return true;
}

bool fault_slots_changed(const struct fault *fault)
{
	return fault->generation !=
	       __atomic_load_n(&fault->mmu->slots.generation, __ATOMIC_ACQUIRE);
}

static void count_outcome(struct fault *fault)
{
	struct umbra_stats *stats = &fault->mmu->stats;

	if (fault->verdict == UMBRA_RESUME)
		mmu_count(fault->level ? &stats->pf_fixed : &stats->pf_spurious, 1);
	else if (fault->verdict == UMBRA_EMULATE)
		mmu_count(&stats->pf_emulate, 1);
	else if (fault->verdict == UMBRA_INJECT)
		mmu_count(&stats->pf_guest, 1);
	else if (fault->verdict == UMBRA_MMIO)
		mmu_count(&stats->pf_mmio, 1);
}

/* No memory, and an entry is to say so. */
static bool is_mmio(struct fault *fault)
{
	if (fault->slot || fault->verdict != UMBRA_MMIO || !mmio_wanted(fault))
		return false;
	fault->goal = 1;
	fault->neighbour_count = 0;
	return true;
}

static enum umbra_verdict map_mmio(struct fault *fault)
{
	return fault->space ? shadow_map(fault) : tdp_map(fault);
}

/* @locked_stage is what is done under the lock; @exclusive as umbra_host_lock. */
static enum umbra_status run(struct fault *fault, unsigned level, bool exclusive,
			     enum umbra_verdict (*locked_stage)(struct fault *))
{
	struct mmu *mmu = fault->mmu;
	enum umbra_status status = UMBRA_OK;

	const bool memory = find_slot(fault);

	if (memory ? pin(fault, level, &status) : is_mmio(fault)) {
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, exclusive);
		/* A root that was zapped meanwhile is to be replaced first. */
		if (fault_slots_changed(fault) || page_is_obsolete(mmu, fault->root))
			fault->verdict = UMBRA_RETRY;
		else
			fault->verdict = memory ? locked_stage(fault) : map_mmio(fault);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, exclusive);
	}
	if (!status)
		count_outcome(fault);
	return status;
}

static enum umbra_verdict map_tdp(struct fault *fault)
{
	struct mmu *mmu = fault->mmu;
	bool write = fault->access & UMBRA_ACCESS_WRITE;

	if (write && slots_is_tracked(mmu, fault->gfn))
		return UMBRA_EMULATE;
	/* Tracking, or the mirroring of a table, has begun since the goal was set. */
	if (fault->goal > 1 && fault->goal > slots_level(fault->mmu, fault->slot, fault->gfn))
		return UMBRA_RETRY;
	if (write && mmu->mirrors && pages_is_mirrored(mmu, fault->gfn)) {
		/* Mirrors go unsync only while nobody else looks at them. */
		if (!fault->exclusive)
			return UMBRA_VERDICT_COUNT;
		if (!sync_writable(mmu, fault->gfn))
			return UMBRA_EMULATE;
	}
	return tdp_map(fault);
}

enum umbra_status fault_tdp(struct fault *fault)
{
	enum umbra_status status = fault_prepare(fault);

	if (status)
		return status;
	mmu_count(&fault->mmu->stats.pf_taken, 1);
	fault->gpa.v = fault->address;
	fault->acc = fault->mmu->direct_acc;
	fault->exclusive = false;
	status = run(fault, 3, false, map_tdp);
	if (!status && fault->verdict == UMBRA_VERDICT_COUNT) {
		fault->exclusive = true;
		status = run(fault, 3, true, map_tdp);
	}
	return status;
}

/*
 * A supervisor write that only CR0.WP=0 allows (G-48). Hardware runs with WP=1, so
 * the leaf must become writable but lose USER, lest user code write as well; and
 * EXEC, lest SMEP be fooled by the lost USER. SMAP and keys would be fooled too,
 * for later accesses: there each such write is emulated. True: emulate it.
 */
static bool write_past_wp(struct fault *fault)
{
	const struct mode *mode = fault->space->mode;
	const unsigned wd_shift = 2 * fault->key + 1;
	bool key_denies;

	if (!mode || mode->flags & MODE_WP || !(fault->access & UMBRA_ACCESS_WRITE) ||
	    fault->access & (UMBRA_ACCESS_USER | UMBRA_ACCESS_SHSTK))
		return false;
	if (fault->acc & ACC_USER)
		key_denies = mode->flags & MODE_PKU && fault->space->pkru >> wd_shift & 1;
	else
		key_denies = mode->flags & MODE_PKS && fault->space->pkrs >> wd_shift & 1;
	if (fault->acc & ACC_WRITE && !key_denies)
		return false;
	if (mode->flags & (MODE_SMAP | MODE_PKU | MODE_PKS))
		return true;
	fault->acc |= ACC_WRITE;
	if (fault->acc & ACC_USER) {
		fault->acc &= ~ACC_USER;
		if (mode->flags & MODE_SMEP)
			fault->acc &= ~ACC_EXEC;
	}
	return false;
}

/* Walk stage of a shadowed guest. True: go on; false: the verdict is there. */
static bool walk_guest(struct fault *fault)
{
	const struct mode *mode = fault->space->mode;
	const struct walk *walked = &fault->walk;
	enum walk_end end;

	end = walk(fault->space, fault->address, fault->access, 0, &fault->walk);
	mmu_trace(fault->mmu, (struct umbra_trace){UMBRA_TRACE_PAGETABLE_WALK, fault->address,
						   fault->access, end, walked->final});
	if (end != WALK_OK) {
		fault->verdict = UMBRA_INJECT;
		fault->event = walked->event;
		return false;
	}
	fault->gpa.v = walked->final;
	fault->acc = walked->acc;
	fault->key = walked->key;
	if (!mode)
		return true;
	fault->shstk = mode->flags & MODE_SHSTK && walked->dirty && !(walked->acc & ACC_WRITE) &&
		       walked->acc_upper & ACC_WRITE;
	/* The first write has to set the guest's D bit: let it fault (G-38). */
	if (!walked->dirty && !(fault->access & UMBRA_ACCESS_WRITE))
		fault->acc &= ~ACC_WRITE;
	if (write_past_wp(fault)) {
		fault->verdict = UMBRA_EMULATE;
		return false;
	}
	return true;
}

static enum umbra_verdict map_or_emulate(struct fault *fault)
{
	bool mirrored = pages_is_mirrored(fault->mmu, fault->gfn) ||
			slots_is_tracked(fault->mmu, fault->gfn);
	bool readonly = fault->slot->flags & UMBRA_SLOT_READONLY || !fault->pin.writable;

	/* Last-level tables may be written freely: their mirrors go unsync. */
	if (fault->access & UMBRA_ACCESS_WRITE && !sync_writable(fault->mmu, fault->gfn))
		return UMBRA_EMULATE;
	/* A shadow-stack read needs a leaf that lets shadow-stack writes through too. Without
	 * paging any page serves for any access, which no leaf can say: W=1 is no shadow-stack
	 * page, and U tells whose it is. */
	if (fault->access & UMBRA_ACCESS_SHSTK && (mirrored || readonly || !fault->space->mode))
		return UMBRA_EMULATE;
	return shadow_map(fault);
}

enum umbra_status fault_shadow(struct fault *fault)
{
	enum umbra_status status = fault_prepare(fault);
	unsigned level;

	if (status)
		return status;
	mmu_count(&fault->mmu->stats.pf_taken, 1);
	if (walk_guest(fault)) {
		/* An unpaged guest has no leaf; its PAE tables map 2M at most. */
		level = fault->walk.level ? fault->walk.level : 2;
		status = run(fault, level, true, map_or_emulate);
	} else if (fault->verdict == UMBRA_INJECT || find_slot(fault)) {
		/* What is emulated must be memory that can be written. */
		count_outcome(fault);
	}
	return status;
}
