/* SPDX-License-Identifier: MIT */
/*
 * types.c - what the calls' pointers lead to, as tables for programs in text form.
 *
 *	ioctl$KVM_SET_REGS(r2, 0x4090ae82, &(0x7f0000000200)={[0x0, 0x6], 0x25000})
 *	                                                      |           `-> rip
 *	                                                      `-> 16 registers
 *
 * Fields follow each other without holes; a program may leave out the last ones. Types are
 * named after the call, not the number that it passes: that is what the text is written for.
 */
#include <string.h>

#include "kvm/parts.h"

#define INT(bytes)                                \
	{                                         \
		.shape = KVM_INT, .size = (bytes) \
	}
#define ARRAY(type, length)                                          \
	{                                                            \
		.shape = KVM_ARRAY, .of = &(type), .count = (length) \
	}
/* With a name of its own for the list, which C cannot put into the initializer of a static. */
#define STRUCT(name, ...)                                                          \
	static const struct kvm_type *const name##_fields[] = {__VA_ARGS__, NULL}; \
	static const struct kvm_type name = {.shape = KVM_STRUCT, .fields = name##_fields}

static const struct kvm_type u8 = INT(1), u16 = INT(2), u32 = INT(4), u64 = INT(8);
static const struct kvm_type count32 = {.shape = KVM_COUNT, .size = 4};
static const struct kvm_type pointer = {.shape = KVM_POINTER};

static const struct kvm_type registers = ARRAY(u64, 16);
STRUCT(regs, &registers, &u64, &u64);

STRUCT(segment, &u64, &u32, &u16, &u8, &u8, &u8, &u8, &u8, &u8, &u8, &u8, &u8, &u8);
static const struct kvm_type pad3 = ARRAY(u16, 3);
STRUCT(table, &u64, &u16, &pad3);
static const struct kvm_type quads4 = ARRAY(u64, 4);
#define SEGMENTS                                                                                \
	&segment, &segment, &segment, &segment, &segment, &segment, &segment, &segment, &table, \
		&table
#define CONTROL &u64, &u64, &u64, &u64, &u64, &u64, &u64
STRUCT(sregs, SEGMENTS, CONTROL, &quads4);
STRUCT(sregs2, SEGMENTS, CONTROL, &u64, &quads4);

STRUCT(region, &u32, &u32, &u64, &u64, &pointer);
static const struct kvm_type pad14 = ARRAY(u64, 14);
STRUCT(region2, &u32, &u32, &u64, &u64, &pointer, &u64, &u32, &u32, &pad14);

static const struct kvm_type pad5 = ARRAY(u8, 5);
STRUCT(translation, &u64, &u64, &u8, &u8, &u8, &pad5);
STRUCT(dirty_log, &u32, &u32, &pointer);
STRUCT(clear_log, &u32, &u32, &u64, &pointer);
STRUCT(attributes, &pointer, &u64, &u64, &u64);
static const struct kvm_type quads6 = ARRAY(u64, 6), quads5 = ARRAY(u64, 5);
STRUCT(memfd, &u64, &u64, &quads6);
STRUCT(pre_fault, &u64, &u64, &u64, &quads5);
static const struct kvm_type pad64 = ARRAY(u8, 64);
STRUCT(enable_cap, &u32, &u32, &quads4, &pad64);

static const struct kvm_type words3 = ARRAY(u32, 3);
STRUCT(cpuid, &u32, &u32, &u32, &u32, &u32, &u32, &u32, &words3);
static const struct kvm_type cpuids = ARRAY(cpuid, 0);
STRUCT(cpuid2, &count32, &u32, &cpuids);

static const struct {
	const char *name;
	const struct kvm_type *type;
} calls[] = {
	{"KVM_SET_USER_MEMORY_REGION", &region},
	{"KVM_SET_USER_MEMORY_REGION2", &region2},
	{"KVM_SET_REGS", &regs},
	{"KVM_GET_REGS", &regs},
	{"KVM_SET_SREGS", &sregs},
	{"KVM_GET_SREGS", &sregs},
	{"KVM_SET_SREGS2", &sregs2},
	{"KVM_GET_SREGS2", &sregs2},
	{"KVM_TRANSLATE", &translation},
	{"KVM_GET_DIRTY_LOG", &dirty_log},
	{"KVM_CLEAR_DIRTY_LOG", &clear_log},
	{"KVM_SET_MEMORY_ATTRIBUTES", &attributes},
	{"KVM_CREATE_GUEST_MEMFD", &memfd},
	{"KVM_PRE_FAULT_MEMORY", &pre_fault},
	{"KVM_ENABLE_CAP", &enable_cap},
	{"KVM_SET_CPUID2", &cpuid2},
	{"KVM_GET_SUPPORTED_CPUID", &cpuid2},
	{"KVM_SET_IDENTITY_MAP_ADDR", &u64},
};

const struct kvm_type *kvm_type_of(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const size_t length = strlen(calls[i].name);

		/* KVM_ENABLE_CAP_CPU, KVM_SET_REGS and the like: variants say more. */
		if (!strncmp(name, calls[i].name, length) &&
		    (!name[length] || !strncmp(name, "KVM_ENABLE_CAP_", 15)))
			return calls[i].type;
	}
	return NULL;
}

unsigned kvm_type_size(const struct kvm_type *type)
{
	unsigned size = 0;

	switch (type->shape) {
	case KVM_POINTER: return 8;
	case KVM_ARRAY: return type->count * kvm_type_size(type->of);
	case KVM_STRUCT:
		for (const struct kvm_type *const *field = type->fields; *field; field++)
			size += kvm_type_size(*field);
		return size;
	default: return type->size;
	}
}
