/* SPDX-License-Identifier: MIT */
/*
 * memory.c - a process's memory: syzkaller's data area, seen at three places.
 *
 *	0x7f0000000000 --.
 *	0x200000000000 ---+--> bytes[16 MiB], rights[page]
 *	0x20000000 ------'
 *
 * Programs in text form write addresses from 0x7f0000000000 on, whatever the executor will
 * make of them; constants in their bytes are real addresses, old or new. Everything else of
 * the address space is not mapped. Pages are zero and cost nothing until they are used.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/parts.h"

/* What may be written or executed may be read, on x86. */
#define READABLE (PROT_READ | PROT_WRITE | PROT_EXEC)
#define PAGES (KVM_MEMORY_SIZE / UMBRA_PAGE_SIZE)

struct kvm_memory {
	uint8_t *bytes;
	/** PROT_* of each page; KVM_NOT_MAPPED after munmap(). */
	uint8_t rights[PAGES];
	/** Pages that may have other bytes than 0: only these need be cleared. A page that has
	 * never been written costs the machine nothing, and clearing it would. */
	bool touched[PAGES];
	/** Who wants to know of writes, or NULL. */
	void (*written)(void *context, uint64_t distance, size_t size);
	void *context;
};

static const uint64_t windows[] = {KVM_MEMORY_TEXT, KVM_MEMORY_LOW, KVM_MEMORY_HIGH};
#define WINDOWS (sizeof(windows) / sizeof(windows[0]))

struct kvm_memory *kvm_memory_new(void)
{
	struct kvm_memory *memory = malloc(sizeof(*memory));

	if (!memory)
		return NULL;
	memory->bytes = mmap(NULL, KVM_MEMORY_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	memset(memory->rights, PROT_READ | PROT_WRITE, sizeof(memory->rights));
	memset(memory->touched, 0, sizeof(memory->touched));
	memory->written = NULL;
	if (memory->bytes != MAP_FAILED)
		return memory;
	free(memory);
	return NULL;
}

void kvm_memory_free(struct kvm_memory *memory)
{
	if (!memory)
		return;
	munmap(memory->bytes, KVM_MEMORY_SIZE);
	free(memory);
}

void kvm_memory_watch(struct kvm_memory *memory,
		      void (*written)(void *context, uint64_t distance, size_t size), void *context)
{
	memory->written = written;
	memory->context = context;
}

void kvm_memory_touch(struct kvm_memory *memory, uint64_t distance)
{
	memory->touched[distance / UMBRA_PAGE_SIZE] = true;
}

static void clear(struct kvm_memory *memory, uint64_t first, uint64_t last)
{
	for (uint64_t page = first; page <= last; page++) {
		if (memory->touched[page])
			memset(memory->bytes + page * UMBRA_PAGE_SIZE, 0, UMBRA_PAGE_SIZE);
		memory->touched[page] = false;
	}
}

void kvm_memory_reset(struct kvm_memory *memory)
{
	clear(memory, 0, PAGES - 1);
	memset(memory->rights, PROT_READ | PROT_WRITE, sizeof(memory->rights));
}

uint8_t *kvm_memory_bytes(struct kvm_memory *memory)
{
	return memory->bytes;
}

bool kvm_memory_distance(uint64_t address, uint64_t size, uint64_t *distance)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		*distance = address - windows[i];
		/* Begins inside, or before and reaches in. */
		if (*distance < KVM_MEMORY_SIZE ||
		    (address < windows[i] && size > windows[i] - address))
			return true;
	}
	return false;
}

/* All of [address, +size) inside one window: its first byte there. */
static bool inside(uint64_t address, uint64_t size, uint64_t *distance)
{
	return kvm_memory_distance(address, 1, distance) && size <= KVM_MEMORY_SIZE - *distance;
}

static bool allowed(const struct kvm_memory *memory, uint64_t distance, size_t size,
		    unsigned rights)
{
	for (uint64_t page = distance / UMBRA_PAGE_SIZE; page * UMBRA_PAGE_SIZE < distance + size;
	     page++)
		if (!(memory->rights[page] & rights))
			return false;
	return true;
}

void kvm_memory_rights(const struct kvm_memory *memory, uint64_t distance, bool *readable,
		       bool *writable)
{
	*readable = allowed(memory, distance, 1, READABLE);
	*writable = allowed(memory, distance, 1, PROT_WRITE);
}

bool kvm_memory_read(const struct kvm_memory *memory, uint64_t address, void *to, size_t size)
{
	uint64_t distance;

	if (!size)
		return true;
	if (!inside(address, size, &distance) || !allowed(memory, distance, size, READABLE))
		return false;
	memcpy(to, memory->bytes + distance, size);
	return true;
}

bool kvm_memory_write(struct kvm_memory *memory, uint64_t address, const void *from, size_t size)
{
	uint64_t distance;

	if (!size)
		return true;
	if (!inside(address, size, &distance) || !allowed(memory, distance, size, PROT_WRITE))
		return false;
	for (uint64_t at = distance & ~KVM_PAGE_MASK; at < distance + size; at += UMBRA_PAGE_SIZE)
		kvm_memory_touch(memory, at);
	memcpy(memory->bytes + distance, from, size);
	if (memory->written)
		memory->written(memory->context, distance, size);
	return true;
}

bool kvm_memory_text(const struct kvm_memory *memory, uint64_t address, char *to, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!kvm_memory_read(memory, address + i, &to[i], 1))
			return false;
		if (!to[i])
			return true;
	}
	return false;
}

int kvm_memory_protect(struct kvm_memory *memory, uint64_t address, uint64_t size,
		       uint64_t protection, bool fresh)
{
	uint64_t distance, first, last;

	if (address & KVM_PAGE_MASK || !size)
		return EINVAL;
	if (size > KVM_MEMORY_SIZE || !inside(address, size, &distance))
		return ENOMEM;
	first = distance / UMBRA_PAGE_SIZE;
	last = (distance + size - 1) / UMBRA_PAGE_SIZE;
	for (uint64_t page = first; page <= last && !fresh; page++)
		if (memory->rights[page] & KVM_NOT_MAPPED)
			return ENOMEM;
	memset(memory->rights + first, (int)(protection & 7), last - first + 1);
	if (fresh)
		clear(memory, first, last);
	if (fresh && protection & KVM_NOT_MAPPED)
		memset(memory->rights + first, KVM_NOT_MAPPED, last - first + 1);
	return 0;
}
