/* SPDX-License-Identifier: MIT */
/*
 * trace_parts.h - between trace.c and trace_explain.c only.
 */
#ifndef CLI_TRACE_PARTS_H
#define CLI_TRACE_PARTS_H

#include "cli/trace.h"

/* The role word of layout 7.3, as far as the text of a role tells. */
#define ROLE_LEVEL 15u
#define ROLE_4_BYTE (1u << 4)
#define ROLE_QUADRANT_SHIFT 5
#define ROLE_DIRECT (1u << 7)
#define ROLE_ACCESS_SHIFT 8
#define ROLE_INVALID (1u << 12)
#define ROLE_NX (1u << 13)
#define ROLE_AD_DISABLED (1u << 16)

#endif
