/* SPDX-License-Identifier: MIT */
/*
 * pages.c - descriptors, hash and age list of table pages.
 *
 *	hash bucket (by gfn only, so that "who mirrors this gfn" is one bucket)
 *	   |
 *	   v   hash_next
 *	struct page ----> struct page ----> NULL
 *	   | hpa
 *	   v
 *	4 KiB of entries  <-- umbra_host_page_private() leads back to the page
 *
 * Descriptors (64 bytes) and chain blocks (128) are carved from 4 KiB slabs that
 * are kept until the VM ends. Invariants: I-1 (roots are in the pool), I-2 (page,
 * table and private word agree), I-3 (hash).
 */
#include "core/pages.h"
#include "core/mem.h"
#include "core/mmu.h"
#include "core/table.h"

#define SLAB_BYTES 4096u

/* First 128 bytes of a slab. */
struct slab {
	struct slab *next;
};

enum umbra_status pages_init(struct mmu *mmu)
{
	mmu->pages.epoch = 1; /* 0 is before all */
	mmu->pages.bucket = umbra_host_alloc(mmu->host, PAGES_BUCKETS * sizeof(*mmu->pages.bucket));
	return mmu->pages.bucket ? UMBRA_OK : UMBRA_ENOMEM;
}

void pages_destroy(struct mmu *mmu)
{
	struct pages *pages = &mmu->pages;

	for (struct page *page = pages->oldest; page; page = page->next) {
		if (page->words.v)
			umbra_host_page_free(mmu->host, page->words);
		umbra_host_page_free(mmu->host, page->hpa);
	}
	for (struct slab *slab = pages->slabs, *next; slab; slab = next) {
		next = slab->next;
		umbra_host_free(mmu->host, slab, SLAB_BYTES);
	}
	if (pages->bucket)
		umbra_host_free(mmu->host, pages->bucket, PAGES_BUCKETS * sizeof(*pages->bucket));
}

/* A fresh slab's room, or NULL. */
static char *slab_new(struct mmu *mmu)
{
	struct slab *slab = umbra_host_alloc(mmu->host, SLAB_BYTES);

	if (!slab)
		return NULL;
	slab->next = mmu->pages.slabs;
	mmu->pages.slabs = slab;
	mmu->pages.slab_count++;
	return (char *)slab;
}

static struct page *page_take(struct mmu *mmu)
{
	struct pages *pages = &mmu->pages;
	struct page *page;

	if (!pages->free_pages) {
		char *slab = slab_new(mmu);

		if (!slab)
			return NULL;
		for (size_t at = 128; at + sizeof(*page) <= SLAB_BYTES; at += sizeof(*page)) {
			page = (struct page *)(slab + at);
			page->hash_next = pages->free_pages;
			pages->free_pages = page;
		}
	}
	page = pages->free_pages;
	pages->free_pages = page->hash_next;
	return page;
}

static struct chain_block *block_take(struct mmu *mmu)
{
	struct pages *pages = &mmu->pages;
	struct chain_block *block;

	if (!pages->free_blocks) {
		char *slab = slab_new(mmu);

		if (!slab)
			return NULL;
		for (size_t at = 128; at + sizeof(*block) <= SLAB_BYTES; at += sizeof(*block)) {
			block = (struct chain_block *)(slab + at);
			block->next = pages->free_blocks;
			pages->free_blocks = block;
		}
	}
	block = pages->free_blocks;
	pages->free_blocks = block->next;
	return block;
}

static void page_give(struct mmu *mmu, struct page *page)
{
	page->hash_next = mmu->pages.free_pages;
	mmu->pages.free_pages = page;
}

void pages_free_block(struct mmu *mmu, struct chain_block *block)
{
	umbra_host_lock(mmu->host, UMBRA_LOCK_PAGES, true);
	block->next = mmu->pages.free_blocks;
	mmu->pages.free_blocks = block;
	umbra_host_unlock(mmu->host, UMBRA_LOCK_PAGES, true);
}

static enum umbra_status fill_locked(struct mmu *mmu, struct reserve *reserve)
{
	while (reserve->page_count < RESERVE_PAGES) {
		struct page *page = page_take(mmu);

		if (!page)
			return UMBRA_ENOMEM;
		page->hash_next = reserve->pages;
		reserve->pages = page;
		reserve->page_count++;
	}
	while (reserve->block_count < RESERVE_BLOCKS) {
		struct chain_block *block = block_take(mmu);

		if (!block)
			return UMBRA_ENOMEM;
		block->next = reserve->blocks;
		reserve->blocks = block;
		reserve->block_count++;
	}
	return UMBRA_OK;
}

enum umbra_status reserve_fill(struct mmu *mmu, struct reserve *reserve)
{
	enum umbra_status status = UMBRA_OK;

	if (reserve->table_count == RESERVE_TABLES && reserve->page_count == RESERVE_PAGES &&
	    reserve->block_count == RESERVE_BLOCKS)
		return UMBRA_OK;
	while (reserve->table_count < RESERVE_TABLES) {
		if (!umbra_host_page_alloc(mmu->host, 0, &reserve->table[reserve->table_count]))
			return UMBRA_ENOMEM;
		reserve->table_count++;
	}
	if (reserve->page_count < RESERVE_PAGES || reserve->block_count < RESERVE_BLOCKS) {
		umbra_host_lock(mmu->host, UMBRA_LOCK_PAGES, true);
		status = fill_locked(mmu, reserve);
		umbra_host_unlock(mmu->host, UMBRA_LOCK_PAGES, true);
	}
	return status;
}

void reserve_drain(struct mmu *mmu, struct reserve *reserve)
{
	while (reserve->table_count)
		umbra_host_page_free(mmu->host, reserve->table[--reserve->table_count]);
	umbra_host_lock(mmu->host, UMBRA_LOCK_PAGES, true);
	for (struct page *next; reserve->pages; reserve->pages = next) {
		next = reserve->pages->hash_next;
		page_give(mmu, reserve->pages);
	}
	for (struct chain_block *next; reserve->blocks; reserve->blocks = next) {
		next = reserve->blocks->next;
		reserve->blocks->next = mmu->pages.free_blocks;
		mmu->pages.free_blocks = reserve->blocks;
	}
	umbra_host_unlock(mmu->host, UMBRA_LOCK_PAGES, true);
	reserve->page_count = reserve->block_count = 0;
}

umbra_hpa reserve_table(struct mmu *mmu, struct reserve *reserve)
{
	MMU_BUG_ON(mmu, reserve->table_count == 0);
	return reserve->table[--reserve->table_count];
}

static struct page **bucket_of(struct mmu *mmu, umbra_gfn gfn)
{
	/* Fibonacci hashing; 4096 buckets take the top 12 bits. */
	return &mmu->pages.bucket[gfn.v * 0x9e3779b97f4a7c15ull >> 52];
}

struct page *pages_bucket(struct mmu *mmu, umbra_gfn gfn)
{
	return *bucket_of(mmu, gfn);
}

static bool registers_match(struct mmu *mmu, const struct page *page, const uint64_t *registers)
{
	const uint64_t *words = page_words(mmu, page);

	return words && !memcmp(words, registers, 4 * sizeof(*registers));
}

struct page *pages_find(struct mmu *mmu, umbra_gfn gfn, union role role, const uint64_t *registers)
{
	for (struct page *page = *bucket_of(mmu, gfn); page; page = page->hash_next) {
		if (page->gfn != gfn.v || page->role.word != role.word ||
		    page->generation != mmu->generation)
			continue;
		if (role.registers && !registers_match(mmu, page, registers))
			continue;
		return page;
	}
	return NULL;
}

bool pages_is_mirrored(struct mmu *mmu, umbra_gfn gfn)
{
	for (const struct page *page = *bucket_of(mmu, gfn); page; page = page->hash_next)
		if (page->gfn == gfn.v && !page->role.direct && !page->role.promoted &&
		    !page->role.registers)
			return true;
	return false;
}

/* Before anything is read of the table: who marks it after that sees the note. */
static void note_marks(struct mmu *mmu, enum format_marks marks)
{
	if (!(mmu->mirrored_marks >> marks & 1))
		__atomic_fetch_or(&mmu->mirrored_marks, 1u << marks, __ATOMIC_SEQ_CST);
}

struct page *pages_new(struct mmu *mmu, struct reserve *reserve, umbra_hpa table, umbra_gfn gfn,
		       union role role, bool hash)
{
	struct pages *pages = &mmu->pages;
	struct page *page = reserve->pages;
	uint64_t *entries = umbra_host_page_pointer(mmu->host, table);
	uint64_t empty;

	MMU_BUG_ON(mmu, !page);
	reserve->pages = page->hash_next;
	reserve->page_count--;
	memset(page, 0, sizeof(*page));
	page->role = role;
	page->hpa = table;
	page->gfn = gfn.v;
	page->generation = mmu->generation;
	empty = entry_empty(&mmu->kind, role.pae_root);
	/* A PAE root uses four entries, the rest of its page stays zero. */
	for (unsigned i = 0; i < 512; i++)
		entries[i] = empty;
	*umbra_host_page_private(mmu->host, table) = page;

	umbra_host_lock(mmu->host, UMBRA_LOCK_PAGES, true);
	page->prev = pages->newest;
	if (pages->newest)
		pages->newest->next = page;
	else
		pages->oldest = page;
	pages->newest = page;
	pages->count++;
	if (hash && role.guest != ROLE_GUEST_NONE)
		note_marks(mmu, format_marks(roles_format(role)));
	if (hash) {
		struct page **bucket = bucket_of(mmu, gfn);

		page->hash_next = *bucket;
		page->hashed = 1;
		*bucket = page;
	}
	umbra_host_unlock(mmu->host, UMBRA_LOCK_PAGES, true);
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_GET_PAGE, gfn.v, role.word, table.v, 1});
	return page;
}

void pages_set_unsync(struct mmu *mmu, struct page *page)
{
	MMU_BUG_ON(mmu, page->unsync || mmu->pages.unsync_count == PAGES_UNSYNC_MAX);
	page->unsync = 1;
	/* When it got its last entry is not known better than that. */
	mmu->pages.unsync_epoch[mmu->pages.unsync_count] = mmu->pages.filled_epoch;
	mmu->pages.unsync[mmu->pages.unsync_count++] = page;
}

/* Newest last: that is the one most likely meant. */
static unsigned unsync_index(const struct pages *pages, const struct page *page)
{
	unsigned at = pages->unsync_count - 1;

	while (pages->unsync[at] != page)
		at--;
	return at;
}

void pages_stamp(struct mmu *mmu, const struct page *page)
{
	struct pages *pages = &mmu->pages;
	uint64_t epoch = __atomic_load_n(&pages->epoch, __ATOMIC_ACQUIRE);

	if (page->unsync)
		pages->unsync_epoch[unsync_index(pages, page)] = epoch;
	else
		pages->filled_epoch = epoch;
}

uint64_t pages_end_epoch(struct mmu *mmu)
{
	return __atomic_fetch_add(&mmu->pages.epoch, 1, __ATOMIC_ACQ_REL);
}

void pages_clear_unsync(struct mmu *mmu, struct page *page)
{
	struct pages *pages = &mmu->pages;
	unsigned at;

	if (!page->unsync)
		return;
	at = unsync_index(pages, page);
	pages->unsync[at] = pages->unsync[--pages->unsync_count];
	pages->unsync_epoch[at] = pages->unsync_epoch[pages->unsync_count];
	page->unsync = 0;
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_END_UNSYNC, page->gfn, page->role.word,
					    page->hpa.v, 0});
}

void pages_unhash(struct mmu *mmu, struct page *page)
{
	struct page **link = bucket_of(mmu, (umbra_gfn){page->gfn});

	if (!page->hashed)
		return;
	while (*link != page)
		link = &(*link)->hash_next;
	*link = page->hash_next;
	page->hash_next = NULL;
	page->hashed = 0;
}

static void list_remove(struct pages *pages, struct page *page)
{
	if (page->prev)
		page->prev->next = page->next;
	else
		pages->oldest = page->next;
	if (page->next)
		page->next->prev = page->prev;
	else
		pages->newest = page->prev;
	page->next = page->prev = NULL;
	pages->count--;
}

void pages_bury(struct mmu *mmu, struct page *page)
{
	umbra_host_lock(mmu->host, UMBRA_LOCK_PAGES, true);
	pages_unhash(mmu, page);
	list_remove(&mmu->pages, page);
	umbra_host_unlock(mmu->host, UMBRA_LOCK_PAGES, true);
}

/* A dead page keeps its mmu where the age list was. */
static void free_dead(void *host, struct umbra_deferred *deferred)
{
	struct page *page = (struct page *)deferred;
	struct mmu *mmu = (struct mmu *)page->prev;

	if (page->words.v) {
		umbra_host_page_free(host, page->words);
		mmu_count(&mmu->pages.word_count, -1ull);
	}
	umbra_host_page_free(host, page->hpa);
	umbra_host_lock(host, UMBRA_LOCK_PAGES, true);
	page_give(mmu, page);
	umbra_host_unlock(host, UMBRA_LOCK_PAGES, true);
}

void pages_free_deferred(struct mmu *mmu, struct page *page)
{
	page->prev = (struct page *)mmu;
	page->deferred.next = NULL;
	page->deferred.run = free_dead;
	umbra_host_defer(mmu->host, &page->deferred);
}

void pages_unmake(struct mmu *mmu, struct reserve *reserve, struct page *page)
{
	pages_bury(mmu, page);
	reserve->table[reserve->table_count++] = page->hpa;
	page->hash_next = reserve->pages;
	reserve->pages = page;
	reserve->page_count++;
}
