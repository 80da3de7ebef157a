/* SPDX-License-Identifier: MIT */
/*
 * slot.c - memory slots as programs set them: every check of facts M-4, row by row.
 *
 *	program's slot            library's
 *	space 0, hva of the   ->  hva of the region that stands for the process's memory, or one
 *	process                   that no region has: EFAULT when it is used
 *	space 1 (SMM)         ->  none: vCPUs here never enter SMM
 *
 * The rows know all the reasons, so that the answer can name one; the library checks again,
 * and if it refuses what the rows let through that is a finding.
 *
 * Invariant: vm->slots has exactly what the library has, plus space 1.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "kvm/parts.h"

/* Above all regions of the host, for user memory that is not there. */
#define NOWHERE (1ull << 60)
/* 32 GiB. */
#define METADATA_PAGES (1ull << 23)

/** struct request - a region to be set, taken apart. */
struct request {
	struct kvm_vm *vm;
	struct kvm_memory_region is;
	bool version2;
	uint32_t space, id;
	/** The slot of that id; and the file of .is.memfd. */
	struct kvm_slot *old;
	const struct kvm_file *file;
};

static bool is_protected(const struct request *r)
{
	return r->vm->type == KVM_VM_SW_PROTECTED;
}

/* ---- the rows: true is wrong ---- */

static bool flags_unknown(const struct request *r)
{
	uint32_t known = KVM_MEM_LOG_DIRTY | KVM_MEM_READONLY;

	if (r->version2 && is_protected(r) && r->is.flags & KVM_MEM_GUEST_MEMFD)
		known = KVM_MEM_GUEST_MEMFD;
	return r->is.flags & ~known;
}

static bool size_unaligned(const struct request *r)
{
	return r->is.size & KVM_PAGE_MASK;
}

static bool gpa_unaligned(const struct request *r)
{
	return r->is.gpa & KVM_PAGE_MASK;
}

static bool hva_unaligned(const struct request *r)
{
	return r->is.hva & KVM_PAGE_MASK;
}

static bool hva_not_users(const struct request *r)
{
	return r->is.size > KVM_USER_END || r->is.hva > KVM_USER_END - r->is.size;
}

static bool offset_wrong(const struct request *r)
{
	return r->is.flags & KVM_MEM_GUEST_MEMFD &&
	       (r->is.memfd_offset & KVM_PAGE_MASK ||
		r->is.memfd_offset + r->is.size < r->is.memfd_offset);
}

static bool space_wrong(const struct request *r)
{
	return r->space >= (is_protected(r) ? 1 : 2);
}

static bool id_wrong(const struct request *r)
{
	return r->id >= KVM_USER_SLOTS;
}

static bool end_wraps(const struct request *r)
{
	return r->is.gpa + r->is.size < r->is.gpa;
}

static bool too_many_pages(const struct request *r)
{
	return r->is.size >> UMBRA_PAGE_SHIFT > KVM_SLOT_PAGES_MAX;
}

static bool nothing_to_delete(const struct request *r)
{
	return !r->is.size && !r->old;
}

static bool changes_memfd(const struct request *r)
{
	return r->is.size && r->old && (r->is.flags | r->old->flags) & KVM_MEM_GUEST_MEMFD;
}

static bool changes_hva(const struct request *r)
{
	return r->is.size && r->old && r->is.hva != r->old->hva;
}

static bool changes_size(const struct request *r)
{
	return r->is.size && r->old && r->is.size != r->old->size;
}

static bool changes_readonly(const struct request *r)
{
	return r->is.size && r->old && (r->is.flags ^ r->old->flags) & KVM_MEM_READONLY;
}

static bool is_placed(const struct request *r)
{
	return r->is.size && (!r->old || r->is.gpa != r->old->gpa);
}

static bool overlaps(const struct request *r)
{
	for (const struct kvm_slot *slot = r->vm->slots; slot && is_placed(r); slot = slot->next)
		if (slot != r->old && slot->space == r->space &&
		    r->is.gpa < slot->gpa + slot->size && slot->gpa < r->is.gpa + r->is.size)
			return true;
	return false;
}

static bool uses_memfd(const struct request *r)
{
	return is_placed(r) && r->is.flags & KVM_MEM_GUEST_MEMFD;
}

static bool memfd_not_open(const struct request *r)
{
	return uses_memfd(r) && !r->file;
}

static bool memfd_foreign(const struct request *r)
{
	return uses_memfd(r) && (r->file->kind != KVM_MEMFD || r->file->vm != r->vm);
}

static bool memfd_too_small(const struct request *r)
{
	return uses_memfd(r) && r->is.memfd_offset + r->is.size > r->file->memfd->size;
}

static bool memfd_bound(const struct request *r)
{
	for (const struct kvm_slot *slot = r->vm->slots; slot && uses_memfd(r); slot = slot->next)
		if (slot->memfd == r->file->memfd &&
		    r->is.memfd_offset < slot->memfd_offset + slot->size &&
		    slot->memfd_offset < r->is.memfd_offset + r->is.size)
			return true;
	return false;
}

static bool beyond_cpu(const struct request *r)
{
	return is_placed(r) &&
	       (r->is.gpa + r->is.size - 1) >> r->vm->process->config.vm.cpu.maxphyaddr;
}

/* In the kernel's order. */
static const struct row {
	bool (*wrong)(const struct request *r);
	int error;
	const char *why;
} rows[] = {
	{flags_unknown, EINVAL, "flags that this kind of VM, or this request, does not have"},
	{size_unaligned, EINVAL, "the size is not a multiple of 4096"},
	{gpa_unaligned, EINVAL, "the guest-physical address is not a multiple of 4096"},
	{hva_unaligned, EINVAL, "the user address is not a multiple of 4096"},
	{hva_not_users, EINVAL, "the memory does not lie in the user's half of addresses"},
	{offset_wrong, EINVAL, "the offset is not a multiple of 4096, or its end wraps"},
	{space_wrong, EINVAL, "no such address space"},
	{id_wrong, EINVAL, "slot ids end at 32763"},
	{end_wraps, EINVAL, "the guest-physical end wraps around 2^64"},
	{too_many_pages, EINVAL, "a slot has at most 2^31-1 pages"},
	{nothing_to_delete, EINVAL, "there is no such slot to delete"},
	{changes_memfd, EINVAL, "a slot with guest_memfd can only be deleted"},
	{changes_hva, EINVAL, "the slot exists with another user address"},
	{changes_size, EINVAL, "the slot exists with another size"},
	{changes_readonly, EINVAL, "a slot's READONLY cannot change"},
	{overlaps, EEXIST, "another slot overlaps"},
	{memfd_not_open, EBADF, "the guest_memfd is not open"},
	{memfd_foreign, EINVAL, "not a guest_memfd of this VM"},
	{memfd_too_small, EINVAL, "it ends beyond the guest_memfd"},
	{memfd_bound, EINVAL, "another slot has that part of the guest_memfd"},
	{beyond_cpu, EINVAL, "it ends beyond the CPU's MAXPHYADDR"},
};

/* ---- doing it ---- */

static umbra_hva library_hva(const struct kvm_vm *vm, uint64_t hva, uint64_t size)
{
	uint64_t distance;

	if (kvm_memory_distance(hva, size, &distance))
		return (umbra_hva){vm->memory_hva.v + distance};
	return (umbra_hva){NOWHERE + hva};
}

/* A part of a guest_memfd that is not backed must not reach into the next one. */
static umbra_hva library_private(const struct request *r)
{
	const struct kvm_guest_memory *memfd = r->file->memfd;

	if (r->is.memfd_offset + r->is.size > memfd->backed)
		return (umbra_hva){NOWHERE};
	return (umbra_hva){memfd->hva.v + r->is.memfd_offset};
}

static enum umbra_status to_library(const struct request *r)
{
	struct umbra_slot slot = {
		.id = r->id,
		.flags = UMBRA_SLOT_UNMAPPABLE |
			 (r->is.flags & KVM_MEM_READONLY ? UMBRA_SLOT_READONLY : 0) |
			 (r->is.flags & KVM_MEM_LOG_DIRTY ? UMBRA_SLOT_LOG_DIRTY : 0),
		.base = {r->is.gpa},
		.size = r->is.size,
		.hva = library_hva(r->vm, r->is.hva, r->is.size),
	};

	if (r->is.size && r->is.flags & KVM_MEM_GUEST_MEMFD) {
		slot.flags |= UMBRA_SLOT_PRIVATE;
		slot.private_hva = library_private(r);
	}
	if (r->space || (r->old && r->old->lost))
		return UMBRA_OK;
	return umbra_slot_set(r->vm->umbra, &slot);
}

static void remember(const struct request *r, struct kvm_slot *slot)
{
	slot->space = r->space;
	slot->id = r->id;
	slot->flags = r->is.flags;
	slot->gpa = r->is.gpa;
	slot->size = r->is.size;
	slot->hva = r->is.hva;
	if (r->is.flags & KVM_MEM_GUEST_MEMFD) {
		slot->memfd = r->file->memfd;
		slot->memfd_offset = r->is.memfd_offset;
	}
}

static void forget(struct kvm_vm *vm, struct kvm_slot *slot)
{
	struct kvm_slot **link = &vm->slots;

	while (*link != slot)
		link = &(*link)->next;
	*link = slot->next;
	free(slot);
}

static const char *change_of(const struct request *r)
{
	if (!r->old)
		return "created";
	if (r->is.gpa != r->old->gpa)
		return "moved";
	return r->is.flags != r->old->flags ? "changed" : "as it was";
}

static void tell(const struct request *r)
{
	const char *space = r->space ? " of SMM" : "";

	if (!r->is.size)
		kvm_tell(r->vm->process, KVM_TOLD_STEP, "slot %" PRIu32 "%s deleted", r->id, space);
	else
		kvm_tell(r->vm->process, KVM_TOLD_STEP,
			 "slot %" PRIu32 "%s %s: gpa 0x%" PRIx64 "+0x%" PRIx64 " at 0x%" PRIx64
			 "%s%s",
			 r->id, space, change_of(r), r->is.gpa, r->is.size, r->is.hva,
			 r->is.flags & KVM_MEM_READONLY ? ", read-only" : "",
			 r->is.flags & KVM_MEM_LOG_DIRTY ? ", logged" : "");
}

/* The reverse map of a shadowed slot and the marks of a logged one have a place a page. */
static bool is_too_much(const struct request *r)
{
	const bool by_page = r->vm->process->config.vm.paging == UMBRA_PAGING_SHADOW ||
			     r->is.flags & KVM_MEM_LOG_DIRTY;

	return !r->space && by_page && r->is.size >> UMBRA_PAGE_SHIFT > METADATA_PAGES;
}

static int64_t carry_out(const struct request *r)
{
	struct kvm_process *process = r->vm->process;
	struct kvm_slot *fresh = r->old ? NULL : calloc(1, sizeof(*fresh));
	enum umbra_status status;

	if (!r->old && !fresh)
		return kvm_refuse(process, ENOMEM, "memory is short");
	if (is_too_much(r)) {
		free(fresh);
		return kvm_refuse(process, ENOMEM, "more pages than this host keeps account of");
	}
	status = to_library(r);
	if (status) {
		free(fresh);
		if (status != UMBRA_ENOMEM && status != UMBRA_ENOSPC) {
			process->findings++;
			kvm_tell(process, KVM_TOLD_FINDING, "the library refuses what KVM allows");
		}
		return kvm_status(process, status);
	}
	tell(r);
	if (fresh) {
		remember(r, fresh);
		fresh->next = r->vm->slots;
		r->vm->slots = fresh;
	} else if (r->is.size) {
		remember(r, r->old);
	} else {
		forget(r->vm, r->old);
	}
	return 0;
}

int64_t kvm_slot_set(struct kvm_vm *vm, uint64_t arg, bool version2)
{
	struct request r = {.vm = vm, .version2 = version2};
	int64_t result = kvm_copy_in(vm->process, arg, &r.is,
				     version2 ? sizeof(r.is) : KVM_MEMORY_REGION_V1_SIZE);

	if (result)
		return result;
	r.space = r.is.slot >> 16;
	r.id = r.is.slot & 0xffff;
	for (r.old = vm->slots; r.old; r.old = r.old->next)
		if (r.old->space == r.space && r.old->id == r.id)
			break;
	r.file = kvm_fd_file(vm->process, r.is.memfd);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].wrong(&r))
			return kvm_refuse(vm->process, rows[i].error, "%s", rows[i].why);
	return carry_out(&r);
}

void kvm_slot_unbind(const struct kvm_guest_memory *memfd)
{
	struct kvm_vm *vm = memfd->vm;

	for (struct kvm_slot *slot = vm->slots; slot; slot = slot->next) {
		struct umbra_slot other = {.id = slot->id};

		if (slot->memfd != memfd)
			continue;
		/* Such a slot cannot change; without memory in between it may not come back. */
		umbra_slot_set(vm->umbra, &other);
		other.flags = UMBRA_SLOT_UNMAPPABLE | UMBRA_SLOT_PRIVATE;
		other.base.v = slot->gpa;
		other.size = slot->size;
		other.hva = library_hva(vm, slot->hva, slot->size);
		other.private_hva.v = NOWHERE;
		slot->lost = umbra_slot_set(vm->umbra, &other) != UMBRA_OK;
	}
}

const struct kvm_slot *kvm_slot_at(const struct kvm_vm *vm, uint64_t gpa)
{
	for (const struct kvm_slot *slot = vm->slots; slot; slot = slot->next)
		if (!slot->space && gpa - slot->gpa < slot->size)
			return slot;
	return NULL;
}

bool kvm_slot_uses(const struct kvm_vm *vm, uint64_t address, uint64_t size)
{
	uint64_t at, from;

	for (const struct kvm_slot *slot = vm->slots; slot; slot = slot->next)
		if (kvm_memory_distance(address, size, &at) &&
		    kvm_memory_distance(slot->hva, slot->size, &from) &&
		    (at - from < slot->size || from - at < size))
			return true;
	return false;
}

void kvm_slot_written(struct kvm_vm *vm, uint64_t distance, size_t size)
{
	if (vm->process->config.vm.paging != UMBRA_PAGING_SHADOW)
		return;
	for (const struct kvm_slot *slot = vm->slots; slot; slot = slot->next) {
		uint64_t from, at = distance & ~KVM_PAGE_MASK;

		if (!kvm_memory_distance(slot->hva, slot->size, &from))
			continue;
		for (; at < distance + size; at += UMBRA_PAGE_SIZE)
			if (at - from < slot->size)
				umbra_vm_unprotect(vm->umbra, (umbra_gpa){slot->gpa + (at - from)});
	}
}
