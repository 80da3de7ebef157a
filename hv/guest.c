/* SPDX-License-Identifier: MIT */
/*
 * guest.c - from the boot loader's modules to a guest that can be entered.
 *
 *	loaded by QEMU or GRUB:   | umbra-hv | kernel | initrd | ...
 *	staged:                                        ... | kernel | initrd | own block
 *	started:                  | kernel's segments | its modules | ...
 */
#include "hv/guest.h"
#include "hv/console.h"
#include "hv/paging.h"
#include "hv/text.h"

#define PAGE 4096ull

void guest_stage(struct guest *guest, const struct memory *memory)
{
	uint64_t top = MEMORY_MIB + memory_run(memory, MEMORY_MIB);

	for (unsigned i = guest->module_count; i-- > 0;) {
		struct guest_module *module = &guest->module[i];
		uint64_t bytes = module->end - module->start;
		uint64_t to;

		if (bytes + MEMORY_MIB + 2 * PAGE > top)
			console_stop(CONSOLE_CANNOT_START,
				     "too little memory: module %u has %llu bytes, the guest %llu",
				     i, (unsigned long long)bytes,
				     (unsigned long long)(top - MEMORY_MIB));
		to = (top - bytes) & ~(PAGE - 1);
		text_copy(paging_pointer(to), paging_pointer(module->start), bytes);
		module->start = to;
		module->end = to + bytes;
		top = to;
	}
}

void guest_load(struct guest *guest, struct vcpu *vcpu)
{
	if (!linux_load(guest, vcpu) && !multiboot_load(guest, vcpu))
		console_stop(CONSOLE_CANNOT_START,
			     "module 0 ('%s') is no kernel: no multiboot 1 header, not Linux",
			     guest->module[0].text);
}
