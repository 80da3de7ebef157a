/* SPDX-License-Identifier: MIT */
/*
 * quick.c - a short cut past fault.c for one page of a guest under TDP.
 *
 *	nothing mapped    slot, pin -> lock, shared -> slots as before? -> empty = leaf
 *	write protected   lock, shared -> slot -> W back, and a mark        (S-41)
 *
 * It takes what needs no memory and no judgement: the table of level 1 is there, no frame is
 * private, tracked or a mirrored table, and the entry is empty, or one that lacks nothing but
 * the W that a harvest of the dirty log took. Everything else goes the whole way, and so
 * does whatever turns out to be different under the lock. The stores are table_set()'s for
 * such entries: a compare-exchange, the counter, the trace (I-5, I-6: a leaf of TDP is in no
 * chain and leads to no table; I-9: rights only grow).
 *
 * Of leaves of 4K there are two a VM, but for the frame: quick_init() makes them.
 */
#include "core/quick.h"
#include "core/dirty.h"
#include "core/table.h"
#include "core/vcpu.h"

#define likely(x) __builtin_expect(!!(x), 1)

void quick_init(struct mmu *mmu)
{
	struct entry_leaf leaf = {
		.level = 1, .acc = mmu->direct_acc & ~ACC_WRITE, .accessed = true};

	mmu->leaf[0] = entry_make_leaf(&mmu->kind, &leaf);
	leaf.acc = mmu->direct_acc;
	leaf.host_writable = leaf.mmu_writable = leaf.dirty = true;
	mmu->leaf[1] = entry_make_leaf(&mmu->kind, &leaf);
}

static inline uint64_t changes_of(const struct mmu *mmu)
{
	return __atomic_load_n(&mmu->changes, __ATOMIC_ACQUIRE);
}

/* May every frame be mapped unseen, and by its address? Before an L2 runs on tables of L1's,
 * mirroring begins. */
static bool is_plain(const struct umbra_vcpu *vcpu)
{
	const struct mmu *mmu = &vcpu->vm->mmu;

	return !mmu->tracking && !mmu->mirrors && !mmu->allow_narrow &&
	       !__atomic_load_n(&mmu->slots.attributes, __ATOMIC_ACQUIRE);
}

/* Find slot and table for @gfn. False: there are none. In a read-side section, or under the
 * lock. */
static __attribute__((noinline)) bool find(struct umbra_vcpu *vcpu, umbra_gfn gfn)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	const struct page *root = vcpu->own.root;
	const struct entry_layout *layout = mmu->kind.layout;
	struct quick new = {
		.region = gfn.v >> 9,
		.changes = changes_of(mmu),
		.generation = __atomic_load_n(&mmu->slots.generation, __ATOMIC_ACQUIRE),
	};

	if (!root || page_is_obsolete(mmu, root) || gfn.v >= mmu->reach || !is_plain(vcpu))
		return false;
	new.slot = slots_find(mmu, gfn);
	if (!new.slot || new.generation & SLOTS_UPDATING)
		return false;
	new.table = root->hpa;
	for (unsigned shift = 9 * (root->role.level - 1u); shift; shift -= 9) {
		const uint64_t *entries = umbra_host_page_pointer(mmu->host, new.table);
		const uint64_t entry =
			__atomic_load_n(&entries[gfn.v >> shift & 511], __ATOMIC_ACQUIRE);

		if ((entry & (layout->mmu_present | layout->large)) != layout->mmu_present)
			return false;
		new.table = entry_table(&mmu->kind, entry);
	}
	new.entries = umbra_host_page_pointer(mmu->host, new.table);
	vcpu->quick = new;
	return true;
}

/* Are slot and table of vcpu->quick those of @gfn? Under the lock they stay it. */
static inline bool is_found(const struct umbra_vcpu *vcpu, umbra_gfn gfn)
{
	const struct mmu *mmu = &vcpu->vm->mmu;
	const struct quick *quick = &vcpu->quick;

	return quick->region == gfn.v >> 9 && quick->changes == changes_of(mmu) &&
	       quick->generation == __atomic_load_n(&mmu->slots.generation, __ATOMIC_ACQUIRE) &&
	       gfn.v - quick->slot->start.v < quick->slot->pages;
}

/* The entry of @gfn in vcpu->quick was @old: @new. False: somebody else was quicker. */
static inline bool store(struct umbra_vcpu *vcpu, umbra_gfn gfn, uint64_t old, uint64_t new)
{
	struct quick *quick = &vcpu->quick;
	const unsigned index = gfn.v & 511;
	uint64_t expected = old;

	if (!__atomic_compare_exchange_n(&quick->entries[index], &expected, new, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	mmu_trace(&vcpu->vm->mmu,
		  (struct umbra_trace){UMBRA_TRACE_SET_SPTE, quick->table.v + index * sizeof(old),
				       old, new, 1});
	return true;
}

/* ---- nothing mapped ---- */

/* The leaf of the frame that is pinned; 0: the whole path is to look. */
static inline uint64_t make_leaf(const struct mmu *mmu, const struct slot *slot,
				 const struct umbra_pin *pin, bool write)
{
	const bool writable = pin->writable && !(slot->flags & UMBRA_SLOT_READONLY);
	const uint64_t leaf = mmu->leaf[writable] | entry_frame(&mmu->kind, pin->pfn);

	if (write)
		return writable ? leaf : 0;
	/* The first write is to be seen. */
	return slot->dirty ? entry_protect(&mmu->kind, leaf, false) : leaf;
}

static inline bool fill(struct umbra_vcpu *vcpu, umbra_gfn gfn, uint64_t leaf)
{
	struct mmu *mmu = &vcpu->vm->mmu;

	if (!is_found(vcpu, gfn) || !store(vcpu, gfn, entry_empty(&mmu->kind, false), leaf))
		return false;
	mmu_count(&mmu->stats.pages_4k, 1);
	if (entry_is_writable(&mmu->kind, leaf))
		dirty_mark(vcpu->quick.slot, gfn);
	return true;
}

/* In a read-side section. */
static inline bool map(struct umbra_vcpu *vcpu, umbra_gfn gfn, bool write)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	struct umbra_pin pin;
	uint64_t leaf;
	bool done;

	if (!is_found(vcpu, gfn) && !find(vcpu, gfn))
		return false;
	if (umbra_host_pin(mmu->host, slot_hva(vcpu->quick.slot, gfn), write, &pin))
		return false;
	leaf = make_leaf(mmu, vcpu->quick.slot, &pin, write);
	if (!leaf)
		return false;
	umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, false);
	done = fill(vcpu, gfn, leaf);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, false);
	return done;
}

/* ---- write protected ---- */

/* Under the lock. */
static inline bool unprotect(struct umbra_vcpu *vcpu, umbra_gfn gfn)
{
	const struct mmu *mmu = &vcpu->vm->mmu;
	const struct entry_kind *kind = &mmu->kind;
	uint64_t old;

	if (!is_found(vcpu, gfn) && !find(vcpu, gfn))
		return false;
	old = __atomic_load_n(&vcpu->quick.entries[gfn.v & 511], __ATOMIC_ACQUIRE);
	if (!entry_is_logged(kind, old) ||
	    !store(vcpu, gfn, old, mmu->leaf[1] | (old & kind->address)))
		return false;
	dirty_mark(vcpu->quick.slot, gfn);
	return true;
}

/* ---- the exit ---- */

/* Is it of an entry without reserved bits? *@protected: the entry is present. */
static inline bool take(enum umbra_paging paging, const struct umbra_event *event, unsigned *access,
			bool *protected)
{
	const uint64_t code = event->code;

	if (event->kind == UMBRA_EVENT_NPF && paging == UMBRA_PAGING_NPT) {
		*access = code & UMBRA_PF_W   ? UMBRA_ACCESS_WRITE
			  : code & UMBRA_PF_I ? UMBRA_ACCESS_FETCH
					      : 0;
		*protected = code & UMBRA_PF_P;
		return !(code & UMBRA_PF_RSVD);
	}
	*access = code & UMBRA_EPTQ_WRITE   ? UMBRA_ACCESS_WRITE
		  : code & UMBRA_EPTQ_FETCH ? UMBRA_ACCESS_FETCH
					    : 0;
	*protected = code & (UMBRA_EPTQ_R | UMBRA_EPTQ_W | UMBRA_EPTQ_X);
	return event->kind == UMBRA_EVENT_EPT_VIOLATION && paging == UMBRA_PAGING_EPT;
}

static inline bool mend(struct umbra_vcpu *vcpu, umbra_gfn gfn, bool write, bool protected)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	bool done;

	if (protected) {
		umbra_host_lock(mmu->host, UMBRA_LOCK_MMU, false);
		done = write && unprotect(vcpu, gfn);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_MMU, false);
		return done;
	}
	umbra_host_read_begin(mmu->host);
	done = map(vcpu, gfn, write);
	umbra_host_read_end(mmu->host);
	return done;
}

static inline bool quick_fault(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
			       struct umbra_resolution *resolution)
{
	struct mmu *mmu = &vcpu->vm->mmu;
	const umbra_gpa gpa = exit->event.gpa;
	unsigned access;
	bool protected;

	if (!take(mmu->paging, &exit->event, &access, &protected) ||
	    !mend(vcpu, (umbra_gfn){gpa.v >> UMBRA_PAGE_SHIFT}, access == UMBRA_ACCESS_WRITE,
		  protected))
		return false;
	/* The vCPU's mmio_cache has only addresses without a slot. */
	mmu_count(&mmu->stats.pf_taken, 1);
	mmu_count(&mmu->stats.pf_fixed, 1);
	/* Field by field: it would be a string instruction else. */
	resolution->verdict = UMBRA_RESUME;
	resolution->event.kind = UMBRA_EVENT_NONE;
	resolution->event.code = 0;
	resolution->event.gva.v = 0;
	resolution->event.gpa.v = 0;
	resolution->to_l1 = false;
	resolution->gpa = gpa;
	resolution->access = access;
	resolution->level = 1;
	resolution->is_private = false;
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_FAULT, gpa.v, exit->event.code,
					    UMBRA_RESUME, gpa.v});
	return true;
}

enum umbra_status umbra_vcpu_fault(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
				   struct umbra_resolution *resolution)
{
	if (quick_fault(vcpu, exit, resolution))
		return UMBRA_OK;
	return vcpu_fault(vcpu, exit, resolution);
}
