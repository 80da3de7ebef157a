/* SPDX-License-Identifier: MIT */
/*
 * test_hooks.c - a host hook fails, at every place where one is called.
 *
 * A fixed program runs again and again; the n-th time, the n-th call of a hook
 * that may fail does fail. Then the library must have said so by a status (or,
 * where guest memory or a pin went missing, by a verdict), the audit must be
 * clean, and trying again must do what the bare machine does. It ends when the
 * program calls fewer than n hooks. In the end nothing may be left allocated.
 */
#include "tests/lab/common.h"

static const unsigned pin_statuses[] = {UMBRA_EFAULT, UMBRA_EAGAIN, UMBRA_EINTR};

/* ---- making a VM, without the lab ---- */

#define SLOTS 3
#define VCPUS 2

struct making {
	struct posix_host *host;
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu[VCPUS];
	umbra_hva hva[SLOTS];
};

static void found(void *context, const struct umbra_finding *finding)
{
	(void)context;
	print_error("%s: %s\n", finding->invariant, finding->what);
}

static bool tolerate(struct making *m, enum umbra_status status)
{
	if (status == UMBRA_OK)
		return true;
	assert_true(posix_failed(m->host));
	assert_int_equal(status, UMBRA_ENOMEM);
	if (m->vm)
		assert_int_equal(umbra_audit(m->vm, found, NULL), 0);
	return false;
}

static void make(struct making *m, const struct test_setup *setup)
{
	const struct umbra_vm_config config = {
		.host = m->host,
		.cpu = test_cpu(setup->vendor),
		.paging = setup->paging,
		.levels = setup->levels,
		.layout = UMBRA_LAYOUT_7_3,
		.page_level = 3,
		.exec_by_mode = setup->exec_by_mode,
	};
	const struct umbra_cpu guest = test_cpu(setup->vendor);

	while (!tolerate(m, umbra_vm_create(&config, &m->vm)))
		;
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct umbra_slot slot = {
			.id = i, .base = {i * 0x400000ull}, .size = 0x200000, .hva = m->hva[i]};

		while (!tolerate(m, umbra_slot_set(m->vm, &slot)))
			;
	}
	for (unsigned i = 0; i < VCPUS; i++) {
		struct umbra_root root;

		while (!tolerate(m, umbra_vcpu_create(m->vm, &guest, &m->vcpu[i])))
			;
		while (!tolerate(m, umbra_vcpu_load(m->vcpu[i], &root)))
			;
	}
	/* Deleting may need memory as well. */
	while (!tolerate(m, umbra_slot_set(m->vm, &(struct umbra_slot){.id = 1})))
		;
	assert_int_equal(umbra_audit(m->vm, found, NULL), 0);
}

static void run_making(void **state)
{
	const struct test_setup *setup = *state;
	static uint8_t memory[SLOTS][0x200000] __attribute__((aligned(4096)));
	uint64_t n = 0;
	bool failed;

	do {
		const struct posix_config config = {.poison = true, .single = true};
		struct making m = {.host = posix_host_new(&config)};
		struct posix_counts counts;

		assert_non_null(m.host);
		for (unsigned i = 0; i < SLOTS; i++) {
			const struct posix_region region = {
				.base = {0x200000000ull + i * 0x400000ull},
				.size = sizeof(memory[i]),
				.bytes = memory[i],
				.level = 3,
			};

			assert_true(posix_region_add(m.host, &region, &m.hva[i]));
		}
		posix_fail(m.host, ++n, POSIX_FAIL_ALL, UMBRA_EFAULT);
		make(&m, setup);
		failed = posix_failed(m.host);
		posix_fail(m.host, 0, 0, 0);
		umbra_vm_destroy(m.vm);
		posix_reclaim(m.host);
		posix_counts(m.host, &counts);
		assert_int_equal(counts.pages, 0);
		assert_int_equal(counts.bytes, 0);
		posix_host_free(m.host);
	} while (failed);
	print_message("# %s: %llu hook calls of making a VM\n", setup->name,
		      (unsigned long long)n - 1);
}

/* ---- faults, writes and registers ---- */

struct failing {
	struct test_lab t;
	/** What the last step reported. */
	unsigned reported;
	struct lab_difference last;
};

static void remember(void *context, const struct lab_difference *difference)
{
	struct failing *f = context;

	f->reported++;
	f->last = *difference;
}

#define STEPS 64

/* Step @index of the fixed program. */
static bool step(struct failing *f, unsigned index)
{
	unsigned count;
	const struct builtin_page *page = builtin_pages(f->t.builtin, &count);
	const struct umbra_regs *regs = lab_regs(f->t.lab);
	struct lab_access access = {
		.gva = {page[index * 37 % count].gva + 8 * index},
		.size = 8,
		.access =
			(index & 1 ? UMBRA_ACCESS_WRITE : 0) | (index & 2 ? UMBRA_ACCESS_USER : 0),
	};

	if (index % 16 == 5)
		return lab_mov(f->t.lab, LAB_CR4, regs->cr4 ^ UMBRA_CR4_PGE, NULL);
	if (index % 16 == 9 && regs->cr0 & UMBRA_CR0_PG)
		return lab_mov(f->t.lab, LAB_CR3, regs->cr3, NULL);
	if (index % 16 == 11)
		return lab_invlpg(f->t.lab, access.gva);
	if (index % 16 == 13) {
		umbra_gpa table;
		uint64_t size;

		builtin_tables(f->t.builtin, &table, &size);
		table.v += index * 8;
		return lab_device_write(f->t.lab, table, lab_bytes(f->t.lab, table), 8);
	}
	if (index % 16 == 15 || index % 16 == 3) {
		/* The guest's own store to its tables. */
		access.gva.v = builtin_window(f->t.builtin) + 0x400000 + index * 64;
		access.access = UMBRA_ACCESS_WRITE;
	}
	return lab_access(f->t.lab, &access, NULL);
}

static bool expected(const struct lab_difference *d)
{
	switch (d->umbra.end) {
	case LAB_STATUS:
		return d->umbra.status == UMBRA_ENOMEM || d->umbra.status == UMBRA_EFAULT ||
		       d->umbra.status == UMBRA_EINTR || d->umbra.status == UMBRA_EAGAIN;
	case LAB_WRONG: return !strcmp(d->umbra.what, "verdict MEMORY_FAULT");
	/* A guest table that cannot be read is a table that is not there (G-30). */
	case LAB_EXCEPTION: return d->umbra.event.kind == UMBRA_EVENT_PF;
	case LAB_REFUSED: return true;
	default: return false;
	}
}

static void show(const struct failing *f)
{
	char text[1024];

	lab_difference_print(&f->last, text, sizeof(text));
	print_error("%s\n", text);
}

/* Runs it all; returns whether the failure happened. */
static bool run_program(struct failing *f, uint64_t n, unsigned pin_status)
{
	struct posix_host *host = lab_host(f->t.lab);
	struct umbra_regs regs;

	builtin_regs(f->t.builtin, 0, &regs);
	posix_fail(host, 0, 0, 0);
	assert_true(lab_set_regs(f->t.lab, &regs, true, NULL));
	lab_zap(f->t.lab);
	posix_reclaim(host);
	posix_fail(host, n, POSIX_FAIL_ALL, (int)pin_status);
	for (unsigned i = 0; i < STEPS; i++) {
		const bool before = posix_failed(host);

		f->reported = 0;
		if (step(f, i) && !f->reported)
			continue;
		if (before || !posix_failed(host) || !expected(&f->last)) {
			show(f);
			fail_msg("hook call %llu, step %u", (unsigned long long)n, i);
		}
		f->reported = 0;
		if (lab_audit(f->t.lab) || !step(f, i)) {
			show(f);
			fail_msg("hook call %llu, step %u: after the failure",
				 (unsigned long long)n, i);
		}
	}
	f->reported = 0;
	if (lab_audit(f->t.lab)) {
		show(f);
		fail_msg("hook call %llu: audit", (unsigned long long)n);
	}
	return posix_failed(host);
}

static void run_faults(void **state)
{
	const struct test_setup *setup = *state;
	const struct lab_config config = test_config(setup, MODEL_STRICT);
	uint64_t calls = 0;

	for (unsigned mode = 0; mode < BUILTIN_MODES; mode++) {
		struct failing f = {0};
		uint64_t n = 1;

		test_open(&f.t, &config, mode);
		lab_on_difference(f.t.lab, remember, &f);
		while (run_program(&f, n, pin_statuses[n % 3]))
			n++;
		calls += n - 1;
		if (lab_compare_memory(f.t.lab)) {
			show(&f);
			fail_msg("memory differs");
		}
		test_close(&f.t);
	}
	print_message("# %s: %llu hook calls of faults, writes and registers\n", setup->name,
		      (unsigned long long)calls);
}

int main(void)
{
	struct CMUnitTest tests[2 * TEST_SETUPS];
	char name[2 * TEST_SETUPS][64];

	for (unsigned i = 0; i < TEST_SETUPS; i++) {
		void *state = (void *)(uintptr_t)&test_setups[i];

		snprintf(name[2 * i], sizeof(name[0]), "%s, making a VM", test_setups[i].name);
		snprintf(name[2 * i + 1], sizeof(name[0]), "%s, running", test_setups[i].name);
		tests[2 * i] = (struct CMUnitTest){name[2 * i], run_making, NULL, NULL, state};
		tests[2 * i + 1] =
			(struct CMUnitTest){name[2 * i + 1], run_faults, NULL, NULL, state};
	}
	return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
