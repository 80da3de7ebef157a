/* SPDX-License-Identifier: MIT */
/*
 * elfcore.c - reads ELF core files: QEMU's dump-guest-memory, /proc/vmcore.
 *
 * The file is untrusted. Every offset is compared with the file's size before
 * use, never added to first; numbers are taken byte by byte, since nothing in
 * the file needs to be aligned.
 *
 *   ELF header -> program headers -> PT_LOAD  p_paddr, p_filesz at p_offset: a range
 *                                 -> PT_NOTE  notes; those named "QEMU" hold a CPU
 *
 * What the file says about e_ehsize, section headers and virtual addresses is
 * ignored (QEMU 7.2 writes 8 into e_ehsize). p_memsz beyond p_filesz is memory
 * that the file does not hold: a hole.
 *
 * EFER is not in QEMU's note, so it is inferred: QEMU writes EM_X86_64 exactly
 * when the first CPU is in long mode (the class is 64 even for 32-bit guests),
 * and CS.L cannot be set outside of it. A CPU is taken to be in long mode when
 * CR0.PG and CR4.PAE are set and one of the two holds: EFER = LME | LMA | NXE.
 * With PG and PAE alone it is PAE paging: EFER = NXE, as every system that
 * has had the choice turns it on. Otherwise it is 0.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "image/parts.h"

/* More than any machine has; keeps hostile files from using up our memory. */
#define ELFCORE_SEGMENTS_MAX (1u << 20)
#define ELFCORE_CPUS_MAX (1u << 16)
/* Core files have one; many over the same bytes would take for ever. */
#define ELFCORE_NOTE_SEGMENTS_MAX 16

/** Where the fields of one ELF class are. */
struct elfcore_class {
	uint8_t word_size;
	uint8_t header_size, segment_size, section_size;
	uint8_t e_phoff, e_shoff, e_phentsize, e_phnum;
	uint8_t p_offset, p_paddr, p_filesz, p_memsz;
	uint8_t sh_info;
};

static const struct elfcore_class elfcore_class32 = {
	.word_size = 4,
	.header_size = sizeof(Elf32_Ehdr),
	.segment_size = sizeof(Elf32_Phdr),
	.section_size = sizeof(Elf32_Shdr),
	.e_phoff = offsetof(Elf32_Ehdr, e_phoff),
	.e_shoff = offsetof(Elf32_Ehdr, e_shoff),
	.e_phentsize = offsetof(Elf32_Ehdr, e_phentsize),
	.e_phnum = offsetof(Elf32_Ehdr, e_phnum),
	.p_offset = offsetof(Elf32_Phdr, p_offset),
	.p_paddr = offsetof(Elf32_Phdr, p_paddr),
	.p_filesz = offsetof(Elf32_Phdr, p_filesz),
	.p_memsz = offsetof(Elf32_Phdr, p_memsz),
	.sh_info = offsetof(Elf32_Shdr, sh_info),
};

static const struct elfcore_class elfcore_class64 = {
	.word_size = 8,
	.header_size = sizeof(Elf64_Ehdr),
	.segment_size = sizeof(Elf64_Phdr),
	.section_size = sizeof(Elf64_Shdr),
	.e_phoff = offsetof(Elf64_Ehdr, e_phoff),
	.e_shoff = offsetof(Elf64_Ehdr, e_shoff),
	.e_phentsize = offsetof(Elf64_Ehdr, e_phentsize),
	.e_phnum = offsetof(Elf64_Ehdr, e_phnum),
	.p_offset = offsetof(Elf64_Phdr, p_offset),
	.p_paddr = offsetof(Elf64_Phdr, p_paddr),
	.p_filesz = offsetof(Elf64_Phdr, p_filesz),
	.p_memsz = offsetof(Elf64_Phdr, p_memsz),
	.sh_info = offsetof(Elf64_Shdr, sh_info),
};

/** The program headers of a file whose header is fine. */
struct elfcore_table {
	const struct elfcore_class *class;
	uint16_t machine;
	uint64_t offset;
	uint32_t count;
};

/** One program header. */
struct elfcore_segment {
	/** Of the header itself, for messages. */
	uint64_t at;
	uint32_t type;
	uint64_t offset, paddr, file_size, memory_size;
};

/*
 * QEMU's CPU state, version 1 (QEMU, target/i386/arch_dump.c documents it):
 * u32 version, u32 size; rax..r15, rip, rflags; ten segments, CS first, of
 * u32 selector, limit, flags, pad, u64 base; u64 cr[5]; since 2.x also u64
 * kernel_gs_base. The flags are the second half of a descriptor.
 */
enum elfcore_qemu {
	QEMU_VERSION = 0,
	QEMU_SIZE = 4,
	QEMU_RIP = 8 + 16 * 8,
	QEMU_RFLAGS = QEMU_RIP + 8,
	QEMU_CS = QEMU_RFLAGS + 8,
	QEMU_CS_FLAGS = QEMU_CS + 8,
	QEMU_CR = QEMU_CS + 10 * 24,
	QEMU_END = QEMU_CR + 5 * 8,
};
_Static_assert(QEMU_END == 0x1b0, "version 1 up to cr[4]; 0x1b8 with kernel_gs_base");
#define QEMU_FLAGS_L (1u << 21)
#define QEMU_FLAGS_DPL_SHIFT 13

static uint64_t elfcore_word(const struct elfcore_class *class, const uint8_t *p)
{
	return class->word_size == 8 ? parts_u64(p) : parts_u32(p);
}

/* ---- headers ---- */

/** Check the identification and choose the class. */
static const struct elfcore_class *elfcore_identify(struct image *image)
{
	const uint8_t *ident = image->bytes;
	const struct elfcore_class *class;

	if (image->size < EI_NIDENT) {
		parts_fail(image, image->size, "the file ends in the ELF header, expected %u bytes",
			   (unsigned)sizeof(Elf64_Ehdr));
		return NULL;
	}
	if (memcmp(ident, ELFMAG, SELFMAG) != 0) {
		parts_fail(image, 0, "expected the ELF magic number 7f 45 4c 46");
		return NULL;
	}
	switch (ident[EI_CLASS]) {
	case ELFCLASS32: class = &elfcore_class32; break;
	case ELFCLASS64: class = &elfcore_class64; break;
	default:
		parts_fail(image, EI_CLASS, "ELF class %u, expected 1 (32-bit) or 2 (64-bit)",
			   ident[EI_CLASS]);
		return NULL;
	}
	if (ident[EI_DATA] != ELFDATA2LSB) {
		parts_fail(image, EI_DATA,
			   "ELF data encoding %u, expected 1 (little-endian): not an x86 guest",
			   ident[EI_DATA]);
		return NULL;
	}
	if (ident[EI_VERSION] != EV_CURRENT) {
		parts_fail(image, EI_VERSION, "ELF version %u, expected 1", ident[EI_VERSION]);
		return NULL;
	}
	if (image->size < class->header_size) {
		parts_fail(image, image->size, "the file ends in the ELF header, expected %u bytes",
			   class->header_size);
		return NULL;
	}
	return class;
}

/** The number of program headers; 0xffff means that section 0 has it. */
static bool elfcore_count_segments(struct image *image, struct elfcore_table *table)
{
	const struct elfcore_class *class = table->class;
	uint64_t section;

	table->count = parts_u16(image->bytes + class->e_phnum);
	if (table->count != PN_XNUM)
		return true;
	section = elfcore_word(class, image->bytes + class->e_shoff);
	if (section == 0 || !parts_inside(image, section, class->section_size))
		return parts_fail(image, class->e_shoff,
				  "e_phnum 0xffff, expected section header 0 with the number, but "
				  "e_shoff is 0x%llx in a file of 0x%llx bytes",
				  (unsigned long long)section, (unsigned long long)image->size);
	table->count = parts_u32(image->bytes + section + class->sh_info);
	return true;
}

static bool elfcore_read_header(struct image *image, struct elfcore_table *table)
{
	const struct elfcore_class *class = elfcore_identify(image);
	const uint8_t *header = image->bytes;
	uint16_t type, entry_size;

	if (!class)
		return false;
	table->class = class;
	type = parts_u16(header + offsetof(Elf64_Ehdr, e_type));
	if (type != ET_CORE)
		return parts_fail(image, offsetof(Elf64_Ehdr, e_type),
				  "ELF type %u, expected 4 (a core file)", type);
	table->machine = parts_u16(header + offsetof(Elf64_Ehdr, e_machine));
	if (table->machine != EM_X86_64 && table->machine != EM_386)
		return parts_fail(image, offsetof(Elf64_Ehdr, e_machine),
				  "ELF machine %u, expected 3 (i386) or 62 (x86-64)",
				  table->machine);
	entry_size = parts_u16(header + class->e_phentsize);
	if (entry_size != class->segment_size)
		return parts_fail(image, class->e_phentsize,
				  "program headers of %u bytes, expected %u", entry_size,
				  class->segment_size);
	if (!elfcore_count_segments(image, table))
		return false;
	table->offset = elfcore_word(class, header + class->e_phoff);
	if (table->count > ELFCORE_SEGMENTS_MAX)
		return parts_fail(image, class->e_phnum, "%u program headers, expected at most %u",
				  table->count, ELFCORE_SEGMENTS_MAX);
	if (!parts_inside(image, table->offset, (uint64_t)table->count * class->segment_size))
		return parts_fail(image, class->e_phoff,
				  "%u program headers at 0x%llx run past the end, "
				  "expected more than 0x%llx bytes (truncated?)",
				  table->count, (unsigned long long)table->offset,
				  (unsigned long long)image->size);
	return true;
}

static struct elfcore_segment elfcore_segment(const struct image *image,
					      const struct elfcore_table *table, uint32_t index)
{
	const struct elfcore_class *class = table->class;
	uint64_t at = table->offset + (uint64_t)index * class->segment_size;
	const uint8_t *p = image->bytes + at;

	return (struct elfcore_segment){
		.at = at,
		.type = parts_u32(p),
		.offset = elfcore_word(class, p + class->p_offset),
		.paddr = elfcore_word(class, p + class->p_paddr),
		.file_size = elfcore_word(class, p + class->p_filesz),
		.memory_size = elfcore_word(class, p + class->p_memsz),
	};
}

/* ---- memory ---- */

static bool elfcore_add_load(struct image *image, const struct elfcore_segment *segment)
{
	unsigned long long base = segment->paddr, size = segment->memory_size;

	if (segment->file_size > size)
		return parts_fail(image, segment->at,
				  "segment of 0x%llx bytes in the file and 0x%llx in memory, "
				  "expected no more in the file",
				  (unsigned long long)segment->file_size, size);
	if (base > UINT64_MAX - size)
		return parts_fail(image, segment->at,
				  "segment at 0x%llx of 0x%llx bytes wraps around, "
				  "expected addresses below 2^52",
				  base, size);
	if (base + size > PARTS_GPA_END)
		return parts_fail(image, segment->at,
				  "segment at 0x%llx of 0x%llx bytes, "
				  "expected physical addresses below 2^52",
				  base, size);
	if (!parts_inside(image, segment->offset, segment->file_size))
		return parts_fail(image, segment->at,
				  "segment at 0x%llx is 0x%llx bytes at offset 0x%llx, "
				  "expected more than 0x%llx bytes of file (truncated?)",
				  base, (unsigned long long)segment->file_size,
				  (unsigned long long)segment->offset,
				  (unsigned long long)image->size);
	parts_add_range(image, (struct image_range){.base = {base},
						    .size = segment->file_size,
						    .offset = segment->offset});
	return true;
}

/** A segment's place in memory and its header's place in the file. */
struct elfcore_extent {
	uint64_t base, size, at;
};

static int elfcore_compare(const void *a, const void *b)
{
	const struct elfcore_extent *x = a, *y = b;

	if (x->base != y->base)
		return x->base < y->base ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/** Whether segments overlap, before they are trimmed to pages. */
static bool elfcore_check_overlap(struct image *image, struct elfcore_extent *extents,
				  uint32_t count)
{
	qsort(extents, count, sizeof(*extents), elfcore_compare);
	for (uint32_t i = 1; i < count; i++) {
		const struct elfcore_extent *low = &extents[i - 1], *high = &extents[i];

		if (high->base < low->base + low->size)
			return parts_fail(image, high->at,
					  "segment at 0x%llx overlaps the one at 0x%llx of 0x%llx "
					  "bytes, expected each address once (a dump of virtual "
					  "memory or of a process?)",
					  (unsigned long long)high->base,
					  (unsigned long long)low->base,
					  (unsigned long long)low->size);
	}
	return true;
}

static bool elfcore_read_memory(struct image *image, const struct elfcore_table *table)
{
	struct elfcore_extent *extents;
	uint32_t count = 0;
	bool ok = true;

	extents = calloc((size_t)table->count + 1, sizeof(*extents));
	image->ranges = calloc((size_t)table->count + 1, sizeof(*image->ranges));
	if (!extents || !image->ranges) {
		free(extents);
		return parts_fail(image, table->offset, "no memory for %u program headers",
				  table->count);
	}
	for (uint32_t i = 0; ok && i < table->count; i++) {
		struct elfcore_segment segment = elfcore_segment(image, table, i);

		if (segment.type != PT_LOAD)
			continue;
		ok = elfcore_add_load(image, &segment);
		if (segment.file_size > 0)
			extents[count++] = (struct elfcore_extent){segment.paddr, segment.file_size,
								   segment.at};
	}
	ok = ok && elfcore_check_overlap(image, extents, count);
	free(extents);
	return ok;
}

/* ---- CPUs ---- */

static uint64_t elfcore_infer_efer(const struct umbra_regs *regs, bool long_hint)
{
	if (!(regs->cr0 & UMBRA_CR0_PG) || !(regs->cr4 & UMBRA_CR4_PAE))
		return 0;
	if (long_hint)
		return UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE;
	return UMBRA_EFER_NXE;
}

/** The CPU in the @size bytes at @offset of a note named QEMU. */
static bool elfcore_add_cpu(struct image *image, uint16_t machine, uint64_t offset, uint32_t size)
{
	const uint8_t *p = image->bytes + offset;
	struct image_cpu *cpu;
	uint32_t flags, own_size;

	if (size < QEMU_END)
		return parts_fail(image, offset,
				  "QEMU CPU state of 0x%x bytes, expected at least 0x%x", size,
				  QEMU_END);
	if (parts_u32(p + QEMU_VERSION) != 1)
		return parts_fail(image, offset, "QEMU CPU state version %u, expected 1",
				  parts_u32(p + QEMU_VERSION));
	own_size = parts_u32(p + QEMU_SIZE);
	if (own_size < QEMU_END || own_size > size)
		return parts_fail(image, offset + QEMU_SIZE,
				  "QEMU CPU state claims 0x%x bytes, expected 0x%x to 0x%x",
				  own_size, QEMU_END, size);
	if (image->cpu_count == ELFCORE_CPUS_MAX)
		return parts_fail(image, offset, "more than %u CPUs, expected fewer",
				  ELFCORE_CPUS_MAX);
	if ((image->cpu_count & (image->cpu_count - 1)) == 0) {
		size_t room = image->cpu_count ? image->cpu_count * 2 : 1;

		cpu = realloc(image->cpus, room * sizeof(*cpu));
		if (!cpu)
			return parts_fail(image, offset, "no memory for %zu CPUs", room);
		image->cpus = cpu;
	}
	flags = parts_u32(p + QEMU_CS_FLAGS);
	cpu = &image->cpus[image->cpu_count++];
	*cpu = (struct image_cpu){
		.regs.cr0 = parts_u64(p + QEMU_CR),
		.regs.cr3 = parts_u64(p + QEMU_CR + 3 * 8),
		.regs.cr4 = parts_u64(p + QEMU_CR + 4 * 8),
		.rip = parts_u64(p + QEMU_RIP),
		.rflags = parts_u64(p + QEMU_RFLAGS),
		.long_code = (flags & QEMU_FLAGS_L) != 0,
		.cpl = flags >> QEMU_FLAGS_DPL_SHIFT & 3,
		.efer_known = false,
	};
	cpu->regs.efer = elfcore_infer_efer(&cpu->regs, machine == EM_X86_64 || cpu->long_code);
	return true;
}

static uint64_t elfcore_round4(uint32_t n)
{
	return ((uint64_t)n + 3) & ~3ull;
}

/** All notes of one segment, which lies in the file. */
static bool elfcore_read_notes(struct image *image, uint16_t machine,
			       const struct elfcore_segment *segment)
{
	static const char name[] = "QEMU";
	uint64_t at = segment->offset, end = segment->offset + segment->file_size;

	while (end - at >= sizeof(Elf64_Nhdr)) {
		const uint8_t *note = image->bytes + at;
		uint32_t name_size = parts_u32(note), size = parts_u32(note + 4);
		uint64_t body = at + sizeof(Elf64_Nhdr), desc;

		/* The last description may lack its padding. */
		if (elfcore_round4(name_size) > end - body ||
		    size > end - body - elfcore_round4(name_size))
			return parts_fail(image, at,
					  "note with a name of 0x%x and a description of 0x%x "
					  "bytes, expected to end at 0x%llx",
					  name_size, size, (unsigned long long)end);
		desc = body + elfcore_round4(name_size);
		if (name_size == sizeof(name) &&
		    memcmp(image->bytes + body, name, sizeof(name)) == 0 &&
		    !elfcore_add_cpu(image, machine, desc, size))
			return false;
		at = elfcore_round4(size) > end - desc ? end : desc + elfcore_round4(size);
	}
	return true;
}

static bool elfcore_read_cpus(struct image *image, const struct elfcore_table *table)
{
	unsigned found = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		struct elfcore_segment segment = elfcore_segment(image, table, i);

		if (segment.type != PT_NOTE)
			continue;
		if (++found > ELFCORE_NOTE_SEGMENTS_MAX)
			return parts_fail(image, segment.at,
					  "more than %d PT_NOTE segments, expected one",
					  ELFCORE_NOTE_SEGMENTS_MAX);
		if (!parts_inside(image, segment.offset, segment.file_size))
			return parts_fail(image, segment.at,
					  "notes of 0x%llx bytes at offset 0x%llx, "
					  "expected more than 0x%llx bytes of file (truncated?)",
					  (unsigned long long)segment.file_size,
					  (unsigned long long)segment.offset,
					  (unsigned long long)image->size);
		if (!elfcore_read_notes(image, table->machine, &segment))
			return false;
	}
	return true;
}

bool elfcore_read(struct image *image)
{
	struct elfcore_table table = {0};

	if (!elfcore_read_header(image, &table) || !elfcore_read_memory(image, &table) ||
	    !elfcore_read_cpus(image, &table))
		return false;
	if (image->range_count == 0)
		return parts_fail(image, table.offset,
				  "no segment with a whole page of memory, expected a PT_LOAD");
	return true;
}
