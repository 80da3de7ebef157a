/* SPDX-License-Identifier: MIT */
/*
 * boot32.S - from the boot loader to a PAE machine's paging.
 *
 * The loader puts .boot at 1 MiB and the rest behind it, and enters boot_start in 32-bit
 * protected mode without paging, with EAX = magic and EBX = information. The tables made
 * here are for the way up only (paging32.c makes better ones), in pages of 2 MiB:
 *
 *	virtual                       physical
 *	0            + 256 MiB        the same
 *	DIRECT_BASE  + 3.5 GiB        0        everything that this host can reach
 *	IMAGE_BASE   + 256 MiB        0        the program, linked at IMAGE_BASE + 1 MiB
 */
#define PAGE_2M 0x83
#define DIRECT_BASE 0x10000000
#define IMAGE_BASE 0xf0000000
#define CR0_PG_WP_PE 0x80010001
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_NXE 0x800

	.section .boot, "ax"
	.code32
	.balign 4
	.long 0x1badb002		/* multiboot 1 */
	.long 3				/* modules on page boundaries, memory information */
	.long -(0x1badb002 + 3)

	.globl boot_start
boot_start:
	cli
	cld
	movl	$boot_stack_end, %esp
	movl	%eax, %ebp
	movl	%ebx, %esi

	/* A CPU with SVM has PAE and NX. */
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	no_svm
	movl	$0x80000001, %eax
	cpuid
	btl	$2, %ecx
	jnc	no_svm

	/* Four page directories: EAX is the page, EDX where it is seen. */
	movl	$boot_directories, %edi
	movl	$PAGE_2M, %eax
	xorl	%edx, %edx
1:	cmpl	$DIRECT_BASE, %edx
	je	2f
	cmpl	$IMAGE_BASE, %edx
	jne	3f
2:	movl	$PAGE_2M, %eax
3:	movl	%eax, (%edi)
	movl	$0, 4(%edi)
	addl	$8, %edi
	addl	$0x200000, %eax
	addl	$0x200000, %edx
	jnc	1b

	movl	$boot_directories + 1, %eax
	movl	%eax, boot_root
	addl	$0x1000, %eax
	movl	%eax, boot_root + 8
	addl	$0x1000, %eax
	movl	%eax, boot_root + 16
	addl	$0x1000, %eax
	movl	%eax, boot_root + 24

	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$boot_root, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_NXE, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* caches on: some loaders leave CD and NW set */
	orl	$CR0_PG_WP_PE, %eax
	movl	%eax, %cr0
	lgdt	boot_gdtr
	ljmp	$0x08, $4f
4:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	$image_stack_end, %esp
	pushl	$0			/* information: 64 bits */
	pushl	%esi
	pushl	%ebp			/* magic */
	xorl	%ebp, %ebp
	pushl	$0
	movl	$hv_main, %eax
	jmpl	*%eax

no_svm:
	movl	$no_svm_text, %esi
5:	lodsb
	testb	%al, %al
	jz	6f
	outb	%al, $0xe9
	movw	$0x3f8, %dx
	outb	%al, %dx
	jmp	5b
6:	movb	$0x30, %al		/* CONSOLE_CANNOT_START */
	outb	%al, $0xf4
7:	cli
	hlt
	jmp	7b

no_svm_text:
	.asciz "umbra-hv: this CPU has no SVM\n"
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* 08h: code */
	.quad 0x00cf93000000ffff	/* 10h: data */
boot_gdtr:
	.word . - boot_gdt - 1
	.long boot_gdt

	.section .boot.bss, "aw", @nobits
	.balign 4096
boot_directories:
	.skip 4 * 4096
boot_root:
	.skip 32
	.skip 512
boot_stack_end:

	.section .bss
	.balign 4096
	.skip 16384
	.globl image_stack_end
image_stack_end:

	.section .note.GNU-stack, "", @progbits
