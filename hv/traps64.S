/* SPDX-License-Identifier: MIT */
/*
 * traps64.S - exceptions of the hypervisor itself: each is a bug, and told as one.
 *
 * 32 stubs of 16 bytes. A stub pushes what traps_bug() (traps.c) shows: vector, error
 * code (0 where the CPU gives none), then what the CPU pushed.
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
	pushq	$0
	.endif
	pushq	$vector
	jmp	common
	.set vector, vector + 1
	.endr

common:
	cld
	movq	%rsp, %rdi
	andq	$-16, %rsp
	call	traps_bug

	.section .note.GNU-stack, "", @progbits
