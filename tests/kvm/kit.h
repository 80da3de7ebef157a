/* SPDX-License-Identifier: MIT */
/*
 * kit.h - a process with a VM and a vCPU, and what it was told last.
 */
#ifndef TESTS_KVM_KIT_H
#define TESTS_KVM_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"
#include "kvm/uapi.h"

/** Where tests put their structures. */
#define KIT_ARG 0x20800000ull

struct kit {
	struct kvm_process *process;
	int64_t system, vm, vcpu;
	char why[256], step[256];
	unsigned findings;
};

static inline void kit_told(void *context, enum kvm_told kind, const char *text)
{
	struct kit *kit = context;

	if (kind == KVM_TOLD_WHY)
		snprintf(kit->why, sizeof(kit->why), "%s", text);
	else if (kind == KVM_TOLD_STEP)
		snprintf(kit->step, sizeof(kit->step), "%s", text);
	else if (kind == KVM_TOLD_FINDING)
		kit->findings++;
}

static inline struct umbra_vm_config kit_config(enum umbra_paging paging, unsigned levels,
						unsigned maxphyaddr)
{
	return (struct umbra_vm_config){
		.cpu = {.vendor =
				paging == UMBRA_PAGING_NPT ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL,
			.maxphyaddr = (uint8_t)maxphyaddr,
			.features = UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT |
				    UMBRA_CPU_PSE36 | UMBRA_CPU_NX | UMBRA_CPU_LM | UMBRA_CPU_1G |
				    UMBRA_CPU_LA57 | UMBRA_CPU_SMEP | UMBRA_CPU_EPT_2M |
				    UMBRA_CPU_EPT_1G | UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_LEVEL5},
		.paging = paging,
		.levels = (uint8_t)levels,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 3,
	};
}

static inline void kit_open(struct kit *kit, const struct umbra_vm_config *vm, uint64_t type)
{
	const struct kvm_config config = {.vm = *vm, .tell = kit_told, .context = kit};

	memset(kit, 0, sizeof(*kit));
	kit->process = kvm_process_new(&config);
	assert_non_null(kit->process);
	kit->system = kvm_open(kit->process);
	kit->vm = kvm_ioctl(kit->process, (uint64_t)kit->system, KVM_CREATE_VM, type);
	assert_true(kit->vm > 0);
	kit->vcpu = kvm_ioctl(kit->process, (uint64_t)kit->vm, KVM_CREATE_VCPU, 0);
	assert_true(kit->vcpu > 0);
}

static inline void kit_close(struct kit *kit)
{
	assert_int_equal(kvm_process_free(kit->process), 0);
	assert_int_equal(kit->findings, 0);
}

/** kit_ioctl - with @size bytes at @arg put into the process's memory. */
static inline int64_t kit_ioctl(struct kit *kit, int64_t fd, uint64_t request, const void *arg,
				size_t size)
{
	kit->why[0] = 0;
	assert_true(kvm_memory_write(kvm_process_memory(kit->process), KIT_ARG, arg, size));
	return kvm_ioctl(kit->process, (uint64_t)fd, request, KIT_ARG);
}

static inline void kit_result(struct kit *kit, void *arg, size_t size)
{
	assert_true(kvm_memory_read(kvm_process_memory(kit->process), KIT_ARG, arg, size));
}

/** kit_slot - KVM_SET_USER_MEMORY_REGION2. */
static inline int64_t kit_slot(struct kit *kit, uint32_t slot, uint32_t flags, uint64_t gpa,
			       uint64_t size, uint64_t hva)
{
	const struct kvm_memory_region region = {
		.slot = slot, .flags = flags, .gpa = gpa, .size = size, .hva = hva};

	return kit_ioctl(kit, kit->vm, KVM_SET_USER_MEMORY_REGION2, &region, sizeof(region));
}

#endif
