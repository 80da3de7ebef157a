/* SPDX-License-Identifier: MIT */
/*
 * test_image.c - good images say what they hold, bad ones say what is wrong.
 *
 * Files are made by build.h. What real dumps look like is in test_guests.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/image.h"
#include "tests/image/build.h"

#define EFER_LONG (UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE)

static char error[512];

/** Write a temporary file; its name is valid until the next call. */
static const char *write_file(const void *bytes, size_t size)
{
	static char path[64];
	int fd;

	strcpy(path, "/tmp/umbra-image-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
	return path;
}

static struct image *parse(const struct build_file *file)
{
	struct image *image =
		image_parse(file->bytes, file->size, IMAGE_AUTO, error, sizeof(error));

	if (!image)
		fail_msg("%s", error);
	return image;
}

static void check_range(const struct image *image, unsigned index, struct image_range want)
{
	const struct image_range *range = image_range(image, index);

	assert_non_null(range);
	assert_int_equal(range->base.v, want.base.v);
	assert_int_equal(range->size, want.size);
	assert_int_equal(range->offset, want.offset);
}

/* ---- good files ---- */

static void check_two_cpus(const struct image *image)
{
	const struct image_cpu *cpu;

	assert_int_equal(image_range_count(image), 2);
	check_range(image, 0, (struct image_range){{0}, 0x3000, 0x1000});
	check_range(image, 1, (struct image_range){{0x100000}, 0x2000, 0x4508});
	assert_null(image_range(image, 2));

	assert_int_equal(image_cpu_count(image), 2);
	cpu = image_cpu(image, 0);
	assert_int_equal(cpu->regs.cr0, 0x80050033);
	assert_int_equal(cpu->regs.cr3, 0x1000);
	assert_int_equal(cpu->regs.cr4, 0x751ef0);
	assert_int_equal(cpu->regs.efer, EFER_LONG);
	assert_int_equal(cpu->rip, 0xffffffff81000000);
	assert_int_equal(cpu->rflags, 0x246);
	assert_true(cpu->long_code);
	assert_int_equal(cpu->cpl, 0);
	assert_false(cpu->efer_known);
	cpu = image_cpu(image, 1);
	assert_int_equal(cpu->regs.cr0, 0x60000010);
	assert_int_equal(cpu->regs.efer, 0);
	assert_int_equal(cpu->rip, 0xfff0);
	assert_false(cpu->long_code);
	assert_null(image_cpu(image, 2));
}

static void good_two_cpus(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file = build_elf(&build);
	const char *path = write_file(file.bytes, file.size);
	struct image *image;

	(void)state;
	image = parse(&file);
	check_two_cpus(image);
	image_close(image);
	image = image_open(path, IMAGE_AUTO, error, sizeof(error));
	unlink(path);
	assert_non_null(image);
	assert_string_equal(image_path(image), path);
	check_two_cpus(image);
	image_close(image);
	free(file.bytes);
}

static void good_elf32(void **state)
{
	struct build build = build_pae32();
	struct build_file file = build_elf(&build);
	struct image *image;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		build_poke(file.bytes + 0x1ae0 + i * 8, 8, 0x123456789a001ull + i * 0x1000);
	image = parse(&file);
	assert_int_equal(image_range_count(image), 2);
	check_range(image, 0, (struct image_range){{0}, 0x2000, 0x1000});
	check_range(image, 1, (struct image_range){{0xfffff000}, 0x1000, 0x3000});
	assert_int_equal(image_cpu_count(image), 1);
	assert_int_equal(image_cpu(image, 0)->regs.efer, UMBRA_EFER_NXE);
	assert_int_equal(image_cpu(image, 0)->cpl, 3);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(image_cpu(image, 0)->regs.pdpte[i],
				 0x123456789a001ull + i * 0x1000);
	image_close(image);
	free(file.bytes);
}

/** A PAE guest whose CR3 leads into a hole has no PDPTEs to show. */
static void good_pdptes_in_a_hole(void **state)
{
	struct build build = build_pae32();
	struct build_file file;
	struct image *image;

	(void)state;
	build.cpus[0].cr3 = 0x2000;
	file = build_elf(&build);
	image = parse(&file);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(image_cpu(image, 0)->regs.pdpte[i], 0);
	image_close(image);
	free(file.bytes);
}

static void good_efer(void **state)
{
	static const struct {
		uint16_t machine;
		uint64_t cr0, cr4;
		uint32_t cs_flags;
		uint64_t efer;
	} rows[] = {
		{EM_X86_64, 0x80000001, 0x20, 0x00af9b00, EFER_LONG},
		/* compatibility mode: only the machine tells */
		{EM_X86_64, 0x80000001, 0x20, 0x00cf9b00, EFER_LONG},
		{EM_386, 0x80000001, 0x20, 0x00af9b00, EFER_LONG},
		{EM_386, 0x80000001, 0x20, 0x00cf9b00, UMBRA_EFER_NXE},
		/* 2-level paging, no paging */
		{EM_386, 0x80000001, 0x10, 0x00cf9b00, 0},
		{EM_X86_64, 0x80000001, 0x10, 0x00af9b00, 0},
		{EM_X86_64, 0x00000001, 0x20, 0x00af9b00, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct build build = build_two_cpus();
		struct build_file file;
		struct image *image;

		build.machine = rows[i].machine;
		build.cpus[1] = (struct build_cpu){
			.cr0 = rows[i].cr0, .cr4 = rows[i].cr4, .cs_flags = rows[i].cs_flags};
		file = build_elf(&build);
		image = parse(&file);
		assert_int_equal(image_cpu(image, 1)->regs.efer, rows[i].efer);
		image_close(image);
		free(file.bytes);
	}
}

/** States without kernel_gs_base, and with more after it, are as good. */
static void good_state_sizes(void **state)
{
	static const uint32_t sizes[] = {0x1b0, 0x1b4, 0x1b8, 0x1bc, 0x200};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct build build = build_two_cpus();
		struct build_file file;
		struct image *image;

		build.cpu_size = sizes[i];
		file = build_elf(&build);
		image = parse(&file);
		check_two_cpus(image);
		image_close(image);
		free(file.bytes);
	}
}

/** Notes of others are passed over; a file without notes has no CPUs. */
static void good_other_notes(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file = build_elf(&build);
	struct image *image;

	(void)state;
	/* The first note is now named "QEMUX". */
	file.bytes[BUILD_NOTES + 12 + 4] = 'X';
	image = parse(&file);
	assert_int_equal(image_cpu_count(image), 1);
	assert_int_equal(image_cpu(image, 0)->rip, 0xfff0);
	image_close(image);

	build_poke(file.bytes + BUILD_PHDR(0), 4, PT_NULL);
	image = parse(&file);
	assert_int_equal(image_cpu_count(image), 0);
	assert_null(image_cpu(image, 0));
	image_close(image);
	free(file.bytes);
}

/** More program headers than e_phnum can count: section 0 has the number. */
static void good_extended_count(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file = build_elf(&build);
	struct image *image;

	(void)state;
	build_poke(file.bytes + offsetof(Elf64_Ehdr, e_phnum), 2, PN_XNUM);
	build_poke(file.bytes + offsetof(Elf64_Ehdr, e_shoff), 8, 0x800);
	build_poke(file.bytes + 0x800 + offsetof(Elf64_Shdr, sh_info), 4, 3);
	image = parse(&file);
	check_two_cpus(image);
	image_close(image);
	free(file.bytes);
}

/** The file holds parts of pages; nobody gets them. */
static void good_trimmed(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file;
	struct image *image;

	(void)state;
	build.segments[0] = (struct build_segment){0x100ffe, 0x1000, 0x3003, 0x3003};
	build.segments[1] = (struct build_segment){0x200001, 0x1000, 0x1ffe, 0x1ffe};
	build.segments[2] = (struct build_segment){0x300000, 0x1000, 0, 0x1000};
	build.segment_count = 3;
	file = build_elf(&build);
	image = parse(&file);
	assert_int_equal(image_range_count(image), 1);
	check_range(image, 0, (struct image_range){{0x101000}, 0x3000, 0x1002});
	assert_null(image_at(image, (umbra_gpa){0x100fff}, 1));
	assert_null(image_at(image, (umbra_gpa){0x104000}, 1));
	assert_null(image_at(image, (umbra_gpa){0x300000}, 1));
	image_close(image);
	free(file.bytes);
}

/** Segments that touch do not overlap; each is a range of its own. */
static void good_adjacent(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file;
	struct image *image;

	(void)state;
	build.segments[0].paddr = 0x3000;
	file = build_elf(&build);
	image = parse(&file);
	check_range(image, 0, (struct image_range){{0}, 0x3000, 0x1000});
	check_range(image, 1, (struct image_range){{0x3000}, 0x2000, 0x4508});
	assert_null(image_at(image, (umbra_gpa){0x2fff}, 2));
	image_close(image);
	free(file.bytes);
}

/** The highest page there is, from both sides of the limit. */
static void good_highest_page(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file;
	struct image *image;

	(void)state;
	build.segments[0] = (struct build_segment){(1ull << 52) - 4096, 0x1000, 0x1000, 0x1000};
	file = build_elf(&build);
	image = parse(&file);
	check_range(image, 1, (struct image_range){{(1ull << 52) - 4096}, 0x1000, 0x1000});
	image_close(image);
	free(file.bytes);
}

static void good_raw(void **state)
{
	uint8_t *bytes = malloc(0x3000);
	struct image *image;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < 0x3000; i++)
		bytes[i] = build_pattern(i);
	image = image_parse(bytes, 0x3000, IMAGE_AUTO, error, sizeof(error));
	assert_non_null(image);
	assert_int_equal(image_range_count(image), 1);
	check_range(image, 0, (struct image_range){{0}, 0x3000, 0});
	assert_int_equal(image_cpu_count(image), 0);
	image_close(image);

	/* Memory that happens to begin like something else, when told so. */
	memcpy(bytes, "\177ELF", 4);
	image = image_parse(bytes, 0x3000, IMAGE_RAW, error, sizeof(error));
	assert_non_null(image);
	assert_int_equal(image_range_count(image), 1);
	image_close(image);
	free(bytes);
}

/* ---- looking and writing ---- */

static void good_at(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file = build_elf(&build);
	struct image *image = parse(&file);

	(void)state;
	assert_ptr_equal(image_at(image, (umbra_gpa){0}, 0x3000), file.bytes + 0x1000);
	assert_ptr_equal(image_at(image, (umbra_gpa){0x2fff}, 1), file.bytes + 0x3fff);
	assert_ptr_equal(image_at(image, (umbra_gpa){0x100008}, 8), file.bytes + 0x4510);
	assert_null(image_at(image, (umbra_gpa){0}, 0x3001));
	assert_null(image_at(image, (umbra_gpa){0x2fff}, 2));
	assert_null(image_at(image, (umbra_gpa){0x2fff}, SIZE_MAX));
	assert_null(image_at(image, (umbra_gpa){0x3000}, 0));
	assert_null(image_at(image, (umbra_gpa){0x3000}, 1));
	assert_null(image_at(image, (umbra_gpa){0xfffff}, 1));
	assert_null(image_at(image, (umbra_gpa){0x102000}, 1));
	assert_null(image_at(image, (umbra_gpa){UINT64_MAX}, 1));
	image_close(image);
	free(file.bytes);
}

/** One view of range @index is written; nothing else may see it. */
static void check_views(const struct image *image, unsigned index)
{
	const struct image_range *range = image_range(image, index);
	uint8_t *one = image_map(image, index, error, sizeof(error));
	uint8_t *two = image_map(image, index, error, sizeof(error));
	const uint8_t *original = image_at(image, range->base, (size_t)range->size);

	assert_non_null(one);
	assert_non_null(two);
	assert_ptr_not_equal(one, two);
	assert_int_equal((uintptr_t)one % 4096, 0);
	assert_memory_equal(one, original, range->size);
	memset(one, 0, (size_t)range->size);
	assert_memory_equal(two, original, range->size);
	assert_int_equal(original[0], build_pattern(range->offset));
	image_unmap(image, index, one);
	image_unmap(image, index, two);
	image_unmap(image, index, NULL);
}

static void good_views(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file = build_elf(&build);
	const char *path = write_file(file.bytes, file.size);
	uint8_t *after = malloc(file.size);
	struct image *image = image_open(path, IMAGE_ELF, error, sizeof(error));
	FILE *stream;

	(void)state;
	assert_non_null(after);
	assert_non_null(image);
	for (unsigned i = 0; i < image_range_count(image); i++)
		check_views(image, i);
	assert_null(image_map(image, 2, error, sizeof(error)));
	assert_non_null(strstr(error, "range 2, expected a number below 2"));
	image_close(image);

	stream = fopen(path, "rb");
	assert_non_null(stream);
	assert_int_equal(fread(after, 1, file.size, stream), file.size);
	assert_int_equal(fgetc(stream), EOF);
	fclose(stream);
	unlink(path);
	assert_memory_equal(after, file.bytes, file.size);

	/* The same without a file behind it. */
	image = parse(&file);
	for (unsigned i = 0; i < image_range_count(image); i++)
		check_views(image, i);
	image_close(image);
	free(after);
	free(file.bytes);
}

/* ---- bad files ---- */

struct poke {
	size_t at;
	unsigned width;
	uint64_t value;
};

#define EHDR(field) offsetof(Elf64_Ehdr, field)
#define PHDR(n, field) (BUILD_PHDR(n) + offsetof(Elf64_Phdr, field))
#define STATE(n) (BUILD_NOTES + (n)*BUILD_NOTE_SIZE + 20)

/* Pokes into build_two_cpus, the offset that must be named, and part of the sentence. */
static const struct bad {
	struct poke pokes[4];
	uint64_t offset;
	const char *says;
} bads[] = {
	{{{4, 1, 0}}, 4, "ELF class 0, expected 1 (32-bit) or 2 (64-bit)"},
	{{{4, 1, 3}}, 4, "ELF class 3"},
	{{{5, 1, 2}}, 5, "encoding 2, expected 1 (little-endian)"},
	{{{6, 1, 9}}, 6, "ELF version 9, expected 1"},
	{{{EHDR(e_type), 2, ET_EXEC}}, 16, "ELF type 2, expected 4"},
	{{{EHDR(e_machine), 2, EM_AARCH64}}, 18, "ELF machine 183, expected 3 (i386) or 62"},
	{{{EHDR(e_phentsize), 2, 32}}, 54, "program headers of 32 bytes, expected 56"},
	{{{EHDR(e_phentsize), 2, 0}}, 54, "program headers of 0 bytes"},
	{{{EHDR(e_phoff), 8, 0x6508 - 3 * 56 + 1}}, 32, "3 program headers at 0x6461 run past"},
	{{{EHDR(e_phoff), 8, UINT64_MAX}}, 32, "run past the end"},
	{{{EHDR(e_phoff), 8, UINT64_MAX - 3 * 56 + 1}}, 32, "run past the end"},
	{{{EHDR(e_phnum), 2, 0xfffe}}, 32, "65534 program headers"},
	{{{EHDR(e_phnum), 2, 0}}, 64, "no segment with a whole page"},
	{{{EHDR(e_phnum), 2, 0xffff}}, 40, "expected section header 0"},
	{{{EHDR(e_phnum), 2, 0xffff}, {EHDR(e_shoff), 8, 0x6508 - 63}},
	 40,
	 "expected section header 0"},
	{{{EHDR(e_phnum), 2, 0xffff}, {EHDR(e_shoff), 8, UINT64_MAX}},
	 40,
	 "expected section header 0"},
	{{{EHDR(e_phnum), 2, 0xffff},
	  {EHDR(e_shoff), 8, 0x800},
	  {0x800 + offsetof(Elf64_Shdr, sh_info), 4, 0x80000000}},
	 56,
	 "2147483648 program headers, expected at most"},

	{{{PHDR(1, p_filesz), 8, 0x3001}}, BUILD_PHDR(1), "expected no more in the file"},
	{{{PHDR(1, p_offset), 8, 0x4509}},
	 BUILD_PHDR(1),
	 "expected more than 0x6508 bytes of file"},
	{{{PHDR(1, p_offset), 8, UINT64_MAX}}, BUILD_PHDR(1), "bytes of file (truncated?)"},
	{{{PHDR(1, p_offset), 8, UINT64_MAX - 0x1fff}},
	 BUILD_PHDR(1),
	 "bytes of file (truncated?)"},
	{{{PHDR(1, p_filesz), 8, UINT64_MAX}, {PHDR(1, p_memsz), 8, UINT64_MAX}},
	 BUILD_PHDR(1),
	 "wraps around"},
	{{{PHDR(1, p_paddr), 8, UINT64_MAX - 0x2fff}}, BUILD_PHDR(1), "below 2^52"},
	{{{PHDR(1, p_paddr), 8, UINT64_MAX - 0x2ffe}}, BUILD_PHDR(1), "wraps around"},
	{{{PHDR(1, p_paddr), 8, (1ull << 52) - 0x2fff}}, BUILD_PHDR(1), "below 2^52"},
	{{{PHDR(1, p_memsz), 8, 1ull << 52}}, BUILD_PHDR(1), "below 2^52"},
	{{{PHDR(1, p_paddr), 8, 0x2fff}}, BUILD_PHDR(1), "overlaps the one at 0x0 of 0x3000"},
	{{{PHDR(1, p_paddr), 8, 0}}, BUILD_PHDR(2), "overlaps"},
	{{{PHDR(1, p_type), 4, PT_NULL}, {PHDR(2, p_type), 4, PT_NULL}}, 64, "expected a PT_LOAD"},
	{{{PHDR(1, p_type), 4, PT_NULL}, {PHDR(2, p_filesz), 8, 4095}}, 64, "no segment with"},

	{{{PHDR(0, p_offset), 8, 0x6508 - 0x397}}, BUILD_PHDR(0), "notes of 0x398 bytes"},
	{{{PHDR(0, p_offset), 8, UINT64_MAX}}, BUILD_PHDR(0), "bytes of file (truncated?)"},
	{{{BUILD_NOTES, 4, UINT32_MAX}}, BUILD_NOTES, "note with a name of 0xffffffff"},
	{{{BUILD_NOTES + 4, 4, UINT32_MAX}}, BUILD_NOTES, "a description of 0xffffffff"},
	{{{BUILD_NOTES + BUILD_NOTE_SIZE + 4, 4, BUILD_CPU_SIZE + 1}},
	 BUILD_NOTES + BUILD_NOTE_SIZE,
	 "expected to end at 0x598"},
	{{{STATE(0), 4, 2}}, STATE(0), "state version 2, expected 1"},
	{{{STATE(1), 4, 0}}, STATE(1), "state version 0, expected 1"},
	{{{STATE(0) + 4, 4, 0x1b9}}, STATE(0) + 4, "claims 0x1b9 bytes, expected 0x1b0 to 0x1b8"},
	{{{STATE(0) + 4, 4, 0x1af}}, STATE(0) + 4, "claims 0x1af bytes"},
	{{{BUILD_NOTES + BUILD_NOTE_SIZE + 4, 4, 0x1ac}}, STATE(1), "of 0x1ac bytes, expected at"},
};

static void check_refused(const uint8_t *bytes, size_t size, uint64_t offset, const char *says)
{
	char want[64];
	struct image *image = image_parse(bytes, size, IMAGE_AUTO, error, sizeof(error));

	if (image)
		fail_msg("accepted, expected: offset 0x%" PRIx64 ": %s", offset, says);
	snprintf(want, sizeof(want), "(memory): offset 0x%" PRIx64 ": ", offset);
	if (strncmp(error, want, strlen(want)) != 0 || !strstr(error, says) ||
	    !strstr(error, "expected") || strchr(error, '\n'))
		fail_msg("says: %s\nexpected: offset 0x%" PRIx64 ": %s", error, offset, says);
}

static void bad_headers(void **state)
{
	struct build build = build_two_cpus();

	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		struct build_file file = build_elf(&build);

		for (size_t j = 0; j < 4; j++)
			build_poke(file.bytes + bads[i].pokes[j].at, bads[i].pokes[j].width,
				   bads[i].pokes[j].value);
		check_refused(file.bytes, file.size, bads[i].offset, bads[i].says);
		free(file.bytes);
	}
}

/** The same 17 notes segments over and over. */
static void bad_many_notes(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file = build_elf(&build);
	struct build_segment notes = {.offset = 0xf00, .file_size = 0x10};

	(void)state;
	build_poke(file.bytes + EHDR(e_phoff), 8, 0x2000);
	build_poke(file.bytes + EHDR(e_phnum), 2, 17);
	memset(file.bytes + 0xf00, 0, 0x10);
	for (unsigned i = 0; i < 17; i++) {
		build_program_header(&build, file.bytes + 0x2000 - BUILD_PHDR(0), i, PT_NOTE,
				     &notes);
	}
	check_refused(file.bytes, file.size, 0x2000 + 16 * 56, "more than 16 PT_NOTE segments");
	free(file.bytes);
}

/** Cut anywhere, a file is refused, or has just lost nothing that counts. */
static void bad_truncated(void **state)
{
	struct build build = build_two_cpus();
	struct build_file file = build_elf(&build);

	(void)state;
	for (size_t size = 0; size < file.size; size += size < 0x600 ? 1 : 0x61) {
		uint8_t *bytes = malloc(size ? size : 1);
		struct image *image;

		assert_non_null(bytes);
		memcpy(bytes, file.bytes, size);
		image = image_parse(bytes, size, IMAGE_ELF, error, sizeof(error));
		assert_null(image);
		assert_non_null(strstr(error, "(memory): offset 0x"));
		free(bytes);
	}
	check_refused(file.bytes, 0, 0, "the file is empty");
	check_refused(file.bytes, 10, 10, "ends in the ELF header, expected 64 bytes");
	check_refused(file.bytes, 63, 63, "ends in the ELF header, expected 64 bytes");
	check_refused(file.bytes, 64, 32, "run past the end");
	check_refused(file.bytes, 0x6507, BUILD_PHDR(1), "expected more than 0x6507 bytes of file");
	free(file.bytes);
}

static void bad_raw(void **state)
{
	static const char *const others[] = {
		"KDUMP   ", "DISKDUMP", "PAGEDU64", "QEVM", "EMiL", "\x1f\x8b", "\xfd\x37zXZ",
	};
	uint8_t bytes[8192] = {0};

	(void)state;
	check_refused(bytes, 1, 0, "raw memory of 1 bytes ends within a page");
	check_refused(bytes, 8191, 4096, "expected a multiple of 4096");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		memset(bytes, 0, 8);
		memcpy(bytes, others[i], strlen(others[i]));
		check_refused(bytes, sizeof(bytes), 0, "expected an ELF core or raw memory");
	}
	/* Told to be ELF, it must be. */
	assert_null(image_parse(bytes, sizeof(bytes), IMAGE_ELF, error, sizeof(error)));
	assert_non_null(strstr(error, "offset 0x0: expected the ELF magic number"));
}

static void check_not_opened(const char *path, const char *says)
{
	assert_null(image_open(path, IMAGE_AUTO, error, sizeof(error)));
	if (strncmp(error, path, strlen(path)) != 0 || !strstr(error, says))
		fail_msg("says: %s\nexpected: %s: ... %s", error, path, says);
}

static void bad_files(void **state)
{
	const char *path = write_file("", 0);

	(void)state;
	check_not_opened(path, "the file is empty");
	unlink(path);
	check_not_opened(path, "cannot open: No such file or directory");
	assert_int_equal(mkfifo(path, 0600), 0);
	check_not_opened(path, "a special file, expected a regular file");
	unlink(path);
	check_not_opened("/", "a directory, expected a regular file");
	check_not_opened("/dev/null", "a special file");
	check_not_opened("", "cannot open");
}

/** Errors fit into what there is, or nowhere. */
static void bad_error_buffers(void **state)
{
	char small[8];

	(void)state;
	assert_null(image_parse("abc", 3, IMAGE_AUTO, NULL, 0));
	assert_null(image_parse("abc", 3, IMAGE_AUTO, NULL, 10));
	memset(small, 'x', sizeof(small));
	assert_null(image_parse("abc", 3, IMAGE_AUTO, small, 0));
	assert_int_equal(small[0], 'x');
	for (size_t size = 1; size < sizeof(small); size++) {
		memset(small, 'x', sizeof(small));
		assert_null(image_parse("abc", 3, IMAGE_AUTO, small, size));
		assert_int_equal(strlen(small), size - 1);
		assert_int_equal(small[size], 'x');
	}
	assert_null(image_open("/nonexistent", IMAGE_AUTO, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_two_cpus),
		cmocka_unit_test(good_elf32),
		cmocka_unit_test(good_pdptes_in_a_hole),
		cmocka_unit_test(good_efer),
		cmocka_unit_test(good_state_sizes),
		cmocka_unit_test(good_other_notes),
		cmocka_unit_test(good_extended_count),
		cmocka_unit_test(good_trimmed),
		cmocka_unit_test(good_adjacent),
		cmocka_unit_test(good_highest_page),
		cmocka_unit_test(good_raw),
		cmocka_unit_test(good_at),
		cmocka_unit_test(good_views),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(bad_many_notes),
		cmocka_unit_test(bad_truncated),
		cmocka_unit_test(bad_raw),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(bad_error_buffers),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
