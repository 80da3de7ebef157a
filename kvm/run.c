/* SPDX-License-Identifier: MIT */
/*
 * run.c - KVM_RUN up to where instructions would have to be executed.
 *
 *	entry checks -> CS limit -> fetch of the first instruction -> what came of it
 *	                   |                 ^
 *	                   `-> #GP: real mode's vector is read, FLAGS CS IP are pushed
 *
 * Each access goes the way that hardware would send it when no table has the page yet: the
 * guest's own translation, then the fault that this VM's paging would report, to the library.
 * (If the page is mapped already hardware would not have asked; the library says so. Where an
 * MMIO entry was made it meets that, and reports it as such.) The
 * guest's tables themselves are read in software, not faulted in.
 *
 * Exits are KVM's: a fetch where there is no memory cannot be emulated, memory that is there
 * but cannot be had is EFAULT. Where a real vCPU would go on executing the result is
 * KVM_UNKNOWN, and what would have been executed is told.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kvm/parts.h"

/* Rounds through the fault path before the library counts as stuck. */
#define ROUNDS 16
#define GP_VECTOR 13u
#define DF_VECTOR 8u
#define RFLAGS_RESERVED 0xffffffffffc08028u
/* Cleared when real mode delivers an exception: TF, IF, RF, AC. */
#define RFLAGS_DELIVERY 0x50300u
#define LINEAR_32 0xffffffffu

/* How an access ended: go on, or the ioctl returns .result. */
struct run {
	struct kvm_vcpu *vcpu;
	struct kvm_process *process;
	int64_t result;
};

static bool ends(struct run *run, int64_t result)
{
	run->result = result;
	return false;
}

static bool unknown(struct run *run, const char *why)
{
	return ends(run, kvm_unknown(run->process, "%s", why));
}

/* ---- exits ---- */

static const char *name_of(unsigned access)
{
	return access & UMBRA_ACCESS_FETCH   ? "fetch"
	       : access & UMBRA_ACCESS_WRITE ? "write"
					     : "read";
}

static bool exit_with(struct run *run, enum kvm_exit reason, int64_t result, const char *what)
{
	run->vcpu->run.exit_reason = reason;
	kvm_tell(run->process, KVM_TOLD_STEP, "exit: %s", what);
	return ends(run, result);
}

static bool exit_internal(struct run *run, uint32_t suberror)
{
	run->vcpu->run.internal.suberror = suberror;
	return exit_with(run, KVM_EXIT_INTERNAL_ERROR, 0,
			 suberror == KVM_ERROR_DELIVERY
				 ? "KVM_EXIT_INTERNAL_ERROR, delivery of an event"
				 : "KVM_EXIT_INTERNAL_ERROR, emulation failed");
}

void kvm_run_memory_fault(struct kvm_vcpu *vcpu, umbra_gpa gpa, bool is_private)
{
	struct kvm_run_page *page = &vcpu->run;

	page->exit_reason = KVM_EXIT_MEMORY_FAULT;
	page->memory_fault.flags = is_private ? KVM_FAULT_PRIVATE : 0;
	page->memory_fault.gpa = gpa.v & ~KVM_PAGE_MASK;
	page->memory_fault.size = UMBRA_PAGE_SIZE;
	kvm_tell(vcpu->vm->process, KVM_TOLD_STEP,
		 "exit: KVM_EXIT_MEMORY_FAULT, gpa 0x%" PRIx64 "+0x1000%s", page->memory_fault.gpa,
		 is_private ? ", private" : "");
	if (vcpu->run_address)
		kvm_memory_write(vcpu->vm->process->memory, vcpu->run_address, page, sizeof(*page));
}

/* Memory that is there, and cannot be had: F-23 and F-32 say why in the exit, F-21 does not. */
static bool exit_memory_fault(struct run *run, const struct umbra_resolution *what, umbra_gpa gpa)
{
	const unsigned bits = kvm_vm_root_bits(run->vcpu->vm);

	if (what->is_private) {
		kvm_run_memory_fault(run->vcpu, gpa, true);
		return ends(run,
			    kvm_refuse(run->process, EFAULT,
				       "gpa 0x%" PRIx64 " is private, without such memory", gpa.v));
	}
	/* Shifting by all 64 bits would be undefined. */
	if (gpa.v >> (bits - 1) < 2)
		return ends(run, kvm_refuse(run->process, EFAULT,
					    "gpa 0x%" PRIx64 ": its user memory is not there to %s",
					    gpa.v, name_of(what->access)));
	kvm_run_memory_fault(run->vcpu, gpa, false);
	return ends(run,
		    kvm_refuse(run->process, EFAULT,
			       "gpa 0x%" PRIx64 " is beyond the %u bits of the root", gpa.v, bits));
}

/* ---- accesses ---- */

/* The fault that hardware reports where its tables have nothing (H-55, H-79, H-95). */
static struct umbra_event fault_of(const struct run *run, umbra_gva gva, umbra_gpa gpa,
				   unsigned access)
{
	const bool fetch = access & UMBRA_ACCESS_FETCH, write = access & UMBRA_ACCESS_WRITE;
	const struct umbra_regs *regs = umbra_vcpu_regs(run->vcpu->umbra);
	struct umbra_event event = {.gva = gva, .gpa = gpa};

	switch (run->process->config.vm.paging) {
	case UMBRA_PAGING_EPT:
		event.kind = UMBRA_EVENT_EPT_VIOLATION;
		event.code = UMBRA_EPTQ_GVA | UMBRA_EPTQ_FINAL |
			     (fetch   ? UMBRA_EPTQ_FETCH
			      : write ? UMBRA_EPTQ_WRITE
				      : UMBRA_EPTQ_READ);
		if (run->process->config.vm.cpu.features & UMBRA_CPU_EPT_ADVINFO &&
		    !(regs->cr0 & UMBRA_CR0_PG))
			event.code |= UMBRA_EPTQ_GUEST_U | UMBRA_EPTQ_GUEST_W;
		break;
	case UMBRA_PAGING_NPT:
		event.kind = UMBRA_EVENT_NPF;
		event.code = UMBRA_NPF_FINAL | UMBRA_PF_U;
		break;
	default: event.kind = UMBRA_EVENT_PF; break;
	}
	if (event.kind != UMBRA_EVENT_EPT_VIOLATION)
		event.code |= (write ? UMBRA_PF_W : 0) | (fetch ? UMBRA_PF_I : 0) |
			      (access & UMBRA_ACCESS_USER ? UMBRA_PF_U : 0);
	return event;
}

/* Has an MMIO entry been made for it, which hardware would meet? (It may be gone.) */
static bool may_meet(const struct kvm_vm *vm, umbra_gpa gpa)
{
	for (unsigned i = 0; i < vm->mmio_count && i < KVM_MMIO_KEPT; i++)
		if (vm->mmio[i] == gpa.v >> UMBRA_PAGE_SHIFT)
			return true;
	return false;
}

/* The fault of an MMIO entry instead. */
static struct umbra_event met(struct umbra_event event)
{
	if (event.kind == UMBRA_EVENT_EPT_VIOLATION) {
		event.kind = UMBRA_EVENT_EPT_MISCONFIG;
		event.code = 0;
	} else {
		event.code |= UMBRA_PF_P | UMBRA_PF_RSVD;
	}
	return event;
}

/* The guest's own translation; false: it faults, or cannot be done. */
static bool translate(struct run *run, umbra_gva gva, unsigned access, umbra_gpa *gpa)
{
	struct umbra_translation t;
	enum umbra_status status;

	*gpa = (umbra_gpa){gva.v};
	if (!(umbra_vcpu_regs(run->vcpu->umbra)->cr0 & UMBRA_CR0_PG))
		return true;
	status = umbra_vcpu_translate(run->vcpu->umbra, gva, access, true, &t);
	if (status)
		return ends(run, kvm_status(run->process, status));
	*gpa = t.gpa;
	if (t.event.kind == UMBRA_EVENT_NONE)
		return true;
	if (t.event.kind == UMBRA_EVENT_PF)
		kvm_tell(run->process, KVM_TOLD_STEP,
			 "%s at 0x%" PRIx64 ": the guest takes #PF, code 0x%" PRIx64,
			 name_of(access), gva.v, t.event.code);
	return unknown(run, "delivering an exception through the guest's IDT would be needed here");
}

static bool judge(struct run *run, const struct umbra_resolution *what, umbra_gpa gpa,
		  unsigned access)
{
	static const char *const sizes[] = {"", "4K", "2M", "1G"};

	switch (what->verdict) {
	case UMBRA_RESUME:
		kvm_tell(run->process, KVM_TOLD_STEP, "%s at gpa 0x%" PRIx64 ": %s%s",
			 name_of(access), gpa.v, sizes[what->level & 3],
			 what->level ? " page mapped" : "mapped already");
		return true;
	case UMBRA_MMIO:
		kvm_tell(run->process, KVM_TOLD_STEP, "%s at gpa 0x%" PRIx64 ": %s",
			 name_of(access), gpa.v,
			 kvm_slot_at(run->vcpu->vm, gpa.v) ? "read-only memory" : "no memory");
		return exit_internal(run, access & UMBRA_ACCESS_FETCH ? KVM_ERROR_EMULATION
								      : KVM_ERROR_DELIVERY);
	case UMBRA_MEMORY_FAULT: return exit_memory_fault(run, what, gpa);
	case UMBRA_INJECT:
		return unknown(run, "delivering an exception through the guest's IDT would be "
				    "needed here");
	case UMBRA_EMULATE: return true; /* a write: the caller stores it with umbra_vm_write() */
	default: return unknown(run, "the library asked to try again and again");
	}
}

static void say_met(struct run *run, const struct umbra_event *event)
{
	if (event->kind == UMBRA_EVENT_EPT_MISCONFIG)
		kvm_tell(run->process, KVM_TOLD_STEP, "EPT misconfiguration: an MMIO entry");
	else if (event->code & UMBRA_PF_RSVD && event->kind != UMBRA_EVENT_EPT_VIOLATION)
		kvm_tell(run->process, KVM_TOLD_STEP, "%s with RSVD: an MMIO entry",
			 event->kind == UMBRA_EVENT_NPF ? "#NPF" : "#PF");
}

/* One access within a page. True: it went through, at *gpa. */
static bool access_page(struct run *run, uint64_t linear, unsigned access, umbra_gpa *gpa)
{
	struct umbra_resolution what = {.verdict = UMBRA_RETRY};
	enum umbra_status status = UMBRA_OK;
	struct umbra_exit exit = {0};
	struct umbra_root root;

	if (!translate(run, (umbra_gva){linear}, access, gpa))
		return false;
	exit.event = fault_of(run, (umbra_gva){linear}, *gpa, access);
	if (may_meet(run->vcpu->vm, *gpa))
		exit.event = met(exit.event);
	for (unsigned i = 0; i < ROUNDS && !status && what.verdict == UMBRA_RETRY; i++) {
		/* No such entry any more: hardware finds nothing. */
		if (i)
			exit.event = fault_of(run, (umbra_gva){linear}, *gpa, access);
		status = umbra_vcpu_load(run->vcpu->umbra, &root);
		if (!status)
			status = umbra_vcpu_fault(run->vcpu->umbra, &exit, &what);
	}
	if (status)
		return ends(run, kvm_status(run->process, status));
	if (what.verdict == UMBRA_MMIO)
		say_met(run, &exit.event);
	return judge(run, &what, *gpa, access);
}

/* @size bytes, byte by byte where pages part. Reads to, or writes from, @bytes. */
static bool access_bytes(struct run *run, uint64_t linear, unsigned access, uint8_t *bytes,
			 unsigned size)
{
	umbra_gpa gpa = {0};

	for (unsigned i = 0; i < size; i++, gpa.v++) {
		const uint64_t at = (linear + i) & LINEAR_32;
		enum umbra_status status;

		if ((!i || !(at & KVM_PAGE_MASK)) && !access_page(run, at, access, &gpa))
			return false;
		status = access & UMBRA_ACCESS_WRITE
				 ? umbra_vm_write(run->vcpu->vm->umbra, gpa, &bytes[i], 1)
				 : umbra_vm_read(run->vcpu->vm->umbra, gpa, &bytes[i], 1);
		if (status)
			return ends(run, kvm_status(run->process, status));
	}
	return true;
}

/* ---- real mode's delivery of #GP ---- */

static bool push(struct run *run, uint64_t value)
{
	struct kvm_regs *regs = &run->vcpu->regs;
	const uint16_t sp = (uint16_t)(regs->rsp - 2);
	uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};

	if (!access_bytes(run, run->vcpu->sregs.ss.base + sp, UMBRA_ACCESS_WRITE, bytes, 2))
		return false;
	regs->rsp = (regs->rsp & ~0xffffull) | sp;
	return true;
}

static bool deliver(struct run *run, unsigned vector)
{
	struct kvm_sregs *s = &run->vcpu->sregs;
	struct kvm_regs *regs = &run->vcpu->regs;
	uint8_t entry[4];

	if (s->idt.limit < 4 * vector + 3 && vector != DF_VECTOR)
		return deliver(run, DF_VECTOR);
	if (s->idt.limit < 4 * vector + 3)
		return exit_with(run, KVM_EXIT_SHUTDOWN, 0, "KVM_EXIT_SHUTDOWN, a triple fault");
	kvm_tell(run->process, KVM_TOLD_STEP, "real mode takes vector %u from 0x%" PRIx64, vector,
		 s->idt.base + 4 * vector);
	if (!access_bytes(run, s->idt.base + 4 * vector, UMBRA_ACCESS_READ, entry, 4) ||
	    !push(run, regs->rflags) || !push(run, s->cs.selector) || !push(run, regs->rip))
		return false;
	regs->rflags &= ~(uint64_t)RFLAGS_DELIVERY;
	regs->rip = entry[0] | (uint64_t)entry[1] << 8;
	s->cs.selector = (uint16_t)(entry[2] | entry[3] << 8);
	s->cs.base = (uint64_t)s->cs.selector << 4;
	kvm_tell(run->process, KVM_TOLD_STEP, "it leads to %x:%" PRIx64, s->cs.selector, regs->rip);
	return true;
}

/* ---- the fetch ---- */

static bool is_long(const struct kvm_sregs *s)
{
	return s->efer & UMBRA_EFER_LMA && s->cs.long_mode;
}

static bool is_canonical(const struct kvm_sregs *s, uint64_t address)
{
	const unsigned shift = s->cr4 & UMBRA_CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

static bool fetch(struct run *run)
{
	const struct kvm_sregs *s = &run->vcpu->sregs;
	const uint64_t rip = run->vcpu->regs.rip;
	const unsigned user = s->cr0 & UMBRA_CR0_PE && s->cs.dpl == 3 ? UMBRA_ACCESS_USER : 0;
	uint64_t linear = is_long(s) ? rip : (s->cs.base + rip) & LINEAR_32;
	umbra_gpa gpa;
	uint8_t bytes[8] = {0};
	size_t size = UMBRA_PAGE_SIZE - (linear & KVM_PAGE_MASK);

	if (!access_page(run, linear, UMBRA_ACCESS_FETCH | user, &gpa))
		return false;
	size = size < sizeof(bytes) ? size : sizeof(bytes);
	if (umbra_vm_read(run->vcpu->vm->umbra, gpa, bytes, size))
		return ends(run, kvm_refuse(run->process, EFAULT, "the bytes are not there"));
	return ends(run, kvm_unknown(run->process,
				     "executing instructions would be needed here: %x:%" PRIx64
				     ", bytes %02x %02x %02x %02x ...",
				     s->cs.selector, rip, bytes[0], bytes[1], bytes[2], bytes[3]));
}

/* SDM 3C 27.3.1: what VM entry refuses, as far as it is known here. AMD's VMRUN takes it. */
static bool entry_fails(const struct run *run)
{
	const struct kvm_sregs *s = &run->vcpu->sregs;
	const uint64_t rip = run->vcpu->regs.rip;

	if (run->vcpu->impossible)
		return true;
	if (run->process->config.vm.cpu.vendor != UMBRA_VENDOR_INTEL)
		return false;
	if (run->vcpu->regs.rflags & RFLAGS_RESERVED)
		return true;
	return is_long(s) ? !is_canonical(s, rip) : rip >> 32 != 0;
}

static void enter(struct run *run)
{
	struct kvm_vcpu *vcpu = run->vcpu;
	const struct kvm_sregs *s = &vcpu->sregs;
	struct umbra_root root;
	enum umbra_status status = umbra_vcpu_load(vcpu->umbra, &root);

	if (status) {
		run->result = kvm_status(run->process, status);
		return;
	}
	kvm_tell(run->process, KVM_TOLD_STEP, "root 0x%" PRIx64, root.pointer);
	if (entry_fails(run)) {
		vcpu->run.hardware_reason = KVM_ENTRY_INVALID_STATE;
		exit_with(run, KVM_EXIT_FAIL_ENTRY, 0, "KVM_EXIT_FAIL_ENTRY, invalid guest state");
		return;
	}
	if (!is_long(s) && (uint32_t)vcpu->regs.rip > s->cs.limit) {
		kvm_tell(run->process, KVM_TOLD_STEP,
			 "rip 0x%" PRIx64 " is beyond CS.limit: #GP(0)", vcpu->regs.rip);
		if (s->cr0 & UMBRA_CR0_PE) {
			unknown(run,
				"delivering #GP(0) through the guest's IDT would be needed here");
			return;
		}
		if (!deliver(run, GP_VECTOR))
			return;
	}
	fetch(run);
}

int64_t kvm_run(struct kvm_vcpu *vcpu, uint64_t arg)
{
	struct kvm_process *process = vcpu->vm->process;
	struct run run = {.vcpu = vcpu, .process = process};
	struct kvm_run_page *page = &vcpu->run;

	if (arg)
		return kvm_refuse(process, EINVAL, "takes no argument");
	if (vcpu->run_address)
		kvm_memory_read(process->memory, vcpu->run_address, page, sizeof(*page));
	page->exit_reason = KVM_EXIT_UNKNOWN;
	page->flags = 0;
	if (page->immediate_exit)
		run.result = kvm_refuse(process, EINTR, "immediate_exit is set");
	else
		enter(&run);
	vcpu->ran = vcpu->ran || !page->immediate_exit;
	if (vcpu->run_address)
		kvm_memory_write(process->memory, vcpu->run_address, page, sizeof(*page));
	return run.result;
}
