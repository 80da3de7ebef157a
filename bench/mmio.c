/* SPDX-License-Identifier: MIT */
/*
 * mmio.c - what do MMIO entries save, and what does it cost when their generation repeats?
 *
 *	mmio ept|npt|shadow    an access to a page without memory, always the same one or by
 *	                       turns 16: from the exit's fields to the verdict. Reference: a VM
 *	                       without such entries, which looks for slots, and walks
 *	mmio wrap, wrap wide   the slot change with which 2^18 generations are through, and the
 *	                       faults that follow until all is mapped again: everything goes,
 *	                       or with mmio_wide_generation only MMIO entries. Reference: a
 *	                       slot change in between
 *
 * A guest of 4,096 mapped pages. Slots of one page, away from all that is mapped, are made
 * and deleted until the generation comes around; each wrap takes 175,000 changes.
 */
#include "bench/bench.h"
#include "bench/rig.h"

#include <errno.h>
#include <string.h>

#define MEMORY (16ull << 20)
#define PAGES (MEMORY >> UMBRA_PAGE_SHIFT)
#define DEVICE 0xfee00000ull
#define DEVICES 16u
#define ACCESSES 4096u
#define GENERATIONS (1ull << 18)

/* The guest's own tables, for shadow paging: PDPTE 3 leads to 2M of device, page by page. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
#define DEVICE_GVA 0xc0000000ull

struct kind {
	const char *name;
	enum umbra_paging paging;
	enum umbra_vendor vendor;
	/** Pages that are accessed by turns. */
	unsigned pages;
};

static struct umbra_vm_config config_of(const struct kind *kind)
{
	const uint32_t features = UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G |
				  UMBRA_CPU_NX | UMBRA_CPU_PAE | UMBRA_CPU_LM;

	return (struct umbra_vm_config){
		.cpu = {.vendor = kind->vendor, .maxphyaddr = 46, .features = features},
		.paging = kind->paging,
		.levels = kind->paging == UMBRA_PAGING_SHADOW ? 0 : 4,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 1,
	};
}

static bool start_guest(struct rig *m)
{
	static const struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PML4,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};

	*rig_at(m, PML4) = PDPT | 7;
	*rig_at(m, PDPT + 24) = PD | 7;
	*rig_at(m, PD) = PT | 7;
	for (unsigned i = 0; i < DEVICES; i++)
		*rig_at(m, PT + 8 * i) = (DEVICE + i * UMBRA_PAGE_SIZE) | 0x67;
	return !umbra_vcpu_set_regs(m->vcpu, &regs, true) && !umbra_vcpu_load(m->vcpu, &m->root);
}

static bool open_rig(struct rig *m, const struct kind *kind, bool without)
{
	struct umbra_vm_config config = config_of(kind);

	config.no_mmio_caching = without;
	return rig_open(m, &config, MEMORY) && start_guest(m);
}

/* ---- an access ---- */

/* The exit of a read; @met: by an MMIO entry. */
static struct umbra_exit exit_of(const struct rig *m, bool met)
{
	struct umbra_exit exit = {.event = {.code = met ? UMBRA_PF_P | UMBRA_PF_RSVD : 0}};

	if (m->root.host.cr0) {
		exit.event.kind = UMBRA_EVENT_NPF;
		exit.event.code |= UMBRA_NPF_FINAL | UMBRA_PF_U;
	} else if (m->root.regs.cr3 == m->root.pointer) {
		exit.event.kind = UMBRA_EVENT_PF;
	} else {
		exit.event.kind = met ? UMBRA_EVENT_EPT_MISCONFIG : UMBRA_EVENT_EPT_VIOLATION;
		exit.event.code = met ? 0 : 0x181;
	}
	return exit;
}

static bool access_device(struct rig *m, struct umbra_exit *exit, unsigned i)
{
	struct umbra_resolution what;

	exit->event.gpa.v = DEVICE + i * UMBRA_PAGE_SIZE;
	exit->event.gva.v = DEVICE_GVA + i * UMBRA_PAGE_SIZE;
	return !umbra_vcpu_fault(m->vcpu, exit, &what) && what.verdict == UMBRA_MMIO;
}

static double accesses(struct rig *m, bool met, unsigned pages)
{
	struct umbra_exit first = exit_of(m, false), exit = exit_of(m, met);
	double start;

	for (unsigned i = 0; i < pages; i++)
		if (!access_device(m, &first, i))
			return -1;
	start = rig_now();
	for (unsigned i = 0; i < ACCESSES; i++)
		if (!access_device(m, &exit, i % pages))
			return -1;
	return (rig_now() - start) / ACCESSES;
}

static double sample_one(struct rig *m)
{
	return accesses(m, true, 1);
}

static double sample_all(struct rig *m)
{
	return accesses(m, true, DEVICES);
}

static double reference_one(struct rig *m)
{
	return accesses(m, false, 1);
}

static double reference_all(struct rig *m)
{
	return accesses(m, false, DEVICES);
}

/* ---- a wrap ---- */

static bool change_slot(struct rig *m, bool there)
{
	const struct umbra_slot slot = {
		.id = 1, .base = {1ull << 40}, .size = there ? UMBRA_PAGE_SIZE : 0};

	return !umbra_slot_set(m->vm, &slot);
}

/* Faults until as many pages are mapped as there were. */
static bool map_again(struct rig *m)
{
	struct umbra_exit exit = {.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x182}};
	struct umbra_stats stats;

	if (umbra_vcpu_load(m->vcpu, &m->root))
		return false;
	umbra_vm_stats(m->vm, &stats);
	for (uint64_t page = stats.pages_4k; page < PAGES; page++) {
		exit.event.gpa.v = page << UMBRA_PAGE_SHIFT;
		if (!rig_resumes(m, &exit))
			return false;
	}
	exit = exit_of(m, false);
	for (unsigned i = 0; i < DEVICES; i++)
		if (!access_device(m, &exit, i))
			return false;
	return true;
}

/* @generation: of the slots; a slot that goes steps it twice (facts M-7). */
static bool until_wrap(struct rig *m, uint64_t *generation, struct bench_result *result)
{
	const double start = rig_now();
	uint64_t count = 0;
	double wrap;

	for (;;) {
		const bool there = count++ % 2 == 0;
		const uint64_t next = *generation + (there ? 1 : 2);

		if (next / GENERATIONS != *generation / GENERATIONS) {
			wrap = rig_now();
			result->ref_ns = (wrap - start) / (double)(count - 1);
			if (!change_slot(m, there) || !map_again(m))
				return false;
			result->ns = rig_now() - wrap;
			*generation = next;
			return there ? change_slot(m, false) && (*generation += 2) : true;
		}
		if (!change_slot(m, there))
			return false;
		*generation = next;
	}
}

static int wrap(const char *name, bool wide, double seconds, struct bench_result *result)
{
	static const struct kind ept = {"", UMBRA_PAGING_EPT, UMBRA_VENDOR_INTEL, 1};
	struct umbra_vm_config config = config_of(&ept);
	const double until = rig_now() + seconds * 1e9;
	struct bench_result best = {.name = name, .ns = 1e18, .ref_ns = 1e18}, one;
	uint64_t generation = 1; /* the rig's slot */
	struct rig m;
	int error = 0;

	config.mmio_wide_generation = wide;
	if (!rig_open(&m, &config, MEMORY) || !map_again(&m))
		error = ENOMEM;
	do {
		if (!error && !until_wrap(&m, &generation, &one))
			error = EIO;
		if (error)
			break;
		best.ns = one.ns < best.ns ? one.ns : best.ns;
		best.ref_ns = one.ref_ns < best.ref_ns ? one.ref_ns : best.ref_ns;
	} while (rig_now() < until);
	rig_close(&m);
	best.ratio = best.ns / best.ref_ns;
	*result = best;
	return error;
}

int bench_mmio(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	static const struct kind kinds[] = {
		{"mmio ept", UMBRA_PAGING_EPT, UMBRA_VENDOR_INTEL, 1},
		{"mmio ept 16", UMBRA_PAGING_EPT, UMBRA_VENDOR_INTEL, DEVICES},
		{"mmio npt 16", UMBRA_PAGING_NPT, UMBRA_VENDOR_AMD, DEVICES},
		{"mmio shadow", UMBRA_PAGING_SHADOW, UMBRA_VENDOR_INTEL, 1},
		{"mmio shadow 16", UMBRA_PAGING_SHADOW, UMBRA_VENDOR_INTEL, DEVICES},
	};
	struct bench_result result;
	int error = 0;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !error; i++) {
		struct rig m, reference = {0};

		const bool one = kinds[i].pages == 1;

		result = (struct bench_result){.name = kinds[i].name};
		if (!open_rig(&m, &kinds[i], false) || !open_rig(&reference, &kinds[i], true))
			error = ENOMEM;
		else if (!rig_compare(&m, one ? sample_one : sample_all, &reference,
				      one ? reference_one : reference_all, seconds / 10, &result))
			error = EIO;
		else
			emit(&result, arg);
		rig_close(&m);
		rig_close(&reference);
	}
	for (unsigned wide = 0; wide < 2 && !error; wide++) {
		error = wrap(wide ? "mmio wrap wide" : "mmio wrap", wide, seconds / 4, &result);
		if (!error)
			emit(&result, arg);
	}
	return error;
}
