/* SPDX-License-Identifier: MIT */
/*
 * kvm.h - KVM's interface in miniature: a process, its memory and descriptors, and the ioctls
 * that concern memory and vCPU state, carried out by the library.
 *
 *	struct kvm_process *process = kvm_process_new(&config, &calls);
 *
 *	int64_t kvm = kvm_open(process);
 *	int64_t vm = kvm_ioctl(process, kvm, 0xae01, 0);          KVM_CREATE_VM
 *	kvm_memory_write(kvm_process_memory(process), 0x20000000, &region, sizeof(region));
 *	int64_t wrong = kvm_ioctl(process, vm, 0x4020ae46, 0x20000000);
 *
 * Results are what system calls give: a value, or minus an errno, KVM's own for each argument
 * that is wrong (facts M-4, M-20..M-22, M-40, F-40, F-41). Whole programs in syzkaller's text
 * form go through kvm_replay().
 *
 * Nothing of a real process, and no file, is touched. One process, one thread.
 */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "syz/syz.h"
#include "umbra/umbra.h"

struct kvm_process;
struct kvm_memory;

/** A result that nobody here can know: the call is none of Umbra's, or instructions of the
 * guest would have to be executed. Why is told. */
#define KVM_UNKNOWN INT64_MIN

/** Kinds of what is told. */
enum kvm_told {
	KVM_TOLD_WHY, /* the reason of an error, or of KVM_UNKNOWN */
	KVM_TOLD_STEP, /* what the MMU did */
	KVM_TOLD_TRACE, /* how, entry by entry; needs config.vm.trace */
	KVM_TOLD_FINDING, /* Umbra broke a rule of its own */
};

struct kvm_config {
	/** What each VM is made with; .host is ignored, .private_memory follows the VM's type. */
	struct umbra_vm_config vm;
	/** NULL: nobody listens. @text is one line without its end. */
	void (*tell)(void *context, enum kvm_told kind, const char *text);
	void *context;
	/** The most bytes that the library gets at once, where a kernel has kvmalloc() of a
	 * memory slot's arrays; ENOMEM beyond. 0: no limit. */
	uint64_t alloc_max;
};

/** kvm_process_new - NULL: no memory. */
struct kvm_process *kvm_process_new(const struct kvm_config *config);
/** kvm_process_free - the process exits: all descriptors are closed. Returns how many findings
 * there have been. NULL is allowed. */
uint64_t kvm_process_free(struct kvm_process *process);
/** kvm_process_reset - the process exits, and is as kvm_process_new() made it; memory is kept
 * for what it does next, which saves most of the cost. Returns as kvm_process_free(). */
uint64_t kvm_process_reset(struct kvm_process *process);
/** kvm_process_audit - umbra_audit() of all VMs, until there has been a finding: that is told,
 * once. Returns how many there have been. A VM that goes away is audited too. */
uint64_t kvm_process_audit(struct kvm_process *process);

/* ---- system calls ---- */

/** kvm_open - /dev/kvm. kvm_open_other - a file that is not KVM's. EMFILE. */
int64_t kvm_open(struct kvm_process *process);
int64_t kvm_open_other(struct kvm_process *process);
/** kvm_ioctl - of any descriptor. KVM_UNKNOWN: a request that is none of those known here. */
int64_t kvm_ioctl(struct kvm_process *process, uint64_t fd, uint64_t request, uint64_t arg);
int64_t kvm_close(struct kvm_process *process, uint64_t fd);
/** kvm_dup - the lowest free descriptor. kvm_dup_to - dup2(), dup3() to @to. */
int64_t kvm_dup(struct kvm_process *process, uint64_t fd);
int64_t kvm_dup_to(struct kvm_process *process, uint64_t fd, uint64_t to, bool dup3,
		   uint64_t flags);
/** struct kvm_map - arguments of mmap(). */
struct kvm_map {
	uint64_t address, size, protection, flags, fd, offset;
};
/** kvm_mmap - anonymous memory and vCPUs, inside the process's memory (KVM_MEMORY_SIZE). */
int64_t kvm_mmap(struct kvm_process *process, const struct kvm_map *map);
int64_t kvm_munmap(struct kvm_process *process, uint64_t address, uint64_t size);
int64_t kvm_mprotect(struct kvm_process *process, uint64_t address, uint64_t size,
		     uint64_t protection);
/** kvm_fail_nth - let the @nth allocation of the next ioctl of @fd's VM fail; 0: none. */
void kvm_fail_nth(struct kvm_process *process, uint64_t fd, uint64_t nth);

/** kvm_strerror - "EINVAL" for 22 or -22; "E?" for what is not known. */
const char *kvm_strerror(int64_t result);

/* ---- the process's memory ---- */

/**
 * syzkaller's data area: 16 MiB that a program's text calls 0x7f0000000000, and that lie at
 * 0x20000000 or 0x200000000000 when it runs. All three lead to the same bytes here.
 */
#define KVM_MEMORY_TEXT 0x7f0000000000ull
#define KVM_MEMORY_LOW 0x20000000ull
#define KVM_MEMORY_HIGH 0x200000000000ull
#define KVM_MEMORY_SIZE (16ull << 20)
/** First address that is not a process's. */
#define KVM_USER_END 0x7ffffffff000ull

struct kvm_memory *kvm_process_memory(struct kvm_process *process);
/** kvm_memory_read, kvm_memory_write - false (EFAULT): not all of it may be read or written;
 * nothing has been copied then. */
bool kvm_memory_read(const struct kvm_memory *memory, uint64_t address, void *to, size_t size);
bool kvm_memory_write(struct kvm_memory *memory, uint64_t address, const void *from, size_t size);
/** kvm_memory_text - the string at @address, at most @size bytes with its end. */
bool kvm_memory_text(const struct kvm_memory *memory, uint64_t address, char *to, size_t size);

/* ---- programs ---- */

/** struct kvm_step - one call of a program, after it. */
struct kvm_step {
	unsigned number; /* from 1 */
	const struct syz_call *call;
	/** A value, minus an errno, or KVM_UNKNOWN. */
	int64_t result;
};

struct kvm_replay {
	/** @after each call; what it told has been told by then. */
	void (*after)(void *context, const struct kvm_step *step);
	/** NULL, or: @before each call. */
	void (*before)(void *context, const struct kvm_step *step);
	void *context;
};

struct kvm_replayed {
	unsigned calls, errors, unknown;
};

/** kvm_replay - the calls of @program in order, one after the other. */
void kvm_replay(struct kvm_process *process, const struct syz_program *program,
		const struct kvm_replay *replay, struct kvm_replayed *replayed);

#endif
