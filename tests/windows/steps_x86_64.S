/* SPDX-License-Identifier: MIT */
/*
 * What calls of the system go through, see steps.h. %r11: a struct step_call, which begins with where the call would have gone. A thread
 * with orders has them (struct steps) at %gs:0x28, NT_TIB.ArbitraryUserPointer, and in their beginning the top of a stack for return
 * addresses: the call is made with the processor's stack as it was.
 */
	.text
	.globl	step_through
step_through:
	cmpq	$0, %gs:0x28
	jne	1f
	jmp	*(%r11)
1:	pushq	%rcx
	pushq	%rdx
	pushq	%r8
	pushq	%r9
	pushq	%r11
	subq	$32, %rsp
	movq	%r11, %rcx
	call	step_before
	addq	$32, %rsp
	popq	%r11
	popq	%r9
	popq	%r8
	popq	%rdx
	popq	%rcx
	movq	%gs:0x28, %r10
	movq	(%r10), %rax
	popq	(%rax)
	movq	%r11, 8(%rax)
	addq	$16, (%r10)
	call	*(%r11)
	movq	%gs:0x28, %r10
	subq	$16, (%r10)
	movq	(%r10), %rcx
	pushq	(%rcx)
	movq	8(%rcx), %rcx
	pushq	%rax
	subq	$32, %rsp
	call	step_after
	addq	$32, %rsp
	popq	%rax
	ret

	.globl	orders_exchange
orders_exchange:
	movq	%gs:0x28, %rax
	movq	%rcx, %gs:0x28
	ret
