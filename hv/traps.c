/* SPDX-License-Identifier: MIT */
/*
 * traps.c - segments, and an interrupt table of 32 exceptions that should never happen.
 *
 * Interrupts are never taken here: they stay masked by GIF=0 until the guest runs (APM 2
 * 15.17), and then they are the guest's.
 */
#include "hv/traps.h"
#include "hv/console.h"
#include "hv/cpu.h"

/* APM 2 4.8.4; the same selector as in boot64.S and boot32.S. */
#define CODE_SELECTOR 0x08
#define INTERRUPT_GATE 0x8e00
/* As in those, which the guest will write over. */
#define DATA_SEGMENT 0x00cf93000000ffff

extern char traps_stubs[];

struct gate {
	uint16_t offset_low, selector, type, offset_middle;
#ifdef __x86_64__
	uint32_t offset_high, reserved;
};
#define CODE_SEGMENT 0x00af9b000000ffff
#else
};
#define CODE_SEGMENT 0x00cf9b000000ffff
#endif

static struct gate table[32];
static const uint64_t segments[] = {0, CODE_SEGMENT, DATA_SEGMENT};

/* What the stub and the CPU have pushed; a 64-bit one pushes RSP and SS, too. */
struct trap {
	unsigned long vector, code, rip, cs, rflags;
};

_Noreturn void traps_bug(const struct trap *trap);

void traps_bug(const struct trap *trap)
{
	console_stop(CONSOLE_BUG, "bug: exception %lu code %lx at %lx, CR2 %lx, stack %lx",
		     trap->vector, trap->code, trap->rip, cpu_read_cr2(),
		     (unsigned long)(uintptr_t)trap);
}

void traps_init(void)
{
	struct {
		uint16_t limit;
		unsigned long base;
	} __attribute__((packed)) pointer = {sizeof(table) - 1, (unsigned long)table};

	for (unsigned i = 0; i < 32; i++) {
		uint64_t stub = (uintptr_t)traps_stubs + 16 * i;

		table[i] = (struct gate){
			.offset_low = (uint16_t)stub,
			.selector = CODE_SELECTOR,
			.type = INTERRUPT_GATE,
			.offset_middle = (uint16_t)(stub >> 16),
#ifdef __x86_64__
			.offset_high = (uint32_t)(stub >> 32),
#endif
		};
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
	pointer.limit = sizeof(segments) - 1;
	pointer.base = (unsigned long)segments;
	__asm__ volatile("lgdt %0" : : "m"(pointer));
}
