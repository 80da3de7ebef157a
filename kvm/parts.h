/* SPDX-License-Identifier: MIT */
/* parts.h - what the files of kvm/ share; nobody outside sees it. */
#ifndef KVM_PARTS_H
#define KVM_PARTS_H

#include <errno.h>

#include "kvm/kvm.h"
#include "kvm/uapi.h"
#include "port/posix/posix.h"

#define KVM_FDS 256u
/** Input, output and errors are open from the beginning. */
#define KVM_STANDARD_FDS 3u
#define KVM_PAGE_MASK ((uint64_t)UMBRA_PAGE_SIZE - 1)

/* ---- memory.c ---- */

struct kvm_memory *kvm_memory_new(void);
void kvm_memory_free(struct kvm_memory *memory);
/** kvm_memory_reset - zeros everywhere, to be read and written. */
void kvm_memory_reset(struct kvm_memory *memory);
/** kvm_memory_watch - after each kvm_memory_write(), @written is called. */
void kvm_memory_watch(struct kvm_memory *memory,
		      void (*written)(void *context, uint64_t distance, size_t size),
		      void *context);
/** kvm_memory_touch - the page @distance into the data area may be written by others than
 * kvm_memory_write(). */
void kvm_memory_touch(struct kvm_memory *memory, uint64_t distance);
uint8_t *kvm_memory_bytes(struct kvm_memory *memory);
/** kvm_memory_distance - from the beginning of the window that [@address, +@size) touches to
 * @address, which may be negative. False: it touches none. */
bool kvm_memory_distance(uint64_t address, uint64_t size, uint64_t *distance);
/** kvm_memory_rights - of the page @distance into the data area. */
void kvm_memory_rights(const struct kvm_memory *memory, uint64_t distance, bool *readable,
		       bool *writable);
/** Instead of PROT_* bits: no page any more. */
#define KVM_NOT_MAPPED 0x80u
/** kvm_memory_protect - @protection: PROT_* bits; @fresh: zeros. 0 or an errno: EINVAL, or
 * ENOMEM if not all of it is there. */
int kvm_memory_protect(struct kvm_memory *memory, uint64_t address, uint64_t size,
		       uint64_t protection, bool fresh);

/* ---- objects ---- */

enum kvm_kind { KVM_OTHER, KVM_SYSTEM, KVM_VM, KVM_VCPU, KVM_MEMFD };

/** struct kvm_file - an open file; descriptors refer to it. */
struct kvm_file {
	enum kvm_kind kind;
	unsigned refs;
	struct kvm_vm *vm; /* VM, VCPU, MEMFD: keeps it alive */
	struct kvm_vcpu *vcpu;
	struct kvm_guest_memory *memfd;
};

/** struct kvm_guest_memory - a guest_memfd. Lives as long as its VM: slots may use it. */
struct kvm_guest_memory {
	struct kvm_guest_memory *next;
	struct kvm_vm *vm;
	uint64_t size, backed;
	void *bytes;
	umbra_hva hva;
};

/** struct kvm_slot - a memory slot as its program set it. */
struct kvm_slot {
	struct kvm_slot *next;
	uint32_t space, id, flags;
	uint64_t gpa, size, hva;
	struct kvm_guest_memory *memfd;
	uint64_t memfd_offset;
	/** Its guest_memfd was closed, and there was no memory to say so: the library has it
	 * no more. */
	bool lost;
};

struct kvm_vcpu {
	struct kvm_vcpu *next;
	struct kvm_vm *vm;
	uint32_t id;
	struct umbra_vcpu *umbra;
	struct umbra_cpu cpu;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	/** No CPU has the registers that were set: entry fails. */
	bool impossible;
	struct kvm_run_page run;
	/** Where the process has mapped it; 0: nowhere. */
	uint64_t run_address;
	/** CPUID as set, to tell whether a later one differs; .ran: it may not, any more. */
	uint32_t cpuid_count;
	struct kvm_cpuid *cpuid;
	bool ran;
};

#define KVM_MMIO_KEPT 16u

struct kvm_vm {
	struct kvm_vm *next;
	struct kvm_process *process;
	unsigned refs;
	uint64_t type;
	struct posix_host *host;
	struct umbra_vm *umbra;
	umbra_hva memory_hva;
	struct kvm_slot *slots;
	struct kvm_vcpu *vcpus;
	unsigned vcpu_count;
	struct kvm_guest_memory *memfds;
	uint64_t memfd_bytes;
	/** Frames that MMIO entries were made for lately, in a ring: hardware meets those. */
	uint64_t mmio[KVM_MMIO_KEPT];
	unsigned mmio_count;
};

struct kvm_process {
	struct kvm_config config;
	struct kvm_memory *memory;
	struct kvm_file *fd[KVM_FDS];
	struct kvm_file standard[KVM_STANDARD_FDS];
	struct kvm_vm *vms;
	/** NULL, or a host of a VM that is gone, for the next one. */
	struct posix_host *spare;
	uint64_t findings;
	/** What closes now is not the program's doing. */
	bool exits;
};

/* ---- process.c ---- */

/** kvm_fd_new - a file on the lowest free descriptor; takes a reference to @file->vm. Minus
 * an errno: EMFILE, ENOMEM. */
int64_t kvm_fd_new(struct kvm_process *process, const struct kvm_file *file);
/** kvm_fd_file - NULL: not open. */
struct kvm_file *kvm_fd_file(struct kvm_process *process, uint64_t fd);

/** kvm_tell - one line. kvm_refuse - the reason of an error: -@error. */
void kvm_tell(struct kvm_process *process, enum kvm_told kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int64_t kvm_refuse(struct kvm_process *process, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/** kvm_unknown - the same for KVM_UNKNOWN. */
int64_t kvm_unknown(struct kvm_process *process, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** kvm_status - a library's status as minus an errno, told unless OK. */
int64_t kvm_status(struct kvm_process *process, enum umbra_status status);

/** kvm_copy_in, kvm_copy_out - 0, or -EFAULT, told. */
int64_t kvm_copy_in(struct kvm_process *process, uint64_t from, void *to, size_t size);
int64_t kvm_copy_out(struct kvm_process *process, uint64_t to, const void *from, size_t size);

/* ---- system.c, vm.c, slot.c, dirty.c, vcpu.c, cpuid.c, run.c, prefault.c: the requests ---- */

int64_t kvm_system_version(struct kvm_process *process, uint64_t arg);
int64_t kvm_system_mmap_size(struct kvm_process *process, uint64_t arg);
/** kvm_system_capability - @vm: NULL for /dev/kvm's. */
int64_t kvm_system_capability(struct kvm_process *process, const struct kvm_vm *vm, uint64_t cap);

int64_t kvm_vm_create(struct kvm_process *process, uint64_t type);
void kvm_vm_put(struct kvm_vm *vm);
uint64_t kvm_vm_audit(struct kvm_vm *vm);
/** kvm_vm_root_bits - address bits that the VM's roots translate (F-30); 64: all. */
unsigned kvm_vm_root_bits(const struct kvm_vm *vm);
int64_t kvm_vm_enable_cap(struct kvm_vm *vm, uint64_t arg);
int64_t kvm_vm_create_memfd(struct kvm_vm *vm, uint64_t arg);
int64_t kvm_vm_set_attributes(struct kvm_vm *vm, uint64_t arg);
/** kvm_vm_set_tss, kvm_vm_set_identity_map - where KVM may keep pages of its own for CPUs that
 * cannot run real mode; here none needs them. */
int64_t kvm_vm_set_tss(struct kvm_vm *vm, uint64_t arg);
int64_t kvm_vm_set_identity_map(struct kvm_vm *vm, uint64_t arg);

int64_t kvm_slot_set(struct kvm_vm *vm, uint64_t arg, bool version2);
/** kvm_slot_unbind - @memfd is closed: slots that had it have no private memory any more. */
void kvm_slot_unbind(const struct kvm_guest_memory *memfd);
/** kvm_slot_uses - does a slot have any of the process's [@address, +@size)? */
bool kvm_slot_uses(const struct kvm_vm *vm, uint64_t address, uint64_t size);
/** kvm_slot_written - the process has written [@distance, +@size) of its data area: where that is
 * memory of a guest on shadow paging, its tables there are not mirrored any more. */
void kvm_slot_written(struct kvm_vm *vm, uint64_t distance, size_t size);
const struct kvm_slot *kvm_slot_at(const struct kvm_vm *vm, uint64_t gpa);

int64_t kvm_dirty_get(struct kvm_vm *vm, uint64_t arg);
int64_t kvm_dirty_clear(struct kvm_vm *vm, uint64_t arg);

int64_t kvm_vcpu_create(struct kvm_vm *vm, uint64_t id);
void kvm_vcpu_free(struct kvm_vcpu *vcpu);
int64_t kvm_vcpu_get_regs(struct kvm_vcpu *vcpu, uint64_t arg);
int64_t kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, uint64_t arg);
int64_t kvm_vcpu_get_sregs(struct kvm_vcpu *vcpu, uint64_t arg, bool version2);
int64_t kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, uint64_t arg, bool version2);
int64_t kvm_vcpu_translate(struct kvm_vcpu *vcpu, uint64_t arg);
/** kvm_vcpu_renew - the library's vCPU anew, for another CPU model. */
enum umbra_status kvm_vcpu_renew(struct kvm_vcpu *vcpu, const struct umbra_cpu *cpu);
/** kvm_vcpu_paging - what of @sregs translation depends on. */
struct umbra_regs kvm_vcpu_paging(const struct kvm_sregs *sregs);
bool kvm_vcpu_is_pae(const struct kvm_sregs *sregs);

/** kvm_cpuid_none - what a guest's CPU has before CPUID is set. */
struct umbra_cpu kvm_cpuid_none(const struct umbra_cpu *host);
int64_t kvm_cpuid_set(struct kvm_vcpu *vcpu, uint64_t arg);
/** kvm_cpuid_supported - the host's CPUID as a guest may have it. */
int64_t kvm_cpuid_supported(struct kvm_process *process, uint64_t arg);

int64_t kvm_run(struct kvm_vcpu *vcpu, uint64_t arg);
/** kvm_run_memory_fault - leave KVM_EXIT_MEMORY_FAULT for the page of @gpa. */
void kvm_run_memory_fault(struct kvm_vcpu *vcpu, umbra_gpa gpa, bool is_private);
int64_t kvm_prefault(struct kvm_vcpu *vcpu, uint64_t arg);

/* ---- types.c, layout.c: what lies behind pointers ---- */

enum kvm_shape {
	KVM_INT, /* of .size bytes */
	KVM_COUNT, /* the same; AUTO is the length of the array behind it */
	KVM_POINTER, /* 8 bytes; to .of, or to bytes */
	KVM_ARRAY, /* .count of .of; 0: as many as there are */
	KVM_STRUCT, /* .fields */
};
struct kvm_type {
	enum kvm_shape shape;
	unsigned size, count;
	const struct kvm_type *of;
	/** KVM_STRUCT: ends with NULL. */
	const struct kvm_type *const *fields;
};
/** kvm_type_of - what the last argument of "ioctl$NAME" points to; NULL: not known. */
const struct kvm_type *kvm_type_of(const char *name);
unsigned kvm_type_size(const struct kvm_type *type);

#define KVM_CAPTURES 64
/** struct kvm_layout - putting arguments into memory, and results where they are known. */
struct kvm_layout {
	struct kvm_process *process;
	/** Values of r0, r1, ...: [result_count]. */
	uint64_t *results;
	unsigned result_count;
	/** Where &AUTO goes next: distance from the start of the data area. */
	uint64_t automatic;
	/** Results that calls leave in memory: <rN=>. */
	struct {
		uint32_t result, size;
		uint64_t address;
	} capture[KVM_CAPTURES];
	unsigned capture_count;
	/** Something had no known layout. */
	bool strange;
};
/** kvm_layout_value - the value of @arg as a system call's argument; what lies behind it has
 * been put into memory as @type. */
uint64_t kvm_layout_value(struct kvm_layout *layout, const struct syz_arg *arg,
			  const struct kvm_type *type);
/** kvm_layout_captures - read the results that the call has left. */
void kvm_layout_captures(struct kvm_layout *layout);

#endif
