/* SPDX-License-Identifier: MIT */
/*
 * hypercall.h - VMMCALL with EAX = HYPERCALL_MAGIC, ECX = what (option hypercalls=1); for the
 * measurements. Without the option VMMCALL is #UD, as everywhere.
 */
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include <stdbool.h>
#include <stdint.h>

#define HYPERCALL_MAGIC 0x72626d75u /* "umbr" */
/* CPUID leaf that is HYPERCALL_MAGIC in EAX, EBX, ECX and EDX when there are hypercalls. */
#define HYPERCALL_LEAF 0x4fff0000u

enum hypercall {
	HYPERCALL_COUNTS, /* EAX = exits, EDX = flushes so far */
	HYPERCALL_ZAP, /* drop all tables (umbra_vm_zap_all) */
	HYPERCALL_LOG_BEGIN, /* log writes to all RAM: write protected from now on */
	HYPERCALL_LOG_TAKE, /* take the log, and write protect again what was written */
	HYPERCALL_LOG_END,
};

struct hypercall_counts {
	uint32_t exits, flushes;
};

static inline struct hypercall_counts hypercall(enum hypercall what)
{
	struct hypercall_counts r;

	__asm__ volatile("vmmcall"
			 : "=a"(r.exits), "=d"(r.flushes)
			 : "a"(HYPERCALL_MAGIC), "c"(what)
			 : "memory");
	return r;
}

static inline bool hypercall_present(void)
{
	uint32_t a, b, c, d;

	__asm__ volatile("cpuid"
			 : "=a"(a), "=b"(b), "=c"(c), "=d"(d)
			 : "a"(HYPERCALL_LEAF), "c"(0));
	return a == HYPERCALL_MAGIC && b == a && c == a && d == a;
}

#endif
