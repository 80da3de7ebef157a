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

/* All of @memory is 0, and may be read and written. */
static void is_fresh(struct kvm_memory *memory)
{
	static const uint8_t zeros[UMBRA_PAGE_SIZE];
	static uint8_t page[UMBRA_PAGE_SIZE];

	for (uint64_t at = 0; at < KVM_MEMORY_SIZE; at += sizeof(page)) {
		assert_true(kvm_memory_read(memory, KVM_MEMORY_TEXT + at, page, sizeof(page)));
		assert_memory_equal(page, zeros, sizeof(page));
		assert_true(kvm_memory_write(memory, KVM_MEMORY_TEXT + at, "", 1));
	}
}

/* A guest's delivery of #GP writes where the process never did: 0:4be, three words. */
static void guest_writes(struct kit *kit, uint64_t hva)
{
	const struct kvm_regs regs = {.rsp = 0x4c4, .rip = 0x25000, .rflags = 2};
	uint16_t pushed = 0;

	assert_int_equal(kit_slot(kit, 0, 0, 0, 0x2000, hva), 0);
	assert_int_equal(kit_ioctl(kit, kit->vcpu, KVM_SET_REGS, &regs, sizeof(regs)), 0);
	kvm_ioctl(kit->process, (uint64_t)kit->vcpu, KVM_RUN, 0);
	assert_true(kvm_memory_read(kvm_process_memory(kit->process), hva + 0x4c2, &pushed, 2));
	assert_int_not_equal(pushed, 0);
}

/* After a reset nothing is left: memory, rights, descriptors, a failure to come, slots. */
static void reset(void **state)
{
	struct kit kit;

	(void)state;
	kit_open(&kit, ept4(), 0);
	for (unsigned round = 0; round < 2; round++) {
		struct kvm_memory *memory = kvm_process_memory(kit.process);

		assert_true(kvm_memory_write(memory, KVM_MEMORY_TEXT + 0x5fff, "ab", 2));
		guest_writes(&kit, KVM_MEMORY_TEXT + 0x9000);
		assert_int_equal(kvm_mprotect(kit.process, KVM_MEMORY_TEXT + 0x20000, 0x1000, 0),
				 0);
		assert_int_equal(kvm_munmap(kit.process, KVM_MEMORY_TEXT + 0x30000, 0x1000), 0);
		assert_int_equal(kvm_dup_to(kit.process, (uint64_t)kit.vm, 0, false, 0), 0);
		assert_int_equal(kvm_close(kit.process, 1), 0);
		kvm_fail_nth(kit.process, (uint64_t)kit.vm, 1);
		assert_int_equal(kvm_process_reset(kit.process), 0);
		is_fresh(memory);
		for (unsigned fd = 0; fd < 3; fd++)
			assert_int_equal(kvm_ioctl(kit.process, fd, KVM_RUN, 0), -ENOTTY);
		kit.system = kvm_open(kit.process);
		assert_int_equal(kit.system, 3);
		kit.vm = kvm_ioctl(kit.process, 3, KVM_CREATE_VM, 0);
		assert_int_equal(kit.vm, 4);
		kit.vcpu = kvm_ioctl(kit.process, 4, KVM_CREATE_VCPU, 0);
		assert_int_equal(kit.vcpu, 5);
	}
	kit_close(&kit);
}

/* mmap() over what the guest wrote gives zeros. */
static void fresh_pages(void **state)
{
	const struct kvm_map map = {KVM_MEMORY_TEXT, KVM_MEMORY_SIZE, 3, 0x31, UINT64_MAX, 0};
	struct kit kit;

	(void)state;
	kit_open(&kit, ept4(), 0);
	guest_writes(&kit, KVM_MEMORY_TEXT + 0x9000);
	assert_int_equal(kvm_mmap(kit.process, &map), (int64_t)map.address);
	is_fresh(kvm_process_memory(kit.process));
	kit_close(&kit);
}

/* More at once than a VM may have: ENOMEM, and the slot is not there. */
static void alloc_max(void **state)
{
	const struct umbra_vm_config vm = kit_config(UMBRA_PAGING_SHADOW, 0, 46);
	const struct kvm_config config = {.vm = vm, .alloc_max = 64 << 10};
	struct kit kit = {.process = kvm_process_new(&config)};

	(void)state;
	assert_non_null(kit.process);
	kit.system = kvm_open(kit.process);
	kit.vm = kvm_ioctl(kit.process, (uint64_t)kit.system, KVM_CREATE_VM, 0);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 1ull << 30, KVM_MEMORY_TEXT), -ENOMEM);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(kit_slot(&kit, 0, 0, 0, 1ull << 20, KVM_MEMORY_TEXT), 0);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors),  cmocka_unit_test(memory),
		cmocka_unit_test(capabilities), cmocka_unit_test(m22),
		cmocka_unit_test(registers),    cmocka_unit_test(pdptes),
		cmocka_unit_test(run_page),     cmocka_unit_test(reset),
		cmocka_unit_test(fresh_pages),  cmocka_unit_test(alloc_max),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
