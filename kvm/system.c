/* SPDX-License-Identifier: MIT */
/*
 * system.c - what /dev/kvm itself answers: versions, sizes and capabilities.
 *
 * Capabilities that have nothing to do with the MMU are 0 here, which a program may see as "an
 * old kernel"; it is told as a step, since a real one may say otherwise.
 */
#include <inttypes.h>

#include "kvm/parts.h"

int64_t kvm_system_version(struct kvm_process *process, uint64_t arg)
{
	if (arg)
		return kvm_refuse(process, EINVAL, "takes no argument");
	return KVM_API_VERSION;
}

int64_t kvm_system_mmap_size(struct kvm_process *process, uint64_t arg)
{
	if (arg)
		return kvm_refuse(process, EINVAL, "takes no argument");
	return KVM_RUN_PAGES * UMBRA_PAGE_SIZE;
}

int64_t kvm_system_capability(struct kvm_process *process, const struct kvm_vm *vm, uint64_t cap)
{
	const bool tdp = process->config.vm.paging != UMBRA_PAGING_SHADOW;
	const bool is_private = vm ? vm->type == KVM_VM_SW_PROTECTED : tdp;

	switch (cap) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_SYNC_MMU:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_INTERNAL_ERROR_DATA:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_ENABLE_CAP_VM:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_SREGS2:
	case KVM_CAP_USER_MEMORY2:
	case KVM_CAP_MEMORY_FAULT_INFO: return 1;
	case KVM_CAP_NR_VCPUS:
	case KVM_CAP_MAX_VCPUS: return KVM_VCPUS_MAX;
	case KVM_CAP_MAX_VCPU_ID: return KVM_VCPU_IDS;
	case KVM_CAP_NR_MEMSLOTS: return KVM_USER_SLOTS;
	case KVM_CAP_MULTI_ADDRESS_SPACE: return vm && is_private ? 1 : 2;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: return KVM_MANUAL_ENABLE | KVM_MANUAL_INITIALLY_SET;
	case KVM_CAP_MEMORY_ATTRIBUTES: return is_private ? KVM_ATTRIBUTE_PRIVATE : 0;
	case KVM_CAP_GUEST_MEMFD: return is_private;
	case KVM_CAP_VM_TYPES: return 1 << KVM_VM_DEFAULT | (tdp ? 1 << KVM_VM_SW_PROTECTED : 0);
	case KVM_CAP_PRE_FAULT_MEMORY: return tdp;
	default:
		kvm_tell(process, KVM_TOLD_STEP,
			 "capability %" PRIu64 " is none of the MMU's: 0 here", cap);
		return 0;
	}
}
