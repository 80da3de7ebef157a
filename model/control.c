/* SPDX-License-Identifier: MIT */
/*
 * control.c - control state: MOV CR, WRMSR EFER, VM entry and VMRUN.
 *
 * Each operation checks first, then reads PDPTE registers if the mode has them
 * (H-20), and only then changes anything; on an event the CPU is as before.
 * cpu_bind() folds the new state into what translations look at. Flushes are
 * those of H-112, by flush.c.
 */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

static const struct umbra_event none;
static const struct umbra_event gp = {.kind = UMBRA_EVENT_GP};

struct model_cpu *model_cpu_new(struct model_mem *mem, const struct model_config *config)
{
	struct model_cpu *cpu = calloc(1, sizeof(*cpu));

	if (!cpu)
		return NULL;
	cpu->mem = mem;
	cpu->config = *config;
	cpu->random = config->seed ^ 0x9e3779b97f4a7c15ull;
	cpu_bind(cpu);
	return cpu;
}

void model_cpu_free(struct model_cpu *cpu)
{
	if (!cpu)
		return;
	for (int i = 0; i < FACT_KINDS; i++)
		cache_free(&cpu->cache[i]);
	free(cpu);
}

const struct model_state *model_state_of(const struct model_cpu *cpu)
{
	return &cpu->state;
}

const struct model_stats *model_stats_of(const struct model_cpu *cpu)
{
	return &cpu->stats;
}

/* PDPTE registers, or PDPTEs read in the walk? NPT guests: the latter (H-22). */
static bool pdpte_in_memory(const struct umbra_cpu *cpu, enum model_stage2_kind stage2)
{
	return cpu->features & UMBRA_CPU_PDPTE_MEMORY || stage2 == MODEL_NPT;
}

uint64_t control_eptrta(uint64_t eptp)
{
	return (eptp & bits(51, 12)) | 1; /* bit 0: EPT in use */
}

bool control_eptp_valid(const struct umbra_cpu *cpu, uint64_t eptp)
{
	unsigned type = eptp & 7, length = eptp >> 3 & 7;
	uint64_t reserved = bits(11, 8) | bits(63, cpu->maxphyaddr);

	if (type != 0 && type != 6)
		return false;
	if (length != 3 && !(length == 4 && cpu->features & UMBRA_CPU_EPT_LEVEL5))
		return false;
	if (eptp & EPTP_AD && !(cpu->features & UMBRA_CPU_EPT_AD))
		return false;
	if (eptp & EPTP_SSS && !(cpu->features & UMBRA_CPU_EPT_SSS))
		return false;
	return !(eptp & reserved);
}

void cpu_bind(struct model_cpu *cpu)
{
	const struct model_state *s = &cpu->state;
	const struct umbra_regs *r = &s->regs;
	const struct umbra_cpu *c = &cpu->config.cpu;
	bool long_mode = r->efer & UMBRA_EFER_LMA && r->cr0 & UMBRA_CR0_PG;
	bool ept = s->stage2 == MODEL_EPT;

	paging_bind(&cpu->guest, c, r, pdpte_in_memory(c, s->stage2));
	if (ept) {
		paging_bind_ept(&cpu->nested, c, s->eptp, s->mbec, s->paging_write);
	} else if (s->stage2 == MODEL_NPT) {
		struct umbra_regs host = {.cr0 = s->hcr0 | UMBRA_CR0_PG,
					  .cr3 = s->ncr3,
					  .cr4 = s->hcr4,
					  .efer = s->hefer};

		/* PAE hosts: nested PDPEs are read in the walk here (H-102 unsure). */
		paging_bind(&cpu->nested, c, &host, true);
	}
	cpu->tags.tag = s->tag;
	cpu->tags.pcid = long_mode && r->cr4 & UMBRA_CR4_PCIDE ? r->cr3 & 0xfff : 0;
	cpu->tags.ept = ept ? control_eptrta(s->eptp) : 0;
	cpu->tags.unpaged = !cpu->guest.top;
	cpu->hostile = cpu->config.caching == MODEL_HOSTILE;
	cpu->rewalk = c->features & UMBRA_CPU_REWALK;
	cpu->wp = r->cr0 & UMBRA_CR0_WP;
	cpu->smep = r->cr4 & UMBRA_CR4_SMEP;
	cpu->smap = r->cr4 & UMBRA_CR4_SMAP;
	cpu->pke = long_mode && r->cr4 & UMBRA_CR4_PKE;
	cpu->pks = long_mode && r->cr4 & UMBRA_CR4_PKS;
	cpu->nxe = r->efer & UMBRA_EFER_NXE;
	cpu->pge = r->cr4 & UMBRA_CR4_PGE;
	cpu->fetch_bit = r->cr4 & UMBRA_CR4_PAE && cpu->nxe;
	cpu->ept_ad = ept && s->eptp & EPTP_AD;
	cpu->npt_sss = s->stage2 == MODEL_NPT && s->npt_sss && s->hcr4 & UMBRA_CR4_PAE &&
		       s->hefer & UMBRA_EFER_NXE;
	cpu->pml = cpu->ept_ad && s->pml;
	cpu->ept_sss = ept && s->eptp & EPTP_SSS;
	cpu->max_linear_bits = c->features & UMBRA_CPU_LA57 ? 57 : 48;
	cpu->linear_bits = 0;
	if (long_mode && s->long_code)
		cpu->linear_bits = r->cr4 & UMBRA_CR4_LA57 ? 57 : 48;
}

/* ---- which bits may be set ---- */

struct feature_bit {
	uint64_t bit;
	uint32_t feature;
};

static const struct feature_bit cr4_features[] = {
	{UMBRA_CR4_PSE, UMBRA_CPU_PSE},     {UMBRA_CR4_PAE, UMBRA_CPU_PAE},
	{UMBRA_CR4_PGE, UMBRA_CPU_PGE},     {UMBRA_CR4_LA57, UMBRA_CPU_LA57},
	{UMBRA_CR4_PCIDE, UMBRA_CPU_PCID},  {UMBRA_CR4_SMEP, UMBRA_CPU_SMEP},
	{UMBRA_CR4_SMAP, UMBRA_CPU_SMAP},   {UMBRA_CR4_PKE, UMBRA_CPU_PKU},
	{UMBRA_CR4_CET, UMBRA_CPU_SHSTK},   {UMBRA_CR4_PKS, UMBRA_CPU_PKS},
	{UMBRA_CR4_LAM_SUP, UMBRA_CPU_LAM},
};
/* VME PVI TSD DE, MCE, PCE OSFXSR OSXMMEXCPT UMIP, VMXE SMXE, FSGSBASE, OSXSAVE KL, UINTR. */
#define CR4_OTHER 0x20d6f4full

static bool cr4_bits_valid(const struct umbra_cpu *cpu, uint64_t cr4)
{
	uint64_t allowed = CR4_OTHER;

	for (unsigned i = 0; i < sizeof(cr4_features) / sizeof(cr4_features[0]); i++)
		if (cpu->features & cr4_features[i].feature)
			allowed |= cr4_features[i].bit;
	return !(cr4 & ~allowed);
}

static bool efer_bits_valid(const struct umbra_cpu *cpu, uint64_t efer)
{
	uint64_t allowed = 1; /* SCE */

	if (cpu->features & UMBRA_CPU_LM)
		allowed |= UMBRA_EFER_LME | UMBRA_EFER_LMA;
	if (cpu->features & UMBRA_CPU_NX)
		allowed |= UMBRA_EFER_NXE;
	if (cpu->vendor == UMBRA_VENDOR_AMD) /* SVME LMSLE FFXSR TCE, MCOMMIT INTWB, AIBRS */
		allowed |= 0xf000 | EFER_TCE | 0x60000 | 0x200000;
	return !(efer & ~allowed);
}

/* H-10: reserved bits of CR3 in long mode, bit 63 apart. */
static bool cr3_bits_valid(const struct umbra_cpu *cpu, uint64_t cr3)
{
	uint64_t reserved = bits(63, cpu->maxphyaddr);

	if (cpu->features & UMBRA_CPU_LAM)
		reserved &= ~(CR3_LAM_U57 | CR3_LAM_U48);
	return !(cr3 & reserved);
}

/* ---- PDPTE registers ---- */

static bool uses_pdpte_registers(const struct model_cpu *cpu, const struct model_state *s)
{
	const struct umbra_regs *r = &s->regs;

	return r->cr0 & UMBRA_CR0_PG && r->cr4 & UMBRA_CR4_PAE && !(r->efer & UMBRA_EFER_LMA) &&
	       !pdpte_in_memory(&cpu->config.cpu, s->stage2);
}

static bool pdptes_valid(const struct model_cpu *cpu, const uint64_t *pdpte)
{
	uint64_t reserved = bits(63, cpu->config.cpu.maxphyaddr) | bits(8, 5) | bits(2, 1);

	for (unsigned i = 0; i < 4; i++)
		if (pdpte[i] & PTE_P && pdpte[i] & reserved)
			return false;
	return true;
}

/* A load whose result is known: is it one of those that there could be? */
static struct umbra_event read_pdptes_as(struct model_cpu *cpu, uint64_t gpa, uint64_t *pdpte)
{
	const struct model_load *seen = cpu->load_as;
	struct result_set set = {0};
	struct xlate x = {.cpu = cpu, .set = &set};
	struct s2_ask q = {.gpa = gpa, .use = S2_LOAD_PDPTE};
	struct s2_answer answers[S2_MAX];
	struct umbra_event event = none;
	unsigned n = stage2(&x, &q, answers);

	for (unsigned i = 0; i < n; i++) {
		const struct result *failure = &answers[i].failure;
		bool same = true;

		event = failure->event;
		if (answers[i].failed) {
			if (failure->convertible == CONVERTIBLE && ve_possible(cpu, false))
				event.kind = UMBRA_EVENT_VE;
			if (event.kind == seen->event.kind && event.gpa.v == seen->event.gpa.v &&
			    !((event.code ^ seen->event.code) & failure->code_defined))
				return seen->event;
			continue;
		}
		for (unsigned k = 0; k < 4; k++) {
			pdpte[k] =
				mem_entry(cpu->mem, &cpu->table_hint, answers[i].s2.hpa + 8 * k, 8);
			same &= pdpte[k] == seen->pdpte[k];
		}
		event = pdptes_valid(cpu, pdpte) ? none : gp;
		if (event.kind == seen->event.kind && (same || event.kind != UMBRA_EVENT_NONE))
			return event;
	}
	return event;
}

/* Read the four PDPTEs at s->regs.cr3 into @pdpte; through the second stage if any. */
static struct umbra_event read_pdptes(struct model_cpu *cpu, const struct model_state *s,
				      uint64_t *pdpte)
{
	uint64_t gpa = s->regs.cr3 & 0xffffffe0;
	struct xlate x = {.cpu = cpu};
	struct s2_ask q = {.gpa = gpa, .use = S2_LOAD_PDPTE};
	struct s2_answer answers[S2_MAX];

	if (cpu->load_as && s->stage2 == MODEL_EPT)
		return read_pdptes_as(cpu, gpa, pdpte);
	do {
		x.restart = false;
		stage2(&x, &q, answers);
	} while (x.restart);
	if (answers[0].failed) {
		ve_deliver(cpu, false, &answers[0].failure);
		return answers[0].failure.event;
	}
	for (unsigned i = 0; i < 4; i++)
		pdpte[i] = mem_entry(cpu->mem, &cpu->table_hint, answers[0].s2.hpa + 8 * i, 8);
	return pdptes_valid(cpu, pdpte) ? none : gp;
}

/* Make @next the state, loading PDPTEs if @load. All or nothing. */
static struct umbra_event commit(struct model_cpu *cpu, struct model_state *next, bool load)
{
	if (load && uses_pdpte_registers(cpu, next)) {
		struct umbra_event event = read_pdptes(cpu, next, next->regs.pdpte);

		if (event.kind != UMBRA_EVENT_NONE)
			return event;
	}
	cpu->state = *next;
	cpu_bind(cpu);
	return none;
}

/* ---- MOV CR ---- */

#define CR0_RELOAD (UMBRA_CR0_CD | UMBRA_CR0_NW | UMBRA_CR0_PG)
#define CR4_RELOAD (UMBRA_CR4_PAE | UMBRA_CR4_PGE | UMBRA_CR4_PSE | UMBRA_CR4_SMEP)

/* H-12. */
static bool cr0_valid(const struct model_state *s, uint64_t value)
{
	const struct umbra_regs *r = &s->regs;
	bool pg_set = value & ~r->cr0 & UMBRA_CR0_PG, pg_cleared = r->cr0 & ~value & UMBRA_CR0_PG;

	if (value >> 32 || (value & UMBRA_CR0_PG && !(value & UMBRA_CR0_PE)) ||
	    (value & UMBRA_CR0_NW && !(value & UMBRA_CR0_CD)))
		return false;
	if (pg_set && r->efer & UMBRA_EFER_LME && (!(r->cr4 & UMBRA_CR4_PAE) || s->long_code))
		return false;
	if (pg_cleared && (r->cr4 & UMBRA_CR4_PCIDE || (r->efer & UMBRA_EFER_LMA && s->long_code)))
		return false;
	return !(r->cr4 & UMBRA_CR4_CET && !(value & UMBRA_CR0_WP));
}

struct umbra_event model_mov_cr0(struct model_cpu *cpu, uint64_t value)
{
	struct model_state next = cpu->state;
	uint64_t changed = next.regs.cr0 ^ value;
	struct umbra_event event;

	if (!cr0_valid(&next, value))
		return gp;
	next.regs.cr0 = value;
	next.regs.efer &= ~UMBRA_EFER_LMA;
	if (value & UMBRA_CR0_PG && next.regs.efer & UMBRA_EFER_LME)
		next.regs.efer |= UMBRA_EFER_LMA;
	event = commit(cpu, &next, changed & CR0_RELOAD);
	if (event.kind == UMBRA_EVENT_NONE && changed & UMBRA_CR0_PG)
		flush_control(cpu, value & UMBRA_CR0_PG ? FLUSH_PG_SET : FLUSH_PG_CLEARED);
	return event;
}

struct umbra_event model_mov_cr3(struct model_cpu *cpu, uint64_t value)
{
	struct model_state next = cpu->state;
	bool long_mode = next.regs.efer & UMBRA_EFER_LMA;
	bool pcide = long_mode && next.regs.cr4 & UMBRA_CR4_PCIDE;
	bool keep = pcide && value & CR3_NOFLUSH;
	struct umbra_event event;

	if (pcide)
		value &= ~CR3_NOFLUSH;
	if (!long_mode)
		value &= 0xffffffff;
	else if (!cr3_bits_valid(&cpu->config.cpu, value))
		return gp;
	next.regs.cr3 = value;
	event = commit(cpu, &next, true);
	if (event.kind == UMBRA_EVENT_NONE && !keep)
		flush_pcid(cpu, cpu->tags.pcid);
	return event;
}

/* H-13. */
static bool cr4_valid(const struct model_cpu *cpu, uint64_t value)
{
	const struct umbra_regs *r = &cpu->state.regs;
	uint64_t set = value & ~r->cr4, cleared = r->cr4 & ~value;
	bool long_mode = r->efer & UMBRA_EFER_LMA;

	if (!cr4_bits_valid(&cpu->config.cpu, value))
		return false;
	if (long_mode && (cleared & UMBRA_CR4_PAE || (set | cleared) & UMBRA_CR4_LA57))
		return false;
	if (set & UMBRA_CR4_PCIDE && (!long_mode || r->cr3 & 0xfff))
		return false;
	return !(set & UMBRA_CR4_CET && !(r->cr0 & UMBRA_CR0_WP));
}

struct umbra_event model_mov_cr4(struct model_cpu *cpu, uint64_t value)
{
	static const struct {
		uint64_t bit;
		bool on_set, on_clear;
		enum flush_event event;
	} rules[] = {
		{UMBRA_CR4_PGE, true, true, FLUSH_PGE},
		{UMBRA_CR4_PCIDE, false, true, FLUSH_PCIDE_CLEARED},
		{UMBRA_CR4_PAE, true, true, FLUSH_PAE},
		{UMBRA_CR4_SMEP, true, false, FLUSH_SMEP_SET},
		{UMBRA_CR4_PSE, true, true, FLUSH_PSE},
		{UMBRA_CR4_PKE, true, false, FLUSH_PKE_SET},
	};
	struct model_state next = cpu->state;
	uint64_t set = value & ~next.regs.cr4, cleared = next.regs.cr4 & ~value;
	struct umbra_event event;

	if (!cr4_valid(cpu, value))
		return gp;
	next.regs.cr4 = value;
	event = commit(cpu, &next, (set | cleared) & CR4_RELOAD);
	if (event.kind != UMBRA_EVENT_NONE)
		return event;
	for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if ((rules[i].on_set && set & rules[i].bit) ||
		    (rules[i].on_clear && cleared & rules[i].bit))
			flush_control(cpu, rules[i].event);
	return none;
}

struct umbra_event model_wrmsr_efer(struct model_cpu *cpu, uint64_t value)
{
	struct model_state next = cpu->state;
	uint64_t old = next.regs.efer;

	value = (value & ~UMBRA_EFER_LMA) | (old & UMBRA_EFER_LMA); /* H-14: ignored */
	if (!efer_bits_valid(&cpu->config.cpu, value))
		return gp;
	if ((old ^ value) & UMBRA_EFER_LME && next.regs.cr0 & UMBRA_CR0_PG)
		return gp;
	next.regs.efer = value;
	return commit(cpu, &next, false);
}

void model_set_keys(struct model_cpu *cpu, uint32_t pkru, uint32_t pkrs)
{
	cpu->state.regs.pkru = pkru;
	cpu->state.regs.pkrs = pkrs;
}

/* ---- VM entry, VMRUN ---- */

/* What both vendors and plain software agree on (H-12, H-96, H-133). */
static bool state_valid(const struct umbra_cpu *cpu, const struct model_state *s)
{
	const struct umbra_regs *r = &s->regs;
	bool pg = r->cr0 & UMBRA_CR0_PG, lme = r->efer & UMBRA_EFER_LME;
	bool lma = pg && lme;

	if (r->cr0 >> 32 || (r->cr0 & UMBRA_CR0_NW && !(r->cr0 & UMBRA_CR0_CD)))
		return false;
	if (!cr4_bits_valid(cpu, r->cr4) || !efer_bits_valid(cpu, r->efer))
		return false;
	if (r->cr4 & UMBRA_CR4_CET && !(r->cr0 & UMBRA_CR0_WP))
		return false;
	if (lma && (!(r->cr4 & UMBRA_CR4_PAE) || !(r->cr0 & UMBRA_CR0_PE)))
		return false;
	if (r->cr4 & UMBRA_CR4_PCIDE && !lma)
		return false;
	return !lma || cr3_bits_valid(cpu, r->cr3);
}

static bool vmx_entry_valid(const struct umbra_cpu *cpu, const struct model_state *s)
{
	const struct umbra_regs *r = &s->regs;
	bool pg = r->cr0 & UMBRA_CR0_PG;
	bool lma = pg && r->efer & UMBRA_EFER_LME;

	if (pg && !(r->cr0 & UMBRA_CR0_PE))
		return false;
	if (!!(r->efer & UMBRA_EFER_LMA) != lma)
		return false;
	if (s->stage2 == MODEL_EPT && !control_eptp_valid(cpu, s->eptp))
		return false;
	if (s->stage2 == MODEL_EPT && s->mbec && !(cpu->features & UMBRA_CPU_MBEC))
		return false;
	if (s->ve && s->ve_area & (bits(11, 0) | bits(63, cpu->maxphyaddr)))
		return false;
	if (s->paging_write && s->stage2 != MODEL_EPT)
		return false;
	return s->stage2 != MODEL_NPT;
}

/* H-96: eight entries of 8 bits, memory types 0, 1 and 4..7. */
static bool pat_valid(uint64_t pat)
{
	for (; pat; pat >>= 8)
		if ((pat & 0xff) > 7 || (pat & 0xff) == 2 || (pat & 0xff) == 3)
			return false;
	return true;
}

static bool svm_entry_valid(const struct umbra_cpu *cpu, const struct model_state *s)
{
	uint64_t ncr3_reserved = bits(63, cpu->maxphyaddr);

	if (s->stage2 == MODEL_EPT)
		return false;
	if (s->tlb_control != 0 && s->tlb_control != 1 && s->tlb_control != 3 &&
	    s->tlb_control != 7)
		return false;
	if (s->stage2 == MODEL_NATIVE)
		return true;
	return s->tag && s->hcr0 & UMBRA_CR0_PG && !(s->ncr3 & ncr3_reserved) && pat_valid(s->gpat);
}

static bool (*const entry_valid[])(const struct umbra_cpu *, const struct model_state *) = {
	[UMBRA_VENDOR_INTEL] = vmx_entry_valid,
	[UMBRA_VENDOR_AMD] = svm_entry_valid,
};

/* VPID 0000h goes at every entry and exit that does not use VPIDs (H-112). */
static void vmx_entry_flush(struct model_cpu *cpu)
{
	if (!cpu->state.tag)
		flush_tag(cpu, 0, true, false);
}

static void svm_entry_flush(struct model_cpu *cpu)
{
	switch (cpu->state.tlb_control) {
	case 1: model_flush_all(cpu); break;
	case 3: flush_tag(cpu, cpu->state.tag, true, true); break;
	case 7: flush_tag(cpu, cpu->state.tag, false, false); break; /* nested part: U-13 */
	}
}

static void (*const entry_flush[])(struct model_cpu *) = {
	[UMBRA_VENDOR_INTEL] = vmx_entry_flush,
	[UMBRA_VENDOR_AMD] = svm_entry_flush,
};

/* Make @state the CPU's, PDPTE registers included, or leave everything as it was. */
static struct umbra_event change_state(struct model_cpu *cpu, const struct model_state *state,
				       bool load_pdptes)
{
	const struct umbra_cpu *c = &cpu->config.cpu;
	struct model_state old = cpu->state;
	struct umbra_event event = none;

	if (!state_valid(c, state) || !entry_valid[c->vendor](c, state))
		return gp;
	cpu->state = *state;
	cpu->state.regs.efer &= ~UMBRA_EFER_LMA;
	if (state->regs.cr0 & UMBRA_CR0_PG && state->regs.efer & UMBRA_EFER_LME)
		cpu->state.regs.efer |= UMBRA_EFER_LMA;
	cpu_bind(cpu);
	if (uses_pdpte_registers(cpu, &cpu->state)) {
		if (load_pdptes)
			event = read_pdptes(cpu, state, cpu->state.regs.pdpte);
		else if (!pdptes_valid(cpu, state->regs.pdpte))
			event = gp;
	}
	if (event.kind != UMBRA_EVENT_NONE) {
		cpu->state = old;
		cpu_bind(cpu);
	}
	return event;
}

struct umbra_event model_enter(struct model_cpu *cpu, const struct model_state *state)
{
	struct umbra_event event = change_state(cpu, state, state->load_pdptes);

	if (event.kind == UMBRA_EVENT_NONE)
		entry_flush[cpu->config.cpu.vendor](cpu);
	return event;
}

/*
 * H-112: an exit flushes VPID 0000h if the guest had no VPID of its own; #VMEXIT
 * nothing. The host's PDPTEs are always loaded (H-20 d).
 */
struct umbra_event model_exit(struct model_cpu *cpu, const struct model_state *host)
{
	bool flush = cpu->config.cpu.vendor == UMBRA_VENDOR_INTEL && !cpu->state.tag;
	struct umbra_event event;

	if (host->stage2 != MODEL_NATIVE || host->tag)
		return gp;
	event = change_state(cpu, host, true);
	if (event.kind == UMBRA_EVENT_NONE && flush)
		flush_tag(cpu, 0, true, false);
	return event;
}

struct umbra_event model_vmfunc_eptp(struct model_cpu *cpu, umbra_hpa list, uint32_t index)
{
	const struct umbra_event exit = {.kind = UMBRA_EVENT_VMFUNC};
	uint64_t eptp;

	if (cpu->state.stage2 != MODEL_EPT)
		return gp;
	if (index >= 512)
		return exit;
	eptp = mem_entry(cpu->mem, &cpu->hint, list.v + 8ull * index, 8);
	if (!control_eptp_valid(&cpu->config.cpu, eptp) || (eptp ^ cpu->state.eptp) >> 3 & 7)
		return exit;
	cpu->state.eptp = eptp;
	if (cpu->state.ve)
		cpu->state.eptp_index = (uint16_t)index;
	cpu_bind(cpu);
	/* H-112: with a VPID nothing goes. */
	if (!cpu->state.tag)
		flush_combined(cpu, 0);
	return none;
}
