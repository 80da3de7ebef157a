/* SPDX-License-Identifier: MIT */
/*
 * build.h - makes small ELF core files in memory, right ones and wrong ones.
 *
 * Written from the ELF specification, not from the reader: a wrong file is a
 * right one with a few bytes poked. Byte N of what is not a header has the value
 * build_pattern(N), so that a test sees which offset a pointer leads to.
 */
#ifndef TESTS_IMAGE_BUILD_H
#define TESTS_IMAGE_BUILD_H

#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUILD_SEGMENTS_MAX 6
#define BUILD_CPUS_MAX 3

struct build_segment {
	uint64_t paddr, offset, file_size, memory_size;
};

struct build_cpu {
	uint64_t cr0, cr3, cr4, rip, rflags;
	uint32_t cs_flags;
};

/** What to build. Notes lie at BUILD_NOTES if there is a CPU. */
struct build {
	unsigned class; /* 32 or 64 */
	uint16_t machine;
	struct build_segment segments[BUILD_SEGMENTS_MAX];
	unsigned segment_count;
	struct build_cpu cpus[BUILD_CPUS_MAX];
	unsigned cpu_count;
	/** Bytes of a CPU state, 0: 0x1b8. */
	uint32_t cpu_size;
	size_t size;
};

struct build_file {
	uint8_t *bytes;
	size_t size;
};

#define BUILD_NOTES 0x200u
#define BUILD_CPU_SIZE 0x1b8u
/* Header, name "QEMU\0" padded to 8, description. */
#define BUILD_NOTE_SIZE (12u + 8u + BUILD_CPU_SIZE)
/* Offset of the Nth program header of a 64-bit file; number 0 is PT_NOTE. */
#define BUILD_PHDR(n) (sizeof(Elf64_Ehdr) + (n) * sizeof(Elf64_Phdr))

static inline uint8_t build_pattern(uint64_t offset)
{
	return (uint8_t)((offset * 0x9e3779b97f4a7c15ull >> 56) | 1);
}

static inline void build_poke(uint8_t *p, unsigned width, uint64_t value)
{
	for (unsigned i = 0; i < width; i++)
		p[i] = (uint8_t)(value >> (i * 8));
}

static inline void build_note(uint8_t *p, const struct build_cpu *cpu, uint32_t size)
{
	uint8_t *state = p + 20;

	memset(p, 0, 20 + size);
	build_poke(p, 4, 5);
	build_poke(p + 4, 4, size);
	memcpy(p + 12, "QEMU", 5);
	build_poke(state, 4, 1);
	build_poke(state + 4, 4, size);
	build_poke(state + 136, 8, cpu->rip);
	build_poke(state + 144, 8, cpu->rflags);
	build_poke(state + 160, 4, cpu->cs_flags);
	build_poke(state + 392, 8, cpu->cr0);
	build_poke(state + 416, 8, cpu->cr3);
	build_poke(state + 424, 8, cpu->cr4);
}

static inline void build_header(const struct build *build, uint8_t *bytes, unsigned count)
{
	unsigned wide = build->class == 64;
	Elf64_Ehdr head64 = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = build->machine,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)count,
	};
	Elf32_Ehdr head32 = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = build->machine,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_ehsize = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = (uint16_t)count,
	};

	memcpy(bytes, wide ? (void *)&head64 : (void *)&head32,
	       wide ? sizeof(head64) : sizeof(head32));
}

static inline void build_program_header(const struct build *build, uint8_t *bytes, unsigned index,
					uint32_t type, const struct build_segment *segment)
{
	Elf64_Phdr wide = {
		.p_type = type,
		.p_offset = segment->offset,
		.p_paddr = segment->paddr,
		.p_filesz = segment->file_size,
		.p_memsz = segment->memory_size,
	};
	Elf32_Phdr narrow = {
		.p_type = type,
		.p_offset = (uint32_t)segment->offset,
		.p_paddr = (uint32_t)segment->paddr,
		.p_filesz = (uint32_t)segment->file_size,
		.p_memsz = (uint32_t)segment->memory_size,
	};

	if (build->class == 64)
		memcpy(bytes + BUILD_PHDR(index), &wide, sizeof(wide));
	else
		memcpy(bytes + sizeof(Elf32_Ehdr) + index * sizeof(narrow), &narrow,
		       sizeof(narrow));
}

/** The file, in memory of exactly its size; free() its bytes. */
static inline struct build_file build_elf(const struct build *build)
{
	struct build_file file = {malloc(build->size), build->size};
	uint32_t cpu_size = build->cpu_size ? build->cpu_size : BUILD_CPU_SIZE;
	struct build_segment notes = {
		.offset = BUILD_NOTES,
		.file_size = (uint64_t)build->cpu_count * (20 + cpu_size),
	};

	if (!file.bytes)
		abort();
	for (size_t i = 0; i < file.size; i++)
		file.bytes[i] = build_pattern(i);
	build_header(build, file.bytes, build->segment_count + 1);
	build_program_header(build, file.bytes, 0, PT_NOTE, &notes);
	for (unsigned i = 0; i < build->segment_count; i++)
		build_program_header(build, file.bytes, i + 1, PT_LOAD, &build->segments[i]);
	for (unsigned i = 0; i < build->cpu_count; i++)
		build_note(file.bytes + BUILD_NOTES + i * (20 + cpu_size), &build->cpus[i],
			   cpu_size);
	return file;
}

/** A 64-bit guest: two CPUs, one still in reset; two ranges, the higher one first. */
static inline struct build build_two_cpus(void)
{
	return (struct build){
		.class = 64,
		.machine = EM_X86_64,
		.segments =
			{
				/* Not at a page of the file, and only partly held by it. */
				{0x100000, 0x4508, 0x2000, 0x3000},
				{0, 0x1000, 0x3000, 0x3000},
			},
		.segment_count = 2,
		.cpus =
			{
				{.cr0 = 0x80050033,
				 .cr3 = 0x1000,
				 .cr4 = 0x751ef0,
				 .rip = 0xffffffff81000000,
				 .rflags = 0x246,
				 .cs_flags = 0x00af9b00},
				{.cr0 = 0x60000010, .rip = 0xfff0, .rflags = 2, .cs_flags = 0x9b00},
			},
		.cpu_count = 2,
		.size = 0x6508,
	};
}

/** A 32-bit guest in PAE mode, in a 32-bit file. */
static inline struct build build_pae32(void)
{
	return (struct build){
		.class = 32,
		.machine = EM_386,
		.segments = {{0, 0x1000, 0x2000, 0x2000}, {0xfffff000, 0x3000, 0x1000, 0x1000}},
		.segment_count = 2,
		.cpus = {{.cr0 = 0x80050033,
			  .cr3 = 0xae0,
			  .cr4 = 0x350ef0,
			  .rip = 0x804abcd,
			  .rflags = 0x2c2,
			  .cs_flags = 0x00cffa00}},
		.cpu_count = 1,
		.size = 0x4000,
	};
}

#endif
