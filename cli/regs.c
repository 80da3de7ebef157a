/* SPDX-License-Identifier: MIT */
/*
 * regs.c - see regs.h.
 *
 * Order of authority: the option, then the image's CPU, then a default. A raw
 * image has no CPU, so --cr3 is required there, and the rest defaults to a
 * 64-bit guest: CR0 pe,wp,pg; CR4 pae; EFER lme,lma,nxe. With a --cr4 that lacks
 * pae the default of EFER is 0.
 */
#include "cli/regs.h"

#include <stdio.h>
#include <string.h>

#define ERROR_SIZE 512

const struct args_symbol regs_cr0[] = {
	{"pe", UMBRA_CR0_PE}, {"wp", UMBRA_CR0_WP}, {"nw", UMBRA_CR0_NW},
	{"cd", UMBRA_CR0_CD}, {"pg", UMBRA_CR0_PG}, {NULL, 0},
};

const struct args_symbol regs_cr4[] = {
	{"pse", UMBRA_CR4_PSE},   {"pae", UMBRA_CR4_PAE},         {"pge", UMBRA_CR4_PGE},
	{"la57", UMBRA_CR4_LA57}, {"pcide", UMBRA_CR4_PCIDE},     {"smep", UMBRA_CR4_SMEP},
	{"smap", UMBRA_CR4_SMAP}, {"pke", UMBRA_CR4_PKE},         {"cet", UMBRA_CR4_CET},
	{"pks", UMBRA_CR4_PKS},   {"lam_sup", UMBRA_CR4_LAM_SUP}, {NULL, 0},
};

const struct args_symbol regs_efer[] = {
	{"lme", UMBRA_EFER_LME},
	{"lma", UMBRA_EFER_LMA},
	{"nxe", UMBRA_EFER_NXE},
	{NULL, 0},
};

const struct args_symbol regs_features[] = {
	{"pse", UMBRA_CPU_PSE},
	{"pae", UMBRA_CPU_PAE},
	{"pge", UMBRA_CPU_PGE},
	{"pat", UMBRA_CPU_PAT},
	{"pse36", UMBRA_CPU_PSE36},
	{"pcid", UMBRA_CPU_PCID},
	{"smep", UMBRA_CPU_SMEP},
	{"smap", UMBRA_CPU_SMAP},
	{"pku", UMBRA_CPU_PKU},
	{"pks", UMBRA_CPU_PKS},
	{"la57", UMBRA_CPU_LA57},
	{"shstk", UMBRA_CPU_SHSTK},
	{"nx", UMBRA_CPU_NX},
	{"1g", UMBRA_CPU_1G},
	{"lm", UMBRA_CPU_LM},
	{"lam", UMBRA_CPU_LAM},
	{"ept_execonly", UMBRA_CPU_EPT_EXECONLY},
	{"ept_level5", UMBRA_CPU_EPT_LEVEL5},
	{"ept_2m", UMBRA_CPU_EPT_2M},
	{"ept_1g", UMBRA_CPU_EPT_1G},
	{"ept_ad", UMBRA_CPU_EPT_AD},
	{"ept_advinfo", UMBRA_CPU_EPT_ADVINFO},
	{"ept_sss", UMBRA_CPU_EPT_SSS},
	{"mbec", UMBRA_CPU_MBEC},
	{"gmet", UMBRA_CPU_GMET},
	{"rogpt", UMBRA_CPU_ROGPT},
	{"pdpte_memory", UMBRA_CPU_PDPTE_MEMORY},
	{"bit8_mbz", UMBRA_CPU_BIT8_MBZ},
	{"rewalk", UMBRA_CPU_REWALK},
	{NULL, 0},
};

const struct args_symbol regs_vendors[] = {
	{"intel", UMBRA_VENDOR_INTEL},
	{"amd", UMBRA_VENDOR_AMD},
	{NULL, 0},
};

const struct args_symbol regs_formats[] = {
	{"auto", IMAGE_AUTO},
	{"elf", IMAGE_ELF},
	{"raw", IMAGE_RAW},
	{NULL, 0},
};

/* CR3 is an address and flags: numbers only. */
static const struct args_symbol no_symbols[] = {{NULL, 0}};

static const struct args_symbol *const symbols_of[REGS_COUNT] = {
	[REGS_CR0] = regs_cr0,
	[REGS_CR3] = no_symbols,
	[REGS_CR4] = regs_cr4,
	[REGS_EFER] = regs_efer,
};

/* ---- options ---- */

static bool check(enum regs_name name, void *context, const char *text, char *error, size_t size)
{
	struct regs_options *options = context;
	uint64_t ignored = 0;

	if (name == REGS_CR3 ? !args_number(text, &ignored, error, size)
			     : !args_symbols(text, symbols_of[name], &ignored, error, size))
		return false;
	options->text[name] = text;
	return true;
}

static bool set_cr0(void *context, const char *text, char *error, size_t size)
{
	return check(REGS_CR0, context, text, error, size);
}

static bool set_cr3(void *context, const char *text, char *error, size_t size)
{
	return check(REGS_CR3, context, text, error, size);
}

static bool set_cr4(void *context, const char *text, char *error, size_t size)
{
	return check(REGS_CR4, context, text, error, size);
}

static bool set_efer(void *context, const char *text, char *error, size_t size)
{
	return check(REGS_EFER, context, text, error, size);
}

void regs_options(struct regs_options *o, struct args_option args[REGS_OPTION_COUNT])
{
	const struct args_option list[REGS_OPTION_COUNT] = {
		{.name = "cr0",
		 .kind = ARGS_CALL,
		 .metavar = "BITS",
		 .help = "CR0: number, pe,wp,pg or +wp,-wp",
		 .call = set_cr0,
		 .context = o,
		 .single = true},
		{.name = "cr3",
		 .kind = ARGS_CALL,
		 .metavar = "N",
		 .help = "CR3",
		 .call = set_cr3,
		 .context = o,
		 .single = true},
		{.name = "cr4",
		 .kind = ARGS_CALL,
		 .metavar = "BITS",
		 .help = "CR4: number, pae,pge,smep or +smep,-pge",
		 .call = set_cr4,
		 .context = o,
		 .single = true},
		{.name = "efer",
		 .kind = ARGS_CALL,
		 .metavar = "BITS",
		 .help = "EFER: number, lme,nxe or +nxe",
		 .call = set_efer,
		 .context = o,
		 .single = true},
		{.name = "pkru",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "PKRU",
		 .max = UINT32_MAX,
		 .number = &o->pkru,
		 .given = &o->pkru_given},
		{.name = "maxphyaddr",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "physical address bits, 32..52",
		 .min = 32,
		 .max = 52,
		 .number = &o->maxphyaddr,
		 .given = &o->maxphyaddr_given},
		{.name = "vendor",
		 .kind = ARGS_CHOICE,
		 .metavar = "NAME",
		 .help = "intel or amd",
		 .symbols = regs_vendors,
		 .number = &o->vendor,
		 .given = &o->vendor_given},
		{.name = "format",
		 .kind = ARGS_CHOICE,
		 .metavar = "NAME",
		 .help = "of the image: auto, elf or raw",
		 .symbols = regs_formats,
		 .number = &o->format},
		{.name = "cpu",
		 .kind = ARGS_NUMBER,
		 .metavar = "N",
		 .help = "which CPU of the image, from 0",
		 .number = &o->cpu,
		 .given = &o->cpu_given},
	};

	memcpy(args, list, sizeof(list));
}

/* ---- resolution ---- */

struct umbra_cpu regs_cpu(enum umbra_vendor vendor, unsigned maxphyaddr)
{
	const uint32_t both = UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT |
			      UMBRA_CPU_PSE36 | UMBRA_CPU_PCID | UMBRA_CPU_SMEP | UMBRA_CPU_SMAP |
			      UMBRA_CPU_PKU | UMBRA_CPU_LA57 | UMBRA_CPU_SHSTK | UMBRA_CPU_NX |
			      UMBRA_CPU_1G | UMBRA_CPU_LM;
	const uint32_t intel = UMBRA_CPU_PKS | UMBRA_CPU_LAM | UMBRA_CPU_EPT_EXECONLY |
			       UMBRA_CPU_EPT_LEVEL5 | UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G |
			       UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_ADVINFO | UMBRA_CPU_EPT_SSS |
			       UMBRA_CPU_MBEC;
	const uint32_t amd = UMBRA_CPU_GMET | UMBRA_CPU_ROGPT | UMBRA_CPU_PDPTE_MEMORY |
			     UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK;
	bool is_amd = vendor == UMBRA_VENDOR_AMD;

	return (struct umbra_cpu){
		.vendor = vendor,
		.maxphyaddr = (uint8_t)(maxphyaddr ? maxphyaddr
					: is_amd   ? 48
						   : 46),
		.features = both | (is_amd ? amd : intel),
	};
}

static void default_registers(const struct regs_options *o, struct regs_guest *guest)
{
	uint64_t cr4 = UMBRA_CR4_PAE;
	char ignored[ERROR_SIZE];

	*guest = (struct regs_guest){.long_code = true};
	guest->regs.cr0 = UMBRA_CR0_PE | UMBRA_CR0_WP | UMBRA_CR0_PG;
	guest->regs.cr4 = cr4;
	if (o->text[REGS_CR4])
		args_symbols(o->text[REGS_CR4], regs_cr4, &cr4, ignored, sizeof(ignored));
	if (cr4 & UMBRA_CR4_PAE)
		guest->regs.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE;
}

static bool override(const struct regs_options *o, enum regs_name name, uint64_t *value)
{
	char ignored[ERROR_SIZE];

	if (!o->text[name])
		return false;
	if (name == REGS_CR3)
		return args_number(o->text[name], value, ignored, sizeof(ignored));
	return args_symbols(o->text[name], symbols_of[name], value, ignored, sizeof(ignored));
}

/* H-20: four entries at CR3 & ~0x1f. */
static void load_pdptes(const struct image *image, struct umbra_regs *regs)
{
	umbra_gpa at = {regs->cr3 & 0xffffffe0ull};
	const void *bytes = image_at(image, at, sizeof(regs->pdpte));

	memset(regs->pdpte, 0, sizeof(regs->pdpte));
	if (bytes)
		memcpy(regs->pdpte, bytes, sizeof(regs->pdpte));
}

static bool is_pae(const struct umbra_regs *regs)
{
	return regs->cr0 & UMBRA_CR0_PG && regs->cr4 & UMBRA_CR4_PAE &&
	       !(regs->efer & UMBRA_EFER_LMA);
}

enum cli_status regs_resolve(const struct regs_options *o, const char *command,
			     const struct image *image, struct regs_guest *guest)
{
	unsigned cpu_count = image_cpu_count(image);
	bool changed = false, mode_changed = false;

	if (o->cpu_given && o->cpu >= cpu_count)
		return cli_error(CLI_USAGE, "%s: --cpu: '%llu' does not exist, %s has %u CPU%s",
				 command, (unsigned long long)o->cpu, image_path(image), cpu_count,
				 cpu_count == 1 ? "" : "s");
	if (cpu_count == 0) {
		if (!o->text[REGS_CR3])
			return cli_error(CLI_USAGE,
					 "%s: %s holds no registers, expected --cr3 (and --cr4, "
					 "--efer unless it is a 64-bit guest)",
					 command, image_path(image));
		default_registers(o, guest);
		changed = true;
	} else {
		const struct image_cpu *cpu = image_cpu(image, (unsigned)o->cpu);

		*guest = (struct regs_guest){
			.regs = cpu->regs,
			.long_code = cpu->long_code,
			.cpl = cpu->cpl,
			.rip = cpu->rip,
			.rflags = cpu->rflags,
			.from_image = true,
		};
	}

	struct umbra_regs *regs = &guest->regs;

	mode_changed |= override(o, REGS_CR0, &regs->cr0);
	mode_changed |= override(o, REGS_CR4, &regs->cr4);
	mode_changed |= override(o, REGS_EFER, &regs->efer);
	changed |= override(o, REGS_CR3, &regs->cr3);
	if (mode_changed) {
		regs->efer &= ~UMBRA_EFER_LMA;
		if (regs->efer & UMBRA_EFER_LME && regs->cr0 & UMBRA_CR0_PG)
			regs->efer |= UMBRA_EFER_LMA;
	}
	guest->long_code = guest->long_code && regs->efer & UMBRA_EFER_LMA;
	if (is_pae(regs) && (changed || mode_changed))
		load_pdptes(image, regs);
	if (o->pkru_given)
		regs->pkru = (uint32_t)o->pkru;
	guest->cpu = regs_cpu((enum umbra_vendor)o->vendor, (unsigned)o->maxphyaddr);
	return CLI_OK;
}
