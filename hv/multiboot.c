/* SPDX-License-Identifier: MIT */
/*
 * multiboot.c - start a multiboot 1 kernel as a boot loader would (Multiboot 3).
 *
 *	9000h   information structure, memory map, module list, texts
 *	...     the kernel's segments, where its headers say
 *	behind  its modules, on page boundaries; if they do not fit they stay at the top
 *
 * Texts are passed on as the boot loader made them, and under its name: a kernel may know
 * from it whether they begin with a file's name.
 *
 * Everything in the file is somebody else's: each offset and length is checked against
 * the file, and each target against the guest's memory.
 */
#include "hv/multiboot.h"
#include "hv/console.h"
#include "hv/guest.h"
#include "hv/paging.h"
#include "hv/text.h"

#define PAGE 4096ull
#define INFO_START 0x9000u
#define INFO_END 0x9f000u

/* ELF specification 1.2, figures 1-3 and 2-1. */
struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version, entry, program_offset, section_offset, flags;
	uint16_t header_size, program_size, program_count;
	uint16_t section_size, section_count, names;
};
struct elf_program {
	uint32_t type, offset, virtual, physical, file_size, memory_size, flags, align;
};
_Static_assert(sizeof(struct elf_header) == 52 && sizeof(struct elf_program) == 32, "ELF32");
#define ELF_LOAD 1u
#define ELF_386 3u

/* Multiboot 3.1 */
struct header {
	uint32_t magic, flags, checksum;
	uint32_t self, load, load_end, bss_end, entry;
};

struct loader {
	struct guest *guest;
	struct vcpu *vcpu;
	const uint8_t *file;
	uint64_t bytes;
	uint64_t end; /* of what is loaded */
	uint64_t entry;
};

static _Noreturn void bad(const struct loader *l, const char *what)
{
	console_stop(CONSOLE_CANNOT_START, "module 0 ('%s'): %s", l->guest->module[0].text, what);
}

static const struct header *find_header(const struct loader *l)
{
	uint64_t end = l->bytes < MULTIBOOT_HEADER_SEARCH ? l->bytes : MULTIBOOT_HEADER_SEARCH;

	for (uint64_t at = 0; at + 12 <= end; at += 4) {
		const struct header *header = (const void *)(l->file + at);

		if (header->magic == MULTIBOOT_HEADER_MAGIC &&
		    !(header->magic + header->flags + header->checksum))
			return header;
	}
	return NULL;
}

/* @file_size bytes of the file at @offset go to @to, zeros behind them. */
static void load_piece(struct loader *l, uint64_t offset, uint64_t to, uint64_t file_size,
		       uint64_t memory_size)
{
	const struct guest_module *staged = &l->guest->module[0];

	if (!memory_size)
		return;
	if (offset > l->bytes || file_size > l->bytes - offset)
		bad(l, "truncated: a segment reaches beyond the end of the file");
	if (file_size > memory_size)
		bad(l, "a segment has more bytes in the file than in memory");
	if (!memory_is_ram(l->vcpu->memory, to, to + memory_size))
		bad(l, "a segment lies outside the guest's memory");
	if (to + memory_size > staged->start)
		bad(l, "too little memory: a segment reaches into the top, where the file is");
	text_copy(paging_pointer(to), l->file + offset, file_size);
	text_zero(paging_pointer(to + file_size), memory_size - file_size);
	if (to + memory_size > l->end)
		l->end = to + memory_size;
}

static void load_elf(struct loader *l)
{
	const struct elf_header *elf = (const void *)l->file;

	if (l->bytes < sizeof(*elf) || elf->ident[0] != 0x7f || elf->ident[1] != 'E' ||
	    elf->ident[2] != 'L' || elf->ident[3] != 'F')
		bad(l, "neither an ELF file nor load addresses in its multiboot header");
	if (elf->ident[4] != 1 || elf->ident[5] != 1 || elf->machine != ELF_386)
		bad(l, "an ELF file, but not for 32-bit x86");
	if (elf->program_size < sizeof(struct elf_program) || elf->program_offset > l->bytes ||
	    (uint64_t)elf->program_size * elf->program_count > l->bytes - elf->program_offset)
		bad(l, "truncated: its program headers are not in the file");
	l->entry = elf->entry;
	for (unsigned i = 0; i < elf->program_count; i++) {
		const struct elf_program *p = (const void *)(l->file + elf->program_offset +
							     (uint64_t)i * elf->program_size);

		if (p->type != ELF_LOAD)
			continue;
		load_piece(l, p->offset, p->physical, p->file_size, p->memory_size);
		if (elf->entry - p->virtual < p->memory_size && p->virtual != p->physical)
			l->entry = elf->entry - p->virtual + p->physical;
	}
}

static void load_addresses(struct loader *l, const struct header *h)
{
	uint64_t at = (uint64_t)((const uint8_t *)h - l->file);
	uint64_t before = (uint64_t)h->self - h->load;
	uint64_t file_size, memory_size;

	if (at + sizeof(*h) > l->bytes || h->self < h->load || before > at)
		bad(l, "the addresses in its multiboot header do not fit the file");
	file_size = h->load_end ? (uint64_t)h->load_end - h->load : l->bytes - (at - before);
	memory_size = h->bss_end ? (uint64_t)h->bss_end - h->load : file_size;
	load_piece(l, at - before, h->load, file_size, memory_size);
	l->entry = h->entry;
}

/* ---- what the kernel is told ---- */

struct writer {
	uint32_t at;
};

static uint32_t take(struct loader *l, struct writer *w, size_t bytes)
{
	uint32_t at = w->at;

	if (bytes > INFO_END - at)
		bad(l, "its command lines are too long");
	w->at = (uint32_t)(at + bytes + 15) & ~15u;
	return at;
}

static uint32_t put_text(struct loader *l, struct writer *w, const char *text)
{
	size_t bytes = text_length(text) + 1;
	uint32_t at = take(l, w, bytes);

	text_copy(paging_pointer(at), text, bytes);
	return at;
}

static void put_map(struct loader *l, struct writer *w, struct multiboot_info *info)
{
	struct memory_region region[MEMORY_REGIONS_MAX + 2];
	unsigned count = memory_guest_map(l->vcpu->memory, region);
	struct multiboot_map *map;

	info->map_length = (uint32_t)(count * sizeof(*map));
	info->map = take(l, w, info->map_length);
	map = paging_pointer(info->map);
	for (unsigned i = 0; i < count; i++)
		map[i] = (struct multiboot_map){
			.size = sizeof(*map) - sizeof(map->size),
			.base = region[i].start,
			.length = region[i].end - region[i].start,
			.type = region[i].type,
		};
	info->memory_lower = (uint32_t)(memory_run(l->vcpu->memory, 0) >> 10);
	if (info->memory_lower > 640)
		info->memory_lower = 640;
	info->memory_upper = (uint32_t)(memory_run(l->vcpu->memory, MEMORY_MIB) >> 10);
}

static void put_modules(struct loader *l, struct writer *w, struct multiboot_info *info)
{
	unsigned count = l->guest->module_count - 1;
	struct multiboot_module *out;
	uint64_t total = 0, to = (l->end + PAGE - 1) & ~(PAGE - 1);
	bool fits;

	info->module_count = count;
	info->modules = take(l, w, count * sizeof(*out));
	out = paging_pointer(info->modules);
	for (unsigned i = 1; i <= count; i++) {
		const struct guest_module *m = &l->guest->module[i];

		total += (m->end - m->start + PAGE - 1) & ~(PAGE - 1);
	}
	/* Module 0, the kernel's file, lies lowest; it has been loaded and may go. */
	fits = count && to + total <= l->guest->module[1].start;
	for (unsigned i = 1; i <= count; i++) {
		struct guest_module *m = &l->guest->module[i];
		uint64_t bytes = m->end - m->start;

		if (fits) {
			text_copy(paging_pointer(to), paging_pointer(m->start), bytes);
			m->start = to;
			m->end = to + bytes;
			to = (to + bytes + PAGE - 1) & ~(PAGE - 1);
		}
		out[i - 1] = (struct multiboot_module){(uint32_t)m->start, (uint32_t)m->end,
						       put_text(l, w, m->text), 0};
	}
}

static void tell(struct loader *l)
{
	struct writer w = {INFO_START};
	uint32_t at = take(l, &w, sizeof(struct multiboot_info));
	struct multiboot_info *info = paging_pointer(at);

	*info = (struct multiboot_info){
		.flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_COMMAND_LINE |
			 MULTIBOOT_INFO_MODULES | MULTIBOOT_INFO_MAP | MULTIBOOT_INFO_LOADER,
	};
	info->command_line = put_text(l, &w, l->guest->module[0].text);
	info->loader_name = put_text(l, &w, l->guest->loader);
	put_map(l, &w, info);
	put_modules(l, &w, info);
	l->vcpu->vmcb->rax = MULTIBOOT_LOADER_MAGIC;
	l->vcpu->gprs.r[3] = at;
	l->vcpu->vmcb->rip = l->entry;
}

bool multiboot_load(struct guest *guest, struct vcpu *vcpu)
{
	const struct guest_module *kernel = &guest->module[0];
	struct loader l = {
		.guest = guest,
		.vcpu = vcpu,
		.file = paging_pointer(kernel->start),
		.bytes = kernel->end - kernel->start,
	};
	const struct header *header = find_header(&l);

	if (!header)
		return false;
	if (header->flags & MULTIBOOT_HEADER_REQUIRED &
	    ~(MULTIBOOT_HEADER_ALIGN | MULTIBOOT_HEADER_MEMORY))
		bad(&l, "its multiboot header asks for something that is not there");
	if (header->flags & MULTIBOOT_HEADER_ADDRESSES)
		load_addresses(&l, header);
	else
		load_elf(&l);
	tell(&l);
	return true;
}
