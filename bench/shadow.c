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
#define _GNU_SOURCE
#include "bench/bench.h"
#include "port/posix/posix.h"
#include "umbra/umbra.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

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

struct machine {
	struct posix_host *host;
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	uint8_t *memory;
	struct umbra_root root;
};

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e9 + at.tv_nsec;
}

static bool open_machine(struct machine *m, enum umbra_paging paging)
{
	const struct posix_config config = {.single = true};
	struct umbra_vm_config vm = {
		.cpu = {UMBRA_VENDOR_INTEL, 46, FEATURES},
		.paging = paging,
		.levels = paging == UMBRA_PAGING_EPT ? 4 : 0,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 1,
	};
	struct posix_region region = {.base = {0x1000000000}, .size = MEMORY, .level = 1};
	struct umbra_slot slot = {.size = MEMORY};

	memset(m, 0, sizeof(*m));
	m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	m->host = posix_host_new(&config);
	if (m->memory == MAP_FAILED || !m->host)
		return false;
	region.bytes = m->memory;
	vm.host = m->host;
	return posix_region_add(m->host, &region, &slot.hva) && !umbra_vm_create(&vm, &m->vm) &&
	       !umbra_slot_set(m->vm, &slot) && !umbra_vcpu_create(m->vm, &vm.cpu, &m->vcpu);
}

static void close_machine(struct machine *m)
{
	umbra_vm_destroy(m->vm);
	if (m->host)
		posix_host_free(m->host);
	if (m->memory && m->memory != MAP_FAILED)
		munmap(m->memory, MEMORY);
}

static uint64_t *guest(struct machine *m, uint64_t gpa)
{
	return (uint64_t *)(void *)(m->memory + gpa);
}

/* Two roots over the same lower tables, and long mode. */
static bool boot(struct machine *m)
{
	struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = ROOT(0),
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};

	*guest(m, ROOT(0)) = *guest(m, ROOT(1)) = (ROOT(0) + 2 * 4096) | ENTRY;
	*guest(m, ROOT(2)) = ROOT(3) | ENTRY;
	for (unsigned i = 0; i < PAGES / 512; i++)
		guest(m, ROOT(3))[i] = (LEAVES + i * 4096) | ENTRY;
	for (unsigned i = 0; i < PAGES; i++)
		guest(m, LEAVES)[i] = (uint64_t)i << 12 | ENTRY;
	/* The page tables themselves, right behind, so that they can be written. */
	guest(m, ROOT(3))[PAGES / 512] = (LEAVES + PAGES / 512 * 4096) | ENTRY;
	for (unsigned i = 0; i < PAGES / 512; i++)
		guest(m, LEAVES)[PAGES + i] = (LEAVES + i * 4096) | ENTRY;
	return !umbra_vcpu_set_regs(m->vcpu, &regs, false) && !umbra_vcpu_load(m->vcpu, &m->root);
}

static bool fault(struct machine *m, uint64_t gva, uint64_t code)
{
	const struct umbra_exit exit = {
		.event = {.kind = UMBRA_EVENT_PF, .code = code, .gva = {gva}}};
	struct umbra_resolution what;

	return !umbra_vcpu_fault(m->vcpu, &exit, &what) && what.verdict == UMBRA_RESUME;
}

static bool ept_fault(struct machine *m, uint64_t gpa)
{
	const struct umbra_exit exit = {
		.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x182, .gpa = {gpa}}};
	struct umbra_resolution what;

	return !umbra_vcpu_fault(m->vcpu, &exit, &what) && what.verdict == UMBRA_RESUME;
}

/* ---- samples: nanoseconds an operation, negative when the library refused ---- */

static double tdp_touch(struct machine *m)
{
	double start;

	umbra_vm_zap_all(m->vm);
	posix_reclaim(m->host);
	if (umbra_vcpu_load(m->vcpu, &m->root))
		return -1;
	start = now();
	for (uint64_t i = 0; i < PAGES; i++)
		if (!ept_fault(m, i << 12))
			return -1;
	return (now() - start) / PAGES;
}

static bool touch_all(struct machine *m)
{
	/* Eight entries a fault: only every eighth page exits. */
	for (uint64_t i = 0; i < PAGES; i += 8)
		if (!fault(m, i << 12, 7))
			return false;
	return true;
}

static double first_touch(struct machine *m)
{
	double start;

	umbra_vm_zap_all(m->vm);
	posix_reclaim(m->host);
	if (umbra_vcpu_load(m->vcpu, &m->root))
		return -1;
	start = now();
	if (!touch_all(m))
		return -1;
	return (now() - start) / PAGES;
}

/* Let the guest have its page table @n. */
static bool unsync(struct machine *m, unsigned n)
{
	return fault(m, (uint64_t)(PAGES + n) << 12, 7);
}

static double invlpg(struct machine *m)
{
	double spent = 0, start;

	if (!touch_all(m) || !unsync(m, 0))
		return -1;
	for (unsigned i = 0; i < 512; i++)
		guest(m, LEAVES)[i] ^= 1ull << 12;
	start = now();
	for (uint64_t i = 0; i < 512; i++)
		umbra_vcpu_invlpg(m->vcpu, (umbra_gva){i << 12});
	spent += now() - start;
	return spent / 512;
}

static double mov_cr3(struct machine *m)
{
	double start = now();

	for (unsigned i = 0; i < 1000; i++)
		if (umbra_vcpu_mov_cr3(m->vcpu, ROOT(~i & 1)) || umbra_vcpu_load(m->vcpu, &m->root))
			return -1;
	return (now() - start) / 1000;
}

static double sync_one(struct machine *m)
{
	double spent = 0, start;

	for (unsigned i = 0; i < 64; i++) {
		if (!touch_all(m) || !unsync(m, 0))
			return -1;
		guest(m, LEAVES)[i * 8] ^= 1ull << 12;
		start = now();
		if (umbra_vcpu_mov_cr3(m->vcpu, ROOT(0)) || umbra_vcpu_load(m->vcpu, &m->root))
			return -1;
		spent += now() - start;
	}
	return spent / 64;
}

/* ---- the runs ---- */

struct job {
	const char *name;
	double (*sample)(struct machine *m);
};

static int run(struct machine *shadow, struct machine *ept, const struct job *job,
	       struct bench_result *result, double seconds)
{
	double until = now() + seconds * 1e9;

	*result = (struct bench_result){.name = job->name, .ns = 1e18, .ref_ns = 1e18};
	do {
		double ns = job->sample(shadow), ref = tdp_touch(ept);

		if (ns < 0 || ref < 0)
			return EIO;
		result->ns = ns < result->ns ? ns : result->ns;
		result->ref_ns = ref < result->ref_ns ? ref : result->ref_ns;
	} while (now() < until);
	result->ratio = result->ns / result->ref_ns;
	return 0;
}

int bench_shadow(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	static const struct job jobs[] = {
		{"shadow/first-touch", first_touch},
		{"shadow/invlpg", invlpg},
		{"shadow/mov-cr3", mov_cr3},
		{"shadow/sync", sync_one},
	};
	const unsigned count = sizeof(jobs) / sizeof(jobs[0]);
	struct machine shadow, ept;
	bool opened = open_machine(&shadow, UMBRA_PAGING_SHADOW);
	int error = 0;

	opened = open_machine(&ept, UMBRA_PAGING_EPT) && opened;
	if (!opened || !boot(&shadow))
		error = ENOMEM;
	for (unsigned i = 0; i < count && !error; i++) {
		struct bench_result result;

		error = run(&shadow, &ept, &jobs[i], &result, seconds / count);
		if (!error)
			emit(&result, arg);
	}
	close_machine(&shadow);
	close_machine(&ept);
	return error;
}
