/* SPDX-License-Identifier: MIT */
/*
 * vm.c - a VM: its host, its library VM, its guest_memfds, its end.
 *
 *	kvm_vm --> posix_host: table pages, the process's memory, guest_memfds as regions
 *	       `-> umbra_vm
 *
 * Host-physical places are made up, below 2^36 so that any CPU reaches them:
 *
 *	16 MiB..    table pages below 4 GiB        (port/posix)
 *	16 GiB..    the process's memory
 *	20 GiB..    guest_memfds
 *	36 GiB..    table pages
 *
 * Slots may name user memory that is not there; such an hva lies far above all regions, and
 * pins there give EFAULT when they happen, as in the kernel.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kvm/parts.h"

#define MEMORY_BASE (16ull << 30)
#define MEMFD_BASE (20ull << 30)
#define MEMFD_ROOM (16ull << 30)
/* More of a guest_memfd than this is not backed: using it is EFAULT. */
#define MEMFD_BACKED (1ull << 28)

/* ---- what the library tells ---- */

static void on_trace(void *context, const struct umbra_trace *t)
{
	struct kvm_vm *vm = context;

	switch (t->kind) {
	case UMBRA_TRACE_SET_SPTE:
		kvm_tell(vm->process, KVM_TOLD_TRACE,
			 "L%" PRIu64 " entry at 0x%" PRIx64 ": 0x%" PRIx64 " -> 0x%" PRIx64, t->d,
			 t->a, t->b, t->c);
		break;
	case UMBRA_TRACE_FLUSH:
		if (t->b)
			kvm_tell(vm->process, KVM_TOLD_TRACE,
				 "flush of 0x%" PRIx64 " frames from 0x%" PRIx64, t->b, t->a);
		else
			kvm_tell(vm->process, KVM_TOLD_TRACE, "flush of everything");
		break;
	case UMBRA_TRACE_PREPARE_ZAP_PAGE:
		kvm_tell(vm->process, KVM_TOLD_TRACE,
			 "table at 0x%" PRIx64 " of frame 0x%" PRIx64 " goes", t->c, t->a);
		break;
	case UMBRA_TRACE_MARK_MMIO_SPTE:
		vm->mmio[vm->mmio_count++ % KVM_MMIO_KEPT] = t->b;
		kvm_tell(vm->process, KVM_TOLD_TRACE,
			 "MMIO entry at 0x%" PRIx64 " for frame 0x%" PRIx64 ", generation %" PRIu64,
			 t->a, t->b, t->d);
		break;
	case UMBRA_TRACE_CHANGED_PFN:
		kvm_tell(vm->process, KVM_TOLD_STEP,
			 "gpa 0x%" PRIx64 " leads to host frame 0x%" PRIx64
			 ", but its memory is frame 0x%" PRIx64,
			 t->a, t->b, t->c);
		break;
	default: break;
	}
}

/* Pages of the process's memory have the rights that mprotect() gave them (F-22). */
static int on_pin(void *context, umbra_hva hva, bool write, bool *writable)
{
	const struct kvm_vm *vm = context;
	const uint64_t distance = hva.v - vm->memory_hva.v;
	bool readable;

	if (distance >= KVM_MEMORY_SIZE)
		return UMBRA_OK;
	kvm_memory_rights(vm->process->memory, distance, &readable, writable);
	/* The guest may write there, and bits A and D go only where it wrote a table before. */
	if (*writable)
		kvm_memory_touch(vm->process->memory, distance);
	return readable && (*writable || !write) ? UMBRA_OK : UMBRA_EFAULT;
}

static void on_finding(void *context, const struct umbra_finding *finding)
{
	struct kvm_vm *vm = context;

	kvm_tell(vm->process, KVM_TOLD_FINDING,
		 "%s: %s: entry at 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64, finding->invariant,
		 finding->what, finding->where, finding->value, finding->other);
}

uint64_t kvm_vm_audit(struct kvm_vm *vm)
{
	return umbra_audit(vm->umbra, on_finding, vm);
}

unsigned kvm_vm_root_bits(const struct kvm_vm *vm)
{
	const struct umbra_vm_config *config = &vm->process->config.vm;

	if (config->paging == UMBRA_PAGING_SHADOW)
		return 64;
	return config->levels == 3 ? 32 : config->levels == 4 ? 48 : 52;
}

/* ---- birth and death ---- */

static bool open_host(struct kvm_vm *vm)
{
	const struct umbra_vm_config *vm_config = &vm->process->config.vm;
	/* Only PAE roots have to lie below 4 GiB. */
	const bool low = vm_config->paging == UMBRA_PAGING_SHADOW || vm_config->levels == 3;
	const struct posix_config config = {
		.single = true,
		.alloc_max = vm->process->config.alloc_max,
		.base = {POSIX_LOW_BASE, POSIX_HIGH_BASE},
		.pages = {low ? 512 : 0, 16384},
	};
	const struct posix_region memory = {
		.base = {MEMORY_BASE},
		.size = KVM_MEMORY_SIZE,
		.bytes = kvm_memory_bytes(vm->process->memory),
		.level = 1,
	};
	const struct posix_calls calls = {.context = vm, .trace = on_trace, .may_pin = on_pin};

	vm->host = vm->process->spare;
	vm->process->spare = NULL;
	if (!vm->host)
		vm->host = posix_host_new(&config);
	if (!vm->host)
		return false;
	posix_set_calls(vm->host, &calls);
	return posix_region_add(vm->host, &memory, &vm->memory_hva);
}

static void vm_free(struct kvm_vm *vm)
{
	while (vm->vcpus) {
		struct kvm_vcpu *next = vm->vcpus->next;

		kvm_vcpu_free(vm->vcpus);
		vm->vcpus = next;
	}
	umbra_vm_destroy(vm->umbra);
	if (vm->host && !vm->process->spare) {
		posix_host_reset(vm->host);
		vm->process->spare = vm->host;
	} else {
		posix_host_free(vm->host);
	}
	while (vm->slots) {
		struct kvm_slot *next = vm->slots->next;

		free(vm->slots);
		vm->slots = next;
	}
	while (vm->memfds) {
		struct kvm_guest_memory *next = vm->memfds->next;

		munmap(vm->memfds->bytes, vm->memfds->backed);
		free(vm->memfds);
		vm->memfds = next;
	}
	free(vm);
}

void kvm_vm_put(struct kvm_vm *vm)
{
	struct kvm_vm **link = &vm->process->vms;

	if (--vm->refs)
		return;
	if (!vm->process->findings)
		vm->process->findings += kvm_vm_audit(vm);
	while (*link != vm)
		link = &(*link)->next;
	*link = vm->next;
	if (!vm->process->exits)
		kvm_tell(vm->process, KVM_TOLD_STEP, "the VM goes with its last descriptor");
	vm_free(vm);
}

static int64_t type_refused(struct kvm_process *process, uint64_t type)
{
	if (type == KVM_VM_DEFAULT)
		return 0;
	if (type != KVM_VM_SW_PROTECTED)
		return kvm_refuse(process, EINVAL, "no VMs of type 0x%" PRIx64, type);
	if (process->config.vm.paging == UMBRA_PAGING_SHADOW)
		return kvm_refuse(process, EINVAL, "protected VMs need EPT or NPT");
	return 0;
}

int64_t kvm_vm_create(struct kvm_process *process, uint64_t type)
{
	int64_t result = type_refused(process, type);
	struct umbra_vm_config config = process->config.vm;
	struct kvm_vm *vm;

	if (result)
		return result;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return kvm_refuse(process, ENOMEM, "memory is short");
	vm->process = process;
	vm->type = type;
	if (!open_host(vm)) {
		vm_free(vm);
		return kvm_refuse(process, ENOMEM, "memory is short");
	}
	config.host = vm->host;
	config.private_memory = type == KVM_VM_SW_PROTECTED;
	result = kvm_status(process, umbra_vm_create(&config, &vm->umbra));
	if (!result)
		result = kvm_fd_new(process, &(struct kvm_file){.kind = KVM_VM, .vm = vm});
	if (result < 0) {
		vm_free(vm);
		return result;
	}
	vm->next = process->vms;
	process->vms = vm;
	return result;
}

/* ---- capabilities ---- */

int64_t kvm_vm_enable_cap(struct kvm_vm *vm, uint64_t arg)
{
	struct kvm_process *process = vm->process;
	struct kvm_enable_cap cap;
	int64_t result = kvm_copy_in(process, arg, &cap, sizeof(cap));
	uint64_t allowed = KVM_MANUAL_ENABLE;

	if (result)
		return result;
	if (cap.cap != KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
		return kvm_unknown(process, "capability %" PRIu32 " is none of the MMU's", cap.cap);
	if (cap.args[0] & KVM_MANUAL_ENABLE)
		allowed |= KVM_MANUAL_INITIALLY_SET;
	if (cap.flags)
		return kvm_refuse(process, EINVAL, "flags 0x%" PRIx32 " are not 0", cap.flags);
	if (cap.args[0] & ~allowed)
		return kvm_refuse(process, EINVAL,
				  "0x%" PRIx64 ": bit 0 enables, bit 1 needs bit 0", cap.args[0]);
	return kvm_status(process, umbra_vm_set_manual_dirty(vm->umbra, (uint8_t)cap.args[0]));
}

/* ---- pages of KVM's own ---- */

#define TSS_PAGES 3u

int64_t kvm_vm_set_tss(struct kvm_vm *vm, uint64_t arg)
{
	const struct umbra_vm_config *config = &vm->process->config.vm;

	if (arg > (uint32_t) - (TSS_PAGES * UMBRA_PAGE_SIZE))
		return kvm_refuse(vm->process, EINVAL,
				  "three pages from 0x%" PRIx64 " do not end below 4 GiB", arg);
	if (config->cpu.vendor == UMBRA_VENDOR_INTEL && config->paging == UMBRA_PAGING_SHADOW)
		kvm_tell(vm->process, KVM_TOLD_STEP,
			 "without EPT a kernel makes a slot of its own there: not here");
	return 0;
}

int64_t kvm_vm_set_identity_map(struct kvm_vm *vm, uint64_t arg)
{
	uint64_t address;

	if (vm->vcpu_count)
		return kvm_refuse(vm->process, EINVAL, "there are vCPUs");
	return kvm_copy_in(vm->process, arg, &address, sizeof(address));
}

/* ---- private memory ---- */

static const char *attributes_wrong(const struct kvm_vm *vm, const struct kvm_attributes *a)
{
	if (a->flags)
		return "flags are not 0";
	if (a->attributes & ~(vm->type == KVM_VM_SW_PROTECTED ? KVM_ATTRIBUTE_PRIVATE : 0))
		return "attributes that this kind of VM does not have";
	if (!a->size || a->gpa + a->size < a->gpa)
		return "the size is 0, or the end wraps around 2^64";
	if ((a->gpa | a->size) & KVM_PAGE_MASK)
		return "address or size is not a multiple of 4096";
	return NULL;
}

int64_t kvm_vm_set_attributes(struct kvm_vm *vm, uint64_t arg)
{
	struct kvm_process *process = vm->process;
	struct kvm_attributes a;
	int64_t result = kvm_copy_in(process, arg, &a, sizeof(a));
	const char *wrong;

	if (result)
		return result;
	wrong = attributes_wrong(vm, &a);
	if (wrong)
		return kvm_refuse(process, EINVAL, "%s", wrong);
	result = kvm_status(process, umbra_vm_set_attributes(vm->umbra, (umbra_gpa){a.gpa}, a.size,
							     a.attributes));
	if (!result)
		kvm_tell(process, KVM_TOLD_STEP, "gpa 0x%" PRIx64 "+0x%" PRIx64 " is %s", a.gpa,
			 a.size, a.attributes ? "private" : "shared");
	return result;
}

/* ---- guest_memfd ---- */

/* Address space that the kernel gives for nothing until it is used. */
static bool back_memfd(struct kvm_guest_memory *memfd)
{
	struct kvm_vm *vm = memfd->vm;
	struct posix_region region = {.base = {MEMFD_BASE + vm->memfd_bytes}, .level = 1};

	memfd->backed = memfd->size < MEMFD_BACKED ? memfd->size : MEMFD_BACKED;
	if (memfd->backed > MEMFD_ROOM - vm->memfd_bytes)
		return false;
	memfd->bytes = mmap(NULL, memfd->backed, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memfd->bytes == MAP_FAILED)
		return false;
	region.size = memfd->backed;
	region.bytes = memfd->bytes;
	if (!posix_region_add(vm->host, &region, &memfd->hva)) {
		munmap(memfd->bytes, memfd->backed);
		return false;
	}
	vm->memfd_bytes += memfd->backed;
	return true;
}

int64_t kvm_vm_create_memfd(struct kvm_vm *vm, uint64_t arg)
{
	struct kvm_process *process = vm->process;
	struct kvm_memfd wanted;
	struct kvm_guest_memory *memfd;
	int64_t result = kvm_copy_in(process, arg, &wanted, sizeof(wanted));

	if (result)
		return result;
	if (wanted.flags)
		return kvm_refuse(process, EINVAL, "flags 0x%" PRIx64 " are not 0", wanted.flags);
	if ((int64_t)wanted.size <= 0 || wanted.size & KVM_PAGE_MASK)
		return kvm_refuse(process, EINVAL,
				  "size 0x%" PRIx64 " is 0, negative or not a multiple of 4096",
				  wanted.size);
	memfd = calloc(1, sizeof(*memfd));
	if (!memfd)
		return kvm_refuse(process, ENOMEM, "memory is short");
	memfd->vm = vm;
	memfd->size = wanted.size;
	if (!back_memfd(memfd)) {
		free(memfd);
		return kvm_refuse(process, ENOMEM, "no room for more guest memory");
	}
	memfd->next = vm->memfds;
	vm->memfds = memfd;
	return kvm_fd_new(process, &(struct kvm_file){.kind = KVM_MEMFD, .vm = vm, .memfd = memfd});
}
