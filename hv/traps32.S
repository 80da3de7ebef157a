/* SPDX-License-Identifier: MIT */
/*
 * traps32.S - as traps64.S, on a 32-bit host.
 */
	.text
	.balign 16
	.globl traps_stubs
traps_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	.if (0x60227d00 >> vector) & 1	/* 8, 10-14, 17, 21, 29, 30 have a code */
	.else
	pushl	$0
	.endif
	pushl	$vector
	jmp	common
	.set vector, vector + 1
	.endr

common:
	cld
	pushl	%esp
	call	traps_bug

	.section .note.GNU-stack, "", @progbits
