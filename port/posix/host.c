/* SPDX-License-Identifier: MIT */
/*
 * host.c - the other hooks: locks, read-side sections, flushes, telling.
 *
 * Locks are pthread rwlocks. Each thread keeps a short list of what it holds,
 * so that a lock taken against the order of enum umbra_lock is a bug at the
 * first try, not at the first deadlock.
 *
 * Read-side sections are liburcu's (the bulletproof flavour: threads need not
 * register). Deferred work is collected; the thread that ends its last section
 * or lock while enough is waiting pays for one grace period for all of it. It
 * never waits while holding a lock: a reader may want that lock.
 *
 * Invariants: deferred work runs at most once, never under a lock, and all of
 * it before posix_host_free returns.
 */
#include <stdio.h>
#include <stdlib.h>

#include <urcu-bp.h>

#include "port/posix/private.h"

#define RECLAIM_AT 64
#define HELD_MAX 8

/* What this thread holds, of whatever host. */
static _Thread_local struct {
	unsigned count, sections;
	struct {
		struct posix_host *host;
		enum umbra_lock lock;
		bool exclusive;
	} held[HELD_MAX];
} mine;

struct posix_host *posix_host_new(const struct posix_config *config)
{
	static const struct posix_config standard = {.poison = true};
	struct posix_host *host = calloc(1, sizeof(*host));
	struct posix_config c = config ? *config : standard;
	bool ok = true;

	if (!host)
		return NULL;
	if (!c.pages[POSIX_POOL_LOW] && !c.pages[POSIX_POOL_HIGH]) {
		c.base[POSIX_POOL_LOW] = POSIX_LOW_BASE;
		c.pages[POSIX_POOL_LOW] = POSIX_LOW_PAGES;
		c.base[POSIX_POOL_HIGH] = POSIX_HIGH_BASE;
		c.pages[POSIX_POOL_HIGH] = POSIX_HIGH_PAGES;
	}
	host->poison = c.poison;
	host->single = c.single;
	host->alloc_max = c.alloc_max ? c.alloc_max : SIZE_MAX / 2;
	pthread_mutex_init(&host->mutex, NULL);
	for (unsigned i = 0; i < UMBRA_LOCK_COUNT; i++)
		pthread_rwlock_init(&host->lock[i], NULL);
	for (unsigned i = 0; i < POSIX_POOL_COUNT; i++)
		ok = pool_open(&host->pool[i], c.base[i], c.pages[i]) && ok;
	if (!ok) {
		posix_host_free(host);
		return NULL;
	}
	return host;
}

void posix_host_free(struct posix_host *host)
{
	if (!host)
		return;
	if (mine.sections || mine.count)
		umbra_host_bug(host, __FILE__, __LINE__, "host freed under a lock or in a section");
	posix_reclaim(host);
	for (unsigned i = 0; i < POSIX_POOL_COUNT; i++)
		pool_close(&host->pool[i]);
	for (unsigned i = 0; i < UMBRA_LOCK_COUNT; i++)
		pthread_rwlock_destroy(&host->lock[i]);
	pthread_mutex_destroy(&host->mutex);
	free(host);
}

void posix_host_reset(struct posix_host *host)
{
	posix_reclaim(host);
	if (host->counts.pages || host->counts.bytes)
		umbra_host_bug(host, __FILE__, __LINE__, "host reset, but its VM has memory");
	for (unsigned i = 0; i < POSIX_POOL_COUNT; i++)
		pool_reset(&host->pool[i]);
	host->region_count = 0;
	host->region_hit = 0;
	host->calls = (struct posix_calls){0};
	host->counts = (struct posix_counts){0};
	posix_fail(host, 0, 0, 0);
}

void posix_set_calls(struct posix_host *host, const struct posix_calls *calls)
{
	host->calls = *calls;
}

void posix_counts(const struct posix_host *host, struct posix_counts *counts)
{
	*counts = host->counts;
}

/* ---- refusing ---- */

void posix_fail(struct posix_host *host, uint64_t nth, unsigned kinds, int pin_status)
{
	host->fail_countdown = nth;
	host->fail_kinds = kinds;
	host->pin_status = pin_status;
	host->failed = false;
}

bool posix_failed(const struct posix_host *host)
{
	return host->failed;
}

bool posix_refuse(struct posix_host *host, unsigned kind)
{
	if (!host->fail_countdown || !(host->fail_kinds & kind))
		return false;
	if (--host->fail_countdown)
		return false;
	host->failed = true;
	return true;
}

/* ---- deferred work ---- */

static void run_all(struct posix_host *host, struct umbra_deferred *list)
{
	while (list) {
		struct umbra_deferred *next = list->next;

		posix_count(host, &host->counts.deferred, -1ull);
		list->run(host, list);
		list = next;
	}
}

void posix_reclaim(struct posix_host *host)
{
	struct umbra_deferred *list;

	/* What is run may defer more. */
	while (__atomic_load_n(&host->deferred, __ATOMIC_RELAXED)) {
		posix_guard(host);
		list = host->deferred;
		host->deferred = NULL;
		posix_unguard(host);
		if (!host->single)
			urcu_bp_synchronize_rcu();
		run_all(host, list);
	}
}

/* With one thread nobody else needs the mutex; it is then left alone. */
void posix_guard(struct posix_host *host)
{
	if (!host->single)
		pthread_mutex_lock(&host->mutex);
}

void posix_unguard(struct posix_host *host)
{
	if (!host->single)
		pthread_mutex_unlock(&host->mutex);
}

static void maybe_reclaim(struct posix_host *host)
{
	if (mine.count || mine.sections)
		return;
	if (__atomic_load_n(&host->counts.deferred, __ATOMIC_RELAXED) >= RECLAIM_AT)
		posix_reclaim(host);
}

void umbra_host_defer(void *opaque, struct umbra_deferred *deferred)
{
	struct posix_host *host = opaque;

	posix_count(host, &host->counts.defers, 1);
	posix_count(host, &host->counts.deferred, 1);
	posix_guard(host);
	deferred->next = host->deferred;
	host->deferred = deferred;
	posix_unguard(host);
}

void umbra_host_barrier(void *opaque)
{
	struct posix_host *host = opaque;

	if (!host->single)
		urcu_bp_synchronize_rcu();
	posix_reclaim(host);
}

void umbra_host_read_begin(void *opaque)
{
	struct posix_host *host = opaque;

	posix_count(host, &host->counts.sections, 1);
	mine.sections++;
	if (!host->single)
		urcu_bp_read_lock();
}

void umbra_host_read_end(void *opaque)
{
	struct posix_host *host = opaque;

	if (!mine.sections) {
		umbra_host_bug(host, __FILE__, __LINE__, "read_end without read_begin");
		return;
	}
	if (!host->single)
		urcu_bp_read_unlock();
	mine.sections--;
	maybe_reclaim(host);
}

/* ---- locks ---- */

void umbra_host_lock(void *opaque, enum umbra_lock lock, bool exclusive)
{
	struct posix_host *host = opaque;

	posix_count(host, &host->counts.locks, 1);
	for (unsigned i = 0; i < mine.count; i++)
		if (mine.held[i].host == host && mine.held[i].lock >= lock)
			umbra_host_bug(host, __FILE__, __LINE__, "lock taken out of order");
	if (mine.count == HELD_MAX) {
		umbra_host_bug(host, __FILE__, __LINE__, "too many locks held");
		return;
	}
	if (!host->single && exclusive)
		pthread_rwlock_wrlock(&host->lock[lock]);
	else if (!host->single)
		pthread_rwlock_rdlock(&host->lock[lock]);
	mine.held[mine.count].host = host;
	mine.held[mine.count].lock = lock;
	mine.held[mine.count].exclusive = exclusive;
	mine.count++;
}

void umbra_host_unlock(void *opaque, enum umbra_lock lock, bool exclusive)
{
	struct posix_host *host = opaque;
	unsigned i = mine.count;

	while (i && !(mine.held[i - 1].host == host && mine.held[i - 1].lock == lock))
		i--;
	if (!i) {
		umbra_host_bug(host, __FILE__, __LINE__, "unlock of a lock that is not held");
		return;
	}
	if (mine.held[i - 1].exclusive != exclusive)
		umbra_host_bug(host, __FILE__, __LINE__, "unlock of another mode than the lock");
	if (!host->single)
		pthread_rwlock_unlock(&host->lock[lock]);
	for (; i < mine.count; i++)
		mine.held[i - 1] = mine.held[i];
	mine.count--;
	maybe_reclaim(host);
}

/* ---- telling ---- */

void umbra_host_flush(void *opaque, const struct umbra_flush *flush)
{
	struct posix_host *host = opaque;

	posix_count(host, &host->counts.flushes, 1);
	if (host->calls.flush)
		host->calls.flush(host->calls.context, flush);
}

void umbra_host_kick(void *opaque, unsigned vcpu)
{
	struct posix_host *host = opaque;

	posix_count(host, &host->counts.kicks, 1);
	if (host->calls.kick)
		host->calls.kick(host->calls.context, vcpu);
}

void umbra_host_trace(void *opaque, const struct umbra_trace *event)
{
	struct posix_host *host = opaque;

	if (host->calls.trace)
		host->calls.trace(host->calls.context, event);
}

void umbra_host_bug(void *opaque, const char *file, int line, const char *what)
{
	struct posix_host *host = opaque;

	if (host && host->calls.bug)
		host->calls.bug(host->calls.context, file, line, what);
	fprintf(stderr, "umbra: bug: %s:%d: %s\n", file, line, what);
	abort();
}
