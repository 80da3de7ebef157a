/* SPDX-License-Identifier: MIT */
/*
 * io.c - ports. They are the guest's, but for a few that are looked at on the way:
 *
 *	60, 64, 92   may not clear the A20 gate, which the hypervisor's addresses go through
 *	             too; may reset the machine
 *	CF9          may reset it
 *	604, B004    may switch it off (PM1a of QEMU's chipsets)
 *	F4           ends QEMU's run (isa-debug-exit)
 *
 * Before the machine ends there is time for a report.
 */
#include "hv/complete.h"
#include "hv/paging.h"

#define PORT_KBC_DATA 0x60
#define PORT_KBC_COMMAND 0x64
#define PORT_SYSTEM_CONTROL 0x92
#define PORT_EXIT 0xf4
#define PORT_PCI_ADDRESS 0xcf8
#define PORT_RESET 0xcf9
#define PORT_PM1_Q35 0x604
#define PORT_PM1_I440FX 0xb004
#define PM1_SLEEP (1u << 13)
#define OUTPUT_PORT_RESET 0x01
#define OUTPUT_PORT_A20 0x02
#define KBC_WRITE_OUTPUT_PORT 0xd1
#define KBC_A20_OFF 0xdd

static uint8_t map[0x3000] __attribute__((aligned(4096)));

static const uint16_t guarded[] = {
	PORT_KBC_DATA, PORT_KBC_COMMAND, PORT_SYSTEM_CONTROL, PORT_EXIT,
	PORT_RESET,    PORT_PM1_Q35,     PORT_PM1_I440FX,
};

uint64_t io_permissions(void)
{
	for (unsigned i = 0; i < sizeof(guarded) / sizeof(guarded[0]); i++)
		map[guarded[i] / 8] |= 1u << guarded[i] % 8;
	return paging_physical(map);
}

/* What the guest's output becomes. False: nothing is to be put out. */
static bool look_at(struct vcpu *vcpu, uint16_t port, uint32_t *value)
{
	bool next = vcpu->output_port_next, ends = false;

	vcpu->output_port_next = false;
	switch (port) {
	case PORT_KBC_COMMAND:
		vcpu->output_port_next = (uint8_t)*value == KBC_WRITE_OUTPUT_PORT;
		/* F0-FF pulse the lines whose bits are 0; line 0 is reset, line 1 A20. */
		if ((*value & 0xf0) == 0xf0) {
			ends = !(*value & OUTPUT_PORT_RESET);
			*value |= OUTPUT_PORT_A20;
		}
		if ((uint8_t)*value == KBC_A20_OFF)
			return false;
		break;
	case PORT_KBC_DATA:
		if (next) {
			ends = !(*value & OUTPUT_PORT_RESET);
			*value |= OUTPUT_PORT_A20;
		}
		break;
	case PORT_SYSTEM_CONTROL:
		ends = *value & 1;
		*value |= OUTPUT_PORT_A20;
		break;
	case PORT_RESET: ends = *value & 4; break;
	case PORT_PM1_Q35:
	case PORT_PM1_I440FX: ends = *value & PM1_SLEEP; break;
	case PORT_EXIT: ends = true; break;
	default: break;
	}
	if (ends)
		report_end(vcpu);
	return true;
}

uint32_t io_in(uint16_t port, unsigned bytes)
{
	switch (bytes) {
	case 1: return cpu_in8(port);
	case 2: return cpu_in16(port);
	default: return cpu_in32(port);
	}
}

/* The guarded port among those that an access of @bytes at @port reaches. A wide access
 * to CF8 is PCI's address register, and does not reach CF9. */
static uint16_t guarded_port(uint16_t port, unsigned bytes)
{
	if (port == PORT_PCI_ADDRESS)
		return port;
	for (unsigned i = 0; i < bytes; i++)
		for (unsigned j = 0; j < sizeof(guarded) / sizeof(guarded[0]); j++)
			if (guarded[j] == (uint16_t)(port + i))
				return guarded[j];
	return port;
}

void io_out(struct vcpu *vcpu, uint16_t port, unsigned bytes, uint32_t value)
{
	const uint16_t inner = guarded_port(port, bytes);
	const unsigned shift = 8 * (inner - port);
	uint32_t guarded_value = value >> shift;

	if (!look_at(vcpu, inner, &guarded_value))
		return;
	value = (value & ((1u << shift) - 1)) | guarded_value << shift;
	if (bytes == 1)
		cpu_out8(port, (uint8_t)value);
	else if (bytes == 2)
		cpu_out16(port, (uint16_t)value);
	else
		cpu_out32(port, value);
}

/* RAX after IN: only a doubleword clears what is above it. */
static uint64_t merge(uint64_t rax, uint32_t value, unsigned bytes)
{
	const uint64_t mask = bytes == 4 ? ~0ull : (1ull << 8 * bytes) - 1;

	return (rax & ~mask) | (value & mask);
}

void io_exit(struct vcpu *vcpu)
{
	uint64_t info = vcpu->vmcb->exit_info_1;
	uint16_t port = (uint16_t)(info >> VMCB_IO_PORT_SHIFT);
	unsigned bytes = info >> VMCB_IO_BYTES_SHIFT & 7;
	uint64_t *rax = &vcpu->vmcb->rax;

	if (info & VMCB_IO_STRING) {
		if (!complete_instruction(vcpu))
			report_stop(vcpu, "string I/O at port %x with what is no memory", port);
		return;
	}
	if (info & VMCB_IO_IN)
		*rax = merge(*rax, io_in(port, bytes), bytes);
	else
		io_out(vcpu, port, bytes, (uint32_t)*rax);
	vcpu_skip(vcpu, (unsigned)(vcpu->vmcb->exit_info_2 - vcpu->vmcb->rip));
}
