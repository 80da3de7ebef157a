/* SPDX-License-Identifier: MIT */
/*
 * layout.c - arguments in text form into bytes of the process's memory.
 *
 *	value      of an argument: a number, a result, an address
 *	put        what lies behind an address, along its type; or piece by piece (ANY, strings),
 *	           which needs none
 *
 * All structures are zero where the text says nothing. What lies where nobody may write is
 * dropped, as syzkaller's executor does: the call then sees what was there.
 *
 * A result that its call did not give is -1, the descriptor that is never open.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kvm/parts.h"

/* Pieces and arrays of more bytes than this do not come from any program. */
#define PUT_MAX KVM_MEMORY_SIZE
#define AUTOMATIC_STEP 0x1000u

static uint64_t put_below(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at,
			  const struct kvm_type *type);

static void store(struct kvm_layout *l, uint64_t at, const void *bytes, size_t size)
{
	kvm_memory_write(kvm_process_memory(l->process), at, bytes, size);
}

static void capture(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at, uint32_t size)
{
	if (arg->gives < 0 || l->capture_count == KVM_CAPTURES)
		return;
	l->capture[l->capture_count].result = (uint32_t)arg->gives;
	l->capture[l->capture_count].size = size;
	l->capture[l->capture_count++].address = at;
}

void kvm_layout_captures(struct kvm_layout *l)
{
	for (unsigned i = 0; i < l->capture_count; i++) {
		uint64_t value = 0;

		if (kvm_memory_read(kvm_process_memory(l->process), l->capture[i].address, &value,
				    l->capture[i].size))
			l->results[l->capture[i].result] = value;
	}
	l->capture_count = 0;
}

/* ---- values ---- */

static uint64_t result_value(const struct kvm_layout *l, const struct syz_arg *arg)
{
	uint64_t value = arg->value < l->result_count ? l->results[arg->value] : UINT64_MAX;

	if (arg->divide)
		value /= arg->divide;
	return value + arg->add;
}

static uint64_t address_of(struct kvm_layout *l, const struct syz_arg *arg)
{
	uint64_t address = arg->value;

	if (!arg->automatic)
		return address;
	address = KVM_MEMORY_TEXT + l->automatic;
	l->automatic = (l->automatic + AUTOMATIC_STEP) % KVM_MEMORY_SIZE;
	return address;
}

uint64_t kvm_layout_value(struct kvm_layout *l, const struct syz_arg *arg,
			  const struct kvm_type *type)
{
	uint64_t address;

	switch (arg->kind) {
	case SYZ_NUMBER: return arg->value;
	case SYZ_RESULT: return result_value(l, arg);
	case SYZ_RANGE: return address_of(l, arg);
	case SYZ_UNION: return arg->below ? kvm_layout_value(l, arg->below, type) : 0;
	case SYZ_POINTER:
		address = address_of(l, arg);
		if (arg->below)
			put_below(l, arg->below, address, arg->any ? NULL : type);
		return address;
	case SYZ_STRUCT:
	case SYZ_ARRAY:
	case SYZ_DATA: l->strange = true; return 0;
	default: return 0;
	}
}

/* ---- pieces: ANY=[@ANYBLOB="...", @ANYRES32=r1, ...] ---- */

static uint64_t put_number(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at,
			   unsigned size)
{
	const uint64_t value = arg ? kvm_layout_value(l, arg, NULL) : 0;

	store(l, at, &value, size);
	if (arg)
		capture(l, arg, at, size);
	return size;
}

static uint64_t put_text(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at, char base)
{
	const uint64_t value = arg ? kvm_layout_value(l, arg, NULL) : 0;
	char text[32];

	if (base == 'd')
		snprintf(text, sizeof(text), "%020" PRIu64, value);
	else if (base == 'x')
		snprintf(text, sizeof(text), "0x%016" PRIx64, value);
	else
		snprintf(text, sizeof(text), "%023" PRIo64, value);
	store(l, at, text, strlen(text));
	return strlen(text);
}

static uint64_t put_piece(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at)
{
	static const struct {
		const char *name;
		unsigned size;
		char base; /* or a number of bytes */
	} pieces[] = {
		{"ANYRES8", 1, 0},     {"ANYRES16", 2, 0},    {"ANYRES32", 4, 0},
		{"ANYRES64", 8, 0},    {"ANYPTR", 8, 0},      {"ANYPTR64", 8, 0},
		{"ANYRESDEC", 0, 'd'}, {"ANYRESHEX", 0, 'x'}, {"ANYRESOCT", 0, 'o'},
	};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		if (strcmp(arg->name, pieces[i].name) != 0)
			continue;
		if (pieces[i].size)
			return put_number(l, arg->below, at, pieces[i].size);
		return put_text(l, arg->below, at, pieces[i].base);
	}
	return arg->below ? put_below(l, arg->below, at, NULL) : 0;
}

/* ---- along a type ---- */

static unsigned length_of(const struct syz_arg *list)
{
	unsigned length = 0;

	for (; list; list = list->next)
		length++;
	return length;
}

/* AUTO before an array is its length, if the array comes among the next fields. */
static uint64_t count_for(const struct syz_arg *arg)
{
	for (const struct syz_arg *next = arg->next; next; next = next->next)
		if (next->kind == SYZ_ARRAY)
			return length_of(next->below);
	return 0;
}

static uint64_t put_array(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at,
			  const struct kvm_type *type)
{
	const unsigned each = kvm_type_size(type->of);
	unsigned i = 0;

	/* A single element may stand for itself. */
	if (arg->kind != SYZ_ARRAY && arg->kind != SYZ_DATA) {
		put_below(l, arg, at, type->of);
		return kvm_type_size(type);
	}
	if (arg->kind == SYZ_DATA) {
		uint64_t size = type->count ? kvm_type_size(type) : arg->size;

		store(l, at, arg->data, arg->size < size ? arg->size : size);
		return size;
	}
	for (arg = arg->below; arg && (i < type->count || !type->count); arg = arg->next, i++)
		put_below(l, arg, at + (uint64_t)i * each, type->of);
	return (uint64_t)(type->count ? type->count : i) * each;
}

static uint64_t put_struct(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at,
			   const struct kvm_type *type)
{
	static const uint8_t zeros[512];
	const uint64_t size = kvm_type_size(type);
	uint64_t done = 0;

	if (arg->kind != SYZ_STRUCT) {
		l->strange = l->strange || arg->kind != SYZ_DATA;
		return arg->kind == SYZ_DATA ? put_below(l, arg, at, NULL) : size;
	}
	store(l, at, zeros, size < sizeof(zeros) ? size : sizeof(zeros));
	arg = arg->below;
	for (const struct kvm_type *const *field = type->fields; *field && arg;
	     field++, arg = arg->next)
		done += put_below(l, arg, at + done, *field);
	return done > size ? done : size;
}

static uint64_t put_int(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at,
			const struct kvm_type *type)
{
	const unsigned size = kvm_type_size(type);
	uint64_t value = kvm_layout_value(l, arg, type->of);

	if (arg->kind == SYZ_AUTO && type->shape == KVM_COUNT)
		value = count_for(arg);
	store(l, at, &value, size);
	capture(l, arg, at, size);
	return size;
}

/* Strings and pieces have sizes of their own; behind anything else the rest is lost. */
static uint64_t put_untyped(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at)
{
	uint64_t done = 0;

	switch (arg->kind) {
	case SYZ_DATA:
		l->strange = l->strange || arg->image;
		if (!arg->image)
			store(l, at, arg->data, arg->size);
		return arg->size;
	case SYZ_UNION: return put_piece(l, arg, at);
	case SYZ_ARRAY:
	case SYZ_STRUCT:
		for (arg = arg->below; arg && done < PUT_MAX && !l->strange; arg = arg->next)
			done += put_below(l, arg, at + done, NULL);
		return done;
	default: l->strange = true; return 0;
	}
}

static uint64_t put_below(struct kvm_layout *l, const struct syz_arg *arg, uint64_t at,
			  const struct kvm_type *type)
{
	if (!type)
		return put_untyped(l, arg, at);
	/* A union's choice lies where the union does. */
	while (arg->kind == SYZ_UNION && arg->below)
		arg = arg->below;
	switch (type->shape) {
	case KVM_STRUCT: return put_struct(l, arg, at, type);
	case KVM_ARRAY: return put_array(l, arg, at, type);
	default: return put_int(l, arg, at, type);
	}
}
