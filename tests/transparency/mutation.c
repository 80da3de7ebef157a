/* SPDX-License-Identifier: MIT */
/*
 * mutation.c - would anybody notice a wrong bit in a reserved mask?
 *
 * For every mode that the configurations below give, every level, both kinds of
 * entry and every bit: flip the bit in the bound mode, walk a path whose entry of
 * that level has the bit, and demand that the model disagrees. The same for the
 * masks of the lean walker (a bit less in them lets an entry pass) and for each of
 * the 64 illegal values of an EPT entry's low bits. Unflipped, they must agree.
 *
 * Not every flip can show: see equivalent().
 */
#include "tests/transparency/duo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUEST_PAGE(level) ((uint64_t)(level) << 12)
#define NESTED_PAGE(level) ((uint64_t)(16 + (level)) << 12)
#define FRAME 0x8000ull
#define GVA 0x123ull /* index 0 everywhere */

static struct duo duo;
static uint64_t flips, caught, equal, agreed;
static unsigned missed;

/* The stage that is looked at: the first, or the second under an unpaged guest. */
static struct mode *mode;
static bool second;

static uint64_t page_of(unsigned level)
{
	return second ? NESTED_PAGE(level) : GUEST_PAGE(level);
}

/* A path to a leaf of @leaf; the entry of @level has @set set, then @change changed. */
static void build(unsigned leaf, unsigned level, uint64_t set, uint64_t change)
{
	const bool ept = mode->format->family == FORMAT_EPT;

	for (unsigned l = leaf; l <= mode->top; l++) {
		const bool grants = mode->format->level[l].grants_all;
		uint64_t value = l > leaf ? page_of(l - 1) : leaf == 1 ? FRAME : 0;

		/* With A and D set lean() has nothing to leave to full(). */
		value |= grants ? 1 : 7 | mode->level[l].present | mode->level[l].accessed;
		value |= l == leaf ? mode->level[l].dirty : 0;
		value |= ept && l == leaf ? 6 << 3 : 0;
		value |= l == leaf && l > 1 ? mode->level[l].large : 0;
		if (l == level)
			value = (value | set) ^ change;
		duo_put(&duo, page_of(l), value, mode->format->entry_bytes);
		if (!second && mode->root_registers && l == mode->top)
			duo.setup.regs.pdpte[0] = value;
	}
}

/* Do they agree about it? What the manuals leave open must be as the model has it. */
static bool agree(void)
{
	static const unsigned whats[] = {0, UMBRA_ACCESS_WRITE, UMBRA_ACCESS_FETCH};
	bool all = true;

	for (unsigned i = 0; i < 3; i++)
		all &= duo_access(&duo, GVA, UMBRA_ACCESS_USER | whats[i]) == DUO_SAME;
	return all;
}

/*
 * Flips that no entry can show: a bit that decides the kind of an entry never
 * stands in an entry of the other kind; bit 4 of an EPT table (its types 2, 3 and
 * 7 are illegal and 6 has bit 5, which is reserved too); and presence itself.
 */
static bool equivalent(unsigned leaf, unsigned level, unsigned bit)
{
	const struct mode_level *l = &mode->level[level];

	if (l->present >> bit & 1)
		return true;
	if (level != leaf && (l->large >> bit & 1))
		return true;
	return mode->format->family == FORMAT_EPT && level != leaf && bit == 4;
}

static void missed_one(const char *what, unsigned leaf, unsigned level, unsigned bit)
{
	if (missed++ < 20)
		printf("missed: %s, %s flags %x width %u, leaf %u, level %u, bit %u\n",
		       mode->format->name, what, mode->flags, mode->maxphyaddr, leaf, level, bit);
}

static void flip_reserved(unsigned leaf, unsigned level)
{
	struct mode_level *l = &mode->level[level];
	uint64_t *const rsvd = &l->rsvd[level == leaf];
	uint64_t *const match = level == leaf ? &l->leaf_mask : &mode->table_stop[level];
	const uint64_t frame = level == leaf ? l->leaf_address | l->high : l->table_address;
	const uint8_t shape = mode->shape;

	for (unsigned bit = 0; bit < 8u * mode->format->entry_bytes; bit++) {
		const uint64_t value = 1ull << bit;
		const bool reserved = *rsvd & value;

		/* A leaf of a level that has none, or an address elsewhere: no case. */
		if (!reserved && ((frame & value) || ((l->large | l->present) & value)))
			continue;
		if (equivalent(leaf, level, bit)) {
			equal += reserved;
			continue;
		}
		/* The other rights are not what this is about. */
		if (!reserved && bit < 12 && mode->format->family == FORMAT_EPT && bit >= 3 &&
		    bit <= 5)
			continue;
		build(leaf, level, value, 0);
		if (agree())
			agreed++;
		else
			missed_one("disagree unflipped", leaf, level, bit);

		mode->shape = shape | MODE_SHAPE_ODD;
		*rsvd ^= value;
		build(leaf, level, value, 0);
		flips++;
		if (agree())
			missed_one("reserved mask", leaf, level, bit);
		else
			caught++;
		*rsvd ^= value;
		mode->shape = shape;

		/* Lean: too much in the mask is only slower. */
		if (!reserved || (shape & MODE_SHAPE_ODD) || !(*match & value))
			continue;
		*match ^= value;
		build(leaf, level, value, 0);
		flips++;
		if (agree())
			missed_one("lean mask", leaf, level, bit);
		else
			caught++;
		*match ^= value;
	}
}

/* The illegal values of the low six bits, in a leaf. */
static void flip_low6(void)
{
	const uint8_t shape = mode->shape;

	for (unsigned low6 = 0; low6 < 64; low6++) {
		/* With MBEC user execute stands for execute, and has it (E-4). */
		const uint64_t user = low6 & 4 ? 0 : mode->level[1].present & ~7ull;
		const uint64_t change = (low6 ^ (7 | 6 << 3)) | user;

		if (!(low6 & 7))
			continue;
		for (unsigned lean = 0; lean < 2; lean++) {
			uint64_t *const map = lean ? &mode->good_low6 : &mode->bad_low6;

			/* Lean: calling a good value bad is only slower. */
			if (lean && (*map >> low6 & 1))
				continue;
			mode->shape = lean ? shape : shape | MODE_SHAPE_ODD;
			*map ^= 1ull << low6;
			build(1, 1, 0, change);
			flips++;
			/* A read of what is not readable is denied as well, but otherwise. */
			if (agree())
				missed_one("low six", 1, 1, low6);
			else
				caught++;
			*map ^= 1ull << low6;
			mode->shape = shape;
		}
	}
}

static void flip_all(void)
{
	const uint8_t last = (uint8_t)(mode->top - mode->root_registers), shape = mode->shape;

	for (unsigned leaf = 1; leaf <= mode->top; leaf++) {
		const struct mode_level *l = &mode->level[leaf];
		const bool illegal = l->rsvd[1] & l->large;

		/* Where a large entry is reserved, that bit is what is to be seen. */
		if (leaf > 1 && !l->large)
			continue;
		if (illegal) {
			build(leaf, leaf, 0, 0);
			mode->shape |= MODE_SHAPE_ODD;
			mode->level[leaf].rsvd[1] &= ~l->large;
			flips++;
			if (agree())
				missed_one("large", leaf, leaf, 7);
			else
				caught++;
			mode->level[leaf].rsvd[1] |= l->large;
			mode->shape = shape;
			continue;
		}
		for (unsigned level = leaf; level <= last; level++)
			flip_reserved(leaf, level);
	}
	if (mode->format->family == FORMAT_EPT)
		flip_low6();
}

/* ---- configurations ---- */

enum paging { P32 = 1, PAE, P4, P5 };
static const unsigned tops[] = {0, 2, 3, 4, 5};

static struct umbra_regs mode_regs(enum paging paging, unsigned f)
{
	struct umbra_regs regs = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP};

	regs.cr4 |= paging >= PAE ? UMBRA_CR4_PAE : 0;
	regs.cr4 |= paging == P5 ? UMBRA_CR4_LA57 : 0;
	regs.efer |= paging >= P4 ? UMBRA_EFER_LME | UMBRA_EFER_LMA : 0;
	regs.efer |= f & 1 ? UMBRA_EFER_NXE : 0;
	regs.cr4 |= f & 2 ? UMBRA_CR4_PSE : 0;
	return regs;
}

static void enter(const struct duo_setup *s)
{
	const uint8_t width = s->cpu.maxphyaddr;

	if (!duo_enter(&duo, s)) {
		printf("a machine is refused, width %u\n", width);
		exit(2);
	}
	memset(duo.mine, 0, DUO_SIZE);
	memset(duo.its, 0, DUO_SIZE);
	mode = second ? &duo.nested_mode : &duo.guest_mode;
	flip_all();
}

#define FEATURES                                                                          \
	(UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT | UMBRA_CPU_SMEP | \
	 UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_LA57 | UMBRA_CPU_NX | UMBRA_CPU_LM)

/* f: 1 NX, 2 PSE, 4 1G and PSE-36, 8 AMD. */
static void one_stage(enum paging paging, unsigned f, uint8_t width)
{
	struct duo_setup s = {.cpu = {.maxphyaddr = width, .features = FEATURES}};

	s.cpu.vendor = f & 8 ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL;
	s.cpu.features |= f & 4 ? UMBRA_CPU_1G | UMBRA_CPU_PSE36 : 0;
	s.cpu.features |= f & 8 ? UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_PDPTE_MEMORY : 0;
	s.regs = mode_regs(paging, f);
	s.regs.cr3 = GUEST_PAGE(tops[paging]);
	if (paging == PAE)
		s.regs.pdpte[0] = GUEST_PAGE(2) | 1;
	second = false;
	enter(&s);
}

static void npt(enum paging paging, unsigned f, uint8_t width)
{
	struct duo_setup s = {.cpu = {UMBRA_VENDOR_AMD, width, FEATURES | UMBRA_CPU_BIT8_MBZ},
			      .stage2 = MODEL_NPT};

	s.cpu.features |= UMBRA_CPU_PDPTE_MEMORY | (f & 4 ? UMBRA_CPU_1G | UMBRA_CPU_PSE36 : 0);
	s.regs.cr0 = UMBRA_CR0_PE;
	s.host = mode_regs(paging, f);
	s.host.cr3 = NESTED_PAGE(tops[paging]);
	second = true;
	enter(&s);
}

/* f: 1 1G, 2 2M, 4 exec-only, 8 MBEC, 16 A/D. */
static void ept(unsigned top, unsigned f, uint8_t width)
{
	struct duo_setup s = {.cpu = {UMBRA_VENDOR_INTEL, width, FEATURES}, .stage2 = MODEL_EPT};

	s.cpu.features |= UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_LEVEL5 | UMBRA_CPU_MBEC;
	s.cpu.features |= f & 1 ? UMBRA_CPU_EPT_1G : 0;
	s.cpu.features |= f & 2 ? UMBRA_CPU_EPT_2M : 0;
	s.cpu.features |= f & 4 ? UMBRA_CPU_EPT_EXECONLY : 0;
	s.mbec = f & 8;
	s.regs.cr0 = UMBRA_CR0_PE;
	s.eptp = NESTED_PAGE(top) | (top - 1) << 3 | 6 | (f & 16 ? 0x40 : 0);
	second = true;
	enter(&s);
}

int main(void)
{
	static const uint8_t widths[] = {32, 36, 40, 46, 48, 51, 52};

	if (!duo_new(&duo))
		return 2;
	for (unsigned w = 0; w < sizeof(widths); w++) {
		for (enum paging p = P32; p <= P5; p++) {
			for (unsigned f = 0; f < 16; f++)
				one_stage(p, f, widths[w]);
			for (unsigned f = 0; f < 8; f++)
				npt(p, f, widths[w]);
		}
		for (unsigned f = 0; f < 32; f++) {
			ept(4, f, widths[w]);
			ept(5, f, widths[w]);
		}
	}
	printf("%" PRIu64 " flips, %" PRIu64 " caught, %u missed; %" PRIu64
	       " reserved bits no entry can show; %" PRIu64 " walks agreed without a flip\n",
	       flips, caught, missed, equal, agreed);
	duo_free(&duo);
	return missed || caught != flips ? 1 : 0;
}
