/* SPDX-License-Identifier: MIT */
/*
 * enter32.S - svm_enter(gprs, vmcb): as enter64.S, on a 32-bit host.
 *
 * Its guests have 32-bit registers only: of each place in struct gprs the low half counts,
 * the high one stays 0. The VMCB lies below 4 GiB.
 */
	.text
	.balign 64
	.globl svm_enter
	.type svm_enter, @function
svm_enter:
	pushl	%ebx
	pushl	%ebp
	pushl	%esi
	pushl	%edi
	movl	20(%esp), %edi
	movl	24(%esp), %eax
	movl	0x08(%edi), %ecx
	movl	0x10(%edi), %edx
	movl	0x18(%edi), %ebx
	movl	0x28(%edi), %ebp
	movl	0x30(%edi), %esi
	movl	0x38(%edi), %edi
	vmrun	%eax
	pushl	%edi
	movl	24(%esp), %edi
	movl	%ecx, 0x08(%edi)
	movl	%edx, 0x10(%edi)
	movl	%ebx, 0x18(%edi)
	movl	%ebp, 0x28(%edi)
	movl	%esi, 0x30(%edi)
	popl	0x38(%edi)
	popl	%edi
	popl	%esi
	popl	%ebp
	popl	%ebx
	ret
	.size svm_enter, . - svm_enter

	.section .note.GNU-stack, "", @progbits
