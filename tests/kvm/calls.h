/* SPDX-License-Identifier: MIT */
/*
 * calls.h - bytes to a sequence of calls of the KVM interface, with values that get far: for
 * the random test and for fuzzing.
 *
 *	configuration | (call | fields ...) (call | fields ...) ...
 *
 * A field is a byte that picks one of the values that matter (limits, all ones, what other
 * calls use), or, with its highest bit, eight bytes as they are. Bytes that are missing are 0.
 */
#ifndef TESTS_KVM_CALLS_H
#define TESTS_KVM_CALLS_H

#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"
#include "kvm/uapi.h"

#define CALLS_ARG (KVM_MEMORY_TEXT + 0x80000)

struct calls {
	const uint8_t *data;
	size_t size;
	struct kvm_process *process;
};

static inline uint8_t calls_byte(struct calls *c)
{
	if (!c->size)
		return 0;
	c->size--;
	return *c->data++;
}

/** calls_value - a field. */
static inline uint64_t calls_value(struct calls *c)
{
	static const uint64_t values[] = {
		0,
		1,
		2,
		3,
		4,
		5,
		6,
		7,
		8,
		12,
		13,
		63,
		64,
		65,
		128,
		168,
		0x200,
		0xfff,
		0x1000,
		0x1001,
		0x2000,
		0x3000,
		0x4000,
		0x8000,
		0x10000,
		0x20000,
		0x100000,
		0x200000,
		0x201000,
		0x1000000,
		0x20000000,
		0x20001000,
		0x40000000,
		0xffff0000,
		0xfffff000,
		0xfffffff0,
		0xffffffff,
		1ull << 32,
		1ull << 36,
		1ull << 46,
		(1ull << 46) - 0x1000,
		1ull << 47,
		(1ull << 48) - 0x1000,
		1ull << 48,
		1ull << 52,
		1ull << 63,
		UINT64_MAX,
		-0x1000ull,
		KVM_MEMORY_TEXT,
		KVM_MEMORY_TEXT + 0x1000,
		KVM_MEMORY_TEXT + 0x10000,
		KVM_MEMORY_TEXT + KVM_MEMORY_SIZE - 0x1000,
		KVM_MEMORY_TEXT - 0x1000,
		CALLS_ARG,
		KVM_USER_END,
		KVM_USER_END - 0x1000,
		0x7ffb,
		0x7ffc,
		0x10000,
		0x10001,
		UMBRA_CR0_PE | UMBRA_CR0_PG,
		UMBRA_CR4_PAE,
		UMBRA_EFER_LME | UMBRA_EFER_LMA,
		KVM_MEM_GUEST_MEMFD,
	};
	const uint8_t pick = calls_byte(c);
	uint64_t value = 0;

	if (!(pick & 0x80))
		return values[pick % (sizeof(values) / sizeof(values[0]))];
	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | calls_byte(c);
	return value;
}

#define CALLS_CONFIGS 5u

static inline struct umbra_vm_config calls_config(unsigned pick)
{
	static const struct {
		enum umbra_paging paging;
		uint8_t levels, maxphyaddr;
	} rows[CALLS_CONFIGS] = {{UMBRA_PAGING_EPT, 4, 52},
				 {UMBRA_PAGING_EPT, 5, 52},
				 {UMBRA_PAGING_NPT, 4, 48},
				 {UMBRA_PAGING_NPT, 3, 40},
				 {UMBRA_PAGING_SHADOW, 0, 46}};

	return (struct umbra_vm_config){
		.cpu = {.vendor = rows[pick].paging == UMBRA_PAGING_NPT ? UMBRA_VENDOR_AMD
									: UMBRA_VENDOR_INTEL,
			.maxphyaddr = rows[pick].maxphyaddr,
			.features = UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT |
				    UMBRA_CPU_PSE36 | UMBRA_CPU_NX | UMBRA_CPU_LM | UMBRA_CPU_1G |
				    UMBRA_CPU_LA57 | UMBRA_CPU_SMEP | UMBRA_CPU_PCID |
				    UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_LEVEL5},
		.paging = rows[pick].paging,
		.levels = rows[pick].levels,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 3,
	};
}

/* An ioctl whose argument is a structure of @count fields, each of the width that @widths has. */
static inline int64_t calls_struct(struct calls *c, uint64_t fd, uint64_t request,
				   const char *widths)
{
	uint64_t at = CALLS_ARG;

	for (; *widths; widths++) {
		const uint64_t value = calls_value(c);
		const unsigned size = (unsigned)(*widths - '0');

		kvm_memory_write(kvm_process_memory(c->process), at, &value, size);
		at += size;
	}
	return kvm_ioctl(c->process, fd, request, CALLS_ARG);
}

static inline int64_t calls_ioctl(struct calls *c, uint64_t fd)
{
	static const struct {
		uint64_t request;
		const char *widths; /* NULL: the argument is a value */
	} rows[] = {
		{KVM_SET_USER_MEMORY_REGION, "44888"},
		{KVM_SET_USER_MEMORY_REGION2, "4488884"},
		{KVM_SET_USER_MEMORY_REGION, "44888"},
		{KVM_SET_REGS, "888888888888888888"},
		{KVM_RUN, NULL},
		{KVM_CREATE_VCPU, NULL},
		{KVM_CREATE_VM, NULL},
		{KVM_CHECK_EXTENSION, NULL},
		{KVM_ENABLE_CAP, "448888"},
		{KVM_CREATE_GUEST_MEMFD, "88"},
		{KVM_TRANSLATE, "8"},
		{KVM_GET_REGS, NULL},
		{KVM_GET_SREGS, NULL},
		{KVM_SET_SREGS2, NULL},
		{KVM_SET_CPUID2, "44444444444444444444"},
		{KVM_PRE_FAULT_MEMORY, "888"},
		{KVM_GET_DIRTY_LOG, "448"},
		{KVM_CLEAR_DIRTY_LOG, "4488"},
		{KVM_SET_MEMORY_ATTRIBUTES, "8888"},
		{KVM_GET_VCPU_MMAP_SIZE, NULL},
		{KVM_GET_SUPPORTED_CPUID, "44"},
		{KVM_SET_TSS_ADDR, NULL},
		{KVM_SET_IDENTITY_MAP_ADDR, "8"},
	};
	const unsigned pick = calls_byte(c) % (sizeof(rows) / sizeof(rows[0]));

	if (rows[pick].widths)
		return calls_struct(c, fd, rows[pick].request, rows[pick].widths);
	return kvm_ioctl(c->process, fd, rows[pick].request, calls_value(c));
}

/* System registers: what was read, a few fields changed. */
static inline int64_t calls_sregs(struct calls *c, uint64_t fd)
{
	static const size_t places[] = {
		offsetof(struct kvm_sregs, cs.base), offsetof(struct kvm_sregs, cs.limit),
		offsetof(struct kvm_sregs, ss.base), offsetof(struct kvm_sregs, idt.base),
		offsetof(struct kvm_sregs, cr0),     offsetof(struct kvm_sregs, cr3),
		offsetof(struct kvm_sregs, cr4),     offsetof(struct kvm_sregs, efer),
		offsetof(struct kvm_sregs, flags),   offsetof(struct kvm_sregs, pdpte),
	};
	const bool version2 = calls_byte(c) & 1;

	kvm_ioctl(c->process, fd, KVM_GET_SREGS2, CALLS_ARG);
	for (unsigned i = calls_byte(c) % 4; i; i--) {
		const unsigned pick = calls_byte(c) % (sizeof(places) / sizeof(places[0]));
		const uint64_t value = calls_value(c);

		kvm_memory_write(kvm_process_memory(c->process), CALLS_ARG + places[pick], &value,
				 8);
	}
	return kvm_ioctl(c->process, fd, version2 ? KVM_SET_SREGS2 : KVM_SET_SREGS, CALLS_ARG);
}

static inline int64_t calls_one(struct calls *c)
{
	const uint8_t what = calls_byte(c);
	const uint64_t fd = what >> 4 ? what >> 4 : calls_value(c);
	uint64_t value;

	switch (what & 15) {
	case 0: return kvm_open(c->process);
	case 1: return kvm_close(c->process, fd);
	case 2: return kvm_dup(c->process, fd);
	case 3: return kvm_dup_to(c->process, fd, calls_value(c), what & 0x10, 0);
	case 4: {
		const struct kvm_map map = {calls_value(c),
					    calls_value(c),
					    calls_byte(c),
					    0x11 | (calls_byte(c) & 0x20),
					    fd,
					    calls_value(c)};

		return kvm_mmap(c->process, &map);
	}
	case 5: return kvm_munmap(c->process, calls_value(c), calls_value(c));
	case 6: return kvm_mprotect(c->process, calls_value(c), calls_value(c), calls_byte(c));
	case 7: return calls_sregs(c, fd);
	case 8: kvm_fail_nth(c->process, fd, calls_byte(c)); return calls_ioctl(c, fd);
	case 9:
		/* Guest memory: what its page tables are made of. */
		value = calls_value(c);
		kvm_memory_write(kvm_process_memory(c->process), calls_value(c), &value, 8);
		return 0;
	default: return calls_ioctl(c, fd);
	}
}

/* A slot's arrays of more bytes than this are refused: 128 MiB of mirrors in shadow mode. */
#define CALLS_ALLOC_MAX (256u << 10)

/* Processes are kept: making one, and the memory behind its first VM, costs ten times what
 * calls do. One of each configuration, with and without limit. */
static inline struct kvm_process *calls_process(uint8_t pick)
{
	static struct kvm_process *kept[CALLS_CONFIGS][2];
	const unsigned row = pick % 16 % CALLS_CONFIGS;
	/* One in eight has large slots, which cost milliseconds. */
	const bool limited = (pick >> 4 & 7) != 7;
	const struct kvm_config config = {
		.vm = calls_config(row),
		.alloc_max = limited ? CALLS_ALLOC_MAX : 0,
	};

	if (!kept[row][limited])
		kept[row][limited] = kvm_process_new(&config);
	return kept[row][limited];
}

/** calls_run - a process, a VM of either type and a vCPU, then what @data says, at most @limit
 * calls; *count is how many there were. Returns how many findings there were; aborts on a
 * result that no call can have. */
static inline uint64_t calls_run(const uint8_t *data, size_t size, unsigned limit, unsigned *count)
{
	struct calls c = {.data = data, .size = size};
	const uint8_t pick = calls_byte(&c);

	c.process = calls_process(pick);
	if (!c.process)
		abort();
	kvm_open(c.process); /* 3 */
	kvm_ioctl(c.process, 3, KVM_CREATE_VM, pick >> 7); /* 4 */
	kvm_ioctl(c.process, 4, KVM_CREATE_VCPU, 0); /* 5 */
	for (*count = 0; c.size && *count < limit; ++*count) {
		const int64_t result = calls_one(&c);

		if (result < 0 && result != KVM_UNKNOWN && !strcmp(kvm_strerror(result), "E?"))
			abort();
	}
	/* Each VM is audited when it goes. */
	return kvm_process_reset(c.process);
}

#endif
