/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core_entry.S - how a processor becomes one more core. It takes the next number, which tells where
 * its stack is; those that find all numbers taken sleep for ever. Like entry.S with general
 * registers only. Only images that ask for cores have this.
 */
#include "boot/pvh/layout.h"

/* Here begins a processor that was sent a start-up interrupt: in real mode, at offset 0 of a page
 * below 1 MiB, its segment in %cs (Intel SDM volume 3, 8.4.4). */
        .section .rodata, "a", @progbits
        .globl  core_entry16, core_entry16_end
        .code16
core_entry16:
        cli
        lgdtl   %cs:(1f - core_entry16)
        movl    $(CR0_PE | CR0_ET), %eax
        movl    %eax, %cr0
        ljmpl   $SELECTOR_LOW0, $core_entry_flat
1:      .word   SELECTOR_LOW0 + 7
        .long   gdt
core_entry16_end:

        .section .text, "ax", @progbits
        .globl  core_entry
        .code32
core_entry_flat:
        movl    $SELECTOR_DATA0, %eax
        movl    %eax, %ds
core_entry:
        movl    $1, %ebx
        lock xaddl %ebx, cores_taken
        cmpl    core_count, %ebx
        jae     2f
        movl    $core_entry64, %esi
        jmp     enter_long
2:      cli
        hlt
        jmp     2b

        .code64
core_entry64:                           /* rbx: the core; core_memory[0] is core 1's */
        imulq   $CORE_BYTES, %rbx, %rsp
        addq    core_memory(%rip), %rsp
        addq    $(CORE_STACK_TOP - CORE_BYTES), %rsp
        movl    %ebx, %edi
        pushq   $0                      /* ends the backtrace */
        pushq   $0
        call    core_started
        ud2

        .section .data, "aw", @progbits
        .balign 4
cores_taken: .long 1

        .section .note.GNU-stack, "", @progbits
