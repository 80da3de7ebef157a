/* SPDX-License-Identifier: MIT */
/*
 * pages.h - table pages: descriptors, hash, and what an operation sets aside (layer 3).
 *
 * Every table that hardware walks is a struct page, roots included: there is no
 * root outside this pool (I-1). Pages that can be wanted again - all shadow
 * pages and all roots - are in the hash under (gfn, role).
 */
#ifndef CORE_PAGES_H
#define CORE_PAGES_H

#include "core/chain.h"
#include "core/roles.h"
#include "umbra/host.h"
#include "umbra/umbra.h"

struct mmu;

/** struct page - one table page. 64 bytes, one cache line. */
struct page {
	union {
		struct {
			struct page *hash_next;
			struct page *next; /* age list, oldest first */
		};
		struct umbra_deferred deferred; /* once it is dead */
	};
	struct page *prev;
	union role role;
	umbra_hpa hpa;
	/** Page with one word an entry: of a mirror's leaves (TABLE_WORD_FRAME), or
	 * the PDPTE register values; 0 while there is none. */
	umbra_hpa words;
	/** Entries that point here. */
	struct chain parents;
	/** First frame mapped (direct) or frame of the table mirrored. */
	uint64_t gfn : 40;
	/** vCPUs that have it as their root, now or lately. */
	uint64_t roots : 14;
	uint64_t hashed : 1;
	/** The guest may write the table mirrored: entries may lag behind it (S-20). */
	uint64_t unsync : 1;
	/** Some page below may be unsync (S-29); clear is certain, set is a hint. */
	uint64_t unsync_below : 1;
	/** A climb from some table below was here already; 0 between operations. */
	uint64_t seen : 1;
	/** Emulated writes since it was last used (S-43), up to PAGES_FLOOD. */
	uint64_t writes : 2;
	/** mmu.generation when it was made; another one: obsolete (S-62). */
	uint64_t generation : 1;
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct page) == 64, "one cache line a table page");

#define PAGES_BUCKETS 4096
/** Most tables that are unsync at once; further writes to tables are emulated. */
#define PAGES_UNSYNC_MAX 256
/** So many emulated writes and no use in between: the page is no table any more. */
#define PAGES_FLOOD 3

struct pages {
	struct page **bucket; /* PAGES_BUCKETS */
	struct page *oldest, *newest; /* all living pages */
	struct page *free_pages; /* descriptors, by hash_next */
	struct chain_block *free_blocks;
	void *slabs; /* carved up for descriptors and blocks */
	/** All unsync pages, in no order. */
	struct page *unsync[PAGES_UNSYNC_MAX];
	/** Epoch in which each of them last got an entry, or became reachable another way;
	 * or a later one. */
	uint64_t unsync_epoch[PAGES_UNSYNC_MAX];
	/** Ends when a vCPU leaves a root that it keeps (pages_end_epoch). */
	uint64_t epoch;
	/** In which any mirror that is not unsync last got an entry, or any was linked. */
	uint64_t filled_epoch;
	unsigned unsync_count;
	uint64_t count; /* living pages */
	uint64_t slab_count, word_count;
};

/** Most that one operation uses: a whole path of new tables with their word pages. */
#define RESERVE_TABLES 12
#define RESERVE_PAGES 6
#define RESERVE_BLOCKS 16

/**
 * struct reserve - set aside before locking, so that nothing fails after it
 * (a vCPU keeps one from fault to fault).
 */
struct reserve {
	unsigned table_count, page_count, block_count;
	umbra_hpa table[RESERVE_TABLES];
	struct page *pages;
	struct chain_block *blocks;
};

enum umbra_status pages_init(struct mmu *mmu);
/** pages_destroy - free everything, living pages too; no flush. */
void pages_destroy(struct mmu *mmu);

/** reserve_fill - up to the RESERVE_* numbers; ENOMEM leaves what it got. */
enum umbra_status reserve_fill(struct mmu *mmu, struct reserve *reserve);
void reserve_drain(struct mmu *mmu, struct reserve *reserve);
/** reserve_table - one table page; the reserve is known to hold it. */
umbra_hpa reserve_table(struct mmu *mmu, struct reserve *reserve);

/** pages_find - the living page under (gfn, role). @registers: the PDPTE values when
 * role.registers, else NULL. */
struct page *pages_find(struct mmu *mmu, umbra_gfn gfn, union role role, const uint64_t *registers);
/** pages_is_mirrored - does an indirect page mirror (bytes of) @gfn? Then guest writes to it
 * must be seen. */
bool pages_is_mirrored(struct mmu *mmu, umbra_gfn gfn);
/** pages_bucket - first page of the bucket that @gfn hashes to; go on by hash_next. */
struct page *pages_bucket(struct mmu *mmu, umbra_gfn gfn);

/**
 * pages_new - a living page of empty entries on @table, with a descriptor from @reserve.
 * Hashed if @hash. Never fails.
 */
struct page *pages_new(struct mmu *mmu, struct reserve *reserve, umbra_hpa table, umbra_gfn gfn,
		       union role role, bool hash);
/** pages_set_unsync - mark and list @page; there is room. */
void pages_set_unsync(struct mmu *mmu, struct page *page);
/** pages_stamp - the mirror @page has more to offer than it had. */
void pages_stamp(struct mmu *mmu, const struct page *page);
/** pages_end_epoch - the epoch that ends now; what is stamped from here on is newer. */
uint64_t pages_end_epoch(struct mmu *mmu);
/** pages_clear_unsync - if it is. */
void pages_clear_unsync(struct mmu *mmu, struct page *page);
/** pages_unhash - it will not be found any more. */
void pages_unhash(struct mmu *mmu, struct page *page);
/** pages_bury - from living to dead: off the list and hash; still allocated. */
void pages_bury(struct mmu *mmu, struct page *page);
/** pages_free_deferred - give a buried page back after the grace period. */
void pages_free_deferred(struct mmu *mmu, struct page *page);
/** pages_unmake - give back at once a page that no entry ever pointed to. */
void pages_unmake(struct mmu *mmu, struct reserve *reserve, struct page *page);
void pages_free_block(struct mmu *mmu, struct chain_block *block);

/** page_entry_count - 512, or 4 for a PAE root. */
static inline unsigned page_entry_count(const struct page *page)
{
	return page->role.pae_root ? 4 : 512;
}
/** page_span - frames that one entry of @page covers. */
static inline uint64_t page_span(const struct page *page)
{
	return 1ull << 9 * page->role.level >> 9;
}
/** page_index - index at this page of the address whose bits above 12 are @number. */
static inline unsigned page_index(const struct page *page, uint64_t number)
{
	return number >> 9 * (page->role.level - 1) & (page_entry_count(page) - 1);
}

#endif
