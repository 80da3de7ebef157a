/* SPDX-License-Identifier: MIT */
/*
 * pagemap.c - asks Linux which pages of a private mapping it has copied.
 *
 * A page that nobody wrote to is either not there yet or still one of the file's;
 * /proc/self/pagemap has a word per page that says so (proc(5)). Who may not read it,
 * or runs where it is not, has to take every page for a copy.
 */
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "image/pagemap.h"
#include "umbra/types.h"

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61)

int pagemap_open(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void pagemap_own(int fd, const void *at, unsigned count, bool *own)
{
	uint64_t entry[PAGEMAP_BATCH];
	const off_t offset = (off_t)((uintptr_t)at / UMBRA_PAGE_SIZE * sizeof(*entry));
	const ssize_t want = (ssize_t)(count * sizeof(*entry));
	const bool known = fd >= 0 && pread(fd, entry, (size_t)want, offset) == want;

	for (unsigned i = 0; i < count; i++) {
		bool files = known && !(entry[i] & PAGEMAP_SWAPPED) &&
			     (!(entry[i] & PAGEMAP_PRESENT) || entry[i] & PAGEMAP_FILE);

		own[i] |= !files;
	}
}
