/* SPDX-License-Identifier: MIT */
/*
 * options.h - the hypervisor's command line.
 */
#ifndef HV_OPTIONS_H
#define HV_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	/** mmu=shadow; else tdp. */
	bool shadow;
	/** mem=: RAM of the guest ends below this address; 0: all there is. */
	uint64_t memory;
	/** page=: largest page of the tables: 1 (4k), 2 (2m), 3 (1g). */
	uint8_t page_level;
	/** around=: 4K pages, a power of 2, to map at once where one was touched (tdp). */
	unsigned around;
	/** prefault=1: map all RAM before the guest starts (tdp). */
	bool prefault;
	/** stats=1, audit=end: what to tell when the guest has ended. */
	bool stats, audit;
	/** trace=: enum trace_select (trace.h). */
	uint8_t trace;
	/** hypercalls=1: the guest may ask for what hypercall.h says. */
	bool hypercalls;
};

/**
 * options_parse - of @line, the first word of which is the program's name if @named. Stops
 * with a line on the console when there is something wrong with it.
 */
void options_parse(struct options *options, const char *line, bool named);

#endif
