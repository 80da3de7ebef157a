/* SPDX-License-Identifier: MIT */
/*
 * test_edges.c - what a root cannot map, at every edge (F-30..F-34, A-15, A-16).
 *
 *	guest-physical address   each edge, one page below it, one above
 *	x root                   EPT 4 5, NPT PAE 4 5, shadow; L1's own, for L2
 *	x slot                   none, one page
 *	x what is done           make the slot, prefault, fault
 *
 * The judge is the model, in hostile mode. Whether hardware tables of so many levels
 * translate an address at all is asked of a model CPU whose tables map everything; what
 * the guest must see is what the bare machine does, in L2 too, where L1's tables of
 * fewer levels than the host's must not alias. Below, differences are counted; there must
 * be none, and the table must have all its cells.
 */
#include "scenario/tables.h"
#include "tests/lab/common.h"

#define PAGE 4096ull
#define MEG (1ull << 20)
#define GVA 0x400000ull
/* Where L1 has L2's memory; L2's own tables lie there. */
#define BASE 0x800000ull
#define L2_BYTES (2 * MEG)

static const unsigned edge_bits[] = {32, 36, 40, 46, 47, 48, 51, 52, 57, 63};
#define EDGES (sizeof(edge_bits) / sizeof(edge_bits[0]) * 3)

static uint64_t edge(unsigned i)
{
	return (1ull << edge_bits[i / 3]) + (i % 3) * PAGE - PAGE;
}

struct root {
	const char *name;
	enum umbra_paging paging;
	uint8_t levels;
};

static const struct root roots[] = {
	{"EPT 4", UMBRA_PAGING_EPT, 4},   {"EPT 5", UMBRA_PAGING_EPT, 5},
	{"NPT PAE", UMBRA_PAGING_NPT, 3}, {"NPT 4", UMBRA_PAGING_NPT, 4},
	{"NPT 5", UMBRA_PAGING_NPT, 5},   {"shadow", UMBRA_PAGING_SHADOW, 0},
};
#define ROOTS (sizeof(roots) / sizeof(roots[0]))

static struct {
	uint64_t cells, slots, prefaults, faults, exits, nested, differences;
} total;

/* ---- a cell's world ---- */

struct cell {
	const struct root *root;
	uint64_t gpa;
	struct world *world;
	struct world_cpu *cpu;
	struct tables guest;
	char where[96];
};

static void differ(const struct cell *c, const char *what, const char *wanted, const char *seen)
{
	total.differences++;
	print_error("%s: %s: wanted %s, saw %s\n", c->where, what, wanted, seen);
}

static void check_status(const struct cell *c, const char *what, enum umbra_status wanted,
			 enum umbra_status seen)
{
	if (wanted != seen)
		differ(c, what, umbra_strstatus(wanted), umbra_strstatus(seen));
}

static void found(void *context, const struct umbra_finding *finding)
{
	differ(context, "audit", "nothing", finding->what);
}

static struct umbra_regs regs_for(enum tables_mode mode)
{
	struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_WP | UMBRA_CR0_PG,
		.cr4 = mode >= TABLES_PAE ? UMBRA_CR4_PAE : 0,
		.efer = mode >= TABLES_PAE ? UMBRA_EFER_NXE : 0,
	};

	if (mode >= TABLES_4)
		regs.efer |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (mode == TABLES_5)
		regs.cr4 |= UMBRA_CR4_LA57;
	return regs;
}

static enum umbra_status set_slot(struct cell *c, uint32_t id, uint64_t base, uint64_t size,
				  uint32_t flags)
{
	const struct umbra_slot slot = {.id = id, .flags = flags, .base = {base}, .size = size};
	enum umbra_status status = UMBRA_OK;
	char error[160];

	if (!world_slot_set(c->world, &slot, &status, error, sizeof(error)))
		fail_msg("%s: %s", c->where, error);
	return status;
}

static void put(struct cell *c, struct tables *tables, uint64_t address, uint64_t gpa,
		unsigned flags)
{
	umbra_gpa place;
	char error[160];

	if (!tables_place(tables, (umbra_gva){address}, 1, true, &place, error, sizeof(error)) ||
	    !tables_put(tables, place, tables_leaf(tables->mode, (umbra_gpa){gpa}, flags, 1)))
		fail_msg("%s: %s", c->where, error);
}

static void open_tables(struct cell *c, struct tables *tables)
{
	char error[160];

	tables->world = c->world;
	if (!tables_open(tables, error, sizeof(error)))
		fail_msg("%s: %s", c->where, error);
}

static void open_cell(struct cell *c, enum tables_mode mode)
{
	const enum umbra_vendor vendor =
		c->root->paging == UMBRA_PAGING_NPT ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL;
	const struct world_config config = {
		.cpu = world_cpu_of(vendor, 52),
		.paging = c->root->paging,
		.levels = c->root->levels,
		.page_level = 3,
		.layout = UMBRA_LAYOUT_7_3,
		.caching = MODEL_HOSTILE,
	};
	struct umbra_cpu guest = config.cpu;
	struct world_result result;
	struct umbra_regs regs;
	char error[160];

	c->world = world_open(&config, error, sizeof(error));
	if (!c->world)
		fail_msg("%s: %s", c->where, error);
	guest.features &= ~UMBRA_CPU_LAM;
	if (c->root->paging == UMBRA_PAGING_SHADOW)
		guest.features &= ~UMBRA_CPU_PDPTE_MEMORY;
	c->cpu = world_add_cpu(c->world, &guest, error, sizeof(error));
	assert_non_null(c->cpu);
	assert_int_equal(set_slot(c, 0, 0, 16 * MEG, 0), UMBRA_OK);
	c->guest = (struct tables){.mode = mode, .pool = {0x100000}, .pool_size = 32 * PAGE};
	open_tables(c, &c->guest);
	regs = regs_for(mode);
	regs.cr3 = c->guest.root.v;
	world_begin(c->world);
	world_start(c->cpu, &regs, &result);
	assert_int_equal(result.umbra.end, WORLD_DONE);
}

static void close_cell(struct cell *c)
{
	umbra_audit(c->world->vm, found, c);
	world_close(c->world);
	total.cells++;
}

/* ---- the judge of widths ---- */

/* Does hardware translate @gpa by tables of this shape in which every entry is there? */
static bool translates(const struct root *root, uint64_t gpa)
{
	static uint64_t memory[8][512] __attribute__((aligned(4096)));
	const bool ept = root->paging == UMBRA_PAGING_EPT, pae = root->levels == 3;
	const struct model_config config = {
		.cpu = world_cpu_of(ept ? UMBRA_VENDOR_INTEL : UMBRA_VENDOR_AMD, 52),
		.caching = MODEL_HOSTILE,
	};
	struct model_state state = {
		.stage2 = ept ? MODEL_EPT : MODEL_NPT,
		.tag = 1,
		.regs = regs_for(TABLES_PAE),
		.eptp = root->levels * PAGE | 6 | (root->levels - 1ull) << 3,
		.ncr3 = root->levels * PAGE,
		.hcr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.hcr4 = UMBRA_CR4_PAE | (root->levels == 5 ? UMBRA_CR4_LA57 : 0),
		.hefer = UMBRA_EFER_NXE | (pae ? 0 : UMBRA_EFER_LME | UMBRA_EFER_LMA),
	};
	const struct model_access access = {.gva = {GVA + 0x3000}, .size = 1};
	struct model_mem *mem = model_mem_new();
	struct model_cpu *cpu = model_cpu_new(mem, &config);
	struct model_outcome outcome;

	/* Page n leads to page n - 1; page 0 is the guest's table of each level. */
	for (unsigned level = 1; level <= root->levels; level++)
		for (unsigned i = 0; i < 512; i++)
			memory[level][i] = (level - 1) * PAGE | (pae && level == 3 ? 1 : 7);
	for (unsigned i = 0; i < 512; i++)
		memory[0][i] = gpa | 1;
	for (unsigned i = 0; i < 4; i++)
		state.regs.pdpte[i] = 1; /* EPT: VMCS fields, H-78 */
	assert_true(model_mem_add(mem, (umbra_hpa){0}, sizeof(memory), memory));
	assert_int_equal(model_enter(cpu, &state).kind, UMBRA_EVENT_NONE);
	model_access(cpu, &access, &outcome);
	if (outcome.event.kind != UMBRA_EVENT_NONE)
		assert_int_equal(outcome.event.kind,
				 ept ? UMBRA_EVENT_EPT_VIOLATION : UMBRA_EVENT_NPF);
	model_cpu_free(cpu);
	model_mem_free(mem);
	return outcome.event.kind == UMBRA_EVENT_NONE;
}

/* Addresses that no CPU forms are no root's to map. */
static bool mappable(const struct root *root, uint64_t gpa)
{
	return gpa < 1ull << 52 && (root->paging == UMBRA_PAGING_SHADOW || translates(root, gpa));
}

/* ---- slot, prefault, fault ---- */

static void make_slot(struct cell *c)
{
	enum umbra_status wanted = UMBRA_OK, status = set_slot(c, 1, c->gpa, PAGE, 0);

	if (c->gpa >= 1ull << 52)
		wanted = UMBRA_EINVAL;
	else if (!mappable(c->root, c->gpa))
		wanted = UMBRA_EUNMAPPABLE;
	check_status(c, "slot", wanted, status);
	total.slots++;
	if (status == UMBRA_EUNMAPPABLE)
		check_status(c, "slot with the flag", UMBRA_OK,
			     set_slot(c, 1, c->gpa, PAGE, UMBRA_SLOT_UNMAPPABLE));
}

static bool has_slot(struct cell *c)
{
	return world_slot_at(c->world, (umbra_gpa){c->gpa});
}

static void prefault(struct cell *c)
{
	enum umbra_status wanted = UMBRA_OK;
	struct umbra_stats before, after;
	umbra_gpa gpa = {c->gpa};
	uint64_t size = PAGE;

	if (c->root->paging == UMBRA_PAGING_SHADOW)
		wanted = UMBRA_EOPNOTSUPP;
	else if (!has_slot(c))
		wanted = UMBRA_ENOENT;
	else if (!mappable(c->root, c->gpa))
		wanted = UMBRA_EUNMAPPABLE;
	umbra_vm_stats(c->world->vm, &before);
	check_status(c, "prefault", wanted, umbra_vcpu_prefault(c->cpu->vcpu, &gpa, &size));
	umbra_vm_stats(c->world->vm, &after);
	if (wanted && (after.pages_4k != before.pages_4k || size != PAGE))
		differ(c, "prefault", "nothing touched", "a page more");
	c->cpu->stale = true;
	total.prefaults++;
}

/* Compare with the bare machine, but for what the embedder is told instead of the guest. */
static void access_at(struct cell *c, unsigned offset, bool write)
{
	const struct world_access access = {.gva = {GVA + offset},
					    .size = 8,
					    .access = write ? UMBRA_ACCESS_WRITE : 0,
					    .value = 1};
	const uint64_t gpa = c->gpa + offset;
	const bool memory = has_slot(c), lost = memory && !mappable(c->root, c->gpa);
	struct world_result result;

	world_begin(c->world);
	world_access(c->cpu, &access, &result);
	total.faults++;
	if (lost && (result.umbra.end != WORLD_MEMORY_FAULT || result.umbra.gpa.v != gpa ||
		     result.bare.end != WORLD_DONE))
		differ(c, "fault", "a memory fault", "another end");
	else if (!lost && (!result.same || result.umbra.gpa.v != gpa ||
			   result.umbra.end != (memory ? WORLD_DONE : WORLD_MMIO)))
		differ(c, "fault", "as the bare machine", "another end");
}

/* What no guest can form an embedder might report all the same. */
static void report(struct cell *c)
{
	const bool ept = c->root->paging == UMBRA_PAGING_EPT;
	const struct umbra_event event = {
		.kind = ept ? UMBRA_EVENT_EPT_VIOLATION : UMBRA_EVENT_NPF,
		.code = ept ? UMBRA_EPTQ_WRITE : UMBRA_NPF_FINAL | UMBRA_PF_U | UMBRA_PF_W,
		.gpa = {c->gpa},
	};
	struct world_outcome outcome;

	world_begin(c->world);
	world_exit(c->cpu, &event, UMBRA_ACCESS_WRITE, &outcome);
	total.exits++;
	if (outcome.end != WORLD_MMIO || outcome.gpa.v != c->gpa)
		differ(c, "exit", "MMIO", "another end");
}

static void fault(struct cell *c)
{
	if (c->gpa < 1ull << 52) {
		put(c, &c->guest, GVA, c->gpa, TABLES_W);
		access_at(c, 0, false);
		access_at(c, 8, true);
	} else if (c->root->paging != UMBRA_PAGING_SHADOW) {
		report(c);
	}
}

static void slot_prefault_fault(void **unused)
{
	(void)unused;
	for (unsigned r = 0; r < ROOTS; r++)
		for (unsigned i = 0; i < EDGES; i++)
			for (unsigned slot = 0; slot < 2; slot++)
				for (unsigned first = 0; first < 2; first++) {
					struct cell c = {.root = &roots[r], .gpa = edge(i)};

					snprintf(c.where, sizeof(c.where),
						 "%s, gpa 0x%llx, %s slot", roots[r].name,
						 (unsigned long long)c.gpa, slot ? "a" : "no");
					open_cell(&c, roots[r].levels == 3 ? TABLES_PAE : TABLES_4);
					if (slot)
						make_slot(&c);
					if (first)
						prefault(&c);
					fault(&c);
					if (!first)
						prefault(&c);
					close_cell(&c);
				}
	print_message("# %llu cells: %llu slots, %llu prefaults, %llu accesses, %llu reported "
		      "exits; %llu differences\n",
		      (unsigned long long)total.cells, (unsigned long long)total.slots,
		      (unsigned long long)total.prefaults, (unsigned long long)total.faults,
		      (unsigned long long)total.exits, (unsigned long long)total.differences);
	assert_int_equal(total.differences, 0);
	assert_int_equal(total.cells, ROOTS * EDGES * 4);
}

/* ---- L2 ---- */

struct nest {
	struct root host;
	/** L1's EPT, or its NPT and own paging. */
	enum tables_mode mode;
	unsigned width;
};

static const struct nest nests[] = {
	{{"EPT 4 in EPT 4", UMBRA_PAGING_EPT, 4}, TABLES_EPT4, 48},
	{{"EPT 4 in EPT 5", UMBRA_PAGING_EPT, 5}, TABLES_EPT4, 48},
	{{"EPT 5 in EPT 5", UMBRA_PAGING_EPT, 5}, TABLES_EPT5, 52},
	{{"NPT 32 in NPT PAE", UMBRA_PAGING_NPT, 3}, TABLES_32, 32},
	{{"NPT 32 in NPT 5", UMBRA_PAGING_NPT, 5}, TABLES_32, 32},
	{{"NPT PAE in NPT PAE", UMBRA_PAGING_NPT, 3}, TABLES_PAE, 32},
	{{"NPT PAE in NPT 4", UMBRA_PAGING_NPT, 4}, TABLES_PAE, 32},
	{{"NPT PAE in NPT 5", UMBRA_PAGING_NPT, 5}, TABLES_PAE, 32},
	{{"NPT 4 in NPT 4", UMBRA_PAGING_NPT, 4}, TABLES_4, 48},
	{{"NPT 4 in NPT 5", UMBRA_PAGING_NPT, 5}, TABLES_4, 48},
	{{"NPT 5 in NPT 5", UMBRA_PAGING_NPT, 5}, TABLES_5, 52},
};
#define NESTS (sizeof(nests) / sizeof(nests[0]))

/* What L1's leaves allow. */
static unsigned all_rights(enum tables_mode mode)
{
	return tables_is_ept(mode) ? TABLES_R | TABLES_W | TABLES_X : TABLES_W | TABLES_U;
}

/* L2 in PAE mode or, under EPT, 4-level: its entries hold 52 bits. */
static void enter_l2(struct cell *c, struct tables *npt, struct tables *l2)
{
	const bool ept = tables_is_ept(npt->mode);
	struct umbra_nested state = {
		.paging = ept ? UMBRA_NESTED_EPT : UMBRA_NESTED_NPT,
		.pointer = ept ? tables_eptp(npt, true) : npt->root.v,
		.regs = regs_for(l2->mode),
		.tag = 1,
	};
	struct world_result result;

	state.regs.cr3 = l2->root.v;
	world_begin(c->world);
	world_enter_l2(c->cpu, &state, &result);
	assert_int_equal(result.umbra.end, WORLD_DONE);
}

/*
 * L2 touches @l2_gpa. L1 maps whatever the low bits of it say, so that hardware, or Umbra,
 * would get somewhere if it dropped the others. @gpa: where that is in L1.
 */
static void nested_cell(const struct nest *nest, uint64_t l2_gpa, uint64_t gpa, bool slot)
{
	const bool ept = tables_is_ept(nest->mode);
	const uint64_t low = l2_gpa & ((1ull << nest->width) - 1);
	struct cell c = {.root = &nest->host, .gpa = gpa};
	struct tables npt = {
		.mode = nest->mode, .pool = {0x200000}, .pool_size = 64 * PAGE, .owner = NULL};
	struct tables l2 = {.mode = ept ? TABLES_4 : TABLES_PAE,
			    .pool = {0x140000},
			    .pool_size = 32 * PAGE,
			    .base = BASE};
	const struct world_access access = {
		.gva = {GVA}, .size = 8, .access = UMBRA_ACCESS_WRITE, .value = 7};
	struct world_result result;
	bool inside = l2_gpa >> nest->width == 0;

	snprintf(c.where, sizeof(c.where), "%s, L2's gpa 0x%llx to L1's 0x%llx", nest->host.name,
		 (unsigned long long)l2_gpa, (unsigned long long)gpa);
	open_cell(&c, ept ? TABLES_4 : nest->mode);
	if (slot)
		assert_int_equal(set_slot(&c, 1, gpa, PAGE, UMBRA_SLOT_UNMAPPABLE), UMBRA_OK);
	open_tables(&c, &npt);
	for (uint64_t at = 0; at < L2_BYTES; at += PAGE)
		put(&c, &npt, at, BASE + at, all_rights(nest->mode));
	open_tables(&c, &l2);
	put(&c, &l2, GVA, l2_gpa, TABLES_W);
	if (low >= L2_BYTES)
		put(&c, &npt, low, gpa, all_rights(nest->mode));
	enter_l2(&c, &npt, &l2);
	world_begin(c.world);
	world_access(c.cpu, &access, &result);
	total.nested++;
	if (!result.same || (inside && !has_slot(&c) && result.umbra.end != WORLD_MMIO) ||
	    (inside && has_slot(&c) && result.umbra.end != WORLD_DONE) ||
	    (!inside && !result.umbra.to_l1))
		differ(&c, "L2", inside ? "gets there" : "exits to L1", "another end");
	close_cell(&c);
}

static void l2_addresses(void **unused)
{
	(void)unused;
	total.differences = 0;
	for (unsigned n = 0; n < NESTS; n++)
		for (unsigned i = 0; i < EDGES && edge(i) < 1ull << 52; i++)
			nested_cell(&nests[n], edge(i), 0x700000, false);
	/* L1's own addresses: L2's root leads where L1's does not. */
	for (unsigned n = 0; n < NESTS; n++)
		for (unsigned i = 0; i < EDGES && edge(i) < 1ull << 52; i++)
			for (unsigned slot = 0; slot < 2 && nests[n].mode != TABLES_32; slot++)
				nested_cell(&nests[n], 0x40000000, edge(i), slot);
	print_message("# %llu accesses of L2; %llu differences\n", (unsigned long long)total.nested,
		      (unsigned long long)total.differences);
	assert_int_equal(total.differences, 0);
	assert_int_equal(total.nested, NESTS * 22 + (NESTS - 2) * 22 * 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slot_prefault_fault),
		cmocka_unit_test(l2_addresses),
	};

	return cmocka_run_group_tests_name("edges", tests, NULL, NULL);
}
