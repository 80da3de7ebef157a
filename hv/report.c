/* SPDX-License-Identifier: MIT */
/*
 * report.c - what is told when the guest has ended: why, where it was, and what the
 * options stats=1 and audit=end ask for.
 */
#include "hv/console.h"
#include "hv/text.h"
#include "hv/trace.h"

typedef unsigned long long ull;

static void say_registers(struct vcpu *vcpu)
{
	const struct vmcb *v = vcpu->vmcb;
	const struct umbra_regs regs = cr_regs(vcpu);

	console_say("  RIP %x:%llx RSP %llx RFLAGS %llx CPL %u", v->cs.selector, (ull)v->rip,
		    (ull)v->rsp, (ull)v->rflags, v->cpl);
	console_say("  CR0 %llx CR2 %llx CR3 %llx CR4 %llx EFER %llx", (ull)regs.cr0, (ull)v->cr2,
		    (ull)regs.cr3, (ull)regs.cr4, (ull)regs.efer);
	console_say("  exit %x info %llx %llx event %llx", (unsigned)v->exit_code,
		    (ull)v->exit_info_1, (ull)v->exit_info_2, (ull)v->exit_event);
}

static void say_stats(struct vcpu *vcpu)
{
	static const char *const names[VCPU_EXITS_COUNT] = {"cr", "pf",  "cpuid", "invlpg",
							    "io", "msr", "npf",   "other"};
	struct umbra_stats s;
	uint64_t sum = 0;

	umbra_vm_stats(vcpu->vm, &s);
	for (unsigned i = 0; i < VCPU_EXITS_COUNT; i++)
		sum += vcpu->exits[i];
	console_print("umbra-hv: exits %llu:", (ull)sum);
	for (unsigned i = 0; i < VCPU_EXITS_COUNT; i++)
		console_print(" %s %llu", names[i], (ull)vcpu->exits[i]);
	console_print("\n");
	console_say("faults %llu: mapped %llu, guest's %llu, emulated %llu, unprotected %llu, "
		    "devices %llu, spurious %llu",
		    (ull)s.pf_taken, (ull)s.pf_fixed, (ull)s.pf_guest, (ull)vcpu->emulated,
		    (ull)vcpu->unprotected, (ull)s.pf_mmio, (ull)s.pf_spurious);
	console_say("tables %llu, leaves 4K %llu 2M %llu 1G %llu; flushes %llu, cycles %llu",
		    (ull)s.mmu_shadow_pages, (ull)s.pages_4k, (ull)s.pages_2m, (ull)s.pages_1g,
		    (ull)vcpu->port.flushes, (ull)(cpu_tsc() - vcpu->started));
}

/*
 * QEMU's TCG sets the Accessed bit in PAE page-directory-pointer entries, where it is
 * reserved and no CPU does (checked with 7.2). Entries that have nothing else wrong - P, no
 * R/W, no U/S, A - are counted apart.
 */
#define PDPTE_BITS 0x1e7u
#define PDPTE_ACCESSED 0x21u

struct audit {
	bool tcg;
	uint64_t findings, accessed;
};

static void take_finding(void *context, const struct umbra_finding *finding)
{
	struct audit *audit = context;

	if (audit->tcg && text_equal(finding->invariant, "I-14") &&
	    (finding->value & PDPTE_BITS) == PDPTE_ACCESSED) {
		audit->accessed++;
		return;
	}
	audit->findings++;
	console_say("audit: %s: %s, entry at %llx = %llx, %llx", finding->invariant, finding->what,
		    (ull)finding->where, (ull)finding->value, (ull)finding->other);
}

static void say_audit(struct vcpu *vcpu)
{
	struct audit audit = {.tcg = vcpu->cpu->tcg};

	umbra_audit(vcpu->vm, take_finding, &audit);
	if (audit.accessed)
		console_say("audit: %llu PDPTEs that TCG has set Accessed in", (ull)audit.accessed);
	console_say("audit: %llu findings", (ull)audit.findings);
}

void report_end(struct vcpu *vcpu)
{
	if (vcpu->options->stats)
		say_stats(vcpu);
	if (vcpu->options->audit)
		say_audit(vcpu);
	trace_end(vcpu);
}

void report_stop(struct vcpu *vcpu, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	console_say_list(format, args);
	va_end(args);
	say_registers(vcpu);
	report_end(vcpu);
	console_end(CONSOLE_GUEST_STOPPED);
}
