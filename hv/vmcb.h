/* SPDX-License-Identifier: MIT */
/*
 * vmcb.h - the virtual machine control block (APM 2 appendix B) and exit codes
 * (appendix C).
 */
#ifndef HV_VMCB_H
#define HV_VMCB_H

#include <stddef.h>
#include <stdint.h>

struct vmcb_segment {
	uint16_t selector;
	/** Bits 7:0 and 11:8 of the upper descriptor word's attributes. */
	uint16_t attributes;
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	/* ---- control area ---- */
	uint16_t cr_reads, cr_writes;
	uint32_t dr_accesses;
	uint32_t exceptions;
	uint32_t intercepts[3]; /* enum vmcb_intercept */
	uint8_t reserved_018[0x40 - 0x18];
	uint64_t iopm, msrpm;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control; /* enum vmcb_tlb */
	uint8_t reserved_05d[3];
	uint64_t virtual_interrupt;
	uint64_t interrupt_shadow;
	uint64_t exit_code;
	uint64_t exit_info_1, exit_info_2;
	uint64_t exit_event; /* what was being delivered, VMCB_EVENT_* */
	uint64_t nested_paging;
	uint8_t reserved_098[0xa8 - 0x98];
	uint64_t event; /* what to deliver at entry */
	uint64_t nested_cr3;
	uint64_t lbr;
	uint64_t clean;
	uint64_t next_rip;
	uint8_t reserved_0d0[0x400 - 0xd0];
	/* ---- state save area ---- */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint8_t reserved_4cc[4];
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved_5e0[0x5f8 - 0x5e0];
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t pat;
	uint8_t reserved_670[0x1000 - 0x670];
} __attribute__((packed, aligned(4096)));

_Static_assert(offsetof(struct vmcb, iopm) == 0x40, "APM 2 table B-1");
_Static_assert(offsetof(struct vmcb, asid) == 0x58, "APM 2 table B-1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "APM 2 table B-1");
_Static_assert(offsetof(struct vmcb, nested_paging) == 0x90, "APM 2 table B-1");
_Static_assert(offsetof(struct vmcb, event) == 0xa8, "APM 2 table B-1");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "APM 2 table B-1");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "APM 2 table B-2");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM 2 table B-2");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM 2 table B-2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "APM 2 table B-2");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "APM 2 table B-2");
_Static_assert(sizeof(struct vmcb) == 4096, "a page");

/** enum vmcb_intercept - bit number in the three words of intercepts[]. */
enum vmcb_intercept {
	VMCB_INIT = 3,
	VMCB_INVD = 22,
	VMCB_INVLPG = 25,
	VMCB_INVLPGA = 26,
	VMCB_IOIO = 27,
	VMCB_MSR = 28,
	VMCB_TASK_SWITCH = 29,
	VMCB_SHUTDOWN = 31,
	VMCB_CPUID = 18,
	VMCB_VMRUN = 32,
	VMCB_VMMCALL,
	VMCB_VMLOAD,
	VMCB_VMSAVE,
	VMCB_STGI,
	VMCB_CLGI,
	VMCB_SKINIT,
	VMCB_INVPCID = 66,
};

enum vmcb_tlb {
	VMCB_TLB_KEEP = 0,
	VMCB_TLB_FLUSH_ALL = 1,
	VMCB_TLB_FLUSH_ASID = 3,
};

#define VMCB_EVENT_VALID (1ull << 31)
#define VMCB_EVENT_HAS_CODE (1ull << 11)
#define VMCB_EVENT_TYPE (7ull << 8)
#define VMCB_EVENT_EXCEPTION (3ull << 8)
#define VMCB_EVENT_SOFTWARE (4ull << 8)

/** enum vmcb_exit - EXITCODE. */
enum vmcb_exit {
	VMCB_EXIT_CR_READ = 0x00, /* + number of the register */
	VMCB_EXIT_CR_WRITE = 0x10,
	VMCB_EXIT_EXCEPTION = 0x40, /* + vector */
	VMCB_EXIT_INIT = 0x63,
	VMCB_EXIT_CPUID = 0x72,
	VMCB_EXIT_INVD = 0x76,
	VMCB_EXIT_INVLPG = 0x79,
	VMCB_EXIT_INVLPGA = 0x7a,
	VMCB_EXIT_IOIO = 0x7b,
	VMCB_EXIT_MSR = 0x7c,
	VMCB_EXIT_TASK_SWITCH = 0x7d,
	VMCB_EXIT_SHUTDOWN = 0x7f,
	VMCB_EXIT_VMRUN = 0x80,
	VMCB_EXIT_VMMCALL = 0x81,
	VMCB_EXIT_SKINIT = 0x86,
	VMCB_EXIT_INVPCID = 0xa2,
	VMCB_EXIT_NPF = 0x400,
	VMCB_EXIT_COUNT = 0x401,
};

/* EXITINFO1 of IOIO (APM 2 15.10.2). */
#define VMCB_IO_IN (1u << 0)
#define VMCB_IO_STRING (1u << 2)
#define VMCB_IO_BYTES_SHIFT 4 /* three bits, one is set: 1, 2 or 4 bytes */
#define VMCB_IO_PORT_SHIFT 16

/* RFLAGS and the like, as far as exits need them. */
#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF (1ull << 8)
#define RFLAGS_IF (1ull << 9)
#define RFLAGS_DF (1ull << 10)
#define RFLAGS_RF (1ull << 16)
#define RFLAGS_AC (1ull << 18)
#define EFER_SVME (1ull << 12)

/* Attributes of segments: type, S, DPL, P in bits 7:0; AVL, L, D, G in 11:8. */
#define VMCB_CODE_32 0xc9b
#define VMCB_DATA_32 0xc93
#define VMCB_TSS_32 0x08b
#define VMCB_LDT 0x082
#define VMCB_CS_LONG (1u << 9)
#define VMCB_CS_DEFAULT_32 (1u << 10)

#endif
