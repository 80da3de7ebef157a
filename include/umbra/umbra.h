/* SPDX-License-Identifier: MIT */
/*
 * umbra.h - the library.
 *
 *	vm    = slots (guest memory) + tables that the hardware walks
 *	vcpu  = guest registers + the root that they select
 *
 * An embedder's loop around one vCPU:
 *
 *	umbra_vcpu_load(vcpu, &root);        root.pointer, root.regs -> VMCS/VMCB
 *	run the guest
 *	exit: #PF, NPF, EPT violation  ->    umbra_vcpu_fault(vcpu, &exit, &what);
 *	      MOV CR, WRMSR EFER       ->    umbra_vcpu_set_regs(vcpu, &regs, load_pdptes)
 *	      INVLPG                   ->    umbra_vcpu_invlpg(vcpu, gva)
 *
 * Outcomes are of three kinds and never share an int: enum umbra_status (the
 * caller's mistake or no memory), enum umbra_verdict (what to do next), and the
 * host's bug hook (a mistake of Umbra).
 */
#ifndef UMBRA_UMBRA_H
#define UMBRA_UMBRA_H

#include "umbra/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** enum umbra_status - names and meanings of errno where KVM has one. */
enum umbra_status {
	UMBRA_OK = 0,
	UMBRA_EINVAL, /* an argument that can never be right */
	UMBRA_EEXIST, /* slots overlap */
	UMBRA_EFAULT, /* memory that cannot be reached */
	UMBRA_ENOENT, /* no such slot */
	UMBRA_ENOMEM, /* a host hook had no memory */
	UMBRA_ENOSPC, /* the VM's table page limit is reached */
	UMBRA_EAGAIN, /* the host asks to try again */
	UMBRA_EINTR, /* the host was interrupted */
	UMBRA_EOPNOTSUPP, /* not with this CPU or configuration */
	UMBRA_EUNMAPPABLE, /* memory that no root of the VM can map; KVM: EFAULT when it is used */
	UMBRA_STATUS_COUNT
};
/** umbra_strstatus - one sentence; never NULL. */
const char *umbra_strstatus(enum umbra_status status);

/** enum umbra_verdict - what the embedder does next. */
enum umbra_verdict {
	UMBRA_RESUME, /* repaired: enter the guest again */
	UMBRA_RETRY, /* something changed meanwhile: enter again, it may fault again */
	UMBRA_INJECT, /* the guest's own fault: deliver resolution.event */
	UMBRA_MMIO, /* no memory at resolution.gpa, or a write to read-only memory */
	UMBRA_EMULATE, /* carry the instruction out: a write with umbra_vm_write(), or a
			* shadow-stack access that no table can allow without allowing too much
			* (reads of what may not be written, and all without paging) */
	UMBRA_MEMORY_FAULT, /* the embedder's own memory is missing at resolution.gpa, or the
			     * root cannot map the address that it is to be seen at (F-32) */
	UMBRA_VERDICT_COUNT
};
const char *umbra_strverdict(enum umbra_verdict verdict);

/* ---- VMs ---- */

enum umbra_paging { UMBRA_PAGING_SHADOW, UMBRA_PAGING_EPT, UMBRA_PAGING_NPT, UMBRA_PAGING_COUNT };

/** Generations of entry layouts; numbers as core/entry.h. */
enum umbra_layout { UMBRA_LAYOUT_6_12, UMBRA_LAYOUT_004, UMBRA_LAYOUT_7_3, UMBRA_LAYOUT_COUNT };

struct umbra_vm;
struct umbra_vcpu;
struct umbra_recent;

struct umbra_vm_config {
	/** Handed to every hook. */
	void *host;
	/** The CPU that will walk the tables. */
	struct umbra_cpu cpu;
	enum umbra_paging paging;
	/** EPT: 4 or 5. NPT: 3 (PAE host), 4 or 5. Shadow: 0, it follows the guest. */
	uint8_t levels;
	enum umbra_layout layout;
	/** Largest page to map: 1 (4K) .. 3 (1G); cut to what the CPU has. */
	uint8_t page_level;
	/** Run with MBEC (EPT) or GMET (NPT) on; EOPNOTSUPP if the CPU lacks it. MBEC
	 * needs layout 7.3 (EINVAL): only there is a user execute bit. */
	bool exec_by_mode;
	/** Table pages the VM may own at once; 0: no limit, else at least 64. */
	uint32_t page_limit;
	/** Drop all tables when a slot is deleted or moved, as KVM by default does (S-63),
	 * instead of what maps or mirrors its memory. */
	bool slot_zap_all;
	/** Shadow paging: map only what faulted, not its neighbours (S-9). */
	bool no_prefetch;
	/** Software walks of L2's tables, and loads of its PDPTEs, need W in L1's EPT even if
	 * EPTP.6 is clear and nothing is to be set, as in KVM (E-8, O-9). The manual asks
	 * for R only (H-74), and so does hardware, whatever this says. */
	bool kvm_nested_walks;
	/** Guest pages may be private: slots with memory of their own for them, and
	 * umbra_vm_set_attributes(). Not with shadow paging (EOPNOTSUPP). */
	bool private_memory;
	/** Let a vCPU's MAXPHYADDR be less than the host's and its guest see it (G-23). EPT: see
	 * umbra_root.intercept_pf; accesses beyond it come out as EMULATE. There is to be no slot
	 * up there. Shadow paging needs nothing of this; NPT cannot do it (EOPNOTSUPP). Without it
	 * such a vCPU can be made all the same, and hardware checks by its own width. */
	bool allow_smaller_maxphyaddr;
	/** The dirty log (M-22). 0: umbra_vm_get_dirty_log() takes the marks. 1: it does not,
	 * umbra_vm_clear_dirty_log() does. 3: that, and all pages are marked when logging
	 * begins. */
	uint8_t manual_dirty;
	/** A bug, to see it found: address bits that the TDP root does not translate are dropped
	 * instead of refused (F-33), so that one guest page appears at another's address. */
	bool bug_truncate_gpa;
	/** Leave no entries that tell where no memory is: each such access is looked
	 * up anew. So it is anyway under shadow paging and NPT if cpu.maxphyaddr is 52, for
	 * then no bit of an entry is sure to fault. */
	bool no_mmio_caching;
	/** Those entries hold 18 or 19 bits of the number of slot changes, and before they
	 * repeat, all tables are dropped. With this only those entries are (O-15). */
	bool mmio_wide_generation;
	/** Physical address bits of the CPU's caches, if it has the L1 terminal fault:
	 * such entries then lead to no address that may be cached. 32..52; 0: it has not. */
	uint8_t l1tf_cache_bits;
	/** Call umbra_host_trace. */
	bool trace;
};

/**
 * umbra_vm_create - EINVAL: a field out of range or a combination that no
 * hardware has; EOPNOTSUPP: this CPU lacks it; ENOMEM.
 */
enum umbra_status umbra_vm_create(const struct umbra_vm_config *config, struct umbra_vm **vm);
/** umbra_vm_destroy - with all its vCPUs and slots. NULL is allowed. */
void umbra_vm_destroy(struct umbra_vm *vm);

/* ---- slots ---- */

#define UMBRA_SLOT_LOG_DIRTY (1u << 0) /* KVM_MEM_LOG_DIRTY_PAGES */
#define UMBRA_SLOT_READONLY (1u << 1) /* KVM_MEM_READONLY */
/** The slot has private memory too (KVM_MEM_GUEST_MEMFD). */
#define UMBRA_SLOT_PRIVATE (1u << 2)
/** The slot may lie where no root of the VM reaches, as KVM lets it: faults there give
 * MEMORY_FAULT. */
#define UMBRA_SLOT_UNMAPPABLE (1u << 16)
#define UMBRA_SLOT_ID_MAX 32763u

/** struct umbra_slot - guest-physical [base, base + size) is host memory at hva. */
struct umbra_slot {
	uint32_t id;
	uint32_t flags;
	umbra_gpa base;
	uint64_t size; /* 0 deletes slot @id */
	umbra_hva hva;
	/** With UMBRA_SLOT_PRIVATE: host memory of the pages that are private. */
	umbra_hva private_hva;
};

/**
 * umbra_slot_set - create, move or delete a slot, begin or end logging of it (facts M-4).
 * EINVAL: unknown flags; base, size or hva not page aligned; id too large; end
 * beyond the CPU's MAXPHYADDR; more than 2^31-1 pages; size 0 without such a
 * slot; another size, hva or READONLY for an existing id, or anything but size 0 for one
 * that is PRIVATE or is to be; PRIVATE with READONLY or LOG_DIRTY, without page aligned
 * private_hva, or in a VM without private memory; a move while somebody
 * tracks writes to it. EEXIST: overlap. EUNMAPPABLE: it reaches further up than the
 * VM's TDP tables translate (F-30: 2^32 bytes with 3 levels, 2^48 with 4), and has no
 * UMBRA_SLOT_UNMAPPABLE. ENOMEM. On any error nothing has changed.
 */
enum umbra_status umbra_slot_set(struct umbra_vm *vm, const struct umbra_slot *slot);

/* ---- vCPUs ---- */

/** Most vCPUs of a VM at once. */
#define UMBRA_VCPU_MAX 4096u
/**
 * umbra_vcpu_create - @cpu: what CPUID tells the guest; its MAXPHYADDR must not
 * exceed the host's, nor SMEP, SMAP, PKU, PKS, SHSTK, LA57, LM, NX and PAE be there
 * if the host lacks them (EINVAL). ENOSPC: there are UMBRA_VCPU_MAX. Registers start
 * as at reset without paging.
 */
enum umbra_status umbra_vcpu_create(struct umbra_vm *vm, const struct umbra_cpu *cpu,
				    struct umbra_vcpu **vcpu);
void umbra_vcpu_destroy(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_set_regs - the guest's paging registers are now @regs.
 * @load_pdptes: the instruction loads PDPTE registers from memory (H-20); ignored
 * unless @regs select PAE paging on a CPU with PDPTE registers. When false,
 * regs->pdpte are taken as they are (from a snapshot).
 * EINVAL: a combination that MOV CR or VM entry refuses (#GP to the guest);
 * EFAULT: PDPTEs lie outside memory (#GP as well). Nothing has changed then.
 * Under shadow paging also flushes what MOV CR3 must (the next load says so).
 */
enum umbra_status umbra_vcpu_set_regs(struct umbra_vcpu *vcpu, const struct umbra_regs *regs,
				      bool load_pdptes);
/**
 * umbra_vcpu_mov_cr3 - MOV to CR3 of @value, bit 63 (keep this PCID's translations)
 * included: what umbra_vcpu_set_regs() would do with load_pdptes, but fast. EINVAL
 * and EFAULT: #GP to the guest, nothing has changed.
 */
enum umbra_status umbra_vcpu_mov_cr3(struct umbra_vcpu *vcpu, uint64_t value);
const struct umbra_regs *umbra_vcpu_regs(const struct umbra_vcpu *vcpu);

/** struct umbra_root - what to run the guest with. */
struct umbra_root {
	/** CR3 (shadow), EPTP or nCR3. */
	uint64_t pointer;
	/** CR0, CR3, CR4, EFER, PDPTEs and keys for the hardware. TDP: the
	 * guest's own. Shadow: what the tables were made for; cr3 == pointer. */
	struct umbra_regs regs;
	/** NPT: the host registers that make nCR3 mean what it should (CR0, CR4, EFER
	 * bits of H-91); zero otherwise. */
	struct umbra_regs host;
	/** EPT: MBEC (secondary control 22); NPT: GMET and ROGPT (VMCB 090h bits 3 and 6). */
	bool exec_by_mode, readonly_tables;
	/** EPT: intercept #PF with P=1 and RSVD=0 (mask and match of the exception bitmap) and hand
	 * them to umbra_vcpu_fault(), which corrects the code (allow_smaller_maxphyaddr). */
	bool intercept_pf;
	/** For L2: to be entered under another VPID or ASID than L1 (N-13, N-14). */
	bool nested;
	/** Flush this vCPU's guest translations before entering. */
	bool flush;
};

/**
 * umbra_vcpu_load - the root for the vCPU's registers, made if need be; call it
 * before each entry (it is cheap when nothing changed). ENOMEM, ENOSPC.
 * In PAE modes hardware reads PDPTEs at entry: enter anew after each fault.
 */
enum umbra_status umbra_vcpu_load(struct umbra_vcpu *vcpu, struct umbra_root *root);
/**
 * umbra_vcpu_stays - under shadow paging, instead of umbra_vcpu_load() where most often nothing
 * has changed (MOV CR3 of the same root): does all that the last load gave still hold? True:
 * flush this vCPU's guest translations, whatever load would have said, and enter. False: load;
 * always so for TDP and while L2 runs.
 */
bool umbra_vcpu_stays(struct umbra_vcpu *vcpu);

/** struct umbra_exit - a fault that the hardware reported. */
struct umbra_exit {
	/** PF (shadow, or root.intercept_pf), EPT_VIOLATION, EPT_MISCONFIG (EPT), NPF (NPT). */
	struct umbra_event event;
	/** CPL and RFLAGS.AC at the time (implicit accesses, SMAP). */
	uint8_t cpl;
	bool ac;
};

struct umbra_resolution {
	enum umbra_verdict verdict;
	/** INJECT: the exception to deliver; or, if @to_l1, the exit from L2 that L1 is to
	 * see: umbra_vcpu_leave_nested(), then tell L1. */
	struct umbra_event event;
	bool to_l1;
	/** MMIO, EMULATE, MEMORY_FAULT: where, and the access (enum umbra_access; READ after
	 * an EPT misconfiguration, which does not say: the instruction does). */
	umbra_gpa gpa;
	unsigned access;
	/** RESUME: level of the mapping made, 0 if none was needed (spurious). */
	uint8_t level;
	/** MEMORY_FAULT: the page is private now (KVM_MEMORY_EXIT_FLAG_PRIVATE). */
	bool is_private;
};

/**
 * umbra_vcpu_fault - look into a fault and repair what is Umbra's. EPT misconfigurations, and
 * faults with RSVD, are MMIO that was met before (no_mmio_caching); for L2 on L1's EPT whoever
 * emulates the instruction finds by umbra_vcpu_translate() what L1 would deny.
 * EINVAL: an event that this VM's paging cannot have. ENOMEM, ENOSPC, EINTR:
 * nothing changed, the guest may be entered again later.
 */
enum umbra_status umbra_vcpu_fault(struct umbra_vcpu *vcpu, const struct umbra_exit *exit,
				   struct umbra_resolution *resolution);

/**
 * umbra_vcpu_prefault - map [*gpa, *gpa + *size) before the guest touches it, in large
 * pages where that can be, the rest table by table (KVM_PRE_FAULT_MEMORY, F-40). What is
 * mapped already stays. Accessed bits are left clear.
 *
 * What has been done is taken off *gpa and *size. OK: all of it, or *size says what is left:
 * something ended it half-way, and the next call will say what. Else nothing was done:
 * ENOENT: no slot at *gpa. EFAULT: its slot has no memory there. EAGAIN: its slot is being
 * deleted or moved, or the host says so. EINTR: the host was interrupted. ENOMEM, ENOSPC.
 * EUNMAPPABLE: some of the range is in a slot, but beyond what the root can map; nothing
 * has been touched then, however little of it that is. EINVAL: *gpa or *size is not page
 * aligned, *size is 0, the end is not below 2^64. EOPNOTSUPP: shadow paging, or L2 runs on
 * L1's EPT or NPT.
 */
enum umbra_status umbra_vcpu_prefault(struct umbra_vcpu *vcpu, umbra_gpa *gpa, uint64_t *size);

/** umbra_vcpu_invlpg - the guest invalidates @gva (shadow paging; no-op with TDP). */
void umbra_vcpu_invlpg(struct umbra_vcpu *vcpu, umbra_gva gva);

/** umbra_vcpu_invpcid - INVPCID of @type 0..3. EINVAL: #GP to the guest (H-132). */
enum umbra_status umbra_vcpu_invpcid(struct umbra_vcpu *vcpu, unsigned type, uint64_t pcid,
				     umbra_gva gva);

/** struct umbra_translation - result of umbra_vcpu_translate. */
struct umbra_translation {
	umbra_gpa gpa;
	/** log2 of the guest's page. */
	uint8_t page_shift;
	/** Guest rights: bit 0 R, 1 W, 2 U, 3 X. Where no memory is, those that are known,
	 * @access among them: the rest may be missing. */
	uint8_t acc;
	/** kind NONE, or the #PF that the access would take; in L2 also what L1's EPT or NPT
	 * would make of it (umbra_vcpu_exits_to_l1). */
	struct umbra_event event;
};
/**
 * umbra_vcpu_translate - walk the guest's tables in software for an emulator.
 * @set_ad: set A/D bits as the access would. EINVAL: @access has unknown bits
 * or WRITE together with FETCH. An exit to L1 counts as taken: load again before L2 goes on.
 */
enum umbra_status umbra_vcpu_translate(struct umbra_vcpu *vcpu, umbra_gva gva, unsigned access,
				       bool set_ad, struct umbra_translation *translation);

/* ---- nested guests: L1 is a hypervisor and runs L2 ----
 *
 *	L1 executes VMLAUNCH, VMRESUME, VMRUN ->  umbra_vcpu_enter_nested(vcpu, &state)
 *	  load, run, fault as before; what the vCPU does now is L2's
 *	resolution.verdict INJECT with an EPT or NPF event, or any exit that L1 asked for
 *	                                      ->  umbra_vcpu_leave_nested(vcpu), tell L1
 *
 * L1's own EPT or NPT is shadowed: its guest-physical addresses become L2's frames in
 * tables of Umbra's. L1's tables may lag behind as its TLB might, until INVEPT or a
 * VMRUN that flushes.
 */

/** enum umbra_nested_paging - what L1 translates L2's guest-physical addresses with. */
enum umbra_nested_paging {
	UMBRA_NESTED_NONE, /* nothing: they are L1's own (L1 shadows L2, or trusts it) */
	UMBRA_NESTED_EPT,
	UMBRA_NESTED_NPT,
	UMBRA_NESTED_COUNT
};

/** struct umbra_nested - what translation needs of L1's VMCS or VMCB for L2. */
struct umbra_nested {
	enum umbra_nested_paging paging;
	/** L2's CR0, CR3, CR4, EFER and keys. PDPTEs: with EPT the VMCS fields (H-78);
	 * otherwise, on CPUs with PDPTE registers, read from memory at CR3. */
	struct umbra_regs regs;
	/** EPT pointer (VMCS 201Ah) or N_CR3 (VMCB 0B0h). */
	uint64_t pointer;
	/** MBEC (secondary control 22) or GMET (VMCB 090h bit 3). */
	bool exec_by_mode;
	/** ROGPT (VMCB 090h bit 6). */
	bool readonly_tables;
	/** VPID (VMCS 0000h; 0: control 5 is off), or guest ASID (VMCB 058h). */
	uint32_t tag;
	/** TLB_CONTROL (VMCB 05Ch). */
	uint8_t tlb_control;
	/** Page-modification logging (secondary control 17): address (VMCS 200Eh), index
	 * (VMCS 0812h), which counts down: read it back with umbra_vcpu_nested(). */
	bool pml;
	uint64_t pml_address;
	uint16_t pml_index;
	/** Does a #PF of L2 exit to L1 (N-9)? Bit 14 of the exception bitmap or intercepts;
	 * VMX: inverted where (code & mask) != match (VMCS 4006h, 4008h; SVM: 0, 0). */
	bool pf_exits;
	uint32_t pf_mask, pf_match;
	/** EPTP switching (VM-function control 0): the list (VMCS 2024h), 0: off. */
	uint64_t eptp_list;
};

/**
 * umbra_vcpu_enter_nested - L1 starts L2; L1's registers, as NPT's host state (H-91), are
 * those of the vCPU now. EINVAL: VM entry or VMRUN refuses the state (H-70, H-96,
 * H-133), or the vCPU runs L2 already; EFAULT: PDPTEs outside memory; EOPNOTSUPP: not
 * with this VM's paging: shadow paging shows L1 no EPT or NPT, an NPT VM no EPT and
 * the reverse, no L1 tables with more levels than the VM's; MBEC needs layout 7.3;
 * ENOMEM. Nothing has changed on any error.
 */
enum umbra_status umbra_vcpu_enter_nested(struct umbra_vcpu *vcpu,
					  const struct umbra_nested *state);
/** umbra_vcpu_leave_nested - VM exit: L1 goes on with the registers it had. What VM exit loads
 * besides (host-state area) is told by umbra_vcpu_set_regs(). */
void umbra_vcpu_leave_nested(struct umbra_vcpu *vcpu);
/** umbra_vcpu_nested - the state as it is now (registers and PML index move on); NULL
 * while L1 runs. */
const struct umbra_nested *umbra_vcpu_nested(const struct umbra_vcpu *vcpu);

/** umbra_vcpu_exits_to_l1 - is @event of the vCPU, an outcome of umbra_vcpu_fault() or
 * umbra_vcpu_translate(), an exit from L2 to L1 (N-9)? False while L1 runs. */
bool umbra_vcpu_exits_to_l1(const struct umbra_vcpu *vcpu, const struct umbra_event *event);

/**
 * umbra_vcpu_invept - L1 executes INVEPT of @type: 1 for @eptp, 2 for all. EINVAL: another
 * type, or an EPTP that VM entry would refuse (VMfail, H-132); EOPNOTSUPP: no EPT.
 */
enum umbra_status umbra_vcpu_invept(struct umbra_vcpu *vcpu, unsigned type, uint64_t eptp);
/** umbra_vcpu_invvpid - INVVPID of @type 0..3. EINVAL: VMfail (H-132). */
enum umbra_status umbra_vcpu_invvpid(struct umbra_vcpu *vcpu, unsigned type, uint64_t vpid,
				     umbra_gva gva);
/** umbra_vcpu_invlpga - INVLPGA: linear addresses only, L1's NPT may go on lagging (H-112). */
void umbra_vcpu_invlpga(struct umbra_vcpu *vcpu, umbra_gva gva, uint32_t asid);
/**
 * umbra_vcpu_vmfunc - L2 executes VMFUNC with EAX=0, ECX=@index: another EPTP of L1's list
 * (H-87, N-11). EINVAL: exit 59 to L1; EFAULT: the list is outside memory; EOPNOTSUPP:
 * not in L2, or L1 gave no list.
 */
enum umbra_status umbra_vcpu_vmfunc(struct umbra_vcpu *vcpu, uint32_t index);

/* ---- guest memory ---- */

/**
 * umbra_vm_write - a write to guest memory by an instruction emulator or a device:
 * stores the bytes and keeps shadow tables true. EFAULT: not all of it is in
 * writable slots (nothing is written). EINVAL: @size is 0.
 */
enum umbra_status umbra_vm_write(struct umbra_vm *vm, umbra_gpa gpa, const void *bytes,
				 size_t size);
/**
 * umbra_vm_exchange - umbra_vm_write() of an instruction with LOCK: stores @bytes[1] if
 * @bytes[0] are there, in one atomic step. EAGAIN: others are (nothing is written). EFAULT:
 * no writable slot. EINVAL: @size is not 1, 2, 4 or 8, or @gpa no multiple of it.
 */
enum umbra_status umbra_vm_exchange(struct umbra_vm *vm, umbra_gpa gpa, const void *const bytes[2],
				    size_t size);
/** umbra_vm_read - EFAULT unless all of it is in slots. */
enum umbra_status umbra_vm_read(struct umbra_vm *vm, umbra_gpa gpa, void *bytes, size_t size);

/* ---- dirty log ----
 *
 * Of a slot with UMBRA_SLOT_LOG_DIRTY, a bit a page from its first on, 64 a word: written, by
 * the guest or by the library, since the bit was taken; or perhaps only about to be.
 */
/**
 * umbra_vm_get_dirty_log - the marks of slot @id go to @bitmap, (pages + 63) / 64 words, and are
 * taken, unless manual_dirty. ENOENT: no such slot, or it is not logged. EINVAL: id too large.
 */
enum umbra_status umbra_vm_get_dirty_log(struct umbra_vm *vm, uint32_t id, uint64_t *bitmap);
/**
 * umbra_vm_clear_dirty_log - take the marks that @bitmap has set, of pages [first_page,
 * first_page + page_count); bit 0 is first_page. EINVAL: first_page no multiple of 64 or
 * beyond the slot; page_count too many, or neither a multiple of 64 nor all that are left
 * (M-21). ENOENT as above.
 */
enum umbra_status umbra_vm_clear_dirty_log(struct umbra_vm *vm, uint32_t id, uint64_t first_page,
					   uint64_t page_count, const uint64_t *bitmap);
/**
 * umbra_vm_set_manual_dirty - umbra_vm_config.manual_dirty from now on; marks stay. EINVAL: @manual
 * is none of 0, 1 and 3.
 */
enum umbra_status umbra_vm_set_manual_dirty(struct umbra_vm *vm, unsigned manual);

/* ---- private memory ---- */

/** The page is private: the guest has the slot's private memory there. */
#define UMBRA_ATTRIBUTE_PRIVATE (1ull << 3) /* KVM_MEMORY_ATTRIBUTE_PRIVATE */
/**
 * umbra_vm_set_attributes - pages [gpa, gpa + size) are private from now on, or shared
 * (@attributes: 0), with or without slots (M-40). What is mapped there goes, and
 * faults map the other memory; none gives MEMORY_FAULT. umbra_vm_read() and _write() follow.
 * EINVAL: unknown attributes, or PRIVATE in a VM without private memory; gpa or size not page
 * aligned; size 0, end not below 2^64. ENOMEM: nothing has changed.
 */
enum umbra_status umbra_vm_set_attributes(struct umbra_vm *vm, umbra_gpa gpa, uint64_t size,
					  uint64_t attributes);

/** umbra_vm_zap_all - drop all tables; they are rebuilt on demand. vCPUs may go on
 * meanwhile: the MMU lock is given up now and then (S-62). */
void umbra_vm_zap_all(struct umbra_vm *vm);
/** umbra_vm_shrink - memory is short: give back @pages table pages, oldest first, none that
 * is a root. Returns how many: fewer if there are not so many, more if what went last took
 * along tables that only it led to. */
uint64_t umbra_vm_shrink(struct umbra_vm *vm, uint64_t pages);
/**
 * umbra_vm_unprotect - the embedder cannot emulate the write to @gpa that it was told
 * to: forget that there is a guest table, so that the guest can write by itself when
 * it is entered again (S-44). False: there was none.
 */
bool umbra_vm_unprotect(struct umbra_vm *vm, umbra_gpa gpa);
/**
 * umbra_vm_track - from now on (@on) guest writes to the page of @gpa give EMULATE, or
 * no longer. Counts; at most 65,535 trackers a page. ENOENT: no slot; ENOMEM; EINVAL: too
 * many trackers, or none to end.
 */
enum umbra_status umbra_vm_track(struct umbra_vm *vm, umbra_gpa gpa, bool on);

/* ---- watching ---- */

/** struct umbra_stats - KVM's names (facts L-7). */
struct umbra_stats {
	uint64_t pf_taken, pf_fixed, pf_emulate, pf_spurious, pf_guest, pf_mmio;
	uint64_t pf_mmio_spte_created;
	uint64_t pf_changed_pfn; /* spurious, but another frame is mapped: a bug (I-17) */
	uint64_t tlb_flush, invlpg;
	uint64_t mmu_shadow_zapped, mmu_pte_write, mmu_pde_zapped, mmu_recycled, mmu_cache_miss;
	uint64_t mmu_flooded;
	uint64_t mmu_unsync; /* tables that went unsync, ever */
	uint64_t mmu_shadow_pages; /* table pages now */
	uint64_t pages_4k, pages_2m, pages_1g; /* leaves now */
	uint64_t metadata_bytes; /* of table pages, reverse map and slots, now */
};
void umbra_vm_stats(const struct umbra_vm *vm, struct umbra_stats *stats);

/** struct umbra_role - what a table page is for. */
struct umbra_role {
	/** Of the table, and of the root of the guest's tables that it belongs to (0: none). */
	uint8_t level, guest_level;
	/** The guest's tables are L1's EPT. */
	bool ept;
	/** Maps guest frames linearly instead of mirroring a guest's table. */
	bool direct;
	/** Above the guest's root, to which it leads: a portal. */
	bool promoted;
	/** Root of four entries below 4 GiB. */
	bool pae_root;
	/** Which slice of a table of 4-byte entries; CR3[11:5] or nCR3[11:5] of PDPTEs. */
	uint8_t quadrant, pae_offset;
};
/** umbra_describe_role - the word that trace events and struct umbra_recent call role. */
void umbra_describe_role(uint64_t word, struct umbra_role *role);

/** struct umbra_finding - one broken invariant. */
struct umbra_finding {
	/** Its name in docs/INVARIANTS.md, e.g. "I-7". */
	const char *invariant;
	const char *what;
	/** Entry address, its value, and a second value where one is compared. */
	uint64_t where, value, other;
	/** The last events that touched that entry, or its table page, oldest first, as far
	 * as they are among the VM's last few hundred (struct umbra_recent in host.h). Good
	 * until @found returns. */
	const struct umbra_recent *recent;
	unsigned recent_count;
};
/**
 * umbra_audit - check every invariant of docs/INVARIANTS.md; calls @found for each
 * breach. Returns their number. Changes nothing, allocates nothing.
 */
uint64_t umbra_audit(struct umbra_vm *vm,
		     void (*found)(void *context, const struct umbra_finding *finding),
		     void *context);

#ifdef __cplusplus
}
#endif
#endif
