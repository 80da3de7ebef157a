/* SPDX-License-Identifier: MIT */
/*
 * measure.c - what operations cost: instructions, exits and flushes each.
 *
 * Runs on umbra-hv with hypercalls=1, and without a hypervisor (no exits then). With QEMU's
 * -icount shift=0,sleep=off a tick of the TSC is an instruction, the hypervisor's included.
 * The guest's tables map 16 MiB from PAGES on in 4 KiB pages; all loops are 64-bit code.
 */
#include "hv/guests/guest.h"
#include "hv/hypercall.h"

#define P_W 3ull
#define A_D 0x60ull
#define PS 0x80ull
#define PAGES 0x2000000u /* 32 MiB */
#define COUNT 4096u
#define TABLES (COUNT / 512)

uint64_t long_call(const void *loop, uint32_t start, uint32_t count, uint32_t cr3);
extern char long_nothing[], long_touch[], long_cpuid[], long_cr3[], long_unmap[], long_remap[];
extern uint64_t long_pages, long_entry;

static uint64_t level4[512] __attribute__((aligned(4096)));
static uint64_t level3[512] __attribute__((aligned(4096)));
static uint64_t level2[512] __attribute__((aligned(4096)));
static uint64_t level1[TABLES][512] __attribute__((aligned(4096)));
static bool has_hypercalls;

static uint32_t at(const void *pointer)
{
	return (uint32_t)(uintptr_t)pointer;
}

static void make_tables(void)
{
	level4[0] = at(level3) | P_W;
	level3[0] = at(level2) | P_W;
	for (unsigned i = 0; i < 16; i++) /* the kernel: 32 MiB */
		level2[i] = i * 0x200000ull | P_W | PS | A_D;
	for (unsigned i = 0; i < TABLES; i++)
		level2[PAGES / 0x200000 + i] = at(level1[i]) | P_W;
	for (unsigned i = 0; i < COUNT; i++)
		level1[i / 512][i % 512] = (PAGES + i * 4096ull) | P_W | A_D;
	long_pages = PAGES;
	long_entry = PAGES | P_W | A_D;
}

static struct hypercall_counts counts(void)
{
	struct hypercall_counts now = {0, 0};

	if (has_hypercalls)
		now = hypercall(HYPERCALL_COUNTS);
	return now;
}

/* What one of @count turns cost. Not the way in and out, which is alike for all. */
static void say(const char *name, uint32_t ticks, struct hypercall_counts before, uint32_t count)
{
	struct hypercall_counts after = counts();

	guest_print("%s %u per turn, %u exits, %u flushes in %u turns\n", name, ticks / count,
		    after.exits - before.exits, after.flushes - before.flushes, count);
}

static void measure(const char *name, const void *loop, uint32_t start)
{
	struct hypercall_counts before = counts();

	say(name, (uint32_t)long_call(loop, start, COUNT, at(level4)), before, COUNT);
}

/* Writes to pages that are mapped and were written before the log was last taken. */
static void measure_log(void)
{
	struct hypercall_counts before;
	uint64_t ticks;

	hypercall(HYPERCALL_LOG_BEGIN);
	measure("log begun, touch    ", long_touch, PAGES);
	before = counts();
	ticks = guest_tsc();
	hypercall(HYPERCALL_LOG_TAKE);
	say("log taken, a page   ", (uint32_t)(guest_tsc() - ticks), before, COUNT);
	measure("write after that    ", long_touch, PAGES);
	hypercall(HYPERCALL_LOG_END);
}

int guest_main(uint32_t magic, uint32_t information)
{
	(void)magic;
	(void)information;
	has_hypercalls = hypercall_present();
	make_tables();
	measure("nothing             ", long_nothing, 0);
	measure("CPUID               ", long_cpuid, 0);
	measure("first touch         ", long_touch, PAGES);
	measure("second touch        ", long_touch, PAGES);
	if (has_hypercalls) {
		hypercall(HYPERCALL_ZAP);
		measure("refault after zap   ", long_touch, PAGES);
	}
	measure("PTE = 0, INVLPG     ", long_unmap, at(level1));
	measure("PTE = page, touch   ", long_remap, at(level1));
	measure("MOV CR3, same value ", long_cr3, 0);
	if (has_hypercalls)
		measure_log();
	return 0;
}
