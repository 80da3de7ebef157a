/* SPDX-License-Identifier: MIT */
/*
 * hv_count.c - a plugin for QEMU's TCG: how often each instruction is executed (tools/hv-profile).
 *
 *	-plugin hv_count.so,out=FILE
 *
 *	cut                  an RDTSC of the guest's: what follows was counted since the last
 *	ADDRESS COUNT ...    hexadecimal, decimal
 *
 * The plugin interface, version 1, is declared here as far as it is used, so that no header of
 * QEMU's is needed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

#define INLINE_ADD 0
#define NO_REGISTERS 0

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
					   void (*call)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*call)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op,
						void *counter, uint64_t add);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*call)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info,
							       int argc, char **argv);
int qemu_plugin_version = 1;

/* The guest's code ends below; the hypervisor's image is at 1 GiB. */
#define GUEST_END 0x2000000u

/* Open addressing; a run has some 20,000 addresses. */
#define COUNTERS (1u << 17)
static struct counter {
	uint64_t address; /* + 1; 0: free */
	uint64_t count;
} counters[COUNTERS];

static FILE *out;

static struct counter *counter_of(uint64_t address)
{
	unsigned at = (unsigned)(address * 0x9e3779b97f4a7c15ull >> 47);

	while (counters[at].address && counters[at].address != address + 1)
		at = (at + 1) % COUNTERS;
	counters[at].address = address + 1;
	return &counters[at];
}

static void cut(unsigned cpu, void *unused)
{
	(void)cpu;
	(void)unused;
	fprintf(out, "cut\n");
	for (unsigned i = 0; i < COUNTERS; i++) {
		if (counters[i].count)
			fprintf(out, "%llx %llu\n", (unsigned long long)(counters[i].address - 1),
				(unsigned long long)counters[i].count);
		counters[i].count = 0;
	}
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	static const uint8_t rdtsc[] = {0x0f, 0x31};

	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint64_t address = qemu_plugin_insn_vaddr(insn);

		qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD,
							   &counter_of(address)->count, 1);
		if (address < GUEST_END && qemu_plugin_insn_size(insn) == sizeof(rdtsc) &&
		    !memcmp(qemu_plugin_insn_data(insn), rdtsc, sizeof(rdtsc)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, cut, NO_REGISTERS, NULL);
	}
}

static void end(plugin_id id, void *unused)
{
	(void)id;
	cut(0, unused);
	fclose(out);
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0)
		return 1;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, end, NULL);
	return 0;
}
