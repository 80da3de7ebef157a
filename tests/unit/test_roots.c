/* SPDX-License-Identifier: MIT */
/*
 * test_roots.c - when a root is the one that the registers want.
 */
#include "tests/unit/guest.h"

#define CR3 0x1000ull
#define TABLE(i) (0x2000ull + 0x1000ull * (i))

/* R-33, H-20: any of the four PDPTE registers makes another root; the same ones do not. */
static void r33_each_pdpte(void **unused)
{
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	const struct umbra_regs pae = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = CR3,
		.cr4 = UMBRA_CR4_PAE,
	};

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		const struct page *first;
		struct umbra_root root;
		struct kit kit;

		kit_open(&kit, &config, 1);
		for (unsigned k = 0; k < 4; k++)
			put64(&kit, CR3 + 8 * k, TABLE(k) | 1);
		assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &pae, true), UMBRA_OK);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		first = kit.vcpu->own.root;
		/* A write to memory alone changes nothing. */
		put64(&kit, CR3 + 8 * i, TABLE(5) | 1);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		assert_ptr_equal(kit.vcpu->own.root, first);
		assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &pae, true), UMBRA_OK);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		assert_ptr_not_equal(kit.vcpu->own.root, first);
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(page_words(&kit.vm->mmu, kit.vcpu->own.root)[k],
					 (k == i ? TABLE(5) : TABLE(k)) | 1);
		/* And back: it is still there. */
		put64(&kit, CR3 + 8 * i, TABLE(i) | 1);
		assert_int_equal(umbra_vcpu_set_regs(kit.vcpu, &pae, true), UMBRA_OK);
		assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
		assert_ptr_equal(kit.vcpu->own.root, first);
		kit_close(&kit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r33_each_pdpte),
	};

	return cmocka_run_group_tests_name("roots", tests, NULL, NULL);
}
