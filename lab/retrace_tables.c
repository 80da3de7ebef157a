/* SPDX-License-Identifier: MIT */
/*
 * retrace_tables.c - table pages and entries, as the records make them.
 *
 *	FREE -A-> HELD -N-> TABLE -Z-> ZAPPED -R-> FREE
 *	            \------------R------------>/
 *
 * An entry is empty (bit 63 alone, 0 in a root of four), a table, a leaf, or one that names
 * what is no memory and that the CPU refuses: not present, or with a reserved bit. The
 * hardware sets A and D meanwhile, and nothing else: what a record says was there may have
 * these and what was known may not.
 *
 * What a TLB may hold of an entry and its successor does not give is owed a flush: another
 * frame, a right less, D that is set no more (SDM 3A 4.10.4, APM 2 5.5.3).
 */
#include "lab/retrace_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 512u
#define PAE_ENTRIES 4u
#define EVERYTHING (~0ull)

static uint64_t empty(const struct retrace_page *page)
{
	return page->role.pae_root ? 0 : LOG_EMPTY;
}

static const struct paging_level *level_of(const struct retrace *r, const struct retrace_page *page)
{
	return page->role.pae_root ? &r->pae.level[page->role.level]
				   : &r->format.level[page->role.level];
}

static bool is_leaf(const struct retrace *r, const struct retrace_page *page, uint64_t entry)
{
	const uint8_t rule = level_of(r, page)->leaf;

	return rule == LEAF_ALWAYS || (rule == LEAF_PS && entry & PTE_PS);
}

static uint64_t reserved(const struct retrace *r, const struct retrace_page *page, uint64_t entry)
{
	const struct paging_level *level = level_of(r, page);

	return entry & (is_leaf(r, page, entry) ? level->rsvd_leaf : level->rsvd_table);
}

/* Does the CPU translate with it? */
static bool translates(const struct retrace *r, const struct retrace_page *page, uint64_t entry)
{
	return entry & PTE_P && !reserved(r, page, entry);
}

static uint64_t span(const struct retrace_page *page)
{
	return 1ull << 9 * (page->role.level - 1);
}

static uint64_t frame_of(const struct retrace *r, const struct retrace_page *page, uint64_t entry)
{
	const struct paging_level *level = level_of(r, page);

	return (entry & (is_leaf(r, page, entry) ? level->leaf_mask : level->table_mask)) >>
	       UMBRA_PAGE_SHIFT;
}

struct retrace_page *retrace_page_at(struct retrace *r, uint64_t hpa)
{
	const uint64_t at = hpa >> UMBRA_PAGE_SHIFT, first = r->pages_start >> UMBRA_PAGE_SHIFT;

	if (hpa & (UMBRA_PAGE_SIZE - 1) || at < first || at - first >= r->pages_count)
		return NULL;
	return &r->page[at - first];
}

static uint64_t hpa_of(const struct retrace *r, const struct retrace_page *page)
{
	return r->pages_start + ((uint64_t)(page - r->page) << UMBRA_PAGE_SHIFT);
}

/* The page of a record that is about a table; NULL, and a finding, if there is none. */
static struct retrace_page *a_table(struct retrace *r, uint64_t hpa)
{
	static const char *const states[] = {"is not the library's", "is no table", "",
					     "has been zapped"};
	struct retrace_page *page = retrace_page_at(r, hpa);

	if (page && page->state == PAGE_TABLE)
		return page;
	retrace_tell(r, "page", "page %" PRIx64 " %s", hpa,
		     page ? states[page->state] : "is not one for tables");
	return NULL;
}

/* ---- pages come and go ---- */

void retrace_take(struct retrace *r, uint64_t hpa)
{
	struct retrace_page *page = retrace_page_at(r, hpa);

	if (!page || page->state != PAGE_FREE) {
		retrace_tell(r, "page", "page %" PRIx64 " is taken, and %s", hpa,
			     page ? "was the library's already" : "is not one for tables");
		return;
	}
	*page = (struct retrace_page){.state = PAGE_HELD};
	r->held++;
}

static bool in_slot(const struct retrace *r, uint64_t start, uint64_t end, bool write)
{
	for (unsigned i = 0; i < r->slot_count; i++) {
		const struct retrace_slot *slot = &r->slot[i];

		if (start >= slot->start && end <= slot->end)
			return !write || !(slot->flags & UMBRA_SLOT_READONLY);
	}
	return false;
}

/* Nothing leads there any more, and nobody has cached that something did (I-9). */
void retrace_give(struct retrace *r, uint64_t hpa)
{
	struct retrace_page *page = retrace_page_at(r, hpa);

	if (!page || page->state == PAGE_FREE || page->state == PAGE_TABLE) {
		retrace_tell(r, "page", "page %" PRIx64 " is given back, and %s", hpa,
			     page && page->state == PAGE_TABLE ? "is still a table"
							       : "was not the library's");
		if (!page)
			return;
	}
	if (page->references || page->parents)
		retrace_tell(r, "I-9",
			     "page %" PRIx64
			     " is given back, and %u entries and %u users lead to it",
			     hpa, page->parents, page->references);
	if (page->state == PAGE_ZAPPED && page->flushes == r->counts.flushes)
		retrace_tell(r, "I-9", "page %" PRIx64 " is given back before a flush", hpa);
	if (page == r->root)
		r->root = NULL;
	r->held -= page->state != PAGE_FREE;
	free(page->entries);
	*page = (struct retrace_page){.state = PAGE_FREE};
}

static bool is_mirror(const struct retrace_page *page)
{
	return !page->role.direct && !page->role.promoted && !page->role.pae_root;
}

void retrace_make(struct retrace *r, uint64_t gfn, uint64_t role, uint64_t hpa)
{
	struct retrace_page *page = retrace_page_at(r, hpa);
	struct umbra_role what;

	umbra_describe_role(role, &what);
	if (!page || page->state != PAGE_HELD) {
		retrace_tell(r, "page", "page %" PRIx64 " becomes a table, and %s", hpa,
			     page && page->state != PAGE_FREE ? "is one" : "is not the library's");
		return;
	}
	if (what.level < 1 || what.level > r->format.top ||
	    (what.pae_root && (what.level != 3 || hpa >> 32))) {
		retrace_tell(r, "I-2", "page %" PRIx64 " becomes a table of level %u", hpa,
			     what.level);
		return;
	}
	*page = (struct retrace_page){.state = PAGE_TABLE, .gfn = gfn, .role = what};
	page->entries = malloc(ENTRIES * sizeof(*page->entries));
	if (!page->entries) {
		r->out_of_memory = true;
		page->state = PAGE_HELD;
		return;
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		page->entries[i] = empty(page);
	r->tables++;
	r->counts.pages++;
	if (is_mirror(page))
		retrace_mirror(r, gfn, 1, 0);
}

void retrace_zap(struct retrace *r, uint64_t hpa, uint64_t cleared)
{
	struct retrace_page *page = a_table(r, hpa);

	if (!page)
		return;
	for (unsigned i = 0; i < ENTRIES; i++) {
		if (page->entries[i] == empty(page))
			continue;
		retrace_tell(r, "I-3", "page %" PRIx64 " is zapped, and entry %u is %" PRIx64, hpa,
			     i, page->entries[i]);
		break;
	}
	if (page->parents)
		retrace_tell(r, "I-3", "page %" PRIx64 " is zapped, and %u entries lead to it", hpa,
			     page->parents);
	if (page->unsync)
		retrace_tell(r, "I-15", "page %" PRIx64 " is zapped, and still unsync", hpa);
	if (cleared > page->written)
		retrace_tell(r, "entry",
			     "zapping page %" PRIx64 " took %" PRIu64
			     " entries away, of which there is no word",
			     hpa, cleared);
	page->state = PAGE_ZAPPED;
	page->flushes = r->counts.flushes;
	r->tables -= !page->references;
	r->counts.zapped++;
	if (is_mirror(page))
		retrace_mirror(r, page->gfn, -1, page->unsync ? -1 : 0);
}

void retrace_synced(struct retrace *r, uint64_t hpa, uint64_t changed)
{
	struct retrace_page *page = a_table(r, hpa);

	if (!page)
		return;
	if (!is_mirror(page) || changed > page->written)
		retrace_tell(r, "entry",
			     "making page %" PRIx64 " true to the guest's changed %" PRIu64
			     " entries, of which there is no word",
			     hpa, changed);
	page->written = 0;
}

void retrace_written(struct retrace *r, const uint64_t *v)
{
	const uint64_t first = v[0] >> UMBRA_PAGE_SHIFT;
	const uint64_t last = (v[0] + v[1] - 1) >> UMBRA_PAGE_SHIFT;

	if (!v[1] || last != first || !in_slot(r, first, first + 1, true))
		retrace_tell(r, "slot",
			     "the guest writes %" PRIu64 " bytes at %" PRIx64
			     ", and no slot allows it",
			     v[1], v[0]);
	if (v[2] > r->cleared)
		retrace_tell(r, "entry",
			     "a write at %" PRIx64 " took %" PRIu64
			     " entries away, of which there is no word",
			     v[0], v[2]);
	r->cleared = 0;
}

void retrace_unsync(struct retrace *r, uint64_t hpa, bool unsync)
{
	struct retrace_page *page = a_table(r, hpa);

	if (!page)
		return;
	if (!is_mirror(page) || page->role.level != 1 || page->unsync == unsync) {
		retrace_tell(r, "I-15", "page %" PRIx64 " of level %u %s", hpa, page->role.level,
			     !unsync        ? "is no longer unsync, which it was not"
			     : page->unsync ? "becomes unsync, which it was"
					    : "becomes unsync, and cannot");
		return;
	}
	page->unsync = unsync;
	r->counts.unsyncs += unsync;
	retrace_mirror(r, page->gfn, 0, unsync ? 1 : -1);
}

void retrace_reference(struct retrace *r, uint64_t hpa, int change, uint64_t left)
{
	struct retrace_page *page = retrace_page_at(r, hpa);

	if (!page || (page->state != PAGE_TABLE && (change > 0 || page->state != PAGE_ZAPPED))) {
		retrace_tell(r, "I-1", "%" PRIx64 " is %s as a root, and is no table", hpa,
			     change > 0 ? "taken" : "let go");
		return;
	}
	if (change < 0 && page->references != left + 1) {
		retrace_tell(r, "I-1", "root %" PRIx64 " has %" PRIu64 " users left, of %u", hpa,
			     left, page->references);
		page->references = (unsigned)left + 1;
	}
	page->references += (unsigned)change;
	if (change < 0)
		page->flushes = r->counts.flushes;
	/* Counted as long as somebody has it. */
	r->tables -= page->state == PAGE_ZAPPED && !page->references;
}

/* ---- what an entry leads to ---- */

static void check_leaf(struct retrace *r, const struct retrace_page *page, unsigned index,
		       uint64_t entry)
{
	const uint64_t frame = frame_of(r, page, entry), end = frame + span(page);

	if (page->role.level > r->page_level)
		retrace_tell(r, "I-14", "a page of level %u is mapped, and there are to be none",
			     page->role.level);
	if (frame << UMBRA_PAGE_SHIFT < r->own_end && r->own_start < end << UMBRA_PAGE_SHIFT)
		retrace_tell(r, "slot", "frame %" PRIx64 " of the hypervisor's own is mapped",
			     frame);
	else if (!in_slot(r, frame, end, entry & PTE_W))
		retrace_tell(r, "slot", "frame %" PRIx64 " is mapped%s, and no slot allows it",
			     frame, entry & PTE_W ? " writable" : "");
	/* The hypervisor's guest sees all memory at the machine's own addresses. */
	if (page->role.direct && frame != page->gfn + index * span(page))
		retrace_tell(r, "I-17", "frame %" PRIx64 " is mapped where %" PRIx64 " should be",
			     frame, page->gfn + index * span(page));
}

static void check_link(struct retrace *r, const struct retrace_page *page, unsigned index,
		       uint64_t entry)
{
	const uint64_t hpa = frame_of(r, page, entry) << UMBRA_PAGE_SHIFT;
	const struct retrace_page *child = a_table(r, hpa);

	if (child && child->role.level + 1 != page->role.level)
		retrace_tell(r, "I-6", "an entry of level %u leads to a table of level %u",
			     page->role.level, child->role.level);
	if (child && page->role.direct && child->gfn != page->gfn + index * span(page))
		retrace_tell(r, "I-6",
			     "a table for frame %" PRIx64 " is where %" PRIx64 " should be",
			     child->gfn, page->gfn + index * span(page));
}

/* What depends on the entry comes, or goes. */
static void account(struct retrace *r, const struct retrace_page *page, uint64_t entry, int change)
{
	const unsigned level = page->role.level;
	struct retrace_page *child;

	if (!translates(r, page, entry))
		return;
	if (is_leaf(r, page, entry)) {
		r->leaves[level] += (uint64_t)change;
		if (level > 1 || entry & PTE_W)
			retrace_map(r, frame_of(r, page, entry), level, change);
		return;
	}
	child = retrace_page_at(r, frame_of(r, page, entry) << UMBRA_PAGE_SHIFT);
	if (!child)
		return;
	child->parents += (unsigned)change;
	if (change < 0)
		child->flushes = r->counts.flushes;
}

/* ---- an entry is written ---- */

static void check_old(struct retrace *r, const struct retrace_page *page, uint64_t known,
		      uint64_t said)
{
	const uint64_t set = said & ~known;
	uint64_t may = 0;

	if (translates(r, page, known))
		may |= PTE_A;
	if (translates(r, page, known) && known & PTE_W && is_leaf(r, page, known))
		may |= PTE_D;
	if (page->role.pae_root && set & PTE_A) {
		if (r->tcg)
			r->counts.accessed_pdptes++;
		else
			may &= ~PTE_A;
	}
	if (known & ~said || set & ~may)
		retrace_tell(r, "entry",
			     "an entry of page %" PRIx64 " was %" PRIx64
			     ", and had been made %" PRIx64,
			     hpa_of(r, page), said, known);
}

/* An MMIO entry is at the last level, and its frame is no memory now (I-19). */
static void check_refused(struct retrace *r, const struct retrace_page *page, unsigned index,
			  uint64_t entry)
{
	const uint64_t frame = (entry & r->address) >> UMBRA_PAGE_SHIFT;

	if (entry & PTE_P && (page->role.level > 1 || in_slot(r, frame, frame + 1, false)))
		retrace_tell(r, "I-14",
			     "entry %" PRIx64 " of level %u has bits that the CPU reserves", entry,
			     page->role.level);
	else if (page->role.level > 1 || page->role.pae_root)
		retrace_tell(r, "I-19", "%" PRIx64 " is not present, not empty, and in level %u",
			     entry, page->role.level);
	else if (page->role.direct && frame != page->gfn + index)
		retrace_tell(r, "I-19",
			     "%" PRIx64 " names frame %" PRIx64 " where %" PRIx64 " should be",
			     entry, frame, page->gfn + index);
}

static void check_new(struct retrace *r, const struct retrace_page *page, unsigned index,
		      uint64_t entry)
{
	if (entry == empty(page))
		return;
	/* A guest's CR3 may lead anywhere; there is nothing to mirror then. */
	if (is_mirror(page) && !in_slot(r, page->gfn, page->gfn + 1, false))
		retrace_tell(r, "slot",
			     "%" PRIx64 " mirrors an entry in frame %" PRIx64
			     ", which is in no slot",
			     entry, page->gfn);
	if (!translates(r, page, entry))
		check_refused(r, page, index, entry);
	else if (is_leaf(r, page, entry))
		check_leaf(r, page, index, entry);
	else
		check_link(r, page, index, entry);
}

static bool loses(const struct retrace *r, const struct retrace_page *page, uint64_t old,
		  uint64_t new)
{
	const uint64_t gone = old & ~new;

	if (!translates(r, page, old))
		return false;
	if (!translates(r, page, new) || is_leaf(r, page, old) != is_leaf(r, page, new) ||
	    frame_of(r, page, old) != frame_of(r, page, new))
		return true;
	return gone & (PTE_W | PTE_U) || (new & ~old &PTE_XD) ||
	       (is_leaf(r, page, old) && gone & PTE_D);
}

static void owe(struct retrace *r, const struct retrace_page *page, unsigned index, uint64_t old)
{
	struct retrace_owed owed = {0, EVERYTHING, r->now->line};

	/* Only direct leaves are at addresses that a flush can name. */
	if (!r->machine.shadow && is_leaf(r, page, old)) {
		owed.start = page->gfn + index * span(page);
		owed.end = owed.start + span(page);
	}
	if (r->owed_count == RETRACE_OWED_MAX)
		r->owed[--r->owed_count].end = EVERYTHING;
	r->owed[r->owed_count++] = owed;
}

void retrace_set(struct retrace *r, const struct log_record *record)
{
	const uint64_t at = record->value[0], old = record->value[1], new = record->value[2];
	const unsigned index = (unsigned)(at % UMBRA_PAGE_SIZE / sizeof(uint64_t));
	struct retrace_page *page = a_table(r, at & ~(uint64_t)(UMBRA_PAGE_SIZE - 1));

	r->counts.entries++;
	if (!page)
		return;
	if (at % sizeof(uint64_t) || (page->role.pae_root && index >= PAE_ENTRIES) ||
	    record->value[3] != page->role.level) {
		retrace_tell(r, "entry", "no entry of level %" PRIu64 " is at %" PRIx64,
			     record->value[3], at);
		return;
	}
	check_old(r, page, page->entries[index], old);
	check_new(r, page, index, new);
	account(r, page, page->entries[index], -1);
	account(r, page, new, 1);
	page->entries[index] = new;
	page->written++;
	r->cleared += new == empty(page);
	if (loses(r, page, old, new))
		owe(r, page, index, old);
}

/* ---- what the tables say ---- */

bool retrace_translate(struct retrace *r, uint64_t address, struct retrace_place *place)
{
	const struct retrace_page *page = r->root;

	place->rights = PTE_W | PTE_U;
	/* A log may lead in a circle. */
	for (unsigned i = 0; i < UMBRA_LEVEL_MAX && page && page->state == PAGE_TABLE; i++) {
		const struct paging_level *level = level_of(r, page);
		const uint64_t entry = page->entries[address >> level->shift & level->index_mask];

		if (!translates(r, page, entry))
			return false;
		/* Of a root of four all rights are granted (H-20). */
		if (!page->role.pae_root)
			place->rights = (place->rights & (entry | PTE_XD)) | (entry & PTE_XD);
		place->frame = frame_of(r, page, entry);
		if (is_leaf(r, page, entry)) {
			place->frame += address >> UMBRA_PAGE_SHIFT & (span(page) - 1);
			return true;
		}
		page = retrace_page_at(r, place->frame << UMBRA_PAGE_SHIFT);
	}
	return false;
}

void retrace_slot_empty(struct retrace *r, uint64_t start, uint64_t end)
{
	for (uint64_t i = 0; i < r->pages_count; i++) {
		const struct retrace_page *page = &r->page[i];

		for (unsigned j = 0; page->entries && j < ENTRIES; j++) {
			const uint64_t entry = page->entries[j];
			uint64_t frame;

			if (!translates(r, page, entry) || !is_leaf(r, page, entry))
				continue;
			frame = frame_of(r, page, entry);
			if (frame < end && start < frame + span(page)) {
				retrace_tell(r, "slot",
					     "frame %" PRIx64 " is mapped, and its slot goes",
					     frame);
				return;
			}
		}
	}
}

/* ---- the comparison ---- */

/* Entries before @index that were not dumped have to be empty. */
static void nothing_before(struct retrace *r, unsigned index)
{
	struct retrace_page *page = r->dumping;

	for (; page && r->dump_at < index; r->dump_at++) {
		if (page->entries[r->dump_at] & ~LOG_EMPTY)
			retrace_tell(r, "dump",
				     "entry %u of page %" PRIx64 " is empty, and was made %" PRIx64,
				     r->dump_at, hpa_of(r, page), page->entries[r->dump_at]);
		r->counts.compared++;
	}
}

static void turn_to(struct retrace *r, struct retrace_page *page)
{
	if (page == r->dumping)
		return;
	nothing_before(r, ENTRIES);
	if (page && page->dumped)
		retrace_tell(r, "dump", "page %" PRIx64 " is told twice", hpa_of(r, page));
	if (page)
		page->dumped = true;
	r->dumping = page;
	r->dump_at = 0;
}

void retrace_dump(struct retrace *r, const struct log_record *record)
{
	struct retrace_page *page = retrace_page_at(r, record->value[0]);
	const unsigned count = record->count - 2;

	if (!page || !page->entries || record->value[1] > ENTRIES - count) {
		retrace_tell(r, "dump", "page %" PRIx64 " is told, and is no table",
			     record->value[0]);
		return;
	}
	turn_to(r, page);
	if (record->value[1] < r->dump_at) {
		retrace_tell(r, "dump", "entries of page %" PRIx64 " are told twice",
			     record->value[0]);
		return;
	}
	nothing_before(r, (unsigned)record->value[1]);
	for (unsigned i = 0; i < count; i++, r->dump_at++) {
		check_old(r, page, page->entries[r->dump_at], record->value[2 + i]);
		r->counts.compared++;
	}
}

void retrace_dump_done(struct retrace *r)
{
	turn_to(r, NULL);
	for (uint64_t i = 0; i < r->pages_count; i++) {
		struct retrace_page *page = &r->page[i];

		if (page->entries && !page->dumped)
			retrace_tell(r, "dump", "page %" PRIx64 " is a table, and was not told",
				     hpa_of(r, page));
		page->dumped = false;
	}
}
