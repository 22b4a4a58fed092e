/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hypercall.S - a call into Xen: the number in eax, arguments in rdi, rsi, rdx, the result in rax
 * (Xen's arch-x86/xen-x86_64.h). Xen's hypercall page would hold the same instructions; doing
 * without it, no page of the image is written by someone else and then executed.
 */
        .section .text, "ax", @progbits
        .globl  xen_hypercall
xen_hypercall:                          /* rdi: number, rsi, rdx, rcx: arguments */
        movl    %edi, %eax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        cmpb    $0, xen_has_vmmcall
        je      1f
        vmmcall
        ret
1:      vmcall
        ret

        .section .data, "aw", @progbits
        .globl  xen_has_vmmcall
xen_has_vmmcall: .byte 0                /* start.c sets it before the first call */

        .section .note.GNU-stack, "", @progbits
