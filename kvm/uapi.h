/* SPDX-License-Identifier: MIT */
/*
 * uapi.h - the numbers and layouts by which a process talks to KVM on x86-64, as far as they
 * concern memory and the state that translation depends on. From the API's documentation.
 *
 * Field names say what a field is; type tables for programs are in types.c.
 */
#ifndef KVM_UAPI_H
#define KVM_UAPI_H

#include <assert.h>
#include <stdint.h>

/* ---- requests: direction << 30 | size << 16 | 0xae << 8 | number ---- */

enum {
	KVM_GET_API_VERSION = 0xae00,
	KVM_CREATE_VM = 0xae01,
	KVM_CHECK_EXTENSION = 0xae03,
	KVM_GET_VCPU_MMAP_SIZE = 0xae04,
	KVM_CREATE_VCPU = 0xae41,
	KVM_RUN = 0xae80,
};
#define KVM_GET_SUPPORTED_CPUID 0xc008ae05u
#define KVM_GET_DIRTY_LOG 0x4010ae42u
#define KVM_SET_USER_MEMORY_REGION 0x4020ae46u
#define KVM_SET_TSS_ADDR 0xae47u
#define KVM_SET_IDENTITY_MAP_ADDR 0x4008ae48u
#define KVM_SET_USER_MEMORY_REGION2 0x40a0ae49u
#define KVM_GET_REGS 0x8090ae81u
#define KVM_SET_REGS 0x4090ae82u
#define KVM_GET_SREGS 0x8138ae83u
#define KVM_SET_SREGS 0x4138ae84u
#define KVM_TRANSLATE 0xc018ae85u
#define KVM_SET_CPUID2 0x4008ae90u
#define KVM_ENABLE_CAP 0x4068aea3u
#define KVM_CLEAR_DIRTY_LOG 0xc018aec0u
#define KVM_GET_SREGS2 0x8140aeccu
#define KVM_SET_SREGS2 0x4140aecdu
#define KVM_SET_MEMORY_ATTRIBUTES 0x4020aed2u
#define KVM_CREATE_GUEST_MEMFD 0xc040aed4u
#define KVM_PRE_FAULT_MEMORY 0xc040aed5u

#define KVM_API_VERSION 12
/** What KVM_GET_VCPU_MMAP_SIZE says: struct kvm_run_page, port I/O, coalesced MMIO. */
#define KVM_RUN_PAGES 3u

/* ---- capabilities ---- */

enum kvm_capability {
	KVM_CAP_USER_MEMORY = 3,
	KVM_CAP_EXT_CPUID = 7,
	KVM_CAP_NR_VCPUS = 9,
	KVM_CAP_NR_MEMSLOTS = 10,
	KVM_CAP_SYNC_MMU = 16,
	KVM_CAP_DESTROY_MEMORY_REGION_WORKS = 21,
	KVM_CAP_JOIN_MEMORY_REGIONS_WORKS = 30,
	KVM_CAP_INTERNAL_ERROR_DATA = 40,
	KVM_CAP_MAX_VCPUS = 66,
	KVM_CAP_READONLY_MEM = 81,
	KVM_CAP_ENABLE_CAP_VM = 98,
	KVM_CAP_CHECK_EXTENSION_VM = 105,
	KVM_CAP_MULTI_ADDRESS_SPACE = 118,
	KVM_CAP_MAX_VCPU_ID = 128,
	KVM_CAP_IMMEDIATE_EXIT = 136,
	KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 = 168,
	KVM_CAP_SREGS2 = 200,
	KVM_CAP_USER_MEMORY2 = 231,
	KVM_CAP_MEMORY_FAULT_INFO = 232,
	KVM_CAP_MEMORY_ATTRIBUTES = 233,
	KVM_CAP_GUEST_MEMFD = 234,
	KVM_CAP_VM_TYPES = 235,
	KVM_CAP_PRE_FAULT_MEMORY = 236,
};

/** Types of KVM_CREATE_VM. */
enum { KVM_VM_DEFAULT, KVM_VM_SW_PROTECTED };

/** Limits: vCPUs of a VM and their ids; slots of an address space that programs may use, and
 * ids that there are; pages of a slot (M-1, M-2). */
#define KVM_VCPUS_MAX 1024u
#define KVM_VCPU_IDS 4096u
#define KVM_USER_SLOTS 32764u
#define KVM_SLOT_IDS 32767u
#define KVM_SLOT_PAGES_MAX 0x7fffffffull

/** Flags of a memory region (M-3). */
#define KVM_MEM_LOG_DIRTY (1u << 0)
#define KVM_MEM_READONLY (1u << 1)
#define KVM_MEM_GUEST_MEMFD (1u << 2)

/** Bits of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (M-22). */
#define KVM_MANUAL_ENABLE 1u
#define KVM_MANUAL_INITIALLY_SET 2u

#define KVM_ATTRIBUTE_PRIVATE (1ull << 3)

/* ---- exits ---- */

enum kvm_exit {
	KVM_EXIT_UNKNOWN = 0,
	KVM_EXIT_SHUTDOWN = 8,
	KVM_EXIT_FAIL_ENTRY = 9,
	KVM_EXIT_INTERNAL_ERROR = 17,
	KVM_EXIT_MEMORY_FAULT = 39,
};
/** Suberrors of KVM_EXIT_INTERNAL_ERROR. */
enum { KVM_ERROR_EMULATION = 1, KVM_ERROR_DELIVERY = 3 };
/** Flag of KVM_EXIT_MEMORY_FAULT. */
#define KVM_FAULT_PRIVATE (1ull << 3)
/** VM entry failed because of the guest's state (SDM 3C 27.8: reason 33, bit 31). */
#define KVM_ENTRY_INVALID_STATE 0x80000021u

/* ---- structures ---- */

struct kvm_memory_region {
	uint32_t slot, flags;
	uint64_t gpa, size, hva;
	/** Behind it only with KVM_SET_USER_MEMORY_REGION2. */
	uint64_t memfd_offset;
	uint32_t memfd, pad1;
	uint64_t pad2[14];
};
#define KVM_MEMORY_REGION_V1_SIZE 32u
static_assert(sizeof(struct kvm_memory_region) == 160, "what the request says");

struct kvm_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8_15[8];
	uint64_t rip, rflags;
};
static_assert(sizeof(struct kvm_regs) == 144, "what the request says");

struct kvm_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint8_t type, present, dpl, big, code_or_data, long_mode, granular, available;
	uint8_t unusable, pad;
};
struct kvm_table {
	uint64_t base;
	uint16_t limit, pad[3];
};
struct kvm_sregs {
	struct kvm_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct kvm_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
	union {
		/** KVM_SET_SREGS: interrupts that are pending. */
		uint64_t interrupts[4];
		/** KVM_SET_SREGS2. */
		struct {
			uint64_t flags, pdpte[4];
		};
	};
};
#define KVM_SREGS_SIZE 312u
#define KVM_SREGS2_PDPTES (1u << 0)
static_assert(sizeof(struct kvm_segment) == 24 && sizeof(struct kvm_table) == 16, "no holes");
static_assert(sizeof(struct kvm_sregs) == 320, "what the larger request says");

struct kvm_translation {
	uint64_t gva, gpa;
	uint8_t valid, writable, user, pad[5];
};
static_assert(sizeof(struct kvm_translation) == 24, "what the request says");

struct kvm_dirty_log {
	uint32_t slot, pad;
	uint64_t bitmap;
};
struct kvm_clear_log {
	uint32_t slot, pages;
	uint64_t first, bitmap;
};
struct kvm_attributes {
	uint64_t gpa, size, attributes, flags;
};
struct kvm_memfd {
	uint64_t size, flags, pad[6];
};
struct kvm_pre_fault {
	uint64_t gpa, size, flags, pad[5];
};
struct kvm_enable_cap {
	uint32_t cap, flags;
	uint64_t args[4];
	uint8_t pad[64];
};
static_assert(sizeof(struct kvm_enable_cap) == 104, "what the request says");

struct kvm_cpuid {
	uint32_t leaf, index, flags, eax, ebx, ecx, edx, pad[3];
};
static_assert(sizeof(struct kvm_cpuid) == 40, "as documented");
#define KVM_CPUID_MAX 256u

/** struct kvm_run_page - the beginning of what mmap() of a vCPU shows. */
struct kvm_run_page {
	uint8_t request_window, immediate_exit, pad[6];
	uint32_t exit_reason;
	uint8_t ready, interrupts_on;
	uint16_t flags;
	uint64_t cr8, apic_base;
	union {
		uint64_t hardware_reason; /* FAIL_ENTRY */
		struct {
			uint32_t suberror, count;
			uint64_t data[16];
		} internal;
		struct {
			uint64_t flags, gpa, size;
		} memory_fault;
	};
};

#endif
