/* SPDX-License-Identifier: MIT */
/* private.h - what the files of this port share. */
#ifndef PORT_POSIX_PRIVATE_H
#define PORT_POSIX_PRIVATE_H

#include <assert.h>
#include <pthread.h>

#include "port/posix/posix.h"

#define POSIX_REGIONS_MAX 64

struct pool {
	uint64_t base;
	uint8_t *bytes;
	/** Per page: the next free one, or that it is taken. */
	uint32_t *next;
	void **private;
	uint32_t pages, top, head;
};

struct region {
	struct posix_region is;
	uint64_t hva;
};

struct posix_host {
	bool poison, single;
	/** UINT64_MAX: no limit. */
	uint64_t alloc_max;
	/** Guards the pools and the list of deferred work. */
	pthread_mutex_t mutex;
	struct pool pool[POSIX_POOL_COUNT];
	struct region region[POSIX_REGIONS_MAX];
	unsigned region_count, region_hit;
	pthread_rwlock_t lock[UMBRA_LOCK_COUNT];
	struct umbra_deferred *deferred;
	struct posix_calls calls;
	struct posix_counts counts;
	/** Calls until one fails; 0: disarmed. */
	uint64_t fail_countdown;
	unsigned fail_kinds;
	int pin_status;
	bool failed;
};

bool pool_open(struct pool *pool, uint64_t base, uint64_t pages);
void pool_close(struct pool *pool);
/** pool_reset - all pages are free again, and count as never used. */
void pool_reset(struct pool *pool);

/** posix_count - @counter is one of @host->counts. */
static inline void posix_count(struct posix_host *host, uint64_t *counter, uint64_t add)
{
	if (host->single)
		*counter += add;
	else
		__atomic_fetch_add(counter, add, __ATOMIC_RELAXED);
}

/** posix_guard - enter and leave what host->mutex guards. */
void posix_guard(struct posix_host *host);
void posix_unguard(struct posix_host *host);

/** posix_refuse - is it this call that must fail? */
bool posix_refuse(struct posix_host *host, unsigned kind);

#endif
