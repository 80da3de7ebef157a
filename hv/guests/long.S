/* SPDX-License-Identifier: MIT */
/*
 * long.S - loops in 64-bit code, timed.
 *
 * long_call(loop, start, count, cr3): enters long mode on the tables at @cr3 (identity for
 * the kernel), calls the loop with RDI = start, RCX = count, and comes back. Returns how
 * many ticks of the TSC the loop took.
 */
	.set MSR_EFER, 0xc0000080
	.text
	.code32
	.globl long_call
long_call:
	pushl	%ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	movl	20(%esp), %ebp		/* loop */
	movl	24(%esp), %edi		/* start */
	movl	28(%esp), %esi		/* count */
	movl	32(%esp), %eax
	movl	%eax, %cr3
	movl	$0x20, %eax
	movl	%eax, %cr4
	movl	$MSR_EFER, %ecx
	movl	$0x100, %eax
	xorl	%edx, %edx
	wrmsr
	movl	$0x80010011, %eax
	movl	%eax, %cr0
	ljmp	$0x18, $1f
	.code64
1:	movl	%ebp, %ebp
	movl	%edi, %edi
	movl	%esi, %ecx
	rdtsc
	movl	%eax, %r8d
	shlq	$32, %rdx
	orq	%rdx, %r8
	call	*%rbp
	rdtsc
	shlq	$32, %rdx
	movl	%eax, %eax
	orq	%rdx, %rax
	subq	%r8, %rax
	movq	%rax, %rdx
	shrq	$32, %rdx
	movl	%eax, %edi
	movl	%edx, %esi
	pushq	$0x08
	leaq	2f(%rip), %rax
	pushq	%rax
	lretq
	.code32
2:	movl	$0x11, %eax
	movl	%eax, %cr0
	movl	$MSR_EFER, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	movl	%eax, %cr4
	movl	%edi, %eax
	movl	%esi, %edx
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	ret

	.code64
	/* Nothing: what the loops cost by themselves. */
	.globl long_nothing
long_nothing:
1:	decq	%rcx
	jnz	1b
	ret

	/* Write to each page from RDI on. */
	.globl long_touch
long_touch:
1:	movb	$1, (%rdi)
	addq	$4096, %rdi
	decq	%rcx
	jnz	1b
	ret

	.globl long_cpuid
long_cpuid:
	movq	%rcx, %r9
1:	xorl	%eax, %eax
	cpuid
	decq	%r9
	jnz	1b
	ret

	.globl long_cr3
long_cr3:
	movq	%cr3, %rax
1:	movq	%rax, %cr3
	decq	%rcx
	jnz	1b
	ret

	/* RDI: the first entry of a last-level table (identity mapped); the pages that it maps
	 * begin at long_pages. Empty each and flush its page. */
	.globl long_unmap
long_unmap:
	movq	long_pages(%rip), %rsi
1:	movq	$0, (%rdi)
	invlpg	(%rsi)
	addq	$8, %rdi
	addq	$4096, %rsi
	decq	%rcx
	jnz	1b
	ret

	/* Put the same entries back, with A and D, and touch their pages. */
	.globl long_remap
long_remap:
	movq	long_pages(%rip), %rsi
	movq	long_entry(%rip), %rax
1:	movq	%rax, (%rdi)
	movb	$1, (%rsi)
	addq	$8, %rdi
	addq	$4096, %rax
	addq	$4096, %rsi
	decq	%rcx
	jnz	1b
	ret

	.data
	.balign 8
	.globl long_pages
long_pages:
	.quad 0
	.globl long_entry
long_entry:
	.quad 0

	.section .note.GNU-stack, "", @progbits
