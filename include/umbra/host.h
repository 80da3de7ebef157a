/* SPDX-License-Identifier: MIT */
/*
 * host.h - what the embedder provides.
 *
 * Plain functions, resolved when the program is linked: a missing hook is an
 * error of the build, not of a run. They are the only symbols that the core
 * leaves undefined (tools/check-freestanding). @host is always the pointer
 * that umbra_vm_config.host gave, so one process may hold VMs of many kinds.
 *
 * Hooks must not call back into the library, except where said.
 */
#ifndef UMBRA_HOST_H
#define UMBRA_HOST_H

#include "umbra/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- table pages ---- */

/** The page must lie below 4 GiB (a PAE root: CR3 has 32 bits). */
#define UMBRA_PAGE_BELOW_4G (1u << 0)

/**
 * umbra_host_page_alloc - a 4 KiB page for tables, contents undefined.
 * Returns false when there is none; *hpa is then untouched.
 */
bool umbra_host_page_alloc(void *host, unsigned flags, umbra_hpa *hpa);
void umbra_host_page_free(void *host, umbra_hpa hpa);
/** umbra_host_page_pointer - where the core sees the table page at @hpa (page aligned). */
void *umbra_host_page_pointer(void *host, umbra_hpa hpa);
/**
 * umbra_host_page_private - a word that belongs to the core while the page is
 * allocated, e.g. a field of the host's frame array. Constant time.
 */
void **umbra_host_page_private(void *host, umbra_hpa hpa);

/* ---- other memory ---- */

/** umbra_host_alloc - @size zeroed bytes, 64-byte aligned; NULL when there are none. */
void *umbra_host_alloc(void *host, size_t size);
void umbra_host_free(void *host, void *memory, size_t size);

/* ---- guest memory ---- */

/**
 * umbra_host_memory - where the core reads and writes guest memory at @hva.
 * @size: in: bytes wanted in a row, at least 1; out: bytes there are in a row,
 * which may be fewer or more, but reach the end of the page. NULL when @hva cannot
 * be reached. While its slot exists the pointer stays good.
 */
void *umbra_host_memory(void *host, umbra_hva hva, uint64_t *size);

/** struct umbra_pin - what umbra_host_pin found. */
struct umbra_pin {
	/** Frame of the 4 KiB page at the hva. */
	umbra_pfn pfn;
	/** Largest level (1..3) at which hva and neighbours are contiguous and
	 * aligned in host memory. */
	uint8_t level;
	/** The frame may be mapped writable. */
	bool writable;
};

/**
 * umbra_host_pin - the frame behind @hva, for an access that @write s or not.
 * Returns 0; or an enum umbra_status: EFAULT (nothing there, or a write where
 * none is allowed), EAGAIN (try the whole fault again), EINTR (a signal).
 */
int umbra_host_pin(void *host, umbra_hva hva, bool write, struct umbra_pin *pin);

/* ---- TLBs and CPUs ---- */

/** struct umbra_flush - translations that no CPU may use from now on. */
struct umbra_flush {
	/** Guest frames [start, start + pages); pages == 0: everything of the VM.
	 * Under shadow paging always everything. */
	umbra_gfn start;
	uint64_t pages;
};

/** umbra_host_flush - returns when no vCPU of the VM can use them any more. */
void umbra_host_flush(void *host, const struct umbra_flush *flush);
/** umbra_host_kick - make vCPU @vcpu leave the guest and call umbra_vcpu_load() again. */
void umbra_host_kick(void *host, unsigned vcpu);

/* ---- concurrency ---- */

/** Locks in their legal order: a holder of one takes only later ones. */
enum umbra_lock {
	UMBRA_LOCK_SLOTS, /* slot changes; may sleep */
	UMBRA_LOCK_MMU, /* tables; shared: TDP faults, exclusive: all else */
	UMBRA_LOCK_PAGES, /* the page pool */
	UMBRA_LOCK_COUNT
};
void umbra_host_lock(void *host, enum umbra_lock lock, bool exclusive);
void umbra_host_unlock(void *host, enum umbra_lock lock, bool exclusive);

/** Read-side section: what is deferred meanwhile stays until it ends. */
void umbra_host_read_begin(void *host);
void umbra_host_read_end(void *host);

/** struct umbra_deferred - embedded in what is to be freed; opaque to the host. */
struct umbra_deferred {
	struct umbra_deferred *next; /* the host's to use */
	void (*run)(void *host, struct umbra_deferred *deferred);
};
/** umbra_host_defer - call deferred->run once all present read-side sections have ended;
 * run may call umbra_host_page_free and umbra_host_free. */
void umbra_host_defer(void *host, struct umbra_deferred *deferred);
/** umbra_host_barrier - returns when all present read-side sections have ended and all that
 * was deferred so far has been called. No lock is held. */
void umbra_host_barrier(void *host);

/* ---- telling ---- */

/** umbra_host_bug - Umbra broke its own rules; input never leads here. Does not return
 * to normal service: abort, panic, or stop the VM. */
void umbra_host_bug(void *host, const char *file, int line, const char *what);

/** Trace events; names are KVM's (kvmmmu). */
enum umbra_trace_kind {
	UMBRA_TRACE_FAULT, /* a=address b=code c=verdict d=gpa */
	UMBRA_TRACE_PAGETABLE_WALK, /* a=address b=access c=walk end d=gpa */
	UMBRA_TRACE_GET_PAGE, /* a=gfn b=role c=hpa d=created */
	UMBRA_TRACE_PREPARE_ZAP_PAGE, /* a=gfn b=role c=hpa d=entries */
	UMBRA_TRACE_SET_SPTE, /* a=hpa of entry b=old c=new d=level */
	UMBRA_TRACE_WRITE, /* a=gpa b=length c=entries zapped */
	UMBRA_TRACE_UNSYNC_PAGE, /* a=gfn b=role c=hpa */
	UMBRA_TRACE_SYNC_PAGE, /* a=gfn b=role c=hpa d=entries changed */
	UMBRA_TRACE_FLUSH, /* a=start gfn b=pages (0: all) */
	UMBRA_TRACE_ROOT, /* a=root hpa b=role c=guest root d=0 */
	UMBRA_TRACE_CHANGED_PFN, /* a=gpa b=frame mapped c=frame pinned d=hpa of entry: a bug */
	UMBRA_TRACE_MARK_MMIO_SPTE, /* a=hpa of entry b=gfn c=rights d=generation */
	UMBRA_TRACE_HANDLE_MMIO_PAGE_FAULT, /* a=address b=gfn c=rights */
	UMBRA_TRACE_CHECK_MMIO_SPTE, /* a=entry b=slots' generation c=its own d=current */
	UMBRA_TRACE_END_UNSYNC, /* a=gfn b=role c=hpa: guest writes to the table are seen again */
	UMBRA_TRACE_PUT_ROOT, /* a=root hpa b=role c=references left */
	UMBRA_TRACE_KINDS
};
struct umbra_trace {
	enum umbra_trace_kind kind;
	uint64_t a, b, c, d;
};
/** struct umbra_recent - a trace event of the past (umbra_finding): @ago events of tables
 * have come after it. */
struct umbra_recent {
	uint64_t ago;
	struct umbra_trace event;
};
/** umbra_host_trace - called only for VMs created with trace on. */
void umbra_host_trace(void *host, const struct umbra_trace *event);

#ifdef __cplusplus
}
#endif
#endif
