/* SPDX-License-Identifier: MIT */
/*
 * widths.h - `umbra decode widths`: core's table of address widths, with reasons.
 */
#ifndef CLI_WIDTHS_H
#define CLI_WIDTHS_H

#include "cli/out.h"

#include <stdbool.h>
#include <stdint.h>

/** What is known of the CPU. */
struct widths_cpu {
	/** Second stages to show. */
	bool ept, npt;
	bool pse36; /* 4M pages have high address bits */
	bool level5; /* 5-level EPT */
	/** 32..52; 0: not said, output is what the architecture allows. */
	uint8_t maxphyaddr;
};

/** widths_output - bits of the widest physical address that row @row (enum format_width_row)
 * gives on @cpu. */
unsigned widths_output(const struct widths_cpu *cpu, unsigned row);

/** widths_print - the rows that fit @cpu as text or JSON Lines. */
void widths_print(struct out *out, const struct widths_cpu *cpu);

#endif
