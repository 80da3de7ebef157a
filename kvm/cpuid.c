/* SPDX-License-Identifier: MIT */
/*
 * cpuid.c - what a program tells a vCPU's guest about its CPU, as far as translation cares.
 *
 *	leaf 1, 7, 80000001, 80000008  ->  struct umbra_cpu
 *
 * The library shows no guest what the host lacks, KVM does (O-11): what is too much is left out
 * here, and told. A vCPU whose CPUID was never set has 36 physical address bits and what the
 * register loads do not check.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/parts.h"

#define REG(field) offsetof(struct kvm_cpuid, field)

static const struct {
	uint32_t leaf, index;
	size_t where;
	unsigned bit;
	uint32_t feature;
} features[] = {
	{1, 0, REG(edx), 3, UMBRA_CPU_PSE},          {1, 0, REG(edx), 6, UMBRA_CPU_PAE},
	{1, 0, REG(edx), 13, UMBRA_CPU_PGE},         {1, 0, REG(edx), 16, UMBRA_CPU_PAT},
	{1, 0, REG(edx), 17, UMBRA_CPU_PSE36},       {1, 0, REG(ecx), 17, UMBRA_CPU_PCID},
	{7, 0, REG(ebx), 7, UMBRA_CPU_SMEP},         {7, 0, REG(ebx), 20, UMBRA_CPU_SMAP},
	{7, 0, REG(ecx), 3, UMBRA_CPU_PKU},          {7, 0, REG(ecx), 7, UMBRA_CPU_SHSTK},
	{7, 0, REG(ecx), 16, UMBRA_CPU_LA57},        {7, 0, REG(ecx), 31, UMBRA_CPU_PKS},
	{7, 1, REG(eax), 26, UMBRA_CPU_LAM},         {0x80000001, 0, REG(edx), 20, UMBRA_CPU_NX},
	{0x80000001, 0, REG(edx), 26, UMBRA_CPU_1G}, {0x80000001, 0, REG(edx), 29, UMBRA_CPU_LM},
};
#define FEATURES (sizeof(features) / sizeof(features[0]))

/* What no CPUID bit names, and what only hypervisors ask for: the host's. */
#define NOT_CPUID                                                                            \
	(UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK | UMBRA_CPU_EPT_2M | \
	 UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_ADVINFO)
/* Without CPUID: what setting registers does not check. */
#define UNCHECKED                                                                          \
	(UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT | UMBRA_CPU_PSE36 | \
	 UMBRA_CPU_NX | UMBRA_CPU_LM)
#define MAXPHYADDR_UNKNOWN 36

struct umbra_cpu kvm_cpuid_none(const struct umbra_cpu *host)
{
	struct umbra_cpu cpu = *host;

	cpu.features &= NOT_CPUID | UNCHECKED;
	if (cpu.maxphyaddr > MAXPHYADDR_UNKNOWN)
		cpu.maxphyaddr = MAXPHYADDR_UNKNOWN;
	return cpu;
}

/* ---- what the host has ---- */

#define HAS_INDEX 1u /* kvm_cpuid.flags */
#define LINEAR_BITS (cpu->features & UMBRA_CPU_LA57 ? 57u : 48u)

static const uint32_t supported[][2] = {{0, 0},          {1, 0},          {7, 0},         {7, 1},
					{0x80000000, 0}, {0x80000001, 0}, {0x80000008, 0}};
#define SUPPORTED (sizeof(supported) / sizeof(supported[0]))

/* Physical bits, linear bits, and those of guest addresses that the tables translate: 0 where
 * they are the guest's own. */
static uint32_t widths_of(const struct umbra_vm_config *vm)
{
	const struct umbra_cpu *cpu = &vm->cpu;
	uint32_t mapped = vm->levels == 3 ? 32 : vm->levels == 4 ? 48 : 52;

	if (mapped > cpu->maxphyaddr)
		mapped = cpu->maxphyaddr;
	if (vm->paging == UMBRA_PAGING_SHADOW)
		mapped = 0;
	return cpu->maxphyaddr | LINEAR_BITS << 8 | mapped << 16;
}

static void fill(const struct umbra_vm_config *vm, struct kvm_cpuid *entry)
{
	static const char names[2][13] = {"GenuineIntel", "AuthenticAMD"};
	const char *name = names[vm->cpu.vendor == UMBRA_VENDOR_AMD];

	entry->flags = entry->leaf == 7 ? HAS_INDEX : 0;
	for (size_t i = 0; i < FEATURES; i++) {
		uint32_t *value = (uint32_t *)((uint8_t *)entry + features[i].where);

		if (features[i].leaf == entry->leaf && features[i].index == entry->index &&
		    vm->cpu.features & features[i].feature)
			*value |= 1u << features[i].bit;
	}
	switch (entry->leaf) {
	case 0:
		entry->eax = 7;
		memcpy(&entry->ebx, name, 4);
		memcpy(&entry->edx, name + 4, 4);
		memcpy(&entry->ecx, name + 8, 4);
		break;
	case 7: entry->eax |= entry->index ? 0 : 1; break; /* the last index */
	case 0x80000000: entry->eax = 0x80000008; break;
	case 0x80000008: entry->eax = widths_of(vm); break;
	default: break;
	}
}

int64_t kvm_cpuid_supported(struct kvm_process *process, uint64_t arg)
{
	struct kvm_cpuid list[SUPPORTED];
	uint32_t head[2];
	int64_t result = kvm_copy_in(process, arg, head, sizeof(head));

	if (result)
		return result;
	if (head[0] < SUPPORTED)
		return kvm_refuse(process, E2BIG, "there are %zu entries, and room for %" PRIu32,
				  SUPPORTED, head[0]);
	memset(list, 0, sizeof(list));
	for (size_t i = 0; i < SUPPORTED; i++) {
		list[i].leaf = supported[i][0];
		list[i].index = supported[i][1];
		fill(&process->config.vm, &list[i]);
	}
	head[0] = SUPPORTED;
	result = kvm_copy_out(process, arg + sizeof(head), list, sizeof(list));
	return result ? result : kvm_copy_out(process, arg, head, sizeof(head));
}

/* ---- what a program tells ---- */

static const struct kvm_cpuid *find(const struct kvm_cpuid *list, uint32_t count, uint32_t leaf,
				    uint32_t index)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].leaf == leaf &&
		    (list[i].index == index || !(list[i].flags & HAS_INDEX)))
			return &list[i];
	return NULL;
}

static struct umbra_cpu cpu_of(struct kvm_process *process, const struct kvm_cpuid *list,
			       uint32_t count)
{
	const struct umbra_cpu *host = &process->config.vm.cpu;
	struct umbra_cpu cpu = {.vendor = host->vendor, .maxphyaddr = MAXPHYADDR_UNKNOWN};
	const struct kvm_cpuid *entry;

	for (size_t i = 0; i < FEATURES; i++) {
		uint32_t value;

		entry = find(list, count, features[i].leaf, features[i].index);
		if (!entry)
			continue;
		memcpy(&value, (const uint8_t *)entry + features[i].where, sizeof(value));
		if (value >> features[i].bit & 1)
			cpu.features |= features[i].feature;
	}
	if (cpu.features & ~host->features)
		kvm_tell(process, KVM_TOLD_STEP,
			 "features that the host lacks are not shown to the guest");
	cpu.features &= host->features;
	cpu.features |= host->features & NOT_CPUID;
	entry = find(list, count, 0x80000000, 0);
	if (entry && entry->eax >= 0x80000008)
		entry = find(list, count, 0x80000008, 0);
	else
		entry = NULL;
	if (entry)
		cpu.maxphyaddr = entry->eax & 0xff;
	if (cpu.maxphyaddr > host->maxphyaddr || cpu.maxphyaddr < 32) {
		cpu.maxphyaddr = cpu.maxphyaddr < 32 ? 32 : host->maxphyaddr;
		kvm_tell(process, KVM_TOLD_STEP, "MAXPHYADDR is taken as %u", cpu.maxphyaddr);
	}
	return cpu;
}

/* Widths of linear addresses that KVM accepts: unknown, 48 and 57. */
static bool widths_ok(const struct kvm_cpuid *list, uint32_t count)
{
	const struct kvm_cpuid *entry = find(list, count, 0x80000008, 0);
	unsigned bits = entry ? entry->eax >> 8 & 0xff : 0;

	return bits == 0 || bits == 48 || bits == 57;
}

static int64_t take(struct kvm_vcpu *vcpu, struct kvm_cpuid *list, uint32_t count)
{
	struct kvm_process *process = vcpu->vm->process;
	struct umbra_cpu cpu;
	int64_t result;

	if (vcpu->ran) {
		if (count == vcpu->cpuid_count &&
		    (!count || !memcmp(list, vcpu->cpuid, count * sizeof(*list))))
			return 0;
		return kvm_refuse(process, EINVAL, "the vCPU has run: CPUID is fixed");
	}
	if (!widths_ok(list, count))
		return kvm_refuse(process, EINVAL, "linear addresses have 48 or 57 bits");
	cpu = cpu_of(process, list, count);
	result = kvm_status(process, kvm_vcpu_renew(vcpu, &cpu));
	if (result)
		return result;
	kvm_tell(process, KVM_TOLD_STEP, "the guest's CPU: MAXPHYADDR %u%s%s", cpu.maxphyaddr,
		 cpu.features & UMBRA_CPU_LM ? ", long mode" : "",
		 cpu.features & UMBRA_CPU_LA57 ? ", LA57" : "");
	return 0;
}

int64_t kvm_cpuid_set(struct kvm_vcpu *vcpu, uint64_t arg)
{
	struct kvm_process *process = vcpu->vm->process;
	struct kvm_cpuid *list;
	uint32_t head[2];
	int64_t result = kvm_copy_in(process, arg, head, sizeof(head));

	if (result)
		return result;
	if (head[0] > KVM_CPUID_MAX)
		return kvm_refuse(process, E2BIG, "%" PRIu32 " entries, at most %u are taken",
				  head[0], KVM_CPUID_MAX);
	list = calloc(head[0] + 1, sizeof(*list));
	if (!list)
		return kvm_refuse(process, ENOMEM, "memory is short");
	result = kvm_copy_in(process, arg + sizeof(head), list, head[0] * sizeof(*list));
	if (!result)
		result = take(vcpu, list, head[0]);
	if (result || vcpu->ran) {
		free(list);
		return result;
	}
	free(vcpu->cpuid);
	vcpu->cpuid = list;
	vcpu->cpuid_count = head[0];
	return 0;
}
