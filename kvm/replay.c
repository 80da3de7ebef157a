/* SPDX-License-Identifier: MIT */
/*
 * replay.c - a program's calls, one after the other, on a process.
 *
 *	name up to $    which system call
 *	name behind $   what its last pointer leads to (types.c)
 *	arguments       values, after what lies behind them has been put into memory
 *
 * Everything happens in the order of the text: (async) and the races that syzkaller tries are
 * for real kernels. (fail_nth: N) makes the library's Nth allocation fail, (rerun: N) repeats.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/parts.h"

#define ARGS 6
#define RERUN_MAX 1000u
#define PATH_SIZE 256

struct replaying {
	struct kvm_layout layout;
	const struct syz_call *call;
	uint64_t arg[ARGS];
};

static struct kvm_process *process_of(const struct replaying *r)
{
	return r->layout.process;
}

/* ---- system calls ---- */

static int64_t open_path(const struct replaying *r, uint64_t path)
{
	struct kvm_process *process = process_of(r);
	char text[PATH_SIZE];

	if (!kvm_memory_text(kvm_process_memory(process), path, text, sizeof(text)))
		return kvm_refuse(process, EFAULT, "no path at 0x%" PRIx64, path);
	if (!strcmp(text, "/dev/kvm"))
		return kvm_open(process);
	return kvm_unknown(process, "only /dev/kvm is opened here");
}

static int64_t call_open(const struct replaying *r)
{
	return open_path(r, r->arg[0]);
}

static int64_t call_openat(const struct replaying *r)
{
	return open_path(r, r->arg[1]);
}

static int64_t call_ioctl(const struct replaying *r)
{
	return kvm_ioctl(process_of(r), r->arg[0], r->arg[1], r->arg[2]);
}

static int64_t call_close(const struct replaying *r)
{
	return kvm_close(process_of(r), r->arg[0]);
}

static int64_t call_dup(const struct replaying *r)
{
	return kvm_dup(process_of(r), r->arg[0]);
}

static int64_t call_dup2(const struct replaying *r)
{
	return kvm_dup_to(process_of(r), r->arg[0], r->arg[1], false, 0);
}

static int64_t call_dup3(const struct replaying *r)
{
	return kvm_dup_to(process_of(r), r->arg[0], r->arg[1], true, r->arg[2]);
}

static int64_t call_mmap(const struct replaying *r)
{
	const struct kvm_map map = {r->arg[0], r->arg[1], r->arg[2],
				    r->arg[3], r->arg[4], r->arg[5]};

	return kvm_mmap(process_of(r), &map);
}

static int64_t call_munmap(const struct replaying *r)
{
	return kvm_munmap(process_of(r), r->arg[0], r->arg[1]);
}

static int64_t call_mprotect(const struct replaying *r)
{
	return kvm_mprotect(process_of(r), r->arg[0], r->arg[1], r->arg[2]);
}

static const struct {
	const char *name;
	int64_t (*make)(const struct replaying *r);
} calls[] = {
	{"ioctl", call_ioctl},       {"openat", call_openat}, {"open", call_open},
	{"close", call_close},       {"dup", call_dup},       {"dup2", call_dup2},
	{"dup3", call_dup3},         {"mmap", call_mmap},     {"munmap", call_munmap},
	{"mprotect", call_mprotect},
};

/* ---- a call ---- */

/* openat$kvm(0xffffff9c, &(0x7f0000000000), 0x2, 0x0): the path goes without saying. */
static void default_path(struct replaying *r)
{
	static const char path[] = "/dev/kvm";
	const struct syz_arg *arg = r->call->args ? r->call->args->next : NULL;

	if (!strcmp(r->call->name, "openat$kvm") && arg && arg->kind == SYZ_POINTER && !arg->below)
		kvm_memory_write(kvm_process_memory(process_of(r)), r->arg[1], path, sizeof(path));
}

static void lay_out(struct replaying *r)
{
	const char *variant = strchr(r->call->name, '$');
	const struct kvm_type *type = variant ? kvm_type_of(variant + 1) : NULL;
	unsigned i = 0;

	memset(r->arg, 0, sizeof(r->arg));
	r->layout.strange = false;
	for (const struct syz_arg *arg = r->call->args; arg && i < ARGS; arg = arg->next, i++)
		r->arg[i] = kvm_layout_value(&r->layout, arg, type);
	default_path(r);
}

static int64_t make(struct replaying *r)
{
	const size_t length = strcspn(r->call->name, "$");

	lay_out(r);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strncmp(r->call->name, calls[i].name, length) != 0 || calls[i].name[length])
			continue;
		if (r->layout.strange)
			kvm_tell(process_of(r), KVM_TOLD_STEP,
				 "the layout of an argument is not known: its memory stays as it "
				 "was");
		return calls[i].make(r);
	}
	return kvm_unknown(process_of(r), "no call that is known here");
}

static int64_t run_call(struct replaying *r)
{
	const uint64_t again = r->call->rerun < RERUN_MAX ? r->call->rerun : RERUN_MAX;
	struct kvm_process *process = process_of(r);
	int64_t result;

	if (r->call->async)
		kvm_tell(process, KVM_TOLD_STEP, "async: carried out in order");
	if (r->call->fail_nth && r->call->args)
		kvm_fail_nth(process, kvm_layout_value(&r->layout, r->call->args, NULL),
			     r->call->fail_nth);
	result = make(r);
	for (uint64_t i = 0; i < again; i++)
		result = make(r);
	if (r->call->fail_nth)
		kvm_fail_nth(process, r->arg[0], 0);
	kvm_layout_captures(&r->layout);
	if (r->call->gives >= 0)
		r->layout.results[r->call->gives] = result < 0 ? UINT64_MAX : (uint64_t)result;
	return result;
}

void kvm_replay(struct kvm_process *process, const struct syz_program *program,
		const struct kvm_replay *replay, struct kvm_replayed *replayed)
{
	struct replaying r = {.layout = {.process = process}};

	*replayed = (struct kvm_replayed){0};
	r.layout.result_count = program->result_count;
	r.layout.results = malloc((program->result_count + 1) * sizeof(*r.layout.results));
	if (!r.layout.results)
		return;
	memset(r.layout.results, 0xff, program->result_count * sizeof(*r.layout.results));
	for (r.call = program->calls; r.call; r.call = r.call->next) {
		struct kvm_step step = {.number = ++replayed->calls, .call = r.call};

		if (replay->before)
			replay->before(replay->context, &step);
		step.result = run_call(&r);
		replayed->unknown += step.result == KVM_UNKNOWN;
		replayed->errors += step.result < 0 && step.result != KVM_UNKNOWN;
		kvm_process_audit(process);
		if (replay->after)
			replay->after(replay->context, &step);
	}
	free(r.layout.results);
}
