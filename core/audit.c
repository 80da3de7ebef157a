/* SPDX-License-Identifier: MIT */
/*
 * audit.c - every invariant of docs/INVARIANTS.md, checked from scratch.
 *
 * Reads the tables as they are and derives nothing from what it checks: reverse
 * map against entries and entries against reverse map, mirrors against the
 * guest's own bytes. Changes and allocates nothing. Cheap enough to run after
 * each step of a random program: linear in tables, but for I-3 and I-6, which
 * search short lists.
 */
#include "core/recent.h"
#include "core/attributes.h"
#include "core/rmap.h"
#include "core/sync.h"
#include "core/vcpu.h"

struct audit {
	struct umbra_vm *vm;
	struct mmu *mmu;
	void (*found)(void *context, const struct umbra_finding *finding);
	void *context;
	uint64_t findings;
	/** Leaves by level that were seen; those that belong in reverse maps. */
	uint64_t leaves[4], chained[4];
	/** What hardware reserves in the tables: by format; EPT also with MBEC on. */
	struct mode pae, longer, mbec;
};

static void tell(struct audit *audit, struct umbra_finding finding)
{
	struct umbra_recent recent[RECENT_MOST];

	audit->findings++;
	if (!audit->found)
		return;
	finding.recent = recent;
	finding.recent_count = recent_find(audit->mmu, finding.where, recent);
	audit->found(audit->context, &finding);
}

static void finding(struct audit *audit, const char *invariant, const char *what, uint64_t where,
		    uint64_t value)
{
	tell(audit, (struct umbra_finding){invariant, what, where, value, 0, NULL, 0});
}

/* ---- I-1: roots are pages of the pool, counted ---- */

static unsigned uses(const struct umbra_vcpu *vcpu, const struct page *page)
{
	return rootset_count(&vcpu->own, page) + rootset_count(&vcpu->nested, page);
}

static void audit_in_pool(struct audit *audit, const struct umbra_vcpu *vcpu,
			  const struct page *root)
{
	struct page *page = audit->mmu->pages.oldest;

	while (page && page != root)
		page = page->next;
	if (root && !page)
		finding(audit, "I-1", "a root lies outside the pool", root->hpa.v, vcpu->number);
}

static void audit_roots(struct audit *audit)
{
	const struct pages *pages = &audit->mmu->pages;

	for (struct page *page = pages->oldest; page; page = page->next) {
		unsigned users = 0;

		for (struct umbra_vcpu *vcpu = audit->vm->vcpus; vcpu; vcpu = vcpu->next)
			users += uses(vcpu, page);
		if (users != page->roots)
			finding(audit, "I-1", "a root is counted wrongly", page->hpa.v,
				page->roots);
		if (page->roots && !page->role.invalid && !page->hashed)
			finding(audit, "I-1", "a root is not in the hash", page->hpa.v, page->gfn);
	}
	for (struct umbra_vcpu *vcpu = audit->vm->vcpus; vcpu; vcpu = vcpu->next) {
		audit_in_pool(audit, vcpu, vcpu->own.root);
		audit_in_pool(audit, vcpu, vcpu->nested.root);
	}
}

/* ---- I-2, I-3: page, table, private word, hash ---- */

static void audit_page(struct audit *audit, struct page *page)
{
	struct mmu *mmu = audit->mmu;
	bool lone_tdp = mmu_page_is_tdp(mmu, page) && page->role.level < mmu->levels;
	unsigned same = 0;

	if (page_of(mmu, page->hpa) != page)
		finding(audit, "I-2", "a table does not lead back to its page", page->hpa.v, 0);
	if (page->role.level < 1 || page->role.level > UMBRA_LEVEL_MAX)
		finding(audit, "I-2", "a level outside 1..5", page->hpa.v, page->role.level);
	if (page->role.pae_root && page->hpa.v >> 32)
		finding(audit, "I-2", "a PAE root above 4 GiB", page->hpa.v, 0);
	if (page->role.invalid && (page->hashed || !page->roots))
		finding(audit, "I-3", "a zapped page can still be found", page->hpa.v, 0);
	if (page_is_obsolete(mmu, page) || lone_tdp)
		return;
	for (struct page *other = pages_bucket(mmu, (umbra_gfn){page->gfn}); other;
	     other = other->hash_next) {
		if (!other->hashed)
			finding(audit, "I-3", "an unhashed page in the hash", other->hpa.v, 0);
		same += other == page;
	}
	if (same != 1)
		finding(audit, "I-3", "a page is not once in its bucket", page->hpa.v, same);
	if (!page->role.registers &&
	    pages_find(mmu, (umbra_gfn){page->gfn}, page->role, NULL) != page)
		finding(audit, "I-3", "two pages with one identity", page->hpa.v, page->role.word);
}

/* ---- I-17: no frame has changed behind an entry ---- */

static void audit_changed(struct audit *audit)
{
	const struct mmu *mmu = audit->mmu;

	if (mmu->stats.pf_changed_pfn)
		tell(audit, (struct umbra_finding){
				    .invariant = "I-17",
				    .what = "a frame is mapped that is not the host's for the page",
				    .where = mmu->changed.where,
				    .value = mmu->changed.mapped.v,
				    .other = mmu->changed.pinned.v,
			    });
}

/* ---- I-4: slots ---- */

static void audit_slots(struct audit *audit)
{
	struct view_cursor cursor = {0};
	const struct slot *slot;
	uint64_t end = 0;

	while ((slot = view_next(audit->mmu->slots.view, &cursor))) {
		if (slot->start.v < end)
			finding(audit, "I-4", "slots overlap or are out of order", slot->start.v,
				slot->id);
		if (slots_find(audit->mmu, slot->start) != slot ||
		    slots_by_id(audit->mmu, slot->id) != slot)
			finding(audit, "I-4", "a slot is not found by its frame or id",
				slot->start.v, slot->id);
		end = slot_end(slot);
	}
}

/* ---- I-5, I-7, I-8, I-12: leaves ---- */

/* Every mirror of @gfn, if there is one, is allowed to lag. */
static bool all_unsync(struct mmu *mmu, umbra_gfn gfn)
{
	for (struct page *page = pages_bucket(mmu, gfn); page; page = page->hash_next)
		if (page->gfn == gfn.v && !page->role.direct && !page->role.promoted &&
		    !page->role.registers && !page->unsync)
			return false;
	return true;
}

static bool any_tracked(const struct slot *slot, umbra_gfn gfn, unsigned level)
{
	const uint16_t *trackers = slot->tracked ? &slot->tracked[gfn.v - slot->start.v] : NULL;

	for (uint64_t i = 0; trackers && i < 1ull << 9 * (level - 1); i++)
		if (trackers[i])
			return true;
	return false;
}

/* I-20 */
static void audit_logged(struct audit *audit, const struct slot *slot, umbra_gfn gfn,
			 struct table_at at, uint64_t entry)
{
	const struct mmu *mmu = audit->mmu;
	const unsigned level = at.page->role.level;

	if (!slot->dirty || !entry_is_writable(&mmu->kind, entry))
		return;
	for (uint64_t page = gfn.v - slot->start.v, left = 1ull << 9 * (level - 1); left;
	     left--, page++) {
		if (slot->dirty[page / 64] >> page % 64 & 1)
			continue;
		finding(audit, "I-20", "a page that is not marked may be written",
			table_location(at), gfn.v);
		return;
	}
}

/* I-18 */
static void audit_private(struct audit *audit, const struct slot *slot, umbra_gfn gfn,
			  uint64_t where, unsigned level)
{
	bool is_private;
	uint64_t end = attributes_run(audit->mmu->slots.attributes, gfn, &is_private);

	if (end - gfn.v < 1ull << 9 * (level - 1))
		finding(audit, "I-18", "a leaf over private and shared pages", where, gfn.v);
	if (is_private && !(slot->flags & UMBRA_SLOT_PRIVATE))
		finding(audit, "I-18", "a private page mapped to shared memory", where, gfn.v);
}

static void audit_leaf(struct audit *audit, struct table_at at, uint64_t entry)
{
	struct mmu *mmu = audit->mmu;
	unsigned level = at.page->role.level;
	uint64_t where = at.page->hpa.v + at.index * sizeof(entry);
	umbra_gfn gfn;
	struct slot *slot;

	audit->leaves[level < 4 ? level : 0]++;
	if (!entry_writable_state_ok(&mmu->kind, entry))
		finding(audit, "I-12", "an impossible writable state", where, entry);
	if (!at.page->role.direct && !at.page->words.v) {
		finding(audit, "I-5", "a leaf without its guest frame", where, entry);
		return;
	}
	gfn = table_gfn(mmu, at);
	slot = slots_find(mmu, gfn);
	if (!slot || gfn.v + (1ull << 9 * (level - 1)) > slot_end(slot)) {
		finding(audit, "I-5", "a leaf outside its slot", where, gfn.v);
		return;
	}
	audit_private(audit, slot, gfn, where, level);
	audit_logged(audit, slot, gfn, at, entry);
	if (slot->flags & UMBRA_SLOT_READONLY && entry_is_writable(&mmu->kind, entry))
		finding(audit, "I-12", "a read-only slot mapped writable", where, entry);
	if (entry_is_writable(&mmu->kind, entry) && any_tracked(slot, gfn, level))
		finding(audit, "I-7", "a tracked frame mapped writable", where, gfn.v);
	if (!mmu->mirrors)
		return;
	if (!mmu_page_is_tdp(mmu, at.page)) {
		audit->chained[level]++;
		if (!chain_has(rmap_chain(slot, gfn, level), where))
			finding(audit, "I-5", "a leaf is not in the chain of its frame", where,
				gfn.v);
	}
	if (level == 1 && entry_is_mmu_writable(&mmu->kind, entry) && !all_unsync(mmu, gfn))
		finding(audit, "I-7", "a mirrored guest table mapped writable", where, gfn.v);
	if (level > 1 && slot->mirrored[level][slot_region(slot, gfn, level)])
		finding(audit, "I-8", "a large leaf over a mirrored guest table", where, gfn.v);
}

static void audit_reverse_map(struct audit *audit)
{
	struct view_cursor cursor = {0};
	uint64_t chained = 0, leaves = 0;
	const struct slot *slot;

	if (!audit->mmu->mirrors)
		return;
	while ((slot = view_next(audit->mmu->slots.view, &cursor))) {
		for (unsigned level = 1; level <= 3; level++) {
			umbra_gfn last = {slot_end(slot) - 1};
			uint64_t count = slot_region(slot, last, level) + 1;

			for (uint64_t at = 0; at < count; at++)
				chained += chain_count(&slot->rmap[level][at]);
		}
	}
	for (unsigned level = 1; level <= 3; level++)
		leaves += audit->chained[level];
	if (chained != leaves)
		finding(audit, "I-5", "the reverse map holds other than the leaves", chained,
			leaves);
}

/* I-8's other half: the counts are right. Mirrors per region, counted anew. */
static void audit_mirrored(struct audit *audit)
{
	struct mmu *mmu = audit->mmu;
	struct view_cursor cursor = {0};
	uint64_t counted = 0, mirrors = 0;
	const struct slot *slot;

	if (!mmu->mirrors)
		return;
	while ((slot = view_next(mmu->slots.view, &cursor))) {
		uint64_t count = slot_region(slot, (umbra_gfn){slot_end(slot) - 1}, 2) + 1;

		for (uint64_t at = 0; at < count; at++)
			counted += slot->mirrored[2][at];
	}
	for (struct page *page = mmu->pages.oldest; page; page = page->next) {
		umbra_gfn gfn = {page->gfn};

		slot = slots_find(mmu, gfn);
		if (page->role.direct || page->role.promoted || page->role.registers ||
		    page->role.invalid || !slot)
			continue;
		mirrors++;
		if (!slot->mirrored[2][slot_region(slot, gfn, 2)] ||
		    !slot->mirrored[3][slot_region(slot, gfn, 3)])
			finding(audit, "I-8", "a mirror is not counted in its region", page->hpa.v,
				gfn.v);
	}
	if (counted != mirrors)
		finding(audit, "I-8", "more mirrors counted than there are", counted, mirrors);
}

/* ---- I-6, I-10: links ---- */

static void audit_link(struct audit *audit, struct table_at at, uint64_t entry)
{
	struct mmu *mmu = audit->mmu;
	uint64_t where = at.page->hpa.v + at.index * sizeof(entry);
	struct page *child = page_of(mmu, entry_table(&mmu->kind, entry));

	if (!child || child->hpa.v != entry_table(&mmu->kind, entry).v) {
		finding(audit, "I-6", "an entry leads to what is no table page", where, entry);
		return;
	}
	if (child->role.level + 1 != at.page->role.level)
		finding(audit, "I-6", "an entry leads to a table of the wrong level", where, entry);
	if (child->role.invalid)
		finding(audit, "I-6", "an entry leads to a zapped page", where, entry);
	if (!chain_has(&child->parents, where))
		finding(audit, "I-6", "a child does not know its parent", where, entry);
	if (mmu_page_is_tdp(mmu, child) && chain_count(&child->parents) > 1)
		finding(audit, "I-10", "a TDP table with several parents", where, entry);
}

/* I-15: listed, and every ancestor says that something below lags. */
static void audit_unsync(struct audit *audit, struct page *page)
{
	const struct pages *pages = &audit->mmu->pages;
	const struct page *unmarked;
	unsigned listed = 0;

	for (unsigned i = 0; i < pages->unsync_count; i++)
		listed += pages->unsync[i] == page;
	if (listed != page->unsync)
		finding(audit, "I-15", "an unsync page is not once in the list", page->hpa.v,
			listed);
	if (!page->unsync)
		return;
	if (page->role.level != 1 || page->role.direct)
		finding(audit, "I-15", "what is not a last-level mirror is unsync", page->hpa.v,
			page->role.word);
	unmarked = sync_unmarked(audit->mmu, page);
	if (unmarked)
		finding(audit, "I-15", "an unsync page has an unmarked ancestor", unmarked->hpa.v,
			page->hpa.v);
}

static void audit_parents(struct audit *audit, struct page *page)
{
	struct mmu *mmu = audit->mmu;
	struct chain_iter iter = chain_begin(&page->parents);
	uint64_t location;

	while ((location = chain_next(&iter))) {
		struct page *parent = page_of(mmu, (umbra_hpa){location});
		struct table_at at = {parent, (location & (UMBRA_PAGE_SIZE - 1)) / 8};
		uint64_t entry;

		if (!parent) {
			finding(audit, "I-6", "a parent that is no table page", page->hpa.v,
				location);
			continue;
		}
		entry = table_read(mmu, at);
		if (!entry_is_present(&mmu->kind, entry) ||
		    entry_table(&mmu->kind, entry).v != page->hpa.v)
			finding(audit, "I-6", "a parent does not lead here", page->hpa.v, location);
	}
}

/* ---- I-11: mirrors say what the guest's bytes say ---- */

/* The guest entry that the SPTE at @at mirrors, and whether A and D can be set in it
 * (G-36); false: none, or its memory is gone. */
static bool guest_entry(struct mmu *mmu, struct table_at at, uint64_t *entry, bool *writable)
{
	union role role = at.page->role;
	unsigned bytes = roles_entry_bytes(role), index = at.index;
	umbra_gpa gpa = {at.page->gfn << UMBRA_PAGE_SHIFT};
	uint64_t size;
	uint8_t *memory;

	if (role.direct || role.promoted || role.registers)
		return false;
	if (role.guest == ROLE_GUEST_PAE && role.level == 3)
		index += role.pae_offset * 4;
	else if (role.guest == ROLE_GUEST_32)
		index = role.level == 2 ? role.quadrant * 256 + index / 2
					: role.quadrant * 512 + index;
	memory = slots_memory(mmu, gpa, &size, writable);
	if (!memory)
		return false;
	memory += index * bytes;
	*entry = bytes == 4 ? *(uint32_t *)(void *)memory : *(uint64_t *)(void *)memory;
	return true;
}

/* @entry is present or MMIO. */
static void audit_mirror_entry(struct audit *audit, struct table_at at, uint64_t entry)
{
	struct mmu *mmu = audit->mmu;
	const bool writable = entry_is_mmio(&mmu->kind, entry)
				      ? entry_mmio_acc(&mmu->kind, entry) & ACC_WRITE
				      : entry_is_writable(&mmu->kind, entry);
	union role role = at.page->role;
	uint64_t where = at.page->hpa.v + at.index * sizeof(entry), guest, frame;
	const struct format_level *level;
	bool leaf = entry_is_leaf(&mmu->kind, entry, role.level), guest_leaf;
	bool has_ad;

	if (at.page->unsync || !guest_entry(mmu, at, &guest, &has_ad))
		return;
	level = &roles_format(role)->level[role.level];
	guest_leaf = role.level == 1 || (guest & level->large &&
					 (role.guest != ROLE_GUEST_32 || role.flags & MODE_PSE));
	if (!(guest & (level->present | (role.flags & MODE_MBEC ? level->present_mbec : 0)))) {
		finding(audit, "I-11", "an entry mirrors a guest entry that is not present", where,
			guest);
		return;
	}
	if (leaf && !guest_leaf) {
		finding(audit, "I-11", "a leaf mirrors a guest table", where, guest);
		return;
	}
	if (!guest_leaf) {
		struct page *child = page_of(mmu, entry_table(&mmu->kind, entry));

		frame = (guest & level->table_address) >> UMBRA_PAGE_SHIFT;
		frame &= (1ull << (role.maxphyaddr - UMBRA_PAGE_SHIFT)) - 1;
		if (child && child->gfn != frame)
			finding(audit, "I-11", "an entry leads to the mirror of another table",
				where, guest);
		return;
	}
	if (!leaf || !at.page->words.v)
		return;
	frame = (guest & level->leaf_address) >> UMBRA_PAGE_SHIFT;
	frame |= ((guest & level->high) << level->high_shift) >> UMBRA_PAGE_SHIFT;
	if (role.guest == ROLE_GUEST_32 && role.level == 2)
		frame += (at.index & 1) * 512; /* half of a 4M page */
	if (table_gfn(mmu, at).v != (frame & ((1ull << (role.maxphyaddr - 12)) - 1)))
		finding(audit, "I-11", "a leaf maps another frame than the guest's", where, guest);
	if (writable && role.flags & MODE_WP && !(guest & 2))
		finding(audit, "I-11", "a leaf is writable, the guest's is not", where, guest);
	/* EPT entries without A/D in use have no such bits. */
	has_ad &= !role.ad_disabled;
	if (has_ad && writable && guest & 2 && !(guest & level->dirty))
		finding(audit, "I-11", "a leaf is writable, the guest's is clean", where, guest);
	if (has_ad && !(guest & level->accessed))
		finding(audit, "I-11", "a leaf mirrors an entry without A", where, guest);
}

/* ---- I-13: counters; I-14: what hardware reserves ---- */

static void audit_reserved(struct audit *audit, struct table_at at, uint64_t entry)
{
	const struct mmu *mmu = audit->mmu;
	union role role = at.page->role;
	const struct mode *mode = &audit->longer;
	const struct mode_level *level;
	uint64_t where = at.page->hpa.v + at.index * sizeof(entry);

	if (role.flags & MODE_MBEC)
		mode = &audit->mbec;
	else if (mmu->levels == 3 || (mmu->paging == UMBRA_PAGING_SHADOW &&
				      (role.pae_root || role.guest < ROLE_GUEST_4)))
		mode = &audit->pae;
	level = &mode->level[role.level];
	if (entry & level->rsvd[role.level == 1 || entry & level->large])
		finding(audit, "I-14", "a bit that hardware reserves is set", where, entry);
	if (mode->bad_low6 >> ((entry & 63) | (entry >> 8 & mode->bad_fold)) & 1)
		finding(audit, "I-14", "a misconfigured EPT entry", where, entry);
}

static void bind_hardware(struct audit *audit)
{
	const struct mmu *mmu = audit->mmu;
	const struct umbra_cpu *cpu = &mmu->cpu;
	bool ept = mmu->paging == UMBRA_PAGING_EPT;
	uint32_t flags = MODE_NX | MODE_2M | MODE_PDPTE_MEMORY;

	flags |= cpu->features & (ept ? UMBRA_CPU_EPT_1G : UMBRA_CPU_1G) ? MODE_1G : 0;
	flags |= cpu->features & UMBRA_CPU_BIT8_MBZ ? MODE_BIT8_MBZ : 0;
	flags |= cpu->features & UMBRA_CPU_EPT_EXECONLY ? MODE_EXECONLY : 0;
	flags |= mmu->kind.ad ? MODE_AD : 0;
	mode_bind(&audit->pae, &format_pae, flags, cpu->maxphyaddr);
	mode_bind(&audit->mbec, &format_ept5, flags | MODE_MBEC, cpu->maxphyaddr);
	flags |= ept && mmu->exec_by_mode ? MODE_MBEC : 0;
	/* What is reserved at a level does not depend on how many there are. */
	mode_bind(&audit->longer, ept ? &format_ept5 : &format_5, flags, cpu->maxphyaddr);
}

/* ---- I-19: MMIO entries ---- */

static void audit_mmio(struct audit *audit, struct table_at at, uint64_t entry)
{
	struct mmu *mmu = audit->mmu;
	const uint64_t where = table_location(at);
	const umbra_gfn gfn = entry_mmio_gfn(&mmu->kind, entry);
	const uint64_t wide = mmu->slots.generation;
	const uint64_t mask = (1ull << entry_generation_bits(&mmu->kind)) - 1;

	if (at.page->role.level != 1) {
		finding(audit, "I-19", "an MMIO entry above the last level", where, entry);
		return;
	}
	if (!at.page->role.direct && !at.page->words.v) {
		finding(audit, "I-19", "an MMIO entry without its guest entry", where, entry);
		return;
	}
	if (table_gfn(mmu, at).v != gfn.v)
		finding(audit, "I-19", "an MMIO entry names another frame", where, gfn.v);
	if (!(wide & SLOTS_UPDATING) && entry_mmio_generation(&mmu->kind, entry) == (wide & mask) &&
	    (slots_find(mmu, gfn) || slots_is_private(mmu, gfn)))
		finding(audit, "I-19", "a current MMIO entry where there is a slot", where, gfn.v);
	audit_mirror_entry(audit, at, entry);
}

/* @entry is not empty. */
static void audit_entry(struct audit *audit, struct table_at at, uint64_t entry)
{
	struct mmu *mmu = audit->mmu;

	if (at.page->role.invalid)
		finding(audit, "I-3", "a zapped page is not empty", at.page->hpa.v, entry);
	if (!entry_is_present(&mmu->kind, entry)) {
		if (entry_is_mmio(&mmu->kind, entry))
			audit_mmio(audit, at, entry);
		else
			finding(audit, "I-14", "neither empty, MMIO nor present",
				at.page->hpa.v + at.index * sizeof(entry), entry);
		return;
	}
	audit_reserved(audit, at, entry);
	if (entry_is_leaf(&mmu->kind, entry, at.page->role.level))
		audit_leaf(audit, at, entry);
	else
		audit_link(audit, at, entry);
	audit_mirror_entry(audit, at, entry);
}

static void audit_counts(struct audit *audit, uint64_t pages)
{
	const struct umbra_stats *stats = &audit->mmu->stats;

	if (pages != audit->mmu->pages.count)
		finding(audit, "I-13", "table pages are counted wrongly", audit->mmu->pages.count,
			pages);
	if (audit->leaves[1] != stats->pages_4k || audit->leaves[2] != stats->pages_2m ||
	    audit->leaves[3] != stats->pages_1g || audit->leaves[0])
		finding(audit, "I-13", "leaves are counted wrongly", stats->pages_4k,
			audit->leaves[1]);
}

/* Most entries are empty: they are passed over quickly. */
static void audit_entries(struct audit *audit, struct page *page)
{
	const uint64_t *entries = page_entries(audit->mmu, page);
	const uint64_t empty = table_empty(audit->mmu, page);
	const unsigned count = page_entry_count(page);

	for (unsigned i = 0; i < count; i++) {
		uint64_t entry = __atomic_load_n(&entries[i], __ATOMIC_ACQUIRE);

		if (entry != empty)
			audit_entry(audit, (struct table_at){page, i}, entry);
	}
}

uint64_t umbra_audit(struct umbra_vm *vm,
		     void (*found)(void *context, const struct umbra_finding *finding),
		     void *context)
{
	struct audit audit = {.vm = vm, .mmu = &vm->mmu, .found = found, .context = context};
	uint64_t pages = 0;

	umbra_host_lock(vm->mmu.host, UMBRA_LOCK_MMU, true);
	/* Nobody is in an operation: the lock is this one's. */
	if (vm->mmu.flushes_owed)
		finding(&audit, "I-16", "an operation ended without its flush", 0,
			vm->mmu.flushes_owed);
	bind_hardware(&audit);
	audit_slots(&audit);
	audit_changed(&audit);
	audit_roots(&audit);
	for (struct page *page = vm->mmu.pages.oldest; page; page = page->next) {
		pages++;
		audit_page(&audit, page);
		audit_parents(&audit, page);
		audit_unsync(&audit, page);
		/* Else there is no telling what its entries are. */
		if (page->role.level < 1 || page->role.level > UMBRA_LEVEL_MAX)
			continue;
		audit_entries(&audit, page);
	}
	audit_reverse_map(&audit);
	audit_mirrored(&audit);
	audit_counts(&audit, pages);
	umbra_host_unlock(vm->mmu.host, UMBRA_LOCK_MMU, true);
	return audit.findings;
}
