/* SPDX-License-Identifier: MIT */
/*
 * linear.c - an access by linear address as accesses to guest-physical memory.
 *
 *	[linear, + count)  ->  a piece in each page  ->  umbra_vm_read, _write, _exchange
 *
 * Of an access that crosses a page both pages are translated before a byte moves, first
 * without A and D, so that a fault of the second leaves nothing behind of the first; and the
 * second piece is written as it is before the first changes, which tells whether it can be.
 */
#include "hv/linear.h"

/* What a guest sees of a translation that failed (SDM 3A 6.15). */
#define VECTOR_SS 12u
#define VECTOR_GP 13u
#define VECTOR_PF 14u

struct piece {
	umbra_gpa gpa;
	unsigned count;
};

struct pieces {
	struct piece at[2];
	unsigned count;
};

static enum emulate_end deliver(struct linear *linear, const struct umbra_event *event,
				struct emulate_fault *fault)
{
	*fault = (struct emulate_fault){.vector = VECTOR_PF,
					.has_code = true,
					.code = (uint32_t)event->code,
					.address = event->gva.v};
	linear->event = *event;
	if (event->kind == UMBRA_EVENT_PF)
		umbra_vcpu_invlpg(linear->vcpu, event->gva);
	else
		*fault = (struct emulate_fault){.vector = event->kind == UMBRA_EVENT_SS ? VECTOR_SS
											: VECTOR_GP,
						.has_code = true};
	return EMULATE_FAULT;
}

static enum emulate_end translate(struct linear *linear, const struct emulate_access *at,
				  bool set_ad, struct pieces *pieces, struct emulate_fault *fault)
{
	const unsigned rest = UMBRA_PAGE_SIZE - (at->linear & (UMBRA_PAGE_SIZE - 1));
	const unsigned first = at->count < rest ? at->count : rest;

	pieces->at[0].count = first;
	pieces->at[1].count = at->count - first;
	pieces->count = first < at->count ? 2 : 1;
	for (unsigned i = 0; i < pieces->count; i++) {
		const umbra_gva gva = {at->linear + (i ? first : 0)};
		struct umbra_translation to;

		if (umbra_vcpu_translate(linear->vcpu, gva, at->access, set_ad, &to))
			return EMULATE_CANNOT;
		if (to.event.kind != UMBRA_EVENT_NONE)
			return deliver(linear, &to.event, fault);
		pieces->at[i].gpa = to.gpa;
	}
	return EMULATE_DONE;
}

static enum emulate_end find(struct linear *linear, const struct emulate_access *at,
			     struct pieces *pieces, struct emulate_fault *fault)
{
	enum emulate_end end = EMULATE_DONE;

	linear->event.kind = UMBRA_EVENT_NONE;
	if ((at->linear & (UMBRA_PAGE_SIZE - 1)) + at->count > UMBRA_PAGE_SIZE)
		end = translate(linear, at, false, pieces, fault);
	return end == EMULATE_DONE ? translate(linear, at, true, pieces, fault) : end;
}

static enum emulate_end read(void *context, const struct emulate_access *at, void *bytes,
			     struct emulate_fault *fault)
{
	struct linear *linear = context;
	uint8_t *to = bytes;
	struct pieces pieces;
	const enum emulate_end end = find(linear, at, &pieces, fault);

	if (end != EMULATE_DONE)
		return end;
	for (unsigned i = 0; i < pieces.count; i++) {
		if (umbra_vm_read(linear->vm, pieces.at[i].gpa, to, pieces.at[i].count))
			return EMULATE_CANNOT;
		to += pieces.at[i].count;
	}
	return EMULATE_DONE;
}

/* May it be written? A write of what is there already changes nothing. */
static bool writable(struct linear *linear, const struct piece *piece)
{
	uint8_t there[16];

	return !umbra_vm_read(linear->vm, piece->gpa, there, piece->count) &&
	       !umbra_vm_write(linear->vm, piece->gpa, there, piece->count);
}

static enum emulate_end write(void *context, const struct emulate_access *at, const void *bytes,
			      struct emulate_fault *fault)
{
	struct linear *linear = context;
	const uint8_t *from = bytes;
	struct pieces pieces;
	const enum emulate_end end = find(linear, at, &pieces, fault);

	if (end != EMULATE_DONE)
		return end;
	if (pieces.count == 2 && !writable(linear, &pieces.at[1]))
		return EMULATE_CANNOT;
	for (unsigned i = 0; i < pieces.count; i++) {
		if (umbra_vm_write(linear->vm, pieces.at[i].gpa, from, pieces.at[i].count))
			return EMULATE_CANNOT;
		from += pieces.at[i].count;
	}
	return EMULATE_DONE;
}

static enum emulate_end exchange(void *context, const struct emulate_access *at,
				 const void *const bytes[2], struct emulate_fault *fault)
{
	struct linear *linear = context;
	struct pieces pieces;
	const enum emulate_end end = find(linear, at, &pieces, fault);

	if (end != EMULATE_DONE)
		return end;
	if (pieces.count == 2)
		return EMULATE_CANNOT;
	switch (umbra_vm_exchange(linear->vm, pieces.at[0].gpa, bytes, at->count)) {
	case UMBRA_OK: return EMULATE_DONE;
	case UMBRA_EAGAIN: return EMULATE_RETRY;
	default: return EMULATE_CANNOT;
	}
}

const struct emulate_ops linear_ops = {.read = read, .write = write, .exchange = exchange};

enum emulate_end linear_step(struct linear *linear, struct emulate_cpu *cpu,
			     struct emulate_fault *fault)
{
	linear->event.kind = UMBRA_EVENT_NONE;
	return emulate_step(cpu, &linear_ops, linear, fault);
}
