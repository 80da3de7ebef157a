/* SPDX-License-Identifier: MIT */
/*
 * posix.h - the host hooks of umbra/host.h on a workstation.
 *
 * A struct posix_host is a pretended machine's memory: table pages at made-up
 * host-physical addresses, guest memory regions at others. Pointers, hva and
 * hpa are three different numbers for the same byte, so that mixing them up
 * shows. One host serves one VM at a time (umbra_vm_config.host).
 *
 * The host also counts what the library asks for, and refuses on demand.
 */
#ifndef PORT_POSIX_POSIX_H
#define PORT_POSIX_POSIX_H

#include "umbra/host.h"
#include "umbra/umbra.h"

#ifdef __cplusplus
extern "C" {
#endif

struct posix_host;

/** Pools of table pages. */
enum posix_pool { POSIX_POOL_LOW, POSIX_POOL_HIGH, POSIX_POOL_COUNT };

struct posix_config {
	/** Where the pools lie and how many pages they have. pages == 0 in both:
	 * the defaults below. Bases are multiples of 2 MiB; low ends below 4 GiB. */
	uint64_t base[POSIX_POOL_COUNT];
	uint64_t pages[POSIX_POOL_COUNT];
	/** Fill pages with garbage when they are allocated and freed. */
	bool poison;
	/** Only one thread ever calls the library: locks are not taken (their
	 * order is still checked), deferred work runs without a grace period. */
	bool single;
	/** Small memory of more bytes at once is refused; 0: no limit. */
	uint64_t alloc_max;
};

#define POSIX_LOW_BASE 0x10000000ull
#define POSIX_LOW_PAGES 4096ull
#define POSIX_HIGH_BASE 0x900000000ull
#define POSIX_HIGH_PAGES (1ull << 18)

/** posix_host_new - NULL when memory is short. @config may be NULL. */
struct posix_host *posix_host_new(const struct posix_config *config);
/** posix_host_free - runs what is deferred. Guest memory stays the caller's. */
void posix_host_free(struct posix_host *host);
/**
 * posix_host_reset - as posix_host_new() with the same configuration made it, for another VM;
 * the memory behind its pools is kept. What its VM has not given back is a bug.
 */
void posix_host_reset(struct posix_host *host);

/** struct posix_range - @size bytes at @bytes that lie at host-physical @base. */
struct posix_range {
	umbra_hpa base;
	uint64_t size;
	void *bytes;
};
/** posix_pool_range - the pages of a pool, for a model of the machine's memory. */
struct posix_range posix_pool_range(const struct posix_host *host, enum posix_pool pool);

/* ---- guest memory ---- */

struct posix_region {
	/** Host-physical place; a multiple of 4096, may be congruent to the gpa
	 * modulo 2 MiB or 1 GiB, or not, as the test wants. */
	umbra_hpa base;
	uint64_t size;
	/** The memory; owned by the caller and outliving the host. */
	void *bytes;
	/** Largest host page (1..3); 0 is 1. */
	uint8_t level;
	/** A pin for writing is refused (EFAULT). */
	bool readonly;
};

/**
 * posix_region_add - register guest memory. The hva that names its first byte
 * goes to *hva; it is congruent to base modulo 1 GiB. False: overlap or too many.
 */
bool posix_region_add(struct posix_host *host, const struct posix_region *region, umbra_hva *hva);

/* ---- telling ---- */

struct posix_calls {
	void *context;
	/** NULL: nothing is done. */
	void (*flush)(void *context, const struct umbra_flush *flush);
	void (*kick)(void *context, unsigned vcpu);
	void (*trace)(void *context, const struct umbra_trace *event);
	/** NULL, or: may the page at @hva be pinned, which is there? An enum umbra_status. To
	 * *writable false may be written: only for reading. */
	int (*may_pin)(void *context, umbra_hva hva, bool write, bool *writable);
	/** After each pin, whatever came of it: where others may get in between. */
	void (*pinned)(void *context, umbra_hva hva);
	/** NULL: print and abort. If it returns, the program aborts. */
	void (*bug)(void *context, const char *file, int line, const char *what);
};
void posix_set_calls(struct posix_host *host, const struct posix_calls *calls);

/* ---- refusing ---- */

/** Hooks that may fail. */
#define POSIX_FAIL_PAGE (1u << 0)
#define POSIX_FAIL_ALLOC (1u << 1)
#define POSIX_FAIL_PIN (1u << 2)
#define POSIX_FAIL_MEMORY (1u << 3)
#define POSIX_FAIL_ALL 15u

/**
 * posix_fail - let the @nth call from now on (1 is the next) of the hooks in
 * @kinds fail, once; 0 disarms. A pin fails with @pin_status.
 */
void posix_fail(struct posix_host *host, uint64_t nth, unsigned kinds, int pin_status);
/** posix_failed - has the armed failure happened? */
bool posix_failed(const struct posix_host *host);

/* ---- counting ---- */

struct posix_counts {
	uint64_t page_allocs, page_frees, allocs, frees, pins, memories;
	uint64_t flushes, kicks, locks, sections, defers;
	/** Live now. */
	uint64_t pages, bytes, deferred;
};
void posix_counts(const struct posix_host *host, struct posix_counts *counts);
/** posix_reclaim - run what is deferred; not inside a read-side section or lock. */
void posix_reclaim(struct posix_host *host);

#ifdef __cplusplus
}
#endif
#endif
