/* SPDX-License-Identifier: MIT */
/*
 * shadow.c - how long do the usual events of shadow paging take?
 *
 *	first-touch   a page that the guest has mapped (A and D set), neighbours included
 *	invlpg        one entry of a table that is out of sync has changed
 *	mov-cr3       back and forth between two roots, load included
 *	sync          MOV CR3 with one unsync table of 512 entries, one of them changed
 *
 * The guest has four levels and 16 MiB of 4K pages at linear address 0, its tables
 * at 64 MiB. The reference is the same work with TDP, where there is such work:
 * the first touch under EPT. For the others, which cost a TDP guest no exit, it is
 * the first touch as well, so that their ratios can be compared.
 */
#include "bench/bench.h"
#include "bench/rig.h"

#include <errno.h>

#define MEMORY (128ull << 20)
#define PAGES 4096u /* 16 MiB */
#define TABLES (64ull << 20)
/* Page tables begin here; three upper tables lie before, two roots. */
#define LEAVES (TABLES + 16 * 4096)
#define ROOT(n) (TABLES + (n)*4096)
#define ENTRY 0x67ull /* P, W, U, A, D */

#define FEATURES                                                                             \
	(UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_2M | UMBRA_CPU_NX | UMBRA_CPU_PAE | UMBRA_CPU_LM | \
	 UMBRA_CPU_PGE | UMBRA_CPU_PSE | UMBRA_CPU_PAT)

static bool open_rig(struct rig *m, enum umbra_paging paging)
{
	const struct umbra_vm_config vm = {
		.cpu = {UMBRA_VENDOR_INTEL, 46, FEATURES},
		.paging = paging,
		.levels = paging == UMBRA_PAGING_EPT ? 4 : 0,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 1,
	};

	return rig_open(m, &vm, MEMORY);
}

/* Two roots over the same lower tables, and long mode. */
static bool boot(struct rig *m)
{
	struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = ROOT(0),
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};

	*rig_at(m, ROOT(0)) = *rig_at(m, ROOT(1)) = (ROOT(0) + 2 * 4096) | ENTRY;
	*rig_at(m, ROOT(2)) = ROOT(3) | ENTRY;
	for (unsigned i = 0; i < PAGES / 512; i++)
		rig_at(m, ROOT(3))[i] = (LEAVES + i * 4096) | ENTRY;
	for (unsigned i = 0; i < PAGES; i++)
		rig_at(m, LEAVES)[i] = (uint64_t)i << 12 | ENTRY;
	/* The page tables themselves, right behind, so that they can be written. */
	rig_at(m, ROOT(3))[PAGES / 512] = (LEAVES + PAGES / 512 * 4096) | ENTRY;
	for (unsigned i = 0; i < PAGES / 512; i++)
		rig_at(m, LEAVES)[PAGES + i] = (LEAVES + i * 4096) | ENTRY;
	return !umbra_vcpu_set_regs(m->vcpu, &regs, false) && !umbra_vcpu_load(m->vcpu, &m->root);
}

static bool fault(struct rig *m, uint64_t gva, uint64_t code)
{
	const struct umbra_exit exit = {
		.event = {.kind = UMBRA_EVENT_PF, .code = code, .gva = {gva}}};

	return rig_resumes(m, &exit);
}

static bool ept_fault(struct rig *m, uint64_t gpa)
{
	const struct umbra_exit exit = {
		.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x182, .gpa = {gpa}}};

	return rig_resumes(m, &exit);
}

/* ---- samples: nanoseconds an operation, negative when the library refused ---- */

static double tdp_touch(struct rig *m)
{
	double start;

	if (!rig_restart(m))
		return -1;
	start = rig_now();
	for (uint64_t i = 0; i < PAGES; i++)
		if (!ept_fault(m, i << 12))
			return -1;
	return (rig_now() - start) / PAGES;
}

static bool touch_all(struct rig *m)
{
	/* Eight entries a fault: only every eighth page exits. */
	for (uint64_t i = 0; i < PAGES; i += 8)
		if (!fault(m, i << 12, 7))
			return false;
	return true;
}

static double first_touch(struct rig *m)
{
	double start;

	if (!rig_restart(m))
		return -1;
	start = rig_now();
	if (!touch_all(m))
		return -1;
	return (rig_now() - start) / PAGES;
}

/* Let the guest have its page table @n. */
static bool unsync(struct rig *m, unsigned n)
{
	return fault(m, (uint64_t)(PAGES + n) << 12, 7);
}

static double invlpg(struct rig *m)
{
	double spent = 0, start;

	if (!touch_all(m) || !unsync(m, 0))
		return -1;
	for (unsigned i = 0; i < 512; i++)
		rig_at(m, LEAVES)[i] ^= 1ull << 12;
	start = rig_now();
	for (uint64_t i = 0; i < 512; i++)
		umbra_vcpu_invlpg(m->vcpu, (umbra_gva){i << 12});
	spent += rig_now() - start;
	return spent / 512;
}

static double mov_cr3(struct rig *m)
{
	double start = rig_now();

	for (unsigned i = 0; i < 1000; i++)
		if (umbra_vcpu_mov_cr3(m->vcpu, ROOT(~i & 1)) || umbra_vcpu_load(m->vcpu, &m->root))
			return -1;
	return (rig_now() - start) / 1000;
}

static double sync_one(struct rig *m)
{
	double spent = 0, start;

	for (unsigned i = 0; i < 64; i++) {
		if (!touch_all(m) || !unsync(m, 0))
			return -1;
		rig_at(m, LEAVES)[i * 8] ^= 1ull << 12;
		start = rig_now();
		if (umbra_vcpu_mov_cr3(m->vcpu, ROOT(0)) || umbra_vcpu_load(m->vcpu, &m->root))
			return -1;
		spent += rig_now() - start;
	}
	return spent / 64;
}

/* ---- the runs ---- */

struct job {
	const char *name;
	rig_sample *sample;
};

int bench_shadow(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	static const struct job jobs[] = {
		{"shadow/first-touch", first_touch},
		{"shadow/invlpg", invlpg},
		{"shadow/mov-cr3", mov_cr3},
		{"shadow/sync", sync_one},
	};
	const unsigned count = sizeof(jobs) / sizeof(jobs[0]);
	struct rig shadow, ept;
	bool opened = open_rig(&shadow, UMBRA_PAGING_SHADOW);
	int error = 0;

	opened = open_rig(&ept, UMBRA_PAGING_EPT) && opened;
	if (!opened || !boot(&shadow))
		error = ENOMEM;
	for (unsigned i = 0; i < count && !error; i++) {
		struct bench_result result = {.name = jobs[i].name};

		if (rig_compare(&shadow, jobs[i].sample, &ept, tdp_touch, seconds / count, &result))
			emit(&result, arg);
		else
			error = EIO;
	}
	rig_close(&shadow);
	rig_close(&ept);
	return error;
}
