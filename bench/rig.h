/* SPDX-License-Identifier: MIT */
/* rig.h - a VM with one slot of memory at 0, for benchmarks. */
#ifndef BENCH_RIG_H
#define BENCH_RIG_H

#include "port/posix/posix.h"
#include "umbra/umbra.h"

struct rig {
	struct posix_host *host;
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	uint8_t *memory;
	uint64_t size;
	struct umbra_root root;
};

/** rig_now - nanoseconds of a clock that only rises. */
double rig_now(void);
/** rig_open - @config without host; the vCPU sees config->cpu. False: rig_close() what
 * there is. */
bool rig_open(struct rig *m, const struct umbra_vm_config *config, uint64_t size);
void rig_close(struct rig *m);
/** rig_at - guest memory. */
static inline uint64_t *rig_at(struct rig *m, uint64_t gpa)
{
	return (uint64_t *)(void *)(m->memory + gpa);
}
/** rig_resumes - does this fault get repaired? */
bool rig_resumes(struct rig *m, const struct umbra_exit *exit);
/** rig_restart - without any table, all memory given back. */
bool rig_restart(struct rig *m);

/** struct bench_job's sample: nanoseconds an operation; negative: the library refused. */
typedef double rig_sample(struct rig *m);
/**
 * rig_compare - samples of both by turns for @seconds; the fastest of each into
 * @result. False: the library refused.
 */
struct bench_result;
bool rig_compare(struct rig *m, rig_sample *sample, struct rig *reference,
		 rig_sample *reference_sample, double seconds, struct bench_result *result);

#endif
