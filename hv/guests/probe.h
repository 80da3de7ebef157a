/* SPDX-License-Identifier: MIT */
/*
 * probe.h - one memory access in a paging mode, from outside it.
 */
#ifndef HV_GUESTS_PROBE_H
#define HV_GUESTS_PROBE_H

#include "hv/guests/guest.h"

enum probe_kind { PROBE_READ, PROBE_WRITE, PROBE_EXECUTE, PROBE_KINDS };

/** struct probe - in: registers and the access; out: what came of it. probe.S knows the
 * offsets. */
struct probe {
	uint32_t cr0, cr3, cr4, efer;
	uint64_t address;
	uint32_t kind, user;
	/** Vector of the exception; PROBE_DONE: the access went through. */
	uint32_t vector, code;
	uint64_t cr2;
	/** Address of the access's own instructions, where user code can run them. */
	uint32_t user_stub;
};

#define PROBE_DONE 0x80u

/** probe_init - descriptor tables. */
void probe_init(void);
/**
 * probe_run - sets CR4, CR3, EFER and CR0 (long mode when EFER.LME and CR0.PG are set), makes
 * the access at CPL 0 or 3, takes the registers back. The kernel must be mapped where it
 * is, for supervisor code; the page of the stubs at user_stub for user code.
 */
void probe_run(struct probe *probe);
/** probe_stub - the page of the stubs (physical). */
extern char probe_stubs[];

#endif
