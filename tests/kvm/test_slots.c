/* SPDX-License-Identifier: MIT */
/*
 * test_slots.c - the errno table of facts M-4, row by row, on both requests and both
 * kinds of VM; and that nothing has changed after each error.
 */
#include "tests/kvm/kit.h"

#define K 1024ull
#define HVA 0x20000000ull
#define PAGE 4096ull

/* Slots 0 at 64K, 1 at 256K, 2 (READONLY) at 512K, each of 64K; slot 3 free. */
static void three_slots(struct kit *kit)
{
	assert_int_equal(kit_slot(kit, 0, 0, 64 * K, 64 * K, HVA), 0);
	assert_int_equal(kit_slot(kit, 1, 0, 256 * K, 64 * K, HVA + 64 * K), 0);
	assert_int_equal(kit_slot(kit, 2, KVM_MEM_READONLY, 512 * K, 64 * K, HVA + 128 * K), 0);
}

struct row {
	struct kvm_memory_region is;
	int64_t result;
	const char *why; /* part of it */
};

static void check(struct kit *kit, const struct row *row, uint64_t request)
{
	const size_t size =
		request == KVM_SET_USER_MEMORY_REGION ? KVM_MEMORY_REGION_V1_SIZE : sizeof(row->is);
	const int64_t result = kit_ioctl(kit, kit->vm, request, &row->is, size);

	if (result != row->result || !strstr(kit->why, row->why))
		fail_msg("slot 0x%x flags 0x%x gpa 0x%" PRIx64 " size 0x%" PRIx64 " hva 0x%" PRIx64
			 ": %" PRId64 " (%s), not %" PRId64 " (%s)",
			 row->is.slot, row->is.flags, row->is.gpa, row->is.size, row->is.hva,
			 result, kit->why, row->result, row->why);
}

/* Each in turn on the same three slots: an error may not change them. */
static void m4_errors(void **state)
{
	static const struct row rows[] = {
		{{3, 8, 0, PAGE, HVA}, -EINVAL, "flags"},
		{{3, 4, 0, PAGE, HVA}, -EINVAL, "flags"},
		{{3, 1u << 16, 0, PAGE, HVA}, -EINVAL, "flags"},
		{{3, 0, 0, PAGE + 1, HVA}, -EINVAL, "size is not"},
		{{3, 0, 0, 1, HVA}, -EINVAL, "size is not"},
		{{3, 0, 1, PAGE, HVA}, -EINVAL, "guest-physical address is not"},
		{{3, 0, 0x800, PAGE, HVA}, -EINVAL, "guest-physical address is not"},
		{{3, 0, 0, PAGE, HVA + 8}, -EINVAL, "user address is not"},
		{{3, 0, 0, PAGE, KVM_USER_END}, -EINVAL, "user's half"},
		{{3, 0, 0, PAGE, 1ull << 57}, -EINVAL, "user's half"},
		{{3, 0, 0, 2 * PAGE, KVM_USER_END - PAGE}, -EINVAL, "user's half"},
		{{3, 0, 0, -PAGE, PAGE}, -EINVAL, "user's half"},
		{{2u << 16 | 3, 0, 0, PAGE, HVA}, -EINVAL, "address space"},
		{{0xffffu << 16 | 3, 0, 0, PAGE, HVA}, -EINVAL, "address space"},
		{{32764, 0, 0, PAGE, HVA}, -EINVAL, "ids end"},
		{{32767, 0, 0, PAGE, HVA}, -EINVAL, "ids end"},
		{{0xffff, 0, 0, PAGE, HVA}, -EINVAL, "ids end"},
		{{3, 0, -PAGE, 2 * PAGE, HVA}, -EINVAL, "wraps"},
		{{3, 0, 0, 0x80000000ull * PAGE, 0}, -EINVAL, "2^31-1 pages"},
		{{3, 0, 0, 0, 0}, -EINVAL, "no such slot"},
		{{1u << 16, 0, 0, 0, 0}, -EINVAL, "no such slot"},
		{{0, 0, 64 * K, 64 * K, HVA + PAGE}, -EINVAL, "another user address"},
		{{0, 0, 64 * K, 60 * K, HVA}, -EINVAL, "another size"},
		{{0, 0, 128 * K, 128 * K, HVA}, -EINVAL, "another size"},
		{{0, KVM_MEM_READONLY, 64 * K, 64 * K, HVA}, -EINVAL, "READONLY"},
		{{2, 0, 512 * K, 64 * K, HVA + 128 * K}, -EINVAL, "READONLY"},
		{{3, 0, 0, 65 * K + 3 * K, HVA}, -EEXIST, "overlaps"},
		{{3, 0, 124 * K, 8 * K, HVA}, -EEXIST, "overlaps"},
		{{3, 0, 64 * K, 64 * K, HVA}, -EEXIST, "overlaps"},
		{{3, 0, 68 * K, PAGE, HVA}, -EEXIST, "overlaps"},
		{{3, 0, 0, 1024 * K, HVA}, -EEXIST, "overlaps"},
		{{0, 0, 260 * K, 64 * K, HVA}, -EEXIST, "overlaps"},
		{{3, 0, 1ull << 46, PAGE, HVA}, -EINVAL, "MAXPHYADDR"},
		{{3, 0, (1ull << 46) - PAGE, 2 * PAGE, HVA}, -EINVAL, "MAXPHYADDR"},
		{{0, 0, 1ull << 46, 64 * K, HVA}, -EINVAL, "MAXPHYADDR"},
		/* Earlier rows win. */
		{{0xffff, 8, 1, 1, 1}, -EINVAL, "flags"},
		{{0xffff, 0, 1, 1, 1}, -EINVAL, "size is not"},
		{{0xffff, 0, 1, PAGE, 1}, -EINVAL, "guest-physical address is not"},
		{{1, 0, 64 * K, PAGE, HVA}, -EINVAL, "another user address"},
		{{3, 0, 64 * K, 1ull << 40, 0}, -EEXIST, "overlaps"},
		/* And these are right: the limits, what is there already, a place of its own. */
		{{0, 0, 64 * K, 64 * K, HVA}, 0, ""},
		{{3, 0, (1ull << 46) - PAGE, PAGE, KVM_USER_END - PAGE}, 0, ""},
		{{3, 0, 0, 0, 0}, 0, ""},
		{{32763, 0, 128 * K, 128 * K, HVA}, 0, ""},
		{{32763, 0, 0, 0, 0}, 0, ""},
		{{1u << 16, 0, 64 * K, 64 * K, HVA}, 0, ""},
		{{1u << 16, 0, 0, 0, 0}, 0, ""},
		{{0, 0, 96 * K, 64 * K, HVA}, 0, ""},
		{{0, 0, 64 * K, 64 * K, HVA}, 0, ""},
	};
	static const uint64_t requests[] = {KVM_SET_USER_MEMORY_REGION,
					    KVM_SET_USER_MEMORY_REGION2};
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT, 4, 46);
	struct kit kit;

	(void)state;
	kit_open(&kit, &config, KVM_VM_DEFAULT);
	three_slots(&kit);
	for (unsigned r = 0; r < 2; r++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			check(&kit, &rows[i], requests[r]);
	assert_int_equal(kit_slot(&kit, 4, 0, 1ull << 46, PAGE, HVA), -EINVAL);
	kit_close(&kit);
}

/* A slot that no root can map is KVM's to allow; its use is not (F-32). */
static void unmappable(void **state)
{
	static const struct {
		enum umbra_paging paging;
		unsigned levels, bit;
	} roots[] = {
		{UMBRA_PAGING_EPT, 4, 48}, {UMBRA_PAGING_NPT, 4, 48}, {UMBRA_PAGING_NPT, 3, 32}};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		const struct umbra_vm_config config =
			kit_config(roots[i].paging, roots[i].levels, 52);
		struct kit kit;

		kit_open(&kit, &config, KVM_VM_DEFAULT);
		assert_int_equal(kit_slot(&kit, 0, 0, 1ull << roots[i].bit, PAGE, HVA), 0);
		assert_int_equal(kit_slot(&kit, 1, 0, 0, PAGE, HVA), 0);
		assert_int_equal(kit_slot(&kit, 0, 0, 0, 0, 0), 0);
		kit_close(&kit);
	}
}

/* Flags and descriptors that only REGION2 on a protected VM has. */
static void m4_guest_memfd(void **state)
{
	const struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT, 4, 46);
	const struct kvm_memfd wanted = {.size = 16 * PAGE};
	struct kvm_memory_region region = {
		.slot = 3, .flags = KVM_MEM_GUEST_MEMFD, .size = 4 * PAGE, .hva = HVA};
	struct kit kit;
	int64_t fd, other_vm, other;
	struct row row;

	(void)state;
	kit_open(&kit, &config, KVM_VM_SW_PROTECTED);
	fd = kit_ioctl(&kit, kit.vm, KVM_CREATE_GUEST_MEMFD, &wanted, sizeof(wanted));
	other_vm = kvm_ioctl(kit.process, (uint64_t)kit.system, KVM_CREATE_VM, 1);
	other = kit_ioctl(&kit, other_vm, KVM_CREATE_GUEST_MEMFD, &wanted, sizeof(wanted));
	assert_true(fd > 0 && other_vm > 0 && other > 0);
	region.memfd = (uint32_t)fd;

#define REFUSED(change, error, words)                           \
	do {                                                    \
		row = (struct row){region, error, words};       \
		row.is.change;                                  \
		check(&kit, &row, KVM_SET_USER_MEMORY_REGION2); \
	} while (0)
	REFUSED(flags |= KVM_MEM_READONLY, -EINVAL, "flags");
	REFUSED(flags |= KVM_MEM_LOG_DIRTY, -EINVAL, "flags");
	REFUSED(slot |= 1u << 16, -EINVAL, "address space");
	REFUSED(memfd_offset = 1, -EINVAL, "offset");
	REFUSED(memfd_offset = -PAGE, -EINVAL, "offset");
	REFUSED(memfd_offset = 13 * PAGE, -EINVAL, "beyond the guest_memfd");
	REFUSED(size = 17 * PAGE, -EINVAL, "beyond the guest_memfd");
	REFUSED(memfd = 77, -EBADF, "not open");
	REFUSED(memfd = (uint32_t)-1, -EBADF, "not open");
	REFUSED(memfd = (uint32_t)kit.vm, -EINVAL, "not a guest_memfd");
	REFUSED(memfd = (uint32_t)other, -EINVAL, "not a guest_memfd");
	REFUSED(slot = 3, 0, "");
	REFUSED(slot = 3, -EINVAL, "only be deleted");
	REFUSED(gpa = 16 * PAGE, -EINVAL, "only be deleted");
	region.gpa = 16 * PAGE;
	REFUSED(slot = 4, -EINVAL, "another slot has that part");
	region.memfd_offset = 4 * PAGE;
	REFUSED(slot = 4, 0, "");
	/* The older request has no room for a descriptor. */
	row = (struct row){region, -EINVAL, "flags"};
	row.is.slot = 5;
	check(&kit, &row, KVM_SET_USER_MEMORY_REGION);
	assert_int_equal(kit_slot(&kit, 3, 0, 0, 0, 0), 0);
	assert_int_equal(kvm_close(kit.process, (uint64_t)fd), 0);
	kit_close(&kit);
#undef REFUSED
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(m4_errors),
		cmocka_unit_test(unmappable),
		cmocka_unit_test(m4_guest_memfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
