/* SPDX-License-Identifier: MIT */
/*
 * duo.h - one machine twice: core's walker and the strict model, side by side.
 *
 * Both have their own copy of a small memory at address 0. An access is made on
 * both; events, defined code bits, addresses and, at the end, every byte of
 * memory must be the same. What the manuals leave open (unsure) is asked of the
 * model: model_explains().
 */
#ifndef TESTS_TRANSPARENCY_DUO_H
#define TESTS_TRANSPARENCY_DUO_H

#include "core/walk.h"
#include "model/model.h"

#define DUO_PAGES 64u
#define DUO_SIZE (DUO_PAGES * 4096u)

/** struct duo_setup - the machine, in registers. */
struct duo_setup {
	struct umbra_cpu cpu;
	struct umbra_regs regs;
	enum model_stage2_kind stage2;
	uint64_t eptp;
	bool mbec;
	/** NPT: the host's registers; cr3 is nCR3. */
	struct umbra_regs host;
	bool gmet, rogpt;
};

struct duo {
	uint8_t *mine, *its; /* memory of core, of the model */
	struct memory memory;
	struct mode guest_mode, nested_mode;
	struct space guest, nested;
	struct duo_setup setup;
	struct model_mem *mem;
	struct model_cpu *model;
	/** The last access. */
	struct walk out;
	struct model_outcome outcome;
	uint64_t same, unsure, absent, faults;
};

enum duo_verdict {
	DUO_SAME,
	DUO_UNSURE, /* different, and the manuals allow both */
	DUO_ABSENT, /* a table lay outside memory: G-30(3) is not the bus's all ones */
	DUO_DIFFERENT,
};

/** duo_new - memory for both; false when out of memory. */
bool duo_new(struct duo *duo);
void duo_free(struct duo *duo);

/** duo_enter - put both in this state; false if the model's CPU refuses it. */
bool duo_enter(struct duo *duo, const struct duo_setup *setup);

/** duo_put - write @size bytes of @value into both memories. */
void duo_put(struct duo *duo, uint64_t at, uint64_t value, unsigned size);

/**
 * duo_access - make the access on both. Memory is compared by duo_memory_same().
 * After UNSURE and ABSENT core's memory is made equal to the model's.
 */
enum duo_verdict duo_access(struct duo *duo, uint64_t gva, unsigned access);

/** duo_entries_same - are the guest entries of the last walk the same in both? */
bool duo_memory_same(const struct duo *duo);

/** duo_print - the last access, with both outcomes, on stdout. */
void duo_print(const struct duo *duo, uint64_t gva, unsigned access);

/** duo_scale - UMBRA_TEST_SCALE: "small" gives @small, "full" @full, else @normal. */
uint64_t duo_scale(uint64_t small, uint64_t normal, uint64_t full);

/** duo_random - xorshift64*; *state is not 0. */
uint64_t duo_random(uint64_t *state);

#endif
