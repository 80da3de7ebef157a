/* SPDX-License-Identifier: MIT */
/*
 * words.c - says what the boot loader told it: the same under every loader, whether the loader
 * started it or the hypervisor.
 */
#include "hv/guests/guest.h"
#include "hv/multiboot.h"

static const char *text(uint32_t address)
{
	return address ? (const char *)(uintptr_t)address : "(none)";
}

/* Sum of the bytes: that the module is whole. */
static uint32_t sum(const struct multiboot_module *module)
{
	uint32_t all = 0;

	for (const uint8_t *at = (const uint8_t *)(uintptr_t)module->start;
	     at < (const uint8_t *)(uintptr_t)module->end; at++)
		all += *at;
	return all;
}

int guest_main(uint32_t magic, uint32_t information)
{
	const struct multiboot_info *info = (const void *)(uintptr_t)information;
	const struct multiboot_module *module = (const void *)(uintptr_t)info->modules;
	const uint32_t wanted =
		MULTIBOOT_INFO_COMMAND_LINE | MULTIBOOT_INFO_MODULES | MULTIBOOT_INFO_LOADER;

	if (magic != MULTIBOOT_LOADER_MAGIC || wanted & ~info->flags) {
		guest_print("words: magic %x, flags %x\n", magic, info->flags);
		return 1;
	}
	guest_print("words: loader '%s'\n", text(info->loader_name));
	guest_print("words: '%s'\n", text(info->command_line));
	for (unsigned i = 0; i < info->module_count; i++)
		guest_print("words: module of %u bytes, sum %u, page %s, '%s'\n",
			    module[i].end - module[i].start, sum(&module[i]),
			    module[i].start & 0xfff ? "no" : "yes", text(module[i].text));
	return 0;
}
