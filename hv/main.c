/* SPDX-License-Identifier: MIT */
/*
 * main.c - from the boot loader to the guest.
 *
 *	look at the CPU -> the loader's information -> options
 *	-> a block of memory for the hypervisor, and into it
 *	-> VM, slots, vCPU -> the guest's kernel -> vcpu_run()
 *
 * What the loader left in low memory is read before the move: afterwards it is the guest's.
 */
#include "hv/console.h"
#include "hv/guest.h"
#include "hv/multiboot.h"
#include "hv/options.h"
#include "hv/paging.h"
#include "hv/text.h"
#include "hv/trace.h"
#include "hv/traps.h"

/* The block: the program, its tables, and so much for the guest's tables: see docs/HV.md. */
#define BLOCK_BASE (8 * MEMORY_MIB)
#define BLOCK_SHARE 16 /* of the RAM */
#define BELOW_4G (1ull << 32)
/* The least that a guest can do something with. */
#define GUEST_LEAST (4 * MEMORY_MIB)

static struct cpu cpu;
static struct memory memory;
static struct options options;
static struct guest guest;
static struct vcpu vcpu;

_Noreturn void hv_main(uint32_t magic, uint64_t information);

static const char *text_at(uint32_t physical)
{
	return paging_pointer(physical);
}

/* GRUB 2 gives kernel and modules what follows their names; GRUB before it, QEMU and others
 * the whole line. */
static void take_loader(const struct multiboot_info *info)
{
	static const char grub[] = "GRUB 2";
	const char *name = info->flags & MULTIBOOT_INFO_LOADER && info->loader_name
				   ? text_at(info->loader_name)
				   : "";
	size_t length = text_length(name);

	if (length >= GUEST_LOADER_MAX)
		length = GUEST_LOADER_MAX - 1;
	text_copy(guest.loader, name, length);
	guest.named = length < sizeof(grub) - 1;
	for (size_t i = 0; !guest.named && i < sizeof(grub) - 1; i++)
		guest.named = name[i] != grub[i];
}

static void take_map(const struct multiboot_info *info)
{
	if (!(info->flags & MULTIBOOT_INFO_MAP))
		console_stop(CONSOLE_CANNOT_START, "the boot loader gave no memory map");
	for (uint32_t at = 0; at + sizeof(struct multiboot_map) <= info->map_length;) {
		const struct multiboot_map *map = paging_pointer(info->map + at);

		if (!memory_add(&memory, map->base, map->length, map->type))
			console_stop(CONSOLE_CANNOT_START, "more than %u ranges of memory",
				     MEMORY_REGIONS_MAX);
		at += map->size + (uint32_t)sizeof(map->size);
	}
}

static void take_modules(const struct multiboot_info *info)
{
	const struct multiboot_module *module = paging_pointer(info->modules);

	if (!(info->flags & MULTIBOOT_INFO_MODULES) || !info->module_count)
		console_stop(CONSOLE_CANNOT_START,
			     "no guest: give its kernel as a module (QEMU: -initrd FILE)");
	if (info->module_count > GUEST_MODULES_MAX)
		console_stop(CONSOLE_CANNOT_START, "%u modules, at most %u are taken",
			     info->module_count, GUEST_MODULES_MAX);
	for (unsigned i = 0; i < info->module_count; i++) {
		struct guest_module *m = &guest.module[i];
		const char *text = module[i].text ? text_at(module[i].text) : "";

		m->start = module[i].start;
		m->end = module[i].end;
		if (m->end < m->start || text_length(text) >= GUEST_TEXT_MAX)
			console_stop(CONSOLE_CANNOT_START, "module %u: bad size or too long a text",
				     i);
		text_copy(m->text, text, text_length(text) + 1);
	}
	guest.module_count = info->module_count;
}

static void check_cpu(void)
{
	if (!cpu.svm)
		console_stop(CONSOLE_CANNOT_START, "this CPU has no SVM");
	if (cpu.svm_disabled)
		console_stop(CONSOLE_CANNOT_START, "SVM is disabled by the firmware");
	if (!cpu.npt && !options.shadow)
		console_stop(CONSOLE_CANNOT_START, "this CPU has no nested paging: try mmu=shadow");
	if (cpu.asids < 2)
		console_stop(CONSOLE_CANNOT_START, "this CPU has %u ASIDs, 2 are needed",
			     cpu.asids);
	if (cpu.processors > 1)
		console_stop(CONSOLE_CANNOT_START,
			     "this machine has %u CPUs, and the guest could start them: "
			     "only one is supported",
			     cpu.processors);
}

static uint64_t end_of_loaded(void)
{
	uint64_t end = MEMORY_MIB + paging_image_bytes();

	for (unsigned i = 0; i < guest.module_count; i++)
		if (guest.module[i].end > end)
			end = guest.module[i].end;
	return end;
}

/* Take a block of memory, move there, and leave the rest to the port. */
static void settle(void)
{
	uint64_t ram = memory_ram_bytes(&memory), top = BELOW_4G, tables, heap;
	uint64_t size = BLOCK_BASE + ram / BLOCK_SHARE;

	for (unsigned i = 0; i < memory.region_count; i++)
		if (memory.region[i].type == MULTIBOOT_MAP_RAM && memory.region[i].end > top)
			top = memory.region[i].end;
	size = (size + 2 * MEMORY_MIB - 1) & ~(2 * MEMORY_MIB - 1);
	memory_limit(&memory, paging_reach());
	if (!memory_choose(&memory, size, end_of_loaded()))
		console_stop(CONSOLE_CANNOT_START,
			     "too little memory: %llu MiB for the hypervisor are not free",
			     (unsigned long long)(size / MEMORY_MIB));
	if (options.memory)
		memory_limit(&memory, options.memory);
	if (memory_run(&memory, MEMORY_MIB) < GUEST_LEAST)
		console_stop(CONSOLE_CANNOT_START, "too little memory: %llu KiB for the guest",
			     (unsigned long long)(memory_run(&memory, MEMORY_MIB) / 1024));
	tables = memory.own_start + MEMORY_MIB + paging_image_bytes();
	heap = tables + paging_table_bytes(top);
	paging_move(memory.own_start, tables, top);
	port_init(&vcpu.port, &memory, heap, memory.own_end);
}

static void make_vm(void)
{
	const struct umbra_vm_config config = {
		.host = &vcpu.port,
		.cpu = cpu.mmu,
		.paging = options.shadow ? UMBRA_PAGING_SHADOW : UMBRA_PAGING_NPT,
		.levels = options.shadow ? 0 : (uint8_t)paging_levels(),
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = options.page_level,
		/* The reserve of the vCPU comes on top. */
		.page_limit = vcpu.port.page_count - vcpu.port.page_count / 8,
		.trace = options.trace != TRACE_OFF,
	};
	enum umbra_status status = umbra_vm_create(&config, &vcpu.vm);

	if (!status) {
		cpuid_show(&vcpu);
		status = umbra_vcpu_create(vcpu.vm, &vcpu.shown, &vcpu.mmu);
	}
	if (status)
		console_stop(CONSOLE_CANNOT_START, "cannot make the VM: %s",
			     umbra_strstatus(status));
}

static _Noreturn void start(void)
{
	const struct umbra_regs regs = {.cr0 = UMBRA_CR0_PE | 1u << 4};

	vcpu_init(&vcpu);
	guest_stage(&guest, &memory);
	guest_load(&guest, &vcpu);
	devices_add_ram(&vcpu, 0);
	cr_set(&vcpu, &regs);
	if (options.prefault)
		fault_prefault(&vcpu);
	console_say("%u-level host, mmu=%s, guest memory %llu MiB, own %llx-%llx", paging_levels(),
		    options.shadow ? "shadow" : "tdp",
		    (unsigned long long)(memory_run(&memory, MEMORY_MIB) / MEMORY_MIB),
		    (unsigned long long)memory.own_start, (unsigned long long)memory.own_end);
	vcpu_run(&vcpu);
}

void hv_main(uint32_t magic, uint64_t information)
{
	const struct multiboot_info *info = paging_pointer(information);

	traps_init();
	if (magic != MULTIBOOT_LOADER_MAGIC)
		console_stop(CONSOLE_CANNOT_START, "not started by a multiboot 1 boot loader");
	cpu_detect(&cpu);
	take_loader(info);
	options_parse(&options,
		      info->flags & MULTIBOOT_INFO_COMMAND_LINE ? text_at(info->command_line) : "",
		      guest.named);
	check_cpu();
	take_map(info);
	take_modules(info);
	settle();
	vcpu.cpu = &cpu;
	vcpu.memory = &memory;
	vcpu.options = &options;
	trace_begin(&vcpu);
	make_vm();
	start();
}
