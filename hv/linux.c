/* SPDX-License-Identifier: MIT */
/*
 * linux.c - start a Linux bzImage by its 32-bit entry (Documentation/arch/x86/boot.rst).
 *
 *	90000h   boot parameters, the "zero page": the file's setup header, memory map
 *	91000h   descriptor table, command line
 *	1 MiB    the protected-mode part of the file, which unpacks itself to where it likes
 *	top      the initial RAM disk, where it was staged
 *
 * Real-mode code of the file is not run: what it would ask the BIOS is the memory map.
 */
#include "hv/console.h"
#include "hv/guest.h"
#include "hv/paging.h"
#include "hv/text.h"

#define PARAMETERS 0x90000u
#define SEGMENTS 0x91000u
#define COMMAND_LINE 0x91100u
#define COMMAND_LINE_END 0x9f000u
#define LOAD_AT 0x100000u

/* Offsets, the same in the file and in the zero page. */
#define SETUP_HEADER 0x1f1u
#define SETUP_JUMP 0x201u /* its low byte: how long the header is behind 202h */
#define SETUP_HEADER_MAX 0x90u
#define MAP_MAX 128u

struct setup_header {
	uint8_t setup_sectors;
	uint16_t root_flags;
	uint32_t system_size;
	uint16_t ram_size, video_mode, root_device, boot_flag;
	uint16_t jump;
	uint32_t magic; /* 202h */
	uint16_t version;
	uint32_t realmode_switch;
	uint16_t start_system, kernel_version;
	uint8_t loader, load_flags;
	uint16_t setup_move_size;
	uint32_t code32_start, ramdisk, ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end;
	uint8_t loader_extended_version, loader_extended_type;
	uint32_t command_line, ramdisk_max;
	uint32_t alignment;
	uint8_t relocatable, minimal_alignment;
	uint16_t extended_load_flags;
	uint32_t command_line_size;
} __attribute__((packed));
_Static_assert(offsetof(struct setup_header, magic) == 0x202 - SETUP_HEADER, "boot.rst");
_Static_assert(offsetof(struct setup_header, code32_start) == 0x214 - SETUP_HEADER, "boot.rst");
_Static_assert(offsetof(struct setup_header, command_line) == 0x228 - SETUP_HEADER, "boot.rst");
_Static_assert(offsetof(struct setup_header, command_line_size) == 0x238 - SETUP_HEADER,
	       "boot.rst");

#define HDRS 0x53726448u
#define BOOT_FLAG 0xaa55u
#define VERSION_LEAST 0x206u /* command_line_size */
#define LOADED_HIGH 1u
#define LOADER_UNKNOWN 0xffu

struct map_entry {
	uint64_t start, bytes;
	uint32_t type;
} __attribute__((packed));

struct parameters {
	uint8_t before_count[0x1e8];
	uint8_t map_count;
	uint8_t before_header[SETUP_HEADER - 0x1e9];
	uint8_t header[0x2d0 - SETUP_HEADER];
	struct map_entry map[MAP_MAX];
	uint8_t rest[4096 - 0x2d0 - MAP_MAX * sizeof(struct map_entry)];
} __attribute__((packed));
_Static_assert(sizeof(struct parameters) == 4096, "the zero page is a page");

static _Noreturn void bad(const struct guest *guest, const char *what)
{
	console_stop(CONSOLE_CANNOT_START, "module 0 ('%s'): %s", guest->module[0].text, what);
}

/* The words behind the kernel's name. */
static const char *words(const struct guest *guest)
{
	const char *text = guest->module[0].text;

	if (!guest->named)
		return text;
	while (*text && *text != ' ')
		text++;
	return *text ? text + 1 : text;
}

static void put_command_line(const struct guest *guest, struct setup_header *header)
{
	const char *line = words(guest);
	size_t bytes = text_length(line) + 1;

	if (bytes > header->command_line_size || bytes > COMMAND_LINE_END - COMMAND_LINE)
		bad(guest, "its command line is too long");
	text_copy(paging_pointer(COMMAND_LINE), line, bytes);
	header->command_line = COMMAND_LINE;
}

static void put_map(struct vcpu *vcpu, struct parameters *parameters)
{
	struct memory_region region[MEMORY_REGIONS_MAX + 2];
	unsigned count = memory_guest_map(vcpu->memory, region);

	for (unsigned i = 0; i < count; i++)
		parameters->map[i] = (struct map_entry){
			.start = region[i].start,
			.bytes = region[i].end - region[i].start,
			.type = region[i].type,
		};
	parameters->map_count = (uint8_t)count;
}

static void put_ramdisk(const struct guest *guest, struct setup_header *header)
{
	const struct guest_module *disk = &guest->module[1];

	if (guest->module_count > 2)
		bad(guest, "Linux takes one module more, its initial RAM disk");
	if (guest->module_count < 2)
		return;
	if (disk->end - 1 > header->ramdisk_max)
		bad(guest, "its initial RAM disk would lie higher than it can be");
	header->ramdisk = (uint32_t)disk->start;
	header->ramdisk_size = (uint32_t)(disk->end - disk->start);
}

/* Protected mode without paging, flat segments: 10h code, 18h data. */
static void set_registers(struct vcpu *vcpu)
{
	static const uint64_t segments[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
	struct vmcb *v = vcpu->vmcb;

	text_copy(paging_pointer(SEGMENTS), segments, sizeof(segments));
	v->gdtr.base = SEGMENTS;
	v->gdtr.limit = sizeof(segments) - 1;
	v->cs.selector = 0x10;
	v->ds.selector = v->es.selector = v->ss.selector = 0x18;
	v->rip = LOAD_AT;
	vcpu->gprs.r[6] = PARAMETERS;
}

bool linux_load(struct guest *guest, struct vcpu *vcpu)
{
	const struct guest_module *kernel = &guest->module[0];
	const uint8_t *file = paging_pointer(kernel->start);
	uint64_t bytes = kernel->end - kernel->start, offset, size;
	const struct setup_header *found = (const void *)(file + SETUP_HEADER);
	struct parameters *parameters = paging_pointer(PARAMETERS);
	struct setup_header *header = (void *)parameters->header;
	unsigned header_bytes;

	if (bytes < 1024 || found->magic != HDRS || found->boot_flag != BOOT_FLAG)
		return false;
	if (found->version < VERSION_LEAST || !(found->load_flags & LOADED_HIGH))
		bad(guest, "a Linux kernel too old, or no bzImage");
	offset = ((found->setup_sectors ? found->setup_sectors : 4) + 1) * 512ull;
	size = found->system_size * 16ull;
	if (offset >= bytes || size > bytes - offset)
		bad(guest, "truncated: less than its header says");
	if (!memory_is_ram(vcpu->memory, LOAD_AT, LOAD_AT + size) || LOAD_AT + size > kernel->start)
		bad(guest, "too little memory: the kernel reaches into the top, where the file is");
	text_zero(parameters, sizeof(*parameters));
	header_bytes = 0x202u + (found->jump >> 8) - SETUP_HEADER;
	if (header_bytes > SETUP_HEADER_MAX)
		header_bytes = SETUP_HEADER_MAX;
	text_copy(header, found, header_bytes);
	header->loader = LOADER_UNKNOWN;
	header->code32_start = LOAD_AT;
	put_command_line(guest, header);
	put_ramdisk(guest, header);
	put_map(vcpu, parameters);
	text_copy(paging_pointer(LOAD_AT), file + offset, size);
	set_registers(vcpu);
	return true;
}
