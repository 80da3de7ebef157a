/* SPDX-License-Identifier: MIT */
/*
 * guest.h - what the test kernels share: words on COM1, the end of the run.
 */
#ifndef HV_GUESTS_GUEST_H
#define HV_GUESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** guest_main - of each kernel. Returns what guest_exit() is told. */
int guest_main(uint32_t magic, uint32_t information);

/** guest_print - %s %u %x with a width and zeros; 32 bits, with ll 64 (%x only). */
void guest_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** guest_exit - QEMU's isa-debug-exit: its exit status is 2 * @code + 1. */
_Noreturn void guest_exit(int code);

struct guest_leaf {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct guest_leaf guest_cpuid(uint32_t leaf, uint32_t index)
{
	struct guest_leaf r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(index));
	return r;
}

static inline void guest_out(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t guest_in(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t guest_rdmsr(uint32_t msr)
{
	uint64_t value;

	__asm__ volatile("rdmsr" : "=A"(value) : "c"(msr));
	return value;
}

static inline void guest_wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "A"(value) : "memory");
}

static inline uint64_t guest_tsc(void)
{
	uint64_t value;

	__asm__ volatile("rdtsc" : "=A"(value));
	return value;
}

#endif
