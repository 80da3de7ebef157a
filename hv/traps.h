/* SPDX-License-Identifier: MIT */
/*
 * traps.h - exceptions of the hypervisor itself.
 */
#ifndef HV_TRAPS_H
#define HV_TRAPS_H

/** traps_init - from here on an exception is told on the console and ends the run. */
void traps_init(void);

#endif
