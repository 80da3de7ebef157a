/* SPDX-License-Identifier: MIT */
/* fuzz_maker.h - a program in the making, for fuzz_make.c and fuzz_make_l1.c. */
#ifndef LAB_FUZZ_MAKER_H
#define LAB_FUZZ_MAKER_H

#include "lab/fuzz_parts.h"
#include "lab/random.h"

#define PAGE(n) ((uint64_t)(n) << UMBRA_PAGE_SHIFT)
#define TABLE(n) (FUZZ_TABLES + PAGE(n))
#define WINDOW 0x200000ull
#define GIB 0x40000000ull
#define HIGH 0xffff800000000000ull
#define P 1u
#define W 2u
#define U 4u
#define A 0x20u
#define D 0x40u
#define PS 0x80u
#define G 0x100u
#define L1_TABLE(n) (FUZZ_L1_TABLES + PAGE(n))

enum guest_mode { GUEST_UNPAGED, GUEST_32, GUEST_PAE, GUEST_4, GUEST_5, GUEST_MODES };

struct target {
	uint8_t table, level, size;
	uint16_t first, count;
	/** Level 1: linear address of the first page. */
	uint64_t gva;
};

struct maker {
	struct fuzz_program *program;
	struct umbra_cpu cpu;
	enum umbra_paging paging;
	uint64_t random;
	const uint8_t *bytes;
	size_t left;
	bool from_bytes, failed;
	/** Of whoever runs, as far as it can be known. */
	enum guest_mode mode[LAB_CPU_MAX];
	/** Of 4 edits, how many are followed by their flush. */
	unsigned discipline;
	bool shstk;
	/** L1 is a hypervisor: its mode while L2 runs, and what it last entered with. */
	bool nested, in_l2[LAB_CPU_MAX];
	enum guest_mode l1_mode[LAB_CPU_MAX];
	struct fuzz_step entered[LAB_CPU_MAX];
};

uint64_t make_below(struct maker *m, uint64_t limit);
bool make_chance(struct maker *m, unsigned in);
void make_emit(struct maker *m, struct fuzz_step step);
unsigned make_vcpu(struct maker *m);
/** make_frame - a place for data. */
uint64_t make_frame(struct maker *m);
/** make_registers - CR0, CR3, CR4, EFER and keys of a @mode that the CPU has, into @s.
 * Returns the mode. */
enum guest_mode make_registers(struct maker *m, struct fuzz_step *s, enum guest_mode mode);
/** make_linear - an address that @cpu may use, make_access - an access there. */
uint64_t make_linear(struct maker *m, unsigned cpu);
void make_access(struct maker *m, unsigned cpu, uint64_t gva);
/** make_flush - @cpu drops all linear mappings of whoever runs. */
void make_flush(struct maker *m, unsigned cpu);

/* ---- fuzz_make_l1.c ---- */

/** make_l1_tables - L1's EPT or NPT as it is at first; @narrow: in 32-bit format too. */
void make_l1_tables(struct maker *m, bool narrow);
/** make_l1_step - something that a hypervisor, or L2, does. */
void make_l1_step(struct maker *m);
/** make_l1_flush - L1 on @cpu drops all that it may know of L2. */
void make_l1_flush(struct maker *m, unsigned cpu);

#endif
