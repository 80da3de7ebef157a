/* SPDX-License-Identifier: MIT */
/*
 * shadow.c - from a finished guest walk to entries in mirrored tables.
 *
 *	guest:   root --> table --> table --> leaf (maybe large)
 *	           :        :         :         :
 *	umbra:   mirror -> mirror -> mirror -> leaf, or direct tables below a large leaf
 *
 * A guest of two levels is mirrored by three: the root is a portal ("promoted")
 * whose four entries lead to the four slices of the guest's page directory. L1's NPT
 * may have any format while hardware walks tables of 3, 4 or 5 levels: there may be up
 * to three portals, one above the other. An unpaged guest has no tables to mirror:
 * everything is direct.
 *
 * Upper entries give all rights; a leaf has what the whole walk allows. A mirrored
 * guest table is write protected (I-7), so an entry is what a fresh walk would give,
 * or empty (I-11): guest writes to tables are emulated and end in shadow_written().
 * Last-level tables may be let go instead, see sync.c. D is clear in a leaf that is
 * read only because the guest has not written yet (G-38), A is set by the walk that
 * led here.
 */
#include "core/shadow.h"
#include "core/attributes.h"
#include "core/dirty.h"
#include "core/mmio.h"
#include "core/prefetch.h"
#include "core/rmap.h"
#include "core/sync.h"

static void give_words(struct edit *edit, struct page *page)
{
	page->words = reserve_table(edit->mmu, edit->reserve);
	mmu_count(&edit->mmu->pages.word_count, 1);
}

/* @gfn becomes an upper table: what mirrored it as a last-level one and lags goes (S-27). */
static void zap_unsync(struct edit *edit, umbra_gfn gfn)
{
	struct page *page = pages_bucket(edit->mmu, gfn), *next;

	for (; page; page = next) {
		next = page->hash_next;
		/* A last-level mirror has no children that could go with it. */
		if (page->gfn == gfn.v && page->unsync)
			table_zap_page(edit, page);
	}
}

struct page *shadow_page(struct edit *edit, const struct shadow_want *want, bool *used)
{
	struct mmu *mmu = edit->mmu;
	struct page *page = pages_find(mmu, want->gfn, want->role, want->registers);
	umbra_hpa table = want->table;

	*used = !page;
	if (page) {
		page->writes = 0;
		return page;
	}
	if (!table.v)
		table = reserve_table(mmu, edit->reserve);
	page = pages_new(mmu, edit->reserve, table, want->gfn, want->role, true);
	mmu_count(&mmu->stats.mmu_cache_miss, 1);
	if (want->registers) {
		give_words(edit, page);
		for (unsigned i = 0; i < 4; i++)
			page_words(mmu, page)[i] = want->registers[i];
	}
	if (want->role.direct || want->role.promoted || want->role.registers)
		return page;
	rmap_account(mmu, page, 1);
	if (want->role.level > 1)
		zap_unsync(edit, want->gfn);
	rmap_protect(edit, want->gfn);
	tlb_flush(mmu, &edit->tlb);
	return page;
}

/* Rights of the guest's entries from the top down to @level. */
static unsigned acc_down_to(const struct mode *mode, const struct walk *walk, unsigned level)
{
	uint64_t rights = ~0ull;

	if (level == walk->level + 1u)
		return walk->acc_upper;
	for (unsigned at = mode->top; at >= level; at--)
		rights &= mode_rights(&mode->level[at], walk->entry[at]);
	return mode_acc(mode, rights);
}

/* What the entry of @page for this fault must lead to, one level down. */
static struct shadow_want child_wanted(const struct fault *fault, const struct page *page)
{
	const struct mode *mode = fault->space->mode;
	unsigned level = page->role.level;
	struct shadow_want want = {.role = roles_child(page->role)};

	if (page->role.direct || level <= fault->walk.level) {
		/* Linear, below the guest's leaf. */
		want.role.direct = 1;
		want.role.access = fault->acc;
		want.role.key = fault->key;
		want.role.shstk = fault->shstk;
		want.gfn.v = fault->gfn.v & ~(page_span(page) - 1);
	} else if (level > mode->top) {
		/* Below a portal: the guest's root, or another portal to it. */
		want.gfn.v = page->gfn;
		if (want.role.level == mode->top && mode->entry_shift == 2)
			want.role.quadrant = fault->address >> 30 & 3;
	} else {
		want.gfn.v = (fault->walk.entry[level] & mode->level[level].table_address) >>
			     UMBRA_PAGE_SHIFT;
		want.role.access = acc_down_to(mode, &fault->walk, level);
		if (mode->entry_shift == 2)
			want.role.quadrant = fault->address >> 21 & 1;
	}
	return want;
}

/* Is the guest's entry at @level still what the walk saw? Its table is write protected now. */
static bool entry_unchanged(const struct fault *fault, unsigned level)
{
	const struct mode *mode = fault->space->mode;
	struct memory *memory = fault->space->memory;
	uint64_t address = fault->walk.entry_final[level];
	const void *at;

	if (level == mode->top && mode->root_registers)
		return true;
	if (address - memory->base >= memory->size && !memory->find(memory, address))
		return false;
	at = memory->bytes + (address - memory->base);
	if (mode->entry_shift == 2)
		return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE) ==
		       fault->walk.entry[level];
	return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE) == fault->walk.entry[level];
}

/* Mirrors, from @page's level on, the guest's entry used there. */
static bool mirrors_entry(const struct fault *fault, const struct page *page)
{
	return !page->role.direct && !page->role.promoted &&
	       page->role.level >= fault->walk.level && page->role.level <= fault->space->mode->top;
}

/*
 * The child that the entry at @at must lead to, linked. What is there may be
 * followed only if it is exactly that (S-6): any other goes first.
 */
static struct page *descend(const struct fault *fault, struct edit *edit, struct table_at at)
{
	struct mmu *mmu = fault->mmu;
	struct shadow_want want = child_wanted(fault, at.page);
	uint64_t old = table_read(mmu, at);
	struct page *child;
	bool made;

	if (entry_is_present(&mmu->kind, old) &&
	    !entry_is_leaf(&mmu->kind, old, at.page->role.level)) {
		child = page_of(mmu, entry_table(&mmu->kind, old));
		if (child->gfn == want.gfn.v && child->role.word == want.role.word)
			return child;
	}
	if (table_clear(edit, at)) {
		mmu_count(&mmu->stats.mmu_pde_zapped, 1);
		tlb_flush(mmu, &edit->tlb);
	}
	child = shadow_page(edit, &want, &made);
	/* Found again after a while, in which the flushes that reached it by its old
	 * links passed it by. A last-level mirror may stay with the guest (S-26), what
	 * is below an upper one is protected as well (S-4). */
	if (child->unsync)
		sync_page(edit, fault->space->mode, child);
	while (child->unsync_below && sync_tree(edit, fault->space->mode, child, 0))
		;
	if (!table_link(edit, at, table_empty(mmu, at.page), child))
		return NULL;
	sync_linked(mmu, at.page, child);
	return child;
}

static uint64_t leaf_of(const struct fault *fault, const struct page *page)
{
	struct mmu *mmu = fault->mmu;
	unsigned level = page->role.level;
	bool host_writable = fault->pin.writable && !(fault->slot->flags & UMBRA_SLOT_READONLY);
	bool writing = fault->access & UMBRA_ACCESS_WRITE, logged;
	uint64_t entry;
	bool mirrored = level == 1 &&
			(pages_is_mirrored(mmu, fault->gfn) || slots_is_tracked(mmu, fault->gfn));
	struct entry_leaf leaf = {
		.pfn = {fault->pin.pfn.v & ~(page_span(page) - 1)},
		.level = level,
		.acc = fault->acc,
		.key = fault->key,
		.ad = page->role.ad_disabled ? ENTRY_AD_DISABLED : ENTRY_AD_ENABLED,
		.host_writable = host_writable,
		.accessed = true,
	};

	leaf.mmu_writable = host_writable && fault->acc & ACC_WRITE &&
			    (!mirrored || (writing && sync_release(mmu, fault->gfn)));
	if (!leaf.mmu_writable)
		leaf.acc &= ~ACC_WRITE;
	/* The first write is to be seen; W=0 with D=1 would let shadow-stack writes through. */
	logged = fault->slot->dirty && !writing;
	leaf.dirty = leaf.mmu_writable && !logged;
	/* W=0 with D=1 is a shadow-stack page to hardware: only where the guest has
	 * one, and writes to it may go through unseen. */
	leaf.shstk = fault->shstk && !mirrored;
	entry = entry_make_leaf(&mmu->kind, &leaf);
	return logged ? entry_protect(&mmu->kind, entry, false) : entry;
}

/* The leaf, in place of whatever leaf or hole is at @at. */
static enum umbra_verdict put(struct fault *fault, struct edit *edit, struct table_at at,
			      uint64_t word)
{
	struct mmu *mmu = fault->mmu;
	unsigned level = at.page->role.level;
	umbra_gfn gfn = {fault->gfn.v & ~(page_span(at.page) - 1)};
	uint64_t new = leaf_of(fault, at.page), old = table_read(mmu, at);
	bool in_place = entry_is_present(&mmu->kind, old) &&
			entry_is_leaf(&mmu->kind, old, level) &&
			entry_pfn(&mmu->kind, old).v == entry_pfn(&mmu->kind, new).v &&
			table_gfn(mmu, at).v == gfn.v;

	/* A table made on the way down may lie inside the large page. */
	if (level > slots_level(mmu, fault->slot, gfn))
		return UMBRA_RETRY;
	/* Never another frame, or another guest frame, in place (S-7). */
	if (!in_place && entry_is_present(&mmu->kind, old) && table_clear(edit, at))
		tlb_flush(mmu, &edit->tlb);
	/* Hardware may set A or D meanwhile; nobody else writes under this lock. */
	do {
		old = table_read(mmu, at);
		if (old == new)
			return UMBRA_RESUME;
	} while (!table_set(edit, at, old, new, word));
	if (entry_is_writable(&mmu->kind, new) || fault->shstk)
		dirty_mark(fault->slot, gfn);
	fault->level = level;
	prefetch_map(edit, fault, at.page);
	return UMBRA_RESUME;
}

static enum umbra_verdict install(struct fault *fault, struct edit *edit, struct table_at at)
{
	uint64_t frame = fault->gfn.v & ~(page_span(at.page) - 1);
	uint64_t word = at.page->role.level == 1 && !at.page->role.direct
				? fault->walk.entry[1]
				: frame << UMBRA_PAGE_SHIFT;

	if (!at.page->role.direct && !at.page->words.v)
		give_words(edit, at.page);
	return fault->slot ? put(fault, edit, at, word) : mmio_mark(edit, fault, at, word);
}

static enum umbra_verdict map(struct fault *fault, struct edit *edit)
{
	struct table_at at = {.page = fault->root};
	uint64_t number = fault->address >> UMBRA_PAGE_SHIFT;

	for (;;) {
		unsigned level = at.page->role.level;

		if (mirrors_entry(fault, at.page) && !entry_unchanged(fault, level))
			return UMBRA_RETRY;
		at.page->writes = 0; /* in use: not flooded (S-43) */
		at.index = page_index(at.page, number);
		if (level <= fault->goal)
			break;
		at.page = descend(fault, edit, at);
		if (!at.page)
			return UMBRA_RETRY;
	}
	return install(fault, edit, at);
}

enum umbra_verdict shadow_map(struct fault *fault)
{
	struct edit edit = {.mmu = fault->mmu, .reserve = fault->reserve};
	enum umbra_verdict verdict = map(fault, &edit);

	tlb_commit(fault->mmu, &edit.tlb);
	return verdict;
}

/* S-43: what writes like this is not, or no longer, a page table. */
static bool misaligned(const struct page *page, unsigned offset, unsigned length)
{
	unsigned bytes = roles_entry_bytes(page->role);

	if ((offset ^ (offset + length - 1)) & ~(bytes - 1))
		return true;
	/* One byte at the start of an entry is how bits are cleared. */
	return length < 4 && !(length == 1 && !(offset & (bytes - 1)));
}

static bool flooded(struct page *page)
{
	if (page->role.level == 1 || page->unsync)
		return false;
	if (page->writes < PAGES_FLOOD)
		page->writes++;
	return page->writes == PAGES_FLOOD;
}

/* Entries of @page that mirror what was written go; true: the whole page did. */
static bool written(struct edit *edit, struct page *page, unsigned offset, unsigned length,
		    unsigned *zapped)
{
	unsigned first, count;

	roles_entries(page->role, offset, length, &first, &count);
	if (!count)
		return false;
	if (misaligned(page, offset, length) || flooded(page)) {
		mmu_count(&edit->mmu->stats.mmu_flooded, 1);
		table_zap_page(edit, page);
		return true;
	}
	for (unsigned i = 0; i < count; i++)
		*zapped += table_clear(edit, (struct table_at){page, first + i});
	return false;
}

unsigned shadow_written(struct edit *edit, umbra_gpa gpa, unsigned length)
{
	struct mmu *mmu = edit->mmu;
	umbra_gfn gfn = {gpa.v >> UMBRA_PAGE_SHIFT};
	unsigned offset = gpa.v & (UMBRA_PAGE_SIZE - 1), zapped = 0;
	struct page *page = pages_bucket(mmu, gfn);

	/* Clearing an entry may zap direct children, perhaps out of this very bucket,
	 * but no mirror: its hash_next is good afterwards. Not so if it went itself. */
	while (page) {
		if (page->gfn == gfn.v && written(edit, page, offset, length, &zapped))
			page = pages_bucket(mmu, gfn);
		else
			page = page->hash_next;
	}
	if (zapped)
		mmu_count(&mmu->stats.mmu_pte_write, 1);
	mmu_trace(mmu, (struct umbra_trace){UMBRA_TRACE_WRITE, gpa.v, length, zapped, 0});
	return zapped;
}

void shadow_marked(struct edit *edit, umbra_gpa gpa, const struct format *format)
{
	struct mmu *mmu = edit->mmu;
	umbra_gfn gfn = {gpa.v >> UMBRA_PAGE_SHIFT};
	const unsigned offset = gpa.v & (UMBRA_PAGE_SIZE - 1);

	for (struct page *page = pages_bucket(mmu, gfn); page; page = page->hash_next) {
		unsigned first, count;

		roles_entries(page->role, offset, format->entry_bytes, &first, &count);
		if (page->gfn != gfn.v || !count ||
		    format_marks(roles_format(page->role)) == format_marks(format))
			continue;
		for (unsigned i = 0; i < count; i++)
			table_clear(edit, (struct table_at){page, first + i});
	}
}

unsigned shadow_unprotect(struct edit *edit, umbra_gfn gfn)
{
	struct page *page = pages_bucket(edit->mmu, gfn);
	unsigned zapped = 0;

	while (page) {
		unsigned first, count;

		roles_entries(page->role, 0, UMBRA_PAGE_SIZE, &first, &count);
		if (page->gfn == gfn.v && count) {
			table_zap_page(edit, page);
			zapped++;
			page = pages_bucket(edit->mmu, gfn);
		} else {
			page = page->hash_next;
		}
	}
	return zapped;
}
