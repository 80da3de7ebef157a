/* SPDX-License-Identifier: MIT */
/*
 * types.h - words that everybody shares: addresses, accesses, CPUs, events.
 *
 * No function of the library is declared here. core/, model/ and image/ all
 * include this file and nothing of each other, so that the machine model and
 * the library can disagree about everything but the vocabulary.
 */
#ifndef UMBRA_TYPES_H
#define UMBRA_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- addresses: one type a kind, so that mixing them does not compile ---- */

/** Guest-virtual (linear) address, as the guest's program gives it. */
typedef struct {
	uint64_t v;
} umbra_gva;
/** Guest-physical address. */
typedef struct {
	uint64_t v;
} umbra_gpa;
/** Embedder's name of a byte of guest memory; only host hooks look inside. */
typedef struct {
	uint64_t v;
} umbra_hva;
/** Host-physical address: what the real CPU puts on its bus. */
typedef struct {
	uint64_t v;
} umbra_hpa;
/** Guest frame number: gpa >> 12. */
typedef struct {
	uint64_t v;
} umbra_gfn;
/** Host frame number: hpa >> 12. */
typedef struct {
	uint64_t v;
} umbra_pfn;

#define UMBRA_PAGE_SHIFT 12
#define UMBRA_PAGE_SIZE 4096u

/** Levels are KVM's numbers: 1 = 4K, 2 = 2M/4M, 3 = 1G, 4, 5. */
#define UMBRA_LEVEL_MAX 5

/* ---- accesses ---- */

/**
 * enum umbra_access - what a CPU does with an address; a set of bits.
 *
 * No bit set is a supervisor data read. WRITE and FETCH exclude each other.
 * SHSTK is a shadow-stack access (read, or write with WRITE). IMPLICIT is an
 * implicit supervisor access (descriptor tables, TSS), which has USER clear
 * whatever the CPL (hardware-facts H-51). AC is RFLAGS.AC at the time.
 */
enum umbra_access {
	UMBRA_ACCESS_READ = 0,
	UMBRA_ACCESS_WRITE = 1u << 0,
	UMBRA_ACCESS_USER = 1u << 1,
	UMBRA_ACCESS_AC = 1u << 2,
	UMBRA_ACCESS_FETCH = 1u << 3,
	UMBRA_ACCESS_IMPLICIT = 1u << 4,
	UMBRA_ACCESS_SHSTK = 1u << 5,
};
#define UMBRA_ACCESS_ALL 0x3fu

/* ---- the CPU ---- */

enum umbra_vendor {
	UMBRA_VENDOR_INTEL,
	UMBRA_VENDOR_AMD,
};

/**
 * UMBRA_CPU_* - what CPUID and the virtualization capability MSRs report, as
 * far as address translation depends on it (H-1, H-70, H-90).
 */
#define UMBRA_CPU_PSE (1u << 0) /* 1:EDX.3   4M pages, CR4.PSE */
#define UMBRA_CPU_PAE (1u << 1) /* 1:EDX.6 */
#define UMBRA_CPU_PGE (1u << 2) /* 1:EDX.13 */
#define UMBRA_CPU_PAT (1u << 3) /* 1:EDX.16 */
#define UMBRA_CPU_PSE36 (1u << 4) /* 1:EDX.17  4M pages above 4 GiB */
#define UMBRA_CPU_PCID (1u << 5) /* 1:ECX.17 */
#define UMBRA_CPU_SMEP (1u << 6) /* 7:EBX.7 */
#define UMBRA_CPU_SMAP (1u << 7) /* 7:EBX.20 */
#define UMBRA_CPU_PKU (1u << 8) /* 7:ECX.3 */
#define UMBRA_CPU_PKS (1u << 9) /* 7:ECX.31 */
#define UMBRA_CPU_LA57 (1u << 10) /* 7:ECX.16 */
#define UMBRA_CPU_SHSTK (1u << 11) /* 7:ECX.7   CET shadow stacks */
#define UMBRA_CPU_NX (1u << 12) /* 80000001:EDX.20 */
#define UMBRA_CPU_1G (1u << 13) /* 80000001:EDX.26 */
#define UMBRA_CPU_LM (1u << 14) /* 80000001:EDX.29 */
#define UMBRA_CPU_LAM (1u << 15) /* 7.1:EAX.26 */
#define UMBRA_CPU_EPT_EXECONLY (1u << 16) /* EPT_VPID_CAP.0 */
#define UMBRA_CPU_EPT_LEVEL5 (1u << 17) /* EPT_VPID_CAP.7 */
#define UMBRA_CPU_EPT_2M (1u << 18) /* EPT_VPID_CAP.16 */
#define UMBRA_CPU_EPT_1G (1u << 19) /* EPT_VPID_CAP.17 */
#define UMBRA_CPU_EPT_AD (1u << 20) /* EPT_VPID_CAP.21 */
#define UMBRA_CPU_EPT_ADVINFO (1u << 21) /* EPT_VPID_CAP.22: qualification 9-11 */
#define UMBRA_CPU_EPT_SSS (1u << 22) /* EPT_VPID_CAP.23 */
#define UMBRA_CPU_MBEC (1u << 23) /* secondary control 22 */
#define UMBRA_CPU_GMET (1u << 24) /* 8000000A:EDX.17 */
#define UMBRA_CPU_ROGPT (1u << 25) /* 8000000A:EDX.21 */
/* Behaviour that differs between vendors and that no CPUID bit names: */
#define UMBRA_CPU_PDPTE_MEMORY (1u << 26) /* PAE PDPTEs are read in the walk, H-22 */
#define UMBRA_CPU_BIT8_MBZ (1u << 27) /* bit 8 of PML5E/PML4E reserved, H-30 */
#define UMBRA_CPU_REWALK (1u << 28) /* re-walks memory before a #PF, H-120 */

/** struct umbra_cpu - one CPU model, real or shown to a guest. */
struct umbra_cpu {
	enum umbra_vendor vendor;
	/** Width of a physical address in bits, 32..52 (CPUID 80000008:EAX[7:0]). */
	uint8_t maxphyaddr;
	/** Set of UMBRA_CPU_*. */
	uint32_t features;
};

/* Control register bits that take part in translation (H-1). */
#define UMBRA_CR0_PE (1ull << 0)
#define UMBRA_CR0_WP (1ull << 16)
#define UMBRA_CR0_NW (1ull << 29)
#define UMBRA_CR0_CD (1ull << 30)
#define UMBRA_CR0_PG (1ull << 31)
#define UMBRA_CR4_PSE (1ull << 4)
#define UMBRA_CR4_PAE (1ull << 5)
#define UMBRA_CR4_PGE (1ull << 7)
#define UMBRA_CR4_LA57 (1ull << 12)
#define UMBRA_CR4_PCIDE (1ull << 17)
#define UMBRA_CR4_SMEP (1ull << 20)
#define UMBRA_CR4_SMAP (1ull << 21)
#define UMBRA_CR4_PKE (1ull << 22)
#define UMBRA_CR4_CET (1ull << 23)
#define UMBRA_CR4_PKS (1ull << 24)
#define UMBRA_CR4_LAM_SUP (1ull << 28)
#define UMBRA_EFER_LME (1ull << 8)
#define UMBRA_EFER_LMA (1ull << 10)
#define UMBRA_EFER_NXE (1ull << 11)

/** struct umbra_regs - the register state that selects and steers a translation. */
struct umbra_regs {
	uint64_t cr0, cr3, cr4, efer;
	/** The four PDPTE registers; meaningful in PAE mode on CPUs that have them. */
	uint64_t pdpte[4];
	uint32_t pkru, pkrs;
};

/* ---- what a CPU reports ---- */

enum umbra_event_kind {
	UMBRA_EVENT_NONE, /* the access completed */
	UMBRA_EVENT_PF, /* #PF: code = error code, gva = CR2 */
	UMBRA_EVENT_GP, /* #GP(0), e.g. non-canonical */
	UMBRA_EVENT_SS, /* #SS(0) */
	UMBRA_EVENT_NPF, /* #VMEXIT 400h: code = EXITINFO1, gpa = EXITINFO2 */
	UMBRA_EVENT_EPT_VIOLATION, /* exit 48: code = exit qualification */
	UMBRA_EVENT_EPT_MISCONFIG, /* exit 49: gpa only */
	UMBRA_EVENT_PML_FULL, /* exit 62 */
	UMBRA_EVENT_VMFUNC, /* exit 59: EPTP switching was refused (H-87) */
	UMBRA_EVENT_VE, /* #VE instead of exit 48: code, gva, gpa as in the area (H-83) */
	UMBRA_EVENT_KINDS
};

/** struct umbra_event - one fault or VM exit, in the manuals' own encoding. */
struct umbra_event {
	enum umbra_event_kind kind;
	uint64_t code;
	umbra_gva gva;
	umbra_gpa gpa;
};

/* #PF error code (H-55) and the bits that EXITINFO1 adds (H-95). */
#define UMBRA_PF_P (1ull << 0)
#define UMBRA_PF_W (1ull << 1)
#define UMBRA_PF_U (1ull << 2)
#define UMBRA_PF_RSVD (1ull << 3)
#define UMBRA_PF_I (1ull << 4)
#define UMBRA_PF_PK (1ull << 5)
#define UMBRA_PF_SS (1ull << 6)
#define UMBRA_NPF_FINAL (1ull << 32)
#define UMBRA_NPF_TABLE (1ull << 33)

/* EPT violation exit qualification (H-79). */
#define UMBRA_EPTQ_READ (1ull << 0)
#define UMBRA_EPTQ_WRITE (1ull << 1)
#define UMBRA_EPTQ_FETCH (1ull << 2)
#define UMBRA_EPTQ_R (1ull << 3)
#define UMBRA_EPTQ_W (1ull << 4)
#define UMBRA_EPTQ_X (1ull << 5)
#define UMBRA_EPTQ_XU (1ull << 6)
#define UMBRA_EPTQ_GVA (1ull << 7)
#define UMBRA_EPTQ_FINAL (1ull << 8)
#define UMBRA_EPTQ_GUEST_U (1ull << 9)
#define UMBRA_EPTQ_GUEST_W (1ull << 10)
#define UMBRA_EPTQ_GUEST_NX (1ull << 11)
#define UMBRA_EPTQ_SHSTK (1ull << 13)

#ifdef __cplusplus
}
#endif
#endif
