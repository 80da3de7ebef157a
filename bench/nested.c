/* SPDX-License-Identifier: MIT */
/*
 * nested.c - how long do the usual events of a hypervisor in a guest take?
 *
 *	first-touch-*   a page that L1's tables map (A and D set), neighbours included
 *	vmrun-SIZE      L1 -> L2 -> L1 with nothing changed and SIZE mapped: enter, load,
 *	                leave, load. Must not depend on SIZE
 *	invept-SIZE     the same after INVEPT, with one table of L1's changed
 *
 * L1's tables map L2's memory in 4K pages, over and over, on 16 MiB of L1's. The reference
 * is the first touch with TDP of a guest that is no hypervisor.
 */
#include "bench/bench.h"
#include "bench/rig.h"

#include <errno.h>

#define MEMORY (64ull << 20)
#define PAGES 4096u /* of L1's that L2 is given */
/* L1's tables: the root, PDPT, four PDs, then page tables. */
#define ROOT (16ull << 20)
#define PDPT (ROOT + 4096)
#define PD(n) (ROOT + (2 + (n)) * 4096ull)
#define PT(n) (ROOT + (8 + (n)) * 4096ull)

#define INTEL                                                                                    \
	(UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G | UMBRA_CPU_NX | UMBRA_CPU_PAE | \
	 UMBRA_CPU_LM | UMBRA_CPU_EPT_ADVINFO)
#define AMD (UMBRA_CPU_NX | UMBRA_CPU_PAE | UMBRA_CPU_LM | UMBRA_CPU_1G | UMBRA_CPU_PDPTE_MEMORY)

static const struct umbra_vm_config config[] = {
	{.cpu = {UMBRA_VENDOR_INTEL, 46, INTEL},
	 .paging = UMBRA_PAGING_EPT,
	 .levels = 4,
	 .layout = UMBRA_LAYOUT_7_3,
	 .page_level = 1},
	{.cpu = {UMBRA_VENDOR_AMD, 46, AMD},
	 .paging = UMBRA_PAGING_NPT,
	 .levels = 4,
	 .layout = UMBRA_LAYOUT_7_3,
	 .page_level = 1},
};

/* What the samples below have mapped. */
struct nest {
	struct rig rig;
	bool npt;
	struct umbra_nested state;
	/** MiB of L2 that are mapped. */
	unsigned mapped;
};

static void build(struct nest *nest)
{
	struct rig *m = &nest->rig;
	const uint64_t table = nest->npt ? 0x67 : 0x107, leaf = nest->npt ? 0x67 : 0x337;

	*rig_at(m, ROOT) = PDPT | table;
	for (unsigned i = 0; i < 4; i++)
		rig_at(m, PDPT)[i] = PD(i) | table;
	for (unsigned i = 0; i < 2048; i++)
		rig_at(m, PD(0))[i] = PT(i) | table;
	for (unsigned i = 0; i < 2048 * 512; i++)
		rig_at(m, PT(0))[i] = (uint64_t)(i % PAGES) << 12 | leaf;
}

static bool open_nest(struct nest *nest, bool npt)
{
	const struct umbra_regs l1 = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};

	*nest = (struct nest){.npt = npt};
	nest->state = (struct umbra_nested){
		.paging = npt ? UMBRA_NESTED_NPT : UMBRA_NESTED_EPT,
		.regs = {.cr0 = UMBRA_CR0_PE},
		.pointer = npt ? ROOT : ROOT | 0x5e,
		.tag = 1,
	};
	if (!rig_open(&nest->rig, &config[npt], MEMORY))
		return false;
	build(nest);
	return !umbra_vcpu_set_regs(nest->rig.vcpu, &l1, false);
}

static bool enter(struct nest *nest)
{
	struct rig *m = &nest->rig;

	return !umbra_vcpu_enter_nested(m->vcpu, &nest->state) &&
	       !umbra_vcpu_load(m->vcpu, &m->root);
}

static bool leave(struct nest *nest)
{
	struct rig *m = &nest->rig;

	umbra_vcpu_leave_nested(m->vcpu);
	return !umbra_vcpu_load(m->vcpu, &m->root);
}

/* All of [@from, @to) MiB; eight pages a fault. */
static bool touch(struct nest *nest, uint64_t from, uint64_t to)
{
	struct umbra_exit exit = {.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x182}};

	if (nest->npt)
		exit.event = (struct umbra_event){UMBRA_EVENT_NPF, 0x100000006, {0}, {0}};
	for (uint64_t gpa = from << 20; gpa < to << 20; gpa += 8 * 4096) {
		exit.event.gpa.v = gpa;
		if (!rig_resumes(&nest->rig, &exit))
			return false;
	}
	return true;
}

static struct nest *nest_of(struct rig *m)
{
	return (struct nest *)m;
}

/* ---- samples ---- */

static double tdp_touch(struct rig *m)
{
	struct umbra_exit exit = {.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x182}};
	double start;

	if (!rig_restart(m))
		return -1;
	start = rig_now();
	for (uint64_t i = 0; i < PAGES; i++) {
		exit.event.gpa.v = i << 12;
		if (!rig_resumes(m, &exit))
			return -1;
	}
	return (rig_now() - start) / PAGES;
}

static double first_touch(struct rig *m)
{
	struct nest *nest = nest_of(m);
	double start, spent;

	if (!rig_restart(m) || !enter(nest))
		return -1;
	start = rig_now();
	if (!touch(nest, 0, 16))
		return -1;
	spent = rig_now() - start;
	return leave(nest) ? spent / PAGES : -1;
}

static double vmrun(struct rig *m)
{
	struct nest *nest = nest_of(m);
	double start = rig_now();

	for (unsigned i = 0; i < 1000; i++)
		if (!enter(nest) || !leave(nest))
			return -1;
	return (rig_now() - start) / 1000;
}

/* One entry of one last-level table; L1 writes it as it would. */
static bool edit(struct nest *nest)
{
	struct umbra_exit exit = {.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x182}};

	exit.event.gpa.v = PT(0);
	if (nest->npt)
		exit.event = (struct umbra_event){UMBRA_EVENT_NPF, 0x100000006, {0}, {PT(0)}};
	if (!rig_resumes(&nest->rig, &exit))
		return false;
	rig_at(&nest->rig, PT(0))[8] ^= 1ull << 12;
	return true;
}

static double flush_one(struct rig *m)
{
	struct nest *nest = nest_of(m);
	double spent = 0, start;

	for (unsigned i = 0; i < 64; i++) {
		if (!edit(nest))
			return -1;
		start = rig_now();
		if (nest->npt)
			nest->state.tlb_control = 3;
		else if (umbra_vcpu_invept(m->vcpu, 1, nest->state.pointer))
			return -1;
		if (!enter(nest) || !leave(nest))
			return -1;
		spent += rig_now() - start;
		nest->state.tlb_control = 0;
		/* What went is back for the next time. */
		if (!enter(nest) || !touch(nest, 0, 1) || !leave(nest))
			return -1;
	}
	return spent / 64;
}

/* ---- the runs ---- */

struct job {
	const char *name[2]; /* EPT, NPT */
	rig_sample *sample;
	/** MiB that L2 has touched before. */
	unsigned mapped;
};

static const struct job jobs[] = {
	{{"nested/first-touch-ept", "nested/first-touch-npt"}, first_touch, 0},
	{{"nested/vmentry-1M", "nested/vmrun-1M"}, vmrun, 1},
	{{"nested/vmentry-64M", "nested/vmrun-64M"}, vmrun, 64},
	{{"nested/vmentry-1G", "nested/vmrun-1G"}, vmrun, 1024},
	{{"nested/vmentry-4G", "nested/vmrun-4G"}, vmrun, 4096},
	{{"nested/invept-1M", "nested/tlb-control-1M"}, flush_one, 1},
	{{"nested/invept-4G", "nested/tlb-control-4G"}, flush_one, 4096},
};
#define JOBS (sizeof(jobs) / sizeof(jobs[0]))

/* So much and no more is mapped. */
static bool prepare(struct nest *nest, unsigned mapped)
{
	return rig_restart(&nest->rig) && enter(nest) && touch(nest, 0, mapped) && leave(nest);
}

int bench_nested(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	struct rig tdp;
	struct nest nest;
	bool opened = rig_open(&tdp, &config[0], MEMORY);
	int error = opened ? 0 : ENOMEM;

	for (int npt = 0; npt < 2; npt++) {
		if (!open_nest(&nest, npt))
			error = ENOMEM;
		for (unsigned i = 0; i < JOBS && !error; i++) {
			struct bench_result result = {.name = jobs[i].name[npt]};

			if (prepare(&nest, jobs[i].mapped) &&
			    rig_compare(&nest.rig, jobs[i].sample, &tdp, tdp_touch,
					seconds / (2 * JOBS), &result))
				emit(&result, arg);
			else
				error = EIO;
		}
		rig_close(&nest.rig);
	}
	rig_close(&tdp);
	return error;
}
