/* SPDX-License-Identifier: MIT */
/*
 * test_process.c - descriptors, memory, capabilities and registers of the KVM interface.
 */
#include "tests/kvm/kit.h"

static const struct umbra_vm_config *ept4(void)
{
	static struct umbra_vm_config config;

	config = kit_config(UMBRA_PAGING_EPT, 4, 46);
	return &config;
}

/* A vCPU keeps its VM, a copied descriptor its file; the lowest number is used again. */
static void descriptors(void **state)
{
	struct kit kit;
	int64_t copy;

	(void)state;
	kit_open(&kit, ept4(), 0);
	copy = kvm_dup(kit.process, (uint64_t)kit.vm);
	assert_int_equal(copy, kit.vcpu + 1);
	assert_int_equal(kvm_dup_to(kit.process, (uint64_t)kit.vm, (uint64_t)kit.vm, false, 0),
			 kit.vm);
	assert_int_equal(kvm_close(kit.process, (uint64_t)kit.vm), 0);
	assert_int_equal(kvm_close(kit.process, (uint64_t)kit.vm), -EBADF);
	assert_int_equal(kvm_ioctl(kit.process, (uint64_t)copy, KVM_CREATE_VCPU, 1), kit.vm);
	assert_int_equal(kvm_close(kit.process, (uint64_t)copy), 0);
	assert_int_equal(kvm_ioctl(kit.process, (uint64_t)kit.vcpu, KVM_RUN, 1), -EINVAL);
	assert_int_equal(kvm_close(kit.process, (uint64_t)kit.vcpu), 0);
	assert_string_not_equal(kit.step, "the VM goes with its last descriptor");
	assert_int_equal(kvm_close(kit.process, (uint64_t)kit.vm), 0);
	assert_string_equal(kit.step, "the VM goes with its last descriptor");
	for (unsigned i = 0; kvm_dup(kit.process, (uint64_t)kit.system) > 0; i++)
		assert_true(i < 1000);
	assert_int_equal(kvm_open(kit.process), -EMFILE);
	kit_close(&kit);
}

static void memory(void **state)
{
	struct kit kit;
	struct kvm_memory *memory;
	uint64_t value = 0x1122334455667788, back = 0;
	const uint64_t last = KVM_MEMORY_SIZE - 8;
	char text[4];

	(void)state;
	kit_open(&kit, ept4(), 0);
	memory = kvm_process_memory(kit.process);
	assert_true(kvm_memory_write(memory, KVM_MEMORY_TEXT + last, &value, 8));
	assert_true(kvm_memory_read(memory, KVM_MEMORY_LOW + last, &back, 8));
	assert_true(back == value);
	assert_true(kvm_memory_read(memory, KVM_MEMORY_HIGH + last, &back, 8));
	assert_false(kvm_memory_read(memory, KVM_MEMORY_LOW + last + 1, &back, 8));
	assert_false(kvm_memory_read(memory, KVM_MEMORY_LOW - 1, &back, 1));
	assert_false(kvm_memory_read(memory, UINT64_MAX, &back, 8));
	assert_false(kvm_memory_write(memory, 0, &back, 1));
	assert_true(kvm_memory_read(memory, 0, &back, 0));
	assert_true(kvm_memory_write(memory, KVM_MEMORY_LOW, "abc", 4));
	assert_true(kvm_memory_text(memory, KVM_MEMORY_LOW, text, sizeof(text)));
	assert_string_equal(text, "abc");
	assert_false(kvm_memory_text(memory, KVM_MEMORY_LOW, text, 3));
	/* The text ends with the memory, without its zero. */
	assert_false(kvm_memory_text(memory, KVM_MEMORY_LOW + last + 6, text, sizeof(text)));
	kit_close(&kit);
}

static void capabilities(void **state)
{
	static const struct {
		uint64_t cap;
		int64_t system, vm;
	} rows[] = {
		{KVM_CAP_USER_MEMORY, 1, 1},
		{KVM_CAP_NR_MEMSLOTS, 32764, 32764},
		{KVM_CAP_READONLY_MEM, 1, 1},
		{KVM_CAP_MULTI_ADDRESS_SPACE, 2, 2},
		{KVM_CAP_MEMORY_ATTRIBUTES, 8, 0},
		{KVM_CAP_GUEST_MEMFD, 1, 0},
		{KVM_CAP_VM_TYPES, 3, 3},
		{KVM_CAP_PRE_FAULT_MEMORY, 1, 1},
		{KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3, 3},
		{0, 0, 0},
	};
	struct kit kit;

	(void)state;
	kit_open(&kit, ept4(), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(kvm_ioctl(kit.process, (uint64_t)kit.system, KVM_CHECK_EXTENSION,
					   rows[i].cap),
				 rows[i].system);
		assert_int_equal(
			kvm_ioctl(kit.process, (uint64_t)kit.vm, KVM_CHECK_EXTENSION, rows[i].cap),
			rows[i].vm);
	}
	kit_close(&kit);
}

/* M-22: bit 1 needs bit 0, and flags are 0. */
static void m22(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t arg;
		int64_t result;
	} rows[] = {{0, 0, 0},
		    {0, 1, 0},
		    {0, 3, 0},
		    {0, 2, -EINVAL},
		    {0, 4, -EINVAL},
		    {0, 5, -EINVAL},
		    {0, UINT64_MAX, -EINVAL},
		    {1, 1, -EINVAL}};
	struct kit kit;

	(void)state;
	kit_open(&kit, ept4(), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct kvm_enable_cap cap = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
						   .flags = rows[i].flags,
						   .args = {rows[i].arg}};

		assert_int_equal(kit_ioctl(&kit, kit.vm, KVM_ENABLE_CAP, &cap, sizeof(cap)),
				 rows[i].result);
	}
	kit_close(&kit);
}

static void registers(void **state)
{
	struct kvm_regs regs = {.rax = 1, .r8_15 = {[7] = 15}, .rip = 0x1234, .rflags = 0};
	struct kvm_sregs sregs;
	struct kit kit;

	(void)state;
	kit_open(&kit, ept4(), 0);
	assert_int_equal(kvm_ioctl(kit.process, (uint64_t)kit.vcpu, KVM_GET_SREGS, KIT_ARG), 0);
	kit_result(&kit, &sregs, KVM_SREGS_SIZE);
	assert_int_equal(sregs.cs.base, 0xffff0000);
	assert_int_equal(sregs.cs.selector, 0xf000);
	assert_int_equal(sregs.cr0, 0x60000010);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, KVM_SET_REGS, &regs, sizeof(regs)), 0);
	memset(&regs, 0, sizeof(regs));
	assert_int_equal(kvm_ioctl(kit.process, (uint64_t)kit.vcpu, KVM_GET_REGS, KIT_ARG), 0);
	kit_result(&kit, &regs, sizeof(regs));
	assert_int_equal(regs.rax, 1);
	assert_int_equal(regs.r8_15[7], 15);
	assert_int_equal(regs.rip, 0x1234);
	assert_int_equal(regs.rflags, 2);
	kit_close(&kit);
}

/* PDPTEs travel through SREGS2 and come back. */
static void pdptes(void **state)
{
	struct kvm_sregs sregs = {.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG,
				  .cr4 = UMBRA_CR4_PAE,
				  .flags = KVM_SREGS2_PDPTES,
				  .pdpte = {0x1001, 0, 0x3001, 0}};
	struct kit kit;

	(void)state;
	kit_open(&kit, ept4(), 0);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, KVM_SET_SREGS2, &sregs, sizeof(sregs)), 0);
	memset(&sregs, 0xff, sizeof(sregs));
	assert_int_equal(kvm_ioctl(kit.process, (uint64_t)kit.vcpu, KVM_GET_SREGS2, KIT_ARG), 0);
	kit_result(&kit, &sregs, sizeof(sregs));
	assert_int_equal(sregs.flags, KVM_SREGS2_PDPTES);
	assert_int_equal(sregs.pdpte[0], 0x1001);
	assert_int_equal(sregs.pdpte[1], 0);
	assert_int_equal(sregs.pdpte[2], 0x3001);
	kit_close(&kit);
}

/* The exit is left where the process has mapped the vCPU. */
static void run_page(void **state)
{
	const struct kvm_map map = {KVM_MEMORY_TEXT + 0x1000, 0x1000, 3, 0x11, 0, 0};
	struct kvm_map real = map;
	struct kvm_run_page page;
	struct kit kit;

	(void)state;
	kit_open(&kit, ept4(), 0);
	real.fd = (uint64_t)kit.vcpu;
	assert_int_equal(kvm_mmap(kit.process, &real), (int64_t)map.address);
	assert_int_equal(kvm_ioctl(kit.process, (uint64_t)kit.vcpu, KVM_RUN, 0), 0);
	assert_true(
		kvm_memory_read(kvm_process_memory(kit.process), map.address, &page, sizeof(page)));
	assert_int_equal(page.exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(page.internal.suberror, KVM_ERROR_EMULATION);
	real.fd = (uint64_t)kit.vm;
	assert_int_equal(kvm_mmap(kit.process, &real), -ENODEV);
	real.fd = 99;
	assert_int_equal(kvm_mmap(kit.process, &real), -EBADF);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors),  cmocka_unit_test(memory),
		cmocka_unit_test(capabilities), cmocka_unit_test(m22),
		cmocka_unit_test(registers),    cmocka_unit_test(pdptes),
		cmocka_unit_test(run_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
