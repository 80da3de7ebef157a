/* SPDX-License-Identifier: MIT */
/*
 * pagemap.h - which pages of a private mapping are no longer those of its file?
 */
#ifndef IMAGE_PAGEMAP_H
#define IMAGE_PAGEMAP_H

#include <stdbool.h>

/** Most pages that pagemap_own() looks at in one call. */
#define PAGEMAP_BATCH 512

/** pagemap_open - a descriptor for pagemap_own(), or -1: then all counts as own. close() it. */
int pagemap_open(void);

/** pagemap_own - sets own[i] where the page at @at + i * 4096 may have been written; others
 * keep their value. @count is at most PAGEMAP_BATCH. */
void pagemap_own(int fd, const void *at, unsigned count, bool *own);

#endif
