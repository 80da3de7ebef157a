/* SPDX-License-Identifier: MIT */
/*
 * retrace.h - `umbra run --replay LOG`: a run of umbra-hv, checked by its log.
 */
#ifndef CLI_RETRACE_H
#define CLI_RETRACE_H

#include "cli/out.h"

/** retrace_run - the whole log; findings as they come, then what there was. */
enum cli_status retrace_run(struct out *out, const char *path);

#endif
