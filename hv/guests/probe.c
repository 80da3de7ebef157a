/* SPDX-License-Identifier: MIT */
/*
 * probe.c - descriptor tables for probe.S: gates for exceptions and INT 80h, in 32- and
 * 64-bit form, and tasks that say where the supervisor's stack is.
 */
#include "hv/guests/probe.h"

#define VECTORS 33
#define GATE 0x8e00u
#define GATE_USER 0xee00u

extern char probe_vectors_32[], probe_vectors_64[];
extern uint64_t guest_gdt[];

struct table_pointer {
	uint16_t limit;
	uint32_t base;
	uint32_t base_high;
} __attribute__((packed));

static uint64_t gates_32[0x81], gates_64[0x81][2];
static uint8_t stack[4096] __attribute__((aligned(16)));
static uint32_t task_32[26], task_64[26];
struct table_pointer probe_idtr_32 = {sizeof(gates_32) - 1, 0, 0};
struct table_pointer probe_idtr_64 = {sizeof(gates_64) - 1, 0, 0};

static uint64_t gate(uint32_t offset, uint16_t selector, uint32_t type)
{
	return (offset & 0xffff) | (uint32_t)selector << 16 |
	       (uint64_t)((offset & 0xffff0000) | type) << 32;
}

static uint64_t task(const void *at, uint32_t limit)
{
	uint32_t base = (uint32_t)(uintptr_t)at;

	return limit | (uint64_t)(base & 0xffffff) << 16 | 0x89ull << 40 |
	       (uint64_t)(base >> 24) << 56;
}

void probe_init(void)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		unsigned vector = i < 32 ? i : PROBE_DONE;
		uint32_t type = i < 32 ? GATE : GATE_USER;

		gates_32[vector] = gate((uint32_t)(uintptr_t)probe_vectors_32 + 16 * i, 0x08, type);
		gates_64[vector][0] =
			gate((uint32_t)(uintptr_t)probe_vectors_64 + 16 * i, 0x18, type);
	}
	probe_idtr_32.base = (uint32_t)(uintptr_t)gates_32;
	probe_idtr_64.base = (uint32_t)(uintptr_t)gates_64;
	task_32[1] = task_64[1] = (uint32_t)(uintptr_t)(stack + sizeof(stack));
	task_32[2] = 0x10; /* SS0; in the 64-bit form the upper half of RSP0 */
	guest_gdt[7] = task(task_32, sizeof(task_32) - 1);
	guest_gdt[8] = task(task_64, sizeof(task_64) - 1);
}
