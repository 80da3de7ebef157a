/* SPDX-License-Identifier: MIT */
/*
 * system.c - reading what the CPU has decoded already but does not tell.
 *
 * A CPU with next-RIP saving tells lengths; others (QEMU's among them), and all of them
 * which register or address an instruction named, leave reading its bytes again. The page
 * of the last instruction is remembered under its linear page number and CR3: the bytes
 * found there are compared with the opcode that exited, so that a page that has moved
 * meanwhile is noticed and looked up anew.
 */
#include "hv/system.h"
#include "hv/paging.h"

#define LENGTH_MAX 15
#define PAGE_MASK 0xfffull
#define PDPTE_ACCESSED (1ull << 5)

/*
 * TCG sets the Accessed bit in PAE page-directory-pointer entries, where it is reserved: the
 * library's walk would refuse what TCG went through. Taken out, TCG will set it again.
 */
static void repair_pdptes(const struct vcpu *vcpu, const struct umbra_regs *regs)
{
	uint64_t table = regs->cr3 & 0xffffffe0;
	uint64_t *entry = paging_pointer(table);

	if (!vcpu->cpu->tcg || regs->efer & UMBRA_EFER_LMA || !(regs->cr0 & UMBRA_CR0_PG) ||
	    !(regs->cr4 & UMBRA_CR4_PAE) || !memory_is_ram(vcpu->memory, table, table + 32))
		return;
	for (unsigned i = 0; i < 4; i++)
		entry[i] &= ~PDPTE_ACCESSED;
}

bool system_tell_regs(struct vcpu *vcpu)
{
	struct umbra_regs regs;

	if (vcpu->options->shadow)
		return true;
	regs = cr_regs(vcpu);
	if (umbra_vcpu_set_regs(vcpu->mmu, &regs, false))
		return false;
	repair_pdptes(vcpu, &regs);
	return true;
}

/* Where the page of instructions at @linear is; NULL: nowhere that can be read. */
static const uint8_t *code_page(struct vcpu *vcpu, uint64_t linear)
{
	struct umbra_translation where;
	unsigned access = UMBRA_ACCESS_FETCH;

	linear &= ~PAGE_MASK;
	vcpu->code = NULL;
	if (!system_tell_regs(vcpu))
		return NULL;
	if (vcpu->vmcb->cpl == 3)
		access |= UMBRA_ACCESS_USER;
	if (umbra_vcpu_translate(vcpu->mmu, (umbra_gva){linear}, access, false, &where))
		return NULL;
	if (where.event.kind != UMBRA_EVENT_NONE)
		return NULL;
	/* A page of the guest's, or of a ROM: but not of the hypervisor's. */
	where.gpa.v &= ~PAGE_MASK;
	if (memory_is_own(vcpu->memory, where.gpa.v, where.gpa.v + 4096) || where.gpa.v >> 32)
		return NULL;
	vcpu->code_linear = linear;
	vcpu->code_shift = where.page_shift ? where.page_shift : UMBRA_PAGE_SHIFT;
	vcpu->code_cr3 = vcpu->vmcb->cr3;
	vcpu->code = paging_pointer(where.gpa.v);
	return vcpu->code;
}

static uint64_t linear_rip(const struct vcpu *vcpu)
{
	uint64_t linear = vcpu->vmcb->rip;

	if (!vcpu_is_64(vcpu))
		linear = (uint32_t)(linear + vcpu->vmcb->cs.base);
	return linear;
}

/*
 * Up to 15 bytes at RIP, in @buffer where they cross a page; returns where they are, *@count
 * how many. With shadow paging the page remembered serves, as a TLB's entry would: what
 * flushes that drops it (system_forget).
 */
static const uint8_t *fetch(struct vcpu *vcpu, uint8_t *buffer, unsigned *count)
{
	uint64_t linear = linear_rip(vcpu);
	unsigned offset = linear & PAGE_MASK;
	const uint8_t *page = vcpu->code;

	if (!page || !vcpu->options->shadow || vcpu->code_linear != linear - offset ||
	    vcpu->code_cr3 != vcpu->vmcb->cr3)
		page = code_page(vcpu, linear);
	*count = LENGTH_MAX;
	if (page && offset <= PAGE_MASK + 1 - LENGTH_MAX)
		return page + offset;
	for (*count = 0; page && *count < LENGTH_MAX; ++*count) {
		if (*count && !((linear + *count) & PAGE_MASK))
			page = code_page(vcpu, linear + *count);
		if (page)
			buffer[*count] = page[(linear + *count) & PAGE_MASK];
	}
	if (!page && *count)
		--*count;
	return buffer;
}

void system_forget(struct vcpu *vcpu, uint64_t linear)
{
	if (!((linear ^ vcpu->code_linear) >> vcpu->code_shift))
		vcpu->code = NULL;
}

/* ---- decoding ---- */

enum segment { ES, CS, SS, DS, FS, GS };

struct decode {
	const uint8_t *bytes;
	unsigned count, at;
	uint8_t rex;
	bool operand_size, address_size;
	int segment; /* override, or -1 */
	bool bits_64, bits_32; /* of the code segment */
};

static uint8_t next(struct decode *d)
{
	return d->at < d->count ? d->bytes[d->at++] : (d->at++, 0);
}

static int64_t next_signed(struct decode *d, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)next(d) << 8 * i;
	return (int64_t)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

static void take_prefixes(struct decode *d)
{
	for (;;) {
		switch (next(d)) {
		case 0x26: d->segment = ES; break;
		case 0x2e: d->segment = CS; break;
		case 0x36: d->segment = SS; break;
		case 0x3e: d->segment = DS; break;
		case 0x64: d->segment = FS; break;
		case 0x65: d->segment = GS; break;
		case 0x66: d->operand_size = true; break;
		case 0x67: d->address_size = true; break;
		case 0xf0:
		case 0xf2:
		case 0xf3: break;
		default:
			d->at--;
			if (d->bits_64 && d->at < d->count && (d->bytes[d->at] & 0xf0) == 0x40)
				d->rex = next(d);
			return;
		}
		if (d->at >= d->count)
			return;
	}
}

static uint64_t segment_base(struct vcpu *vcpu, const struct decode *d, unsigned segment)
{
	struct vmcb *v = vcpu->vmcb;

	/* FS and GS are in the CPU, where VMRUN leaves them. */
	if (segment >= FS) {
		__asm__ volatile("vmsave %0"
				 :
				 : "a"((unsigned long)vcpu->vmcb_physical)
				 : "memory");
		return segment == FS ? v->fs.base : v->gs.base;
	}
	if (d->bits_64)
		return 0;
	switch (segment) {
	case ES: return v->es.base;
	case CS: return v->cs.base;
	case SS: return v->ss.base;
	default: return v->ds.base;
	}
}

/* APM 3 1.4: with 32- and 64-bit addresses. *@stack: SS is the segment unless told. */
static uint64_t address_wide(struct vcpu *vcpu, struct decode *d, unsigned mod, unsigned rm,
			     bool *stack)
{
	uint64_t address = 0;
	unsigned base = rm;

	if (rm == 4) {
		uint8_t sib = next(d);
		unsigned index = (sib >> 3 & 7) | (d->rex & 2) << 2;

		base = sib & 7;
		if (index != 4)
			address = *vcpu_reg(vcpu, index) << (sib >> 6);
	}
	if (mod == 0 && base == 5) {
		address += (uint64_t)next_signed(d, 4);
		if (rm == 5 && d->bits_64)
			address += vcpu->vmcb->rip + d->at; /* no immediate follows */
		return address;
	}
	*stack = base == 4 || base == 5;
	address += *vcpu_reg(vcpu, base | (d->rex & 1) << 3);
	if (mod)
		address += (uint64_t)next_signed(d, mod == 1 ? 1 : 4);
	return address;
}

static uint64_t address_16(struct vcpu *vcpu, struct decode *d, unsigned mod, unsigned rm,
			   bool *stack)
{
	static const uint8_t pairs[8][2] = {{3, 6},    {3, 7},    {5, 6},    {5, 7},
					    {6, 0xff}, {7, 0xff}, {5, 0xff}, {3, 0xff}};
	uint64_t address = 0;

	if (mod == 0 && rm == 6)
		return (uint16_t)next_signed(d, 2);
	*stack = pairs[rm][0] == 5;
	address = *vcpu_reg(vcpu, pairs[rm][0]);
	if (pairs[rm][1] != 0xff)
		address += *vcpu_reg(vcpu, pairs[rm][1]);
	if (mod)
		address += (uint64_t)next_signed(d, mod);
	return (uint16_t)address;
}

static uint64_t take_address(struct vcpu *vcpu, struct decode *d, unsigned mod, unsigned rm)
{
	bool stack = false;
	uint64_t address;

	if (d->bits_64) {
		address = address_wide(vcpu, d, mod, rm, &stack);
		if (d->address_size)
			address = (uint32_t)address;
	} else if (d->bits_32 != d->address_size) {
		address = (uint32_t)address_wide(vcpu, d, mod, rm, &stack);
	} else {
		address = address_16(vcpu, d, mod, rm, &stack);
	}
	address += segment_base(vcpu, d, d->segment >= 0 ? (unsigned)d->segment : stack ? SS : DS);
	return d->bits_64 ? address : (uint32_t)address;
}

/*
 * What compilers and kernels write, in 64-bit code: MOV CR and INVLPG of a plain register,
 * without a prefix, from the page remembered. False: it is something else.
 */
static bool decode_usual(struct vcpu *vcpu, struct system_insn *insn)
{
	const uint64_t linear = vcpu->vmcb->rip;
	const unsigned offset = linear & PAGE_MASK;
	const uint8_t *bytes = vcpu->code;
	uint8_t modrm;

	if (!bytes || !vcpu->options->shadow || !vcpu_is_64(vcpu) ||
	    vcpu->code_linear != linear - offset || vcpu->code_cr3 != vcpu->vmcb->cr3 ||
	    offset > PAGE_MASK + 1 - LENGTH_MAX || bytes[offset] != 0x0f)
		return false;
	bytes += offset;
	modrm = bytes[2];
	insn->opcode = bytes[1];
	insn->mod = modrm >> 6;
	insn->reg = modrm >> 3 & 7;
	insn->rm = modrm & 7;
	insn->length = 3;
	insn->operand_64 = true;
	insn->operand_16 = false;
	if ((insn->opcode & 0xfd) == 0x20)
		return true;
	if (insn->opcode != 0x01 || insn->mod != 0 || insn->rm == 4 || insn->rm == 5)
		return false;
	insn->address = *vcpu_reg(vcpu, insn->rm);
	return true;
}

static bool decode(struct vcpu *vcpu, bool has_modrm, struct system_insn *insn)
{
	uint8_t buffer[LENGTH_MAX];
	struct decode d = {
		.segment = -1,
		.bits_64 = vcpu_is_64(vcpu),
		.bits_32 = vcpu->vmcb->cs.attributes & VMCB_CS_DEFAULT_32,
	};

	*insn = (struct system_insn){0};
	d.bytes = fetch(vcpu, buffer, &d.count);
	take_prefixes(&d);
	if (next(&d) != 0x0f)
		return false;
	insn->opcode = next(&d);
	insn->operand_64 = d.bits_64;
	insn->operand_16 = d.operand_size != !(d.bits_64 || d.bits_32);
	if (has_modrm) {
		uint8_t modrm = next(&d);

		insn->mod = modrm >> 6;
		insn->reg = (modrm >> 3 & 7) | (d.rex & 4) << 1;
		insn->rm = (modrm & 7) | (d.rex & 1) << 3;
		/* MOV CR has only registers, whatever mod says. */
		if (insn->mod != 3 && insn->opcode == 0x01)
			insn->address = take_address(vcpu, &d, insn->mod, modrm & 7);
	}
	insn->length = (uint8_t)d.at;
	return d.at <= d.count;
}

bool system_decode(struct vcpu *vcpu, bool has_modrm, struct system_insn *insn)
{
	return (has_modrm && decode_usual(vcpu, insn)) || decode(vcpu, has_modrm, insn);
}

unsigned system_length(struct vcpu *vcpu, uint8_t opcode)
{
	uint64_t linear = linear_rip(vcpu);
	uint64_t offset = linear & PAGE_MASK;
	struct system_insn insn;

	if (vcpu->cpu->next_rip)
		return (unsigned)(vcpu->vmcb->next_rip - vcpu->vmcb->rip);
	if (vcpu->code && vcpu->code_linear == linear - offset &&
	    vcpu->code_cr3 == vcpu->vmcb->cr3 && offset < PAGE_MASK && vcpu->code[offset] == 0x0f &&
	    vcpu->code[offset + 1] == opcode)
		return 2;
	if (decode(vcpu, false, &insn) && insn.opcode == opcode)
		return insn.length;
	report_stop(vcpu, "the instruction at RIP is not 0F %x", opcode);
}
