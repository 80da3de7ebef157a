/* SPDX-License-Identifier: MIT */
/*
 * boot64.S - from the boot loader to long mode.
 *
 * The loader puts .boot at 1 MiB and the rest behind it, and enters boot_start in 32-bit
 * protected mode without paging, with EAX = magic and EBX = information. The tables made
 * here are for the way up only (paging.c makes better ones):
 *
 *	virtual                        physical
 *	0              + 1 GiB         the same
 *	IMAGE_BASE     + 1 GiB         0          the program, linked at IMAGE_BASE + 1 MiB
 *	DIRECT_BASE    + 4 GiB         0          everything
 *
 * On a CPU with 57-bit addresses CR4.LA57 is set, and both ends of the fifth level lead
 * to the one table of level 4, so that addresses are the same with 4 and with 5 levels.
 */
#define PRESENT_WRITABLE 0x3
#define PAGE_2M 0x83
#define CR0_PG_WP_PE 0x80010001
#define CR4_PAE 0x20
#define CR4_LA57 0x1000
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900

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

	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	no_long_mode
	movl	$0x80000001, %eax
	cpuid
	btl	$29, %edx
	jnc	no_long_mode

	/* Four page directories: 4 GiB from 0 in pages of 2M. */
	movl	$boot_directories, %edi
	movl	$PAGE_2M, %eax
1:	movl	%eax, (%edi)
	movl	$0, 4(%edi)
	addl	$8, %edi
	addl	$0x200000, %eax
	jnc	1b

	movl	$boot_directories + PRESENT_WRITABLE, %eax
	movl	%eax, boot_low
	movl	%eax, boot_low + 8
	movl	%eax, boot_direct
	addl	$0x1000, %eax
	movl	%eax, boot_direct + 8
	addl	$0x1000, %eax
	movl	%eax, boot_direct + 16
	addl	$0x1000, %eax
	movl	%eax, boot_direct + 24
	movl	$boot_low + PRESENT_WRITABLE, boot_level4
	movl	$boot_direct + PRESENT_WRITABLE, boot_level4 + 256 * 8
	movl	$boot_level4 + PRESENT_WRITABLE, boot_level5
	movl	$boot_level4 + PRESENT_WRITABLE, boot_level5 + 511 * 8

	movl	$boot_level4, %edi
	movl	%cr4, %edx
	orl	$CR4_PAE, %edx
	pushl	%edx
	xorl	%eax, %eax
	cpuid
	cmpl	$7, %eax
	jb	2f
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	btl	$16, %ecx
	jnc	2f
	orl	$CR4_LA57, (%esp)
	movl	$boot_level5, %edi
2:	popl	%edx
	movl	%edx, %cr4
	movl	%edi, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME_NXE, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* caches on: some loaders leave CD and NW set */
	orl	$CR0_PG_WP_PE, %eax
	movl	%eax, %cr0
	lgdt	boot_gdtr
	ljmp	$0x08, $3f

	.code64
3:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	$image_stack_end, %rsp
	movl	%ebp, %edi		/* magic */
	movl	%esi, %esi		/* information */
	xorl	%ebp, %ebp
	pushq	$0
	movq	$hv_main, %rax
	jmpq	*%rax

	.code32
no_long_mode:
	movl	$no_long_mode_text, %esi
4:	lodsb
	testb	%al, %al
	jz	5f
	outb	%al, $0xe9
	movw	$0x3f8, %dx
	outb	%al, %dx
	jmp	4b
5:	movb	$0x30, %al		/* CONSOLE_CANNOT_START */
	outb	%al, $0xf4
6:	cli
	hlt
	jmp	6b

no_long_mode_text:
	.asciz "umbra-hv: this CPU has no long mode\n"
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 08h: 64-bit code */
	.quad 0x00cf93000000ffff	/* 10h: data */
boot_gdtr:
	.word . - boot_gdt - 1
	.long boot_gdt

	.section .boot.bss, "aw", @nobits
	.balign 4096
boot_level5:
	.skip 4096
boot_level4:
	.skip 4096
boot_low:
	.skip 4096
boot_direct:
	.skip 4096
boot_directories:
	.skip 4 * 4096
	.skip 512
boot_stack_end:

	.section .bss
	.balign 4096
	.skip 16384
	.globl image_stack_end
image_stack_end:

	.section .note.GNU-stack, "", @progbits
