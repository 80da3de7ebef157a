/* SPDX-License-Identifier: MIT */
/*
 * test_mmio_load.c - MMIO entries while slots come and go (Q-30, O-15).
 *
 * The generation comes around under two vCPUs' accesses, by turns and on threads of their
 * own: none is ever told MMIO where there is memory, or memory where there is none.
 */
#include <pthread.h>
#include <sched.h>

#include "tests/unit/guest.h"

#define PAGE 4096ull
#define DEVICE 0xfee00000ull

static uint64_t scale(uint64_t normal)
{
	const char *small = getenv("UMBRA_TEST_SCALE");

	return small && !strcmp(small, "small") ? normal / 4 : normal;
}

#define PLACES 4
struct load_state {
	struct umbra_vm *vm;
	umbra_hva hva;
	/** For each place: odd: being changed; /2 odd: memory is there. */
	uint64_t state[PLACES];
	bool stop;
};

struct traffic {
	struct load_state *load;
	struct umbra_vcpu *vcpu;
	pthread_t thread;
	uint64_t seed, mmio, memory, stale;
};

static uint64_t place_of(unsigned i)
{
	return DEVICE + i * 16 * PAGE;
}

/* One access: by whatever entry is there, then by none. */
static void access_place(struct traffic *t, unsigned i)
{
	const umbra_gpa gpa = {place_of(i)};
	const struct umbra_exit exits[] = {
		{.event = {.kind = UMBRA_EVENT_EPT_MISCONFIG, .gpa = gpa}},
		{.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .gpa = gpa, .code = 1}},
	};
	struct umbra_resolution what = {.verdict = UMBRA_RETRY};
	uint64_t before, after;
	struct umbra_root root;

	before = __atomic_load_n(&t->load->state[i], __ATOMIC_SEQ_CST);
	if (umbra_vcpu_load(t->vcpu, &root))
		return;
	for (unsigned k = 0; k < 2 && what.verdict == UMBRA_RETRY; k++)
		if (umbra_vcpu_fault(t->vcpu, &exits[k], &what))
			return;
	after = __atomic_load_n(&t->load->state[i], __ATOMIC_SEQ_CST);
	if (before != after || before & 1 || what.verdict == UMBRA_RETRY)
		return;
	t->stale += what.verdict != (before & 2 ? UMBRA_RESUME : UMBRA_MMIO);
	t->mmio += what.verdict == UMBRA_MMIO;
	t->memory += what.verdict == UMBRA_RESUME;
}

static unsigned pick(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33 & 0x7fffffff;
}

static void *run_traffic(void *argument)
{
	struct traffic *t = argument;

	while (!__atomic_load_n(&t->load->stop, __ATOMIC_RELAXED))
		access_place(t, pick(&t->seed) % PLACES);
	return NULL;
}

static void change_place(struct load_state *load, unsigned i)
{
	const uint64_t now = load->state[i];
	const struct umbra_slot slot = {
		.id = i + 1,
		.base = {place_of(i)},
		.size = now & 2 ? 0 : PAGE,
		.hva = {load->hva.v + i * PAGE},
	};

	__atomic_store_n(&load->state[i], now + 1, __ATOMIC_SEQ_CST);
	assert_int_equal(umbra_slot_set(load->vm, &slot), UMBRA_OK);
	__atomic_store_n(&load->state[i], (now + 4) ^ 2, __ATOMIC_SEQ_CST);
}

/*
 * 300,000 slot changes, more than the generation's 18 bits hold, while two vCPUs touch the
 * places where slots come and go. In one thread by turns, so that each change is met.
 */
static void wrap_under_load(uint64_t changes, bool wide, bool zap_all)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	struct traffic t[2] = {{.seed = 1}, {.seed = 2}};
	struct load_state load = {0};
	uint64_t seed = 0x5eed0300;
	struct kit kit;

	config.mmio_wide_generation = wide;
	config.slot_zap_all = zap_all;
	kit_open(&kit, &config, 1);
	load.vm = kit.vm;
	load.hva = kit.hva;
	t[0].vcpu = kit.vcpu;
	assert_int_equal(umbra_vcpu_create(kit.vm, &config.cpu, &t[1].vcpu), UMBRA_OK);
	if (changes < 1u << 18)
		kit.vm->mmu.slots.generation = (1u << 18) - changes / 2;
	for (unsigned i = 0; i < 2; i++)
		t[i].load = &load;
	for (uint64_t i = 0; i < changes; i++) {
		change_place(&load, pick(&seed) % PLACES);
		for (unsigned k = 0; k < 2; k++)
			access_place(&t[k], pick(&seed) % PLACES);
	}
	print_message("# seed 0x5eed0300: %llu MMIO, %llu memory\n",
		      (unsigned long long)(t[0].mmio + t[1].mmio),
		      (unsigned long long)(t[0].memory + t[1].memory));
	assert_true(kit.vm->mmu.slots.generation >> 18);
	assert_int_equal(t[0].stale + t[1].stale, 0);
	assert_true(t[0].mmio > changes / 8 && t[0].memory > changes / 8);
	kit_close(&kit);
}

static void q30_wrap_under_load(void **unused)
{
	(void)unused;
	wrap_under_load(scale(300000), false, false);
	wrap_under_load(scale(20000), true, false);
	wrap_under_load(scale(20000), true, true);
}

/* The same with the vCPUs on threads of their own, around one wrap. */
static void q30_wrap_on_threads(void **unused)
{
	struct umbra_vm_config config = kit_config(UMBRA_PAGING_EPT);
	const struct posix_config host_config = {.poison = true};
	const uint64_t changes = scale(800);
	struct posix_host *host = posix_host_new(&host_config);
	struct posix_region region = {.base = {HPA}, .size = BYTES, .level = 1};
	uint8_t *bytes = kit_memory();
	struct traffic t[2] = {{.seed = 1}, {.seed = 2}};
	struct load_state load = {0};
	uint64_t seed = 0x5eed0301;
	umbra_hva hva;

	(void)unused;
	for (unsigned wide = 0; wide < 2; wide++) {
		load = (struct load_state){0};
		config.host = host;
		config.mmio_wide_generation = wide;
		region.bytes = bytes;
		if (!wide)
			assert_true(posix_region_add(host, &region, &hva));
		load.hva = hva;
		assert_int_equal(umbra_vm_create(&config, &load.vm), UMBRA_OK);
		load.vm->mmu.slots.generation = (1u << 18) - changes / 2;
		for (unsigned i = 0; i < 2; i++) {
			t[i] = (struct traffic){.load = &load, .seed = i + 1};
			assert_int_equal(umbra_vcpu_create(load.vm, &config.cpu, &t[i].vcpu),
					 UMBRA_OK);
			assert_int_equal(pthread_create(&t[i].thread, NULL, run_traffic, &t[i]), 0);
		}
		for (uint64_t i = 0; i < changes; i++) {
			change_place(&load, pick(&seed) % PLACES);
			if (i % 4 == 0)
				sched_yield();
		}
		__atomic_store_n(&load.stop, true, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < 2; i++) {
			pthread_join(t[i].thread, NULL);
			print_message("# vcpu %u: %llu MMIO, %llu memory\n", i,
				      (unsigned long long)t[i].mmio,
				      (unsigned long long)t[i].memory);
			assert_int_equal(t[i].stale, 0);
		}
		assert_true(load.vm->mmu.slots.generation >> 18);
		assert_int_equal(umbra_audit(load.vm, NULL, NULL), 0);
		umbra_vm_destroy(load.vm);
	}
	posix_host_free(host);
	munmap(bytes - UMBRA_PAGE_SIZE, BYTES + 2 * UMBRA_PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(q30_wrap_under_load),
		cmocka_unit_test(q30_wrap_on_threads),
	};

	return cmocka_run_group_tests_name("mmio_load", tests, NULL, NULL);
}
