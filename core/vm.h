/* SPDX-License-Identifier: MIT */
/*
 * vm.h - a VM: its tables' shared state and its vCPUs (layer 5).
 */
#ifndef CORE_VM_H
#define CORE_VM_H

#include "core/mmu.h"

struct umbra_vm {
	struct mmu mmu;
	struct umbra_vcpu *vcpus;
	unsigned vcpu_numbers; /* ever created: the next one's number */
	bool slot_zap_all;
};

/** vm_reload - all vCPUs must fetch their roots anew; under the MMU lock. */
void vm_reload(struct umbra_vm *vm);
#endif
