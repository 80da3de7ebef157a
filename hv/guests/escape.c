/* SPDX-License-Identifier: MIT */
/*
 * escape.c - attempts to get out, or to get at the hypervisor's memory.
 *
 * The command line's last word says which (or several, with + between them); `own=ADDRESS`
 * before it where the hypervisor's memory is (a bare machine has RAM there). An attempt that
 * must end the guest prints "still here" when it has not; the others print what they met and
 * end with status 0.
 */
#include "hv/guests/probe.h"
#include "hv/multiboot.h"

#define P 0x1ull
#define W 0x2ull
#define U 0x4ull
#define PS 0x80ull
#define CR0_PE_ET 0x11u
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define EFER_LME (1u << 8)
#define EFER_SVME (1u << 12)
#define MSR_EFER 0xc0000080u
#define CODE 0x800000u /* where instructions are written to */
#define ALIAS 0x40000000u
#define HIGH (1ull << 32)
#define APIC_ICR 0xfee00300u
#define ICR_INIT (5u << 8)
#define ICR_ASSERT (1u << 14)
#define ICR_SELF (1u << 18)

static uint32_t own = 0x6e00000;
static uint64_t table[6][512] __attribute__((aligned(4096)));

static uint32_t at(const void *pointer)
{
	return (uint32_t)(uintptr_t)pointer;
}

/* ---- one instruction, without paging ---- */

static uint32_t execute(const uint8_t *bytes, unsigned count)
{
	struct probe probe = {.cr0 = CR0_PE_ET, .address = CODE, .kind = PROBE_EXECUTE};

	/* XOR EAX, EAX: a VMCB at 0, as good an address as any. */
	((volatile uint8_t *)CODE)[0] = 0x31;
	((volatile uint8_t *)CODE)[1] = 0xc0;
	for (unsigned i = 0; i < count; i++)
		((volatile uint8_t *)CODE)[2 + i] = bytes[i];
	((volatile uint8_t *)CODE)[2 + count] = 0xcd;
	((volatile uint8_t *)CODE)[3 + count] = 0x80;
	probe_run(&probe);
	return probe.vector;
}

static int attempt_svm(void)
{
	static const struct {
		const char *name;
		uint8_t bytes[3];
	} instructions[] = {
		{"VMRUN", {0x0f, 0x01, 0xd8}},  {"VMMCALL", {0x0f, 0x01, 0xd9}},
		{"VMLOAD", {0x0f, 0x01, 0xda}}, {"VMSAVE", {0x0f, 0x01, 0xdb}},
		{"STGI", {0x0f, 0x01, 0xdc}},   {"CLGI", {0x0f, 0x01, 0xdd}},
		{"SKINIT", {0x0f, 0x01, 0xde}}, {"INVLPGA", {0x0f, 0x01, 0xdf}},
	};
	static const uint8_t enable[] = {0xb9, 0x80, 0,    0, 0xc0, 0x0f, 0x32,
					 0x0d, 0,    0x10, 0, 0,    0x0f, 0x30};

	guest_print("EFER.SVME: vector %u\n", execute(enable, sizeof(enable)));
	for (unsigned i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
		uint32_t vector = execute(instructions[i].bytes, 3);

		guest_print("%s: vector %u\n", instructions[i].name, vector);
		if (vector != 6)
			return 1;
	}
	guest_print("CPUID: SVM %u, EFER %llx\n", guest_cpuid(0x80000001, 0).ecx >> 2 & 1,
		    guest_rdmsr(MSR_EFER));
	return guest_cpuid(0x80000001, 0).ecx >> 2 & 1;
}

/* Write to each register of @count from @first on what it is not; how many let that. */
static uint32_t flip(uint32_t first, uint32_t count)
{
	/* MOV ECX, msr; RDMSR; NOT EAX; NOT EDX; WRMSR */
	uint8_t code[] = {0xb9, 0, 0, 0, 0, 0x0f, 0x32, 0xf7, 0xd0, 0xf7, 0xd2, 0x0f, 0x30};
	uint32_t written = 0;

	for (uint32_t msr = first; msr < first + count; msr++) {
		for (unsigned i = 0; i < 4; i++)
			code[1 + i] = (uint8_t)(msr >> 8 * i);
		written += execute(code, sizeof(code)) == PROBE_DONE;
	}
	return written;
}

static int attempt_msrs(void)
{
	uint32_t low = flip(0, 0x2000), high = flip(0xc0000000, 0x2000);
	uint32_t system = flip(0xc0010000, 0x2000), others = flip(0x40000000, 0x100);

	guest_print("msrs: %s %s %s, %u others\n", low ? "some" : "none", high ? "some" : "none",
		    system ? "some" : "none", others);
	guest_print("EFER %llx, APIC base %llx\n", guest_rdmsr(MSR_EFER), guest_rdmsr(0x1b));
	return 0;
}

/* The A20 gate by each of its ways; the hypervisor's addresses would lose bit 20. */
static int attempt_a20(void)
{
	volatile uint32_t *low = (volatile uint32_t *)0x700000;
	volatile uint32_t *high = (volatile uint32_t *)0x600000;

	*low = 1;
	*high = 2;
	guest_out(0x92, 0);
	guest_cpuid(0, 0);
	guest_out(0x64, 0xd1);
	guest_out(0x60, 0xdd);
	guest_cpuid(0, 0);
	guest_out(0x64, 0xdd);
	guest_cpuid(0, 0);
	guest_out(0x64, 0xfd);
	guest_cpuid(0, 0);
	guest_print("a20: %u %u\n", *low, *high);
	return *low == 1 && *high == 2 ? 0 : 2;
}

static int attempt_triple(void)
{
	static const struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
	return 2;
}

/* An INIT to itself, by the local APIC: the CPU would begin again, without SVM. */
static int attempt_init(void)
{
	*(volatile uint32_t *)APIC_ICR = ICR_SELF | ICR_ASSERT | ICR_INIT;
	guest_cpuid(0, 0);
	guest_print("still here\n");
	return 1;
}

/* Many places where no memory is: each makes a slot, old ones are given up. */
static int attempt_devices(void)
{
	for (unsigned round = 0; round < 2; round++)
		for (uint32_t address = 0x20000000; address < 0xe0000000; address += 0x1000000)
			(void)*(volatile uint32_t *)address;
	guest_print("devices: done\n");
	return 0;
}

/* ---- the hypervisor's memory ---- */

static void forget(void)
{
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (unsigned j = 0; j < 512; j++)
			table[i][j] = 0;
}

/* 4- or 5-level tables: the kernel in place, @entry of @level at ALIAS. */
static uint32_t long_tables(uint64_t entry, unsigned level)
{
	forget();
	table[5][0] = at(table[0]) | P | W | U;
	table[0][0] = at(table[1]) | P | W | U;
	table[1][0] = at(table[2]) | P | W | U;
	for (unsigned i = 0; i < 8; i++)
		table[2][i] = i * 0x200000ull | P | W | PS;
	if (level == 3) {
		table[1][1] = entry;
	} else {
		table[1][1] = at(table[3]) | P | W | U;
		table[3][0] = level == 2 ? entry : at(table[4]) | P | W | U;
		table[4][0] = entry;
	}
	return at(table[0]);
}

static struct probe long_probe(uint64_t address)
{
	return (struct probe){
		.cr0 = CR0_PE_ET | CR0_PG,
		.cr3 = at(table[0]),
		.cr4 = CR4_PAE,
		.efer = EFER_LME,
		.address = address,
	};
}

static int reach(struct probe *probe)
{
	probe_run(probe);
	guest_print("still here: vector %u code %x\n", probe->vector, probe->code);
	return 1;
}

static int attempt_read(void)
{
	struct probe probe = {.cr0 = CR0_PE_ET, .address = own};

	return reach(&probe);
}

static int attempt_write(void)
{
	struct probe probe = {.cr0 = CR0_PE_ET, .address = own + 0x123000, .kind = PROBE_WRITE};

	return reach(&probe);
}

static int attempt_execute(void)
{
	struct probe probe = {.cr0 = CR0_PE_ET, .address = own, .kind = PROBE_EXECUTE};

	return reach(&probe);
}

static int attempt_4k(void)
{
	struct probe probe = long_probe(ALIAS);

	long_tables(own | P | W, 1);
	return reach(&probe);
}

static int attempt_2m(void)
{
	struct probe probe = long_probe(ALIAS + 0x123456);

	long_tables(own | P | W | PS, 2);
	return reach(&probe);
}

/* A page of 1 GiB around it: memory of the guest's first, then the hypervisor's. */
static int attempt_1g(void)
{
	struct probe probe = long_probe(ALIAS + CODE);

	long_tables(0 | P | W | PS, 3);
	probe_run(&probe);
	guest_print("beside it: vector %u\n", probe.vector);
	probe.address = ALIAS + own;
	return reach(&probe);
}

/* Tables in its memory: the walk itself reads it. */
static int attempt_tables(void)
{
	struct probe probe = long_probe(ALIAS);

	long_tables(own | P | W | U, 2); /* an entry that leads to a table there */
	return reach(&probe);
}

static int attempt_cr3(void)
{
	struct probe probe = long_probe(ALIAS);

	probe.cr3 = own;
	return reach(&probe);
}

/* PAE tables: the kernel in place, @entry of level 2 at ALIAS. */
static struct probe pae_probe(uint64_t entry)
{
	forget();
	table[0][0] = at(table[1]) | P;
	table[0][1] = at(table[2]) | P;
	for (unsigned i = 0; i < 8; i++)
		table[1][i] = i * 0x200000ull | P | W | PS;
	table[2][0] = entry;
	return (struct probe){
		.cr0 = CR0_PE_ET | CR0_PG,
		.cr3 = at(table[0]),
		.cr4 = CR4_PAE,
		.address = ALIAS,
	};
}

static int attempt_pae(void)
{
	struct probe probe = pae_probe((own & ~0x1fffffu) | P | W | PS);

	probe.address += own & 0x1fffff;
	return reach(&probe);
}

/*
 * Guest-physical addresses from 4 GiB on, which a PAE host's NPT does not translate: does the
 * access go to the address less 4 GiB (docs/PAE-NPT.md)? First where the page there is mapped
 * already, then where it is not, then where the hypervisor is.
 */
static int attempt_high(void)
{
	static const uint32_t low[] = {CODE, 0xa00000, 0xc00000};
	struct probe probe;

	for (unsigned i = 0; i < 3; i++) {
		volatile uint32_t *word = (volatile uint32_t *)low[i];

		if (i != 1)
			*word = 0x11111111;
		probe = pae_probe(HIGH | low[i] | P | W | PS);
		probe.kind = i == 2 ? PROBE_EXECUTE : PROBE_WRITE;
		probe_run(&probe);
		guest_print("high: %llx: vector %x code %x, below it %x\n", HIGH | low[i],
			    probe.vector, probe.code, *word);
	}
	probe = pae_probe(HIGH | (own & ~0x1fffffu) | P | W | PS);
	return reach(&probe);
}

/* First a page of the guest's, touched; then the entry changes, nothing is flushed. */
static int attempt_stale(void)
{
	struct probe probe = long_probe(ALIAS);

	for (unsigned i = 0; i < 3; i++) {
		long_tables(CODE | P | W, 1);
		probe_run(&probe);
		table[4][0] = own | P | W;
	}
	guest_print("stale: vector %u\n", probe.vector);
	return reach(&probe);
}

/* Address bits that the CPU does not have: #PF with RSVD, not an alias. */
static int attempt_reserved(void)
{
	uint32_t width = guest_cpuid(0x80000008, 0).eax & 0xff;
	struct probe probe = long_probe(ALIAS);

	for (uint32_t bit = width; bit < 52; bit++) {
		long_tables((1ull << bit) | own | P | W, 1);
		probe_run(&probe);
		if (probe.vector != 14 || !(probe.code & 8))
			return reach(&probe);
	}
	guest_print("reserved: all refused\n");
	return 0;
}

/* The same root with four and five levels in turn; then five lead to its memory. */
static int attempt_la57(void)
{
	struct probe probe = long_probe(ALIAS);

	if (!(guest_cpuid(7, 0).ecx >> 16 & 1)) {
		guest_print("no LA57\n");
		return 1;
	}
	for (unsigned i = 0; i < 6; i++) {
		long_tables(CODE | P | W, 1);
		table[0][511] = at(table[0]) | P | W; /* used as level 5 it leads to itself */
		probe.cr4 = CR4_PAE | (i & 1 ? CR4_LA57 : 0);
		probe.cr3 = i & 1 ? at(table[5]) : at(table[0]);
		probe_run(&probe);
	}
	guest_print("la57: vector %u\n", probe.vector);
	table[4][0] = own | P | W;
	return reach(&probe);
}

static const struct {
	const char *name;
	int (*attempt)(void);
} attempts[] = {
	{"svm", attempt_svm},       {"msrs", attempt_msrs},       {"a20", attempt_a20},
	{"triple", attempt_triple}, {"devices", attempt_devices}, {"read", attempt_read},
	{"write", attempt_write},   {"execute", attempt_execute}, {"4k", attempt_4k},
	{"2m", attempt_2m},         {"1g", attempt_1g},           {"tables", attempt_tables},
	{"cr3", attempt_cr3},       {"stale", attempt_stale},     {"reserved", attempt_reserved},
	{"pae", attempt_pae},       {"high", attempt_high},       {"la57", attempt_la57},
	{"init", attempt_init},
};

/* Does @list, words with + between them, begin with @word? */
static bool begins(const char *list, const char *word)
{
	for (; *word && *list == *word; list++, word++)
		;
	return !*word && (!*list || *list == '+');
}

static uint32_t hex(const char *text)
{
	uint32_t value = 0;

	for (; *text && *text != ' '; text++)
		value = value * 16 + (uint32_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
	return value;
}

static int try_all(const char *list)
{
	int status = 3;

	for (unsigned i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		if (!begins(list, attempts[i].name))
			continue;
		guest_print("escape: %s\n", attempts[i].name);
		status = attempts[i].attempt();
		while (*list && *list != '+')
			list++;
		if (!*list || status)
			return status;
		list++;
		i = -1u; /* the next word */
	}
	guest_print("escape: '%s' is no attempt\n", list);
	return status;
}

int guest_main(uint32_t magic, uint32_t information)
{
	const struct multiboot_info *info = (const void *)(uintptr_t)information;
	const char *line = (const char *)(uintptr_t)info->command_line, *word = line;

	(void)magic;
	probe_init();
	for (; *line; line++) {
		if (*line == ' ')
			word = line + 1;
		if (line[0] == 'o' && line[1] == 'w' && line[2] == 'n' && line[3] == '=')
			own = hex(line + 4);
	}
	return try_all(word);
}
