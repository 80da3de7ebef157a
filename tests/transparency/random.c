/* SPDX-License-Identifier: MIT */
/*
 * random.c - random walks: core's walker against the strict model.
 *
 *	random [SEED [COUNT]]
 *
 * The work is cut in batches. A batch is a CPU, a mode, perhaps a second stage, and
 * tables in which every entry is random but, in most, likely to be valid; then a
 * few hundred accesses, between which entries change. A batch depends on its own
 * seed only, so that a failing one can be repeated alone:
 *
 *	random 0xBATCHSEED 1
 *
 * The tables of level L lie in pages pool(L)..pool(L)+2 for the guest's, and in
 * other pages for the second stage's; their leaves map anything onto anything.
 */
#include "tests/transparency/duo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512u
#define POOL 3u /* pages of a level */
#define GUEST_POOL(level) (1u + POOL * ((level)-1))
#define NESTED_POOL(level) (32u + POOL * ((level)-1))

enum paging { NONE, P32, PAE, P4, P5, EPT4, EPT5 };
static const unsigned tops[] = {0, 2, 3, 4, 5, 4, 5};

static struct {
	struct duo duo;
	uint64_t random;
	enum paging guest, nested;
	unsigned noise; /* in 1024: how much of an entry is wrong */
	uint64_t tangled;
	uint64_t counts[3][UMBRA_EVENT_KINDS]; /* by second stage and event */
} r;

static uint64_t pick(uint64_t below)
{
	return duo_random(&r.random) % below;
}

/* True in @of1024 of 1024 cases. */
static bool chance(unsigned of1024)
{
	return pick(1024) < of1024;
}

static uint64_t bit_if(unsigned of1024, unsigned bit)
{
	return chance(of1024) ? 1ull << bit : 0;
}

/* ---- entries ---- */

/* A page for an entry of @level to point to. */
static uint64_t target(bool nested, unsigned level, bool leaf)
{
	const uint64_t width = r.duo.setup.cpu.maxphyaddr;

	if (chance(r.noise / 4))
		return pick(DUO_PAGES) << 12;
	if (!leaf)
		return (uint64_t)((nested ? NESTED_POOL(level - 1) : GUEST_POOL(level - 1)) +
				  pick(POOL))
		       << 12;
	/* A leaf of the second stage maps some table of the guest. */
	if (nested || chance(512))
		return (1 + pick(31)) << 12;
	return duo_random(&r.random) & ((1ull << width) - 1) & ~0xfffull;
}

static uint64_t paging_entry(enum paging paging, unsigned level, bool nested)
{
	const bool can_be_large = (level == 2 || (level == 3 && paging >= P4));
	const bool large = can_be_large && chance(100);
	uint64_t entry;

	if (paging == PAE && level == 3)
		return target(nested, level, false) | bit_if(1000, 0) |
		       bit_if(r.noise / 4, (unsigned)pick(64));
	entry = large ? 0 : target(nested, level, level == 1);
	if (large && !nested && chance(512))
		entry = target(nested, 1, true) & ~((1ull << (level == 2 ? 22 : 30)) - 1);
	entry |= bit_if(1024 - r.noise, 0) | bit_if(1024 - 2 * r.noise, 1) |
		 bit_if(1024 - 2 * r.noise, 2) | bit_if(512, 5) | bit_if(512, 6) | bit_if(100, 9);
	entry |= large ? 1 << 7 : 0;
	entry |= level == 1 ? bit_if(100, 7) : 0;
	entry |= bit_if(r.noise, 63) | bit_if(100, 3) | bit_if(100, 4);
	if (large)
		entry |= bit_if(200, 12) | bit_if(paging == P32 ? 300 : 0, 13 + (unsigned)pick(8));
	if (paging >= P4)
		entry |= pick(4) ? 0 : pick(16) << 59;
	/* and anything at all */
	return entry ^ bit_if(r.noise, (unsigned)pick(64));
}

static uint64_t ept_entry(unsigned level)
{
	const bool large = (level == 2 || level == 3) && chance(100);
	const bool leaf = large || level == 1;
	uint64_t entry = large ? 0 : target(true, level, leaf);

	entry |= bit_if(1024 - r.noise, 0) | bit_if(1024 - 2 * r.noise, 1) |
		 bit_if(1024 - 2 * r.noise, 2) | bit_if(1024 - 2 * r.noise, 10);
	entry |= bit_if(512, 8) | bit_if(512, 9) | bit_if(100, 11) | bit_if(100, 63);
	entry |= large ? 1 << 7 : 0;
	if (leaf)
		entry |= (chance(r.noise) ? pick(8) : 6) << 3 | bit_if(100, 6);
	return entry ^ bit_if(r.noise, (unsigned)pick(64));
}

static unsigned entry_size(enum paging paging)
{
	return paging == P32 ? 4 : 8;
}

static void change(bool nested, unsigned level, unsigned page, unsigned index)
{
	const enum paging paging = nested ? r.nested : r.guest;
	const unsigned size = entry_size(paging);
	const unsigned at = ((nested ? NESTED_POOL(level) : GUEST_POOL(level)) + page) * 4096;
	const uint64_t entry =
		paging >= EPT4 ? ept_entry(level) : paging_entry(paging, level, nested);

	duo_put(&r.duo, at + index * size, entry, size);
}

static void fill(bool nested)
{
	const enum paging paging = nested ? r.nested : r.guest;

	for (unsigned level = 1; level <= tops[paging]; level++) {
		for (unsigned page = 0; page < POOL; page++) {
			for (unsigned i = 0; i < 4096 / entry_size(paging); i++)
				change(nested, level, page, i);
		}
	}
}

/* ---- machines ---- */

static struct umbra_cpu random_cpu(bool amd)
{
	static const uint8_t widths[] = {36, 39, 40, 45, 46, 48, 51, 52};
	struct umbra_cpu cpu = {.vendor = amd ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL};

	cpu.maxphyaddr = widths[pick(sizeof(widths))];
	cpu.features = UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT |
		       UMBRA_CPU_SMEP | UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_LA57 |
		       UMBRA_CPU_NX | UMBRA_CPU_LM;
	cpu.features |= chance(700) ? UMBRA_CPU_PSE36 : 0;
	cpu.features |= chance(700) ? UMBRA_CPU_1G : 0;
	cpu.features |= chance(300) ? UMBRA_CPU_SHSTK : 0;
	if (amd) {
		cpu.features |= UMBRA_CPU_GMET | UMBRA_CPU_ROGPT | UMBRA_CPU_REWALK;
		cpu.features |= chance(700) ? UMBRA_CPU_BIT8_MBZ : 0;
		cpu.features |= chance(700) ? UMBRA_CPU_PDPTE_MEMORY : 0;
		return cpu;
	}
	cpu.features |= UMBRA_CPU_PKS | UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_LEVEL5 | UMBRA_CPU_MBEC;
	cpu.features |= chance(900) ? UMBRA_CPU_EPT_2M : 0;
	cpu.features |= chance(700) ? UMBRA_CPU_EPT_1G : 0;
	cpu.features |= chance(512) ? UMBRA_CPU_EPT_EXECONLY : 0;
	cpu.features |= chance(512) ? UMBRA_CPU_EPT_ADVINFO : 0;
	if (chance(50))
		cpu.features &= ~UMBRA_CPU_PAT;
	return cpu;
}

/* Registers that select @paging. */
static struct umbra_regs mode_regs(enum paging paging)
{
	struct umbra_regs regs = {.cr0 = UMBRA_CR0_PE};

	if (paging != NONE)
		regs.cr0 |= UMBRA_CR0_PG;
	if (paging >= PAE)
		regs.cr4 |= UMBRA_CR4_PAE;
	if (paging == P5)
		regs.cr4 |= UMBRA_CR4_LA57;
	if (paging >= P4)
		regs.efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	regs.cr4 |= chance(700) ? UMBRA_CR4_PSE : 0;
	regs.efer |= chance(700) ? UMBRA_EFER_NXE : 0;
	return regs;
}

static struct umbra_regs random_regs(const struct umbra_cpu *cpu)
{
	struct umbra_regs regs = mode_regs(r.guest);

	regs.cr4 |= UMBRA_CR4_PGE;
	regs.cr4 |= chance(512) ? UMBRA_CR4_SMEP : 0;
	regs.cr4 |= chance(512) ? UMBRA_CR4_SMAP : 0;
	regs.cr4 |= chance(400) ? UMBRA_CR4_PKE : 0;
	regs.cr4 |= (cpu->features & UMBRA_CPU_PKS) && chance(400) ? UMBRA_CR4_PKS : 0;
	regs.cr0 |= chance(700) ? UMBRA_CR0_WP : 0;
	/* H-13 */
	if ((cpu->features & UMBRA_CPU_SHSTK) && (regs.cr0 & UMBRA_CR0_WP) && chance(700))
		regs.cr4 |= UMBRA_CR4_CET;
	regs.pkru = chance(512) ? (uint32_t)duo_random(&r.random) : 0;
	regs.pkrs = chance(512) ? (uint32_t)duo_random(&r.random) : 0;
	if (r.guest != NONE)
		regs.cr3 = (GUEST_POOL(tops[r.guest]) + pick(POOL)) << 12;
	if (r.guest == PAE) {
		regs.cr3 |= pick(128) << 5;
		for (unsigned i = 0; i < 4; i++)
			regs.pdpte[i] = (GUEST_POOL(2) + pick(POOL)) << 12 | bit_if(1000, 0) |
					bit_if(200, 9) | bit_if(200, 3);
	}
	return regs;
}

static void random_second(struct duo_setup *s)
{
	s->host = mode_regs(r.nested);
	s->host.cr3 = (NESTED_POOL(tops[r.nested]) + pick(POOL)) << 12;
	if (s->stage2 == MODEL_EPT) {
		s->eptp = s->host.cr3 | (tops[r.nested] - 1) << 3 | 6 | bit_if(512, 6);
		s->mbec = chance(400);
		return;
	}
	if (r.nested == PAE)
		s->host.cr3 |= pick(128) << 5;
	s->gmet = chance(300);
	s->rogpt = chance(300);
}

static struct duo_setup random_setup(void)
{
	static const unsigned noises[] = {0, 1, 4, 10, 30, 100};
	struct duo_setup s;
	const unsigned stage2 = (unsigned)pick(8);

	memset(&s, 0, sizeof(s));
	r.guest = (enum paging)(stage2 < 3 ? 1 + pick(4) : pick(5));
	r.nested = NONE;
	s.stage2 = stage2 < 3 ? MODEL_NATIVE : stage2 < 6 ? MODEL_EPT : MODEL_NPT;
	if (s.stage2 == MODEL_EPT)
		r.nested = chance(512) ? EPT4 : EPT5;
	else if (s.stage2 == MODEL_NPT)
		r.nested = (enum paging)(1 + pick(4));
	s.cpu = random_cpu(s.stage2 == MODEL_NPT || (s.stage2 == MODEL_NATIVE && chance(512)));
	r.noise = noises[pick(6)];
	s.regs = random_regs(&s.cpu);
	if (s.stage2 != MODEL_NATIVE)
		random_second(&s);
	return s;
}

static uint64_t random_address(void)
{
	const uint64_t any = duo_random(&r.random);

	switch (r.guest) {
	case P4: return (uint64_t)((int64_t)(any << 16) >> 16);
	case P5: return (uint64_t)((int64_t)(any << 7) >> 7);
	default: return any & 0xffffffff;
	}
}

static unsigned random_access(void)
{
	static const unsigned whats[] = {0, UMBRA_ACCESS_WRITE, UMBRA_ACCESS_FETCH};
	unsigned access = whats[pick(3)];

	access |= chance(512) ? UMBRA_ACCESS_AC : 0;
	if (chance(512))
		access |= UMBRA_ACCESS_USER;
	else if (!(access & UMBRA_ACCESS_FETCH) && chance(256))
		access |= UMBRA_ACCESS_IMPLICIT;
	if ((r.duo.setup.regs.cr4 & UMBRA_CR4_CET) && chance(256))
		access = (access & (UMBRA_ACCESS_USER | UMBRA_ACCESS_WRITE)) | UMBRA_ACCESS_SHSTK;
	return access;
}

/* ---- batches ---- */

/* Do they tell the same of the levels reached? */
static bool same_entries(const struct walk *a, const struct walk *b)
{
	for (unsigned level = a->level + a->in_parent; level <= tops[r.guest]; level++) {
		if (a->entry[level] != b->entry[level] ||
		    a->entry_address[level] != b->entry_address[level] ||
		    a->entry_final[level] != b->entry_final[level])
			return false;
	}
	return true;
}

/* Do the lean walker and the full one say the same, to the last field? */
static bool lean_is_full(uint64_t gva, unsigned access)
{
	const uint8_t guest_shape = r.duo.guest_mode.shape, nested_shape = r.duo.nested_mode.shape;
	struct walk lean, full;
	bool same;

	memset(&lean, 0, sizeof(lean));
	memset(&full, 0, sizeof(full));
	walk(&r.duo.guest, gva, access, 0, &lean);
	r.duo.guest_mode.shape |= MODE_SHAPE_ODD;
	r.duo.nested_mode.shape |= MODE_SHAPE_ODD;
	walk(&r.duo.guest, gva, access, 0, &full);
	r.duo.guest_mode.shape = guest_shape;
	r.duo.nested_mode.shape = nested_shape;
	same = lean.end == full.end && lean.level == full.level &&
	       !memcmp(&lean.event.kind, &full.event.kind, sizeof(lean.event.kind)) &&
	       lean.in_parent == full.in_parent && same_entries(&lean, &full);
	if (lean.end == WALK_OK)
		return same && lean.acc == full.acc && lean.acc_upper == full.acc_upper &&
		       lean.key == full.key && lean.dirty == full.dirty &&
		       lean.address == full.address && lean.final == full.final &&
		       lean.page_shift == full.page_shift && lean.restarts == full.restarts;
	return same && lean.event.code == full.event.code && lean.event.gpa.v == full.event.gpa.v &&
	       lean.event.gva.v == full.event.gva.v;
}

/*
 * Did the walk read guest entries in the second stage's own tables? One that marks the
 * tables it is being translated by has more than one legal end.
 */
static bool tangled(void)
{
	const struct walk *out = &r.duo.out;

	if (r.nested == NONE || r.guest == NONE)
		return false;
	for (unsigned level = out->level + out->in_parent; level <= tops[r.guest]; level++) {
		if (out->entry_final[level] >= NESTED_POOL(1) << 12)
			return true;
	}
	return false;
}

/* False: a difference. @exact: look at all memory after each access, and tell. */
static bool batch(uint64_t seed, bool exact)
{
	struct duo_setup s;

	r.random = seed | 1;
	for (unsigned i = 0; i < 8; i++)
		duo_random(&r.random);
	s = random_setup();
	if (!duo_enter(&r.duo, &s)) {
		printf("the machine of batch %#" PRIx64 " is refused\n", seed);
		duo_print(&r.duo, 0, 0);
		return false;
	}
	/* Sometimes without the lean walker. */
	if (chance(256))
		r.duo.guest_mode.shape |= MODE_SHAPE_ODD;
	if (chance(256))
		r.duo.nested_mode.shape |= MODE_SHAPE_ODD;
	memset(r.duo.mine, 0, DUO_SIZE);
	memset(r.duo.its, 0, DUO_SIZE);
	fill(false);
	fill(true);
	for (unsigned i = 0; i < BATCH; i++) {
		const uint64_t gva = random_address();
		const unsigned access = random_access();
		enum duo_verdict verdict;

		if (chance(200)) {
			const bool nested = r.guest == NONE || (r.nested != NONE && chance(512));
			const unsigned top = tops[nested ? r.nested : r.guest];

			change(nested, 1 + (unsigned)pick(top), (unsigned)pick(POOL),
			       (unsigned)pick(512));
		}
		verdict = duo_access(&r.duo, gva, access);
		if (tangled()) {
			r.tangled++;
			memcpy(r.duo.mine, r.duo.its, DUO_SIZE);
			continue;
		}
		if (verdict == DUO_DIFFERENT || (chance(200) && !lean_is_full(gva, access)) ||
		    (exact && !duo_memory_same(&r.duo))) {
			if (exact)
				duo_print(&r.duo, gva, access);
			return false;
		}
		r.counts[s.stage2][r.duo.outcome.event.kind]++;
	}
	return duo_memory_same(&r.duo);
}

static void tell(unsigned different)
{
	static const char *const stages[] = {"native", "EPT", "NPT"};

	for (unsigned i = 0; i < 3; i++)
		printf("%-6s: ok %" PRIu64 ", #PF %" PRIu64 ", EPT violations %" PRIu64
		       ", misconfigurations %" PRIu64 ", #NPF %" PRIu64 "\n",
		       stages[i], r.counts[i][UMBRA_EVENT_NONE], r.counts[i][UMBRA_EVENT_PF],
		       r.counts[i][UMBRA_EVENT_EPT_VIOLATION],
		       r.counts[i][UMBRA_EVENT_EPT_MISCONFIG], r.counts[i][UMBRA_EVENT_NPF]);
	printf("%" PRIu64 " the same (%" PRIu64 " of all faulted), %" PRIu64
	       " left open by the manuals, %" PRIu64 " with tables outside memory, %" PRIu64
	       " with tangled tables, %u differences\n",
	       r.duo.same, r.duo.faults, r.duo.unsure, r.duo.absent, r.tangled, different);
}

int main(int argc, char **argv)
{
	const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 0x756d627261ull;
	uint64_t count = duo_scale(1000000, 4000000, 50000000), state = seed | 1, next = seed;
	unsigned different = 0;

	if (argc > 2)
		count = strtoull(argv[2], NULL, 0);
	if (!duo_new(&r.duo))
		return 2;
	printf("seed %#" PRIx64 ", %" PRIu64 " walks\n", seed, count);
	for (uint64_t done = 0; done < count && different < 8; done += BATCH) {
		if (!batch(next, argc > 2)) {
			different++;
			printf("difference in batch: random %#" PRIx64 " 1\n", next);
			if (argc <= 2)
				batch(next, true);
		}
		next = duo_random(&state);
	}
	tell(different);
	duo_free(&r.duo);
	return different ? 1 : 0;
}
