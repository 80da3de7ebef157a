/* SPDX-License-Identifier: MIT */
/*
 * probe.S - into a paging mode, one access, and out again.
 *
 *	probe_run -> CR4, CR3, EFER, CR0 -> (64-bit code) -> (CPL 3) -> stub: the access
 *	    ^                                                             |
 *	    +------ registers as before <- 32-bit code <- exception or INT 80h
 *
 * The stubs have a page of their own and mean the same in 32- and 64-bit code.
 */
	.set CR0, 0
	.set CR3, 4
	.set CR4, 8
	.set EFER, 12
	.set ADDRESS, 16
	.set KIND, 24
	.set USER, 28
	.set VECTOR, 32
	.set CODE, 36
	.set CR2, 40
	.set USER_STUB, 48
	.set MSR_EFER, 0xc0000080

	.section .text.stubs, "ax"
	.balign 4096
	.globl probe_stubs
	.code32
probe_stubs:
	movb	(%esi), %al		/* in 64-bit code: (%rsi) */
	int	$0x80
	.balign 16
	movb	%al, (%esi)
	int	$0x80
	.balign 16
	jmp	*%esi
	.balign 4096

	.text
	.globl probe_run
probe_run:
	movl	4(%esp), %eax
	pushal
	pushfl
	movl	%esp, saved_stack
	movl	%eax, current
	movl	%eax, %ebx
	movl	CR4(%ebx), %eax
	movl	%eax, %cr4
	movl	CR3(%ebx), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	movl	EFER(%ebx), %eax
	xorl	%edx, %edx
	testl	%eax, %eax
	jz	1f
	wrmsr
1:	movb	$0x89, guest_gdt + 0x38 + 5	/* available again */
	movb	$0x89, guest_gdt + 0x40 + 5
	movl	KIND(%ebx), %edx
	shll	$4, %edx
	cmpl	$0, USER(%ebx)
	je	2f
	addl	USER_STUB(%ebx), %edx
	jmp	3f
2:	addl	$probe_stubs, %edx
3:	movl	CR0(%ebx), %eax
	movl	%eax, %cr0
	testl	$0x100, EFER(%ebx)
	jz	4f
	testl	%eax, %eax
	jns	4f
	ljmp	$0x18, $enter_64
4:	lidt	probe_idtr_32
	movw	$0x38, %ax
	ltr	%ax
	movl	ADDRESS(%ebx), %esi
	cmpl	$0, USER(%ebx)
	je	5f
	movw	$0x2b, %ax
	movw	%ax, %ds
	movw	%ax, %es
	pushl	$0x2b
	pushl	$0
	pushl	$2
	pushl	$0x23
	pushl	%edx
	iret
5:	jmp	*%edx

leave_32:				/* EAX = vector, ECX = code */
	movw	$0x10, %dx
	movw	%dx, %ds
	movw	%dx, %es
	movl	current, %ebx
	movl	%eax, VECTOR(%ebx)
	movl	%ecx, CODE(%ebx)
	movl	%cr2, %eax
	movl	%eax, CR2(%ebx)
	movl	$0, CR2 + 4(%ebx)
leave:
	movl	$0x11, %eax
	movl	%eax, %cr0
	cmpl	$0, EFER(%ebx)
	je	6f
	movl	$MSR_EFER, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
6:	xorl	%eax, %eax
	movl	%eax, %cr4
	movw	$0x10, %dx
	movw	%dx, %ss
	movl	saved_stack, %esp
	popfl
	popal
	ret

	.code64
enter_64:
	lidt	probe_idtr_64(%rip)
	movw	$0x40, %ax
	ltr	%ax
	movq	ADDRESS(%rbx), %rsi
	movl	%edx, %edx
	cmpl	$0, USER(%rbx)
	je	7f
	pushq	$0x2b
	pushq	$0
	pushq	$2
	pushq	$0x33
	pushq	%rdx
	iretq
7:	jmp	*%rdx

leave_64:
	movl	current(%rip), %ebx
	movl	%eax, VECTOR(%rbx)
	movl	%ecx, CODE(%rbx)
	movq	%cr2, %rax
	movq	%rax, CR2(%rbx)
	pushq	$0x08
	leaq	8f(%rip), %rax
	pushq	%rax
	lretq
	.code32
8:	movw	$0x10, %dx
	movw	%dx, %ds
	movw	%dx, %es
	movw	%dx, %ss
	jmp	leave

	/* 33 stubs of 16 bytes: exceptions 0-31, then INT 80h. 8, 10-14, 17, 21 push a code. */
	.balign 16
	.globl probe_vectors_32
probe_vectors_32:
	.set vector, 0
	.rept 33
	.balign 16
	.if vector < 32 && (0x00227d00 >> vector) & 1
	popl	%ecx
	.else
	xorl	%ecx, %ecx
	.endif
	movl	$(vector + (vector / 32) * 96), %eax
	jmp	leave_32
	.set vector, vector + 1
	.endr

	.code64
	.balign 16
	.globl probe_vectors_64
probe_vectors_64:
	.set vector, 0
	.rept 33
	.balign 16
	.if vector < 32 && (0x00227d00 >> vector) & 1
	popq	%rcx
	.else
	xorl	%ecx, %ecx
	.endif
	movl	$(vector + (vector / 32) * 96), %eax
	jmp	leave_64
	.set vector, vector + 1
	.endr

	.bss
	.balign 4
saved_stack:
	.skip 4
current:
	.skip 4

	.section .note.GNU-stack, "", @progbits
