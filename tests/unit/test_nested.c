/* SPDX-License-Identifier: MIT */
/*
 * test_nested.c - L1's EPT and NPT, mirrored: roots of every shape, what L1 sees, what may lag.
 *
 * L1's tables have one page a level, at TABLE(level), and map L2's 2M region at NGPA:
 * entry k of the last table leads to L1's page DATA + k pages.
 */
#include "core/nested.h"
#include "tests/unit/guest.h"

#define TABLE(level) (0x10000ull * (level))
#define DATA 0x400000ull
#define NGPA 0x40000000ull /* PDPTE 1: not the first entry anywhere */

enum kind { NPT_32, NPT_PAE, NPT_4, NPT_5, EPT_4, EPT_5, KINDS };

static const struct {
	const char *name;
	unsigned top;
	bool ept;
} kinds[KINDS] = {
	{"2-level", 2, false}, {"PAE", 3, false},  {"4-level", 4, false},
	{"5-level", 5, false}, {"EPT 4", 4, true}, {"EPT 5", 5, true},
};

struct nest {
	struct kit kit;
	enum kind kind;
	/** Root of L1's tables, CR3-like: low bits too. */
	uint64_t root;
	struct umbra_nested state;
};

/* Rights of entries that L1 writes. */
#define R_ 1u
#define W_ 2u
#define X_ 4u

static uint64_t leaf_bits(const struct nest *nest, unsigned rights)
{
	if (kinds[nest->kind].ept)
		return rights | 6u << 3 | 1u << 10;
	/* P, W, U, A, D */
	return 0x65 | (rights & W_) | (rights & X_ || nest->kind == NPT_32 ? 0 : 1ull << 63);
}

static uint64_t entry_at(const struct nest *nest, unsigned level, uint64_t ngpa)
{
	unsigned shift = nest->kind == NPT_32 ? 10 : 9;
	uint64_t index = ngpa >> (12 + shift * (level - 1)) & ((1u << shift) - 1);
	uint64_t table = level == kinds[nest->kind].top ? nest->root & ~0x1full : TABLE(level);

	return table + index * (nest->kind == NPT_32 ? 4 : 8);
}

static void put(struct nest *nest, uint64_t at, uint64_t value)
{
	if (nest->kind == NPT_32)
		put32(&nest->kit, at, (uint32_t)value);
	else
		put64(&nest->kit, at, value);
}

static void build(struct nest *nest)
{
	const unsigned top = kinds[nest->kind].top;

	for (unsigned level = top; level > 1; level--) {
		bool pdpte = nest->kind == NPT_PAE && level == 3;
		uint64_t table = kinds[nest->kind].ept ? 0x407 : pdpte ? 1 : 0x27;

		put(nest, entry_at(nest, level, NGPA), TABLE(level - 1) | table);
	}
	for (unsigned k = 0; k < 8; k++)
		put(nest, entry_at(nest, 1, NGPA + k * 4096ull),
		    (DATA + k * 4096ull) | leaf_bits(nest, R_ | W_ | X_));
}

static struct umbra_regs host_regs(enum kind kind)
{
	struct umbra_regs regs = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
				  .efer = UMBRA_EFER_NXE};

	if (kind == NPT_32)
		regs.cr4 = UMBRA_CR4_PSE;
	else
		regs.cr4 = UMBRA_CR4_PAE;
	if (kind == NPT_4 || kind == NPT_5 || kind >= EPT_4)
		regs.efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (kind == NPT_5)
		regs.cr4 |= UMBRA_CR4_LA57;
	return regs;
}

static void nest_config(struct nest *nest, enum kind kind, const struct umbra_vm_config *config)
{
	struct umbra_regs regs = host_regs(kind);

	nest->kind = kind;
	nest->root = TABLE(kinds[kind].top) | (kind == NPT_PAE ? 0x60 : 0);
	kit_open(&nest->kit, config, 3);
	build(nest);
	assert_int_equal(umbra_vcpu_set_regs(nest->kit.vcpu, &regs, false), UMBRA_OK);
	nest->state = (struct umbra_nested){
		.paging = kinds[kind].ept ? UMBRA_NESTED_EPT : UMBRA_NESTED_NPT,
		.regs = {.cr0 = UMBRA_CR0_PE},
		.pointer = nest->root,
		.tag = 1,
	};
	if (kinds[kind].ept)
		nest->state.pointer |= 6 | (kinds[kind].top - 1) << 3 | 1u << 6;
}

static void nest_open(struct nest *nest, enum kind kind, unsigned levels)
{
	struct umbra_vm_config config =
		kit_config(kinds[kind].ept ? UMBRA_PAGING_EPT : UMBRA_PAGING_NPT);

	config.levels = (uint8_t)levels;
	nest_config(nest, kind, &config);
}

static void enter(struct nest *nest)
{
	assert_int_equal(umbra_vcpu_enter_nested(nest->kit.vcpu, &nest->state), UMBRA_OK);
}

static void leave(struct nest *nest)
{
	umbra_vcpu_leave_nested(nest->kit.vcpu);
	assert_null(umbra_vcpu_nested(nest->kit.vcpu));
}

static void load(struct nest *nest, struct umbra_root *root)
{
	assert_int_equal(umbra_vcpu_load(nest->kit.vcpu, root), UMBRA_OK);
}

/* What hardware finds for L2's @ngpa. */
static struct seen look_nested(struct nest *nest, uint64_t ngpa)
{
	struct page *own = nest->kit.vcpu->own.root;
	struct seen seen;

	nest->kit.vcpu->own.root = nest->kit.vcpu->nested.root;
	seen = look(&nest->kit, ngpa);
	nest->kit.vcpu->own.root = own;
	return seen;
}

static void assert_maps(struct nest *nest, uint64_t ngpa, uint64_t gpa)
{
	struct seen seen = look_nested(nest, ngpa);

	assert_true(seen.leaf);
	assert_int_equal(entry_pfn(&nest->kit.vm->mmu.kind, seen.entry).v, frame_of(gpa));
}

/* Every pair of formats that hardware has. */
#define LEGAL(kind, levels)                                                     \
	(kinds[kind].ept ? (levels) >= 4 && !((levels) == 4 && (kind) == EPT_5) \
			 : kinds[kind].top <= (levels) && !((levels) == 3 && (kind) >= NPT_4))

static void r30_roots_of_every_shape(void **state)
{
	unsigned shapes = 0;

	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (unsigned levels = 3; levels <= 5; levels++) {
			struct nest nest;
			struct umbra_root root;
			struct page *page;

			if (!LEGAL(kind, levels))
				continue;
			shapes++;
			nest_open(&nest, kind, levels);
			enter(&nest);
			load(&nest, &root);
			assert_true(root.nested && root.flush);
			page = nest.kit.vcpu->nested.root;
			assert_int_equal(page->role.level,
					 kinds[kind].ept ? kinds[kind].top : levels);
			assert_int_equal(page->role.promoted, page->role.level > kinds[kind].top);
			assert_int_equal(page->role.pae_root, page->role.level == 3);
			assert_int_equal(page->gfn, TABLE(kinds[kind].top) >> 12);
			assert_int_equal(page->role.pae_offset, kind == NPT_PAE ? 3 : 0);
			assert_int_equal(root.pointer & ~0xfffull, page->hpa.v);
			if (kinds[kind].ept)
				assert_int_equal(root.pointer & 0xfff, 0x46 | (kinds[kind].top - 1)
										       << 3);
			for (unsigned k = 0; k < 8; k++) {
				resume(&nest.kit, NGPA + k * 4096ull, UMBRA_ACCESS_WRITE);
				assert_maps(&nest, NGPA + k * 4096ull, DATA + k * 4096ull);
				assert_clean(&nest.kit);
			}
			leave(&nest);
			load(&nest, &root);
			assert_false(root.nested);
			kit_close(&nest.kit);
		}
	}
	assert_int_equal(shapes, 2 + 3 + 4 + 3);
}

/* What hardware reports when it meets an MMIO entry. */
static struct umbra_resolution meet(struct nest *nest, uint64_t ngpa)
{
	struct umbra_exit exit = tdp_exit(&nest->kit, ngpa, UMBRA_ACCESS_READ);
	struct umbra_resolution what;

	if (kinds[nest->kind].ept)
		exit.event.kind = UMBRA_EVENT_EPT_MISCONFIG;
	else
		exit.event.code |= UMBRA_PF_P | UMBRA_PF_RSVD;
	assert_int_equal(umbra_vcpu_fault(nest->kit.vcpu, &exit, &what), UMBRA_OK);
	return what;
}

/* L1 lets L2 at a device, in every format: the entry names L1's frame. When it is old, NPT's
 * fault says what is wanted, EPT's does not: the entry goes, and a violation tells. */
static void q29_mmio_of_every_shape(void **state)
{
	const uint64_t device = 0xe0000000, at = NGPA + 3 * 4096;

	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (unsigned levels = 3; levels <= 5; levels++) {
			const struct entry_kind *entries;
			struct umbra_root root;
			struct nest nest;

			if (!LEGAL(kind, levels))
				continue;
			nest_open(&nest, kind, levels);
			entries = &nest.kit.vm->mmu.kind;
			put(&nest, entry_at(&nest, 1, at), device | leaf_bits(&nest, R_ | W_ | X_));
			enter(&nest);
			load(&nest, &root);
			assert_int_equal(touch(&nest.kit, at, UMBRA_ACCESS_READ).verdict,
					 UMBRA_MMIO);
			assert_true(entry_is_mmio(entries, look_nested(&nest, at).entry));
			assert_int_equal(meet(&nest, at + 5).gpa.v, device + 5);
			assert_int_equal(kit_stats(&nest.kit).pf_taken, 1);
			assert_false(nest.kit.vcpu->mmio.valid);
			assert_clean(&nest.kit);
			assert_int_equal(
				kit_slot(&nest.kit, 1, 0xd0000000, 4096, nest.kit.hva.v, 0),
				UMBRA_OK);
			load(&nest, &root);
			assert_int_equal(meet(&nest, at).verdict,
					 kinds[kind].ept ? UMBRA_RETRY : UMBRA_MMIO);
			assert_int_equal(entry_is_mmio(entries, look_nested(&nest, at).entry),
					 !kinds[kind].ept);
			assert_int_equal(touch(&nest.kit, at, UMBRA_ACCESS_READ).verdict,
					 UMBRA_MMIO);
			assert_int_equal(meet(&nest, at).verdict, UMBRA_MMIO);
			/* L1 takes it away, by a write that is emulated. */
			write64(&nest.kit, entry_at(&nest, 1, at) & ~7ull, 0);
			assert_false(entry_is_mmio(entries, look_nested(&nest, at).entry));
			assert_int_equal(meet(&nest, at).verdict, UMBRA_RETRY);
			assert_clean(&nest.kit);
			kit_close(&nest.kit);
		}
	}
}

/* The root's gfn with another format of L1 is another root, whatever it is promoted to
 * and each is found again. */
static void r32_same_gfn_other_format(void **state)
{
	static const enum kind order[] = {NPT_4, NPT_5, NPT_PAE, NPT_32};
	struct page *seen[4];
	struct nest nest;
	struct umbra_root root;

	(void)state;
	nest_open(&nest, NPT_4, 5);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 4; i++) {
			struct umbra_regs regs = host_regs(order[i]);

			assert_int_equal(umbra_vcpu_set_regs(nest.kit.vcpu, &regs, false),
					 UMBRA_OK);
			nest.state.pointer = TABLE(4);
			enter(&nest);
			load(&nest, &root);
			if (round == 0)
				seen[i] = nest.kit.vcpu->nested.root;
			assert_ptr_equal(nest.kit.vcpu->nested.root, seen[i]);
			for (unsigned j = 0; j < i; j++)
				assert_ptr_not_equal(seen[i], seen[j]);
			leave(&nest);
		}
	}
	kit_close(&nest.kit);
}

/* Guest writes to the promoted root's first bytes do not concern the portal. */
static void r31_portal_is_no_mirror(void **state)
{
	struct nest nest;
	struct umbra_root root;
	struct page *portal;
	uint64_t first = 0;

	(void)state;
	nest_open(&nest, NPT_4, 5);
	enter(&nest);
	load(&nest, &root);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_READ);
	portal = nest.kit.vcpu->nested.root;
	/* Upper tables are write protected: emulated. */
	leave(&nest);
	assert_int_equal(touch(&nest.kit, TABLE(4), UMBRA_ACCESS_WRITE).verdict, UMBRA_EMULATE);
	write64(&nest.kit, TABLE(4), get64(&nest.kit, TABLE(4)) | 1ull << 52);
	enter(&nest);
	load(&nest, &root);
	assert_ptr_equal(nest.kit.vcpu->nested.root, portal);
	assert_true(entry_is_present(&nest.kit.vm->mmu.kind,
				     table_read(&nest.kit.vm->mmu, (struct table_at){portal, 0})));
	/* What it mirrors is gone one level down. */
	assert_false(look_nested(&nest, NGPA).leaf);
	write64(&nest.kit, TABLE(4), first);
	assert_int_equal(touch(&nest.kit, NGPA, UMBRA_ACCESS_READ).verdict, UMBRA_INJECT);
	kit_close(&nest.kit);
}

/* ---- what L1 sees ---- */

static struct umbra_resolution nested_touch(struct nest *nest, const struct umbra_event *event,
					    uint8_t cpl)
{
	const struct umbra_exit exit = {.event = *event, .cpl = cpl};
	struct umbra_resolution what;

	assert_int_equal(umbra_vcpu_fault(nest->kit.vcpu, &exit, &what), UMBRA_OK);
	return what;
}

static void n8_npf_code(void **state)
{
	/* Entry of the last table, the hardware's code (of an empty mirror), what L1 gets. */
	static const struct {
		uint64_t entry, hardware, want;
	} rows[] = {
		{0, 0x100000004, 0x100000004}, /* read, not present */
		{0, 0x100000006, 0x100000006}, /* write */
		{0, 0x100000014, 0x100000014}, /* fetch */
		{0, 0x200000006, 0x200000006}, /* a table of L2's */
		{DATA | 3, 0x100000004, 0x100000005}, /* not the user's */
		{DATA | 5, 0x100000006, 0x100000007}, /* read only */
		{DATA | 5, 0x200000006, 0x200000007}, /* ... with a table of L2's in it */
		{DATA | 7 | 1ull << 63, 0x100000014, 0x100000015},
		{DATA | 7 | 1ull << 50, 0x100000004, 0x10000000d}, /* reserved */
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nest nest;
		struct umbra_root root;
		struct umbra_resolution what;
		struct umbra_event event = {UMBRA_EVENT_NPF, rows[i].hardware, {0}, {NGPA + 0x123}};

		nest_open(&nest, NPT_4, 4);
		put(&nest, entry_at(&nest, 1, NGPA), rows[i].entry);
		enter(&nest);
		load(&nest, &root);
		what = nested_touch(&nest, &event, 0);
		assert_int_equal(what.verdict, UMBRA_INJECT);
		assert_true(what.to_l1);
		assert_int_equal(what.event.kind, UMBRA_EVENT_NPF);
		assert_int_equal(what.event.code, rows[i].want);
		assert_int_equal(what.event.gpa.v, NGPA + 0x123);
		kit_close(&nest.kit);
	}
}

static void n6_ept_qualification(void **state)
{
	static const struct {
		uint64_t entry, hardware, want;
	} rows[] = {
		{0, 0x181, 0x181}, /* not present */
		{0, 0xa81, 0x081 | 0xa00},
		{DATA | 0x31, 0x182, 0x18a}, /* R: write */
		{DATA | 0x33, 0x184, 0x19c}, /* RW: fetch */
		{DATA | 0x31, 0x083, 0x08b}, /* a table of L2's, A/D on */
		{DATA | 0x31, 0x2182, 0x218a}, /* shadow stack */
		{DATA | 0x35, 0xf82, 0xfaa}, /* advanced bits are the hardware's */
		{DATA | 0x32, 0x181, 0}, /* W only: misconfiguration (E-4) */
		{DATA | 0x11, 0x181, 0}, /* memory type 2 */
		{DATA | 0x37 | 1ull << 50, 0x181, 0},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nest nest;
		struct umbra_root root;
		struct umbra_resolution what;
		struct umbra_event event = {
			UMBRA_EVENT_EPT_VIOLATION, rows[i].hardware, {0x7123}, {NGPA + 0x123}};

		nest_open(&nest, EPT_4, 4);
		put(&nest, entry_at(&nest, 1, NGPA), rows[i].entry);
		enter(&nest);
		load(&nest, &root);
		what = nested_touch(&nest, &event, 0);
		assert_int_equal(what.verdict, UMBRA_INJECT);
		assert_true(what.to_l1);
		assert_int_equal(what.event.gpa.v, NGPA + 0x123);
		if (rows[i].want) {
			assert_int_equal(what.event.kind, UMBRA_EVENT_EPT_VIOLATION);
			assert_int_equal(what.event.code, rows[i].want);
			assert_int_equal(what.event.gva.v, 0x7123);
		} else {
			assert_int_equal(what.event.kind, UMBRA_EVENT_EPT_MISCONFIG);
		}
		kit_close(&nest.kit);
	}
}

/* N-9: L1 says which #PFs of L2 it wants. */
static void n9_page_faults_by_intercept(void **state)
{
	static const struct {
		bool exits;
		uint32_t mask, match;
		uint64_t code;
		bool to_l1;
	} rows[] = {
		{false, 0, 0, 6, false}, {true, 0, 0, 6, true},  {true, 4, 4, 6, true},
		{true, 4, 4, 2, false},  {false, 4, 4, 2, true}, {false, 4, 4, 6, false},
	};
	struct nest nest;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct umbra_event event = {.kind = UMBRA_EVENT_PF, .code = rows[i].code};

		nest.state.pf_exits = rows[i].exits;
		nest.state.pf_mask = rows[i].mask;
		nest.state.pf_match = rows[i].match;
		assert_false(umbra_vcpu_exits_to_l1(nest.kit.vcpu, &event));
		enter(&nest);
		assert_int_equal(umbra_vcpu_exits_to_l1(nest.kit.vcpu, &event), rows[i].to_l1);
		leave(&nest);
	}
	kit_close(&nest.kit);
}

/* ---- what may lag ---- */

/* L1 maps another page where L2 has one cached: seen after INVEPT, not before; writes to
 * L1's last-level table are free after the first. */
static void s20_ept_lags_until_invept(void **state)
{
	for (unsigned type = 1; type <= 2; type++) {
		struct nest nest;
		struct umbra_root root;

		(void)state;
		nest_open(&nest, EPT_4, 4);
		enter(&nest);
		load(&nest, &root);
		resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
		leave(&nest);
		load(&nest, &root);
		resume(&nest.kit, TABLE(1), UMBRA_ACCESS_WRITE);
		assert_true(look(&nest.kit, TABLE(1)).acc & ACC_WRITE);
		put(&nest, entry_at(&nest, 1, NGPA), (DATA + 0x9000) | leaf_bits(&nest, 7));
		enter(&nest);
		load(&nest, &root);
		assert_maps(&nest, NGPA, DATA);
		leave(&nest);
		assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, type, nest.state.pointer),
				 UMBRA_OK);
		enter(&nest);
		load(&nest, &root);
		assert_true(root.flush);
		assert_false(look_nested(&nest, NGPA).leaf);
		assert_false(look(&nest.kit, TABLE(1)).acc & ACC_WRITE);
		resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
		assert_maps(&nest, NGPA, DATA + 0x9000);
		kit_close(&nest.kit);
	}
}

/* Edit the last-level entry of NGPA as L1 would. */
static void edit(struct nest *nest, uint64_t gpa)
{
	struct umbra_root root;

	load(nest, &root);
	resume(&nest->kit, TABLE(1), UMBRA_ACCESS_WRITE);
	put(nest, entry_at(nest, 1, NGPA), gpa | leaf_bits(nest, 7));
}

/* INVEPT of another EPTP does not concern this one; one of an EPTP that is kept does. */
static void n10_invept_by_eptp(void **state)
{
	struct nest nest;
	struct umbra_root root;
	uint64_t first, other;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	first = nest.state.pointer;
	other = (first & 0xfff) | 0x90000;
	put64(&nest.kit, 0x90000, get64(&nest.kit, TABLE(4)));
	load(&nest, &root);
	enter(&nest);
	load(&nest, &root);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
	leave(&nest);
	edit(&nest, DATA + 0x9000);
	load(&nest, &root);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 1, other), UMBRA_OK);
	enter(&nest);
	load(&nest, &root);
	assert_false(root.flush);
	assert_maps(&nest, NGPA, DATA);
	leave(&nest);
	/* Kept, not in use. */
	nest.state.pointer = other;
	enter(&nest);
	load(&nest, &root);
	leave(&nest);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 1, first), UMBRA_OK);
	nest.state.pointer = first;
	enter(&nest);
	load(&nest, &root);
	assert_false(look_nested(&nest, NGPA).leaf);
	/* All, whatever EPTP is named. */
	resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
	leave(&nest);
	edit(&nest, DATA);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 2, 0), UMBRA_OK);
	enter(&nest);
	load(&nest, &root);
	assert_true(root.flush);
	assert_false(look_nested(&nest, NGPA).leaf);
	/* All that are kept, too. */
	resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
	leave(&nest);
	nest.state.pointer = other;
	enter(&nest);
	load(&nest, &root);
	leave(&nest);
	edit(&nest, DATA + 0x9000);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 2, 0), UMBRA_OK);
	nest.state.pointer = first;
	enter(&nest);
	load(&nest, &root);
	assert_false(look_nested(&nest, NGPA).leaf);
	kit_close(&nest.kit);
}

/* Instructions of L1 that drop L2's linear translations: one tag, flushed at the entry. */
static void h112_linear_flushes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct nest nest;
		struct umbra_root root;

		nest_open(&nest, i ? NPT_4 : EPT_4, 4);
		load(&nest, &root);
		enter(&nest);
		load(&nest, &root);
		leave(&nest);
		load(&nest, &root);
		enter(&nest);
		load(&nest, &root);
		assert_false(root.flush);
		leave(&nest);
		if (i == 0)
			assert_int_equal(umbra_vcpu_invvpid(nest.kit.vcpu, 1, 1, (umbra_gva){0}),
					 UMBRA_OK);
		else
			umbra_vcpu_invlpga(nest.kit.vcpu, (umbra_gva){0}, i == 1);
		enter(&nest);
		load(&nest, &root);
		/* ASID 0 is L1's own. */
		assert_int_equal(root.flush, i < 2);
		kit_close(&nest.kit);
	}
}

/* Without VPIDs L1 and L2 share one: each transition flushes (H-112). What L1 was owed before
 * stays owed while L2 runs. */
static void h112_without_vpids(void **state)
{
	struct nest nest;
	struct umbra_root root;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	load(&nest, &root);
	nest.state.tag = 0;
	for (unsigned i = 0; i < 2; i++) {
		enter(&nest);
		load(&nest, &root);
		assert_true(root.nested && root.flush);
		leave(&nest);
		load(&nest, &root);
		assert_true(!root.nested && root.flush);
		load(&nest, &root);
		assert_false(root.flush);
	}
	/* L2 without EPT meets the new TDP root first; L1 must flush for it as well. */
	nest.state.tag = 1;
	nest.state.paging = UMBRA_NESTED_NONE;
	umbra_vm_zap_all(nest.kit.vm);
	enter(&nest);
	load(&nest, &root);
	assert_true(root.flush);
	leave(&nest);
	load(&nest, &root);
	assert_true(root.flush);
	kit_close(&nest.kit);
}

/* A mirror of frame 0 is in one hash bucket with the TDP root, which must be found behind it. */
static void s40_tdp_root_behind_a_mirror(void **state)
{
	struct nest nest;
	struct umbra_root root;

	(void)state;
	nest_open(&nest, NPT_4, 4);
	for (unsigned i = 0; i < 512; i++)
		put64(&nest.kit, i * 8, get64(&nest.kit, TABLE(4) + i * 8));
	nest.state.pointer = 0;
	load(&nest, &root);
	resume(&nest.kit, TABLE(2), UMBRA_ACCESS_WRITE);
	enter(&nest);
	load(&nest, &root);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_READ);
	assert_clean(&nest.kit);
	leave(&nest);
	assert_int_equal(touch(&nest.kit, TABLE(2), UMBRA_ACCESS_WRITE).verdict, UMBRA_EMULATE);
	kit_close(&nest.kit);
}

/* TLB_CONTROL 1 reaches the roots that are kept, all of them, and the one in use until now. */
static void h112_all_asids(void **state)
{
	struct rootset *set;
	struct nest nest;
	struct umbra_root root;

	(void)state;
	nest_open(&nest, NPT_4, 4);
	set = &nest.kit.vcpu->nested;
	for (unsigned i = 0; i <= ROOTSET_PREVIOUS; i++) {
		nest.state.pointer = TABLE(4) + i * 4096;
		enter(&nest);
		load(&nest, &root);
		leave(&nest);
	}
	assert_non_null(set->previous[ROOTSET_PREVIOUS - 1]);
	nest.state.tlb_control = 1;
	nest.state.tag++;
	nest.state.pointer = TABLE(4);
	enter(&nest);
	assert_non_null(set->previous[0]);
	for (unsigned i = 0; i < ROOTSET_PREVIOUS; i++)
		assert_int_equal(set->previous_epoch[i], 0);
	assert_true(set->sync);
	assert_int_equal(set->since, 0);
	kit_close(&nest.kit);
}

/* The same with VMRUN: the ASID stays and no flush is asked for, another ASID, TLB_CONTROL. */
static void h112_npt_lags_until_flush(void **state)
{
	static const struct {
		uint32_t asid;
		uint8_t tlb_control;
		bool synced, flushed;
	} rows[] = {{1, 0, false, false},
		    {2, 0, true, true},
		    {1, 1, true, true},
		    {1, 3, true, true},
		    {1, 7, false, true}};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nest nest;
		struct umbra_root root;

		nest_open(&nest, NPT_PAE, 4);
		load(&nest, &root);
		enter(&nest);
		load(&nest, &root);
		resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
		load(&nest, &root);
		leave(&nest);
		load(&nest, &root);
		resume(&nest.kit, TABLE(1), UMBRA_ACCESS_WRITE);
		put(&nest, entry_at(&nest, 1, NGPA), (DATA + 0x9000) | leaf_bits(&nest, 7));
		nest.state.tag = rows[i].asid;
		nest.state.tlb_control = rows[i].tlb_control;
		enter(&nest);
		load(&nest, &root);
		assert_int_equal(root.flush, rows[i].flushed);
		assert_int_equal(look_nested(&nest, NGPA).leaf, !rows[i].synced);
		kit_close(&nest.kit);
	}
}

/* Mirroring a table takes write access to it away everywhere: from 4K and large TDP
 * leaves, and from L2 if L1 lets it see the table. */
static void s40_tables_are_protected(void **state)
{
	(void)state;
	for (unsigned large = 0; large < 2; large++) {
		struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
		struct nest nest;
		struct umbra_root root;

		config.page_level = large ? 2 : 1;
		nest_config(&nest, EPT_4, &config);
		put(&nest, entry_at(&nest, 1, NGPA), TABLE(2) | leaf_bits(&nest, R_ | W_));
		load(&nest, &root);
		assert_int_equal(resume(&nest.kit, TABLE(2), UMBRA_ACCESS_WRITE), large ? 2 : 1);
		enter(&nest);
		load(&nest, &root);
		/* The first makes the mirror. */
		resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
		assert_false(look_nested(&nest, NGPA).acc & ACC_WRITE);
		assert_int_equal(touch(&nest.kit, NGPA, UMBRA_ACCESS_WRITE).verdict, UMBRA_EMULATE);
		resume(&nest.kit, NGPA + 4096, UMBRA_ACCESS_WRITE);
		assert_clean(&nest.kit);
		leave(&nest);
		load(&nest, &root);
		assert_false(look(&nest.kit, TABLE(2)).leaf &&
			     look(&nest.kit, TABLE(2)).acc & ACC_WRITE);
		assert_int_equal(touch(&nest.kit, TABLE(2), UMBRA_ACCESS_WRITE).verdict,
				 UMBRA_EMULATE);
		assert_int_equal(resume(&nest.kit, TABLE(2), UMBRA_ACCESS_READ), large);
		/* Without an emulator: the table is forgotten. */
		assert_true(umbra_vm_unprotect(nest.kit.vm, (umbra_gpa){TABLE(2)}));
		resume(&nest.kit, TABLE(2), UMBRA_ACCESS_WRITE);
		kit_close(&nest.kit);
	}
}

/* G-38, H-81: clean in L1's table, read only in the mirror until L2 writes. */
static void g38_clean_pages_of_l1(void **state)
{
	struct nest nest;
	struct umbra_root root;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	enter(&nest);
	load(&nest, &root);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_READ);
	assert_false(look_nested(&nest, NGPA).acc & ACC_WRITE);
	assert_int_equal(get64(&nest.kit, entry_at(&nest, 1, NGPA)) >> 8 & 3, 1);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
	assert_true(look_nested(&nest, NGPA).acc & ACC_WRITE);
	assert_int_equal(get64(&nest.kit, entry_at(&nest, 1, NGPA)) >> 8 & 3, 3);
	kit_close(&nest.kit);

	/* EPTP.6 clear: nobody sets A or D, W comes at once. */
	nest_open(&nest, EPT_4, 4);
	nest.state.pointer &= ~(1ull << 6);
	enter(&nest);
	load(&nest, &root);
	assert_int_equal(root.pointer & 1u << 6, 0);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_READ);
	assert_true(look_nested(&nest, NGPA).acc & ACC_WRITE);
	assert_int_equal(get64(&nest.kit, entry_at(&nest, 1, NGPA)) >> 8 & 3, 0);
	kit_close(&nest.kit);
}

/* ---- PML and VMFUNC ---- */

static void n12_pml(void **state)
{
	struct nest nest;
	struct umbra_root root;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	nest.state.pml = true;
	nest.state.pml_address = 0x3000;
	nest.state.pml_index = 1;
	enter(&nest);
	load(&nest, &root);
	resume(&nest.kit, NGPA + 0x10, UMBRA_ACCESS_READ);
	assert_int_equal(umbra_vcpu_nested(nest.kit.vcpu)->pml_index, 1);
	resume(&nest.kit, NGPA + 0x10, UMBRA_ACCESS_WRITE);
	resume(&nest.kit, NGPA + 0x1010, UMBRA_ACCESS_WRITE);
	assert_int_equal(get64(&nest.kit, 0x3008), NGPA);
	assert_int_equal(get64(&nest.kit, 0x3000), NGPA + 0x1000);
	assert_int_equal(umbra_vcpu_nested(nest.kit.vcpu)->pml_index, 0xffff);
	/* Once dirty, no log is needed. */
	resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
	assert_int_equal(touch(&nest.kit, NGPA + 0x2000, UMBRA_ACCESS_WRITE).event.kind,
			 UMBRA_EVENT_PML_FULL);
	assert_int_equal(get64(&nest.kit, entry_at(&nest, 1, NGPA + 0x2000)) >> 8 & 3, 0);
	kit_close(&nest.kit);
}

/* Any index beyond the page is a full log. */
static void h82_pml_index(void **state)
{
	static const struct {
		uint16_t index;
		bool full;
	} cases[] = {{511, false}, {512, true}, {513, true}, {0x8000, true}, {0xffff, true}};
	struct umbra_root root;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nest nest;

		nest_open(&nest, EPT_4, 4);
		nest.state.pml = true;
		nest.state.pml_address = 0x3000;
		nest.state.pml_index = cases[i].index;
		enter(&nest);
		load(&nest, &root);
		if (cases[i].full) {
			assert_int_equal(touch(&nest.kit, NGPA, UMBRA_ACCESS_WRITE).event.kind,
					 UMBRA_EVENT_PML_FULL);
			assert_int_equal(get64(&nest.kit, 0x4000), 0);
		} else {
			resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
			assert_int_equal(get64(&nest.kit, 0x3ff8), NGPA);
		}
		kit_close(&nest.kit);
	}
}

/* The log goes with EPTP.6 of the EPTP in use. */
static void n11_vmfunc_and_log(void **state)
{
	struct nest nest;
	struct umbra_root root;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	nest.state.pml = true;
	nest.state.pml_address = 0x3000;
	nest.state.pml_index = 7;
	nest.state.eptp_list = 0x5000;
	put64(&nest.kit, 0x5008, nest.state.pointer & ~(1ull << 6));
	enter(&nest);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 1), UMBRA_OK);
	load(&nest, &root);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_WRITE);
	assert_int_equal(umbra_vcpu_nested(nest.kit.vcpu)->pml_index, 7);
	leave(&nest);
	/* Without EPT there is nothing to switch. */
	nest.state.paging = UMBRA_NESTED_NONE;
	enter(&nest);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 1), UMBRA_EOPNOTSUPP);
	kit_close(&nest.kit);
}

/* Bits 9-11 only where L1 has advanced exit information (H-79). */
static void n6_no_advanced_information(void **state)
{
	const struct umbra_event event = {
		UMBRA_EVENT_EPT_VIOLATION, 0xf82, {0x7123}, {NGPA + 0x8123}};
	struct umbra_vcpu *first;
	struct umbra_regs regs = host_regs(EPT_4);
	struct umbra_cpu cpu = intel_cpu();
	struct umbra_resolution what;
	struct nest nest;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	first = nest.kit.vcpu;
	cpu.features &= ~UMBRA_CPU_EPT_ADVINFO;
	assert_int_equal(umbra_vcpu_create(nest.kit.vm, &cpu, &nest.kit.vcpu), UMBRA_OK);
	assert_int_equal(umbra_vcpu_set_regs(nest.kit.vcpu, &regs, false), UMBRA_OK);
	enter(&nest);
	what = nested_touch(&nest, &event, 0);
	assert_true(what.to_l1);
	assert_int_equal(what.event.code, 0x182);
	umbra_vcpu_destroy(nest.kit.vcpu);
	nest.kit.vcpu = first;
	kit_close(&nest.kit);
}

static void n11_vmfunc(void **state)
{
	struct umbra_root first, second;
	struct nest nest;
	uint64_t other;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	other = (nest.state.pointer & 0xfff) | 0x90000;
	put64(&nest.kit, 0x5000, nest.state.pointer);
	put64(&nest.kit, 0x5008, other);
	put64(&nest.kit, 0x5010, other | 1); /* memory type 7 */
	put64(&nest.kit, 0x5018, other + 8); /* 5 levels */
	/* The other root has the same PDPT. */
	put64(&nest.kit, 0x90000, get64(&nest.kit, TABLE(4)));
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 1), UMBRA_EOPNOTSUPP);
	enter(&nest);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 1), UMBRA_EOPNOTSUPP);
	leave(&nest);
	nest.state.eptp_list = 0x5000;
	enter(&nest);
	load(&nest, &first);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_READ);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 512), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 2), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 3), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_nested(nest.kit.vcpu)->pointer, nest.state.pointer);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 1), UMBRA_OK);
	assert_int_equal(umbra_vcpu_nested(nest.kit.vcpu)->pointer, other);
	load(&nest, &second);
	assert_int_not_equal(first.pointer, second.pointer);
	resume(&nest.kit, NGPA, UMBRA_ACCESS_READ);
	assert_maps(&nest, NGPA, DATA);
	assert_int_equal(umbra_vcpu_vmfunc(nest.kit.vcpu, 0), UMBRA_OK);
	load(&nest, &second);
	assert_int_equal(first.pointer, second.pointer);
	assert_maps(&nest, NGPA, DATA);
	kit_close(&nest.kit);
}

/* E-8: L1's EPT without A/D lets L2's tables be read only; KVM's walker wants W as well. */
static void e8_tables_of_l2_in_read_only_pages(void **state)
{
	(void)state;
	for (unsigned kvm = 0; kvm < 2; kvm++) {
		struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
		const uint64_t cr3 = NGPA, next = NGPA + 4096;
		struct umbra_translation t;
		struct umbra_regs regs;
		struct nest nest;

		config.kvm_nested_walks = kvm;
		nest_config(&nest, EPT_4, &config);
		nest.state.pointer &= ~(1ull << 6);
		for (unsigned k = 0; k < 2; k++)
			put(&nest, entry_at(&nest, 1, NGPA + k * 4096ull),
			    (DATA + k * 4096ull) | leaf_bits(&nest, R_));
		/* L2's tables: one page as root, PDPT and PD, another below; A and D set. */
		put64(&nest.kit, DATA, cr3 | 0x67);
		put64(&nest.kit, DATA + 8, next | 0x67);
		put64(&nest.kit, DATA + 4096, (NGPA + 0x2000) | 0x67);
		nest.state.regs = host_regs(NPT_4);
		nest.state.regs.cr3 = cr3;
		enter(&nest);
		assert_int_equal(umbra_vcpu_translate(nest.kit.vcpu, (umbra_gva){1ull << 21},
						      UMBRA_ACCESS_READ, true, &t),
				 UMBRA_OK);
		assert_int_equal(t.event.kind, kvm ? UMBRA_EVENT_EPT_VIOLATION : UMBRA_EVENT_NONE);
		assert_int_equal(umbra_vcpu_exits_to_l1(nest.kit.vcpu, &t.event), kvm);
		if (!kvm)
			assert_int_equal(t.gpa.v, DATA + 0x2000);
		/* PDPTEs, loaded as data. */
		put64(&nest.kit, DATA, 0);
		put64(&nest.kit, DATA + 8, 0);
		regs = host_regs(NPT_PAE);
		regs.cr3 = cr3;
		assert_int_equal(umbra_vcpu_set_regs(nest.kit.vcpu, &regs, true),
				 kvm ? UMBRA_EFAULT : UMBRA_OK);
		kit_close(&nest.kit);
	}
}

/* ---- errors ---- */

static void enter_refuses(struct nest *nest, const struct umbra_nested *state,
			  enum umbra_status status)
{
	assert_int_equal(umbra_vcpu_enter_nested(nest->kit.vcpu, state), status);
	assert_null(umbra_vcpu_nested(nest->kit.vcpu));
}

static void errors_change_nothing(void **state)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	struct nest nest;
	struct umbra_nested bad;

	(void)state;
	nest_open(&nest, EPT_4, 4);
	bad = nest.state;
	bad.pointer |= 7;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	bad = nest.state;
	bad.pointer |= 1ull << 50;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	bad = nest.state;
	bad.regs.cr0 = UMBRA_CR0_PG;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	bad = nest.state;
	bad.tag = 0x10000;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	bad = nest.state;
	bad.paging = UMBRA_NESTED_NPT;
	enter_refuses(&nest, &bad, UMBRA_EOPNOTSUPP);
	bad.paging = UMBRA_NESTED_COUNT;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	/* PDPTEs of L2: reserved bits. */
	bad = nest.state;
	bad.regs.cr0 |= UMBRA_CR0_PG;
	bad.regs.cr4 = UMBRA_CR4_PAE;
	bad.regs.pdpte[2] = 3;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	enter(&nest);
	assert_int_equal(umbra_vcpu_enter_nested(nest.kit.vcpu, &nest.state), UMBRA_EINVAL);
	kit_close(&nest.kit);

	nest_open(&nest, NPT_5, 5);
	bad = nest.state;
	bad.tag = 0;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	bad = nest.state;
	bad.pointer |= 1ull << 52;
	enter_refuses(&nest, &bad, UMBRA_EINVAL);
	bad.regs.cr0 = 0;
	kit_close(&nest.kit);

	/* L1's tables are higher than the host's. */
	nest_open(&nest, NPT_5, 4);
	enter_refuses(&nest, &nest.state, UMBRA_EOPNOTSUPP);
	kit_close(&nest.kit);

	kit_open(&nest.kit, &config, 1);
	nest.state.paging = UMBRA_NESTED_EPT;
	enter_refuses(&nest, &nest.state, UMBRA_EOPNOTSUPP);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 2, 0), UMBRA_EOPNOTSUPP);
	kit_close(&nest.kit);
}

static void invalidations_check_operands(void **state)
{
	struct nest nest;
	const umbra_gva any = {0}, odd = {1ull << 60};

	(void)state;
	nest_open(&nest, EPT_4, 4);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 0, nest.state.pointer), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 3, nest.state.pointer), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 1, 1), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invept(nest.kit.vcpu, 2, 1), UMBRA_OK);
	assert_int_equal(umbra_vcpu_invvpid(nest.kit.vcpu, 4, 1, any), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invvpid(nest.kit.vcpu, 0, 0, any), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invvpid(nest.kit.vcpu, 0, 1, odd), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invvpid(nest.kit.vcpu, 1, 0x10000, any), UMBRA_EINVAL);
	assert_int_equal(umbra_vcpu_invvpid(nest.kit.vcpu, 2, 0, any), UMBRA_OK);
	kit_close(&nest.kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r30_roots_of_every_shape),
		cmocka_unit_test(r32_same_gfn_other_format),
		cmocka_unit_test(r31_portal_is_no_mirror),
		cmocka_unit_test(n8_npf_code),
		cmocka_unit_test(n6_ept_qualification),
		cmocka_unit_test(n9_page_faults_by_intercept),
		cmocka_unit_test(s20_ept_lags_until_invept),
		cmocka_unit_test(h112_npt_lags_until_flush),
		cmocka_unit_test(s40_tables_are_protected),
		cmocka_unit_test(g38_clean_pages_of_l1),
		cmocka_unit_test(n10_invept_by_eptp),
		cmocka_unit_test(h112_linear_flushes),
		cmocka_unit_test(h112_without_vpids),
		cmocka_unit_test(s40_tdp_root_behind_a_mirror),
		cmocka_unit_test(h112_all_asids),
		cmocka_unit_test(n6_no_advanced_information),
		cmocka_unit_test(n12_pml),
		cmocka_unit_test(h82_pml_index),
		cmocka_unit_test(n11_vmfunc_and_log),
		cmocka_unit_test(n11_vmfunc),
		cmocka_unit_test(e8_tables_of_l2_in_read_only_pages),
		cmocka_unit_test(q29_mmio_of_every_shape),
		cmocka_unit_test(errors_change_nothing),
		cmocka_unit_test(invalidations_check_operands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
