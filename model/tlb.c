/* SPDX-License-Identifier: MIT */
/*
 * tlb.c - storage of cached facts: a hash table whose chains are in order of age.
 *
 *	hash(page, shift) -> bucket -> oldest -> ... -> youngest (tails[])
 *
 * Tags are not hashed: a global fact is found whatever the PCID, and facts of
 * several tags about one page are few. Several facts may say different things
 * about one address (H-110); whoever asks decides which of them to believe.
 * Nothing here drops a fact by itself: caches grow until somebody invalidates.
 */
#include "tlb.h"

#include <stdlib.h>
#include <string.h>

void cache_free(struct cache *c)
{
	free(c->facts);
	free(c->buckets);
	free(c->tails);
	memset(c, 0, sizeof(*c));
}

static uint32_t bucket_of(const struct cache *c, uint64_t page, unsigned shift)
{
	uint64_t h = (page + ((uint64_t)shift << 58)) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> 32) & (c->bucket_count - 1);
}

static void chain_append(struct cache *c, uint32_t index)
{
	struct fact *f = &c->facts[index];
	uint32_t b = bucket_of(c, f->page, f->shift);

	f->next = FACT_NONE;
	if (c->buckets[b] == FACT_NONE)
		c->buckets[b] = index;
	else
		c->facts[c->tails[b]].next = index;
	c->tails[b] = index;
}

static int by_age(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return x[0] < y[0] ? -1 : x[0] > y[0];
}

/* Twice the buckets; chains are rebuilt in order of age. */
static bool rehash(struct cache *c)
{
	uint32_t count = c->bucket_count ? 4 * c->bucket_count : 64;
	uint32_t *buckets = malloc(count * sizeof(*buckets));
	uint32_t *tails = malloc(count * sizeof(*tails));
	uint64_t(*order)[2] = malloc((c->live + 1) * sizeof(*order));
	uint32_t n = 0;

	if (!buckets || !tails || !order) {
		free(buckets);
		free(tails);
		free(order);
		return false;
	}
	for (uint32_t i = 0; i < c->used; i++) {
		if (c->facts[i].live) {
			order[n][0] = c->facts[i].age;
			order[n++][1] = i;
		}
	}
	qsort(order, n, sizeof(*order), by_age);
	free(c->buckets);
	free(c->tails);
	c->buckets = buckets;
	c->tails = tails;
	c->bucket_count = count;
	memset(buckets, 0xff, count * sizeof(*buckets));
	for (uint32_t i = 0; i < n; i++)
		chain_append(c, (uint32_t)order[i][1]);
	free(order);
	return true;
}

static bool same_tags(const struct fact_tags *a, const struct fact_tags *b)
{
	return a->tag == b->tag && a->pcid == b->pcid && a->global == b->global &&
	       a->ept == b->ept && a->unpaged == b->unpaged;
}

/* Same knowledge, apart from D bits. */
static bool same_content(const struct fact *a, const struct fact *b)
{
	const struct page_rights *r = &a->rights, *s = &b->rights;

	return a->gpa == b->gpa && a->s2.hpa == b->s2.hpa && a->s2.rights == b->s2.rights &&
	       a->s2.shift == b->s2.shift && r->all == s->all && r->upper_w == s->upper_w &&
	       r->leaf_w == s->leaf_w && r->key == s->key && a->upper == b->upper &&
	       a->whole_shift == b->whole_shift;
}

static bool take_slot(struct cache *c, uint32_t *index)
{
	if (c->free != FACT_NONE && c->used) {
		*index = c->free;
		c->free = c->facts[*index].next;
		return true;
	}
	if (c->used == c->room) {
		uint32_t room = c->room ? 2 * c->room : 64;
		struct fact *facts = realloc(c->facts, room * sizeof(*facts));

		if (!facts)
			return false;
		c->facts = facts;
		c->room = room;
	}
	if (!c->used)
		c->free = FACT_NONE;
	*index = c->used++;
	return true;
}

void cache_add(struct cache *c, const struct fact *f)
{
	uint32_t index;

	if (c->bucket_count) {
		for (struct fact *old = cache_first(c, f->page << f->shift, f->shift); old;
		     old = cache_next(c, old)) {
			if (same_tags(&old->tags, &f->tags) && same_content(old, f)) {
				old->rights.dirty |= f->rights.dirty;
				old->s2.dirty |= f->s2.dirty;
				return;
			}
		}
	}
	if (c->live >= c->bucket_count && !rehash(c))
		return;
	if (!take_slot(c, &index))
		return;
	c->facts[index] = *f;
	c->facts[index].live = true;
	c->facts[index].age = ++c->age;
	c->shift_count[f->shift]++;
	c->live++;
	chain_append(c, index);
}

static struct fact *find_from(const struct cache *c, uint32_t index, uint64_t page, unsigned shift)
{
	while (index != FACT_NONE) {
		struct fact *f = &c->facts[index];

		if (f->page == page && f->shift == shift)
			return f;
		index = f->next;
	}
	return NULL;
}

struct fact *cache_first(const struct cache *c, uint64_t address, unsigned shift)
{
	uint64_t page = address >> shift;

	if (!c->shift_count[shift])
		return NULL;
	return find_from(c, c->buckets[bucket_of(c, page, shift)], page, shift);
}

struct fact *cache_next(const struct cache *c, const struct fact *f)
{
	return find_from(c, f->next, f->page, f->shift);
}

void cache_drop(struct cache *c, struct fact *f)
{
	uint32_t index = (uint32_t)(f - c->facts);
	uint32_t b = bucket_of(c, f->page, f->shift);
	uint32_t before = FACT_NONE, at = c->buckets[b];

	while (at != index) {
		before = at;
		at = c->facts[at].next;
	}
	if (before == FACT_NONE)
		c->buckets[b] = f->next;
	else
		c->facts[before].next = f->next;
	if (c->tails[b] == index)
		c->tails[b] = before;
	c->shift_count[f->shift]--;
	c->live--;
	f->live = false;
	f->next = c->free;
	c->free = index;
}

void cache_drop_all(struct cache *c)
{
	if (!c->live)
		return;
	memset(c->buckets, 0xff, c->bucket_count * sizeof(*c->buckets));
	memset(c->shift_count, 0, sizeof(c->shift_count));
	c->used = c->live = 0;
	c->free = FACT_NONE;
}
