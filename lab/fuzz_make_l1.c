/* SPDX-License-Identifier: MIT */
/*
 * fuzz_make_l1.c - random programs in which guests are hypervisors.
 *
 *	page of FUZZ_L1_TABLES   0 1 PML4   2 3 PDPT   4 PD   5 12 PT of 0   6 PT of 4M
 *	                         7 PML5   8 PDPTEs (three sets)
 *	                         9 32-bit PD   10 PT of 0   11 PT of 4M
 *
 * The second gigabyte of L2 is the first again; in 32-bit format the 4M change places.
 * All formats of EPT and NPT share these pages, and nearly all of L2's physical
 * addresses are L1's: so L2 runs on the page tables of fuzz_make.c, has the same
 * windows, and another window shows it, or L1, page j of L1's EPT or NPT. What
 * differs comes with edits.
 */
#include "lab/fuzz_maker.h"

#define EPT_RWX 7u
#define EPT_WB (6u << 3)
#define EPT_XU (1u << 10)
#define EPT_A (1u << 8)
#define EPT_D (1u << 9)
#define EPTP_AD (1u << 6)
#define L1_WINDOW (WINDOW + PAGE(FUZZ_TABLE_COUNT))

/* Entries of L1's EPT or NPT; @gpa: L2's, of the first. */
static const struct l1_target {
	uint8_t table, level, size;
	uint16_t first, count;
	uint64_t gpa;
} targets[] = {
	/* data, */
	{5, 1, 8, 0x1, 2, 0x1000},
	{5, 1, 8, 0x20, 2, 0x20000},
	{5, 1, 8, 0x30, 1, 0x30000},
	{6, 1, 8, 0, 2, 0x400000},
	{6, 1, 8, 0x40, 2, 0x440000},
	{6, 1, 8, 0x100, 1, FUZZ_MMIO},
	{12, 1, 8, 0x1, 2, 0x1000},
	{10, 1, 4, 0x1, 2, 0x1000},
	{10, 1, 4, 0x20, 2, 0x20000},
	{10, 1, 4, 0x200, 2, 0x200000},
	{11, 1, 4, 0, 2, 0x400000},
	/* tables of L2's, and of L1's, */
	{5, 1, 8, 0x10, 16, 0x10000},
	{5, 1, 8, 0x22, 13, 0x22000},
	{12, 1, 8, 0x10, 16, 0x10000},
	{10, 1, 4, 0x10, 16, 0x10000},
	{10, 1, 4, 0x22, 13, 0x22000},
	/* upper entries. */
	{4, 2, 8, 0, 4, 0},
	{4, 2, 8, 0, 1, 0},
	{2, 3, 8, 0, 2, 0},
	{3, 3, 8, 0, 1, 0},
	{0, 4, 8, 0, 1, 0},
	{1, 4, 8, 0, 1, 0},
	{7, 5, 8, 0, 1, 0},
	{8, 6, 8, 0, 1, 0},
	{8, 6, 8, 4, 1, 0},
	{8, 6, 8, 8, 1, 0},
	{8, 6, 8, 1, 1, 0},
	{9, 2, 4, 0, 2, 0},
	{9, 2, 4, 256, 2, 0},
};
#define TARGETS (sizeof(targets) / sizeof(targets[0]))
#define DATA_TARGETS 11
#define TABLE_TARGETS 16

static bool is_amd(const struct maker *m)
{
	return m->cpu.vendor == UMBRA_VENDOR_AMD;
}

static void set(struct maker *m, uint64_t gpa, unsigned size, uint64_t value)
{
	make_emit(m,
		  (struct fuzz_step){.op = FUZZ_SET, .size = (uint8_t)size, .a = gpa, .b = value});
}

/* ---- entries ---- */

static uint64_t link_to(const struct maker *m, unsigned level, uint64_t table)
{
	if (!is_amd(m))
		return table | EPT_RWX | EPT_XU;
	return table | P | (level == 6 ? 0 : W | U | A);
}

static uint64_t leaf_at(const struct maker *m, unsigned level, uint64_t place)
{
	if (!is_amd(m))
		return place | EPT_RWX | EPT_XU | EPT_WB | (level > 1 ? PS : 0);
	return place | P | W | U | A | (level > 1 ? PS : 0);
}

/* What L2's @gpa is mapped by, or led on, at first. */
static uint64_t sane(const struct maker *m, const struct l1_target *t, uint64_t index)
{
	static const uint8_t child[][2] = {[3] = {4, 4}, [4] = {2, 3}, [5] = {0, 0}, [6] = {4, 4}};
	const uint64_t step = t->size == 4 ? 0x400000 : 0x200000;

	if (t->level == 1)
		return leaf_at(m, 1, t->gpa + PAGE(index - t->first));
	if (t->level > 2)
		return link_to(m, t->level, L1_TABLE(child[t->level][t->table == 1]));
	if (t->size == 4)
		return link_to(m, 2, L1_TABLE(10 + ((index ^ index >> 8) & 1)));
	if (index == 0 || index == 2)
		return link_to(m, 2, L1_TABLE(index ? 6 : 5));
	return leaf_at(m, 2, index * step);
}

static uint64_t rights(struct maker *m, const struct l1_target *t, uint64_t e)
{
	const uint64_t choice = make_below(m, 8);

	if (t->level == 6)
		return e;
	if (!is_amd(m)) {
		e &= ~(uint64_t)(EPT_RWX | EPT_XU);
		switch (choice) {
		case 0: return e | 1; /* R */
		case 1: return e | 3;
		case 2: return e | 5;
		case 3: return e | 4; /* X only */
		case 4: return e | EPT_XU | 1;
		case 5: return e | EPT_RWX;
		case 6: return e | EPT_XU;
		default: return e | EPT_RWX | EPT_XU;
		}
	}
	if (choice & 1)
		e &= ~(uint64_t)W;
	if (choice == 2 || choice == 3)
		e &= ~(uint64_t)U;
	if (choice == 4 && t->size == 8)
		e |= 1ull << 63;
	return e;
}

static uint64_t broken(struct maker *m, const struct l1_target *t, uint64_t e)
{
	switch (make_below(m, 4)) {
	case 0: return e & ~(uint64_t)(is_amd(m) ? P : EPT_RWX | EPT_XU);
	case 1: return t->size == 8 ? e | 1ull << 51 : e & ~(uint64_t)P;
	case 2: return is_amd(m) ? 0 : t->level == 1 ? e | 7u << 3 : e & ~1ull;
	default: return 0;
	}
}

static uint64_t entry(struct maker *m, const struct l1_target *t, uint64_t index)
{
	uint64_t e = sane(m, t, index);
	const uint64_t choice = make_below(m, 20);

	if (t->level == 1 && choice < 5)
		e = leaf_at(m, 1, make_frame(m));
	else if (t->level == 2 && choice < 5)
		e = t->size == 8 ? leaf_at(m, 2, index * 0x200000)
				 : leaf_at(m, 2, index % 2 * 0x400000);
	else if (t->level == 2 && choice < 7 && t->size == 8 && !index)
		e = link_to(m, 2, L1_TABLE(12));
	else if (t->level == 4 && choice < 6)
		e = link_to(m, 4, L1_TABLE(2 + make_below(m, 2)));
	else if (t->level > 1 && choice < 8 && make_chance(m, 6))
		e = link_to(m, t->level, L1_TABLE(make_below(m, FUZZ_L1_COUNT)));
	if (choice >= 6 && choice < 14)
		e = rights(m, t, e);
	if (choice >= 18)
		e = broken(m, t, e);
	if (make_chance(m, 3) && t->level != 6)
		e |= is_amd(m) ? A : EPT_A;
	if (make_chance(m, 3) && t->level != 6)
		e |= is_amd(m) ? D : EPT_D;
	return t->size == 4 ? (uint32_t)e : e;
}

/* ---- the beginning ---- */

static uint64_t eptp(struct maker *m)
{
	const unsigned choice = (unsigned)make_below(m, 12);
	uint64_t table = L1_TABLE(choice < 5 ? 0 : choice < 9 ? 1 : 7);
	unsigned length = choice < 9 ? 3 : 4;

	if (choice == 11) {
		table = L1_TABLE(make_chance(m, 3) ? make_below(m, FUZZ_L1_COUNT) : 0);
		length = 3 + (unsigned)make_below(m, 2);
	}
	return table | 6 | length << 3 |
	       (make_chance(m, 4) || ~m->cpu.features & UMBRA_CPU_EPT_AD ? 0 : EPTP_AD);
}

static uint64_t pointer(struct maker *m, unsigned cpu)
{
	if (!is_amd(m))
		return eptp(m);
	if (make_chance(m, 16))
		return L1_TABLE(make_below(m, FUZZ_L1_COUNT));
	switch (m->in_l2[cpu] ? m->l1_mode[cpu] : m->mode[cpu]) {
	case GUEST_32: return L1_TABLE(9);
	case GUEST_PAE: return L1_TABLE(8) + 0x20 * make_below(m, 3);
	case GUEST_5: return L1_TABLE(7);
	default: return L1_TABLE(make_below(m, 2));
	}
}

static void mend(struct maker *m, unsigned first, unsigned end, unsigned size)
{
	for (unsigned i = first; i < end; i++)
		for (unsigned k = 0; targets[i].size == size && k < targets[i].count; k++)
			set(m, L1_TABLE(targets[i].table) + (targets[i].first + k) * size, size,
			    sane(m, &targets[i], targets[i].first + k));
}

void make_l1_tables(struct maker *m, bool narrow)
{
	if (m->paging == UMBRA_PAGING_SHADOW)
		return;
	mend(m, 0, TARGETS, 8);
	if (is_amd(m) && narrow)
		mend(m, 0, TARGETS, 4);
	for (unsigned i = 0; !is_amd(m) && i < 4; i++)
		set(m, FUZZ_LOG + 8 * i, 8, eptp(m));
}

/* ---- entering and leaving ---- */

static void leave(struct maker *m, unsigned cpu)
{
	if (!m->in_l2[cpu])
		return;
	m->in_l2[cpu] = false;
	m->mode[cpu] = m->l1_mode[cpu];
	make_emit(m, (struct fuzz_step){.op = FUZZ_LEAVE, .vcpu = (uint8_t)cpu});
}

static uint16_t tag(struct maker *m)
{
	return (uint16_t)(is_amd(m) ? 1 + make_below(m, 2) : make_below(m, 3));
}

static uint8_t tlb_control(struct maker *m)
{
	static const uint8_t values[] = {0, 0, 0, 0, 3, 3, 1, 7};

	return is_amd(m) ? values[make_below(m, sizeof(values))] : 0;
}

static void enter(struct maker *m, unsigned cpu)
{
	static const enum guest_mode modes[] = {GUEST_4,   GUEST_4,  GUEST_4,      GUEST_5,
						GUEST_PAE, GUEST_32, GUEST_UNPAGED};
	struct fuzz_step s = {.op = FUZZ_ENTER, .vcpu = (uint8_t)cpu};
	const enum guest_mode mode = modes[make_below(m, sizeof(modes) / sizeof(modes[0]))];

	s.paging = is_amd(m) ? UMBRA_NESTED_NPT : UMBRA_NESTED_EPT;
	if (m->paging == UMBRA_PAGING_SHADOW || make_chance(m, 10))
		s.paging = UMBRA_NESTED_NONE;
	s.pointer = pointer(m, cpu);
	if (!m->in_l2[cpu])
		m->l1_mode[cpu] = m->mode[cpu];
	m->in_l2[cpu] = true;
	m->mode[cpu] = make_registers(m, &s, mode);
	for (unsigned i = 0; i < 4; i++)
		s.flags |= make_chance(m, 4) ? (uint8_t)(1u << i) : 0;
	s.flags |= make_chance(m, 2) ? FUZZ_PF : 0;
	s.pml = make_chance(m, 3) ? (uint16_t)make_below(m, 8) : 511;
	s.pf = make_chance(m, 4) ? (uint16_t)(make_below(m, 32) << 8 | make_below(m, 32)) : 0;
	s.tag = tag(m);
	s.tlb = tlb_control(m);
	m->entered[cpu] = s;
	make_emit(m, s);
}

/* The way back into L2: mostly as it was. */
static void resume(struct maker *m, unsigned cpu, uint8_t tlb)
{
	struct fuzz_step *was = &m->entered[cpu];
	struct fuzz_step s = {.op = FUZZ_RESUME, .vcpu = (uint8_t)cpu, .tlb = tlb};

	if (was->op != FUZZ_ENTER) {
		enter(m, cpu);
		return;
	}
	if (make_chance(m, 8))
		was->tag = tag(m);
	if (make_chance(m, 6))
		s.pointer = pointer(m, cpu);
	s.tag = was->tag;
	if (!m->in_l2[cpu]) {
		m->l1_mode[cpu] = m->mode[cpu];
		/* Its registers may have changed; not which kind they are. */
		m->mode[cpu] = was->efer & UMBRA_EFER_LMA   ? GUEST_4
			       : !(was->cr0 & UMBRA_CR0_PG) ? GUEST_UNPAGED
			       : was->cr4 & UMBRA_CR4_PAE   ? GUEST_PAE
							    : GUEST_32;
	}
	m->in_l2[cpu] = true;
	make_emit(m, s);
}

/* ---- edits and invalidations ---- */

/* By whoever runs on @cpu, through its window, or by a device. */
static void edit(struct maker *m, unsigned cpu, const struct l1_target *t, uint64_t index,
		 uint64_t value)
{
	const uint64_t offset = PAGE(t->table) + index * t->size;

	if (make_chance(m, 4)) {
		set(m, FUZZ_L1_TABLES + offset, t->size, value);
		return;
	}
	make_emit(m, (struct fuzz_step){
			     .op = FUZZ_WRITE,
			     .vcpu = (uint8_t)cpu,
			     .size = t->size,
			     .a = (m->mode[cpu] == GUEST_UNPAGED ? FUZZ_L1_TABLES : L1_WINDOW) +
				  offset,
			     .b = value});
}

static void invalidate(struct maker *m, unsigned cpu)
{
	struct fuzz_step s = {.op = FUZZ_INVEPT, .vcpu = (uint8_t)cpu};
	const uint64_t choice = make_below(m, 10);

	leave(m, cpu);
	if (is_amd(m)) {
		s.op = FUZZ_INVLPGA;
		s.a = make_linear(m, cpu);
		s.b = tag(m);
	} else if (choice < 7) {
		s.a = make_chance(m, 20) ? make_below(m, 4) : 1 + make_below(m, 2);
		s.b = make_chance(m, 3) ? eptp(m) : m->entered[cpu].pointer;
	} else {
		s.op = FUZZ_INVVPID;
		s.size = (uint8_t)make_below(m, 4);
		s.a = make_linear(m, cpu);
		s.b = tag(m);
	}
	make_emit(m, s);
}

/* What makes @cpu's L2 see all of its tables as they are. */
static void flush(struct maker *m, unsigned cpu)
{
	const bool single = make_chance(m, 2);

	if (!is_amd(m)) {
		leave(m, cpu);
		make_emit(m, (struct fuzz_step){.op = FUZZ_INVEPT,
						.vcpu = (uint8_t)cpu,
						.a = single ? 1 : 2,
						.b = single ? m->entered[cpu].pointer : 0});
	}
	resume(m, cpu, is_amd(m) ? single ? 3 : 1 : 0);
}

void make_l1_flush(struct maker *m, unsigned cpu)
{
	leave(m, cpu);
	make_flush(m, cpu);
	if (!is_amd(m)) {
		make_emit(m, (struct fuzz_step){.op = FUZZ_INVEPT, .vcpu = (uint8_t)cpu, .a = 2});
		make_emit(m,
			  (struct fuzz_step){.op = FUZZ_INVVPID, .vcpu = (uint8_t)cpu, .size = 2});
	}
	if (m->entered[cpu].op == FUZZ_ENTER)
		resume(m, cpu, is_amd(m) ? 1 : 0);
}

/* ---- steps ---- */

static const struct l1_target *target(struct maker *m, unsigned cpu, unsigned count)
{
	const enum guest_mode host = m->in_l2[cpu] ? m->l1_mode[cpu] : m->mode[cpu];
	const bool narrow = is_amd(m) && host == GUEST_32;
	const struct l1_target *t = &targets[make_below(m, count)];

	for (unsigned i = 0; i < 6 && (t->size == 4) != narrow; i++)
		t = &targets[make_below(m, count)];
	return t;
}

/* A linear address at which L2 on @cpu gets to its @gpa. */
static uint64_t aim(struct maker *m, unsigned cpu, uint64_t gpa)
{
	const uint64_t index = make_below(m, 4);
	const bool narrow = m->mode[cpu] == GUEST_32;

	if (make_chance(m, 4))
		gpa += GIB;
	if (m->mode[cpu] == GUEST_UNPAGED)
		return gpa;
	set(m, TABLE(narrow ? 10 : 4) + index * (narrow ? 4 : 8), narrow ? 4 : 8,
	    gpa | P | W | U | A | D);
	make_flush(m, cpu);
	return PAGE(index);
}

static void step_edit(struct maker *m, unsigned cpu)
{
	const struct l1_target *t = target(m, cpu,
					   make_chance(m, 3)   ? TARGETS
					   : make_chance(m, 5) ? TABLE_TARGETS
							       : DATA_TARGETS);
	const uint64_t index = t->first + make_below(m, t->count), value = entry(m, t, index);
	const bool was = m->in_l2[cpu];

	if (make_chance(m, 2))
		leave(m, cpu);
	edit(m, make_chance(m, 4) ? make_vcpu(m) : cpu, t, index, value);
	for (unsigned i = 0; i < m->program->vcpus; i++)
		if (make_below(m, 4) < m->discipline && (i == cpu || !make_chance(m, 3)))
			flush(m, i);
	if (was && !m->in_l2[cpu])
		resume(m, cpu, tlb_control(m));
	for (uint64_t i = make_below(m, 4); i; i--)
		make_access(m, cpu, make_linear(m, cpu));
	/* What leads to L2's own tables is mended soon, or L2 would do little. */
	if ((t - targets >= DATA_TARGETS && t - targets < TABLE_TARGETS && !make_chance(m, 4)) ||
	    (t - targets >= TABLE_TARGETS && make_chance(m, 3)))
		set(m, L1_TABLE(t->table) + index * t->size, t->size, sane(m, t, index));
}

/* Used, changed, used, then something that may or must flush, used. */
static void step_stale(struct maker *m, unsigned cpu)
{
	const struct l1_target *t = target(m, cpu, DATA_TARGETS);
	const uint64_t index = t->first + make_below(m, t->count);
	const uint64_t gpa = t->gpa + PAGE(index - t->first);
	uint64_t gva;

	if (!m->in_l2[cpu])
		resume(m, cpu, 0);
	gva = aim(m, cpu, gpa);
	for (unsigned i = 0; i < 2; i++) {
		edit(m, make_chance(m, 4) ? make_vcpu(m) : cpu, t, index, entry(m, t, index));
		make_access(m, cpu, gva);
	}
	if (make_chance(m, 3))
		leave(m, cpu);
	if (make_chance(m, 2))
		edit(m, cpu, t, index, entry(m, t, index));
	switch (make_below(m, 5)) {
	case 0:
	case 1: flush(m, cpu); break;
	case 2: invalidate(m, cpu); break;
	case 3: make_flush(m, cpu); break;
	default: break;
	}
	if (!m->in_l2[cpu])
		resume(m, cpu, 0);
	make_access(m, cpu, gva);
	make_access(m, make_vcpu(m), gva);
	make_access(m, cpu, gva);
}

/*
 * A root is left for another that has the same tables, which change meanwhile; flushes
 * name the one or the other.
 */
static void step_roots(struct maker *m, unsigned cpu)
{
	const struct l1_target *t = target(m, cpu, DATA_TARGETS);
	const uint64_t index = t->first + make_below(m, t->count);
	struct fuzz_step s = {.op = FUZZ_RESUME, .vcpu = (uint8_t)cpu};
	uint64_t gva, root[2];

	if (!m->in_l2[cpu])
		enter(m, cpu);
	root[0] = m->entered[cpu].pointer;
	root[1] = pointer(m, cpu);
	gva = aim(m, cpu, t->gpa + PAGE(index - t->first));
	for (unsigned i = 0; i < 4; i++) {
		s.pointer = root[i & 1];
		s.tag = make_chance(m, 4) ? tag(m) : m->entered[cpu].tag;
		s.tlb = tlb_control(m);
		make_emit(m, s);
		make_access(m, cpu, gva);
		edit(m, make_chance(m, 4) ? make_vcpu(m) : cpu, t, index, entry(m, t, index));
		if (!make_chance(m, 3))
			make_access(m, cpu, gva);
		if (make_chance(m, 2) && !is_amd(m)) {
			make_emit(m, (struct fuzz_step){.op = FUZZ_LEAVE, .vcpu = (uint8_t)cpu});
			make_emit(m, (struct fuzz_step){.op = FUZZ_INVEPT,
							.vcpu = (uint8_t)cpu,
							.a = 1,
							.b = root[make_below(m, 2)]});
		}
	}
	s.pointer = root[0];
	make_emit(m, s);
	make_access(m, cpu, gva);
}

static void step_vmfunc(struct maker *m, unsigned cpu)
{
	if (is_amd(m))
		return;
	if (make_chance(m, 3))
		set(m, FUZZ_LOG + 8 * make_below(m, 4), 8, eptp(m));
	for (uint64_t i = 1 + make_below(m, 3); i; i--) {
		make_emit(m, (struct fuzz_step){.op = FUZZ_VMFUNC,
						.vcpu = (uint8_t)cpu,
						.a = make_chance(m, 20) ? 512 : make_below(m, 4)});
		make_access(m, cpu, make_linear(m, cpu));
	}
}

static void step_mend(struct maker *m, unsigned cpu)
{
	const enum guest_mode host = m->in_l2[cpu] ? m->l1_mode[cpu] : m->mode[cpu];
	const unsigned size = is_amd(m) && host == GUEST_32 ? 4 : 8;

	if (make_chance(m, 2))
		mend(m, TABLE_TARGETS, TARGETS, size);
	else
		mend(m, 0, TABLE_TARGETS, size);
}

void make_l1_step(struct maker *m)
{
	const unsigned cpu = make_vcpu(m);
	const uint64_t choice = make_below(m, 100);

	if (choice < 12) {
		enter(m, cpu);
	} else if (choice < 16) {
		leave(m, cpu);
	} else if (choice < 24) {
		resume(m, cpu, tlb_control(m));
	} else if (choice < 30) {
		invalidate(m, cpu);
		if (!make_chance(m, 4))
			resume(m, cpu, tlb_control(m));
	} else if (choice < 33) {
		step_vmfunc(m, cpu);
	} else if (choice < 35) {
		step_mend(m, cpu);
	} else if (choice < 40) {
		step_roots(m, cpu);
	} else if (m->paging == UMBRA_PAGING_SHADOW) {
		make_access(m, cpu, make_linear(m, cpu));
	} else if (choice < 60) {
		step_stale(m, cpu);
	} else if (choice < 80) {
		step_edit(m, cpu);
	} else {
		make_access(m, cpu, make_linear(m, cpu));
	}
}
