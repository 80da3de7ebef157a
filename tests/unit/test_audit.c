/* SPDX-License-Identifier: MIT */
/*
 * test_audit.c - the auditor finds planted damage.
 *
 * For each invariant that umbra_audit() checks, one thing is broken through the
 * internals; exactly that invariant must be reported, and nothing at all once it
 * is mended. I-9 is about what CPUs remember and has no function in audit.c.
 */
#include "core/attributes.h"
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define MEG (1ull << 20)

#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull

#define W UMBRA_ACCESS_WRITE

/*
 * Shadow: 4-level guest with a 4K page at gva 0x8000, a 2M page at 4M. TDP: the same
 * addresses.
 */
static void open_with(struct kit *kit, enum umbra_paging paging)
{
	const struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PML4,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA,
	};
	struct umbra_vm_config config = kit_config(paging);
	struct umbra_root root;

	kit_open(kit, &config, 2);
	put64(kit, PML4, PDPT | 7);
	put64(kit, PDPT, PD | 7);
	put64(kit, PD, PT | 7);
	put64(kit, PD + 16, 4 * MEG | 0x87);
	put64(kit, PT + 64, 8 * PAGE | 7);
	put64(kit, PT + 72, 9 * PAGE | 5);
	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, &regs, false), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(kit->vcpu, &root), UMBRA_OK);
	resume(kit, 8 * PAGE, W);
	resume(kit, 4 * MEG, W);
	if (paging == UMBRA_PAGING_SHADOW)
		resume(kit, 9 * PAGE, 0);
	assert_clean(kit);
}

/* Every finding is @invariant's, and there is one. */
static void found_only(struct kit *kit, const char *invariant)
{
	char want[8];

	snprintf(want, sizeof(want), "%s ", invariant);
	if (!kit_audit(kit))
		fail_msg("%s: not found", invariant);
	for (char *at = kit->found, *end; *at; at = end + 2) {
		end = strstr(at, "; ");
		assert_non_null(end);
		if (strncmp(at, want, strlen(want)) != 0)
			fail_msg("%s, but found: %s", invariant, kit->found);
	}
}

/* Break *@word to @value, look, mend. */
static void planted(struct kit *kit, uint64_t *word, uint64_t value, const char *invariant)
{
	uint64_t good = *word;

	assert_int_not_equal(good, value);
	*word = value;
	found_only(kit, invariant);
	*word = good;
	assert_clean(kit);
}

/* Damage that breaks several invariants at once: this finding is among them. */
static void found_text(struct kit *kit, const char *text)
{
	kit_audit(kit);
	if (!strstr(kit->found, text))
		fail_msg("no \"%s\" in: %s", text, kit->found);
}

static void planted_text(struct kit *kit, uint64_t *word, uint64_t value, const char *text)
{
	uint64_t good = *word;

	*word = value;
	found_text(kit, text);
	*word = good;
	assert_clean(kit);
}

static uint64_t *entry_of(struct kit *kit, uint64_t address)
{
	struct seen seen = look(kit, address);

	assert_true(seen.leaf);
	return &page_entries(&kit->vm->mmu, seen.at.page)[seen.at.index];
}

/* The entry that leads to the page with @address's leaf. */
static uint64_t *parent_of(struct kit *kit, uint64_t address)
{
	struct mmu *mmu = &kit->vm->mmu;
	uint64_t location = chain_first(&look(kit, address).at.page->parents);

	return &page_entries(mmu, page_of(mmu, (umbra_hpa){location}))[(location & 0xfff) / 8];
}

#define BOTH                                                            \
	(const enum umbra_paging[])                                     \
	{                                                               \
		UMBRA_PAGING_SHADOW, UMBRA_PAGING_EPT, UMBRA_PAGING_NPT \
	}

static void i1_roots(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		struct page *root, *leaf;

		open_with(&kit, BOTH[i]);
		root = kit.vcpu->own.root;
		leaf = look(&kit, 8 * PAGE).at.page;
		root->roots++;
		found_only(&kit, "I-1");
		root->roots = 0;
		found_only(&kit, "I-1");
		root->roots = 1;
		/* A vCPU with a root that nobody counts; one outside the pool. */
		kit.vcpu->own.root = leaf;
		found_only(&kit, "I-1");
		kit.vcpu->own.root = (struct page *)&kit;
		root->roots = 0;
		found_only(&kit, "I-1");
		root->roots = 1;
		kit.vcpu->own.root = root;
		assert_clean(&kit);
		kit_close(&kit);
	}
}

static void i2_pages(void **unused)
{
	struct kit kit;
	struct page *page;
	void **private;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_EPT);
	page = kit.vcpu->own.root;
	private = umbra_host_page_private(kit.host, page->hpa);
	*private = look(&kit, 8 * PAGE).at.page;
	/* Parents are found through that word: they break along with it. */
	assert_true(kit_audit(&kit) > 0);
	assert_non_null(strstr(kit.found, "I-2 "));
	*private = page;
	assert_clean(&kit);
	kit_close(&kit);

	/* A PAE root that CR3 cannot hold. */
	open_with(&kit, UMBRA_PAGING_SHADOW);
	page = kit.vcpu->own.root;
	page->role.pae_root = 1;
	assert_true(page->hpa.v >> 32);
	assert_true(kit_audit(&kit) > 0);
	assert_non_null(strstr(kit.found, "I-2 a PAE root above 4 GiB"));
	page->role.pae_root = 0;
	assert_clean(&kit);
	kit_close(&kit);
}

static void i3_hash(void **unused)
{
	struct kit kit;
	struct page *page, **link;
	struct mmu *mmu;
	uint64_t empty;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	mmu = &kit.vm->mmu;
	page = look(&kit, 8 * PAGE).at.page;
	/* Out of its bucket. */
	for (link = &mmu->pages.bucket[page->gfn * 0x9e3779b97f4a7c15ull >> 52]; *link != page;)
		link = &(*link)->hash_next;
	*link = page->hash_next;
	found_only(&kit, "I-3");
	*link = page;
	assert_clean(&kit);
	page->hashed = 0;
	found_only(&kit, "I-3");
	page->hashed = 1;
	assert_clean(&kit);
	/* A zapped root that is not empty. */
	page = kit.vcpu->own.root;
	umbra_vm_zap_all(kit.vm);
	assert_true(page->role.invalid);
	assert_clean(&kit);
	empty = page_entries(mmu, page)[5];
	page_entries(mmu, page)[5] = (page->hpa.v & ~0xfffull) | 0x827;
	kit_audit(&kit);
	assert_non_null(strstr(kit.found, "I-3 a zapped page is not empty"));
	page_entries(mmu, page)[5] = empty;
	page->hashed = 1;
	found_only(&kit, "I-3");
	page->hashed = 0;
	assert_clean(&kit);
	kit_close(&kit);
}

static void i4_slots(void **unused)
{
	struct kit kit;
	struct slot *slot;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_EPT);
	assert_int_equal(kit_slot(&kit, 9, 2 * BYTES, PAGE, kit.hva.v, 0), UMBRA_OK);
	slot = slots_by_id(&kit.vm->mmu, 9);
	slot->start.v = (BYTES - PAGE) / PAGE;
	found_only(&kit, "I-4");
	slot->start.v = 2 * BYTES / PAGE;
	assert_clean(&kit);
	kit_close(&kit);
}

static void i5_reverse_map(void **unused)
{
	struct kit kit;
	struct chain *chain, *other;
	struct seen seen;
	uint64_t good;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	chain = rmap_chain(slots_find(&kit.vm->mmu, (umbra_gfn){8}), (umbra_gfn){8}, 1);
	other = rmap_chain(slots_find(&kit.vm->mmu, (umbra_gfn){11}), (umbra_gfn){11}, 1);
	good = chain->head;
	planted(&kit, &chain->head, 0, "I-5"); /* a leaf in no chain */
	planted(&kit, &other->head, good, "I-5"); /* a chain with what is no leaf of it */
	other->head = good; /* in the wrong one */
	chain->head = 0;
	found_only(&kit, "I-5");
	other->head = 0;
	chain->head = good;
	/* The gfn kept beside the leaf: I-11 too, since the guest's entry says otherwise. */
	seen = look(&kit, 8 * PAGE);
	page_words(&kit.vm->mmu, seen.at.page)[seen.at.index] = 11ull << 12;
	kit_audit(&kit);
	assert_non_null(strstr(kit.found, "I-5 "));
	page_words(&kit.vm->mmu, seen.at.page)[seen.at.index] = 8ull << 12;
	assert_clean(&kit);
	kit_close(&kit);
}

static void i6_links(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		const uint64_t frame = 0xffffffffff000ull;
		struct page *page, *root;
		uint64_t good, *parent;
		umbra_hpa stray;

		open_with(&kit, BOTH[i]);
		page = look(&kit, 8 * PAGE).at.page;
		root = kit.vcpu->own.root;
		parent = parent_of(&kit, 8 * PAGE);
		planted(&kit, &page->parents.head, 0, "I-6");
		good = page->parents.head;
		planted(&kit, &page->parents.head, root->hpa.v + 8 * 77, "I-6");
		assert_int_equal(page->parents.head, good);
		/* To a page that is no table; to one of the wrong level. */
		assert_true(umbra_host_page_alloc(kit.host, 0, &stray));
		planted(&kit, parent, (*parent & ~frame) | stray.v, "I-6");
		umbra_host_page_free(kit.host, stray);
		good = *parent;
		*parent = (good & ~frame) | root->hpa.v;
		kit_audit(&kit);
		assert_non_null(
			strstr(kit.found, "I-6 an entry leads to a table of the wrong level"));
		*parent = good;
		assert_clean(&kit);
		kit_close(&kit);
	}
}

static void i7_mirrored_writable(void **unused)
{
	struct kit kit;
	uint64_t *entry, write;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	/* The guest maps its own page table: allowed to read it. */
	write64(&kit, PT + 8 * 10, PT | 0x67);
	resume(&kit, 10 * PAGE, 0);
	entry = entry_of(&kit, 10 * PAGE);
	write = kit.vm->mmu.kind.layout->write | kit.vm->mmu.kind.layout->mmu_writable;
	assert_int_equal(*entry & write, 0);
	planted(&kit, entry, *entry | write, "I-7");
	kit_close(&kit);
}

static void i8_large_over_mirror(void **unused)
{
	struct kit kit;
	struct slot *slot;
	uint32_t *count;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	slot = slots_find(&kit.vm->mmu, (umbra_gfn){0});
	/* Region 0 has the four tables, region 2 the large leaf. */
	count = slot->mirrored[2];
	assert_int_equal(count[0], 4);
	count[0] = 3;
	found_only(&kit, "I-8");
	count[0] = 0;
	found_only(&kit, "I-8");
	count[0] = 4;
	count[2] = 1;
	found_only(&kit, "I-8");
	count[2] = 0;
	assert_clean(&kit);
	kit_close(&kit);
}

static void i10_tdp_parents(void **unused)
{
	struct kit kit;
	struct mmu *mmu;
	struct page *page;
	uint64_t *entries, parent, good;
	struct chain_block block = {.count = 2};

	(void)unused;
	open_with(&kit, UMBRA_PAGING_EPT);
	mmu = &kit.vm->mmu;
	page = look(&kit, 8 * PAGE).at.page;
	good = page->parents.head;
	entries = page_entries(mmu, page_of(mmu, (umbra_hpa){good}));
	parent = entries[(good & 0xfff) / 8];
	/* A second link, well recorded. */
	entries[500] = parent;
	block.location[0] = good;
	block.location[1] = (good & ~0xfffull) + 500 * 8;
	page->parents.head = (uint64_t)(uintptr_t)&block | 1;
	found_only(&kit, "I-10");
	entries[500] = table_empty(mmu, page);
	page->parents.head = good;
	assert_clean(&kit);
	kit_close(&kit);
}

static void i11_mirrors(void **unused)
{
	static const struct {
		uint64_t gpa, value;
	} damage[] = {
		{PT + 64, 0}, /* not present */
		{PT + 64, 11 * PAGE | 0x67}, /* another frame */
		{PT + 64, 8 * PAGE | 0x65}, /* read-only */
		{PT + 64, 8 * PAGE | 0x27}, /* clean */
		{PT + 64, 8 * PAGE | 0x47}, /* not accessed */
		{PD, 0x5000 | 0x27}, /* another table */
		{PD, 0},
		{PML4, 0},
		{PD + 16, 0},
		{PD + 16, 6 * MEG | 0xe7},
	};
	struct kit kit;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	for (unsigned i = 0; i < sizeof(damage) / sizeof(damage[0]); i++)
		planted(&kit, (uint64_t *)(void *)(kit.bytes + damage[i].gpa), damage[i].value,
			"I-11");
	kit_close(&kit);
}

static void i12_writable_state(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		const struct entry_layout *layout;
		uint64_t *entry;

		open_with(&kit, BOTH[i]);
		layout = kit.vm->mmu.kind.layout;
		entry = entry_of(&kit, 8 * PAGE);
		planted(&kit, entry, *entry & ~layout->host_writable, "I-12");
		planted(&kit, entry, *entry & ~layout->mmu_writable, "I-12");
		slots_by_id(&kit.vm->mmu, 0)->flags = UMBRA_SLOT_READONLY;
		/* Under shadow paging A and D of tables are then not looked at. */
		found_only(&kit, "I-12");
		slots_by_id(&kit.vm->mmu, 0)->flags = 0;
		assert_clean(&kit);
		kit_close(&kit);
	}
}

static void i13_counters(void **unused)
{
	struct kit kit;
	struct mmu *mmu;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		open_with(&kit, BOTH[i]);
		mmu = &kit.vm->mmu;
		planted(&kit, &mmu->pages.count, mmu->pages.count + 1, "I-13");
		planted(&kit, &mmu->stats.pages_4k, mmu->stats.pages_4k + 1, "I-13");
		planted(&kit, &mmu->stats.pages_2m, 7, "I-13");
		planted(&kit, &mmu->stats.pages_1g, ~0ull, "I-13");
		kit_close(&kit);
	}
}

static void i14_reserved(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		const unsigned width = BOTH[i] == UMBRA_PAGING_NPT ? 48 : 46;
		uint64_t *leaf, *table, *hole;

		open_with(&kit, BOTH[i]);
		leaf = entry_of(&kit, 8 * PAGE);
		table = parent_of(&kit, 8 * PAGE);
		planted(&kit, leaf, *leaf | 1ull << width, "I-14");
		planted(&kit, leaf, *leaf | 1ull << 51, "I-14");
		planted(&kit, table, *table | 1ull << width, "I-14");
		hole = leaf + 100;
		planted(&kit, hole, 0x1000, "I-14");
		if (BOTH[i] == UMBRA_PAGING_EPT) {
			planted(&kit, leaf, *leaf & ~1ull, "I-14"); /* W without R */
			planted(&kit, leaf, (*leaf & ~(7ull << 3)) | 2ull << 3,
				"I-14"); /* type 2 */
		}
		kit_close(&kit);
	}
}

/* What the audit of other invariants cannot be kept from seeing too. */
static void every_finding(void **unused)
{
	struct kit kit;
	struct mmu *mmu;
	struct page *page, *root;
	struct chain good;
	struct slot *slot;
	uint32_t *mirrored;
	umbra_hpa stray, words;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	mmu = &kit.vm->mmu;
	root = kit.vcpu->own.root;
	page = look(&kit, 8 * PAGE).at.page;
	root->hashed = 0;
	found_text(&kit, "I-1 a root is not in the hash");
	root->hashed = 1;
	{
		struct attributes *some = calloc(1, sizeof(*some) + sizeof(some->range[0]));

		assert_non_null(some);
		some->count = 1;
		some->range[0] = (struct attributes_range){8, 9};
		mmu->slots.attributes = some;
		found_text(&kit, "I-18 a private page mapped to shared memory");
		mmu->slots.attributes = NULL;
		free(some);
	}
	slot = slots_find(mmu, (umbra_gfn){0});
	slot->dirty = calloc(slot_words(slot), sizeof(*slot->dirty));
	assert_non_null(slot->dirty);
	found_text(&kit, "I-20 a page that is not marked may be written");
	memset(slot->dirty, 0xff, slot_words(slot) * sizeof(*slot->dirty));
	assert_clean(&kit);
	free(slot->dirty);
	slot->dirty = NULL;
	mmu->stats.pf_changed_pfn = 1;
	found_text(&kit, "I-17 a frame is mapped that is not the host's for the page");
	mmu->stats.pf_changed_pfn = 0;
	for (unsigned level = 0; level < 8; level++) {
		if (level >= 1 && level <= UMBRA_LEVEL_MAX)
			continue;
		page->role.level = level;
		found_text(&kit, "I-2 a level outside 1..5");
	}
	page->role.level = 1;
	assert_clean(&kit);
	page->gfn ^= 0x700; /* another bucket */
	found_text(&kit, "I-3 a page is not once in its bucket");
	page->gfn ^= 0x700;
	words = page->words;
	page->words.v = 0;
	found_text(&kit, "I-5 a leaf without its guest frame");
	page->words = words;
	slot = slots_find(mmu, (umbra_gfn){0});
	mirrored = slot->mirrored[2];
	mirrored[2] = 1;
	found_text(&kit, "I-8 a large leaf over a mirrored guest table");
	mirrored[2] = 0;
	mirrored[0] = 0;
	found_text(&kit, "I-8 a mirror is not counted in its region");
	mirrored[0] = 4;
	page->role.invalid = 1;
	found_text(&kit, "I-6 an entry leads to a zapped page");
	page->role.invalid = 0;
	assert_true(umbra_host_page_alloc(kit.host, 0, &stray));
	planted_text(&kit, parent_of(&kit, 8 * PAGE),
		     (*parent_of(&kit, 8 * PAGE) & ~0xffffffffff000ull) | stray.v,
		     "I-6 an entry leads to what is no table page");
	good = page->parents;
	page->parents.head = stray.v;
	found_text(&kit, "I-6 a parent that is no table page");
	page->parents.head = root->hpa.v + 8 * 77;
	found_text(&kit, "I-6 a parent does not lead here");
	page->parents = good;
	umbra_host_page_free(kit.host, stray);
	planted_text(&kit, (uint64_t *)(void *)(kit.bytes + PD + 16), 4 * MEG | 0x67,
		     "I-11 a leaf mirrors a guest table");
	/* One guest table with two sets of rights above it. */
	write64(&kit, PD + 24, PT | 5);
	resume(&kit, 6 * MEG + 8 * PAGE, 0);
	assert_int_equal(look(&kit, 6 * MEG + 8 * PAGE).at.page->gfn, page->gfn);
	planted_text(&kit, &look(&kit, 6 * MEG + 8 * PAGE).at.page->role.word, page->role.word,
		     "I-3 two pages with one identity");
	kit_close(&kit);

	open_with(&kit, UMBRA_PAGING_EPT);
	slot = slots_find(&kit.vm->mmu, (umbra_gfn){0});
	planted_text(&kit, &slot->pages, 600, "I-5 a leaf outside its slot");
	kit_close(&kit);
}

/* What lags is a last-level mirror, listed once, and all that leads to it is marked. */
static void i15_unsync(void **unused)
{
	struct page *pt, *pd, *root;
	struct pages *pages;
	struct kit kit;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	pages = &kit.vm->mmu.pages;
	pt = look(&kit, 8 * PAGE).at.page;
	pd = page_of(&kit.vm->mmu, (umbra_hpa){chain_first(&pt->parents)});
	root = kit.vcpu->own.root;
	/* Writes to PT by gva 5 << 12. */
	put64(&kit, PT + 8 * 5, PT | 7);
	resume(&kit, 5 * PAGE, W);
	assert_true(pt->unsync && pd->unsync_below && root->unsync_below);
	assert_clean(&kit);
	pd->unsync_below = 0;
	found_only(&kit, "I-15");
	pd->unsync_below = 1;
	root->unsync_below = 0;
	found_only(&kit, "I-15");
	root->unsync_below = 1;
	pages->unsync_count = 0;
	found_only(&kit, "I-15");
	pages->unsync_count = 2;
	pages->unsync[1] = pt;
	found_only(&kit, "I-15");
	pages->unsync_count = 1;
	assert_clean(&kit);
	/* Another page; then PT lags and nobody knows. */
	pd->unsync = 1;
	found_only(&kit, "I-15");
	pd->unsync = 0;
	pt->unsync = 0;
	kit_audit(&kit);
	assert_non_null(strstr(kit.found, "I-7 "));
	assert_non_null(strstr(kit.found, "I-15 "));
	pt->unsync = 1;
	assert_clean(&kit);
	kit_close(&kit);
}

static void i7_tracked(void **unused)
{
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		struct slot *slot;

		open_with(&kit, BOTH[i]);
		slot = slots_find(&kit.vm->mmu, (umbra_gfn){0});
		assert_true(slots_give_tracking(&kit.vm->mmu, slot));
		/* In a 4K page, and in the middle of a 2M one. */
		slot->tracked[8] = 1;
		found_only(&kit, "I-7");
		slot->tracked[8] = 0;
		slot->tracked[1024 + 77] = 1;
		found_only(&kit, "I-7");
		slot->tracked[1024 + 77] = 0;
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* An operation that ends without its flush. */
static void i16_flushes_owed(void **unused)
{
	struct edit edit;
	struct kit kit;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		open_with(&kit, BOTH[i]);
		edit = (struct edit){.mmu = &kit.vm->mmu};
		assert_true(table_clear(&edit, look(&kit, 8 * PAGE).at));
		assert_true(table_clear(&edit, look(&kit, 4 * MEG).at));
		found_only(&kit, "I-16");
		kit.flushes = 0;
		tlb_commit(&kit.vm->mmu, &edit.tlb);
		assert_int_equal(kit.flushes, 1);
		assert_clean(&kit);
		kit_close(&kit);
	}
}

/* ---- the past of an entry ---- */

struct past {
	unsigned findings, count;
	struct umbra_recent recent[16];
};

static void keep_past(void *context, const struct umbra_finding *finding)
{
	struct past *past = context;

	past->findings++;
	past->count = finding->recent_count;
	assert_in_range(past->count, 0, 15);
	memcpy(past->recent, finding->recent, past->count * sizeof(past->recent[0]));
}

/* What the one finding there is says about the past. */
static struct past past_of(struct kit *kit)
{
	struct past past = {0};

	assert_int_equal(umbra_audit(kit->vm, keep_past, &past), 1);
	assert_int_equal(past.findings, 1);
	for (unsigned i = 1; i < past.count; i++)
		assert_true(past.recent[i].ago < past.recent[i - 1].ago);
	return past;
}

static void recent_events(void **unused)
{
	struct kit kit;
	struct past past;
	uint64_t *entry, where, first, second, gone;
	struct table_at at;

	(void)unused;
	open_with(&kit, UMBRA_PAGING_SHADOW);
	/* Made, emptied by an emulated write, made again; other entries meanwhile. */
	at = look(&kit, 8 * PAGE).at;
	entry = entry_of(&kit, 8 * PAGE);
	where = at.page->hpa.v + 8 * at.index;
	first = *entry;
	write64(&kit, PT + 72, 9 * PAGE | 7);
	write64(&kit, PT + 64, 10 * PAGE | 7);
	gone = *entry;
	resume(&kit, 9 * PAGE, W);
	resume(&kit, 8 * PAGE, 0);
	second = *entry;
	*entry |= 1ull << 46;
	past = past_of(&kit);
	assert_in_range(past.count, 5, 8);
	/* The last four: cleared, written, flushed, set; nothing of entry 9. */
	assert_int_equal(past.recent[past.count - 1].event.kind, UMBRA_TRACE_SET_SPTE);
	assert_int_equal(past.recent[past.count - 1].event.c, second);
	assert_int_equal(past.recent[past.count - 2].event.kind, UMBRA_TRACE_FLUSH);
	assert_int_equal(past.recent[past.count - 3].event.kind, UMBRA_TRACE_WRITE);
	assert_int_equal(past.recent[past.count - 3].event.a, PT + 64);
	assert_int_equal(past.recent[past.count - 4].event.kind, UMBRA_TRACE_SET_SPTE);
	assert_int_equal(past.recent[past.count - 4].event.b, first);
	assert_int_equal(past.recent[past.count - 4].event.c, gone);
	for (unsigned i = 0; i < past.count; i++) {
		if (past.recent[i].event.kind == UMBRA_TRACE_SET_SPTE)
			assert_int_equal(past.recent[i].event.a, where);
		if (past.recent[i].event.kind == UMBRA_TRACE_WRITE)
			assert_int_equal(past.recent[i].event.a, PT + 64);
	}
	*entry = second;
	/* More than is kept: the newest stay. */
	for (uint64_t i = 0; i < 20; i++) {
		write64(&kit, PT + 64, (20 + i) * PAGE | 7);
		resume(&kit, 8 * PAGE, W);
	}
	second = *entry;
	*entry |= 1ull << 46;
	past = past_of(&kit);
	assert_int_equal(past.count, 8);
	assert_int_equal(past.recent[7].event.c, second);
	assert_int_equal(past.recent[7].ago, 0);
	/* And are found for as long as they are remembered. */
	for (uint64_t i = 1; i < MMU_RECENT - 24; i++)
		write64(&kit, PT + 72, i << 12 | 2);
	past = past_of(&kit);
	assert_int_equal(past.count, 8);
	/* (The first of those writes cleared its own entry, and flushed.) */
	assert_int_equal(past.recent[7].event.kind, UMBRA_TRACE_FLUSH);
	assert_int_equal(past.recent[6].event.c, second);
	assert_true(past.recent[6].ago > MMU_RECENT - 32);
	*entry = second;
	/* A finding about a page has the page's events; one about a count has none. */
	at.page->hashed = 0;
	past = past_of(&kit);
	at.page->hashed = 1;
	for (unsigned i = 0; i < past.count; i++)
		assert_int_not_equal(past.recent[i].event.kind, UMBRA_TRACE_ROOT);
	kit.vm->mmu.stats.pages_4k++;
	assert_int_equal(past_of(&kit).count, 0);
	kit.vm->mmu.stats.pages_4k--;
	/* Long ago: forgotten. */
	for (uint64_t i = 0; i < MMU_RECENT; i++) {
		write64(&kit, PT + 72, i << 12 | 2);
		write64(&kit, PT + 72, 0);
	}
	*entry |= 1ull << 46;
	assert_int_equal(past_of(&kit).count, 0);
	*entry = second;
	assert_clean(&kit);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(i1_roots),
		cmocka_unit_test(i2_pages),
		cmocka_unit_test(i3_hash),
		cmocka_unit_test(i4_slots),
		cmocka_unit_test(i5_reverse_map),
		cmocka_unit_test(i6_links),
		cmocka_unit_test(i7_mirrored_writable),
		cmocka_unit_test(i8_large_over_mirror),
		cmocka_unit_test(i10_tdp_parents),
		cmocka_unit_test(i11_mirrors),
		cmocka_unit_test(i12_writable_state),
		cmocka_unit_test(i13_counters),
		cmocka_unit_test(i14_reserved),
		cmocka_unit_test(i15_unsync),
		cmocka_unit_test(i7_tracked),
		cmocka_unit_test(i16_flushes_owed),
		cmocka_unit_test(recent_events),
		cmocka_unit_test(every_finding),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
