/* SPDX-License-Identifier: MIT */
/*
 * test_emulate.c - the emulator by worked examples, for what test_native.c cannot run: 16-
 * and 32-bit code, segments and limits, what memory refuses, LOCK that loses a race, a REP
 * that stops on its way, the fetch.
 *
 * Memory is eight pages at 10000h. The test says of a page what an access to it gives, and
 * sees every access that was made.
 */
#include "hv/alu.h"
#include "hv/emulate.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define BASE 0x10000u
#define PAGES 8u
#define SIZE (PAGES * 4096u)
#define LOG 8u

enum page { PAGE_FINE, PAGE_READ_ONLY, PAGE_ABSENT, PAGE_CANNOT };

struct ram {
	uint8_t bytes[SIZE];
	enum page pages[PAGES];
	/** The next exchanges find that somebody has added 1 to the first byte. */
	unsigned races;
	/** The accesses, as far as there is room. */
	unsigned count;
	struct emulate_access log[LOG];
};

static struct ram ram;
static struct emulate_cpu cpu;
static struct emulate_fault fault;

/* All of the access or nothing; both pages are asked first. */
static enum emulate_end check(const struct emulate_access *at)
{
	if (ram.count < LOG)
		ram.log[ram.count] = *at;
	ram.count++;
	if (at->linear < BASE || at->linear + at->count > BASE + SIZE)
		return EMULATE_CANNOT;
	for (uint64_t i = at->linear; i < at->linear + at->count; i++) {
		const enum page page = ram.pages[(i - BASE) / 4096];
		const bool write = at->access & UMBRA_ACCESS_WRITE;

		if (page == PAGE_CANNOT)
			return EMULATE_CANNOT;
		if (page == PAGE_ABSENT || (page == PAGE_READ_ONLY && write)) {
			fault = (struct emulate_fault){14, true, write ? 2 : 0, i};
			return EMULATE_FAULT;
		}
	}
	return EMULATE_DONE;
}

static enum emulate_end ram_read(void *context, const struct emulate_access *at, void *bytes,
				 struct emulate_fault *to)
{
	const enum emulate_end end = check(at);

	assert_ptr_equal(context, &ram);
	assert_ptr_equal(to, &fault);
	if (end == EMULATE_DONE)
		memcpy(bytes, ram.bytes + (at->linear - BASE), at->count);
	return end;
}

static enum emulate_end ram_write(void *context, const struct emulate_access *at, const void *bytes,
				  struct emulate_fault *to)
{
	const enum emulate_end end = check(at);

	assert_ptr_equal(context, &ram);
	assert_ptr_equal(to, &fault);
	assert_true(at->access & UMBRA_ACCESS_WRITE);
	if (end == EMULATE_DONE)
		memcpy(ram.bytes + (at->linear - BASE), bytes, at->count);
	return end;
}

static enum emulate_end ram_exchange(void *context, const struct emulate_access *at,
				     const void *const bytes[2], struct emulate_fault *to)
{
	const enum emulate_end end = check(at);
	uint8_t *there = ram.bytes + (at->linear - BASE);

	if (end != EMULATE_DONE)
		return end;
	if (ram.races) {
		ram.races--;
		there[0]++;
	}
	return memcmp(there, bytes[0], at->count) ? EMULATE_RETRY
						  : ram_write(context, at, bytes[1], to);
}

/* Every port gives its last input plus one; what is put out is kept. */
static struct {
	uint16_t port;
	unsigned bytes, ins, outs;
	uint32_t value[LOG];
} ports;

static enum emulate_end port_in(void *context, uint16_t port, unsigned bytes, uint32_t *value)
{
	assert_ptr_equal(context, &ram);
	ports.port = port;
	ports.bytes = bytes;
	*value = ++ports.ins;
	return EMULATE_DONE;
}

static enum emulate_end port_out(void *context, uint16_t port, unsigned bytes, uint32_t value)
{
	assert_ptr_equal(context, &ram);
	ports.port = port;
	ports.bytes = bytes;
	if (ports.outs < LOG)
		ports.value[ports.outs] = value;
	ports.outs++;
	return EMULATE_DONE;
}

static const struct emulate_ops ops = {ram_read, ram_write, ram_exchange, port_in, port_out};

/* ---- the guest ---- */

static void flat(uint32_t code)
{
	for (unsigned i = 0; i < INSN_SEGMENTS; i++)
		cpu.segment[i] = (struct emulate_segment){
			.limit = 0xffffffff,
			.attributes = EMULATE_SEGMENT_P | EMULATE_SEGMENT_DB | EMULATE_SEGMENT_RW};
	cpu.segment[INSN_CS].attributes =
		EMULATE_SEGMENT_P | EMULATE_SEGMENT_CODE | EMULATE_SEGMENT_RW | code;
}

/* A guest in @mode, code at 10000h, data from 11000h on; registers are what they are called. */
static void start(enum insn_mode mode)
{
	static const uint32_t code[] = {
		[INSN_16] = 0, [INSN_32] = EMULATE_SEGMENT_DB, [INSN_64] = EMULATE_SEGMENT_L};

	memset(&ram, 0, sizeof(ram));
	memset(&fault, 0, sizeof(fault));
	cpu = (struct emulate_cpu){.rip = BASE, .rflags = 2, .cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG};
	if (mode == INSN_64)
		cpu.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA;
	flat(code[mode]);
	for (unsigned i = 0; i < 16; i++)
		cpu.gpr[i] = 0x1111111111111111ull * i;
	cpu.gpr[INSN_RDI] = BASE + 0x1000;
	cpu.gpr[INSN_RSI] = BASE + 0x2000;
}

#define STEP(...) step((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
static enum emulate_end step(const uint8_t *bytes, size_t count)
{
	memcpy(ram.bytes + (cpu.segment[INSN_CS].base + cpu.rip - BASE), bytes, count);
	ram.count = 0;
	return emulate_step(&cpu, &ops, &ram, &fault);
}

static uint64_t peek(uint64_t linear, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, ram.bytes + (linear - BASE), size);
	return value;
}

static void poke(uint64_t linear, uint64_t value, unsigned size)
{
	memcpy(ram.bytes + (linear - BASE), &value, size);
}

/* Nothing is to change from here to assert_unchanged(). */
static struct emulate_cpu cpu_before;
static struct ram ram_before;

static void remember(void)
{
	cpu_before = cpu;
	ram_before = ram;
}

static void assert_unchanged(void)
{
	assert_memory_equal(&cpu, &cpu_before, sizeof(cpu));
	assert_memory_equal(ram.bytes + 0x1000, ram_before.bytes + 0x1000, SIZE - 0x1000);
}

static void assert_fault(enum emulate_end end, unsigned vector, bool has_code)
{
	assert_int_equal(end, EMULATE_FAULT);
	assert_int_equal(fault.vector, vector);
	assert_int_equal(fault.has_code, has_code);
	assert_int_equal(fault.code, 0);
}

struct writer {
	uint8_t bytes[8];
	unsigned count;
};

/* Every kind of instruction that writes, at [rdi]. */
static const struct writer writers[] = {
	{{0x48, 0x89, 0x07}, 3},
	{{0x48, 0xc7, 0x07, 1, 2, 3, 4}, 7},
	{{0x48, 0x01, 0x07}, 3},
	{{0xf0, 0x48, 0x01, 0x07}, 4},
	{{0x48, 0x87, 0x07}, 3},
	{{0x48, 0x0f, 0xb1, 0x0f}, 4},
	{{0xf0, 0x0f, 0xb1, 0x0f}, 4},
	{{0x0f, 0xc7, 0x0f}, 3},
	{{0x48, 0x0f, 0xc7, 0x0f}, 4},
	{{0x48, 0x0f, 0xc1, 0x07}, 4},
	{{0x0f, 0xba, 0x2f, 3}, 4},
	{{0xf7, 0x17}, 2},
	{{0xff, 0x07}, 2},
	{{0x48, 0xab}, 2},
	{{0x48, 0xa5}, 2},
	{{0xf3, 0x48, 0xab}, 3},
	{{0x0f, 0xc3, 0x07}, 3},
};
#define WRITERS (sizeof(writers) / sizeof(writers[0]))

/* ---- modes ---- */

static void a_32_bit_guest_writes_its_tables(void **state)
{
	(void)state;
	start(INSN_32);
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE); /* mov [edi], eax */
	assert_int_equal(cpu.rip, BASE + 2);
	assert_int_equal(STEP(0xc7, 0x47, 0x04, 0x67, 0x10, 0x20, 0x00), EMULATE_DONE);
	assert_int_equal(peek(BASE + 0x1004, 4), 0x00201067);
	/* lock cmpxchg8b [edi]: how PAE kernels write an entry. */
	poke(BASE + 0x1000, 0x1122334455667788, 8);
	cpu.gpr[INSN_RAX] = 0x55667788;
	cpu.gpr[INSN_RDX] = 0x11223344;
	cpu.gpr[INSN_RBX] = 0xaaaaaaaa;
	cpu.gpr[INSN_RCX] = 0xbbbbbbbb;
	assert_int_equal(STEP(0xf0, 0x0f, 0xc7, 0x0f), EMULATE_DONE);
	assert_int_equal(peek(BASE + 0x1000, 8), 0xbbbbbbbbaaaaaaaa);
	assert_true(cpu.rflags & RFLAGS_ZF);
	assert_int_equal(STEP(0xf0, 0x0f, 0xc7, 0x0f), EMULATE_DONE);
	assert_false(cpu.rflags & RFLAGS_ZF);
	assert_int_equal(cpu.gpr[INSN_RAX], 0xaaaaaaaa);
	assert_int_equal(cpu.gpr[INSN_RDX], 0xbbbbbbbb);
	/* xchg [edi], ebx; then 32 bits of address, whatever is above. */
	cpu.gpr[INSN_RDI] |= 0xffull << 32;
	assert_int_equal(STEP(0x87, 0x1f), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RBX], 0xaaaaaaaa);
}

static void modes_are_of_cs_and_efer(void **state)
{
	(void)state;
	start(INSN_64);
	assert_int_equal(emulate_mode(&cpu), INSN_64);
	cpu.segment[INSN_CS].attributes = EMULATE_SEGMENT_DB; /* compatibility mode */
	assert_int_equal(emulate_mode(&cpu), INSN_32);
	cpu.segment[INSN_CS].attributes = 0;
	assert_int_equal(emulate_mode(&cpu), INSN_16);
	cpu.efer = UMBRA_EFER_LME; /* not active: L means nothing */
	cpu.segment[INSN_CS].attributes = EMULATE_SEGMENT_DB | EMULATE_SEGMENT_L;
	assert_int_equal(emulate_mode(&cpu), INSN_32);
}

static void a_16_bit_guest_has_16_bit_offsets(void **state)
{
	(void)state;
	start(INSN_16);
	cpu.cr0 = 0;
	for (unsigned i = 0; i < INSN_SEGMENTS; i++)
		cpu.segment[i] = (struct emulate_segment){.base = BASE, .limit = 0xffff};
	cpu.segment[INSN_SS].base = BASE + 0x3000;
	cpu.rip = 0;
	cpu.gpr[INSN_RBX] = 0xffff1800;
	cpu.gpr[INSN_RSI] = 0xfffff810;
	cpu.gpr[INSN_RAX] = 0x12345678;
	assert_int_equal(STEP(0x89, 0x00), EMULATE_DONE); /* mov [bx+si], ax: 1800h + f810h */
	assert_int_equal(peek(BASE + 0x1010, 4), 0x5678);
	cpu.gpr[INSN_RBP] = 0x20;
	assert_int_equal(STEP(0x66, 0x89, 0x46, 0xf0), EMULATE_DONE); /* [bp-16] is in SS */
	assert_int_equal(peek(BASE + 0x3010, 4), 0x12345678);
	cpu.gpr[INSN_RBX] = 0xffff;
	remember();
	assert_fault(STEP(0x89, 0x07), 13, true); /* [bx]: the second byte is past the limit */
	assert_unchanged();
	cpu.gpr[INSN_RBP] = 0xffff;
	assert_fault(STEP(0x89, 0x46, 0x00), 12, true); /* in SS: #SS */
	/* Writable code, as real mode has it. */
	assert_int_equal(STEP(0x2e, 0x88, 0x06, 0x00, 0x10), EMULATE_DONE);
	assert_int_equal(peek(BASE + 0x1000, 1), 0x78);
	/* rep stosb with DI at the end: wraps to 0 (which has the code). */
	cpu.gpr[INSN_RCX] = 0xffff0002;
	cpu.gpr[INSN_RDI] = 0xabcd1fff;
	cpu.segment[INSN_ES].limit = 0x1fff;
	assert_fault(STEP(0xf3, 0xaa), 13, true);
	assert_int_equal(cpu.gpr[INSN_RCX], 0xffff0001);
	assert_int_equal(cpu.gpr[INSN_RDI], 0xabcd2000);
}

static void linear_addresses_wrap_at_4g(void **state)
{
	(void)state;
	start(INSN_32);
	cpu.segment[INSN_DS].base = 0xfffff000;
	cpu.gpr[INSN_RDI] = BASE + 0x2000;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE);
	assert_int_equal(ram.log[ram.count - 1].linear, BASE + 0x1000);
	/* Up to the last byte below 4G, which is not there, but asked for. */
	cpu.gpr[INSN_RDI] = 0xffc;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_CANNOT);
	assert_int_equal(ram.log[1].linear, 0xfffffffc);
	cpu.gpr[INSN_RDI] = 0xffe;
	remember();
	assert_int_equal(STEP(0x89, 0x07), EMULATE_CANNOT); /* both ends of it at once */
	assert_int_equal(ram.count, 1);
	assert_unchanged();
	/* A flat segment's last bytes and beyond. */
	cpu.segment[INSN_DS].base = 0;
	cpu.gpr[INSN_RDI] = 0xfffffffe;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_CANNOT);
	assert_int_equal(ram.count, 1);
}

static void segments_have_rights_and_limits(void **state)
{
	struct emulate_segment *ds = &cpu.segment[INSN_DS];

	(void)state;
	start(INSN_32);
	remember();
	assert_fault(STEP(0x2e, 0x89, 0x07), 13, true); /* mov cs:[edi], eax */
	assert_unchanged();
	assert_int_equal(STEP(0x2e, 0x8b, 0x07), EMULATE_DONE);
	cpu.segment[INSN_CS].attributes &= ~EMULATE_SEGMENT_RW;
	assert_fault(STEP(0x2e, 0x8b, 0x07), 13, true); /* execute-only */
	ds->attributes &= ~EMULATE_SEGMENT_RW;
	assert_fault(STEP(0x89, 0x07), 13, true);
	assert_int_equal(STEP(0x8b, 0x07), EMULATE_DONE);
	ds->attributes |= EMULATE_SEGMENT_UNUSABLE;
	assert_fault(STEP(0x8b, 0x07), 13, true);
	ds->attributes = EMULATE_SEGMENT_DB;
	assert_fault(STEP(0x8b, 0x07), 13, true); /* not present */
	ds->attributes = EMULATE_SEGMENT_P | EMULATE_SEGMENT_RW;
	ds->limit = BASE + 0x1003;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE);
	ds->limit--;
	assert_fault(STEP(0x89, 0x07), 13, true);
	/* Expand-down: above the limit, up to 64K or 4G. */
	ds->attributes |= EMULATE_SEGMENT_DOWN | EMULATE_SEGMENT_DB;
	ds->limit = BASE + 0xfff;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE);
	ds->limit++;
	assert_fault(STEP(0x89, 0x07), 13, true);
	ds->limit = 0xfff;
	ds->attributes &= ~EMULATE_SEGMENT_DB;
	assert_fault(STEP(0x89, 0x07), 13, true);
	ds->base = BASE;
	cpu.gpr[INSN_RDI] = 0xfffc;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_CANNOT); /* past the RAM, but in the segment */
	cpu.gpr[INSN_RDI] = 0xfffd;
	assert_fault(STEP(0x89, 0x07), 13, true);
	/* None of it in 64-bit code. */
	start(INSN_64);
	ds->attributes = EMULATE_SEGMENT_UNUSABLE;
	ds->base = 0x123456789;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE);
}

static void addresses_are_canonical(void **state)
{
	(void)state;
	start(INSN_64);
	cpu.gpr[INSN_RDI] = 0x0000800000000000;
	cpu.gpr[INSN_RBP] = 0x00007ffffffffffc;
	remember();
	assert_fault(STEP(0x48, 0x89, 0x07), 13, true);
	assert_fault(STEP(0x48, 0x89, 0x45, 0x00), 12, true); /* [rbp], its second half */
	assert_unchanged();
	for (size_t i = 0; i < WRITERS; i++) {
		assert_fault(step(writers[i].bytes, writers[i].count), 13, true);
		assert_unchanged();
		assert_int_equal(ram.log[ram.count - 1].access & UMBRA_ACCESS_WRITE, 0);
	}
	/* With five levels it is an address like any other. */
	cpu.cr4 = UMBRA_CR4_LA57;
	assert_int_equal(STEP(0x48, 0x89, 0x07), EMULATE_CANNOT);
	assert_int_equal(ram.log[1].linear, 0x0000800000000000);
	/* LAM's bits are not ours to judge. */
	cpu.cr4 = UMBRA_CR4_LAM_SUP;
	assert_int_equal(STEP(0x48, 0x89, 0x07), EMULATE_CANNOT);
	assert_int_equal(ram.count, 1);
	/* 32-bit addresses with a base of 64. */
	cpu.cr4 = 0;
	cpu.segment[INSN_GS].base = 0xffffffff00000000;
	cpu.gpr[INSN_RDI] = 0xabc00001000;
	assert_int_equal(STEP(0x67, 0x65, 0x89, 0x07), EMULATE_CANNOT);
	assert_int_equal(ram.log[1].linear, 0xffffffff00001000);
	/* Over the end of all addresses and in at 0. */
	cpu.gpr[INSN_RDI] = ~0ull;
	assert_int_equal(STEP(0x48, 0x89, 0x07), EMULATE_CANNOT);
	assert_int_equal(ram.count, 1);
}

/* ---- registers ---- */

static void parts_of_registers(void **state)
{
	(void)state;
	start(INSN_64);
	cpu.gpr[INSN_RAX] = 0x1122334455667788;
	poke(BASE + 0x1000, 0xfedcba9876543210, 8);
	assert_int_equal(STEP(0x8a, 0x27), EMULATE_DONE); /* mov ah, [rdi] */
	assert_int_equal(cpu.gpr[INSN_RAX], 0x1122334455661088);
	assert_int_equal(STEP(0x66, 0x8b, 0x07), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RAX], 0x1122334455663210);
	assert_int_equal(STEP(0x8b, 0x07), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RAX], 0x76543210);
	assert_int_equal(STEP(0x48, 0x63, 0x47, 0x04), EMULATE_DONE); /* movsxd */
	assert_int_equal(cpu.gpr[INSN_RAX], 0xfffffffffedcba98);
	assert_int_equal(STEP(0x0f, 0xb7, 0x47, 0x06), EMULATE_DONE); /* movzx */
	assert_int_equal(cpu.gpr[INSN_RAX], 0xfedc);
	assert_int_equal(STEP(0x66, 0x0f, 0xbe, 0x47, 0x06), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RAX], 0xffdc);
}

static void rip_is_as_wide_as_the_mode(void **state)
{
	(void)state;
	start(INSN_32);
	cpu.segment[INSN_CS].base = BASE + 1;
	cpu.rip = 0xffffffff;
	cpu.rflags |= RFLAGS_RF;
	memcpy(ram.bytes, "\x89\x07", 2);
	assert_int_equal(emulate_step(&cpu, &ops, &ram, &fault), EMULATE_DONE);
	assert_int_equal(cpu.rip, 1);
	assert_false(cpu.rflags & RFLAGS_RF);
	start(INSN_64);
	cpu.gpr[INSN_RAX] = 7;
	assert_int_equal(STEP(0x89, 0x05, 0xfa, 0x0f, 0x00, 0x00), EMULATE_DONE); /* [rip+ffah] */
	assert_int_equal(peek(BASE + 0x1000, 4), 7);
}

/* ---- memory that refuses ---- */

/* A #PF of a write, and nothing has happened. */
static void a_write_fault_comes_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < WRITERS; i++) {
		start(INSN_64);
		cpu.cpl = 3;
		cpu.rflags |= RFLAGS_AC;
		ram.pages[1] = PAGE_READ_ONLY;
		remember();
		assert_int_equal(step(writers[i].bytes, writers[i].count), EMULATE_FAULT);
		assert_int_equal(fault.vector, 14);
		assert_int_equal(fault.code, 2);
		assert_int_equal(ram.log[ram.count - 1].access,
				 UMBRA_ACCESS_WRITE | UMBRA_ACCESS_USER | UMBRA_ACCESS_AC);
		assert_unchanged();
		ram.pages[1] = PAGE_CANNOT;
		assert_int_equal(step(writers[i].bytes, writers[i].count), EMULATE_CANNOT);
		assert_unchanged();
	}
}

static void readers_only_read(void **state)
{
	(void)state;
	start(INSN_64);
	ram.pages[1] = PAGE_READ_ONLY;
	assert_int_equal(STEP(0x48, 0x3b, 0x07), EMULATE_DONE); /* cmp rax, [rdi] */
	assert_int_equal(STEP(0x48, 0x39, 0x07), EMULATE_DONE); /* cmp [rdi], rax */
	assert_int_equal(STEP(0x48, 0x85, 0x07), EMULATE_DONE);
	assert_int_equal(STEP(0x0f, 0xba, 0x27, 3), EMULATE_DONE);
	assert_int_equal(ram.log[1].access, UMBRA_ACCESS_READ);
	assert_int_equal(STEP(0x48, 0x03, 0x07), EMULATE_DONE); /* add rax, [rdi] */
	ram.pages[1] = PAGE_ABSENT;
	remember();
	assert_int_equal(STEP(0x48, 0x03, 0x07), EMULATE_FAULT);
	assert_int_equal(STEP(0x48, 0x85, 0x07), EMULATE_FAULT);
	assert_unchanged();
}

static void a_crossing_write_is_one_access(void **state)
{
	(void)state;
	start(INSN_64);
	cpu.gpr[INSN_RDI] = BASE + 0x2000 - 3;
	assert_int_equal(STEP(0x48, 0x89, 0x07), EMULATE_DONE);
	assert_int_equal(ram.count, 2);
	assert_int_equal(ram.log[1].count, 8);
	ram.pages[2] = PAGE_READ_ONLY;
	remember();
	assert_int_equal(STEP(0x48, 0x89, 0x0f), EMULATE_FAULT);
	assert_int_equal(fault.address, BASE + 0x2000);
	assert_unchanged();
}

static void alignment_is_checked_where_it_is_asked_for(void **state)
{
	(void)state;
	start(INSN_64);
	cpu.gpr[INSN_RDI] += 8;
	remember();
	assert_fault(STEP(0x48, 0x0f, 0xc7, 0x0f), 13, true); /* cmpxchg16b */
	cpu.gpr[INSN_RDI] -= 7;
	cpu.cr0 |= 1ull << 18; /* AM */
	cpu.rflags |= RFLAGS_AC;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE); /* CPL 0 */
	cpu.cpl = 3;
	assert_fault(STEP(0x89, 0x07), 17, true);
	assert_int_equal(STEP(0x88, 0x07), EMULATE_DONE);
	cpu.rflags &= ~RFLAGS_AC;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE);
}

/* ---- LOCK ---- */

static void lock_begins_anew_when_it_loses(void **state)
{
	const struct emulate_ops no_lock = {.read = ram_read, .write = ram_write, .exchange = NULL};

	(void)state;
	start(INSN_64);
	poke(BASE + 0x1000, 0x100, 8);
	cpu.gpr[INSN_RAX] = 0x1000;
	ram.races = 3;
	assert_int_equal(STEP(0xf0, 0x48, 0x0f, 0xc1, 0x07), EMULATE_DONE); /* lock xadd */
	assert_int_equal(peek(BASE + 0x1000, 8), 0x1103);
	assert_int_equal(cpu.gpr[INSN_RAX], 0x103);
	poke(BASE + 0x1000, 0, 8);
	cpu.gpr[INSN_RAX] = 2; /* what it is after two races */
	cpu.gpr[INSN_RDX] = 0;
	cpu.gpr[INSN_RBX] = 0x77;
	ram.races = 2;
	assert_int_equal(STEP(0xf0, 0x0f, 0xc7, 0x0f), EMULATE_DONE); /* lock cmpxchg8b */
	assert_true(cpu.rflags & RFLAGS_ZF);
	assert_int_equal(peek(BASE + 0x1000, 4), 0x77);
	/* Without end: the guest gets its turn. */
	ram.races = 1000;
	cpu_before = cpu;
	assert_int_equal(STEP(0xf0, 0x48, 0x0f, 0xc1, 0x07), EMULATE_RETRY);
	assert_int_equal(STEP(0xf0, 0x48, 0x0f, 0xc7, 0x0f), EMULATE_RETRY);
	assert_true(ram.races > 900);
	assert_memory_equal(&cpu, &cpu_before, sizeof(cpu));
	/* An embedder without such a thing. */
	ram.races = 0;
	remember();
	assert_int_equal(emulate_step(&cpu, &no_lock, &ram, &fault), EMULATE_CANNOT);
	assert_unchanged();
	assert_int_equal(STEP(0x48, 0x01, 0x07), EMULATE_DONE);
}

static void exchange_with_memory_is_locked_by_itself(void **state)
{
	(void)state;
	start(INSN_64);
	poke(BASE + 0x1000, 0x100, 8);
	ram.races = 1;
	assert_int_equal(STEP(0x48, 0x87, 0x07), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RAX], 0x101);
	ram.races = 1;
	assert_int_equal(STEP(0x48, 0xff, 0x07), EMULATE_DONE); /* inc: a plain write */
	assert_int_equal(ram.races, 1);
}

/* ---- bit strings ---- */

static void bits_reach_beyond_the_operand(void **state)
{
	(void)state;
	start(INSN_32);
	cpu.gpr[INSN_RAX] = 100;
	assert_int_equal(STEP(0xf0, 0x0f, 0xab, 0x07), EMULATE_DONE); /* lock bts [edi], eax */
	assert_int_equal(ram.log[1].linear, BASE + 0x1000 + 12);
	assert_int_equal(peek(BASE + 0x1000 + 12, 4), 1 << 4);
	assert_int_equal(STEP(0xf0, 0x0f, 0xab, 0x07), EMULATE_DONE);
	assert_true(cpu.rflags & RFLAGS_CF);
	cpu.gpr[INSN_RAX] = 0xffffffff; /* bit -1 */
	assert_int_equal(STEP(0x0f, 0xbb, 0x07), EMULATE_DONE);
	assert_int_equal(peek(BASE + 0x0ffc, 4), 0x80000000);
	cpu.gpr[INSN_RAX] = 0xdead8000; /* 16 bits: -32768 */
	cpu.gpr[INSN_RDI] += 0x1000;
	assert_int_equal(STEP(0x66, 0x0f, 0xab, 0x07), EMULATE_DONE);
	assert_int_equal(ram.log[1].linear, BASE + 0x1000);
	assert_int_equal(ram.log[1].count, 2);
	/* An immediate does not: 35 is 3. */
	assert_int_equal(STEP(0x0f, 0xba, 0x2f, 35), EMULATE_DONE);
	assert_int_equal(peek(BASE + 0x2000, 4), 8);
}

/* ---- strings ---- */

static void a_rep_stops_where_it_must(void **state)
{
	(void)state;
	start(INSN_64);
	cpu.gpr[INSN_RCX] = 512;
	cpu.gpr[INSN_RAX] = 0xaabbccdd;
	assert_int_equal(STEP(0xf3, 0x48, 0xab), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RCX], 512 - EMULATE_BATCH);
	assert_int_equal(cpu.rip, BASE); /* not yet past it */
	for (unsigned i = 1; i < 512 / EMULATE_BATCH; i++)
		assert_int_equal(STEP(0xf3, 0x48, 0xab), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RCX], 0);
	assert_int_equal(cpu.rip, BASE + 3);
	assert_int_equal(cpu.gpr[INSN_RDI], BASE + 0x2000);
	assert_int_equal(peek(BASE + 0x1ff8, 8), 0xaabbccdd);
	assert_int_equal(peek(BASE + 0x2000, 8), 0);
	/* Single steps. */
	cpu.rip = BASE;
	cpu.gpr[INSN_RCX] = 2;
	cpu.rflags |= RFLAGS_TF;
	assert_int_equal(STEP(0xf3, 0x48, 0xab), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RCX], 1);
	assert_int_equal(cpu.rip, BASE);
	assert_int_equal(STEP(0xf3, 0x48, 0xab), EMULATE_DONE);
	assert_int_equal(cpu.rip, BASE + 3);
	/* None at all. */
	assert_int_equal(STEP(0xf3, 0x48, 0xab), EMULATE_DONE);
	assert_int_equal(cpu.rip, BASE + 6);
	assert_int_equal(ram.count, 1);
}

static void a_rep_keeps_what_came_before_a_fault(void **state)
{
	(void)state;
	start(INSN_64);
	ram.pages[2] = PAGE_ABSENT;
	cpu.gpr[INSN_RDI] = BASE + 0x2000 - 8;
	cpu.gpr[INSN_RSI] = BASE + 0x3000;
	cpu.gpr[INSN_RCX] = 5;
	poke(BASE + 0x3000, 0x1234, 8);
	assert_int_equal(STEP(0xf3, 0x66, 0xa5), EMULATE_FAULT);
	assert_int_equal(fault.address, BASE + 0x2000);
	assert_int_equal(peek(BASE + 0x1ff8, 8), 0x1234);
	assert_int_equal(cpu.gpr[INSN_RCX], 1);
	assert_int_equal(cpu.gpr[INSN_RSI], BASE + 0x3008);
	assert_int_equal(cpu.rip, BASE);
	/* What cannot be done at the beginning can be told; later it is for the next time. */
	ram.pages[2] = PAGE_CANNOT;
	assert_int_equal(STEP(0xf3, 0x66, 0xa5), EMULATE_CANNOT);
	cpu.gpr[INSN_RDI] -= 2;
	cpu.gpr[INSN_RCX] = 5;
	assert_int_equal(STEP(0xf3, 0x66, 0xa5), EMULATE_DONE);
	assert_int_equal(cpu.gpr[INSN_RCX], 4);
	assert_int_equal(cpu.rip, BASE);
}

static void strings_go_down_with_df(void **state)
{
	(void)state;
	start(INSN_32);
	cpu.rflags |= RFLAGS_DF;
	cpu.gpr[INSN_RCX] = 3;
	cpu.segment[INSN_FS].base = 0x1000;
	poke(BASE + 0x2ffc, 0x0102030405060708, 8);
	assert_int_equal(STEP(0x64, 0xf3, 0xa5), EMULATE_DONE); /* source in FS, ES as ever */
	assert_int_equal(peek(BASE + 0x1000, 4), 0x01020304);
	assert_int_equal(peek(BASE + 0x0ffc, 4), 0x05060708);
	assert_int_equal(cpu.gpr[INSN_RDI], BASE + 0x1000 - 12);
	assert_int_equal(cpu.gpr[INSN_RSI], BASE + 0x2000 - 12);
}

/* ---- the fetch ---- */

/* ---- ports ---- */

static void ins_stores_what_ports_give(void **state)
{
	const struct emulate_ops no_ports = {.read = ram_read, .write = ram_write};

	(void)state;
	start(INSN_64);
	memset(&ports, 0, sizeof(ports));
	cpu.gpr[INSN_RDX] = 0xabcd0064;
	cpu.gpr[INSN_RCX] = 3;
	assert_int_equal(STEP(0xf3, 0x6c), EMULATE_DONE); /* rep insb */
	assert_int_equal(peek(BASE + 0x1000, 4), 0x030201);
	assert_int_equal(ports.port, 0x64);
	assert_int_equal(ports.bytes, 1);
	assert_int_equal(cpu.gpr[INSN_RDI], BASE + 0x1003);
	assert_int_equal(cpu.gpr[INSN_RCX], 0);
	assert_int_equal(cpu.rip, BASE + 2);
	cpu.rip = BASE;
	assert_int_equal(STEP(0x48, 0x6d), EMULATE_DONE); /* insd, REX.W or not */
	assert_int_equal(ports.bytes, 4);
	assert_int_equal(cpu.gpr[INSN_RDI], BASE + 0x1007);
	/* A page that may not be written costs no input. */
	start(INSN_64);
	ram.pages[1] = PAGE_READ_ONLY;
	assert_int_equal(STEP(0x6c), EMULATE_FAULT);
	assert_int_equal(fault.code, 2);
	assert_int_equal(ports.ins, 4);
	ram.pages[1] = PAGE_FINE;
	remember();
	assert_int_equal(emulate_step(&cpu, &no_ports, &ram, &fault), EMULATE_CANNOT);
	assert_unchanged();
}

static void outs_puts_out_what_memory_has(void **state)
{
	(void)state;
	start(INSN_32);
	memset(&ports, 0, sizeof(ports));
	poke(BASE + 0x2000, 0x44332211, 4);
	cpu.gpr[INSN_RDX] = 0x92;
	cpu.gpr[INSN_RCX] = 2;
	assert_int_equal(STEP(0xf3, 0x66, 0x6f), EMULATE_DONE); /* rep outsw */
	assert_int_equal(ports.outs, 2);
	assert_int_equal(ports.bytes, 2);
	assert_int_equal(ports.value[0], 0x2211);
	assert_int_equal(ports.value[1], 0x4433);
	assert_int_equal(cpu.gpr[INSN_RSI], BASE + 0x2004);
	assert_int_equal(cpu.gpr[INSN_RDI], BASE + 0x1000);
	ram.pages[2] = PAGE_ABSENT;
	cpu.rip = BASE;
	assert_int_equal(STEP(0x6e), EMULATE_FAULT);
	assert_int_equal(ports.outs, 2);
}

/* ---- the machine status word ---- */

static void smsw_and_lmsw_are_half_of_cr0(void **state)
{
	(void)state;
	start(INSN_64);
	cpu.cr0 = 0x80050033;
	poke(BASE + 0x1000, 0x7777777777777777, 8);
	assert_int_equal(STEP(0x0f, 0x01, 0x27), EMULATE_DONE); /* smsw [rdi] */
	assert_int_equal(peek(BASE + 0x1000, 8), 0x7777777777770033);
	cpu.rip = BASE;
	assert_int_equal(STEP(0x48, 0x0f, 0x01, 0xe0), EMULATE_DONE); /* smsw rax */
	assert_int_equal(cpu.gpr[INSN_RAX], 0x80050033);
	/* PE stays, TS comes, nothing above is touched. */
	poke(BASE + 0x1000, 0xfff8, 2);
	cpu.rip = BASE;
	assert_int_equal(STEP(0x0f, 0x01, 0x37), EMULATE_DONE); /* lmsw [rdi] */
	assert_int_equal(cpu.cr0, 0x80050039);
	cpu.cpl = 3;
	assert_fault(STEP(0x0f, 0x01, 0x37), 13, true);
	cpu.rip = BASE;
	assert_int_equal(STEP(0x0f, 0x01, 0x27), EMULATE_DONE);
	cpu.cr4 = 1ull << 11; /* UMIP */
	assert_fault(STEP(0x0f, 0x01, 0x27), 13, true);
	/* Real mode can enter protected mode so. */
	start(INSN_16);
	cpu.segment[INSN_CS].base = BASE;
	cpu.rip = 0;
	cpu.cr0 = 0x10;
	cpu.gpr[INSN_RAX] = 1;
	assert_int_equal(STEP(0x0f, 0x01, 0xf0), EMULATE_DONE); /* lmsw ax */
	assert_int_equal(cpu.cr0, 0x11);
}

static void an_instruction_may_cross_a_page(void **state)
{
	(void)state;
	start(INSN_64);
	cpu.rip = BASE + 0x4000 - 1;
	cpu.gpr[INSN_RAX] = 5;
	assert_int_equal(STEP(0x48, 0x89, 0x07), EMULATE_DONE);
	assert_int_equal(ram.log[0].count, 1);
	assert_int_equal(ram.log[0].access, UMBRA_ACCESS_FETCH);
	assert_int_equal(ram.log[1].linear, BASE + 0x4000);
	assert_int_equal(peek(BASE + 0x1000, 8), 5);
	/* The next page is looked at only if it is needed. */
	ram.pages[4] = PAGE_ABSENT;
	cpu.rip = BASE + 0x4000 - 3;
	assert_int_equal(STEP(0x48, 0x89, 0x07), EMULATE_DONE);
	cpu.rip = BASE + 0x4000 - 2;
	assert_int_equal(STEP(0x48, 0x89, 0x07), EMULATE_FAULT);
	assert_int_equal(fault.address, BASE + 0x4000);
}

static void what_cannot_be_fetched(void **state)
{
	(void)state;
	start(INSN_64);
	remember();
	assert_fault(STEP(0xf0, 0x89, 0x07), 6, false); /* LOCK MOV */
	assert_fault(STEP(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			  0x66, 0x66, 0x89, 0x07),
		     13, true);
	assert_int_equal(STEP(0x0f, 0x0b), EMULATE_CANNOT); /* not ours to say */
	assert_unchanged();
	cpu.rip = 0x800000000000;
	assert_fault(emulate_step(&cpu, &ops, &ram, &fault), 13, true);
	start(INSN_32);
	cpu.segment[INSN_CS].limit = BASE + 1;
	assert_int_equal(STEP(0x89, 0x07), EMULATE_DONE);
	assert_fault(emulate_step(&cpu, &ops, &ram, &fault), 13, true);
	cpu.rip = BASE;
	assert_fault(STEP(0x66, 0x89, 0x07), 13, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_32_bit_guest_writes_its_tables),
		cmocka_unit_test(modes_are_of_cs_and_efer),
		cmocka_unit_test(a_16_bit_guest_has_16_bit_offsets),
		cmocka_unit_test(linear_addresses_wrap_at_4g),
		cmocka_unit_test(segments_have_rights_and_limits),
		cmocka_unit_test(addresses_are_canonical),
		cmocka_unit_test(parts_of_registers),
		cmocka_unit_test(rip_is_as_wide_as_the_mode),
		cmocka_unit_test(a_write_fault_comes_first),
		cmocka_unit_test(readers_only_read),
		cmocka_unit_test(a_crossing_write_is_one_access),
		cmocka_unit_test(alignment_is_checked_where_it_is_asked_for),
		cmocka_unit_test(lock_begins_anew_when_it_loses),
		cmocka_unit_test(exchange_with_memory_is_locked_by_itself),
		cmocka_unit_test(bits_reach_beyond_the_operand),
		cmocka_unit_test(a_rep_stops_where_it_must),
		cmocka_unit_test(a_rep_keeps_what_came_before_a_fault),
		cmocka_unit_test(strings_go_down_with_df),
		cmocka_unit_test(ins_stores_what_ports_give),
		cmocka_unit_test(outs_puts_out_what_memory_has),
		cmocka_unit_test(smsw_and_lmsw_are_half_of_cr0),
		cmocka_unit_test(an_instruction_may_cross_a_page),
		cmocka_unit_test(what_cannot_be_fetched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
