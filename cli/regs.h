/* SPDX-License-Identifier: MIT */
/*
 * regs.h - the registers that a subcommand translates with: those of an image's
 * CPU, changed by --cr0 --cr3 --cr4 --efer --pkru, on a CPU of --vendor and
 * --maxphyaddr. Shared by walk, map and run.
 *
 *	struct regs_options regs = REGS_OPTIONS_DEFAULT;
 *	struct args_option regs_args[REGS_OPTION_COUNT];
 *	struct regs_guest guest;
 *
 *	regs_options(&regs, regs_args);
 *	... args_parse() ...
 *	image = image_open(path, regs.format, ...);
 *	status = regs_resolve(&regs, "walk", image, &guest);
 */
#ifndef CLI_REGS_H
#define CLI_REGS_H

#include "cli/args.h"
#include "cli/cli.h"
#include "image/image.h"
#include "umbra/types.h"

/** Symbols of the registers and CPU features, ended by a NULL name. */
extern const struct args_symbol regs_cr0[], regs_cr4[], regs_efer[], regs_features[];
extern const struct args_symbol regs_vendors[], regs_formats[];

enum regs_name { REGS_CR0, REGS_CR3, REGS_CR4, REGS_EFER, REGS_COUNT };

/** struct regs_options - what was given on the command line. */
struct regs_options {
	/** Unparsed, because "+smep" needs the image's value; the syntax is
	 * known to be right. NULL: not given. */
	const char *text[REGS_COUNT];
	bool pkru_given, maxphyaddr_given, vendor_given, cpu_given;
	uint64_t pkru, maxphyaddr;
	uint64_t vendor; /* enum umbra_vendor */
	uint64_t format; /* enum image_format */
	uint64_t cpu; /* which of the image's CPUs */
};
#define REGS_OPTIONS_DEFAULT         \
	{                            \
		.format = IMAGE_AUTO \
	}
#define REGS_OPTION_COUNT 9
void regs_options(struct regs_options *options, struct args_option args[REGS_OPTION_COUNT]);

/** struct regs_guest - what regs_resolve() decided. */
struct regs_guest {
	struct umbra_regs regs;
	struct umbra_cpu cpu;
	bool long_code;
	uint8_t cpl;
	uint64_t rip, rflags;
	/** False: no CPU in the image; the defaults of regs.c. */
	bool from_image;
};

/**
 * regs_cpu - a present-day CPU of @vendor with every feature that the vendor
 * has. @maxphyaddr 0: 46 (Intel) or 48 (AMD).
 */
struct umbra_cpu regs_cpu(enum umbra_vendor vendor, unsigned maxphyaddr);

/**
 * regs_resolve - registers of CPU options->cpu of @image, with the options
 * applied. PDPTE registers are loaded from the image when CR3 (or the mode)
 * was changed and PAE paging results; entries that the image does not hold
 * read as zero. EFER.LMA follows from LME and CR0.PG. Prints one line, which
 * begins with @command, and returns its status when there is no such CPU, or
 * no CPU and no --cr3.
 */
enum cli_status regs_resolve(const struct regs_options *options, const char *command,
			     const struct image *image, struct regs_guest *guest);

#endif
