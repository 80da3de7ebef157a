/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - random programs as lists of steps, with and without the flushes that
 * the architecture asks for; how they are judged is in docs/FUZZING.md.
 *
 * A program is text, a step a line, so that it can be read, cut down and kept:
 *
 *	config vendor=intel,tdp=0
 *	vcpus 2
 *	0 regs cr0=0x80010001 cr3=0x10000 cr4=0xa0 efer=0xd00 pkru=0 pkrs=0
 *	set 0x14008 8 0x20067
 *	0 write 0x1000 4 user = 0x1234
 *	1 invlpg 0x1000
 */
#ifndef LAB_FUZZ_H
#define LAB_FUZZ_H

#include "image/image.h"
#include "lab/lab.h"

enum fuzz_op {
	/* by a vCPU */
	FUZZ_REGS, /* all registers at once, and empty TLBs */
	FUZZ_READ,
	FUZZ_WRITE,
	FUZZ_FETCH,
	FUZZ_INVLPG,
	FUZZ_INVPCID,
	FUZZ_CR3, /* MOV, bit 63 included */
	FUZZ_CR0, /* these two turn the bits given */
	FUZZ_CR4,
	FUZZ_KEYS,
	FUZZ_ENTER, /* L1 runs L2; from L2 it goes back to L1 first */
	FUZZ_RESUME, /* ... the one that it left */
	FUZZ_LEAVE,
	FUZZ_INVEPT, /* these three: of L1 */
	FUZZ_INVVPID,
	FUZZ_INVLPGA,
	FUZZ_VMFUNC, /* of L2 */
	/* by a device or the embedder */
	FUZZ_SET, /* DMA: a value to a guest-physical address */
	FUZZ_DELETE, /* a slot */
	FUZZ_ADD, /* ... and again, at one of two places, with what it held */
	FUZZ_SWAP, /* a slot gets other host memory with the same bytes */
	FUZZ_ZAP,
	FUZZ_SHRINK,
	FUZZ_UNPROTECT,
	FUZZ_TRACK,
	FUZZ_UNTRACK,
	FUZZ_OPS
};

/** struct fuzz_step - which fields count depends on @op; see the text form. */
struct fuzz_step {
	uint8_t op, vcpu;
	uint8_t size;
	/** Accesses: USER, AC, IMPLICIT, SHSTK; WRITE and FETCH follow from @op. */
	uint8_t access;
	/** Address or first number; value or second number; INVPCID, INVVPID: type in @size. */
	uint64_t a, b;
	/** REGS, ENTER: cr0, cr4, efer; @a is CR3, @b PKRU and PKRS. */
	uint64_t cr0, cr4, efer;
	/** ENTER: what umbra_nested has by these names; @pf: mask and, 8 bits on, match. */
	uint8_t paging, flags;
	uint16_t pml, pf;
	/** ENTER, RESUME. RESUME with pointer 0: the one that it had. */
	uint64_t pointer;
	uint16_t tag;
	uint8_t tlb;
};

/* Of fuzz_step.flags. */
#define FUZZ_EXEC (1u << 0) /* MBEC or GMET */
#define FUZZ_ROGPT (1u << 1)
#define FUZZ_PML (1u << 2) /* logs to FUZZ_LOG */
#define FUZZ_LIST (1u << 3) /* VMFUNC; EPTPs are at FUZZ_LOG too */
#define FUZZ_PF (1u << 4) /* a #PF that matches exits to L1 */

/** A page for logs, written from its end, and EPTPs, at its begin. */
#define FUZZ_LOG 0x2f000ull

struct fuzz_program {
	/** --config of the command line that made it. */
	char config[128];
	unsigned vcpus;
	struct fuzz_step *step;
	unsigned count, room;
};

/** Guest memory of every program. */
#define FUZZ_SLOTS 4

void fuzz_program_free(struct fuzz_program *program);
/** fuzz_add - append; false: out of memory. */
bool fuzz_add(struct fuzz_program *program, const struct fuzz_step *step);
/** fuzz_step_text - one step as one line, without its end. */
void fuzz_step_text(const struct fuzz_step *step, char *text, size_t size);
/** fuzz_write - the program's text to @path. False: errno says why. */
bool fuzz_write(const struct fuzz_program *program, const char *path);
/** fuzz_read - false: one sentence in @error, with the line. */
bool fuzz_read(struct fuzz_program *program, const char *path, char *error, size_t error_size);

/** fuzz_make - a random program of about @steps steps for the CPU that @config shows. */
bool fuzz_make(struct fuzz_program *program, const struct lab_config *config, uint64_t seed,
	       unsigned steps);
/** fuzz_make_nested - the same with guests that are hypervisors. */
bool fuzz_make_nested(struct fuzz_program *program, const struct lab_config *config, uint64_t seed,
		      unsigned steps);
/** fuzz_decode - any bytes are a program: for libFuzzer. */
bool fuzz_decode(struct fuzz_program *program, const struct lab_config *config,
		 const uint8_t *bytes, size_t size);

/* ---- on the tables of an image ---- */

/** struct fuzz_image - an image as the memory that programs run on. */
struct fuzz_image;

/**
 * fuzz_image_new - views of @image, and what @regs map there on the guest's CPU of
 * @config. NULL: one sentence in @error. The file is never changed, and each run
 * begins with what it holds.
 */
struct fuzz_image *fuzz_image_new(const struct image *image, const struct umbra_regs *regs,
				  const struct lab_config *config, char *error, size_t error_size);
void fuzz_image_free(struct fuzz_image *image);

/**
 * fuzz_mutate - a random program of about @steps steps that edits the image's own
 * tables around some of its pages.
 */
bool fuzz_mutate(struct fuzz_program *program, const struct fuzz_image *image, uint64_t seed,
		 unsigned steps);

/* ---- running ---- */

/** struct fuzz_limits - how to run. */
struct fuzz_limits {
	/** Guest memory; NULL: FUZZ_SLOTS slots of zeros. Slots of an image stay
	 * where they are: steps that would change them do nothing. */
	struct fuzz_image *image;
	/** Audit every so many steps; 0: at the end only. */
	unsigned audit_every;
	/** Compare only pages of the image that are known to have changed. */
	bool sparse;
	/** Let the @fail_nth call of a host hook that may fail do so; 0: none. */
	uint64_t fail_nth;
	/** Called for each step that was done, with a line that says what came of it. */
	void (*told)(void *context, unsigned index, const char *what);
	void *context;
};

struct fuzz_result {
	/** Steps done; with a finding the last of them shows it. */
	unsigned done;
	bool found;
	/** The failure asked for by fail_nth happened. */
	bool failed;
	/** What is wrong: a word ("access", "memory", "audit" ...), then the story. */
	char kind[16];
	char what[512];
	/** Could not be run at all: a sentence. Empty otherwise. */
	char skipped[128];
	uint64_t accesses, faults, stale, facts;
	/** Of the accesses, those of L2; times that L1 began to run it, exits to L1. */
	uint64_t accesses_l2, entries, exits;
	/** Sets of registers that neither machine took. */
	unsigned refused;
};

/** fuzz_run - @config: what program->config stands for. Deterministic. */
void fuzz_run(const struct fuzz_program *program, const struct lab_config *config,
	      const struct fuzz_limits *limits, struct fuzz_result *result);

/**
 * fuzz_shrink - leave out steps as long as a finding of the same kind remains.
 * @runs bounds the work. Returns the number of runs made.
 */
unsigned fuzz_shrink(struct fuzz_program *program, const struct lab_config *config,
		     const struct fuzz_limits *limits, struct fuzz_result *result, unsigned runs);

#endif
