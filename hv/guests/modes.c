/* SPDX-License-Identifier: MIT */
/*
 * modes.c - every paging mode, every right, every page-fault code.
 *
 * For each mode: tables for the kernel where it is, for the stubs at USER_STUB, and for a
 * test page at an address of the mode's own; then all kinds of access to that page under
 * all rights of its leaf and of what leads there. A line shows one case:
 *
 *	PAE -W-- CR0.WP   sr=ok sw=ok sx=ok ur=f5 uw=f7 ux=f5 AD
 *	         |         |                 error code        A, D of the leaf afterwards
 *	         controls  s/u supervisor, user; r w x
 *
 * The output is the same on every machine that has the same paging features; that is what
 * the test compares. QEMU 7.2 leaves P out of codes with RSVD: it is put in here.
 */
#include "hv/guests/probe.h"

#define P 0x1ull
#define W 0x2ull
#define U 0x4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define NX (1ull << 63)

#define CR0_PE_ET 0x11u
#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define EFER_LME (1u << 8)
#define EFER_NXE (1u << 11)

#define TEST_PAGE 0x800000u /* physical: 8 MiB, a large page's boundary */
#define KERNEL_END 0x800000u
#define USER_STUB 0x20000000u
#define TABLES 24
/* What is written is not what is executed. */
#define OFFSET(kind) (0x10 + 0x100 * (kind))

struct mode {
	const char *name;
	uint32_t cr4, efer;
	unsigned levels, index_bits;
	uint64_t address; /* of the test page */
	unsigned largest; /* level of the largest page to try */
};

static const struct mode modes[] = {
	{"32", 0, 0, 2, 10, 0x40000000, 1},
	{"PSE", CR4_PSE, 0, 2, 10, 0xc0000000, 2},
	{"PAE", CR4_PAE, 0, 3, 9, 0xc0000000, 2},
	{"4-level", CR4_PAE, EFER_LME, 4, 9, 0xffff900000000000, 2},
	{"5-level", CR4_PAE | CR4_LA57, EFER_LME, 5, 9, 0xff12345600000000, 2},
};

static uint8_t tables[TABLES][4096] __attribute__((aligned(4096)));
static unsigned table_count;
static uint32_t has_smep, has_smap, has_la57, has_nx, has_lm;

/* ---- tables ---- */

static uint8_t *new_table(void)
{
	uint8_t *table = tables[table_count++];

	for (unsigned i = 0; i < 4096; i++)
		table[i] = 0;
	return table;
}

static uint64_t get(const struct mode *m, const uint8_t *table, unsigned index)
{
	if (m->index_bits == 10)
		return ((const uint32_t *)(const void *)table)[index];
	return ((const uint64_t *)(const void *)table)[index];
}

static void set(const struct mode *m, uint8_t *table, unsigned index, uint64_t entry)
{
	if (m->index_bits == 10)
		((uint32_t *)(void *)table)[index] = (uint32_t)entry;
	else
		((uint64_t *)(void *)table)[index] = entry;
}

static unsigned index_at(const struct mode *m, uint64_t address, unsigned level)
{
	return (unsigned)(address >> (12 + m->index_bits * (level - 1))) &
	       ((1u << m->index_bits) - 1);
}

/* PDPTEs of PAE have no rights. */
static uint64_t upper(const struct mode *m, unsigned level, uint64_t rights)
{
	return m->levels == 3 && level == 3 ? P : rights;
}

/* Write @entry at @level of what leads to @address; tables above have @rights. */
static void map(const struct mode *m, uint8_t *root, uint64_t address, unsigned level,
		uint64_t entry, uint64_t rights)
{
	uint8_t *table = root;

	for (unsigned at = m->levels; at > level; at--) {
		unsigned index = index_at(m, address, at);
		uint64_t old = get(m, table, index);

		if (!(old & P))
			old = (uint32_t)(uintptr_t)new_table();
		old = (old & ~0xfffull) | upper(m, at, rights);
		set(m, table, index, old);
		table = (uint8_t *)(uintptr_t)((uint32_t)old & ~0xfffu);
	}
	set(m, table, index_at(m, address, level), entry);
}

static uint64_t entry_at(const struct mode *m, const uint8_t *root, uint64_t address,
			 unsigned level)
{
	const uint8_t *table = root;

	for (unsigned at = m->levels; at > level; at--)
		table = (const uint8_t *)(uintptr_t)((uint32_t)get(m, table,
								   index_at(m, address, at)) &
						     ~0xfffu);
	return get(m, table, index_at(m, address, level));
}

static uint8_t *kernel_tables(const struct mode *m)
{
	uint8_t *root;

	table_count = 0;
	root = new_table();
	for (uint32_t at = 0x400000; at < KERNEL_END; at += 4096)
		map(m, root, at, 1, at | P | W, P | W | U);
	map(m, root, USER_STUB, 1, (uint32_t)(uintptr_t)probe_stubs | P | U, P | W | U);
	return root;
}

/* ---- one line ---- */

struct line {
	const struct mode *mode;
	uint8_t *root;
	unsigned level; /* of the leaf */
	uint64_t leaf, above; /* rights */
	uint32_t cr0, cr4, efer;
};

static void print_result(const struct probe *p)
{
	uint32_t code = p->code;

	if (p->vector == PROBE_DONE) {
		guest_print("ok");
	} else if (p->vector == 14) {
		guest_print("f%x", code | (code >> 3 & 1));
		if (p->cr2 != p->address)
			guest_print("@%llx", p->cr2);
	} else {
		guest_print("v%u,%x", p->vector, code);
	}
}

static void try_all(const struct line *l)
{
	const struct mode *m = l->mode;
	struct probe probe = {
		.cr0 = CR0_PE_ET | CR0_PG | l->cr0,
		.cr3 = (uint32_t)(uintptr_t)l->root,
		.cr4 = m->cr4 | l->cr4,
		.efer = m->efer | l->efer,
		.user_stub = USER_STUB,
	};
	uint64_t leaf;

	for (probe.user = 0; probe.user < 2; probe.user++) {
		for (probe.kind = 0; probe.kind < PROBE_KINDS; probe.kind++) {
			probe.address = m->address + OFFSET(probe.kind);
			probe_run(&probe);
			guest_print(" %s%s=", probe.user ? "u" : "s",
				    probe.kind == PROBE_READ    ? "r"
				    : probe.kind == PROBE_WRITE ? "w"
								: "x");
			print_result(&probe);
		}
	}
	leaf = entry_at(m, l->root, m->address, l->level);
	guest_print(" %s%s\n", leaf & A ? "A" : "-", leaf & D ? "D" : "-");
}

static void print_rights(uint64_t rights)
{
	guest_print(" %s%s%s%s", rights & P ? "P" : "-", rights & W ? "W" : "-",
		    rights & U ? "U" : "-", rights & NX ? "N" : "-");
}

static void run_line(const struct line *l)
{
	const struct mode *m = l->mode;

	map(m, l->root, m->address, l->level, TEST_PAGE | l->leaf, l->above);
	guest_print("%s level %u leaf", m->name, l->level);
	print_rights(l->leaf);
	guest_print(" above");
	print_rights(l->above);
	guest_print("%s%s%s%s:", l->cr0 & CR0_WP ? " WP" : "", l->cr4 & CR4_SMEP ? " SMEP" : "",
		    l->cr4 & CR4_SMAP ? " SMAP" : "", l->efer & EFER_NXE ? " NXE" : "");
	try_all(l);
}

/* ---- all lines of a mode ---- */

static void run_controls(struct line *l)
{
	static const struct {
		uint32_t cr0, cr4, efer;
	} controls[] = {
		{0, 0, 0},
		{CR0_WP, 0, 0},
		{CR0_WP, 0, EFER_NXE},
		{CR0_WP, CR4_SMEP, 0},
		{CR0_WP, CR4_SMEP | CR4_SMAP, EFER_NXE},
		{0, CR4_SMEP | CR4_SMAP, EFER_NXE},
	};

	for (unsigned i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		l->cr0 = controls[i].cr0;
		l->cr4 = controls[i].cr4;
		l->efer = controls[i].efer;
		if (l->cr4 & ~(has_smep | has_smap) || l->efer & ~has_nx)
			continue;
		run_line(l);
	}
}

static void run_rights(struct line *l)
{
	const uint64_t large = l->level > 1 ? PS : 0;
	bool wide = l->mode->index_bits == 9;

	for (unsigned bits = 0; bits < 8; bits++) {
		uint64_t rights = P | (bits & 1 ? W : 0) | (bits & 2 ? U : 0) | (bits & 4 ? NX : 0);

		if (bits & 4 && !wide)
			continue;
		l->above = P | W | U;
		l->leaf = rights | large;
		run_controls(l);
		/* The same rights, taken away above. */
		if (l->level == 1 && bits != 3 && l->mode->levels != 3) {
			l->above = rights;
			l->leaf = P | W | U;
			run_controls(l);
		}
	}
	l->above = P | W | U;
	l->leaf = large | W | U; /* not present */
	run_controls(l);
}

/* A reserved bit in a large leaf: PAT's neighbour, bit 13 (PSE: bit 21). */
static void run_reserved(struct line *l)
{
	l->leaf = P | W | U | PS | (l->mode->index_bits == 10 ? 1u << 21 : 1u << 13);
	l->above = P | W | U;
	run_controls(l);
}

static void run_mode(const struct mode *m)
{
	struct line line = {.mode = m};

	for (line.level = 1; line.level <= m->largest; line.level++) {
		line.root = kernel_tables(m);
		run_rights(&line);
		if (line.level > 1)
			run_reserved(&line);
	}
}

static void run_unpaged(void)
{
	struct probe probe = {.cr0 = CR0_PE_ET};

	guest_print("unpaged:");
	for (probe.user = 0; probe.user < 2; probe.user++) {
		for (probe.kind = 0; probe.kind < PROBE_KINDS; probe.kind++) {
			probe.user_stub = (uint32_t)(uintptr_t)probe_stubs;
			probe.address = TEST_PAGE + OFFSET(probe.kind);
			probe_run(&probe);
			guest_print(" ");
			print_result(&probe);
		}
	}
	guest_print("\n");
}

/* Instructions that exit by themselves and have their operands in memory. */
static void run_memory_operands(void)
{
	static uint8_t ports[4] = {2, 0xee, 0xee, 0xee}, *from = ports, *to = ports + 1;
	static uint16_t status[2] = {0xeeee, 0xeeee};
	uint32_t count = 2;

	/* Port 92: the A20 gate stays open. */
	__asm__ volatile("outsb" : "+S"(from) : "d"(0x92) : "memory");
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(0x92) : "memory");
	guest_print("port 92: %x %x %x, count %u, moved %u %u\n", ports[1], ports[2], ports[3],
		    count, (unsigned)(from - ports), (unsigned)(to - ports));
	__asm__ volatile("smsw %0" : "=m"(status[0]));
	guest_print("CR0: %x", status[0]);
	status[0] = 0xa; /* TS, MP; not PE */
	__asm__ volatile("lmsw %0; smsw %0" : "+m"(status[0]));
	guest_print(" %x", status[0]);
	status[0] = 0;
	__asm__ volatile("lmsw %0; smsw %0" : "+m"(status[0]));
	guest_print(" %x, behind it %x\n", status[0], status[1]);
}

static void detect(void)
{
	struct guest_leaf leaf = guest_cpuid(7, 0);

	has_smep = leaf.ebx >> 7 & 1 ? CR4_SMEP : 0;
	has_smap = leaf.ebx >> 20 & 1 ? CR4_SMAP : 0;
	has_la57 = leaf.ecx >> 16 & 1;
	leaf = guest_cpuid(0x80000001, 0);
	has_nx = leaf.edx >> 20 & 1 ? EFER_NXE : 0;
	has_lm = leaf.edx >> 29 & 1;
}

int guest_main(uint32_t magic, uint32_t information)
{
	(void)information;
	detect();
	probe_init();
	guest_print("modes: magic %x\n", magic);
	for (unsigned i = 0; i < 4096 / 2; i++) /* INT 80h everywhere */
		((volatile uint16_t *)TEST_PAGE)[i] = 0x80cd;
	run_memory_operands();
	run_unpaged();
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if ((modes[i].efer && !has_lm) || (modes[i].cr4 & CR4_LA57 && !has_la57))
			continue;
		run_mode(&modes[i]);
	}
	guest_print("modes: done\n");
	return 0;
}
