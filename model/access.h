/* SPDX-License-Identifier: MIT */
/*
 * access.h - how an access falls into page-contained pieces.
 */
#ifndef MODEL_ACCESS_H
#define MODEL_ACCESS_H

#include "cpu.h"

struct access_piece {
	uint64_t la; /* LAM applied, truncated outside 64-bit code */
	uint8_t size;
	bool canonical;
};

/** access_split - cut @a into 1 or 2 pieces. */
unsigned access_split(const struct model_cpu *cpu, const struct model_access *a,
		      struct access_piece *pieces);

static inline struct umbra_event access_non_canonical(const struct model_access *a)
{
	return (struct umbra_event){.kind = a->stack ? UMBRA_EVENT_SS : UMBRA_EVENT_GP};
}

#endif
