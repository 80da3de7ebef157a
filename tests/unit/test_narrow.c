/* SPDX-License-Identifier: MIT */
/*
 * test_narrow.c - a MAXPHYADDR for the guest that is less than the host's (G-23).
 *
 * When the configuration asks for it and the vCPU needs it, and only then. What the guest
 * sees is compared with the bare machine in scenarios/good_G23_smaller_maxphyaddr.lua.
 */
#include "core/narrow.h"
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define PML4 0x1000ull

static void open_narrow(struct kit *kit, bool allow, unsigned width)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PML4,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA | UMBRA_EFER_NXE,
	};
	struct umbra_cpu cpu = config.cpu;

	config.allow_smaller_maxphyaddr = allow;
	kit_open(kit, &config, 1);
	umbra_vcpu_destroy(kit->vcpu);
	cpu.maxphyaddr = (uint8_t)width;
	assert_int_equal(umbra_vcpu_create(kit->vm, &cpu, &kit->vcpu), UMBRA_OK);
	put64(kit, PML4, 1ull << 41 | 7);
	assert_int_equal(umbra_vcpu_set_regs(kit->vcpu, &regs, true), UMBRA_OK);
}

static void g23_only_where_needed(void **unused)
{
	struct umbra_exit pf = {.event = {.kind = UMBRA_EVENT_PF, .code = UMBRA_PF_P | UMBRA_PF_U}};
	struct umbra_resolution what;
	struct umbra_root root;
	struct kit kit;

	(void)unused;
	for (unsigned allow = 0; allow < 2; allow++)
		for (unsigned width = 40; width <= 46; width += 6) {
			const bool narrow = allow && width == 40;
			const uint64_t beyond = 1ull << 40;

			open_narrow(&kit, allow, width);
			assert_int_equal(umbra_vcpu_load(kit.vcpu, &root), UMBRA_OK);
			assert_int_equal(root.intercept_pf, narrow);
			assert_int_equal(umbra_vcpu_fault(kit.vcpu, &pf, &what),
					 narrow ? UMBRA_OK : UMBRA_EINVAL);
			if (narrow) {
				assert_int_equal(what.verdict, UMBRA_INJECT);
				assert_int_equal(what.event.code,
						 UMBRA_PF_P | UMBRA_PF_U | UMBRA_PF_RSVD);
			}
			what = touch(&kit, beyond, UMBRA_ACCESS_WRITE);
			assert_int_equal(what.verdict, narrow ? UMBRA_EMULATE : UMBRA_MMIO);
			assert_int_equal(what.gpa.v, beyond);
			assert_int_equal(what.access, UMBRA_ACCESS_WRITE);
			assert_int_equal(touch(&kit, beyond - PAGE, UMBRA_ACCESS_READ).verdict,
					 UMBRA_MMIO);
			resume(&kit, 0, UMBRA_ACCESS_WRITE);
			kit_close(&kit);
		}
}

/* A #PF that the walk does not explain stays as hardware has it. */
static void g23_others_stay(void **unused)
{
	struct umbra_exit pf = {.event = {.kind = UMBRA_EVENT_PF, .code = UMBRA_PF_P | UMBRA_PF_W}};
	struct umbra_resolution what;
	struct kit kit;

	(void)unused;
	open_narrow(&kit, true, 40);
	put64(&kit, PML4, 0);
	assert_int_equal(umbra_vcpu_fault(kit.vcpu, &pf, &what), UMBRA_OK);
	assert_int_equal(what.verdict, UMBRA_INJECT);
	assert_memory_equal(&what.event, &pf.event, sizeof(pf.event));
	kit_close(&kit);
}

static void g23_not_with_npt(void **unused)
{
	struct umbra_vm *vm = NULL;
	struct kit kit;

	(void)unused;
	for (unsigned paging = 0; paging < UMBRA_PAGING_COUNT; paging++) {
		struct umbra_vm_config config = kit_config((enum umbra_paging)paging);

		kit_host(&kit, 1);
		config.host = kit.host;
		config.allow_smaller_maxphyaddr = true;
		assert_int_equal(umbra_vm_create(&config, &vm),
				 paging == UMBRA_PAGING_NPT ? UMBRA_EOPNOTSUPP : UMBRA_OK);
		umbra_vm_destroy(vm);
		vm = NULL;
		kit_close(&kit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(g23_only_where_needed),
		cmocka_unit_test(g23_others_stay),
		cmocka_unit_test(g23_not_with_npt),
	};

	return cmocka_run_group_tests_name("narrow", tests, NULL, NULL);
}
