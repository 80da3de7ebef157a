/* SPDX-License-Identifier: MIT */
/*
 * status.c - sentences for statuses and verdicts.
 *
 * One sentence each, for people: what it means, not where it happened.
 */
#include "umbra/umbra.h"

const char *umbra_strstatus(enum umbra_status status)
{
	static const char *const text[UMBRA_STATUS_COUNT] = {
		[UMBRA_OK] = "success",
		[UMBRA_EINVAL] = "an argument that can never be right",
		[UMBRA_EEXIST] = "the slot overlaps another one",
		[UMBRA_EFAULT] = "memory that cannot be reached",
		[UMBRA_ENOENT] = "there is no such slot",
		[UMBRA_ENOMEM] = "the host has no memory left",
		[UMBRA_ENOSPC] = "the VM's limit of table pages is reached",
		[UMBRA_EAGAIN] = "the host asks to try again",
		[UMBRA_EINTR] = "the host was interrupted",
		[UMBRA_EOPNOTSUPP] = "not possible with this CPU or configuration",
		[UMBRA_EUNMAPPABLE] = "the address is too high for the VM's tables to map",
	};

	return (unsigned)status < UMBRA_STATUS_COUNT ? text[status] : "unknown status";
}

const char *umbra_strverdict(enum umbra_verdict verdict)
{
	static const char *const text[UMBRA_VERDICT_COUNT] = {
		[UMBRA_RESUME] = "RESUME",   [UMBRA_RETRY] = "RETRY",
		[UMBRA_INJECT] = "INJECT",   [UMBRA_MMIO] = "MMIO",
		[UMBRA_EMULATE] = "EMULATE", [UMBRA_MEMORY_FAULT] = "MEMORY_FAULT",
	};

	return (unsigned)verdict < UMBRA_VERDICT_COUNT ? text[verdict] : "unknown verdict";
}
