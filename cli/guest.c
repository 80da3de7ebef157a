/* SPDX-License-Identifier: MIT */
/*
 * guest.c - see guest.h.
 *
 * Addresses are looked up in the image as the image library maps it: read-only,
 * lazily. The walker is told that nothing may be written (every call here uses
 * WALK_NO_AD as well).
 *
 * PDPTE registers: QEMU's TCG sets bit 5 of PDPTEs in memory, as if they had an
 * Accessed bit. It is reserved there, and hardware would refuse to load them, so
 * it is dropped from the registers.
 */
#include "cli/guest.h"

#include <inttypes.h>
#include <string.h>

#define ERROR_SIZE 512
#define PDPTE_EMULATOR_BITS (1u << 5)

static bool find(struct memory *memory, uint64_t address)
{
	const struct guest *guest = memory->context;
	unsigned count = image_range_count(guest->image);

	for (unsigned i = 0; i < count; i++) {
		const struct image_range *range = image_range(guest->image, i);
		const void *bytes;

		if (address - range->base.v >= range->size)
			continue;
		bytes = image_at(guest->image, range->base, range->size);
		if (!bytes)
			return false;
		memory->base = range->base.v;
		memory->size = range->size;
		memory->bytes = (uint8_t *)(uintptr_t)bytes;
		memory->writable = false;
		return true;
	}
	return false;
}

static enum cli_status check_root(struct guest *guest, const char *command)
{
	const struct mode *mode = &guest->mode;
	uint64_t root = guest->space.root & mode->root_address;
	bool found = false;

	if (!guest->paged)
		return CLI_OK;
	if (!mode->root_registers)
		found = image_at(guest->image, (umbra_gpa){root}, 1);
	for (unsigned i = 0; mode->root_registers && i < 4; i++) {
		uint64_t pdpte = guest->is.regs.pdpte[i];

		if (pdpte & 1)
			found |= image_at(guest->image,
					  (umbra_gpa){pdpte & mode->level[mode->top].table_address},
					  1) != NULL;
	}
	if (found)
		return CLI_OK;
	return cli_error(CLI_BADINPUT,
			 "%s: %s: CR3 0x%" PRIx64 " points outside the image, expected the "
			 "address of a table in one of its ranges (see --cr3)",
			 command, image_path(guest->image), guest->is.regs.cr3);
}

enum cli_status guest_open(struct guest *guest, const char *command, const char *path,
			   const struct regs_options *options)
{
	char error[ERROR_SIZE];
	const struct format *format;
	enum cli_status status;
	uint32_t flags;

	*guest = (struct guest){0};
	guest->image = image_open(path, (enum image_format)options->format, error, sizeof(error));
	if (!guest->image)
		return cli_error(CLI_BADINPUT, "%s: %s", command, error);
	status = regs_resolve(options, command, guest->image, &guest->is);
	if (status != CLI_OK) {
		image_close(guest->image);
		return status;
	}
	format = mode_of_regs(&guest->is.regs, &guest->is.cpu, &flags);
	guest->paged = format;
	if (format)
		mode_bind(&guest->mode, format, flags, guest->is.cpu.maxphyaddr);
	for (unsigned i = 0; i < 4; i++)
		guest->is.regs.pdpte[i] &= ~(uint64_t)PDPTE_EMULATOR_BITS;
	guest->memory = (struct memory){.find = find, .context = guest};
	guest->space = (struct space){
		.mode = format ? &guest->mode : NULL,
		.root = guest->is.regs.cr3,
		.pdpte = guest->is.regs.pdpte,
		.pkru = guest->is.regs.pkru,
		.pkrs = guest->is.regs.pkrs,
		.memory = &guest->memory,
	};
	status = check_root(guest, command);
	if (status != CLI_OK)
		guest_close(guest);
	return status;
}

void guest_close(struct guest *guest)
{
	image_close(guest->image);
	guest->image = NULL;
}

const void *guest_at(void *context, umbra_gpa gpa, size_t size)
{
	const struct guest *guest = context;

	return image_at(guest->image, gpa, size);
}

const char *guest_mode_name(const struct guest *guest)
{
	if (!guest->paged)
		return "no paging";
	switch (guest->mode.top) {
	case 2: return "32-bit";
	case 3: return "PAE";
	case 4: return "4-level";
	default: return "5-level";
	}
}

const char *guest_level_name(unsigned level)
{
	static const char *const names[UMBRA_LEVEL_MAX + 1] = {
		[1] = "PTE", [2] = "PDE", [3] = "PDPTE", [4] = "PML4E", [5] = "PML5E",
	};

	return level <= UMBRA_LEVEL_MAX && names[level] ? names[level] : "?";
}

const char *guest_size_name(unsigned shift)
{
	switch (shift) {
	case 12: return "4K";
	case 21: return "2M";
	case 22: return "4M";
	case 30: return "1G";
	default: return "?";
	}
}

const char *guest_rights(unsigned acc, char *to)
{
	to[0] = acc & ACC_READ ? 'r' : '-';
	to[1] = acc & ACC_WRITE ? 'w' : '-';
	to[2] = acc & ACC_EXEC ? 'x' : '-';
	to[3] = acc & ACC_USER ? 'u' : 's';
	to[4] = 0;
	return to;
}
