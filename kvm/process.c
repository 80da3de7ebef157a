/* SPDX-License-Identifier: MIT */
/*
 * process.c - descriptors, and which object carries out which request.
 *
 *	fd 5 --.
 *	fd 7 ---+--> struct kvm_file --> vCPU --> VM (kept alive by each file that uses it)
 *
 * A request goes by its number and the kind of its descriptor, as in the kernel: a VM's
 * request on /dev/kvm or on a vCPU is EINVAL, a vCPU's on a VM is ENOTTY. Numbers that are
 * not in the table are no business of Umbra's; what they would have returned is not known.
 *
 * Invariant: a call that returns an error has changed nothing but what the kernel would have.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvm/parts.h"

/* ---- telling ---- */

static void tell(struct kvm_process *process, enum kvm_told kind, const char *format, va_list args)
{
	char text[256];

	if (!process->config.tell)
		return;
	vsnprintf(text, sizeof(text), format, args);
	process->config.tell(process->config.context, kind, text);
}

void kvm_tell(struct kvm_process *process, enum kvm_told kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(process, kind, format, args);
	va_end(args);
}

int64_t kvm_refuse(struct kvm_process *process, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(process, KVM_TOLD_WHY, format, args);
	va_end(args);
	return -error;
}

int64_t kvm_unknown(struct kvm_process *process, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(process, KVM_TOLD_WHY, format, args);
	va_end(args);
	return KVM_UNKNOWN;
}

int64_t kvm_status(struct kvm_process *process, enum umbra_status status)
{
	static const int errors[UMBRA_STATUS_COUNT] = {
		[UMBRA_EINVAL] = EINVAL,         [UMBRA_EEXIST] = EEXIST,
		[UMBRA_EFAULT] = EFAULT,         [UMBRA_ENOENT] = ENOENT,
		[UMBRA_ENOMEM] = ENOMEM,         [UMBRA_ENOSPC] = ENOMEM,
		[UMBRA_EAGAIN] = EAGAIN,         [UMBRA_EINTR] = EINTR,
		[UMBRA_EOPNOTSUPP] = EOPNOTSUPP, [UMBRA_EUNMAPPABLE] = EFAULT,
	};

	if (!status)
		return 0;
	return kvm_refuse(process, errors[status], "%s", umbra_strstatus(status));
}

int64_t kvm_copy_in(struct kvm_process *process, uint64_t from, void *to, size_t size)
{
	if (kvm_memory_read(process->memory, from, to, size))
		return 0;
	return kvm_refuse(process, EFAULT, "0x%zx bytes at 0x%" PRIx64 " cannot be read", size,
			  from);
}

int64_t kvm_copy_out(struct kvm_process *process, uint64_t to, const void *from, size_t size)
{
	if (kvm_memory_write(process->memory, to, from, size))
		return 0;
	return kvm_refuse(process, EFAULT, "0x%zx bytes at 0x%" PRIx64 " cannot be written", size,
			  to);
}

/* ---- descriptors ---- */

static void file_put(struct kvm_file *file)
{
	if (--file->refs)
		return;
	if (file->memfd)
		kvm_slot_unbind(file->memfd);
	if (file->vm)
		kvm_vm_put(file->vm);
	free(file);
}

int64_t kvm_fd_new(struct kvm_process *process, const struct kvm_file *file)
{
	struct kvm_file *copy;
	unsigned fd = 0;

	while (fd < KVM_FDS && process->fd[fd])
		fd++;
	if (fd == KVM_FDS)
		return kvm_refuse(process, EMFILE, "%u descriptors are open", KVM_FDS);
	copy = malloc(sizeof(*copy));
	if (!copy)
		return kvm_refuse(process, ENOMEM, "memory is short");
	*copy = *file;
	copy->refs = 1;
	if (copy->vm)
		copy->vm->refs++;
	process->fd[fd] = copy;
	return fd;
}

struct kvm_file *kvm_fd_file(struct kvm_process *process, uint64_t fd)
{
	/* Descriptors are ints: what is above their 32 bits never arrives. */
	uint32_t number = (uint32_t)fd;

	return number < KVM_FDS ? process->fd[number] : NULL;
}

static int64_t not_open(struct kvm_process *process, uint64_t fd)
{
	return kvm_refuse(process, EBADF, "descriptor %" PRId32 " is not open", (int32_t)fd);
}

int64_t kvm_open(struct kvm_process *process)
{
	return kvm_fd_new(process, &(struct kvm_file){.kind = KVM_SYSTEM});
}

int64_t kvm_open_other(struct kvm_process *process)
{
	return kvm_fd_new(process, &(struct kvm_file){.kind = KVM_OTHER});
}

int64_t kvm_close(struct kvm_process *process, uint64_t fd)
{
	struct kvm_file *file = kvm_fd_file(process, fd);

	if (!file)
		return not_open(process, fd);
	process->fd[(uint32_t)fd] = NULL;
	file_put(file);
	return 0;
}

int64_t kvm_dup(struct kvm_process *process, uint64_t fd)
{
	struct kvm_file *file = kvm_fd_file(process, fd);

	if (!file)
		return not_open(process, fd);
	for (unsigned to = 0; to < KVM_FDS; to++)
		if (!process->fd[to])
			return kvm_dup_to(process, fd, to, false, 0);
	return kvm_refuse(process, EMFILE, "%u descriptors are open", KVM_FDS);
}

#define O_CLOEXEC_BIT 02000000u

int64_t kvm_dup_to(struct kvm_process *process, uint64_t fd, uint64_t to, bool dup3, uint64_t flags)
{
	struct kvm_file *file = kvm_fd_file(process, fd);
	const uint32_t number = (uint32_t)to;

	if (dup3 && (uint32_t)flags & ~O_CLOEXEC_BIT)
		return kvm_refuse(process, EINVAL, "flags 0x%" PRIx64 " of dup3", flags);
	if (dup3 && (uint32_t)fd == number)
		return kvm_refuse(process, EINVAL, "dup3 to itself");
	if (number >= KVM_FDS)
		return kvm_refuse(process, EBADF, "descriptor %" PRId32 " is out of range",
				  (int32_t)number);
	if (!file)
		return not_open(process, fd);
	if (process->fd[number] == file)
		return number;
	if (process->fd[number])
		kvm_close(process, number);
	file->refs++;
	process->fd[number] = file;
	return number;
}

/* ---- requests ---- */

static int64_t system_request(struct kvm_process *process, uint32_t request, uint64_t arg)
{
	switch (request) {
	case KVM_GET_API_VERSION: return kvm_system_version(process, arg);
	case KVM_CREATE_VM: return kvm_vm_create(process, arg);
	case KVM_CHECK_EXTENSION: return kvm_system_capability(process, NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE: return kvm_system_mmap_size(process, arg);
	case KVM_GET_SUPPORTED_CPUID: return kvm_cpuid_supported(process, arg);
	default: return kvm_refuse(process, EINVAL, "/dev/kvm has no such request");
	}
}

static int64_t vm_request(struct kvm_vm *vm, uint32_t request, uint64_t arg)
{
	switch (request) {
	case KVM_CHECK_EXTENSION: return kvm_system_capability(vm->process, vm, arg);
	case KVM_CREATE_VCPU: return kvm_vcpu_create(vm, arg);
	case KVM_SET_USER_MEMORY_REGION: return kvm_slot_set(vm, arg, false);
	case KVM_SET_USER_MEMORY_REGION2: return kvm_slot_set(vm, arg, true);
	case KVM_ENABLE_CAP: return kvm_vm_enable_cap(vm, arg);
	case KVM_CREATE_GUEST_MEMFD: return kvm_vm_create_memfd(vm, arg);
	case KVM_SET_MEMORY_ATTRIBUTES: return kvm_vm_set_attributes(vm, arg);
	case KVM_SET_TSS_ADDR: return kvm_vm_set_tss(vm, arg);
	case KVM_SET_IDENTITY_MAP_ADDR: return kvm_vm_set_identity_map(vm, arg);
	case KVM_GET_DIRTY_LOG: return kvm_dirty_get(vm, arg);
	case KVM_CLEAR_DIRTY_LOG: return kvm_dirty_clear(vm, arg);
	default: return kvm_refuse(vm->process, ENOTTY, "a VM has no such request");
	}
}

static int64_t vcpu_request(struct kvm_vcpu *vcpu, uint32_t request, uint64_t arg)
{
	switch (request) {
	case KVM_RUN: return kvm_run(vcpu, arg);
	case KVM_GET_REGS: return kvm_vcpu_get_regs(vcpu, arg);
	case KVM_SET_REGS: return kvm_vcpu_set_regs(vcpu, arg);
	case KVM_GET_SREGS: return kvm_vcpu_get_sregs(vcpu, arg, false);
	case KVM_SET_SREGS: return kvm_vcpu_set_sregs(vcpu, arg, false);
	case KVM_GET_SREGS2: return kvm_vcpu_get_sregs(vcpu, arg, true);
	case KVM_SET_SREGS2: return kvm_vcpu_set_sregs(vcpu, arg, true);
	case KVM_TRANSLATE: return kvm_vcpu_translate(vcpu, arg);
	case KVM_SET_CPUID2: return kvm_cpuid_set(vcpu, arg);
	case KVM_PRE_FAULT_MEMORY: return kvm_prefault(vcpu, arg);
	default: return kvm_refuse(vcpu->vm->process, EINVAL, "a vCPU has no such request");
	}
}

static bool is_known(uint32_t request)
{
	static const uint32_t known[] = {
		KVM_GET_API_VERSION,
		KVM_CREATE_VM,
		KVM_CHECK_EXTENSION,
		KVM_GET_VCPU_MMAP_SIZE,
		KVM_GET_SUPPORTED_CPUID,
		KVM_CREATE_VCPU,
		KVM_SET_TSS_ADDR,
		KVM_SET_IDENTITY_MAP_ADDR,
		KVM_SET_USER_MEMORY_REGION,
		KVM_SET_USER_MEMORY_REGION2,
		KVM_ENABLE_CAP,
		KVM_CREATE_GUEST_MEMFD,
		KVM_RUN,
		KVM_GET_REGS,
		KVM_SET_REGS,
		KVM_GET_SREGS,
		KVM_SET_SREGS,
		KVM_GET_SREGS2,
		KVM_SET_SREGS2,
		KVM_TRANSLATE,
		KVM_SET_CPUID2,
		KVM_PRE_FAULT_MEMORY,
		KVM_SET_MEMORY_ATTRIBUTES,
		KVM_GET_DIRTY_LOG,
		KVM_CLEAR_DIRTY_LOG,
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == request)
			return true;
	return false;
}

int64_t kvm_ioctl(struct kvm_process *process, uint64_t fd, uint64_t request, uint64_t arg)
{
	struct kvm_file *file = kvm_fd_file(process, fd);
	const uint32_t number = (uint32_t)request;

	if (!file)
		return not_open(process, fd);
	if (!is_known(number))
		return kvm_unknown(process, "request 0x%" PRIx32 " is none of the MMU's", number);
	switch (file->kind) {
	case KVM_SYSTEM: return system_request(process, number, arg);
	case KVM_VM: return vm_request(file->vm, number, arg);
	case KVM_VCPU: return vcpu_request(file->vcpu, number, arg);
	default: return kvm_refuse(process, ENOTTY, "not a descriptor of KVM's");
	}
}

void kvm_fail_nth(struct kvm_process *process, uint64_t fd, uint64_t nth)
{
	struct kvm_file *file = kvm_fd_file(process, fd);

	if (file && file->vm)
		posix_fail(file->vm->host, nth, POSIX_FAIL_PAGE | POSIX_FAIL_ALLOC, UMBRA_OK);
}

/* ---- the process ---- */

static void open_standard(struct kvm_process *process)
{
	for (unsigned fd = 0; fd < KVM_STANDARD_FDS; fd++) {
		/* The process's own reference keeps file_put() from freeing it. */
		process->standard[fd] = (struct kvm_file){.kind = KVM_OTHER, .refs = 2};
		process->fd[fd] = &process->standard[fd];
	}
}

/* All descriptors; what that does is not the program's doing, and not told. */
static void close_all(struct kvm_process *process)
{
	process->exits = true;
	for (unsigned fd = 0; fd < KVM_FDS; fd++)
		if (process->fd[fd])
			kvm_close(process, fd);
	process->exits = false;
}

/* A kernel would not notice; its mirrors would be wrong until the guest flushes, which the
 * auditor does not accept. */
static void written(void *context, uint64_t distance, size_t size)
{
	struct kvm_process *process = context;

	for (struct kvm_vm *vm = process->vms; vm; vm = vm->next)
		kvm_slot_written(vm, distance, size);
}

struct kvm_process *kvm_process_new(const struct kvm_config *config)
{
	struct kvm_process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->config = *config;
	process->memory = kvm_memory_new();
	if (!process->memory) {
		free(process);
		return NULL;
	}
	kvm_memory_watch(process->memory, written, process);
	open_standard(process);
	return process;
}

uint64_t kvm_process_free(struct kvm_process *process)
{
	uint64_t findings;

	if (!process)
		return 0;
	close_all(process);
	findings = process->findings;
	posix_host_free(process->spare);
	kvm_memory_free(process->memory);
	free(process);
	return findings;
}

uint64_t kvm_process_reset(struct kvm_process *process)
{
	uint64_t findings;

	close_all(process);
	findings = process->findings;
	process->findings = 0;
	kvm_memory_reset(process->memory);
	open_standard(process);
	return findings;
}

struct kvm_memory *kvm_process_memory(struct kvm_process *process)
{
	return process->memory;
}

uint64_t kvm_process_audit(struct kvm_process *process)
{
	for (struct kvm_vm *vm = process->vms; vm && !process->findings; vm = vm->next)
		process->findings += kvm_vm_audit(vm);
	return process->findings;
}
