/* SPDX-License-Identifier: MIT */
/*
 * guest.h - what is started as the guest.
 */
#ifndef HV_GUEST_H
#define HV_GUEST_H

#include "hv/vcpu.h"

#define GUEST_MODULES_MAX 8
#define GUEST_TEXT_MAX 1024
#define GUEST_LOADER_MAX 64

/** struct guest_module - a file that the boot loader brought: physical memory and words. */
struct guest_module {
	uint64_t start, end;
	char text[GUEST_TEXT_MAX];
};

/**
 * struct guest - module 0 is the kernel, the others are its own modules. Who reads their texts
 * has to know the boot loader: most put the file's name first, GRUB 2 leaves it out.
 */
struct guest {
	struct guest_module module[GUEST_MODULES_MAX];
	unsigned module_count;
	char loader[GUEST_LOADER_MAX]; /* its name, cut; "" if it has none */
	bool named; /* texts begin with the file's name */
};

/**
 * guest_stage - move the modules to the top of the guest's memory, out of the way of where
 * the kernel wants to be. Stops with a line when there is too little memory.
 */
void guest_stage(struct guest *guest, const struct memory *memory);
/** guest_load - put the kernel into the guest's memory and its registers into the VMCB.
 * Stops with a line when the file is not a kernel. */
void guest_load(struct guest *guest, struct vcpu *vcpu);

/* ---- the kinds of kernels; false: the file is not of this kind ---- */

bool multiboot_load(struct guest *guest, struct vcpu *vcpu);
bool linux_load(struct guest *guest, struct vcpu *vcpu);

#endif
