/* SPDX-License-Identifier: MIT */
/*
 * mode.c - folds a CPU and its controls into a format.
 *
 * After mode_bind() nothing asks for a feature any more: a bit that is not legal
 * is in a reserved mask, a bit that means nothing is granted or absent, a level
 * that is a leaf only with PSE has a large bit or has none. The vendor is gone
 * as well; what differed came in as flags.
 *
 * Invariants: a level's rsvd masks never hold its present bits, nor bits of the
 * address that a legal entry of that kind may have; rsvd[0] == rsvd[1] where the
 * large bit does not choose (level 1, and levels without one).
 */
#include "core/mode.h"
#include "core/perm.h"

/* Bits @low..@high; none if @high < @low. */
static uint64_t bits(unsigned high, unsigned low)
{
	return high < low ? 0 : ~0ull >> (63 - high) & ~0ull << low;
}

static uint64_t bit_or_none(unsigned number)
{
	return number < 64 ? 1ull << number : 0;
}

static bool all_set(uint32_t flags, uint32_t wanted)
{
	return (flags & wanted) == wanted;
}

/* PSE-36/40: the bits of @from that give address bits below @width. */
static uint64_t cut_high(const struct format_level *from, unsigned width)
{
	return width > from->high_shift ? from->high & bits(width - 1 - from->high_shift, 0) : 0;
}

static uint64_t reserved(const struct mode *mode, unsigned level, unsigned kind)
{
	const struct format *format = mode->format;
	uint64_t mask = 0;

	if (format->address_last)
		mask = bits(format->address_last, mode->maxphyaddr);
	for (unsigned i = 0; format->rule[i].mask; i++) {
		const struct format_rule *rule = &format->rule[i];

		if ((rule->levels & FORMAT_L(level)) && (rule->kinds & kind) &&
		    all_set(mode->flags, rule->when) && !(mode->flags & rule->unless))
			mask |= rule->mask;
	}
	if (kind == FORMAT_LEAF)
		mask |= format->level[level].high & ~mode->level[level].high;
	return mask;
}

static void bind_address(struct mode *mode, unsigned level)
{
	const struct format *format = mode->format;
	const struct format_level *from = &format->level[level];
	struct mode_level *to = &mode->level[level];
	const uint64_t reach = bits(mode->maxphyaddr - 1, 0);
	const unsigned width =
		mode->maxphyaddr < format->output_bits ? mode->maxphyaddr : format->output_bits;

	to->shift = from->shift;
	to->index_mask = (uint16_t)((1u << from->bits) - 1);
	to->slot_shift = (uint8_t)(from->shift - mode->entry_shift);
	to->slot_mask = (uint32_t)to->index_mask << mode->entry_shift;
	to->offset_mask = bits(from->shift - 1u, 0);
	to->table_address = from->table_address & reach;
	to->leaf_address = from->leaf_address & reach;
	to->high_shift = from->high_shift;
	to->high = all_set(mode->flags, from->high_when) ? cut_high(from, width) : 0;
}

static void bind_level(struct mode *mode, unsigned level)
{
	const struct format *format = mode->format;
	const struct format_level *from = &format->level[level];
	struct mode_level *to = &mode->level[level];
	const uint64_t exec = bit_or_none(format->exec_bit);
	uint64_t grant = 0;

	bind_address(mode, level);
	to->present = from->present | (mode->flags & MODE_MBEC ? from->present_mbec : 0);
	to->large = all_set(mode->flags, from->large_when) ? from->large : 0;
	to->accessed = all_set(mode->flags, format->ad_when) ? from->accessed : 0;
	to->dirty = all_set(mode->flags, format->ad_when) ? from->dirty : 0;

	if (from->grants_all)
		grant = mode->read | mode->write | mode->user | exec;
	if (!all_set(mode->flags, format->exec_when))
		grant |= exec;
	if (!to->accessed)
		grant |= mode->accessed;
	to->rights_shift = from->rights_shift;
	to->grant = grant << from->rights_shift;
	to->flip = format->exec_inverted ? exec << from->rights_shift : 0;

	to->rsvd[0] = reserved(mode, level, level == 1 ? FORMAT_LEAF : FORMAT_TABLE);
	to->rsvd[1] = to->large ? reserved(mode, level, FORMAT_LEAF) : to->rsvd[0];
}

/* Presence and legality of the low six bits in one bitmap. */
static void bind_low6(struct mode *mode)
{
	const uint64_t present = mode->level[1].present;

	mode->good_low6 = 0;
	for (unsigned low6 = 0; low6 < 64 && mode->bad_low6; low6++) {
		const bool there = low6 & (present | (present >> 8 & mode->bad_fold));

		if (there && !(mode->bad_low6 >> low6 & 1))
			mode->good_low6 |= 1ull << low6;
	}
}

/* Does the level do with what all levels of a shape have in common? */
static bool level_is_even(const struct mode *mode, const struct mode_level *level)
{
	const uint64_t present = level->present;
	const struct mode_level *leaf = &mode->level[1];

	if (level->rights_shift || level->flip != mode->flip || level->grant != mode->grant ||
	    present != mode->present || (level->rsvd[0] & present))
		return false;
	if (level->slot_mask != mode->slot_mask || (level->high && mode->entry_shift == 3))
		return false;
	if (level->large && level->dirty != leaf->dirty)
		return false;
	if (mode->bad_low6)
		return !mode->flip && !(present & ~63ull & ~(mode->bad_fold << 8)) &&
		       (mode->good_low6 >> (present & 63) & 1);
	return !(present & (present - 1)) && !((mode->flip | mode->grant) & present);
}

static void bind_match(struct mode *mode, unsigned number)
{
	struct mode_level *level = &mode->level[number];
	const uint64_t present = level->present;
	const uint64_t leaf_present = mode->bad_low6 ? 0 : present;

	mode->table_stop[number] = level->rsvd[0] | level->large;
	mode->table_address[number] = level->table_address;
	/* No entry equals 1 where no bit is looked at. */
	level->leaf_mask = 0;
	level->leaf_want = 1;
	if (number == 1 || (level->large && !(level->rsvd[1] & level->large))) {
		level->leaf_mask = leaf_present | level->rsvd[1] | level->large;
		level->leaf_want = leaf_present | level->large;
	}
}

/* Which instance of the walker's loop is right; see MODE_SHAPE_*. */
static void bind_shape(struct mode *mode)
{
	const unsigned last = mode->top - mode->root_registers;
	const bool plain = mode->read == 1 && mode->write == 2 && mode->user == 4 &&
			   (!mode->exec || mode->exec == 1ull << 63);
	const struct mode_level *leaf = &mode->level[1];
	bool odd = !mode->bad_low6 && !plain;

	mode->flip = leaf->flip;
	mode->grant = leaf->grant;
	mode->present = leaf->present;
	mode->slot_mask = leaf->slot_mask;
	mode->slot_first = (uint8_t)(64 - mode->level[last].slot_shift);
	mode->slot_bits = (uint8_t)(mode->level[2].slot_shift - leaf->slot_shift);
	mode->acc_granted = (uint8_t)mode_acc(mode, mode->grant);
	bind_low6(mode);
	for (unsigned level = 1; level <= last; level++) {
		odd |= !level_is_even(mode, &mode->level[level]);
		odd |= mode->level[level].slot_shift !=
		       leaf->slot_shift + (level - 1) * mode->slot_bits;
		bind_match(mode, level);
	}
	mode->shape = mode->entry_shift == 3 ? MODE_SHAPE_8BYTE : 0;
	if (odd)
		mode->shape |= MODE_SHAPE_ODD;
	else if (mode->bad_low6)
		mode->shape |= MODE_SHAPE_LOW6;
}

static void bind_rights(struct mode *mode)
{
	const struct format *format = mode->format;
	const bool user = all_set(mode->flags, format->user_when);

	mode->read_bit = format->read_bit;
	mode->write_bit = format->write_bit;
	mode->user_bit = user ? format->user_bit : 64;
	mode->exec_bit = format->exec_bit;
	mode->key_bit = format->key_bit;
	mode->read = bit_or_none(mode->read_bit);
	mode->write = bit_or_none(mode->write_bit);
	mode->user = bit_or_none(mode->user_bit);
	mode->exec = bit_or_none(mode->exec_bit);
	mode->acc_always = (mode->read ? 0 : ACC_READ) | (mode->write ? 0 : ACC_WRITE) |
			   (mode->user ? 0 : ACC_USER) | (mode->exec ? 0 : ACC_EXEC);

	mode->pk = format->key_bit < 64 && (mode->flags & (MODE_PKU | MODE_PKS));
	mode->key_shift = mode->pk ? format->key_bit : 0;
	mode->key_mask = mode->pk ? 15 : 0;

	mode->accessed = 0;
	if (all_set(mode->flags, format->ad_when)) {
		for (unsigned level = 1; level <= format->top; level++)
			mode->accessed |=
				format->level[level].accessed >> format->level[level].rights_shift;
	}

	/* H-55: SMEP, or NXE in a format that has the bit. H-95: NXE. */
	mode->fetch_code = 0;
	if (format->family == FORMAT_PAGING &&
	    ((mode->flags & MODE_SMEP) ||
	     ((mode->flags & MODE_NX) && (mode->exec || (mode->flags & MODE_NPT)))))
		mode->fetch_code = UMBRA_PF_I;
}

/* E-7, E-8, H-74, H-75; P-2, P-3, H-92, H-97, H-98. */
static void bind_stage2(struct mode *mode)
{
	struct mode_stage2 *stage2 = &mode->stage2;
	const unsigned kept = UMBRA_ACCESS_WRITE | UMBRA_ACCESS_FETCH | UMBRA_ACCESS_SHSTK;
	const bool always_write = mode->format->family == FORMAT_EPT ? mode->flags & MODE_AD
								     : !(mode->flags & MODE_ROGPT);
	unsigned table = always_write ? UMBRA_ACCESS_WRITE : UMBRA_ACCESS_READ;

	*stage2 = (struct mode_stage2){.final_keep = kept};
	if (mode->format->family == FORMAT_EPT) {
		stage2->final_user_acc = mode->flags & MODE_MBEC ? ACC_USER : 0;
	} else {
		table |= UMBRA_ACCESS_USER;
		stage2->final_set_data = UMBRA_ACCESS_USER;
		if (mode->flags & MODE_GMET)
			stage2->final_keep |= UMBRA_ACCESS_USER;
		else
			stage2->final_set = UMBRA_ACCESS_USER;
	}
	stage2->table_read = (uint8_t)table;
	stage2->table_update = (uint8_t)(table | UMBRA_ACCESS_WRITE);
}

void mode_bind(struct mode *mode, const struct format *format, uint32_t flags, unsigned maxphyaddr)
{
	const bool second = format->family == FORMAT_EPT ||
			    (format->family == FORMAT_PAGING && flags & MODE_NPT);

	*mode = (struct mode){
		.format = format,
		.flags = flags,
		.maxphyaddr = (uint8_t)maxphyaddr,
		.top = format->top,
		.entry_shift = format->entry_bytes == 8 ? 3 : 2,
		.root_registers = format->root_registers && !(flags & MODE_PDPTE_MEMORY),
		.root_address = format->root_address,
		.beyond = second ? ~bits(format->input_bits - 1, 0) : 0,
		.bad_low6 = flags & MODE_EXECONLY ? format->bad_low6 : format->bad_low6_noexec,
		.bad_fold = flags & MODE_MBEC ? 1u << 2 : 0,
	};
	bind_rights(mode);
	for (unsigned level = 1; level <= format->top; level++)
		bind_level(mode, level);
	bind_shape(mode);
	bind_stage2(mode);
	perm_bind(mode);
}

/* G-2: the format that these registers select. */
static const struct format *format_of(const struct umbra_regs *regs)
{
	if (!(regs->cr0 & UMBRA_CR0_PG))
		return NULL;
	if (regs->efer & UMBRA_EFER_LMA)
		return regs->cr4 & UMBRA_CR4_LA57 ? &format_5 : &format_4;
	return regs->cr4 & UMBRA_CR4_PAE ? &format_pae : &format_32;
}

/* What the CPU and the registers say about entries, whoever looks at them. */
static uint32_t entry_flags(const struct umbra_regs *regs, const struct umbra_cpu *cpu)
{
	uint32_t flags = 0;

	flags |= regs->efer & UMBRA_EFER_NXE ? MODE_NX : 0;
	flags |= regs->cr4 & UMBRA_CR4_PSE ? MODE_PSE : 0;
	flags |= cpu->features & UMBRA_CPU_PSE36 ? MODE_PSE36 : 0;
	flags |= cpu->features & UMBRA_CPU_1G ? MODE_1G : 0;
	flags |= cpu->features & UMBRA_CPU_BIT8_MBZ ? MODE_BIT8_MBZ : 0;
	/* H-28 has this of Intel's CPUs only. */
	if (cpu->vendor == UMBRA_VENDOR_INTEL && !(cpu->features & UMBRA_CPU_PAT))
		flags |= MODE_NO_PAT;
	return flags;
}

const struct format *mode_of_regs(const struct umbra_regs *regs, const struct umbra_cpu *cpu,
				  uint32_t *flags)
{
	const struct format *format = format_of(regs);
	const bool lma = regs->efer & UMBRA_EFER_LMA;

	*flags = 0;
	if (!format)
		return NULL;
	*flags = entry_flags(regs, cpu);
	*flags |= regs->cr0 & UMBRA_CR0_WP ? MODE_WP : 0;
	*flags |= regs->cr4 & UMBRA_CR4_SMEP ? MODE_SMEP : 0;
	*flags |= regs->cr4 & UMBRA_CR4_SMAP ? MODE_SMAP : 0;
	*flags |= lma && (regs->cr4 & UMBRA_CR4_PKE) ? MODE_PKU : 0;
	*flags |= lma && (regs->cr4 & UMBRA_CR4_PKS) ? MODE_PKS : 0;
	*flags |= cpu->features & UMBRA_CPU_SHSTK ? MODE_D_NEEDS_W : 0;
	*flags |= (regs->cr4 & UMBRA_CR4_CET) && (cpu->features & UMBRA_CPU_SHSTK) ? MODE_SHSTK : 0;
	*flags |= cpu->features & UMBRA_CPU_PDPTE_MEMORY ? MODE_PDPTE_MEMORY : 0;
	return format;
}

/* EPTP fields, SDM 3C table 25-9 (E-2, H-70). */
#define EPTP_TYPE 7u
#define EPTP_LENGTH_SHIFT 3
#define EPTP_LENGTH 7u
#define EPTP_AD (1u << 6)
#define EPTP_RESERVED_LAST 11
#define EPTP_RESERVED_FIRST 7

const struct format *mode_of_eptp(uint64_t eptp, const struct umbra_cpu *cpu, bool mbec,
				  uint32_t *flags)
{
	const uint64_t type = eptp & EPTP_TYPE;
	const uint64_t length = (eptp >> EPTP_LENGTH_SHIFT & EPTP_LENGTH) + 1;
	const uint32_t features = cpu->features;

	*flags = 0;
	/* Bit 7 (supervisor shadow stacks) is no feature of Umbra's: reserved. */
	if ((type != 0 && type != 6) ||
	    eptp & (bits(EPTP_RESERVED_LAST, EPTP_RESERVED_FIRST) | bits(63, cpu->maxphyaddr)) ||
	    ((eptp & EPTP_AD) && !(features & UMBRA_CPU_EPT_AD)))
		return NULL;
	if (length != 4 && !(length == 5 && (features & UMBRA_CPU_EPT_LEVEL5)))
		return NULL;
	*flags |= eptp & EPTP_AD ? MODE_AD : 0;
	*flags |= features & UMBRA_CPU_EPT_2M ? MODE_2M : 0;
	*flags |= features & UMBRA_CPU_EPT_1G ? MODE_1G : 0;
	*flags |= features & UMBRA_CPU_EPT_EXECONLY ? MODE_EXECONLY : 0;
	*flags |= features & UMBRA_CPU_EPT_ADVINFO ? MODE_ADVINFO : 0;
	*flags |= mbec && (features & UMBRA_CPU_MBEC) ? MODE_MBEC : 0;
	return length == 5 ? &format_ept5 : &format_ept4;
}

const struct format *mode_of_npt(const struct umbra_regs *host, const struct umbra_cpu *cpu,
				 bool gmet, uint32_t *flags)
{
	const struct format *format = format_of(host);

	*flags = 0;
	if (!format)
		return NULL;
	/* H-92: nested accesses are the user's, so that WP says nothing; it is
	 * set because KVM's tables have it set (B-6). */
	*flags = entry_flags(host, cpu) | MODE_NPT | MODE_WP | MODE_PDPTE_MEMORY;
	*flags |= gmet && (cpu->features & UMBRA_CPU_GMET) ? MODE_GMET : 0;
	return format;
}

bool mode_pdptes_load_ok(const uint64_t pdpte[4], unsigned maxphyaddr)
{
	struct mode mode;

	/* No condition touches a PDPTE's reserved bits. */
	mode_bind(&mode, &format_pae, 0, maxphyaddr);
	for (unsigned i = 0; i < 4; i++) {
		const struct mode_level *level = &mode.level[mode.top];

		if ((pdpte[i] & level->present) && (pdpte[i] & level->rsvd[0]))
			return false;
	}
	return true;
}
