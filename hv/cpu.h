/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - instructions that C does not have, and what the CPU is.
 */
#ifndef HV_CPU_H
#define HV_CPU_H

#include "umbra/types.h"

/** Does the hypervisor run in long mode? Only such a host has guests that do (APM 2 15.5.1). */
#define CPU_LONG_MODE (sizeof(void *) == 8)

/** struct cpu_leaf - registers after CPUID. */
struct cpu_leaf {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpu_leaf cpu_id(uint32_t leaf, uint32_t index)
{
	struct cpu_leaf r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(index));
	return r;
}

static inline uint64_t cpu_read_msr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void cpu_write_msr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline uint64_t cpu_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void cpu_out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void cpu_out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void cpu_out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t cpu_in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t cpu_in16(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t cpu_in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline unsigned long cpu_read_cr2(void)
{
	unsigned long value;

	__asm__ volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

static inline unsigned long cpu_read_cr4(void)
{
	unsigned long value;

	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

#define CPU_MSR_TSC 0x10u
#define CPU_MSR_APIC_BASE 0x1bu
#define CPU_MSR_PAT 0x277u
#define CPU_MSR_EFER 0xc0000080u
#define CPU_MSR_VM_CR 0xc0010114u
#define CPU_MSR_VM_HSAVE_PA 0xc0010117u

/** struct cpu - the processor that runs the hypervisor. */
struct cpu {
	/** What translation depends on (umbra.h); the vendor is AMD's: there is SVM. */
	struct umbra_cpu mmu;
	bool svm, svm_disabled, npt;
	bool next_rip, flush_by_asid;
	/** QEMU's TCG, some of whose bugs must be known (docs/HV.md). */
	bool tcg;
	/** ASIDs 0 .. asids - 1. */
	uint32_t asids;
	/** Logical processors of the package. */
	unsigned processors;
	uint32_t max_leaf, max_extended_leaf;
};

void cpu_detect(struct cpu *cpu);

#endif
