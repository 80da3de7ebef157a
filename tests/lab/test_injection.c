/* SPDX-License-Identifier: MIT */
/*
 * test_injection.c - what L1 sees of an access of L2, for every value of the entry of L1's
 * that decides it.
 *
 * One path through L1's EPT or NPT leads to DATA. The entry of one level takes every
 * combination of its low twelve bits, with and without bit 63, and each reserved
 * address bit; L2 then reads, writes and fetches, as user and supervisor, without
 * paging and through tables of its own, whose root may lie on the very page. The whole
 * stack does it, hardware included: what comes out - a value, a #PF, an exit with all
 * its bits - must be what the bare nested machine gives (N-6, N-8, B-6, A-20).
 */
#include "tests/lab/common.h"

#define SIZE (8ull << 20)
#define TABLE(level) (0x10000ull * (level))
#define L1_CR3 0x80000ull
/* L2's physical address that is tried, and where it leads in L1's: the same offset in a
 * 4M and a 1G page. */
#define NGPA 0x40200000ull
#define DATA 0x200000ull
/* L2's tables, mapped elsewhere so that they never fail, and what they map. */
#define L2_TABLES 0x400000ull
#define L2_NGPA 0x200000ull
#define L2_LINEAR 0x80000000ull

enum kind { NPT_32, NPT_PAE, NPT_4, NPT_5, EPT_4, EPT_5 };

struct place {
	const char *name;
	unsigned setup; /* of test_setups */
	enum kind kind;
	unsigned top;
	bool exec_by_mode, readonly_tables, ad, nxe;
};

static const struct place places[] = {
	{"NPT 32 on NPT PAE", 2, NPT_32, 2, false, false, false, false},
	{"NPT PAE on NPT PAE", 2, NPT_PAE, 3, true, false, false, true},
	{"NPT 32 on NPT 5", 4, NPT_32, 2, true, true, false, true},
	{"NPT PAE on NPT 4 with GMET for L1", 3, NPT_PAE, 3, false, true, false, true},
	{"NPT 4 on NPT 4 with GMET for L1", 3, NPT_4, 4, false, false, false, true},
	{"NPT 4 on NPT 5, GMET", 4, NPT_4, 4, true, true, false, true},
	{"NPT 4 on NPT 5, no NX", 4, NPT_4, 4, false, false, false, false},
	{"NPT 5 on NPT 5, GMET", 4, NPT_5, 5, true, false, false, true},
	{"EPT 4 on EPT 4", 0, EPT_4, 4, false, false, false, true},
	{"EPT 4 on EPT 4, A/D, MBEC", 0, EPT_4, 4, true, false, true, true},
	{"EPT 4 on EPT 5 with MBEC for L1", 1, EPT_4, 4, false, false, true, true},
	{"EPT 5 on EPT 5, MBEC", 1, EPT_5, 5, true, false, false, true},
};
#define PLACES (sizeof(places) / sizeof(places[0]))

struct trial {
	const struct place *place;
	struct lab *lab;
	struct umbra_nested state;
	uint64_t accesses;
};

static bool is_ept(const struct trial *trial)
{
	return trial->place->kind >= EPT_4;
}

static unsigned entry_bytes(const struct trial *trial)
{
	return trial->place->kind == NPT_32 ? 4 : 8;
}

static void store(struct trial *trial, uint64_t gpa, uint64_t value, size_t size)
{
	assert_true(lab_device_write(trial->lab, (umbra_gpa){gpa}, &value, size));
}

static uint64_t entry_at(const struct trial *trial, unsigned level, uint64_t ngpa)
{
	const unsigned bits = trial->place->kind == NPT_32 ? 10 : 9;

	return TABLE(level) +
	       (ngpa >> (12 + bits * (level - 1)) & ((1u << bits) - 1)) * entry_bytes(trial);
}

/* What the path has where it is not tried. */
static uint64_t good_table(const struct trial *trial, unsigned level)
{
	if (is_ept(trial))
		return TABLE(level - 1) | 0x407;
	return TABLE(level - 1) | (trial->place->kind == NPT_PAE && level == 3 ? 1 : 0x27);
}

static uint64_t good_leaf(const struct trial *trial, uint64_t gpa)
{
	return gpa | (is_ept(trial) ? 0x437 : 0x67);
}

static void put(struct trial *trial, unsigned level, uint64_t ngpa, uint64_t value)
{
	store(trial, entry_at(trial, level, ngpa), value, entry_bytes(trial));
}

static struct umbra_regs l1_regs(const struct trial *trial)
{
	const enum kind kind = trial->place->kind;
	struct umbra_regs regs = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP, .cr3 = L1_CR3};

	regs.cr4 = kind == NPT_32 ? UMBRA_CR4_PSE : UMBRA_CR4_PAE;
	regs.efer = trial->place->nxe ? UMBRA_EFER_NXE : 0;
	if (kind == NPT_5)
		regs.cr4 |= UMBRA_CR4_LA57;
	if (kind >= NPT_4)
		regs.efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	return regs;
}

/* L2's own paging: PAE or, where L1 is one of 64 bits, 4-level; NULL root: none. */
static void l2_pages(struct trial *trial, struct umbra_regs *regs, uint64_t cr3, bool user)
{
	const uint64_t bits = user ? 0x67 : 0x63;

	*regs = (struct umbra_regs){.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
				    .cr3 = cr3,
				    .cr4 = UMBRA_CR4_PSE};
	/* Two levels do everywhere. */
	store(trial, L2_TABLES + (L2_LINEAR >> 22) * 4, (L2_NGPA + 4096) | bits, 4);
	store(trial, L2_TABLES + 4096, NGPA | bits, 4);
}

static void access_all(struct trial *trial, uint64_t linear)
{
	static const unsigned kinds[] = {0,
					 UMBRA_ACCESS_WRITE,
					 UMBRA_ACCESS_FETCH,
					 UMBRA_ACCESS_USER,
					 UMBRA_ACCESS_USER | UMBRA_ACCESS_WRITE,
					 UMBRA_ACCESS_USER | UMBRA_ACCESS_FETCH};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct lab_access access = {
			.gva = {linear | 0x123}, .size = 1, .access = kinds[i]};

		lab_access(trial->lab, &access, NULL);
		trial->accesses++;
	}
}

/* L2 in one state against every value of the entry at @level. */
static void every_entry(struct trial *trial, unsigned level, uint64_t linear)
{
	const bool narrow = trial->place->kind == NPT_32;
	/* Where the large bit is set at levels that have it, the frame is DATA's page. */
	const uint64_t frame = level == 3 ? 0 : narrow ? 0 : DATA;
	const unsigned maxphyaddr = lab_guest_cpu(lab_config(trial->lab)).maxphyaddr;
	const unsigned step = (unsigned)(4096 / scaled(4096));

	for (unsigned low = 0; low < 4096; low += step) {
		const bool large = level > 1 && level < 4 && low & 0x80;
		const uint64_t address = level == 1 ? DATA : large ? frame : TABLE(level - 1);

		for (unsigned nx = 0; nx < (narrow ? 1 : 2); nx++) {
			put(trial, level, NGPA, address | low | (uint64_t)nx << 63);
			access_all(trial, linear);
		}
	}
	/* Address bits, each by itself: reserved from MAXPHYADDR up, or in large pages. */
	for (unsigned bit = 12; bit < (narrow ? 32 : 63); bit++) {
		const bool large = level == 2 || level == 3;
		const uint64_t good = large        ? frame | (is_ept(trial) ? 0xb7 : 0xe7)
				      : level == 1 ? good_leaf(trial, DATA)
						   : good_table(trial, level);

		/* A table of L2's outside memory is read as holes, not as ones (G-30). */
		if (bit > 22 && bit < maxphyaddr)
			continue;
		if (narrow && large && bit > 12 && bit < 21 && trial->state.regs.cr3 == NGPA)
			continue; /* PSE-36 */
		put(trial, level, NGPA, good | 1ull << bit);
		access_all(trial, linear);
	}
	put(trial, level, NGPA, level == 1 ? good_leaf(trial, DATA) : good_table(trial, level));
}

static void enter(struct trial *trial, const struct umbra_regs *l2)
{
	bool refused;

	trial->state.regs = *l2;
	assert_true(lab_leave_nested(trial->lab));
	assert_true(lab_enter_nested(trial->lab, &trial->state, &refused));
	assert_false(refused);
}

static void build(struct trial *trial)
{
	for (unsigned level = trial->place->top; level > 1; level--) {
		put(trial, level, NGPA, good_table(trial, level));
		/* L2's own tables, by the same tables but another last one. */
		if (level == 2)
			put(trial, level, L2_NGPA, 0x90000 | (good_table(trial, 2) & 0xfff));
		else
			put(trial, level, L2_NGPA, good_table(trial, level));
	}
	put(trial, 1, NGPA, good_leaf(trial, DATA));
	for (unsigned k = 0; k < 2; k++) {
		uint64_t at = entry_at(trial, 1, L2_NGPA + k * 4096ull) - TABLE(1) + 0x90000;

		store(trial, at, good_leaf(trial, L2_TABLES + k * 4096ull), entry_bytes(trial));
	}
	trial->state = (struct umbra_nested){
		.paging = is_ept(trial) ? UMBRA_NESTED_EPT : UMBRA_NESTED_NPT,
		.pointer = TABLE(trial->place->top),
		.exec_by_mode = trial->place->exec_by_mode,
		.readonly_tables = trial->place->readonly_tables,
		.tag = 1,
	};
	if (is_ept(trial))
		trial->state.pointer |=
			6 | (trial->place->top - 1) << 3 | (trial->place->ad ? 1u << 6 : 0);
}

static void injected_as_on_the_bare_machine(void **state)
{
	struct trial trial = {.place = *state};
	const struct lab_config config =
		test_config(&test_setups[trial.place->setup], MODEL_STRICT);
	const struct umbra_regs unpaged = {.cr0 = UMBRA_CR0_PE}, l1 = l1_regs(&trial);
	struct lab_memory memory = {.size = SIZE};
	unsigned shown = 0;
	struct umbra_regs l2;
	char error[256];
	bool refused;

	memory.bare = aligned_alloc(UMBRA_PAGE_SIZE, SIZE);
	memory.umbra = aligned_alloc(UMBRA_PAGE_SIZE, SIZE);
	assert_true(memory.bare && memory.umbra);
	memset(memory.bare, 0, SIZE);
	memset(memory.umbra, 0, SIZE);
	trial.lab = lab_new(&config, &memory, 1, error, sizeof(error));
	if (!trial.lab)
		fail_msg("%s", error);
	lab_on_difference(trial.lab, test_show, &shown);
	build(&trial);
	assert_true(lab_set_regs(trial.lab, &l1, false, &refused));
	assert_false(refused);

	for (unsigned level = 1; level <= trial.place->top; level++) {
		enter(&trial, &unpaged);
		every_entry(&trial, level, NGPA);
	}
	/* Through tables of L2's: a user's page, a supervisor's; then the root is the page. */
	for (unsigned user = 0; user < 2; user++) {
		l2_pages(&trial, &l2, L2_NGPA, user);
		enter(&trial, &l2);
		every_entry(&trial, 1, L2_LINEAR);
	}
	l2.cr3 = NGPA;
	enter(&trial, &l2);
	for (unsigned level = 1; level <= trial.place->top; level++)
		every_entry(&trial, level, L2_LINEAR);

	assert_int_equal(lab_compare_memory(trial.lab), 0);
	assert_int_equal(lab_audit(trial.lab), 0);
	assert_true(lab_counts(trial.lab)->exits_to_l1 > trial.accesses / 8);
	printf("# %s: %llu accesses, %llu exits to L1, %llu differences\n", trial.place->name,
	       (unsigned long long)trial.accesses,
	       (unsigned long long)lab_counts(trial.lab)->exits_to_l1,
	       (unsigned long long)lab_counts(trial.lab)->differences);
	assert_int_equal(lab_counts(trial.lab)->differences, 0);
	lab_free(trial.lab);
	free(memory.bare);
	free(memory.umbra);
}

int main(void)
{
	struct CMUnitTest tests[PLACES];

	for (unsigned i = 0; i < PLACES; i++)
		tests[i] = (struct CMUnitTest){places[i].name, injected_as_on_the_bare_machine,
					       NULL, NULL, (void *)(uintptr_t)&places[i]};
	return _cmocka_run_group_tests("injection", tests, PLACES, NULL, NULL);
}
