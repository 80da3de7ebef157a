/* SPDX-License-Identifier: MIT */
/*
 * prefault.c - KVM_PRE_FAULT_MEMORY (facts F-40, F-41).
 *
 *	{gpa, size}   in: what is wanted       out: what is left, whatever the result
 *
 * The library refuses a range if any of it is memory that no root can map; KVM goes as far as
 * it can and says EFAULT when nothing is left but that. So the range is cut where the root
 * ends, and the rest is left over.
 */
#include <inttypes.h>

#include "kvm/parts.h"

static const char *wrong(const struct kvm_pre_fault *range)
{
	if (range->flags)
		return "flags are not 0";
	if ((range->gpa | range->size) & KVM_PAGE_MASK)
		return "address or size is not a multiple of 4096";
	if (range->gpa + range->size <= range->gpa)
		return "the size is 0, or the end wraps around 2^64";
	return NULL;
}

static enum umbra_status map(struct kvm_vcpu *vcpu, struct kvm_pre_fault *range)
{
	const unsigned bits = kvm_vm_root_bits(vcpu->vm);
	const uint64_t end = bits < 64 ? 1ull << bits : UINT64_MAX;
	umbra_gpa gpa = {range->gpa};
	uint64_t size = range->size, beyond = 0;
	enum umbra_status status = umbra_vcpu_prefault(vcpu->umbra, &gpa, &size);

	if (status == UMBRA_EUNMAPPABLE && gpa.v < end) {
		beyond = size - (end - gpa.v);
		size -= beyond;
		status = umbra_vcpu_prefault(vcpu->umbra, &gpa, &size);
	}
	range->gpa = gpa.v;
	range->size = size + beyond;
	return status;
}

int64_t kvm_prefault(struct kvm_vcpu *vcpu, uint64_t arg)
{
	struct kvm_process *process = vcpu->vm->process;
	struct kvm_pre_fault range;
	int64_t result = kvm_copy_in(process, arg, &range, sizeof(range));
	const char *why;
	uint64_t first;
	enum umbra_status status;

	if (result)
		return result;
	why = wrong(&range);
	if (why) {
		result = kvm_refuse(process, EINVAL, "%s", why);
		return kvm_copy_out(process, arg, &range, sizeof(range)) ? -EFAULT : result;
	}
	first = range.gpa;
	status = map(vcpu, &range);
	if (range.gpa != first)
		kvm_tell(process, KVM_TOLD_STEP, "gpa 0x%" PRIx64 "+0x%" PRIx64 " mapped", first,
			 range.gpa - first);
	if (range.size && range.gpa != first)
		kvm_tell(process, KVM_TOLD_STEP, "left over: 0x%" PRIx64 " from gpa 0x%" PRIx64,
			 range.size, range.gpa);
	if (status == UMBRA_EUNMAPPABLE)
		kvm_run_memory_fault(vcpu, (umbra_gpa){range.gpa}, false);
	result = status == UMBRA_ENOENT
			 ? kvm_refuse(process, ENOENT, "gpa 0x%" PRIx64 " is in no slot", range.gpa)
			 : kvm_status(process, status);
	return kvm_copy_out(process, arg, &range, sizeof(range)) ? -EFAULT : result;
}
