/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.S - the first instructions of an image, the way down to ring 3, and the trap vectors.
 *
 * Xen, QEMU and other VMMs start a PVH image (note XEN_ELFNOTE_PHYS32_ENTRY, Xen's
 * docs/misc/pvh.pandoc) in 32-bit protected mode without paging, %ebx pointing at hvm_start_info.
 * From here to enter_ring3 a processor without hardware virtualization emulates each instruction:
 * only what cannot be done in ring 3 is done here, with general registers only.
 */
#include "boot/pvh/layout.h"

        .cfi_sections .debug_frame      /* an image has no .eh_frame */

        .section .note.pvh, "a", @note
        .balign 4
        .long   4, 8, 18                /* name and descriptor sizes, XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .quad   pvh_entry

        .section .text.entry, "ax", @progbits
        .code32
        .globl  pvh_entry
pvh_entry:
        cld
        rdtsc
        movl    %eax, pvh_first_cycle
        movl    %edx, pvh_first_cycle + 4
        movl    $main_stack_top, %esp

        /* The first 16 MiB one to one, in 2 MiB pages; paging.c refines and completes this. */
        xorl    %edx, %edx
        movl    $(table_pdpt + PTE_TABLE), table_pml4
        movl    %edx, table_pml4 + 4
        movl    $(table_pd + PTE_TABLE), table_pdpt
        movl    %edx, table_pdpt + 4
        movl    $(PTE_BOOT), %eax
        movl    $table_pd, %edi
1:      movl    %eax, (%edi)
        movl    %edx, 4(%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        cmpl    $(table_pd + 8 * BOOT_PD_ENTRIES), %edi
        jne     1b
        movl    $pvh_entry64, %esi

/* Into 64-bit mode, on to the function in %esi. Keeps ebx and esp. Other cores come here, too. */
        .globl  enter_long
enter_long:
        movl    $(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT), %eax
        movl    %eax, %cr4
        movl    $table_pml4, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $(EFER_LME | EFER_NXE), %eax
        wrmsr
        movl    $(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG), %eax
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $SELECTOR_CODE0, $2f

        .code64
2:      movl    $SELECTOR_DATA0, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        xorl    %ebp, %ebp
        movl    %esi, %esi
        jmp     *%rsi

/* Clears .tables, but for the entries in use, and .bss behind it. A VMM that resets its machine
 * loads again what the file has, and leaves the rest as the image's last life did. The tables are
 * live, but nothing above the first 16 MiB is used before paging.c loads cr3 again.
 * In 64-bit mode, as an emulator takes about as long for 4 bytes as for 8. */
pvh_entry64:
        xorl    %eax, %eax
        movl    $(table_pml4 + 8), %edi
        movl    $511, %ecx
        rep stosq
        addl    $8, %edi                /* of table_pdpt the first one is in use, too */
        movl    $511, %ecx
        rep stosq
        addl    $(8 * BOOT_PD_ENTRIES), %edi
        movl    $image_end_cleared, %ecx
        subl    %edi, %ecx
        shrl    $3, %ecx
        rep stosq
        movl    %ebx, %edi
        pushq   $0                      /* ends the backtrace */
        pushq   $0
        call    pvh_start
        ud2

/* enter_ring3(rdi: function that never returns, rsi: its argument, rdx: end of the stack): goes on
 * in ring 3 on the same stack, from its end. */
        .globl  enter_ring3
enter_ring3:
        movl    $SELECTOR_DATA3, %eax
        movl    %eax, %ds
        movl    %eax, %es
        subq    $24, %rdx
        xorl    %ebp, %ebp
        movq    %rbp, (%rdx)
        movq    %rdi, %rax
        movq    %rsi, %rdi
        pushq   $SELECTOR_DATA3
        pushq   %rdx
        pushq   $2                      /* RFLAGS: interrupts off */
        pushq   $SELECTOR_CODE3
        pushq   %rax
        iretq

/*
 * Trap vectors 0 to 31, each 16 bytes: a stub pushes an error code where the processor didn't, and
 * its number. trap_common saves the rest of struct trap_frame.
 */
        .balign 16
        .globl  trap_vectors
trap_vectors:
        .set    vector, 0
        .rept   32
        .balign 16
        .if     (0x60227d00 >> vector) & 1   /* 8, 10 to 14, 17, 21, 29, 30 push an error code */
        .else
        pushq   $0
        .endif
        pushq   $vector
        jmp     trap_common
        .set    vector, vector + 1
        .endr

        .balign 16
trap_common:
        cld
        pushq   %r15
        pushq   %r14
        pushq   %r13
        pushq   %r12
        pushq   %r11
        pushq   %r10
        pushq   %r9
        pushq   %r8
        pushq   %rbp
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %rcx
        pushq   %rbx
        pushq   %rax
        movq    %rsp, %rdi
        .cfi_startproc simple           /* gdb finds what was trapped in struct trap_frame */
        .cfi_signal_frame
        .cfi_def_cfa rsp, 0
        .set    saved, 0
        .irp    register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        .cfi_offset \register, saved
        .set    saved, saved + 8
        .endr
        .cfi_offset rip, 136
        .cfi_offset rsp, 160
        call    trap
        popq    %rax
        .cfi_endproc
        popq    %rbx
        popq    %rcx
        popq    %rdx
        popq    %rsi
        popq    %rdi
        popq    %rbp
        popq    %r8
        popq    %r9
        popq    %r10
        popq    %r11
        popq    %r12
        popq    %r13
        popq    %r14
        popq    %r15
        addq    $16, %rsp
        iretq

        .section .data, "aw", @progbits
        .balign 16
        .globl  gdt
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* 0x08 code, ring 0 */
        .quad   0x00cf93000000ffff      /* 0x10 data, ring 0 */
        .quad   0x00cff3000000ffff      /* 0x18 data, ring 3 */
        .quad   0x00affb000000ffff      /* 0x20 code, ring 3 */
        .quad   0, 0                    /* 0x28 task state segment, filled in by traps.c */
        .quad   0x00cf9b000000ffff      /* 0x38 code, ring 0, 32 bits */
gdt_end:
        .globl  gdt_pointer
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt

        .section .tables, "aw", @nobits
        .balign 4096
        .globl  table_pml4, table_pd
table_pml4: .skip 4096
table_pdpt: .skip 4096
table_pd:   .skip 4096                  /* the first GiB */

/* What isn't cleared: paging.c writes every entry of table_pt, and a stack is written before it is
 * read. A guard page, never mapped, lies below each stack. */
        .section .stacks, "aw", @nobits
        .balign 4096
        .globl  table_pt
table_pt:     .skip 4096 * IMAGE_TABLES /* what holds the image */
        .globl  guard_main, guard_trap, guard_double, main_stack, main_stack_top
        .globl  trap_stack_top, double_stack_top
guard_main:   .skip 4096
main_stack:   .skip MAIN_STACK_BYTES
main_stack_top:
guard_trap:   .skip 4096
              .skip TRAP_STACK_BYTES
trap_stack_top:
guard_double: .skip 4096
              .skip TRAP_STACK_BYTES
double_stack_top:

        .section .note.GNU-stack, "", @progbits
