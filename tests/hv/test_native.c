/* SPDX-License-Identifier: MIT */
/*
 * test_native.c - the emulator against the CPU that runs the test, in 64-bit code.
 *
 *	random bytes -> decode_insn -> registers such that the operand is in the arena
 *	     |                              |
 *	     |                  emulate_insn on a copy of the arena
 *	     v                              |
 *	a trampoline: load flags and registers, the instruction, store them
 *	                                    |
 *	     same registers, defined flags, arena; or an exception in both
 *
 * The arena is below 2 GiB, so that 32-bit and absolute addresses reach it. RIP-relative and
 * absolute displacements are written into the instruction, everything else is reached by
 * what the base register holds. An instruction that would leave the arena is not run; how
 * many those are is checked. 16- and 32-bit code cannot be run by a 64-bit process:
 * test_emulate.c has worked examples of it.
 *
 * Not compared: flags that the manuals leave undefined; upper halves of registers after a
 * REP with 32-bit addresses that ends before it begins (CPUs differ).
 *
 * A difference counts if it comes again. Below a hypervisor that now and then emulates an
 * instruction itself, one in a million was seen to be carried out wrongly: FS or GS lost to
 * a DS override after it, most often.
 *
 * UMBRA_TEST_SEED and UMBRA_TEST_ROUNDS choose other instructions and more of them.
 */
#include "hv/alu.h"
#include "hv/emulate.h"
#include "tests/hv/random.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARCH_SET_GS 0x1001
#define ARCH_GET_FS 0x1003

#define ARENA_SIZE (4 * 4096u)
#define TRIES 4
#define GS_BASE 0x12340ull
#define FLAGS (RFLAGS_STATUS | RFLAGS_DF)

/* What the trampoline loads and stores, at an address of 31 bits. */
struct registers {
	uint64_t gpr[16], rflags, host_rsp;
};

/* Shared with code that a signal interrupts. */
static struct {
	struct registers *registers;
	uint8_t *code, *insn_end;
	uint8_t *arena;
	uint8_t copy[ARENA_SIZE];
	uint64_t fs_base;
	volatile sig_atomic_t signal;
	sigjmp_buf out;
} native;

/* From here on, what needs CPL 0, or what an operating system may answer for the CPU (SMSW). */
#define NOT_HERE INSN_INS

static unsigned long ran, again, faulted, refused, outside, of_op[INSN_OPS];

/* ---- the trampoline ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t count)
{
	memcpy(at, bytes, count);
	return at + count;
}

/* @count bytes of opcode, then ModRM and SIB of an absolute address. */
static uint8_t *put_absolute(uint8_t *at, const char *opcode, unsigned reg, const void *address)
{
	const uint32_t low = (uint32_t)(uintptr_t)address;
	const uint8_t modrm[2] = {(uint8_t)(4 | (reg & 7) << 3), 0x25};

	at = put(at, opcode, strlen(opcode));
	at = put(at, modrm, 2);
	return put(at, &low, 4);
}

static uint8_t *put_moves(uint8_t *at, bool load)
{
	static const char *const opcodes[2][2] = {{"\x48\x89", "\x4c\x89"},
						  {"\x48\x8b", "\x4c\x8b"}};

	for (unsigned i = 0; i < 16; i++)
		at = put_absolute(at, opcodes[load][i / 8], i, &native.registers->gpr[i]);
	return at;
}

static void *low_pages(size_t size, int protection)
{
	void *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void make_trampoline(void)
{
	static const char enter[] = "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57\x9c";
	static const char leave[] = "\x9d\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3";
	uint8_t *at = native.code;

	at = put(at, enter, sizeof(enter) - 1); /* push rbx, rbp, r12-r15, flags */
	at = put_absolute(at, "\x48\x89", INSN_RSP, &native.registers->host_rsp);
	at = put_absolute(at, "\xff", 6, &native.registers->rflags); /* push */
	*at++ = 0x9d; /* popfq */
	at = put_moves(at, true);
	memset(at, 0x90, INSN_MAX_LENGTH);
	native.insn_end = at += INSN_MAX_LENGTH;
	at = put_moves(at, false);
	at = put_absolute(at, "\x48\x8b", INSN_RSP, &native.registers->host_rsp);
	*at++ = 0x9c; /* pushfq */
	at = put_absolute(at, "\x8f", 0, &native.registers->rflags); /* pop */
	put(at, leave, sizeof(leave) - 1);
}

static void caught(int number)
{
	native.signal = number;
	siglongjmp(native.out, 1);
}

/* cmocka catches signals as well, from the beginning of each test on. */
static void catch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
	const struct sigaction action = {.sa_handler = caught, .sa_flags = SA_ONSTACK | SA_NODEFER};

	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static bool setup(void)
{
	static uint8_t stack[65536];
	const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};

	native.code = low_pages(4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	native.registers = low_pages(4096, PROT_READ | PROT_WRITE);
	native.arena = low_pages(ARENA_SIZE, PROT_READ | PROT_WRITE);
	if (!native.code || !native.registers || !native.arena)
		return false;
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE) ||
	    syscall(SYS_arch_prctl, ARCH_GET_FS, &native.fs_base))
		return false;
	if (sigaltstack(&alternative, NULL))
		return false;
	make_trampoline();
	return true;
}

/* Execute @bytes with @cpu's registers; 0 or a signal. */
static int run(struct emulate_cpu *cpu, const uint8_t *bytes, unsigned length)
{
	void (*trampoline)(void);

	memset(native.insn_end - INSN_MAX_LENGTH, 0x90, INSN_MAX_LENGTH);
	memcpy(native.insn_end - length, bytes, length);
	memcpy(native.registers->gpr, cpu->gpr, sizeof(cpu->gpr));
	native.registers->rflags = cpu->rflags;
	native.signal = 0;
	memcpy(&trampoline, &native.code, sizeof(trampoline));
	if (!sigsetjmp(native.out, 0))
		trampoline();
	memcpy(cpu->gpr, native.registers->gpr, sizeof(cpu->gpr));
	cpu->rflags = native.registers->rflags;
	return native.signal;
}

/* ---- the emulator's memory ---- */

static uint8_t *copy_at(const struct emulate_access *at)
{
	const uint64_t offset = at->linear - (uintptr_t)native.arena;

	return offset <= ARENA_SIZE - at->count ? native.copy + offset : NULL;
}

static enum emulate_end copy_read(void *context, const struct emulate_access *at, void *bytes,
				  struct emulate_fault *fault)
{
	const uint8_t *from = copy_at(at);

	(void)context;
	(void)fault;
	if (!from)
		return EMULATE_CANNOT;
	memcpy(bytes, from, at->count);
	return EMULATE_DONE;
}

static enum emulate_end copy_write(void *context, const struct emulate_access *at,
				   const void *bytes, struct emulate_fault *fault)
{
	uint8_t *to = copy_at(at);

	(void)context;
	(void)fault;
	if (!to)
		return EMULATE_CANNOT;
	memcpy(to, bytes, at->count);
	return EMULATE_DONE;
}

static enum emulate_end copy_exchange(void *context, const struct emulate_access *at,
				      const void *const bytes[2], struct emulate_fault *fault)
{
	uint8_t *to = copy_at(at);

	if (!to || memcmp(to, bytes[0], at->count))
		return to ? EMULATE_RETRY : EMULATE_CANNOT;
	return copy_write(context, at, bytes[1], fault);
}

static const struct emulate_ops copy_ops = {
	.read = copy_read, .write = copy_write, .exchange = copy_exchange};

/* ---- cases ---- */

struct instance {
	uint8_t bytes[32];
	struct insn insn;
	struct emulate_cpu cpu;
};

static uint64_t random_value(struct random *random)
{
	static const uint64_t edges[] = {
		0,    1,      ~0ull,  1ull << 63, (1ull << 63) - 1, 0x80,
		0x7f, 0x8000, 0x7fff, 0x80000000, 0x7fffffff,       0xffffffff};

	if (random_below(random, 4) == 0)
		return edges[random_below(random, sizeof(edges) / sizeof(edges[0]))];
	return random_next(random);
}

/* An address in the arena, sometimes aligned, sometimes about to cross a page. */
static uint64_t random_target(struct random *random)
{
	uint64_t offset = 512 + random_below(random, ARENA_SIZE - 1024);

	switch (random_below(random, 4)) {
	case 0: offset = (offset | 4095) - random_below(random, 17); break;
	case 1: offset &= ~15ull; break;
	}
	return (uintptr_t)native.arena + offset % (ARENA_SIZE - 512);
}

/* Give the instruction the displacement @value, wherever it has one; false: it does not fit. */
static bool set_displacement(struct instance *it, uint64_t value)
{
	for (unsigned size = 8; size >= 4; size -= 4) {
		for (unsigned at = 1; at + size <= it->insn.length; at++) {
			struct instance changed = *it;

			memcpy(changed.bytes + at, &value, size);
			if (decode_insn(changed.bytes, it->insn.length, INSN_64, &changed.insn))
				continue;
			if (changed.insn.memory.displacement != (int64_t)value)
				continue;
			changed.insn.memory.displacement = it->insn.memory.displacement;
			if (memcmp(&changed.insn, &it->insn, sizeof(it->insn)))
				continue;
			changed.insn.memory.displacement = (int64_t)value;
			*it = changed;
			return true;
		}
	}
	return false;
}

static uint64_t segment_base(const struct instance *it)
{
	const unsigned segment = it->insn.memory.segment;

	return segment >= INSN_FS ? it->cpu.segment[segment].base : 0;
}

static void aim_string(struct random *random, struct instance *it)
{
	const bool narrow = it->insn.address_size == 4;
	uint64_t *gpr = it->cpu.gpr;

	gpr[INSN_RSI] = random_target(random) - segment_base(it);
	gpr[INSN_RDI] = random_target(random);
	gpr[INSN_RCX] = random_below(random, 24);
	if (narrow) {
		gpr[INSN_RSI] = (uint32_t)gpr[INSN_RSI] | random_next(random) << 32;
		gpr[INSN_RDI] |= random_next(random) << 32;
		gpr[INSN_RCX] = (gpr[INSN_RCX] + 1) | random_next(random) << 32;
	}
}

/* A bit number in a register: from where it leads back to the arena. */
static uint64_t aim_bit(struct random *random, struct instance *it)
{
	const struct insn_operand *from = &it->insn.from;
	int64_t bit = (int64_t)random_below(random, 4096) - 2048;

	if (it->insn.op < INSN_BT || it->insn.op > INSN_BTC || from->kind != INSN_OPERAND_REGISTER)
		return 0;
	it->cpu.gpr[from->number] = from->size == 8   ? (uint64_t)bit
				    : from->size == 4 ? (uint32_t)bit | random_next(random) << 32
						      : (uint16_t)bit | random_next(random) << 16;
	return (uint64_t)(bit >> 3) & ~(uint64_t)(from->size - 1);
}

static void aim_operand(struct random *random, struct instance *it, uint64_t target)
{
	const struct insn_memory *memory = &it->insn.memory;
	uint64_t *gpr = it->cpu.gpr;

	target -= segment_base(it) + aim_bit(random, it);
	if (memory->base == INSN_RIP) {
		set_displacement(it, target - (uintptr_t)native.insn_end);
		return;
	}
	if (memory->base == INSN_NO_REGISTER) {
		if (memory->index != INSN_NO_REGISTER) {
			gpr[memory->index] = random_below(random, 256);
			target -= gpr[memory->index] << memory->shift;
		}
		set_displacement(it, target);
		return;
	}
	target -= (uint64_t)memory->displacement;
	if (memory->base == memory->index) {
		gpr[memory->base] = target / (1 + (1u << memory->shift));
		return;
	}
	if (memory->index != INSN_NO_REGISTER)
		target -= gpr[memory->index] << memory->shift;
	gpr[memory->base] = target;
	if (it->insn.address_size == 4)
		gpr[memory->base] = (uint32_t)target | random_next(random) << 32;
}

/* Half of the compare-exchanges find what they expect. */
static void aim_comparison(struct random *random, struct instance *it, uint64_t target)
{
	const struct insn_memory *memory = &it->insn.memory;
	const unsigned size = it->insn.to.size;
	const uint8_t *at = native.copy + (target - (uintptr_t)native.arena);
	uint64_t *gpr = it->cpu.gpr;

	if (random_below(random, 2) || memory->base == INSN_RAX || memory->index == INSN_RAX)
		return;
	if (it->insn.op == INSN_CMPXCHG && it->insn.to.kind == INSN_OPERAND_REGISTER) {
		if (it->insn.to.number < INSN_HIGH)
			memcpy(&gpr[INSN_RAX], &gpr[it->insn.to.number], size);
	} else if (it->insn.op == INSN_CMPXCHG) {
		memcpy(&gpr[INSN_RAX], at, size);
	} else if (it->insn.op == INSN_CMPXCHG8B && memory->base != INSN_RDX &&
		   memory->index != INSN_RDX) {
		memcpy(&gpr[INSN_RAX], at, size / 2);
		memcpy(&gpr[INSN_RDX], at + size / 2, size / 2);
	}
}

static void make(struct random *random, struct instance *it)
{
	const uint64_t target = random_target(random);
	const uint64_t noise[2] = {random_value(random), random_value(random)};
	uint8_t *at = native.copy + (target - (uintptr_t)native.arena);

	memcpy(at, noise, sizeof(noise));
	it->cpu = (struct emulate_cpu){
		.efer = UMBRA_EFER_LME | UMBRA_EFER_LMA,
		.cr0 = UMBRA_CR0_PE | UMBRA_CR0_PG,
		.cpl = 3,
		.segment[INSN_CS].attributes = EMULATE_SEGMENT_L,
		.segment[INSN_FS].base = native.fs_base,
		.segment[INSN_GS].base = GS_BASE,
		/* Bit 1 is always set; IF is. */
		.rflags = (random_next(random) & FLAGS) | 0x202,
		.rip = (uintptr_t)native.insn_end - it->insn.length,
	};
	for (unsigned i = 0; i < 16; i++)
		it->cpu.gpr[i] = random_value(random);
	if (it->insn.op == INSN_MOVS || it->insn.op == INSN_STOS)
		aim_string(random, it);
	else if (it->insn.to.kind == INSN_OPERAND_MEMORY ||
		 it->insn.from.kind == INSN_OPERAND_MEMORY)
		aim_operand(random, it, target);
	aim_comparison(random, it, target);
	/* Now and then nowhere that an address may be. */
	if (random_below(random, 64) == 0 && it->insn.memory.base < 16)
		it->cpu.gpr[it->insn.memory.base] ^= 1ull << 60;
}

static uint64_t defined_flags(const struct insn *insn)
{
	switch (insn->op) {
	case INSN_BT:
	case INSN_BTS:
	case INSN_BTR:
	case INSN_BTC: return RFLAGS_CF | RFLAGS_ZF | RFLAGS_DF;
	case INSN_AND:
	case INSN_OR:
	case INSN_XOR:
	case INSN_TEST: return FLAGS & ~RFLAGS_AF;
	default: return FLAGS;
	}
}

/* The first thing that is not as the CPU has it. */
struct difference {
	const char *what;
	uint64_t ours, theirs;
};

static void expect(struct difference *first, const char *what, uint64_t ours, uint64_t theirs)
{
	if (ours != theirs && !first->what)
		*first = (struct difference){what, ours, theirs};
}

static void complain(const struct instance *it, const struct difference *first)
{
	char text[3 * INSN_MAX_LENGTH + 1] = "";

	for (unsigned i = 0; i < it->insn.length; i++)
		snprintf(text + 3 * i, 4, " %02x", it->bytes[i]);
	fail_msg("%s (%s): %s %#llx, the CPU has %#llx", text, decode_mnemonic(it->insn.op),
		 first->what, (unsigned long long)first->ours, (unsigned long long)first->theirs);
}

static void compare(const struct instance *it, const struct emulate_cpu *theirs,
		    struct difference *first)
{
	static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
	const uint64_t flags = defined_flags(&it->insn);

	for (unsigned i = 0; i < 16; i++)
		expect(first, names[i], it->cpu.gpr[i], theirs->gpr[i]);
	expect(first, "flags", it->cpu.rflags & flags, theirs->rflags & flags);
	expect(first, "rip", it->cpu.rip, (uintptr_t)native.insn_end);
	for (unsigned i = 0; i < ARENA_SIZE && memcmp(native.copy, native.arena, ARENA_SIZE);
	     i += 8) {
		uint64_t ours, there;

		memcpy(&ours, native.copy + i, 8);
		memcpy(&there, native.arena + i, 8);
		expect(first, "memory", ours, there);
		if (first->what)
			break;
	}
}

static int signal_of(const struct emulate_fault *fault)
{
	return fault->vector == 6 ? SIGILL : fault->vector == 12 ? SIGBUS : SIGSEGV;
}

/* Run natively what was emulated to @end and @fault, from @cpu and @memory. */
static void judge(const struct instance *it, struct emulate_cpu cpu, const uint8_t *memory,
		  const struct emulate_fault *fault, struct difference *first)
{
	const int wanted = fault->vector ? signal_of(fault) : 0;
	int signal;

	memcpy(native.arena, memory, ARENA_SIZE);
	signal = run(&cpu, it->bytes, it->insn.length);
	/* Misaligned and not canonical: either may come first. */
	if (wanted == SIGBUS && signal == SIGSEGV && it->insn.to.size == 16)
		signal = SIGBUS;
	expect(first, "signal", (uint64_t)wanted, (uint64_t)signal);
	if (!signal)
		compare(it, &cpu, first);
}

static void once(struct random *random)
{
	static uint8_t memory[ARENA_SIZE];
	struct instance it;
	struct emulate_cpu before;
	struct emulate_fault fault = {0};
	struct difference first;
	enum emulate_end end;
	unsigned tries = 0;

	memset(&it, 0, sizeof(it));
	random_insn(random, it.bytes);
	if (decode_insn(it.bytes, INSN_MAX_LENGTH, INSN_64, &it.insn) != DECODE_OK ||
	    it.insn.op >= NOT_HERE)
		return;
	make(random, &it);
	before = it.cpu;
	memcpy(memory, native.copy, ARENA_SIZE);
	end = emulate_insn(&it.cpu, &it.insn, &copy_ops, NULL, &fault);
	if (end == EMULATE_CANNOT) {
		outside++;
		memcpy(native.copy, memory, ARENA_SIZE);
		return;
	}
	do {
		first.what = NULL;
		judge(&it, before, memory, &fault, &first);
	} while (first.what && ++tries < TRIES);
	if (first.what)
		complain(&it, &first);
	again += tries > 0;
	faulted += end == EMULATE_FAULT;
	ran += end == EMULATE_DONE;
	of_op[it.insn.op] += end == EMULATE_DONE;
}

static void the_cpu_does_the_same(void **state)
{
	const uint64_t seed = random_setting("UMBRA_TEST_SEED", 9);
	const uint64_t rounds = random_rounds("UMBRA_TEST_ROUNDS", 200000);
	struct random random = {seed};

	(void)state;
	catch_signals();
	print_message("# seed %llu\n", (unsigned long long)seed);
	for (uint64_t i = 0; i < rounds; i++)
		once(&random);
	print_message("# %lu ran, %lu faulted, %lu outside the arena, %lu ran again\n", ran,
		      faulted, outside, again);
	for (unsigned op = INSN_ADD; op < NOT_HERE; op++)
		if (of_op[op] < rounds / 2000)
			fail_msg("%s ran %lu times only", decode_mnemonic(op), of_op[op]);
	assert_true(outside < ran / 4);
	assert_true(faulted > 0);
	assert_true(again <= 1 + ran / 10000);
}

/* What decode_insn() says that the CPU refuses, it refuses. */
static void what_is_refused_the_cpu_refuses(void **state)
{
	const uint64_t rounds = random_rounds("UMBRA_TEST_ROUNDS", 200000) / 10;
	struct random random = {random_setting("UMBRA_TEST_SEED", 9)};

	(void)state;
	catch_signals();
	for (uint64_t i = 0; i < rounds; i++) {
		struct difference first = {0};
		struct instance it;
		int signal;

		memset(&it, 0, sizeof(it));
		random_insn(&random, it.bytes);
		if (decode_insn(it.bytes, INSN_MAX_LENGTH, INSN_64, &it.insn) != DECODE_UD)
			continue;
		for (unsigned j = 0; j < 16; j++)
			it.cpu.gpr[j] = (uintptr_t)native.arena + ARENA_SIZE / 2;
		it.cpu.rflags = 0x202;
		it.insn.length = INSN_MAX_LENGTH;
		signal = run(&it.cpu, it.bytes, INSN_MAX_LENGTH);
		expect(&first, "signal", SIGILL, (uint64_t)signal);
		if (first.what)
			complain(&it, &first);
		refused++;
	}
	print_message("# %lu refused\n", refused);
	assert_true(refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cpu_does_the_same),
		cmocka_unit_test(what_is_refused_the_cpu_refuses),
	};

	if (!setup()) {
		puts("1..0 # SKIP no executable memory below 2 GiB here");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
