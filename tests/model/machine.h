/* SPDX-License-Identifier: MIT */
/*
 * machine.h - a machine for tests of the model: RAM, tables, one CPU.
 *
 * Two ways to build one: from a row of vectors.h, or by hand with machine_map(),
 * which allocates tables as needed in any guest format.
 */
#ifndef TESTS_MODEL_MACHINE_H
#define TESTS_MODEL_MACHINE_H

#include "model/model.h"
#include "tests/vectors.h"

#define MACHINE_RAM (8ull << 20)

struct machine {
	struct model_mem *mem;
	struct model_cpu *cpu;
	uint8_t *ram;
	struct model_config config;
	struct model_state state;
	enum vector_paging paging, host_paging;
	uint64_t next_table; /* where the next guest table goes */
	uint64_t next_nested;
};

/** machine_new - @paging guest, base B4 registers, Intel or AMD profile, nothing mapped. */
void machine_new(struct machine *m, bool amd, enum vector_paging paging);
/** machine_start - make the CPU and enter m->state; after changes of m->config/state. */
void machine_start(struct machine *m, enum model_caching caching);
void machine_free(struct machine *m);
/** machine_enter - enter m->state again; fails the test if that is refused. */
void machine_enter(struct machine *m);

/** machine_ept/npt - second stage over all RAM with 4K leaves, GPA = HPA. */
void machine_ept(struct machine *m);
void machine_npt(struct machine *m, enum vector_paging host);

uint64_t machine_get(const struct machine *m, uint64_t hpa, unsigned size);
void machine_set(struct machine *m, uint64_t hpa, unsigned size, uint64_t value);

/** machine_map - put @entry at @level for @gva, tables with flags 07h above. Returns
 * the address of that entry. */
uint64_t machine_map(struct machine *m, uint64_t gva, int level, uint64_t entry);
/** machine_entry - address of the entry of @level for @gva, all uppers present. */
uint64_t machine_entry(const struct machine *m, uint64_t gva, int level);
/** machine_leaf_of - address of the EPT/NPT leaf for @gpa. */
uint64_t machine_leaf_of(const struct machine *m, uint64_t gpa);
/** machine_poke - write an entry of the guest's size. */
void machine_poke(struct machine *m, uint64_t at, uint64_t entry);
uint64_t machine_peek(const struct machine *m, uint64_t at);

/** machine_access - one access of 4 bytes. */
struct model_outcome machine_access(struct machine *m, uint64_t gva, unsigned access);

/*
 * Results in short: a completed access is its frame, a #PF its code, an exit its
 * kind and code.
 */
#define R_OK(frame) ((uint64_t)(frame) & ~0xfffull)
#define R_PF(code) (1ull << 62 | (code))
#define R_GP (2ull << 60 | 1)
#define R_EXIT(code) (1ull << 63 | (code))
#define R_MISCONFIG (1ull << 63 | 1ull << 61)
#define R_VE(code) (1ull << 63 | 1ull << 60 | (code))
uint64_t machine_short(const struct model_outcome *o);
/** machine_try - machine_access() in short; asserts that the legal set explains it. */
uint64_t machine_try(struct machine *m, uint64_t gva, unsigned access);
/** machine_expect_legal - the legal set is exactly @want[0..count), in any order. */
void machine_expect_legal(struct machine *m, uint64_t gva, unsigned access, unsigned count,
			  const uint64_t *want);
#define EXPECT_LEGAL(m, gva, access, ...)                                                      \
	do {                                                                                   \
		const uint64_t want_[] = {__VA_ARGS__};                                        \
		machine_expect_legal(m, gva, access, sizeof(want_) / sizeof(want_[0]), want_); \
	} while (0)

#endif
