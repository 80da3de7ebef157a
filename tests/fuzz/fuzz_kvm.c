/* SPDX-License-Identifier: MIT */
/*
 * fuzz_kvm.c - libFuzzer target: no sequence of calls makes the KVM interface, or the library
 * behind it, crash, leak, break an invariant or return what no call returns.
 *
 * Bytes become calls with plausible values (tests/kvm/calls.h). How many there were is said at
 * the end.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tests/kvm/calls.h"

#define CALLS 24

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t total;

static void say_total(void)
{
	fprintf(stderr, "%" PRIu64 " calls\n", total);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return atexit(say_total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned count;

	if (calls_run(data, size, CALLS, &count))
		abort();
	total += count;
	return 0;
}
