/* SPDX-License-Identifier: MIT */
/* rig.c - a VM for benchmarks, and how two are compared. */
#define _GNU_SOURCE
#include "bench/rig.h"
#include "bench/bench.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

double rig_now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e9 + at.tv_nsec;
}

double bench_cycles(void)
{
	const double start = rig_now();
	const uint64_t first = __builtin_ia32_rdtsc();
	double now;

	do
		now = rig_now();
	while (now - start < 5e6);
	return (double)(__builtin_ia32_rdtsc() - first) / (now - start);
}

bool rig_open(struct rig *m, const struct umbra_vm_config *config, uint64_t size)
{
	const struct posix_config host = {.single = true};
	struct umbra_vm_config vm = *config;
	struct posix_region region = {.base = {0x1000000000}, .size = size, .level = 1};
	struct umbra_slot slot = {.size = size};

	memset(m, 0, sizeof(*m));
	m->size = size;
	m->memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	m->host = posix_host_new(&host);
	if (m->memory == MAP_FAILED || !m->host)
		return false;
	region.bytes = m->memory;
	vm.host = m->host;
	return posix_region_add(m->host, &region, &slot.hva) && !umbra_vm_create(&vm, &m->vm) &&
	       !umbra_slot_set(m->vm, &slot) && !umbra_vcpu_create(m->vm, &vm.cpu, &m->vcpu);
}

void rig_close(struct rig *m)
{
	umbra_vm_destroy(m->vm);
	if (m->host)
		posix_host_free(m->host);
	if (m->memory && m->memory != MAP_FAILED)
		munmap(m->memory, m->size);
}

bool rig_resumes(struct rig *m, const struct umbra_exit *exit)
{
	struct umbra_resolution what;

	return !umbra_vcpu_fault(m->vcpu, exit, &what) && what.verdict == UMBRA_RESUME;
}

bool rig_restart(struct rig *m)
{
	umbra_vm_zap_all(m->vm);
	posix_reclaim(m->host);
	return !umbra_vcpu_load(m->vcpu, &m->root);
}

bool rig_compare(struct rig *m, rig_sample *sample, struct rig *reference,
		 rig_sample *reference_sample, double seconds, struct bench_result *result)
{
	double until = rig_now() + seconds * 1e9;

	result->ns = result->ref_ns = 1e18;
	do {
		double ns = sample(m), ref = reference_sample(reference);

		if (ns < 0 || ref < 0)
			return false;
		result->ns = ns < result->ns ? ns : result->ns;
		result->ref_ns = ref < result->ref_ns ? ref : result->ref_ns;
	} while (rig_now() < until);
	result->ratio = result->ns / result->ref_ns;
	return true;
}
