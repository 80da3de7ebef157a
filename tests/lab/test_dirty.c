/* SPDX-License-Identifier: MIT */
/*
 * test_dirty.c - a guest is migrated while it runs: nothing that it writes may be missed.
 *
 *	copy all, begin to log
 *	run; harvest, copy what is marked      many times
 *	harvest once more, copy: the copy is the guest's memory, byte for byte
 *
 * The CPU is hostile: it goes on writing by every stale translation that the manuals let it
 * keep. So a mark that is missing shows, and so does a flush. The guest edits its page
 * tables, whose A and D bits hardware sets, or Umbra (G-37); L1 has tables of L2's and a log.
 * In the meantime each outcome must be the bare machine's, as always.
 */
#include "core/vm.h"
#include "lab/l1.h"
#include "lab/parts.h"
#include "tests/lab/common.h"

/* The gigabyte that is there for its size stays behind. */
#define SIZE_MAX_COPIED (64ull << 20)

struct migration {
	struct lab *lab;
	const struct lab_memory *memory;
	unsigned count;
	uint8_t *copy[LAB_MEMORY_MAX];
	/** Where each was when it was copied as a whole. */
	uint8_t home[LAB_MEMORY_MAX];
	uint64_t *bitmap;
	uint64_t marked, missed;
};

static bool copied(const struct migration *m, unsigned i)
{
	return m->memory[i].size <= SIZE_MAX_COPIED;
}

static void set_logging(struct migration *m, unsigned i, bool on)
{
	const struct lab_home *home = &m->lab->home[i][m->lab->at_home[i]];
	const struct umbra_slot slot = {
		.id = i,
		.flags = (m->memory[i].readonly ? UMBRA_SLOT_READONLY : 0) |
			 (on ? UMBRA_SLOT_LOG_DIRTY : 0),
		.base = m->memory[i].base,
		.size = m->memory[i].size,
		.hva = home->hva,
	};

	assert_int_equal(umbra_slot_set(m->lab->vm, &slot), UMBRA_OK);
}

static void copy_all(struct migration *m, unsigned i)
{
	set_logging(m, i, true);
	m->home[i] = m->lab->at_home[i];
	memcpy(m->copy[i], m->memory[i].umbra, m->memory[i].size);
}

static void begin(struct migration *m, struct lab *lab, unsigned manual)
{
	m->lab = lab;
	m->memory = lab_memory(lab, &m->count);
	lab->vm->mmu.manual_dirty = (uint8_t)manual;
	m->bitmap = calloc(SIZE_MAX_COPIED / UMBRA_PAGE_SIZE / 64, sizeof(*m->bitmap));
	assert_non_null(m->bitmap);
	for (unsigned i = 0; i < m->count; i++) {
		if (!copied(m, i))
			continue;
		m->copy[i] = malloc(m->memory[i].size);
		assert_non_null(m->copy[i]);
		copy_all(m, i);
	}
}

static void harvest(struct migration *m)
{
	for (unsigned i = 0; i < m->count; i++) {
		const uint64_t pages = m->memory[i].size / UMBRA_PAGE_SIZE;
		const uint8_t *from = m->memory[i].umbra;

		if (!copied(m, i))
			continue;
		/* Its slot was deleted and made again elsewhere, and its log with it. */
		if (m->home[i] != m->lab->at_home[i])
			copy_all(m, i);
		assert_int_equal(umbra_vm_get_dirty_log(m->lab->vm, i, m->bitmap), UMBRA_OK);
		if (m->lab->vm->mmu.manual_dirty)
			assert_int_equal(
				umbra_vm_clear_dirty_log(m->lab->vm, i, 0, pages, m->bitmap),
				UMBRA_OK);
		for (uint64_t page = 0; page < pages; page++) {
			const uint64_t at = page * UMBRA_PAGE_SIZE;

			if (!(m->bitmap[page / 64] >> page % 64 & 1))
				continue;
			memcpy(m->copy[i] + at, from + at, UMBRA_PAGE_SIZE);
			m->marked++;
		}
	}
}

/* The last harvest, the guest standing still. */
static void end(struct migration *m, const char *where)
{
	harvest(m);
	for (unsigned i = 0; i < m->count; i++) {
		const uint8_t *guest = m->memory[i].umbra;

		for (uint64_t at = 0; copied(m, i) && at < m->memory[i].size;
		     at += UMBRA_PAGE_SIZE) {
			if (!memcmp(m->copy[i] + at, guest + at, UMBRA_PAGE_SIZE))
				continue;
			if (!m->missed++)
				print_error("%s: gpa 0x%llx was missed\n", where,
					    (unsigned long long)(m->memory[i].base.v + at));
		}
		free(m->copy[i]);
	}
	assert_int_equal(lab_audit(m->lab), 0);
	free(m->bitmap);
	if (m->missed)
		fail_msg("%s: %llu pages missed", where, (unsigned long long)m->missed);
	assert_true(m->marked > 0);
}

static void migrate(const struct test_setup *setup, enum builtin_mode mode, unsigned manual,
		    uint64_t seed)
{
	struct lab_config config = test_config(setup, MODEL_HOSTILE);
	struct program program = {.seed = seed, .steps = 30, .stop = true};
	struct migration m = {.missed = 0};
	struct test_lab t;
	char where[96];

	snprintf(where, sizeof(where), "%s, guest %s, manual %u, seed %llu", setup->name,
		 builtin_mode_name(mode), manual, (unsigned long long)seed);
	config.cpus = 1 + seed % 2;
	test_open(&t, &config, mode);
	/* Some is mapped, large pages too, before anybody asks. */
	if (program_run(t.lab, t.builtin, &program))
		fail_msg("%s: a difference", where);
	begin(&m, t.lab, manual);
	for (unsigned round = 0; round < 4 + scaled(8); round++) {
		program.seed = seed + 1000 * round;
		if (program_run(t.lab, t.builtin, &program))
			fail_msg("%s, round %u: a difference", where, round);
		harvest(&m);
		/* Logging ends and begins anew: all is to be copied. */
		for (unsigned i = 0; i < m.count && round == 2; i++) {
			if (!copied(&m, i))
				continue;
			set_logging(&m, i, false);
			copy_all(&m, i);
		}
	}
	end(&m, where);
	test_close(&t);
}

static void every_setup(void **state)
{
	static const uint8_t manuals[] = {0, 1, 3};

	(void)state;
	for (unsigned i = 0; i < TEST_SETUPS; i++)
		for (unsigned n = 0; n < 3; n++)
			migrate(&test_setups[i], (i + n * 2) % BUILTIN_MODES, manuals[n],
				i * 3 + n + 1);
	for (unsigned mode = 0; mode < BUILTIN_MODES; mode++)
		migrate(&test_setups[5 + mode % 2], mode, 0, 100 + mode);
}

/* L1 runs L2 on its own EPT or NPT: L2 writes by mirrors, L1's tables get A and D bits. */
static void nested(void **state)
{
	static const struct {
		unsigned setup;
		enum l1_kind kind;
		bool ad;
	} places[] = {
		{0, L1_EPT_4, true},
		{1, L1_EPT_4, false},
		{3, L1_NPT_4, false},
		{4, L1_NPT_PAE, false},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const struct l1_config c = {
			.kind = places[i].kind,
			.ad = places[i].ad,
			.pml = places[i].ad,
			.nxe = true,
			.large = true,
			.seed = i,
		};
		struct lab_config config =
			test_config(&test_setups[places[i].setup], MODEL_HOSTILE);
		const struct builtin_config guest = {
			.mode = BUILTIN_4,
			.cpu = lab_guest_cpu(&config),
			.high = l1_kind_high(c.kind) && config.levels != 3,
			.like = test_like(),
		};
		struct builtin *builtin = builtin_new(&guest);
		struct migration m = {.missed = 0};
		const struct lab_memory *memory;
		char error[256] = "";
		unsigned count, shown = 0;
		struct lab *lab;
		struct l1 *l1;

		config.choices = l1_choices(&c);
		l1 = l1_new(&c, &config, builtin);
		assert_non_null(l1);
		memory = l1_memory(l1, &count);
		lab = lab_new(&config, memory, count, error, sizeof(error));
		if (!lab)
			fail_msg("%s", error);
		lab_on_difference(lab, test_show, &shown);
		l1_run(lab, l1, 50);
		begin(&m, lab, 0);
		for (unsigned round = 0; round < 4 + scaled(8); round++) {
			l1_run(lab, l1, 20);
			harvest(&m);
		}
		if (lab_counts(lab)->differences)
			fail_msg("place %u: differences", i);
		end(&m, test_setups[places[i].setup].name);
		lab_free(lab);
		l1_free(l1);
		builtin_free(builtin);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_setup),
		cmocka_unit_test(nested),
	};

	return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
