/* SPDX-License-Identifier: MIT */
/*
 * port.h - the library's host hooks on the bare machine.
 */
#ifndef HV_PORT_H
#define HV_PORT_H

#include "hv/heap.h"
#include "hv/memory.h"
#include "umbra/host.h"

/**
 * struct port - the `host` of the VM. One CPU runs everything: locks and read-side sections
 * are empty, and what is deferred waits until no library call is under way (port_settle).
 */
struct port {
	const struct memory *memory;
	struct heap heap;
	/* Table pages: physical [pages_start, + 4096 * page_count), one word each. */
	uint64_t pages_start;
	uint32_t page_count, pages_used, pages_top, pages_free;
	struct port_frame *frame;
	struct umbra_deferred *deferred;
	/** To do before the guest is entered again. */
	bool flush, reload;
	uint64_t flushes;
	/** The piece of the guest's RAM that was looked at last. */
	uint64_t run_start, run_size;
	/** Called with each trace event, and with each page for tables that the library takes
	 * or gives back; NULL: none wanted. */
	void (*trace)(const struct umbra_trace *event);
	void (*page)(umbra_hpa hpa, bool taken);
	/** Something was logged since the guest was entered last; translations were flushed
	 * since then (trace.c). */
	bool logged, flushed;
};

/** port_init - everything in physical [@start, @end) is for tables and the heap; a quarter
 * for the heap. */
void port_init(struct port *port, const struct memory *memory, uint64_t start, uint64_t end);
/** port_each_table - all pages that are tables now, by their addresses. */
void port_each_table(struct port *port, void (*say)(umbra_hpa hpa, const uint64_t *entries));
/** port_settle - run what the library has deferred; between its calls. */
void port_settle(struct port *port);

#endif
