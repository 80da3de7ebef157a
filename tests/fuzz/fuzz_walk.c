/* SPDX-License-Identifier: MIT */
/*
 * fuzz_walk.c - libFuzzer target: walk() of any format, rights and bytes, perhaps under
 * a second space. Any bytes are guest memory.
 *
 * It must end and stay in memory; without A/D updates it must change nothing and give
 * the same again; with them only A and D bits may be set, and what it says of a walk that
 * succeeded must agree with itself.
 */
#include "core/walk.h"

#include <stdlib.h>
#include <string.h>

#define PAGES 16u
#define SIZE (PAGES * 4096u)

struct input {
	uint64_t address, root, parent_root;
	uint32_t flags, parent_flags, pkru, pkrs;
	uint8_t format, parent_format, access, maxphyaddr;
};

static _Alignas(4096) uint8_t ram[SIZE], before[SIZE];

static const struct format *const formats[] = {
	&format_32, &format_pae, &format_4, &format_5, &format_ept4, &format_ept5,
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

static void check(bool good)
{
	if (!good)
		abort();
}

/* All of physical memory is these pages, over and over. */
static bool find(struct memory *memory, uint64_t address)
{
	memory->base = address & ~0xfffull;
	memory->size = 4096;
	memory->bytes = ram + memory->base % SIZE;
	return address < 1ull << 52;
}

static void once(const struct input *in)
{
	struct memory memory = {.find = find, .writable = true};
	struct mode mode, parent_mode;
	struct space parent = {.mode = &parent_mode, .root = in->parent_root, .memory = &memory};
	static const uint64_t pdpte[4] = {0x1001, 0x2001, 0, 0x3001};
	struct space space = {.mode = &mode,
			      .root = in->root,
			      .pdpte = pdpte,
			      .pkru = in->pkru,
			      .pkrs = in->pkrs,
			      .memory = &memory};
	static struct walk first, again;
	unsigned access = in->access & UMBRA_ACCESS_ALL;

	if (access & UMBRA_ACCESS_WRITE && access & UMBRA_ACCESS_FETCH)
		access &= ~(unsigned)UMBRA_ACCESS_FETCH;
	mode_bind(&mode, formats[in->format % FORMATS], in->flags, 32 + in->maxphyaddr % 21);
	mode_bind(&parent_mode, formats[4 + in->parent_format % 2], in->parent_flags,
		  32 + in->maxphyaddr % 21);
	if (in->parent_format & 0x80)
		space.parent = &parent;
	memcpy(before, ram, SIZE);
	walk(&space, in->address, access, WALK_NO_AD, &first);
	check(!memcmp(before, ram, SIZE));
	memset(&memory.base, 0, sizeof(memory.base));
	memory.size = 0;
	check(walk(&space, in->address, access, WALK_NO_AD, &again) == first.end);
	check(again.final == first.final && again.event.code == first.event.code);
	check(walk(&space, in->address, access, 0, &again) <= WALK_LOG_FULL);
	for (unsigned i = 0; i < SIZE; i++)
		check((ram[i] | before[i]) == ram[i]);
	if (again.end != WALK_OK)
		return;
	check(again.event.kind == UMBRA_EVENT_NONE);
	check(!((again.address ^ in->address) & 0xfff));
	if (!space.parent)
		check(again.address == again.final);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {0};
	size_t head = size < sizeof(in) ? size : sizeof(in);

	memcpy(&in, data, head);
	data += head;
	size -= head;
	/* Pairs of place and entry, so that few bytes make tables. */
	memset(ram, 0, SIZE);
	for (; size >= 10; data += 10, size -= 10) {
		uint16_t at;

		memcpy(&at, data, 2);
		memcpy(&ram[at % (SIZE / 8) * 8], data + 2, 8);
	}
	once(&in);
	return 0;
}
