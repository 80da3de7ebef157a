/* SPDX-License-Identifier: MIT */
/*
 * fuzz_mutate.c - random programs that edit the tables of a memory image.
 *
 * A program looks through a small window, so that all that a CPU may know of it can
 * be gathered (docs/FUZZING.md):
 *
 *	spots      a few pages, and their neighbours, of tables taken at random
 *	targets    the entries on the ways from the root to these pages
 *	spare      pages of zeros: a second root, tables to split large pages into
 *
 * The guest edits a target by storing through whatever linear address maps the table
 * (Linux maps all of its memory), or a device does. New values come from the old one,
 * from other entries of the table, or from other targets of the level, so that most are
 * legal. Every so often targets are mended, and each vCPU flushes everything, which
 * bounds what it may know.
 *
 * Invariant: a program follows from the image, the CPU and the seed.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/fuzz_parts.h"
#include "lab/random.h"

#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define G 0x100ull
#define NX (1ull << 63)
#define KEEP (1ull << 63) /* of MOV CR3 */
#define FLUSH_EVERY 120
#define SPOTS_MAX 4
#define SPARES 4
#define PAGES_MAX 64
#define TARGETS_MAX 128
#define KNOWN_MAX 1024

/* An entry, and one of the addresses that it maps. */
struct target {
	uint64_t gpa, gva;
	unsigned level;
};

struct maker {
	struct fuzz_program *program;
	const struct fuzz_image *image;
	const struct mode *mode;
	uint64_t random;
	bool failed;
	/** Of 4 edits, how many are followed by their flush. */
	unsigned discipline;
	uint64_t page[PAGES_MAX];
	unsigned page_count;
	struct target target[TARGETS_MAX];
	unsigned target_count;
	/** Pages without anything in them; the first is the second root. */
	uint64_t spare[SPARES];
	unsigned spare_count;
	/** What entries hold by now, as far as the stores that change them succeed. */
	struct known {
		uint64_t gpa, value;
	} known[KNOWN_MAX];
	unsigned known_count;
};

static uint64_t below(struct maker *m, uint64_t limit)
{
	return random_below(&m->random, limit);
}

static bool chance(struct maker *m, unsigned in)
{
	return !below(m, in);
}

static void emit(struct maker *m, struct fuzz_step step)
{
	m->failed |= !fuzz_add(m->program, &step);
}

static unsigned vcpu(struct maker *m)
{
	return (unsigned)below(m, m->program->vcpus);
}

static unsigned entry_size(const struct maker *m)
{
	return 1u << m->mode->entry_shift;
}

/* ---- entries ---- */

/* What the image holds at @gpa; 0 where it holds nothing. */
static uint64_t original(const struct maker *m, uint64_t gpa)
{
	const uint8_t *bytes = fuzz_image_bytes(m->image, gpa, entry_size(m));
	uint64_t entry = 0;

	if (bytes)
		memcpy(&entry, bytes, entry_size(m));
	return entry;
}

static uint64_t entry_at(const struct maker *m, uint64_t gpa)
{
	for (unsigned i = 0; i < m->known_count; i++)
		if (m->known[i].gpa == gpa)
			return m->known[i].value;
	return original(m, gpa);
}

static void learn(struct maker *m, uint64_t gpa, uint64_t value)
{
	unsigned i = 0;

	while (i < m->known_count && m->known[i].gpa != gpa)
		i++;
	if (i == KNOWN_MAX)
		return;
	m->known[i] = (struct known){gpa, value};
	if (i == m->known_count)
		m->known_count++;
}

static bool is_table_page(const struct maker *m, uint64_t gpa)
{
	unsigned low = 0, high = m->image->table_count;

	gpa &= ~(UMBRA_PAGE_SIZE - 1ull);
	while (low < high) {
		const unsigned middle = (low + high) / 2;

		if (m->image->table[middle] < gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low < m->image->table_count && m->image->table[low] == gpa;
}

static uint64_t slot_of(const struct maker *m, unsigned level, uint64_t gva)
{
	const struct mode_level *l = &m->mode->level[level];

	return (gva >> l->shift & l->index_mask) << m->mode->entry_shift;
}

static bool is_leaf(const struct maker *m, unsigned level, uint64_t entry)
{
	return level == 1 || entry & m->mode->level[level].large;
}

static uint64_t leaf_address(const struct maker *m, unsigned level, uint64_t entry)
{
	const struct mode_level *l = &m->mode->level[level];

	return (entry & l->leaf_address) | (entry & l->high) << l->high_shift;
}

/* ---- the window ---- */

static void add_target(struct maker *m, uint64_t gpa, unsigned level, uint64_t gva)
{
	for (unsigned i = 0; i < m->target_count; i++)
		if (m->target[i].gpa == gpa && m->target[i].level == level)
			return;
	if (m->target_count < TARGETS_MAX && fuzz_image_bytes(m->image, gpa, entry_size(m)))
		m->target[m->target_count++] = (struct target){gpa, gva, level};
}

/* The entries from the root to @gva, as the image has them. */
static void add_path(struct maker *m, uint64_t gva)
{
	uint64_t table = m->image->regs.cr3 & m->mode->root_address;

	for (unsigned level = m->mode->top; level; level--) {
		const struct mode_level *l = &m->mode->level[level];
		const uint64_t gpa = table + slot_of(m, level, gva), entry = original(m, gpa);

		add_target(m, gpa, level, gva);
		if (!(entry & l->present) || is_leaf(m, level, entry))
			return;
		table = entry & l->table_address;
	}
}

static void add_page(struct maker *m, uint64_t gva)
{
	if (m->mode->entry_shift == 2 || m->mode->format->input_bits == 32)
		gva &= UINT32_MAX;
	for (unsigned i = 0; i < m->page_count; i++)
		if (m->page[i] == gva)
			return;
	if (m->page_count == PAGES_MAX)
		return;
	m->page[m->page_count++] = gva;
	add_path(m, gva);
}

/* A table is as likely as any other, however much it maps; those of user programs, which
 * are few, are taken more often. */
static const struct fuzz_leaf *any_leaf(struct maker *m)
{
	const struct fuzz_image *image = m->image;
	unsigned group = (unsigned)below(m, image->group_count), first, end;

	if (image->user_count && chance(m, 3))
		group = image->user_group[below(m, image->user_count)];
	first = image->group[group];
	end = image->group[group + 1];
	return &image->leaf[first + below(m, end - first)];
}

static void add_spot(struct maker *m)
{
	const struct fuzz_leaf *leaf = any_leaf(m);
	const uint64_t pages = 1ull << (leaf->shift - UMBRA_PAGE_SHIFT);
	const uint64_t gva = leaf->gva + (below(m, pages) << UMBRA_PAGE_SHIFT);

	add_page(m, gva);
	add_page(m, gva + UMBRA_PAGE_SIZE);
	if (chance(m, 2))
		add_page(m, gva - UMBRA_PAGE_SIZE);
	if (chance(m, 2)) /* the next entry, whatever its size */
		add_page(m, leaf->gva + (1ull << leaf->shift));
	if (leaf->shift > UMBRA_PAGE_SHIFT)
		add_page(m, leaf->gva + (below(m, pages) << UMBRA_PAGE_SHIFT));
}

static bool is_empty(const struct fuzz_image *image, uint64_t gpa)
{
	static const uint8_t zeros[UMBRA_PAGE_SIZE];
	const uint8_t *bytes = fuzz_image_bytes(image, gpa, UMBRA_PAGE_SIZE);

	return bytes && !memcmp(bytes, zeros, UMBRA_PAGE_SIZE);
}

/* Below 4 GiB, since PAE's root must be; as many as are found quickly. */
static void find_spares(struct maker *m)
{
	for (unsigned tries = 0; tries < 256 && m->spare_count < SPARES; tries++) {
		const struct lab_memory *range = &m->image->memory[below(m, m->image->count)];
		const uint64_t gpa = range->base.v + (below(m, range->size >> UMBRA_PAGE_SHIFT)
						      << UMBRA_PAGE_SHIFT);
		bool again = gpa > UINT32_MAX || is_table_page(m, gpa);

		for (unsigned i = 0; i < m->spare_count; i++)
			again |= m->spare[i] == gpa;
		if (!again && is_empty(m->image, gpa))
			m->spare[m->spare_count++] = gpa;
	}
}

/* ---- steps ---- */

static uint64_t any_page(struct maker *m)
{
	return m->page[below(m, m->page_count)];
}

static const struct target *any_target(struct maker *m)
{
	const struct target *t = &m->target[below(m, m->target_count)];

	/* Most edits are of leaves. */
	for (unsigned i = 0; i < 2 && !is_leaf(m, t->level, entry_at(m, t->gpa)); i++)
		t = &m->target[below(m, m->target_count)];
	return t;
}

static void access_at(struct maker *m, unsigned cpu, uint64_t gva)
{
	static const uint8_t kinds[] = {
		0, UMBRA_ACCESS_USER, 0, UMBRA_ACCESS_USER, UMBRA_ACCESS_AC, UMBRA_ACCESS_IMPLICIT,
	};
	static const uint8_t how[] = {FUZZ_READ, FUZZ_WRITE, FUZZ_WRITE, FUZZ_READ, FUZZ_FETCH};
	struct fuzz_step s = {.vcpu = (uint8_t)cpu};

	s.op = how[below(m, sizeof(how))];
	s.access = s.op == FUZZ_FETCH ? kinds[below(m, 2)] : kinds[below(m, sizeof(kinds))];
	s.size = (uint8_t)(1u << below(m, 4));
	s.a = (gva & ~(UMBRA_PAGE_SIZE - 1ull)) + (below(m, 512) << 3);
	if (chance(m, 30))
		s.a = (s.a & ~0xfffull) + 0xffd;
	if (s.op == FUZZ_WRITE)
		s.b = below(m, 1u << 16);
	emit(m, s);
}

static void step_access(struct maker *m)
{
	const unsigned cpu = vcpu(m);

	access_at(m, cpu, any_page(m));
}

static void invlpg(struct maker *m, unsigned cpu, uint64_t gva)
{
	emit(m, (struct fuzz_step){.op = FUZZ_INVLPG, .vcpu = (uint8_t)cpu, .a = gva});
}

static void flush_all(struct maker *m, unsigned cpu)
{
	emit(m, (struct fuzz_step){.op = FUZZ_INVPCID, .vcpu = (uint8_t)cpu, .size = 2});
}

static void set(struct maker *m, uint64_t gpa, uint64_t value)
{
	learn(m, gpa, value);
	emit(m, (struct fuzz_step){
			.op = FUZZ_SET, .size = (uint8_t)entry_size(m), .a = gpa, .b = value});
}

/* An address through which a supervisor may store to @gpa, as the image has it. */
static bool way_to(const struct maker *m, uint64_t gpa, uint64_t *gva)
{
	const struct fuzz_image *image = m->image;
	unsigned low = 0, high = image->way_count;

	while (low < high) {
		const unsigned middle = (low + high) / 2;

		if (image->way[middle].gpa <= gpa)
			low = middle + 1;
		else
			high = middle;
	}
	/* Small pages may lie between it and the start of a large one. */
	for (unsigned i = 0; i < 1024 && low; i++) {
		const struct fuzz_leaf *leaf = &image->leaf[image->way[--low].leaf];

		if (gpa - leaf->gpa >= 1ull << leaf->shift)
			continue;
		*gva = leaf->gva + (gpa - leaf->gpa);
		return true;
	}
	return false;
}

/* The guest's own store to a table, or a device's. */
static void edit(struct maker *m, unsigned cpu, uint64_t gpa, uint64_t value)
{
	uint64_t gva;

	if (chance(m, 4) || !way_to(m, gpa, &gva)) {
		set(m, gpa, value);
		return;
	}
	learn(m, gpa, value);
	emit(m, (struct fuzz_step){.op = FUZZ_WRITE,
				   .vcpu = (uint8_t)cpu,
				   .size = (uint8_t)entry_size(m),
				   .a = gva,
				   .b = value});
}

/* ---- new values ---- */

static uint64_t turned(struct maker *m, uint64_t entry)
{
	static const uint64_t bits[] = {P, P, W, W, W, U, U, A, A, D, D, G};
	const uint64_t choice = below(m, 18);

	if (choice < sizeof(bits) / sizeof(bits[0]))
		return entry ^ bits[choice];
	if (choice < 15)
		return entry_size(m) == 8 ? entry ^ NX : entry ^ W;
	if (choice == 15)
		return entry & ~(A | D);
	if (choice == 16)
		return entry_size(m) == 8 ? entry ^ 1ull << (59 + below(m, 4)) : entry ^ G;
	return entry ^ 1ull << below(m, 8 * entry_size(m)); /* reserved bits too */
}

/* Another entry of the same table. */
static uint64_t neighbour(struct maker *m, const struct target *t)
{
	const struct mode_level *l = &m->mode->level[t->level];
	const uint64_t table = t->gpa - slot_of(m, t->level, t->gva);
	uint64_t entry = 0;

	for (unsigned i = 0; i < 8 && !entry; i++)
		entry = entry_at(m,
				 table + (below(m, l->index_mask + 1ull) << m->mode->entry_shift));
	return entry;
}

/* The entry of another target of the level. */
static uint64_t relinked(struct maker *m, const struct target *t)
{
	for (unsigned i = 0; i < 16; i++) {
		const struct target *other = &m->target[below(m, m->target_count)];

		if (other->level == t->level && other->gpa != t->gpa)
			return entry_at(m, other->gpa);
	}
	return neighbour(m, t);
}

/* Another frame, the rest as it was. */
static uint64_t moved(struct maker *m, const struct target *t, uint64_t entry)
{
	const struct mode_level *l = &m->mode->level[t->level];
	const uint64_t address = is_leaf(m, t->level, entry) ? l->leaf_address : l->table_address;
	const uint64_t other = chance(m, 2) ? neighbour(m, t) : relinked(m, t);

	return (entry & ~address) | (other & address);
}

/* Not present, with what an operating system notes in such entries. */
static uint64_t swapped_out(struct maker *m)
{
	const uint64_t entry = random_next(&m->random) & ~P;

	return entry_size(m) == 8 ? entry : entry & UINT32_MAX;
}

/* A large page becomes a table of smaller ones: those around the window's pages. */
static uint64_t split(struct maker *m, unsigned cpu, const struct target *t, uint64_t entry)
{
	const struct mode_level *l = &m->mode->level[t->level],
				*under = &m->mode->level[t->level - 1];
	const uint64_t frame = leaf_address(m, t->level, entry), inside = (1ull << l->shift) - 1;
	const uint64_t flags = entry & (P | W | U | A | D | G | (entry_size(m) == 8 ? NX : 0));
	uint64_t table;

	if (m->spare_count < 2)
		return entry ^ W;
	table = m->spare[1 + below(m, m->spare_count - 1)];
	for (unsigned i = 0; i < m->page_count; i++) {
		const uint64_t gva = m->page[i], piece = (gva & inside) >> under->shift;

		if ((gva ^ t->gva) & ~inside)
			continue;
		edit(m, cpu, table + slot_of(m, t->level - 1, gva),
		     (frame + (piece << under->shift)) | flags | (t->level > 2 ? PS : 0));
	}
	return table | P | W | U | A;
}

/* A table becomes the large page that one of its entries lies in. */
static uint64_t merged(struct maker *m, const struct target *t, uint64_t entry)
{
	const struct mode_level *l = &m->mode->level[t->level];
	const uint64_t table = entry & l->table_address;
	const uint64_t lower = entry_at(m, table + slot_of(m, t->level - 1, t->gva));

	return (leaf_address(m, t->level - 1, lower) & l->leaf_address) | l->large |
	       (lower & (P | W | U | A | D | G)) | P;
}

static uint64_t new_value(struct maker *m, unsigned cpu, const struct target *t)
{
	const struct mode_level *l = &m->mode->level[t->level];
	const uint64_t old = entry_at(m, t->gpa);
	const bool leaf = is_leaf(m, t->level, old);

	/* A PDPTE of PAE: nothing but its frame and P may be set. */
	if (m->mode->format->root_registers && t->level == m->mode->top)
		return chance(m, 3) ? old ^ P : chance(m, 2) ? relinked(m, t) : original(m, t->gpa);
	switch (below(m, 16)) {
	case 0:
	case 1:
	case 2:
	case 3: return original(m, t->gpa);
	case 4:
	case 5: return moved(m, t, old);
	case 6: return neighbour(m, t);
	case 7: return relinked(m, t);
	case 8: return leaf ? swapped_out(m) : 0;
	case 9:
	case 10:
		if (l->large && old & l->present && leaf)
			return split(m, cpu, t, old);
		if (l->large && old & l->present)
			return merged(m, t, old);
		return turned(m, old);
	default: return turned(m, old);
	}
}

/* ---- more steps ---- */

/* What the manuals ask for after an edit, on some CPUs perhaps forgotten. */
static void follow(struct maker *m, unsigned cpu, const struct target *t)
{
	if (below(m, 4) >= m->discipline) {
		for (uint64_t i = below(m, 4); i; i--)
			access_at(m, chance(m, 4) ? vcpu(m) : cpu, t->gva);
		return;
	}
	for (unsigned i = 0; i < m->program->vcpus; i++) {
		if (i != cpu && chance(m, 3))
			continue;
		if (t->level == 1 && !chance(m, 8))
			invlpg(m, i, t->gva);
		else
			flush_all(m, i);
	}
	if (chance(m, 2))
		access_at(m, cpu, t->gva);
}

static void step_edit(struct maker *m)
{
	const unsigned cpu = vcpu(m);
	const struct target *t = any_target(m);

	edit(m, cpu, t->gpa, new_value(m, cpu, t));
	follow(m, cpu, t);
}

/* Two entries change places. */
static void step_exchange(struct maker *m)
{
	const unsigned cpu = vcpu(m);
	const struct target *t = any_target(m), *other = any_target(m);
	uint64_t value;

	for (unsigned i = 0; i < 8 && (other->level != t->level || other == t); i++)
		other = any_target(m);
	if (other->level != t->level)
		return;
	value = entry_at(m, t->gpa);
	edit(m, cpu, t->gpa, entry_at(m, other->gpa));
	edit(m, cpu, other->gpa, value);
	follow(m, cpu, t);
	follow(m, cpu, other);
}

/* Either root; with PCID, a number and whether to keep what is known of it. */
static uint64_t root(struct maker *m)
{
	const uint64_t first = m->image->regs.cr3, pcid = 0xfff;
	uint64_t cr3 = m->spare_count && chance(m, 3) ? m->spare[0] | (first & pcid) : first;

	if (m->mode->format->input_bits > 32 && chance(m, 3))
		cr3 = (cr3 & ~pcid) | below(m, 3);
	if (m->mode->format->input_bits > 32 && chance(m, 2))
		cr3 |= KEEP;
	return cr3;
}

static void step_flush(struct maker *m)
{
	const unsigned cpu = vcpu(m);
	struct fuzz_step s = {.op = FUZZ_CR3, .vcpu = (uint8_t)cpu};

	switch (below(m, 8)) {
	case 0:
	case 1:
	case 2: invlpg(m, cpu, any_page(m)); return;
	case 3:
		s.op = FUZZ_INVPCID;
		s.size = (uint8_t)below(m, 4);
		s.b = below(m, 3);
		s.a = any_page(m);
		break;
	case 4:
		s.op = FUZZ_CR4;
		s.a = UMBRA_CR4_PGE;
		emit(m, s);
		break;
	default: s.a = root(m);
	}
	emit(m, s);
}

/* Used, changed, used, then something that may or must flush, used. */
static void step_stale(struct maker *m)
{
	const unsigned cpu = vcpu(m);
	const struct target *t = any_target(m);
	const uint64_t gva = t->gva;

	access_at(m, cpu, gva);
	edit(m, cpu, t->gpa, new_value(m, cpu, t));
	access_at(m, cpu, gva);
	if (chance(m, 2))
		invlpg(m, cpu, gva + below(m, UMBRA_PAGE_SIZE));
	else
		step_flush(m);
	access_at(m, cpu, gva);
	access_at(m, vcpu(m), gva);
}

static void step_register(struct maker *m)
{
	static const uint64_t turns[] = {UMBRA_CR4_SMEP, UMBRA_CR4_SMAP, UMBRA_CR4_PGE,
					 UMBRA_CR4_PGE,  UMBRA_CR4_PKE,  UMBRA_CR4_PCIDE};
	struct fuzz_step s = {.vcpu = (uint8_t)vcpu(m)};

	switch (below(m, 4)) {
	case 0:
		s.op = FUZZ_CR0;
		s.a = UMBRA_CR0_WP;
		break;
	case 1:
		s.op = FUZZ_KEYS;
		s.a = below(m, 256);
		break;
	default: s.op = FUZZ_CR4; s.a = turns[below(m, sizeof(turns) / sizeof(turns[0]))];
	}
	emit(m, s);
}

static void step_embedder(struct maker *m)
{
	struct fuzz_step s = {.op = FUZZ_ZAP};

	switch (below(m, 8)) {
	case 0: break;
	case 1:
	case 2:
		s.op = FUZZ_SHRINK;
		s.a = 1 + below(m, 8);
		break;
	case 3:
	case 4:
		s.op = FUZZ_UNPROTECT;
		s.a = any_target(m)->gpa & ~(UMBRA_PAGE_SIZE - 1ull);
		break;
	default:
		s.op = chance(m, 3) ? FUZZ_TRACK : FUZZ_UNTRACK;
		s.a = any_target(m)->gpa & ~(UMBRA_PAGE_SIZE - 1ull);
	}
	emit(m, s);
}

/* The way to the window is again what it was. */
static void step_mend(struct maker *m)
{
	for (unsigned i = 0; i < m->target_count; i++) {
		const uint64_t gpa = m->target[i].gpa, entry = original(m, gpa);

		if (entry_at(m, gpa) != entry)
			set(m, gpa, entry);
	}
}

static void step(struct maker *m)
{
	const uint64_t choice = below(m, 100);

	if (choice < 48)
		step_access(m);
	else if (choice < 56)
		step_stale(m);
	else if (choice < 57)
		step_mend(m);
	else if (choice < 59)
		step_exchange(m);
	else if (choice < 78)
		step_edit(m);
	else if (choice < 91)
		step_flush(m);
	else if (choice < 97)
		step_register(m);
	else
		step_embedder(m);
}

/* ---- the beginning ---- */

static void make_regs(struct maker *m)
{
	const struct umbra_regs *regs = &m->image->regs;

	for (unsigned i = 0; i < m->program->vcpus; i++)
		emit(m, (struct fuzz_step){.op = FUZZ_REGS,
					   .vcpu = (uint8_t)i,
					   .a = regs->cr3,
					   .b = regs->pkru | (uint64_t)regs->pkrs << 32,
					   .cr0 = regs->cr0,
					   .cr4 = regs->cr4,
					   .efer = regs->efer});
}

/* A copy of the root, as far as the window goes. */
static void make_root(struct maker *m)
{
	const unsigned top = m->mode->top, count = m->target_count;

	for (unsigned i = 0; m->spare_count && i < count; i++) {
		const struct target *t = &m->target[i];
		const uint64_t gpa = m->spare[0] + slot_of(m, top, t->gva);
		uint64_t gva;

		if (t->level != top)
			continue;
		set(m, gpa, original(m, t->gpa));
		add_target(m, gpa, top, t->gva);
		/* The guest stores through the same addresses under this root. */
		if (way_to(m, t->gpa, &gva))
			set(m, m->spare[0] + slot_of(m, top, gva),
			    original(m, (m->image->regs.cr3 & m->mode->root_address) +
						slot_of(m, top, gva)));
	}
}

bool fuzz_mutate(struct fuzz_program *program, const struct fuzz_image *image, uint64_t seed,
		 unsigned steps)
{
	struct maker *m = calloc(1, sizeof(*m));
	const unsigned spots = 2;
	unsigned flushed;
	bool ok;

	if (!m)
		return false;
	m->program = program;
	m->image = image;
	m->mode = &image->mode;
	m->random = seed;
	program->vcpus = 1 + (unsigned)below(m, 2);
	m->discipline = 1 + (unsigned)below(m, 4);
	for (uint64_t i = spots + below(m, SPOTS_MAX - spots + 1); i; i--)
		add_spot(m);
	find_spares(m);
	make_regs(m);
	make_root(m);
	flushed = program->count;
	while (program->count < steps && !m->failed) {
		step(m);
		if (program->count - flushed < FLUSH_EVERY)
			continue;
		flushed = program->count;
		for (unsigned i = 0; i < program->vcpus; i++)
			flush_all(m, i);
	}
	ok = !m->failed;
	free(m);
	return ok;
}
