/* SPDX-License-Identifier: MIT */
/*
 * test_roles.c - what makes two table pages different.
 *
 * each field of the role is part of the identity. A-10: which SPTEs mirror
 * which bytes of a guest table, exhaustively over offset, length and role,
 * against a search through all entries. O-11: guests whose CPUs read entries
 * differently never get the same role.
 */
#include "core/roles.h"
#include "umbra/umbra.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define ALL_FEATURES (~(UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK))

static void a8_each_field_is_identity(void **unused)
{
	union role none = {0}, one;
	uint64_t covered = 0;

	(void)unused;
#define FIELD(name, value)                                               \
	do {                                                             \
		one = none;                                              \
		one.name = value;                                        \
		assert_int_not_equal(one.word, none.word);               \
		assert_int_equal(one.name, value);                       \
		assert_int_equal(one.word &covered, 0); /* no overlap */ \
		covered |= one.word;                                     \
	} while (0)
	FIELD(level, 7);
	FIELD(direct, 1);
	FIELD(access, 15);
	FIELD(quadrant, 3);
	FIELD(pae_root, 1);
	FIELD(promoted, 1);
	FIELD(pae_offset, 127);
	FIELD(registers, 1);
	FIELD(key, 15);
	FIELD(shstk, 1);
	FIELD(ad_disabled, 1);
	FIELD(guest, 7);
	FIELD(maxphyaddr, 63);
	FIELD(flags, (1u << 21) - 1);
	FIELD(invalid, 1);
#undef FIELD
}

static void r31_a_role_in_words(void **unused)
{
	const union role portal = {
		.level = 5, .promoted = 1, .guest = ROLE_GUEST_PAE, .pae_offset = 9};
	const union role slice = {.level = 1, .guest = ROLE_GUEST_32, .quadrant = 1};
	const union role ept = {.level = 4, .guest = ROLE_GUEST_EPT4};
	const union role unpaged = {.level = 3, .direct = 1, .pae_root = 1};
	struct umbra_role r;

	(void)unused;
	umbra_describe_role(portal.word, &r);
	assert_true(r.level == 5 && r.guest_level == 3 && r.promoted && r.pae_offset == 9);
	assert_false(r.ept || r.direct || r.pae_root);
	umbra_describe_role(slice.word, &r);
	assert_true(r.level == 1 && r.guest_level == 2 && r.quadrant == 1 && !r.promoted);
	umbra_describe_role(ept.word, &r);
	assert_true(r.level == 4 && r.guest_level == 4 && r.ept && !r.direct);
	umbra_describe_role(unpaged.word, &r);
	assert_true(r.level == 3 && !r.guest_level && r.direct && r.pae_root && !r.ept);
}

/* Does the SPTE at @index of a page with @role mirror the guest's byte at @offset? */
static bool mirrors(union role role, unsigned index, unsigned offset)
{
	unsigned pde;

	if (role.direct || role.promoted || role.registers)
		return false;
	if (role.pae_root)
		return index < 4 && offset / 8 == role.pae_offset * 4u + index;
	if (role.guest != ROLE_GUEST_32)
		return offset / 8 == index;
	pde = offset / 4;
	if (role.level == 2) /* PDE k -> quadrant k >> 8, SPTEs 2(k & 255), +1 */
		return pde >> 8 == role.quadrant && index / 2 == (pde & 255);
	return pde >> 9 == role.quadrant && index == (pde & 511); /* PTE j */
}

/*
 * Every [offset, offset + length): the SPTEs that mirror a byte of it must be the run
 * that is told. The run of each byte is found by trying all SPTEs.
 */
static void check_role(union role role)
{
	static unsigned low_of[4096], end_of[4096];
	unsigned wrong = 0;

	for (unsigned byte = 0; byte < 4096; byte++) {
		low_of[byte] = ~0u;
		end_of[byte] = 0;
		for (unsigned i = 0; i < 512; i++) {
			if (!mirrors(role, i, byte))
				continue;
			low_of[byte] = i < low_of[byte] ? i : low_of[byte];
			end_of[byte] = i + 1;
		}
	}
	for (unsigned offset = 0; offset < 4096; offset++) {
		unsigned low = ~0u, end = 0;

		for (unsigned length = 1; length <= 4096 - offset; length++) {
			unsigned byte = offset + length - 1, first, count;

			low = low_of[byte] < low ? low_of[byte] : low;
			end = end_of[byte] > end ? end_of[byte] : end;
			roles_entries(role, offset, length, &first, &count);
			wrong += count != (end ? end - low : 0) || (count && first != low);
		}
	}
	assert_int_equal(wrong, 0);
}

static void a10_entries_against_search(void **unused)
{
	(void)unused;
	for (unsigned quadrant = 0; quadrant < 4; quadrant++) {
		check_role((union role){.level = 2, .guest = ROLE_GUEST_32, .quadrant = quadrant});
		if (quadrant < 2)
			check_role((union role){
				.level = 1, .guest = ROLE_GUEST_32, .quadrant = quadrant});
	}
	check_role((union role){.level = 1, .guest = ROLE_GUEST_PAE});
	check_role((union role){.level = 4, .guest = ROLE_GUEST_4});
	for (unsigned offset = 0; offset < 128; offset += 42)
		check_role((union role){
			.level = 3, .guest = ROLE_GUEST_PAE, .pae_root = 1, .pae_offset = offset});
	check_role((union role){
		.level = 3, .guest = ROLE_GUEST_PAE, .pae_root = 1, .pae_offset = 127});
}

/* portals, registers and direct pages mirror no bytes. */
static void r31_nothing_mirrored(void **unused)
{
	const union role roles[] = {
		{.level = 3, .guest = ROLE_GUEST_32, .promoted = 1, .pae_root = 1},
		{.level = 3, .guest = ROLE_GUEST_PAE, .registers = 1, .pae_root = 1},
		{.level = 1, .guest = ROLE_GUEST_4, .direct = 1},
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		unsigned first, count;

		roles_entries(roles[i], 0, 4096, &first, &count);
		assert_int_equal(count, 0);
	}
}

static union role root_of(const struct umbra_regs *regs, const struct umbra_cpu *cpu)
{
	struct mode mode;
	uint32_t flags;
	const struct format *format = mode_of_regs(regs, cpu, &flags);

	if (!format)
		return roles_root(NULL, regs->cr3, 0);
	mode_bind(&mode, format, flags, cpu->maxphyaddr);
	return roles_root(&mode, regs->cr3, 0);
}

static const struct umbra_regs regs32 = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP};
static const struct umbra_regs regs_pae = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
	.cr4 = UMBRA_CR4_PAE,
	.cr3 = 0x5060,
};
static const struct umbra_regs regs64 = {
	.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
	.cr4 = UMBRA_CR4_PAE,
	.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA,
};

/* the roots of all guests. */
static void r30_roots(void **unused)
{
	struct umbra_cpu cpu = {UMBRA_VENDOR_INTEL, 46, ALL_FEATURES};
	struct umbra_regs regs = regs64;
	union role role;

	(void)unused;
	role = roles_root(NULL, 0, 0);
	assert_true(role.pae_root && role.direct && !role.promoted && role.level == 3);
	assert_int_equal(roles_guest_level(role), 0);
	role = root_of(&regs32, &cpu);
	assert_true(role.pae_root && role.promoted && !role.direct && role.level == 3);
	assert_int_equal(roles_guest_level(role), 2);
	assert_int_equal(roles_entry_bytes(role), 4);
	role = roles_child(role);
	assert_true(!role.pae_root && !role.promoted && role.level == 2);
	role = root_of(&regs_pae, &cpu);
	assert_true(role.pae_root && !role.promoted && role.registers && role.pae_offset == 0);
	role = roles_child(role);
	assert_true(!role.registers && !role.pae_root && role.level == 2);
	cpu.features |= UMBRA_CPU_PDPTE_MEMORY;
	role = root_of(&regs_pae, &cpu);
	assert_true(role.pae_root && !role.registers);
	assert_int_equal(role.pae_offset, 3);
	assert_int_equal(roles_child(role).pae_offset, 0);
	role = root_of(&regs, &cpu);
	assert_true(!role.pae_root && !role.promoted && role.level == 4);
	regs.cr4 |= UMBRA_CR4_LA57;
	assert_int_equal(root_of(&regs, &cpu).level, 5);
	role = roles_root_tdp(3, false, ACC_ALL);
	assert_true(role.pae_root && role.direct);
	assert_false(roles_root_tdp(4, false, ACC_ALL).pae_root);
	assert_true(roles_root_tdp(4, true, ACC_ALL).ad_disabled);
}

/* F-30, G-3: what a second-stage root cannot map is a matter of its levels. */
static void f30_reach(void **unused)
{
	(void)unused;
	assert_int_equal(roles_reach(3), 1ull << (32 - 12));
	assert_int_equal(roles_reach(4), 1ull << (48 - 12));
	/* Of 57 bits as many as there can be. */
	assert_int_equal(roles_reach(5), 1ull << (52 - 12));
}

/* O-11: what a CPU reserves is in the role; so is what changes an entry made. */
static void o11_cpus_do_not_share(void **unused)
{
	static const uint32_t features[] = {UMBRA_CPU_PSE36, UMBRA_CPU_1G, UMBRA_CPU_PAT,
					    UMBRA_CPU_BIT8_MBZ};
	static const uint64_t cr4[] = {UMBRA_CR4_PKE, UMBRA_CR4_PKS, UMBRA_CR4_CET, UMBRA_CR4_PSE,
				       UMBRA_CR4_LA57};
	const struct umbra_cpu cpu = {UMBRA_VENDOR_INTEL, 46, ALL_FEATURES};
	struct umbra_cpu other = cpu;
	struct umbra_regs regs = regs64;
	uint64_t word = root_of(&regs64, &cpu).word;

	(void)unused;
	for (other.maxphyaddr = 32; other.maxphyaddr <= 52; other.maxphyaddr++)
		assert_int_equal(root_of(&regs64, &other).word == word, other.maxphyaddr == 46);
	other = cpu;
	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		other.features = cpu.features ^ features[i];
		assert_int_not_equal(root_of(&regs32, &other).word, root_of(&regs32, &cpu).word);
	}
	for (unsigned i = 0; i < sizeof(cr4) / sizeof(cr4[0]); i++) {
		regs.cr4 = regs64.cr4 | cr4[i];
		assert_int_not_equal(root_of(&regs, &cpu).word, word);
	}
	regs = regs64;
	regs.efer |= UMBRA_EFER_NXE;
	assert_int_not_equal(root_of(&regs, &cpu).word, word);
	regs = regs64;
	regs.cr0 &= ~UMBRA_CR0_WP;
	assert_int_not_equal(root_of(&regs, &cpu).word, word);
	word = root_of(&regs, &cpu).word;
	regs.cr4 |= UMBRA_CR4_SMEP; /* with WP=0 SMEP and SMAP change entries */
	assert_int_not_equal(root_of(&regs, &cpu).word, word);
	regs.cr4 = regs64.cr4 | UMBRA_CR4_SMAP;
	assert_int_not_equal(root_of(&regs, &cpu).word, word);
	/* Vendors differ in where PDPTEs come from. */
	other = (struct umbra_cpu){UMBRA_VENDOR_AMD, 46, ALL_FEATURES | UMBRA_CPU_PDPTE_MEMORY};
	assert_int_not_equal(root_of(&regs_pae, &other).word, root_of(&regs_pae, &cpu).word);
}

/* What an L1's CR4 and EFER make of its NPT's entries is in the role as well. */
static void o11_npt_flags(void **unused)
{
	static const uint32_t flags[] = {MODE_NX,       MODE_PSE,    MODE_PSE36, MODE_1G,
					 MODE_BIT8_MBZ, MODE_NO_PAT, MODE_WP,    MODE_GMET};
	const uint32_t all = MODE_NPT | MODE_NX | MODE_PSE | MODE_PSE36 | MODE_1G | MODE_BIT8_MBZ |
			     MODE_NO_PAT | MODE_WP | MODE_GMET;
	struct mode with, without;

	(void)unused;
	mode_bind(&with, &format_32, all, 40);
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		mode_bind(&without, &format_32, all & ~flags[i], 40);
		assert_int_not_equal(roles_root(&with, 0x5000, 4).word,
				     roles_root(&without, 0x5000, 4).word);
	}
}

/* With WP=1 hardware applies SMEP and SMAP itself: the tables are shared. */
static void wp1_shares_across_smep_smap(void **unused)
{
	const struct umbra_cpu cpu = {UMBRA_VENDOR_INTEL, 46, ALL_FEATURES};
	struct umbra_regs regs = regs64;

	(void)unused;
	regs.cr4 |= UMBRA_CR4_SMEP | UMBRA_CR4_SMAP | UMBRA_CR4_PGE;
	assert_int_equal(root_of(&regs, &cpu).word, root_of(&regs64, &cpu).word);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a8_each_field_is_identity),
		cmocka_unit_test(r31_a_role_in_words),
		cmocka_unit_test(a10_entries_against_search),
		cmocka_unit_test(r31_nothing_mirrored),
		cmocka_unit_test(r30_roots),
		cmocka_unit_test(f30_reach),
		cmocka_unit_test(o11_cpus_do_not_share),
		cmocka_unit_test(o11_npt_flags),
		cmocka_unit_test(wp1_shares_across_smep_smap),
	};

	return cmocka_run_group_tests_name("roles", tests, NULL, NULL);
}
