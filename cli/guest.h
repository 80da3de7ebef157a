/* SPDX-License-Identifier: MIT */
/*
 * guest.h - an image opened together with the registers to look at it with.
 * Shared by walk, map and run.
 */
#ifndef CLI_GUEST_H
#define CLI_GUEST_H

#include "cli/regs.h"
#include "core/walk.h"

struct guest {
	struct image *image;
	struct regs_guest is;
	/** The mode of the registers; paged is false without paging. */
	bool paged;
	struct mode mode;
	struct memory memory;
	struct space space;
};

/**
 * guest_open - open @path, resolve the registers, and check that the root table
 * (or what the PDPTE registers point to) is in the image. On failure prints one
 * line that begins with @command and returns its status; nothing stays open.
 */
enum cli_status guest_open(struct guest *guest, const char *command, const char *path,
			   const struct regs_options *options);
void guest_close(struct guest *guest);

/** guest_at - for struct scan; @context is a struct guest. */
const void *guest_at(void *context, umbra_gpa gpa, size_t size);

/** guest_mode_name - "4-level", "no paging" ... */
const char *guest_mode_name(const struct guest *guest);
/** guest_level_name - "PML4E" ... */
const char *guest_level_name(unsigned level);
/** guest_size_name - "4K" for 12 ... */
const char *guest_size_name(unsigned shift);
/** guest_rights - "rwxu": - for a missing right, s where u is missing. @to: 5 bytes. */
const char *guest_rights(unsigned acc, char *to);

#endif
