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

/* APM 2 4.8.4; the same selector as in boot64.S. */
#define CODE_SELECTOR 0x08
#define INTERRUPT_GATE 0x8e00

extern char traps_stubs[];

struct gate {
	uint16_t offset_low, selector, type, offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate table[32];

/* As in boot64.S, which the guest will write over. */
static const uint64_t segments[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};

struct trap {
	unsigned long vector, code, rip, cs, rflags, rsp, ss;
};

_Noreturn void traps_bug(const struct trap *trap);

void traps_bug(const struct trap *trap)
{
	console_stop(CONSOLE_BUG, "bug: exception %lu code %lx at %lx, CR2 %lx, RSP %lx",
		     trap->vector, trap->code, trap->rip, cpu_read_cr2(), trap->rsp);
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
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
	pointer.limit = sizeof(segments) - 1;
	pointer.base = (unsigned long)segments;
	__asm__ volatile("lgdt %0" : : "m"(pointer));
}
