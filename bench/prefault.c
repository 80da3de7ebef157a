/* SPDX-License-Identifier: MIT */
/*
 * prefault.c - how long does a page take that is mapped before the guest touches it?
 *
 * Two VMs of 128 MiB under EPT, 4K pages. In one the whole of it is prefaulted by one
 * umbra_vcpu_prefault(), tables included; in the other, the reference, the guest touches
 * page after page, and each is an umbra_vcpu_fault(). What results is the same but for
 * Accessed bits. Between samples the tables are dropped, which is not timed.
 */
#include "bench/bench.h"
#include "bench/rig.h"

#include <errno.h>

#define MEMORY (128ull << 20)

static const struct umbra_vm_config config = {
	.cpu = {.vendor = UMBRA_VENDOR_INTEL,
		.maxphyaddr = 46,
		.features = UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_2M | UMBRA_CPU_EPT_1G | UMBRA_CPU_NX |
			    UMBRA_CPU_PAE | UMBRA_CPU_LM},
	.paging = UMBRA_PAGING_EPT,
	.levels = 4,
	.layout = UMBRA_LAYOUT_7_3,
	.page_level = 1,
};

static double prefault(struct rig *m)
{
	umbra_gpa gpa = {0};
	uint64_t size = m->size;
	double start;

	if (!rig_restart(m))
		return -1;
	start = rig_now();
	if (umbra_vcpu_prefault(m->vcpu, &gpa, &size) || size)
		return -1;
	return (rig_now() - start) / (m->size >> UMBRA_PAGE_SHIFT);
}

static double touch(struct rig *m)
{
	struct umbra_exit exit = {.event = {.kind = UMBRA_EVENT_EPT_VIOLATION, .code = 0x181}};
	double start;

	if (!rig_restart(m))
		return -1;
	start = rig_now();
	for (; exit.event.gpa.v < m->size; exit.event.gpa.v += UMBRA_PAGE_SIZE)
		if (!rig_resumes(m, &exit))
			return -1;
	return (rig_now() - start) / (m->size >> UMBRA_PAGE_SHIFT);
}

int bench_prefault(void (*emit)(const struct bench_result *, void *), void *arg, double seconds)
{
	struct bench_result result = {.name = "prefault/4k-bulk"};
	struct rig bulk, single = {.host = NULL};
	int error = EIO;

	if (!rig_open(&bulk, &config, MEMORY) || !rig_open(&single, &config, MEMORY))
		error = ENOMEM;
	else if (rig_compare(&bulk, prefault, &single, touch, seconds, &result))
		error = 0;
	if (!error)
		emit(&result, arg);
	rig_close(&bulk);
	rig_close(&single);
	return error;
}
