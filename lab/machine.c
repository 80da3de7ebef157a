/* SPDX-License-Identifier: MIT */
/*
 * machine.c - the UMBRA machine: an embedder's loop around one model CPU.
 *
 *	enter -> model_access -> done, or the guest's own exception
 *	  ^          |
 *	  |       an exit -> umbra_vcpu_fault -> RESUME, RETRY ----.
 *	  '---------------------------------------------------------'
 *	                                       -> INJECT, MMIO, EMULATE
 *
 * Flushes are those of a real embedder and no more, so that a hostile CPU shows
 * what Umbra forgot to ask for:
 *	umbra_host_flush   all tags. EPT: INVEPT of all EPTPs; AMD: TLB_CONTROL 3 at
 *	                   each tag's next VMRUN; shadow on Intel: INVVPID of all
 *	root.flush         the tag that is entered. EPT: INVVPID of it and INVEPT of
 *	                   the EPTP; the rest as above
 * L1 and L2 have a tag each. With several CPUs umbra_host_flush reaches all, and
 * umbra_host_kick is what makes another one load its root again. An entry by itself
 * flushes nothing (VPID and ASID are in use). Entering is left out where it could
 * change nothing.
 *
 * MMIO and EMULATE are completed as an instruction emulator would: translate
 * every piece with umbra_vcpu_translate, then read and write by umbra_vm_*. What
 * the hardware's own walk of a guest table wrote to a mirrored page is no
 * instruction: the page is unprotected, and the guest goes on. Where L2's table is one of
 * L1's for L2 besides, on the way to itself, that would go on forever: then the whole
 * access is emulated, as KVM does.
 *
 * Invariants: the CPU never runs with a root older than the last
 * umbra_vcpu_load that Umbra's answers made necessary; at most LAB_ROUNDS
 * faults per access.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lab/parts.h"

#define UNPROTECTED_MAX 8

/* ---- flushes ---- */

static void flush_cpu(struct lab *lab, struct lab_cpu *cpu)
{
	lab->counts.flushes++;
	if (!cpu->entered)
		return;
	if (lab->config.cpu.vendor == UMBRA_VENDOR_AMD) {
		cpu->tlb_control[LAB_TAG] = cpu->tlb_control[LAB_TAG_L2] = 3;
		cpu->stale = true;
	} else if (lab->config.paging == UMBRA_PAGING_EPT) {
		model_invept(cpu->model, 2, 0);
	} else {
		model_invvpid(cpu->model, 2, 0, (umbra_gva){0});
	}
}

/* What umbra_vcpu_load asks for the root that it gave. */
static void flush_tag(struct lab *lab, struct lab_cpu *cpu, uint16_t tag)
{
	lab->counts.flushes++;
	if (lab->config.cpu.vendor == UMBRA_VENDOR_AMD) {
		cpu->tlb_control[tag] = 3;
		return;
	}
	model_invvpid(cpu->model, 1, tag, (umbra_gva){0});
	if (lab->config.paging == UMBRA_PAGING_EPT)
		model_invept(cpu->model, 1, cpu->root.pointer);
}

static void on_flush(void *context, const struct umbra_flush *flush)
{
	struct lab *lab = context;

	(void)flush;
	for (unsigned i = 0; i < lab->cpu_count; i++)
		flush_cpu(lab, &lab->cpu[i]);
}

static void on_kick(void *context, unsigned vcpu)
{
	struct lab *lab = context;

	if (vcpu < lab->cpu_count)
		lab->cpu[vcpu].stale = true;
}

static void on_bug(void *context, const char *file, int line, const char *what)
{
	struct lab *lab = context;

	if (lab->bug)
		lab->bug(lab, file, line, what);
	fprintf(stderr, "umbra: bug: %s:%d: %s\n", file, line, what);
}

void machine_forget(struct lab *lab)
{
	const uint16_t tag = lab->in_l2 ? LAB_TAG_L2 : LAB_TAG;

	if (lab->config.cpu.vendor == UMBRA_VENDOR_AMD)
		lab->at->tlb_control[tag] = 3;
	else if (lab_is_tdp(lab))
		model_invvpid(lab->at->model, 1, tag, (umbra_gva){0});
	lab->at->stale = true;
}

/* A #PF that the emulator delivers ends what was cached for its address (H-112). */
static void end_cached(struct lab *lab, umbra_gva gva)
{
	const uint16_t tag = lab->in_l2 ? LAB_TAG_L2 : LAB_TAG;

	umbra_vcpu_invlpg(lab->at->vcpu, gva);
	if (!lab_is_tdp(lab))
		return;
	if (lab->config.cpu.vendor == UMBRA_VENDOR_AMD)
		model_invlpga(lab->at->model, gva, tag);
	else
		model_invvpid(lab->at->model, 0, tag, gva);
}

/* ---- opening ---- */

/* Register @bytes as home @which of memory @index. */
static bool add_home(struct lab *lab, unsigned index, unsigned which, void *bytes)
{
	const struct lab_memory *m = &lab->memory[index];
	const uint64_t skew = lab->config.skew ? UMBRA_PAGE_SIZE : 0;
	struct lab_home *home = &lab->home[index][which];
	const struct posix_region region = {
		.base = {(which ? LAB_TWIN : LAB_PLACE) + m->base.v + skew},
		.size = m->size,
		.bytes = bytes,
		.level = lab->config.page_level,
		.readonly = m->readonly,
	};

	home->base = region.base.v;
	home->bytes = bytes;
	return posix_region_add(lab->host, &region, &home->hva) &&
	       model_mem_add(lab->umbra_mem, region.base, m->size, bytes);
}

static enum umbra_status set_slot(struct lab *lab, unsigned index)
{
	const struct lab_memory *m = &lab->memory[index];
	const struct umbra_slot slot = {
		.id = index,
		.flags = m->readonly ? UMBRA_SLOT_READONLY : 0,
		.base = m->base,
		.size = m->size,
		.hva = lab->home[index][lab->at_home[index]].hva,
	};

	return umbra_slot_set(lab->vm, &slot);
}

static bool add_memory(struct lab *lab, unsigned index, char *error, size_t error_size)
{
	enum umbra_status status;

	if (!add_home(lab, index, 0, lab->memory[index].umbra)) {
		snprintf(error, error_size, "guest memory ranges overlap");
		return false;
	}
	status = set_slot(lab, index);
	if (status == UMBRA_OK)
		return true;
	snprintf(error, error_size, "slot 0x%llx: %s",
		 (unsigned long long)lab->memory[index].base.v, umbra_strstatus(status));
	return false;
}

static bool open_vm(struct lab *lab, char *error, size_t error_size)
{
	const struct lab_config *c = &lab->config;
	const struct umbra_vm_config config = {
		.host = lab->host,
		.cpu = c->cpu,
		.paging = c->paging,
		.levels = c->levels,
		.layout = c->layout,
		.page_level = c->page_level,
		.exec_by_mode = c->exec_by_mode,
		.page_limit = c->page_limit,
		.no_mmio_caching = c->no_mmio_caching,
		.mmio_wide_generation = c->mmio_wide_generation,
		.l1tf_cache_bits = c->l1tf_cache_bits,
		.bug_truncate_gpa = c->bug_truncate_gpa,
	};
	const struct umbra_cpu guest = lab_guest_cpu(c);
	enum umbra_status status = umbra_vm_create(&config, &lab->vm);

	if (status != UMBRA_OK) {
		snprintf(error, error_size, "such a VM cannot be: %s", umbra_strstatus(status));
		return false;
	}
	for (unsigned i = 0; i < lab->memory_count; i++) {
		if (!add_memory(lab, i, error, error_size))
			return false;
	}
	for (unsigned i = 0; i < lab->cpu_count && status == UMBRA_OK; i++)
		status = umbra_vcpu_create(lab->vm, &guest, &lab->cpu[i].vcpu);
	if (status == UMBRA_OK)
		return true;
	snprintf(error, error_size, "such a vCPU cannot be: %s", umbra_strstatus(status));
	return false;
}

bool machine_open(struct lab *lab, char *error, size_t error_size)
{
	struct model_config config = {
		.cpu = lab->config.cpu,
		.caching = lab->config.caching,
		.choices = lab->config.choices,
		.seed = lab->config.seed,
	};
	const struct posix_config host = {.poison = true, .single = true};
	const struct posix_calls calls = {
		.context = lab, .flush = on_flush, .kick = on_kick, .bug = on_bug};

	lab->umbra_mem = model_mem_new();
	lab->host = posix_host_new(&host);
	lab->cpu_count = lab->config.cpus ? lab->config.cpus : 1;
	lab->at = &lab->cpu[0];
	lab->random = lab->config.seed;
	for (unsigned i = 0; lab->umbra_mem && lab->host && i < lab->cpu_count; i++) {
		lab->cpu[i].model = model_cpu_new(lab->umbra_mem, &config);
		config.seed++;
	}
	if (!lab->cpu[lab->cpu_count - 1].model) {
		snprintf(error, error_size, "out of memory");
		return false;
	}
	posix_set_calls(lab->host, &calls);
	for (unsigned pool = 0; pool < POSIX_POOL_COUNT; pool++) {
		struct posix_range range = posix_pool_range(lab->host, pool);

		if (!model_mem_add(lab->umbra_mem, range.base, range.size, range.bytes)) {
			snprintf(error, error_size, "out of memory");
			return false;
		}
	}
	return open_vm(lab, error, error_size);
}

/* The library has to give back all it was given. */
static void end_vm(struct lab *lab)
{
	struct posix_counts left;

	umbra_vm_destroy(lab->vm);
	lab->vm = NULL;
	posix_counts(lab->host, &left);
	if (left.pages || left.bytes || left.deferred)
		umbra_host_bug(lab->host, __FILE__, __LINE__, "memory is left after the VM");
}

void machine_close(struct lab *lab)
{
	for (unsigned i = 0; i < lab->cpu_count; i++)
		lab->cpu[i].entered = false;
	if (lab->vm)
		end_vm(lab);
	for (unsigned i = 0; i < lab->cpu_count; i++)
		model_cpu_free(lab->cpu[i].model);
	if (lab->umbra_mem)
		model_mem_free(lab->umbra_mem);
	posix_host_free(lab->host);
	for (unsigned i = 0; i < lab->memory_count; i++) {
		if (lab->home[i][1].bytes)
			munmap(lab->home[i][1].bytes, lab->memory[i].size);
	}
}

/* ---- moving ---- */

static bool wrong(struct lab_side *side, const char *what)
{
	side->end = LAB_WRONG;
	side->what = what;
	return false;
}

static bool failed(struct lab_side *side, enum umbra_status status)
{
	side->end = LAB_STATUS;
	side->status = status;
	return false;
}

static bool make_twin(struct lab *lab, unsigned index)
{
	void *bytes;

	if (lab->home[index][1].bytes)
		return true;
	bytes = mmap(NULL, lab->memory[index].size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return bytes != MAP_FAILED && add_home(lab, index, 1, bytes);
}

bool machine_move(struct lab *lab, unsigned index, struct lab_side *side)
{
	const struct umbra_slot gone = {.id = index};
	struct lab_memory *m = &lab->memory[index];
	enum umbra_status status;
	void *old = m->umbra;

	if (!make_twin(lab, index))
		return wrong(side, "no memory to move to");
	status = umbra_slot_set(lab->vm, &gone);
	if (status != UMBRA_OK)
		return failed(side, status);
	lab->at_home[index] ^= 1;
	m->umbra = lab->home[index][lab->at_home[index]].bytes;
	memcpy(m->umbra, old, m->size);
	memset(old, 0xee, m->size);
	status = set_slot(lab, index);
	return status == UMBRA_OK || failed(side, status);
}

/* ---- entering ---- */

static bool same_root(const struct umbra_root *a, const struct umbra_root *b)
{
	return a->pointer == b->pointer && a->nested == b->nested &&
	       a->exec_by_mode == b->exec_by_mode && a->readonly_tables == b->readonly_tables &&
	       !memcmp(&a->regs, &b->regs, sizeof(a->regs)) &&
	       !memcmp(&a->host, &b->host, sizeof(a->host));
}

/* The guest pages by PAE: the CPU reads PDPTEs when it enters a shadow root. */
static bool reads_pdptes(const struct lab *lab)
{
	const struct umbra_regs *regs = &lab->at->root.regs;

	return !lab_is_tdp(lab) && !(regs->efer & UMBRA_EFER_LMA) && regs->cr0 & UMBRA_CR0_PG &&
	       regs->cr4 & UMBRA_CR4_PAE;
}

bool machine_enter(struct lab *lab, struct lab_side *side)
{
	struct lab_cpu *cpu = lab->at;
	struct model_state state;
	struct umbra_root root;
	enum umbra_status status;
	uint16_t tag;
	bool same;

	if (cpu->entered && !cpu->stale)
		return true;
	memset(&root, 0, sizeof(root));
	/* Every second time, so that both ways are gone. */
	if (cpu->entered && lab->counts.flushes & 1 && umbra_vcpu_stays(cpu->vcpu)) {
		root = cpu->root;
		root.flush = true;
	} else {
		status = umbra_vcpu_load(cpu->vcpu, &root);
		if (status != UMBRA_OK)
			return failed(side, status);
	}
	same = cpu->entered && same_root(&root, &lab->at->root);
	lab->at->root = root;
	cpu->stale = false;
	cpu->entered = true;
	tag = root.nested ? LAB_TAG_L2 : LAB_TAG;
	if (root.flush)
		flush_tag(lab, cpu, tag);
	if (same && !cpu->tlb_control[tag] && !reads_pdptes(lab))
		return true;

	state = (struct model_state){
		.regs = root.regs,
		.load_pdptes = !lab_is_tdp(lab),
		.long_code = lab->long_code,
		.tag = tag,
		.tlb_control = cpu->tlb_control[tag],
	};
	if (lab->config.paging == UMBRA_PAGING_EPT) {
		state.stage2 = MODEL_EPT;
		state.eptp = root.pointer;
		state.mbec = root.exec_by_mode;
	} else if (lab->config.paging == UMBRA_PAGING_NPT) {
		state.stage2 = MODEL_NPT;
		state.ncr3 = root.pointer;
		state.hcr0 = root.host.cr0;
		state.hcr4 = root.host.cr4;
		state.hefer = root.host.efer;
		state.gmet = root.exec_by_mode;
		state.rogpt = root.readonly_tables;
	}
	lab->counts.entries++;
	cpu->tlb_control[tag] = 0;
	if (model_enter(cpu->model, &state).kind != UMBRA_EVENT_NONE) {
		cpu->entered = false;
		return wrong(side, "VM entry failed: the CPU refuses this root");
	}
	return true;
}

/* ---- emulation ---- */

/* The pieces of an access, a page each. Returns how many. */
static unsigned split(const struct lab *lab, const struct lab_access *access,
		      struct lab_access piece[2])
{
	uint64_t mask = lab->long_code ? ~0ull : UINT32_MAX;
	unsigned room = UMBRA_PAGE_SIZE - (unsigned)(access->gva.v % UMBRA_PAGE_SIZE);

	piece[0] = *access;
	if (access->size <= room)
		return 1;
	piece[1] = *access;
	piece[0].size = (uint8_t)room;
	piece[1].size = (uint8_t)(access->size - room);
	piece[1].gva.v = (access->gva.v + room) & mask;
	if (access->data)
		piece[1].data = (const uint8_t *)access->data + room;
	return 2;
}

static bool emulate_piece(struct lab *lab, const struct lab_access *a,
			  const struct lab_piece *piece, uint8_t *read, struct lab_side *side)
{
	const bool write = a->access & UMBRA_ACCESS_WRITE;
	uint8_t old[64];
	enum umbra_status status = UMBRA_OK;

	memset(read, 0xff, a->size);
	if (piece->place != LAB_NOTHING)
		status = umbra_vm_read(lab->vm, piece->gpa, old, a->size);
	if (status == UMBRA_OK && !write && piece->place != LAB_NOTHING)
		memcpy(read, old, a->size);
	if (status == UMBRA_OK && write && piece->place == LAB_RAM)
		status = umbra_vm_write(lab->vm, piece->gpa, a->data ? a->data : old, a->size);
	return status == UMBRA_OK || failed(side, status);
}

static void emulate(struct lab *lab, const struct lab_access *access, struct lab_side *side,
		    const struct umbra_resolution *resolution, bool table)
{
	const bool write = access->access & UMBRA_ACCESS_WRITE;
	struct lab_access piece[2];
	unsigned count = split(lab, access, piece), done = 0;
	bool meant = table; /* the place is that of a guest table, none of the access's */

	for (unsigned i = 0; i < count; i++) {
		struct umbra_translation t;
		enum umbra_status status =
			umbra_vcpu_translate(lab->at->vcpu, piece[i].gva, access->access, true, &t);
		enum lab_place place;

		if (status != UMBRA_OK) {
			failed(side, status);
			return;
		}
		if (t.event.kind != UMBRA_EVENT_NONE) {
			if (t.event.kind == UMBRA_EVENT_PF)
				end_cached(lab, t.event.gva);
			lab->at->stale = true;
			machine_took(lab, &t.event, side);
			return;
		}
		place = lab_place_of(lab, t.gpa, NULL);
		side->piece[i] = (struct lab_piece){t.gpa, piece[i].size, place, {MODEL_GPA_ANY}};
		if (resolution->gpa.v - t.gpa.v >= piece[i].size)
			continue;
		meant = resolution->verdict == UMBRA_MMIO
				? place == LAB_NOTHING || (place == LAB_ROM && write)
				: (place == LAB_RAM && write) ||
					  (place != LAB_NOTHING &&
					   access->access & UMBRA_ACCESS_SHSTK);
	}
	if (!meant && !(lab->lax && lab_is_tdp(lab))) {
		wrong(side,
		      resolution->verdict == UMBRA_MMIO
			      ? "verdict MMIO, but not for an address without memory"
			      : "verdict EMULATE, but for no write and no shadow-stack access");
		return;
	}
	side->end = LAB_DONE;
	side->piece_count = count;
	for (unsigned i = 0; i < count; i++) {
		if (!emulate_piece(lab, &piece[i], &side->piece[i], side->data + done, side))
			return;
		done += piece[i].size;
	}
	if (write)
		memset(side->data, 0, sizeof(side->data));
}

/* ---- the loop ---- */

void machine_took(const struct lab *lab, const struct umbra_event *event, struct lab_side *side)
{
	side->end = umbra_vcpu_exits_to_l1(lab->at->vcpu, event) ? LAB_EXIT_L1 : LAB_EXCEPTION;
	side->event = *event;
}

/* Was it the walk of the guest's tables that faulted? */
static bool is_table_access(const struct umbra_event *event)
{
	switch (event->kind) {
	case UMBRA_EVENT_EPT_VIOLATION: return !(event->code & UMBRA_EPTQ_FINAL);
	case UMBRA_EVENT_NPF: return event->code & UMBRA_NPF_TABLE;
	default: return false;
	}
}

bool machine_resolve(struct lab *lab, const struct umbra_event *event,
		     const struct lab_access *access, struct lab_side *side,
		     struct umbra_resolution *resolution)
{
	const unsigned user = UMBRA_ACCESS_USER | UMBRA_ACCESS_IMPLICIT;
	const struct umbra_exit exit = {
		.event = *event,
		.cpl = access->access & user ? 3 : 0,
		.ac = access->access & UMBRA_ACCESS_AC,
	};
	enum umbra_status status;

	memset(resolution, 0, sizeof(*resolution));
	resolution->verdict = UMBRA_VERDICT_COUNT;
	side->rounds++;
	lab->counts.exits[event->kind]++;
	status = umbra_vcpu_fault(lab->at->vcpu, &exit, resolution);
	lab->at->stale = true;
	if (status != UMBRA_OK) {
		resolution->verdict = UMBRA_VERDICT_COUNT;
		return failed(side, status);
	}
	if (resolution->verdict < UMBRA_VERDICT_COUNT)
		lab->counts.verdicts[resolution->verdict]++;
	if (lab->config.audit)
		lab_audit(lab);
	switch (resolution->verdict) {
	case UMBRA_RESUME:
	case UMBRA_RETRY: return true;
	case UMBRA_INJECT:
		side->end = resolution->to_l1 ? LAB_EXIT_L1 : LAB_EXCEPTION;
		side->event = resolution->event;
		return false;
	case UMBRA_EMULATE:
		if (lab_is_tdp(lab) && !lab->mirrors) {
			resolution->verdict = UMBRA_VERDICT_COUNT;
			return wrong(side, "verdict EMULATE without shadow tables");
		}
		/* Again and again: the way there leads through what was unprotected. */
		if (!is_table_access(event) || side->unprotected++ == UNPROTECTED_MAX)
			return false;
		return umbra_vm_unprotect(lab->vm, resolution->gpa) ||
		       wrong(side, "verdict EMULATE for a page that mirrors nothing");
	case UMBRA_MMIO: return false;
	case UMBRA_MEMORY_FAULT: return wrong(side, "verdict MEMORY_FAULT");
	default: return wrong(side, "no verdict");
	}
}

/* The guest-physical address that lies at @hpa now. */
static bool guest_address(const struct lab *lab, umbra_hpa hpa, umbra_gpa *gpa)
{
	for (unsigned i = 0; i < lab->memory_count; i++) {
		uint64_t offset = hpa.v - lab->home[i][lab->at_home[i]].base;

		if (offset >= lab->memory[i].size)
			continue;
		gpa->v = lab->memory[i].base.v + offset;
		return true;
	}
	return false;
}

/* Done by hardware: where, in the guest's terms? */
static void completed(struct lab *lab, const struct model_outcome *outcome, struct lab_side *side)
{
	side->end = LAB_DONE;
	side->piece_count = outcome->piece_count;
	for (unsigned i = 0; i < outcome->piece_count; i++) {
		const struct model_piece *piece = &outcome->piece[i];
		umbra_gpa gpa = {0};

		if (!guest_address(lab, piece->hpa, &gpa))
			wrong(side, "translated to host memory that is not the guest's");
		else if (lab_is_tdp(lab) && !nested_paging(lab) && gpa.v != piece->gpa.v)
			wrong(side, "translated to the host memory of another guest address");
		side->piece[i] = (struct lab_piece){gpa, piece->size, lab_place_of(lab, gpa, NULL),
						    piece->gpa};
	}
}

static bool own_exception(const struct lab *lab, const struct umbra_event *event)
{
	return event->kind == UMBRA_EVENT_GP || event->kind == UMBRA_EVENT_SS ||
	       (event->kind == UMBRA_EVENT_PF && lab_is_tdp(lab));
}

void machine_access(struct lab *lab, const struct lab_access *access, struct lab_side *side)
{
	const bool write = access->access & UMBRA_ACCESS_WRITE;
	uint8_t data[64];
	struct model_access a = {
		.gva = access->gva,
		.size = access->size,
		.access = access->access,
		.data = write ? NULL : side->data,
	};
	struct umbra_resolution resolution;
	struct model_outcome outcome;

	if (write && access->data)
		a.data = memcpy(data, access->data, access->size);
	while (side->rounds < LAB_ROUNDS) {
		if (!machine_enter(lab, side))
			return;
		model_access(lab->at->model, &a, &outcome);
		if (outcome.event.kind == UMBRA_EVENT_NONE) {
			completed(lab, &outcome, side);
			return;
		}
		if (own_exception(lab, &outcome.event)) {
			machine_took(lab, &outcome.event, side);
			return;
		}
		if (machine_resolve(lab, &outcome.event, access, side, &resolution))
			continue;
		if (resolution.verdict == UMBRA_MMIO || resolution.verdict == UMBRA_EMULATE)
			emulate(lab, access, side, &resolution, is_table_access(&outcome.event));
		return;
	}
	side->end = LAB_NO_PROGRESS;
}
