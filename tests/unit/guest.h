/* SPDX-License-Identifier: MIT */
/*
 * guest.h - a VM on the POSIX port, its memory, and what tests do with it.
 *
 * One region of guest memory of BYTES at host-physical HPA, named by kit.hva. Tests
 * make slots of it as they like; kit_open() makes one, [0, BYTES). Counts flushes.
 */
#ifndef TESTS_UNIT_GUEST_H
#define TESTS_UNIT_GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/rmap.h"
#include "core/table.h"
#include "core/vcpu.h"
#include "port/posix/posix.h"
#include "umbra/umbra.h"

#define BYTES (16ull << 20)
#define HPA 0x200000000ull

#define INTEL_FEATURES                                                                       \
	(~(UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK | UMBRA_CPU_GMET | \
	   UMBRA_CPU_ROGPT))
#define AMD_FEATURES                                                                            \
	(UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT | UMBRA_CPU_PSE36 |      \
	 UMBRA_CPU_PCID | UMBRA_CPU_SMEP | UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_LA57 |    \
	 UMBRA_CPU_NX | UMBRA_CPU_1G | UMBRA_CPU_LM | UMBRA_CPU_GMET | UMBRA_CPU_PDPTE_MEMORY | \
	 UMBRA_CPU_BIT8_MBZ)

struct kit {
	struct posix_host *host;
	uint8_t *bytes;
	umbra_hva hva;
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	struct umbra_vm_config config;
	uint64_t flushes;
	/** Set by kit_flush: the last one, and what *watch was then. */
	struct umbra_flush last;
	const uint64_t *watch;
	uint64_t watched;
	uint64_t findings;
	struct umbra_finding last_finding;
	char found[512];
};

static inline struct umbra_cpu intel_cpu(void)
{
	return (struct umbra_cpu){UMBRA_VENDOR_INTEL, 46, INTEL_FEATURES};
}

static inline struct umbra_cpu amd_cpu(void)
{
	return (struct umbra_cpu){UMBRA_VENDOR_AMD, 48, AMD_FEATURES};
}

static inline void kit_flush(void *context, const struct umbra_flush *flush)
{
	struct kit *kit = context;

	kit->flushes++;
	kit->last = *flush;
	if (kit->watch)
		kit->watched = *kit->watch;
}

static inline void kit_found(void *context, const struct umbra_finding *finding)
{
	struct kit *kit = context;
	size_t used = strlen(kit->found);

	kit->findings++;
	kit->last_finding = *finding;
	snprintf(kit->found + used, sizeof(kit->found) - used, "%s %s (%#llx %#llx); ",
		 finding->invariant, finding->what, (unsigned long long)finding->where,
		 (unsigned long long)finding->value);
}

/** kit_audit - number of findings; they are printed when there are any. */
static inline uint64_t kit_audit(struct kit *kit)
{
	uint64_t count;

	kit->findings = 0;
	kit->found[0] = 0;
	count = umbra_audit(kit->vm, kit_found, kit);
	assert_int_equal(count, kit->findings);
	return count;
}

#define assert_clean(kit)                                    \
	do {                                                 \
		if (kit_audit(kit))                          \
			fail_msg("audit: %s", (kit)->found); \
	} while (0)

static inline struct umbra_vm_config kit_config(enum umbra_paging paging)
{
	return (struct umbra_vm_config){
		.cpu = paging == UMBRA_PAGING_NPT ? amd_cpu() : intel_cpu(),
		.paging = paging,
		.levels = paging == UMBRA_PAGING_SHADOW ? 0 : 4,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 3,
	};
}

/* Zeros that nobody has to write: tests touch a few pages of it, and make it thousands
 * of times. A page on either side is not there. */
static inline uint8_t *kit_memory(void)
{
	uint8_t *at = mmap(NULL, BYTES + 2 * UMBRA_PAGE_SIZE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(at != MAP_FAILED);
	at += UMBRA_PAGE_SIZE;
	assert_int_equal(mprotect(at, BYTES, PROT_READ | PROT_WRITE), 0);
	return at;
}

/** kit_host - the host and the memory; largest host page @level. */
static inline void kit_host(struct kit *kit, uint8_t level)
{
	struct posix_region region = {.base = {HPA}, .size = BYTES, .level = level};
	const struct posix_config config = {.poison = true, .single = true};
	const struct posix_calls calls = {.context = kit, .flush = kit_flush};

	*kit = (struct kit){.host = posix_host_new(&config)};
	assert_non_null(kit->host);
	kit->bytes = kit_memory();
	region.bytes = kit->bytes;
	assert_true(posix_region_add(kit->host, &region, &kit->hva));
	posix_set_calls(kit->host, &calls);
}

static inline enum umbra_status kit_slot(struct kit *kit, uint32_t id, uint64_t base, uint64_t size,
					 uint64_t hva, uint32_t flags)
{
	const struct umbra_slot slot = {id, flags, {base}, size, {hva}};

	return umbra_slot_set(kit->vm, &slot);
}

/** kit_vm - a VM and a vCPU that sees the VM's CPU. */
static inline void kit_vm(struct kit *kit, const struct umbra_vm_config *config)
{
	kit->config = *config;
	kit->config.host = kit->host;
	assert_int_equal(umbra_vm_create(&kit->config, &kit->vm), UMBRA_OK);
	assert_int_equal(umbra_vcpu_create(kit->vm, &config->cpu, &kit->vcpu), UMBRA_OK);
}

static inline void kit_open(struct kit *kit, const struct umbra_vm_config *config, uint8_t level)
{
	kit_host(kit, level);
	kit_vm(kit, config);
	assert_int_equal(kit_slot(kit, 0, 0, BYTES, kit->hva.v, 0), UMBRA_OK);
}

/** kit_close - nothing may be left. */
static inline void kit_close(struct kit *kit)
{
	struct posix_counts counts;

	if (kit->vm)
		assert_clean(kit);
	umbra_vm_destroy(kit->vm);
	posix_reclaim(kit->host);
	posix_counts(kit->host, &counts);
	assert_int_equal(counts.pages, 0);
	assert_int_equal(counts.bytes, 0);
	assert_int_equal(counts.deferred, 0);
	assert_int_equal(counts.page_allocs - counts.page_frees >= counts.pages, 1);
	posix_host_free(kit->host);
	munmap(kit->bytes - UMBRA_PAGE_SIZE, BYTES + 2 * UMBRA_PAGE_SIZE);
}

static inline struct umbra_stats kit_stats(const struct kit *kit)
{
	struct umbra_stats stats;

	umbra_vm_stats(kit->vm, &stats);
	return stats;
}

/* ---- guest memory, past the library ---- */

static inline uint64_t get64(const struct kit *kit, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, kit->bytes + gpa, sizeof(value));
	return value;
}

static inline void put64(struct kit *kit, uint64_t gpa, uint64_t value)
{
	memcpy(kit->bytes + gpa, &value, sizeof(value));
}

static inline void put32(struct kit *kit, uint64_t gpa, uint32_t value)
{
	memcpy(kit->bytes + gpa, &value, sizeof(value));
}

/** write64 - as the guest: emulated. */
static inline void write64(struct kit *kit, uint64_t gpa, uint64_t value)
{
	assert_int_equal(umbra_vm_write(kit->vm, (umbra_gpa){gpa}, &value, 8), UMBRA_OK);
}

/* ---- faults ---- */

/** tdp_exit - the exit for a second-stage fault at @gpa. */
static inline struct umbra_exit tdp_exit(const struct kit *kit, uint64_t gpa, unsigned access)
{
	struct umbra_exit exit = {.event = {.gpa = {gpa}}};

	if (kit->config.paging == UMBRA_PAGING_EPT) {
		exit.event.kind = UMBRA_EVENT_EPT_VIOLATION;
		exit.event.code = access & UMBRA_ACCESS_WRITE   ? UMBRA_EPTQ_WRITE
				  : access & UMBRA_ACCESS_FETCH ? UMBRA_EPTQ_FETCH
								: UMBRA_EPTQ_READ;
	} else {
		exit.event.kind = UMBRA_EVENT_NPF;
		exit.event.code = UMBRA_NPF_FINAL | UMBRA_PF_U |
				  (access & UMBRA_ACCESS_WRITE ? UMBRA_PF_W : 0) |
				  (access & UMBRA_ACCESS_FETCH ? UMBRA_PF_I : 0);
	}
	return exit;
}

static inline struct umbra_exit pf_exit(uint64_t gva, unsigned access)
{
	struct umbra_exit exit = {
		.event = {.kind = UMBRA_EVENT_PF, .gva = {gva}},
		.cpl = access & UMBRA_ACCESS_USER ? 3 : 0,
		.ac = access & UMBRA_ACCESS_AC,
	};

	exit.event.code |= access & UMBRA_ACCESS_WRITE ? UMBRA_PF_W : 0;
	exit.event.code |= access & UMBRA_ACCESS_USER ? UMBRA_PF_U : 0;
	exit.event.code |= access & UMBRA_ACCESS_FETCH ? UMBRA_PF_I : 0;
	exit.event.code |= access & UMBRA_ACCESS_SHSTK ? UMBRA_PF_SS : 0;
	return exit;
}

/** touch_status - one fault at @address (gpa with TDP, else gva). */
static inline enum umbra_status touch_status(struct kit *kit, uint64_t address, unsigned access,
					     struct umbra_resolution *resolution)
{
	const struct umbra_exit exit = kit->config.paging == UMBRA_PAGING_SHADOW
					       ? pf_exit(address, access)
					       : tdp_exit(kit, address, access);

	memset(resolution, 0xee, sizeof(*resolution));
	return umbra_vcpu_fault(kit->vcpu, &exit, resolution);
}

static inline struct umbra_resolution touch(struct kit *kit, uint64_t address, unsigned access)
{
	struct umbra_resolution resolution;

	assert_int_equal(touch_status(kit, address, access, &resolution), UMBRA_OK);
	return resolution;
}

/** resume - touch() that must repair; returns the level. */
static inline unsigned resume(struct kit *kit, uint64_t address, unsigned access)
{
	struct umbra_resolution resolution = touch(kit, address, access);

	if (resolution.verdict == UMBRA_RETRY)
		resolution = touch(kit, address, access);
	assert_string_equal(umbra_strverdict(resolution.verdict), "RESUME");
	return resolution.level;
}

/* ---- what hardware finds ---- */

/** struct seen - the last present entry for an address, in the tables of the vCPU's root. */
struct seen {
	struct table_at at;
	uint64_t entry;
	unsigned acc;
	bool leaf;
};

static inline struct seen look(struct kit *kit, uint64_t address)
{
	struct mmu *mmu = &kit->vm->mmu;
	struct seen seen = {.at = {.page = kit->vcpu->own.root}};

	assert_non_null(kit->vcpu->own.root);
	for (;;) {
		seen.at.index = page_index(seen.at.page, address >> UMBRA_PAGE_SHIFT);
		seen.entry = table_read(mmu, seen.at);
		if (!entry_is_present(&mmu->kind, seen.entry))
			return seen;
		if (entry_is_leaf(&mmu->kind, seen.entry, seen.at.page->role.level)) {
			seen.leaf = true;
			seen.acc = entry_acc(&mmu->kind, seen.entry);
			return seen;
		}
		seen.at.page = page_of(mmu, entry_table(&mmu->kind, seen.entry));
	}
}

/** frame_of - host frame number of guest-physical @gpa (slot 0 as kit_open makes it). */
static inline uint64_t frame_of(uint64_t gpa)
{
	return (HPA + gpa) >> UMBRA_PAGE_SHIFT;
}

#endif
