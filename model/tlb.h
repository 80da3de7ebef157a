/* SPDX-License-Identifier: MIT */
/*
 * tlb.h - facts that a CPU may have cached, their tags, and how they go.
 */
#ifndef MODEL_TLB_H
#define MODEL_TLB_H

#include "umbra/types.h"

/** Rights that a second stage gives to a page; positive bits. */
#define S2_R (1u << 0)
#define S2_W (1u << 1)
#define S2_X (1u << 2) /* EPT: supervisor-mode addresses if MBEC; NPT: NX=0 */
#define S2_XU (1u << 3) /* EPT: user-mode addresses */
#define S2_U (1u << 4) /* NPT: U/S */
#define S2_SSS (1u << 5) /* supervisor shadow stack allowed (H-74, H-99) */
#define S2_SSS_LEAF (1u << 6) /* the leaf is marked so: EPT bit 60; NPT NX=1 and U/S=0 */
#define S2_SVE (1u << 7) /* EPT: bit 63 of the leaf, suppress #VE (H-83) */
#define S2_PWA (1u << 8) /* EPT: bit 58 of the leaf, paging-write access (H-74) */
#define S2_UPPER_W (1u << 9) /* EPT: W in all entries above the leaf */
#define S2_ALL 0x3ffu

/** struct s2 - a GPA after the second stage. */
struct s2 {
	uint64_t hpa;
	uint16_t rights;
	uint8_t shift; /* size of the mapping: 1 << shift */
	bool dirty; /* no D bit remains to be set for a write */
};

/** What the guest's tables say about a page: attributes, not decisions (H-104). */
struct page_rights {
	uint64_t all; /* AND over all entries of positive rights (PTE_W, PTE_U, PTE_XD) */
	bool upper_w, leaf_w; /* shadow stacks look at the leaf's own R/W (H-54) */
	bool dirty;
	uint8_t key;
};

enum fact_kind {
	FACT_PAGE, /* address -> frame, through everything (H-104) */
	FACT_TABLE, /* upper bits -> next table of the guest (H-105) */
	FACT_NESTED_PAGE, /* GPA -> HPA: guest-physical mapping (H-108) */
	FACT_NESTED_TABLE, /* upper GPA bits -> next EPT/NPT table */
	FACT_KINDS
};

/** Tags (H-107). A fact is usable only if all of them equal the CPU's own. */
struct fact_tags {
	uint16_t tag; /* VPID or ASID */
	uint16_t pcid;
	bool global; /* pcid does not count */
	/* Page facts made with paging off are of no use with paging on. */
	bool unpaged;
	/* EPTRTA with bit 0 set; 0: EPT was not in use, or not Intel. */
	uint64_t ept;
};

struct fact {
	struct fact_tags tags;
	uint32_t next; /* in the bucket; ~0: last */
	bool live;
	uint8_t shift; /* it is about addresses that agree above this bit */
	uint8_t whole_shift; /* size of the guest's page of which this is a fragment (H-114) */
	uint64_t page; /* address >> shift */
	uint64_t age;
	/* content */
	uint64_t gpa; /* page: its GPA; table: GPA of the next table */
	struct s2 s2; /* hpa of the same, and rights of the second stage */
	struct page_rights rights; /* page; .all and .upper_w also of tables */
	uint64_t upper; /* tables: AND of positive rights of the entries so far */
};

/** struct cache - all facts of one kind; grows without bound. */
struct cache {
	struct fact *facts;
	uint32_t used, room, live, free; /* slots ever used; free: list head */
	uint32_t *buckets, *tails;
	uint32_t bucket_count; /* power of two */
	uint32_t shift_count[64]; /* live facts by shift */
	uint64_t age;
};

#define FACT_NONE 0xffffffffu

void cache_free(struct cache *c);
/** cache_add - remember @f as the youngest fact, unless the same is there already.
 * Out of memory forgets it, which a CPU may always do (H-110). */
void cache_add(struct cache *c, const struct fact *f);
/** cache_first/next - live facts for @address at @shift, oldest first. */
struct fact *cache_first(const struct cache *c, uint64_t address, unsigned shift);
struct fact *cache_next(const struct cache *c, const struct fact *f);
void cache_drop(struct cache *c, struct fact *f);
void cache_drop_all(struct cache *c);

static inline bool fact_usable(const struct fact *f, const struct fact_tags *now)
{
	return f->tags.tag == now->tag && f->tags.ept == now->ept &&
	       (f->tags.global || f->tags.pcid == now->pcid) && f->tags.unpaged == now->unpaged;
}

#endif
