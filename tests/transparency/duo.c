/* SPDX-License-Identifier: MIT */
/*
 * duo.c - core's walker and the strict model on equal memories; see duo.h.
 */
#include "tests/transparency/duo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool duo_new(struct duo *duo)
{
	memset(duo, 0, sizeof(*duo));
	duo->mine = aligned_alloc(4096, DUO_SIZE);
	duo->its = aligned_alloc(4096, DUO_SIZE);
	duo->mem = model_mem_new();
	if (!duo->mine || !duo->its || !duo->mem ||
	    !model_mem_add(duo->mem, (umbra_hpa){0}, DUO_SIZE, duo->its)) {
		duo_free(duo);
		return false;
	}
	memset(duo->mine, 0, DUO_SIZE);
	memset(duo->its, 0, DUO_SIZE);
	duo->memory = (struct memory){.size = DUO_SIZE, .bytes = duo->mine, .writable = true};
	return true;
}

void duo_free(struct duo *duo)
{
	if (duo->model)
		model_cpu_free(duo->model);
	if (duo->mem)
		model_mem_free(duo->mem);
	free(duo->mine);
	free(duo->its);
	memset(duo, 0, sizeof(*duo));
}

/* ---- entering ---- */

static bool enter_core(struct duo *duo)
{
	const struct duo_setup *s = &duo->setup;
	const struct format *format;
	uint32_t flags;

	duo->guest = (struct space){.root = s->regs.cr3,
				    .pdpte = duo->setup.regs.pdpte,
				    .pkru = s->regs.pkru,
				    .pkrs = s->regs.pkrs,
				    .memory = &duo->memory};
	format = mode_of_regs(&s->regs, &s->cpu, &flags);
	if (format) {
		/* H-22 */
		if (s->stage2 == MODEL_NPT)
			flags |= MODE_PDPTE_MEMORY;
		mode_bind(&duo->guest_mode, format, flags, s->cpu.maxphyaddr);
		duo->guest.mode = &duo->guest_mode;
	}
	if (s->stage2 == MODEL_NATIVE)
		return true;
	duo->nested = (struct space){.mode = &duo->nested_mode, .memory = &duo->memory};
	duo->guest.parent = &duo->nested;
	if (s->stage2 == MODEL_EPT) {
		format = mode_of_eptp(s->eptp, &s->cpu, s->mbec, &flags);
		duo->nested.root = s->eptp;
	} else {
		format = mode_of_npt(&s->host, &s->cpu, s->gmet, &flags);
		flags |= s->rogpt ? MODE_ROGPT : 0;
		duo->nested.root = s->host.cr3;
	}
	if (format)
		mode_bind(&duo->nested_mode, format, flags, s->cpu.maxphyaddr);
	return format;
}

bool duo_enter(struct duo *duo, const struct duo_setup *setup)
{
	const struct model_config config = {.cpu = setup->cpu, .caching = MODEL_STRICT, .seed = 1};
	const struct model_state state = {
		.regs = setup->regs,
		.long_code = setup->regs.efer & UMBRA_EFER_LMA,
		.stage2 = setup->stage2,
		.tag = setup->stage2 != MODEL_NATIVE,
		.eptp = setup->eptp,
		.mbec = setup->mbec,
		.ncr3 = setup->host.cr3,
		.hcr0 = setup->host.cr0,
		.hcr4 = setup->host.cr4,
		.hefer = setup->host.efer,
		.gmet = setup->gmet,
		.rogpt = setup->rogpt,
	};
	const bool new_cpu =
		!duo->model || memcmp(&setup->cpu, &duo->setup.cpu, sizeof(setup->cpu)) != 0;

	duo->setup = *setup;
	if (new_cpu) {
		if (duo->model)
			model_cpu_free(duo->model);
		duo->model = model_cpu_new(duo->mem, &config);
		if (!duo->model)
			return false;
	}
	if (model_enter(duo->model, &state).kind != UMBRA_EVENT_NONE)
		return false;
	model_set_keys(duo->model, setup->regs.pkru, setup->regs.pkrs);
	return enter_core(duo);
}

void duo_put(struct duo *duo, uint64_t at, uint64_t value, unsigned size)
{
	memcpy(duo->mine + at, &value, size);
	memcpy(duo->its + at, &value, size);
}

/* ---- accesses ---- */

/* Core's result in the model's words. */
static struct model_outcome seen(const struct walk *out)
{
	struct model_outcome o = {.event = out->event, .code_defined = ~0ull};

	if (out->end == WALK_OK) {
		o.piece_count = 1;
		o.piece[0] = (struct model_piece){{out->address}, {out->final}, 1};
	}
	return o;
}

static bool same(const struct walk *out, const struct model_outcome *o)
{
	const struct umbra_event *e = &out->event, *m = &o->event;

	if (e->kind != m->kind)
		return false;
	if (e->kind == UMBRA_EVENT_NONE)
		return o->piece_count == 1 && out->address == o->piece[0].gpa.v &&
		       out->final == o->piece[0].hpa.v;
	if (e->kind == UMBRA_EVENT_PF)
		return e->code == m->code && e->gva.v == m->gva.v;
	if (e->gpa.v != m->gpa.v)
		return false;
	if (e->kind == UMBRA_EVENT_EPT_MISCONFIG)
		return true;
	if (e->kind == UMBRA_EVENT_EPT_VIOLATION && e->gva.v != m->gva.v)
		return false;
	return !((e->code ^ m->code) & o->code_defined);
}

enum duo_verdict duo_access(struct duo *duo, uint64_t gva, unsigned access)
{
	const struct model_access a = {.gva = {gva}, .size = 1, .access = access};
	struct model_outcome mine;

	walk(&duo->guest, gva, access, 0, &duo->out);
	model_access(duo->model, &a, &duo->outcome);
	duo->faults += duo->out.end != WALK_OK;
	if (duo->out.end == WALK_ABSENT) {
		memcpy(duo->mine, duo->its, DUO_SIZE);
		duo->absent++;
		return DUO_ABSENT;
	}
	if (same(&duo->out, &duo->outcome)) {
		duo->same++;
		return DUO_SAME;
	}
	mine = seen(&duo->out);
	mine.code_defined = duo->outcome.code_defined;
	if (!model_explains(duo->model, &a, &mine))
		return DUO_DIFFERENT;
	memcpy(duo->mine, duo->its, DUO_SIZE);
	duo->unsure++;
	return DUO_UNSURE;
}

bool duo_memory_same(const struct duo *duo)
{
	return !memcmp(duo->mine, duo->its, DUO_SIZE);
}

/* ---- telling ---- */

static const char *const kinds[UMBRA_EVENT_KINDS] = {
	[UMBRA_EVENT_NONE] = "ok",
	[UMBRA_EVENT_PF] = "#PF",
	[UMBRA_EVENT_GP] = "#GP",
	[UMBRA_EVENT_SS] = "#SS",
	[UMBRA_EVENT_NPF] = "#NPF",
	[UMBRA_EVENT_EPT_VIOLATION] = "EPT violation",
	[UMBRA_EVENT_EPT_MISCONFIG] = "EPT misconfiguration",
	[UMBRA_EVENT_PML_FULL] = "PML full",
	[UMBRA_EVENT_VMFUNC] = "VMFUNC",
	[UMBRA_EVENT_VE] = "#VE",
};

static void print_event(const char *who, const struct umbra_event *e, uint64_t gpa, uint64_t hpa)
{
	printf("  %s: %s code %" PRIx64 " gva %" PRIx64 " gpa %" PRIx64, who, kinds[e->kind],
	       e->code, e->gva.v, e->gpa.v);
	if (e->kind == UMBRA_EVENT_NONE)
		printf(" -> %" PRIx64 " -> %" PRIx64, gpa, hpa);
	printf("\n");
}

void duo_print(const struct duo *duo, uint64_t gva, unsigned access)
{
	const struct duo_setup *s = &duo->setup;
	const struct model_outcome *o = &duo->outcome;

	printf("gva %" PRIx64 " access %x cpu vendor %u width %u features %x\n", gva, access,
	       s->cpu.vendor, s->cpu.maxphyaddr, s->cpu.features);
	printf("  cr0 %" PRIx64 " cr3 %" PRIx64 " cr4 %" PRIx64 " efer %" PRIx64
	       " pkru %x pkrs %x\n",
	       s->regs.cr0, s->regs.cr3, s->regs.cr4, s->regs.efer, s->regs.pkru, s->regs.pkrs);
	if (s->stage2 == MODEL_EPT)
		printf("  eptp %" PRIx64 " mbec %u\n", s->eptp, s->mbec);
	if (s->stage2 == MODEL_NPT)
		printf("  ncr3 %" PRIx64 " hcr0 %" PRIx64 " hcr4 %" PRIx64 " hefer %" PRIx64
		       " gmet %u rogpt %u\n",
		       s->host.cr3, s->host.cr0, s->host.cr4, s->host.efer, s->gmet, s->rogpt);
	print_event("core ", &duo->out.event, duo->out.address, duo->out.final);
	print_event("model", &o->event, o->piece[0].gpa.v, o->piece[0].hpa.v);
	printf("  model's defined bits %" PRIx64 "; core stopped at level %u, acc %x\n",
	       o->code_defined, duo->out.level, duo->out.acc);
	for (unsigned l = duo->out.level; duo->guest.mode && l && l <= duo->guest.mode->top; l++)
		printf("  entry %u: %016" PRIx64 " at %" PRIx64 " at %" PRIx64 "\n", l,
		       duo->out.entry[l], duo->out.entry_address[l], duo->out.entry_final[l]);
	for (unsigned i = 0; i < DUO_SIZE; i += 8) {
		if (memcmp(duo->mine + i, duo->its + i, 8))
			printf("  memory at %x: core %016" PRIx64 " model %016" PRIx64 "\n", i,
			       *(const uint64_t *)(const void *)(duo->mine + i),
			       *(const uint64_t *)(const void *)(duo->its + i));
	}
}

uint64_t duo_scale(uint64_t small, uint64_t normal, uint64_t full)
{
	const char *scale = getenv("UMBRA_TEST_SCALE");

	if (scale && !strcmp(scale, "small"))
		return small;
	return scale && !strcmp(scale, "full") ? full : normal;
}

uint64_t duo_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}
