/* SPDX-License-Identifier: MIT */
/*
 * map.c - mmap, munmap and mprotect of the process's memory.
 *
 * The data area is mapped from the beginning, readable and writable. Anonymous pages can be
 * mapped over it, and what a vCPU shows (struct kvm_run_page). Rights decide what system calls
 * may copy and what guests may do with the pages (F-22). A kernel's notifier takes away what
 * maps them when they change; here all tables of a VM that has them go.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "kvm/parts.h"

/* kvm_memory_protect(), and no entry maps the pages as they were. */
static int protect(struct kvm_process *process, uint64_t address, uint64_t size,
		   uint64_t protection, bool fresh)
{
	int error = kvm_memory_protect(process->memory, address, size, protection, fresh);

	for (struct kvm_vm *vm = process->vms; vm && !error; vm = vm->next) {
		if (!kvm_slot_uses(vm, address, size))
			continue;
		umbra_vm_zap_all(vm->umbra);
		kvm_tell(process, KVM_TOLD_STEP, "guest memory: the VM's tables are dropped");
	}
	return error;
}

static int64_t mapped(struct kvm_process *process, const struct kvm_map *map)
{
	int error = protect(process, map->address, map->size, map->protection, true);

	if (error == ENOMEM)
		return kvm_unknown(process, "only syzkaller's 16 MiB of data can be mapped here");
	if (error)
		return kvm_refuse(process, error, "unaligned, or no size");
	return (int64_t)map->address;
}

static int64_t map_vcpu(struct kvm_process *process, const struct kvm_map *map,
			struct kvm_vcpu *vcpu)
{
	int64_t result;

	if (map->offset & KVM_PAGE_MASK)
		return kvm_refuse(process, EINVAL, "the offset is not a multiple of 4096");
	if (map->offset)
		return kvm_unknown(process, "only the first page of a vCPU is here");
	result = mapped(process, map);
	if (result < 0)
		return result;
	vcpu->run_address = map->address;
	if (!kvm_memory_write(process->memory, map->address, &vcpu->run, sizeof(vcpu->run)))
		vcpu->run_address = 0;
	return result;
}

int64_t kvm_mmap(struct kvm_process *process, const struct kvm_map *map)
{
	struct kvm_file *file = kvm_fd_file(process, map->fd);

	if (!map->size || map->address & KVM_PAGE_MASK)
		return kvm_refuse(process, EINVAL, "unaligned, or no size");
	if (!(map->flags & MAP_FIXED))
		return kvm_unknown(process, "without MAP_FIXED the kernel chooses the place");
	if (map->flags & MAP_ANONYMOUS)
		return mapped(process, map);
	if (!file)
		return kvm_refuse(process, EBADF, "descriptor %" PRId32 " is not open",
				  (int32_t)map->fd);
	if (file->kind == KVM_VCPU)
		return map_vcpu(process, map, file->vcpu);
	if (file->kind == KVM_OTHER)
		return kvm_unknown(process, "a file that is not KVM's");
	return kvm_refuse(process, ENODEV, "it cannot be mapped");
}

int64_t kvm_munmap(struct kvm_process *process, uint64_t address, uint64_t size)
{
	if (protect(process, address, size, KVM_NOT_MAPPED, true) == EINVAL)
		return kvm_refuse(process, EINVAL, "unaligned, or no size");
	return 0;
}

int64_t kvm_mprotect(struct kvm_process *process, uint64_t address, uint64_t size,
		     uint64_t protection)
{
	int error;

	if (address & KVM_PAGE_MASK || protection & ~7ull)
		return kvm_refuse(process, EINVAL, "unaligned, or unknown rights");
	if (!size)
		return 0;
	error = protect(process, address, size, protection, false);
	if (error)
		return kvm_refuse(process, error, "not all of it is mapped");
	return 0;
}
