/* SPDX-License-Identifier: MIT */
/*
 * fuzz_kvm.c - libFuzzer target: no sequence of calls makes the KVM interface, or the library
 * behind it, crash, leak, break an invariant or return what no call returns.
 *
 * Bytes become calls with plausible values (tests/kvm/calls.h).
 */
#include "tests/kvm/calls.h"

#define CALLS 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (calls_run(data, size, CALLS))
		abort();
	return 0;
}
