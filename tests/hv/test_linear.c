/* SPDX-License-Identifier: MIT */
/*
 * test_linear.c - the emulator on a vCPU of the library: a guest that is shadowed edits its
 * own tables, and what its tables then say is what it gets.
 */
#include "hv/linear.h"
#include "hv/alu.h"
#include "tests/unit/guest.h"

#define PAGE 4096ull
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
#define CODE 0x10000ull

struct guest {
	struct kit kit;
	struct linear linear;
	struct emulate_cpu cpu;
	struct emulate_fault fault;
};

/* Four levels, [0, 2M) as it lies; a kernel at CPL 0. */
static void open_guest(struct guest *guest)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_SHADOW);
	const struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG | UMBRA_CR0_WP,
		.cr3 = PML4,
		.cr4 = UMBRA_CR4_PAE,
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA,
	};
	struct umbra_root root;

	kit_open(&guest->kit, &config, 1);
	put64(&guest->kit, PML4, PDPT | 7);
	put64(&guest->kit, PDPT, PD | 7);
	put64(&guest->kit, PD, PT | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(&guest->kit, PT + 8 * i, i * PAGE | 7);
	assert_int_equal(umbra_vcpu_set_regs(guest->kit.vcpu, &regs, false), UMBRA_OK);
	assert_int_equal(umbra_vcpu_load(guest->kit.vcpu, &root), UMBRA_OK);
	guest->linear = (struct linear){.vm = guest->kit.vm, .vcpu = guest->kit.vcpu};
	guest->cpu = (struct emulate_cpu){
		.rip = CODE,
		.rflags = 2,
		.cr0 = regs.cr0,
		.cr3 = regs.cr3,
		.cr4 = regs.cr4,
		.efer = regs.efer,
		.segment[INSN_CS].attributes = EMULATE_SEGMENT_L,
	};
}

/* The instruction is at CODE, RDI is @rdi. */
static enum emulate_end step(struct guest *guest, const char *bytes, size_t count, uint64_t rdi)
{
	memcpy(guest->kit.bytes + CODE, bytes, count);
	guest->cpu.rip = CODE;
	guest->cpu.gpr[INSN_RDI] = rdi;
	return linear_step(&guest->linear, &guest->cpu, &guest->fault);
}
#define STEP(guest, bytes, rdi) step(guest, bytes, sizeof(bytes) - 1, rdi)

/* What the verdict EMULATE is for: an upper table, which cannot go unsync. */
static void a_guest_edits_an_upper_table(void **state)
{
	struct guest guest;
	struct kit *kit = &guest.kit;

	(void)state;
	open_guest(&guest);
	resume(kit, 0x20000, UMBRA_ACCESS_READ);
	assert_true(look(kit, 0x20000).leaf);
	assert_int_equal(touch(kit, PD, UMBRA_ACCESS_WRITE).verdict, UMBRA_EMULATE);
	guest.cpu.gpr[INSN_RAX] = 0;
	assert_int_equal(STEP(&guest, "\x48\x89\x07", PD), EMULATE_DONE); /* mov [rdi], rax */
	assert_int_equal(get64(kit, PD), 0);
	assert_false(look(kit, 0x20000).leaf);
	assert_clean(kit);
	/* The next instruction is not to be had any more: the guest's own fault. */
	assert_int_equal(linear_step(&guest.linear, &guest.cpu, &guest.fault), EMULATE_FAULT);
	assert_int_equal(guest.fault.vector, 14);
	assert_int_equal(guest.fault.address, CODE + 3);
	assert_int_equal(guest.linear.event.kind, UMBRA_EVENT_PF);
	kit_close(kit);
}

/* lock cmpxchg, lock btr, xchg: how kernels take entries away. */
static void a_locked_edit_is_one(void **state)
{
	const struct emulate_access entry = {PD, 8, UMBRA_ACCESS_WRITE};
	const void *const old[2] = {"1234567", "abcdefg"};
	struct guest guest;
	struct kit *kit = &guest.kit;

	(void)state;
	open_guest(&guest);
	resume(kit, 0x20000, UMBRA_ACCESS_READ);
	guest.cpu.gpr[INSN_RAX] = get64(kit, PD);
	guest.cpu.gpr[INSN_RCX] = 0;
	assert_int_equal(STEP(&guest, "\xf0\x48\x0f\xb1\x0f", PD), EMULATE_DONE);
	assert_int_equal(get64(kit, PD), 0);
	assert_true(guest.cpu.rflags & RFLAGS_ZF);
	assert_false(look(kit, 0x20000).leaf);
	put64(kit, PD, PT | 7);
	assert_int_equal(STEP(&guest, "\xf0\x48\x0f\xba\x37\x00", PDPT), EMULATE_DONE); /* btr */
	assert_int_equal(get64(kit, PDPT) & 7, 6);
	put64(kit, PDPT, PD | 7);
	/* Somebody was faster. */
	assert_int_equal(linear_ops.exchange(&guest.linear, &entry, old, &guest.fault),
			 EMULATE_RETRY);
	assert_int_equal(get64(kit, PD) & ~0x20ull, PT | 7);
	/* Misaligned: not in one step. Across a page: neither. */
	assert_int_equal(STEP(&guest, "\xf0\x48\x0f\xb1\x0f", PD + 4), EMULATE_CANNOT);
	assert_int_equal(STEP(&guest, "\xf0\x48\x0f\xb1\x0f", PD + PAGE - 4), EMULATE_CANNOT);
	assert_clean(kit);
	kit_close(kit);
}

static void a_fault_is_the_guests(void **state)
{
	struct guest guest;
	struct kit *kit = &guest.kit;

	(void)state;
	open_guest(&guest);
	put64(kit, PT + 8 * 0x21, 0x21000 | 5); /* read only */
	put64(kit, PT + 8 * 0x20, 0x20000 | 7);
	guest.cpu.gpr[INSN_RAX] = ~0ull;
	assert_int_equal(STEP(&guest, "\x48\x89\x07", 0x20ffc), EMULATE_FAULT);
	assert_int_equal(guest.fault.code, UMBRA_PF_P | UMBRA_PF_W);
	assert_int_equal(guest.fault.address, 0x21000);
	/* Of the page before nothing was written, not even D. */
	assert_int_equal(get64(kit, 0x20ff8), 0);
	assert_int_equal(get64(kit, PT + 8 * 0x20), 0x20000 | 7);
	guest.cpu.cpl = 3;
	put64(kit, PT + 8 * 0x20, 0x20000 | 3); /* the kernel's */
	assert_int_equal(STEP(&guest, "\x48\x8b\x07", 0x20000), EMULATE_FAULT);
	assert_int_equal(guest.fault.code, UMBRA_PF_P | UMBRA_PF_U);
	kit_close(kit);
}

static void writes_may_cross_pages(void **state)
{
	struct guest guest;
	struct kit *kit = &guest.kit;

	(void)state;
	open_guest(&guest);
	put64(kit, PT + 8 * 0x21, 0x30000 | 7);
	guest.cpu.gpr[INSN_RAX] = 0x1122334455667788;
	assert_int_equal(STEP(&guest, "\x48\x89\x07", 0x20ffc), EMULATE_DONE);
	assert_int_equal(get64(kit, 0x20ff8) >> 32, 0x55667788);
	assert_int_equal(get64(kit, 0x30000), 0x11223344);
	assert_int_equal(get64(kit, PT + 8 * 0x20) & 0x60, 0x60);
	/* Where the second half is read-only memory, or none. */
	assert_int_equal(kit_slot(kit, 1, BYTES, PAGE, kit->hva.v + 0x40000, UMBRA_SLOT_READONLY),
			 UMBRA_OK);
	for (uint64_t i = 0; i < 2; i++) {
		put64(kit, PT + 8 * 0x21, (BYTES + i * PAGE) | 7);
		umbra_vcpu_invlpg(kit->vcpu, (umbra_gva){0x21000});
		guest.cpu.gpr[INSN_RAX] = 0;
		assert_int_equal(STEP(&guest, "\x48\x89\x07", 0x20ffc), EMULATE_CANNOT);
		assert_int_equal(get64(kit, 0x20ff8) >> 32, 0x55667788);
	}
	kit_close(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_edits_an_upper_table),
		cmocka_unit_test(a_locked_edit_is_one),
		cmocka_unit_test(a_fault_is_the_guests),
		cmocka_unit_test(writes_may_cross_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
