/* SPDX-License-Identifier: MIT */
/*
 * dirty.c - KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG (facts M-20, M-21).
 *
 *	slot: space << 16 | id      bitmap: a bit a page, in whole 64-bit words
 *
 * Errors come in the kernel's order; what has been taken stays taken when the copy to the
 * program fails. Slots of SMM are never written to: their log is empty.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "kvm/parts.h"

static uint64_t words_for(uint64_t pages)
{
	return (pages + 63) / 64;
}

/* 0, and the slot if it is logged, else NULL; or -EINVAL. */
static int64_t find(struct kvm_vm *vm, uint32_t number, const struct kvm_slot **slot)
{
	const uint32_t space = number >> 16, id = number & 0xffff;

	*slot = NULL;
	if (space >= (vm->type == KVM_VM_SW_PROTECTED ? 1u : 2u))
		return kvm_refuse(vm->process, EINVAL, "no address space %" PRIu32, space);
	if (id >= KVM_USER_SLOTS)
		return kvm_refuse(vm->process, EINVAL, "slot ids end at %u", KVM_USER_SLOTS - 1);
	for (*slot = vm->slots; *slot; *slot = (*slot)->next)
		if ((*slot)->space == space && (*slot)->id == id)
			break;
	if (*slot && !((*slot)->flags & KVM_MEM_LOG_DIRTY))
		*slot = NULL;
	return 0;
}

static int64_t not_logged(struct kvm_vm *vm)
{
	return kvm_refuse(vm->process, ENOENT, "no such slot, or it is not logged");
}

static void tell_marks(struct kvm_vm *vm, const uint64_t *bitmap, uint64_t words)
{
	uint64_t count = 0, first = UINT64_MAX;

	for (uint64_t i = 0; i < words; i++) {
		if (bitmap[i] && first == UINT64_MAX)
			first = i * 64 + (unsigned)__builtin_ctzll(bitmap[i]);
		count += (unsigned)__builtin_popcountll(bitmap[i]);
	}
	if (count)
		kvm_tell(vm->process, KVM_TOLD_STEP,
			 "dirty pages: %" PRIu64 ", the first is %" PRIu64, count, first);
	else
		kvm_tell(vm->process, KVM_TOLD_STEP, "dirty pages: none");
}

int64_t kvm_dirty_get(struct kvm_vm *vm, uint64_t arg)
{
	struct kvm_process *process = vm->process;
	const struct kvm_slot *slot;
	struct kvm_dirty_log log;
	uint64_t words, *bitmap;
	int64_t result = kvm_copy_in(process, arg, &log, sizeof(log));

	if (!result)
		result = find(vm, log.slot, &slot);
	if (result)
		return result;
	if (!slot)
		return not_logged(vm);
	words = words_for(slot->size >> UMBRA_PAGE_SHIFT);
	bitmap = calloc(words, sizeof(*bitmap));
	if (!bitmap)
		return kvm_refuse(process, ENOMEM, "memory is short");
	if (!slot->space)
		result = kvm_status(process, umbra_vm_get_dirty_log(vm->umbra, slot->id, bitmap));
	if (!result) {
		tell_marks(vm, bitmap, words);
		result = kvm_copy_out(process, log.bitmap, bitmap, words * sizeof(*bitmap));
	}
	free(bitmap);
	return result;
}

static int64_t clear(struct kvm_vm *vm, const struct kvm_slot *slot,
		     const struct kvm_clear_log *log)
{
	const uint64_t words = words_for(log->pages);
	uint64_t *bitmap = calloc(words + 1, sizeof(*bitmap));
	int64_t result;

	if (!bitmap)
		return kvm_refuse(vm->process, ENOMEM, "memory is short");
	result = kvm_copy_in(vm->process, log->bitmap, bitmap, words * sizeof(*bitmap));
	if (!result && !slot->space)
		result = kvm_status(vm->process,
				    umbra_vm_clear_dirty_log(vm->umbra, slot->id, log->first,
							     log->pages, bitmap));
	free(bitmap);
	return result;
}

int64_t kvm_dirty_clear(struct kvm_vm *vm, uint64_t arg)
{
	struct kvm_process *process = vm->process;
	const struct kvm_slot *slot;
	struct kvm_clear_log log;
	uint64_t left;
	int64_t result = kvm_copy_in(process, arg, &log, sizeof(log));

	if (!result)
		result = find(vm, log.slot, &slot);
	if (result)
		return result;
	if (log.first & 63)
		return kvm_refuse(process, EINVAL, "the first page is not a multiple of 64");
	if (!slot)
		return not_logged(vm);
	left = slot->size >> UMBRA_PAGE_SHIFT;
	if (log.first > left || log.pages > left - log.first)
		return kvm_refuse(process, EINVAL, "pages beyond the slot's %" PRIu64, left);
	if (log.pages < left - log.first && log.pages & 63)
		return kvm_refuse(process, EINVAL,
				  "neither a multiple of 64 pages nor all that are left");
	return clear(vm, slot, &log);
}
