/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - the loop: enter the guest, look at the exit, enter again.
 *
 *	load (if the library asks) -> new ASID (if it asks) -> VMRUN -> exit -> dispatch
 *
 * GIF is 0 all the time that the hypervisor runs (CLGI once, then VMRUN and #VMEXIT do it),
 * so that interrupts wait for the guest, whose they are.
 */
#include "hv/vcpu.h"
#include "hv/console.h"
#include "hv/hypercall.h"
#include "hv/paging.h"
#include "hv/trace.h"

static struct vmcb vmcb;
static uint8_t host_save[4096] __attribute__((aligned(4096)));

static struct vmcb_segment segment(uint16_t selector, uint16_t attributes, uint32_t limit)
{
	return (struct vmcb_segment){selector, attributes, limit, 0};
}

static void init_state(struct vmcb *v)
{
	v->es = v->ss = v->ds = v->fs = v->gs = segment(0x10, VMCB_DATA_32, 0xffffffff);
	v->cs = segment(0x08, VMCB_CODE_32, 0xffffffff);
	v->ldtr = segment(0, VMCB_LDT, 0xffff);
	v->tr = segment(0, VMCB_TSS_32, 0xffff);
	v->efer = EFER_SVME;
	v->cr0 = UMBRA_CR0_PE | 1u << 4; /* ET */
	v->dr6 = 0xffff0ff0;
	v->dr7 = 0x400;
	v->rflags = RFLAGS_FIXED;
	v->pat = cpu_read_msr(CPU_MSR_PAT);
}

static void intercept(struct vmcb *v, enum vmcb_intercept which)
{
	v->intercepts[which / 32] |= 1u << which % 32;
}

static void init_intercepts(struct vcpu *vcpu)
{
	static const uint8_t always[] = {
		VMCB_INVD,  VMCB_INVLPGA, VMCB_IOIO,    VMCB_MSR,    VMCB_SHUTDOWN,
		VMCB_CPUID, VMCB_VMRUN,   VMCB_VMMCALL, VMCB_VMLOAD, VMCB_VMSAVE,
		VMCB_STGI,  VMCB_CLGI,    VMCB_SKINIT,  VMCB_INIT,
	};
	struct vmcb *v = vcpu->vmcb;

	for (unsigned i = 0; i < sizeof(always); i++)
		intercept(v, always[i]);
	/* A CR4 that the CPU refuses is to be #GP, which QEMU 7.2 does not do by itself. */
	v->cr_writes = 1u << 4;
	if (vcpu->options->shadow) {
		v->cr_reads = 1u << 0 | 1u << 3 | 1u << 4;
		v->cr_writes = 1u << 0 | 1u << 3 | 1u << 4;
		v->exceptions = 1u << VECTOR_PF;
		intercept(v, VMCB_INVLPG);
		intercept(v, VMCB_TASK_SWITCH);
	} else {
		v->nested_paging = 1;
	}
	v->iopm = io_permissions();
	v->msrpm = msr_permissions();
}

void vcpu_init(struct vcpu *vcpu)
{
	vcpu->vmcb = &vmcb;
	vcpu->vmcb_physical = paging_physical(&vmcb);
	cpu_write_msr(CPU_MSR_EFER, cpu_read_msr(CPU_MSR_EFER) | EFER_SVME);
	cpu_write_msr(CPU_MSR_VM_HSAVE_PA, paging_physical(host_save));
	init_state(&vmcb);
	init_intercepts(vcpu);
	__asm__ volatile("clgi");
	/* FS, GS, TR, LDTR and the system call MSRs: from here on they are the guest's. */
	__asm__ volatile("vmload %0" : : "a"((unsigned long)vcpu->vmcb_physical) : "memory");
}

static void load(struct vcpu *vcpu)
{
	struct umbra_root root;
	enum umbra_status status;

	vcpu->port.reload = false;
	status = umbra_vcpu_load(vcpu->mmu, &root);
	if (status)
		report_stop(vcpu, "no tables for the guest: %s", umbra_strstatus(status));
	trace_load(vcpu, &root);
	vcpu->port.flush |= root.flush;
	if (!vcpu->options->shadow) {
		vcpu->vmcb->nested_cr3 = root.pointer;
		return;
	}
	vcpu->vmcb->cr3 = root.pointer;
	/* Real mode stays real mode, on tables of ours: PG without PE is VMRUN's to allow. */
	vcpu->vmcb->cr0 = root.regs.cr0;
	if (!(umbra_vcpu_regs(vcpu->mmu)->cr0 & UMBRA_CR0_PE))
		vcpu->vmcb->cr0 &= ~UMBRA_CR0_PE;
	vcpu->vmcb->cr4 = root.regs.cr4;
	vcpu->vmcb->efer = root.regs.efer | EFER_SVME;
}

/* Another ASID has nothing cached; when they run out all of them are flushed. */
static void flush(struct vcpu *vcpu)
{
	vcpu->port.flush = false;
	vcpu->port.flushed = true;
	if (vcpu->cpu->flush_by_asid && vcpu->asid) {
		vcpu->vmcb->tlb_control = VMCB_TLB_FLUSH_ASID;
		return;
	}
	vcpu->vmcb->tlb_control = VMCB_TLB_KEEP;
	if (++vcpu->asid >= vcpu->cpu->asids) {
		vcpu->asid = 1;
		vcpu->vmcb->tlb_control = VMCB_TLB_FLUSH_ALL;
	}
	vcpu->vmcb->asid = vcpu->asid;
}

static void count(struct vcpu *vcpu, enum vcpu_exits kind)
{
	vcpu->exits[kind]++;
}

static void vmmcall(struct vcpu *vcpu)
{
	uint64_t exits = 0;

	if (!vcpu->options->hypercalls || (uint32_t)vcpu->vmcb->rax != HYPERCALL_MAGIC) {
		inject_ud(vcpu);
		return;
	}
	switch ((enum hypercall)vcpu->gprs.r[1]) {
	case HYPERCALL_COUNTS:
		for (unsigned i = 0; i < VCPU_EXITS_COUNT; i++)
			exits += vcpu->exits[i];
		vcpu->vmcb->rax = (uint32_t)exits;
		vcpu->gprs.r[2] = (uint32_t)vcpu->port.flushes;
		break;
	case HYPERCALL_ZAP: umbra_vm_zap_all(vcpu->vm); break;
	case HYPERCALL_LOG_BEGIN: devices_add_ram(vcpu, UMBRA_SLOT_LOG_DIRTY); break;
	case HYPERCALL_LOG_TAKE: devices_take_log(vcpu); break;
	case HYPERCALL_LOG_END: devices_add_ram(vcpu, 0); break;
	}
	vcpu_skip(vcpu, 3);
}

static void dispatch_other(struct vcpu *vcpu, uint32_t code)
{
	count(vcpu, VCPU_EXITS_OTHER);
	switch (code) {
	case VMCB_EXIT_SHUTDOWN: report_stop(vcpu, "the guest shut down (triple fault)");
	/* Let through, it would start the firmware with SVM off and everything in reach. */
	case VMCB_EXIT_INIT: report_stop(vcpu, "the guest sent itself an INIT");
	case VMCB_EXIT_TASK_SWITCH: report_stop(vcpu, "task switch: not with mmu=shadow");
	case VMCB_EXIT_INVD:
		/* Not INVD: the hypervisor's own lines may be dirty. */
		__asm__ volatile("wbinvd" : : : "memory");
		vcpu_skip(vcpu, 2);
		break;
	case VMCB_EXIT_VMMCALL: vmmcall(vcpu); break;
	case VMCB_EXIT_INVLPGA:
	case VMCB_EXIT_INVPCID: inject_ud(vcpu); break;
	default:
		if (code < VMCB_EXIT_VMRUN || code > VMCB_EXIT_SKINIT)
			report_stop(vcpu, "VMRUN gave exit code %x", code);
		inject_ud(vcpu);
	}
}

static void dispatch(struct vcpu *vcpu, uint32_t code)
{
	switch (code) {
	case VMCB_EXIT_EXCEPTION + VECTOR_PF:
		count(vcpu, VCPU_EXITS_PF);
		fault_pf(vcpu);
		break;
	case VMCB_EXIT_CR_READ + 0:
	case VMCB_EXIT_CR_READ + 3:
	case VMCB_EXIT_CR_READ + 4:
	case VMCB_EXIT_CR_WRITE + 0:
	case VMCB_EXIT_CR_WRITE + 3:
	case VMCB_EXIT_CR_WRITE + 4:
		count(vcpu, VCPU_EXITS_CR);
		cr_exit(vcpu);
		break;
	case VMCB_EXIT_INVLPG:
		count(vcpu, VCPU_EXITS_INVLPG);
		invlpg_exit(vcpu);
		break;
	case VMCB_EXIT_CPUID:
		count(vcpu, VCPU_EXITS_CPUID);
		cpuid_exit(vcpu);
		break;
	case VMCB_EXIT_IOIO:
		count(vcpu, VCPU_EXITS_IO);
		io_exit(vcpu);
		break;
	case VMCB_EXIT_MSR:
		count(vcpu, VCPU_EXITS_MSR);
		msr_exit(vcpu);
		break;
	default: dispatch_other(vcpu, code);
	}
}

void vcpu_run(struct vcpu *vcpu)
{
	struct vmcb *const v = vcpu->vmcb;
	const uint64_t physical = vcpu->vmcb_physical;

	vcpu->started = cpu_tsc();
	for (;;) {
		uint64_t code;

		if (vcpu->port.reload)
			load(vcpu);
		if (vcpu->port.flush)
			flush(vcpu);
		if (vcpu->port.logged)
			trace_enter(vcpu);
		svm_enter(&vcpu->gprs, physical);
		v->tlb_control = VMCB_TLB_KEEP;
		v->event = 0;
		code = v->exit_code;
		/* Most exits, with nested paging. */
		if (code == VMCB_EXIT_NPF) {
			count(vcpu, VCPU_EXITS_NPF);
			fault_npf(vcpu);
		} else {
			dispatch(vcpu, (uint32_t)code);
		}
		if (v->exit_event & VMCB_EVENT_VALID)
			inject_again(vcpu);
		if (vcpu->port.deferred)
			port_settle(&vcpu->port);
	}
}
