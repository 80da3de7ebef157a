/* SPDX-License-Identifier: MIT */
/*
 * rights.c - every combination of rights: core's walker against the strict model.
 *
 * One path of tables, one page. For each format: all control bits that matter to
 * rights x the rights of the leaf x those of each level above it x every kind of
 * access x key rights. With a second stage: its leaf of the page, its leaf of
 * the guest's last table and an entry above them, in all combinations of rights,
 * under all its features, for guests without paging and with all leaf rights.
 * After each access the entries of both memories are compared too.
 */
#include "tests/transparency/duo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUEST_PAGE(level) ((uint64_t)(level) << 12)
#define FRAME 0x8000ull
#define NESTED_PAGE(level) ((uint64_t)(16 + (level)) << 12)
#define KEY 5
#define GVA 0x00408123ull
#define XD (1ull << 63)

enum paging { NONE, P32, PAE, P4, P5, EPT4, EPT5 };
static const unsigned tops[] = {0, 2, 3, 4, 5, 4, 5};
static const char *const names[] = {"none",    "32-bit", "PAE",  "4-level",
				    "5-level", "EPT-4",  "EPT-5"};

static struct duo duo;
static uint64_t checked, different;

/* Every access there is: the first of them are not shadow-stack accesses. */
static unsigned accesses[64], plain_count, access_count;

static void list_accesses(void)
{
	for (unsigned ss = 0; ss < 2; ss++) {
		for (unsigned a = 0; a < UMBRA_ACCESS_SHSTK; a++) {
			const bool fetch = a & UMBRA_ACCESS_FETCH;

			if (fetch && (a & (UMBRA_ACCESS_WRITE | UMBRA_ACCESS_IMPLICIT)))
				continue;
			if ((a & UMBRA_ACCESS_USER) && (a & UMBRA_ACCESS_IMPLICIT))
				continue;
			if (ss && (fetch || (a & UMBRA_ACCESS_IMPLICIT)))
				continue;
			accesses[access_count++] = a | (ss ? UMBRA_ACCESS_SHSTK : 0);
		}
		if (!ss)
			plain_count = access_count;
	}
}

/* ---- tables ---- */

struct entry {
	uint64_t at, value;
	unsigned size;
};

/* All entries of the machine: [0] is the guest's leaf, and so on up; then nested. */
static struct entry guest[6], nested_upper[6], nested_leaf[16];
static unsigned guest_top, nested_top, nested_leaves;

static struct entry entry_at(enum paging paging, uint64_t page, unsigned level, uint64_t address)
{
	const unsigned bits = paging == P32 ? 10 : 9, size = paging == P32 ? 4 : 8;

	return (struct entry){.at = page +
				    (address >> (12 + bits * (level - 1)) & ((1u << bits) - 1)) *
					    size % (paging == PAE && level == 3 ? 32 : 4096),
			      .size = size};
}

static void build_guest(enum paging paging)
{
	guest_top = tops[paging];
	for (unsigned l = 1; l <= guest_top; l++) {
		guest[l] = entry_at(paging, GUEST_PAGE(l), l, GVA);
		guest[l].value = l == 1 ? FRAME | 7 : GUEST_PAGE(l - 1) | 7;
		if (paging == PAE && l == 3)
			guest[l].value &= ~6ull;
	}
}

/* The second stage maps the first 16 pages onto themselves. */
static void build_nested(enum paging paging, bool mbec)
{
	const uint64_t all = paging >= EPT4 ? (mbec ? 0x407 : 7) : 7;

	nested_top = tops[paging];
	nested_leaves = nested_top ? 16 : 0;
	for (unsigned l = 2; l <= nested_top; l++) {
		nested_upper[l] = entry_at(paging, NESTED_PAGE(l), l, 0);
		nested_upper[l].value = NESTED_PAGE(l - 1) | all;
		if (paging == PAE && l == 3)
			nested_upper[l].value &= ~6ull;
	}
	for (unsigned i = 0; i < nested_leaves; i++) {
		nested_leaf[i] = entry_at(paging, NESTED_PAGE(1), 1, (uint64_t)i << 12);
		nested_leaf[i].value = (uint64_t)i << 12 | all | (paging >= EPT4 ? 6 << 3 : 0);
	}
}

static void put(const struct entry *e)
{
	duo_put(&duo, e->at, e->value, e->size);
}

static bool kept(const struct entry *e)
{
	return !memcmp(duo.mine + e->at, duo.its + e->at, e->size);
}

/* One access on fresh tables. */
static void check(unsigned access)
{
	bool same;

	for (unsigned l = 1; l <= guest_top; l++)
		put(&guest[l]);
	for (unsigned l = 2; l <= nested_top; l++)
		put(&nested_upper[l]);
	for (unsigned i = 0; i < nested_leaves; i++)
		put(&nested_leaf[i]);
	same = duo_access(&duo, guest_top ? GVA : FRAME | 0x123, access) != DUO_DIFFERENT;
	for (unsigned l = 1; l <= guest_top; l++)
		same &= kept(&guest[l]);
	for (unsigned l = 2; l <= nested_top; l++)
		same &= kept(&nested_upper[l]);
	for (unsigned i = 0; i < nested_leaves; i++)
		same &= kept(&nested_leaf[i]);
	checked++;
	if (!same && different++ < 10)
		duo_print(&duo, guest_top ? GVA : FRAME | 0x123, access);
}

/* ---- machines ---- */

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
	regs.cr3 = paging == NONE ? 0 : GUEST_PAGE(tops[paging]);
	return regs;
}

static void enter(struct duo_setup *s)
{
	if (s->regs.cr4 & UMBRA_CR4_PAE)
		s->regs.pdpte[GVA >> 30 & 3] = GUEST_PAGE(2) | 1;
	if (!duo_enter(&duo, s)) {
		printf("a machine is refused\n");
		exit(2);
	}
}

/* The paging's own control bits, from the bits of @role. */
#define ROLE_COUNT (1u << 8)

static bool set_role(struct duo_setup *s, unsigned role, bool keys)
{
	const bool cet = role & 1, wp = role & 2;

	/* CR4.CET needs CR0.WP (H-13). */
	if (cet && !wp)
		return false;
	if (!keys && (role & (32 | 64)))
		return false;
	/* A CPU with shadow stacks treats D otherwise even without CET (H-59). */
	if (cet && !(role & 128))
		return false;
	s->cpu.features |= role & 128 ? UMBRA_CPU_SHSTK : 0;
	s->regs.cr4 |= cet ? UMBRA_CR4_CET : 0;
	s->regs.cr0 |= wp ? UMBRA_CR0_WP : 0;
	s->regs.cr4 |= role & 4 ? UMBRA_CR4_SMEP : 0;
	s->regs.cr4 |= role & 8 ? UMBRA_CR4_SMAP : 0;
	s->regs.efer |= role & 16 ? UMBRA_EFER_NXE : 0;
	s->regs.cr4 |= role & 32 ? UMBRA_CR4_PKE : 0;
	s->regs.cr4 |= role & 64 ? UMBRA_CR4_PKS : 0;
	return true;
}

#define INTEL                                                                               \
	(UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT | UMBRA_CPU_PSE36 |  \
	 UMBRA_CPU_SMEP | UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_PKS | UMBRA_CPU_LA57 | \
	 UMBRA_CPU_NX | UMBRA_CPU_1G | UMBRA_CPU_LM | UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G | \
	 UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_LEVEL5 | UMBRA_CPU_MBEC)
#define AMD                                                                                 \
	((INTEL & ~UMBRA_CPU_PKS) | UMBRA_CPU_GMET | UMBRA_CPU_ROGPT | UMBRA_CPU_BIT8_MBZ | \
	 UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_REWALK)

/* W, U and XD of three bits; XD only in 8-byte entries. */
static uint64_t rights_of(unsigned bits)
{
	return (bits & 1 ? 2 : 0) | (bits & 2 ? 4 : 0) | (bits & 4 ? XD : 0);
}

/* ---- one stage ---- */

static void leaf_and_above(enum paging paging, unsigned upper_level, unsigned count)
{
	const unsigned rights = paging == P32 ? 4 : 8;
	const uint64_t key = paging >= P4 ? (uint64_t)KEY << 59 : 0;

	for (unsigned leaf = 0; leaf < 2 * rights; leaf++) {
		guest[1].value =
			FRAME | 1 | key | rights_of(leaf % rights) | (leaf >= rights ? 0x40 : 0);
		for (unsigned upper = 0; upper < rights; upper++) {
			guest[upper_level].value =
				GUEST_PAGE(upper_level - 1) | 1 | rights_of(upper);
			for (unsigned a = 0; a < count; a++)
				check(accesses[a]);
		}
	}
	build_guest(paging);
}

static void one_stage(enum paging paging)
{
	const uint64_t before = checked;
	const bool keys = paging >= P4;

	build_guest(paging);
	build_nested(NONE, false);
	for (unsigned role = 0; role < ROLE_COUNT; role++) {
		struct duo_setup s = {.cpu = {UMBRA_VENDOR_INTEL, 46, INTEL},
				      .regs = mode_regs(paging)};
		const unsigned pkru_count = role & 32 ? 4 : 1, pkrs_count = role & 64 ? 4 : 1;

		/* In small runs keys are tried under a part of the roles only. */
		if (duo_scale(1, 0, 0) && (role & 96) && role & 28)
			continue;
		if (!set_role(&s, role, keys))
			continue;
		for (unsigned k = 0; k < pkru_count * pkrs_count; k++) {
			/* Keys that do not act deny everything. */
			s.regs.pkru = role & 32 ? (k % pkru_count) << 2 * KEY : ~0u;
			s.regs.pkrs = role & 64 ? (k / pkru_count) << 2 * KEY : ~0u;
			enter(&s);
			for (unsigned l = 2; l <= (paging == PAE ? 2 : tops[paging]); l++)
				leaf_and_above(paging, l, role & 1 ? access_count : plain_count);
		}
	}
	printf("%-8s %10" PRIu64 " accesses\n", names[paging], checked - before);
}

/* ---- two stages ---- */

/* All values of the entries that decide, for the machine entered. */
static void second_rights(enum paging paging, const uint64_t *rights, unsigned count,
			  unsigned accesses_used)
{
	static const uint64_t changeable = 0x407 | XD;
	struct entry *const which[] = {&nested_leaf[FRAME >> 12], &nested_leaf[1], &nested_upper[2],
				       &nested_upper[tops[paging]]};
	const unsigned uppers = tops[paging] > 3 ? 2 : 1;

	for (unsigned leaf = 0; leaf < (guest_top ? 2u : 1u); leaf++) {
		for (unsigned upper = 0; upper < uppers; upper++) {
			struct entry *const e = which[leaf], *const u = which[2 + upper];
			const uint64_t leaf_value = e->value, upper_value = u->value;

			for (unsigned i = 0; i < count * count; i++) {
				e->value = (leaf_value & ~changeable) | rights[i % count];
				u->value = (upper_value & ~changeable) | rights[i / count];
				for (unsigned a = 0; a < accesses_used; a++)
					check(accesses[a]);
			}
			e->value = leaf_value;
			u->value = upper_value;
		}
	}
}

/* The guests under a second stage: [0] does not page, the others have all leaves. */
#define GUESTS 17u

static void set_guest(struct duo_setup *s, unsigned number, bool cet)
{
	const enum paging paging = number ? P4 : NONE;

	s->regs = mode_regs(paging);
	s->regs.efer |= UMBRA_EFER_NXE;
	if (cet) {
		s->regs.cr4 |= UMBRA_CR4_CET;
		s->regs.cr0 |= UMBRA_CR0_WP;
	}
	build_guest(paging);
	if (!number)
		return;
	guest[1].value = FRAME | 1 | rights_of((number - 1) & 7) | (number - 1 >= 8 ? 0x60 : 0);
	/* half of them have all A set */
	for (unsigned l = 2; number - 1 >= 8 && l <= 4; l++)
		guest[l].value |= 0x20;
}

static void two_stages_ept(enum paging paging)
{
	const uint64_t before = checked;
	uint64_t rights[16];

	for (unsigned i = 0; i < 16; i++)
		rights[i] = (i & 7) | (i & 8 ? 0x400 : 0);
	for (unsigned f = 0; f < 32; f++) {
		struct duo_setup s = {.cpu = {UMBRA_VENDOR_INTEL, 46, INTEL}, .stage2 = MODEL_EPT};
		const bool mbec = f & 1, cet = f & 16;

		s.mbec = mbec;
		s.eptp = NESTED_PAGE(tops[paging]) | (tops[paging] - 1) << 3 | 6;
		s.eptp |= f & 2 ? 0x40 : 0;
		s.cpu.features |= f & 4 ? UMBRA_CPU_EPT_EXECONLY : 0;
		s.cpu.features |= f & 8 ? UMBRA_CPU_EPT_ADVINFO : 0;
		s.cpu.features |= cet ? UMBRA_CPU_SHSTK : 0;
		for (unsigned g = 0; g < GUESTS; g++) {
			if (duo_scale(1, 0, 0) && g % 3)
				continue;
			set_guest(&s, g, cet);
			build_nested(paging, mbec);
			enter(&s);
			second_rights(paging, rights, mbec ? 16 : 8,
				      cet && g ? access_count : plain_count);
		}
	}
	printf("%-8s %10" PRIu64 " accesses\n", names[paging], checked - before);
}

static void two_stages_npt(enum paging paging)
{
	const uint64_t before = checked;
	uint64_t rights[8];

	for (unsigned i = 0; i < 8; i++)
		rights[i] = 1 | (paging == P32 ? rights_of(i) & 6 : rights_of(i));
	for (unsigned f = 0; f < 16; f++) {
		struct duo_setup s = {.cpu = {UMBRA_VENDOR_AMD, 46, AMD}, .stage2 = MODEL_NPT};
		const bool cet = f & 8;

		s.cpu.features |= cet ? UMBRA_CPU_SHSTK : 0;
		s.host = mode_regs(paging);
		s.host.cr3 = NESTED_PAGE(tops[paging]);
		s.host.efer |= f & 1 ? UMBRA_EFER_NXE : 0;
		s.gmet = f & 2;
		s.rogpt = f & 4;
		for (unsigned g = 0; g < GUESTS; g++) {
			set_guest(&s, g, cet);
			build_nested(paging, false);
			enter(&s);
			second_rights(paging, rights, paging == P32 ? 4 : 8,
				      cet && g ? access_count : plain_count);
		}
	}
	printf("NPT %-8s %6" PRIu64 " accesses\n", names[paging], checked - before);
}

int main(void)
{
	if (!duo_new(&duo))
		return 2;
	list_accesses();
	for (enum paging p = P32; p <= P5; p++)
		one_stage(p);
	two_stages_ept(EPT4);
	two_stages_ept(EPT5);
	for (enum paging p = P32; p <= P5; p++)
		two_stages_npt(p);
	printf("%" PRIu64 " accesses, %" PRIu64 " of them left open by the manuals, %" PRIu64
	       " differences\n",
	       checked, duo.unsure, different);
	duo_free(&duo);
	return different || duo.absent ? 1 : 0;
}
