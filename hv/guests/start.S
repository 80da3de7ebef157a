/* SPDX-License-Identifier: MIT */
/*
 * start.S - a multiboot 1 kernel: 32-bit, no paging, a stack, then guest_main(magic, info).
 */
	.section .header, "a"
	.balign 4
	.long 0x1badb002
	.long 3
	.long -(0x1badb002 + 3)

	.text
	.code32
	.globl guest_start
guest_start:
	cli
	cld
	movl	$guest_stack_end, %esp
	lgdt	guest_gdtr
	ljmp	$0x08, $1f
1:	movw	$0x10, %dx
	movw	%dx, %ds
	movw	%dx, %es
	movw	%dx, %ss
	xorl	%edx, %edx
	movw	%dx, %fs
	movw	%dx, %gs
	pushl	%ebx
	pushl	%eax
	call	guest_main
	pushl	%eax
	call	guest_exit

	.data
	.balign 8
	.globl guest_gdt
guest_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* 08h: code, 32-bit */
	.quad 0x00cf93000000ffff	/* 10h: data */
	.quad 0x00af9b000000ffff	/* 18h: code, 64-bit */
	.quad 0x00cffb000000ffff	/* 20h: user code, 32-bit */
	.quad 0x00cff3000000ffff	/* 28h: user data */
	.quad 0x00affb000000ffff	/* 30h: user code, 64-bit */
	.quad 0				/* 38h: task, 32-bit (probe.c) */
	.quad 0, 0			/* 40h: task, 64-bit */
guest_gdtr:
	.word . - guest_gdt - 1
	.long guest_gdt

	.bss
	.balign 16
	.skip 16384
guest_stack_end:

	.section .note.GNU-stack, "", @progbits
