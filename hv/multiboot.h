/* SPDX-License-Identifier: MIT */
/*
 * multiboot.h - the Multiboot Specification 0.6.96, as far as it is used, on both sides:
 * by the loader that started us, and for the guest that we start.
 */
#ifndef HV_MULTIBOOT_H
#define HV_MULTIBOOT_H

#include <stdint.h>

#define MULTIBOOT_HEADER_MAGIC 0x1badb002u
#define MULTIBOOT_LOADER_MAGIC 0x2badb002u
#define MULTIBOOT_HEADER_SEARCH 8192u
/* Header flags below this must be understood. */
#define MULTIBOOT_HEADER_REQUIRED 0xffffu
#define MULTIBOOT_HEADER_ALIGN (1u << 0)
#define MULTIBOOT_HEADER_MEMORY (1u << 1)
#define MULTIBOOT_HEADER_ADDRESSES (1u << 16)

#define MULTIBOOT_INFO_MEMORY (1u << 0)
#define MULTIBOOT_INFO_COMMAND_LINE (1u << 2)
#define MULTIBOOT_INFO_MODULES (1u << 3)
#define MULTIBOOT_INFO_MAP (1u << 6)
#define MULTIBOOT_INFO_LOADER (1u << 9)

struct multiboot_info {
	uint32_t flags;
	uint32_t memory_lower, memory_upper; /* KiB from 0 and from 1 MiB */
	uint32_t boot_device;
	uint32_t command_line;
	uint32_t module_count, modules;
	uint32_t symbols[4];
	uint32_t map_length, map;
	uint32_t drives[2];
	uint32_t config_table;
	uint32_t loader_name;
};
_Static_assert(sizeof(struct multiboot_info) == 68, "Multiboot 3.3");

struct multiboot_module {
	uint32_t start, end;
	uint32_t text;
	uint32_t reserved;
};

struct multiboot_map {
	uint32_t size; /* of the rest */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

#define MULTIBOOT_MAP_RAM 1u

#endif
